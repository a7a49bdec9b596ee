"""Holds what may stand in tracked files, and that the pinned requirements are whole."""

import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]

OLDEST = "requirements-oldest.txt"
LOCKS = ["requirements-dev.txt", OLDEST, "requirements-docs.txt", "requirements-hosts.txt"]

# Put together from pieces, so that this file holds none of what it looks for.
REGISTRY_HOSTS = [
    r"\.".join(parts)
    for parts in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("conda", "anaconda", "org"),
    ]
]
REGISTRY_URL = re.compile(
    rf"https?://(?:[^\s\"'<>)/]*\.)?(?:{'|'.join(REGISTRY_HOSTS)})"
    r"|https?://[^\s\"'<>)]*/(?:simple|packages)(?:/|\b)"
    r"|(?:index[-_]url|find[-_]links|registry)\s*[ =:]\s*[\"']?(?:https?|file):"
)
PRIVATE_FOLDERS = "home|root|Users|work|workspace"
MACHINE_PATH = re.compile(rf"(?<![\w.~:/\-])/(?:{PRIVATE_FOLDERS})/[\w.]|\b[A-Z]:\\+Users\\")


def test_tracked_files_name_no_registry() -> None:
    assert find_in_files(REGISTRY_URL) == []


def test_tracked_files_name_no_folder_of_one_machine() -> None:
    assert find_in_files(MACHINE_PATH) == []


def test_tracked_files_are_read() -> None:
    assert find_in_files(re.compile(r"^name = \"angle-reco\"$")) == ["pyproject.toml:6"]


@pytest.mark.parametrize(
    "text",
    [
        "https://pypi" + ".org/project/attrs",
        "see http://files.pythonhosted" + ".org/a.whl",
        "https://mirror.example/python/" + "simple/",
        "https://mirror.example/" + "packages/a.whl",
        "--index-" + "url https://mirror.example",
        "find-" + "links = file:///wheels",
    ],
)
def test_a_registry_is_found(text: str) -> None:
    assert REGISTRY_URL.search(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://keepachangelog.com/en/1.1.0/",
        "https://example.org/simpler",
        "pip install angle-reco",
        "sqlite:///shop.db",
    ],
)
def test_other_addresses_are_no_registry(text: str) -> None:
    assert not REGISTRY_URL.search(text)


@pytest.mark.parametrize(
    "text",
    ["/" + "home/ada/shop", 'path = "/' + 'root/x"', "(/" + "work/main)", "C:\\" + "Users\\ada"],
)
def test_a_folder_of_one_machine_is_found(text: str) -> None:
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize(
    "text", ["sqlite:////var/lib/shop.db", "docs/home/page.md", "https://example.org/home/page"]
)
def test_other_paths_are_of_no_machine(text: str) -> None:
    assert not MACHINE_PATH.search(text)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pinned_requirement_has_a_hash(lock: str) -> None:
    pinned = requirements_in((ROOT / lock).read_text("utf-8"))

    assert pinned
    assert unhashed(pinned) == []


def test_a_requirement_without_a_hash_is_found() -> None:
    pinned = requirements_in("a==1 \\\n    --hash=sha256:0f\nb==2 ; sys_platform == 'win32'\n")

    assert unhashed(pinned) == ["b==2 ; sys_platform == 'win32'"]


@pytest.mark.parametrize("lock", LOCKS)
def test_the_pinned_requirements_are_those_of_the_project(lock: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    pinned = requirements_in((ROOT / lock).read_text("utf-8"))

    assert not_met(needs_of(project), pinned) == []


def test_the_oldest_requirements_are_the_lower_bounds_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    pinned = requirements_in((ROOT / OLDEST).read_text("utf-8"))

    assert not_oldest(needs_of(project), pinned) == []


def test_what_is_pinned_above_its_lower_bound_is_found() -> None:
    needs = [Requirement(text) for text in ("a>=1.2,<3", "b>=2", "c==3", "d<4", "e>=5")]
    pinned = requirements_in("a==1.2.0\nb==2.1\nc==3\nd==3\n")

    assert not_oldest(needs, pinned) == ["b>=2", "d<4", "e>=5"]


def test_what_is_pinned_wrongly_or_not_at_all_is_found() -> None:
    project = {
        "project": {
            "name": "angle-reco",
            "dependencies": ["A_b>=2"],
            "optional-dependencies": {"cli": ["c"], "other": ["e"]},
        },
        "dependency-groups": {"dev": ["Angle.Reco[cli]", "d<3"]},
    }
    pinned = requirements_in("a-b==1 --hash=sha256:0f\nd==2 --hash=sha256:0f\n")

    assert not_met(needs_of(project), pinned) == ["A_b>=2", "c", "e"]


def find_in_files(pattern: re.Pattern[str]) -> list[str]:
    """Return ``file:line`` of each match in a file that is, or is about to be, tracked."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = sorted(set(listed.stdout.decode().split("\0")) - {""})
    return [
        f"{name}:{number}"
        for name in names
        if (ROOT / name).is_file()
        for number, line in enumerate((ROOT / name).read_text("utf-8", "replace").splitlines(), 1)
        if pattern.search(line)
    ]


def requirements_in(text: str) -> list[str]:
    """Return the logical lines of a requirements file."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def unhashed(pinned: list[str]) -> list[str]:
    return [line for line in pinned if "--hash=sha256:" not in line]


def needs_of(project: dict[str, Any]) -> list[Requirement]:
    """Return what the project, its extras and its development need from others."""
    own = project["project"]
    texts = [
        *own["dependencies"],
        *chain.from_iterable(own["optional-dependencies"].values()),
        *project["dependency-groups"]["dev"],
    ]
    needs = map(Requirement, texts)
    return [need for need in needs if canonicalize_name(need.name) != own["name"]]


def not_met(needs: list[Requirement], pinned: list[str]) -> list[str]:
    """Return the needs that no pin satisfies, or that one of their pins does not."""
    versions = versions_in(pinned)
    return [
        str(need)
        for need in needs
        if not (found := versions.get(canonicalize_name(need.name)))
        or not all(need.specifier.contains(version, prereleases=True) for version in found)
    ]


def not_oldest(needs: list[Requirement], pinned: list[str]) -> list[str]:
    """Return the needs that are pinned to another version than their lower bound."""
    versions = versions_in(pinned)
    return [
        str(need)
        for need in needs
        if {Version(one.version) for one in need.specifier if one.operator in {">=", "=="}}
        != set(map(Version, versions.get(canonicalize_name(need.name), [])))
    ]


def versions_in(pinned: list[str]) -> dict[str, list[str]]:
    """Return the versions that are pinned, by the name of the package."""
    versions: dict[str, list[str]] = {}
    for pin in (Requirement(line.split("--hash")[0]) for line in pinned):
        [exact] = pin.specifier
        versions.setdefault(canonicalize_name(pin.name), []).append(exact.version)
    return versions
