"""The machine's clock, and one that stands still."""

import time
from datetime import UTC, datetime

import attrs

from angle_reco.domain import is_aware


class SystemClock:
    """`Clock` of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


@attrs.frozen
class FixedClock:
    """`Clock` whose time of day is one moment, for answers as of then."""

    moment: datetime = attrs.field(validator=is_aware)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return time.monotonic()
