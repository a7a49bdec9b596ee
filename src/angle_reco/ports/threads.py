"""Background threads that all recommenders of a process share: pools with a limit, and a ticker."""

import atexit
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Event, Thread, current_thread
from time import monotonic, sleep
from typing import Protocol
from weakref import WeakSet

from angle_reco.domain.errors import StorageError
from angle_reco.ports.forks import reset_in_child

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 0.001
_SECONDS_BETWEEN_TICKS = 1.0
_SECONDS_IDLE = 10.0
"""A thread ends after this long without work."""

_SECONDS_AT_EXIT = 0.5
"""How long the interpreter waits at its exit for work that is running."""


class BackgroundPool:
    """Work of one kind, done in its order and by at most *most* threads at once.

    Threads start when they are needed and end when they are not. They are daemons: the
    interpreter would wait at its exit for threads of `concurrent.futures`, even for one that
    waits for a database. At exit it waits for these only briefly (`_SECONDS_AT_EXIT`), as a
    thread that ends inside C++ code, such as NumPy's, takes the process with it. A forked
    child has no thread, and waits for none, until it submits work itself.
    """

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self._most = most
        self.reset_after_fork()
        _pools.add(self)
        reset_in_child(self)

    @property
    def is_busy(self) -> bool:
        """Return whether any work is running or waiting."""
        return self._running > 0

    def submit(self, work: Callable[[], object]) -> None:
        """Call *work* soon in a thread; what it raises is logged.

        Raises:
            RuntimeError: No thread can be started, because the interpreter exits.
        """
        with _threads.changed:
            self._waiting.append(work)
            if self._running >= self._most:
                return
            self._running += 1
            try:
                _threads.serve(self)
            except RuntimeError:
                self._running -= 1
                if self._running == 0:
                    self._waiting.remove(work)
                    raise

    def settle(self, seconds: float) -> bool:
        """Wait until the work is done, at most that long; False if it is not.

        Work that the calling thread itself does for the pool is left out.
        """
        until, mine = monotonic() + seconds, _threads.serving(self)
        with _threads.changed:
            while (self._waiting or self._running > mine) and monotonic() < until:
                _threads.changed.wait(0.01)
            return not self._waiting and self._running <= mine

    def drop(self) -> None:
        """Drop the waiting work."""
        with _threads.changed:
            self._waiting.clear()

    def reset_after_fork(self) -> None:
        """Drop the work, which belongs to the parent."""
        self._waiting = deque[Callable[[], object]]()
        self._running = 0

    def work(self) -> None:
        """Do the waiting work until there is none."""
        while (work := self._next()) is not None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 — no caller is left to raise it to
                level = logging.WARNING if isinstance(error, StorageError) else logging.ERROR
                name = type(error).__name__
                _log.log(level, "work failed: thread=%s error=%s", self.name, name)
            finally:
                # Release what it refers to as soon as it is done.
                del work

    def _next(self) -> Callable[[], object] | None:
        with _threads.changed:
            if self._waiting:
                return self._waiting.popleft()
            self._running -= 1
            return None


class _Idle:
    """A thread that waits for a pool to work for."""

    def __init__(self) -> None:
        self.pool: BackgroundPool | None = None
        self.has_pool = Event()


class _Threads:
    """The threads; the last to become idle works next, so that the others can end."""

    def __init__(self) -> None:
        self.reset_after_fork()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        self.changed = Condition()
        self._idle: list[_Idle] = []
        self._all: WeakSet[Thread] = WeakSet()

    def serve(self, pool: BackgroundPool) -> None:
        """Have an idle or a new thread work for a pool; the caller holds the lock."""
        if self._idle:
            one = self._idle.pop()
            one.pool = pool
            one.has_pool.set()
            return
        name = f"angle-reco-{pool.name}"
        thread = Thread(target=self._run, args=(pool,), name=name, daemon=True)
        thread.pool = pool  # type: ignore[attr-defined]  # ours
        thread.start()
        self._all.add(thread)

    def end_idle(self, seconds: float) -> None:
        """End the threads that are idle; wait at most that long until they have ended."""
        until = monotonic() + seconds
        with self.changed:
            ending = [one for one in self._all if _is_idle(one) and one is not current_thread()]
        while ending and monotonic() < until:
            with self.changed:
                idle, self._idle = self._idle, []
            for one in idle:
                one.has_pool.set()
            sleep(_SECONDS_BETWEEN_LOOKS)
            # A thread that was about to become idle may be working again.
            ending = [one for one in ending if one.is_alive() and _is_idle(one)]

    def serving(self, pool: BackgroundPool) -> int:
        """Return 1 if the calling thread works for the pool, else 0."""
        return int(getattr(current_thread(), "pool", None) is pool)

    def _run(self, pool: BackgroundPool | None) -> None:
        thread = current_thread()
        while pool is not None:
            thread.name, thread.pool = f"angle-reco-{pool.name}", pool  # type: ignore[attr-defined]  # ours
            pool.work()
            thread.name, thread.pool = "angle-reco-idle", None  # type: ignore[attr-defined]  # ours
            # Release the pool while the thread is idle.
            pool = None
            pool = self._next()

    def _next(self) -> BackgroundPool | None:
        one = _Idle()
        with self.changed:
            self._idle.append(one)
        one.has_pool.wait(_SECONDS_IDLE)
        with self.changed:
            if one.pool is None and one in self._idle:
                self._idle.remove(one)
            return one.pool


def _is_idle(thread: Thread) -> bool:
    pool: BackgroundPool | None = getattr(thread, "pool", None)
    return pool is None or not pool.is_busy


def end_idle_threads(seconds: float) -> None:
    """End the idle threads; later work starts new ones."""
    _threads.end_idle(seconds)


_pools: WeakSet[BackgroundPool] = WeakSet()
_threads = _Threads()


def _settle_at_exit() -> None:
    until = monotonic() + _SECONDS_AT_EXIT
    for pool in list(_pools):
        pool.drop()
    for pool in list(_pools):
        pool.settle(until - monotonic())


atexit.register(_settle_at_exit)


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
        # Only this frame, which ends before the thread waits, refers to the objects.
        with self._changed:
            ticking = list(self._ticking)
        for one in ticking:
            with suppress(RuntimeError):  # No thread can be started any more.
                one.tick()


TICKER = Ticker()
"""The one ticker of the process, which has every recommender read its change feed."""
