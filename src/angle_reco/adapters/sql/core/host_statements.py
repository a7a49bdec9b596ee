"""Executes the library's statements on connections of the host, within its transaction.

The driver reports the state of the transaction. If one has started, the statement runs within
a savepoint, on SQLite as one atomic statement. If none has, the driver begins it, as for any
statement of the host; with autocommit, the statement commits. Nothing here commits or
rolls back a transaction that it has not started.
"""

import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID, uuid4
from weakref import WeakKeyDictionary

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg2
from sqlalchemy.exc import DBAPIError

from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.errors import translated
from angle_reco.adapters.sql.core.host_connection import (
    FAILED,
    IDLE,
    Driver,
    driver_of,
    is_bare,
    open_connection,
    transaction_status,
)
from angle_reco.domain.errors import HostTransactionLostError
from angle_reco.ports.deadlines import time_left

_AS_WRITTEN: Mapping[str, Any] = {
    "schema_translate_map": {},
    "stream_results": False,
    "yield_per": None,
    "preserve_rowcount": True,
}
"""Overrides execution options that the host may have set on its connection."""

# A random name, which no savepoint of the host has.
_NAME = f"angle_reco_{uuid4().hex}"
_SAVEPOINT = f"SAVEPOINT {_NAME}"
_RELEASE = f"RELEASE SAVEPOINT {_NAME}"
_ROLLBACK_TO = f"ROLLBACK TO SAVEPOINT {_NAME}"
_AS_ONE = f"{_SAVEPOINT}; %b; {_RELEASE}".encode()

Statement = sa.Insert | sa.Update | sa.Delete


@attrs.frozen
class Executed:
    """The row count of a statement, and the number of its last row.

    *number* is the first value that the statement returns, on SQLite the rowid. *within* is the
    driver's connection while the host's transaction is open, None if the statement committed.
    """

    rows: int
    number: int | None = None
    within: object = None


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
            return _on_psycopg(opened.raw, statement, values)
        if driver is Driver.SQLITE3:
            return _on_sqlite3(opened.raw, statement, values)
        if opened.alchemy is None or driver is Driver.PSYCOPG2:
            return _on_psycopg2(opened.raw, statement, values)
        return _on_alchemy(opened.alchemy, statement, values)
    except DBAPIError as error:
        raise translated(error) from error


def _on_sqlite3(raw: Any, statement: Statement, values: Mapping[str, Any]) -> Executed:
    # Needs no savepoint: SQLite undoes a single statement that fails.
    written, was_in_transaction = _Written.of(statement, _SQLITE3), raw.in_transaction
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


def _on_psycopg(raw: Any, statement: Statement, values: Mapping[str, Any]) -> Executed:
    import psycopg

    from angle_reco.adapters.sql.core.postgres import results_of

    # The parameters are quoted into the text, so that one round trip without a cursor is
    # enough: the connection's cursor class may expect other parameters, and a cursor costs a
    # tenth of a statement. A value that cannot be quoted fails here, before anything is sent.
    text = _Written.of(statement, _PSYCOPG).with_literals(values, psycopg.adapt.Transformer(raw))

    def execute(text: str) -> object:
        return results_of(raw, text.encode())

    with _Savepoint.on(raw, execute, psycopg.Error) as savepoint:
        if savepoint.is_bare:
            return Executed(results_of(raw, text)[0].command_tuples or 0)
        if savepoint.was_idle:
            psycopg.ClientCursor(raw).execute("")  # Makes the driver begin a transaction.
        if not text.isascii():
            # The server may refuse the whole text for a character that its encoding lacks.
            execute(_SAVEPOINT)
            savepoint.is_set = True
            [result, _] = results_of(raw, b"%b; %b" % (text, _RELEASE.encode()))
        else:
            [_, result, _] = results_of(raw, _AS_ONE % text)
        rows = result.command_tuples or 0
        number = result.get_value(rows - 1, 0) if rows and result.nfields else None
        return Executed(rows, None if number is None else int(number), raw)


def _on_psycopg2(raw: Any, statement: Statement, values: Mapping[str, Any]) -> Executed:
    driver = sys.modules["psycopg2"]
    written = _Written.of(statement, _PSYCOPG)
    sent = {name: _plain(value) for name, value in written.sent(values).items()}
    cursor = driver.extensions.cursor(raw)
    text = cursor.mogrify(written.text, sent)
    with _Savepoint.on(raw, cursor.execute, driver.Error) as savepoint:
        if savepoint.is_bare:
            cursor.execute(text)
            return Executed(int(cursor.rowcount))
        cursor.execute(_SAVEPOINT)
        savepoint.is_set = True
        cursor.execute(text)
        done = Executed(
            int(cursor.rowcount), _number_of(cursor.fetchall() if cursor.description else ()), raw
        )
        cursor.execute(_RELEASE)
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
    with _Savepoint.on(raw, connection.exec_driver_sql, DBAPIError) as savepoint:
        if savepoint.is_bare:
            return _executed(connection, statement, values)
        connection.exec_driver_sql(_SAVEPOINT)
        savepoint.is_set = True
        done = _executed(connection, statement, values)
        connection.exec_driver_sql(_RELEASE)
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


@attrs.define
class _Savepoint:
    """Undoes a failed statement on PostgreSQL, which would refuse all further statements."""

    raw: Any
    execute: Callable[[str], object]
    errors: type[Exception]
    was_idle: bool
    is_bare: bool
    is_set: bool = False
    """Whether the savepoint exists for certain; unknown if one text sets it and fails."""

    @classmethod
    def on(
        cls, raw: Any, execute: Callable[[str], object], errors: type[Exception]
    ) -> "_Savepoint":
        status = transaction_status(raw)
        return cls(raw, execute, errors, status == IDLE, is_bare(raw, status))

    def __enter__(self) -> "_Savepoint":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        # The server rolls back the transaction of a lost connection.
        with suppress(self.errors, DBAPIError):
            if self.was_idle and not self.is_bare:
                self.raw.rollback()  # The driver began it for this statement alone.
            elif not self.is_bare and (self.is_set or transaction_status(self.raw) == FAILED):
                self.execute(_ROLLBACK_TO)
                self.execute(_RELEASE)
        if isinstance(error, self.errors) and not isinstance(error, DBAPIError):
            # Leaves out the statement's values, which may be personal data.
            raise DBAPIError.instance(_SAVEPOINT, None, error, self.errors) from error


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


@attrs.frozen
class _Written:
    """A statement compiled for a driver: its text, its parameters and their conversions."""

    text: str
    values: Mapping[str, Any]
    processes: Mapping[str, tuple[str, Callable[[Any], Any] | None]]
    """Maps the name of each parameter to its name in the text and its conversion, if any."""

    @classmethod
    def of(cls, statement: Statement, dialect: sa.Dialect) -> "_Written":
        """Return a statement compiled for a driver, from a cache by statement object."""
        known = _written.setdefault(statement, {})
        if (found := known.get(dialect.driver)) is None:
            compiled: Any = statement.compile(dialect=dialect)
            in_text = compiled.escaped_bind_names or {}
            processes = {
                name: (
                    in_text.get(name, name),
                    bind.type.dialect_impl(dialect).bind_processor(dialect),
                )
                for name, bind in compiled.binds.items()
            }
            found = cls(str(compiled), compiled.params, processes)
            known[dialect.driver] = found
        return found

    def sent(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters converted by their types, as SQLAlchemy passes them on."""
        sent = {}
        for name, value in {**self.values, **values}.items():
            in_text, process = self.processes[name]
            sent[in_text] = value if process is None else process(value)
        return sent

    def with_literals(self, values: Mapping[str, Any], transformer: Any) -> bytes:
        """Return the text with the parameters quoted into it by psycopg."""
        encoding, literal = transformer.encoding, transformer.as_literal
        sent = {
            name: "NULL" if value is None else bytes(literal(value)).decode(encoding)
            for name, value in self.sent(values).items()
        }
        return (self.text % sent).encode(encoding)


_written: "WeakKeyDictionary[Statement, dict[str, _Written]]" = WeakKeyDictionary()


def _plain(value: Any) -> Any:
    """Return a value for psycopg2, which adapts UUIDs only after registration."""
    return str(value) if isinstance(value, UUID) else value


_SQLITE3 = sqlite.dialect(paramstyle="named")
# Adds no casts to parameters: quoted into the text, `-1::bigint` would be `-(1::bigint)`.
_PSYCOPG = psycopg2.dialect()  # type: ignore[no-untyped-call]  # of SQLAlchemy
