"""Simulated marketplaces in PostgreSQL: filled by COPY, and measured from the server's side."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import attrs
import numpy as np
import psycopg
import sqlalchemy as sa

from angle_reco import IdKind, IdKinds
from angle_reco.adapters.sql.core.copy_formats import CopyType, rows_of
from angle_reco.adapters.sql.core.copying import copy_rows
from angle_reco.adapters.sql.core.postgres import driver_of
from angle_reco.adapters.sql.storage import Storage
from angle_reco.domain.columns import IdColumn
from angle_reco.simulation import Marketplace, MarketplaceShape, simulate
from tests.postgres import Server, start_server

_EVENTS_PER_ITEM = 15
_ITEMS_OF_A_CATEGORY = 1_000
_UNITS_OF_A_CENT = 100
_SECONDS_BETWEEN_LOOKS = 0.2

SERVER = {
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "shared_preload_libraries": "pg_stat_statements",
}
"""What differs from the defaults of PostgreSQL."""


@attrs.frozen(kw_only=True)
class Size:
    """How large a marketplace is; of the events two thirds are bids, and the rest are watches."""

    users: int
    items: int
    events: int

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the size that a text such as `10000` or `350000:63000:2250000` names."""
        users, *more = map(int, text.split(":"))
        items, events = more or (users, users * _EVENTS_PER_ITEM)
        return cls(users=users, items=items, events=events)

    @property
    def shape(self) -> MarketplaceShape:
        """Return the shape of the marketplace; large ones have more categories."""
        return MarketplaceShape(
            users=self.users,
            items=self.items,
            bids=self.events * 2 // 3,
            watches=self.events // 3,
            sellers=max(1, self.users // 10),
            categories=max(24, self.items // _ITEMS_OF_A_CATEGORY),
        )


@contextmanager
def server(settings: Mapping[str, str]) -> Iterator[Server]:
    """Start a server on the disk, with `SERVER` and more settings."""
    with start_server(durable=True) as started:
        with psycopg.connect(plain(started.url()), autocommit=True) as connection:
            for name, value in {**SERVER, **settings}.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        started.stop()
        started.start()
        yield started


def plain(url: str) -> str:
    """Return the URL as psycopg takes it."""
    return url.replace("postgresql+psycopg", "postgresql")


def fill(storage: Storage, size: Size, now: datetime) -> None:
    """Fill the reference schema with the simulated marketplace of a size."""
    market = simulate(size.shape, now=now)
    users = made_up_ids(storage.tables.ids.user, size.users, seed=1)
    items = made_up_ids(storage.tables.ids.item, size.items, seed=2)
    tables = storage.tables
    columns: dict[sa.Table, Sequence[tuple[str, Any]]] = {
        tables.bids: [
            ("item_id", items.take(market.bids.item)),
            ("placed_at", (CopyType.MOMENT, _micros(market.bids.placed_at))),
            ("user_id", users.take(market.bids.user)),
            ("amount", (CopyType.INT, market.bids.cents * _UNITS_OF_A_CENT)),
            ("number", (CopyType.INT, np.arange(len(market.bids)))),
        ],
        tables.watches: [
            ("item_id", items.take(market.watches.item)),
            ("user_id", users.take(market.watches.user)),
            ("watched_at", (CopyType.MOMENT, _micros(market.watches.inserted_at))),
        ],
    }

    def filled(connection: sa.Connection) -> None:
        _copy_people_and_items(connection, storage.tables.ids, market, users, items)
        for table, given in columns.items():
            target = sa.Table(
                table.name, sa.MetaData(), *(sa.Column(name, sa.Text) for name, _ in given)
            )
            copy_rows(connection, target, rows_of([column for _, column in given]))

    storage.database.write(filled)
    with psycopg.connect(
        plain(storage.database.engine.url.render_as_string(hide_password=False)), autocommit=True
    ) as connection:
        connection.execute("VACUUM (ANALYZE)")


def _copy_people_and_items(
    connection: sa.Connection,
    ids: IdKinds,
    market: Marketplace,
    users: IdColumn,
    items: IdColumn,
) -> None:
    names = [str(one) for one in made_up_ids(ids.category, len(market.category_ids), seed=3)]
    people, listed = market.users, market.items
    user_ids = np.array([str(one) for one in users], object)
    files = {
        "users (user_id, created_at, last_sign_in_at, sign_in_count)": [
            user_ids,
            _texts(people.inserted_at),
            _texts(people.last_sign_in_at),
            people.sign_in_count,
        ],
        "items (item_id, category_id, seller_id, title, starting_price, current_price,"
        " publication_status, starts_at, ends_at, listed_at)": [
            [str(one) for one in items],
            np.array(names, object)[listed.category],
            user_ids[listed.seller],
            listed.title,
            listed.starting_cents * _UNITS_OF_A_CENT,
            listed.current_cents * _UNITS_OF_A_CENT,
            listed.publication_status,
            _texts(listed.starts_at),
            _texts(listed.end_time),
            _texts(listed.inserted_at),
        ],
    }
    with driver_of(connection) as raw, raw.cursor() as cursor:
        for into, columns in files.items():
            with cursor.copy(f"COPY {into} FROM STDIN".encode()) as copy:
                for row in zip(*columns, strict=True):
                    copy.write_row(row)


def made_up_ids(kind: IdKind, size: int, *, seed: int) -> IdColumn:
    """Return ids in no order, the same for the same size and seed."""
    random = np.random.default_rng(seed)
    if kind is IdKind.UUID:
        return IdColumn(kind, np.frombuffer(random.bytes(16 * size), "V16"))
    numbers = random.permutation(size).astype(np.int64)
    if kind is IdKind.INT:
        return IdColumn(kind, numbers)
    return IdColumn.of(kind, [f"id-{number:08}" for number in numbers])


def _micros(moments: np.ndarray) -> np.ndarray:
    return moments.astype("M8[us]").astype(np.int64)


def _texts(moments: np.ndarray) -> list[str | None]:
    shown = np.datetime_as_string(moments, timezone="UTC").astype(object)
    shown[np.isnat(moments)] = None
    return list(shown)


@attrs.frozen(kw_only=True)
class Seen:
    """What a server has done: statements, their seconds, those of its CPU, bytes of its log."""

    statements: int
    seconds: float
    cpu: float
    log_bytes: int

    def __sub__(self, before: "Seen") -> "Seen":
        return Seen(
            **{name: value - getattr(before, name) for name, value in attrs.asdict(self).items()}
        )


class Watcher:
    """Reads what a server has done, on a connection that counts for little."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(plain(url), autocommit=True)
        self._connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        [(folder,)] = self._connection.execute("SHOW data_directory")
        self._postmaster = int((Path(folder) / "postmaster.pid").read_text().split()[0])

    def seen(self) -> Seen:
        """Return what it has done so far, in this database."""
        [(statements, milliseconds, log_bytes)] = self._connection.execute(
            "SELECT coalesce(sum(calls), 0)::bigint, coalesce(sum(total_exec_time), 0),"
            " pg_current_wal_lsn() - '0/0' FROM pg_stat_statements"
            " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return Seen(
            statements=statements,
            seconds=milliseconds / 1_000,
            cpu=_cpu_of_tree(self._postmaster),
            log_bytes=int(log_bytes),
        )

    def slowest(self, most: int) -> list[tuple[float, int, int, str]]:
        """Return seconds, calls, rows and text of the statements that took longest."""
        return [
            (seconds, calls, rows, " ".join(text.split())[:400])
            for seconds, calls, rows, text in self._connection.execute(
                "SELECT total_exec_time / 1000, calls, rows, query FROM pg_stat_statements"
                " ORDER BY 1 DESC LIMIT %s",
                (most,),
            )
        ]

    def private_bytes(self) -> int:
        """Return the memory of all its processes, without what they share."""
        return sum(_private_bytes(pid) for pid in _children(self._postmaster))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _children(pid: int) -> list[int]:
    lists = Path("/proc").glob(f"{pid}/task/*/children")
    return [int(child) for each in lists for child in each.read_text().split()]


def _cpu_of_tree(pid: int) -> float:
    """Return the CPU seconds of a process, of its living children, and of those that ended."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0
    for one in (pid, *_children(pid)):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue  # it ended since
        total += sum(map(int, fields[11:15] if one == pid else fields[11:13]))
    return total / ticks


def _private_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it ended since
    # A process that is ending has none.
    sizes = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")]
    return sum(map(int, sizes)) * 1_024
