"""A stored list in compact form, from which suggestions are created when they are shown."""

import struct
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Self

import attrs

from angle_reco.domain.ids import ItemId, UserId, interned
from angle_reco.domain.items import ItemCard
from angle_reco.domain.lists import BY_HAND, Recipe, StoredLine, StoredList
from angle_reco.domain.suggestions import REASONS, SOURCES, Suggestion


@attrs.frozen(kw_only=True)
class PackedList:
    """A `StoredList` for caching: a quarter of its size, and fewer objects to collect.

    *numbers* holds the score and the parts of each line as int32, *codes* its reason and
    source as bytes; *by_hand* holds the places of lines that are manual overrides.
    """

    ids: tuple[ItemId, ...]
    numbers: bytes
    codes: bytes
    by_hand: frozenset[int]
    recipe: Recipe
    edited: bool

    @classmethod
    def of(cls, stored: StoredList) -> Self:
        """Return a list in compact form; its text ids are shared with other lists (`interned`)."""
        lines, parts = stored.lines, len(stored.recipe.weights)
        numbers = [
            number
            for line in lines
            for number in (line.score, *(line.parts if not line.by_hand else (0,) * parts))
        ]
        return cls(
            ids=tuple(interned(line.item_id) for line in lines),
            numbers=struct.pack(f"<{len(numbers)}i", *numbers),
            codes=bytes(code for line in lines for code in (line.reason.code, line.source.code)),
            by_hand=frozenset(place for place, line in enumerate(lines) if line.by_hand),
            recipe=stored.recipe,
            edited=stored.edited,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_complete(self) -> bool:
        """Return whether the list holds all there was to suggest, or was edited."""
        return self.edited or len(self) < self.recipe.kept

    def between(self, first: int, last: int) -> Self:
        """Return the lines at places [first, last) as a list."""
        width = 4 * (len(self.recipe.weights) + 1)
        return attrs.evolve(
            self,
            ids=self.ids[first:last],
            numbers=self.numbers[first * width : last * width],
            codes=self.codes[2 * first : 2 * last],
            by_hand=frozenset(one - first for one in self.by_hand if first <= one < last),
        )

    @property
    def footprint(self) -> int:
        """Return its size in bytes without the ids and the recipe, which are shared."""
        parts = (self.ids, self.numbers, self.codes, self.by_hand)
        return sum(map(sys.getsizeof, parts)) + _OBJECT_BYTES

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

    def suggestions(
        self, places: Sequence[int], cards: Mapping[ItemId, ItemCard], *, first_rank: int = 1
    ) -> list[Suggestion]:
        """Return the lines at *places*, ascending, as suggestions with their cards."""
        names, numbers, codes, ids = (
            self.recipe.components,
            self._unpacked(places),
            self.codes,
            self.ids,
        )
        width, by_hand, new = len(names) + 1, self.by_hand, tuple.__new__
        # Bypasses the constructor: most of the time of an answer is spent here.
        made = [
            new(
                Suggestion,
                (
                    rank,
                    ids[place],
                    cards[ids[place]],
                    numbers[place * width],
                    REASONS[codes[2 * place]],
                    SOURCES[codes[2 * place + 1]],
                    names,
                    numbers[place * width + 1 : (place + 1) * width],
                ),
            )
            for rank, place in enumerate(places, start=first_rank)
        ]
        if by_hand:
            for at, place in enumerate(places):
                if place in by_hand:
                    made[at] = made[at]._replace(components=_BY_HAND, parts=(made[at].score,))
        return made

    def lines(self, places: Sequence[int]) -> Sequence[StoredLine]:
        """Return the lines at *places*, ascending, as `StoredLine`s."""
        width, numbers = len(self.recipe.weights) + 1, self._unpacked(places)
        return [
            StoredLine(
                item_id=self.ids[place],
                score=numbers[place * width],
                parts=()
                if place in self.by_hand
                else numbers[place * width + 1 : (place + 1) * width],
                reason=REASONS[self.codes[2 * place]],
                source=SOURCES[self.codes[2 * place + 1]],
                by_hand=place in self.by_hand,
            )
            for place in places
        ]

    def _unpacked(self, places: Sequence[int]) -> tuple[int, ...]:
        """Return the numbers of all lines up to the last of *places*, which ascend."""
        lines = places[-1] + 1 if places else 0
        return struct.unpack_from(f"<{lines * (len(self.recipe.weights) + 1)}i", self.numbers)


_BY_HAND = (BY_HAND,)

_OBJECT_BYTES = 100
"""The size of an object with six fields, in bytes."""
