"""What a ranking gets to know at a cut, and what it returns."""

from collections.abc import Mapping
from functools import cached_property
from typing import Protocol, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from angle_reco.domain.arrays import (
    Int8s,
    Int32s,
    Int64s,
    check_lengths,
    frozen,
    ragged_ranges,
    starts_of_runs,
)
from angle_reco.domain.catalogue import Catalogue
from angle_reco.domain.columns import NONE, IdIndex
from angle_reco.domain.moments import DAY

Float64s: TypeAlias = npt.NDArray[np.float64]
Point: TypeAlias = Mapping[str, float]
"""The tuned numbers of a ranking by name, such as `{"half_life": 7.0}`."""


@attrs.frozen(kw_only=True)
class Touches:
    """Touches, one per row, the oldest first: a touch is a bid or a watch.

    Users and items are codes in the indexes of the evaluation; *kinds* are values of
    `Activity`, *moments* microseconds. A user may touch an item many times.
    """

    users: Int32s = attrs.field(converter=frozen)
    items: Int32s = attrs.field(converter=frozen)
    kinds: Int8s = attrs.field(converter=frozen)
    moments: Int64s = attrs.field(converter=frozen)

    def __attrs_post_init__(self) -> None:
        check_lengths(
            self, users=self.users, items=self.items, kinds=self.kinds, moments=self.moments
        )

    def __len__(self) -> int:
        return len(self.users)

    def where(self, places: npt.NDArray[np.bool_] | slice) -> "Touches":
        """Return the touches at *places*, a mask or a slice."""
        return Touches(
            users=self.users[places],
            items=self.items[places],
            kinds=self.kinds[places],
            moments=self.moments[places],
        )


@attrs.frozen(kw_only=True)
class Past:
    """All that is known at a cut; nothing in it is later than *now*, in microseconds.

    *user_ids* and *item_ids* are the indexes of the whole evaluation, so codes are the same at
    each cut. They also hold ids that occur only later: draw nothing from their number.

    *catalogue* has the open items, which alone may be ranked: a *row* is a row of it, and
    *open_items* is the item code of each row, ascending. *left_out_users* (ascending) and
    *left_out_rows* are the distinct pairs of a user and a row that the user touched or
    sells: a ranking leaves them out. *category* is the category of each item code, open or not,
    as a code without an index, NONE where there is none.
    """

    now: int
    user_ids: IdIndex
    item_ids: IdIndex
    touches: Touches
    catalogue: Catalogue
    open_items: Int32s = attrs.field(converter=frozen)
    category: Int32s = attrs.field(converter=frozen)
    left_out_users: Int32s = attrs.field(converter=frozen)
    left_out_rows: Int32s = attrs.field(converter=frozen)

    def __attrs_post_init__(self) -> None:
        check_lengths(self, catalogue=self.catalogue, open_items=self.open_items)
        check_lengths(self, item_ids=self.item_ids, category=self.category)
        check_lengths(self, users=self.left_out_users, rows=self.left_out_rows)

    @cached_property
    def daily_touches(self) -> Touches:
        """Return one touch for each user, item and day in UTC: the first of them."""
        touches = self.touches
        days = touches.moments // DAY
        # A stable order: equal keys stay in the order of time.
        order = np.lexsort((days, touches.items, touches.users))
        is_first = np.zeros(len(order), np.bool_)
        firsts = starts_of_runs(touches.users[order], touches.items[order], days[order])
        is_first[order[firsts]] = True
        return touches.where(is_first)

    @cached_property
    def popularity(self) -> Int64s:
        """Return the daily touches of each row."""
        counts = np.bincount(self.daily_touches.items, minlength=len(self.item_ids))
        return counts[self.open_items]

    @cached_property
    def touched_pairs(self) -> tuple[Int32s, Int32s]:
        """Return the distinct pairs of a user and an item that the user touched, in order."""
        return distinct_pairs(self.touches.users, self.touches.items, len(self.item_ids))

    def rows_of(self, items: Int32s) -> Int32s:
        """Return the row of each item code, NONE for an item that is not open."""
        rows = np.full(len(self.item_ids), NONE, np.int32)
        rows[self.open_items] = np.arange(len(self.open_items), dtype=np.int32)
        found: Int32s = rows[items]
        return found

    def left_out(self, users: Int32s) -> tuple[Int64s, Int32s]:
        """Return pairs of a place in *users* and a row that this user is not shown."""
        starts = np.searchsorted(self.left_out_users, users)
        ends = np.searchsorted(self.left_out_users, users, side="right")
        lengths = ends - starts
        places = np.repeat(np.arange(len(users)), lengths)
        return places, self.left_out_rows[ragged_ranges(starts, lengths)]


def distinct_pairs(users: Int32s, others: Int32s, size: int) -> tuple[Int32s, Int32s]:
    """Return the distinct pairs, ordered by both; *others* are below *size*.

    >>> [column.tolist() for column in distinct_pairs(np.array([1, 0, 1]), np.array([2, 1, 2]), 3)]
    [[0, 1], [1, 2]]
    """
    size = max(size, 1)
    # Sorting takes a third of the time of `np.unique`, which hashes.
    keys = np.sort(users.astype(np.int64) * size + others)
    keys = keys[starts_of_runs(keys)]
    return (keys // size).astype(np.int32), (keys % size).astype(np.int32)


class Ranking(Protocol):
    """Ranks the open items for users, from what is known at a cut.

    *grid* has at least one point. At each cut the point with the best NDCG@10 over the earlier
    cuts is used, at the first cut the first point: put the customary one there.
    """

    @property
    def name(self) -> str:
        """Return the name in tables."""
        ...

    @property
    def grid(self) -> tuple[Point, ...]:
        """Return the points to choose from."""
        ...

    def ranked(self, past: Past, users: Int32s, *, point: Point, keep: int) -> Int32s:
        """Return the best *keep* rows for each of *users*, which are codes.

        The result has a row per user, the best row of the market first, and NONE behind the
        last. No row comes twice, and none that is left out. The result is a function of the
        arguments: ties are broken by row, draws are seeded. It does not depend on which other
        users are in the call, which is made with all users of a cut at once: work in chunks.
        """
        ...


def best_rows(scores: Float64s, keep: int) -> Int32s:
    """Return the *keep* best rows of each line of *scores*, the smaller row first if equal.

    A score of -inf is not ranked: NONE stands behind the last. The worst is never taken for
    the best:

    >>> best_rows(np.array([[1.0, 3.0, 3.0, -np.inf]]), 4).tolist()
    [[1, 2, 0, -1]]
    """
    users, rows = scores.shape
    kept = min(keep, rows)
    ranked = np.full((users, keep), NONE, np.int32)
    if kept == 0:
        return ranked
    for user, line in enumerate(scores):
        if kept < rows:
            least = np.partition(line, rows - kept)[rows - kept]
            among = np.flatnonzero(line >= least)
        else:
            among = np.arange(rows)
        order = among[np.argsort(-line[among], kind="stable")][:kept]
        order = order[line[order] > -np.inf]
        ranked[user, : len(order)] = order
    return ranked
