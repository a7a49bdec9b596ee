"""What users did, and the one place where the reference marketplace is told of more."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from angle_reco.domain.activity import Bid, Interactions, Watch
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import ItemId, UserId


class ActivityQueries(Protocol):
    """What users did: the bids they placed and the items they watch.

    A user watches an item once, since the earliest watch. Spans of time include both
    borders; without *since* they reach back to the beginning, without *until* they have
    no end, the future included. A user nobody has heard of has done nothing.

    A seller's bids on their own item, as the catalogue names its seller, count for nothing:
    `interactions` and `engaged_users` leave them out. The rest has them as any others.

    Raises:
        StorageUnavailableError: (every method) The store did not answer.
    """

    def interactions(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        users: IdColumn | None = None,
        items: IdColumn | None = None,
    ) -> Iterator[Interactions]:
        """Yield what happened in the span, in batches of any order, from one snapshot.

        With *users* or *items*, only what those did or what was done to those. Drain it
        before computing: the snapshot is held until the last batch.
        """
        ...

    def user_bids(
        self, user_id: UserId, *, since: datetime | None = None, until: datetime | None = None
    ) -> Sequence[Bid]:
        """Return a user's bids, the newest first.

        Those of one moment by item id, then amount, an unknown one first.
        """
        ...

    def user_watchlist(
        self, user_id: UserId, *, since: datetime | None = None, until: datetime | None = None
    ) -> Sequence[Watch]:
        """Return what a user watches, the newest first, those of one moment by item id."""
        ...

    def engaged_users(
        self, item_ids: Collection[ItemId], *, until: datetime | None = None
    ) -> Mapping[ItemId, frozenset[UserId]]:
        """Return who bid on or watches each item; every requested id is a key."""
        ...

    def touched_by(self, user_id: UserId, *, until: datetime | None = None) -> frozenset[ItemId]:
        """Return every item that a user bid on or watches."""
        ...

    def totals(self, *, until: datetime | None = None) -> tuple[int, int]:
        """Return how many bids and how many watches there are."""
        ...


class ActivityRecorder(Protocol):
    """Where events become bids and watches: the reference schema and memory.

    A host's own tables are written by the host, so there is no recorder for those. Each
    method says whether anything changed; an unknown user or item changes nothing. It does so
    in the transaction of a host's *connection*, if that is given and the store has such.

    Raises:
        StorageUnavailableError: (every method) The store did not answer.
    """

    def record_bid(self, bid: Bid, *, connection: object | None = None) -> bool:
        """Store a bid; one that is there already (user, item, amount, moment) stays one."""
        ...

    def remove_bids(
        self,
        user_id: UserId,
        item_id: ItemId,
        *,
        until: datetime | None = None,
        connection: object | None = None,
    ) -> bool:
        """Remove the bids of a user on an item: those placed *until* then, itself included."""
        ...

    def record_watch(self, watch: Watch, *, connection: object | None = None) -> bool:
        """Store a watch; of several of one user and item the earliest stays."""
        ...

    def remove_watch(
        self, user_id: UserId, item_id: ItemId, *, connection: object | None = None
    ) -> bool:
        """Forget that a user watches an item."""
        ...
