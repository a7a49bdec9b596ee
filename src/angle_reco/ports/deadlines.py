"""How long a call may wait for what is outside of memory, and whether it may wait at all."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any

from angle_reco.ports.cache import CacheKey

_ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)


class deadline:  # noqa: N801 — used as a function; a generator takes twice the time
    """Limit how long everything within waits for stores: *seconds* in all.

    A nested deadline can only shorten the outer one. Without a deadline, as in jobs,
    adapters wait as long as they are configured to.
    """

    __slots__ = ("_seconds", "_token")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        before, ends_at = _ends_at.get(), monotonic() + self._seconds
        self._token = _ends_at.set(ends_at if before is None else min(ends_at, before))

    def __exit__(self, *_: object) -> None:
        _ends_at.reset(self._token)


def time_left() -> float | None:
    """Return how many seconds the current call may still wait, None without a deadline."""
    ends_at = _ends_at.get()
    return None if ends_at is None else max(ends_at - monotonic(), 0.0)


class NotInMemoryError(Exception):
    """A value is not in memory, and the answer may not wait.

    *pending*, if any, is the cache key of the value and the future that will bring it.
    """

    def __init__(self, pending: "tuple[CacheKey, Future[Any]] | None" = None) -> None:
        super().__init__()
        self.pending = pending


ready_futures: ContextVar[Mapping[CacheKey, "Future[Any]"] | None] = ContextVar(
    "ready_futures", default=None
)
"""The completed futures whose results this answer may use, by cache key; None: it may wait."""


@contextmanager
def from_memory_alone(futures: Mapping[CacheKey, "Future[Any]"]) -> Iterator[None]:
    """Raise `NotInMemoryError` where code in the block would wait.

    The results of completed *futures*, values or errors, count as in memory.
    """
    token = ready_futures.set(futures)
    try:
        yield
    finally:
        ready_futures.reset(token)


def may_wait() -> bool:
    """Return whether an answer may wait for something outside of memory."""
    return ready_futures.get() is None


def about_to_wait() -> None:
    """Require that the answer may wait; call this before anything that waits.

    Raises:
        NotInMemoryError: The answer has to come from memory alone.
    """
    if ready_futures.get() is not None:
        raise NotInMemoryError
