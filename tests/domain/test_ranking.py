from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.columns import NONE, IdColumn
from angle_reco.domain.errors import InvalidValueError, shown
from angle_reco.domain.ids import IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.millionths import ONE, weighted
from angle_reco.domain.scoring.components import INTEREST, RECENCY, contributions
from angle_reco.domain.scoring.interest import InterestRule
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.ranking import CLASSIC, Ranker, homepage_reasons
from angle_reco.domain.suggestions import REASONS
from angle_reco.testing import plain
from angle_reco.testing.contracts.markets import (
    NOW,
    index_of_users,
    markets,
    open_market,
    profiles_of,
)
from angle_reco.testing.contracts.rankers import DRAWN_RULES, rankers

every_kind = pytest.mark.parametrize("kind", IdKind)


@every_kind
@given(data=st.data(), ranker=st.just(CLASSIC) | rankers(), seed=st.integers(0, 99))
def test_contributions_and_reasons_are_those_of_the_plain_rule(
    kind: IdKind, data: st.DataObject, ranker: Ranker, seed: int
) -> None:
    ids = IdKinds(user=kind, item=kind, category=kind)
    plainly = data.draw(markets(ids))
    market = open_market(plainly, ids)
    rows = np.arange(len(market))
    interest = np.array([0, 1, 333_333, 700_000, 700_001, ONE, seed])[(rows + seed) % 7]
    users = index_of_users(ids, count=max(len(rows), 1))
    profiles = Profiles(
        users=users.ids,
        interest_user=rows.astype(np.int32),
        interest_category=market.catalogue.category,
        interest_score=interest,
        excluded_user=np.empty(0, np.int32),
        excluded_row=np.empty(0, np.int32),
    )
    interest = np.where(market.catalogue.category == NONE, 0, interest)

    parts = contributions(market, profiles, rows, rows, ranker.weights)
    reasons = homepage_reasons(market, rows, interest)

    items = {item.item_id: item for item in plainly.items}
    pairs = [
        (UserId(user_id), items[ItemId(item_id)], int(score))
        for user_id, item_id, score in zip(
            users.ids, market.catalogue.items.ids, interest, strict=False
        )
    ]
    assert [tuple(part) for part in parts.tolist()] == [
        plain.contributions(plainly, user_id, item, score, ranker, DRAWN_RULES)
        for user_id, item, score in pairs
    ]
    assert [REASONS[code] for code in reasons] == [
        plain.homepage_reason(plainly, item, score) for _, item, score in pairs
    ]
    assert (parts.sum(axis=1) <= ONE).all()


@every_kind
@given(data=st.data())
def test_profiles_hold_interests_in_order_and_what_not_to_show(
    kind: IdKind, data: st.DataObject
) -> None:
    ids = IdKinds(user=kind, item=kind, category=kind)
    plainly = data.draw(markets(ids))
    market, users = open_market(plainly, ids), index_of_users(ids)
    rule = InterestRule()

    profiles = profiles_of(plainly, ids, users, rule)

    categories = market.catalogue.categories
    assert rows_of(profiles.interest_user, profiles.interest_category, profiles.interest_score) == [
        (place, categories.code(interest.category_id), interest.score)
        for place, user_id in enumerate(users.ids)
        for interest in plain.interests_of(
            UserId(user_id), plainly.happened, plainly.categories, now=NOW, rule=rule
        )
    ]
    row_of = market.catalogue.items.code
    excluded = {(users.code(one.user_id), row_of(one.item_id)) for one in plainly.happened}
    excluded |= {
        (users.code(item.seller_id), row_of(item.item_id))
        for item in plainly.items
        if item.seller_id is not None
    }
    assert set(rows_of(profiles.excluded_user, profiles.excluded_row)) == {
        pair for pair in excluded if NONE not in pair
    }


def rows_of(*columns: np.ndarray) -> list[tuple[int, ...]]:
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_a_part_of_a_batch_has_places_of_its_own() -> None:
    profiles = Profiles(
        users=IdColumn.of(IdKind.TEXT, ["anna", "ben", "cleo"]),
        interest_user=np.array([0, 1, 1, 2], np.int32),
        interest_category=np.array([5, 6, NONE, 8], np.int32),
        interest_score=np.array([10, 20, 15, 30]),
        excluded_user=np.array([2, 1, 0, 1], np.int32),
        excluded_row=np.array([7, 8, 9, 6], np.int32),
    )

    part = profiles.between(1, 3)

    assert part.users.to_list() == ["ben", "cleo"]
    assert len(part) == 2
    assert rows_of(part.interest_user, part.interest_category, part.interest_score) == [
        (0, 6, 20),
        (0, NONE, 15),
        (1, 8, 30),
    ]
    assert rows_of(part.excluded_user, part.excluded_row) == [(1, 7), (0, 8), (0, 6)]


@given(value=st.integers(0, ONE), weight=st.integers(0, ONE))
def test_a_contribution_is_rounded_to_the_nearest_millionth_halves_up(
    value: int, weight: int
) -> None:
    [found] = weighted(np.array([value]), weight).tolist()

    assert 2 * abs(found * ONE - value * weight) <= ONE
    assert 2 * (value * weight - found * ONE) != ONE


def test_the_classic_ranker() -> None:
    assert CLASSIC.recipe.weights == (
        ("interest", 600_000),
        ("popularity", 200_000),
        ("recency", 200_000),
    )
    assert (CLASSIC.favourites, CLASSIC.per_category, CLASSIC.kept) == (5, 3, 60)
    assert CLASSIC.recipe.name == CLASSIC.name == "classic"


def test_a_preset_keeps_the_order_of_its_weights() -> None:
    ranker = Ranker.preset("mine", recency=0.25, interest=0.5)

    assert ranker.weights == ((RECENCY, 250_000), (INTEREST, 500_000))


@pytest.mark.parametrize(
    "weight",
    [True, -0.1, float("nan"), float("inf"), 1.1, 0.1234567, 1e308, "0.5", 10**5_000],
    ids=shown,
)
def test_weights_that_make_no_sense_are_refused(weight: Any) -> None:
    with pytest.raises(InvalidValueError, match="weight of interest"):
        Ranker.preset("mine", interest=weight)


def test_weights_may_add_up_to_one_but_not_to_more() -> None:
    assert Ranker.preset("mine", interest=0.5, recency=0.5).weights

    with pytest.raises(InvalidValueError) as caught:
        Ranker.preset("mine", interest=0.5, recency=0.500001)
    assert str(caught.value) == (
        "sum of the weights of a ranker is 1.000001, but should be at most 1"
    )


def test_an_unknown_component_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="one of interest, popularity, recency"):
        Ranker.preset("mine", taste=0.5)


WEIGHTS = ((INTEREST, ONE),)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "my ranker"},
        {"name": "1st"},
        {"weights": ()},
        {"weights": ((INTEREST, 1), (INTEREST, 1))},
        {"weights": ((INTEREST, 0.5),)},
        {"weights": ((INTEREST, True),)},
        {"favourites": 0},
        {"favourites": 1_001},
        {"per_category": 0},
        {"per_category": True},
        {"candidates": "all"},
        {"candidates": None},
        {"kept": 0},
        {"kept": 1_001},
    ],
    ids=str,
)
def test_rankers_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError):
        Ranker(**{"name": "mine", "weights": WEIGHTS, **wrong})
