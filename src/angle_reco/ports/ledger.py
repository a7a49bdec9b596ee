"""The ledger of runs, in which processes agree on who does what."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import attrs

from angle_reco.domain.runs import Claim, Run, RunRequest

MOST_OPEN = 1_000

AHEAD = timedelta(minutes=1)
"""What ended later than so long from now, ended by a clock that was ahead."""


@attrs.frozen(kw_only=True)
class OpenRuns:
    """What the ledger knows that is not over, or not long past, and what time it is there."""

    now: datetime
    runs: Sequence[Run]


class RunLedger(Protocol):
    """Runs of jobs by key and slot; what time it is, the ledger decides.

    Raises:
        StorageUnavailableError: (every method) The ledger did not answer.
    """

    def now(self) -> datetime:
        """Return the moment it is, by the ledger's clock."""
        ...

    def claim(self, run_request: RunRequest, *, holder: str, lease: timedelta) -> Claim:
        """Answer a wish for a run (`angle_reco.domain.claimed`), and keep what becomes of it.

        Of many who ask at once, one has it. Once a run is claimed, whoever held an earlier
        one of its key cannot write any more (`Fence`). A lease that is cut is kept so.
        """
        ...

    def beat(self, run: Run, *, lease: timedelta) -> bool:
        """Prolong a claimed run from now on; False when it is lost, or over.

        It is lost to whoever claimed it later, and once a later run of its key is claimed.
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
        """End the attempt of a claimed run; False when it is somebody else's, or over.

        Without an *error* it has succeeded. With one it is due again *retry_after* from
        now, or discarded if that is None. One that *gives back* its attempt has not used
        it up.
        """
        ...

    def open(self, jobs: Collection[str], *, back: timedelta) -> OpenRuns:
        """Return runs that are not over, and those of *jobs* whose slots reach so far back.

        Of the latter only those of the schedule, without arguments; of the former, where
        there are more than `MOST_OPEN` in all, those with arguments that are due first.
        """
        ...

    def last_of_each(self, jobs: Collection[str]) -> Mapping[str, Run]:
        """Return of each job the run without arguments that began last, if one did."""
        ...

    def prune(self, *, retention: timedelta) -> int:
        """Forget runs that were over, or left to nobody, so long ago; return how many.

        Also those that ended later than `AHEAD` from now: their slots are still to come.
        """
        ...
