"""Whether an answer may wait for the database, or has to come from memory alone."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from angle_reco.ports.cache import CacheKey


class NotInMemoryError(Exception):
    """A value is not in memory, and the answer may not wait; *future*, if any, will bring it."""

    def __init__(self, key: CacheKey | None = None, future: "Future[Any] | None" = None) -> None:
        super().__init__()
        self.key = key
        self.future = future


_landed: ContextVar[Mapping[CacheKey, "Future[Any]"] | None] = ContextVar("landed", default=None)


@contextmanager
def from_memory_alone(landed: Mapping[CacheKey, "Future[Any]"]) -> Iterator[None]:
    """Raise `NotInMemoryError` where code in the block would wait.

    The results of the *landed* futures, values or errors, count as in memory.
    """
    token = _landed.set(landed)
    try:
        yield
    finally:
        _landed.reset(token)


def landed_values() -> Mapping[CacheKey, "Future[Any]"]:
    """Return the completed futures whose results this answer may use, by cache key."""
    return _landed.get() or {}


def may_wait() -> bool:
    """Return whether an answer may wait for something outside of memory."""
    return _landed.get() is None


def about_to_wait() -> None:
    """Require that the answer may wait; call this before anything that waits.

    Raises:
        NotInMemoryError: The answer has to come from memory alone.
    """
    if _landed.get() is not None:
        raise NotInMemoryError
