"""A recommender on one connection of the host's: within its transaction, which it never ends."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from angle_reco import (
    HostSchema,
    IdKind,
    IdKinds,
    InvalidValueError,
    Recommender,
    SchemaError,
    Settings,
    Shelf,
    StorageError,
    StorageUnavailableError,
)
from angle_reco.adapters.sql.core import borrowing
from angle_reco.application.jobs.schedule import BATCH_JOBS
from tests.adapters.databases import driver_connection

SETTINGS = Settings(ids=IdKinds(user=IdKind.INT, item=IdKind.INT))

metadata = sa.MetaData()
people = sa.Table("people", metadata, sa.Column("id", sa.Integer, primary_key=True))
lots = sa.Table(
    "lots", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("kind", sa.Text)
)
offers = sa.Table(
    "offers",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("who", sa.Integer),
    sa.Column("what", sa.Integer),
    sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.current_timestamp()),
)
HOST = HostSchema(
    users=sa.select(people.c.id.label("user_id")),
    items=sa.select(lots.c.id.label("item_id"), lots.c.kind.label("category_id")),
    bids=sa.select(
        offers.c.who.label("user_id"),
        offers.c.what.label("item_id"),
        offers.c.at.label("placed_at"),
    ),
)


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    """Return an engine of the host's, with its tables and two people, and ours."""
    if request.param == "sqlite":
        engine = sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    else:
        german: sa.Engine = request.getfixturevalue("german_engine")
        schema = "borrowing"
        engine = sa.create_engine(german.url, connect_args={"options": f"-c search_path={schema}"})
        with engine.begin() as connection:
            connection.execute(sa.schema.DropSchema(schema, cascade=True, if_exists=True))
            connection.execute(sa.schema.CreateSchema(schema))
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(people), [{"id": 1}, {"id": 2}])
    Recommender.from_engine(engine, host=HOST, settings=SETTINGS, migrate=True).close()
    yield engine
    engine.dispose()


def count(engine: sa.Engine, table: str) -> int:
    with engine.connect() as connection:
        found = connection.scalar(sa.select(sa.func.count()).select_from(sa.text(table)))
    return int(found or 0)


def shown(shelf: Shelf) -> list[object]:
    return list(shelf.ids)


def use(reco: Recommender) -> None:
    """Read, take events and run every job."""
    assert shown(reco.as_user(1).homepage()) == [12]
    assert reco.items_changed([11, 12])
    assert reco.bid_placed(2, 12)
    assert reco.signed_in(1)
    for job in BATCH_JOBS:
        reco.system.run_job(job)
    reco.system.erase_user(2)
    assert reco.system.stats().items == 2


def fill(connection: sa.Connection) -> None:
    connection.execute(sa.insert(lots), [{"id": 11, "kind": "a"}, {"id": 12, "kind": "a"}])
    connection.execute(sa.insert(offers).values(who=1, what=11))


@pytest.mark.parametrize("opened", [Recommender.from_connection, Recommender.from_engine])
def test_the_selects_are_checked_by_default(engine: sa.Engine, opened: Callable[..., Any]) -> None:
    wrong = attrs.evolve(HOST, items=sa.select(sa.literal(1.5).label("item_id")))
    with engine.connect() as connection:
        on = connection if opened == Recommender.from_connection else engine
        with pytest.raises(SchemaError, match="item_id"):
            opened(on, host=wrong, settings=SETTINGS)


def test_a_statement_that_fails_is_an_error_of_sqlalchemy(engine: sa.Engine) -> None:
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match="nothing"):
        borrowing._execute(connection.connection.dbapi_connection, "SELECT * FROM nothing")


class TestATransaction:
    def test_all_is_gone_when_the_host_rolls_back(self, engine: sa.Engine) -> None:
        with engine.connect() as connection:
            fill(connection)
            use(Recommender.from_connection(connection, host=HOST, settings=SETTINGS))
            connection.rollback()

        for table in ("lots", "angle_reco_changes", "angle_reco_runs", "angle_reco_erasures"):
            assert count(engine, table) == 0, table

    def test_all_is_there_when_the_host_commits(self, engine: sa.Engine) -> None:
        with engine.begin() as connection:
            fill(connection)
            use(Recommender.from_connection(connection, host=HOST, settings=SETTINGS))

        assert count(engine, "lots") == 2
        assert count(engine, "angle_reco_runs") == len(BATCH_JOBS)

    def test_events_take_the_same_connection_and_no_other(self, engine: sa.Engine) -> None:
        with engine.begin() as connection, engine.connect() as other:
            reco = Recommender.from_connection(connection, host=HOST, settings=SETTINGS)
            mine = [connection, orm.Session(connection), connection.connection.dbapi_connection]
            for one in mine:
                assert reco.items_changed([11], connection=one)
            assert not reco.items_changed([11], connection=other)
        assert count(engine, "angle_reco_changes") == len(mine)

    def test_a_bid_that_is_rolled_back_was_never_there(self, engine: sa.Engine) -> None:
        with engine.begin() as connection:
            fill(connection)
            reco = Recommender.from_connection(connection, host=HOST, settings=SETTINGS)
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("SAVEPOINT bidding")
            else:
                bidding = connection.begin_nested()
            connection.execute(sa.insert(offers).values(who=1, what=12))
            assert reco.bid_placed(1, 12)
            assert shown(reco.as_user(1).homepage()) == []
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("ROLLBACK TO bidding")
            else:
                bidding.rollback()
            assert shown(reco.as_user(1).homepage()) == [12]
            connection.rollback()

    def test_a_transaction_that_has_failed_is_an_error_of_ours(self, engine: sa.Engine) -> None:
        if engine.dialect.name == "sqlite":
            return  # There a failed statement leaves the transaction as it was.
        with engine.connect() as connection:
            reco = Recommender.from_connection(connection, host=HOST, settings=SETTINGS)
            with pytest.raises(sa.exc.DBAPIError):
                connection.exec_driver_sql("SELECT 1 / 0")
            with pytest.raises(StorageError):
                reco.as_user(1).homepage()
            with pytest.raises(StorageError):
                reco.system.stats()
            assert reco.system.health().database == "StorageError"
            assert not reco.items_changed([11], connection=connection)

    def test_a_connection_that_is_closed_is_an_error_of_ours(self, engine: sa.Engine) -> None:
        with engine.connect() as connection:
            reco = Recommender.from_connection(connection, host=HOST, settings=SETTINGS)
        with pytest.raises(
            StorageUnavailableError, match="the connection that was given is closed"
        ):
            reco.as_user(1).homepage()
        assert not reco.system.health().is_ok

    def test_a_suite_that_joins_each_session_to_one_transaction(self, engine: sa.Engine) -> None:
        with engine.connect() as connection:
            outer = connection.begin()
            with orm.Session(connection, join_transaction_mode="create_savepoint") as session:
                reco = Recommender.from_connection(session, host=HOST, settings=SETTINGS)
                session.execute(sa.insert(lots).values(id=11, kind="a"))
                session.commit()
                reco.items_changed([11])
                assert shown(reco.anonymous.popular_items()) == [11]
                session.execute(sa.delete(lots))
                session.commit()
                assert shown(reco.anonymous.popular_items()) == []
            outer.rollback()

        assert count(engine, "angle_reco_changes") == 0

    def test_what_fails_leaves_the_hosts_rows(self, engine: sa.Engine) -> None:
        with engine.begin() as connection:
            fill(connection)
            reco = Recommender.from_connection(connection, host=HOST, settings=SETTINGS)
            missing = Recommender.from_connection(
                connection, host=HOST, settings=SETTINGS, prefix="missing_", check=False
            )
            assert not missing.items_changed([11])
            with pytest.raises(StorageError):
                missing.system.run_job("generate_popular_items")
            assert reco.items_changed([11])

        assert count(engine, "lots") == 2
        assert count(engine, "angle_reco_changes") == 1

    def test_tables_can_be_made_within_it(self, engine: sa.Engine) -> None:
        with engine.connect() as connection:
            fill(connection)
            reco = Recommender.from_connection(
                connection, host=HOST, settings=SETTINGS, prefix="test_", migrate=True
            )
            use(reco)
            connection.rollback()

        assert "test_changes" not in sa.inspect(engine).get_table_names()

    def test_closing_leaves_the_connection_open(self, engine: sa.Engine) -> None:
        with engine.begin() as connection:
            fill(connection)
            Recommender.from_connection(connection, host=HOST, settings=SETTINGS).close()
            assert connection.scalar(sa.select(sa.func.count()).select_from(lots)) == 2

        assert count(engine, "lots") == 2


class TestDrivers:
    @pytest.mark.parametrize("is_autocommit", [False, True])
    def test_a_connection_of_the_driver_is_as_the_driver_is_set(
        self, engine: sa.Engine, is_autocommit: bool
    ) -> None:
        with engine.begin() as connection:
            fill(connection)
        raw = driver_connection(engine.url, **options(engine, is_autocommit))
        with closing(raw):
            reco = Recommender.from_connection(raw, host=HOST, settings=SETTINGS)
            assert reco.items_changed([11])
            raw.rollback()

        assert count(engine, "angle_reco_changes") == is_autocommit

    def test_whatever_it_makes_of_rows(self, engine: sa.Engine) -> None:
        raw = driver_connection(engine.url, **options(engine, False))
        raw.row_factory = sqlite3.Row if engine.dialect.name == "sqlite" else psycopg.rows.dict_row
        with closing(raw):
            reco = Recommender.from_connection(raw, host=HOST, settings=SETTINGS)
            raw.execute("INSERT INTO lots VALUES (11, 'a')")
            assert shown(reco.anonymous.popular_items()) == [11]

    def test_a_closed_one_and_others_are_refused(self, engine: sa.Engine) -> None:
        raw = driver_connection(engine.url)
        raw.close()
        for connection in (raw, engine, None, "sqlite://"):
            with pytest.raises(InvalidValueError, match="connection"):
                Recommender.from_connection(connection, host=HOST, settings=SETTINGS)


def options(engine: sa.Engine, is_autocommit: bool) -> dict[str, Any]:
    if engine.dialect.name == "sqlite":
        return {"isolation_level": None} if is_autocommit else {}
    return {"autocommit": is_autocommit, "options": "-c search_path=borrowing"}


class TestInMemory:
    @pytest.fixture
    def engine(self) -> Iterator[sa.Engine]:
        engine = sa.create_engine(
            "sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False}
        )
        metadata.create_all(engine)
        yield engine
        engine.dispose()

    def test_a_read_of_ours_does_not_end_the_hosts_transaction(self, engine: sa.Engine) -> None:
        reco = Recommender.from_engine(engine, host=HOST, settings=SETTINGS, migrate=True)
        with engine.begin() as connection:
            connection.execute(sa.insert(people).values(id=1))
            fill(connection)
            assert shown(reco.as_user(1).homepage()) == [12]
            assert reco.items_changed([11])

        assert count(engine, "lots") == 2

    def test_what_the_host_rolls_back_is_gone_with_ours(self, engine: sa.Engine) -> None:
        reco = Recommender.from_engine(engine, host=HOST, settings=SETTINGS, migrate=True)
        with engine.connect() as connection:
            connection.execute(sa.insert(people).values(id=1))
            reco.items_changed([11])
            connection.rollback()

        assert count(engine, "people") == 0
        assert count(engine, "angle_reco_changes") == 0

    def test_outside_of_a_transaction_ours_is_one_of_its_own(self, engine: sa.Engine) -> None:
        reco = Recommender.from_engine(engine, host=HOST, settings=SETTINGS, migrate=True)
        with engine.begin() as connection:
            connection.execute(sa.insert(people), [{"id": 1}, {"id": 2}])
            fill(connection)
        use(reco)
        with engine.connect() as connection:
            connection.rollback()

        assert count(engine, "angle_reco_runs") == len(BATCH_JOBS)

    def test_nothing_is_cached_and_no_jobs_start(
        self, engine: sa.Engine, caplog: pytest.LogCaptureFixture
    ) -> None:
        reco = Recommender.from_engine(engine, host=HOST, settings=SETTINGS, migrate=True)

        with caplog.at_level(logging.WARNING):
            reco.start()

        assert caplog.messages == ["jobs not started on a borrowed connection"]
        assert reco.settings.cache_enabled is False
        assert reco.stop()

    def test_an_engine_that_gives_each_thread_a_database_is_refused(self) -> None:
        for url in ("sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"):
            engine = sa.create_engine(url, poolclass=sa.pool.SingletonThreadPool)
            with pytest.raises(InvalidValueError, match=r"StaticPool, or Recommender\.from_conn"):
                Recommender.from_engine(engine, host=HOST, settings=SETTINGS)
