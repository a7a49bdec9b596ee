"""Holds that a write which takes longer than a lease costs no run its lease."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event
from time import sleep

import pytest
import sqlalchemy as sa

from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.results.ledger import SqlRunLedger
from angle_reco.adapters.sql.results.runs import pass_fence
from angle_reco.adapters.sql.storage import Storage
from angle_reco.application.jobs.runner import Heartbeat
from angle_reco.domain.errors import StorageLockedError
from angle_reco.domain.ids import IdKinds
from angle_reco.domain.runs import Claim, ClaimStatus, Run, RunKey, RunRequest, RunRules, Trigger
from angle_reco.ports.deadlines import deadline
from tests.adapters.databases import storage_on

RULES = RunRules(lease=timedelta(seconds=1.6), beat=timedelta(seconds=0.4))
LONGER = 3.0  # seconds
JOB, OTHER = "refresh_user_interests", "generate_popular_items"


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """Return a database with our tables."""
    if request.param == "postgresql":
        storages: dict[IdKinds, Storage] = request.getfixturevalue("postgres_storages")
        storage = storages[IdKinds()]
        with storage.database.engine.begin() as connection:
            connection.execute(sa.delete(storage.tables.runs))
            connection.execute(sa.delete(storage.tables.fences))
        yield storage
        return
    engine = open_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    storage = storage_on(engine)
    storage.migrate_up()
    yield storage
    engine.dispose()


def claim(storage: Storage, job: str) -> Claim:
    """Return the answer to a request of a run of a job."""
    run_request = RunRequest(
        key=RunKey(job), trigger=Trigger.MANUAL, window=timedelta(hours=1), attempts=1
    )
    return SqlRunLedger(storage.database, storage.tables).claim(
        run_request, holder="ann", lease=RULES.lease
    )


def write_slowly(storage: Storage, run: Run) -> None:
    """Write as a run does that stores very much."""

    def unit(connection: sa.Connection) -> None:
        connection.execute(sa.select(storage.tables.runs)).all()
        sleep(LONGER)
        pass_fence(connection, storage.tables, run.fence)

    storage.database.write(unit)


def test_a_run_keeps_its_lease_while_it_writes(storage: Storage) -> None:
    run, lost = claim(storage, JOB).run, Event()
    ledger = SqlRunLedger(storage.database, storage.tables)

    with Heartbeat(ledger, run, RULES, lost), ThreadPoolExecutor(1) as others:
        # Another process, which asks as often as it can.
        is_over = Event()
        answers = others.submit(lambda: asked_until(is_over, storage))
        write_slowly(storage, run)
        sleep(2 * RULES.beat.total_seconds())
        is_over.set()

        assert set(answers.result()) == {ClaimStatus.BUSY}
        assert not lost.is_set()
        assert ledger.finish(run) is True


def asked_until(is_over: Event, storage: Storage) -> list[ClaimStatus]:
    """Return what was answered to requests of the run until something was over."""
    answers = []
    while not is_over.is_set():
        run_request = RunRequest(
            key=RunKey(JOB), trigger=Trigger.MANUAL, window=timedelta(hours=1), attempts=1
        )
        ledger = SqlRunLedger(storage.database, storage.tables)
        answers.append(ledger.claim(run_request, holder="bob", lease=RULES.lease).status)
        sleep(0.001)
    return answers


def test_a_run_keeps_its_lease_while_another_one_writes(storage: Storage) -> None:
    run = claim(storage, JOB).run
    write_slowly(storage, claim(storage, OTHER).run)
    ledger = SqlRunLedger(storage.database, storage.tables)

    [known] = [one for one in ledger.open([], back=timedelta(0)).runs if one.key == run.key]

    assert known.lease_until is not None
    assert run.lease_until is not None
    if storage.database.is_postgres:
        assert known.lease_until == run.lease_until
    else:
        assert known.lease_until - run.lease_until >= timedelta(seconds=LONGER)


@pytest.mark.parametrize("storage", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("seconds", "prolonged_by"), [(0.999, 0.0), (1.0, 1.0), (7.5, 7.5)])
def test_leases_are_prolonged_by_locks_of_a_second_or_more(
    storage: Storage, seconds: float, prolonged_by: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = (claim(storage, job).run for job in (JOB, OTHER))
    monkeypatch.setattr("angle_reco.adapters.sql.results.runs.seconds_locked", lambda _: seconds)

    storage.database.write(lambda one: pass_fence(one, storage.tables, other.fence))

    known = SqlRunLedger(storage.database, storage.tables).open([], back=timedelta(0)).runs
    assert {one.key: one.lease_until for one in known} == {
        one.key: one.lease_until + timedelta(seconds=prolonged_by)
        for one in (run, other)
        if one.lease_until is not None
    }


def test_a_lease_that_was_over_before_stays_so(storage: Storage) -> None:
    run = claim(storage, JOB).run
    sleep(RULES.lease.total_seconds() + 0.1)
    write_slowly(storage, claim(storage, OTHER).run)
    ledger = SqlRunLedger(storage.database, storage.tables)

    known = ledger.open([], back=timedelta(0))

    [left] = [one for one in known.runs if one.key == run.key]
    assert left.lease_until == run.lease_until
    assert not left.is_held(known.now)


def test_a_beat_on_a_locked_database_says_so(storage: Storage) -> None:
    run = claim(storage, JOB).run
    has_started, goes_on = Event(), Event()

    def unit(connection: sa.Connection) -> None:
        connection.execute(sa.select(1))
        has_started.set()
        goes_on.wait(20)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(storage.database.write, unit)
        has_started.wait(20)
        ledger = SqlRunLedger(storage.database, storage.tables)
        with deadline(0.2):
            if storage.database.is_postgres:  # It locks rows alone.
                assert ledger.beat(run, lease=RULES.lease) is True
            else:
                with pytest.raises(StorageLockedError):
                    ledger.beat(run, lease=RULES.lease)
        goes_on.set()
        writing.result()
