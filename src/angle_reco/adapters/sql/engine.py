"""Engines of our own, and units of work on any: in time, all or nothing, errors our own."""

import logging
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any, TypeVar
from weakref import WeakSet

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, TimeoutError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool, SingletonThreadPool
from sqlalchemy.util.queue import Empty, Queue

from angle_reco.adapters.sql.errors import translated
from angle_reco.domain import InvalidValueError
from angle_reco.ports import time_left

BUSY_SECONDS = 30
"""How long a statement waits for another process that is writing to SQLite."""

PATIENCE = 100
"""How many times the deadline of a call a statement outside of calls may take, as in jobs."""

_POOL_SIZE = 5
_READ_ONLY = "25006"
_SQLITE = ("sqlite", "sqlite+pysqlite")
_POSTGRES = ("postgresql", "postgresql+psycopg")
_EXPECTED = "a database URL such as postgresql:///shop or sqlite:///shop.db"

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def open_engine(url: str, deadline: timedelta = timedelta(seconds=2)) -> sa.Engine:
    """Return an engine for a database URL such as `sqlite:///shop.db`; nothing connects yet.

    On PostgreSQL it has a small pool. Half of *deadline* is the most to wait for one of
    its connections, and for making one; a statement takes at most all of it.

    Raises:
        InvalidValueError: It is no URL of a database that is supported.
    """
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):  # the latter for ports that are no numbers
        # The text may hold a password, so the error does not repeat it.
        raise InvalidValueError("database", "no URL", _EXPECTED) from None
    if parsed.drivername in _SQLITE:
        return _sqlite_engine(parsed)
    if parsed.drivername in _POSTGRES:
        return _postgres_engine(parsed.set(drivername="postgresql+psycopg"), deadline)
    raise InvalidValueError("database", _without_secrets(parsed), _EXPECTED)


def check_engine(engine: sa.Engine) -> None:
    """Refuse an engine that cannot be served.

    Raises:
        InvalidValueError: It is of another database or driver, or gives each thread a
            database of its own.
    """
    dialect = engine.dialect
    if (dialect.name, dialect.driver) not in {("sqlite", "pysqlite"), ("postgresql", "psycopg")}:
        expected = "one of PostgreSQL with psycopg, or of SQLite"
        raise InvalidValueError("engine", f"{dialect.name}+{dialect.driver}", expected)
    if isinstance(engine.pool, SingletonThreadPool):
        raise InvalidValueError(
            "engine", "a database in memory", "one of a file, or with a StaticPool"
        )


def file_of(engine: sa.Engine) -> Path:
    """Return the file that an engine of SQLite keeps its data in."""
    return Path(engine.url.database or "")


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    if url.host or not url.database or url.database == ":memory:" or url.query:
        raise InvalidValueError(
            "database",
            _without_secrets(url),
            "a database URL such as sqlite:///shop.db: a file of SQLite, without a host or options",
        )
    return sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS})


def _postgres_engine(url: sa.URL, deadline: timedelta) -> sa.Engine:
    from angle_reco.adapters.sql.postgres import BoundedConnection, connect_options

    seconds = deadline.total_seconds()
    if isinstance(password := url.query.get("password"), str):
        # Where it is hidden when the engine is shown.
        url = url.set(password=password).difference_update_query(["password"])
    engine = sa.create_engine(
        url,
        isolation_level="READ COMMITTED",
        poolclass=_Pool,
        pool_size=_POOL_SIZE,
        max_overflow=0,
        pool_timeout=seconds / 2,
        pool_use_lifo=True,
        connect_args=connect_options(url, seconds),
    )

    @sa.event.listens_for(engine, "do_connect")
    def connect(_: object, __: object, args: list[Any], options: dict[str, Any]) -> Any:
        # How SQLAlchemy would have JSON and addresses read: we have neither.
        options.pop("context", None)
        left = time_left()
        most = seconds / 2 if left is None else min(seconds / 2, left)
        return BoundedConnection.connect_within(most, *args, **options)

    @sa.event.listens_for(engine, "checkout")
    def take(raw: BoundedConnection, *_: object) -> None:
        raw.ends_at = None

    @sa.event.listens_for(engine, "handle_error")
    def let_go(context: sa.engine.ExceptionContext) -> None:
        if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
            # A new connection may find the server that takes writes now.
            context.is_disconnect = True
            context.invalidate_pool_on_disconnect = False

    _engines.add(engine)
    return engine


_engines: WeakSet[sa.Engine] = WeakSet()


def _leave_to_parent() -> None:
    """Let go, in a process that forked off, of connections that are its parent's."""
    if not _engines:
        return
    from angle_reco.adapters.sql.postgres import BoundedConnection

    BoundedConnection.leave_all()
    for engine in list(_engines):
        engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


@attrs.define(eq=False)
class _Turn:
    """One who waits for a connection, and the one that was handed over."""

    has_come: Event = attrs.field(factory=Event)
    handed: ConnectionPoolEntry | None = None


class _Queue(Queue[ConnectionPoolEntry]):
    """Free connections, handed to those who wait for one in the order in which they came.

    Otherwise whoever gives one back takes it again before the others have woken up, and
    some wait for ever. A call waits no longer than it has time.
    """

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        super().__init__(maxsize, use_lifo)
        self._turns = deque[_Turn]()

    def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
        turn = _Turn()
        with self.mutex:
            if not block or not self._empty():
                return super().get(block=False)
            self._turns.append(turn)
        left = time_left()
        if left is not None:
            timeout = left if timeout is None else min(timeout, left)
        try:
            turn.has_come.wait(timeout)
        except BaseException:
            with self.mutex:
                self._leave(turn)
                if turn.handed is not None:
                    self.put(turn.handed, block=False)
            raise
        with self.mutex:
            self._leave(turn)
            if turn.handed is None:
                raise Empty
            return turn.handed

    def put(
        self, item: ConnectionPoolEntry, block: bool = True, timeout: float | None = None
    ) -> None:
        with self.mutex:
            if not self._turns:
                super().put(item, block, timeout)
                return
            turn = self._turns.popleft()
            turn.handed = item
            turn.has_come.set()

    def _leave(self, turn: _Turn) -> None:
        if turn in self._turns:
            self._turns.remove(turn)


class _Pool(QueuePool):
    """A pool in which a call waits no longer than it has time."""

    _queue_class = _Queue


def _without_secrets(url: sa.URL) -> str:
    # What follows the question mark may hold a password too.
    return url.set(query={}).render_as_string(hide_password=True)


@attrs.frozen
class Database:
    """An engine, and how long units of work on it may take.

    Within a call (`angle_reco.ports.deadline`) that is what the call has left; elsewhere
    work is patient. A unit that met a lost connection runs once more on a new one.
    """

    engine: sa.Engine
    deadline: timedelta = timedelta(seconds=2)

    @property
    def dialect(self) -> str:
        """Return which database it is: `postgresql` or `sqlite`."""
        return self.engine.dialect.name

    @property
    def is_postgres(self) -> bool:
        """Return whether this is PostgreSQL, and not SQLite."""
        return self.dialect == "postgresql"

    def rows(self, query: sa.Executable, values: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """Return all rows of one statement."""
        return self._again_if_lost(lambda: self._rows(query, values))

    def scalar(self, query: sa.Executable, values: Mapping[str, Any] | None = None) -> Any:
        """Return the first field of the first row, None without rows."""
        rows = self.rows(query, values)
        return rows[0][0] if rows else None

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a connection for reading; one that is lost meanwhile is an error."""
        try:
            with ExitStack() as opened:
                yield self._again_if_lost(lambda: self._opened(opened))
        except (DBAPIError, TimeoutError) as error:
            raise translated(error) from error

    def write(self, unit: Callable[[sa.Connection], _T], *, is_repeatable: bool = True) -> _T:
        """Return what *unit* returns, in a transaction: all of it is kept, or nothing.

        When the connection is lost it runs once more. One that is not *repeatable* does so
        only if nothing of it can have been kept.
        """
        is_committing = False

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

    def _rows(self, query: sa.Executable, values: Mapping[str, Any] | None) -> Sequence[Any]:
        with self.connected() as connection:
            if time_left() is not None and self._is_ours(connection):
                # One trip instead of three: a statement alone needs no transaction.
                connection.execution_options(isolation_level="AUTOCOMMIT")
            self._limit(connection)
            return connection.execute(query, values or {}).all()

    def _opened(self, until_closed: ExitStack) -> sa.Connection:
        with ExitStack() as opening:
            connection = opening.enter_context(self.connected())
            # On PostgreSQL this is a statement, which shows whether the connection lives.
            self._limit(connection, may_trust=False)
            until_closed.push(opening.pop_all())
        return connection

    @contextmanager
    def connected(self, *, begins: bool = False) -> Iterator[sa.Connection]:
        """Open a connection, and a transaction if it *begins* one."""
        with ExitStack() as until_closed:
            connection = until_closed.enter_context(self.engine.connect())
            if self.is_postgres:
                from angle_reco.adapters.sql.postgres import (
                    closed_if_unfinished,
                    seeing_what_is_committed,
                )

                until_closed.enter_context(seeing_what_is_committed(connection))
            if begins:
                until_closed.enter_context(connection.begin())
            if self.is_postgres:
                until_closed.enter_context(closed_if_unfinished(connection))
            yield connection

    def _is_ours(self, connection: sa.Connection) -> bool:
        """Return whether a connection watches its time by itself."""
        if not self.is_postgres:
            return False
        from angle_reco.adapters.sql.postgres import BoundedConnection

        return isinstance(connection.connection.dbapi_connection, BoundedConnection)

    def _again_if_lost(
        self, unit: Callable[[], _T], may_repeat: Callable[[], bool] = lambda: True
    ) -> _T:
        try:
            try:
                return unit()
            except DBAPIError as error:
                if not error.connection_invalidated or not may_repeat() or time_left() == 0:
                    raise
                _log.info("connection lost, trying again: error=%s", type(error.orig).__name__)
                return unit()
        except (DBAPIError, TimeoutError) as error:
            raise translated(error) from error

    def _limit(self, connection: sa.Connection, *, may_trust: bool = True) -> None:
        """Have what runs on a connection end when it should."""
        if not self.is_postgres:
            return
        from angle_reco.adapters.sql.postgres import limit_time

        left = time_left()
        patience = self.deadline.total_seconds() * PATIENCE
        seconds = patience if left is None else left
        limit_time(connection, seconds, is_call=may_trust and left is not None)


def begin_writing(connection: sa.Connection) -> None:
    """Have statements count their rows, and take SQLite's lock for writers now.

    Later, halfway, that might fail. Python's driver begins transactions late, and never
    for tables; beginning it ourselves also makes changes of the schema part of it.
    """
    # How many rows an INSERT wrote is forgotten otherwise.
    connection.execution_options(preserve_rowcount=True)
    raw = connection.connection.dbapi_connection
    if isinstance(raw, sqlite3.Connection) and not raw.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
