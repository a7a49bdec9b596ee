"""How long similar items of all open items take, beside implicit on the same matrix.

    python benchmarks/similarities.py [--items N] [--interactions N] [--rounds N] [--no-taste]
                                      [--no-growth] [--json FILE]

Measured are CPU seconds of all threads: the preparation and the lists of every item, with their
ids, reasons and contributions, in parts of 5,000 items as the job asks for them; and
`ItemItemRecommender(K=40).fit`, which counts shared users and keeps the 40 largest numbers. Both
use two threads; the form on numpy and scipy uses one. The rounds take turns, and the medians
count. Growth is the time for twice the items, users and interactions over that for once.

The marketplace is drawn with a fixed seed. Users act by Zipf's law, items attract by it, and 90 %
of a user's actions are in three favourite categories, in the part of the prices that the user
looks at; with --no-taste any user may act on any item.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from implicit.nearest_neighbours import ItemItemRecommender
from scipy.sparse import csr_matrix

from angle_reco.adapters.kernels import NumpyKernels
from angle_reco.adapters.kernels.fast import FastKernels
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.catalogue import Catalogue
from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.ids import IdKind
from angle_reco.domain.moments import NEVER
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.popularity import PopularityRule, plain_demand
from angle_reco.domain.scoring.similarity import Engagement, SimilarityRule
from angle_reco.ports.kernels import Kernels

NOW = datetime(2026, 6, 1, tzinfo=UTC)
RULE = SimilarityRule()
THREADS = 2
AT_ONCE = 5_000
ITEMS_OF_A_CATEGORY = 500
Numbers = np.ndarray


class Case(NamedTuple):
    """The open items of a marketplace, and who engaged with which of them."""

    catalogue: Catalogue
    engagement: Engagement
    users: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and store JSON."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--items", type=int, default=100_000)
    asked.add_argument("--interactions", type=int, default=2_000_000)
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--no-taste", action="store_true")
    asked.add_argument("--no-growth", action="store_true")
    asked.add_argument("--json", type=Path, help="a file for the figures")
    options = asked.parse_args(arguments)
    has_taste = not options.no_taste
    sizes = [1] if options.no_growth else [1, 2]
    runs = [
        measured(
            drawn(options.items * size, options.interactions * size, has_taste), options.rounds
        )
        for size in sizes
    ]
    figures = {
        "machine": machine(),
        "items": options.items,
        "interactions": options.interactions,
        "has_taste": has_taste,
        "cpu_seconds": runs[0],
        "over_implicit": {name: runs[0][name] / runs[0]["implicit"] for name in runs[0]},
        "growth_for_twice": {
            name: runs[1][name] / runs[0][name] for name in runs[0] if len(runs) > 1
        },
    }
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"{options.items:,} items, {options.interactions:,} interactions, {THREADS} threads\n")
    print("| what | CPU seconds | over implicit | for twice the size |\n|---|---:|---:|---:|")
    for name, seconds in runs[0].items():
        growth = f"{runs[1][name] / seconds:.2f} ×" if len(runs) > 1 else "–"
        print(f"| {name} | {seconds:.2f} | {seconds / runs[0]['implicit']:.2f} × | {growth} |")


def machine() -> dict[str, object]:
    """Return what the figures depend on."""
    packages = ("numpy", "scipy", "numba", "implicit")
    cpus = Path("/proc/cpuinfo")
    model = ""
    if cpus.exists():
        names = [one for one in cpus.read_text().splitlines() if one.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else ""
    return {
        "system": platform.platform(),
        "processor": model,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def measured(case: Case, rounds: int) -> dict[str, float]:
    """Return the median CPU seconds by what was measured."""
    ones = np.ones(len(case.engagement.users), np.float64)
    pairs = (case.engagement.users, case.engagement.places)
    matrix = csr_matrix((ones, pairs), shape=(case.users, len(case.catalogue)))
    matrix.data[:] = 1
    peer = ItemItemRecommender(K=RULE.kept, num_threads=THREADS)
    works: dict[str, Callable[[], object]] = {
        "fast": lambda: similar_to_all(FastKernels(threads=THREADS, least_pairs=0), case),
        "numpy and scipy": lambda: similar_to_all(NumpyKernels(), case),
        "implicit": lambda: peer.fit(matrix, show_progress=False),
    }
    # The first call of each imports, and may compile.
    small = drawn(500, 5_000, has_taste=True)
    for kernels in (FastKernels(threads=THREADS, least_pairs=0), NumpyKernels()):
        similar_to_all(kernels, small)
    taken = [{name: cpu_seconds(work) for name, work in works.items()} for _ in range(rounds)]
    return {name: statistics.median(one[name] for one in taken) for name in works}


def similar_to_all(kernels: Kernels, case: Case) -> int:
    """Compute the similar items of all items; return the number of lines."""
    demand = plain_demand(case.catalogue)
    market = OpenMarket(catalogue=case.catalogue, demand=demand, rule=PopularityRule(), now=NOW)
    similarities = kernels.similarities(market, case.engagement, rule=RULE, keep=RULE.kept)
    lines = 0
    for first in range(0, len(market), AT_ONCE):
        rows = np.arange(first, min(first + AT_ONCE, len(market)))
        lines += len(similarities.of(rows).items)
    return lines


def drawn(items: int, interactions: int, has_taste: bool) -> Case:
    """Draw a marketplace with as many users as items."""
    random = np.random.default_rng(1)
    categories = max(1, items // ITEMS_OF_A_CATEGORY)
    category = random.choice(categories, items, p=zipf(categories, 0.6))
    prices = np.rint(np.exp(random.normal(0, 0.8, items) + category % 7) * 200_000)
    users = random.choice(items, interactions, p=random.permutation(zipf(items, 0.6)))
    appeal = random.permutation(zipf(items, 0.5))
    shelf = np.lexsort((prices, category))
    if has_taste:
        starts = np.searchsorted(category[shelf], np.arange(categories + 1))
        favourites = random.choice(categories, (items, 3), p=zipf(categories, 0.6))
        turn = random.choice(4, interactions, p=(0.55, 0.25, 0.1, 0.1))
        wanted = np.where(
            turn < 3,
            favourites[users, np.minimum(turn, 2)],
            random.choice(categories, interactions, p=zipf(categories, 0.6)),
        )
        size = starts[wanted + 1] - starts[wanted]
        low = starts[wanted] + (0.7 * size * random.random(items)[users]).astype(np.int64)
        high = np.minimum(low + np.ceil(0.3 * size).astype(np.int64), starts[wanted + 1])
    else:
        low, high = np.zeros(interactions, np.int64), np.full(interactions, items)
    before = np.append(0, np.cumsum(appeal[shelf]))
    marks = before[low] + (before[high] - before[low]) * random.random(interactions)
    places = np.clip(np.searchsorted(before, marks, "right") - 1, 0, items - 1)
    rows = shelf[places].astype(np.int32)
    return Case(catalogue_of(category, prices, rows, random), kept(users, rows, random), items)


def kept(users: Numbers, rows: Numbers, random: np.random.Generator) -> Engagement:
    """Return which interactions count: those in the newest of each user."""
    return Engagement.of_newest(
        users.astype(np.int32),
        rows,
        kinds=np.zeros(len(users), np.int8),
        moments=random.integers(0, 2**40, len(users)),
        most=RULE.history_length,
    )


def catalogue_of(
    category: Numbers, prices: Numbers, rows: Numbers, random: np.random.Generator
) -> Catalogue:
    """Return items that are all open."""
    size = len(category)
    ids = IdIndex(IdColumn.of(IdKind.INT, range(size)))
    return Catalogue(
        items=ids,
        categories=IdIndex(IdColumn.of(IdKind.INT, range(int(category.max()) + 1))),
        category=category.astype(np.int32),
        sellers=IdIndex(IdColumn.of(IdKind.INT, [])),
        seller=np.full(size, -1, np.int32),
        prices=prices.astype(np.int64),
        starting_prices=prices.astype(np.int64),
        is_published=np.ones(size, np.bool_),
        status=np.full(size, AuctionStatus.ACTIVE.code, np.int8),
        ends_at=np.full(size, NEVER),
        listed_at=random.integers(0, 2**50, size),
        bids=np.bincount(rows, minlength=size),
        watchers=np.zeros(size, np.int64),
    )


def zipf(count: int, exponent: float) -> Numbers:
    """Return shares in proportion to k ** -exponent."""
    weights = np.arange(1, count + 1) ** -exponent
    shares: Numbers = weights / weights.sum()
    return shares


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds that work took in all threads."""
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
