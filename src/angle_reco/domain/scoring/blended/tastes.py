"""What a model says of the open items to one user: the personal components of `blended`.

All values are millionths. The sources of the forms are in docs/scoring.md.
"""

from collections.abc import Iterator, Mapping
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
from angle_reco.domain.millionths import ONE, Millionths, weighted
from angle_reco.domain.moments import HOUR
from angle_reco.domain.scoring.blended.curves import LOG2_STEPS, at_share, bell_curve, log_curve
from angle_reco.domain.scoring.blended.hashes import NO_HASH
from angle_reco.domain.scoring.blended.model import Fans, Histories
from angle_reco.domain.scoring.blended.signals import Signals, shares_of_categories
from angle_reco.domain.scoring.blended.titles import UNIT, Words
from angle_reco.domain.scoring.decay import HalfLife, decayed

PERSONAL = ("taste", "follow", "sequence", "alike", "category", "title", "price", "seller")
"""The components that depend on the user."""

RECENCY = HalfLife(span=timedelta(days=30))
"""How a touch counts less with its age."""

NEIGHBOURS = 100
PER_UNIT = 20
"""Of the logarithmic share of a personal view."""

WIDER = 7 * LOG2_STEPS // 10
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

    The largest sums are those of open items. *by_row* has the shares of *rows*, which ascend; all
    other rows have none.
    """

    rows: Int64s
    by_row: Int64s
    by_kind: Int64s

    @classmethod
    def of(cls, rows: Int64s, by_row: Int64s, by_kind: Int64s) -> Self:
        """Return the view of these sums: of some ascending rows, and of every kind."""
        curve = log_curve(PER_UNIT)
        shares = at_share(curve, by_row, int(by_row.max(initial=0)))
        kinds = at_share(curve, by_kind, int(by_kind.max(initial=0)))
        # The last one is for items without a kind, whose code is -1.
        return cls(rows=rows, by_row=shares, by_kind=np.append(kinds, 0))

    def at(self, rows: Int64s, signals: Signals) -> Int64s:
        """Return the values of items: of their kinds the more the fewer users touched them."""
        support, kinds = signals.support[rows], self.by_kind[signals.kind[rows]]
        own = _values_at(rows, self.rows, self.by_row)
        mixed: Int64s = (support * own + (ONE - support) * kinds) // ONE
        return mixed


@attrs.frozen(kw_only=True)
class Tastes:
    """What a model says of open items to the user who touched these items.

    Each component has its values at some rows.
    """

    signals: Signals
    touched: Touched

    def taste(self, rows: Int64s) -> Int64s:
        """Return what touched items say of others (`Model.taste`)."""
        return self._by_taste.at(rows, self.signals)

    def follow(self, rows: Int64s) -> Int64s:
        """Return what comes after such touches (`Model.follow`)."""
        return self._by_following.at(rows, self.signals)

    def sequence(self, rows: Int64s) -> Int64s:
        """Return what is touched soon after the newest touches, each `.8^rank`."""
        return self._by_sequence.at(rows, self.signals)

    def alike(self, rows: Int64s) -> Int64s:
        """Return what the most similar users touched lately."""
        return self._by_neighbours.at(rows, self.signals)

    def category(self, rows: Int64s) -> Int64s:
        """Return the user's share of the category over everybody's, over the largest of these."""
        return self._lifts[self.signals.category[rows]]

    def title(self, rows: Int64s) -> Int64s:
        """Return the cosine with the titles of what the user touched, each `.7^rank`."""
        words = self._words
        if words is None:
            return np.zeros(len(rows), np.int64)
        return np.minimum(self.signals.titles.products(words, rows) * ONE // UNIT**2, ONE)

    def price(self, rows: Int64s) -> Int64s:
        """Return the bell curve of the logarithm of the price about those of the user."""
        return self._at_prices(self.signals.log_price[rows])

    def seller(self, rows: Int64s) -> Int64s:
        """Return the user's touches of the seller, each `.9^rank`, over those of any seller."""
        return _values_at(self.signals.seller[rows], *self._shares_of_sellers)

    def estimate(self, weights: Mapping[str, Millionths]) -> Floats:
        """Return the sum of all contributions but that of `title` for every row, almost.

        *weights* are those of `PERSONAL`. Rounding apart, it is off by less than two millionths.
        """
        signals, shares = self.signals, {name: of / ONE for name, of in weights.items()}
        own, of_kinds = signals.factors
        views = [(view, shares[name]) for name, view in self._views(weights)]
        kinds = np.zeros(len(signals.open_kinds) + 1)
        for view, share in views:
            kinds += view.by_kind * share
        found: Floats = kinds.astype(np.float32)[signals.kind]
        found *= of_kinds
        for view, share in views:
            found[view.rows] += own[view.rows] * (view.by_row * share)
        found += (self._lifts * shares["category"]).astype(np.float32)[signals.category]
        prices, places = signals.distinct_prices
        found += (self._at_prices(prices) * shares["price"]).astype(np.float32)[places]
        sellers, values = self._shares_of_sellers
        rows, starts, lengths = signals.rows_of_sellers(sellers)
        of_rows = np.repeat(values * shares["seller"], lengths)
        found[rows[ragged_ranges(starts, lengths)]] += of_rows.astype(np.float32)
        return found

    def _views(self, weights: Mapping[str, Millionths]) -> Iterator[tuple[str, View]]:
        """Yield the views with a weight; no other is computed."""
        if weights["taste"]:
            yield "taste", self._by_taste
        if weights["follow"]:
            yield "follow", self._by_following
        if weights["sequence"]:
            yield "sequence", self._by_sequence
        if weights["alike"]:
            yield "alike", self._by_neighbours

    def contributions(self, rows: Int64s, weights: Mapping[str, Millionths]) -> Int32s:
        """Return the contributions of `PERSONAL` to the scores of rows, a column for each."""
        rules = (
            self.taste,
            self.follow,
            self.sequence,
            self.alike,
            self.category,
            self.title,
            self.price,
            self.seller,
        )
        found = np.zeros((len(rows), len(PERSONAL)), np.int32)
        for column, (name, rule) in enumerate(zip(PERSONAL, rules, strict=True)):
            if weights[name]:
                found[:, column] = weighted(rule(rows), weights[name])
        return found

    def _at_prices(self, log_prices: Int32s) -> Int64s:
        if self._usual_price is None:
            return np.zeros(len(log_prices), np.int64)
        mean, deviation = self._usual_price
        squares = (log_prices.astype(np.int64) - mean) ** 2 * 1_024 // deviation**2
        curve = bell_curve()
        found = curve[np.minimum(squares, len(curve) - 1)]
        return np.where(log_prices != NONE, found, 0)

    @cached_property
    def _usual_price(self) -> tuple[int, int] | None:
        """Return the mean logarithm of touched prices, and the deviation; None without prices."""
        touched = self.touched
        prices = self.signals.model.items.log_price[touched.items].astype(np.int64)
        known = prices != NONE
        prices, weights = prices[known], touched.recency[known] // 1_000
        total = int(weights.sum())
        if total == 0:
            return None
        mean = int((weights * prices).sum()) // total
        variance = int((weights * (prices - mean) ** 2).sum()) // total
        return mean, int(np.sqrt(float(variance))) + WIDER

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
        kinds, of_kinds = self._kinds(weights)
        return self._view(
            *model.taste.spread(self.touched.items, weights),
            *model.taste_of_kinds.spread(kinds, of_kinds),
        )

    @cached_property
    def _by_following(self) -> View:
        # A thousandth is precise enough, and keeps sums small.
        model, weights = self.signals.model, self.touched.recency // 1_000
        kinds, of_kinds = self._kinds(weights)
        return self._view(
            *model.follow.spread(self.touched.items, weights),
            *model.follow_of_kinds.spread(kinds, of_kinds),
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
        others, kinds = model.neighbours, self._distinct_kinds[0]
        return self._view(
            *_of_neighbours(touched.items, touched.user, others.fans, model.histories, hour),
            *_of_neighbours(
                kinds, touched.user, others.fans_of_kinds, others.histories_of_kinds, hour
            ),
        )

    @cached_property
    def _words(self) -> Int64s | None:
        """Return the weight of each word in touched titles, of the length `UNIT`; None for none."""
        factors = powers(7)[: len(self.touched.items)]
        rows = self.signals.model.items.titles
        words = rows.combined(self.touched.items[: len(factors)], factors // 1_000)
        # Sums of squares below 2**53 are exact, and roots of floats are exactly rounded.
        weights = words.weights // max(int(np.abs(words.weights).max(initial=0)) >> 18, 1)
        length = int(np.sqrt(float((weights * weights).sum())))
        if length == 0:
            return None
        return Words(words.buckets, weights * UNIT // length).by_bucket

    def _view(self, items: Int32s, by_item: Int64s, kinds: Int32s, by_kind: Int64s) -> View:
        """Return the view of the sums of open items and their kinds; both may repeat."""
        rows, open_kinds = self.signals.row_of_item[items], self.signals.open_kinds
        is_open = rows != NONE
        distinct, code = np.unique(rows[is_open], return_inverse=True)
        return View.of(
            distinct.astype(np.int64),
            _sums(code, by_item[is_open], len(distinct)),
            _sums(kinds, by_kind, len(open_kinds)) * open_kinds,
        )

    def _kinds(self, weights: Int64s) -> tuple[Int32s, Int64s]:
        """Return the kinds of touched items, and the sum of the weights of each."""
        kinds, places, known = self._distinct_kinds
        return kinds, _sums(places, weights[known], len(kinds))

    @cached_property
    def _distinct_kinds(self) -> tuple[Int32s, Int64s, Bools]:
        """Return the kinds of touched items, the place of each item's, and which have one."""
        kinds = self.signals.model.items.kind[self.touched.items]
        known = kinds != NONE
        return *np.unique(kinds[known], return_inverse=True), known


def _of_neighbours(
    items: Int32s, user: int, fans: Fans, histories: Histories, hour: int
) -> tuple[Int32s, Int64s]:
    """Return what the users with the largest cosine touched, each touch `2^(−age / 30 days)`."""
    starts = fans.offsets[items]
    places = ragged_ranges(starts, fans.offsets[items + 1] - starts)
    near, cosines = _nearest(fans.users[places], user, fans.sizes, len(items))
    starts = histories.offsets[near]
    lengths = histories.offsets[near + 1] - starts
    places = ragged_ranges(starts, lengths)
    ages = (hour - histories.last_at[places].astype(np.int64)) * HOUR
    weights: Int64s = np.repeat(cosines, lengths) * decayed(RECENCY, ages) // ONE
    return histories.items[places], weights


def _nearest(fans: Int32s, user: int, sizes: Int64s, touched: int) -> tuple[Int64s, Int64s]:
    """Return the users with the largest cosines, and these.

    A user is among *fans* once for each item of so many *touched* ones.
    """
    if len(fans) <= len(sizes) // 8:
        ordered = np.sort(fans)
        starts = starts_of_runs(ordered)
        near, shared = ordered[starts].astype(np.int64), np.diff(starts, append=len(ordered))
        return _largest_cosines(near, shared, user, sizes, touched)
    counts = np.bincount(fans, minlength=len(sizes))
    for least in (touched // 2 + 1, touched // 4 + 1, 1):
        near = np.flatnonzero(counts >= least)
        found = _largest_cosines(near, counts[near], user, sizes, touched)
        # Users who share fewer items have touched these at least, and so a smaller cosine.
        if len(found[1]) == NEIGHBOURS and (
            (int(found[1][-1]) - 1) ** 2 * touched > (least - 1) * ONE**2
        ):
            break
    return found


def _largest_cosines(
    near: Int64s, shared: Int64s, user: int, sizes: Int64s, touched: int
) -> tuple[Int64s, Int64s]:
    shared[near == user] = 0
    # Roots and quotients of floats are exactly rounded, so equal on every machine.
    exact = ONE * shared / np.sqrt(sizes[near] * np.float64(max(touched, 1)))
    cosines: Int64s = np.minimum(exact.astype(np.int64), ONE)
    best = largest(cosines, near, NEIGHBOURS)
    return near[best], cosines[best]


def _values_at(wanted: Int64s, known: Int64s, values: Int64s) -> Int64s:
    """Return the value of each of *wanted* that is *known*, 0 for the others."""
    if len(known) == 0:
        return np.zeros(len(wanted), np.int64)
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[places] == wanted, values[places], 0)


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
