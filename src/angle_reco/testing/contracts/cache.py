"""The contract suite of `Cache`."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.freshness import FAILED_FOR, FreshnessLimits, freshness_at
from angle_reco.ports.cache import Cache, Cached, Evicted
from angle_reco.testing.clock import ManualClock
from angle_reco.testing.contracts.cache_base import (
    A_QUARTER,
    ELSEWHERE,
    FRESH,
    KEY,
    LIMITS,
    NO_TIME,
    OTHER,
    ROOM,
    SPANS,
    STALE,
    THIRD,
    MakeCache,
    keys_in,
    land,
    put,
    takes_off,
)
from angle_reco.testing.contracts.cache_flights import CacheFlightsContract
from angle_reco.testing.contracts.cache_room import CacheRoomContract
from angle_reco.testing.contracts.samples import DAY, HOUR, TICK


class CacheContract(CacheRoomContract, CacheFlightsContract):
    """The promises of `Cache`; a subclass overrides the fixture *make*."""

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
            limits=st.builds(FreshnessLimits, fresh_for=SPANS, stale_for=SPANS, on_error_for=SPANS),
            began=SPANS,
            age=SPANS,
            bound=st.sampled_from(["fresh_for", "shown_for", "kept_for"]),
            beyond=st.sampled_from([-TICK, NO_TIME, TICK]) | SPANS,
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
