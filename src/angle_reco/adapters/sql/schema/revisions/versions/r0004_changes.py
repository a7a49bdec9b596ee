"""The change feed."""

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations

from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.ids import IdKind

revision = "0004"
down_revision = "0003"

_IDS: dict[IdKind, sa.types.TypeEngine[Any]] = {
    IdKind.INT: sa.BigInteger(),
    IdKind.UUID: sa.Uuid(),
    IdKind.TEXT: sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
}


def upgrade(op: Operations, tables: Tables, with_reference: bool) -> None:
    """Create the table of changes."""
    name = f"{tables.prefix}changes"
    op.create_table(
        name,
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(),
            primary_key=True,
        ),
        sa.Column(
            "told_at",
            sa.TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite"),
            nullable=False,
        ),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("user_id", _IDS[tables.ids.user]),
        sa.Column("items", sa.Text),
        sa.Column("job", sa.Text),
        sa.Column("written_by", sa.BigInteger),
        schema=tables.schema,
        sqlite_autoincrement=True,
    )
    for column in ("user_id", "written_by"):
        is_there = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"{name}_{column}",
            name,
            [column],
            schema=tables.schema,
            postgresql_where=is_there,
            sqlite_where=is_there,
        )


def downgrade(op: Operations, tables: Tables, with_reference: bool) -> None:
    """Drop the table of changes, and the record of how far it was pruned."""
    schema, prefix = tables.schema, tables.prefix
    op.drop_table(f"{prefix}changes", schema=schema)
    keys = sa.table(f"{prefix}keys", sa.column("name", sa.Text), schema=schema)
    op.execute(sa.delete(keys).where(keys.c.name == "changes"))
