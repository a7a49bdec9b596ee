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


landed: ContextVar[Mapping[CacheKey, "Future[Any]"] | None] = ContextVar("landed", default=None)
"""The completed futures whose results this answer may use, by cache key; None: it may wait."""


@contextmanager
def from_memory_alone(futures: Mapping[CacheKey, "Future[Any]"]) -> Iterator[None]:
    """Raise `NotInMemoryError` where code in the block would wait.

    The results of completed *futures*, values or errors, count as in memory.
    """
    token = landed.set(futures)
    try:
        yield
    finally:
        landed.reset(token)


def may_wait() -> bool:
    """Return whether an answer may wait for something outside of memory."""
    return landed.get() is None


def about_to_wait() -> None:
    """Require that the answer may wait; call this before anything that waits.

    Raises:
        NotInMemoryError: The answer has to come from memory alone.
    """
    if landed.get() is not None:
        raise NotInMemoryError
