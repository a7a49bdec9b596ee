"""Looking for what is odd in the host's data, for people and for CI."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from angle_reco import Recommender
from angle_reco.sql import Finding
from tests.cli.conftest import Angle
from tests.cli.test_app import WriteModule, host, write_module

__all__ = ["host", "write_module"]

APP = ["--app", "host:make"]


@pytest.fixture
def odd(host: None, angle: Angle) -> None:
    """Have a host's application with two bids that have no user."""
    angle("migrate", "up", *APP)
    with closing(sqlite3.connect("host.db")) as database, database:
        database.execute(
            "INSERT INTO offers VALUES (3, NULL, 11, '2026-05-30'), (4, NULL, 12, '2026-05-30')"
        )


@pytest.mark.usefixtures("host")
def test_nothing_odd_is_a_success(angle: Angle) -> None:
    angle("migrate", "up", *APP)

    said, answer = angle("check", *APP), angle("check", *APP, "--json")

    assert (said.status, said.err) == (0, "")
    assert said.out == "nothing odd was found in the first 10,000 rows of each select\n"
    assert angle("check", *APP, "--all").out == "nothing odd was found\n"
    assert (answer.status, json.loads(answer.out)) == (0, {"findings": []})


@pytest.mark.usefixtures("odd")
class TestFindings:
    def test_each_is_a_line_and_the_status_is_one(self, angle: Angle) -> None:
        said = angle("check", *APP)

        assert (said.status, said.err) == (1, "")
        assert said.out == "bids.user_id: null, which leaves the row out in 2 rows\n"

    def test_in_json_too(self, angle: Angle) -> None:
        said = angle("check", *APP, "--json")

        [finding] = json.loads(said.out)["findings"]
        assert (said.status, said.err) == (1, "")
        assert finding["select"] == "bids"
        assert finding["label"] == "user_id"
        assert finding["rows"] == 2

    def test_all_is_handed_on(self, angle: Angle, monkeypatch: pytest.MonkeyPatch) -> None:
        asked, check = list[bool](), Recommender.check

        def record(reco: Recommender, *, everything: bool = False) -> Any:
            asked.append(everything)
            return check(reco, everything=everything)

        monkeypatch.setattr(Recommender, "check", record)

        assert [angle("check", *more, *APP).status for more in ([], ["--all"])] == [1, 1]
        assert asked == [False, True]

    def test_an_example_is_shown_as_it_is_plain(
        self, angle: Angle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = Finding(select="items", label="status", rows=1, what="odd", example="a\x1b[31m\nb")
        monkeypatch.setattr(Recommender, "check", lambda *_, **__: (found,))

        said, answer = angle("check", *APP), angle("check", *APP, "--json")

        assert said.out.startswith("items.status: odd in 1 row, such as ")
        assert [one for one in said.out if not one.isprintable()] == ["\n"]
        assert json.loads(answer.out)["findings"][0]["example"] == found.example


def test_in_memory_and_on_the_reference_schema_there_is_nothing(
    angle: Angle, database: Path, write_module: WriteModule
) -> None:
    write_module("shop", "from angle_reco import Recommender", "r = Recommender.in_memory()")

    assert angle("check").status == 0
    assert angle("check", "--all", "--app", "shop:r").status == 0


def test_errors_are_no_findings(refused: Any) -> None:
    assert refused("check", "--database", "sqlite:///missing.db").startswith("missing.db holds no")


def test_an_application_that_raises_is_no_finding_either(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("def make():\n    raise RuntimeError('of the shop')\n")
    command = [sys.executable, "-m", "angle_reco", "check", "--app", "shop:make"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("RuntimeError: of the shop\n")
