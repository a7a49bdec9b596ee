"""Holds what memory is for: of a day of visitors few wait for the database, in any process."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any, NamedTuple

import attrs
import numpy as np
import numpy.typing as npt
import pytest
import sqlalchemy as sa

from angle_reco import ItemId, Recommender, Settings, UserId
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import sql_ports
from angle_reco.domain.items import Item
from angle_reco.ports.cache import CacheStats
from angle_reco.testing import Bid, ManualClock, User, Watch
from tests.adapters.databases import fill
from tests.application.memories import settle
from tests.application.shop import lot
from tests.postgres import new_database
from tests.reliability.traffic import percentile
from tests.reliability.trials import IS_FULL, seeded, sized
from tests.reliability.workers import doing

ITEMS = sized(300, 10_000)
USERS = ITEMS // 2
HOURS = sized(2, 24)
SEEDS = sized(1, 3)
PROCESSES = 4
STEP = timedelta(seconds=sized(60, 30))
PER_STEP = sized(70, 750)
"""Requests of one process: more where more things are asked for, of which each is missed once."""

_STEPS_AN_HOUR = 3600 // int(STEP.total_seconds())
_WARM_AFTER = timedelta(minutes=10)
_EVENTS_A_MINUTE = 1
_SAMPLE = 400
_CATEGORIES = 50

HITS, SAVED, P99 = (0.80, 0.80, 0.005) if IS_FULL else (0.75, 0.75, 0.25)
"""The bars: the share of lookups that memory answers, that of statements it saves, seconds.

In a short day less is asked for again, and an answer waits for tests beside it.
"""

_AT_ONCE = 2
"""So many processes answer at one moment, as many as there may be processors."""

# A day in a process. What happens in it, it tells the parent when it ends.

Numbers = npt.NDArray[np.int64]


class Zipf:
    """Chance by which of *count* the one in place n comes n times less often than the first."""

    def __init__(self, count: int) -> None:
        shares = 1 / np.arange(1, count + 1)
        self._sums = np.cumsum(shares) / shares.sum()

    def choose(self, chance: np.random.Generator, count: int) -> Numbers:
        """Return so many, each from 0 on."""
        return np.searchsorted(self._sums, chance.random(count), side="right").astype(np.int64)


class Request(NamedTuple):
    """What somebody asks for."""

    surface: str
    number: int


@attrs.define
class Visitors:
    """Whoever comes to one process."""

    chance: np.random.Generator
    users: Zipf = attrs.field(factory=lambda: Zipf(USERS))
    items: Zipf = attrs.field(factory=lambda: Zipf(ITEMS))

    def come(self, count: int) -> list[Request]:
        """Return what so many of them ask for."""
        surfaces = self.chance.choice(
            ["homepage", "similar_items", "popular_items"], count, p=[0.45, 0.45, 0.1]
        )
        users, items = (some.choose(self.chance, count) for some in (self.users, self.items))
        return [
            Request(str(surface), int(user if surface == "homepage" else item))
            for surface, user, item in zip(surfaces, users, items, strict=True)
        ]


@attrs.frozen
class Report:
    """How a process did from some minutes after its start on; None if it did not live so long."""

    warm: bool
    hits: int = 0
    stale: int = 0
    misses: int = 0
    requests: int = 0
    statements: int = 0
    seconds_of_hits: tuple[float, ...] = ()

    @property
    def share(self) -> float:
        """Return which part of all lookups memory answered."""
        found = self.hits + self.stale
        return found / max(found + self.misses, 1)


def serve(pipe: Connection, url: str, now: datetime, seed: int) -> None:
    """Answer visitors, a step at a time, as the parent says: it sends the seconds to pass."""
    with opened(url, now, Settings(deadline=timedelta(seconds=20))) as (reco, clock):
        day = Day(reco, clock, Visitors(np.random.default_rng(seed)))
        while (told := pipe.recv()) != "end":
            if told == "jobs":
                day.run_jobs()
            else:
                day.step()
            pipe.send(None)
        pipe.send(day.report())


@contextmanager
def opened(
    url: str, now: datetime, settings: Settings
) -> Iterator[tuple[Recommender, ManualClock]]:
    """Give a recommender of a process of its own, by a clock that is moved by hand."""
    engine, clock = open_engine(url, settings.deadline), ManualClock(now)
    try:
        ports = attrs.evolve(sql_ports(engine, settings), clock=clock)
        with Recommender(ports, settings) as reco:
            # As a web process has it: a thread listens to what the others tell.
            reco.start(scheduler=None)
            yield reco, clock
    finally:
        engine.dispose()


@attrs.define
class Day:
    """What happens in a process, and what is counted of it."""

    reco: Recommender
    clock: ManualClock
    visitors: Visitors
    passed: timedelta = timedelta(0)
    requests: int = 0
    statements: int = 0
    seconds_of_hits: list[float] = attrs.field(factory=list)
    at_first: CacheStats | None = None

    def step(self) -> None:
        """Let some seconds pass, with all that happens in them."""
        self.clock.advance(STEP)
        self.passed += STEP
        if self.at_first is None and self.passed >= _WARM_AFTER:
            self.at_first, self.requests, self.statements = self.lookups, 0, 0
            self.seconds_of_hits.clear()
        # By the clock of visitors the thread that follows would have looked many times.
        invalidator = self.reco._use_cases.invalidator
        assert invalidator is not None
        invalidator.read()
        before = self.counted
        for request in self.visitors.come(PER_STEP):
            self.answer(request)
            # What is made behind an answer is done when the next visitor comes, by the clock.
            settle(self.reco)
        self.statements += self.counted - before
        self.requests += PER_STEP
        chance = self.visitors.chance
        for _ in range(chance.poisson(_EVENTS_A_MINUTE * STEP / timedelta(minutes=1))):
            self.change()

    def answer(self, request: Request) -> None:
        """Answer somebody, and note how long that took if memory knew."""
        before, began = self._misses, perf_counter()
        ask(self.reco, request)
        seconds = perf_counter() - began
        if self._misses == before:
            self.seconds_of_hits.append(seconds)

    def change(self) -> None:
        """Have somebody bid or watch, or an item be edited or withdrawn."""
        chance = self.visitors.chance
        [user], [item] = (
            self.visitors.users.choose(chance, 1),
            self.visitors.items.choose(chance, 1),
        )
        match chance.integers(4):
            case 0:
                # In another process the same may have been told at the same moment.
                self.reco.bid_placed(user_id(user), item_id(item))
            case 1:
                # Somebody may watch it already.
                self.reco.watched(user_id(user), item_id(item))
            case what:
                assert self.reco.storage is not None
                items, database = self.reco.storage.tables.items, self.reco.storage.database
                values: dict[str, Any] = {"title": f"edited at {self.clock.now()}"}
                if what == 2 and item > ITEMS // 10:
                    values = {"publication_status": "draft"}
                change = sa.update(items).where(items.c.item_id == item_id(item)).values(values)
                with database.engine.begin() as connection:
                    connection.execute(change)
                assert self.reco.items_changed([item_id(item)])

    def run_jobs(self) -> None:
        """Recompute all lists, as each night."""
        for job in BATCH_JOBS:
            self.reco.system.run_job(job)

    @property
    def lookups(self) -> CacheStats:
        """Return how the lists in memory did so far."""
        memory = self.reco.system.stats().memory
        assert memory is not None
        return memory.lists

    @property
    def counted(self) -> int:
        """Return how many statements there were."""
        assert self.reco.storage is not None
        return self.reco.storage.statements.count

    @property
    def _misses(self) -> int:
        # `stats` counts the marketplace, too, which takes longer than an answer.
        stale_cache = self.reco._use_cases.shelves.stale_cache
        assert stale_cache is not None
        return stale_cache.cache.stats().misses

    def report(self) -> Report:
        """Return how it went."""
        assert self.reco.system.stats().events_failed == 0
        if self.at_first is None:
            return Report(warm=False)
        first, last = self.at_first, self.lookups
        return Report(
            warm=True,
            hits=last.hits - first.hits,
            stale=last.stale - first.stale,
            misses=last.misses - first.misses,
            requests=self.requests,
            statements=self.statements,
            seconds_of_hits=tuple(self.seconds_of_hits),
        )


def ask(reco: Recommender, request: Request) -> None:
    """Ask for a page, which is a page."""
    match request.surface:
        case "homepage":
            shelf = reco.as_user(user_id(request.number)).homepage()
        case "similar_items":
            shelf = reco.anonymous.similar_items(item_id(request.number))
        case _:
            shelf = reco.anonymous.popular_items()
    assert len(shelf) > 0
    assert not shelf.degraded_by


def user_id(number: int) -> str:
    """Return the name of a user; the first are those who come most often."""
    return f"user-{number:05}"


def item_id(number: int) -> str:
    """Return the name of an item, of those that are looked at most often the first."""
    return f"item-{number:05}"


# The day, from outside.


def fill_market(url: str, now: datetime, seed: int) -> None:
    """Put a market into a database, with all lists made for now."""
    chance = np.random.default_rng(seed)
    day = timedelta(days=1)
    items: list[Item] = [
        attrs.evolve(
            lot(item_id(number), f"category-{number % _CATEGORIES}"), listed_at=now - 20 * day
        )
        for number in range(ITEMS)
    ]
    users = [UserId(user_id(number)) for number in range(USERS)]
    chosen = Zipf(ITEMS).choose(chance, 4 * USERS).reshape(USERS, 4)
    engine, settings = open_engine(url), Settings(pace=1)
    try:
        ports = sql_ports(engine, settings, migrate=True)
        assert ports.storage is not None
        fill(
            ports.storage,
            users=[User(user_id=one, last_sign_in_at=now) for one in users],
            items=items,
            bids=[
                Bid(user_id=user, item_id=ItemId(item_id(one)), placed_at=now - day)
                for user, some in zip(users, chosen, strict=True)
                for one in some[:3]
            ],
            watches=[
                Watch(user_id=user, item_id=ItemId(item_id(some[3])), watched_at=now - day)
                for user, some in zip(users, chosen, strict=True)
            ],
        )
        with engine.begin() as connection:
            # As it has grown, and not been filled a moment ago: of that nothing is known yet.
            connection.exec_driver_sql("ANALYZE")
        with Recommender(attrs.evolve(ports, clock=ManualClock(now)), settings) as reco:
            for job in BATCH_JOBS:
                reco.system.run_job(job)
    finally:
        engine.dispose()


def statements_without_memory(url: str, now: datetime, seed: int) -> float:
    """Return how many statements a request takes where nothing is kept."""
    settings = Settings(cache_enabled=False, deadline=timedelta(seconds=20))
    with opened(url, now, settings) as (reco, _):
        assert reco.storage is not None
        before = reco.storage.statements.count
        for request in Visitors(np.random.default_rng(seed)).come(_SAMPLE):
            ask(reco, request)
        return (reco.storage.statements.count - before) / _SAMPLE


def a_day(url: str, now: datetime, seeds: Iterator[int]) -> tuple[list[Report], float]:
    """Return how each process did, of which one is replaced each hour, and what all else costs."""
    ended = list[Report]()
    with ExitStack() as running:
        pipes = list[tuple[Connection, ExitStack]]()

        def begun(at: datetime) -> tuple[Connection, ExitStack]:
            alone = running.enter_context(ExitStack())
            _, pipe = alone.enter_context(doing(serve, url, at, next(seeds)))
            return pipe, alone

        def end(place: int) -> None:
            pipe, alone = pipes[place]
            pipe.send("end")
            ended.append(pipe.recv())
            alone.close()

        pipes += [begun(now) for _ in range(PROCESSES)]
        for hour in range(HOURS):
            if hour:
                place = hour % PROCESSES
                end(place)
                pipes[place] = begun(now)
            for step in range(_STEPS_AN_HOUR):
                if (hour, step) == (HOURS // 2, _STEPS_AN_HOUR // 2):
                    pipes[0][0].send("jobs")
                    pipes[0][0].recv()
                for first in range(0, PROCESSES, _AT_ONCE):
                    some = pipes[first : first + _AT_ONCE]
                    for pipe, _ in some:
                        pipe.send("step")
                    for pipe, _ in some:
                        pipe.recv()
                now += STEP
        for place in range(PROCESSES):
            end(place)
    notifier = [one for one in ended if one.warm]
    return notifier, statements_without_memory(url, now, next(seeds))


@pytest.mark.parametrize("number", range(SEEDS))
def test_of_a_day_of_visitors_few_wait_for_the_database(postgres_url: str, number: int) -> None:
    chance = seeded()
    seeds = iter([chance.randrange(10**9) for _ in range(HOURS + PROCESSES + 2)])
    # By the clock of the database, which the ledger goes by.
    now = datetime.now(UTC)
    with new_database(postgres_url) as url:
        fill_market(url, now, next(seeds))
        notifier, without = a_day(url, now, seeds)

    assert len(notifier) >= PROCESSES
    for one in notifier:
        per_request = one.statements / one.requests
        p99 = percentile(one.seconds_of_hits, 0.99)
        print(
            f"{one.requests} requests: {one.share:.1%} from memory ({one.stale} stale,"
            f" {one.misses} misses), {per_request:.3f} statements instead of {without:.2f}"
            f" ({1 - per_request / without:.1%} less), p99 {1_000 * p99:.2f} ms"
        )
    for one in notifier:
        assert one.share > HITS
        assert one.statements / one.requests <= (1 - SAVED) * without
        assert percentile(one.seconds_of_hits, 0.99) < P99
