"""Items in memory."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import attrs
import numpy as np

from angle_reco.adapters.memory.marketplace import MemoryMarketplace, exists_by
from angle_reco.domain.activity import is_own_bid
from angle_reco.domain.auction_status import AuctionStatus, may_be_later, status_at
from angle_reco.domain.catalogue import Catalogue, OpenCards
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.items import Item, ItemCard
from angle_reco.domain.moments import NEVER, UNKNOWN_MOMENT, micros_or, to_micros
from angle_reco.domain.scoring.interest import ItemCategories
from angle_reco.domain.scoring.popularity import BidCounting


@attrs.frozen
class MemoryCatalog:
    """`CatalogQueries` over a `MemoryMarketplace`."""

    market: MemoryMarketplace

    def may_be_open(
        self,
        at: datetime,
        *,
        until: datetime | None = None,
        counting: BidCounting = BidCounting.BIDS,
    ) -> Catalogue:
        with self.market.lock:
            items = [
                item for item in self.market.items.values() if exists_by(item.listed_at, until)
            ]
            watchers: dict[ItemId, int] = {}
            for watch in self.market.watches.values():
                if exists_by(watch.watched_at, until):
                    watchers[watch.item_id] = watchers.get(watch.item_id, 0) + 1
            cards = [
                ItemCard.of(
                    item,
                    price=self._price(item, until),
                    status=_status(item, at, until),
                    bids=self._count(item, until, counting),
                    watchers=watchers.get(item.item_id, 0),
                )
                for item in items
            ]
            return Catalogue.of_cards(self.market.ids, cards, self.market.prices)

    def open_cards(self, at: datetime, *, counting: BidCounting = BidCounting.BIDS) -> OpenCards:
        with self.market.lock:
            catalogue = self.may_be_open(at, counting=counting)
            items = [self.market.items[ItemId(one)] for one in catalogue.items.ids]
        return OpenCards(
            catalogue=catalogue,
            titles=np.array([item.title for item in items], np.dtypes.StringDType()),
            public_texts=np.array([item.public_text for item in items], object),
        )

    def cards(
        self,
        item_ids: Collection[ItemId],
        *,
        at: datetime,
        until: datetime | None = None,
        viewer: UserId | None = None,
    ) -> Mapping[ItemId, ItemCard]:
        with self.market.lock:
            found = [self.market.items.get(item_id) for item_id in item_ids]
            return {
                item.item_id: ItemCard.of(
                    item,
                    price=self._price(item, until),
                    status=_status(item, at, until),
                    engaged=viewer is not None and self._is_engaged(viewer, item, until),
                )
                for item in found
                if item is not None and exists_by(item.listed_at, until)
            }

    def categories(self, items: IdColumn) -> ItemCategories:
        with self.market.lock:
            found = [self.market.items.get(ItemId(item_id)) for item_id in items]
        return ItemCategories.of(self.market.ids, [item and item.category_id for item in found])

    def turned(self, spans: Sequence[tuple[datetime, datetime]]) -> IdColumn:
        with self.market.lock:
            found = [
                item.item_id
                for item in self.market.items.values()
                if any(
                    after < moment <= until
                    for moment in (item.listed_at, item.starts_at, item.ends_at)
                    if moment is not None
                    for after, until in spans
                )
            ]
        return IdColumn.of(self.market.ids.item, found)

    def total(self, *, until: datetime | None = None) -> int:
        with self.market.lock:
            return sum(exists_by(item.listed_at, until) for item in self.market.items.values())

    def _price(self, item: Item, until: datetime | None) -> Decimal | None:
        amounts = [
            bid.amount
            for bid in self.market.bids.get(item.item_id, ())
            if bid.amount is not None and exists_by(bid.placed_at, until)
        ]
        return max(amounts, default=item.starting_price)

    def _count(self, item: Item, until: datetime | None, counting: BidCounting) -> int:
        bids = [
            bid
            for bid in self.market.bids.get(item.item_id, ())
            if exists_by(bid.placed_at, until) and not is_own_bid(bid, item.seller_id)
        ]
        return len({bid.user_id for bid in bids}) if counting is BidCounting.BIDDERS else len(bids)

    def _is_engaged(self, viewer: UserId, item: Item, until: datetime | None) -> bool:
        watch = self.market.watches.get((viewer, item.item_id))
        return (watch is not None and exists_by(watch.watched_at, until)) or any(
            bid.user_id == viewer and exists_by(bid.placed_at, until)
            for bid in self.market.bids.get(item.item_id, ())
        )


def _status(item: Item, at: datetime, until: datetime | None) -> AuctionStatus:
    stated = item.status
    if until is not None and may_be_later(stated, has_end=item.ends_at is not None):
        stated = None
    return stated or status_at(
        to_micros(at),
        starts_at=micros_or(item.starts_at, UNKNOWN_MOMENT),
        ends_at=micros_or(item.ends_at, NEVER),
    )
