"""Creating, checking and dropping the tables."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.cli.conftest import Angle
from tests.postgres import new_database

WHERE = ["--database", "sqlite:///new.db"]

# SQLite keeps a table of its own once there were numbers that never come again.
_NAMES = "SELECT name FROM sqlite_master WHERE name != 'sqlite_sequence'"


def test_up_status_and_down(angle: Angle) -> None:
    said = [
        angle("migrate", *args, *WHERE)
        for args in (["up"], ["up"], ["status"], ["down", "--yes"], ["down", "--yes"])
    ]

    assert [(one.status, one.err) for one in said] == [(0, "")] * 5
    assert [one.out for one in said] == [
        "schema: brought up to date (revision 0005)\n",
        "schema: up to date (revision 0005)\n",
        "schema: up to date (revision 0005)\n",
        "schema: dropped\n",
        "schema: nothing to drop\n",
    ]
    with closing(sqlite3.connect("new.db")) as tables:
        assert tables.execute(_NAMES).fetchall() == []


def test_json(angle: Angle) -> None:
    answers = [
        json.loads(angle("migrate", *args, "--json", *WHERE).out)
        for args in (["up"], ["up"], ["status"], ["down", "--yes"], ["down", "--yes"])
    ]

    assert [(one["schema"], one["revision"]) for one in answers] == [
        ("brought up to date", "0005"),
        ("up to date", "0005"),
        ("up to date", "0005"),
        ("dropped", None),
        ("nothing to drop", None),
    ]


def test_what_up_made_can_be_asked_at_once(angle: Angle) -> None:
    angle("migrate", "up", *WHERE)

    assert angle("popular", *WHERE).out.startswith("nothing to suggest")
    assert json.loads(angle("stats", "--json", *WHERE).out)["items"] == 0
    assert angle("run", "all", *WHERE).status == 0


def test_down_wants_a_yes(refused: Any, angle: Angle, database: Path) -> None:
    assert "say --yes" in refused("migrate", "down")

    assert json.loads(angle("stats", "--json").out)["items"] == 8


@pytest.mark.parametrize("direction", ["", "sideways", "UP"])
def test_there_is_no_other_way(refused: Any, direction: str) -> None:
    assert "is not one of 'up', 'down', 'status'" in refused("migrate", direction, *WHERE)


def test_status_of_nothing_is_an_error_and_makes_nothing(refused: Any) -> None:
    assert "holds no marketplace" in refused("migrate", "status", *WHERE)
    assert not Path("new.db").exists()


class TestScripts:
    def test_statements_are_printed_and_nothing_is_touched(self, angle: Angle) -> None:
        said = angle("migrate", "up", "--sql", *WHERE)

        assert (said.status, said.err) == (0, "")
        assert not Path("new.db").exists()
        with closing(sqlite3.connect("new.db")) as file:
            file.executescript(said.out)
        assert angle("migrate", "status", *WHERE).out == "schema: up to date (revision 0005)\n"
        with closing(sqlite3.connect("new.db")) as file:
            file.executescript(angle("migrate", "down", "--sql", *WHERE).out)
            assert file.execute(_NAMES).fetchall() == []

    def test_no_server_is_needed_and_no_yes(self, angle: Angle) -> None:
        nowhere = ["--database", "postgresql://ann:secret@nowhere.invalid/shop"]

        up, down = (angle("migrate", way, "--sql", *nowhere) for way in ("up", "down"))

        assert (up.status, down.status) == (0, 0)
        assert "CREATE TABLE angle_reco_similar_lists (\n" in up.out
        assert "SET lock_timeout" in up.out
        assert "DROP TABLE angle_reco_similar_lists;\n" in down.out
        assert "secret" not in up.out + down.out

    def test_json(self, angle: Angle) -> None:
        answer = json.loads(angle("migrate", "up", "--sql", "--json", *WHERE).out)

        assert answer == {"sql": angle("migrate", "up", "--sql", *WHERE).out}

    def test_status_has_none(self, refused: Any) -> None:
        assert refused("migrate", "status", "--sql", *WHERE) == "--sql goes with up or down"


class TestPostgres:
    @pytest.fixture
    def where(self, postgres_url: str) -> Iterator[list[str]]:
        """Return how to name an empty database."""
        with new_database(postgres_url) as url:
            # As people write it.
            plain = sa.make_url(url).set(drivername="postgresql")
            yield ["--database", plain.render_as_string(hide_password=False)]

    def test_up_status_and_down(self, angle: Angle, refused: Any, where: list[str]) -> None:
        assert "holds no marketplace" in refused("migrate", "status", *where)

        said = [
            angle("migrate", *args, *where)
            for args in (["up"], ["up"], ["status"], ["down", "--yes"], ["down", "--yes"])
        ]

        assert [one.out for one in said] == [
            "schema: brought up to date (revision 0005)\n",
            "schema: up to date (revision 0005)\n",
            "schema: up to date (revision 0005)\n",
            "schema: dropped\n",
            "schema: nothing to drop\n",
        ]

    def test_what_up_made_can_be_asked_at_once(self, angle: Angle, where: list[str]) -> None:
        angle("migrate", "up", *where)

        assert angle("popular", *where).out.startswith("nothing to suggest")
        assert angle("run", "all", *where).status == 0
        assert json.loads(angle("stats", "--json", *where).out)["items"] == 0

    def test_a_database_with_tables_of_its_own_is_left_alone(
        self, angle: Angle, refused: Any, where: list[str]
    ) -> None:
        engine = sa.create_engine(where[1].replace("postgresql:", "postgresql+psycopg:", 1))
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE users (name text)")

        line = refused("migrate", "up", *where)

        names = sa.inspect(engine).get_table_names()
        engine.dispose()
        assert "holds other tables already (users): choose another schema or prefix, or" in line
        assert names == ["users"]
