"""Lists of suggestions: from memory, else as they are stored, else computed now."""

import logging
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from datetime import datetime, timedelta
from functools import partial

import attrs

from angle_reco.application.jobs.list_writer import store_one
from angle_reco.application.scoring import Scorer, popular_owner
from angle_reco.application.serving.open_items import OpenItems
from angle_reco.application.serving.pending_activity import PendingActivity
from angle_reco.application.serving.stale_cache import Loaded, Served, StaleCache
from angle_reco.application.waiting import about_to_wait
from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.errors import ItemNotFoundError, StorageError, UserErasedError
from angle_reco.domain.freshness import FreshnessLimits, age_of, freshness_at
from angle_reco.domain.ids import CategoryId, ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.lists import EVERYTHING, ListKind, Lists, StoredList
from angle_reco.domain.packed import PackedList
from angle_reco.domain.popular import POPULAR_KEPT
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.suggestions import Freshness
from angle_reco.ports.cache import CacheKey
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.ports.clock import Clock
from angle_reco.ports.deadlines import deadline
from angle_reco.ports.stores import ListStore
from angle_reco.settings import Settings

_log = logging.getLogger(__name__)

_SECONDS_WHILE_COVERED = 10.0
"""After so long it is looked again whether a complete run has come to an owner."""


@attrs.frozen(kw_only=True)
class CachedList:
    """A list as memory has it, with what else its answers need.

    Of a user's list *engaged* are the items in it that the user bid on or watches, of an
    item's *category* is the item's. *cards* are there where nothing is kept: for the answer
    at hand.
    """

    packed: PackedList
    made_as: Freshness
    engaged: frozenset[ItemId] = frozenset()
    category: CategoryId | None = None
    cards: Mapping[ItemId, ItemCard] | None = None


@attrs.frozen(kw_only=True)
class ListReader:
    """Lists by kind and owner; without *keeping* nothing of them stays in memory.

    *renewed_by_run* has an item's list made anew in the ledger of runs, so that of many
    processes one does it. *is_run_under_way* tells whether a complete run over a kind is.
    """

    lists: ListStore
    catalog: CatalogQueries
    scorer: Scorer
    clock: Clock
    settings: Settings
    stale_cache: StaleCache | None
    open_items: OpenItems | None
    renewed_by_run: Callable[[ItemId], None]
    is_run_under_way: Callable[[ListKind], bool]
    pending: PendingActivity
    as_of: datetime | None = None

    def of(
        self, kind: ListKind, owner: object, *, viewer: UserId | None = None
    ) -> Served[CachedList]:
        """Return the list of an owner, whether or not one is stored.

        Where nothing is kept, its cards are for the *viewer* of an item's page.

        Raises:
            ItemNotFoundError: Of similar items: there is no such item.
            StorageUnavailableError: It could not be read or computed, or not in time.
        """
        if self.stale_cache is None:
            made = self._make(kind, owner, False, viewer).value
            return Served(made, made.made_as)
        return self.stale_cache.current(key_of(kind, owner), partial(self._make, kind, owner))

    def of_popular(self, category: CategoryId | None) -> Served[CachedList] | None:
        """Return the popular items that are in memory or stored, None if that is nowhere.

        Raises:
            StorageUnavailableError: They could not be read, or not in time.
        """
        owner = popular_owner(category)
        if self.stale_cache is not None:
            return self.of(ListKind.POPULAR, owner)
        read = self._read(ListKind.POPULAR, owner)
        return None if read is None else Served(read.value, read.value.made_as)

    def computed_anew(self, user_id: UserId, *, keep: int) -> Served[CachedList]:
        """Return a user's list as it is now: too little of the one that is kept is shown.

        One that is longer than those that are stored is for this answer alone.

        Raises:
            StorageUnavailableError: It could not be computed, or not in time.
        """
        if self.stale_cache is not None and keep <= self.settings.chosen_ranker.kept:
            make = partial(self._make_anew, ListKind.PERSONAL, user_id)
            return self.stale_cache.anew(key_of(ListKind.PERSONAL, user_id), make)
        about_to_wait()
        with nullcontext() if self.stale_cache is None else self.stale_cache.breaker.watched():
            stored = self._homepage(user_id, self.market(), keep=keep).stored(0)
        kept = CachedList(packed=PackedList.of(stored), made_as=Freshness.COMPUTED)
        return Served(kept, kept.made_as)

    def card(self, item_id: ItemId) -> ItemCard:
        """Return the card of an item, open or not.

        Raises:
            ItemNotFoundError: There is no such item.
        """
        live = None if self.open_items is None else self.open_items.known()
        card = None if live is None else live.cards.get(item_id)
        if live is not None and self.open_items is not None:
            card = self.open_items.changed.card(item_id, card, live.since)
        return card or _found(item_id, self._cards([item_id]))

    def is_usable(self, kind: ListKind, stored: StoredList | None) -> bool:
        """Return whether a stored list is there, of the recipe of now, and not too old."""
        age = self._age(kind, stored)
        return age is not None and freshness_at(age, self.settings.freshness[kind]) is not None

    def forget(self, kind: ListKind, owner: object) -> bool:
        """Have the next answer read a list anew; False when it was not in memory."""
        return self.stale_cache is not None and self.stale_cache.cache.forget(key_of(kind, owner))

    def market(self) -> OpenMarket:
        """Return the open items to compute with: those in memory, if that is possible."""
        if self.open_items is not None:
            market = self.open_items.current().value.market
            if market is not None:
                return market
        about_to_wait()
        return self.scorer.market()

    def _make(
        self, kind: ListKind, owner: object, is_shown: bool, viewer: UserId | None = None
    ) -> Loaded[CachedList]:
        """Read what is stored; behind an answer that shows it, make it anew if it is stale."""
        read = self._read(kind, owner, viewer)
        if read is None or (kind is ListKind.PERSONAL and self._lacks_returned(owner, read.value)):
            return self._make_anew(kind, owner, is_shown)
        if is_shown and read.value.made_as is Freshness.STALE and self.stale_cache is not None:
            if self.is_run_under_way(kind):
                self.stale_cache.pause(key_of(kind, owner), _SECONDS_WHILE_COVERED)
            elif kind is ListKind.SIMILAR:
                self.renewed_by_run(ItemId(owner))
                self.stale_cache.pause(key_of(kind, owner), _SECONDS_WHILE_COVERED)
                read = self._read(kind, owner) or read
            else:
                return self._make_anew(kind, owner, is_shown)
        return read

    def _lacks_returned(self, owner: object, kept: CachedList) -> bool:
        """Return whether a stored list may be without an item whose bid was just withdrawn.

        One that was edited by hand stays what it is.
        """
        returned = self.pending.returned_to(UserId(owner))
        return not kept.packed.edited and not returned.issubset(kept.packed.ids)

    def _read(
        self, kind: ListKind, owner: object, viewer: UserId | None = None
    ) -> Loaded[CachedList] | None:
        """Return the stored list of an owner, None when it cannot be used.

        That is when it is missing, of another recipe, or too old to be shown.
        """
        about_to_wait()
        stored = self.lists.read(kind, [owner]).get(owner)
        age = self._age(kind, stored)
        limits = self.settings.freshness[kind]
        freshness = None if age is None else freshness_at(age, limits)
        if stored is None or age is None or freshness is None:
            return None
        kept = CachedList(packed=PackedList.of(stored), made_as=freshness)
        return self._made(self._with_cards(kind, owner, kept, viewer), age, limits)

    def _with_cards(
        self, kind: ListKind, owner: object, kept: CachedList, viewer: UserId | None
    ) -> CachedList:
        """Return a stored list with what is known of its items, and of the one it is of.

        Raises:
            ItemNotFoundError: There is no item of that id any more.
        """
        ids, is_kept = kept.packed.ids, self.stale_cache is not None
        if kind is ListKind.PERSONAL:
            cards = self._cards(ids, viewer=UserId(owner))
            engaged = frozenset(one.item_id for one in cards.values() if one.engaged)
            return attrs.evolve(kept, engaged=engaged, cards=None if is_kept else cards)
        if kind is ListKind.SIMILAR and is_kept:
            return attrs.evolve(kept, category=self.card(ItemId(owner)).category_id)
        if kind is ListKind.SIMILAR:
            cards = self._cards((ItemId(owner), *ids), viewer=viewer)
            item = _found(ItemId(owner), cards)
            return attrs.evolve(kept, category=item.category_id, cards=cards)
        return kept

    def _make_anew(self, kind: ListKind, owner: object, is_shown: bool) -> Loaded[CachedList]:
        category, ids, market = None, self.settings.ids, self.market()
        if kind is ListKind.SIMILAR:
            item = self.card(ItemId(owner))
            category = item.category_id
            lists = self.scorer.similar_to_one(market, item)
        elif kind is ListKind.PERSONAL:
            keep = self.settings.chosen_ranker.kept
            lists = self._homepage(UserId(owner), market, keep=keep)
        else:
            of = None
            if owner != EVERYTHING:
                of = CategoryId(ids.category.parse(str(owner), "category id"))
            lists = self.scorer.popular(market, category=of, keep=POPULAR_KEPT)
        if self.stale_cache is not None and kind is not ListKind.POPULAR:
            store = partial(self._store, kind, lists)
            store() if is_shown else self.stale_cache.pool.submit(store)
        age, limits = self.clock.now() - lists.computed_at, self.settings.freshness[kind]
        kept = CachedList(
            packed=PackedList.of(lists.stored(0)), made_as=Freshness.COMPUTED, category=category
        )
        return self._made(kept, age, limits)

    def _homepage(self, user_id: UserId, market: OpenMarket, *, keep: int) -> Lists:
        users = IdIndex(IdColumn.of(self.settings.ids.user, [user_id]))
        profiles = self.scorer.profiles(market, users)
        return self.scorer.homepages(market, profiles, users.ids, keep=keep)

    def _store(self, kind: ListKind, lists: Lists) -> None:
        """Store a list, which is as good without: the next process computes it again."""
        try:
            with deadline(self.settings.deadline.total_seconds()):
                store_one(self.lists, kind, lists)
        except (StorageError, UserErasedError) as error:
            _log.warning(
                "computed list not stored: kind=%s error=%s", kind.value, type(error).__name__
            )

    def _made(
        self, kept: CachedList, age: timedelta, limits: FreshnessLimits
    ) -> Loaded[CachedList]:
        live = None if self.open_items is None else self.open_items.known()
        shared = {} if live is None else live.cards
        size = kept.packed.footprint + sys.getsizeof(kept.engaged) + _OF_ITSELF
        size += sum(sys.getsizeof(one) for one in kept.packed.ids if one not in shared)
        return Loaded(kept, size, max(age, timedelta(0)), limits)

    def _cards(
        self, item_ids: Collection[ItemId], viewer: UserId | None = None
    ) -> Mapping[ItemId, ItemCard]:
        about_to_wait()
        now = self.clock.now()
        return self.catalog.cards(item_ids, at=now, until=self.as_of, viewer=viewer)

    def _age(self, kind: ListKind, stored: StoredList | None) -> timedelta | None:
        """Return how old a stored list is, None when it is missing or of another recipe."""
        if stored is None or stored.recipe != self.scorer.recipes.lists[kind]:
            return None
        return age_of(
            stored.computed_at,
            covered_at=stored.covered_at,
            now=self.clock.now(),
            limits=self.settings.freshness[kind],
        )


def _found(item_id: ItemId, cards: Mapping[ItemId, ItemCard]) -> ItemCard:
    card = cards.get(item_id)
    if card is None:
        raise ItemNotFoundError(item_id)
    return card


def key_of(kind: ListKind, owner: object) -> CacheKey:
    """Return what a list is kept under."""
    return (kind.value, owner)


_OF_ITSELF = 80
"""What an object with four fields takes, in bytes."""
