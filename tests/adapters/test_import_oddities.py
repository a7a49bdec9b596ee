"""What is odd about files although every row is good: it is imported, and said."""

from pathlib import Path

import pytest

from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.importing.directory import import_directory
from angle_reco.adapters.sql.storage import Storage
from angle_reco.domain.errors import BadInputError
from angle_reco.domain.ids import IdKind, IdKinds
from tests.adapters.databases import storage_on
from tests.adapters.shops import Shop


@pytest.fixture
def storage(reference: Storage) -> Storage:
    """Return a reference schema without rows."""
    return reference


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Return the files of a shop with four users, who sell, and nothing odd."""
    shop = Shop(tmp_path)
    shop.rows = {
        "users": [f"{user},,," for user in (12, 13, 14, 15)],
        "items": [f"{100 + user},7,{user},,10,,published,,," for user in (12, 13, 14, 15)],
        "bids": [],
        "watches": [],
    }
    shop.write()
    return shop


def warnings(storage: Storage, shop: Shop) -> tuple[str, ...]:
    shop.write()
    return import_directory(storage, shop.directory).warnings


def test_a_usual_shop_has_none(storage: Storage, shop: Shop) -> None:
    assert warnings(storage, shop) == ()


def test_nothing_at_all_has_none(storage: Storage, shop: Shop) -> None:
    shop.rows = {name: [] for name in shop.rows}

    assert warnings(storage, shop) == ()


class TestDecimals:
    def test_sellers_written_as_decimals(self, storage: Storage, shop: Shop) -> None:
        shop.rows["items"] = [
            f"{place},,{user},,,,published,,,"
            for place, user in enumerate(["", "13.0", "12.0", "12.0", "x.0", "14"])
        ]

        assert warnings(storage, shop) == (
            "items.csv, column seller_id: ids that end in .0 are others than those without it,"
            " such as '12.0' beside '12' (2 in all): whole numbers may have been written as"
            " decimals",
        )

    def test_sellers_written_as_decimals_are_not_called_unknown_too(
        self, storage: Storage, shop: Shop
    ) -> None:
        shop.rows["items"] = [f"{seller},,{seller}.0,,,,published,,," for seller in (12, 13)]

        [warning] = warnings(storage, shop)

        assert warning.startswith("items.csv, column seller_id: ids that end in .0 ")

    @pytest.mark.parametrize(
        ("name", "row", "column"),
        [
            ("users", "13.0,,,", "user_id"),
            ("items", "113.0,,,,,,published,,,", "item_id"),
            ("items", "200,7.0,,,,,published,,,", "category_id"),
        ],
    )
    def test_other_ids(
        self, storage: Storage, shop: Shop, name: str, row: str, column: str
    ) -> None:
        shop.rows[name].append(row)

        [warning] = warnings(storage, shop)

        assert warning.startswith(f"{name}.csv, column {column}: ids that end in .0 ")

    def test_those_of_an_earlier_import_count_too(self, storage: Storage, shop: Shop) -> None:
        warnings(storage, shop)
        shop.rows["users"] = ["12.0,,,"]
        shop.rows["items"] = []

        assert len(warnings(storage, shop)) == 1

    @pytest.mark.parametrize("seller", ["12.00", "12.5", "012", ".0", "99.0"])
    def test_what_is_no_other_id_written_so_is_not(
        self, storage: Storage, shop: Shop, seller: str
    ) -> None:
        shop.rows["items"].append(f"200,,{seller},,,,published,,,")

        assert warnings(storage, shop) == ()

    @pytest.mark.parametrize("name", ["bids", "watches"])
    def test_an_unknown_one_is_refused_with_a_hint(
        self, storage: Storage, shop: Shop, name: str
    ) -> None:
        amount = "1," if name == "bids" else ""
        shop.rows[name] = [f"12.0,112,{amount}2026-02-02T00:00:00Z"]

        with pytest.raises(BadInputError) as refused:
            warnings(storage, shop)

        assert str(refused.value) == (
            f"{name}.csv, line 2, column user_id: '12.0' is unknown: users has no such row"
            " (an id '12' may have been written as a decimal)"
        )


class TestSellers:
    def test_sellers_who_are_nearly_all_no_users(self, storage: Storage, shop: Shop) -> None:
        shop.rows["items"] = [f"{n},,seller-{n},,,,published,,," for n in range(19)]
        shop.rows["items"] += [f"own-{n},,12,,,,published,,," for n in range(50)]

        [warning] = warnings(storage, shop)

        assert warning.startswith(
            "items.csv, column seller_id: 19 of 20 sellers are not among the users, such as"
            " 'seller-0': "
        )

    @pytest.mark.parametrize(("unknown", "is_odd"), [(0, False), (35, False), (36, True)])
    def test_some_are_nothing_odd(
        self, storage: Storage, shop: Shop, unknown: int, is_odd: bool
    ) -> None:
        shop.rows["items"] += [f"{n},,seller-{n},,,,published,,," for n in range(unknown)]

        assert bool(warnings(storage, shop)) is is_odd

    def test_sellers_may_be_unknown_all_of_them(self, storage: Storage, shop: Shop) -> None:
        shop.rows["items"] = ["1,,,,,,published,,,"]

        assert warnings(storage, shop) == ()

    @pytest.mark.parametrize("kind", [IdKind.INT, IdKind.UUID])
    def test_ids_of_every_kind_are_shown(self, tmp_path: Path, shop: Shop, kind: IdKind) -> None:
        seller = "7" if kind is IdKind.INT else "0a000000-0000-4000-8000-000000000000"
        storage = storage_on(open_engine(f"sqlite:///{tmp_path / 'kinds.db'}"), IdKinds(user=kind))
        shop.rows["users"] = []
        shop.rows["items"] = [f"1,,{seller},,,,published,,,"]

        [warning] = warnings(storage, shop)

        assert f"1 of 1 sellers are not among the users, such as '{seller}'" in warning


class TestNothingPublished:
    def test_a_shop_of_drafts(self, storage: Storage, shop: Shop) -> None:
        shop.rows["items"] = [row.replace("published", "draft") for row in shop.rows["items"]]

        assert warnings(storage, shop) == (
            "items.csv, column publication_status: none of 4 items is published, so none can be"
            " suggested; item '112' is 'draft'",
        )

    def test_one_that_is_published_is_enough(self, storage: Storage, shop: Shop) -> None:
        items = shop.rows["items"]
        shop.rows["items"] = [items[0], *(row.replace("published", "") for row in items[1:])]
        assert warnings(storage, shop) == ()
        shop.rows["items"] = [row.replace("published", "") for row in items[1:]]

        # It is there still, from the import before.
        assert warnings(storage, shop) == ()
