"""Units of work on a database: limited in time, atomic, with the library's errors."""

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, TimeoutError

from angle_reco.adapters.sql.core.errors import ran_out_of_time, translated
from angle_reco.adapters.sql.core.gate import GATE, begin_immediate, repeated_after_forks
from angle_reco.adapters.sql.core.pool import PATIENCE
from angle_reco.ports.deadlines import time_left
from angle_reco.ports.forks import reset_in_child

if TYPE_CHECKING:
    from angle_reco.adapters.sql.core.borrowing import Borrowed

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


_open_unit: ContextVar[tuple[sa.Engine, sa.Connection] | None] = ContextVar(
    "_open_unit", default=None
)
"""The unit of `Database.write_together` that is under way, with its engine."""


@attrs.define(eq=False)
class Statements:
    """Counts the statements sent, except bulk copies of PostgreSQL."""

    count: int = 0
    _lock: Lock = attrs.field(factory=Lock, repr=False)

    def __attrs_post_init__(self) -> None:
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Replace the lock: a thread of the parent may have held it at the fork."""
        self._lock = Lock()

    @classmethod
    def of(cls, engine: sa.Engine) -> "tuple[sa.Engine, Statements]":
        """Return an engine on the same pool, and the counter of the statements sent on it."""
        mine, statements = engine.execution_options(), cls()
        sa.event.listen(mine, "before_cursor_execute", statements._note)
        return mine, statements

    def _note(self, *_: object) -> None:
        with self._lock:
            self.count += 1


@attrs.frozen
class Database:
    """An engine, and the time limits for units of work on it.

    Within a call (`angle_reco.ports.deadlines`), a unit may take the time that the call has
    left; elsewhere, on PostgreSQL, *deadline* times `PATIENCE`. A unit that loses its connection
    runs once more on a new one. *homes* are the schemas that unqualified names may resolve to
    on a connection, empty if unknown. With a *borrowed* connection, units run within the
    host's transaction and without limits.
    """

    engine: sa.Engine = attrs.field(repr=lambda engine: engine.dialect.name)
    deadline: timedelta = timedelta(seconds=2)
    homes: tuple[str, ...] = ()
    borrowed: "Borrowed | None" = None

    @property
    def dialect(self) -> str:
        """Return the name of the dialect: `postgresql` or `sqlite`."""
        return self.engine.dialect.name

    @property
    def is_postgres(self) -> bool:
        """Return whether the database is PostgreSQL rather than SQLite."""
        return self.dialect == "postgresql"

    @property
    def is_at_home(self) -> sa.ColumnElement[bool]:
        """Return the condition that the current schema is one of *homes*, if these are known."""
        if not self.homes:
            return sa.true()
        return sa.func.current_schema().in_([sa.literal(one, sa.Text) for one in self.homes])

    def rows(self, query: sa.Executable, values: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """Return all rows of one statement."""
        return self._again_if_lost(lambda: self._rows(query, values))

    def scalar(self, query: sa.Executable, values: Mapping[str, Any] | None = None) -> Any:
        """Return the first field of the first row, or None without rows."""
        rows = self.rows(query, values)
        return rows[0][0] if rows else None

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a connection for reading; losing it within the block is an error."""
        try:
            with ExitStack() as opened:
                yield self._again_if_lost(lambda: self._opened(opened))
        except (DBAPIError, TimeoutError) as error:
            raise translated(error) from error

    def write(self, unit: Callable[[sa.Connection], _T], *, is_repeatable: bool = True) -> _T:
        """Run *unit* in a transaction and return its result; it commits as a whole or not at all.

        If the connection is lost, the unit runs once more. Unless it *is_repeatable*, it does so
        only if it cannot have been committed.
        """
        joined = _open_unit.get()
        if joined is not None and joined[0] is self.engine:
            return unit(joined[1])
        is_committing: bool

        def once() -> _T:
            nonlocal is_committing
            is_committing = False
            with self.connected(begins=True) as connection:
                self._limit(connection)
                begin_writing(connection)
                result = unit(connection)
                is_committing = True
            return result

        return self._again_if_lost(once, lambda: is_repeatable or not is_committing)

    def write_together(self, work: Callable[[], _T]) -> _T:
        """Call *work*, whose calls of `write` are one unit in one transaction."""

        def unit(connection: sa.Connection) -> _T:
            token = _open_unit.set((self.engine, connection))
            try:
                return work()
            finally:
                _open_unit.reset(token)

        return self.write(unit)

    def _rows(self, query: sa.Executable, values: Mapping[str, Any] | None) -> Sequence[Any]:
        with self.connected() as connection:
            if time_left() is not None and self._limits_statements(connection):
                # One round trip instead of three: a single statement needs no transaction.
                connection.execution_options(isolation_level="AUTOCOMMIT")
            self._limit(connection)
            return connection.execute(query, values or {}).all()

    def _opened(self, until_closed: ExitStack) -> sa.Connection:
        with ExitStack() as opening:
            connection = opening.enter_context(self.connected())
            # On PostgreSQL this sends a statement, which detects a lost connection.
            self._limit(connection, may_trust=False)
            until_closed.push(opening.pop_all())
        return connection

    @contextmanager
    def connected(self, *, begins: bool = False) -> Iterator[sa.Connection]:
        """Open a connection, and a transaction on it if *begins* is true."""
        with ExitStack() as until_closed:
            if self.borrowed is not None:
                until_closed.enter_context(self.borrowed.unit(writes=begins))
            visit = None if self.is_postgres else until_closed.enter_context(GATE.entered())
            connection = until_closed.enter_context(self.engine.connect())
            if visit is not None:
                visit.on(connection)
            if self.is_postgres:
                from angle_reco.adapters.sql.core.postgres import closed_if_unfinished
            elif time_left() is not None:
                until_closed.enter_context(_waiting_less(connection))
            if begins:
                until_closed.enter_context(connection.begin())
            if self.is_postgres:
                until_closed.enter_context(closed_if_unfinished(connection))
            yield connection

    def _limits_statements(self, connection: sa.Connection) -> bool:
        if not self.is_postgres:
            return False
        from angle_reco.adapters.sql.core.postgres import limits_statements

        return limits_statements(connection)

    def _again_if_lost(
        self, unit: Callable[[], _T], may_repeat: Callable[[], bool] = lambda: True
    ) -> _T:
        return repeated_after_forks(lambda: self._once_more_if_lost(unit, may_repeat))

    def _once_more_if_lost(self, unit: Callable[[], _T], may_repeat: Callable[[], bool]) -> _T:
        try:
            try:
                return unit()
            except DBAPIError as error:
                is_lost = error.connection_invalidated and not ran_out_of_time(error)
                if not is_lost or not may_repeat() or time_left() == 0:
                    raise
                _log.info("connection lost, trying again: error=%s", type(error.orig).__name__)
                return unit()
        except (DBAPIError, TimeoutError) as error:
            raise translated(error) from error

    def _limit(self, connection: sa.Connection, *, may_trust: bool = True) -> None:
        """Limit the time of statements on a connection of PostgreSQL that is not borrowed."""
        if not self.is_postgres or self.borrowed is not None:
            return
        from angle_reco.adapters.sql.core.postgres import limit_time

        left = time_left()
        patience = self.deadline.total_seconds() * PATIENCE
        seconds = patience if left is None else left
        limit_time(connection, seconds, is_call=may_trust and left is not None)


@contextmanager
def _waiting_less(connection: sa.Connection) -> Iterator[None]:
    """Limit a call's wait for another writer of SQLite to the time it has left."""
    raw = connection.connection.dbapi_connection
    if not isinstance(raw, sqlite3.Connection):
        yield
        return
    [(usual,)] = raw.execute("PRAGMA busy_timeout")
    raw.execute(f"PRAGMA busy_timeout = {min(int((time_left() or 0) * 1_000), usual)}")
    try:
        yield
    finally:
        raw.execute(f"PRAGMA busy_timeout = {usual}")


def begin_writing(connection: sa.Connection) -> None:
    """Make statements preserve their row counts, and take SQLite's write lock immediately.

    Taking the lock within the transaction might fail halfway. Python's driver begins
    transactions late, and none for DDL: an explicit BEGIN also covers schema changes.
    """
    # By default, SQLAlchemy discards the row count of an INSERT.
    connection.execution_options(preserve_rowcount=True)
    raw = connection.connection.dbapi_connection
    if isinstance(raw, sqlite3.Connection) and not raw.in_transaction:
        begin_immediate(connection, raw)
