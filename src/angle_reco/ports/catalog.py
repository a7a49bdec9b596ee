"""The host's items."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from angle_reco.domain.catalogue import Catalogue, OpenCards
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.scoring.interest import ItemCategories
from angle_reco.domain.scoring.popularity import BidCounting


class CatalogQueries(Protocol):
    """The items on offer, in bulk as columns and by id as cards.

    With *until* the result is as of that moment, inclusive: an item listed later does not
    exist yet, and prices and counts follow from the bids and watches up to then. A seller's
    bids on their own item do not count as bids; they do set the price.

    Raises:
        StorageUnavailableError: (every method) The store did not answer.
    """

    def may_be_open(
        self,
        at: datetime,
        *,
        until: datetime | None = None,
        counting: BidCounting = BidCounting.BIDS,
    ) -> Catalogue:
        """Return every item that is open at *at*; the result may include others.

        The caller applies the domain's rule of what is open (`open_rows`) to the result.
        """
        ...

    def open_cards(self, at: datetime, *, counting: BidCounting = BidCounting.BIDS) -> OpenCards:
        """Return the items of `may_be_open` with their titles, as of now.

        The cards of its open items equal those that `cards` returns without a *viewer*.
        """
        ...

    def cards(
        self,
        item_ids: Collection[ItemId],
        *,
        at: datetime,
        until: datetime | None = None,
        viewer: UserId | None = None,
    ) -> Mapping[ItemId, ItemCard]:
        """Return the cards of the items that exist, open or not, as of *at*.

        With *viewer*, `engaged` is True where that user bid on the item or watches it.
        """
        ...

    def categories(self, items: IdColumn) -> ItemCategories:
        """Return the category of each of *items*, in order; NONE for an unknown item."""
        ...

    def turned(self, spans: Sequence[tuple[datetime, datetime]]) -> IdColumn:
        """Return the items that were listed, start or end in one of *spans*, in any order.

        A span begins after its first moment and includes its last.
        """
        ...

    def total(self, *, until: datetime | None = None) -> int:
        """Return how many items there are."""
        ...
