"""A ledger of runs in memory, for the threads of one process."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from threading import Lock

import attrs

from angle_reco.adapters.memory.stores import MemoryFences
from angle_reco.domain.runs import (
    Claim,
    ClaimStatus,
    Run,
    RunKey,
    RunRequest,
    RunState,
    Trigger,
    claimed,
    finished,
)
from angle_reco.ports.clock import Clock
from angle_reco.ports.ledger import AHEAD, MOST_OPEN, OpenRuns


class MemoryRunLedger:
    """`RunLedger` in a dictionary, with moments of *clock*."""

    def __init__(self, clock: Clock, fences: MemoryFences | None = None) -> None:
        self._clock = clock
        self._fences = fences or MemoryFences()
        self._lock = Lock()
        self._runs: dict[RunKey, dict[datetime, Run]] = {}

    def now(self) -> datetime:
        return self._clock.now()

    def claim(self, run_request: RunRequest, *, holder: str, lease: timedelta) -> Claim:
        with self._lock:
            runs = self._runs.get(run_request.key, {})
            claim = claimed(
                tuple(runs.values()),
                run_request,
                now=self.now(),
                holder=holder,
                number=self._fences.newest(str(run_request.key)) + 1,
                lease=lease,
            )
            if claim.status is ClaimStatus.CLAIMED:
                self._fences.pass_(claim.run.fence)
            self._keep(claim.run)
            return claim

    def beat(self, run: Run, *, lease: timedelta) -> bool:
        with self._lock:
            kept = self._held(run)
            if kept is None or run.number < self._fences.newest(run.fence.job):
                return False
            self._keep(attrs.evolve(kept, lease_until=self.now() + lease))
            return True

    def finish(
        self,
        run: Run,
        *,
        outcome: str | None = None,
        error: str | None = None,
        retry_after: timedelta | None = None,
        gives_back: bool = False,
    ) -> bool:
        with self._lock:
            kept = self._held(run)
            if kept is not None:
                self._keep(
                    finished(
                        kept,
                        self.now(),
                        outcome=outcome,
                        error=error,
                        retry_after=retry_after,
                        gives_back=gives_back,
                    )
                )
            return kept is not None

    def open(self, jobs: Collection[str], *, back: timedelta) -> OpenRuns:
        with self._lock:
            now = self.now()
            runs = [
                run
                for runs in self._runs.values()
                for run in runs.values()
                if not run.state.is_final
                or (
                    run.key.job in jobs
                    and not run.key.arguments
                    and run.trigger is Trigger.SCHEDULE
                    and run.slot >= now - back
                )
            ]
        first = sorted(runs, key=_by_need)[:MOST_OPEN]
        return OpenRuns(now=now, runs=sorted(first, key=_by_slot))

    def last_of_each(self, jobs: Collection[str]) -> Mapping[str, Run]:
        last = dict[str, Run]()
        with self._lock:
            for job in jobs:
                began = [
                    run
                    for run in self._runs.get(RunKey(job), {}).values()
                    if run.started_at is not None
                ]
                if began:
                    last[job] = max(began, key=lambda run: (run.started_at or run.slot, run.slot))
        return last

    def prune(self, *, retention: timedelta) -> int:
        with self._lock:
            now = self.now()
            before, ahead = now - retention, now + AHEAD
            gone = [
                run
                for runs in self._runs.values()
                for run in runs.values()
                if (run.lease_until or run.finished_at or run.due_at) < before
                or (run.state.is_final and (run.finished_at or now) > ahead)
            ]
            for run in gone:
                del self._runs[run.key][run.slot]
            for key in {run.key for run in gone}:
                if not self._runs[key]:
                    del self._runs[key]
        return len(gone)

    def _held(self, run: Run) -> Run | None:
        kept = self._runs.get(run.key, {}).get(run.slot)
        if kept is None or kept.number != run.number or kept.state is not RunState.RUNNING:
            return None
        return kept

    def _keep(self, run: Run) -> None:
        self._runs.setdefault(run.key, {})[run.slot] = run


def _by_need(run: Run) -> tuple[bool, datetime, str, str]:
    return run.key.arguments != "", run.due_at, run.key.job, run.key.arguments


def _by_slot(run: Run) -> tuple[datetime, str, str]:
    return run.slot, run.key.job, run.key.arguments
