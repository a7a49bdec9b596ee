"""Casts that make a column of the host readable, for error messages to suggest."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.market.host_columns import HostColumns
from angle_reco.adapters.sql.schema.host_schema import Holds, Query
from angle_reco.domain.errors import StorageError
from angle_reco.domain.ids import IdKind

_ROWS_TRIED = 100

_Cast = tuple[str, Callable[[Any], sa.ColumnElement[Any]]]


def working_cast(
    database: Database, query: Query, label: str, holds: Holds, columns: HostColumns
) -> str | None:
    """Return a cast, as a text, that makes most of the first rows readable, or None."""
    raw = query.subquery("rows").c[label]
    for text, cast in _casts(holds, columns):
        value = sa.select(cast(raw).label("value")).limit(_ROWS_TRIED).subquery("tried").c.value
        read = columns.read(holds, value)
        is_lost = sa.and_(sa.type_coerce(value, sa.Text).is_not(None), read.column.is_(None))
        is_odd = is_lost if read.is_odd is None else sa.or_(is_lost, read.is_odd)
        there = sa.func.count(sa.type_coerce(value, sa.Text))
        tried = sa.select(there, sa.func.count(sa.case((is_odd, 1)))).select_from(value.table)
        try:
            [(count, lost)] = database.rows(tried)
            # A few odd values do not rule a cast out. Without rows, a direct cast counts,
            # because the database has checked that it exists.
            if 2 * lost < count or (count == 0 and text.count("cast") == 1):
                return text
        except (StorageError, SQLAlchemyError):
            continue  # The database lacks the cast, or a row fails it.
    return None


def _casts(holds: Holds, columns: HostColumns) -> list[_Cast]:
    kind = holds.kind(columns.ids)
    name, type_ = _TYPES[kind or holds]
    through_text: _Cast = (
        f"sa.cast(sa.cast(column, sa.Text), {name})",
        lambda column: sa.cast(sa.cast(column, sa.Text), type_),
    )
    plain: _Cast = (f"sa.cast(column, {name})", lambda column: sa.cast(column, type_))
    if columns.dialect != "sqlite":
        return [plain, through_text]
    coerced: _Cast = (
        f"sa.type_coerce(column, {name})",
        lambda column: sa.type_coerce(column, type_),
    )
    if kind is IdKind.UUID:
        digits: _Cast = (
            'sa.type_coerce(sa.func.lower(sa.func.replace(column, "-", "")), sa.Uuid)',
            lambda column: sa.type_coerce(
                sa.func.lower(sa.func.replace(sa.type_coerce(column, sa.Text), "-", "")), type_
            ),
        )
        of_bytes: _Cast = (
            "sa.type_coerce(sa.func.lower(sa.func.hex(column)), sa.Uuid)",
            lambda column: sa.type_coerce(
                sa.func.lower(sa.func.hex(sa.type_coerce(column, sa.Text))), type_
            ),
        )
        return [coerced, digits, of_bytes]
    return [coerced] if holds is Holds.MOMENT else [coerced, plain]


_TYPES: dict[IdKind | Holds, tuple[str, sa.types.TypeEngine[Any]]] = {
    IdKind.INT: ("sa.BigInteger", sa.BigInteger()),
    IdKind.UUID: ("sa.Uuid", sa.Uuid()),
    IdKind.TEXT: ("sa.Text", sa.Text()),
    Holds.MOMENT: ("sa.DateTime(timezone=True)", sa.DateTime(timezone=True)),
    Holds.MONEY: ("sa.Numeric", sa.Numeric()),
    Holds.YES_OR_NO: ("sa.Boolean", sa.Boolean()),
    Holds.COUNT: ("sa.BigInteger", sa.BigInteger()),
}
