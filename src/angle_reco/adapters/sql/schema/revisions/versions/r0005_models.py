"""Trained models and tuned weights."""

import sqlalchemy as sa
from alembic.operations import Operations

from angle_reco.adapters.sql.schema.tables import Tables

revision = "0005"
down_revision = "0004"


def upgrade(op: Operations, tables: Tables, with_reference: bool) -> None:
    """Create the tables of models."""
    op.create_table(
        f"{tables.prefix}models",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("details", sa.Text, nullable=False),
        schema=tables.schema,
    )
    op.create_table(
        f"{tables.prefix}model_parts",
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("least", sa.BigInteger),
        sa.Column("data", sa.LargeBinary, nullable=False),
        schema=tables.schema,
    )


def downgrade(op: Operations, tables: Tables, with_reference: bool) -> None:
    """Drop the tables of models."""
    for name in ("model_parts", "models"):
        op.drop_table(f"{tables.prefix}{name}", schema=tables.schema)
