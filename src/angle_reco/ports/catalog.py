"""The host's items."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.items import Catalogue, ItemCard, OpenCards
from angle_reco.domain.scoring.interest import ItemCategories
from angle_reco.domain.scoring.popularity import BidCounting


class CatalogQueries(Protocol):
    """What is listed, in bulk as columns and by id as cards.

    With *until* the answer is as of that moment, itself included: an item listed later
    does not exist yet, and prices and counts follow from the bids and watches until then.
    A seller's bids on their own item are not counted; the price follows from them, too.

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
        """Return every item that is open at a moment; others may come along.

        The rule of what is open is the domain's, and is applied to the answer.
        """
        ...

    def open_cards(self, at: datetime, *, counting: BidCounting = BidCounting.BIDS) -> OpenCards:
        """Return what `may_be_open` does and the titles, for answers as things are now.

        Its cards of open items are those that `cards` returns for nobody in particular.
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

        With *viewer*, `engaged` says whether that user bid on the item or watches it.
        """
        ...

    def categories(self, items: IdColumn) -> ItemCategories:
        """Return the category of each item, in their order; NONE for an unknown item."""
        ...

    def total(self, *, until: datetime | None = None) -> int:
        """Return how many items there are."""
        ...
