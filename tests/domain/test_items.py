import gc
import tracemalloc
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.auction_status import AuctionStatus, status_at
from angle_reco.domain.catalogue import Catalogue, OpenCards
from angle_reco.domain.columns import NONE
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import IdKind, IdKinds, ItemId
from angle_reco.domain.items import Item
from angle_reco.domain.moments import NEVER, UNKNOWN_MOMENT, to_micros
from angle_reco.domain.prices import UNKNOWN_PRICE, PriceScale
from angle_reco.testing.contracts.markets import IDS, NOW, catalogue_of, markets

ACTIVE, SCHEDULED, ENDED = AuctionStatus.ACTIVE, AuctionStatus.SCHEDULED, AuctionStatus.ENDED
every_kind = pytest.mark.parametrize("kind", IdKind)


@pytest.mark.parametrize(
    ("starts_at", "ends_at", "status"),
    [
        (UNKNOWN_MOMENT, NEVER, ACTIVE),
        (-1, NEVER, ACTIVE),
        (0, NEVER, ACTIVE),
        (1, NEVER, SCHEDULED),
        (0, 1, ACTIVE),
        (1, 2, SCHEDULED),
        (UNKNOWN_MOMENT, 0, ENDED),
        (UNKNOWN_MOMENT, -1, ENDED),
        (1, 0, ENDED),
    ],
)
def test_the_status_follows_from_the_times(
    starts_at: int, ends_at: int, status: AuctionStatus
) -> None:
    now = to_micros(NOW)

    found = status_at(
        now,
        starts_at=starts_at if starts_at == UNKNOWN_MOMENT else now + starts_at,
        ends_at=ends_at if ends_at == NEVER else now + ends_at,
    )

    assert found is status


def test_codes_are_stored_and_so_never_change() -> None:
    assert {status.value: status.code for status in AuctionStatus} == {
        "pending": 0,
        "scheduled": 1,
        "active": 2,
        "paused": 3,
        "ended": 4,
        "sold": 5,
        "cancelled": 6,
    }


@every_kind
@given(data=st.data())
def test_a_catalogue_holds_its_items_in_the_order_of_their_ids(
    kind: IdKind, data: st.DataObject
) -> None:
    ids = IdKinds(user=kind, item=kind, category=kind)
    market = data.draw(markets(ids))

    catalogue = catalogue_of(market, ids)

    order = sorted(IDS[kind])
    items = sorted(market.items, key=lambda item: order.index(item.item_id))  # type: ignore[arg-type]  # an id
    units = PriceScale().to_units
    assert len(catalogue) == len(items)
    assert catalogue.items.ids.to_list() == [item.item_id for item in items]
    assert named(catalogue.categories.ids.to_list(), catalogue.category) == [
        item.category_id for item in items
    ]
    assert named(catalogue.sellers.ids.to_list(), catalogue.seller) == [
        item.seller_id for item in items
    ]
    assert catalogue.prices.tolist() == [
        UNKNOWN_PRICE if item.price is None else units(item.price, "price") for item in items
    ]
    assert catalogue.ends_at.tolist() == [
        NEVER if item.ends_at is None else to_micros(item.ends_at) for item in items
    ]
    assert catalogue.listed_at.tolist() == [
        UNKNOWN_MOMENT if item.listed_at is None else to_micros(item.listed_at) for item in items
    ]
    assert [catalogue.items.code(item.item_id) for item in items] == list(range(len(items)))


def named(ids: list[Any], codes: np.ndarray) -> list[object]:
    return [None if code == NONE else ids[code] for code in codes.tolist()]


@every_kind
@given(data=st.data())
def test_some_rows_of_a_catalogue_are_a_catalogue(kind: IdKind, data: st.DataObject) -> None:
    ids = IdKinds(user=kind, item=kind, category=kind)
    catalogue = catalogue_of(data.draw(markets(ids)), ids)
    mask = np.arange(len(catalogue)) % 3 != 1

    some = catalogue.where(mask)

    everything = catalogue.items.ids.to_list()
    assert some.items.ids.to_list() == [
        one for one, is_in in zip(everything, mask, strict=True) if is_in
    ]
    for name in ("category", "seller", "prices", "status", "ends_at", "listed_at", "watchers"):
        assert getattr(some, name).tolist() == getattr(catalogue, name)[mask].tolist()
    left_out = [one for one in everything if one not in some.items.ids.to_list()]
    assert [some.items.code(ItemId(one)) for one in left_out] == [NONE] * len(left_out)
    assert catalogue.ids_at(np.flatnonzero(mask)).to_list() == some.items.ids.to_list()


@pytest.mark.parametrize("name", ["starts_at", "ends_at", "listed_at"])
def test_moments_without_a_time_zone_are_refused(name: str) -> None:
    naive: dict[str, Any] = {name: datetime(2026, 1, 31)}  # noqa: DTZ001 — naive on purpose

    with pytest.raises(InvalidValueError, match=f"{name} is"):
        Item(item_id=ItemId("a"), **naive)


def test_an_item_may_be_all_but_unknown() -> None:
    item = Item(item_id=ItemId("a"))

    assert (item.category_id, item.seller_id, item.ends_at, item.status) == (None,) * 4
    assert item.is_published


def test_items_do_not_change() -> None:
    item = Item(item_id=ItemId("a"), starting_price=Decimal(1), ends_at=NOW + timedelta(days=1))

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        item.title = "other"  # type: ignore[misc]  # that is the point


def test_columns_of_different_lengths_are_refused() -> None:
    market = markets(IdKinds())

    @given(market)
    def refuses(market: Any) -> None:
        catalogue = catalogue_of(market, IdKinds())
        longer = np.zeros(len(catalogue) + 1, np.int64)
        with pytest.raises(ValueError, match="Catalogue differ in length"):
            attrs.evolve(catalogue, bids=longer)

    refuses()


@every_kind
@given(data=st.data())
def test_cards_are_made_from_columns(kind: IdKind, data: st.DataObject) -> None:
    ids = IdKinds(user=kind, item=kind, category=kind)
    market = data.draw(markets(ids))
    catalogue = catalogue_of(market, ids)
    title_of = {one: f"lot {one}" for one in catalogue.items.ids}
    listed = OpenCards(catalogue=catalogue, titles=texts(title_of.values()))
    mask = np.arange(len(listed)) % 3 != 1

    cards = listed.cards(PriceScale())

    plainly = {
        item.item_id: attrs.evolve(item, title=title_of[item.item_id], engaged=False)  # type: ignore[index]  # an id
        for item in market.items
    }
    assert cards == plainly
    assert list(cards) == listed.catalogue.items.ids.to_list()
    assert listed.where(mask).cards(PriceScale()) == {
        one: cards[one] for one, is_in in zip(cards, mask, strict=True) if is_in
    }


@every_kind
@given(data=st.data())
def test_columns_are_made_from_cards_in_any_order(kind: IdKind, data: st.DataObject) -> None:
    ids = IdKinds(user=kind, item=kind, category=kind)
    cards = [
        attrs.evolve(item, title=f"lot {item.item_id}")
        for item in data.draw(markets(ids)).items  # in no order
    ]

    listed = OpenCards.of_cards(ids, cards, PriceScale())

    assert listed.cards(PriceScale()) == {one.item_id: one for one in cards}
    assert not listed.catalogue.bids.any()
    assert not listed.catalogue.watchers.any()


def test_what_costs_the_same_shares_the_price() -> None:
    first, second, other = made_up(IdKind.INT, 3, prices=[7, 7, 9]).cards(PriceScale(10)).values()

    assert first.price is second.price
    assert (first.price, other.price) == (Decimal("0.7"), Decimal("0.9"))


def test_a_title_more_than_there_are_items_is_refused() -> None:
    listed = made_up(IdKind.INT, 3, prices=[7, 7, 9])

    with pytest.raises(ValueError, match="OpenCards differ in length"):
        attrs.evolve(listed, titles=texts(["a"] * 4))


@pytest.mark.parametrize(
    ("kind", "size", "title"),
    [
        (IdKind.INT, 3_000, "lamp"),
        (IdKind.UUID, 3_000, "Stehlampe, vintage, 60 cm"),
        (IdKind.TEXT, 3_000, "ランプ " * 9),
        (IdKind.TEXT, 8_000, "é" * 300),
    ],
)
def test_what_open_items_take_of_memory_is_known_to_a_fifth(
    kind: IdKind, size: int, title: str
) -> None:
    listed = made_up(kind, size, title=title)

    # Now and then the table of interned texts grows meanwhile, once, for all there are.
    columns, cards = map(min, *(measured(kind, size, title) for _ in range(2)))

    assert listed.footprint == pytest.approx(columns, rel=0.2)
    assert listed.footprint_of_cards == pytest.approx(cards, rel=0.2)


def measured(kind: IdKind, size: int, title: str) -> tuple[int, int]:
    """Return how many bytes open items take as columns, and how many their cards."""
    # What other tests left is not looked through again and again.
    gc.freeze()
    tracemalloc.start()
    try:
        listed = made_up(kind, size, title=title)
        listed.catalogue.items.code(listed.catalogue.items.ids[0])
        gc.collect()
        columns = tracemalloc.get_traced_memory()[0]
        cards = listed.cards(PriceScale())
        gc.collect()
        both = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.unfreeze()
    assert len(cards) == size
    return columns, both - columns


def made_up(
    kind: IdKind, size: int, *, prices: list[int] | None = None, title: str = "lamp"
) -> OpenCards:
    """Return open items, of which some have no end and some no known price."""
    ids: dict[IdKind, Any] = {
        IdKind.INT: lambda number: number,
        IdKind.UUID: lambda number: UUID(int=2**127 + number),
        IdKind.TEXT: "item-{:06}".format,
    }
    named, places = ids[kind], np.arange(size)
    day = to_micros(NOW + timedelta(days=1))
    catalogue = Catalogue.of_rows(
        IdKinds(user=kind, item=kind, category=kind),
        item_ids=[named(one) for one in places.tolist()],
        category_ids=[named(one) for one in (places % 50).tolist()],
        seller_ids=[named(one) for one in (places % 1_000).tolist()],
        prices=np.where(places % 9, places % 7_000, UNKNOWN_PRICE).tolist()
        if prices is None
        else prices,
        starting_prices=[UNKNOWN_PRICE] * size if prices is None else prices,
        is_published=[True] * size,
        status=[ACTIVE.code] * size,
        ends_at=np.where(places % 5, day + places, NEVER).tolist(),
        listed_at=(-places).tolist(),
        bids=[0] * size,
        watchers=[0] * size,
    )
    return OpenCards(catalogue=catalogue, titles=texts(f"{title} {one}" for one in range(size)))


def texts(titles: Iterable[str]) -> np.ndarray:
    return np.array(list(titles), np.dtypes.StringDType())
