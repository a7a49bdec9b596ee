"""Calls bound to an actor: how use cases are called, and the overrides of single results."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Concatenate, ParamSpec, TypeVar

import attrs

from angle_reco.domain.ids import CategoryId, CategoryRef, ItemId, ItemRef, UserId, UserRef
from angle_reco.domain.policies import SYSTEM, Actor, SignedIn
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.domain.stored_list import StoredLine
from angle_reco.domain.suggestions import Reason
from angle_reco.ports.deadlines import deadline
from angle_reco.wiring import UseCases

_P = ParamSpec("_P")
_T = TypeVar("_T")


@attrs.frozen(repr=False)
class Bound:
    """The use cases, bound to the actor who calls them."""

    _use_cases: UseCases
    actor: Actor

    def __repr__(self) -> str:
        # The user's id is left out: a repr ends up in logs and error reports.
        actor = "signed in" if isinstance(self.actor, SignedIn) else self.actor.name
        return f"{type(self).__name__}({actor})"

    def _asked(
        self, use_case: Callable[Concatenate[Actor, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Call a use case as the actor, within the deadline."""
        with deadline(self._use_cases.seconds_a_call):
            return use_case(self.actor, *args, **kwargs)

    def _owner(self, of: UserRef | None) -> UserId | None:
        """Return the user whose results are read.

        The id is checked here for the system only: for any other actor the use case checks
        access first, so that an error about the id discloses nothing.
        """
        if self.actor is SYSTEM:
            return self._use_cases.ids.user_id(of)
        if of is not None:
            return UserId(of)
        return self.actor.user_id if type(self.actor) is SignedIn else None


@attrs.frozen(repr=False)
class Editing(Bound):
    """Overrides of single results: the next answer shows them, the next job replaces them."""

    def create_interest(
        self,
        user_id: UserRef,
        category_id: CategoryRef,
        *,
        score: float | Decimal,
        interaction_count: int = 0,
        last_interaction_at: datetime | None = None,
    ) -> UserInterest:
        """Add an override of a user's interest in a category, with a score from 0 to 1.

        The next answer uses it; the next refresh of interests replaces it.

        Raises:
            AccessDeniedError: The actor may not write interests.
            AlreadyStoredError: The user has an interest in this category.
            InvalidValueError: An id, the score, the count or the moment is invalid.
            UserErasedError: The user was erased.
        """
        return self._asked(
            self._use_cases.writing.write_interest,
            UserId(user_id),
            CategoryId(category_id),
            score=score,
            interaction_count=interaction_count,
            last_interaction_at=last_interaction_at,
            replaces=False,
        )

    def upsert_interest(
        self,
        user_id: UserRef,
        category_id: CategoryRef,
        *,
        score: float | Decimal,
        interaction_count: int = 0,
        last_interaction_at: datetime | None = None,
    ) -> UserInterest:
        """Add an override as `create_interest` does, or replace the interest that exists.

        Raises:
            AccessDeniedError: The actor may not write interests.
            InvalidValueError: An id, the score, the count or the moment is invalid.
            UserErasedError: The user was erased.
        """
        return self._asked(
            self._use_cases.writing.write_interest,
            UserId(user_id),
            CategoryId(category_id),
            score=score,
            interaction_count=interaction_count,
            last_interaction_at=last_interaction_at,
            replaces=True,
        )

    def delete_interest(self, user_id: UserRef, category_id: CategoryRef) -> bool:
        """Remove an interest until the next refresh; return False if there was none.

        Raises:
            AccessDeniedError: The actor may not write interests.
            InvalidValueError: An id is not of its kind.
            UserErasedError: The user was erased.
        """
        return self._asked(
            self._use_cases.writing.delete_interest, UserId(user_id), CategoryId(category_id)
        )

    def create_similarity(
        self,
        item_id: ItemRef,
        similar_id: ItemRef,
        *,
        score: float | Decimal,
        reason: Reason | str = Reason.SAME_CATEGORY,
    ) -> StoredLine:
        """Add an override to the similar items of an item, with a score from 0 to 1.

        The next answer shows it at the place of its score; the next run over similar items
        replaces it.

        Raises:
            AccessDeniedError: The actor may not write similar items.
            AlreadyStoredError: The list contains the similar item.
            InvalidValueError: An id, the score or the reason is invalid.
            ItemNotFoundError: There is no such item.
        """
        return self._asked(
            self._use_cases.writing.write_similarity,
            ItemId(item_id),
            ItemId(similar_id),
            score=score,
            reason=reason,
            replaces=False,
        )

    def upsert_similarity(
        self,
        item_id: ItemRef,
        similar_id: ItemRef,
        *,
        score: float | Decimal,
        reason: Reason | str = Reason.SAME_CATEGORY,
    ) -> StoredLine:
        """Add an override as `create_similarity` does, or replace the line that exists.

        Raises:
            AccessDeniedError: The actor may not write similar items.
            InvalidValueError: An id, the score or the reason is invalid.
            ItemNotFoundError: There is no such item.
        """
        return self._asked(
            self._use_cases.writing.write_similarity,
            ItemId(item_id),
            ItemId(similar_id),
            score=score,
            reason=reason,
            replaces=True,
        )

    def delete_similarity(self, item_id: ItemRef, similar_id: ItemRef) -> bool:
        """Remove a similar item until the next run; return False if the list has no such item.

        Raises:
            AccessDeniedError: The actor may not write similar items.
            InvalidValueError: An id is not of its kind.
            ItemNotFoundError: There is no such item.
        """
        return self._asked(
            self._use_cases.writing.delete_similarity, ItemId(item_id), ItemId(similar_id)
        )

    def create_recommendation(
        self,
        user_id: UserRef,
        item_id: ItemRef,
        *,
        score: float | Decimal,
        rank: int | None = None,
        reason: Reason | str = Reason.FOR_YOU,
    ) -> StoredLine:
        """Add an override to a user's homepage, at *rank* or else at the place of its score.

        *rank* counts from 1, *score* is from 0 to 1. The next answer shows the item if it may
        be shown; the next run over homepages replaces it.

        Raises:
            AccessDeniedError: The actor may not write homepages.
            AlreadyStoredError: The homepage contains the item.
            InvalidValueError: An id, the score, the rank or the reason is invalid.
            ItemNotFoundError: There is no such item.
            UserErasedError: The user was erased.
        """
        return self._asked(
            self._use_cases.writing.write_recommendation,
            UserId(user_id),
            ItemId(item_id),
            score=score,
            rank=rank,
            reason=reason,
            replaces=False,
        )

    def upsert_recommendation(
        self,
        user_id: UserRef,
        item_id: ItemRef,
        *,
        score: float | Decimal,
        rank: int | None = None,
        reason: Reason | str = Reason.FOR_YOU,
    ) -> StoredLine:
        """Add an override as `create_recommendation` does, or move and replace the existing line.

        Raises:
            AccessDeniedError: The actor may not write homepages.
            InvalidValueError: An id, the score, the rank or the reason is invalid.
            ItemNotFoundError: There is no such item.
            UserErasedError: The user was erased.
        """
        return self._asked(
            self._use_cases.writing.write_recommendation,
            UserId(user_id),
            ItemId(item_id),
            score=score,
            rank=rank,
            reason=reason,
            replaces=True,
        )

    def delete_recommendation(self, user_id: UserRef, item_id: ItemRef) -> bool:
        """Remove an item from a homepage until the next run; return False if it was not there.

        Raises:
            AccessDeniedError: The actor may not write homepages.
            InvalidValueError: An id is not of its kind.
            UserErasedError: The user was erased.
        """
        return self._asked(
            self._use_cases.writing.delete_recommendation, UserId(user_id), ItemId(item_id)
        )
