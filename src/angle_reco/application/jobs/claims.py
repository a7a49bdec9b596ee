"""Starting runs of jobs: manual, scheduled and requested ones, claimed in the ledger."""

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Event as Flag
from time import sleep
from uuid import uuid4

import attrs

from angle_reco.application.access import Access
from angle_reco.application.jobs.run_context import Progress, RunContext, no_progress
from angle_reco.application.jobs.runner import JobOutcome, JobRunner
from angle_reco.domain.changes import FEED_RETENTION
from angle_reco.domain.errors import InvalidValueError, StorageError, one_of
from angle_reco.domain.ids import ItemId, json_id
from angle_reco.domain.job_names import OF_ONE_ITEM
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
"""For up to this many items, similar items are computed item by item; for more, by one run."""


@attrs.frozen(kw_only=True)
class JobClaims:
    """Claims runs and starts them: manual, scheduled and requested ones."""

    access: Access
    ledger: RunLedger
    changes: Changes
    runner: JobRunner
    rules: Mapping[str, JobRule]
    clock: Clock
    settings: Settings
    as_of: datetime | None = None
    _ahead: set[tuple[RunKey, datetime]] = attrs.field(factory=set, init=False)

    def run_manually(
        self,
        actor: Actor,
        name: str,
        *,
        item_id: ItemId | None = None,
        full: bool = False,
        progress: Progress = no_progress,
    ) -> JobOutcome:
        """Execute a manual run of a job, complete or, for similar items, for one item.

        A manual run always executes, after any run of the same key has finished. With *full* it
        leaves no result as it is.
        """
        self.access.require(actor, Action.RUN, Resource.JOBS)
        key, progress = self._key(name, item_id), function(progress, "progress")
        run_request = run_request_of(key, Trigger.MANUAL, self.rules[key.job])
        claim = self._claim(run_request)
        if claim.status is not ClaimStatus.CLAIMED:
            progress("waiting for another run of it", 0, 1)
        while claim.status is not ClaimStatus.CLAIMED:
            sleep(_SECONDS_BETWEEN_LOOKS)
            claim = self._claim(run_request)
        return self.runner(claim.run, RunContext(progress=progress, is_full=full))

    def run_scheduled(
        self,
        actor: Actor,
        name: str,
        *,
        item_id: ItemId | None = None,
        full: bool = False,
        progress: Progress = no_progress,
    ) -> JobOutcome | None:
        """Execute the run of the current window of a job; None if it cannot be claimed.

        It cannot if it has finished, if it waits for a retry, or while any run of the job is
        executing. After the run, old runs and changes are pruned.

        Raises:
            AccessDeniedError: The actor may not run jobs.
            InvalidValueError: There is no such job, *item_id* is given, or the recommender is
                as of a moment.
            Exception: Whatever stopped the run.
        """
        self.access.require(actor, Action.RUN, Resource.JOBS)
        if item_id is not None:
            raise InvalidValueError("item of a scheduled run", item_id, "None: it is for all")
        self._refuse_the_past()
        key, progress = self._key(name, None), function(progress, "progress")
        rule = self.rules[key.job]
        slot = window_of(self.ledger.now(), rule.window)
        claim = self._claim(run_request_of(key, Trigger.SCHEDULE, rule, slot=slot))
        if claim.status is not ClaimStatus.CLAIMED:
            return None
        work = RunContext(progress=progress, pace=self.settings.pace, is_full=full)
        outcome = self.runner(claim.run, work)
        # Where the host schedules, no worker prunes.
        self.prune()
        return outcome

    def request(self, actor: Actor, name: str, *, item_id: ItemId | None = None) -> Run:
        """Request a run by any worker; return the waiting run, which may exist already."""
        self.access.require(actor, Action.RUN, Resource.JOBS)
        self._refuse_the_past()
        key = self._key(name, item_id)
        rule = self.rules[key.job]
        slot = window_of(self.ledger.now(), rule.request_window)
        return self._claim(
            run_request_of(key, Trigger.REQUEST, rule, slot=slot, claims_now=False)
        ).run

    def recompute_similar(self, item_id: ItemId) -> None:
        """Recompute the similar items of one item, unless a run has done so this minute.

        A failure is logged and reported, and a worker retries the run later. The run
        is not published: the caller reads the new list.

        Raises:
            StorageError: The ledger did not answer.
        """
        key, rule = self._key(OF_ONE_ITEM, item_id), self.rules[OF_ONE_ITEM]
        slot = window_of(self.ledger.now(), rule.request_window)
        claim = self._claim(run_request_of(key, Trigger.REQUEST, rule, slot=slot))
        if claim.status is ClaimStatus.CLAIMED:
            with suppress(Exception):
                self.runner(claim.run, RunContext(pace=self.settings.pace), publishes=False)

    def request_similar(self, item_ids: Sequence[ItemId]) -> None:
        """Request runs that compute the similar items of these items, or of all if there are many.

        Raises:
            StorageError: The ledger did not answer.
        """
        wanted = item_ids if len(item_ids) <= _MOST_BY_ITEM else [None]
        for item_id in wanted:
            self.request(SYSTEM, OF_ONE_ITEM, item_id=item_id)

    def is_under_way(self, job: str) -> bool:
        """Return whether any process is executing a complete run of a job."""
        known = self.ledger.open([job], back=timedelta(0))
        return any(run.key == RunKey(job) and run.is_held(known.now) for run in known.runs)

    def due(self) -> Sequence[RunRequest]:
        """Return the runs that should start now; one statement."""
        rules = {name: rule for name, rule in self.rules.items() if name in self.runner.jobs}
        back = max(rule.schedule.every + rule.window for rule in rules.values())
        known = self.ledger.open(list(rules), back=back)
        ahead = {(run.key, run.slot) for run in known.runs if run.is_ahead(known.now)}
        for key, _ in ahead - self._ahead:
            _log.warning("run ignored, the clock was ahead: job=%s", key.job)
        self._ahead.clear()
        self._ahead.update(ahead)
        return due_run_requests(known.runs, rules, known.now, lease=self.settings.runs.lease)

    def prune(self) -> None:
        """Remove old runs from the ledger, and old changes from the feed.

        Changes, too, because no other code removes them if no process has a cache. A failure is
        logged; the next call tries again.
        """
        try:
            self.ledger.prune(retention=self.settings.runs.retention)
            self.changes.prune(older_than=FEED_RETENTION)
        except StorageError as error:
            _log.warning("runs not pruned: error=%s", type(error).__name__)

    def begin(self, run_request: RunRequest, *, stop: Flag) -> bool:
        """Execute a run if it can be claimed, and end it in the ledger; False if it cannot.

        A failure is logged and reported, and the run is retried later as the rules allow.
        """
        claim = self._claim(run_request)
        if claim.status is not ClaimStatus.CLAIMED:
            return False
        # The runner has ended the failed run, logged the error and reported it.
        with suppress(Exception):
            self.runner(claim.run, RunContext(pace=self.settings.pace, stop=stop))
        return True

    def _claim(self, run_request: RunRequest) -> Claim:
        claim = self.ledger.claim(run_request, holder=_holder(), lease=self.settings.runs.lease)
        if claim.is_lease_cut:
            _log.warning("lease cut, the clock was ahead: job=%s", claim.run.key.job)
        if claim.status is ClaimStatus.DISCARDED:
            _log.warning(
                "run discarded, its process is gone: job=%s attempt=%d",
                claim.run.key.job,
                claim.run.attempt,
            )
            self.runner.notify_failed(claim.run, claim.run.error or "", is_final=True)
        return claim

    def _refuse_the_past(self) -> None:
        """Refuse runs as of a moment: a schedule and its workers are of the present."""
        if self.as_of is not None:
            raise InvalidValueError("as_of", self.as_of, "None: runs as of a moment are manual")

    def _key(self, name: str, item_id: ItemId | None) -> RunKey:
        job = plain(name) if is_a(name, str) else None
        if job is None or job not in self.runner.jobs:
            raise InvalidValueError("job", name, one_of(self.runner.jobs))
        if item_id is not None and job != OF_ONE_ITEM:
            raise InvalidValueError("job for one item", job, OF_ONE_ITEM)
        item = None if item_id is None else json_id(self.settings.ids.item_id(item_id))
        as_of = None if self.as_of is None else self.as_of.isoformat()
        return RunKey.of(job, {"item_id": item, "as_of": as_of})


def _holder() -> str:
    """Return a unique name for one claim, which also shows where the run executes."""
    return f"{socket.gethostname()} {os.getpid()} {uuid4().hex[:12]}"
