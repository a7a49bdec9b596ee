"""Lists of suggestions of many owners as columns, as jobs compute them."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Self

import attrs
import numpy as np

from angle_reco.domain.arrays import (
    Int8s,
    Int32s,
    Int64s,
    check_lengths,
    frozen,
    ragged_ranges,
)
from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.ids import interned
from angle_reco.domain.stored_list import Recipe, StoredList

EVERYTHING = ""
"""The owner of the popular list over all categories."""


class ListKind(StrEnum):
    """The kind of a list: its owner is an item, a user, or a category as text."""

    SIMILAR = "similar"
    PERSONAL = "personal"
    POPULAR = "popular"


@attrs.frozen(kw_only=True)
class Recipes:
    """The recipes of the current settings: a stored result with another recipe is not used.

    *interests* have no weights by component, so their recipe is a text for all settings.
    """

    lists: Mapping[ListKind, Recipe]
    interests: str


@attrs.frozen(kw_only=True)
class Lists:
    """Lists as columns: the list of owner k is the lines [offsets[k], offsets[k + 1]).

    *parts* has a column per component of the recipe; a score is the sum of its row of parts
    unless *scores* are given. *reasons* and *sources* are codes.
    """

    owners: IdColumn
    offsets: Int64s = attrs.field(converter=frozen)
    items: IdColumn
    parts: Int32s = attrs.field(converter=frozen)
    scores: Int32s = attrs.field(converter=frozen)
    reasons: Int8s = attrs.field(converter=frozen)
    sources: Int8s = attrs.field(converter=frozen)
    recipe: Recipe
    computed_at: datetime

    @scores.default
    def _sums_of_parts(self) -> Int32s:
        scores: Int32s = self.parts.sum(axis=1, dtype=np.int32)
        return scores

    def __attrs_post_init__(self) -> None:
        check_lengths(self, owners=self.owners, offsets=self.offsets[1:])
        check_lengths(
            self,
            items=self.items,
            scores=self.scores,
            parts=self.parts,
            reasons=self.reasons,
            sources=self.sources,
        )

    def __len__(self) -> int:
        return len(self.owners)

    def last_of_each(self) -> Self:
        """Return the lists with one per owner: the last of several counts."""
        index = IdIndex.of(self.owners.kind, self.owners)
        if len(index) == len(self):
            return self
        last = np.empty(len(index), np.int64)
        last[index.codes(self.owners)] = np.arange(len(self))
        return self.take(np.sort(last))

    def take(self, places: Int64s) -> Self:
        """Return the lists at *places*, in that order."""
        lengths = np.diff(self.offsets)[places]
        lines = ragged_ranges(self.offsets[places], lengths)
        return attrs.evolve(
            self,
            owners=self.owners.take(places),
            offsets=np.concatenate([[0], np.cumsum(lengths)]),
            items=self.items.take(lines),
            scores=self.scores[lines],
            parts=self.parts[lines],
            reasons=self.reasons[lines],
            sources=self.sources[lines],
        )

    def stored(self, place: int) -> StoredList:
        """Return the list of the owner at *place* as a single value."""
        lines = slice(int(self.offsets[place]), int(self.offsets[place + 1]))
        return StoredList(
            ids=interned(self.items.take(lines)),
            scores=self.scores[lines].tobytes(),
            parts=self.parts[lines].tobytes(),
            reasons=self.reasons[lines].tobytes(),
            sources=self.sources[lines].tobytes(),
            recipe=self.recipe,
            computed_at=self.computed_at,
        )
