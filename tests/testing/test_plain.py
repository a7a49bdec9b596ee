"""The plain rules against the specification's own numbers; everything else is held to them."""

from datetime import timedelta
from decimal import Decimal

import pytest

from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.ids import CategoryId, ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.millionths import ONE
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.domain.scoring.ranking import CLASSIC
from angle_reco.domain.scoring.similarity import SimilarityRule
from angle_reco.domain.stored_list import StoredLine
from angle_reco.domain.suggestions import Reason, Source
from angle_reco.testing import plain
from angle_reco.testing.contracts.markets import NOW, lot

ANNA, BEN = UserId("anna"), UserId("ben")
TICK = timedelta(microseconds=1)
WEEK = timedelta(days=7)
SCHEDULED = AuctionStatus.SCHEDULED


def similar(
    items: list[ItemCard], shared: dict[str, int] | None = None, keep: int = 40
) -> list[StoredLine]:
    """Return what is similar to the first of *items*, with which others share some users."""
    original = items[0].item_id
    happened = [
        Bid(user_id=UserId(f"user {number}"), item_id=item, placed_at=NOW)
        for name, count in (shared or {}).items()
        for number in range(count)
        for item in (ItemId(name), original)
    ]
    market = plain.PlainMarket(items=items, happened=happened, now=NOW)
    return plain.similar_items(market, items[0], rule=SimilarityRule(), keep=keep)


def scores(lines: list[StoredLine]) -> list[tuple[object, int]]:
    return [(line.item_id, line.score) for line in lines]


def test_a_score_of_exactly_three_tenths_is_not_kept() -> None:
    original = lot("a", price=Decimal(1))

    found = similar([original, lot("b", price=Decimal(1)), lot("c", price=Decimal(1))], {"c": 1})

    assert scores(found) == [("c", 350_000)]


def test_two_unknown_categories_are_not_the_same() -> None:
    original = lot("a", price=Decimal(1))

    assert similar([original, lot("b", price=Decimal(1))]) == []


def test_an_ended_item_has_similar_ones_and_is_none_itself() -> None:
    ended = lot("a", category_id="coins", ends_at=NOW)

    assert scores(similar([ended, lot("b", category_id="coins")])) == [("b", 500_000)]
    assert similar([lot("b", category_id="coins"), ended]) == []


def test_an_item_is_never_similar_to_itself() -> None:
    assert similar([lot("a", category_id="coins", price=Decimal(1))]) == []


def test_five_shared_users_come_before_four_at_the_same_score() -> None:
    items = [lot(name, category_id="coins") for name in "abc"]

    found = similar(items, {"b": 4, "c": 5})

    assert scores(found) == [("c", 700_000), ("b", 700_000)]


def test_the_largest_similarity_is_one() -> None:
    items = [lot(name, category_id="coins", price=Decimal(1)) for name in "ab"]

    [line] = similar(items, {"b": 4})

    assert (line.parts, line.score) == ((500_000, 300_000, 200_000), ONE)


def test_ties_go_by_shared_users_demand_listing_and_id() -> None:
    early, late = NOW - timedelta(days=2), NOW - timedelta(days=1)
    items = [
        lot("original", category_id="coins"),
        lot("f", category_id="coins"),
        lot("e", category_id="coins"),
        lot("d", category_id="coins", listed_at=early),
        lot("c", category_id="coins", listed_at=late),
        lot("b", category_id="coins"),
        lot("a", category_id="coins"),
    ]

    # Six users bid on "a" and one watches "b": only those of the original are shared.
    market = plain.PlainMarket(
        items=items,
        happened=[
            *(Bid(user_id=UserId(user), item_id=ItemId("a"), placed_at=NOW) for user in range(6)),
            Watch(user_id=ANNA, item_id=ItemId("b"), watched_at=NOW),
        ],
        now=NOW,
    )
    found = plain.similar_items(market, items[0], rule=SimilarityRule(), keep=40)

    assert [line.item_id for line in found] == list("abcdef")  # type: ignore[comparison-overlap]  # these ids are texts


def interest(category: str, score: int = ONE) -> UserInterest:
    return UserInterest(
        user_id=ANNA,
        category_id=CategoryId(category),
        score=score,
        strength=score,
        interaction_count=1,
        last_interaction_at=NOW,
    )


def watches(item: str, count: int) -> list[Bid | Watch]:
    return [
        Watch(user_id=UserId(number), item_id=ItemId(item), watched_at=NOW)
        for number in range(count)
    ]


def page(
    items: list[ItemCard],
    *interests: UserInterest,
    happened: list[Bid | Watch] | None = None,
    keep: int = 20,
) -> list[StoredLine]:
    """Return Anna's page."""
    market = plain.PlainMarket(items=items, happened=happened or [], now=NOW)
    return plain.homepage(market, ANNA, interests, ranker=CLASSIC, keep=keep)


def names(lines: list[StoredLine], source: Source | None = None) -> str:
    return "".join(str(line.item_id) for line in lines if source in {None, line.source})


def test_the_largest_score_of_a_homepage() -> None:
    item = lot("a", category_id="coins", ends_at=NOW + WEEK)

    [line] = page([item], interest("coins"), happened=watches("a", 5))

    assert line.score == 840_000
    assert line.parts == (600_000, 200_000, 40_000)


@pytest.mark.parametrize(
    ("ends", "status", "recency"),
    [
        (None, AuctionStatus.ACTIVE, 100_000),
        (None, SCHEDULED, 0),
        (WEEK, AuctionStatus.ACTIVE, 200_000),
        (WEEK, SCHEDULED, 100_000),
        (WEEK + TICK, AuctionStatus.ACTIVE, 100_000),
        (WEEK + TICK, SCHEDULED, 0),
        (timedelta(days=1), AuctionStatus.ACTIVE, 200_000),
        (TICK, AuctionStatus.ACTIVE, 200_000),
    ],
)
def test_recency_is_a_tenth_for_ending_within_seven_days_and_one_for_active(
    ends: timedelta | None, status: AuctionStatus, recency: int
) -> None:
    item = lot("a", status=status, ends_at=None if ends is None else NOW + ends)

    [line] = page([item])

    assert plain.recency_of(item, NOW) == recency
    assert line.parts == (0, 0, recency // 5)


@pytest.mark.parametrize(
    ("score", "watchers", "item", "reason"),
    [
        (700_001, 6, lot("a"), Reason.POPULAR_IN_FAVOURITE),
        (700_001, 5, lot("a"), Reason.FAVOURITE_CATEGORY),
        (700_001, 11, lot("a"), Reason.POPULAR_IN_FAVOURITE),
        (700_000, 11, lot("a"), Reason.TRENDING),
        (700_000, 10, lot("a", ends_at=NOW + WEEK), Reason.ENDING_SOON),
        (700_000, 11, lot("a", ends_at=NOW + WEEK), Reason.TRENDING),
        (700_000, 10, lot("a", ends_at=NOW + WEEK + TICK), Reason.ACTIVE_AUCTION),
        (700_000, 10, lot("a"), Reason.ACTIVE_AUCTION),
        (700_000, 10, lot("a", ends_at=NOW + WEEK, status=SCHEDULED), Reason.FOR_YOU),
        (0, 0, lot("a", status=SCHEDULED), Reason.FOR_YOU),
    ],
)
def test_the_reason_is_the_first_that_holds(
    score: int, watchers: int, item: ItemCard, reason: Reason
) -> None:
    market = plain.PlainMarket(items=[item], happened=watches("a", watchers), now=NOW)

    assert plain.homepage_reason(market, item, score) is reason


def test_at_most_three_of_a_category_while_others_remain() -> None:
    coins = [lot(name, category_id="coins") for name in "abcde"]
    stamps = [lot(name, category_id="stamps") for name in "vwxyz"]

    lines = page([*coins, *stamps], interest("coins"), interest("stamps", 500_000))

    # First three of each, then the rest in the order of scores.
    assert names(lines) == "abcvwxdeyz"
    assert {line.source for line in lines} == {Source.PERSONAL}


def test_the_fill_follows_and_is_not_sorted_in() -> None:
    coins = [lot(name, category_id="coins") for name in "abcd"]
    stamps = [lot(name, category_id="stamps") for name in "vw"]

    lines = page([*coins, *stamps], interest("coins"), interest("stamps", 500_000))

    assert [(names([line]), line.score) for line in lines] == [
        *(("a", 620_000), ("b", 620_000), ("c", 620_000)),
        *(("v", 320_000), ("w", 320_000)),
        ("d", 620_000),
    ]


def test_candidates_come_from_the_five_strongest_categories_open_items_or_not() -> None:
    interests = [interest(name, ONE - place) for place, name in enumerate("12345", 1)]
    items = [lot(name, category_id=name) for name in "2345"]

    lines = page([*items, lot("6", category_id="6")], *interests, interest("6", 100))

    assert names(lines, Source.PERSONAL) == "2345"
    assert names(lines, Source.POPULAR) == "6"
    assert lines[-1].parts == (60, 0, 20_000)


def test_popular_items_fill_the_page_in_their_own_order() -> None:
    items = [lot("a"), lot("b"), lot("c", category_id="coins")]

    lines = page(items, interest("coins"), happened=watches("b", 11), keep=20)

    assert names(lines) == "cba"
    assert [line.source for line in lines] == [Source.PERSONAL, Source.POPULAR, Source.POPULAR]
    assert [line.reason for line in lines] == [
        Reason.FAVOURITE_CATEGORY,
        Reason.TRENDING,
        Reason.ACTIVE_AUCTION,
    ]
    assert [line.score for line in lines] == [620_000, 220_000, 20_000]


def test_what_is_listed_bid_on_or_watched_is_left_out_everywhere() -> None:
    items = [
        *(lot(name, category_id="coins") for name in "abcd"),
        *(lot(name) for name in "wxyz"),
        *(lot(name, seller_id=ANNA) for name in "op"),
        lot("q", seller_id=ANNA, category_id="coins"),
    ]
    happened: list[Bid | Watch] = [
        Bid(user_id=ANNA, item_id=ItemId("a"), placed_at=NOW - timedelta(days=1_000)),
        Watch(user_id=ANNA, item_id=ItemId("b"), watched_at=NOW),
        Bid(user_id=BEN, item_id=ItemId("c"), placed_at=NOW),
        Bid(user_id=ANNA, item_id=ItemId("w"), placed_at=NOW),
        Watch(user_id=ANNA, item_id=ItemId("x"), watched_at=NOW),
        Watch(user_id=BEN, item_id=ItemId("y"), watched_at=NOW),
    ]

    lines = page(items, interest("coins"), happened=happened)

    assert names(lines, Source.PERSONAL) == "cd"
    assert names(lines, Source.POPULAR) == "yz"


def test_nobody_without_interests_gets_popular_items_only() -> None:
    lines = page([lot("a"), lot("b")], keep=1)

    assert names(lines, Source.POPULAR) == "a"
    assert len(lines) == 1


def test_ties_on_a_page_go_by_bids_and_watchers_together() -> None:
    bids: list[Bid | Watch] = [
        Bid(user_id=BEN, item_id=ItemId("a"), placed_at=NOW) for _ in range(12)
    ]

    items = [lot("a", category_id="coins"), lot("b", category_id="coins")]
    lines = page(items, interest("coins"), happened=[*bids, *watches("b", 13)])

    assert names(lines) == "ba"
    assert lines[0].score == lines[1].score


def test_a_seller_s_bids_on_their_own_item_count_for_nothing() -> None:
    own = [Bid(user_id=ANNA, item_id=ItemId("a"), placed_at=NOW)] * 5
    counted: list[Bid | Watch] = [
        Bid(user_id=BEN, item_id=ItemId("a"), placed_at=NOW),
        Bid(user_id=ANNA, item_id=ItemId("b"), placed_at=NOW),
        Bid(user_id=ANNA, item_id=ItemId("gone"), placed_at=NOW),
        Watch(user_id=ANNA, item_id=ItemId("a"), watched_at=NOW),
    ]
    market = plain.PlainMarket(
        items=[lot("a", seller_id=ANNA), lot("b")], happened=[*own, *counted], now=NOW
    )

    assert market.counted == counted
    a, b, gone = map(ItemId, ("a", "b", "gone"))
    assert market.demand == {a: (ONE, ONE), b: (ONE, 0)}
    assert market.engaged(500) == {a: {ANNA, BEN}, b: {ANNA}, gone: {ANNA}}


def test_of_each_user_the_newest_bids_and_watches_on_open_items_count() -> None:
    a, b, c, over = map(ItemId, ("a", "b", "c", "over"))
    day = timedelta(days=1)
    at = {b: NOW - day, a: NOW - 2 * day, c: NOW - 2 * day, over: NOW}
    happened = [Bid(user_id=ANNA, item_id=item, placed_at=moment) for item, moment in at.items()]
    market = plain.PlainMarket(
        items=[lot("a"), lot("b"), lot("c"), lot("over", status=AuctionStatus.ENDED)],
        happened=happened,
        now=NOW,
    )

    assert market.engaged(1) == {a: set(), b: {ANNA}, c: set(), over: {ANNA}}
    assert market.engaged(2) == {a: {ANNA}, b: {ANNA}, c: set(), over: {ANNA}}
    assert market.engaged(3) == {a: {ANNA}, b: {ANNA}, c: {ANNA}, over: {ANNA}}
