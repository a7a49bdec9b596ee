"""The cache of a process: bounded in bytes, with time limits for each entry."""

from collections.abc import Hashable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import attrs

from angle_reco.domain.freshness import FreshnessLimits
from angle_reco.domain.lists import ListKind
from angle_reco.domain.suggestions import Freshness

CacheKey: TypeAlias = tuple[str, Hashable]
"""The kind of an entry, and its owner."""


def key_of(kind: ListKind, owner: Hashable) -> CacheKey:
    """Return the cache key of a list."""
    return (str(kind), owner)


_V = TypeVar("_V")


class Cached(NamedTuple, Generic[_V]):
    """A value that was cached, or just made for the cache, and how fresh it is now."""

    value: _V
    freshness: Freshness


@attrs.define(eq=False, weakref_slot=False)
class Entry(Generic[_V]):
    """A value to be cached: its *size* in bytes, its *age*, and the limits of its freshness.

    *made_as* is the freshness of the value in the answers that waited until it was made. The
    cache sets *born*, by its clock, the *generation* in which the value was read, and when a
    refresh failed.
    """

    value: _V
    size: int = attrs.field(kw_only=True)
    age: timedelta = attrs.field(kw_only=True)
    limits: FreshnessLimits = attrs.field(kw_only=True)
    made_as: Freshness = attrs.field(kw_only=True, default=Freshness.FRESH)
    born: float = attrs.field(init=False, default=0.0)
    generation: int = attrs.field(init=False, default=0)
    failed_at: float = attrs.field(init=False, default=float("-inf"))


@attrs.frozen(eq=False)
class Flight:
    """One computation of a key's value, shared by all callers that wait for it.

    The cache compares *generation* to find out whether the kind was marked since the start.
    """

    key: CacheKey
    generation: int
    future: "Future[Entry[Any]]" = attrs.field(factory=Future)


class Evicted(NamedTuple):
    """How many entries and bytes were removed."""

    entries: int
    bytes: int


@attrs.frozen(kw_only=True)
class CacheStats:
    """Counters since the cache was created; *bytes* and *entries* are its present content.

    *hits* counts reads of fresh entries, *stale* reads of stale ones, also those served on
    error. *evictions* counts entries removed before their time for lack of room, *expired*
    those removed after it.
    """

    hits: int
    stale: int
    misses: int
    entries: int
    bytes: int
    most_bytes: int
    evictions: int
    expired: int


class Cache(Protocol):
    """Entries by key, shared by the threads of a process; times are those of its clock.

    `freshness_at` decides at every `get` how fresh an entry is. A method waits for nothing
    but other methods of the cache, and takes no longer for a larger value.
    """

    def get(self, key: CacheKey) -> Cached[Any] | None:
        """Return the cached value of a key, None when it is missing or too old."""
        ...

    def held(self, key: CacheKey) -> Any:
        """Return the value of a key that may still be shown, if only on error; else None.

        The read does not count as a use of the entry, nor in the statistics.
        """
        ...

    def join(self, key: CacheKey) -> tuple[Flight, bool]:
        """Return the key's flight in progress, else a new one; and whether it is new.

        A caller that gets a new flight must end it, by `land` or `fail`. The others wait for
        its future without holding a lock.
        """
        ...

    def land(self, flight: Flight, entry: Entry[Any]) -> bool:
        """End a flight: its waiters get *entry*, which is cached if it fits; False if it is not.

        The value has *size* bytes and that *age*. It is not cached when the key was forgotten
        since the flight started. If the kind was marked since then, the entry is stale: the
        value may have been read before the mark.
        """
        ...

    def fail(self, flight: Flight, error: BaseException) -> None:
        """End a flight: its waiters get *error*.

        For a minute (`FAILED_FOR`) the refresh of the entry counts as failed. The next `join`
        starts a new flight. A later `land` clears the failure.
        """
        ...

    def forget(self, key: CacheKey) -> bool:
        """Drop an entry and the results of its key's flights; False when there was no entry."""
        ...

    def forget_all(self, kind: str | None = None) -> Evicted:
        """Drop all entries, or those of a kind, and the results of flights in progress."""
        ...

    def mark(self, kind: str) -> None:
        """Make every entry of a kind stale, because newer data can be read."""
        ...

    def evict(self) -> Evicted:
        """Drop the entries that are too old to be shown even on error."""
        ...

    def reserve(self, size: int) -> None:
        """Leave *size* of the bytes to other uses; drop the entries beyond the rest at once."""
        ...

    def stats(self) -> CacheStats:
        """Return the counters and the present content."""
        ...
