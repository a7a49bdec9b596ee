"""The arguments of the loops for homepages of `blended`: columns and memory."""

from typing import NamedTuple

import numpy as np

from angle_reco.domain.arrays import Bools, Floats, Int32s, Int64s
from angle_reco.domain.millionths import ONE
from angle_reco.domain.scoring.blended.tastes import NEIGHBOURS, PERSONAL
from angle_reco.domain.scoring.blended.titles import BUCKETS

LEVEL_BITS = 10
"""Of a millionth, which do not count when a level is looked for that enough rows reach."""


class Matrix(NamedTuple):
    """The columns of `Coefficients`."""

    offsets: Int64s
    targets: Int32s
    values: Int32s


class People(NamedTuple):
    """The columns of `Fans`, and of the histories of these users."""

    fan_offsets: Int64s
    fans: Int32s
    offsets: Int64s
    items: Int32s
    last_at: Int32s


class Titles(NamedTuple):
    """The columns of `TitleRows`."""

    offsets: Int64s
    buckets: Int32s
    weights: Int32s


class Known(NamedTuple):
    """A model: its items by code, and what it learned; -1 stands for none."""

    kind: Int32s
    category: Int32s
    seller: Int64s
    log_price: Int32s
    titles: Titles
    category_shares: Int64s
    taste: Matrix
    follow: Matrix
    sequence: Matrix
    taste_of_kinds: Matrix
    follow_of_kinds: Matrix
    people: People
    people_of_kinds: People


class Shown(NamedTuple):
    """The open items by row, as `Signals` has them.

    *shared* is the part of a score that is the same for every user. *own* and *of_kind* are the
    shares of a view that come from the item and from its kind. A *kind* and a *category* are
    places in tables, of which the last is for none, and a *price* is one in *log_prices*.
    *open_kinds* has each kind of the model that is open, -1 for any other. *seller_rows* are
    ordered by *sellers*.
    """

    row_of_item: Int32s
    open_kinds: Int32s
    shared: Floats
    support: Int64s
    own: Floats
    of_kind: Floats
    kind: Int32s
    category: Int32s
    price: Int32s
    log_prices: Int32s
    seller_rows: Int64s
    sellers: Int64s
    titles: Titles
    tie_rank: Int64s
    tie_order: Int64s
    hour: int


class Rule(NamedTuple):
    """The weights of `PERSONAL`, and the curves of their values.

    *steps* are the weights of the newest items in a sequence; there are none if it has no weight.
    """

    weights: Int64s
    views: Int64s
    bell: Int64s
    recency: Int64s
    steps: Int64s
    words: Int64s
    sellers: Int64s
    no_seller: int


class Users(NamedTuple):
    """What users touched, by which code a model knows them, and rows that they must not see."""

    offsets: Int64s
    items: Int32s
    last_at: Int32s
    known_as: Int32s
    excluded_offsets: Int64s
    excluded: Int32s


class Found(NamedTuple):
    """The result: a row for each user, of which *lengths* lines are used."""

    rows: Int64s
    parts: Int32s
    lengths: Int64s

    @classmethod
    def of(cls, users: int, keep: int) -> "Found":
        """Return room for the pages of so many users."""
        return cls(
            rows=np.empty((users, keep), np.int64),
            parts=np.empty((users, keep, len(PERSONAL)), np.int32),
            lengths=np.zeros(users, np.int64),
        )


class Sums(NamedTuple):
    """Sums by place. Those at *places* have one, so many as *length* says; all others are 0."""

    values: Int64s
    is_used: Bools
    places: Int32s
    length: Int64s

    @classmethod
    def of(cls, size: int) -> "Sums":
        """Return room for sums at so many places."""
        return cls(
            values=np.zeros(size, np.int64),
            is_used=np.zeros(size, np.bool_),
            places=np.empty(size, np.int32),
            length=np.zeros(1, np.int64),
        )


class Space(NamedTuple):
    """The memory that one thread needs; all sums are 0 between users.

    Those of *views* by row, and of the views *of_kinds* by kind, become values, and *by_kind* is
    the weighted sum of the latter. *categories*, *by_price* and *of_sellers*, by row, become
    contributions.
    """

    recency: Int64s
    touched_kinds: Sums
    recency_of_kinds: Int64s
    views: tuple[Sums, Sums, Sums, Sums]
    of_kinds: tuple[Sums, Sums, Sums, Sums]
    by_kind: Floats
    shared: Sums
    nearest: Int64s
    categories: Sums
    by_price: Int32s
    words: Sums
    of_sellers: Sums
    estimates: Floats
    candidates: Int32s
    better: Floats
    levels: Int64s
    parts: Int32s
    best: Int64s

    @classmethod
    def of(cls, shown: Shown, known: Known, most_touched: int, keep: int) -> "Space":
        """Return space for users who touched so many items at most, and pages of *keep* lines."""
        size, kinds = len(shown.kind), len(shown.open_kinds)
        return cls(
            recency=np.empty(most_touched, np.int64),
            touched_kinds=Sums.of(kinds),
            recency_of_kinds=np.zeros(kinds, np.int64),
            views=(Sums.of(size), Sums.of(size), Sums.of(size), Sums.of(size)),
            of_kinds=(
                Sums.of(kinds + 1),
                Sums.of(kinds + 1),
                Sums.of(kinds + 1),
                Sums.of(kinds + 1),
            ),
            by_kind=np.empty(kinds + 1, np.float32),
            shared=Sums.of(len(known.people.offsets) - 1),
            nearest=np.empty(NEIGHBOURS, np.int64),
            categories=Sums.of(len(known.category_shares) + 1),
            by_price=np.empty(len(shown.log_prices), np.int32),
            words=Sums.of(BUCKETS),
            of_sellers=Sums.of(size),
            estimates=np.empty(size, np.float32),
            candidates=np.empty(size, np.int32),
            better=np.empty(size, np.float32),
            levels=np.empty((ONE >> LEVEL_BITS) + 1, np.int64),
            parts=np.empty((size, len(PERSONAL)), np.int32),
            best=np.empty(keep, np.int64),
        )
