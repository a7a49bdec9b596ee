"""Being told by PostgreSQL that something happened."""

import logging
import os
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from threading import Event, Lock, Thread, current_thread
from time import monotonic
from typing import Any
from weakref import WeakSet

import attrs
import psycopg
import sqlalchemy as sa
from psycopg import pq, sql
from psycopg.rows import tuple_row
from sqlalchemy.pool import StaticPool

from angle_reco.adapters.sql.postgres import BoundedConnection
from angle_reco.ports import deadline

_log = logging.getLogger(__name__)

_PATIENCE = 5.0
"""Seconds, for connecting and for being answered."""

_BETWEEN_TRIES = 60.0
_BETWEEN_CHECKS = 30.0
_BETWEEN_LOOKS = 0.25
"""Seconds until somebody who waits looks whether they shall stop."""


class CannotListenError(Exception):
    """What is connected to hears nothing."""


@attrs.define
class News:
    """Whether something has come, and when the server was last heard of."""

    has_come: bool = False
    heard_at: float = 0.0

    def note(self, _: object = None) -> None:
        """Take down that something has."""
        self.has_come, self.heard_at = True, monotonic()


class Listener:
    """Listens on a channel, for one thread at a time, on a connection beside the engine's pool.

    Without one, while it cannot listen and for other threads it knows nothing: then it
    waits for all of the time. Behind a pooler of transactions a `LISTEN` succeeds and
    nothing is ever heard: there the process at the other end is not the one that answers.
    """

    def __init__(self, engine: sa.Engine, channel: str) -> None:
        self._engine = engine
        self._channel = channel
        self._raw: psycopg.Connection[Any] | None = None
        self._news = News()
        self._next_try = 0.0
        self._has_said = False
        self._lock = Lock()
        self._owner: Thread | None = None
        _listeners.add(self)

    def __del__(self) -> None:
        self.close()

    def wait(self, seconds: float, stop: Event) -> bool:
        """Wait until something may have happened; False if nothing has in so many seconds."""
        if not self._is_mine():
            stop.wait(seconds)
            return True
        try:
            return self._wait(seconds, stop)
        except (psycopg.Error, OSError):
            # Whatever was said meanwhile is lost.
            self.close()
            return True
        finally:
            if stop.is_set():
                self.close()

    def close(self) -> None:
        """Let go of the connection; who waits again has another one."""
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.close()

    def leave_to_parent(self) -> None:
        """Begin anew in a process that forked off, without the server hearing of it."""
        raw, self._raw = self._raw, None
        self._lock, self._owner = Lock(), None
        if raw is not None and not raw.closed:
            with Path(os.devnull).open("r+b", buffering=0) as nowhere:
                os.dup2(nowhere.fileno(), raw.fileno())
            raw.close()

    def _is_mine(self) -> bool:
        with self._lock:
            if self._owner is None or not self._owner.is_alive():
                self._owner = current_thread()
            return self._owner is current_thread()

    def _wait(self, seconds: float, stop: Event) -> bool:
        if self._raw is None:
            if monotonic() >= self._next_try and self._begin():
                # What was said before is unknown.
                return True
            stop.wait(seconds)
            return True
        if monotonic() - self._news.heard_at > _BETWEEN_CHECKS:
            # A server that is gone says nothing, either.
            self._ask(self._raw, sql.SQL("SELECT 1"))
            self._news.heard_at = monotonic()
        return self._hear(self._raw, seconds, stop)

    def _hear(self, raw: psycopg.Connection[Any], seconds: float, stop: Event) -> bool:
        ends_at = monotonic() + seconds
        with DefaultSelector() as selector:
            selector.register(raw.fileno(), EVENT_READ)
            while not self._has_heard(raw) and not stop.is_set():
                left = ends_at - monotonic()
                if left <= 0:
                    return False
                selector.select(min(left, _BETWEEN_LOOKS))
        has_come, self._news.has_come = self._news.has_come, False
        return has_come

    def _has_heard(self, raw: psycopg.Connection[Any]) -> bool:
        raw.pgconn.consume_input()
        while raw.pgconn.notifies() is not None:
            self._news.note()
        return self._news.has_come

    def _begin(self) -> bool:
        try:
            self._raw = self._listening()
        except Exception as error:  # noqa: BLE001 — whatever a host does to connect; reading tells
            self._next_try = monotonic() + _BETWEEN_TRIES
            if not self._has_said:
                _log.info("not listening for changes: error=%s", type(error).__name__)
            self._has_said = True
            return False
        self._has_said, self._next_try = False, 0.0
        return True

    def _listening(self) -> psycopg.Connection[Any]:
        raw, self._news = self._connected(), News(heard_at=monotonic())
        try:
            raw.autocommit = True
            # Not a method of ours: nobody would be rid of us while it is open.
            raw.add_notify_handler(self._news.note)
            channel = sql.Identifier(self._channel)
            self._ask(raw, sql.SQL("LISTEN {}").format(channel))
            if self._ask(raw, sql.SQL("SELECT pg_backend_pid()")) != [(raw.info.backend_pid,)]:
                raise CannotListenError
        except BaseException:
            raw.close()
            raise
        return raw

    def _connected(self) -> psycopg.Connection[Any]:
        """Return a new connection, made as the engine makes them, that is in no pool."""
        if isinstance(self._engine.pool, StaticPool):
            raise CannotListenError
        with deadline(_PATIENCE):
            pooled = self._engine.pool.recreate().connect()
        pooled.detach()
        raw = pooled.dbapi_connection
        if not isinstance(raw, psycopg.Connection):
            raise CannotListenError
        if raw.info.transaction_status != pq.TransactionStatus.IDLE:
            # One that a host hands out again and again, perhaps: it stays as it is.
            raise CannotListenError
        return raw

    def _ask(
        self, raw: psycopg.Connection[Any], query: sql.SQL | sql.Composed
    ) -> list[tuple[Any, ...]]:
        if isinstance(raw, BoundedConnection):
            raw.ends_at = monotonic() + _PATIENCE
        with raw.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(query)
            return cursor.fetchall() if cursor.description else []


_listeners: WeakSet[Listener] = WeakSet()


def _leave_to_parent() -> None:
    for listener in list(_listeners):
        listener.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
