"""What this process published of users, until the feed shows it: changes, and amounts of bids."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from threading import Lock
from typing import NamedTuple

import attrs

from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.ports.clock import Clock
from angle_reco.ports.forks import reset_in_child

_MOST_EQUAL = 100
"""Of one kind, user and item; earlier ones are dropped."""

_MOST_BIDS = 100
"""Of one user on one item; the amounts of earlier ones are dropped."""

_Key = tuple[ChangeKind, UserId, ItemId]


class _Unread(NamedTuple):
    """Equal changes, how many of them the feed has shown, and when they expire."""

    changes: tuple[Change, ...]
    shown: int
    until: float


class OwnChanges:
    """Changes of users' activity that this process published, until the feed shows them.

    This process applied them when it took the events. Applied again when the feed shows them,
    they would undo what came after. The feed does not say which process published a change, so
    of equal ones as many count as own as this process published. Changes expire after
    *seconds*; there are at *most* so many different ones.
    """

    def __init__(self, clock: Clock, *, seconds: float, most: int) -> None:
        self._clock = clock
        self._seconds = seconds
        self._most = most
        # The one that was published last is the last.
        self._unread: dict[_Key, _Unread] = {}
        self._lock = Lock()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Make a new lock: another thread of the parent may hold the old one."""
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._unread)

    def note(self, change: Change) -> None:
        """Note a change of a user's activity, before it is published."""
        until = self._clock.monotonic() + self._seconds
        with self._lock:
            for key in _keys(change):
                before, shown, _ = self._unread.pop(key, _NOTHING)
                changes = (*before, change)
                dropped = max(len(changes) - _MOST_EQUAL, 0)
                self._unread[key] = _Unread(changes[dropped:], max(shown - dropped, 0), until)
            while len(self._unread) > self._most:
                del self._unread[next(iter(self._unread))]

    def shown(self, kind: ChangeKind, user_id: UserId, item_id: ItemId) -> bool:
        """Note that the feed has shown a change; return whether it is an own one."""
        key = kind, user_id, item_id
        with self._lock:
            unread = self._unread.get(key)
            if unread is None:
                return False
            self._replace(key, unread._replace(shown=unread.shown + 1))
        return True

    def has_unread(self, kind: ChangeKind, user_id: UserId, item_id: ItemId) -> bool:
        """Return whether the feed has still to show an own change."""
        return (kind, user_id, item_id) in self._unread

    def drop(self, change: Change) -> None:
        """Drop this very object, which was not published, or was rolled back."""
        with self._lock:
            for key in _keys(change):
                unread = self._unread.get(key)
                if unread is not None:
                    left = tuple(one for one in unread.changes if one is not change)
                    self._replace(key, unread._replace(changes=left))

    def forget(self, user_id: UserId) -> None:
        """Drop the changes of a user."""
        with self._lock:
            self._unread = {key: one for key, one in self._unread.items() if key[1] != user_id}

    def clear(self) -> None:
        """Drop all changes: the feed will not show them."""
        with self._lock:
            self._unread = {}

    def drop_expired(self) -> None:
        """Drop the changes that have expired: they were never committed."""
        now = self._clock.monotonic()
        with self._lock:
            while self._unread and self._unread[key := next(iter(self._unread))].until <= now:
                del self._unread[key]

    def _replace(self, key: _Key, unread: _Unread) -> None:
        if unread.shown >= len(unread.changes):
            del self._unread[key]
        else:
            self._unread[key] = unread


class _Offer(NamedTuple):
    """A user's bids on an item, with their amounts, and when they expire."""

    bids: tuple[tuple[Change | None, Decimal], ...]
    until: float

    @property
    def amount(self) -> Decimal:
        """Return the highest amount."""
        return max(amount for _, amount in self.bids)


class PendingOffers:
    """The amounts of bids in this process's events that the feed has not confirmed yet.

    Amounts are dropped once the feed has shown all that this process published of the user and
    the item, when the bid is withdrawn, and after *seconds*. Reading takes no lock.
    """

    def __init__(self, clock: Clock, *, seconds: float, most: int) -> None:
        self._clock = clock
        self._seconds = seconds
        self._most = most
        self._offers: dict[ItemId, dict[UserId, _Offer]] = {}
        self._in_order: dict[tuple[ItemId, UserId], None] = {}
        self.highest: dict[ItemId, Decimal] = {}
        self._lock = Lock()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Make a new lock: another thread of the parent may hold the old one."""
        self._lock = Lock()

    def note(
        self, user_id: UserId, item_id: ItemId, amount: Decimal, *, change: Change | None = None
    ) -> None:
        """Note a bid of an *amount*; *change* is the very object that is published of it."""
        until = self._clock.monotonic() + self._seconds
        with self._lock:
            offers = self._offers.setdefault(item_id, {})
            known = offers.get(user_id)
            bids = (*(() if known is None else known.bids), (change, amount))
            if known is not None:
                del self._in_order[item_id, user_id]
            offers[user_id] = _Offer(bids[-_MOST_BIDS:], until)
            self._in_order[item_id, user_id] = None
            highest = self.highest.get(item_id)
            if len(bids) > _MOST_BIDS:
                self._update_highest(item_id)
            elif highest is None or amount > highest:
                self.highest[item_id] = amount
            while len(self._in_order) > self._most:
                self._drop(*next(iter(self._in_order)))

    def rolled_back(self, user_id: UserId, item_id: ItemId, change: Change) -> None:
        """Drop the bid of which *change*, this very object, was published."""
        with self._lock:
            known = self._offers.get(item_id, {}).get(user_id)
            if known is None:
                return
            bids = tuple(one for one in known.bids if one[0] is not change)
            if not bids:
                self._drop(item_id, user_id)
            elif len(bids) < len(known.bids):
                self._offers[item_id][user_id] = known._replace(bids=bids)
                self._update_highest(item_id)

    def drop(self, user_id: UserId, item_id: ItemId) -> None:
        """Drop a user's amounts for an item."""
        with self._lock:
            self._drop(item_id, user_id)

    def forget(self, user_id: UserId) -> None:
        """Drop all amounts of a user."""
        with self._lock:
            for item_id, of in list(self._in_order):
                if of == user_id:
                    self._drop(item_id, of)

    def clear(self) -> None:
        """Drop all amounts."""
        with self._lock:
            self._offers, self._in_order, self.highest = {}, {}, {}

    def drop_expired(self) -> None:
        """Drop the amounts that have expired."""
        now = self._clock.monotonic()
        with self._lock:
            while self._in_order:
                item_id, user_id = next(iter(self._in_order))
                if self._offers[item_id][user_id].until > now:
                    break
                self._drop(item_id, user_id)

    def on(
        self, cards: Mapping[ItemId, ItemCard], item_ids: Iterable[ItemId]
    ) -> Mapping[ItemId, ItemCard]:
        """Return the cards of items, with pending amounts that exceed their prices as prices."""
        highest = self.highest
        if not highest:
            return cards
        return {one: _priced(cards[one], highest.get(one)) for one in item_ids if one in cards}

    def _drop(self, item_id: ItemId, user_id: UserId) -> None:
        offers = self._offers.get(item_id)
        dropped = None if offers is None else offers.pop(user_id, None)
        if offers is None or dropped is None:
            return
        del self._in_order[item_id, user_id]
        if not offers:
            del self._offers[item_id]
        if dropped.amount == self.highest.get(item_id):
            self._update_highest(item_id)

    def _update_highest(self, item_id: ItemId) -> None:
        amounts = [one.amount for one in self._offers.get(item_id, {}).values()]
        if amounts:
            self.highest[item_id] = max(amounts)
        else:
            self.highest.pop(item_id, None)


def _priced(card: ItemCard, amount: Decimal | None) -> ItemCard:
    if amount is None or (card.price is not None and card.price >= amount):
        return card
    return attrs.evolve(card, price=amount)


_NOTHING = _Unread((), 0, 0.0)


def _keys(change: Change) -> list[_Key]:
    user_id = change.user_id
    return [] if user_id is None else [(change.kind, user_id, one) for one in change.item_ids]
