"""An engine of ours beside the host's: it connects as theirs does, and has its own small pool.

A request of the host's holds a connection of its pool. A second one of the same pool, taken
within that request, freezes the site as soon as as many requests run as the pool has room for.
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
"""The seconds that a connection of ours may take; None while the host makes one of its own."""

_engines: "WeakValueDictionary[tuple[int, timedelta, bool], sa.Engine]" = WeakValueDictionary()
_lock = Lock()


def engine_beside(host: sa.Engine, deadline: timedelta, *, pooler: bool = False) -> sa.Engine:
    """Return the engine of ours beside an engine of the host's; nothing connects yet.

    Its connections are made by the host's creator, URL, options and `do_connect` listeners,
    and the host's `connect` listeners see them. Checkout listeners do not: what they set
    (a `search_path`, a role) belongs to one request of the host's. All recommenders on one
    engine share one pool. Behind a *pooler* of transactions nothing is kept in a session.

    Raises:
        InvalidValueError: The engine cannot be served.
    """
    check_engine(host)
    if host.dialect.name == "sqlite":
        refuse_pooler(pooler)
    with _lock:
        # An engine of ours holds the host's, so that its number stays taken.
        key = id(host), deadline, pooler
        engine = _engines.get(key)
        if engine is None:
            engine = _engines[key] = _engine_beside(host, deadline, pooler=pooler)
        return engine


def check_engine(engine: object) -> None:
    """Refuse an engine that cannot be served.

    Raises:
        InvalidValueError: It is asynchronous, of another database or driver, in memory
            without being one shared connection, or translates schemas.
    """
    if not is_a(engine, sa.Engine):
        # Nothing of SQLAlchemy's asyncio need be imported to know one.
        is_async = type(engine).__name__ == "AsyncEngine"
        what = f"an AsyncEngine of {_name(engine.sync_engine)}" if is_async else engine  # type: ignore[attr-defined]  # of an AsyncEngine
        raise InvalidValueError("engine", what, _EXPECTED)
    if engine.dialect.is_async or (engine.dialect.name, engine.dialect.driver) not in _SERVED:
        raise InvalidValueError("engine", _name(engine), _EXPECTED)
    if engine.get_execution_options().get("schema_translate_map"):
        # Bulk reads do not go through it, and would read from another schema.
        raise InvalidValueError(
            "engine", "one with a schema_translate_map", "one without: name schemas in the selects"
        )
    if is_in_memory(engine) and not isinstance(engine.pool, StaticPool):
        raise InvalidValueError("engine", "a database in memory", _IN_MEMORY)


def is_in_memory(engine: sa.Engine) -> bool:
    """Return whether an engine of SQLite has no file, as far as its URL says."""
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
            # SQLAlchemy has no public way to make a connection apart from a pool.
            return host.pool._invoke_creator(record)
        finally:
            _connecting.reset(token)

    if host.dialect.name == "postgresql":
        # What the URL asks for besides is in the connections that its engine makes.
        engine = pooled_postgres(host.url.set(query={}), deadline, creator=connect)
    else:
        engine = sa.create_engine(host.url, creator=connect, hide_parameters=True)
        close_at_fork(engine)

    def set_up(raw: Any, record: ConnectionPoolEntry) -> None:
        # Listeners of all engines run for our pool anyway.
        of_all = {id(listener) for listener in engine.pool.dispatch.connect}
        for listener in host.pool.dispatch.connect:
            if id(listener) not in of_all:
                listener(raw, record)
        if host.dialect.name == "postgresql":
            _prepare_postgres(raw, deadline, pooler=pooler)
        else:
            _prepare_sqlite(raw)

    # Before SQLAlchemy asks the first connection what the server is like.
    sa.event.listen(engine, "connect", set_up, insert=True)
    return engine


def _connect(dialect: sa.Dialect, _: object, args: list[Any], options: dict[str, Any]) -> Any:
    """Make a connection of ours, with what the host's own listeners made of the options."""
    seconds = _connecting.get()
    if seconds is None:
        return None
    if dialect.name == "sqlite":
        # Threads take turns with the connections of a pool.
        return dialect.connect(*args, **{**options, "check_same_thread": False})
    from angle_reco.adapters.sql.core.postgres import BoundedConnection

    return BoundedConnection.connect_within(seconds, *args, **options)


def _prepare_postgres(raw: Any, deadline: timedelta, *, pooler: bool) -> None:
    from angle_reco.adapters.sql.core.postgres import prepare

    prepare(raw, deadline.total_seconds(), pooler=pooler)


def _prepare_sqlite(raw: sqlite3.Connection) -> None:
    """Have a connection work as those of `open_engine` do, whatever a listener has set."""
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
