"""What a model says of the open items at a moment, for every user alike."""

from functools import cached_property

import attrs
import numpy as np

from angle_reco.domain.arrays import Int32s, Int64s
from angle_reco.domain.columns import NONE
from angle_reco.domain.items import Catalogue
from angle_reco.domain.millionths import ONE, scaled
from angle_reco.domain.moments import HOUR, NEVER, UNKNOWN_MOMENT
from angle_reco.domain.scoring.blended.curves import (
    at_age,
    at_share,
    fading_curve,
    log2_curve,
    log_curve,
)
from angle_reco.domain.scoring.blended.model import Model
from angle_reco.domain.scoring.decay import HalfLife, decayed
from datetime import timedelta

_ENOUGH_USERS = 10
"""The number of users at which half of a personal view comes from the item, half from its kind."""

_DAY = 24


@attrs.frozen(kw_only=True)
class Signals:
    """The open items as a model sees them at *hour*; columns have a value for each row.

    *item* is the code of the row in the model, NONE for an item that it does not know; *kind* is
    its kind in the model.
    """

    model: Model
    catalogue: Catalogue
    item: Int32s
    kind: Int32s
    category: Int32s
    seller: Int32s
    log_price: Int32s
    now: int

    @property
    def hour(self) -> int:
        """Return the whole hours since the epoch."""
        return self.now // HOUR

    def rows(self, by_item: Int64s) -> Int64s:
        """Return a value by item as one by row, 0 for an item that the model does not know."""
        return np.append(by_item, 0)[self.item]

    def of_kinds(self, by_kind: Int64s) -> Int64s:
        """Return a value by kind as one by row, 0 for an item without a kind."""
        return np.append(by_kind, 0)[self.kind]

    def _heat(self, days: int | None) -> Int64s:
        touches = self.model.touches
        weights = np.full(len(touches.items), ONE)
        if days is not None:
            ages = (self.hour - touches.hours.astype(np.int64)) * HOUR
            weights = decayed(HalfLife(span=timedelta(days=days)), ages)
        sums = np.bincount(
            touches.items, weights * touches.counts, minlength=len(self.model.items)
        )
        return self.rows(sums.astype(np.int64))

    def _trend(self, short: int, long: int | None) -> Int64s:
        ratio = np.array(self._heat(short)) * 1_000 // ((self._heat(long) + 3 * ONE) // 1_000)
        return at_share(log2_curve(), ratio, int(ratio.max(initial=0)))

    @cached_property
    def trend_of_weeks(self) -> Int64s:
        """Return `log2(1 + r / max r)` of the heat of 14 days over all touches and three."""
        return self._trend(14, None)

    @cached_property
    def trend_of_days(self) -> Int64s:
        """Return the same of the heat of 7 days over that of 60."""
        return self._trend(7, 60)

    @cached_property
    def heat(self) -> Int64s:
        """Return the logarithmic share of the heat of 7 days."""
        heat = self._heat(7)
        return at_share(log_curve(100), heat, int(heat.max(initial=0)))

    @cached_property
    def newness(self) -> Int64s:
        """Return `exp(−days since listed / 30)`, 0 where that is unknown."""
        listed = self.catalogue.listed_at
        known = listed != UNKNOWN_MOMENT
        hours = (self.now - np.where(known, listed, self.now)) // HOUR
        return np.where(known, at_age(fading_curve(30 * _DAY), hours), 0)

    @cached_property
    def urgency(self) -> Int64s:
        """Return `exp(−days left)`, 0 without an end."""
        ends = self.catalogue.ends_at
        known = ends != NEVER
        hours = (np.where(known, ends, self.now) - self.now) // HOUR
        return np.where(known, at_age(fading_curve(_DAY), hours), 0)

    @cached_property
    def support(self) -> Int64s:
        """Return `n / (n + 10)` for the n users who touched the item."""
        touched = np.bincount(self.model.histories.items, minlength=len(self.model.items))
        users = self.rows(touched)
        return users * ONE // (users + _ENOUGH_USERS)

    @cached_property
    def category_shares(self) -> Int64s:
        """Return everybody's share of touched items by category, in millionths; none last."""
        touched = self.model.items.category[self.model.histories.items]
        counts = np.bincount(touched[touched != NONE], minlength=self.categories)
        return scaled(counts, ONE, max(int(counts.sum()), 1))

    @cached_property
    def categories(self) -> int:
        """Return how many codes of categories there are."""
        return int(max(self.category.max(initial=-1), self.model.items.category.max(initial=-1))) + 1
