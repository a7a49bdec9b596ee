"""Bids and watches that are stored in the transaction of a host's connection."""

import shutil
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from time import sleep
from typing import Any

import attrs
import psycopg
import pytest
import sqlalchemy as sa

from angle_reco import Recommender, UserId
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.results.changes import SqlChanges
from angle_reco.adapters.sql.storage import Storage
from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.errors import StorageError
from angle_reco.domain.ids import IdKinds
from angle_reco.testing import User
from angle_reco.testing.contracts.activity_base import seen
from angle_reco.testing.contracts.recorder import RecordedActivity
from angle_reco.testing.contracts.samples import DAY, KINDS, NOW, Sample
from tests.adapters.databases import (
    WAYS,
    connection_to,
    driver_connection,
    emptied,
    fill,
    recorded_on,
    storage_on,
)
from tests.application.shop import lot

FORGET = Change(kind=ChangeKind.FORGET)


class RolledBackError(Exception):
    """What a host's request fails with."""


@pytest.fixture(params=KINDS, ids=str)
def sample(request: pytest.FixtureRequest) -> Sample:
    """Return a marketplace of each choice of ids."""
    return Sample(request.param)


@pytest.fixture(params=["sqlite", "postgres"])
def storage(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    sample: Sample,
    new_files: dict[IdKinds, Path],
    postgres_storages: dict[IdKinds, Storage],
) -> Iterator[Storage]:
    """Return the reference schema with all users and items of the sample."""
    if request.param == "postgres":
        found = emptied(postgres_storages[sample.ids])
        fill(found, users=sample.everyone, items=sample.everything)
        yield found
        return
    shutil.copy(new_files[sample.ids], tmp_path / "shop.db")
    found = storage_on(open_engine(f"sqlite:///{tmp_path / 'shop.db'}"), sample.ids)
    fill(found, users=sample.everyone, items=sample.everything)
    yield found
    found.database.engine.dispose()


@pytest.fixture
def activity(storage: Storage) -> RecordedActivity:
    """Return the recorder, and what reads again."""
    return recorded_on(storage)


def happened(activity: RecordedActivity) -> list[Any]:
    return list(seen(activity.queries.interactions()))


def test_what_is_written_together_is_there_as_a_whole_or_not_at_all(
    storage: Storage, activity: RecordedActivity, sample: Sample
) -> None:
    recorder, changes = activity.recorder, SqlChanges(storage.database, storage.tables)
    before = changes.now()

    def both() -> bool:
        is_stored = recorder.record_bid(sample.bid(0, 0))
        changes.publish([FORGET])
        # Another connection sees nothing of it yet.
        assert not changes.since(before).changes
        return is_stored

    def fails() -> bool:
        recorder.record_bid(sample.bid(1, 0))
        changes.publish([FORGET])
        raise RolledBackError

    with pytest.raises(RolledBackError):
        recorder.together(fails)
    assert happened(activity) == []
    assert recorder.together(both)

    assert len(happened(activity)) == 1
    assert list(changes.since(before).changes) == [FORGET]


@pytest.mark.parametrize("way", WAYS)
class TestInATransaction:
    def test_they_are_there_when_it_is_committed(
        self, storage: Storage, activity: RecordedActivity, sample: Sample, way: str
    ) -> None:
        recorder, plain = activity.recorder, sample.bid(0, 0, NOW, "2.50")
        with connection_to(storage.database.engine, way) as connection:
            assert recorder.record_bid(plain, connection=connection)
            assert not recorder.record_bid(plain, connection=connection)
            assert recorder.record_watch(sample.watch(1, 1, NOW), connection=connection)
            assert recorder.record_watch(sample.watch(2, 1, NOW), connection=connection)
            assert recorder.remove_watch(sample.users[2], sample.items[1], connection=connection)
        within = happened(activity)

        recorder.remove_watch(sample.users[1], sample.items[1])
        assert len(within) == 2
        assert len(happened(activity)) == 1
        # As one that was stored without: it is the same one.
        assert not recorder.record_bid(plain)

    def test_nothing_is_there_when_it_is_rolled_back(
        self, storage: Storage, activity: RecordedActivity, sample: Sample, way: str
    ) -> None:
        def request() -> None:
            with connection_to(storage.database.engine, way) as connection:
                assert activity.recorder.record_bid(sample.bid(0, 0), connection=connection)
                assert activity.recorder.record_watch(sample.watch(1, 1), connection=connection)
                raise RolledBackError

        with pytest.raises(RolledBackError):
            request()

        assert happened(activity) == []

    def test_bids_are_removed_when_it_is_committed_and_not_when_it_is_rolled_back(
        self, storage: Storage, activity: RecordedActivity, sample: Sample, way: str
    ) -> None:
        recorder, users, items = activity.recorder, sample.users, sample.items
        for bid in (sample.bid(0, 0, NOW - DAY), sample.bid(0, 0, NOW, "5"), sample.bid(1, 0)):
            recorder.record_bid(bid)

        def request(*, fails: bool) -> None:
            with connection_to(storage.database.engine, way) as connection:
                assert recorder.remove_bids(users[0], items[0], until=NOW, connection=connection)
                assert not recorder.remove_bids(users[0], items[0], connection=connection)
                if fails:
                    raise RolledBackError

        with pytest.raises(RolledBackError):
            request(fails=True)
        after_a_rollback = len(happened(activity))
        request(fails=False)

        assert after_a_rollback == 3
        assert [row[0] for row in happened(activity)] == [users[1]]

    def test_what_is_unknown_changes_nothing(
        self, storage: Storage, activity: RecordedActivity, sample: Sample, way: str
    ) -> None:
        unknown, items = sample.unknown_user, sample.items
        with connection_to(storage.database.engine, way) as connection:
            assert not activity.recorder.remove_watch(unknown, items[0], connection=connection)
            assert not activity.recorder.remove_watch(
                sample.users[0], sample.unknown_item, connection=connection
            )

        assert happened(activity) == []


def test_an_event_waits_for_no_lock_that_its_own_host_holds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    with (
        Recommender.connect(url, migrate=True) as reco,
        sqlite3.connect(tmp_path / "shop.db") as connection,
    ):
        assert reco.storage is not None
        fill(reco.storage, users=[User(user_id=UserId("ann"))], items=[lot("new")])
        connection.execute("UPDATE items SET title = 'A new one'")
        assert reco.items_changed(["new"], connection=connection)
        assert reco.bid_placed("ann", "new", connection=connection)
        assert reco.watched("ann", "new", connection=connection)
        assert reco.unwatched("ann", "new", connection=connection)
        assert reco.bid_withdrawn("ann", "new", connection=connection)
        assert reco.bid_placed("ann", "new", connection=connection)
        connection.commit()

        assert reco.system.stats().bids == 1
        assert reco.system.stats().events_failed == 0
    connection.close()


def read_feed(reco: Recommender) -> None:
    invalidator = reco._use_cases.invalidator
    assert invalidator is not None
    invalidator.read()


@pytest.mark.parametrize("stores_bids", [True, False])
def test_a_bid_that_is_rolled_back_or_withdrawn_hides_its_lot_no_longer(
    tmp_path: Path, stores_bids: bool
) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    engine = sa.create_engine(url)
    with (
        Recommender.connect(url, migrate=True) as reference,
        Recommender(
            reference.ports if stores_bids else attrs.evolve(reference.ports, recorder=None)
        ) as reco,
        Recommender(reference.ports) as other,
    ):
        assert reference.storage is not None
        fill(
            reference.storage,
            users=[User(user_id=UserId("ann"))],
            items=[lot("new", price=100), lot("old")],
        )

        def seen_by(one: Recommender) -> dict[object, object]:
            shelf = one.as_user("ann").homepage()
            return {each.item_id: each.card.price for each in shelf}

        def is_from_feed() -> bool:
            sleep(1.1)
            return seen_by(other).get("new") == Decimal(100)

        whole = {"new": Decimal(100), "old": Decimal(100)}
        assert seen_by(reco) == seen_by(other) == whole

        for _ in range(2):
            with engine.connect() as connection:
                connection.begin()
                assert reco.bid_placed("ann", "new", amount=Decimal(500), connection=connection)
                assert "new" not in seen_by(reco)
                # The process reads its own withdrawal, which is older than this bid.
                read_feed(reco)
                assert "new" not in seen_by(reco)
                assert reco.anonymous.popular_items()[0].card.price == Decimal(500)
                connection.rollback()
            assert reco.bid_withdrawn("ann", "new") is not stores_bids
            assert seen_by(reco) == whole
        assert reco.bid_placed("ann", "new", amount=Decimal(500))
        with engine.begin() as connection:
            reco.bid_withdrawn("ann", "new", connection=connection)

        assert seen_by(reco) == whole
        assert is_from_feed()
        assert reco.system.stats().bids == 0
    engine.dispose()


class Traced:
    """A connection of a driver that is not known, which passes all on to one of sqlite3."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


def test_a_connection_of_sqlalchemy_may_be_on_a_driver_that_is_not_known(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path / name}.db" for name in ("shop", "other")]
    recorded = list[bool]()
    with Recommender.connect(urls[0], migrate=True) as reco:
        for url in urls:
            raw = Traced(driver_connection(sa.make_url(url)))
            engine = sa.create_engine(url, creator=lambda raw=raw: raw)
            with engine.begin() as connection:
                recorded.append(reco.items_changed(["new"], connection=connection))
            engine.dispose()

    assert recorded == [True, False]


class TestWhateverItIsSetTo:
    """Connections of drivers, as hosts like them."""

    @pytest.fixture
    def sample(self) -> Sample:
        """Return one choice of ids, which do not matter here."""
        return Sample(KINDS[1])

    @pytest.mark.parametrize("storage", ["sqlite"], indirect=True)
    def test_rows_of_sqlite_may_be_anything(
        self, storage: Storage, activity: RecordedActivity, sample: Sample
    ) -> None:
        for place, (name, value) in enumerate(
            [
                ("row_factory", lambda _, row: {"first": row[0]}),
                ("row_factory", lambda _, row: row[0]),
                ("row_factory", sqlite3.Row),
                ("text_factory", bytes),
            ]
        ):
            connection = driver_connection(storage.database.engine.url)
            setattr(connection, name, value)
            bid = sample.bid(place % 3, place // 3)
            assert activity.recorder.record_bid(bid, connection=connection)
            connection.commit()
            connection.close()

        assert len(happened(activity)) == 4

    @pytest.mark.parametrize("storage", ["postgres"], indirect=True)
    def test_so_may_cursors_of_psycopg(
        self, storage: Storage, activity: RecordedActivity, sample: Sample
    ) -> None:
        kinds: list[dict[str, Any]] = [
            {"cursor_factory": psycopg.RawCursor},
            {"cursor_factory": psycopg.ClientCursor},
            {"row_factory": psycopg.rows.scalar_row},
        ]
        for place, options in enumerate(kinds):
            with driver_connection(storage.database.engine.url, **options) as connection:
                bid = sample.bid(place, 0)
                assert activity.recorder.record_bid(bid, connection=connection)

        assert len(happened(activity)) == 3

    @pytest.mark.parametrize("storage", ["postgres"], indirect=True)
    def test_what_fails_takes_nothing_with_it_in_a_transaction_begun_by_hand(
        self, storage: Storage, activity: RecordedActivity, sample: Sample
    ) -> None:
        engine = storage.database.engine
        missing = storage_on(engine, prefix="missing_").tables
        changes = SqlChanges(storage.database, missing)
        with (
            driver_connection(engine.url, autocommit=True) as connection,
            connection.transaction(),
        ):
            activity.recorder.record_bid(sample.bid(0, 0), connection=connection)
            with pytest.raises(StorageError, match="missing_changes"):
                changes.publish([FORGET], connection=connection)
            activity.recorder.record_bid(sample.bid(1, 0), connection=connection)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as theirs:
            theirs.execute(sa.text("BEGIN"))
            with pytest.raises(StorageError, match="missing_changes"):
                changes.publish([FORGET], connection=theirs)
            activity.recorder.record_bid(sample.bid(2, 0), connection=theirs)
            theirs.execute(sa.text("COMMIT"))

        assert len(happened(activity)) == 3
