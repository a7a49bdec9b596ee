"""What training learns, as flat columns over all items that anybody touched."""

import attrs
import numpy as np

from angle_reco.domain.arrays import Int32s, Int64s, frozen, ragged_ranges
from angle_reco.domain.columns import NONE, IdIndex
from angle_reco.domain.scoring.blended.curves import log2_steps

MOST_TOUCHED = 500
"""The newest items of a user that count."""


@attrs.frozen(kw_only=True)
class Coefficients:
    """A sparse matrix of millionths by source: how much a touch of it says of each target.

    The targets of source s are [offsets[s], offsets[s + 1]).
    """

    offsets: Int64s = attrs.field(converter=frozen)
    targets: Int32s = attrs.field(converter=frozen)
    values: Int32s = attrs.field(converter=frozen)

    def spread(self, sources: Int32s, weights: Int64s, size: int) -> Int64s:
        """Return for each of *size* targets the sum of weight times coefficient, exact."""
        starts = self.offsets[sources]
        lengths = self.offsets[sources + 1] - starts
        places = ragged_ranges(starts, lengths)
        products = self.values[places] * np.repeat(weights, lengths)
        # Sums of whole numbers below 2**53 are exact as floats.
        sums = np.bincount(self.targets[places], products, minlength=size)
        return sums.astype(np.int64)


@attrs.frozen(kw_only=True)
class KnownItems:
    """The items that the model knows, by code: what does not change while they are listed.

    *category* and *seller* are codes, NONE where there is none. *kind* is the code of a category
    and a price class, NONE without a category or a price; *log_price* is in steps of
    `log2_steps`, NONE for an unknown price.
    """

    ids: IdIndex
    category: Int32s = attrs.field(converter=frozen)
    seller: Int32s = attrs.field(converter=frozen)
    kind: Int32s = attrs.field(converter=frozen)
    log_price: Int32s = attrs.field(converter=frozen)

    def __len__(self) -> int:
        return len(self.ids)


@attrs.frozen(kw_only=True)
class Histories:
    """The distinct items that each user touched, the newest first, `MOST_TOUCHED` at most.

    The rows of the user with code u are [offsets[u], offsets[u + 1]). *last_at* is the hour of
    the last touch, since the epoch.
    """

    offsets: Int64s = attrs.field(converter=frozen)
    items: Int32s = attrs.field(converter=frozen)
    last_at: Int32s = attrs.field(converter=frozen)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def of(self, user: int) -> tuple[Int32s, Int32s]:
        """Return the items of a user and the hours of the last touches."""
        rows = slice(int(self.offsets[user]), int(self.offsets[user + 1]))
        return self.items[rows], self.last_at[rows]


@attrs.frozen(kw_only=True)
class TouchCounts:
    """How many users touched an item within an hour, for each day of a user once; by item."""

    items: Int32s = attrs.field(converter=frozen)
    hours: Int32s = attrs.field(converter=frozen)
    counts: Int32s = attrs.field(converter=frozen)


@attrs.frozen(kw_only=True)
class Model:
    """Everything that the components of `blended` need besides the open items.

    *taste* and *follow* have a row per item, the matrices of kinds a row per kind.
    """

    items: KnownItems
    histories: Histories
    touches: TouchCounts
    taste: Coefficients
    follow: Coefficients
    taste_of_kinds: Coefficients
    follow_of_kinds: Coefficients
    kinds: int

    def __attrs_post_init__(self) -> None:
        for name in ("taste", "follow"):
            if len(getattr(self, name).offsets) != len(self.items) + 1:
                raise ValueError(f"{name} has another number of items")


def kinds_of(category: Int32s, prices: Int64s) -> Int64s:
    """Return a key for the category and the power of two of the price, NONE without either."""
    known = (category != NONE) & (prices > 0)
    power = log2_steps(np.maximum(prices, 1)) // 1_024
    return np.where(known, category.astype(np.int64) * 64 + power, NONE)
