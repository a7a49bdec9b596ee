"""The tables: the library's own, and the reference schema of a marketplace."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Dialect

from angle_reco.domain import (
    AuctionStatus,
    IdKind,
    IdKinds,
    InvalidValueError,
    ListKind,
    from_micros,
    to_micros,
)

DEFAULT_PREFIX = "angle_reco_"

REFERENCE_SCHEMA = "reference schema"
"""Among the additions: we made users, items, bids and watches, and may drop them."""

_PREFIX = re.compile("[a-z][a-z0-9_]{0,29}")


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


_TYPES: dict[IdKind, Callable[[], sa.types.TypeEngine[Any]]] = {
    IdKind.INT: sa.BigInteger,
    IdKind.UUID: sa.Uuid,
    # Ordered by code point everywhere: SQLite does so by itself.
    IdKind.TEXT: lambda: sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
}


def id_type(kind: IdKind) -> sa.types.TypeEngine[Any]:
    """Return the type of columns that hold ids of a kind."""
    return _TYPES[kind]()


def _prefix(value: object) -> str:
    if not isinstance(value, str) or not _PREFIX.fullmatch(value):
        expected = "up to 30 lower-case letters, digits and underscores, a letter first"
        raise InvalidValueError("prefix of tables", value, expected)
    return value


def _schema(value: object) -> str | None:
    if value is None or (isinstance(value, str) and 0 < len(value.encode()) <= 63):
        return value
    raise InvalidValueError("schema of tables", value, "the name of a schema, or None")


@attrs.frozen(kw_only=True, eq=False)
class Tables:
    """The tables for one choice of id kinds, names and place; each such value has its own.

    *own* holds the library's tables, *reference* those that stand for a host's. *version*
    and *additions* belong to the migrations: where the schema is, and what they put into
    tables of the host, to be taken out again.
    """

    ids: IdKinds
    schema: str | None
    prefix: str
    own: sa.MetaData
    reference: sa.MetaData
    version: sa.Table
    additions: sa.Table
    users: sa.Table
    items: sa.Table
    bids: sa.Table
    watches: sa.Table
    sign_ins: sa.Table
    interests: sa.Table
    lists: dict[ListKind, sa.Table]
    coverage: sa.Table
    fences: sa.Table

    @classmethod
    def of(
        cls, ids: IdKinds, *, schema: str | None = None, prefix: str = DEFAULT_PREFIX
    ) -> "Tables":
        """Return the tables whose ids are of these kinds.

        Raises:
            InvalidValueError: The schema or the prefix makes no names.
        """
        schema, prefix = _schema(schema), _prefix(prefix)
        own, reference = sa.MetaData(schema=schema), sa.MetaData(schema=schema)
        user_id, item_id, category_id = (
            _TYPES[kind] for kind in (ids.user, ids.item, ids.category)
        )
        return cls(
            ids=ids,
            schema=schema,
            prefix=prefix,
            own=own,
            reference=reference,
            # Alembic makes and fills this one.
            version=sa.Table(
                f"{prefix}version",
                sa.MetaData(schema=schema),
                sa.Column("version_num", sa.String(32), primary_key=True),
            ),
            additions=sa.Table(
                f"{prefix}additions", own, sa.Column("name", sa.Text, primary_key=True)
            ),
            users=sa.Table(
                "users",
                reference,
                sa.Column("user_id", user_id(), primary_key=True, autoincrement=False),
                sa.Column("created_at", Moment),
                sa.Column("last_sign_in_at", Moment),
                sa.Column("sign_in_count", sa.BigInteger, nullable=False),
            ),
            items=_items(reference, item_id, category_id, user_id),
            bids=_bids(reference, user_id, item_id),
            watches=sa.Table(
                "watches",
                reference,
                sa.Column("item_id", item_id(), primary_key=True, autoincrement=False),
                sa.Column("user_id", user_id(), primary_key=True, autoincrement=False),
                sa.Column("watched_at", Moment, nullable=False),
                sa.Index("watches_of_user", "user_id", "item_id"),
                sqlite_with_rowid=False,
            ),
            sign_ins=sa.Table(
                f"{prefix}sign_ins",
                own,
                sa.Column("user_id", user_id(), primary_key=True, autoincrement=False),
                sa.Column("last_sign_in_at", Moment, nullable=False),
                sa.Column("sign_in_count", sa.BigInteger, nullable=False),
                sqlite_with_rowid=False,
                # Room on each page, so that counting on does not touch the index.
                postgresql_with={"fillfactor": 70},
            ),
            interests=sa.Table(
                f"{prefix}user_interests",
                own,
                sa.Column("user_id", user_id(), primary_key=True, autoincrement=False),
                sa.Column("category_id", category_id(), primary_key=True),
                sa.Column("score", sa.BigInteger, nullable=False),
                sa.Column("strength", sa.BigInteger, nullable=False),
                sa.Column("interaction_count", sa.BigInteger, nullable=False),
                sa.Column("last_interaction_at", Moment, nullable=False),
                sa.Column("recipe", sa.Text, nullable=False),
                sa.Column("computed_at", Moment, nullable=False),
                sa.CheckConstraint("score BETWEEN 0 AND 1000000", name="score_is_a_fraction"),
                sqlite_with_rowid=False,
            ),
            lists={
                ListKind.SIMILAR: _lists(f"{prefix}similar_lists", own, item_id, item_id),
                ListKind.PERSONAL: _lists(f"{prefix}personal_lists", own, user_id, item_id),
                ListKind.POPULAR: _lists(
                    f"{prefix}popular_lists", own, _TYPES[IdKind.TEXT], item_id
                ),
            },
            coverage=sa.Table(
                f"{prefix}coverage",
                own,
                sa.Column("kind", sa.Text, primary_key=True),
                sa.Column("started_at", Moment, nullable=False),
            ),
            fences=sa.Table(
                f"{prefix}fences",
                own,
                sa.Column("job", sa.Text, primary_key=True),
                sa.Column("number", sa.BigInteger, nullable=False),
            ),
        )

    def owner_kind(self, kind: ListKind) -> IdKind:
        """Return which ids the owners of lists have; categories are written as text."""
        match kind:
            case ListKind.SIMILAR:
                return self.ids.item
            case ListKind.PERSONAL:
                return self.ids.user
            case ListKind.POPULAR:
                return IdKind.TEXT


def _items(
    metadata: sa.MetaData,
    item_id: Callable[[], sa.types.TypeEngine[Any]],
    category_id: Callable[[], sa.types.TypeEngine[Any]],
    user_id: Callable[[], sa.types.TypeEngine[Any]],
) -> sa.Table:
    return sa.Table(
        "items",
        metadata,
        sa.Column("item_id", item_id(), primary_key=True, autoincrement=False),
        sa.Column("category_id", category_id()),
        sa.Column("seller_id", user_id()),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("starting_price", Units),
        sa.Column("current_price", Units),
        sa.Column("publication_status", sa.Text, nullable=False),
        # None: it follows from the times.
        sa.Column("auction_status", sa.Text),
        sa.CheckConstraint(
            sa.column("auction_status").in_([status.value for status in AuctionStatus]),
            name="auction_status_is_known",
        ),
        sa.Column("starts_at", Moment),
        sa.Column("ends_at", Moment),
        sa.Column("listed_at", Moment),
    )


def _bids(
    metadata: sa.MetaData,
    user_id: Callable[[], sa.types.TypeEngine[Any]],
    item_id: Callable[[], sa.types.TypeEngine[Any]],
) -> sa.Table:
    # A bid has no id of its own. Equal ones are told apart by their number, and an
    # unknown amount is −1, so that all of it can be the key: by item and moment, which
    # is how counts and prices are read.
    return sa.Table(
        "bids",
        metadata,
        sa.Column("item_id", item_id(), primary_key=True, autoincrement=False),
        sa.Column("placed_at", Moment, primary_key=True),
        sa.Column("user_id", user_id(), primary_key=True, autoincrement=False),
        sa.Column("amount", Units, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Index("bids_of_user", "user_id", "item_id", "placed_at"),
        sqlite_with_rowid=False,
    )


def _lists(
    name: str,
    metadata: sa.MetaData,
    owner: Callable[[], sa.types.TypeEngine[Any]],
    item_id: Callable[[], sa.types.TypeEngine[Any]],
) -> sa.Table:
    # Arrays in the order of the list, as JSON text on SQLite; those of the parts one after
    # another; reasons and sources are codes, which the views spell out. The digest stands
    # for all of a list, so that what is unchanged need not travel to be compared.
    return sa.Table(
        name,
        metadata,
        sa.Column("owner", owner(), primary_key=True, autoincrement=False),
        sa.Column("items", _array(item_id()), nullable=False),
        sa.Column("scores", _array(sa.Integer()), nullable=False),
        sa.Column("parts", _array(sa.Integer()), nullable=False),
        sa.Column("reasons", _array(sa.SmallInteger()), nullable=False),
        sa.Column("sources", _array(sa.SmallInteger()), nullable=False),
        sa.Column("by_hand", _array(sa.Boolean())),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.Column("digest", sa.Uuid, nullable=False),
        sa.Column("computed_at", Moment, nullable=False),
    )


def _array(of: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    return sa.Text().with_variant(ARRAY(of), "postgresql")
