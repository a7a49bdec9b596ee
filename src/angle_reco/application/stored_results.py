"""Stored results one by one: read whatever their age, and overridden by an operator."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import attrs

from angle_reco.application.access import Access
from angle_reco.application.serving.list_reader import ListReader
from angle_reco.domain.changes import EDITED, Change, ChangeKind
from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.errors import AlreadyStoredError, InvalidValueError, StorageError
from angle_reco.domain.ids import CategoryId, ItemId, UserId
from angle_reco.domain.job_names import JOB_OF, OF_INTERESTS
from angle_reco.domain.lists import ListKind
from angle_reco.domain.millionths import to_score
from angle_reco.domain.moments import check_moment
from angle_reco.domain.overrides import override_line, with_line, without_line
from angle_reco.domain.pages import checked_limit
from angle_reco.domain.policies import Action, Actor, Resource
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.domain.stored_list import StoredLine, StoredList
from angle_reco.domain.users import SignIns
from angle_reco.domain.validators import whole
from angle_reco.ports.changes import Changes
from angle_reco.ports.clock import Clock
from angle_reco.ports.stores import InterestStore, ListStore, StoredInterests
from angle_reco.ports.users import UserQueries
from angle_reco.settings import Settings


@attrs.frozen(kw_only=True)
class StoredResources:
    """Reads stored interests and lists, neither filtered nor computed."""

    access: Access
    users: UserQueries
    interests: InterestStore
    lists: ListStore
    clock: Clock
    settings: Settings
    as_of: datetime | None = None

    def sign_ins(self, actor: Actor, owner: UserId | None) -> SignIns | None:
        """Return when *owner* last signed in and how often; None for an unknown user."""
        self.access.require(actor, Action.READ, Resource.SIGN_INS, owner=owner)
        return self.users.sign_ins(self.settings.ids.user_id(owner), until=self.as_of)

    def get_interests(
        self, actor: Actor, owner: UserId | None, *, limit: int | None = None
    ) -> tuple[UserInterest, ...]:
        """Return the stored interests of *owner*, the strongest first."""
        self.access.require(actor, Action.READ, Resource.INTERESTS, owner=owner)
        user_id = self.settings.ids.user_id(owner)
        most = None if limit is None else checked_limit(limit)
        stored = self.interests.of(user_id, limit=most)
        return () if stored is None else stored.interests

    def get_recommendations(self, actor: Actor, owner: UserId | None) -> StoredList | None:
        """Return the stored homepage of *owner*; None if none is stored."""
        self.access.require(actor, Action.READ, Resource.HOMEPAGE, owner=owner)
        user_id = self.settings.ids.user_id(owner)
        return self.lists.read(ListKind.PERSONAL, [user_id]).get(user_id)

    def find_similar_items(self, actor: Actor, item_id: ItemId) -> StoredList | None:
        """Return the stored list of an item's similar items; None if none is stored."""
        self.access.require(actor, Action.READ, Resource.SIMILAR_ITEMS)
        item_id = self.settings.ids.item_id(item_id)
        return self.lists.read(ListKind.SIMILAR, [item_id]).get(item_id)

    def find_stale_recommendations(
        self, actor: Actor, *, older_than: timedelta | None = None
    ) -> tuple[UserId, ...]:
        """Return the users whose stored homepages are no longer fresh, or above *older_than*."""
        self.access.require(actor, Action.READ, Resource.STATS)
        age = older_than
        if age is None:
            age = self.settings.freshness[ListKind.PERSONAL].fresh_for
        elif not (type(age) is timedelta and timedelta(0) <= age <= _A_CENTURY):
            raise InvalidValueError("older_than", age, "a span of time of up to a hundred years")
        owners = self.lists.older_than(ListKind.PERSONAL, self.clock.now() - age)
        return tuple(UserId(owner) for owner in owners)


_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class WriteOverrides:
    """Creates, changes and deletes single interests, similar items and recommendations.

    An override changes the result that the next answer would use: the stored one if it is
    usable, else a computed one, which is stored with the change.
    """

    access: Access
    list_reader: ListReader
    interests: InterestStore
    lists: ListStore
    changes: Changes

    def write_interest(
        self,
        actor: Actor,
        user_id: UserId,
        category_id: CategoryId,
        *,
        score: object,
        interaction_count: int,
        last_interaction_at: datetime | None,
        replaces: bool,
    ) -> UserInterest:
        """Store an override of a user's interest in a category."""
        self.access.require(actor, Action.WRITE, Resource.INTERESTS, owner=user_id)
        ids, at = self.list_reader.settings.ids, last_interaction_at
        interest = UserInterest(
            user_id=ids.user_id(user_id),
            category_id=ids.category_id(category_id),
            score=to_score(score, "score"),
            strength=0,
            interaction_count=whole(
                interaction_count, "interaction_count", least=0, most=2**63 - 1
            ),
            last_interaction_at=(
                self.list_reader.clock.now()
                if at is None
                else check_moment(at, "last_interaction_at")
            ),
            by_hand=True,
        )

        def change(stored: StoredInterests) -> StoredInterests:
            others = _others(stored, interest.category_id)
            if len(others) < len(stored.interests) and not replaces:
                raise AlreadyStoredError("an interest of this user in this category")
            removed = tuple(one for one in stored.removed if one != interest.category_id)
            return attrs.evolve(stored, interests=(*others, interest), removed=removed)

        self._edit_interests(interest.user_id, change)
        self._publish(OF_INTERESTS)
        return interest

    def delete_interest(self, actor: Actor, user_id: UserId, category_id: CategoryId) -> bool:
        """Remove an interest; return False if there was none."""
        self.access.require(actor, Action.WRITE, Resource.INTERESTS, owner=user_id)
        user_id = self.list_reader.settings.ids.user_id(user_id)
        category_id = self.list_reader.settings.ids.category_id(category_id)
        was_there = False

        def change(stored: StoredInterests) -> StoredInterests:
            nonlocal was_there
            others = _others(stored, category_id)
            was_there = len(others) < len(stored.interests)
            if not was_there:
                return stored
            return attrs.evolve(stored, interests=others, removed=(*stored.removed, category_id))

        self._edit_interests(user_id, change)
        if was_there:
            self._publish(OF_INTERESTS)
        return was_there

    def write_similarity(
        self,
        actor: Actor,
        item_id: ItemId,
        similar_id: ItemId,
        *,
        score: object,
        reason: object,
        replaces: bool,
    ) -> StoredLine:
        """Store an override in the list of an item's similar items."""
        self.access.require(actor, Action.WRITE, Resource.SIMILAR_ITEMS)
        ids = self.list_reader.settings.ids
        item_id, similar_id = ids.item_id(item_id), ids.item_id(similar_id)
        if item_id == similar_id:
            raise InvalidValueError("similar item", similar_id, "another item")
        line = override_line(
            ListKind.SIMILAR, similar_id, score=to_score(score, "score"), reason=reason
        )
        self.list_reader.card(similar_id)
        self._write_line(
            ListKind.SIMILAR, item_id, line, None, "a similarity of these items", replaces=replaces
        )
        return line

    def delete_similarity(self, actor: Actor, item_id: ItemId, similar_id: ItemId) -> bool:
        """Remove a similar item from an item's list; return False if it was not in the list."""
        self.access.require(actor, Action.WRITE, Resource.SIMILAR_ITEMS)
        ids = self.list_reader.settings.ids
        return self._delete_line(ListKind.SIMILAR, ids.item_id(item_id), ids.item_id(similar_id))

    def write_recommendation(
        self,
        actor: Actor,
        user_id: UserId,
        item_id: ItemId,
        *,
        score: object,
        rank: int | None,
        reason: object,
        replaces: bool,
    ) -> StoredLine:
        """Store an override on a user's homepage."""
        self.access.require(actor, Action.WRITE, Resource.HOMEPAGE, owner=user_id)
        ids = self.list_reader.settings.ids
        user_id, item_id = ids.user_id(user_id), ids.item_id(item_id)
        line = override_line(
            ListKind.PERSONAL, item_id, score=to_score(score, "score"), reason=reason
        )
        rank = None if rank is None else whole(rank, "rank", least=1)
        self.list_reader.card(item_id)
        what = "a recommendation of this item to this user"
        self._write_line(ListKind.PERSONAL, user_id, line, rank, what, replaces=replaces)
        return line

    def delete_recommendation(self, actor: Actor, user_id: UserId, item_id: ItemId) -> bool:
        """Remove an item from a user's homepage; return False if it was not there."""
        self.access.require(actor, Action.WRITE, Resource.HOMEPAGE, owner=user_id)
        ids = self.list_reader.settings.ids
        return self._delete_line(ListKind.PERSONAL, ids.user_id(user_id), ids.item_id(item_id))

    def _write_line(
        self,
        kind: ListKind,
        owner: object,
        line: StoredLine,
        rank: int | None,
        what: str,
        *,
        replaces: bool,
    ) -> None:
        def change(stored: StoredList) -> StoredList:
            if not replaces and line.item_id in stored.ids:
                raise AlreadyStoredError(what)
            return with_line(stored, line, rank=rank)

        self._edit_list(kind, owner, change)
        self._publish(JOB_OF[kind])

    def _delete_line(self, kind: ListKind, owner: object, item_id: ItemId) -> bool:
        was_there = False

        def change(stored: StoredList) -> StoredList:
            nonlocal was_there
            was_there = item_id in stored.ids
            return without_line(stored, item_id)

        self._edit_list(kind, owner, change)
        if was_there:
            self._publish(JOB_OF[kind])
        return was_there

    def _edit_list(
        self, kind: ListKind, owner: object, change: Callable[[StoredList], StoredList]
    ) -> None:
        def usable(stored: StoredList | None) -> StoredList | None:
            return stored if self.list_reader.is_usable(kind, stored) else None

        def change_usable(stored: StoredList | None) -> StoredList:
            found = usable(stored)
            if found is None:
                raise _NothingToEdit
            return change(found)

        try:
            self.lists.edit(kind, owner, change_usable)
        except _NothingToEdit:
            computed = self._computed_list(kind, owner)
            if change(computed) is not computed:
                # If another process has stored a usable list since, that list is changed.
                self.lists.edit(kind, owner, lambda stored: change(usable(stored) or computed))
        finally:
            self.list_reader.forget(kind, owner)

    def _computed_list(self, kind: ListKind, owner: object) -> StoredList:
        scorer = self.list_reader.scorer
        if kind is ListKind.SIMILAR:
            item = self.list_reader.card(ItemId(owner))
            market = scorer.market(self.list_reader.models.of_similar)
            return scorer.similar_to_one(market, item).stored(0)
        users = IdIndex(IdColumn.of(self.list_reader.settings.ids.user, [owner]))
        market = scorer.market(self.list_reader.models.newest)
        profiles = scorer.profiles(market, users)
        return scorer.homepages(market, profiles, keep=scorer.rankings.kept).stored(0)

    def _edit_interests(
        self, user_id: UserId, change: Callable[[StoredInterests], StoredInterests]
    ) -> None:
        def usable(stored: StoredInterests | None) -> StoredInterests | None:
            return stored if self.list_reader.scorer.is_usable(stored) else None

        def change_usable(stored: StoredInterests | None) -> StoredInterests:
            found = usable(stored)
            if found is None:
                raise _NothingToEdit
            return change(found)

        try:
            self.interests.edit(user_id, change_usable)
        except _NothingToEdit:
            scorer, now = self.list_reader.scorer, self.list_reader.clock.now()
            users = IdColumn.of(scorer.settings.ids.user, [user_id])
            computed = StoredInterests(
                interests=tuple(scorer.interests(users).values()),
                recipe=scorer.recipes.interests,
                computed_at=now,
            )
            if change(computed) is not computed:
                # If another process has stored usable interests since, those are changed.
                self.interests.edit(user_id, lambda stored: change(usable(stored) or computed))

    def _publish(self, job: str) -> None:
        """Publish an edit for the next run of a job: one that is under way may not replace it."""
        try:
            self.changes.publish([Change(kind=ChangeKind.RUN, job=EDITED + job)])
        except StorageError as error:
            _log.warning("edit not published: job=%s error=%s", job, type(error).__name__)


class _NothingToEdit(Exception):  # noqa: N818 — no error: the result is computed instead
    """Nothing is stored that the next answer would use."""


def _others(stored: StoredInterests, category_id: CategoryId) -> tuple[UserInterest, ...]:
    return tuple(one for one in stored.interests if one.category_id != category_id)


_A_CENTURY = timedelta(days=36_500)
