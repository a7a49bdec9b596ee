"""Columns of an import at once: what single fields are, or nothing."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import IdKinds
from angle_reco.domain.import_columns import usual_amounts, usual_moments, with_absent
from angle_reco.domain.import_format import import_files
from angle_reco.domain.prices import UNKNOWN_PRICE, PriceScale

two = st.integers(0, 99).map("{:02}".format)
moments = st.builds(
    "{}-{}-{}T{}:{}:{}Z".format, st.integers(0, 9_999).map("{:04}".format), two, two, two, two, two
)
likely = st.datetimes().map(lambda one: one.replace(microsecond=0).isoformat() + "Z")
characters = st.text("0123456789-T:Z.+ ²ä\ud800", max_size=22)
amounts = st.decimals(0, 10**14, places=2).map(str)


def one_by_one(file: int, column: str, texts: list[str], prices: PriceScale) -> list[object] | None:
    """Return the values of single fields, None if one of them is invalid."""
    field = import_files(IdKinds(), prices)[file].fields[column]
    try:
        return [field(text) for text in texts]
    except InvalidValueError:
        return None


@given(texts=st.lists(moments | likely | characters, min_size=1, max_size=4))
def test_moments_are_those_of_single_fields(texts: list[str]) -> None:
    found = usual_moments(texts)

    if found is not None:
        assert found == one_by_one(2, "placed_at", texts, PriceScale())


@given(texts=st.lists(likely, min_size=1, max_size=4))
def test_moments_of_the_usual_form_are_read_at_once(texts: list[str]) -> None:
    assert usual_moments(texts) == one_by_one(2, "placed_at", texts, PriceScale())


@pytest.mark.parametrize(
    "text",
    [
        *("2026-02-29T00:00:00Z", "2026-00-01T00:00:00Z", "2026-13-01T00:00:00Z"),
        *("2026-01-00T00:00:00Z", "2026-04-31T00:00:00Z", "0000-01-01T00:00:00Z"),
        *("2026-01-01T24:00:00Z", "2026-01-01T23:60:00Z", "2026-01-01T23:59:60Z"),
        *("2026-01-01 00:00:00Z", "2026-W01-1T00:00:00Z", "2026-01-01T00:00:00+", ""),
    ],
)
def test_other_moments_are_left_to_the_rule(text: str) -> None:
    assert usual_moments(["2024-02-29T23:59:59Z", text]) is None


@given(
    texts=st.lists(amounts | st.text("0123456789.,-eE ", max_size=9), min_size=1, max_size=4),
    places=st.integers(0, 9),
)
def test_amounts_are_those_of_single_fields(texts: list[str], places: int) -> None:
    prices = PriceScale(10**places)
    found = usual_amounts(texts, prices)

    if found is not None:
        assert found == one_by_one(2, "amount", texts, prices)


def test_amounts_of_the_usual_form_are_read_at_once() -> None:
    assert usual_amounts(["0.00", "19.90", "007.01"], PriceScale()) == [0, 199_000, 70_100]


@pytest.mark.parametrize("text", ["1", "1.5", "1.500", "-1.00", "1e2", "1.00 ", "", "1.00,2.00"])
def test_other_amounts_are_left_to_the_rule(text: str) -> None:
    assert usual_amounts(["19.90", text], PriceScale()) is None


def test_the_largest_amount() -> None:
    most = Decimal(10**18) / 10**9

    assert usual_amounts([f"{most:.2f}"], PriceScale(10**9)) == [10**18]
    assert usual_amounts([f"{most + Decimal('0.01'):.2f}"], PriceScale(10**9)) is None


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["", "19.90", ""], [UNKNOWN_PRICE, 199_000, UNKNOWN_PRICE]),
        (["", ""], [UNKNOWN_PRICE, UNKNOWN_PRICE]),
        (["", "odd"], None),
    ],
)
def test_absent_values(texts: list[str], values: list[object] | None) -> None:
    at_once = with_absent(lambda some: usual_amounts(some, PriceScale()), UNKNOWN_PRICE)

    assert at_once(texts) == values
