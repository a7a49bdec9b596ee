"""`Cache` in its plainest form: what `TtlCache` is compared with."""

from collections import Counter
from concurrent.futures import InvalidStateError
from contextlib import suppress
from datetime import timedelta
from threading import Lock
from typing import Any

import attrs

from angle_reco.domain.freshness import FAILED_FOR, FreshnessLimits, freshness_at
from angle_reco.domain.suggestions import Freshness
from angle_reco.ports.cache import Cached, CacheKey, CacheStats, Entry, Evicted, Flight
from angle_reco.ports.clock import Clock


class MemoryCache:
    """`Cache` in a dictionary, ordered from the least to the most recently used entry.

    The size of an entry is the size that callers pass plus *bytes_per_entry*.
    """

    def __init__(
        self, clock: Clock, *, most_bytes: int = 64_000_000, bytes_per_entry: int = 0
    ) -> None:
        self._clock = clock
        self._most_bytes = most_bytes
        self._bytes_per_entry = bytes_per_entry
        self._reserved = 0
        self._lock = Lock()
        self._entries: dict[CacheKey, _Entry] = {}
        self._flights: dict[CacheKey, Flight] = {}
        self._marks = Counter[str]()
        self._answers = Counter[Freshness | None]()
        self._evictions = 0
        self._expired = 0

    def get(self, key: CacheKey) -> Cached[Any] | None:
        with self._lock:
            entry = self._entries.pop(key, None)
            freshness = None
            if entry is not None:
                self._entries[key] = entry
                freshness = freshness_at(
                    self._age(entry),
                    entry.limits,
                    is_marked=entry.is_marked,
                    has_failed=self._has_failed(entry),
                )
            self._answers[freshness] += 1
        if entry is None or freshness is None:
            return None
        return Cached(entry.value, freshness)

    def held(self, key: CacheKey) -> Any:
        with self._lock:
            entry = self._entries.get(key)
        if entry is None or self._age(entry) > entry.limits.kept_for:
            return None
        return entry.value

    def join(self, key: CacheKey) -> tuple[Flight, bool]:
        with self._lock:
            if key in self._flights:
                return self._flights[key], False
            flight = Flight(key, self._marks[key[0]])
            # From now on no waiting thread can cancel it for the others.
            flight.future.set_running_or_notify_cancel()
            self._flights[key] = flight
            return flight, True

    def land(self, flight: Flight, entry: Entry[Any]) -> bool:
        kept = _Entry(
            value=entry.value,
            size=entry.size + self._bytes_per_entry,
            age=entry.age,
            at=self._clock.monotonic(),
            limits=entry.limits,
        )
        with self._lock:
            kept.is_marked = flight.generation != self._marks[flight.key[0]]
            is_kept = self._ends(flight) and self._keep(flight.key, kept)
        with suppress(InvalidStateError):  # It had ended already.
            flight.future.set_result(entry)
        return is_kept

    def fail(self, flight: Flight, error: BaseException) -> None:
        with self._lock:
            if self._ends(flight) and flight.key in self._entries:
                self._entries[flight.key].failed_at = self._clock.monotonic()
        with suppress(InvalidStateError):  # It had ended already.
            flight.future.set_exception(error)

    def forget(self, key: CacheKey) -> bool:
        with self._lock:
            self._flights.pop(key, None)
            if key not in self._entries:
                return False
            self._expire()
            return self._entries.pop(key, None) is not None

    def forget_all(self, kind: str | None = None) -> Evicted:
        with self._lock:
            if kind is not None:
                self._expire()
            before = Evicted(len(self._entries), self._bytes())
            for table in (self._entries, self._flights):
                for key in [one for one in table if kind is None or one[0] == kind]:
                    del table[key]
            return Evicted(before.entries - len(self._entries), before.bytes - self._bytes())

    def mark(self, kind: str) -> None:
        with self._lock:
            self._marks[kind] += 1
            for key, entry in self._entries.items():
                if key[0] == kind:
                    entry.is_marked = True

    def evict(self) -> Evicted:
        with self._lock:
            return self._expire()

    def reserve(self, size: int) -> None:
        with self._lock:
            self._reserved = size
            self._expire()
            self._make_room(0)

    def stats(self) -> CacheStats:
        with self._lock:
            return CacheStats(
                hits=self._answers[Freshness.FRESH],
                stale=self._answers[Freshness.STALE] + self._answers[Freshness.STALE_ON_ERROR],
                misses=self._answers[None],
                entries=len(self._entries),
                bytes=self._bytes(),
                most_bytes=self._most_bytes,
                evictions=self._evictions,
                expired=self._expired,
            )

    def _ends(self, flight: Flight) -> bool:
        """End a flight; False if its key was forgotten or it had ended before."""
        if self._flights.get(flight.key) is not flight:
            return False
        del self._flights[flight.key]
        return True

    def _keep(self, key: CacheKey, entry: "_Entry") -> bool:
        self._expire()
        had_one = self._entries.pop(key, None) is not None
        if entry.size > self._room():
            self._evictions += had_one
            return False
        if self._age(entry) > entry.limits.kept_for:
            return False
        self._make_room(entry.size)
        self._entries[key] = entry
        return True

    def _make_room(self, size: int) -> None:
        while self._bytes() + size > self._room():
            del self._entries[next(iter(self._entries))]
            self._evictions += 1

    def _expire(self) -> Evicted:
        ended = {
            key: entry
            for key, entry in self._entries.items()
            if self._age(entry) > entry.limits.kept_for
        }
        for key in ended:
            del self._entries[key]
        self._expired += len(ended)
        return Evicted(len(ended), sum(entry.size for entry in ended.values()))

    def _room(self) -> int:
        return max(self._most_bytes - self._reserved, 0)

    def _bytes(self) -> int:
        return sum(entry.size for entry in self._entries.values())

    def _has_failed(self, entry: "_Entry") -> bool:
        if entry.failed_at is None:
            return False
        return timedelta(seconds=self._clock.monotonic() - entry.failed_at) <= FAILED_FOR

    def _age(self, entry: "_Entry") -> timedelta:
        return entry.age + timedelta(seconds=self._clock.monotonic() - entry.at)


@attrs.define(eq=False, kw_only=True)
class _Entry:
    value: Any
    size: int
    age: timedelta
    at: float
    limits: FreshnessLimits
    is_marked: bool = False
    failed_at: float | None = None
