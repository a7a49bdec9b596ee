"""Handing out and removing what is kept about a user, on the command line."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import NOW, Angle


@pytest.mark.usefixtures("database")
class TestExport:
    def test_it_is_one_document(self, angle: Angle) -> None:
        angle("run", "all", "--as-of", NOW)

        said = angle("export-user", "ann")

        document = json.loads(said.out)
        assert (said.status, said.err) == (0, "")
        assert list(document) == [
            *("format", "user_id", "exported_at", "sign_ins", "interests", "homepage")
        ]
        assert (document["format"], document["user_id"]) == ("angle_reco.user/1", "ann")
        assert document["sign_ins"] == {"last_at": "2026-05-31T00:00:00+00:00", "count": 3}
        assert [one["category_id"] for one in document["interests"]["interests"]] == [
            "art",
            "books",
        ]
        assert [one["item_id"] for one in document["homepage"]["suggestions"]] == [
            *("bowl", "-7", "odd", "long")
        ]
        assert json.loads(angle("export-user", "ann", "--json").out).keys() == document.keys()

    def test_of_somebody_unknown_there_is_nothing(self, angle: Angle) -> None:
        said = angle("export-user", "nobody")

        assert said.status == 0
        assert json.loads(said.out)["homepage"] is None
        assert said.err == "angle-reco: nothing is kept about user 'nobody'\n"

    def test_ids_may_begin_with_a_dash(self, angle: Angle) -> None:
        assert json.loads(angle("export-user", "-42").out)["user_id"] == "-42"

    def test_what_is_no_id_is_refused(self, refused: Any) -> None:
        assert refused("export-user", "").startswith("user id is '', but should be")


class TestErasing:
    def test_all_of_them_goes_and_stays_away(self, angle: Angle, database: Path) -> None:
        angle("run", "all", "--as-of", NOW)
        assert kept(database, "ann") == (2, 1)

        said = angle("erase-user", "ann", "--yes", "--json")

        assert json.loads(said.out) == {
            "removed": {"sign_ins": 0, "interests": 2, "lists": 1, "suggestions": 4}
        }
        assert kept(database, "ann") == (0, 0)
        angle("run", "all", "--as-of", NOW)
        assert kept(database, "ann") == (0, 0)
        assert kept(database, "bob") == (1, 1)
        # They are shown something all the same.
        assert json.loads(angle("homepage", "ann", "--json", "--as-of", NOW).out)["suggestions"]

    def test_it_says_what_was_removed(self, angle: Angle, database: Path) -> None:
        said = angle("erase-user", "bob", "--yes")

        assert [line.split() for line in said.out.splitlines()] == [
            ["removed"],
            ["sign", "ins", "0"],
            ["interests", "0"],
            ["lists", "0"],
            ["suggestions", "0"],
        ]

    def test_it_is_not_done_by_accident(self, refused: Any, database: Path) -> None:
        assert refused("erase-user", "ann") == ("erase-user cannot be undone: say --yes to do so")


def kept(file: Path, user: str) -> tuple[int, int]:
    """Return how many interests and homepages of a user are stored."""
    with closing(sqlite3.connect(file)) as connection:
        interests = "SELECT count(*) FROM angle_reco_user_interests WHERE user_id = ?"
        homepages = "SELECT count(*) FROM angle_reco_personal_lists WHERE owner = ?"
        [(one,)] = connection.execute(interests, [user])
        [(other,)] = connection.execute(homepages, [user])
        return one, other
