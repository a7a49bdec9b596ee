"""The open items in memory: nothing is shown that may not be, and little is asked for it."""

from datetime import timedelta
from threading import Event as Flag
from typing import Any

import attrs
import pytest

from angle_reco import Freshness, Recommender, Settings, StorageUnavailableError, UserId
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.application.serving.open_items import OPEN_ITEMS, OpenSnapshot
from angle_reco.rules import HalfLife, PopularityRule, Verify
from angle_reco.testing import MemoryMarketplace
from tests.application.memories import (
    ASK,
    CATALOGUE,
    MINUTE,
    CachingShop,
    settle,
    shop,
    warm,
)
from tests.application.shop import DAY, HOUR, NOW, TICK, bid, filled, ids_of, lot, lots

FRESH, STALE = Freshness.FRESH, Freshness.STALE
ALL = tuple(ASK)


def shown(reco: Recommender) -> set[object]:
    """Return every item that any shelf shows."""
    return {item_id for ask in ASK.values() for item_id in ask(reco).ids}


def items_read(one: CachingShop) -> int:
    """Return how often items were read since the last time."""
    called = one.calls()
    return sum(called[f"catalog.{name}"] for name in CATALOGUE)


class TestWithoutAsking:
    def test_no_item_is_read_for_any_answer(self) -> None:
        one = shop()
        warm(one)

        for ask in ASK.values():
            assert len(ask(one.reco)) > 0
        one.reco.anonymous.popular_items(33)
        one.reco.anonymous.popular_items(category="books")
        one.reco.anonymous.popular_items(category="nothing")
        # Computed, and not only shown:
        one.reco.as_user("bob").homepage()
        one.reco.as_user("nobody").homepage()
        one.reco.anonymous.similar_items("books-02")
        one.reco.as_user("bob").after_bid("art-07", assume_bid=True)
        settle(one.reco)

        assert items_read(one) == 0

    def test_what_is_in_memory_is_shown_without_any_statement(self) -> None:
        one = shop()
        warm(one)

        for _ in range(3):
            for surface in ("homepage", "similar_items", "popular_items"):
                ASK[surface](one.reco)
        one.reco.anonymous.popular_items(category="art")
        settle(one.reco)

        assert one.calls() == {}

    def test_popular_items_are_counted_in_memory_as_far_as_anybody_asks(self) -> None:
        one = CachingShop.of(filled([*lots("art", 90), *lots("books", 60, "books")]))
        warm(one, "popular_items")

        for limit in (1, 50, 51, 120, 150, 200):
            for category in (None, "books"):
                ask = one.reco.anonymous.popular_items(limit, category=category)
                plain = one.plain().anonymous.popular_items(limit, category=category)
                assert ids_of(ask) == ids_of(plain)
                assert ask.freshness is FRESH

        live = one.reco._use_cases.shelves.open_items
        assert live is not None
        assert {len(stored) for stored in live.current().value._popular.values()} == {50}

    def test_of_many_categories_so_many_lists_are_remembered(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("angle_reco.application.serving.open_items._MOST_POPULAR", 3)
        categories = [f"c{place}" for place in range(5)]
        one = CachingShop.of(filled([lot(f"in-{name}", name) for name in categories]))
        warm(one, "popular_items")
        live = one.reco._use_cases.shelves.open_items
        assert live is not None
        market = live.current().value

        for name in ["unknown", *categories] * 2:
            shelf = one.reco.anonymous.popular_items(category=name)
            assert ids_of(shelf) == ([] if name == "unknown" else [f"in-{name}"])

        assert [str(one) for one in market._popular] == ["c0", "c1", "c2"]

    def test_without_columns_there_is_nothing_to_count_with(self) -> None:
        scorer = shop().reco._use_cases.shelves.scorer
        live = OpenSnapshot(market=None, cards={}, is_complete=False, since=0.0)

        with pytest.raises(ValueError, match="no columns"):
            live.popular(scorer, None, keep=50)

    def test_a_page_fills_although_the_first_fifty_are_ones_own(self) -> None:
        own = [attrs.evolve(one, seller_id=UserId("ann")) for one in lots("art", 70)]
        one = CachingShop.of(filled([*own, *lots("zinc", 5, "zinc")], users=["ann"]))
        warm(one, "popular_items")

        page = one.reco.as_user("ann").popular_items(5)

        assert ids_of(page) == [f"zinc-0{place}" for place in range(1, 6)]
        assert [line.rank for line in page] == [1, 2, 3, 4, 5]


class TestWhatIsNotShown:
    def test_what_has_ended_by_the_clock(self) -> None:
        one = shop()
        for item in ("art-01", "art-02"):
            one.change(item, ends_at=NOW + timedelta(seconds=30))
        warm(one)
        one.passes(timedelta(seconds=30) - TICK)
        just_before = shown(one.reco)
        settle(one.reco)
        one.calls()

        one.passes(TICK)
        after = shown(one.reco)

        assert {"art-01", "art-02"} <= just_before
        assert not {"art-01", "art-02"} & after
        assert items_read(one) == 0

    def test_ones_own(self) -> None:
        one = shop()
        for item in ("art-01", "books-02"):
            one.change(item, seller_id=UserId("eve"))
        warm(one)
        assert {"art-01", "books-02"} <= set(one.reco.anonymous.popular_items(40).ids)

        eve = one.reco.as_user("eve")
        for _ in range(2):
            for shelf in (
                eve.homepage(40),
                eve.similar_items("liked", 20),
                eve.after_bid("liked", 40),
                eve.popular_items(40),
                eve.popular_items(category="books"),
            ):
                assert len(shelf) > 0
                assert not {"art-01", "books-02"} & set(shelf.ids)

    @pytest.mark.parametrize("event", ["bid_placed", "watched"])
    def test_what_one_has_just_bid_on_or_watched(self, event: str) -> None:
        one = shop()
        warm(one)
        ann = one.reco.as_user("ann")
        assert "art-01" in ids_of(ann.homepage())

        assert getattr(one.reco, event)("ann", "art-01")

        for _ in range(2):
            for shelf in (ann.homepage(40), ann.homepage(), ann.after_bid("liked", 40)):
                assert len(shelf) >= 20
                assert "art-01" not in ids_of(shelf)
            settle(one.reco)

    def test_what_is_no_longer_watched_comes_back(self) -> None:
        one = shop()
        warm(one)
        one.reco.watched("ann", "art-01")
        assert "art-01" not in ids_of(one.reco.as_user("ann").homepage(40))

        assert one.reco.unwatched("ann", "art-01")

        assert "art-01" in ids_of(one.reco.as_user("ann").homepage(40))

    def test_what_one_bid_on_elsewhere_once_the_list_is_read(self) -> None:
        one = shop()
        for job in BATCH_JOBS:
            one.another().system.run_job(job)
        one.another().bid_placed("ann", "art-01")

        for _ in range(2):
            page = one.reco.as_user("ann").homepage()
            assert page.freshness is FRESH
            assert "art-01" not in ids_of(page)
            settle(one.reco)

    def test_what_one_bid_on_where_nothing_is_left_of_a_page_made_by_hand(self) -> None:
        ending = attrs.evolve(lot("ending"), ends_at=NOW + HOUR)
        hot = [lot("hot", "books"), lot("liked"), lot("other")]
        market = filled([ending, *hot], bid("ann", "hot"), bid("bob", "hot"))
        one = CachingShop.of(market)
        for item in ("liked", "other"):
            one.reco.system.stored.delete_recommendation("ann", item)
        one.reco.system.stored.upsert_recommendation("ann", "ending", score=0.9)
        assert ids_of(one.reco.as_user("ann").homepage()) == ["ending"]
        one.passes(HOUR)

        for _ in range(2):
            assert "hot" not in ids_of(one.reco.as_user("ann").homepage())
            settle(one.reco)
        assert ids_of(one.reco.as_user("ann").homepage()) == ids_of(
            one.plain().as_user("ann").homepage()
        )


class TestReadingAnew:
    def test_after_a_minute_behind_the_answer(self) -> None:
        one = shop()
        warm(one)
        one.change("art-01", is_published=False)
        one.market.add_item(lot("new"))

        one.passes(MINUTE)
        at_first = shown(one.reco)
        settle(one.reco)
        assert items_read(one) == 0
        one.passes(TICK)
        gate = one.stores["ledger"].gate = Flag()
        popular = one.reco.anonymous.popular_items(40)
        gate.set()
        settle(one.reco)
        called = one.calls()

        assert "art-01" in at_first
        assert popular.freshness is STALE
        assert ("art-01" in ids_of(popular), "new" in ids_of(popular)) == (True, False)
        assert {name for name, n in called.items() if n} == {
            "catalog.open_cards",
            "ledger.last_of_each",
        }
        assert set(called.values()) == {1}
        fresh = one.reco.anonymous.popular_items(40)
        assert fresh.freshness is FRESH
        assert ("art-01" in ids_of(fresh), "new" in ids_of(fresh)) == (False, True)
        # Lists that name it still are not a reason to look it up.
        assert "art-01" not in shown(one.reco)
        assert items_read(one) == 0

    @pytest.mark.parametrize(
        ("took", "fresh_for"),
        [(timedelta(seconds=25), timedelta(seconds=35)), (-HOUR, MINUTE)],
        ids=["slowly", "while the clock is set back"],
    )
    def test_the_time_that_reading_took_makes_them_older(
        self, took: timedelta, fresh_for: timedelta
    ) -> None:
        one = shop()
        catalog: Any = one.stores["catalog"].port

        class Slow:
            """The catalogue, of which reading the open items takes its time."""

            def __getattr__(self, name: str) -> Any:
                return getattr(catalog, name)

            def open_cards(self, *args: Any, **named: Any) -> Any:
                one.stores["catalog"].port = catalog
                found = catalog.open_cards(*args, **named)
                if took > timedelta(0):
                    one.clock.advance(took)
                else:
                    one.clock.set(one.clock.now() + took)
                return found

        one.stores["catalog"].port = Slow()
        warm(one, "popular_items")
        known = one.reco._use_cases.shelves.open_items
        assert known is not None
        shown = []
        for passes in (fresh_for, TICK):
            one.passes(passes)
            cached = known.stale_cache.cache.get(OPEN_ITEMS)
            shown.append(cached and cached.freshness)

        assert shown == [FRESH, STALE]

    def test_live_for_says_after_how_long(self) -> None:
        one = shop(Settings(live_for=5 * MINUTE))
        warm(one)

        for time, freshness in ((5 * MINUTE, FRESH), (TICK, STALE), (0 * MINUTE, FRESH)):
            one.passes(time)
            assert one.reco.anonymous.popular_items().freshness is freshness
            settle(one.reco)

    def test_who_asks_nothing_reads_nothing(self) -> None:
        one = shop()
        warm(one)

        one.passes(10 * DAY)
        settle(one.reco)

        assert one.calls() == {}

    @pytest.mark.parametrize("surface", ["homepage", "similar_items"])
    def test_too_old_ones_are_not_believed_but_looked_up(self, surface: str) -> None:
        one = shop()
        warm(one)
        one.change("art-01", is_published=False)
        one.passes(2 * MINUTE)
        assert "art-01" in ids_of(ASK[surface](one.reco))
        settle(one.reco)
        one.passes(2 * MINUTE + TICK)
        one.change("art-02", is_published=False)
        gate = one.stores["ledger"].gate = Flag()
        one.calls()

        page = ASK[surface](one.reco)
        called = one.calls()
        gate.set()
        settle(one.reco)

        assert page.freshness is FRESH
        assert not {"art-01", "art-02"} & set(page.ids)
        assert called["catalog.cards"] == 1

    @pytest.mark.parametrize("surface", ALL)
    def test_they_are_shown_for_three_days_where_they_cannot_be_read(self, surface: str) -> None:
        one = shop()
        warm(one)
        before = ids_of(ASK[surface](one.reco))
        one.stores["catalog"].error = StorageUnavailableError()

        answers = []
        for age in (2 * MINUTE + TICK, 72 * HOUR - TICK):
            one.passes(age)
            answers.append(ASK[surface](one.reco))
            settle(one.reco)
        one.passes(TICK)
        answers.append(ASK[surface](one.reco))

        assert [ids_of(one) for one in answers] == [before, before, []]
        assert ["items" in one.degraded_by for one in answers] == [True, True, False]
        assert "popular" in answers[2].degraded_by


class TestVerifyAlways:
    def test_what_was_withdrawn_is_not_shown_from_the_next_answer_on(self) -> None:
        one = shop(Settings(verify=Verify.ALWAYS))
        warm(one)
        assert "art-01" in shown(one.reco)
        settle(one.reco)
        one.calls()

        one.change("art-01", is_published=False)
        after = shown(one.reco)

        assert "art-01" not in after
        called = one.calls()
        assert called["lists.read"] == called["catalog.open_cards"] == 0

    @pytest.mark.parametrize("surface", ["homepage", "similar_items", "popular_items"])
    def test_that_takes_a_statement_an_answer(self, surface: str) -> None:
        one = shop(Settings(verify=Verify.ALWAYS))
        warm(one)

        for _ in range(3):
            ASK[surface](one.reco)

        assert one.calls() == {"catalog.cards": 3}

    def test_in_an_outage_nothing_unverified_is_shown(self) -> None:
        one = shop(Settings(verify=Verify.ALWAYS))
        warm(one)
        one.fails(StorageUnavailableError())

        for ask in ASK.values():
            shelf = ask(one.reco)
            assert (ids_of(shelf), shelf.degraded_by) == ([], ("list", "popular"))


def large(items: int) -> MemoryMarketplace:
    """Return a market of items with long titles, the last ones listed last."""
    listed = [
        attrs.evolve(
            lot(f"lot-{place:04}", "abc"[place % 3], listed=20 - place / 1_000),
            title=f"{place:0400}",
        )
        for place in range(items)
    ]
    acts = [bid("ann", "lot-0003"), bid("bob", "lot-0005"), bid("eve", f"lot-{items - 1:04}")]
    return filled(listed, *acts, *(bid("eve", f"lot-{place:04}") for place in range(20, 90)))


def said(reco: Recommender) -> list[tuple[object, ...]]:
    """Return all that some shelves say."""
    visitor, eve = reco.anonymous, reco.as_user("eve")
    asked = [
        *(visitor.popular_items(), visitor.popular_items(60), visitor.popular_items(category="b")),
        *(reco.as_user("ann").homepage(), eve.homepage(100), reco.as_user("nobody").homepage()),
        *(visitor.similar_items("lot-0005", 20), eve.after_bid("lot-0021", 20)),
    ]
    return [(one[:2], one[3:], one.card.title) for shelf in asked for one in shelf]


class TestLittleRoom:
    @pytest.mark.parametrize(("items", "has_columns"), [(600, True), (1_200, False)])
    @pytest.mark.parametrize("is_stored", [True, False])
    def test_the_answers_are_the_same(self, items: int, has_columns: bool, is_stored: bool) -> None:
        one = CachingShop.of(large(items), Settings(cache_bytes=1_000_000))
        if is_stored:
            for job in BATCH_JOBS:
                one.plain().system.run_job(job)
        warm(one, "popular_items")
        live = one.reco._use_cases.shelves.open_items
        assert live is not None
        known = live.known()
        assert known is not None
        assert (known.market is not None, known.is_complete) == (has_columns, False)
        assert (0 < len(known.cards) < items) == has_columns

        for _ in range(2):
            for reco in (one.reco, one.plain()):
                assert said(reco) == said(one.plain())
            settle(one.reco)

    def test_items_without_a_card_are_read_by_one_statement_an_answer(self) -> None:
        one = CachingShop.of(large(600), Settings(cache_bytes=1_000_000))
        for _ in range(2):
            one.reco.anonymous.similar_items("lot-0003")
            settle(one.reco)
        one.calls()

        page = one.reco.anonymous.similar_items("lot-0003")

        assert page.freshness is FRESH
        assert one.calls() == {"catalog.cards": 1}

    def test_all_together_stays_within_the_bytes(self) -> None:
        one = CachingShop.of(large(600), Settings(cache_bytes=1_000_000))
        for place in range(300):
            one.reco.anonymous.similar_items(f"lot-{place:04}")
        settle(one.reco)

        memory = one.reco.system.stats().memory

        assert memory is not None
        assert 400_000 < memory.live_bytes <= 500_000
        assert memory.lists.bytes + memory.live_bytes <= 1_000_000
        assert memory.lists.evictions > 0


class TestDemandThatFades:
    def test_popular_items_are_those_that_are_stored(self) -> None:
        rule = PopularityRule(half_life=HalfLife(span=10 * DAY))
        acts = [*(bid("ann", "art-05", 30) for _ in range(5)), bid("bob", "art-03", 0.1)]
        one = CachingShop.of(filled(lots("art", 60), *acts), Settings(popularity=rule))
        expected = one.plain().anonymous.popular_items()
        one.reco.system.run_job("generate_popular_items")

        pages = []
        for _ in range(3):
            pages.append(one.reco.anonymous.popular_items())
            settle(one.reco)
        one.calls()
        pages.append(one.reco.anonymous.popular_items())

        assert one.calls() == {}
        assert [list(page) for page in pages] == [list(expected)] * 4
        assert {page.freshness for page in pages} == {FRESH}
        assert ids_of(pages[0])[:2] == ["art-03", "art-05"]


class TestByHand:
    def test_what_is_written_is_in_the_next_answer(self) -> None:
        one = shop()
        warm(one)
        system, ann = one.reco.system, one.reco.as_user("ann")

        system.stored.upsert_recommendation("ann", "books-02", score=1, rank=1)
        system.stored.create_similarity("liked", "books-03", score=1)
        for _ in range(2):
            assert str(ann.homepage()[0].item_id) == "books-02"
            assert str(one.reco.anonymous.similar_items("liked")[0].item_id) == "books-03"
            settle(one.reco)
        system.stored.delete_recommendation("ann", "books-02")
        system.stored.delete_similarity("liked", "books-03")

        for _ in range(2):
            assert "books-02" not in ids_of(ann.homepage())
            assert "books-03" not in ids_of(one.reco.anonymous.similar_items("liked"))
            settle(one.reco)

    def test_of_an_erased_user_nothing_is_left(self) -> None:
        one = shop()
        one.reco.system.stored.upsert_recommendation("ann", "books-02", score=1, rank=1)
        warm(one)
        assert str(one.reco.as_user("ann").homepage()[0].item_id) == "books-02"

        one.reco.system.erase_user("ann")
        for _ in range(2):
            assert str(one.reco.as_user("ann").homepage()[0].item_id) == "art-01"
            settle(one.reco)

        assert one.reco.system.stored.get_recommendations(of="ann") is None
