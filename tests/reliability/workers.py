"""Processes that run jobs for the tests, which stop, continue and kill them."""

import multiprocessing
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic, process_time, sleep
from typing import Any
from uuid import uuid4

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from angle_reco import Recommender, Settings
from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.types import Moment
from angle_reco.adapters.sql.results.ledger import SqlRunLedger
from angle_reco.adapters.sql.results.runs import pass_fence
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.application.jobs.batch_jobs import Jobs
from angle_reco.application.jobs.run_context import Done, RunContext
from angle_reco.application.jobs.schedule import BATCH_JOBS, JOBS
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import FencedOffError
from angle_reco.domain.ids import IdKind, IdKinds
from angle_reco.domain.lists import ListKind
from angle_reco.domain.runs import (
    ClaimStatus,
    Fence,
    Run,
    RunKey,
    RunRequest,
    Trigger,
    due_run_requests,
)
from angle_reco.domain.schedules import JobRule, Queue, Schedule
from angle_reco.ports.stores import Written
from angle_reco.rules import RunRules
from tests.application.shop import NOW
from tests.reliability.trials import interests_of, lists_of

PROCESSES = multiprocessing.get_context("forkserver")
# What takes long to import. There is one such list for all tests: others name the same.
PROCESSES.set_forkserver_preload(
    ["alembic.command", "angle_reco.adapters.sql", "angle_reco.testing.contracts", "pytest"]
)

TABLES = Tables.of(IdKinds())
LEASE = timedelta(seconds=30)
WINDOW = timedelta(days=1)
COUNTED = "counted"
COUNTED_RULE = JobRule(
    queue=Queue.DEFAULT, schedule=Schedule(every=WINDOW), window=WINDOW, attempts=100
)


def begun(work: Callable[..., None], *args: object) -> BaseProcess:
    """Return a process that does *work*; it does not outlive this one."""
    process = PROCESSES.Process(target=work, args=args, daemon=True)
    process.start()
    return process


@contextmanager
def doing(work: Callable[..., None], *args: object) -> Iterator[tuple[BaseProcess, Connection]]:
    """Give a process that does *work*, and what to talk to it through; kill it afterwards."""
    ours, theirs = PROCESSES.Pipe()
    process = begun(work, theirs, *args)
    theirs.close()
    try:
        yield process, ours
    finally:
        process.kill()
        process.join()
        ours.close()


# A clock that tests move, work that leaves a row, and a history of who had what when.

_OURS = sa.MetaData()
CLOCK = sa.Table("test_clock", _OURS, sa.Column("now", Moment, nullable=False))
RESULTS = sa.Table(
    "test_results",
    _OURS,
    sa.Column("slot", Moment, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, nullable=False),
)
HISTORY = sa.Table(
    "test_history",
    _OURS,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("slot", Moment, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("at", Moment),
    sa.Column("lease_until", Moment),
)
# When a transaction commits, while it still holds what it locked: so that their order is
# that in which they happened.
_TRIGGERS = """
CREATE FUNCTION test_note_run() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO test_history (what, slot, number, at, lease_until)
    VALUES (NEW.state, NEW.slot, NEW.number, NEW.started_at, NEW.lease_until);
    RETURN NULL;
END $$;
CREATE FUNCTION test_note_result() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO test_history (what, slot, number) VALUES ('written', NEW.slot, NEW.number);
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER test_note AFTER INSERT OR UPDATE ON angle_reco_runs
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION test_note_run();
CREATE CONSTRAINT TRIGGER test_note AFTER INSERT OR UPDATE ON test_results
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION test_note_result();
"""


def take_notes(connection: sa.Connection, now: datetime) -> None:
    """Make the clock and the history."""
    _OURS.create_all(connection)
    connection.execute(sa.insert(CLOCK).values(now=now))
    connection.exec_driver_sql(_TRIGGERS)


@contextmanager
def database_at(url: str, connections: int = 2) -> Iterator[Database]:
    """Give the database of a process that needs so many connections at once."""
    engine = sa.create_engine(url, pool_size=connections, isolation_level="READ COMMITTED")
    try:
        yield Database(engine, timedelta(seconds=2))
    finally:
        engine.dispose()


def ledger_by_the_clock(database: Database) -> SqlRunLedger:
    """Return a ledger by the clock that tests move."""
    return SqlRunLedger(database, TABLES, clock=sa.select(CLOCK.c.now).scalar_subquery())


def count_windows(url: str, seed: int) -> None:
    """Do whatever run of `COUNTED` is due, again and again."""
    chance = random.Random(seed)
    with database_at(url) as database:
        ledger = ledger_by_the_clock(database)
        while True:
            known = ledger.open([COUNTED], back=2 * WINDOW)
            for run_request in due_run_requests(known.runs, {COUNTED: COUNTED_RULE}, known.now):
                claim = ledger.claim(run_request, holder=holder(), lease=LEASE)
                if claim.status is ClaimStatus.CLAIMED:
                    sleep(chance.uniform(0, 0.01))
                    with suppress(FencedOffError):
                        _write_result(database, claim.run)
                        sleep(chance.uniform(0, 0.005))
                        ledger.finish(claim.run, outcome="{}")
            sleep(0.002)


def _write_result(database: Database, run: Run) -> None:
    write = insert(RESULTS).values(slot=run.slot, number=run.number)
    write = write.on_conflict_do_update(index_elements=["slot"], set_={"number": run.number})

    def unit(connection: sa.Connection) -> None:
        connection.execute(write)
        pass_fence(connection, TABLES, run.fence)

    database.write(unit)


def holder() -> str:
    """Return a name for one claim, which begins with the process."""
    return f"{os.getpid()} {uuid4().hex}"


# Many who ask at one instant.


class RolledBackError(Exception):
    """What the test does to a transaction that is about to be kept."""


@attrs.frozen
class Ask:
    """What those who ask at one instant share: when to, and whose transaction fails.

    *fails* is 1 while the next one to be kept shall be rolled back, and 2 while its
    connection shall be lost; *failed_at* and *claimed_at* say when that was.
    """

    barrier: Any
    fails: Any
    failed_at: Any
    claimed_at: Any

    @classmethod
    def of(cls, parties: int) -> "Ask":
        """Return it for so many threads and whoever looks on."""
        return cls(
            PROCESSES.Barrier(parties + 1),
            PROCESSES.Value("i", 0),
            PROCESSES.Value("d", 0.0),
            PROCESSES.Value("d", 0.0),
        )


def key_of_round(number: int) -> RunKey:
    """Return what they ask for in a round."""
    return RunKey.of("asked", {"round": number})


def ask(pipe: Connection, url: str, threads: int, rounds: int, shared: Ask) -> None:
    """Ask in so many threads at once, in each round for the same run; send the answers.

    Each round begins and ends at the barrier.
    """
    answers: list[list[str]] = [[] for _ in range(rounds)]
    with database_at(url, threads + 1) as database:
        ledger = SqlRunLedger(database, TABLES)

        @sa.event.listens_for(database.engine, "after_cursor_execute")
        def fail(connection: sa.Connection, _: object, statement: str, *__: object) -> None:
            if "INSERT INTO angle_reco_runs" not in statement:
                return
            with shared.fails.get_lock():
                how, shared.fails.value = shared.fails.value, 0
                if how:
                    shared.failed_at.value = monotonic()
            if how == 1:
                raise RolledBackError
            if how == 2:
                raw: Any = connection.connection.dbapi_connection
                raw.close()

        def asking() -> None:
            for number in range(rounds):
                run_request = RunRequest(
                    key=key_of_round(number),
                    trigger=Trigger.SCHEDULE,
                    window=WINDOW,
                    attempts=3,
                    slot=NOW,
                )
                shared.barrier.wait()
                try:
                    claim = ledger.claim(run_request, holder=holder(), lease=LEASE)
                except RolledBackError:
                    answers[number].append("rolled back")
                else:
                    if claim.status is ClaimStatus.CLAIMED:
                        shared.claimed_at.value = monotonic()
                    answers[number].append(claim.status.value)
                shared.barrier.wait()

        asking_threads = [threading.Thread(target=asking) for _ in range(threads)]
        for thread in asking_threads:
            thread.start()
        for thread in asking_threads:
            thread.join()
    pipe.send(answers)


# Holders that are stopped and go on.

HELD_OWNERS = [f"held-{place:03}" for place in range(100)]


def held_request(slot: datetime | None = None) -> RunRequest:
    """Return a request of one more run of the job that holders are stopped at."""
    return RunRequest(
        key=RunKey("held"), trigger=Trigger.MANUAL, window=WINDOW, attempts=100, slot=slot
    )


def write_version(reco: Recommender, version: int, fence: Fence) -> tuple[str, str]:
    """Return how writing lists and interests of a version ended."""
    ports, owners = reco.ports, HELD_OWNERS
    lists, interests = lists_of(version, owners), interests_of(version, owners)
    users = IdColumn.of(IdKind.TEXT, owners)

    def said(write: Callable[[], object]) -> str:
        try:
            write()
        except FencedOffError:
            return "refused"
        return "written"

    return (
        said(lambda: ports.lists.write(ListKind.SIMILAR, lists, fence=fence)),
        said(
            lambda: ports.interests.write(
                interests, users=users, computed_at=interests_at(version), fence=fence
            )
        ),
    )


def interests_at(version: int) -> datetime:
    """Return when interests of a version were computed."""
    return NOW + timedelta(seconds=version)


def hold(pipe: Connection, url: str, waits: bool) -> None:
    """Claim a run for each version that comes, say so, and write it.

    With *waits* once, when told to; else it and the next one, again and again, until that is
    refused.
    """
    with Recommender.connect(url, check=False) as reco:
        while (version := pipe.recv()) is not None:
            claim = reco.ports.ledger.claim(
                held_request(), holder=holder(), lease=timedelta(milliseconds=200)
            )
            pipe.send(claim.status.value)
            if waits:
                pipe.recv()
            fence, other = claim.run.fence, version + 1
            said = write_version(reco, version, fence)
            while not waits and said != ("refused", "refused"):
                version, other = other, version
                said = write_version(reco, version, fence)
            pipe.send(said)


# Recommenders that are started.

SLOW = "generate_popular_items"
SHORT_RULES = RunRules(
    lease=timedelta(seconds=3),
    beat=timedelta(seconds=0.75),
    poll=timedelta(seconds=1),
    retention=timedelta(days=1_000),
)
"""A tenth of the usual ones."""

ON_REQUEST = Settings(
    runs=SHORT_RULES,
    schedule={
        SLOW: JobRule(
            queue=Queue.RECOMMENDATIONS,
            schedule=Schedule(every=timedelta(days=366)),
            window=timedelta(hours=1),
            attempts=3,
            request_window=timedelta(seconds=1),
        )
    },
)
"""Settings with which the slow job runs when it is asked for."""


def make_jobs_quick(slow_until: Path | None = None, *, may_stop: bool = True) -> None:
    """Have jobs do nothing, except that the slow one takes until there is such a file.

    Unless it *may stop* it does not ask whether it should.
    """

    def quick(_: Jobs, work: RunContext) -> Done:
        return Done(0, Written(0, 0), 0)

    def slow(_: Jobs, work: RunContext) -> Done:
        while slow_until is not None and not slow_until.exists():
            if may_stop:
                work.reached("waiting", 0, 1)
            sleep(0.02)
        return Done(0, Written(0, 0), 0)

    JOBS.update({name: attrs.evolve(JOBS[name], run=quick) for name in BATCH_JOBS})
    JOBS[SLOW] = attrs.evolve(JOBS[SLOW], run=slow)


def run_jobs(url: str, slow_until: Path) -> None:
    """Run jobs until this process is ended."""
    make_jobs_quick(slow_until)
    with Recommender.connect(url, settings=ON_REQUEST, check=False) as reco:
        reco.start()
        threading.Event().wait()


def keep_busy() -> None:
    """Load a processor."""
    while True:
        pass


def idle(pipe: Connection, url: str, seconds: float) -> None:
    """Do nothing with the jobs started, and send what that costs: CPU seconds, statements."""
    make_jobs_quick()
    statements = 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    with Recommender.connect(url) as reco:
        assert reco.storage is not None
        sa.event.listen(reco.storage.database.engine, "before_cursor_execute", count)
        reco.start()
        sleep(2)  # what is due at first
        at_first, began = statements, process_time()
        sleep(seconds)
        pipe.send((process_time() - began, statements - at_first))


def now() -> datetime:
    """Return what time it is."""
    return datetime.now(UTC)
