"""Interests: the stored ones where they are usable, else computed."""

from datetime import timedelta

import pytest

from angle_reco import Freshness, Recommender, Settings, UserInterest
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import memory_ports
from angle_reco.domain.freshness import SKEW
from angle_reco.rules import InterestRule
from tests.application.shop import (
    DAY,
    HOUR,
    NOW,
    TICK,
    again,
    bid,
    clock_of,
    filled,
    lot,
    opened,
    watch,
)

JOB = "refresh_user_interests"


@pytest.fixture
def reco() -> Recommender:
    """Return a shop where ann bid and watched in three categories."""
    items = [lot("vase"), lot("book", "books"), lot("novel", "books"), lot("coin", "coins")]
    return opened(
        filled(
            [*items, lot("odd", None)],
            *(bid("ann", "vase", days=1), bid("ann", "vase", days=10)),
            *(watch("ann", "book", days=2), watch("ann", "novel", days=3)),
            *(watch("ann", "coin", days=60), bid("ann", "odd"), watch("bob", "coin")),
        )
    )


def facts(interests: tuple[UserInterest, ...]) -> list[tuple[object, int, int, int]]:
    """Return what was found, without when."""
    return [(str(o.category_id), o.score, o.strength, o.interaction_count) for o in interests]


def test_the_strongest_comes_first_and_the_favourite_is_one(reco: Recommender) -> None:
    found = reco.as_user("ann").interests()

    assert facts(found) == [
        ("art", 1_000_000, 5_100_000, 2),
        ("books", 784_314, 4_000_000, 2),
        ("coins", 156_863, 800_000, 1),
    ]
    assert [one.last_interaction_at for one in found] == [NOW - days * DAY for days in (1, 2, 60)]
    assert {str(one.user_id) for one in found} == {"ann"}


def test_stored_ones_are_the_computed_ones(reco: Recommender) -> None:
    computed = reco.as_user("ann").interests()
    reco.system.run_job(JOB)

    assert reco.as_user("ann").interests() == computed


def test_stored_ones_are_shown_until_they_are_too_old(reco: Recommender) -> None:
    reco.system.run_job(JOB)
    reco.bid_placed("ann", "coin")

    seen = []
    for hours in (24 * HOUR, 24 * HOUR, TICK):
        clock_of(reco).advance(hours)
        seen.append(len(reco.as_user("ann").interests()) == 3 and coins(reco) == 1)

    assert seen == [True, True, False]


def coins(reco: Recommender) -> int:
    """Return how many interactions with coins are counted."""
    return {o.category_id: o.interaction_count for o in reco.as_user("ann").interests()}["coins"]  # type: ignore[index]  # ids are texts here


def test_stored_ones_from_the_future_are_used_unless_they_are_from_far_ahead(
    reco: Recommender,
) -> None:
    reco.system.run_job(JOB)
    reco.bid_placed("ann", "coin")
    seen = []

    for ahead in (SKEW, DAY, DAY + TICK):
        clock_of(reco).set(NOW - ahead)
        seen.append(coins(reco))

    assert seen == [1, 1, 2]


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_limit_keeps_the_strongest(reco: Recommender, is_stored: bool) -> None:
    everything = reco.as_user("ann").interests()
    if is_stored:
        reco.system.run_job(JOB)

    for limit in (1, 2, 3, 4):
        assert reco.as_user("ann").interests(limit) == everything[:limit]


def test_an_unknown_user_has_none(reco: Recommender) -> None:
    assert reco.as_user("nobody").interests() == ()
    assert reco.system.interests(of="nobody") == ()


def test_equal_ones_go_to_more_interactions_then_the_later_last_then_the_smaller_id() -> None:
    items = [lot(name, name) for name in ("b", "a", "later", "often")]
    happened = [bid("ann", "b", days=3), bid("ann", "a", days=3), bid("ann", "later", days=2)]
    often = watch("ann", "often", days=6)
    rule = InterestRule(bid_weight=2_000_000)
    reco = opened(filled(items, *happened, often), Settings(cache_enabled=False, interest=rule))
    assert [str(o.category_id) for o in reco.as_user("ann").interests()] == [
        "later",
        "a",
        "b",
        "often",
    ]

    rule = InterestRule(bid_weight=1_000_000)
    others = opened(
        filled(items, *happened, often, bid("ann", "a", days=4)),
        Settings(cache_enabled=False, interest=rule),
    )

    assert [(str(o.category_id), o.score) for o in others.as_user("ann").interests()] == [
        ("a", 1_000_000),
        ("often", 1_000_000),
        ("later", 500_000),
        ("b", 500_000),
    ]


@pytest.mark.parametrize(("age", "counts"), [(90 * DAY, True), (90 * DAY + TICK, False)])
def test_the_window_includes_its_border(age: timedelta, counts: bool) -> None:
    market = filled([lot("vase")], bid("ann", "vase", days=0))
    reco = opened(market)
    clock_of(reco).advance(age)

    assert bool(reco.as_user("ann").interests()) is counts


def test_a_category_without_recent_activity_disappears_with_the_next_refresh(
    reco: Recommender,
) -> None:
    reco.system.run_job(JOB)
    clock_of(reco).advance(35 * DAY)
    reco.signed_in("ann")  # who has not signed in for a month is not refreshed

    reco.system.run_job(JOB)

    assert [str(o.category_id) for o in reco.as_user("ann").interests()] == ["art", "books"]


def test_a_moment_in_the_future_counts_as_now() -> None:
    reco = opened(filled([lot("vase")], bid("ann", "vase", days=-5)))

    assert facts(reco.as_user("ann").interests()) == [("art", 1_000_000, 3_000_000, 1)]


def test_weights_are_settings(reco: Recommender) -> None:
    rule = InterestRule(bid_weight=1_000_000, watch_weight=4_000_000, window=5 * DAY)

    found = (
        again(reco.ports, Settings(cache_enabled=False, interest=rule)).as_user("ann").interests()
    )

    assert facts(found) == [("books", 1_000_000, 8_000_000, 2), ("art", 125_000, 1_000_000, 1)]


def test_interests_that_another_rule_made_are_not_used(reco: Recommender) -> None:
    reco.system.run_job(JOB)
    lighter = Settings(cache_enabled=False, interest=InterestRule(bid_weight=1_000_000))

    changed = again(reco.ports, lighter)

    assert changed.as_user("ann").interests() == nothing_stored(changed).as_user("ann").interests()
    assert changed.as_user("ann").interests() != reco.as_user("ann").interests()
    assert changed.system.run_job(JOB).changed == 4
    assert changed.system.run_job(JOB).changed == 0


def test_results_of_the_past_do_not_pass_for_live_ones(reco: Recommender) -> None:
    then = NOW - 12 * HOUR
    past = Recommender(reco.ports, as_of=then)
    for job in BATCH_JOBS:
        past.system.run_job(job)

    assert past.anonymous.popular_items().freshness is Freshness.FRESH
    assert reco.anonymous.popular_items().freshness is Freshness.COMPUTED
    assert reco.as_user("ann").interests() == nothing_stored(reco).as_user("ann").interests()


def nothing_stored(reco: Recommender) -> Recommender:
    """Return a recommender on the same marketplace that has to compute everything."""
    nothing = memory_ports()
    return again(reco.ports, reco.settings, interests=nothing.interests, lists=nothing.lists)
