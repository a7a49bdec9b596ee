"""Engines that the library creates from a URL."""

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from angle_reco.adapters.sql.core.gate import GATE, close_at_fork
from angle_reco.adapters.sql.core.pool import FairPool
from angle_reco.adapters.sql.core.sqlite_functions import add_functions
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.type_checks import is_a, plain
from angle_reco.ports.deadlines import time_left
from angle_reco.ports.forks import at_fork

BUSY_SECONDS = 30
"""How long a statement waits for another process that writes to SQLite."""

_TO_CONNECT = 5
"""The time limit for connecting outside of calls, as a multiple of the deadline."""

_POOL_SIZE = 5
_LONGEST_URL = 4_096
_READ_ONLY = "25006"
_SQLITE = ("sqlite", "sqlite+pysqlite")
_POSTGRES = ("postgresql", "postgresql+psycopg")
_EXPECTED = "a database URL such as postgresql:///shop or sqlite:///shop.db"

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def open_engine(
    url: str, deadline: timedelta = timedelta(seconds=2), *, pooler: bool = False
) -> sa.Engine:
    """Return an engine for a database URL such as `sqlite:///shop.db`; nothing connects yet.

    An engine of PostgreSQL has a small pool. Within a call of the usual *deadline*, waiting
    for a connection and making one take at most half of it each, a statement at most all of
    it; work outside of calls may take longer. Behind a *pooler* of transactions, connections
    store no state in their sessions.

    Raises:
        InvalidValueError: The URL is not one of a supported database, or has an option
            without effect.
    """
    if not is_a(url, str, sa.URL) or (is_a(url, str) and str.__len__(url) > _LONGEST_URL):
        raise InvalidValueError("database", "no URL", _EXPECTED)
    try:
        parsed = sa.make_url(plain(url))
    except (ArgumentError, ValueError):  # ValueError: the port is not a number
        # The text may hold a password, so the error does not repeat it.
        raise InvalidValueError("database", "no URL", _EXPECTED) from None
    if parsed.drivername in _SQLITE:
        refuse_pooler(pooler)
        return _sqlite_engine(parsed)
    if parsed.drivername in _POSTGRES and "@" in (parsed.host or ""):
        # An @ in the host comes from a password that is not percent-encoded.
        raise InvalidValueError("database", "no URL: the password is not quoted", _EXPECTED)
    if parsed.drivername in _POSTGRES:
        from angle_reco.adapters.sql.core.url_options import check_options, with_empty_options

        if is_a(url, str):
            parsed = with_empty_options(parsed, plain(url))
        check_options(parsed, pooler=pooler)
        parsed = parsed.set(drivername="postgresql+psycopg")
        return _postgres_engine(parsed, deadline, pooler=pooler)
    if parsed.get_backend_name() in ("postgresql", "sqlite"):
        expected = _EXPECTED.replace("database URL", "database URL that names no other driver,", 1)
        raise InvalidValueError("database", _without_secrets(parsed), expected)
    raise InvalidValueError("database", _without_secrets(parsed), _EXPECTED)


def close_engine(engine: sa.Engine) -> None:
    """Close the connections of an idle engine; it makes new ones on demand."""
    with GATE.entered():
        engine.dispose()


def refuse_pooler(pooler: bool) -> None:
    """Refuse a pooler in front of SQLite.

    Raises:
        InvalidValueError: *pooler* is true.
    """
    if pooler:
        raise InvalidValueError("pooler", True, "False: SQLite has none")


def file_of(engine: sa.Engine) -> Path:
    """Return the database file of an engine of SQLite."""
    return Path(engine.url.database or "")


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    if url.host or not url.database or url.database == ":memory:" or url.query:
        raise InvalidValueError(
            "database",
            _without_secrets(url),
            "a database URL such as sqlite:///shop.db: a file of SQLite, without a host or options",
        )
    engine = sa.create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS})
    close_at_fork(engine)
    sa.event.listen(engine, "connect", lambda raw, _: add_functions(raw))
    return engine


def _postgres_engine(url: sa.URL, deadline: timedelta, *, pooler: bool) -> sa.Engine:
    from angle_reco.adapters.sql.core.postgres import BoundedConnection, connect_options

    if isinstance(password := url.query.get("password"), str):
        # Moved out of the query: the repr of the engine hides it there.
        url = url.set(password=password).difference_update_query(["password"])
    options = connect_options(url, deadline.total_seconds(), pooler=pooler)
    engine = pooled_postgres(url, deadline, connect_args=options)

    @sa.event.listens_for(engine, "do_connect")
    def connect(_: object, __: object, args: list[Any], options: dict[str, Any]) -> Any:
        return BoundedConnection.connect_within(seconds_to_connect(deadline), *args, **options)

    return engine


def pooled_postgres(url: sa.URL, deadline: timedelta, **options: Any) -> sa.Engine:
    """Return an engine with a small pool, where a call waits no longer than its deadline."""
    engine = sa.create_engine(
        url,
        isolation_level="READ COMMITTED",
        # Keeps user ids out of error texts and log lines.
        hide_parameters=True,
        poolclass=FairPool,
        pool_size=_POOL_SIZE,
        max_overflow=0,
        pool_timeout=deadline.total_seconds() / 2,
        pool_use_lifo=True,
        **options,
    )

    @sa.event.listens_for(engine, "checkout")
    def take(raw: Any, *_: object) -> None:
        raw.ends_at = None

    @sa.event.listens_for(engine, "handle_error")
    def drop_read_only(context: sa.engine.ExceptionContext) -> None:
        if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
            # After a failover, a new connection may reach the server that accepts writes.
            context.is_disconnect = True
            context.invalidate_pool_on_disconnect = False

    _engines.add(engine)
    return engine


def seconds_to_connect(deadline: timedelta) -> float:
    """Return the time limit for connecting: in a call half the deadline, if that much is left."""
    left, seconds = time_left(), deadline.total_seconds()
    return seconds * _TO_CONNECT if left is None else min(seconds / 2, left)


_engines: WeakSet[sa.Engine] = WeakSet()


def _leave_to_parent() -> None:
    """Discard the parent's connections in a forked child, without closing their sessions."""
    if not _engines:
        return
    from angle_reco.adapters.sql.core.postgres import BoundedConnection

    BoundedConnection.leave_all()
    for engine in list(_engines):
        engine.dispose(close=False)


at_fork(in_child=_leave_to_parent)


def _without_secrets(url: sa.URL) -> str:
    # The query of the URL may hold a password, too.
    return url.set(query={}).render_as_string(hide_password=True)
