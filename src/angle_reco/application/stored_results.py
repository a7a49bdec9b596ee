"""Reading stored results unfiltered, whatever their age."""

from datetime import datetime, timedelta

import attrs

from angle_reco.application.access import Access
from angle_reco.application.serving.pages import checked_limit
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.lists import ListKind
from angle_reco.domain.policies import Action, Actor, Resource
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.domain.stored_list import StoredList
from angle_reco.domain.users import SignIns
from angle_reco.ports.clock import Clock
from angle_reco.ports.stores import InterestStore, ListStore
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


_A_CENTURY = timedelta(days=36_500)
