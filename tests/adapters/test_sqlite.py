"""The adapters on SQLite keep the contracts; then what is SQLite's own."""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import sqlalchemy as sa

from angle_reco.adapters.sql import (
    SqlActivity,
    SqlCatalog,
    SqlInterestStore,
    SqlListStore,
    SqlUsers,
    Tables,
    migrate_up,
    open_engine,
)
from angle_reco.domain import (
    UNKNOWN_PRICE,
    Bid,
    IdKinds,
    Item,
    PriceScale,
    User,
    Watch,
)
from angle_reco.ports import ActivityQueries, CatalogQueries, UserQueries
from angle_reco.testing.contracts import (
    KINDS,
    ActivityQueriesContract,
    ActivityRecorderContract,
    CatalogQueriesContract,
    InterestStoreContract,
    ListStoreContract,
    Make,
    RecordedActivity,
    Sample,
    UserQueriesContract,
)

PRICES = PriceScale()


@attrs.frozen
class Database:
    """A file of SQLite that has our tables."""

    file: Path
    engine: sa.Engine
    tables: Tables

    def fill(
        self,
        *,
        users: Iterable[User] = (),
        items: Iterable[Item] = (),
        bids: Iterable[Bid] = (),
        watches: Iterable[Watch] = (),
    ) -> None:
        """Put a marketplace in, on top of what is there."""
        numbers: Counter[Bid] = Counter()
        rows: list[tuple[sa.Table, list[dict[str, Any]]]] = [
            (self.tables.users, [attrs.asdict(user) for user in users]),
            (self.tables.items, [item_row(item) for item in items]),
            (self.tables.bids, [bid_row(bid, numbers) for bid in bids]),
            (self.tables.watches, [attrs.asdict(watch) for watch in watches]),
        ]
        with self.engine.begin() as connection:
            for table, some in rows:
                if some:
                    connection.execute(sa.insert(table), some)


def item_row(item: Item) -> dict[str, Any]:
    """Return an item as the reference schema has it."""
    return {
        "item_id": item.item_id,
        "category_id": item.category_id,
        "seller_id": item.seller_id,
        "title": item.title,
        "starting_price": units(item.starting_price),
        "current_price": units(item.current_price),
        "publication_status": "published" if item.is_published else "draft",
        "auction_status": item.status,
        "starts_at": item.starts_at,
        "ends_at": item.ends_at,
        "listed_at": item.listed_at,
    }


def bid_row(bid: Bid, numbers: Counter[Bid]) -> dict[str, Any]:
    """Return a bid as the reference schema has it: equal ones are numbered."""
    numbers[bid] += 1
    amount = units(bid.amount)
    return {
        **attrs.asdict(bid),
        "amount": UNKNOWN_PRICE if amount is None else amount,
        "number": numbers[bid] - 1,
    }


def units(amount: object) -> int | None:
    return None if amount is None else PRICES.to_units(amount, "amount")


@pytest.fixture(scope="session")
def new_files(tmp_path_factory: pytest.TempPathFactory) -> dict[IdKinds, Path]:
    """Return a database without rows for each choice of id kinds, to be copied."""
    directory = tmp_path_factory.mktemp("databases")
    files = {}
    for place, ids in enumerate(KINDS):
        files[ids] = directory / f"{place}.db"
        engine = open_engine(f"sqlite:///{files[ids]}")
        migrate_up(engine, Tables.of(ids))
        engine.dispose()
    return files


@pytest.fixture
def sample() -> Sample:
    """Return texts as ids, where no contract says otherwise."""
    return Sample(KINDS[0])


@pytest.fixture
def database(
    tmp_path: Path, new_files: dict[IdKinds, Path], sample: Sample
) -> Iterator[Database]:
    """Return a database with our tables and no rows."""
    file = tmp_path / "shop.db"
    shutil.copy(new_files[sample.ids], file)
    engine = open_engine(f"sqlite:///{file}")
    yield Database(file, engine, Tables.of(sample.ids))
    engine.dispose()


class TestSqliteUsers(UserQueriesContract):
    @pytest.fixture
    def make(self, database: Database) -> Make[UserQueries]:
        def make(**rows: Any) -> SqlUsers:
            database.fill(**rows)
            return SqlUsers(database.engine, database.tables)

        return make


class TestSqliteActivity(ActivityQueriesContract):
    @pytest.fixture
    def make(self, database: Database) -> Make[ActivityQueries]:
        def make(**rows: Any) -> SqlActivity:
            database.fill(**rows)
            return SqlActivity(database.engine, database.tables, PRICES)

        return make


class TestSqliteRecorder(ActivityRecorderContract):
    @pytest.fixture
    def make(self, database: Database) -> Make[RecordedActivity]:
        def make(**rows: Any) -> SqlActivity:
            database.fill(**rows)
            return SqlActivity(database.engine, database.tables, PRICES)

        return make


class TestSqliteCatalog(CatalogQueriesContract):
    @pytest.fixture
    def make(self, database: Database) -> Make[CatalogQueries]:
        def make(**rows: Any) -> SqlCatalog:
            database.fill(**rows)
            return SqlCatalog(database.engine, database.tables, PRICES)

        return make


class TestSqliteInterestStore(InterestStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> SqlInterestStore:
        return SqlInterestStore(database.engine, database.tables)


class TestSqliteListStore(ListStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> SqlListStore:
        return SqlListStore(database.engine, database.tables)
