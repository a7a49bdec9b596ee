"""What a process does by itself: all that is due, each in its queue, and nothing twice."""

import atexit
import gc
import json
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from threading import Barrier, BrokenBarrierError
from typing import Any

import attrs
import pytest

from angle_reco import InvalidValueError, Settings, StorageUnavailableError
from angle_reco.application.jobs.schedule import BATCH_JOBS, SCHEDULE
from angle_reco.domain.lists import ListKind
from angle_reco.domain.runs import RunKey, RunRules, RunState, Trigger, run_request_of
from angle_reco.domain.schedules import Queue
from tests.application.memories import Store
from tests.application.shop import HOUR, NOW
from tests.application.workers import Failing, Hands, Shop

JOB = "refresh_user_interests"
SIMILAR = "compute_item_similarities"
MINUTE = timedelta(minutes=1)


def at_work(shop: Shop) -> Hands:
    """Start the jobs of a shop, by hand."""
    hands = Hands()
    shop.reco.start(hands)
    return hands


def states(shop: Shop) -> dict[str, RunState]:
    return {name: run.state for name in BATCH_JOBS if (run := shop.last(name)) is not None}


class TestWork:
    def test_all_that_is_due_goes_to_its_queue_once(self) -> None:
        shop = Shop.of()
        hands = at_work(shop)

        hands.wake()
        hands.wake()

        queues = [queue for queue, _ in hands.submitted]
        assert queues == [SCHEDULE[name].queue for name in BATCH_JOBS]
        assert states(shop) == {}

    def test_it_is_done_and_not_submitted_again_in_its_window(self) -> None:
        shop = Shop.of()
        hands = at_work(shop)
        hands.wake()
        hands.work()
        done = states(shop)

        hands.wake()

        assert done == dict.fromkeys(BATCH_JOBS, RunState.SUCCEEDED)
        assert hands.submitted == []
        assert shop.reco.system.stats().lists[ListKind.PERSONAL].owners == 3

    def test_a_day_has_its_runs(self) -> None:
        shop = Shop.of()
        hands = at_work(shop)

        done = dict.fromkeys(BATCH_JOBS, 0)
        for _ in range(24 * 60):
            hands.wake()
            before = {name: shop.last(name) for name in BATCH_JOBS}
            hands.work()
            for name in BATCH_JOBS:
                done[name] += shop.last(name) != before[name]
            shop.clock.advance(MINUTE)

        # Those that are not due at NOW have one more: the last that was missed before it.
        assert done == {
            JOB: 24,
            "train_models": 2,
            "generate_popular_items": 25,
            "generate_recommendations": 25,
            SIMILAR: 2,
        }

    def test_runs_of_two_processes_are_one(self) -> None:
        shop = Shop.of()
        one, two = Hands(), Hands()
        shop.reco.start(one)
        other = attrs.evolve(shop, reco=type(shop.reco)(shop.ports, shop.settings))
        other.reco.start(two)

        for hands in (one, two):
            hands.wake()
        assert len(one.submitted) == len(two.submitted) == len(BATCH_JOBS)
        for hands in (one, two):
            hands.work()

        assert {shop.last(job).attempt for job in BATCH_JOBS} == {1}  # type: ignore[union-attr]  # each ran

    def test_it_is_told_how_often_to_wake_and_how_many_work(self) -> None:
        workers = dict.fromkeys(Queue, 2)
        settings = Settings(runs=RunRules(poll=MINUTE), workers=workers)

        hands = at_work(Shop.of(settings=settings))

        assert (hands.every, hands.workers) == (MINUTE, workers)

    def test_what_waits_is_done_and_what_others_left(self) -> None:
        shop = Shop.of()
        hands = at_work(shop)
        hands.wake()
        hands.work()
        shop.reco.system.request_job(SIMILAR, item_id="art-01")
        shop.clock.advance(HOUR)
        run_request = run_request_of(RunKey(JOB), Trigger.SCHEDULE, SCHEDULE[JOB], slot=NOW + HOUR)
        shop.ports.ledger.claim(run_request, holder="gone", lease=MINUTE)
        shop.clock.advance(2 * MINUTE)

        hands.wake()
        hands.work()

        assert shop.open_runs() == []
        assert shop.reco.system.stored.find_similar_items("art-01") is not None
        run = shop.last(JOB)
        assert run is not None
        assert (run.slot, run.attempt, run.state) == (NOW + HOUR, 2, RunState.SUCCEEDED)

    def test_what_was_over_long_ago_is_forgotten(self) -> None:
        shop = Shop.of()
        shop.reco.system.run_job(JOB)
        shop.clock.advance(timedelta(days=8))

        at_work(shop).wake()

        assert shop.last(JOB) is None

    def test_a_later_run_leaves_what_has_not_changed(self) -> None:
        shop = Shop.of()
        hands = at_work(shop)
        left = []
        for _ in range(2):
            hands.wake()
            hands.work()
            run = shop.last(JOB)
            assert run is not None
            left.append(json.loads(run.outcome or "")["left"])
            shop.clock.advance(HOUR)

        assert left == [0, 3]

    def test_what_is_over_is_looked_for_once_an_hour(self) -> None:
        ledgers = list[Store]()

        def counted(ledger: object) -> Any:
            ledgers.append(Store(ledger))
            return ledgers[-1]

        hands = at_work(Shop.of(ledger=counted))
        for _ in range(3):
            hands.wake()

        assert [one.calls["prune"] for one in ledgers] == [1]

    def test_a_clock_that_was_ahead_leaves_no_job_silent_and_says_so_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        shop = Shop.of()
        hands = at_work(shop)
        shop.clock.set(NOW + 30 * HOUR)
        hands.wake()
        hands.work()
        run_request = run_request_of(RunKey(JOB), Trigger.MANUAL, SCHEDULE[JOB])
        shop.ports.ledger.claim(run_request, holder="gone", lease=30 * HOUR)
        shop.clock.set(NOW)

        for _ in range(3):
            hands.wake()
            hands.work()
        shop.clock.advance(MINUTE)
        hands.wake()
        hands.work()

        known = shop.ports.ledger.open(BATCH_JOBS, back=24 * HOUR)
        of_today = [run for run in known.runs if run.slot <= known.now]
        assert {run.key.job for run in of_today} == set(BATCH_JOBS)
        assert {run.state for run in of_today} == {RunState.SUCCEEDED}
        lines = [record.getMessage() for record in caplog.records]
        for job in BATCH_JOBS:
            assert lines.count(f"run ignored, the clock was ahead: job={job}") == 1
        assert lines.count(f"lease cut, the clock was ahead: job={JOB}") == 1

    def test_a_database_that_does_not_answer_is_asked_again_at_the_next_wake_up(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        shop = Shop.of(ledger=lambda ledger: Failing(ledger, "open", [StorageUnavailableError()]))
        hands = at_work(shop)

        hands.wake()
        nothing = list(hands.submitted)
        hands.wake()

        assert nothing == []
        assert len(hands.submitted) == len(BATCH_JOBS)
        assert "not looked for jobs: error=StorageUnavailableError" in caplog.text

    def test_where_nothing_can_be_forgotten_all_that_is_due_is_done(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        shop = Shop.of(ledger=lambda ledger: Failing(ledger, "prune", [StorageUnavailableError()]))
        hands = at_work(shop)

        hands.wake()

        assert len(hands.submitted) == len(BATCH_JOBS)
        assert "runs not pruned: error=StorageUnavailableError" in caplog.text

    def test_a_run_that_could_not_be_claimed_comes_again(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        shop = Shop.of(ledger=lambda ledger: Failing(ledger, "claim", [StorageUnavailableError()]))
        hands = at_work(shop)
        hands.wake()
        hands.work()
        missing = set(BATCH_JOBS) - set(states(shop))

        hands.wake()
        hands.work()

        assert missing == {JOB}
        assert states(shop) == dict.fromkeys(BATCH_JOBS, RunState.SUCCEEDED)
        assert f"run not started: job={JOB} error=StorageUnavailableError" in caplog.text

    def test_a_job_that_fails_does_not_keep_the_others_from_running(self) -> None:
        shop = Shop.of(users=lambda users: Failing(users, "active_since", [ValueError()]))
        hands = at_work(shop)

        hands.wake()
        hands.work()

        assert states(shop) == {
            **dict.fromkeys(BATCH_JOBS, RunState.SUCCEEDED),
            JOB: RunState.DUE,
        }


class TestStartAndStop:
    def test_starting_again_does_nothing(self) -> None:
        shop, second = Shop.of(), Hands()
        first = at_work(shop)

        shop.reco.start(second)

        assert first.every is not None
        assert second.every is None

    def test_without_a_scheduler_the_host_schedules(self) -> None:
        shop, hands = Shop.of(), Hands()

        shop.reco.start(None)
        shop.reco.start(hands)

        assert hands.every is not None

    def test_a_scheduler_may_wake_it_at_once(self) -> None:
        shop, hands = Shop.of(), Hands(wakes_at_once=True)

        shop.reco.start(hands)

        assert len(hands.submitted) == len(BATCH_JOBS)

    def test_a_scheduler_that_cannot_start_leaves_nothing_behind(self) -> None:
        shop = Shop.of()

        with pytest.raises(RuntimeError, match="no threads"):
            shop.reco.start(_Unable())

        assert len(woken(at_work(shop)).submitted) == len(BATCH_JOBS)

    @pytest.mark.parametrize("is_in_time", [True, False])
    def test_stopping_says_whether_all_was_over_in_time(self, is_in_time: bool) -> None:
        shop, hands = Shop.of(), Hands(is_in_time=is_in_time)
        shop.reco.start(hands)

        assert shop.reco.stop(3 * MINUTE) is is_in_time
        assert hands.stopped == [3 * MINUTE]
        assert shop.reco.stop() is True
        assert hands.stopped == [3 * MINUTE]

    def test_nothing_is_submitted_after_a_stop(self) -> None:
        shop = Shop.of()
        hands = at_work(shop)
        shop.reco.stop()

        hands.wake()

        assert hands.submitted == []

    def test_it_can_be_started_again(self) -> None:
        shop = Shop.of()
        woken(at_work(shop))
        shop.reco.stop()

        hands = woken(at_work(shop))
        hands.work()

        assert states(shop) == dict.fromkeys(BATCH_JOBS, RunState.SUCCEEDED)

    def test_of_two_threads_that_start_it_at_once_for_the_first_time_one_does(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop, both, known_pid = Shop.of(), Barrier(2), os.getpid()
        hands = [Hands(), Hands()]

        def getpid() -> int:
            # Whoever comes here waits for the other, which may be kept from it.
            with suppress(BrokenBarrierError):
                both.wait(0.3)
            return known_pid

        monkeypatch.setattr(os, "getpid", getpid)
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(shop.reco.start, hands))

        assert sum(one.every is not None for one in hands) == 1
        shop.reco.stop()
        assert sorted(len(one.stopped) for one in hands) == [0, 1]

    def test_however_often_it_is_started_its_exit_is_awaited_once(self) -> None:
        shop, before = Shop.of(), atexit._ncallbacks()

        for _ in range(5):
            at_work(shop)
            at_work(shop)
            shop.reco.stop()

        assert atexit._ncallbacks() == before + 1

    @pytest.mark.parametrize("is_own", [False, True])
    def test_once_it_is_stopped_nothing_keeps_it_alive(self, is_own: bool) -> None:
        shop = Shop.of()
        shop.reco.start("own" if is_own else Hands())
        shop.reco.stop()
        left = weakref.ref(shop.reco), weakref.ref(shop.reco._use_cases.worker)

        del shop
        gc.collect()

        assert [one() for one in left] == [None, None]

    def test_a_job_that_runs_stops_at_its_next_step_and_comes_again(self) -> None:
        shop = Shop.of(users=Stopping)
        hands = at_work(shop)
        shop.ports.users.stop = shop.reco.stop  # type: ignore[attr-defined]  # it is a Stopping
        hands.wake()

        hands.work()

        assert states(shop)[JOB] is RunState.DUE
        run = shop.last(JOB)
        assert run is not None
        assert (run.due_at, run.attempt, run.error) == (NOW, 0, "RunStoppedError")
        assert shop.events == []
        shop.ports.users.stop = bool  # type: ignore[attr-defined]  # it is a Stopping
        woken(at_work(shop)).work()
        assert states(shop)[JOB] is RunState.SUCCEEDED

    def test_closing_stops_too(self) -> None:
        shop = Shop.of()
        hands = at_work(shop)

        with shop.reco:
            pass

        assert len(hands.stopped) == 1

    def test_the_past_has_no_schedule(self) -> None:
        shop, hands = Shop.of(), Hands()

        with pytest.raises(InvalidValueError, match=r"as_of is .*the past has no schedule"):
            shop.reco.as_of_moment(NOW).start(hands)

        assert hands.every is None


class Stopping:
    """Users of whom nobody is told before the process is stopped."""

    def __init__(self, users: object) -> None:
        self._users = users
        self.stop: Callable[[], bool] = bool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._users, name)

    def active_since(self, *args: Any, **named: Any) -> Any:
        """Return them, and stop."""
        self.stop()
        return self._users.active_since(*args, **named)  # type: ignore[attr-defined]  # they are


class _Unable(Hands):
    def start(self, *_: object, **__: object) -> None:
        raise RuntimeError("no threads")


def woken(hands: Hands) -> Hands:
    """Wake a process up."""
    hands.wake()
    return hands


FORKING = """
import logging, os, sys, time
from datetime import timedelta
import attrs
from angle_reco import Recommender, Settings
from angle_reco.application.jobs.schedule import SCHEDULE
from angle_reco.domain.runs import RunRules

# On a busy machine it says that a wake-up was left out.
logging.getLogger("apscheduler").setLevel(logging.ERROR)
JOB = "generate_popular_items"
rule = attrs.evolve(SCHEDULE[JOB], request_window=timedelta(seconds=1))
runs = RunRules(poll=timedelta(milliseconds=200))
reco = Recommender.in_memory(settings=Settings(schedule={JOB: rule}, runs=runs, pace=1.0))

def does_as_asked():
    reco.start()
    reco.start()
    asked_at = reco.ports.ledger.now()
    reco.system.request_job(JOB)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        last = reco.system.stats().jobs[JOB].last
        if last and last.trigger == "request" and last.started_at >= asked_at and last.outcome:
            return True
        time.sleep(0.02)
    return False

if IS_STARTED and not does_as_asked():
    sys.exit(2)
child = os.fork()
if child == 0:
    is_idle = reco.stop()
    os._exit(0 if is_idle and does_as_asked() and reco.stop() else 3)
_, status = os.waitpid(child, 0)
if status:
    sys.exit(os.waitstatus_to_exitcode(status))
sys.exit(0 if does_as_asked() and reco.stop() else 4)
"""


@pytest.mark.parametrize("is_started_before", [False, True])
def test_a_process_that_forked_off_runs_jobs_when_it_starts_them(is_started_before: bool) -> None:
    script = FORKING.replace("IS_STARTED", str(is_started_before))

    done = subprocess.run(
        # From 3.12 on, Python warns of any thread at a fork.
        [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", script],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
