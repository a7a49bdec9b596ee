"""Similar items: stored, else computed, else the category's popular items, else popular ones."""

from datetime import timedelta

import attrs
import pytest

from angle_reco import Freshness, ItemNotFoundError, Reason, Recommender, Settings, Source
from angle_reco.rules import SimilarityRule
from angle_reco.testing import AuctionStatus, Item
from tests.application.shop import (
    DAY,
    HOUR,
    TICK,
    again,
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

JOB = "compute_item_similarities"


def test_category_price_and_shared_users_make_the_score() -> None:
    reco = opened(
        filled(
            [
                lot("vase", "art", price=100),
                lot("both", "art", price=200),
                lot("category", "art", price=201),
                lot("category-shared", "art", price=None),
                lot("price", "books", price=50),
                lot("price-shared", "books", price=50),
                lot("neither", "books", price=49),
            ],
            *(bid(user, "vase") for user in ("u1", "u2", "u3", "u4", "u5")),
            *(watch(user, "category-shared") for user in ("u1", "u2", "u3", "u4", "u5")),
            *(bid("u1", "price-shared"), bid("u1", "price-shared")),
        )
    )

    shelf = reco.anonymous.similar_items("vase")

    assert [(str(one.item_id), tuple(one.contributions.values()), one.reason) for one in shelf] == [
        ("both", (500_000, 300_000, 0), Reason.SAME_CATEGORY),
        ("category-shared", (500_000, 0, 200_000), Reason.SAME_CATEGORY),
        ("category", (500_000, 0, 0), Reason.SAME_CATEGORY),
        ("price-shared", (0, 300_000, 50_000), Reason.PRICE_RANGE),
    ]
    assert {one.source for one in shelf} == {Source.SIMILAR}


def test_the_price_is_the_highest_bid() -> None:
    items = [lot("vase", None, price=100), lot("cheap", None, price=10), lot("dear", None, price=9)]
    reco = opened(
        filled(
            items,
            bid("u1", "dear", amount=90),
            bid("u2", "dear", days=0.5, amount=80),
            bid("u1", "vase"),
        ),
        Settings(cache_enabled=False, similarity=SimilarityRule(threshold=0)),
    )

    assert [one.contributions["price_range"] for one in reco.anonymous.similar_items("vase")] == [
        300_000
    ]
    assert ids_of(reco.anonymous.similar_items("vase")) == ["dear"]


def test_an_unknown_item_is_an_error_that_names_it() -> None:
    with pytest.raises(ItemNotFoundError, match="no item with id 'ghost'") as caught:
        opened(filled(lots("art", 3))).anonymous.similar_items("ghost")

    assert caught.value.item_id == "ghost"


def test_an_item_that_is_gone_is_unknown_although_its_list_is_stored() -> None:
    market = filled(lots("art", 3))
    reco = opened(market)
    reco.system.run_job(JOB)
    del market.items[market.items["art-01"].item_id]  # type: ignore[index]  # the tests' ids are texts

    with pytest.raises(ItemNotFoundError):
        reco.anonymous.similar_items("art-01")
    assert ids_of(reco.anonymous.similar_items("art-02")) == ["art-03"]


@pytest.mark.parametrize(
    "gone",
    [
        lot("gone", ends=-1),
        lot("gone", is_published=False),
        lot("gone", status=AuctionStatus.SOLD),
        lot("gone", status=AuctionStatus.PENDING),
    ],
)
def test_the_page_of_an_item_that_is_not_open_is_computed(gone: Item) -> None:
    reco = opened(filled([gone, *lots("art", 2)]))
    reco.system.run_job(JOB)

    shelf = reco.anonymous.similar_items("gone")

    assert (shelf.freshness, ids_of(shelf)) == (Freshness.COMPUTED, ["art-01", "art-02"])
    assert ids_of(reco.anonymous.similar_items("art-01")) == ["art-02"]


def test_a_stored_list_is_shown_as_it_was_computed() -> None:
    reco = opened(filled(lots("art", 30), bid("u1", "art-01"), bid("u1", "art-07")))
    computed = reco.anonymous.similar_items("art-01")
    reco.system.run_job(JOB)

    stored = reco.anonymous.similar_items("art-01")

    assert (computed.freshness, stored.freshness) == (Freshness.COMPUTED, Freshness.FRESH)
    assert list(stored) == list(computed)
    assert ids_of(stored)[:2] == ["art-07", "art-02"]


@pytest.mark.parametrize(
    ("age", "freshness"),
    [
        (30 * HOUR, Freshness.FRESH),
        (30 * HOUR + TICK, Freshness.STALE),
        (54 * HOUR, Freshness.STALE),
        (54 * HOUR + TICK, Freshness.COMPUTED),
    ],
)
def test_lists_made_daily_are_fresh_for_thirty_hours(age: timedelta, freshness: Freshness) -> None:
    reco = opened(filled(lots("art", 3)))
    reco.system.run_job(JOB)
    clock_of(reco).advance(age)

    assert reco.anonymous.similar_items("art-01").freshness is freshness


def test_a_list_by_another_rule_is_passed_over() -> None:
    reco = opened(filled(lots("art", 3)))
    reco.system.run_job(JOB)
    rule = SimilarityRule(category=400_000)

    shelf = again(
        reco.ports, Settings(cache_enabled=False, similarity=rule)
    ).anonymous.similar_items("art-01")

    assert (shelf.freshness, scores_of(shelf)) == (Freshness.COMPUTED, [700_000, 700_000])


def test_twenty_is_the_most_a_call_shows() -> None:
    reco = opened(filled(lots("art", 50)))

    for _ in ("computed", "stored"):
        assert len(reco.anonymous.similar_items("art-01", 10**9)) == 20
        assert len(reco.anonymous.similar_items("art-01")) == 8
        reco.system.run_job(JOB)


def test_forty_are_kept_so_the_shelf_still_fills() -> None:
    market = filled(lots("art", 50))
    reco = opened(market)
    reco.system.run_job(JOB)
    for item in list(market.items.values())[1:21]:
        market.add_item(attrs.evolve(item, is_published=False))

    shelf = reco.anonymous.similar_items("art-01", 20)

    assert shelf.freshness is Freshness.FRESH
    assert ids_of(shelf) == [f"art-{place}" for place in range(22, 42)]


class TestWhenNothingIsSimilar:
    def test_popular_items_of_the_category_are_shown(self) -> None:
        rule = SimilarityRule(category=200_000, price=200_000)
        items = [lot("odd", price=9_999), *lots("art", 3), *lots("books", 3, "books")]
        reco = opened(
            filled(items, bid("u1", "art-02"), bid("u1", "books-01")),
            Settings(cache_enabled=False, similarity=rule),
        )

        shelf = reco.anonymous.similar_items("odd", 2)

        assert [(str(one.item_id), one.source, one.reason) for one in shelf] == [
            ("art-02", Source.CATEGORY, Reason.POPULAR_IN_CATEGORY),
            ("art-01", Source.CATEGORY, Reason.POPULAR_IN_CATEGORY),
        ]
        assert dict(shelf[0].contributions) == {"popularity": 100_000}

    @pytest.mark.parametrize("category", ["stamps", None])
    def test_popular_items_are_shown_where_the_category_has_none(
        self, category: str | None
    ) -> None:
        odd = lot("odd", category, price=9_999)
        reco = opened(filled([odd, *lots("books", 30, "books")], bid("u1", "odd")))

        for _ in ("computed", "stored"):
            shelf = reco.anonymous.similar_items("odd", 25)

            assert ids_of(shelf) == [f"books-{place:02}" for place in range(1, 21)]
            assert {one.source for one in shelf} == {Source.POPULAR}
            assert {one.reason for one in shelf} == {Reason.POPULAR}
            for job in (JOB, "generate_popular_items"):
                reco.system.run_job(job)

    def test_the_item_itself_is_never_shown(self) -> None:
        reco = opened(filled([lot("alone")]))

        for _ in ("computed", "stored"):
            assert ids_of(reco.anonymous.similar_items("alone")) == []
            for job in (JOB, "generate_popular_items"):
                reco.system.run_job(job)

    def test_a_list_of_which_nothing_is_left_falls_to_popular_items(self) -> None:
        market = filled([*lots("art", 2), *lots("books", 2, "books")])
        reco = opened(market)
        reco.system.run_job(JOB)
        assert ids_of(reco.anonymous.similar_items("art-01")) == ["art-02"]

        market.add_item(lot("art-02", is_published=False))

        assert ids_of(reco.anonymous.similar_items("art-01")) == ["books-01", "books-02"]


def test_a_short_list_is_not_topped_up() -> None:
    reco = opened(filled([*lots("art", 2), *(lot(f"b{i}", "books", price=9_999) for i in "123")]))

    assert ids_of(reco.anonymous.similar_items("art-01")) == ["art-02"]


def test_own_listings_are_left_out_for_their_seller_alone() -> None:
    items = [lot("art-01"), lot("art-02", seller="ann"), lot("art-03")]
    reco = opened(filled(items, users=["ann", "bob"]))

    for _ in ("computed", "stored"):
        assert ids_of(reco.as_user("ann").similar_items("art-01")) == ["art-03"]
        assert ids_of(reco.as_user("bob").similar_items("art-01")) == ["art-02", "art-03"]
        assert ids_of(reco.anonymous.similar_items("art-01")) == ["art-02", "art-03"]
        reco.system.run_job(JOB)


def test_what_was_bid_on_or_watched_may_be_similar() -> None:
    reco = opened(filled(lots("art", 3), bid("ann", "art-02"), watch("ann", "art-03")))

    assert ids_of(reco.as_user("ann").similar_items("art-01")) == ["art-02", "art-03"]


def test_ended_items_are_left_out_of_a_stored_list() -> None:
    reco = opened(filled([lot("art-01"), lot("art-02", ends=1), lot("art-03", ends=2)]))
    reco.system.run_job(JOB)
    clock_of(reco).advance(DAY)

    assert ids_of(reco.anonymous.similar_items("art-01")) == ["art-03"]


@pytest.mark.parametrize("is_stored", [False, True], ids=["computed", "stored"])
def test_cards_say_what_the_viewer_bid_on_or_watches(is_stored: bool) -> None:
    reco = opened(filled(lots("art", 4), bid("ann", "art-02"), watch("ann", "art-04")))
    if is_stored:
        reco.system.run_job(JOB)

    seen = {
        user: {
            str(one.item_id)
            for one in reco.as_user(user).similar_items("art-01")
            if one.card.engaged
        }
        for user in ("ann", "bob")
    }

    assert seen == {"ann": {"art-02", "art-04"}, "bob": set()}


@pytest.mark.parametrize("is_stored", [False, True])
def test_of_a_user_the_newest_bids_and_watches_on_open_items_count(is_stored: bool) -> None:
    # Prices alone do not qualify, so a list has the items that share a user.
    items = [lot(one, None) for one in ("newest", "second", "third", "other")]
    market = filled(
        [*items, lot("over", None, status=AuctionStatus.ENDED)],
        *(bid("u", one, days) for days, one in enumerate(("over", "newest", "second", "third"))),
        watch("v", "third"),
        bid("v", "other"),
    )
    rule = SimilarityRule(history_length=2)
    reco = opened(market, Settings(cache_enabled=False, similarity=rule))
    if is_stored:
        reco.system.run_job(JOB)

    assert {
        one: ids_of(reco.anonymous.similar_items(one))
        for one in ("newest", "second", "third", "other", "over")
    } == {
        "newest": ["second"],
        "second": ["newest"],
        "third": ["other"],
        "other": ["third"],
        "over": ["newest", "second"],
    }


def test_a_run_for_one_item_enters_no_list_that_is_not_stored() -> None:
    reco = opened(filled(lots("art", 3)))

    outcome = reco.system.run_job(JOB, item_id="art-01")

    assert outcome.changed == 1
    assert reco.system.stored.find_similar_items("art-02") is None


def test_a_change_of_an_item_has_its_list_read_again_at_once() -> None:
    reco = opened(filled(lots("art", 3)), Settings())
    before = ids_of(reco.anonymous.similar_items("art-01"))
    # Another process, whose change this one has not read.
    other = Recommender(reco.ports, reco.settings)
    assert other.system.stored.delete_similarity("art-01", str(before[0]))
    assert ids_of(reco.anonymous.similar_items("art-01")) == before

    reco.items_changed(["art-01"])

    assert ids_of(reco.anonymous.similar_items("art-01")) == before[1:]
