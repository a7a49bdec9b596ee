"""Runs of jobs: tried again, given up, held back, and never two of a kind at once."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import repeat
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

import attrs
import pytest

from angle_reco import InvalidValueError, Recommender, Settings, StorageUnavailableError, UserId
from angle_reco.adapters.memory.changes import MemoryChanges
from angle_reco.application.jobs import run_context
from angle_reco.application.jobs.run_context import Done, RunContext, RunStoppedError, no_progress
from angle_reco.application.jobs.runner import Heartbeat
from angle_reco.application.jobs.schedule import BATCH_JOBS, SCHEDULE, schedule_of
from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.errors import FencedOffError, StorageLockedError
from angle_reco.domain.events import RunFailed
from angle_reco.domain.ids import ItemId
from angle_reco.domain.lists import ListKind, Lists
from angle_reco.domain.runs import (
    ClaimStatus,
    Run,
    RunKey,
    RunRules,
    RunState,
    Trigger,
    retry_delay,
    run_request_of,
)
from angle_reco.domain.schedules import Queue, Schedule
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.ports.kernels import Kernels
from angle_reco.testing import ManualClock
from tests.application.shop import DAY, HOUR, NOW, TICK, bid, filled, lots
from tests.application.workers import Calling, Failing, Picky, Shop

JOB = "refresh_user_interests"
SIMILAR = "compute_item_similarities"
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
DEFECT = ValueError("user-4711 is odd")


def failing_users(errors: list[Exception]) -> Callable[[object], Failing]:
    return lambda users: Failing(users, "active_since", errors)


def begin_due(shop: Shop, job: str = JOB, *, stop: Event | None = None) -> bool:
    """Begin what is due of a job; return whether something was."""
    due = [run_request for run_request in shop.runs.due() if run_request.key.job == job]
    begun = [shop.runs.begin(run_request, stop=stop or Event()) for run_request in due]
    return any(begun)


def stopped() -> Event:
    """Return what tells that the process ends."""
    stop = Event()
    stop.set()
    return stop


class Sleepy:
    """Users of whom one is told after a while."""

    def __init__(self, users: object) -> None:
        self._users = users

    def __getattr__(self, name: str) -> Any:
        return getattr(self._users, name)

    def active_since(self, *args: Any, **named: Any) -> Any:
        """Return them, but not at once."""
        sleep(0.3)
        return self._users.active_since(*args, **named)  # type: ignore[attr-defined]  # they are


class TestAttempts:
    @pytest.mark.parametrize("attempts", [3, 1])
    @pytest.mark.parametrize("failures", range(6))
    def test_a_job_that_fails_is_tried_as_often_as_its_rule_says(
        self, failures: int, attempts: int
    ) -> None:
        rule = attrs.evolve(SCHEDULE[JOB], attempts=attempts)
        shop = Shop.of(
            settings=Settings(schedule={JOB: rule}), users=failing_users([DEFECT] * failures)
        )

        waited = []
        while begin_due(shop):
            run = shop.last(JOB)
            assert run is not None
            if run.state is RunState.DUE:
                waited.append(run.due_at - shop.clock.now())
                shop.clock.advance(waited[-1] - TICK)
                assert not begin_due(shop)
                shop.clock.advance(TICK)

        assert run is not None
        # A run that succeeds asks twice: who has signed in lately, and who is active.
        calls = failures + 2 if failures < attempts else attempts
        assert shop.ports.users.calls == calls  # type: ignore[attr-defined]  # it is a Failing
        assert run.attempt == min(failures + 1, attempts)
        assert run.state is (RunState.SUCCEEDED if failures < attempts else RunState.DISCARDED)
        assert run.slot == NOW
        for place, delay in enumerate(waited, 1):
            least, most = (retry_delay(place, RunRules(), chance) for chance in (0, 1))
            assert least <= delay <= most
        assert shop.open_runs() == []

    @pytest.mark.parametrize("failures", range(6))
    def test_each_failure_is_told_and_the_last_as_final(self, failures: int) -> None:
        shop = Shop.of(users=failing_users([DEFECT] * failures))
        while begin_due(shop):
            shop.clock.advance(MINUTE)

        told = [event for event in shop.events if isinstance(event, RunFailed)]

        assert [event.attempt for event in told] == list(range(1, min(failures, 3) + 1))
        assert [event.is_final for event in told] == [attempt == 3 for attempt in (1, 2, 3)][
            :failures
        ]
        assert {event.error for event in told} <= {"ValueError"}

    def test_every_job_of_the_schedule_is_given_up_at_last(self) -> None:
        shop = Shop.of(
            users=failing_users([DEFECT] * 99),
            catalog=lambda catalog: Failing(catalog, "may_be_open", [DEFECT] * 99),
            activity=lambda activity: Failing(activity, "interactions", [DEFECT] * 99),
        )
        for _ in range(4):
            for job in BATCH_JOBS:
                begin_due(shop, job)
            shop.clock.advance(MINUTE)

        told = [event for event in shop.events if isinstance(event, RunFailed)]
        final = [event.job for event in told if event.is_final]

        assert sorted(final) == sorted(BATCH_JOBS)
        assert {shop.last(job).state for job in BATCH_JOBS} == {RunState.DISCARDED}  # type: ignore[union-attr]  # each ran

    def test_an_item_that_is_not_there_is_not_looked_for_again(self) -> None:
        shop = Shop.of()
        shop.reco.system.request_job(SIMILAR, item_id="ghost")
        [run_request] = [one for one in shop.runs.due() if one.trigger is Trigger.REQUEST]

        assert shop.runs.begin(run_request, stop=Event()) is True

        [told] = shop.events
        assert isinstance(told, RunFailed)
        assert (told.attempt, told.is_final, told.error) == (1, True, "ItemNotFoundError")
        assert json.loads(told.arguments) == {"item_id": "ghost"}
        assert (told.job, told.at) == (SIMILAR, NOW)
        assert shop.open_runs() == []

    def test_what_a_person_runs_is_tried_once(self) -> None:
        shop = Shop.of(users=failing_users([DEFECT]))

        with pytest.raises(ValueError, match="odd"):
            shop.reco.system.run_job(JOB)

        assert [getattr(event, "is_final", None) for event in shop.events] == [True]
        assert shop.open_runs() == []
        assert shop.reco.system.run_job(JOB).scope == 3

    def test_a_host_whose_own_code_fails_at_the_news_is_no_matter(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        shop = Shop.of(users=failing_users([DEFECT]))

        def on_event(event: object) -> None:
            raise RuntimeError(event)

        reco = Recommender(shop.ports, on_event=on_event)
        with pytest.raises(ValueError, match="odd"):
            reco.system.run_job(JOB)

        assert "host not notified: event=RunFailed error=RuntimeError" in caplog.text

    def test_a_run_whose_holder_is_gone_for_the_last_time_is_told_of(self) -> None:
        shop = Shop.of()
        run_request = run_request_of(RunKey(JOB), Trigger.SCHEDULE, SCHEDULE[JOB], slot=NOW)
        for place in range(3):
            shop.ports.ledger.claim(run_request, holder=f"gone {place}", lease=SECOND)
            shop.clock.advance(2 * SECOND)

        assert begin_due(shop) is False

        [told] = shop.events
        assert isinstance(told, RunFailed)
        assert (told.is_final, told.attempt) == (True, 3)

    def test_a_process_that_stops_leaves_its_run_to_the_next(self) -> None:
        shop = Shop.of()

        assert begin_due(shop, stop=stopped())

        run = shop.last(JOB)
        assert run is not None
        assert (run.state, run.due_at, run.attempt) == (RunState.DUE, NOW, 0)
        assert shop.events == []
        assert begin_due(shop)
        run = shop.last(JOB)
        assert run is not None
        assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)

    @pytest.mark.parametrize("failures", [0, 1, 2])
    def test_however_often_a_run_is_stopped_it_uses_no_attempt_up(self, failures: int) -> None:
        shop = Shop.of(catalog=lambda catalog: Failing(catalog, "may_be_open", repeat(DEFECT)))
        job = "generate_recommendations"
        for _ in range(failures):
            assert begin_due(shop, job)
            shop.clock.advance(MINUTE)
        told = list(shop.events)

        for _ in range(5):
            assert begin_due(shop, job, stop=stopped())
            run = shop.last(job)
            assert run is not None
            assert (run.state, run.attempt) == (RunState.DUE, failures)
            assert run.due_at == shop.clock.now()
        assert shop.events == told
        while begin_due(shop, job):
            shop.clock.advance(MINUTE)
        final = [getattr(event, "is_final", None) for event in shop.events]
        assert final == [False, False, True]

    def test_a_run_that_the_ledger_did_not_keep_alive_has_used_an_attempt_up(self) -> None:
        rules = RunRules(beat=timedelta(milliseconds=10), lease=timedelta(milliseconds=40))
        shop = Shop.of(
            settings=Settings(runs=rules, pace=1.0),
            users=Sleepy,
            ledger=lambda ledger: Failing(ledger, "beat", repeat(StorageUnavailableError())),
        )

        assert begin_due(shop)

        run = shop.last(JOB)
        assert run is not None
        assert (run.state, run.attempt) == (RunState.DUE, 1)
        assert run.due_at > NOW
        [error] = [str(getattr(event, "error", None)) for event in shop.events]
        assert error == (
            f"StorageUnavailableError: the run of {JOB} was stopped: the database did not answer"
            " for 0:00:00.040000, as long as its lease lasts"
        )

    def test_a_request_does_not_wait_for_a_run_that_was_stopped_and_is_passed_over(self) -> None:
        shop = Shop.of()
        begin_due(shop, stop=stopped())
        shop.clock.advance(HOUR)
        begin_due(shop)

        shop.reco.system.request_job(JOB)

        [run_request] = [
            run_request for run_request in shop.runs.due() if run_request.key.job == JOB
        ]
        assert run_request.trigger is Trigger.REQUEST
        assert shop.runs.begin(run_request, stop=Event())


class OddKernels:
    """Kernels that cannot rank for whoever has bid."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels

    def homepages(self, market: OpenMarket, profiles: Profiles, **named: Any) -> Lists:
        """Rank, for users who have done nothing."""
        if len(profiles.excluded_user):
            raise DEFECT
        return self._kernels.homepages(market, profiles, **named)


class TestOddOnes:
    USERS = tuple(f"u{place:03}" for place in range(40))
    BAD = ("u000", "u017", "u039")

    def shop(self, **ports: Any) -> Shop:
        return Shop.of(filled(lots("art", 9), users=self.USERS), **ports)

    @pytest.mark.parametrize(
        ("job", "port"), [(JOB, "interests"), ("generate_recommendations", "lists")]
    )
    def test_a_bad_user_does_not_stop_the_others(
        self, job: str, port: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        shop = self.shop(**{port: lambda store: Picky(store, self.BAD, DEFECT)})

        outcome = shop.reco.system.run_job(job)

        names = [f"user:{shop.settings.fingerprints.of(UserId(one))}" for one in self.BAD]
        assert (outcome.scope, outcome.failed) == (40, 3)
        assert outcome.errors == tuple(f"{name} error=ValueError" for name in names)
        assert outcome.changed == (37 if port == "lists" else 0)
        for name in names:
            line = name.replace(":", "=")
            assert f"left out of a run: {line} error=ValueError" in caplog.text
        for bad in (*self.BAD, "4711"):
            assert bad not in caplog.text
            assert bad not in repr(outcome)

    def test_a_bad_item_does_not_stop_the_others(self) -> None:
        shop = self.shop(lists=lambda store: Picky(store, ["art-05"], DEFECT))

        outcome = shop.reco.system.run_job(SIMILAR)

        assert (outcome.scope, outcome.failed, outcome.changed) == (9, 1, 8)
        assert outcome.errors == ("item:art-05 error=ValueError",)
        assert shop.reco.system.stored.find_similar_items("art-05") is None
        assert shop.reco.system.stored.find_similar_items("art-06") is not None

    def test_a_kernel_that_fails_for_one_user_does_not_stop_the_others(self) -> None:
        market = filled(lots("art", 9), bid("u017", "art-01"), users=self.USERS)
        shop = Shop.of(market, kernels=OddKernels)

        outcome = shop.reco.system.run_job("generate_recommendations")

        assert (outcome.scope, outcome.failed, outcome.changed) == (40, 1, 39)
        assert shop.reco.system.stored.get_recommendations(of="u017") is None

    def test_what_was_left_out_is_in_the_ledger_too(self) -> None:
        shop = self.shop(lists=lambda store: Picky(store, self.BAD, DEFECT))
        shop.reco.system.run_job("generate_recommendations")

        stats = shop.reco.system.stats().jobs["generate_recommendations"]

        assert stats.last is not None
        assert stats.last.state is RunState.SUCCEEDED
        assert stats.outcome["failed"] == 3
        assert len(stats.outcome["errors"]) == 3

    @pytest.mark.parametrize("bad", [100, 101])
    def test_a_run_with_more_than_a_thousand_failures_has_met_a_defect(
        self, bad: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert run_context.MOST_FAILURES == 1_000
        # Each of them is looked for in halves.
        monkeypatch.setattr(run_context, "MOST_FAILURES", 100)
        users = [f"u{place:04}" for place in range(120)]
        shop = Shop.of(
            filled(lots("art", 2), users=users),
            lists=lambda store: Picky(store, users[:bad], DEFECT),
        )

        if bad <= 100:
            outcome = shop.reco.system.run_job("generate_recommendations")
            assert (outcome.failed, outcome.changed, len(outcome.errors)) == (bad, 120 - bad, 5)
        else:
            with pytest.raises(ValueError, match="odd"):
                shop.reco.system.run_job("generate_recommendations")
            assert shop.last("generate_recommendations").state is RunState.DISCARDED  # type: ignore[union-attr]  # it ran

    @pytest.mark.parametrize(
        "error", [StorageUnavailableError(), FencedOffError("job"), RunStoppedError()]
    )
    def test_what_is_about_no_single_one_is_not_looked_for_in_halves(
        self, error: Exception
    ) -> None:
        work, tried = RunContext(), []

        def act(first: int, last: int) -> None:
            tried.append((first, last))
            raise error

        with pytest.raises(type(error)):
            work.bisecting_failures(0, 100, act, str)

        assert tried == [(0, 100)]
        assert (work.failed, work.errors) == (0, [])

    def test_the_good_ones_are_done_once_alone_or_together(self) -> None:
        work, done = RunContext(), list[int]()

        def act(first: int, last: int) -> None:
            if not {3, 4, 90}.isdisjoint(range(first, last)):
                raise DEFECT
            done.extend(range(first, last))

        work.bisecting_failures(0, 100, act, str)

        assert sorted(done) == [place for place in range(100) if place not in (3, 4, 90)]
        assert work.errors == [f"{place} error=ValueError" for place in (3, 4, 90)]

    def test_a_database_that_does_not_answer_fails_the_run_which_comes_again(self) -> None:
        shop = self.shop(
            lists=lambda store: Failing(store, "write", [StorageUnavailableError("gone")])
        )
        job = "generate_recommendations"

        assert begin_due(shop, job)

        run = shop.last(job)
        assert run is not None
        assert (run.state, run.error) == (RunState.DUE, "StorageUnavailableError: gone")
        shop.clock.advance(MINUTE)
        assert begin_due(shop, job)
        assert shop.reco.system.stats().lists[ListKind.PERSONAL].owners == 40


class TestALostLease:
    def steal(self, shop: Shop, *_: object) -> None:
        """Have somebody else begin a run of the same key, after a long sleep."""
        shop.clock.advance(HOUR)
        for job in BATCH_JOBS:
            run_request = run_request_of(RunKey(job), Trigger.MANUAL, SCHEDULE[job])
            shop.ports.ledger.claim(run_request, holder="thief", lease=HOUR)

    @pytest.mark.parametrize("job", BATCH_JOBS)
    def test_nothing_is_written_by_a_run_that_is_somebody_elses(
        self, job: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        shop = Shop.of()
        before = shop.reco.system.stats()

        with pytest.raises(FencedOffError, match=job):
            shop.reco.system.run_job(job, progress=partial(self.steal, shop))

        after = shop.reco.system.stats()
        assert (after.interests, after.lists) == (before.interests, before.lists)

    @pytest.mark.parametrize("ends", ["at a step", "by an error", "by a success"])
    def test_it_is_logged_by_job_and_attempt(
        self, ends: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        def steal(*_: object) -> None:
            shop.clock.advance(HOUR)
            for run in shop.open_runs():
                run_request = run_request_of(
                    run.key, Trigger.SCHEDULE, SCHEDULE[JOB], slot=run.slot
                )
                shop.ports.ledger.claim(run_request, holder="thief", lease=HOUR)

        def ledger_of(ledger: object) -> Any:
            # By then nothing is written any more that could be refused.
            return ledger if ends == "at a step" else Calling(ledger, "finish", steal)

        shop = Shop.of(
            users=failing_users([DEFECT] if ends == "by an error" else []), ledger=ledger_of
        )
        progress = steal if ends == "at a step" else no_progress
        with caplog.at_level("INFO", "angle_reco"), suppress(Exception):
            shop.reco.system.run_job(JOB, scheduled=True, progress=progress)

        told = {
            "at a step": f"run lost: job={JOB} attempt=1",
            "by an error": f"run lost: job={JOB} attempt=1",
            "by a success": f"run lost at its end: job={JOB} attempt=1",
        }
        lines = [one for one in caplog.messages if one.startswith("run ")]
        assert lines == [told[ends]]
        assert shop.events == []

    def test_it_stops_at_its_next_step(self) -> None:
        told = list[object]()
        work = RunContext(progress=lambda *one: told.append(one))
        work.reached("users", 0, 9)
        work.lost.set()

        with pytest.raises(RunStoppedError):
            work.reached("users", 5, 9)

        assert told == [("users", 0, 9)]

    def test_a_run_taken_over_meanwhile_is_not_ended_by_who_had_it(self) -> None:
        shop = Shop.of()

        def steal(*_: object) -> None:
            shop.clock.advance(HOUR)
            for run in shop.open_runs():
                run_request = run_request_of(
                    run.key, Trigger.SCHEDULE, SCHEDULE[JOB], slot=run.slot
                )
                shop.ports.ledger.claim(run_request, holder="thief", lease=HOUR)

        with pytest.raises(FencedOffError):
            shop.reco.system.run_job(JOB, scheduled=True, progress=steal)

        [run] = shop.open_runs()
        assert (run.holder, run.state, run.error) == ("thief", RunState.RUNNING, None)
        assert shop.events == []


@attrs.define
class Beats:
    """A ledger of which only beats are asked, and what it answers to them in turn."""

    answers: list[bool | Exception]
    asked: int = 0
    locked_for: float = 0.0
    is_asked: Event = attrs.field(factory=Event)

    def beat(self, run: Run, *, lease: timedelta) -> bool:
        del run, lease
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if self.asked >= len(self.answers):
            self.is_asked.set()
        if isinstance(answer, StorageLockedError):
            sleep(self.locked_for)
        if isinstance(answer, Exception):
            raise answer
        return answer


class TestHeartbeat:
    RULES = RunRules(beat=timedelta(milliseconds=20), lease=timedelta(milliseconds=400))

    def beating(self, answers: list[bool | Exception]) -> tuple[Heartbeat, Beats, Event]:
        shop, lost, beats = Shop.of(), Event(), Beats(answers)
        run_request = run_request_of(RunKey(JOB), Trigger.MANUAL, SCHEDULE[JOB])
        run = shop.ports.ledger.claim(run_request, holder="ann", lease=SECOND).run
        ledger: Any = beats  # only its beats are asked
        return Heartbeat(ledger, run, self.RULES, lost), beats, lost

    def test_a_run_is_kept_while_its_block_lasts_and_no_longer(self) -> None:
        heartbeat, beats, lost = self.beating([True] * 5)

        with heartbeat:
            assert beats.is_asked.wait(20)
        sleep(0.1)  # one that was on its way
        asked = beats.asked
        sleep(0.2)

        assert not lost.is_set()
        assert beats.asked == asked

    def test_a_run_that_is_somebody_elses_is_lost(self) -> None:
        heartbeat, _, lost = self.beating([True, False])

        with heartbeat:
            assert lost.wait(20)

    def test_a_lost_run_is_logged_once_unless_it_is_over(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        for is_over in (True, False):
            heartbeat, _, lost = self.beating([False])

            class Over(Event):
                def wait(self, timeout: float | None = None) -> bool:
                    return False

            heartbeat._is_over = Over()
            if is_over:
                heartbeat._is_over.set()
            heartbeat._beat()

            assert lost.is_set() is not is_over
        assert caplog.messages == [f"run lost while it ran: job={JOB}"]

    def test_a_ledger_that_fails_once_is_asked_again(self) -> None:
        heartbeat, beats, lost = self.beating([StorageUnavailableError(), True, True])

        with heartbeat:
            assert beats.is_asked.wait(20)
            assert not lost.is_set()

    def test_a_ledger_that_is_locked_for_longer_than_a_lease_has_lost_no_run(self) -> None:
        locked = [StorageLockedError()] * 5
        heartbeat, beats, lost = self.beating([True, *locked, StorageUnavailableError(), True])
        heartbeat.rules = RunRules(beat=timedelta(milliseconds=10), lease=timedelta(seconds=2))

        class Slow(Event):
            def wait(self, timeout: float | None = None) -> bool:
                del timeout
                return super().wait(0.001)

        heartbeat._is_over = Slow()
        beats.locked_for = 0.5
        with heartbeat:
            assert beats.is_asked.wait(20)

        assert not lost.is_set()

    def test_a_run_that_is_taken_over_is_told_from_a_ledger_that_does_not_answer(self) -> None:
        for answer, is_taken_over in ((False, True), (StorageUnavailableError(), False)):
            heartbeat, _, lost = self.beating([True, answer])
            with heartbeat:
                assert lost.wait(20)

            assert heartbeat.is_taken_over is is_taken_over

    @pytest.mark.parametrize("before", [True, StorageLockedError()])
    def test_a_ledger_that_does_not_answer_for_a_lease_has_lost_the_run(
        self, before: bool | Exception
    ) -> None:
        heartbeat, beats, lost = self.beating([before, StorageUnavailableError()])

        started = monotonic()
        with heartbeat:
            assert lost.wait(20)

        assert monotonic() - started >= 0.4
        assert beats.asked > 2

    @pytest.mark.parametrize(
        ("beat", "soon"), [(timedelta(seconds=60), 1.0), (timedelta(milliseconds=200), 0.2)]
    )
    @pytest.mark.parametrize("no", [StorageUnavailableError(), StorageLockedError()])
    def test_after_a_beat_that_failed_the_next_comes_soon(
        self, beat: timedelta, soon: float, no: Exception
    ) -> None:
        heartbeat, _, lost = self.beating([True, no, no, True, True, False])
        heartbeat.rules = RunRules(beat=beat, lease=2 * beat)
        usual, pauses = beat.total_seconds(), list[float | None]()

        class Over(Event):
            def wait(self, timeout: float | None = None) -> bool:
                pauses.append(timeout)
                return False

        heartbeat._is_over = Over()
        with heartbeat:
            assert lost.wait(20)

        assert pauses == [usual, usual, soon, soon, usual, usual]


class Deaf:
    """A ledger that does not hear that a run has succeeded before its heart has beaten."""

    def __init__(self, ledger: object, beats: int) -> None:
        self._ledger, self._beats = ledger, beats
        self.beaten = self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def beat(self, *args: Any, **named: Any) -> bool:
        """Count those that come after it was first asked."""
        self.beaten += self.asked > 0
        return self._ledger.beat(*args, **named)  # type: ignore[attr-defined,no-any-return]  # it is one

    def finish(self, *args: Any, **named: Any) -> bool:
        """Refuse, but not for ever."""
        self.asked += 1
        if self.beaten < self._beats and self.asked < 300:
            raise StorageUnavailableError
        return self._ledger.finish(*args, **named)  # type: ignore[attr-defined,no-any-return]  # it is one


class TestWhyARunIsLost:
    RULES = RunRules(beat=timedelta(milliseconds=20), lease=timedelta(milliseconds=400))

    def test_the_error_names_the_run_that_took_over(self) -> None:
        shop = Shop.of(settings=Settings(runs=self.RULES, pace=1.0), users=Sleepy)
        numbers = list[int]()

        def take_over(*_: object) -> None:
            if not numbers:
                shop.clock.advance(HOUR)
                run_request = run_request_of(RunKey(JOB), Trigger.MANUAL, SCHEDULE[JOB])
                claim = shop.ports.ledger.claim(run_request, holder="thief", lease=HOUR)
                numbers.append(claim.run.number)

        with pytest.raises(FencedOffError) as caught:
            shop.reco.system.run_job(JOB, progress=take_over)

        assert caught.value.number == numbers[0]
        assert f"number {numbers[0]}" in str(caught.value)

    @pytest.mark.parametrize("is_over", [False, True])
    def test_a_run_that_stops_names_the_later_one_of_its_key_while_that_is_not_over(
        self, is_over: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop, later = Shop.of(settings=Settings(runs=self.RULES)), list[Run]()

        def claimed(job: str) -> Run:
            run_request = run_request_of(RunKey(job), Trigger.MANUAL, SCHEDULE[job])
            return shop.ports.ledger.claim(run_request, holder="thief", lease=HOUR).run

        def work_until_it_is_lost(work: RunContext) -> Done:
            for _ in range(5):
                # Of another key: the numbers of each are counted apart.
                assert shop.ports.ledger.finish(claimed(SIMILAR))
            claimed(SIMILAR)
            shop.clock.advance(HOUR)
            failed = claimed(JOB)
            assert shop.ports.ledger.finish(failed, error="E", retry_after=None if is_over else DAY)
            later.append(claimed(JOB))
            if is_over:
                assert shop.ports.ledger.finish(later[0])
            assert work.lost.wait(20)
            work.reached("users", 1, 1)
            pytest.fail("it went on")

        monkeypatch.setitem(shop.reco._use_cases.runs.runner.jobs, JOB, work_until_it_is_lost)
        with pytest.raises(FencedOffError, match=JOB) as caught:
            shop.reco.system.run_job(JOB)

        assert caught.value.number == (None if is_over else later[0].number)

    def test_the_error_says_that_the_database_did_not_answer(self) -> None:
        shop = Shop.of(
            settings=Settings(runs=attrs.evolve(self.RULES, lease=timedelta(milliseconds=40))),
            users=Sleepy,
            ledger=lambda ledger: Failing(ledger, "beat", repeat(StorageUnavailableError())),
        )

        with pytest.raises(StorageUnavailableError, match="as long as its lease lasts"):
            shop.reco.system.run_job(JOB)


class TestALedgerThatDoesNotHearTheEnd:
    RULES = RunRules(beat=timedelta(milliseconds=20), lease=timedelta(milliseconds=400))
    MOST = 300  # At last it does.

    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have it asked again sooner."""
        monkeypatch.setattr("angle_reco.application.jobs.runner._SECONDS_BETWEEN_TRIES", 0.01)

    def shop(self, **ports: Any) -> Shop:
        return Shop.of(settings=Settings(runs=self.RULES), users=failing_users([]), **ports)

    def test_it_is_asked_until_it_does_and_the_run_is_kept_meanwhile(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        shop = self.shop(ledger=lambda ledger: Deaf(ledger, beats=3))

        assert begin_due(shop)

        run = shop.last(JOB)
        assert run is not None
        assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
        assert json.loads(run.outcome or "{}")["scope"] == 3
        assert shop.ports.ledger.beaten >= 3  # type: ignore[attr-defined]  # it is Deaf
        assert shop.ports.users.calls == 2  # type: ignore[attr-defined]  # it is a Failing
        assert shop.events == []
        assert not begin_due(shop)
        assert f"run not ended yet: job={JOB} error=StorageUnavailableError" in caplog.text

    @pytest.mark.parametrize("is_scheduled", [False, True])
    def test_a_person_who_waits_is_told_once_it_hears(self, is_scheduled: bool) -> None:
        shop = self.shop(ledger=lambda ledger: Deaf(ledger, beats=1))

        outcome = shop.reco.system.run_job(JOB, scheduled=is_scheduled)

        assert outcome is not None
        assert outcome.scope == 3
        assert shop.open_runs() == []

    def test_a_process_that_stops_asks_no_more(self, caplog: pytest.LogCaptureFixture) -> None:
        errors, stop = repeat(StorageUnavailableError(), self.MOST), Event()
        shop = self.shop(
            lists=lambda lists: Calling(lists, "retain", stop.set),
            ledger=lambda ledger: Failing(ledger, "finish", errors),
        )
        job = "generate_recommendations"

        assert begin_due(shop, job, stop=stop)

        assert shop.ports.ledger.calls == 1  # type: ignore[attr-defined]  # it is a Failing
        self.holds_that_it_was_told(shop, job, caplog.text)

    @pytest.mark.parametrize("is_taken", [False, True])
    def test_once_the_run_is_lost_it_is_asked_no_more(
        self, is_taken: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Somebody else has begun it, or nobody answers for as long as the lease lasts."""
        error, clock = StorageUnavailableError(), list[ManualClock]()

        def take_over(ledger: Any) -> None:
            if is_taken:
                clock[0].advance(MINUTE)
                run_request = run_request_of(RunKey(JOB), Trigger.MANUAL, SCHEDULE[JOB])
                ledger.claim(run_request, holder="thief", lease=HOUR)

        def deaf(ledger: Any) -> Any:
            silent = ledger if is_taken else Failing(ledger, "beat", repeat(error))
            failing = Failing(silent, "finish", repeat(error, self.MOST))
            return Calling(failing, "finish", partial(take_over, ledger))

        shop = self.shop(ledger=deaf)
        clock.append(shop.clock)

        assert begin_due(shop)

        assert shop.ports.users.calls == 2  # type: ignore[attr-defined]  # it is a Failing
        self.holds_that_it_was_told(shop, JOB, caplog.text)

    def holds_that_it_was_told(self, shop: Shop, job: str, lines: str) -> None:
        """Hold that it was logged and told, and not as the end of it."""
        [told] = shop.events
        assert isinstance(told, RunFailed)
        assert (told.job, told.attempt, told.is_final) == (job, 1, False)
        assert told.error == "done, but not ended: StorageUnavailableError"
        assert f"run done, but not ended: job={job} error=StorageUnavailableError" in lines
        assert RunKey(job) in {run.key for run in shop.open_runs()}

    @pytest.mark.parametrize("attempts", [3, 1])
    def test_that_of_a_run_that_failed_is_told_and_comes_again(
        self, attempts: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        rule = attrs.evolve(SCHEDULE[JOB], attempts=attempts)
        shop = Shop.of(
            settings=Settings(schedule={JOB: rule}),
            users=failing_users([DEFECT]),
            ledger=lambda ledger: Failing(ledger, "finish", [StorageUnavailableError()]),
        )

        assert begin_due(shop)

        [told] = shop.events
        assert isinstance(told, RunFailed)
        assert (told.error, told.attempt, told.is_final) == ("ValueError", 1, False)
        assert f"run not ended in the ledger: job={JOB}" in caplog.text
        shop.clock.advance(MINUTE)
        assert begin_due(shop) is (attempts > 1)
        assert [getattr(event, "is_final", None) for event in shop.events] == (
            [False] if attempts > 1 else [False, True]
        )


class TestPace:
    @pytest.mark.parametrize(
        ("pace", "asked", "paused"),
        [
            (1.0, 2.0, []),
            (0.5, 2.0, [2.0]),
            (0.25, 1.0, [3.0]),
            (0.1, 0.5, [4.5]),
            (0.1, 2.0, [5.0]),  # never for longer
            (0.5, 0.0, []),
        ],
    )
    def test_the_database_is_left_alone_for_its_share_of_the_time(
        self, monkeypatch: pytest.MonkeyPatch, pace: float, asked: float, paused: list[float]
    ) -> None:
        clock, pauses = ManualClock(NOW), list[float | None]()

        class Stop(Event):
            def wait(self, timeout: float | None = None) -> bool:
                pauses.append(timeout)
                return False

        monkeypatch.setattr("angle_reco.application.jobs.run_context.monotonic", clock.monotonic)

        with RunContext(pace=pace, stop=Stop()).paced():
            clock.advance(timedelta(seconds=asked))

        assert pauses == pytest.approx(paused)

    def test_a_process_that_stops_does_not_wait(self) -> None:
        work = RunContext(pace=0.01)
        work.stop.set()

        started = monotonic()
        with work.paced():
            sleep(0.1)

        assert monotonic() - started < 5

    def test_what_fails_is_not_followed_by_a_pause(self) -> None:
        work, started = RunContext(pace=0.01), monotonic()

        def ask() -> None:
            with work.paced():
                sleep(0.05)
                raise DEFECT

        with pytest.raises(ValueError, match="odd"):
            ask()

        assert monotonic() - started < 3

    @pytest.mark.parametrize(("pace", "together"), [(1.0, True), (0.5, False)])
    def test_threads_of_a_run_take_turns_unless_it_may_keep_the_database_busy(
        self, pace: float, together: bool
    ) -> None:
        work, is_inside, leaves = RunContext(pace=pace), Event(), Event()
        work.stop.set()

        def ask() -> None:
            with work.paced():
                is_inside.set()
                leaves.wait()

        thread = Thread(target=ask)
        with work.paced():
            thread.start()
            assert is_inside.wait(5 if together else 0.1) is together
        assert is_inside.wait(5)
        leaves.set()
        thread.join()

    @pytest.mark.parametrize(("is_scheduled", "pauses"), [(False, False), (True, True)])
    def test_scheduled_runs_hold_back_and_a_persons_do_not(
        self, monkeypatch: pytest.MonkeyPatch, is_scheduled: bool, pauses: bool
    ) -> None:
        clock = ManualClock(NOW)

        def now() -> float:
            clock.advance(timedelta(milliseconds=1))
            return clock.monotonic()

        monkeypatch.setattr("angle_reco.application.jobs.run_context.monotonic", now)
        shop = Shop.of(settings=Settings(pace=0.01))

        started = monotonic()
        shop.reco.system.run_job(JOB, scheduled=is_scheduled)

        # A millisecond of each hundred.
        assert (monotonic() - started >= 0.099) is pauses


class TestScheduled:
    def test_a_daily_job_runs_once_a_day_however_often_a_process_looks(self) -> None:
        shop, due = Shop.of(), list[int]()
        for hour in range(48):
            # What is due although it is done costs each process a claim at each look.
            if SIMILAR in {one.key.job for one in shop.runs.due()}:
                due.append(hour)
                begin_due(shop, SIMILAR)
            shop.clock.advance(HOUR)

        # The first is late, at noon; the next ones are due at 2:00.
        assert due == [0, 14, 38]

    def test_a_job_runs_once_in_each_window(self) -> None:
        shop = Shop.of()
        system, done = shop.reco.system, []

        for _ in range(8):
            outcome = system.run_job(JOB, scheduled=True)
            done.append(outcome is not None and outcome.scope)
            shop.clock.advance(timedelta(minutes=20))

        assert done == [3, False, False, 3, False, False, 3, False]

    def test_similarities_run_once_in_half_a_day(self) -> None:
        shop = Shop.of()
        done = []
        for _ in range(24):
            done.append(shop.reco.system.run_job(SIMILAR, scheduled=True) is not None)
            shop.clock.advance(HOUR)

        assert done == [hour in (0, 12) for hour in range(24)]

    def test_what_somebody_is_at_is_not_run(self) -> None:
        shop = Shop.of()
        run_request = run_request_of(RunKey(JOB), Trigger.MANUAL, SCHEDULE[JOB])
        held = shop.ports.ledger.claim(run_request, holder="ann", lease=MINUTE).run

        assert shop.reco.system.run_job(JOB, scheduled=True) is None
        assert shop.reco.system.run_job("generate_recommendations", scheduled=True) is not None
        shop.ports.ledger.finish(held)
        assert shop.reco.system.run_job(JOB, scheduled=True) is not None

    def test_one_that_failed_is_tried_again_when_it_is_due(self) -> None:
        shop = Shop.of(users=failing_users([DEFECT]))

        with pytest.raises(ValueError, match="odd"):
            shop.reco.system.run_job(JOB, scheduled=True)
        assert shop.reco.system.run_job(JOB, scheduled=True) is None
        shop.clock.advance(MINUTE)
        assert shop.reco.system.run_job(JOB, scheduled=True) is not None
        assert shop.reco.system.run_job(JOB, scheduled=True) is None

    def test_what_was_over_long_ago_is_forgotten_after_it(self) -> None:
        shop, found = Shop.of(), list[bool]()
        shop.reco.system.run_job(SIMILAR)
        shop.clock.advance(timedelta(days=8))

        shop.reco.system.run_job(
            JOB, scheduled=True, progress=lambda *_: found.append(shop.last(SIMILAR) is not None)
        )

        assert found
        assert all(found)
        assert shop.last(SIMILAR) is None

    def test_where_nothing_can_be_forgotten_it_is_done_all_the_same(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        error = StorageUnavailableError()
        shop = Shop.of(ledger=lambda ledger: Failing(ledger, "prune", repeat(error)))

        outcome = shop.reco.system.run_job(JOB, scheduled=True)

        assert outcome is not None
        assert outcome.scope == 3
        assert shop.open_runs() == []
        assert shop.events == []
        assert shop.ports.ledger.calls == 1  # type: ignore[attr-defined]  # it is a Failing
        assert "runs not pruned: error=StorageUnavailableError" in caplog.text

    def test_it_is_for_all_items_and_for_the_present(self) -> None:
        shop = Shop.of()

        with pytest.raises(InvalidValueError, match="item of a scheduled run"):
            shop.reco.system.run_job(SIMILAR, item_id="art-01", scheduled=True)  # type: ignore[call-overload]  # what is wrong is tried
        with pytest.raises(InvalidValueError, match="as_of is"):
            shop.reco.as_of_moment(NOW).system.run_job(JOB, scheduled=True)
        with pytest.raises(InvalidValueError, match="job is 'nothing'"):
            shop.reco.system.run_job("nothing", scheduled=True)
        assert shop.open_runs() == []


class TestByHand:
    def test_it_always_runs_also_in_a_window_that_is_done(self) -> None:
        shop = Shop.of()
        shop.reco.system.run_job(JOB, scheduled=True)

        assert [shop.reco.system.run_job(JOB).scope for _ in range(3)] == [3, 3, 3]
        assert shop.reco.system.run_job(JOB, scheduled=True) is None

    @pytest.mark.parametrize(("count", "runs"), [(50, 50), (51, 1)])
    def test_many_items_are_one_run_of_all(self, count: int, runs: int) -> None:
        shop = Shop.of()

        shop.runs.request_similar([ItemId(f"art-{place:02}") for place in range(count)])

        found = shop.open_runs()
        assert len(found) == runs
        assert ("item_id" in found[0].key.values) is (runs > 1)

    def test_it_does_not_use_up_the_window_of_the_schedule(self) -> None:
        shop = Shop.of()
        shop.reco.system.run_job(JOB)

        assert shop.reco.system.run_job(JOB, scheduled=True) is not None

    def test_it_waits_for_its_like(self) -> None:
        shop = Shop.of()
        run_request = run_request_of(RunKey(JOB), Trigger.SCHEDULE, SCHEDULE[JOB], slot=NOW)
        held = shop.ports.ledger.claim(run_request, holder="ann", lease=HOUR).run
        told, waits, outcomes = list[tuple[str, int, int]](), Event(), list[object]()

        def progress(what: str, done: int, total: int) -> None:
            told.append((what, done, total))
            waits.set()

        def run() -> None:
            outcomes.append(shop.reco.system.run_job(JOB, progress=progress))

        person = Thread(target=run)
        person.start()
        assert waits.wait(20)
        sleep(0.2)
        before = list(outcomes)
        shop.ports.ledger.finish(held)
        person.join(20)

        assert before == []
        assert len(outcomes) == 1
        assert told[0] == ("waiting for another run of it", 0, 1)
        assert {what for what, _, _ in told[1:]} == {"interests of users"}

    def test_it_looks_twice_a_second_whether_its_like_has_ended(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks, pauses = list[int](), list[float]()

        def look() -> None:
            looks.append(len(pauses))
            assert len(looks) < 10, "it looks all the time"

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                shop.ports.ledger.finish(held)

        monkeypatch.setattr("angle_reco.application.jobs.claims.sleep", pause)
        shop = Shop.of(ledger=lambda ledger: Calling(ledger, "claim", look))
        run_request = run_request_of(RunKey(JOB), Trigger.MANUAL, SCHEDULE[JOB])
        held = shop.ports.ledger.claim(run_request, holder="ann", lease=HOUR).run

        assert shop.reco.system.run_job(JOB).scope == 3

        assert pauses == [0.5] * 3
        assert looks == [0, 0, 1, 2, 3]

    def test_runs_for_other_items_do_not_wait_for_each_other(self) -> None:
        shop = Shop.of()
        key = RunKey.of(SIMILAR, {"item_id": "art-01"})
        run_request = run_request_of(key, Trigger.MANUAL, SCHEDULE[SIMILAR])
        shop.ports.ledger.claim(run_request, holder="ann", lease=HOUR)

        assert shop.reco.system.run_job(SIMILAR, item_id="art-02").scope == 1
        assert shop.reco.system.run_job(SIMILAR).scope == 3

    def test_as_of_a_moment_is_a_key_of_its_own(self) -> None:
        shop = Shop.of()
        run_request = run_request_of(RunKey(JOB), Trigger.MANUAL, SCHEDULE[JOB])
        shop.ports.ledger.claim(run_request, holder="ann", lease=HOUR)

        outcome = shop.reco.as_of_moment(NOW - HOUR).system.run_job(JOB)

        assert outcome.started_at == NOW - HOUR


class TestPruning:
    def test_changes_are_kept_for_three_hours(self) -> None:
        clock = ManualClock(NOW)
        feed = MemoryChanges(clock)
        shop = Shop.of(changes=lambda _: feed)
        cursor = feed.now()
        feed.publish([Change(kind=ChangeKind.FORGET)])

        gaps = []
        for passes in (3 * HOUR - TICK, TICK):
            clock.advance(passes)
            shop.runs.prune()
            gaps.append(feed.since(cursor).has_gap)

        assert gaps == [False, True]

    def test_runs_are_kept_for_as_long_as_the_settings_say(self) -> None:
        retention = timedelta(days=9)
        shop = Shop.of(settings=Settings(runs=RunRules(retention=retention)))
        shop.reco.system.run_job(JOB)

        known = []
        for passes in (retention, TICK):
            shop.clock.advance(passes)
            shop.runs.prune()
            known.append(shop.last(JOB) is not None)

        assert known == [True, False]


class TestRequests:
    def test_several_leave_one_run_that_waits(self) -> None:
        shop = Shop.of()

        due = {shop.reco.system.request_job(SIMILAR, item_id="art-01") for _ in range(5)}

        [run] = shop.open_runs()
        assert due == {NOW} == {run.due_at}
        assert (run.trigger, run.state) == (Trigger.REQUEST, RunState.DUE)
        assert run.key.values == {"item_id": "art-01"}

    def test_one_that_runs_is_followed_by_one_that_waits(self) -> None:
        shop = Shop.of()
        shop.reco.system.request_job(SIMILAR, item_id="art-01")
        [run_request] = [one for one in shop.runs.due() if one.key.arguments]
        assert (
            shop.ports.ledger.claim(run_request, holder="x", lease=HOUR).status
            is ClaimStatus.CLAIMED
        )

        due = {shop.reco.system.request_job(SIMILAR, item_id="art-01") for _ in range(5)}

        assert [run.state for run in shop.open_runs()] == [RunState.RUNNING, RunState.DUE]
        assert due == {NOW + MINUTE}

    def test_whoever_works_does_it(self) -> None:
        shop = Shop.of()
        shop.reco.system.request_job(SIMILAR, item_id="art-01")

        for run_request in shop.runs.due():
            if run_request.key.arguments:
                assert shop.runs.begin(run_request, stop=Event())

        assert shop.reco.system.stored.find_similar_items("art-01") is not None
        assert shop.reco.system.stored.find_similar_items("art-02") is None
        assert shop.open_runs() == []

    def test_it_does_not_use_up_the_window_of_the_schedule(self) -> None:
        shop = Shop.of()
        shop.reco.system.request_job(JOB)
        [run_request] = [one for one in shop.runs.due() if one.trigger is Trigger.REQUEST]
        shop.runs.begin(run_request, stop=Event())

        assert shop.reco.system.run_job(JOB, scheduled=True) is not None

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda reco: reco.system.request_job("nothing"), "job is 'nothing'"),
            (lambda reco: reco.system.request_job(JOB, item_id="a"), "job for one item"),
            (lambda reco: reco.system.request_job(SIMILAR, item_id=7), "item id is 7"),
            (lambda reco: reco.as_of_moment(NOW).system.request_job(JOB), "as_of is"),
        ],
    )
    def test_what_nobody_could_run_is_refused(
        self, call: Callable[[Recommender], object], message: str
    ) -> None:
        shop = Shop.of()

        with pytest.raises(InvalidValueError, match=message):
            call(shop.reco)

        assert shop.open_runs() == []


class TestSettings:
    RULE = SCHEDULE[JOB]

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"schedule": {"nothing": RULE}}, "job in the schedule is 'nothing', .*one of compute"),
            ({"schedule": {"": RULE}}, "job in the schedule is ''"),
            ({"schedule": [JOB]}, "schedule is .*JobRules by the names"),
            ({"schedule": {JOB: "hourly"}}, "schedule is .*JobRules by the names"),
            (
                {"runs": RunRules(retention=timedelta(hours=35))},
                "retention of runs is .*at least 1 day, 12:00:00",
            ),
            (
                {
                    "schedule": {
                        JOB: attrs.evolve(RULE, schedule=Schedule(every=timedelta(days=30)))
                    }
                },
                "retention of runs is 7|retention of runs is .*at least 30 days, 1:00:00",
            ),
            ({"workers": {}}, "workers of the queue default is None"),
            ({"workers": 10}, "workers is 10"),
            ({"workers": {**dict.fromkeys(Queue, 1), Queue.DEFAULT: 0}}, "queue default is 0"),
            ({"pace": 0}, "pace is 0, .*0.01 to 1"),
            ({"pace": 1.5}, "pace is 1.5"),
            ({"pace": True}, "pace is True"),
            ({"runs": None}, "runs is None, .*RunRules"),
        ],
    )
    def test_what_cannot_be_is_refused_when_the_recommender_is_made(
        self, settings: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(InvalidValueError, match=message):
            Recommender.in_memory(settings=Settings(**settings))

    def test_rows_of_the_schedule_can_be_changed(self) -> None:
        rule = attrs.evolve(self.RULE, schedule=Schedule(every=2 * HOUR, at=7 * MINUTE))
        settings = Settings(schedule={JOB: rule}, runs=RunRules(retention=timedelta(hours=36)))

        assert schedule_of(settings) == {**SCHEDULE, JOB: rule}


class TestStats:
    def test_a_job_shows_its_last_run_and_when_it_is_due(self) -> None:
        shop = Shop.of()
        shop.clock.advance(3 * MINUTE)
        shop.reco.system.run_job(JOB, scheduled=True)
        shop.clock.advance(MINUTE)

        jobs = shop.reco.system.stats().jobs

        assert {name: one.next_at - NOW for name, one in jobs.items()} == {
            JOB: HOUR,
            "train_models": 15 * HOUR,
            "generate_popular_items": 5 * MINUTE,
            "generate_recommendations": 10 * MINUTE,
            SIMILAR: 14 * HOUR,
        }
        assert [name for name, one in jobs.items() if one.last] == [JOB]
        assert jobs[JOB].outcome["scope"] == 3
        assert jobs[SIMILAR].outcome == {}
        assert jobs[SIMILAR].to_json() == {
            "next_at": "2026-06-02T02:00:00+00:00",
            "last": None,
        }
        shown = jobs[JOB].to_json()
        assert shown["next_at"] == "2026-06-01T13:00:00+00:00"
        assert shown["last"] == {
            "state": "succeeded",
            "trigger": "schedule",
            "attempt": 1,
            "started_at": "2026-06-01T12:03:00+00:00",
            "finished_at": "2026-06-01T12:03:00+00:00",
            "outcome": dict(jobs[JOB].outcome),
            "error": None,
        }

    def test_a_run_that_failed_shows_why(self) -> None:
        shop = Shop.of(users=failing_users([DEFECT]))
        begin_due(shop)

        job = shop.reco.system.stats().jobs[JOB]

        assert job.outcome == {}
        assert job.last is not None
        assert (job.last.state, job.last.error) == (RunState.DUE, "ValueError")
        assert job.to_json()["last"]["outcome"] is None  # type: ignore[index]  # JSON
