"""The adapters on PostgreSQL keep the contracts, and its connections their time."""

import os
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from threading import Timer
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.core.host_engine import engine_beside
from angle_reco.adapters.sql.core.pool import FairPool
from angle_reco.adapters.sql.core.postgres import limit_time
from angle_reco.adapters.sql.market import id_ranges
from angle_reco.adapters.sql.market.id_ranges import IdRange
from angle_reco.adapters.sql.storage import Storage
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import IdKind, IdKinds
from angle_reco.ports.activity import ActivityQueries
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.ports.deadlines import deadline
from angle_reco.ports.stores import InterestStore, ListStore
from angle_reco.ports.users import UserQueries
from angle_reco.testing.contracts import (
    KINDS,
    ActivityQueriesContract,
    ActivityRecorderContract,
    CatalogQueriesContract,
    ErasableStores,
    ErasureContract,
    InterestStoreContract,
    ListStoreContract,
    Make,
    RecordedActivity,
    RunLedgerContract,
    Sample,
    TimedLedger,
    UserQueriesContract,
)
from angle_reco.testing.contracts.model_store import ModelStoreContract, ModelStores
from tests.adapters.databases import (
    emptied,
    erasable_on,
    fill,
    fill_mirrored,
    mirrored,
    ports_on,
    recorded_on,
    storage_on,
    timed_ledger_on,
)
from tests.adapters.test_forks import InThread, ended, forked


@pytest.fixture
def storage(postgres_storages: dict[IdKinds, Storage], sample: Sample) -> Storage:
    """Return our tables without rows."""
    return emptied(postgres_storages[sample.ids])


class TestPostgresUsers(UserQueriesContract):
    @pytest.fixture
    def make(self, storage: Storage) -> Make[UserQueries]:
        def make(**rows: Any) -> UserQueries:
            fill(storage, **rows)
            return ports_on(storage).users

        return make


class TestPostgresActivity(ActivityQueriesContract):
    @pytest.fixture
    def make(self, storage: Storage) -> Make[ActivityQueries]:
        def make(**rows: Any) -> ActivityQueries:
            fill(storage, **rows)
            return ports_on(storage).activity

        return make


class TestPostgresActivityByRanges(TestPostgresActivity):
    """As for many users, if the range of their ids has few others."""

    @pytest.fixture(autouse=True)
    def by_ranges(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(id_ranges, "_MANY", 1)
        monkeypatch.setattr(id_ranges, "_MOST_IN_ALL", 1_000)


class TestPostgresRecorder(ActivityRecorderContract):
    @pytest.fixture
    def make(self, storage: Storage) -> Make[RecordedActivity]:
        def make(**rows: Any) -> RecordedActivity:
            fill(storage, **rows)
            return recorded_on(storage)

        return make


class TestPostgresCatalog(CatalogQueriesContract):
    @pytest.fixture
    def make(self, storage: Storage) -> Make[CatalogQueries]:
        def make(**rows: Any) -> CatalogQueries:
            fill(storage, **rows)
            return ports_on(storage).catalog

        return make


class TestPostgresInterestStore(InterestStoreContract):
    @pytest.fixture
    def store(self, storage: Storage) -> InterestStore:
        return ports_on(storage).interests


class TestPostgresListStore(ListStoreContract):
    @pytest.fixture
    def store(self, storage: Storage) -> ListStore:
        return ports_on(storage).lists


class TestPostgresModelStore(ModelStoreContract):
    @pytest.fixture
    def stores(self, storage: Storage) -> ModelStores:
        ports = ports_on(storage)
        return ModelStores(models=ports.models, erasure=ports.erasure)


class TestPostgresRunLedger(RunLedgerContract):
    @pytest.fixture
    def sample(self) -> Sample:
        return Sample(KINDS[0])

    @pytest.fixture
    def timed(self, storage: Storage) -> Iterator[TimedLedger]:
        with timed_ledger_on(storage) as timed:
            yield timed


class TestPostgresErasure(ErasureContract):
    @pytest.fixture
    def make(self, storage: Storage) -> Make[ErasableStores]:
        def make(**rows: Any) -> ErasableStores:
            fill(storage, **rows)
            return erasable_on(storage)

        return make


@pytest.fixture(scope="session")
def hosts(postgres_storages: dict[IdKinds, Storage]) -> dict[IdKinds, Storage]:
    """Return the same tables, those of the marketplace as ones of a host's."""
    return {
        ids: storage_on(
            storage.database.engine,
            ids,
            schema=storage.tables.schema,
            host=mirrored(storage),
        )
        for ids, storage in postgres_storages.items()
    }


@pytest.fixture
def host(storage: Storage, hosts: dict[IdKinds, Storage]) -> Storage:
    """Return a host's tables without rows, and ours beside them."""
    return hosts[storage.tables.ids]


class TestPostgresUsersOfAHost(UserQueriesContract):
    @pytest.fixture
    def make(self, host: Storage) -> Make[UserQueries]:
        def make(**rows: Any) -> UserQueries:
            fill_mirrored(host, **rows)
            return ports_on(host).users

        return make


class TestPostgresActivityOfAHost(ActivityQueriesContract):
    @pytest.fixture
    def make(self, host: Storage) -> Make[ActivityQueries]:
        def make(**rows: Any) -> ActivityQueries:
            fill_mirrored(host, **rows)
            return ports_on(host).activity

        return make


class TestPostgresActivityOfAHostByRanges(TestPostgresActivityOfAHost):
    @pytest.fixture(autouse=True)
    def by_ranges(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(id_ranges, "_MANY", 1)
        monkeypatch.setattr(id_ranges, "_MOST_IN_ALL", 1_000)


class TestPostgresCatalogOfAHost(CatalogQueriesContract):
    @pytest.fixture
    def make(self, host: Storage) -> Make[CatalogQueries]:
        def make(**rows: Any) -> CatalogQueries:
            fill_mirrored(host, **rows)
            return ports_on(host).catalog

        return make


class TestPostgresErasureBesideAHost(ErasureContract):
    @pytest.fixture
    def sample(self) -> Sample:
        return Sample(KINDS[-1])

    @pytest.fixture
    def make(self, host: Storage) -> Make[ErasableStores]:
        def make(**rows: Any) -> ErasableStores:
            fill_mirrored(host, **rows)
            return erasable_on(host)

        return make


class TestAHostsEngine:
    NAMES = ("idle_in_transaction_session_timeout", "statement_timeout")

    @pytest.fixture(
        params=[{}, {"isolation_level": "AUTOCOMMIT"}, {"isolation_level": "SERIALIZABLE"}]
    )
    def host(self, request: pytest.FixtureRequest, german_engine: sa.Engine) -> Iterator[sa.Engine]:
        """Return one whose connections may halt for seven seconds and work for eight."""
        idle, statement = self.NAMES
        host = sa.create_engine(
            german_engine.url,
            connect_args={"options": f"-c {idle}=7s -c {statement}=8s"},
            **request.param,
        )
        yield host
        host.dispose()

    @pytest.fixture(params=["sessions", "pooler"])
    def engine(self, request: pytest.FixtureRequest, host: sa.Engine) -> Iterator[sa.Engine]:
        """Return the engine beside the host's."""
        engine = engine_beside(host, timedelta(seconds=1), pooler=request.param == "pooler")
        yield engine
        engine.dispose()

    def shown(self, connection: sa.Connection) -> tuple[object, ...]:
        """Return how long a session may halt in a transaction, and a statement take."""
        return tuple(connection.exec_driver_sql(f"SHOW {name}").scalar() for name in self.NAMES)

    @pytest.mark.parametrize("seconds", [None, 2])
    def test_a_unit_may_halt_for_a_minute_and_the_hosts_own_work_as_long_as_before(
        self, engine: sa.Engine, host: sa.Engine, seconds: float | None
    ) -> None:
        database = Database(engine, timedelta(seconds=1))

        with nullcontext() if seconds is None else deadline(seconds):
            within = database.write(self.shown)
        with host.connect() as connection:
            of_the_host = self.shown(connection)

        assert within[0] == "1min"
        assert within[1] != "8s"
        assert of_the_host == ("7s", "8s")

    @pytest.mark.parametrize(
        ("pooler", "later"), [(False, ("1min", "900ms")), (True, ("7s", "8s"))]
    )
    def test_it_lasts_for_our_session_and_behind_a_pooler_for_the_transaction(
        self, host: sa.Engine, pooler: bool, later: tuple[str, str]
    ) -> None:
        engine = engine_beside(host, timedelta(seconds=1), pooler=pooler)

        def fail(connection: sa.Connection) -> None:
            raise ValueError(self.shown(connection)[0])

        with pytest.raises(ValueError, match="1min"):
            Database(engine, timedelta(seconds=1)).write(fail)
        with engine.connect() as connection:
            assert self.shown(connection) == later
        engine.dispose()

    def test_a_pooler_that_was_not_named_is_known_by_its_process(
        self, host: sa.Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A pooler makes up the process that it names when a client connects.
        monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", 1)
        engine = engine_beside(host, timedelta(seconds=1))
        with engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert isinstance(raw, psycopg.Connection)
            assert raw.prepare_threshold is None
            assert self.shown(connection) == ("7s", "8s")
        engine.dispose()

    def test_a_call_reads_in_one_trip(self, host: sa.Engine) -> None:
        engine = engine_beside(host, timedelta(seconds=1))
        database, sent = Database(engine, timedelta(seconds=1)), list[str]()
        database.scalar(sa.select(1))
        sa.event.listen(engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
        with deadline(1):
            assert database.scalar(sa.select(1)) == 1
        assert sent == ["SELECT 1"]
        engine.dispose()

    def test_a_call_that_reads_again_on_a_connection_has_a_new_one_if_it_was_lost(
        self, host: sa.Engine
    ) -> None:
        engine = engine_beside(host, timedelta(seconds=1))
        database = Database(engine, timedelta(seconds=1))
        number = sa.select(sa.func.pg_backend_pid())
        lost = database.scalar(number)
        with host.connect() as other:
            other.execute(sa.select(sa.func.pg_terminate_backend(lost, 5_000)))

        with deadline(10), database.reading() as connection:
            assert connection.scalar(number) != lost
        engine.dispose()


class TestAPoolThatIsEmpty:
    @contextmanager
    def empty(self, timeout: float) -> Iterator[tuple[FairPool, sa.PoolProxiedConnection]]:
        """Give a pool of one connection, which is taken."""

        def connect() -> Any:
            return sqlite3.connect(":memory:", check_same_thread=False)

        pool = FairPool(connect, pool_size=1, max_overflow=0, timeout=timeout)
        with closing(pool.connect()) as taken:
            yield pool, taken
        pool.dispose()

    @pytest.mark.parametrize(
        ("timeout", "left", "least", "most"),
        [
            (0.5, 1.0, 0.45, 0.9),  # an ordinary call, which has twice as much
            (0.5, 0.2, 0.15, 0.45),
            (0.05, 1.0, 0.45, 0.9),  # a beat, which has much more
        ],
    )
    def test_a_call_waits_for_half_of_the_time_it_has(
        self, timeout: float, left: float, least: float, most: float
    ) -> None:
        with self.empty(timeout) as (pool, _), deadline(left):
            began = monotonic()
            with pytest.raises(sa.exc.TimeoutError):
                pool.connect()

        assert least <= monotonic() - began <= most

    def test_a_connection_that_comes_with_an_interrupt_goes_to_the_next(self) -> None:
        class InterruptError(Exception):
            """Raised by a signal."""

        with self.empty(timeout=5) as (pool, taken):

            def interrupt(*_: object) -> None:
                taken.close()
                raise InterruptError

            before = signal.signal(signal.SIGALRM, interrupt)
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                with pytest.raises(InterruptError):
                    pool.connect()
            finally:
                signal.signal(signal.SIGALRM, before)

            pool.connect().close()

    def test_a_connection_that_arrives_just_before_an_interrupt_is_not_lost(self) -> None:
        class InterruptError(Exception):
            """Raised by a signal."""

        def interrupt(*_: object) -> None:
            raise InterruptError

        with self.empty(timeout=5) as (pool, taken):

            def give_back() -> None:
                # The waiting main thread receives it, and is interrupted as it wakes up.
                taken.close()
                os.kill(os.getpid(), signal.SIGUSR1)

            before = signal.signal(signal.SIGUSR1, interrupt)

            def connect() -> None:
                pool.connect()
                giving_back.join()

            giving_back = Timer(0.1, give_back)
            giving_back.start()
            try:
                with pytest.raises(InterruptError):
                    connect()
            finally:
                giving_back.join()
                signal.signal(signal.SIGUSR1, before)

            pool.connect().close()

    def test_one_with_much_time_has_a_connection_that_comes_late(self) -> None:
        with self.empty(timeout=0.05) as (pool, taken), deadline(20):
            giving_back = Timer(0.3, taken.close)
            giving_back.start()
            pool.connect().close()
            giving_back.join()


def test_a_connection_that_comes_back_to_a_pool_that_is_over_is_closed() -> None:
    raw: Any = sqlite3.connect(":memory:", check_same_thread=False)
    pool = FairPool(lambda: raw, pool_size=1, max_overflow=0)
    taken = pool.connect()
    pool.dispose()
    taken.cursor().execute("SELECT 1")

    taken.close()

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        raw.execute("SELECT 1")


def test_the_time_of_a_unit_does_not_limit_what_comes_after_it(postgres_url: str) -> None:
    engine = open_engine(postgres_url)
    with engine.begin() as connection:
        number = connection.scalar(sa.select(sa.func.pg_backend_pid()))
        limit_time(connection, 1.0, is_call=False)
    sleep(1.1)

    with engine.connect() as connection:
        query = sa.text("SELECT pg_backend_pid() FROM pg_sleep(0.2)")
        assert connection.scalar(query) == number
    engine.dispose()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_connection_in_use_stays_in_the_pool_when_the_unqualified_storage_is_dropped(
    postgres_url: str,
) -> None:
    engine = open_engine(postgres_url)
    storage = storage_on(engine)
    qualified = storage.qualified()
    pool = engine.pool

    with qualified.database.connected() as connection:
        connection.execute(sa.select(1))
        del storage

    assert engine.pool is pool
    assert pool.checkedin() == 1  # type: ignore[attr-defined]  # of QueuePool
    engine.dispose()


def test_a_child_inherits_no_connection_that_a_thread_was_opening() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        engine = open_engine(f"postgresql+psycopg://127.0.0.1:{port}/shop", timedelta(seconds=20))
        opening = InThread(engine.connect)
        accepted, _ = server.accept()
        with accepted:
            # It has sent its first message, so that it waits for the answer.
            assert accepted.recv(1)

            def check() -> None:
                assert port not in ports_connected_to(os.getpid())

            assert port in ports_connected_to(os.getpid())
            assert ended(forked(check)) == 0
        with pytest.raises(sa.exc.OperationalError, match="connection failed"):
            opening.join()


def ports_connected_to(pid: int) -> set[int]:
    """Return the ports on this machine to which a process holds connections of clients."""
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    links = {str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir() if one.is_symlink()}
    return {int(row[2].split(":")[1], 16) for row in rows if f"socket:[{row[9]}]" in links}


@pytest.mark.parametrize(
    ("kind", "asked", "is_one"),
    [
        (IdKind.INT, range(0, 30, 2), False),
        (IdKind.INT, range(20), True),
        (IdKind.INT, range(3), False),
        (IdKind.TEXT, range(20), False),
    ],
)
def test_many_users_are_a_range_if_few_others_are_in_it(
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    kind: IdKind,
    asked: range,
    is_one: bool,
) -> None:
    monkeypatch.setattr(id_ranges, "_MANY", 10)
    engine = open_engine(postgres_url)
    numbers = sa.func.generate_series(0, 29).column_valued("known")
    ids = list(asked) if kind is IdKind.INT else [f"{one:02}" for one in asked]

    found = IdRange.of_users(Database(engine), numbers, IdColumn.of(kind, ids))

    engine.dispose()
    assert (found is not None) is is_one
