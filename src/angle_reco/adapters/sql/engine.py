"""Engines: those of our own, and which of a host's can be served."""

import logging
import os
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import SingletonThreadPool

from angle_reco.adapters.sql.pool import FairPool
from angle_reco.domain import InvalidValueError, instance, is_a, plain
from angle_reco.ports import time_left

BUSY_SECONDS = 30
"""How long a statement waits for another process that is writing to SQLite."""

_TO_CONNECT = 5
"""How many times the deadline making a connection may take outside of calls."""

_POOL_SIZE = 5
_LONGEST_URL = 4_096
_READ_ONLY = "25006"
_SQLITE = ("sqlite", "sqlite+pysqlite")
_POSTGRES = ("postgresql", "postgresql+psycopg")
_EXPECTED = "a database URL such as postgresql:///shop or sqlite:///shop.db"

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def open_engine(url: str, deadline: timedelta = timedelta(seconds=2)) -> sa.Engine:
    """Return an engine for a database URL such as `sqlite:///shop.db`; nothing connects yet.

    On PostgreSQL it has a small pool. Half of *deadline* is the most to wait for one of
    its connections, and for making one; a statement takes at most all of it.

    Raises:
        InvalidValueError: It is no URL of a database that is supported.
    """
    if not is_a(url, str, sa.URL) or (is_a(url, str) and str.__len__(url) > _LONGEST_URL):
        raise InvalidValueError("database", "no URL", _EXPECTED)
    try:
        parsed = sa.make_url(plain(url))
    except (ArgumentError, ValueError):  # the latter for ports that are no numbers
        # The text may hold a password, so the error does not repeat it.
        raise InvalidValueError("database", "no URL", _EXPECTED) from None
    if parsed.drivername in _SQLITE:
        return _sqlite_engine(parsed)
    if parsed.drivername in _POSTGRES and "@" in (parsed.host or ""):
        # What stands before it is part of a password that is not quoted.
        raise InvalidValueError("database", "no URL: the password is not quoted", _EXPECTED)
    if parsed.drivername in _POSTGRES:
        return _postgres_engine(parsed.set(drivername="postgresql+psycopg"), deadline)
    raise InvalidValueError("database", _without_secrets(parsed), _EXPECTED)


def check_engine(engine: sa.Engine) -> None:
    """Refuse an engine that cannot be served.

    Raises:
        InvalidValueError: It is of another database or driver, gives each thread a
            database of its own, or translates schemas.
    """
    dialect = instance(engine, "engine", sa.Engine).dialect
    if (dialect.name, dialect.driver) not in {("sqlite", "pysqlite"), ("postgresql", "psycopg")}:
        expected = "one of PostgreSQL with psycopg, or of SQLite"
        raise InvalidValueError("engine", f"{dialect.name}+{dialect.driver}", expected)
    if engine.get_execution_options().get("schema_translate_map"):
        # Bulk reads do not go through it, and would read from another schema.
        raise InvalidValueError(
            "engine", "one with a schema_translate_map", "one without: name schemas in the selects"
        )
    if isinstance(engine.pool, SingletonThreadPool):
        raise InvalidValueError(
            "engine", "a database in memory", "one of a file, or with a StaticPool"
        )


def file_of(engine: sa.Engine) -> Path:
    """Return the file that an engine of SQLite keeps its data in."""
    return Path(engine.url.database or "")


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    if url.host or not url.database or url.database == ":memory:" or url.query:
        raise InvalidValueError(
            "database",
            _without_secrets(url),
            "a database URL such as sqlite:///shop.db: a file of SQLite, without a host or options",
        )
    return sa.create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS})


def _postgres_engine(url: sa.URL, deadline: timedelta) -> sa.Engine:
    from angle_reco.adapters.sql.postgres import BoundedConnection, connect_options

    seconds = deadline.total_seconds()
    if isinstance(password := url.query.get("password"), str):
        # Where it is hidden when the engine is shown.
        url = url.set(password=password).difference_update_query(["password"])
    engine = sa.create_engine(
        url,
        isolation_level="READ COMMITTED",
        # Nobody's ids in the texts of errors and in log lines.
        hide_parameters=True,
        poolclass=FairPool,
        pool_size=_POOL_SIZE,
        max_overflow=0,
        pool_timeout=seconds / 2,
        pool_use_lifo=True,
        connect_args=connect_options(url, seconds),
    )

    @sa.event.listens_for(engine, "do_connect")
    def connect(_: object, __: object, args: list[Any], options: dict[str, Any]) -> Any:
        # How SQLAlchemy would have JSON and addresses read: we have neither.
        options.pop("context", None)
        left = time_left()
        most = seconds * _TO_CONNECT if left is None else min(seconds / 2, left)
        return BoundedConnection.connect_within(most, *args, **options)

    @sa.event.listens_for(engine, "checkout")
    def take(raw: BoundedConnection, *_: object) -> None:
        raw.ends_at = None

    @sa.event.listens_for(engine, "handle_error")
    def let_go(context: sa.engine.ExceptionContext) -> None:
        if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
            # A new connection may find the server that takes writes now.
            context.is_disconnect = True
            context.invalidate_pool_on_disconnect = False

    _engines.add(engine)
    return engine


_engines: WeakSet[sa.Engine] = WeakSet()


def _leave_to_parent() -> None:
    """Let go, in a process that forked off, of connections that are its parent's."""
    if not _engines:
        return
    from angle_reco.adapters.sql.postgres import BoundedConnection

    BoundedConnection.leave_all()
    for engine in list(_engines):
        engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def _without_secrets(url: sa.URL) -> str:
    # What follows the question mark may hold a password too.
    return url.set(query={}).render_as_string(hide_password=True)
