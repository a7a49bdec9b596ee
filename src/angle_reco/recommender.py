"""The object a host holds."""

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Self, cast

import attrs

from angle_reco.adapters.clocks import FixedClock
from angle_reco.bootstrap import (
    Ports,
    own_scheduler,
    ports_in_memory,
    ready_ports,
    sql_ports,
    sql_storage,
)
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.events import Event
from angle_reco.domain.ids import ItemRef, UserId, UserRef
from angle_reco.domain.moments import check_moment
from angle_reco.domain.policies import ANONYMOUS, SYSTEM, SignedIn
from angle_reco.domain.validators import exactly, flag, function, instance
from angle_reco.ports.scheduler import JobScheduler
from angle_reco.ports.threads import end_idle_threads
from angle_reco.settings import Settings
from angle_reco.use_cases import UseCases
from angle_reco.view import View

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
"""Of the moments that can be looked back at: a hundred years before is still in the calendar."""

Permitted = Callable[[UserId, str], bool]
"""A host's own answer to whether a user holds a permission."""

OnEvent = Callable[[Event], None]
"""A host's own way to take note of what happened."""


class Recommender:
    """Recommendations for one marketplace: events go in, and bound views answer.

    The constructor takes a record of ports; `connect`, `from_engine` and `in_memory`
    make one. Reading starts with an actor: `as_user(id)`, `anonymous` or `system`.
    """

    def __init__(
        self,
        ports: Ports,
        settings: Settings | None = None,
        *,
        as_of: datetime | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        """Wire the use cases.

        With *as_of* everything reads and scores as at that moment, itself included:
        nothing later exists. *on_event* is told what a host may want to know of, such as
        that somebody inspects another user (`UserInspected`).

        Raises:
            InvalidValueError: *as_of* is no moment with a time zone, or one before 1900.
        """
        self.settings = _settings(settings)
        self._given = instance(ports, "ports", Ports)
        if ports.storage is not None and ports.storage.is_borrowed:
            # Nothing outlives the host's transaction, and no thread uses its connection: a
            # run that never beats keeps its lease for a day.
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
        self._use_cases = UseCases.of(ports, self.settings, as_of=as_of, on_event=on_event)

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
        permissions: Permitted | None = None,
        migrate: bool = False,
        check: bool = True,
        pooler: bool = False,
        as_of: datetime | None = None,
        on_event: OnEvent | None = None,
    ) -> Self:
        """Return a recommender on a database, such as `postgresql:///shop`.

        *host* maps the host's own tables; without it the marketplace is in the reference
        schema. Our tables are in *schema*, and begin with *prefix* (`angle_reco_`).
        With *migrate* they are created where they are missing. Without *check* nothing is
        asked of the database yet. Behind a *pooler* of transactions, such as PgBouncer,
        nothing is kept in a session. `close()` lets go of the connections.

        Raises:
            InvalidValueError: The URL is none of a supported database.
            SchemaError: The tables or the host's selects are not as they should be.
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
        permissions: Permitted | None = None,
        migrate: bool = False,
        check: bool = True,
        pooler: bool = False,
        as_of: datetime | None = None,
        on_event: OnEvent | None = None,
    ) -> Self:
        """Return a recommender on the database of an engine of the host's.

        Connections of ours are made as the engine makes its own, and are in a small pool
        apart: a request that holds a connection of the host's pool never waits for a second
        one. All else is as with `connect`.

        Raises:
            InvalidValueError: The engine cannot be served: the text says what to use.
            SchemaError: The tables or the host's selects are not as they should be.
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
        permissions: Permitted | None = None,
        migrate: bool = False,
        check: bool = True,
        as_of: datetime | None = None,
        on_event: OnEvent | None = None,
    ) -> Self:
        """Return a recommender that works on one connection of the host's, for test suites.

        Everything it reads and writes is part of the host's transaction, and is gone when
        that is rolled back. It works in the thread that calls, caches nothing and starts no
        jobs; `run_job` runs one. *connection* is a `Connection` or `Session` of SQLAlchemy
        on psycopg 3 or sqlite3, a connection of these drivers, or Django's. All else is as
        with `connect`.

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
        permissions: Permitted | None = None,
        as_of: datetime | None = None,
        on_event: OnEvent | None = None,
    ) -> Self:
        """Return a recommender on a marketplace in memory, by default an empty one.

        Without *settings* nothing is kept besides: every answer is of that moment. With them it
        is bounded as on a database: answers in memory and the lists that calls store each take
        `cache_bytes` at most, and a call waits for the marketplace no longer than `deadline`.

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
        """Return the database behind it, to be migrated; None in memory."""
        return self.ports.storage

    def check(self, *, everything: bool = False) -> "tuple[Finding, ...]":
        """Look at the tables and at rows of the host's selects; return what is odd.

        What is found does no harm: such rows are left out, or a value of theirs counts as
        `what` of the finding says. The first 10,000 rows of each select are looked at, as the
        findings say, or all with *everything*. In memory there is nothing to find.

        Raises:
            InvalidValueError: *everything* is neither True nor False.
            SchemaError: The tables or the host's selects are not as they should be.
            StorageUnavailableError: The database did not answer.
        """
        everything = flag(everything, "everything")
        if self.storage is None:
            return ()
        self.storage.check()
        return self.storage.findings(everything=everything)

    def as_of_moment(self, as_of: datetime | None, *, ranker: str | None = None) -> "Recommender":
        """Return a recommender on the same data as of another moment, or with another ranker.

        It shares the connections, which stay this one's to close, and keeps nothing in memory.

        Raises:
            InvalidValueError: The moment or the ranker cannot be.
        """
        ranker = self.settings.ranker if ranker is None else ranker
        settings = attrs.evolve(self.settings, ranker=ranker, cache_enabled=False)
        return type(self)(self._given, settings, as_of=as_of, on_event=self._on_event)

    def start(self, scheduler: JobScheduler | Literal["own"] | None = "own") -> None:
        """Run the jobs in this process, as the schedule says, until `stop`.

        However many processes do so, each run happens once. Calling it again does nothing;
        after a fork it starts anew in the child. With None the host schedules: it calls
        `system.run_job(name, scheduled=True)`.

        Raises:
            InvalidValueError: This is a recommender as of a moment, or that is no scheduler.
        """
        new_scheduler = _scheduler(scheduler)
        if self.ports.storage is not None and self.ports.storage.is_borrowed:
            _log.warning("jobs not started on a borrowed connection")
            return
        if new_scheduler is not None:
            self._use_cases.worker.start(new_scheduler)
        if self._use_cases.invalidator is not None:
            self._use_cases.invalidator.begin()
        self._use_cases.warm()

    def stop(self, grace: timedelta = timedelta(seconds=10)) -> bool:
        """Run no more jobs in this process; False when one was not done within *grace*.

        A job that runs stops at its next step, and goes on in another process.
        """
        is_over = self._use_cases.worker.stop(exactly(grace, "grace", timedelta))
        if self._use_cases.invalidator is not None:
            self._use_cases.invalidator.end()
        return is_over

    def close(self) -> None:
        """Stop the jobs, close the connections of ours, and end the threads.

        What is being read behind answers is waited for, as long as a call may take. Threads
        that other recommenders of the process keep busy go on.
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
        """Return what a signed-in user may read; their own, and what is public.

        Raises:
            InvalidValueError: The id is of another kind than the settings say.
        """
        return View(self._use_cases, SignedIn(self.settings.ids.user_id(user_id)))

    @property
    def anonymous(self) -> View:
        """Return what a visitor may read: what is public."""
        return View(self._use_cases, ANONYMOUS)

    @cached_property
    def aio(self) -> "AsyncRecommender":
        """Return the reading calls and the events as coroutines."""
        from angle_reco.aio import AsyncRecommender

        return AsyncRecommender(self)

    @property
    def system(self) -> View:
        """Return the view of the host's own code, which may do everything."""
        return View(self._use_cases, SYSTEM)

    def signed_in(
        self,
        user_id: UserRef,
        at: datetime | None = None,
        *,
        connection: object | None = None,
    ) -> bool:
        """Count a sign-in; False when it was not counted, which `stats()` counts.

        With the host's own *connection* it is part of that transaction: give it where the
        request has written to the user's row, which the sign-in would wait for otherwise.
        """
        return self._use_cases.events.signed_in(user_id, at, connection)

    def bid_placed(
        self,
        user_id: UserRef,
        item_id: ItemRef,
        *,
        amount: Decimal | None = None,
        at: datetime | None = None,
        connection: object | None = None,
    ) -> bool:
        """Tell of a bid, which counts from now on, in this process before it is committed.

        Other processes are told once it is: with the host's own *connection*, of SQLAlchemy
        or of the driver, exactly then; without, at once. False when nothing came of it.
        Never raises into the request, unless the settings say `strict_events`. An odd amount
        or moment is logged and dropped, and the bid counts without it. A higher *amount* is
        the price of the item in the next answer.
        """
        return self._use_cases.events.bid_placed(user_id, item_id, amount, at, connection)

    def bid_withdrawn(
        self,
        user_id: UserRef,
        item_id: ItemRef,
        *,
        at: datetime | None = None,
        connection: object | None = None,
    ) -> bool:
        """Take the end of a user's bids on an item: they were withdrawn or rolled back.

        The item may be shown to the user at once, in this process, and in the others when
        they read the feed. With *at*, bids that were placed later stay. On the reference
        schema and in memory the bids are removed: False where there were none.
        Never raises into the request, unless the settings say `strict_events`.
        """
        return self._use_cases.events.bid_withdrawn(user_id, item_id, at, connection)

    def watched(
        self,
        user_id: UserRef,
        item_id: ItemRef,
        *,
        at: datetime | None = None,
        connection: object | None = None,
    ) -> bool:
        """Tell of a watch, as of a bid. Never raises into the request."""
        return self._use_cases.events.watched(user_id, item_id, at, connection)

    def unwatched(
        self, user_id: UserRef, item_id: ItemRef, *, connection: object | None = None
    ) -> bool:
        """Tell that a watch ended, as of a bid. Never raises into the request."""
        return self._use_cases.events.unwatched(user_id, item_id, connection)

    def items_changed(
        self, item_ids: Iterable[ItemRef], *, connection: object | None = None
    ) -> bool:
        """Tell that items were published, withdrawn, edited or sold: at most 100,000.

        What is in memory of them does not count from now on, in this process. Other
        processes are told as of a bid. A new item gets its similar ones, and enters the
        lists of these. False when nothing came of it. Never raises into the request.
        """
        return self._use_cases.events.items_changed(item_ids, connection)


def _settings(settings: object) -> Settings:
    return Settings() if settings is None else instance(settings, "settings", Settings)


def _scheduler(scheduler: object) -> Callable[[], JobScheduler] | None:
    if scheduler is None:
        return None
    if type(scheduler) is str and scheduler == "own":
        return own_scheduler
    if all(callable(getattr(scheduler, name, None)) for name in ("start", "submit", "stop")):
        host_s = cast("JobScheduler", scheduler)  # by all that can be told
        return lambda: host_s
    raise InvalidValueError("scheduler", scheduler, '"own", None or a JobScheduler')
