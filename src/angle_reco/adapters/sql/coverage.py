"""When the last complete run over one kind of results started."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from angle_reco.adapters.sql.schema import Tables


def covered_at(tables: Tables, kind: str) -> sa.Label[Any]:
    """Return the moment as part of another query, labelled `covered_at`."""
    coverage = tables.coverage.c
    return (
        sa.select(coverage.started_at)
        .where(coverage.kind == kind)
        .scalar_subquery()
        .label("covered_at")
    )


def close_run(connection: sa.Connection, tables: Tables, kind: str, started_at: datetime) -> None:
    """Note a complete run, whether or not it is later than the last one."""
    insert = sqlite.insert(tables.coverage).values(kind=kind, started_at=started_at)
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=list(tables.coverage.primary_key), set_={"started_at": started_at}
        )
    )
