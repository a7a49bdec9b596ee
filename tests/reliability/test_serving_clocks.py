"""Holds how long lists are shown where somebody sets the time of day, back and forth."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest

from angle_reco import Recommender, Shelf
from angle_reco.adapters.ttl_cache import TtlCache
from angle_reco.domain.lists import ListKind
from angle_reco.domain.suggestions import Freshness
from angle_reco.ports.cache import Cached, CacheKey, Entry, Flight
from angle_reco.testing import ManualClock
from tests.application.memories import (
    PERSONAL_JOB,
    SIMILAR_JOB,
    CachingShop,
    settle,
    shop,
)
from tests.application.shop import HOUR, TICK
from tests.reliability.trials import seeded, sized

STEPS = 15
SECOND = timedelta(seconds=1)
JUMPS = (-HOUR, 25 * HOUR)
STRIDES = (SECOND, 30 * SECOND, 90 * SECOND, HOUR, 7 * HOUR, 25 * HOUR)
APART = timedelta(minutes=5)

ASKED: dict[CacheKey, Callable[[Recommender], Shelf]] = {
    ("personal", "ann"): lambda reco: reco.as_user("ann").homepage(5),
    ("personal", "bob"): lambda reco: reco.as_user("bob").homepage(5),
    ("personal", "eve"): lambda reco: reco.as_user("eve").homepage(5),
    ("similar", "liked"): lambda reco: reco.anonymous.similar_items("liked", 5),
    ("similar", "art-07"): lambda reco: reco.anonymous.similar_items("art-07", 5),
}


@attrs.frozen
class Cacheable:
    """When an entry came into memory, by the clock that only goes forward, and how old then."""

    at: float
    age: timedelta


class Dated(TtlCache):
    """A cache that notes when its entries came, beside its own books."""

    def __init__(self, clock: Any, most_bytes: int) -> None:
        super().__init__(clock, most_bytes=most_bytes)
        self.clock, self.kept = clock, dict[CacheKey, Cacheable]()

    def land(self, flight: Flight, entry: Entry[Any]) -> bool:
        at = self.clock.monotonic()
        is_kept = super().land(flight, entry)
        if is_kept:
            self.kept[flight.key] = Cacheable(at, entry.age)
        return is_kept


class Apart:
    """The clock of another machine, whose time of day is set otherwise."""

    def __init__(self, clock: ManualClock, by: timedelta) -> None:
        self._clock, self._by = clock, by

    def now(self) -> datetime:
        return self._clock.now() + self._by

    def monotonic(self) -> float:
        return self._clock.monotonic()


@attrs.define
class Machine:
    """A recommender of the shop with its caches, and how far off its time of day is."""

    one: CachingShop
    reco: Recommender
    caches: list[Dated]
    off: timedelta = timedelta(0)

    @classmethod
    def of(cls, one: CachingShop, by: timedelta | None = None) -> "Machine":
        """Return one of a shop, with a clock of its own if that is so far *by* another."""
        caches = list[Dated]()

        def new_cache(clock: Any, most_bytes: int) -> Dated:
            caches.append(Dated(clock, most_bytes))
            return caches[-1]

        clock = one.clock if by is None else Apart(one.clock, by)
        ports = attrs.evolve(one.ports, new_cache=new_cache, clock=clock)
        return cls(one, Recommender(ports, one.settings), caches)

    def ask(self, key: CacheKey) -> Shelf:
        """Return an answer, having looked whether it may be as fresh as it says."""
        now = self.one.clock.monotonic()
        # A run that has ended elsewhere makes a list stale; the answer looks no second time.
        invalidator = self.reco._use_cases.shelves.invalidator
        assert invalidator is not None
        invalidator.read_if_due()
        before = self.in_memory().get(key)
        usable = self.is_usable(key)
        shelf = ASKED[key](self.reco)
        fresh_for = self.one.settings.freshness[ListKind(key[0])].fresh_for
        if before is not None and before.freshness is Freshness.FRESH:
            [kept] = [cache.kept[key] for cache in self.caches if key in cache.kept]
            assert shelf.freshness is Freshness.FRESH
            assert timedelta(seconds=now - kept.at) + kept.age <= fresh_for
        if before is not None or usable:
            assert shelf.freshness is not Freshness.COMPUTED
        assert len(shelf) == 5
        settle(self.reco)
        return shelf

    def is_usable(self, key: CacheKey) -> bool:
        """Return whether what is stored is of an age at which it may be shown."""
        kind, owner = ListKind(key[0]), key[1]
        limits = self.one.settings.freshness[kind]
        stored = self.one.ports.lists.read(kind, [owner]).get(owner)
        if stored is None:
            return False
        ages = [
            self.reco.ports.clock.now() - moment
            for moment in (stored.computed_at, stored.covered_at)
            if moment is not None
        ]
        # One that was computed too far ahead is not used, however often a run covers it.
        is_ahead = ages[0] < -limits.stale_for
        return not is_ahead and any(-limits.stale_for <= age <= limits.shown_for for age in ages)

    def in_memory(self) -> dict[CacheKey, Cached[Any]]:
        """Return every entry there is, as fresh as it is now."""
        keys = [*ASKED, ("open_items", "")]
        found = [(key, cache.get(key)) for cache in self.caches for key in keys]
        return {key: cached for key, cached in found if cached is not None}

    def set_clock(self, off: timedelta) -> None:
        """Set the time of day, so far from what it really is; nothing in memory cares."""
        before = self.in_memory()
        self.one.clock.set(self.one.clock.now() - self.off + off)
        self.off = off

        after = self.in_memory()
        assert before.keys() == after.keys()
        for key, cached in before.items():
            assert after[key].freshness is cached.freshness
            assert after[key].value is cached.value


@pytest.fixture
def one() -> CachingShop:
    """Give a shop whose jobs have run."""
    one = shop()
    run_jobs(one.plain())
    return one


def run_jobs(reco: Recommender) -> None:
    for job in (PERSONAL_JOB, SIMILAR_JOB):
        reco.system.run_job(job)


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("age", [timedelta(0), 20 * HOUR])
def test_nothing_expires_at_once_when_the_time_of_day_jumps(
    one: CachingShop, jump: timedelta, age: timedelta
) -> None:
    machine = Machine.of(one)
    for key in ASKED:
        machine.ask(key)
    one.passes(age)
    machine.set_clock(jump)

    assert {machine.ask(key).freshness for key in ASKED} == {Freshness.FRESH}
    # Another process has nothing in memory yet: what is stored will do.
    another = Machine.of(one)
    shown = {another.ask(key).freshness for key in ASKED}
    assert shown <= {Freshness.FRESH, Freshness.STALE}


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("age", [timedelta(0), 20 * HOUR])
def test_nothing_is_fresh_for_longer_when_the_time_of_day_jumps(
    one: CachingShop, jump: timedelta, age: timedelta
) -> None:
    one.passes(age)
    machine = Machine.of(one)
    for key in ASKED:
        machine.ask(key)
    machine.set_clock(jump)
    for kind in (ListKind.PERSONAL, ListKind.SIMILAR):
        keys = [key for key in ASKED if key[0] == kind]
        fresh_for = one.settings.freshness[kind].fresh_for

        one.passes(fresh_for - timedelta(seconds=one.clock.monotonic()))
        assert {machine.in_memory()[key].freshness for key in keys} == {Freshness.FRESH}
        one.passes(TICK)
        assert {machine.in_memory()[key].freshness for key in keys} == {Freshness.STALE}


def test_lists_are_as_fresh_as_they_say_however_the_time_of_day_is_set() -> None:
    chance = seeded()
    for _ in range(sized(100, 1_000)):
        one = shop()
        run_jobs(one.plain())
        machine = Machine.of(one)
        for _ in range(STEPS):
            step(machine, chance)


def step(machine: Machine, chance: random.Random) -> None:
    match chance.randrange(8):
        case 0 | 1:
            machine.one.passes(chance.choice(STRIDES) * chance.random())
        case 2:
            machine.set_clock(chance.choice([*JUMPS, timedelta(0)]))
        case 3:
            machine.set_clock(machine.off + chance.uniform(-2, 2) * SECOND)
        case 4:
            run_jobs(machine.one.plain())
        case _:
            machine.ask(chance.choice(list(ASKED)))


def test_of_two_machines_whose_clocks_differ_each_shows_what_the_other_has_made() -> None:
    chance = seeded()
    for _ in range(sized(3, 100)):
        one = shop()
        machines = [Machine.of(one, by=timedelta(0)), Machine.of(one, by=APART)]
        for _ in range(STEPS):
            one.passes(chance.choice(STRIDES[:-1]) * chance.random())
            run_jobs(chance.choice(machines).reco)
            one.passes(2 * one.settings.live_for + SECOND)
            for machine in machines:
                made = stored(one)
                # It sees that there is something newer, reads it, and shows it.
                for _ in range(2):
                    for key in ASKED:
                        machine.ask(key)
                assert {machine.ask(key).freshness for key in ASKED} == {Freshness.FRESH}
                assert stored(one) == made


def stored(one: CachingShop) -> list[object]:
    """Return what is stored of all that is asked for."""
    return [one.ports.lists.read(ListKind(kind), [owner]) for kind, owner in ASKED]
