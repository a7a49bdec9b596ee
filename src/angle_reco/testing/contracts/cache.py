"""The contract suite of `Cache`."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from threading import Thread
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.freshness import FAILED_FOR, FreshnessLimits, freshness_at
from angle_reco.domain.suggestions import Freshness
from angle_reco.ports.cache import Cache, Cached, CacheKey, Entry, Evicted, Flight
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

_spans = st.timedeltas(NO_TIME, 365 * DAY) | st.sampled_from([NO_TIME, TICK, HOUR, DAY])


class MakeCache(Protocol):
    """A factory of empty caches."""

    def __call__(self, clock: Clock, *, most_bytes: int) -> Cache:
        """Return an empty cache of at most *most_bytes* bytes."""
        ...


class CacheContract:
    """The promises of `Cache`; a subclass overrides the fixture *make*."""

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

    # Stored values and their freshness.

    def test_an_unknown_key_is_missing(self, cache: Cache) -> None:
        put(cache, KEY)

        assert cache.get(OTHER) is None
        assert cache.get(ELSEWHERE) is None

    @pytest.mark.parametrize("value", [None, False, "", (), float("nan"), object()])
    def test_a_stored_value_is_returned_as_the_same_object(
        self, cache: Cache, value: object
    ) -> None:
        assert put(cache, KEY, value)

        kept = cache.get(("personal", "ann"))

        assert kept is not None
        assert kept.value is value
        assert kept.freshness is FRESH

    def test_the_newest_value_replaces_an_older_one(self, cache: Cache) -> None:
        put(cache, KEY, "old", age=HOUR + TICK)
        put(cache, KEY, "new")

        assert cache.get(KEY) == Cached("new", FRESH)
        assert cache.stats().entries == 1

    def test_freshness_follows_the_rule_at_every_bound(self, make: MakeCache) -> None:
        @given(
            limits=st.builds(
                FreshnessLimits, fresh_for=_spans, stale_for=_spans, on_error_for=_spans
            ),
            began=_spans,
            age=_spans,
            bound=st.sampled_from(["fresh_for", "shown_for", "kept_for"]),
            beyond=st.sampled_from([-TICK, NO_TIME, TICK]) | _spans,
            is_marked=st.booleans(),
            failed_ago=st.none()
            | st.sampled_from([NO_TIME, FAILED_FOR - TICK, FAILED_FOR, FAILED_FOR + TICK]),
        )
        def as_the_rule_says(
            limits: FreshnessLimits,
            began: timedelta,
            age: timedelta,
            bound: str,
            beyond: timedelta,
            is_marked: bool,
            failed_ago: timedelta | None,
        ) -> None:
            clock = ManualClock()
            clock.advance(began)
            cache = make(clock, most_bytes=ROOM)
            put(cache, KEY, age=age, limits=limits)
            if is_marked:
                cache.mark("personal")
            waiting = max(getattr(limits, bound) - age + beyond, NO_TIME)
            since = min(failed_ago or NO_TIME, waiting)
            clock.advance(waiting - since)
            if failed_ago is not None:
                cache.fail(takes_off(cache), ValueError())
            clock.advance(since)
            has_failed = failed_ago is not None and since <= FAILED_FOR

            kept = cache.get(KEY)

            assert (kept and kept.freshness) == freshness_at(
                age + waiting, limits, is_marked=is_marked, has_failed=has_failed
            )

        as_the_rule_says()

    def test_entries_age_by_monotonic_time_alone(self, cache: Cache, clock: ManualClock) -> None:
        put(cache, KEY)
        clock.set(clock.now() + 99 * DAY)
        after = cache.get(KEY)
        clock.set(clock.now() - 999 * DAY)

        assert after == cache.get(KEY) == Cached("value", FRESH)

    def test_a_value_too_old_to_be_shown_is_not_stored(self, cache: Cache) -> None:
        put(cache, OTHER, size=3 * A_QUARTER)

        assert put(cache, KEY, age=LIMITS.kept_for)
        assert not put(cache, KEY, age=LIMITS.kept_for + TICK, size=A_QUARTER)
        assert cache.stats().entries == 1
        assert cache.get(OTHER)

    # The limit in bytes.

    def test_bytes_include_values_and_their_overhead(self, cache: Cache) -> None:
        put(cache, KEY, size=1_000)
        one = cache.stats().bytes
        put(cache, OTHER, size=2_000)
        both = cache.stats().bytes
        put(cache, OTHER, size=5_000)
        more = cache.stats().bytes
        cache.forget(OTHER)

        assert one >= 1_000
        assert (both - one, more - both) == (one + 1_000, 3_000)
        assert cache.stats().bytes == one

    def test_a_value_that_fills_the_cache_to_the_byte_fits(self, cache: Cache) -> None:
        put(cache, KEY, size=0)
        of_an_entry = cache.stats().bytes
        room = ROOM - of_an_entry

        assert put(cache, KEY, size=room)
        assert cache.stats().bytes == ROOM
        assert not put(cache, OTHER, size=room + 1)
        assert put(cache, OTHER, size=room)
        assert (cache.stats().bytes, cache.stats().evictions) == (ROOM, 1)

    def test_two_values_that_fill_the_cache_to_the_byte_both_fit(self, cache: Cache) -> None:
        put(cache, KEY, size=0)
        of_an_entry = cache.stats().bytes

        for key in (KEY, OTHER):
            assert put(cache, key, size=ROOM // 2 - of_an_entry)
        both = keys_in(cache, KEY, OTHER)
        put(cache, OTHER, size=ROOM // 2 - of_an_entry + 1)

        assert both == [KEY, OTHER]
        assert keys_in(cache, KEY, OTHER) == [OTHER]

    def test_a_value_that_fills_the_unreserved_room_stays(self, cache: Cache) -> None:
        put(cache, KEY, size=1_000)
        one = cache.stats().bytes

        cache.reserve(ROOM - one)
        at_the_byte = keys_in(cache, KEY)
        cache.reserve(ROOM - one + 1)

        assert at_the_byte == [KEY]
        assert keys_in(cache, KEY) == []
        assert cache.stats().evictions == 1

    def test_the_least_recently_used_entry_is_evicted_first(self, cache: Cache) -> None:
        for number in range(4):
            assert put(cache, ("personal", number), size=A_QUARTER)
        cache.get(("personal", 0))
        put(cache, ("personal", 1), size=A_QUARTER)

        assert put(cache, KEY, size=A_QUARTER)
        assert put(cache, OTHER, size=A_QUARTER)

        assert keys_in(cache, *(("personal", n) for n in range(4)), KEY, OTHER) == [
            ("personal", 0),
            ("personal", 1),
            KEY,
            OTHER,
        ]
        assert cache.stats().evictions == 2

    def test_a_failure_does_not_count_as_use(self, cache: Cache) -> None:
        for key in (KEY, OTHER, THIRD, ELSEWHERE):
            put(cache, key, size=A_QUARTER)
        cache.fail(takes_off(cache, KEY), ValueError())

        put(cache, ("personal", "new"), size=A_QUARTER)

        assert keys_in(cache, KEY, OTHER) == [OTHER]

    def test_a_larger_value_evicts_no_more_than_it_needs(self, cache: Cache) -> None:
        for key in (KEY, OTHER, THIRD, ELSEWHERE):
            put(cache, key, size=A_QUARTER)

        put(cache, KEY, "large", size=2 * A_QUARTER)

        assert keys_in(cache, KEY, OTHER, THIRD, ELSEWHERE) == [KEY, THIRD, ELSEWHERE]

    def test_a_value_of_the_same_size_evicts_nothing(self, cache: Cache) -> None:
        for key in (KEY, OTHER, THIRD, ELSEWHERE):
            put(cache, key, size=A_QUARTER)

        put(cache, KEY, "new", size=A_QUARTER)

        assert cache.stats().entries == 4
        assert cache.stats().evictions == 0

    def test_a_value_larger_than_the_cache_evicts_no_other(self, cache: Cache) -> None:
        put(cache, KEY)

        assert not put(cache, OTHER, size=ROOM + 1)
        assert keys_in(cache, KEY, OTHER) == [KEY]
        assert cache.stats().evictions == 0

    def test_a_value_that_does_not_fit_still_removes_the_older_one(self, cache: Cache) -> None:
        put(cache, KEY, "old")

        assert not put(cache, KEY, "new", size=ROOM + 1)
        assert cache.get(KEY) is None
        assert cache.stats().evictions == 1

    def test_room_can_be_reserved_for_others(self, cache: Cache) -> None:
        for key in (KEY, OTHER, THIRD, ELSEWHERE):
            put(cache, key, size=A_QUARTER)

        cache.reserve(ROOM // 2)
        at_half = keys_in(cache, KEY, OTHER, THIRD, ELSEWHERE)
        is_kept = put(cache, KEY, size=ROOM // 2 + 1)
        put(cache, OTHER, size=A_QUARTER)

        assert at_half == [THIRD, ELSEWHERE]
        assert not is_kept
        assert keys_in(cache, KEY, OTHER, THIRD, ELSEWHERE) == [OTHER, ELSEWHERE]
        assert cache.stats().bytes <= ROOM // 2
        assert cache.stats().most_bytes == ROOM

    def test_reserved_room_can_be_released(self, cache: Cache) -> None:
        cache.reserve(2 * ROOM)
        at_none = put(cache, KEY)
        cache.reserve(ROOM // 4)
        cache.reserve(0)

        assert not at_none
        assert all(put(cache, key, size=A_QUARTER) for key in (KEY, OTHER, THIRD, ELSEWHERE))
        assert cache.stats().entries == 4

    # Flights and refreshes.

    def test_a_flight_delivers_its_value_to_the_cache_and_all_waiters(self, cache: Cache) -> None:
        mine, is_new = cache.join(KEY)
        theirs, is_new_again = cache.join(("personal", "ann"))
        of_other, is_new_of_other = cache.join(OTHER)

        assert (is_new, is_new_again, is_new_of_other) == (True, False, True)
        assert theirs is mine is not of_other
        assert mine.key == KEY
        assert not mine.future.done()
        assert land(cache, mine, "new")
        assert theirs.future.result(timeout=0).value == "new"
        assert cache.get(KEY) == Cached("new", FRESH)
        assert not of_other.future.done()

    def test_a_flight_may_deliver_a_value_that_is_already_stale(self, cache: Cache) -> None:
        land(cache, takes_off(cache), "new", age=HOUR + TICK)

        assert cache.get(KEY) == Cached("new", STALE)

    def test_after_a_flight_ends_the_next_join_starts_another(self, cache: Cache) -> None:
        first = takes_off(cache)
        land(cache, first, "first")
        second = takes_off(cache)
        cache.fail(second, ValueError())
        third = takes_off(cache)

        assert len({id(flight) for flight in (first, second, third)}) == 3
        assert not third.future.done()

    def test_all_waiters_get_the_error(self, cache: Cache) -> None:
        flight = takes_off(cache)
        error = KeyboardInterrupt()

        cache.fail(flight, error)

        assert flight.future.exception(timeout=0) is error
        assert cache.get(KEY) is None

    def test_an_entry_whose_refresh_failed_is_shown_for_longer(
        self, cache: Cache, clock: ManualClock
    ) -> None:
        put(cache, KEY, age=LIMITS.shown_for)
        put(cache, OTHER, age=LIMITS.shown_for)
        cache.fail(takes_off(cache), ValueError())

        before = cache.get(KEY)
        clock.advance(TICK)
        after = cache.get(KEY)
        clock.advance(FAILED_FOR)
        later = cache.get(KEY)
        clock.advance(LIMITS.on_error_for - FAILED_FOR - TICK)
        cache.fail(takes_off(cache), ValueError())
        last = cache.get(KEY)
        clock.advance(TICK)

        assert before == Cached("value", STALE)
        assert after == last == Cached("value", ON_ERROR)
        # A failure older than `FAILED_FOR` no longer counts.
        assert later is None
        assert cache.get(KEY) is None
        assert cache.get(OTHER) is None

    def test_a_failure_counts_for_a_minute(self, cache: Cache, clock: ManualClock) -> None:
        put(cache, KEY, age=LIMITS.shown_for + TICK)
        cache.fail(takes_off(cache), ValueError())
        shown = []
        for passes in (NO_TIME, timedelta(seconds=60), TICK):
            clock.advance(passes)
            shown.append(cache.get(KEY))

        assert shown == [Cached("value", ON_ERROR), Cached("value", ON_ERROR), None]

    def test_an_expired_entry_is_shown_again_on_error(
        self, cache: Cache, clock: ManualClock
    ) -> None:
        put(cache, KEY)
        clock.advance(LIMITS.shown_for + TICK)
        before = cache.get(KEY)
        cache.fail(takes_off(cache), ValueError())

        assert before is None
        assert cache.get(KEY) == Cached("value", ON_ERROR)

    def test_a_new_value_clears_a_failure(self, cache: Cache, clock: ManualClock) -> None:
        put(cache, KEY)
        cache.fail(takes_off(cache), ValueError())
        put(cache, KEY, "new")
        clock.advance(LIMITS.shown_for)
        before = cache.get(KEY)
        clock.advance(TICK)

        assert before == Cached("new", STALE)
        assert cache.get(KEY) is None

    def test_a_discarded_flight_does_not_replace_a_newer_entry(self, cache: Cache) -> None:
        flight = takes_off(cache)
        cache.forget(KEY)
        put(cache, KEY, "new")

        assert not land(cache, flight, "read before")
        assert flight.future.result(timeout=0).value == "read before"
        assert cache.get(KEY) == Cached("new", FRESH)

    @pytest.mark.parametrize("is_all", [False, True])
    @pytest.mark.parametrize("was_there", [False, True])
    def test_a_flight_does_not_restore_a_forgotten_key(
        self, cache: Cache, is_all: bool, was_there: bool
    ) -> None:
        if was_there:
            put(cache, KEY)
        flight = takes_off(cache)
        if is_all:
            cache.forget_all()
        else:
            assert cache.forget(KEY) is was_there

        assert cache.get(KEY) is None
        assert not land(cache, flight, "read before")
        assert flight.future.result(timeout=0).value == "read before"
        assert cache.get(KEY) is None

    def test_a_discarded_flight_does_not_block_the_next(self, cache: Cache) -> None:
        lost = takes_off(cache)
        cache.forget(KEY)
        flight = takes_off(cache)

        assert flight is not lost
        assert not land(cache, lost, "read before")
        assert cache.join(KEY) == (flight, False)
        assert not flight.future.done()
        assert cache.get(KEY) is None
        assert land(cache, flight, "new")
        assert cache.get(KEY) == Cached("new", FRESH)

    def test_a_discarded_flight_does_not_fail_a_newer_entry(self, cache: Cache) -> None:
        flight = takes_off(cache)
        cache.forget(KEY)
        put(cache, KEY, age=LIMITS.shown_for + TICK)

        cache.fail(flight, ValueError("lost"))

        assert cache.get(KEY) is None
        with pytest.raises(ValueError, match="lost"):
            flight.future.result(timeout=0)

    def test_forgetting_a_key_leaves_flights_of_other_keys(self, cache: Cache) -> None:
        flights = [takes_off(cache, key) for key in (KEY, ELSEWHERE)]
        cache.forget(OTHER)
        put(cache, THIRD)

        assert [land(cache, flight, "new") for flight in flights] == [True, True]

    def test_a_flight_ends_once(self, cache: Cache, clock: ManualClock) -> None:
        flight = takes_off(cache)
        land(cache, flight, "new")

        cache.fail(flight, ValueError())
        is_kept_again = land(cache, flight, "again")

        assert not is_kept_again
        assert flight.future.result(timeout=0).value == "new"
        assert cache.get(KEY) == Cached("new", FRESH)
        clock.advance(LIMITS.shown_for + TICK)
        assert cache.get(KEY) is None

    def test_a_waiter_cannot_cancel_the_flight(self, cache: Cache) -> None:
        flight = takes_off(cache)

        was_cancelled = cache.join(KEY)[0].future.cancel()
        land(cache, flight, "new")

        assert not was_cancelled
        assert flight.future.result(timeout=0).value == "new"

    @pytest.mark.parametrize("fails", [False, True])
    def test_callbacks_of_a_flight_can_use_the_cache(self, cache: Cache, fails: bool) -> None:
        flight = takes_off(cache)
        seen = list[Cached[str] | None]()

        def look(_: "Future[Entry[str]]") -> None:
            # Another thread can use the cache: the cache holds no lock during callbacks.
            thread = Thread(target=lambda: seen.append(cache.get(KEY)), daemon=True)
            thread.start()
            thread.join(10)

        flight.future.add_done_callback(look)
        if fails:
            cache.fail(flight, ValueError())
        else:
            land(cache, flight, "new")

        assert seen == [None if fails else Cached("new", FRESH)]

    # Marking a kind as stale.

    def test_marking_a_kind_makes_its_entries_stale(self, cache: Cache, clock: ManualClock) -> None:
        for key in (KEY, OTHER, ELSEWHERE):
            put(cache, key)

        cache.mark("personal")
        now = [cache.get(key) for key in (KEY, OTHER, ELSEWHERE)]
        clock.advance(LIMITS.shown_for)
        at_the_end = cache.get(KEY)
        clock.advance(TICK)

        stale, fresh = Cached("value", STALE), Cached("value", FRESH)
        assert now == [stale, stale, fresh]
        assert at_the_end == stale
        assert cache.get(KEY) is None

    def test_a_value_put_after_a_mark_is_fresh(self, cache: Cache) -> None:
        cache.mark("personal")
        cache.mark("personal")
        put(cache, KEY)

        assert cache.get(KEY) == Cached("value", FRESH)

    def test_a_flight_from_before_a_mark_stores_a_stale_entry(self, cache: Cache) -> None:
        flights = [takes_off(cache, key) for key in (KEY, ELSEWHERE)]
        cache.mark("personal")
        later = takes_off(cache, OTHER)
        for flight in (*flights, later):
            assert land(cache, flight, "new")

        assert cache.get(KEY) == Cached("new", STALE)
        assert cache.get(ELSEWHERE) == Cached("new", FRESH)
        assert cache.get(OTHER) == Cached("new", FRESH)
        assert later.generation != flights[0].generation

    # Removing entries.

    def test_forgetting_returns_whether_there_was_an_entry(
        self, cache: Cache, clock: ManualClock
    ) -> None:
        put(cache, KEY)
        put(cache, OTHER)
        before = [cache.forget(KEY), cache.forget(KEY), cache.forget(ELSEWHERE)]
        clock.advance(LIMITS.kept_for + TICK)

        assert before == [True, False, False]
        assert cache.forget(OTHER) is False

    def test_everything_can_be_forgotten(self, cache: Cache) -> None:
        for key in (KEY, OTHER, ELSEWHERE):
            put(cache, key, size=500)
        held = cache.stats().bytes

        assert cache.forget_all() == Evicted(3, held)
        assert cache.forget_all() == Evicted(0, 0)
        assert keys_in(cache, KEY, OTHER, ELSEWHERE) == []
        assert (cache.stats().entries, cache.stats().bytes) == (0, 0)
        assert put(cache, KEY, size=3 * A_QUARTER)

    def test_every_entry_of_one_kind_can_be_forgotten(
        self, cache: Cache, clock: ManualClock
    ) -> None:
        put(cache, THIRD)
        clock.advance(LIMITS.kept_for + TICK)
        for key in (KEY, OTHER):
            put(cache, key, size=500)
        of_the_kind = cache.stats().bytes
        put(cache, ELSEWHERE, size=700)
        before = cache.stats().bytes

        # THIRD has expired by now, so it does not count as evicted.
        assert cache.forget_all("personal") == Evicted(2, of_the_kind)
        assert cache.forget_all("personal") == cache.forget_all("unknown") == Evicted(0, 0)
        assert keys_in(cache, KEY, OTHER, THIRD, ELSEWHERE) == [ELSEWHERE]
        assert (cache.stats().entries, cache.stats().bytes) == (1, before - of_the_kind)
        assert (cache.stats().expired, cache.stats().evictions) == (1, 0)

    def test_forgetting_one_kind_leaves_flights_of_other_kinds(self, cache: Cache) -> None:
        lost, stays = takes_off(cache), takes_off(cache, ELSEWHERE)

        cache.forget_all("personal")

        assert not land(cache, lost, "read before")
        assert lost.future.result(timeout=0).value == "read before"
        assert cache.get(KEY) is None
        assert cache.join(ELSEWHERE) == (stays, False)
        assert land(cache, stays, "new")
        assert cache.get(ELSEWHERE) == Cached("new", FRESH)

    def test_expired_entries_can_be_evicted(self, cache: Cache, clock: ManualClock) -> None:
        put(cache, KEY, size=500)
        one = cache.stats().bytes
        clock.advance(TICK)
        put(cache, OTHER, size=500)
        clock.advance(LIMITS.kept_for - TICK)
        early = cache.evict()
        clock.advance(TICK)

        assert early == Evicted(0, 0)
        assert cache.evict() == Evicted(1, one)
        assert cache.stats().entries == 1
        clock.advance(TICK)
        assert cache.evict() == Evicted(1, one)
        assert (cache.stats().entries, cache.stats().bytes) == (0, 0)
        assert (cache.stats().expired, cache.stats().evictions) == (2, 0)

    def test_expired_entries_are_removed_before_others(
        self, cache: Cache, clock: ManualClock
    ) -> None:
        put(cache, KEY, size=2 * A_QUARTER, age=LIMITS.shown_for)
        put(cache, OTHER, size=2 * A_QUARTER)
        clock.advance(LIMITS.on_error_for + TICK)
        cache.get(OTHER)
        cache.get(KEY)

        put(cache, THIRD, size=2 * A_QUARTER)

        assert cache.stats().entries == 2
        assert (cache.stats().expired, cache.stats().evictions) == (1, 0)

    def test_held_returns_an_entry_until_it_may_not_be_shown_even_on_error(
        self, cache: Cache, clock: ManualClock
    ) -> None:
        put(cache, KEY, "old")

        for passes in (LIMITS.kept_for - TICK, TICK):
            clock.advance(passes)
            assert cache.get(KEY) is None
            assert cache.held(KEY) == "old"
            assert cache.held(OTHER) is None
        clock.advance(TICK)
        assert cache.held(KEY) is None

    def test_held_returns_nothing_for_a_forgotten_entry(self, cache: Cache) -> None:
        forgets: list[Callable[[], object]] = [
            lambda: cache.forget(KEY),
            cache.forget_all,
            lambda: cache.forget_all(KEY[0]),
        ]
        for forget in forgets:
            put(cache, KEY)
            assert cache.held(KEY) is not None

            forget()

            assert cache.held(KEY) is None

    def test_held_does_not_count_as_use(self, cache: Cache) -> None:
        for key in (KEY, OTHER, THIRD, ELSEWHERE):
            put(cache, key, size=A_QUARTER)

        cache.held(KEY)
        put(cache, ("personal", "kim"), size=A_QUARTER)

        assert cache.held(KEY) is None
        assert cache.held(OTHER) is not None
        assert (cache.stats().hits, cache.stats().misses) == (0, 0)

    # Statistics.

    def test_answers_are_counted(self, cache: Cache, clock: ManualClock) -> None:
        put(cache, KEY)
        cache.get(OTHER)
        for wait, times in ((NO_TIME, 3), (HOUR + TICK, 5), (2 * HOUR, 2)):
            clock.advance(wait)
            for _ in range(times):
                cache.get(KEY)
        cache.fail(takes_off(cache), ValueError())
        cache.get(KEY)

        stats = cache.stats()
        assert (stats.hits, stats.stale, stats.misses) == (3, 5 + 1, 1 + 2)
        assert (stats.entries, stats.evictions, stats.expired) == (1, 0, 0)


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
