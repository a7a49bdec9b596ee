"""How long a call may wait for stores and the host: callers set it, adapters read it."""

from contextvars import ContextVar
from time import monotonic

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
