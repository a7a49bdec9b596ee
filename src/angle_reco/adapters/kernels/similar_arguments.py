"""The arguments of the loops for similar items: columns and memory."""

from typing import NamedTuple

import numpy as np

from angle_reco.domain.arrays import Int8s, Int32s, Int64s

BOTH, CATEGORY, PRICE, NEITHER = range(4)
"""What two items have in common, besides users."""


class PriceIndex(NamedTuple):
    """Candidates by price: sorted prices, range minima of what is there, and where it is."""

    prices: Int64s
    levels: Int32s
    positions: Int64s


class Items(NamedTuple):
    """The columns of `Candidates`, with their indexes by price within and across categories."""

    category: Int32s
    prices: Int64s
    places: Int64s
    in_tie_order: Int64s
    starts: Int64s
    of_category: PriceIndex
    of_all: PriceIndex


class Fans(NamedTuple):
    """Who engaged with what, by item and by user.

    User u has *members* [starts[u], ends[u]), as codes in order, so by category. Code c has the
    *users* [offsets[c], offsets[c + 1]), and beside each of them where its members of the same
    category start and end: what is read for an item is together.
    """

    starts: Int64s
    ends: Int64s
    members: Int32s
    offsets: Int64s
    users: Int32s
    group_starts: Int32s
    group_ends: Int32s


class Weights(NamedTuple):
    """The rule: the score of each thing in common, and of each number of shared users.

    *kinds* are the things in common of candidates without shared users, best first, and *reasons*
    the codes of category, price and users. The bits are those of a place and of a number of users
    in a key.
    """

    alike: Int64s
    kinds: Int64s
    shared: Int64s
    reasons: Int8s
    threshold: int
    scanned: int
    place_bits: int
    user_bits: int


class Space(NamedTuple):
    """The memory that one thread needs; *counts* are 0 between items."""

    counts: Int32s
    touched: Int32s
    first: Int64s
    sizes: Int64s
    found: Int64s
    pieces: Int64s
    best: Int64s

    @classmethod
    def of(cls, size: int, keep: int) -> "Space":
        """Return space for so many candidates, of which so many are kept."""
        return cls(
            counts=np.zeros(size, np.int32),
            touched=np.empty(size, np.int32),
            first=np.empty((3, keep + 1), np.int64),
            sizes=np.zeros(3, np.int64),
            found=np.empty(keep + 1, np.int64),
            pieces=np.empty((3, keep + 2), np.int64),
            best=np.empty(keep, np.int64),
        )


class Found(NamedTuple):
    """The result: a row for each item, of which *lengths* lines are used."""

    codes: Int64s
    parts: Int32s
    scores: Int32s
    reasons: Int8s
    lengths: Int64s

    @classmethod
    def of(cls, size: int, keep: int) -> "Found":
        """Return room for the lists of so many items."""
        return cls(
            codes=np.empty((size, keep), np.int64),
            parts=np.empty((size, keep, 3), np.int32),
            scores=np.empty((size, keep), np.int32),
            reasons=np.empty((size, keep), np.int8),
            lengths=np.zeros(size, np.int64),
        )
