"""Connections of the host's in odd states: nothing of ours costs the host its transaction."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.adapt import Transformer
from sqlalchemy.exc import IntegrityError

from angle_reco import IdKind, IdKinds, Recommender, Settings
from angle_reco.adapters.sql.core.host_psycopg import literal_on
from angle_reco.adapters.sql.core.host_savepoint import RELEASE
from angle_reco.adapters.sql.core.host_statements import _on_sqlite3
from tests.adapters.databases import driver_connection
from tests.postgres import new_database


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    """Give the URL of a database with our tables, the reference schema and the host's table."""
    with new_database(postgres_url) as url:
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE mine (x integer)")
        engine.dispose()
        Recommender.connect(url, migrate=True).close()
        yield url


@pytest.fixture
def reco(url: str) -> Iterator[Recommender]:
    with Recommender.connect(url) as reco:
        yield reco


def connected(url: str, **options: Any) -> "psycopg.Connection[Any]":
    raw: psycopg.Connection[Any] = driver_connection(sa.make_url(url), **options)
    return raw


def rows_of_the_host(raw: "psycopg.Connection[Any]") -> int:
    [(count,)] = raw.execute("SELECT count(*) FROM mine").fetchall()
    return int(count)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_what_the_encoding_cannot_write_is_refused_before_it_is_sent(
    reco: Recommender, url: str, encoding: str
) -> None:
    with closing(connected(url, client_encoding=encoding)) as raw:
        raw.execute("INSERT INTO mine VALUES (1)")
        before = rows_of_the_host(raw)

        for user in ("Łukasz", "木村"):
            assert not reco.signed_in(user, connection=raw)
            assert not reco.bid_placed(user, "vase", connection=raw)

        assert rows_of_the_host(raw) == before
        raw.commit()


def test_what_the_server_cannot_convert_costs_nothing(postgres_url: str) -> None:
    with (
        new_database(postgres_url, "ENCODING 'LATIN1' LOCALE 'C'") as url,
        Recommender.connect(url, migrate=True) as reco,
        closing(connected(url, client_encoding="UTF8")) as raw,
    ):
        raw.execute("CREATE TABLE mine (x integer)")
        raw.execute("INSERT INTO mine VALUES (1)")

        assert not reco.signed_in("Łukasz", connection=raw)
        assert reco.items_changed(["vase"], connection=raw)

        assert rows_of_the_host(raw) == 1
        raw.commit()


def test_a_savepoint_of_the_host_is_not_taken_for_ours(reco: Recommender, url: str) -> None:
    with closing(connected(url)) as raw:
        before = rows_of_the_host(raw)
        raw.execute("SAVEPOINT angle_reco")
        raw.execute("INSERT INTO mine VALUES (1)")
        with raw.transaction(force_rollback=True):
            raw.execute("DROP TABLE angle_reco_changes CASCADE")
            assert not reco.items_changed(["vase"], connection=raw)
        assert rows_of_the_host(raw) == before + 1
        raw.rollback()


def test_a_prepared_two_phase_transaction_is_left_alone(reco: Recommender, url: str) -> None:
    with closing(connected(url)) as raw:
        [(most,)] = raw.execute("SHOW max_prepared_transactions").fetchall()
        raw.rollback()
        if int(most) == 0:
            raw._tpc = (raw.xid(1, "a", "b"), True)  # as after tpc_prepare()
            assert not reco.items_changed(["vase"], connection=raw)
            assert raw.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            raw._tpc = None
            return
        raw.tpc_begin(raw.xid(1, "a", "b"))
        raw.execute("INSERT INTO mine VALUES (1)")
        raw.tpc_prepare()
        assert not reco.items_changed(["vase"], connection=raw)
        raw.tpc_commit()


def test_an_engine_that_connects_elsewhere_is_of_another_database(
    reco: Recommender, postgres_url: str, url: str
) -> None:
    with new_database(postgres_url) as elsewhere:
        engine = sa.create_engine(url, creator=lambda: connected(elsewhere))
        with engine.begin() as connection:
            assert not reco.items_changed(["vase"], connection=connection)
            assert connection.connection.dbapi_connection.info.transaction_status == 0  # type: ignore[union-attr]  # of psycopg
        engine.dispose()


def test_a_host_hears_its_own_notices_and_notifications(url: str) -> None:
    with closing(connected(url, autocommit=True)) as raw:
        heard = list[str]()
        raw.add_notify_handler(lambda one: heard.append(one.channel))
        raw.add_notice_handler(lambda one: heard.append(str(one.message_primary)))
        raw.execute("LISTEN auction")

        reco = Recommender.from_connection(raw)
        assert reco.items_changed(["vase"])
        raw.execute("NOTIFY auction")
        raw.execute("DO $$ BEGIN RAISE NOTICE 'sold'; END $$")

        assert heard == ["auction", "sold"]


def test_a_borrowed_connection_in_pipeline_mode_is_an_error(url: str) -> None:
    with closing(connected(url)) as raw:
        reco = Recommender.from_connection(raw)
        with raw.pipeline():
            assert not reco.items_changed(["vase"])
            assert reco.system.health().database == "StorageError"
        assert reco.items_changed(["vase"])


@pytest.mark.parametrize("strings", ["on", "off"])
def test_values_are_quoted_as_psycopg_quotes_them(url: str, strings: str) -> None:
    with closing(connected(url)) as raw:
        raw.execute(f"SET standard_conforming_strings = {strings}".encode())
        quoted = literal_on(raw)
        for value in (0, 5, -5, 2**40, -(2**63), True, "a", "o'neill", "\\'; --\\", "%s", "Łukasz"):
            assert quoted(value) == Transformer(raw).as_literal(value).decode()
            assert raw.execute(f"SELECT {quoted(value)}".encode()).fetchall() == [(value,)]
        assert quoted(None) == "NULL"


def prepared_by_us(raw: "psycopg.Connection[Any]") -> list[str]:
    query = "SELECT statement FROM pg_prepared_statements WHERE name LIKE 'angle\\_reco\\_%'"
    return [text for (text,) in raw.execute(query).fetchall()]


@pytest.mark.parametrize(
    ("kind", "users"),
    [
        (IdKind.INT, [-1, 7]),
        (IdKind.TEXT, ["ann", "Łukasz", "100%s", "o'neill\\"]),
        (IdKind.UUID, [UUID(int=7)]),
    ],
)
def test_an_event_counts_the_same_once_its_statement_is_prepared(
    url: str, kind: IdKind, users: list[Any]
) -> None:
    settings = Settings(ids=IdKinds(user=kind, item=kind), strict_events=True)
    with (
        Recommender.connect(url, settings=settings, schema=f"of_{kind}", migrate=True) as reco,
        closing(connected(url)) as raw,
    ):
        assert reco.storage is not None
        tables = reco.storage.tables
        with reco.storage.database.engine.begin() as ours:
            for one in users:
                ours.execute(sa.insert(tables.users).values(user_id=one, sign_in_count=0))
                item = {"item_id": one, "title": "", "publication_status": "published"}
                ours.execute(sa.insert(tables.items).values(item))
        feed = sa.select(tables.changes.c.kind, tables.changes.c.user_id, tables.changes.c["items"])
        of_rounds = list[Any]()
        for amount in range(4):
            for user in users:
                assert reco.signed_in(user, connection=raw)
                assert reco.bid_placed(user, user, amount=Decimal(amount), connection=raw)
                assert reco.watched(user, user, connection=raw)
                assert reco.unwatched(user, user, connection=raw)
                assert reco.bid_withdrawn(user, user, connection=raw)
                assert reco.items_changed([user, users[0]], connection=raw)
            raw.commit()
            with reco.storage.database.engine.begin() as ours:
                of_rounds.append(ours.execute(feed.order_by(tables.changes.c.number)).all())
                ours.execute(sa.delete(tables.changes))

        assert len(of_rounds[0]) == 5 * len(users)
        assert of_rounds == [of_rounds[0]] * 4
        counted = reco.system.sign_ins(of=users[0])
        assert counted is not None
        assert counted.count == 4
        assert any("_changes" in text for text in prepared_by_us(raw))


class Instrumented:
    """A connection as instrumentation wraps it, which is then of no driver that is known."""

    def __init__(self, raw: "psycopg.Connection[Any]") -> None:
        vars(self).update(raw=raw, hidden=())

    def __getattr__(self, name: str) -> Any:
        if name in self.hidden:
            raise AttributeError(name)
        return getattr(self.raw, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.raw, name, value)


@pytest.fixture
def instrumented(url: str) -> Iterator[sa.Connection]:
    """Return a connection of a host, whose driver SQLAlchemy alone knows, and not its state."""
    engine = sa.create_engine(
        url, creator=lambda: Instrumented(connected(url)), use_native_hstore=False
    )
    with engine.connect() as connection:
        vars(connection.connection.dbapi_connection).update(hidden=("info",))
        yield connection
    engine.dispose()


def test_an_event_on_a_driver_that_is_not_known_is_committed_with_the_host(
    reco: Recommender, url: str, instrumented: sa.Connection
) -> None:
    count = "SELECT count(*) FROM angle_reco_changes"
    with closing(connected(url, autocommit=True)) as raw:
        [(before,)] = raw.execute(count).fetchall()
        for end, more in ((instrumented.rollback, 0), (instrumented.commit, 1)):
            assert reco.items_changed(["vase"], connection=instrumented)
            assert not has_savepoint(instrumented)
            assert raw.execute(count).fetchall() == [(before,)]
            end()
            assert raw.execute(count).fetchall() == [(before + more,)]


def test_an_event_on_a_driver_that_is_not_known_commits_as_the_host_does(
    reco: Recommender, url: str
) -> None:
    engine = sa.create_engine(
        url, creator=lambda: Instrumented(connected(url)), use_native_hstore=False
    )
    count = sa.text("SELECT count(*) FROM angle_reco_changes")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        before = connection.scalar(count)
        assert reco.items_changed(["vase"], connection=connection)
        connection.rollback()
        assert connection.scalar(count) == before + 1
    engine.dispose()


def test_an_event_that_fails_on_a_driver_that_is_not_known_costs_the_host_nothing(
    reco: Recommender, instrumented: sa.Connection
) -> None:
    mine = sa.text("SELECT count(*) FROM mine")
    before = instrumented.scalar(mine)
    instrumented.execute(sa.text("INSERT INTO mine VALUES (1)"))
    instrumented.execute(sa.text("ALTER TABLE angle_reco_changes RENAME TO elsewhere"))

    assert not reco.items_changed(["vase"], connection=instrumented)

    assert instrumented.scalar(mine) == before + 1
    assert not has_savepoint(instrumented)


def has_savepoint(connection: sa.Connection) -> bool:
    """Return whether the savepoint around an event is still there."""
    attempt = connection.begin_nested()
    try:
        connection.exec_driver_sql(RELEASE)
    except sa.exc.DBAPIError:
        attempt.rollback()
        return False
    return True


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_host_may_discard_what_is_prepared(reco: Recommender, url: str, has_begun: bool) -> None:
    with closing(connected(url)) as raw:
        for _ in range(3):
            assert reco.items_changed(["vase"], connection=raw)
        assert prepared_by_us(raw)
        before = rows_of_the_host(raw)
        raw.execute("DEALLOCATE ALL")
        raw.execute("INSERT INTO mine VALUES (1)")
        if not has_begun:
            raw.commit()

        for _ in range(3):
            assert reco.items_changed(["vase"], connection=raw)

        assert rows_of_the_host(raw) == before + 1
        assert not prepared_by_us(raw)
        raw.commit()


def test_nothing_is_prepared_where_the_host_prepares_nothing(reco: Recommender, url: str) -> None:
    with closing(connected(url, prepare_threshold=None)) as raw:
        for _ in range(3):
            assert reco.items_changed(["vase"], connection=raw)

        assert not prepared_by_us(raw)


def test_a_prepared_statement_that_fails_costs_the_host_nothing(
    reco: Recommender, url: str
) -> None:
    with closing(connected(url)) as raw:
        for _ in range(3):
            assert reco.items_changed(["vase"], connection=raw)
        raw.commit()
        before = rows_of_the_host(raw)
        raw.execute("INSERT INTO mine VALUES (1)")
        with raw.transaction(force_rollback=True):
            raw.execute("DROP TABLE angle_reco_changes CASCADE")
            assert not reco.items_changed(["vase"], connection=raw)
        assert reco.items_changed(["vase"], connection=raw)

        assert rows_of_the_host(raw) == before + 1
        assert prepared_by_us(raw)
        raw.rollback()


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_statement_that_fails_on_sqlite_leaves_the_transaction_as_it_was(
    has_begun: bool,
) -> None:
    goods = sa.table("goods", sa.column("price", sa.Integer))
    raw = sqlite3.connect(":memory:")
    raw.execute("CREATE TABLE goods (price INTEGER NOT NULL)")
    if has_begun:
        raw.execute("INSERT INTO goods VALUES (1)")

    with pytest.raises(IntegrityError):
        _on_sqlite3(raw, sa.insert(goods).values(price=sa.bindparam("price")), {"price": None})

    assert raw.in_transaction is has_begun
    assert raw.execute("SELECT count(*) FROM goods").fetchone() == (int(has_begun),)
    raw.close()
