"""The jobs: what each stores, and that a second run finds nothing to change."""

import json
from datetime import timedelta
from itertools import pairwise
from typing import Any

import attrs
import pytest

from angle_reco import (
    Freshness,
    InvalidValueError,
    ItemNotFoundError,
    Recommender,
    Settings,
    UserId,
)
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.domain.job_names import OF_ONE_ITEM
from angle_reco.domain.lists import ListKind
from angle_reco.results import JobOutcome
from angle_reco.testing import User
from tests.application.shop import (
    DAY,
    HOUR,
    NOW,
    TICK,
    bid,
    clock_of,
    filled,
    ids_of,
    lot,
    lots,
    opened,
    watch,
)
from tests.application.workers import Shop


def shop() -> Recommender:
    """Return a shop of two categories and three users, of whom bob did nothing."""
    return opened(
        filled(
            [*lots("art", 4), *lots("books", 3, "books"), lot("gone", ends=-1)],
            *(bid("ann", "art-01"), watch("ann", "books-01"), bid("eve", "gone")),
            users=["bob"],
        )
    )


@pytest.fixture
def reco() -> Recommender:
    """Return that shop."""
    return shop()


def counts(reco: Recommender, job: str, **more: Any) -> tuple[int, int, int, int]:
    """Run a job; return for how many it was, and what changed, did not, and went."""
    one = reco.system.run_job(job, **more)
    return one.scope, one.changed, one.unchanged, one.removed


@pytest.mark.parametrize(
    ("job", "first"),
    [
        ("refresh_user_interests", (3, 3, 0, 0)),
        ("generate_popular_items", (3, 3, 0, 0)),
        ("generate_recommendations", (3, 3, 0, 0)),
        ("compute_item_similarities", (7, 7, 0, 0)),
    ],
)
def test_a_second_run_changes_nothing(
    reco: Recommender, job: str, first: tuple[int, int, int, int]
) -> None:
    assert counts(reco, job) == first
    clock_of(reco).advance(HOUR)

    scope, changed, _, _ = first
    outcome = reco.system.run_job(job)
    assert (outcome.scope, outcome.left) == (scope, scope)
    assert (outcome.changed, outcome.unchanged, outcome.removed) == (0, 0, 0)
    outcome = reco.system.run_job(job, full=True)
    assert (outcome.scope, outcome.left) == (scope, 0)
    assert (outcome.changed, outcome.unchanged, outcome.removed) == (0, changed, 0)


def test_every_job_can_be_run_on_an_empty_shop() -> None:
    reco = opened()

    outcomes = {job: counts(reco, job) for job in BATCH_JOBS}

    # The list of what is popular over everything is there, and empty.
    assert outcomes.pop("generate_popular_items") == (1, 1, 0, 0)
    assert set(outcomes.values()) == {(0, 0, 0, 0)}


class TestRefreshUserInterests:
    JOB = "refresh_user_interests"

    def test_only_what_changed_is_written(self, reco: Recommender) -> None:
        reco.system.run_job(self.JOB)
        reco.bid_placed("ann", "books-02", at=NOW)

        # Books are ann's favourite now; her interest in art keeps its strength, not its score.
        assert counts(reco, self.JOB) == (3, 2, 0, 0)
        assert counts(reco, self.JOB, full=True) == (3, 0, 3, 0)

    def test_a_category_that_fell_out_of_the_window_is_a_change(self) -> None:
        market = filled([lot("vase"), lot("book", "books")], bid("ann", "vase"))
        market.watches.update(
            {(UserId("ann"), w.item_id): w for w in [watch("ann", "book", days=89)]}
        )
        reco = opened(market)
        reco.system.run_job(self.JOB)
        clock_of(reco).advance(2 * DAY)

        assert counts(reco, self.JOB) == (1, 1, 1, 0)
        [stored] = reco.system.stored.get_interests(of="ann")
        assert str(stored.category_id) == "art"

    def test_interests_of_inactive_users_are_forgotten(self, reco: Recommender) -> None:
        reco.system.run_job(self.JOB)
        clock_of(reco).advance(30 * DAY)
        reco.signed_in("eve")

        assert counts(reco, self.JOB) == (1, 1, 0, 2)
        assert reco.system.stored.get_interests(of="ann") == ()
        assert len(reco.system.stored.get_interests(of="eve")) == 1


class TestGenerateRecommendations:
    JOB = "generate_recommendations"

    def test_everybody_active_gets_a_page_also_who_did_nothing(self, reco: Recommender) -> None:
        reco.system.run_job(self.JOB)

        for user in ("ann", "bob", "eve"):
            assert reco.as_user(user).homepage().freshness is Freshness.FRESH
        assert reco.as_user("zoe").homepage().freshness is Freshness.COMPUTED

    def test_the_page_of_whoever_signed_in_a_month_ago_is_removed(self, reco: Recommender) -> None:
        reco.system.run_job(self.JOB)
        clock_of(reco).advance(30 * DAY - TICK)
        reco.signed_in("bob")
        assert counts(reco, self.JOB)[0] == 3

        clock_of(reco).advance(TICK)

        assert counts(reco, self.JOB) == (1, 0, 0, 2)
        assert reco.system.stored.get_recommendations(of="ann") is None
        assert reco.system.stored.get_recommendations(of="bob") is not None

    @pytest.mark.parametrize(
        ("user", "is_active"),
        [
            ({"created_at": NOW - 90 * DAY, "last_sign_in_at": NOW - 30 * DAY + TICK}, True),
            ({"created_at": NOW, "last_sign_in_at": NOW - 30 * DAY}, False),
            ({"created_at": NOW - 30 * DAY + TICK}, True),
            ({"created_at": NOW - 30 * DAY}, False),
            ({}, False),
        ],
    )
    def test_active_is_who_signed_in_lately_or_is_new(
        self, user: dict[str, Any], is_active: bool
    ) -> None:
        market = filled(lots("art", 2))
        market.users[UserId("new")] = User(user_id=UserId("new"), **user)
        reco = opened(market)

        assert reco.system.run_job(self.JOB).scope == int(is_active)
        assert (reco.system.stored.get_recommendations(of="new") is not None) is is_active

    def test_how_long_users_count_as_active_is_a_setting(self) -> None:
        market = filled(lots("art", 2), users=["ann"])
        reco = opened(market, Settings(cache_enabled=False, active_for=2 * DAY))
        clock_of(reco).advance(2 * DAY)

        assert counts(reco, self.JOB) == (0, 0, 0, 0)

    def test_sixty_are_kept_for_twenty(self) -> None:
        reco = opened(filled(lots("art", 80), users=["ann"]))
        reco.system.run_job(self.JOB)

        stored = reco.system.stored.get_recommendations(of="ann")

        assert stored is not None
        assert len(stored.lines) == 60


class TestGeneratePopularItems:
    JOB = "generate_popular_items"

    def test_one_list_over_everything_and_one_a_category(self, reco: Recommender) -> None:
        reco.system.run_job(self.JOB)

        shelves = [reco.anonymous.popular_items(category=one) for one in (None, "art", "books")]

        assert {shelf.freshness for shelf in shelves} == {Freshness.FRESH}
        assert [len(shelf) for shelf in shelves] == [7, 4, 3]

    def test_only_lists_that_changed_are_written(self, reco: Recommender) -> None:
        reco.system.run_job(self.JOB)
        reco.bid_placed("ann", "books-03", at=NOW)

        assert counts(reco, self.JOB) == (3, 2, 1, 0)


class TestComputeItemSimilarities:
    JOB = "compute_item_similarities"

    def test_lists_of_what_is_no_longer_open_are_removed(self, reco: Recommender) -> None:
        reco.system.run_job(self.JOB)
        market = reco.ports.catalog.market  # type: ignore[attr-defined]  # the memory adapter's
        market.add_item(lot("books-03", "books", ends=0))
        reco.items_changed(["books-03"])

        # All prices are alike, but price alone does not qualify: art keeps its lists.
        assert counts(reco, self.JOB) == (6, 2, 4, 1)
        assert reco.system.stored.find_similar_items("books-03") is None

    def test_one_item_alone_open_or_not(self, reco: Recommender) -> None:
        assert counts(reco, self.JOB, item_id="gone") == (1, 1, 0, 0)
        assert counts(reco, self.JOB, item_id="gone") == (1, 0, 1, 0)

        assert reco.anonymous.similar_items("gone").freshness is Freshness.FRESH
        assert reco.anonymous.similar_items("art-01").freshness is Freshness.COMPUTED

    def test_one_item_has_the_list_that_the_run_over_all_gives_it(self, reco: Recommender) -> None:
        reco.system.run_job(self.JOB, item_id="art-01")
        alone = reco.system.stored.find_similar_items("art-01")
        assert alone is not None

        reco.system.run_job(self.JOB)
        together = reco.system.stored.find_similar_items("art-01")

        assert together is not None
        assert together.lines == alone.lines

    def test_the_lists_that_one_item_enters_count_as_changed(self, reco: Recommender) -> None:
        reco.system.run_job(self.JOB)
        market = reco.ports.catalog.market  # type: ignore[attr-defined]  # the memory adapter's
        market.add_item(lot("art-05", "art"))

        # Its own list, and those of four lots of art.
        assert counts(reco, self.JOB, item_id="art-05") == (1, 5, 0, 0)
        assert counts(reco, self.JOB, item_id="art-05") == (1, 0, 1, 0)

    def test_an_unknown_item_is_an_error(self, reco: Recommender) -> None:
        with pytest.raises(ItemNotFoundError, match="'ghost'"):
            reco.system.run_job(self.JOB, item_id="ghost")
        with pytest.raises(InvalidValueError, match="item id is 7"):
            reco.system.run_job(self.JOB, item_id=7)

    def test_forty_are_kept_for_twenty(self) -> None:
        reco = opened(filled(lots("art", 60)))
        reco.system.run_job(self.JOB)

        stored = reco.system.stored.find_similar_items("art-01")

        assert stored is not None
        assert len(stored.lines) == 40


@pytest.mark.parametrize("name", ["", "refresh", "REFRESH_USER_INTERESTS", "train_model", None])
def test_an_unknown_job_is_refused_with_the_names_there_are(
    reco: Recommender, name: str | None
) -> None:
    with pytest.raises(InvalidValueError, match=r"job is .* one of compute_item_similarities, "):
        reco.system.run_job(name)  # type: ignore[arg-type]  # what is no name is tried too


@pytest.mark.parametrize("name", [one for one in BATCH_JOBS if one != OF_ONE_ITEM])
def test_only_similarities_are_computed_for_one_item(reco: Recommender, name: str) -> None:
    with pytest.raises(InvalidValueError, match="job for one item"):
        reco.system.run_job(name, item_id="art-01")

    assert reco.system.stats().lists[ListKind.SIMILAR].owners == 0


@pytest.mark.parametrize("name", BATCH_JOBS)
@pytest.mark.parametrize("make", [opened, shop])
def test_progress_never_goes_back_and_ends_with_all_done(name: str, make: Any) -> None:
    told: list[tuple[str, int, int]] = []

    make().system.run_job(name, progress=lambda *one: told.append(one))

    assert told[-1][1] == told[-1][2]
    assert all(0 <= done <= total for _, done, total in told)
    for before, after in pairwise(told):
        assert before[0] != after[0] or (before[1] <= after[1] and before[2] == after[2])


def test_an_outcome_without_failures_names_none() -> None:
    outcome = JobOutcome(
        job="generate_popular_items",
        started_at=NOW,
        seconds=0.5,
        scope=3,
        changed=2,
        unchanged=1,
        removed=0,
    )

    assert (outcome.failed, outcome.errors) == (0, ())


@pytest.mark.parametrize("is_scheduled", [False, True])
def test_the_seconds_of_an_outcome_are_those_of_the_clock(is_scheduled: bool) -> None:
    one, took = Shop.of(), timedelta(seconds=7, milliseconds=250)
    one.clock.advance(HOUR)
    began = one.clock.now()

    def progress(what: str, done: int, total: int) -> None:
        if (done, total) == (0, 3):
            one.clock.advance(took)
            # Somebody sets the clock on the wall.
            one.clock.set(one.clock.now() - 3 * DAY)

    outcome = one.reco.system.run_job(
        "refresh_user_interests", scheduled=is_scheduled, progress=progress
    )

    assert outcome is not None
    assert (outcome.started_at, outcome.seconds) == (began, 7.25)
    run = one.last("refresh_user_interests")
    assert run is not None
    assert json.loads(run.outcome or "{}") == outcome.to_json()


PROGRESS: dict[str, list[tuple[str, int, int]]] = {
    "refresh_user_interests": [
        ("interests of users", 0, 7),
        ("interests of users", 3, 7),
        ("interests of users", 6, 7),
        ("interests of users", 7, 7),
    ],
    "generate_recommendations": [
        ("open items", 0, 1),
        ("homepages of users", 0, 7),
        ("homepages of users", 3, 7),
        ("homepages of users", 6, 7),
        ("homepages of users", 7, 7),
    ],
    "train_models": [("activity", 0, 3), ("activity", 3, 3)],
    "generate_popular_items": [("popular items", 0, 1), ("popular items", 1, 1)],
    "compute_item_similarities": [
        ("open items", 0, 1),
        ("similar items", 0, 5),
        ("similar items", 2, 5),
        ("similar items", 4, 5),
        ("similar items", 5, 5),
    ],
}


@pytest.mark.parametrize("name", BATCH_JOBS)
def test_progress_is_reported_batch_by_batch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("angle_reco.application.jobs.batch_jobs._USERS_AT_ONCE", 3)
    monkeypatch.setattr("angle_reco.application.jobs.batch_jobs._ITEMS_AT_ONCE", 2)
    one = opened(filled(lots("art", 5), users=[f"user-{place}" for place in range(7)]))
    told: list[tuple[str, int, int]] = []

    one.system.run_job(name, progress=lambda *step: told.append(step))

    assert told == PROGRESS[name]


def test_users_read_at_once_are_written_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("angle_reco.application.jobs.batch_jobs._USERS_AT_ONCE", 3)
    monkeypatch.setattr("angle_reco.application.jobs.batch_jobs._RESULTS_AT_ONCE", 2)
    one = opened(filled(lots("art", 5), users=[f"user-{place}" for place in range(7)]))
    told: list[int] = []

    one.system.run_job(
        "generate_recommendations", progress=lambda what, done, total: told.append(done)
    )

    # First the open items, as one step.
    assert told == [0, 0, 2, 3, 5, 6, 7]


def test_progress_for_one_item_names_each_list_that_it_may_enter() -> None:
    one = opened(filled(lots("art", 4)))
    one.system.run_job("compute_item_similarities")
    told: list[tuple[str, int, int]] = []

    one.system.run_job(
        "compute_item_similarities",
        item_id="art-01",
        progress=lambda *step: told.append(step),
    )

    assert told == [
        ("open items", 0, 1),
        *(("lists of similar items", place, 3) for place in range(3)),
    ]


def test_an_outcome_says_when_and_how_long_and_goes_into_json(reco: Recommender) -> None:
    outcome = reco.system.run_job("refresh_user_interests")

    assert outcome.to_json() == {
        "job": "refresh_user_interests",
        "started_at": "2026-06-01T12:00:00+00:00",
        "seconds": 0.0,
        "scope": 3,
        "changed": 3,
        "unchanged": 0,
        "removed": 0,
        "left": 0,
        "failed": 0,
        "errors": [],
        "settings": reco.settings.version,
    }


def test_more_users_and_items_than_are_taken_at_once() -> None:
    # Batches are of 5,000.
    many = 5_001
    items = [attrs.evolve(lot(f"i{place:05}", f"c{place}"), title="") for place in range(many)]
    reco = opened(filled(items, users=[f"u{place:05}" for place in range(many)]))

    assert counts(reco, "refresh_user_interests") == (many, 0, 0, 0)
    assert counts(reco, "compute_item_similarities") == (many, many, 0, 0)
    assert ids_of(reco.anonymous.popular_items(1)) == ["i00000"]
