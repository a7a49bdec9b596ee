"""What a model says of the open items to one user: the personal components of `blended`.

All values are millionths. The sources of the forms are in docs/scoring.md.
"""

from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Self

import attrs
import numpy as np

from angle_reco.domain.arrays import (
    Bools,
    Floats,
    Int32s,
    Int64s,
    frozen,
    largest,
    ragged_ranges,
    starts_of_runs,
)
from angle_reco.domain.columns import NONE
from angle_reco.domain.millionths import ONE
from angle_reco.domain.moments import HOUR
from angle_reco.domain.scoring.blended.curves import LOG2_STEPS, at_share, bell_curve, log_curve
from angle_reco.domain.scoring.blended.hashes import NO_HASH
from angle_reco.domain.scoring.blended.model import Fans, Histories
from angle_reco.domain.scoring.blended.signals import Signals, shares_of_categories
from angle_reco.domain.scoring.blended.titles import UNIT, Words
from angle_reco.domain.scoring.decay import HalfLife, decayed

RECENCY = HalfLife(span=timedelta(days=30))
"""How a touch counts less with its age."""

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

    @cached_property
    def recency(self) -> Int64s:
        """Return `2^(−age / 30 days)` of each touch, counted from the newest."""
        hours = self.last_at.astype(np.int64)
        return decayed(RECENCY, (hours[:1] - hours) * HOUR)


@attrs.frozen(kw_only=True)
class View:
    """A personal view: its logarithmic share by row of the open items, and by kind.

    The largest sums are those of open items. By row all but those of *rows* are 0.
    """

    rows: Int64s
    by_row: Int64s
    by_kind: Int64s

    @classmethod
    def of(cls, rows: Int64s, by_row: Int64s, by_kind: Int64s, *, size: int) -> Self:
        """Return the view of these sums: of some distinct rows of *size*, and of every kind."""
        curve = log_curve(_PER_UNIT)
        shares = np.zeros(size, np.int64)
        shares[rows] = at_share(curve, by_row, int(by_row.max(initial=0)))
        kinds = at_share(curve, by_kind, int(by_kind.max(initial=0)))
        # The last one is for items without a kind, whose code is -1.
        return cls(rows=rows, by_row=shares, by_kind=np.append(kinds, 0))

    def at(self, rows: Int64s, signals: Signals) -> Int64s:
        """Return the values of items: of their kinds the more the fewer users touched them."""
        support, kinds = signals.support[rows], self.by_kind[signals.kind[rows]]
        mixed: Int64s = (support * self.by_row[rows] + (ONE - support) * kinds) // ONE
        return mixed

    def estimate(self, signals: Signals) -> Floats:
        """Return the values of every row, almost."""
        own, of_kinds = signals.factors
        found: Floats = self.by_kind.astype(np.float32)[signals.kind]
        found *= of_kinds
        found[self.rows] += own[self.rows] * self.by_row[self.rows].astype(np.float32)
        return found


@attrs.frozen(kw_only=True)
class Tastes:
    """What a model says of open items to the user who touched these items.

    Each component has its values at some rows, and an estimate of every value, which is off by
    at most two millionths.
    """

    signals: Signals
    touched: Touched

    def taste(self, rows: Int64s) -> Int64s:
        """Return what touched items say of others (`Model.taste`)."""
        return self._by_taste.at(rows, self.signals)

    def taste_estimate(self) -> Floats:
        """Return an estimate of `taste`."""
        return self._by_taste.estimate(self.signals)

    def follow(self, rows: Int64s) -> Int64s:
        """Return what comes after such touches (`Model.follow`)."""
        return self._by_following.at(rows, self.signals)

    def follow_estimate(self) -> Floats:
        """Return an estimate of `follow`."""
        return self._by_following.estimate(self.signals)

    def sequence(self, rows: Int64s) -> Int64s:
        """Return what is touched soon after the newest touches, each `.8^rank`."""
        return self._by_sequence.at(rows, self.signals)

    def sequence_estimate(self) -> Floats:
        """Return an estimate of `sequence`."""
        return self._by_sequence.estimate(self.signals)

    def alike(self, rows: Int64s) -> Int64s:
        """Return what the most similar users touched lately."""
        return self._by_neighbours.at(rows, self.signals)

    def alike_estimate(self) -> Floats:
        """Return an estimate of `alike`."""
        return self._by_neighbours.estimate(self.signals)

    def category(self, rows: Int64s) -> Int64s:
        """Return the user's share of the category over everybody's, over the largest of these."""
        return self._lifts[self.signals.category[rows]]

    def category_estimate(self) -> Floats:
        """Return `category`."""
        return self._lifts.astype(np.float32)[self.signals.category]

    def title(self, rows: Int64s) -> Int64s:
        """Return the cosine with the titles of what the user touched, each `.7^rank`."""
        words = self._words
        if words is None:
            return np.zeros(len(rows), np.int64)
        return np.minimum(self.signals.titles.products(words, rows) * ONE // UNIT**2, ONE)

    def title_estimate(self) -> Floats:
        """Return an estimate of `title`."""
        words = self._words
        if words is None:
            return np.zeros(len(self.signals), np.float32)
        products = self.signals.titles.products_of_all(words)
        products *= ONE / UNIT**2
        return np.minimum(products, ONE, dtype=np.float32)

    def price(self, rows: Int64s) -> Int64s:
        """Return the bell curve of the logarithm of the price about those of the user."""
        return self._at_prices(self.signals.log_price[rows])

    def price_estimate(self) -> Floats:
        """Return `price`."""
        values, codes = self.signals.distinct_prices
        return self._at_prices(values).astype(np.float32)[codes]

    def seller(self, rows: Int64s) -> Int64s:
        """Return the user's touches of the seller, each `.9^rank`, over those of any seller."""
        known, shares = self._shares_of_sellers
        if len(known) == 0:
            return np.zeros(len(rows), np.int64)
        sellers = self.signals.seller[rows]
        places = np.minimum(np.searchsorted(known, sellers), len(known) - 1)
        return np.where(known[places] == sellers, shares[places], 0)

    def seller_estimate(self) -> Floats:
        """Return `seller`."""
        known, shares = self._shares_of_sellers
        rows, starts, lengths = self.signals.rows_of_sellers(known)
        found = np.zeros(len(self.signals), np.float32)
        found[rows[ragged_ranges(starts, lengths)]] = np.repeat(shares, lengths)
        return found

    def _at_prices(self, log_prices: Int32s) -> Int64s:
        touched = self.touched
        prices = self.signals.model.items.log_price[touched.items].astype(np.int64)
        known = prices != NONE
        prices, weights = prices[known], touched.recency[known] // 1_000
        total = int(weights.sum())
        if total == 0:
            return np.zeros(len(log_prices), np.int64)
        mean = int((weights * prices).sum()) // total
        variance = int((weights * (prices - mean) ** 2).sum()) // total
        deviation = int(np.sqrt(float(variance))) + _WIDER
        squares = (log_prices.astype(np.int64) - mean) ** 2 * 1_024 // deviation**2
        curve = bell_curve()
        found = curve[np.minimum(squares, len(curve) - 1)]
        return np.where(log_prices != NONE, found, 0)

    @cached_property
    def _shares_of_sellers(self) -> tuple[Int64s, Int64s]:
        """Return the sellers of touched items, in order, and the value of each."""
        touched = self.signals.model.items.seller[self.touched.items]
        factors = powers(9)[: len(touched)]
        touched = touched[: len(factors)]
        has_seller = touched != NO_HASH
        known, code = np.unique(touched[has_seller], return_inverse=True)
        sums = _sums(code.astype(np.int64), factors[has_seller], len(known))
        return known, sums * ONE // max(int(sums.max(initial=0)), 1)

    @cached_property
    def _lifts(self) -> Int64s:
        """Return the value of each category of the model, and 0 for none."""
        signals = self.signals
        own = shares_of_categories(signals.model, self.touched.items)
        lifts = own * 1_000 // (signals.category_shares + 20_000)
        return np.append(lifts * ONE // max(int(lifts.max(initial=0)), 1), 0)

    @cached_property
    def _by_taste(self) -> View:
        model, weights = self.signals.model, np.ones(len(self.touched.items), np.int64)
        kinds, known = self._kinds
        return self._view(
            *model.taste.spread(self.touched.items, weights),
            *model.taste_of_kinds.spread(kinds, weights[known]),
        )

    @cached_property
    def _by_following(self) -> View:
        # A thousandth is precise enough, and keeps sums small.
        model, weights = self.signals.model, self.touched.recency // 1_000
        kinds, known = self._kinds
        return self._view(
            *model.follow.spread(self.touched.items, weights),
            *model.follow_of_kinds.spread(kinds, weights[known]),
        )

    @cached_property
    def _by_sequence(self) -> View:
        model, weights = self.signals.model, powers(8)[: len(self.touched.items)] // 1_000
        newest = self.touched.items[: len(weights)]
        kinds, known = model.items.kind[newest], model.items.kind[newest] != NONE
        return self._view(
            *model.sequence.spread(newest, weights),
            *model.follow_of_kinds.spread(kinds[known], weights[known]),
        )

    @cached_property
    def _by_neighbours(self) -> View:
        model, touched, hour = self.signals.model, self.touched, self.signals.hour
        others, kinds = model.neighbours, np.unique(self._kinds[0])
        return self._view(
            *_of_neighbours(touched.items, touched.user, others.fans, model.histories, hour),
            *_of_neighbours(
                kinds, touched.user, others.fans_of_kinds, others.histories_of_kinds, hour
            ),
        )

    @cached_property
    def _words(self) -> Words | None:
        """Return the weight of each word in touched titles, of the length `UNIT`; None if none."""
        factors = powers(7)[: len(self.touched.items)]
        rows = self.signals.model.items.titles
        words = rows.combined(self.touched.items[: len(factors)], factors // 1_000)
        # Sums of squares below 2**53 are exact, and roots of floats are exactly rounded.
        weights = words.weights // max(int(np.abs(words.weights).max(initial=0)) >> 18, 1)
        length = int(np.sqrt(float((weights * weights).sum())))
        return None if length == 0 else Words(words.buckets, weights * UNIT // length)

    def _view(self, items: Int32s, by_item: Int64s, kinds: Int32s, by_kind: Int64s) -> View:
        """Return the view of the sums of open items and their kinds; both may repeat."""
        rows, open_kinds = self.signals.row_of_item[items], self.signals.open_kinds
        is_open = rows != NONE
        distinct, code = np.unique(rows[is_open], return_inverse=True)
        return View.of(
            distinct.astype(np.int64),
            _sums(code, by_item[is_open], len(distinct)),
            _sums(kinds, by_kind, len(open_kinds)) * open_kinds,
            size=len(self.signals),
        )

    @cached_property
    def _kinds(self) -> tuple[Int32s, Bools]:
        """Return the kinds of touched items, and which of the items have one."""
        kinds = self.signals.model.items.kind[self.touched.items]
        known = kinds != NONE
        return kinds[known], known


def _of_neighbours(
    items: Int32s, user: int, fans: Fans, histories: Histories, hour: int
) -> tuple[Int32s, Int64s]:
    """Return what the users with the largest cosine touched, each touch `2^(−age / 30 days)`."""
    starts = fans.offsets[items]
    places = ragged_ranges(starts, fans.offsets[items + 1] - starts)
    near, shared = _counted(fans.users[places], len(fans.sizes))
    shared[near == user] = 0
    # Roots and quotients of floats are exactly rounded, so equal on every machine.
    exact = ONE * shared / np.sqrt(fans.sizes[near] * np.float64(max(len(items), 1)))
    cosines: Int64s = np.minimum(exact.astype(np.int64), ONE)
    best = largest(cosines, near, _NEIGHBOURS)
    near, cosines = near[best], cosines[best]
    starts = histories.offsets[near]
    lengths = histories.offsets[near + 1] - starts
    places = ragged_ranges(starts, lengths)
    ages = (hour - histories.last_at[places].astype(np.int64)) * HOUR
    weights: Int64s = np.repeat(cosines, lengths) * decayed(RECENCY, ages) // ONE
    return histories.items[places], weights


def _counted(codes: Int32s, size: int) -> tuple[Int64s, Int64s]:
    """Return the distinct ones among *codes* below *size*, and how often each occurs."""
    if len(codes) > size // 8:
        counts = np.bincount(codes, minlength=size)
        found = np.flatnonzero(counts)
        return found, counts[found]
    ordered = np.sort(codes)
    starts = starts_of_runs(ordered)
    return ordered[starts].astype(np.int64), np.diff(starts, append=len(ordered))


def _sums(places: Int32s | Int64s, values: Int64s, size: int) -> Int64s:
    # Sums of whole numbers below 2**53 are exact as floats.
    return np.bincount(places, values, minlength=size).astype(np.int64)


@lru_cache(maxsize=4)
def powers(tenths: int) -> Int64s:
    """Return the powers of *tenths* / 10 in millionths, rounded down, as long as they count."""
    powers = [ONE]
    while powers[-1] >= 1_000:
        powers.append(powers[-1] * tenths // 10)
    return frozen(np.array(powers[:-1], np.int64))
