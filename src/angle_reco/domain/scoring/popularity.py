"""The demand for items: their bids and watchers, and the orders that follow from them."""

from enum import StrEnum

import attrs
import numpy as np

from angle_reco.domain.activity import Activity
from angle_reco.domain.arrays import Int8s, Int32s, Int64s, frozen, starts_of_runs
from angle_reco.domain.catalogue import Catalogue
from angle_reco.domain.millionths import ONE, scaled
from angle_reco.domain.scoring.decay import HalfLife, decayed
from angle_reco.domain.validators import instance, whole


class BidCounting(StrEnum):
    """Whether each bid counts, or each bidder once (by the newest bid)."""

    BIDS = "bids"
    BIDDERS = "bidders"


@attrs.frozen(kw_only=True)
class PopularityRule:
    """How bids and watchers count, and at which count popularity is saturated.

    Popularity is `min((bids + watcher_weight · watchers) / saturation, 1)`. With a
    *half_life* older bids and watches count less.
    """

    watcher_weight: int = 2
    saturation: int = 10
    counting: BidCounting = BidCounting.BIDS
    half_life: HalfLife | None = None

    def __attrs_post_init__(self) -> None:
        whole(self.watcher_weight, "watcher weight of popularity", least=0, most=1_000)
        instance(self.counting, "counting of popularity", BidCounting)
        if self.half_life is not None:
            instance(self.half_life, "half-life of popularity", HalfLife)
        whole(self.saturation, "saturation of popularity", least=1, most=1_000_000)


@attrs.frozen(kw_only=True)
class Demand:
    """The counts of each row of a catalogue, in millionths of a bid or watcher."""

    bids: Int64s = attrs.field(converter=frozen)
    watchers: Int64s = attrs.field(converter=frozen)


def plain_demand(catalogue: Catalogue) -> Demand:
    """Return the counts of *catalogue*, every bid and watcher with full weight."""
    return Demand(bids=catalogue.bids * ONE, watchers=catalogue.watchers * ONE)


def fading_demand(
    size: int, *, rows: Int32s, users: Int32s, kinds: Int8s, ages: Int64s, rule: PopularityRule
) -> Demand:
    """Return the counts for *size* rows with the half-life of *rule*, from interactions.

    *rows* and *users* are codes, *ages* microseconds. A user counts as a watcher of an item
    once, by the earliest watch.
    """
    assert rule.half_life is not None
    weights = decayed(rule.half_life, ages)
    is_bid = kinds == Activity.BID
    bids, watches = np.flatnonzero(is_bid), np.flatnonzero(~is_bid)
    if rule.counting is BidCounting.BIDDERS:
        bids = bids[_once_a_user(rows[bids], users[bids], ages[bids])]
    watches = watches[_once_a_user(rows[watches], users[watches], -ages[watches])]
    return Demand(
        bids=_summed(size, rows[bids], weights[bids]),
        watchers=_summed(size, rows[watches], weights[watches]),
    )


def popularity(demand: Demand, rule: PopularityRule) -> Int64s:
    """Return the popularity of each row, in millionths.

    Three bids and two watchers are 7 of the 10 that saturate it:

    >>> popularity(Demand(bids=np.array([3 * ONE]), watchers=np.array([2 * ONE])), PopularityRule())
    array([700000])
    """
    counted = demand.bids + rule.watcher_weight * demand.watchers
    return scaled(np.minimum(counted, rule.saturation * ONE), 1, rule.saturation)


def popular_order(catalogue: Catalogue, demand: Demand) -> Int64s:
    """Return the rows, most popular first.

    Ordered by bids, then watchers, then the later listing, then the smaller id.
    """
    rows = np.arange(len(catalogue))
    # Unknown moments are the least 64-bit integer: ~ reverses the order without overflow.
    return np.lexsort((rows, ~catalogue.listed_at, -demand.watchers, -demand.bids))


def tie_order(catalogue: Catalogue, demand: Demand) -> Int64s:
    """Return the rows in the order that breaks ties of scores.

    Ordered by bids plus watchers, then the later listing, then the smaller id.
    """
    rows = np.arange(len(catalogue))
    return np.lexsort((rows, ~catalogue.listed_at, -(demand.bids + demand.watchers)))


def _once_a_user(rows: Int32s, users: Int32s, best_first: Int64s) -> Int64s:
    """Return, for each row and user, the place with the least *best_first*."""
    order = np.lexsort((best_first, users, rows))
    return order[starts_of_runs(rows[order], users[order])]


def _summed(size: int, rows: Int32s, weights: Int64s) -> Int64s:
    totals = np.zeros(size, np.int64)
    np.add.at(totals, rows, weights)
    return totals
