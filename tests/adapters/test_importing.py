"""Importing a directory of CSV files: all of it or nothing, and every mistake has its place."""

import csv
import gzip
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO
from uuid import UUID

import pytest
import sqlalchemy as sa

from angle_reco.adapters.sql.importing.directory import Imported, import_directory
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.errors import (
    BadInputError,
    SchemaError,
    StorageFullError,
    StorageUnavailableError,
)
from angle_reco.domain.ids import CategoryId, IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.moments import from_micros
from angle_reco.domain.prices import PriceScale
from angle_reco.domain.publication import PublicationStatus
from tests.adapters.databases import engine_of_a_full_disk, everything_in
from tests.adapters.shops import HEADERS, ROWS, Shop, new

LOT = UUID("0a000000-0000-4000-8000-000000000000")
AT = "2026-02-02T00:00:00Z"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Return a directory that can be imported, and a database that is not there yet."""
    return Shop(tmp_path)


@pytest.fixture(scope="module")
def known_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with the shop in it, to be copied."""
    shop = Shop(tmp_path_factory.mktemp("known"))
    shop.import_it()
    return shop.file


@pytest.fixture(params=["new", "known"])
def before(request: pytest.FixtureRequest, shop: Shop) -> Iterator[None]:
    """Have a test find the database missing, or with the shop in it; and leave it like that."""
    if request.param == "known":
        shutil.copy(request.getfixturevalue("known_file"), shop.file)
        rows, raw = everything_in(shop.file), shop.file.read_bytes()
        yield
        assert everything_in(shop.file) == rows
        assert shop.file.read_bytes() == raw
    else:
        yield
        assert not shop.file.exists()
        assert [path.name for path in shop.file.parent.iterdir()] == ["files"]


class TestImport:
    def test_everything_is_there_and_counted(self, shop: Shop) -> None:
        outcome = shop.import_it()

        assert outcome.files == new(users=2, items=2, bids=2, watches=1)
        assert (outcome.bad_rows, outcome.replaced) == ((), None)
        assert shop.counts == {"users": 2, "items": 2, "bids": 2, "watches": 1}

    def test_what_is_stored_is_what_the_files_say(self, shop: Shop) -> None:
        shop.import_it()
        now = datetime(2026, 2, 10, tzinfo=UTC)
        with shop.ports() as ports:
            ann, bob = (ports.users.sign_ins(UserId(one)) for one in ("ann", "bob"))
            cards = ports.catalog.cards([ItemId("lamp"), ItemId("vase")], at=now)
            bids = [bid for one in ("ann", "bob") for bid in ports.activity.user_bids(UserId(one))]
            watches = ports.activity.user_watchlist(UserId("ann"))

        assert ann is not None
        assert (ann.last_at, ann.count) == (datetime(2026, 2, 1, 11, 30, 0, 123_456, UTC), 3)
        assert bob is not None
        assert (bob.last_at, bob.count) == (None, 0)
        lamp, vase = cards[ItemId("lamp")], cards[ItemId("vase")]
        assert lamp.title == "A lamp, green"
        assert (lamp.category_id, lamp.seller_id) == (CategoryId("lamps"), UserId("zoe"))
        assert (lamp.price, lamp.is_published) == (PriceScale().to_money(125_000), True)
        assert lamp.status is AuctionStatus.ACTIVE
        assert lamp.ends_at == datetime(2027, 1, 2, tzinfo=UTC)
        assert lamp.listed_at == datetime(2026, 1, 1, tzinfo=UTC)
        assert (vase.title, vase.category_id, vase.seller_id, vase.price) == ("", None, None, None)
        assert (vase.is_published, vase.ends_at, vase.listed_at) == (False, None, None)
        assert [(bid.amount, bid.placed_at) for bid in bids] == [
            (PriceScale().to_money(125_000), datetime(2026, 2, 2, tzinfo=UTC)),
            (None, datetime(2026, 2, 2, 0, 0, 0, 1, UTC)),
        ]
        assert list(watches) == [
            Watch(
                user_id=UserId("ann"),
                item_id=ItemId("vase"),
                watched_at=datetime(2026, 2, 3, tzinfo=UTC),
            )
        ]

    @pytest.mark.parametrize(
        ("published", "is_open"),
        [(one.value, one is PublicationStatus.PUBLISHED) for one in PublicationStatus]
        + [("", False)],
    )
    def test_of_all_statuses_published_alone_is_open(
        self, shop: Shop, published: str, is_open: bool
    ) -> None:
        shop.rows["items"] = [f'lamp,,,,,,"{published}",,,', "vase,,,,,,,,,"]
        shop.write()
        shop.import_it()

        with shop.ports() as ports:
            cards = ports.catalog.cards([ItemId("lamp")], at=datetime(2026, 1, 1, tzinfo=UTC))

        assert cards[ItemId("lamp")].is_published is is_open

    def test_importing_again_changes_nothing(self, shop: Shop) -> None:
        shop.rows["bids"] += [ROWS["bids"][0]] * 2
        shop.write()
        shop.import_it()
        before = everything_in(shop.file)

        again = shop.import_it()

        assert {
            name: (one.unchanged, one.new, one.updated) for name, one in again.files.items()
        } == {
            "users": (2, 0, 0),
            "items": (2, 0, 0),
            "bids": (4, 0, 0),
            "watches": (1, 0, 0),
        }
        assert everything_in(shop.file) == before

    def test_equal_bids_all_count(self, shop: Shop) -> None:
        shop.rows["bids"] = [ROWS["bids"][0]] * 3
        shop.write()

        assert shop.import_it().files["bids"].new == 3
        shop.write(bids=ROWS["bids"][0] + "\n")
        assert shop.import_it().files["bids"] == Imported(new=1, updated=0, unchanged=3, bad=0)
        assert shop.counts["bids"] == 4

    @pytest.mark.parametrize("is_first", [True, False], ids=["event first", "import first"])
    def test_a_bid_that_an_event_recorded_too_counts_once(self, shop: Shop, is_first: bool) -> None:
        bids = [
            Bid(
                user_id=UserId(user),
                item_id=ItemId("lamp"),
                amount=amount,
                placed_at=datetime(2026, 2, 2, 0, 0, 0, micros, UTC),
            )
            for user, amount, micros in (("ann", Decimal("12.5"), 0), ("bob", None, 1))
        ]
        files = HEADERS["bids"] + "\n" if is_first else None
        if files is not None:
            shop.write_file("bids.csv", files)
        shop.import_it()
        with shop.ports() as ports:
            assert ports.recorder is not None
            recorded = [ports.recorder.record_bid(bid) for bid in bids]
        shop.write()

        again = shop.import_it()

        assert recorded == [is_first] * 2
        assert again.files["bids"] == Imported(new=0, updated=0, unchanged=2, bad=0)
        assert shop.counts["bids"] == 2

    def test_of_equal_bids_in_a_file_an_event_recorded_one(self, shop: Shop) -> None:
        shop.import_it()
        shop.rows["bids"] = ["bob,lamp,7,2026-02-04T00:00:00Z"] * 3
        bid = Bid(
            user_id=UserId("bob"),
            item_id=ItemId("lamp"),
            amount=Decimal(7),
            placed_at=datetime(2026, 2, 4, tzinfo=UTC),
        )
        with shop.ports() as ports:
            assert ports.recorder is not None
            assert ports.recorder.record_bid(bid)
        shop.write()

        assert shop.import_it().files["bids"] == Imported(new=2, updated=0, unchanged=1, bad=0)
        with shop.ports() as ports:
            assert ports.recorder is not None
            assert not ports.recorder.record_bid(bid)
        assert shop.counts["bids"] == 5

    @pytest.mark.parametrize(("seconds", "updated", "stays"), [(-1, 0, -1), (0, 0, 0), (1, 1, 0)])
    def test_of_a_watch_that_an_event_recorded_too_the_earlier_stays(
        self, shop: Shop, seconds: int, updated: int, stays: int
    ) -> None:
        imported = datetime(2026, 2, 3, tzinfo=UTC)
        watch = Watch(
            user_id=UserId("ann"),
            item_id=ItemId("vase"),
            watched_at=imported + timedelta(seconds=seconds),
        )
        shop.write_file("watches.csv", HEADERS["watches"] + "\n")
        shop.import_it()
        with shop.ports() as ports:
            assert ports.recorder is not None
            assert ports.recorder.record_watch(watch)
        shop.write()

        again = shop.import_it()

        assert again.files["watches"] == Imported(
            new=0, updated=updated, unchanged=1 - updated, bad=0
        )
        with shop.ports() as ports:
            [kept] = ports.activity.user_watchlist(watch.user_id)
        assert kept.watched_at == imported + timedelta(seconds=stays)

    def test_equal_amounts_and_moments_are_equal_however_they_are_written(self, shop: Shop) -> None:
        shop.import_it()
        shop.rows["bids"] = ["ann,lamp,12.5000,2026-02-02T01:00:00+01:00"]
        shop.write()

        assert shop.import_it().files["bids"] == Imported(new=0, updated=0, unchanged=1, bad=0)

    def test_a_known_item_or_user_with_other_content_is_updated(self, shop: Shop) -> None:
        shop.import_it()
        shop.rows["items"][1] = "vase,vases,,Blue,,,published,,,"
        shop.rows["users"][1] = "bob,,2026-02-01T00:00:00Z,1"
        shop.write()

        outcome = shop.import_it()

        updated = Imported(new=0, updated=1, unchanged=1, bad=0)
        assert (outcome.files["users"], outcome.files["items"]) == (updated, updated)
        with closing(sqlite3.connect(shop.file)) as connection:
            assert connection.execute(
                "SELECT title, category_id FROM items WHERE item_id = 'vase'"
            ).fetchall() == [("Blue", "vases")]
            assert connection.execute(
                "SELECT sign_in_count FROM users ORDER BY user_id"
            ).fetchall() == [(3,), (1,)]

    @pytest.mark.parametrize("known", [",0", "2026-02-01T00:00:00Z,1", "2026-04-01T00:00:00Z,9"])
    def test_sign_ins_never_go_back(self, shop: Shop, known: str) -> None:
        shop.rows["users"][1] = "bob,,2026-03-01T00:00:00Z,5"
        shop.write()
        shop.import_it()
        shop.rows["users"][1] = f"bob,,{known}"
        shop.write()

        shop.import_it()

        with closing(sqlite3.connect(shop.file)) as connection:
            [(last_at, count)] = connection.execute(
                "SELECT last_sign_in_at, sign_in_count FROM users WHERE user_id = 'bob'"
            )
        is_later = known.endswith("9")
        assert count == (9 if is_later else 5)
        assert from_micros(last_at).month == (4 if is_later else 3)

    def test_what_was_empty_can_be_filled_and_emptied_again(self, shop: Shop) -> None:
        def everything() -> dict[str, list[str]]:
            tables = everything_in(shop.file)
            # An import is news for the jobs.
            del tables["angle_reco_changes"], tables["sqlite_sequence"]
            return tables

        shop.import_it()
        before = everything()
        for vase in ("vase,vases,,,,,withdrawn,,,", "vase,,,,,,withdrawn,,,"):
            shop.rows["items"][1] = vase
            shop.write()

            outcome = shop.import_it()

            assert outcome.files["items"] == Imported(new=0, updated=1, unchanged=1, bad=0)
        assert everything() == before

    def test_one_engine_may_import_several_times(self, shop: Shop) -> None:
        storage = shop.storage()

        outcomes = [import_directory(storage, shop.directory) for _ in range(3)]

        storage.database.engine.dispose()
        assert [outcome.files["bids"].new for outcome in outcomes] == [2, 0, 0]

    def test_what_is_no_longer_in_the_files_stays(self, shop: Shop) -> None:
        shop.import_it()
        shop.rows = {name: [] for name in HEADERS}
        shop.write()

        shop.import_it()

        assert shop.counts == {"users": 2, "items": 2, "bids": 2, "watches": 1}

    def test_bids_may_be_of_users_and_items_that_came_with_an_earlier_import(
        self, shop: Shop
    ) -> None:
        shop.import_it()
        shop.rows["users"], shop.rows["items"] = [], []
        shop.write(bids="bob,vase,1,2026-02-02T00:00:00Z\n")

        assert shop.import_it().files["bids"].new == 1

    def test_the_earlier_watch_wins(self, shop: Shop) -> None:
        moments = ["2026-02-03T00:00:00Z", "2026-02-02T00:00:00Z", "2026-02-04T00:00:00Z"]
        shop.rows["watches"] = [f"ann,vase,{moment}" for moment in moments]
        shop.write()
        assert shop.import_it().files["watches"] == Imported(new=1, updated=0, unchanged=2, bad=0)

        shop.rows["watches"] = ["ann,vase,2026-02-02T00:00:00Z"]
        shop.write()
        before = everything_in(shop.file)
        assert shop.import_it().files["watches"] == Imported(new=0, updated=0, unchanged=1, bad=0)
        assert everything_in(shop.file) == before

        shop.rows["watches"] = ["ann,vase,2026-02-01T00:00:00Z", "bob,vase,2026-02-05T00:00:00Z"]
        shop.write()
        assert shop.import_it().files["watches"] == Imported(new=1, updated=1, unchanged=0, bad=0)

        shop.rows["watches"] = ["ann,vase,2026-02-09T00:00:00Z"]
        shop.write()
        assert shop.import_it().files["watches"] == Imported(new=0, updated=0, unchanged=1, bad=0)
        with shop.ports() as ports:
            [watch] = ports.activity.user_watchlist(UserId("ann"))
        assert watch.watched_at == datetime(2026, 2, 1, tzinfo=UTC)

    def test_equal_rows_of_a_user_or_item_are_one(self, shop: Shop) -> None:
        shop.rows["users"] *= 2
        shop.rows["items"].append(ROWS["items"][0].replace(",10,11.5,", ",10.0,11.50,"))
        shop.write()

        outcome = shop.import_it()

        assert outcome.files["users"] == Imported(new=2, updated=0, unchanged=2, bad=0)
        assert outcome.files["items"] == Imported(new=2, updated=0, unchanged=1, bad=0)
        assert (shop.counts["users"], shop.counts["items"]) == (2, 2)

    def test_watches_may_be_absent(self, shop: Shop) -> None:
        (shop.directory / "watches.csv").unlink()

        assert shop.import_it().files == new(users=2, items=2, bids=2)

    def test_headers_alone_are_an_empty_marketplace(self, shop: Shop) -> None:
        shop.rows = {name: [] for name in HEADERS}
        shop.write()

        assert shop.import_it().files == new(users=0, items=0, bids=0, watches=0)
        assert shop.counts == {"users": 0, "items": 0, "bids": 0, "watches": 0}

    def test_columns_may_come_in_any_order_beside_others(self, shop: Shop) -> None:
        shop.write_file(
            "bids.csv",
            "note,placed_at,amount,item_id,user_id\n?,2026-02-02T00:00:00Z,12.5,lamp,ann\n",
        )
        shop.import_it()
        shop.rows["bids"] = ROWS["bids"][:1]
        shop.write()

        assert shop.import_it().files["bids"].unchanged == 1

    @pytest.mark.parametrize("packed", [{"users"}, {"items", "bids"}, set(HEADERS)])
    def test_files_may_be_packed(self, shop: Shop, packed: set[str]) -> None:
        for name in packed:
            path = shop.directory / f"{name}.csv"
            shop.write_file(f"{name}.csv.gz", gzip.compress(path.read_bytes()))
            path.unlink()

        assert shop.import_it().files == new(users=2, items=2, bids=2, watches=1)

    @pytest.mark.parametrize(
        "rewrite",
        [
            lambda text: b"\xef\xbb\xbf" + text,
            lambda text: text.replace(b"\n", b"\r\n"),
            lambda text: b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"),
            lambda text: text.rstrip(b"\n"),
            lambda text: text.replace(b"\n", b"\n\n\n"),
        ],
        ids=["byte-order mark", "CRLF", "both", "no last newline", "empty lines"],
    )
    def test_files_may_be_written_in_other_ways(
        self, shop: Shop, rewrite: Callable[[bytes], bytes]
    ) -> None:
        shop.import_it()
        for path in shop.directory.iterdir():
            path.write_bytes(rewrite(path.read_bytes()))

        again = shop.import_it()

        assert [one.unchanged for one in again.files.values()] == [2, 2, 2, 1]

    def test_ids_may_hold_any_printable_character(self, shop: Shop) -> None:
        ids = [
            " ",
            "-x",
            "--help",
            "%",
            "'",
            '"',
            "a,b",
            "😀",
            "e\u0301",
            "é",
            "NULL",
            "0",
            "x" * 512,
        ]
        quoted = ['"{}"'.format(one.replace('"', '""')) for one in ids]
        shop.rows = {
            "users": [f"{one},,," for one in quoted],
            "items": [f"{one},{one},{one},,,,published,,," for one in quoted],
            "bids": [f"{one},{one},1,2026-01-01T00:00:00Z" for one in quoted],
            "watches": [f"{one},{one},2026-01-01T00:00:00Z" for one in quoted],
        }
        shop.write()

        shop.import_it()

        with shop.ports() as ports:
            touched = [ports.activity.touched_by(UserId(one)) for one in ids]
        assert touched == [{ItemId(one)} for one in ids]

    @pytest.mark.parametrize(
        ("kind", "written", "value"),
        [
            (IdKind.INT, "-9223372036854775808", -(2**63)),
            (IdKind.INT, "0", 0),
            (IdKind.UUID, "0A000000-0000-4000-8000-000000000000", LOT),
            (IdKind.UUID, "0a000000000040008000000000000000", LOT),
        ],
    )  # fmt: skip
    def test_ids_are_read_as_their_kind(
        self, shop: Shop, kind: IdKind, written: str, value: object
    ) -> None:
        kinds = IdKinds(user=kind, item=kind, category=kind)
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        shop.rows = {
            "users": [f"{written},,,"],
            "items": [f"{written},{written},{written},,,,published,,,"],
            "bids": [f"{written},{written},,2026-01-01T00:00:00Z"],
            "watches": [],
        }
        shop.write()

        shop.import_it(ids=kinds)

        with shop.ports(kinds) as ports:
            bids = ports.activity.user_bids(UserId(value))
            cards = ports.catalog.cards([ItemId(value)], at=moment)
        assert list(bids) == [Bid(user_id=UserId(value), item_id=ItemId(value), placed_at=moment)]
        assert cards[ItemId(value)].category_id == CategoryId(value)
        assert cards[ItemId(value)].seller_id == UserId(value)

    def test_long_and_odd_titles_stay_as_they_are(self, shop: Shop) -> None:
        title = 'Two\nlines, a "quote", 😀 and \t\\n; ' + "ä" * 99_000
        quoted = title.replace('"', '""')
        shop.rows["items"].append(f'book,,,"{quoted}",,,published,,,')
        shop.write()

        shop.import_it()

        with closing(sqlite3.connect(shop.file)) as connection:
            query = "SELECT title FROM items WHERE item_id = 'book'"
            assert connection.execute(query).fetchall() == [(title,)]

    def test_money_is_read_in_the_scale_that_is_set(self, shop: Shop) -> None:
        shop.import_it(prices=PriceScale(100))

        with closing(sqlite3.connect(shop.file)) as connection:
            query = "SELECT max(amount), min(amount) FROM bids"
            assert connection.execute(query).fetchall() == [(1_250, -1)]

    def test_the_tables_of_a_new_database_let_readers_in(self, shop: Shop) -> None:
        shop.import_it()

        with closing(sqlite3.connect(shop.file)) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]

    def test_progress_ends_where_all_is_done(self, shop: Shop) -> None:
        reached: list[tuple[str, int, int]] = []

        shop.import_it(progress=lambda *step: reached.append(step))

        names = ("users", "items", "bids", "watches")
        sizes = {name: (shop.directory / f"{name}.csv").stat().st_size for name in names}
        assert reached == [
            *(
                step
                for name in names
                for step in (
                    (f"reading {name}.csv", sizes[name], sizes[name]),
                    (f"reading {name}.csv", 1, 1),
                )
            ),
            *((f"storing {name}", place, 4) for place, name in enumerate(names)),
            ("storing", 4, 4),
        ]


LONG = "x" * 101
ITEM = ",,,,,,published,,,"
BAD_ROWS = [
    ("users", "cat,yesterday,,1", 4, "inserted_at", r"'yesterday', but"),
    ("users", "cat,2026-02-30T00:00:00Z,,1", 4, "inserted_at", r"'2026-02-30T00:00:00Z', but"),
    ("users", "cat,,2026-02-20T00:00:00,1", 4, "last_sign_in_at", r"with its time zone"),
    ("users", "cat,,2026-02-20,1", 4, "last_sign_in_at", r"with its time zone"),
    ("users", "cat,0001-01-01T00:00:00+14:00,,1", 4, "inserted_at", r"'0001-01-01"),
    ("users", "cat,,,many", 4, "sign_in_count", r"'many', but"),
    ("users", "cat,,,-1", 4, "sign_in_count", r"'-1', but"),
    ("users", "cat,,,1.5", 4, "sign_in_count", r"'1\.5', but"),
    ("users", "cat,,,1_000", 4, "sign_in_count", r"'1_000', but"),
    ("users", "cat,,,9223372036854775808", 4, "sign_in_count", r"9223372036854775808"),
    ("users", "cat,,," + "9" * 5_000, 4, "sign_in_count", r"a whole number"),
    ("users", ",,,1", 4, "user_id", r"'', but should be a text of 1 to 512"),
    ("users", "x" * 513 + ",,,1", 4, "user_id", r"text of 1 to 512 printable characters"),
    ("users", "c\x00at,,,1", 4, "user_id", r"printable characters"),
    ("users", '"c\nat",,,1', 4, "user_id", r"printable characters"),
    ("users", "cat,,", 4, None, r"has 3 fields where the header has 4"),
    ("users", "cat,,,1,2", 4, None, r"has 5 fields where the header has 4"),
    ("users", "cat", 4, None, r"has 1 fields where the header has 4"),
    ("users", '"cat,,,1', 4, None, r"is no CSV: unexpected end of data"),
    ("users", '"cat"x,,,1', 4, None, r"is no CSV: ',' expected after '\"'"),
    ("users", "ann,,,3", 4, "user_id", r"'ann' is in line 2 too, with other content"),
    ("items", "lamp" + ITEM, 4, "item_id", r"'lamp' is in line 2 too, with other content"),
    ("items", ITEM, 4, "item_id", r"'', but should be a text"),
    ("items", "bed,,,,NaN,,published,,,", 4, "starting_price", r"'NaN', but"),
    ("items", "bed,,,,,-0.01,published,,,", 4, "current_price", r"'-0\.01', but"),
    ("items", "bed,,,a\x00b,,,published,,,", 4, "title", r"a text without NUL"),
    ("items", "bed,,," + "t" * 100_001 + ",,,published,,,", 4, "title", r"at most 100,000"),
    ("items", "bed,,," + "t" * 10_000_000 + ",,,published,,,", 4, "title", r"at most 100,000"),
    ("items", f"bed,,,,,,{LONG},,,", 4, "publication_status", r"one of archived, draft, "),
    ("items", "bed,,,,,,Published,,,", 4, "publication_status", r"\(written 'published'\)"),
    ("items", "bed,,,,,,live,,,", 4, "publication_status", r"\('published' is meant, perhaps\)"),
    ("items", "bed,,,,,,published,,soon,", 4, "end_time", r"'soon', but"),
    ("items", 'bed,,,"a\nb\n",,,published,,,\ntoy,,,,x,,,,,', 7, "starting_price", r"'x', but"),
    ("bids", "ann,lamp,NaN," + AT, 4, "amount", r"'NaN', but"),
    ("bids", "ann,lamp,sNaN," + AT, 4, "amount", r"'sNaN', but"),
    ("bids", "ann,lamp,-1," + AT, 4, "amount", r"'-1', but"),
    ("bids", "ann,lamp,Infinity," + AT, 4, "amount", r"'Infinity', but should be"),
    ("bids", "ann,lamp,1.00001," + AT, 4, "amount", r"at most 4 decimals"),
    ("bids", "ann,lamp,1e999999," + AT, 4, "amount", r"'1e999999', but"),
    ("bids", "ann,lamp,a lot," + AT, 4, "amount", r"'a lot', but"),
    ("bids", "ann,lamp,1,", 4, "placed_at", r"'', but"),
    ("bids", "ann,lamp,1,2026-02-02", 4, "placed_at", r"with its time zone"),
    ("bids", "cat,lamp,1," + AT, 4, "user_id", r"'cat' is unknown"),
    ("bids", "ann,bed,1," + AT, 4, "item_id", r"'bed' is unknown"),
    ("bids", "Ann,lamp,1," + AT, 4, "user_id", r"'Ann' is unknown"),
    ("bids", "ann, lamp,1," + AT, 4, "item_id", r"' lamp' is unknown"),
    ("watches", "cat,lamp," + AT, 3, "user_id", r"'cat' is unknown"),
    ("watches", "ann,bed," + AT, 3, "item_id", r"'bed' is unknown"),
    ("watches", "ann,lamp,", 3, "inserted_at", r"'', but"),
]  # fmt: skip


class TestBadRows:
    @pytest.mark.usefixtures("before")
    def test_of_many_bad_rows_the_first_are_described_and_all_counted(self, shop: Shop) -> None:
        shop.write(
            users="cat,yesterday,,1\n", bids=f"ann,lamp,NaN,{AT}\n" * 50, watches="ann,lamp,\n"
        )

        refused = shop.refusal()

        assert str(refused) == f"{refused.first} (the first of 52 errors)"
        assert refused.first.startswith("users.csv, line 4, column inserted_at: ")
        assert [one.split(":")[0] for one in refused.others] == [
            f"bids.csv, line {4 + place}, column amount" for place in range(19)
        ]

    @pytest.mark.usefixtures("before")
    def test_rows_that_refer_to_nothing_are_found_together(self, shop: Shop) -> None:
        shop.write(
            users="ann,,,9\n", bids=f"cat,bed,1,{AT}\ncat,lamp,1,{AT}\n", watches=f"bob,bed,{AT}\n"
        )

        refused = shop.refusal()

        assert [one.split(":")[0] for one in (refused.first, *refused.others)] == [
            "users.csv, line 4, column user_id",
            "bids.csv, line 4, column user_id",
            "bids.csv, line 5, column user_id",
            "watches.csv, line 3, column item_id",
        ]

    @pytest.mark.parametrize(
        ("name", "row", "line", "column", "reason"),
        BAD_ROWS,
        ids=[f"{name}-{row[:30]!r}" for name, row, *_ in BAD_ROWS],
    )
    @pytest.mark.usefixtures("before")
    def test_a_bad_row_is_reported_with_its_place_and_nothing_is_stored(
        self, shop: Shop, name: str, row: str, line: int, column: str | None, reason: str
    ) -> None:
        shop.write(**{name: row + "\n"})

        with pytest.raises(BadInputError, match=reason) as refused:
            shop.import_it()

        error = refused.value
        assert (error.file, error.line, error.column) == (f"{name}.csv", line, column)
        assert str(error).startswith(f"{name}.csv, line {line}")
        if " but " in reason:
            assert re.search(r"but should be an? (moment|whole number|text|amount)", str(error))
        assert "\n" not in str(error)
        assert len(str(error)) < 300

    @pytest.mark.parametrize(
        ("name", "row", "column"),
        [
            ("users", b"c\xe4t,,,1", "user_id"),
            ("users", b"cat,,,\xff", "sign_in_count"),
            ("items", b"bed,,,K\xf6nig,,,published,,,", "title"),
            ("items", b"bed,,,\xed\xa0\x80,,,published,,,", "title"),
            ("items", b"bed,,,,,,publi\xe9,,,", "publication_status"),
            ("bids", b"ann,lamp,\xa3 5,2026-02-02T00:00:00Z", "amount"),
        ],
    )
    @pytest.mark.usefixtures("before")
    def test_bytes_that_are_no_utf_8_are_reported_where_they_are(
        self, shop: Shop, name: str, row: bytes, column: str
    ) -> None:
        path = shop.directory / f"{name}.csv"
        path.write_bytes(path.read_bytes() + row + b"\n")

        error = shop.refusal()

        assert (error.file, error.line, error.column) == (f"{name}.csv", 4, column)
        str(error).encode()

    @pytest.mark.parametrize("kind", [IdKind.INT, IdKind.UUID])
    def test_ids_of_another_kind_are_bad(self, shop: Shop, kind: IdKind) -> None:
        error = shop.refusal(ids=IdKinds(user=kind))

        assert (error.line, error.column) == (2, "user_id")
        assert "'ann', but should be a" in str(error)

    def test_bad_rows_can_be_left_out_and_are_counted(self, shop: Shop) -> None:
        shop.write(
            users="cat,yesterday,,\nann,,,9\ndan,,,1\n",
            items="bed,,,,NaN,,published,,,\ntoy,,,,1,,published,,,\n",
            bids="cat,lamp,1,2026-02-02T00:00:00Z\ncat,bed,1,2026-02-02T00:00:00Z\n"
            "dan,toy,1,2026-02-02T00:00:00Z\ndan,toy\n",
            watches="ann,bed,2026-02-02T00:00:00Z\n",
        )

        outcome = shop.import_it(skip_bad_rows=True)

        assert outcome.files == {
            "users": Imported(new=3, updated=0, unchanged=0, bad=2),
            "items": Imported(new=3, updated=0, unchanged=0, bad=1),
            "bids": Imported(new=3, updated=0, unchanged=0, bad=3),
            "watches": Imported(new=1, updated=0, unchanged=0, bad=1),
        }
        assert shop.counts == {"users": 3, "items": 3, "bids": 3, "watches": 1}
        assert len(outcome.bad_rows) == 7
        assert outcome.bad_rows[0].startswith("users.csv, line 4, column inserted_at: ")

    def test_of_many_bad_rows_all_are_counted_and_some_described(self, shop: Shop) -> None:
        shop.write(bids="cat,lamp,1,2026-02-02T00:00:00Z\n" * 100)

        outcome = shop.import_it(skip_bad_rows=True)

        assert outcome.files["bids"] == Imported(new=2, updated=0, unchanged=0, bad=100)
        assert 0 < len(outcome.bad_rows) < 100

    def test_of_contradicting_rows_the_first_stays(self, shop: Shop) -> None:
        shop.write(users="bob,,,7\nbob,,,\nbob,,,8\n")

        outcome = shop.import_it(skip_bad_rows=True)

        assert outcome.files["users"] == Imported(new=2, updated=0, unchanged=1, bad=2)
        with closing(sqlite3.connect(shop.file)) as connection:
            query = "SELECT sign_in_count FROM users WHERE user_id = 'bob'"
            assert connection.execute(query).fetchall() == [(0,)]

    def test_reading_goes_on_after_a_row_that_is_no_csv(self, shop: Shop) -> None:
        shop.write(
            items="bed,,," + "t" * 10_000_000 + ",,,published,,,\n"
            '"toy"x,,,,,,published,,,\ncar,,,,,,published,,,\n'
        )

        outcome = shop.import_it(skip_bad_rows=True)

        assert outcome.files["items"] == Imported(new=3, updated=0, unchanged=0, bad=2)

    def test_the_text_of_a_long_field_is_never_read_as_rows(self, shop: Shop) -> None:
        inside = "\nevil,,,Evil,,,published,,,\n"
        shop.write(items=f'bed,,,"{"t" * 140_000}{inside}",,,published,,,\n')

        outcome = shop.import_it(skip_bad_rows=True)

        assert outcome.files["items"] == Imported(new=2, updated=0, unchanged=0, bad=1)

    def test_a_row_without_end_stops_the_import(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("angle_reco.adapters.sql.importing.csv_rows.LONGEST_ROW", 200_000)
        shop.write(items='bed,,,"' + "t" * 300_000 + "\nevil,,,Evil,,,published,,,\n")

        refused = shop.refusal(skip_bad_rows=True)

        assert str(refused).startswith("items.csv, line 4: is longer than ")
        assert "or a quote its other half" in str(refused)

    @pytest.mark.parametrize("limit", [10, 131_072, 10**9])
    def test_the_hosts_limit_for_fields_neither_counts_nor_changes(
        self, shop: Shop, limit: int
    ) -> None:
        title, short = "t" * 99_999, "t" * 100
        shop.write(items=f'bed,,,{title},,,published,,,\ntoy,,,"a ""b""\n{short}",,,,,,\n')
        usual = csv.field_size_limit(limit)
        try:
            outcome = shop.import_it()
            assert csv.field_size_limit() == limit
        finally:
            csv.field_size_limit(usual)

        assert outcome.files["items"].new == 4
        with closing(sqlite3.connect(shop.file)) as connection:
            query = "SELECT title FROM items WHERE item_id IN ('bed', 'toy') ORDER BY item_id"
            found = [one for (one,) in connection.execute(query)]
        assert found == [title, f'a "b"\n{short}']

    def test_imports_in_threads_leave_the_hosts_limit_alone(self, tmp_path: Path) -> None:
        shops = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            shops.append(Shop(tmp_path / name))
        before, seen = csv.field_size_limit(), set[int]()

        with ThreadPoolExecutor(2) as pool:
            list(
                pool.map(
                    lambda shop: shop.import_it(
                        progress=lambda *_: seen.add(csv.field_size_limit())
                    ),
                    shops,
                )
            )

        assert seen == {before} == {csv.field_size_limit()}

    def test_skipping_twice_changes_nothing(self, shop: Shop) -> None:
        shop.write(users="ann,,,9\n", bids="cat,lamp,1,2026-02-02T00:00:00Z\n")
        shop.import_it(skip_bad_rows=True)
        before = everything_in(shop.file)

        again = shop.import_it(skip_bad_rows=True)

        assert everything_in(shop.file) == before
        assert again.files["bids"] == Imported(new=0, updated=0, unchanged=2, bad=1)


class TestBadFiles:
    @pytest.mark.usefixtures("before")
    def test_a_directory_that_is_not_there(self, shop: Shop) -> None:
        error = shop.refusal(directory=shop.directory / "nowhere")

        assert str(error) == f"{shop.directory}/nowhere: is no directory"

    @pytest.mark.usefixtures("before")
    def test_a_directory_that_cannot_be_looked_into(self, shop: Shop) -> None:
        error = shop.refusal(directory=shop.directory / ("x" * 300))

        assert str(error).endswith("xxx: cannot be read: File name too long")

    @pytest.mark.usefixtures("before")
    def test_a_file_in_place_of_a_directory(self, shop: Shop) -> None:
        error = shop.refusal(directory=shop.directory / "users.csv")

        assert str(error).endswith("users.csv: is no directory")

    @pytest.mark.parametrize("name", ["users", "items", "bids"])
    @pytest.mark.usefixtures("before")
    def test_a_file_that_is_missing(self, shop: Shop, name: str) -> None:
        (shop.directory / f"{name}.csv").unlink()

        assert f"holds neither {name}.csv nor {name}.csv.gz" in str(shop.refusal())

    @pytest.mark.parametrize("name", ["users", "watches"])
    @pytest.mark.usefixtures("before")
    def test_a_file_that_is_there_twice(self, shop: Shop, name: str) -> None:
        shop.write_file(f"{name}.csv.gz", gzip.compress(b""))

        error = str(shop.refusal())

        assert f"{name}.csv: is there as {name}.csv.gz too: keep one of them" in error

    @pytest.mark.usefixtures("before")
    def test_a_file_that_cannot_be_read(self, shop: Shop) -> None:
        (shop.directory / "bids.csv").unlink()
        (shop.directory / "bids.csv").mkdir()

        assert str(shop.refusal()) == "bids.csv: is a directory, but should be a regular file"

    @pytest.mark.parametrize("name", ["users.csv", "watches.csv.gz"])
    @pytest.mark.usefixtures("before")
    def test_a_named_pipe_is_refused_before_it_is_opened(self, shop: Shop, name: str) -> None:
        (shop.directory / name.removesuffix(".gz")).unlink()
        os.mkfifo(shop.directory / name)

        assert str(shop.refusal()) == f"{name}: is a named pipe, but should be a regular file"

    @pytest.mark.usefixtures("before")
    def test_a_device_and_a_socket_are_refused(self, shop: Shop) -> None:
        (shop.directory / "bids.csv").unlink()
        (shop.directory / "bids.csv").symlink_to("/dev/zero")
        assert str(shop.refusal()) == "bids.csv: is a device, but should be a regular file"
        (shop.directory / "bids.csv").unlink()
        with closing(socket.socket(socket.AF_UNIX)) as listening:
            listening.bind(str(shop.directory / "bids.csv"))

            assert str(shop.refusal()) == "bids.csv: is a socket, but should be a regular file"

    def test_a_link_to_a_regular_file_is_read(self, shop: Shop) -> None:
        (shop.directory / "bids.csv").rename(shop.directory / "elsewhere")
        (shop.directory / "bids.csv").symlink_to("elsewhere")

        assert shop.import_it().files["bids"].new == 2

    @pytest.mark.parametrize("text", ["", "\ufeff"])
    @pytest.mark.usefixtures("before")
    def test_a_file_without_a_header(self, shop: Shop, text: str) -> None:
        shop.write_file("bids.csv", text)

        assert str(shop.refusal()) == (
            f"bids.csv: is empty, but should begin with a header: {HEADERS['bids']}"
        )

    @pytest.mark.parametrize("rest", ["", HEADERS["bids"], "\n"])
    @pytest.mark.usefixtures("before")
    def test_a_blank_line_before_the_header(self, shop: Shop, rest: str) -> None:
        shop.write_file("bids.csv", f"\r\n{rest}")

        assert str(shop.refusal()) == (
            f"bids.csv, line 1: is blank, but should be the header: {HEADERS['bids']}"
        )

    @pytest.mark.parametrize("line", ["sep=;", "sep=,", "SEP=\t"])
    @pytest.mark.usefixtures("before")
    def test_a_line_for_excel_before_the_header(self, shop: Shop, line: str) -> None:
        shop.write_file("bids.csv", f"\ufeff{line}\r\n{HEADERS['bids']}\r\n")

        assert str(shop.refusal()) == (
            f"bids.csv, line 1: is {line!r}, which only Excel reads,"
            " but should be the header, separated by commas"
        )

    @pytest.mark.parametrize(
        ("header", "column", "hint"),
        [
            ("user_id,item_id,placed_at", "amount", ""),
            ("user_id,item_id,Amount,placed_at", "amount", " (not 'Amount')"),
            ("user_id, item_id ,amount,placed_at", "item_id", " (not ' item_id ')"),
            ("ann,lamp,12.5,2026-02-02T00:00:00Z", "user_id", ""),
        ],
    )
    @pytest.mark.usefixtures("before")
    def test_a_column_that_is_missing(
        self, shop: Shop, header: str, column: str, hint: str
    ) -> None:
        shop.write_file("bids.csv", header + "\n")

        assert str(shop.refusal()) == (
            f"bids.csv, line 1, column {column}: is missing in the header,"
            f" which should be {HEADERS['bids']}{hint}"
        )

    @pytest.mark.usefixtures("before")
    def test_a_column_that_is_there_twice(self, shop: Shop) -> None:
        shop.write_file("bids.csv", f"{HEADERS['bids']},amount\n")

        assert str(shop.refusal()).startswith("bids.csv, line 1, column amount: is there twice")

    @pytest.mark.parametrize(
        ("header", "separators"),
        [
            ("user_id;item_id;amount;placed_at", "semicolons"),
            ("user_id\titem_id\tamount\tplaced_at", "tabs"),
            ('"user_id"|"item_id"|"amount"|"placed_at"', "vertical bars"),
            ("note, or two;placed_at;amount;item_id;user_id", "semicolons"),
        ],
    )
    @pytest.mark.usefixtures("before")
    def test_fields_that_are_separated_otherwise(
        self, shop: Shop, header: str, separators: str
    ) -> None:
        shop.write_file("bids.csv", header + "\n")

        assert str(shop.refusal()) == (
            f"bids.csv, line 1: is separated by {separators}, but should be by commas"
        )

    @pytest.mark.parametrize(
        ("encoding", "found"),
        [
            *(("utf-16", "UTF-16"), ("utf-16-le", "UTF-16"), ("utf-16-be", "UTF-16")),
            *(("utf-32", "UTF-32"), ("utf-32-le", "UTF-32"), ("utf-32-be", "UTF-32")),
        ],
    )
    @pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "packed"])
    @pytest.mark.usefixtures("before")
    def test_a_file_in_another_unicode_encoding(
        self, shop: Shop, encoding: str, found: str, is_packed: bool
    ) -> None:
        raw = "\n".join([HEADERS["users"], *ROWS["users"]]).encode(encoding)
        name = "users.csv.gz" if is_packed else "users.csv"
        (shop.directory / "users.csv").unlink()
        shop.write_file(name, gzip.compress(raw) if is_packed else raw)

        for skip_bad_rows in (False, True):
            refused = shop.refusal(skip_bad_rows=skip_bad_rows)

            assert str(refused) == f"{name}: is in {found}, but should be in UTF-8"

    @pytest.mark.usefixtures("before")
    def test_a_file_in_latin_1_is_one_error_that_says_so(self, shop: Shop) -> None:
        rows = "".join(f"b{place},,,K\xf6nig \x80,,,published,,,\n" for place in range(30))
        path = shop.directory / "items.csv"
        path.write_bytes(path.read_bytes() + rows.encode("latin-1"))

        refused = shop.refusal()

        assert refused.first == (
            "items.csv, line 4, column title: title is no text in UTF-8, but probably in Latin-1"
            " or Windows-1252, where it is 'König €': save the file as UTF-8"
        )
        assert (refused.others, refused.count) == ((), 30)

    @pytest.mark.parametrize(
        ("raw", "reason"),
        [
            (gzip.compress(b"user_id"), "is packed with gzip, but should be plain"),
            (b"PK\x03\x04\x14\x00", "is a ZIP archive or a workbook, but should be CSV"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1", "is a workbook, but should be CSV"),
        ],
        ids=["gzip", "zip", "workbook"],
    )
    @pytest.mark.usefixtures("before")
    def test_a_file_that_is_something_else(self, shop: Shop, raw: bytes, reason: str) -> None:
        shop.write_file("users.csv", raw)

        assert str(shop.refusal()).startswith(f"users.csv: {reason}")

    @pytest.mark.usefixtures("before")
    def test_every_file_that_cannot_be_read_is_named_at_once(self, shop: Shop) -> None:
        for name in ("users", "bids"):
            shop.write_file(f"{name}.csv", HEADERS[name].replace(",", ";"))
        shop.write_file("items.csv", f"{HEADERS['items']}\nbed,,,,NaN,,,,,\n")

        refused = shop.refusal()

        assert str(refused) == (
            "users.csv, line 1: is separated by semicolons, but should be by commas"
            " (the first of 3 errors)"
        )
        assert [one.split(":")[0] for one in refused.others] == [
            "bids.csv, line 1",
            "items.csv, line 2, column starting_price",
        ]

    @pytest.mark.usefixtures("before")
    def test_a_packed_file_of_one_enormous_line_takes_little_memory(self, shop: Shop) -> None:
        (shop.directory / "users.csv").unlink()
        with gzip.open(shop.directory / "users.csv.gz", "wb", 9) as packed:
            packed.write(f"{HEADERS['users']}\n".encode())
            for _ in range(256):
                packed.write(b"a" * 2**20)

        tracemalloc.start()
        refused = shop.refusal()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert str(refused).startswith("users.csv.gz, line 2: is longer than 16,777,216 characters")
        assert peak < 80 * 2**20

    @pytest.mark.parametrize("kept", [5, 30, -9, -3])
    @pytest.mark.usefixtures("before")
    def test_a_packed_file_that_was_cut_short(self, shop: Shop, kept: int) -> None:
        path = shop.directory / "bids.csv"
        shop.write_file("bids.csv.gz", gzip.compress(path.read_bytes())[:kept])
        path.unlink()

        for skip_bad_rows in (False, True):
            error = str(shop.refusal(skip_bad_rows=skip_bad_rows))
            assert error.startswith("bids.csv.gz: cannot be unpacked: ")

    @pytest.mark.parametrize(
        "spoil", [lambda raw: b"user" + raw, lambda raw: raw[:20] + b"!" + raw[21:]]
    )
    @pytest.mark.usefixtures("before")
    def test_a_packed_file_that_is_damaged(
        self, shop: Shop, spoil: Callable[[bytes], bytes]
    ) -> None:
        path = shop.directory / "bids.csv"
        shop.write_file("bids.csv.gz", spoil(gzip.compress(path.read_bytes())))
        path.unlink()

        assert str(shop.refusal()).startswith("bids.csv.gz: cannot be unpacked: ")

    def test_lines_of_a_packed_file_are_counted_too(self, shop: Shop) -> None:
        shop.write(bids="cat,lamp,1,2026-02-02T00:00:00Z\n")
        path = shop.directory / "bids.csv"
        shop.write_file("bids.csv.gz", gzip.compress(path.read_bytes()))
        path.unlink()

        assert str(shop.refusal()).startswith("bids.csv.gz, line 4, column user_id: 'cat' is")

    @pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
    def test_lines_are_counted_through_quoted_newlines(self, shop: Shop, newline: str) -> None:
        text = newline.join(
            [
                HEADERS["items"],
                f'lamp,,,"one{newline}two{newline}{newline}",,,published,,,',
                "",
                "vase,,,,,,published,,,",
                f'bed,,,"one{newline}two",soft,,published,,,',
            ]
        )
        shop.write_file("items.csv", text)

        error = shop.refusal()

        assert (error.line, error.column) == (8, "starting_price")


class TestBadDatabases:
    def test_a_database_of_somebody_else_stays_as_it_is(self, shop: Shop) -> None:
        with closing(sqlite3.connect(shop.file)) as connection:
            connection.execute("CREATE TABLE bids (id INTEGER)")
            connection.execute("INSERT INTO bids VALUES (1)")
            connection.commit()
        before = shop.file.read_bytes()

        with pytest.raises(SchemaError, match=r"holds other tables already \(bids\)"):
            shop.import_it()

        assert shop.file.read_bytes() == before

    def test_a_file_that_is_no_database_stays_as_it_is(self, shop: Shop) -> None:
        shop.file.write_text("Dear Ann, " * 1_000)

        with pytest.raises(SchemaError, match="no database of SQLite"):
            shop.import_it()

        assert shop.file.read_text() == "Dear Ann, " * 1_000

    def test_a_database_with_ids_of_other_kinds_stays_as_it_is(self, shop: Shop) -> None:
        others = shop.storage(ids=IdKinds(user=IdKind.INT))
        others.migrate_up()
        others.database.engine.dispose()
        before = shop.file.read_bytes()

        with pytest.raises(SchemaError, match="int of users"):
            shop.import_it()

        assert shop.file.read_bytes() == before

    def test_an_empty_database_of_ours_is_filled(self, shop: Shop) -> None:
        storage = shop.storage()
        storage.migrate_up()
        storage.database.engine.dispose()

        assert shop.import_it().files == new(users=2, items=2, bids=2, watches=1)

    def test_a_directory_of_the_database_that_is_missing(self, shop: Shop) -> None:
        shop.file = shop.file.parent / "no" / "shop.db"

        with pytest.raises(StorageUnavailableError, match="cannot be opened"):
            shop.import_it()

        assert not shop.file.parent.exists()

    @pytest.mark.usefixtures("before")
    def test_a_full_disk_leaves_everything_as_it_was(self, shop: Shop) -> None:
        shop.rows["users"] += [f"user {place},,," for place in range(2_000)]
        shop.write()
        pages = None if shop.file.exists() else 10

        with pytest.raises(StorageFullError, match="disk is full"):
            shop.import_it(engine=engine_of_a_full_disk(shop.file, pages=pages))

    @pytest.mark.parametrize("at", ["reading items.csv", "storing users", "storing watches"])
    @pytest.mark.usefixtures("before")
    def test_an_import_that_is_interrupted_leaves_everything_as_it_was(
        self, shop: Shop, at: str
    ) -> None:
        def interrupt(what: str, *_: int) -> None:
            if what == at:
                raise KeyboardInterrupt

        shop.write(users="cat,,,\n", items="bed" + ITEM + "\n")

        with pytest.raises(KeyboardInterrupt):
            shop.import_it(progress=interrupt)

    def test_another_writer_is_waited_for_and_no_longer(self, shop: Shop) -> None:
        shop.import_it()
        shop.write(users="cat,,,\n")
        impatient = sa.create_engine(shop.url, connect_args={"timeout": 0.02})

        with closing(sqlite3.connect(shop.file)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageUnavailableError, match="another process"):
                shop.import_it(engine=impatient)

        assert shop.counts["users"] == 2
        assert shop.import_it().files["users"].new == 1


IMPORTER = """
import sys
from pathlib import Path
from angle_reco import Settings
from angle_reco.composition import import_marketplace, storage_at

url, directory, pause_at = sys.argv[1:]


def report(what: str, done: int, total: int) -> None:
    print(what, flush=True)
    if what == pause_at:
        sys.stdin.readline()


with storage_at(url, Settings()) as storage:
    import_marketplace(storage, Path(directory), progress=report)
"""


class Importer:
    """An import in a process of its own, which stops at a step until it is told to go on."""

    def __init__(self, shop: Shop, *, pause_at: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", IMPORTER, shop.url, str(shop.directory), pause_at],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Importer":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def wait_for(self, step: str) -> None:
        output: IO[str] | None = self.process.stdout
        assert output is not None
        assert step in (line.rstrip() for line in output)

    def finish(self) -> int:
        """Let it go on, and return with what it ends."""
        self.process.communicate("\n", timeout=60)
        return self.process.returncode


class TestNewDatabase:
    def test_one_that_somebody_else_writes_to_is_not_removed(self, shop: Shop) -> None:
        others: list[sqlite3.Connection] = []

        def write_too(what: str, done: int, total: int) -> None:
            if what == "reading watches.csv" and not others:
                others.append(sqlite3.connect(shop.file, isolation_level=None))
                others[0].execute("BEGIN IMMEDIATE")

        engine = sa.create_engine(shop.url, connect_args={"timeout": 0})
        with pytest.raises(StorageUnavailableError):
            shop.import_it(engine=engine, progress=write_too)

        assert shop.file.exists()
        with closing(others[0]) as other:
            other.execute("CREATE TABLE theirs (a)")
            other.execute("COMMIT")
        assert list(everything_in(shop.file)) == ["theirs"]

    def test_one_that_went_missing_is_an_error(self, shop: Shop) -> None:
        def remove(what: str, done: int, total: int) -> None:
            if what == "storing watches":
                shop.file.unlink()

        with pytest.raises(SchemaError, match="holds no marketplace"):
            shop.import_it(progress=remove)


class TestProcesses:
    def test_two_imports_at_once_are_one_after_the_other(self, shop: Shop) -> None:
        shop.rows["bids"] *= 2
        shop.write()

        with (
            Importer(shop, pause_at="storing watches") as first,
            Importer(shop, pause_at="reading watches.csv") as second,
        ):
            first.wait_for("storing watches")
            second.wait_for("reading watches.csv")
            second.process.stdin.write("\n")  # type: ignore[union-attr]  # it is a pipe
            second.process.stdin.flush()  # type: ignore[union-attr]  # it is a pipe
            with pytest.raises(subprocess.TimeoutExpired):
                second.process.wait(timeout=0.1)

            assert first.finish() == 0
            assert second.finish() == 0

        assert shop.counts == {"users": 2, "items": 2, "bids": 4, "watches": 1}
        assert [one.new for one in shop.import_it().files.values()] == [0] * 4

    @pytest.mark.parametrize("is_known", [False, True], ids=["new", "known"])
    def test_a_process_that_is_killed_leaves_everything_as_it_was(
        self, shop: Shop, is_known: bool
    ) -> None:
        if is_known:
            shop.import_it()
        before = everything_in(shop.file) if is_known else {}
        shop.rows["users"] += [f"user {place},,," for place in range(5_000)]
        shop.write()

        with Importer(shop, pause_at="storing watches") as importer:
            importer.wait_for("storing watches")

        assert importer.process.returncode == -9
        assert everything_in(shop.file) == before
        assert shop.import_it().files["users"].new == (5_000 if is_known else 5_002)
