"""The curves of `blended`: equal on every machine, and exact."""

import math
from collections.abc import Callable
from decimal import Context, Decimal
from random import Random
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.arrays import Int64s
from angle_reco.domain.millionths import ONE
from angle_reco.domain.scoring.blended.curves import (
    LOG2_STEPS,
    STEPS,
    at_age,
    at_share,
    bell_curve,
    fading_curve,
    log2_curve,
    log2_steps,
    log_curve,
)
from angle_reco.domain.scoring.blended.model import kind_keys, log_prices

MATH = Context(prec=40)
CLOSE = Decimal("1e-7")
"""In millionths; floats of any library are nearer to the exact value."""


class Curve(NamedTuple):
    """A table, and the value at each place: as floats, and to 40 digits."""

    table: Int64s
    nearly: Callable[[int], float]
    exactly: Callable[[int], Decimal]


def logarithmic(per_unit: int) -> Curve:
    def exactly(step: int) -> Decimal:
        grown = MATH.add(1, MATH.divide(step * per_unit, STEPS))
        return MATH.divide(MATH.ln(grown), MATH.ln(Decimal(1 + per_unit)))

    def nearly(step: int) -> float:
        return math.log1p(step * per_unit / STEPS) / math.log1p(per_unit)

    return Curve(log_curve(per_unit), nearly, exactly)


def exponential(table: Int64s, per_unit: int) -> Curve:
    return Curve(
        table,
        lambda place: math.exp(-place / per_unit),
        lambda place: MATH.exp(MATH.divide(-place, per_unit)),
    )


CURVES = {
    "log 20": logarithmic(20),
    "log 100": logarithmic(100),
    "log2": Curve(
        log2_curve(),
        lambda step: math.log2(1 + step / STEPS),
        lambda step: MATH.divide(
            MATH.ln(MATH.add(1, MATH.divide(step, STEPS))), MATH.ln(Decimal(2))
        ),
    ),
    "day": exponential(fading_curve(24), 24),
    "month": exponential(fading_curve(720), 720),
    "bell": exponential(bell_curve(), 2_048),
}


@pytest.mark.parametrize("name", CURVES)
def test_no_entry_is_close_to_the_middle_between_two_millionths(name: str) -> None:
    """Every entry is the nearest millionth; the closest ones are computed to 40 digits."""
    table, nearly, exactly = CURVES[name]
    floats = np.array([nearly(place) * ONE for place in range(len(table))])
    distances = np.abs(floats - np.floor(floats) - 0.5)
    closest = np.argsort(distances)[:100].tolist()

    assert np.abs(table - floats).max() < 0.5
    for place in {*closest, *Random(1).sample(range(len(table)), 200)}:
        value = MATH.multiply(exactly(place), ONE)
        assert abs(value - Decimal(floats[place])) < CLOSE
        assert abs(value - int(table[place])) < Decimal("0.5") - CLOSE


@pytest.mark.parametrize("name", ["day", "month", "bell"])
def test_curves_of_ages_end_at_0(name: str) -> None:
    table = CURVES[name].table
    assert (table[0], table[-1]) == (ONE, 0)
    assert (np.diff(table) <= 0).all()


def test_log_curves_reach_from_0_to_1() -> None:
    for name in ("log 20", "log 100", "log2"):
        table = CURVES[name].table
        assert (table[0], table[-1], len(table)) == (0, ONE, STEPS + 1)
        assert (np.diff(table) >= 0).all()


@given(
    values=st.lists(st.integers(-(2**62), 2**62), min_size=1),
    largest=st.integers(-5, 2**62),
)
def test_shares_do_not_overflow(values: list[int], largest: int) -> None:
    """Beyond 46 bits both numbers lose their last ones."""
    curve = log2_curve()

    found = at_share(curve, np.array(values), largest)

    lost = max(largest.bit_length() - 46, 0)
    assert found.tolist() == [
        0
        if largest <= 0 or value <= 0
        else int(curve[(min(value, largest) >> lost) * STEPS // (largest >> lost)])
        for value in values
    ]
    assert at_share(curve, np.array([largest]), largest).tolist() == [ONE if largest > 0 else 0]


def test_ages_beyond_a_curve_count_nothing_and_future_ones_all() -> None:
    hours = np.array([-(2**62), -1, 0, 24, 2**62])
    assert at_age(fading_curve(24), hours).tolist() == [ONE, ONE, ONE, 367_879, 0]


numbers = st.integers(0, 62).flatmap(lambda bits: st.integers(2**bits, 2 ** (bits + 1) - 1))


@given(values=st.lists(numbers, min_size=1))
def test_binary_logarithms_are_rounded_down(values: list[int]) -> None:
    # 2^s <= v^1024 < 2^(s+1) for the step s of v.
    assert log2_steps(np.array(values)).tolist() == [
        int((value**LOG2_STEPS).bit_length()) - 1 for value in values
    ]


@pytest.mark.parametrize("bits", [1, 52, 53, 54, 61, 62])
def test_binary_logarithms_are_exact_about_powers_of_two(bits: int) -> None:
    around = [2**bits - 1, 2**bits, 2**bits + 1]
    assert log2_steps(np.array(around)).tolist() == [
        int((value**LOG2_STEPS).bit_length()) - 1 for value in around
    ]


def test_every_step_of_a_binary_logarithm_starts_where_it_should() -> None:
    """Within the largest power of two, where neighbours differ least."""
    found = log2_steps(np.arange(2**12, 2**13))
    starts = [2**12, *(2**12 + 1 + np.flatnonzero(np.diff(found))).tolist()]
    for start in starts:
        step = int(log2_steps(np.array([start]))[0])
        assert start**LOG2_STEPS >= 2**step > (start - 1) ** LOG2_STEPS


@pytest.mark.parametrize("step", range(0, LOG2_STEPS, 16))
def test_steps_are_exact_to_the_last_of_63_bits(step: int) -> None:
    start = int(MATH.power(2, MATH.add(62, MATH.divide(step, LOG2_STEPS))))
    around = [start - 1, start, start + 1]
    assert log2_steps(np.array(around)).tolist() == [
        int((value**LOG2_STEPS).bit_length()) - 1 for value in around
    ]


def test_prices_have_a_class_each_power_of_two() -> None:
    prices = np.array([-1, 0, 1, 2, 3, 4, 2**62 - 1, 2**62, 2**63 - 1])

    logs = log_prices(prices)

    assert logs.tolist() == [-1, -1, 0, 1_024, 1_623, 2_048, 62 * 1_024 - 1, 63_488, 64_511]
    category = np.full(len(prices), 3, np.int32)
    assert kind_keys(category, logs).tolist() == [
        -1,
        -1,
        *(192 + n for n in (0, 1, 1, 2, 61, 62, 62)),
    ]
    assert kind_keys(category - np.int32(4), logs).tolist() == [-1] * len(prices)
