"""What holds for every answer, whatever the marketplace."""

from hypothesis import given, settings
from hypothesis import strategies as st

from angle_reco import Freshness, ItemId, Settings, UserId
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.rules import BidCounting, HalfLife, PopularityRule, Ranker
from angle_reco.testing import AuctionStatus, Item, MemoryMarketplace
from tests.application.markets import (
    UNKNOWN,
    USERS,
    everything_said,
    marketplaces,
    shelves,
    stored_of,
)
from tests.application.shop import DAY, NOW, opened

EVENLY = Ranker.preset("evenly", recency=0.333333, interest=0.333333, popularity=0.333333)
SETTINGS = [
    Settings(cache_enabled=False),
    Settings(
        cache_enabled=False,
        ranker="evenly",
        presets=(EVENLY,),
        popularity=PopularityRule(counting=BidCounting.BIDDERS, half_life=HalfLife(span=3 * DAY)),
    ),
]


def is_open(item: Item) -> bool:
    """Return whether an item may be shown at NOW, said in the plainest way."""
    if not item.is_published or (item.ends_at is not None and item.ends_at <= NOW):
        return False
    return item.status in {None, AuctionStatus.ACTIVE, AuctionStatus.SCHEDULED}


def touched(market: MemoryMarketplace, user: str) -> set[ItemId]:
    """Return what a user has bid on or watches."""
    user_id = UserId(user)
    bid_on = {
        bid.item_id for bids in market.bids.values() for bid in bids if bid.user_id == user_id
    }
    return bid_on | {item_id for one, item_id in market.watches if one == user_id}


@given(market=marketplaces(), chosen=st.sampled_from(SETTINGS), is_stored=st.booleans())
def test_every_answer_is_sound(
    market: MemoryMarketplace, chosen: Settings, is_stored: bool
) -> None:
    reco = opened(market, chosen)
    if is_stored:
        for job in BATCH_JOBS:
            reco.system.run_job(job)

    for name, shelf in shelves(reco).items():
        assert [one.rank for one in shelf] == list(range(1, len(shelf) + 1)), name
        assert len(set(shelf.ids)) == len(shelf), name
        for one in shelf:
            assert 0 <= one.score <= 1_000_000, name
            assert one.score == sum(one.contributions.values()), name
            assert min(one.contributions.values()) >= 0, name
            assert one.card.item_id == one.item_id
            assert is_open(market.items[one.item_id]), name
        viewer = next((user for user in (*USERS, UNKNOWN) if f" {user}" in name), None)
        assert not [one for one in shelf if viewer and one.card.seller_id == viewer], name
        if name.startswith(("homepage", "after")) and viewer:
            assert not touched(market, viewer) & set(shelf.ids), name
        if " to " in name or " on " in name:
            assert not [item for item in shelf.ids if str(item) in name], name
        if name.startswith("popular in"):
            assert {one.card.category_id for one in shelf} <= {name.split()[-1]}


@given(market=marketplaces(), chosen=st.sampled_from(SETTINGS))
def test_a_page_is_only_short_where_nothing_more_may_be_shown(
    market: MemoryMarketplace, chosen: Settings
) -> None:
    reco = opened(market, chosen)

    for user in (*USERS, UNKNOWN):
        may_be_shown = {
            item.item_id
            for item in market.items.values()
            if is_open(item) and item.seller_id != UserId(user)
        } - touched(market, user)

        assert set(reco.as_user(user).homepage(40).ids) == may_be_shown
        assert len(reco.as_user(user).homepage(3)) == min(3, len(may_be_shown))


@settings(settings.get_profile("slow"))
@given(market=marketplaces(), chosen=st.sampled_from(SETTINGS))
def test_stored_answers_are_the_computed_ones(market: MemoryMarketplace, chosen: Settings) -> None:
    reco = opened(market, chosen)
    computed = everything_said(reco)

    for job in BATCH_JOBS:
        reco.system.run_job(job)

    assert everything_said(reco) == computed
    assert reco.as_user(UNKNOWN).popular_items().freshness is Freshness.FRESH


@given(market=marketplaces())
def test_a_second_run_of_every_job_changes_nothing(market: MemoryMarketplace) -> None:
    reco = opened(market)
    for job in BATCH_JOBS:
        reco.system.run_job(job)
    before = stored_of(reco)

    outcomes = [reco.system.run_job(job) for job in BATCH_JOBS]

    assert [(one.changed, one.removed) for one in outcomes] == [(0, 0)] * len(BATCH_JOBS)
    assert stored_of(reco) == before


@settings(max_examples=10)
@given(market=marketplaces())
def test_nothing_that_is_asked_changes_anything(market: MemoryMarketplace) -> None:
    reco = opened(market)

    assert everything_said(reco) == everything_said(reco)
    assert set(stored_of(reco).values()) == {(), None}


@given(market=marketplaces())
def test_every_interest_is_between_nothing_and_the_favourite(market: MemoryMarketplace) -> None:
    reco = opened(market)

    for user in USERS:
        scores = [one.score for one in reco.as_user(user).interests()]

        assert scores == sorted(scores, reverse=True)
        assert scores[:1] in ([], [1_000_000])
        assert all(score >= 0 for score in scores)
