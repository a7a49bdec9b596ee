"""A connection pool that serves waiting threads in the order of their arrival."""

from collections import deque
from threading import Event

import attrs
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.util.queue import Empty, Queue

from angle_reco.ports.deadlines import time_left

PATIENCE = 100
"""The time limit for work outside of calls, such as jobs, as a multiple of a call's deadline."""


@attrs.define(eq=False)
class _Waiter:
    """A thread that waits for a connection, and the connection that it receives."""

    is_served: Event = attrs.field(factory=Event)
    connection: ConnectionPoolEntry | None = None


class _Queue(Queue[ConnectionPoolEntry]):
    """Free connections, which go to the waiting threads in the order of their arrival.

    Without the order, a thread that returns a connection takes it again before the others wake
    up, and some wait for ever. A call waits no longer than it has time left.
    """

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        super().__init__(maxsize, use_lifo)
        self._waiters = deque[_Waiter]()

    def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
        waiter = _Waiter()
        with self.mutex:
            if not block or not self._empty():
                return super().get(block=False)
            self._waiters.append(waiter)
        left = time_left()
        if timeout is not None:
            # A call with a long deadline, such as a heartbeat, may spend half of it here.
            timeout = timeout * PATIENCE if left is None else min(max(timeout, left / 2), left)
        try:
            waiter.is_served.wait(timeout)
        except BaseException:
            with self.mutex:
                self._leave(waiter)
                if waiter.connection is not None:
                    self.put(waiter.connection, block=False)
            raise
        with self.mutex:
            self._leave(waiter)
            if waiter.connection is None:
                raise Empty
            return waiter.connection

    def put(
        self, item: ConnectionPoolEntry, block: bool = True, timeout: float | None = None
    ) -> None:
        with self.mutex:
            if not self._waiters:
                super().put(item, block, timeout)
                return
            waiter = self._waiters.popleft()
            waiter.connection = item
            waiter.is_served.set()

    def _leave(self, waiter: _Waiter) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)


class FairPool(QueuePool):
    """A pool that serves threads in order, and where a call waits no longer than its deadline.

    After the pool is disposed of, it closes each connection that is returned, because no
    thread would take it again.
    """

    _is_disposed = False

    _queue_class = _Queue

    # SQLAlchemy logs about this pool as about its built-in ones, under its own namespace.
    _sqla_logger_namespace = "sqlalchemy.pool.FairPool"

    def dispose(self) -> None:
        """Close all free connections, and those in use when they are returned."""
        self._is_disposed = True
        super().dispose()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        super()._do_return_conn(record)
        if self._is_disposed:
            super().dispose()
