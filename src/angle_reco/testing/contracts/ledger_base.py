"""What the contract suites of `RunLedger` share: fixtures, samples and helpers."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import TypeVar

import attrs
import pytest

from angle_reco.domain.runs import ClaimStatus, Run, RunKey, RunRequest, Trigger
from angle_reco.ports.ledger import RunLedger
from angle_reco.ports.stores import InterestStore
from angle_reco.testing.contracts.samples import DAY, HOUR, KINDS, NOW, TICK, Sample

_T = TypeVar("_T")

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
LEASE = timedelta(seconds=30)
SLOT = NOW - 5 * MINUTE - TICK
JOB = "tidy_up"

ODD_TEXTS = (
    "Tidy_up",
    "tidy_up ",
    "tidy up",
    'tidy_up {"item_id": 1}',
    "aufräumen",
    "片付け 🧹",
    'it\'s; DROP TABLE "runs" --',
    "%s %(job)s :job ? {}",
    "line\nbreak\ttab\\",
    "",
)


@attrs.frozen(kw_only=True)
class TimedLedger:
    """The ledger under test, with its clock and a store.

    *advance* moves the clock, which starts at NOW; tests also move it back, as when a
    clock that was ahead is corrected. *store* is an interest store that checks the fences
    of the ledger's runs.
    """

    ledger: RunLedger
    advance: Callable[[timedelta], None]
    store: InterestStore


class EmptyLedger:
    """The fixtures of the suites; a subclass overrides the first."""

    @pytest.fixture
    def timed(self) -> TimedLedger:
        """Return an empty ledger with its clock, and a store with text ids."""
        pytest.fail("override this fixture")

    @pytest.fixture
    def ledger(self, timed: TimedLedger) -> RunLedger:
        """Return the port under test."""
        return timed.ledger


def run_request(
    *, key: RunKey | None = None, slot: datetime = SLOT, attempts: int = 3
) -> RunRequest:
    """Return a scheduled request for the run of a slot."""
    return RunRequest(
        key=key or RunKey(JOB),
        trigger=Trigger.SCHEDULE,
        window=HOUR,
        attempts=attempts,
        slot=slot,
    )


def manual_request(*, key: RunKey | None = None) -> RunRequest:
    """Return a manual request for a run; the ledger gives it a new slot."""
    return RunRequest(key=key or RunKey(JOB), trigger=Trigger.MANUAL, window=HOUR, attempts=1)


def request(*, key: RunKey | None = None, slot: datetime | None = None) -> RunRequest:
    """Return a request that leaves a run to any worker, by default in the minute of NOW."""
    return RunRequest(
        key=key or RunKey(JOB),
        trigger=Trigger.REQUEST,
        window=MINUTE,
        attempts=3,
        slot=slot or NOW.replace(second=0, microsecond=0),
        claims_now=False,
    )


def claimed(ledger: RunLedger, *, key: RunKey | None = None, slot: datetime = SLOT) -> Run:
    """Claim the run of a slot as holder "ann", and return it."""
    claim = ledger.claim(run_request(key=key, slot=slot), holder="ann", lease=LEASE)
    assert claim.status is ClaimStatus.CLAIMED
    return claim.run


def over(ledger: RunLedger, wanted: RunRequest) -> Run:
    """Claim the requested run, finish it, and return it as claimed."""
    claim = ledger.claim(wanted, holder="ann", lease=LEASE)
    assert claim.status is ClaimStatus.CLAIMED
    assert ledger.finish(claim.run)
    return claim.run


def runs_in(ledger: RunLedger) -> list[Run]:
    """Return the open runs of the ledger."""
    return list(ledger.open([], back=DAY).runs)


def held_by(ledger: RunLedger, run: Run) -> Run:
    """Return the stored state of an open run."""
    [kept] = [one for one in runs_in(ledger) if (one.key, one.slot) == (run.key, run.slot)]
    return kept


def by_slot(run: Run) -> tuple[datetime, str, str]:
    """Return the sort key of runs: slot, job, arguments."""
    return run.slot, run.key.job, run.key.arguments


def write(store: InterestStore, run: Run) -> None:
    """Write to the store with the fence of *run*, without any data.

    Raises:
        FencedOffError: A later run of the key was claimed.
    """
    no_users = Sample(KINDS[0]).user_column([])
    store.retain(no_users, started_at=NOW, fence=run.fence)


def at_once(count: int, ask: Callable[[int], _T]) -> list[_T]:
    """Call *ask* in *count* threads at the same time; return their results in order."""
    barrier = Barrier(count)

    def wait_and_ask(place: int) -> _T:
        barrier.wait(timeout=30)
        return ask(place)

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that the threads interleave as much as possible
    try:
        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(wait_and_ask, range(count)))
    finally:
        sys.setswitchinterval(usual)
