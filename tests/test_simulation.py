"""What is true of every simulated marketplace, and how lively the usual one is."""

import csv
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angle_reco.simulation import Bids, Marketplace, MarketplaceShape, Watches, simulate

NOW = datetime(2026, 3, 2, 12, 0, 0, 250_000, tzinfo=UTC)
AT = np.datetime64("2026-03-02T12:00:00", "s")
DAY = np.timedelta64(1, "D")
exponents = st.floats(0, 2)
few = settings(max_examples=25, deadline=None)


@st.composite
def shapes(draw: st.DrawFn) -> MarketplaceShape:
    users = draw(st.integers(1, 60))
    return MarketplaceShape(
        users=users,
        items=draw(st.integers(1, 60)),
        bids=draw(st.integers(1, 400)),
        watches=draw(st.integers(1, 200)),
        sellers=draw(st.integers(1, users)),
        categories=draw(st.integers(1, 60)),
        user_exponent=draw(exponents),
        item_exponent=draw(exponents),
        category_exponent=draw(exponents),
        days=draw(st.integers(1, 400)),
        seed=draw(st.integers(1, 2**31 - 1)),
    )


@pytest.fixture(scope="module")
def usual() -> Marketplace:
    return simulate(MarketplaceShape(), now=NOW)


def bids_by_lot(market: Marketplace) -> dict[int, list[int]]:
    """Return the rows of each lot's bids, in their order."""
    rows = defaultdict(list)
    for row, lot in enumerate(market.bids.item.tolist()):
        rows[lot].append(row)
    return rows


# What is true of every marketplace.


def a_lots_bids_rise_in_time_and_amount_from_above_its_starting_price(market: Marketplace) -> None:
    for lot, rows in bids_by_lot(market).items():
        starting = int(market.items.starting_cents[lot])
        amounts = [starting, *market.bids.cents[rows].tolist()]
        times = market.bids.placed_at[rows].tolist()

        assert all(earlier < later for earlier, later in pairwise(times))
        # Steps are some 2 to 5 % of the starting price, and people skip a few.
        assert all(0.01 * starting <= b - a <= starting for a, b in pairwise(amounts))
        assert all(amount % 5 == 0 for amount in amounts)


def nobody_outbids_themself(market: Marketplace) -> None:
    for rows in bids_by_lot(market).values():
        bidders = market.bids.user[rows].tolist()

        assert all(one != next_one for one, next_one in pairwise(bidders))


def bids_are_placed_while_their_lot_is_open(market: Marketplace) -> None:
    at, lot = market.bids.placed_at, market.bids.item
    ends = market.items.end_time[lot]

    assert np.all(market.items.starts_at[lot] <= at)
    assert np.all(np.isnat(ends) | (at < ends))
    assert np.all(at <= AT)


def watches_are_single_and_between_listing_and_end(market: Marketplace) -> None:
    at, lot = market.watches.inserted_at, market.watches.item
    ends = market.items.end_time[lot]
    pairs = list(zip(market.watches.user.tolist(), lot.tolist(), strict=True))

    assert len(set(pairs)) == len(pairs)
    assert np.all(market.items.inserted_at[lot] <= at)
    assert np.all(np.isnat(ends) | (at < ends))
    assert np.all(at <= AT)


def nobody_bids_on_or_watches_their_own_lots_or_a_draft(market: Marketplace) -> None:
    for events in (market.bids, market.watches):
        assert np.all(market.items.seller[events.item] != events.user)
        assert np.all(market.items.publication_status[events.item] != "draft")


def whoever_does_something_has_been_created_and_has_signed_in(market: Marketplace) -> None:
    users, items, bids, watches = market.users, market.items, market.bids, market.watches
    who = np.concatenate((bids.user, watches.user, items.seller))
    at = np.concatenate((bids.placed_at, watches.inserted_at, items.inserted_at))

    assert np.all(users.inserted_at[who] <= at)
    assert not np.isnat(users.last_sign_in_at[who]).any()
    assert np.all(at <= users.last_sign_in_at[who] + np.timedelta64(2, "h"))


def sign_ins_are_after_creation_and_counted(market: Marketplace) -> None:
    users = market.users
    never = np.isnat(users.last_sign_in_at)

    assert np.all(never | (users.inserted_at <= users.last_sign_in_at))
    assert np.all(never | (users.last_sign_in_at <= AT))
    assert np.array_equal(never, users.sign_in_count == 0)
    assert np.all(users.sign_in_count >= 0)


def a_lot_is_listed_then_starts_then_ends(market: Marketplace) -> None:
    items = market.items

    assert np.all(items.inserted_at <= AT)
    assert np.all(items.inserted_at <= items.starts_at)
    assert np.all(np.isnat(items.end_time) | (items.starts_at < items.end_time))


def a_lots_price_is_its_highest_bid_or_the_starting_price(market: Marketplace) -> None:
    plain = market.items.starting_cents.tolist()
    for lot, rows in bids_by_lot(market).items():
        plain[lot] = max(market.bids.cents[rows].tolist())

    assert market.items.current_cents.tolist() == plain
    assert min(plain) >= 100


def ids_are_sorted_and_single(market: Marketplace) -> None:
    for ids in (market.users.user_id.tolist(), market.items.item_id.tolist()):
        assert ids == sorted(set(ids))
    assert len(set(market.category_ids)) == len(market.category_ids)


def there_is_as_much_of_everything_as_the_shape_says(
    shape: MarketplaceShape, market: Marketplace
) -> None:
    oldest = min(market.users.inserted_at.min(), market.items.inserted_at.min())

    assert (len(market.users), len(market.items)) == (shape.users, shape.items)
    assert len(market.category_ids) == shape.categories
    assert len(market.bids) <= shape.bids
    assert len(market.watches) <= shape.watches
    assert len(set(market.items.seller.tolist())) <= shape.sellers
    assert AT - oldest <= shape.days * DAY


def the_same_shape_and_moment_give_the_same_marketplace(
    one: Marketplace, other: Marketplace
) -> None:
    for table in ("users", "items", "bids", "watches"):
        for name, column in attrs.asdict(getattr(one, table)).items():
            assert column.tolist() == getattr(getattr(other, table), name).tolist()


RULES = (
    a_lots_bids_rise_in_time_and_amount_from_above_its_starting_price,
    nobody_outbids_themself,
    bids_are_placed_while_their_lot_is_open,
    watches_are_single_and_between_listing_and_end,
    nobody_bids_on_or_watches_their_own_lots_or_a_draft,
    whoever_does_something_has_been_created_and_has_signed_in,
    sign_ins_are_after_creation_and_counted,
    a_lot_is_listed_then_starts_then_ends,
    a_lots_price_is_its_highest_bid_or_the_starting_price,
    ids_are_sorted_and_single,
)


@few
@given(shape=shapes(), hours=st.integers(-12, 12))
def test_every_marketplace_is_what_its_shape_says_and_keeps_every_rule(
    shape: MarketplaceShape, hours: int
) -> None:
    market = simulate(shape, now=NOW)
    elsewhere = NOW.astimezone(timezone(timedelta(hours=hours)))

    there_is_as_much_of_everything_as_the_shape_says(shape, market)
    for rule in RULES:
        rule(market)
    the_same_shape_and_moment_give_the_same_marketplace(market, simulate(shape, now=elsewhere))


class TestTheUsualMarketplace:
    def test_every_bid_and_watch_finds_a_place(self, usual: Marketplace) -> None:
        assert len(usual.bids) == MarketplaceShape().bids
        assert len(usual.watches) == MarketplaceShape().watches

    def test_lots_are_in_every_state(self, usual: Marketplace) -> None:
        items = usual.items
        left = items.end_time - AT
        published = items.publication_status == "published"
        begun = published & (items.starts_at <= AT)
        without_end = np.isnat(left)
        open_now = begun & (without_end | (left > 0 * DAY))

        def share(lots: np.ndarray[tuple[int], np.dtype[np.bool]]) -> float:
            return float(lots.mean())

        assert 0.4 < share(open_now) < 0.6
        assert share(open_now & (left <= DAY)) > 0.03
        assert share(open_now & (left > DAY) & (left <= 7 * DAY)) > 0.1
        assert share(open_now & (left > 7 * DAY)) > 0.1
        assert 0.01 < share(open_now & without_end) < 0.1
        assert 0.3 < share(left <= 0 * DAY) < 0.5
        assert share((left <= 0 * DAY) & (left > -3 * DAY)) > 0.01
        assert 0.02 < share(published & (items.starts_at > AT)) < 0.1
        assert 0.005 < share(items.publication_status == "draft") < 0.05
        assert 0.005 < share(items.publication_status == "withdrawn") < 0.05

    def test_most_users_were_here_lately_and_some_never_or_not_for_long(
        self, usual: Marketplace
    ) -> None:
        absence = AT - usual.users.last_sign_in_at

        assert 0.7 < np.mean(absence <= 30 * DAY) < 0.95
        assert 0.02 < np.mean(absence > 30 * DAY) < 0.2
        assert 0.01 < np.mean(np.isnat(absence)) < 0.1
        assert 0.05 < np.mean(usual.users.inserted_at > AT - 30 * DAY) < 0.5

    def test_most_bids_fall_in_a_few_favourite_categories(self, usual: Marketplace) -> None:
        category = usual.items.category[usual.bids.item]
        counts = np.zeros((len(usual.users), len(usual.category_ids)), dtype=np.int64)
        np.add.at(counts, (usual.bids.user, category), 1)
        busy = counts[counts.sum(axis=1) >= 20]
        favourite = np.sort(busy, axis=1)[:, -3:].sum(axis=1) / busy.sum(axis=1)

        assert len(busy) > 300
        assert np.mean(favourite > 0.75) > 0.9
        assert np.sort(counts.sum(axis=0))[-3:].sum() / counts.sum() < 0.5  # of all users together

    def test_users_keep_to_a_price_level(self, usual: Marketplace) -> None:
        items = usual.items
        order = np.lexsort((items.starting_cents, items.category))
        sizes = np.bincount(items.category)
        rank = np.empty(len(items))
        rank[order] = np.concatenate([np.arange(size) / size for size in sizes])
        widths = [
            float(np.std(rank[usual.bids.item[usual.bids.user == user]]))
            for user in np.flatnonzero(np.bincount(usual.bids.user) >= 20)
        ]

        assert np.median(widths) < 0.6 * np.std(rank)

    def test_sellers_list_within_a_few_categories(self, usual: Marketplace) -> None:
        lines = defaultdict(set)
        for seller, category in zip(usual.items.seller, usual.items.category, strict=True):
            lines[int(seller)].add(int(category))

        assert len(lines) > 100
        assert max(map(len, lines.values())) <= 3

    def test_some_sellers_never_bid(self, usual: Marketplace) -> None:
        sellers = set(usual.items.seller.tolist())

        assert sellers - set(usual.bids.user.tolist())
        assert sellers & set(usual.bids.user.tolist())

    def test_titles_read_well_and_try_an_import(self, usual: Marketplace) -> None:
        titles = usual.items.title.tolist()

        assert all(
            name == name.strip() and "  " not in name and " ," not in name for name in titles
        )
        assert not [name for name in titles if set(name) & set("|+\n") or ".." in name]
        assert any("," in name for name in titles)
        assert any('"' in name for name in titles)
        assert any(not name.isascii() for name in titles)

    def test_starting_prices_are_log_normal_around_what_the_category_costs(
        self, usual: Marketplace
    ) -> None:
        watches = usual.items.category == usual.category_ids.index("watches")
        logarithms = np.log(usual.items.starting_cents[watches])
        standard = (logarithms - logarithms.mean()) / logarithms.std()

        assert 350_00 < np.exp(logarithms.mean()) < 550_00
        assert 0.6 < logarithms.std() < 1.0
        assert abs(np.mean(standard**3)) < 0.5
        assert 0.6 < np.mean(np.abs(standard) < 1) < 0.76

    def test_another_seed_gives_another_marketplace(self, usual: Marketplace) -> None:
        other = simulate(MarketplaceShape(seed=2), now=NOW)

        assert usual.items.title.tolist() != other.items.title.tolist()


@pytest.mark.parametrize("kind", ["user", "item", "category"])
def test_the_larger_the_exponent_the_more_goes_to_the_largest_tenth(kind: str) -> None:
    def share_of_largest_tenth(exponent: float) -> float:
        shape = MarketplaceShape(
            sellers=2_000,
            categories=100,
            user_exponent=exponent if kind == "user" else 0,
            item_exponent=exponent if kind == "item" else 0,
            category_exponent=exponent if kind == "category" else 0,
        )
        market = simulate(shape, now=NOW)
        codes, kinds = {
            "user": (market.bids.user, shape.users),
            "item": (market.bids.item, shape.items),
            "category": (market.items.category[market.bids.item], shape.categories),
        }[kind]
        counts = np.sort(np.bincount(codes, minlength=kinds))
        return float(counts[-kinds // 10 :].sum() / counts.sum())

    alike, usual, steep = map(share_of_largest_tenth, (0, 0.6, 1.2))

    assert alike < 0.35
    assert alike + 0.1 < usual < steep - 0.1


def test_lots_have_many_titles_in_the_words_of_their_trade() -> None:
    market = simulate(MarketplaceShape(items=50_000, category_exponent=0), now=NOW)
    titles = {
        slug: set(market.items.title[market.items.category == code].tolist())
        for code, slug in enumerate(market.category_ids)
    }
    every = [title for trade in titles.values() for title in trade]

    assert min(map(len, titles.values())) >= 25
    assert len(set(every)) == len(every) > 2_000
    assert "Omega Seamaster, 1968" in titles["watches"]
    assert "Walnut writing desk" in titles["furniture"]
    assert "First-edition Steinbeck" in titles["books"]
    assert all(" no. 1" in title for title in titles["comics"])


def test_categories_beyond_the_named_ones_are_numbered() -> None:
    market = simulate(MarketplaceShape(categories=50, category_exponent=0), now=NOW)
    again = market.items.category == market.category_ids.index("comics-2")

    assert market.category_ids[24:26] == ("watches-2", "cameras-2")
    assert market.category_ids[48:] == ("watches-3", "cameras-3")
    assert all(" no. " in title for title in market.items.title[again])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"users": 0}, "users must be an int from 1"),
        ({"items": -1}, "items must be an int from 1"),
        ({"bids": True}, "bids must be an int from 1"),
        ({"watches": 2.5}, "watches must be an int from 1"),
        ({"sellers": "many"}, "sellers must be an int from 1"),
        ({"categories": None}, "categories must be an int from 1"),
        ({"items": 2**31}, "items must be an int from 1"),
        ({"seed": 0}, "seed must be an int from 1"),
        ({"days": 36_501}, "days must be at most 36500"),
        ({"users": 10, "sellers": 11}, "sellers are users: at most 10"),
        ({"user_exponent": -0.1}, "user_exponent must be a finite number, at least 0"),
        ({"item_exponent": float("nan")}, "item_exponent must be a finite number"),
        ({"category_exponent": float("inf")}, "category_exponent must be a finite number"),
        ({"item_exponent": True}, "item_exponent must be a finite number"),
        ({"item_exponent": "1"}, "item_exponent must be a finite number"),
    ],
)
def test_a_shape_says_what_would_be_right(change: dict[str, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        MarketplaceShape(**change)


def test_a_naive_now_is_refused() -> None:
    with pytest.raises(ValueError, match="now must be aware"):
        simulate(MarketplaceShape(), now=NOW.replace(tzinfo=None))


def test_columns_are_of_one_length_and_read_only(usual: Marketplace) -> None:
    with pytest.raises(ValueError, match="the columns of Watches must be of one length"):
        Watches(user=usual.bids.user, item=usual.bids.item[1:], inserted_at=usual.bids.placed_at)
    with pytest.raises(ValueError, match="read-only"):
        usual.bids.cents[0] = 1
    assert isinstance(usual.bids, Bids)


@pytest.fixture(scope="module")
def small() -> Marketplace:
    shape = MarketplaceShape(users=150, items=400, bids=2_000, watches=800, sellers=30)
    return simulate(shape, now=NOW)


@pytest.fixture(scope="module")
def files(
    small: Marketplace, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[dict[str, str]]]:
    directory = tmp_path_factory.mktemp("files") / "made" / "when missing"
    small.write_csv(directory)
    rows = {}
    for path in sorted(directory.iterdir()):
        with path.open(encoding="utf-8", newline="") as lines:
            rows[path.name] = list(csv.DictReader(lines, strict=True))
    return rows


class TestFiles:
    def test_have_the_columns_of_the_import(self, files: dict[str, list[dict[str, str]]]) -> None:
        assert {name: " ".join(rows[0]) for name, rows in files.items()} == {
            "users.csv": "user_id inserted_at last_sign_in_at sign_in_count",
            "items.csv": "item_id category_id seller_id title starting_price current_price"
            " publication_status starts_at end_time inserted_at",
            "bids.csv": "user_id item_id amount placed_at",
            "watches.csv": "user_id item_id inserted_at",
        }

    def test_hold_every_row_as_it_is(
        self, small: Marketplace, files: dict[str, list[dict[str, str]]]
    ) -> None:
        def text(moment: np.datetime64) -> str:
            return "" if np.isnat(moment) else f"{moment}Z"

        users, items = small.users, small.items
        assert files["users.csv"] == [
            {
                "user_id": f"user-{row + 1:04}",
                "inserted_at": text(users.inserted_at[row]),
                "last_sign_in_at": text(users.last_sign_in_at[row]),
                "sign_in_count": str(users.sign_in_count[row]),
            }
            for row in range(len(users))
        ]
        assert files["items.csv"] == [
            {
                "item_id": f"lot-{row + 1:05}",
                "category_id": small.category_ids[items.category[row]],
                "seller_id": f"user-{items.seller[row] + 1:04}",
                "title": items.title[row],
                "starting_price": str(Decimal(int(items.starting_cents[row])).scaleb(-2)),
                "current_price": str(Decimal(int(items.current_cents[row])).scaleb(-2)),
                "publication_status": items.publication_status[row],
                "starts_at": text(items.starts_at[row]),
                "end_time": text(items.end_time[row]),
                "inserted_at": text(items.inserted_at[row]),
            }
            for row in range(len(items))
        ]
        assert files["bids.csv"] == [
            {
                "user_id": f"user-{small.bids.user[row] + 1:04}",
                "item_id": f"lot-{small.bids.item[row] + 1:05}",
                "amount": str(Decimal(int(small.bids.cents[row])).scaleb(-2)),
                "placed_at": text(small.bids.placed_at[row]),
            }
            for row in range(len(small.bids))
        ]
        assert files["watches.csv"] == [
            {
                "user_id": f"user-{small.watches.user[row] + 1:04}",
                "item_id": f"lot-{small.watches.item[row] + 1:05}",
                "inserted_at": text(small.watches.inserted_at[row]),
            }
            for row in range(len(small.watches))
        ]

    def test_hold_aware_times_that_are_empty_where_there_is_none(
        self, files: dict[str, list[dict[str, str]]]
    ) -> None:
        empty: Counter[str] = Counter()
        for rows in files.values():
            for row in rows:
                for name, value in row.items():
                    if value == "":
                        empty[name] += 1
                    elif name.endswith(("_at", "_time")):
                        assert len(value) == len("2026-03-02T12:00:00Z")
                        assert datetime.fromisoformat(value).tzinfo == UTC

        assert set(empty) == {"last_sign_in_at", "end_time"}

    def test_are_the_same_when_written_again(self, small: Marketplace, tmp_path: Path) -> None:
        small.write_csv(tmp_path)
        once = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        small.write_csv(tmp_path)

        assert once == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert len(once) == 4

    def test_report_their_progress(
        self, small: Marketplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("angle_reco.simulation.columns._CHUNK", 600)
        notifier: list[tuple[str, int, int]] = []
        small.write_csv(tmp_path, progress=lambda *report: notifier.append(report))

        assert notifier == [
            ("users.csv", 150, 150),
            ("items.csv", 400, 400),
            *(("bids.csv", done, 2_000) for done in (600, 1_200, 1_800, 2_000)),
            *(("watches.csv", done, 800) for done in (600, 800)),
        ]
