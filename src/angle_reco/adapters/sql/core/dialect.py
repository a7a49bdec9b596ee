"""SQL that differs between PostgreSQL and SQLite: lists of ids, arrays, JSON, order and upserts."""

import json
from collections.abc import Collection
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY

from angle_reco.adapters.sql.core.types import id_type
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import IdKind


class IdList(sa.types.TypeDecorator[IdColumn]):
    """Any number of ids as one parameter: an array, or a JSON array on SQLite."""

    # Not Text: without an index, PostgreSQL would repeat the cast from it for every row.
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
    """Return the condition that *column* is one of *ids*, which may be a parameter."""
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
    # A join with the array: ANY would search the whole array for every row.
    kept = sa.func.unnest(_as_array(parameter, kind)).column_valued("kept")
    return ~sa.exists().where(sa.type_coerce(kept, id_type(kind)) == column)


def in_order(column: sa.ColumnElement[Any], kind: IdKind, dialect: str) -> sa.ColumnElement[Any]:
    """Return *column* as a sort key: texts by code point, whatever the host's collation."""
    is_text = kind is IdKind.TEXT and dialect == "postgresql"
    return column.collate("C") if is_text else column


def length_of(array: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[int]:
    """Return the number of elements of an array, which SQLite stores as JSON."""
    is_sqlite = dialect == "sqlite"
    return sa.func.json_array_length(array) if is_sqlite else sa.func.cardinality(array)


def json_list(of: sa.ColumnElement[Any], dialect: str) -> sa.Function[Any]:
    """Return the aggregate that lists a field or a JSON array over all rows."""
    return sa.Function("json_group_array" if dialect == "sqlite" else "json_agg", of)


def json_array(fields: Collection[sa.ColumnElement[Any]], dialect: str) -> sa.Function[Any]:
    """Return the JSON array of the fields of a row."""
    return sa.Function("json_array" if dialect == "sqlite" else "json_build_array", *fields)


def json_of(text: sa.ColumnElement[str], dialect: str) -> sa.ColumnElement[Any]:
    """Return a text as the JSON that it is."""
    return sa.func.json(text) if dialect == "sqlite" else sa.cast(text, sa.JSON)


def upsert_into(table: sa.Table, dialect: str) -> Any:
    """Return an INSERT that supports ON CONFLICT."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def json_ids(ids: IdColumn) -> str:
    """Return ids as a JSON array, UUIDs as the 32 digits that SQLite stores.

    Non-ASCII characters are not escaped, so that equal ids are equal bytes.
    """
    if ids.kind is IdKind.UUID:
        return json.dumps([raw.hex() for raw in ids.values.tolist()])
    return json.dumps(ids.values.tolist(), ensure_ascii=False, separators=(",", ":"))


def _as_array(parameter: sa.ColumnElement[Any], kind: IdKind) -> sa.ColumnElement[Any]:
    # Texts without a collation: one that differs from the column's would rule out its index.
    return sa.cast(parameter, ARRAY(sa.Text() if kind is IdKind.TEXT else id_type(kind)))


def _array_literal(ids: IdColumn) -> str:
    """Return ids as an array literal of PostgreSQL."""
    listed: Collection[str]
    match ids.kind:
        case IdKind.UUID:
            return "{" + _uuids_between_commas(ids) + "}"
        case IdKind.INT:
            listed = list(map(str, ids.values.tolist()))
        case IdKind.TEXT:
            listed = [
                '"' + one.replace("\\", "\\\\").replace('"', '\\"') + '"'
                for one in ids.values.tolist()
            ]
    return "{" + ",".join(listed) + "}"


def _uuids_between_commas(ids: IdColumn) -> str:
    """Return the digits of UUIDs; an array takes a tenth of the time of a loop over them."""
    digits = np.frombuffer(ids.values.tobytes().hex().encode(), np.uint8).reshape(-1, 2 * 16)
    texts = np.full((len(ids), 2 * 16 + 1), ord(","), np.uint8)
    texts[:, :-1] = digits
    return texts.tobytes()[:-1].decode()
