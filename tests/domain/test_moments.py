from datetime import UTC, datetime, timedelta, timezone, tzinfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.moments import (
    DAY,
    HOUR,
    NEVER,
    UNKNOWN_MOMENT,
    check_moment,
    from_micros,
    moments_of,
    to_micros,
)

zones = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
moments = st.datetimes(timezones=zones)
FIRST, LAST = (one.replace(tzinfo=UTC) for one in (datetime.min, datetime.max))  # noqa: DTZ901 — the calendar
_FIRST, _LAST = to_micros(FIRST), to_micros(LAST)
EAST, WEST = timezone(timedelta(hours=12)), timezone(timedelta(hours=-12))


class Nowhere(tzinfo):
    """A time zone that does not know its offset."""

    def utcoffset(self, _: datetime | None) -> None:
        return None

    def dst(self, _: datetime | None) -> None:
        return None

    def tzname(self, _: datetime | None) -> None:
        return None


@given(moments)
def test_a_moment_comes_back_in_utc(moment: datetime) -> None:
    found = from_micros(to_micros(moment))

    assert found == moment
    assert found.tzinfo is UTC


@given(one=moments, other=moments)
def test_micros_are_in_the_order_of_moments(one: datetime, other: datetime) -> None:
    assert (to_micros(one) < to_micros(other)) is (one < other)
    assert UNKNOWN_MOMENT < to_micros(one) < NEVER


def test_micros_count_from_1970() -> None:
    assert to_micros(datetime(1970, 1, 2, 1, tzinfo=UTC)) == DAY + HOUR
    assert to_micros(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


def test_a_moment_elsewhere_is_turned_to_utc() -> None:
    assert check_moment(datetime(2026, 1, 31, 12, tzinfo=EAST), "at") == datetime(
        2026, 1, 31, tzinfo=UTC
    )
    assert check_moment(datetime(2026, 1, 31, 12, tzinfo=EAST), "at").tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 1, 31),  # noqa: DTZ001 — naive on purpose
        datetime(2026, 1, 31, tzinfo=Nowhere()),
        datetime.min.replace(tzinfo=EAST),
        datetime.max.replace(tzinfo=WEST),
        datetime(2026, 1, 31, tzinfo=UTC).date(),
        "2026-01-31T12:00:00Z",
        1_769_860_800,
        None,
        float("nan"),
    ],
    ids=str,
)
def test_what_is_no_aware_moment_is_refused(value: object) -> None:
    with pytest.raises(InvalidValueError, match=r"^at is .*, but should be a moment with a"):
        check_moment(value, "at")


@given(st.lists(st.integers(_FIRST, _LAST)))
def test_many_moments_are_the_same_as_one_at_a_time(micros: list[int]) -> None:
    assert moments_of(np.array(micros, np.int64)) == [from_micros(one) for one in micros]


def test_moments_that_python_cannot_tell_are_none() -> None:
    micros = [UNKNOWN_MOMENT, _FIRST - 1, _FIRST, _LAST, _LAST + 1, NEVER]

    told = moments_of(np.array(micros, np.int64))

    assert told == [None, None, FIRST, LAST, None, None]
    assert [one.tzinfo for one in told if one is not None] == [UTC, UTC]
