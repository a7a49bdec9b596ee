"""The worker of a process: it looks for due runs, and has a scheduler execute them."""

import atexit
import logging
import os
import weakref
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from threading import Event, RLock
from time import monotonic

import attrs

from angle_reco.application.jobs.claims import JobClaims
from angle_reco.domain.errors import InvalidValueError, StorageError
from angle_reco.domain.runs import RunKey, RunRequest
from angle_reco.domain.schedules import window_of
from angle_reco.ports.deadlines import deadline
from angle_reco.ports.forks import reset_in_child
from angle_reco.ports.scheduler import JobScheduler
from angle_reco.settings import Settings

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_PRUNINGS = 3_600.0
_GRACE_AT_EXIT = timedelta(seconds=10)


@attrs.frozen
class _Task:
    """Work for a scheduler, named after its job."""

    name: str
    act: Callable[[], object]

    def __call__(self) -> None:
        self.act()


@attrs.define(kw_only=True, eq=False)
class Worker:
    """Runs jobs in this process from `start` to `stop`.

    *own* are the jobs that every process runs for itself, without a claim. *failure* is the
    class name of the error that the last `start` raised.

    A worker belongs to the process that started it: a forked child runs no jobs until it
    calls `start`.
    """

    runs: JobClaims
    settings: Settings
    own: Mapping[str, Callable[[], object]] = attrs.field(factory=dict)
    failure: str = attrs.field(default="", init=False)
    _scheduler: JobScheduler | None = attrs.field(default=None, init=False)
    _pid: int | None = attrs.field(default=None, init=False)
    _stop: Event = attrs.field(factory=Event, init=False)
    _in_hand: set[tuple[RunKey, datetime | None]] = attrs.field(factory=set, init=False)
    _lock: RLock = attrs.field(factory=RLock, init=False)
    _exits: bool = attrs.field(default=False, init=False)
    _own_slots: dict[str, datetime] = attrs.field(factory=dict, init=False)
    _pruned_at: float = attrs.field(default=float("-inf"), init=False)

    def __attrs_post_init__(self) -> None:
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Make a new lock: another thread of the parent may hold the old one."""
        self._lock = RLock()

    @property
    def state(self) -> str:
        """Return "running", "not started", or "failed: " with the failure."""
        if self.is_running:
            return "running"
        return f"failed: {self.failure}" if self.failure else "not started"

    @property
    def is_running(self) -> bool:
        """Return whether this process runs jobs; False in a forked child until it starts."""
        return self._scheduler is not None and self._pid == os.getpid()

    def start(self, new_scheduler: Callable[[], JobScheduler]) -> None:
        """Start to run jobs; a running worker is unchanged.

        Raises:
            InvalidValueError: The recommender is as of a moment, which has no schedule.
        """
        if self.runs.as_of is not None:
            raise InvalidValueError("as_of", self.runs.as_of, "None: the past has no schedule")
        with self._lock:
            if self.is_running:
                return
            self._pid = os.getpid()
            self._stop, self._in_hand = Event(), set()
            self._own_slots = self._slots_of_own()
            self._scheduler = new_scheduler()
            try:
                self._scheduler.start(
                    self._hand_over_due,
                    every=self.settings.runs.poll,
                    workers=self.settings.workers,
                )
            except BaseException as error:
                self._scheduler, self.failure = None, type(error).__name__
                raise
            self.failure = ""
            if not self._exits:
                # A strong reference would keep the worker and its ports alive until the exit.
                atexit.register(_stop_at_exit, weakref.ref(self))
                self._exits = True
        _log.info("jobs started: process=%d", os.getpid())

    def stop(self, grace: timedelta) -> bool:
        """Run no more jobs; a running job stops at its next step, and can be claimed again.

        Return False if a job took longer than *grace*: another process takes its run over
        once the lease has expired.
        """
        if not self.is_running:
            return True
        with self._lock:
            scheduler, self._scheduler = self._scheduler, None
            self._stop.set()
        has_ended = scheduler is None or scheduler.stop(grace)
        _log.info("jobs stopped: process=%d in_time=%s", os.getpid(), has_ended)
        return has_ended

    def _hand_over_due(self) -> None:
        """Hand due runs to the scheduler, unless they wait or execute in this process."""
        try:
            with deadline(self.settings.deadline.total_seconds()):
                run_requests = self.runs.due()
        except StorageError as error:
            _log.warning("not looked for jobs: error=%s", type(error).__name__)
            return
        self._prune()
        for run_request in run_requests:
            self._hand_over(run_request)
        before, self._own_slots = self._own_slots, self._slots_of_own()
        for job, slot in self._own_slots.items():
            if slot != before.get(job) and (scheduler := self._scheduler) is not None:
                task = _Task(job, self.own[job])
                scheduler.submit(self.runs.rules[job].queue, task)

    def _slots_of_own(self) -> dict[str, datetime]:
        # The clock of this process decides: no other process is concerned.
        now, rules = self.runs.clock.now(), self.runs.rules
        return {
            job: window_of(rules[job].schedule.last_before(now), rules[job].window)
            for job in self.own
        }

    def _hand_over(self, run_request: RunRequest) -> None:
        scheduler, one = self._scheduler, (run_request.key, run_request.slot)
        with self._lock:
            if scheduler is None or one in self._in_hand:
                return
            self._in_hand.add(one)
        job = run_request.key.job
        scheduler.submit(self.runs.rules[job].queue, _Task(job, partial(self._do, run_request)))

    def _do(self, run_request: RunRequest) -> None:
        try:
            self.runs.begin(run_request, stop=self._stop)
        except StorageError as error:
            _log.warning(
                "run not started: job=%s error=%s", run_request.key.job, type(error).__name__
            )
        finally:
            with self._lock:
                self._in_hand.discard((run_request.key, run_request.slot))

    def _prune(self) -> None:
        if monotonic() - self._pruned_at > _SECONDS_BETWEEN_PRUNINGS:
            self._pruned_at = monotonic()
            self.runs.prune()


def _stop_at_exit(reference: "weakref.ref[Worker]") -> None:
    """Stop the jobs before the interpreter exits, so that other processes can claim them."""
    worker = reference()
    if worker is not None:
        worker.stop(_GRACE_AT_EXIT)
