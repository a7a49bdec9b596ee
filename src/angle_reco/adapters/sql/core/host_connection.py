"""The host's connections: the driver, the state and the database of each."""

import os
import sqlite3
import sys
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from angle_reco.adapters.sql.core.database import Database
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.type_checks import is_a


class Driver(Enum):
    """The supported drivers; each value is the module and the name of its connection class."""

    SQLITE3 = ("sqlite3", "Connection")
    PSYCOPG = ("psycopg", "Connection")
    PSYCOPG2 = ("psycopg2.extensions", "connection")
    ASYNCPG = ("asyncpg", "Connection")


@attrs.frozen
class HostConnection:
    """An open connection of the host: the driver's, and SQLAlchemy's if there is one."""

    alchemy: sa.Connection | None
    raw: Any

    @property
    def is_closed(self) -> bool:
        """Return whether it was closed since, or returned to a pool that may have reused it."""
        alchemy = self.alchemy
        was_given_back = alchemy is not None and (alchemy.closed or alchemy.invalidated)
        return was_given_back or not _is_open(self.raw)

    def begin(self) -> None:
        """Begin SQLAlchemy's transaction, as statements do, so that the host's commit ends it."""
        if self.alchemy is not None and not self.alchemy.in_transaction():
            self.alchemy.begin()


def open_connection(connection: object, database: Database) -> HostConnection:
    """Return a host's connection after checking that it can be used.

    Raises:
        InvalidValueError: It cannot be used.
    """
    opened = opened_connection(connection)
    if opened is None or not _is_on(opened, database):
        what = type(connection).__name__ if opened is None else "one of another database"
        # Not the connection itself: its repr may show a password.
        raise InvalidValueError("connection", what, _expected(database))
    if (reason := reason_to_refuse(opened.raw)) is not None:
        raise InvalidValueError("connection", *reason)
    return opened


@attrs.frozen
class _Class:
    """A class of connections: a driver's, or one that wraps a driver's."""

    driver: Driver | None
    is_session: bool
    is_of_django: bool


@lru_cache(256)  # Hosts have few such classes, and each event looks one up.
def _class_of(one: type) -> _Class:
    def is_any(*names: tuple[str, str]) -> bool:
        # Looks into sys.modules, to import nothing that the host does not use.
        found = [getattr(sys.modules.get(module), name, None) for module, name in names]
        return any(other is not None and issubclass(one, other) for other in found)

    return _Class(
        driver=next((driver for driver in Driver if is_any(driver.value)), None),
        is_session=is_any(("sqlalchemy.orm", "Session"), ("sqlalchemy.orm", "scoped_session")),
        is_of_django=is_any(
            ("django.db.backends.base.base", "BaseDatabaseWrapper"),
            ("django.utils.connection", "ConnectionProxy"),
        ),
    )


def driver_of(raw: object) -> Driver | None:
    """Return the driver of a connection, or None if it is unknown."""
    # By type() rather than `isinstance`: a proxy's __class__ may run any code.
    return _class_of(type(raw)).driver  # type: ignore[arg-type]  # classes have hashes


def opened_connection(connection: object) -> HostConnection | None:
    """Return a host's connection, or None if it is closed or not a connection."""
    found = _class_of(type(connection))  # type: ignore[arg-type]  # classes have hashes
    if found.is_session:
        try:
            connection = connection.connection()  # type: ignore[attr-defined]  # of a session
        except SQLAlchemyError:
            return None
    if is_a(connection, sa.Connection):
        if connection.closed or connection.invalidated:
            return None
        return HostConnection(connection, connection.connection.dbapi_connection)
    if is_a(connection, sa.PoolProxiedConnection):
        connection = connection.dbapi_connection
    if found.is_of_django:
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
    return driver_of(raw) in _KNOWN and not raw.closed  # type: ignore[attr-defined]  # of both


def reason_to_refuse(raw: Any) -> tuple[str, str] | None:
    """Return why a connection accepts no statement and what one would, or None if it does."""
    if driver_of(raw) is Driver.PSYCOPG:
        if raw.pgconn.pipeline_status != _PIPELINE_OFF:
            return "one in pipeline mode", "one that is not"
        if (getattr(raw, "_tpc", None) or (None, False))[1]:
            return "one whose two-phase transaction is prepared", "one that takes a statement now"
    elif getattr(raw, "async_", 0):
        return "an asynchronous one of psycopg2", "one that is not"
    status = transaction_status(raw)
    if status == ACTIVE:
        return "one in the middle of a statement", "one that takes a statement now"
    if status == FAILED:
        return "one whose transaction has failed", "one that was rolled back since"
    return None


IDLE, ACTIVE, IN_TRANSACTION, FAILED = range(4)
"""The states of a transaction, with the numbers of libpq."""

_PIPELINE_OFF = 0  # as libpq numbers it

_KNOWN = (Driver.PSYCOPG, Driver.SQLITE3, Driver.PSYCOPG2)


def transaction_status(raw: Any) -> int:
    """Return the state of a transaction on PostgreSQL, or -1 if the driver reports none."""
    if driver_of(raw) is Driver.PSYCOPG:
        return int(raw.pgconn.transaction_status)
    driver = getattr(raw, "driver_connection", raw)  # behind SQLAlchemy's asyncio
    if driver_of(driver) is Driver.ASYNCPG:
        return IN_TRANSACTION if driver.is_in_transaction() else IDLE
    return int(getattr(getattr(driver, "info", None), "transaction_status", -1))


# Checks that a connection is on the library's database.


def _is_on(opened: HostConnection, database: Database) -> bool:
    ours, theirs = database.engine, None if opened.alchemy is None else opened.alchemy.engine
    if theirs is not None and theirs.pool is ours.pool:
        return True
    if database.borrowed is not None:
        return opened.raw is database.borrowed.raw
    # The URL of an engine need not name the database that its connections reach.
    if theirs is None or driver_of(opened.raw) in _KNOWN:
        return _is_driver_on(opened.raw, database)
    if theirs.dialect.name != ours.dialect.name:
        return False
    if theirs.dialect.name == "sqlite":
        return _file(theirs.url.database) == _file(ours.url.database)
    return _is_same_name(theirs.url.database, database)


def _is_driver_on(raw: Any, database: Database) -> bool:
    if isinstance(raw, sqlite3.Connection):
        return not database.is_postgres and _file_of(raw) == _file(database.engine.url.database)
    # The information object of psycopg takes longer than all other checks.
    name = raw.pgconn.db.decode() if driver_of(raw) is Driver.PSYCOPG else raw.info.dbname
    return database.is_postgres and _is_same_name(name, database)


def _is_same_name(name: str | None, database: Database) -> bool:
    # Server names are not compared: a server has several, and a pooler has others.
    ours = database.engine.url.database
    return ours is None or name is None or name == ours


def _file_of(connection: sqlite3.Connection) -> Path | None:
    cursor = connection.cursor(sqlite3.Cursor)
    # Overrides the host's row and text factories.
    cursor.row_factory = None
    names = {
        os.fsdecode(name): os.fsdecode(file or "")
        for _, name, file in cursor.execute("PRAGMA database_list")
    }
    return _file(names["main"])


def _file(name: str | None) -> Path | None:
    """Return the path of a database file, or None for a database in memory."""
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
