"""New lists, wherever they were made, take the place of what is in memory."""

from contextlib import ExitStack
from datetime import timedelta

import pytest

from angle_reco import Freshness, Settings, StorageUnavailableError
from angle_reco.rules import HalfLife, PopularityRule
from tests.application.memories import (
    ASK,
    MINUTE,
    PERSONAL_JOB,
    POPULAR_JOB,
    SIMILAR_JOB,
    settle,
    shop,
    warm,
)
from tests.application.shop import DAY, HOUR, NOW, TICK, ids_of, lot, watch

SECOND = timedelta(seconds=1)
FRESH, STALE = Freshness.FRESH, Freshness.STALE


class TestRuns:
    def test_what_a_complete_run_left_as_it_was_is_as_fresh_as_the_run(self) -> None:
        one = shop()
        for _ in range(2):
            one.reco.system.run_job(PERSONAL_JOB)
            one.passes(20 * HOUR)
        stored = one.reco.system.stored.get_recommendations(of="ann")
        late = one.another()

        shown = []
        for age in (0 * HOUR, 4 * HOUR, TICK):
            one.passes(age)
            shown.append(late.as_user("ann").homepage().freshness)
            settle(late)

        assert stored is not None
        assert (stored.computed_at, stored.covered_at) == (NOW, NOW + 20 * HOUR)
        assert shown == [FRESH, FRESH, STALE]

    def test_a_run_that_left_a_page_as_it_was_has_seen_what_was_done_before(self) -> None:
        one = shop()
        one.reco.system.run_job(PERSONAL_JOB)
        one.passes(HOUR)
        one.market.add_watch(watch("ann", "liked", days=-0.5 / 24))
        one.reco.system.run_job(PERSONAL_JOB)
        stored = one.reco.system.stored.get_recommendations(of="ann")

        page = one.another().as_user("ann").homepage()

        assert stored is not None
        assert (stored.computed_at, stored.covered_at) == (NOW, NOW + HOUR)
        assert page.freshness is FRESH

    @pytest.mark.parametrize(
        ("surface", "job"), [("homepage", PERSONAL_JOB), ("similar_items", SIMILAR_JOB)]
    )
    def test_a_run_here_has_lists_read_again_while_the_old_ones_are_shown(
        self, surface: str, job: str
    ) -> None:
        one = shop()
        warm(one, surface)
        before = ids_of(ASK[surface](one.reco))
        one.market.add_item(lot("new", listed=1))

        one.reco.system.run_job(job)
        old = ASK[surface](one.reco)
        settle(one.reco)
        one.passes(3 * MINUTE)  # for the new one to be among the open items
        new = ASK[surface](one.reco)

        assert (old.freshness, ids_of(old)) == (STALE, before)
        assert new.freshness is FRESH
        assert "new" in ids_of(new)

    @pytest.mark.parametrize(
        ("surface", "job", "rule"),
        [
            ("homepage", PERSONAL_JOB, PopularityRule()),
            ("similar_items", SIMILAR_JOB, PopularityRule()),
            ("popular_items", POPULAR_JOB, PopularityRule(half_life=HalfLife(span=DAY))),
        ],
    )
    @pytest.mark.parametrize("is_notified", [True, False])
    def test_a_run_elsewhere_is_seen_a_second_later_or_with_the_open_items(
        self, surface: str, job: str, rule: PopularityRule, is_notified: bool
    ) -> None:
        one = shop(Settings(popularity=rule))
        warm(one)
        other = one.another()
        with ExitStack() as while_waiting:
            if not is_notified:
                one.stores["changes"].error = StorageUnavailableError()
                while_waiting.callback(setattr, one.stores["changes"], "error", None)
            other.system.run_job(job)
        one.calls()

        at_first = ASK[surface](one.reco).freshness
        assert one.calls()["ledger.last_of_each"] == 0
        one.passes(SECOND if is_notified else MINUTE + TICK)
        then = []
        for _ in range(3):
            then.append(ASK[surface](one.reco).freshness)
            settle(one.reco)
        called = one.calls()

        assert at_first is FRESH
        # Popular items look at the open ones first, which may be quick.
        assert then in ([FRESH, STALE, FRESH], [STALE, FRESH, FRESH])
        assert (called["ledger.last_of_each"], called["lists.read"]) == (1, 1)
        one.passes(2 * MINUTE)
        ASK[surface](one.reco)
        settle(one.reco)
        assert ASK[surface](one.reco).freshness is FRESH

    def test_a_run_that_failed_is_nothing_new(self) -> None:
        one = shop()
        warm(one)
        one.stores["users"].error = ValueError("ours")
        with pytest.raises(ValueError, match="ours"):
            one.another().system.run_job(PERSONAL_JOB)
        one.stores["users"].error = None

        one.passes(MINUTE + TICK)
        for _ in range(3):
            assert one.reco.as_user("ann").homepage().freshness is FRESH
            settle(one.reco)

    def test_a_run_for_one_item_has_that_one_read_again(self) -> None:
        one = shop()
        warm(one)
        one.reco.anonymous.similar_items("art-01")
        settle(one.reco)
        one.reco.system.run_job(SIMILAR_JOB, item_id="liked")
        one.calls()

        shown = [one.reco.anonymous.similar_items(item).freshness for item in ("liked", "art-01")]

        assert shown == [FRESH, FRESH]
        assert one.calls()["lists.read"] == 1


class TestForgetting:
    def test_everything_here_and_elsewhere_a_second_later(self) -> None:
        one = shop()
        other = one.another()
        for _ in range(2):
            warm(one)
            other.system.forget_cached()
            one.calls()

            assert one.reco.as_user("ann").homepage().freshness is FRESH
            assert one.calls() == {}
            one.passes(SECOND)
            one.reco.as_user("ann").homepage()
            settle(one.reco)

            assert one.calls()["lists.read"] == 1

    def test_everything_says_how_much_that_was(self) -> None:
        one = shop()
        warm(one)
        memory = one.reco.system.stats().memory
        assert memory is not None

        gone = one.reco.system.forget_cached()

        assert gone == memory.lists.entries >= 2
        assert one.reco.system.forget_cached() == 0

    def test_one_user_or_item_alone(self) -> None:
        one = shop()
        warm(one)
        one.reco.as_user("bob").homepage()
        settle(one.reco)
        one.calls()

        counts = [
            one.reco.system.forget_cached(user_id="ann"),
            one.reco.system.forget_cached(user_id="nobody"),
        ]
        one.reco.as_user("bob").homepage()
        one.reco.anonymous.similar_items("liked")
        assert one.calls() == {}
        one.reco.as_user("ann").homepage()
        assert one.calls()["lists.read"] == 1
        counts.append(one.reco.system.forget_cached(item_id="liked"))
        one.reco.anonymous.similar_items("liked")

        assert one.calls()["lists.read"] == 1
        assert counts == [1, 0, 1]
