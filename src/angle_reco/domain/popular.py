"""Lists of the most popular items, over all items and by category."""

import numpy as np

from angle_reco.domain.arrays import Int64s, places_in_runs
from angle_reco.domain.columns import NONE
from angle_reco.domain.lists import Ranked
from angle_reco.domain.millionths import ONE
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.stored_list import Recipe
from angle_reco.domain.suggestions import Reason, Source

POPULAR_KEPT = 50
"""How many popular items are stored for each category, and over all."""

POPULAR_RECIPE = Recipe(name="popularity", weights=(("popularity", ONE),), kept=POPULAR_KEPT)


def rank_popular(market: OpenMarket, *, keep: int, category: int = NONE) -> Ranked:
    """Return one list: the *keep* most popular items, of all or of one *category* (a code)."""
    rows = market.popular_order
    if category != NONE:
        rows = rows[market.catalogue.category[rows] == category]
    rows = rows[:keep]
    return _ranked(market, rows, np.array([0, len(rows)]), is_category=category != NONE)


def rank_popular_by_category(market: OpenMarket, *, keep: int) -> Ranked:
    """Return a list for each category of the market, in the order of their codes."""
    category = market.catalogue.category[market.popular_order]
    order = np.argsort(category, kind="stable")
    order = order[category[order] != NONE]
    order = order[places_in_runs(category[order]) < keep]
    offsets = np.searchsorted(category[order], np.arange(len(market.catalogue.categories) + 1))
    return _ranked(market, market.popular_order[order], offsets, is_category=True)


def _ranked(market: OpenMarket, rows: Int64s, offsets: Int64s, *, is_category: bool) -> Ranked:
    reason = Reason.POPULAR_IN_CATEGORY if is_category else Reason.POPULAR
    source = Source.CATEGORY if is_category else Source.POPULAR
    return Ranked(
        offsets=offsets,
        rows=rows,
        parts=market.popularity[rows].astype(np.int32)[:, None],
        reasons=np.full(len(rows), reason.code, np.int8),
        sources=np.full(len(rows), source.code, np.int8),
    )
