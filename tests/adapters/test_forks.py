"""Holds what SQLite's users are promised when their process forks."""

import logging
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep

import pytest
import sqlalchemy as sa

from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.core.gate import MOST_SECONDS, SECONDS_UNTIL_INTERRUPTED
from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.ports.deadlines import deadline
from angle_reco.ports.forks import at_fork, reset_in_child

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

SLACK = 2.0
"""Seconds that a busy machine may add."""

COUNT = sa.text("SELECT count(*) FROM t")
INSERT = sa.text("INSERT INTO t VALUES (1)")
LONG = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
    SELECT max(i) FROM n
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file of SQLite with a table, in the mode that ours are in."""
    file = tmp_path / "shop.db"
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    return file


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    """Return a database of ours on that file, warm."""
    database = Database(open_engine(f"sqlite:///{file}"), timedelta(seconds=20))
    assert database.scalar(COUNT) == 0
    yield database
    database.engine.dispose()


def forked(work: Callable[[], object]) -> int:
    """Return the process id of a child that does *work*, and exits with 0 if that went well."""
    child = os.fork()
    if child:
        return child
    # Nothing of the tests goes on here, and nothing in it takes longer.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(20)
    status = 1
    try:
        work()
        status = 0
    except BaseException as error:  # noqa: BLE001 — the child says what happened, and ends
        sys.stderr.write(repr(error))
        sys.stderr.flush()
    finally:
        os._exit(status)


def ended(child: int) -> int:
    """Return how a child ended."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class InThread:
    """Work in a thread, and how it ended."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.result: object = None
        self.error: BaseException | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:  # noqa: BLE001 — the test looks at it
            self.error = error

    def join(self) -> None:
        """Wait until it has ended; raise what it raised."""
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


def long_statement(seconds: float) -> str:
    """Return a statement that takes about so long here."""
    began = monotonic()
    sqlite3.connect(":memory:").execute(LONG.format(rows=300_000)).fetchall()
    return LONG.format(rows=int(300_000 * seconds / (monotonic() - began)))


def test_what_a_child_commits_outlives_its_parents_connections(
    file: Path, database: Database
) -> None:
    reading, writing = os.pipe()

    def insert_later() -> None:
        database.write(lambda connection: connection.execute(INSERT).rowcount)
        os.read(reading, 1)
        database.write(lambda connection: connection.execute(INSERT).rowcount)
        assert database.scalar(COUNT) == 2

    child = forked(insert_later)
    while sqlite3.connect(file).execute("SELECT count(*) FROM t").fetchone() == (0,):
        sleep(0.01)
    database.engine.dispose()
    os.write(writing, b"x")

    assert ended(child) == 0
    assert sqlite3.connect(file).execute("SELECT count(*) FROM t").fetchone() == (2,)


def test_a_child_has_none_of_its_parents_connections(file: Path, database: Database) -> None:
    def look() -> None:
        names = [str(one.resolve()) for one in Path("/proc/self/fd").iterdir()]
        assert not [name for name in names if name.startswith(str(file))], names

    assert ended(forked(look)) == 0
    assert database.scalar(COUNT) == 0


@pytest.mark.parametrize("writes", [False, True])
def test_a_unit_of_work_that_takes_long_is_interrupted_and_repeated(
    database: Database, writes: bool
) -> None:
    long, tries = sa.text(long_statement(3.0)), list[float]()

    def unit(connection: sa.Connection) -> int:
        tries.append(monotonic())
        connection.execute(INSERT)
        if len(tries) == 1:
            connection.execute(long).all()
        return len(tries)

    def read() -> int:
        tries.append(monotonic())
        return len(database.rows(long))

    busy = InThread((lambda: database.write(unit, is_repeatable=False)) if writes else read)
    while not tries:
        sleep(0.01)
    sleep(0.1)
    began = monotonic()
    child = forked(lambda: database.write(lambda connection: connection.execute(INSERT).rowcount))
    took = monotonic() - began

    assert took < MOST_SECONDS + SLACK
    assert ended(child) == 0
    busy.join()
    assert database.scalar(COUNT) == (2 if writes else 1)
    assert len(tries) == (2 if writes else 1)


def test_a_call_that_is_interrupted_answers_within_its_deadline(database: Database) -> None:
    statement = sa.text(long_statement(SECONDS_UNTIL_INTERRUPTED + 0.6))
    has_started = threading.Event()

    def call() -> object:
        with deadline(20):
            has_started.set()
            return len(database.rows(statement))

    busy = InThread(call)
    has_started.wait()
    sleep(0.05)
    child = forked(lambda: database.scalar(COUNT))

    assert ended(child) == 0
    busy.join()
    assert busy.result == 1


def test_a_stream_of_rows_that_is_interrupted_is_an_error_of_ours(database: Database) -> None:
    has_started, statement = threading.Event(), sa.text(long_statement(3.0))

    def stream() -> None:
        with database.reading() as connection:
            has_started.set()
            connection.execute(statement).all()

    busy = InThread(stream)
    has_started.wait()
    sleep(0.1)
    child = forked(lambda: database.scalar(COUNT))

    assert ended(child) == 0
    with pytest.raises(StorageUnavailableError, match="interrupted because this process forks"):
        busy.join()


def test_a_writer_that_waits_for_another_process_does_so_after_the_fork(
    file: Path, database: Database
) -> None:
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    busy = InThread(lambda: database.write(lambda connection: connection.execute(INSERT).rowcount))
    sleep(0.3)
    began = monotonic()
    child = forked(lambda: database.scalar(COUNT))
    took = monotonic() - began

    assert took < MOST_SECONDS
    assert ended(child) == 0
    other.execute("COMMIT")
    other.close()
    busy.join()
    assert database.scalar(COUNT) == 1


@contextmanager
def a_thread_inside(database: Database) -> Iterator[None]:
    """Have another thread stay within a unit of work."""
    has_started, goes_on = threading.Event(), threading.Event()

    def stay() -> None:
        with database.reading():
            has_started.set()
            goes_on.wait(20)

    busy = InThread(stay)
    has_started.wait()
    yield
    goes_on.set()
    busy.join()


def test_a_fork_waits_no_longer_than_a_second(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with a_thread_inside(database):
        began = monotonic()
        with caplog.at_level(logging.WARNING, "angle_reco"):
            child = forked(lambda: None)
        took = monotonic() - began

        assert MOST_SECONDS <= took < MOST_SECONDS + SLACK
        assert ended(child) == 0
        assert [record.getMessage() for record in caplog.records] == [
            "forked with threads inside the database: threads=1"
        ]
        assert database.scalar(COUNT) == 0


def test_a_fork_of_a_child_waits_for_no_thread_that_the_child_does_not_have(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def fork_again() -> None:
        caplog.clear()
        began = monotonic()
        assert ended(forked(lambda: None)) == 0
        assert monotonic() - began < MOST_SECONDS
        assert caplog.records == []

    with a_thread_inside(database):
        assert ended(forked(fork_again)) == 0


def test_a_thread_that_forks_amid_its_own_unit_of_work_waits_for_nothing(
    database: Database,
) -> None:
    with database.reading() as connection:
        began = monotonic()
        child = forked(lambda: None)
        took = monotonic() - began
        assert connection.execute(COUNT).scalar_one() == 0
        assert database.scalar(COUNT) == 0

    assert took < MOST_SECONDS
    assert ended(child) == 0


def test_a_thread_that_is_inside_may_enter_again_while_another_one_forks(
    database: Database,
) -> None:
    has_started = threading.Event()

    def nest() -> object:
        with database.reading() as connection:
            has_started.set()
            sleep(0.2)
            return connection.execute(COUNT).scalar_one() + database.scalar(COUNT)

    busy = InThread(nest)
    has_started.wait()
    began = monotonic()
    child = forked(lambda: None)

    assert monotonic() - began < MOST_SECONDS
    assert ended(child) == 0
    busy.join()
    assert busy.result == 0


def test_threads_that_fork_at_once_wait_for_each_other_a_second_at_most(
    database: Database,
) -> None:
    both = threading.Barrier(2)

    def fork_inside() -> int:
        with database.reading():
            both.wait()
            return ended(forked(lambda: None))

    began = monotonic()
    threads = [InThread(fork_inside) for _ in range(2)]
    for one in threads:
        one.join()

    assert [one.result for one in threads] == [0, 0]
    assert monotonic() - began < 2 * MOST_SECONDS + 2 * SLACK
    assert database.scalar(COUNT) == 0


def test_the_hosts_own_engine_is_not_closed_at_a_fork(file: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{file}")
    database = Database(engine, timedelta(seconds=20))
    database.scalar(COUNT)
    pool = engine.pool
    idle = pool.checkedin()  # type: ignore[attr-defined]  # of a QueuePool

    assert ended(forked(lambda: None)) == 0
    assert engine.pool is pool
    assert pool.checkedin() == idle == 1  # type: ignore[attr-defined]  # of a QueuePool
    engine.dispose()


def test_a_hook_that_fails_keeps_no_other_from_running(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Fails:
        def reset_after_fork(self) -> None:
            raise ValueError

    class Counts:
        count = 0

        def reset_after_fork(self) -> None:
            self.count += 1

    fails, counts, in_parent = Fails(), [Counts() for _ in range(9)], list[int]()
    is_over = False

    def fail() -> None:
        if not is_over:
            raise ValueError

    reset_in_child(fails)
    for one in counts:
        reset_in_child(one)
    at_fork(before=fail, in_parent=fail, in_child=fail)
    at_fork(in_parent=lambda: in_parent.append(1))

    def look() -> None:
        assert [one.count for one in counts] == [1] * 9

    with caplog.at_level(logging.ERROR, "angle_reco"):
        status = ended(forked(look))
    is_over = True

    assert status == 0
    assert [one.count for one in counts] == [0] * 9
    assert in_parent == [1]
    assert [record.getMessage() for record in caplog.records] == [
        "fork hook failed: error=ValueError"
    ] * 2
