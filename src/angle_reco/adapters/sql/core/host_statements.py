"""Executes the library's statements on connections of the host, within its transaction.

The driver reports the state of the transaction. If one has started, the statement runs within
a savepoint, on SQLite as one atomic statement. If none has, the driver begins it, as for any
statement of the host; with autocommit, the statement commits. Nothing here commits or
rolls back a transaction that it has not started.
"""

import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.errors import translated
from angle_reco.adapters.sql.core.host_connection import Driver, driver_of, open_connection
from angle_reco.adapters.sql.core.host_savepoint import RELEASE, SAVEPOINT, Executed, Savepoint
from angle_reco.adapters.sql.core.host_texts import PSYCOPG, SQLITE3, Statement, Written
from angle_reco.domain.errors import HostTransactionLostError
from angle_reco.ports.deadlines import time_left

_AS_WRITTEN: Mapping[str, Any] = {
    "schema_translate_map": {},
    "stream_results": False,
    "yield_per": None,
    "preserve_rowcount": True,
}
"""Overrides execution options that the host may have set on its connection."""


def execute_in(
    connection: object, database: Database, statement: Statement, values: Mapping[str, Any]
) -> Executed:
    """Execute a statement in the transaction of a host's connection.

    *connection* may be a `Connection`, `Session` or `scoped_session` of SQLAlchemy on any
    driver, a connection of psycopg 3, psycopg2 or sqlite3, or Django's. A failed statement
    leaves the transaction unchanged.

    Raises:
        InvalidValueError: *connection* is none of these, closed, of another database, or in a
            state in which it accepts no statement; nothing was sent on it.
        HostTransactionLostError: SQLite rolled the whole transaction back.
        StorageError: The database refused the statement.
    """
    opened = open_connection(connection, database)
    opened.begin()
    try:
        driver = driver_of(opened.raw)
        if driver is Driver.PSYCOPG:
            from angle_reco.adapters.sql.core.host_psycopg import execute_on_psycopg

            return execute_on_psycopg(opened.raw, statement, values)
        if driver is Driver.SQLITE3:
            return _on_sqlite3(opened.raw, statement, values)
        if opened.alchemy is None or driver is Driver.PSYCOPG2:
            return _on_psycopg2(opened.raw, statement, values)
        return _on_alchemy(opened.alchemy, statement, values)
    except DBAPIError as error:
        raise translated(error) from error


def _on_sqlite3(raw: Any, statement: Statement, values: Mapping[str, Any]) -> Executed:
    # Needs no savepoint: SQLite undoes a single statement that fails.
    written, was_in_transaction = Written.of(statement, SQLITE3), raw.in_transaction
    try:
        cursor = raw.cursor(sqlite3.Cursor)
        cursor.row_factory = None
        with _waiting_no_longer(cursor):
            cursor.execute(written.text, written.sent(values))
            within = raw if raw.in_transaction else None
            return Executed(int(cursor.rowcount), cursor.lastrowid, within)
    except sqlite3.Error as error:
        if was_in_transaction and not raw.in_transaction:
            raise HostTransactionLostError from error
        if not was_in_transaction and raw.in_transaction:
            raw.rollback()  # The driver began the transaction for this statement alone.
        raise DBAPIError.instance(written.text, None, error, sqlite3.Error) from error


def _on_psycopg2(raw: Any, statement: Statement, values: Mapping[str, Any]) -> Executed:
    driver = sys.modules["psycopg2"]
    written = Written.of(statement, PSYCOPG)
    sent = {name: _plain(value) for name, value in written.sent(values).items()}
    cursor = driver.extensions.cursor(raw)
    text = cursor.mogrify(written.text, sent)
    with Savepoint.on(raw, cursor.execute, driver.Error) as savepoint:
        if savepoint.is_bare:
            cursor.execute(text)
            return Executed(int(cursor.rowcount))
        cursor.execute(SAVEPOINT)
        savepoint.is_set = True
        cursor.execute(text)
        done = Executed(
            int(cursor.rowcount), _number_of(cursor.fetchall() if cursor.description else ()), raw
        )
        cursor.execute(RELEASE)
        return done


def _on_alchemy(
    connection: sa.Connection, statement: Statement, values: Mapping[str, Any]
) -> Executed:
    """Execute a statement on an asyncio driver, which SQLAlchemy wraps."""
    raw = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        driver = connection.connection.driver_connection
        was_in_transaction = bool(getattr(driver, "in_transaction", False))
        try:
            done = _executed(connection, statement, values)
            return attrs.evolve(
                done, within=driver if getattr(driver, "in_transaction", True) else None
            )
        except DBAPIError as error:
            if was_in_transaction and not getattr(driver, "in_transaction", True):
                raise HostTransactionLostError from error
            raise
    with Savepoint.on(raw, connection.exec_driver_sql, DBAPIError) as savepoint:
        if savepoint.is_bare:
            return _executed(connection, statement, values)
        connection.exec_driver_sql(SAVEPOINT)
        savepoint.is_set = True
        done = _executed(connection, statement, values)
        connection.exec_driver_sql(RELEASE)
        return attrs.evolve(done, within=connection.connection.driver_connection)


def _executed(
    connection: sa.Connection, statement: Statement, values: Mapping[str, Any]
) -> Executed:
    done = connection.execute(statement, values, execution_options=_AS_WRITTEN)
    rows, is_sqlite = done.rowcount, connection.dialect.name == "sqlite"
    number = done.lastrowid if is_sqlite else _number_of(done.all() if done.returns_rows else ())
    done.close()
    return Executed(rows, number)


def _number_of(returned: Sequence[Sequence[Any]]) -> int | None:
    return int(returned[-1][0]) if returned else None


@contextmanager
def _waiting_no_longer(cursor: sqlite3.Cursor) -> Iterator[None]:
    """Limit the wait for another writer of SQLite to the time that the call has left."""
    left = time_left()
    if left is None:
        yield
        return
    [(usual,)] = cursor.execute("PRAGMA busy_timeout").fetchall()
    cursor.execute(f"PRAGMA busy_timeout = {min(int(left * 1_000), usual)}")
    try:
        yield
    finally:
        cursor.execute(f"PRAGMA busy_timeout = {usual}")
        cursor.close()


def _plain(value: Any) -> Any:
    """Return a value for psycopg2, which adapts UUIDs only after registration."""
    return str(value) if isinstance(value, UUID) else value
