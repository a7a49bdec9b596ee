"""The same answers on an event loop: from memory at once, else once for all."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from threading import Event as Flag
from threading import get_ident
from time import monotonic
from typing import Any, NoReturn

import attrs
import pytest
from hypothesis import given, settings

from angle_reco import (
    AccessDeniedError,
    Freshness,
    InvalidValueError,
    ItemNotFoundError,
    Recommender,
    Settings,
    Shelf,
    StorageUnavailableError,
)
from angle_reco.aio import AsyncView
from angle_reco.ports.threads import BackgroundPool
from angle_reco.rules import Verify
from angle_reco.testing import MemoryMarketplace
from tests.application.markets import UNKNOWN, USERS, marketplaces
from tests.application.memories import (
    ASK,
    MINUTE,
    CachingShop,
    settle,
    shop,
    warm,
)
from tests.application.shop import HOUR, NOW, TICK, ids_of
from tests.application.workers import Calling

FRESH, STALE, COMPUTED = Freshness.FRESH, Freshness.STALE, Freshness.COMPUTED
ON_ERROR = Freshness.STALE_ON_ERROR

AIO: Mapping[str, Callable[[Recommender], Coroutine[Any, Any, Shelf]]] = {
    "homepage": lambda reco: reco.aio.as_user("ann").homepage(),
    "similar_items": lambda reco: reco.aio.anonymous.similar_items("liked"),
    "after_bid": lambda reco: reco.aio.as_user("ann").after_bid("liked"),
    "popular_items": lambda reco: reco.aio.anonymous.popular_items(),
}
"""What `ASK` asks, on a loop."""

FROM_MEMORY = ("homepage", "similar_items", "popular_items")
LISTS = ("homepage", "similar_items")


async def at_once(answer: Coroutine[Any, Any, Shelf]) -> Shelf:
    """Return an answer for which nothing was waited, not even for the loop."""
    try:
        answer.send(None)
    except StopIteration as over:
        shelf: Shelf = over.value
        return shelf
    answer.close()
    raise AssertionError("it waits")


async def soon(what: Callable[[], bool]) -> bool:
    """Return whether something is so before long, while the loop goes on."""
    until = monotonic() + 20
    while not what():
        if monotonic() > until:
            return False
        await asyncio.sleep(0.002)
    return True


@pytest.mark.parametrize("surface", ASK)
def test_the_answers_are_the_same(surface: str) -> None:
    one = shop()
    expected = ASK[surface](one.plain())

    for _ in range(2):
        shelf = asyncio.run(AIO[surface](one.reco))
        assert list(shelf) == list(expected)
        settle(one.reco)


@settings(max_examples=10)
@given(market=marketplaces())
def test_they_are_so_whatever_the_marketplace(market: MemoryMarketplace) -> None:
    one = CachingShop.of(market)
    plain, items = one.plain(), sorted(str(item) for item in market.items)[:2]

    async def ask_all(view: AsyncView) -> list[Shelf]:
        asked: list[Awaitable[Shelf]] = [view.homepage(), view.homepage(61), view.popular_items(7)]
        asked += [view.similar_items(item) for item in items]
        asked += [view.after_bid(item, assume_bid=True) for item in items]
        return list(await asyncio.gather(*asked))

    async def ask_everybody() -> list[list[Shelf]]:
        return [await ask_all(one.reco.aio.as_user(user)) for user in (*USERS, UNKNOWN)]

    expected = []
    for user in (*USERS, UNKNOWN):
        view = plain.as_user(user)
        shelves = [view.homepage(), view.homepage(61), view.popular_items(7)]
        shelves += [view.similar_items(item) for item in items]
        shelves += [view.after_bid(item, assume_bid=True) for item in items]
        expected.append([_said(shelf) for shelf in shelves])
    for _ in range(2):
        answered = asyncio.run(ask_everybody())
        assert [[_said(shelf) for shelf in shelves] for shelves in answered] == expected
        settle(one.reco)


def _said(shelf: Shelf) -> list[tuple[object, ...]]:
    return [(*line[:2], *line[3:]) for line in shelf]


class TestInTheLoopsThread:
    @pytest.mark.parametrize("surface", FROM_MEMORY)
    def test_a_hit_never_leaves_it(self, surface: str) -> None:
        one = shop()
        warm(one)

        shelf = asyncio.run(at_once(AIO[surface](one.reco)))

        assert shelf.freshness is FRESH
        assert one.calls() == {}

    @pytest.mark.parametrize("surface", LISTS)
    def test_nor_does_one_that_is_stale(self, surface: str) -> None:
        one = shop()
        warm(one)
        one.passes(30 * HOUR + TICK)
        warm(one, "popular_items")

        assert asyncio.run(at_once(AIO[surface](one.reco))).freshness is STALE
        settle(one.reco)
        assert asyncio.run(at_once(AIO[surface](one.reco))).freshness is FRESH

    @pytest.mark.parametrize("surface", ASK)
    def test_no_store_is_ever_asked_in_it(self, surface: str) -> None:
        one, threads = shop(), set[int]()
        for store in one.stores.values():
            store.port = _published(store.port, lambda: threads.add(get_ident()))

        async def ask() -> int:
            await AIO[surface](one.reco)
            await one.reco.aio.as_user("ann").interests()
            one.passes(31 * HOUR)
            await AIO[surface](one.reco)
            return get_ident()

        loops = asyncio.run(ask())
        settle(one.reco)

        assert threads
        assert loops not in threads

    def test_nor_a_permission_or_a_loader_of_the_host(self) -> None:
        one, threads = shop(), set[int]()

        class Asked:
            def holds(self, user_id: object, name: str) -> bool:
                threads.add(get_ident())
                return True

        def load(ids: Any) -> dict[Any, str]:
            threads.add(get_ident())
            return {item_id: f"my {item_id}" for item_id in ids}

        reco = Recommender(attrs.evolve(one.ports, permissions=Asked()), one.settings)

        async def ask() -> tuple[Shelf, Shelf, int]:
            page = await reco.aio.as_user("bob").homepage(of="ann")
            own = await reco.aio.anonymous.popular_items(cards=load)
            return page, own, get_ident()

        page, own, loops = asyncio.run(ask())
        settle(reco)

        assert ids_of(page) == ids_of(ASK["homepage"](one.plain()))
        assert own[0].card == f"my {own[0].item_id}"
        assert len(threads) > 0
        assert loops not in threads

    def test_the_loop_goes_on_while_something_is_read(self) -> None:
        one = shop(Settings(deadline=timedelta(seconds=30)))
        warm(one, "popular_items")
        gate = one.stores["lists"].gate = Flag()

        async def ask() -> tuple[Shelf, Shelf]:
            page = asyncio.ensure_future(AIO["homepage"](one.reco))
            assert await soon(lambda: one.stores["lists"].calls["read"] == 1)
            popular = await at_once(AIO["popular_items"](one.reco))
            assert not page.done()
            gate.set()
            return popular, await page

        popular, page = asyncio.run(ask())
        settle(one.reco)

        assert (popular.freshness, page.freshness) == (FRESH, COMPUTED)


def _published(port: object, call: Callable[[], object]) -> object:
    for name in dir(port):
        # The way that a transaction of the host's ended is seen without asking.
        is_free = name.startswith("_") or name == "may_have_ended"
        if not is_free and callable(getattr(port, name)):
            port = Calling(port, name, call)
    return port


class TestTogether:
    @pytest.mark.parametrize("fails", [False, True])
    @pytest.mark.parametrize("surface", LISTS)
    def test_of_a_thousand_who_miss_one_computes(self, surface: str, fails: bool) -> None:
        one = shop(Settings(deadline=timedelta(seconds=30)))
        warm(one, "popular_items")
        store, joined = one.stores["lists"], one.caches[0].calls
        joined.clear()
        gate = store.gate = Flag()

        async def ask() -> list[Shelf]:
            asked = [asyncio.ensure_future(AIO[surface](one.reco)) for _ in range(1_000)]
            assert await soon(lambda: joined["join"] == 1_000)
            store.error = StorageUnavailableError() if fails else None
            gate.set()
            return list(await asyncio.gather(*asked))

        shown = asyncio.run(ask())
        settle(one.reco)

        assert store.calls["read"] == 1
        assert {(shelf.freshness, shelf.degraded_by) for shelf in shown} == {
            (FRESH, ("list",)) if fails else (COMPUTED, ())
        }
        assert len({shelf.ids for shelf in shown}) == 1
        store.error = None
        again = asyncio.run(AIO[surface](one.reco))
        assert again.freshness is (COMPUTED if fails else FRESH)
        settle(one.reco)

    def test_threads_and_coroutines_share_one(self) -> None:
        one = shop(Settings(deadline=timedelta(seconds=30)))
        warm(one, "popular_items")
        store, joined = one.stores["lists"], one.caches[0].calls
        joined.clear()
        gate = store.gate = Flag()

        async def ask() -> list[Shelf]:
            here = [asyncio.ensure_future(AIO["homepage"](one.reco)) for _ in range(5)]
            there = [asyncio.to_thread(ASK["homepage"], one.reco) for _ in range(2)]
            elsewhere = [asyncio.ensure_future(task) for task in there]
            assert await soon(lambda: joined["join"] == 7)
            gate.set()
            return list(await asyncio.gather(*here, *elsewhere))

        shown = asyncio.run(ask())
        settle(one.reco)

        assert {shelf.freshness for shelf in shown} == {COMPUTED}
        assert one.stores["activity"].calls["history"] == 1

    @pytest.mark.parametrize("cancelled", [1, 5, 10])
    def test_who_is_cancelled_cancels_nobody_else(self, cancelled: int) -> None:
        one = shop(Settings(deadline=timedelta(seconds=30)))
        warm(one, "popular_items")
        gate = one.stores["lists"].gate = Flag()

        async def ask() -> list[Shelf]:
            asked = [asyncio.ensure_future(AIO["homepage"](one.reco)) for _ in range(10)]
            assert await soon(lambda: one.stores["lists"].calls["read"] == 1)
            for task in asked[:cancelled]:
                task.cancel()
            await asyncio.sleep(0)
            gate.set()
            ended = await asyncio.gather(*asked, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in ended[:cancelled])
            return [one for one in ended if isinstance(one, Shelf)]

        shown = asyncio.run(ask())
        settle(one.reco)

        assert [shelf.freshness for shelf in shown] == [COMPUTED] * (10 - cancelled)
        assert one.stores["activity"].calls["history"] == 1
        assert ASK["homepage"](one.reco).freshness is FRESH

    def test_a_loop_that_ends_meanwhile_harms_nobody(self) -> None:
        one = shop(Settings(deadline=timedelta(seconds=30)))
        warm(one, "popular_items")
        gate = one.stores["lists"].gate = Flag()

        async def ask_and_leave() -> None:
            asked = asyncio.ensure_future(AIO["homepage"](one.reco))
            assert await soon(lambda: one.stores["lists"].calls["read"] == 1)
            asked.cancel()

        asyncio.run(ask_and_leave())
        gate.set()
        settle(one.reco)

        assert asyncio.run(at_once(AIO["homepage"](one.reco))).freshness is FRESH


class TestFailing:
    @pytest.mark.parametrize("surface", ASK)
    def test_nobody_waits_longer_than_the_deadline(self, surface: str) -> None:
        one = shop(Settings(deadline=timedelta(milliseconds=300)))

        async def ask() -> tuple[list[Shelf], float]:
            started = monotonic()
            shown = await asyncio.gather(*(AIO[surface](one.reco) for _ in range(30)))
            return list(shown), monotonic() - started

        with one.hangs():
            shown, took = asyncio.run(ask())
        settle(one.reco)

        assert 0.25 < took < 3
        assert {(shelf.ids, shelf.degraded_by) for shelf in shown} == {((), ("list", "popular"))}

    @pytest.mark.parametrize("surface", ASK)
    def test_in_an_outage_they_are_those_of_everybody(self, surface: str) -> None:
        one = shop()
        warm(one)
        one.passes(24 * HOUR + TICK)
        one.fails(StorageUnavailableError())
        for _ in range(2):  # until it is known that nothing can be recomputed
            ASK[surface](one.reco)
            settle(one.reco)

        shelf, expected = asyncio.run(AIO[surface](one.reco)), ASK[surface](one.reco)
        settle(one.reco)

        assert list(shelf) == list(expected)
        assert (shelf.freshness, shelf.degraded_by) == (expected.freshness, expected.degraded_by)
        assert "items" in shelf.degraded_by

    @pytest.mark.parametrize("surface", LISTS)
    def test_an_old_one_is_shown_on_error_by_the_first_who_asks(self, surface: str) -> None:
        one = shop()
        warm(one)
        one.passes(54 * HOUR + TICK)
        one.fails(StorageUnavailableError())

        shelf = asyncio.run(AIO[surface](one.reco))
        settle(one.reco)

        assert (shelf.freshness, shelf.degraded_by) == (ON_ERROR, ("list", "items"))
        assert len(shelf) > 0

    def test_where_no_thread_can_be_started_that_is_an_error_of_ours(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = shop()

        def refuse(*_: object) -> NoReturn:
            raise RuntimeError("can't start new thread")

        async def ask() -> bool:
            with pytest.raises(StorageUnavailableError, match="no thread can be started"):
                await one.reco.aio.as_user("ann").interests()
            return await one.reco.aio.bid_placed("ann", "liked")

        monkeypatch.setattr(BackgroundPool, "submit", refuse)
        assert not asyncio.run(ask())
        assert one.reco.system.stats().events_failed == 1

    def test_errors_are_errors(self) -> None:
        one = shop()
        warm(one)
        ann, visitor = one.reco.aio.as_user("ann"), one.reco.aio.anonymous
        asked: list[tuple[type[Exception], Callable[[], Awaitable[object]]]] = [
            (ItemNotFoundError, lambda: visitor.similar_items("unknown")),
            (ItemNotFoundError, lambda: ann.after_bid("unknown")),
            (AccessDeniedError, lambda: ann.homepage(of="bob")),
            (AccessDeniedError, visitor.interests),
            (InvalidValueError, lambda: visitor.popular_items(0)),
        ]

        async def ask(answer: Callable[[], Awaitable[object]]) -> None:
            await answer()

        for error, answer in asked:
            for _ in range(2):
                with pytest.raises(error):
                    asyncio.run(ask(answer))
        settle(one.reco)

    def test_without_memory_what_fails_is_raised(self) -> None:
        one = shop()
        one.fails(StorageUnavailableError())

        for surface in ASK:
            with pytest.raises(StorageUnavailableError):
                asyncio.run(AIO[surface](one.plain()))


class TestTheRest:
    def test_interests(self) -> None:
        one = shop()

        mine = asyncio.run(one.reco.aio.as_user("ann").interests())
        yours = asyncio.run(one.reco.aio.system.interests(1, of="bob"))

        assert mine == one.plain().as_user("ann").interests()
        assert [str(interest.category_id) for interest in (*mine, *yours)] == ["art", "books"]

    def test_events_are_taken_and_seen_in_the_next_answer(self) -> None:
        one = shop()
        warm(one)

        async def visit() -> list[bool]:
            aio = one.reco.aio
            taken = [
                await aio.signed_in("ann"),
                await aio.bid_placed("ann", "art-01", at=NOW),
                await aio.watched("ann", "art-02"),
                await aio.watched("ann", "art-03"),
                await aio.unwatched("ann", "art-03"),
                await aio.unwatched("ann", "art-03"),
            ]
            page = await aio.as_user("ann").homepage()
            assert not {"art-01", "art-02"} & set(page.ids)
            assert "art-03" in ids_of(page)
            return taken

        assert asyncio.run(visit()) == [True] * 5 + [False]
        settle(one.reco)

    def test_every_answer_verified(self) -> None:
        one = shop(Settings(verify=Verify.ALWAYS))
        warm(one)
        one.change("art-01", is_published=False)

        for surface in ASK:
            assert "art-01" not in ids_of(asyncio.run(AIO[surface](one.reco)))
        settle(one.reco)

    def test_many_loops_one_after_another(self) -> None:
        one = shop()

        for _ in range(3):
            for surface in ASK:
                assert len(asyncio.run(AIO[surface](one.reco))) > 0
            one.passes(MINUTE + TICK)
        assert one.reco.aio is one.reco.aio
        settle(one.reco)
