"""Executes claimed runs, and keeps their leases alive with a heartbeat."""

import json
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Event as Flag
from threading import Thread
from time import monotonic
from typing import Self

import attrs

from angle_reco.application.jobs.finished_runs import FinishedRuns
from angle_reco.application.jobs.run_context import Done, ItemJob, Job, RunContext, RunStoppedError
from angle_reco.domain.errors import (
    FencedOffError,
    InvalidValueError,
    ItemNotFoundError,
    StorageError,
    StorageLockedError,
    StorageUnavailableError,
)
from angle_reco.domain.events import Event, RunFailed
from angle_reco.domain.ids import ItemId
from angle_reco.domain.runs import Run, RunKey, RunRules, retry_delay, run_request_of
from angle_reco.domain.schedules import JobRule
from angle_reco.ports.clock import Clock
from angle_reco.ports.deadlines import deadline
from angle_reco.ports.ledger import RunLedger
from angle_reco.settings import Settings

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_TRIES = 0.5


@attrs.frozen(kw_only=True)
class JobOutcome:
    """What a run of a job did: for how many owners (*scope*), and how much it wrote.

    *changed*, *unchanged* and *removed* count lists, or rows for interests. *left* counts the
    owners whose results it did not compute, because they cannot have changed since the last run.
    *failed* counts users or items that were left out; *errors* describes the first few.
    *settings* is a text that differs for other settings, if they change stored results.
    """

    job: str
    started_at: datetime
    seconds: float
    scope: int
    changed: int
    unchanged: int
    removed: int
    left: int = 0
    failed: int = 0
    errors: tuple[str, ...] = ()
    settings: str = ""

    @property
    def has_computed(self) -> bool:
        """Return whether the run computed results, or removed some."""
        return self.left < self.scope or self.scope == 0 or self.removed > 0

    def to_json(self) -> dict[str, object]:
        """Return the outcome as JSON values."""
        return {
            **attrs.asdict(self),
            "started_at": self.started_at.isoformat(),
            "errors": list(self.errors),
        }


@attrs.frozen(kw_only=True)
class JobRunner:
    """Executes claimed runs of *jobs*, by name, and ends them in the ledger.

    *deliver* notifies the host of a failed attempt.
    """

    ledger: RunLedger
    jobs: Mapping[str, Job]
    of_one_item: ItemJob
    finished_runs: FinishedRuns
    rules: Mapping[str, JobRule]
    clock: Clock
    settings: Settings
    deliver: Callable[[Event], bool]

    def __call__(self, run: Run, work: RunContext, *, publishes: bool = True) -> JobOutcome:
        """Execute a claimed run; record in the ledger how it ended, whether or not it failed.

        If it succeeded, cached lists are invalidated, unless it *publishes* nothing.

        Raises:
            Exception: Whatever stopped the run.
        """
        work.fence = run.fence
        started_at, started = self.clock.now(), self.clock.monotonic()
        # The heartbeat lasts until the ledger has recorded the end: until then no other process
        # may start the run again.
        with Heartbeat(self.ledger, run, self.settings.runs, work.lost) as heartbeat:
            try:
                done = self._done(run.key, work)
            except RunStoppedError as stopped:
                error = self._loss(run, heartbeat) if work.lost.is_set() else stopped
                self._end(run, error, work)
                raise error from None
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
                left=done.left,
                failed=work.failed,
                errors=tuple(work.errors),
                settings=self.settings.version,
            )
            self._succeed(run, outcome, work)
        _log.info(
            "job done: job=%s scope=%d changed=%d unchanged=%d removed=%d left=%d failed=%d"
            " seconds=%.3f",
            outcome.job,
            outcome.scope,
            outcome.changed,
            outcome.unchanged,
            outcome.removed,
            outcome.left,
            outcome.failed,
            outcome.seconds,
        )
        if publishes:
            self.finished_runs.note_success(run.key, has_computed=outcome.has_computed)
        return outcome

    def _loss(self, run: Run, heartbeat: "Heartbeat") -> FencedOffError | StorageUnavailableError:
        """Return the error that says why a run was lost."""
        if not heartbeat.is_taken_over:
            lease = self.settings.runs.lease
            return StorageUnavailableError(
                f"the run of {run.key.job} was stopped: the database did not answer for {lease},"
                " as long as its lease lasts"
            )
        later: list[int] = []
        with suppress(StorageError):
            known = self.ledger.open([], back=timedelta(0)).runs
            later = [one.number for one in known if one.key == run.key and one.number > run.number]
        return FencedOffError(run.key.job, max(later, default=None))

    def _done(self, key: RunKey, work: RunContext) -> Done:
        item_id = key.values.get("item_id")
        if item_id is None:
            return self.jobs[key.job](work)
        item = ItemId(self.settings.ids.item.parse(str(item_id), "item id"))
        done = self.of_one_item(item, work)
        self.finished_runs.item_recomputed(item, done.entered)
        return done

    def _succeed(self, run: Run, outcome: JobOutcome, work: RunContext) -> None:
        """Record the outcome in the ledger; retry while the ledger does not answer.

        Raises:
            StorageError: The ledger did not answer before the run was lost or had to stop.
        """
        while True:
            try:
                with deadline(self.settings.runs.lease.total_seconds()):
                    is_mine = self.ledger.finish(run, outcome=json.dumps(outcome.to_json()))
            except StorageError as error:
                name = type(error).__name__
                if work.stop.is_set() or work.lost.wait(_SECONDS_BETWEEN_TRIES):
                    _log.error("run done, but not ended: job=%s error=%s", run.key.job, name)
                    self.notify_failed(run, f"done, but not ended: {name}", is_final=False)
                    raise
                _log.warning("run not ended yet: job=%s error=%s", run.key.job, name)
            else:
                if not is_mine:
                    _log.warning("run lost at its end: job=%s attempt=%d", run.key.job, run.attempt)
                return

    def _end(self, run: Run, error: BaseException, work: RunContext) -> None:
        """End a failed attempt in the ledger, so that it is retried if a retry can succeed.

        An attempt that was stopped because its process ends is not counted.
        """
        is_stopped = isinstance(error, RunStoppedError) and not work.lost.is_set()
        attempts = run_request_of(run.key, run.trigger, self.rules[run.key.job]).attempts
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
            # The process that takes the run over after its lease decides whether to retry.
            _log.warning("run not ended in the ledger: job=%s", run.key.job)
            self.notify_failed(run, text, is_final=False)
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
            self.notify_failed(run, text, is_final=is_final)

    def notify_failed(self, run: Run, error: str, *, is_final: bool) -> None:
        """Notify the host of a failed attempt."""
        failed = RunFailed(
            job=run.key.job,
            arguments=run.key.arguments,
            attempt=run.attempt,
            error=error,
            is_final=is_final,
            at=self.clock.now(),
        )
        self.deliver(failed)


_SECONDS_AFTER_A_FAILURE = 1.0


@attrs.define
class Heartbeat:
    """Renews the lease of a run, in a thread, until the block ends.

    *lost* is set when a later run has taken over (*is_taken_over*), and when the ledger has
    not answered for a whole lease: then a later run may have. Time in which another
    transaction locks the ledger does not count: no process can claim a run either.
    """

    ledger: RunLedger
    run: Run
    rules: RunRules
    lost: Flag
    is_taken_over: bool = attrs.field(default=False, init=False)
    _is_over: Flag = attrs.field(factory=Flag, init=False)
    _thread: Thread | None = attrs.field(default=None, init=False)

    def __enter__(self) -> Self:
        # A daemon thread: the interpreter does not wait for the next beat before it exits.
        self._thread = Thread(target=self._beat, name="angle-reco-heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # The thread is not joined: the ledger refuses a late beat, because the run has ended.
        self._is_over.set()

    def _beat(self) -> None:
        lease, beat = self.rules.lease.total_seconds(), self.rules.beat.total_seconds()
        ends_at = monotonic() + lease
        pause = beat
        while not self._is_over.wait(pause):
            asked_at = monotonic()
            try:
                # A beat that takes longer fails; the next one follows.
                with deadline(beat):
                    is_mine = self.ledger.beat(self.run, lease=self.rules.lease)
            except StorageLockedError:
                _log.info("heartbeat waits for a writer: job=%s", self.run.key.job)
                ends_at += monotonic() - asked_at
                pause, is_mine = min(beat, _SECONDS_AFTER_A_FAILURE), True
            except StorageError as error:
                _log.warning(
                    "heartbeat failed: job=%s error=%s", self.run.key.job, type(error).__name__
                )
                is_mine = monotonic() < ends_at
                pause = min(beat, _SECONDS_AFTER_A_FAILURE)
            else:
                ends_at, pause = asked_at + lease, beat
                self.is_taken_over = not is_mine
            if not is_mine:
                if not self._is_over.is_set():
                    _log.warning("run lost while it ran: job=%s", self.run.key.job)
                    self.lost.set()
                return
