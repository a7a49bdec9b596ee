"""Answers from memory: how long they are shown, who recomputes them, and that they are right."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event as Flag
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angle_reco import Freshness, Recommender, Settings, Shelf, StorageUnavailableError
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.domain.runs import Claim, RunKey, RunRequest
from angle_reco.rules import BidCounting, HalfLife, PopularityRule, Verify
from angle_reco.testing import MemoryMarketplace
from tests.application.markets import UNKNOWN, USERS, marketplaces, shelves
from tests.application.memories import (
    ASK,
    MINUTE,
    PERSONAL_JOB,
    SIMILAR_JOB,
    CachingShop,
    comes_true,
    settle,
    shop,
    warm,
)
from tests.application.shop import DAY, HOUR, NOW, TICK, ids_of
from tests.application.workers import Calling

FRESH, STALE, COMPUTED = Freshness.FRESH, Freshness.STALE, Freshness.COMPUTED
ON_ERROR = Freshness.STALE_ON_ERROR

HOURS = {"homepage": (24, 48, 120), "similar_items": (30, 54, 126)}
"""Until when a list is fresh, stale, and shown on error."""

COMPUTED_FROM = {"homepage": "activity.history", "similar_items": "activity.interactions"}
"""What is read to compute a list."""

BOUNDS = [(surface, *(hours * HOUR for hours in HOURS[surface])) for surface in HOURS]
surfaces_with_bounds = pytest.mark.parametrize(("surface", "fresh", "stale", "kept"), BOUNDS)


@surfaces_with_bounds
class TestStored:
    def test_a_stale_one_is_answered_as_it_is_stored_and_computed_behind(
        self, surface: str, fresh: timedelta, stale: timedelta, kept: timedelta
    ) -> None:
        one = shop()
        for job in (PERSONAL_JOB, SIMILAR_JOB):
            one.reco.system.run_job(job)
        one.passes(fresh + TICK)
        other = one.another()

        first = ASK[surface](other).freshness
        for _ in range(2):
            settle(other)
            ASK[surface](other)
        settle(other)

        assert first is STALE
        assert ASK[surface](other).freshness is FRESH


@surfaces_with_bounds
class TestHowLong:
    def test_it_is_fresh_and_then_stale_and_then_missing(
        self, surface: str, fresh: timedelta, stale: timedelta, kept: timedelta
    ) -> None:
        shown = []
        for age in (fresh, fresh + TICK, stale, stale + TICK):
            one = shop()
            warm(one, surface)
            one.passes(age)
            shown.append(ASK[surface](one.reco).freshness)
            settle(one.reco)

        assert shown == [FRESH, STALE, STALE, COMPUTED]

    def test_on_error_it_is_shown_for_longer(
        self, surface: str, fresh: timedelta, stale: timedelta, kept: timedelta
    ) -> None:
        one = shop()
        warm(one, surface)
        before = ids_of(ASK[surface](one.reco))
        one.fails(StorageUnavailableError())

        one.passes(stale + TICK)
        old = ASK[surface](one.reco)
        settle(one.reco)
        one.passes(72 * HOUR - stale)  # for so long there are open items
        older = ASK[surface](one.reco)

        for shelf in (old, older):
            assert (shelf.freshness, shelf.degraded_by) == (ON_ERROR, ("list", "items"))
            assert ids_of(shelf) == before

    def test_it_is_never_shown_past_that(
        self, surface: str, fresh: timedelta, stale: timedelta, kept: timedelta
    ) -> None:
        one = shop(Settings(live_for=HOUR))
        warm(one, surface)
        one.stores["lists"].error = StorageUnavailableError()
        shown = []

        # Step by step, so that there are open items all the time.
        one.passes(stale + TICK)
        for age in (kept, kept + TICK):
            for _ in range(3):
                ASK[surface](one.reco)
                settle(one.reco)
            one.clock.advance(NOW + age - one.clock.now())
            ASK["popular_items"](one.reco)
            settle(one.reco)
            shown.append(ASK[surface](one.reco))

        assert [(one.freshness, one.degraded_by) for one in shown] == [
            (ON_ERROR, ("list",)),
            (FRESH, ("list",)),
        ]
        assert {str(line.source) for line in shown[1]} == {"popular"}

    def test_a_stale_one_is_shown_at_once_and_recomputed_once(
        self, surface: str, fresh: timedelta, stale: timedelta, kept: timedelta
    ) -> None:
        one = shop()
        warm(one, surface)
        one.passes(fresh + TICK)
        warm(one, "popular_items")  # for the open items to be fresh
        gate = one.stores["lists"].gate = Flag()

        with ThreadPoolExecutor(20) as threads:
            shown = list(threads.map(lambda _: ASK[surface](one.reco).freshness, range(200)))
        assert shown == [STALE] * 200
        assert one.stores["lists"].calls == {"read": 1}
        gate.set()
        settle(one.reco)

        assert ASK[surface](one.reco).freshness is FRESH
        settle(one.reco)
        called = one.calls()
        assert called[COMPUTED_FROM[surface]] == 1
        assert called["lists.write"] == 1

    def test_what_is_read_counts_with_the_age_it_has(
        self, surface: str, fresh: timedelta, stale: timedelta, kept: timedelta
    ) -> None:
        one = shop()
        warm(one, surface)
        one.passes(fresh - HOUR)
        late = one.another()

        shown = [ASK[surface](late).freshness]
        for _ in range(2):
            settle(late)
            one.passes(HOUR if len(shown) == 1 else TICK)
            shown.append(ASK[surface](late).freshness)

        assert shown == [FRESH, FRESH, STALE]


class TestMisses:
    @pytest.mark.parametrize("surface", HOURS)
    def test_a_miss_is_computed_stored_behind_and_then_in_memory(self, surface: str) -> None:
        one = shop()
        one.reco.anonymous.popular_items()
        settle(one.reco)
        gate = Flag()
        write = one.stores["lists"].port
        one.stores["lists"].port = Calling(write, "write", lambda: gate.wait(20))

        first = ASK[surface](one.reco)
        assert ASK[surface](one.reco).freshness is FRESH
        assert one.reco.system.stored.get_recommendations(of="ann") is None
        gate.set()
        settle(one.reco)
        one.calls()
        second = ASK[surface](one.reco)

        assert first.freshness is COMPUTED
        assert (second.freshness, list(second)) == (FRESH, list(first))
        assert one.calls() == {}
        assert ASK[surface](one.plain()).freshness is FRESH

    @pytest.mark.parametrize("surface", HOURS)
    def test_what_is_stored_is_read_once(self, surface: str) -> None:
        one = shop()
        for job in BATCH_JOBS:
            one.reco.system.run_job(job)
        warm(one, "popular_items")

        shown = [ASK[surface](one.reco).freshness for _ in range(3)]

        assert shown == [FRESH] * 3
        called = one.calls()
        assert called["lists.read"] == 1
        # Its sentences name what its user did.
        assert called["activity.history"] == (1 if surface == "homepage" else 0)
        assert called["activity.interactions"] == 0

    @pytest.mark.parametrize("is_edited", [False, True])
    def test_a_bid_counts_in_the_next_homepage_however_late_that_is_asked_for(
        self, is_edited: bool
    ) -> None:
        one = shop()
        one.reco.system.run_job(PERSONAL_JOB)
        if is_edited:
            one.reco.system.stored.upsert_recommendation("ann", "art-01", score=1)
        one.passes(MINUTE)
        one.reco.bid_placed("ann", "books-01")
        one.passes(10 * MINUTE)
        reco = one.another()
        reco.anonymous.popular_items()

        shown = [reco.as_user("ann").homepage() for _ in range(2)]

        ids = {str(line.item_id) for line in shown[1] if line.source == "personal"}
        assert ("books-02" in ids) is not is_edited
        assert [shelf.freshness for shelf in shown] == (
            [FRESH, FRESH] if is_edited else [COMPUTED, FRESH]
        )

    def test_everybody_has_a_list_of_their_own(self) -> None:
        one = shop()
        pages = {user: one.plain().as_user(user).homepage() for user in ("ann", "bob", "eve")}

        for _ in range(2):
            for user, page in pages.items():
                assert ids_of(one.reco.as_user(user).homepage()) == ids_of(page)
        assert len({tuple(page.ids) for page in pages.values()}) == 3


class TestMakingAnew:
    def test_a_homepage_is_computed_and_stored(self) -> None:
        one = shop()
        warm(one, "homepage")
        one.passes(DAY + TICK)

        one.reco.as_user("ann").homepage()
        settle(one.reco)

        stored = one.reco.system.stored.get_recommendations(of="ann")
        assert stored is not None
        assert stored.computed_at == NOW + DAY + TICK
        assert one.calls()["ledger.claim"] == 0

    def test_similar_items_are_made_by_a_run_so_that_of_many_processes_one_does_it(self) -> None:
        one = shop()
        others = [one.another() for _ in range(3)]
        for reco in (one.reco, *others):
            ASK["similar_items"](reco)
            settle(reco)
        one.passes(30 * HOUR + TICK)
        asked = []
        ledger = one.stores["ledger"].port
        claim = ledger.claim  # type: ignore[attr-defined]  # a ledger

        def claimed(run_request: RunRequest, **named: Any) -> Claim:
            asked.append(run_request.key)
            answer: Claim = claim(run_request, **named)
            return answer

        ledger.claim = claimed  # type: ignore[attr-defined]  # a ledger
        one.calls()

        shown = []
        for reco in (one.reco, *others):
            shown.append(ASK["similar_items"](reco).freshness)
            settle(reco)

        # The others are told of it.
        assert shown == [STALE, FRESH, FRESH, FRESH]
        assert asked == [RunKey.of(SIMILAR_JOB, {"item_id": "liked"})]
        assert one.calls()["lists.write"] == 1
        for reco in (one.reco, *others):
            assert ASK["similar_items"](reco).freshness is FRESH

    def test_not_while_another_process_makes_them(self) -> None:
        one = shop()
        warm(one, "similar_items")
        one.passes(30 * HOUR + TICK)
        one.held(SIMILAR_JOB, item_id="liked")
        one.calls()

        for _ in range(2):
            assert ASK["similar_items"](one.reco).freshness is STALE
            settle(one.reco)
            one.passes(timedelta(seconds=11))

        called = one.calls()
        assert (called["ledger.claim"], called["lists.write"]) == (2, 0)

    def test_what_came_out_as_it_was_is_fresh_for_all(self) -> None:
        one = shop()
        warm(one)
        one.passes(30 * HOUR + TICK)

        for surface in HOURS:
            assert ASK[surface](one.reco).freshness is STALE
        settle(one.reco)

        for surface in HOURS:
            assert ASK[surface](one.plain()).freshness is FRESH

    @pytest.mark.parametrize(
        ("surface", "job"), [("homepage", PERSONAL_JOB), ("similar_items", SIMILAR_JOB)]
    )
    def test_not_while_a_complete_run_is_under_way(self, surface: str, job: str) -> None:
        one = shop()
        warm(one, surface)
        one.passes(HOURS[surface][0] * HOUR + TICK)
        run = one.held(job)

        shown = []
        for _ in range(3):
            shown.append(ASK[surface](one.reco).freshness)
            settle(one.reco)
            one.passes(timedelta(seconds=9))
        while_it_ran = one.calls()
        one.stores["ledger"].finish(run, outcome="{}")
        one.passes(10 * MINUTE / 60)
        shown.append(ASK[surface](one.reco).freshness)
        settle(one.reco)
        shown.append(ASK[surface](one.reco).freshness)

        assert shown == [STALE] * 4 + [FRESH]
        assert while_it_ran["lists.write"] == while_it_ran["activity.interactions"] == 0
        # It is not looked all the time whether it is over.
        assert while_it_ran["lists.read"] == 2
        assert one.calls()["lists.write"] == 1


class TestSingleFlight:
    @pytest.mark.parametrize("fails", [False, True])
    @pytest.mark.parametrize("surface", HOURS)
    def test_of_many_who_miss_one_computes_and_all_get_it(self, surface: str, fails: bool) -> None:
        one = shop(Settings(deadline=timedelta(seconds=30)))
        warm(one, "popular_items")
        lists, store = one.caches[0], one.stores["lists"]
        lists.calls.clear()
        store.gate = Flag()

        with ThreadPoolExecutor(200) as threads:
            asked = [threads.submit(ASK[surface], one.reco) for _ in range(200)]
            assert comes_true(lambda: lists.calls["join"] == 200)
            store.error = StorageUnavailableError() if fails else None
            store.gate.set()
            shown = [one.result() for one in asked]
        settle(one.reco)

        assert store.calls["read"] == 1
        assert one.calls()[COMPUTED_FROM[surface]] == (0 if fails else 1)
        assert len({tuple(shelf.ids) for shelf in shown}) == 1
        assert {(shelf.freshness, shelf.degraded_by) for shelf in shown} == {
            (FRESH, ("list",)) if fails else (COMPUTED, ())
        }
        store.error = None
        assert ASK[surface](one.reco).freshness is (COMPUTED if fails else FRESH)


PLAIN = Settings()
CHOSEN = [
    PLAIN,
    Settings(
        popularity=PopularityRule(counting=BidCounting.BIDDERS, half_life=HalfLife(span=3 * DAY))
    ),
    Settings(verify=Verify.ALWAYS, cache_bytes=1_000_000),
]


def said(reco: Recommender) -> dict[str, list[tuple[Any, ...]]]:
    """Return all that shelves say, but for what a card says of its reader."""
    asked: dict[str, Shelf] = shelves(reco)
    for limit in (1, 3, 61):
        asked[f"first {limit} popular"] = reco.anonymous.popular_items(limit)
        for user in (*USERS, UNKNOWN):
            asked[f"first {limit} for {user}"] = reco.as_user(user).homepage(limit)
    return {
        name: [(attrs.evolve(one.card, engaged=False), *one[:2], *one[3:]) for one in shelf]
        for name, shelf in asked.items()
    }


@settings(settings.get_profile("slow"))
@given(market=marketplaces(), chosen=st.sampled_from(CHOSEN), is_stored=st.booleans())
def test_they_are_those_that_nothing_was_kept_for(
    market: MemoryMarketplace, chosen: Settings, is_stored: bool
) -> None:
    one = CachingShop.of(market, chosen)
    if is_stored:
        for job in BATCH_JOBS:
            one.plain().system.run_job(job)

    expected = said(one.plain())

    for _ in range(2):
        assert said(one.reco) == expected
        settle(one.reco)
    assert said(one.plain()) == expected
