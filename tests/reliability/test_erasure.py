"""Holds that nothing about an erased user comes back, whatever runs beside the erasure."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
import sqlalchemy as sa

from angle_reco import Recommender, Settings, UserErasedError, UserId
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.domain.activity import Bid
from angle_reco.domain.users import User
from tests.adapters.databases import fill, mirrored, storage_on
from tests.application.shop import NOW, lots, watch
from tests.postgres import new_database
from tests.reliability.trials import looking_into, sized, while_waiting

ROOT = Path(__file__).parents[2]
PATIENT = Settings(deadline=timedelta(seconds=60), active_for=timedelta(days=36_500))
JOBS = ("refresh_user_interests", "generate_recommendations")
STAYS = [f"stays-{place:03}" for place in range(20)]

# Each id as it is in no other one, and in no text of ours.
GONE = [f"gone-{place:03}-gone" for place in range(sized(12, 500))]
ODD = ("ANN-4711", "'; DROP TABLE users; --", "Ä %_\\ 😀")


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    """Give the URL of a database with a market, a host's own, and our tables beside it."""
    with new_database(postgres_url) as url:
        with Recommender.connect(url, migrate=True) as made:
            assert made.storage is not None
            items = [*lots("art", 60, "art"), *lots("toy", 60, "toy")]
            users = [*STAYS, *GONE, *ODD]
            bids: list[Bid] = [
                Bid(
                    user_id=UserId(user),
                    item_id=items[(place * 7 + number * 13) % len(items)].item_id,
                    placed_at=datetime.now(UTC) - timedelta(days=1 + number),
                )
                for place, user in enumerate(users)
                for number in range(3)
            ]
            fill(
                made.storage,
                users=[User(user_id=UserId(user), last_sign_in_at=NOW) for user in users],
                items=items,
                bids=bids,
                watches=[watch(user, items[0].item_id) for user in users],
            )
        yield url


@contextmanager
def connected(url: str) -> Iterator[Recommender]:
    """Open a recommender with connections of its own, which counts sign-ins in our table."""
    engine = open_engine(url, PATIENT.deadline)
    try:
        host = mirrored(storage_on(engine))
        with Recommender.from_engine(engine, settings=PATIENT, host=host, check=False) as reco:
            yield reco
    finally:
        engine.dispose()


def run_jobs(url: str) -> None:
    """Run jobs over everybody until standard input ends; what another process does."""
    over = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    runs = 0
    with connected(url) as reco:
        while not over.is_set():
            for job in JOBS:
                reco.system.run_job(job)
                runs += 1
                print(runs, flush=True)


@contextmanager
def jobs_in_another_process(url: str) -> Iterator[Callable[[], int]]:
    """Have the jobs run in a process of their own; give what tells how often they have."""
    runs = [0]
    command = f"from tests.reliability.test_erasure import run_jobs; run_jobs({url!r})"
    with subprocess.Popen(
        [sys.executable, "-c", command],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            runs[0] = int(process.stdout.readline())

            def count() -> None:
                assert process.stdout is not None
                for line in process.stdout:
                    runs[0] = int(line)

            counting = threading.Thread(target=count)
            counting.start()
            yield lambda: runs[0]
            process.stdin.close()
            counting.join()
            assert process.wait() == 0
        finally:
            process.kill()


def rows_that_name(url: str, users: list[str]) -> list[str]:
    """Return the rows of all of our tables that hold one of these ids anywhere."""
    with looking_into(url) as connection:
        names = connection.scalars(
            sa.text("SELECT tablename FROM pg_tables WHERE tablename LIKE 'angle_reco_%'")
        ).all()
        rows = [
            f"{name}: {row}"
            for name in names
            for row in connection.scalars(
                sa.text(f'SELECT row_to_json(t)::text FROM "{name}" AS t')  # noqa: S608 — names from the catalogue
            )
        ]
    return [row for row in rows if any(user in row for user in users)]


@attrs.define
class Target:
    """Whom everybody writes about right now."""

    user: str


def test_nothing_of_an_erased_user_comes_back_beside_jobs_sign_ins_and_edits(url: str) -> None:
    target, errors = Target(GONE[0]), list[BaseException]()
    removed = {"sign_ins": 0, "interests": 0, "lists": 0, "suggestions": 0}
    signed_in: set[str] = set()

    with ExitStack() as running:
        writers = [running.enter_context(connected(url)) for _ in range(4)]
        eraser = running.enter_context(connected(url))
        free = iter(range(len(writers)))
        mine, lock = threading.local(), threading.Lock()

        def write() -> None:
            # Whoever comes first, signs in; the others edit, and run a job.
            if not hasattr(mine, "place"):
                with lock:
                    mine.place = next(free)
            reco, user = writers[mine.place], target.user
            try:
                match mine.place:
                    case 0 | 1:
                        if reco.ports.users.record_sign_in(UserId(user), NOW):
                            signed_in.add(user)
                    case 2:
                        with suppress(UserErasedError):
                            reco.system.stored.upsert_interest(user, "by hand", score=1)
                            reco.system.stored.upsert_recommendation(user, "art-01", score=1)
                    case _:
                        reco.system.run_job("refresh_user_interests")
            except Exception as error:
                errors.append(error)
                raise

        runs = running.enter_context(jobs_in_another_process(url))
        with while_waiting(len(writers), write):
            for user in GONE:
                target.user, before = user, runs()
                while not errors and (user not in signed_in or runs() < before + 1):
                    threading.Event().wait(0.001)
                erased = eraser.system.erase_user(user)
                for name in removed:
                    removed[name] += getattr(erased, name)
            # For whoever had begun.
            last = runs()
            while not errors and runs() < last + 2 * len(JOBS):
                threading.Event().wait(0.01)
        print(f"erased={len(GONE)} runs of jobs={runs()} removed={removed}")

    # That they were erased, other processes are told for half a minute.
    told = 'angle_reco_changes: {"number":'
    left = [row for row in rows_that_name(url, GONE) if not row.startswith(told)]
    assert left == []
    with looking_into(url) as connection:
        kinds = sa.text("SELECT DISTINCT kind FROM angle_reco_changes WHERE user_id IS NOT NULL")
        assert connection.scalars(kinds).all() == ["erased"]
    assert removed["sign_ins"] == len(GONE)
    assert removed["interests"] >= len(GONE)
    assert removed["lists"] > len(GONE) // 2
    with connected(url) as reco:
        for user in STAYS:
            assert reco.ports.interests.of(UserId(user)) is not None
            kept = reco.system.stored.get_recommendations(of=user)
            assert kept is not None
            assert kept.lines
        assert all(rows_that_name(url, [user]) for user in STAYS)
    with looking_into(url) as connection:
        count = connection.scalar(sa.text("SELECT count(*) FROM angle_reco_erasures"))
    assert count == len(GONE)


def test_several_who_erase_at_once_leave_nothing_either(url: str) -> None:
    # The first erasures of all, too, who agree on one key.
    with looking_into(url) as connection:
        connection.exec_driver_sql("DELETE FROM angle_reco_erasures")
        connection.exec_driver_sql("DELETE FROM angle_reco_keys")
    turns = iter(ODD * 4)
    lock, done = threading.Lock(), threading.Semaphore(0)
    with ExitStack() as running:
        recos = [running.enter_context(connected(url)) for _ in range(4)]
        for job in JOBS:
            recos[0].system.run_job(job)
        assert all(recos[0].system.stored.get_recommendations(of=user) for user in ODD)
        places = iter(range(4))
        mine = threading.local()

        def erase() -> None:
            with lock:
                if not hasattr(mine, "place"):
                    mine.place = next(places)
                user = next(turns, None)
            if user is None:
                threading.Event().wait(0.001)
                return
            recos[mine.place].system.erase_user(user)
            done.release()

        with while_waiting(4, erase):
            for _ in range(len(ODD) * 4):
                assert done.acquire(timeout=60)
        for job in JOBS:
            recos[0].system.run_job(job)
        kept = [recos[0].ports.interests.of(UserId(user)) for user in ODD]
        pages = [recos[0].system.stored.get_recommendations(of=user) for user in ODD]

    assert (kept, pages) == ([None] * len(ODD), [None] * len(ODD))
    with looking_into(url) as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM angle_reco_erasures")) == len(ODD)
        key_of_hashes = sa.text("SELECT count(*) FROM angle_reco_keys WHERE name = 'erasures'")
        assert connection.scalar(key_of_hashes) == 1
