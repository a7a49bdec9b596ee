"""What a model says of the open items at a moment, to every user alike."""

from datetime import timedelta
from functools import cached_property
from typing import Self

import attrs
import numpy as np
import numpy.typing as npt

from angle_reco.domain.arrays import Int32s, Int64s, frozen
from angle_reco.domain.columns import NONE, IdIndex
from angle_reco.domain.items import Catalogue
from angle_reco.domain.millionths import ONE, scaled
from angle_reco.domain.moments import HOUR
from angle_reco.domain.scoring.blended.curves import (
    at_age,
    at_share,
    fading_curve,
    log2_curve,
    log_curve,
)
from angle_reco.domain.scoring.blended.model import Model, kind_keys, log_prices
from angle_reco.domain.scoring.blended.titles import TitleRows, hashed, title_rows
from angle_reco.domain.scoring.decay import HalfLife, decayed

_ENOUGH_USERS = 10
"""The users at which a personal view comes half from the item and half from its kind."""


@attrs.frozen(kw_only=True)
class Signals:
    """The open items as a model sees them at *now*; columns have a value for each row.

    *item*, *category*, *seller* and *kind* are codes in the model, NONE for what it does not
    know.
    """

    model: Model
    catalogue: Catalogue
    item: Int32s = attrs.field(converter=frozen)
    category: Int32s = attrs.field(converter=frozen)
    seller: Int32s = attrs.field(converter=frozen)
    kind: Int32s = attrs.field(converter=frozen)
    log_price: Int32s = attrs.field(converter=frozen)
    titles: TitleRows
    now: int

    @classmethod
    def of(
        cls, model: Model, catalogue: Catalogue, titles: npt.NDArray[np.object_], *, now: int
    ) -> Self:
        """Return the open items of *catalogue*, with their *titles*, at a moment."""
        items = model.items
        category = _recoded(items.categories, catalogue.categories, catalogue.category)
        log_price = log_prices(catalogue.prices)
        keys = kind_keys(category, log_price)
        places = np.searchsorted(items.kinds, keys)
        is_known = np.append(items.kinds, NONE - 1)[places] == keys
        return cls(
            model=model,
            catalogue=catalogue,
            item=items.ids.codes(catalogue.items.ids),
            category=category,
            seller=_recoded(items.sellers, catalogue.sellers, catalogue.seller),
            kind=np.where(is_known, places, NONE).astype(np.int32),
            log_price=log_price,
            titles=title_rows(*hashed(titles.tolist()), items.rarities),
            now=now,
        )

    def __len__(self) -> int:
        return len(self.catalogue)

    @property
    def hour(self) -> int:
        """Return the whole hours since the epoch."""
        return self.now // HOUR

    def of_items(self, by_item: Int64s) -> Int64s:
        """Return a value by item of the model as one by row, 0 for an unknown item."""
        return np.append(by_item, 0)[self.item]

    def of_kinds(self, by_kind: Int64s) -> Int64s:
        """Return a value by kind of the model as one by row, 0 for an item without one."""
        return np.append(by_kind, 0)[self.kind]

    @cached_property
    def trend_of_weeks(self) -> Int64s:
        """Return `log2(1 + r / max r)`: the heat of 14 days over all touches and three."""
        return self._trend(self._heat(14), self._heat(None))

    @cached_property
    def trend_of_days(self) -> Int64s:
        """Return the same of the heat of 7 days over that of 60."""
        return self._trend(self._heat(7), self._heat(60))

    @cached_property
    def heat(self) -> Int64s:
        """Return the logarithmic share of the heat of 7 days."""
        heat = self._heat(7)
        return at_share(log_curve(100), heat, int(heat.max(initial=0)))

    @cached_property
    def newness(self) -> Int64s:
        """Return `exp(−days since listed / 30)`, 0 where that is unknown."""
        # An unknown moment is earlier than all others, so its age counts nothing.
        ages = self.now - np.clip(self.catalogue.listed_at, -_FARTHEST, _FARTHEST)
        return at_age(fading_curve(30 * 24), ages // HOUR)

    @cached_property
    def urgency(self) -> Int64s:
        """Return `exp(−days left)`, 0 without an end."""
        left = np.clip(self.catalogue.ends_at, -_FARTHEST, _FARTHEST) - self.now
        return at_age(fading_curve(24), left // HOUR)

    @cached_property
    def support(self) -> Int64s:
        """Return `n / (n + 10)` for the n users who touched the item."""
        items = self.model.histories.items
        users = self.of_items(np.bincount(items, minlength=len(self.model.items)))
        return users * ONE // (users + _ENOUGH_USERS)

    @cached_property
    def category_shares(self) -> Int64s:
        """Return the share of each category of the model among all touched items."""
        return shares_of_categories(self.model, self.model.histories.items)

    def _heat(self, days: int | None) -> Int64s:
        """Return the touches of each item, each `2^(−age / days)`, or 1, in millionths."""
        touches = self.model.touches
        weights = np.full(len(touches.items), ONE)
        if days is not None:
            ages = (self.hour - touches.hours.astype(np.int64)) * HOUR
            weights = decayed(HalfLife(span=timedelta(days=days)), ages)
        sums = np.bincount(touches.items, weights * touches.counts, minlength=len(self.model.items))
        return self.of_items(sums.astype(np.int64))

    def _trend(self, short: Int64s, long: Int64s) -> Int64s:
        ratios = short * 1_000 // (long // 1_000 + 3_000)
        return at_share(log2_curve(), ratios, int(ratios.max(initial=0)))


_FARTHEST = 2**62
"""In microseconds: beyond all moments that Python knows, and differences fit 64 bits."""


def shares_of_categories(model: Model, items: Int32s) -> Int64s:
    """Return the share of each category among *items*, in millionths; 0 if none has one."""
    category = model.items.category[items]
    counts = np.bincount(category[category != NONE], minlength=len(model.items.categories))
    return scaled(counts, ONE, max(int(counts.sum()), 1))


def _recoded(known: IdIndex, index: IdIndex, codes: Int32s) -> Int32s:
    """Return codes of *index* as codes of *known*."""
    return np.append(known.codes(index.ids), np.int32(NONE))[codes]
