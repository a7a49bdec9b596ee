"""Telling a host early what is wrong with its selects: their shape, and what they yield."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from angle_reco.adapters.sql.column_types import Moment
from angle_reco.adapters.sql.database import Database
from angle_reco.adapters.sql.host import LABELS, Holds, HostSchema, Query, SignInColumns
from angle_reco.adapters.sql.market import (
    FIRST_MOMENT,
    LAST_MOMENT,
    exact,
    is_day,
    is_without_zone,
    undecorated,
)
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
    # Not char(n): with its blanks, equal ids are not always equal.
    IdKind.TEXT: {25: "text", 1043: "varchar"},
    Holds.MOMENT: {1184: "timestamptz", 1114: "timestamp", 1082: "date"},
    Holds.MONEY: {1700: "numeric", **_INTEGERS, 701: "double precision", 700: "real"},
    Holds.YES_OR_NO: {16: "boolean"},
    Holds.COUNT: _INTEGERS,
}
"""Which of PostgreSQL's types, by their numbers, can hold what; texts are made of any."""

_SQLITE_TYPES: dict[IdKind | Holds, tuple[type[Any], ...]] = {
    IdKind.INT: (sa.Integer,),
    IdKind.UUID: (sa.Uuid,),
    IdKind.TEXT: (sa.String,),
    Holds.MOMENT: (sa.DateTime, sa.Date, Moment),
    Holds.MONEY: (sa.Numeric, sa.Integer),
    Holds.YES_OR_NO: (sa.Boolean, sa.Integer),
    Holds.COUNT: (sa.Integer,),
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


def check_selects(database: Database, host: HostSchema, ids: IdKinds) -> None:
    """Make sure that every select runs, and that its columns have types that can be used.

    Raises:
        SchemaError: One does not; the text names the select, the column and what it expects.
        StorageUnavailableError: The database did not answer.
    """
    for name, query in host.selects.items():
        columns = {
            _Expected(f"the select of {name}", label, spec.holds, ids): query.selected_columns[
                label
            ]
            for label, spec in LABELS[name].items()
            if label in query.selected_columns and spec.holds is not Holds.WORDS
        }
        _check_types(database, query, columns)
    if host.permissions is not None:
        held = host.permissions.held
        expected = _Expected("the select of held", "user_id", Holds.USER_ID, ids)
        _check_types(database, held, {expected: held.selected_columns["user_id"]})


def check_sign_ins(database: Database, columns: SignInColumns, ids: IdKinds) -> None:
    """Make sure that the columns for sign-ins are there, and have types that can be used.

    Raises:
        SchemaError: They are not, or have not.
        StorageUnavailableError: The database did not answer.
    """
    name, schema = columns.table.name, columns.table.schema
    held = {
        "user_id": (columns.user_id, Holds.USER_ID),
        "last_sign_in_at": (columns.last_sign_in_at, Holds.MOMENT),
        "sign_in_count": (columns.sign_in_count, Holds.COUNT),
    }
    added: dict[str, sa.types.TypeEngine[Any]] = {
        columns.last_sign_in_at: Moment(),
        columns.sign_in_count: sa.BigInteger(),
    }
    types = added | {column.name: column.type for column in columns.table.c}
    if is_day(types[columns.last_sign_in_at]):
        raise SchemaError(
            f"SignInColumns: last_sign_in_at ({columns.last_sign_in_at} of {name}) holds days,"
            " which do not tell when somebody signed in: it should be a timestamp"
        )
    expected = {
        _Expected("SignInColumns", f"{label} ({column} of {name})", holds, ids, key=label): (
            sa.column(column, types[column])
        )
        for label, (column, holds) in held.items()
    }
    there = sa.table(name, *expected.values(), schema=schema)
    query = sa.select(*(there.c[column].label(label) for label, (column, _) in held.items()))
    _check_types(database, query, expected)


def _check_types(
    database: Database, query: Query, columns: "Mapping[_Expected, sa.ColumnElement[Any]]"
) -> None:
    where = next(iter(columns)).where
    found = _columns_of(database, where, query)
    for expected, column in columns.items():
        if database.is_postgres:
            expected.check_number(found[expected.key], column.type)
        else:
            expected.check_type(column.type)
    texts = [expected for expected in columns if expected.is_text]
    if database.is_postgres and texts:
        _check_collations(database, query, texts)


def _check_collations(database: Database, query: Query, texts: "Sequence[_Expected]") -> None:
    """Refuse ids of PostgreSQL that may be equal though they differ, as in case alone."""
    known = sa.table(
        "pg_collation",
        sa.column("oid"),
        sa.column("collname", sa.Text),
        sa.column("collisdeterministic", sa.Boolean),
        schema="pg_catalog",
    )
    rows = query.subquery("rows")
    lax = [
        sa.select(known.c.collname)
        .where(
            known.c.oid == sa.func.to_regcollation(sa.func.pg_collation_for(rows.c[one.key])),
            ~known.c.collisdeterministic,
        )
        .correlate(rows)
        .scalar_subquery()
        for one in texts
    ]
    # One row, whatever the select has: their collation shows in its nulls, too.
    one_row = sa.select(sa.literal(1)).subquery("one_row").outerjoin(rows, sa.false())
    [collations] = database.rows(sa.select(*lax).select_from(one_row))
    for expected, collation in zip(texts, collations, strict=True):
        if collation is not None:
            raise SchemaError(
                f"{expected.where}: {expected.label} has the collation {collation}, in which"
                " ids that differ may be equal; it should be a deterministic one such as"
                ' "C", of the column or by COLLATE in the select, together with an index in it'
            )


def findings(database: Database, host: HostSchema, prices: PriceScale) -> Iterator[Finding]:
    """Yield what is odd about the rows of the selects, by looking at all of them."""
    for name, query in host.selects.items():
        rows = query.subquery("rows")
        odd = list(_odd(name, rows, prices, host, database.dialect))
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
                .group_by(exact(rows.c[key], database.dialect))
                .having(sa.func.count() > 1)
                .subquery()
            )
            count = database.scalar(sa.select(sa.func.coalesce(sa.func.sum(again.c.times), 0)))
            if count:
                yield Finding(select=name, label=key, rows=int(count), what=_TWICE)


_TWICE = "an id that comes more than once, which is an error when it is read"

_KEYS = {"users": "user_id", "items": "item_id"}


def _odd(
    name: str, rows: sa.Subquery, prices: PriceScale, host: HostSchema, dialect: str
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
                # As text: a type of the host's for its own states knows no others.
                is_strange = sa.cast(column, sa.Text).not_in(known)
                yield label, "no known status, which is not open", is_strange
            case Holds.MOMENT if spec.is_required and dialect == "postgresql":
                first, last = FIRST_MOMENT, LAST_MOMENT
                is_beyond = (
                    ~column.between(first.date(), last.date())
                    if is_day(column.type)
                    else ~sa.cast(column, sa.DateTime(timezone=True)).between(first, last)
                )
                yield label, "no moment of the calendar, which leaves the row out", is_beyond
            case _:
                pass
    if name == "items" and host.categories is not None and "category_id" in rows.c:
        known_ids = host.categories.subquery("known")
        mine = exact(rows.c.category_id, dialect)
        is_known = sa.exists().where(known_ids.c.category_id == mine)
        is_lost = sa.and_(rows.c.category_id.is_not(None), ~is_known)
        yield "category_id", "a category that is not among the categories, which is none", is_lost


def _key(expected: "_Expected") -> str:
    return expected.label


@attrs.frozen
class _Expected:
    """What one column has to hold; *key* is how its select calls it, *label* how an error does."""

    where: str
    label: str
    holds: Holds
    ids: IdKinds
    key: str = attrs.field(default=attrs.Factory(_key, takes_self=True), kw_only=True)

    def check_number(self, number: int, of: sa.types.TypeEngine[Any]) -> None:
        """Refuse a column of PostgreSQL by the number of its type."""
        usable = _OIDS[self._kind]
        if number not in usable:
            raise self._error(f"one of {', '.join(usable.values())}")
        if self.holds is Holds.MOMENT and number != _number_of_moment(of):
            raise SchemaError(
                f"{self.where}: {self.label} is a {usable[number]} in the database, but not to"
                f" SQLAlchemy: give it the type {_MOMENT_TYPES[number]}"
            )

    def check_type(self, of: sa.types.TypeEngine[Any]) -> None:
        """Refuse a column of SQLite by what the select says that it is."""
        usable = _SQLITE_TYPES[self._kind]
        if not isinstance(of, usable) and not isinstance(undecorated(of), usable):
            names = ", ".join(one.__name__ for one in usable)
            raise self._error(f"one of {names} (sa.type_coerce gives an expression its type)")

    @property
    def is_text(self) -> bool:
        """Return whether these are ids that are texts."""
        return self._kind is IdKind.TEXT

    @property
    def _kind(self) -> IdKind | Holds:
        return self.holds.kind(self.ids) or self.holds

    def _error(self, expected: str) -> SchemaError:
        kind = self.holds.kind(self.ids)
        says = "" if kind is None else f" (the settings say that those are of the kind {kind})"
        return SchemaError(
            f"{self.where}: the type of {self.label} does not hold"
            f" {self.holds.value}{says}; it should be {expected}"
        )


_MOMENT_TYPES = {1184: "DateTime(timezone=True)", 1114: "DateTime(timezone=False)", 1082: "Date"}


def _number_of_moment(of: sa.types.TypeEngine[Any]) -> int:
    """Return the number of PostgreSQL's type that a type of SQLAlchemy for moments means."""
    if is_day(of):
        return 1082
    return 1114 if is_without_zone(of) else 1184


def _columns_of(database: Database, where: str, query: Query) -> dict[str, int]:
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
        raise SchemaError(f"{where} cannot be run: {reason}") from error
