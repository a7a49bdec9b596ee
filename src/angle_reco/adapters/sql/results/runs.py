"""What runs of jobs leave beside their results: how far the last complete one reached."""

import hashlib
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from angle_reco.adapters.sql.core.clocks import clock_of_server, moved
from angle_reco.adapters.sql.core.dialect import upsert_into
from angle_reco.adapters.sql.core.gate import seconds_locked
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.errors import FencedOffError
from angle_reco.domain.runs import Fence, RunState

_SECONDS_THAT_COUNT = 1.0
"""A transaction that was shorter keeps no heartbeat from being in time."""


def covered_at(tables: Tables, kind: str) -> sa.Label[Any]:
    """Return when the last complete run of a kind started, labelled for another query."""
    coverage = tables.coverage.c
    return (
        sa.select(coverage.started_at)
        .where(coverage.kind == kind)
        .scalar_subquery()
        .label("covered_at")
    )


def close_run(connection: sa.Connection, tables: Tables, kind: str, started_at: datetime) -> None:
    """Note a complete run, whether or not it is later than the last one."""
    insert = upsert_into(tables.coverage, connection.dialect.name)
    connection.execute(
        insert.values(kind=kind, started_at=started_at).on_conflict_do_update(
            index_elements=list(tables.coverage.primary_key), set_={"started_at": started_at}
        )
    )


def pass_fence(connection: sa.Connection, tables: Tables, fence: Fence | None) -> None:
    """Make sure that no newer run of the job has begun or written, until the transaction ends.

    That comes last in a transaction: whoever claims the next run waits for it.

    Raises:
        FencedOffError: One has.
    """
    if fence is None:
        return
    insert = upsert_into(tables.fences, connection.dialect.name)
    passing = insert.values(job=fence.job, number=fence.number).on_conflict_do_update(
        index_elements=[tables.fences.c.job],
        set_={"number": fence.number},
        where=tables.fences.c.number <= fence.number,
    )
    if connection.execute(passing).rowcount == 0:
        newest = sa.select(tables.fences.c.number).where(tables.fences.c.job == fence.job)
        raise FencedOffError(fence.job, connection.execute(newest).scalar_one())
    _add_to_leases(connection, tables, seconds_locked(connection))


def _add_to_leases(connection: sa.Connection, tables: Tables, seconds: float) -> None:
    """Prolong all leases by the time for which this transaction kept SQLite locked.

    Until it ends no process can prolong its own, and after it others could come first.
    """
    if seconds < _SECONDS_THAT_COUNT:
        return
    dialect, locked = connection.dialect.name, timedelta(seconds=seconds)
    runs, until = tables.runs, tables.runs.c.lease_until
    began_at = moved(clock_of_server(dialect), -locked, dialect)
    connection.execute(
        sa.update(runs)
        .where(runs.c.state == RunState.RUNNING.value, until >= began_at)
        .values(lease_until=moved(until, locked, dialect))
    )


def one_at_a_time(connection: sa.Connection, table: sa.Table) -> None:
    """Have those who write to *table* in bulk wait for each other.

    So two batches that overlap leave what they would one after the other, and cannot wait
    for each other's rows. Readers wait for nobody. On SQLite there is one writer anyway.
    """
    if connection.dialect.name == "postgresql":
        # A process may name the schema or leave it to the search path: the lock is one.
        bare, full = (_lock_key(name) for name in (table.name, table.fullname))
        is_bare = sa.func.current_schema() == sa.literal(table.schema, sa.Text)
        key = sa.case((is_bare, sa.literal(bare, sa.BigInteger)), else_=full)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))


def _lock_key(name: str) -> int:
    return int.from_bytes(hashlib.blake2s(name.encode(), digest_size=8).digest(), signed=True)
