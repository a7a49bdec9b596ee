from decimal import Context, Decimal, Inexact, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.errors import InvalidValueError, shown
from angle_reco.domain.millionths import ONE, scaled, to_fraction, to_millionths, to_score
from angle_reco.testing import plain

LARGEST = 2**63 - 1


@given(
    values=st.lists(st.integers(0, 40) | st.integers(0, LARGEST), max_size=6),
    by=st.integers(0, 7) | st.integers(0, LARGEST),
    over=st.integers(1, 9) | st.integers(1, LARGEST),
)
def test_scaling_is_rounded_as_the_plain_rule_has_it(values: list[int], by: int, over: int) -> None:
    fitting = [value for value in values if 2 * value * by <= (2 * LARGEST - 1) * over]

    found = scaled(np.array(fitting, np.int64), by, over)

    assert found.tolist() == [plain.rounded(Fraction(value * by, over)) for value in fitting]
    assert found.dtype == np.int64


@pytest.mark.parametrize(
    ("value", "by", "over", "expected"),
    [
        (1, 1, 2, 1),
        (3, 1, 2, 2),
        (1, 1, 3, 0),
        (2, 1, 3, 1),
        (0, 0, 1, 0),
        # Right before and after what fits 64 bits on the way.
        (2**61, 2 - 1, 2, 2**60),
        (2**62 - 1, 1, 1, 2**62 - 1),
        (2**62, 1, 2, 2**61),
        (LARGEST, LARGEST, LARGEST, LARGEST),
        (LARGEST, 1, 2, 2**62),
        (1, 1, LARGEST, 0),
        (0, LARGEST, 1, 0),
        (0, 10**30, 1, 0),
    ],
)
def test_halves_are_rounded_up_however_large(value: int, by: int, over: int, expected: int) -> None:
    assert scaled(np.array([value, 0]), by, over).tolist() == [expected, 0]


@pytest.mark.parametrize(
    ("value", "millionths"),
    [
        (0, 0),
        (0.6, 600_000),
        (1, ONE),
        (Decimal("0.000001"), 1),
        (1e-06, 1),
        (Decimal("0.5000000000"), 500_000),
        (1_000, 1_000 * ONE),
        (np.float64(0.3), 300_000),
    ],
    ids=shown,
)
def test_a_fraction_is_what_it_prints(value: object, millionths: int) -> None:
    assert to_millionths(value, "weight") == millionths


def test_the_hosts_decimal_context_does_not_matter() -> None:
    with localcontext(prec=2):
        assert to_millionths(0.123456, "weight") == 123_456


@given(st.integers(0, 1_000 * ONE))
def test_fractions_come_back_as_they_were(millionths: int) -> None:
    assert to_millionths(to_fraction(millionths), "weight") == millionths
    assert to_millionths(Decimal(millionths).scaleb(-6), "weight") == millionths


@pytest.mark.parametrize(
    "value",
    [
        True,
        -0.1,
        Decimal("-0.000001"),
        0.0000001,
        Decimal("0.1234567"),
        1_000.000001,
        1_001,
        1e308,
        Decimal("1E+999999"),
        Decimal("1E-999999"),
        10**5_000,
        float("nan"),
        Decimal("NaN"),
        Decimal("sNaN"),
        float("inf"),
        float("-inf"),
        "0.5",
        None,
        Fraction(1, 2),
    ],
    ids=shown,
)
def test_what_is_no_number_of_whole_millionths_is_refused(value: object) -> None:
    with pytest.raises(InvalidValueError, match=r"^weight is .* from 0 to 1000 with at most 6"):
        to_millionths(value, "weight")


@pytest.mark.parametrize(
    ("value", "millionths"),
    [
        (0, 0),
        (1, ONE),
        (-0.0, 0),
        (Decimal("-0"), 0),
        (1.0, ONE),
        (0.84, 840_000),
        (0.1 + 0.2, 300_000),
        (0.0000005, 1),
        (0.00000049, 0),
        (Decimal("0.9999995"), ONE),
        (Decimal("0.99999949999"), 999_999),
        (Decimal("0.1234565"), 123_457),
        (Decimal("0.1234555"), 123_456),
        (Decimal("0.1234564999999999999999999999999999999999999999"), 123_456),
        (Decimal("1E-999999"), 0),
        (5e-324, 0),
        (Decimal(1).scaleb(-6), 1),
        (np.float64(0.3), 300_000),
    ],
    ids=shown,
)
def test_a_score_is_rounded_to_the_nearest_millionth(value: object, millionths: int) -> None:
    score = to_score(value, "score")

    assert (score, type(score)) == (millionths, int)


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        "1",
        "",
        b"1",
        None,
        -1,
        2,
        -0.0000001,
        1.0000001,
        Decimal("1.0000000000000000000000000000000000000000000001"),
        Decimal("-1E-999999"),
        Decimal("1E+999999"),
        10**400,
        10**5_000,
        -(10**5_000),
        1e308,
        float("nan"),
        float("inf"),
        float("-inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        Fraction(1, 2),
        0.5j,
        [0.5],
        np.float32(0.5),
        np.bool_(True),
    ],
    ids=shown,
)
def test_what_is_no_number_from_0_to_1_is_no_score(value: object) -> None:
    with pytest.raises(InvalidValueError, match=r"^score is .*should be a number from 0 to 1$"):
        to_score(value, "score")


@given(st.decimals(0, 1, places=9) | st.floats(0, 1))
def test_a_score_is_off_by_no_more_than_half_a_millionth(value: Decimal | float) -> None:
    exact = Fraction(str(value) if isinstance(value, float) else value)

    assert to_score(value, "score") == plain.rounded(exact * ONE)


def test_for_a_score_the_hosts_decimal_context_does_not_matter() -> None:
    with localcontext(prec=2):
        assert to_score(0.123456, "score") == 123_456
        assert to_score(Decimal("0.99999949999"), "score") == 999_999
    with localcontext(Context(traps=[Inexact])):
        assert to_score(1 / 3, "score") == 333_333
