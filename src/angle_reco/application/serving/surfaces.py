"""Homepages, popular items, and the interests of a user.

A surface answers from memory, else from a stored list, else from a list computed for the call,
and falls back on popular items.
"""

from functools import partial

import attrs

from angle_reco.application.access import Access
from angle_reco.application.serving.shelf_builder import (
    LIST,
    ShelfBuilder,
    Viewing,
    with_cards,
)
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.domain.ids import CategoryId, ItemId, UserId
from angle_reco.domain.lists import ListKind
from angle_reco.domain.pages import CardLoader, checked_limit, page_of
from angle_reco.domain.paging import PageStart
from angle_reco.domain.policies import ANONYMOUS, Action, Actor, Resource, SignedIn
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.domain.suggestions import Freshness, Shelf
from angle_reco.domain.validators import function
from angle_reco.ports.deadlines import about_to_wait
from angle_reco.ports.stores import InterestStore

_HOMEPAGE, _POPULAR = PageStart("homepage"), PageStart("popular_items")


@attrs.frozen(kw_only=True)
class Homepage:
    """The homepage of a user: "Recommended for you"."""

    access: Access
    shelves: ShelfBuilder

    def __call__(
        self,
        actor: Actor,
        owner: UserId | None,
        *,
        limit: int,
        after: str | None = None,
        cards: CardLoader | None = None,
    ) -> Shelf:
        """Return at most *limit* suggestions for *owner*; an unknown user gets popular items.

        An anonymous visitor, who has no homepage, gets popular items too. With the cursor
        *after*, items of earlier pages are left out.
        """
        if actor is ANONYMOUS and owner is None:
            return self._of_visitor(limit, after, cards)
        self.access.require(actor, Action.READ, Resource.HOMEPAGE, owner=owner)
        shelves, limit = self.shelves, checked_limit(limit)
        if type(actor) is SignedIn and owner is actor.user_id:
            # The view of this user has checked the id.
            viewing = Viewing(actor.user_id, False, True)
        else:
            user_id = shelves.settings.ids.user_id(owner)
            viewing = Viewing(user_id, False, actor.user_id == user_id)
        start, length = (_HOMEPAGE, limit) if after is None else _HOMEPAGE.then(after, limit)
        cards = None if cards is None else function(cards, "cards")
        hidden = shelves.apply_changes(viewing.viewer)
        answer = shelves.or_popular(
            "homepage",
            partial(self._answer, viewing, length, hidden),
            None,
            viewing,
            limit=length,
            without=hidden,
        )
        return with_cards(page_of(answer, start, length=length), cards)

    def _of_visitor(self, limit: int, after: str | None, cards: CardLoader | None) -> Shelf:
        self.access.require(ANONYMOUS, Action.READ, Resource.POPULAR_ITEMS)
        shelves, viewing = self.shelves, Viewing(None, True)
        limit = checked_limit(limit)
        cards = None if cards is None else function(cards, "cards")
        start, length = (_HOMEPAGE, limit) if after is None else _HOMEPAGE.then(after, limit)
        shelves.apply_changes(viewing.viewer)
        answer = shelves.or_popular(
            "homepage",
            lambda: shelves.popular(None, viewing, limit=length),
            None,
            viewing,
            limit=length,
        )
        return with_cards(page_of(answer, start, length=length), cards)

    def _answer(self, viewing: Viewing, limit: int, hidden: frozenset[ItemId]) -> Shelf:
        user_id = UserId(viewing.viewer)
        served = self.shelves.list_reader.of(ListKind.PERSONAL, user_id)
        answer = self.shelves.shelf(served, viewing, limit=limit, without=hidden)
        stored = served.value.stored
        is_empty = not answer.suggestions
        if len(answer.suggestions) == limit or (stored.is_complete and not is_empty):
            return answer
        if stored.edited:
            # Recomputing an edited list would restore the items that an override removed.
            touched = self.shelves.touched_by(user_id) | served.value.engaged | hidden
            return self.shelves.popular(None, viewing, limit=limit, without=touched)
        if stored.is_complete and served.freshness is Freshness.COMPUTED:
            return answer
        # Too many of the list's items have ended since it was computed.
        keep = max(limit, stored.recipe.kept)
        try:
            while True:
                recomputed = self.shelves.list_reader.recomputed(user_id, keep=keep)
                longer = self.shelves.shelf(recomputed, viewing, limit=limit, without=hidden)
                found = recomputed.value.stored
                if len(longer) == limit or found.edited or len(found) < keep:
                    return longer
                # Open items in memory include those that ended since they were read.
                keep *= 2
        except StorageUnavailableError as error:
            if is_empty or self.shelves.stale_cache is None:
                raise
            # A few personal suggestions are better than a full page of popular items.
            self.shelves.notify_degraded("homepage", error)
            return attrs.evolve(answer, degraded_by=(LIST, *answer.degraded_by))


@attrs.frozen(kw_only=True)
class PopularItems:
    """The popular items of all categories or of one."""

    access: Access
    shelves: ShelfBuilder

    def __call__(
        self,
        actor: Actor,
        *,
        category: CategoryId | None = None,
        limit: int,
        after: str | None = None,
        cards: CardLoader | None = None,
    ) -> Shelf:
        """Return at most *limit* popular items; none for a category without open items.

        With the cursor *after*, items of earlier pages are left out.
        """
        self.access.require(actor, Action.READ, Resource.POPULAR_ITEMS)
        shelves, limit = self.shelves, checked_limit(limit)
        cards = None if cards is None else function(cards, "cards")
        if category is not None:
            category = shelves.settings.ids.category_id(category)
        first = _POPULAR if category is None else PageStart(f"{_POPULAR.of} {category}")
        start, length = (first, limit) if after is None else first.then(after, limit)
        viewing = Viewing(actor.user_id, True)
        shelves.apply_changes(viewing.viewer)
        answer = shelves.or_popular(
            "popular_items",
            lambda: shelves.popular(category, viewing, limit=length),
            category,
            viewing,
            limit=length,
        )
        return with_cards(page_of(answer, start, length=length), cards)


@attrs.frozen(kw_only=True)
class ReadInterests:
    """The interests of a user, by category."""

    access: Access
    shelves: ShelfBuilder
    interests: InterestStore

    def __call__(
        self, actor: Actor, owner: UserId | None, *, limit: int | None = None
    ) -> tuple[UserInterest, ...]:
        """Return the interests of *owner*, the strongest first; all of them without a limit."""
        self.access.require(actor, Action.READ, Resource.INTERESTS, owner=owner)
        user_id = self.shelves.settings.ids.user_id(owner)
        most = None if limit is None else checked_limit(limit)
        about_to_wait()
        stored = self.interests.of(user_id, limit=most)
        if stored is not None and self.shelves.scorer.is_usable(stored):
            return stored.interests
        users = IdColumn.of(self.shelves.settings.ids.user, [user_id])
        return tuple(self.shelves.scorer.interests(users).values()[:most])
