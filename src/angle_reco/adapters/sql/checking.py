"""Telling a host early what is wrong with its selects: their shape, and what they yield."""

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from angle_reco.adapters.sql.engine import Database
from angle_reco.adapters.sql.host import LABELS, Holds, HostSchema, Query
from angle_reco.adapters.sql.market import is_without_zone
from angle_reco.adapters.sql.schema import Moment
from angle_reco.domain import (
    LARGEST_PRICE,
    AuctionStatus,
    IdKind,
    IdKinds,
    PriceScale,
    SchemaError,
    StorageError,
    StorageUnavailableError,
)

OLDEST_POSTGRES = 15
"""The oldest major version that is served, and tested with."""

_INTEGERS = {20: "bigint", 21: "smallint", 23: "integer"}
_OIDS: dict[IdKind | Holds, dict[int, str]] = {
    IdKind.INT: _INTEGERS,
    IdKind.UUID: {2950: "uuid"},
    IdKind.TEXT: {25: "text", 1043: "varchar", 1042: "char"},
    Holds.MOMENT: {1184: "timestamptz", 1114: "timestamp", 1082: "date"},
    Holds.MONEY: {1700: "numeric", **_INTEGERS, 701: "double precision", 700: "real"},
    Holds.YES_OR_NO: {16: "boolean"},
}
"""Which of PostgreSQL's types, by their numbers, can hold what; texts are made of any."""

_SQLITE_TYPES: dict[IdKind | Holds, tuple[type[Any], ...]] = {
    IdKind.INT: (sa.Integer,),
    IdKind.UUID: (sa.Uuid,),
    IdKind.TEXT: (sa.String,),
    Holds.MOMENT: (sa.DateTime, sa.Date, Moment),
    Holds.MONEY: (sa.Numeric, sa.Integer),
    Holds.YES_OR_NO: (sa.Boolean, sa.Integer),
}
"""The same by SQLAlchemy's types: SQLite itself lets any column hold anything."""


@attrs.frozen(kw_only=True)
class Finding:
    """Rows of a host's select that are not used as they are, and what is done about them."""

    select: str
    label: str
    rows: int
    what: str

    def __str__(self) -> str:
        return f"{self.select}.{self.label}: {self.what} in {self.rows:,} rows"


def require_version(database: Database) -> None:
    """Refuse a server that is too old.

    Raises:
        SchemaError: It is.
    """
    if database.is_postgres:
        with database.reading() as connection:
            version = connection.dialect.server_version_info or (0,)
        if version < (OLDEST_POSTGRES,):
            told = ".".join(map(str, version))
            raise SchemaError(
                f"PostgreSQL {told} is too old: it should be {OLDEST_POSTGRES} or newer"
            )


def check_shape(database: Database, host: HostSchema, ids: IdKinds) -> None:
    """Make sure that every select runs, and that its columns have types that can be used.

    Raises:
        SchemaError: One does not; the text names the select, the column and what it expects.
        StorageUnavailableError: The database did not answer.
    """
    for name, query in host.selects.items():
        found = _columns_of(database, name, query)
        for label, spec in LABELS[name].items():
            column = query.selected_columns.get(label)
            expected = _Expected(name, label, spec.holds, ids)
            if column is None or spec.holds is Holds.WORDS:
                continue
            if database.is_postgres:
                expected.check_number(found[label], column.type)
            else:
                expected.check_type(column.type)


def findings(database: Database, host: HostSchema, prices: PriceScale) -> Iterator[Finding]:
    """Yield what is odd about the rows of the selects, by looking at all of them."""
    for name, query in host.selects.items():
        rows = query.subquery("rows")
        odd = list(_odd(name, rows, prices, host))
        counts = sa.select(*(sa.func.count(sa.case((is_so, 1))) for _, _, is_so in odd))
        [counted] = database.rows(counts.select_from(rows))
        for (label, what, _), count in zip(odd, counted, strict=True):
            if count:
                yield Finding(select=name, label=label, rows=count, what=what)
        key = _KEYS.get(name)
        if key is not None:
            again = (
                sa.select(sa.func.count().label("times"))
                .select_from(rows)
                .where(rows.c[key].is_not(None))
                .group_by(rows.c[key])
                .having(sa.func.count() > 1)
                .subquery()
            )
            count = database.scalar(sa.select(sa.func.coalesce(sa.func.sum(again.c.times), 0)))
            if count:
                yield Finding(
                    select=name, label=key, rows=int(count), what="an id that comes more than once"
                )


_KEYS = {"users": "user_id", "items": "item_id"}


def _odd(
    name: str, rows: sa.Subquery, prices: PriceScale, host: HostSchema
) -> Iterator[tuple[str, str, sa.ColumnElement[bool]]]:
    for label, spec in LABELS[name].items():
        column = rows.c.get(label)
        if column is None:
            continue
        if spec.is_required:
            yield label, "null, which leaves the row out", column.is_(None)
        match spec.holds:
            case Holds.MONEY:
                number = sa.cast(column, sa.Numeric)
                most = LARGEST_PRICE // prices.units
                yield label, "no price, which counts as unknown", ~number.between(0, most)
                rest = number * prices.units - sa.func.round(number * prices.units)
                is_long = sa.and_(number.between(0, most), sa.func.abs(rest) > 1e-3)
                yield label, "more digits than the price scale has, which is rounded", is_long
            case Holds.WORDS if label == "status":
                known = [status.value for status in AuctionStatus]
                yield label, "no known status, which is not open", ~column.in_(known)
            case _:
                pass
    if name == "items" and host.categories is not None and "category_id" in rows.c:
        known_ids = host.categories.subquery("known")
        is_known = sa.exists().where(known_ids.c.category_id == rows.c.category_id)
        is_lost = sa.and_(rows.c.category_id.is_not(None), ~is_known)
        yield "category_id", "a category that is not among the categories, which is none", is_lost


@attrs.frozen
class _Expected:
    """What one column has to hold."""

    select: str
    label: str
    holds: Holds
    ids: IdKinds

    def check_number(self, number: int, of: sa.types.TypeEngine[Any]) -> None:
        """Refuse a column of PostgreSQL by the number of its type."""
        usable = _OIDS[self._key]
        if number not in usable:
            raise self._error(f"one of {', '.join(usable.values())}")
        if self.holds is Holds.MOMENT and (number == 1114) != is_without_zone(of):
            has, says = ("no", "with") if number == 1114 else ("a", "without")
            raise SchemaError(
                f"the select of {self.select}: {self.label} has {has} time zone in the database,"
                f" but is {says} one in the select: make its type DateTime(timezone="
                f"{number != 1114})"
            )

    def check_type(self, of: sa.types.TypeEngine[Any]) -> None:
        """Refuse a column of SQLite by what the select says that it is."""
        usable = _SQLITE_TYPES[self._key]
        if not isinstance(of, usable):
            names = ", ".join(one.__name__ for one in usable)
            raise self._error(f"one of {names} (sa.type_coerce gives an expression its type)")

    @property
    def _key(self) -> IdKind | Holds:
        return self.holds.kind(self.ids) or self.holds

    def _error(self, expected: str) -> SchemaError:
        kind = self.holds.kind(self.ids)
        says = "" if kind is None else f" (the settings say that those are of the kind {kind})"
        return SchemaError(
            f"the select of {self.select}: the type of {self.label} does not hold"
            f" {self.holds.value}{says}; it should be {expected}"
        )


def _columns_of(database: Database, name: str, query: Query) -> dict[str, int]:
    """Return the number of each column's type, as the server has it, by label."""
    # A column of a table may go by another key: what counts is the label.
    columns = query.subquery("rows").c.items()
    nothing = sa.select(*(column.label(label) for label, column in columns)).limit(0)
    try:
        with database.reading() as connection:
            result = connection.execute(nothing)
            described: Sequence[Any] = result.cursor.description or ()
            return {one[0]: one[1] for one in described}
    except StorageUnavailableError:
        raise
    except (StorageError, SQLAlchemyError) as error:
        reason = getattr(error, "orig", None) or error
        raise SchemaError(f"the select of {name} cannot be run: {reason}") from error
