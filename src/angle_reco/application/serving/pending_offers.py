"""Pending offers: amounts of bids that the cards in memory may not show yet."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from threading import Lock
from typing import NamedTuple

import attrs

from angle_reco.domain.changes import Change
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.ports.clock import Clock
from angle_reco.ports.forks import reset_in_child

_MOST_BIDS = 100
"""Of one user on one item; the amounts of earlier ones are dropped."""


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
