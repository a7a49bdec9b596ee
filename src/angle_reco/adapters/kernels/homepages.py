"""Homepages of many users at once.

Unless a component depends on the user and the item, the order of items within a category is
the same for every user: interest adds the same amount to each of them. Each category is therefore
sorted once, and a user's page is merged from the beginnings of a few of these orders. Otherwise
all items of a user's favourite categories are scored.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import attrs
import numpy as np

from angle_reco.adapters.kernels.blended_pages import Learned, rank_learned
from angle_reco.adapters.kernels.by_score import rank_by_score
from angle_reco.domain.arrays import (
    Bools,
    Int8s,
    Int32s,
    Int64s,
    is_among,
    places_in_runs,
    ragged_ranges,
    starts_of_runs,
)
from angle_reco.domain.lists import Lists
from angle_reco.domain.millionths import ONE, Millionths
from angle_reco.domain.scoring.components import (
    Component,
    DependsOn,
    check_dependence,
    contributions,
)
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.ranking import Candidates, Ranker, homepage_reasons
from angle_reco.domain.suggestions import Source

_USERS_AT_ONCE = 2_000
_PAIRS_AT_ONCE = 2_000_000
"""Of users and items, if a component depends on both."""

_BITS_OF_A_SCORE = ONE.bit_length()


def rank_homepages(market: OpenMarket, profiles: Profiles, *, ranker: Ranker, keep: int) -> Lists:
    """Return the best *keep* open items for each user of *profiles*.

    Raises:
        ComponentError: A component failed, or its values are unusable.
    """
    profiles = profiles.by_excluded_user
    learned = Learned.of(market, profiles, ranker)
    if learned is not None:
        return learned.lists(rank_learned(learned, keep))
    if ranker.candidates is not Candidates.FAVOURITES:
        return rank_by_score(market, profiles, ranker=ranker, keep=keep)
    orders = market.kept(
        ("orders", ranker.weights), lambda: CategoryOrders.of(market, profiles, ranker)
    )
    at_once = _USERS_AT_ONCE
    if ranker.those_by(DependsOn.PAIR):
        at_once = min(at_once, _PAIRS_AT_ONCE // (len(market) + 1) + 1)
    nothing = np.empty(0, np.int64)
    pages = [_Lines(nothing, nothing, nothing, nothing.astype(np.int8))]
    parts = [np.empty((0, len(ranker.weights)), np.int32)]
    reasons = [nothing.astype(np.int8)]
    for first in range(0, len(profiles), at_once):
        some = profiles.between(first, first + at_once)
        lines = _rank_chunk(market, orders, some, ranker, keep)
        parts.append(contributions(market, some, lines.user, lines.row, ranker.weights))
        is_scored = lines.score != _UNKNOWN
        scores = parts[-1][is_scored].sum(axis=1, dtype=np.int64)
        check_dependence(ranker.weights, scores, lines.score[is_scored])
        interest = some.interest_in(market.catalogue.category[lines.row], lines.user)
        reasons.append(homepage_reasons(market, lines.row, interest))
        pages.append(lines._replace(user=lines.user + first))
    lines = _Lines.joined(pages)
    return Lists(
        owners=profiles.users,
        offsets=np.searchsorted(lines.user, np.arange(len(profiles) + 1)),
        items=market.catalogue.ids_at(lines.row),
        parts=np.concatenate(parts),
        reasons=np.concatenate(reasons),
        sources=lines.source,
        recipe=ranker.recipe,
        computed_at=market.now,
    )


@attrs.frozen
class CategoryOrders:
    """The market's rows by category, best first by what each item is worth to every user.

    The rows of category k are [starts[k], starts[k + 1]). *place* is that of a row in its
    category, and *worth* the sum of its contributions that depend on the item alone.
    """

    rows: Int64s
    starts: Int64s
    place: Int64s
    worth: Int64s

    @property
    def has_rows(self) -> Bools:
        """Return which categories have items; the last element is for no category (NONE)."""
        return np.append(self.starts[1:] > self.starts[:-1], False)

    @classmethod
    def of(cls, market: OpenMarket, profiles: Profiles, ranker: Ranker) -> "CategoryOrders":
        """Return the orders of a market; *profiles* are any."""
        rows, anyone = np.arange(len(market)), np.zeros(len(market), np.int64)
        worth = _sums(market, profiles, anyone, rows, ranker.those_by(DependsOn.ITEM))
        category = market.catalogue.category
        order = np.lexsort((market.tie_rank, -worth, category))
        categories = np.arange(len(market.catalogue.categories) + 1)
        place = np.empty(len(order), np.int64)
        place[order] = places_in_runs(category[order])
        return cls(order, np.searchsorted(category[order], categories), place, worth)


class _Lines(NamedTuple):
    """Lines of pages: a user's place, a row of the market, the score, the code of the source.

    The score of a popular item is not needed for its place, and counts as -1.
    """

    user: Int64s
    row: Int64s
    score: Int64s
    source: Int8s

    @classmethod
    def joined(cls, parts: Iterable["_Lines"]) -> "_Lines":
        return cls._make(map(np.concatenate, zip(*parts, strict=True)))

    def take(self, places: Int64s) -> "_Lines":
        return _Lines._make(column[places] for column in self)


def _rank_chunk(
    market: OpenMarket, orders: CategoryOrders, profiles: Profiles, ranker: Ranker, keep: int
) -> _Lines:
    """Return the lines of each user's page, in order."""
    excluded = np.sort(
        profiles.excluded_user.astype(np.int64) * len(market) + profiles.excluded_row
    )
    excluded = excluded[starts_of_runs(excluded)]
    personal = _personal_lines(market, orders, profiles, excluded, ranker, keep)
    used = np.bincount(personal.user, minlength=len(profiles))
    popular = _popular_lines(market, profiles, excluded, personal, keep - used)
    lines = _Lines.joined([personal, popular])
    return lines.take(np.argsort(lines.user, kind="stable"))


def _personal_lines(
    market: OpenMarket,
    orders: CategoryOrders,
    profiles: Profiles,
    excluded: Int64s,
    ranker: Ranker,
    keep: int,
) -> _Lines:
    """Return each user's candidates in the order of their page, at most *keep* of them."""
    is_favourite = places_in_runs(profiles.interest_user) < ranker.favourites
    has_items = orders.has_rows[profiles.interest_category]
    groups = np.flatnonzero(is_favourite & has_items)
    owner = profiles.interest_user[groups].astype(np.int64)
    category = profiles.interest_category[groups]
    starts = orders.starts[category]
    lengths = orders.starts[category + 1] - starts
    for_pairs = ranker.those_by(DependsOn.PAIR)
    if not for_pairs:
        # At most *keep* items of a category can be on the page, besides the excluded ones.
        left_out = np.bincount(excluded // max(len(market), 1), minlength=len(profiles))
        lengths = np.minimum(lengths, keep + left_out[owner])
    user, row = np.repeat(owner, lengths), orders.rows[ragged_ranges(starts, lengths)]
    group = np.repeat(np.arange(len(groups)), lengths)
    is_allowed = np.ones(len(row), np.bool_)
    is_allowed[_places_of_excluded(market, orders, owner, category, lengths, excluded)] = False
    user, row, group = user[is_allowed], row[is_allowed], group[is_allowed]

    by_category = ranker.those_by(DependsOn.CATEGORY)
    worth_of_category = _sums(market, profiles, owner, orders.rows[starts], by_category)
    score = orders.worth[row] + worth_of_category[group]
    if for_pairs:
        score += _sums(market, profiles, user, row, for_pairs)
        order = np.argsort(_keys(market, group, score, row))
        user, row, group, score = user[order], row[order], group[order], score[order]
    is_fill = places_in_runs(group) >= ranker.per_category
    keys = np.sort(_keys(market, 2 * user + is_fill, score, row))
    rank_bits = _bits_of_a_rank(market)
    user = keys >> (1 + _BITS_OF_A_SCORE + rank_bits)
    kept = places_in_runs(user) < keep
    user, keys = user[kept], keys[kept]
    row = market.tie_order[keys & ((1 << rank_bits) - 1)]
    score = ONE - ((keys >> rank_bits) & ((1 << _BITS_OF_A_SCORE) - 1))
    return _Lines(user, row, score, np.full(len(keys), Source.PERSONAL.code, np.int8))


def _places_of_excluded(
    market: OpenMarket,
    orders: CategoryOrders,
    owner: Int64s,
    category: Int32s,
    lengths: Int64s,
    excluded: Int64s,
) -> Int64s:
    """Return the places of *excluded* pairs among the first rows of some categories.

    For each *owner* and *category*, each pair of them once, so many rows follow. There are far
    fewer excluded pairs than rows, so these are not looked up one by one.
    """
    width = len(orders.starts)
    groups = owner * width + category
    order = np.argsort(groups)
    user, row = np.divmod(excluded, max(len(market), 1))
    wanted = user * width + market.catalogue.category[row].astype(np.int64)
    found = is_among(wanted, groups[order])
    group = order[np.searchsorted(groups[order], wanted[found])]
    place = orders.place[row[found]]
    is_one = place < lengths[group]
    return (np.cumsum(lengths) - lengths)[group[is_one]] + place[is_one]


def _keys(market: OpenMarket, group: Int64s, score: Int64s, row: Int64s) -> Int64s:
    """Return numbers in the order by group, larger score and the tie order.

    To sort them takes a tenth of the time of sorting the columns.
    """
    by_score = (group << _BITS_OF_A_SCORE) | (ONE - score)
    return (by_score << _bits_of_a_rank(market)) | market.tie_rank[row]


def _bits_of_a_rank(market: OpenMarket) -> int:
    return max(len(market) - 1, 0).bit_length()


def _popular_lines(
    market: OpenMarket,
    profiles: Profiles,
    excluded: Int64s,
    personal: _Lines,
    missing: Int64s,
) -> _Lines:
    """Return popular items that fill each user's page: *missing* of them, or all there are."""
    size = len(market)
    taken = np.sort(np.append(excluded, personal.user * size + personal.row))
    # Among that many of the most popular items there are enough that are not taken yet.
    passed_over = np.bincount(taken // max(size, 1), minlength=len(profiles))
    lengths = np.where(missing > 0, np.minimum(missing + passed_over, size), 0)
    user = np.repeat(np.arange(len(profiles)), lengths)
    row = market.popular_order[ragged_ranges(np.zeros(len(profiles), np.int64), lengths)]
    free = np.flatnonzero(~is_among(user * size + row, taken))
    user, row = user[free], row[free]
    fits = np.flatnonzero(places_in_runs(user) < missing[user])
    source = np.full(len(fits), Source.POPULAR.code, np.int8)
    return _Lines(user[fits], row[fits], np.full(len(fits), _UNKNOWN), source)


def _sums(
    market: OpenMarket,
    profiles: Profiles,
    users: Int64s,
    rows: Int64s,
    weights: Sequence[tuple[Component, Millionths]],
) -> Int64s:
    """Return the sum of the contributions of some components for each pair."""
    parts = contributions(market, profiles, users, rows, weights)
    sums: Int64s = parts.sum(axis=1, dtype=np.int64)
    return sums


_UNKNOWN = -1
