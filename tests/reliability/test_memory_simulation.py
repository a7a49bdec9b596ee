"""Processes that share a database, in one thread and virtual time, with seeded faults.

A store fails before or after it has done what it was asked, takes seconds for it, or the
process that asked dies amid it. A seed says all that happens. The method is deterministic
simulation testing, as TigerBeetle's VOPR has it.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest

from angle_reco import AccessDeniedError, Freshness, ItemId, Recommender, Settings, Shelf, UserId
from angle_reco.application.jobs import runner
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import Ports, own_cache
from angle_reco.domain.auction_status import OPEN_STATUSES
from angle_reco.domain.errors import FencedOffError, StorageUnavailableError
from angle_reco.testing import AuctionStatus, Item, ManualClock
from tests.application.memories import _ports
from tests.application.shop import NOW, bid, filled, lot
from tests.reliability.trials import seeded, sized

USERS = [f"user-{number}" for number in range(6)]
ITEMS = [f"item-{number:02}" for number in range(24)]
CATEGORIES = ("art", "toy")
SURFACES = ("homepage", "similar_items", "after_bid", "popular_items")
PROCESSES, STEPS = 3, 60
_LONG_AGO = timedelta(seconds=20)
CACHE_BYTES = (12_000, 100_000)
"""So little that not everything fits, or enough."""

STORES = ("users", "activity", "recorder", "catalog", "interests", "lists", "erasure", "ledger")
SHARED = (*STORES, "changes")


class CrashError(BaseException):
    """The process dies here: nothing of it runs any more."""


@attrs.define(eq=False)
class Faulty:
    """A store as one process reaches it."""

    port: Any
    process: "Process"

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.port, name)
        if name == "wait" or not callable(found):
            return found

        def call(*args: object, **named: object) -> Any:
            world = self.process.world
            fault = world.fault_of(self.process)
            if fault == "fails":
                raise StorageUnavailableError
            if fault == "takes long":
                world.clock.advance(timedelta(seconds=world.chance.uniform(0, 20)))
            result = found(*args, **named)
            if fault == "dies":
                self.process.is_dead = True
                raise CrashError
            if fault == "does, and fails":
                raise StorageUnavailableError
            return result

        return call


@attrs.define(eq=False)
class Later:
    """What a process makes behind its answers: done when the seed says so."""

    process: "Process"
    waiting: list[Callable[[], object]] = attrs.field(factory=list)

    def submit(self, work: Callable[[], object]) -> None:
        """Have *work* done at some time, in whatever order."""
        self.waiting.append(work)

    def do(self, most: int) -> None:
        """Do so much of what waits."""
        for _ in range(most):
            if not self.waiting:
                return
            self.waiting.pop(self.process.world.chance.randrange(len(self.waiting)))()

    def settle(self, _: float) -> bool:
        """Do it all."""
        self.do(1_000)
        return True


@attrs.define(eq=False)
class Joining:
    """A cache whose flights land before somebody waits for them: there is one thread."""

    cache: Any
    process: "Process"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cache, name)

    def join(self, key: Any) -> Any:
        """Join a flight, and have it land if it is another's."""
        flight, is_new = self.cache.join(key)
        if not is_new:
            for later in self.process.laters:
                later.do(1_000)
        return flight, is_new


@attrs.define(eq=False)
class Process:
    """A recommender on the stores that all share."""

    world: "World"
    name: str
    is_dead: bool = False
    laters: list[Later] = attrs.field(factory=list)
    reco: Recommender = attrs.field(init=False)
    knows: dict[str, Item] = attrs.field(factory=dict)
    engaged: dict[tuple[str, str], datetime] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        ports = self.world.ports
        stores: dict[str, Any] = {name: Faulty(getattr(ports, name), self) for name in SHARED}

        def new_cache(clock: Any, _: int) -> Any:
            return Joining(own_cache(clock, self.world.cache_bytes), self)

        self.reco = Recommender(
            attrs.evolve(ports, new_cache=new_cache, **stores),
            Settings(deadline=timedelta(seconds=60)),
        )
        memory = self.reco._use_cases.shelves
        assert memory.stale_cache is not None
        assert memory.open_items is not None
        for stale_cache in (memory.stale_cache, memory.open_items.stale_cache):
            later: Any = Later(self)
            stale_cache.pool = later
            self.laters.append(later)
        pending: Any = memory.pending
        clear = pending.clear

        def clear_after_a_gap() -> int:
            # A gap in the feed may hide an erasure: only the database knows what was pending.
            self.engaged = dict.fromkeys(self.engaged, NOW - timedelta(days=1))
            return int(clear())

        pending.clear = clear_after_a_gap


@attrs.define(slots=False, eq=False)
class World:
    """Some processes, what is true, and what was told of it; a seed says all that happens."""

    seed: int
    is_faulty: bool = True
    log: list[str] = attrs.field(factory=list)
    counts: Counter[str] = attrs.field(factory=Counter)
    recent: str = USERS[0]

    def __attrs_post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        # What a failed run waits for is chance, too.
        random.seed(self.seed)
        self.cache_bytes = self.chance.choice(CACHE_BYTES)
        self.clock = ManualClock(NOW)
        items = [lot(item, self.chance.choice(CATEGORIES)) for item in ITEMS]
        bids = {(self.chance.choice(USERS), self.chance.choice(ITEMS)) for _ in range(12)}
        self.market = filled(items, *(bid(*pair) for pair in sorted(bids)), users=USERS)
        self.ports: Ports = _ports(self.clock, self.market)
        self.processes = [Process(self, f"process {number}") for number in range(PROCESSES)]

    def fault_of(self, process: Process) -> str | None:
        """Return what goes wrong with a call of a store."""
        if process.is_dead:
            raise CrashError
        if not self.is_faulty:
            return None
        draw = self.chance.random()
        for fault, share in _FAULTS.items():
            draw -= share
            if draw < 0:
                self.counts[fault] += 1
                return fault
        return None

    # Steps.

    def step(self) -> None:
        """Have one process do one thing; it may die of it, and is started again."""
        place = self.chance.randrange(PROCESSES)
        process = self.processes[place]
        [what] = self.chance.choices(list(_STEPS), weights=list(_STEPS.values()))
        self.log.append(f"{self.clock.now():%d %H:%M:%S.%f} {process.name} {what.__name__}")
        try:
            with self.telling_of_failures(process):
                what(self, process)
        except CrashError:
            self.counts["crashes"] += 1
            self.log.append(f"{process.name} dies")
            self.processes[place] = Process(self, f"{process.name}'")

    @contextmanager
    def telling_of_failures(self, process: Process) -> Iterator[None]:
        """Note what a process is told in place of an answer, which a host expects."""
        try:
            yield
        except StorageUnavailableError:
            assert self.is_faulty, f"{process.name} is told of a fault that is not there"
            self.log.append("unavailable")

    def answer(self, process: Process) -> None:
        """Ask for something, and hold it against what the process knows."""
        user, item = self.chance.choice(USERS), self.chance.choice(ITEMS)
        self.check(process, self.chance.choice(SURFACES), user, item)
        with pytest.raises(AccessDeniedError):
            process.reco.as_user(user).homepage(of=next(one for one in USERS if one != user))

    def asked(self, process: Process, surface: str, user: str, item: str) -> Shelf:
        """Return an answer."""
        view = process.reco.as_user(user)
        self.counts["answers"] += 1
        match surface:
            case "homepage":
                return view.homepage()
            case "similar_items":
                return view.similar_items(item)
            case "after_bid":
                return view.after_bid(item, assume_bid=self.chance.random() < 0.3)
            case _:
                return view.popular_items(category=self.chance.choice([None, *CATEGORIES]))

    def check(self, process: Process, surface: str, user: str, item: str) -> Shelf:
        """Ask, and make sure that nothing is shown that the process was told must not be."""
        # What ends while the answer is made may be in it.
        now = self.clock.now()
        shelf = self.asked(process, surface, user, item)
        self.log.append(f"{surface} {shelf.ids} {shelf.freshness.value} {shelf.degraded_by}")
        self.counts["shown"] += len(shelf)
        assert [one.rank for one in shelf] == list(range(1, len(shelf) + 1))
        assert len(set(shelf.ids)) == len(shelf)
        assert all(0 <= one.score <= 1_000_000 for one in shelf)
        if surface in ("similar_items", "after_bid"):
            assert ItemId(item) not in shelf.ids
        for shown in map(str, shelf.ids):
            known = process.knows.get(shown)
            assert known is None or not why_not(known, user, now), f"{shown} to {user}: {known}"
            bid_at = process.engaged.get((user, shown))
            if surface in ("homepage", "after_bid") and bid_at is not None:
                # Of what was long ago the database tells, unless it fails, which is flagged.
                assert shelf.degraded_by, f"{shown} to {user}, who bid on it"
                assert bid_at <= now - _LONG_AGO, f"{shown} to {user}, who has just bid on it"
        if not self.is_faulty:
            for shown in map(str, shelf.ids):
                assert not why_not(self.market.items[ItemId(shown)], user, now), shown
            if surface in ("homepage", "after_bid"):
                touched = self.ports.activity.touched_by(UserId(user))
                assert not touched & set(shelf.ids)
        return shelf

    def change(self, process: Process) -> None:
        """Change an item as its host does, and tell of it, perhaps twice or without avail."""
        item = self.market.items[ItemId(self.chance.choice(ITEMS))]
        name = str(item.item_id)
        match self.chance.randrange(5):
            case 0:
                item = attrs.evolve(item, is_published=False)
            case 1:
                item = attrs.evolve(item, status=AuctionStatus.SOLD)
            case 2:
                seconds = self.chance.choice([-1, 1, 30, 600])
                item = attrs.evolve(item, ends_at=self.clock.now() + timedelta(seconds=seconds))
            case 3:
                item = attrs.evolve(item, seller_id=UserId(self.chance.choice(USERS)))
            case _:
                item = attrs.evolve(item, is_published=True, status=None, ends_at=None)
        self.market.add_item(item)
        for one in self.processes:
            # What others were told is no longer so.
            one.knows.pop(name, None)
        for _ in range(self.chance.choice([1, 1, 2])):
            if process.reco.items_changed([name]):
                process.knows[name] = item
        self.same_if_dead(process)
        self.check(process, "popular_items", self.chance.choice(USERS), ITEMS[0])

    def bid(self, process: Process) -> None:
        """Have somebody bid, now and then told twice."""
        pair = self.chance.choice(USERS), self.chance.choice(ITEMS)
        self.recent = pair[0]
        for _ in range(self.chance.choice([1, 1, 2])):
            if process.reco.bid_placed(*pair, at=self.clock.now()):
                process.engaged[pair] = self.clock.now()
        self.same_if_dead(process)
        self.check(process, "homepage", pair[0], ITEMS[0])

    def same_if_dead(self, process: Process) -> None:
        """Die, if an event did not let that through, as it lets no error through."""
        if process.is_dead:
            raise CrashError

    def pool(self, process: Process) -> None:
        """Do something that waits behind answers."""
        for later in process.laters:
            later.do(self.chance.choice([1, 2, 1_000]))

    def passes(self, _: Process) -> None:
        """Let time pass."""
        self.clock.advance(
            timedelta(seconds=self.chance.choice([0.1, 1, 1, 3, 30, 61, 700, 7_200]))
        )

    def run_job(self, process: Process) -> None:
        """Run a job as its schedule has it."""
        name = self.chance.choice(BATCH_JOBS)
        try:
            process.reco.system.run_job(name, scheduled=True)
        except FencedOffError:
            self.log.append(f"{name} was taken over")

    def forget(self, process: Process) -> None:
        """Clear memory, or erase somebody."""
        user = self.chance.choice(USERS)
        match self.chance.randrange(3):
            case 0:
                process.reco.system.forget_cached(user_id=user)
            case 1:
                process.reco.system.forget_cached()
            case _:
                for one in self.processes:
                    # Nobody remembers it then but the database.
                    one.engaged |= {pair: NOW for pair in one.engaged if pair[0] == user}
                process.reco.system.erase_user(user)

    # When all is well again.

    def heal(self) -> None:
        """Make sure that what went wrong is over once nothing goes wrong any more."""
        self.is_faulty = False
        for process in self.processes:
            for user in USERS:
                self.asked(process, "homepage", user, ITEMS[0])
        # Leases end, open items are read again, and lists that are too old are.
        for _ in range(4):
            self.clock.advance(timedelta(minutes=2))
            for process in self.processes:
                for surface in SURFACES:
                    self.asked(process, surface, self.chance.choice(USERS), ITEMS[0])
                for later in process.laters:
                    later.settle(0)
        ended = set[str]()
        for _ in range(2):
            self.clock.advance(timedelta(hours=25))
            for process in self.processes:
                for name in BATCH_JOBS:
                    if process.reco.system.run_job(name, scheduled=True) is not None:
                        ended.add(name)
        assert ended == set(BATCH_JOBS), "each job runs again within its period"
        for process in self.processes:
            self.clock.advance(timedelta(seconds=2))
            for surface in (*SURFACES, *SURFACES):
                user, item = self.chance.choice(USERS), self.chance.choice(ITEMS)
                shelf = self.check(process, surface, user, item)
                assert not shelf.degraded_by
                for later in process.laters:
                    later.settle(0)
            # What one does the others hear of.
            self.chance.choice([self.change, self.bid])(process)
            self.clock.advance(timedelta(seconds=2))
            for other in self.processes:
                self.check(other, "popular_items", USERS[1], ITEMS[0])
                self.check(other, "homepage", self.recent, ITEMS[0])
            homepage = process.reco.as_user(USERS[0]).homepage()
            assert homepage.freshness in (Freshness.FRESH, Freshness.COMPUTED)
            cache = process.reco._use_cases.shelves.stale_cache.cache  # type: ignore[union-attr]  # there is one
            assert cache.stats().bytes <= self.cache_bytes


_FAULTS = {"fails": 0.03, "does, and fails": 0.01, "takes long": 0.01, "dies": 0.01}

_STEPS: dict[Callable[[World, Process], None], float] = {
    World.answer: 30,
    World.change: 8,
    World.bid: 8,
    World.pool: 15,
    World.passes: 12,
    World.run_job: 4,
    World.forget: 2,
}


def why_not(item: Item, user: str, now: Any) -> str | None:
    """Return why an item may not be shown to a user."""
    if not item.is_published:
        return "withdrawn"
    if item.ends_at is not None and item.ends_at <= now:
        return "ended"
    if item.status is not None and item.status not in OPEN_STATUSES:
        return f"{item.status}"
    return "own" if item.seller_id == UserId(user) else None


def lived(seed: int) -> World:
    """Return a world after all that its seed says."""
    world = World(seed)
    for _ in range(STEPS):
        world.step()
    world.heal()
    return world


def test_whatever_fails_nothing_wrong_is_shown_and_all_is_well_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "_SECONDS_BETWEEN_TRIES", 0.0)
    first, counts = seeded().randrange(10**9), Counter[str]()
    for seed in range(first, first + sized(100, 10_000)):
        try:
            counts += lived(seed).counts
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error

    print(dict(counts))
    assert min(counts[one] for one in (*_FAULTS, "crashes", "answers", "shown")) > 0


def test_a_seed_says_all_that_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_SECONDS_BETWEEN_TRIES", 0.0)
    for seed in range(sized(5, 100)):
        assert lived(seed).log == lived(seed).log, seed
