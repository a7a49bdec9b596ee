"""Holds what processes promise that run jobs: how they share, end, fork, and what they cost."""

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic, sleep

import attrs
import pytest
import sqlalchemy as sa

from angle_reco import Recommender
from angle_reco.adapters.apscheduler import ApsScheduler
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import import_marketplace
from angle_reco.domain.runs import RunState
from angle_reco.domain.schedules import Queue
from angle_reco.simulation import MarketplaceShape, simulate
from tests.postgres import comes_true, new_database
from tests.reliability.trials import IS_FULL, looking_into, seeded, sized
from tests.reliability.workers import (
    ON_REQUEST,
    SHORT_RULES,
    SLOW,
    TABLES,
    begun,
    doing,
    idle,
    keep_busy,
    run_jobs,
)

ROOT = Path(__file__).parents[2]
GRACE = 10.0
"""How many seconds a process that is told to stop may take."""

ON_TIME = 0.5 if IS_FULL else 2.5
"""How many seconds later than it could something may happen on a machine that is busy."""

RUNS = TABLES.runs.c


@pytest.fixture
def url(postgres_url: str) -> Iterator[str]:
    """Give the URL of a database with an empty marketplace, the slow job done for now."""
    with new_database(postgres_url) as url:
        with Recommender.connect(url, settings=ON_REQUEST, migrate=True) as reco:
            assert reco.system.run_job(SLOW, scheduled=True)
        yield url


@attrs.define
class Workers:
    """Processes that run jobs; the slow one until it is `released`."""

    url: str
    released: Path
    processes: dict[int, BaseProcess] = attrs.field(factory=dict)

    def begin(self) -> None:
        """Have one process more."""
        process = begun(run_jobs, self.url, self.released)
        assert process.pid is not None
        self.processes[process.pid] = process

    def kill(self, pid: int) -> None:
        """Kill a process, which is told nothing."""
        process = self.processes.pop(pid)
        process.kill()
        process.join()


@pytest.fixture
def workers(url: str, tmp_path: Path) -> Iterator[Workers]:
    """Give processes that run jobs, none at first."""
    workers = Workers(url, tmp_path / "released")
    yield workers
    for pid in list(workers.processes):
        workers.kill(pid)


def asked(url: str) -> datetime:
    """Ask for a run of the slow job, and return its slot."""
    with Recommender.connect(url, settings=ON_REQUEST, check=False) as reco:
        reco.system.request_job(SLOW)
    with looking_into(url) as connection:
        slot: datetime = connection.execute(
            sa.select(sa.func.max(RUNS.slot)).where(RUNS.job == SLOW)
        ).scalar_one()
    return slot


@attrs.frozen
class Cacheable:
    """What the ledger has of a run."""

    state: RunState
    attempt: int
    pid: int
    started_at: datetime


def kept(connection: sa.Connection, slot: datetime) -> Cacheable | None:
    """Return what there is of the slow job's run, once it began."""
    row = connection.execute(
        sa.select(RUNS.state, RUNS.attempt, RUNS.holder, RUNS.started_at).where(
            RUNS.job == SLOW, RUNS.slot == slot, RUNS.attempt > 0
        )
    ).one_or_none()
    if row is None:
        return None
    return Cacheable(RunState(row.state), row.attempt, int(row.holder.split()[1]), row.started_at)


def waited_for(
    connection: sa.Connection, slot: datetime, state: RunState, attempt: int
) -> Cacheable:
    """Return the run when it has come so far."""
    found: list[Cacheable] = []

    def is_there() -> bool:
        now = kept(connection, slot)
        if now is None or (now.state, now.attempt) != (state, attempt):
            return False
        found.append(now)
        return True

    assert comes_true(is_there), kept(connection, slot)
    return found[0]


# Holders that are killed.


def test_what_a_killed_process_did_is_begun_again_within_lease_and_poll(
    url: str, workers: Workers
) -> None:
    most = (SHORT_RULES.lease + SHORT_RULES.poll).total_seconds()
    chance, waited = seeded(), list[float]()
    for _ in range(2):
        workers.begin()
    with looking_into(url) as connection:
        for _ in range(sized(2, 100)):
            workers.released.unlink(missing_ok=True)
            slot = asked(url)
            run = waited_for(connection, slot, RunState.RUNNING, 1)
            sleep(chance.uniform(0, 2 * SHORT_RULES.beat.total_seconds()))
            killed_at = datetime.now(UTC)
            workers.kill(run.pid)
            workers.begin()

            again = waited_for(connection, slot, RunState.RUNNING, 2)
            waited.append((again.started_at - killed_at).total_seconds())
            workers.released.touch()
            waited_for(connection, slot, RunState.SUCCEEDED, 2)

    print(f"begun again after {min(waited):.2f} to {max(waited):.2f} s, of {most} allowed")
    assert max(waited) <= most + ON_TIME


def test_nobody_takes_a_run_from_a_process_that_only_has_little_time(
    url: str, workers: Workers
) -> None:
    for _ in range(3):
        workers.begin()
    with looking_into(url) as connection, ExitStack() as loads:
        slot = asked(url)
        run = waited_for(connection, slot, RunState.RUNNING, 1)
        for _ in range(2):
            loads.callback(begun(keep_busy).kill)
        sleep(sized(5, 120))

        assert kept(connection, slot) == run
        workers.released.touch()
        waited_for(connection, slot, RunState.SUCCEEDED, 1)


# Queues.

WIDTHS = {Queue.DEFAULT: 10, Queue.RECOMMENDATIONS: 10, Queue.RECOMMENDATIONS_SLOW: 3}


@contextmanager
def scheduler() -> Iterator[ApsScheduler]:
    """Give a scheduler that runs, with the usual number of workers."""
    scheduler = ApsScheduler()
    scheduler.start(lambda: None, every=timedelta(seconds=10), workers=WIDTHS)
    try:
        yield scheduler
    finally:
        assert scheduler.stop(timedelta(seconds=GRACE))


def test_never_more_of_a_queue_run_at_once_than_it_has_workers() -> None:
    chance, lock = seeded(), threading.Lock()
    running, most, done = Counter[Queue](), Counter[Queue](), Counter[Queue]()
    handed = Counter(chance.choices(list(Queue), k=sized(300, 5_000)))

    def work(queue: Queue, seconds: float) -> None:
        with lock:
            running[queue] += 1
            most[queue] = max(most[queue], running[queue])
        sleep(seconds)
        with lock:
            running[queue] -= 1
            done[queue] += 1

    began = monotonic()
    with scheduler() as queues:
        for queue in chance.sample(list(handed.elements()), k=handed.total()):
            queues.submit(queue, partial(work, queue, chance.uniform(0.001, 0.02)))

        assert comes_true(lambda: done == handed)
    print(f"{handed.total()} runs in {monotonic() - began:.1f} s, at once {dict(most)}")
    assert all(most[queue] <= WIDTHS[queue] for queue in Queue)
    assert most == WIDTHS, "though all had enough to do"


def test_a_queue_that_is_full_does_not_hold_up_the_others() -> None:
    is_over, waited = threading.Event(), list[float]()

    def hang() -> None:
        is_over.wait()

    with scheduler() as queues:
        for _ in range(20):
            queues.submit(Queue.RECOMMENDATIONS_SLOW, hang)
        for _ in range(sized(20, 500)):
            for queue in (Queue.DEFAULT, Queue.RECOMMENDATIONS):
                handed_at, begun = monotonic(), threading.Event()
                queues.submit(queue, begun.set)
                assert begun.wait(GRACE)
                waited.append(monotonic() - handed_at)
        is_over.set()

    print(f"begun after {max(waited):.3f} s at most")
    assert max(waited) <= 0.5 + ON_TIME


# Processes that fork.

# Newer Pythons warn of what is done here: to fork while there are threads.
WARNINGS = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")

FORKING = """
import os, sys, time
from pathlib import Path
from angle_reco import Recommender
from angle_reco.application.jobs.single_lists import SimilarOfOne
from angle_reco.application.jobs.run_context import Done
from angle_reco.ports.stores import Written
from tests.reliability.workers import ON_REQUEST, make_jobs_quick

url, when, children, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
released = folder / "released"

def noted(jobs, item_id, work):
    (folder / f"{os.getpid()}.pid").touch()
    while not released.exists():
        work.reached("waiting", 0, 1)
        time.sleep(0.02)
    return Done(1, Written(0, 0), 0)

make_jobs_quick()
SimilarOfOne.__call__ = noted

def connected():
    return Recommender.connect(url, settings=ON_REQUEST, check=False)

reco = None if when == "after import" else connected()
if reco is not None:
    reco.as_user("user-07").sign_ins()
if when == "after start":
    reco.start()
    time.sleep(0.2)

pids = []
for _ in range(children):
    pid = os.fork()
    if pid == 0:
        reco = reco or connected()
        reco.start()
        while not released.exists():
            time.sleep(0.02)
        time.sleep(0.1)
        reco.close()
        sys.exit(0)
    pids.append(pid)

print(len(pids), flush=True)
ended = [os.waitpid(pid, 0)[1] for pid in pids]
if reco is not None:
    reco.close()
assert ended == [0] * children, ended
"""


@pytest.mark.parametrize(
    ("when", "children"), [("after import", 1), ("after start", 1), ("preloaded", 4)]
)
def test_processes_that_fork_run_jobs_each_and_share_no_connection(
    url: str, tmp_path: Path, when: str, children: int
) -> None:
    processes = children + (when == "after start")
    # More than one process less has workers for.
    items = range(WIDTHS[Queue.RECOMMENDATIONS_SLOW] * (processes - 1) + 1)
    for number in range(sized(2 if children == 1 else 1, 50)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Recommender.connect(url, settings=ON_REQUEST, check=False) as reco:
            for item in items:
                reco.system.request_job("compute_item_similarities", item_id=f"{number}-{item}")
        with subprocess.Popen(
            [sys.executable, *WARNINGS, "-c", FORKING, url, when, str(children), folder],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert comes_true(partial(have_begun, processes, folder)), process.poll()
                of_each = {pid: sockets_of(pid) for pid in {process.pid, *pids_in(folder)}}
                (folder / "released").touch()
                told_at = monotonic()
                _, said = process.communicate(timeout=GRACE)
            finally:
                process.kill()

        assert (process.returncode, said) == (0, "")
        assert monotonic() - told_at < GRACE
        assert all(of_each[pid] for pid in pids_in(folder))
        shared = [
            inode
            for inode, count in Counter(
                inode for inodes in of_each.values() for inode in inodes
            ).items()
            if count > 1
        ]
        assert shared == []


def pids_in(folder: Path) -> set[int]:
    """Return which processes ran a job."""
    return {int(one.stem) for one in folder.glob("*.pid")}


def have_begun(processes: int, folder: Path) -> bool:
    """Return whether so many processes run jobs."""
    return len(pids_in(folder)) == processes


def sockets_of(pid: int) -> set[str]:
    """Return the connections over TCP that a process holds, by what the system calls them."""
    connections = {
        line.split()[9]
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
    }
    links = [str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()]
    return {link.removeprefix("socket:[").removesuffix("]") for link in links} & connections


# Processes that end.

WORKING = """
import sys
from pathlib import Path
from angle_reco.__main__ import main
from tests.reliability.workers import make_jobs_quick

released = Path(sys.argv.pop(1))
make_jobs_quick(released, may_stop=sys.argv.pop(1) == "may stop")
main()
"""

EXITING = """
import sys, time
from pathlib import Path
from angle_reco import Recommender
from tests.reliability.workers import ON_REQUEST, make_jobs_quick

url, released = sys.argv[1], Path(sys.argv[2])
make_jobs_quick(released)
reco = Recommender.connect(url, settings=ON_REQUEST, check=False)
reco.start()
print("here", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("how", ["told to stop", "at its end", "killed"])
def test_a_process_ends_in_time_and_its_run_is_begun_again(
    url: str, workers: Workers, how: str
) -> None:
    for number in range(sized(1, 100)):
        workers.released.unlink(missing_ok=True)
        # The command runs at once what it finds when it starts.
        slot = asked(url)
        told = how == "told to stop"
        args = worker(url, workers) if told else ["-c", EXITING, url, str(workers.released)]
        with looking_into(url) as connection, python(args) as process:
            assert process.stdin is not None
            run = waited_for(connection, slot, RunState.RUNNING, 1)
            assert run.pid == process.pid
            began = monotonic()
            if how == "told to stop":
                process.send_signal(signal.SIGTERM)
            elif how == "at its end":
                process.stdin.write("\n")
                process.stdin.flush()
            else:
                process.kill()
            said = process.communicate(timeout=2 * GRACE)[1]
            seconds = monotonic() - began

            print(f"{number}: ended after {seconds:.2f} s, said {said!r}")
            assert seconds < GRACE
            assert process.returncode == (-signal.SIGKILL if how == "killed" else 0)
            assert "Traceback" not in said
            assert "cannot schedule new futures" not in said
            workers.begin()
            # One that ends gives back the attempt that it began.
            attempt = 2 if how == "killed" else 1
            workers.released.touch()
            waited_for(connection, slot, RunState.SUCCEEDED, attempt)
            workers.kill(*workers.processes)


def test_a_job_that_does_not_stop_keeps_a_process_for_its_grace_and_no_longer(
    url: str, workers: Workers
) -> None:
    for _ in range(sized(1, 20)):
        args = [*worker(url, workers, "goes on"), "--grace", "1"]
        slot = asked(url)
        with looking_into(url) as connection, python(args) as process:
            waited_for(connection, slot, RunState.RUNNING, 1)
            began = monotonic()
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=2 * GRACE)[1]

        assert 1 <= monotonic() - began < 3 + ON_TIME
        assert process.returncode == 0
        assert "Traceback" not in said
        assert said.endswith("a job was left, which another process takes over\n")
        # Rather than wait for the usual lease.
        with looking_into(url) as connection:
            connection.execute(sa.delete(TABLES.runs).where(RUNS.slot == slot))


def worker(url: str, workers: Workers, kind: str = "may stop") -> list[str]:
    """Return the arguments of a process that is the command for jobs."""
    return ["-c", WORKING, str(workers.released), kind, "work", "--database", url]


@contextmanager
def python(args: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Give a process of Python."""
    with subprocess.Popen(
        [sys.executable, *args],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


# What it costs.


def test_a_process_without_anything_to_do_costs_next_to_nothing(url: str) -> None:
    seconds = sized(6, 30)
    with doing(idle, url, seconds) as (_, pipe):
        used, statements = pipe.recv()

    print(f"{used / seconds:.2%} of a processor, {statements / seconds:.2f} statements a second")
    # The change feed is read once a second, and due runs are looked for every ten.
    assert statements / seconds <= 1.5
    if IS_FULL:
        assert used / seconds < 0.01


def test_jobs_that_run_twice_in_a_row_write_next_to_nothing_the_second_time(
    url: str, tmp_path: Path
) -> None:
    shape = MarketplaceShape(
        users=sized(300, 5_000), items=sized(800, 20_000), bids=sized(5_000, 200_000), watches=1_000
    )
    simulate(shape, now=datetime.now(UTC)).write_csv(tmp_path)
    with Recommender.connect(url) as reco:
        assert reco.storage is not None
        import_marketplace(reco.storage, tmp_path)
        first, second = ({job: reco.system.run_job(job) for job in BATCH_JOBS} for _ in range(2))

    for job in BATCH_JOBS:
        print(f"{job}: {first[job].changed} changed, then {second[job].changed}")
        assert first[job].changed > 0
        # Each training stores a model, though an equal one.
        if job != "train_models":
            assert second[job].changed + second[job].removed < 0.01 * first[job].changed
        assert second[job].scope == first[job].scope
