"""Runs of jobs: who may begin one, for how long it is theirs, and what becomes of it.

Everything here is a function of the runs of one key, and of now: a ledger applies it
while nobody else changes them.
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
    """What a run shows when it writes: of the runs of one job only the newest may.

    Each run has a *number* larger than those before it. A run that lost its place while
    it slept is told so (FencedOffError) instead of overwriting what its successor wrote.
    """

    job: str
    number: int

    def __attrs_post_init__(self) -> None:
        whole(self.number, "number of a run", least=0, most=2**63 - 1)


@attrs.frozen
class RunKey:
    """What runs once at a time: a job with its arguments, as JSON in the order of names."""

    job: str
    arguments: str = ""

    @classmethod
    def of(cls, job: str, arguments: Mapping[str, object]) -> "RunKey":
        """Return the key of a job with these arguments, None ones left out."""
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
    """Why there is a run."""

    SCHEDULE = "schedule"
    REQUEST = "request"
    MANUAL = "hand"


class RunState(StrEnum):
    """How far a run is; *discarded* is the end of one whose attempts all failed."""

    DUE = "due"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    DISCARDED = "discarded"

    @property
    def is_final(self) -> bool:
        """Return whether nothing more comes of it."""
        return self in (RunState.SUCCEEDED, RunState.DISCARDED)


@attrs.frozen(kw_only=True)
class Run:
    """One run of a key: unique by its *slot*, the beginning of the window it stands for.

    *attempt* counts the ones that began; *number* is the fencing number of the last.
    Until *lease_until* it belongs to its *holder*, who prolongs that. One that is due may
    begin at *due_at*. *outcome* and *error* say how the last attempt ended.
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
        """Return whether somebody is at it, as far as can be told."""
        return (
            self.state is RunState.RUNNING
            and self.lease_until is not None
            and self.lease_until >= now
        )

    def is_ahead(self, now: datetime) -> bool:
        """Return whether it stands for a window of the schedule that has not begun yet."""
        return self.trigger is Trigger.SCHEDULE and self.slot > now

    def waits(self, now: datetime, window: timedelta) -> bool:
        """Return whether it is due later, unless the clock was ahead when that was set.

        Then its attempt failed later than now, or it waits for more than the next window.
        """
        failed_at = self.finished_at or now
        was_ahead = failed_at > now or self.slot > now + window
        return self.state is RunState.DUE and self.due_at > now and not was_ahead

    @property
    def fence(self) -> Fence:
        """Return what its holder shows when writing."""
        return Fence(job=str(self.key), number=self.number)


@attrs.frozen(kw_only=True)
class RunRequest:
    """Somebody wants a run: the one of a *slot*, or by hand one of its own.

    Who does not begin it leaves it to whoever works.
    """

    key: RunKey
    trigger: Trigger
    window: timedelta
    attempts: int
    slot: datetime | None = None
    begins: bool = True


class ClaimStatus(StrEnum):
    """What a wish for a run came to."""

    CLAIMED = "claimed"
    BUSY = "busy"  # another run of the key is held
    DONE = "done"  # that of the slot is over
    LATER = "later"  # it waits for its time
    WAITING = "waiting"  # it is left to whoever works, once no other of the key runs
    DISCARDED = "discarded"  # whoever held it is gone, and it was the last attempt


@attrs.frozen(kw_only=True)
class Claim:
    """The answer to a wish, with the run as it is kept from now on.

    With *is_lease_cut* the run is held by a lease that a clock ahead had set, shortened now.
    """

    answer: ClaimStatus
    run: Run
    is_lease_cut: bool = False


@attrs.frozen(kw_only=True)
class RunRules:
    """How long a claim lasts unless it is prolonged, how often that is done, and the like.

    Finished runs are kept for *retention*. A failed attempt is followed by the next after
    *retry_after*, twice as long each time, half of it more at most; not over *retry_most*.
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
    """Return what becomes of a wish, given all *runs* of its key.

    A run is claimed when it is new, due, or its holder let the lease run out; while
    another one of the key is held, none is. What is claimed has *number*, larger than any
    before. *holder* names this wish alone: asking again, as after a lost answer, is to be
    told the same.

    No lease reaches further than *lease* from now, unless the clock was ahead when it was
    set. It is shortened to that, so that a holder that is alive can still prolong it.
    """
    if not run_request.begins:
        return _waiting(runs, run_request, now)
    slot = (
        _slot_of_its_own(runs, run_request, now) if run_request.slot is None else run_request.slot
    )
    busy = next((one for one in runs if one.is_held(now)), None)
    if busy is not None:
        if busy.holder == holder:
            return Claim(answer=ClaimStatus.CLAIMED, run=busy)
        if busy.is_held(now + lease + MICROSECOND):
            cut = attrs.evolve(busy, lease_until=now + lease)
            return Claim(answer=ClaimStatus.BUSY, run=cut, is_lease_cut=True)
        return Claim(answer=ClaimStatus.BUSY, run=busy)
    run = next((one for one in runs if one.slot == slot), None) or _new(
        run_request, slot, due_at=now
    )
    if run.state.is_final:
        return Claim(answer=ClaimStatus.DONE, run=run)
    if run.waits(now, run_request.window):
        return Claim(answer=ClaimStatus.LATER, run=run)
    if run.attempt >= run_request.attempts:
        gone = finished(run, now, error="whoever ran it is gone")
        return Claim(answer=ClaimStatus.DISCARDED, run=gone)
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
    return Claim(answer=ClaimStatus.CLAIMED, run=mine)


def _waiting(runs: Collection[Run], run_request: RunRequest, now: datetime) -> Claim:
    """Return the one run that waits, there already or new.

    It goes to the first window that has none, and is due when that begins; while another
    run of the key is held nobody claims it. One of the schedule does not do: it may be
    passed over.
    """
    waiting = next(
        (one for one in runs if one.state is RunState.DUE and one.trigger is not Trigger.SCHEDULE),
        None,
    )
    if waiting is None:
        begins, taken = run_request.slot or now, {one.slot for one in runs}
        # What windows begin with are the slots of the schedule.
        while begins + MICROSECOND in taken:
            begins += run_request.window
        waiting = _new(run_request, begins + MICROSECOND, due_at=max(begins, now))
    return Claim(answer=ClaimStatus.WAITING, run=waiting)


def _new(run_request: RunRequest, slot: datetime, *, due_at: datetime) -> Run:
    return Run(
        key=run_request.key,
        slot=slot,
        trigger=run_request.trigger,
        state=RunState.DUE,
        attempt=0,
        due_at=due_at,
    )


def _slot_of_its_own(runs: Collection[Run], run_request: RunRequest, now: datetime) -> datetime:
    """Return a slot that no other run of the key has, and no window begins with."""
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
    """Return what should be begun now: what the schedule says, and what waits or was left.

    After an outage there is one run of a job, that of the last moment it was due: one of
    an earlier moment, which nobody ended, is passed over. *runs* are those that are not
    over, and all of the schedule since their last slots. Those of slots to come are by a
    clock that was ahead: they count for nothing, and a lease longer than *lease* is claimed,
    to be cut.
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
    begins: bool = True,
) -> RunRequest:
    """Return a wish for a run of a job; what a person runs is tried once."""
    return RunRequest(
        key=key,
        trigger=trigger,
        window=rule.request_window if trigger is Trigger.REQUEST else rule.window,
        attempts=1 if trigger is Trigger.MANUAL else rule.attempts,
        slot=slot,
        begins=begins,
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
    """Return a run whose attempt is over: succeeded, due again, or discarded.

    One that *gives back* its attempt was stopped, which is nobody's failure.
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

    It doubles each time, and *chance* (0 to 1) adds up to half of it, so that many who
    failed together do not come back together. Never less than the time before.

    >>> retry_delay(3, RunRules(), chance=0.5)
    datetime.timedelta(seconds=50)
    """
    times = 2.0 ** min(attempt - 1, 100) * (1 + chance / 2)
    most = rules.retry_most
    return min(rules.retry_after * min(times, most / rules.retry_after), most)
