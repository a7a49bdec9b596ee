"""Popular items: of everything or of a category, stored as far as they are stored."""

from uuid import UUID

import attrs
import pytest

from angle_reco import Freshness, IdKind, IdKinds, Reason, Settings, Source
from angle_reco.rules import BidCounting, HalfLife, PopularityRule
from angle_reco.testing import Bid, Watch
from tests.application.shop import (
    DAY,
    HOUR,
    TICK,
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

JOB = "generate_popular_items"


def test_by_bids_then_watchers_then_later_listing_then_the_smaller_id() -> None:
    items = [
        *(lot("two-bids"), lot("watched"), lot("z"), lot("y"), lot("new", listed=1)),
        lot("unlisted", listed=None),
    ]
    happened: list[Bid | Watch] = [
        *(bid("u1", "two-bids"), bid("u1", "two-bids")),
        *(watch("u1", "watched"), watch("u2", "watched"), watch("u2", "z")),
    ]

    shelf = opened(filled(items, *happened)).anonymous.popular_items()

    assert ids_of(shelf) == ["two-bids", "watched", "z", "new", "y", "unlisted"]
    assert scores_of(shelf) == [200_000, 400_000, 200_000, 0, 0, 0]
    assert {(one.reason, one.source) for one in shelf} == {(Reason.POPULAR, Source.POPULAR)}
    assert dict(shelf[1].contributions) == {"popularity": 400_000}


def test_of_a_category() -> None:
    reco = opened(filled([*lots("art", 2), *lots("books", 2, "books"), lot("odd", None)]))

    for freshness in (Freshness.COMPUTED, Freshness.FRESH):
        shelf = reco.anonymous.popular_items(category="books")

        assert (ids_of(shelf), shelf.freshness) == (["books-01", "books-02"], freshness)
        assert {(one.reason, one.source) for one in shelf} == {
            (Reason.POPULAR_IN_CATEGORY, Source.CATEGORY)
        }
        reco.system.run_job(JOB)


def test_a_category_without_open_items_has_none() -> None:
    reco = opened(filled([*lots("art", 2), lot("old", "books", ends=-1)]))

    for _ in ("computed", "stored"):
        assert ids_of(reco.anonymous.popular_items(category="books")) == []
        assert ids_of(reco.anonymous.popular_items(category="no such")) == []
        reco.system.run_job(JOB)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (IdKind.TEXT, "a", "b"),
        (IdKind.TEXT, "7", "-7"),
        (IdKind.INT, 7, -7),
        (IdKind.UUID, UUID(int=7), UUID(int=7 << 120)),
    ],
)
def test_categories_have_ids_of_any_kind(kind: IdKind, one: object, other: object) -> None:
    ids = IdKinds(category=kind)
    market = filled([lot("mine", one), lot("theirs", other), lot("odd", None)], ids=ids)
    reco = opened(market, Settings(cache_enabled=False, ids=ids))

    for freshness in (Freshness.COMPUTED, Freshness.FRESH):
        shelves = [reco.anonymous.popular_items(category=id_) for id_ in (one, other)]  # type: ignore[arg-type]  # ids of some kind

        assert [ids_of(shelf) for shelf in shelves] == [["mine"], ["theirs"]]
        assert {shelf.freshness for shelf in shelves} == {freshness}
        assert shelves[0][0].card.category_id == one
        reco.system.run_job(JOB)


@pytest.mark.parametrize("category", [None, "art"])
def test_fifty_are_stored_and_more_are_computed(category: str | None) -> None:
    reco = opened(filled(lots("art", 70)))
    reco.system.run_job(JOB)

    stored, computed = (
        reco.anonymous.popular_items(limit, category=category) for limit in (50, 60)
    )

    assert (stored.freshness, len(stored)) == (Freshness.FRESH, 50)
    assert (computed.freshness, len(computed)) == (Freshness.COMPUTED, 60)
    assert list(stored) == list(computed[:50])


def test_where_all_are_stored_no_limit_computes() -> None:
    reco = opened(filled(lots("art", 30)))
    reco.system.run_job(JOB)

    shelf = reco.anonymous.popular_items(1_000)

    assert (shelf.freshness, len(shelf)) == (Freshness.FRESH, 30)


def test_a_page_fills_although_stored_ones_have_ended() -> None:
    reco = opened(
        filled([*(lot(f"brief-{place:02}", ends=1) for place in range(40)), *lots("long", 40)])
    )
    reco.system.run_job(JOB)
    clock_of(reco).advance(DAY)

    few, many = (reco.anonymous.popular_items(limit) for limit in (10, 20))

    assert (few.freshness, ids_of(few)) == (Freshness.FRESH, ids_of(many)[:10])
    assert (many.freshness, ids_of(many)) == (
        Freshness.COMPUTED,
        [f"long-{place:02}" for place in range(1, 21)],
    )


def test_it_gets_stale_and_then_too_old() -> None:
    reco = opened(filled(lots("art", 3)))
    reco.system.run_job(JOB)

    seen = []
    for hours in (24 * HOUR, TICK, 24 * HOUR):
        clock_of(reco).advance(hours)
        seen.append(reco.anonymous.popular_items().freshness)

    assert seen == [Freshness.FRESH, Freshness.STALE, Freshness.COMPUTED]


def test_more_than_a_thousand_are_looked_through_for_the_first_that_may_be_shown() -> None:
    mine = [lot(f"a-{place:04}", seller="ann") for place in range(1_200)]
    reco = opened(filled([*mine, *lots("b", 3)]))

    assert ids_of(reco.as_user("ann").popular_items()) == ["b-01", "b-02", "b-03"]


def test_own_listings_are_left_out_and_bids_are_not() -> None:
    items = [lot("own", seller="ann"), lot("other"), lot("bid-on"), lot("watched")]
    reco = opened(filled(items, bid("ann", "bid-on"), watch("ann", "watched"), users=["ann"]))

    assert ids_of(reco.as_user("ann").popular_items()) == ["bid-on", "watched", "other"]
    assert ids_of(reco.anonymous.popular_items()) == ["bid-on", "watched", "other", "own"]


def test_bidders_count_instead_of_bids_where_the_settings_say_so() -> None:
    happened = [*(bid("u1", "art-01") for _ in range(3)), bid("u1", "art-02"), bid("u2", "art-02")]
    rule = PopularityRule(counting=BidCounting.BIDDERS)

    shelf = opened(
        filled(lots("art", 2), *happened), Settings(cache_enabled=False, popularity=rule)
    ).anonymous.popular_items()

    assert [(str(one.item_id), one.score) for one in shelf] == [
        ("art-02", 200_000),
        ("art-01", 100_000),
    ]


def test_old_bids_fade_where_the_settings_say_so() -> None:
    happened = [*(bid("u1", "art-01", days=2) for _ in range(3)), bid("u2", "art-02", days=0)]
    rule = PopularityRule(half_life=HalfLife(span=DAY))

    shelf = opened(
        filled(lots("art", 2), *happened), Settings(cache_enabled=False, popularity=rule)
    ).anonymous.popular_items()

    assert [(str(one.item_id), one.score) for one in shelf] == [
        ("art-02", 100_000),
        ("art-01", 75_000),
    ]


def test_what_saturates_is_a_setting() -> None:
    rule = PopularityRule(watcher_weight=3, saturation=5)
    market = filled(lots("art", 2), watch("u1", "art-01"), bid("u1", "art-01"), bid("u1", "art-02"))

    shelf = opened(market, Settings(cache_enabled=False, popularity=rule)).anonymous.popular_items()

    assert scores_of(shelf) == [800_000, 200_000]


def test_a_category_that_lost_its_last_open_item_loses_its_list() -> None:
    market = filled([lot("art-01"), lot("book", "books")])
    reco = opened(market)
    reco.system.run_job(JOB)
    market.add_item(attrs.evolve(lot("book", "books"), is_published=False))
    reco.items_changed(["book"])

    outcome = reco.system.run_job(JOB)

    assert outcome.removed == 1
    assert ids_of(reco.anonymous.popular_items(category="books")) == []
