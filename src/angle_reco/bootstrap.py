"""The composition root: which adapter stands behind each port, and the use cases wired."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from angle_reco.application import (
    JOBS,
    Access,
    AfterBid,
    Answering,
    Computing,
    Events,
    Homepage,
    Jobs,
    PopularItems,
    ReadInterests,
    SimilarItems,
    StoredResources,
    TakeStock,
)
from angle_reco.domain import UserId
from angle_reco.ports import (
    ActivityQueries,
    ActivityRecorder,
    CatalogQueries,
    Clock,
    InterestStore,
    Kernels,
    ListStore,
    Permissions,
    UserQueries,
)
from angle_reco.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from angle_reco.adapters.memory import MemoryMarketplace
    from angle_reco.adapters.sql import ImportOutcome

JOB_NAMES = tuple(JOBS)
"""Every job, in the order in which they are best run by hand."""


@attrs.frozen(kw_only=True)
class Ports:
    """Everything the application needs from outside, a field a port.

    A *recorder* is there where events are stored for the host: on the reference schema
    and in memory.
    """

    users: UserQueries
    activity: ActivityQueries
    recorder: ActivityRecorder | None
    catalog: CatalogQueries
    interests: InterestStore
    lists: ListStore
    kernels: Kernels
    permissions: Permissions
    clock: Clock


@attrs.frozen(kw_only=True)
class UseCases:
    """Every use case of one recommender, wired."""

    homepage: Homepage
    similar_items: SimilarItems
    after_bid: AfterBid
    popular_items: PopularItems
    interests: ReadInterests
    stored: StoredResources
    jobs: Jobs
    take_stock: TakeStock
    events: Events

    @classmethod
    def of(cls, ports: Ports, settings: Settings, as_of: datetime | None) -> "UseCases":
        """Return them on these ports, all reading as of the same moment."""
        access = Access(permissions=ports.permissions)
        computing = Computing(
            activity=ports.activity,
            catalog=ports.catalog,
            kernels=ports.kernels,
            clock=ports.clock,
            settings=settings,
            as_of=as_of,
        )
        answering = Answering(
            lists=ports.lists,
            catalog=ports.catalog,
            computing=computing,
            clock=ports.clock,
            settings=settings,
            as_of=as_of,
        )
        events = Events(
            users=ports.users,
            recorder=ports.recorder,
            clock=ports.clock,
            settings=settings,
            as_of=as_of,
        )
        return cls(
            homepage=Homepage(access=access, answering=answering),
            similar_items=SimilarItems(access=access, answering=answering),
            after_bid=AfterBid(access=access, answering=answering),
            popular_items=PopularItems(access=access, answering=answering),
            interests=ReadInterests(access=access, answering=answering, interests=ports.interests),
            stored=StoredResources(
                access=access,
                users=ports.users,
                interests=ports.interests,
                lists=ports.lists,
                clock=ports.clock,
                settings=settings,
                as_of=as_of,
            ),
            jobs=Jobs(
                access=access,
                users=ports.users,
                catalog=ports.catalog,
                interests=ports.interests,
                lists=ports.lists,
                computing=computing,
                clock=ports.clock,
                settings=settings,
                as_of=as_of,
            ),
            take_stock=TakeStock(
                access=access,
                users=ports.users,
                activity=ports.activity,
                catalog=ports.catalog,
                interests=ports.interests,
                lists=ports.lists,
                events=events,
                as_of=as_of,
            ),
            events=events,
        )


def sql_ports(
    engine: "sa.Engine",
    settings: Settings,
    *,
    permissions: Callable[[UserId, str], bool] | None = None,
    migrate: bool = False,
) -> Ports:
    """Return ports on a database with the reference schema; the engine stays the caller's.

    With *migrate* the tables are created where they are missing.

    Raises:
        InvalidValueError: The engine is of no supported database.
        SchemaError: The database does not have them, or they are not ours.
        StorageUnavailableError: The database did not answer.
    """
    from angle_reco.adapters.sql import (
        SqlActivity,
        SqlCatalog,
        SqlInterestStore,
        SqlListStore,
        SqlUsers,
        Tables,
        check_engine,
        migrate_up,
        require_schema,
    )

    check_engine(engine)
    tables = Tables.of(settings.ids)
    if migrate:
        migrate_up(engine, tables)
    require_schema(engine, tables)
    activity = SqlActivity(engine, tables, settings.prices)
    return Ports(
        users=SqlUsers(engine, tables),
        activity=activity,
        recorder=activity,
        catalog=SqlCatalog(engine, tables, settings.prices),
        interests=SqlInterestStore(engine, tables),
        lists=SqlListStore(engine, tables),
        **_common(permissions),
    )


def memory_ports(
    market: "MemoryMarketplace | None" = None,
    *,
    permissions: Callable[[UserId, str], bool] | None = None,
) -> Ports:
    """Return ports on a marketplace in memory, by default an empty one."""
    from angle_reco.adapters.memory import (
        MemoryActivity,
        MemoryCatalog,
        MemoryInterestStore,
        MemoryListStore,
        MemoryMarketplace,
        MemoryUsers,
    )

    market = market or MemoryMarketplace()
    activity = MemoryActivity(market)
    return Ports(
        users=MemoryUsers(market),
        activity=activity,
        recorder=activity,
        catalog=MemoryCatalog(market),
        interests=MemoryInterestStore(),
        lists=MemoryListStore(),
        **_common(permissions),
    )


def import_marketplace(
    url: str,
    directory: Path,
    settings: Settings,
    *,
    skip_bad_rows: bool = False,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> "ImportOutcome":
    """Import a directory of CSV files into a database with the reference schema.

    Raises:
        BadInputError: A file or a row is not as it should be; nothing was stored.
        StorageError: The database cannot be used; nothing was stored.
    """
    from angle_reco.adapters.sql import Tables, import_directory, open_engine

    engine = open_engine(url)
    try:
        return import_directory(
            engine,
            Tables.of(settings.ids),
            settings.prices,
            directory,
            skip_bad_rows=skip_bad_rows,
            progress=progress,
        )
    finally:
        engine.dispose()


def create_schema(url: str, settings: Settings) -> bool:
    """Create whatever is missing of our tables; False when all of it was there.

    Raises:
        SchemaError: There are tables already that are not ours.
        StorageUnavailableError: The database did not answer.
    """
    from angle_reco.adapters.sql import Tables, migrate_up, open_engine

    engine = open_engine(url)
    try:
        return migrate_up(engine, Tables.of(settings.ids))
    finally:
        engine.dispose()


def drop_schema(url: str, settings: Settings) -> bool:
    """Drop every table of ours with all it holds; False when there was none.

    Raises:
        SchemaError: The tables there are not ours.
        StorageUnavailableError: The database did not answer.
    """
    from angle_reco.adapters.sql import Tables, migrate_down, open_engine

    engine = open_engine(url)
    try:
        return migrate_down(engine, Tables.of(settings.ids))
    finally:
        engine.dispose()


def _common(permissions: Callable[[UserId, str], bool] | None) -> dict[str, Any]:
    """Return the ports that are the same wherever the data is."""
    from angle_reco.adapters.clocks import SystemClock
    from angle_reco.adapters.numpy_kernels import NumpyKernels
    from angle_reco.adapters.permissions import CallablePermissions, NoPermissions

    return {
        "kernels": NumpyKernels(),
        "permissions": NoPermissions() if permissions is None else CallablePermissions(permissions),
        "clock": SystemClock(),
    }
