"""Suggestions, their reasons, and the shelf that carries them to a page."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, overload

import attrs

from angle_reco.domain.ids import ItemId, json_id
from angle_reco.domain.items import ItemCard
from angle_reco.domain.millionths import Millionths, to_fraction
from angle_reco.domain.paging import PageStart
from angle_reco.domain.sentences import Why
from angle_reco.domain.type_checks import plain
from angle_reco.domain.validators import exactly
from angle_reco.domain.whys import NO_GROUNDS, Grounds, Line


class Reason(StrEnum):
    """Why an item is suggested; tables and columns hold its code, everything else its value."""

    POPULAR_IN_FAVOURITE = "popular_in_favourite"
    FAVOURITE_CATEGORY = "favourite_category"
    TRENDING = "trending"
    ENDING_SOON = "ending_soon"
    ACTIVE_AUCTION = "active_auction"
    FOR_YOU = "for_you"
    SAME_CATEGORY = "same_category"
    PRICE_RANGE = "price_range"
    COLLABORATIVE = "collaborative"
    POPULAR = "popular"
    POPULAR_IN_CATEGORY = "popular_in_category"

    @property
    def code(self) -> int:
        """Return the small integer that stands for the reason in columns."""
        return _REASON_CODES[self]


class Source(StrEnum):
    """The origin of a suggestion; tables and columns hold its code, everything else its value."""

    PERSONAL = "personal"
    SIMILAR = "similar"
    CATEGORY = "category"
    POPULAR = "popular"

    @property
    def code(self) -> int:
        """Return the small integer that stands for the source in columns."""
        return _SOURCE_CODES[self]


REASONS = tuple(Reason)
SOURCES = tuple(Source)
_REASON_CODES = {reason: code for code, reason in enumerate(REASONS)}
_SOURCE_CODES = {source: code for code, source in enumerate(SOURCES)}


class Freshness(StrEnum):
    """How a shelf was produced: from a stored list of some age, or computed for this call."""

    FRESH = "fresh"
    STALE = "stale"
    STALE_ON_ERROR = "stale_on_error"
    COMPUTED = "computed"


class Suggestion(NamedTuple):
    """One suggested item: its place on the shelf, and the exact reasons for it.

    It is a tuple for speed: each answer creates twenty, in a third of the time of objects.

    *score* is in millionths and the sum of *parts*, the contributions of *components*.
    *card* is an `ItemCard`, or the object that the host's own loader returned for the id.
    *grounds* are what its sentence draws on besides, the same for all of an answer.
    """

    rank: int
    item_id: ItemId
    card: Any  # the host's own type, where the host loads its objects itself
    score: Millionths
    reason: Reason
    source: Source
    components: tuple[str, ...]
    parts: tuple[Millionths, ...]
    grounds: Grounds = NO_GROUNDS

    @property
    def listed(self) -> ItemCard | None:
        """Return the `ItemCard`, also where *card* is the host's object; None if there is none."""
        if isinstance(self.card, ItemCard):
            return self.card
        return self.grounds.cards.get(self.item_id)

    @property
    def title(self) -> str:
        """Return the title of the item, "" if it has none."""
        listed = self.listed
        return "" if listed is None else listed.title

    @property
    def price(self) -> Decimal | None:
        """Return the current price of the item, None if it is unknown."""
        listed = self.listed
        return None if listed is None else listed.price

    @property
    def public(self) -> dict[str, object]:
        """Return the values of the host's public columns by name, as JSON has them."""
        listed = self.listed
        return {} if listed is None else listed.public

    @property
    def contributions(self) -> dict[str, Millionths]:
        """Return the contribution of each component, in a new dict."""
        return dict(zip(self.components, self.parts, strict=True))

    @property
    def why(self) -> Why:
        """Return why the item is suggested, before it is put into words."""
        parts = sorted(self.contributions.items(), key=lambda part: -part[1])
        reason, grounds = self.reason.value, self.grounds
        return Line(self.item_id, self.listed, reason, parts, grounds).why

    @property
    def sentence(self) -> str:
        """Return why the item is suggested, in the language of the settings; plain text.

        >>> Suggestion(
        ...     rank=1, item_id=ItemId("lot-1"), card=None, score=700_000,
        ...     reason=Reason.FAVOURITE_CATEGORY, source=Source.PERSONAL,
        ...     components=("interest", "popularity"), parts=(600_000, 100_000),
        ... ).sentence
        'From your favourite category'
        """
        return self.grounds.speech.speaks.say(self.why)

    def sentence_in(self, language: str) -> str:
        """Return the same in another language, such as `de` or `pt-BR`; English if unknown.

        Raises:
            InvalidValueError: *language* is no text.
        """
        return self.grounds.speech.speaks.say(self.why, exactly(plain(language), "language", str))

    @property
    def explanation(self) -> str:
        """Return the largest contributions, for those who run the site.

        >>> Suggestion(
        ...     rank=1, item_id=ItemId("lot-1"), card=None, score=700_000,
        ...     reason=Reason.FAVOURITE_CATEGORY, source=Source.PERSONAL,
        ...     components=("interest", "popularity"), parts=(600_000, 100_000),
        ... ).explanation
        'interest 0.60, demand 0.10'
        """
        largest = sorted(self.contributions.items(), key=lambda part: -part[1])[:_PARTS_IN_WORDS]
        return ", ".join(
            f"{self._label_of(name)} {to_fraction(part):.2f}" for name, part in largest if part
        )

    def _label_of(self, component: str) -> str:
        own = self.grounds.speech.wording.get(component)
        return own.label if own else _LABELS.get(component, component.replace("_", " "))

    def to_dict(self) -> dict[str, object]:
        """Return what a page shows of it, scores as fractions; of the item only what is public."""
        return {
            "rank": self.rank,
            "item_id": self.item_id,
            "title": self.title,
            "price": self.price,
            "public": self.public,
            "score": to_fraction(self.score),
            "reason": self.reason.value,
            "source": self.source.value,
            "sentence": self.sentence,
            "contributions": {
                name: to_fraction(part) for name, part in self.contributions.items() if part
            },
        }

    def to_json(self) -> dict[str, object]:
        """Return the same for JSON: the price is a text, and an id that is no integer."""
        price = None if self.price is None else f"{self.price.normalize():f}"
        return self.to_dict() | {"item_id": json_id(self.item_id), "price": price}


@attrs.frozen
class Shelf(Sequence[Suggestion]):
    """An answer: suggestions, best first, their freshness, and the failures on the way.

    *ranker* is the name of the rule that made the list, and *version* a text that differs for
    other settings or another trained model.
    """

    suggestions: tuple[Suggestion, ...]
    freshness: Freshness = attrs.field(kw_only=True)
    degraded_by: tuple[str, ...] = attrs.field(kw_only=True, default=())
    ranker: str = attrs.field(kw_only=True, default="")
    version: str = attrs.field(kw_only=True, default="")
    _start: PageStart | None = attrs.field(init=False, default=None, eq=False, repr=False)
    """Where this page starts, if another one may follow."""

    @property
    def ids(self) -> tuple[ItemId, ...]:
        """Return the ids of the items, for hosts that load their own objects."""
        return tuple(one.item_id for one in self.suggestions)

    @property
    def next(self) -> str | None:
        """Return the cursor of the next page, which a call takes as *after*; None at the end.

        A full page has one, so the last page may be empty. Similar items and suggestions after
        a bid have no pages.
        """
        if self._start is None:
            return None
        return self._start.after(self.ids, ranks=len(self)).cursor

    def __len__(self) -> int:
        return len(self.suggestions)

    def __iter__(self) -> Iterator[Suggestion]:
        return iter(self.suggestions)

    @overload
    def __getitem__(self, place: int) -> Suggestion: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Suggestion]: ...
    def __getitem__(self, place: int | slice) -> Suggestion | Sequence[Suggestion]:
        return self.suggestions[place]

    def to_dict(self) -> dict[str, object]:
        """Return the shelf as a dict, prices as `Decimal` and ids of the host's kind."""
        return self._written([one.to_dict() for one in self.suggestions])

    def to_json(self) -> dict[str, object]:
        """Return the shelf for JSON."""
        return self._written([one.to_json() for one in self.suggestions])

    def _written(self, suggestions: list[dict[str, object]]) -> dict[str, object]:
        return {
            "freshness": self.freshness.value,
            "degraded_by": list(self.degraded_by),
            "ranker": self.ranker,
            "version": self.version,
            "suggestions": suggestions,
            "next": self.next,
        }


_PARTS_IN_WORDS = 3

_LABELS = {
    "popularity": "demand",
    "recency": "timing",
    "same_category": "category",
    "price_range": "price",
    "collaborative": "shared bidders",
    "by_hand": "chosen by hand",
}
