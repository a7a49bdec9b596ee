"""One connection of the host's on which everything runs: databases in memory, test suites.

A test suite that rolls each test back, and a database in memory, have no second connection
that would see the same rows. A unit of work of ours is then a part of the host's transaction,
and a transaction of its own only where none has started.
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
_TAKE_BACK = "ROLLBACK TO SAVEPOINT angle_reco_unit"
_LOCK_TIMEOUT = "SELECT set_config('lock_timeout', '{}', true)"


@attrs.frozen(eq=False)
class Borrowed:
    """A connection of the host's, and the *engine* of ours on it, which never commits or closes.

    A transaction that a unit of work begins stays open where the host's connection begins
    transactions by itself (*begins_by_itself*), as it would for a statement of the host's.
    """

    engine: sa.Engine
    _host: HostConnection
    _begins_by_itself: bool
    _kept: object = None

    @property
    def raw(self) -> Any:
        """Return the connection of the driver."""
        return self._host.raw

    @contextmanager
    def unit(self, *, writes: bool) -> Iterator[None]:
        """Run a unit of work: all or nothing of it is part of the host's transaction."""
        if self._host.is_closed:
            raise StorageUnavailableError("the connection that was given is closed")
        raw = self.raw
        if (reason := reason_to_refuse(raw)) is not None:
            raise StorageError(f"the connection that was given is {reason[0]}")
        if isinstance(raw, sqlite3.Connection) and not writes:
            # A read that fails leaves SQLite as it was.
            yield
            return
        self._host.begin()
        is_begun = _is_begun(raw)
        if not is_begun:
            _say(raw, "BEGIN")
        if is_begun or self._begins_by_itself:
            with _within_savepoint(raw):
                yield
            return
        try:
            yield
        except BaseException:
            _say(raw, "ROLLBACK")
            raise
        _say(raw, "COMMIT")


def borrow(connection: object) -> Borrowed:
    """Return a host's connection to work on; nothing is sent on it yet.

    Raises:
        InvalidValueError: It is none that can be used.
    """
    opened = opened_connection(connection)
    if opened is None:
        # Not the connection: that may show a password.
        raise InvalidValueError("connection", type(connection).__name__, _EXPECTED)
    raw = opened.raw
    by_itself = opened.alchemy is not None or not _commits_each(raw)
    return Borrowed(_engine_on(raw), opened, by_itself)


def borrow_static(engine: sa.Engine) -> Borrowed:
    """Return the one connection of an engine with a StaticPool, as for a database in memory."""
    # Never given back: the pool would roll back what the host has started on it.
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
        setattr(engine.dialect, name, _leave)
    return engine


def _leave(*_: object) -> None:
    """Leave the connection and its transaction to the host."""


def _twin(raw: Any) -> Any:
    """Return a connection of psycopg on the same session, which makes tuples of rows."""
    from psycopg import Connection

    class Twin(Connection[Any]):
        def __del__(self, *_: Any) -> None:
            """Leave it open: it is the host's to close."""

    handlers = raw.pgconn.notice_handler, raw.pgconn.notify_handler
    twin = Twin(raw.pgconn)
    # Notices and notifications stay the host's.
    raw.pgconn.notice_handler, raw.pgconn.notify_handler = handlers
    # Names of prepared statements would be the same as those of the host's.
    twin.prepare_threshold = None
    return twin


def _is_begun(raw: Any) -> bool:
    if isinstance(raw, sqlite3.Connection):
        return raw.in_transaction
    return bool(raw.info.transaction_status)


def _commits_each(raw: Any) -> bool:
    if isinstance(raw, sqlite3.Connection):
        return raw.isolation_level is None
    return bool(raw.autocommit)


@contextmanager
def _within_savepoint(raw: Any) -> Iterator[None]:
    is_postgres = not isinstance(raw, sqlite3.Connection)
    lock_timeout = _say(raw, "SHOW lock_timeout") if is_postgres else None
    _say(raw, _SAVEPOINT)
    try:
        yield
    except BaseException:
        with suppress(DBAPIError):
            _say(raw, _TAKE_BACK)
            _say(raw, _RELEASE)
        raise
    if is_postgres:
        # What is set locally outlives the savepoint.
        _say(raw, _LOCK_TIMEOUT.format(lock_timeout))
    _say(raw, _RELEASE)


def _say(raw: Any, statement: str) -> Any:
    """Execute a statement by a cursor whose rows are tuples; return its first field, if any."""
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
