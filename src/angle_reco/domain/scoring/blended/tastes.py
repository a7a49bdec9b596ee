"""What a model says of the open items to one user."""

from functools import lru_cache
from typing import NamedTuple

import attrs
import numpy as np

from angle_reco.domain.arrays import Int32s, Int64s, frozen
from angle_reco.domain.columns import NONE
from angle_reco.domain.millionths import ONE, scaled
from angle_reco.domain.moments import HOUR
from angle_reco.domain.scoring.blended.curves import (
    LOG2_STEPS,
    at_share,
    bell_curve,
    log_curve,
)
from angle_reco.domain.scoring.blended.model import Histories
from angle_reco.domain.scoring.blended.signals import Signals
from angle_reco.domain.scoring.blended.titles import UNIT, TitleRows
from angle_reco.domain.scoring.decay import HalfLife, decayed
from datetime import timedelta

_MONTH = HalfLife(span=timedelta(days=30))
_NEIGHBOURS = 100
_MOST_FANS = 2_000
"""The newest users of an item among whom neighbours are searched."""

_LOG = log_curve(20)
_WIDENED = 7 * LOG2_STEPS // 10


@attrs.frozen(kw_only=True)
class Touched:
    """The distinct items that one user touched, the newest first: codes and hours."""

    items: Int32s = attrs.field(converter=frozen)
    last_at: Int32s = attrs.field(converter=frozen)
    user: int = NONE

    @property
    def recency(self) -> Int64s:
        """Return `2^(−days since, up to the newest touch / 30)`."""
        if len(self.last_at) == 0:
            return np.empty(0, np.int64)
        ages = (int(self.last_at[0]) - self.last_at.astype(np.int64)) * HOUR
        return decayed(_MONTH, ages)


class Fans(NamedTuple):
    """The users who touched each item: those of item i are [offsets[i], offsets[i + 1])."""

    offsets: Int64s
    users: Int32s
    sizes: Int64s

    @classmethod
    def of(cls, histories: Histories, items: int) -> "Fans":
        """Return the newest `_MOST_FANS` users of each item."""
        users = np.repeat(np.arange(len(histories), dtype=np.int32), np.diff(histories.offsets))
        order = np.lexsort((users, -histories.last_at.astype(np.int64), histories.items))
        item = histories.items[order]
        starts = np.searchsorted(item, np.arange(items + 1))
        place = np.arange(len(item)) - starts[item]
        kept = place < _MOST_FANS
        return cls(
            np.searchsorted(item[kept], np.arange(items + 1)),
            users[order][kept],
            np.diff(histories.offsets),
        )


def taste(signals: Signals, touched: Touched) -> Int64s:
    """Return the logarithmic share of `x·B`."""
    return _blended(signals, touched, _taste_sums)


def _taste_sums(signals: Signals, touched: Touched) -> tuple[Int64s, Int64s]:
    model = signals.model
    ones = np.ones(len(touched.items), np.int64)
    kinds = model.items.kind[touched.items]
    known = kinds != NONE
    return (
        model.taste.spread(touched.items, ones, len(model.items)),
        model.taste_of_kinds.spread(kinds[known], ones[known], model.kinds),
    )


def follow(signals: Signals, touched: Touched) -> Int64s:
    """Return the logarithmic share of `p·F`."""
    return _blended(signals, touched, _follow_sums)


def _follow_sums(signals: Signals, touched: Touched) -> tuple[Int64s, Int64s]:
    model, weights = signals.model, touched.recency // 1_000
    kinds = model.items.kind[touched.items]
    known = kinds != NONE
    return (
        model.follow.spread(touched.items, weights, len(model.items)),
        model.follow_of_kinds.spread(kinds[known], weights[known], model.kinds),
    )


def _blended(signals: Signals, touched: Touched, sums_of) -> Int64s:  # type: ignore[no-untyped-def]
    own, kinds = sums_of(signals, touched)
    return supported(signals, signals.rows(own), signals.of_kinds(kinds))


def supported(signals: Signals, own: Int64s, of_kinds: Int64s) -> Int64s:
    """Return `n/(n+10)` of the item's share, and the rest of its kind's."""
    own = at_share(_LOG, own, int(own.max(initial=0)))
    of_kinds = at_share(_LOG, of_kinds, int(of_kinds.max(initial=0)))
    support = signals.support
    mixed: Int64s = (support * own + (ONE - support) * of_kinds) // ONE
    return mixed


def alike(signals: Signals, touched: Touched, fans: Fans, fans_of_kinds: Fans, kinds: Histories) -> Int64s:
    """Return the logarithmic share of what the most similar users touched lately."""
    model = signals.model
    own = _of_neighbours(
        signals, touched.items, touched.user, fans, model.histories, len(model.items)
    )
    mine = model.items.kind[touched.items]
    mine = np.unique(mine[mine != NONE]).astype(np.int32)
    by_kind = _of_neighbours(signals, mine, touched.user, fans_of_kinds, kinds, model.kinds)
    return supported(signals, signals.rows(own), signals.of_kinds(by_kind))


def _of_neighbours(
    signals: Signals, items: Int32s, user: int, fans: Fans, histories: Histories, size: int
) -> Int64s:
    starts = fans.offsets[items]
    lengths = fans.offsets[items + 1] - starts
    if not lengths.sum():
        return np.zeros(size, np.int64)
    from angle_reco.domain.arrays import ragged_ranges

    overlap = np.bincount(fans.users[ragged_ranges(starts, lengths)], minlength=len(fans.sizes))
    if user != NONE:
        overlap[user] = 0
    near = np.flatnonzero(overlap)
    # Square roots and quotients of floats are exactly rounded on every machine.
    cosines = np.floor(ONE * overlap[near] / np.sqrt(fans.sizes[near] * float(len(items))))
    best = np.lexsort((near, -cosines))[:_NEIGHBOURS]
    near, cosines = near[best], cosines[best].astype(np.int64)
    starts = histories.offsets[near]
    lengths = histories.offsets[near + 1] - starts
    places = ragged_ranges(starts, lengths)
    ages = (signals.hour - histories.last_at[places].astype(np.int64)) * HOUR
    weights = np.repeat(cosines, lengths) * decayed(_MONTH, ages) // ONE
    return np.bincount(histories.items[places], weights, minlength=size).astype(np.int64)


def category_lift(signals: Signals, touched: Touched) -> Int64s:
    """Return the user's share of the category over everybody's, over the largest of that."""
    category = signals.model.items.category[touched.items]
    counts = np.bincount(category[category != NONE], minlength=signals.categories)
    if not counts.sum():
        return np.zeros(len(signals.category), np.int64)
    shares = scaled(counts, ONE, int(counts.sum()))
    lifts = shares * 1_000 // (signals.category_shares + 20_000)
    by_category = np.append(lifts * ONE // max(int(lifts.max(initial=1)), 1), 0)
    return by_category[signals.category]


def price(signals: Signals, touched: Touched) -> Int64s:
    """Return the bell curve of the binary logarithm of the price about the user's."""
    prices = signals.model.items.log_price[touched.items].astype(np.int64)
    known = prices != NONE
    weights = touched.recency[known]
    total = int(weights.sum())
    if not total:
        return np.zeros(len(signals.log_price), np.int64)
    prices = prices[known]
    mean = int((weights * prices).sum()) // total
    variance = int((weights * (prices - mean) ** 2).sum()) // total
    deviation = int(np.floor(np.sqrt(float(variance)))) + _WIDENED
    squares = (signals.log_price.astype(np.int64) - mean) ** 2 * 1_024 // deviation**2
    curve = bell_curve()
    found = curve[np.minimum(squares, len(curve) - 1)]
    return np.where(signals.log_price != NONE, found, 0)


def seller(signals: Signals, touched: Touched) -> Int64s:
    """Return the user's touches of the seller, `.9^rank`, over the largest."""
    sellers = signals.model.items.seller[touched.items]
    known = sellers != NONE
    if not known.any():
        return np.zeros(len(signals.seller), np.int64)
    weights = _powers(9)[np.minimum(np.arange(len(sellers)), 199)][known]
    size = int(max(signals.seller.max(initial=-1), sellers.max())) + 1
    sums = np.bincount(sellers[known], weights, minlength=size).astype(np.int64)
    by_seller = np.append(sums * ONE // int(sums.max()), 0)
    return by_seller[signals.seller]


@lru_cache(maxsize=2)
def _powers(tenths: int) -> Int64s:
    """Return the powers of *tenths* / 10 in millionths, rounded down step by step."""
    powers = [ONE]
    while len(powers) < 200:
        powers.append(powers[-1] * tenths // 10)
    return frozen(np.array(powers, np.int64))


def title(rows_of_items: TitleRows, rows: TitleRows, touched: Touched) -> Int64s:
    """Return the cosine of the title with the titles of what the user touched, `.7^rank`."""
    factors = _powers(7)[: len(touched.items)]
    vector = rows_of_items.combined(touched.items[: len(factors)], factors // 1_000)
    length = int(np.sqrt(float((vector.astype(np.float64) ** 2).sum())))
    if not length:
        return np.zeros(len(rows.offsets) - 1, np.int64)
    vector = vector * UNIT // length
    return np.clip(rows.products(vector) * ONE // (UNIT * UNIT), 0, ONE)
