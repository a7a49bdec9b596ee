"""Events in transactions of the host's that are rolled back: what they hid is back."""

import gc
from collections.abc import Callable, Iterator
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
from tests.adapters.databases import fill, storage_on
from tests.application.shop import lots

LOT = "art-03"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def market(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """Return the reference schema of a shop that may show ann five lots."""
    if request.param == "postgres":
        german: sa.Engine = request.getfixturevalue("german_engine")
        found = storage_on(german, IdKinds(), schema="Rolled back")
    else:
        found = storage_on(open_engine(f"sqlite:///{tmp_path / 'shop.db'}"), IdKinds())
    found.migrate_up()
    fill(found, users=[User(user_id=UserId(one)) for one in ("ann", "bob")], items=lots("art", 5))
    yield found
    if request.param == "postgres":
        found.migrate_down()
    else:
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
    settings = Settings(cache_enabled=request.param)
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


def shown(reco: Recommender, user: str = "ann") -> set[str]:
    return {str(one) for one in reco.as_user(user).homepage().ids}


class TestRolledBack:
    @pytest.mark.parametrize("event", [bid, watch])
    def test_its_lot_is_back_at_once(
        self, reco: Recommender, engine: sa.Engine, event: Event
    ) -> None:
        with engine.connect() as connection:
            assert event(reco, connection)
            assert LOT not in shown(reco)
            connection.rollback()

        assert LOT in shown(reco)

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

        assert LOT in shown(reco)

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
            shown(reco, "bob")

            assert reco._use_cases.events.changes.may_have_ended(UserId("ann"))


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

    def test_the_newest_of_equal_ones_counts(self) -> None:
        known = HostTransactions()

        for key in (1, 2):
            known.add(engaged("ann"), key)

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

        known.discard([engaged("ann")])

        assert [one.change for one in known.pending()] == [other]


def engaged(user: str) -> Change:
    return Change(kind=ChangeKind.ENGAGED, user_id=UserId(user), item_ids=(ItemId(LOT),))
