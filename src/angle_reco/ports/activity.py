"""The activity of users, and the recorder that stores it for the reference marketplace."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias

from angle_reco.domain.activity import Bid, History, Interactions, Watch
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import ItemId, UserId

Span: TypeAlias = tuple[datetime, datetime | None]
"""A span of time with both borders; without the second one it has no end."""


class ActivityQueries(Protocol):
    """The bids that users placed and the items that they watch.

    A user watches an item once, since the earliest watch. Spans of time include both
    borders; without *since* they have no start, without *until* no end, so the future is
    included. An unknown user has no activity.

    A seller's bids on their own item, as the catalogue names its seller, do not count:
    `interactions` and `engaged_users` leave them out. The other methods include them.

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
        within: Sequence[Span] | None = None,
    ) -> Iterator[Interactions]:
        """Yield the activity in the span, in batches, in any order, from one snapshot.

        With *users* or *items*, only that of those users or items; with *within*, only that in
        at least one of these spans. Drain the iterator before
        computing: the snapshot is held until the last batch.
        """
        ...

    def history(
        self, user_id: UserId, *, until: datetime | None = None, newest: int | None = None
    ) -> History:
        """Return the `interactions` of one user, with what the catalogue says of their items.

        An item is public if it is published, and was listed by *until*. With *newest*, only so
        many bids and so many watches, the newest ones.
        """
        ...

    def user_bids(
        self, user_id: UserId, *, since: datetime | None = None, until: datetime | None = None
    ) -> Sequence[Bid]:
        """Return a user's bids, newest first.

        Bids of the same moment are ordered by item id, then amount, an unknown amount first.
        """
        ...

    def user_watchlist(
        self, user_id: UserId, *, since: datetime | None = None, until: datetime | None = None
    ) -> Sequence[Watch]:
        """Return a user's watches, newest first, those of the same moment by item id."""
        ...

    def engaged_users(
        self, item_ids: Collection[ItemId], *, until: datetime | None = None
    ) -> Mapping[ItemId, frozenset[UserId]]:
        """Return the users who bid on or watch each item; every requested id is a key."""
        ...

    def touched_by(self, user_id: UserId, *, until: datetime | None = None) -> frozenset[ItemId]:
        """Return every item that a user bid on or watches."""
        ...

    def totals(self, *, until: datetime | None = None) -> tuple[int, int]:
        """Return the number of bids and the number of watches."""
        ...


class ActivityRecorder(Protocol):
    """Stores events as bids and watches: in the reference schema and in memory.

    A host's own tables are written by the host and have no recorder. Each method returns
    whether anything changed; an unknown user or item changes nothing. With a host's
    *connection* the change is part of its transaction, if the store supports transactions.

    Raises:
        StorageUnavailableError: (every method) The store did not answer.
    """

    def together(self, work: Callable[[], bool]) -> bool:
        """Call *work* and return its result; all that it writes is one transaction.

        This includes what other ports of the store write. If the store has no transactions, it
        is only called; if the connection is lost, it is called once more.
        """
        ...

    def record_bid(self, bid: Bid, *, connection: object | None = None) -> bool:
        """Store a bid; an equal one (user, item, amount, moment) is stored once."""
        ...

    def remove_bids(
        self,
        user_id: UserId,
        item_id: ItemId,
        *,
        until: datetime | None = None,
        connection: object | None = None,
    ) -> bool:
        """Remove a user's bids on an item: those placed up to *until*, inclusive."""
        ...

    def record_watch(self, watch: Watch, *, connection: object | None = None) -> bool:
        """Store a watch; of several of one user and item the earliest is stored."""
        ...

    def remove_watch(
        self, user_id: UserId, item_id: ItemId, *, connection: object | None = None
    ) -> bool:
        """Remove a user's watch of an item."""
        ...
