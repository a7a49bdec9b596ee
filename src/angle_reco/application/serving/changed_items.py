"""Items that changed since the open items were read: of these what is in memory is not true."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.domain.ids import ItemId
from angle_reco.domain.items import ItemCard
from angle_reco.ports.clock import Clock

_SECONDS = 60.0
"""So long are items read by id that are told to change, as that may not be committed yet."""

_MOST = 20_000


class _Read(NamedTuple):
    card: ItemCard | None  # None of an item that is gone
    at: float


class _Unread(NamedTuple):
    """How often this process was told of an item that was not heard since, and when last."""

    times: int
    told_at: float
    until: float


class Before(NamedTuple):
    """The card in memory of an item when it was told to change.

    None if it was not open, or no open items were in memory.
    """

    card: ItemCard | None
    until: float


class ChangedItems:
    """Which items changed, and their cards as they were read since.

    Those that this process was told of itself are read by id at every answer, until the
    feed says that the change is committed; then their cards are read once. Moments are of
    the monotonic clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._unread: dict[ItemId, _Unread] = {}
        self._read: dict[ItemId, _Read] = {}
        self._before: dict[ItemId, Before] = {}

    def __len__(self) -> int:
        return len(self._unread) + len(self._read)

    @property
    def are_too_many(self) -> bool:
        """Return whether reading all open items anew is better."""
        return len(self) > _MOST

    def told(self, item_ids: Iterable[ItemId], known: Mapping[ItemId, ItemCard] | None) -> None:
        """Note that items change; *known* are the cards in memory, None if none are."""
        now = self._clock.monotonic()
        until = now + _SECONDS
        for one in item_ids:
            known_since = self._unread.get(one)
            times = 1 if known_since is None else known_since.times + 1
            self._unread[one] = _Unread(times, now, until)
            if one not in self._before:
                self._before[one] = Before(None if known is None else known.get(one), until)

    def read(
        self,
        cards: Mapping[ItemId, ItemCard | None],
        *,
        at: float,
        times: Mapping[ItemId, int] | None = None,
    ) -> None:
        """Note what items are like now: cards whose reading began at that moment.

        That each changed was heard so many *times*, by default once. One that was told of more
        often is not what it will be until all is heard; nor is one that was told of after that
        moment.
        """
        for one, card in cards.items():
            self._read[one] = _Read(card, at)
            told = self._unread.get(one)
            if told is None or told.told_at > at:
                continue
            heard = 1 if times is None else times[one]
            if told.times <= heard:
                self._unread.pop(one, None)
            else:
                self._unread[one] = told._replace(times=told.times - heard)

    def before(self, item_ids: Iterable[ItemId]) -> dict[ItemId, Before]:
        """Return what was in memory of those that this process was told of."""
        return {one: self._before[one] for one in item_ids if one in self._before}

    def handled(self, item_ids: Iterable[ItemId]) -> None:
        """Forget what was in memory of them before."""
        for one in item_ids:
            self._before.pop(one, None)

    def forget_what_is_over(self, live_since: float | None) -> None:
        """Forget what is older than the open items in memory, and what was never committed.

        Where there are none in memory they may be being read, for no longer than a minute.
        """
        now = self._clock.monotonic()
        known_at = now - _SECONDS if live_since is None else live_since
        for one, read in list(self._read.items()):
            if read.at < known_at:
                self._read.pop(one, None)
        for one, told in list(self._unread.items()):
            # What is in memory of an item may be of before, for as long as reading fails.
            if told.until <= (now if live_since is None else live_since):
                self._unread.pop(one, None)
        for one, before in list(self._before.items()):
            if before.until <= now:
                self._before.pop(one, None)

    def clear(self) -> None:
        """Forget all of them: the open items are read anew."""
        self._unread.clear()
        self._read.clear()

    def applied(
        self,
        cards: Mapping[ItemId, ItemCard],
        item_ids: Collection[ItemId],
        *,
        live_since: float,
        read: Callable[[Collection[ItemId]], Mapping[ItemId, ItemCard]],
    ) -> tuple[Mapping[ItemId, ItemCard], bool]:
        """Return the cards of items as they are now, and whether all could be read.

        *cards* are those in memory since then. One that cannot be read is left out.
        """
        unread = [one for one in item_ids if one in self._unread]
        is_complete, now = True, dict[ItemId, ItemCard]()
        if unread:
            try:
                now = dict(read(unread))
            except StorageUnavailableError:
                is_complete = False
        for one in item_ids:
            if one not in self._unread:
                newer = self._read.get(one)
                is_newer = newer is not None and newer.at >= live_since
                card = newer.card if is_newer and newer is not None else cards.get(one)
                if card is not None:
                    now[one] = card
        return now, is_complete

    def card(
        self, item_id: ItemId, in_memory: ItemCard | None, live_since: float
    ) -> ItemCard | None:
        """Return the card of one item as far as it is known, None where it has to be read."""
        if item_id in self._unread:
            return None
        newer = self._read.get(item_id)
        return newer.card if newer is not None and newer.at >= live_since else in_memory
