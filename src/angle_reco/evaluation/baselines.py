"""Rankings without a taste: popular, recently popular, ending soonest."""

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
        touches = past.daily_touches
        counts = np.bincount(touches.items, minlength=len(past.item_ids))[past.open_items]
        return _same_for_all(past, users, np.argsort(-counts, kind="stable"), keep)


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


BASELINES = (Popular(), RecentPopular(), EndingSoonest())


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
