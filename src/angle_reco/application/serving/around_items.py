"""The surfaces around one item: similar items, and suggestions right after a bid."""

import attrs

from angle_reco.application.access import Access
from angle_reco.application.serving.pages import (
    MOST_SIMILAR,
    CardLoader,
    checked_limit,
    with_cards,
)
from angle_reco.application.serving.shelf_builder import (
    INTERESTS,
    Cards,
    ShelfBuilder,
    Viewing,
    shelf_of,
    title_of,
)
from angle_reco.domain.activity import Bid
from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.domain.ids import CategoryId, ItemId, UserId
from angle_reco.domain.lists import ListKind
from angle_reco.domain.policies import Action, Actor, Resource
from angle_reco.domain.scoring.after_bid import COMPONENTS, NAME, reordered_by_interest
from angle_reco.domain.suggestions import Shelf, Suggestion
from angle_reco.domain.validators import flag, function
from angle_reco.domain.whys import Grounds


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

        Raises:
            InvalidValueError: The limit is not a whole number of at least 1.
            ItemNotFoundError: No item has this id.
        """
        self.access.require(actor, Action.READ, Resource.SIMILAR_ITEMS)
        shelves, viewing = self.shelves, Viewing(actor.user_id, include_engaged=True)
        item_id = shelves.settings.ids.item_id(item_id)
        limit = checked_limit(limit, most=MOST_SIMILAR)
        cards = None if cards is None else function(cards, "cards")
        shelves.catch_up(viewing.viewer)
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
        shown = shelves.shown(
            served.value.stored,
            viewing,
            limit=limit,
            cards=served.value.cards,
            of=item_id,
            title=served.value.title,
        )
        answer = shelf_of(served, *shown)
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

        Raises:
            AccessDeniedError: The actor may not read suggestions after a bid of *owner*.
            InvalidValueError: The limit is not a whole number of at least 1.
            ItemNotFoundError: No item has this id.
        """
        self.access.require(actor, Action.READ, Resource.AFTER_BID, owner=owner)
        shelves = self.shelves
        ids = shelves.settings.ids
        user_id, item_id = ids.user_id(owner), ids.item_id(item_id)
        limit, viewing = checked_limit(limit), Viewing(user_id, include_engaged=False)
        assume_bid = flag(assume_bid, "assume_bid")
        cards = None if cards is None else function(cards, "cards")
        hidden = shelves.catch_up(user_id)
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


def _fallback_categories(category: CategoryId | None) -> list[CategoryId | None]:
    """Return the categories to fall back on, in order; None stands for all categories."""
    return [None] if category is None else [category, None]
