"""The contract suite of `Cache`: the limit in bytes."""

from angle_reco.ports.cache import Cache
from angle_reco.testing.contracts.cache_base import (
    A_QUARTER,
    ELSEWHERE,
    KEY,
    OTHER,
    ROOM,
    THIRD,
    EmptyCache,
    keys_in,
    put,
    takes_off,
)


class CacheRoomContract(EmptyCache):
    """How many bytes a cache takes, and what it evicts for others."""

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
