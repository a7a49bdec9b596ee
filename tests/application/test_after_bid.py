"""After a bid: similar items by what the user likes, then popular ones."""

import pytest

from angle_reco import Freshness, ItemNotFoundError, Reason, Recommender, Settings, Source
from angle_reco.domain.scoring.after_bid import AfterBidRule
from angle_reco.rules import SimilarityRule
from angle_reco.testing import MemoryMarketplace
from tests.application.shop import (
    HOUR,
    NOW,
    bid,
    clock_of,
    filled,
    ids_of,
    lot,
    lots,
    opened,
    scores_of,
    watch,
)


@pytest.fixture
def market() -> MemoryMarketplace:
    """Return a vase, what is similar to it, and ann who likes books and also art."""
    return filled(
        [
            lot("vase", "art", price=100),
            lot("art-near", "art", price=100),
            lot("art-far", "art", price=900),
            lot("book-near", "books", price=100),
            *(lot("read", "books", price=9_999), lot("seen", "art", price=9_999)),
            lot("coin", "coins", price=9_999),
        ],
        bid("ann", "read"),
        bid("bob", "vase"),
        *(bid("bob", "book-near"), watch("bob", "art-near")),
    )


@pytest.fixture
def reco(market: MemoryMarketplace) -> Recommender:
    """Return the recommender of that market."""
    return opened(market)


def test_similar_items_are_reordered_by_interest(reco: Recommender) -> None:
    reco.bid_placed("ann", "vase", at=NOW)

    shelf = reco.as_user("ann").after_bid("vase", 3)

    # Interests are now the same in books and in art, 1.0 each.
    assert [(str(one.item_id), one.score, dict(one.contributions)) for one in shelf] == [
        ("art-near", 850_000, {"similarity": 425_000, "interest": 425_000}),
        ("art-far", 500_000, {"similarity": 250_000, "interest": 250_000}),
        ("seen", 500_000, {"similarity": 250_000, "interest": 250_000}),
    ]
    assert [one.reason for one in shelf] == [Reason.SAME_CATEGORY] * 3
    assert {one.source for one in shelf} == {Source.SIMILAR}


def test_an_interest_lifts_what_is_less_similar() -> None:
    items = [
        lot("vase", "art", price=100),
        *(lot("art-far", "art", price=900), lot("book", "books", price=100), lot("read", "books")),
    ]
    market = filled(items, *(bid("ann", "read") for _ in range(9)), bid("bob", "vase"))
    for item_id in ("vase", "book"):
        for user in ("u1", "u2", "u3", "u4"):
            market.bids.setdefault(bid(user, item_id).item_id, []).append(bid(user, item_id))
    reco = opened(market)

    shelf = reco.as_user("ann").after_bid("vase", 2)

    # Similarities are 0.5 and 0.5; of the interests, that in books is 1.0 and that in art 0.
    assert [(str(one.item_id), one.score, one.reason) for one in shelf] == [
        ("book", 500_000, Reason.PRICE_RANGE),
        ("art-far", 250_000, Reason.SAME_CATEGORY),
    ]


def test_an_assumed_bid_counts_and_is_not_stored(reco: Recommender) -> None:
    before = reco.as_user("ann").after_bid("vase", 2)
    assumed = reco.as_user("ann").after_bid("vase", 2, assume_bid=True)

    assert scores_of(before) == [425_000, 350_000]  # a book that is as near comes second
    assert scores_of(assumed) == [850_000, 500_000]
    assert list(reco.as_user("ann").after_bid("vase", 2)) == list(before)
    assert [str(one.category_id) for one in reco.as_user("ann").interests()] == ["books"]


def test_the_bids_there_are_count_at_once_though_interests_are_stored(reco: Recommender) -> None:
    reco.system.run_job("refresh_user_interests")
    reco.bid_placed("ann", "vase", at=NOW)

    assert scores_of(reco.as_user("ann").after_bid("vase", 1)) == [850_000]
    assert [str(one.category_id) for one in reco.as_user("ann").interests()] == ["books"]


def test_what_was_bid_on_watched_or_listed_by_the_user_is_left_out(
    market: MemoryMarketplace, reco: Recommender
) -> None:
    reco.watched("ann", "art-far")
    market.add_item(lot("art-near", "art", price=100, seller="ann"))

    shelf = reco.as_user("ann").after_bid("vase")

    assert ids_of(shelf) == ["seen", "book-near", "coin"]


def test_it_is_topped_up_from_the_category_and_then_from_popular_items() -> None:
    rich = [lot(f"far-{place}", "art", price=9_000 + place) for place in range(3)]
    items = [lot("vase", "art", price=1), *rich, lot("coin", "coins"), lot("stamp", "stamps")]
    market = filled(items, bid("ann", "vase"), *(bid("bob", "stamp") for _ in range(3)))
    strict = Settings(cache_enabled=False, similarity=SimilarityRule(threshold=800_000))

    shelf = opened(market, strict).as_user("ann").after_bid("vase")

    assert [(str(one.item_id), one.source, one.reason) for one in shelf] == [
        ("far-0", Source.CATEGORY, Reason.POPULAR_IN_CATEGORY),
        ("far-1", Source.CATEGORY, Reason.POPULAR_IN_CATEGORY),
        ("far-2", Source.CATEGORY, Reason.POPULAR_IN_CATEGORY),
        ("stamp", Source.POPULAR, Reason.POPULAR),
        ("coin", Source.POPULAR, Reason.POPULAR),
    ]
    assert [dict(one.contributions) for one in shelf][3:] == [
        {"popularity": 300_000},
        {"popularity": 0},
    ]


@pytest.mark.parametrize("is_stored", [False, True])
def test_a_limit_cuts_wherever_it_falls(reco: Recommender, is_stored: bool) -> None:
    if is_stored:
        for job in ("compute_item_similarities", "generate_popular_items"):
            reco.system.run_job(job)
    everything = reco.as_user("ann").after_bid("vase", 1_000)

    assert ids_of(everything) == ["art-near", "book-near", "art-far", "seen", "coin"]
    assert everything.freshness is (Freshness.FRESH if is_stored else Freshness.COMPUTED)
    for limit in range(1, 6):
        assert list(reco.as_user("ann").after_bid("vase", limit)) == list(everything[:limit])


def test_the_item_itself_is_never_shown_even_when_it_was_not_bid_on(reco: Recommender) -> None:
    for item_id in ("vase", "coin", "book-near"):
        assert item_id not in ids_of(reco.as_user("nobody").after_bid(item_id, 1_000))


def test_an_item_without_a_category_is_topped_up_from_popular_items() -> None:
    reco = opened(filled([lot("odd", None, price=None), *lots("art", 2)], bid("ann", "odd")))

    shelf = reco.as_user("ann").after_bid("odd")

    assert [(str(one.item_id), one.source) for one in shelf] == [
        ("art-01", Source.POPULAR),
        ("art-02", Source.POPULAR),
    ]


def test_equal_ones_keep_the_order_of_similarity() -> None:
    rule = AfterBidRule(similarity=0, interest=1_000_000)
    reco = opened(
        filled([lot("vase", price=100), lot("far", price=900), lot("near", price=100)]),
        Settings(cache_enabled=False, after_bid=rule),
    )

    shelf = reco.as_user("stranger").after_bid("vase")

    assert scores_of(shelf) == [0, 0]
    assert ids_of(shelf) == ["near", "far"]


def test_an_unknown_item_is_an_error(reco: Recommender) -> None:
    with pytest.raises(ItemNotFoundError, match="'ghost'"):
        reco.as_user("ann").after_bid("ghost")


def test_a_lot_that_has_ended_still_has_a_page() -> None:
    reco = opened(filled([lot("vase", ends=1), *lots("art", 2)], bid("ann", "vase")))
    reco.system.run_job("compute_item_similarities")
    clock_of(reco).advance(25 * HOUR)

    assert ids_of(reco.as_user("ann").after_bid("vase")) == ["art-01", "art-02"]


def test_the_system_asks_for_a_user(reco: Recommender) -> None:
    mine = reco.as_user("ann").after_bid("vase", 4, assume_bid=True)

    assert list(reco.system.after_bid("vase", 4, of="ann", assume_bid=True)) == list(mine)
