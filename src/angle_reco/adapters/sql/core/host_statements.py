"""Statements of ours on connections of the host's: within its transaction, and leaving it whole.

The state of a transaction is the driver's. Where one has started, ours is one statement between
savepoints; where none has, the driver begins it as for any statement of the host's; where each
statement commits, ours does too. Nothing here commits or rolls back what it has not started.
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
"""Whatever the host has set on its connection for its queries."""

# No savepoint of the host's has this name.
_NAME = f"angle_reco_{uuid4().hex}"
_SAVEPOINT = f"SAVEPOINT {_NAME}"
_RELEASE = f"RELEASE SAVEPOINT {_NAME}"
_TAKE_BACK = f"ROLLBACK TO SAVEPOINT {_NAME}"
_AS_ONE = f"{_SAVEPOINT}; %b; {_RELEASE}".encode()

Statement = sa.Insert | sa.Update | sa.Delete


@attrs.frozen
class Executed:
    """How many rows a statement met, and one number of the last of them.

    That is what the statement returns, on SQLite the number of the row. *within* is the
    driver's connection where the host's transaction goes on, None where all is committed.
    """

    rows: int
    number: int | None = None
    within: object = None


def execute_in(
    connection: object, database: Database, statement: Statement, values: Mapping[str, Any]
) -> Executed:
    """Execute a statement in the transaction of a host's connection.

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
    # One statement is whole or nothing by itself: SQLite takes back what failed of it.
    written, was_begun = _Written.of(statement, _SQLITE3), raw.in_transaction
    try:
        cursor = raw.cursor(sqlite3.Cursor)
        cursor.row_factory = None
        with _waiting_no_longer(cursor):
            cursor.execute(written.text, written.sent(values))
            within = raw if raw.in_transaction else None
            return Executed(int(cursor.rowcount), cursor.lastrowid, within)
    except sqlite3.Error as error:
        if was_begun and not raw.in_transaction:
            raise HostTransactionLostError from error
        if not was_begun and raw.in_transaction:
            raw.rollback()  # What the driver has started for our statement alone.
        raise DBAPIError.instance(written.text, None, error, sqlite3.Error) from error


def _on_psycopg(raw: Any, statement: Statement, values: Mapping[str, Any]) -> Executed:
    import psycopg

    from angle_reco.adapters.sql.core.postgres import results_of

    # Parameters are written into the text, so that all of it goes in one trip, and without a
    # cursor: the connection's own kind may take other parameters, and each costs a tenth of a
    # statement. What cannot be written fails here, where nothing has been sent.
    text = _Written.of(statement, _PSYCOPG).with_literals(values, psycopg.adapt.Transformer(raw))

    def say(text: str) -> object:
        return results_of(raw, text.encode())

    with _Savepoint.on(raw, say, psycopg.Error) as savepoint:
        if savepoint.is_bare:
            return Executed(results_of(raw, text)[0].command_tuples or 0)
        if savepoint.was_idle:
            psycopg.ClientCursor(raw).execute("")  # The driver begins a transaction in its own way.
        if not text.isascii():
            # The server may refuse all of a text for one character that it does not have.
            say(_SAVEPOINT)
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
    """Execute a statement on a driver that SQLAlchemy's asyncio hides."""
    raw = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        driver = connection.connection.driver_connection
        was_begun = bool(getattr(driver, "in_transaction", False))
        try:
            done = _executed(connection, statement, values)
            return attrs.evolve(
                done, within=driver if getattr(driver, "in_transaction", True) else None
            )
        except DBAPIError as error:
            if was_begun and not getattr(driver, "in_transaction", True):
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
    """Takes back what failed on PostgreSQL, which refuses all further statements otherwise."""

    raw: Any
    say: Callable[[str], object]
    errors: type[Exception]
    was_idle: bool
    is_bare: bool
    is_set: bool = False
    """Whether it is there for sure; within one text with others that is not known."""

    @classmethod
    def on(cls, raw: Any, say: Callable[[str], object], errors: type[Exception]) -> "_Savepoint":
        status = transaction_status(raw)
        return cls(raw, say, errors, status == IDLE, is_bare(raw, status))

    def __enter__(self) -> "_Savepoint":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        # A connection that is lost has taken everything back.
        with suppress(self.errors, DBAPIError):
            if self.was_idle and not self.is_bare:
                self.raw.rollback()  # What the driver has started for our statement alone.
            elif not self.is_bare and (self.is_set or transaction_status(self.raw) == FAILED):
                self.say(_TAKE_BACK)
                self.say(_RELEASE)
        if isinstance(error, self.errors) and not isinstance(error, DBAPIError):
            # Without the statement's values: they may be personal.
            raise DBAPIError.instance(_SAVEPOINT, None, error, self.errors) from error


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
    processes: Mapping[str, tuple[str, Callable[[Any], Any] | None]]
    """By the name of each parameter its name in the text, too."""

    @classmethod
    def of(cls, statement: Statement, dialect: sa.Dialect) -> "_Written":
        """Return a statement for a driver; a statement that is kept is written once."""
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
        """Return parameters as SQLAlchemy hands them to the driver, by their types."""
        sent = {}
        for name, value in {**self.values, **values}.items():
            in_text, process = self.processes[name]
            sent[in_text] = value if process is None else process(value)
        return sent

    def with_literals(self, values: Mapping[str, Any], transformer: Any) -> bytes:
        """Return the text with parameters as psycopg writes them into it."""
        encoding, literal = transformer.encoding, transformer.as_literal
        sent = {
            name: "NULL" if value is None else bytes(literal(value)).decode(encoding)
            for name, value in self.sent(values).items()
        }
        return (self.text % sent).encode(encoding)


_written: "WeakKeyDictionary[Statement, dict[str, _Written]]" = WeakKeyDictionary()


def _plain(value: Any) -> Any:
    """Return a value as psycopg2 takes it, which knows of UUIDs only when asked to."""
    return str(value) if isinstance(value, UUID) else value


_SQLITE3 = sqlite.dialect(paramstyle="named")
# Without casts behind its parameters: `-1::bigint` is `-(1::bigint)` where they are in the text.
_PSYCOPG = psycopg2.dialect()  # type: ignore[no-untyped-call]  # of SQLAlchemy
