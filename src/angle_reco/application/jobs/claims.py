"""Runs of jobs: by hand, by the schedule, and those that wait; claimed in the ledger."""

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Event as Flag
from time import sleep
from uuid import uuid4

import attrs

from angle_reco.application.access import Access
from angle_reco.application.jobs.batch_jobs import JOBS, OF_ONE_ITEM
from angle_reco.application.jobs.run_context import Progress, RunContext, no_progress
from angle_reco.application.jobs.runner import JobOutcome, JobRunner
from angle_reco.domain.changes import TOLD_FOR
from angle_reco.domain.errors import InvalidValueError, StorageError, one_of
from angle_reco.domain.ids import ItemId, json_id
from angle_reco.domain.policies import SYSTEM, Action, Actor, Resource
from angle_reco.domain.runs import (
    Claim,
    ClaimStatus,
    Run,
    RunKey,
    RunRequest,
    Trigger,
    due_run_requests,
    run_request_of,
)
from angle_reco.domain.schedules import JobRule, window_of
from angle_reco.domain.type_checks import is_a, plain
from angle_reco.domain.validators import function
from angle_reco.ports.changes import Changes
from angle_reco.ports.clock import Clock
from angle_reco.ports.ledger import RunLedger
from angle_reco.settings import Settings

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 0.5
_MOST_BY_ITEM = 50
"""Of the items whose similar ones are made one by one: for more, all are made at once."""


@attrs.frozen(kw_only=True)
class JobClaims:
    """Begins runs: by hand, by the schedule, and those that wait."""

    access: Access
    ledger: RunLedger
    changes: Changes
    runner: JobRunner
    rules: Mapping[str, JobRule]
    clock: Clock
    settings: Settings
    done: Callable[[RunKey], None]
    as_of: datetime | None = None
    _ahead: set[tuple[RunKey, datetime]] = attrs.field(factory=set, init=False)

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
            FencedOffError: This process slept, and a later run of the job has taken over.
            StorageUnavailableError: The database did not answer, for a whole lease or in time.
        """
        self.access.require(actor, Action.RUN, Resource.JOBS)
        key, progress = self._key(name, item_id), function(progress, "progress")
        run_request = run_request_of(key, Trigger.MANUAL, self.rules[key.job])
        claim = self._claim(run_request)
        if claim.answer is not ClaimStatus.CLAIMED:
            progress("waiting for another run of it", 0, 1)
        while claim.answer is not ClaimStatus.CLAIMED:
            sleep(_SECONDS_BETWEEN_LOOKS)
            claim = self._claim(run_request)
        return self._told(claim.run, RunContext(progress=progress))

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
        key, progress = self._key(name, None), function(progress, "progress")
        rule = self.rules[key.job]
        slot = window_of(self.ledger.now(), rule.window)
        claim = self._claim(run_request_of(key, Trigger.SCHEDULE, rule, slot=slot))
        if claim.answer is not ClaimStatus.CLAIMED:
            return None
        outcome = self._told(claim.run, RunContext(progress=progress, pace=self.settings.pace))
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
        key = self._key(name, item_id)
        rule = self.rules[key.job]
        slot = window_of(self.ledger.now(), rule.request_window)
        return self._claim(run_request_of(key, Trigger.REQUEST, rule, slot=slot, begins=False)).run

    def renew(self, item_id: ItemId) -> None:
        """Have the similar items of one item made anew, unless that was done this minute.

        What goes wrong is logged, reported, and tried again later by whoever works. It is not
        told as done: whoever wants it reads it.

        Raises:
            StorageError: The ledger did not answer.
        """
        key, rule = self._key(OF_ONE_ITEM, item_id), self.rules[OF_ONE_ITEM]
        slot = window_of(self.ledger.now(), rule.request_window)
        claim = self._claim(run_request_of(key, Trigger.REQUEST, rule, slot=slot))
        if claim.answer is ClaimStatus.CLAIMED:
            with suppress(Exception):
                self.runner(claim.run, RunContext(pace=self.settings.pace))

    def want(self, item_ids: Sequence[ItemId]) -> None:
        """Leave it to whoever works to make the similar items of these; of many, those of all.

        Raises:
            StorageError: The ledger did not answer.
        """
        wanted = item_ids if len(item_ids) <= _MOST_BY_ITEM else [None]
        for item_id in wanted:
            self.request(SYSTEM, OF_ONE_ITEM, item_id=item_id)

    def is_under_way(self, job: str) -> bool:
        """Return whether a complete run of a job is, somewhere."""
        known = self.ledger.open([job], back=timedelta(0))
        return any(run.key == RunKey(job) and run.is_held(known.now) for run in known.runs)

    def due(self) -> Sequence[RunRequest]:
        """Return what should be begun now; one statement."""
        rules = {name: rule for name, rule in self.rules.items() if name in JOBS}
        back = max(rule.schedule.every + rule.window for rule in rules.values())
        known = self.ledger.open(list(rules), back=back)
        ahead = {(run.key, run.slot) for run in known.runs if run.is_ahead(known.now)}
        for key, _ in ahead - self._ahead:
            _log.warning("run ignored, the clock was ahead: job=%s", key.job)
        self._ahead.clear()
        self._ahead.update(ahead)
        return due_run_requests(known.runs, rules, known.now, lease=self.settings.runs.lease)

    def prune(self) -> None:
        """Forget what was over long ago; where that fails, the next time does it.

        Changes too: where no process keeps answers in memory, nobody else does.
        """
        try:
            self.ledger.prune(retention=self.settings.runs.retention)
            self.changes.prune(older_than=TOLD_FOR)
        except StorageError as error:
            _log.warning("runs not pruned: error=%s", type(error).__name__)

    def begin(self, run_request: RunRequest, *, stop: Flag) -> bool:
        """Do a run if it can be claimed, and end it in the ledger; False when it cannot be.

        What goes wrong is logged, reported, and tried again later as far as the rules say.
        """
        claim = self._claim(run_request)
        if claim.answer is not ClaimStatus.CLAIMED:
            return False
        # Ended, logged and reported by then.
        with suppress(Exception):
            self.runner(claim.run, RunContext(pace=self.settings.pace, stop=stop))
            self.done(claim.run.key)
        return True

    def _told(self, run: Run, work: RunContext) -> JobOutcome:
        """Return what a run did to the one who called for it.

        Raises:
            FencedOffError: A later run has taken over.
            Exception: Whatever else stopped it.
        """
        outcome = self.runner(run, work)
        self.done(run.key)
        return outcome

    def _claim(self, run_request: RunRequest) -> Claim:
        claim = self.ledger.claim(run_request, holder=_holder(), lease=self.settings.runs.lease)
        if claim.is_lease_cut:
            _log.warning("lease cut, the clock was ahead: job=%s", claim.run.key.job)
        if claim.answer is ClaimStatus.DISCARDED:
            _log.warning(
                "run given up, whoever ran it is gone: job=%s attempt=%d",
                claim.run.key.job,
                claim.run.attempt,
            )
            self.runner.tell_failed(claim.run, claim.run.error or "", is_final=True)
        return claim

    def _refuse_the_past(self) -> None:
        """Refuse to leave a run to those who work, who do so in the present."""
        if self.as_of is not None:
            raise InvalidValueError("as_of", self.as_of, "None: the past is run by hand")

    def _key(self, name: str, item_id: ItemId | None) -> RunKey:
        job = plain(name) if is_a(name, str) else None
        if job not in JOBS:
            raise InvalidValueError("job", name, one_of(JOBS))
        if item_id is not None and job != OF_ONE_ITEM:
            raise InvalidValueError("job for one item", job, OF_ONE_ITEM)
        item = None if item_id is None else json_id(self.settings.ids.item_id(item_id))
        as_of = None if self.as_of is None else self.as_of.isoformat()
        return RunKey.of(job, {"item_id": item, "as_of": as_of})


def _holder() -> str:
    """Return a name for one claim, which also tells people where it runs."""
    return f"{socket.gethostname()} {os.getpid()} {uuid4().hex[:12]}"
