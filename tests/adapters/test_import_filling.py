"""Importing much at once: into tables without rows, and rows of the usual form."""

import re
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import sqlalchemy as sa

from angle_reco.adapters.sql.importing.directory import Imported, ImportOutcome, import_directory
from angle_reco.adapters.sql.storage import Storage
from tests.adapters.shops import ROWS, Shop
from tests.postgres import comes_true


@pytest.fixture
def storage(reference: Storage) -> Storage:
    """Return a reference schema without rows."""
    return reference


def rows_of(storage: Storage, name: str) -> list[Any]:
    """Return all rows of a table of the marketplace."""
    table = getattr(storage.tables, name)
    with storage.database.engine.connect() as connection:
        return sorted(map(tuple, connection.execute(sa.select(table))))


def imported_meanwhile(
    storage: Storage, directory: Path, table: sa.Table, row: dict[str, Any]
) -> ImportOutcome:
    """Import a directory, and add a row to a table without rows before the import does."""
    outcomes = list[ImportOutcome]()
    with storage.database.engine.connect() as event:
        event.execute(sa.insert(table), row)
        importing = Thread(target=lambda: outcomes.append(import_directory(storage, directory)))
        importing.start()
        waits = sa.text(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database() AND query LIKE :insert"
        ).bindparams(insert=f"INSERT INTO %{table.name}%")
        with storage.database.engine.connect() as other:
            other.execution_options(isolation_level="AUTOCOMMIT")
            assert comes_true(lambda: other.scalar(waits) == 1)
        event.commit()
        importing.join()
    [outcome] = outcomes
    return outcome


@pytest.mark.parametrize("reference", ["postgres"], indirect=True)
def test_a_bid_that_an_event_adds_meanwhile_is_no_error(storage: Storage, tmp_path: Path) -> None:
    first = {"user_id": "ann", "item_id": "lamp", "amount": 125_000, "number": 0}
    first |= {"placed_at": datetime(2026, 2, 2, tzinfo=UTC)}

    outcome = imported_meanwhile(storage, Shop(tmp_path).directory, storage.tables.bids, first)

    assert outcome.files["bids"] == Imported(new=1, updated=0, unchanged=1, bad=0)
    assert len(rows_of(storage, "bids")) == 2


@pytest.mark.parametrize("reference", ["postgres"], indirect=True)
def test_rows_that_events_add_meanwhile_are_not_new(storage: Storage, tmp_path: Path) -> None:
    shop, tables = Shop(tmp_path), storage.tables
    ann = {"user_id": "ann", "sign_in_count": 0}
    watch = {"item_id": "vase", "user_id": "ann", "watched_at": datetime(2020, 1, 1, tzinfo=UTC)}

    first = imported_meanwhile(storage, shop.directory, tables.users, ann)
    with storage.database.engine.begin() as connection:
        connection.execute(sa.delete(tables.watches))
    second = imported_meanwhile(storage, shop.directory, tables.watches, watch)

    assert first.files["users"] == Imported(new=1, updated=1, unchanged=0, bad=0)
    assert second.files["watches"] == Imported(new=0, updated=0, unchanged=1, bad=0)


def test_rows_in_quotes_are_those_without(storage: Storage, tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    for place in range(900):
        at = f"00:{place // 60:02}:{place % 60:02}Z"
        shop.rows["items"].append(f"i{place},,,,9.50,,,,2026-01-01T{at},")
        shop.rows["bids"].append(f"ann,i{place},9.50,2026-02-01T{at}")
        shop.rows["watches"].append(f"bob,i{place},2026-02-01T{at}")
    shop.write()
    import_directory(storage, shop.directory)
    before = {name: rows_of(storage, name) for name in ROWS}
    for name in ("bids", "watches"):
        shop.rows[name] = [
            ",".join(f'"{field}"' for field in row.split(",")) for row in shop.rows[name]
        ]
    shop.write()

    outcome = import_directory(storage, shop.directory)

    assert {name: (one.new, one.updated) for name, one in outcome.files.items()} == dict.fromkeys(
        ROWS, (0, 0)
    )
    assert {name: rows_of(storage, name) for name in ROWS} == before
    assert len(before["bids"]) == 902


def test_bad_rows_among_many_have_their_lines(storage: Storage, tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    rows = ROWS["watches"] * 40
    rows[3], rows[7], rows[20] = "ann,vase", "", "ann,vase,never"
    rows[30] = '"ann"x,vase,2026-02-03T00:00:00Z'
    shop.rows["watches"] = rows
    shop.write()

    outcome = import_directory(storage, shop.directory, skip_bad_rows=True)

    lines = [re.findall(r"line (\d+)", text)[0] for text in outcome.bad_rows]
    assert lines == ["5", "22", "32"]
    assert outcome.files["watches"] == Imported(new=1, updated=0, unchanged=35, bad=3)
