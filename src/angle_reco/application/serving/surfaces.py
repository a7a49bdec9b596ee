"""The five reading calls: from memory, stored, computed now, and at last what is popular."""

import attrs

from angle_reco.application.access import Access
from angle_reco.application.limits import MOST_SIMILAR, checked_limit
from angle_reco.application.serving.list_reader import KeptList
from angle_reco.application.serving.shelf_builder import (
    INTERESTS,
    LIST,
    Answer,
    Answering,
    CardLoader,
    Cards,
    Viewing,
    answer_of,
    checked_loader,
)
from angle_reco.application.serving.stale_cache import Current
from angle_reco.application.waiting import about_to_wait
from angle_reco.domain.activity import Bid
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.domain.ids import CategoryId, ItemId, UserId
from angle_reco.domain.lists import ListKind
from angle_reco.domain.policies import ANONYMOUS, Action, Actor, Resource
from angle_reco.domain.scoring.after_bid import reordered_by_interest
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.domain.suggestions import Freshness, Shelf, Suggestion
from angle_reco.domain.validators import flag
from angle_reco.ports.stores import InterestStore


@attrs.frozen(kw_only=True)
class Homepage:
    """What to show a user first: "Recommended for you"."""

    access: Access
    answering: Answering

    def __call__(
        self, actor: Actor, owner: UserId | None, *, limit: int, cards: CardLoader | None = None
    ) -> Shelf:
        """Return at most *limit* suggestions for *owner*; an unknown user gets popular items.

        So does a visitor, who has no homepage to ask for.

        Raises:
            AccessDeniedError: The actor may not see what is theirs.
            InvalidValueError: The limit is no whole number of at least 1.
        """
        if actor is ANONYMOUS and owner is None:
            return self._of_visitor(limit, cards)
        self.access.require(actor, Action.READ, Resource.HOMEPAGE, owner=owner)
        answering, user_id = self.answering, self.answering.ids.user_id(owner)
        limit, viewing = checked_limit(limit), Viewing(user_id, engaged_too=False)
        cards = checked_loader(cards)
        answer = answering.or_popular(
            "homepage",
            lambda: self._answer(user_id, viewing, limit),
            None,
            viewing,
            limit=limit,
            without=answering.overlays.hidden_from(user_id),
        )
        return answering.shelf(answer, cards)

    def _of_visitor(self, limit: int, cards: CardLoader | None) -> Shelf:
        self.access.require(ANONYMOUS, Action.READ, Resource.POPULAR_ITEMS)
        answering, viewing = self.answering, Viewing(None, engaged_too=True)
        limit, cards = checked_limit(limit), checked_loader(cards)
        answer = answering.or_popular(
            "homepage",
            lambda: answering.popular(None, viewing, limit=limit),
            None,
            viewing,
            limit=limit,
        )
        return answering.shelf(answer, cards)

    def _answer(self, user_id: UserId, viewing: Viewing, limit: int) -> Answer:
        kept = self.answering.kept.of(ListKind.PERSONAL, user_id)
        answer, packed = self._shown(kept, viewing, limit), kept.value.packed
        is_empty = not answer.suggestions
        if len(answer.suggestions) == limit or (packed.is_complete and not is_empty):
            return answer
        if packed.edited:
            # Computing it anew would bring back what somebody took out by hand.
            touched = self.answering.touched_by(user_id) | self._hidden(kept, viewing)
            return self.answering.popular(None, viewing, limit=limit, without=touched)
        if packed.is_complete and kept.freshness is Freshness.COMPUTED:
            return answer
        # Too much of it has ended since.
        longest = packed.recipe.kept
        try:
            anew = self.answering.kept.computed_anew(user_id, keep=max(limit, longest))
        except StorageUnavailableError as error:
            if is_empty or self.answering.keeping is None:
                raise
            # Fewer of their own are better than as many of everybody's.
            self.answering.tell_degraded("homepage", error)
            return answer._replace(degraded_by=(LIST, *answer.degraded_by))
        return self._shown(anew, viewing, limit)

    def _hidden(self, kept: Current[KeptList], viewing: Viewing) -> frozenset[ItemId]:
        told = self.answering.overlays.hidden_from(viewing.viewer)
        return kept.value.engaged | told if told else kept.value.engaged

    def _shown(self, kept: Current[KeptList], viewing: Viewing, limit: int) -> Answer:
        return answer_of(
            kept,
            *self.answering.shown(
                kept.value.packed,
                viewing,
                limit=limit,
                without=self._hidden(kept, viewing),
                cards=kept.value.cards,
            ),
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
        cards = checked_loader(cards)
        answer = answering.or_popular(
            "similar_items",
            lambda: self._answer(item_id, viewing, limit),
            None,
            viewing,
            limit=limit,
            without={item_id},
        )
        return answering.shelf(answer, cards)

    def _answer(self, item_id: ItemId, viewing: Viewing, limit: int) -> Answer:
        answering = self.answering
        kept = answering.kept.of(ListKind.SIMILAR, item_id, viewer=viewing.viewer)
        shown = answering.shown(kept.value.packed, viewing, limit=limit, cards=kept.value.cards)
        answer = answer_of(kept, *shown)
        for category in _wider(kept.value.category):
            if not answer.suggestions:
                answer = answering.popular(category, viewing, limit=limit, without={item_id})
        return answer


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
        answering = self.answering
        user_id, item_id = answering.ids.user_id(owner), answering.ids.item_id(item_id)
        limit, viewing = checked_limit(limit), Viewing(user_id, engaged_too=False)
        suppose, cards = flag(suppose, "suppose"), checked_loader(cards)
        answer = answering.or_popular(
            "after_bid",
            lambda: self._answer(user_id, item_id, viewing, limit, suppose=suppose),
            None,
            viewing,
            limit=limit,
            without={item_id, *answering.overlays.hidden_from(user_id)},
        )
        return answering.shelf(answer, cards)

    def _answer(
        self, user_id: UserId, item_id: ItemId, viewing: Viewing, limit: int, *, suppose: bool
    ) -> Answer:
        answering, rule = self.answering, self.answering.settings.after_bid
        kept = answering.kept.of(ListKind.SIMILAR, item_id, viewer=user_id)
        packed, category = kept.value.packed, kept.value.category
        interests, engaged, degraded_by = self._user(user_id, item_id, suppose=suppose)
        cards, degraded_by_cards = (
            answering.cards(packed.ids, user_id)
            if kept.value.cards is None
            else Cards(kept.value.cards)
        )
        places = packed.places_shown(
            cards,
            viewer=user_id,
            now=answering.clock.now(),
            engaged_too=False,
            limit=len(packed),
            without=engaged,
        )
        lines = reordered_by_interest(
            packed.lines(places),
            categories={packed.ids[one]: cards[packed.ids[one]].category_id for one in places},
            interests=interests,
            rule=rule,
        )
        suggestions = [
            Suggestion(
                rank,
                line.item_id,
                cards[line.item_id],
                line.score,
                line.reason,
                line.source,
                rule.recipe.components,
                line.parts,
            )
            for rank, line in enumerate(lines[:limit], start=1)
        ]
        answer = answer_of(kept, suggestions, (*degraded_by, *degraded_by_cards))
        for wider in _wider(category):
            if len(answer.suggestions) < limit:
                more = answering.popular(
                    wider,
                    viewing,
                    limit=limit - len(answer.suggestions),
                    without={item_id, *engaged, *(one.item_id for one in answer.suggestions)},
                    first_rank=len(answer.suggestions) + 1,
                )
                answer = Answer(
                    [*answer.suggestions, *more.suggestions],
                    answer.freshness if answer.suggestions else more.freshness,
                    answer.degraded_by or more.degraded_by,
                )
        return answer

    def _user(
        self, user_id: UserId, item_id: ItemId, *, suppose: bool
    ) -> tuple[dict[CategoryId, int], frozenset[ItemId], tuple[str, ...]]:
        """Return a user's interests by category, what they engaged with, and what failed."""
        answering = self.answering
        now = answering.clock.now()
        bid = Bid(user_id=user_id, item_id=item_id, placed_at=now)
        told = answering.overlays.hidden_from(user_id)
        live = None if answering.live is None else answering.live.known()
        try:
            with answering.asking():
                interests, engaged = answering.computing.of_user(
                    user_id,
                    supposed=[bid] if suppose else [],
                    told=answering.overlays.bids_of(user_id),
                    known={} if live is None else live.cards,
                )
        except StorageUnavailableError as error:
            if answering.keeping is None:
                raise
            answering.tell_degraded("after_bid", error)
            return {}, told, (INTERESTS,)
        return {one.category_id: one.score for one in interests.values()}, engaged | told, ()


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
        answering, limit, cards = self.answering, checked_limit(limit), checked_loader(cards)
        if category is not None:
            category = answering.ids.category_id(category)
        viewing = Viewing(actor.user_id, engaged_too=True)
        answer = answering.or_popular(
            "popular_items",
            lambda: answering.popular(category, viewing, limit=limit),
            category,
            viewing,
            limit=limit,
        )
        return answering.shelf(answer, cards)


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
        about_to_wait()
        stored = self.interests.of(user_id, limit=most)
        if stored is not None and self.answering.may_use_interests(stored):
            return stored.interests
        users = IdColumn.of(self.answering.ids.user, [user_id])
        return tuple(self.answering.computing.interests(users).values()[:most])


def _wider(category: CategoryId | None) -> list[CategoryId | None]:
    """Return where else to look where there is nothing similar."""
    return [None] if category is None else [category, None]
