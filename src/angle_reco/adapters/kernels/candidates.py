"""The open items as candidates of similarity, and the best of them without shared users.

Without shared users a score depends on category and price alone, and equal scores are ordered
by the tie order. So the best such candidates are among the first ones of the item's category,
the first ones of its category near its price, and the first ones near its price.
"""

from functools import cached_property

import attrs
import numpy as np

from angle_reco.adapters.kernels.ranges import RangeMinima
from angle_reco.domain.arrays import (
    Bools,
    Int32s,
    Int64s,
    places_in_runs,
    ragged_ranges,
    starts_of_runs,
)
from angle_reco.domain.columns import NONE
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.similarity import Originals, SimilarityRule, prices_near

SCANNED = (4, 16)
"""How many times as many candidates as needed are scanned, before the index is searched."""


@attrs.frozen(kw_only=True)
class Candidates:
    """The open items by category, then in the tie order; a code is a place among them.

    Category k has the codes [starts[k], starts[k + 1]). *places* are the places of codes in the
    tie order of all items, and *in_tie_order* has the codes in that order.
    """

    rows: Int64s
    code_of_row: Int64s
    category: Int32s
    prices: Int64s
    places: Int64s
    in_tie_order: Int64s
    starts: Int64s

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, market: OpenMarket) -> "Candidates":
        """Return the open items of a market."""
        category = market.catalogue.category[market.tie_order]
        places = np.argsort(category, kind="stable")
        rows = market.tie_order[places]
        code_of_row, in_tie_order = np.empty_like(places), np.empty_like(places)
        code_of_row[rows] = in_tie_order[places] = np.arange(len(rows))
        return cls(
            rows=rows,
            code_of_row=code_of_row,
            category=category[places],
            prices=market.catalogue.prices[rows],
            places=places,
            in_tie_order=in_tie_order,
            starts=np.searchsorted(
                category[places], np.arange(len(market.catalogue.categories) + 1)
            ),
        )

    @cached_property
    def by_price(self) -> "ByPrice":
        """Return the places in the tie order, to find the first ones near a price."""
        return ByPrice.of(np.zeros(len(self), np.int64), self.prices[self.in_tie_order])

    @cached_property
    def by_category_and_price(self) -> "ByPrice":
        """Return the codes, to find the first ones of a category near a price."""
        return ByPrice.of(self.category.astype(np.int64), self.prices)

    def alike(self, originals: Originals, line: Int64s, code: Int64s) -> tuple[Bools, Bools]:
        """Return for pairs whether the categories are equal, and whether the prices are near."""
        category = originals.category[line]
        return (
            (category == self.category[code]) & (category != NONE),
            prices_near(originals.prices[line], self.prices[code]),
        )

    def first_alike(
        self, originals: Originals, rule: SimilarityRule, count: int
    ) -> tuple[Int64s, Int64s]:
        """Return pairs that include the *count* best ones without shared users, by line and code.

        Pairs are distinct, and ordered.
        """
        lines, codes = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        in_category = np.flatnonzero(originals.category != NONE)
        category = originals.category[in_category]
        starts, ends = self.starts[category], self.starts[category + 1]
        if rule.category > rule.threshold:
            lengths = np.minimum(ends - starts, count)
            lines.append(np.repeat(in_category, lengths))
            codes.append(ragged_ranges(starts, lengths))
        if rule.category + rule.price > rule.threshold:
            prices = originals.prices[in_category]
            line, code, rest = _scanned(self.prices, prices, starts, ends, count)
            lines.append(in_category[line])
            codes.append(code)
            if len(rest):
                found = self.by_category_and_price.near(
                    category[rest].astype(np.int64), prices[rest], count
                )
                line, column = np.nonzero(found >= 0)
                lines.append(in_category[rest[line]])
                codes.append(found[line, column])
        if rule.price > rule.threshold:
            starts = np.zeros(len(originals), np.int64)
            line, place, rest = _scanned(
                self.prices[self.in_tie_order], originals.prices, starts, starts + len(self), count
            )
            lines.append(line)
            codes.append(self.in_tie_order[place])
            if len(rest):
                found = self.by_price.near(starts[rest], originals.prices[rest], count)
                line, column = np.nonzero(found >= 0)
                lines.append(rest[line])
                codes.append(self.in_tie_order[found[line, column]])
        width = max(len(self), 1)
        keys = np.sort(np.concatenate(lines) * width + np.concatenate(codes))
        return np.divmod(keys[starts_of_runs(keys)], width)


def _scanned(
    candidates: Int64s, prices: Int64s, starts: Int64s, ends: Int64s, count: int
) -> tuple[Int64s, Int64s, Int64s]:
    """Return the first *count* places near each price in ranges [start, end) of *candidates*.

    The result has lines and places, and the lines for which too few were found by scanning.
    """
    lines, places = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    left = np.flatnonzero(prices >= 0)
    for times in SCANNED:
        lengths = np.minimum(ends[left] - starts[left], times * count)
        line = np.repeat(left, lengths)
        place = ragged_ranges(starts[left], lengths)
        near = np.flatnonzero(prices_near(prices[line], candidates[place]))
        near = near[places_in_runs(line[near]) < count]
        line, place = line[near], place[near]
        found = np.bincount(line, minlength=len(prices))[left]
        is_done = np.zeros(len(prices), np.bool_)
        is_done[left] = (found == count) | (lengths == ends[left] - starts[left])
        lines.append(line[is_done[line]])
        places.append(place[is_done[line]])
        left = left[~is_done[left]]
    return np.concatenate(lines), np.concatenate(places), left


@attrs.frozen
class ByPrice:
    """Candidates by group and price, to find the first ones near a price."""

    prices: Int64s
    keys: Int64s
    minima: RangeMinima

    @classmethod
    def of(cls, group: Int64s, prices: Int64s) -> "ByPrice":
        """Return the index of candidates in groups, at prices."""
        distinct = np.unique(prices)
        keys = group * (len(distinct) + 1) + np.searchsorted(distinct, prices)
        order = np.argsort(keys, kind="stable")
        return cls(distinct, keys[order], RangeMinima.of(order))

    def ranges(self, group: Int64s, prices: Int64s) -> tuple[Int64s, Int64s]:
        """Return the ranges of `minima` that are near prices in groups, empty for unknown ones.

        Near prices reach from half the price, rounded up, to twice the price.
        """
        known = prices >= 0
        lowest = np.searchsorted(self.prices, np.where(known, (prices + 1) // 2, 0), "left")
        highest = np.searchsorted(self.prices, np.where(known, 2 * prices, -2), "right")
        groups = group * (len(self.prices) + 1)
        starts = np.searchsorted(self.keys, groups + lowest)
        ends = np.searchsorted(self.keys, groups + highest)
        return starts, np.maximum(starts, ends)

    def near(self, group: Int64s, prices: Int64s, count: int) -> Int64s:
        """Return the first *count* candidates of each group near each price, padded with −1."""
        return self.minima.smallest(*self.ranges(group, prices), count)
