"""Odd values in the rows of the host's selects, and how the library treats them."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs
import sqlalchemy as sa

from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.types import Moment
from angle_reco.adapters.sql.market.casts import working_cast
from angle_reco.adapters.sql.market.host_columns import (
    FIRST_MOMENT,
    LAST_MOMENT,
    HostColumns,
    exact,
    is_day,
    is_number,
    is_without_zone,
    valid_text,
    without_offset,
)
from angle_reco.adapters.sql.schema.host_schema import LABELS, Holds, HostSchema, Query
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.errors import SchemaError, StorageError, StorageUnavailableError
from angle_reco.domain.prices import LARGEST_PRICE
from angle_reco.domain.public_columns import LONGEST_VALUE

ROWS_LOOKED_AT = 10_000
"""How many rows of each select are looked at, unless all are."""

_LONGEST_EXAMPLE = 80


@attrs.frozen(kw_only=True)
class Finding:
    """Rows of a host's select with odd values, and how the library treats them.

    *example* is one of the values as a text; *looked_at* limits the rows that were looked at,
    None if all were.
    """

    select: str
    label: str
    rows: int
    what: str
    example: str | None = None
    looked_at: int | None = None

    def __str__(self) -> str:
        of = "" if self.looked_at is None else f" of the first {self.looked_at:,}"
        such = "" if self.example is None else f", such as {self.example}"
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        return f"{self.select}.{self.label}: {self.what} in {rows}{of}{such}"


@attrs.frozen(eq=False)
class _Odd:
    """A kind of odd values: their description, and the condition for one."""

    label: str
    what: str
    is_so: sa.ColumnElement[bool]


def findings(
    database: Database, host: HostSchema, columns: HostColumns, *, most: int | None = None
) -> Iterator[Finding]:
    """Yield the findings in all rows of the selects, or in the first *most* of each."""
    for name, query in host.selects.items():
        rows = _rows(query, most)
        odd = list(_odd(name, rows, columns, host))
        counts = [sa.func.count(sa.case((one.is_so, 1))) for one in odd]
        examples = [
            sa.func.min(sa.case((one.is_so, _written(rows.c[one.label], columns.dialect))))
            for one in odd
        ]
        total = sa.select(sa.func.count(), *counts, *examples).select_from(rows)
        [(looked_at, *found)] = _all_of(database, name, total)
        several = {} if most is None or looked_at < most else {"looked_at": most}
        for one, count, example in zip(odd, found[: len(odd)], found[len(odd) :], strict=True):
            if count:
                shown = None if example is None else _short(example)
                yield Finding(
                    select=name,
                    label=one.label,
                    rows=count,
                    what=one.what,
                    example=shown,
                    **several,
                )
        key = _KEYS.get(name)
        if key is not None:
            yield from (
                Finding(
                    select=name,
                    label=key,
                    rows=rows_,
                    what=_TWICE[name],
                    example=example,
                    **several,
                )
                for rows_, example in _repeated(database, rows, key, columns.dialect)
            )


def require_readable_ids(database: Database, host: HostSchema, columns: HostColumns) -> None:
    """Refuse selects of SQLite in which none of the first ids has the form of its kind.

    Raises:
        SchemaError: There is such a select; the text names an id, and a cast if one works.
    """
    for name, query in host.selects.items():
        rows = _rows(query, 100)
        for label, spec in LABELS[name].items():
            is_id = label in rows.c and spec.holds.kind(columns.ids) is not None
            is_odd = columns.read(spec.holds, rows.c[label]).is_odd if is_id else None
            if is_odd is None:
                continue
            odd = sa.func.count(sa.case((is_odd, 1)))
            example = sa.func.min(sa.case((is_odd, _written(rows.c[label], columns.dialect))))
            there = sa.func.count(sa.type_coerce(rows.c[label], sa.Text))
            [(count, shown, total)] = database.rows(sa.select(odd, example, there))
            if total and count == total:
                cast = working_cast(database, query, label, spec.holds, columns)
                makes = "" if cast is None else f"; {cast} in the select makes it one"
                raise SchemaError(
                    f"the select of {name}: {label} holds ids such as {_short(shown)}, and none"
                    f" of the kind {spec.holds.kind(columns.ids)} as SQLAlchemy stores it{makes}"
                )


_KEYS = {"users": "user_id", "items": "item_id"}
_TWICE = {
    "users": "an id that comes more than once, which counts as one",
    "items": "an id that comes more than once, which leaves its rows out",
}


def _rows(query: Query, most: int | None) -> sa.Subquery:
    every = query.subquery("rows")
    return every if most is None else sa.select(every).limit(most).subquery("some_rows")


def _all_of(database: Database, name: str, query: sa.Executable) -> Sequence[Any]:
    try:
        return database.rows(query)
    except StorageUnavailableError:
        raise
    except StorageError as error:
        raise SchemaError(
            f"the select of {name} fails for one of its rows, and with it every answer: {error};"
            " an expression in it, such as a cast, does not take all values"
        ) from error


def _repeated(
    database: Database, rows: sa.Subquery, key: str, dialect: str
) -> Iterator[tuple[int, str]]:
    again = (
        sa.select(
            sa.func.count().label("times"), sa.func.min(_written(rows.c[key], dialect)).label("one")
        )
        .where(sa.type_coerce(rows.c[key], sa.Text).is_not(None))
        .group_by(exact(rows.c[key], dialect))
        .having(sa.func.count() > 1)
        .subquery()
    )
    repeated = sa.select(sa.func.coalesce(sa.func.sum(again.c.times), 0), sa.func.min(again.c.one))
    [(count, example)] = database.rows(repeated)
    if count:
        yield int(count), _short(example)


def _odd(name: str, rows: sa.Subquery, columns: HostColumns, host: HostSchema) -> Iterator[_Odd]:
    dialect = columns.dialect
    for label, spec in LABELS[name].items():
        column = rows.c.get(label)
        if column is None:
            continue
        if spec.is_required:
            is_null = sa.type_coerce(column, sa.Text).is_(None)
            yield _Odd(label, "null, which leaves the row out", is_null)
        is_odd = columns.read(spec.holds, column).is_odd
        if is_odd is not None:
            yield _Odd(label, f"{_NO[spec.holds]}, {_outcome(name, spec.is_required)}", is_odd)
        match spec.holds:
            case Holds.MONEY:
                yield _Odd(label, _ROUNDED, _is_long(column, columns))
            case Holds.WORDS if label == "status":
                known = [status.value for status in AuctionStatus]
                # As text: an enum of the host rejects the names of other states.
                is_strange = sa.cast(column, sa.Text).not_in(known)
                yield _Odd(label, "no known status, which is not open", is_strange)
            case Holds.MOMENT:
                moment = columns.moment(column)
                if spec.is_required or name == "users":
                    is_beyond = _is_beyond(column, moment, dialect)
                    outcome = _outcome(name, spec.is_required)
                    yield _Odd(label, f"no moment of the calendar, {outcome}", is_beyond)
                is_early = sa.and_(_is_numeric(column, dialect), moment < _EARLY)
                yield _Odd(label, _FEW_SECONDS, is_early)
                if host.time_zone is None:
                    yield from _naive(label, column, dialect)
            case _:
                pass
    for label in host.public if name == "items" else ():
        given = rows.c[label]
        is_lost = sa.and_(
            sa.type_coerce(given, sa.Text).is_not(None), columns.as_json(given).is_(None)
        )
        yield _Odd(label, _NO_JSON, is_lost)
    if name == "items" and host.categories is not None and "category_id" in rows.c:
        known_ids = host.categories.subquery("known")
        mine = exact(rows.c.category_id, dialect)
        is_known = sa.exists().where(known_ids.c.category_id == mine)
        is_lost = sa.and_(rows.c.category_id.is_not(None), ~is_known)
        yield _Odd(
            "category_id", "a category that is not among the categories, which is none", is_lost
        )


_NO = {
    Holds.USER_ID: "an id of another form",
    Holds.ITEM_ID: "an id of another form",
    Holds.CATEGORY_ID: "an id of another form",
    Holds.MOMENT: "no moment that can be read",
    Holds.MONEY: "no price",
    Holds.YES_OR_NO: "neither true nor false",
}
_EARLY = datetime(1980, 1, 1, tzinfo=UTC)
_FEW_SECONDS = "a number that means a moment before 1980, as the digits of a day do"
_ROUNDED = "more digits than the price scale has, which is rounded"
_NO_JSON = f"no value that JSON has, or more than {LONGEST_VALUE:,} bytes, which is null in public"
_WITHOUT_ZONE = (
    "a moment without a time zone, which counts as UTC: say HostSchema(time_zone=...), such as"
    ' "UTC" or "Europe/Berlin"'
)


def _outcome(name: str, is_required: bool) -> str:
    if is_required:
        return "which leaves the row out"
    return "which makes the item not open" if name == "items" else "which counts as unknown"


def _is_long(column: sa.ColumnElement[Any], columns: HostColumns) -> sa.ColumnElement[bool]:
    units, most = columns.prices.units, LARGEST_PRICE // columns.prices.units
    number = columns.number(column)
    rest = number * units - sa.func.round(number * units)
    few = sa.literal(Decimal("0.001"), sa.Numeric)
    return sa.and_(number.between(0, most), sa.func.abs(rest) > few)


def _is_beyond(
    column: sa.ColumnElement[Any], moment: sa.ColumnElement[Any], dialect: str
) -> sa.ColumnElement[bool]:
    if dialect == "postgresql" and is_day(column.type):
        return ~column.between(FIRST_MOMENT.date(), LAST_MOMENT.date())
    return ~moment.between(FIRST_MOMENT, LAST_MOMENT)


def _is_numeric(column: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[bool]:
    if dialect != "sqlite" or isinstance(column.type, Moment):
        return sa.true() if is_number(column.type) else sa.false()
    return sa.func.typeof(sa.type_coerce(column, sa.Text)).in_(["integer", "real"])


def _naive(label: str, column: sa.ColumnElement[Any], dialect: str) -> Iterator[_Odd]:
    if dialect == "sqlite":
        yield _Odd(label, _WITHOUT_ZONE, without_offset(column))
    elif not is_number(column.type) and (is_day(column.type) or is_without_zone(column.type)):
        yield _Odd(label, _WITHOUT_ZONE, column.is_not(None))


def _written(column: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[Any]:
    """Return a value as a quoted text for display."""
    raw = sa.type_coerce(column, sa.Text)
    if dialect == "sqlite":
        return valid_text(sa.func.nullif(sa.func.quote(raw), "NULL", type_=sa.Text))
    return sa.func.quote_literal(sa.cast(column, sa.Text), type_=sa.Text)


def _short(example: str) -> str:
    return example if len(example) <= _LONGEST_EXAMPLE else f"{example[:_LONGEST_EXAMPLE]}..."
