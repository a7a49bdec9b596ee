"""Work that nobody waits for: by few threads, which come and go, and hold up no exit."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import NoReturn

import pytest

from angle_reco.ports import threads
from angle_reco.ports.threads import BackgroundPool, Ticker
from tests.application.memories import comes_true

_SECONDS = 20.0
"""So long a shared machine may take for what is done at once."""

_names = map("test-{}".format, count())


class Busy:
    """Work that goes on until it is let go, and how much of it went on at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.let_go = threading.Event()
        self.running = self.most = self.done = 0
        self.by = set[int]()

    def __call__(self) -> None:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.by.add(threading.get_ident())
        self.let_go.wait(_SECONDS)
        with self._lock:
            self.running -= 1
            self.done += 1


@pytest.fixture(autouse=True)
def own_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no thread that other tests have left idle do anything here."""
    monkeypatch.setattr(threads, "_threads", threads._Threads())


@pytest.fixture
def busy() -> Iterator[Busy]:
    """Return work that ends with the test at the latest."""
    busy = Busy()
    yield busy
    busy.let_go.set()


@pytest.fixture
def idles_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let threads end at once when there is nothing to do."""
    monkeypatch.setattr(threads, "_SECONDS_IDLE", 0.01)


def idle_threads() -> int:
    """Return how many threads wait for work."""
    return len(threads._threads._idle)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so, and fail when that takes too long."""
    ends_at = time.monotonic() + _SECONDS
    while not is_so():
        assert time.monotonic() < ends_at
        time.sleep(0.001)


def threads_of(name: str) -> list[threading.Thread]:
    """Return the threads of one that has such a name."""
    return [one for one in threading.enumerate() if one.name == f"angle-reco-{name}"]


class TestThreads:
    def test_there_are_none_before_there_is_work(self) -> None:
        name = next(_names)

        BackgroundPool(name, 4)

        assert threads_of(name) == []

    @pytest.mark.parametrize("most", [1, 2, 5])
    def test_there_are_never_more_than_that_and_all_is_done(self, busy: Busy, most: int) -> None:
        one = BackgroundPool(name := next(_names), most)

        for _ in range(20):
            one.submit(busy)
        wait_until(lambda: busy.running == most)
        alive = len(threads_of(name))
        busy.let_go.set()
        wait_until(lambda: busy.done == 20)

        assert (alive, busy.most, len(busy.by)) == (most, most, most)

    def test_there_are_as_many_as_there_is_work(self, busy: Busy) -> None:
        one = BackgroundPool(name := next(_names), 5)

        for wanted in (1, 2, 3):
            one.submit(busy)
            wait_until(lambda wanted=wanted: busy.running == wanted)  # type: ignore[misc]  # a default binds it

        assert len(threads_of(name)) == 3

    def test_one_that_is_idle_does_the_next_at_once(
        self, busy: Busy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(threads, "_SECONDS_IDLE", 10 * _SECONDS)
        one = BackgroundPool(next(_names), 5)
        busy.let_go.set()

        for wanted in (1, 2, 3):
            one.submit(busy)
            wait_until(lambda wanted=wanted: busy.done == wanted)  # type: ignore[misc]  # a default binds it
            # It is done a moment before the thread is idle.
            wait_until(lambda: idle_threads() == 1)

        assert len(busy.by) == 1

    def test_an_idle_one_is_not_counted_on_twice(self, busy: Busy) -> None:
        one, quick = BackgroundPool(next(_names), 5), threading.Event()
        one.submit(quick.set)
        assert quick.wait(_SECONDS)
        wait_until(lambda: idle_threads() == 1)

        one.submit(busy)
        one.submit(busy)

        wait_until(lambda: busy.running == 2)

    def test_a_single_one_works_in_order(self) -> None:
        one, done = BackgroundPool(next(_names), 1), list[int]()

        for number in range(50):
            one.submit(lambda number=number: done.append(number))  # type: ignore[misc]  # a default binds it
        wait_until(lambda: len(done) == 50)

        assert done == list(range(50))

    @pytest.mark.usefixtures("idles_briefly")
    def test_they_end_when_there_is_nothing_to_do_and_begin_again(self, busy: Busy) -> None:
        one = BackgroundPool(name := next(_names), 3)
        busy.let_go.set()

        for wanted in (3, 6):
            for _ in range(3):
                one.submit(busy)
            wait_until(lambda wanted=wanted: busy.done == wanted)  # type: ignore[misc]  # a default binds it
            wait_until(lambda: threads_of(name) == [] and idle_threads() == 0)

        assert not one.is_busy

    def test_nothing_is_lost_where_threads_end_all_the_time(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(threads, "_SECONDS_IDLE", 0.0)
        one, done = BackgroundPool(next(_names), 3), list[int]()

        def hand_over(first: int) -> None:
            for number in range(first, first + 200):
                one.submit(partial(done.append, number))
                if number % 7 == 0:
                    time.sleep(0.0005)

        hands = [threading.Thread(target=hand_over, args=(1_000 * each,)) for each in range(4)]
        for hand in hands:
            hand.start()
        for hand in hands:
            hand.join(_SECONDS)
        wait_until(lambda: len(done) == 800)

        assert len(set(done)) == 800
        wait_until(lambda: not one.is_busy)

    def test_they_are_daemons(self, busy: Busy) -> None:
        BackgroundPool(name := next(_names), 1).submit(busy)

        assert [one.daemon for one in threads_of(name)] == [True]

    def test_pools_share_threads_and_each_has_its_cap(self, busy: Busy) -> None:
        pools, others = [BackgroundPool(next(_names), 1) for _ in range(3)], Busy()
        busy.let_go.set()
        for pool in pools:
            pool.submit(busy)
            wait_until(lambda pool=pool: not pool.is_busy)  # type: ignore[misc]  # a default binds it
            wait_until(lambda: idle_threads() == 1)
        for pool in pools:
            for _ in range(5):
                pool.submit(others)
        wait_until(lambda: others.running == 3)
        others.let_go.set()
        wait_until(lambda: others.done == 15)

        assert len(busy.by) == 1
        assert others.most == 3

    def test_a_full_lane_keeps_no_other_waiting(self, busy: Busy) -> None:
        full, other, done = (
            BackgroundPool(next(_names), 1),
            BackgroundPool(next(_names), 1),
            threading.Event(),
        )
        for _ in range(10):
            full.submit(busy)

        other.submit(done.set)

        assert done.wait(_SECONDS)


class TestErrors:
    @pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
    def test_what_fails_is_logged_without_what_it_says_and_the_thread_goes_on(
        self, error: type[BaseException], caplog: pytest.LogCaptureFixture
    ) -> None:
        one, by = BackgroundPool("memory", 1), list[int]()

        def fail() -> NoReturn:
            by.append(threading.get_ident())
            raise error("of zz-user-4711")

        with caplog.at_level(logging.DEBUG, "angle_reco"):
            for _ in range(3):
                one.submit(fail)
            one.submit(lambda: by.append(threading.get_ident()))
            wait_until(lambda: len(by) == 4)

        assert len(set(by)) == 1
        assert caplog.messages == [f"work failed: thread=memory error={error.__name__}"] * 3

    def test_without_any_thread_it_is_the_caller_s_error(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, done = BackgroundPool(next(_names), 1), list[str]()
        with monkeypatch.context() as patch:
            patch.setattr(threads, "Thread", _Unable)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                one.submit(lambda: done.append("never"))

        one.submit(lambda: done.append("later"))
        wait_until(lambda: idle_threads() == 1)

        assert done == ["later"]

    def test_where_there_can_be_no_further_one_those_there_are_do_it(
        self, busy: Busy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = BackgroundPool(name := next(_names), 2)
        one.submit(busy)
        wait_until(lambda: busy.running == 1)
        with monkeypatch.context() as patch:
            patch.setattr(threads, "Thread", _Unable)
            one.submit(busy)
        alive = len(threads_of(name))

        busy.let_go.set()

        wait_until(lambda: busy.done == 2)
        assert (alive, len(busy.by)) == (1, 1)


class TestSettling:
    def test_it_waits_until_everything_is_done(self) -> None:
        one, done = BackgroundPool(next(_names), 1), list[int]()

        def work(number: int) -> None:
            time.sleep(0.02)
            done.append(number)

        for number in range(3):
            one.submit(partial(work, number))

        assert one.settle(_SECONDS)
        assert done == [0, 1, 2]

    def test_it_waits_no_longer_than_it_may(self) -> None:
        one, go = BackgroundPool(next(_names), 1), threading.Event()
        one.submit(go.wait)

        assert not one.settle(0.05)
        go.set()
        assert one.settle(_SECONDS)

    def test_where_nothing_was_done_there_is_nothing_to_wait_for(self) -> None:
        assert BackgroundPool(next(_names), 1).settle(0)

    def test_it_returns_as_soon_as_everything_is_done(self) -> None:
        one = BackgroundPool(next(_names), 1)
        one.submit(partial(time.sleep, 0.02))
        started = time.monotonic()

        assert one.settle(_SECONDS)

        assert time.monotonic() - started < _SECONDS / 2


class _Unable(threading.Thread):
    def start(self) -> NoReturn:
        raise RuntimeError("can't start new thread")


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, which must not take long to exit."""
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )


class TestProcesses:
    def test_work_that_hangs_does_not_hold_up_the_exit(self) -> None:
        said = run(
            "import threading\n"
            "from angle_reco.ports.threads import BackgroundPool\n"
            "from angle_reco.ports import threads\n"
            "begun = threading.Event()\n"
            "def hang(): begun.set(); threading.Event().wait()\n"
            "one = BackgroundPool('memory', 1)\n"
            "one.submit(hang); one.submit(hang)\n"
            "begun.wait(); print('bye')\n"
        )

        assert (said.stdout, said.stderr, said.returncode) == ("bye\n", "", 0)

    def test_in_a_process_that_forks_off_it_starts_over(self) -> None:
        said = run(
            "import os, sys, threading\n"
            "from angle_reco.ports.threads import BackgroundPool\n"
            "from angle_reco.ports import threads\n"
            "begun, go = threading.Event(), threading.Event()\n"
            "def hang(): begun.set(); go.wait()\n"
            "def say(what): os.write(1, what.encode())\n"
            "one = BackgroundPool('memory', 1)\n"
            "one.submit(hang); one.submit(lambda: say('parent\\n'))\n"
            "begun.wait()\n"
            # As if another thread held it at that moment.
            "threads._threads.changed.acquire()\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    done = threading.Event()\n"
            "    one.submit(lambda: (say('child\\n'), done.set()))\n"
            "    os._exit(0 if done.wait(10) else 1)\n"
            "threads._threads.changed.release()\n"
            "status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
            "done = threading.Event()\n"
            "go.set(); one.submit(done.set); done.wait(10)\n"
            "sys.exit(status)\n"
        )

        assert (said.stdout, said.returncode) == ("child\nparent\n", 0), said.stderr


class Counting:
    """Counts its ticks, and raises an error if it has one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.ticks, self.is_ticked, self.error = 0, threading.Event(), error

    def tick(self) -> None:
        """Note that it was called."""
        self.ticks += 1
        self.is_ticked.set()
        if self.error is not None:
            raise self.error


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of threads that tests before this one have left."""
    monkeypatch.setattr(threads, "_SECONDS_BETWEEN_TICKS", 0.3)
    return running()


def running() -> list[str]:
    """Return the names of the threads that tick."""
    return [one.name for one in threading.enumerate() if one.name == "angle-reco-ticker"]


def test_an_object_is_called_at_once_and_then_from_time_to_time(names: list[str]) -> None:
    ticking, one = Ticker(), Counting()

    ticking.add(one)
    assert one.is_ticked.wait(20)
    time.sleep(0.1)
    soon = one.ticks
    assert comes_true(lambda: one.ticks >= 3)
    ticking.discard(one)

    assert soon == 1
    assert comes_true(lambda: running() == names)


def test_the_thread_ends_when_nothing_is_left_and_starts_for_the_next(
    names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_SECONDS_BETWEEN_TICKS", 60.0)
    ticking, one = Ticker(), Counting()
    for _ in range(2):
        one.is_ticked.clear()
        ticking.add(one)
        assert one.is_ticked.wait(20)
        assert len(running()) == len(names) + 1
        ticking.discard(one)

        assert comes_true(lambda: running() == names)


def test_one_thread_calls_all_and_an_error_stops_no_other(names: list[str]) -> None:
    ticking = Ticker()
    all_of_them = [Counting(RuntimeError("no thread")), Counting(), Counting(RuntimeError())]
    for one in all_of_them:
        ticking.add(one)

    assert comes_true(lambda: all(one.ticks >= 2 for one in all_of_them))
    assert len(running()) == len(names) + 1
    for one in all_of_them:
        ticking.discard(one)
