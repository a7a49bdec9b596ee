"""Early checks of the host's selects: that they run, and that their types can be used."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.types import Moment
from angle_reco.adapters.sql.market.casts import working_cast
from angle_reco.adapters.sql.market.host_columns import (
    HostColumns,
    is_day,
    is_number,
    is_without_zone,
    undecorated,
)
from angle_reco.adapters.sql.schema.host_schema import (
    LABELS,
    Holds,
    HostSchema,
    Query,
    SignInColumns,
)
from angle_reco.domain.errors import SchemaError, StorageError, StorageUnavailableError
from angle_reco.domain.ids import IdKind, IdKinds
from angle_reco.domain.prices import PriceScale

OLDEST_POSTGRES = 15
"""The oldest major version that is supported and tested."""

_INTEGERS = {20: "bigint", 21: "smallint", 23: "integer"}
_NUMBERS = {1700: "numeric", **_INTEGERS, 701: "double precision", 700: "real"}
_OIDS: dict[IdKind | Holds, dict[int, str]] = {
    IdKind.INT: _INTEGERS,
    IdKind.UUID: {2950: "uuid"},
    # Not char(n): because of its padding, equal ids do not always compare as equal.
    IdKind.TEXT: {25: "text", 1043: "varchar"},
    Holds.MOMENT: {1184: "timestamptz", 1114: "timestamp", 1082: "date", **_NUMBERS},
    Holds.MONEY: _NUMBERS,
    Holds.YES_OR_NO: {16: "boolean"},
    Holds.COUNT: _INTEGERS,
}
"""The types of PostgreSQL, by OID, that can hold each content; WORDS accept every type."""

_SQLITE_TYPES: dict[IdKind | Holds, tuple[type[Any], ...]] = {
    IdKind.INT: (sa.Integer,),
    IdKind.UUID: (sa.Uuid,),
    IdKind.TEXT: (sa.String,),
    Holds.MOMENT: (sa.DateTime, sa.Date, Moment, sa.Integer, sa.Numeric, sa.Float),
    Holds.MONEY: (sa.Numeric, sa.Float, sa.Integer),
    Holds.YES_OR_NO: (sa.Boolean, sa.Integer),
    Holds.COUNT: (sa.Integer,),
}
"""The same as types of SQLAlchemy, because a column of SQLite may hold values of any type."""


def require_server(database: Database) -> None:
    """Refuse a server that is too old, or whose texts have no encoding.

    Raises:
        SchemaError: The server is older than `OLDEST_POSTGRES`, or the database's encoding is
            SQL_ASCII.
    """
    if database.is_postgres:
        with database.reading() as connection:
            version = connection.dialect.server_version_info or (0,)
            encoding = connection.scalar(sa.text("SELECT current_setting('server_encoding')"))
        if encoding == "SQL_ASCII":
            # One text that is no UTF-8 would break every page that shows it.
            raise SchemaError(
                "the database has the encoding SQL_ASCII, which leaves open what its bytes mean:"
                " it should have UTF8 or another encoding"
            )
        if version < (OLDEST_POSTGRES,):
            shown_version = ".".join(map(str, version))
            raise SchemaError(
                f"PostgreSQL {shown_version} is too old: it should be {OLDEST_POSTGRES} or newer"
            )


def check_selects(database: Database, host: HostSchema, ids: IdKinds) -> None:
    """Check that every select runs, and that its columns have types that can be used.

    Raises:
        SchemaError: A check fails; the text names the select, the column and the expected types.
        StorageUnavailableError: The database did not answer.
    """
    if database.is_postgres and host.time_zone is not None:
        _check_time_zone(database, host.time_zone)
    for name, query in host.selects.items():
        columns = {
            _Expected(f"the select of {name}", label, spec.holds, ids): query.selected_columns[
                label
            ]
            for label, spec in LABELS[name].items()
            if label in query.selected_columns and spec.holds is not Holds.WORDS
        }
        _check_types(database, query, columns)
    if host.public:
        _check_public(database, host)
    if host.permissions is not None:
        held = host.permissions.held
        expected = _Expected("the select of held", "user_id", Holds.USER_ID, ids)
        _check_types(database, held, {expected: held.selected_columns["user_id"]})


def _check_public(database: Database, host: HostSchema) -> None:
    """Refuse public columns of bytes, which JSON does not have."""
    where = "the select of items"
    found = _columns_of(database, where, host.items) if database.is_postgres else {}
    for label in host.public:
        of = undecorated(host.items.selected_columns[label].type)
        if found.get(label) == _BYTEA or isinstance(of, sa.LargeBinary):
            raise SchemaError(
                f"{where}: {label}, which public names, holds bytes: JSON has none, so it should"
                " be a text, such as the address of a file"
            )


_BYTEA = 17
"""The OID of the type."""


def _check_time_zone(database: Database, name: str) -> None:
    try:
        database.scalar(sa.select(sa.func.timezone(name, sa.func.now())))
    except StorageUnavailableError:
        raise
    except StorageError as error:
        raise SchemaError(
            f"time_zone is {name!r}, which this PostgreSQL does not know: it should be one of"
            " pg_timezone_names"
        ) from error


def check_sign_ins(database: Database, columns: SignInColumns, ids: IdKinds) -> None:
    """Check that the columns for sign-ins exist, and have types that can be used.

    Raises:
        SchemaError: A column is missing or has another type.
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
    last = types[columns.last_sign_in_at]
    if is_day(last) or is_number(last):
        raise SchemaError(
            f"SignInColumns: last_sign_in_at ({columns.last_sign_in_at} of {name}) is of the type"
            f" {type(undecorated(last)).__name__}: it should be a timestamp"
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
        usable = (
            found[expected.key] in _OIDS[expected.kind]
            if database.is_postgres
            else expected.is_usable(column.type)
        )
        if not usable:
            name = _type_name(database, found, expected, column.type)
            read = HostColumns(expected.ids, PriceScale(), database.dialect, "UTC")
            cast = (
                None
                if name.endswith("[]") or name in _PACKED
                else working_cast(database, query, expected.key, expected.holds, read)
            )
            raise expected.error(name, cast, is_postgres=database.is_postgres)
        if database.is_postgres:
            expected.check_moment(found[expected.key], column.type)
    texts = [expected for expected in columns if expected.is_text]
    if database.is_postgres and texts:
        _check_collations(database, query, texts)


def _check_collations(database: Database, query: Query, texts: "Sequence[_Expected]") -> None:
    """Refuse text ids of PostgreSQL whose collation equates different ids, as by case."""
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
    # Exactly one row, even for an empty select: nulls have a collation, too.
    one_row = sa.select(sa.literal_column("1")).subquery("one_row").outerjoin(rows, sa.false())
    [collations] = database.rows(sa.select(*lax).select_from(one_row))
    for expected, collation in zip(texts, collations, strict=True):
        if collation is not None:
            raise SchemaError(
                f"{expected.where}: {expected.label} has the collation {collation}, in which"
                " ids that differ may be equal; it should be a deterministic one such as"
                ' "C", of the column or by COLLATE in the select, together with an index in it'
            )


def _key(expected: "_Expected") -> str:
    return expected.label


@attrs.frozen
class _Expected:
    """The expected content of a column; *key* is its name in the select, *label* in errors."""

    where: str
    label: str
    holds: Holds
    ids: IdKinds
    key: str = attrs.field(default=attrs.Factory(_key, takes_self=True), kw_only=True)

    def check_moment(self, number: int, of: sa.types.TypeEngine[Any]) -> None:
        """Refuse a column of moments whose type of SQLAlchemy contradicts PostgreSQL's."""
        if self.holds is Holds.MOMENT and not _means(of, number):
            raise SchemaError(
                f"{self.where}: {self.label} is a {_OIDS[Holds.MOMENT][number]} in the database,"
                f" but not to SQLAlchemy: give it the type {_MOMENT_TYPES.get(number, 'Numeric')}"
            )

    def is_usable(self, of: sa.types.TypeEngine[Any]) -> bool:
        """Return whether a column of SQLite can be used, by the type that the select declares."""
        return isinstance(of, _SQLITE_TYPES[self.kind]) or isinstance(
            undecorated(of), _SQLITE_TYPES[self.kind]
        )

    def error(self, found: str, cast: str | None, *, is_postgres: bool) -> SchemaError:
        """Return the error for a column of the type *found*; it suggests *cast*, if any."""
        names = (
            ", ".join(_OIDS[self.kind].values())
            if is_postgres
            else ", ".join(one.__name__ for one in _SQLITE_TYPES[self.kind] if one is not Moment)
        )
        kind = self.holds.kind(self.ids)
        says = "" if kind is None else f" (the settings say that those are of the kind {kind})"
        makes = "" if cast is None else f", which {cast} makes of it"
        if cast is not None and is_postgres and self.kind is not IdKind.TEXT:
            makes += ", where it takes all values"
        return SchemaError(
            f"{self.where}: {self.label} is of the type {found}, which does not hold"
            f" {self.holds.value}{says}; it should be one of {names}{makes}"
        )

    @property
    def is_text(self) -> bool:
        """Return whether the column holds ids that are texts."""
        return self.kind is IdKind.TEXT

    @property
    def kind(self) -> IdKind | Holds:
        """Return the kind of the column's ids, or its other content."""
        return self.holds.kind(self.ids) or self.holds


_MOMENT_TYPES = {1184: "DateTime(timezone=True)", 1114: "DateTime(timezone=False)", 1082: "Date"}


def _means(of: sa.types.TypeEngine[Any], number: int) -> bool:
    """Return whether a type of SQLAlchemy for moments matches PostgreSQL's type of that OID."""
    if number in _NUMBERS:
        return is_number(of)
    usual = 1114 if is_without_zone(of) else 1184
    return not is_number(of) and number == (1082 if is_day(of) else usual)


def _type_name(database: Database, found: Mapping[str, int], expected: "_Expected", of: Any) -> str:
    """Return the database's name of a column's type, on SQLite that of SQLAlchemy."""
    if not database.is_postgres:
        return type(of).__name__
    number = sa.cast(found[expected.key], sa.BigInteger)
    return str(database.scalar(sa.select(sa.func.format_type(number, None))))


def _columns_of(database: Database, where: str, query: Query) -> dict[str, int]:
    """Return the OID of each column's type by label, as the server reports it."""
    # The key of a column may differ from its label, which is what counts.
    columns = query.subquery("rows").c.items()
    # Without the declared types, whose conversions may refuse the server's.
    plain = (sa.type_coerce(column, sa.Text).label(label) for label, column in columns)
    nothing = sa.select(*plain).limit(0)
    try:
        with database.reading() as connection:
            result = connection.execute(nothing)
            described: Sequence[Any] = result.cursor.description or ()
            return {one[0]: one[1] for one in described}
    except StorageUnavailableError:
        raise
    except (StorageError, SQLAlchemyError) as error:
        reason = getattr(error, "orig", None) or error
        raise SchemaError(f"{where} cannot be run: {reason}{_hint(str(reason))}") from error


_PACKED = ("json", "jsonb", "xml", "bytea")
"""Types of PostgreSQL with structured values, of which a cast would make ids such as {a}."""

_NO_SUCH_VALUE = "22P02"
"""The SQLSTATE of an invalid text representation, such as a text that an enum lacks."""


def _hint(reason: str) -> str:
    """Return advice where types do not match, such as an enum of the host and a text."""
    if "operator does not exist" in reason or _NO_SUCH_VALUE in reason:
        return " (sa.cast(column, sa.Text) makes a text of an enum, also in sa.case)"
    if "cannot be matched" in reason:
        return " (sa.cast(column, sa.Text) makes a text of a column, also as else_ of sa.case)"
    return ""
