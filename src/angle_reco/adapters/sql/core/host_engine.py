"""The library's engine beside the host's: it connects in the same way, with a small pool.

A request of the host holds a connection of the host's pool. Taking a second one from that pool
within the request would deadlock the site once as many requests run as the pool has connections.
"""

import sqlite3
import sys
from contextvars import ContextVar
from datetime import timedelta
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from angle_reco.adapters.sql.core.engine import (
    BUSY_SECONDS,
    pooled_postgres,
    refuse_pooler,
    seconds_to_connect,
)
from angle_reco.adapters.sql.core.gate import close_at_fork
from angle_reco.adapters.sql.core.sqlite_functions import add_functions
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.type_checks import is_a

_SERVED = {("sqlite", "pysqlite"), ("postgresql", "psycopg")}
_EXPECTED = (
    "an engine of psycopg 3 or of a SQLite file. Beside an engine of another driver or an"
    " AsyncEngine use Recommender.connect(url): its events take the connections and sessions of"
    " yours, reco.aio those of an AsyncEngine. A connection goes to Recommender.from_connection"
)
_IN_MEMORY = (
    "an engine of a file; for a database in memory, one with poolclass=StaticPool, or"
    " Recommender.from_connection(connection)"
)

_connecting: ContextVar[float | None] = ContextVar("connecting", default=None)
"""The time limit for a connection that the library makes; None while the host makes one."""

_engines: "WeakValueDictionary[tuple[int, timedelta, bool], sa.Engine]" = WeakValueDictionary()
_lock = Lock()


def engine_beside(host: sa.Engine, deadline: timedelta, *, pooler: bool = False) -> sa.Engine:
    """Return the library's engine beside an engine of the host; nothing connects yet.

    The host's creator, URL, options and `do_connect` listeners make its connections, and the
    host's `connect` listeners receive them. Checkout listeners do not: their settings (a
    `search_path`, a role) belong to one request of the host. Recommenders on one engine share
    one pool. Behind a *pooler* of transactions, connections store no state in their sessions.

    Raises:
        InvalidValueError: The engine is not supported.
    """
    check_engine(host)
    if host.dialect.name == "sqlite":
        refuse_pooler(pooler)
    with _lock:
        # The library's engine references the host's, so the id() is not reused.
        key = id(host), deadline, pooler
        engine = _engines.get(key)
        if engine is None:
            engine = _engines[key] = _engine_beside(host, deadline, pooler=pooler)
        return engine


def check_engine(engine: object) -> None:
    """Refuse an engine that is not supported.

    Raises:
        InvalidValueError: It is asynchronous, of another database or driver, in memory
            without a StaticPool, or has a schema_translate_map.
    """
    if not is_a(engine, sa.Engine):
        # Compares the name, to avoid importing SQLAlchemy's asyncio extension.
        is_async = type(engine).__name__ == "AsyncEngine"
        what = f"an AsyncEngine of {_name(engine.sync_engine)}" if is_async else engine  # type: ignore[attr-defined]  # of an AsyncEngine
        raise InvalidValueError("engine", what, _EXPECTED)
    if engine.dialect.is_async or (engine.dialect.name, engine.dialect.driver) not in _SERVED:
        raise InvalidValueError("engine", _name(engine), _EXPECTED)
    if engine.get_execution_options().get("schema_translate_map"):
        # Bulk reads bypass the map, and would read from another schema.
        raise InvalidValueError(
            "engine", "one with a schema_translate_map", "one without: name schemas in the selects"
        )
    if is_in_memory(engine) and not isinstance(engine.pool, StaticPool):
        raise InvalidValueError("engine", "a database in memory", _IN_MEMORY)


def is_in_memory(engine: sa.Engine) -> bool:
    """Return whether an engine is of a SQLite database in memory, according to its URL."""
    if engine.dialect.name != "sqlite":
        return False
    name = engine.url.database or ":memory:"
    return ":memory:" in name or engine.url.query.get("mode") == "memory" or "mode=memory" in name


def _name(engine: sa.Engine) -> str:
    if engine.dialect.is_async and engine.dialect.driver == "psycopg":
        return f"{engine.dialect.name}+psycopg_async"
    return f"{engine.dialect.name}+{engine.dialect.driver}"


def _engine_beside(host: sa.Engine, deadline: timedelta, *, pooler: bool) -> sa.Engine:
    if not sa.event.contains(host, "do_connect", _connect):
        sa.event.listen(host, "do_connect", _connect)

    def connect(record: ConnectionPoolEntry) -> Any:
        token = _connecting.set(seconds_to_connect(deadline))
        try:
            # SQLAlchemy has no public API to make a connection outside of a pool.
            return host.pool._invoke_creator(record)
        finally:
            _connecting.reset(token)

    if host.dialect.name == "postgresql":
        # The host's creator applies the options of the URL already.
        engine = pooled_postgres(host.url.set(query={}), deadline, creator=connect)
    else:
        engine = sa.create_engine(host.url, creator=connect, hide_parameters=True)
        close_at_fork(engine)

    def set_up(raw: Any, record: ConnectionPoolEntry) -> None:
        # Listeners of all engines run for this pool anyway.
        of_all = {id(listener) for listener in engine.pool.dispatch.connect}
        for listener in host.pool.dispatch.connect:
            if id(listener) not in of_all:
                listener(raw, record)
        if host.dialect.name == "postgresql":
            _prepare_postgres(raw, deadline, pooler=pooler)
        else:
            _prepare_sqlite(raw)

    # First, before SQLAlchemy queries the server's properties on the first connection.
    sa.event.listen(engine, "connect", set_up, insert=True)
    return engine


def _connect(dialect: sa.Dialect, _: object, args: list[Any], options: dict[str, Any]) -> Any:
    """Make a connection for the library, with the options as the host's listeners left them."""
    seconds = _connecting.get()
    if seconds is None:
        return None
    if dialect.name == "sqlite":
        # Threads share the connections of a pool, one at a time.
        return dialect.connect(*args, **{**options, "check_same_thread": False})
    from angle_reco.adapters.sql.core.postgres import BoundedConnection

    return BoundedConnection.connect_within(seconds, *args, **options)


def _prepare_postgres(raw: Any, deadline: timedelta, *, pooler: bool) -> None:
    from angle_reco.adapters.sql.core.postgres import prepare

    prepare(raw, deadline.total_seconds(), pooler=pooler)


def _prepare_sqlite(raw: sqlite3.Connection) -> None:
    """Set up a connection like those of `open_engine`, overriding the host's listeners."""
    raw.row_factory, raw.text_factory, raw.isolation_level = None, str, "DEFERRED"
    if sys.version_info >= (3, 12):
        raw.autocommit = sqlite3.LEGACY_TRANSACTION_CONTROL
    files = {name: file for _, name, file in raw.execute("PRAGMA database_list")}
    if not files["main"]:
        raw.close()
        raise InvalidValueError("engine", "a database in memory", _IN_MEMORY)
    [(milliseconds,)] = raw.execute("PRAGMA busy_timeout")
    raw.execute(f"PRAGMA busy_timeout = {max(milliseconds, BUSY_SECONDS * 1_000)}")
    add_functions(raw)
