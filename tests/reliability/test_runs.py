"""Holds that of many processes one has a run, and that nobody overwrites what came later."""

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from time import monotonic, sleep
from typing import Any

import attrs
import pytest
import sqlalchemy as sa

from angle_reco import Recommender
from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.domain.lists import ListKind
from angle_reco.domain.runs import Claim, ClaimStatus, RunState
from angle_reco.ports.deadlines import deadline
from tests.postgres import comes_true, new_database
from tests.reliability.trials import (
    GRACE,
    looking_into,
    seeded,
    sized,
    versions_of_interests,
    versions_of_lists,
)
from tests.reliability.workers import (
    CLOCK,
    COUNTED,
    HELD_OWNERS,
    HISTORY,
    LEASE,
    RESULTS,
    TABLES,
    WINDOW,
    Ask,
    ask,
    begun,
    count_windows,
    database_at,
    doing,
    held_request,
    hold,
    holder,
    key_of_round,
    ledger_by_the_clock,
    take_notes,
    write_version,
)

START = datetime(2026, 3, 2, tzinfo=UTC)
RUNS = TABLES.runs.c


@pytest.fixture
def url(postgres_url: str) -> Iterator[str]:
    """Give the URL of a database with our tables."""
    with new_database(postgres_url) as url:
        Recommender.connect(url, migrate=True).close()
        yield url


# Holders that are killed, and holders that are late.

WORKERS = 4


@attrs.define
class Driver:
    """Moves the clock from window to window, and kills whoever works."""

    connection: sa.Connection
    chance: random.Random
    workers: list[BaseProcess]
    begin: Callable[[], BaseProcess]
    killed: int = 0
    late: int = 0

    def work_off(self, slot: datetime) -> None:
        """Have the window that begins with *slot* worked off."""
        self.move_clock(slot)
        fate = self.chance.random()
        if fate < 0.7:
            sleep(self.chance.uniform(0, 0.03))
            if fate < 0.5:
                self.kill()
            else:
                self.late += 1
                self.move_clock(self.now() + 2 * LEASE)
        waited_since, until = monotonic(), monotonic() + 30
        while (run := self.run_of(slot)) is None or run.state != RunState.SUCCEEDED.value:
            assert monotonic() < until, f"nobody finishes the window {slot}: {run}"
            sleep(0.002)
            # A clock that would run all the time would pass by windows.
            is_held = run is not None and run.lease_until is not None
            if is_held and run.lease_until >= self.now() and monotonic() - waited_since > 0.02:
                self.move_clock(run.lease_until + timedelta(seconds=1))
                waited_since = monotonic()

    def kill(self) -> None:
        """Kill who holds a run, or anybody, and have another begin in their place."""
        query = sa.select(RUNS.holder).where(RUNS.state == RunState.RUNNING.value)
        holds = [int(one.split()[0]) for one in self.connection.execute(query).scalars()]
        alive = {process.pid: process for process in self.workers}
        one = next((alive[pid] for pid in holds if pid in alive), None)
        process = one or self.chance.choice(self.workers)
        process.kill()
        self.killed += 1
        self.workers[self.workers.index(process)] = self.begin()

    def run_of(self, slot: datetime) -> Any:
        return self.connection.execute(
            sa.select(RUNS.state, RUNS.lease_until).where(RUNS.slot == slot)
        ).one_or_none()

    def now(self) -> datetime:
        moment: datetime = self.connection.execute(sa.select(CLOCK.c.now)).scalar_one()
        return moment

    def move_clock(self, moment: datetime) -> None:
        """Move the clock on; it never goes back."""
        later = sa.func.greatest(CLOCK.c.now, moment, type_=CLOCK.c.now.type)
        self.connection.execute(sa.update(CLOCK).values(now=later))


def test_each_window_is_finished_once_however_many_holders_are_killed(url: str) -> None:
    slots = [START + place * WINDOW for place in range(sized(100, 1_000))]
    chance = seeded()
    with ExitStack() as running, looking_into(url) as connection:
        take_notes(connection, START)

        def begin() -> BaseProcess:
            process = begun(count_windows, url, chance.getrandbits(32))
            running.callback(process.join)
            running.callback(process.kill)
            return process

        driver = Driver(connection, chance, [begin() for _ in range(WORKERS)], begin)
        for slot in slots:
            driver.work_off(slot)

        history = connection.execute(sa.select(HISTORY).order_by(HISTORY.c.id)).all()
        results = {row.slot: row.number for row in connection.execute(sa.select(RESULTS))}
        kept = connection.execute(
            sa.select(RUNS.job, RUNS.state, sa.func.count()).group_by(RUNS.job, RUNS.state)
        ).all()

    assert kept == [(COUNTED, RunState.SUCCEEDED.value, len(slots))]
    finished = numbers_finished(history)
    assert list(finished) == slots
    assert results == finished
    attempts = Counter(event.slot for event in history if event.what == RunState.RUNNING.value)
    again = sum(count > 1 for count in attempts.values())
    print(f"{driver.killed} killed, {driver.late} late, {again} of {len(slots)} begun again")
    # How often a kill meets a run depends on the speed of the machine.
    assert again >= len(slots) // 50


def numbers_finished(history: Sequence[Any]) -> dict[datetime, int]:
    """Return which run of each slot was finished, having looked at all that happened."""
    newest, of_slot, finished = 0, dict[datetime, int](), dict[datetime, int]()
    lease_until: datetime | None = None
    for event in history:
        if event.what == RunState.RUNNING.value:
            assert event.slot not in finished, "begun although it was over"
            assert event.number > newest
            assert lease_until is None or lease_until < event.at, "begun beside another"
            newest = of_slot[event.slot] = event.number
            lease_until = event.lease_until
        elif event.what == "written":
            assert event.number == newest, "written by one that had lost its place"
        else:
            assert event.what == RunState.SUCCEEDED.value
            assert event.number == of_slot[event.slot]
            assert event.slot not in finished, "finished twice"
            finished[event.slot] = event.number
            if event.number == newest:
                lease_until = None
    return finished


def test_a_run_that_ends_while_another_takes_it_over_has_one_holder(url: str) -> None:
    with ExitStack() as opened:
        connection = opened.enter_context(looking_into(url))
        take_notes(connection, START)
        database = opened.enter_context(database_at(url))
        ledger = ledger_by_the_clock(database)
        other = ledger_by_the_clock(opened.enter_context(database_at(url)))
        run_request = attrs.evolve(held_request(START), attempts=3)
        first = other.claim(run_request, holder=holder(), lease=LEASE)
        connection.execute(sa.update(CLOCK).values(now=START + 2 * LEASE))
        ended: list[bool] = []
        ending = threading.Thread(target=lambda: ended.append(other.finish(first.run)))

        @sa.event.listens_for(database.engine, "before_cursor_execute")
        def end_the_first(_: object, __: object, statement: str, *___: object) -> None:
            if "INSERT INTO angle_reco_runs" in statement and ending.ident is None:
                ending.start()
                ending.join(0.3)

        second = ledger.claim(run_request, holder=holder(), lease=LEASE)
        ending.join()

    assert (second.status is ClaimStatus.CLAIMED) != ended[0]


# Many who ask at one instant.


def test_of_many_who_ask_at_one_instant_one_has_the_run(url: str) -> None:
    processes, threads, rounds = sized(2, 8), 8, sized(40, 1_000)
    how_ended, waited = Counter[int](), list[float]()
    with ExitStack() as running:
        shared = Ask.of(processes * threads)
        pipes = [
            running.enter_context(doing(ask, url, threads, rounds, shared))[1]
            for _ in range(processes)
        ]
        for number in range(rounds):
            # In every tenth the winner is not to keep it, one way or the other.
            how = 1 + number // 10 % 2 if number % 10 == 0 else 0
            shared.fails.value, shared.claimed_at.value = how, 0.0
            shared.barrier.wait(20)
            shared.barrier.wait(20)
            if how:
                waited.append(shared.claimed_at.value - shared.failed_at.value)
            how_ended[how] += 1
        answers = [
            [answer for one in of_processes for answer in one]
            for of_processes in zip(*(pipe.recv() for pipe in pipes), strict=True)
        ]

    for number, given in enumerate(answers):
        busy = ClaimStatus.BUSY.value
        rolled_back = 1 if number % 20 == 0 else 0
        assert (
            Counter(given)
            == Counter(
                {
                    ClaimStatus.CLAIMED.value: 1,
                    "rolled back": rolled_back,
                    busy: processes * threads - 1 - rolled_back,
                }
            )
            + Counter()
        ), number
    print(f"the next had it after {max(waited):.3f} s at most")
    assert max(waited) <= 0.5 + GRACE
    with looking_into(url) as connection:
        kept = connection.execute(sa.select(RUNS.job, RUNS.arguments, RUNS.state, RUNS.attempt))
        keys = [key_of_round(number) for number in range(rounds)]
        assert sorted(kept) == sorted((key.job, key.arguments, "running", 1) for key in keys)


# Holders that are stopped and go on.


@pytest.mark.parametrize("is_successor_first", [True, False], ids=["written", "only begun"])
def test_a_holder_that_was_stopped_for_too_long_overwrites_nothing(
    url: str, is_successor_first: bool
) -> None:
    late = sized(2, 100)
    with (
        doing(hold, url, True) as (process, pipe),
        Recommender.connect(url, check=False) as reco,
    ):
        for version in range(0, 2 * late, 2):
            pipe.send(version + 1)
            assert pipe.recv() == ClaimStatus.CLAIMED.value
            os.kill(process_id(process), signal.SIGSTOP)
            pipe.send("write")
            claim = taken_over(reco)
            if is_successor_first:
                written = write_version(reco, version + 2, claim.run.fence)
                assert written == ("written", "written")
            os.kill(process_id(process), signal.SIGCONT)

            assert pipe.recv() == ("refused", "refused")
            if not is_successor_first:
                written = write_version(reco, version + 2, claim.run.fence)
                assert written == ("written", "written")
            assert_is_kept(url, version + 2)
            assert reco.ports.ledger.finish(claim.run)
        pipe.send(None)


def test_a_holder_that_was_stopped_while_it_wrote_overwrites_nothing(url: str) -> None:
    chance, amid = seeded(), 0
    with (
        doing(hold, url, False) as (process, pipe),
        Recommender.connect(url, check=False) as reco,
    ):
        for version in range(0, 4 * sized(3, 200), 4):
            pipe.send(version)
            assert pipe.recv() == ClaimStatus.CLAIMED.value
            sleep(chance.uniform(0, 0.05))
            os.kill(process_id(process), signal.SIGSTOP)
            amid += in_transaction(url)
            claim = None
            with suppress(StorageUnavailableError), deadline(0.8):
                claim = taken_over(reco)
            os.kill(process_id(process), signal.SIGCONT)
            # Unless it held what the claim needs, until now.
            claim = claim or taken_over(reco)
            # At once, or when the late one has tried.
            is_successor_first = chance.random() < 0.5
            if is_successor_first:
                assert write_version(reco, version + 2, claim.run.fence) == ("written", "written")
            assert pipe.poll(20), "it goes on writing"
            assert pipe.recv() == ("refused", "refused")
            if not is_successor_first:
                assert write_version(reco, version + 2, claim.run.fence) == ("written", "written")

            assert_is_kept(url, version + 2)
            assert reco.ports.ledger.finish(claim.run)
        pipe.send(None)
    print(f"{amid} were stopped in the middle of a transaction")


def in_transaction(url: str) -> int:
    """Return how many hold a transaction open and do nothing."""
    query = sa.text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND state = 'idle in transaction'"
    )
    with looking_into(url) as connection:
        count: int = connection.execute(query).scalar_one()
    return count


def process_id(process: BaseProcess) -> int:
    assert process.pid is not None
    return process.pid


def taken_over(reco: Recommender) -> Claim:
    """Return the claim of the run that was held, once it can be had."""
    ledger, [run] = reco.ports.ledger, open_runs(reco)
    claims: list[Claim] = []

    def is_claimed() -> bool:
        run_request = held_request(run.slot)
        claims.append(ledger.claim(run_request, holder=holder(), lease=timedelta(minutes=10)))
        return claims[-1].status is ClaimStatus.CLAIMED

    assert comes_true(is_claimed)
    return claims[-1]


def open_runs(reco: Recommender) -> list[Any]:
    known = reco.ports.ledger.open([], back=timedelta(0))
    return list(known.runs)


def assert_is_kept(url: str, version: int) -> None:
    expected = {owner: {version} for owner in HELD_OWNERS}
    assert versions_of_lists(url, ListKind.SIMILAR, "held-%") == expected
    assert versions_of_interests(url, "held-%") == expected
