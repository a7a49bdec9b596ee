"""The arguments of the loop for homepages of favourite categories: columns and memory."""

from typing import NamedTuple, Self

import numpy as np

from angle_reco.domain.arrays import Int8s, Int32s, Int64s


class Items(NamedTuple):
    """The open items by row, and the *rows* of each category, the best first (`CategoryOrders`).

    *parts* are the contributions that depend on the item alone, zero for others. *reasons* are
    those without and with an interest that makes the category a favourite.
    """

    rows: Int64s
    starts: Int64s
    worth: Int64s
    category: Int32s
    tie_rank: Int64s
    popular: Int64s
    parts: Int32s
    reasons: Int8s


class People(NamedTuple):
    """The interests of users, each user's strongest first, and rows that they must not see."""

    offsets: Int64s
    categories: Int32s
    scores: Int64s
    excluded_offsets: Int64s
    excluded: Int32s


class Rule(NamedTuple):
    """How pages are filled; *of_interest* are weights, zero for other components."""

    of_interest: Int64s
    favourites: int
    per_category: int
    favourite_above: int


class Space(NamedTuple):
    """Memory for one thread, by row, by category, and by favourite category of a user.

    *taken* is the place of the last user who has or must not see a row, plus one.
    """

    taken: Int32s
    interest: Int64s
    next: Int64s
    end: Int64s
    left: Int64s
    group_interest: Int64s
    bonus: Int64s

    @classmethod
    def of(cls, items: Items, rule: Rule) -> Self:
        """Return memory for these items."""
        groups = min(rule.favourites, len(items.starts))
        return cls(
            np.zeros(len(items.category), np.int32),
            np.zeros(len(items.starts), np.int64),
            *(np.zeros(groups, np.int64) for _ in range(5)),
        )


class Found(NamedTuple):
    """The pages: lines by user, of which *lengths* are used, and *personal* are of favourites."""

    rows: Int64s
    parts: Int32s
    reasons: Int8s
    lengths: Int64s
    personal: Int64s

    @classmethod
    def of(cls, users: int, keep: int, components: int) -> Self:
        """Return empty pages."""
        return cls(
            np.zeros((users, keep), np.int64),
            np.zeros((users, keep, components), np.int32),
            np.zeros((users, keep), np.int8),
            np.zeros(users, np.int64),
            np.zeros(users, np.int64),
        )
