"""Answers that may wait for the database, and those that come from memory alone."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from angle_reco.ports.cache import CacheKey


class NotInMemoryError(Exception):
    """An answer from memory alone cannot be given; *future* brings what is missing, if any."""

    def __init__(self, key: CacheKey | None = None, future: "Future[Any] | None" = None) -> None:
        super().__init__()
        self.key = key
        self.future = future


_landed: ContextVar[Mapping[CacheKey, "Future[Any]"] | None] = ContextVar("landed", default=None)


@contextmanager
def from_memory_alone(landed: Mapping[CacheKey, "Future[Any]"]) -> Iterator[None]:
    """Have whatever would wait within raise `NotInMemoryError` instead.

    What futures of before brought, value or error, counts as in memory.
    """
    token = _landed.set(landed)
    try:
        yield
    finally:
        _landed.reset(token)


def landed_values() -> Mapping[CacheKey, "Future[Any]"]:
    """Return the futures that brought values for this answer, by the keys of these."""
    return _landed.get() or {}


def may_wait() -> bool:
    """Return whether an answer may wait for something outside of memory."""
    return _landed.get() is None


def about_to_wait() -> None:
    """Say that what follows waits for something outside of memory.

    Raises:
        NotInMemoryError: The answer is to come from memory alone.
    """
    if _landed.get() is not None:
        raise NotInMemoryError
