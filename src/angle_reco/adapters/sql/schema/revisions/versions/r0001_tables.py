"""The first tables.

A revision must always create the same tables, so it repeats their definitions instead of
using those in `tables`, which change. A test compares the two. Only views use today's
definition: a later revision that changes a view creates it again.
"""

import re
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects.postgresql import ARRAY

from angle_reco.adapters.sql.schema.tables import Tables, quoted_name
from angle_reco.adapters.sql.schema.views import view_names, view_statements
from angle_reco.domain.ids import IdKind

revision = "0001"
down_revision = None

_Type = Callable[[], sa.types.TypeEngine[Any]]

# Keys are without autoincrement, because the host assigns the ids.
_IDS: dict[IdKind, _Type] = {
    IdKind.INT: sa.BigInteger,
    IdKind.UUID: sa.Uuid,
    IdKind.TEXT: lambda: sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
}

_LISTS = ("similar_lists", "personal_lists", "popular_lists")


def upgrade(op: Operations, tables: Tables, with_reference: bool) -> None:
    """Create our tables and views, and the reference schema if the host has none."""
    user_id, item_id, category_id = (
        _IDS[kind] for kind in (tables.ids.user, tables.ids.item, tables.ids.category)
    )
    schema, prefix = tables.schema, tables.prefix
    op.create_table(
        f"{prefix}additions", sa.Column("name", sa.Text, primary_key=True), schema=schema
    )
    op.create_table(
        f"{prefix}sign_ins",
        sa.Column("user_id", user_id(), primary_key=True, autoincrement=False),
        sa.Column("last_sign_in_at", _moment(), nullable=False),
        sa.Column("sign_in_count", sa.BigInteger, nullable=False),
        schema=schema,
        sqlite_with_rowid=False,
    )
    if op.get_context().dialect.name == "postgresql":
        # SQLAlchemy 2.0 has no argument of create_table for this.
        sign_ins = quoted_name(tables, "sign_ins")
        op.execute(_literally(f"ALTER TABLE {sign_ins} SET (fillfactor = 70)"))
    op.create_table(
        f"{prefix}user_interests",
        sa.Column("user_id", user_id(), primary_key=True, autoincrement=False),
        sa.Column("category_id", category_id(), primary_key=True),
        sa.Column("score", sa.BigInteger, nullable=False),
        sa.Column("strength", sa.BigInteger, nullable=False),
        sa.Column("interaction_count", sa.BigInteger, nullable=False),
        sa.Column("last_interaction_at", _moment(), nullable=False),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.Column("computed_at", _moment(), nullable=False),
        sa.CheckConstraint("score BETWEEN 0 AND 1000000", name="score_is_a_fraction"),
        schema=schema,
        sqlite_with_rowid=False,
    )
    for name, owner in zip(_LISTS, (item_id, user_id, _IDS[IdKind.TEXT]), strict=True):
        op.create_table(
            f"{prefix}{name}",
            sa.Column("owner", owner(), primary_key=True, autoincrement=False),
            sa.Column("items", _array(item_id()), nullable=False),
            sa.Column("scores", _array(sa.Integer()), nullable=False),
            sa.Column("parts", _array(sa.Integer()), nullable=False),
            sa.Column("reasons", _array(sa.SmallInteger()), nullable=False),
            sa.Column("sources", _array(sa.SmallInteger()), nullable=False),
            sa.Column("by_hand", _array(sa.Boolean())),
            sa.Column("recipe", sa.Text, nullable=False),
            sa.Column("digest", sa.Uuid, nullable=False),
            sa.Column("computed_at", _moment(), nullable=False),
            schema=schema,
        )
    op.create_table(
        f"{prefix}coverage",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("started_at", _moment(), nullable=False),
        schema=schema,
    )
    op.create_table(
        f"{prefix}fences",
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        schema=schema,
    )
    for statement in view_statements(tables, op.get_context().dialect.name):
        op.execute(_literally(statement))
    if with_reference:
        _create_reference(op, schema, user_id, item_id, category_id)
        additions = sa.table(f"{prefix}additions", sa.column("name", sa.Text), schema=schema)
        op.bulk_insert(additions, [{"name": "reference schema"}])


def downgrade(op: Operations, tables: Tables, with_reference: bool) -> None:
    """Drop all tables and views of this revision."""
    for view in view_names(tables):
        op.execute(_literally(f"DROP VIEW {view}"))
    names = ["additions", "sign_ins", "user_interests", *_LISTS, "coverage", "fences"]
    for name in names:
        op.drop_table(f"{tables.prefix}{name}", schema=tables.schema)
    if with_reference:
        for name in ("watches", "bids", "items", "users"):
            op.drop_table(name, schema=tables.schema)


def _create_reference(
    op: Operations, schema: str | None, user_id: _Type, item_id: _Type, category_id: _Type
) -> None:
    op.create_table(
        "users",
        sa.Column("user_id", user_id(), primary_key=True, autoincrement=False),
        sa.Column("created_at", _moment()),
        sa.Column("last_sign_in_at", _moment()),
        sa.Column("sign_in_count", sa.BigInteger, nullable=False),
        schema=schema,
    )
    op.create_table(
        "items",
        sa.Column("item_id", item_id(), primary_key=True, autoincrement=False),
        sa.Column("category_id", category_id()),
        sa.Column("seller_id", user_id()),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("starting_price", sa.BigInteger),
        sa.Column("current_price", sa.BigInteger),
        sa.Column("publication_status", sa.Text, nullable=False),
        sa.Column("auction_status", sa.Text),
        sa.CheckConstraint(
            "auction_status IN ('pending', 'scheduled', 'active', 'paused', 'ended', 'sold',"
            " 'cancelled')",
            name="auction_status_is_known",
        ),
        sa.Column("starts_at", _moment()),
        sa.Column("ends_at", _moment()),
        sa.Column("listed_at", _moment()),
        schema=schema,
    )
    op.create_table(
        "bids",
        sa.Column("item_id", item_id(), primary_key=True, autoincrement=False),
        sa.Column("placed_at", _moment(), primary_key=True),
        sa.Column("user_id", user_id(), primary_key=True, autoincrement=False),
        sa.Column("amount", sa.BigInteger, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Index("bids_of_user", "user_id", "item_id", "placed_at"),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "watches",
        sa.Column("item_id", item_id(), primary_key=True, autoincrement=False),
        sa.Column("user_id", user_id(), primary_key=True, autoincrement=False),
        sa.Column("watched_at", _moment(), nullable=False),
        sa.Index("watches_of_user", "user_id", "item_id"),
        schema=schema,
        sqlite_with_rowid=False,
    )


def _literally(statement: str) -> sa.TextClause:
    # A colon before a word is part of a host's name, not a parameter.
    return sa.text(re.sub(r"(?<![:\w\\]):(?=\w)", r"\\:", statement))


def _moment() -> sa.types.TypeEngine[Any]:
    # Whole microseconds since 1970 on SQLite, which has no type for moments.
    return sa.TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")


def _array(of: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    return sa.Text().with_variant(ARRAY(of), "postgresql")
