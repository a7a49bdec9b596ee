"""Runs of jobs: who may claim one, how long the claim lasts, and how a run ends.

The functions depend only on the runs of one key and on *now*. A ledger applies them while
no other transaction changes those runs.
"""

import json
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

import attrs

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.moments import MICROSECOND
from angle_reco.domain.schedules import JobRule, window_of
from angle_reco.domain.validators import exactly, whole


@attrs.frozen(kw_only=True)
class Fence:
    """The right of a run to write: of the runs of one key only the newest has it.

    Each run has a larger *number* than those before it. A run that lost its claim, for
    example while its process was suspended, gets FencedOffError when it writes, and cannot
    overwrite the results of its successor.
    """

    job: str
    number: int

    def __attrs_post_init__(self) -> None:
        whole(self.number, "number of a run", least=0, most=2**63 - 1)


@attrs.frozen
class RunKey:
    """A job with its arguments, as JSON ordered by name; one run of a key executes at a time."""

    job: str
    arguments: str = ""

    @classmethod
    def of(cls, job: str, arguments: Mapping[str, object]) -> "RunKey":
        """Return the key of a job with these arguments, without those that are None."""
        given = {name: value for name, value in arguments.items() if value is not None}
        return cls(job, json.dumps(given, sort_keys=True, ensure_ascii=False) if given else "")

    @property
    def values(self) -> Mapping[str, object]:
        """Return the arguments by name."""
        read: Mapping[str, object] = json.loads(self.arguments) if self.arguments else {}
        return read

    def __str__(self) -> str:
        return f"{self.job} {self.arguments}" if self.arguments else self.job


class Trigger(StrEnum):
    """Why a run exists."""

    SCHEDULE = "schedule"
    REQUEST = "request"
    MANUAL = "hand"


class RunState(StrEnum):
    """The state of a run; *discarded* means that all its attempts failed."""

    DUE = "due"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    DISCARDED = "discarded"

    @property
    def is_final(self) -> bool:
        """Return whether the run has ended for good."""
        return self in (RunState.SUCCEEDED, RunState.DISCARDED)


@attrs.frozen(kw_only=True)
class Run:
    """One run of a key, unique by its *slot*: the start of the window that it is for.

    *attempt* counts the attempts that started; *number* is the fencing number of the last.
    Until *lease_until* the run belongs to its *holder*, which extends the lease. A due run
    may start at *due_at*. *outcome* and *error* describe the end of the last attempt.
    """

    key: RunKey
    slot: datetime
    trigger: Trigger
    state: RunState
    attempt: int
    due_at: datetime
    number: int = 0
    holder: str = ""
    lease_until: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    outcome: str | None = None
    error: str | None = None

    def is_held(self, now: datetime) -> bool:
        """Return whether a holder has a lease on the run that has not expired."""
        return self.lease_until is not None and self.lease_until >= now

    def is_ahead(self, now: datetime) -> bool:
        """Return whether the run is for a window of the schedule that has yet to start."""
        return self.trigger is Trigger.SCHEDULE and self.slot > now

    def waits(self, now: datetime, window: timedelta) -> bool:
        """Return whether the run is due later, and *due_at* was not set by a clock ahead.

        The clock was ahead if the attempt failed later than *now*, or if the slot is more
        than a *window* away.
        """
        failed_at = self.finished_at or now
        was_ahead = failed_at > now or self.slot > now + window
        return self.state is RunState.DUE and self.due_at > now and not was_ahead

    @property
    def fence(self) -> Fence:
        """Return the fence that the holder presents when it writes."""
        return Fence(job=str(self.key), number=self.number)


@attrs.frozen(kw_only=True)
class RunRequest:
    """A request for the run of a *slot* or, without one, for a new run with a unique slot.

    If *claims_now* is False, the run is stored as due, and a worker claims it later.
    """

    key: RunKey
    trigger: Trigger
    window: timedelta
    attempts: int
    slot: datetime | None = None
    claims_now: bool = True


class ClaimStatus(StrEnum):
    """The answer to a request for a run."""

    CLAIMED = "claimed"
    BUSY = "busy"  # another run of the key is held
    DONE = "done"  # the run of the slot has ended
    LATER = "later"  # the run is not due yet
    WAITING = "waiting"  # a worker claims it, once no other run of the key is held
    DISCARDED = "discarded"  # its holder's lease expired during the last attempt


@attrs.frozen(kw_only=True)
class Claim:
    """The answer to a request, with the run as the ledger stores it.

    With *is_lease_cut* another holder's lease, set by a clock that was ahead, is shortened.
    """

    status: ClaimStatus
    run: Run
    is_lease_cut: bool = False


@attrs.frozen(kw_only=True)
class RunRules:
    """Time limits of runs: the *lease* of a claim, the *beat* that extends it, and the rest.

    Ended runs are stored for *retention*, and workers look for due ones every *poll*. A
    failed attempt is followed by the next after *retry_after*, doubled for each attempt and
    with up to half of it added at random, but at most after *retry_most*.
    """

    lease: timedelta = timedelta(seconds=30)
    beat: timedelta = timedelta(seconds=7.5)
    poll: timedelta = timedelta(seconds=10)
    retention: timedelta = timedelta(days=7)
    retry_after: timedelta = timedelta(seconds=10)
    retry_most: timedelta = timedelta(minutes=10)

    def __attrs_post_init__(self) -> None:
        for name in attrs.fields_dict(RunRules):
            span = exactly(getattr(self, name), f"{name} of runs", timedelta)
            if not timedelta(milliseconds=10) <= span <= timedelta(days=3_660):
                raise InvalidValueError(f"{name} of runs", span, "a span from 10 ms to ten years")
        if self.lease < 2 * self.beat:
            expected = f"at least twice the beat of {self.beat}: one may come late"
            raise InvalidValueError("lease of runs", self.lease, expected)
        if self.retry_most < self.retry_after:
            expected = f"at least retry_after, {self.retry_after}"
            raise InvalidValueError("retry_most of runs", self.retry_most, expected)


def claimed(
    runs: Collection[Run],
    run_request: RunRequest,
    *,
    now: datetime,
    holder: str,
    number: int,
    lease: timedelta,
) -> Claim:
    """Return the answer to a request, given all *runs* of its key.

    A run is claimed if it is new, due, or its lease has expired, and no other run of the key
    is held. A claimed run gets *number*, which is larger than any before. *holder* is unique
    to this request: repeating it, as after a lost response, gives the same answer.

    A lease that reaches further than *lease* from now was set by a clock that was ahead. It
    is shortened to that, so that a live holder can still extend it.
    """
    if not run_request.claims_now:
        return _waiting(runs, run_request, now)
    slot = _unique_slot(runs, run_request, now) if run_request.slot is None else run_request.slot
    busy = next((one for one in runs if one.is_held(now)), None)
    if busy is not None:
        if busy.holder == holder:
            return Claim(status=ClaimStatus.CLAIMED, run=busy)
        if busy.is_held(now + lease + MICROSECOND):
            cut = attrs.evolve(busy, lease_until=now + lease)
            return Claim(status=ClaimStatus.BUSY, run=cut, is_lease_cut=True)
        return Claim(status=ClaimStatus.BUSY, run=busy)
    run = next((one for one in runs if one.slot == slot), None) or _new(
        run_request, slot, due_at=now
    )
    if run.state.is_final:
        return Claim(status=ClaimStatus.DONE, run=run)
    if run.waits(now, run_request.window):
        return Claim(status=ClaimStatus.LATER, run=run)
    if run.attempt >= run_request.attempts:
        gone = finished(run, now, error="the process that ran it is gone")
        return Claim(status=ClaimStatus.DISCARDED, run=gone)
    mine = attrs.evolve(
        run,
        state=RunState.RUNNING,
        attempt=run.attempt + 1,
        number=number,
        holder=holder,
        lease_until=now + lease,
        started_at=now,
        finished_at=None,
    )
    return Claim(status=ClaimStatus.CLAIMED, run=mine)


def _waiting(runs: Collection[Run], run_request: RunRequest, now: datetime) -> Claim:
    """Return the one run of the key that waits, an existing or a new one.

    A new one gets the first window without a requested run and is due when that window starts;
    it is not claimed while another run of the key is held. A scheduled run does not count
    as waiting: `due_run_requests` may pass it over.
    """
    waiting = next(
        (one for one in runs if one.state is RunState.DUE and one.trigger is not Trigger.SCHEDULE),
        None,
    )
    if waiting is None:
        start, taken = run_request.slot or now, {one.slot for one in runs}
        # One microsecond later: the starts of windows are the slots of scheduled runs.
        while start + MICROSECOND in taken:
            start += run_request.window
        waiting = _new(run_request, start + MICROSECOND, due_at=max(start, now))
    return Claim(status=ClaimStatus.WAITING, run=waiting)


def _new(run_request: RunRequest, slot: datetime, *, due_at: datetime) -> Run:
    return Run(
        key=run_request.key,
        slot=slot,
        trigger=run_request.trigger,
        state=RunState.DUE,
        attempt=0,
        due_at=due_at,
    )


def _unique_slot(runs: Collection[Run], run_request: RunRequest, now: datetime) -> datetime:
    """Return a slot that no other run of the key has, and that is no start of a window."""
    taken = {one.slot for one in runs}
    slot = now
    while slot in taken or slot == window_of(slot, run_request.window):
        slot += MICROSECOND
    return slot


def due_run_requests(
    runs: Collection[Run],
    rules: Mapping[str, JobRule],
    now: datetime,
    *,
    lease: timedelta = RunRules().lease,
) -> list[RunRequest]:
    """Return requests for the runs to start now: scheduled, waiting and abandoned ones.

    After an outage there is one scheduled run of a job, that of its last due moment; an
    unfinished run of an earlier moment is passed over. *runs* are all unfinished ones, and
    the scheduled ones since their last slots. Runs with a slot in the future come from a
    clock that was ahead: they are ignored, and a run with a lease longer than *lease* is
    requested, so that its lease is shortened.
    """
    run_requests, newest = [], dict[RunKey, datetime]()
    for job, rule in rules.items():
        if rule.in_every_process:
            continue
        slot = window_of(rule.schedule.last_before(now), rule.window)
        key = RunKey(job)
        newest[key] = slot
        if not any(
            run.key == key and run.trigger is Trigger.SCHEDULE and slot <= run.slot <= now
            for run in runs
        ):
            run_requests.append(run_request_of(key, Trigger.SCHEDULE, rule, slot=slot))
    for run in runs:
        if run.state.is_final or run.key.job not in rules:
            continue
        run_request = run_request_of(run.key, run.trigger, rules[run.key.job], slot=run.slot)
        is_waiting = run.state is RunState.DUE and not run.waits(now, run_request.window)
        is_left = run.state is RunState.RUNNING and (
            not run.is_held(now) or run.is_held(now + lease + MICROSECOND)
        )
        is_passed = run.trigger is Trigger.SCHEDULE and not (
            newest.get(run.key, run.slot) <= run.slot <= now
        )
        if (is_waiting or is_left) and not is_passed:
            run_requests.append(run_request)
    return run_requests


def run_request_of(
    key: RunKey,
    trigger: Trigger,
    rule: JobRule,
    *,
    slot: datetime | None = None,
    claims_now: bool = True,
) -> RunRequest:
    """Return a request for a run of a job; a manual run has one attempt."""
    return RunRequest(
        key=key,
        trigger=trigger,
        window=rule.request_window if trigger is Trigger.REQUEST else rule.window,
        attempts=1 if trigger is Trigger.MANUAL else rule.attempts,
        slot=slot,
        claims_now=claims_now,
    )


def finished(
    run: Run,
    now: datetime,
    *,
    outcome: str | None = None,
    error: str | None = None,
    retry_after: timedelta | None = None,
    gives_back: bool = False,
) -> Run:
    """Return a run whose attempt has ended: succeeded, due again, or discarded.

    With *gives_back* the attempt does not count: it was stopped and did not fail.
    """
    if error is None:
        state = RunState.SUCCEEDED
    else:
        state = RunState.DISCARDED if retry_after is None else RunState.DUE
    return attrs.evolve(
        run,
        state=state,
        attempt=run.attempt - gives_back,
        lease_until=None,
        finished_at=now,
        due_at=run.due_at if retry_after is None else now + retry_after,
        outcome=outcome,
        error=error,
    )


def retry_delay(attempt: int, rules: RunRules, chance: float) -> timedelta:
    """Return how long to wait after a failed *attempt*, 1 being the first.

    The delay doubles each time, and *chance* (0 to 1) adds up to half of it, so that runs
    that failed together are not retried together. It is never shorter than the one before.

    >>> retry_delay(3, RunRules(), chance=0.5)
    datetime.timedelta(seconds=50)
    """
    times = 2.0 ** min(attempt - 1, 100) * (1 + chance / 2)
    most = rules.retry_most
    return min(rules.retry_after * min(times, most / rules.retry_after), most)
