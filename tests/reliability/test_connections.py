"""Holds how connections are shared, waited for, and given back as they were."""

import gc
import logging
import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import attrs
import pytest
import sqlalchemy as sa

from angle_reco import Recommender, Settings
from angle_reco.adapters.sql.storage import Storage
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import Ports
from angle_reco.domain.activity import Interactions
from angle_reco.domain.catalogue import OpenCards
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.domain.ids import IdKind, UserId
from angle_reco.domain.lists import ListKind, Lists
from angle_reco.domain.scoring.blended.model import Model
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.ranking import Ranker
from angle_reco.domain.scoring.similarity import Engagement, Originals, SimilarityRule
from angle_reco.ports.deadlines import deadline
from angle_reco.ports.kernels import Kernels, Similarities
from angle_reco.testing import ManualClock
from tests.application.shop import NOW
from tests.postgres import (
    PASSWORD,
    ROLE_WITH_PASSWORD,
    Server,
    comes_true,
    new_database,
    start_server,
)
from tests.reliability.trials import (
    GRACE,
    ended,
    fill_market,
    interests_of,
    lists_of,
    looking_into,
    sized,
    together,
    versions_of_interests,
    versions_of_lists,
)

ROOT = Path(__file__).parents[2]
POOL = 5
DEADLINE = 1.0
SETTINGS = Settings(deadline=timedelta(seconds=DEADLINE))
USER = UserId("user-07")
SLOW = sa.text("SELECT pg_sleep(0.5)")
TOO_SLOW = sa.text("SELECT pg_sleep(30)")


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    """Give the URL of a database with a market."""
    with new_database(postgres_url) as url:
        with Recommender.connect(url, migrate=True) as made:
            fill_market(storage_of(made))
        yield url


@pytest.fixture
def reco(url: str) -> Iterator[Recommender]:
    with Recommender.connect(url, settings=SETTINGS) as reco:
        yield reco


def storage_of(reco: Recommender) -> Storage:
    assert reco.storage is not None
    return reco.storage


def pool_of(reco: Recommender) -> sa.QueuePool:
    pool = storage_of(reco).database.engine.pool
    assert isinstance(pool, sa.QueuePool)
    return pool


def asked(reco: Recommender, query: sa.Executable, seconds: float = DEADLINE) -> Any:
    """Return the answer to a statement of a call."""
    with deadline(seconds):
        return storage_of(reco).database.scalar(query)


def sessions(url: str) -> int:
    """Return how many of our connections the server knows of."""
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'angle_reco'"
    )
    with looking_into(url) as connection:
        return int(connection.execute(sa.text(query)).scalar_one())


# The pool.


def test_those_who_wait_for_a_connection_fail_typed_in_time_and_none_leaks(
    url: str, reco: Recommender
) -> None:
    for _ in range(sized(2, 20)):

        def call(place: int) -> object:
            if place % 10 == 0:
                return asked(reco, SLOW)
            return reco.as_user(USER).sign_ins()

        # So many threads wait for two processors, too.
        got = together(200, lambda place: ended(partial(call, place)))

        assert {type(one.error) for one in got} <= {type(None), StorageUnavailableError}
        assert sum(one.error is None for one in got) >= POOL
        assert max(one.seconds for one in got) <= DEADLINE + GRACE
        assert pool_of(reco).checkedout() == 0
        assert sessions(url) <= POOL
        assert reco.as_user(USER).sign_ins() is not None


def test_those_who_wait_for_a_connection_are_served_in_turn(reco: Recommender) -> None:
    until = monotonic() + sized(1, 20)

    def call(_: int) -> int:
        calls = 0
        while monotonic() < until:
            reco.as_user(USER).sign_ins()
            calls += 1
        return calls

    calls = together(40, call)

    assert min(calls) >= max(calls) / 4


def test_a_call_with_little_time_does_not_wait_for_a_connection_longer(reco: Recommender) -> None:
    with ExitStack() as taken:
        for _ in range(POOL):
            taken.enter_context(storage_of(reco).database.engine.connect())

        got = ended(lambda: asked(reco, SLOW, seconds=0.1))

    assert isinstance(got.error, StorageUnavailableError)
    assert str(got.error) == "every connection to the database is in use"
    assert 0.1 <= got.seconds <= DEADLINE / 2


def test_what_takes_too_long_ends_and_gives_its_connection_back(
    url: str, reco: Recommender
) -> None:
    got = together(POOL, lambda _: ended(lambda: asked(reco, TOO_SLOW)))

    assert {type(one.error) for one in got} == {StorageUnavailableError}
    assert max(one.seconds for one in got) <= DEADLINE + GRACE
    assert pool_of(reco).checkedout() == 0
    assert sessions(url) <= POOL


def test_what_is_read_in_part_gives_its_connection_back(reco: Recommender) -> None:
    for _ in range(2 * POOL):
        some = reco.ports.activity.interactions()
        next(some)
        del some
        gc.collect()

    assert pool_of(reco).checkedout() == 0
    assert sum(len(one) for one in reco.ports.activity.interactions()) == 630


def test_an_interrupt_reaches_the_caller_and_leaves_the_pool_whole(reco: Recommender) -> None:
    class InterruptError(Exception):
        """Raised by a signal, as the timeouts of some servers are."""

    def interrupt(*_: object) -> None:
        raise InterruptError

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(sized(POOL + 1, 50)):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            got = ended(lambda: asked(reco, SLOW))

            assert isinstance(got.error, InterruptError)
            assert asked(reco, sa.text("SELECT 7")) == 7
    finally:
        signal.signal(signal.SIGALRM, before)

    assert pool_of(reco).checkedout() == 0


def test_closing_leaves_no_connection(url: str) -> None:
    with Recommender.connect(url, settings=SETTINGS) as reco:
        assert comes_true(lambda: sessions(url) == 0)
        together(POOL, lambda _: reco.as_user(USER).homepage())
        assert sessions(url) > 0

    assert comes_true(lambda: sessions(url) == 0)


def test_any_number_of_open_files_is_fine(url: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        while not opened or opened[-1] < 1_100:
            opened.append(os.dup(0))
        with Recommender.connect(url, settings=SETTINGS) as reco:
            assert reco.as_user(USER).sign_ins() is not None
    finally:
        for one in opened:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Jobs.


@attrs.frozen
class RecordingKernels:
    """Kernels that note how many connections are in use while they compute."""

    kernels: Kernels
    pool: sa.QueuePool
    in_use: list[int] = attrs.field(factory=list)

    def note(self) -> None:
        """Note the connections in use, once a thread that prunes the feed has returned its own."""
        comes_true(lambda: self.pool.checkedout() == 0)
        self.in_use.append(self.pool.checkedout())

    def trained(self, happened: Interactions, items: OpenCards, *, now: int) -> Model:
        self.note()
        return self.kernels.trained(happened, items, now=now)

    def similarities(
        self, market: OpenMarket, engagement: Engagement, *, rule: SimilarityRule, keep: int
    ) -> Similarities:
        self.note()
        return self.kernels.similarities(market, engagement, rule=rule, keep=keep)

    def similar_items(
        self,
        market: OpenMarket,
        originals: Originals,
        *,
        of_originals: Engagement,
        of_candidates: Engagement,
        rule: SimilarityRule,
        keep: int,
    ) -> Lists:
        self.note()
        return self.kernels.similar_items(
            market,
            originals,
            of_originals=of_originals,
            of_candidates=of_candidates,
            rule=rule,
            keep=keep,
        )

    def homepages(
        self, market: OpenMarket, profiles: Profiles, *, ranker: Ranker, keep: int
    ) -> Lists:
        self.note()
        return self.kernels.homepages(market, profiles, ranker=ranker, keep=keep)


def test_a_job_holds_no_connection_while_it_computes(reco: Recommender) -> None:
    kernels = RecordingKernels(reco.ports.kernels, pool_of(reco))
    scorer = recording(reco, kernels)

    for job in BATCH_JOBS:
        scorer.system.run_job(job)
    scorer.system.run_job("compute_item_similarities", item_id="art-01")

    assert kernels.in_use == [0, 0, 0]


def test_a_call_holds_no_connection_while_it_computes(reco: Recommender) -> None:
    kernels = RecordingKernels(reco.ports.kernels, pool_of(reco))

    recording(reco, kernels).as_user("nobody").homepage()

    assert kernels.in_use == [0]


def recording(reco: Recommender, kernels: Kernels) -> Recommender:
    ports: Ports = attrs.evolve(reco.ports, kernels=kernels, clock=ManualClock(NOW))
    return Recommender(ports, Settings(deadline=timedelta(seconds=20)))


# Processes.

FORKING = """
import os, sys, threading, time
from angle_reco import Recommender

url, when = sys.argv[1:]
reco = Recommender.connect(url)
me = reco.as_user("user-07")

def sockets():
    open_files = [os.stat(f"/proc/self/fd/{one}") for one in os.listdir("/proc/self/fd")
                  if os.path.exists(f"/proc/self/fd/{one}")]
    return {one.st_ino for one in open_files if (one.st_mode & 0o170000) == 0o140000}

if when != "at once":
    me.sign_ins()
if when == "while in use":
    busy = threading.Thread(target=lambda: reco.ports.lists.database.scalar(
        __import__("sqlalchemy").text("SELECT pg_sleep(1)")))
    busy.start()
    time.sleep(0.3)

ours = sockets()
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    inherited = sockets() & ours
    for _ in range(5):
        assert reco.signed_in("user-07")
    os.write(writing, repr((len(inherited), len(sockets() & ours), me.sign_ins().count)).encode())
    reco.close()
    os._exit(0)
for _ in range(5):
    assert reco.signed_in("user-07")
assert os.waitpid(child, 0)[1] == 0
print(os.read(reading, 1000).decode())
print(len(ours), len(sockets() & ours), me.sign_ins().count)
if when == "while in use":
    busy.join()
reco.close()
"""


@pytest.mark.parametrize(
    ("when", "opened"), [("at once", 0), ("after use", 1), ("while in use", 1)]
)
def test_a_process_that_forks_shares_no_connection(url: str, when: str, opened: int) -> None:
    for _ in range(sized(1, 10)):
        with looking_into(url) as connection:
            connection.exec_driver_sql("UPDATE users SET sign_in_count = 0")

        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", FORKING, url, when],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

        assert (done.returncode, done.stderr) == (0, "")
        of_child, of_parent = done.stdout.splitlines()
        assert of_child.startswith("(0, 0, ")
        assert of_parent.split() == [str(opened), str(opened), "10"]


# Engines of the host's.

LEVELS = [None, "AUTOCOMMIT", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
SHOWN = (
    "statement_timeout",
    "lock_timeout",
    "transaction_isolation",
    "default_transaction_isolation",
    "transaction_read_only",
    "search_path",
    "timezone",
    "application_name",
)


@contextmanager
def host_engine(url: str, level: str | None = None, **options: Any) -> Iterator[sa.Engine]:
    """Give an engine as a host might have it."""
    if level is not None:
        options["isolation_level"] = level
    set_up = {"options": "-c statement_timeout=12345ms -c timezone=Asia/Tokyo"}
    engine = sa.create_engine(url, connect_args=set_up, **options)
    try:
        yield engine
    finally:
        engine.dispose()


def settings_of(engine: sa.Engine) -> tuple[object, ...]:
    """Return how the one session of an engine is set, as the server and the driver have it."""
    with engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        shown = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in SHOWN]
        [pid] = connection.exec_driver_sql("SELECT pg_backend_pid()").one()
        temporary = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_class WHERE relpersistence = 't'"
        ).scalar()
        return (pid, *shown, temporary, raw.autocommit, raw.isolation_level, raw.read_only)


@pytest.mark.parametrize("level", LEVELS)
def test_a_hosts_sessions_are_as_they_were_after_our_calls(url: str, level: str | None) -> None:
    with host_engine(url, level, pool_size=1, max_overflow=0) as engine:
        before, pool = settings_of(engine), engine.pool
        reco = Recommender.from_engine(engine, settings=SETTINGS)
        for work in each_kind_of_work(reco):
            error = ended(work).error

            assert error is None or isinstance(error, StorageUnavailableError)
            assert settings_of(engine) == before
            assert engine.pool is pool


def each_kind_of_work(reco: Recommender) -> Iterator[Callable[[], object]]:
    """Yield something of everything that is done with a database, a failure included."""
    everybody = IdColumn.of(IdKind.TEXT, ["a"])
    for version in range(2):
        yield lambda: reco.as_user("nobody").homepage()
        yield lambda: reco.signed_in(USER)
        yield lambda: reco.ports.users.active_since(NOW)
        yield lambda: asked(reco, TOO_SLOW, seconds=0.2)
        yield partial(reco.ports.lists.write, ListKind.SIMILAR, lists_of(version, ["a"]))
        yield partial(
            reco.ports.interests.write, interests_of(version, "a"), users=everybody, computed_at=NOW
        )
        yield lambda: reco.ports.lists.totals(ListKind.SIMILAR)
        yield lambda: next(reco.ports.activity.interactions())
        yield lambda: reco.system.run_job("generate_popular_items")


def test_a_hosts_other_connections_outlive_one_that_is_lost(url: str) -> None:
    with host_engine(url, pool_size=2, max_overflow=0) as engine, engine.connect() as theirs:
        reco, pool = Recommender.from_engine(engine, settings=SETTINGS), engine.pool
        asked(reco, sa.text("SELECT 1"))
        lost = kill_others(url, theirs)

        users = reco.ports.users.active_since(NOW + timedelta(days=10_000))

        assert lost
        assert len(users) == 0
        assert theirs.exec_driver_sql("SELECT 7").scalar() == 7
        assert engine.pool is pool


def kill_others(url: str, spared: sa.Connection) -> Any:
    """End all other sessions that came the same way."""
    [pid] = spared.exec_driver_sql("SELECT pg_backend_pid()").one()
    with looking_into(url) as connection:
        query = (
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid NOT IN (:pid, pg_backend_pid())"
        )
        return connection.execute(sa.text(query), {"pid": pid}).all()


@pytest.mark.parametrize("level", LEVELS)
def test_units_of_work_are_whole_on_any_engine_of_a_host(url: str, level: str | None) -> None:
    owners = [f"host-{place}" for place in range(10)]
    with looking_into(url) as connection:
        connection.exec_driver_sql("UPDATE users SET sign_in_count = 0")
    with host_engine(url, level) as engine:
        reco = Recommender.from_engine(engine, settings=Settings(deadline=timedelta(seconds=20)))

        def work(writer: int) -> None:
            for turn in range(sized(5, 50)):
                version = writer * 50 + turn
                reco.ports.users.record_sign_in(USER, NOW)
                reco.ports.lists.write(ListKind.PERSONAL, lists_of(version, owners))
                reco.ports.interests.write(
                    interests_of(version, owners),
                    users=IdColumn.of(IdKind.TEXT, owners),
                    computed_at=NOW,
                )

        together(8, work)
        signed_in = reco.ports.users.sign_ins(USER)

    assert signed_in is not None
    assert signed_in.count == 8 * sized(5, 50)
    assert len(set().union(*versions_of_lists(url, like="host-%").values())) == 1
    assert len(set().union(*versions_of_interests(url, "host-%").values())) == 1


# The one setting.


@pytest.mark.parametrize(
    ("seconds", "of_calls", "of_jobs"), [(1, "900ms", "90s"), (4, "3600ms", "6min")]
)
def test_every_limit_follows_from_the_deadline(
    url: str, seconds: int, of_calls: str, of_jobs: str
) -> None:
    limit = sa.text("SHOW statement_timeout")
    with Recommender.connect(url, settings=Settings(deadline=timedelta(seconds=seconds))) as reco:
        in_a_call = asked(reco, limit, seconds)
        in_a_job = storage_of(reco).database.scalar(limit)

        assert (in_a_call, in_a_job) == (of_calls, of_jobs)
        assert pool_of(reco).timeout() == seconds / 2


# Passwords.


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with start_server() as server:
        yield server


def test_no_password_is_logged_shown_or_in_an_error(
    server: Server, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    whole = sa.make_url(server.url()).set(username=ROLE_WITH_PASSWORD, password=PASSWORD)
    texts: list[str] = []

    def note(work: Callable[[], object]) -> None:
        got = ended(work)
        texts.append(f"{got.result!r} {got.error!r}")
        if got.error is not None:
            texts.extend(traceback.format_exception(got.error))

    def connect(url: sa.URL, **options: Any) -> None:
        shown = url.render_as_string(hide_password=False)
        with Recommender.connect(shown, settings=SETTINGS, **options) as reco:
            texts.append(f"{reco!r} {reco.storage!r} {reco.ports!r} {reco.settings!r}")
            reco.as_user(USER).sign_ins()
            server.kill()
            note(lambda: reco.as_user(USER).homepage())
            note(lambda: reco.signed_in(USER))
            server.start()
            note(lambda: reco.ports.users.active_since(NOW))

    with looking_into(server.url()) as connection:
        connection.exec_driver_sql(f"GRANT ALL ON SCHEMA public TO {ROLE_WITH_PASSWORD}")
    for url in (
        whole,
        whole.set(port=1),
        whole.set(password=f"{PASSWORD}!"),
        whole.set(database="nowhere"),
        whole.set(host="no.such.host.invalid"),
        whole.set(query={"no_such_option": "1"}),
        whole.set(drivername="postgresql+asyncpg"),
        whole.set(password=None, query={"password": PASSWORD}),
    ):
        note(partial(connect, url, migrate=True))

    said = capfd.readouterr()
    everything = "\n".join([*texts, caplog.text, said.out, said.err])
    assert "password authentication failed" in everything
    assert [line for line in everything.splitlines() if PASSWORD in line] == []
