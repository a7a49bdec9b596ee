"""The homepage: the stored list where there is a usable one, else computed, else popular."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import attrs
import pytest

from angle_reco import (
    AccessDeniedError,
    Freshness,
    InvalidValueError,
    ItemId,
    Reason,
    Recommender,
    Settings,
    Source,
    UserId,
)
from angle_reco.domain.freshness import SKEW
from angle_reco.domain.lists import ListKind
from angle_reco.rules import Ranker
from angle_reco.testing import Item
from tests.application.shop import (
    DAY,
    HOUR,
    NOW,
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

JOB = "generate_recommendations"


@pytest.fixture
def reco() -> Recommender:
    """Return a shop with thirty open lots of the one category that ann likes."""
    return opened(filled([lot("liked"), *lots("art", 30)], bid("ann", "liked")))


class TestWhereItComesFrom:
    def test_without_a_stored_list_it_is_computed(self, reco: Recommender) -> None:
        page = reco.as_user("ann").homepage()

        assert page.freshness is Freshness.COMPUTED
        assert ids_of(page) == [f"art-{place:02}" for place in range(1, 21)]

    def test_a_stored_list_is_shown(self, reco: Recommender) -> None:
        computed = reco.as_user("ann").homepage()
        reco.system.run_job(JOB)

        stored = reco.as_user("ann").homepage()

        assert stored.freshness is Freshness.FRESH
        assert list(stored) == list(computed)
        assert stored.degraded_by == ()

    @pytest.mark.parametrize(
        ("age", "freshness"),
        [
            (24 * HOUR, Freshness.FRESH),
            (24 * HOUR + TICK, Freshness.STALE),
            (48 * HOUR, Freshness.STALE),
            (48 * HOUR + TICK, Freshness.COMPUTED),
        ],
    )
    def test_it_gets_stale_and_then_too_old(
        self, reco: Recommender, age: timedelta, freshness: Freshness
    ) -> None:
        reco.system.run_job(JOB)
        clock_of(reco).advance(age)

        page = reco.as_user("ann").homepage()

        assert page.freshness is freshness
        assert len(page) == 20

    def test_a_later_run_that_found_nothing_to_change_makes_it_fresh(
        self, reco: Recommender
    ) -> None:
        reco.system.run_job(JOB)
        clock_of(reco).advance(40 * HOUR)
        assert reco.system.run_job(JOB).changed == 0
        clock_of(reco).advance(20 * HOUR)

        assert reco.as_user("ann").homepage().freshness is Freshness.FRESH

    def test_the_settings_say_how_long_it_is_fresh(self, reco: Recommender) -> None:
        limits = dict(Settings().freshness)
        for kind, limit in limits.items():
            limits[kind] = attrs.evolve(limit, fresh_for=HOUR, stale_for=HOUR)
        brief = again(reco.ports, Settings(cache_enabled=False, freshness=limits))
        brief.system.run_job(JOB)
        clock_of(reco).advance(2 * HOUR)

        assert brief.as_user("ann").homepage().freshness is Freshness.STALE
        assert reco.as_user("ann").homepage().freshness is Freshness.FRESH

    def test_a_list_by_another_ranker_is_passed_over(self, reco: Recommender) -> None:
        calm = Ranker.preset("calm", interest=0.8, popularity=0.1)
        settings = Settings(cache_enabled=False, ranker="calm", presets=(calm,))
        again(reco.ports, settings).system.run_job(JOB)

        page = reco.as_user("ann").homepage(1)

        assert page.freshness is Freshness.COMPUTED
        assert dict(page[0].contributions) == {
            "interest": 600_000,
            "popularity": 0,
            "recency": 20_000,
        }

    def test_a_list_by_other_weights_of_the_same_name_is_passed_over(
        self, reco: Recommender
    ) -> None:
        old, new = (Ranker.preset("ours", interest=weight) for weight in (0.5, 0.7))
        again(
            reco.ports, Settings(cache_enabled=False, ranker="ours", presets=(old,))
        ).system.run_job(JOB)

        page = (
            again(reco.ports, Settings(cache_enabled=False, ranker="ours", presets=(new,)))
            .as_user("ann")
            .homepage(1)
        )

        assert page.freshness is Freshness.COMPUTED
        assert scores_of(page) == [700_000]

    @pytest.mark.parametrize(
        ("ahead", "freshness"),
        [
            (SKEW, Freshness.FRESH),
            (SKEW + TICK, Freshness.STALE),
            (DAY, Freshness.STALE),
            (DAY + TICK, Freshness.COMPUTED),
        ],
    )
    def test_a_list_from_the_future_is_just_stale_unless_it_is_from_far_ahead(
        self, reco: Recommender, ahead: timedelta, freshness: Freshness
    ) -> None:
        reco.system.run_job(JOB)
        clock_of(reco).set(NOW - ahead)

        assert reco.as_user("ann").homepage().freshness is freshness

    def test_what_is_not_stored_far_enough_is_computed(self) -> None:
        reco = opened(filled([lot("liked"), *lots("art", 70)], bid("ann", "liked")))
        reco.system.run_job(JOB)

        stored, computed = (reco.as_user("ann").homepage(limit) for limit in (60, 61))

        assert (stored.freshness, len(stored)) == (Freshness.FRESH, 60)
        assert (computed.freshness, len(computed)) == (Freshness.COMPUTED, 61)
        assert list(stored) == list(computed[:60])

    def test_a_stored_list_with_all_there_was_answers_any_limit(self, reco: Recommender) -> None:
        reco.system.run_job(JOB)

        page = reco.as_user("ann").homepage(1_000)

        assert (page.freshness, len(page)) == (Freshness.FRESH, 30)

    def test_a_stored_list_of_which_nothing_is_left_is_computed_again(
        self, reco: Recommender
    ) -> None:
        reco.system.run_job(JOB)
        market = reco.ports.catalog.market  # type: ignore[attr-defined]  # the memory adapter's
        for item in list(market.items.values()):
            market.add_item(attrs.evolve(item, is_published=False))
        market.add_item(lot("new", "books"))

        page = reco.as_user("ann").homepage()

        assert (page.freshness, ids_of(page)) == (Freshness.COMPUTED, ["new"])


class TestWhatIsLeftOut:
    @pytest.fixture
    def items(self) -> list[Item]:
        """Return forty lots, the first of which ends in an hour."""
        soon = attrs.evolve(lot("art-01"), ends_at=NOW + HOUR)
        return [lot("liked"), soon, *lots("art", 40)[1:]]

    @pytest.mark.parametrize("is_stored", [True, False])
    def test_what_may_not_be_shown_now_is_left_out_and_the_page_still_fills(
        self, items: list[Item], is_stored: bool
    ) -> None:
        market = filled(items, bid("ann", "liked"))
        reco = opened(market)
        if is_stored:
            reco.system.run_job(JOB)
        assert ids_of(reco.as_user("ann").homepage(6)) == [f"art-0{place}" for place in range(1, 7)]

        clock_of(reco).advance(HOUR)  # art-01 ends
        market.add_item(attrs.evolve(items[2], is_published=False))
        market.add_item(attrs.evolve(items[3], seller_id=UserId("ann")))
        # Without an event a stored list is shown; with one, the list is computed.
        if is_stored:
            assert market.add_watch(watch("ann", "art-04"))
            assert market.add_watch(watch("ann", "art-05"))
        else:
            assert reco.bid_placed("ann", "art-04", amount=Decimal(120))
            assert reco.watched("ann", "art-05")
        page = reco.as_user("ann").homepage()

        assert page.freshness is (Freshness.FRESH if is_stored else Freshness.COMPUTED)
        assert ids_of(page) == [f"art-{place:02}" for place in range(6, 26)]
        assert [one.rank for one in page] == list(range(1, 21))

    def test_what_is_no_longer_watched_comes_back(self) -> None:
        reco = opened(filled(lots("art", 2), watch("ann", "art-01"), users=["bob"]))
        assert ids_of(reco.as_user("ann").homepage()) == ["art-02"]

        assert reco.unwatched("ann", "art-01")

        assert ids_of(reco.as_user("ann").homepage()) == ["art-01", "art-02"]

    def test_what_others_bid_on_stays(self) -> None:
        reco = opened(filled(lots("art", 2), bid("bob", "art-01"), users=["ann"]))

        assert ids_of(reco.as_user("ann").homepage()) == ["art-01", "art-02"]

    def test_a_seller_who_is_no_known_user_is_not_shown_their_own(self) -> None:
        reco = opened(filled([lot("own", seller="zoe"), lot("other")]))

        assert ids_of(reco.as_user("zoe").homepage()) == ["other"]


class TestHowItIsFilled:
    def test_an_unknown_user_gets_popular_items_by_the_formula_of_the_page(self) -> None:
        crowd = [watch(f"u{place}", "trend") for place in range(11)]
        reco = opened(
            filled(
                [
                    lot("trend", "a"),
                    lot("ending", "a", ends=7),
                    lot("active", "a", ends=7.001),
                    lot("later", "a", starts=1),
                    lot("later-ending", "a", starts=1, ends=6),
                ],
                *crowd,
                bid("u0", "ending"),
            )
        )

        page = reco.as_user("nobody").homepage()

        assert [
            (str(one.item_id), one.reason, tuple(one.contributions.values())) for one in page
        ] == [
            ("ending", Reason.ENDING_SOON, (0, 20_000, 40_000)),
            ("trend", Reason.TRENDING, (0, 200_000, 20_000)),
            ("active", Reason.ACTIVE_AUCTION, (0, 0, 20_000)),
            ("later", Reason.FOR_YOU, (0, 0, 0)),
            ("later-ending", Reason.FOR_YOU, (0, 0, 20_000)),
        ]
        assert {one.source for one in page} == {Source.POPULAR}

    def test_three_of_a_category_then_the_rest_then_popular_ones(self) -> None:
        reco = opened(
            filled(
                [
                    *(lot("bid-on"), lot("watched", "books")),
                    *(*lots("art", 5), *lots("books", 2, "books"), *lots("coins", 3, "coins")),
                ],
                bid("ann", "bid-on"),
                watch("ann", "watched"),
                bid("bob", "coins-02"),
            )
        )

        page = reco.as_user("ann").homepage()

        assert [(str(one.item_id), one.score, one.source.value) for one in page] == [
            ("art-01", 620_000, "personal"),
            ("art-02", 620_000, "personal"),
            ("art-03", 620_000, "personal"),
            ("books-01", 420_000, "personal"),  # 0.6 · 2/3 + 0.2 · 0.1
            ("books-02", 420_000, "personal"),
            ("art-04", 620_000, "personal"),
            ("art-05", 620_000, "personal"),
            ("coins-02", 40_000, "popular"),
            ("coins-01", 20_000, "popular"),
            ("coins-03", 20_000, "popular"),
        ]

    def test_reasons_of_a_favourite_category(self) -> None:
        crowd = [watch(f"u{place}", "loved") for place in range(6)]
        reco = opened(
            filled([lot("liked"), lot("loved"), lot("plain")], bid("ann", "liked"), *crowd)
        )

        page = reco.as_user("ann").homepage()

        assert [(str(one.item_id), one.reason) for one in page] == [
            ("loved", Reason.POPULAR_IN_FAVOURITE),
            ("plain", Reason.FAVOURITE_CATEGORY),
        ]

    def test_only_five_categories_are_favourites(self) -> None:
        names = ["c1", "c2", "c3", "c4", "c5", "c6"]
        did = [
            bid("ann", f"{name}-bid", days=place + place / 2)
            for place, name in enumerate(names)
            for _ in range(6 - place)
        ]
        items = [lot(f"{name}-{what}", name) for name in names for what in ("bid", "open")]

        page = opened(filled(items, *did)).as_user("ann").homepage()

        assert [str(one.item_id) for one in page if one.source is Source.PERSONAL] == [
            f"{name}-open" for name in names[:5]
        ]
        assert ids_of(page)[-1] == "c6-open"
        # It is a popular line, but its score is what the formula gives it.
        assert page[-1].contributions["interest"] == 100_000

    def test_ties_go_to_more_engaged_then_later_listed_then_the_smaller_id(self) -> None:
        items = [
            lot("z", listed=9),
            lot("b", listed=None),
            lot("a", listed=None),
            lot("later", listed=1),
            lot("wanted", listed=30),
        ]
        # A bid weighs nothing here, so that it decides nothing but ties.
        ranker = Ranker.preset("plain", interest=0.5)
        reco = opened(
            filled([lot("liked"), *items], bid("ann", "liked"), bid("bob", "wanted")),
            Settings(cache_enabled=False, ranker="plain", presets=(ranker,)),
        )

        page = reco.as_user("ann").homepage()

        # Three of the category first, but all are of one: the order is one of ties alone.
        assert ids_of(page) == ["wanted", "later", "z", "a", "b"]

    def test_an_empty_shop_has_an_empty_page(self) -> None:
        reco = opened()
        empty = reco.as_user("ann").homepage()
        reco.system.run_job(JOB)

        assert len(empty) == len(reco.as_user("ann").homepage()) == 0
        assert empty.freshness is Freshness.COMPUTED

    def test_a_page_is_as_long_as_asked_for(self, reco: Recommender) -> None:
        full = reco.as_user("ann").homepage(30)

        for limit in (1, 2, 29, 30):
            assert list(reco.as_user("ann").homepage(limit)) == list(full[:limit])

    def test_the_system_reads_the_page_of_a_user(self, reco: Recommender) -> None:
        assert list(reco.system.homepage(of="ann")) == list(reco.as_user("ann").homepage())

    def test_an_interest_older_than_the_window_is_none(self) -> None:
        items = [lot("liked"), lot("old", "books"), *lots("art", 1), *lots("books", 1, "books")]
        market = filled(items, bid("ann", "old", days=90), bid("bob", "old", days=90))
        reco = opened(market)
        assert [one.source for one in reco.as_user("ann").homepage()].count(Source.PERSONAL) == 1

        clock_of(reco).advance(TICK)
        page = reco.as_user("ann").homepage()

        assert {one.source for one in page} == {Source.POPULAR}
        assert "old" not in ids_of(page)  # what was bid on long ago is left out all the same

    def test_cards_carry_what_is_shown(self) -> None:
        reco = opened(filled([lot("vase", "art", price=70, ends=3)], bid("bob", "vase", amount=90)))

        card = reco.as_user("ann").homepage()[0].card

        assert (card.item_id, card.title, card.category_id) == (
            ItemId("vase"),
            "the lot vase",
            "art",
        )
        assert (card.price, card.ends_at) == (Decimal(90), NOW + 3 * DAY)


class TestOfAVisitor:
    """A template asks for a homepage, also for a visitor."""

    @pytest.fixture(params=[False, True], ids=["uncached", "cached"])
    def shop(self, request: pytest.FixtureRequest) -> Recommender:
        """Return a shop in which some lots are wanted more than others."""
        items = [*lots("art", 30), lot("book", "books"), lot("ended", ends=-1)]
        market = filled(items, *(bid(user, "art-07") for user in "abc"), bid("a", "book"))
        return opened(market, Settings(cache_enabled=request.param))

    @pytest.mark.parametrize("limit", [1, 20, 31, 1_000])
    def test_it_has_popular_items_and_says_so(self, shop: Recommender, limit: int) -> None:
        page = shop.anonymous.homepage(limit)

        assert list(page) == list(shop.anonymous.popular_items(limit))
        assert ids_of(page)[:1] == ["art-07"]
        assert {one.source for one in page} == {Source.POPULAR}
        assert len(page) == min(limit, 31)

    def test_the_host_s_own_cards_are_on_it(self, shop: Recommender) -> None:
        page = shop.anonymous.homepage(3, cards=lambda ids: {one: f"my {one}" for one in ids[1:]})

        assert [one.card for one in page] == [f"my {one}" for one in page.ids]
        assert len(page) == 2

    def test_nothing_is_stored_for_them(self, shop: Recommender) -> None:
        shop.anonymous.homepage()
        shop._use_cases.settle()

        assert shop.system.stats().lists[ListKind.PERSONAL].owners == 0

    @pytest.mark.parametrize("of", ["a", "nobody", 5, ""])
    def test_of_a_user_they_are_denied_one(self, shop: Recommender, of: str) -> None:
        with pytest.raises(AccessDeniedError):
            shop.anonymous.homepage(of=of)

    @pytest.mark.parametrize("limit", [0, -1, True, "3", 2.0])
    def test_a_limit_that_is_none_is_refused(self, shop: Recommender, limit: int) -> None:
        with pytest.raises(InvalidValueError, match="limit"):
            shop.anonymous.homepage(limit)

    def test_an_event_loop_gets_the_same(self, shop: Recommender) -> None:
        shop.anonymous.homepage()

        page = asyncio.run(shop.aio.anonymous.homepage(5))

        assert list(page) == list(shop.anonymous.homepage(5))
