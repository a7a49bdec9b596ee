from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.activity import Activity
from angle_reco.domain.arrays import Int64s
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import IdKind, IdKinds, ItemId
from angle_reco.domain.millionths import ONE
from angle_reco.domain.moments import DAY
from angle_reco.domain.scoring.decay import HalfLife
from angle_reco.domain.scoring.popularity import (
    BidCounting,
    Demand,
    PopularityRule,
    fading_demand,
    popularity,
)
from angle_reco.testing import plain
from angle_reco.testing.contracts.markets import markets, open_market

WEEK = HalfLife(span=timedelta(days=7))


@pytest.mark.parametrize("kind", IdKind)
@given(data=st.data())
def test_counts_popularity_and_orders_are_those_of_the_plain_rule(
    kind: IdKind, data: st.DataObject
) -> None:
    ids = IdKinds(user=kind, item=kind, category=kind)
    plainly = data.draw(markets(ids))

    market = open_market(plainly, ids)

    open_items = {item.item_id: item for item in plainly.open_items}
    in_rows = [open_items[ItemId(item_id)] for item_id in market.catalogue.items.ids]
    demand = [plainly.demand[item.item_id] for item in in_rows]
    assert market.demand.bids.tolist() == [bids for bids, _ in demand]
    assert market.demand.watchers.tolist() == [watchers for _, watchers in demand]
    assert market.popularity.tolist() == [plain.popularity_of(plainly, item) for item in in_rows]
    assert [in_rows[row] for row in market.popular_order] == plainly.in_popular_order
    assert [in_rows[row] for row in market.tie_order] == plainly.in_tie_order


def of_counts(bids: int, watchers: int, rule: PopularityRule | None = None) -> int:
    demand = Demand(bids=np.array([bids * ONE]), watchers=np.array([watchers * ONE]))
    [found] = popularity(demand, rule or PopularityRule()).tolist()
    assert isinstance(found, int)
    return found


@pytest.mark.parametrize(
    ("bids", "watchers", "worth"),
    [
        (0, 0, 0),
        (1, 0, 100_000),
        (0, 1, 200_000),
        (9, 0, 900_000),
        (10, 0, ONE),
        (0, 5, ONE),
        (1, 4, 900_000),
        (2, 4, ONE),
        (11, 0, ONE),
        (10**9, 10**9, ONE),
    ],
)
def test_bids_and_two_for_each_watcher_saturate_at_ten(
    bids: int, watchers: int, worth: int
) -> None:
    assert of_counts(bids, watchers) == worth


def test_thirds_are_rounded_to_the_nearest_millionth() -> None:
    rule = PopularityRule(saturation=3)

    assert [of_counts(bids, 0, rule) for bids in range(5)] == [0, 333_333, 666_667, ONE, ONE]


def test_halves_of_a_millionth_are_rounded_up() -> None:
    demand = Demand(bids=np.array([1, 3, 5]), watchers=np.zeros(3, np.int64))

    found = popularity(demand, PopularityRule(saturation=2))

    assert found.tolist() == [1, 2, 3]


def fading(
    *happened: tuple[Activity, int, int], counting: BidCounting = BidCounting.BIDS
) -> tuple[int, int]:
    """Return the demand for one item from kinds, users and ages in days."""
    kinds, users, ages = zip(*happened, strict=True)
    demand = fading_demand(
        1,
        rows=np.zeros(len(happened), np.int32),
        users=np.array(users, np.int32),
        kinds=np.array(kinds, np.int8),
        ages=np.array(ages, np.int64) * DAY,
        rule=PopularityRule(half_life=WEEK, counting=counting),
    )
    return int(demand.bids[0]), int(demand.watchers[0])


BID, WATCH = Activity.BID, Activity.WATCH


def test_older_bids_and_watches_count_less() -> None:
    assert fading((BID, 0, 0), (BID, 0, 7), (BID, 1, 14), (WATCH, 0, 7)) == (1_750_000, 500_000)


def test_future_bids_count_as_those_of_now() -> None:
    assert fading((BID, 0, -5)) == (ONE, 0)


def test_a_user_watches_an_item_once_since_the_earliest_watch() -> None:
    assert fading((WATCH, 0, 7), (WATCH, 0, 14), (WATCH, 0, 0), (WATCH, 1, 0)) == (0, 1_250_000)


def test_a_bidder_counts_once_by_their_newest_bid() -> None:
    once = BidCounting.BIDDERS

    assert fading((BID, 0, 7), (BID, 0, 14), (BID, 0, 21), (BID, 1, 0), counting=once) == (
        1_500_000,
        0,
    )


def test_nothing_that_happened_is_no_demand() -> None:
    none: Int64s = np.empty(0, np.int64)
    nobody = none.astype(np.int32)

    demand = fading_demand(
        2,
        rows=nobody,
        users=nobody,
        kinds=none.astype(np.int8),
        ages=none,
        rule=PopularityRule(half_life=WEEK),
    )

    assert (demand.bids.tolist(), demand.watchers.tolist()) == ([0, 0], [0, 0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"watcher_weight": -1},
        {"watcher_weight": 1_001},
        {"watcher_weight": True},
        {"watcher_weight": 2.0},
        {"saturation": 0},
        {"saturation": -10},
        {"saturation": 1_000_001},
        {"saturation": 10.5},
        {"saturation": float("inf")},
    ],
    ids=str,
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match="of popularity is"):
        PopularityRule(**wrong)
