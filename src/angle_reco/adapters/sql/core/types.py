"""Column types of moments, money and ids."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from angle_reco.domain.ids import IdKind
from angle_reco.domain.moments import from_micros, to_micros


class Moment(sa.types.TypeDecorator[datetime]):
    """An aware moment: timestamptz, or whole microseconds since 1970 on SQLite.

    SQLite has no type for moments, and texts are slower to compare and to read.
    """

    impl = sa.BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        is_sqlite = dialect.name == "sqlite"
        return dialect.type_descriptor(sa.BigInteger() if is_sqlite else sa.DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> object:
        is_sqlite = dialect.name == "sqlite"
        return to_micros(value) if is_sqlite and value is not None else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        return None if value is None else from_micros(value)


class Units(sa.types.TypeDecorator[int]):
    """An amount of money in units of the settings' price scale; −1 means unknown."""

    impl = sa.BigInteger
    cache_ok = True


ColumnType: TypeAlias = Callable[[], sa.types.TypeEngine[Any]]

TYPES_OF_IDS: dict[IdKind, ColumnType] = {
    IdKind.INT: sa.BigInteger,
    IdKind.UUID: sa.Uuid,
    # Sorted by code point on both databases, which is SQLite's default.
    IdKind.TEXT: lambda: sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
}


def id_type(kind: IdKind) -> sa.types.TypeEngine[Any]:
    """Return the type of columns that hold ids of *kind*."""
    return TYPES_OF_IDS[kind]()
