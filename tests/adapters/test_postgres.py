"""The adapters on PostgreSQL keep the contracts."""

from collections.abc import Iterator
from typing import Any

import pytest

from angle_reco.adapters.sql import Storage
from angle_reco.domain import IdKinds
from angle_reco.ports import (
    ActivityQueries,
    CatalogQueries,
    InterestStore,
    ListStore,
    UserQueries,
)
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
