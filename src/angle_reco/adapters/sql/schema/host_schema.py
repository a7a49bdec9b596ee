"""The host's tables as the source: the labelled columns that each select may or must have."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs
import sqlalchemy as sa
from sqlalchemy.sql.selectable import SelectBase

from angle_reco.domain.errors import InvalidValueError, SchemaError
from angle_reco.domain.ids import IdKind, IdKinds
from angle_reco.domain.public_columns import check_public_names

Query: TypeAlias = SelectBase
"""A select with labelled columns: `sa.select`, a union of such, or `sa.text(…).columns(…)`."""


class Holds(Enum):
    """What a labelled column holds; errors show the value."""

    USER_ID = "ids of users"
    ITEM_ID = "ids of items"
    CATEGORY_ID = "ids of categories"
    MOMENT = "moments (timestamps)"
    MONEY = "amounts (numbers)"
    YES_OR_NO = "booleans"
    WORDS = "texts"
    COUNT = "counts (whole numbers)"

    def kind(self, ids: IdKinds) -> IdKind | None:
        """Return the kind of these ids, None if the column holds no ids."""
        return {
            Holds.USER_ID: ids.user,
            Holds.ITEM_ID: ids.item,
            Holds.CATEGORY_ID: ids.category,
        }.get(self)


@attrs.frozen
class Label:
    """What one labelled column holds, and whether a select must have it."""

    holds: Holds
    is_required: bool = False


LABELS: dict[str, dict[str, Label]] = {
    "users": {
        "user_id": Label(Holds.USER_ID, is_required=True),
        "created_at": Label(Holds.MOMENT),
        "last_sign_in_at": Label(Holds.MOMENT),
    },
    "items": {
        "item_id": Label(Holds.ITEM_ID, is_required=True),
        "category_id": Label(Holds.CATEGORY_ID),
        "seller_id": Label(Holds.USER_ID),
        "title": Label(Holds.WORDS),
        "price": Label(Holds.MONEY),
        "starting_price": Label(Holds.MONEY),
        "is_published": Label(Holds.YES_OR_NO),
        "status": Label(Holds.WORDS),
        "starts_at": Label(Holds.MOMENT),
        "ends_at": Label(Holds.MOMENT),
        "listed_at": Label(Holds.MOMENT),
    },
    "categories": {"category_id": Label(Holds.CATEGORY_ID, is_required=True)},
    "bids": {
        "user_id": Label(Holds.USER_ID, is_required=True),
        "item_id": Label(Holds.ITEM_ID, is_required=True),
        "amount": Label(Holds.MONEY),
        "placed_at": Label(Holds.MOMENT, is_required=True),
    },
    "watches": {
        "user_id": Label(Holds.USER_ID, is_required=True),
        "item_id": Label(Holds.ITEM_ID, is_required=True),
        "watched_at": Label(Holds.MOMENT, is_required=True),
    },
}
"""The selects of a host's schema, each with the labels it may have."""

HELD_LABELS: dict[str, Label] = {
    "user_id": Label(Holds.USER_ID, is_required=True),
    "name": Label(Holds.WORDS, is_required=True),
}
"""The labels of a select of the permissions that users hold."""


@attrs.frozen(kw_only=True, eq=False)
class SignInColumns:
    """Columns on the host's users table that count sign-ins.

    *table* is that table, *user_id* its key. `angle-reco migrate up` adds the two columns
    where they are missing; `add_sign_in_columns` adds them in a migration of the host.

    Raises:
        InvalidValueError: *table* is no table, or *user_id* is no column of it.
    """

    table: sa.Table
    user_id: str = "id"
    last_sign_in_at: str = "last_sign_in_at"
    sign_in_count: str = "sign_in_count"

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.table, sa.Table):
            raise InvalidValueError("table of SignInColumns", self.table, "a sqlalchemy.Table")
        if self.user_id not in self.table.c:
            expected = f"one of the columns of {self.table.name}: {_names(self.table.c.keys())}"
            raise InvalidValueError("user_id of SignInColumns", self.user_id, expected)


def _values(values: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        expected = "a mapping of columns to what a new row has there"
        raise InvalidValueError("values of PermissionTable", values, expected)
    return MappingProxyType(dict(values))


@attrs.frozen(kw_only=True, eq=False)
class PermissionTable:
    """The host's table of permissions, and a select of the permissions that users hold.

    *table* holds the names of permissions in its column *name*. *held* is a select labelled
    **user_id** and **name**, which may join groups and roles. `angle-reco migrate up`
    inserts our two permissions where they are missing; `add_permissions` inserts them in a
    migration of the host. *values* are further columns that a new row needs.

    Raises:
        InvalidValueError: *table* is no table, a column is none of it, or *held* is no select.
        SchemaError: The select lacks a label, or has an unknown one.
    """

    table: sa.Table
    held: Query
    name: str = "name"
    values: Mapping[str, Any] = attrs.field(factory=dict, converter=_values)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.table, sa.Table):
            raise InvalidValueError("table of PermissionTable", self.table, "a sqlalchemy.Table")
        known = self.table.c.keys()
        expected = f"one of the columns of {self.table.name}: {_names(known)}"
        if self.name not in known:
            raise InvalidValueError("name of PermissionTable", self.name, expected)
        for column in self.values:
            if column not in known:
                raise InvalidValueError("column in values of PermissionTable", column, expected)
            if column == self.name:
                others = f"another column than {self.name}, where the permission has its name"
                raise InvalidValueError("column in values of PermissionTable", column, others)
        _check_labels("held", _query("held", self.held, HELD_LABELS), HELD_LABELS)


def _query(name: str, value: object, known: Mapping[str, Label]) -> Query:
    if isinstance(value, sa.TextClause):
        raise SchemaError(
            f"the select of {name} is text without labels: say which columns it has, with"
            f" sa.text(...).columns({_names(known)})"
        )
    if not isinstance(value, SelectBase):
        raise InvalidValueError(
            f"select of {name}", type(value).__name__, f"a select labelled {_names(known)}"
        )
    return value


def _check_labels(
    name: str, query: Query, known: Mapping[str, Label], public: tuple[str, ...] = ()
) -> None:
    columns = query.selected_columns
    found = [key for key in columns.keys() if columns[key].key is not None]  # noqa: SIM118 — no dict
    for label, spec in known.items():
        if spec.is_required and label not in found:
            raise SchemaError(
                f"the select of {name} has no column labelled {label}, which should be the"
                f" {spec.holds.value}; it has {_names(found) or 'none with a name'}"
            )
    for label in public:
        if label not in found:
            raise SchemaError(
                f"the select of {name} has no column labelled {label}, which public names; it has"
                f" {_names(found) or 'none with a name'}"
            )
    for key, column in columns.items():
        if key in known or key in public:
            continue
        if column.key in known and column.key in found:
            raise SchemaError(f"the select of {name} has two columns labelled {column.key}")
        which = "a column without a name" if column.key is None else f"a column {key!r}"
        raise SchemaError(
            f"the select of {name} has {which}, which means nothing there:"
            f" label each column as one of {_names(known)}{_or_public(name)}"
        )


def _or_public(name: str) -> str:
    return ", or name it in public=(...)" if name == "items" else ""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class HostSchema:
    """The host's marketplace as selects with labelled columns, which are only read.

    - `users`: **user_id**, created_at, last_sign_in_at
    - `items`: **item_id**, category_id, seller_id, title, price, starting_price,
      is_published, status, starts_at, ends_at, listed_at
    - `bids`: **user_id**, **item_id**, amount, **placed_at**
    - `watches`: **user_id**, **item_id**, **watched_at**
    - `categories`: **category_id**; if given, no other categories count

    Labels in bold are required. `status` is the text of an `AuctionStatus`; without the label,
    or if it is null, the status follows from the times; an item with any other text is not
    open. Amounts are in the currency, not in cents. `price` is the current price; if it is
    null, the highest bid counts, and without bids the starting price.

    *public* names columns of `items`, further ones or some of these, which answers carry:
    `suggestion.public` and `to_json()` have their values as JSON, at most 2,000 bytes each.

    Moments without a time zone are in *time_zone*, such as `"Europe/Berlin"`; None means UTC,
    and `Recommender.check` points that out. When clocks go back, a time in the repeated hour is
    the later of the two. When they go forward from 2:00 to 3:00, the skipped time 2:30 is 3:30.

    Raises:
        SchemaError: A select lacks a label, or has an unknown one.
        InvalidValueError: A value is of another type, or the time zone is unknown.
    """

    users: Query
    items: Query
    bids: Query
    watches: Query | None = None
    categories: Query | None = None
    sign_ins: SignInColumns | None = None
    permissions: PermissionTable | None = None
    time_zone: str | None = None
    public: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        public = check_public_names(self.public)
        for name, labels in LABELS.items():
            query = getattr(self, name)
            if query is not None or name not in ("watches", "categories"):
                further = public if name == "items" else ()
                _check_labels(name, _query(name, query, labels), labels, further)
        if self.sign_ins is not None and not isinstance(self.sign_ins, SignInColumns):
            raise InvalidValueError("sign_ins", self.sign_ins, "SignInColumns, or None")
        if self.permissions is not None and not isinstance(self.permissions, PermissionTable):
            raise InvalidValueError("permissions", self.permissions, "a PermissionTable, or None")
        if self.time_zone is not None:
            _check_time_zone(self.time_zone)

    @property
    def selects(self) -> dict[str, Query]:
        """Return the selects that are not None, by name."""
        named = {name: getattr(self, name) for name in LABELS}
        return {name: query for name, query in named.items() if query is not None}


def _check_time_zone(name: object) -> None:
    expected = (
        "a name of the IANA time zone database such as Europe/Berlin, or None (where this"
        " system has no such database, the package tzdata brings it)"
    )
    if type(name) is not str:
        raise InvalidValueError("time_zone", name, expected)
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):  # no such name, or no name at all
        raise InvalidValueError("time_zone", name, expected) from None


def _names(names: Any) -> str:
    return ", ".join(names)
