"""Units of work on a database: which run once more when their connection is lost."""

import sqlite3
from collections.abc import Iterator
from contextlib import nullcontext

import attrs
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from angle_reco.adapters.sql.core.database import Database
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
