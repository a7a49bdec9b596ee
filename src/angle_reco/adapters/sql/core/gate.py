"""Keeps threads out of SQLite while the process forks.

A mutex of the C library that a thread holds at the fork stays locked in the child. So does a
transaction, because SQLite counts the child among its holders. An idle connection is unsafe,
too: SQLite in the child assumes that the file is locked, the operating system does not, and
a commit of the child can be lost. At a fork, therefore, no thread is inside SQLite and no
connection of the library is open.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Condition, get_ident
from time import monotonic
from typing import Any, TypeVar
from weakref import WeakSet

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from angle_reco.adapters.sql.core.errors import primary_code
from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.ports.deadlines import time_left
from angle_reco.ports.forks import at_fork

MOST_SECONDS = 1.0
"""How long a fork waits for threads to leave SQLite before it proceeds."""

SECONDS_UNTIL_INTERRUPTED = 0.5
"""After this time, running units of work are interrupted, to be repeated after the fork."""

_SECONDS_BETWEEN_LOOKS = 0.01
_MOST_MILLISECONDS_BUSY = 100
"""The longest wait for another writer at a time, because SQLite cannot be interrupted in it."""

_MOST_REPEATS = 20
_IS_OURS = "angle_reco_is_ours"
_LOCKED_AT = "angle_reco_locked_at"

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class LeftForForkError(StorageUnavailableError):
    """A fork of the process interrupted or prevented a unit of work, which changed nothing."""

    def __str__(self) -> str:
        return "a read or write was interrupted because this process forks"


@attrs.define(eq=False)
class Visit:
    """A unit of work inside SQLite: its thread, and its connection if the library opened it."""

    thread: int
    raw: sqlite3.Connection | None = None
    is_interrupted: bool = False

    def on(self, connection: sa.Connection) -> None:
        """Record the connection for `interrupt`, if an engine of the library opened it."""
        raw = connection.connection.dbapi_connection
        if connection.info.get(_IS_OURS) and isinstance(raw, sqlite3.Connection):
            self.raw = raw

    def interrupt(self) -> None:
        """Interrupt the running statement, if any."""
        if self.raw is not None:
            self.is_interrupted = True
            with suppress(sqlite3.ProgrammingError):  # It may be closed by now.
                self.raw.interrupt()


class Gate:
    """Counts the units of work inside SQLite; while closed, it admits no other thread.

    A thread that is inside may enter again: if it were blocked, the fork would wait in vain.
    """

    def __init__(self) -> None:
        self._changed = Condition()  # Has an RLock, because a signal handler may fork, too.
        self._visits: set[Visit] = set()
        self._forks = 0
        self._left_inside = 0

    @contextmanager
    def entered(self) -> Iterator[Visit]:
        """Register a unit of work inside SQLite until the block ends.

        Raises:
            LeftForForkError: A fork interrupted the unit, or lasted longer than the call may.
        """
        visit = self._enter()
        try:
            yield visit
        except DBAPIError as error:
            if visit.is_interrupted and primary_code(error.orig) == sqlite3.SQLITE_INTERRUPT:
                raise LeftForForkError from error
            raise
        finally:
            with self._changed:
                self._visits.discard(visit)
                if self._forks:
                    self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        """Return whether the process is about to fork."""
        return self._forks > 0

    def close(self) -> None:
        """Admit no other thread, and wait for those inside to leave, interrupting late ones."""
        began, me = monotonic(), get_ident()
        with self._changed:
            self._forks += 1
            while others := [visit for visit in self._visits if visit.thread != me]:
                passed = monotonic() - began
                if passed >= MOST_SECONDS:
                    break
                if passed >= SECONDS_UNTIL_INTERRUPTED:
                    # Repeatedly, because an interrupt between two statements has no effect.
                    for visit in others:
                        visit.interrupt()
                self._changed.wait(_SECONDS_BETWEEN_LOOKS)
            self._left_inside = len(others)

    def open(self) -> None:
        """Admit threads again, after the fork."""
        with self._changed:
            self._forks -= 1
            left, self._left_inside = self._left_inside, 0
            self._changed.notify_all()
        if left:
            # The child may hang, because a mutex of SQLite may stay locked in it for ever.
            _log.warning("forked with threads inside the database: threads=%d", left)

    def reset_after_fork(self) -> None:
        """Discard the other threads of the parent, in the child."""
        me = get_ident()
        self._changed, self._forks, self._left_inside = Condition(), 0, 0
        self._visits = {visit for visit in self._visits if visit.thread == me}

    def _enter(self) -> Visit:
        visit = Visit(get_ident())
        with self._changed:
            while self._forks and all(one.thread != visit.thread for one in self._visits):
                if not self._changed.wait(time_left()):
                    raise LeftForForkError
            self._visits.add(visit)
        return visit


def repeated_after_forks(unit: Callable[[], _T]) -> _T:
    """Run *unit* and return its result, repeating it while forks interrupt it and time is left.

    Raises:
        LeftForForkError: Forks interrupted it too often, or its deadline has expired.
    """
    for _ in range(_MOST_REPEATS):
        with suppress(LeftForForkError):
            return unit()
        if time_left() == 0:
            break
    return unit()


GATE = Gate()
"""The gate of this process, because SQLite's mutexes are per process."""

_engines: WeakSet[sa.Engine] = WeakSet()


def close_at_fork(engine: sa.Engine) -> None:
    """Close an engine of SQLite before each fork, interrupting its statements if needed."""

    @sa.event.listens_for(engine, "connect")
    def mark(_: object, record: Any) -> None:
        record.info[_IS_OURS] = True

    _engines.add(engine)


def begin_immediate(connection: sa.Connection, raw: sqlite3.Connection) -> None:
    """Begin a transaction that holds SQLite's write lock, within the connection's busy timeout.

    Raises:
        LeftForForkError: The process forks while another writer holds the lock.
    """
    [(usual,)] = raw.execute("PRAGMA busy_timeout")
    ends_at = monotonic() + usual / 1_000
    raw.execute(f"PRAGMA busy_timeout = {min(usual, _MOST_MILLISECONDS_BUSY)}")
    try:
        while not _is_writer(connection, ends_at):
            if GATE.is_closed:
                raise LeftForForkError
    finally:
        raw.execute(f"PRAGMA busy_timeout = {usual}")
    connection.info[_LOCKED_AT] = monotonic()


def seconds_locked(connection: sa.Connection) -> float:
    """Return the seconds since the transaction took SQLite's write lock, 0 on PostgreSQL."""
    is_sqlite = connection.dialect.name == "sqlite"
    return monotonic() - connection.info.get(_LOCKED_AT, monotonic()) if is_sqlite else 0.0


def _is_writer(connection: sa.Connection, ends_at: float) -> bool:
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except DBAPIError as error:
        if primary_code(error.orig) != sqlite3.SQLITE_BUSY or monotonic() >= ends_at:
            raise
        return False
    return True


def _before_fork() -> None:
    GATE.close()
    for engine in list(_engines):
        engine.dispose()


def _in_child() -> None:
    GATE.reset_after_fork()
    for engine in list(_engines):
        # Closes no connection that a thread of the parent still uses.
        engine.dispose(close=False)


at_fork(before=_before_fork, in_parent=GATE.open, in_child=_in_child)
