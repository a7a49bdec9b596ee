from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain import Freshness, FreshnessLimits, InvalidValueError, freshness_of

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
DAY = timedelta(hours=24)
FRESH, STALE = Freshness.FRESH, Freshness.STALE


def after(
    age: timedelta, covered: timedelta | None = None, limits: FreshnessLimits | None = None
) -> Freshness | None:
    return freshness_of(
        NOW - age,
        covered_at=None if covered is None else NOW - covered,
        now=NOW,
        limits=limits or FreshnessLimits(),
    )


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(0), FRESH),
        (DAY, FRESH),
        (DAY + TICK, STALE),
        (2 * DAY, STALE),
        (2 * DAY + TICK, None),
        (-TICK, None),
    ],
)
def test_a_day_it_is_fresh_and_one_more_stale(age: timedelta, expected: Freshness | None) -> None:
    assert after(age) is expected


@pytest.mark.parametrize(
    ("age", "covered", "expected"),
    [
        (3 * DAY, timedelta(0), FRESH),
        (3 * DAY, DAY, FRESH),
        (3 * DAY, DAY + TICK, STALE),
        (3 * DAY, 2 * DAY, STALE),
        (3 * DAY, 2 * DAY + TICK, None),
        (timedelta(0), 9 * DAY, FRESH),
        (3 * DAY, -TICK, None),
        (-TICK, timedelta(0), None),
    ],
)
def test_it_is_as_fresh_as_the_newer_of_itself_and_the_run_that_covered_it(
    age: timedelta, covered: timedelta, expected: Freshness | None
) -> None:
    assert after(age, covered) is expected


@given(
    fresh=st.timedeltas(timedelta(0), timedelta(days=9)),
    stale=st.timedeltas(timedelta(0), timedelta(days=9)),
    younger=st.timedeltas(timedelta(0), timedelta(days=20)),
    older=st.timedeltas(timedelta(0), timedelta(days=20)),
)
def test_nothing_gets_fresher_by_waiting(
    fresh: timedelta, stale: timedelta, younger: timedelta, older: timedelta
) -> None:
    limits = FreshnessLimits(fresh_for=fresh, stale_for=stale)
    order = [FRESH, STALE, None]

    first, second = (after(age, limits=limits) for age in sorted((younger, older)))

    assert order.index(first) <= order.index(second)


@pytest.mark.parametrize("name", ["fresh_for", "stale_for"])
def test_negative_spans_are_refused(name: str) -> None:
    with pytest.raises(InvalidValueError, match=name):
        FreshnessLimits(**{name: -TICK})
