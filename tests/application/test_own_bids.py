"""A seller's bids on their own item count for nothing: neither in answers nor in what is stored."""

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings

from angle_reco import CategoryId, ItemId, Recommender, Settings, UserId
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.items import ItemCard
from angle_reco.domain.scoring.interest import InterestRule
from angle_reco.rules import BidCounting, HalfLife, PopularityRule
from angle_reco.testing import Item, MemoryMarketplace, plain
from tests.application.markets import marketplaces
from tests.application.shop import NOW, bid, clock_of, filled, ids_of, lot, lots, opened, watch

RULES = {
    "bids": PopularityRule(),
    "bidders": PopularityRule(counting=BidCounting.BIDDERS),
    "fading": PopularityRule(half_life=HalfLife(span=timedelta(days=7))),
    "fading bidders": PopularityRule(
        counting=BidCounting.BIDDERS, half_life=HalfLife(span=timedelta(days=7))
    ),
}


def pushed(*, own: int) -> MemoryMarketplace:
    """Return a shop in which a seller has bid so often on what they list."""
    return filled(
        [
            lot("pushed", "art", seller="eve", price=100),
            lot("wanted", "art", price=100),
            *lots("art", 3),
            *lots("book", 2, "books"),
        ],
        *(bid("eve", "pushed", days=place / 100) for place in range(own)),
        *(bid(user, "wanted") for user in ("ann", "bob")),
        bid("eve", "book-01"),
        bid("ann", "pushed"),
        watch("eve", "book-02"),
        users=["eve", "ann", "bob", "zoe"],
    )


def said(reco: Recommender) -> dict[str, Any]:
    """Return all that follows from bids."""
    answers: dict[str, Any] = {"popular": list(reco.anonymous.popular_items())}
    for user in ("eve", "ann", "bob", "zoe"):
        me = reco.as_user(user)
        answers[f"interests of {user}"] = me.interests()
        answers[f"homepage of {user}"] = list(me.homepage())
        answers[f"after a bid of {user}"] = list(me.after_bid("wanted"))
        answers[f"after a bid of {user} on pushed"] = list(me.after_bid("pushed"))
    for item in ("pushed", "wanted", "book-01"):
        answers[f"similar to {item}"] = list(reco.anonymous.similar_items(item))
    return answers


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("stored", [False, True])
def test_a_hundred_of_them_change_nothing(rule: PopularityRule, cached: bool, stored: bool) -> None:
    chosen = Settings(cache_enabled=cached, popularity=rule)
    with_own, without = (opened(pushed(own=own), chosen) for own in (100, 0))
    if stored:
        for reco in (with_own, without):
            for job in BATCH_JOBS:
                reco.system.run_job(job)

    assert said(with_own) == said(without)
    assert ids_of(with_own.anonymous.popular_items(1)) == ["wanted"]


def test_they_set_the_price_all_the_same() -> None:
    market = filled([lot("own", seller="eve", price=100)], bid("eve", "own", amount=500))

    [shown] = opened(market).anonymous.popular_items()

    assert (shown.card.price, shown.score) == (Decimal(500), 0)


@pytest.mark.parametrize("cached", [False, True])
def test_one_that_is_pending_counts_no_more(cached: bool) -> None:
    shop = pushed(own=0)
    reco = opened(shop, Settings(cache_enabled=cached))
    before = said(reco)

    # Before the marketplace has it, and when it has it.
    reco._use_cases.shelves.pending.bid(UserId("eve"), ItemId("pushed"), NOW)
    pending = said(reco)
    assert reco.bid_placed("eve", "pushed") is True

    assert said(reco) == pending == before


def test_one_that_is_only_assumed_counts_no_more() -> None:
    market = filled([lot("own", "books", seller="eve"), *lots("art", 2), *lots("book", 2, "books")])
    reco = opened(market)

    assumed = reco.as_user("eve").after_bid("own", assume_bid=True)

    assert list(assumed) == list(reco.as_user("eve").after_bid("own"))
    assert {one.score for one in assumed if one.source == "similar"} == {400_000}
    assert list(assumed) != list(reco.as_user("ann").after_bid("own", assume_bid=True))


def test_one_that_does_not_show_is_not_reported_as_unconfirmed() -> None:
    reco = opened(pushed(own=0), Settings())
    reco.anonymous.popular_items()
    reco.bid_placed("eve", "pushed")
    reco.bid_placed("ann", "art-01")

    clock_of(reco).advance(timedelta(seconds=61))
    reco.anonymous.popular_items()

    assert reco.system.stats().events_unconfirmed == 0


def test_they_count_once_somebody_else_sells_it() -> None:
    market = pushed(own=3)
    market.add_item(lot("pushed", "art", seller="zoe", price=100))

    assert ids_of(opened(market).anonymous.popular_items(1)) == ["pushed"]


def plainly(market: MemoryMarketplace, rule: PopularityRule) -> plain.PlainMarket:
    """Return a marketplace as the rules in plain form have it."""
    ports = opened(market).ports
    cards = ports.catalog.cards(list(market.items), at=NOW)
    happened: list[Bid | Watch] = [one for bids in market.bids.values() for one in bids]
    happened += market.watches.values()
    return plain.PlainMarket(items=list(cards.values()), happened=happened, now=NOW, rule=rule)


@settings(settings.get_profile("slow"))
@given(market=marketplaces())
def test_the_rules_in_plain_form_leave_them_out_as_the_fast_ones_do(
    market: MemoryMarketplace,
) -> None:
    # Each seller bids on half of what they list.
    own = [
        Bid(user_id=item.seller_id, item_id=item.item_id, placed_at=NOW - timedelta(days=1))
        for item in list(market.items.values())[::2]
        if item.seller_id in market.users and item.seller_id is not None
    ]
    for one in own:
        market.bids.setdefault(one.item_id, []).append(one)
    for rule in RULES.values():
        slow = plainly(market, rule)
        fast = opened(market, Settings(cache_enabled=False, popularity=rule))

        assert [(one.item_id, one.score) for one in fast.anonymous.popular_items(1_000)] == [
            (one.item_id, one.score) for one in plain.popular_items(slow, keep=1_000)
        ]
        for user in market.users:
            assert list(fast.as_user(user).interests()) == plain.interests_of(
                user, slow.counted, slow.categories, now=NOW, rule=InterestRule()
            )
        for card in slow.items[:5]:
            assert similar_to(fast, card) == [
                (one.item_id, one.score)
                for one in plain.similar_items(
                    slow, card, rule=fast.settings.similarity, keep=fast.settings.similarity.kept
                )
            ]


def similar_to(reco: Recommender, card: ItemCard) -> list[tuple[object, int]]:
    """Return what is similar to an item, and how much."""
    scorer = reco._use_cases.shelves.scorer
    stored = scorer.similar_to_one(scorer.market(), card).stored(0)
    return [(one.item_id, one.score) for one in stored.lines]


def items_of(seller: str, names: Iterable[str]) -> list[Item]:
    """Return items that one user lists."""
    return [
        Item(item_id=ItemId(one), category_id=CategoryId("art"), seller_id=UserId(seller))
        for one in names
    ]


def test_two_sellers_who_bid_on_their_own_make_nothing_similar() -> None:
    mine, theirs = items_of("eve", "ab"), items_of("ann", "c")
    own = [*(bid("eve", one) for one in "ab"), bid("ann", "c")]
    shared = [bid(user, item) for user in ("bob", "zoe") for item in "ab"]
    reco = opened(filled([*mine, *theirs], *own, *shared))

    scores = {str(one.item_id): one.score for one in reco.anonymous.similar_items("a")}

    # Two users share both; the seller is not counted.
    assert scores == {"b": 600_000, "c": 500_000}
