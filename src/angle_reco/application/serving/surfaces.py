"""Homepages, similar items, suggestions after a bid, popular items, and interests of a user.

A surface answers from memory, else from a stored list, else from a list computed for the call,
and falls back on popular items.
"""

from functools import partial

import attrs

from angle_reco.application.access import Access
from angle_reco.application.serving.shelf_builder import (
    INTERESTS,
    LIST,
    Cards,
    ShelfBuilder,
    Viewing,
    shelf_of,
    title_of,
    with_cards,
)
from angle_reco.domain.activity import Bid
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.domain.ids import CategoryId, ItemId, UserId
from angle_reco.domain.lists import ListKind
from angle_reco.domain.pages import MOST_SIMILAR, CardLoader, checked_limit, page_of
from angle_reco.domain.paging import PageStart
from angle_reco.domain.policies import ANONYMOUS, Action, Actor, Resource, SignedIn
from angle_reco.domain.scoring.after_bid import COMPONENTS, NAME, reordered_by_interest
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.domain.suggestions import Freshness, Shelf, Suggestion
from angle_reco.domain.validators import flag, function
from angle_reco.domain.whys import Grounds
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
class SimilarItems:
    """The similar items on an item's page."""

    access: Access
    shelves: ShelfBuilder

    def __call__(
        self, actor: Actor, item_id: ItemId, *, limit: int, cards: CardLoader | None = None
    ) -> Shelf:
        """Return at most *limit* similar items, never more than 20.

        If no similar item is open, return popular items of the same category; if none of
        these is open, popular items of all categories.
        """
        self.access.require(actor, Action.READ, Resource.SIMILAR_ITEMS)
        shelves, viewing = self.shelves, Viewing(actor.user_id, include_engaged=True)
        item_id = shelves.settings.ids.item_id(item_id)
        limit = checked_limit(limit, most=MOST_SIMILAR)
        cards = None if cards is None else function(cards, "cards")
        shelves.apply_changes(viewing.viewer)
        answer = shelves.or_popular(
            "similar_items",
            lambda: self._answer(item_id, viewing, limit),
            None,
            viewing,
            limit=limit,
            without={item_id},
        )
        return with_cards(answer, cards)

    def _answer(self, item_id: ItemId, viewing: Viewing, limit: int) -> Shelf:
        shelves = self.shelves
        served = shelves.list_reader.of(ListKind.SIMILAR, item_id, viewer=viewing.viewer)
        answer = shelves.shelf(served, viewing, limit=limit, of=item_id)
        for category in _fallback_categories(served.value.category):
            if not answer:
                answer = shelves.popular(category, viewing, limit=limit, without={item_id})
        return answer


@attrs.frozen(kw_only=True)
class AfterBid:
    """The suggestions right after a bid: "You might also like"."""

    access: Access
    shelves: ShelfBuilder

    def __call__(
        self,
        actor: Actor,
        owner: UserId | None,
        item_id: ItemId,
        *,
        limit: int,
        assume_bid: bool = False,
        cards: CardLoader | None = None,
    ) -> Shelf:
        """Return at most *limit* suggestions for *owner*, who has bid on an item.

        With *assume_bid*, a bid on the item at this moment counts towards the interests of
        *owner*, without being stored.
        """
        self.access.require(actor, Action.READ, Resource.AFTER_BID, owner=owner)
        shelves = self.shelves
        ids = shelves.settings.ids
        user_id, item_id = ids.user_id(owner), ids.item_id(item_id)
        limit, viewing = checked_limit(limit), Viewing(user_id, include_engaged=False)
        assume_bid = flag(assume_bid, "assume_bid")
        cards = None if cards is None else function(cards, "cards")
        hidden = shelves.apply_changes(user_id)
        answer = shelves.or_popular(
            "after_bid",
            lambda: self._answer(user_id, item_id, viewing, limit, assume_bid=assume_bid),
            None,
            viewing,
            limit=limit,
            without={item_id, *hidden},
        )
        return with_cards(answer, cards)

    def _answer(
        self, user_id: UserId, item_id: ItemId, viewing: Viewing, limit: int, *, assume_bid: bool
    ) -> Shelf:
        shelves, rule = self.shelves, self.shelves.settings.after_bid
        served = shelves.list_reader.of(ListKind.SIMILAR, item_id, viewer=user_id)
        stored, category = served.value.stored, served.value.category
        interests, engaged, degraded_by = self._user(user_id, item_id, assume_bid=assume_bid)
        cards, degraded_by_cards = (
            shelves.cards(stored.ids, user_id)
            if served.value.cards is None
            else Cards(served.value.cards)
        )
        now = shelves.clock.now()
        places = stored.places_shown(
            cards,
            viewer=user_id,
            now=now,
            include_engaged=False,
            limit=len(stored),
            without=engaged,
        )
        similar = stored.lines
        lines = reordered_by_interest(
            [similar[one] for one in places],
            categories={stored.ids[one]: cards[stored.ids[one]].category_id for one in places},
            interests=interests,
            rule=rule,
        )
        grounds = Grounds(shelves.speech, now, title_of(item_id, cards, served.value.title))
        suggestions = [
            Suggestion(
                rank,
                line.item_id,
                cards[line.item_id],
                line.score,
                line.reason,
                line.source,
                COMPONENTS,
                line.parts,
                grounds,
            )
            for rank, line in enumerate(lines[:limit], start=1)
        ]
        answer = shelf_of(served, suggestions, (*degraded_by, *degraded_by_cards))
        answer = attrs.evolve(answer, ranker=NAME)
        for wider in _fallback_categories(category):
            if len(answer) < limit:
                more = shelves.popular(
                    wider,
                    viewing,
                    limit=limit - len(answer),
                    without={item_id, *engaged, *answer.ids},
                    first_rank=len(answer) + 1,
                )
                answer = Shelf(
                    (*answer, *more),
                    freshness=answer.freshness if answer else more.freshness,
                    degraded_by=answer.degraded_by or more.degraded_by,
                    ranker=answer.ranker,
                    version=answer.version,
                )
        return answer

    def _user(
        self, user_id: UserId, item_id: ItemId, *, assume_bid: bool
    ) -> tuple[dict[CategoryId, int], frozenset[ItemId], tuple[str, ...]]:
        """Return a user's interests by category, the items they engaged with, and failures."""
        shelves = self.shelves
        now = shelves.clock.now()
        bid = Bid(user_id=user_id, item_id=item_id, placed_at=now)
        pending = shelves.pending.hidden_from(user_id)
        live = None if shelves.open_items is None else shelves.open_items.known()
        try:
            with shelves.asking():
                interests, engaged = shelves.scorer.of_user(
                    user_id,
                    assumed=[bid] if assume_bid else [],
                    pending=shelves.pending.bids_of(user_id),
                    known={} if live is None else live.cards,
                )
        except StorageUnavailableError as error:
            if shelves.stale_cache is None:
                raise
            shelves.notify_degraded("after_bid", error)
            return {}, pending, (INTERESTS,)
        return {one.category_id: one.score for one in interests.values()}, engaged | pending, ()


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


def _fallback_categories(category: CategoryId | None) -> list[CategoryId | None]:
    """Return the categories to fall back on, in order; None stands for all categories."""
    return [None] if category is None else [category, None]
