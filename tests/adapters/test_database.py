"""Units of work on a database: which run once more when their connection is lost."""

import sqlite3
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import attrs
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from angle_reco.adapters.sql.core.database import Database, Statements
from angle_reco.domain.errors import StorageError
from angle_reco.ports.deadlines import deadline


class CancelledError(sqlite3.OperationalError):
    """As PostgreSQL ends a statement that takes too long."""

    sqlstate = "57014"


def failure(of: type[sqlite3.Error] = sqlite3.OperationalError, *, is_lost: bool) -> DBAPIError:
    return DBAPIError("SELECT 1", {}, of("gone"), connection_invalidated=is_lost)


@attrs.define
class Unit:
    """A unit of work that fails the first time, while it runs or when it commits."""

    database: Database
    error: DBAPIError
    in_commit: bool = False
    tries: int = 0

    def __call__(self, connection: sa.Connection) -> str:
        self.tries += 1
        if not self.in_commit:
            self._fail_once()
        return "done"

    def commit(self, _: sa.Connection) -> None:
        if self.in_commit:
            self._fail_once()

    def _fail_once(self) -> None:
        if self.tries == 1:
            raise self.error

    def write(self, *, is_repeatable: bool = True) -> str:
        sa.event.listen(self.database.engine, "commit", self.commit)
        return self.database.write(self, is_repeatable=is_repeatable)


@pytest.fixture
def database() -> Iterator[Database]:
    """Return a database in memory."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    yield Database(engine)
    engine.dispose()


@pytest.mark.parametrize("seconds", [None, 20.0])
@pytest.mark.parametrize(
    ("in_commit", "is_repeatable"), [(False, True), (False, False), (True, True)]
)
def test_a_unit_that_loses_its_connection_runs_once_more(
    database: Database, in_commit: bool, is_repeatable: bool, seconds: float | None
) -> None:
    unit = Unit(database, failure(is_lost=True), in_commit)

    with nullcontext() if seconds is None else deadline(seconds):
        assert unit.write(is_repeatable=is_repeatable) == "done"

    assert unit.tries == 2


def test_one_that_may_have_been_committed_does_so_only_if_it_is_repeatable(
    database: Database,
) -> None:
    unit = Unit(database, failure(is_lost=True), in_commit=True)

    with pytest.raises(StorageError):
        unit.write(is_repeatable=False)

    assert unit.tries == 1


@pytest.mark.parametrize(
    "error",
    [failure(is_lost=False), failure(CancelledError, is_lost=True)],
    ids=["another error", "time limit"],
)
def test_one_that_fails_for_another_reason_does_not(database: Database, error: DBAPIError) -> None:
    unit = Unit(database, error)

    with pytest.raises(StorageError):
        unit.write()

    assert unit.tries == 1


def test_nor_does_one_of_a_call_without_time(database: Database) -> None:
    unit = Unit(database, failure(is_lost=True))

    with deadline(0), pytest.raises(StorageError):
        unit.write()

    assert unit.tries == 1


def test_a_query_that_loses_its_connection_runs_once_more(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "angle_reco")
    errors = [failure(is_lost=True)]

    def lose(*_: object) -> None:
        if errors:
            raise errors.pop()

    sa.event.listen(database.engine, "before_cursor_execute", lose)

    assert database.scalar(sa.select(sa.literal(7))) == 7
    assert errors == []
    assert caplog.messages == ["connection lost, trying again: error=OperationalError"]


def test_units_are_repeatable_unless_they_say_otherwise(database: Database) -> None:
    unit = Unit(database, failure(is_lost=True), in_commit=True)
    sa.event.listen(database.engine, "commit", unit.commit)

    assert database.write(unit) == "done"
    assert unit.tries == 2


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[Database]]:
    """Return two databases in files, each with an empty table."""
    engines = [sa.create_engine(f"sqlite:///{tmp_path / name}.db") for name in ("one", "other")]
    for engine in engines:
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE t (x)"))
    yield [Database(engine) for engine in engines]
    for engine in engines:
        engine.dispose()


def insert(database: Database) -> int:
    """Insert a row, and return how many were inserted."""
    unit = sa.text("INSERT INTO t VALUES (1)")
    return database.write(lambda connection: connection.execute(unit).rowcount)


def count(database: Database) -> object:
    return database.scalar(sa.text("SELECT count(*) FROM t"))


def test_what_is_written_together_is_one_transaction_of_its_database(files: list[Database]) -> None:
    one, other = files

    def work(fails: bool) -> None:
        assert insert(one) == insert(one) == insert(other) == 1
        if fails:
            raise ValueError("planned")

    with pytest.raises(ValueError, match="planned"):
        one.write_together(lambda: work(fails=True))
    after_a_failure = [count(one), count(other)]
    insert(one)
    after_a_unit = [count(one), count(other)]
    one.write_together(lambda: work(fails=False))

    assert (after_a_failure, after_a_unit) == ([0, 1], [1, 1])
    assert [count(one), count(other)] == [3, 2]


def test_what_fails_while_rows_are_read_is_an_error_of_ours(files: list[Database]) -> None:
    with pytest.raises(StorageError, match="no such column"), files[0].reading() as connection:
        connection.execute(sa.text("SELECT y FROM t"))


def test_each_statement_counts_once() -> None:
    engine, statements = Statements.of(sa.create_engine("sqlite://"))
    with engine.connect() as connection:
        for _ in range(3):
            connection.execute(sa.text("SELECT 1"))

    assert statements.count == 3
