"""Which sentence is said of a suggestion: the first true one, largest contribution first.

Nothing tells a user about another: numbers of people below three are not said.
"""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import attrs

from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.ids import ItemId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.millionths import ONE, Millionths
from angle_reco.domain.sentences import English, Message, Speaks, Why

FEW = 3
"""Fewer people than these are not mentioned."""

_SOON = timedelta(days=7)
_HOUR, _MINUTE = timedelta(hours=1), timedelta(minutes=1)
_POPULAR_FROM: Millionths = 300_000
"""The popularity from which an item is called popular: by default three bids."""


class Wording(NamedTuple):
    """The words of a component: its *label*, and what sentences say where it adds most.

    Without a *sentence* they say the reason.
    """

    label: str
    sentence: str = ""


class Because(NamedTuple):
    """An own item that explains a line: the name of the message, and the item's title."""

    name: str
    title: str


@attrs.frozen(eq=False)
class Sources:
    """Own items that explain lines of a list, None where none does, beside the ids of the lines."""

    ids: tuple[ItemId, ...] = ()
    found: tuple[Because | None, ...] = ()

    def of(self, item_id: ItemId) -> Because | None:
        """Return what explains the line of an item."""
        return self.found[self.ids.index(item_id)] if item_id in self.ids else None

    @property
    def footprint(self) -> int:
        """Return its size in bytes without the ids, which the list has."""
        if not self.found:
            return 0
        distinct = {id(one): one for one in self.found if one is not None}.values()
        own = sum(sys.getsizeof(one) + sys.getsizeof(one.title) for one in distinct)
        return sys.getsizeof(self) + sys.getsizeof(self.found) + own


NO_SOURCES = Sources()


@attrs.frozen(kw_only=True)
class Speech:
    """What sentences of all answers have in common.

    *wording* has the words of components by name. From a contribution of *three_shared* on, at
    least three people want two similar items both.
    """

    wording: Mapping[str, Wording] = attrs.field(factory=dict)
    speaks: Speaks = attrs.field(factory=English)
    three_shared: Millionths = ONE


_NO_CARDS: Mapping[ItemId, ItemCard] = {}


class Grounds(NamedTuple):
    """What the sentences of one answer draw on besides its lines; answers differ by lines alone.

    *now* is the moment of the answer, *title* that of the item whose page it is for. *cards* has
    the cards of its items if the host's own objects are shown. It is a tuple for speed.
    """

    speech: Speech = Speech()
    now: datetime | None = None
    title: str = ""
    sources: Sources = NO_SOURCES
    cards: Mapping[ItemId, ItemCard] = _NO_CARDS

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grounds)

    def __ne__(self, other: object) -> bool:
        return not isinstance(other, Grounds)

    def __hash__(self) -> int:
        return hash(Grounds)

    def __repr__(self) -> str:
        return "Grounds()"


NO_GROUNDS = Grounds()


@attrs.frozen
class Line:
    """A suggestion as the rules see it; *parts* are its contributions, the largest first."""

    item_id: ItemId
    card: ItemCard | None
    reason: str
    parts: Sequence[tuple[str, Millionths]]
    grounds: Grounds

    @property
    def why(self) -> Why:
        """Return why the item is suggested."""
        if self.reason in _SIMILAR:
            return self._like_another()
        for name, part in self.parts:
            if part <= 0:
                break
            own = self.grounds.speech.wording.get(name)
            if own is not None and own.sentence and name not in _RULES:
                return Why(name=name, message=Message(own.sentence))
            rule = _RULES.get(name)
            found = None if rule is None else rule(self, part)
            if found is not None:
                return found
            if rule is None:
                break
        return self._by_reason()

    def _like_another(self) -> Why:
        title = self.grounds.title
        for name, part in self.parts:
            if name == "collaborative" and part >= self.grounds.speech.three_shared:
                return Why.of("also_wanted", title=title) if title else Why.of("collaborative")
            if part > 0 and name != "collaborative":
                break
        # An item of another category that costs as much is not called similar.
        if title and self.reason != "price_range":
            return Why.of("similar_to", title=title)
        # That some people want both is not said where they may be fewer than three.
        is_shared = self.reason == "collaborative" and self.parts
        return Why.of("for_you" if is_shared else self.reason)

    def _by_reason(self) -> Why:
        card = self.card
        if card is None:
            return Why.of(self.reason)
        match self.reason:
            case "trending" if card.watchers is not None:
                return self.watchers() or self.opening()
            case "popular_in_favourite" if card.watchers is not None and card.watchers < FEW:
                return Why.of("favourite_category")
            case "ending_soon":
                return self.ends() or self.opening()
            case "active_auction" | "popular" | "popular_in_category":
                return self.opening()
            case _:
                return Why.of(self.reason)

    def opening(self) -> Why:
        """Return that the item can be bid on, now or later."""
        is_later = self.card is not None and self.card.status is AuctionStatus.SCHEDULED
        return Why.of("opens_soon" if is_later else "active_auction")

    def source(self, *names: str) -> Why | None:
        """Return the own item that explains the line, if it does so in one of these ways."""
        found = self.grounds.sources.of(self.item_id)
        if found is None or found.name not in names:
            return None
        return Why.of(found.name, title=found.title)

    def watchers(self) -> Why | None:
        """Return how many people watch the item, unless they are few or not known."""
        count = None if self.card is None else self.card.watchers
        return None if count is None or count < FEW else Why.of("watchers", count=count)

    def ends(self) -> Why | None:
        """Return how soon the item ends, rounded down; None if later than in a week."""
        now, card = self.grounds.now, self.card
        if card is None or card.ends_at is None:
            return None
        left = _SOON if now is None else card.ends_at - now
        if now is None or not timedelta(0) < left <= _SOON:
            return None
        if left >= 48 * _HOUR:
            return Why.of("ends_in_days", count=left.days)
        if left >= _HOUR:
            return Why.of("ends_in_hours", count=left // _HOUR)
        if left >= _MINUTE:
            return Why.of("ends_in_minutes", count=left // _MINUTE)
        return Why.of("ends_at_once")

    def is_wanted(self, popularity: Millionths = 0) -> bool:
        """Return whether several people are known to want the item."""
        card = self.card
        if card is None or card.bids is None or card.watchers is None:
            return popularity >= _POPULAR_FROM
        return card.bids + card.watchers >= FEW


def _interest(line: Line, part: Millionths) -> Why | None:
    is_favourite = line.reason in ("favourite_category", "popular_in_favourite")
    return line.source(*_OWN) or Why.of("favourite_category" if is_favourite else "liked_category")


def _popularity(line: Line, part: Millionths) -> Why | None:
    # In lists of popular items the contribution is the popularity.
    is_popular = line.reason in ("popular", "popular_in_category")
    found = line.watchers()
    if found is None and line.is_wanted(part if is_popular else 0):
        found = Why.of(line.reason if is_popular else "popular")
    return found


def _recency(line: Line, part: Millionths) -> Why | None:
    return line.ends() or line.opening()


def _taste(line: Line, part: Millionths) -> Why | None:
    return line.source(*_OWN) or Why.of("fits")


def _alike(line: Line, part: Millionths) -> Why | None:
    return line.source("also_wanted")


def _heat(line: Line, part: Millionths) -> Why | None:
    return line.watchers() or (Why.of("popular") if line.is_wanted() else None)


def _trend(line: Line, part: Millionths) -> Why | None:
    return Why.of("rising") if line.is_wanted() else None


def _newness(line: Line, part: Millionths) -> Why | None:
    now, listed_at = line.grounds.now, None if line.card is None else line.card.listed_at
    is_new = now is not None and listed_at is not None and now - listed_at <= _SOON
    return Why.of("newly_listed") if is_new else None


def _category(line: Line, part: Millionths) -> Why | None:
    return line.source(*_OWN) or Why.of("liked_category")


def _title(line: Line, part: Millionths) -> Why | None:
    return line.source("similar_to") or Why.of("fits")


def _price(line: Line, part: Millionths) -> Why | None:
    return Why.of("your_prices")


def _seller(line: Line, part: Millionths) -> Why | None:
    return line.source("seller_of_yours") or Why.of("known_seller")


def _urgency(line: Line, part: Millionths) -> Why | None:
    return line.ends()


_OWN = ("because_you_bid", "because_you_watch")
_SIMILAR = frozenset({"same_category", "price_range", "collaborative"})

_RULES = {
    "interest": _interest,
    "popularity": _popularity,
    "recency": _recency,
    "taste": _taste,
    "follow": _taste,
    "sequence": _taste,
    "alike": _alike,
    "trend_of_weeks": _trend,
    "trend_of_days": _trend,
    "heat": _heat,
    "newness": _newness,
    "category": _category,
    "title": _title,
    "price": _price,
    "seller": _seller,
    "urgency": _urgency,
}
"""What is said where a component of the package adds most; None where nothing of it is true."""
