"""The calls with which a host notifies the library of what its users do."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from angle_reco.domain.ids import ItemRef, UserRef
from angle_reco.wiring import UseCases


class EventCalls:
    """The events of a recommender: sign-ins, bids, watches and changes of items."""

    _use_cases: UseCases

    def signed_in(
        self,
        user_id: UserRef,
        at: datetime | None = None,
        *,
        connection: object | None = None,
    ) -> bool:
        """Count a sign-in of a user now or *at* a moment; return whether it was counted.

        `stats()` counts the sign-ins that were not. With the host's *connection* the sign-in
        is part of its transaction: pass it if the request has written to the user's row, or
        the sign-in waits for that row. Errors are as with `bid_placed`.
        """
        return self._use_cases.events.signed_in(user_id, at, connection)

    def bid_placed(
        self,
        user_id: UserRef,
        item_id: ItemRef,
        *,
        amount: Decimal | None = None,
        at: datetime | None = None,
        connection: object | None = None,
    ) -> bool:
        """Notify the recommender of a bid; on the reference schema and in memory, store it.

        This process counts the bid at once, even before it is committed. Other processes see
        it in the change feed: with the host's *connection* (of SQLAlchemy or of the driver)
        when the host commits, without it at once. An invalid amount or moment is logged and
        dropped, and the bid counts without it. An *amount* above the item's price is the price
        in the next answer.

        Return False if the bid was not taken, or changed nothing in the store. Failures are
        logged and counted, and never reach the request, apart from the two below.

        Raises:
            HostTransactionLostError: SQLite rolled back the host's transaction.
            InvalidValueError: A value is invalid, and the settings say `strict_events`.
        """
        return self._use_cases.events.bid_placed(user_id, item_id, amount, at, connection)

    def bid_withdrawn(
        self,
        user_id: UserRef,
        item_id: ItemRef,
        *,
        at: datetime | None = None,
        connection: object | None = None,
    ) -> bool:
        """Notify the recommender that a user's bids on an item were withdrawn or rolled back.

        The item may be shown to the user again: at once in this process, and in the others
        when they read the change feed. With *at*, bids that were placed later stay; an invalid
        *at* is not dropped, the event is not taken. On the reference schema and in memory the
        bids are removed; return False if there were none. Errors are as with `bid_placed`.
        """
        return self._use_cases.events.bid_withdrawn(user_id, item_id, at, connection)

    def watched(
        self,
        user_id: UserRef,
        item_id: ItemRef,
        *,
        at: datetime | None = None,
        connection: object | None = None,
    ) -> bool:
        """Notify the recommender that a user watches an item; as `bid_placed`."""
        return self._use_cases.events.watched(user_id, item_id, at, connection)

    def unwatched(
        self, user_id: UserRef, item_id: ItemRef, *, connection: object | None = None
    ) -> bool:
        """Notify the recommender that a watch ended; as `bid_placed`."""
        return self._use_cases.events.unwatched(user_id, item_id, connection)

    def items_changed(
        self, item_ids: Iterable[ItemRef], *, connection: object | None = None
    ) -> bool:
        """Notify the recommender that items were published, withdrawn, edited or sold.

        At most 100,000 ids. This process no longer uses what its cache holds of the items;
        other processes see the change in the feed, as with `bid_placed`. A newly open item
        gets similar items, and enters the lists of those. Return False if the event was not
        taken, or *item_ids* is empty. Errors are as with `bid_placed`.
        """
        return self._use_cases.events.items_changed(item_ids, connection)
