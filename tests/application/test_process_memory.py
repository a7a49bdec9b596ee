"""The memory of a process as a whole: what it says of itself, and what happens to it in time."""

import asyncio
import logging
from datetime import timedelta

import attrs
import pytest

from angle_reco import Freshness, Recommender, Settings, StorageUnavailableError
from tests.application.memories import ASK, MINUTE, PERSONAL_JOB, CachingShop, settle, shop, warm
from tests.application.shop import DAY, HOUR, NOW, TICK, bid, filled, ids_of, lots
from tests.application.workers import Hands

FRESH, STALE = Freshness.FRESH, Freshness.STALE


def counts(reco: Recommender) -> tuple[int, int, int]:
    """Return hits, stale hits and misses."""
    memory = reco.system.stats().memory
    assert memory is not None
    return (memory.lists.hits, memory.lists.stale, memory.lists.misses)


class TestStats:
    def test_hits_stale_ones_and_misses_are_counted(self) -> None:
        one = shop()
        warm(one, "popular_items")
        at_first = counts(one.reco)

        ASK["homepage"](one.reco)
        settle(one.reco)
        for _ in range(3):
            ASK["homepage"](one.reco)
        one.passes(DAY + TICK)
        for _ in range(2):
            settle(one.reco)
            ASK["homepage"](one.reco)

        now = counts(one.reco)
        assert [after - before for before, after in zip(at_first, now, strict=True)] == [4, 1, 1]
        settle(one.reco)

    def test_an_answer_that_waited_on_a_loop_is_one_miss(self) -> None:
        one = shop()
        warm(one, "popular_items")
        at_first = counts(one.reco)

        page = asyncio.run(one.reco.aio.as_user("ann").homepage())
        settle(one.reco)

        now = counts(one.reco)
        assert page.freshness is Freshness.COMPUTED
        assert [after - before for before, after in zip(at_first, now, strict=True)] == [0, 0, 1]

    def test_what_is_held_is_told_in_entries_items_and_bytes(self) -> None:
        one = shop(Settings(cache_bytes=10_000_000))
        warm(one, "homepage", "similar_items")

        memory = one.reco.system.stats().memory

        assert memory is not None
        assert (memory.lists.entries, memory.live_items) == (2, 34)
        assert 2 * 1_024 < memory.lists.bytes < 20_000
        assert 5_000 < memory.live_bytes < 100_000
        assert memory.lists.most_bytes == 10_000_000
        assert memory.to_json()["live_items"] == 34
        assert one.reco.system.stats().to_json()["memory"] == memory.to_json()

    @pytest.mark.parametrize("gone", [0, 3])
    def test_ids_of_open_items_are_held_once_and_others_with_each_list(self, gone: int) -> None:
        def held_by_lists(category: str) -> int:
            items = lots(category, 20)
            # Sentences name it.
            items[0] = attrs.evolve(items[0], title="the liked one")
            one = CachingShop.of(filled(items, bid("ann", items[0].item_id)))
            for job in ("refresh_user_interests", PERSONAL_JOB):
                one.reco.system.run_job(job)
            for item in items[5 : 5 + gone]:
                one.change(str(item.item_id), is_published=False)
            late = one.another()
            settle(late)
            late.anonymous.popular_items()
            settle(late)
            before = late.system.stats().memory
            assert late.as_user("ann").homepage().freshness is Freshness.FRESH
            settle(late)
            after = late.system.stats().memory
            assert before is not None
            assert after is not None
            return after.lists.bytes - before.lists.bytes

        short, long = held_by_lists("a"), held_by_lists("a" * 101)

        assert long - short == gone * 100

    def test_before_the_first_answer_nothing_is_held(self) -> None:
        memory = shop().reco.system.stats().memory

        assert memory is not None
        assert (memory.live_items, memory.live_bytes) == (0, 0)
        assert (memory.lists.entries, memory.lists.bytes) == (0, 0)

    def test_without_memory_there_is_nothing_to_tell(self) -> None:
        assert shop().plain().system.stats().memory is None
        assert shop().plain().system.health().live_items is None


class TestHealth:
    def test_of_a_process_that_is_well(self) -> None:
        one = shop()
        assert one.reco.system.health().live_items is None
        warm(one, "popular_items")

        health = one.reco.system.health()

        assert (health.is_ok, health.database, health.jobs) == (True, "ok", "not started")
        assert health.reason is None
        assert (health.live_items, health.at) == (FRESH, NOW)
        assert health.to_json()["live_items"] == "fresh"

    def test_in_an_outage(self) -> None:
        one = shop()
        warm(one, "popular_items")
        one.fails(StorageUnavailableError())
        shown = []
        for time in (MINUTE + TICK, 2 * MINUTE):
            one.passes(time)
            ASK["popular_items"](one.reco)
            settle(one.reco)
            shown.append(one.reco.system.health())

        assert [one.live_items for one in shown] == [STALE, Freshness.STALE_ON_ERROR]
        assert {(one.is_ok, one.database) for one in shown} == {(False, "StorageUnavailableError")}
        assert {one.reason for one in shown} == {str(StorageUnavailableError())}
        assert shown[0].to_json()["reason"] == str(StorageUnavailableError())

    def test_looking_changes_nothing(self) -> None:
        one = shop()
        warm(one, "popular_items")
        one.passes(2 * MINUTE)

        one.reco.system.health()
        one.reco.system.stats()
        settle(one.reco)

        assert one.calls()["catalog.open_cards"] == 0


class TestEviction:
    def test_every_six_hours_what_is_past_goes_and_is_logged(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        one = shop()
        warm(one, "homepage", "similar_items")
        hands = Hands()
        one.reco.start(hands)
        settle(one.reco)
        memory = one.reco.system.stats().memory
        assert memory is not None
        said = []

        with caplog.at_level(logging.INFO, "angle_reco.application.admin"):
            for time in (30 * MINUTE - TICK, TICK, 120 * HOUR - 30 * MINUTE, 6 * HOUR, 6 * HOUR):
                one.passes(time)
                _evict(hands)
                said.append([line for line in caplog.messages if line.startswith("cache evicted")])
                caplog.clear()
        one.reco.stop()

        # It is half past, at six, twelve, and so on: NOW is noon.
        assert [len(lines) for lines in said] == [0, 1, 1, 1, 1]
        assert said[1] == said[2] == ["cache evicted: entries=0 bytes=0"]
        gone = [line[0].split() for line in said[3:]]
        # The homepage and the popular items, which are warmed, then the similar ones.
        assert [line[2] for line in gone] == ["entries=2", "entries=1"]
        held = one.reco.system.stats().memory
        assert held is not None
        assert (held.lists.entries, held.lists.bytes) == (0, 0)
        assert held.lists.expired == 3
        bytes_gone = sum(int(line[3].removeprefix("bytes=")) for line in gone)
        assert bytes_gone == memory.lists.bytes

    def test_what_may_still_be_shown_stays(self) -> None:
        one = shop()
        warm(one)
        hands = Hands()
        one.reco.start(hands)
        one.passes(6 * HOUR)
        _evict(hands)
        one.reco.stop()
        settle(one.reco)
        one.calls()

        assert ASK["homepage"](one.reco).freshness is FRESH
        assert one.calls()["lists.read"] == 0

    def test_without_memory_there_is_nothing_to_evict(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        one = shop()
        reco, hands = one.plain(), Hands()
        reco.start(hands)
        with caplog.at_level(logging.INFO, "angle_reco.application.admin"):
            one.passes(12 * HOUR)
            _evict(hands)
        reco.stop()

        assert caplog.messages == []


def _evict(hands: Hands) -> None:
    """Wake a process up, and do of its jobs what is its own."""
    hands.wake()
    for _, work in hands.submitted:
        if getattr(work, "name", "") == "evict_stale_cache":
            work()
    hands.submitted.clear()


class TestClockJumps:
    @pytest.mark.parametrize("jump", [-HOUR, 25 * HOUR, -25 * HOUR, timedelta(days=365)])
    def test_the_time_of_day_alone_ages_nothing_in_memory(self, jump: timedelta) -> None:
        one = shop()
        warm(one)
        before = {name: list(ask(one.reco).ids) for name, ask in ASK.items()}
        settle(one.reco)
        one.calls()

        one.clock.set(NOW + jump)

        for name in ("homepage", "similar_items", "popular_items"):
            shelf = ASK[name](one.reco)
            assert (shelf.freshness, list(shelf.ids)) == (FRESH, before[name])
        settle(one.reco)
        assert one.calls() == {}

    @pytest.mark.parametrize("jump", [-HOUR, 25 * HOUR])
    def test_nor_does_it_keep_anything_fresh_for_longer(self, jump: timedelta) -> None:
        one = shop()
        warm(one, "homepage")
        one.passes(12 * HOUR)
        one.clock.set(one.clock.now() + jump)

        one.passes(12 * HOUR)
        at_the_bound = ASK["homepage"](one.reco).freshness
        one.passes(TICK)

        assert (at_the_bound, ASK["homepage"](one.reco).freshness) == (FRESH, STALE)
        settle(one.reco)

    @pytest.mark.parametrize("ahead", [-5 * MINUTE, 5 * MINUTE])
    def test_processes_whose_clocks_differ_by_minutes_share_what_is_stored(
        self, ahead: timedelta
    ) -> None:
        one = shop()
        warm(one, "homepage")
        other = one.another()
        one.clock.set(NOW + ahead)

        assert other.as_user("ann").homepage().freshness is FRESH
        settle(other)

    def test_what_ends_goes_by_the_time_of_day(self) -> None:
        one = shop()
        one.change("art-01", ends_at=NOW + 2 * HOUR)
        warm(one)
        assert "art-01" in ids_of(ASK["homepage"](one.reco))

        one.clock.set(NOW + 2 * HOUR)

        assert "art-01" not in ids_of(ASK["homepage"](one.reco))


class TestStarting:
    def test_what_most_visitors_see_is_read_before_they_come(self) -> None:
        one = shop()
        one.reco.start(None)
        settle(one.reco)
        one.calls()

        shelf = one.reco.anonymous.popular_items()

        assert (shelf.freshness, len(shelf)) == (FRESH, 20)
        assert one.calls() == {}

    @pytest.mark.parametrize("failing", [StorageUnavailableError(), ValueError("ours")])
    def test_a_start_without_a_database_fails_nothing(self, failing: Exception) -> None:
        one = shop()
        one.fails(failing)

        one.reco.start(None)
        settle(one.reco)
        one.fails(None)
        one.passes(timedelta(seconds=10))

        assert len(one.reco.anonymous.popular_items()) == 20
        settle(one.reco)


def test_a_recommender_of_the_past_keeps_nothing() -> None:
    one = shop()
    past = one.reco.as_of_moment(NOW - HOUR)

    for _ in range(2):
        assert past.as_user("ann").homepage().freshness is Freshness.COMPUTED
    assert past.system.stats().memory is None
