"""Events in transactions of the host's that are rolled back: what they hid is back."""

import gc
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from angle_reco import Recommender, Settings
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.results.host_transactions import HostTransactions
from angle_reco.adapters.sql.storage import Storage
from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.ids import IdKinds, ItemId, UserId
from angle_reco.domain.users import User
from angle_reco.ports.deadlines import from_memory_alone
from tests.adapters.databases import fill, storage_on
from tests.application.shop import NOW, lots
from tests.postgres import comes_true

LOT = "art-03"
# Patient: what is shown here is not how fast a busy machine is.
PATIENT = timedelta(seconds=20)


@pytest.fixture(scope="module")
def on_postgres(german_engine: sa.Engine) -> Iterator[Storage]:
    """Return the reference schema on PostgreSQL, to be emptied."""
    storage = storage_on(german_engine, IdKinds(), schema="Rolled back")
    storage.migrate_up()
    yield storage
    storage.migrate_down()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def market(
    request: pytest.FixtureRequest, tmp_path: Path, new_files: dict[IdKinds, Path]
) -> Iterator[Storage]:
    """Return the reference schema of a shop that may show ann five lots."""
    if request.param == "postgres":
        found: Storage = request.getfixturevalue("on_postgres")
        tables = found.tables
        stays = {tables.version, tables.additions}
        with found.database.engine.begin() as connection:
            for table in [*tables.own.sorted_tables, *tables.reference.sorted_tables]:
                if table not in stays:
                    connection.execute(sa.delete(table))
    else:
        shutil.copy(new_files[IdKinds()], tmp_path / "shop.db")
        found = storage_on(open_engine(f"sqlite:///{tmp_path / 'shop.db'}"), IdKinds())
    fill(found, users=[User(user_id=UserId(one)) for one in ("ann", "bob")], items=lots("art", 5))
    yield found
    if request.param == "sqlite":
        found.database.engine.dispose()


@pytest.fixture
def engine(market: Storage) -> Iterator[sa.Engine]:
    """Return the host's own engine."""
    engine = sa.create_engine(market.database.engine.url)
    yield engine
    engine.dispose()


@pytest.fixture(params=[True, False], ids=["memory", "no memory"])
def reco(
    market: Storage, engine: sa.Engine, request: pytest.FixtureRequest
) -> Iterator[Recommender]:
    """Return a recommender beside the host's engine, with all answers in memory if it has one."""
    settings = Settings(cache_enabled=request.param, deadline=PATIENT)
    reco = Recommender.from_engine(engine, settings=settings, schema=market.tables.schema)
    for _ in range(2):
        for user in ("ann", "bob"):
            reco.as_user(user).homepage()
        reco.anonymous.popular_items()
        reco._use_cases.settle()
    yield reco
    reco.close()


Event = Callable[[Recommender, object], bool]


def bid(reco: Recommender, connection: object) -> bool:
    return reco.bid_placed("ann", LOT, amount=Decimal(500), connection=connection)


def watch(reco: Recommender, connection: object) -> bool:
    return reco.watched("ann", LOT, connection=connection)


def is_back(reco: Recommender) -> bool:
    """Return whether ann is shown the lot, once nothing of ours writes to SQLite."""
    reco._use_cases.settle()
    return LOT in shown(reco)


def shown(reco: Recommender, user: str = "ann") -> set[str]:
    return {str(one) for one in reco.as_user(user).homepage().ids}


def read_feed(reco: Recommender) -> None:
    """Have the process read the feed, if it does."""
    if reco._use_cases.invalidator is not None:
        reco._use_cases.invalidator.read()


class TestRolledBack:
    @pytest.mark.parametrize("event", [bid, watch])
    def test_its_lot_is_back_at_once(
        self, reco: Recommender, engine: sa.Engine, event: Event
    ) -> None:
        with engine.connect() as connection:
            assert event(reco, connection)
            assert LOT not in shown(reco)
            connection.rollback()

        assert is_back(reco)

    @pytest.mark.parametrize("event", [bid, watch])
    def test_what_is_committed_stays_hidden(
        self, reco: Recommender, engine: sa.Engine, event: Event
    ) -> None:
        with engine.connect() as connection:
            event(reco, connection)
            connection.commit()

        assert [LOT in shown(reco) for _ in range(3)] == [False] * 3

    def test_a_dropped_connection_has_rolled_back(
        self, reco: Recommender, engine: sa.Engine
    ) -> None:
        connection = engine.connect()
        bid(reco, connection)
        assert LOT not in shown(reco)

        connection.invalidate()
        connection.close()
        del connection
        gc.collect()

        # A server rolls back once it notices.
        assert comes_true(lambda: LOT in shown(reco))

    def test_a_withdrawal_that_the_feed_shows_late_ends_no_later_bid(
        self, reco: Recommender, engine: sa.Engine
    ) -> None:
        bid(reco, None)
        reco.bid_withdrawn("ann", LOT)
        with engine.connect() as connection:
            bid(reco, connection)
            read_feed(reco)

            assert LOT not in shown(reco)
            # Without memory a price is what the tables have.
            if reco._use_cases.invalidator is not None:
                assert price(reco) == Decimal(500)
            connection.rollback()

        assert is_back(reco)

    def test_a_bid_that_the_feed_shows_late_outlasts_no_later_withdrawal(
        self, reco: Recommender, engine: sa.Engine
    ) -> None:
        with engine.begin() as connection:
            bid(reco, connection)
        reco.bid_withdrawn("ann", LOT)

        read_feed(reco)

        assert is_back(reco)

    def test_its_amount_is_no_price(self, reco: Recommender, engine: sa.Engine) -> None:
        with engine.connect() as connection:
            bid(reco, connection)
            connection.rollback()

        shelf = reco.as_user("ann").homepage()

        assert {one.card.price for one in shelf} == {Decimal(100)}

    def test_the_end_of_a_watch_that_is_rolled_back_hides_the_lot_again(
        self, reco: Recommender, engine: sa.Engine
    ) -> None:
        reco.watched("ann", LOT)
        with engine.connect() as connection:
            reco.unwatched("ann", LOT, connection=connection)
            connection.rollback()

        assert LOT not in shown(reco)

    def test_a_withdrawal_that_is_rolled_back_hides_the_lot_again(
        self, reco: Recommender, engine: sa.Engine
    ) -> None:
        reco.bid_placed("ann", LOT)
        with engine.connect() as connection:
            reco.bid_withdrawn("ann", LOT, connection=connection)
            connection.rollback()

        assert LOT not in shown(reco)

    def test_of_another_user_nothing_is_read(self, reco: Recommender, engine: sa.Engine) -> None:
        with engine.connect() as connection:
            bid(reco, connection)
            connection.rollback()
            reco._use_cases.shelves.rolled_back.drop_of(UserId("bob"))

            assert reco._use_cases.events.changes.may_have_ended(UserId("ann"))


def price(reco: Recommender) -> Decimal | None:
    """Return the price of the lot that bob is shown, once the feed has been read."""
    invalidator = reco._use_cases.invalidator
    assert invalidator is not None
    invalidator.read()
    [found] = [one.card.price for one in reco.as_user("bob").homepage() if str(one.item_id) == LOT]
    return None if found is None else Decimal(found)


def bid_of(reco: Recommender, amount: int, connection: object) -> None:
    assert reco.bid_placed("ann", LOT, amount=Decimal(amount), connection=connection)


@pytest.mark.parametrize("reco", [True], ids=["memory"], indirect=True)
class TestSeveral:
    def test_a_retry_after_a_rollback_has_its_own_price(
        self, reco: Recommender, engine: sa.Engine
    ) -> None:
        for amount, end in ((900, "rollback"), (150, "commit")):
            with engine.connect() as connection:
                bid_of(reco, amount, connection)
                getattr(connection, end)()

        assert price(reco) == 150
        assert LOT not in shown(reco)

    def test_a_rollback_after_a_commit_leaves_the_price_that_is_committed(
        self, reco: Recommender, engine: sa.Engine
    ) -> None:
        for amount, end in ((150, "commit"), (900, "rollback")):
            with engine.connect() as connection:
                bid_of(reco, amount, connection)
                getattr(connection, end)()

        assert price(reco) == 150
        assert LOT not in shown(reco)

    def test_a_retry_after_a_savepoint_has_its_own_price(
        self, reco: Recommender, engine: sa.Engine
    ) -> None:
        with engine.begin() as connection:
            attempt = connection.begin_nested()
            bid_of(reco, 900, connection)
            attempt.rollback()
            bid_of(reco, 150, connection)

        assert price(reco) == 150
        assert LOT not in shown(reco)

    def test_another_event_that_is_rolled_back_takes_nothing_along(
        self, reco: Recommender, engine: sa.Engine
    ) -> None:
        one = engine.connect()
        # What has no transaction is not tied to one.
        reco._use_cases.events.pending.bid(UserId("ann"), ItemId(LOT), NOW)
        reco.watched("ann", LOT, connection=one)
        one.rollback()
        one.close()

        assert [LOT in shown(reco) for _ in range(2)] == [False, False]

    # SQLite has one writer.
    @pytest.mark.postgres
    @pytest.mark.parametrize("market", ["postgres"], indirect=True)
    def test_the_events_of_two_transactions_are_apart(
        self, reco: Recommender, engine: sa.Engine
    ) -> None:
        with engine.connect() as stays, engine.connect() as goes:
            bid_of(reco, 900, stays)
            reco.watched("ann", LOT, connection=goes)
            goes.rollback()

            assert LOT not in shown(reco)
            assert price(reco) == 900
            stays.rollback()
        assert is_back(reco)
        assert price(reco) == 100

    def test_an_event_that_is_refused_hides_nothing(
        self, reco: Recommender, engine: sa.Engine
    ) -> None:
        connection = engine.connect()
        connection.close()

        assert not reco.bid_placed("ann", LOT, amount=Decimal(900), connection=connection)

        assert is_back(reco)
        assert price(reco) == 100

    def test_a_page_that_may_not_wait_asks_nothing(
        self, reco: Recommender, engine: sa.Engine
    ) -> None:
        with engine.connect() as connection:
            bid_of(reco, 900, connection)
            connection.rollback()
        with from_memory_alone({}):
            reco._use_cases.shelves.rolled_back.drop_of(UserId("ann"))

        assert is_back(reco)


class TestHostTransactions:
    def test_they_are_bounded_and_the_oldest_go(self) -> None:
        known, changes = HostTransactions(most=3), [engaged(f"user-{one}") for one in range(5)]

        for key, change in enumerate(changes):
            known.add(change, key)

        assert [one.change for one in known.pending()] == changes[2:]
        assert [known.may_have_ended(UserId(f"user-{one}")) for one in range(5)] == [
            False,
            False,
            True,
            True,
            True,
        ]

    def test_equal_ones_are_apart(self) -> None:
        known = HostTransactions()

        for key in (1, 2):
            known.add(engaged("ann"), key)

        assert [one.key for one in known.pending()] == [1, 2]

    def test_one_that_is_published_again_stays(self) -> None:
        known, change = HostTransactions(), engaged("ann")
        known.add(change, 1)
        ended = known.pending()
        known.add(change, 2)

        known.discard(ended)

        assert [one.key for one in known.pending()] == [2]

    def test_they_are_forgotten_with_the_pending_events(self) -> None:
        known = HostTransactions(seconds=0)

        known.add(engaged("ann"), 1)

        assert list(known.pending()) == []
        assert not known.may_have_ended(UserId("ann"))

    def test_a_connection_that_shows_it_is_believed_once_a_second(self) -> None:
        class Connection:
            pass

        known, connection = HostTransactions(), Connection()
        known.add(engaged("ann"), 1, connection)

        assert [known.may_have_ended(UserId("ann")) for _ in range(3)] == [True, False, False]

    def test_without_one_it_may_always_have_ended(self) -> None:
        known = HostTransactions()
        known.add(engaged("ann"), 1, object())

        assert [known.may_have_ended(UserId("ann")) for _ in range(3)] == [True, True, True]

    def test_a_child_does_not_know_those_of_its_parent(self) -> None:
        known = HostTransactions()
        known.add(engaged("ann"), 1)

        known.reset_after_fork()

        assert list(known.pending()) == []
        assert not known.may_have_ended(UserId("ann"))

    def test_what_is_discarded_is_forgotten(self) -> None:
        known, other = HostTransactions(), engaged("bob")
        known.add(engaged("ann"), 1)
        known.add(other, 2)

        known.discard(known.pending()[:1])

        assert [one.change for one in known.pending()] == [other]


def engaged(user: str) -> Change:
    return Change(kind=ChangeKind.ENGAGED, user_id=UserId(user), item_ids=(ItemId(LOT),))
