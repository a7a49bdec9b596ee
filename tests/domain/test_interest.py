from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.activity import Bid, Interactions, Watch
from angle_reco.domain.columns import IdIndex
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import CategoryId, IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.millionths import LARGEST_FACTOR, ONE
from angle_reco.domain.scoring.decay import DecaySteps, HalfLife
from angle_reco.domain.scoring.interest import (
    InterestRule,
    Interests,
    ItemCategories,
    UserInterest,
    interest_has_changed,
    score_interests,
)
from angle_reco.testing import plain
from angle_reco.testing.contracts.markets import IDS, NOW, interests_in, markets

ANNA, BEN = UserId("anna"), UserId("ben")
TICK = timedelta(microseconds=1)
WINDOW = timedelta(days=90)

rules = st.builds(
    InterestRule,
    bid_weight=st.sampled_from([0, 1, 333_333, 3 * ONE, LARGEST_FACTOR * ONE]),
    watch_weight=st.sampled_from([0, 1, 333_333, 2 * ONE]),
    decay=st.sampled_from([DecaySteps(), HalfLife(span=timedelta(days=7))]),
    window=st.sampled_from([WINDOW, timedelta(days=1), timedelta(days=365)]),
)


@pytest.mark.parametrize("kind", IdKind)
@given(data=st.data(), rule=st.just(InterestRule()) | rules)
def test_it_is_the_plain_rule(kind: IdKind, data: st.DataObject, rule: InterestRule) -> None:
    ids = IdKinds(user=kind, item=kind, category=kind)
    market = data.draw(markets(ids))

    found = interests_in(market, ids, rule).values()

    everybody = sorted(IDS[kind])
    assert found == [
        interest
        for user_id in everybody
        for interest in plain.interests_of(
            UserId(user_id), market.happened, market.categories, now=NOW, rule=rule
        )
    ]


def interests(
    *happened: Bid | Watch,
    of: dict[str, str | None] | None = None,
    rule: InterestRule | None = None,
) -> list[UserInterest]:
    """Return what follows from what happened to items whose category is their first letter."""
    ids = IdKinds()
    category_ids = [(of or {}).get(str(one.item_id), str(one.item_id)[0]) for one in happened]
    index, codes = IdIndex.of_nullable(ids.category, category_ids)
    found = score_interests(
        ids,
        Interactions.of(ids, happened),
        ItemCategories(categories=index, codes=codes),
        now=NOW,
        rule=rule or InterestRule(),
    )
    return found.values()


def bid(item: str, age: timedelta = timedelta(0), user: UserId = ANNA) -> Bid:
    return Bid(user_id=user, item_id=ItemId(item), placed_at=NOW - age)


def watch(item: str, age: timedelta = timedelta(0), user: UserId = ANNA) -> Watch:
    return Watch(user_id=user, item_id=ItemId(item), watched_at=NOW - age)


def categories(found: list[UserInterest]) -> list[object]:
    return [one.category_id for one in found]


def days(count: int) -> timedelta:
    return timedelta(days=count)


def test_a_bid_weighs_three_and_a_watch_two() -> None:
    [coins, stamps] = interests(bid("coin"), watch("stamp"))

    assert (coins.strength, stamps.strength) == (3 * ONE, 2 * ONE)
    assert (coins.score, stamps.score) == (ONE, 666_667)


@pytest.mark.parametrize(
    ("age", "strength"),
    [
        (days(8) - TICK, 3_000_000),
        (days(8), 2_100_000),
        (days(31) - TICK, 2_100_000),
        (days(31), 1_200_000),
        (WINDOW, 1_200_000),
        (-days(1), 3_000_000),
        (-days(1_000), 3_000_000),
    ],
)
def test_it_fades_by_age(age: timedelta, strength: int) -> None:
    [coins] = interests(bid("coin", age))

    assert coins.strength == strength


def test_the_window_is_exactly_ninety_times_24_hours_with_its_border() -> None:
    assert len(interests(bid("coin", WINDOW))) == 1
    assert interests(bid("coin", WINDOW + TICK)) == []


def test_older_than_ninety_days_counts_a_tenth_where_the_window_is_longer() -> None:
    [coins] = interests(bid("coin", days(91)), rule=InterestRule(window=days(100)))

    assert coins.strength == 300_000


def test_items_without_a_category_draw_nobody_to_anything() -> None:
    assert interests(bid("coin"), of={"coin": None}) == []


def test_every_bid_counts_and_watches_of_one_item_are_one_the_earliest() -> None:
    [coins] = interests(
        bid("coin", days(1)),
        bid("coin", days(1)),
        watch("coin", days(5)),
        watch("coin", days(9)),
        watch("coin", days(9)),
        watch("coin", days(2)),
    )

    assert coins.interaction_count == 3
    assert coins.strength == 2 * 3_000_000 + 1_400_000
    assert coins.last_interaction_at == NOW - days(1)


def test_the_earliest_watch_says_when_it_last_happened() -> None:
    [coins] = interests(watch("coin", days(5)), watch("coin", days(9)))

    assert coins.last_interaction_at == NOW - days(9)


def test_watches_of_one_item_by_two_users_are_two() -> None:
    found = interests(watch("coin"), watch("coin", user=BEN))

    assert [(one.user_id, one.interaction_count) for one in found] == [(ANNA, 1), (BEN, 1)]


def test_a_bid_and_a_watch_of_one_item_are_two() -> None:
    [coins] = interests(watch("coin"), bid("coin"))

    assert coins.interaction_count == 2


def test_equal_scores_are_ordered_by_more_interactions() -> None:
    rule = InterestRule(bid_weight=2 * ONE, watch_weight=ONE)

    found = interests(
        bid("a1", days(1)),
        watch("b1", days(1)),
        watch("b2", days(1)),
        bid("c1", days(1)),
        rule=rule,
    )

    assert categories(found) == ["b", "a", "c"]
    assert {one.score for one in found} == {ONE}


def test_then_by_the_later_last_interaction_then_by_the_smaller_id() -> None:
    found = interests(bid("d", days(2)), bid("c", days(1)), bid("b", days(2)), bid("a", days(3)))

    assert categories(found) == ["c", "b", "d", "a"]


def test_scores_that_are_equal_after_rounding_are_equal() -> None:
    rule = InterestRule(bid_weight=1, watch_weight=1_000 * ONE)

    # Beside "a" the others are less than half a millionth: 0, though "c" is the stronger one.
    found = interests(
        watch("a1"), bid("b1"), bid("b2"), bid("c1", -days(1)), bid("c2"), bid("c3"), rule=rule
    )

    assert categories(found) == ["a", "c", "b"]
    assert [one.score for one in found] == [ONE, 0, 0]


def test_what_weighs_nothing_draws_nobody_but_is_known() -> None:
    found = interests(bid("a"), bid("b"), rule=InterestRule(bid_weight=0))

    assert categories(found) == ["a", "b"]
    assert {(one.score, one.strength) for one in found} == {(0, 0)}


def test_the_strength_of_one_interaction_is_rounded_once_halves_up() -> None:
    steps = DecaySteps(upper_days=(1,), weights=(500_000,))

    [coins] = interests(bid("coin"), bid("coin"), rule=InterestRule(bid_weight=1, decay=steps))

    assert coins.strength == 2


def test_strengths_too_heavy_for_64_bits_are_scored_exactly() -> None:
    count = 6_000
    rule = InterestRule(bid_weight=LARGEST_FACTOR * ONE, watch_weight=1)

    found = interests(
        *[bid("a", -days(1))] * count, *[bid("b")] * (count // 3), watch("c"), rule=rule
    )

    heaviest = count * LARGEST_FACTOR * ONE
    assert 2**63 < 2 * heaviest * ONE < 2**64  # a little more than fits 64 bits
    assert [one.strength for one in found] == [heaviest, count // 3 * LARGEST_FACTOR * ONE, 1]
    assert [one.score for one in found] == [ONE, 333_333, 0]


def test_nothing_that_happened_makes_no_interests() -> None:
    assert interests() == []


interest = UserInterest(
    user_id=ANNA,
    category_id=CategoryId("coins"),
    score=500_000,
    strength=2 * ONE,
    interaction_count=4,
    last_interaction_at=NOW,
)


@pytest.mark.parametrize(
    ("new", "has_changed"),
    [
        ({}, False),
        ({"score": 500_100}, False),
        ({"score": 499_900}, False),
        ({"score": 500_101}, True),
        ({"score": 499_899}, True),
        ({"strength": 2 * ONE + 100}, False),
        ({"strength": 2 * ONE + 101}, True),
        ({"strength": 2 * ONE - 101}, True),
        ({"interaction_count": 5}, True),
        ({"last_interaction_at": NOW + TICK}, True),
    ],
    ids=str,
)
def test_an_interest_is_written_when_more_than_a_ten_thousandth_moved(
    new: dict[str, Any], has_changed: bool
) -> None:
    assert interest_has_changed(interest, attrs.evolve(interest, **new)) is has_changed


@pytest.mark.parametrize(
    "wrong",
    [
        {"bid_weight": -1},
        {"bid_weight": LARGEST_FACTOR * ONE + 1},
        {"bid_weight": True},
        {"bid_weight": 3.0},
        {"watch_weight": -1},
        {"watch_weight": float("nan")},
        {"watch_weight": 10**5_000},
        {"window": timedelta(0)},
        {"window": -TICK},
        {"window": timedelta(days=36_500, microseconds=1)},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match="of interest is"):
        InterestRule(**wrong)


def test_columns_of_different_lengths_are_refused() -> None:
    empty = IdIndex.of(IdKind.TEXT)
    none = np.empty(0, np.int64)

    with pytest.raises(ValueError, match="columns of Interests differ in length"):
        Interests(
            users=empty,
            user=np.zeros(1, np.int32),
            categories=empty,
            category=np.empty(0, np.int32),
            scores=none,
            strengths=none,
            counts=none,
            last_at=none,
        )


def test_moments_come_back_in_utc() -> None:
    [coins] = interests(bid("coin"))

    assert coins.last_interaction_at == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert coins.last_interaction_at.tzinfo is UTC
