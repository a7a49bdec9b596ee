"""Lists of the most popular items, over all items and by category."""

import numpy as np

from angle_reco.domain.arrays import Int64s, places_in_runs, starts_of_runs
from angle_reco.domain.columns import NONE, IdColumn
from angle_reco.domain.ids import CategoryId, IdKind
from angle_reco.domain.lists import EVERYTHING, Lists
from angle_reco.domain.millionths import ONE
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.stored_list import Recipe
from angle_reco.domain.suggestions import Reason, Source

POPULAR_KEPT = 50
"""How many popular items are stored for each category, and over all."""

POPULAR_RECIPE = Recipe(name="popularity", weights=(("popularity", ONE),), kept=POPULAR_KEPT)


def popular_owner(category: CategoryId | None) -> str:
    """Return the owner of a list of popular items: its category, or `EVERYTHING`."""
    return EVERYTHING if category is None else str(category)


def rank_popular(market: OpenMarket, *, keep: int, category: CategoryId | None = None) -> Lists:
    """Return one list: the *keep* most popular items, of all or of one *category*."""
    rows = market.popular_order
    if category is not None:
        code, codes = market.catalogue.categories.code(category), market.catalogue.category[rows]
        rows = rows[(codes == code) & (codes != NONE)]
    rows = rows[:keep]
    owners, offsets = [popular_owner(category)], np.array([0, len(rows)])
    return _lists(market, owners, offsets, rows, is_category=category is not None)


def rank_popular_by_category(market: OpenMarket, *, keep: int) -> Lists:
    """Return a list for each category with open items, in the order of their codes."""
    category = market.catalogue.category[market.popular_order]
    order = np.argsort(category, kind="stable")
    order = order[category[order] != NONE]
    order = order[places_in_runs(category[order]) < keep]
    starts = starts_of_runs(category[order])
    filled = market.catalogue.categories.ids.take(category[order][starts])
    return _lists(
        market,
        [popular_owner(CategoryId(one)) for one in filled],
        np.append(starts, len(order)),
        market.popular_order[order],
        is_category=True,
    )


def _lists(
    market: OpenMarket, owners: list[str], offsets: Int64s, rows: Int64s, *, is_category: bool
) -> Lists:
    reason = Reason.POPULAR_IN_CATEGORY if is_category else Reason.POPULAR
    source = Source.CATEGORY if is_category else Source.POPULAR
    return Lists(
        owners=IdColumn.of(IdKind.TEXT, owners),
        offsets=offsets,
        items=market.catalogue.ids_at(rows),
        parts=market.popularity[rows].astype(np.int32)[:, None],
        reasons=np.full(len(rows), reason.code, np.int8),
        sources=np.full(len(rows), source.code, np.int8),
        recipe=POPULAR_RECIPE,
        computed_at=market.now,
    )
