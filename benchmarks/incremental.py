"""What the jobs cost when little has changed, each run beside a full one of the same data.

    python benchmarks/incremental.py [--users N] [--items N] [--bids N] [--postgres] [--store FILE]

The marketplace is simulated, its seed fixed. Of each job there is a first run, one after which
nothing has happened, one after a hundredth of the active users has bid on some open item, one
after a hundredth has bid on the items of one category, and a full run. Times are seconds of this
process's CPU, and seconds that passed; the ratio is that of the CPU, to the full run.
"""

import argparse
import json
import os
import platform
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from angle_reco import Recommender, Settings
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import import_marketplace, ports_on, storage_at
from angle_reco.domain.columns import NONE
from angle_reco.simulation import MarketplaceShape, simulate
from angle_reco.testing import ManualClock
from tests.postgres import new_database, shared_server

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
JOBS = [job for job in BATCH_JOBS if job != "train_models"]
SETTINGS = Settings(ranker="classic", cache_enabled=False)

HEADER = ("job", "run", "CPU", "passed", "for", "left as they are", "written", "of a full run")


def main() -> None:
    """Measure, print a table and store the figures."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--users", type=int, default=20_000)
    asked.add_argument("--items", type=int, default=10_000)
    asked.add_argument("--bids", type=int, default=150_000)
    asked.add_argument("--postgres", action="store_true")
    asked.add_argument("--store", type=Path, help="a JSON file, which is extended")
    options = asked.parse_args()
    shape = MarketplaceShape(
        users=options.users,
        items=options.items,
        bids=options.bids,
        watches=options.bids // 2,
        sellers=max(1, options.users // 10),
    )
    with tempfile.TemporaryDirectory() as folder, database(options, Path(folder)) as url:
        rows = measured(shape, url, Path(folder))
    print(f"{shape.users:,} users, {shape.items:,} items, {shape.bids:,} bids\n")
    print(f"| {' | '.join(HEADER)} |\n|---|---|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        print(
            f"| {row['job']} | {row['run']} | {row['cpu']:.2f} s | {row['passed']:.2f} s |"
            f" {row['scope']:,} | {row['left']:,} | {row['changed']:,} | {row['ratio']:.3f} × |"
        )
    if options.store is not None:
        known = json.loads(options.store.read_text("utf-8")) if options.store.exists() else []
        kind = "PostgreSQL" if options.postgres else "SQLite"
        sizes = {"users": shape.users, "items": shape.items, "bids": shape.bids}
        # A measurement replaces the last one on that kind of database.
        known = [one for one in known if one["database"] != kind]
        known.append({"database": kind, **sizes, "machine": machine(), "runs": rows})
        options.store.write_text(json.dumps(known, indent=1) + "\n", "utf-8")


def machine() -> dict[str, object]:
    """Return what the figures depend on."""
    return {
        "processor": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


@contextmanager
def database(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    """Give the URL of a new database."""
    if not options.postgres:
        yield f"sqlite:///{folder / 'shop.db'}"
        return
    with shared_server() as server, new_database(server) as url:
        yield url


def measured(shape: MarketplaceShape, url: str, folder: Path) -> list[dict[str, Any]]:
    """Return the figures of every run."""
    simulate(shape, now=NOW).write_csv(folder)
    with storage_at(url, SETTINGS) as storage:
        import_marketplace(storage, folder)
        clock = ManualClock(NOW)
        reco = Recommender(attrs.evolve(ports_on(storage), clock=clock), SETTINGS)
        rows = list[dict[str, Any]]()

        def run(
            name: str, before: Callable[[], None] = lambda: None, *, full: bool = False
        ) -> None:
            before()
            clock.advance(timedelta(seconds=1))
            rows.extend(figures(reco, job, name, full=full) for job in JOBS)

        run("the first")
        run("nothing has changed")
        run("1 % of the users have bid", lambda: bid(reco, clock.now(), one_category=False))
        run("1 % have, in one category", lambda: bid(reco, clock.now(), one_category=True))
        run("full", full=True)
    full_cpu = {row["job"]: row["cpu"] for row in rows if row["run"] == "full"}
    for row in rows:
        row["ratio"] = round(row["cpu"] / full_cpu[row["job"]], 4)
    return rows


def figures(reco: Recommender, job: str, name: str, *, full: bool) -> dict[str, Any]:
    """Run a job; return what it cost and did."""
    cpu, passed = time.process_time(), time.perf_counter()
    outcome = reco.system.run_job(job, full=full)
    return {
        "job": job,
        "run": name,
        "cpu": round(time.process_time() - cpu, 3),
        "passed": round(time.perf_counter() - passed, 3),
        "scope": outcome.scope,
        "left": outcome.left,
        "changed": outcome.changed,
    }


def bid(reco: Recommender, now: datetime, *, one_category: bool) -> None:
    """Let a hundredth of the active users bid, each on one open item."""
    chosen = random.Random(7)
    users = reco.ports.users.active_since(now - SETTINGS.active_for).to_list()
    listed = reco.ports.catalog.may_be_open(now)
    rows = np.flatnonzero(listed.category == 5) if one_category else np.arange(len(listed))
    rows = rows[listed.category[rows] != NONE]
    items = listed.ids_at(rows).to_list()
    for user in chosen.sample(users, max(1, len(users) // 100)):
        reco.bid_placed(user, chosen.choice(items), at=now)


if __name__ == "__main__":
    main()
