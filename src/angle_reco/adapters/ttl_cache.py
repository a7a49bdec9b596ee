"""A cache on cachetools: it drops the least recently used entry for room, and expired ones."""

from concurrent.futures import InvalidStateError
from contextlib import suppress
from datetime import timedelta
from threading import Lock
from typing import Any

import cachetools

from angle_reco.domain.freshness import FAILED_FOR
from angle_reco.domain.suggestions import Freshness
from angle_reco.ports.cache import Cached, CacheKey, CacheStats, Entry, Evicted, Flight
from angle_reco.ports.clock import Clock
from angle_reco.ports.forks import reset_in_child

BYTES_PER_ENTRY = 1_024
"""The size of an entry beside its value and the contents of its key, by resident memory.

It is about 600 while a cache grows, for the bookkeeping here and in cachetools. While new
entries replace old ones it is up to 1,000: cachetools also remembers as many removed ones.
"""

# Half of the resolution of times, so that a bound reached to the microsecond is inclusive.
_HALF_A_TICK = timedelta.resolution.total_seconds() / 2

_SECONDS_FAILED = FAILED_FOR.total_seconds()

_FRESH, _STALE, _ON_ERROR = Freshness.FRESH, Freshness.STALE, Freshness.STALE_ON_ERROR


class TtlCache:
    """`Cache` within *most_bytes*: the sizes that callers pass, and `BYTES_PER_ENTRY` each.

    A forked child keeps the entries and drops the flights, as no thread there would end them.
    """

    def __init__(self, clock: Clock, *, most_bytes: int) -> None:
        self._clock = clock
        self._most_bytes = most_bytes
        self._room = most_bytes
        self._lock = Lock()
        self._entries = _Entries(clock, most_bytes)
        self._flights: dict[CacheKey, Flight] = {}
        self._generations: dict[str, int] = {}
        self._hits = self._stale = self._misses = self._evictions = self._expired = 0
        reset_in_child(self)

    def get(self, key: CacheKey) -> Cached[Any] | None:
        with self._lock:
            try:
                entry = self._entries[key]
            except KeyError:
                self._misses += 1
                return None
            age = self._clock.monotonic() - entry.born
            fresh, shown, kept = entry.limits.seconds
            # `freshness_at`, in seconds.
            if age < fresh and entry.generation == self._generations.get(key[0], 0):
                freshness = _FRESH
                self._hits += 1
            elif age < shown:
                freshness = _STALE
                self._stale += 1
            elif age < kept and self._has_failed(entry):
                freshness = _ON_ERROR
                self._stale += 1
            else:
                self._misses += 1
                return None
        return Cached(entry.value, freshness)

    def held(self, key: CacheKey) -> Any:
        with self._lock:
            # Neither `in` nor `look_at` counts as a use.
            entry = self._entries.look_at(key) if key in self._entries else None
        return None if entry is None else entry.value

    def join(self, key: CacheKey) -> tuple[Flight, bool]:
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = Flight(key, self._generations.get(key[0], 0))
            # From now on no waiting thread can cancel it for the others.
            flight.future.set_running_or_notify_cancel()
            self._flights[key] = flight
            return flight, True

    def land(self, flight: Flight, entry: Entry[Any]) -> bool:
        entry.generation = flight.generation
        entry.born = self._clock.monotonic() - entry.age.total_seconds() + _HALF_A_TICK
        with self._lock:
            is_kept = self._ends(flight) and self._keep(flight.key, entry)
            gone = self._gone()
        del gone
        with suppress(InvalidStateError):  # It had ended already.
            flight.future.set_result(entry)
        return is_kept

    def fail(self, flight: Flight, error: BaseException) -> None:
        with self._lock:
            if self._ends(flight) and (entry := self._entries.look_at(flight.key)) is not None:
                entry.failed_at = self._clock.monotonic() + _HALF_A_TICK
        with suppress(InvalidStateError):  # It had ended already.
            flight.future.set_exception(error)

    def forget(self, key: CacheKey) -> bool:
        with self._lock:
            self._flights.pop(key, None)
            if self._entries.look_at(key) is None:
                return False
            self._entries.expire()
            was_there = self._entries.drop(key)
            gone = self._gone()
        del gone
        return was_there

    def forget_all(self, kind: str | None = None) -> Evicted:
        with self._lock:
            if kind is None:
                all_of_them = self._entries
                self._entries = _Entries(self._clock, self._most_bytes)
                self._flights.clear()
                return Evicted(all_of_them.entries, all_of_them.bytes)
            self._entries.expire()
            before = Evicted(self._entries.entries, self._entries.bytes)
            for key in [one for one in self._entries if one[0] == kind]:
                self._entries.drop(key)
            for key in [one for one in self._flights if one[0] == kind]:
                del self._flights[key]
            after = Evicted(self._entries.entries, self._entries.bytes)
            gone = self._gone()
        del gone
        return Evicted(before.entries - after.entries, before.bytes - after.bytes)

    def mark(self, kind: str) -> None:
        with self._lock:
            self._generations[kind] = self._generations.get(kind, 0) + 1

    def evict(self) -> Evicted:
        with self._lock:
            self._entries.expire()
            gone = self._gone()
        return Evicted(len(gone), sum(map(_size_of, gone)))

    def reserve(self, size: int) -> None:
        with self._lock:
            self._room = max(self._most_bytes - size, 0)
            self._entries.expire()
            self._make_room(0)
            gone = self._gone()
        del gone

    def stats(self) -> CacheStats:
        with self._lock:
            return CacheStats(
                hits=self._hits,
                stale=self._stale,
                misses=self._misses,
                entries=self._entries.entries,
                bytes=self._entries.bytes,
                most_bytes=self._most_bytes,
                evictions=self._evictions,
                expired=self._expired,
            )

    def reset_after_fork(self) -> None:
        """Reset for a forked child, which has only this thread."""
        if self._lock.locked():
            # A thread of the parent was changing the entries: they may be inconsistent.
            self._entries = _Entries(self._clock, self._most_bytes)
        self._lock = Lock()
        self._flights = {}

    def _has_failed(self, entry: Entry[Any]) -> bool:
        return self._clock.monotonic() - entry.failed_at < _SECONDS_FAILED

    def _ends(self, flight: Flight) -> bool:
        """End a flight; False if its key was forgotten or it had ended before."""
        if self._flights.get(flight.key) is not flight:
            return False
        del self._flights[flight.key]
        return True

    def _keep(self, key: CacheKey, entry: Entry[Any]) -> bool:
        self._entries.expire()
        had_one = self._entries.drop(key)
        if _size_of(entry) > self._room:
            self._evictions += had_one
            return False
        if self._clock.monotonic() >= _end_of(key, entry):
            return False
        self._make_room(_size_of(entry))
        self._entries[key] = entry
        return True

    def _make_room(self, size: int) -> None:
        while self._entries.bytes + size > self._room:
            self._evictions += self._entries.drop_least_recently_used()

    def _gone(self) -> list[Entry[Any]]:
        """Return the dropped entries; the caller releases them outside of the lock.

        Releasing a value may run any code.
        """
        self._expired += self._entries.expired
        gone = self._entries.gone
        self._entries.expired, self._entries.gone = 0, []
        return gone


class _Entries(cachetools.TLRUCache[CacheKey, Entry[Any], float]):
    """Entries in the order of their last use, and of their expiry.

    Dropped entries stay in *gone* until they are taken; *expired* counts those dropped because
    their time had ended.
    """

    def __init__(self, clock: Clock, most_bytes: int) -> None:
        super().__init__(most_bytes, _end_of, clock.monotonic, _size_of)
        self.gone: list[Entry[Any]] = []
        self.expired = 0

    # The inherited methods drop expired entries before they count.

    @property
    def entries(self) -> int:
        """Return the number of entries, including expired ones."""
        return cachetools.Cache.__len__(self)

    @property
    def bytes(self) -> int:
        """Return the size of the entries, including expired ones."""
        return int(cachetools.Cache.currsize.__get__(self))

    def look_at(self, key: CacheKey) -> Entry[Any] | None:
        """Return an entry without counting that as a use."""
        try:
            return cachetools.Cache.__getitem__(self, key)
        except KeyError:
            return None

    def drop(self, key: CacheKey) -> bool:
        """Drop an entry that has not expired; False if there is none."""
        entry = self.pop(key, None)
        if entry is None:
            return False
        self.gone.append(entry)
        return True

    def drop_least_recently_used(self) -> bool:
        """Drop the least recently used entry; False if all that was left has just expired."""
        try:
            _, entry = self.popitem()
        except KeyError:
            return False
        self.gone.append(entry)
        return True

    def expire(self, time: float | None = None) -> list[tuple[CacheKey, Entry[Any]]]:
        """Drop the expired entries; cachetools calls this from time to time, too."""
        ended = super().expire(time)
        self.gone += [entry for _, entry in ended]
        self.expired += len(ended)
        return ended


def _end_of(_: CacheKey, entry: Entry[Any], __: float = 0.0) -> float:
    return entry.born + entry.limits.seconds[2]


def _size_of(entry: Entry[Any]) -> int:
    return entry.size + BYTES_PER_ENTRY
