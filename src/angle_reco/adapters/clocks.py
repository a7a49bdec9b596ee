"""The machine's clock, and one with a fixed time of day."""

import time
from datetime import UTC, datetime

import attrs

from angle_reco.domain.moments import check_moment


class SystemClock:
    """`Clock` of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def _in_utc(moment: datetime) -> datetime:
    return check_moment(moment, "moment")


@attrs.frozen
class FixedClock:
    """`Clock` whose time of day is always the same moment, for answers as of then."""

    moment: datetime = attrs.field(converter=_in_utc)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return time.monotonic()
