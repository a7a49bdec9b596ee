"""Events of the host: sign-ins, bids, watches and changed items."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

import attrs

from angle_reco.application.serving.invalidation import CacheInvalidator
from angle_reco.application.serving.pending_activity import PendingActivity
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.changes import MOST_ITEMS, Change, ChangeKind
from angle_reco.domain.errors import HostTransactionLostError, InvalidValueError
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.lists import ListKind
from angle_reco.domain.moments import check_moment
from angle_reco.domain.type_checks import is_a
from angle_reco.ports.activity import ActivityRecorder
from angle_reco.ports.cache import Cache, key_of
from angle_reco.ports.changes import Changes
from angle_reco.ports.clock import Clock
from angle_reco.ports.deadlines import deadline
from angle_reco.ports.users import UserQueries
from angle_reco.settings import Settings

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

MOST_AT_ONCE = 10 * MOST_ITEMS
"""How many items one call of `items_changed` may name."""


@attrs.define(kw_only=True)
class Events:
    """Takes events; a failure is logged and counted in `failed`, and not raised.

    An invalid amount or moment is logged and dropped: the event counts without it. With the
    setting `strict_events` an invalid value raises `InvalidValueError` instead. A lost host
    transaction is always raised (`HostTransactionLostError`).

    An event is pending activity of this process at once. Other processes read it in the
    change feed; it is published in the transaction of the host's *connection*, if one is
    given. On the reference schema and in memory a *recorder* stores bids and watches; without
    a recorder the host stores them.
    """

    users: UserQueries
    recorder: ActivityRecorder | None
    changes: Changes
    pending: PendingActivity
    cached_lists: Cache | None
    invalidator: CacheInvalidator | None
    clock: Clock
    settings: Settings
    as_of: datetime | None = None
    failed: int = attrs.field(default=0, init=False)
    sign_ins_not_counted: int = attrs.field(default=0, init=False)

    @property
    def unconfirmed(self) -> int:
        """Return how many pending bids the activity did not show in time."""
        return 0 if self.invalidator is None else self.invalidator.unconfirmed

    def signed_in(
        self, user_id: object, at: datetime | None = None, connection: object | None = None
    ) -> bool:
        """Count a sign-in; return whether it was counted."""

        def take() -> bool:
            user = self.settings.ids.user_id(user_id)
            moment = self._moment("signed_in", at)
            return self.users.record_sign_in(user, moment, connection=connection)

        is_counted = False
        try:
            is_counted = self._taken("signed_in", take)
        finally:
            self.sign_ins_not_counted += not is_counted
        return is_counted

    def bid_placed(
        self,
        user_id: object,
        item_id: object,
        amount: Decimal | None,
        at: datetime | None,
        connection: object | None = None,
    ) -> bool:
        """Take a bid; the same bid twice counts once."""

        def take() -> bool:
            ids = self.settings.ids
            bid = Bid(
                user_id=ids.user_id(user_id),
                item_id=ids.item_id(item_id),
                amount=self._money("bid_placed", amount),
                placed_at=self._moment("bid_placed", at),
            )
            change = _engaged(bid.user_id, bid.item_id)
            with self._noted(change, connection):
                # A bid from the future counts as of now until it is stored.
                counts_at = min(bid.placed_at, self.clock.now())
                self.pending.bid(bid.user_id, bid.item_id, counts_at, change=change)
                return self._stored(
                    lambda recorder: recorder.record_bid(bid, connection=connection),
                    change,
                    connection,
                    amount=bid.amount,
                )

        return self._taken("bid_placed", take)

    def bid_withdrawn(
        self,
        user_id: object,
        item_id: object,
        at: datetime | None,
        connection: object | None = None,
    ) -> bool:
        """Take a withdrawal of a user's bids on an item: those placed until *at*, or all."""

        def take() -> bool:
            user = self.settings.ids.user_id(user_id)
            item = self.settings.ids.item_id(item_id)
            # An invalid moment is not dropped here: without it later bids would be removed, too.
            until = None if at is None else check_moment(at, "at")
            is_gone = self.recorder is None or self.recorder.remove_bids(
                user, item, until=until, connection=connection
            )
            change = Change(kind=ChangeKind.WITHDRAWN, user_id=user, item_ids=(item,))
            self.pending.withdrawn(user, [item], until=until, change=change)
            if self.invalidator is not None:
                self.invalidator.items.note_changed([item])
            with self._noted(change, connection):
                self.changes.publish([change], connection=connection)
            return is_gone

        return self._taken("bid_withdrawn", take)

    def watched(
        self,
        user_id: object,
        item_id: object,
        at: datetime | None,
        connection: object | None = None,
    ) -> bool:
        """Take a watch; of several watches of one item by one user the earliest is stored."""

        def take() -> bool:
            ids = self.settings.ids
            watch = Watch(
                user_id=ids.user_id(user_id),
                item_id=ids.item_id(item_id),
                watched_at=self._moment("watched", at),
            )
            change = _engaged(watch.user_id, watch.item_id)
            with self._noted(change, connection):
                self.pending.watch(watch.user_id, watch.item_id, change=change)
                return self._stored(
                    lambda recorder: recorder.record_watch(watch, connection=connection),
                    change,
                    connection,
                )

        return self._taken("watched", take)

    def unwatched(self, user_id: object, item_id: object, connection: object | None = None) -> bool:
        """Note the end of a watch."""

        def take() -> bool:
            user = self.settings.ids.user_id(user_id)
            item = self.settings.ids.item_id(item_id)
            change = _engaged(user, item)
            with self._noted(change, connection):
                self.pending.watch(user, item, ends=True, change=change)
                return self._stored(
                    lambda recorder: recorder.remove_watch(user, item, connection=connection),
                    change,
                    connection,
                )

        return self._taken("unwatched", take)

    def items_changed(self, item_ids: Iterable[object], connection: object | None = None) -> bool:
        """Take a change of items: published, withdrawn, edited or sold."""

        def take() -> bool:
            items = self._items(item_ids)
            if self.invalidator is not None:
                self.invalidator.items.note_changed(items)
            self.changes.publish(
                [
                    Change(kind=ChangeKind.ITEMS, item_ids=tuple(items[first : first + MOST_ITEMS]))
                    for first in range(0, len(items), MOST_ITEMS)
                ],
                connection=connection,
            )
            return bool(items)

        return self._taken("items_changed", take)

    def _items(self, item_ids: object) -> Sequence[ItemId]:
        expected = f"a collection of at most {MOST_AT_ONCE:,} ids"
        if is_a(item_ids, str) or not isinstance(item_ids, Iterable):
            raise InvalidValueError("items", item_ids, expected)
        items = dict[ItemId, None]()
        for place, one in enumerate(item_ids):
            if place >= MOST_AT_ONCE:
                raise InvalidValueError("items", "more", expected)
            items[self.settings.ids.item_id(one)] = None
        return list(items)

    def _stored(
        self,
        store: Callable[[ActivityRecorder], bool],
        change: Change,
        connection: object | None,
        *,
        amount: Decimal | None = None,
    ) -> bool:
        """Store an event, note the price of a bid, and publish the change; return what was stored.

        Both are one transaction: of the host's connection if one is given.
        """

        def both() -> bool:
            is_stored = self.recorder is None or store(self.recorder)
            # Before publishing: a process that reads the change reads the price, too.
            if is_stored and amount is not None and change.user_id is not None:
                [item_id] = change.item_ids
                self.pending.offers.note(change.user_id, item_id, amount, change=change)
            self.changes.publish([change], connection=connection)
            return is_stored

        if self.recorder is None or connection is not None:
            return both()
        return self.recorder.together(both)

    @contextmanager
    def _noted(self, change: Change, connection: object | None) -> Iterator[None]:
        """Note that this process publishes a change, and drop the user's cached list after it.

        If the host's connection does not take it, the pending event is dropped. Without a
        connection it stays: the host may have stored the bid or watch in a table of its schema.
        """
        # Before the amount, which an earlier change in the feed would confirm otherwise.
        self.pending.own.note(change)
        try:
            yield
        except Exception:
            self.pending.own.drop(change)
            if connection is not None:
                self.pending.rolled_back(change)
            elif self.recorder is not None and change.user_id is not None:
                # The bid is not stored, so its amount is no price.
                for item_id in change.item_ids:
                    self.pending.offers.rolled_back(change.user_id, item_id, change)
            raise
        finally:
            if self.cached_lists is not None:
                self.cached_lists.forget(key_of(ListKind.PERSONAL, change.user_id))

    def not_taken(self, event: str, error: Exception) -> bool:
        """Log and count an event that failed before it could be taken; return False."""

        def fail() -> bool:
            raise error

        return self._taken(event, fail)

    def read_feed(self) -> None:
        """Read the change feed if that is due, and drop pending events that have expired."""
        if self.invalidator is None:
            self.pending.drop_expired()
        else:
            self.invalidator.read_if_due()

    def _money(self, event: str, amount: Decimal | None) -> Decimal | None:
        prices = self.settings.prices
        if amount is None:
            return None
        return self._or_dropped(event, lambda: prices.to_money(prices.to_units(amount, "amount")))

    def _moment(self, event: str, at: datetime | None) -> datetime:
        moment = None if at is None else self._or_dropped(event, lambda: check_moment(at, "at"))
        return self.clock.now() if moment is None else moment

    def _or_dropped(self, event: str, check: Callable[[], _T]) -> _T | None:
        """Return the checked part of an event; None if it is invalid and dropped."""
        try:
            return check()
        except InvalidValueError as error:
            if self.settings.strict_events:
                raise
            # The log leaves out the value, which may be personal.
            _log.warning(
                "part of an event dropped: event=%s value=%s expected=%s",
                event,
                error.what,
                error.expected,
            )
            return None

    def _taken(self, event: str, take: Callable[[], bool]) -> bool:
        try:
            if self.as_of is not None:
                raise InvalidValueError("as_of", self.as_of, "None: the past takes no events")
            with deadline(self.settings.deadline.total_seconds()):
                # Read first: without a cursor this process would not read its own change.
                self.read_feed()
                stored = take()
        except HostTransactionLostError:
            self.failed += 1
            _log.error("host transaction lost: event=%s", event)
            raise
        except InvalidValueError as error:
            self.failed += 1
            if self.settings.strict_events:
                raise
            # The log leaves out the value, which may be personal.
            _log.warning(
                "event not taken: event=%s value=%s expected=%s", event, error.what, error.expected
            )
            return False
        except Exception as error:  # noqa: BLE001 — no failure of ours may fail the host's request
            self.failed += 1
            # Only the class is logged: the message may name the user.
            _log.warning("event not taken: event=%s error=%s", event, type(error).__name__)
            return False
        if not stored:
            _log.info("event changed nothing: event=%s", event)
        return stored


def _engaged(user_id: UserId, item_id: ItemId) -> Change:
    return Change(kind=ChangeKind.ENGAGED, user_id=user_id, item_ids=(item_id,))
