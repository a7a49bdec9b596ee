"""What is bound to an actor: how use cases are asked, and what is written by hand."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Concatenate, ParamSpec, TypeVar

import attrs

from angle_reco.domain.ids import CategoryId, CategoryRef, ItemId, ItemRef, UserId, UserRef
from angle_reco.domain.lists import StoredLine
from angle_reco.domain.policies import SYSTEM, Actor, SignedIn
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.domain.suggestions import Reason
from angle_reco.ports.deadlines import deadline
from angle_reco.use_cases import UseCases

_P = ParamSpec("_P")
_T = TypeVar("_T")


@attrs.frozen(repr=False)
class Bound:
    """Use cases with the actor who asks them."""

    _use_cases: UseCases
    actor: Actor

    def __repr__(self) -> str:
        # Without the user's id: a repr ends up in logs and error reports.
        actor = "signed in" if isinstance(self.actor, SignedIn) else self.actor.name
        return f"{type(self).__name__}({actor})"

    def _asked(
        self, use_case: Callable[Concatenate[Actor, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Ask a use case as the actor, who does not wait longer than the deadline."""
        with deadline(self._seconds_at_most):
            return use_case(self.actor, *args, **kwargs)

    @property
    def _seconds_at_most(self) -> float:
        """Return for how long a call waits for the database."""
        return self._use_cases.deadline.total_seconds()

    def _owner(self, of: UserRef | None) -> UserId | None:
        """Return whose results are meant; only the system is told what is wrong with an id."""
        if self.actor is SYSTEM:
            return self._use_cases.ids.user_id(of)
        if of is not None:
            return UserId(of)
        return self.actor.user_id if type(self.actor) is SignedIn else None


@attrs.frozen(repr=False)
class Editing(Bound):
    """Single results written by hand: the next answer has them, the next job replaces them."""

    def create_interest(
        self,
        user_id: UserRef,
        category_id: CategoryRef,
        *,
        score: float | Decimal,
        interaction_count: int = 0,
        last_interaction_at: datetime | None = None,
    ) -> UserInterest:
        """Write by hand how strongly a user is drawn to a category, 0 to 1.

        The next answer has it; the next refresh of interests replaces it.

        Raises:
            AccessDeniedError: The actor may not write interests.
            AlreadyStoredError: There is an interest of this user in this category.
            InvalidValueError: An id, the score, the count or the moment cannot be.
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
        """Write an interest by hand as with `create_interest`, in place of the one there is.

        Raises:
            AccessDeniedError: The actor may not write interests.
            InvalidValueError: An id, the score, the count or the moment cannot be.
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
        """Take an interest out until the next refresh; False when there was none.

        Raises:
            AccessDeniedError: The actor may not write interests.
            InvalidValueError: An id is of another kind.
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
        """Write by hand that an item is similar to another one, by a score of 0 to 1.

        The next answer has it, where its score puts it; the next run over similar items
        replaces it.

        Raises:
            AccessDeniedError: The actor may not write similar items.
            AlreadyStoredError: It is among the similar items.
            InvalidValueError: An id, the score or the reason cannot be.
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
        """Write a similarity by hand as with `create_similarity`, in place of the one there is.

        Raises:
            AccessDeniedError: The actor may not write similar items.
            InvalidValueError: An id, the score or the reason cannot be.
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
        """Take a similar item out until the next run; False when it was none.

        Raises:
            AccessDeniedError: The actor may not write similar items.
            InvalidValueError: An id is of another kind.
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
        """Put an item on a user's homepage by hand, at a rank or where its score puts it.

        The next answer has it, if the item may be shown; the next run over homepages
        replaces it.

        Raises:
            AccessDeniedError: The actor may not write homepages.
            AlreadyStoredError: It is on the homepage.
            InvalidValueError: An id, the score, the rank or the reason cannot be.
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
        """Put an item on a homepage as with `create_recommendation`, or move it there.

        Raises:
            AccessDeniedError: The actor may not write homepages.
            InvalidValueError: An id, the score, the rank or the reason cannot be.
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
        """Take an item off a user's homepage until the next run; False when it was not there.

        Raises:
            AccessDeniedError: The actor may not write homepages.
            InvalidValueError: An id is of another kind.
            UserErasedError: The user was erased.
        """
        return self._asked(
            self._use_cases.writing.delete_recommendation, UserId(user_id), ItemId(item_id)
        )
