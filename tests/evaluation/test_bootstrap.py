"""Intervals of means: users are resampled, with all of their questions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.evaluation.bootstrap import resampled

NAN = float("nan")


def _users(*users: int) -> np.ndarray:
    return np.array(users, np.int32)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.floats(0, 1), st.one_of(st.just(NAN), st.floats(0, 1))),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 9),
)
def test_it_is_what_plain_loops_over_drawn_users_give(
    questions: list[tuple[int, float, float]], seed: int
) -> None:
    users = [user for user, _, _ in questions]
    columns = [[first for _, first, _ in questions], [second for _, _, second in questions]]

    found = resampled(_users(*users), [*map(np.array, columns)], seed=seed, resamples=20)

    distinct = sorted(set(users))
    draws = np.random.default_rng(seed).integers(len(distinct), size=(20, len(distinct)))
    for place, column in enumerate(columns):
        by_user = {
            user: [value for one, value in zip(users, column, strict=True) if one == user]
            for user in distinct
        }
        for draw, sample in zip(draws, found.samples[:, place], strict=True):
            drawn = [value for place in draw for value in by_user[distinct[place]]]
            known = [value for value in drawn if value == value]
            expected = sum(known) / len(known) if known else NAN
            assert sample == pytest.approx(expected, nan_ok=True)


def test_the_questions_of_a_user_stay_together() -> None:
    # One user has all the hits: of two users drawn, 0, 1 or 2 are that one.
    found = resampled(_users(0, 0, 1, 1), [np.array([1.0, 1.0, 0.0, 0.0])], seed=0, resamples=200)

    assert set(found.samples[:, 0].tolist()) == {0.0, 0.5, 1.0}


def test_columns_are_compared_in_pairs() -> None:
    rng = np.random.default_rng(0)
    hits = rng.random(50)
    found = resampled(np.arange(50, dtype=np.int32), [hits, hits / 2, hits + 0.1], seed=0)

    ratio, difference = found.ratio(0, 1), found.difference(2, 0)

    # Each interval of a mean is wide, those of the comparisons have no width.
    assert found.mean(0).high - found.mean(0).low > 0.1
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((2, 2, 2))
    assert (difference.low, difference.high) == pytest.approx((0.1, 0.1))


def test_the_interval_of_a_mean_is_about_two_standard_errors_wide() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, 400)
    interval = resampled(np.arange(400, dtype=np.int32), [values], seed=0).mean(0)

    assert interval.value == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.1 / 20, rel=0.15)


def test_a_column_without_a_value_has_no_interval() -> None:
    interval = resampled(_users(0, 1), [np.array([NAN, NAN])], seed=0, resamples=5).mean(0)

    assert interval.to_json() == {"value": None, "low": None, "high": None}


def test_the_same_seed_gives_the_same_interval() -> None:
    values = [np.random.default_rng(2).random(30)]
    users = np.arange(30, dtype=np.int32)

    assert resampled(users, values, seed=3).mean(0) == resampled(users, values, seed=3).mean(0)
    assert resampled(users, values, seed=3).mean(0) != resampled(users, values, seed=4).mean(0)


def test_a_narrower_interval_has_that_percentage_of_the_samples() -> None:
    values = np.random.default_rng(3).random((2, 40))
    found = resampled(np.arange(40, dtype=np.int32), list(values), seed=1)
    samples = found.samples[:, 0] - found.samples[:, 1]

    narrow, wide = found.difference(0, 1, percent=90), found.difference(0, 1)

    assert (narrow.low, narrow.high) == tuple(np.percentile(samples, (5, 95)))
    assert (wide.low, wide.high) == tuple(np.percentile(samples, (2.5, 97.5)))
