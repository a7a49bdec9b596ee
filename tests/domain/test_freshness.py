from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.freshness import SKEW, FreshnessLimits, age_of, freshness_at, freshness_of
from angle_reco.domain.suggestions import Freshness

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
NONE = timedelta(0)
DAY = timedelta(hours=24)
LIMITS = FreshnessLimits()
FRESH, STALE, ON_ERROR = Freshness.FRESH, Freshness.STALE, Freshness.STALE_ON_ERROR
ORDER = [FRESH, STALE, ON_ERROR, None]
"""From what is best to what may not be shown."""

SPANS = st.timedeltas(NONE, timedelta(days=9))
AGES = st.timedeltas(NONE, timedelta(days=40))


@st.composite
def limits_and_ages(draw: st.DrawFn) -> tuple[FreshnessLimits, list[timedelta]]:
    """Return limits and two ages, the younger first, often near a bound or zero."""
    limits = FreshnessLimits(fresh_for=draw(SPANS), stale_for=draw(SPANS), on_error_for=draw(SPANS))
    bounds = (NONE, limits.fresh_for, limits.shown_for, limits.kept_for)
    near = st.builds(
        lambda bound, off: max(bound + off * TICK, NONE),
        st.sampled_from(bounds),
        st.integers(-1, 1),
    )
    return limits, sorted((draw(AGES | near), draw(AGES | near)))


class TestByAge:
    @pytest.mark.parametrize(
        ("age", "is_marked", "expected", "expected_after_failure"),
        [
            (NONE, False, FRESH, FRESH),
            (DAY - TICK, False, FRESH, FRESH),
            (DAY, False, FRESH, FRESH),
            (DAY + TICK, False, STALE, STALE),
            (2 * DAY, False, STALE, STALE),
            (2 * DAY + TICK, False, None, ON_ERROR),
            (5 * DAY, False, None, ON_ERROR),
            (5 * DAY + TICK, False, None, None),
            (NONE, True, STALE, STALE),
            (DAY, True, STALE, STALE),
            (2 * DAY, True, STALE, STALE),
            (2 * DAY + TICK, True, None, ON_ERROR),
            (5 * DAY, True, None, ON_ERROR),
            (5 * DAY + TICK, True, None, None),
        ],
    )
    def test_all_bounds_count_as_within(
        self,
        age: timedelta,
        is_marked: bool,
        expected: Freshness | None,
        expected_after_failure: Freshness | None,
    ) -> None:
        told = [
            freshness_at(age, LIMITS, is_marked=is_marked, has_failed=failed)
            for failed in (False, True)
        ]

        assert told == [expected, expected_after_failure]

    @given(given=limits_and_ages(), is_marked=st.booleans(), has_failed=st.booleans())
    def test_nothing_gets_fresher_by_waiting(
        self, given: tuple[FreshnessLimits, list[timedelta]], is_marked: bool, has_failed: bool
    ) -> None:
        limits, ages = given

        first, second = (
            ORDER.index(freshness_at(age, limits, is_marked=is_marked, has_failed=has_failed))
            for age in ages
        )

        assert first <= second

    @given(given=limits_and_ages(), has_failed=st.booleans())
    def test_what_is_marked_is_never_fresh_and_else_as_it_was(
        self, given: tuple[FreshnessLimits, list[timedelta]], has_failed: bool
    ) -> None:
        limits, ages = given
        for age in ages:
            marked = freshness_at(age, limits, is_marked=True, has_failed=has_failed)
            as_it_was = freshness_at(age, limits, has_failed=has_failed)

            assert marked is (STALE if as_it_was is FRESH else as_it_was)

    @given(given=limits_and_ages(), is_marked=st.booleans())
    def test_a_failure_only_matters_to_what_would_not_be_shown(
        self, given: tuple[FreshnessLimits, list[timedelta]], is_marked: bool
    ) -> None:
        limits, ages = given
        for age in ages:
            before = freshness_at(age, limits, is_marked=is_marked)
            after = freshness_at(age, limits, is_marked=is_marked, has_failed=True)

            assert (before is None) == (age > limits.shown_for)
            assert after is before or (before, after) == (None, ON_ERROR)

    @given(given=limits_and_ages(), is_marked=st.booleans(), has_failed=st.booleans())
    def test_beyond_its_time_nothing_is_shown(
        self, given: tuple[FreshnessLimits, list[timedelta]], is_marked: bool, has_failed: bool
    ) -> None:
        limits, ages = given
        for age in ages:
            told = freshness_at(age, limits, is_marked=is_marked, has_failed=has_failed)

            assert told is None or age <= limits.kept_for

    def test_with_spans_of_nothing_it_is_fresh_for_that_moment_alone(self) -> None:
        limits = FreshnessLimits(fresh_for=NONE, stale_for=NONE, on_error_for=NONE)

        assert freshness_at(NONE, limits) is FRESH
        assert freshness_at(TICK, limits, has_failed=True) is None


def after(
    age: timedelta, covered: timedelta | None = None, limits: FreshnessLimits = LIMITS
) -> Freshness | None:
    return freshness_of(
        NOW - age,
        covered_at=None if covered is None else NOW - covered,
        now=NOW,
        limits=limits,
    )


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (NONE, FRESH),
        (DAY, FRESH),
        (DAY + TICK, STALE),
        (2 * DAY, STALE),
        (2 * DAY + TICK, None),
    ],
)
def test_a_day_it_is_fresh_and_one_more_stale(age: timedelta, expected: Freshness | None) -> None:
    assert after(age) is expected


@pytest.mark.parametrize(
    ("age", "covered", "expected"),
    [
        (3 * DAY, NONE, FRESH),
        (3 * DAY, DAY, FRESH),
        (3 * DAY, DAY + TICK, STALE),
        (3 * DAY, 2 * DAY, STALE),
        (3 * DAY, 2 * DAY + TICK, None),
        (NONE, 9 * DAY, FRESH),
        (DAY + TICK, DAY, FRESH),
        (DAY, DAY + TICK, FRESH),
    ],
)
def test_it_is_as_fresh_as_the_newer_of_itself_and_the_run_that_covered_it(
    age: timedelta, covered: timedelta, expected: Freshness | None
) -> None:
    assert after(age, covered) is expected


class TestFromTheFuture:
    JUST_STALE = LIMITS.fresh_for + TICK

    @pytest.mark.parametrize(
        ("ahead", "age", "freshness"),
        [
            (TICK, NONE, FRESH),
            (SKEW - TICK, NONE, FRESH),
            (SKEW, NONE, FRESH),
            (SKEW + TICK, JUST_STALE, STALE),
            (DAY - TICK, JUST_STALE, STALE),
            (DAY, JUST_STALE, STALE),
            (DAY + TICK, None, None),
            (900 * DAY, None, None),
        ],
    )
    def test_a_little_ahead_is_now_and_more_is_just_stale(
        self, ahead: timedelta, age: timedelta | None, freshness: Freshness | None
    ) -> None:
        assert age_of(NOW + ahead, covered_at=None, now=NOW, limits=LIMITS) == age
        assert after(-ahead) is freshness

    def test_ten_minutes_are_a_little(self) -> None:
        assert timedelta(minutes=10) == SKEW

    @pytest.mark.parametrize(
        ("age", "covered", "expected"),
        [
            # A run from ahead counts as one of now, or as just stale, or not at all.
            (3 * DAY, -TICK, NONE),
            (3 * DAY, -SKEW, NONE),
            (3 * DAY, -SKEW - TICK, JUST_STALE),
            (3 * DAY, -DAY, JUST_STALE),
            (3 * DAY, -DAY - TICK, 3 * DAY),
            (DAY, -SKEW - TICK, DAY),
            (NONE, -DAY - TICK, NONE),
            # A list from ahead that a run of the past covers is as old as the younger.
            (-TICK, 9 * DAY, NONE),
            (-SKEW - TICK, DAY, DAY),
            (-SKEW - TICK, 9 * DAY, JUST_STALE),
            # Of one from too far ahead nobody can tell what it has to do with the run.
            (-DAY - TICK, NONE, None),
            (-DAY - TICK, -TICK, None),
            (-DAY - TICK, None, None),
        ],
    )
    def test_the_younger_of_list_and_run_counts_on_this_clock(
        self, age: timedelta, covered: timedelta | None, expected: timedelta | None
    ) -> None:
        covered_at = None if covered is None else NOW - covered

        assert age_of(NOW - age, covered_at=covered_at, now=NOW, limits=LIMITS) == expected

    def test_what_is_never_stale_is_from_the_future_for_the_skew_alone(self) -> None:
        limits = FreshnessLimits(stale_for=NONE)

        assert after(-SKEW, limits=limits) is FRESH
        assert after(-SKEW - TICK, limits=limits) is None

    @given(ahead=st.timedeltas(TICK, 2 * DAY), given=limits_and_ages())
    def test_nothing_from_further_ahead_is_fresher(
        self, ahead: timedelta, given: tuple[FreshnessLimits, list[timedelta]]
    ) -> None:
        limits, ages = given

        told = [ORDER.index(after(-one, limits=limits)) for one in ages]

        assert told == sorted(told)
        assert after(-SKEW - ahead, limits=limits) in (STALE, None)


@given(given=limits_and_ages(), covered=AGES | st.none())
def test_from_the_past_it_is_the_plain_rule(
    given: tuple[FreshnessLimits, list[timedelta]], covered: timedelta | None
) -> None:
    limits, ages = given
    for age in ages:
        youngest = age if covered is None else min(age, covered)

        assert after(age, covered, limits) is freshness_at(youngest, limits)


class TestLimits:
    def test_they_add_up(self) -> None:
        limits = FreshnessLimits(fresh_for=DAY, stale_for=2 * DAY, on_error_for=4 * DAY)

        assert (limits.shown_for, limits.kept_for) == (3 * DAY, 7 * DAY)

    @pytest.mark.parametrize("name", ["fresh_for", "stale_for", "on_error_for"])
    @pytest.mark.parametrize("span", [-TICK, timedelta(days=36_500) + TICK, 24, None])
    def test_spans_that_cannot_be_are_refused(self, name: str, span: timedelta) -> None:
        with pytest.raises(InvalidValueError, match=name):
            FreshnessLimits(**{name: span})

    @pytest.mark.parametrize("name", ["fresh_for", "stale_for", "on_error_for"])
    @pytest.mark.parametrize("span", [NONE, timedelta(days=36_500)])
    def test_the_shortest_and_the_longest_can_be(self, name: str, span: timedelta) -> None:
        assert getattr(FreshnessLimits(**{name: span}), name) == span
