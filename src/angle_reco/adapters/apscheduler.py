"""Wake-ups and queues by APScheduler 3, in memory: what is due, the ledger knows."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from apscheduler.executors.base import BaseExecutor, run_job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.worker import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from angle_reco.domain.schedules import Queue
from angle_reco.ports.threads import BackgroundPool

# Where a host has configured no logging, what it remarks on is not printed.
logging.getLogger("apscheduler").addHandler(logging.NullHandler())

_WAKING = "waking"
_JITTER = 0.1
"""By how much of it the time between wake-ups is shorter at most, at random: processes that
began together do not all ask together."""


class ApsScheduler:
    """`JobScheduler` by APScheduler: each queue an executor with a cap of its own.

    No job store is shared and nothing is kept: with one, two processes would do the same
    twice. What waited for a thread is never too late (`misfire_grace_time`).
    """

    def __init__(self) -> None:
        self._executors: dict[str, WorkerThreads] = {}
        self._scheduler: Any = None  # APScheduler is not typed

    def start(
        self, wake: Callable[[], None], *, every: timedelta, workers: Mapping[Queue, int]
    ) -> None:
        self._executors = {
            name.value: WorkerThreads(name.value, most) for name, most in workers.items()
        }
        self._executors[_WAKING] = _WakingThread(_WAKING, 1)
        self._scheduler = _Scheduler(
            timezone=UTC,
            executors=dict(self._executors),
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        seconds = every.total_seconds()
        self._scheduler.add_job(
            wake,
            # What it calls jitter comes on top.
            IntervalTrigger(
                seconds=seconds * (1 - _JITTER), jitter=seconds * _JITTER, timezone=UTC
            ),
            executor=_WAKING,
            name="look for due jobs",
            next_run_time=datetime.now(UTC),
        )
        self._scheduler.start()

    def submit(self, queue: Queue, work: Callable[[], None]) -> None:
        scheduler = self._scheduler  # which another thread may be about to stop
        if scheduler is not None and scheduler.running:
            name = getattr(work, "name", queue.value)
            scheduler.add_job(work, executor=queue.value, name=name)

    def stop(self, grace: timedelta) -> bool:
        if self._scheduler is None:
            return True
        until = monotonic() + grace.total_seconds()
        scheduler, self._scheduler = self._scheduler, None
        scheduler.shutdown(wait=False)
        ended = [one.join(until) for one in self._executors.values()]
        return all(ended)


class _Scheduler(BackgroundScheduler):  # type: ignore[misc]  # APScheduler is not typed
    """A scheduler that may be stopped at any moment."""

    def _main_loop(self) -> None:
        # When it is stopped amid its work, it no longer finds what it has just handed over.
        while self.running:
            with suppress(JobLookupError):
                super()._main_loop()


class WorkerThreads(BaseExecutor):  # type: ignore[misc]  # APScheduler is not typed
    """An executor with at most so many of the threads that the process shares.

    Those of `concurrent.futures` are waited for when the interpreter exits, and refuse work
    from then on, which APScheduler prints.
    """

    def __init__(self, name: str, most: int) -> None:
        super().__init__()
        self._lane = BackgroundPool(name, most)
        self._is_over = False

    def shutdown(self, wait: bool = True) -> None:
        """Drop what waits; what is being done goes on."""
        self._is_over = True
        self._lane.drop()

    def join(self, until: float) -> bool:
        """Wait for what is being done; False if it is not by then."""
        return self._lane.settle(until - monotonic())

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        def work() -> None:
            if self._is_over:
                return
            try:
                events = self._run(job, run_times)
            except BaseException as error:  # noqa: BLE001 — handed to APScheduler, which logs it
                self._run_job_error(job.id, error, error.__traceback__)
            else:
                self._run_job_success(job.id, events)

        self._lane.submit(work)

    def _run(self, job: Any, run_times: list[datetime]) -> list[Any]:
        """Return the events of running a job, which APScheduler logs at INFO."""
        events: list[Any] = run_job(job, job._jobstore_alias, run_times, self._logger.name)
        return events


class _WakingThread(WorkerThreads):
    """An executor whose runs are not logged: there is one every few seconds."""

    def _run(self, job: Any, run_times: list[datetime]) -> list[Any]:
        del run_times
        job.func()
        return []
