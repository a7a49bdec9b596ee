"""The contract suite of `CatalogQueries`."""

from decimal import Decimal

import attrs

from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.availability import is_open
from angle_reco.domain.columns import NONE
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.items import Item
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.testing.contracts.catalog_as_of import AsOfContract
from angle_reco.testing.contracts.catalog_base import card_of, sorted_like
from angle_reco.testing.contracts.catalog_open import OpenItemsContract
from angle_reco.testing.contracts.catalog_prices import PricesContract
from angle_reco.testing.contracts.samples import DAY, ELSEWHERE, HOUR, NOW, TICK, Make, Sample


class CatalogQueriesContract(OpenItemsContract, PricesContract, AsOfContract):
    """The promises of `CatalogQueries`; a subclass overrides the fixture *make*.

    An adapter that stores money as binary floats overrides *largest_price* with the
    largest price that these represent to the fourth decimal place.
    """

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
