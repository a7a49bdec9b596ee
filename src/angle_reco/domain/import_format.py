"""The files of an import: their columns, and the valid contents of each field."""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache, partial
from typing import TypeAlias

import attrs

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import IdKind, IdKinds
from angle_reco.domain.import_columns import (
    AtOnce,
    usual_amounts,
    usual_moments,
    with_absent,
)
from angle_reco.domain.prices import UNKNOWN_PRICE, PriceScale
from angle_reco.domain.publication import publication_status
from angle_reco.domain.validators import whole
from angle_reco.domain.written_moments import is_without_offset, read_moment

Field: TypeAlias = Callable[[str], object]
"""Converts a text of a file to the value that is stored, or raises InvalidValueError."""

_AMOUNT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,9})?")

LONGEST_TITLE = 100_000
"""In characters, far more than any page shows."""


@attrs.frozen(kw_only=True)
class ImportFile:
    """One file of an import directory: `name.csv` or `name.csv.gz`.

    *fields* are its columns in the order in which they are stored. *at_once* convert whole
    columns, if all of their texts have the usual form.
    """

    name: str
    fields: dict[str, Field]
    at_once: dict[str, AtOnce] = attrs.field(factory=dict)
    may_be_absent: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names that the header must contain, in any order."""
        return tuple(self.fields)

    def column(self, name: str, texts: Sequence[str]) -> list[object]:
        """Return the values of the fields of one column.

        Raises:
            InvalidValueError: A text is invalid.
        """
        at_once = self.at_once.get(name)
        values = None if at_once is None else at_once(texts)
        return list(map(self.fields[name], texts)) if values is None else values


def import_files(ids: IdKinds, prices: PriceScale) -> tuple[ImportFile, ...]:
    """Return the files of an import; a file refers only to those before it.

    Moments become microseconds and money units. An empty field becomes None, except that an
    unknown amount of a bid is UNKNOWN_PRICE.
    """
    amounts = partial(usual_amounts, prices=prices)
    moments, prices_at_once = with_absent(usual_moments, None), with_absent(amounts, None)
    return (
        ImportFile(
            name="users",
            fields={
                "user_id": _id("user_id", ids.user),
                "inserted_at": _optional(_moment("inserted_at")),
                "last_sign_in_at": _optional(_moment("last_sign_in_at")),
                "sign_in_count": _count("sign_in_count"),
            },
            at_once={"inserted_at": moments, "last_sign_in_at": moments},
        ),
        ImportFile(
            name="items",
            fields={
                "item_id": _id("item_id", ids.item),
                "category_id": _optional(_id("category_id", ids.category)),
                "seller_id": _optional(_id("seller_id", ids.user)),
                "title": _title,
                "starting_price": _optional(_money("starting_price", prices)),
                "current_price": _optional(_money("current_price", prices)),
                "publication_status": _status,
                "starts_at": _optional(_moment("starts_at")),
                "end_time": _optional(_moment("end_time")),
                "inserted_at": _optional(_moment("inserted_at")),
            },
            at_once={
                "starting_price": prices_at_once,
                "current_price": prices_at_once,
                "starts_at": moments,
                "end_time": moments,
                "inserted_at": moments,
            },
        ),
        ImportFile(
            name="bids",
            fields={
                "user_id": _id("user_id", ids.user),
                "item_id": _id("item_id", ids.item),
                "amount": _optional(_money("amount", prices), UNKNOWN_PRICE),
                "placed_at": _moment("placed_at"),
            },
            at_once={"amount": with_absent(amounts, UNKNOWN_PRICE), "placed_at": usual_moments},
        ),
        ImportFile(
            name="watches",
            fields={
                "user_id": _id("user_id", ids.user),
                "item_id": _id("item_id", ids.item),
                "inserted_at": _moment("inserted_at"),
            },
            at_once={"inserted_at": usual_moments},
            may_be_absent=True,
        ),
    )


def _optional(field: Field, absent: object = None) -> Field:
    return lambda text: absent if text == "" else field(text)


def _id(what: str, kind: IdKind) -> Field:
    # Bids and watches repeat the same ids: looking them up is faster than checking them.
    return lru_cache(maxsize=65_536)(lambda text: kind.parse(text, what))


def _moment(what: str) -> Field:
    def field(text: str) -> int:
        micros = read_moment(text)
        if micros is None or (text[-1] != "Z" and is_without_offset(text)):
            zone = "" if micros is None else "with its time zone, "
            raise InvalidValueError(
                what, text, f"a moment {zone}as in ISO 8601, such as 2026-01-31T12:00:00Z"
            )
        return micros

    return field


def _money(what: str, prices: PriceScale) -> Field:
    def field(text: str) -> int:
        # Decimal() alone would also accept "1_000" and " 7 ".
        if not _AMOUNT.fullmatch(text):
            raise InvalidValueError(what, text, "an amount such as 19.90")
        try:
            return prices.to_units(Decimal(text), what)
        except InvalidValueError as error:
            # Show the text of the file, not Decimal('-1').
            raise InvalidValueError(what, text, error.expected) from None

    return field


def _count(what: str) -> Field:
    def field(text: str) -> int:
        # Only digits: int() would also accept "1_000" and " 7 ".
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise InvalidValueError(what, text, "a whole number of at least 0")
        return whole(int(text), what, least=0, most=2**63 - 1)

    return lambda text: 0 if text == "" else field(text)


def _title(text: str) -> str:
    if len(text) > LONGEST_TITLE:
        raise InvalidValueError("title", text, f"at most {LONGEST_TITLE:,} characters")
    return _plain("title", text)


def _status(text: str) -> str:
    return publication_status(text, "publication_status")


def _plain(what: str, text: str) -> str:
    if "\x00" in text:
        raise InvalidValueError(what, text, "a text without NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidValueError(what, text, "text in UTF-8") from None
    return text
