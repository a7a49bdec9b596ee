"""What the tests of databases have in common."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

import attrs
import psycopg
import sqlalchemy as sa
from sqlalchemy import orm

from angle_reco import composition
from angle_reco.adapters.sql.core.database import begin_writing
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.core.types import Moment
from angle_reco.adapters.sql.results.changes import SqlChanges
from angle_reco.adapters.sql.results.ledger import SqlRunLedger
from angle_reco.adapters.sql.schema.host_schema import HostSchema
from angle_reco.adapters.sql.schema.tables import DEFAULT_PREFIX
from angle_reco.adapters.sql.storage import Storage
from angle_reco.composition import Ports
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.ids import IdKinds
from angle_reco.domain.items import Item
from angle_reco.domain.prices import UNKNOWN_PRICE, PriceScale
from angle_reco.domain.users import User
from angle_reco.testing.contracts import (
    ErasableStores,
    RecordedActivity,
    TimedChanges,
    TimedLedger,
)
from angle_reco.testing.contracts.samples import NOW

TEXTS = IdKinds()
PRICES = PriceScale()


def storage_on(
    engine: sa.Engine,
    ids: IdKinds = TEXTS,
    *,
    prices: PriceScale = PRICES,
    host: HostSchema | None = None,
    schema: str | None = None,
    prefix: str = DEFAULT_PREFIX,
) -> Storage:
    """Return the storage on an engine, with the reference schema unless there is a *host*."""
    deadline = timedelta(seconds=20)
    return Storage.of(
        engine,
        ids=ids,
        prices=prices,
        deadline=deadline,
        host=host,
        schema=schema,
        prefix=prefix,
    )


def ports_on(storage: Storage) -> Ports:
    """Return ports on a storage, whether or not its tables are there."""
    return attrs.evolve(composition.ports_on(storage), storage=None)


def recorded_on(storage: Storage) -> RecordedActivity:
    """Return the recorder of a reference schema, with what reads it again."""
    ports = ports_on(storage)
    assert ports.recorder is not None
    return RecordedActivity(recorder=ports.recorder, queries=ports.activity)


@contextmanager
def manual_clock(
    storage: Storage,
) -> Iterator[tuple[sa.ColumnElement[datetime], Callable[[timedelta], None]]]:
    """Give a clock that is the row of a table, and what moves it."""
    now, engine = [NOW], storage.database.engine
    metadata = sa.MetaData(schema=storage.tables.schema)
    table = sa.Table("manual_clock", metadata, sa.Column("moment", Moment, nullable=False))
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(table).values(moment=NOW))

    def advance(by: timedelta) -> None:
        now[0] += by
        with engine.begin() as connection:
            connection.execute(sa.update(table).values(moment=now[0]))

    yield sa.select(table.c.moment).scalar_subquery(), advance
    metadata.drop_all(engine)


@contextmanager
def timed_ledger_on(storage: Storage) -> Iterator[TimedLedger]:
    """Open the ledger of a storage, by a clock that is moved by hand."""
    with manual_clock(storage) as (clock, advance):
        yield TimedLedger(
            ledger=SqlRunLedger(storage.database, storage.tables, clock=clock),
            advance=advance,
            store=ports_on(storage).interests,
        )


@contextmanager
def timed_changes_on(storage: Storage) -> Iterator[TimedChanges]:
    """Open the feed of a storage, by a clock that is moved by hand."""
    with manual_clock(storage) as (clock, advance):
        changes, beside = (
            SqlChanges(storage.database, storage.tables, clock=clock) for _ in range(2)
        )
        yield TimedChanges(
            changes=changes,
            beside=beside,
            advance=advance,
            erasure=ports_on(storage).erasure,
            quieten=partial(quieten, storage.database.engine),
        )


def quieten(engine: sa.Engine) -> None:
    """Wait until no transaction is open that began before now, in whatever database."""
    if engine.dialect.name != "postgresql":
        return
    query = "SELECT pg_snapshot_{}(pg_current_snapshot())::text::bigint"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        end = connection.exec_driver_sql(query.format("xmax")).scalar_one()
        for _ in range(1_000):
            if connection.exec_driver_sql(query.format("xmin")).scalar_one() >= end:
                return
            sleep(0.01)


def driver_connection(url: sa.URL, **options: Any) -> Any:
    """Return a connection of the driver, without SQLAlchemy."""
    if url.get_backend_name() == "sqlite":
        return sqlite3.connect(url.database or "", timeout=30, **options)
    text = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(text, **options)


WAYS = ("connection", "session", "scoped session", "driver")


@contextmanager
def connection_to(engine: sa.Engine, way: str) -> Iterator[Any]:
    """Open a connection as a host has it, one of the *WAYS*: committed, unless something fails."""
    if way == "connection":
        with engine.begin() as connection:
            yield connection
        return
    if way == "driver":
        opened = driver_connection(engine.url)
        close = opened.close
    elif way == "session":
        opened = orm.Session(engine)
        close = opened.close
    else:
        opened = orm.scoped_session(orm.sessionmaker(engine))
        close = opened.remove
    try:
        yield opened
        opened.commit()
    except BaseException:
        opened.rollback()
        raise
    finally:
        close()


def erasable_on(storage: Storage) -> ErasableStores:
    """Return the stores that share the erasure of a storage."""
    ports = ports_on(storage)
    return ErasableStores(
        interests=ports.interests,
        lists=ports.lists,
        users=ports.users,
        erasure=ports.erasure,
        beside=storage.host is not None,
    )


def fill(
    storage: Storage,
    *,
    users: Iterable[User] = (),
    items: Iterable[Item] = (),
    bids: Iterable[Bid] = (),
    watches: Iterable[Watch] = (),
) -> None:
    """Put a marketplace into the reference schema, on top of what is there."""
    numbers, tables = Counter[Bid](), storage.tables
    rows: list[tuple[sa.Table, list[dict[str, Any]]]] = [
        (tables.users, [attrs.asdict(user) for user in users]),
        (tables.items, [_item_row(item) for item in items]),
        (tables.bids, [_bid_row(bid, numbers) for bid in bids]),
        (tables.watches, [attrs.asdict(watch) for watch in watches]),
    ]
    with storage.database.engine.begin() as connection:
        for table, some in rows:
            if some:
                connection.execute(sa.insert(table), some)


def put(storage: Storage, row: User | Item) -> None:
    """Put a user or an item into the reference schema, in place of the one with that id."""
    users, items = storage.tables.users, storage.tables.items
    if isinstance(row, User):
        old = sa.delete(users).where(users.c.user_id == row.user_id)
    else:
        old = sa.delete(items).where(items.c.item_id == row.item_id)
    with storage.database.engine.begin() as connection:
        connection.execute(old)
    if isinstance(row, User):
        fill(storage, users=[row])
    else:
        fill(storage, items=[row])


def mirrored(storage: Storage) -> HostSchema:
    """Return the reference tables as a host's own: sorted as it likes, money in the currency."""
    tables = storage.tables
    users, items, bids, watches = (
        table.c for table in (tables.users, tables.items, tables.bids, tables.watches)
    )

    def own(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
        is_sorted = storage.database.is_postgres and isinstance(column.type, sa.Text)
        return column.collate("default").label(column.name) if is_sorted else column

    def money(units: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return sa.case((units != UNKNOWN_PRICE, sa.cast(units, sa.Numeric) / PRICES.units))

    return HostSchema(
        users=sa.select(own(users.user_id), users.created_at, users.last_sign_in_at),
        items=sa.select(
            own(items.item_id),
            own(items.category_id),
            own(items.seller_id),
            own(items.title),
            money(items.starting_price).label("starting_price"),
            (items.publication_status == "published").label("is_published"),
            items.auction_status.label("status"),
            items.starts_at,
            items.ends_at,
            items.listed_at,
        ),
        bids=sa.select(
            own(bids.user_id), own(bids.item_id), money(bids.amount).label("amount"), bids.placed_at
        ),
        watches=sa.select(own(watches.user_id), own(watches.item_id), watches.watched_at),
    )


def fill_mirrored(storage: Storage, *, users: Iterable[User] = (), **rows: Any) -> None:
    """Put a marketplace into `mirrored` tables: who signed in how often is in ours."""
    users = list(users)
    fill(storage, users=users, **rows)
    counted = [
        {
            "user_id": user.user_id,
            "last_sign_in_at": user.last_sign_in_at or user.created_at,
            "sign_in_count": user.sign_in_count,
        }
        for user in users
        if user.sign_in_count
    ]
    if counted:
        with storage.database.engine.begin() as connection:
            connection.execute(sa.insert(storage.tables.sign_ins), counted)


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a transaction that others have to wait for, if they want to write."""
    with engine.begin() as connection:
        begin_writing(connection)
        yield connection


def emptied(storage: Storage) -> Storage:
    """Return a storage whose tables have no rows any more."""
    tables = [*storage.tables.own.sorted_tables, *storage.tables.reference.sorted_tables]
    name_of = storage.database.engine.dialect.identifier_preparer.format_table
    deletes = [f"DELETE FROM {name_of(table)}" for table in tables]  # noqa: S608 — names from the schema
    with storage.database.engine.begin() as connection:
        for statement in ["; ".join(deletes)] if storage.database.is_postgres else deletes:
            connection.exec_driver_sql(statement)
    return storage


def everything_in(file: Path) -> dict[str, list[str]]:
    """Return every row of every table and view, as somebody else reads it."""
    with closing(sqlite3.connect(file)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        return {
            name: sorted(map(repr, connection.execute(f'SELECT * FROM "{name}"')))  # noqa: S608 — names from the schema
            for (name,) in names.fetchall()
        }


def engine_of_a_full_disk(file: Path, *, pages: int | None = None) -> sa.Engine:
    """Return an engine whose database cannot grow further than to so many pages."""
    engine = open_engine(f"sqlite:///{file}")

    @sa.event.listens_for(engine, "connect")
    def limit(raw: sqlite3.Connection, _: object) -> None:
        [(now,)] = raw.execute("PRAGMA page_count")
        raw.execute(f"PRAGMA max_page_count = {pages or now}")

    return engine


def _item_row(item: Item) -> dict[str, Any]:
    return {
        "item_id": item.item_id,
        "category_id": item.category_id,
        "seller_id": item.seller_id,
        "title": item.title,
        "starting_price": _units(item.starting_price),
        "current_price": _units(item.current_price),
        "publication_status": "published" if item.is_published else "draft",
        "auction_status": item.status,
        "starts_at": item.starts_at,
        "ends_at": item.ends_at,
        "listed_at": item.listed_at,
    }


def _bid_row(bid: Bid, numbers: Counter[Bid]) -> dict[str, Any]:
    # Equal bids are numbered.
    numbers[bid] += 1
    amount = _units(bid.amount)
    return {
        **attrs.asdict(bid),
        "amount": UNKNOWN_PRICE if amount is None else amount,
        "number": numbers[bid] - 1,
    }


def _units(amount: Decimal | None) -> int | None:
    return None if amount is None else PRICES.to_units(amount, "amount")
