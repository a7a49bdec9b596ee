"""A circuit breaker: a database that does not answer is tried once a second, not by every call."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import attrs

from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.ports.clock import Clock

_FAILURES = 3
"""Failures in a row that mean more than one slow statement."""

_SECONDS_BETWEEN_TRIES = 1.0

_is_watched: ContextVar[bool] = ContextVar("is_watched", default=False)


@attrs.define(kw_only=True)
class CircuitBreaker:
    """Tracks whether the database answers this process.

    This is the circuit breaker pattern (M. Nygard, Release It!, 2007); the first success closes
    it again.
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
        """Watch a call to the database; refuse it if the database is down and was just tried.

        Raises:
            StorageUnavailableError: The call was refused, or the database did not answer.
        """
        if _is_watched.get():
            # A nested call belongs to the same try.
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
            # Any other error is not an outage.
            self._failures = 0
            raise
        finally:
            _is_watched.reset(token)
        self._failures = 0

    def _may_try(self) -> bool:
        # No lock: two concurrent tries do no harm.
        now = self.clock.monotonic()
        if now < self._tries_at:
            return False
        self._tries_at = now + _SECONDS_BETWEEN_TRIES
        return True
