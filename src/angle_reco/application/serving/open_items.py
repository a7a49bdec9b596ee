"""Caches the open items, so that answers know without a query which items may be shown."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import attrs
import numpy as np

from angle_reco.application.scoring import Scorer
from angle_reco.application.serving.changed_items import ChangedItems
from angle_reco.application.serving.stale_cache import StaleCache
from angle_reco.application.trained_models import TrainedModels
from angle_reco.domain.availability import open_rows
from angle_reco.domain.freshness import FreshnessLimits
from angle_reco.domain.ids import CategoryId, ItemId
from angle_reco.domain.items import ItemCard, OpenCards
from angle_reco.domain.popular import POPULAR_KEPT
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.stored_list import StoredList
from angle_reco.ports.cache import Cached, CacheKey, Entry
from angle_reco.ports.clock import Clock
from angle_reco.settings import Settings

_log = logging.getLogger(__name__)

_MOST_POPULAR = 1_000
_BYTES_OF_POPULAR = 2_500
"""The most lists of popular items cached with the open items, and the bytes of one."""

_BYTES_OF_ENTRY = 1_500
"""The most that a cache counts for an entry besides its value."""

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
