from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.arrays import (
    check_lengths,
    frozen,
    is_among,
    places_in_runs,
    ragged_ranges,
    starts_of_runs,
)

few = st.integers(0, 3)
keys = st.lists(few, max_size=12)


def ints(values: list[int]) -> np.ndarray:
    return np.array(values, np.int64)


@given(keys)
def test_places_count_the_equal_keys_before(values: list[int]) -> None:
    values.sort()

    found = places_in_runs(ints(values)).tolist()

    assert found == [place - values.index(value) for place, value in enumerate(values)]


@given(st.lists(st.tuples(few, few), max_size=12))
def test_runs_start_where_a_combination_does(pairs: list[tuple[int, int]]) -> None:
    pairs.sort()
    one, other = np.array(pairs, np.int64).reshape(-1, 2).T

    found = starts_of_runs(one, other).tolist()

    assert found == [pairs.index(pair) for pair, _ in groupby(pairs)]


@given(st.lists(st.tuples(st.integers(0, 50), few), max_size=8))
def test_ranges_follow_one_another(ranges: list[tuple[int, int]]) -> None:
    starts, lengths = np.array(ranges, np.int64).reshape(-1, 2).T

    found = ragged_ranges(starts, lengths).tolist()

    assert found == [number for start, length in ranges for number in range(start, start + length)]


@given(asked=keys, known=keys)
def test_a_key_is_among_others_when_they_hold_it(asked: list[int], known: list[int]) -> None:
    assert is_among(ints(asked), ints(sorted(known))).tolist() == [one in known for one in asked]


def test_a_frozen_array_cannot_be_written_to_and_its_owner_still_can() -> None:
    own = np.zeros(2)

    view = frozen(own)

    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    own[0] = 1


def test_columns_that_differ_in_length_are_named() -> None:
    check_lengths(self_like, one=[1], other=[2])

    with pytest.raises(ValueError, match=r"columns of str differ in length: .*'other': 2"):
        check_lengths(self_like, one=[1], other=[1, 2])


self_like = "an owner"
