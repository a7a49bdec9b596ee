"""Reads lists of suggestions: from memory, else as stored, else computed for the call."""

import logging
import sys
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from typing import NamedTuple

import attrs

from angle_reco.application.jobs.claims import JobClaims
from angle_reco.application.jobs.single_lists import store_one
from angle_reco.application.scoring import Scorer
from angle_reco.application.serving.open_items import OpenItems
from angle_reco.application.serving.pending_activity import PendingActivity
from angle_reco.application.serving.stale_cache import StaleCache
from angle_reco.application.trained_models import TrainedModels
from angle_reco.domain.activity import History
from angle_reco.domain.errors import ItemNotFoundError, StorageError, UserErasedError
from angle_reco.domain.freshness import age_of, freshness_at
from angle_reco.domain.ids import CategoryId, ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.job_names import JOB_OF
from angle_reco.domain.lists import EVERYTHING, ListKind, Lists
from angle_reco.domain.moments import to_micros
from angle_reco.domain.popular import POPULAR_KEPT, popular_owner
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.own_sources import OwnItems, lines_to_explain
from angle_reco.domain.sentences import shortened
from angle_reco.domain.stored_list import StoredList
from angle_reco.domain.suggestions import Freshness
from angle_reco.domain.whys import NO_SOURCES, Sources
from angle_reco.ports.cache import Cached, Entry, key_of
from angle_reco.ports.clock import Clock
from angle_reco.ports.deadlines import about_to_wait, deadline
from angle_reco.ports.stores import ListStore
from angle_reco.settings import Settings

_log = logging.getLogger(__name__)

_SECONDS_WHILE_COVERED = 10.0
"""How long a stale list is not refreshed again while a run is to renew it."""


@attrs.frozen(kw_only=True)
class CachedList:
    """A list as it is cached, with the other data that its answers need.

    In a user's list, *engaged* are the items that the user bid on or watches, and *sources* those
    that explain lines to this user alone. With *stands_in* the model that should rank it could not
    be used. In a list of similar items, *category* and *title* are those of the owner item. *cards*
    are set only without a cache, for the current answer.
    """

    stored: StoredList
    engaged: frozenset[ItemId] = frozenset()
    sources: Sources = NO_SOURCES
    stands_in: bool = False
    category: CategoryId | None = None
    title: str = ""
    cards: Mapping[ItemId, ItemCard] | None = None


class _Usable(NamedTuple):
    """A stored list that may be shown, and how old and fresh it is."""

    stored: StoredList
    age: timedelta
    made_as: Freshness


@attrs.frozen(kw_only=True)
class ListReader:
    """Reads lists by kind and owner; without a *stale_cache* no list stays in memory.

    The list of one item is recomputed as one of the *runs* in the ledger, so that only one of
    several processes does it.
    """

    lists: ListStore
    scorer: Scorer
    models: TrainedModels
    clock: Clock
    settings: Settings
    stale_cache: StaleCache | None
    open_items: OpenItems | None
    runs: JobClaims
    pending: PendingActivity

    def of(
        self, kind: ListKind, owner: object, *, viewer: UserId | None = None
    ) -> Cached[CachedList]:
        """Return the list of an owner; compute it if no usable list is stored.

        Without a *stale_cache*, the cards in a list of similar items are read for *viewer*.

        Raises:
            ItemNotFoundError: The list is of similar items, and no item has the owner's id.
            StorageUnavailableError: The list could not be read or computed, or not in time.
        """
        if self.stale_cache is None:
            made = self._make(kind, owner, False, viewer)
            return Cached(made.value, made.made_as)
        # The key as `key_of` returns it, without a call: every answer comes by here.
        return self.stale_cache.current((kind.value, owner), partial(self._make, kind, owner))

    def of_popular(self, category: CategoryId | None) -> Cached[CachedList] | None:
        """Return a list of popular items; without a *stale_cache*, None if none is stored.

        Raises:
            StorageUnavailableError: The list could not be read, or not in time.
        """
        owner = popular_owner(category)
        if self.stale_cache is not None:
            return self.of(ListKind.POPULAR, owner)
        usable = self._usable(ListKind.POPULAR, owner)
        return None if usable is None else Cached(CachedList(stored=usable.stored), usable.made_as)

    def recomputed(self, user_id: UserId, *, keep: int) -> Cached[CachedList]:
        """Compute a user's list for an answer that the cached list cannot fill.

        A list longer than the stored ones serves this answer only and is not cached.

        Raises:
            StorageUnavailableError: The list could not be computed, or not in time.
        """
        if self.stale_cache is not None and keep <= self.scorer.rankings.kept:
            make = partial(self._recompute, ListKind.PERSONAL, user_id)
            return self.stale_cache.recompute(key_of(ListKind.PERSONAL, user_id), make)
        about_to_wait()
        with nullcontext() if self.stale_cache is None else self.stale_cache.breaker.watched():
            _, computed = self._homepage(user_id, self._history(user_id), keep=keep)
        return Cached(computed, Freshness.COMPUTED)

    def card(self, item_id: ItemId) -> ItemCard:
        """Return the card of an item, open or not.

        Raises:
            ItemNotFoundError: No item has this id.
        """
        live = None if self.open_items is None else self.open_items.known()
        card = None if live is None else live.cards.get(item_id)
        if live is not None and self.open_items is not None:
            card = self.open_items.changed.card(item_id, card, live.since)
        return card or _found(item_id, self._cards([item_id]))

    def is_usable(self, kind: ListKind, stored: StoredList | None) -> bool:
        """Return whether a stored list exists, has the current recipe and is not too old."""
        age = self._age(kind, stored)
        return age is not None and freshness_at(age, self.settings.freshness[kind]) is not None

    def forget(self, kind: ListKind, owner: object) -> None:
        """Drop a list from the cache."""
        if self.stale_cache is not None:
            self.stale_cache.cache.forget(key_of(kind, owner))

    def market(self, *, with_model: bool = False) -> OpenMarket:
        """Return the open items to compute with, from memory if possible."""
        if self.open_items is not None:
            market = self.open_items.current().value.market
            if market is not None:
                return market
        about_to_wait()
        return self.scorer.market(self.models.newest if with_model else None)

    def _make(
        self, kind: ListKind, owner: object, is_refresh: bool, viewer: UserId | None = None
    ) -> Entry[CachedList]:
        """Return the stored list, or compute it if the stored list cannot be used.

        With *is_refresh* an older list answers callers until then. A stale stored list is then
        recomputed, unless a complete run over its kind is under way.
        """
        usable = self._usable(kind, owner)
        is_stale = usable is not None and usable.made_as is Freshness.STALE
        if is_refresh and is_stale and self.stale_cache is not None:
            if self.runs.is_under_way(JOB_OF[kind]):
                self.stale_cache.pause(key_of(kind, owner), _SECONDS_WHILE_COVERED)
            elif kind is ListKind.SIMILAR:
                self.runs.recompute_similar(ItemId(owner))
                self.stale_cache.pause(key_of(kind, owner), _SECONDS_WHILE_COVERED)
                usable = self._usable(kind, owner) or usable
            else:
                usable = None
        if usable is None:
            return self._recompute(kind, owner, is_refresh)
        if kind is ListKind.PERSONAL:
            # What a user did before is not in the list, unless it was edited.
            newest = None if usable.stored.edited else _NEWEST
            history = self._history(UserId(owner), newest=newest)
            if self.stale_cache is not None and self._is_older_than(history, usable.stored):
                is_whole = len(history.interactions) < _NEWEST
                return self._recompute(kind, owner, is_refresh, history if is_whole else None)
            cached = self._explained(usable.stored, UserId(owner), history)
        elif kind is ListKind.SIMILAR:
            cached = self._similar(ItemId(owner), usable.stored, viewer)
        else:
            cached = CachedList(stored=usable.stored)
        return self._entry(kind, cached, usable.age, made_as=usable.made_as)

    def _is_outdated(self, owner: object, stored: StoredList) -> bool:
        """Return whether the newest events of a user may change a stored list, unless edited.

        Every event changes what the user is interested in. A list may lack an item whose bid was
        just withdrawn.
        """
        user_id = UserId(owner)
        if stored.edited:
            return False
        if user_id in self.pending.by_user:
            return True
        return not self.pending.returned_to(user_id).issubset(stored.ids)

    def _usable(self, kind: ListKind, owner: object) -> _Usable | None:
        """Return the stored list of an owner, None if it cannot be used.

        A list cannot be used if it is missing, has another recipe, is too old to be shown, or
        lacks what the owner did since.
        """
        about_to_wait()
        # Read for users with pending events, too: it may be edited by hand, and is used then.
        stored = self.lists.read(kind, [owner]).get(owner)
        age = self._age(kind, stored)
        made_as = None if age is None else freshness_at(age, self.settings.freshness[kind])
        if stored is None or age is None or made_as is None:
            return None
        if kind is ListKind.PERSONAL and self._is_outdated(owner, stored):
            return None
        return _Usable(stored, age, made_as)

    def _is_older_than(self, history: History, stored: StoredList) -> bool:
        """Return whether a user bid or began to watch after a homepage was computed, unless edited.

        Moments to come are of a clock that is ahead.
        """
        last = max(stored.computed_at, stored.covered_at or stored.computed_at)
        moments = history.interactions.moments
        is_new = (moments > to_micros(last)) & (moments <= to_micros(self.clock.now()))
        return not stored.edited and bool(is_new.any())

    def _similar(self, item_id: ItemId, stored: StoredList, viewer: UserId | None) -> CachedList:
        """Return similar items with the item that owns the list; without a cache with cards, too.

        Raises:
            ItemNotFoundError: The item no longer exists.
        """
        if self.stale_cache is not None:
            return _of_item(self.card(item_id), stored)
        cards = self._cards((item_id, *stored.ids), viewer=viewer)
        return _of_item(_found(item_id, cards), stored, cards)

    def _recompute(
        self, kind: ListKind, owner: object, is_refresh: bool, history: History | None = None
    ) -> Entry[CachedList]:
        if kind is ListKind.PERSONAL:
            user_id, keep = UserId(owner), self.scorer.rankings.kept
            history = self._history(user_id) if history is None else history
            lists, cached = self._homepage(user_id, history, keep=keep)
        elif kind is ListKind.SIMILAR:
            item = self.card(ItemId(owner))
            market = self.market(with_model=self.scorer.rankings.is_similar_learned)
            lists = self.scorer.similar_to_one(market, item)
            cached = _of_item(item, lists.stored(0))
        else:
            of = None
            if owner != EVERYTHING:
                of = CategoryId(self.settings.ids.category.parse(str(owner), "category id"))
            lists = self.scorer.popular(self.market(), category=of, keep=POPULAR_KEPT)
            cached = CachedList(stored=lists.stored(0))
        if self.stale_cache is not None and kind is not ListKind.POPULAR and not cached.stands_in:
            # Last, as a thread that works beside this one slows it down.
            store = partial(self._store, kind, lists)
            store() if is_refresh else self.stale_cache.pool.submit(store)
        age = self.clock.now() - lists.computed_at
        return self._entry(kind, cached, age, made_as=Freshness.COMPUTED)

    def _homepage(
        self, user_id: UserId, history: History, *, keep: int
    ) -> tuple[Lists, CachedList]:
        """Compute the homepage of a user; return it as it is stored, and as it is cached."""
        market = self.market(with_model=True)
        profile = self.scorer.profile(market, user_id, history)
        lists = self.scorer.homepages(market, profile, keep=keep)
        return lists, self._explained(lists.stored(0), user_id, history)

    def _history(self, user_id: UserId, *, newest: int | None = None) -> History:
        about_to_wait()
        return self.scorer.history(user_id, newest=newest)

    def _explained(self, stored: StoredList, user_id: UserId, history: History) -> CachedList:
        """Return a homepage with what its user engaged with, and with what explains its lines.

        Without a cache it has cards, too.
        """
        live = None if self.open_items is None else self.open_items.known()
        if live is not None and live.is_complete:
            cards = live.cards
        else:
            cards = self._cards(stored.ids, viewer=user_id)
        touched = [one for one in history.touched(user_id, most=_TOUCHED) if one.title]
        own = OwnItems(
            user_id=user_id,
            touched=touched,
            listed=stored.ids,
            cards=cards,
            ids=self.settings.ids,
            rule=self.settings.interest,
            now=self.clock.now(),
            model=self.models.newest if stored.recipe.model else None,
        )
        return CachedList(
            stored=stored,
            engaged=frozenset(map(ItemId, history.interactions.items)).intersection(stored.ids),
            sources=own.sources(lines_to_explain(stored)) if touched else NO_SOURCES,
            stands_in=self.models.is_substitute(stored.recipe),
            cards=cards if self.stale_cache is None else None,
        )

    def _store(self, kind: ListKind, lists: Lists) -> None:
        """Store a computed list; a failure is only logged, as the list can be recomputed."""
        try:
            with deadline(self.settings.deadline.total_seconds()):
                store_one(self.lists, kind, lists)
        except (StorageError, UserErasedError) as error:
            _log.warning(
                "computed list not stored: kind=%s error=%s", kind.value, type(error).__name__
            )

    def _entry(
        self, kind: ListKind, cached: CachedList, age: timedelta, *, made_as: Freshness
    ) -> Entry[CachedList]:
        live = None if self.open_items is None else self.open_items.known()
        shared = {} if live is None else live.cards
        size = cached.stored.footprint + sys.getsizeof(cached.engaged) + _OF_ITSELF
        size += cached.sources.footprint + (sys.getsizeof(cached.title) if cached.title else 0)
        size += sum(sys.getsizeof(one) for one in cached.stored.ids if one not in shared)
        age, limits = max(age, timedelta(0)), self.settings.freshness[kind]
        return Entry(cached, size=size, age=age, limits=limits, made_as=made_as)

    def _cards(
        self, item_ids: Collection[ItemId], viewer: UserId | None = None
    ) -> Mapping[ItemId, ItemCard]:
        about_to_wait()
        return self.scorer.cards(item_ids, viewer)

    def _age(self, kind: ListKind, stored: StoredList | None) -> timedelta | None:
        """Return the age of a stored list, None if it is missing or cannot be used.

        A list of another recipe, or one computed too far in the future, cannot be used.
        """
        if stored is None or not self._is_current(kind, stored):
            return None
        return age_of(
            stored.computed_at,
            covered_at=stored.covered_at,
            now=self.clock.now(),
            limits=self.settings.freshness[kind],
        )

    def _is_current(self, kind: ListKind, stored: StoredList) -> bool:
        if kind is ListKind.PERSONAL:
            return self.models.is_usable(stored.recipe)
        if kind is ListKind.SIMILAR and stored.recipe.model:
            rankings = self.scorer.rankings
            return rankings.is_similar_learned and stored.recipe == rankings.similar
        return stored.recipe == self.scorer.recipes.lists[kind]


def _of_item(
    item: ItemCard, stored: StoredList, cards: Mapping[ItemId, ItemCard] | None = None
) -> CachedList:
    """Return a list of items similar to one, which sentences name only if it is public."""
    title = shortened(item.title) if item.is_published else ""
    return CachedList(stored=stored, category=item.category_id, title=title, cards=cards)


def _found(item_id: ItemId, cards: Mapping[ItemId, ItemCard]) -> ItemCard:
    card = cards.get(item_id)
    if card is None:
        raise ItemNotFoundError(item_id)
    return card


_TOUCHED = 200
"""The newest items of a user among which sources are looked for."""

_NEWEST = 1_000
"""How many bids and watches are read with a stored list: some users have a million."""

_OF_ITSELF = 104
"""The bytes of a `CachedList` without its values."""
