"""The activity of users, bids and watches: as single values, and in bulk as columns."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from typing import Any, Self

import attrs
import numpy as np
import numpy.typing as npt

from angle_reco.domain.arrays import (
    Bools,
    Int8s,
    Int32s,
    Int64s,
    check_lengths,
    frozen,
    places_in_runs,
    starts_of_runs,
)
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import CategoryId, IdKinds, ItemId, UserId, as_item_id, as_user_id
from angle_reco.domain.moments import MICROSECOND, from_micros, to_micros
from angle_reco.domain.type_checks import plain_amount
from angle_reco.domain.validators import is_aware, is_money


class Activity(IntEnum):
    """The two kinds of activity; columns hold the value."""

    BID = 0
    WATCH = 1


@attrs.frozen(kw_only=True)
class Bid:
    """A bid of a user on an item; the amount may be unknown."""

    user_id: UserId = attrs.field(converter=as_user_id)
    item_id: ItemId = attrs.field(converter=as_item_id)
    amount: Decimal | None = attrs.field(
        default=None, converter=plain_amount, validator=attrs.validators.optional(is_money)
    )
    placed_at: datetime = attrs.field(validator=is_aware)


def is_own_bid(bid: Bid, seller_id: UserId | None) -> bool:
    """Return whether a bid is by a seller on their own item.

    Such a bid sets the price like any other and counts for nothing else: not as demand for
    the item, not as an interest of the seller, and not for the similarity of items.
    """
    return seller_id is not None and bid.user_id == seller_id


@attrs.frozen(kw_only=True)
class Watch:
    """A user's watch of an item, which is on their watchlist."""

    user_id: UserId = attrs.field(converter=as_user_id)
    item_id: ItemId = attrs.field(converter=as_item_id)
    watched_at: datetime = attrs.field(validator=is_aware)


@attrs.frozen(kw_only=True)
class TouchedItem:
    """An item that one user bid on (*is_bid*) or only watches, since *last_at* at the latest."""

    item_id: ItemId
    title: str
    category_id: CategoryId | None
    seller_id: UserId | None
    is_bid: bool
    last_at: datetime


@attrs.frozen(kw_only=True)
class Interactions:
    """Bids and watches as columns, one per row; *moments* are in microseconds."""

    users: IdColumn
    items: IdColumn
    kinds: Int8s = attrs.field(converter=frozen)
    moments: Int64s = attrs.field(converter=frozen)

    def __attrs_post_init__(self) -> None:
        check_lengths(
            self, users=self.users, items=self.items, kinds=self.kinds, moments=self.moments
        )

    @classmethod
    def of(cls, ids: IdKinds, happened: Iterable[Bid | Watch]) -> Self:
        """Return single bids and watches as columns."""
        listed = list(happened)
        return cls(
            users=IdColumn.of(ids.user, [one.user_id for one in listed]),
            items=IdColumn.of(ids.item, [one.item_id for one in listed]),
            kinds=np.array(
                [Activity.BID if isinstance(one, Bid) else Activity.WATCH for one in listed],
                np.int8,
            ),
            moments=np.array([_micros(one) for one in listed], np.int64),
        )

    @classmethod
    def joined(cls, ids: IdKinds, batches: Iterable[Self]) -> Self:
        """Return all *batches* as one; this drains the iterable."""
        drained = list(batches)
        return cls(
            users=IdColumn.joined(ids.user, (batch.users for batch in drained)),
            items=IdColumn.joined(ids.item, (batch.items for batch in drained)),
            kinds=np.concatenate([np.empty(0, np.int8), *(batch.kinds for batch in drained)]),
            moments=np.concatenate([np.empty(0, np.int64), *(batch.moments for batch in drained)]),
        )

    def __len__(self) -> int:
        return len(self.kinds)

    def where(self, mask: Bools) -> Self:
        """Return the rows in *mask*."""
        return type(self)(
            users=self.users.take(mask),
            items=self.items.take(mask),
            kinds=self.kinds[mask],
            moments=self.moments[mask],
        )

    def newest(self, most: int) -> Self:
        """Return the newest bids and the newest watches, at most so many of each."""
        order = np.lexsort((-self.moments, self.kinds))
        mask = np.zeros(len(self), np.bool_)
        mask[order[places_in_runs(self.kinds[order]) < most]] = True
        return self.where(mask)


@attrs.frozen(kw_only=True)
class KnownItem:
    """What is known of an item that a user touched, open or over; it may be *is_public*."""

    title: str
    category_id: CategoryId | None
    seller_id: UserId | None
    is_public: bool


@attrs.frozen(kw_only=True)
class History:
    """What one user did, and what is known of the *items*."""

    interactions: Interactions
    items: Mapping[ItemId, KnownItem]

    def touched(self, user_id: UserId, *, most: int) -> list[TouchedItem]:
        """Return the items, the last touched first, then by id.

        Of the last *most*, those that are public and not the user's own. `last_at` is the last
        bid or the watch, whichever is later.
        """
        did, last = self.interactions, dict[ItemId, tuple[int, bool]]()
        for item, kind, moment in zip(
            did.items, did.kinds.tolist(), did.moments.tolist(), strict=True
        ):
            at, is_bid = last.get(ItemId(item), (moment, False))
            last[ItemId(item)] = max(at, moment), is_bid or kind == Activity.BID
        found = list[TouchedItem]()
        for item_id in sorted(last, key=lambda one: (-last[one][0], one))[:most]:
            known, (at, is_bid) = self.items.get(item_id), last[item_id]
            if known is not None and known.is_public and known.seller_id != user_id:
                found.append(
                    TouchedItem(
                        item_id=item_id,
                        title=known.title,
                        category_id=known.category_id,
                        seller_id=known.seller_id,
                        is_bid=is_bid,
                        last_at=from_micros(at),
                    )
                )
        return found


def first_watches(users: Int32s, items: npt.NDArray[Any], kinds: Int8s, moments: Int64s) -> Int64s:
    """Return the places of all bids, and of the first watch of each user and item."""
    watches = np.flatnonzero(kinds == Activity.WATCH)
    if len(watches) == 0:
        return np.arange(len(kinds))
    _, item = np.unique(items[watches], return_inverse=True)
    order = np.lexsort((moments[watches], item, users[watches]))
    firsts = starts_of_runs(users[watches][order], item[order])
    return np.concatenate([np.flatnonzero(kinds == Activity.BID), watches[order[firsts]]])


CONFIRMS_FROM = timedelta(seconds=60)
"""A bid confirms a pending one if it was placed at most this much earlier."""


def unconfirmed(pending: Iterable[Bid], happened: Interactions) -> list[Bid]:
    """Return the *pending* bids that *happened* does not show yet.

    A bid is shown by one of the same user on the same item, placed at its moment, later, or
    up to a minute earlier, because clocks differ.
    """
    left = list(pending)
    if not left:
        return left
    are_bids = np.flatnonzero(happened.kinds == Activity.BID)
    newest: dict[tuple[object, object], int] = {}
    for user, item, moment in zip(
        happened.users.take(are_bids),
        happened.items.take(are_bids),
        happened.moments[are_bids].tolist(),
        strict=True,
    ):
        newest[user, item] = max(moment, newest.get((user, item), moment))
    return [
        bid
        for bid in left
        if (shown := newest.get((bid.user_id, bid.item_id))) is None
        or shown < _micros(bid) - CONFIRMS_FROM // MICROSECOND
    ]


def _micros(one: Bid | Watch) -> int:
    return to_micros(one.placed_at if isinstance(one, Bid) else one.watched_at)
