"""The reference schema: tables of a marketplace for use without a host's schema."""

from typing import Any

import sqlalchemy as sa

from angle_reco.adapters.sql.core.types import TYPES_OF_IDS, ColumnType, Moment, Units
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.ids import IdKind, IdKinds


def reference_tables(metadata: sa.MetaData, ids: IdKinds) -> dict[str, sa.Table]:
    """Return the tables by name: users and their permissions, items, bids, watches."""
    user_id, item_id, category_id = (
        TYPES_OF_IDS[kind] for kind in (ids.user, ids.item, ids.category)
    )
    return {
        "users": sa.Table(
            "users",
            metadata,
            sa.Column("user_id", user_id(), primary_key=True, autoincrement=False),
            sa.Column("created_at", Moment),
            sa.Column("last_sign_in_at", Moment),
            sa.Column("sign_in_count", sa.BigInteger, nullable=False),
        ),
        "items": _items(metadata, item_id, category_id, user_id),
        "bids": _bids(metadata, user_id, item_id),
        "watches": sa.Table(
            "watches",
            metadata,
            sa.Column("item_id", item_id(), primary_key=True, autoincrement=False),
            sa.Column("user_id", user_id(), primary_key=True, autoincrement=False),
            sa.Column("watched_at", Moment, nullable=False),
            sa.Index("watches_of_user", "user_id", "item_id"),
            sqlite_with_rowid=False,
        ),
        "permissions": sa.Table(
            "permissions", metadata, sa.Column("name", _name(), primary_key=True)
        ),
        "user_permissions": sa.Table(
            "user_permissions",
            metadata,
            sa.Column("user_id", user_id(), primary_key=True, autoincrement=False),
            sa.Column("name", _name(), primary_key=True),
            sqlite_with_rowid=False,
        ),
    }


def _name() -> sa.types.TypeEngine[Any]:
    return TYPES_OF_IDS[IdKind.TEXT]()


def _items(
    metadata: sa.MetaData,
    item_id: ColumnType,
    category_id: ColumnType,
    user_id: ColumnType,
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
        # If it is null, the status follows from the times.
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
    user_id: ColumnType,
    item_id: ColumnType,
) -> sa.Table:
    # A bid has no id, so all its columns are the key. A number distinguishes equal bids, and
    # an unknown amount is −1. The key starts with item and moment, by which counts and prices
    # are read.
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
