"""Engines and transactions; what a database refuses becomes an error of our own."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, TimeoutError
from sqlalchemy.pool import SingletonThreadPool

from angle_reco.domain import (
    InvalidValueError,
    SchemaError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)

BUSY_SECONDS = 30
"""How long a statement waits for another process that is writing."""


def open_engine(url: str) -> sa.Engine:
    """Return an engine for a database URL such as `sqlite:///shop.db`; nothing connects yet.

    Raises:
        InvalidValueError: It is no URL of a database that is supported.
    """
    expected = "a database URL such as sqlite:///shop.db"
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):  # the latter for ports that are no numbers
        # The text may hold a password, so the error does not repeat it.
        raise InvalidValueError("database", "no URL", expected) from None
    if (
        parsed.drivername not in ("sqlite", "sqlite+pysqlite")
        or parsed.host
        or not parsed.database
        or parsed.database == ":memory:"
        or parsed.query
    ):
        # What follows the question mark may hold a password too.
        what = parsed.set(query={}).render_as_string(hide_password=True)
        raise InvalidValueError(
            "database", what, f"{expected}: a file of SQLite, without a host or options"
        )
    return sa.create_engine(parsed, connect_args={"timeout": BUSY_SECONDS})


def check_engine(engine: sa.Engine) -> None:
    """Refuse an engine that cannot be served.

    Raises:
        InvalidValueError: It is not of SQLite, or gives each thread a database of its own.
    """
    if engine.dialect.name != "sqlite":
        raise InvalidValueError("engine", engine.dialect.name, "one of SQLite")
    if isinstance(engine.pool, SingletonThreadPool):
        raise InvalidValueError(
            "engine", "a database in memory", "one of a file, or with a StaticPool"
        )


def file_of(engine: sa.Engine) -> Path:
    """Return the file that an engine of `open_engine` keeps its data in."""
    return Path(engine.url.database or "")


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a connection for reading; what the database refuses is our own error."""
    try:
        with engine.connect() as connection:
            yield connection
    except (DBAPIError, TimeoutError) as error:
        raise translated(error) from error


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a transaction for writing: all of it is kept, or nothing."""
    try:
        with engine.begin() as connection:
            begin_writing(connection)
            yield connection
    except (DBAPIError, TimeoutError) as error:
        raise translated(error) from error


def begin_writing(connection: sa.Connection) -> None:
    """Take SQLite's lock for writers now, rather than fail when it is needed halfway.

    Python's driver begins transactions late, and never for tables; beginning it
    ourselves also makes changes of the schema part of it.
    """
    raw = connection.connection.dbapi_connection
    if isinstance(raw, sqlite3.Connection) and not raw.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def translated(error: DBAPIError | TimeoutError) -> StorageError:
    """Return the error of ours for what SQLite refused, by its code."""
    if isinstance(error, TimeoutError):
        return StorageUnavailableError("every connection to the database is in use")
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_FULL:
            return StorageFullError()
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return SchemaError(f"the file is no database of SQLite ({error.orig})")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return StorageError(f"the database cannot be written to ({error.orig})")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StorageUnavailableError(
                "the database is being written to by another process, and stayed so"
            )
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_IOERR:
            return StorageUnavailableError(f"the database cannot be opened ({error.orig})")
        case _:
            # The statement and its values stay out of the text: they may be personal.
            return StorageError(f"the database refused a statement ({error.orig})")
