"""Holds what is kept in memory whoever asks, writes and forgets meanwhile: newest wins."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from enum import Enum, auto
from functools import partial
from threading import Lock
from time import monotonic, perf_counter
from typing import Any

import attrs
import numpy as np
import pytest

from angle_reco import Recommender, Settings, Shelf, UserId
from angle_reco.adapters.ttl_cache import TtlCache
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.domain.ids import IdKind
from angle_reco.domain.lists import ListKind, Lists
from angle_reco.domain.stored_list import StoredList
from angle_reco.domain.suggestions import Freshness, Reason, Source
from angle_reco.ports.cache import CacheKey, Entry, Flight
from angle_reco.rules import FreshnessLimits
from tests.application.memories import CachingShop, comes_true, settle, shop
from tests.application.shop import bid, filled, lot, lots
from tests.reliability.traffic import percentile
from tests.reliability.trials import IS_FULL, seeded, sized

# Many who miss one list.

MANY = 1_000
A_WHILE = timedelta(seconds=30)
"""For so long does a call wait where so many wait for two processors."""


class Counting(TtlCache):
    """A cache that counts who joined flights, and which landed or failed, by their keys."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.counts, self._counting = Counter[tuple[str, CacheKey]](), Lock()

    def join(self, key: CacheKey) -> tuple[Flight, bool]:
        joined = super().join(key)
        self._count("joined", key)
        return joined

    def land(self, flight: Flight, entry: Entry[Any]) -> bool:
        is_kept = super().land(flight, entry)
        self._count("landed", flight.key)
        return is_kept

    def _count(self, what: str, key: CacheKey) -> None:
        with self._counting:
            self.counts[what, key] += 1


class HeldLists:
    """A store of lists that reads a user's list at once, and brings it when it is told to."""

    def __init__(self, port: Any) -> None:
        self._port = port
        self.reads = Counter[object]()
        self.held: dict[object, Held] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def read(self, kind: ListKind, owners: Collection[object]) -> Mapping[object, StoredList]:
        [owner] = owners
        self.reads[owner] += 1
        found: Mapping[object, StoredList] = self._port.read(kind, owners)
        held = self.held.get(owner)
        if held is not None:
            held.has_read.set()
            assert held.may_go.wait(60)
            if held.error is not None:
                raise held.error
        return found


@attrs.define
class Held:
    """A read under way: when it *may go* it brings what it has read, or an *error*."""

    error: Exception | None = None
    has_read: threading.Event = attrs.field(factory=threading.Event)
    may_go: threading.Event = attrs.field(factory=threading.Event)


@attrs.define
class Trial:
    """A shop whose store of lists is held, and whose caches count."""

    one: CachingShop
    lists: HeldLists
    cache: Counting
    reco: Recommender

    @classmethod
    def of(cls, one: CachingShop) -> "Trial":
        """Return it with open items in memory."""
        lists, caches = HeldLists(one.ports.lists), list[Counting]()

        def new_cache(clock: Any, most_bytes: int) -> Counting:
            caches.append(Counting(clock, most_bytes=most_bytes))
            return caches[-1]

        ports = attrs.evolve(one.ports, lists=lists, new_cache=new_cache)
        reco = Recommender(ports, one.settings)
        reco.anonymous.popular_items()
        settle(reco)
        assert reco.anonymous.popular_items().freshness is Freshness.FRESH
        live = reco._use_cases.shelves.open_items
        [cache] = [some for some in caches if live is None or some is not live.stale_cache.cache]
        return cls(one, lists, cache, reco)

    def joined(self, user: str) -> int:
        """Return how many have come to wait for a user's list."""
        return self.cache.counts["joined", (ListKind.PERSONAL.value, user)]

    def release(self, user: str, held: Held) -> None:
        """Let a read of a user's list go on when all have come to wait for it."""
        assert comes_true(lambda: self.joined(user) == MANY)
        held.may_go.set()

    def landed(self, user: str) -> int:
        """Return how often a user's list came into memory, or would have."""
        return self.cache.counts["landed", (ListKind.PERSONAL.value, user)]


Crowd = Callable[[Recommender, str, Callable[[], None]], list[Shelf]]


@pytest.fixture(scope="module")
def in_threads() -> Iterator[Crowd]:
    with ThreadPoolExecutor(MANY) as pool:

        def ask(reco: Recommender, user: str, release: Callable[[], None]) -> list[Shelf]:
            asked = [pool.submit(reco.as_user(user).homepage) for _ in range(MANY)]
            release()
            return [one.result() for one in asked]

        yield ask


@pytest.fixture(scope="module")
def in_coroutines() -> Crowd:
    def ask(reco: Recommender, user: str, release: Callable[[], None]) -> list[Shelf]:
        async def all_of_them() -> list[Shelf]:
            asked = [asyncio.create_task(reco.aio.as_user(user).homepage()) for _ in range(MANY)]
            await asyncio.to_thread(release)
            return await asyncio.gather(*asked)

        return asyncio.run(all_of_them())

    return ask


@pytest.mark.parametrize("how", ["in_threads", "in_coroutines"])
def test_what_many_miss_at_once_is_read_once_for_all(
    request: pytest.FixtureRequest, how: str
) -> None:
    crowd: Crowd = request.getfixturevalue(how)
    trial = Trial.of(shop(Settings(deadline=A_WHILE)))
    seconds = list[float]()
    for number in range(sized(5, 100)):
        user, held = f"visitor-{number}", Held()
        trial.lists.held[user] = held

        began = monotonic()
        shelves = crowd(trial.reco, user, partial(trial.release, user, held))
        seconds.append(monotonic() - began)

        assert trial.lists.reads[user] == 1
        assert {one.ids for one in shelves} == {trial.reco.as_user(user).homepage().ids}
        assert not any(one.degraded_by for one in shelves)
    print(f"{MANY} {how}: {max(seconds):.2f} s at most")


@pytest.mark.parametrize("how", ["in_threads", "in_coroutines"])
def test_what_many_miss_and_cannot_be_read_all_do_without_and_the_next_tries_again(
    request: pytest.FixtureRequest, how: str
) -> None:
    crowd: Crowd = request.getfixturevalue(how)
    trial = Trial.of(shop(Settings(deadline=A_WHILE)))
    popular = trial.reco.anonymous.popular_items().ids
    for number in range(sized(2, 100)):
        user, held = f"visitor-{number}", Held(StorageUnavailableError())
        trial.lists.held[user] = held

        shelves = crowd(trial.reco, user, partial(trial.release, user, held))

        assert trial.lists.reads[user] == 1
        assert {(one.ids, one.degraded_by) for one in shelves} == {(popular, ("list",))}
        del trial.lists.held[user]
        assert not trial.reco.as_user(user).homepage().degraded_by
        assert trial.lists.reads[user] == 2


def test_lists_that_are_recomputed_leave_a_thread_to_the_open_items_they_wait_for() -> None:
    live_for = timedelta(minutes=1)
    trial = Trial.of(shop(attrs.evolve(STALE_SETTINGS, deadline=A_WHILE, live_for=live_for)))
    users = [f"visitor-{number}" for number in range(20)]
    for user in users:
        trial.reco.as_user(user).homepage()
    settle(trial.reco)
    trial.one.passes(FRESH_FOR + A_MOMENT)
    trial.lists.held = {user: Held() for user in users}
    for user in users:
        assert trial.reco.as_user(user).homepage().freshness is Freshness.STALE
    # Now they need the open items, which are too old, when they have read what is stored.
    trial.one.passes(3 * live_for)
    assert trial.reco.as_user(users[0]).homepage().freshness is Freshness.STALE
    for held in trial.lists.held.values():
        held.may_go.set()

    for user in users:
        is_fresh = partial(_is_fresh, trial.reco, user)
        assert comes_true(is_fresh)


def _is_fresh(reco: Recommender, user: str) -> bool:
    return reco.as_user(user).homepage().freshness is Freshness.FRESH


# Stale reads, refreshes, and who writes meanwhile.

FRESH_FOR = timedelta(seconds=60)
A_MOMENT = timedelta(seconds=1.1)
STALE_SETTINGS = Settings(
    freshness={
        **Settings().freshness,
        ListKind.PERSONAL: FreshnessLimits(fresh_for=FRESH_FOR, stale_for=timedelta(days=1)),
    },
    live_for=timedelta(hours=1),
)
IT_HANGS = 20 * STALE_SETTINGS.deadline + A_MOMENT
AFTER_A_DEFECT = timedelta(seconds=10.1)
A_TRIAL = 500


class How(Enum):
    """How a refresh ends."""

    SUCCEEDS = auto()
    FAILS = auto()
    IS_DEFECT = auto()
    HANGS = auto()


class Meanwhile(Enum):
    """What else is done with the list that is recomputed."""

    NOTHING = auto()
    WRITTEN = auto()
    FORGOTTEN = auto()
    ERASED = auto()


class When(Enum):
    """When that is done, by the end of the refresh."""

    BEFORE = auto()
    AT_ONCE = auto()
    AFTER = auto()


ERRORS = {How.FAILS: StorageUnavailableError(), How.IS_DEFECT: ZeroDivisionError()}


@attrs.define
class Interleaving:
    """A user whose list is stale in memory while it is read again, and what is done to it.

    Which version a list is of, its first item says: 0 is in memory, 1 is stored when the
    refresh begins, 2 comes meanwhile, and None is all that was never stored.
    """

    trial: Trial
    user: str
    how: How
    while_waiting: Meanwhile
    when: When
    seconds: list[float]

    def run(self) -> None:
        lists, held = self.trial.lists, Held(ERRORS.get(self.how))
        self.store(0)
        assert self.shown() == 0
        self.pass_by(FRESH_FOR + A_MOMENT)
        self.store(1)
        lists.held[self.user] = held
        assert self.timed() == 0
        assert held.has_read.wait(20)
        del lists.held[self.user]
        assert self.timed() == 0

        if self.when is When.BEFORE:
            self.act()
        if self.how is How.HANGS:
            self.take_off_again()
        held.may_go.set()
        if self.when is When.AFTER:
            settle(self.trial.reco)
        if self.when is not When.BEFORE:
            self.act()

        allowed = {0, 1} if self.while_waiting is Meanwhile.NOTHING else {self.newest}
        assert self.shown() in allowed
        settle(self.trial.reco)
        assert self.shown() in allowed
        self.pass_by(AFTER_A_DEFECT)
        self.shown()
        settle(self.trial.reco)
        assert self.shown() == self.newest

    @property
    def newest(self) -> int | None:
        match self.while_waiting:
            case Meanwhile.NOTHING:
                return 1
            case Meanwhile.ERASED:
                return None
            case _:
                return 2

    def act(self) -> None:
        system = self.trial.reco.system
        match self.while_waiting:
            case Meanwhile.WRITTEN:
                system.stored.upsert_recommendation(self.user, "version-2", score=1, rank=1)
            case Meanwhile.FORGOTTEN:
                # Somebody else has written it.
                self.store(2)
                system.forget_cached(user_id=self.user)
            case Meanwhile.ERASED:
                system.erase_user(self.user)

    def take_off_again(self) -> None:
        """Have another refresh begin and land, while the first one hangs."""
        if self.while_waiting is not Meanwhile.NOTHING and self.when is When.BEFORE:
            # There is nothing to be recomputed.
            self.shown()
            return
        self.pass_by(IT_HANGS)
        assert self.timed() == 0
        self.pass_by(A_MOMENT)
        assert self.timed() == 0
        assert comes_true(lambda: self.trial.landed(self.user) == 2)
        assert self.shown() == 1

    def shown(self) -> int | None:
        [first] = self.trial.reco.as_user(self.user).homepage(1)
        name, _, version = str(first.item_id).partition("-")
        return int(version) if name == "version" else None

    def timed(self) -> int | None:
        began = perf_counter()
        version = self.shown()
        self.seconds.append(perf_counter() - began)
        return version

    def store(self, version: int) -> None:
        one = self.trial.one
        recipe = one.settings.recipes().lists[ListKind.PERSONAL]
        one.ports.lists.write(
            ListKind.PERSONAL,
            Lists(
                owners=IdColumn.of(IdKind.TEXT, [UserId(self.user)]),
                offsets=np.array([0, 2]),
                items=IdColumn.of(IdKind.TEXT, [f"version-{version}", "art-01"]),
                scores=np.array([2, 1], np.int32),
                parts=np.zeros((2, len(recipe.weights)), np.int32),
                reasons=np.full(2, Reason.FOR_YOU.code, np.int8),
                sources=np.full(2, Source.PERSONAL.code, np.int8),
                recipe=recipe,
                computed_at=one.clock.now(),
            ),
        )

    def pass_by(self, time: timedelta) -> None:
        self.trial.one.clock.advance(time)


def shop_of_versions() -> CachingShop:
    """Return a shop where nobody wants the items that say of which version a list is."""
    wanted = [bid(f"fan-{number}", "liked") for number in range(9)]
    items = [lot("liked"), *lots("art", 5), *(lot(f"version-{one}", "old") for one in range(3))]
    return CachingShop.of(filled(items, *wanted), STALE_SETTINGS)


def test_of_all_that_comes_while_a_list_is_recomputed_the_newest_is_shown() -> None:
    chance, seconds, counts = seeded(), list[float](), Counter[tuple[Enum, ...]]()
    for number in range(sized(300, 10_000)):
        if number % A_TRIAL == 0:
            trial = Trial.of(shop_of_versions())
        kinds = (
            chance.choice(list(How)),
            chance.choice(list(Meanwhile)),
            chance.choice(list(When)),
        )
        one = Interleaving(trial, f"user-{number}", *kinds, seconds)
        try:
            one.run()
        except AssertionError as error:
            raise AssertionError(f"{kinds}: {error}") from error
        counts[kinds] += 1

    p99 = percentile(seconds, 0.99) * 1_000
    print(f"{counts.total()} of {len(counts)} kinds; {len(seconds)} stale reads, p99 {p99:.2f} ms")
    assert p99 < (5 if IS_FULL else 500)
