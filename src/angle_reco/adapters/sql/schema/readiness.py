"""Check whether jobs and events can work on a database: its tables exist and are writable."""

from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.errors import is_busy
from angle_reco.adapters.sql.schema.host_schema import HostSchema
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.adapters.sql.schema.texts import quoted
from angle_reco.adapters.sql.schema.versions import require_revision
from angle_reco.domain.errors import SchemaError, StorageError, StorageUnavailableError
from angle_reco.ports.deadlines import deadline

_READS = ("SELECT",)
_ALL = ("SELECT", "INSERT", "UPDATE", "DELETE")
_OF_REFERENCE = {
    "users": ("SELECT", "UPDATE"),
    "bids": ("SELECT", "INSERT", "DELETE"),
    "watches": _ALL,
}
"""What jobs and events do to tables of the reference schema; they only read the others."""

_SECONDS_FOR_LOCK = 0.05
_MOST_NAMED = 3


def require_ready(database: Database, tables: Tables, host: HostSchema | None) -> None:
    """Check that the tables exist and may be read and written, without writing a row.

    Raises:
        SchemaError: A table of ours or the host is missing, or from an earlier release.
        StorageError: The database's user lacks a privilege that jobs or events need.
        StorageUnavailableError: The database did not answer, or takes no writes now.
    """
    if database.is_postgres:
        _require_privileges(database, tables, host)
    else:
        _require_tables(database, tables, host)
    with database.reading() as connection:
        require_revision(connection, tables)
        if host is not None:
            connection.execute(_readable(host)).close()
    if not database.is_postgres:
        _require_writable_file(database, tables)


def _require_privileges(database: Database, tables: Tables, host: HostSchema | None) -> None:
    """Check the privileges by PostgreSQL's catalogue, which waits for no lock."""
    needed = [
        (quoted(table), privilege)
        for table, privileges in _needed(tables, host)
        for privilege in privileges
    ]
    names, privileges = ([pair[place] for pair in needed] for place in (0, 1))
    rows = database.rows(
        _LACKING,
        {"names": names, "privileges": privileges, "columns": [], "of_columns": []}
        | _columns_of(host),
    )
    [state] = {(row.is_read_only, row.may_stage) for row in rows}
    is_read_only, may_stage = state
    if is_read_only:
        raise StorageUnavailableError("the database takes no writes now")
    missing = [row.name for row in rows if row.is_missing]
    if missing:
        raise SchemaError(_missing(missing))
    lacking = [f"{row.privilege} on {row.name}" for row in rows if row.privilege is not None]
    if lacking:
        raise StorageError(f"the database's user lacks {_some(lacking)}")
    if not may_stage:
        raise StorageError(
            "the database's user lacks TEMPORARY on the database, which jobs need to store lists"
        )


def _columns_of(host: HostSchema | None) -> dict[str, list[str]]:
    """Return the host's columns that count sign-ins, as parameters of the query."""
    if host is None or host.sign_ins is None:
        return {}
    counted = host.sign_ins
    columns = [counted.last_sign_in_at, counted.sign_in_count]
    return {"columns": columns, "of_columns": [quoted(counted.table)] * len(columns)}


_LACKING = sa.text(
    """
SELECT current_setting('transaction_read_only') = 'on' AS is_read_only,
       has_database_privilege(current_database(), 'TEMPORARY') AS may_stage,
       lacking.name, lacking.privilege, lacking.is_missing
  FROM (SELECT) AS one
  LEFT JOIN (
       SELECT name, privilege, to_regclass(name) IS NULL AS is_missing
         FROM unnest(:names, :privileges) AS needed (name, privilege)
        WHERE NOT coalesce(has_table_privilege(to_regclass(name), privilege), false)
        UNION ALL
       SELECT name, 'UPDATE of ' || "column", to_regclass(name) IS NULL
         FROM unnest(:of_columns, :columns) AS needed (name, "column")
        WHERE NOT coalesce(has_column_privilege(to_regclass(name), "column", 'UPDATE'), false)
       ) AS lacking ON true
"""
).bindparams(
    *(
        sa.bindparam(name, type_=ARRAY(sa.Text))
        for name in ("names", "privileges", "of_columns", "columns")
    )
)


def _require_tables(database: Database, tables: Tables, host: HostSchema | None) -> None:
    name = database.engine.url.database or ""
    if name and not name.startswith((":memory:", "file:")) and not Path(name).exists():
        # Connecting would create an empty file.
        raise SchemaError(f"there is no file {name}: run `angle-reco migrate up`")
    with database.reading() as connection:
        there = set(sa.inspect(connection).get_table_names())
    missing = [table.name for table, _ in _needed(tables, host) if table.name not in there]
    if missing:
        raise SchemaError(_missing(missing))


def _require_writable_file(database: Database, tables: Tables) -> None:
    version = tables.version
    nothing = sa.update(version).values(version_num=version.c.version_num).where(sa.false())
    try:
        with deadline(_SECONDS_FOR_LOCK):
            database.write(lambda connection: connection.execute(nothing).close())
    except StorageUnavailableError as error:
        if not is_busy(error):
            raise
        # Another connection is writing, so the file is writable.


def _needed(tables: Tables, host: HostSchema | None) -> Iterator[tuple[sa.Table, tuple[str, ...]]]:
    """Yield the tables that we created, each with the privileges that jobs and events need."""
    yield tables.version, _READS
    for table in tables.own.tables.values():
        yield table, _READS if table is tables.additions else _ALL
    if host is None:
        for table in tables.reference.tables.values():
            yield table, _OF_REFERENCE.get(table.name, _READS)


def _readable(host: HostSchema) -> sa.Executable:
    """Return a statement that succeeds if all of the host's selects do, and reads no row."""
    queries = list(host.selects.values())
    if host.permissions is not None:
        queries.append(host.permissions.held)
    return sa.select(
        *(
            sa.select(sa.literal_column("1")).select_from(query.subquery()).limit(0).exists()
            for query in queries
        )
    )


def _missing(names: list[str]) -> str:
    return f"missing from the database: {_some(names)}; run `angle-reco migrate up`"


def _some(names: list[str]) -> str:
    named = list(dict.fromkeys(names))
    left = len(named) - _MOST_NAMED
    return ", ".join(named[:_MOST_NAMED]) + (f" and {left} more" if left > 0 else "")
