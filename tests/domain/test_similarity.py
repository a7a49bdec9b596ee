from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.activity import Activity
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import IdKind
from angle_reco.domain.millionths import ONE
from angle_reco.domain.prices import LARGEST_PRICE, UNKNOWN_PRICE, PriceScale
from angle_reco.domain.scoring.similarity import (
    Engagement,
    Originals,
    SimilarityRule,
    prices_near,
    similarity_parts,
    similarity_reasons,
    similarity_scores,
)
from angle_reco.domain.suggestions import Reason
from angle_reco.testing import plain
from angle_reco.testing.contracts.markets import lot, similarity_rules

BID, WATCH = Activity.BID.value, Activity.WATCH.value

units = st.one_of(
    st.integers(0, 12),
    st.integers(0, LARGEST_PRICE),
    st.sampled_from([LARGEST_PRICE, LARGEST_PRICE // 2, LARGEST_PRICE // 2 - 1]),
    st.just(UNKNOWN_PRICE),
)


def money(units: int) -> Decimal | None:
    return None if units == UNKNOWN_PRICE else Decimal(units).scaleb(-4)


@given(pairs=st.lists(st.tuples(units, units), max_size=10))
def test_prices_are_near_by_the_plain_rule(pairs: list[tuple[int, int]]) -> None:
    one, other = np.array(pairs, np.int64).reshape(-1, 2).T

    found = prices_near(one, other)

    assert found.tolist() == [plain.prices_near(money(a), money(b)) for a, b in pairs]
    assert prices_near(other, one).tolist() == found.tolist()


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("100", "50", True),
        ("100", "49.9999", False),
        ("100", "150", True),
        ("100", "200", True),
        ("100", "200.0001", False),
        ("0.0001", "0.0002", True),
        ("0.0001", "0.0003", False),
        ("0.0003", "0.0002", True),
        ("0.0003", "0.0001", False),
        ("100000000000000", "50000000000000", True),
        ("100000000000000", "49999999999999.9999", False),
        ("0", "0", True),
        ("0", "0.0001", False),
        ("0", None, False),
        (None, "100", False),
        (None, None, False),
    ],
)
def test_half_of_the_larger_price_is_just_near(
    one: str | None, other: str | None, near: bool
) -> None:
    a, b = (None if price is None else Decimal(price) for price in (one, other))
    columns = [
        np.array([UNKNOWN_PRICE if price is None else PriceScale().to_units(price, "price")])
        for price in (a, b)
    ]

    assert plain.prices_near(a, b) is plain.prices_near(b, a) is near
    assert prices_near(*columns).tolist() == [near]


@given(
    pairs=st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 30)), max_size=10),
    rule=similarity_rules(),
)
def test_parts_are_those_of_the_plain_rule(
    pairs: list[tuple[bool, bool, int]], rule: SimilarityRule
) -> None:
    same, near, shared = np.array(pairs, np.int64).reshape(-1, 3).T

    found = similarity_parts(same.astype(np.bool_), near.astype(np.bool_), shared, rule)

    one = lot("a", category_id="coins", price=Decimal(1))
    assert found.tolist() == [
        list(
            plain.similarity_parts(
                one,
                lot(
                    "b",
                    category_id="coins" if is_same else "stamps",
                    price=Decimal(1 if is_near else 9),
                ),
                shared_users,
                rule,
            )
        )
        for is_same, is_near, shared_users in pairs
    ]
    assert (found.sum(axis=1) <= ONE).all()
    scores = similarity_scores(same.astype(np.bool_), near.astype(np.bool_), shared, rule)
    assert scores.tolist() == found.sum(axis=1).tolist()


@pytest.mark.parametrize(
    ("shared", "part"),
    [(0, 0), (1, 50_000), (2, 100_000), (3, 150_000), (4, 200_000), (5, 200_000), (10**6, 200_000)],
)
def test_each_shared_user_is_a_twentieth_and_four_are_enough(shared: int, part: int) -> None:
    none = np.array([False])

    parts = similarity_parts(none, none, np.array([shared]), SimilarityRule())

    assert parts.tolist() == [[0, 0, part]]


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ((500_000, 300_000, 200_000), Reason.SAME_CATEGORY),
        ((0, 300_000, 200_000), Reason.PRICE_RANGE),
        ((0, 0, 200_000), Reason.COLLABORATIVE),
        ((300_000, 300_000, 300_000), Reason.SAME_CATEGORY),
        ((0, 300_000, 300_000), Reason.PRICE_RANGE),
        ((300_000, 300_001, 300_001), Reason.PRICE_RANGE),
    ],
)
def test_the_reason_is_the_largest_part_the_first_of_equal_ones(
    parts: tuple[int, int, int], reason: Reason
) -> None:
    assert similarity_reasons(np.array([parts], np.int32)).tolist() == [reason.code]


def test_the_classic_weights() -> None:
    assert SimilarityRule().recipe.weights == (
        ("same_category", 500_000),
        ("price_range", 300_000),
        ("collaborative", 200_000),
    )
    assert SimilarityRule().recipe.kept == 40


@pytest.mark.parametrize(
    "wrong",
    [
        {"category": -1},
        {"category": ONE + 1},
        {"category": True},
        {"category": 0.5},
        {"category": 500_001},
        {"price": 300_001},
        {"shared": 200_001},
        {"threshold": -1},
        {"threshold": ONE + 1},
        {"threshold": float("nan")},
        {"enough_shared": 0},
        {"enough_shared": 10_001},
        {"kept": 0},
        {"kept": 1_001},
        {"kept": True},
    ],
    ids=str,
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError):
        SimilarityRule(**wrong)


def test_weights_that_add_up_to_one_are_allowed() -> None:
    rule = SimilarityRule(category=0, price=0, shared=ONE, threshold=ONE)

    assert rule.shared == ONE


def test_columns_of_different_lengths_are_refused() -> None:
    two = IdColumn.of(IdKind.INT, [1, 2])

    with pytest.raises(ValueError, match="Originals differ in length"):
        Originals(ids=two, category=np.zeros(1, np.int32), prices=np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="Engagement differ in length"):
        Engagement(users=np.zeros(2, np.int32), places=np.zeros(1, np.int32))


@pytest.mark.parametrize(
    ("most", "places"),
    [
        (1, [[0], [5]]),
        (2, [[0, 3], [4, 5]]),
        # Place 3 was bid on twice, so its two bids fill the history; 2 was watched first long ago.
        (3, [[0, 3], [4, 5]]),
        (4, [[0, 1, 3], [4, 5]]),
        (5, [[0, 1, 2, 3], [4, 5]]),
    ],
)
def test_of_each_user_the_newest_bids_and_watches_count(most: int, places: list[list[int]]) -> None:
    rows = [
        *((0, 0, BID, 9), (0, 3, BID, 8), (0, 3, BID, 8), (0, 1, WATCH, 7)),
        *((0, 2, WATCH, 1), (0, 2, WATCH, 10), (1, 4, WATCH, 5), (1, 5, BID, 6)),
    ]
    for order in (rows, rows[::-1]):
        users, items, kinds, moments = np.array(order, np.int64).T

        found = Engagement.of_newest(
            users.astype(np.int32),
            items.astype(np.int32),
            kinds=kinds.astype(np.int8),
            moments=moments,
            most=most,
        )

        pairs = {*zip(found.users.tolist(), found.places.tolist(), strict=True)}
        assert pairs == {(user, place) for user in (0, 1) for place in places[user]}


def test_of_one_moment_the_smaller_place_counts() -> None:
    zeros = np.zeros(3, np.int32)

    found = Engagement.of_newest(
        zeros,
        np.array([2, 0, 1], np.int32),
        kinds=np.full(3, BID, np.int8),
        moments=zeros.astype(np.int64),
        most=2,
    )

    assert sorted(found.places.tolist()) == [0, 1]
