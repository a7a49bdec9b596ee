"""The tables: the reference schema of a marketplace, and the library's own."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from angle_reco.domain import AuctionStatus, IdKind, IdKinds, ListKind, from_micros, to_micros

VERSION = 1
"""Of the library's own tables and the reference schema."""


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
        return from_micros(value) if isinstance(value, int) else value


_ID_TYPES: dict[IdKind, Callable[[], sa.types.TypeEngine[Any]]] = {
    IdKind.INT: sa.BigInteger,
    IdKind.UUID: sa.Uuid,
    # Ordered by code point everywhere: SQLite does so by itself.
    IdKind.TEXT: lambda: sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
}


@attrs.frozen(kw_only=True, eq=False)
class Tables:
    """The tables for one choice of id kinds; each such value has tables of its own."""

    ids: IdKinds
    metadata: sa.MetaData
    version: sa.Table
    users: sa.Table
    items: sa.Table
    bids: sa.Table
    watches: sa.Table
    interests: sa.Table
    lists: dict[ListKind, sa.Table]
    coverage: sa.Table

    @classmethod
    def of(cls, ids: IdKinds) -> "Tables":
        """Return the tables whose ids are of these kinds."""
        metadata = sa.MetaData()
        user_id, item_id, category_id = (
            _ID_TYPES[kind] for kind in (ids.user, ids.item, ids.category)
        )
        return cls(
            ids=ids,
            metadata=metadata,
            version=sa.Table(
                "angle_reco_version",
                metadata,
                sa.Column("version", sa.Integer, primary_key=True),
                sa.Column("user_ids", sa.Text, nullable=False),
                sa.Column("item_ids", sa.Text, nullable=False),
                sa.Column("category_ids", sa.Text, nullable=False),
            ),
            users=sa.Table(
                "users",
                metadata,
                sa.Column("user_id", user_id(), primary_key=True),
                sa.Column("created_at", Moment),
                sa.Column("last_sign_in_at", Moment),
                sa.Column("sign_in_count", sa.BigInteger, nullable=False),
            ),
            items=sa.Table(
                "items",
                metadata,
                sa.Column("item_id", item_id(), primary_key=True),
                sa.Column("category_id", category_id()),
                sa.Column("seller_id", user_id()),
                sa.Column("title", sa.Text, nullable=False),
                sa.Column("starting_price", sa.BigInteger),
                sa.Column("current_price", sa.BigInteger),
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
            ),
            bids=_bids(metadata, user_id, item_id),
            watches=sa.Table(
                "watches",
                metadata,
                sa.Column("item_id", item_id(), primary_key=True),
                sa.Column("user_id", user_id(), primary_key=True),
                sa.Column("watched_at", Moment, nullable=False),
                sa.Index("watches_of_user", "user_id", "item_id"),
                sqlite_with_rowid=False,
            ),
            interests=sa.Table(
                "angle_reco_user_interests",
                metadata,
                sa.Column("user_id", user_id(), primary_key=True),
                sa.Column("category_id", category_id(), primary_key=True),
                sa.Column("score", sa.Integer, nullable=False),
                sa.Column("strength", sa.BigInteger, nullable=False),
                sa.Column("interaction_count", sa.BigInteger, nullable=False),
                sa.Column("last_interaction_at", Moment, nullable=False),
                sa.Column("recipe", sa.Text, nullable=False),
                sa.Column("computed_at", Moment, nullable=False),
                sa.CheckConstraint("score BETWEEN 0 AND 1000000", name="score_is_a_fraction"),
                sqlite_with_rowid=False,
            ),
            lists={
                ListKind.SIMILAR: _lists("angle_reco_similar_lists", metadata, item_id),
                ListKind.PERSONAL: _lists("angle_reco_personal_lists", metadata, user_id),
                ListKind.POPULAR: _lists(
                    "angle_reco_popular_lists", metadata, _ID_TYPES[IdKind.TEXT]
                ),
            },
            coverage=sa.Table(
                "angle_reco_coverage",
                metadata,
                sa.Column("kind", sa.Text, primary_key=True),
                sa.Column("started_at", Moment, nullable=False),
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

    @property
    def reference(self) -> tuple[sa.Table, ...]:
        """Return the tables that stand for a host's own."""
        return (self.users, self.items, self.bids, self.watches)


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
        sa.Column("item_id", item_id(), primary_key=True),
        sa.Column("placed_at", Moment, primary_key=True),
        sa.Column("user_id", user_id(), primary_key=True),
        sa.Column("amount", sa.BigInteger, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Index("bids_of_user", "user_id", "item_id", "placed_at"),
        sqlite_with_rowid=False,
    )


def _lists(
    name: str, metadata: sa.MetaData, owner: Callable[[], sa.types.TypeEngine[Any]]
) -> sa.Table:
    # Arrays in the order of the list, as JSON text; reasons and sources are codes,
    # which the views spell out.
    return sa.Table(
        name,
        metadata,
        sa.Column("owner", owner(), primary_key=True),
        sa.Column("items", sa.Text, nullable=False),
        sa.Column("scores", sa.Text, nullable=False),
        sa.Column("parts", sa.Text, nullable=False),
        sa.Column("reasons", sa.Text, nullable=False),
        sa.Column("sources", sa.Text, nullable=False),
        sa.Column("by_hand", sa.Text),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.Column("computed_at", Moment, nullable=False),
    )
