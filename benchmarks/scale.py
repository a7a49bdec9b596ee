"""What the jobs, and the database with them, cost as a marketplace grows.

    python -m benchmarks.scale [SIZE ...] [--ids KIND] [--ranker NAME] [--no-import]
                               [--no-serving] [--rounds N] [--set NAME=VALUE] [--slowest N]
                               [--store FILE]

A SIZE is USERS:ITEMS:EVENTS, or one number N for N users, N items and 15 N bids and watches. The
marketplaces are simulated, their seed fixed; a bit more than half of the items are open. A server
of PostgreSQL is started for them on the disk.

Of each size there is a first run of all jobs, a run a moment later, before which nothing has
happened, one after a hundredth of the users has bid, and a full run, each in a process of its
own. A bare COPY of what jobs read to nowhere, and of what they stored into tables with the same
keys, is the limit of the first run. An import is beside a bare COPY of the same files. Answers
from memory are timed without jobs and while full runs of all jobs are under way in the same
process. With --rounds, more runs with bids follow, and the tables are weighed before and after.

Seconds that passed depend on what else the machine does, CPU seconds much less. The exponents
are fitted to the sizes: 1.0 is in proportion.
"""

import argparse
import json
import multiprocessing
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import numpy as np
import psycopg

from angle_reco import IdKind, IdKinds, Recommender, Settings
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import import_marketplace, ports_on, storage_at
from angle_reco.simulation import simulate
from angle_reco.testing import ManualClock
from benchmarks.markets import Size, Watcher, fill, plain, server
from benchmarks.serving import at, under_load
from tests.postgres import Server, new_database

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SIZES = ("10000", "30000", "100000")
WARM = 1_000

Figures: TypeAlias = dict[str, Any]

READ = ("users", "items", "bids", "watches")
STORED = (
    "angle_reco_user_interests",
    "angle_reco_popular_lists",
    "angle_reco_personal_lists",
    "angle_reco_similar_lists",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each size, print what was found as it is found, and store JSON."""
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("sizes", nargs="*", default=SIZES, metavar="SIZE")
    asked.add_argument("--ids", type=IdKind, default=IdKind.UUID, choices=list(IdKind))
    asked.add_argument("--ranker", default="classic")
    asked.add_argument("--no-import", action="store_true")
    asked.add_argument("--no-serving", action="store_true")
    asked.add_argument("--rounds", type=int, default=0, help="more runs after bids")
    asked.add_argument("--set", action="append", default=[], help="a setting of the server")
    asked.add_argument("--slowest", type=int, default=0, help="how many statements to show")
    asked.add_argument("--store", type=Path, help="a JSON file, which is extended")
    options = asked.parse_args(arguments)
    settings = dict(one.split("=", 1) for one in options.set)
    found = []
    with server(settings) as started:
        for text in options.sizes:
            figures = measured(started, Size.of(text), options)
            figures["server"] = settings
            found.append(figures)
            if options.store is not None:
                store(options.store, figures)
    if len(found) > 1:
        show_growth(found)


def measured(started: Server, size: Size, options: argparse.Namespace) -> Figures:
    """Return the figures of one size."""
    # Not by the processes that are measured: implicit takes long to import.
    from benchmarks.similarities import machine

    print(f"\n{size.users:,} users, {size.items:,} items, {size.events:,} bids and watches")
    settings = settings_of(options)
    figures: Figures = {"size": attrs.asdict(size), "ids": options.ids.value}
    figures |= {"ranker": options.ranker, "machine": machine(), "runs": []}
    with new_database(started.url()) as url:
        taken = time.perf_counter()
        with storage_at(url, settings) as storage:
            storage.migrate_up()
            fill(storage, size, NOW)
        print(f"  filled in {time.perf_counter() - taken:.0f} s, load {os.getloadavg()[0]:.1f}")
        figures["tables"] = {"filled": weights(url)}

        def run(name: str, minutes: float, *, full: bool = False) -> None:
            when = NOW + timedelta(minutes=minutes)
            with most_memory(url) as most:
                rows = alone(run_jobs, url, settings, when, full)
            figures["runs"].append({"run": name, "database_bytes": most(), "jobs": rows})
            show_run(figures["runs"][-1])

        run("first", 0)
        figures["limit"] = alone(bare_copies, url)
        print(f"  bare COPY out and in: {figures['limit']['passed']:.2f} s")
        run("nothing has changed", 0.002)
        alone(bid, url, settings, NOW + timedelta(minutes=20), 1)
        run("1 % of the users have bid", 21)
        for number in range(options.rounds):
            alone(bid, url, settings, NOW + timedelta(minutes=22), number + 2)
            run(f"after more bids, {number + 1}", 23)
        run("full", 30, full=True)
        figures["tables"]["in the end"] = weights(url)
        if options.slowest:
            show_slowest(url, options.slowest)
        if not options.no_serving:
            figures["serving"] = alone(serve, url, settings, NOW + timedelta(minutes=31))
            print(f"  p99 of answers: {figures['serving']}")
    if not options.no_import:
        figures["import"] = imported(started, size)
        print(f"  import: {figures['import']}")
    return figures


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings of the recommender."""
    kinds = IdKinds(user=options.ids, item=options.ids, category=options.ids)
    return Settings(ranker=options.ranker, ids=kinds)


def alone(work: Callable[..., Any], *given: Any) -> Any:
    """Return what *work* returns in a process that does nothing else."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *given).result()


@contextmanager
def opened(url: str, settings: Settings, when: datetime) -> Iterator[Recommender]:
    """Open a recommender at a moment."""
    with storage_at(url, settings) as storage:
        ports = attrs.evolve(ports_on(storage), clock=ManualClock(when))
        with Recommender(ports, settings) as reco:
            yield reco


def run_jobs(url: str, settings: Settings, when: datetime, full: bool) -> list[Figures]:
    """Run all jobs; return what each cost and did."""
    rows, watcher = list[Figures](), Watcher(url)
    with opened(url, settings, when) as reco:
        reco.system.health()
        for job in BATCH_JOBS:
            before = watcher.seen()
            # The highest use of memory counts from here on.
            Path("/proc/self/clear_refs").write_text("5")
            own, cpu, passed = memory("VmRSS"), time.process_time(), time.perf_counter()
            outcome = reco.system.run_job(job, full=full)
            cpu, passed = time.process_time() - cpu, time.perf_counter() - passed
            done = watcher.seen() - before
            rows.append(
                {
                    "job": job,
                    "cpu": round(cpu, 3),
                    "passed": round(passed, 3),
                    "database_cpu": round(done.cpu, 2),
                    "database_seconds": round(done.seconds, 3),
                    "statements": done.statements,
                    "log_bytes": done.log_bytes,
                    "bytes": memory("VmHWM") - own,
                    "bytes_in_all": memory("VmHWM"),
                    "scope": outcome.scope,
                    "left": outcome.left,
                    "changed": outcome.changed,
                }
            )
    watcher.close()
    return rows


def memory(name: str) -> int:
    """Return a figure of this process's memory, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(kilobytes) * 1_024


@contextmanager
def most_memory(url: str) -> Iterator[Callable[[], int]]:
    """Yield a function that returns the most memory that the server had in the block."""
    most, has_ended = 0, threading.Event()

    def look() -> None:
        nonlocal most
        while not has_ended.wait(0.2):
            most = max(most, watcher.private_bytes())

    watcher = Watcher(url)
    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield lambda: most
    finally:
        has_ended.set()
        thread.join()
        watcher.close()


def bid(url: str, settings: Settings, when: datetime, seed: int) -> None:
    """Let a hundredth of the active users bid, each on one open item."""
    chosen = random.Random(seed)
    with opened(url, settings, when) as reco:
        users = reco.ports.users.active_since(when - settings.active_for).to_list()
        items = reco.ports.catalog.may_be_open(when).items.ids.to_list()
        assert reco.storage is not None
        with reco.storage.database.engine.begin() as connection:
            for user in chosen.sample(users, max(1, len(users) // 100)):
                reco.bid_placed(user, chosen.choice(items), at=when, connection=connection)


def bare_copies(url: str) -> Figures:
    """Return the seconds of a bare COPY of what jobs read, and of what they stored."""
    watcher, folder = Watcher(url), ""
    with psycopg.connect(plain(url), autocommit=True) as connection:
        [(folder,)] = connection.execute("SHOW data_directory")
        for name in STORED:
            connection.execute(f"COPY {name} TO '{folder}/{name}.copy' (FORMAT binary)".encode())
            connection.execute(f"CREATE TABLE bare_{name} (LIKE {name} INCLUDING ALL)".encode())
        before, began = watcher.seen(), time.perf_counter()
        for name in READ:
            connection.execute(f"COPY {name} TO '/dev/null' (FORMAT binary)".encode())
        for name in STORED:
            connection.execute(
                f"COPY bare_{name} FROM '{folder}/{name}.copy' (FORMAT binary)".encode()
            )
        passed, done = time.perf_counter() - began, watcher.seen() - before
        for name in STORED:
            connection.execute(f"DROP TABLE bare_{name}".encode())
            Path(folder, f"{name}.copy").unlink()
    watcher.close()
    return {"passed": round(passed, 3), "database_cpu": round(done.cpu, 2)}


def weights(url: str) -> Figures:
    """Return the bytes of each table with its indexes, and how often it was vacuumed."""
    with psycopg.connect(plain(url), autocommit=True) as connection:
        rows = connection.execute(
            "SELECT relname, pg_total_relation_size(relid), autovacuum_count, n_dead_tup"
            " FROM pg_stat_user_tables"
        ).fetchall()
    return {
        name: {"bytes": size, "vacuumed": vacuumed, "dead_rows": dead}
        for name, size, vacuumed, dead in sorted(rows)
        if size > 100_000
    }


def serve(url: str, settings: Settings, when: datetime) -> Figures:
    """Return the 99th percentile of homepages from memory, without jobs and beside them."""
    with opened(url, settings, when) as reco:
        users = reco.ports.users.active_since(when - settings.active_for).to_list()[:WARM]
        for user in users:
            reco.as_user(user).homepage()

        def answer(number: int) -> object:
            return reco.as_user(users[number % len(users)]).homepage(20)

        alone_taken, stop = under_load(answer), threading.Event()

        def run() -> None:
            while not stop.is_set():
                for job in BATCH_JOBS:
                    if not stop.is_set():
                        reco.system.run_job(job, full=True)

        thread = threading.Thread(target=run)
        thread.start()
        beside = under_load(answer)
        stop.set()
        thread.join()
    both = {"without jobs": at(alone_taken, 99), "beside jobs": at(beside, 99)}
    return {name: round(seconds, 6) for name, seconds in both.items()}


def imported(started: Server, size: Size) -> Figures:
    """Return what an import takes, and a bare COPY of the same files."""
    with tempfile.TemporaryDirectory() as folder:
        simulate(size.shape, now=NOW).write_csv(Path(folder))
        with new_database(started.url()) as url:
            ours = alone(import_files, url, folder)
        with new_database(started.url()) as url:
            bare = alone(copy_files, url, folder)
    return {**ours, "bare": bare, "ratio": round(ours["passed"] / bare["passed"], 2)}


def import_files(url: str, folder: str) -> Figures:
    """Import a directory into an empty database."""
    watcher, began, cpu = Watcher(url), time.perf_counter(), time.process_time()
    with storage_at(url, Settings()) as storage:
        import_marketplace(storage, Path(folder))
    passed, cpu = time.perf_counter() - began, time.process_time() - cpu
    most = memory("VmHWM")
    watcher.close()
    return {"passed": round(passed, 2), "cpu": round(cpu, 2), "bytes": most}


def copy_files(url: str, folder: str) -> Figures:
    """Copy the same files into tables with the same columns and keys."""
    with storage_at(url, Settings()) as storage:
        storage.migrate_up()
    began = time.perf_counter()
    with psycopg.connect(plain(url)) as connection, connection.cursor() as cursor:
        for table, changes, columns in _BARE:
            cursor.execute(f"ALTER TABLE {table} {changes}".encode())
            into = f"COPY {table} ({columns}) FROM STDIN (FORMAT csv, HEADER)"
            with (
                Path(folder, f"{table}.csv").open("rb") as file,
                cursor.copy(into.encode()) as copy,
            ):
                while block := file.read(2**20):
                    copy.write(block)
        cursor.execute(b"ANALYZE users, items, bids, watches")
    return {"passed": round(time.perf_counter() - began, 2)}


_BARE = (
    ("users", "ALTER sign_in_count SET DEFAULT 0",
     "user_id, created_at, last_sign_in_at, sign_in_count"),
    ("items", "ALTER starting_price TYPE numeric, ALTER current_price TYPE numeric",
     "item_id, category_id, seller_id, title, starting_price, current_price,"
     " publication_status, starts_at, ends_at, listed_at"),
    ("bids", "ALTER amount TYPE numeric, ALTER number ADD GENERATED ALWAYS AS IDENTITY",
     "user_id, item_id, amount, placed_at"),
    ("watches", "ALTER watched_at SET NOT NULL", "user_id, item_id, watched_at"),
)  # fmt: skip
"""What a bare COPY needs of each table: prices in the files have a decimal point."""


def show_run(run: Figures) -> None:
    """Print the figures of a run of all jobs."""
    jobs = [*run["jobs"], total_of(run)]
    for one in jobs:
        print(
            f"  {run['run'][:26]:26} {one['job'][:26]:26} passed {one['passed']:8.2f}"
            f" cpu {one['cpu']:8.2f} database cpu {one['database_cpu']:8.2f}"
            f" statements {one['statements']:6,} {one['bytes_in_all'] / 2**20:6.0f} MB"
            f" scope {one['scope']:,} left {one['left']:,} changed {one['changed']:,}",
            flush=True,
        )


def total_of(run: Figures) -> Figures:
    """Return the sums of the figures of all jobs; of memory, the most."""
    total: Figures = {"job": "all"}
    for name in run["jobs"][0]:
        if name != "job":
            sums = max if name.startswith("bytes") else sum
            total[name] = sums(one[name] for one in run["jobs"])
    return total


def show_slowest(url: str, most: int) -> None:
    """Print the statements that took longest."""
    watcher = Watcher(url)
    for seconds, calls, rows, text in watcher.slowest(most):
        print(f"    {seconds:8.2f} s {calls:6,} calls {rows:12,} rows: {text}")
    watcher.close()


def show_growth(found: Sequence[Figures]) -> None:
    """Print the exponents of each run, fitted to the sizes."""
    sizes = np.log([one["size"]["events"] for one in found])
    print("\nexponents, over the number of events:")
    for place, run in enumerate(found[0]["runs"]):
        shown = []
        for name in ("passed", "cpu", "database_cpu", "statements", "bytes"):
            values = [max(total_of(one["runs"][place])[name], 0.01) for one in found]
            shown.append(f"{name} {np.polyfit(sizes, np.log(values), 1)[0]:.2f}")
        print(f"  {run['run']:26} {', '.join(shown)}")


def store(file: Path, figures: Figures) -> None:
    """Put the figures into a file; those of the same size, ids, ranker and server are replaced."""
    known = json.loads(file.read_text("utf-8")) if file.exists() else []
    names = ("size", "ids", "ranker", "server")
    known = [one for one in known if any(one[name] != figures[name] for name in names)]
    file.write_text(json.dumps([*known, figures], indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
