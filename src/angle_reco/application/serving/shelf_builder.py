"""From a list of suggestions to a shelf: what may be shown, how it looks, and what failed."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

import attrs

from angle_reco.application.scoring import Scorer
from angle_reco.application.serving.invalidation import CacheInvalidator
from angle_reco.application.serving.list_reader import CachedList, ListReader
from angle_reco.application.serving.open_items import OpenItems
from angle_reco.application.serving.pending_activity import PendingActivity
from angle_reco.application.serving.rolled_back import RolledBackEvents
from angle_reco.application.serving.stale_cache import Served, StaleCache
from angle_reco.application.waiting import about_to_wait
from angle_reco.domain.errors import InvalidValueError, StorageUnavailableError
from angle_reco.domain.events import AnswerDegraded
from angle_reco.domain.freshness import freshness_of
from angle_reco.domain.ids import CategoryId, IdKinds, ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.packed import PackedList
from angle_reco.domain.popular import POPULAR_KEPT
from angle_reco.domain.suggestions import Freshness, Shelf, Suggestion
from angle_reco.domain.type_checks import is_mapping
from angle_reco.domain.validators import function
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.ports.clock import Clock
from angle_reco.ports.stores import StoredInterests
from angle_reco.settings import Settings, Verify

_log = logging.getLogger(__name__)

CardLoader: TypeAlias = Callable[[Sequence[Any]], Mapping[Any, Any]]
"""A host's own way from item ids to its objects; what it leaves out is not shown.

What it raises is raised to the caller, as it is.
"""

LIST, ITEMS, INTERESTS, POPULAR = "list", "items", "interests", "popular"
"""What a shelf can be degraded by: what could not be read, or not anew."""


class Viewing(NamedTuple):
    """For whom an answer is filtered, and whether what they bid on or watch may be in it."""

    viewer: UserId | None
    engaged_too: bool


class ShelfDraft(NamedTuple):
    """Suggestions with the freshness of their list, and what failed on the way."""

    suggestions: list[Suggestion]
    freshness: Freshness
    degraded_by: tuple[str, ...] = ()


class Cards(NamedTuple):
    """The cards of items that may be open, and what failed when they were read."""

    by_id: Mapping[ItemId, ItemCard]
    degraded_by: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class ShelfBuilder:
    """What every reading call does with lists, wherever they come from.

    Without *keeping* nothing stays in memory, and nothing stands in for what fails.
    """

    list_reader: ListReader
    catalog: CatalogQueries
    scorer: Scorer
    clock: Clock
    settings: Settings
    stale_cache: StaleCache | None
    open_items: OpenItems | None
    invalidator: CacheInvalidator | None
    pending: PendingActivity
    rolled_back: RolledBackEvents
    as_of: datetime | None = None

    @property
    def ids(self) -> IdKinds:
        """Return which kinds of ids there are."""
        return self.settings.ids

    def may_use_interests(self, stored: StoredInterests | None) -> bool:
        """Return whether there are stored interests that can be used."""
        if stored is None or stored.recipe != self.scorer.recipes.interests:
            return False
        freshness = freshness_of(
            stored.computed_at,
            covered_at=stored.covered_at,
            now=self.clock.now(),
            limits=self.settings.interests_freshness,
        )
        return freshness is not None

    def cards(self, item_ids: Sequence[ItemId], viewer: UserId | None) -> Cards:
        """Return the cards of those items that may be open: from memory as far as possible.

        Their prices are at least the amounts of pending bids.

        Raises:
            StorageUnavailableError: They are not all in memory, and could not be read.
        """
        known = self._cards(item_ids, viewer)
        if self.open_items is None:
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
                # Older ones may be shown now that the database does not answer.
                live = in_memory.current()
        cards, freshness = live.value.cards, live.freshness
        degraded: tuple[str, ...] = (ITEMS,) if freshness is Freshness.STALE_ON_ERROR else ()
        if in_memory is not None and in_memory.changed:
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
                # The others are known, and enough to fill a page more often than not.
                degraded = (ITEMS,)
        return Cards(cards, degraded)

    def touched_by(self, user_id: UserId) -> frozenset[ItemId]:
        """Return what a user bid on or watches, which cards in memory do not tell.

        Raises:
            StorageUnavailableError: It could not be read.
        """
        with self.asking():
            return self.scorer.activity.touched_by(user_id, until=self.as_of)

    def shown(
        self,
        packed: PackedList,
        viewing: Viewing,
        *,
        limit: int,
        without: Collection[ItemId] = (),
        first_rank: int = 1,
        cards: Mapping[ItemId, ItemCard] | None = None,
    ) -> tuple[list[Suggestion], tuple[str, ...]]:
        """Return the first *limit* lines that may be shown, and what failed on the way."""
        degraded_by: tuple[str, ...] = ()
        if cards is None:
            cards, degraded_by = self.cards(packed.ids, viewing.viewer)
        places = packed.places_shown(
            cards,
            viewer=viewing.viewer,
            now=self.clock.now(),
            engaged_too=viewing.engaged_too,
            limit=limit,
            without=without,
        )
        return packed.suggestions(places, cards, first_rank=first_rank), degraded_by

    def popular(
        self,
        category: CategoryId | None,
        viewing: Viewing,
        *,
        limit: int,
        without: Collection[ItemId] = (),
        first_rank: int = 1,
    ) -> ShelfDraft:
        """Return popular items, of everything or of a category: of now, stored, or computed.

        Raises:
            StorageUnavailableError: They are not in memory, and could not be read in time.
        """

        def shown(packed: PackedList) -> tuple[list[Suggestion], tuple[str, ...]]:
            return self.shown(packed, viewing, limit=limit, without=without, first_rank=first_rank)

        live = None if self.open_items is None else self.open_items.at_once()
        if live is not None and live.value.market is not None:
            for most in (POPULAR_KEPT, POPULAR_KEPT + limit + len(without), len(live.value.market)):
                packed = live.value.popular(self.scorer, category, keep=most)
                suggestions, degraded_by = shown(packed)
                if len(suggestions) == limit or len(packed) < most:
                    break
            return ShelfDraft(suggestions, live.freshness, degraded_by)
        kept = self.list_reader.of_popular(category)
        if kept is not None:
            packed = kept.value.packed
            suggestions, degraded_by = shown(packed)
            if len(suggestions) == limit or packed.is_complete:
                return answer_of(kept, suggestions, degraded_by)
        market = self.list_reader.market()
        # All of them: how many may not be shown is known when their cards are.
        ranked = self.scorer.popular(market, category=category, keep=len(market))
        packed = PackedList.of(ranked.stored(0))
        suggestions, degraded_by = list[Suggestion](), ()
        for first in range(0, len(packed), _CARDS_AT_ONCE):
            some = packed.between(first, first + _CARDS_AT_ONCE)
            left = limit - len(suggestions)
            more, degraded_by = self.shown(
                some,
                viewing,
                limit=left,
                without=without,
                first_rank=first_rank + len(suggestions),
            )
            suggestions += more
            if len(suggestions) == limit:
                break
        return ShelfDraft(suggestions, Freshness.COMPUTED, degraded_by)

    def or_popular(
        self,
        surface: str,
        answer: Callable[[], ShelfDraft],
        category: CategoryId | None,
        viewing: Viewing,
        *,
        limit: int,
        without: Collection[ItemId] = (),
    ) -> ShelfDraft:
        """Return an answer; where the database does not answer, popular items, or nothing.

        Raises:
            StorageUnavailableError: It does not, and nothing is to stand in for it.
        """
        if self.invalidator is None:
            self.pending.over()
        else:
            self.invalidator.look()
        self.rolled_back.look_for(viewing.viewer)
        try:
            return answer()
        except StorageUnavailableError as error:
            if self.stale_cache is None:
                raise
            self.tell_degraded(surface, error)
        try:
            if self.open_items is not None:
                # Also older ones, now that the database does not answer.
                self.open_items.current()
            popular = self.popular(category, viewing, limit=limit, without=without)
        except StorageUnavailableError:
            return ShelfDraft([], Freshness.STALE_ON_ERROR, (LIST, POPULAR))
        return popular._replace(degraded_by=(LIST, *popular.degraded_by))

    def shelf(self, answer: ShelfDraft, loader: CardLoader | None) -> Shelf:
        """Return an answer as a shelf, with the host's own cards where it loads them itself.

        Raises:
            InvalidValueError: The host's loader returned no mapping.
        """
        suggestions = answer.suggestions
        if loader is not None:
            about_to_wait()
            cards: object = loader([one.item_id for one in suggestions])
            if not is_mapping(cards):
                raise InvalidValueError("what cards returned", cards, "a mapping of ids to objects")
            kept = [one for one in suggestions if one.item_id in cards]
            suggestions = [
                one._replace(rank=rank, card=cards[one.item_id])
                for rank, one in enumerate(kept, start=1)
            ]
        return Shelf(tuple(suggestions), freshness=answer.freshness, degraded_by=answer.degraded_by)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask the database for something that is not kept.

        Raises:
            StorageUnavailableError: It did not answer, or is known not to.
        """
        about_to_wait()
        with nullcontext() if self.stale_cache is None else self.stale_cache.breaker.watched():
            yield

    def _read_cards(
        self, item_ids: Collection[ItemId], viewer: UserId | None
    ) -> Mapping[ItemId, ItemCard]:
        with self.asking():
            return self.catalog.cards(
                item_ids, at=self.clock.now(), until=self.as_of, viewer=viewer
            )

    def tell_degraded(self, surface: str, error: Exception) -> None:
        """Tell the host that a call is answered with less than it should be."""
        name = type(error).__name__
        event = AnswerDegraded(surface=surface, error=name, at=self.clock.now())
        if self.stale_cache is not None and self.stale_cache.notifier.tell(event, about=surface):
            _log.warning("answer degraded: surface=%s error=%s", surface, name)


def answer_of(
    kept: Served[CachedList], suggestions: list[Suggestion], degraded_by: tuple[str, ...]
) -> ShelfDraft:
    """Return suggestions from a list as an answer, which says if that is shown on error."""
    if kept.freshness is Freshness.STALE_ON_ERROR:
        degraded_by = (LIST, *degraded_by)
    return ShelfDraft(suggestions, kept.freshness, degraded_by)


def checked_loader(loader: CardLoader | None) -> CardLoader | None:
    """Return a host's loader, if there is one, before anything is read for it.

    Raises:
        InvalidValueError: It cannot be called.
    """
    return None if loader is None else function(loader, "cards")


_CARDS_AT_ONCE = 500
