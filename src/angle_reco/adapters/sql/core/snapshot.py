"""Read a database as of one moment, for as long as a block lasts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, TimeoutError

from angle_reco.adapters.sql.core.borrowing import borrow
from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.errors import translated
from angle_reco.adapters.sql.core.pool import PATIENCE


@contextmanager
def in_snapshot(database: Database) -> Iterator[Database]:
    """Yield a database on one connection whose statements all see the same rows.

    On PostgreSQL they are in a read-only transaction at REPEATABLE READ, on SQLite in one read
    transaction. It ends with the block, and so does its cost to others: PostgreSQL keeps dead
    rows until then, and SQLite without a write-ahead log lets no other connection commit.

    Raises:
        StorageUnavailableError: The database did not answer.
    """
    try:
        with database.connected() as connection, _snapshot(connection, database) as on_it:
            yield on_it
    except (DBAPIError, TimeoutError) as error:
        raise translated(error) from error


@contextmanager
def _snapshot(connection: sa.Connection, database: Database) -> Iterator[Database]:
    begin, end = (_begin_postgres, None) if database.is_postgres else (_begin_sqlite, _end_sqlite)
    begin(connection, database)
    try:
        borrowed = borrow(connection)
        yield attrs.evolve(database, engine=borrowed.engine, borrowed=borrowed)
    finally:
        connection.rollback()
        if end is not None:
            end(connection)


def _begin_postgres(connection: sa.Connection, database: Database) -> None:
    connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    patience = database.deadline.total_seconds() * PATIENCE
    # The snapshot is idle in its transaction while rankings are computed.
    connection.exec_driver_sql(
        "SELECT set_config('statement_timeout', %s, true),"
        " set_config('idle_in_transaction_session_timeout', '0', true),"
        " set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO', true)",
        (str(int(patience * 1000)),),
    )


def _begin_sqlite(connection: sa.Connection, _: Database) -> None:
    raw: Any = connection.connection.dbapi_connection
    raw.execute("PRAGMA query_only = ON")
    raw.execute("BEGIN")
    # The snapshot is taken by the first statement that reads.
    raw.execute("SELECT count(*) FROM sqlite_master").fetchall()


def _end_sqlite(connection: sa.Connection) -> None:
    raw: Any = connection.connection.dbapi_connection
    raw.rollback()
    raw.execute("PRAGMA query_only = OFF")
