"""Threads that all recommenders of a process share, with a cap for each kind of work of each."""

import atexit
import logging
from collections import deque
from collections.abc import Callable
from threading import Condition, Event, Thread, current_thread
from time import monotonic, sleep
from weakref import WeakSet

from angle_reco.domain.errors import StorageError
from angle_reco.ports.forks import starts_over

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 0.001
_SECONDS_IDLE = 10.0
"""After so long without work a thread ends."""

_SECONDS_AT_EXIT = 0.5
"""The interpreter waits so long at its exit for work that is being done."""


class BackgroundPool:
    """Work of one kind, in its order: at most so many pieces of it are done at once.

    Threads start as they are needed and end when they are not. They are daemons: those of
    `concurrent.futures` are waited for when the interpreter exits, also where a database
    does not answer. These are given a moment: a thread that is ended amid C++ code, as
    NumPy has it, takes the process with it. A forked child has no thread, and nothing
    waits in it, until it submits work itself.
    """

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self._most = most
        self.start_over()
        _lanes.add(self)
        starts_over(self)

    @property
    def is_busy(self) -> bool:
        """Return whether work is being done or waits."""
        return self._running > 0

    def submit(self, work: Callable[[], object]) -> None:
        """Have *work* done soon; what it raises is logged.

        Raises:
            RuntimeError: No thread can be started: the interpreter exits.
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
        """Wait until everything is done, so long at most; False if it is not."""
        until, mine = monotonic() + seconds, _threads.serving(self)
        with _threads.changed:
            while (self._waiting or self._running > mine) and monotonic() < until:
                _threads.changed.wait(0.01)
            return not self._waiting and self._running <= mine

    def drop(self) -> None:
        """Drop what waits."""
        with _threads.changed:
            self._waiting.clear()

    def start_over(self) -> None:
        """Forget the work, which is the parent's."""
        self._waiting = deque[Callable[[], object]]()
        self._running = 0

    def work(self) -> None:
        """Do what waits, until nothing does."""
        while (work := self._next()) is not None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 — no caller is left to raise it to
                level = logging.WARNING if isinstance(error, StorageError) else logging.ERROR
                name = type(error).__name__
                _log.log(level, "work failed: thread=%s error=%s", self.name, name)
            finally:
                # What it held may go while there is nothing to do.
                del work

    def _next(self) -> Callable[[], object] | None:
        with _threads.changed:
            if self._waiting:
                return self._waiting.popleft()
            self._running -= 1
            return None


class _Idle:
    """A thread that waits for a lane to serve."""

    def __init__(self) -> None:
        self.lane: BackgroundPool | None = None
        self.has_lane = Event()


class _Threads:
    """The threads; the one that was idle last works next, so that others end."""

    def __init__(self) -> None:
        self.start_over()
        starts_over(self)

    def start_over(self) -> None:
        self.changed = Condition()
        self._idle: list[_Idle] = []
        self._all: WeakSet[Thread] = WeakSet()

    @property
    def idle(self) -> int:
        """Return how many threads have nothing to do."""
        return len(self._idle)

    def serve(self, lane: BackgroundPool) -> None:
        """Have a thread work for a lane; the caller holds the lock."""
        if self._idle:
            one = self._idle.pop()
            one.lane = lane
            one.has_lane.set()
            return
        name = f"angle-reco-{lane.name}"
        thread = Thread(target=self._run, args=(lane,), name=name, daemon=True)
        thread.lane = lane  # type: ignore[attr-defined]  # ours
        thread.start()
        self._all.add(thread)

    def end_idle(self, seconds: float) -> None:
        """End the threads that have nothing to do; wait so long at most until they have ended."""
        until = monotonic() + seconds
        with self.changed:
            ending = [one for one in self._all if _is_idle(one) and one is not current_thread()]
        while ending and monotonic() < until:
            with self.changed:
                idle, self._idle = self._idle, []
            for one in idle:
                one.has_lane.set()
            sleep(_SECONDS_BETWEEN_LOOKS)
            # One that was about to be idle may be working again.
            ending = [one for one in ending if one.is_alive() and _is_idle(one)]

    def serving(self, lane: BackgroundPool) -> int:
        """Return 1 if the thread that asks works for a lane, else 0."""
        return int(getattr(current_thread(), "lane", None) is lane)

    def _run(self, lane: BackgroundPool | None) -> None:
        thread = current_thread()
        while lane is not None:
            thread.name, thread.lane = f"angle-reco-{lane.name}", lane  # type: ignore[attr-defined]  # ours
            lane.work()
            thread.name, thread.lane = "angle-reco-idle", None  # type: ignore[attr-defined]  # ours
            # What it refers to may go while there is nothing to do.
            lane = None
            lane = self._next()

    def _next(self) -> BackgroundPool | None:
        one = _Idle()
        with self.changed:
            self._idle.append(one)
        one.has_lane.wait(_SECONDS_IDLE)
        with self.changed:
            if one.lane is None and one in self._idle:
                self._idle.remove(one)
            return one.lane


def _is_idle(thread: Thread) -> bool:
    lane: BackgroundPool | None = getattr(thread, "lane", None)
    return lane is None or not lane.is_busy


def end_idle_threads(seconds: float) -> None:
    """End the threads that have nothing to do; later work starts new ones."""
    _threads.end_idle(seconds)


_lanes: WeakSet[BackgroundPool] = WeakSet()
_threads = _Threads()


def _settle_at_exit() -> None:
    until = monotonic() + _SECONDS_AT_EXIT
    for lane in list(_lanes):
        lane.drop()
    for lane in list(_lanes):
        lane.settle(until - monotonic())


atexit.register(_settle_at_exit)
