"""The ledger of runs."""

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations

from angle_reco.adapters.sql.schema.tables import Tables

revision = "0003"
down_revision = "0002"


def upgrade(op: Operations, tables: Tables, with_reference: bool) -> None:
    """Create the table of runs."""
    name = f"{tables.prefix}runs"
    op.create_table(
        name,
        sa.Column("job", _text(), primary_key=True),
        sa.Column("arguments", _text(), primary_key=True),
        sa.Column("slot", _moment(), primary_key=True),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("due_at", _moment(), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("lease_until", _moment()),
        sa.Column("started_at", _moment()),
        sa.Column("finished_at", _moment()),
        sa.Column("outcome", sa.Text),
        sa.Column("error", sa.Text),
        schema=tables.schema,
    )
    is_open = sa.text("state IN ('due', 'running')")
    op.create_index(
        f"{name}_open",
        name,
        ["state"],
        schema=tables.schema,
        postgresql_where=is_open,
        sqlite_where=is_open,
    )


def downgrade(op: Operations, tables: Tables, with_reference: bool) -> None:
    """Drop the table of runs."""
    op.drop_table(f"{tables.prefix}runs", schema=tables.schema)


def _moment() -> sa.types.TypeEngine[Any]:
    return sa.TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")


def _text() -> sa.types.TypeEngine[Any]:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
