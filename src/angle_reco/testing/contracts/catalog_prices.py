"""The contract suite of `CatalogQueries`: prices and counts."""

from decimal import Decimal

import attrs
import pytest

from angle_reco.domain.scoring.popularity import BidCounting
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.testing.contracts.catalog_base import (
    CatalogOfSample,
    money_of,
    open_items,
    prices_of,
)
from angle_reco.testing.contracts.samples import DAY, NOW, TICK, Make, Sample


class PricesContract(CatalogOfSample):
    """What an item costs, and how many bids and watchers it has."""

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
        assert money_of(open_items(catalog, NOW).starting_prices) == starting
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
