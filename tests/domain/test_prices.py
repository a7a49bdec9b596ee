from decimal import Context, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.errors import InvalidValueError, shown
from angle_reco.domain.prices import LARGEST_PRICE, PriceScale

scales = st.integers(0, 9).map(lambda places: PriceScale(10**places))


@given(scale=scales, units=st.integers(0, LARGEST_PRICE))
def test_money_comes_back_as_it_was(scale: PriceScale, units: int) -> None:
    money = Decimal(units) / scale.units

    assert scale.to_units(money, "price") == units
    assert scale.to_money(units) == money


@pytest.mark.parametrize(
    ("amount", "units"),
    [
        (Decimal(0), 0),
        (Decimal("-0"), 0),
        (0, 0),
        (19, 190_000),
        (Decimal("19.90"), 199_000),
        (Decimal("0.0001"), 1),
        (Decimal("1.100000000"), 11_000),
        (Decimal("1E+3"), 10_000_000),
        (Decimal("0E-999999"), 0),
        (Decimal(10**14), LARGEST_PRICE),
    ],
    ids=str,
)
def test_money_is_counted_in_ten_thousandths(amount: object, units: int) -> None:
    assert PriceScale().to_units(amount, "price") == units


@pytest.mark.parametrize(
    "amount",
    [
        Decimal("-0.0001"),
        -1,
        Decimal("0.00001"),
        Decimal("19.99999"),
        Decimal("1E-999999"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        Decimal("-Infinity"),
        Decimal("1E+999999"),
        Decimal("-1E+999999"),
        Decimal(10**14) + Decimal("0.0001"),
        10**14 + 1,
        10**5_000,
        19.9,
        1e308,
        float("nan"),
        True,
        False,
        None,
        "19.90",
    ],
    ids=shown,
)
def test_what_is_no_price_is_refused_by_its_name(amount: object) -> None:
    with pytest.raises(
        InvalidValueError,
        match=r"^price is .*, but should be an amount from 0 to 100,000,000,000,000 with",
    ):
        PriceScale().to_units(amount, "price")


def test_the_hosts_decimal_context_does_not_matter() -> None:
    with localcontext(Context(prec=2, traps=[])):
        assert str(PriceScale().to_money(123_456_789)) == "12345.6789"
        assert PriceScale().to_units(Decimal("12345.6789"), "price") == 123_456_789
        with pytest.raises(InvalidValueError):
            PriceScale().to_units(Decimal("NaN"), "price")
        with pytest.raises(InvalidValueError):
            PriceScale().to_units(Decimal("0.00001"), "price")


@pytest.mark.parametrize(
    "units", [0, -1, 2, 11, 10**10, True, 10.0, "10", None, 10**5_000], ids=shown
)
def test_a_scale_is_a_power_of_ten(units: Any) -> None:
    with pytest.raises(InvalidValueError, match="price scale"):
        PriceScale(units)


@pytest.mark.parametrize(
    ("units", "text"),
    [(0, "0"), (25_500, "2.55"), (30_000, "3"), (1_000_000, "100"), (1, "0.0001")],
)
def test_money_is_written_without_trailing_zeros(units: int, text: str) -> None:
    assert str(PriceScale().to_money(units)) == text


def test_the_largest_price_is_written_exactly() -> None:
    assert PriceScale(10**9).to_money(LARGEST_PRICE - 1) == Decimal("999999999.999999999")
