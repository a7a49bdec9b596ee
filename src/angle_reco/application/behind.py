"""Work that nobody waits for, or that waits in place of an event loop: in threads of our own."""

import atexit
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Thread
from time import monotonic
from weakref import WeakSet

from angle_reco.ports import starts_over

_log = logging.getLogger(__name__)

_SECONDS_IDLE = 10.0
"""After so long without work a thread ends."""

_SECONDS_AT_EXIT = 0.5
"""For so long does the interpreter wait, when it exits, for what is being done."""


class Behind:
    """At most so many threads, begun as they are needed and gone when they are not.

    They are daemons: those of `concurrent.futures` are waited for when the interpreter
    exits, also where a database does not answer. These are given a moment: a thread that
    is ended amid C++ code, as NumPy has it, takes the process with it. In a process that
    forks off there is no thread, and nothing waits, until it hands work over itself.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self.start_over()
        _all.add(self)
        starts_over(self)

    def submit(self, work: Callable[[], object]) -> None:
        """Have *work* done soon; what it raises is logged."""
        with self._changed:
            self._waiting.append(work)
            if self._idle >= len(self._waiting) or self._threads >= self._most:
                self._changed.notify()
                return
            self._threads += 1
        try:
            Thread(target=self._work, name=f"angle-reco-{self._name}", daemon=True).start()
        except RuntimeError:
            # The interpreter exits, or there can be no more threads.
            with self._changed:
                self._threads -= 1
                if self._threads == 0:
                    with suppress(ValueError):
                        self._waiting.remove(work)
                    raise

    def _work(self) -> None:
        while (work := self._next()) is not None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 — there is nobody to raise it to
                _log.error("work failed: thread=%s error=%s", self._name, type(error).__name__)
            finally:
                # What it held may go while there is nothing to do.
                del work

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            self._idle += 1
            try:
                if not self._waiting:
                    self._changed.wait(_SECONDS_IDLE)
                if self._waiting:
                    return self._waiting.popleft()
                self._threads -= 1
                return None
            finally:
                self._idle -= 1

    def settle(self, seconds: float) -> bool:
        """Wait until everything is done, so long at most; False if it is not."""
        until = monotonic() + seconds
        with self._changed:
            while (self._waiting or self._idle < self._threads) and monotonic() < until:
                self._changed.wait(0.01)
            return not self._waiting and self._idle == self._threads

    def _give_up(self) -> None:
        with self._changed:
            self._waiting.clear()

    def start_over(self) -> None:
        """Forget the threads, which are the parent's, and what waits for them."""
        self._changed = Condition()
        self._waiting = deque[Callable[[], object]]()
        self._threads = self._idle = 0


_all: WeakSet[Behind] = WeakSet()


def _settle_at_exit() -> None:
    until = monotonic() + _SECONDS_AT_EXIT
    for one in list(_all):
        one._give_up()
    for one in list(_all):
        one.settle(until - monotonic())


atexit.register(_settle_at_exit)
