"""A small marketplace in files, imported once, and the command line in this process."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import pytest

from angle_reco.cli import run

NOW = "2026-06-01T12:00:00Z"

FILES = {
    "users.csv": """\
user_id,inserted_at,last_sign_in_at,sign_in_count
ann,2026-01-01T00:00:00Z,2026-05-31T00:00:00Z,3
bob,2026-01-01T00:00:00Z,2026-05-30T00:00:00Z,1
-42,2026-01-01T00:00:00Z,2026-05-30T00:00:00Z,1
--help,2026-01-01T00:00:00Z,,
"o'hara ""é"" 🏺 [red]; DROP TABLE users",2026-01-01T00:00:00Z,,
""",
    "items.csv": """\
item_id,category_id,seller_id,title,starting_price,current_price,publication_status,starts_at,end_time,inserted_at
vase,art,zoe,A vase,100,,published,,2026-06-03T12:00:00Z,2026-05-01T00:00:00Z
bowl,art,zoe,A bowl,120.50,,published,,,2026-05-01T00:00:00Z
-7,art,,A jug of minus seven,90,,published,,,2026-05-02T00:00:00Z
odd,art,,"[red]r\x1b[31med\a[/red] \u202egnp.exe {0} %s",900,,published,,,2026-04-01T00:00:00Z
wide,books,,猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫,5,,published,,,2026-04-01T00:00:00Z
long,books,,{long},5,,published,,,2026-04-01T00:00:00Z
draft,art,,Not to be seen,90,,draft,,,2026-04-01T00:00:00Z
sold,art,,Ended,100,,published,,2026-05-01T00:00:00Z,2026-04-01T00:00:00Z
""".replace("{long}", "a very long title " * 20),
    "bids.csv": """\
user_id,item_id,amount,placed_at
ann,vase,110,2026-05-30T12:00:00Z
bob,bowl,130,2026-05-30T12:00:00Z
bob,bowl,140,2026-05-31T12:00:00Z
""",
    "watches.csv": """\
user_id,item_id,inserted_at
ann,wide,2026-05-29T12:00:00Z
""",
}


@attrs.frozen
class Said:
    """What a command said, and how it ended."""

    status: int
    out: str
    err: str


Angle: TypeAlias = Callable[..., Said]


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every test run in a folder of its own, on a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("ANGLE_RECO_APP", "ANGLE_RECO_DATABASE", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def angle(capsys: pytest.CaptureFixture[str]) -> Angle:
    """Return how to run a command in this process."""

    def call(*args: str) -> Said:
        capsys.readouterr()
        status = run(args)
        said = capsys.readouterr()
        return Said(status, said.out, said.err)

    return call


@pytest.fixture
def refused(angle: Angle) -> Callable[..., str]:
    """Return how to run a command that fails as all do: one line, status 2, no answer."""

    def call(*args: str) -> str:
        said = angle(*args)
        assert (said.status, said.out) == (2, "")
        [line] = said.err.splitlines()
        assert line.startswith("angle-reco: ")
        return line.removeprefix("angle-reco: ")

    return call


def write_files(folder: Path, **changes: str | None) -> Path:
    """Write the files of the marketplace, some of them changed or left out."""
    folder.mkdir(exist_ok=True)
    files: dict[str, Any] = {**FILES, **{f"{name}.csv": text for name, text in changes.items()}}
    for name, text in files.items():
        if text is not None:
            (folder / name).write_text(text, "utf-8", newline="")
    return folder


@pytest.fixture(scope="session")
def _imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    database = folder / "shop.db"
    for name in ("ANGLE_RECO_APP", "ANGLE_RECO_DATABASE"):
        os.environ.pop(name, None)
    files = write_files(folder / "files")
    assert run(["import", str(files), "--database", f"sqlite:///{database}"]) == 0
    return database


@pytest.fixture
def database(_imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a database of one's own with the marketplace, which commands use by default."""
    mine = tmp_path / "shop.db"
    shutil.copy(_imported, mine)
    monkeypatch.setenv("ANGLE_RECO_DATABASE", f"sqlite:///{mine}")
    return mine
