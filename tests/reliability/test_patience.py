"""Who waits how long: calls as long as they may, jobs for those who are in their way."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from angle_reco import Recommender, Settings
from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.storage import Storage
from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.domain.ids import UserId
from angle_reco.domain.users import User
from angle_reco.ports.deadlines import deadline
from tests.adapters.databases import fill
from tests.application.shop import NOW, bid, lot
from tests.postgres import new_database
from tests.reliability.trials import GRACE, ended

POOL = 5
USER = UserId("ann")


def storage_of(reco: Recommender) -> Storage:
    assert reco.storage is not None
    return reco.storage


def fill_shop(reco: Recommender) -> None:
    """Put somebody there, and something to do for each job."""
    fill(
        storage_of(reco),
        users=[User(user_id=USER, last_sign_in_at=NOW)],
        items=[lot("vase"), lot("jar")],
        bids=[bid(USER, "vase")],
    )


# Units of work on PostgreSQL.


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    with new_database(postgres_url) as url:
        with Recommender.connect(url, migrate=True) as reco:
            fill_shop(reco)
        yield url


@contextmanager
def database_at(url: str, seconds: float) -> Iterator[Database]:
    """Give a database whose patience is a hundred times so long."""
    # Connecting may take its time, which is not what is tried.
    engine = open_engine(url, timedelta(seconds=10))
    try:
        yield Database(engine, timedelta(seconds=seconds))
    finally:
        engine.dispose()


class Sleeper:
    """A unit of work that sleeps again and again, and counts how often it began."""

    def __init__(self, times: int, seconds: float) -> None:
        self.times, self.seconds, self.began = times, seconds, 0

    def __call__(self, connection: sa.Connection) -> None:
        self.began += 1
        for _ in range(self.times):
            connection.exec_driver_sql(f"SELECT pg_sleep({self.seconds})")


def test_a_unit_of_a_job_that_runs_out_of_time_is_not_run_again(url: str) -> None:
    # Each statement has the time, all of them have not.
    unit = Sleeper(5, 0.35)
    with database_at(url, 0.01) as database:
        got = ended(lambda: database.write(unit))

        assert isinstance(got.error, StorageUnavailableError)
        assert unit.began == 1
        assert got.seconds <= 1 + GRACE
        assert database.scalar(sa.text("SELECT 7")) == 7


@pytest.mark.parametrize(("times", "seconds"), [(1, 30), (5, 0.15)])
def test_a_unit_of_a_call_that_runs_out_of_time_is_not_run_again(
    url: str, times: int, seconds: float
) -> None:
    unit = Sleeper(times, seconds)
    with database_at(url, 10) as database:
        database.scalar(sa.text("SELECT 7"))

        def call() -> None:
            with deadline(0.4):
                database.write(unit)

        got = ended(call)

        assert isinstance(got.error, StorageUnavailableError)
        assert unit.began == 1
        assert got.seconds <= 0.4 + GRACE


def test_a_unit_whose_connection_is_lost_in_time_is_run_again(url: str) -> None:
    began: list[object] = []

    def unit(connection: sa.Connection) -> int:
        began.append(connection)
        if len(began) == 1:
            connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        return 7

    with database_at(url, 1) as database:
        assert database.write(unit) == 7

    assert len(began) == 2


# The pool.


def test_a_job_waits_for_a_connection_as_long_as_jobs_may(url: str) -> None:
    settings = Settings(deadline=timedelta(seconds=0.5))
    with Recommender.connect(url, settings=settings) as reco, ExitStack() as taken:
        for _ in range(POOL):
            taken.enter_context(storage_of(reco).database.engine.connect())
        letting_go = threading.Timer(1, taken.pop_all().close)
        letting_go.start()
        try:
            got = ended(lambda: reco.system.run_job("refresh_user_interests"))
        finally:
            letting_go.join()

    assert got.error is None
    assert 0.9 <= got.seconds <= 5


def test_a_call_does_not_wait_for_a_connection_as_jobs_do(url: str) -> None:
    settings = Settings(deadline=timedelta(seconds=0.5))
    with Recommender.connect(url, settings=settings) as reco, ExitStack() as taken:
        for _ in range(POOL):
            taken.enter_context(storage_of(reco).database.engine.connect())

        got = ended(lambda: reco.as_user(USER).sign_ins())

    assert isinstance(got.error, StorageUnavailableError)
    assert got.seconds <= 0.5 + GRACE


# SQLite, where one writes at a time.


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "shop.db"
    with Recommender.connect(f"sqlite:///{file}", migrate=True) as reco:
        fill_shop(reco)
    return file


@pytest.fixture(params=["ours", "the host's"])
def reco(request: pytest.FixtureRequest, file: Path) -> Iterator[Recommender]:
    """Give a recommender that has little time, on an engine of ours or of the host's."""
    settings = Settings(deadline=timedelta(seconds=0.3))
    if request.param == "ours":
        with Recommender.connect(f"sqlite:///{file}", settings=settings) as reco:
            yield reco
    else:
        engine = sa.create_engine(f"sqlite:///{file}", connect_args={"timeout": 20})
        yield Recommender.from_engine(engine, settings=settings)
        engine.dispose()


@contextmanager
def writing(file: Path) -> Iterator[sqlite3.Connection]:
    """Keep everybody else from writing until the end of the block, or a rollback."""
    with closing(
        sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    ) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def test_a_call_waits_for_a_writer_no_longer_than_it_has_time(
    reco: Recommender, file: Path
) -> None:
    with writing(file):
        got = ended(lambda: reco.signed_in(USER))
        again = ended(lambda: reco.signed_in(USER))

    assert (got.result, again.result) == (False, False)
    assert max(got.seconds, again.seconds) <= 1 + GRACE
    assert reco.signed_in(USER)


def test_a_call_waits_for_a_writer_who_is_done_in_time(reco: Recommender, file: Path) -> None:
    with writing(file) as connection:
        letting_go = threading.Timer(0.1, connection.rollback)
        letting_go.start()
        try:
            assert reco.signed_in(USER)
        finally:
            letting_go.join()


def test_a_job_waits_until_the_writer_is_done(reco: Recommender, file: Path) -> None:
    # What a call set on a connection does not stay there.
    assert reco.signed_in(USER)
    with writing(file) as connection:
        letting_go = threading.Timer(0.7, connection.rollback)
        letting_go.start()
        try:
            got = ended(lambda: reco.system.run_job("generate_popular_items"))
        finally:
            letting_go.join()

    assert got.error is None
    assert 0.6 <= got.seconds <= 5


def test_a_hosts_connections_wait_as_long_as_they_did_before_our_calls(file: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{file}", connect_args={"timeout": 7}, pool_size=1)
    reco = Recommender.from_engine(engine, settings=Settings(deadline=timedelta(seconds=0.3)))

    def patience() -> object:
        with engine.connect() as connection:
            return connection.exec_driver_sql("PRAGMA busy_timeout").scalar()

    works: list[Callable[[], object]] = [
        lambda: reco.signed_in(USER),
        lambda: reco.as_user(USER).sign_ins(),
        lambda: reco.system.run_job("generate_popular_items"),
    ]
    for work in works:
        assert work()
        assert patience() == 7_000
    with writing(file):
        assert not reco.signed_in(USER)
        assert patience() == 7_000
    engine.dispose()
