"""Connections to PostgreSQL that wait no longer than their time limit."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar
from weakref import WeakSet

import psycopg
import sqlalchemy as sa
from psycopg import generators, pq, sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import tuple_row
from sqlalchemy.exc import DBAPIError

from angle_reco.adapters.sql.core.url_options import prepare_threshold
from angle_reco.domain.errors import InvalidValueError

if TYPE_CHECKING:
    from psycopg.abc import PQGen

_SERVERS_SHARE = 0.9
"""The server's share of a deadline: it gives up first, which leaves the connection usable."""

_KEEPALIVES = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""Makes work without a time limit, such as an import, notice that the server is gone."""

_IDLE_SECONDS = 60

_T = TypeVar("_T")


class TooLateError(psycopg.OperationalError):
    """The server did not answer in time; the connection is closed."""

    sqlstate = "57014"  # as when the server itself gives up


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that closes when its time is up and the server has not answered.

    The server's timeout ends a slow statement, but not the wait for a server that has become
    unreachable. *ends_at* limits every exchange on the connection, commit and rollback
    included, until the pool hands the connection out again.
    """

    ends_at: float | None = None

    limits_statements = False
    """Whether the server limits each statement since the connection was opened."""

    _open: ClassVar["WeakSet[BoundedConnection]"] = WeakSet()
    _opening: ClassVar["set[pq.abc.PGconn]"] = set()

    @classmethod
    def connect_within(cls, seconds: float, conninfo: str = "", **options: Any) -> Self:
        """Return a new connection, with options as `psycopg.connect` takes them.

        psycopg's connect_timeout counts in whole seconds, two at least. The options
        autocommit, context, row_factory and cursor_factory are ignored.
        """
        ends_at = monotonic() + min(seconds, _seconds_given(options.pop("connect_timeout", None)))
        threshold = options.pop("prepare_threshold", 5)
        for name in ("autocommit", "context", "row_factory", "cursor_factory"):
            options.pop(name, None)
        pgconn = pq.PGconn.connect_start(make_conninfo(conninfo, **options).encode())
        # The socket exists, so that a child forked from here on inherits it.
        cls._opening.add(pgconn)
        try:
            _finish_connecting(pgconn, ends_at)
            pgconn.nonblocking = 1
            connection = cls(pgconn)
            cls._open.add(connection)
        finally:
            cls._opening.discard(pgconn)
        # Also limits the queries that SQLAlchemy sends on the first connection.
        connection.ends_at = ends_at
        connection.prepare_threshold = threshold
        connection.limits_statements = "statement_timeout=" in str(options.get("options", ""))
        return connection

    @classmethod
    def leave_all(cls) -> None:
        """Close all connections in a forked child, without sending anything to the server."""
        with Path(os.devnull).open("r+b", buffering=0) as nowhere:
            for pgconn in {*cls._opening, *(connection.pgconn for connection in cls._open)}:
                if pgconn.status != pq.ConnStatus.BAD:
                    os.dup2(nowhere.fileno(), pgconn.socket)
                    pgconn.finish()
        cls._opening.clear()

    def wait(self, gen: "PQGen[_T]", *args: Any, **kwargs: Any) -> _T:
        """Wait for the server until *ends_at*."""
        if self.ends_at is None:
            return super().wait(gen, *args, **kwargs)
        return super().wait(self._in_time(gen, self.ends_at), *args, **kwargs)

    def _in_time(self, gen: "PQGen[_T]", ends_at: float) -> "PQGen[_T]":
        try:
            asked = next(gen)
            while True:
                # psycopg resumes the generator every tenth of a second, even without data.
                ready = yield asked
                if monotonic() > ends_at:
                    self.pgconn.finish()
                    raise TooLateError("the server did not answer in time")
                asked = gen.send(ready)
        except StopIteration as end:
            result: _T = end.value
            return result


def _finish_connecting(pgconn: "pq.abc.PGconn", ends_at: float) -> None:
    """Wait until a connection that is being opened is usable.

    Raises:
        psycopg.OperationalError: The server refused the connection.
        TooLateError: The server did not answer in time.
    """
    while True:
        match (
            pgconn.connect_poll() if pgconn.status != pq.ConnStatus.BAD else pq.PollingStatus.FAILED
        ):
            case pq.PollingStatus.OK:
                return
            case pq.PollingStatus.FAILED:
                reason = pgconn.get_error_message()
                pgconn.finish()
                raise psycopg.OperationalError(f"connection failed: {reason}")
            case status:
                is_reading = status == pq.PollingStatus.READING
                with DefaultSelector() as selector:
                    selector.register(pgconn.socket, EVENT_READ if is_reading else EVENT_WRITE)
                    ready = selector.select(max(ends_at - monotonic(), 0))
                if not ready:
                    pgconn.finish()
                    raise TooLateError("connection failed: the server did not answer in time")


def _seconds_given(connect_timeout: object) -> float:
    """Return the limit that libpq's option connect_timeout sets; 0 sets none."""
    text = str(connect_timeout or 0)
    return int(text) or inf if text.isascii() and text.isdecimal() else inf


def connect_options(url: sa.URL, seconds: float, *, pooler: bool = False) -> dict[str, Any]:
    """Return options for connections whose statements take at most *seconds*.

    Start-up options of the URL come after the library's and so take precedence. Behind a
    *pooler*, and with an empty `options=` in the URL, no start-up options are sent: each
    transaction sets what it needs.
    """
    usual: dict[str, Any] = {"application_name": "angle_reco", "client_encoding": "utf8"}
    usual |= _KEEPALIVES
    options = {name: value for name, value in usual.items() if name not in url.query}
    of_url = url.query.get("options")
    if pooler or of_url == "":
        # Empty rather than absent: libpq would use PGOPTIONS.
        options["options"] = ""
    else:
        milliseconds = _milliseconds(seconds)
        # Bounds how long a process that is suspended within a transaction holds its locks.
        ours = (
            f"-c statement_timeout={milliseconds} -c timezone=UTC"
            f" -c idle_in_transaction_session_timeout={_IDLE_SECONDS * 1000}"
        )
        options["options"] = f"{ours} {of_url or ''}".rstrip()
    if pooler or "prepare_threshold" in url.query:
        options["prepare_threshold"] = prepare_threshold(url)
    return options


@contextmanager
def driver_of(connection: sa.Connection) -> Iterator["psycopg.Connection[Any]"]:
    """Yield psycopg's connection behind one of SQLAlchemy, whose errors replace psycopg's."""
    raw = connection.connection.dbapi_connection
    if not isinstance(raw, psycopg.Connection):
        raise TypeError(f"not a connection of psycopg: {type(raw).__name__}")
    try:
        if raw.info.encoding != "utf-8":
            # Binary rows use the client encoding, which defaults to the database's.
            raw.execute("SET LOCAL client_encoding TO 'UTF8'")
        yield raw
    except psycopg.Error as error:
        if raw.closed:
            # Makes SQLAlchemy detect the loss, and suspect the other connections of the pool.
            with suppress(DBAPIError):
                connection.exec_driver_sql("SELECT 1")
        wrapped = DBAPIError.instance(
            "COPY", None, error, psycopg.Error, connection_invalidated=raw.closed
        )
        raise wrapped from error


def results_of(raw: "psycopg.Connection[Any]", text: bytes) -> "list[pq.abc.PGresult]":
    """Send statements in one text without parameters, and return the result of each.

    A cursor of psycopg takes longer over a small statement than the server does, and begins a
    transaction if none has started. This function does not.

    Raises:
        psycopg.Error: A statement failed; the statements after it were not executed.
    """
    with raw.lock:
        raw.pgconn.send_query(text)
        results: list[pq.abc.PGresult] = raw.wait(generators.execute(raw.pgconn))
    for result in results:
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result, raw.info.encoding)
    return results


@contextmanager
def closed_if_unfinished(connection: sa.Connection) -> Iterator[None]:
    """Invalidate a connection that an error leaves in the middle of a statement.

    After an interruption, or if rows were not read to the end, the connection is unusable, and
    a rollback on it would fail, too.
    """
    try:
        yield
    except BaseException as error:
        raw = None if connection.invalidated else connection.connection.dbapi_connection
        if isinstance(raw, psycopg.Connection) and (
            raw.info.transaction_status == pq.TransactionStatus.ACTIVE
        ):
            connection.invalidate(error)
        raise


def prepare(raw: Any, seconds: float, *, pooler: bool = False) -> None:
    """Set up a connection that a host's engine made like those of `open_engine`.

    A transaction that a listener of the host has started is committed, to preserve its
    settings, or rolled back if it has failed. Behind a *pooler* no setting persists, so each
    transaction sets what it needs.

    Raises:
        InvalidValueError: The connection is not one of psycopg 3.
    """
    if not isinstance(raw, psycopg.Connection):
        kind = f"{type(raw).__module__}.{type(raw).__name__}"
        raise InvalidValueError("engine", f"one that connects with {kind}", "one of psycopg 3")
    raw.rollback() if raw.info.transaction_status == pq.TransactionStatus.INERROR else raw.commit()
    raw.row_factory, raw.cursor_factory = tuple_row, psycopg.Cursor
    raw.read_only = raw.deferrable = None
    raw.autocommit = True
    is_session = not pooler and _set_for_session(raw, seconds)
    # Also resets the mark that a statement timeout in the host's options has set.
    raw.limits_statements = is_session  # type: ignore[attr-defined]  # set by this module
    if not is_session:
        raw.prepare_threshold = None
    # SQLAlchemy does the same next, when it sets the isolation level.
    raw.autocommit = False
    if not isinstance(raw, BoundedConnection):
        _watch_network(raw)


def _set_for_session(raw: "psycopg.Connection[Any]", seconds: float) -> bool:
    """Set what the library's statements need for the session; return False behind a pooler.

    A pooler reports another backend process than the one that executes the statement. Settings
    of that session would affect the pooler's next client.
    """
    settings = _SESSION | {"statement_timeout": str(_milliseconds(seconds))}
    values = sql.SQL(", ").join(
        sql.SQL("({}, {})").format(name, value) for name, value in settings.items()
    )
    query = sql.SQL(
        "SELECT set_config(name, value, false) FROM (VALUES {}) AS ours (name, value)"
        " WHERE pg_backend_pid() = {}"
    ).format(values, raw.info.backend_pid)
    return bool(psycopg.ClientCursor(raw).execute(query).fetchall())


def _milliseconds(seconds: float) -> int:
    return max(int(seconds * _SERVERS_SHARE * 1000), 1)


_SESSION = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO",
    "TimeZone": "UTC",
    "default_transaction_read_only": "off",
    "idle_in_transaction_session_timeout": str(_IDLE_SECONDS * 1000),
}


def _watch_network(raw: "psycopg.Connection[Any]") -> None:
    """Make the operating system give up on a server that stops acknowledging data."""
    with socket.socket(fileno=os.dup(raw.fileno())) as opened:
        if opened.family in (socket.AF_INET, socket.AF_INET6) and hasattr(
            socket, "TCP_USER_TIMEOUT"
        ):
            milliseconds = _KEEPALIVES["tcp_user_timeout"]
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def limit_time(connection: sa.Connection, seconds: float, *, is_call: bool) -> None:
    """Limit the statements on a connection to *seconds*, until it returns to the pool.

    If the server limits the connection's statements since it was opened, a call (*is_call*)
    needs no further setting.
    """
    raw = connection.connection.dbapi_connection
    if isinstance(raw, BoundedConnection):
        raw.ends_at = monotonic() + seconds
    if not (is_call and limits_statements(connection)):
        # Equals SET LOCAL, but several of those could not be prepared as one statement.
        connection.exec_driver_sql(
            "SELECT set_config('statement_timeout', %s, true),"
            " set_config('idle_in_transaction_session_timeout', %s, true),"
            " set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO', true)",
            (str(_milliseconds(seconds)), str(_IDLE_SECONDS * 1000)),
        )


def limits_statements(connection: sa.Connection) -> bool:
    """Return whether the server limits a connection's statements since it was opened."""
    return getattr(connection.connection.dbapi_connection, "limits_statements", False)
