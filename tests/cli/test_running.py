"""Running jobs, and everything that commands refuse."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from angle_reco.application.jobs.schedule import BATCH_JOBS
from tests.cli.conftest import NOW, Angle


@pytest.mark.usefixtures("database")
class TestRun:
    def test_all_of_them_and_then_answers_are_stored_ones(self, angle: Angle) -> None:
        said = angle("run", "all", "--json", "--as-of", NOW)

        runs = json.loads(said.out)["runs"]
        assert [one["job"] for one in runs] == list(BATCH_JOBS)
        assert {one["started_at"] for one in runs} == {"2026-06-01T12:00:00+00:00"}
        assert all(set(one) == KEYS for one in runs)
        assert [(one["scope"], one["changed"]) for one in runs] == [
            (3, 3),
            (0, 0),
            (3, 3),
            (3, 3),
            (6, 6),
        ]
        for command in (["homepage", "ann"], ["similar", "vase"], ["popular"]):
            shelf = json.loads(angle(*command, "--json", "--as-of", NOW).out)
            assert shelf["freshness"] == "fresh"

    def test_a_second_run_changes_nothing(self, angle: Angle) -> None:
        angle("run", "all", "--as-of", NOW)

        runs = json.loads(angle("run", "all", "--json", "--as-of", NOW).out)["runs"]

        assert [(one["changed"], one["removed"]) for one in runs] == [(0, 0)] * 5

    def test_a_full_run_leaves_nothing_as_it_is(self, angle: Angle) -> None:
        angle("run", "all")
        some, full = (
            json.loads(angle("run", "all", "--json", *more).out)["runs"]
            for more in ([], ["--full"])
        )

        assert sum(one["left"] for one in some) > 0
        assert sum(one["left"] for one in full) == 0

    def test_some_of_them_in_the_order_given(self, angle: Angle) -> None:
        said = angle("run", "generate_popular_items", "refresh_user_interests", "--as-of", NOW)

        assert [line.split()[0] for line in said.out.splitlines()] == [
            "job",
            "generate_popular_items",
            "refresh_user_interests",
        ]
        assert "popular items" in said.err.splitlines()

    def test_similarities_of_one_item(self, angle: Angle) -> None:
        job = ["run", "compute_item_similarities", "--json", "--as-of", NOW]

        [outcome] = json.loads(angle(*job, "--item", "sold").out)["runs"]
        [dashed] = json.loads(angle(*job, "--item=-7").out)["runs"]

        assert (outcome["scope"], dashed["scope"]) == (1, 1)
        stats = json.loads(angle("stats", "--json").out)
        assert stats["lists"]["similar"]["owners"] == 2

    def test_what_cannot_be_run_is_refused(self, refused: Any) -> None:
        assert "Missing argument" in refused("run")
        assert "'nothing' is not one of 'refresh_user_interests', " in refused("run", "nothing")
        assert refused("run", "compute_item_similarities", "--item", "ghost") == (
            "no item with id 'ghost'"
        )
        assert "job for one item" in refused("run", "generate_popular_items", "--item", "vase")

    def test_a_table_is_at_most_eighty_columns_wide(self, angle: Angle) -> None:
        out = angle("run", "all", "--as-of", NOW).out

        assert max(map(len, out.splitlines())) <= 80
        assert all(job in out for job in BATCH_JOBS)


KEYS = {
    *("job", "started_at", "seconds", "scope", "changed", "unchanged", "removed", "left"),
    *("failed", "errors", "settings"),
}


EXPECTED_URL = "a database URL such as postgresql:///shop or sqlite:///shop.db"


class TestDatabases:
    @pytest.mark.parametrize(
        "command",
        [
            ["homepage", "ann"],
            ["similar", "vase"],
            ["after-bid", "ann", "vase"],
            ["popular"],
            ["interests", "ann"],
            ["stats"],
            ["run", "all"],
            ["migrate", "status"],
        ],
        ids=lambda command: command[0],
    )
    def test_one_that_is_missing_is_told_and_not_made(
        self, refused: Any, command: list[str]
    ) -> None:
        line = refused(*command, "--database", "sqlite:///missing.db")

        assert line.startswith("missing.db holds no marketplace: bring one in with `angle-reco")
        assert list(Path().iterdir()) == []

    def test_by_default_it_is_a_file_here(self, refused: Any) -> None:
        assert refused("popular").startswith("angle_reco.db holds no marketplace")

    def test_one_of_another_kind_of_file_is_refused(self, refused: Any) -> None:
        content = "This is a letter, not a database. " * 50
        Path("letter.db").write_text(content, "utf-8")

        for command in (["popular"], ["migrate", "up"], ["migrate", "down", "--yes"]):
            assert "the file is no database of SQLite" in refused(
                *command, "--database", "sqlite:///letter.db"
            )
        assert Path("letter.db").read_text("utf-8") == content

    def test_one_with_other_tables_is_refused(self, refused: Any) -> None:
        other = sqlite3.connect("other.db")
        other.execute('CREATE TABLE "accounts \x1b[31m" (id)')
        other.close()

        for command in (["popular"], ["migrate", "status"]):
            assert "holds no marketplace" in refused(*command, "--database", "sqlite:///other.db")
        line = refused("migrate", "up", "--database", "sqlite:///other.db")
        assert "holds other tables already (accounts" in line
        assert line.isprintable()

    def test_a_folder_is_refused(self, refused: Any) -> None:
        Path("folder.db").mkdir()

        assert "cannot be opened" in refused("popular", "--database", "sqlite:///folder.db")
        assert "cannot be opened" in refused(
            "migrate", "up", "--database", "sqlite:///nowhere/new.db"
        )

    @pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite://ann:secret@db/x"])
    def test_sqlite_is_a_file(self, refused: Any, url: str) -> None:
        line = refused("popular", "--database", url)

        assert line.endswith("a file of SQLite, without a host or options")
        assert "secret" not in line

    @pytest.mark.parametrize(
        "url", ["mysql://ann:secret@db/shop", "postgresql+psycopg2://ann:secret@db/shop"]
    )
    def test_another_database_is_refused(self, refused: Any, url: str) -> None:
        line = refused("popular", "--database", url)

        assert line.endswith("such as postgresql:///shop or sqlite:///shop.db")
        assert "secret" not in line

    @pytest.mark.parametrize("url", ["shop.db", "", "//", "secret@"])
    def test_what_is_no_url_is_refused(self, refused: Any, url: str) -> None:
        assert refused("popular", "--database", url) == (
            "database is 'no URL', but should be"
            " a database URL such as postgresql:///shop or sqlite:///shop.db"
        )

    def test_the_environment_names_one_and_an_option_goes_first(
        self, refused: Any, angle: Angle, database: Path
    ) -> None:
        assert angle("stats").status == 0

        assert "missing.db" in refused("stats", "--database", "sqlite:///missing.db")


class TestUsage:
    @pytest.mark.parametrize(
        ("args", "line"),
        [
            (["homepagee"], "No such command 'homepagee'. Did you mean 'homepage'?"),
            (["popular", "--limt", "3"], "No such option '--limt'. Did you mean '--limit'?"),
            (["popular", "--jsn"], "No such option '--jsn'. Did you mean '--json'?"),
            (["popular", "--JSON=1"], "No such option '--JSON'."),
            (["homepage", "ann", "--nonsense"], "No such option '--nonsense'."),
            (["homepage"], "Missing argument 'USER'."),
            (["homepage", "ann", "bob"], "Got unexpected extra argument (bob)"),
            (["after-bid", "ann"], "Missing argument 'ITEM'."),
            (["popular", "--limit"], "Option '--limit' requires an argument."),
            (["stats", "--limit", "3"], "No such option '--limit'."),
            (["popular", "--\x1b[31m"], "No such option '--\\x1b[31m'."),
        ],
    )
    def test_a_mistake_is_told_in_one_line(self, refused: Any, args: list[str], line: str) -> None:
        told = refused(*args)

        assert told.startswith(line)
        assert told.isprintable()

    def test_help_is_for_all(self, angle: Angle) -> None:
        said = angle("--help")

        assert (said.status, said.err) == (0, "")
        assert angle() == said
        for command in (
            *("demo", "import", "migrate", "run", "homepage", "similar", "after-bid"),
            *("popular", "interests", "stats", "check"),
        ):
            assert f" {command} " in said.out
            one = angle(command, "--help")
            assert one.status == 0
            assert max(map(len, one.out.splitlines())) <= 80
        assert max(map(len, said.out.splitlines())) <= 80

    def test_the_version(self, angle: Angle) -> None:
        said = angle("--version")

        assert (said.status, said.err) == (0, "")
        assert said.out.startswith("angle-reco 0.")
