"""The ledger in one thread and virtual time: processes that crash, sleep, and do things twice."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import attrs
import pytest

from angle_reco.adapters.memory.ledger import MemoryRunLedger
from angle_reco.adapters.memory.stores import MemoryFences
from angle_reco.application.jobs.schedule import SCHEDULE
from angle_reco.domain.errors import FencedOffError
from angle_reco.domain.runs import (
    ClaimStatus,
    Run,
    RunKey,
    RunRules,
    RunState,
    Trigger,
    due_run_requests,
    retry_delay,
    run_request_of,
)
from angle_reco.domain.schedules import window_of
from angle_reco.testing import ManualClock
from tests.reliability.trials import sized

RULES = RunRules()
JOBS = {name: rule for name, rule in SCHEDULE.items() if not rule.in_every_process}
START = datetime(2026, 3, 27, 23, 30, tzinfo=UTC)
"""A day before clocks are put forward in Europe, which must not matter."""

BACK = max(rule.window + rule.schedule.every for rule in JOBS.values())


@attrs.define
class Process:
    """One process, and the run that it believes to be its own."""

    name: str
    run: Run | None = None
    sleeps_until: datetime | None = None


@attrs.define(slots=False)
class World:
    """Some processes, one ledger, and what came of it; a seed says all that happens."""

    seed: int
    is_faulty: bool = True
    clock: ManualClock = attrs.field(factory=lambda: ManualClock(START))
    fences: MemoryFences = attrs.field(factory=MemoryFences)
    finished: Counter[tuple[RunKey, datetime]] = attrs.field(factory=Counter)
    executed: Counter[tuple[RunKey, datetime]] = attrs.field(factory=Counter)
    newest: dict[RunKey, int] = attrs.field(factory=dict)
    log: list[str] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.ledger = MemoryRunLedger(self.clock, self.fences)
        self.processes = [Process(f"process {number}") for number in range(4)]
        self.claims = 0

    def step(self) -> None:
        """Let a little time pass, and one process do one thing."""
        self.clock.advance(timedelta(seconds=self.chance.random() * 20))
        now = self.clock.now()
        for one in self.processes:
            if one.sleeps_until is not None and one.sleeps_until <= now:
                one.sleeps_until = None
            if one.run is not None and one.sleeps_until is None:
                self.beat(one, one.run)
        process = self.chance.choice(self.processes)
        if process.sleeps_until is not None:
            return
        fault = self.chance.random() if self.is_faulty else 1.0
        if fault < 0.01:
            self.say(process, "crashes")
            process.run = None
        elif fault < 0.03:
            self.say(process, "sleeps")
            process.sleeps_until = now + timedelta(seconds=self.chance.random() * 90)
        elif process.run is None:
            self.look(process)
        else:
            self.work(process, process.run)

    def look(self, process: Process) -> None:
        """Begin something that is due, or leave something to be done."""
        if self.chance.random() < 0.02:
            key = RunKey.of("compute_item_similarities", {"item_id": self.chance.randrange(3)})
            rule = JOBS[key.job]
            slot = window_of(self.clock.now(), rule.request_window)
            run_request = run_request_of(key, Trigger.REQUEST, rule, slot=slot, claims_now=False)
            for _ in range(self.chance.choice([1, 1, 2])):
                self.ledger.claim(run_request, holder=process.name, lease=RULES.lease)
            return
        known = self.ledger.open(list(JOBS), back=BACK)
        run_requests = due_run_requests(known.runs, JOBS, known.now)
        if not run_requests:
            return
        run_request = self.chance.choice(run_requests)
        self.claims += 1
        for _ in range(self.chance.choice([1, 1, 2])):
            claim = self.ledger.claim(
                run_request, holder=f"{process.name} {self.claims}", lease=RULES.lease
            )
        if claim.status is ClaimStatus.CLAIMED:
            process.run = claim.run
            self.executed[claim.run.key, claim.run.slot] += 1
            # Numbers only grow, whoever holds the run.
            assert claim.run.number > self.newest.get(claim.run.key, 0)
            self.newest[claim.run.key] = claim.run.number
            self.say(process, f"begins {claim.run.key} of {claim.run.slot}")

    def beat(self, process: Process, run: Run) -> None:
        """Prolong the lease, as a thread of each process does all the time; now and then late."""
        if self.is_faulty and self.chance.random() < 0.2:
            return
        if not self.ledger.beat(run, lease=RULES.lease):
            self.say(process, f"hears that it lost {run.key}")
            process.run = None

    def work(self, process: Process, run: Run) -> None:
        """Write, and perhaps end."""
        try:
            self.fences.pass_(run.fence)
        except FencedOffError:
            self.say(process, f"is fenced off from {run.key}")
            process.run = None
            return
        # Whoever writes is the newest that began.
        assert run.number == self.newest[run.key]
        if self.chance.random() < 0.5:
            return
        process.run = None
        fails = self.is_faulty and self.chance.random() < 0.3
        delay = None
        if fails and run.attempt < JOBS[run.key.job].attempts:
            delay = retry_delay(run.attempt, RULES, self.chance.random())
        for _ in range(self.chance.choice([1, 1, 2])):
            error = "an error" if fails else None
            if self.ledger.finish(run, error=error, retry_after=delay) and not fails:
                self.finished[run.key, run.slot] += 1
        self.say(process, f"ends {run.key} of {run.slot}, failing: {fails}")

    def say(self, process: Process, what: str) -> None:
        """Note what happened."""
        self.log.append(f"{self.clock.now():%d %H:%M:%S.%f} {process.name} {what}")


def lived(seed: int) -> World:
    """Return a world after six hours with faults, and four calm ones after that."""
    world = World(seed)
    while world.clock.now() < START + timedelta(hours=6):
        world.step()
    world.is_faulty = False
    for process in world.processes:
        process.sleeps_until = None
    while world.clock.now() < START + timedelta(hours=10):
        world.step()
    return world


@pytest.mark.parametrize("some", range(4))
def test_every_slot_is_done_once_and_none_is_lost(some: int) -> None:
    for seed in range(some, sized(40, 10_000), 4):
        world = lived(seed)

        assert set(world.finished.values()) <= {1}, seed
        attempts = {slot: JOBS[slot[0].job].attempts for slot in world.executed}
        assert all(count <= attempts[slot] for slot, count in world.executed.items()), seed
        known = world.ledger.open(list(JOBS), back=timedelta(days=3))
        # Of the calm time each window was finished, the last one perhaps not yet.
        calm = START + timedelta(hours=7)
        for name, rule in JOBS.items():
            due = rule.schedule.last_before(calm)
            while (due := due + rule.schedule.every) < known.now - rule.schedule.every:
                slot = RunKey(name), window_of(due, rule.window)
                assert world.finished[slot] == 1, (seed, slot)
        # What was asked for was done, too.
        late = known.now - timedelta(minutes=10)
        left = [run for run in known.runs if not run.state.is_final and run.due_at < late]
        assert left == [], seed


def test_a_seed_tells_the_same_story_again() -> None:
    assert lived(7).log == lived(7).log


def test_runs_that_were_never_ended_do_not_pile_up() -> None:
    world = lived(11)

    held = [one for one in world.ledger.open([], back=timedelta(0)).runs if one.is_held(START)]
    assert all(one.state is RunState.RUNNING for one in held)
    assert world.ledger.prune(retention=timedelta(0)) > 0
