"""How fast the embedded default is, each figure beside a bare limit in the same run.

    python benchmarks/speed.py [--users N] [--items N] [--bids N] [--json]

The marketplace is simulated, its seed fixed. A limit does only what cannot be avoided: it
reads and inserts the rows without checking them, multiplies the matrix without ranking
anything, runs the statements without making anything of them.
"""

import argparse
import csv
import json
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array

from angle_reco import Recommender, Settings
from angle_reco.adapters.kernels import NumpyKernels
from angle_reco.adapters.kernels.fast import FastKernels
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.application.scoring import Scorer
from angle_reco.composition import import_marketplace, storage_at
from angle_reco.domain.columns import IdIndex
from angle_reco.domain.scoring.blended_ranker import BLENDED
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.similarity import Engagement
from angle_reco.ports.kernels import Kernels
from angle_reco.simulation import MarketplaceShape, simulate

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CALLS = 300
PAGES = 2_000
ROUNDS = 3


def main() -> None:
    """Measure, and print a table or JSON."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--users", type=int, default=20_000)
    asked.add_argument("--items", type=int, default=20_000)
    asked.add_argument("--bids", type=int, default=300_000)
    asked.add_argument("--json", action="store_true")
    options = asked.parse_args()
    shape = MarketplaceShape(
        users=options.users,
        items=options.items,
        bids=options.bids,
        watches=options.bids // 2,
        sellers=max(1, options.users // 10),
    )
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(shape, Path(folder))
    if options.json:
        print(json.dumps([dict(zip(HEADER, row, strict=True)) for row in rows], indent=2))
        return
    print(
        f"{shape.users:,} users, {shape.items:,} items, {shape.bids:,} bids, "
        f"{shape.watches:,} watches; medians of {ROUNDS} rounds, of {CALLS} calls\n"
    )
    print(f"| {' | '.join(HEADER)} |\n|---|---:|---|---:|---:|")
    for what, ours, limit, bare, ratio in rows:
        print(f"| {what} | {shown(ours)} | {limit} | {shown(bare)} | {ratio:.1f} × |")


HEADER = ("what", "seconds", "limit", "its seconds", "ratio")
Row = tuple[str, float, str, float, float]


def shown(seconds: float) -> str:
    """Return seconds for people."""
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1_000:.2f} ms"


def measured(shape: MarketplaceShape, folder: Path) -> list[Row]:
    """Return every row of the table."""
    simulate(shape, now=NOW).write_csv(folder)
    file = folder / "shop.db"
    rows = [
        row(
            "import from CSV",
            median(lambda: import_into(file, folder)),
            "csv + executemany, nothing checked",
            median(lambda: import_bare(folder / "bare.db", folder)),
        )
    ]
    with Recommender.connect(f"sqlite:///{file}", as_of=NOW) as reco:
        for job in BATCH_JOBS:
            reco.system.run_job(job)
        rows.append(similar_items(reco, NumpyKernels(), "ranked"))
        rows.append(similar_items(reco, FastKernels(least_pairs=0), "with the extra fast"))
        rows += homepages(reco)
        rows += answers(reco, file)
    return rows


def similar_items(reco: Recommender, kernels: Kernels, how: str) -> Row:
    """Compare the ranking of all similar items with the bare product it cannot avoid."""
    scorer = scorer_with(reco, kernels)
    market = scorer.market()
    engagement = scorer.engagement(market)
    # The first call may compile.
    scorer.similar_to_rows(scorer.similarities(market, engagement), np.arange(1))
    return row(
        f"similar items of {len(market):,} open items, {how}",
        median(
            lambda: scorer.similar_to_rows(
                scorer.similarities(market, engagement), np.arange(len(market))
            )
        ),
        "scipy: shared users of all pairs",
        median(lambda: shared_users(market, engagement)),
    )


def homepages(reco: Recommender) -> list[Row]:
    """Compare homepages by a trained model with a bare choice of the best from given scores."""
    scorer = scorer_with(reco, NumpyKernels())
    happened = scorer.everything()
    market = scorer.market(scorer.trained(happened, scorer.touched_items(happened)))
    users = IdIndex.of(happened.users.kind, happened.users)
    profiles = scorer.profiles(market, IdIndex(users.ids.take(slice(PAGES))))
    scores = np.random.default_rng(1).random(len(market), np.float32)
    found = []
    for kernels, how in (
        (NumpyKernels(), ""),
        (FastKernels(least_pages=0), ", with the extra fast"),
    ):
        rank = partial(kernels.homepages, market, profiles, ranker=BLENDED, keep=BLENDED.kept)
        rank()  # The first call may compile.
        found.append(
            row(
                f"homepages of {len(profiles):,} users by a model{how}",
                median(rank),
                "numpy: the best of given scores",
                median(lambda: best_of_each(scores, len(profiles))),
            )
        )
    return found


def best_of_each(scores: np.ndarray, users: int) -> None:
    """Find the best of the same scores for so many users."""
    for _ in range(users):
        np.argpartition(scores, -BLENDED.kept)


def scorer_with(reco: Recommender, kernels: Kernels) -> Scorer:
    """Return what computes results with some kernels."""
    return Scorer(
        activity=reco.ports.activity,
        catalog=reco.ports.catalog,
        kernels=kernels,
        clock=reco.ports.clock,
        settings=reco.settings,
        as_of=NOW,
    )


def shared_users(market: OpenMarket, engagement: Engagement) -> None:
    """Multiply the matrix of who engaged with what by itself."""
    ones = np.ones(len(engagement.users), np.int32)
    users = int(engagement.users.max()) + 1
    matrix = coo_array((ones, (engagement.users, engagement.places)), shape=(users, len(market)))
    compressed = matrix.tocsr()
    _ = compressed.T @ compressed


def answers(reco: Recommender, file: Path) -> list[Row]:
    """Compare answers from stored lists with their two statements alone."""
    database = sqlite3.connect(file)
    random.seed(1)
    users = [one for (one,) in database.execute("SELECT owner FROM angle_reco_personal_lists")]
    items = [one for (one,) in database.execute("SELECT owner FROM angle_reco_similar_lists")]
    users, items = random.choices(users, k=CALLS), random.choices(items, k=CALLS)
    found = [
        row(
            "homepage from its stored list",
            a_call(lambda user: reco.as_user(user).homepage(20), users),
            "its list and items by id",
            a_call(lambda user: two_statements(database, "personal", user), users),
        ),
        row(
            "similar items from their stored list",
            a_call(reco.anonymous.similar_items, items),
            "its list and items by id",
            a_call(lambda item: two_statements(database, "similar", item), items),
        ),
    ]
    database.close()
    return found


def two_statements(database: sqlite3.Connection, kind: str, owner: str) -> None:
    """Read a stored list and the rows of its items, and nothing else."""
    statement = f"SELECT * FROM angle_reco_{kind}_lists WHERE owner = ?"  # noqa: S608 — two constants
    (stored,) = database.execute(statement, (owner,)).fetchall()
    by_id = "SELECT * FROM items WHERE item_id IN (SELECT value FROM json_each(?))"
    database.execute(by_id, (stored[1],)).fetchall()


def import_into(file: Path, folder: Path) -> None:
    """Import into a new file."""
    remove(file)
    with storage_at(f"sqlite:///{file}", Settings()) as storage:
        import_marketplace(storage, folder)


def import_bare(file: Path, folder: Path) -> None:
    """Insert the same rows as text into tables with the same keys."""
    remove(file)
    database = sqlite3.connect(file)
    keys = {"users": "1", "items": "1", "bids": "2, 4, 1, 3, 5", "watches": "2, 1"}
    for name, key in keys.items():
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as text:
            reader = csv.reader(text)
            columns = [f"c{place}" for place, _ in enumerate(next(reader), start=1)]
            listed = [*columns, "c5"] if name == "bids" else columns
            primary = ", ".join(f"c{place}" for place in key.split(", "))
            database.execute(
                f"CREATE TABLE {name} ({', '.join(listed)}, PRIMARY KEY ({primary})) WITHOUT ROWID"
            )
            places = ", ".join("?" * len(listed))
            rows = (
                ([*line, number] for number, line in enumerate(reader))
                if name == "bids"
                else reader
            )
            database.executemany(f"INSERT INTO {name} VALUES ({places})", rows)  # noqa: S608 — constants
    database.commit()
    database.close()


def remove(file: Path) -> None:
    """Remove a database and what lies beside it."""
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def row(what: str, ours: float, limit: str, bare: float) -> Row:
    """Return a row with its ratio."""
    return what, ours, limit, bare, ours / bare


def median(work: Callable[[], object]) -> float:
    """Return the median seconds of a few rounds."""
    return statistics.median(seconds(work) for _ in range(ROUNDS))


def a_call(ask: Callable[[str], object], whom: list[str]) -> float:
    """Return the median seconds of one call."""
    ask(whom[0])
    return statistics.median(seconds(partial(ask, one)) for one in whom)


def seconds(work: Callable[[], object]) -> float:
    """Return how long it took."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
