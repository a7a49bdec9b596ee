"""A pool that hands its connections over in turn, and not to whoever comes next."""

from collections import deque
from threading import Event

import attrs
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.util.queue import Empty, Queue

from angle_reco.ports.deadlines import time_left

PATIENCE = 100
"""How many times the deadline of a call work outside of calls may take, as in jobs."""


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
        if timeout is not None:
            # A call with much time, as a heartbeat has, may spend half of it here.
            timeout = timeout * PATIENCE if left is None else min(max(timeout, left / 2), left)
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


class FairPool(QueuePool):
    """A pool in which a call waits no longer than it has time.

    Once it is disposed of, a connection that somebody still has is closed when it comes
    back: nobody would ever take it again.
    """

    _is_over = False

    _queue_class = _Queue

    # What SQLAlchemy says of it is not ours to say: its lines are as of its own pools.
    _sqla_logger_namespace = "sqlalchemy.pool.FairPool"

    def dispose(self) -> None:
        """Close all connections, those that somebody has when they come back."""
        self._is_over = True
        super().dispose()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        super()._do_return_conn(record)
        if self._is_over:
            super().dispose()
