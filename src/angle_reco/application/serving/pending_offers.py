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

_MOST_EVENTS = 100
"""Of one user on one item; the amounts of earlier ones are dropped."""


class _Offer(NamedTuple):
    """A user's events on an item, with their amounts, and how many of them the feed has shown."""

    events: tuple[tuple[Change | None, Decimal | None], ...]
    shown: int
    until: float

    @property
    def amount(self) -> Decimal | None:
        """Return the highest amount, None if there is none."""
        return max((amount for _, amount in self.events if amount is not None), default=None)

    @property
    def is_shown(self) -> bool:
        """Return whether the feed has shown all of the events."""
        return self.shown >= len(self.events)


class PendingOffers:
    """The amounts of bids in this process's events that the feed has not confirmed yet.

    An amount is dropped once the feed has shown as many events of the user on the item as this
    process has taken, when the bid is withdrawn, and after *seconds*. Reading takes no lock.
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
        self,
        user_id: UserId,
        item_id: ItemId,
        amount: Decimal | None = None,
        *,
        change: Change | None = None,
    ) -> None:
        """Note an event of a user on an item: a bid of an *amount*, or any other.

        *change* is the very object that is published of it.
        """
        until = self._clock.monotonic() + self._seconds
        with self._lock:
            offers = self._offers.setdefault(item_id, {})
            known = offers.get(user_id)
            before, shown = ((), 0) if known is None else (known.events, known.shown)
            events = (*before, (change, amount))
            if known is not None:
                del self._in_order[item_id, user_id]
            dropped = max(len(events) - _MOST_EVENTS, 0)
            offers[user_id] = _Offer(events[dropped:], max(shown - dropped, 0), until)
            self._in_order[item_id, user_id] = None
            highest = self.highest.get(item_id)
            if dropped:
                self._update_highest(item_id)
            elif amount is not None and (highest is None or amount > highest):
                self.highest[item_id] = amount
            while len(self._in_order) > self._most:
                self._drop(*next(iter(self._in_order)))

    def feed_has_shown(self, user_id: UserId, item_ids: Iterable[ItemId]) -> None:
        """Note that the feed has shown one event of a user on each of these items."""
        with self._lock:
            for item_id in item_ids:
                known = self._offers.get(item_id, {}).get(user_id)
                if known is not None:
                    self._replace(item_id, user_id, known._replace(shown=known.shown + 1))

    def rolled_back(self, user_id: UserId, item_id: ItemId, change: Change) -> None:
        """Drop the event of which *change*, this very object, was published."""
        with self._lock:
            known = self._offers.get(item_id, {}).get(user_id)
            if known is None:
                return
            events = tuple(one for one in known.events if one[0] is not change)
            if len(events) < len(known.events):
                self._replace(item_id, user_id, known._replace(events=events))
                self._update_highest(item_id)

    def withdrawn(self, user_id: UserId, item_id: ItemId) -> None:
        """Drop a user's amount for an item."""
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

    def _replace(self, item_id: ItemId, user_id: UserId, offer: _Offer) -> None:
        if offer.is_shown:
            self._drop(item_id, user_id)
        else:
            self._offers[item_id][user_id] = offer

    def _drop(self, item_id: ItemId, user_id: UserId) -> None:
        offers = self._offers.get(item_id)
        dropped = None if offers is None else offers.pop(user_id, None)
        if offers is None or dropped is None:
            return
        del self._in_order[item_id, user_id]
        if not offers:
            del self._offers[item_id]
        amount = dropped.amount
        if amount is not None and amount == self.highest.get(item_id):
            self._update_highest(item_id)

    def _update_highest(self, item_id: ItemId) -> None:
        offers = self._offers.get(item_id, {})
        amounts = [one.amount for one in offers.values() if one.amount is not None]
        if amounts:
            self.highest[item_id] = max(amounts)
        else:
            self.highest.pop(item_id, None)


def _priced(card: ItemCard, amount: Decimal | None) -> ItemCard:
    if amount is None or (card.price is not None and card.price >= amount):
        return card
    return attrs.evolve(card, price=amount)
