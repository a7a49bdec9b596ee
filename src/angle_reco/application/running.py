"""Runs of jobs: claimed in the ledger, kept alive, and ended there, whatever happens."""

import json
import logging
import os
import random
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Event as Flag
from time import sleep
from uuid import uuid4

import attrs

from angle_reco.application.access import Access
from angle_reco.application.heartbeat import Heartbeat
from angle_reco.application.jobs import JOBS, OF_ONE_ITEM, Done, Jobs
from angle_reco.application.work import Progress, RunStoppedError, Work, no_progress
from angle_reco.domain import (
    Action,
    Actor,
    Answer,
    Claim,
    Event,
    FencedOffError,
    InvalidValueError,
    ItemId,
    ItemNotFoundError,
    JobRule,
    Resource,
    Run,
    RunFailed,
    RunKey,
    StorageError,
    Trigger,
    Wish,
    due_wishes,
    json_id,
    one_of,
    retry_delay,
    window_of,
    wish_of,
)
from angle_reco.ports import Clock, RunLedger, deadline
from angle_reco.settings import Settings

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 0.5


@attrs.frozen(kw_only=True)
class JobOutcome:
    """What a run of a job did: whom it was for, and what of it had to be written.

    *changed*, *unchanged* and *removed* count lists, of interests rows. *failed* counts
    users or items that were left out, of which *errors* tells the first few.
    """

    job: str
    started_at: datetime
    seconds: float
    scope: int
    changed: int
    unchanged: int
    removed: int
    failed: int = 0
    errors: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return the outcome as JSON has it."""
        return {
            **attrs.asdict(self),
            "started_at": self.started_at.isoformat(),
            "errors": list(self.errors),
        }


@attrs.frozen(kw_only=True)
class Runs:
    """Begins runs: by hand, by the schedule, and those that wait."""

    access: Access
    ledger: RunLedger
    jobs: Jobs
    rules: Mapping[str, JobRule]
    clock: Clock
    settings: Settings
    as_of: datetime | None = None
    on_event: Callable[[Event], None] | None = None
    done: Callable[[RunKey], None] = lambda key: None

    def by_hand(
        self,
        actor: Actor,
        name: str,
        *,
        item_id: ItemId | None = None,
        progress: Progress = no_progress,
    ) -> JobOutcome:
        """Run a job now, over everything or, similarities, for one item.

        While another run of its like is under way, that is waited for.

        Raises:
            AccessDeniedError: The actor may not run jobs.
            InvalidValueError: There is no such job, or it is not for one item.
            ItemNotFoundError: There is no such item.
            FencedOffError: This process slept, and another run of its like has begun.
        """
        self.access.require(actor, Action.RUN, Resource.JOBS)
        key = self._key(name, item_id)
        wish = wish_of(key, Trigger.HAND, self.rules[name])
        claim = self._claim(wish)
        if claim.answer is not Answer.CLAIMED:
            progress("waiting for another run of it", 0, 1)
        while claim.answer is not Answer.CLAIMED:
            sleep(_SECONDS_BETWEEN_LOOKS)
            claim = self._claim(wish)
        return self._told(claim.run, Work(progress=progress))

    def scheduled(
        self,
        actor: Actor,
        name: str,
        *,
        item_id: ItemId | None = None,
        progress: Progress = no_progress,
    ) -> JobOutcome | None:
        """Run a job unless that was done in its window of now, or somebody is at it.

        Raises:
            AccessDeniedError: The actor may not run jobs.
            InvalidValueError: There is no such job, or this is as of a moment.
        """
        self.access.require(actor, Action.RUN, Resource.JOBS)
        if item_id is not None:
            raise InvalidValueError("item of a scheduled run", item_id, "None: it is for all")
        self._refuse_the_past()
        key, rule = self._key(name, None), self.rules[name]
        slot = window_of(self.ledger.now(), rule.window)
        claim = self._claim(wish_of(key, Trigger.SCHEDULE, rule, slot=slot))
        if claim.answer is not Answer.CLAIMED:
            return None
        outcome = self._told(claim.run, Work(progress=progress, pace=self.settings.pace))
        # Where a host schedules, nobody else does.
        self.prune()
        return outcome

    def request(self, actor: Actor, name: str, *, item_id: ItemId | None = None) -> Run:
        """Leave a run to whoever works; one that waits already is enough.

        Raises:
            AccessDeniedError: The actor may not run jobs.
            InvalidValueError: There is no such job, it is not for one item, or this is as
                of a moment.
        """
        self.access.require(actor, Action.RUN, Resource.JOBS)
        self._refuse_the_past()
        key, rule = self._key(name, item_id), self.rules[name]
        slot = window_of(self.ledger.now(), rule.request_window)
        return self._claim(wish_of(key, Trigger.REQUEST, rule, slot=slot, begins=False)).run

    def renew(self, item_id: ItemId) -> None:
        """Have the similar items of one item made anew, unless that was done this minute.

        What goes wrong is logged, reported, and tried again later by whoever works. It is not
        told as done: whoever wants it reads it.

        Raises:
            StorageError: The ledger did not answer.
        """
        key, rule = self._key(OF_ONE_ITEM, item_id), self.rules[OF_ONE_ITEM]
        slot = window_of(self.ledger.now(), rule.request_window)
        claim = self._claim(wish_of(key, Trigger.REQUEST, rule, slot=slot))
        if claim.answer is Answer.CLAIMED:
            with suppress(Exception):
                self._performed(claim.run, Work(pace=self.settings.pace))

    def is_under_way(self, job: str) -> bool:
        """Return whether a complete run of a job is, somewhere."""
        known = self.ledger.open([job], back=timedelta(0))
        return any(run.key == RunKey(job) and run.is_held(known.now) for run in known.runs)

    def due(self) -> Sequence[Wish]:
        """Return what should be begun now; one statement."""
        rules = {name: rule for name, rule in self.rules.items() if name in JOBS}
        back = max(rule.schedule.every + rule.window for rule in rules.values())
        known = self.ledger.open(list(rules), back=back)
        return due_wishes(known.runs, rules, known.now)

    def prune(self) -> None:
        """Forget what was over long ago; where that fails, the next time does it."""
        try:
            self.ledger.prune(retention=self.settings.runs.retention)
        except StorageError as error:
            _log.warning("runs not pruned: error=%s", type(error).__name__)

    def begin(self, wish: Wish, *, stop: Flag) -> bool:
        """Do a run if it can be claimed, and end it in the ledger; False when it cannot be.

        What goes wrong is logged, reported, and tried again later as far as the rules say.
        """
        claim = self._claim(wish)
        if claim.answer is not Answer.CLAIMED:
            return False
        # Ended, logged and reported by then.
        with suppress(Exception):
            self._performed(claim.run, Work(pace=self.settings.pace, stop=stop))
            self.done(claim.run.key)
        return True

    def _told(self, run: Run, work: Work) -> JobOutcome:
        """Return what a run did to the one who called for it.

        Raises:
            FencedOffError: The run is somebody else's by now.
            Exception: Whatever else stopped it.
        """
        try:
            outcome = self._performed(run, work)
        except RunStoppedError:
            raise FencedOffError(run.key.job) from None
        self.done(run.key)
        return outcome

    def _claim(self, wish: Wish) -> Claim:
        claim = self.ledger.claim(wish, holder=_holder(), lease=self.settings.runs.lease)
        if claim.answer is Answer.DISCARDED:
            _log.warning(
                "run given up, whoever ran it is gone: job=%s attempt=%d",
                claim.run.key.job,
                claim.run.attempt,
            )
            self._tell_failed(claim.run, claim.run.error or "", is_final=True)
        return claim

    def _performed(self, run: Run, work: Work) -> JobOutcome:
        """Return what a claimed run did; however it ends, the ledger is told.

        Raises:
            Exception: Whatever stopped it.
        """
        work.fence = run.fence
        started_at, started = self.clock.now(), self.clock.monotonic()
        # It beats until the ledger knows: what is done is not to be begun again meanwhile.
        with Heartbeat(self.ledger, run, self.settings.runs, work.lost):
            try:
                done = self._done(run.key, work)
            except BaseException as error:
                self._end(run, error, work)
                raise
            outcome = JobOutcome(
                job=run.key.job,
                started_at=started_at,
                seconds=self.clock.monotonic() - started,
                scope=done.scope,
                changed=done.written.changed,
                unchanged=done.written.unchanged,
                removed=done.removed,
                failed=work.failed,
                errors=tuple(work.errors),
            )
            self._succeed(run, outcome, work)
        _log.info(
            "job done: job=%s scope=%d changed=%d unchanged=%d removed=%d failed=%d seconds=%.3f",
            outcome.job,
            outcome.scope,
            outcome.changed,
            outcome.unchanged,
            outcome.removed,
            outcome.failed,
            outcome.seconds,
        )
        return outcome

    def _done(self, key: RunKey, work: Work) -> Done:
        item_id = key.values.get("item_id")
        if item_id is None:
            return JOBS[key.job](self.jobs, work)
        kind = self.settings.ids.item
        return self.jobs.compute_similarities_of(ItemId(kind.parse(str(item_id), "item id")), work)

    def _succeed(self, run: Run, outcome: JobOutcome, work: Work) -> None:
        """Keep the outcome in the ledger, however often it has to be asked.

        Raises:
            StorageError: It did not answer for as long as the run was ours.
        """
        while True:
            try:
                with deadline(self.settings.runs.lease.total_seconds()):
                    is_mine = self.ledger.finish(run, outcome=json.dumps(outcome.to_json()))
            except StorageError as error:
                name = type(error).__name__
                if work.stop.is_set() or work.lost.wait(_SECONDS_BETWEEN_LOOKS):
                    _log.error("run done, but not ended: job=%s error=%s", run.key.job, name)
                    self._tell_failed(run, f"done, but not ended: {name}", is_final=False)
                    raise
                _log.warning("run not ended yet: job=%s error=%s", run.key.job, name)
            else:
                if not is_mine:
                    _log.warning("run lost at its end: job=%s attempt=%d", run.key.job, run.attempt)
                return

    def _end(self, run: Run, error: BaseException, work: Work) -> None:
        """End a failed attempt in the ledger, to be tried again if there is sense in it.

        One that was stopped because its process ends gives its attempt back.
        """
        is_stopped = isinstance(error, RunStoppedError) and not work.lost.is_set()
        attempts = wish_of(run.key, run.trigger, self.rules[run.key.job]).attempts
        is_final = not is_stopped and (
            run.attempt >= attempts or isinstance(error, ItemNotFoundError | InvalidValueError)
        )
        delay = retry_delay(run.attempt, self.settings.runs, random.random())
        text = (
            f"{type(error).__name__}: {error}"
            if isinstance(error, StorageError)
            else type(error).__name__
        )
        try:
            is_mine = self.ledger.finish(
                run,
                error=text,
                retry_after=None if is_final else timedelta(0) if is_stopped else delay,
                gives_back=is_stopped,
            )
        except StorageError:
            # Whoever takes it over after its lease knows whether it was the last attempt.
            _log.warning("run not ended in the ledger: job=%s", run.key.job)
            self._tell_failed(run, text, is_final=False)
            return
        if not is_mine:
            _log.warning("run lost: job=%s attempt=%d", run.key.job, run.attempt)
        elif is_stopped:
            _log.info("run stopped: job=%s attempt=%d", run.key.job, run.attempt)
        else:
            _log.warning(
                "run failed: job=%s attempt=%d final=%s error=%s",
                run.key.job,
                run.attempt,
                is_final,
                type(error).__name__,
            )
            self._tell_failed(run, text, is_final=is_final)

    def _tell_failed(self, run: Run, error: str, *, is_final: bool) -> None:
        if self.on_event is None:
            return
        failed = RunFailed(
            job=run.key.job,
            arguments=run.key.arguments,
            attempt=run.attempt,
            error=error,
            is_final=is_final,
            at=self.clock.now(),
        )
        try:
            self.on_event(failed)
        except Exception as mistake:  # noqa: BLE001 — the host's own code, which fails no run
            _log.warning("event not told: error=%s", type(mistake).__name__)

    def _refuse_the_past(self) -> None:
        """Refuse to leave a run to those who work, who do so in the present."""
        if self.as_of is not None:
            raise InvalidValueError("as_of", self.as_of, "None: the past is run by hand")

    def _key(self, name: str, item_id: ItemId | None) -> RunKey:
        if not isinstance(name, str) or name not in JOBS:
            raise InvalidValueError("job", name, one_of(JOBS))
        if item_id is not None and name != OF_ONE_ITEM:
            raise InvalidValueError("job for one item", name, OF_ONE_ITEM)
        item = None if item_id is None else json_id(self.settings.ids.item_id(item_id))
        as_of = None if self.as_of is None else self.as_of.isoformat()
        return RunKey.of(name, {"item_id": item, "as_of": as_of})


def _holder() -> str:
    """Return a name for one claim, which also tells people where it runs."""
    return f"{socket.gethostname()} {os.getpid()} {uuid4().hex[:12]}"
