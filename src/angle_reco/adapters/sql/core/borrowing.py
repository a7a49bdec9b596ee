"""Run all work on one connection of the host, for test suites and databases in memory.

A test suite that rolls back each test, and a database in memory, offer no second connection
that sees the same rows. A unit of work therefore runs within the host's transaction, or in a
separate one if none has started.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from angle_reco.adapters.sql.core.host_connection import (
    Driver,
    HostConnection,
    driver_of,
    opened_connection,
    reason_to_refuse,
)
from angle_reco.adapters.sql.core.sqlite_functions import add_functions
from angle_reco.domain.errors import InvalidValueError, StorageError, StorageUnavailableError

_EXPECTED = (
    "an open Connection or Session of SQLAlchemy on psycopg 3 or sqlite3, a connection of these"
    " drivers, or Django's"
)
_SAVEPOINT = "SAVEPOINT angle_reco_unit"
_RELEASE = "RELEASE SAVEPOINT angle_reco_unit"
_ROLLBACK_TO = "ROLLBACK TO SAVEPOINT angle_reco_unit"
_LOCK_TIMEOUT = "SELECT set_config('lock_timeout', '{}', true)"


@attrs.frozen(eq=False)
class Borrowed:
    """A connection of the host, and an *engine* on it that never commits or closes it.

    Where the host's connection begins transactions implicitly (*autobegins*), a transaction
    that a unit of work begins stays open, as after a statement of the host.
    """

    engine: sa.Engine
    _host: HostConnection
    _autobegins: bool
    _checked_out: object = None

    @property
    def raw(self) -> Any:
        """Return the driver's connection."""
        return self._host.raw

    @contextmanager
    def unit(self, *, writes: bool) -> Iterator[None]:
        """Run a unit of work atomically, within the host's transaction if one has started.

        Raises:
            StorageUnavailableError: The connection is closed.
            StorageError: The connection is in a state in which it accepts no statement.
        """
        if self._host.is_closed:
            raise StorageUnavailableError("the connection that was given is closed")
        raw = self.raw
        if (reason := reason_to_refuse(raw)) is not None:
            raise StorageError(f"the connection that was given is {reason[0]}")
        if isinstance(raw, sqlite3.Connection) and not writes:
            # On SQLite, a failed read does not change the transaction.
            yield
            return
        self._host.begin()
        in_transaction = _in_transaction(raw)
        if not in_transaction:
            _execute(raw, "BEGIN")
        if in_transaction or self._autobegins:
            with _within_savepoint(raw):
                yield
            return
        try:
            yield
        except BaseException:
            _execute(raw, "ROLLBACK")
            raise
        _execute(raw, "COMMIT")


def borrow(connection: object) -> Borrowed:
    """Return a host's connection to work on; nothing is sent on it yet.

    Raises:
        InvalidValueError: The connection is closed or of a kind that is not supported.
    """
    opened = opened_connection(connection)
    if opened is None:
        # Not the connection itself: its repr may show a password.
        raise InvalidValueError("connection", type(connection).__name__, _EXPECTED)
    raw = opened.raw
    autobegins = opened.alchemy is not None or not _autocommits(raw)
    return Borrowed(_engine_on(raw), opened, autobegins)


def borrow_static(engine: sa.Engine) -> Borrowed:
    """Return the one connection of an engine with a StaticPool, as for a database in memory."""
    # Stays checked out: on return, the pool would roll back the host's transaction.
    checked_out = engine.pool.connect()
    raw = checked_out.dbapi_connection
    return Borrowed(_engine_on(raw), HostConnection(None, raw), False, checked_out)


def _engine_on(raw: Any) -> sa.Engine:
    if isinstance(raw, sqlite3.Connection):
        url, ours = "sqlite://", raw
        add_functions(raw)
    elif driver_of(raw) is Driver.PSYCOPG:
        url, ours = "postgresql+psycopg://", _twin(raw)
    else:
        kind = f"{type(raw).__module__}.{type(raw).__name__}"
        raise InvalidValueError("connection", f"one of {kind}", _EXPECTED)
    engine = sa.create_engine(
        url, creator=lambda: ours, poolclass=StaticPool, pool_reset_on_return=None
    )
    engine.hide_parameters = True
    for name in ("do_begin", "do_commit", "do_rollback", "do_close", "do_terminate"):
        setattr(engine.dialect, name, _do_nothing)
    return engine


def _do_nothing(*_: object) -> None:
    """Do nothing, because the host controls the connection and its transaction."""


def _twin(raw: Any) -> Any:
    """Return a second connection object on the session of *raw*, whose rows are tuples."""
    from psycopg import Connection

    class Twin(Connection[Any]):
        def __del__(self, *_: Any) -> None:
            """Leave the session open, because the host closes it."""

    handlers = raw.pgconn.notice_handler, raw.pgconn.notify_handler
    twin = Twin(raw.pgconn)
    # The constructor replaced the handlers: notices and notifications belong to the host.
    raw.pgconn.notice_handler, raw.pgconn.notify_handler = handlers
    # Names of prepared statements would collide with those of the host's connection.
    twin.prepare_threshold = None
    return twin


def _in_transaction(raw: Any) -> bool:
    if isinstance(raw, sqlite3.Connection):
        return raw.in_transaction
    return bool(raw.info.transaction_status)


def _autocommits(raw: Any) -> bool:
    if isinstance(raw, sqlite3.Connection):
        return raw.isolation_level is None
    return bool(raw.autocommit)


@contextmanager
def _within_savepoint(raw: Any) -> Iterator[None]:
    is_postgres = not isinstance(raw, sqlite3.Connection)
    lock_timeout = _execute(raw, "SHOW lock_timeout") if is_postgres else None
    _execute(raw, _SAVEPOINT)
    try:
        yield
    except BaseException:
        with suppress(DBAPIError):
            _execute(raw, _ROLLBACK_TO)
            _execute(raw, _RELEASE)
        raise
    if is_postgres:
        # A local setting outlives the savepoint.
        _execute(raw, _LOCK_TIMEOUT.format(lock_timeout))
    _execute(raw, _RELEASE)


def _execute(raw: Any, statement: str) -> Any:
    """Execute a statement and return the first field of its first row, if any."""
    if isinstance(raw, sqlite3.Connection):
        try:
            raw.cursor(sqlite3.Cursor).execute(statement).close()
        except sqlite3.Error as error:
            raise DBAPIError.instance(statement, None, error, sqlite3.Error) from error
        return None
    from psycopg import Cursor, Error
    from psycopg.rows import tuple_row

    try:
        with Cursor(raw, row_factory=tuple_row) as cursor:
            cursor.execute(statement)
            row = cursor.fetchone() if cursor.description else None
    except Error as error:
        raise DBAPIError.instance(statement, None, error, Error) from error
    return None if row is None else row[0]
