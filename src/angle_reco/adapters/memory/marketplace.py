"""A marketplace in memory, in place of a host's own tables."""

from collections.abc import Iterable
from datetime import datetime
from threading import RLock
from typing import Any, TypeVar

import attrs

from angle_reco.domain.activity import Bid, Watch, is_own_bid
from angle_reco.domain.errors import InvalidValueError, StorageUnavailableError
from angle_reco.domain.ids import IdKinds, ItemId, UserId, UserRef
from angle_reco.domain.items import Item
from angle_reco.domain.moments import check_moment
from angle_reco.domain.prices import PriceScale
from angle_reco.domain.type_checks import is_a, plain
from angle_reco.domain.users import User
from angle_reco.domain.validators import instance
from angle_reco.ports.deadlines import time_left
from angle_reco.ports.forks import reset_in_child

_Row = TypeVar("_Row", User, Item, Bid, Watch)


class MarketLock:
    """The lock of a marketplace; a call waits for it no longer than its deadline."""

    def __init__(self) -> None:
        self.reset_after_fork()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Replace the lock, because another thread of the parent may hold it."""
        self._lock = RLock()

    def __enter__(self) -> None:
        left = time_left()
        if not self._lock.acquire(timeout=-1 if left is None else left):
            raise StorageUnavailableError("the marketplace in memory is locked")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class MemoryMarketplace:
    """Users, items, bids, watches and permissions.

    The memory adapters of one recommender share one instance.

    Bids and watches belong to known users and items. Hold `lock` while reading or changing
    the dictionaries.
    """

    def __init__(
        self,
        *,
        users: Iterable[User] = (),
        items: Iterable[Item] = (),
        bids: Iterable[Bid] = (),
        watches: Iterable[Watch] = (),
        ids: IdKinds | None = None,
        prices: PriceScale | None = None,
    ) -> None:
        """Fill the marketplace: of equal bids all count, of equal watches the earliest.

        Raises:
            InvalidValueError: An id is of another kind than *ids* says (text by default),
                an amount does not fit, or a bid or watch is of an unknown user or item.
        """
        self.ids = IdKinds() if ids is None else instance(ids, "ids", IdKinds)
        self.prices = PriceScale() if prices is None else instance(prices, "prices", PriceScale)
        self.lock = MarketLock()
        self.users: dict[UserId, User] = {}
        self.items: dict[ItemId, Item] = {}
        self.bids: dict[ItemId, list[Bid]] = {}
        self.watches: dict[tuple[UserId, ItemId], Watch] = {}
        self.granted: set[tuple[UserId, str]] = set()
        for user in _each(users, "users"):
            self.add_user(user)
        for item in _each(items, "items"):
            self.add_item(item)
        for bid in _each(bids, "bids"):
            self._check(instance(bid, "bid", Bid))
            self.bids.setdefault(bid.item_id, []).append(in_utc(bid))
        for watch in _each(watches, "watches"):
            self._check(instance(watch, "watch", Watch))
            self.add_watch(watch)

    def add_user(self, user: User) -> None:
        """Add a user, or replace the one with their id."""
        user_id = self.ids.user_id(instance(user, "user", User).user_id)
        with self.lock:
            self.users[user_id] = in_utc(user)

    def add_item(self, item: Item) -> None:
        """Add an item, or replace the one with its id."""
        self.ids.item_id(instance(item, "item", Item).item_id)
        if item.category_id is not None:
            self.ids.category_id(item.category_id)
        if item.seller_id is not None:
            self.ids.user_id(item.seller_id)
        for amount in (item.starting_price, item.current_price):
            if amount is not None:
                self.prices.to_units(amount, "price of an item")
        with self.lock:
            self.items[item.item_id] = in_utc(item)

    def add_watch(self, watch: Watch) -> bool:
        """Add a watch, unless there is an earlier one by the same user on the same item."""
        instance(watch, "watch", Watch)
        key = (self.ids.user_id(watch.user_id), self.ids.item_id(watch.item_id))
        with self.lock:
            known = self.watches.get(key)
            if known is not None and known.watched_at <= watch.watched_at:
                return False
            self.watches[key] = in_utc(watch)
            return True

    def grant(self, user_id: UserRef, name: str) -> None:
        """Grant a user the permission *name*.

        Raises:
            InvalidValueError: The id is of another kind, or the name is no text.
        """
        with self.lock:
            self.granted.add((self.ids.user_id(user_id), _permission(name)))

    def revoke(self, user_id: UserRef, name: str) -> None:
        """Revoke a permission; nothing happens if the user does not hold it.

        Raises:
            InvalidValueError: The id is of another kind, or the name is no text.
        """
        with self.lock:
            self.granted.discard((self.ids.user_id(user_id), _permission(name)))

    def knows(self, user_id: UserId, item_id: ItemId) -> bool:
        """Return whether both the user and the item exist."""
        return user_id in self.users and item_id in self.items

    def is_own(self, bid: Bid) -> bool:
        """Return whether a bid is by a seller on their own item, so that it does not count."""
        item = self.items.get(bid.item_id)
        return item is not None and is_own_bid(bid, item.seller_id)

    def _check(self, happened: Bid | Watch) -> None:
        self.ids.user_id(happened.user_id)
        self.ids.item_id(happened.item_id)
        if not self.knows(happened.user_id, happened.item_id):
            raise InvalidValueError(
                "user and item of a bid or watch",
                (happened.user_id, happened.item_id),
                "ones that were added before",
            )
        if isinstance(happened, Bid) and happened.amount is not None:
            self.prices.to_units(happened.amount, "amount of a bid")


def in_utc(row: _Row) -> _Row:
    """Return a row with its moments in UTC.

    Moments of the same time zone compare by local time, and a local hour may be repeated.
    """
    moments: dict[str, Any] = {  # the type checker does not know the fields
        name: check_moment(value, name)
        for name, value in attrs.asdict(row, recurse=False).items()
        if is_a(value, datetime)
    }
    return attrs.evolve(row, **moments)


def _each(rows: Iterable[_Row], what: str) -> Iterable[_Row]:
    if not issubclass(type(rows), Iterable):
        raise InvalidValueError(what, rows, "an iterable of them")
    return rows


def _permission(name: object) -> str:
    if not is_a(name, str):
        raise InvalidValueError("name of a permission", name, "a text")
    permission: str = plain(name)
    return permission


def exists_by(moment: datetime | None, until: datetime | None) -> bool:
    """Return whether something created at *moment* exists as of *until*."""
    return until is None or moment is None or moment <= until


def refuse_connection(connection: object | None) -> None:
    """Refuse a host's connection: data in memory is part of no transaction.

    Raises:
        InvalidValueError: A connection is given.
    """
    if connection is not None:
        # Only the name of its class: the connection itself may show a password.
        given = type(connection).__name__
        raise InvalidValueError("connection", given, "None: the marketplace is in memory")
