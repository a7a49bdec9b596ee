"""The adapters on SQLite keep the contracts; then what is SQLite's own."""

import gc
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
import sqlalchemy as sa

from angle_reco import Recommender, Settings
from angle_reco.adapters.sql.core.engine import file_of, open_engine
from angle_reco.adapters.sql.market.erased_users import ErasedUsers
from angle_reco.adapters.sql.market.users import SqlUsers
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.adapters.sql.schema.versions import HEAD
from angle_reco.adapters.sql.storage import Storage
from angle_reco.composition import Ports, sql_ports
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.errors import (
    InvalidValueError,
    SchemaError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from angle_reco.domain.ids import CategoryId, IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.items import Item
from angle_reco.domain.lists import ListKind, Lists
from angle_reco.domain.popular import popular_owner
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.domain.stored_list import StoredLine
from angle_reco.domain.suggestions import Freshness, Reason, Shelf, Source
from angle_reco.domain.users import SignIns, User
from angle_reco.ports.activity import ActivityQueries
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.ports.stores import InterestStore, ListStore
from angle_reco.ports.users import UserQueries
from angle_reco.testing import ManualClock
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
from angle_reco.testing.contracts.samples import DAY, HOUR, NOW, TICK
from tests.adapters.databases import (
    engine_of_a_full_disk,
    erasable_on,
    everything_in,
    fill,
    fill_mirrored,
    mirrored,
    ports_on,
    recorded_on,
    storage_on,
    timed_ledger_on,
    transaction,
)

# SQLite's own table, which stays once there was a number that never comes again.
NAMES = "SELECT name FROM sqlite_master WHERE name != 'sqlite_sequence' ORDER BY name"


@attrs.frozen
class Database:
    """A file of SQLite that has our tables."""

    file: Path
    storage: Storage

    @classmethod
    def of(cls, file: Path, ids: IdKinds) -> "Database":
        """Open one."""
        return cls(file, storage_on(open_engine(f"sqlite:///{file}"), ids))

    @property
    def engine(self) -> sa.Engine:
        """Return what connects to it."""
        return self.storage.database.engine

    @property
    def tables(self) -> Tables:
        """Return its tables."""
        return self.storage.tables

    @property
    def ports(self) -> Ports:
        """Return the adapters on it."""
        return ports_on(self.storage)

    def on(self, engine: sa.Engine) -> Storage:
        """Return the storage on another engine for the same file."""
        return storage_on(engine, self.storage.tables.ids)

    def fill(self, **rows: Any) -> None:
        """Put a marketplace in, on top of what is there."""
        fill(self.storage, **rows)


@pytest.fixture
def sample() -> Sample:
    """Return texts as ids, where no contract says otherwise."""
    return Sample(KINDS[0])


@pytest.fixture
def database(tmp_path: Path, new_files: dict[IdKinds, Path], sample: Sample) -> Iterator[Database]:
    """Return a database with our tables and no rows."""
    file = tmp_path / "shop.db"
    shutil.copy(new_files[sample.ids], file)
    database = Database.of(file, sample.ids)
    yield database
    database.engine.dispose()


@pytest.fixture
def contracted(sqlite: Storage) -> Database:
    """Return a database without rows for a contract, which opens nothing of its own."""
    return Database(file_of(sqlite.database.engine), sqlite)


class TestSqliteUsers(UserQueriesContract):
    @pytest.fixture
    def make(self, contracted: Database) -> Make[UserQueries]:
        def make(**rows: Any) -> UserQueries:
            contracted.fill(**rows)
            return contracted.ports.users

        return make


class TestSqliteActivity(ActivityQueriesContract):
    @pytest.fixture
    def make(self, contracted: Database) -> Make[ActivityQueries]:
        def make(**rows: Any) -> ActivityQueries:
            contracted.fill(**rows)
            return contracted.ports.activity

        return make


class TestSqliteRecorder(ActivityRecorderContract):
    @pytest.fixture
    def make(self, contracted: Database) -> Make[RecordedActivity]:
        def make(**rows: Any) -> RecordedActivity:
            contracted.fill(**rows)
            return recorded_on(contracted.storage)

        return make


class TestSqliteCatalog(CatalogQueriesContract):
    @pytest.fixture
    def make(self, contracted: Database) -> Make[CatalogQueries]:
        def make(**rows: Any) -> CatalogQueries:
            contracted.fill(**rows)
            return contracted.ports.catalog

        return make


class TestSqliteInterestStore(InterestStoreContract):
    @pytest.fixture
    def store(self, contracted: Database) -> InterestStore:
        return contracted.ports.interests


class TestSqliteListStore(ListStoreContract):
    @pytest.fixture
    def store(self, contracted: Database) -> ListStore:
        return contracted.ports.lists


class TestSqliteModelStore(ModelStoreContract):
    @pytest.fixture
    def stores(self, contracted: Database) -> ModelStores:
        return ModelStores(models=contracted.ports.models, erasure=contracted.ports.erasure)


class TestSqliteRunLedger(RunLedgerContract):
    @pytest.fixture
    def timed(self, contracted: Database) -> Iterator[TimedLedger]:
        with timed_ledger_on(contracted.storage) as timed:
            yield timed


class TestSqliteErasure(ErasureContract):
    @pytest.fixture
    def make(self, contracted: Database) -> Make[ErasableStores]:
        def make(**rows: Any) -> ErasableStores:
            contracted.fill(**rows)
            return erasable_on(contracted.storage)

        return make


@pytest.fixture(scope="session")
def hosts(sqlite_storages: dict[IdKinds, Storage]) -> dict[IdKinds, Storage]:
    """Return the same tables, those of the marketplace as ones of a host's."""
    return {
        ids: storage_on(storage.database.engine, ids, host=mirrored(storage))
        for ids, storage in sqlite_storages.items()
    }


@pytest.fixture
def host(contracted: Database, hosts: dict[IdKinds, Storage]) -> Storage:
    """Return a host's tables without rows, and ours beside them."""
    return hosts[contracted.tables.ids]


# What is no whole number SQLite computes with as a binary fraction of 53 bits.
LARGEST_IN_BINARY = Decimal("99999999999.9999")


class TestSqliteUsersOfAHost(UserQueriesContract):
    @pytest.fixture
    def make(self, host: Storage) -> Make[UserQueries]:
        def make(**rows: Any) -> UserQueries:
            fill_mirrored(host, **rows)
            return ports_on(host).users

        return make


class TestSqliteActivityOfAHost(ActivityQueriesContract):
    largest_amount = LARGEST_IN_BINARY

    @pytest.fixture
    def make(self, host: Storage) -> Make[ActivityQueries]:
        def make(**rows: Any) -> ActivityQueries:
            fill_mirrored(host, **rows)
            return ports_on(host).activity

        return make


class TestSqliteCatalogOfAHost(CatalogQueriesContract):
    largest_price = LARGEST_IN_BINARY

    @pytest.fixture
    def make(self, host: Storage) -> Make[CatalogQueries]:
        def make(**rows: Any) -> CatalogQueries:
            fill_mirrored(host, **rows)
            return ports_on(host).catalog

        return make


class TestSqliteErasureBesideAHost(ErasureContract):
    @pytest.fixture
    def sample(self) -> Sample:
        return Sample(KINDS[-1])

    @pytest.fixture
    def make(self, host: Storage) -> Make[ErasableStores]:
        def make(**rows: Any) -> ErasableStores:
            fill_mirrored(host, **rows)
            return erasable_on(host)

        return make


def stored_lists(sample: Sample, kind: ListKind, count: int, score: int = 500_000) -> Lists:
    """Return a list of two lines for each of the first owners."""
    lines = [
        StoredLine(
            item_id=sample.items[place],
            score=score - place,
            parts=(score, -place),
            reason=reason,
            source=source,
        )
        for place, (reason, source) in enumerate(
            [(Reason.TRENDING, Source.PERSONAL), (Reason.FOR_YOU, Source.POPULAR)]
        )
    ]
    return sample.lists(kind, dict.fromkeys(sample.owners(kind)[:count], lines))


def an_interest(sample: Sample) -> UserInterest:
    return UserInterest(
        user_id=sample.users[0],
        category_id=sample.categories[0],
        score=1_000_000,
        strength=3_000_000,
        interaction_count=1,
        last_interaction_at=NOW,
    )


def rows_of(engine: sa.Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


class TestViews:
    @pytest.mark.parametrize(
        ("kind", "view"),
        [
            (ListKind.SIMILAR, "angle_reco_item_similarities"),
            (ListKind.PERSONAL, "angle_reco_recommended_items"),
            (ListKind.POPULAR, "angle_reco_popular_items"),
        ],
    )
    def test_a_row_shows_one_suggestion(
        self, database: Database, sample: Sample, kind: ListKind, view: str
    ) -> None:
        store = database.ports.lists
        store.write(kind, stored_lists(sample, kind, 2, score=840_000))

        rows = rows_of(database.engine, f"SELECT * FROM {view} ORDER BY 1, rank")  # noqa: S608 — a constant

        items, moment = sample.items, "2026-03-01T12:30:15.123Z"
        assert rows == [
            line
            for owner in sample.owners(kind)[:2]
            for line in [
                (owner, 1, items[0], 0.84, "trending", "personal", 0, moment),
                (owner, 2, items[1], 0.839999, "for_you", "popular", 0, moment),
            ]
        ]

    def test_every_reason_and_source_has_its_name(self, database: Database, sample: Sample) -> None:
        pairs = [(reason, source) for reason in Reason for source in Source]
        lists = sample.lists(
            ListKind.POPULAR,
            {
                str(place): [
                    StoredLine(
                        item_id=sample.items[0],
                        score=0,
                        parts=(0, 0),
                        reason=reason,
                        source=source,
                    )
                ]
                for place, (reason, source) in enumerate(pairs)
            },
        )

        database.ports.lists.write(ListKind.POPULAR, lists)

        assert rows_of(
            database.engine,
            "SELECT reason, source FROM angle_reco_popular_items"
            " ORDER BY CAST(category_id AS INTEGER)",
        ) == [(reason.value, source.value) for reason, source in pairs]

    @pytest.mark.parametrize("sample", [Sample(ids) for ids in KINDS], ids=lambda one: one.ids.item)
    def test_popular_items_join_the_items_by_their_category(
        self, database: Database, sample: Sample
    ) -> None:
        category = sample.categories[0]
        database.fill(items=[Item(item_id=sample.items[0], category_id=category)])
        owner = popular_owner(category)
        line = StoredLine(
            item_id=sample.items[0],
            score=0,
            parts=(0, 0),
            reason=Reason.POPULAR,
            source=Source.POPULAR,
        )
        lists = sample.lists(ListKind.POPULAR, {owner: [line]})

        database.ports.lists.write(ListKind.POPULAR, lists)

        joined = "SELECT count(*) FROM angle_reco_popular_items JOIN items USING (category_id)"
        assert rows_of(database.engine, joined) == [(1,)]

    def test_an_empty_list_has_no_rows(self, database: Database, sample: Sample) -> None:
        lists = sample.lists(ListKind.SIMILAR, {sample.items[0]: []})

        database.ports.lists.write(ListKind.SIMILAR, lists)

        assert rows_of(database.engine, "SELECT * FROM angle_reco_item_similarities") == []


class TestOpenEngine:
    @pytest.mark.parametrize(
        "url",
        [
            "postgresql+psycopg2://ann:secret@host/shop",
            "postgresql+asyncpg://ann:secret@host:5432/shop",
            "mysql+pymysql://host/shop?user=ann&password=secret",
            "mysql://ann:secret@host/shop",
            "oracle://ann:secret@host:port/shop",
            "sqlite://ann:secret@host/shop.db",
            "sqlite+aiosqlite:///shop.db?key=secret",
            "ann:secret@host/shop",
            "https://ann:secret@host",
            "sqlite://",
            "sqlite:///",
            "sqlite:///:memory:",
            "shop.db",
            "",
        ],
    )
    def test_other_urls_are_refused_without_their_password(self, url: str) -> None:
        with pytest.raises(InvalidValueError, match=r"should be .* sqlite:///shop\.db") as refused:
            open_engine(url)

        assert "secret" not in str(refused.value)

    @pytest.mark.parametrize(
        ("url", "is_supported"),
        [
            ("postgresql+psycopg2://host/shop", True),
            ("sqlite+aiosqlite:///shop.db", True),
            ("mysql://host/shop", False),
            ("oracle+oracledb://host/shop", False),
        ],
    )
    def test_the_driver_is_refused_only_of_a_database_that_is_supported(
        self, url: str, is_supported: bool
    ) -> None:
        with pytest.raises(InvalidValueError) as refused:
            open_engine(url)

        assert ("that names no other driver" in refused.value.expected) is is_supported

    def test_nothing_connects_before_it_is_used(self, tmp_path: Path) -> None:
        open_engine(f"sqlite:///{tmp_path}/shop.db").dispose()

        assert list(tmp_path.iterdir()) == []

    def test_the_file_is_known(self, tmp_path: Path) -> None:
        engine = open_engine(f"sqlite:///{tmp_path}/a shop's %.db")

        assert file_of(engine) == tmp_path / "a shop's %.db"


@pytest.fixture
def new_engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """Return an engine on a file that is not there yet."""
    engine = open_engine(f"sqlite:///{tmp_path}/new.db")
    yield engine
    engine.dispose()


class TestMigrations:
    def test_up_creates_what_is_missing_once(self, new_engine: sa.Engine) -> None:
        storage = storage_on(new_engine)
        ours = [storage.tables.own, storage.tables.reference, storage.tables.version.metadata]

        assert storage.revisions() == (None, HEAD)
        assert [storage.migrate_up() for _ in range(2)] == [True, False]

        assert storage.revisions() == (HEAD, HEAD)
        storage.check()
        assert set(sa.inspect(new_engine).get_table_names()) == {
            name for metadata in ours for name in metadata.tables
        }

    def test_a_database_without_its_version_is_none_of_ours(self, database: Database) -> None:
        with database.engine.begin() as connection:
            connection.execute(sa.delete(database.tables.version))

        with pytest.raises(SchemaError, match="angle_reco_version is none of this release's"):
            database.storage.check()

    def test_a_table_that_went_missing_is_one_line(self, database: Database) -> None:
        with database.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE bids")

        with pytest.raises(
            StorageError, match=r"^the database is not as it should be \(no such table: bids\)$"
        ):
            database.ports.activity.totals()

    def test_no_item_has_a_status_nobody_knows(self, database: Database) -> None:
        item = {"item_id": "x", "title": "", "publication_status": "", "auction_status": "closed"}

        with pytest.raises(sa.exc.IntegrityError), database.engine.begin() as connection:
            connection.execute(sa.insert(database.tables.items), [item])

    def test_looking_for_the_schema_makes_no_file(self, new_engine: sa.Engine) -> None:
        storage = storage_on(new_engine)

        assert storage.revisions() == (None, HEAD)
        assert storage.migrate_down() is False
        assert not file_of(new_engine).exists()

    def test_a_file_that_is_named_as_a_uri_is_found(self, database: Database) -> None:
        engine = sa.create_engine(f"sqlite:///file:{database.file}?uri=true")

        found = database.on(engine).revisions()

        engine.dispose()
        assert found == (HEAD, HEAD)

    def test_without_tables_the_error_says_how_to_create_them(self, new_engine: sa.Engine) -> None:
        with pytest.raises(SchemaError, match=r"new\.db .*migrate up"):
            storage_on(new_engine).check()

    def test_down_removes_everything_of_ours(self, database: Database) -> None:
        database.fill(users=[User(user_id=UserId("ann"))])
        storage = database.storage

        assert [storage.migrate_down() for _ in range(2)] == [True, False]

        assert rows_of(database.engine, NAMES) == []
        assert storage.migrate_up() is True
        assert database.ports.users.total() == 0

    def test_down_leaves_what_others_added(self, database: Database) -> None:
        with database.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE invoices (id INTEGER)")
            connection.exec_driver_sql("CREATE VIEW all_invoices AS SELECT * FROM invoices")

        database.storage.migrate_down()

        left = rows_of(database.engine, NAMES)
        assert left == [("all_invoices",), ("invoices",)]

    def test_a_database_with_other_tables_is_refused_and_left_alone(
        self, new_engine: sa.Engine
    ) -> None:
        with closing(sqlite3.connect(file_of(new_engine))) as connection:
            connection.execute("CREATE TABLE users (name TEXT)")
            connection.execute("INSERT INTO users VALUES ('ann')")
            connection.commit()
        before = file_of(new_engine).read_bytes()

        with pytest.raises(SchemaError, match=r"new\.db holds other tables already \(users\)"):
            storage_on(new_engine).migrate_up()

        assert file_of(new_engine).read_bytes() == before

    def test_ids_of_other_kinds_are_refused(self, database: Database) -> None:
        others = storage_on(database.engine, IdKinds(item=IdKind.INT))

        for use in (others.revisions, others.check, others.migrate_up, others.migrate_down):
            with pytest.raises(SchemaError, match=r"text of items .* settings say .* int of"):
                use()

        assert database.storage.revisions() == (HEAD, HEAD)

    def test_a_later_version_is_refused(self, database: Database) -> None:
        with database.engine.begin() as connection:
            connection.execute(sa.update(database.tables.version).values(version_num="0815"))

        with pytest.raises(SchemaError, match=r"revision 0815.* install a newer"):
            database.storage.migrate_up()

    @pytest.mark.parametrize("ids", KINDS, ids=str)
    @pytest.mark.parametrize("others", KINDS, ids=str)
    def test_the_kinds_of_ids_are_remembered(
        self, new_files: dict[IdKinds, Path], ids: IdKinds, others: IdKinds
    ) -> None:
        found = Database.of(new_files[ids], others)

        is_refused = pytest.raises(SchemaError, match="the ids there are")
        with nullcontext() if ids == others else is_refused:
            found.storage.check()
        found.engine.dispose()


class TestErrors:
    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        file = tmp_path / "shop.db"
        file.write_text("Dear Ann, " * 1_000)
        storage = storage_on(open_engine(f"sqlite:///{file}"))

        uses: list[Callable[[], object]] = [
            storage.revisions,
            storage.migrate_up,
            ports_on(storage).users.total,
            lambda: ports_on(storage).users.record_sign_in(UserId("ann"), NOW),
        ]
        for use in uses:
            with pytest.raises(SchemaError, match="no database of SQLite"):
                use()

        storage.database.engine.dispose()
        assert file.read_text() == "Dear Ann, " * 1_000

    def test_a_directory_that_is_missing(self, tmp_path: Path) -> None:
        storage = storage_on(open_engine(f"sqlite:///{tmp_path}/no/shop.db"))

        for use in (
            storage.migrate_up,
            ports_on(storage).users.total,
            ports_on(storage).activity.totals,
        ):
            with pytest.raises(StorageUnavailableError, match="cannot be opened"):
                use()

    def test_a_file_that_cannot_be_written_to_can_be_read(
        self, database: Database, sample: Sample
    ) -> None:
        database.fill(users=sample.everyone)
        engine = sa.create_engine(f"sqlite:///file:{database.file}?mode=ro&uri=true")
        users = ports_on(database.on(engine)).users

        with pytest.raises(StorageError, match="cannot be written to"):
            users.record_sign_in(sample.users[0], NOW)

        assert users.total() == len(sample.users)
        assert database.on(engine).migrate_up() is False
        engine.dispose()

    @pytest.mark.parametrize("is_beside", [False, True])
    def test_a_sign_in_is_counted_when_another_thread_learns_of_erasures_meanwhile(
        self, database: Database, sample: Sample, is_beside: bool
    ) -> None:
        host = mirrored(database.storage) if is_beside else None
        storage = storage_on(database.engine, database.tables.ids, host=host)
        erased, user = sample.users[:2]
        database.fill(users=sample.everyone)
        ports_on(storage).erasure.erase(erased, at=NOW)

        class Meanwhile(ErasedUsers):
            def is_erased(self, user_id: UserId) -> sa.ColumnElement[bool]:
                condition = super().is_erased(user_id)
                with database.engine.connect() as connection:
                    assert self.learn(connection.scalar)
                return condition

        users = ports_on(storage).users
        assert isinstance(users, SqlUsers)
        users = attrs.evolve(users, erased=Meanwhile(storage.tables))

        counted = [users.record_sign_in(one, NOW) for one in (user, user, erased)]

        found = users.sign_ins(user)
        assert counted == [True, True, False]
        assert found is not None
        assert found.count == 2

    def test_a_writer_that_waits_too_long_for_another(
        self, database: Database, sample: Sample
    ) -> None:
        database.fill(users=sample.everyone)
        impatient = sa.create_engine(database.engine.url, connect_args={"timeout": 0.02})
        ports = ports_on(database.on(impatient))
        users, lists = ports.users, ports.lists

        with transaction(database.engine):
            with pytest.raises(StorageUnavailableError, match="another process"):
                users.record_sign_in(sample.users[0], NOW)
            with pytest.raises(StorageUnavailableError, match="another process"):
                lists.write(ListKind.PERSONAL, stored_lists(sample, ListKind.PERSONAL, 1))
        assert users.record_sign_in(sample.users[0], NOW) is True
        impatient.dispose()

    def test_a_writer_waits_for_another_a_while(self, database: Database, sample: Sample) -> None:
        database.fill(users=sample.everyone)
        users = database.ports.users

        with ThreadPoolExecutor(1) as threads:
            with transaction(database.engine):
                waiting = threads.submit(users.record_sign_in, sample.users[0], NOW)
                with pytest.raises(TimeoutError):
                    waiting.result(timeout=0.05)

            assert waiting.result(timeout=20) is True

    def test_a_file_that_is_locked_altogether(self, database: Database) -> None:
        impatient = sa.create_engine(database.engine.url, connect_args={"timeout": 0.02})
        with closing(sqlite3.connect(database.file)) as other:
            other.execute("PRAGMA journal_mode=DELETE")
            other.execute("BEGIN EXCLUSIVE")

            waiting = database.on(impatient)
            ports = ports_on(waiting)
            for use in (
                waiting.revisions,
                ports.users.total,
                lambda: list(ports.activity.interactions()),
            ):
                with pytest.raises(StorageUnavailableError, match="another process"):
                    use()
        impatient.dispose()

    def test_a_full_disk_leaves_everything_as_it_was(
        self, database: Database, sample: Sample
    ) -> None:
        interest = an_interest(sample)
        many = sample.interests(
            [attrs.evolve(interest, category_id=CategoryId(f"{place:500}")) for place in range(500)]
        )
        users, owners = sample.user_column(sample.users[:1]), range(2_000)
        interests = database.ports.interests
        lists = database.ports.lists
        interests.write(sample.interests([interest]), users=users, computed_at=NOW)
        lists.write(ListKind.POPULAR, stored_lists(sample, ListKind.POPULAR, 3))
        before = everything_in(database.file)
        full = engine_of_a_full_disk(database.file)

        with pytest.raises(StorageFullError, match="disk is full"):
            ports_on(database.on(full)).interests.write(many, users=users, computed_at=NOW)
        with pytest.raises(StorageFullError, match="disk is full"):
            ports_on(database.on(full)).lists.write(
                ListKind.POPULAR, sample.lists(ListKind.POPULAR, {str(one): [] for one in owners})
            )

        full.dispose()
        assert everything_in(database.file) == before
        assert interests.write(many, users=users, computed_at=NOW).changed == 501

    @pytest.mark.parametrize("kind", list(ListKind))
    def test_an_error_in_the_middle_of_a_write_leaves_the_old_lists(
        self, database: Database, sample: Sample, kind: ListKind
    ) -> None:
        store = database.ports.lists
        store.write(kind, stored_lists(sample, kind, 3))
        before = everything_in(database.file)
        fail_on_writing(database, database.tables.lists[kind], "owner", sample.owners(kind)[4])

        with pytest.raises(StorageError, match=r"refused a statement \(not this one\)"):
            store.write(kind, stored_lists(sample, kind, 5, score=7))

        assert everything_in(database.file) == before
        assert store.write(kind, stored_lists(sample, kind, 4, score=7)).changed == 4

    def test_an_error_in_a_later_batch_leaves_the_old_lists(
        self, database: Database, sample: Sample
    ) -> None:
        store, kind = database.ports.lists, ListKind.POPULAR
        owners = [f"{place:04}" for place in range(1_100)]
        old, new = (
            sample.lists(kind, {owner: [] for owner in owners}, at=at) for at in (NOW, NOW - DAY)
        )
        store.write(kind, old)
        before = everything_in(database.file)
        fail_on_writing(database, database.tables.lists[kind], "owner", owners[-1])

        with pytest.raises(StorageError, match=r"refused a statement \(not this one\)"):
            store.write(kind, new)

        assert everything_in(database.file) == before

    def test_an_error_in_the_middle_of_a_write_leaves_the_old_interests(
        self, database: Database, sample: Sample
    ) -> None:
        store, users = database.ports.interests, sample.users[:3]
        rows = [attrs.evolve(an_interest(sample), user_id=user_id) for user_id in users]
        column = sample.user_column(users)
        store.write(sample.interests(rows), users=column, computed_at=NOW)
        before = everything_in(database.file)
        fail_on_writing(database, database.tables.interests, "user_id", users[2])

        with pytest.raises(StorageError, match=r"refused a statement \(not this one\)"):
            store.write(
                sample.interests([attrs.evolve(one, interaction_count=2) for one in rows]),
                users=column,
                computed_at=NOW,
            )

        assert everything_in(database.file) == before


def fail_on_writing(database: Database, table: sa.Table, column: str, value: object) -> None:
    """Have the database refuse a row once it gets to it."""
    with database.engine.begin() as connection:
        for event in ("INSERT", "UPDATE"):
            connection.exec_driver_sql(
                f"CREATE TRIGGER refuse_{event} BEFORE {event} ON {table.name}"
                f" WHEN NEW.{column} = '{str(value).replace(chr(39), chr(39) * 2)}'"
                " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
            )


@pytest.mark.parametrize("column", ["scores", "parts"])
def test_a_number_that_is_too_large_for_a_list_is_refused(
    database: Database, sample: Sample, column: str
) -> None:
    store, kind = database.ports.lists, ListKind.PERSONAL
    store.write(kind, stored_lists(sample, kind, 1))
    table = database.tables.lists[kind]
    with database.engine.begin() as connection:
        large = sa.func.replace(table.c[column], "500000", str(2**31))
        connection.execute(sa.update(table).values({column: large}))

    with pytest.raises(InvalidValueError, match="whole numbers of 32 bits"):
        store.read(kind, sample.owners(kind)[:1])


class TestReadersAndWriters:
    def test_a_reader_beside_a_writer_sees_what_was(
        self, database: Database, sample: Sample
    ) -> None:
        store, kind = database.ports.lists, ListKind.PERSONAL
        store.write(kind, stored_lists(sample, kind, 2))
        owners = sample.owners(kind)[:2]
        before = store.read(kind, owners)

        with transaction(database.engine) as connection:
            connection.execute(sa.delete(database.tables.lists[kind]))
            during = store.read(kind, owners)

        assert during == before
        assert store.read(kind, owners) == {}

    def test_interactions_are_from_one_snapshot(
        self, database: Database, sample: Sample, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("angle_reco.adapters.sql.core.bulk._ROWS_AT_ONCE", 2)
        database.fill(
            users=sample.everyone,
            items=sample.everything,
            bids=[sample.bid(user, 0) for user in range(5)],
            watches=[sample.watch(user, 0) for user in range(5)],
        )
        recorder, activity = database.ports.recorder, database.ports.activity
        assert recorder is not None

        batches = activity.interactions()
        first = next(batches)
        for place in range(5, 9):
            assert recorder.record_bid(sample.bid(place, 0))
            assert recorder.remove_watch(sample.users[place - 5], sample.items[0])
        rest = list(batches)

        assert [len(batch) for batch in (first, *rest)] == [2] * 5
        assert activity.totals() == (9, 1)

    def test_sign_ins_of_many_at_once_are_all_counted(
        self, database: Database, sample: Sample
    ) -> None:
        database.fill(users=sample.everyone)
        users = database.ports.users
        moments = [NOW + TICK * place for place in range(40)]

        with ThreadPoolExecutor(4) as threads:
            taken = list(threads.map(lambda at: users.record_sign_in(sample.users[0], at), moments))

        assert all(taken)
        assert users.sign_ins(sample.users[0]) == SignIns(last_at=moments[-1], count=40)


class TestFromEngine:
    def test_the_engine_stays_the_hosts_to_close(self, database: Database) -> None:
        pool = database.engine.pool

        with Recommender.from_engine(database.engine) as recommender:
            assert recommender.system.stats().users == 0

        assert database.engine.pool is pool
        assert database.ports.users.total() == 0

    def test_a_database_without_tables_is_refused(self, new_engine: sa.Engine) -> None:
        with pytest.raises(SchemaError, match="migrate"):
            Recommender.from_engine(new_engine)

        assert not file_of(new_engine).exists()

    def test_an_engine_that_gives_each_thread_a_database_is_refused(self) -> None:
        engine = sa.create_engine("sqlite://")

        with pytest.raises(InvalidValueError, match="engine is 'a database in memory'"):
            Recommender.from_engine(engine, migrate=True)

    def test_connecting_leaves_no_connection_open(self, database: Database) -> None:
        with Recommender.connect(f"sqlite:///{database.file}") as recommender:
            assert recommender.storage is not None
            pool = recommender.storage.database.engine.pool
            assert pool.checkedin() == 0  # type: ignore[attr-defined]  # of QueuePool

    def test_connections_close_once_no_port_uses_them(self, database: Database) -> None:
        engine = open_engine(f"sqlite:///{database.file}")
        storage = database.on(engine)
        users, pool = ports_on(storage).users, engine.pool

        del storage
        gc.collect()
        assert users.total() == 0
        assert engine.pool is pool
        assert pool.checkedin() == 1  # type: ignore[attr-defined]  # of QueuePool

        del users
        gc.collect()
        assert pool.checkedin() == 0  # type: ignore[attr-defined]  # of QueuePool

    def test_they_are_made_where_that_is_asked_for(self, new_engine: sa.Engine) -> None:
        with Recommender.from_engine(new_engine, migrate=True) as recommender:
            assert len(recommender.anonymous.popular_items()) == 0


JOBS = (
    "refresh_user_interests",
    "generate_popular_items",
    "generate_recommendations",
    "compute_item_similarities",
)


def busy_market(size: int) -> dict[str, list[Any]]:
    """Return *size* users and items with bids and watches, all of them around and open."""
    users = [UserId(f"user {place:03}") for place in range(size)]
    items = [ItemId(f"lot {place:03}") for place in range(size)]
    return {
        "users": [User(user_id=one, created_at=NOW - DAY, last_sign_in_at=NOW) for one in users],
        "items": [
            Item(
                item_id=one,
                category_id=CategoryId(f"category {place % 4}"),
                starting_price=Decimal(place + 1),
                listed_at=NOW - DAY,
            )
            for place, one in enumerate(items)
        ],
        "bids": [
            Bid(
                user_id=one,
                item_id=items[place * step % size],
                amount=Decimal(50),
                placed_at=NOW - HOUR * step,
            )
            for place, one in enumerate(users)
            for step in (1, 3, 5)
        ],
        "watches": [
            Watch(user_id=one, item_id=items[(place + 7) % size], watched_at=NOW - HOUR)
            for place, one in enumerate(users)
        ],
    }


@contextmanager
def counted_statements(engine: sa.Engine) -> Iterator[list[str]]:
    """Collect what the engine sends to the database."""
    statements: list[str] = []

    def count(connection: object, cursor: object, statement: str, *_: object) -> None:
        # How long to wait for a lock is said to the connection, the database is not asked.
        if not statement.startswith("PRAGMA busy_timeout"):
            statements.append(statement)

    sa.event.listen(engine, "before_cursor_execute", count)
    yield statements
    sa.event.remove(engine, "before_cursor_execute", count)


def recommender_on(database: Database) -> Recommender:
    settings = Settings(cache_enabled=False)
    ports = sql_ports(database.engine, settings)
    return Recommender(attrs.evolve(ports, clock=ManualClock(NOW)), settings)


class TestStatements:
    def test_answers_from_stored_lists_take_two_at_most(self, database: Database) -> None:
        database.fill(**busy_market(60))
        recommender = recommender_on(database)
        for job in JOBS:
            recommender.system.run_job(job)

        shelves = {}
        counts = {}
        asked: dict[str, Callable[[], Shelf]] = {
            "homepage": lambda: recommender.as_user("user 007").homepage(),
            "similar_items": lambda: recommender.anonymous.similar_items("lot 007"),
            "popular_items": recommender.anonymous.popular_items,
        }
        for name, ask in asked.items():
            with counted_statements(database.engine) as statements:
                shelves[name] = ask()
            counts[name] = len(statements)

        assert {name: shelf.freshness for name, shelf in shelves.items()} == dict.fromkeys(
            shelves, Freshness.FRESH
        )
        assert all(len(shelf) >= 8 for shelf in shelves.values())
        assert max(counts.values()) <= 2, counts

    @pytest.mark.parametrize("job", JOBS)
    def test_a_job_takes_as_many_for_few_as_for_many(
        self, tmp_path: Path, new_files: dict[IdKinds, Path], sample: Sample, job: str
    ) -> None:
        counts = {}
        for size in (20, 200):
            file = tmp_path / f"{size}.db"
            shutil.copy(new_files[sample.ids], file)
            database = Database.of(file, sample.ids)
            database.fill(**busy_market(size))
            recommender = recommender_on(database)

            with counted_statements(database.engine) as statements:
                outcome = recommender.system.run_job(job)

            database.engine.dispose()
            assert outcome.changed > 0
            counts[size] = len(statements)

        assert counts[20] == counts[200]


def test_who_was_erased_is_not_counted_by_a_key_of_before_either(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    with Recommender.connect(url, migrate=True) as one, Recommender.connect(url) as other:
        assert one.storage is not None
        tables, engine = one.storage.tables, one.storage.database.engine
        fill(one.storage, users=[User(user_id=UserId(name)) for name in ("ann", "bob")])
        one.system.erase_user("ann")
        assert not other.signed_in("ann")
        # As after a backup was restored.
        with engine.begin() as connection:
            connection.execute(sa.delete(tables.erasures))
            connection.execute(sa.delete(tables.keys))

        one.system.erase_user("ann")

        assert not other.signed_in("ann")
        assert other.signed_in("bob")
