"""Items in bulk, as columns: to rank them, and to show them."""

import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Self

import attrs
import numpy as np
import numpy.typing as npt

from angle_reco.domain.arrays import Bools, Int8s, Int32s, Int64s, check_lengths, frozen
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.footprints import footprint_of_array, footprint_of_dict, footprint_of_objects
from angle_reco.domain.ids import IdKinds, ItemId, interned
from angle_reco.domain.items import ItemCard
from angle_reco.domain.moments import (
    EPOCH,
    NEVER,
    UNKNOWN_MOMENT,
    is_representable,
    micros_or,
    moments_of,
)
from angle_reco.domain.prices import UNKNOWN_PRICE, PriceScale


@attrs.frozen(kw_only=True)
class Catalogue:
    """Items as columns, one per row, in the order of their ids: the row is the item's code.

    *category* and *seller* are codes in their index, NONE (-1) where there is none. Prices
    are in units or UNKNOWN_PRICE (-1): *prices* the current ones, *starting_prices* those
    before any bid. Ends are in microseconds or NEVER (2**63 - 1), listing moments in
    microseconds or UNKNOWN_MOMENT (-2**63). *bids* counts bids, or distinct bidders if that
    was requested; *watchers* counts users.
    """

    items: IdIndex
    categories: IdIndex
    category: Int32s = attrs.field(converter=frozen)
    sellers: IdIndex
    seller: Int32s = attrs.field(converter=frozen)
    prices: Int64s = attrs.field(converter=frozen)
    starting_prices: Int64s = attrs.field(converter=frozen)
    is_published: Bools = attrs.field(converter=frozen)
    status: Int8s = attrs.field(converter=frozen)
    ends_at: Int64s = attrs.field(converter=frozen)
    listed_at: Int64s = attrs.field(converter=frozen)
    bids: Int64s = attrs.field(converter=frozen)
    watchers: Int64s = attrs.field(converter=frozen)

    def __attrs_post_init__(self) -> None:
        columns = {name: getattr(self, name) for name in _ROW_COLUMNS}
        check_lengths(self, items=self.items, **columns)

    @classmethod
    def of_rows(
        cls,
        kinds: IdKinds,
        *,
        item_ids: Sequence[object],
        category_ids: Sequence[object | None],
        seller_ids: Sequence[object | None],
        prices: Sequence[int],
        starting_prices: Sequence[int],
        is_published: Sequence[bool],
        status: Sequence[int],
        ends_at: Sequence[int],
        listed_at: Sequence[int],
        bids: Sequence[int],
        watchers: Sequence[int],
    ) -> Self:
        """Return the catalogue of distinct items in any order, given column by column."""
        unordered = IdColumn.of(kinds.item, item_ids)
        items = IdIndex.of(kinds.item, unordered)
        order = np.argsort(items.codes(unordered))
        categories, category = IdIndex.of_nullable(kinds.category, category_ids)
        sellers, seller = IdIndex.of_nullable(kinds.user, seller_ids)
        return cls(
            items=items,
            categories=categories,
            category=category[order],
            sellers=sellers,
            seller=seller[order],
            prices=np.array(prices, np.int64)[order],
            starting_prices=np.array(starting_prices, np.int64)[order],
            is_published=np.array(is_published, np.bool_)[order],
            status=np.array(status, np.int8)[order],
            ends_at=np.array(ends_at, np.int64)[order],
            listed_at=np.array(listed_at, np.int64)[order],
            bids=np.array(bids, np.int64)[order],
            watchers=np.array(watchers, np.int64)[order],
        )

    @classmethod
    def of_cards(cls, kinds: IdKinds, cards: Sequence[ItemCard], prices: PriceScale) -> Self:
        """Return cards, in any order, as a catalogue; counts that they lack are 0."""
        return cls.of_rows(
            kinds,
            item_ids=[one.item_id for one in cards],
            category_ids=[one.category_id for one in cards],
            seller_ids=[one.seller_id for one in cards],
            prices=[prices.units_of(one.price) for one in cards],
            starting_prices=[prices.units_of(one.starting_price) for one in cards],
            is_published=[one.is_published for one in cards],
            status=[one.status.code for one in cards],
            ends_at=[micros_or(one.ends_at, NEVER) for one in cards],
            listed_at=[micros_or(one.listed_at, UNKNOWN_MOMENT) for one in cards],
            bids=[one.bids or 0 for one in cards],
            watchers=[one.watchers or 0 for one in cards],
        )

    def __len__(self) -> int:
        return len(self.items)

    def where(self, mask: Bools) -> Self:
        """Return the rows in *mask* as a catalogue."""
        return attrs.evolve(
            self,
            items=IdIndex(self.items.ids.take(mask)),
            **{name: getattr(self, name)[mask] for name in _ROW_COLUMNS},
        )

    @property
    def distinct_prices(self) -> Int64s:
        """Return the prices that occur as current or as starting prices, ascending."""
        return np.unique(np.concatenate([self.prices, self.starting_prices]))

    @property
    def footprint(self) -> int:
        """Return about how many bytes the columns take."""
        return sum(part.footprint for part in (self.items, self.categories, self.sellers)) + sum(
            footprint_of_array(getattr(self, name)) for name in _ROW_COLUMNS
        )

    def ids_at(self, rows: npt.NDArray[Any] | slice) -> IdColumn:
        """Return the ids of the items in *rows*."""
        return self.items.ids.take(rows)


_ROW_COLUMNS = [field.name for field in attrs.fields(Catalogue) if field.converter is not None]


@attrs.frozen(kw_only=True)
class OpenCards:
    """The items of a catalogue with what is needed to show them: *titles* has one per row.

    So has *public_texts*, what `ItemCard.public_text` is; it is empty without public columns.
    """

    catalogue: Catalogue
    titles: npt.NDArray[Any] = attrs.field(converter=frozen)
    public_texts: npt.NDArray[Any] = attrs.field(
        factory=lambda: np.empty(0, object), converter=frozen
    )

    def __attrs_post_init__(self) -> None:
        check_lengths(self, catalogue=self.catalogue, titles=self.titles)
        if len(self.public_texts):
            check_lengths(self, catalogue=self.catalogue, public_texts=self.public_texts)

    @classmethod
    def of_cards(cls, kinds: IdKinds, cards: Sequence[ItemCard], prices: PriceScale) -> Self:
        """Return cards, in any order, as columns; counts that they lack are 0."""
        catalogue = Catalogue.of_cards(kinds, cards, prices)
        titles = np.empty(len(cards), object)
        titles[catalogue.items.codes(IdColumn.of(kinds.item, [one.item_id for one in cards]))] = [
            one.title for one in cards
        ]
        return cls(catalogue=catalogue, titles=titles)

    def __len__(self) -> int:
        return len(self.catalogue)

    def where(self, mask: Bools) -> Self:
        """Return the rows in *mask*."""
        return attrs.evolve(
            self,
            catalogue=self.catalogue.where(mask),
            titles=self.titles[mask],
            public_texts=self.public_texts[mask] if len(self.public_texts) else self.public_texts,
        )

    def cards(self, prices: PriceScale) -> dict[ItemId, ItemCard]:
        """Return the card of each row, in their order, without a viewer.

        Equal prices are one object. Moments outside of Python's range become None.
        """
        listed = self.catalogue
        # The code NONE, -1, selects the last element.
        categories = [*listed.categories.ids, None]
        sellers = [*listed.sellers.ids, None]
        distinct = listed.distinct_prices
        amounts = [
            None if units == UNKNOWN_PRICE else prices.to_money(units)
            for units in distinct.tolist()
        ]
        return {
            item_id: ItemCard(
                item_id=item_id,
                title=title,
                category_id=categories[category],
                seller_id=sellers[seller],
                price=amounts[price],
                starting_price=amounts[starting_price],
                is_published=is_published,
                status=_STATUSES[status],
                ends_at=ends_at,
                listed_at=listed_at,
                public_text=public_text,
                bids=bids,
                watchers=watchers,
            )
            for (
                item_id,
                title,
                public_text,
                category,
                seller,
                price,
                starting_price,
                is_published,
                status,
                ends_at,
                listed_at,
                bids,
                watchers,
            ) in zip(
                # Text ids are the same objects as in cached lists.
                interned(listed.items.ids),
                self.titles.tolist(),
                self.public_texts.tolist() or [""] * len(self),
                listed.category.tolist(),
                listed.seller.tolist(),
                np.searchsorted(distinct, listed.prices).tolist(),
                np.searchsorted(distinct, listed.starting_prices).tolist(),
                listed.is_published.tolist(),
                listed.status.tolist(),
                moments_of(listed.ends_at),
                moments_of(listed.listed_at),
                listed.bids.tolist(),
                listed.watchers.tolist(),
                strict=True,
            )
        }

    @property
    def footprint(self) -> int:
        """Return about how many bytes the columns take."""
        texts = footprint_of_array(self.titles) + footprint_of_array(self.public_texts)
        return self.catalogue.footprint + texts

    @property
    def footprint_of_cards(self) -> int:
        """Return about how many bytes the result of `cards` takes, beside the columns."""
        listed = self.catalogue
        known = sum(
            int(np.count_nonzero(is_representable(moments)))
            for moments in (listed.ends_at, listed.listed_at)
        )
        return (
            footprint_of_dict(len(self))
            + len(self) * _FOOTPRINT_OF_CARD
            + footprint_of_objects(self.titles)
            + footprint_of_objects(self.public_texts)
            + sum(
                footprint_of_objects(index.ids.values)
                for index in (listed.items, listed.categories, listed.sellers)
            )
            + len(listed.distinct_prices) * sys.getsizeof(Decimal(1))
            + known * sys.getsizeof(EPOCH)
        )


_STATUSES = tuple(AuctionStatus)

# Includes the header of the garbage collector before each object.
_FOOTPRINT_OF_CARD = ItemCard.__basicsize__ + 16
