"""What the library costs a host's own requests and transactions, beside the same without it.

    python benchmarks/hosts.py [--seconds N] [--json]

Requests: a FastAPI application on uvicorn, SQLAlchemy's default pool, 60 clients, each request
in a transaction that inserts a bid; with ours it also asks for a homepage, and then takes the
event as well, after which that user's next homepage is read again.
Commits: 16 writers whose transactions insert a row; with ours each takes an event as well. The
limit inserts one row more, which is what an event does at least. All on PostgreSQL, whose
commits wait for the disk.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.hosts.servers import get_all, serving
from tests.hosts.shop import USERS, fill, offers, recommender
from tests.postgres import new_database, start_server

CLIENTS, REQUESTS = 60, 3_000
PROCESSES, THREADS = 4, 4
ROUNDS = 3
REQUEST_TURNS = 6
UVICORN = (
    *("uvicorn", "--factory", "--port", "PORT", "--log-level", "warning"),
    "tests.hosts.shop:fastapi_application",
)


def main() -> None:
    """Measure, and print a table or JSON."""
    asked = argparse.ArgumentParser(description="Measure what a host's requests pay.")
    asked.add_argument("--seconds", type=float, default=5.0, help="of each round of commits")
    asked.add_argument("--json", action="store_true")
    options = asked.parse_args()
    with start_server(durable=True) as server, new_database(server.url()) as url:
        fill(url)
        found = {**requests(url), **commits(url, options.seconds)}
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name:48} {value:10.3f}")


def requests(url: str) -> dict[str, float]:
    """Return the 99th percentiles of requests with and without ours, in turn, and the errors.

    Events make each next homepage of their user be read again, so they come in turns after all
    others.
    """
    errors = 0

    def tail(kind: str) -> float:
        """Return the 99th percentile of a round."""
        nonlocal errors
        paths = [f"/{kind}/{1 + n % USERS}/{1_000 + n % 100}" for n in range(REQUESTS)]
        answers = get_all(port, paths, clients=CLIENTS)
        errors += sum(answer.status != 200 for answer in answers)
        return percentile([answer.seconds for answer in answers])

    with (
        tempfile.TemporaryDirectory() as folder,
        serving(UVICORN, Path(folder) / "log", SHOP_DATABASE=url) as port,
    ):
        for kind in ("without", "page"):
            tail(kind)  # Pools and caches fill.
        bare, page = in_turn(tail, "without", "page")
        bare_later, both = in_turn(tail, "without", "with")
    return {
        "requests: p99 without ours, ms": bare * 1_000,
        "requests: p99 with a homepage, ms": page * 1_000,
        "requests: p99 with a homepage and an event, ms": both * 1_000,
        "requests: homepage / without (bar 1.5)": page / bare,
        "requests: homepage and event / without": both / bare_later,
        "requests: errors": float(errors),
    }


def in_turn(measured: Callable[[str], float], first: str, second: str) -> tuple[float, float]:
    """Return the medians of some rounds of two kinds, each the first of a turn as often."""
    found: dict[str, list[float]] = {first: [], second: []}
    for turn in range(REQUEST_TURNS):
        for kind in (first, second) if turn % 2 else (second, first):
            found[kind].append(measured(kind))
    return statistics.median(found[first]), statistics.median(found[second])


def commits(url: str, seconds: float) -> dict[str, float]:
    """Return the commits a second without ours, with one more insert, and with an event."""
    counted: dict[str, list[float]] = {"bare": [], "one more insert": [], "event": []}
    for _ in range(ROUNDS):
        for kind, rounds in counted.items():
            rounds.append(commits_by_all(url, kind, seconds))
    bare, more, event = (statistics.median(rounds) for rounds in counted.values())
    return {
        "commits/s: one insert": bare,
        "commits/s: one more insert": more,
        "commits/s: with an event": event,
        "commits: event / one more insert (bar 0.85)": event / more,
        "commits: event / one insert": event / bare,
    }


def commits_by_all(url: str, kind: str, seconds: float) -> float:
    """Return how many transactions a second all writers commit together."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(PROCESSES) as pool:
        return sum(pool.starmap(write, [(url, kind, seconds)] * PROCESSES)) / seconds


def write(url: str, kind: str, seconds: float) -> int:
    """Commit by some threads for a while; return how often."""
    engine = sa.create_engine(url, pool_size=THREADS)
    reco = recommender(engine)
    insert = sa.insert(offers).values(who=1, what=1_001)
    counts = [0] * THREADS
    ready = threading.Barrier(THREADS)

    def bare(connection: sa.Connection) -> None:
        connection.execute(insert)

    def more(connection: sa.Connection) -> None:
        connection.execute(insert)
        connection.execute(insert)

    def event(connection: sa.Connection) -> None:
        connection.execute(insert)
        reco.items_changed([1_001], connection=connection)

    act: Callable[[sa.Connection], None] = {
        "bare": bare,
        "one more insert": more,
        "event": event,
    }[kind]

    def run(place: int) -> None:
        with engine.connect() as connection:
            ready.wait()
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                with connection.begin():
                    act(connection)
                counts[place] += 1

    threads = [threading.Thread(target=run, args=(place,)) for place in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reco.close()
    engine.dispose()
    return sum(counts)


def percentile(seconds: Sequence[float]) -> float:
    """Return the 99th percentile."""
    return sorted(seconds)[int(len(seconds) * 0.99)]


if __name__ == "__main__":
    main()
