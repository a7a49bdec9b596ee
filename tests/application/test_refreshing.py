"""Kept lists are recomputed behind answers: what events report a failure; when it is retried."""

import logging
from datetime import timedelta
from typing import TypeVar

import pytest

from angle_reco import Freshness, Recommender, Settings, StorageUnavailableError
from angle_reco.domain.events import Event
from angle_reco.events import AnswerDegraded, RefreshFailed
from tests.application.memories import ASK, MINUTE, CachingShop, comes_true, settle, shop, warm
from tests.application.shop import HOUR, TICK, ids_of

FRESH, STALE, ON_ERROR = Freshness.FRESH, Freshness.STALE, Freshness.STALE_ON_ERROR
SECOND = timedelta(seconds=1)
DOWN = StorageUnavailableError
LISTS = ("homepage", "similar_items")
SURFACES = tuple(ASK)

_E = TypeVar("_E", bound=Event)


def events_of(one: CachingShop, kind: type[_E]) -> list[_E]:
    """Return the events of a kind."""
    return [event for event in one.events if isinstance(event, kind)]


class TestWhatIsTold:
    def test_a_degraded_answer_once_a_minute_for_each_call(self) -> None:
        one = shop()
        one.fails(DOWN())
        for seconds in (0, 59, 1):
            one.passes(seconds * SECOND)
            for surface in SURFACES:
                for _ in range(5):
                    ASK[surface](one.reco)
            settle(one.reco)

        events = events_of(one, AnswerDegraded)
        assert sorted(event.surface for event in events) == sorted(SURFACES * 2)
        assert {event.error for event in events} == {"StorageUnavailableError"}
        assert {event.at for event in events} == {
            one.clock.now() - MINUTE,
            one.clock.now(),
        }

    def test_a_refresh_that_failed_once_a_minute_for_each_entry(self) -> None:
        one = shop()
        warm(one)
        one.reco.as_user("eve").homepage()
        settle(one.reco)
        one.passes(30 * HOUR + TICK)
        one.fails(DOWN())
        for seconds in (0, 10, 49, 1):
            one.passes(seconds * SECOND)
            for _ in range(5):
                for surface in SURFACES:
                    ASK[surface](one.reco)
                one.reco.as_user("eve").homepage()
                settle(one.reco)

        kinds = [event.kind for event in events_of(one, RefreshFailed)]
        assert sorted(kinds) == sorted(["open_items", "similar", "personal", "personal"] * 2)
        # Nothing but what is not kept was missing from an answer.
        surfaces = [event.surface for event in events_of(one, AnswerDegraded)]
        assert surfaces == ["after_bid"] * 2

    def test_while_all_is_well_nothing(self) -> None:
        one = shop()
        warm(one)
        one.passes(30 * HOUR + TICK)
        warm(one)

        assert one.events == []

    def test_what_the_host_does_with_it_fails_no_answer(self) -> None:
        one = shop()

        def refuse(_: Event) -> None:
            raise ValueError("the host's")

        reco = Recommender(one.ports, one.settings, on_event=refuse)
        one.fails(DOWN())

        assert ids_of(ASK["popular_items"](reco)) == []
        settle(reco)


class TestAsking:
    def test_a_database_that_is_down_is_asked_once_a_second(self) -> None:
        one = shop()
        warm(one, "popular_items")
        one.fails(DOWN())
        for place in range(3):
            one.reco.anonymous.similar_items(f"art-0{place + 1}")
        one.calls()

        for _ in range(50):
            one.reco.as_user("bob").homepage()
            one.reco.anonymous.similar_items("liked")
        settle(one.reco)
        assert sum(one.calls().values()) <= 1
        one.passes(SECOND)
        for _ in range(50):
            one.reco.as_user("bob").homepage()
        settle(one.reco)

        assert sum(one.calls().values()) == 1

    @pytest.mark.parametrize("surface", SURFACES)
    def test_once_it_answers_one_call_is_enough(self, surface: str) -> None:
        one = shop()
        one.fails(DOWN())
        for _ in range(10):
            assert ids_of(ASK[surface](one.reco)) == []
            settle(one.reco)
            one.passes(SECOND)
        one.fails(None)

        ASK[surface](one.reco)
        settle(one.reco)
        one.passes(SECOND)
        shelf = ASK[surface](one.reco)

        assert (len(shelf) > 0, shelf.degraded_by) == (True, ())

    def test_a_refresh_that_failed_is_not_tried_again_for_a_second(self) -> None:
        one = shop()
        warm(one)
        one.passes(24 * HOUR + TICK)
        warm(one, "popular_items")
        one.stores["lists"].error = DOWN()

        for passes, reads in ((0 * SECOND, 1), (SECOND - TICK, 1), (TICK, 2)):
            one.passes(passes)
            for _ in range(5):
                assert ASK["homepage"](one.reco).freshness is STALE
                settle(one.reco)
            assert one.stores["lists"].calls["read"] == reads


def test_a_defect_in_a_refresh(caplog: pytest.LogCaptureFixture) -> None:
    one = shop(Settings(live_for=HOUR))
    warm(one)
    before = ids_of(ASK["homepage"](one.reco))
    one.passes(24 * HOUR + TICK)
    warm(one, "popular_items")
    one.stores["activity"].error = ValueError("private")

    answers = []
    with caplog.at_level(logging.WARNING, "angle_reco"):
        for passes in (0 * HOUR, 10 * SECOND - TICK, TICK, 24 * HOUR):
            one.passes(passes)
            answers.append(ASK["homepage"](one.reco))
            settle(one.reco)

    assert [shelf.freshness for shelf in answers] == [STALE, STALE, STALE, ON_ERROR]
    assert [ids_of(shelf) for shelf in answers] == [before] * 4
    assert answers[3].degraded_by[:1] == ("list",)
    # Not every second: what is wrong in the code is wrong for longer.
    assert one.calls()["activity.history"] == 3
    events = events_of(one, RefreshFailed)
    assert {(event.kind, event.error) for event in events} == {("personal", "ValueError")}
    assert "private" not in caplog.text


def test_a_defect_without_anything_in_memory_is_raised() -> None:
    one = shop()
    one.stores["activity"].error = ValueError("ours")

    for _ in range(2):
        with pytest.raises(ValueError, match="ours"):
            ASK["homepage"](one.reco)
    settle(one.reco)
    one.stores["activity"].error = None

    assert ASK["homepage"](one.reco).freshness is Freshness.COMPUTED
    settle(one.reco)


@pytest.mark.parametrize("surface", LISTS)
def test_a_refresh_that_hangs(surface: str) -> None:
    one = shop(Settings(deadline=SECOND, live_for=HOUR))
    warm(one)
    one.passes(30 * HOUR + TICK)
    warm(one, "popular_items")
    lists = one.stores["lists"]
    with one.hangs():
        assert ASK[surface](one.reco).freshness is STALE
        assert comes_true(lambda: lists.calls["read"] == 1)
        # Ten times the deadline is what it may take, and twice that is given up.
        for passes in (10 * SECOND, 10 * SECOND):
            one.passes(passes)
            assert ASK[surface](one.reco).freshness is STALE
        assert events_of(one, RefreshFailed) == []
        one.passes(TICK)
        assert ASK[surface](one.reco).freshness is STALE
        kinds = {event.kind for event in events_of(one, RefreshFailed)}
        assert ("personal" if surface == "homepage" else "similar") in kinds
        assert lists.calls["read"] == 1
        one.passes(SECOND)
        assert ASK[surface](one.reco).freshness is STALE
    settle(one.reco)
    assert lists.calls["read"] >= 2
    # The two may have got in each other's way.
    one.passes(2 * SECOND)
    ASK[surface](one.reco)
    settle(one.reco)

    assert ASK[surface](one.reco).freshness is FRESH
