"""Tracks the items that changed since the open items were read."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.domain.ids import ItemId
from angle_reco.domain.items import ItemCard
from angle_reco.ports.clock import Clock

_SECONDS = 60.0
"""How long a noted item is read by id, as its change may not be committed yet."""

_MOST = 20_000


class _Read(NamedTuple):
    card: ItemCard | None  # None if the item no longer exists
    at: float


class _Unread(NamedTuple):
    """How many noted changes of an item the feed has not shown yet, and when the last was noted."""

    times: int
    noted_at: float
    until: float


class Before(NamedTuple):
    """The card in memory of an item when its first change was noted.

    The card is None if the item was not open, or no open items were in memory.
    """

    card: ItemCard | None
    until: float


class ChangedItems:
    """The items that changed, with the cards read since then.

    An item whose change this process noted is read by id for every answer, until the feed
    shows that the change is committed; then its card is read once. Times are of the monotonic
    clock. Where *unread* and *cards* are empty, the open items in memory are up to date.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.unread: dict[ItemId, _Unread] = {}
        self.cards: dict[ItemId, _Read] = {}
        self._before: dict[ItemId, Before] = {}

    def __len__(self) -> int:
        return len(self.unread) + len(self.cards)

    @property
    def are_too_many(self) -> bool:
        """Return whether reading all open items again is better."""
        return len(self) > _MOST

    def note_changed(
        self, item_ids: Iterable[ItemId], known: Mapping[ItemId, ItemCard] | None
    ) -> None:
        """Note that items change; *known* are the cards in memory, None if there are none."""
        now = self._clock.monotonic()
        until = now + _SECONDS
        for one in item_ids:
            known_since = self.unread.get(one)
            times = 1 if known_since is None else known_since.times + 1
            self.unread[one] = _Unread(times, now, until)
            if one not in self._before:
                self._before[one] = Before(None if known is None else known.get(one), until)

    def read(
        self,
        cards: Mapping[ItemId, ItemCard | None],
        *,
        at: float,
        times: Mapping[ItemId, int] | None = None,
    ) -> None:
        """Note the cards of items, None for an item that no longer exists.

        Reading the cards started *at* that time. The feed has shown so many changes (*times*)
        of each item, by default one. An item stays unread while more changes of it were noted
        than the feed has shown, or if one was noted after *at*.
        """
        for one, card in cards.items():
            self.cards[one] = _Read(card, at)
            unread = self.unread.get(one)
            if unread is None or unread.noted_at > at:
                continue
            heard = 1 if times is None else times[one]
            if unread.times <= heard:
                self.unread.pop(one, None)
            else:
                self.unread[one] = unread._replace(times=unread.times - heard)

    def before(self, item_ids: Iterable[ItemId]) -> dict[ItemId, Before]:
        """Return the earlier cards of those items whose changes this process noted."""
        return {one: self._before[one] for one in item_ids if one in self._before}

    def handled(self, item_ids: Iterable[ItemId]) -> None:
        """Drop the earlier cards of items."""
        for one in item_ids:
            self._before.pop(one, None)

    def drop_expired(self, live_since: float | None) -> None:
        """Drop cards older than the open items in memory, and changes that were never committed.

        *live_since* is when reading the open items started. It is None if none are in memory;
        a read may then be under way, which takes a minute at most.
        """
        now = self._clock.monotonic()
        known_at = now - _SECONDS if live_since is None else live_since
        for one, read in list(self.cards.items()):
            if read.at < known_at:
                self.cards.pop(one, None)
        for one, unread in list(self.unread.items()):
            # While reads fail, the open items in memory may be older than the change.
            if unread.until <= (now if live_since is None else live_since):
                self.unread.pop(one, None)
        for one, before in list(self._before.items()):
            if before.until <= now:
                self._before.pop(one, None)

    def clear(self) -> None:
        """Drop all changes and cards, as the open items are read again."""
        self.unread.clear()
        self.cards.clear()

    def applied(
        self,
        cards: Mapping[ItemId, ItemCard],
        item_ids: Collection[ItemId],
        *,
        live_since: float,
        read: Callable[[Collection[ItemId]], Mapping[ItemId, ItemCard]],
    ) -> tuple[Mapping[ItemId, ItemCard], bool]:
        """Return the current cards of items, and whether all of them could be read.

        *cards* are the cards of the open items in memory, read since *live_since*. *read* loads
        the cards of unread items; items whose card cannot be read are left out.
        """
        unread = [one for one in item_ids if one in self.unread]
        is_complete, now = True, dict[ItemId, ItemCard]()
        if unread:
            try:
                now = dict(read(unread))
            except StorageUnavailableError:
                is_complete = False
        for one in item_ids:
            if one not in self.unread:
                newer = self.cards.get(one)
                is_newer = newer is not None and newer.at >= live_since
                card = newer.card if is_newer and newer is not None else cards.get(one)
                if card is not None:
                    now[one] = card
        return now, is_complete

    def card(
        self, item_id: ItemId, in_memory: ItemCard | None, live_since: float
    ) -> ItemCard | None:
        """Return the card of an item in memory, None if it has to be read."""
        if item_id in self.unread:
            return None
        newer = self.cards.get(item_id)
        return newer.card if newer is not None and newer.at >= live_since else in_memory
