"""Importing files."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from angle_reco.domain.publication import PublicationStatus
from tests.cli.conftest import FILES, Angle, write_files

WHERE = ["--database", "sqlite:///new.db"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return a folder with the files of the marketplace."""
    return write_files(tmp_path / "files")


def test_an_import_says_what_it_did(angle: Angle, files: Path) -> None:
    said = angle("import", str(files), *WHERE)

    assert said.status == 0
    assert [line.split() for line in said.out.splitlines()] == [
        ["new", "updated", "unchanged", "bad", "rows"],
        ["users", "5", "0", "0", "0"],
        ["items", "8", "0", "0", "0"],
        ["bids", "3", "0", "0", "0"],
        ["watches", "1", "0", "0", "0"],
    ]


def test_progress_comes_as_lines_beside_the_answer(angle: Angle, files: Path) -> None:
    said = angle("import", str(files), "--json", *WHERE)

    lines = said.err.splitlines()
    for name in FILES:
        assert f"reading {name}: 100 %" in lines
    assert [line for line in lines if not line.startswith("angle-reco: ")][-1] == "storing: 100 %"
    assert json.loads(said.out)["bad_rows"] == []


def test_importing_again_changes_nothing(angle: Angle, files: Path) -> None:
    angle("import", str(files), *WHERE)
    before = angle("stats", "--json", *WHERE).out

    outcome = json.loads(angle("import", str(files), "--json", *WHERE).out)

    assert {
        name: (one["new"], one["updated"]) for name, one in outcome["files"].items()
    } == dict.fromkeys(("users", "items", "bids", "watches"), (0, 0))
    assert outcome["files"]["bids"]["unchanged"] == 3
    assert angle("stats", "--json", *WHERE).out == before


def test_what_is_known_with_other_content_is_updated(angle: Angle, tmp_path: Path) -> None:
    angle("import", str(write_files(tmp_path / "one")), *WHERE)
    items = FILES["items.csv"].replace("A vase", "A tall vase")

    said = angle("import", str(write_files(tmp_path / "two", items=items)), "--json", *WHERE)

    assert json.loads(said.out)["files"]["items"] == {
        "new": 0,
        "updated": 1,
        "unchanged": 7,
        "bad": 0,
    }
    assert "A tall vase" in angle("popular", *WHERE, "--as-of", "2026-06-01T00:00:00Z").out


def test_watches_may_be_absent_and_files_packed(angle: Angle, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "files", watches=None, bids=None)
    (folder / "bids.csv.gz").write_bytes(gzip.compress(FILES["bids.csv"].encode()))

    outcome = json.loads(angle("import", str(folder), "--json", *WHERE).out)

    assert {name: one["new"] for name, one in outcome["files"].items()} == {
        "users": 5,
        "items": 8,
        "bids": 3,
    }


class TestBadRows:
    @pytest.fixture
    def files(self, tmp_path: Path) -> Path:
        """Return a folder with three bad rows of bids."""
        bids = FILES["bids.csv"] + (
            "nobody,vase,1,2026-05-30T12:00:00Z\n"
            "ann,vase,-1,2026-05-30T12:00:00Z\n"
            "ann,\x1b[31m,1,2026-05-30T12:00:00Z\n"
        )
        return write_files(tmp_path / "files", bids=bids)

    def test_each_is_a_line_and_nothing_is_stored(self, angle: Angle, files: Path) -> None:
        said = angle("import", str(files), *WHERE)

        *_, first, second, last = said.err.splitlines()
        assert (said.status, said.out) == (2, "")
        assert first.startswith("angle-reco: bids.csv, line 6, column amount: amount is ")
        assert second.startswith("angle-reco: bids.csv, line 7, column item_id: item_id is ")
        assert last == "angle-reco: 2 errors; nothing was stored"
        assert not Path("new.db").exists()

    def test_a_single_one_is_the_only_line(self, angle: Angle, tmp_path: Path) -> None:
        files = write_files(tmp_path / "one", watches="user_id,item_id,inserted_at\nann,wide,\n")

        lines = angle("import", str(files), *WHERE).err.splitlines()

        assert [line for line in lines if line.startswith("angle-reco: ")] == [
            "angle-reco: watches.csv, line 2, column inserted_at: inserted_at is '', but should be"
            " a moment as in ISO 8601, such as 2026-01-31T12:00:00Z"
        ]

    @pytest.mark.parametrize(
        ("count", "rest"), [(1_234, "1,214 more errors"), (21, "1 more error")]
    )
    def test_of_many_the_rest_is_counted(
        self, angle: Angle, tmp_path: Path, count: int, rest: str
    ) -> None:
        bids = FILES["bids.csv"] + "ann,vase,-1,2026-05-30T12:00:00Z\n" * count
        files = write_files(tmp_path / "many", bids=bids)

        lines = angle("import", str(files), *WHERE).err.splitlines()

        errors = [line for line in lines if line.startswith("angle-reco: ")]
        assert len(errors) == 21
        assert errors[-1] == f"angle-reco: {rest}; nothing was stored"

    def test_skipped_ones_are_counted_and_told(self, angle: Angle, files: Path) -> None:
        said = angle("import", str(files), "--skip-bad-rows", "--json", *WHERE)

        outcome = json.loads(said.out)
        assert said.status == 0
        assert outcome["files"]["bids"] == {"new": 3, "updated": 0, "unchanged": 0, "bad": 3}
        told = [line for line in said.err.splitlines() if line.startswith("angle-reco: left out:")]
        assert len(told) == len(outcome["bad_rows"]) == 3
        assert "\x1b" not in said.err

    def test_nothing_half_imported_remains(self, angle: Angle, files: Path, tmp_path: Path) -> None:
        angle("import", str(write_files(tmp_path / "good")), *WHERE)
        before = angle("stats", "--json", *WHERE).out

        assert angle("import", str(files), *WHERE).status == 2

        assert angle("stats", "--json", *WHERE).out == before


class TestBadFolders:
    @pytest.mark.parametrize("name", ["users", "items", "bids"])
    def test_a_file_that_is_missing_is_named(self, refused: Any, tmp_path: Path, name: str) -> None:
        folder = write_files(tmp_path / "files", **{name: None})
        (folder / f"{name}.csv").unlink(missing_ok=True)

        assert f"holds neither {name}.csv nor {name}.csv.gz" in refused(
            "import", str(folder), *WHERE
        )
        assert not Path("new.db").exists()

    @pytest.mark.parametrize("folder", ["nowhere", "-nowhere", "\x1b[31m", "with\nlines"])
    def test_what_is_no_folder_is_refused(self, refused: Any, folder: str) -> None:
        line = refused("import", folder, *WHERE)

        assert "is no directory" in line
        assert line.isprintable()

    def test_a_wrong_header_is_told(self, angle: Angle, tmp_path: Path) -> None:
        folder = write_files(tmp_path / "files", users="user_id\nann\n")

        said = angle("import", str(folder), *WHERE)

        assert (said.status, said.out) == (2, "")
        assert "users.csv, line 1, column inserted_at: is missing in the header" in said.err


class TestOddities:
    def test_they_are_warned_of_and_part_of_the_answer(self, angle: Angle, files: Path) -> None:
        said = angle("import", str(files), "--json", *WHERE)

        [warning] = json.loads(said.out)["warnings"]
        assert warning.startswith("items.csv, column seller_id: 1 of 1 sellers ")
        assert said.err.splitlines()[-1] == f"angle-reco: warning: {warning}"
        assert said.status == 0


class TestReplacing:
    @pytest.fixture
    def smaller(self, angle: Angle, files: Path, tmp_path: Path) -> Path:
        """Return files that lack some of what was imported and computed."""
        angle("import", str(files), *WHERE)
        angle("run", "all", "--as-of", "2026-06-01T12:00:00Z", *WHERE)
        lacking = {
            name: "".join(
                line
                for line in FILES[f"{name}.csv"].splitlines(keepends=True)
                if not line.startswith(("bob,", "bowl,"))
            )
            for name in ("users", "items", "bids")
        }
        return write_files(tmp_path / "smaller", **lacking)

    def test_what_is_gone_is_told_before_and_after(self, angle: Angle, smaller: Path) -> None:
        said = angle("import", str(smaller), "--replace", *WHERE)

        lines = said.err.splitlines()
        assert (
            "angle-reco: in the database: users 5, items 8, bids 3, watches 1, interests 3, lists 9"
            in lines
        )
        assert (
            "angle-reco: not in the files, to be removed: users 1, items 1, bids 2, interests 1,"
            " lists 2" in lines
        )
        assert lines.index("looking for rows to remove") < lines.index("storing users")
        assert [line.split() for line in said.out.splitlines()] == [
            ["new", "updated", "unchanged", "bad", "rows", "removed"],
            ["users", "0", "0", "4", "0", "1"],
            ["items", "0", "0", "7", "0", "1"],
            ["bids", "0", "0", "1", "0", "2"],
            ["watches", "0", "0", "1", "0", "0"],
            ["interests", "1"],
            ["lists", "2"],
        ]

    def test_in_json_both_are_part_of_the_answer(self, angle: Angle, smaller: Path) -> None:
        first, second = (
            json.loads(angle("import", str(smaller), "--replace", "--json", *WHERE).out)["replaced"]
            for _ in range(2)
        )

        assert (first["there"]["users"], first["removed"]["users"]) == (5, 1)
        assert (second["there"]["users"], second["removed"]["users"]) == (4, 0)

    def test_without_it_nothing_is_removed(self, angle: Angle, smaller: Path) -> None:
        said = angle("import", str(smaller), "--json", *WHERE)

        assert json.loads(said.out)["replaced"] is None
        assert json.loads(angle("stats", "--json", *WHERE).out)["users"] == 5
        assert "Without it nothing is removed." in " ".join(
            angle("import", "--help").out.replace("│", " ").split()
        )

    def test_bad_rows_are_not_left_out_beside_it(self, refused: Any, files: Path) -> None:
        line = refused("import", str(files), "--replace", "--skip-bad-rows", *WHERE)

        assert line.startswith("--replace goes without --skip-bad-rows: ")


def test_the_page_has_every_status() -> None:
    page = (Path(__file__).parents[2] / "docs" / "importing.md").read_text("utf-8")

    table = page.partition("| publication_status | suggested |\n|---|---|\n")[2].partition("\n\n")[
        0
    ]
    listed = [line.split("|")[1].strip(" `") for line in table.splitlines()]

    assert listed == [*(one.value for one in PublicationStatus), "empty"]
