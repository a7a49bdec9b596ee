"""The adapters behind the ports: on a database, or in memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from angle_reco.domain.errors import InvalidValueError, SchemaError
from angle_reco.domain.ids import UserId
from angle_reco.domain.validators import flag, function, instance
from angle_reco.ports.activity import ActivityQueries, ActivityRecorder
from angle_reco.ports.cache import Cache
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.ports.changes import Changes
from angle_reco.ports.clock import Clock
from angle_reco.ports.erasure import Erasure
from angle_reco.ports.kernels import Kernels
from angle_reco.ports.ledger import RunLedger
from angle_reco.ports.models import ModelStore
from angle_reco.ports.permissions import Permissions
from angle_reco.ports.scheduler import JobScheduler
from angle_reco.ports.stores import InterestStore, ListStore
from angle_reco.ports.users import UserQueries
from angle_reco.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from angle_reco.adapters.memory.marketplace import MemoryMarketplace
    from angle_reco.adapters.sql.core.borrowing import Borrowed
    from angle_reco.adapters.sql.importing.directory import ImportOutcome
    from angle_reco.adapters.sql.importing.removing import Removal
    from angle_reco.adapters.sql.schema.host_schema import HostSchema
    from angle_reco.adapters.sql.storage import Storage

_leaves_unchecked: ContextVar[bool] = ContextVar("leaves_unchecked", default=False)


@contextmanager
def leaving_unchecked() -> Iterator[None]:
    """Let recommenders be made on databases that are not ready yet, to migrate them."""
    token = _leaves_unchecked.set(True)
    try:
        yield
    finally:
        _leaves_unchecked.reset(token)


def own_cache(clock: Clock, most_bytes: int) -> Cache:
    """Return a cache of so many bytes."""
    from angle_reco.adapters.ttl_cache import TtlCache

    return TtlCache(clock, most_bytes=most_bytes)


def own_kernels() -> Kernels:
    """Return the kernels with compiled loops if the extra `fast` is installed, else without."""
    if find_spec("numba") is None:
        from angle_reco.adapters.kernels import NumpyKernels

        return NumpyKernels()
    from angle_reco.adapters.kernels.fast import FastKernels

    return FastKernels()


@attrs.frozen(kw_only=True)
class Ports:
    """Everything the application needs from outside: a field for each port but `JobScheduler`.

    `Recommender.start` takes the scheduler, or creates one.

    *recorder* stores the events of the host, on the reference schema and in memory; it is None
    on tables of the host. *storage* is the database behind the ports, which checks and migrates
    it. *new_cache* returns a cache that takes at most a number of bytes.
    """

    users: UserQueries
    activity: ActivityQueries
    recorder: ActivityRecorder | None
    catalog: CatalogQueries
    interests: InterestStore
    lists: ListStore
    models: ModelStore
    erasure: Erasure
    ledger: RunLedger
    changes: Changes
    kernels: Kernels
    permissions: Permissions
    clock: Clock
    storage: "Storage | None" = None
    new_cache: Callable[[Clock, int], Cache] = own_cache

    def __repr__(self) -> str:
        ports = attrs.asdict(self, recurse=False, filter=lambda _, port: port is not None)
        return f"Ports({', '.join(f'{name}={_name(port)}' for name, port in ports.items())})"


def _name(port: object) -> str:
    return str(getattr(port, "__name__", type(port).__name__))


def sql_storage(
    engine: "sa.Engine",
    settings: Settings,
    *,
    host: "HostSchema | None" = None,
    schema: str | None = None,
    prefix: str | None = None,
    borrowed: "Borrowed | None" = None,
) -> "Storage":
    """Return the storage on an engine of ours; nothing is asked of the database yet.

    Raises:
        InvalidValueError: A name cannot be one of a schema or table.
    """
    from angle_reco.adapters.sql.schema.tables import DEFAULT_PREFIX
    from angle_reco.adapters.sql.storage import Storage

    return Storage.of(
        engine,
        ids=settings.ids,
        prices=settings.prices,
        deadline=settings.deadline,
        host=host,
        schema=schema,
        prefix=DEFAULT_PREFIX if prefix is None else prefix,
        borrowed=borrowed,
    )


def sql_ports(
    engine: "sa.Engine",
    settings: Settings,
    *,
    host: "HostSchema | None" = None,
    schema: str | None = None,
    prefix: str | None = None,
    permissions: Callable[[UserId, str], bool] | None = None,
    migrate: bool = False,
    check: bool = True,
    pooler: bool = False,
) -> Ports:
    """Return ports on the database of a host's engine; `attrs.evolve` replaces one of them.

    The arguments are those of `Recommender.from_engine`. The ports open connections in a small
    pool. None is open when this returns, so the process may fork.

    Raises:
        InvalidValueError: The engine cannot be served, or a name cannot be.
        SchemaError: The tables or the host's selects are not as they should be.
        StorageUnavailableError: The database did not answer.
    """
    from angle_reco.adapters.sql.core.borrowing import borrow_static
    from angle_reco.adapters.sql.core.host_engine import check_engine, engine_beside, is_in_memory

    check_engine(engine)
    pooler = flag(pooler, "pooler")
    borrowed = borrow_static(engine) if is_in_memory(engine) else None
    ours = (
        engine_beside(engine, settings.deadline, pooler=pooler)
        if borrowed is None
        else borrowed.engine
    )
    storage = sql_storage(
        ours, settings, host=host, schema=schema, prefix=prefix, borrowed=borrowed
    )
    return ready_ports(storage, permissions, migrate=migrate, check=check)


def ready_ports(
    storage: "Storage",
    permissions: Callable[[UserId, str], bool] | None = None,
    *,
    migrate: bool = False,
    check: bool = True,
) -> Ports:
    """Return ports on a storage that is migrated and checked, if asked for.

    While `angle-reco migrate` loads an application, nothing is migrated or checked. No
    connection is left open.

    Raises:
        SchemaError: The tables or the host's selects are not as they should be.
        StorageUnavailableError: The database did not answer.
    """
    migrate, check = flag(migrate, "migrate"), flag(check, "check")
    _refuse_both(storage, permissions)
    try:
        if (migrate or check) and not _leaves_unchecked.get():
            storage = storage.qualified()
            if migrate:
                storage.check_host()
                storage.migrate_up()
            if check:
                storage.check()
                storage.log_findings()
    finally:
        # A process that forks now would share them.
        storage.close()
    return ports_on(storage, permissions)


def ports_on(storage: "Storage", permissions: Callable[[UserId, str], bool] | None = None) -> Ports:
    """Return ports on a storage that is ready."""
    from angle_reco.adapters.clocks import SystemClock

    sql = storage.ports()
    return Ports(
        users=sql.users,
        activity=sql.activity,
        recorder=sql.recorder,
        catalog=sql.catalog,
        interests=sql.interests,
        lists=sql.lists,
        models=sql.models,
        erasure=sql.erasure,
        ledger=sql.ledger,
        changes=sql.changes,
        kernels=own_kernels(),
        permissions=_permissions(permissions, sql.permissions),
        clock=SystemClock(),
        storage=storage,
    )


def models_of(ports: Ports, settings: Settings) -> ModelStore:
    """Return the store of models; on a database, its model is in a file that processes share."""
    storage, folder = ports.storage, settings.model_folder
    if storage is None or storage.is_borrowed or folder is None:
        return ports.models
    from angle_reco.adapters.model_folder import SharedModels

    return SharedModels(ports.models, folder / storage.fingerprint)


def memory_ports(
    market: "MemoryMarketplace | None" = None,
    *,
    permissions: Callable[[UserId, str], bool] | None = None,
) -> Ports:
    """Return ports on a marketplace in memory, by default an empty one."""
    return ports_in_memory(market, permissions)


def ports_in_memory(
    market: "MemoryMarketplace | None" = None,
    permissions: Callable[[UserId, str], bool] | None = None,
    *,
    most_bytes: int | None = None,
) -> Ports:
    """Return ports on a marketplace in memory, whose lists take about *most_bytes* at most."""
    from angle_reco.adapters.clocks import SystemClock
    from angle_reco.adapters.memory.activity import MemoryActivity
    from angle_reco.adapters.memory.catalog import MemoryCatalog
    from angle_reco.adapters.memory.changes import MemoryChanges
    from angle_reco.adapters.memory.erasure import MemoryErasure, MemoryErasures
    from angle_reco.adapters.memory.ledger import MemoryRunLedger
    from angle_reco.adapters.memory.marketplace import MemoryMarketplace
    from angle_reco.adapters.memory.models import MemoryModelStore
    from angle_reco.adapters.memory.permissions import MemoryPermissions
    from angle_reco.adapters.memory.stores import MemoryFences, MemoryInterestStore, MemoryListStore
    from angle_reco.adapters.memory.users import MemoryUsers

    market = (
        MemoryMarketplace() if market is None else instance(market, "market", MemoryMarketplace)
    )
    activity, fences, erasures = MemoryActivity(market), MemoryFences(), MemoryErasures()
    interests = MemoryInterestStore(fences, erasures)
    lists = MemoryListStore(fences, erasures, most_bytes=most_bytes)
    models, changes = MemoryModelStore(fences, erasures), MemoryChanges(SystemClock())
    return Ports(
        users=MemoryUsers(market, erasures),
        activity=activity,
        recorder=activity,
        catalog=MemoryCatalog(market),
        interests=interests,
        lists=lists,
        models=models,
        erasure=MemoryErasure(erasures, interests, lists, models, changes),
        ledger=MemoryRunLedger(SystemClock(), fences),
        changes=changes,
        kernels=own_kernels(),
        permissions=_permissions(permissions, MemoryPermissions(market)),
        clock=SystemClock(),
    )


@contextmanager
def storage_at(
    url: str,
    settings: Settings,
    *,
    schema: str | None = None,
    prefix: str | None = None,
    pooler: bool = False,
) -> Iterator["Storage"]:
    """Open the storage at a URL, with the reference schema, until the end of the block.

    Raises:
        InvalidValueError: The URL is none of a supported database, or a name cannot be.
    """
    from angle_reco.adapters.sql.core.engine import close_engine, open_engine

    engine = open_engine(url, settings.deadline, pooler=pooler)
    try:
        yield sql_storage(engine, settings, schema=schema, prefix=prefix)
    finally:
        close_engine(engine)


@contextmanager
def in_snapshot(ports: Ports) -> Iterator[Ports]:
    """Yield ports that read the marketplace in one snapshot, and write nothing, in the block.

    In memory these are *ports* themselves.

    Raises:
        StorageUnavailableError: The database did not answer.
    """
    if ports.storage is None:
        yield ports
        return
    with ports.storage.snapshot() as storage:
        sql = storage.ports()
        yield attrs.evolve(ports, users=sql.users, activity=sql.activity, catalog=sql.catalog)


def import_marketplace(
    storage: "Storage",
    directory: Path,
    *,
    skip_bad_rows: bool = False,
    replace: bool = False,
    before_removal: "Callable[[Removal], None]" = lambda removal: None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> "ImportOutcome":
    """Import a directory of CSV files into a database with the reference schema.

    With *replace*, rows that the files do not have are removed: *before_removal* is called
    with their numbers while nothing is removed yet.

    Raises:
        InvalidValueError: Bad rows are to be skipped while replacing.
        BadInputError: Files or rows are not as they should be; nothing was stored.
        StorageError: The database cannot be used; nothing was stored.
    """
    from angle_reco.adapters.sql.importing.directory import import_directory

    if storage.host is not None:
        raise SchemaError(
            "the marketplace is in tables of the host's, which only the host fills: an import"
            " is for the reference schema"
        )
    return import_directory(
        storage,
        directory,
        skip_bad_rows=skip_bad_rows,
        replace=replace,
        before_removal=before_removal,
        progress=progress,
    )


def _refuse_both(storage: "Storage", permissions: Callable[[UserId, str], bool] | None) -> None:
    has_table = storage.host is not None and storage.host.permissions is not None
    if permissions is not None and has_table:
        raise InvalidValueError(
            "permissions",
            permissions,
            "None where the HostSchema has permissions: give one of the two",
        )


def own_scheduler() -> JobScheduler:
    """Return the scheduler that a process runs jobs with, unless the host brings one."""
    from angle_reco.adapters.apscheduler import ApsScheduler

    return ApsScheduler()


def _permissions(
    permissions: Callable[[UserId, str], bool] | None, stored: Permissions | None
) -> Permissions:
    """Return who may do what: a function of the host's counts before what is *stored*."""
    from angle_reco.adapters.permissions import CallablePermissions, NoPermissions

    if permissions is not None:
        return CallablePermissions(function(permissions, "permissions"))
    return NoPermissions() if stored is None else stored
