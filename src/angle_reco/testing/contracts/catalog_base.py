"""What the contract suites of `CatalogQueries` share: fixtures, samples and helpers."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import attrs
import pytest

from angle_reco.domain.arrays import Int64s
from angle_reco.domain.availability import open_rows
from angle_reco.domain.catalogue import Catalogue
from angle_reco.domain.columns import NONE, IdIndex
from angle_reco.domain.ids import ItemId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.prices import UNKNOWN_PRICE
from angle_reco.domain.scoring.popularity import BidCounting
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.testing.contracts.samples import NOW, EveryIdKind, Make, Sample

_UNITS = Decimal(10_000)


class CatalogOfSample(EveryIdKind):
    """The fixtures of the suites; a subclass overrides the first."""

    largest_price = Decimal("99999999999999.9999")

    @pytest.fixture
    def make(self, sample: Sample) -> Make[CatalogQueries]:
        """Return the factory of the port under test, with ids of `sample.ids`.

        Bids determine prices as in the reference schema, at its price scale.
        """
        pytest.fail("override this fixture")


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
    return money_of(catalogue.prices)


def money_of(prices: Int64s) -> list[Decimal | None]:
    """Return units as amounts, None for an unknown price."""
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
