"""One thread of the process that has every recommender read its change feed from time to time."""

from contextlib import suppress
from threading import Condition, Thread
from typing import Protocol
from weakref import WeakSet

from angle_reco.ports.forks import reset_in_child

_SECONDS_BETWEEN_TICKS = 1.0


class Ticking(Protocol):
    """An object that the ticker calls."""

    def tick(self) -> None:
        """Start what is due, in another thread.

        Raises:
            RuntimeError: No thread can be started, because the interpreter exits.
        """
        ...


class Ticker:
    """A thread that calls `tick` of each object once a second, as long as there is one."""

    def __init__(self) -> None:
        self.reset_after_fork()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Drop the objects and the thread, which belong to the parent."""
        self._changed, self._is_alive = Condition(), False
        self._ticking: WeakSet[Ticking] = WeakSet()

    def add(self, one: Ticking) -> None:
        """Call *one* from now on, until it is discarded or nothing else refers to it."""
        with self._changed:
            self._ticking.add(one)
            if not self._is_alive:
                Thread(target=self._run, name="angle-reco-ticker", daemon=True).start()
                self._is_alive = True

    def discard(self, one: Ticking) -> None:
        """Call *one* no more."""
        with self._changed:
            self._ticking.discard(one)
            self._changed.notify()

    def _run(self) -> None:
        is_needed = True
        while is_needed:
            self._tick()
            with self._changed:
                self._changed.wait_for(lambda: not self._ticking, _SECONDS_BETWEEN_TICKS)
                is_needed = self._is_alive = len(self._ticking) > 0

    def _tick(self) -> None:
        # The objects are referred to from this frame alone, which ends before the thread waits.
        with self._changed:
            ticking = list(self._ticking)
        for one in ticking:
            with suppress(RuntimeError):
                one.tick()


TICKER = Ticker()
