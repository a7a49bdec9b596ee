"""Homepages of many users at once.

Within a category the order of items is the same for every user, because interest adds the
same amount to each of them. Each category is therefore sorted once, and a user's page is
merged from the beginnings of a few of these orders.
"""

from collections.abc import Iterable
from typing import NamedTuple

import attrs
import numpy as np

from angle_reco.domain.arrays import Int8s, Int64s, is_among, places_in_runs, ragged_ranges
from angle_reco.domain.columns import NONE
from angle_reco.domain.lists import Lists
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.ranking import Profiles, Ranker, contributions, homepage_reasons
from angle_reco.domain.suggestions import Source

_USERS_AT_ONCE = 2_000


def rank_homepages(market: OpenMarket, profiles: Profiles, *, ranker: Ranker, keep: int) -> Lists:
    """Return the best *keep* open items for each user of *profiles*."""
    orders = _CategoryOrders.of(market, ranker)
    by_user = np.argsort(profiles.excluded_user, kind="stable")
    profiles = attrs.evolve(
        profiles,
        excluded_user=profiles.excluded_user[by_user],
        excluded_row=profiles.excluded_row[by_user],
    )
    nothing = np.empty(0, np.int64)
    chunks = [_Lines(nothing, nothing, nothing, nothing.astype(np.int8))]
    for first in range(0, len(profiles), _USERS_AT_ONCE):
        some = profiles.between(first, first + _USERS_AT_ONCE)
        lines = _rank_chunk(market, orders, some, ranker, keep)
        chunks.append(lines._replace(user=lines.user + first))
    lines = _Lines.joined(chunks)
    return Lists(
        owners=profiles.users,
        offsets=np.searchsorted(lines.user, np.arange(len(profiles) + 1)),
        items=market.catalogue.ids_at(lines.row),
        parts=contributions(market, lines.row, lines.interest, ranker),
        reasons=homepage_reasons(market, lines.row, lines.interest),
        sources=lines.source,
        recipe=ranker.recipe,
        computed_at=market.now,
    )


@attrs.frozen
class _CategoryOrders:
    """The market's rows by category, best first for every user.

    The rows of category k are [starts[k], starts[k + 1]).
    """

    rows: Int64s
    starts: Int64s

    @classmethod
    def of(cls, market: OpenMarket, ranker: Ranker) -> "_CategoryOrders":
        rows = np.arange(len(market))
        own_worth = contributions(market, rows, np.zeros(len(market), np.int64), ranker)
        category = market.catalogue.category
        order = np.lexsort((market.tie_rank, -own_worth.sum(axis=1), category))
        categories = np.arange(len(market.catalogue.categories) + 1)
        return cls(order, np.searchsorted(category[order], categories))


class _Lines(NamedTuple):
    """Lines of pages: a user's place, a row of the market, the interest in its category.

    *source* is a code.
    """

    user: Int64s
    row: Int64s
    interest: Int64s
    source: Int8s

    @classmethod
    def joined(cls, parts: Iterable["_Lines"]) -> "_Lines":
        return cls._make(map(np.concatenate, zip(*parts, strict=True)))

    def take(self, places: Int64s) -> "_Lines":
        return _Lines._make(column[places] for column in self)


def _rank_chunk(
    market: OpenMarket, orders: _CategoryOrders, profiles: Profiles, ranker: Ranker, keep: int
) -> _Lines:
    """Return the lines of each user's page, in order."""
    size = len(market)
    excluded = np.unique(profiles.excluded_user.astype(np.int64) * size + profiles.excluded_row)
    personal = _personal_lines(market, orders, profiles, excluded, ranker, keep)
    used = np.bincount(personal.user, minlength=len(profiles))
    popular = _popular_lines(market, profiles, excluded, personal, keep - used)
    lines = _Lines.joined([personal, popular])
    return lines.take(np.argsort(lines.user, kind="stable"))


def _personal_lines(
    market: OpenMarket,
    orders: _CategoryOrders,
    profiles: Profiles,
    excluded: Int64s,
    ranker: Ranker,
    keep: int,
) -> _Lines:
    """Return each user's candidates in the order of their page, at most *keep* of them."""
    is_favourite = places_in_runs(profiles.interest_user) < ranker.favourites
    with_items = np.flatnonzero(is_favourite & (profiles.interest_category != NONE))
    owner = profiles.interest_user[with_items].astype(np.int64)
    category = profiles.interest_category[with_items]
    # At most *keep* items of a category can be on the page, besides the excluded ones.
    left_out = np.bincount(profiles.excluded_user, minlength=len(profiles))
    starts = orders.starts[category]
    lengths = np.minimum(orders.starts[category + 1] - starts, keep + left_out[owner])
    lines = _Lines(
        np.repeat(owner, lengths),
        orders.rows[ragged_ranges(starts, lengths)],
        np.repeat(profiles.interest_score[with_items], lengths),
        np.full(lengths.sum(), Source.PERSONAL.code, np.int8),
    )
    group = np.repeat(np.arange(len(with_items)), lengths)
    allowed = np.flatnonzero(~is_among(lines.user * len(market) + lines.row, excluded))
    lines, group = lines.take(allowed), group[allowed]

    is_fill = places_in_runs(group) >= ranker.per_category
    scores = contributions(market, lines.row, lines.interest, ranker).sum(axis=1)
    order = np.lexsort((market.tie_rank[lines.row], -scores, is_fill, lines.user))
    lines = lines.take(order)
    return lines.take(np.flatnonzero(places_in_runs(lines.user) < keep))


def _popular_lines(
    market: OpenMarket,
    profiles: Profiles,
    excluded: Int64s,
    personal: _Lines,
    missing: Int64s,
) -> _Lines:
    """Return popular items that fill each user's page: *missing* of them, or all there are."""
    size = len(market)
    taken = np.union1d(excluded, personal.user * size + personal.row)
    # Among that many of the most popular items there are enough that are not taken yet.
    passed_over = np.bincount(taken // max(size, 1), minlength=len(profiles))
    lengths = np.where(missing > 0, np.minimum(missing + passed_over, size), 0)
    user = np.repeat(np.arange(len(profiles)), lengths)
    row = market.popular_order[ragged_ranges(np.zeros(len(profiles), np.int64), lengths)]
    free = np.flatnonzero(~is_among(user * size + row, taken))
    user, row = user[free], row[free]
    fits = np.flatnonzero(places_in_runs(user) < missing[user])
    user, row = user[fits], row[fits]
    interest = _interest_in(market, profiles, user, row)
    return _Lines(user, row, interest, np.full(len(user), Source.POPULAR.code, np.int8))


def _interest_in(market: OpenMarket, profiles: Profiles, user: Int64s, row: Int64s) -> Int64s:
    """Return each user's interest in the category of each row, 0 where there is none."""
    width = len(market.catalogue.categories) + 1
    category = profiles.interest_category
    known = np.flatnonzero(category != NONE)
    keys = profiles.interest_user[known].astype(np.int64) * width + category[known]
    order = np.argsort(keys)
    keys, scores = keys[order], profiles.interest_score[known][order]
    wanted = user * width + market.catalogue.category[row]
    if len(keys) == 0:
        return np.zeros(len(wanted), np.int64)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    has_category = market.catalogue.category[row] != NONE
    return np.where(has_category & (keys[places] == wanted), scores[places], 0)
