"""Activity in columns, for scorers that must not see a part of it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

import attrs
import numpy as np

from angle_reco.domain.activity import Activity, Bid, History, Interactions, Watch
from angle_reco.domain.arrays import Bools
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.moments import from_micros, to_micros
from angle_reco.ports.activity import Span


@attrs.frozen
class TouchedActivity:
    """`ActivityQueries` on given interactions and nothing else; amounts are unknown."""

    happened: Interactions

    def interactions(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        users: IdColumn | None = None,
        items: IdColumn | None = None,
        within: Sequence[Span] | None = None,
    ) -> Iterator[Interactions]:
        """Yield the interactions in the span, of *users* and *items* if these are given."""
        found = self.happened
        mask = _within(found, since, until)
        if within is not None:
            mask &= np.any([np.zeros_like(mask), *(_within(found, *one) for one in within)], axis=0)
        for wanted, column in ((users, found.users), (items, found.items)):
            if wanted is not None:
                mask &= IdIndex.of(wanted.kind, wanted).codes(column) != NONE
        yield found.where(mask)

    def history(
        self, user_id: UserId, *, until: datetime | None = None, newest: int | None = None
    ) -> History:
        """Return a user's interactions; of their items nothing is known."""
        users = IdColumn.of(self.happened.users.kind, [user_id])
        [found] = self.interactions(until=until, users=users)
        return History(interactions=found if newest is None else found.newest(newest), items={})

    def user_bids(
        self, user_id: UserId, *, since: datetime | None = None, until: datetime | None = None
    ) -> Sequence[Bid]:
        """Return a user's bids, newest first, then by item id."""
        return [
            Bid(user_id=user_id, item_id=item, placed_at=moment)
            for item, moment in self._of(user_id, Activity.BID, since, until)
        ]

    def user_watchlist(
        self, user_id: UserId, *, since: datetime | None = None, until: datetime | None = None
    ) -> Sequence[Watch]:
        """Return a user's watches, newest first, then by item id."""
        return [
            Watch(user_id=user_id, item_id=item, watched_at=moment)
            for item, moment in self._of(user_id, Activity.WATCH, since, until)
        ]

    def engaged_users(
        self, item_ids: Collection[ItemId], *, until: datetime | None = None
    ) -> Mapping[ItemId, frozenset[UserId]]:
        """Return the users who bid on or watch each item."""
        engaged: dict[ItemId, set[UserId]] = {item: set() for item in item_ids}
        items = IdColumn.of(self.happened.items.kind, item_ids)
        for batch in self.interactions(until=until, items=items):
            for user, item in zip(batch.users, batch.items, strict=True):
                engaged[ItemId(item)].add(UserId(user))
        return {item: frozenset(users) for item, users in engaged.items()}

    def touched_by(self, user_id: UserId, *, until: datetime | None = None) -> frozenset[ItemId]:
        """Return every item that a user bid on or watches."""
        users = IdColumn.of(self.happened.users.kind, [user_id])
        [found] = self.interactions(until=until, users=users)
        return frozenset(ItemId(item) for item in found.items)

    def totals(self, *, until: datetime | None = None) -> tuple[int, int]:
        """Return the number of bids and the number of watches."""
        kinds = self.happened.kinds[_within(self.happened, None, until)]
        bids = int(np.count_nonzero(kinds == Activity.BID))
        return bids, len(kinds) - bids

    def _of(
        self, user_id: UserId, kind: Activity, since: datetime | None, until: datetime | None
    ) -> list[tuple[ItemId, datetime]]:
        users = IdColumn.of(self.happened.users.kind, [user_id])
        [found] = self.interactions(since=since, until=until, users=users)
        found = found.where(found.kinds == kind)
        items = IdIndex.of(found.items.kind, found.items).codes(found.items)
        order = np.lexsort((items, -found.moments))
        moments = [from_micros(moment) for moment in found.moments[order].tolist()]
        ids = [ItemId(item) for item in found.items.take(order)]
        return list(zip(ids, moments, strict=True))


def _within(found: Interactions, since: datetime | None, until: datetime | None) -> Bools:
    mask = np.ones(len(found), np.bool_)
    if since is not None:
        mask &= found.moments >= to_micros(since)
    if until is not None:
        mask &= found.moments <= to_micros(until)
    return mask
