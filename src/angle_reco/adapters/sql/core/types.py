"""The types of columns that need more than one word to say how they are stored."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from angle_reco.domain.ids import IdKind
from angle_reco.domain.moments import from_micros, to_micros


class Moment(sa.types.TypeDecorator[datetime]):
    """An aware moment: timestamptz, and whole microseconds since 1970 on SQLite.

    SQLite has no type for moments, and texts neither compare nor travel as fast.
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
    """An amount of money in units of the settings' scale; −1 is an unknown one."""

    impl = sa.BigInteger
    cache_ok = True


ColumnType: TypeAlias = Callable[[], sa.types.TypeEngine[Any]]

TYPES_OF_IDS: dict[IdKind, ColumnType] = {
    IdKind.INT: sa.BigInteger,
    IdKind.UUID: sa.Uuid,
    # Ordered by code point everywhere: SQLite does so by itself.
    IdKind.TEXT: lambda: sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
}


def id_type(kind: IdKind) -> sa.types.TypeEngine[Any]:
    """Return the type of columns that hold ids of a kind."""
    return TYPES_OF_IDS[kind]()
