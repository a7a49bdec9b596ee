"""The ledger of runs, in which processes agree on which of them executes a run."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import attrs

from angle_reco.domain.runs import Claim, Run, RunRequest

MOST_OPEN = 1_000
"""The most runs that `RunLedger.open` returns."""

AHEAD = timedelta(minutes=1)
"""A run that ended later than this from now was ended by a clock that was ahead."""


@attrs.frozen(kw_only=True)
class OpenRuns:
    """The unfinished and the recent runs, and the time by the ledger's clock."""

    now: datetime
    runs: Sequence[Run]


class RunLedger(Protocol):
    """Runs of jobs by key and slot; every moment is by the ledger's own clock.

    Raises:
        StorageUnavailableError: (every method) The ledger did not answer.
    """

    def now(self) -> datetime:
        """Return the current moment by the ledger's clock."""
        ...

    def claim(self, run_request: RunRequest, *, holder: str, lease: timedelta) -> Claim:
        """Answer a request for a run (`angle_reco.domain.runs.claimed`) and store the result.

        Of several concurrent callers one claims the run. From then on the holder of an
        earlier run of its key cannot write any more (`Fence`). A shortened lease is stored.
        """
        ...

    def beat(self, run: Run, *, lease: timedelta) -> bool:
        """Extend the lease of a claimed run from now on; False when it is lost or has ended.

        It is lost once another holder claims it, and once a later run of its key is claimed.
        """
        ...

    def finish(
        self,
        run: Run,
        *,
        outcome: str | None = None,
        error: str | None = None,
        retry_after: timedelta | None = None,
        gives_back: bool = False,
    ) -> bool:
        """End the attempt of a claimed run; False when another holder has it or it has ended.

        Without an *error* it has succeeded. With one it is due again *retry_after* from now,
        or discarded if that is None. With *gives_back* the attempt does not count.
        """
        ...

    def open(self, jobs: Collection[str], *, back: timedelta) -> OpenRuns:
        """Return the unfinished runs, and those of *jobs* with a slot within *back* of now.

        The latter are the scheduled ones, without arguments. If there are more than
        `MOST_OPEN` in all, runs without arguments come first, then those due first.
        """
        ...

    def last_of_each(self, jobs: Collection[str]) -> Mapping[str, Run]:
        """Return the last run of each job to start, without arguments, if one has started."""
        ...

    def prune(self, *, retention: timedelta) -> int:
        """Delete runs that ended, expired or were due before *retention* ago; return how many.

        Runs that ended later than `AHEAD` from now are deleted, too: their slots have yet to
        come.
        """
        ...
