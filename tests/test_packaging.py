"""What is packed: the tracked files that the sdist lists, and nothing that lies beside them."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

STRAYS = [
    ".env",
    "dump.sql",
    "shop.db",
    "secrets.json",
    "notes/plan.md",
    "src/angle_reco/.env",
    "src/angle_reco/domain/dump.sql",
    "src/angle_reco/__pycache__/settings.cpython-311.pyc",
    "src/other/secret.py",
    "tests/.env",
    "tests/shop.sqlite",
    "docs/keys.json",
    "requirements.txt",
]
IN_THE_SDIST = ("src/", "tests/", "docs/", "examples/", "benchmarks/", "tools/")


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, check=True)
    return listed.stdout.decode().splitlines()


@pytest.fixture(scope="module")
def packages(tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    for name in tracked:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name in STRAYS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("SECRET=1\n", "utf-8")
    build = [sys.executable, "-m", "hatchling", "build", "-d", "dist"]
    subprocess.run(build, cwd=folder, check=True, capture_output=True)
    return folder / "dist"


def test_the_sdist_holds_what_is_tracked_and_nothing_else(
    tracked: list[str], packages: Path
) -> None:
    [sdist] = packages.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    expected = {name for name in tracked if name.startswith(IN_THE_SDIST) or is_packed(name)}
    assert names == expected | {"PKG-INFO"}


def test_the_wheel_holds_the_package_and_nothing_else(tracked: list[str], packages: Path) -> None:
    [wheel] = packages.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    source = "src/angle_reco/"
    assert names == {name.removeprefix("src/") for name in tracked if name.startswith(source)}


def test_the_wheel_says_that_it_has_types(packages: Path) -> None:
    [wheel] = packages.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert "angle_reco/py.typed" in archive.namelist()


def test_the_metadata_names_the_project(packages: Path) -> None:
    [wheel] = packages.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        metadata = archive.read(name).decode()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]

    assert "Project-URL: Documentation, https://" in metadata
    assert "Author: " in metadata
    assert "Provides-Extra: cli" in metadata
    assert "Provides-Extra: django" in metadata
    links = re.findall(r"\]\(([^)]*)\)", metadata)
    assert f"https://github.com/angle-reco/angle-reco/blob/v{version}/docs/serve.md" in links
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    [picture] = re.findall(r"!\[[^]]*\]\(([^)]*)\)", metadata)
    assert picture.endswith(f"/v{version}/docs/demo.svg")


def is_packed(name: str) -> bool:
    top = {".gitignore", "LICENSE", "Makefile", "pyproject.toml"}
    return name in top or (
        "/" not in name and (name.startswith("requirements-") or name.endswith(".md"))
    )
