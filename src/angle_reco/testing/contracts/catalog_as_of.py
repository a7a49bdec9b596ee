"""The contract suite of `CatalogQueries`: past moments."""

from datetime import datetime
from decimal import Decimal

import attrs
import pytest

from angle_reco.domain.auction_status import OPEN_STATUSES, AuctionStatus
from angle_reco.domain.availability import open_rows
from angle_reco.domain.scoring.popularity import BidCounting
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.testing.contracts.catalog_base import (
    CatalogOfSample,
    ids_of,
    open_items,
    prices_of,
    sorted_like,
)
from angle_reco.testing.contracts.samples import DAY, NOW, TICK, Make, Sample


class AsOfContract(CatalogOfSample):
    """What is known of items as of a moment."""

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
