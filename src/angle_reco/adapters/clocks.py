"""The machine's clock, and one with a fixed time of day."""

import time
from datetime import UTC, datetime
from functools import partial

import attrs

from angle_reco.domain.moments import check_moment


class SystemClock:
    """`Clock` of the machine."""

    # Functions of C themselves: an answer from memory asks several times.
    now = staticmethod(partial(datetime.now, UTC))
    monotonic = staticmethod(time.monotonic)


def _in_utc(moment: datetime) -> datetime:
    return check_moment(moment, "moment")


@attrs.frozen
class FixedClock:
    """`Clock` whose time of day is always the same moment, for answers as of then."""

    moment: datetime = attrs.field(converter=_in_utc)

    monotonic = staticmethod(time.monotonic)

    def now(self) -> datetime:
        return self.moment
