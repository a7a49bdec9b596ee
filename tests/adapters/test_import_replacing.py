"""An import that replaces: what the files do not have is gone, with what was stored about it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.importing.directory import Imported, ImportOutcome, import_directory
from angle_reco.adapters.sql.importing.removing import Removal
from angle_reco.adapters.sql.storage import Storage
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import Ports
from angle_reco.domain.activity import Bid
from angle_reco.domain.errors import BadInputError, InvalidValueError, UserErasedError
from angle_reco.domain.ids import IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.lists import ListKind
from angle_reco.recommender import Recommender
from angle_reco.settings import Settings
from tests.adapters.databases import ports_on, storage_on
from tests.adapters.shops import HEADERS, ROWS, Shop
from tests.postgres import comes_true

NOW = datetime(2026, 2, 10, tzinfo=UTC)
NAMES = ("users", "items", "bids", "watches", "interests", "lists", "permissions")


@pytest.fixture
def storage(reference: Storage) -> Storage:
    """Return a reference schema without rows."""
    return reference


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Return the files of a shop."""
    return Shop(tmp_path)


@pytest.fixture
def ports(storage: Storage) -> Ports:
    return ports_on(storage)


def imported(storage: Storage, shop: Shop, **options: Any) -> ImportOutcome:
    return import_directory(storage, shop.directory, replace=True, **options)


def counted(**counts: int) -> dict[str, int]:
    """Return a count for every kind of rows, 0 unless it is given."""
    return dict.fromkeys(NAMES, 0) | counts


def rows_of(storage: Storage, name: str) -> list[Any]:
    """Return all rows of a table of the marketplace."""
    table = getattr(storage.tables, name)
    with storage.database.engine.connect() as connection:
        return sorted(map(tuple, connection.execute(sa.select(table))))


def run_jobs(storage: Storage) -> None:
    """Store interests and lists of all users and items."""
    reco = Recommender(ports_on(storage), Settings(cache_enabled=False), as_of=NOW)
    for name in BATCH_JOBS:
        reco.system.run_job(name)


def without(shop: Shop, name: str, start: str) -> None:
    """Leave rows out of a file, by how they begin."""
    shop.rows[name] = [row for row in shop.rows[name] if not row.startswith(start)]


class TestRemoval:
    def test_what_the_files_have_stays_and_nothing_else(self, storage: Storage, shop: Shop) -> None:
        import_directory(storage, shop.directory)
        without(shop, "users", "bob")
        without(shop, "bids", "bob")
        shop.rows["watches"] = []
        shop.write(items="bed,,,,,,published,,,\n")

        outcome = imported(storage, shop)

        assert outcome.replaced == Removal(
            there=counted(users=2, items=2, bids=2, watches=1),
            removed=counted(users=1, bids=1, watches=1),
        )
        assert outcome.files["items"] == Imported(new=1, updated=0, unchanged=2, bad=0)
        assert outcome.files["users"] == Imported(new=0, updated=0, unchanged=1, bad=0)
        assert [row[0] for row in rows_of(storage, "users")] == ["ann"]
        assert [row[0] for row in rows_of(storage, "items")] == ["bed", "lamp", "vase"]
        assert [row[2] for row in rows_of(storage, "bids")] == ["ann"]
        assert rows_of(storage, "watches") == []

    def test_it_leaves_what_an_import_into_nothing_leaves(
        self, storage: Storage, shop: Shop, tmp_path: Path
    ) -> None:
        imported(storage, shop)
        (tmp_path / "other").mkdir()
        expected = {name: rows_of(storage, name) for name in HEADERS}
        other = Shop(tmp_path / "other")
        other.rows["users"] = ["cat,,,", "ann,,,1"]
        other.rows["items"] = ["toy,,,,,,published,,,", "vase,,,,,,draft,,,"]
        other.rows["bids"] = ["cat,toy,1,2026-02-02T00:00:00Z", "ann,vase,1,2026-02-02T00:00:00Z"]
        other.rows["watches"] = ["cat,vase,2026-02-02T00:00:00Z"]
        other.write()
        imported(storage, other)

        outcome = imported(storage, shop)

        assert {name: rows_of(storage, name) for name in HEADERS} == expected
        assert outcome.replaced is not None
        assert outcome.replaced.removed == counted(users=1, items=1, bids=2, watches=1)

    def test_a_second_time_there_is_nothing_to_remove(self, storage: Storage, shop: Shop) -> None:
        imported(storage, shop)
        changes = rows_of(storage, "changes")

        outcome = imported(storage, shop)

        assert outcome.replaced == Removal(
            there=counted(users=2, items=2, bids=2, watches=1), removed=counted()
        )
        assert [one.new + one.updated for one in outcome.files.values()] == [0] * 4
        assert rows_of(storage, "changes") == changes

    def test_of_equal_bids_as_many_stay_as_the_file_has(self, storage: Storage, shop: Shop) -> None:
        bid = ROWS["bids"][0]
        shop.rows["bids"] = [bid] * 5
        shop.write()
        imported(storage, shop)
        shop.rows["bids"] = [bid] * 2
        shop.write()

        outcome = imported(storage, shop)

        assert outcome.replaced is not None
        assert outcome.replaced.removed == counted(bids=3)
        assert [row[-1] for row in rows_of(storage, "bids")] == [0, 1]

    def test_bids_told_of_since_are_gone_and_those_of_the_file_count_once(
        self, storage: Storage, ports: Ports, shop: Shop
    ) -> None:
        imported(storage, shop)
        assert ports.recorder is not None
        for item, at in (("lamp", NOW), ("lamp", datetime(2026, 2, 2, tzinfo=UTC))):
            ports.recorder.record_bid(
                Bid(user_id=UserId("bob"), item_id=ItemId(item), placed_at=at)
            )
        shop.write(bids="bob,lamp,,2026-02-02T00:00:00Z\n")

        outcome = imported(storage, shop)

        assert outcome.replaced is not None
        assert outcome.replaced.removed == counted(bids=1)
        assert len(rows_of(storage, "bids")) == 3

    def test_without_a_file_of_watches_those_stay_whose_user_and_item_do(
        self, storage: Storage, shop: Shop
    ) -> None:
        shop.rows["watches"] = [
            f"{user},{item},2026-02-03T00:00:00Z"
            for user in ("ann", "bob")
            for item in ("lamp", "vase")
        ]
        shop.write()
        imported(storage, shop)
        (shop.directory / "watches.csv").unlink()
        without(shop, "users", "bob")
        without(shop, "items", "vase")
        without(shop, "bids", "bob")
        shop.write()
        (shop.directory / "watches.csv").unlink()

        outcome = imported(storage, shop)

        assert outcome.replaced is not None
        assert outcome.replaced.removed == counted(users=1, items=1, bids=1, watches=3)
        assert [row[:2] for row in rows_of(storage, "watches")] == [("lamp", "ann")]

    @pytest.mark.parametrize("kind", [IdKind.INT, IdKind.UUID])
    def test_ids_of_other_kinds_are_compared_as_such(
        self, tmp_path: Path, shop: Shop, kind: IdKind
    ) -> None:
        ids = IdKinds(user=kind, item=kind, category=kind)
        storage = storage_on(open_engine(f"sqlite:///{tmp_path / 'kinds.db'}"), ids)
        one, two = (str(at) if kind is IdKind.INT else UUID(int=at).hex for at in (1, 2))
        shop.rows = {
            "users": [f"{one},,,", f"{two},,,"],
            "items": [f"{one},,,,,,published,,,", f"{two},,,,,,published,,,"],
            "bids": [f"{user},{one},,2026-02-02T00:00:00Z" for user in (one, two)],
            "watches": [f"{user},{two},2026-02-02T00:00:00Z" for user in (one, two)],
        }
        shop.write()
        imported(storage, shop)
        for name in ("users", "bids", "watches"):
            shop.rows[name].pop()
        shop.write()

        outcome = imported(storage, shop)

        assert outcome.replaced is not None
        assert outcome.replaced.removed == counted(users=1, bids=1, watches=1)
        storage.close()

    def test_without_it_nothing_is_removed(self, storage: Storage, shop: Shop) -> None:
        imported(storage, shop)
        shop.rows = {name: [] for name in HEADERS}
        shop.write()
        changes = rows_of(storage, "changes")

        outcome = import_directory(storage, shop.directory)

        assert outcome.replaced is None
        assert len(rows_of(storage, "users")) == 2
        assert rows_of(storage, "changes") == changes


class TestAllOrNothing:
    def test_the_numbers_come_before_anything_is_removed(
        self, storage: Storage, shop: Shop
    ) -> None:
        imported(storage, shop)
        before = {name: rows_of(storage, name) for name in HEADERS}
        shop.rows = {name: [] for name in HEADERS}
        shop.write()

        class StopError(Exception):
            pass

        def stop(removal: Removal) -> None:
            assert removal == Removal(
                there=counted(users=2, items=2, bids=2, watches=1),
                removed=counted(users=2, items=2, bids=2, watches=1),
            )
            raise StopError

        with pytest.raises(StopError):
            imported(storage, shop, before_removal=stop)
        assert {name: rows_of(storage, name) for name in HEADERS} == before

    def test_what_refers_to_what_is_gone_is_bad_and_nothing_is_removed(
        self, storage: Storage, shop: Shop
    ) -> None:
        imported(storage, shop)
        before = {name: rows_of(storage, name) for name in HEADERS}
        without(shop, "users", "bob")
        without(shop, "items", "vase")
        shop.write()

        with pytest.raises(BadInputError) as refused:
            imported(storage, shop)

        assert refused.value.first == (
            "bids.csv, line 3, column user_id: 'bob' is unknown: users has no such row"
        )
        assert refused.value.others == (
            "watches.csv, line 2, column item_id: 'vase' is unknown: items has no such row",
        )
        assert {name: rows_of(storage, name) for name in HEADERS} == before

    def test_bad_rows_cannot_be_left_out_while_replacing(
        self, storage: Storage, shop: Shop
    ) -> None:
        with pytest.raises(InvalidValueError, match="would count as gone"):
            imported(storage, shop, skip_bad_rows=True)


class TestWhatWasStored:
    @pytest.fixture
    def shop(self, tmp_path: Path) -> Shop:
        """Return the files of a shop where there is something to suggest to everybody."""
        shop = Shop(tmp_path)
        shop.rows = {
            "users": [f"{name},,2026-02-09T00:00:00Z,1" for name in ("ann", "bob")],
            "items": [
                f"{name},art,,A {name},10,,published,,,2026-02-01T00:00:00Z"
                for name in ("lamp", "vase", "bowl")
            ],
            "bids": ["ann,lamp,12,2026-02-08T00:00:00Z", "bob,vase,12,2026-02-08T00:00:00Z"],
            "watches": [],
        }
        shop.write()
        return shop

    @pytest.fixture
    def smaller(self, storage: Storage, shop: Shop) -> Shop:
        """Return files without bob and the vase, which have results in the database."""
        imported(storage, shop)
        run_jobs(storage)
        for name, start in (("users", "bob"), ("items", "vase"), ("bids", "bob")):
            without(shop, name, start)
        shop.write()
        return shop

    def test_interests_and_lists_of_what_is_gone_go_with_it(
        self, storage: Storage, ports: Ports, smaller: Shop
    ) -> None:
        outcome = imported(storage, smaller)

        assert outcome.replaced is not None
        assert outcome.replaced.removed == counted(users=1, items=1, bids=1, interests=1, lists=2)
        assert ports.interests.of(UserId("bob")) is None
        assert ports.interests.of(UserId("ann")) is not None
        assert set(ports.lists.read(ListKind.PERSONAL, ["ann", "bob"])) == {"ann"}
        assert set(ports.lists.read(ListKind.SIMILAR, ["lamp", "vase"])) == {"lamp"}

    def test_rights_of_a_user_who_is_gone_go_and_those_of_others_stay(
        self, storage: Storage, ports: Ports, smaller: Shop
    ) -> None:
        held = storage.tables.user_permissions
        # Staff may be no users of the marketplace.
        rows = [{"user_id": one, "name": "inspect_users"} for one in ("ann", "bob", "staff")]
        with storage.database.engine.begin() as connection:
            connection.execute(sa.insert(held), rows)

        outcome = imported(storage, smaller)

        assert outcome.replaced is not None
        assert outcome.replaced.removed["permissions"] == 1
        assert [row[0] for row in rows_of(storage, "user_permissions")] == ["ann", "staff"]

    def test_an_erased_user_stays_erased_whether_gone_or_there_again(
        self, storage: Storage, ports: Ports, shop: Shop
    ) -> None:
        imported(storage, shop)
        ports.erasure.erase(UserId("bob"), at=NOW)
        erasures = rows_of(storage, "erasures")
        full = {name: list(rows) for name, rows in shop.rows.items()}
        without(shop, "users", "bob")
        without(shop, "bids", "bob")
        shop.write()
        imported(storage, shop)
        assert rows_of(storage, "erasures") == erasures
        shop.rows = full
        shop.write()

        imported(storage, shop)
        run_jobs(storage)

        assert rows_of(storage, "erasures") == erasures
        assert ports.interests.of(UserId("bob")) is None
        assert ports.lists.read(ListKind.PERSONAL, ["bob"]) == {}
        with pytest.raises(UserErasedError):
            Recommender(ports).system.stored.create_interest("bob", "art", score=1)

    def test_a_user_who_was_gone_and_is_there_again_is_not_erased(
        self, storage: Storage, ports: Ports, shop: Shop
    ) -> None:
        imported(storage, shop)
        full = {name: list(rows) for name, rows in shop.rows.items()}
        without(shop, "users", "bob")
        without(shop, "bids", "bob")
        shop.write()
        imported(storage, shop)
        shop.rows = full
        shop.write()
        imported(storage, shop)

        run_jobs(storage)

        assert ports.interests.of(UserId("bob")) is not None


class TestOtherProcesses:
    def test_readers_of_the_feed_find_a_gap_once(
        self, storage: Storage, ports: Ports, shop: Shop
    ) -> None:
        imported(storage, shop)
        cursor = ports.changes.now()
        without(shop, "watches", "ann")
        shop.write()
        imported(storage, shop)

        feed = ports.changes.since(cursor)

        assert (feed.has_gap, feed.changes) == (True, ())
        assert not ports.changes.since(feed.cursor).has_gap

    def test_an_import_that_fails_is_no_change(
        self, storage: Storage, ports: Ports, shop: Shop
    ) -> None:
        imported(storage, shop)
        cursor = ports.changes.now()
        without(shop, "users", "bob")
        shop.write()

        with pytest.raises(BadInputError):
            imported(storage, shop)

        assert not ports.changes.since(cursor).has_gap

    def test_a_warm_process_suggests_no_item_that_is_gone(
        self, storage: Storage, shop: Shop
    ) -> None:
        shop.rows["items"] = [f"{name},art,,,10,,published,,," for name in ("lamp", "vase", "bowl")]
        shop.write()
        imported(storage, shop)
        reco = Recommender(ports_on(storage), Settings())
        assert ItemId("bowl") in reco.anonymous.popular_items().ids
        reco.start(None)
        without(shop, "items", "bowl")
        shop.write()
        imported(storage, shop)

        assert comes_true(lambda: ItemId("bowl") not in reco.anonymous.popular_items().ids)
        reco.stop()
