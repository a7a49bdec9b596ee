"""How fast answers come from memory, beside a bare limit in the same run.

    python benchmarks/serving.py [--users N] [--items N] [--bids N] [--sqlite] [--json]

On PostgreSQL it starts a server of its own, or takes the one at ANGLE_RECO_TEST_DATABASE_URL,
and works in a new database there. The marketplace is simulated, its seed fixed. The limit looks
twenty things up in a dict, and makes a tuple of them.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1]))

from angle_reco import Recommender, Settings, Shelf
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import import_marketplace, storage_at
from angle_reco.domain.suggestions import Freshness
from angle_reco.simulation import MarketplaceShape, simulate
from tests.postgres import new_database, shared_server

CALLS = 10_000
BIDS = 1_000
OFFERED = 1_000
THREADS = 4
SECONDS = 10.0
DAYS = 30  # how far back lots go: most of them are open

HEADER = ("what", "p50", "p99", "statements a call", "beside", "its p50", "ratio")
Row = tuple[str, str, str, str, str, str, str]


def main() -> None:
    """Measure, and print a table or JSON."""
    asked = argparse.ArgumentParser(description="Measure answers from memory.")
    asked.add_argument("--users", type=int, default=100_000)
    asked.add_argument("--items", type=int, default=64_000)
    asked.add_argument("--bids", type=int, default=500_000)
    asked.add_argument("--sqlite", action="store_true", help="instead of PostgreSQL")
    asked.add_argument("--json", action="store_true")
    options = asked.parse_args()
    shape = MarketplaceShape(
        users=options.users,
        items=options.items,
        bids=options.bids,
        watches=options.bids // 2,
        sellers=max(1, options.users // 10),
        days=DAYS,
    )
    with tempfile.TemporaryDirectory() as folder, database(options.sqlite, Path(folder)) as url:
        began = time.monotonic()
        fill(url, shape, Path(folder))
        print(
            f"marketplace filled and jobs run in {time.monotonic() - began:.0f} s", file=sys.stderr
        )
        rows = measured(url)
    if options.json:
        print(json.dumps([dict(zip(HEADER, row, strict=True)) for row in rows], indent=2))
        return
    print(f"{shape.items:,} lots, {shape.users:,} users; {CALLS:,} calls a row\n")
    print(f"| {' | '.join(HEADER)} |\n|---|---:|---:|---:|---|---:|---:|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


@contextmanager
def database(is_sqlite: bool, folder: Path) -> Iterator[str]:
    """Open a new database until the end of the block."""
    if is_sqlite:
        yield f"sqlite:///{folder / 'shop.db'}"
        return
    with shared_server() as server, new_database(server) as url:
        yield url


def fill(url: str, shape: MarketplaceShape, folder: Path) -> None:
    """Fill a database with a simulated marketplace of now, and run every job."""
    simulate(shape, now=datetime.now(UTC)).write_csv(folder)
    with storage_at(url, Settings()) as storage:
        storage.migrate_up()
        import_marketplace(storage, folder)
    with Recommender.connect(url, settings=Settings(cache_enabled=False)) as reco:
        for job in BATCH_JOBS:
            reco.system.run_job(job)


def measured(url: str) -> list[Row]:
    """Return every row of the table."""
    random.seed(1)
    rows = []
    with Recommender.connect(url) as reco, counting(reco) as statements:
        users, items = owners(reco)
        reco.start(scheduler=None)
        for user in users:
            reco.as_user(user).homepage()
        while reco.anonymous.popular_items().freshness is not Freshness.FRESH:
            time.sleep(0.1)
        stats = reco.system.stats().memory
        assert stats is not None
        print(f"{stats.live_items:,} open items in {stats.live_bytes:,} bytes", file=sys.stderr)
        me = reco.as_user(users[0])
        calls: dict[str, Callable[[int], object]] = {
            "a homepage of 20": lambda n: reco.as_user(users[n % len(users)]).homepage(20),
            "20 similar items": lambda n: me.similar_items(items[n % len(items)], 20),
            "20 popular items": lambda _: me.popular_items(20),
        }
        limit = bare()
        for what, call in calls.items():
            for n in range(len(items)):
                call(n)
            before = statements()
            taken = timed(call)
            rows.append(
                row(f"{what}, from memory", taken, statements() - before, "dict + tuple", limit)
            )
        taken = under_load(calls["a homepage of 20"])
        rows.append(
            row(
                f"a homepage of 20, while {THREADS} threads ask for {OFFERED:,} a second",
                taken,
                0,
                "dict + tuple",
                limit,
            )
        )
        rows += bidding(reco, users, items, statements)
        rows += uncached(url, users, items)
    return rows


def bidding(
    reco: Recommender,
    users: Sequence[str],
    items: Sequence[str],
    statements: Callable[[], int],
) -> Iterator[Row]:
    """Yield what a bid takes with what is shown after it, as in the request that placed it."""
    shelves: dict[str, Callable[[str, str], Shelf]] = {
        "8 items after it": lambda user, item: reco.as_user(user).after_bid(item, 8),
        "the next homepage of 12, with sentences": lambda user, _: reco.as_user(user).homepage(12),
    }
    for what, shelf in shelves.items():
        taken, cpu, before = list[float](), list[float](), statements()
        for n in range(BIDS):
            user, item = users[n % len(users)], random.choice(items)
            began, began_cpu = time.perf_counter(), time.thread_time()
            reco.bid_placed(user, item)
            for one in shelf(user, item):
                assert one.sentence
            taken.append(time.perf_counter() - began)
            cpu.append(time.thread_time() - began_cpu)
            # What is done behind the answer counts for no request.
            reco._use_cases.settle()
        figures = f"p95 {shown(at(taken, 95))}; CPU {shown(at(cpu, 50))}, p95 {shown(at(cpu, 95))}"
        yield row(f"a bid taken, stored, and {what} ({figures})", taken, statements() - before)


def uncached(url: str, users: Sequence[str], items: Sequence[str]) -> list[Row]:
    """Return what the same answers take without a cache."""
    with (
        Recommender.connect(url, settings=Settings(cache_enabled=False)) as reco,
        counting(reco) as statements,
    ):
        rows = []
        for what, call in {
            "a homepage of 20, without a cache": lambda n: reco.as_user(
                users[n % len(users)]
            ).homepage(20),
            "20 similar items, without a cache": lambda n: reco.anonymous.similar_items(
                items[n % len(items)], 20
            ),
        }.items():
            before = statements()
            taken = timed(call, CALLS // 10)
            rows.append(row(what, taken, statements() - before))
    return rows


@contextmanager
def counting(reco: Recommender) -> Iterator[Callable[[], int]]:
    """Count the statements that a recommender sends."""
    assert reco.storage is not None
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    sa.event.listen(reco.storage.database.engine, "before_cursor_execute", note)
    yield lambda: count


def owners(reco: Recommender) -> tuple[list[str], list[str]]:
    """Return some users and items of whom lists are stored."""
    assert reco.storage is not None
    with reco.storage.database.engine.connect() as connection:
        found = [
            list(connection.scalars(sa.text(f"SELECT owner FROM angle_reco_{kind}_lists")))  # noqa: S608 — ours
            for kind in ("personal", "similar")
        ]
    users, items = (random.sample(one, min(len(one), 1_000)) for one in found)
    return users, items


def bare() -> list[float]:
    """Time what cannot be avoided: to find twenty things, and to hand them over together."""
    known = {f"item-{n}": object() for n in range(35_000)}
    wanted = [[f"item-{(n * 7919 + k) % 35_000}" for k in range(20)] for n in range(1_000)]
    return timed(lambda n: tuple([known[one] for one in wanted[n % 1_000]]))


def timed(call: Callable[[int], object], calls: int = CALLS) -> list[float]:
    """Return how many seconds each of many calls took."""
    taken = []
    for n in range(calls):
        began = time.perf_counter()
        call(n)
        taken.append(time.perf_counter() - began)
    return taken


def under_load(call: Callable[[int], object]) -> list[float]:
    """Offer calls at a steady rate; each is timed from when it should have begun."""
    taken: list[float] = []
    each = int(OFFERED * SECONDS / THREADS)

    def offer(first: int) -> None:
        mine, claims_now = [], time.perf_counter() + first / OFFERED
        for n in range(each):
            due = claims_now + n * THREADS / OFFERED
            while (left := due - time.perf_counter()) > 0:
                time.sleep(left)
            began = time.perf_counter()
            call(first + n)
            mine.append(time.perf_counter() - began)
        taken.extend(mine)

    threads = [threading.Thread(target=offer, args=(first,)) for first in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def row(
    what: str,
    taken: Sequence[float],
    statements: int,
    beside: str = "–",
    limit: Sequence[float] | None = None,
) -> Row:
    """Return a row of the table; an answer from the database has no limit in memory."""
    p50, p99 = at(taken, 50), at(taken, 99)
    its = None if limit is None else at(limit, 50)
    return (
        what,
        shown(p50),
        shown(p99),
        f"{statements / len(taken):.2f}",
        beside,
        "–" if its is None else shown(its),
        "–" if its is None else f"{p50 / its:.1f} ×",
    )


def at(taken: Sequence[float], percent: int) -> float:
    """Return a percentile."""
    return statistics.quantiles(taken, n=100)[percent - 1]


def shown(seconds: float) -> str:
    """Return seconds for people."""
    return f"{seconds * 1_000:.2f} ms" if seconds >= 0.001 else f"{seconds * 1_000_000:.1f} µs"


if __name__ == "__main__":
    main()
