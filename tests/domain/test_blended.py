"""The components of `blended`: exactly the values of the plain rules."""

import math
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from angle_reco.adapters.kernels import NumpyKernels
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.arrays import Int64s
from angle_reco.domain.columns import NONE
from angle_reco.domain.errors import ComponentError
from angle_reco.domain.ids import CategoryId, IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.millionths import ONE
from angle_reco.domain.moments import DAY, NEVER, UNKNOWN_MOMENT, to_micros
from angle_reco.domain.scoring.blended import tastes
from angle_reco.domain.scoring.blended.signals import Signals
from angle_reco.domain.scoring.blended_ranker import BLENDED
from angle_reco.domain.scoring.components import Component, DependsOn, values_of
from angle_reco.domain.scoring.interest import InterestRule
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.testing import plain
from angle_reco.testing.contracts.kernels import lines_of
from angle_reco.testing.contracts.markets import (
    NOW,
    index_of_users,
    lot,
    open_market,
    profiles_of,
)
from angle_reco.testing.contracts.models import ModelCase, model_cases

KERNELS = NumpyKernels()
COMPONENTS = {component.name: component for component, _ in BLENDED.weights}
WEIGHTS = {component.name: weight for component, weight in BLENDED.weights} | {"sequence": 90_000}
PERSONAL = [one for one in COMPONENTS.values() if one.depends_on is not DependsOn.ITEM]
INTS = IdKinds(user=IdKind.INT, item=IdKind.INT, category=IdKind.INT)
USERS = [UserId(one) for one in index_of_users(INTS).ids]
"""In the order of their places."""


def values_of_user(
    component: Component, market: OpenMarket, profiles: Profiles, user: int
) -> Int64s:
    """Return the values of every row for a user."""
    rows = np.arange(len(market))
    return values_of(component, market, profiles, np.full(len(rows), user), rows)


def every_value(case: ModelCase) -> dict[str, list[list[int]]]:
    """Return the values of each component, for each user a list by row, equal to the plain ones.

    The estimate of the score without its title is off by what its docstring says.
    """
    model, users = case.model(KERNELS), index_of_users(case.ids)
    market = case.opened(model)
    profiles, rules = case.profiles(market, users), case.plainly(model).rules
    by_id = {item.item_id: item for item in case.market.open_items}
    items = [by_id[ItemId(one)] for one in market.catalogue.items.ids]
    found = {
        name: [
            values_of_user(component, market, profiles, place).tolist()
            for place in range(len(users))
        ]
        for name, component in COMPONENTS.items()
    }
    for name, rule in rules.items():
        assert found[name] == [
            [rule(case.market, UserId(user_id), item) for item in items] for user_id in users.ids
        ]
    for place in range(len(users)):
        tastes = profiles.tastes(place, needed(market.signals))
        parts = tastes.contributions(np.arange(len(items)), WEIGHTS | {"title": 0})
        assert np.abs(parts.sum(axis=1) - tastes.estimate(WEIGHTS)).max(initial=0) < 6
    return found


def needed(signals: Signals | None) -> Signals:
    assert signals is not None
    return signals


def case_of(
    items: Sequence[ItemCard],
    happened: Sequence[Bid | Watch],
    *,
    known_items: Sequence[ItemCard] | None = None,
    known_acts: Sequence[Bid | Watch] | None = None,
) -> ModelCase:
    return ModelCase(
        ids=INTS,
        market=plain.PlainMarket(items=items, happened=happened, now=NOW),
        known_items=items if known_items is None else known_items,
        known_acts=happened if known_acts is None else known_acts,
    )


def touch(user: UserId, item: int, **ago: Any) -> Watch:
    return Watch(user_id=user, item_id=ItemId(item), watched_at=NOW - timedelta(**ago))


@pytest.mark.parametrize("kind", IdKind)
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_components_equal_the_plain_rules(kind: IdKind, data: st.DataObject) -> None:
    every_value(data.draw(model_cases(kind)))


def test_hours_are_whole_ones_since_the_epoch() -> None:
    case = case_of([lot(1)], [touch(USERS[0], 1, hours=1)])

    signals = needed(case.opened(case.model(KERNELS)).signals)

    assert signals.hour == NOW.timestamp() // 3_600


@settings(max_examples=20)
@given(case=model_cases(IdKind.INT), seed=st.integers(0, 2**32))
def test_values_of_pairs_are_those_of_users(case: ModelCase, seed: int) -> None:
    random = np.random.default_rng(seed)
    market = case.opened(case.model(KERNELS))
    users = index_of_users(case.ids)
    profiles = case.profiles(market, users)
    pairs = 30 if len(market) else 0
    of_pairs = random.integers(0, len(users), pairs), random.integers(0, max(len(market), 1), pairs)

    for component in COMPONENTS.values():
        found = values_of(component, market, profiles, *of_pairs)

        by_user = [
            values_of_user(component, market, profiles, place) for place in range(len(users))
        ]
        assert found.tolist() == [by_user[user][row] for user, row in zip(*of_pairs, strict=True)]


@settings(max_examples=20)
@given(case=model_cases(IdKind.INT))
def test_profiles_of_some_users_touched_the_same(case: ModelCase) -> None:
    market = case.opened(case.model(KERNELS))
    profiles = case.profiles(market, index_of_users(case.ids))

    some = [profiles.between(first, first + 3) for first in (0, 3, 6)]

    signals = market.signals
    assert signals is not None
    touched = [one.tastes(place, signals).touched for one in some for place in range(len(one))]
    expected = [profiles.tastes(place, signals).touched for place in range(len(profiles))]
    assert [(one.user, one.items.tolist(), one.last_at.tolist()) for one in touched] == [
        (one.user, one.items.tolist(), one.last_at.tolist()) for one in expected
    ]


def test_a_user_with_600_items_counts_the_newest_500() -> None:
    """Of 100 neighbours at most, and with more items than words or sellers count."""
    random = Random(5)
    items = [
        lot(
            one,
            title=f"lamp {one % 7} vase {one % 31}",
            category_id=CategoryId(one % 5),
            seller_id=UserId(1_000 + one % 12),
            starting_price=Decimal(1 + one % 40),
            listed_at=NOW - timedelta(days=one % 50),
            ends_at=NOW + timedelta(hours=1 + one % 50),
        )
        for one in range(620)
    ]
    happened = [touch(USERS[0], one, hours=one * 5 % 601) for one in range(600)]
    happened += [
        touch(UserId(user), random.randrange(620), hours=random.randrange(2_000))
        for user in range(2_000, 2_150)
        for _ in range(5)
    ]
    case = case_of(items, happened)
    model = case.model(KERNELS)

    values = every_value(case)

    assert np.diff(model.histories.offsets).max() == 500
    assert all(max(of_users[0]) > 0 for of_users in values.values())


def test_a_single_item_has_every_share() -> None:
    item = lot(
        1, title="lamp", category_id=CategoryId(1), starting_price=Decimal(1), seller_id=UserId(99)
    )
    values = every_value(case_of([item], [touch(USERS[0], 1, hours=0)]))

    assert {name: of_users[0][0] for name, of_users in values.items()} == {
        # A single item says nothing of itself, only its kind does: .3, of one user in eleven.
        "taste": ONE - ONE // 11,
        "follow": 0,
        "sequence": 0,
        "alike": 0,
        "trend_of_weeks": ONE,
        "trend_of_days": ONE,
        "heat": ONE,
        "newness": 0,
        "category": ONE,
        "title": values["title"][0][0],
        "price": ONE,
        "seller": ONE,
        "urgency": 0,
    }
    # Lengths are rounded down, so a product may miss 1 by a little.
    assert values["title"][0][0] > ONE - 200


def test_without_categories_and_prices_there_are_no_kinds() -> None:
    """An item without a kind has the first part of a personal view alone."""
    items = [lot(one) for one in range(4)]
    happened = [touch(user, one, days=3 * one) for user in USERS[:3] for one in range(3)]
    case = case_of(items, happened)
    signals = case.opened(case.model(KERNELS)).signals

    values = every_value(case)

    assert signals is not None
    assert signals.kind.tolist() == [NONE] * 4

    assert not any(map(any, values["category"] + values["price"] + values["seller"]))
    assert 0 < max(map(max, values["taste"])) <= 3 * ONE // 13


@pytest.mark.parametrize("name", [one.name for one in PERSONAL])
def test_a_user_without_touches_is_told_nothing(name: str) -> None:
    items = [lot(one, category_id=CategoryId(1), starting_price=Decimal(4)) for one in range(3)]

    values = every_value(case_of(items, [touch(USERS[0], 0, days=1), touch(USERS[0], 1, days=1)]))

    assert values[name][1] == [0, 0, 0]


def test_a_user_the_model_does_not_know_has_neighbours() -> None:
    items = [lot(one) for one in range(3)]
    known = [touch(USERS[0], one, hours=1) for one in (0, 1)]

    values = every_value(case_of(items, [*known, touch(USERS[1], 0, hours=1)], known_acts=known))

    # The known user is no neighbour of their own.
    assert values["alike"][0] == [0, 0, 0]
    assert values["alike"][1][1] > 0


@pytest.mark.parametrize("users", [12, 200])
def test_the_nearest_users_are_those_of_all_users(
    monkeypatch: pytest.MonkeyPatch, users: int
) -> None:
    """Few of many users who share an item are sorted, many are counted; cosines are often equal."""
    monkeypatch.setattr(tastes, "NEIGHBOURS", 3)
    random = Random(users)
    for _ in range(300):
        touched, most = random.randrange(1, 9), random.randrange(1, 9)
        shared = [random.randrange(min(touched, most) + 1) for _ in range(12)]
        some = random.sample(range(users), 12)
        sizes = [9] * users
        for user, count in zip(some, shared, strict=True):
            sizes[user] = random.randrange(count, 9) or 1
        fans = [user for user, count in zip(some, shared, strict=True) for _ in range(count)]
        own = random.choice([NONE, *some])

        near, cosines = tastes._nearest(
            np.array(random.sample(fans, len(fans)), np.int32), own, np.array(sizes), touched
        )

        ranked = sorted(
            (-min(int(ONE * count / math.sqrt(sizes[user] * touched)), ONE), user)
            for user, count in zip(some, shared, strict=True)
            if count and user != own
        )
        found = [
            (-cosine, user)
            for user, cosine in zip(near.tolist(), cosines.tolist(), strict=True)
            if cosine
        ]
        assert found == ranked[:3]


def test_touches_in_the_future_and_before_1970_have_the_age_of_the_newest() -> None:
    """The ages of a user's touches count from the newest, whenever that was."""
    items = [lot(one, price=Decimal(4**one)) for one in range(1, 4)]
    ancient = [touch(USERS[0], 1, days=40_000), touch(USERS[0], 2, days=40_600)]
    coming = [touch(USERS[1], 1, days=-900), touch(USERS[1], 2, days=-300)]

    values = every_value(case_of(items, [*ancient, *coming]))

    assert values["price"][0] == values["price"][1]
    assert values["heat"][0] == [ONE, ONE, 0]


def test_trends_fall_with_older_touches() -> None:
    items = [lot(one) for one in range(3)]
    happened = [touch(user, 0, days=1) for user in USERS[:3]]
    happened += [touch(user, 1, days=1 + 100 * place) for place, user in enumerate(USERS[:3])]

    values = every_value(case_of(items, happened))

    for name in ("trend_of_weeks", "trend_of_days", "heat"):
        first, second, third = values[name][0]
        assert first == ONE
        assert first > second > third == 0


def test_a_touch_counts_once_a_day_and_user() -> None:
    items = [lot(one) for one in range(2)]
    midnight = timedelta(hours=12)
    at = [midnight - timedelta(hours=hours) for hours in (0, 5, 11)]
    many = [Watch(user_id=USERS[0], item_id=ItemId(0), watched_at=NOW - one) for one in at]
    once = [Watch(user_id=USERS[0], item_id=ItemId(1), watched_at=NOW - midnight)]

    values = every_value(case_of(items, [*many, *once]))

    assert values["heat"][0] == [ONE, ONE]


def test_extreme_moments_and_prices_of_columns_count() -> None:
    """Such as those of a database whose moments Python does not know."""
    items = [lot(one) for one in range(6)]
    case = case_of(items, [])
    model = case.model(KERNELS)
    market = open_market(case.market, INTS)
    now = to_micros(NOW)
    catalogue = attrs.evolve(
        market.catalogue,
        prices=np.array([0, 1, 2**62, 2**63 - 1, -1, 2**62 - 1]),
        listed_at=np.array([UNKNOWN_MOMENT, UNKNOWN_MOMENT + 1, 2**63 - 2, now, now - DAY, 0]),
        ends_at=np.array([NEVER, NEVER - 1, UNKNOWN_MOMENT, now, now + DAY, now + 2 * DAY]),
    )

    signals = case.signals(model, catalogue)

    assert signals.log_price.tolist() == [-1, 0, 62 * 1_024, 63 * 1_024 - 1, -1, 62 * 1_024 - 1]
    assert signals.newness.tolist() == [0, 0, ONE, ONE, 967_216, 0]
    assert signals.urgency.tolist() == [0, 0, ONE, ONE, 367_879, 135_335]


def test_a_market_without_items_has_no_values() -> None:
    values = every_value(case_of([], [touch(USERS[0], 1, days=1)], known_items=[lot(1)]))

    assert values == {name: [[]] * len(USERS) for name in COMPONENTS}


def test_equal_scores_are_in_the_order_of_ties() -> None:
    case = case_of([lot(one) for one in (5, 3, 4)], [])
    market = case.opened(case.model(KERNELS))
    profiles = case.profiles(market, index_of_users(INTS, 1))

    lists = KERNELS.homepages(market, profiles, ranker=BLENDED, keep=2)

    assert [line.item_id for line in lines_of(lists)[0]] == [ItemId(3), ItemId(4)]
    assert [line.score for line in lines_of(lists)[0]] == [0, 0]


def test_a_ranker_that_needs_a_model_says_so() -> None:
    plainly = plain.PlainMarket(items=[lot(1)], happened=[], now=NOW)
    market = open_market(plainly, INTS)
    profiles = profiles_of(plainly, INTS, index_of_users(INTS), InterestRule())

    for component in COMPONENTS.values():
        with pytest.raises(ComponentError, match="needs a trained model"):
            values_of_user(component, market, profiles, 0)
    case = case_of([lot(1)], [])
    signals = case.opened(case.model(KERNELS)).signals
    assert signals is not None
    with pytest.raises(ValueError, match="without a model"):
        profiles.tastes(0, signals)


def test_the_weights_are_one_together() -> None:
    assert sum(weight for _, weight in BLENDED.weights) == ONE


@settings(max_examples=20)
@given(case=model_cases(IdKind.INT), seed=st.integers(0, 2**32))
def test_values_do_not_depend_on_the_order_of_activity(case: ModelCase, seed: int) -> None:
    random = Random(seed)
    model, users = case.model(KERNELS), index_of_users(case.ids)
    happened = list(case.market.happened)
    random.shuffle(happened)
    shuffled = attrs.evolve(case, market=attrs.evolve(case.market, happened=happened))

    assert values_with(shuffled, model, len(users)) == values_with(case, model, len(users))


def values_with(case: ModelCase, model: Any, users: int) -> dict[str, list[Int64s]]:
    market = case.opened(model)
    profiles = case.profiles(market, index_of_users(case.ids))
    return {
        name: [values_of_user(one, market, profiles, user).tolist() for user in range(users)]
        for name, one in COMPONENTS.items()
    }
