"""Items on offer: as the marketplace stores them, and as answers show them."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

import attrs

from angle_reco.domain.auction_status import OPEN_STATUSES, AuctionStatus
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import CategoryId, ItemId, UserId, as_category_id, as_item_id, as_user_id
from angle_reco.domain.public_columns import json_text, public_values, read_public, to_public_text
from angle_reco.domain.type_checks import is_a, plain_amount, plain_text
from angle_reco.domain.validators import is_aware, is_bool, is_money, is_text

# A tuple: searching two members takes a fifth of the time of hashing one.
_OPEN_STATUSES = tuple(OPEN_STATUSES)


def _is_status(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if value is not None and not is_a(value, AuctionStatus):
        raise InvalidValueError(attribute.name, value, "an AuctionStatus or None")


def _public(values: Mapping[str, object]) -> Mapping[str, object]:
    return public_values(values)


@attrs.frozen(kw_only=True)
class Item:
    """One item on offer, with what the marketplace stores about it.

    With *status* None the status follows from the times. *current_price* is only the
    marketplace's own record: scoring derives the price from the bids. *public* are the values of
    public columns by name, which answers carry.
    """

    item_id: ItemId = attrs.field(converter=as_item_id)
    category_id: CategoryId | None = attrs.field(
        default=None, converter=attrs.converters.optional(as_category_id)
    )
    seller_id: UserId | None = attrs.field(
        default=None, converter=attrs.converters.optional(as_user_id)
    )
    title: str = attrs.field(default="", converter=plain_text, validator=is_text)
    starting_price: Decimal | None = attrs.field(
        default=None, converter=plain_amount, validator=attrs.validators.optional(is_money)
    )
    current_price: Decimal | None = attrs.field(
        default=None, converter=plain_amount, validator=attrs.validators.optional(is_money)
    )
    is_published: bool = attrs.field(default=True, validator=is_bool)
    status: AuctionStatus | None = attrs.field(default=None, validator=_is_status)
    starts_at: datetime | None = attrs.field(
        default=None, validator=attrs.validators.optional(is_aware)
    )
    ends_at: datetime | None = attrs.field(
        default=None, validator=attrs.validators.optional(is_aware)
    )
    listed_at: datetime | None = attrs.field(
        default=None, validator=attrs.validators.optional(is_aware)
    )
    public: Mapping[str, object] = attrs.field(factory=dict, converter=_public, hash=False)

    @property
    def public_text(self) -> str:
        """Return *public* as a JSON object, "" without any."""
        return to_public_text({name: json_text(value) for name, value in self.public.items()})


@attrs.frozen(kw_only=True)
class ItemCard:
    """The data of an item that answers need, to show it and to decide whether they may.

    *price* is the current one, *starting_price* that before any bid. *engaged* is True if the
    card was read for a viewer who bid on the item or watches it; cached cards are read without
    a viewer. *bids* and *watchers* are how many popularity counts, None where the card was read
    without these. *public_text* are the host's public columns as a JSON object, "" without any.
    *is_listed* is derived: published and in an open status, whatever the time.
    """

    item_id: ItemId
    title: str
    category_id: CategoryId | None
    seller_id: UserId | None
    price: Decimal | None
    is_published: bool
    status: AuctionStatus
    ends_at: datetime | None
    listed_at: datetime | None
    starting_price: Decimal | None = None
    engaged: bool = False
    public_text: str = attrs.field(default="", repr=False)
    bids: int | None = attrs.field(default=None, eq=False)
    watchers: int | None = attrs.field(default=None, eq=False)
    is_listed: bool = attrs.field(init=False, eq=False, repr=False)

    @is_listed.default
    def _is_listed(self) -> bool:
        return self.is_published and self.status in _OPEN_STATUSES

    @classmethod
    def of(
        cls,
        item: Item,
        *,
        price: Decimal | None,
        status: AuctionStatus,
        engaged: bool = False,
        bids: int | None = None,
        watchers: int | None = None,
    ) -> Self:
        """Return the card of an item with what follows from its bids, its times and the viewer."""
        return cls(
            item_id=item.item_id,
            title=item.title,
            category_id=item.category_id,
            seller_id=item.seller_id,
            price=price,
            starting_price=item.starting_price,
            is_published=item.is_published,
            status=status,
            ends_at=item.ends_at,
            listed_at=item.listed_at,
            engaged=engaged,
            public_text=item.public_text,
            bids=bids,
            watchers=watchers,
        )

    @property
    def public(self) -> dict[str, object]:
        """Return the values of the host's public columns by name, in a new dict."""
        return read_public(self.public_text)
