"""The contract suite of `CatalogQueries`: open items."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest

from angle_reco.domain.auction_status import OPEN_STATUSES, AuctionStatus
from angle_reco.domain.availability import is_open, open_rows
from angle_reco.domain.ids import ItemId
from angle_reco.domain.items import Item
from angle_reco.domain.moments import NEVER, UNKNOWN_MOMENT, to_micros
from angle_reco.domain.prices import UNKNOWN_PRICE, PriceScale
from angle_reco.domain.scoring.popularity import BidCounting
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.testing.contracts.catalog_base import (
    CatalogOfSample,
    assert_equal,
    card_of,
    category_of,
    ids_of,
    open_items,
    seller_of,
)
from angle_reco.testing.contracts.samples import DAY, ELSEWHERE, HOUR, NOW, TICK, Make, Sample


class OpenItemsContract(CatalogOfSample):
    """Which items may be open, and their columns and cards."""

    def test_open_items_are_ordered_by_id(self, make: Make[CatalogQueries], sample: Sample) -> None:
        catalog = make(items=sample.everything[1::2] + sample.everything[::2])

        catalogue = open_items(catalog, NOW)

        assert catalogue.items.ids.kind == sample.ids.item
        assert ids_of(catalogue) == sample.items

    def test_items_that_were_listed_start_or_end_in_a_span(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        moments = [NOW, NOW + HOUR, NOW + HOUR + TICK, NOW + 2 * DAY]
        items = [
            Item(item_id=sample.items[4 * place + number], **{name: moment})  # type: ignore[arg-type]  # a moment
            for place, name in enumerate(("listed_at", "starts_at", "ends_at"))
            for number, moment in enumerate(moments)
        ]
        catalog = make(items=[*items, sample.item(12)])

        def turned(*spans: tuple[datetime, datetime]) -> list[int]:
            return sorted(sample.items.index(ItemId(one)) for one in catalog.turned(spans))

        day = (NOW + DAY, NOW + 3 * DAY)
        assert turned((NOW, NOW + HOUR)) == [1, 5, 9]
        assert turned((NOW, NOW + HOUR), day) == [1, 3, 5, 7, 9, 11]
        assert turned((NOW, NOW)) == []
        assert turned() == []

    def test_without_items_the_catalogue_is_empty(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        catalogue = make().may_be_open(NOW)

        assert (len(catalogue), catalogue.items.ids.kind) == (0, sample.ids.item)

    @pytest.mark.parametrize("status", list(AuctionStatus))
    def test_the_status_is_that_of_the_host(
        self, make: Make[CatalogQueries], sample: Sample, status: AuctionStatus
    ) -> None:
        started = attrs.evolve(
            sample.item(0), status=status, starts_at=NOW - DAY, ends_at=NOW + DAY
        )
        catalog = make(items=[started])

        assert card_of(catalog, sample.items[0]).status is status
        assert len(open_items(catalog, NOW)) == (status in OPEN_STATUSES)

    @pytest.mark.parametrize(
        ("starts_at", "ends_at", "status"),
        [
            (None, None, AuctionStatus.ACTIVE),
            (NOW - TICK, None, AuctionStatus.ACTIVE),
            (NOW, None, AuctionStatus.ACTIVE),
            (NOW + TICK, None, AuctionStatus.SCHEDULED),
            (None, NOW + TICK, AuctionStatus.ACTIVE),
            (None, NOW, AuctionStatus.ENDED),
            (None, NOW - TICK, AuctionStatus.ENDED),
            (NOW + TICK, NOW + DAY, AuctionStatus.SCHEDULED),
            (NOW + DAY, NOW - DAY, AuctionStatus.ENDED),
            (NOW.replace(year=1), NOW.replace(year=9999), AuctionStatus.ACTIVE),
        ],
    )
    def test_without_a_status_of_the_host_the_times_determine_it(
        self,
        make: Make[CatalogQueries],
        sample: Sample,
        starts_at: datetime | None,
        ends_at: datetime | None,
        status: AuctionStatus,
    ) -> None:
        item = attrs.evolve(sample.item(0), starts_at=starts_at, ends_at=ends_at)
        catalog = make(items=[item])

        found = open_items(catalog, NOW)

        assert card_of(catalog, sample.items[0]).status is status
        assert found.status.tolist() == ([status.code] if status in OPEN_STATUSES else [])

    def test_an_item_is_open_until_its_end_whatever_its_status(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        ends = [NOW - DAY, NOW, NOW + TICK, NOW.astimezone(ELSEWHERE) + DAY, None]
        catalog = make(
            items=[
                attrs.evolve(sample.item(place), status=AuctionStatus.ACTIVE, ends_at=ends_at)
                for place, ends_at in enumerate(ends)
            ]
        )

        assert ids_of(open_items(catalog, NOW)) == sample.items[2:5]
        assert ids_of(open_items(catalog, NOW - TICK)) == sample.items[1:5]
        assert ids_of(open_items(catalog, NOW.astimezone(ELSEWHERE))) == sample.items[2:5]

    def test_an_unpublished_item_is_not_open(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        catalog = make(
            items=[attrs.evolve(sample.item(0), is_published=False), sample.item(1)],
        )

        assert ids_of(open_items(catalog, NOW)) == sample.items[1:2]
        assert card_of(catalog, sample.items[0]).is_published is False
        assert card_of(catalog, sample.items[1]).is_published is True

    def test_a_row_has_all_known_values(self, make: Make[CatalogQueries], sample: Sample) -> None:
        known = Item(
            item_id=sample.items[1],
            category_id=sample.categories[2],
            seller_id=sample.users[3],
            starting_price=Decimal("19.9001"),
            ends_at=NOW + DAY + TICK,
            listed_at=NOW - DAY - TICK,
        )
        catalogue = open_items(make(items=[known, sample.item(0)]), NOW)

        assert category_of(catalogue, 0) is None
        assert category_of(catalogue, 1) == sample.categories[2]
        assert seller_of(catalogue, 0) is None
        assert seller_of(catalogue, 1) == sample.users[3]
        assert catalogue.prices.tolist() == [UNKNOWN_PRICE, 199_001]
        assert catalogue.ends_at.tolist() == [NEVER, to_micros(NOW + DAY + TICK)]
        assert catalogue.listed_at.tolist() == [UNKNOWN_MOMENT, to_micros(NOW - DAY - TICK)]
        assert catalogue.is_published.tolist() == [True, True]
        assert catalogue.bids.tolist() == catalogue.watchers.tolist() == [0, 0]

    def test_a_seller_need_not_be_a_user(self, make: Make[CatalogQueries], sample: Sample) -> None:
        item = attrs.evolve(sample.item(0), seller_id=sample.unknown_user)
        catalog = make(users=[sample.user(0)], items=[item])

        assert seller_of(open_items(catalog, NOW), 0) == sample.unknown_user
        assert card_of(catalog, sample.items[0]).seller_id == sample.unknown_user

    def test_categories_and_sellers_of_all_ids_are_distinguished(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        rows = [
            (
                sample.items[place],
                sample.categories[-1 - place % len(sample.categories)],
                sample.users[-1 - place % len(sample.users)],
            )
            for place in range(len(sample.items))
        ]
        catalogue = open_items(
            make(
                items=[
                    Item(item_id=item, category_id=category, seller_id=seller)
                    for item, category, seller in rows
                ]
            ),
            NOW,
        )

        for row, (item_id, category_id, seller_id) in enumerate(rows):
            assert catalogue.items.ids[row] == item_id
            assert category_of(catalogue, row) == category_id
            assert seller_of(catalogue, row) == seller_id
        assert len(catalogue) == len(rows)

    @pytest.mark.parametrize("counting", list(BidCounting))
    def test_open_cards_equal_the_cards_of_the_open_items(
        self, make: Make[CatalogQueries], sample: Sample, counting: BidCounting
    ) -> None:
        known = {
            "category_id": sample.categories[2],
            "seller_id": sample.users[3],
            "title": "a lamp",
            "starting_price": Decimal("19.9001"),
            "ends_at": NOW.astimezone(ELSEWHERE) + TICK,
            "listed_at": NOW - DAY - TICK,
        }
        changes: list[dict[str, Any]] = [
            {},
            known,
            known | {"category_id": None},
            known | {"seller_id": None, "title": ""},
            known | {"starting_price": None},
            known | {"ends_at": None, "status": AuctionStatus.SCHEDULED},
            known | {"listed_at": None, "status": AuctionStatus.ACTIVE},
            known | {"starts_at": NOW - TICK},
            known | {"starts_at": NOW + TICK, "category_id": sample.categories[0]},
            known | {"is_published": False},
            known | {"ends_at": NOW},
            known | {"status": AuctionStatus.PAUSED},
        ]
        items = [
            attrs.evolve(item, **change)
            for item, change in zip(sample.everything, changes, strict=False)
        ]
        catalog = make(
            users=sample.everyone,
            items=reversed(items),
            bids=[
                sample.bid(0, 0, NOW, "12.5"),
                sample.bid(0, 0, NOW + DAY, "13"),
                sample.bid(1, 1),
            ],
            watches=[sample.watch(0, 0), sample.watch(0, 2), sample.watch(1, 2)],
        )

        found = catalog.open_cards(NOW, counting=counting)

        assert_equal(found.catalogue, catalog.may_be_open(NOW, counting=counting))
        is_open_row = open_rows(found.catalogue, NOW)
        cards = found.where(is_open_row).cards(PriceScale())
        assert list(cards) == sample.items[:9]
        assert cards == catalog.cards(sample.items[:9], at=NOW)
        assert all(is_open(card, NOW) for card in cards.values())

    def test_titles_of_open_items_are_unchanged(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        titles = [
            "",
            " a lamp ",
            "Stehlampe „Bauhaus“, 60% off; '50s",
            "tab\tline\nreturn\r\n\x0b\x0c\x08\x1b\x7f",
            "\\N",
            "\\.",
            "C:\\new\\table\\\\",
            "\x85\u2028\u2029\xa0\ufeff",
            "a\u0301 ä \uff5e",
            "ランプ 🛋👩\u200d👩\u200d👧 \U0010ffff",
            "{}[],\"'`$%:name",
            "a" * 15 + "é",
            "long " * 400,
        ]
        catalog = make(
            items=[
                attrs.evolve(item, title=title)
                for item, title in zip(sample.everything, titles, strict=False)
            ]
        )

        found = catalog.open_cards(NOW)

        assert found.titles.tolist() == titles
        cards = catalog.cards(sample.items[: len(titles)], at=NOW)
        assert found.cards(PriceScale()) == cards

    def test_without_items_there_are_no_open_cards(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        found = make().open_cards(NOW)

        assert found.cards(PriceScale()) == {}
        assert found.catalogue.items.ids.kind == sample.ids.item
