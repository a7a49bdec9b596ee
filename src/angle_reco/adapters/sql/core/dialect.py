"""How ids in bulk go into statements and come out of rows, on both databases."""

import json
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY

from angle_reco.adapters.sql.core.types import id_type
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import IdKind


class IdList(sa.types.TypeDecorator[IdColumn]):
    """Ids as one parameter however many: an array, and a JSON array on SQLite."""

    # Not Text: that would be cast from, at each row anew where no index helps.
    impl = sa.types.NullType
    cache_ok = True

    def process_bind_param(self, value: IdColumn | None, dialect: sa.Dialect) -> str | None:
        if value is None:
            return None
        return json_ids(value) if dialect.name == "sqlite" else _array_literal(value)


def among(
    column: sa.ColumnElement[Any],
    ids: IdColumn | sa.BindParameter[Any],
    kind: IdKind,
    dialect: str,
) -> sa.ColumnElement[bool]:
    """Return the condition that *column* is one of *ids*, or of a parameter for them."""
    parameter = sa.bindparam(None, ids, IdList) if isinstance(ids, IdColumn) else ids
    if dialect == "sqlite":
        wanted = sa.func.json_each(parameter).table_valued("value")
        return sa.type_coerce(column, sa.Text).in_(sa.select(wanted.c.value))
    return column == sa.any_(_as_array(parameter, kind))


def not_among(
    column: sa.ColumnElement[Any], ids: IdColumn, kind: IdKind, dialect: str
) -> sa.ColumnElement[bool]:
    """Return the condition that *column* is none of *ids*."""
    parameter = sa.bindparam(None, ids, IdList)
    if dialect == "sqlite":
        return ~among(column, ids, kind, dialect)
    # A join with the array once, where ANY would look through it for every row.
    kept = sa.func.unnest(_as_array(parameter, kind)).column_valued("kept")
    return ~sa.exists().where(sa.type_coerce(kept, id_type(kind)) == column)


def in_order(column: sa.ColumnElement[Any], kind: IdKind, dialect: str) -> sa.ColumnElement[Any]:
    """Return *column* to sort by: texts by code point, whatever the host's collation."""
    is_text = kind is IdKind.TEXT and dialect == "postgresql"
    return column.collate("C") if is_text else column


def length_of(array: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[int]:
    """Return how many elements an array holds, which SQLite keeps as JSON."""
    is_sqlite = dialect == "sqlite"
    return sa.func.json_array_length(array) if is_sqlite else sa.func.cardinality(array)


def upsert_into(table: sa.Table, dialect: str) -> Any:
    """Return an INSERT that can say what to do about rows that are there already."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def json_ids(ids: IdColumn) -> str:
    """Return ids as a JSON array, UUIDs as the 32 digits that SQLite stores.

    Texts stand as they are, so that equal ids are equal bytes.
    """
    if ids.kind is IdKind.UUID:
        return json.dumps([raw.hex() for raw in ids.values.tolist()])
    return json.dumps(ids.values.tolist(), ensure_ascii=False, separators=(",", ":"))


def _as_array(parameter: sa.ColumnElement[Any], kind: IdKind) -> sa.ColumnElement[Any]:
    # Texts without a collation: with another than the column's no index would serve.
    return sa.cast(parameter, ARRAY(sa.Text() if kind is IdKind.TEXT else id_type(kind)))


def _array_literal(ids: IdColumn) -> str:
    """Return ids as PostgreSQL writes arrays."""
    listed: Collection[str]
    match ids.kind:
        case IdKind.UUID:
            listed = [raw.hex() for raw in ids.values.tolist()]
        case IdKind.INT:
            listed = list(map(str, ids.values.tolist()))
        case IdKind.TEXT:
            listed = [
                '"' + one.replace("\\", "\\\\").replace('"', '\\"') + '"'
                for one in ids.values.tolist()
            ]
    return "{" + ",".join(listed) + "}"
