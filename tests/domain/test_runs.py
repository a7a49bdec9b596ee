"""Runs of jobs: who may begin one, for how long, and that none is lost or done twice."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from angle_reco.application.jobs.schedule import SCHEDULE
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.runs import (
    Claim,
    ClaimStatus,
    Fence,
    Run,
    RunKey,
    RunRequest,
    RunRules,
    RunState,
    Trigger,
    claimed,
    due_run_requests,
    finished,
    retry_delay,
    run_request_of,
)
from angle_reco.domain.schedules import JobRule, Queue, Schedule, window_of

TICK = timedelta(microseconds=1)
SECOND, MINUTE, HOUR, DAY = (
    timedelta(seconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
)
LEASE = 30 * SECOND
NOW = datetime(2026, 3, 1, 14, 5, 30, tzinfo=UTC)
KEY = RunKey("tidy_up")
RULE = JobRule(
    queue=Queue.DEFAULT,
    schedule=Schedule(every=HOUR, at=5 * MINUTE),
    window=HOUR,
    attempts=3,
    request_window=MINUTE,
)
RULES = {KEY.job: RULE}


@attrs.define
class Notes:
    """A ledger as plain as can be: the runs of one key by slot, and a number."""

    now: datetime = NOW
    rule: JobRule = RULE
    runs: dict[datetime, Run] = attrs.field(factory=dict)
    number: int = 0
    names: int = 0

    def claim(self, run_request: RunRequest, holder: str | None = None) -> Claim:
        """Claim as ledgers do, for a holder that nobody was before."""
        if holder is None:
            self.names += 1
            holder = f"holder {self.names}"
        claim = claimed(
            list(self.runs.values()),
            run_request,
            now=self.now,
            holder=holder,
            number=self.number + 1,
            lease=LEASE,
        )
        self.number = max(self.number, claim.run.number)
        if (
            claim.status not in (ClaimStatus.BUSY, ClaimStatus.DONE, ClaimStatus.LATER)
            or claim.is_lease_cut
        ):
            self.runs[claim.run.slot] = claim.run
        return claim

    def scheduled(self, slot: datetime | None = None) -> RunRequest:
        """Return the request for the run of a slot, by default that of now."""
        slot = slot or window_of(self.now, self.rule.window)
        return run_request_of(KEY, Trigger.SCHEDULE, self.rule, slot=slot)

    def manual(self) -> RunRequest:
        """Return the request of a person who waits for the run."""
        return run_request_of(KEY, Trigger.MANUAL, self.rule)

    def requested(self) -> RunRequest:
        """Return the request of somebody who leaves the run to others."""
        slot = window_of(self.now, self.rule.request_window)
        return run_request_of(KEY, Trigger.REQUEST, self.rule, slot=slot, claims_now=False)

    def due(self) -> list[RunRequest]:
        """Return what should be begun now."""
        return due_run_requests(list(self.runs.values()), {KEY.job: self.rule}, self.now)

    def kept(self, run: Run) -> Run | None:
        """Return a run as it is kept, if it is still its holder's."""
        kept = self.runs[run.slot]
        is_mine = kept.number == run.number and kept.state is RunState.RUNNING
        return kept if is_mine else None

    def end(self, run: Run, **how: Any) -> bool:
        """End an attempt; False when it is somebody else's by now."""
        kept = self.kept(run)
        if kept is not None:
            self.runs[run.slot] = finished(kept, self.now, **how)
        return kept is not None


WORKERS = st.sampled_from(["ann", "bob", "eve"])
SPANS = st.one_of(
    st.sampled_from([TICK, SECOND, LEASE, LEASE + TICK, MINUTE, HOUR]),
    st.timedeltas(timedelta(0), 2 * HOUR),
)


class Workers(RuleBasedStateMachine):
    """Three workers who claim, beat, finish, fail and crash, over a clock moved by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.notes = Notes()
        self.at_work: dict[str, Run] = {}
        self.over: dict[datetime, Run] = {}
        self.numbers = [0]

    def take(self, worker: str, run_request: RunRequest) -> Claim:
        """Have a worker claim; asked again it is told the same."""
        self.notes.names += 1
        holder = f"{worker} {self.notes.names}"
        before = dict(self.notes.runs)
        claim = self.notes.claim(run_request, holder)
        again = self.notes.claim(run_request, holder)

        if claim.status is ClaimStatus.DISCARDED:
            assert again == Claim(status=ClaimStatus.DONE, run=claim.run)
        else:
            assert again.status is claim.status
            assert again.run == claim.run or claim.run.slot not in self.notes.runs
        if claim.status is ClaimStatus.CLAIMED:
            assert claim.run.is_held(self.notes.now)
            assert not any(run.is_held(self.notes.now) for run in before.values())
            self.numbers.append(claim.run.number)
            self.at_work[worker] = claim.run
        return claim

    @rule(span=SPANS)
    def pass_time(self, span: timedelta) -> None:
        """Let time pass."""
        self.notes.now += span

    @precondition(lambda self: len(self.at_work) < 3)
    @rule(worker=WORKERS)
    def claim_the_slot_of_now(self, worker: str) -> None:
        """Claim as a host's cron does."""
        if worker not in self.at_work:
            self.take(worker, self.notes.scheduled())

    @precondition(lambda self: len(self.at_work) < 3)
    @rule(worker=WORKERS, data=st.data())
    def claim_what_is_due(self, worker: str, data: st.DataObject) -> None:
        """Claim as the background does."""
        due = self.notes.due()
        if worker not in self.at_work and due:
            self.take(worker, data.draw(st.sampled_from(due)))

    @precondition(lambda self: len(self.at_work) < 3)
    @rule(worker=WORKERS)
    def run_manually(self, worker: str) -> None:
        """Claim as a person does: it is always given, unless another run is held."""
        if worker in self.at_work:
            return
        before, is_busy = set(self.notes.runs), self.is_busy()

        claim = self.take(worker, self.notes.manual())

        assert claim.status is (ClaimStatus.BUSY if is_busy else ClaimStatus.CLAIMED)
        if not is_busy:
            assert claim.run.slot not in before
            assert claim.run.slot != window_of(claim.run.slot, RULE.window)

    @rule()
    def request(self) -> None:
        """Leave a run to others: there is one that waits afterwards, and takes nobody's slot."""
        before = dict(self.notes.runs)

        claim = self.notes.claim(self.notes.requested())

        assert claim.status is ClaimStatus.WAITING
        assert claim.run.state is RunState.DUE
        if claim.run.slot not in before:
            assert claim.run.due_at >= self.notes.now
            assert claim.run.slot != window_of(claim.run.slot, RULE.window)
            waiting = [run for run in before.values() if run.state is RunState.DUE]
            # One of the schedule does not do.
            assert {run.trigger for run in waiting} <= {Trigger.SCHEDULE}
        assert {**self.notes.runs, **before} == self.notes.runs

    @precondition(lambda self: self.at_work)
    @rule(data=st.data())
    def beat(self, data: st.DataObject) -> None:
        """Prolong a run, as long as no later one of the key was claimed."""
        worker = data.draw(st.sampled_from(sorted(self.at_work)))
        kept = self.notes.kept(self.at_work[worker])
        if kept is None or kept.number < self.notes.number:
            del self.at_work[worker]
        else:
            lease_until = self.notes.now + LEASE
            self.notes.runs[kept.slot] = attrs.evolve(kept, lease_until=lease_until)

    @precondition(lambda self: self.at_work)
    @rule(data=st.data(), error=st.sampled_from([None, "RuntimeError"]), is_crash=st.booleans())
    def end(self, data: st.DataObject, error: str | None, is_crash: bool) -> None:
        """Succeed, fail or crash."""
        worker = data.draw(st.sampled_from(sorted(self.at_work)))
        run = self.at_work.pop(worker)
        if is_crash:
            return
        attempts = 1 if run.trigger is Trigger.MANUAL else RULE.attempts
        delay = None if run.attempt >= attempts else 10 * SECOND
        self.notes.end(run, error=error, retry_after=delay if error else None)

    @precondition(lambda self: self.at_work)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        """Have a worker's process end, which uses no attempt up."""
        run = self.at_work.pop(data.draw(st.sampled_from(sorted(self.at_work))))
        is_mine = self.notes.kept(run) is not None
        before = self.notes.runs[run.slot].attempt

        self.notes.end(run, error="RunStoppedError", retry_after=timedelta(0), gives_back=True)

        assert self.notes.runs[run.slot].attempt == before - is_mine

    def is_busy(self) -> bool:
        """Return whether anybody is at it."""
        return any(run.is_held(self.notes.now) for run in self.notes.runs.values())

    @invariant()
    def never_are_two_held_at_a_time(self) -> None:
        assert sum(run.is_held(self.notes.now) for run in self.notes.runs.values()) <= 1

    @invariant()
    def what_is_over_stays_as_it_is(self) -> None:
        for slot, run in self.over.items():
            assert self.notes.runs[slot] == run
        self.over = {slot: run for slot, run in self.notes.runs.items() if run.state.is_final}

    @invariant()
    def no_run_is_tried_too_often(self) -> None:
        for run in self.notes.runs.values():
            assert run.attempt <= (1 if run.trigger is Trigger.MANUAL else RULE.attempts)

    @invariant()
    def at_most_one_waits_that_never_began(self) -> None:
        fresh = [run for run in self.notes.runs.values() if run.started_at is None]

        assert len(fresh) <= 1

    @invariant()
    def numbers_only_grow(self) -> None:
        assert all(one < later for one, later in pairwise(self.numbers))

    def teardown(self) -> None:
        """Have somebody work on: everything is over before long, nothing was lost.

        What is left is of earlier moments of the schedule, before one that was finished.
        """
        for _ in range(20):
            self.notes.now += MINUTE
            for run_request in self.notes.due():
                claim = self.notes.claim(run_request)
                if claim.status is ClaimStatus.CLAIMED:
                    assert self.notes.end(claim.run)

        assert self.notes.due() == []
        slot = window_of(RULE.schedule.last_before(self.notes.now), RULE.window)
        assert self.notes.runs[slot].state.is_final
        left = [run for run in self.notes.runs.values() if not run.state.is_final]
        assert all(run.trigger is Trigger.SCHEDULE and run.slot < slot for run in left)


Workers.TestCase.settings = settings(
    max_examples=max(150, settings().max_examples), stateful_step_count=40
)
TestWorkers = Workers.TestCase


@pytest.fixture
def notes() -> Notes:
    """Return a ledger without runs."""
    return Notes()


class TestClaimed:
    def test_the_first_has_it_and_the_second_is_told_who(self, notes: Notes) -> None:
        first, second = notes.claim(notes.scheduled()), notes.claim(notes.scheduled())

        assert first.status is ClaimStatus.CLAIMED
        assert first.run.lease_until == NOW + LEASE
        assert (first.run.state, first.run.attempt, first.run.number) == (RunState.RUNNING, 1, 1)
        assert (second.status, second.run) == (ClaimStatus.BUSY, first.run)

    def test_a_run_is_taken_over_only_after_its_lease(self, notes: Notes) -> None:
        gone = notes.claim(notes.scheduled()).run

        notes.now += LEASE
        still = notes.claim(notes.scheduled())
        notes.now += TICK
        mine = notes.claim(notes.scheduled())

        assert still.status is ClaimStatus.BUSY
        assert mine.status is ClaimStatus.CLAIMED
        assert mine.run.slot == gone.slot
        assert (mine.run.attempt, mine.run.number) == (2, 2)

    def test_a_run_that_lost_its_holders_too_often_is_given_up(self, notes: Notes) -> None:
        for _ in range(3):
            assert notes.claim(notes.scheduled()).status is ClaimStatus.CLAIMED
            notes.now += LEASE + TICK

        last, after = notes.claim(notes.scheduled()), notes.claim(notes.scheduled())

        assert last.status is ClaimStatus.DISCARDED
        assert (last.run.state, last.run.attempt) == (RunState.DISCARDED, 3)
        assert last.run.error == "the process that ran it is gone"
        assert last.run.finished_at == notes.now
        assert after == Claim(status=ClaimStatus.DONE, run=last.run)

    def test_a_failed_attempt_leaves_its_slot_open(self, notes: Notes) -> None:
        run = notes.claim(notes.scheduled()).run
        assert notes.end(run, error="ValueError", retry_after=10 * SECOND)

        notes.now += 10 * SECOND - TICK
        early = notes.claim(notes.scheduled())
        notes.now += TICK
        again = notes.claim(notes.scheduled())

        assert (early.status, early.run.error) == (ClaimStatus.LATER, "ValueError")
        assert (again.status, again.run.slot, again.run.attempt) == (
            ClaimStatus.CLAIMED,
            run.slot,
            2,
        )
        assert notes.end(again.run, outcome="{}")
        assert notes.claim(notes.scheduled()).status is ClaimStatus.DONE

    def test_a_request_waits_for_the_run_that_is_held(self, notes: Notes) -> None:
        held = notes.claim(notes.manual()).run
        waiting = notes.claim(notes.requested()).run
        [run_request] = [one for one in notes.due() if one.trigger is Trigger.REQUEST]

        busy = notes.claim(run_request)
        notes.end(held)
        begun = notes.claim(run_request)

        assert (busy.status, busy.run) == (ClaimStatus.BUSY, held)
        assert (begun.status, begun.run.slot) == (ClaimStatus.CLAIMED, waiting.slot)
        assert begun.run.trigger is Trigger.REQUEST

    def test_requests_in_one_window_leave_one_run_now_and_one_after_it(self, notes: Notes) -> None:
        first = notes.claim(notes.requested()).run
        assert notes.claim(notes.requested()).run == first
        notes.end(notes.claim(run_request_of(KEY, Trigger.REQUEST, RULE, slot=first.slot)).run)

        second, third = notes.claim(notes.requested()).run, notes.claim(notes.requested()).run

        assert first.due_at == NOW
        assert second == third
        assert second.slot == first.slot + MINUTE
        assert second.due_at == window_of(second.slot, MINUTE)

    def test_a_request_does_not_use_up_the_window_of_the_schedule(self, notes: Notes) -> None:
        notes.now = datetime(2026, 3, 1, 14, tzinfo=UTC)
        requested = notes.claim(notes.requested()).run
        notes.now += SECOND
        notes.end(notes.claim(run_request_of(KEY, Trigger.REQUEST, RULE, slot=requested.slot)).run)

        assert notes.claim(notes.scheduled()).status is ClaimStatus.CLAIMED

    @given(
        start=st.sampled_from([NOW, NOW.replace(second=0), NOW.replace(minute=0, second=0)]),
        count=st.integers(1, 20),
        window=st.sampled_from([HOUR, 7 * MINUTE, 90 * SECOND]),
    )
    def test_by_hand_every_run_has_a_slot_of_its_own(
        self, start: datetime, count: int, window: timedelta
    ) -> None:
        notes = Notes(now=start, rule=attrs.evolve(RULE, window=window))

        slots = []
        for _ in range(count):
            run = notes.claim(notes.manual()).run
            slots.append(run.slot)
            assert notes.end(run)

        assert len(set(slots)) == count
        assert all(slot != window_of(slot, window) for slot in slots)
        assert notes.claim(notes.scheduled()).status is ClaimStatus.CLAIMED


class TestDueRequests:
    @pytest.mark.parametrize("names", [list(SCHEDULE), list(SCHEDULE)[::-1]])
    def test_nothing_is_due_that_runs_in_every_process(self, names: list[str]) -> None:
        rules = {name: SCHEDULE[name] for name in names}

        jobs = [run_request.key.job for run_request in due_run_requests([], rules, NOW)]

        assert jobs == [job for job in names if job != "evict_stale_cache"]

    @given(outage=st.timedeltas(HOUR, 30 * DAY), starts=st.timedeltas(timedelta(0), DAY))
    def test_after_an_outage_each_job_is_run_once(
        self, outage: timedelta, starts: timedelta
    ) -> None:
        runs = done_by(due_run_requests([], SCHEDULE, NOW + starts), NOW + starts)
        now = NOW + starts + outage

        run_requests = due_run_requests(runs, SCHEDULE, now)

        missed = [
            job
            for job, one in SCHEDULE.items()
            if one.schedule.next_after(NOW + starts) <= now and not one.in_every_process
        ]
        assert [run_request.key.job for run_request in run_requests] == missed
        for run_request in run_requests:
            one = SCHEDULE[run_request.key.job]
            assert run_request.slot == window_of(one.schedule.last_before(now), one.window)
        assert due_run_requests([*runs, *done_by(run_requests, now)], SCHEDULE, now) == []

    @given(
        every=st.timedeltas(10 * SECOND, 400 * HOUR),
        place=st.floats(0, 0.999),
        late=st.lists(st.timedeltas(timedelta(0), 5 * SECOND), min_size=2, max_size=30),
    )
    def test_none_is_skipped_because_the_window_is_as_long_as_the_time_between(
        self, every: timedelta, place: float, late: list[timedelta]
    ) -> None:
        schedule = Schedule(every=every, at=every * place)
        rules = {KEY.job: attrs.evolve(RULE, schedule=schedule, window=every)}
        runs = done_by(due_run_requests([], rules, NOW), NOW)

        firing = NOW
        for delay in late:
            firing = schedule.next_after(firing)
            assert due_run_requests(runs, rules, firing - TICK) == []
            [run_request] = due_run_requests(runs, rules, firing + delay)
            runs += done_by([run_request], firing + delay)

        assert len({run.slot for run in runs}) == len(late) + 1

    def test_what_failed_comes_again_at_its_time_and_what_was_left_after_its_lease(self) -> None:
        notes = Notes()
        notes.end(notes.claim(notes.scheduled()).run, error="E", retry_after=10 * SECOND)

        assert notes.due() == []
        notes.now += 10 * SECOND
        [again] = notes.due()
        assert notes.claim(again).run.attempt == 2
        notes.now += LEASE
        assert notes.due() == []
        notes.now += TICK
        [rescue] = notes.due()
        assert notes.claim(rescue).run.attempt == 3
        assert rescue == again == notes.scheduled()

    @pytest.mark.parametrize("is_left", [False, True])
    @pytest.mark.parametrize("is_done", [False, True])
    def test_one_of_an_earlier_moment_is_passed_over(
        self, notes: Notes, is_done: bool, is_left: bool
    ) -> None:
        run = notes.claim(notes.scheduled()).run
        if not is_left:
            notes.end(run, error="E", retry_after=SECOND)
        notes.now += 59 * MINUTE
        before = notes.due()
        notes.now += MINUTE
        if is_done:
            notes.end(notes.claim(notes.scheduled()).run)

        assert [run_request.slot for run_request in before] == [run.slot]
        assert notes.due() == ([] if is_done else [notes.scheduled()])

    @pytest.mark.parametrize("is_left", [False, True])
    def test_one_that_was_asked_for_is_not_passed_over(self, notes: Notes, is_left: bool) -> None:
        waiting = notes.claim(notes.requested()).run
        run_request = run_request_of(KEY, Trigger.REQUEST, RULE, slot=waiting.slot)
        if is_left:
            assert notes.claim(run_request).status is ClaimStatus.CLAIMED
        notes.now += DAY

        assert notes.due() == [notes.scheduled(), run_request]

    def test_one_by_hand_whose_holder_is_gone_is_not_passed_over(self, notes: Notes) -> None:
        run = notes.claim(notes.manual()).run
        notes.now += DAY

        assert notes.due() == [
            notes.scheduled(),
            run_request_of(KEY, Trigger.MANUAL, RULE, slot=run.slot),
        ]

    def test_one_with_arguments_is_not_passed_over(self, notes: Notes) -> None:
        key = RunKey.of(KEY.job, {"item_id": 7})
        run = attrs.evolve(notes.claim(notes.scheduled()).run, key=key)

        run_requests = due_run_requests([run], RULES, NOW + DAY)

        assert [(run_request.key, run_request.slot) for run_request in run_requests] == [
            (KEY, window_of(NOW + DAY, HOUR)),
            (key, run.slot),
        ]

    def test_a_request_does_not_wait_for_a_run_that_may_be_passed_over(self, notes: Notes) -> None:
        notes.end(notes.claim(notes.scheduled()).run, error="E", retry_after=SECOND)
        notes.now += HOUR
        notes.end(notes.claim(notes.scheduled()).run)

        waiting = notes.claim(notes.requested()).run

        assert waiting.trigger is Trigger.REQUEST
        assert notes.due() == [run_request_of(KEY, Trigger.REQUEST, RULE, slot=waiting.slot)]

    def test_runs_of_other_jobs_and_of_arguments_do_not_count_as_the_schedules(self) -> None:
        others = [
            attrs.evolve(one, key=key)
            for one in done_by([Notes().scheduled()], NOW)
            for key in (RunKey("other"), RunKey.of(KEY.job, {"item_id": 7}))
        ]

        assert due_run_requests(others, RULES, NOW) == [Notes().scheduled()]

    def test_one_that_a_person_ran_since_does_not_count_as_the_schedules(
        self, notes: Notes
    ) -> None:
        manual = notes.claim(notes.manual()).run
        assert window_of(NOW, HOUR) <= manual.slot
        notes.end(manual)

        assert notes.due() == [notes.scheduled()]

    def test_slots_that_are_still_to_come_do_not_count(self, notes: Notes) -> None:
        notes.now += DAY
        for _ in range(3):
            notes.end(notes.claim(notes.scheduled()).run)
            notes.now += HOUR
        notes.end(notes.claim(notes.scheduled()).run, error="E", retry_after=SECOND)
        notes.now = NOW

        assert notes.due() == [notes.scheduled()]
        notes.end(notes.claim(notes.scheduled()).run)
        assert notes.due() == []

    def test_a_clock_that_goes_back_over_a_window_repeats_no_run(self, notes: Notes) -> None:
        notes.end(notes.claim(notes.scheduled()).run)
        notes.now = window_of(NOW, HOUR) + HOUR
        notes.end(notes.claim(notes.scheduled()).run)
        notes.now -= SECOND

        assert notes.due() == []
        notes.now += SECOND
        assert notes.due() == []

    def test_a_lease_that_reaches_too_far_is_claimed_and_cut(self, notes: Notes) -> None:
        notes.now += DAY
        left = notes.claim(notes.requested()).run
        claims_now = run_request_of(KEY, Trigger.REQUEST, RULE, slot=left.slot)
        assert notes.claim(claims_now).status is ClaimStatus.CLAIMED
        notes.now = NOW

        run_requests = notes.due()
        busy = notes.claim(claims_now)

        assert run_requests == [notes.scheduled(), claims_now]
        assert (busy.status, busy.is_lease_cut) == (ClaimStatus.BUSY, True)
        assert busy.run.lease_until == NOW + LEASE
        assert notes.due() == [notes.scheduled()]
        notes.now += LEASE + TICK
        assert notes.due() == [notes.scheduled(), claims_now]

    def test_a_lease_as_long_as_a_claim_allows_is_left_alone(self, notes: Notes) -> None:
        notes.claim(notes.scheduled())

        assert notes.due() == []
        assert not notes.claim(notes.manual()).is_lease_cut

    def test_a_request_that_was_left_by_a_clock_ahead_is_due(self, notes: Notes) -> None:
        notes.now += DAY
        left = notes.claim(notes.requested()).run
        notes.now = NOW

        assert run_request_of(KEY, Trigger.REQUEST, RULE, slot=left.slot) in notes.due()
        assert notes.claim(notes.requested()).run == left

    def test_what_waits_for_a_job_nobody_knows_is_left(self) -> None:
        notes = Notes()
        notes.claim(notes.requested())

        assert due_run_requests(list(notes.runs.values()), {}, NOW) == []


def done_by(run_requests: list[RunRequest], now: datetime) -> list[Run]:
    runs = []
    for run_request in run_requests:
        claim = claimed([], run_request, now=now, holder="ann", number=1, lease=LEASE)
        assert claim.status is ClaimStatus.CLAIMED
        runs.append(finished(claim.run, now))
    return runs


spans = st.timedeltas(timedelta(milliseconds=10), 3_660 * DAY)
run_rules = st.tuples(spans, spans).map(
    lambda both: RunRules(retry_after=min(both), retry_most=max(both))
)
chances = st.floats(0, 1)


class TestRetryDelay:
    @given(rules=run_rules, attempt=st.integers(1, 100), chance=chances)
    def test_it_is_in_its_range(self, rules: RunRules, attempt: int, chance: float) -> None:
        delay = retry_delay(attempt, rules, chance)

        # As whole microseconds: a length of time ends at three million years.
        least = rules.retry_after // TICK * 2 ** (attempt - 1)
        most = rules.retry_most // TICK
        assert min(least, most) <= delay // TICK + 1
        assert delay // TICK <= min(least * 3 // 2 + 1, most)

    @given(rules=run_rules, attempt=st.integers(1, 100), chances=st.tuples(chances, chances))
    def test_it_is_never_less_than_the_time_before(
        self, rules: RunRules, attempt: int, chances: tuple[float, float]
    ) -> None:
        before, after = chances

        assert retry_delay(attempt, rules, before) <= retry_delay(attempt + 1, rules, after)

    def test_those_who_failed_together_do_not_come_back_together(self) -> None:
        delays = {retry_delay(2, RunRules(), chance / 10) for chance in range(11)}

        assert len(delays) == 11
        assert (min(delays), max(delays)) == (20 * SECOND, 30 * SECOND)

    def test_it_ends_growing_at_the_most(self) -> None:
        assert retry_delay(60, RunRules(), 0.0) == RunRules().retry_most


class TestFinished:
    @pytest.mark.parametrize(
        ("how", "state", "due_in"),
        [
            ({}, RunState.SUCCEEDED, timedelta(0)),
            ({"outcome": "{}"}, RunState.SUCCEEDED, timedelta(0)),
            ({"error": "E"}, RunState.DISCARDED, timedelta(0)),
            ({"error": "E", "retry_after": MINUTE}, RunState.DUE, 2 * MINUTE),
        ],
    )
    def test_an_attempt_ends_in_one_of_three_ways(
        self, notes: Notes, how: Mapping[str, Any], state: RunState, due_in: timedelta
    ) -> None:
        run = notes.claim(notes.scheduled()).run

        after = finished(run, NOW + MINUTE, **how)

        assert after.state is state
        assert (after.due_at, after.finished_at) == (NOW + due_in, NOW + MINUTE)
        assert (after.outcome, after.error) == (how.get("outcome"), how.get("error"))
        assert after.lease_until is None
        assert not after.is_held(NOW)
        assert (after.attempt, after.number, after.slot) == (1, run.number, run.slot)

    @pytest.mark.parametrize("attempt", [1, 2, RULE.attempts])
    def test_one_that_gives_its_attempt_back_can_be_begun_as_often_as_before(
        self, notes: Notes, attempt: int
    ) -> None:
        for _ in range(attempt - 1):
            failed = notes.claim(notes.scheduled()).run
            notes.end(failed, error="E", retry_after=timedelta(0))
        run = notes.claim(notes.scheduled()).run

        after = finished(run, NOW, error="E", retry_after=timedelta(0), gives_back=True)

        assert (run.attempt, after.attempt) == (attempt, attempt - 1)
        assert (after.state, after.due_at, after.number) == (RunState.DUE, NOW, run.number)
        notes.runs[run.slot] = after
        again = notes.claim(notes.scheduled())
        assert (again.status, again.run.attempt) == (ClaimStatus.CLAIMED, attempt)


texts = st.text(st.characters(exclude_categories=["Cs"]))


class TestRunKey:
    @given(arguments=st.dictionaries(texts, st.one_of(texts, st.integers(), st.none())))
    def test_arguments_are_one_text_in_any_order_and_come_back(
        self, arguments: dict[str, object]
    ) -> None:
        key = RunKey.of("job", arguments)

        assert key == RunKey.of("job", dict(reversed(arguments.items())))
        assert key.values == {name: one for name, one in arguments.items() if one is not None}
        assert "\x00" not in key.arguments

    def test_without_arguments_it_is_the_job_alone(self) -> None:
        assert RunKey.of("job", {"item_id": None}) == RunKey("job")
        assert str(RunKey("job")) == "job"
        assert str(RunKey.of("job", {"item_id": "ü"})) == 'job {"item_id": "ü"}'


class TestBadValues:
    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"lease": 15 * SECOND - TICK}, "lease of runs is .*at least twice the beat"),
            ({"beat": 16 * SECOND}, "lease of runs is .*twice the beat of 0:00:16"),
            ({"retry_most": SECOND}, "retry_most of runs is .*at least retry_after, 0:00:10"),
            ({"retry_after": HOUR}, "retry_most of runs is .*at least retry_after, 1:00:00"),
            *(
                ({name: bad}, f"{name} of runs is .*, but should be {expected}")
                for name in attrs.fields_dict(RunRules)
                for bad, expected in [
                    (timedelta(0), "a span from 10 ms to ten years"),
                    (-SECOND, "a span from 10 ms to ten years"),
                    (4_000 * DAY, "a span from 10 ms to ten years"),
                    (30, "a timedelta"),
                    (None, "a timedelta"),
                ]
            ),
        ],
    )
    def test_rules_that_cannot_be_kept_are_refused(
        self, values: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(InvalidValueError, match=message):
            RunRules(**values)

    def test_a_lease_of_two_beats_is_enough(self) -> None:
        assert RunRules(lease=15 * SECOND).lease == 15 * SECOND

    @pytest.mark.parametrize("number", [-1, 2**63, 1.0, True, None])
    def test_a_number_that_cannot_be_stored_is_refused(self, number: Any) -> None:
        with pytest.raises(InvalidValueError, match="number of a run"):
            Fence(job="job", number=number)
