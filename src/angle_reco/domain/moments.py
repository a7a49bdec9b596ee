"""Moments: aware datetimes at the edges, microseconds since 1970 in UTC inside."""

from datetime import UTC, datetime, timedelta

import numpy as np

from angle_reco.domain.arrays import Bools, Int64s
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.type_checks import is_a

UNKNOWN_MOMENT = -(2**63)
"""Stands for an unknown moment; it is earlier than all others."""

NEVER = 2**63 - 1
"""Stands for an end that never comes; it is later than all moments."""

MICROSECOND = timedelta(microseconds=1)
HOUR = timedelta(hours=1) // MICROSECOND
DAY = timedelta(days=1) // MICROSECOND

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros_or(moment: datetime | None, unknown: int) -> int:
    """Return a moment in microseconds, *unknown* for None."""
    return unknown if moment is None else to_micros(moment)


def to_micros(moment: datetime) -> int:
    """Return an aware moment as microseconds since 1970.

    >>> to_micros(datetime(1970, 1, 2, tzinfo=UTC))
    86400000000
    """
    return (moment - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return microseconds since 1970 as a moment in UTC.

    >>> from_micros(86_400_000_000)
    datetime.datetime(1970, 1, 2, 0, 0, tzinfo=datetime.timezone.utc)
    """
    return EPOCH + timedelta(microseconds=int(micros))


def moments_of(micros: Int64s) -> list[datetime | None]:
    """Return microseconds since 1970 as moments in UTC, None outside of Python's range.

    >>> moments_of(np.array([86_400_000_000, NEVER, UNKNOWN_MOMENT]))
    [datetime.datetime(1970, 1, 2, 0, 0, tzinfo=datetime.timezone.utc), None, None]
    """
    moments = np.full(len(micros), None)
    known = is_representable(micros)
    # One loop in C over all of them: calling `from_micros` for each takes ten times as long.
    moments[known] = EPOCH + micros[known].astype("m8[us]").astype(object)
    listed: list[datetime | None] = moments.tolist()
    return listed


def is_representable(micros: Int64s) -> Bools:
    """Return which microseconds since 1970 are within the range of Python's datetimes."""
    return (micros >= _FIRST) & (micros <= _LAST)


def check_moment(value: object, what: str) -> datetime:
    """Return *value* in UTC if it is an aware moment.

    Raises:
        InvalidValueError: It is no moment, or its time zone is unknown.
    """
    if is_a(value, datetime):
        try:
            if datetime.utcoffset(value) is not None:
                # The result is a plain datetime, also for a value of a derived class.
                return EPOCH + datetime.__sub__(value, EPOCH)
        except Exception:  # noqa: BLE001 — the ends of the calendar, and whatever a zone raises
            pass
    raise InvalidValueError(
        what, value, "a moment with a time zone, such as 2026-01-31T12:00:00+00:00"
    )


_FIRST = to_micros(datetime.min.replace(tzinfo=UTC))
_LAST = to_micros(datetime.max.replace(tzinfo=UTC))
