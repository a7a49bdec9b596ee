"""The contract suite of `Cache`: flights and refreshes."""

from concurrent.futures import Future
from datetime import timedelta
from threading import Thread

import pytest

from angle_reco.domain.freshness import FAILED_FOR
from angle_reco.ports.cache import Cache, Cached, Entry
from angle_reco.testing.clock import ManualClock
from angle_reco.testing.contracts.cache_base import (
    ELSEWHERE,
    FRESH,
    KEY,
    LIMITS,
    NO_TIME,
    ON_ERROR,
    OTHER,
    STALE,
    THIRD,
    EmptyCache,
    land,
    put,
    takes_off,
)
from angle_reco.testing.contracts.samples import HOUR, TICK


class CacheFlightsContract(EmptyCache):
    """How a value that one caller makes reaches all that wait for it, or fails."""

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
