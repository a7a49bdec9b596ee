"""`Recommender`, the object through which a host uses the library."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Self, cast

import attrs

from angle_reco.adapters.clocks import FixedClock
from angle_reco.composition import (
    Ports,
    own_scheduler,
    ports_in_memory,
    ready_ports,
    sql_ports,
    sql_storage,
)
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.events import Event
from angle_reco.domain.ids import UserId, UserRef
from angle_reco.domain.moments import check_moment
from angle_reco.domain.policies import ANONYMOUS, SYSTEM, SignedIn
from angle_reco.domain.validators import exactly, flag, function, instance
from angle_reco.event_calls import EventCalls
from angle_reco.ports.scheduler import JobScheduler
from angle_reco.ports.threads import end_idle_threads
from angle_reco.settings import Settings
from angle_reco.view import View
from angle_reco.wiring import wire

if TYPE_CHECKING:
    import sqlalchemy as sa

    from angle_reco.adapters.memory.marketplace import MemoryMarketplace
    from angle_reco.adapters.sql.market.findings import Finding
    from angle_reco.adapters.sql.schema.host_schema import HostSchema
    from angle_reco.adapters.sql.storage import Storage
    from angle_reco.aio import AsyncRecommender


_log = logging.getLogger(__name__)

_DAY = timedelta(days=1)
_SECONDS_TO_END = 1.0

_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
"""The earliest *as_of*: any span of the settings, at most a hundred years, can be subtracted."""

PermissionCheck = Callable[[UserId, str], bool]
"""A host's function that returns whether a user holds a permission."""

OnEvent = Callable[[Event], None]
"""A host's function that receives the events of the library."""


class Recommender(EventCalls):
    """Recommendations for one marketplace: it takes events, and its views return shelves.

    The constructor takes a record of ports; `connect`, `from_engine`, `from_connection` and
    `in_memory` build one. To read, choose the view of an actor: `as_user(id)`, `anonymous`
    or `system`.
    """

    def __init__(
        self,
        ports: Ports,
        settings: Settings | None = None,
        *,
        as_of: datetime | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        """Use the adapters in *ports*; `close` closes the connections behind them.

        With *as_of* every call reads and scores as of that moment: data up to and including
        it counts, later data does not exist. *on_event* receives the events `UserInspected`
        (a user reads the results of another user), `RunFailed`, `AnswerDegraded` and
        `RefreshFailed`.

        Raises:
            InvalidValueError: *as_of* is not a moment with a time zone, or is before 1900.
        """
        self.settings = _settings(settings)
        self._given = instance(ports, "ports", Ports)
        if ports.storage is not None and ports.storage.is_borrowed:
            # No other thread may use the host's connection, and a cache must not outlive the
            # host's transaction. The lease lasts a day because no heartbeat renews it.
            runs = attrs.evolve(self.settings.runs, lease=_DAY, beat=_DAY / 4)
            self.settings = attrs.evolve(self.settings, cache_enabled=False, runs=runs)
        if on_event is not None:
            function(on_event, "on_event")
        if as_of is not None:
            as_of = check_moment(as_of, "as_of")
            if as_of < _EARLIEST:
                expected = "a moment from the year 1900 on"
                raise InvalidValueError("as_of", as_of.isoformat(), expected)
            ports = attrs.evolve(ports, clock=FixedClock(as_of))
        self.ports = ports
        self.as_of = as_of
        self._on_event = on_event
        self._use_cases = wire(ports, self.settings, as_of=as_of, on_event=on_event)

    def __repr__(self) -> str:
        storage = self.ports.storage
        where = "in memory" if storage is None else f"on {storage.database.dialect}"
        return f"<{type(self).__name__} {where}>"

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        settings: Settings | None = None,
        host: "HostSchema | None" = None,
        schema: str | None = None,
        prefix: str | None = None,
        permissions: PermissionCheck | None = None,
        migrate: bool = False,
        check: bool = True,
        pooler: bool = False,
        as_of: datetime | None = None,
        on_event: OnEvent | None = None,
    ) -> Self:
        """Return a recommender on a database, such as `postgresql:///shop`.

        *host* maps the host's own tables; without it the marketplace is in the reference
        schema. The tables of the library are in *schema*, and their names start with *prefix*
        (by default `angle_reco_`). *migrate* creates missing ones, *check* compares the tables
        and the host's selects with the requirements; without both the database is not queried
        yet. With *pooler*, for a transaction pooler such as PgBouncer, no session state is
        used. `close()` closes the connections.

        Raises:
            InvalidValueError: The URL names no supported database.
            SchemaError: The tables or the host's selects are not as required.
            StorageUnavailableError: The database did not answer.
        """
        from angle_reco.adapters.sql.core.engine import open_engine

        settings = _settings(settings)
        engine = open_engine(url, settings.deadline, pooler=flag(pooler, "pooler"))
        storage = sql_storage(engine, settings, host=host, schema=schema, prefix=prefix)
        ports = ready_ports(storage, permissions, migrate=migrate, check=check)
        return cls(ports, settings, as_of=as_of, on_event=on_event)

    @classmethod
    def from_engine(
        cls,
        engine: "sa.Engine",
        *,
        settings: Settings | None = None,
        host: "HostSchema | None" = None,
        schema: str | None = None,
        prefix: str | None = None,
        permissions: PermissionCheck | None = None,
        migrate: bool = False,
        check: bool = True,
        pooler: bool = False,
        as_of: datetime | None = None,
        on_event: OnEvent | None = None,
    ) -> Self:
        """Return a recommender on the database of the host's engine.

        The recommender opens connections the way the engine does, in a small pool of the
        recommender: a request that holds a connection of the host's pool never waits for a
        second one. The other arguments are those of `connect`.

        Raises:
            InvalidValueError: The engine is not supported; the message says what to use.
            SchemaError: The tables or the host's selects are not as required.
            StorageUnavailableError: The database did not answer.
        """
        settings = _settings(settings)
        ports = sql_ports(
            engine,
            settings,
            host=host,
            schema=schema,
            prefix=prefix,
            permissions=permissions,
            migrate=migrate,
            check=check,
            pooler=pooler,
        )
        return cls(ports, settings, as_of=as_of, on_event=on_event)

    @classmethod
    def from_connection(
        cls,
        connection: object,
        *,
        settings: Settings | None = None,
        host: "HostSchema | None" = None,
        schema: str | None = None,
        prefix: str | None = None,
        permissions: PermissionCheck | None = None,
        migrate: bool = False,
        check: bool = True,
        as_of: datetime | None = None,
        on_event: OnEvent | None = None,
    ) -> Self:
        """Return a recommender that works on one connection of the host, for test suites.

        All reads and writes are part of the host's transaction and are rolled back with it.
        The recommender works in the calling thread and caches nothing; `start` starts no jobs,
        `run_job` runs one. *connection* is a `Connection` or `Session` of SQLAlchemy on
        psycopg 3 or sqlite3, a connection of these drivers, or Django's. The other arguments
        are those of `connect`.

        Raises:
            InvalidValueError: The connection is none of these.
        """
        from angle_reco.adapters.sql.core.borrowing import borrow

        settings, borrowed = _settings(settings), borrow(connection)
        storage = sql_storage(
            borrowed.engine,
            settings,
            host=host,
            schema=schema,
            prefix=prefix,
            borrowed=borrowed,
        )
        ports = ready_ports(storage, permissions, migrate=migrate, check=check)
        return cls(ports, settings, as_of=as_of, on_event=on_event)

    @classmethod
    def in_memory(
        cls,
        market: "MemoryMarketplace | None" = None,
        *,
        settings: Settings | None = None,
        permissions: PermissionCheck | None = None,
        as_of: datetime | None = None,
        on_event: OnEvent | None = None,
    ) -> Self:
        """Return a recommender on a marketplace in memory, by default an empty one.

        Without *settings* reading calls neither cache nor store results. With them the limits
        of a database apply: the cache and the lists that calls store each take at most
        `cache_bytes`, and a call waits for the marketplace at most `deadline`.

        Raises:
            InvalidValueError: The marketplace has other kinds of ids or prices than the
                settings.
        """
        from angle_reco.adapters.memory.marketplace import MemoryMarketplace

        settings = Settings(cache_enabled=False) if settings is None else _settings(settings)
        kinds = (settings.ids, settings.prices)
        if market is None:
            market = MemoryMarketplace(ids=settings.ids, prices=settings.prices)
        elif (instance(market, "market", MemoryMarketplace).ids, market.prices) != kinds:
            raise InvalidValueError("ids and prices of the settings", kinds, "the marketplace's")
        ports = ports_in_memory(market, permissions, most_bytes=settings.cache_bytes)
        return cls(ports, settings, as_of=as_of, on_event=on_event)

    @property
    def storage(self) -> "Storage | None":
        """Return the storage to migrate or inspect; None in memory."""
        return self.ports.storage

    def check(self, *, everything: bool = False) -> "tuple[Finding, ...]":
        """Check the tables and the rows of the host's selects; return findings on odd rows.

        Findings are harmless: such a row is left out, or a value in it is treated as
        `Finding.what` says. The first 10,000 rows of each select are examined, as
        `Finding.looked_at` says, or all rows with *everything*. In memory there are no findings.

        Raises:
            InvalidValueError: *everything* is neither True nor False.
            SchemaError: The tables or the host's selects are not as required.
            StorageUnavailableError: The database did not answer.
        """
        everything = flag(everything, "everything")
        if self.storage is None:
            return ()
        self.storage.check()
        return self.storage.findings(everything=everything)

    def as_of_moment(self, as_of: datetime | None, *, ranker: str | None = None) -> "Recommender":
        """Return a recommender on the same data as of another moment, or with another ranker.

        The new recommender has no cache and shares the connections of this one: close this
        one only.

        Raises:
            InvalidValueError: *as_of* is not a usable moment, or no ranker has that name.
        """
        ranker = self.settings.ranker if ranker is None else ranker
        settings = attrs.evolve(self.settings, ranker=ranker, cache_enabled=False)
        return type(self)(self._given, settings, as_of=as_of, on_event=self._on_event)

    def start(self, scheduler: JobScheduler | Literal["own"] | None = "own") -> None:
        """Run the jobs in this process on their schedule until `stop`.

        Each scheduled run happens once, however many processes call `start`. A second call
        does nothing; a forked child has to call it again. By default APScheduler wakes the
        process. With None as *scheduler* this process runs no jobs: another one does, or the
        host calls `system.run_job(name, scheduled=True)`. If results are cached, a thread reads
        the change feed every second, also with None.

        Raises:
            InvalidValueError: The recommender is as of a moment, or *scheduler* is no scheduler.
        """
        new_scheduler = _scheduler(scheduler)
        if self.ports.storage is not None and self.ports.storage.is_borrowed:
            _log.warning("jobs not started on a borrowed connection")
            return
        if new_scheduler is not None:
            self._use_cases.worker.start(new_scheduler)
        if self._use_cases.invalidator is not None:
            self._use_cases.invalidator.start()
        self._use_cases.warm()

    def stop(self, grace: timedelta = timedelta(seconds=10)) -> bool:
        """Run no more jobs in this process; return False if one did not end within *grace*.

        A running job stops at its next step; another process can claim its run at once.
        """
        has_ended = self._use_cases.worker.stop(exactly(grace, "grace", timedelta))
        if self._use_cases.invalidator is not None:
            self._use_cases.invalidator.stop()
        return has_ended

    def close(self) -> None:
        """Stop the jobs, close the recommender's connections and end its threads.

        Background refreshes are waited for, at most `deadline`. Threads that are busy for
        other recommenders of the process continue.
        """
        self.stop()
        self._use_cases.settle()
        if self.ports.storage is not None:
            self.ports.storage.close()
        end_idle_threads(_SECONDS_TO_END)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def as_user(self, user_id: UserRef) -> View:
        """Return the view of a signed-in user: the user's results, and public ones.

        Raises:
            InvalidValueError: The id is not of the kind that the settings name.
        """
        return View(self._use_cases, SignedIn(self.settings.ids.user_id(user_id)))

    @property
    def anonymous(self) -> View:
        """Return the view of a visitor: public results."""
        return View(self._use_cases, ANONYMOUS)

    def catch_up(self) -> None:
        """Read the change feed now: the next answers know what other processes committed.

        Without the call they do within a second or two. It is for the page after a form that
        another process may have taken. A storage error is logged, not raised.
        """
        if self._use_cases.invalidator is not None:
            self._use_cases.invalidator.read_now()

    @cached_property
    def aio(self) -> "AsyncRecommender":
        """Return the asynchronous interface: the reading calls and the events as coroutines."""
        from angle_reco.aio import AsyncRecommender

        return AsyncRecommender(self)

    @property
    def system(self) -> View:
        """Return the view of the host's own code, which is allowed every action."""
        return View(self._use_cases, SYSTEM)


def _settings(settings: object) -> Settings:
    return Settings() if settings is None else instance(settings, "settings", Settings)


def _scheduler(scheduler: object) -> Callable[[], JobScheduler] | None:
    if scheduler is None:
        return None
    if type(scheduler) is str and scheduler == "own":
        return own_scheduler
    if all(callable(getattr(scheduler, name, None)) for name in ("start", "submit", "stop")):
        host_scheduler = cast("JobScheduler", scheduler)  # its methods are checked above
        return lambda: host_scheduler
    raise InvalidValueError("scheduler", scheduler, '"own", None or a JobScheduler')
