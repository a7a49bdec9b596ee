"""Statements of ours on connections of the host's: within its transaction, and leaving it whole.

The state of a transaction is the driver's. Where one has started, ours is one statement between
savepoints; where none has, the driver begins it as for any statement of the host's; where each
statement commits, ours does too. Nothing here commits or rolls back what it has not started.
"""

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg2
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from angle_reco.adapters.sql.database import Database
from angle_reco.adapters.sql.errors import translated
from angle_reco.domain import HostTransactionLostError, InvalidValueError, is_a
from angle_reco.ports import time_left

_AS_WRITTEN: Mapping[str, Any] = {
    "schema_translate_map": {},
    "stream_results": False,
    "yield_per": None,
    "preserve_rowcount": True,
}
"""Whatever the host has set on its connection, for queries of its own."""

_SAVEPOINT = "SAVEPOINT angle_reco"
_RELEASE = "RELEASE SAVEPOINT angle_reco"
_TAKE_BACK = "ROLLBACK TO SAVEPOINT angle_reco"

Statement = sa.Insert | sa.Update | sa.Delete


@attrs.frozen
class HostConnection:
    """An open connection of the host's: of SQLAlchemy if there is one, and of the driver."""

    alchemy: sa.Connection | None
    raw: Any

    def begin(self) -> None:
        """Begin what SQLAlchemy begins at any statement, so that the host's commit ends it."""
        if self.alchemy is not None and not self.alchemy.in_transaction():
            self.alchemy.begin()


def execute_in(
    connection: object, database: Database, statement: Statement, values: Mapping[str, Any]
) -> int:
    """Execute a statement in the transaction of a host's connection; return how many rows it met.

    The connection may be a `Connection`, `Session` or `scoped_session` of SQLAlchemy on any
    driver, a connection of psycopg 3, psycopg2 or sqlite3, or Django's. What fails leaves the
    transaction as it was.

    Raises:
        InvalidValueError: It is none of these, closed, of another database, or in a state in
            which it takes no statement; nothing was sent on it.
        HostTransactionLostError: SQLite rolled the whole transaction back.
        StorageError: The database refused the statement.
    """
    opened = open_connection(connection, database)
    opened.begin()
    try:
        if isinstance(opened.raw, sqlite3.Connection):
            return _on_sqlite3(opened.raw, statement, values)
        if is_of("psycopg", "Connection", opened.raw):
            return _on_psycopg(opened.raw, statement, values)
        if opened.alchemy is None or is_of("psycopg2.extensions", "connection", opened.raw):
            return _on_psycopg2(opened.raw, statement, values)
        return _on_alchemy(opened.alchemy, statement, values)
    except DBAPIError as error:
        raise translated(error) from error


def open_connection(connection: object, database: Database) -> HostConnection:
    """Return what a host's connection is, once it is sure that it can be used.

    Raises:
        InvalidValueError: It cannot.
    """
    opened = opened_connection(connection)
    if opened is None or not _is_on(opened, database):
        what = type(connection).__name__ if opened is None else "one of another database"
        # Not the connection: that may show a password.
        raise InvalidValueError("connection", what, _expected(database))
    if (reason := _reason_to_refuse(opened.raw)) is not None:
        raise InvalidValueError("connection", reason, "one that takes a statement now")
    return opened


def is_of(module: str, name: str, value: object) -> bool:
    """Return whether a value is of a class, without importing what the host has not."""
    # By the class, and not as `isinstance` asks: a proxy's answer may do anything.
    return _is_subclass(module, name, type(value))  # type: ignore[arg-type]  # classes have hashes


@lru_cache(256)  # Hosts have few classes of connections; each event asks several times.
def _is_subclass(module: str, name: str, one: type) -> bool:
    found = getattr(sys.modules.get(module), name, None)
    return found is not None and issubclass(one, found)


def opened_connection(connection: object) -> HostConnection | None:
    """Return what a host's connection is, None where it is none or closed."""
    if is_of("sqlalchemy.orm", "Session", connection) or is_of(
        "sqlalchemy.orm", "scoped_session", connection
    ):
        try:
            connection = connection.connection()  # type: ignore[attr-defined]  # of a session
        except SQLAlchemyError:
            return None
    if is_a(connection, sa.Connection):
        if connection.closed or connection.invalidated:
            return None
        return HostConnection(connection, connection.connection.dbapi_connection)
    if is_of("django.db.backends.base.base", "BaseDatabaseWrapper", connection) or is_of(
        "django.utils.connection", "ConnectionProxy", connection
    ):
        connection.ensure_connection()  # type: ignore[attr-defined]  # of Django
        connection = connection.connection  # type: ignore[attr-defined]  # of Django
    return HostConnection(None, connection) if _is_open(connection) else None


def _is_open(raw: object) -> bool:
    if is_a(raw, sqlite3.Connection):
        try:
            raw.total_changes  # noqa: B018 — it fails where nothing else would work
        except sqlite3.ProgrammingError:
            return False
        return True
    is_served = is_of("psycopg", "Connection", raw) or is_of(
        "psycopg2.extensions", "connection", raw
    )
    return is_served and not raw.closed  # type: ignore[attr-defined]  # of both


def _reason_to_refuse(raw: Any) -> str | None:
    """Return in which state a connection is where it takes no statement in a transaction."""
    if is_of("psycopg", "Connection", raw):
        from psycopg.pq import PipelineStatus

        if raw.pgconn.pipeline_status != PipelineStatus.OFF:
            return "one in pipeline mode"
    status = _status(raw)
    if status == _ACTIVE:
        return "one in the middle of a statement"
    return "one whose transaction has failed" if status == _FAILED else None


_IDLE, _ACTIVE, _BEGUN, _FAILED = range(4)
"""The states of a transaction, as libpq numbers them."""


def _status(raw: Any) -> int:
    """Return the state of a transaction on PostgreSQL, -1 where the driver does not say."""
    if is_of("psycopg", "Connection", raw):
        return int(raw.pgconn.transaction_status)
    driver = getattr(raw, "driver_connection", raw)  # behind SQLAlchemy's asyncio
    if is_of("asyncpg", "Connection", driver):
        return _BEGUN if driver.is_in_transaction() else _IDLE
    return int(getattr(getattr(driver, "info", None), "transaction_status", -1))


def _is_bare(raw: Any) -> bool:
    """Return whether a statement on PostgreSQL commits by itself."""
    return bool(getattr(raw, "autocommit", False)) and _status(raw) == _IDLE


# One a driver.


def _on_sqlite3(raw: Any, statement: Statement, values: Mapping[str, Any]) -> int:
    # One statement is whole or nothing by itself: SQLite takes back what failed of it.
    written, was_begun = _Written.of(statement, _SQLITE3), raw.in_transaction
    cursor = raw.cursor(sqlite3.Cursor)
    cursor.row_factory = None
    with _waiting_no_longer(cursor):
        try:
            cursor.execute(written.text, written.sent(values))
            return int(cursor.rowcount)
        except sqlite3.Error as error:
            if was_begun and not raw.in_transaction:
                raise HostTransactionLostError from error
            if not was_begun and raw.in_transaction:
                raw.rollback()  # What the driver has started for our statement alone.
            raise DBAPIError.instance(written.text, None, error, sqlite3.Error) from error


def _on_psycopg(raw: Any, statement: Statement, values: Mapping[str, Any]) -> int:
    import psycopg

    from angle_reco.adapters.sql.postgres import results_of

    written, is_bare = _Written.of(statement, _PSYCOPG), _is_bare(raw)
    # Parameters are written into the text, so that all of it goes in one trip; the
    # connection's own kind of cursor may take other parameters.
    cursor = psycopg.ClientCursor(raw)
    with _taken_back(raw, cursor.execute, psycopg.Error):
        if not is_bare and _status(raw) == _IDLE:
            cursor.execute("")  # The driver begins a transaction in its own way.
        text = cursor.mogrify(written.text, written.sent(values))
        if is_bare:
            return results_of(raw, text)[0].command_tuples or 0
        return results_of(raw, f"{_SAVEPOINT}; {text}; {_RELEASE}")[1].command_tuples or 0


def _on_psycopg2(raw: Any, statement: Statement, values: Mapping[str, Any]) -> int:
    driver = sys.modules["psycopg2"]
    written, is_bare = _Written.of(statement, _PSYCOPG), _is_bare(raw)
    sent = {name: _plain(value) for name, value in written.sent(values).items()}
    cursor = driver.extensions.cursor(raw)
    with _taken_back(raw, cursor.execute, driver.Error):
        # It tells how many rows the last statement of a text met.
        cursor.execute(written.text if is_bare else f"{_SAVEPOINT}; {written.text}", sent)
        rows = cursor.rowcount
        if not is_bare:
            cursor.execute(_RELEASE)
        return int(rows)


def _on_alchemy(connection: sa.Connection, statement: Statement, values: Mapping[str, Any]) -> int:
    """Execute a statement on a driver that SQLAlchemy's asyncio hides."""
    raw = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        driver = connection.connection.driver_connection
        was_begun = bool(getattr(driver, "in_transaction", False))
        try:
            return _executed(connection, statement, values)
        except DBAPIError as error:
            if was_begun and not getattr(driver, "in_transaction", True):
                raise HostTransactionLostError from error
            raise
    if _is_bare(raw):
        return _executed(connection, statement, values)
    with _taken_back(raw, connection.exec_driver_sql, DBAPIError):
        connection.exec_driver_sql(_SAVEPOINT)
        rows = _executed(connection, statement, values)
        connection.exec_driver_sql(_RELEASE)
        return rows


def _executed(connection: sa.Connection, statement: Statement, values: Mapping[str, Any]) -> int:
    done = connection.execute(statement, values, execution_options=_AS_WRITTEN)
    rows = done.rowcount
    done.close()
    return rows


@contextmanager
def _taken_back(raw: Any, say: Callable[[str], object], errors: type[Exception]) -> Iterator[None]:
    """Take back what failed on PostgreSQL, which refuses all further statements otherwise."""
    was_idle, is_bare = _status(raw) == _IDLE, _is_bare(raw)
    try:
        yield
    except BaseException as error:
        # A connection that is lost has taken everything back.
        with suppress(errors, DBAPIError):
            if was_idle and not is_bare:
                raw.rollback()  # What the driver has started for our statement alone.
            elif not is_bare:
                say(_TAKE_BACK)
                say(_RELEASE)
        if isinstance(error, errors) and not isinstance(error, DBAPIError):
            # Without the statement's values: they may be personal.
            raise DBAPIError.instance(_SAVEPOINT, None, error, errors) from error
        raise


@contextmanager
def _waiting_no_longer(cursor: sqlite3.Cursor) -> Iterator[None]:
    """Wait for another writer to SQLite no longer than the call has time."""
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


@attrs.frozen
class _Written:
    """A statement as a driver takes it: its text, its parameters, and how they are converted."""

    text: str
    values: Mapping[str, Any]
    processes: Mapping[str, Callable[[Any], Any] | None]

    @classmethod
    def of(cls, statement: Statement, dialect: sa.Dialect) -> "_Written":
        """Return a statement for a driver; a statement that is kept is written once."""
        known = _written.setdefault(statement, {})
        if (found := known.get(dialect.driver)) is None:
            compiled: Any = statement.compile(dialect=dialect)
            processes = {
                name: bind.type.dialect_impl(dialect).bind_processor(dialect)
                for name, bind in compiled.binds.items()
            }
            found = cls(str(compiled), compiled.params, processes)
            known[dialect.driver] = found
        return found

    def sent(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters as SQLAlchemy hands them to the driver, by their types."""
        return {
            name: value if (process := self.processes[name]) is None else process(value)
            for name, value in {**self.values, **values}.items()
        }


_written: "WeakKeyDictionary[Statement, dict[str, _Written]]" = WeakKeyDictionary()


def _plain(value: Any) -> Any:
    """Return a value as psycopg2 takes it, which knows of UUIDs only when asked to."""
    return str(value) if isinstance(value, UUID) else value


# Which database a connection is of.


def _is_on(opened: HostConnection, database: Database) -> bool:
    if opened.alchemy is None:
        return _is_driver_on(opened.raw, database)
    connection = opened.alchemy
    ours, theirs = database.engine, connection.engine
    if theirs.pool is ours.pool:
        return True
    if theirs.dialect.name != ours.dialect.name:
        return False
    raw = connection.connection.dbapi_connection
    if isinstance(raw, sqlite3.Connection):
        return _file_of(raw) == _file(ours.url.database)
    if theirs.dialect.name == "sqlite":
        return _file(theirs.url.database) == _file(ours.url.database)
    return _is_same_name(theirs.url.database, database)


def _is_driver_on(raw: Any, database: Database) -> bool:
    if isinstance(raw, sqlite3.Connection):
        return not database.is_postgres and _file_of(raw) == _file(database.engine.url.database)
    return database.is_postgres and _is_same_name(raw.info.dbname, database)


def _is_same_name(name: str | None, database: Database) -> bool:
    # Not the server's: one has several names, and a pooler in front has others.
    ours = database.engine.url.database
    return ours is None or name is None or name == ours


def _file_of(connection: sqlite3.Connection) -> Path | None:
    cursor = connection.cursor(sqlite3.Cursor)
    # Whatever the host makes of rows and texts.
    cursor.row_factory = None
    names = {
        os.fsdecode(name): os.fsdecode(file or "")
        for _, name, file in cursor.execute("PRAGMA database_list")
    }
    return _file(names["main"])


def _file(name: str | None) -> Path | None:
    """Return which file it is, None in memory."""
    is_file = name and name != ":memory:"
    return (
        Path(name.removeprefix("file:").partition("?")[0]).resolve() if is_file and name else None
    )


def _expected(database: Database) -> str:
    if database.is_postgres:
        drivers = "Connection or Session of SQLAlchemy, connection of psycopg 3, psycopg2 or Django"
    else:
        drivers = "Connection or Session of SQLAlchemy, connection of sqlite3 or Django"
    return (
        f"an open {drivers}, of the database that the recommender is on (an AsyncConnection or"
        " AsyncSession goes to the events of reco.aio)"
    )


_SQLITE3 = sqlite.dialect(paramstyle="named")
# Without casts behind its parameters: `-1::bigint` is `-(1::bigint)` where they are in the text.
_PSYCOPG = psycopg2.dialect()  # type: ignore[no-untyped-call]  # of SQLAlchemy
