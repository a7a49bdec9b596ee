"""The contract suite of `CatalogQueries`."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest

from angle_reco.domain.arrays import Int64s
from angle_reco.domain.auction_status import OPEN_STATUSES, AuctionStatus
from angle_reco.domain.availability import is_open, open_rows
from angle_reco.domain.catalogue import Catalogue
from angle_reco.domain.columns import NONE, IdIndex
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.items import Item, ItemCard
from angle_reco.domain.moments import NEVER, UNKNOWN_MOMENT, to_micros
from angle_reco.domain.prices import UNKNOWN_PRICE, PriceScale
from angle_reco.domain.scoring.popularity import BidCounting
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.testing.contracts.samples import (
    DAY,
    ELSEWHERE,
    HOUR,
    NOW,
    TICK,
    EveryIdKind,
    Make,
    Sample,
)

_UNITS = Decimal(10_000)


class CatalogQueriesContract(EveryIdKind):
    """The promises of `CatalogQueries`; a subclass overrides the fixture *make*.

    An adapter that stores money as binary floats overrides *largest_price* with the
    largest price that these represent to the fourth decimal place.
    """

    largest_price = Decimal("99999999999999.9999")

    @pytest.fixture
    def make(self, sample: Sample) -> Make[CatalogQueries]:
        """Return the factory of the port under test, with ids of `sample.ids`.

        Bids determine prices as in the reference schema, at its price scale.
        """
        pytest.fail("override this fixture")

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

    def test_the_price_is_the_highest_bid_or_else_the_starting_price(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        starting = [Decimal(10), Decimal(10), None, None, Decimal(10), Decimal(0), Decimal(10)]
        bids = [
            sample.bid(0, 1, NOW, "11"),
            sample.bid(1, 1, NOW + TICK, "12.5"),
            sample.bid(2, 1, NOW + DAY, "12"),
            sample.bid(0, 2, NOW, "3.0001"),
            sample.bid(0, 4),  # of unknown amount
            sample.bid(0, 6, NOW, "1"),
            sample.bid(1, 6),
        ]
        catalog = make(
            users=sample.everyone,
            items=[
                attrs.evolve(sample.item(place), starting_price=price, current_price=Decimal(999))
                for place, price in enumerate(starting)
            ],
            bids=bids,
        )

        prices = [Decimal(10), Decimal("12.5"), Decimal("3.0001"), None, Decimal(10), 0, 1]
        assert prices_of(open_items(catalog, NOW)) == prices
        cards = catalog.cards(sample.items[:7], at=NOW)
        assert [cards[item_id].price for item_id in sample.items[:7]] == prices
        assert _money(open_items(catalog, NOW).starting_prices) == starting
        assert [cards[item_id].starting_price for item_id in sample.items[:7]] == starting

    def test_the_largest_price_is_exact(self, make: Make[CatalogQueries], sample: Sample) -> None:
        largest = self.largest_price
        catalog = make(
            users=[sample.user(0)],
            items=[attrs.evolve(sample.item(0), starting_price=largest), sample.item(1)],
            bids=[sample.bid(0, 1, NOW, largest)],
        )

        cards = catalog.cards(sample.items[:2], at=NOW)

        assert [cards[one].price for one in sample.items[:2]] == [largest, largest]
        assert prices_of(open_items(catalog, NOW)) == [largest, largest]

    def test_bids_and_watchers_are_counted(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        catalog = make(
            users=sample.everyone,
            items=sample.everything,
            bids=[
                sample.bid(0, 0),
                sample.bid(0, 0),
                sample.bid(0, 0, NOW + DAY),
                sample.bid(1, 0),
                sample.bid(0, 1),
            ],
            watches=[sample.watch(user, 2) for user in range(5)] + [sample.watch(0, 0)],
        )

        counted = open_items(catalog, NOW)

        assert counted.bids.tolist()[:4] == [4, 1, 0, 0]
        assert counted.watchers.tolist()[:4] == [1, 0, 5, 0]

    def test_bidders_are_counted_on_request(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        catalog = make(
            users=sample.everyone,
            items=sample.everything,
            bids=[
                *[sample.bid(0, 0)] * 2,
                sample.bid(0, 0, NOW + DAY, "5"),
                sample.bid(1, 0),
                *(sample.bid(user, 1) for user in range(len(sample.users))),
            ],
            watches=[sample.watch(0, 0), sample.watch(1, 0)],
        )

        counted = open_items(catalog, NOW, counting=BidCounting.BIDDERS)

        assert counted.bids.tolist()[:3] == [2, len(sample.users), 0]
        assert counted.watchers.tolist()[:3] == [2, 0, 0]
        assert prices_of(counted)[0] == 5

    @pytest.mark.parametrize(
        ("counting", "bids"), [(BidCounting.BIDS, [3, 0, 1]), (BidCounting.BIDDERS, [2, 0, 1])]
    )
    def test_sellers_bids_on_their_own_items_set_the_price_and_are_not_counted(
        self, make: Make[CatalogQueries], sample: Sample, counting: BidCounting, bids: list[int]
    ) -> None:
        catalog = make(
            users=sample.everyone,
            items=[
                attrs.evolve(sample.item(0), seller_id=sample.users[0]),
                attrs.evolve(sample.item(1), seller_id=sample.users[0], starting_price=Decimal(1)),
                sample.item(2),
            ],
            bids=[
                *(sample.bid(0, 0, NOW + TICK * tick, "9") for tick in range(5)),
                *[sample.bid(1, 0, NOW, "3")] * 2,
                sample.bid(2, 0, NOW, "4"),
                sample.bid(0, 1, NOW, "7"),
                sample.bid(0, 2, NOW, "8"),
            ],
            watches=[sample.watch(0, 0), sample.watch(0, 1)],
        )

        now = open_items(catalog, NOW, counting=counting)
        then = open_items(catalog, NOW, until=NOW, counting=counting)
        shown = catalog.open_cards(NOW, counting=counting)

        for counted in (now, then, shown.catalogue):
            assert counted.bids.tolist() == bids
            assert counted.watchers.tolist() == [1, 1, 0]
            assert prices_of(counted) == [9, 7, 8]
        cards = catalog.cards(sample.items[:3], at=NOW)
        assert [cards[one].price for one in sample.items[:3]] == [9, 7, 8]
        mine = catalog.cards(sample.items[:2], at=NOW, viewer=sample.users[0])
        assert [card.engaged for card in mine.values()] == [True, True]

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

    def test_an_item_listed_after_until_does_not_exist_yet(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        listed = [NOW - TICK, NOW, NOW + TICK, None]
        catalog = make(
            items=[
                attrs.evolve(sample.item(place), listed_at=at) for place, at in enumerate(listed)
            ]
        )
        then = [sample.items[0], sample.items[1], sample.items[3]]

        assert ids_of(open_items(catalog, NOW, until=NOW)) == then
        assert sorted_like(sample, catalog.cards(sample.items, at=NOW, until=NOW)) == then
        assert ids_of(open_items(catalog, NOW)) == sample.items[:4]
        assert sorted_like(sample, catalog.cards(sample.items, at=NOW)) == sample.items[:4]

    def test_bids_and_watches_until_a_moment_determine_prices_and_counts(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        catalog = make(
            users=sample.everyone,
            items=[
                attrs.evolve(sample.item(place), starting_price=Decimal(1)) for place in range(3)
            ],
            bids=[
                sample.bid(0, 0, NOW - DAY, "2"),
                sample.bid(1, 0, NOW, "3"),
                sample.bid(1, 0, NOW + TICK, "4"),
                sample.bid(2, 0, NOW + DAY, "5"),
                sample.bid(0, 1, NOW + TICK, "9"),
            ],
            watches=[
                sample.watch(0, 0, NOW),
                sample.watch(1, 0, NOW + TICK),
                sample.watch(0, 1, NOW + TICK),
            ],
        )

        then = open_items(catalog, NOW, until=NOW)
        later = open_items(catalog, NOW)
        bidders = open_items(catalog, NOW, until=NOW + TICK, counting=BidCounting.BIDDERS)

        assert prices_of(then) == [3, 1, 1]
        assert prices_of(later) == [5, 9, 1]
        assert (then.bids.tolist(), later.bids.tolist()) == ([2, 0, 0], [4, 1, 0])
        assert (then.watchers.tolist(), later.watchers.tolist()) == ([1, 0, 0], [2, 1, 0])
        assert bidders.bids.tolist() == [2, 1, 0]
        cards = catalog.cards(sample.items[:3], at=NOW, until=NOW)
        assert [cards[one].price for one in sample.items[:3]] == [3, 1, 1]

    def test_status_is_as_of_at_and_existence_as_of_until(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        item = attrs.evolve(sample.item(0), listed_at=NOW, starts_at=NOW, ends_at=NOW + DAY)
        catalog = make(items=[item])

        statuses = [
            catalog.cards(sample.items[:1], at=at, until=until)[sample.items[0]].status
            for at, until in [(NOW - TICK, None), (NOW, NOW), (NOW + DAY, NOW)]
        ]

        assert statuses == [AuctionStatus.SCHEDULED, AuctionStatus.ACTIVE, AuctionStatus.ENDED]
        assert len(catalog.cards(sample.items[:1], at=NOW, until=NOW - TICK)) == 0

    @pytest.mark.parametrize(
        ("ends_at", "later"),
        [
            (NOW + DAY, {None, *OPEN_STATUSES, AuctionStatus.ENDED, AuctionStatus.SOLD}),
            (None, {None, *OPEN_STATUSES}),
        ],
        ids=["with an end", "without one"],
    )
    def test_as_of_a_moment_a_status_that_may_be_from_later_follows_from_the_times(
        self,
        make: Make[CatalogQueries],
        sample: Sample,
        ends_at: datetime | None,
        later: set[AuctionStatus | None],
    ) -> None:
        stated = [None, *AuctionStatus]
        items = [
            attrs.evolve(
                sample.item(place),
                status=status,
                starts_at=NOW + TICK * (place % 2),
                ends_at=ends_at,
            )
            for place, status in enumerate(stated)
        ]
        catalog = make(items=items)
        listed = catalog.may_be_open(NOW, until=NOW)
        found = listed.where(open_rows(listed, NOW))
        cards = catalog.cards([item.item_id for item in items], at=NOW, until=NOW)

        expected = {
            item.item_id: AuctionStatus.SCHEDULED
            if item.status is AuctionStatus.SCHEDULED or place % 2
            else AuctionStatus.ACTIVE
            for place, item in enumerate(items)
            if item.status in later
        }
        codes = dict(zip(ids_of(found), found.status.tolist(), strict=True))
        assert codes == {one: status.code for one, status in expected.items()}
        assert {one: card.status for one, card in cards.items() if card.is_listed} == expected
        # What is not open then is as it is stated.
        assert {cards[item.item_id].status for item in items if item.status not in later} == {
            status for status in stated if status not in later
        }

    def test_a_card_has_all_known_values(self, make: Make[CatalogQueries], sample: Sample) -> None:
        title = "Stehlampe „Bauhaus“, 60% off;\n'50s 🛋 \\ ?"
        item = Item(
            item_id=sample.items[4],
            category_id=sample.categories[5],
            seller_id=sample.users[6],
            title=title,
            starting_price=Decimal("0.01"),
            starts_at=NOW - TICK,
            ends_at=NOW.astimezone(ELSEWHERE) + DAY,
            listed_at=NOW - 2 * DAY,
        )

        card = card_of(make(items=[item]), sample.items[4])

        assert (card.item_id, card.category_id, card.seller_id) == (
            sample.items[4],
            sample.categories[5],
            sample.users[6],
        )
        assert (card.title, card.price) == (title, Decimal("0.01"))
        assert (card.ends_at, card.listed_at) == (NOW + DAY, NOW - 2 * DAY)
        assert (card.status, card.is_published, card.engaged) == (AuctionStatus.ACTIVE, True, False)

    def test_unknown_values_of_a_card_are_none_or_empty(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        card = card_of(make(items=[sample.item(0)]), sample.items[0])

        assert (card.category_id, card.seller_id, card.price) == (None, None, None)
        assert (card.ends_at, card.listed_at, card.title) == (None, None, "")

    def test_every_item_that_exists_has_a_card_open_or_not(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        catalog = make(
            items=[
                sample.item(0),
                attrs.evolve(sample.item(1), ends_at=NOW - DAY),
                attrs.evolve(sample.item(2), is_published=False),
                attrs.evolve(sample.item(3), status=AuctionStatus.CANCELLED),
            ]
        )

        cards = catalog.cards(
            [*sample.items[:4], sample.items[0], sample.items[5], sample.unknown_item], at=NOW
        )

        assert sorted_like(sample, cards) == sample.items[:4]
        assert [is_open(cards[one], NOW) for one in sample.items[:4]] == [True, *[False] * 3]

    def test_no_items_give_no_cards(self, make: Make[CatalogQueries], sample: Sample) -> None:
        assert dict(make(items=sample.everything).cards([], at=NOW)) == {}

    def test_cards_of_all_ids_are_distinguished(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        catalog = make(
            items=[
                Item(item_id=one, title=f"lot {place}") for place, one in enumerate(sample.items)
            ]
        )

        assert {one: card.title for one, card in catalog.cards(sample.items, at=NOW).items()} == {
            one: f"lot {place}" for place, one in enumerate(sample.items)
        }
        for place, one in enumerate(sample.items):
            assert card_of(catalog, one).title == f"lot {place}"

    def test_items_that_the_viewer_bid_on_or_watches_are_engaged(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        catalog = make(
            users=sample.everyone,
            items=sample.everything,
            bids=[sample.bid(0, 0), sample.bid(0, 2), sample.bid(1, 3)],
            watches=[sample.watch(0, 1), sample.watch(0, 2), sample.watch(1, 4)],
        )

        def engaged(viewer: UserId | None) -> list[ItemId]:
            cards = catalog.cards(sample.items, at=NOW, viewer=viewer)
            return [one for one in sample.items if cards[one].engaged]

        assert engaged(sample.users[0]) == sample.items[:3]
        assert engaged(sample.users[1]) == sample.items[3:5]
        assert engaged(sample.users[2]) == engaged(sample.unknown_user) == engaged(None) == []

    def test_activity_after_until_is_no_engagement(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        catalog = make(
            users=[sample.user(0)],
            items=sample.everything,
            bids=[
                sample.bid(0, 0, NOW),
                sample.bid(0, 1, NOW + TICK),
                sample.bid(0, 2, NOW + HOUR),
                sample.bid(0, 2, NOW - HOUR),
            ],
            watches=[sample.watch(0, 3, NOW), sample.watch(0, 4, NOW + TICK)],
        )

        cards = catalog.cards(sample.items, at=NOW, until=NOW, viewer=sample.users[0])

        assert [one for one in sample.items if cards[one].engaged] == [
            sample.items[0],
            sample.items[2],
            sample.items[3],
        ]

    def test_categories_are_in_the_requested_order(
        self, make: Make[CatalogQueries], sample: Sample
    ) -> None:
        items = [
            attrs.evolve(
                sample.item(place), category_id=sample.categories[place % len(sample.categories)]
            )
            for place in range(1, len(sample.items))
        ]
        catalog = make(items=[sample.item(0), *items])
        asked = [
            *reversed(sample.items),
            sample.unknown_item,
            sample.items[3],
            sample.items[3],
        ]

        found = catalog.categories(sample.item_column(asked))

        known = {item.item_id: item.category_id for item in items}
        assert found.categories.ids.kind == sample.ids.category
        assert [
            None if code == NONE else found.categories.ids[code] for code in found.codes.tolist()
        ] == [known.get(one) for one in asked]

    def test_no_items_give_no_categories(self, make: Make[CatalogQueries], sample: Sample) -> None:
        catalog = make(items=[attrs.evolve(sample.item(0), category_id=sample.categories[0])])

        assert catalog.categories(sample.item_column([])).codes.tolist() == []

    def test_without_items_the_total_is_zero(self, make: Make[CatalogQueries]) -> None:
        assert make().total() == 0

    def test_all_items_are_counted(self, make: Make[CatalogQueries], sample: Sample) -> None:
        draft = attrs.evolve(sample.item(0), is_published=False, listed_at=NOW + DAY)

        assert make(items=[draft, *sample.everything[1:]]).total() == len(sample.items)


def open_items(
    catalog: CatalogQueries,
    at: datetime,
    *,
    until: datetime | None = None,
    counting: BidCounting = BidCounting.BIDS,
) -> Catalogue:
    """Return the items of `may_be_open` that are open by the domain's rule."""
    catalogue = catalog.may_be_open(at, until=until, counting=counting)
    return catalogue.where(open_rows(catalogue, at))


def assert_equal(found: Catalogue, expected: Catalogue) -> None:
    """Assert that two catalogues are equal."""
    for name, one in attrs.asdict(expected, recurse=False).items():
        other = getattr(found, name)
        if isinstance(one, IdIndex):
            assert other == one, name
        else:
            assert other.dtype == one.dtype, name
            assert other.tolist() == one.tolist(), name


def ids_of(catalogue: Catalogue) -> list[object]:
    """Return the item ids of a catalogue, in its order."""
    return list(catalogue.items.ids)


def prices_of(catalogue: Catalogue) -> list[Decimal | None]:
    """Return the price of each row as money."""
    return _money(catalogue.prices)


def _money(prices: Int64s) -> list[Decimal | None]:
    return [None if one == UNKNOWN_PRICE else one / _UNITS for one in prices.tolist()]


def category_of(catalogue: Catalogue, row: int) -> object:
    """Return the category id of a row."""
    code = int(catalogue.category[row])
    return None if code == NONE else catalogue.categories.ids[code]


def seller_of(catalogue: Catalogue, row: int) -> object:
    """Return the seller id of a row."""
    code = int(catalogue.seller[row])
    return None if code == NONE else catalogue.sellers.ids[code]


def sorted_like(sample: Sample, cards: Mapping[ItemId, ItemCard]) -> list[ItemId]:
    """Return the item ids of *cards*, in the order of the sample; unknown ids last."""
    known = [one for one in sample.items if one in cards]
    return [*known, *(cards.keys() - set(known))]


def card_of(catalog: CatalogQueries, item_id: ItemId) -> ItemCard:
    """Return the card of one item as of NOW."""
    cards = catalog.cards([item_id], at=NOW)
    assert list(cards) == [item_id]
    return cards[item_id]
