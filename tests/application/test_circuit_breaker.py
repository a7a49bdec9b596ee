"""A database that does not answer is asked once a second, until it does."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest

from angle_reco.application.serving.stale_cache import CircuitBreaker
from angle_reco.domain.errors import ItemNotFoundError, StorageUnavailableError
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.ports.deadlines import NotInMemoryError, from_memory_alone
from angle_reco.testing import ManualClock
from tests.application.memories import shop

SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that is moved by hand."""
    return ManualClock()


@pytest.fixture
def breaker(clock: ManualClock) -> CircuitBreaker:
    """Return what a new process knows."""
    return CircuitBreaker(clock=clock)


def ask(breaker: CircuitBreaker, error: Exception | None = None) -> str:
    """Ask the database something, and return what becomes of it."""
    asked = list[Exception | None]()
    with suppress(StorageUnavailableError, ItemNotFoundError, ValueError), breaker.watched():
        asked.append(error)
        if error is not None:
            raise error
        return "answered"
    return "failed" if asked else "not asked"


def fail(breaker: CircuitBreaker) -> str:
    """Ask a database that does not answer."""
    return ask(breaker, StorageUnavailableError("no answer"))


def test_three_failures_in_a_row_make_it_known(breaker: CircuitBreaker) -> None:
    known = []
    for _ in range(4):
        known.append(breaker.is_known)
        fail(breaker)

    assert known == [False, False, False, True]


@pytest.mark.parametrize("error", [None, ItemNotFoundError("art-01"), ValueError("odd")])
def test_any_answer_in_between_begins_the_count_again(
    breaker: CircuitBreaker, error: Exception | None
) -> None:
    for _ in range(5):
        told = [fail(breaker), fail(breaker), ask(breaker, error)]

        assert told == ["failed", "failed", "answered" if error is None else "failed"]
    assert not breaker.is_known
    assert [fail(breaker), fail(breaker), breaker.is_known] == ["failed", "failed", False]
    assert [fail(breaker), breaker.is_known] == ["failed", True]


def known(breaker: CircuitBreaker, clock: ManualClock) -> CircuitBreaker:
    """Return an outage that is known, of which one has just tried."""
    clock.advance(timedelta(days=3))
    for _ in range(4):
        assert fail(breaker) == "failed"
    return breaker


def test_then_it_is_asked_once_a_second(breaker: CircuitBreaker, clock: ManualClock) -> None:
    known(breaker, clock)

    told = []
    for passed in (0 * SECOND, SECOND - TICK, TICK, 0 * SECOND, SECOND / 2, SECOND / 2, TICK):
        clock.advance(passed)
        told.append(fail(breaker))

    assert told == [
        "not asked",
        "not asked",
        "failed",
        "not asked",
        "not asked",
        "failed",
        "not asked",
    ]


def test_a_try_that_is_under_way_is_the_one_of_its_second(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    known(breaker, clock)
    clock.advance(SECOND)

    with breaker.watched():
        # Somebody else's, in threads of their own.
        told = [in_thread(lambda: ask(breaker))]
        clock.advance(SECOND)
        told.append(in_thread(lambda: fail(breaker)))

    assert told == ["not asked", "failed"]


def test_the_first_answer_ends_it(breaker: CircuitBreaker, clock: ManualClock) -> None:
    known(breaker, clock)
    clock.advance(SECOND)

    told = [ask(breaker), ask(breaker), fail(breaker), ask(breaker)]

    assert told == ["answered", "answered", "failed", "answered"]
    assert not breaker.is_known


def test_after_it_has_ended_it_takes_three_failures_again(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    known(breaker, clock)
    clock.advance(SECOND)
    ask(breaker)

    told = [(fail(breaker), breaker.is_known) for _ in range(3)]

    assert told == [("failed", False), ("failed", False), ("failed", True)]


def test_a_clock_that_is_set_back_changes_nothing(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    known(breaker, clock)
    clock.set(clock.now() - timedelta(days=9))

    assert fail(breaker) == "not asked"
    clock.advance(SECOND)
    assert ask(breaker) == "answered"


@pytest.mark.parametrize("error", [ItemNotFoundError(ItemId("vase")), ValueError("a defect")])
def test_other_errors_are_no_outage(breaker: CircuitBreaker, error: Exception) -> None:
    for _ in range(9):
        assert ask(breaker, error) == "failed"

    assert not breaker.is_known


def test_what_is_asked_within_a_try_belongs_to_it(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    known(breaker, clock)
    clock.advance(SECOND)

    with breaker.watched():
        assert [ask(breaker), ask(breaker)] == ["answered", "answered"]
        # One of several answered: the try is not over.
        assert breaker.is_known

    assert not breaker.is_known


def test_a_failure_within_a_try_is_one(breaker: CircuitBreaker) -> None:
    for _ in range(2):
        with pytest.raises(StorageUnavailableError), breaker.watched(), breaker.watched():
            raise StorageUnavailableError("no answer")

    assert not breaker.is_known


def in_thread(work: Callable[[], str]) -> str:
    """Return what comes of work in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def test_an_answer_that_may_not_wait_says_nothing_of_the_database() -> None:
    reader = shop().reco._use_cases.shelves.list_reader
    assert reader.stale_cache is not None
    breaker = reader.stale_cache.breaker
    for _ in range(3):
        fail(breaker)

    with from_memory_alone({}), pytest.raises(NotInMemoryError):
        reader.recomputed(UserId("ann"), keep=1_000)

    assert breaker.is_known
