"""Statements of ours in transactions of the host's."""

import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from angle_reco.adapters.sql.database import Database
from angle_reco.adapters.sql.errors import translated
from angle_reco.domain import InvalidValueError

_AS_WRITTEN: Mapping[str, Any] = {
    "schema_translate_map": {},
    "stream_results": False,
    "yield_per": None,
    "preserve_rowcount": True,
}
"""Whatever the host has set on its connection, for queries of its own."""


def execute_in(
    connection: object,
    database: Database,
    statement: sa.Insert | sa.Delete,
    values: Mapping[str, Any],
) -> int:
    """Execute a statement in the transaction of a host's connection, and leave that as it is.

    Return how many rows it changed. The connection may be a connection or a session of
    SQLAlchemy, or one of the driver. A statement that fails takes nothing of the host's with it.

    Raises:
        InvalidValueError: It is none of these, closed, or one of another database.
        StorageUnavailableError: The database did not answer.
    """
    opened = _of_session(connection)
    if isinstance(opened, sa.Connection) and not opened.closed:
        _require(_is_on(opened, database), database)
        try:
            with _savepoint(opened.connection.dbapi_connection):
                done = opened.execute(statement, values, execution_options=_AS_WRITTEN)
                rows = done.rowcount
                done.close()
                return rows
        except DBAPIError as error:
            raise translated(error) from error
    elif not database.is_postgres and _is_open_file(opened):
        _require(_file_of(opened) == _file(database.engine.url.database), database)
        # Of its own drivers SQLAlchemy names parameters otherwise than this one takes them.
        named = sqlite.dialect(paramstyle="named")
        return _execute(opened.cursor(), opened, statement, named, values, sqlite3.Error)
    elif database.is_postgres and _is_of_psycopg(opened) and not opened.closed:
        import psycopg

        _require(_is_same_name(opened.info.dbname, database), database)
        # Not by the connection's own kind of cursor, which may take other parameters.
        cursor, dialect = psycopg.Cursor(opened), database.engine.dialect
        return _execute(cursor, opened, statement, dialect, values, psycopg.Error)
    # Not the connection: that may show a password.
    raise InvalidValueError("connection", type(opened).__name__, _expected(database))


def _of_session(connection: object) -> Any:
    # Whoever has a session has imported it: we need not.
    orm = sys.modules.get("sqlalchemy.orm")
    if orm is None or not isinstance(connection, (orm.Session, orm.scoped_session)):
        return connection
    try:
        return connection.connection()
    except SQLAlchemyError:
        return connection


def _is_of_psycopg(connection: object) -> bool:
    psycopg = sys.modules.get("psycopg")
    return psycopg is not None and isinstance(connection, psycopg.Connection)


def _is_open_file(connection: object) -> bool:
    if not isinstance(connection, sqlite3.Connection):
        return False
    try:
        connection.total_changes  # noqa: B018 — it fails where nothing else would work
    except sqlite3.ProgrammingError:
        return False
    return True


def _is_on(connection: sa.Connection, database: Database) -> bool:
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


def _is_same_name(name: str | None, database: Database) -> bool:
    # Not the server's: one has several names, and a pooler in front has others.
    ours = database.engine.url.database
    return ours is None or name is None or name == ours


def _file_of(connection: sqlite3.Connection) -> Path | None:
    cursor = connection.cursor()
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


def _execute(
    cursor: Any,
    raw: Any,
    statement: sa.Insert | sa.Delete,
    dialect: sa.Dialect,
    values: Mapping[str, Any],
    errors: type[Exception],
) -> int:
    compiled = statement.compile(dialect=dialect)
    try:
        with _savepoint(raw):
            cursor.execute(str(compiled), _as_sent(compiled, values))
            rows: int = cursor.rowcount
            cursor.close()
    except DBAPIError as error:
        raise translated(error) from error
    except errors as error:
        raise translated(_wrapped(str(compiled), error, errors)) from error
    return rows


def _as_sent(compiled: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as SQLAlchemy hands them to the driver, by their types."""
    sent = dict[str, Any](compiled.construct_params(dict(values)))
    for name, value in sent.items():
        type_ = compiled.binds[name].type.dialect_impl(compiled.dialect)
        process = type_.bind_processor(compiled.dialect)
        sent[name] = value if process is None else process(value)
    return sent


def _wrapped(statement: str, error: Exception, errors: type[Exception]) -> Any:
    """Return an error of the driver as SQLAlchemy would say it, without the values."""
    return DBAPIError.instance(statement, None, error, errors)


@contextmanager
def _savepoint(raw: Any) -> Iterator[None]:
    """Keep a host's transaction, which PostgreSQL gives up after any statement that fails."""
    if not _is_of_psycopg(raw) or (raw.autocommit and _is_idle(raw)):
        yield
        return
    _say(raw, "SAVEPOINT angle_reco")
    try:
        yield
    except BaseException:
        if not raw.closed:
            _say(raw, "ROLLBACK TO SAVEPOINT angle_reco")
        raise
    _say(raw, "RELEASE SAVEPOINT angle_reco")


def _is_idle(raw: Any) -> bool:
    from psycopg.pq import TransactionStatus

    # In autocommit there may be a transaction all the same, which somebody has begun.
    return bool(raw.info.transaction_status == TransactionStatus.IDLE)


def _say(raw: Any, statement: str) -> None:
    import psycopg

    try:
        # Not by the connection's own kind of cursor, which may take other parameters.
        psycopg.Cursor(raw).execute(statement).close()
    except psycopg.Error as error:
        raise _wrapped(statement, error, psycopg.Error) from error


def _require(is_same: bool, database: Database) -> None:
    if not is_same:
        raise InvalidValueError("connection", "of another database", _expected(database))


def _expected(database: Database) -> str:
    driver = "psycopg" if database.is_postgres else "sqlite3"
    return (
        f"an open Connection or Session of SQLAlchemy, or Connection of {driver}, of the database"
        " that the recommender is on"
    )
