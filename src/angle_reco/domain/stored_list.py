"""A stored list in compact form, from which lines and suggestions are created when needed."""

import json
import struct
import sys
from array import array
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Self

import attrs

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import ItemId, UserId, interned
from angle_reco.domain.items import ItemCard
from angle_reco.domain.millionths import SCORE_TOLERANCE, Millionths
from angle_reco.domain.suggestions import REASONS, SOURCES, Reason, Source, Suggestion
from angle_reco.domain.whys import Grounds


@attrs.frozen(kw_only=True)
class Recipe:
    """The settings that produced a list.

    These are the name of a rule, its weights by component in order, and the largest number
    of suggestions that is stored; *rules* represents all other settings involved. Recipes that
    differ only in the version of the trained *model* are equal.
    """

    name: str
    weights: tuple[tuple[str, Millionths], ...]
    kept: int
    rules: str = ""
    model: str = attrs.field(default="", eq=False)

    @cached_property
    def components(self) -> tuple[str, ...]:
        """Return the names of the parts of a score, in order."""
        return tuple(name for name, _ in self.weights)

    @cached_property
    def version(self) -> str:
        """Return what tells lists of one name apart: the rules, and the model if there is one."""
        return f"{self.rules}-{self.model}" if self.model else self.rules

    def to_text(self) -> str:
        """Return the recipe as one line of JSON, for stores.

        The model is written behind the rules: releases that know of no models can read it.
        """
        written = attrs.asdict(self, filter=lambda field, _: field.name != "model")
        return json.dumps({**written, "weights": dict(self.weights), "rules": self.version})

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the recipe that `to_text` wrote."""
        read = json.loads(text)
        rules, _, model = read.pop("rules", "").partition("-")
        weights = tuple(read.pop("weights").items())
        return cls(**read, weights=weights, rules=rules, model=model)


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
    the run left unchanged is as fresh as the run. A list that was *edited* by hand stays so
    until a job replaces it.

    The columns are compact: a quarter of the size of lines, and fewer objects to collect.
    *scores* and *parts* are int32 numbers, *reasons* and *sources* a code in each byte;
    *by_hand* are the places of lines that are manual overrides.
    """

    ids: tuple[ItemId, ...]
    scores: bytes = attrs.field(repr=False)
    parts: bytes = attrs.field(repr=False)
    reasons: bytes = attrs.field(repr=False)
    sources: bytes = attrs.field(repr=False)
    by_hand: tuple[int, ...] = ()
    recipe: Recipe
    computed_at: datetime
    covered_at: datetime | None = None
    edited: bool = False

    def __attrs_post_init__(self) -> None:
        lines, width = len(self.ids), len(self.recipe.weights)
        columns = (self.scores, self.parts, self.reasons, self.sources)
        if [*map(len, columns)] != [4 * lines, 4 * lines * width, lines, lines]:
            raise ValueError("columns of StoredList differ in length")

    @classmethod
    def of(
        cls,
        lines: Sequence[StoredLine],
        *,
        recipe: Recipe,
        computed_at: datetime,
        covered_at: datetime | None = None,
        edited: bool = False,
    ) -> Self:
        """Return a list of *lines*; the parts of a manual override count as zeros if absent.

        Raises:
            InvalidValueError: A score or a part does not fit 32 bits.
        """
        none = (0,) * len(recipe.weights)
        return cls(
            ids=interned(line.item_id for line in lines),
            scores=packed([line.score for line in lines]),
            parts=packed([part for line in lines for part in line.parts or none]),
            reasons=bytes(line.reason.code for line in lines),
            sources=bytes(line.source.code for line in lines),
            by_hand=tuple(place for place, line in enumerate(lines) if line.by_hand),
            recipe=recipe,
            computed_at=computed_at,
            covered_at=covered_at,
            edited=edited,
        )

    def with_lines(self, lines: Sequence[StoredLine], *, edited: bool = False) -> Self:
        """Return the list with other *lines*, marked as edited if it is or with *edited*."""
        return self.of(
            lines,
            recipe=self.recipe,
            computed_at=self.computed_at,
            covered_at=self.covered_at,
            edited=self.edited or edited,
        )

    def is_same_as(self, other: Self) -> bool:
        """Return whether both are equal, whenever they were computed and covered."""
        return self == attrs.evolve(other, computed_at=self.computed_at, covered_at=self.covered_at)

    def __len__(self) -> int:
        return len(self.ids)

    def __bool__(self) -> bool:
        """Return True, for an empty list too: where no list is stored, there is None."""
        return True

    @property
    def lines(self) -> tuple[StoredLine, ...]:
        """Return the suggestions, created for each call."""
        width, by_hand = len(self.recipe.weights), frozenset(self.by_hand)
        parts_at = struct.Struct(f"{width}i").unpack_from
        return tuple(
            StoredLine(
                item_id=item_id,
                score=score,
                parts=parts_at(self.parts, 4 * width * place),
                reason=REASONS[reason],
                source=SOURCES[source],
                by_hand=place in by_hand,
            )
            for place, (item_id, score, reason, source) in enumerate(
                zip(self.ids, unpacked(self.scores), self.reasons, self.sources, strict=True)
            )
        )

    @property
    def is_complete(self) -> bool:
        """Return whether the list holds all there was to suggest when it was computed.

        An edited list is complete: an operator decided what it holds.
        """
        return self.edited or len(self.ids) < self.recipe.kept

    @property
    def footprint(self) -> int:
        """Return its size in bytes without the ids and the recipe, which are shared."""
        columns = (self.ids, self.scores, self.parts, self.reasons, self.sources, self.by_hand)
        # Empty columns are one object for all lists.
        own = filter(None, (*columns, self.computed_at, self.covered_at))
        return sys.getsizeof(self) + sum(map(sys.getsizeof, own))

    def places_shown(
        self,
        cards: Mapping[ItemId, ItemCard],
        *,
        viewer: UserId | None,
        now: datetime,
        include_engaged: bool,
        limit: int,
        without: Collection[ItemId] = (),
    ) -> list[int]:
        """Return the places of the first *limit* lines that may be shown (`may_be_shown`).

        Items in *without* are left out.
        """
        places, card_of = list[int](), cards.get
        for place, item_id in enumerate(self.ids):
            # `may_be_shown` written out: calling it would take a fifth of the time of an answer.
            if (
                (card := card_of(item_id)) is not None
                and card.is_listed
                and ((ends_at := card.ends_at) is None or ends_at > now)
                and (viewer is None or card.seller_id != viewer)
                and (include_engaged or not card.engaged)
                and item_id not in without
            ):
                places.append(place)
                if len(places) == limit:
                    break
        return places

    def between(self, first: int, last: int) -> Self:
        """Return the lines at places [first, last) as a list."""
        width = 4 * len(self.recipe.weights)
        return attrs.evolve(
            self,
            ids=self.ids[first:last],
            scores=self.scores[4 * first : 4 * last],
            parts=self.parts[width * first : width * last],
            reasons=self.reasons[first:last],
            sources=self.sources[first:last],
            by_hand=tuple(one - first for one in self.by_hand if first <= one < last),
        )

    def suggestions(
        self,
        places: Sequence[int],
        cards: Mapping[ItemId, ItemCard],
        *,
        grounds: Grounds,
        first_rank: int = 1,
    ) -> list[Suggestion]:
        """Return the lines at *places*, ascending, as suggestions with their cards.

        *grounds* are what their sentences draw on besides.
        """
        ids, reasons, sources, parts = self.ids, self.reasons, self.sources, self.parts
        names, new, of = self.recipe.components, tuple.__new__, Suggestion
        all_reasons, all_sources = REASONS, SOURCES
        bytes_of_parts, parts_at = 4 * len(names), struct.Struct(f"{len(names)}i").unpack_from
        scores = struct.unpack_from(f"{places[-1] + 1 if places else 0}i", self.scores)
        # Bypasses the constructor: most of the time of an answer is spent here.
        made = [
            new(
                of,
                (
                    rank,
                    item_id := ids[place],
                    cards[item_id],
                    scores[place],
                    all_reasons[reasons[place]],
                    all_sources[sources[place]],
                    names,
                    parts_at(parts, bytes_of_parts * place),
                    grounds,
                ),
            )
            for rank, place in enumerate(places, start=first_rank)
        ]
        if self.by_hand:
            for at, place in enumerate(places):
                if place in self.by_hand:
                    made[at] = made[at]._replace(components=_BY_HAND, parts=(made[at].score,))
        return made


_BY_HAND = (BY_HAND,)


def packed(numbers: Sequence[int]) -> bytes:
    """Return scores or parts as int32 numbers.

    Raises:
        InvalidValueError: One is no whole number, or does not fit 32 bits.
    """
    try:
        return array("i", numbers).tobytes()
    except (OverflowError, TypeError):
        raise InvalidValueError("scores", numbers, "whole numbers of 32 bits") from None


def unpacked(data: bytes) -> list[int]:
    """Return the scores or parts that `packed` wrote."""
    return array("i", data).tolist()


def with_similar(kept: StoredList, line: StoredLine) -> StoredList:
    """Return a list with one more line by its score, after lines with the same score.

    The same list is returned if nothing changes: the line is no better than those of a full
    list, or an operator edited the list.
    """
    before = kept.lines
    if kept.edited or line in before:
        return kept
    others = [one for one in before if one.item_id != line.item_id]
    place = next((place for place, one in enumerate(others) if one.score < line.score), len(others))
    lines = tuple([*others[:place], line, *others[place:]][: kept.recipe.kept])
    return kept if lines == before else kept.with_lines(lines)


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
        or (old.ids, old.reasons, old.sources) != (new.ids, new.reasons, new.sources)
        or old.by_hand != new.by_hand
        or any(
            abs(before - after) > SCORE_TOLERANCE
            for before, after in zip(unpacked(old.scores), unpacked(new.scores), strict=True)
        )
    )
