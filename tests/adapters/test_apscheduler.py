"""Queues and wake-ups by APScheduler."""

import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Event, Lock, current_thread
from threading import enumerate as enumerate_threads
from time import monotonic, sleep

import attrs
import pytest

from angle_reco.adapters.apscheduler import ApsScheduler
from angle_reco.domain.schedules import Queue

WORKERS = {Queue.DEFAULT: 4, Queue.RECOMMENDATIONS: 3, Queue.RECOMMENDATIONS_SLOW: 1}
OFTEN, SELDOM = timedelta(milliseconds=20), timedelta(hours=1)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
GRACE = timedelta(seconds=20)
PATIENCE = 20.0  # seconds, for machines that are busy


@attrs.define
class Gate:
    """Work that waits until it is let through, and how much of it there is at a time."""

    is_open: Event = attrs.field(factory=Event)
    at_once: Counter[Queue] = attrs.field(factory=Counter)
    most: Counter[Queue] = attrs.field(factory=Counter)
    done: Counter[Queue] = attrs.field(factory=Counter)
    _lock: Lock = attrs.field(factory=Lock)

    def work(self, queue: Queue) -> Callable[[], None]:
        """Return work for a queue."""

        def work() -> None:
            with self._lock:
                self.at_once[queue] += 1
                self.most[queue] = max(self.most[queue], self.at_once[queue])
            self.is_open.wait(PATIENCE)
            with self._lock:
                self.at_once[queue] -= 1
                self.done[queue] += 1

        return work


def wait_for(is_so: Callable[[], bool]) -> bool:
    until = monotonic() + PATIENCE
    while not is_so() and monotonic() < until:
        sleep(0.005)
    return is_so()


@pytest.fixture
def scheduler() -> Iterator[ApsScheduler]:
    """Return a scheduler, to be started; it is stopped at the end."""
    scheduler = ApsScheduler()
    yield scheduler
    scheduler.stop(GRACE)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Return a gate that is opened at the end."""
    gate = Gate()
    yield gate
    gate.is_open.set()


def nothing() -> None:
    """Do nothing."""


class TestQueues:
    def test_each_queue_has_its_workers_and_never_more(
        self, scheduler: ApsScheduler, gate: Gate
    ) -> None:
        scheduler.start(nothing, every=SELDOM, workers=WORKERS)
        for _ in range(12):
            for queue in Queue:
                scheduler.submit(queue, gate.work(queue))

        all_begun = wait_for(lambda: gate.at_once == WORKERS)
        sleep(0.2)
        begun = dict(gate.at_once)
        gate.is_open.set()

        assert all_begun
        assert begun == WORKERS
        assert wait_for(lambda: gate.done == dict.fromkeys(Queue, 12))
        assert gate.most == WORKERS

    def test_short_work_is_all_done_once(self, scheduler: ApsScheduler, gate: Gate) -> None:
        gate.is_open.set()
        scheduler.start(nothing, every=SELDOM, workers=WORKERS)

        for _ in range(100):
            for queue in Queue:
                scheduler.submit(queue, gate.work(queue))

        assert wait_for(lambda: sum(gate.done.values()) == 300)
        assert all(gate.most[queue] <= WORKERS[queue] for queue in Queue)

    def test_a_full_queue_does_not_hold_up_the_others(
        self, scheduler: ApsScheduler, gate: Gate
    ) -> None:
        is_done = Event()
        scheduler.start(nothing, every=SELDOM, workers=WORKERS)
        for _ in range(50):
            scheduler.submit(Queue.RECOMMENDATIONS_SLOW, gate.work(Queue.RECOMMENDATIONS_SLOW))
        assert wait_for(lambda: gate.at_once[Queue.RECOMMENDATIONS_SLOW] == 1)

        scheduler.submit(Queue.DEFAULT, is_done.set)

        assert is_done.wait(PATIENCE)
        assert gate.done == {}

    def test_what_waits_long_for_a_worker_is_not_too_late(
        self, scheduler: ApsScheduler, gate: Gate
    ) -> None:
        is_done, slow = Event(), Queue.RECOMMENDATIONS_SLOW
        scheduler.start(nothing, every=SELDOM, workers=WORKERS)
        scheduler.submit(slow, gate.work(slow))
        scheduler.submit(slow, is_done.set)

        sleep(1.3)  # by default APScheduler drops what is late by a second
        gate.is_open.set()

        assert is_done.wait(PATIENCE)

    @pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(3), KeyboardInterrupt()])
    def test_work_that_fails_leaves_its_worker_to_the_next(
        self, scheduler: ApsScheduler, error: BaseException, caplog: pytest.LogCaptureFixture
    ) -> None:
        threads, is_done = set[str](), Event()

        def fail() -> None:
            threads.add(current_thread().name)
            raise error

        def succeed() -> None:
            threads.add(current_thread().name)
            is_done.set()

        scheduler.start(nothing, every=SELDOM, workers=WORKERS)
        for work in (fail, fail, succeed):
            scheduler.submit(Queue.RECOMMENDATIONS_SLOW, work)

        assert is_done.wait(PATIENCE)
        assert threads == {"angle-reco-recommendations_slow"}
        assert scheduler.stop(GRACE) is True
        assert type(error).__name__ in caplog.text

    def test_lines_name_the_work_by_its_name(
        self, scheduler: ApsScheduler, caplog: pytest.LogCaptureFixture
    ) -> None:
        @attrs.define
        class Task:
            name: str
            is_done: Event

            def __call__(self) -> None:
                self.is_done.set()

        task = Task("tidy_up", Event())
        with caplog.at_level(logging.INFO, "apscheduler"):
            scheduler.start(nothing, every=SELDOM, workers=WORKERS)
            scheduler.submit(Queue.RECOMMENDATIONS, task)
            assert task.is_done.wait(PATIENCE)
            assert scheduler.stop(GRACE) is True

        assert 'Added job "tidy_up"' in caplog.text
        assert 'Running job "tidy_up ' in caplog.text

    def test_a_queue_has_no_more_threads_than_it_needs(
        self, scheduler: ApsScheduler, gate: Gate
    ) -> None:
        scheduler.start(nothing, every=SELDOM, workers=WORKERS)

        scheduler.submit(Queue.DEFAULT, gate.work(Queue.DEFAULT))
        scheduler.submit(Queue.DEFAULT, gate.work(Queue.DEFAULT))

        assert wait_for(lambda: gate.at_once[Queue.DEFAULT] == 2)
        names = [thread.name for thread in enumerate_threads()]
        assert names.count("angle-reco-default") == 2


class TestWakeUps:
    def test_it_wakes_at_once_and_then_from_time_to_time(self, scheduler: ApsScheduler) -> None:
        woken, times = Event(), list[float]()

        def wake() -> None:
            times.append(monotonic())
            if len(times) >= 4:
                woken.set()

        started = monotonic()
        scheduler.start(wake, every=timedelta(seconds=0.2), workers=WORKERS)

        assert woken.wait(PATIENCE)
        assert times[0] - started < 10
        # A tenth earlier at most.
        assert times[3] - times[0] >= 3 * 0.17

    def test_the_time_until_the_next_is_up_to_a_tenth_shorter(
        self, scheduler: ApsScheduler
    ) -> None:
        scheduler.start(lambda: None, every=timedelta(seconds=10), workers=WORKERS)
        [job] = scheduler._scheduler.get_jobs()

        pauses = [
            (job.trigger.get_next_fire_time(NOW, NOW) - NOW).total_seconds() for _ in "x" * 50
        ]

        assert 9 <= min(pauses) < max(pauses) <= 10

    def test_it_says_nothing_at_info_while_there_is_nothing_to_do(
        self, scheduler: ApsScheduler, caplog: pytest.LogCaptureFixture
    ) -> None:
        woken = list[float]()
        with caplog.at_level(logging.INFO):
            scheduler.start(lambda: woken.append(monotonic()), every=OFTEN, workers=WORKERS)
            assert wait_for(lambda: len(woken) > 2)
            caplog.clear()
            assert wait_for(lambda: len(woken) > 9)

        # A busy machine may skip a wake-up, which is a warning.
        at_info = [record for record in caplog.records if record.levelno == logging.INFO]
        assert [record.getMessage() for record in at_info] == []

    def test_it_prints_nothing_where_no_logging_is_configured(
        self,
        scheduler: ApsScheduler,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        scheduler.start(lambda: None, every=SELDOM, workers=WORKERS)

        logging.getLogger("apscheduler.scheduler").warning("maximum number of instances reached")

        assert capsys.readouterr().err == ""

    def test_seldom_is_once(self, scheduler: ApsScheduler) -> None:
        times = list[float]()

        scheduler.start(lambda: times.append(monotonic()), every=SELDOM, workers=WORKERS)

        assert wait_for(lambda: bool(times))
        sleep(0.3)
        assert len(times) == 1

    def test_wake_ups_do_not_overlap(
        self, scheduler: ApsScheduler, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.CRITICAL)  # that one was left out is said each time
        at_once, most, times, lock = 0, 0, 0, Lock()

        def wake() -> None:
            nonlocal at_once, most, times
            with lock:
                at_once += 1
                most = max(most, at_once)
            sleep(0.1)
            with lock:
                at_once -= 1
                times += 1

        scheduler.start(wake, every=OFTEN, workers=WORKERS)

        assert wait_for(lambda: times >= 4)
        assert most == 1

    def test_a_wake_up_that_fails_is_followed_by_the_next(self, scheduler: ApsScheduler) -> None:
        times = list[int]()

        def wake() -> None:
            times.append(1)
            raise ValueError("odd")

        scheduler.start(wake, every=OFTEN, workers=WORKERS)

        assert wait_for(lambda: len(times) >= 3)

    def test_full_queues_do_not_keep_it_from_waking(
        self, scheduler: ApsScheduler, gate: Gate
    ) -> None:
        times = list[int]()
        scheduler.start(lambda: times.append(1), every=OFTEN, workers=WORKERS)
        for queue in Queue:
            for _ in range(20):
                scheduler.submit(queue, gate.work(queue))
        assert wait_for(lambda: gate.at_once == WORKERS)

        before = len(times)

        assert wait_for(lambda: len(times) >= before + 3)

    def test_it_may_submit_work(self, scheduler: ApsScheduler) -> None:
        is_done = Event()

        scheduler.start(
            lambda: scheduler.submit(Queue.DEFAULT, is_done.set), every=SELDOM, workers=WORKERS
        )

        assert is_done.wait(PATIENCE)


class TestStop:
    def test_a_job_that_hangs_is_waited_for_no_longer_than_the_grace(
        self, scheduler: ApsScheduler, gate: Gate
    ) -> None:
        scheduler.start(nothing, every=SELDOM, workers=WORKERS)
        scheduler.submit(Queue.DEFAULT, gate.work(Queue.DEFAULT))
        assert wait_for(lambda: gate.at_once[Queue.DEFAULT] == 1)

        started = monotonic()
        is_over = scheduler.stop(timedelta(seconds=0.3))
        took = monotonic() - started

        assert is_over is False
        assert 0.3 <= took < 10

    def test_a_job_that_ends_in_time_is_waited_for(
        self, scheduler: ApsScheduler, gate: Gate
    ) -> None:
        is_started, has_ended = Event(), Event()

        def work() -> None:
            is_started.set()
            sleep(0.2)
            has_ended.set()

        scheduler.start(nothing, every=SELDOM, workers=WORKERS)
        scheduler.submit(Queue.DEFAULT, work)
        assert is_started.wait(PATIENCE)

        assert scheduler.stop(GRACE) is True
        assert has_ended.is_set()

    def test_what_has_not_begun_is_dropped(self, scheduler: ApsScheduler, gate: Gate) -> None:
        slow = Queue.RECOMMENDATIONS_SLOW
        scheduler.start(nothing, every=SELDOM, workers=WORKERS)
        for _ in range(5):
            scheduler.submit(slow, gate.work(slow))
        assert wait_for(lambda: gate.at_once[slow] == 1)

        scheduler.stop(timedelta(0))
        gate.is_open.set()

        assert wait_for(lambda: gate.done[slow] == 1)
        sleep(0.2)
        assert gate.done[slow] == 1

    def test_nothing_happens_after_it(self, scheduler: ApsScheduler) -> None:
        times, is_done = list[int](), Event()
        scheduler.start(lambda: times.append(1), every=OFTEN, workers=WORKERS)
        assert wait_for(lambda: bool(times))

        assert scheduler.stop(GRACE) is True
        before = len(times)
        scheduler.submit(Queue.DEFAULT, is_done.set)

        assert not is_done.wait(0.3)
        assert len(times) == before
        assert scheduler.stop(GRACE) is True

    def test_what_never_started_is_over(self) -> None:
        scheduler, is_done = ApsScheduler(), Event()

        scheduler.submit(Queue.DEFAULT, is_done.set)

        assert scheduler.stop(GRACE) is True
        assert not is_done.is_set()

    def test_a_job_may_stop_it(self, scheduler: ApsScheduler) -> None:
        answers, is_done = list[bool](), Event()

        def work() -> None:
            answers.append(scheduler.stop(GRACE))
            is_done.set()

        scheduler.start(nothing, every=SELDOM, workers=WORKERS)
        scheduler.submit(Queue.DEFAULT, work)

        assert is_done.wait(PATIENCE)
        assert answers == [True]

    def test_it_can_be_started_again(self, scheduler: ApsScheduler) -> None:
        for is_done in (Event(), Event()):
            scheduler.start(nothing, every=SELDOM, workers=WORKERS)
            scheduler.submit(Queue.DEFAULT, is_done.set)

            assert is_done.wait(PATIENCE)
            assert scheduler.stop(GRACE) is True


AT_EXIT = """
import logging, sys, time
from datetime import timedelta
from threading import Event
from angle_reco.adapters.apscheduler import ApsScheduler
from angle_reco.domain.schedules import Queue

# On a busy machine it says that a wake-up was left out.
logging.getLogger("apscheduler").setLevel(logging.ERROR)
has_begun, scheduler = Event(), ApsScheduler()

def work():
    has_begun.set()
    WORK

scheduler.start(WAKE, every=timedelta(milliseconds=100), workers=dict.fromkeys(Queue, 2))
for _ in range(5):
    scheduler.submit(Queue.DEFAULT, work)
has_begun.wait(20)
time.sleep(0.05)
"""


@pytest.mark.parametrize(
    ("work", "wake", "end"),
    [
        ("time.sleep(600)", "lambda: None", ""),
        ("time.sleep(600)", "lambda: None", "scheduler.stop(timedelta(seconds=0.2))"),
        ("pass", "lambda: None", "sys.exit(0)"),
        ("scheduler.submit(Queue.DEFAULT, work)", "lambda: None", ""),
        ("scheduler.submit(Queue.DEFAULT, work)", "lambda: None", "sys.exit(0)"),
        ("pass", "lambda: scheduler.submit(Queue.DEFAULT, work)", ""),
    ],
)
def test_the_interpreter_exits_at_once_and_says_nothing(work: str, wake: str, end: str) -> None:
    script = AT_EXIT.replace("WORK", work).replace("WAKE", wake) + end

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
