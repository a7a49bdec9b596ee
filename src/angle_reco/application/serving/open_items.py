"""Caches the open items, and tracks those that changed since they were read."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import attrs
import numpy as np

from angle_reco.application.scoring import Scorer
from angle_reco.application.serving.stale_cache import StaleCache
from angle_reco.application.trained_models import TrainedModels
from angle_reco.domain.availability import open_rows
from angle_reco.domain.catalogue import OpenCards
from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.domain.freshness import FreshnessLimits
from angle_reco.domain.ids import CategoryId, ItemId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.popular import POPULAR_KEPT
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.stored_list import StoredList
from angle_reco.domain.suggestions import Freshness
from angle_reco.ports.cache import Cached, CacheKey, Entry
from angle_reco.ports.clock import Clock
from angle_reco.settings import Settings

_log = logging.getLogger(__name__)

_MOST_POPULAR = 1_000
_BYTES_OF_POPULAR = 2_500
"""The most lists of popular items cached with the open items, and the bytes of one."""

_BYTES_OF_ENTRY = 1_500
"""The most that a cache counts for an entry besides its value."""

_SECONDS_UNREAD = 60.0
"""How long a noted item is read by id, as its change may not be committed yet."""

_MOST_CHANGED = 20_000

OPEN_ITEMS: CacheKey = ("open_items", "")


@attrs.frozen(kw_only=True)
class OpenSnapshot:
    """The open items at a moment: columns to compute with, and cards to show.

    If the market exceeds its share of memory, *cards* has only the most popular items, or
    there are neither columns nor cards. Where demand fades there are no columns either. With
    *is_complete*, an item without a card is not open. *since* is the time, by the monotonic
    clock, at which reading started.
    """

    market: OpenMarket | None
    cards: Mapping[ItemId, ItemCard]
    is_complete: bool
    since: float
    _popular: dict[CategoryId | None, StoredList] = attrs.field(factory=dict, init=False)

    def popular(self, scorer: Scorer, category: CategoryId | None, *, keep: int) -> StoredList:
        """Return the popular items of a category, or of all categories where it is None.

        A list no longer than stored lists are is computed once and cached.

        Raises:
            ValueError: There are no columns.
        """
        if self.market is None:
            raise ValueError("there are no columns to compute with")
        known = self._popular.get(category)
        if known is not None and keep <= POPULAR_KEPT:
            return known
        lists = scorer.popular(self.market, category=category, keep=max(keep, POPULAR_KEPT))
        made = lists.stored(0)
        # Empty lists are not cached: requests for unknown categories must not use memory.
        if keep <= POPULAR_KEPT and len(made) and len(self._popular) < _MOST_POPULAR:
            self._popular[category] = made
        return made


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
        return len(self) > _MOST_CHANGED

    def note_changed(
        self, item_ids: Iterable[ItemId], known: Mapping[ItemId, ItemCard] | None
    ) -> None:
        """Note that items change; *known* are the cards in memory, None if there are none."""
        now = self._clock.monotonic()
        until = now + _SECONDS_UNREAD
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
        known_at = now - _SECONDS_UNREAD if live_since is None else live_since
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


@attrs.frozen(kw_only=True)
class OpenItems:
    """Reads and refreshes the open items, as long as answers need them.

    *make_room* has the cache of lists leave them the bytes that they take. *before_reading* is
    called before each read. *changed* tracks the items that changed since the last one.
    """

    stale_cache: StaleCache
    scorer: Scorer
    models: TrainedModels
    clock: Clock
    settings: Settings
    make_room: Callable[[int], None]
    before_reading: Callable[[], None]
    changed: ChangedItems

    def known(self) -> OpenSnapshot | None:
        """Return the open items in memory if they may be shown, without refreshing them."""
        cached = self.stale_cache.cache.get(OPEN_ITEMS)
        return None if cached is None else cached.value

    @property
    def freshness(self) -> Freshness | None:
        """Return how fresh the open items in memory are, None if none may be shown."""
        cached = self.stale_cache.cache.get(OPEN_ITEMS)
        return None if cached is None else cached.freshness

    def held(self) -> OpenSnapshot | None:
        """Return the open items in memory, even if they may be shown only on error."""
        held: OpenSnapshot | None = self.stale_cache.cache.held(OPEN_ITEMS)
        return held

    def at_once(self) -> Cached[OpenSnapshot] | None:
        """Return the open items in memory without waiting; refresh them in the background."""
        return self.stale_cache.at_once(OPEN_ITEMS, self._read)

    def current(self) -> Cached[OpenSnapshot]:
        """Return the open items; read them first if none are in memory.

        Raises:
            StorageUnavailableError: The open items could not be read, or not in time.
        """
        return self.stale_cache.current(OPEN_ITEMS, self._read)

    def mark(self) -> None:
        """Have the open items refreshed; the ones in memory may be shown until then."""
        self.stale_cache.cache.mark(OPEN_ITEMS[0])

    def forget(self) -> None:
        """Drop the open items, so that they are read again."""
        self.stale_cache.cache.forget(OPEN_ITEMS)

    def _read(self, _: bool) -> Entry[OpenSnapshot]:
        self.before_reading()
        now, rule, since = self.clock.now(), self.settings.popularity, self.clock.monotonic()
        listed = self.scorer.catalog.open_cards(now, counting=rule.counting)
        read = listed.where(open_rows(listed.catalogue, now))
        room = self.settings.cache_bytes // 2 - _BYTES_OF_ENTRY
        live, size = self._within(read, now, room=room, since=since)
        self.make_room(size + _BYTES_OF_ENTRY)
        limits = FreshnessLimits(fresh_for=self.settings.live_for, stale_for=self.settings.live_for)
        age = max(self.clock.now() - now, timedelta(0))
        return Entry(live, size=size, age=age, limits=limits)

    def _within(
        self, read: OpenCards, now: datetime, *, room: int, since: float
    ) -> tuple[OpenSnapshot, int]:
        """Return as much of the open items as fits into *room*, and its size in bytes."""
        lists = min(len(read.catalogue.categories) + 1, _MOST_POPULAR) * _BYTES_OF_POPULAR
        columns, cards = read.footprint + lists, read.footprint_of_cards
        if columns > room:
            _log.warning(
                "open items do not fit: items=%d bytes=%d room=%d", len(read), columns, room
            )
            return OpenSnapshot(market=None, cards={}, is_complete=False, since=since), 0
        market = None
        if self.settings.popularity.half_life is None:
            # Fading demand is computed from all bids ever placed: too slow for every refresh.
            market = self.scorer.market_of(read.catalogue, now)
            model = self.models.newest
            if model is not None:
                market = self.scorer.with_titles(market, model, read.titles)
                if market.signals is not None:
                    columns += market.signals.footprint
        shown, is_complete = read, columns + cards <= room
        if not is_complete:
            counts = read.catalogue.bids + read.catalogue.watchers
            most = len(read) * (room - columns) // cards
            has_card = np.zeros(len(read), np.bool_)
            has_card[np.argsort(-counts, kind="stable")[:most]] = True
            shown = read.where(has_card)
        live = OpenSnapshot(
            market=market,
            cards=shown.cards(self.settings.prices),
            is_complete=is_complete,
            since=since,
        )
        return live, min(columns + cards, room)
