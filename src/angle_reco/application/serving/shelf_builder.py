"""Builds shelves from lists: filters the items that may be shown and records failures."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import attrs

from angle_reco.application.scoring import Scorer
from angle_reco.application.serving.invalidation import CacheInvalidator
from angle_reco.application.serving.list_reader import CachedList, ListReader
from angle_reco.application.serving.open_items import OpenItems
from angle_reco.application.serving.pending_activity import PendingActivity, RolledBackEvents
from angle_reco.application.serving.stale_cache import StaleCache
from angle_reco.domain.errors import ComponentError, InvalidValueError, StorageUnavailableError
from angle_reco.domain.events import AnswerDegraded
from angle_reco.domain.ids import CategoryId, ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.pages import CardLoader, with_objects
from angle_reco.domain.popular import POPULAR_KEPT
from angle_reco.domain.stored_list import StoredList
from angle_reco.domain.suggestions import Freshness, Shelf, Suggestion
from angle_reco.domain.type_checks import is_mapping
from angle_reco.domain.whys import NO_SOURCES, Grounds, Sources, Speech
from angle_reco.ports.cache import Cached
from angle_reco.ports.clock import Clock
from angle_reco.ports.deadlines import about_to_wait
from angle_reco.settings import Settings, Verify

_log = logging.getLogger(__name__)

LIST, ITEMS, INTERESTS, POPULAR, MODEL = "list", "items", "interests", "popular", "model"
"""The values of *degraded_by*: the data that could not be read or refreshed."""


class Viewing(NamedTuple):
    """The user an answer is filtered for, and whether it may show items they engaged with.

    A user engages with an item by a bid or a watch. With *is_own* that user reads the answer, so
    that its sentences may name such items.
    """

    viewer: UserId | None
    include_engaged: bool
    is_own: bool = False


class Cards(NamedTuple):
    """The cards of items that may be open, and the failures when they were read."""

    by_id: Mapping[ItemId, ItemCard]
    degraded_by: tuple[str, ...] = ()


_NOTHING: frozenset[ItemId] = frozenset()


@attrs.frozen(kw_only=True)
class ShelfBuilder:
    """Turns lists into shelves, for every surface.

    Without a *stale_cache* nothing is cached, and a failure has no fallback.
    """

    list_reader: ListReader
    scorer: Scorer
    clock: Clock
    settings: Settings
    stale_cache: StaleCache | None
    open_items: OpenItems | None
    invalidator: CacheInvalidator | None
    pending: PendingActivity
    rolled_back: RolledBackEvents
    speech: Speech

    def cards(self, item_ids: Sequence[ItemId], viewer: UserId | None) -> Cards:
        """Return the cards of the items that may be open, from memory as far as possible.

        With *open_items*, a price is at least the highest pending amount for its item.

        Raises:
            StorageUnavailableError: The cards could not be read, and no open items in memory
                can replace them.
        """
        known = self._cards(item_ids, viewer)
        if self.open_items is None or not self.pending.offers.highest:
            return known
        return known._replace(by_id=self.pending.offers.on(known.by_id, item_ids))

    def _cards(self, item_ids: Sequence[ItemId], viewer: UserId | None) -> Cards:
        in_memory = None if self.settings.verify is Verify.ALWAYS else self.open_items
        live = None if in_memory is None else in_memory.at_once()
        if live is None:
            try:
                return Cards(self._read_cards(item_ids, viewer))
            except StorageUnavailableError:
                if in_memory is None:
                    raise
                # While the database does not answer, older open items may be shown.
                live = in_memory.current()
        cards, freshness = live.value.cards, live.freshness
        degraded: tuple[str, ...] = (ITEMS,) if freshness is Freshness.STALE_ON_ERROR else ()
        if in_memory is not None and (in_memory.changed.unread or in_memory.changed.cards):
            cards, is_complete = in_memory.changed.applied(
                cards,
                item_ids,
                live_since=live.value.since,
                read=lambda ids: self._read_cards(ids, viewer),
            )
            degraded = degraded if is_complete else (ITEMS,)
        if live.value.is_complete:
            return Cards(cards, degraded)
        missing = [one for one in item_ids if one not in cards]
        if missing:
            cards = {**{one: cards[one] for one in item_ids if one in cards}}
            try:
                cards |= self._read_cards(missing, viewer)
            except StorageUnavailableError:
                # The cards in memory usually fill a page.
                degraded = (ITEMS,)
        return Cards(cards, degraded)

    def touched_by(self, user_id: UserId) -> frozenset[ItemId]:
        """Return the items a user bid on or watches, which cards in memory do not record.

        Raises:
            StorageUnavailableError: The items could not be read.
        """
        with self.asking():
            return self.scorer.activity.touched_by(user_id, until=self.scorer.as_of)

    def shown(
        self,
        stored: StoredList,
        viewing: Viewing,
        *,
        limit: int,
        without: Collection[ItemId] = (),
        first_rank: int = 1,
        cards: Mapping[ItemId, ItemCard] | None = None,
        of: ItemId | None = None,
        title: str = "",
        sources: Sources = NO_SOURCES,
    ) -> tuple[list[Suggestion], tuple[str, ...]]:
        """Return the first *limit* lines that may be shown, and the failures on the way.

        *title* and *sources* are for their sentences (`Grounds`); a title in memory of the item
        *of* which they are is more recent.
        """
        degraded_by: tuple[str, ...] = ()
        if cards is None:
            cards, degraded_by = self.cards(stored.ids, viewing.viewer)
        now = self.clock.now()
        places = stored.places_shown(
            cards,
            viewer=viewing.viewer,
            now=now,
            include_engaged=viewing.include_engaged,
            limit=limit,
            without=without,
        )
        if of is not None:
            title = title_of(of, cards, title)
        grounds = Grounds(self.speech, now, title, sources)
        suggestions = stored.suggestions(places, cards, grounds=grounds, first_rank=first_rank)
        return suggestions, degraded_by

    def shelf(
        self,
        served: Cached[CachedList],
        viewing: Viewing,
        *,
        limit: int,
        without: Set[ItemId] = _NOTHING,
        first_rank: int = 1,
        of: ItemId | None = None,
    ) -> Shelf:
        """Return the first *limit* lines of a list that may be shown, as a shelf.

        *of* is the item that the list belongs to, if it does.
        """
        value = served.value
        suggestions, degraded_by = self.shown(
            value.stored,
            viewing,
            limit=limit,
            without=value.engaged | without if without else value.engaged,
            first_rank=first_rank,
            cards=value.cards,
            of=of,
            title=value.title,
            sources=value.sources if viewing.is_own else NO_SOURCES,
        )
        if value.stands_in:
            degraded_by = (MODEL, *degraded_by)
        return shelf_of(served, suggestions, degraded_by)

    def popular(
        self,
        category: CategoryId | None,
        viewing: Viewing,
        *,
        limit: int,
        without: Set[ItemId] = _NOTHING,
        first_rank: int = 1,
    ) -> Shelf:
        """Return popular items of a category, or of all categories where it is None.

        They come from the open items in memory, else from a cached or stored list, else they
        are computed.

        Raises:
            StorageUnavailableError: They are not in memory, and could not be read in time.
        """
        live = None if self.open_items is None else self.open_items.at_once()
        if live is not None and live.value.market is not None:
            for most in (POPULAR_KEPT, POPULAR_KEPT + limit + len(without), len(live.value.market)):
                stored = live.value.popular(self.scorer, category, keep=most)
                suggestions, degraded_by = self.shown(
                    stored, viewing, limit=limit, without=without, first_rank=first_rank
                )
                if len(suggestions) == limit or len(stored) < most:
                    break
            return _shelf(stored, suggestions, live.freshness, degraded_by)
        served = self.list_reader.of_popular(category)
        if served is not None:
            shelf = self.shelf(served, viewing, limit=limit, without=without, first_rank=first_rank)
            if len(shelf) == limit or served.value.stored.is_complete:
                return shelf
        market = self.list_reader.market()
        # Rank all items: only their cards show how many of them may not be shown.
        ranked = self.scorer.popular(market, category=category, keep=len(market))
        stored = ranked.stored(0)
        suggestions, degraded_by = list[Suggestion](), tuple[str, ...]()
        for first in range(0, len(stored), _CARDS_AT_ONCE):
            some = stored.between(first, first + _CARDS_AT_ONCE)
            left = limit - len(suggestions)
            more, failed = self.shown(
                some,
                viewing,
                limit=left,
                without=without,
                first_rank=first_rank + len(suggestions),
            )
            suggestions += more
            degraded_by = degraded_by or failed
            if len(suggestions) == limit:
                break
        return _shelf(stored, suggestions, Freshness.COMPUTED, degraded_by)

    def apply_changes(self, viewer: UserId | None) -> frozenset[ItemId]:
        """Apply the change feed, and rollbacks of the viewer's events, before a page is made.

        Return the items that the viewer's pending activity hides.
        """
        invalidator = self.invalidator
        if invalidator is None:
            self.pending.drop_expired()
        elif not invalidator.is_started and invalidator.due_at <= self.clock.monotonic():
            invalidator.read_if_due()
        if not (self.pending.by_user or self.pending.returned):
            return _NOTHING
        self.rolled_back.drop_of(viewer)
        return self.pending.hidden_from(viewer)

    def or_popular(
        self,
        surface: str,
        answer: Callable[[], Shelf],
        category: CategoryId | None,
        viewing: Viewing,
        *,
        limit: int,
        without: Set[ItemId] = _NOTHING,
    ) -> Shelf:
        """Return the result of *answer*; if it fails, popular items or nothing.

        It fails if the database or a component of the ranker does. Call `apply_changes` before it.

        Raises:
            StorageUnavailableError: The database did not answer, and there is no *stale_cache*.
            ComponentError: A component failed, and there is no *stale_cache*.
        """
        try:
            return answer()
        except (StorageUnavailableError, ComponentError) as error:
            if self.stale_cache is None:
                raise
            self.notify_degraded(surface, error)
        try:
            if self.open_items is not None:
                # If this refresh fails, open items that may be shown only on error are used.
                self.open_items.current()
            popular = self.popular(category, viewing, limit=limit, without=without)
        except StorageUnavailableError:
            failed = Freshness.STALE_ON_ERROR
            return Shelf((), freshness=failed, degraded_by=(LIST, POPULAR))
        return attrs.evolve(popular, degraded_by=(LIST, *popular.degraded_by))

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Read from the database within the block, watched by the circuit breaker.

        Raises:
            StorageUnavailableError: The database did not answer, or is known not to.
        """
        about_to_wait()
        with nullcontext() if self.stale_cache is None else self.stale_cache.breaker.watched():
            yield

    def _read_cards(
        self, item_ids: Collection[ItemId], viewer: UserId | None
    ) -> Mapping[ItemId, ItemCard]:
        with self.asking():
            return self.scorer.cards(item_ids, viewer)

    def notify_degraded(self, surface: str, error: Exception) -> None:
        """Notify the host, once a minute for each *surface*, that an answer was degraded."""
        name = type(error).__name__
        event = AnswerDegraded(surface=surface, error=name, at=self.clock.now())
        if self.stale_cache is not None and self.stale_cache.notifier.notify(event, about=surface):
            if isinstance(error, ComponentError):
                _log.error(
                    "component failed: component=%s problem=%s", error.component, error.problem
                )
            _log.warning("answer degraded: surface=%s error=%s", surface, name)


def with_cards(shelf: Shelf, loader: CardLoader | None) -> Shelf:
    """Return a shelf with the objects that the host's *loader* returns as cards.

    Raises:
        InvalidValueError: The loader did not return a mapping.
    """
    if loader is None:
        return shelf
    about_to_wait()
    objects: object = loader(list(shelf.ids))
    if not is_mapping(objects):
        raise InvalidValueError("what cards returned", objects, "a mapping of ids to objects")
    return with_objects(shelf, objects)


def title_of(item_id: ItemId, cards: Mapping[ItemId, ItemCard], title: str) -> str:
    """Return the title of an item as in memory, "" if it is not public, else *title*."""
    card = cards.get(item_id)
    if card is None:
        return title
    return card.title if card.is_published else ""


def shelf_of(
    served: Cached[CachedList], suggestions: Sequence[Suggestion], degraded_by: tuple[str, ...]
) -> Shelf:
    """Return suggestions as a shelf, degraded if their list may be shown only on error."""
    if served.freshness is Freshness.STALE_ON_ERROR:
        degraded_by = (LIST, *degraded_by)
    return _shelf(served.value.stored, suggestions, served.freshness, degraded_by)


def _shelf(
    stored: StoredList,
    suggestions: Sequence[Suggestion],
    freshness: Freshness,
    degraded_by: tuple[str, ...],
) -> Shelf:
    recipe = stored.recipe
    return Shelf(
        tuple(suggestions),
        freshness=freshness,
        degraded_by=degraded_by,
        ranker=recipe.name,
        version=recipe.version,
    )


_CARDS_AT_ONCE = 500
