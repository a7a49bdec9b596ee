"""How fast bulk data goes to PostgreSQL and back, each figure beside a bare COPY.

    python benchmarks/postgres.py [--lists N] [--interactions N] [--ids KIND] [--json]

It starts a server of its own, or takes the one at ANGLE_RECO_TEST_DATABASE_URL, and works in a
new database there.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1]))

from angle_reco import IdKind, IdKinds, UserId
from angle_reco.adapters.sql.core.copy_formats import CopyType, rows_of
from angle_reco.adapters.sql.core.copying import copy_rows
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.storage import Storage
from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.ids import Id, ItemId, as_item_id
from angle_reco.domain.lists import Lists
from angle_reco.domain.stored_list import Recipe
from angle_reco.ports.activity import ActivityQueries
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.ports.deadlines import deadline
from angle_reco.ports.stores import ListStore
from angle_reco.ports.users import UserQueries
from angle_reco.rules import ListKind, PriceScale
from tests.postgres import find_programs, new_database, shared_server

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEPT = 40
LISTS_A_WRITE = 5_000  # as the job does
ROUNDS = 3
CALLS = 1_000
THREADS = 50

HEADER = ("what", "ours", "beside", "ratio")
Row = tuple[str, str, str, str]


def main() -> None:
    """Measure, and print a table or JSON."""
    asked = argparse.ArgumentParser(description="Measure PostgreSQL beside a bare COPY.")
    asked.add_argument("--lists", type=int, default=100_000)
    asked.add_argument("--interactions", type=int, default=2_000_000)
    asked.add_argument("--sign-ins", type=int, default=1_000, help="by each of 50 threads")
    asked.add_argument("--ids", choices=[kind.value for kind in IdKind], default="uuid")
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--peak-of-reading", metavar="URL", help=argparse.SUPPRESS)
    options = asked.parse_args()
    kind = IdKind(options.ids)
    if options.peak_of_reading:
        print(peak_of_reading(options.peak_of_reading, kind))
        return
    with shared_server() as server, new_database(server) as url:
        rows = [
            *list_rows(url, kind, options.lists),
            *reading_rows(url, kind, options.interactions),
            sign_in_row(url, kind, options.sign_ins),
        ]
    if options.json:
        print(json.dumps([dict(zip(HEADER, row, strict=True)) for row in rows], indent=2))
        return
    print(f"Ids of the kind {kind}; medians of {ROUNDS} rounds, of calls the 95th percentile\n")
    print(f"| {' | '.join(HEADER)} |\n|---|---:|---|---:|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def list_rows(url: str, kind: IdKind, size: int) -> Iterator[Row]:
    """Write similar lists: all of them, the same again, and with five in a hundred changed."""
    lists = made_up_lists(kind, size)
    parts = list(in_parts(lists))
    changed = list(in_parts(with_changes(lists, share=0.05)))
    bare, first, again, some = [], [], [], []
    with storage(url, kind) as store:
        port: ListStore = store.ports().lists
        table, pairs = store.tables.lists[ListKind.SIMILAR], table_of_pairs(kind)
        with store.database.engine.begin() as connection:
            pairs.create(connection)
        sent = list(pairs_as_sent(lists))
        for _ in range(ROUNDS):
            empty(store, pairs)
            bare.append(seconds(partial(copy_in, store, pairs, sent)))
            empty(store, table)
            first.append(seconds(partial(write, port, parts)))
            again.append(seconds(partial(write, port, parts)))
            some.append(seconds(partial(write, port, changed)))
        yield of_rounds(f"{size:,} lists of {KEPT} written", first, "bare COPY of the pairs", bare)
        yield of_rounds("written again, nothing changed", again, "the first time", first)
        yield of_rounds("written again, 5 % changed", some, "the first time", first)
        owners = lists.owners.take(np.linspace(0, size - 1, CALLS).astype(int)).to_list()
        yield of_calls("one list by its owner", [partial(read_list, port, one) for one in owners])


def reading_rows(url: str, kind: IdKind, size: int) -> Iterator[Row]:
    """Read interactions into columns, and cards by id."""
    with storage(url, kind) as store:
        fill(store, kind, size)
        activity: ActivityQueries = store.ports().activity
        ours = [seconds(partial(drain, activity)) for _ in range(ROUNDS)]
        bare = [seconds(partial(copy_out, store)) for _ in range(ROUNDS)]
        yield of_rounds(f"{size:,} interactions into columns", ours, "psql, bare COPY", bare)
        command = [sys.executable, __file__, "--ids", kind, "--peak-of-reading", url]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        yield ("peak memory of that, beyond the arrays", f"{done.stdout.strip()} MB", "", "")
        items = [ItemId(one) for one in ids_of(kind, 50_000).to_list()]
        catalog = store.ports().catalog
        some = [items[place : place + KEPT] for place in range(0, CALLS * KEPT, KEPT)]
        yield of_calls(f"{KEPT} cards by id", [partial(catalog.cards, one, at=NOW) for one in some])


def sign_ins_of(users: UserQueries, user_id: UserId) -> int:
    """Return how often a user has signed in."""
    sign_ins = users.sign_ins(user_id)
    return 0 if sign_ins is None else sign_ins.count


def sign_in_row(url: str, kind: IdKind, each: int) -> Row:
    """Count sign-ins of one user from many threads."""
    with storage(url, kind) as store:
        user_id, users = UserId(ids_of(kind, 1)[0]), store.ports().users
        before = sign_ins_of(users, user_id)

        def sign_in() -> None:
            for _ in range(each):
                users.record_sign_in(user_id, NOW)

        threads = [threading.Thread(target=sign_in) for _ in range(THREADS)]

        def all_of_them() -> None:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        took = seconds(all_of_them)
        counted = sign_ins_of(users, user_id) - before
    return (
        f"{THREADS} threads × {each:,} sign-ins of one user",
        f"{took:.1f} s",
        f"counted {counted:,}",
        "",
    )


@contextmanager
def storage(url: str, kind: IdKind) -> Iterator[Storage]:
    """Give a storage with our tables, whose ids are all of one kind."""
    engine = open_engine(url, timedelta(seconds=10))
    kinds = IdKinds(user=kind, item=kind, category=kind)
    store = Storage.of(engine, ids=kinds, prices=PriceScale(), deadline=timedelta(seconds=10))
    store.migrate_up()
    try:
        yield store
    finally:
        engine.dispose()


def ids_of(kind: IdKind, size: int) -> IdColumn:
    """Return made-up ids, the same for the same size."""
    numbers = np.random.default_rng(1).permutation(size).astype(np.int64)
    if kind is IdKind.INT:
        return IdColumn(kind, numbers)
    if kind is IdKind.UUID:
        return IdColumn(kind, np.frombuffer(np.random.default_rng(2).bytes(16 * size), "V16"))
    return IdColumn.of(kind, [f"lot-{number:08}" for number in numbers])


def made_up_lists(kind: IdKind, size: int) -> Lists:
    """Return lists of similar items, in the order of their owners as the job writes them."""
    random, items = np.random.default_rng(3), IdIndex.of(kind, ids_of(kind, size)).ids
    parts = random.integers(0, 300_000, (size * KEPT, 3)).astype(np.int32)
    weights = (("same_category", 500_000), ("price_range", 300_000), ("collaborative", 200_000))
    return Lists(
        owners=items,
        offsets=np.arange(0, size * KEPT + 1, KEPT),
        items=items.take(random.integers(0, size, size * KEPT)),
        parts=parts,
        reasons=np.full(size * KEPT, 6, np.int8),
        sources=np.full(size * KEPT, 1, np.int8),
        recipe=Recipe(name="made up", weights=weights, kept=KEPT),
        computed_at=NOW,
    )


def with_changes(lists: Lists, *, share: float) -> Lists:
    """Return the lists with another score in some of them."""
    parts = lists.parts.copy()
    chosen = np.random.default_rng(4).choice(len(lists), int(share * len(lists)), replace=False)
    parts[chosen * KEPT, 0] += 1_000
    return attrs.evolve(lists, parts=parts, scores=parts.sum(axis=1, dtype=np.int32))


def in_parts(lists: Lists) -> Iterator[Lists]:
    """Yield the lists as the job writes them, some at a time."""
    for first in range(0, len(lists), LISTS_A_WRITE):
        last = min(first + LISTS_A_WRITE, len(lists))
        lines = slice(first * KEPT, last * KEPT)
        yield attrs.evolve(
            lists,
            owners=lists.owners.take(slice(first, last)),
            offsets=lists.offsets[first : last + 1] - first * KEPT,
            items=lists.items.take(lines),
            scores=lists.scores[lines],
            parts=lists.parts[lines],
            reasons=lists.reasons[lines],
            sources=lists.sources[lines],
        )


def write(port: ListStore, parts: Sequence[Lists]) -> None:
    """Write all parts, a transaction each."""
    for part in parts:
        port.write(ListKind.SIMILAR, part)


def read_list(port: ListStore, owner: object) -> None:
    """Read one list, as a call does."""
    with deadline(10):
        port.read(ListKind.SIMILAR, [owner])


def read_cards(catalog: CatalogQueries, item_ids: Sequence[Id]) -> None:
    """Read cards, as a call does."""
    with deadline(10):
        catalog.cards([as_item_id(one) for one in item_ids], at=NOW)


def table_of_pairs(kind: IdKind) -> sa.Table:
    """Return a table as plain as can be: who is similar to whom, and how much."""
    ids = {IdKind.INT: sa.BigInteger, IdKind.UUID: sa.Uuid, IdKind.TEXT: sa.Text}[kind]
    columns = [
        sa.Column("item", ids()),
        sa.Column("similar", ids()),
        sa.Column("score", sa.BigInteger),
    ]
    return sa.Table("pairs", sa.MetaData(), *columns)


def pairs_as_sent(lists: Lists) -> Iterator[bytes]:
    """Yield the pairs as COPY takes them, made before anything is measured."""
    owners = lists.owners.take(np.repeat(np.arange(len(lists)), KEPT))
    block = bytearray()
    for row in rows_of([owners, lists.items, (CopyType.INT, lists.scores.astype(np.int64))]):
        block += row
    for first in range(0, len(block), 2**20):
        yield bytes(block[first : first + 2**20])


def copy_in(store: Storage, table: sa.Table, sent: Sequence[bytes]) -> None:
    """Copy what was made before into a table, and nothing else."""
    store.database.write(lambda connection: copy_rows(connection, table, sent))


def empty(store: Storage, table: sa.Table) -> None:
    """Remove all rows of a table."""
    with store.database.engine.begin() as connection:
        connection.exec_driver_sql(f"TRUNCATE {table.name}")


def fill(store: Storage, kind: IdKind, size: int) -> None:
    """Put bids and half as many watches into the reference schema, in no order."""
    random = np.random.default_rng(5)
    bids = size * 2 // 3
    users, items = ids_of(kind, 100_000), ids_of(kind, 50_000)
    tables = store.tables
    when = 1_780_000_000_000_000 - random.integers(0, 365 * 86_400 * 10**6, size)
    of_users = users.take(random.integers(0, len(users), size))
    of_items = items.take(random.integers(0, len(items), size))
    numbers = np.arange(size, dtype=np.int64)

    def copied(connection: sa.Connection) -> None:
        zeros = np.zeros(len(users), np.int64)
        people = sa.Table(
            "users",
            sa.MetaData(),
            *map(like, (tables.users.c.user_id, tables.users.c.sign_in_count)),
        )
        copy_rows(connection, people, rows_of([users, (CopyType.INT, zeros)]))
        sa_bids = sa.Table("bids", sa.MetaData(), *map(like, tables.bids.c))
        copy_rows(
            connection,
            sa_bids,
            rows_of(
                [
                    of_items.take(slice(0, bids)),
                    (CopyType.MOMENT, when[:bids]),
                    of_users.take(slice(0, bids)),
                    (CopyType.INT, numbers[:bids] % 1_000),
                    (CopyType.INT, numbers[:bids]),
                ]
            ),
        )
        pairs = np.unique(random.integers(0, len(users) * len(items), size - bids))
        watches = sa.Table("watches", sa.MetaData(), *map(like, tables.watches.c))
        copy_rows(
            connection,
            watches,
            rows_of(
                [
                    items.take(pairs % len(items)),
                    users.take(pairs // len(items)),
                    (CopyType.MOMENT, when[: len(pairs)]),
                ]
            ),
        )
        listed = [
            {"item_id": one, "title": "a lot", "publication_status": "published"} for one in items
        ]
        connection.execute(sa.insert(tables.items), listed)

    store.database.write(copied)
    with store.database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql("VACUUM ANALYZE")


def like(column: sa.Column[Any]) -> sa.Column[Any]:
    """Return a column of the same name and type."""
    return sa.Column(column.name, column.type)


def drain(activity: ActivityQueries) -> int:
    """Read all interactions; return how many bytes their arrays have."""
    size = 0
    for batch in activity.interactions():
        columns = (batch.users.values, batch.items.values, batch.kinds, batch.moments)
        size += sum(column.nbytes for column in columns)
    return size


def copy_out(store: Storage) -> None:
    """Have psql copy the same rows to nowhere."""
    url = store.database.engine.url.set(drivername="postgresql")
    query = (
        "SELECT user_id, item_id, 0::smallint, placed_at FROM bids"
        " UNION ALL SELECT user_id, item_id, 1::smallint, watched_at FROM watches"
    )
    command = f"COPY ({query}) TO STDOUT (FORMAT binary)"
    program = [str(find_programs() / "psql"), url.render_as_string(hide_password=False)]
    subprocess.run([*program, "-c", command], check=True, stdout=subprocess.DEVNULL)


def peak_of_reading(url: str, kind: IdKind) -> int:
    """Return how many megabytes beyond its arrays this process took to read everything."""
    with storage(url, kind) as store:
        activity: ActivityQueries = store.ports().activity
        before = kilobytes("VmRSS")
        batches = list(activity.interactions())
        peak = kilobytes("VmHWM")
    arrays = sum(
        column.nbytes
        for batch in batches
        for column in (batch.users.values, batch.items.values, batch.kinds, batch.moments)
    )
    return (peak - before) // 1_024 - arrays // 2**20


def kilobytes(what: str) -> int:
    """Return what the kernel says of this process; getrusage also tells of its parent."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1])
    raise LookupError(what)


def of_rounds(what: str, ours: Sequence[float], beside: str, limit: Sequence[float]) -> Row:
    """Return a row of medians with their ratio."""
    mine, others = statistics.median(ours), statistics.median(limit)
    return what, f"{mine:.2f} s", f"{beside}: {others:.2f} s", f"{mine / others:.2f} ×"


def of_calls(what: str, calls: Sequence[Callable[[], object]]) -> Row:
    """Return a row with the 95th percentile of calls, after each was made once."""
    for call in calls:
        call()
    times = sorted(seconds(call) for call in calls)
    return what, f"{times[len(times) * 95 // 100] * 1_000:.2f} ms", "limit: 2 ms", ""


def seconds(work: Callable[[], object]) -> float:
    """Return how long it took."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
