"""What the tests of SQLite have in common."""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import sqlalchemy as sa

from angle_reco.adapters.sql import Tables, open_engine
from angle_reco.domain import UNKNOWN_PRICE, Bid, Item, PriceScale, User, Watch

PRICES = PriceScale()


def fill(
    engine: sa.Engine,
    tables: Tables,
    *,
    users: Iterable[User] = (),
    items: Iterable[Item] = (),
    bids: Iterable[Bid] = (),
    watches: Iterable[Watch] = (),
) -> None:
    """Put a marketplace into the reference schema, on top of what is there."""
    numbers: Counter[Bid] = Counter()
    rows: list[tuple[sa.Table, list[dict[str, Any]]]] = [
        (tables.users, [attrs.asdict(user) for user in users]),
        (tables.items, [_item_row(item) for item in items]),
        (tables.bids, [_bid_row(bid, numbers) for bid in bids]),
        (tables.watches, [attrs.asdict(watch) for watch in watches]),
    ]
    with engine.begin() as connection:
        for table, some in rows:
            if some:
                connection.execute(sa.insert(table), some)


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
