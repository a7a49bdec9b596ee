"""The caches keep the contract; and whatever happens at once, the newest value wins.

At full size, with ANGLE_RECO_TEST_SIZE=full, a mistake is looked for much longer.
"""

import gc
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from angle_reco.adapters.clocks import SystemClock
from angle_reco.adapters.ttl_cache import BYTES_PER_ENTRY, TtlCache
from angle_reco.domain.freshness import FreshnessLimits
from angle_reco.domain.suggestions import Freshness
from angle_reco.ports.cache import Cache, CacheKey, Entry, Flight
from angle_reco.testing import ManualClock
from angle_reco.testing.contracts import CacheContract, MakeCache
from angle_reco.testing.contracts.cache_base import put
from angle_reco.testing.contracts.samples import TICK
from tests.memory_cache import MemoryCache
from tests.reliability.trials import seeded, sized, together

OTHER: CacheKey = ("personal", "bob")
KEY = ("personal", "ann")
NO_TIME = timedelta(0)
SECOND = timedelta(seconds=1)
LIMITS = FreshnessLimits(fresh_for=4 * SECOND, stale_for=4 * SECOND, on_error_for=8 * SECOND)

each_cache = pytest.mark.parametrize("make", [MemoryCache, TtlCache])


class TestMemoryCache(CacheContract):
    @pytest.fixture
    def make(self) -> MakeCache:
        return MemoryCache


class TestTtlCache(CacheContract):
    @pytest.fixture
    def make(self) -> MakeCache:
        return TtlCache


# One after the other: both answer alike.

_keys = st.tuples(st.sampled_from(["personal", "similar"]), st.sampled_from(["ann", 7, None]))
_spans = st.sampled_from([NO_TIME, TICK, SECOND, 4 * SECOND, 8 * SECOND, 16 * SECOND])
_values: dict[str, Any] = {
    "value": st.integers(0, 9),
    "size": st.integers(0, 3_000) | st.integers(0, 9_000),
    "age": st.just(NO_TIME) | _spans,
    "limits": st.builds(FreshnessLimits, fresh_for=_spans, stale_for=_spans, on_error_for=_spans),
}


class Twins(RuleBasedStateMachine):
    """A cache and its plain twin, which get the same calls."""

    MOST = 10_000

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.cache: Cache = TtlCache(self.clock, most_bytes=self.MOST)
        self.plain: Cache = MemoryCache(
            self.clock, most_bytes=self.MOST, bytes_per_entry=BYTES_PER_ENTRY
        )
        self.flights: list[tuple[Flight, Flight]] = []
        self.reserved = 0

    def both(self, ask: Callable[[Cache], object]) -> None:
        assert ask(self.cache) == ask(self.plain)

    @rule(key=_keys)
    def get(self, key: CacheKey) -> None:
        self.both(lambda cache: cache.get(key))

    @rule(key=_keys)
    def held(self, key: CacheKey) -> None:
        self.both(lambda cache: cache.held(key))

    @rule(key=_keys, kept=st.fixed_dictionaries(_values))
    def put(self, key: CacheKey, kept: dict[str, Any]) -> None:
        self.both(lambda cache: cache.forget(key))
        self.both(lambda cache: put(cache, key, **kept))

    @rule(key=_keys)
    def join(self, key: CacheKey) -> None:
        (mine, is_new), (plain, is_plain_new) = self.cache.join(key), self.plain.join(key)

        assert is_new == is_plain_new
        assert is_new != ((mine, plain) in self.flights)
        self.flights += [(mine, plain)] * is_new

    @rule(place=st.integers(0, 99), kept=st.fixed_dictionaries(_values))
    def land(self, place: int, kept: dict[str, Any]) -> None:
        if self.flights:
            mine, plain = self.flights.pop(place % len(self.flights))

            assert self.cache.land(mine, Entry(**kept)) == self.plain.land(plain, Entry(**kept))
            landed, landed_plain = mine.future.result(0), plain.future.result(0)
            assert landed.value == landed_plain.value == kept["value"]

    @rule(place=st.integers(0, 99))
    def fail(self, place: int) -> None:
        if self.flights:
            mine, plain = self.flights.pop(place % len(self.flights))
            error = ValueError()
            self.cache.fail(mine, error)
            self.plain.fail(plain, error)

            assert mine.future.exception(0) is plain.future.exception(0) is error

    @rule(key=_keys)
    def forget(self, key: CacheKey) -> None:
        self.both(lambda cache: cache.forget(key))

    @rule(chance=st.integers(0, 9), kind=st.sampled_from([None, "personal", "similar"]))
    def forget_all(self, chance: int, kind: str | None) -> None:
        if chance == 0:
            self.both(lambda cache: cache.forget_all(kind))

    @rule(key=_keys)
    def mark(self, key: CacheKey) -> None:
        self.both(lambda cache: cache.mark(key[0]))

    @rule()
    def evict(self) -> None:
        self.both(lambda cache: cache.evict())

    @rule(size=st.just(0) | st.integers(0, 12_000))
    def reserve(self, size: int) -> None:
        self.reserved = size
        self.both(lambda cache: cache.reserve(size))

    @rule(by=_spans)
    def wait(self, by: timedelta) -> None:
        self.clock.advance(by)

    @invariant()
    def both_are_within_their_bytes(self) -> None:
        self.both(lambda cache: cache.stats())
        assert self.cache.stats().bytes <= max(self.MOST - self.reserved, 0)


def test_it_answers_like_its_plain_twin_whatever_happened_before() -> None:
    run_state_machine_as_test(
        Twins,
        settings=settings(
            max_examples=sized(3 * settings().max_examples, 10_000),
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


# In any order: readers, refreshes, and those who change what is read.


@attrs.frozen
class Reading:
    """Which version was read, and when."""

    version: int
    at: timedelta


@attrs.define(eq=False)
class Trip:
    """A refresh: it takes off, reads, and ends some time, or never."""

    flight: Flight
    reading: Reading | None = None
    is_lost: bool = False
    hangs: bool = False


class Scene:
    """A key of a cache, what becomes of it, and what may be shown."""

    def __init__(self, make: MakeCache, chance: random.Random) -> None:
        self.chance = chance
        self.clock = ManualClock()
        self.passed = NO_TIME
        self.cache = make(self.clock, most_bytes=1_000_000)
        self.trips: list[Trip] = []
        self.version = 0
        self.marked = 0
        # What a reader must be shown, if anything.
        self.newest: Reading | None = None
        self.has_failed = False

    def play(self, steps: int) -> None:
        acts: list[Callable[[], None]] = [
            *[self.wait, self.read_stale, self.read, self.succeed, self.succeed],
            *[self.fail, self.hang, self.put, self.forget, self.mark],
        ]
        for _ in range(steps):
            self.chance.choice(acts)()
            self.look()

    def look(self) -> None:
        kept = self.cache.get(KEY)

        if self.newest is None:
            assert kept is None, "what was forgotten came back"
            return
        age = self.passed - self.newest.at
        longest = LIMITS.kept_for if self.has_failed else LIMITS.shown_for
        assert (kept is not None) == (age <= longest)
        if kept is not None:
            assert kept.value == self.newest
            assert (kept.freshness is Freshness.STALE_ON_ERROR) == (age > LIMITS.shown_for)
            assert kept.freshness is not Freshness.FRESH or (
                age <= LIMITS.fresh_for and self.newest.version >= self.marked
            )

    def wait(self) -> None:
        by = self.chance.choice([TICK, SECOND, 4 * SECOND, LIMITS.on_error_for])
        self.clock.advance(by)
        self.passed += by

    def read_stale(self) -> None:
        """Ask for a refresh, as a reader of something stale does."""
        flight, is_new = self.cache.join(KEY)
        under_way = [trip for trip in self.trips if trip.flight is flight]

        assert is_new != bool(under_way)
        assert not any(trip.is_lost for trip in under_way)
        if is_new:
            self.trips.append(Trip(flight))

    def read(self) -> None:
        for trip in self.trips:
            trip.reading = trip.reading or Reading(self.version, self.passed)

    def succeed(self) -> None:
        if (trip := self.ended()) is None:
            return
        reading = trip.reading or Reading(self.version, self.passed)
        age = self.passed - reading.at
        is_kept = self.cache.land(trip.flight, Entry(reading, size=9, age=age, limits=LIMITS))

        assert trip.flight.future.result(0).value is reading
        assert is_kept == (not trip.is_lost and age <= LIMITS.kept_for)
        if not trip.is_lost:
            self.newest, self.has_failed = reading if is_kept else None, False

    def fail(self) -> None:
        if (trip := self.ended()) is not None:
            self.cache.fail(trip.flight, ValueError())
            self.has_failed |= not trip.is_lost

    def hang(self) -> None:
        for trip in self.trips[:1]:
            trip.hangs = True

    def put(self) -> None:
        self.change()
        self.newest = Reading(self.version, self.passed)
        self.cache.forget(KEY)
        assert put(self.cache, KEY, self.newest, limits=LIMITS)

    def forget(self) -> None:
        self.change()
        was_there = self.cache.forget(KEY)
        assert self.newest is not None or not was_there
        self.newest = None

    def mark(self) -> None:
        self.version += 1
        self.marked = self.version
        self.cache.mark("personal")

    def change(self) -> None:
        self.version += 1
        self.has_failed = False
        for trip in self.trips:
            trip.is_lost = True

    def ended(self) -> Trip | None:
        """Return a refresh whose end has come, if there is one."""
        trips = [trip for trip in self.trips if not trip.hangs]
        if not trips:
            return None
        trip = self.chance.choice(trips)
        self.trips.remove(trip)
        return trip


@each_cache
def test_the_newest_value_wins_in_any_order(make: MakeCache) -> None:
    chance = seeded()

    for _ in range(sized(1_000, 10_000)):
        Scene(make, chance).play(steps=30)


# At once.


@contextmanager
def switching_often() -> Iterator[None]:
    """Have threads come in each other's way as much as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


@each_cache
@pytest.mark.parametrize("fails", [False, True])
def test_of_a_thousand_who_miss_one_takes_off(make: MakeCache, fails: bool) -> None:
    cache = make(SystemClock(), most_bytes=1_000_000)
    joined = threading.Semaphore(0)
    error = ValueError("down")

    def miss(_: int) -> tuple[bool, Any]:
        assert cache.get(KEY) is None
        flight, is_new = cache.join(KEY)
        if not is_new:
            joined.release()
            return False, flight.future.exception(60) or flight.future.result(60)
        assert all(joined.acquire(timeout=60) for _ in range(999))
        if fails:
            cache.fail(flight, error)
        else:
            cache.land(flight, Entry("value", size=9, age=NO_TIME, limits=LIMITS))
        return True, flight.future.exception(0) or flight.future.result(0)

    answers = together(1_000, miss)

    assert sum(is_new for is_new, _ in answers) == 1
    landed = [one if fails else one.value for _, one in answers]
    assert set(landed) == {error if fails else "value"}


@each_cache
def test_threads_do_not_get_in_each_others_way(make: MakeCache) -> None:
    most = 100_000
    cache = make(SystemClock(), most_bytes=most)
    seed = seeded().random()
    keys = [(kind, number) for kind in ("personal", "similar") for number in range(40)]

    def hammer(place: int) -> int:
        chance = random.Random(f"{seed} {place}")
        wrong = 0
        for _ in range(sized(2_000, 50_000)):
            key = chance.choice(keys)
            limits = FreshnessLimits(
                fresh_for=TICK * chance.randrange(500), stale_for=TICK, on_error_for=TICK
            )
            kept: dict[str, Any] = {"size": chance.randrange(9_000), "age": NO_TIME}
            match chance.randrange(12):
                case 0 | 1 | 2 | 3 | 4:
                    flight, is_new = cache.join(key)
                    if is_new and chance.random() < 0.8:
                        cache.land(flight, Entry(key, **kept, limits=limits))
                    elif is_new:
                        cache.fail(flight, ValueError())
                case 5:
                    cache.forget(key)
                case 6:
                    cache.mark(key[0])
                case 7:
                    cache.evict()
                case 8 if chance.random() < 0.1:
                    cache.forget_all()
                case 9 if chance.random() < 0.1:
                    cache.reserve(chance.choice([0, most // 2]))
                case _:
                    found = cache.get(key)
                    wrong += found is not None and found.value != key
            wrong += cache.stats().bytes > most
        return wrong

    with switching_often():
        wrong = together(8, hammer)

    assert wrong == [0] * 8
    stats = cache.stats()
    assert cache.forget_all() == (stats.entries, stats.bytes)
    assert (cache.stats().entries, cache.stats().bytes) == (0, 0)
    assert all(cache.join(key)[1] for key in keys), "a flight was left behind"


class Passing(ManualClock):
    """A clock on which a millisecond passes whenever somebody looks at it."""

    def monotonic(self) -> float:
        self.advance(timedelta(milliseconds=1))
        return super().monotonic()


@pytest.mark.parametrize("lasts", range(1, 12))
def test_what_ends_while_room_is_made_for_another_is_no_error(lasts: int) -> None:
    cache = TtlCache(Passing(), most_bytes=BYTES_PER_ENTRY + 9_000)
    of_one = FreshnessLimits(
        fresh_for=timedelta(milliseconds=lasts), stale_for=NO_TIME, on_error_for=NO_TIME
    )
    put(cache, KEY, size=9_000, limits=of_one)

    assert put(cache, OTHER, size=9_000)
    assert cache.get(OTHER) is not None
    assert cache.stats().entries == 1


class Lingering:
    """A value that uses the cache as it goes, as what a host keeps may do."""

    def __init__(self, cache: Cache, gone: list[str]) -> None:
        self.cache, self.gone = cache, gone

    def __del__(self) -> None:
        self.cache.get(KEY)
        self.gone.append("gone")


@pytest.mark.parametrize(
    "drop",
    [
        lambda cache: put(cache, KEY),
        lambda cache: put(cache, KEY, size=99_999),
        lambda cache: put(cache, ("personal", "kim"), size=9_000),
        lambda cache: cache.forget(KEY),
        lambda cache: cache.forget_all(),
        lambda cache: cache.forget_all(KEY[0]),
        lambda cache: cache.reserve(99_999),
    ],
)
@pytest.mark.parametrize("is_over", [False, True])
def test_what_is_dropped_goes_while_nothing_is_held(
    drop: Callable[[Cache], object], is_over: bool
) -> None:
    clock = ManualClock()
    cache = TtlCache(clock, most_bytes=10_200)
    gone: list[str] = []
    put(cache, KEY, Lingering(cache, gone), limits=LIMITS)
    if is_over:
        clock.advance(LIMITS.kept_for + TICK)

    thread = threading.Thread(target=drop, args=[cache], daemon=True)
    thread.start()
    thread.join(10)
    gc.collect()

    assert not thread.is_alive(), "it waits for itself"
    assert gone == ["gone"]


# In processes that fork.

_FORKING = """
import os, signal, sys, threading, time, warnings
from datetime import timedelta
from angle_reco.adapters.ttl_cache import TtlCache
from angle_reco.domain.freshness import FreshnessLimits
from angle_reco.ports.cache import Entry

warnings.simplefilter("ignore")  # Later Pythons do not like what is tried here.
is_held = sys.argv[1] == "held"
reached = threading.Event()

class Clock:
    def monotonic(self):
        if threading.current_thread().name == "stuck":
            reached.set()
            time.sleep(99)
        return 0.0

def land(flight):
    entry = Entry("value", size=9, age=timedelta(0), limits=FreshnessLimits())
    return cache.land(flight, entry)

cache, key = TtlCache(Clock(), most_bytes=99_999), ("personal", "ann")
land(cache.join(key)[0])
mine, _ = cache.join(("personal", "mine"))
theirs, _ = cache.join(("personal", "theirs"))
if is_held:
    threading.Thread(target=cache.evict, name="stuck", daemon=True).start()
    reached.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)
    assert (cache.get(key) is None) == is_held
    assert cache.stats().entries == (0 if is_held else 1)
    flight, is_new = cache.join(theirs.key)
    assert is_new
    assert land(flight) and flight.future.result(0).value == "value"
    assert not land(mine) and mine.future.result(0).value == "value"
    assert land(cache.join(key)[0]) and cache.get(key)
    cache.evict(), cache.reserve(9), cache.mark("personal"), cache.forget_all()
    os._exit(0)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
if not is_held:
    assert cache.join(theirs.key) == (theirs, False)
os._exit(status and 1)
"""


@pytest.mark.parametrize("when", ["held", "free"])
def test_a_process_that_forked_off_goes_on(when: str) -> None:
    said = subprocess.run(
        [sys.executable, "-c", _FORKING, when],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (said.returncode, said.stderr) == (0, "")


def test_the_library_does_not_load_cachetools_by_itself() -> None:
    program = "import sys, angle_reco; angle_reco.Freshness; print('cachetools' in sys.modules)"

    said = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert said.stdout == "False\n"
