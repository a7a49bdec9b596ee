"""What a model says of the open items to one user: the personal components of `blended`.

All values are millionths by row. The sources of the forms are in docs/scoring.md.
"""

from datetime import timedelta
from functools import lru_cache

import attrs
import numpy as np
import numpy.typing as npt

from angle_reco.domain.arrays import Int32s, Int64s, frozen, ragged_ranges
from angle_reco.domain.columns import NONE
from angle_reco.domain.millionths import ONE
from angle_reco.domain.moments import HOUR
from angle_reco.domain.scoring.blended.curves import LOG2_STEPS, at_share, bell_curve, log_curve
from angle_reco.domain.scoring.blended.model import Fans, Histories
from angle_reco.domain.scoring.blended.signals import Signals, shares_of_categories
from angle_reco.domain.scoring.blended.titles import UNIT
from angle_reco.domain.scoring.decay import HalfLife, decayed

_MONTH = HalfLife(span=timedelta(days=30))
_NEIGHBOURS = 100
_PER_UNIT = 20
"""Of the logarithmic share of a personal view."""

_WIDER = 7 * LOG2_STEPS // 10
"""Added to the deviation of a user's prices, in steps."""


@attrs.frozen(kw_only=True)
class Touched:
    """The distinct items that one user touched, the newest first: codes of a model, and hours.

    *user* is the user's code in the model, NONE if it does not know the user.
    """

    user: int
    items: Int32s = attrs.field(converter=frozen)
    last_at: Int32s = attrs.field(converter=frozen)

    @property
    def recency(self) -> Int64s:
        """Return `2^(−age / 30 days)` of each touch, counted from the newest."""
        hours = self.last_at.astype(np.int64)
        return decayed(_MONTH, (hours[:1] - hours) * HOUR)


def taste(signals: Signals, touched: Touched) -> Int64s:
    """Return the logarithmic share of what touched items say of others (`Model.taste`)."""
    model, weights = signals.model, np.ones(len(touched.items), np.int64)
    kinds, known = _kinds(signals, touched)
    return _supported(
        signals,
        model.taste.spread(touched.items, weights, len(model.items)),
        model.taste_of_kinds.spread(kinds, weights[known], len(model.items.kinds)),
    )


def follow(signals: Signals, touched: Touched) -> Int64s:
    """Return the logarithmic share of what comes after such touches (`Model.follow`)."""
    # A thousandth is precise enough, and keeps sums small.
    model, weights = signals.model, touched.recency // 1_000
    kinds, known = _kinds(signals, touched)
    return _supported(
        signals,
        model.follow.spread(touched.items, weights, len(model.items)),
        model.follow_of_kinds.spread(kinds, weights[known], len(model.items.kinds)),
    )


def alike(signals: Signals, touched: Touched) -> Int64s:
    """Return the logarithmic share of what the most similar users touched lately."""
    model = signals.model
    kinds = np.unique(_kinds(signals, touched)[0])
    return _supported(
        signals,
        _of_neighbours(signals, touched.items, touched.user, model.fans, model.histories),
        _of_neighbours(signals, kinds, touched.user, model.fans_of_kinds, model.histories_of_kinds),
    )


def category_lift(signals: Signals, touched: Touched) -> Int64s:
    """Return the user's share of the category over everybody's, over the largest of these."""
    own = shares_of_categories(signals.model, touched.items)
    lifts = own * 1_000 // (signals.category_shares + 20_000)
    largest = max(int(lifts.max(initial=0)), 1)
    return np.append(lifts * ONE // largest, 0)[signals.category]


def title(signals: Signals, touched: Touched) -> Int64s:
    """Return the cosine with the titles of what the user touched, each `.7^rank`."""
    factors = _powers(7)[: len(touched.items)]
    rows = signals.model.items.titles
    vector = rows.combined(touched.items[: len(factors)], factors // 1_000)
    # Sums of squares below 2**53 are exact, and roots of floats are exactly rounded.
    vector //= max(int(np.abs(vector).max(initial=0)) >> 18, 1)
    length = int(np.sqrt(float((vector * vector).sum())))
    if length == 0:
        return np.zeros(len(signals), np.int64)
    products = signals.titles.products(vector * UNIT // length)
    return np.minimum(products * ONE // UNIT**2, ONE)


def price(signals: Signals, touched: Touched) -> Int64s:
    """Return the bell curve of the logarithm of the price about those of the user."""
    prices = signals.model.items.log_price[touched.items].astype(np.int64)
    known = prices != NONE
    prices, weights = prices[known], touched.recency[known] // 1_000
    total = int(weights.sum())
    if total == 0:
        return np.zeros(len(signals), np.int64)
    mean = int((weights * prices).sum()) // total
    variance = int((weights * (prices - mean) ** 2).sum()) // total
    deviation = int(np.sqrt(float(variance))) + _WIDER
    squares = (signals.log_price.astype(np.int64) - mean) ** 2 * 1_024 // deviation**2
    curve = bell_curve()
    found = curve[np.minimum(squares, len(curve) - 1)]
    return np.where(signals.log_price != NONE, found, 0)


def seller(signals: Signals, touched: Touched) -> Int64s:
    """Return the user's touches of the seller, each `.9^rank`, over those of any seller."""
    known = signals.model.items
    sellers = known.seller[touched.items]
    factors = _powers(9)[: len(sellers)]
    sellers = sellers[: len(factors)]
    has_seller = sellers != NONE
    sums = np.bincount(
        sellers[has_seller], factors[has_seller], minlength=len(known.sellers)
    ).astype(np.int64)
    largest = max(int(sums.max(initial=0)), 1)
    return np.append(sums * ONE // largest, 0)[signals.seller]


def _kinds(signals: Signals, touched: Touched) -> tuple[Int32s, npt.NDArray[np.bool_]]:
    """Return the kinds of touched items, and which of the items have one."""
    kinds = signals.model.items.kind[touched.items]
    known = kinds != NONE
    return kinds[known], known


def _supported(signals: Signals, by_item: Int64s, by_kind: Int64s) -> Int64s:
    """Return the shares of items, and of their kinds the more the fewer users touched them."""
    own, kinds = signals.of_items(by_item), signals.of_kinds(by_kind)
    curve, support = log_curve(_PER_UNIT), signals.support
    own = at_share(curve, own, int(own.max(initial=0)))
    kinds = at_share(curve, kinds, int(kinds.max(initial=0)))
    mixed: Int64s = (support * own + (ONE - support) * kinds) // ONE
    return mixed


def _of_neighbours(
    signals: Signals, items: Int32s, user: int, fans: Fans, histories: Histories
) -> Int64s:
    """Return what the users with the largest cosine touched, each touch `2^(−age / 30 days)`."""
    size = len(fans.offsets) - 1
    starts = fans.offsets[items]
    places = ragged_ranges(starts, fans.offsets[items + 1] - starts)
    shared = np.bincount(fans.users[places], minlength=len(fans.sizes))
    if user != NONE:
        shared[user] = 0
    near = np.flatnonzero(shared)
    # Roots and quotients of floats are exactly rounded, so equal on every machine.
    cosines = ONE * shared[near] / np.sqrt(fans.sizes[near] * np.float64(max(len(items), 1)))
    cosines = np.minimum(cosines.astype(np.int64), ONE)
    best = np.lexsort((near, -cosines))[:_NEIGHBOURS]
    near, cosines = near[best], cosines[best]
    starts = histories.offsets[near]
    lengths = histories.offsets[near + 1] - starts
    places = ragged_ranges(starts, lengths)
    ages = (signals.hour - histories.last_at[places].astype(np.int64)) * HOUR
    weights = np.repeat(cosines, lengths) * decayed(_MONTH, ages) // ONE
    return np.bincount(histories.items[places], weights, minlength=size).astype(np.int64)


@lru_cache(maxsize=2)
def _powers(tenths: int) -> Int64s:
    """Return the powers of *tenths* / 10 in millionths, rounded down, as long as they count."""
    powers = [ONE]
    while powers[-1] >= 1_000:
        powers.append(powers[-1] * tenths // 10)
    return frozen(np.array(powers[:-1], np.int64))
