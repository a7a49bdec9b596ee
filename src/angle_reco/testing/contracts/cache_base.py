"""What the contract suites of `Cache` share: its fixtures, and helpers that store values."""

from datetime import timedelta
from typing import Protocol

import pytest
from hypothesis import strategies as st

from angle_reco.domain.freshness import FreshnessLimits
from angle_reco.domain.suggestions import Freshness
from angle_reco.ports.cache import Cache, CacheKey, Entry, Flight
from angle_reco.ports.clock import Clock
from angle_reco.testing.clock import ManualClock
from angle_reco.testing.contracts.samples import DAY, HOUR, TICK

KEY, OTHER, THIRD = ("personal", "ann"), ("personal", "bob"), ("personal", "eve")
ELSEWHERE = ("similar", "ann")

LIMITS = FreshnessLimits(fresh_for=HOUR, stale_for=2 * HOUR, on_error_for=4 * HOUR)
NO_TIME = timedelta(0)

ROOM = 1_000_000
A_QUARTER = 240_000
"""A size of which four entries fit into `ROOM`, overhead included, and five do not."""

FRESH, STALE, ON_ERROR = Freshness.FRESH, Freshness.STALE, Freshness.STALE_ON_ERROR

SPANS = st.timedeltas(NO_TIME, 365 * DAY) | st.sampled_from([NO_TIME, TICK, HOUR, DAY])


class MakeCache(Protocol):
    """A factory of empty caches."""

    def __call__(self, clock: Clock, *, most_bytes: int) -> Cache:
        """Return an empty cache of at most *most_bytes* bytes."""
        ...


class EmptyCache:
    """The fixtures of the suites; a subclass overrides *make*."""

    @pytest.fixture
    def make(self) -> MakeCache:
        """Return the factory of the port under test."""
        pytest.fail("override this fixture")

    @pytest.fixture
    def clock(self) -> ManualClock:
        """Return the clock of the cache, whose monotonic time does not start at zero."""
        clock = ManualClock()
        clock.advance(timedelta(days=11, seconds=7, microseconds=123_457))
        return clock

    @pytest.fixture
    def cache(self, make: MakeCache, clock: ManualClock) -> Cache:
        """Return the port under test, empty."""
        return make(clock, most_bytes=ROOM)


def put(
    cache: Cache,
    key: CacheKey,
    value: object = "value",
    *,
    size: int = 100,
    age: timedelta = NO_TIME,
    limits: FreshnessLimits = LIMITS,
) -> bool:
    """Cache a value, by default a small and new one; return whether it is stored."""
    entry = Entry(value, size=size, age=age, limits=limits)
    return cache.land(takes_off(cache, key), entry)


def takes_off(cache: Cache, key: CacheKey = KEY) -> Flight:
    """Return a new flight of *key*; fail if one is under way."""
    flight, is_new = cache.join(key)
    assert is_new
    return flight


def land(cache: Cache, flight: Flight, value: object, *, age: timedelta = NO_TIME) -> bool:
    """End a flight with a small value, by default a new one; return whether it is stored."""
    return cache.land(flight, Entry(value, size=100, age=age, limits=LIMITS))


def keys_in(cache: Cache, *keys: CacheKey) -> list[CacheKey]:
    """Return those of *keys* that have an entry that may be shown."""
    return [key for key in keys if cache.get(key) is not None]
