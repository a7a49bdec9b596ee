"""`StoredView`, the operations of stored results that one actor may use."""

from datetime import datetime, timedelta
from decimal import Decimal

import attrs

from angle_reco.bound import Bound
from angle_reco.domain.ids import CategoryId, CategoryRef, ItemId, ItemRef, UserId, UserRef
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.domain.stored_list import StoredLine, StoredList
from angle_reco.domain.suggestions import Reason


@attrs.frozen(repr=False)
class StoredView(Bound):
    """Results as a job stored them, and manual overrides: for back offices, tests and tools.

    The reading calls return what is stored, unfiltered and whatever its age: it may contain
    ended items, and nothing is computed. Overrides change single results: the next answer of
    `View` shows them, the next job replaces them. Pages use the answers of `View` instead.
    """

    def get_interests(self, *, of: UserRef | None = None) -> tuple[UserInterest, ...]:
        """Return a user's stored interests, whatever their age; nothing is computed.

        Raises:
            AccessDeniedError: The actor may not read them.
        """
        return self._asked(self._use_cases.stored.get_interests, self._owner(of))

    def get_top_interests(
        self, limit: int = 5, *, of: UserRef | None = None
    ) -> tuple[UserInterest, ...]:
        """Return a user's strongest stored interests.

        Raises:
            AccessDeniedError: The actor may not read them.
            InvalidValueError: *limit* is not a whole number of at least 1.
        """
        return self._asked(self._use_cases.stored.get_interests, self._owner(of), limit=limit)

    def get_recommendations(self, *, of: UserRef | None = None) -> StoredList | None:
        """Return a user's stored homepage; None if none is stored.

        Raises:
            AccessDeniedError: The actor may not read it.
        """
        return self._asked(self._use_cases.stored.get_recommendations, self._owner(of))

    def find_similar_items(self, item_id: ItemRef) -> StoredList | None:
        """Return the stored list of an item's similar items; None if none is stored."""
        return self._asked(self._use_cases.stored.find_similar_items, ItemId(item_id))

    def find_stale_recommendations(
        self, *, older_than: timedelta | None = None
    ) -> tuple[UserId, ...]:
        """Return the ids of users whose stored homepages are no longer fresh.

        With *older_than*, of those whose homepages are older than that.

        Raises:
            AccessDeniedError: The actor may not read them.
            InvalidValueError: *older_than* is not a span of at most a hundred years.
        """
        return self._asked(self._use_cases.stored.find_stale_recommendations, older_than=older_than)

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
