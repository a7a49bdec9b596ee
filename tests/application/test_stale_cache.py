"""A cache that is filled by threads: its bookkeeping, its bytes, and a process without threads."""

import sys
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, NoReturn

import pytest

from angle_reco.adapters.ttl_cache import BYTES_PER_ENTRY, TtlCache
from angle_reco.application.notifications import Notifier
from angle_reco.application.serving.stale_cache import CircuitBreaker, StaleCache
from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.domain.events import Event, RefreshFailed
from angle_reco.domain.freshness import FreshnessLimits
from angle_reco.domain.suggestions import Freshness
from angle_reco.ports.cache import CacheKey, Entry
from angle_reco.ports.deadlines import NotInMemoryError, from_memory_alone
from angle_reco.ports.threads import BackgroundPool
from angle_reco.testing import ManualClock
from tests.application.shop import DAY, HOUR, TICK

SECOND, NO_TIME = timedelta(seconds=1), timedelta(0)
KEY: CacheKey = ("personal", "ann")
LIMITS = FreshnessLimits(fresh_for=HOUR, stale_for=HOUR, on_error_for=HOUR)


VALUE = "value"


def entry(*, age: timedelta = NO_TIME, made_as: Freshness = Freshness.FRESH) -> Entry[str]:
    """Return what is kept."""
    return Entry(VALUE, size=100, age=age, limits=LIMITS, made_as=made_as)


class Hand(BackgroundPool):
    """Work that is done when the test says so, or cannot be handed over at all."""

    def __init__(self) -> None:
        super().__init__("test-hand", 1)
        self.handed: list[Callable[[], object]] = []
        self.has_threads = True

    def submit(self, work: Callable[[], object]) -> None:
        if not self.has_threads:
            raise RuntimeError("can't start new thread")
        self.handed.append(work)


class Cacheable:
    """A cache with all that fills it."""

    def __init__(self) -> None:
        self.clock, self.pool, self.events = ManualClock(), Hand(), list[Event]()
        self.cache = TtlCache(self.clock, most_bytes=1_000_000)
        self.stale_cache = StaleCache(
            cache=self.cache,
            pool=self.pool,
            breaker=CircuitBreaker(clock=self.clock),
            notifier=Notifier(clock=self.clock, on_event=self.events.append),
            clock=self.clock,
            deadline=2 * SECOND,
        )
        self.made = 0

    def make(self, _: bool) -> Entry[str]:
        self.made += 1
        return entry()

    def renewed(self, key: CacheKey = KEY) -> bool:
        """Return whether a value would be made behind an answer, which it is."""
        before, self.pool.handed = self.made, []
        self.stale_cache.renew(key, self.make)
        for work in self.pool.handed:
            work()
        return self.made > before


@pytest.fixture
def kept() -> Cacheable:
    """Return an empty cache."""
    return Cacheable()


class TestPauses:
    def test_nothing_is_made_within_a_pause(self, kept: Cacheable) -> None:
        kept.stale_cache.pause(KEY, 10.0)

        for passes, is_made in ((NO_TIME, False), (10 * SECOND - TICK, False), (TICK, True)):
            kept.clock.advance(passes)
            assert kept.renewed() is is_made
        assert kept.renewed(("personal", "bob"))

    def test_those_that_are_over_are_dropped_once_there_are_ten_thousand(
        self, kept: Cacheable
    ) -> None:
        for number in range(5_000):
            kept.stale_cache.pause(("short", number), 1.0)
        for number in range(4_999):
            kept.stale_cache.pause(("long", number), 60.0)
        kept.clock.advance(SECOND)
        before = len(kept.stale_cache._pauses)
        kept.stale_cache.pause(("long", 4_999), 60.0)
        at_most = len(kept.stale_cache._pauses)

        kept.stale_cache.pause(("long", 5_000), 60.0)

        assert (before, at_most) == (9_999, 10_000)
        assert len(kept.stale_cache._pauses) == 5_001
        # Those that are not over still hold.
        assert not any(kept.renewed(("long", number)) for number in (0, 4_999, 5_000))
        assert kept.renewed(("short", 0))


class TestBytes:
    @pytest.mark.parametrize("owner", ["a", "a" * 512, 7, 2**63 - 1])
    def test_the_owner_in_a_key_counts_with_the_value(self, kept: Cacheable, owner: Any) -> None:
        kept.stale_cache.current(("personal", owner), kept.make)

        assert kept.cache.stats().bytes == 100 + sys.getsizeof(owner) + BYTES_PER_ENTRY

    def test_long_keys_leave_room_for_fewer_entries(self, kept: Cacheable) -> None:
        held = []
        for owner in ("a", "a" * 512):
            kept.cache.forget_all()
            for number in range(1_500):
                kept.stale_cache.current(("personal", f"{number:04}{owner}"), kept.make)
            held.append(kept.cache.stats().entries)
            assert kept.cache.stats().bytes <= 1_000_000

        assert held[1] < 0.75 * held[0]


class TestWithoutThreads:
    """As while the interpreter exits, and on machines with as many threads as there may be."""

    @pytest.fixture
    def kept(self) -> Cacheable:
        kept = Cacheable()
        kept.pool.has_threads = False
        return kept

    def test_a_call_makes_what_is_missing_itself(self, kept: Cacheable) -> None:
        current = kept.stale_cache.current(KEY, kept.make)

        assert (current.freshness, kept.made) == (Freshness.FRESH, 1)

    def test_what_is_stale_is_shown_and_the_failure_is_reported(
        self, kept: Cacheable, caplog: pytest.LogCaptureFixture
    ) -> None:
        kept.stale_cache.current(KEY, kept.make)
        kept.clock.advance(HOUR + TICK)

        for ask in (kept.stale_cache.current, kept.stale_cache.at_once):
            current = ask(KEY, kept.make)
            assert current is not None
            assert current.freshness is Freshness.STALE
        assert kept.made == 1
        [told] = kept.events
        assert isinstance(told, RefreshFailed)
        assert (told.kind, told.error, told.at) == ("personal", "RuntimeError", kept.clock.now())
        assert caplog.messages == ["not renewed in memory: kind=personal error=RuntimeError"]

    def test_it_is_tried_again_ten_seconds_later(self, kept: Cacheable) -> None:
        kept.stale_cache.renew(KEY, kept.make)
        kept.pool.has_threads = True

        for passes, is_made in ((10 * SECOND - TICK, False), (TICK, True)):
            kept.clock.advance(passes)
            assert kept.renewed() is is_made

    def test_on_an_event_loop_the_future_brings_the_error(self, kept: Cacheable) -> None:
        with from_memory_alone({}), pytest.raises(NotInMemoryError) as missing:
            kept.stale_cache.current(KEY, kept.make)

        assert missing.value.pending is not None
        key, future = missing.value.pending
        assert key == KEY
        error = future.exception(timeout=0)
        assert type(error) is RuntimeError
        # The flight is over: the next call is not stuck behind it.
        assert kept.cache.join(KEY)[1]
        assert kept.events == []


class TestOnAnEventLoop:
    def test_what_is_missing_is_made_behind_by_one_for_all(self, kept: Cacheable) -> None:
        futures = list[Future[Any]]()
        for _ in range(2):
            with from_memory_alone({}), pytest.raises(NotInMemoryError) as missing:
                kept.stale_cache.current(KEY, kept.make)
            assert missing.value.pending is not None
            futures.append(missing.value.pending[1])
        [work] = kept.pool.handed
        work()

        assert futures[0] is futures[1]
        assert futures[0].result(timeout=0).value == VALUE
        assert kept.made == 1

    def test_what_has_landed_is_not_looked_for_in_memory(self, kept: Cacheable) -> None:
        landed, failed = Future[Any](), Future[Any]()
        landed.set_result(entry(made_as=Freshness.COMPUTED))
        failed.set_exception(StorageUnavailableError())

        with from_memory_alone({KEY: landed}):
            current = kept.stale_cache.current(KEY, kept.make)
        with from_memory_alone({KEY: failed}), pytest.raises(StorageUnavailableError):
            kept.stale_cache.current(KEY, kept.make)

        assert current == (VALUE, Freshness.COMPUTED)
        assert kept.made == 0


def test_a_value_that_lands_too_old_is_given_to_its_caller_alone(kept: Cacheable) -> None:
    def make(_: bool) -> Entry[str]:
        return entry(age=DAY, made_as=Freshness.STALE)

    current = kept.stale_cache.current(KEY, make)

    assert current.freshness is Freshness.STALE
    assert kept.cache.get(KEY) is None


def never(_: bool) -> NoReturn:
    raise AssertionError("made although it is kept")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_the_flight_for_all_who_wait(
    kept: Cacheable, error: type[BaseException]
) -> None:
    waiting = list[Future[Any]]()

    def interrupted(_: bool) -> NoReturn:
        waiting.append(kept.cache.join(KEY)[0].future)
        raise error

    with pytest.raises(error):
        kept.stale_cache.current(KEY, interrupted)

    assert type(waiting[0].exception(timeout=0)) is error
    assert kept.cache.join(KEY)[1]


def test_what_is_fresh_is_not_made_again(kept: Cacheable) -> None:
    kept.stale_cache.current(KEY, kept.make)
    kept.clock.advance(HOUR)

    assert kept.stale_cache.current(KEY, never).freshness is Freshness.FRESH
    assert kept.stale_cache.at_once(KEY, never) == (VALUE, Freshness.FRESH)
    assert kept.pool.handed == []
