"""Hosts' tables with dirt in every column: pages and jobs answer all the same."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from angle_reco import HostSchema, IdKind, IdKinds, ItemNotFoundError, Recommender, Settings
from angle_reco.application.jobs.schedule import BATCH_JOBS
from tests.postgres import new_database
from tests.reliability.trials import seeded, sized

TABLES = sized(60, 2_010)
"""Of each database: five together for each kind of ids."""

ROWS = 12

LABELS = {
    "users": ("user_id", "created_at", "last_sign_in_at"),
    "items": (
        *("item_id", "category_id", "seller_id", "title", "price", "starting_price"),
        *("is_published", "status", "starts_at", "ends_at", "listed_at"),
    ),
    "bids": ("user_id", "item_id", "amount", "placed_at"),
    "watches": ("user_id", "item_id", "watched_at"),
    "categories": ("category_id",),
}
MOMENTS = ("created_at", "last_sign_in_at", "starts_at", "ends_at", "listed_at")
MOMENTS_OF_EVENTS = ("placed_at", "watched_at")
AMOUNTS = ("price", "starting_price", "amount")

NOW = datetime.now(UTC)
IDS: dict[IdKind, list[Any]] = {
    IdKind.INT: [1, 2, 3, 2**63 - 1, -(2**63), 0],
    IdKind.TEXT: ["ann", "bob", "vase", "Ärger", "a b", "\t", "x" * 600, ""],
    IdKind.UUID: [UUID(int=n) for n in (0, 1, 2, 3, 2**128 - 1)],
}
ID_TYPES: dict[IdKind, sa.types.TypeEngine[Any]] = {
    IdKind.INT: sa.BigInteger(),
    IdKind.TEXT: sa.Text(),
    IdKind.UUID: sa.Uuid(),
}
DIRT: list[Any] = [
    *(None, "", " ", "1", "1.0", "12,50", "soon", "NULL", "true", "f", "\t\n", "Łódź", "x" * 600),
    *("2026-02-31", "2026-11-01 10:00", "2026-11-01T10:00:00Z", "infinity", "9999-12-31 23:59:60"),
    *(0, 1, -1, 2, 2**31, 2**63 - 1, -(2**63), 0.5, -0.0, 1e300, float("inf"), 19.9),
    *(b"", b"\xff\xfe", b"\x00" * 16, b"2026-11-01", UUID(int=7).bytes, UUID(int=7).hex),
    *("9283e27f-cec0-4856-8c6b-e092599880a9", "{", "[]", "active", "Active", "cancelled"),
]


def test_on_sqlite_any_value_may_be_anywhere(tmp_path: Any) -> None:
    chance = seeded()
    for kind in IdKind:
        engine = sa.create_engine(f"sqlite:///{tmp_path / f'{kind}.db'}")
        with engine.begin() as connection:
            for name, labels in LABELS.items():
                connection.exec_driver_sql(f"CREATE TABLE {name} ({', '.join(labels)})")
        host = _host({name: _select(name, kind) for name in LABELS})
        for _ in range(TABLES // 5 // len(IdKind)):
            share = chance.choice((0.1, 0.5))

            def value(label: str, kind: IdKind = kind, share: float = share) -> object:
                if chance.random() < share:
                    return chance.choice(DIRT)
                known = _clean(label, kind, chance)
                return known.hex if isinstance(known, UUID) else known

            with engine.begin() as connection:
                for name, labels in LABELS.items():
                    connection.exec_driver_sql(f"DELETE FROM {name}")  # noqa: S608 — of the tests
                    marks = ", ".join("?" * len(labels))
                    rows = [tuple(map(value, labels)) for _ in range(ROWS)]
                    insert = f"INSERT INTO {name} VALUES ({marks})"  # noqa: S608 — of the tests
                    connection.exec_driver_sql(insert, [tuple(map(_for_sqlite, r)) for r in rows])
                if chance.random() < 0.2:
                    # What is no UTF-8 cannot be handed over as a text at all.
                    name = chance.choice([*LABELS, "items", "bids"])
                    label = chance.choice(LABELS[name])
                    connection.exec_driver_sql(
                        f"UPDATE {name} SET {label} = CAST(x'61ff' AS TEXT) WHERE rowid = 1"  # noqa: S608 — of the tests
                    )
            _try_everything(engine, host, kind, chance)
        engine.dispose()


TYPES: dict[str, list[tuple[str, sa.types.TypeEngine[Any], list[str]]]] = {
    "moment": [
        (
            "timestamptz",
            sa.DateTime(timezone=True),
            ["now()", "'infinity'", "'-infinity'", "'4713-01-01 BC'", "'290000-01-01'", "NULL"],
        ),
        ("timestamp", sa.DateTime(), ["now()", "'infinity'", "'-infinity'", "'200000-01-01'"]),
        ("date", sa.Date(), ["now()", "'infinity'", "'-infinity'", "'5000000-01-01'"]),
        ("bigint", sa.BigInteger(), ["extract(epoch FROM now())", "0", f"{2**63 - 1}", "-1"]),
        ("numeric", sa.Numeric(), ["extract(epoch FROM now())", "'NaN'", "'Infinity'", "1e300"]),
        ("float8", sa.Float(), ["extract(epoch FROM now())", "'NaN'", "'-Infinity'", "1e-300"]),
    ],
    "amount": [
        ("numeric", sa.Numeric(), ["1", "'NaN'", "'Infinity'", "1e1000", "-1", "1e-1000", "NULL"]),
        ("float8", sa.Float(), ["1", "'NaN'", "'Infinity'", "1e300", "-1", "1e-300"]),
        ("real", sa.Float(), ["1", "'NaN'", "'-Infinity'", "1e38"]),
        ("bigint", sa.BigInteger(), ["1", f"{2**63 - 1}", "-1"]),
    ],
    "words": [
        ("text", sa.Text(), ["'active'", "''", "E'\\t\\\\'", "repeat('x', 100000)", "NULL"]),
        ("char(9)", sa.CHAR(9), ["'active'", "''", "'cup'", "NULL"]),
        ("state", sa.Text(), ["'active'", "'over'", "NULL"]),
        ("text[]", sa.Text(), ["'{}'", "'{active}'", "NULL"]),
        ("jsonb", sa.Text(), ["'{}'", "'\"active\"'", "'null'", "NULL"]),
    ],
    "flag": [("boolean", sa.Boolean(), ["true", "false", "NULL"])],
}


def test_on_postgres_any_value_of_a_type_may_be_anywhere(postgres_url: str) -> None:
    chance = seeded()
    for kind in IdKind:
        with new_database(postgres_url) as url:
            engine = sa.create_engine(url)
            with engine.begin() as connection:
                connection.exec_driver_sql("CREATE TYPE state AS ENUM ('active', 'over')")
            for _ in range(TABLES // 5 // len(IdKind)):
                _try_everything(engine, _made_on_postgres(engine, kind, chance), kind, chance)
            engine.dispose()


def _host(selects: dict[str, Any]) -> HostSchema:
    return HostSchema(**selects)


def _made_on_postgres(engine: sa.Engine, kind: IdKind, chance: random.Random) -> HostSchema:
    selects = dict[str, sa.Select[Any]]()
    with engine.begin() as connection:
        for name, labels in LABELS.items():
            chosen = {label: _chosen(label, kind, chance) for label in labels}
            columns = ", ".join(f"{label} {one[0]}" for label, one in chosen.items())
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")
            connection.exec_driver_sql(f"CREATE TABLE {name} ({columns})")
            for _ in range(ROWS):
                row = ", ".join(chance.choice(one[2]) for one in chosen.values())
                connection.exec_driver_sql(f"INSERT INTO {name} VALUES ({row})".replace("%", "%%"))  # noqa: S608 — of the tests
            table = sa.table(name, *(sa.column(label, one[1]) for label, one in chosen.items()))
            selects[name] = sa.select(table)
    return _host(selects)


def _chosen(
    label: str, kind: IdKind, chance: random.Random
) -> tuple[str, sa.types.TypeEngine[Any], list[str]]:
    if label.endswith("_id"):
        names = {IdKind.INT: "bigint", IdKind.TEXT: "text", IdKind.UUID: "uuid"}
        name, type_ = names[kind], ID_TYPES[kind]
        values = [f"'{one}'" for one in IDS[kind]]
        return name, type_, ["NULL", *values, *values[:3] * 4]
    if label in MOMENTS + MOMENTS_OF_EVENTS:
        return chance.choice(TYPES["moment"])
    if label in AMOUNTS:
        return chance.choice(TYPES["amount"])
    return chance.choice(TYPES["flag" if label == "is_published" else "words"])


def _select(name: str, kind: IdKind) -> sa.Select[Any]:
    def type_of(label: str) -> sa.types.TypeEngine[Any]:
        if label.endswith("_id"):
            return ID_TYPES[kind]
        if label in MOMENTS + MOMENTS_OF_EVENTS:
            return sa.DateTime()
        if label in AMOUNTS:
            return sa.Numeric()
        return sa.Boolean() if label == "is_published" else sa.Text()

    return sa.select(sa.table(name, *(sa.column(one, type_of(one)) for one in LABELS[name])))


def _clean(label: str, kind: IdKind, chance: random.Random) -> Any:
    if label.endswith("_id"):
        return chance.choice(IDS[kind][:4])
    if label in MOMENTS + MOMENTS_OF_EVENTS:
        days = timedelta(days=chance.randrange(-30, 30))
        return (NOW + days).strftime("%Y-%m-%d %H:%M:%S.%f")
    if label in AMOUNTS:
        return chance.choice((1, 2.5, 100))
    return {"is_published": 1, "status": chance.choice((None, "active"))}.get(label, "A title")


def _for_sqlite(value: object) -> object:
    return str(value) if isinstance(value, UUID) else value


def _try_everything(
    engine: sa.Engine, host: HostSchema, kind: IdKind, chance: random.Random
) -> None:
    """Call what pages and jobs call: rows are left out, and nothing fails."""
    settings = Settings(
        ids=IdKinds(user=kind, item=kind, category=kind),
        deadline=timedelta(seconds=30),
        cache_enabled=chance.random() < 0.3,
        ranker=chance.choice(["auto", "blended"]),
        similar=chance.choice(["classic", "blended"]),
    )
    with Recommender.from_engine(engine, host=host, settings=settings, migrate=True) as reco:
        for name, call in _calls(reco, IDS[kind][:4]):
            try:
                call()
            except ItemNotFoundError:
                # What is left out is not there.
                assert name in ("similar", "after_bid")


def _calls(reco: Recommender, ids: list[Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    yield "check", lambda: reco.check(everything=True)
    yield "check", lambda: [str(one) for one in reco.check()]
    for _ in range(2):
        yield "popular", lambda: list(reco.anonymous.popular_items(limit=50))
        for one in ids:
            yield from _calls_of(reco, one)
        for job in BATCH_JOBS:
            yield job, partial(reco.system.run_job, job)
    yield "signed_in", lambda: reco.signed_in(ids[0])
    yield "bid_placed", lambda: reco.bid_placed(ids[0], ids[1])
    yield "stats", reco.system.stats
    yield "health", reco.system.health


def _calls_of(reco: Recommender, one: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    user = reco.as_user(one)
    yield "popular", lambda: list(reco.anonymous.popular_items(category=one))
    yield "similar", lambda: list(reco.anonymous.similar_items(one))
    yield "homepage", lambda: list(user.homepage(limit=50))
    yield "interests", lambda: list(user.interests())
    yield "after_bid", lambda: list(user.after_bid(one))
