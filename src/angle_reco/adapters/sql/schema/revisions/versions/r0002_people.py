"""Marks of overrides, erased users, and permissions of the reference schema."""

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations

from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.ids import IdKind

revision = "0002"
down_revision = "0001"

_IDS: dict[IdKind, sa.types.TypeEngine[Any]] = {
    IdKind.INT: sa.BigInteger(),
    IdKind.UUID: sa.Uuid(),
    IdKind.TEXT: sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
}

_MARKS = ("by_hand", "removed")


def upgrade(op: Operations, tables: Tables, with_reference: bool) -> None:
    """Add the marks, the erasures with their key, and permissions if the host has no schema."""
    schema, prefix = tables.schema, tables.prefix
    for name in _MARKS:
        # With a constant default no row is rewritten.
        mark = sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())
        op.add_column(f"{prefix}user_interests", mark, schema=schema)
    op.create_table(
        f"{prefix}erasures",
        sa.Column("user_digest", sa.Uuid, primary_key=True),
        sa.Column(
            "erased_at",
            sa.TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite"),
            nullable=False,
        ),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_table(
        f"{prefix}keys",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        schema=schema,
    )
    if not with_reference:
        return
    permissions = op.create_table(
        "permissions", sa.Column("name", _IDS[IdKind.TEXT], primary_key=True), schema=schema
    )
    op.create_table(
        "user_permissions",
        sa.Column("user_id", _IDS[tables.ids.user], primary_key=True, autoincrement=False),
        sa.Column("name", _IDS[IdKind.TEXT], primary_key=True),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.bulk_insert(permissions, [{"name": "manage_recommendations"}, {"name": "inspect_users"}])


def downgrade(op: Operations, tables: Tables, with_reference: bool) -> None:
    """Drop all tables and columns of this revision."""
    schema, prefix = tables.schema, tables.prefix
    if with_reference:
        op.drop_table("user_permissions", schema=schema)
        op.drop_table("permissions", schema=schema)
    op.drop_table(f"{prefix}keys", schema=schema)
    op.drop_table(f"{prefix}erasures", schema=schema)
    for name in _MARKS:
        op.drop_column(f"{prefix}user_interests", name, schema=schema)
