"""Lists of suggestions, one for each owner: as columns when computed, as values when stored."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import cached_property
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
from angle_reco.domain.ids import ItemId
from angle_reco.domain.millionths import SCORE_TOLERANCE, Millionths
from angle_reco.domain.suggestions import REASONS, SOURCES, Reason, Source

EVERYTHING = ""
"""The owner of the popular list over all categories."""


class ListKind(StrEnum):
    """The kind of a list: its owner is an item, a user, or a category as text."""

    SIMILAR = "similar"
    PERSONAL = "personal"
    POPULAR = "popular"


@attrs.frozen(kw_only=True)
class Recipe:
    """The settings that produced a list.

    These are the name of a rule, its weights by component in order, and the largest number
    of suggestions that is stored; *rules* represents all other settings involved.
    """

    name: str
    weights: tuple[tuple[str, Millionths], ...]
    kept: int
    rules: str = ""

    @cached_property
    def components(self) -> tuple[str, ...]:
        """Return the names of the parts of a score, in order."""
        return tuple(name for name, _ in self.weights)

    def to_text(self) -> str:
        """Return the recipe as one line of JSON, for stores."""
        return json.dumps({**attrs.asdict(self), "weights": dict(self.weights)})

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the recipe that `to_text` wrote."""
        read = json.loads(text)
        return cls(**{**read, "weights": tuple(read["weights"].items())})


@attrs.frozen(kw_only=True)
class Recipes:
    """The recipes of the current settings: a stored result with another recipe is not used.

    *interests* have no weights by component, so their recipe is a text for all settings.
    """

    lists: Mapping[ListKind, Recipe]
    interests: str


@attrs.frozen(kw_only=True)
class StoredLine:
    """One suggestion of a stored list; *parts* are in the order of the recipe.

    A manual override (*by_hand*) has no parts, only a score.
    """

    item_id: ItemId
    score: Millionths
    parts: tuple[Millionths, ...]
    reason: Reason
    source: Source
    by_hand: bool = False

    def contributions(self, components: Sequence[str]) -> dict[str, Millionths]:
        """Return the summands of the score, by the names of the recipe's *components*."""
        if self.by_hand:
            return {BY_HAND: self.score}
        return dict(zip(components, self.parts, strict=True))


BY_HAND = "by_hand"
"""The only contribution of a manual override."""


@attrs.frozen(kw_only=True)
class StoredList:
    """One owner's list as last computed, best first.

    *covered_at* is the start of the last complete run over lists of this kind: a list that
    the run left unchanged is as fresh as the run. A list that an operator *edited* stays so
    until a job replaces it.
    """

    lines: tuple[StoredLine, ...]
    recipe: Recipe
    computed_at: datetime
    covered_at: datetime | None = None
    edited: bool = False

    @property
    def is_complete(self) -> bool:
        """Return whether the list holds all there was to suggest when it was computed.

        An edited list is complete: an operator decided what it holds.
        """
        return self.edited or len(self.lines) < self.recipe.kept


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
            lines=tuple(
                StoredLine(
                    item_id=ItemId(item_id),
                    score=score,
                    parts=tuple(parts),
                    reason=REASONS[reason],
                    source=SOURCES[source],
                )
                for item_id, score, parts, reason, source in zip(
                    self.items.take(lines),
                    self.scores[lines].tolist(),
                    self.parts[lines].tolist(),
                    self.reasons[lines].tolist(),
                    self.sources[lines].tolist(),
                    strict=True,
                )
            ),
            recipe=self.recipe,
            computed_at=self.computed_at,
        )


def with_similar(kept: StoredList, line: StoredLine) -> StoredList:
    """Return a list with one more line by its score, after lines with the same score.

    The same list is returned if nothing changes: the line is no better than those of a full
    list, or an operator edited the list.
    """
    if kept.edited or line in kept.lines:
        return kept
    others = [one for one in kept.lines if one.item_id != line.item_id]
    place = next((place for place, one in enumerate(others) if one.score < line.score), len(others))
    lines = tuple([*others[:place], line, *others[place:]][: kept.recipe.kept])
    return kept if lines == kept.lines else attrs.evolve(kept, lines=lines)


def has_changed(old: StoredList, new: StoredList) -> bool:
    """Return whether *new* must be written over *old*.

    It must if the recipe, the items, the reasons or the sources differ, if a score moved by
    more than 0.0001, if the old list was edited by an operator, or if the old one claims to
    be computed later than the new one.
    """
    return (
        old.recipe != new.recipe
        or old.edited != new.edited
        or old.computed_at > new.computed_at
        or len(old.lines) != len(new.lines)
        or any(map(_line_has_changed, old.lines, new.lines))
    )


def _line_has_changed(old: StoredLine, new: StoredLine) -> bool:
    return (
        old.by_hand != new.by_hand
        or (old.item_id, old.reason, old.source) != (new.item_id, new.reason, new.source)
        or abs(old.score - new.score) > SCORE_TOLERANCE
    )
