"""The five reading calls. Fallbacks read from top to bottom: stored, computed, popular."""

import attrs

from angle_reco.application.access import Access
from angle_reco.application.answering import Answering, CardLoader, Line, Viewing, found
from angle_reco.application.limits import MOST_SIMILAR, checked_limit
from angle_reco.domain import (
    Action,
    Actor,
    Bid,
    CategoryId,
    Freshness,
    IdColumn,
    IdIndex,
    ItemCard,
    ItemId,
    ListKind,
    Resource,
    Shelf,
    StoredLine,
    UserId,
    UserInterest,
    reordered_by_interest,
)
from angle_reco.ports import InterestStore


@attrs.frozen(kw_only=True)
class Homepage:
    """What to show a user first: "Recommended for you"."""

    access: Access
    answering: Answering

    def __call__(
        self, actor: Actor, owner: UserId | None, *, limit: int, cards: CardLoader | None = None
    ) -> Shelf:
        """Return at most *limit* suggestions for *owner*; an unknown user gets popular items.

        Raises:
            AccessDeniedError: The actor may not see what is theirs.
            InvalidValueError: The limit is no whole number of at least 1.
        """
        self.access.require(actor, Action.READ, Resource.HOMEPAGE, owner=owner)
        user_id, limit = self.answering.ids.user_id(owner), checked_limit(limit)
        lines, freshness = self._stored(user_id, limit) or self._computed(user_id, limit)
        return self.answering.shelf(lines, freshness, cards)

    def _stored(self, user_id: UserId, limit: int) -> tuple[list[Line], Freshness] | None:
        answering = self.answering
        usable = answering.usable(ListKind.PERSONAL, user_id)
        if usable is None:
            return None
        stored, freshness = usable
        lines = self._shown(user_id, stored.lines, limit)
        if len(lines) == limit or (lines and stored.is_complete):
            return lines, freshness
        if stored.edited:
            # Computing it anew would bring back what somebody took out by hand.
            viewing = Viewing(user_id, engaged_too=False)
            return self.answering.popular(None, viewing, limit=limit)
        return None

    def _computed(self, user_id: UserId, limit: int) -> tuple[list[Line], Freshness]:
        computing, kind = self.answering.computing, self.answering.ids.user
        market = computing.market()
        users = IdIndex(IdColumn.of(kind, [user_id]))
        profiles = computing.profiles(market, users)
        page = computing.homepages(market, profiles, users.ids, keep=limit).stored(0)
        return self._shown(user_id, page.lines, limit), Freshness.COMPUTED

    def _shown(self, user_id: UserId, lines: tuple[StoredLine, ...], limit: int) -> list[Line]:
        answering = self.answering
        return answering.shown(
            lines,
            answering.computing.recipes.lists[ListKind.PERSONAL],
            answering.cards([line.item_id for line in lines], user_id),
            Viewing(user_id, engaged_too=False),
            limit=limit,
        )


@attrs.frozen(kw_only=True)
class SimilarItems:
    """What else to show on an item's page."""

    access: Access
    answering: Answering

    def __call__(
        self, actor: Actor, item_id: ItemId, *, limit: int, cards: CardLoader | None = None
    ) -> Shelf:
        """Return at most *limit* similar items, never more than 20.

        Where no similar one is open, the popular items of its category, and where none of
        these is, popular ones.

        Raises:
            InvalidValueError: The limit is no whole number of at least 1.
            ItemNotFoundError: There is no such item.
        """
        self.access.require(actor, Action.READ, Resource.SIMILAR_ITEMS)
        answering, viewing = self.answering, Viewing(actor.user_id, engaged_too=True)
        item_id, limit = answering.ids.item_id(item_id), checked_limit(limit, most=MOST_SIMILAR)
        item, lines, freshness = similar_lines(answering, item_id, viewing, limit=limit)
        if not lines and item.category_id is not None:
            lines, freshness = answering.popular(
                item.category_id, viewing, limit=limit, without={item_id}
            )
        if not lines:
            lines, freshness = answering.popular(None, viewing, limit=limit, without={item_id})
        return answering.shelf(lines, freshness, cards)


@attrs.frozen(kw_only=True)
class AfterBid:
    """What else might please, right after a bid: "You might also like"."""

    access: Access
    answering: Answering

    def __call__(
        self,
        actor: Actor,
        owner: UserId | None,
        item_id: ItemId,
        *,
        limit: int,
        suppose: bool = False,
        cards: CardLoader | None = None,
    ) -> Shelf:
        """Return at most *limit* suggestions for *owner*, who has bid on an item.

        With *suppose*, their interests count a bid on it right now, which is not stored.

        Raises:
            AccessDeniedError: The actor may not see what is theirs.
            InvalidValueError: The limit is no whole number of at least 1.
            ItemNotFoundError: There is no such item.
        """
        self.access.require(actor, Action.READ, Resource.AFTER_BID, owner=owner)
        answering, settings = self.answering, self.answering.settings
        user_id, item_id = answering.ids.user_id(owner), answering.ids.item_id(item_id)
        limit, viewing = checked_limit(limit), Viewing(user_id, engaged_too=False)
        item, similar, freshness = similar_lines(
            answering, item_id, viewing, limit=settings.similarity.kept
        )
        rule, card_of = settings.after_bid, {line.card.item_id: line.card for line in similar}
        lines = [
            Line(stored, card_of[stored.item_id], rule.recipe.components)
            for stored in reordered_by_interest(
                [line.stored for line in similar],
                categories={card.item_id: card.category_id for card in card_of.values()},
                interests=self._interests(user_id, item_id, suppose=suppose),
                rule=rule,
            )
        ][:limit]
        categories = [None] if item.category_id is None else [item.category_id, None]
        for category in categories:
            if len(lines) < limit:
                more, freshness_of_more = answering.popular(
                    category,
                    viewing,
                    limit=limit - len(lines),
                    without={item_id, *(line.card.item_id for line in lines)},
                )
                freshness = freshness if lines else freshness_of_more
                lines += more
        return answering.shelf(lines, freshness, cards)

    def _interests(
        self, user_id: UserId, item_id: ItemId, *, suppose: bool
    ) -> dict[CategoryId, int]:
        now = self.answering.clock.now()
        bid = Bid(user_id=user_id, item_id=item_id, placed_at=now)
        interests = self.answering.computing.interests(
            IdColumn.of(self.answering.ids.user, [user_id]), supposed=[bid] if suppose else []
        )
        return {one.category_id: one.score for one in interests.values()}


@attrs.frozen(kw_only=True)
class PopularItems:
    """What most people want, of everything or of one category."""

    access: Access
    answering: Answering

    def __call__(
        self,
        actor: Actor,
        *,
        category: CategoryId | None = None,
        limit: int,
        cards: CardLoader | None = None,
    ) -> Shelf:
        """Return at most *limit* popular items; none for a category without open ones.

        Raises:
            InvalidValueError: The limit is no whole number of at least 1.
        """
        self.access.require(actor, Action.READ, Resource.POPULAR_ITEMS)
        answering, limit = self.answering, checked_limit(limit)
        if category is not None:
            category = answering.ids.category_id(category)
        viewing = Viewing(actor.user_id, engaged_too=True)
        lines, freshness = answering.popular(category, viewing, limit=limit)
        return answering.shelf(lines, freshness, cards)


@attrs.frozen(kw_only=True)
class ReadInterests:
    """What a user is drawn to, by category."""

    access: Access
    answering: Answering
    interests: InterestStore

    def __call__(
        self, actor: Actor, owner: UserId | None, *, limit: int | None = None
    ) -> tuple[UserInterest, ...]:
        """Return the interests of *owner*, the strongest first; all of them without a limit.

        Raises:
            AccessDeniedError: The actor may not see what is theirs.
            InvalidValueError: The limit is no whole number of at least 1.
        """
        self.access.require(actor, Action.READ, Resource.INTERESTS, owner=owner)
        user_id = self.answering.ids.user_id(owner)
        most = None if limit is None else checked_limit(limit)
        stored = self.interests.of(user_id, limit=most)
        if stored is not None and self.answering.may_use_interests(stored):
            return stored.interests
        users = IdColumn.of(self.answering.ids.user, [user_id])
        return tuple(self.answering.computing.interests(users).values()[:most])


def similar_lines(
    answering: Answering, item_id: ItemId, viewing: Viewing, *, limit: int
) -> tuple[ItemCard, list[Line], Freshness]:
    """Return an item and the similar ones that may be shown: stored ones, else computed.

    Raises:
        ItemNotFoundError: There is no such item.
    """
    recipe = answering.computing.recipes.lists[ListKind.SIMILAR]
    usable = answering.usable(ListKind.SIMILAR, item_id)
    if usable is not None:
        stored, freshness = usable
        similar = [line.item_id for line in stored.lines]
        cards = answering.cards([item_id, *similar], viewing.viewer)
        item = found(item_id, cards)
    else:
        item = answering.card(item_id, viewing.viewer)
        computing = answering.computing
        stored = computing.similar_to_one(computing.market(), item).stored(0)
        freshness = Freshness.COMPUTED
        cards = answering.cards([line.item_id for line in stored.lines], viewing.viewer)
    return item, answering.shown(stored.lines, recipe, cards, viewing, limit=limit), freshness
