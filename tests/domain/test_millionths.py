from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain import ONE, InvalidValueError, scaled, shown, to_fraction, to_millionths
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
