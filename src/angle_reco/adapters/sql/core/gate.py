"""Keeps threads out of SQLite while the process forks.

The C library's mutexes that a thread holds at the fork stay locked in the child, and so
does a transaction: SQLite would count the child among its holders. A connection that is
merely open is no better: in the child SQLite believes that the file is locked, which the
operating system does not, and what the child commits can be lost. So at the fork no thread
is inside, and no connection of ours is open.
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

from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.ports.deadlines import time_left
from angle_reco.ports.forks import at_fork

MOST_SECONDS = 1.0
"""A fork waits so long for threads to leave SQLite, and then happens."""

SECONDS_UNTIL_INTERRUPTED = 0.5
"""A unit of work that has not ended by then is interrupted, and repeated after the fork."""

_SECONDS_BETWEEN_LOOKS = 0.01
_MOST_MILLISECONDS_BUSY = 100
"""SQLite cannot be interrupted while it waits for another writer: it waits in such steps."""

_MOST_REPEATS = 20
_IS_OURS = "angle_reco_is_ours"
_LOCKED_AT = "angle_reco_locked_at"

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class LeftForForkError(StorageUnavailableError):
    """A unit of work was interrupted because the process forks; nothing of it was kept."""

    def __str__(self) -> str:
        return "a read or write was interrupted because this process forks"


@attrs.define(eq=False)
class Visit:
    """A unit of work inside SQLite: its thread, and its connection if that is ours."""

    thread: int
    raw: sqlite3.Connection | None = None
    is_interrupted: bool = False

    def on(self, connection: sa.Connection) -> None:
        """Note the connection, which may be interrupted if it is of an engine of ours."""
        raw = connection.connection.dbapi_connection
        if connection.info.get(_IS_OURS) and isinstance(raw, sqlite3.Connection):
            self.raw = raw

    def interrupt(self) -> None:
        """End the statement that is running, if one is."""
        if self.raw is not None:
            self.is_interrupted = True
            with suppress(sqlite3.ProgrammingError):  # It is closed by now.
                self.raw.interrupt()


class Gate:
    """Counts the units of work inside SQLite; closed, it lets no other thread in.

    A thread that is inside may enter again: others would wait for it in vain.
    """

    def __init__(self) -> None:
        self._changed = Condition()  # Of an RLock: a signal's handler may fork, too.
        self._visits: set[Visit] = set()
        self._forks = 0
        self._left_inside = 0

    @contextmanager
    def entered(self) -> Iterator[Visit]:
        """Be inside SQLite until the block ends.

        Raises:
            LeftForForkError: A fork interrupted the unit of work, or lasted too long.
        """
        visit = self._enter()
        try:
            yield visit
        except DBAPIError as error:
            if visit.is_interrupted and _code(error) == sqlite3.SQLITE_INTERRUPT:
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
        """Let no other thread in, and wait for those inside to leave, interrupting them."""
        began, me = monotonic(), get_ident()
        with self._changed:
            self._forks += 1
            while others := [visit for visit in self._visits if visit.thread != me]:
                passed = monotonic() - began
                if passed >= MOST_SECONDS:
                    break
                if passed >= SECONDS_UNTIL_INTERRUPTED:
                    # Again and again: between two statements it has no effect.
                    for visit in others:
                        visit.interrupt()
                self._changed.wait(_SECONDS_BETWEEN_LOOKS)
            self._left_inside = len(others)

    def open(self) -> None:
        """Let threads in again, after the fork."""
        with self._changed:
            self._forks -= 1
            left, self._left_inside = self._left_inside, 0
            self._changed.notify_all()
        if left:
            # The child may hang: a mutex of SQLite's may be locked in it for ever.
            _log.warning("forked with threads inside the database: threads=%d", left)

    def start_over(self) -> None:
        """Forget, in the child, the threads of the parent."""
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
    """Return what *unit* returns, which is repeated while forks interrupt it and there is time.

    Raises:
        LeftForForkError: It was interrupted too often, or its time is over.
    """
    for _ in range(_MOST_REPEATS):
        with suppress(LeftForForkError):
            return unit()
        if time_left() == 0:
            break
    return unit()


GATE = Gate()
"""That of this process: SQLite's mutexes are the process's, too."""

_engines: WeakSet[sa.Engine] = WeakSet()


def close_at_fork(engine: sa.Engine) -> None:
    """Have an engine of ours on SQLite interrupted if need be, and closed before each fork."""

    @sa.event.listens_for(engine, "connect")
    def mark(_: object, record: Any) -> None:
        record.info[_IS_OURS] = True

    _engines.add(engine)


def begin_immediate(connection: sa.Connection, raw: sqlite3.Connection) -> None:
    """Begin a transaction as SQLite's one writer, waiting for another as the connection says.

    Raises:
        LeftForForkError: The process forks, and another writer is still at it.
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
    """Return for how long the transaction on *connection* has kept SQLite locked."""
    is_sqlite = connection.dialect.name == "sqlite"
    return monotonic() - connection.info.get(_LOCKED_AT, monotonic()) if is_sqlite else 0.0


def _is_writer(connection: sa.Connection, ends_at: float) -> bool:
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except DBAPIError as error:
        if _code(error) != sqlite3.SQLITE_BUSY or monotonic() >= ends_at:
            raise
        return False
    return True


def _code(error: DBAPIError) -> int:
    """Return SQLite's primary code of an error, 0 for another's."""
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF


def _before_fork() -> None:
    GATE.close()
    for engine in list(_engines):
        engine.dispose()


def _in_child() -> None:
    GATE.start_over()
    for engine in list(_engines):
        # Without closing what a thread of the parent still has.
        engine.dispose(close=False)


at_fork(before=_before_fork, in_parent=GATE.open, in_child=_in_child)
