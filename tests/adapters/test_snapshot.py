"""One snapshot of a database: what others commit later is not seen, and nothing is written."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from angle_reco import Recommender
from angle_reco.adapters.sql.core.engine import close_engine, open_engine
from angle_reco.adapters.sql.storage import Storage
from angle_reco.composition import in_snapshot, memory_ports, ports_on
from angle_reco.domain.activity import Bid, Interactions
from angle_reco.domain.errors import StorageError
from angle_reco.domain.ids import IdKinds, ItemId, UserId
from angle_reco.domain.items import Item
from angle_reco.domain.moments import EPOCH
from angle_reco.domain.users import User
from angle_reco.ports.activity import ActivityQueries
from angle_reco.ports.deadlines import deadline
from tests.adapters.databases import fill, storage_on
from tests.postgres import new_database

IDS = IdKinds()


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """Return a database with a user, an item and a bid."""
    with ExitStack() as opened:
        url = f"sqlite:///{tmp_path}/shop.db"
        if request.param == "postgres":
            url = opened.enter_context(new_database(request.getfixturevalue("postgres_url")))
        engine = open_engine(url)
        opened.callback(close_engine, engine)
        made = storage_on(engine, IDS)
        made.migrate_up()
        if not made.database.is_postgres:
            with engine.connect() as connection:
                # So that others may commit while it is read.
                connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        fill(made, users=[User(user_id=UserId("ann"))], items=[Item(item_id=ItemId("vase"))])
        fill(made, bids=[_bid(1)])
        yield made


def _bid(day: int) -> Bid:
    moment = EPOCH.replace(year=2026, day=day)
    return Bid(user_id=UserId("ann"), item_id=ItemId("vase"), placed_at=moment)


def _count(activity: ActivityQueries) -> int:
    return len(Interactions.joined(IDS, activity.interactions()))


def test_what_is_committed_later_is_not_seen(storage: Storage) -> None:
    ports = ports_on(storage)

    with in_snapshot(ports) as frozen:
        fill(storage, bids=[_bid(2)])
        during = _count(frozen.activity), frozen.activity.totals(), _count(ports.activity)
        listed = frozen.catalog.may_be_open(EPOCH.replace(year=2027)).bids.tolist()

    assert during == (1, (1, 0), 2)
    assert listed == [1]
    assert _count(ports.activity) == 2


def test_nothing_can_be_written_through_it_and_all_can_after_it(storage: Storage) -> None:
    deleted = sa.delete(storage.tables.bids)

    with storage.snapshot() as frozen, pytest.raises(StorageError):
        frozen.database.write(lambda connection: connection.execute(deleted))

    assert _count(ports_on(storage).activity) == 1
    storage.database.write(lambda connection: connection.execute(deleted))
    assert _count(ports_on(storage).activity) == 0


def test_a_failure_in_the_block_leaves_the_connection_usable(storage: Storage) -> None:
    def fails() -> None:
        with storage.snapshot() as frozen:
            assert _count(ports_on(frozen).activity) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()

    with deadline(5):
        assert ports_on(storage).activity.totals() == (1, 0)


def test_a_borrowed_connection_is_its_own_snapshot(storage: Storage) -> None:
    with storage.database.engine.connect() as connection:
        recommender = Recommender.from_connection(connection, check=False)
        assert recommender.storage is not None
        with recommender.storage.snapshot() as frozen:
            assert frozen is recommender.storage


def test_in_memory_the_ports_are_the_same() -> None:
    ports = memory_ports()

    with in_snapshot(ports) as frozen:
        assert frozen is ports


def test_a_session_has_the_patience_of_jobs_and_does_not_end_while_idle(storage: Storage) -> None:
    if not storage.database.is_postgres:
        pytest.skip("SQLite has no sessions")

    with storage.snapshot() as frozen:
        shown = [
            frozen.database.scalar(sa.text(f"SHOW {name}"))
            for name in (
                "idle_in_transaction_session_timeout",
                "statement_timeout",
                "transaction_isolation",
                "transaction_read_only",
            )
        ]

    # A hundred times the deadline of 20 seconds.
    assert shown == ["0", "2000s", "repeatable read", "on"]
