"""Homepages of many users at once.

Within a category the order of items is the same for every user, because interest adds the
same amount to each of them. Each category is therefore sorted once, and a user's page is
merged from the beginnings of a few of these orders.
"""

import attrs
import numpy as np

from angle_reco.domain.arrays import Int64s, is_among, places_in_runs, ragged_ranges
from angle_reco.domain.columns import NONE
from angle_reco.domain.lists import Ranked
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.ranking import Profiles, Ranker, contributions, homepage_reasons
from angle_reco.domain.suggestions import Source

_USERS_AT_ONCE = 2_000


def rank_homepages(market: OpenMarket, profiles: Profiles, *, ranker: Ranker, keep: int) -> Ranked:
    """Return the best *keep* open items for each user of *profiles*."""
    shelves = _Shelves.of(market, ranker)
    by_user = np.argsort(profiles.excluded_user, kind="stable")
    profiles = attrs.evolve(
        profiles,
        excluded_user=profiles.excluded_user[by_user],
        excluded_row=profiles.excluded_row[by_user],
    )
    chunks = [
        _rank_chunk(
            market,
            shelves,
            profiles.between(first, min(first + _USERS_AT_ONCE, profiles.size)),
            ranker,
            keep,
        )
        for first in range(0, profiles.size, _USERS_AT_ONCE)
    ]
    return Ranked.joined(chunks, components=len(ranker.weights))


@attrs.frozen
class _Shelves:
    """The market's rows by category, best first for every user.

    The rows of category k are [starts[k], starts[k + 1]).
    """

    rows: Int64s
    starts: Int64s

    @classmethod
    def of(cls, market: OpenMarket, ranker: Ranker) -> "_Shelves":
        rows = np.arange(len(market))
        own_worth = contributions(market, rows, np.zeros(len(market), np.int64), ranker)
        category = market.catalogue.category
        order = np.lexsort((market.tie_rank, -own_worth.sum(axis=1), category))
        categories = np.arange(len(market.catalogue.categories) + 1)
        return cls(order, np.searchsorted(category[order], categories))


@attrs.frozen
class _Lines:
    """Lines of pages: a user's place, a row of the market, the interest in its category."""

    user: Int64s
    row: Int64s
    interest: Int64s

    def take(self, places: np.ndarray) -> "_Lines":
        return _Lines(self.user[places], self.row[places], self.interest[places])


def _rank_chunk(
    market: OpenMarket, shelves: _Shelves, profiles: Profiles, ranker: Ranker, keep: int
) -> Ranked:
    size = len(market)
    excluded = np.unique(profiles.excluded_user.astype(np.int64) * size + profiles.excluded_row)
    personal = _personal_lines(market, shelves, profiles, excluded, ranker, keep)
    used = np.bincount(personal.user, minlength=profiles.size)
    popular = _popular_lines(market, profiles, excluded, personal, keep - used)

    user = np.concatenate([personal.user, popular.user])
    order = np.argsort(user, kind="stable")
    lines = _Lines(
        user,
        np.concatenate([personal.row, popular.row]),
        np.concatenate([personal.interest, popular.interest]),
    ).take(order)
    sources = np.full(len(user), Source.POPULAR.code, np.int8)
    sources[: len(personal.user)] = Source.PERSONAL.code
    return Ranked(
        offsets=np.searchsorted(lines.user, np.arange(profiles.size + 1)),
        rows=lines.row,
        parts=contributions(market, lines.row, lines.interest, ranker),
        reasons=homepage_reasons(market, lines.row, lines.interest),
        sources=sources[order],
    )


def _personal_lines(
    market: OpenMarket,
    shelves: _Shelves,
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
    left_out = np.bincount(profiles.excluded_user, minlength=profiles.size)
    starts = shelves.starts[category]
    lengths = np.minimum(shelves.starts[category + 1] - starts, keep + left_out[owner])
    lines = _Lines(
        np.repeat(owner, lengths),
        shelves.rows[ragged_ranges(starts, lengths)],
        np.repeat(profiles.interest_score[with_items], lengths),
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
    passed_over = np.bincount(taken // max(size, 1), minlength=profiles.size)
    lengths = np.where(missing > 0, np.minimum(missing + passed_over, size), 0)
    user = np.repeat(np.arange(profiles.size), lengths)
    row = market.popular_order[ragged_ranges(np.zeros(profiles.size, np.int64), lengths)]
    free = np.flatnonzero(~is_among(user * size + row, taken))
    user, row = user[free], row[free]
    fits = np.flatnonzero(places_in_runs(user) < missing[user])
    user, row = user[fits], row[fits]
    return _Lines(user, row, _interest_in(market, profiles, user, row))


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
