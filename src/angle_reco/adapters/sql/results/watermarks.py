"""The watermarks of complete runs: a row for each kind of results, in the table of keys."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.dialect import upsert_into
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.lists import ListKind
from angle_reco.domain.moments import to_micros

INTERESTS = "interests"
"""The kind of stored interests, beside those of lists."""


def watermark_of(database: Database, tables: Tables, kind: str) -> str | None:
    """Return the watermark of the last complete run, None if there was no run.

    It is empty if that run left none, as a run of an earlier release does: such a run renews the
    coverage, but not the moment beside the watermark.
    """
    coverage, keys = tables.coverage.c, tables.keys.c
    query = (
        sa.select(coverage.started_at, keys.value)
        .select_from(tables.coverage.outerjoin(tables.keys, keys.name == _name(kind)))
        .where(coverage.kind == kind)
    )
    for started_at, value in database.rows(query):
        moment, _, text = (value or "").partition(" ")
        return text if moment == str(to_micros(started_at)) else ""
    return None


def write_watermark(
    connection: sa.Connection, tables: Tables, kind: str, started_at: datetime, text: str
) -> None:
    """Store the watermark of a run that started then, or remove that of the last run."""
    if not text:
        remove_watermarks(connection, tables, [kind])
        return
    upsert = upsert_into(tables.keys, connection.dialect.name).values(
        name=_name(kind), value=f"{to_micros(started_at)} {text}"
    )
    connection.execute(
        upsert.on_conflict_do_update(
            index_elements=[tables.keys.c.name], set_={"value": upsert.excluded.value}
        )
    )


def remove_watermarks(
    connection: sa.Connection, tables: Tables, kinds: Collection[str] = (INTERESTS, *ListKind)
) -> None:
    """Remove the watermarks of some kinds, by default of all."""
    names = [_name(kind) for kind in kinds]
    connection.execute(sa.delete(tables.keys).where(tables.keys.c.name.in_(names)))


def _name(kind: str) -> str:
    return f"watermark of {kind!s}"
