"""How long a call may wait for what is outside; adapters look, whoever calls them says."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

_ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Let everything within wait for stores at most so long in all.

    One inside another can only shorten it. Work outside of any is patient, as jobs are.
    """
    left = time_left()
    token = _ends_at.set(monotonic() + (seconds if left is None else min(seconds, left)))
    try:
        yield
    finally:
        _ends_at.reset(token)


def time_left() -> float | None:
    """Return how many seconds the call at hand may still wait, None without a deadline."""
    ends_at = _ends_at.get()
    return None if ends_at is None else max(ends_at - monotonic(), 0.0)
