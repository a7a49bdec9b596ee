"""Recommenders that keep answers in memory, on stores that count, fail and hang as told."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import timedelta
from threading import Event as Flag
from time import monotonic, sleep
from typing import Any

import attrs

from angle_reco import Recommender, Settings, Shelf, StorageUnavailableError
from angle_reco.adapters.memory.changes import MemoryChanges
from angle_reco.adapters.memory.erasure import MemoryErasure, MemoryErasures
from angle_reco.adapters.memory.ledger import MemoryRunLedger
from angle_reco.adapters.memory.models import MemoryModelStore
from angle_reco.adapters.memory.stores import MemoryFences, MemoryInterestStore, MemoryListStore
from angle_reco.composition import Ports
from angle_reco.domain.events import Event
from angle_reco.domain.runs import Run, RunKey, Trigger, run_request_of
from angle_reco.ports.deadlines import time_left
from angle_reco.ports.threads import BackgroundPool
from angle_reco.testing import Item, ManualClock, MemoryMarketplace
from tests.application.shop import NOW, bid, filled, lot, lots
from tests.application.workers import ports_at

MINUTE = timedelta(minutes=1)
PERSONAL_JOB = "generate_recommendations"
SIMILAR_JOB = "compute_item_similarities"
POPULAR_JOB = "generate_popular_items"

_PATIENCE = 20.0

CATALOGUE = frozenset({"may_be_open", "open_cards", "cards"})
"""The calls that read items."""


def comes_true(what: Callable[[], bool]) -> bool:
    """Return whether something is so, before long."""
    until = monotonic() + _PATIENCE
    while not what():
        if monotonic() > until:
            return False
        sleep(0.002)
    return True


class Store:
    """A port that counts its calls by name, and fails or hangs as it is told."""

    def __init__(self, port: object) -> None:
        self.port = port
        self.calls = Counter[str]()
        self.error: Exception | None = None
        self.gate: Flag | None = None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.port, name)
        if name in ("may_have_ended", "rolled_back"):
            # Of changes: without transactions of a host they ask nothing.
            return found
        return self._counted(name, found) if callable(found) else found

    def _counted(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: object, **named: object) -> Any:
            self.calls[name] += 1
            # As adapters do, it gives up when whoever asks has no time left.
            if self.gate is not None and not self.gate.wait(time_left()):
                raise StorageUnavailableError
            if self.error is not None:
                raise self.error
            return method(*args, **named)

        return call


_STORES = ("users", "activity", "catalog", "interests", "lists", "ledger", "changes")


@attrs.define
class CachingShop:
    """A recommender that keeps answers, its clock and stores, and the events it told of."""

    clock: ManualClock
    ports: Ports
    stores: Mapping[str, Store]
    caches: list[Store]
    events: list[Event]
    settings: Settings
    reco: Recommender

    @classmethod
    def of(
        cls, market: MemoryMarketplace | None = None, settings: Settings | None = None
    ) -> "CachingShop":
        """Open one at NOW."""
        clock, caches, events = ManualClock(NOW), list[Store](), list[Event]()
        ports = _ports(clock, market)
        new_cache = ports.new_cache

        def counted_cache(*args: Any) -> Any:
            caches.append(Store(new_cache(*args)))
            return caches[-1]

        stores: dict[str, Any] = {name: Store(getattr(ports, name)) for name in _STORES}
        ports = attrs.evolve(ports, new_cache=counted_cache, **stores)
        settings = settings or Settings()
        reco = Recommender(ports, settings, on_event=events.append)
        return cls(clock, ports, stores, caches, events, settings, reco)

    def another(self) -> Recommender:
        """Return another recommender on the same ports, as another process has it."""
        return Recommender(self.ports, self.settings)

    def plain(self, **changes: Any) -> Recommender:
        """Return one that keeps nothing, on the same ports."""
        return Recommender(self.ports, attrs.evolve(self.settings, cache_enabled=False, **changes))

    @property
    def market(self) -> MemoryMarketplace:
        """Return the marketplace behind the ports."""
        market = self.stores["catalog"].market
        assert isinstance(market, MemoryMarketplace)
        return market

    def change(self, item_id: str, **values: Any) -> None:
        """Change an item, as its host does."""
        items: Mapping[Any, Item] = self.market.items
        self.market.add_item(attrs.evolve(items[item_id], **values))

    def calls(self) -> Counter[str]:
        """Return how often which method was called, `store.method`, and start over."""
        called = Counter[str]()
        for name, store in self.stores.items():
            called += Counter({f"{name}.{method}": n for method, n in store.calls.items()})
            store.calls.clear()
        return called

    def passes(self, time: timedelta) -> None:
        """Let time pass."""
        self.clock.advance(time)

    def fails(self, error: Exception | None) -> None:
        """Have every store raise an error, or none any more."""
        for store in self.stores.values():
            store.error = error

    def hangs(self) -> ExitStack:
        """Have no store answer until the end of a `with`."""
        gate, until = Flag(), ExitStack()
        for store in self.stores.values():
            store.gate = gate
        until.callback(gate.set)
        return until

    def held(self, job: str, **arguments: object) -> Run:
        """Return a run of a job, by default a complete one, that somebody else is at."""
        ledger = self.stores["ledger"].port
        rule = self.reco._use_cases.runs.rules[job]
        run_request = run_request_of(RunKey.of(job, arguments), Trigger.MANUAL, rule)
        run: Run = ledger.claim(run_request, holder="else", lease=MINUTE).run  # type: ignore[attr-defined]  # a ledger
        return run


def _ports(clock: ManualClock, market: MemoryMarketplace | None) -> Ports:
    fences, erasures = MemoryFences(), MemoryErasures()
    interests, lists = MemoryInterestStore(fences, erasures), MemoryListStore(fences, erasures)
    models, changes = MemoryModelStore(fences, erasures), MemoryChanges(clock)
    return attrs.evolve(
        ports_at(clock, market),
        interests=interests,
        lists=lists,
        models=models,
        erasure=MemoryErasure(erasures, interests, lists, models, changes),
        changes=changes,
        ledger=MemoryRunLedger(clock, fences),
    )


def settle(*recommenders: Recommender) -> None:
    """Wait until nothing is under way behind answers."""
    for reco in recommenders:
        stale_cache, open_items = (
            reco._use_cases.shelves.stale_cache,
            reco._use_cases.shelves.open_items,
        )
        assert stale_cache is not None
        assert open_items is not None
        threads = (stale_cache.pool, open_items.stale_cache.pool)

        def is_idle(threads: tuple[BackgroundPool, ...] = threads) -> bool:
            return all(map(_is_idle, threads))

        assert comes_true(is_idle)


def _is_idle(threads: BackgroundPool) -> bool:
    return threads.settle(0)


def shop(settings: Settings | None = None) -> CachingShop:
    """Return a shop of art, of which ann and bob like one lot each."""
    items = [lot("liked"), *lots("art", 30), *lots("books", 3, "books")]
    market = filled(items, bid("ann", "liked"), bid("bob", "books-01"), users=["eve"])
    return CachingShop.of(market, settings)


ASK: Mapping[str, Callable[[Recommender], Shelf]] = {
    "homepage": lambda reco: reco.as_user("ann").homepage(),
    "similar_items": lambda reco: reco.anonymous.similar_items("liked"),
    "after_bid": lambda reco: reco.as_user("ann").after_bid("liked"),
    "popular_items": lambda reco: reco.anonymous.popular_items(),
}
"""What the shop is asked for, by the name of the call."""


def warm(one: CachingShop, *surfaces: str) -> None:
    """Have answers in memory, and nothing under way."""
    for surface in surfaces or ASK:
        ASK[surface](one.reco)
    settle(one.reco)
    one.calls()
