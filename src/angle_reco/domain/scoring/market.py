"""The open items at one moment, with everything that rankings need to know about them."""

from collections.abc import Callable, Hashable
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

import attrs
import numpy as np

from angle_reco.domain.arrays import Bools, Int64s, frozen
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.catalogue import Catalogue
from angle_reco.domain.moments import MICROSECOND, to_micros
from angle_reco.domain.scoring.blended.signals import Signals
from angle_reco.domain.scoring.popularity import (
    Demand,
    PopularityRule,
    popular_order,
    popularity,
    tie_order,
)

_T = TypeVar("_T")

ENDING_SOON = timedelta(days=7)
"""An item that ends within this span, inclusive, ends soon."""

_SOON_OR_ACTIVE = 100_000
"""The contribution of each of the two conditions to `recency`, in millionths."""


@attrs.frozen(kw_only=True)
class OpenMarket:
    """Open items only, one per row, as of *now*; columns are computed on first use.

    All columns are read-only: components of hosts see them, and answers share them. *signals* are
    what a trained model says of the items, for rankers that need one.
    """

    catalogue: Catalogue
    demand: Demand
    rule: PopularityRule
    now: datetime
    signals: Signals | None = None
    _kept: dict[Hashable, Any] = attrs.field(factory=dict, init=False, eq=False, repr=False)

    def __len__(self) -> int:
        return len(self.catalogue)

    def kept(self, key: Hashable, compute: Callable[[], _T]) -> _T:
        """Return what is computed once for this market, such as a part of all scores.

        All users of a market share it, so nothing may change it.
        """
        if key not in self._kept:
            self._kept[key] = compute()
        found: _T = self._kept[key]
        return found

    @cached_property
    def popularity(self) -> Int64s:
        """Return the popularity of each item, in millionths."""
        return frozen(popularity(self.demand, self.rule))

    @cached_property
    def is_active(self) -> Bools:
        """Return which items are open for bids now, not only later."""
        active: Bools = self.catalogue.status == AuctionStatus.ACTIVE.code
        return frozen(active)

    @cached_property
    def ends_soon(self) -> Bools:
        """Return which items end within seven days, including scheduled ones."""
        left = self.catalogue.ends_at - to_micros(self.now)
        return frozen((left > 0) & (left <= ENDING_SOON // MICROSECOND))

    @cached_property
    def recency(self) -> Int64s:
        """Return the recency of each item: 0.1 each for ending soon and for being active."""
        return frozen(_SOON_OR_ACTIVE * (self.ends_soon.astype(np.int64) + self.is_active))

    @cached_property
    def popular_order(self) -> Int64s:
        """Return the rows, most popular first."""
        return frozen(popular_order(self.catalogue, self.demand))

    @cached_property
    def tie_order(self) -> Int64s:
        """Return the rows in the order that breaks ties of scores."""
        return frozen(tie_order(self.catalogue, self.demand))

    @cached_property
    def tie_rank(self) -> Int64s:
        """Return the place of each row in `tie_order`."""
        ranks = np.empty(len(self), np.int64)
        ranks[self.tie_order] = np.arange(len(self))
        return frozen(ranks)
