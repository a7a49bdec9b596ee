"""Wake-ups and queues by APScheduler 3, in memory; the ledger decides which runs are due."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from apscheduler.executors.base import BaseExecutor, run_job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from angle_reco.domain.schedules import Queue
from angle_reco.ports.threads import BackgroundPool

# Without this, warnings of APScheduler are printed where a host has configured no logging.
logging.getLogger("apscheduler").addHandler(logging.NullHandler())

_WAKING = "waking"
_JITTER = 0.1
"""The time between wake-ups is shortened at random by up to this share of it, so that processes
that started together do not query the ledger together."""


class ApsScheduler:
    """`JobScheduler` by APScheduler: each queue is an executor with its own limit of threads.

    No job store is shared and nothing is stored: with a shared one, two processes would do
    the same work twice. Work that waited for a thread is always done (`misfire_grace_time`).
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
            # APScheduler adds its jitter to the interval.
            IntervalTrigger(
                seconds=seconds * (1 - _JITTER), jitter=seconds * _JITTER, timezone=UTC
            ),
            executor=_WAKING,
            name="look for due jobs",
            next_run_time=datetime.now(UTC),
        )
        self._scheduler.start()

    def submit(self, queue: Queue, work: Callable[[], None]) -> None:
        scheduler = self._scheduler  # another thread may replace it in `stop`
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
        # If it is stopped while it works, it no longer finds the job that it just submitted.
        while self.running:
            with suppress(JobLookupError):
                super()._main_loop()


class WorkerThreads(BaseExecutor):  # type: ignore[misc]  # APScheduler is not typed
    """An executor with at most *most* of the threads that the process shares.

    The executors of APScheduler use `concurrent.futures`: the interpreter waits for their
    threads at exit, and they refuse work from then on, which APScheduler prints.
    """

    def __init__(self, name: str, most: int) -> None:
        super().__init__()
        self._pool = BackgroundPool(name, most)
        self._is_over = False

    def shutdown(self, wait: bool = True) -> None:
        """Have waiting work do nothing; running work goes on."""
        self._is_over = True

    def join(self, until: float) -> bool:
        """Wait for running work until that monotonic time; False if it has not ended by then."""
        return self._pool.settle(until - monotonic())

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

        self._pool.submit(work)

    def _run(self, job: Any, run_times: list[datetime]) -> list[Any]:
        """Run a job and return its events, which APScheduler logs at INFO."""
        events: list[Any] = run_job(job, job._jobstore_alias, run_times, self._logger.name)
        return events


class _WakingThread(WorkerThreads):
    """An executor that does not log its runs, of which there is one every few seconds."""

    def _run(self, job: Any, run_times: list[datetime]) -> list[Any]:
        del run_times
        job.func()
        return []
