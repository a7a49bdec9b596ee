"""Migrations of the tables to the revision of this release, and back to none."""

import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, TypeVar, cast

import sqlalchemy as sa

from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.schema.additions import (
    add_where_missing,
    added_columns,
    drop_columns,
)
from angle_reco.adapters.sql.schema.host_schema import HostSchema
from angle_reco.adapters.sql.schema.permissions import insert_where_missing
from angle_reco.adapters.sql.schema.tables import DEFAULT_PREFIX, Tables
from angle_reco.adapters.sql.schema.versions import HEAD, is_there, schema_version, version_of
from angle_reco.adapters.sql.schema.views import view_names
from angle_reco.domain.errors import SchemaError, StorageError, StorageUnavailableError

_LOCK_SECONDS = 0.2
_TRIES = 300
"""A migration outlasts readers of minutes: it waits for a lock briefly, but often."""

_REVISIONS = Path(__file__).parent / "revisions"

_T = TypeVar("_T")


def migrate_up(database: Database, tables: Tables, host: HostSchema | None = None) -> bool:
    """Migrate the schema to HEAD, and add to the host's tables; return False if nothing changed.

    Raises:
        SchemaError: Other tables exist already, and ours would mix with them.
        StorageUnavailableError: Another connection held a needed lock for minutes.
    """
    is_new = schema_version(database, tables, host) != HEAD and _repeat_while_locked(
        lambda: database.write(
            lambda connection: create_schema(_limit_lock_waits(connection), tables, host)
        )
    )
    if not database.is_postgres and host is None and database.borrowed is None:
        enable_wal(database)
    if host is None or (host.sign_ins is None and host.permissions is None):
        return is_new
    columns, permissions = host.sign_ins, host.permissions

    def add(connection: sa.Connection) -> bool:
        _lock_migrations(_limit_lock_waits(connection), tables)
        added = permissions is not None and insert_where_missing(connection, permissions)
        # Last, so that writers to the host's table wait for as short a time as possible.
        return (columns is not None and add_where_missing(connection, tables, columns)) or added

    return _repeat_while_locked(lambda: database.write(add)) or is_new


def migrate_down(database: Database, tables: Tables, host: HostSchema | None = None) -> bool:
    """Drop all our tables and views with their content; return False if there were none.

    Columns that we added to a table of the host are removed too, permissions stay.
    """
    if not database.is_postgres and not is_there(database.engine):
        return False
    columns = None if host is None else host.sign_ins

    def drop(connection: sa.Connection) -> bool:
        _lock_migrations(_limit_lock_waits(connection), tables)
        if version_of(connection, tables, host) is None:
            return False
        added = [] if columns is None else added_columns(connection, tables, columns)
        run_revisions("base", tables, host, connection=connection)
        tables.version.drop(connection)
        if columns is not None:
            # Last, so that writers to the host's table wait for as short a time as possible.
            drop_columns(connection, columns, added)
        return True

    return _repeat_while_locked(lambda: database.write(drop))


def create_schema(connection: sa.Connection, tables: Tables, host: HostSchema | None) -> bool:
    """Migrate the schema to HEAD in the caller's transaction; return False if it was there.

    Another process may have done so just before.

    Raises:
        SchemaError: Other tables exist already, and ours would mix with them.
    """
    _lock_migrations(connection, tables)
    version = version_of(connection, tables, host)
    if version is None:
        _refuse_other_tables(connection, tables, host)
        if tables.schema and not sa.inspect(connection).has_schema(tables.schema):
            connection.execute(sa.schema.CreateSchema(tables.schema))
    if version != HEAD:
        run_revisions("head", tables, host, connection=connection)
    return version != HEAD


def include_object(
    _: object,
    name: str | None,
    type_: str,
    reflected: bool,
    compare_to: object,
    *,
    prefix: str = DEFAULT_PREFIX,
) -> bool:
    """Make a host's `alembic revision --autogenerate` ignore our tables.

    Pass it to `context.configure` as Alembic's `include_object`; with another prefix of
    tables, pass `functools.partial(include_object, prefix=...)`.
    """
    is_ours = type_ == "table" and reflected and compare_to is None
    return not (is_ours and name is not None and name.startswith(prefix))


def enable_wal(database: Database) -> None:
    """Switch a file of SQLite to WAL, in which readers and a writer do not wait for each other.

    The file remembers the mode. While another connection uses the database, or if it is not
    writable, the switch is left to the next call.
    """
    with suppress(StorageError), database.reading() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def run_revisions(
    to: str,
    tables: Tables,
    host: HostSchema | None,
    *,
    connection: sa.Connection | None = None,
    dialect: str | None = None,
    script: TextIO | None = None,
) -> None:
    """Run our revisions up or down *to* one, on a *connection* or into a *script*.

    Alembic's `context` and `op` are global to the process, and an `env.py` of the host may
    be using them in this thread or another. So neither is used here.
    """
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext, RevisionStep
    from alembic.script import ScriptDirectory

    revisions = ScriptDirectory(str(_REVISIONS))

    def steps(current: Any, _: object) -> Iterable[RevisionStep]:
        plan = revisions._downgrade_revs if to == "base" else revisions._upgrade_revs
        return cast("Iterable[RevisionStep]", plan(to, current))

    context = MigrationContext.configure(
        connection,
        dialect_name=dialect,
        # A script has no parameters, so a % in a name must not be doubled.
        dialect_opts={"paramstyle": "named"},
        opts={
            "fn": steps,
            "script": revisions,
            "version_table": tables.version.name,
            "version_table_schema": tables.schema,
            # The caller has opened a transaction, or writes one into the script.
            "transactional_ddl": False,
            "as_sql": script is not None,
            "literal_binds": script is not None,
            "output_buffer": script,
            "starting_rev": HEAD if script is not None and to == "base" else None,
        },
    )
    with context.begin_transaction():
        context.run_migrations(op=Operations(context), tables=tables, with_reference=host is None)


def _repeat_while_locked(unit: Callable[[], _T]) -> _T:
    """Return what *unit* returns, repeating it while another connection holds a lock."""
    for _ in range(_TRIES):
        try:
            return unit()
        except StorageUnavailableError as error:
            if getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) != _LOCKED:
                raise
            # Long enough for the statements that queued behind ours to run.
            time.sleep(random.uniform(0.5, 1.0))
    return unit()


_LOCKED = "55P03"


def _lock_migrations(connection: sa.Connection, tables: Tables) -> None:
    """Lock these tables against other migrations until the transaction ends.

    SQLite has one writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        # The lock is the same whether a process names the schema or relies on the search path.
        is_bare = sa.func.current_schema() == sa.literal(tables.schema, sa.Text)
        name = sa.case(
            (is_bare, f".{tables.prefix}"), else_=f"{tables.schema or ''}.{tables.prefix}"
        )
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(name))))


def _limit_lock_waits(connection: sa.Connection) -> sa.Connection:
    """Limit how long statements wait for locks: all later statements queue behind them."""
    if connection.dialect.name == "postgresql":
        milliseconds = int(_LOCK_SECONDS * 1000)
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {milliseconds}")
    return connection


def _refuse_other_tables(
    connection: sa.Connection, tables: Tables, host: HostSchema | None
) -> None:
    inspector = sa.inspect(connection)
    if tables.schema is not None and not inspector.has_schema(tables.schema):
        return
    there = {*inspector.get_table_names(tables.schema), *inspector.get_view_names(tables.schema)}
    if connection.dialect.name == "sqlite" and host is None:
        others = sorted(there)
    else:
        ours = {
            *tables.own.tables.values(),
            *(tables.reference.tables.values() if host is None else ()),
        }
        views = {name.rpartition(".")[2] for name in view_names(tables)}
        others = sorted(there & {*(table.name for table in ours), *views})
    if others:
        names = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
        advice = (
            "name a new file, or one that angle-reco made"
            if connection.dialect.name == "sqlite"
            else "choose another schema or prefix, or map your own tables with a HostSchema"
        )
        raise SchemaError(
            f"{connection.engine.url.database} holds other tables already ({names}): {advice}"
        )
