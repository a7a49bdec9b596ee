"""A database that does not answer is asked once a second, and not by every request."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import attrs

from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.ports.clock import Clock

_FAILURES = 3
"""So many in a row mean that it is not one slow statement."""

_SECONDS_BETWEEN_TRIES = 1.0

_is_watched: ContextVar[bool] = ContextVar("is_watched", default=False)


@attrs.define(kw_only=True)
class CircuitBreaker:
    """Whether the database answers, as far as this process knows.

    The pattern is the circuit breaker (M. Nygard, Release It!, 2007), closed again by the
    first success.
    """

    clock: Clock
    _failures: int = attrs.field(default=0, init=False)
    _tries_at: float = attrs.field(default=0.0, init=False)

    @property
    def is_known(self) -> bool:
        """Return whether the database is known not to answer."""
        return self._failures >= _FAILURES

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Ask the database within, unless it is known not to answer and was just asked.

        Raises:
            StorageUnavailableError: It is, or it did not answer now.
        """
        if _is_watched.get():
            # One try may ask for several things.
            yield
            return
        if self.is_known and not self._may_try():
            raise StorageUnavailableError("the database did not answer a moment ago")
        token = _is_watched.set(True)
        try:
            yield
        except StorageUnavailableError:
            self._failures += 1
            raise
        except Exception:
            # Whatever is wrong, it is not that.
            self._failures = 0
            raise
        finally:
            _is_watched.reset(token)
        self._failures = 0

    def _may_try(self) -> bool:
        # Without a lock: that two try at once does no harm.
        now = self.clock.monotonic()
        if now < self._tries_at:
            return False
        self._tries_at = now + _SECONDS_BETWEEN_TRIES
        return True
