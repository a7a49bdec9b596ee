"""Simple rankings: popular, recently popular, popular in categories, ending soonest."""

import attrs
import numpy as np

from angle_reco.domain.arrays import Int32s, Int64s
from angle_reco.domain.columns import NONE
from angle_reco.domain.moments import DAY
from angle_reco.evaluation.rankings import Past, Point

HALF_LIVES = (7.0, 1.0, 2.0, 3.0, 5.0, 10.0, 14.0, 20.0, 30.0, 60.0, 90.0)
"""The half-lives in days that `RecentPopular` chooses from; the first is that of the first cut."""


@attrs.frozen(kw_only=True)
class Popular:
    """The items with most touches: one a user, item and day. Ties by the smaller id."""

    name: str = "popular"
    grid: tuple[Point, ...] = ({},)

    def ranked(self, past: Past, users: Int32s, *, point: Point, keep: int) -> Int32s:
        """Return the most touched rows for each of *users*."""
        return _same_for_all(past, users, np.argsort(-past.popularity, kind="stable"), keep)


@attrs.frozen(kw_only=True)
class RecentPopular:
    """The items with most touches of late: each counts `2^(−age / half-life)`."""

    name: str = "recent popular"
    grid: tuple[Point, ...] = tuple({"half_life": days} for days in HALF_LIVES)

    def ranked(self, past: Past, users: Int32s, *, point: Point, keep: int) -> Int32s:
        """Return the rows with most heat for each of *users*."""
        touches = past.daily_touches
        weights = np.exp2(-(past.now - touches.moments) / (point["half_life"] * DAY))
        heat = np.bincount(touches.items, weights, minlength=len(past.item_ids))[past.open_items]
        return _same_for_all(past, users, np.argsort(-heat, kind="stable"), keep)


@attrs.frozen(kw_only=True)
class EndingSoonest:
    """The items that end first; of those without an end, the newest listing first."""

    name: str = "ending soonest"
    grid: tuple[Point, ...] = ({},)

    def ranked(self, past: Past, users: Int32s, *, point: Point, keep: int) -> Int32s:
        """Return the rows that end first for each of *users*."""
        catalogue = past.catalogue
        # Unknown moments are the least 64-bit integer: ~ reverses the order without overflow.
        order = np.lexsort((np.arange(len(catalogue)), ~catalogue.listed_at, catalogue.ends_at))
        return _same_for_all(past, users, order, keep)


@attrs.frozen(kw_only=True)
class PopularInCategories:
    """Items of the categories that the user touched, then the others; both popular first.

    The category with more of the user's items comes first, the smaller id if equal.
    """

    name: str = "popular in categories"
    grid: tuple[Point, ...] = ({},)

    def ranked(self, past: Past, users: Int32s, *, point: Point, keep: int) -> Int32s:
        """Return the rows of each user's categories, and popular ones behind them."""
        order = np.argsort(-past.popularity, kind="stable")
        category = past.category[past.open_items][order]
        by_category = {one: order[category == one] for one in np.unique(category).tolist()}
        touching, touched = past.touched_pairs
        starts, ends = (np.searchsorted(touching, users, side=side) for side in ("left", "right"))
        ranked = np.full((len(users), keep), NONE, np.int32)
        places, rows = past.left_out(users)
        bounds = np.searchsorted(places, np.arange(len(users) + 1))
        for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
            own, counts = np.unique(past.category[touched[start:end]], return_counts=True)
            liked = own[np.argsort(-counts, kind="stable")].tolist()
            left_out = rows[bounds[place] : bounds[place + 1]]
            # Among that many rows of a category there are enough that are not left out.
            most = keep + len(left_out)
            own_rows = [by_category.get(one, order[:0])[:most] for one in liked if one != NONE]
            found = np.concatenate([*own_rows, order[: most + sum(map(len, own_rows))]])
            # An item of a category is among the popular ones again, further behind.
            _, first = np.unique(found, return_index=True)
            found = found[np.sort(first)]
            found = found[~np.isin(found, left_out)][:keep]
            ranked[place, : len(found)] = found
        return ranked


BASELINES = (Popular(), RecentPopular(), PopularInCategories(), EndingSoonest())


def _same_for_all(past: Past, users: Int32s, order: Int64s, keep: int) -> Int32s:
    """Return the first *keep* rows of *order* for each user, without those left out."""
    ranked = np.full((len(users), keep), NONE, np.int32)
    is_left_out = np.zeros(len(order), np.bool_)
    places, rows = past.left_out(users)
    ends = np.searchsorted(places, np.arange(len(users) + 1))
    for place in range(len(users)):
        left_out = rows[ends[place] : ends[place + 1]]
        is_left_out[left_out] = True
        # Among that many rows there are enough that are not left out.
        first = order[: keep + len(left_out)]
        first = first[~is_left_out[first]][:keep]
        ranked[place, : len(first)] = first
        is_left_out[left_out] = False
    return ranked
