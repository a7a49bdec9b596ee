"""What every `Cache` promises."""

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
from angle_reco.ports.cache import Cache, Cached, CacheKey, Evicted, Flight
from angle_reco.ports.clock import Clock
from angle_reco.testing.clock import ManualClock
from angle_reco.testing.contracts.samples import DAY, HOUR, TICK

KEY, OTHER, THIRD = ("personal", "ann"), ("personal", "bob"), ("personal", "eve")
ELSEWHERE = ("similar", "ann")

LIMITS = FreshnessLimits(fresh_for=HOUR, stale_for=2 * HOUR, on_error_for=4 * HOUR)
NO_TIME = timedelta(0)

ROOM = 1_000_000
A_QUARTER = 240_000
"""Four of these fit with what a cache needs for itself, five do not."""

FRESH, STALE, ON_ERROR = Freshness.FRESH, Freshness.STALE, Freshness.STALE_ON_ERROR

_spans = st.timedeltas(NO_TIME, 365 * DAY) | st.sampled_from([NO_TIME, TICK, HOUR, DAY])


class MakeCache(Protocol):
    """How to make an empty cache."""

    def __call__(self, clock: Clock, *, most_bytes: int) -> Cache:
        """Return one for so many bytes."""
        ...


class CacheContract:
    """The promises of `Cache`; a subclass says how to *make* one."""

    @pytest.fixture
    def make(self) -> MakeCache:
        """Return what makes the port under test."""
        pytest.fail("override this fixture")

    @pytest.fixture
    def clock(self) -> ManualClock:
        """Return its clock, which is not at its start."""
        clock = ManualClock()
        clock.advance(timedelta(days=11, seconds=7, microseconds=123_457))
        return clock

    @pytest.fixture
    def cache(self, make: MakeCache, clock: ManualClock) -> Cache:
        """Return the port under test, empty."""
        return make(clock, most_bytes=ROOM)

    # What is kept.

    def test_an_unknown_key_is_missing(self, cache: Cache) -> None:
        put(cache, KEY)

        assert cache.get(OTHER) is None
        assert cache.get(ELSEWHERE) is None

    @pytest.mark.parametrize("value", [None, False, "", (), float("nan"), object()])
    def test_what_is_kept_comes_back_itself(self, cache: Cache, value: object) -> None:
        assert put(cache, KEY, value)

        kept = cache.get(("personal", "ann"))

        assert kept is not None
        assert kept.value is value
        assert kept.freshness is FRESH

    def test_the_newest_value_is_kept(self, cache: Cache) -> None:
        put(cache, KEY, "old", age=HOUR + TICK)
        put(cache, KEY, "new")

        assert cache.get(KEY) == Cached("new", FRESH)
        assert cache.stats().entries == 1

    def test_it_is_as_fresh_as_the_rule_says_at_every_bound(self, make: MakeCache) -> None:
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

    def test_only_monotonic_time_makes_it_older(self, cache: Cache, clock: ManualClock) -> None:
        put(cache, KEY)
        clock.set(clock.now() + 99 * DAY)
        after = cache.get(KEY)
        clock.set(clock.now() - 999 * DAY)

        assert after == cache.get(KEY) == Cached("value", FRESH)

    def test_what_is_too_old_to_be_shown_at_all_is_not_kept(self, cache: Cache) -> None:
        put(cache, OTHER, size=3 * A_QUARTER)

        assert put(cache, KEY, age=LIMITS.kept_for)
        assert not put(cache, KEY, age=LIMITS.kept_for + TICK, size=A_QUARTER)
        assert cache.stats().entries == 1
        assert cache.get(OTHER)

    # Within a number of bytes.

    def test_bytes_are_what_is_kept_and_what_that_takes(self, cache: Cache) -> None:
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

    def test_what_fills_the_cache_to_the_byte_fits(self, cache: Cache) -> None:
        put(cache, KEY, size=0)
        of_an_entry = cache.stats().bytes
        room = ROOM - of_an_entry

        assert put(cache, KEY, size=room)
        assert cache.stats().bytes == ROOM
        assert not put(cache, OTHER, size=room + 1)
        assert put(cache, OTHER, size=room)
        assert (cache.stats().bytes, cache.stats().evictions) == (ROOM, 1)

    def test_two_that_fill_the_cache_to_the_byte_both_stay(self, cache: Cache) -> None:
        put(cache, KEY, size=0)
        of_an_entry = cache.stats().bytes

        for key in (KEY, OTHER):
            assert put(cache, key, size=ROOM // 2 - of_an_entry)
        both = keys_in(cache, KEY, OTHER)
        put(cache, OTHER, size=ROOM // 2 - of_an_entry + 1)

        assert both == [KEY, OTHER]
        assert keys_in(cache, KEY, OTHER) == [OTHER]

    def test_what_fills_the_room_that_is_left_by_others_stays(self, cache: Cache) -> None:
        put(cache, KEY, size=1_000)
        one = cache.stats().bytes

        cache.reserve(ROOM - one)
        at_the_byte = keys_in(cache, KEY)
        cache.reserve(ROOM - one + 1)

        assert at_the_byte == [KEY]
        assert keys_in(cache, KEY) == []
        assert cache.stats().evictions == 1

    def test_the_entry_that_was_not_used_for_longest_goes_first(self, cache: Cache) -> None:
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

    def test_a_failure_is_no_use(self, cache: Cache) -> None:
        for key in (KEY, OTHER, THIRD, ELSEWHERE):
            put(cache, key, size=A_QUARTER)
        cache.fail(takes_off(cache, KEY), ValueError())

        put(cache, ("personal", "new"), size=A_QUARTER)

        assert keys_in(cache, KEY, OTHER) == [OTHER]

    def test_a_larger_value_makes_room_for_itself_only(self, cache: Cache) -> None:
        for key in (KEY, OTHER, THIRD, ELSEWHERE):
            put(cache, key, size=A_QUARTER)

        put(cache, KEY, "large", size=2 * A_QUARTER)

        assert keys_in(cache, KEY, OTHER, THIRD, ELSEWHERE) == [KEY, THIRD, ELSEWHERE]

    def test_a_value_of_the_same_size_takes_the_place_of_its_elder(self, cache: Cache) -> None:
        for key in (KEY, OTHER, THIRD, ELSEWHERE):
            put(cache, key, size=A_QUARTER)

        put(cache, KEY, "new", size=A_QUARTER)

        assert cache.stats().entries == 4
        assert cache.stats().evictions == 0

    def test_what_does_not_fit_alone_does_not_empty_the_cache(self, cache: Cache) -> None:
        put(cache, KEY)

        assert not put(cache, OTHER, size=ROOM + 1)
        assert not cache.land(takes_off(cache, THIRD), 0, size=ROOM + 1, age=NO_TIME, limits=LIMITS)
        assert keys_in(cache, KEY, OTHER, THIRD) == [KEY]
        assert cache.stats().evictions == 0

    def test_what_does_not_fit_is_still_newer_than_what_was_there(self, cache: Cache) -> None:
        put(cache, KEY, "old")

        assert not put(cache, KEY, "new", size=ROOM + 1)
        assert cache.get(KEY) is None
        assert cache.stats().evictions == 1

    def test_room_can_be_left_to_others(self, cache: Cache) -> None:
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

    def test_what_was_left_to_others_can_be_had_back(self, cache: Cache) -> None:
        cache.reserve(2 * ROOM)
        at_none = put(cache, KEY)
        cache.reserve(ROOM // 4)
        cache.reserve(0)

        assert not at_none
        assert all(put(cache, key, size=A_QUARTER) for key in (KEY, OTHER, THIRD, ELSEWHERE))
        assert cache.stats().entries == 4

    # What is made anew.

    def test_a_flight_brings_a_value_to_the_cache_and_to_all_who_wait(self, cache: Cache) -> None:
        mine, is_new = cache.join(KEY)
        theirs, is_new_again = cache.join(("personal", "ann"))
        of_other, is_new_of_other = cache.join(OTHER)

        assert (is_new, is_new_again, is_new_of_other) == (True, False, True)
        assert theirs is mine is not of_other
        assert mine.key == KEY
        assert not mine.future.done()
        assert land(cache, mine, "new")
        assert theirs.future.result(timeout=0) == "new"
        assert cache.get(KEY) == Cached("new", FRESH)
        assert not of_other.future.done()

    def test_a_flight_brings_what_is_so_old_already(self, cache: Cache) -> None:
        land(cache, takes_off(cache), "new", age=HOUR + TICK)

        assert cache.get(KEY) == Cached("new", STALE)

    def test_after_a_flight_comes_another_one(self, cache: Cache) -> None:
        first = takes_off(cache)
        land(cache, first, "first")
        second = takes_off(cache)
        cache.fail(second, ValueError())
        third = takes_off(cache)

        assert len({id(flight) for flight in (first, second, third)}) == 3
        assert not third.future.done()

    def test_all_who_wait_get_the_error(self, cache: Cache) -> None:
        flight = takes_off(cache)
        error = KeyboardInterrupt()

        cache.fail(flight, error)

        assert flight.future.exception(timeout=0) is error
        assert cache.get(KEY) is None

    def test_what_was_not_made_anew_is_shown_for_longer(
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
        # That it failed once says nothing of now.
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

    def test_what_is_missing_by_now_comes_back_on_error(
        self, cache: Cache, clock: ManualClock
    ) -> None:
        put(cache, KEY)
        clock.advance(LIMITS.shown_for + TICK)
        before = cache.get(KEY)
        cache.fail(takes_off(cache), ValueError())

        assert before is None
        assert cache.get(KEY) == Cached("value", ON_ERROR)

    @pytest.mark.parametrize("is_by_flight", [False, True])
    def test_a_new_value_makes_up_for_a_failure(
        self, cache: Cache, clock: ManualClock, is_by_flight: bool
    ) -> None:
        put(cache, KEY)
        cache.fail(takes_off(cache), ValueError())
        if is_by_flight:
            land(cache, takes_off(cache), "new")
        else:
            put(cache, KEY, "new")
        clock.advance(LIMITS.shown_for)
        before = cache.get(KEY)
        clock.advance(TICK)

        assert before == Cached("new", STALE)
        assert cache.get(KEY) is None

    def test_a_flight_of_a_key_that_was_put_lost(self, cache: Cache) -> None:
        flight = takes_off(cache)
        put(cache, KEY, "put")

        assert not land(cache, flight, "read before")
        assert flight.future.result(timeout=0) == "read before"
        assert cache.get(KEY) == Cached("put", FRESH)

    @pytest.mark.parametrize("is_all", [False, True])
    @pytest.mark.parametrize("was_there", [False, True])
    def test_nothing_that_was_forgotten_comes_back(
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
        assert flight.future.result(timeout=0) == "read before"
        assert cache.get(KEY) is None

    @pytest.mark.parametrize("is_put", [False, True])
    def test_a_flight_that_lost_is_out_of_the_way_of_the_next(
        self, cache: Cache, is_put: bool
    ) -> None:
        lost = takes_off(cache)
        if is_put:
            put(cache, KEY, "put", age=LIMITS.shown_for + TICK)
        else:
            cache.forget(KEY)
        flight = takes_off(cache)

        assert flight is not lost
        assert not land(cache, lost, "read before")
        assert cache.join(KEY) == (flight, False)
        assert not flight.future.done()
        assert cache.get(KEY) is None
        assert land(cache, flight, "new")
        assert cache.get(KEY) == Cached("new", FRESH)

    def test_a_flight_that_lost_does_not_fail_what_is_newer(self, cache: Cache) -> None:
        flight = takes_off(cache)
        put(cache, KEY, age=LIMITS.shown_for + TICK)

        cache.fail(flight, ValueError("lost"))

        assert cache.get(KEY) is None
        with pytest.raises(ValueError, match="lost"):
            flight.future.result(timeout=0)

    def test_forgetting_a_key_leaves_flights_of_others(self, cache: Cache) -> None:
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
        assert flight.future.result(timeout=0) == "new"
        assert cache.get(KEY) == Cached("new", FRESH)
        clock.advance(LIMITS.shown_for + TICK)
        assert cache.get(KEY) is None

    def test_who_stops_waiting_does_not_stop_the_others(self, cache: Cache) -> None:
        flight = takes_off(cache)

        was_cancelled = cache.join(KEY)[0].future.cancel()
        land(cache, flight, "new")

        assert not was_cancelled
        assert flight.future.result(timeout=0) == "new"

    @pytest.mark.parametrize("fails", [False, True])
    def test_who_hears_of_the_end_can_use_the_cache(self, cache: Cache, fails: bool) -> None:
        flight = takes_off(cache)
        heard = list[Cached | None]()

        def look(_: "Future[object]") -> None:
            # In a thread of its own: nothing is held while they are told.
            thread = Thread(target=lambda: heard.append(cache.get(KEY)), daemon=True)
            thread.start()
            thread.join(10)

        flight.future.add_done_callback(look)
        if fails:
            cache.fail(flight, ValueError())
        else:
            land(cache, flight, "new")

        assert heard == [None if fails else Cached("new", FRESH)]

    # What there is something newer of.

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

    def test_what_is_put_after_a_mark_is_fresh(self, cache: Cache) -> None:
        cache.mark("personal")
        cache.mark("personal")
        put(cache, KEY)

        assert cache.get(KEY) == Cached("value", FRESH)

    def test_a_flight_from_before_a_mark_may_have_read_what_was_before_it(
        self, cache: Cache
    ) -> None:
        flights = [takes_off(cache, key) for key in (KEY, ELSEWHERE)]
        cache.mark("personal")
        later = takes_off(cache, OTHER)
        for flight in (*flights, later):
            assert land(cache, flight, "new")

        assert cache.get(KEY) == Cached("new", STALE)
        assert cache.get(ELSEWHERE) == Cached("new", FRESH)
        assert cache.get(OTHER) == Cached("new", FRESH)
        assert later.generation != flights[0].generation

    # What goes.

    def test_forgetting_says_whether_there_was_something(
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

        # THIRD has expired by then.
        assert cache.forget_all("personal") == Evicted(2, of_the_kind)
        assert cache.forget_all("personal") == cache.forget_all("unknown") == Evicted(0, 0)
        assert keys_in(cache, KEY, OTHER, THIRD, ELSEWHERE) == [ELSEWHERE]
        assert (cache.stats().entries, cache.stats().bytes) == (1, before - of_the_kind)
        assert (cache.stats().expired, cache.stats().evictions) == (1, 0)

    def test_forgetting_one_kind_leaves_flights_of_others(self, cache: Cache) -> None:
        lost, stays = takes_off(cache), takes_off(cache, ELSEWHERE)

        cache.forget_all("personal")

        assert not land(cache, lost, "read before")
        assert lost.future.result(timeout=0) == "read before"
        assert cache.get(KEY) is None
        assert cache.join(ELSEWHERE) == (stays, False)
        assert land(cache, stays, "new")
        assert cache.get(ELSEWHERE) == Cached("new", FRESH)

    def test_what_may_not_be_shown_any_more_can_be_dropped(
        self, cache: Cache, clock: ManualClock
    ) -> None:
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

    def test_what_may_not_be_shown_any_more_goes_first(
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

    def test_what_is_held_is_there_until_it_may_not_even_be_shown_on_error(
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

    def test_what_is_forgotten_is_not_held(self, cache: Cache) -> None:
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

    def test_looking_at_what_is_held_is_no_use_of_it(self, cache: Cache) -> None:
        for key in (KEY, OTHER, THIRD, ELSEWHERE):
            put(cache, key, size=A_QUARTER)

        cache.held(KEY)
        put(cache, ("personal", "kim"), size=A_QUARTER)

        assert cache.held(KEY) is None
        assert cache.held(OTHER) is not None
        assert (cache.stats().hits, cache.stats().misses) == (0, 0)

    # How it did.

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
    """Put a small value that is new."""
    return cache.put(key, value, size=size, age=age, limits=limits)


def takes_off(cache: Cache, key: CacheKey = KEY) -> Flight:
    """Return a new flight."""
    flight, is_new = cache.join(key)
    assert is_new
    return flight


def land(cache: Cache, flight: Flight, value: object, *, age: timedelta = NO_TIME) -> bool:
    """End a flight with a small value that is new."""
    return cache.land(flight, value, size=100, age=age, limits=LIMITS)


def keys_in(cache: Cache, *keys: CacheKey) -> list[CacheKey]:
    """Return which of these keys are not missing."""
    return [key for key in keys if cache.get(key) is not None]
