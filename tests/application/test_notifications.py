"""What a host is told of: the same thing once a minute, at no cost to an answer."""

import logging
from datetime import timedelta
from threading import Thread

import pytest

from angle_reco.application import notifications as notifier
from angle_reco.application.notifications import Notifier
from angle_reco.domain.events import AnswerDegraded, Event
from angle_reco.testing import ManualClock

MINUTE = timedelta(seconds=60)
TICK = timedelta(microseconds=1)


def event(surface: str = "homepage") -> Event:
    """Return something to tell."""
    return AnswerDegraded(surface=surface, error="KeyError", at=ManualClock().now())


class Host:
    """Reports to one who takes note, by a clock moved by hand."""

    def __init__(self) -> None:
        self.clock, self.events = ManualClock(), list[Event]()
        self.notifier = Notifier(clock=self.clock, on_event=self.events.append)


@pytest.fixture
def host() -> Host:
    """Return a host that was told nothing yet."""
    return Host()


def test_the_same_thing_is_told_once_a_minute(host: Host) -> None:
    told = []
    for passed in (0 * MINUTE, 0 * MINUTE, MINUTE - TICK, TICK, TICK, MINUTE - TICK):
        host.clock.advance(passed)
        told.append(host.notifier.notify(event(), about="homepage"))

    assert told == [True, False, False, True, False, True]
    assert host.events == [event()] * 3


def test_what_goes_untold_does_not_begin_the_minute_again(host: Host) -> None:
    told = []
    for _ in range(121):
        told.append(host.notifier.notify(event(), about="homepage"))
        host.clock.advance(timedelta(seconds=1))

    assert [second for second, is_notified in enumerate(told) if is_notified] == [
        0,
        60,
        120,
    ]


def test_each_thing_has_its_own_minute(host: Host) -> None:
    names = ["homepage", "after_bid", ("similar", 1), ("similar", 2), None]

    told = [host.notifier.notify(event(), about=one) for one in names * 2]

    assert told == [True] * 5 + [False] * 4 + [True]


def test_what_is_about_nothing_is_always_told(host: Host) -> None:
    assert [host.notifier.notify(event()) for _ in range(3)] == [True] * 3
    assert len(host.events) == 3


def test_a_clock_that_is_set_back_changes_nothing(host: Host) -> None:
    host.notifier.notify(event(), about="homepage")
    host.clock.set(host.clock.now() - timedelta(days=9))
    host.clock.advance(MINUTE)

    assert host.notifier.notify(event(), about="homepage")


def test_a_host_that_fails_fails_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(_: Event) -> None:
        raise LookupError("zz-user-4711")

    failing = Notifier(clock=ManualClock(), on_event=refuse)

    with caplog.at_level(logging.DEBUG, "angle_reco"):
        told = [failing.notify(event(), about="homepage") for _ in range(2)]

    # It was told, and is not told again at once.
    assert told == [True, False]
    assert caplog.messages == ["host not notified: event=AnswerDegraded error=LookupError"]


def test_without_a_host_it_is_still_known_what_is_new(
    caplog: pytest.LogCaptureFixture,
) -> None:
    alone = Notifier(clock=ManualClock())

    assert [alone.notify(event(), about="homepage") for _ in range(2)] == [True, False]
    assert caplog.messages == []


class TestMemory:
    @pytest.fixture(autouse=True)
    def _few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(notifier, "_MOST_REMEMBERED", 10)

    def test_of_too_many_things_at_once_the_last_are_not_told(self, host: Host) -> None:
        told = [host.notifier.notify(event(), about=number) for number in range(30)]

        assert told == [True] * 10 + [False] * 20
        assert len(host.notifier._muted_until) == 10
        # Nor are the first told again.
        assert not host.notifier.notify(event(), about=0)

    def test_there_is_room_again_when_the_minute_is_over(self, host: Host) -> None:
        for minute in range(5):
            for number in range(10):
                assert host.notifier.notify(event(), about=(minute, number))
            assert not host.notifier.notify(event(), about="one more")
            assert len(host.notifier._muted_until) == 10
            host.clock.advance(MINUTE)

    def test_only_what_is_over_makes_room(self, host: Host) -> None:
        host.notifier.notify(event(), about="early")
        host.clock.advance(MINUTE - TICK)
        for number in range(9):
            host.notifier.notify(event(), about=number)
        host.clock.advance(TICK)

        assert host.notifier.notify(event(), about="late")
        assert not host.notifier.notify(event(), about="later")
        assert not host.notifier.notify(event(), about=0)


def test_threads_that_tell_at_once_raise_nothing(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "_MOST_REMEMBERED", 50)
    errors = list[BaseException]()

    def report(first: int) -> None:
        try:
            for number in range(2_000):
                host.notifier.notify(event(), about=first + number)
                host.clock.advance(timedelta(seconds=1))
        except BaseException as error:
            errors.append(error)
            raise

    threads = [Thread(target=report, args=(10_000 * each,)) for each in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert errors == []
    assert len(host.notifier._muted_until) <= 50 + len(threads)
