"""Pages of a homepage and of popular items: nothing twice, and nothing lost."""

import asyncio
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import chain, repeat
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from angle_reco import (
    AccessDeniedError,
    InvalidValueError,
    ItemId,
    Recommender,
    Settings,
    Shelf,
    StorageUnavailableError,
    Suggestion,
)
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.storage import Storage
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import sql_ports
from angle_reco.rules import CLASSIC
from angle_reco.testing import Item, ManualClock, MemoryMarketplace
from tests.adapters.databases import emptied, fill, put, storage_on
from tests.application.markets import ITEMS, marketplace, marketplaces
from tests.application.memories import CachingShop, settle
from tests.application.shop import HOUR, NOW, bid, clock_of, filled, ids_of, lot, lots, opened

Ask = Callable[..., Shelf]
CALLS: dict[str, Callable[[Recommender], Ask]] = {
    "homepage": lambda reco: reco.as_user("ann").homepage,
    "of a visitor": lambda reco: reco.anonymous.homepage,
    "popular": lambda reco: reco.as_user("ann").popular_items,
    "popular art": lambda reco: (
        lambda limit, **more: reco.anonymous.popular_items(limit, category="art", **more)
    ),
}
SHORT = attrs.evolve(CLASSIC, name="short", kept=7)
"""Keeps so little that small markets have pages beyond the stored list."""

KEPT = {
    "uncached": Settings(cache_enabled=False, presets=(SHORT,), ranker="short"),
    "cached": Settings(presets=(SHORT,), ranker="short"),
}


def pages_of(ask: Ask, *limits: int) -> list[Shelf]:
    """Return all pages, the last limit being that of all further ones."""
    pages, further = [ask(limits[0])], chain(limits[1:], repeat(limits[-1]))
    while pages[-1].next is not None:
        pages.append(ask(next(further), after=pages[-1].next))
        assert len(pages) <= 1_001, "it does not end"
    return pages


def joined(pages: Iterable[Iterable[Suggestion]]) -> list[Suggestion]:
    """Return the suggestions of all pages, without `engaged`, which says nothing there."""
    return [
        one._replace(card=attrs.evolve(one.card, engaged=False)) for page in pages for one in page
    ]


def at_once(ask: Ask, limit: int = 1_000) -> list[Suggestion]:
    """Return one long answer."""
    return joined([ask(limit)])


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """Return tables in a SQLite file."""
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('paging') / 'shop.db'}")
    storage = storage_on(engine)
    storage.migrate_up()
    yield storage
    engine.dispose()


@attrs.frozen
class Shop:
    """A recommender, and what changes an item behind it."""

    reco: Recommender
    put: Callable[[Item], object]


def shops(market: MemoryMarketplace, storage: Storage) -> Iterator[Shop]:
    """Yield a marketplace in memory, with and without a cache, and in SQLite."""
    for chosen in KEPT.values():
        reco = opened(
            MemoryMarketplace(
                users=market.users.values(),
                items=market.items.values(),
                bids=[one for bids in market.bids.values() for one in bids],
                watches=market.watches.values(),
            ),
            chosen,
        )
        yield Shop(reco, reco.ports.catalog.market.add_item)  # type: ignore[attr-defined]  # in memory
    yield on_sqlite(market, storage)


def on_sqlite(market: MemoryMarketplace, storage: Storage) -> Shop:
    """Return a marketplace in SQLite."""
    fill(
        emptied(storage),
        users=market.users.values(),
        items=market.items.values(),
        bids=[one for bids in market.bids.values() for one in bids],
        watches=market.watches.values(),
    )
    chosen = attrs.evolve(KEPT["uncached"], deadline=timedelta(seconds=20))
    ports = sql_ports(storage.database.engine, chosen, check=False)
    reco = Recommender(attrs.evolve(ports, clock=ManualClock(NOW)), chosen)
    return Shop(reco, lambda item: put(storage, item))


class TestUnchanged:
    @settings(settings.get_profile("slow"))
    @given(
        market=marketplaces(),
        call=st.sampled_from([*CALLS]),
        limits=st.lists(st.integers(1, 9), min_size=1, max_size=5),
        is_stored=st.booleans(),
    )
    def test_pages_are_one_long_answer(
        self,
        storage: Storage,
        market: MemoryMarketplace,
        call: str,
        limits: list[int],
        is_stored: bool,
    ) -> None:
        for shop in shops(market, storage):
            if is_stored:
                for job in BATCH_JOBS:
                    shop.reco.system.run_job(job)
            ask = CALLS[call](shop.reco)
            pages = pages_of(ask, *limits)

            full = [*limits, *[limits[-1]] * len(pages)][: len(pages) - 1]
            assert joined(pages) == at_once(ask)
            assert [len(page) for page in pages[:-1]] == full

    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize("kept", [False, True])
    def test_beyond_the_stored_lists(self, call: str, kept: bool) -> None:
        reco = opened(many(200), Settings(cache_enabled=kept))
        for job in BATCH_JOBS:
            reco.system.run_job(job)
        ask = CALLS[call](reco)

        pages = pages_of(ask, 20)

        assert len(pages) > 5
        assert joined(pages) == at_once(ask)
        assert [one.rank for one in joined(pages)] == list(range(1, len(joined(pages)) + 1))

    def test_no_more_than_a_thousand_in_all(self) -> None:
        reco = opened(many(1_100))
        reco.system.run_job("generate_popular_items")

        pages = pages_of(reco.anonymous.popular_items, 300)

        assert [len(page) for page in pages] == [300, 300, 300, 100]
        assert joined(pages) == at_once(reco.anonymous.popular_items)
        assert reco.anonymous.popular_items(1_000).next is None
        assert reco.anonymous.popular_items(5_000).next is None

    def test_a_full_last_page_may_be_followed_by_an_empty_one(self) -> None:
        ask = opened(filled(lots("art", 4))).anonymous.popular_items

        assert [ids_of(page) for page in pages_of(ask, 2)] == [
            ["art-01", "art-02"],
            ["art-03", "art-04"],
            [],
        ]
        assert [len(page) for page in pages_of(ask, 3)] == [3, 1]
        assert ask(5).next is None


def many(count: int) -> MemoryMarketplace:
    """Return a shop with so many lots of three categories, of which ann likes two."""
    items = [lot(f"lot-{n:04}", ("art", "art", "toys", None)[n % 4], ends=n) for n in range(count)]
    return filled([*items, lot("liked")], bid("ann", "liked"), bid("ann", "lot-0002"))


CHANGES = st.tuples(
    st.sampled_from(
        ["bid", "own bid", "ends", "is new", "job", "jobs", "first", "removed", "time", "forgotten"]
    ),
    st.sampled_from(ITEMS),
)
"""What happens between two pages, and the lot that it happens to."""


def happens(shop: Shop, what: str, item_id: str) -> None:
    """Have something happen to a lot, if there is one."""
    reco, now = shop.reco, clock_of(shop.reco).now()
    is_there = bool(reco.ports.catalog.cards([ItemId(item_id)], at=now))
    match what:
        case "bid" | "own bid" if is_there:
            reco.bid_placed("ann" if what == "own bid" else "eve", item_id, at=now)
        case "ends" if is_there:
            shop.put(lot(item_id, ends=-1))
            reco.items_changed([item_id])
        case "is new":
            shop.put(lot(f"{item_id} again", listed=0))
            reco.items_changed([f"{item_id} again"])
        case "job":
            reco.system.run_job("generate_recommendations")
        case "jobs":
            for job in BATCH_JOBS:
                reco.system.run_job(job)
        case "first" if is_there:
            reco.system.stored.upsert_recommendation("ann", item_id, score=1, rank=1)
        case "removed":
            reco.system.stored.delete_recommendation("ann", item_id)
        case "time":
            clock_of(reco).advance(7 * HOUR)
        case "forgotten":
            reco.system.forget_cached()


class TestChanging:
    @settings(settings.get_profile("slow"))
    @given(
        market=marketplaces(),
        call=st.sampled_from([*CALLS]),
        changes=st.lists(st.lists(CHANGES, max_size=3), max_size=8),
        limits=st.lists(st.integers(1, 6), min_size=9, max_size=9),
    )
    @example(
        market=marketplace(items=3, categories=1, did=0, crowd=0, seed=0),
        call="of a visitor",
        changes=[[], [("is new", "lot-01"), ("time", "lot-01")]],
        limits=[1] * 9,
    )
    @example(
        market=marketplace(items=20, categories=1, did=0, crowd=11, seed=0),
        call="homepage",
        changes=[[("ends", "lot-01")]],
        limits=[1] * 9,
    )
    def test_nothing_is_shown_twice_and_nothing_is_lost(
        self,
        storage: Storage,
        market: MemoryMarketplace,
        call: str,
        changes: list[list[tuple[str, str]]],
        limits: list[int],
    ) -> None:
        for shop in shops(market, storage):
            ask, settle = CALLS[call](shop.reco), shop.reco._use_cases.settle
            shown, after = list[Suggestion](), None
            for number in range(100):
                page = ask(limit := limits[min(number, 8)], after=after)
                settle()
                shown += page
                assert len(page) <= limit
                after = page.next
                if after is None:
                    break
                for change in changes[number] if number < len(changes) else []:
                    happens(shop, *change)
                # A stale answer is shown once more, and refreshed behind: that is no loss of pages.
                ask(1)
                settle()

            assert after is None
            ids = [one.item_id for one in shown]
            assert len(set(ids)) == len(ids)
            assert [one.rank for one in shown] == list(range(1, len(shown) + 1))
            # All that may be shown now has been shown.
            assert set(ask(1_000).ids) <= set(ids)

    @pytest.mark.parametrize("chosen", KEPT)
    def test_a_lot_that_moves_up_is_on_the_next_page(self, chosen: str) -> None:
        reco = opened(filled(lots("art", 9), users=["ann", "eve"]), KEPT[chosen])
        first = reco.as_user("ann").homepage(3)

        for _ in range(2):
            reco.bid_placed("eve", "art-09")
        reco.system.stored.upsert_recommendation("ann", "art-08", score=1, rank=1)
        second = reco.as_user("ann").homepage(3, after=first.next)

        assert ids_of(first) == ["art-01", "art-02", "art-03"]
        assert ids_of(second)[0] == "art-08"
        assert [one.rank for one in second] == [4, 5, 6]

    def test_lots_that_have_ended_leave_no_gap(self) -> None:
        shop = CachingShop.of(filled(lots("art", 9)))
        first = shop.reco.anonymous.popular_items(3)
        for item in ("art-01", "art-03", "art-05"):
            shop.change(item, ends_at=NOW - HOUR)
            shop.reco.items_changed([item])

        second = shop.reco.anonymous.popular_items(3, after=first.next)

        assert ids_of(second) == ["art-04", "art-06", "art-07"]

    def test_a_visitor_who_signs_in_goes_on(self) -> None:
        reco = opened(filled(lots("art", 6), users=["ann"]))
        first = reco.anonymous.homepage(3)

        assert ids_of(reco.as_user("ann").homepage(3, after=first.next)) == [
            *("art-04", "art-05", "art-06")
        ]

    def test_while_the_database_is_down_popular_items_go_on(self) -> None:
        shop = CachingShop.of(filled([lot("liked"), *lots("art", 30)], bid("ann", "liked")))
        first = shop.reco.as_user("ann").homepage(10)
        settle(shop.reco)
        shop.fails(StorageUnavailableError())

        second = shop.reco.as_user("ann").homepage(10, after=first.next)

        assert len(second) == 10
        assert not set(first.ids) & set(second.ids)


class TestCursors:
    def test_they_work_in_another_process_and_after_a_restart(self, storage: Storage) -> None:
        market = many(50)
        for one, other in (
            (opened(market), opened(market)),
            (on_sqlite(market, storage).reco,) * 2,
        ):
            for ask, again in ((CALLS[call](one), CALLS[call](other)) for call in CALLS):
                after = ask(10).next

                assert joined([again(10, after=after)]) == at_once(ask, 20)[10:]

    @pytest.mark.parametrize("call", ["homepage", "popular", "popular art"])
    def test_those_of_another_call_or_category_are_refused(self, call: str) -> None:
        reco = opened(many(50))
        own = CALLS[call](reco)(3).next

        for other in {"homepage", "popular", "popular art"} - {call}:
            with pytest.raises(InvalidValueError, match=r"after is .*, but should be the `next`"):
                CALLS[other](reco)(3, after=own)
        with pytest.raises(InvalidValueError, match="after is"):
            reco.anonymous.popular_items(category="toys", after=own)

    @given(st.text() | st.binary() | st.integers() | st.lists(st.text()))
    def test_whatever_is_no_cursor_is_refused(self, after: Any) -> None:
        reco = opened()

        for call in CALLS.values():
            with pytest.raises(InvalidValueError, match=r"^after is"):
                call(reco)(3, after=after)

    @pytest.mark.parametrize("after", ["", "1", "nonsense", 5, b"1AAA", "1" * 10_000])
    def test_who_may_not_read_is_denied_all_the_same(self, after: Any) -> None:
        reco = opened(many(8))

        for view in (reco.as_user("eve"), reco.anonymous):
            with pytest.raises(AccessDeniedError):
                view.homepage(of="ann", after=after)

    def test_nothing_of_the_user_is_in_them(self) -> None:
        market = filled(lots("art", 5), users=["ann", "eve"])
        one, other = (opened(market).as_user(user).homepage(3) for user in ("ann", "eve"))

        assert one.next == other.next

    def test_items_of_the_other_surfaces_have_no_pages(self) -> None:
        me = opened(many(50)).as_user("ann")

        assert (me.similar_items("liked", 3).next, me.after_bid("liked", 3).next) == (None, None)

    def test_a_shelf_has_it_after_pickling_and_in_json(self) -> None:
        shelf = opened(many(50)).as_user("ann").homepage(3)

        assert pickle.loads(pickle.dumps(shelf)).next == shelf.next
        assert shelf.to_json()["next"] == shelf.next
        assert shelf.next is not None


class TestOwnCards:
    def test_items_without_an_object_are_not_offered_again(self) -> None:
        ask, offered = opened(filled(lots("art", 9))).anonymous.popular_items, list[object]()

        def load(ids: Sequence[Any]) -> dict[Any, str]:
            offered.extend(ids)
            return {one: f"<{one}>" for one in ids if one not in ("art-02", "art-04", "art-05")}

        pages = pages_of(lambda limit, **more: ask(limit, cards=load, **more), 2)

        assert [[one.card for one in page] for page in pages] == [
            *(["<art-01>"], ["<art-03>"], ["<art-06>"], ["<art-07>", "<art-08>"], ["<art-09>"])
        ]
        assert [one.rank for page in pages for one in page] == list(range(1, 7))
        assert offered == [f"art-0{n}" for n in range(1, 10)]

    def test_a_page_of_which_nothing_is_shown_has_a_next_one(self) -> None:
        ask = opened(filled(lots("art", 5))).anonymous.popular_items

        def last(ids: Sequence[Any]) -> dict[Any, str]:
            return {one: "<the last>" for one in ids if one == "art-05"}

        pages = pages_of(lambda limit, **more: ask(limit, cards=last, **more), 2)

        assert [ids_of(page) for page in pages] == [[], [], ["art-05"]]
        assert pages[-1][0].rank == 1


def test_an_event_loop_gets_the_same_pages() -> None:
    reco = opened(many(50), Settings())

    async def pages() -> list[Shelf]:
        me, visitor = reco.aio.as_user("ann"), reco.aio.anonymous
        first, popular = await me.homepage(7), await visitor.popular_items(7, category="art")
        return [
            await me.homepage(7, after=first.next),
            await visitor.popular_items(7, category="art", after=popular.next),
        ]

    home, popular = asyncio.run(pages())

    assert joined([home]) == at_once(reco.as_user("ann").homepage, 14)[7:]
    assert joined([popular]) == at_once(CALLS["popular art"](reco), 14)[7:]
