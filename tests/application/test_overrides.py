"""What is written by hand: seen in the next answer, and kept until a job replaces it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import attrs
import pytest

from angle_reco import (
    AccessDeniedError,
    CategoryId,
    InvalidValueError,
    ItemNotFoundError,
    Recommender,
    Settings,
    Shelf,
    UserErasedError,
    UserId,
)
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.domain.errors import shown
from angle_reco.domain.lists import ListKind
from angle_reco.domain.millionths import ONE
from angle_reco.domain.scoring.interest import InterestRule
from angle_reco.domain.scoring.similarity import SimilarityRule
from angle_reco.domain.suggestions import Reason, Source
from angle_reco.errors import AlreadyStoredError
from angle_reco.rules import Ranker
from angle_reco.testing import Bid, Watch
from tests.application.shop import (
    DAY,
    HOUR,
    NOW,
    again,
    bid,
    clock_of,
    filled,
    ids_of,
    lot,
    lots,
    opened,
    watch,
)

STATES = ("stored", "stale", "missing", "too old", "of another recipe")
CARS = CategoryId("cars")
ALL = 40
"""More than any answer here holds, less than lists keep."""


def shop() -> Recommender:
    """Return a shop with more to suggest than lists keep, where nothing is stored yet."""
    mine, ended = lot("mine", "art", seller="ann"), lot("ended", "art", ends=-1)
    happened: list[Bid | Watch] = [
        *(bid("ann", f"art-0{place}", days=place) for place in range(1, 4)),
        watch("ann", "toy-01", days=2),
        bid("bob", "toy-02"),
        bid("bob", "toy-03"),
    ]
    items = [*lots("art", 30), *lots("toy", 60, "toy"), mine, ended, lot("car", "cars")]
    return opened(filled(items, *happened, users=["eve"]))


@pytest.fixture(params=STATES)
def reco(request: pytest.FixtureRequest) -> Recommender:
    """Return a shop with results that are stored, or that the next answer has to compute."""
    reco = shop()
    if request.param == "missing":
        return reco
    run_all(reco)
    if request.param == "of another recipe":
        rules = Settings(
            cache_enabled=False,
            interest=InterestRule(bid_weight=5 * ONE),
            similarity=SimilarityRule(price=200_000),
            presets=(Ranker.preset("ours", popularity=0.7, interest=0.3),),
            ranker="ours",
        )
        return again(reco.ports, rules)
    clock_of(reco).advance(
        {"stored": 0 * DAY, "stale": 31 * HOUR, "too old": 3 * DAY}[request.param]
    )
    return reco


def run_all(reco: Recommender) -> None:
    for job in BATCH_JOBS:
        reco.system.run_job(job)


class TestInterests:
    def test_what_is_written_is_in_the_next_answer_and_the_rest_stays(
        self, reco: Recommender
    ) -> None:
        before = reco.as_user("ann").interests()

        written = reco.system.stored.create_interest(
            "ann", "cars", score=0.5, interaction_count=3, last_interaction_at=NOW - DAY
        )

        after = reco.as_user("ann").interests()
        assert [one for one in after if one.category_id != CARS] == list(before)
        assert [one for one in after if one.category_id == CARS] == [written]
        assert (written.score, written.interaction_count) == (500_000, 3)
        assert (written.last_interaction_at, written.by_hand) == (NOW - DAY, True)
        assert written.to_json()["by_hand"] is True
        assert sorted(after, key=lambda one: -one.score) == list(after)
        assert reco.system.stored.get_interests(of="ann") == after

    def test_one_is_replaced_in_place(self, reco: Recommender) -> None:
        before = reco.as_user("ann").interests()
        assert [str(one.category_id) for one in before] == ["art", "toy"]

        written = reco.system.stored.upsert_interest("ann", "art", score=Decimal("0.000001"))

        assert reco.as_user("ann").interests() == (before[1], written)
        assert written.last_interaction_at == reco.ports.clock.now()
        assert (written.score, written.interaction_count) == (1, 0)

    def test_one_that_is_there_is_not_created(self, reco: Recommender) -> None:
        before = reco.as_user("ann").interests()

        with pytest.raises(AlreadyStoredError, match="already an interest of this user in this"):
            reco.system.stored.create_interest("ann", "art", score=1)
        reco.system.stored.create_interest("ann", "cars", score=0)
        with pytest.raises(AlreadyStoredError):
            reco.system.stored.create_interest("ann", "cars", score=1)

        assert [one for one in reco.as_user("ann").interests() if not one.by_hand] == list(before)

    def test_one_is_deleted_once(self, reco: Recommender) -> None:
        before = reco.as_user("ann").interests()

        gone = [reco.system.stored.delete_interest("ann", "art") for _ in range(2)]

        assert gone == [True, False]
        assert reco.as_user("ann").interests() == before[1:]

    def test_deleting_the_last_one_does_not_bring_computed_ones_back(
        self, reco: Recommender
    ) -> None:
        for category in ("toy", "art"):
            assert reco.system.stored.delete_interest("ann", category)

        assert reco.as_user("ann").interests() == ()
        assert reco.system.stored.get_interests(of="ann") == ()
        assert reco.system.stored.delete_interest("ann", "toy") is False
        # Creating one of them again is no second one.
        reco.system.stored.create_interest("ann", "toy", score=1)
        assert [str(one.category_id) for one in reco.as_user("ann").interests()] == ["toy"]

    def test_it_is_marked_until_the_job_replaces_it(self, reco: Recommender) -> None:
        computed = {one.category_id: one for one in fresh(reco).as_user("ann").interests()}
        reco.system.stored.create_interest("ann", "cars", score=1)
        reco.system.stored.upsert_interest("ann", "art", score=0.1)
        reco.system.stored.delete_interest("ann", "toy")
        assert [one.by_hand for one in reco.as_user("ann").interests()] == [True, True]

        reco.system.run_job("refresh_user_interests")

        assert {one.category_id: one for one in reco.as_user("ann").interests()} == computed
        kept = reco.system.export_user("ann").interests
        assert kept is not None
        assert kept.removed == ()

    def test_those_of_others_stay(self, reco: Recommender) -> None:
        before = reco.as_user("bob").interests()

        reco.system.stored.create_interest("ann", "cars", score=1)
        reco.system.stored.delete_interest("ann", "toy")
        reco.system.stored.upsert_interest("ANN", "toy", score=1)

        assert reco.as_user("bob").interests() == before
        assert len(reco.as_user("ann").interests()) == 2
        assert [str(one.category_id) for one in reco.as_user("ANN").interests()] == ["toy"]


class TestHomepages:
    def test_a_recommendation_takes_its_rank_and_the_rest_stays(self, reco: Recommender) -> None:
        before = names_of(reco.as_user("ann").homepage(ALL))
        [new] = not_on_the_page(reco, 1)

        written = reco.system.stored.create_recommendation("ann", new, score=0.25, rank=3)

        page = reco.as_user("ann").homepage(ALL)
        assert ids_of(page) == [*before[:2], new, *before[2 : ALL - 1]]
        one = page[2]
        assert (one.rank, one.score, one.reason) == (3, 250_000, Reason.FOR_YOU)
        assert (one.source, one.contributions) == (Source.PERSONAL, {"by_hand": 250_000})
        assert (one.sentence, one.explanation) == ("Picked for you", "chosen by hand 0.25")
        assert (str(written.item_id), written.score, written.by_hand) == (new, 250_000, True)
        kept = reco.system.stored.get_recommendations(of="ann")
        assert kept is not None
        assert kept.edited
        assert [str(line.item_id) for line in kept.lines if line.by_hand] == [new]

    def test_without_a_rank_its_score_puts_it(self, reco: Recommender) -> None:
        before = reco.as_user("ann").homepage(ALL)
        first, last = not_on_the_page(reco, 2)

        reco.system.stored.create_recommendation("ann", first, score=1, reason="trending")
        reco.system.stored.create_recommendation("ann", last, score=0, reason=Reason.ENDING_SOON)

        page = reco.as_user("ann").homepage(ALL)
        assert ids_of(page) == [first, *ids_of(before)[: ALL - 1]]
        assert page[0].reason is Reason.TRENDING
        kept = reco.system.stored.get_recommendations(of="ann")
        assert kept is not None
        assert (str(kept.lines[-1].item_id), kept.lines[-1].reason) == (last, Reason.ENDING_SOON)
        assert len(kept.lines) == kept.recipe.kept

    def test_one_that_is_there_is_moved_and_not_created(self, reco: Recommender) -> None:
        before = names_of(reco.as_user("ann").homepage(ALL))

        with pytest.raises(AlreadyStoredError, match="already a recommendation of this item"):
            reco.system.stored.create_recommendation("ann", before[7], score=1)
        assert ids_of(reco.as_user("ann").homepage(ALL)) == before
        reco.system.stored.upsert_recommendation("ann", before[7], score=0, rank=1)

        after = ids_of(reco.as_user("ann").homepage(ALL))
        assert after == [before[7], *before[:7], *before[8:]]

    def test_one_is_deleted_once_and_the_rest_stays(self, reco: Recommender) -> None:
        before = names_of(reco.as_user("ann").homepage(ALL))

        gone = [reco.system.stored.delete_recommendation("ann", before[4]) for _ in range(2)]

        after = ids_of(reco.as_user("ann").homepage(ALL))
        assert gone == [True, False]
        assert after[: ALL - 1] == [*before[:4], *before[5:]]

    def test_deleting_the_last_one_does_not_bring_computed_ones_back(
        self, reco: Recommender
    ) -> None:
        reco.system.stored.upsert_recommendation("ann", "car", score=1)
        kept = reco.system.stored.get_recommendations(of="ann")
        assert kept is not None
        for line in kept.lines:
            assert reco.system.stored.delete_recommendation("ann", line.item_id)

        kept = reco.system.stored.get_recommendations(of="ann")
        assert kept is not None
        assert (kept.lines, kept.edited) == ((), True)
        # What is popular with everybody is shown in place of an empty page.
        assert {one.source for one in reco.as_user("ann").homepage(ALL)} == {Source.POPULAR}

    def test_what_is_their_own_or_ended_is_not_shown(self, reco: Recommender) -> None:
        before = names_of(reco.as_user("ann").homepage(ALL))

        for item in ("mine", "ended", "art-01", "toy-01"):
            reco.system.stored.create_recommendation("ann", item, score=1, rank=1)

        assert ids_of(reco.as_user("ann").homepage(ALL)) == before
        assert "art-01" in ids_of(reco.as_user("bob").homepage(60))

    def test_it_is_marked_until_the_job_replaces_it(self, reco: Recommender) -> None:
        computed = fresh(reco).as_user("ann").homepage(ALL)
        [new] = not_on_the_page(reco, 1)
        reco.system.stored.create_recommendation("ann", new, score=1)
        reco.system.stored.delete_recommendation("ann", computed[0].item_id)

        reco.system.run_job("generate_recommendations")

        kept = reco.system.stored.get_recommendations(of="ann")
        assert kept is not None
        assert not kept.edited
        assert not any(line.by_hand for line in kept.lines)
        assert list(reco.as_user("ann").homepage(ALL)) == list(computed)

    def test_the_pages_of_others_stay(self, reco: Recommender) -> None:
        before = {user: ids_of(reco.as_user(user).homepage(ALL)) for user in ("bob", "eve")}

        reco.system.stored.upsert_recommendation("ann", "car", score=1)
        reco.system.stored.upsert_recommendation("ANN", "car", score=1, rank=2)

        assert {user: ids_of(reco.as_user(user).homepage(ALL)) for user in before} == before
        assert ids_of(reco.as_user("ann").homepage())[0] == "car"
        assert ids_of(reco.as_user("ANN").homepage())[1] == "car"


class TestSimilarItems:
    def test_a_similarity_goes_where_its_score_puts_it_and_the_rest_stays(
        self, reco: Recommender
    ) -> None:
        before = names_of(reco.anonymous.similar_items("art-09", 20))

        written = reco.system.stored.create_similarity(
            "art-09", "car", score=1, reason="price_range"
        )

        shelf = reco.anonymous.similar_items("art-09", 20)
        assert ids_of(shelf) == ["car", *before[:19]]
        assert (shelf[0].reason, shelf[0].source) == (Reason.PRICE_RANGE, Source.SIMILAR)
        assert shelf[0].contributions == {"by_hand": ONE}
        assert (str(written.item_id), written.by_hand) == ("car", True)
        kept = reco.system.stored.find_similar_items("art-09")
        assert kept is not None
        assert kept.edited

    def test_it_is_of_the_one_and_not_of_the_other(self, reco: Recommender) -> None:
        before = names_of(reco.anonymous.similar_items("car", 20))

        reco.system.stored.create_similarity("art-09", "car", score=1)

        assert ids_of(reco.anonymous.similar_items("car", 20)) == before

    def test_after_a_bid_it_is_suggested_too(self, reco: Recommender) -> None:
        reco.system.stored.create_similarity("art-09", "car", score=1)

        shelf = reco.as_user("bob").after_bid("art-09", 20)

        assert "car" in ids_of(shelf)

    def test_one_that_is_there_is_replaced_and_not_created(self, reco: Recommender) -> None:
        before = names_of(reco.anonymous.similar_items("art-09", 20))

        with pytest.raises(AlreadyStoredError, match="already a similarity of these items"):
            reco.system.stored.create_similarity("art-09", before[0], score=1)
        reco.system.stored.upsert_similarity("art-09", before[0], score=0)

        after = ids_of(reco.anonymous.similar_items("art-09", 20))
        assert after[:19] == before[1:]
        kept = reco.system.stored.find_similar_items("art-09")
        assert kept is not None
        assert str(kept.lines[-1].item_id) == before[0]

    def test_one_is_deleted_once_and_the_rest_stays(self, reco: Recommender) -> None:
        before = names_of(reco.anonymous.similar_items("art-09", 20))

        gone = [reco.system.stored.delete_similarity("art-09", before[2]) for _ in range(2)]

        assert gone == [True, False]
        assert ids_of(reco.anonymous.similar_items("art-09", 20))[:19] == [*before[:2], *before[3:]]

    def test_what_ended_is_not_shown(self, reco: Recommender) -> None:
        before = names_of(reco.anonymous.similar_items("art-09", 20))

        reco.system.stored.create_similarity("art-09", "ended", score=1)

        assert ids_of(reco.anonymous.similar_items("art-09", 20)) == before

    def test_it_is_marked_until_the_job_replaces_it(self, reco: Recommender) -> None:
        computed = list(fresh(reco).anonymous.similar_items("art-09", 20))
        reco.system.stored.create_similarity("art-09", "car", score=1)

        reco.system.run_job("compute_item_similarities", item_id="art-09")

        kept = reco.system.stored.find_similar_items("art-09")
        assert kept is not None
        assert not kept.edited
        assert list(reco.anonymous.similar_items("art-09", 20)) == computed

    def test_an_item_that_ended_may_have_some_too(self, reco: Recommender) -> None:
        reco.system.stored.create_similarity("ended", "car", score=1)

        assert ids_of(reco.anonymous.similar_items("ended", 20))[0] == "car"

    def test_no_item_is_similar_to_itself(self, reco: Recommender) -> None:
        with pytest.raises(InvalidValueError, match="similar item is 'car', but should be another"):
            reco.system.stored.upsert_similarity("car", "car", score=1)

    def test_only_items_that_there_are_have_any(self, reco: Recommender) -> None:
        for one, other in [("car", "nothing"), ("nothing", "car")]:
            with pytest.raises(ItemNotFoundError, match="no item with id 'nothing'"):
                reco.system.stored.upsert_similarity(one, other, score=1)
        assert reco.system.stored.find_similar_items("nothing") is None


# What cannot be.

IDS = {
    "interest": ("ann", "cars"),
    "similarity": ("art-09", "car"),
    "recommendation": ("ann", "car"),
}
INTERESTS = ["create_interest", "upsert_interest"]
RECOMMENDATIONS = ["create_recommendation", "upsert_recommendation"]
LISTS = ["create_similarity", "upsert_similarity", *RECOMMENDATIONS]
WRITING = [*INTERESTS, *LISTS]


def write(reco: Recommender, name: str, *ids: object, **more: Any) -> None:
    getattr(reco.system.stored, name)(*(ids or IDS[name.split("_")[1]]), **{"score": 0.5, **more})


NO_SCORES = [
    True,
    -0.000001,
    1.0000001,
    "0.5",
    None,
    float("nan"),
    float("inf"),
    Decimal("sNaN"),
    10**400,
    Fraction(1, 2),
    [1],
]
NO_IDS = [None, "", 5, True, "\x00", "\ud800", "x" * 513, b"ann", 1.5, ["ann"]]


@pytest.fixture
def untouched() -> Recommender:
    """Return a shop where nothing is stored, and nothing is to be."""
    return shop()


def assert_nothing_is_stored(reco: Recommender) -> None:
    assert reco.ports.interests.totals().rows == 0
    assert [reco.ports.lists.totals(kind).owners for kind in ListKind] == [0, 0, 0]


@pytest.mark.parametrize("name", WRITING)
@pytest.mark.parametrize("score", NO_SCORES, ids=shown)
def test_a_score_is_a_number_from_0_to_1(untouched: Recommender, name: str, score: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"^score is .*should be a number from 0 to 1"):
        write(untouched, name, score=score)

    assert_nothing_is_stored(untouched)


@pytest.mark.parametrize("name", RECOMMENDATIONS)
@pytest.mark.parametrize("rank", [True, False, 0, -1, 1.5, 1.0, "1", Decimal(1), float("nan"), []])
def test_a_rank_is_a_whole_number_from_1(untouched: Recommender, name: str, rank: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"^rank is .*should be a whole number of at least"):
        write(untouched, name, rank=rank)

    assert_nothing_is_stored(untouched)


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("reason", ["popular", "popular_in_category", "", None, "FOR_YOU", 3, True])
def test_a_reason_is_one_of_those_that_such_lists_give(
    untouched: Recommender, name: str, reason: Any
) -> None:
    other = "same_category" if "recommendation" in name else "for_you"
    for one in (reason, other, Reason(other)):
        with pytest.raises(InvalidValueError, match=r"^reason is .*should be one of "):
            write(untouched, name, reason=one)

    assert_nothing_is_stored(untouched)


@pytest.mark.parametrize("name", WRITING)
@pytest.mark.parametrize("bad", NO_IDS, ids=shown)
def test_ids_are_of_the_kind_that_the_settings_say(
    untouched: Recommender, name: str, bad: Any
) -> None:
    first, second = IDS[name.split("_")[1]]

    for ids in ((bad, second), (first, bad)):
        # Where it would be whose they are, it is nobody.
        with pytest.raises((InvalidValueError, AccessDeniedError)):
            write(untouched, name, *ids)

    assert_nothing_is_stored(untouched)


@pytest.mark.parametrize("name", ["interest", "similarity", "recommendation"])
@pytest.mark.parametrize("bad", NO_IDS, ids=shown)
def test_deleting_takes_ids_of_the_right_kind_too(
    untouched: Recommender, name: str, bad: Any
) -> None:
    delete = getattr(untouched.system.stored, f"delete_{name}")

    for ids in (("art-09", bad), (bad, "car")):
        with pytest.raises((InvalidValueError, AccessDeniedError)):
            delete(*ids)

    assert_nothing_is_stored(untouched)


@pytest.mark.parametrize("name", INTERESTS)
@pytest.mark.parametrize("count", [True, -1, 1.0, 2**63, "1", None])
def test_interactions_are_counted_in_whole_numbers(
    untouched: Recommender, name: str, count: Any
) -> None:
    with pytest.raises(InvalidValueError, match=r"^interaction_count is "):
        write(untouched, name, interaction_count=count)

    assert_nothing_is_stored(untouched)


@pytest.mark.parametrize("name", INTERESTS)
@pytest.mark.parametrize("at", [datetime(2026, 6, 1), "2026-06-01", 0, True])  # noqa: DTZ001 — that is what is wrong with it
def test_the_last_interaction_is_a_moment_with_a_time_zone(
    untouched: Recommender, name: str, at: Any
) -> None:
    with pytest.raises(InvalidValueError, match=r"^last_interaction_at is "):
        write(untouched, name, last_interaction_at=at)

    assert_nothing_is_stored(untouched)


def test_only_items_that_there_are_can_be_recommended(untouched: Recommender) -> None:
    with pytest.raises(ItemNotFoundError, match="no item with id 'Car'"):
        untouched.system.stored.create_recommendation("ann", "Car", score=1)

    assert_nothing_is_stored(untouched)


def test_nothing_is_written_about_somebody_who_was_erased(untouched: Recommender) -> None:
    untouched.system.erase_user("ann")

    for name in (*INTERESTS, *RECOMMENDATIONS):
        with pytest.raises(UserErasedError, match="the user was erased; nothing was stored"):
            write(untouched, name)
    for delete in ("delete_interest", "delete_recommendation"):
        with pytest.raises(UserErasedError):
            getattr(untouched.system.stored, delete)("ann", "car")

    assert_nothing_is_stored(untouched)
    write(untouched, "create_interest", "ANN", "cars")


# Several at once.


@attrs.define
class SomebodyElse:
    """A store into which somebody writes between two edits of another one."""

    store: Any
    writes: Callable[[], object]
    _edits: int = 0

    def edit(self, *args: Any) -> None:
        self._edits += 1
        if self._edits == 2:
            self.writes()
        self.store.edit(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


@pytest.mark.parametrize("state", ["missing", "too old"])
def test_what_somebody_else_wrote_while_it_was_computed_stays(state: str) -> None:
    reco = shop()
    if state == "too old":
        run_all(reco)
        clock_of(reco).advance(9 * DAY)
    first, second = not_on_the_page(reco, 2)

    def others_page() -> object:
        return reco.system.stored.create_recommendation("ann", first, score=1)

    def others_interest() -> object:
        return reco.system.stored.create_interest("ann", "first", score=1)

    beside = again(
        reco.ports,
        lists=SomebodyElse(reco.ports.lists, others_page),
        interests=SomebodyElse(reco.ports.interests, others_interest),
    )

    beside.system.stored.create_recommendation("ann", second, score=1)
    beside.system.stored.create_interest("ann", "second", score=1)

    assert ids_of(reco.as_user("ann").homepage())[:2] == [first, second]
    assert {"first", "second", "art", "toy"} == {
        str(one.category_id) for one in reco.as_user("ann").interests()
    }


def test_of_many_who_write_at_once_none_is_lost() -> None:
    reco = shop()
    new = not_on_the_page(reco, 12)

    def work(place: int) -> None:
        reco.system.stored.create_recommendation("ann", new[place], score=1)
        reco.system.stored.create_interest("ann", f"of {place}", score=1)
        reco.system.stored.create_similarity("car", new[place], score=1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(12)))

    assert set(ids_of(reco.as_user("ann").homepage(12))) == set(new)
    assert sum(one.by_hand for one in reco.as_user("ann").interests()) == 12
    kept = reco.system.stored.find_similar_items("car")
    assert kept is not None
    assert {str(line.item_id) for line in kept.lines if line.by_hand} == set(new)


def fresh(reco: Recommender) -> Recommender:
    """Return a recommender of the same market and moment that has stored nothing."""
    bare = opened().ports
    return again(reco.ports, reco.settings, interests=bare.interests, lists=bare.lists)


def not_on_the_page(reco: Recommender, count: int) -> list[str]:
    """Return items that may be shown to ann, and that no homepage of hers has."""
    page = {str(line) for line in ids_of(fresh(reco).as_user("ann").homepage(60))}
    kept = reco.ports.lists.read(ListKind.PERSONAL, [UserId("ann")]).get(UserId("ann"))
    page |= {str(line.item_id) for line in (kept.lines if kept else ())}
    others = [one for one in (f"toy-{place:02}" for place in range(60, 3, -1)) if one not in page]
    assert len(others) >= count
    return others[:count]


def names_of(shelf: Shelf) -> list[str]:
    return [str(one) for one in ids_of(shelf)]
