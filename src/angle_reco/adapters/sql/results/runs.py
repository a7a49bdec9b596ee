"""Transactions that write results: one bulk writer at a time, behind fences, with coverage."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

from angle_reco.adapters.sql.core.clocks import clock_of_server, moved
from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.dialect import not_among, upsert_into
from angle_reco.adapters.sql.core.gate import seconds_locked
from angle_reco.adapters.sql.results.watermarks import remove_watermarks, write_watermark
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import FencedOffError
from angle_reco.domain.runs import Fence, RunState
from angle_reco.ports.stores import StoreTotals

_SECONDS_THAT_COUNT = 1.0
"""A shorter transaction does not delay a heartbeat enough to lose a lease."""

_T = TypeVar("_T")


class CompleteRun(NamedTuple):
    """A complete run of a kind, when it started, and what it leaves for the next run."""

    kind: str
    started_at: datetime
    watermark: str


def write_alone(
    database: Database,
    tables: Tables,
    table: sa.Table,
    unit: Callable[[sa.Connection], _T],
    fence: Fence | None = None,
    *,
    is_part: bool = False,
) -> _T:
    """Run *unit* in a transaction, while no other bulk writer of *table* works.

    A *part* of a run does not wait until it is on the disk. PostgreSQL writes commits in their
    order: if a crash takes the part, the end of the run is lost, too, and it is repeated.
    """

    def alone(connection: sa.Connection) -> _T:
        one_at_a_time(connection, table, waits_for_disk=not is_part)
        result = unit(connection)
        pass_fence(connection, tables, fence)
        return result

    return database.write(alone)


def retain_rows(
    database: Database,
    tables: Tables,
    table: sa.Table,
    owners: IdColumn | None,
    run: CompleteRun,
    fence: Fence | None,
) -> int:
    """Complete a *run*: delete all but *owners*, with None nothing; return how many."""

    def unit(connection: sa.Connection) -> int:
        gone = 0
        if owners is not None:
            owner = table.primary_key.columns[0]
            others = not_among(owner, owners, owners.kind, database.dialect)
            gone = connection.execute(sa.delete(table).where(others)).rowcount
        close_run(connection, tables, run.kind, run.started_at)
        write_watermark(connection, tables, run.kind, run.started_at, run.watermark)
        return gone

    return write_alone(database, tables, table, unit, fence)


def forget_watermark_of(
    database: Database, tables: Tables, table: sa.Table, kind: str, fence: Fence | None
) -> None:
    """Remove the watermark of a kind, whose results are in *table*."""

    def unit(connection: sa.Connection) -> None:
        remove_watermarks(connection, tables, [kind])

    write_alone(database, tables, table, unit, fence)


def totals_of(
    database: Database,
    tables: Tables,
    table: sa.Table,
    kind: str,
    *,
    owners: sa.ColumnElement[int],
    rows: sa.ColumnElement[int],
) -> StoreTotals:
    """Return how much of a kind is stored; *owners* and *rows* count it."""
    query = sa.select(
        owners.label("owners"),
        rows.label("rows"),
        sa.func.min(table.c.computed_at).label("oldest_at"),
        sa.func.max(table.c.computed_at).label("newest_at"),
        covered_at(tables, kind),
    )
    [row] = database.rows(query)
    return StoreTotals(**row._mapping)


def covered_at(tables: Tables, kind: str) -> sa.Label[Any]:
    """Return the start of the last complete run of a kind, as a labelled subquery."""
    coverage = tables.coverage.c
    return (
        sa.select(coverage.started_at)
        .where(coverage.kind == kind)
        .scalar_subquery()
        .label("covered_at")
    )


def close_run(connection: sa.Connection, tables: Tables, kind: str, started_at: datetime) -> None:
    """Record a complete run, even if the recorded one started later."""
    insert = upsert_into(tables.coverage, connection.dialect.name)
    connection.execute(
        insert.values(kind=kind, started_at=started_at).on_conflict_do_update(
            index_elements=list(tables.coverage.primary_key), set_={"started_at": started_at}
        )
    )


def pass_fence(connection: sa.Connection, tables: Tables, fence: Fence | None) -> None:
    """Check that no newer run of the job was claimed or has written, until the transaction ends.

    Call it last in a transaction: the claim of the next run waits for the commit.

    Raises:
        FencedOffError: A newer run was claimed or has written.
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
    """Extend all running leases by the time for which this transaction has locked SQLite.

    Until it ends no process can extend its lease, and then another process could claim first.
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


def one_at_a_time(
    connection: sa.Connection, table: sa.Table, *, waits_for_disk: bool = True
) -> None:
    """Serialise bulk writers of *table* until the transaction ends.

    Two overlapping batches leave the same rows as one after the other, and cannot deadlock.
    Readers do not wait. SQLite has one writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        # The lock is the same whether a process names the schema or relies on the search path.
        bare, full = (_lock_key(name) for name in (table.name, table.fullname))
        is_bare = sa.func.current_schema() == sa.literal(table.schema, sa.Text)
        key = sa.case((is_bare, sa.literal(bare, sa.BigInteger)), else_=full)
        statement = sa.select(sa.func.pg_advisory_xact_lock(key))
        if not waits_for_disk:
            setting = sa.func.set_config("synchronous_commit", "off", sa.true())
            statement = statement.add_columns(setting)
        connection.execute(statement)


def _lock_key(name: str) -> int:
    return int.from_bytes(hashlib.blake2s(name.encode(), digest_size=8).digest(), signed=True)
