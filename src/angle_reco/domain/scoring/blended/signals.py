"""What a model says of the open items at a moment, to every user alike."""

from datetime import timedelta
from functools import cached_property
from typing import Self

import attrs
import numpy as np
import numpy.typing as npt

from angle_reco.domain.arrays import Bools, Floats, Int32s, Int64s, frozen
from angle_reco.domain.catalogue import Catalogue
from angle_reco.domain.columns import NONE
from angle_reco.domain.millionths import ONE, scaled
from angle_reco.domain.moments import HOUR
from angle_reco.domain.scoring.blended.curves import (
    at_age,
    at_share,
    fading_curve,
    log2_curve,
    log_curve,
)
from angle_reco.domain.scoring.blended.hashes import NO_HASH, hashes_of
from angle_reco.domain.scoring.blended.model import Model, kind_keys, log_prices, typical_prices
from angle_reco.domain.scoring.blended.titles import TitleRows, hashed, title_rows
from angle_reco.domain.scoring.decay import HalfLife, decayed

_ENOUGH_USERS = 10
"""The users at which a personal view comes half from the item and half from its kind."""


@attrs.frozen(kw_only=True)
class Signals:
    """The open items as a model sees them at *now*; columns have a value for each row.

    *item*, *category* and *kind* are codes in the model, NONE for what it does not know, and
    *seller* is a hash; *counted_as* is the code among the counts of touches. Codes that are
    looked up for every user are 64 bits wide: numpy indexes by others more slowly.
    """

    model: Model
    catalogue: Catalogue
    item: Int32s = attrs.field(converter=frozen)
    counted_as: Int32s = attrs.field(converter=frozen)
    category: Int64s = attrs.field(converter=frozen)
    seller: Int64s = attrs.field(converter=frozen)
    kind: Int64s = attrs.field(converter=frozen)
    log_price: Int32s = attrs.field(converter=frozen)
    titles: TitleRows
    now: int

    @classmethod
    def of(
        cls, model: Model, catalogue: Catalogue, titles: npt.NDArray[np.object_], *, now: int
    ) -> Self:
        """Return the open items of *catalogue*, with their *titles*, at a moment."""
        items = model.items
        categories = items.categories.codes(hashes_of(catalogue.categories.ids))
        category = np.append(categories, np.int32(NONE))[catalogue.category]
        keys = kind_keys(category, log_prices(catalogue.starting_prices))
        places = np.searchsorted(items.kinds, keys)
        is_known = np.append(items.kinds, NONE - 1)[places] == keys
        hashes = hashes_of(catalogue.items.ids)
        return cls(
            model=model,
            catalogue=catalogue,
            item=items.ids.codes(hashes),
            counted_as=model.touches.ids.codes(hashes),
            category=category.astype(np.int64),
            seller=np.append(hashes_of(catalogue.sellers.ids), NO_HASH)[catalogue.seller],
            kind=np.where(is_known, places, NONE),
            log_price=log_prices(typical_prices(catalogue)),
            titles=title_rows(*hashed(titles.tolist()), items.rarities),
            now=now,
        )

    def __len__(self) -> int:
        return len(self.catalogue)

    @property
    def footprint(self) -> int:
        """Return about how many bytes the columns take, those that are computed later included."""
        words = self.titles.buckets.nbytes + self.titles.weights.nbytes
        return 2 * words + _COLUMNS * 8 * (len(self) + len(self.model.items) // 2)

    @property
    def hour(self) -> int:
        """Return the whole hours since the epoch."""
        return self.now // HOUR

    def of_items(self, by_item: Int64s) -> Int64s:
        """Return a value by item of the model as one by row, 0 for an unknown item."""
        return np.append(by_item, 0)[self.item]

    @cached_property
    def row_of_item(self) -> Int32s:
        """Return the row of each item of the model, NONE for one that is not open."""
        rows = np.full(len(self.model.items) + 1, NONE, np.int32)
        rows[self.item] = np.arange(len(self), dtype=np.int32)
        return rows[:-1]

    @cached_property
    def open_kinds(self) -> Bools:
        """Return for each kind of the model whether an open item is of it."""
        return np.bincount(self.kind[self.kind != NONE], minlength=len(self.model.items.kinds)) > 0

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

    @cached_property
    def factors(self) -> tuple[Floats, Floats]:
        """Return how much of a personal view comes from the item, and how much from its kind."""
        own = (self.support / ONE).astype(np.float32)
        return own, 1 - own

    @cached_property
    def distinct_prices(self) -> tuple[Int32s, Int64s]:
        """Return the distinct values of *log_price*, and the place of each row's among them."""
        values, codes = np.unique(self.log_price, return_inverse=True)
        return values, codes.astype(np.int64)

    def rows_of_sellers(self, sellers: Int64s) -> tuple[Int64s, Int64s, Int64s]:
        """Return rows by seller, and for each of *sellers* the start and the number of its rows."""
        rows, ordered = self.rows_by_seller
        starts = np.searchsorted(ordered, sellers)
        return rows, starts, np.searchsorted(ordered, sellers, side="right") - starts

    @cached_property
    def rows_by_seller(self) -> tuple[Int64s, Int64s]:
        """Return the rows ordered by their sellers, and these."""
        rows = np.argsort(self.seller, kind="stable")
        return rows, self.seller[rows]

    def _heat(self, days: int | None) -> Int64s:
        """Return the touches of each item, each `2^(−age / days)`, or 1, in millionths."""
        touches = self.model.touches
        weights = np.full(len(touches.items), ONE)
        if days is not None:
            ages = (self.hour - touches.hours.astype(np.int64)) * HOUR
            weights = decayed(HalfLife(span=timedelta(days=days)), ages)
        sums = np.bincount(touches.items, weights * touches.counts, minlength=len(touches.ids))
        return np.append(sums.astype(np.int64), 0)[self.counted_as]

    def _trend(self, short: Int64s, long: Int64s) -> Int64s:
        ratios = short * 1_000 // (long // 1_000 + 3_000)
        return at_share(log2_curve(), ratios, int(ratios.max(initial=0)))


_COLUMNS = 16
"""How many columns of 64 bits signals have at most."""

_FARTHEST = 2**62
"""In microseconds: beyond all moments that Python knows, and differences fit 64 bits."""


def shares_of_categories(model: Model, items: Int32s) -> Int64s:
    """Return the share of each category among *items*, in millionths; 0 if none has one."""
    category = model.items.category[items]
    counts = np.bincount(category[category != NONE], minlength=len(model.items.categories))
    return scaled(counts, ONE, max(int(counts.sum()), 1))
