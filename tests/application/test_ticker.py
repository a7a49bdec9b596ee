"""The thread that has recommenders read their feeds: once a second, while there is one."""

import threading
from threading import Event
from time import sleep

import pytest

from angle_reco.application.serving import ticker
from angle_reco.application.serving.ticker import Ticker
from tests.application.memories import comes_true


class Counting:
    """Counts its ticks, and raises an error if it has one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.ticks, self.is_ticked, self.error = 0, Event(), error

    def tick(self) -> None:
        """Note that it was called."""
        self.ticks += 1
        self.is_ticked.set()
        if self.error is not None:
            raise self.error


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of threads that tests before this one have left."""
    monkeypatch.setattr(ticker, "_SECONDS_BETWEEN_TICKS", 0.3)
    return running()


def running() -> list[str]:
    """Return the names of the threads that tick."""
    return [one.name for one in threading.enumerate() if one.name == "angle-reco-ticker"]


def test_an_object_is_called_at_once_and_then_from_time_to_time(names: list[str]) -> None:
    ticking, one = Ticker(), Counting()

    ticking.add(one)
    assert one.is_ticked.wait(20)
    sleep(0.1)
    soon = one.ticks
    assert comes_true(lambda: one.ticks >= 3)
    ticking.discard(one)

    assert soon == 1
    assert comes_true(lambda: running() == names)


def test_the_thread_ends_when_nothing_is_left_and_starts_for_the_next(
    names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticker, "_SECONDS_BETWEEN_TICKS", 60.0)
    ticking, one = Ticker(), Counting()
    for _ in range(2):
        one.is_ticked.clear()
        ticking.add(one)
        assert one.is_ticked.wait(20)
        assert len(running()) == len(names) + 1
        ticking.discard(one)

        assert comes_true(lambda: running() == names)


def test_one_thread_calls_all_and_an_error_stops_no_other(names: list[str]) -> None:
    ticking = Ticker()
    all_of_them = [Counting(RuntimeError("no thread")), Counting(), Counting(RuntimeError())]
    for one in all_of_them:
        ticking.add(one)

    assert comes_true(lambda: all(one.ticks >= 2 for one in all_of_them))
    assert len(running()) == len(names) + 1
    for one in all_of_them:
        ticking.discard(one)
