"""Reading what is stored, as it is stored: neither filtered nor computed."""

from datetime import timedelta
from typing import Any

import pytest

from angle_reco import InvalidValueError, Recommender, UserId
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.domain.lists import ListKind
from angle_reco.domain.users import SignIns
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


@pytest.fixture
def reco() -> Recommender:
    """Return a shop where nothing is stored yet."""
    names = ("art", "books", "coins", "dolls", "eggs", "furs")
    return opened(
        filled(
            [lot(name, name) for name in names] + lots("more", 2),
            *(bid("ann", name, days=place + 1) for place, name in enumerate(names)),
            watch("ann", "art"),
            users=["bob"],
        )
    )


def test_before_the_first_run_nothing_is_stored(reco: Recommender) -> None:
    assert reco.system.stored.get_interests(of="ann") == ()
    assert reco.system.stored.get_top_interests(of="ann") == ()
    assert reco.system.stored.get_recommendations(of="ann") is None
    assert reco.system.stored.find_similar_items("art") is None
    assert list(reco.system.stored.find_stale_recommendations()) == []


def test_stored_interests_are_those_of_the_last_run(reco: Recommender) -> None:
    reco.system.run_job("refresh_user_interests")
    before = reco.as_user("ann").interests()
    reco.bid_placed("ann", "furs")
    clock_of(reco).advance(60 * DAY)

    assert reco.system.stored.get_interests(of="ann") == before
    assert reco.as_user("ann").stored.get_interests() == before
    assert reco.as_user("ann").interests() != before


def test_the_top_interests_are_five_or_as_many_as_asked_for(reco: Recommender) -> None:
    reco.system.run_job("refresh_user_interests")
    everything = reco.system.stored.get_interests(of="ann")

    assert len(everything) == 6
    assert reco.system.stored.get_top_interests(of="ann") == everything[:5]
    assert reco.as_user("ann").stored.get_top_interests(2) == everything[:2]


def test_a_stored_page_is_not_filtered(reco: Recommender) -> None:
    reco.system.run_job("generate_recommendations")
    shown = ids_of(reco.as_user("ann").homepage())
    reco.bid_placed("ann", "more-01")

    stored = reco.as_user("ann").stored.get_recommendations()

    assert stored is not None
    assert [str(line.item_id) for line in stored.lines] == shown == ["more-01", "more-02"]
    assert (stored.computed_at, stored.covered_at) == (NOW, NOW)
    assert stored.recipe == reco.settings.recipes().lists[ListKind.PERSONAL]
    assert all(line.score == sum(line.parts) for line in stored.lines)


def test_stored_similar_items_are_public(reco: Recommender) -> None:
    reco.system.run_job("compute_item_similarities")

    stored = reco.anonymous.stored.find_similar_items("art")

    assert stored is not None
    assert [str(line.item_id) for line in stored.lines][:3] == ["more-01", "more-02", "books"]
    assert reco.anonymous.stored.find_similar_items("no such item") is None


class TestFindStaleRecommendations:
    def test_users_whose_pages_are_no_longer_fresh_are_found(self, reco: Recommender) -> None:
        reco.system.run_job("generate_recommendations")

        found = []
        for more in (0 * HOUR, 24 * HOUR, TICK):
            clock_of(reco).advance(more)
            found.append(list(reco.system.stored.find_stale_recommendations()))

        assert found == [[], [], [UserId("ann"), UserId("bob")]]

    @pytest.mark.parametrize(
        ("older_than", "found"), [(timedelta(0), True), (HOUR, True), (2 * HOUR, False)]
    )
    def test_or_older_than_asked_for(
        self, reco: Recommender, older_than: timedelta, found: bool
    ) -> None:
        reco.system.run_job("generate_recommendations")
        clock_of(reco).advance(HOUR + TICK)

        stale = reco.system.stored.find_stale_recommendations(older_than=older_than)

        assert stale == ((UserId("ann"), UserId("bob")) if found else ())

    @pytest.mark.parametrize("older_than", [-TICK, timedelta.max, 3_600, "1 h"])
    def test_what_is_no_span_of_time_is_refused(self, reco: Recommender, older_than: Any) -> None:
        with pytest.raises(InvalidValueError, match="older_than"):
            reco.system.stored.find_stale_recommendations(older_than=older_than)


def test_sign_ins_are_those_of_the_user(reco: Recommender) -> None:
    reco.signed_in("ann", at=NOW + HOUR)
    reco.signed_in("ann", at=NOW - DAY)  # late news: the moment never goes back

    assert reco.as_user("ann").sign_ins() == SignIns(last_at=NOW + HOUR, count=2)
    assert reco.system.sign_ins(of="bob") == SignIns(last_at=NOW, count=0)
    assert reco.system.sign_ins(of="nobody") is None


@pytest.mark.parametrize("job", BATCH_JOBS)
def test_a_run_stores_its_own_kind_alone(reco: Recommender, job: str) -> None:
    reco.system.run_job(job)

    stats = reco.system.stats()
    kept = {kind.value: totals.owners for kind, totals in stats.lists.items()}
    kept["interests"] = stats.interests.owners

    assert [name for name, owners in kept.items() if owners] == {
        "refresh_user_interests": ["interests"],
        "train_models": [],
        "generate_popular_items": ["popular"],
        "generate_recommendations": ["personal"],
        "compute_item_similarities": ["similar"],
    }[job]
