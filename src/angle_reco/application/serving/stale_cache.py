"""A cache that serves stale values while it refreshes them in the background.

This is stale-while-revalidate and stale-if-error (RFC 5861), for values instead of pages, with a
circuit breaker for the database.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from typing import TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import attrs

from angle_reco.application.notifications import Notifier
from angle_reco.domain.errors import ItemNotFoundError, StorageUnavailableError
from angle_reco.domain.events import RefreshFailed
from angle_reco.domain.suggestions import Freshness
from angle_reco.ports.cache import Cache, Cached, CacheKey, Entry, Flight
from angle_reco.ports.clock import Clock
from angle_reco.ports.deadlines import NotInMemoryError, deadline, ready_futures, time_left
from angle_reco.ports.threads import BackgroundPool

_log = logging.getLogger(__name__)

_DEADLINES_BEHIND = 10
"""The deadline of a refresh in the background, in deadlines of a call."""

_SECONDS_TO_TRY_AGAIN = 1.0
_SECONDS_AFTER_A_DEFECT = 10.0
_MOST_PAUSES = 10_000


_V = TypeVar("_V")

Make: TypeAlias = Callable[[bool], Entry[_V]]
"""Reads or computes a value; True: an older value answers callers until then."""


@attrs.define(kw_only=True)
class StaleCache:
    """Serves the values of a cache; makes missing ones in the call, or behind it in *pool*.

    For each key at most one computation, a flight, is under way; all callers share it.
    """

    cache: Cache
    pool: BackgroundPool
    breaker: "CircuitBreaker"
    notifier: Notifier
    clock: Clock
    deadline: timedelta
    _pauses: dict[CacheKey, float] = attrs.field(factory=dict, init=False)
    _began: "WeakKeyDictionary[Flight, float]" = attrs.field(factory=WeakKeyDictionary, init=False)

    def at_once(self, key: CacheKey, make: Make[_V]) -> Cached[_V] | None:
        """Return the cached value without waiting; refresh a stale or missing one behind it."""
        cached = self.cache.get(key)
        if cached is None and self.breaker.is_known:
            # The circuit breaker allows one try a second: leave it to a call that waits.
            return None
        if cached is None or cached.freshness is not Freshness.FRESH:
            self.renew(key, make)
        return cached

    def current(self, key: CacheKey, make: Make[_V]) -> Cached[_V]:
        """Return the cached value, or make it now; concurrent callers share one computation.

        If making it fails, return a value that may be shown only on error, if one is cached.

        Raises:
            StorageUnavailableError: The value could not be made, or not in time.
        """
        # A value this answer waited for was made for it: use it with its freshness when made.
        cached = None if key in (ready_futures.get() or ()) else self.cache.get(key)
        current: Cached[_V] = self._made_or_old(key, make) if cached is None else cached
        if current.freshness is not Freshness.FRESH and current.freshness is not Freshness.COMPUTED:
            self.renew(key, make)
        return current

    def recompute(self, key: CacheKey, make: Make[_V]) -> Cached[_V]:
        """Make the value now, even if one is cached, and return it.

        Raises:
            StorageUnavailableError: The value could not be made, or not in time.
        """
        ready = ready_futures.get()
        if ready is None:
            flight, is_new = self._joined(key)
            if is_new:
                self._fly(flight, make, is_refresh=False)
            future = flight.future
        elif key in ready:
            future = ready[key]
        else:
            flight, is_new = self._joined(key)
            if is_new:
                self._launch(flight, make, is_refresh=False)
            raise NotInMemoryError((key, flight.future))
        try:
            entry: Entry[_V] = future.result(timeout=time_left())
        except TimeoutError:
            raise StorageUnavailableError("it took too long to make") from None
        return Cached(entry.value, entry.made_as)

    def _made_or_old(self, key: CacheKey, make: Make[_V]) -> Cached[_V]:
        try:
            return self.recompute(key, make)
        except NotInMemoryError:
            raise
        except Exception:
            # After a failed refresh, a value that was too old may be shown on error.
            cached = self.cache.get(key)
            if cached is None:
                raise
            return cached

    def renew(self, key: CacheKey, make: Make[_V]) -> None:
        """Refresh a value in the background, unless a refresh is under way or paused."""
        now = self.clock.monotonic()
        if self._pauses.get(key, now) > now:
            return
        flight, is_new = self._joined(key)
        if is_new:
            self._launch(flight, make, is_refresh=True)

    def pause(self, key: CacheKey, seconds: float) -> None:
        """Do not refresh a value behind answers for so many *seconds*."""
        now = self.clock.monotonic()
        if len(self._pauses) >= _MOST_PAUSES:
            self._pauses = {one: at for one, at in list(self._pauses.items()) if at > now}
        self._pauses[key] = now + seconds

    @property
    def _seconds_behind(self) -> float:
        return self.deadline.total_seconds() * _DEADLINES_BEHIND

    def _joined(self, key: CacheKey) -> tuple[Flight, bool]:
        """Join the flight of a key, or start one; return it and whether it is new.

        A flight that takes too long is failed, and the next call starts another.
        """
        now = self.clock.monotonic()
        flight, is_new = self.cache.join(key)
        if is_new:
            self._began[flight] = now
            return flight, is_new
        most = 2 * self._seconds_behind
        if self.breaker.is_known:
            # Fail it earlier, so that an older cached value can be shown on error.
            most = self.deadline.total_seconds()
        if now - self._began.get(flight, now) > most:
            self._fail(flight, StorageUnavailableError("it takes too long"), is_refresh=True)
        return flight, is_new

    def _launch(self, flight: Flight, make: Make[_V], *, is_refresh: bool) -> None:
        try:
            self.pool.submit(partial(self._fly, flight, make, is_refresh=is_refresh))
        except RuntimeError as error:
            # No thread can be started, for example while the interpreter exits.
            self._fail(flight, error, is_refresh=is_refresh)

    def _fly(self, flight: Flight, make: Make[_V], *, is_refresh: bool) -> None:
        """Make the value of a flight and end the flight, with the value or with the error."""
        # The deadline of the call, which is shorter, stays in force.
        try:
            with deadline(self._seconds_behind), self.breaker.watched():
                entry = make(is_refresh)
        except Exception as error:  # noqa: BLE001 — any error of *make* goes to all who wait
            self._fail(flight, error, is_refresh=is_refresh)
        except BaseException as error:
            self.cache.fail(flight, error)
            raise
        else:
            entry.size += sys.getsizeof(flight.key[1])
            self.cache.land(flight, entry)

    def _fail(self, flight: Flight, error: Exception, *, is_refresh: bool) -> None:
        kind, name = flight.key[0], type(error).__name__
        is_outage = isinstance(error, StorageUnavailableError)
        self.pause(flight.key, _SECONDS_TO_TRY_AGAIN if is_outage else _SECONDS_AFTER_A_DEFECT)
        self.cache.fail(flight, error)
        if isinstance(error, ItemNotFoundError):
            # Similar items of an item that no longer exists must not be shown.
            self.cache.forget(flight.key)
        elif is_refresh:
            event = RefreshFailed(kind=kind, error=name, at=self.clock.now())
            if self.notifier.notify(event, about=flight.key):
                _log.warning("not renewed in memory: kind=%s error=%s", kind, name)


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
