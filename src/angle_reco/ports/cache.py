"""What a process keeps in memory, within a number of bytes, each entry for its time."""

from collections.abc import Hashable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, NamedTuple, Protocol, TypeAlias

import attrs

from angle_reco.domain.freshness import FreshnessLimits
from angle_reco.domain.suggestions import Freshness

CacheKey: TypeAlias = tuple[str, Hashable]
"""What kind of thing it is, and whose."""


class Cached(NamedTuple):
    """What is kept of a key, and how fresh that is by now."""

    value: Any
    freshness: Freshness


@attrs.frozen(eq=False)
class Flight:
    """One computation of a key's value, however many wait for it.

    *generation* tells the cache what was marked since it took off.
    """

    key: CacheKey
    generation: int
    future: "Future[Any]" = attrs.field(factory=Future)


class Evicted(NamedTuple):
    """How much went."""

    entries: int
    bytes: int


@attrs.frozen(kw_only=True)
class CacheStats:
    """How a cache did since it was made; *bytes* and *entries* are what it holds now.

    *stale* counts answers from stale entries, also those served on error; *hits* from
    fresh ones. *evictions* count entries that went before their time, for want of room.
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

    How fresh an entry is, `freshness_at` decides, at every `get`. No method waits for
    anything but other methods, and none is held up by a value's size.
    """

    def get(self, key: CacheKey) -> Cached | None:
        """Return what is kept of a key, None when that is missing or too old."""
        ...

    def held(self, key: CacheKey) -> Any:
        """Return what may yet be shown of a key, if only on error; None when there is nothing.

        That is no use of it, and not counted.
        """
        ...

    def put(
        self, key: CacheKey, value: object, *, size: int, age: timedelta, limits: FreshnessLimits
    ) -> bool:
        """Keep a value of *size* bytes that is so old already; False when it does not fit.

        A flight of the key that is under way lost: what it brings is not kept.
        """
        ...

    def join(self, key: CacheKey) -> tuple[Flight, bool]:
        """Return the flight of a key that is under way, else a new one; and whether it is new.

        Whoever is told that it is new ends it, by `land` or `fail`. The others wait for its
        future, without holding anything.
        """
        ...

    def land(
        self, flight: Flight, value: object, *, size: int, age: timedelta, limits: FreshnessLimits
    ) -> bool:
        """End a flight: all who wait get *value*, which is kept if it fits; False if it is not.

        It is not kept when its key was put or forgotten since the flight took off. Where the
        key was marked meanwhile, the entry is marked: it may have been read before that.
        """
        ...

    def fail(self, flight: Flight, error: BaseException) -> None:
        """End a flight: all who wait get *error*.

        For a minute (`FAILED_FOR`) the entry is known not to be renewed. The next `join` takes
        off again. A later `land` or `put` makes up for the failure.
        """
        ...

    def forget(self, key: CacheKey) -> bool:
        """Drop an entry, and what flights of its key bring; False when there was none."""
        ...

    def forget_all(self, kind: str | None = None) -> Evicted:
        """Drop every entry, or every one of a kind, and what the flights under way bring."""
        ...

    def mark(self, kind: str) -> None:
        """Have every entry of a kind count as stale, as there is something newer to read."""
        ...

    def evict(self) -> Evicted:
        """Drop the entries that may not be shown any more, whatever happens."""
        ...

    def reserve(self, size: int) -> None:
        """Leave so many of the bytes to others, dropping what is over at once."""
        ...

    def stats(self) -> CacheStats:
        """Return how it did, and what it holds."""
        ...
