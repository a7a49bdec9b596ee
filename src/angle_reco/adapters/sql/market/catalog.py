"""The items of a marketplace in SQL."""

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from angle_reco.adapters.sql.core.bulk import read_at_once, read_few
from angle_reco.adapters.sql.core.copy_formats import CopyType
from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.market.host_columns import FIRST_MOMENT, LAST_MOMENT
from angle_reco.adapters.sql.market.item_queries import (
    FROM_TIMES,
    cards_query,
    categories_copy_types,
    categories_query,
    existing,
    few_categories_query,
    open_copy_types,
    open_items_query,
)
from angle_reco.adapters.sql.market.market import Market
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.arrays import Int32s, Int64s
from angle_reco.domain.auction_status import AuctionStatus, status_at
from angle_reco.domain.catalogue import Catalogue, OpenCards
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.ids import IdKind, ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.moments import NEVER, UNKNOWN_MOMENT, micros_or, to_micros
from angle_reco.domain.prices import PriceScale
from angle_reco.domain.scoring.interest import ItemCategories
from angle_reco.domain.scoring.popularity import BidCounting

_log = logging.getLogger(__name__)

_FEW = 1_000
"""The most items whose rows are read without COPY."""


@attrs.frozen
class SqlCatalog:
    """`CatalogQueries` on a marketplace in SQL."""

    database: Database
    tables: Tables
    market: Market
    prices: PriceScale

    def may_be_open(
        self,
        at: datetime,
        *,
        until: datetime | None = None,
        counting: BidCounting = BidCounting.BIDS,
    ) -> Catalogue:
        query = self._open_items(at, until, counting)
        columns = read_at_once(self.database, query, open_copy_types(self.tables.ids))
        catalogue, _ = self._catalogue(at, columns)
        return catalogue

    def open_cards(self, at: datetime, *, counting: BidCounting = BidCounting.BIDS) -> OpenCards:
        title = sa.func.coalesce(self.market.items.c.title, "", type_=sa.Text)
        texts = [title, *self.market.public_text]
        query = self._open_items(at, None, counting).add_columns(*texts)
        of_items = open_copy_types(self.tables.ids)
        copy_types = [*of_items, *[CopyType.TEXT] * len(texts)]
        columns = [
            _within_calendar(column) if copy_type is CopyType.MOMENT else column
            for copy_type, column in zip(
                copy_types, read_at_once(self.database, query, copy_types), strict=True
            )
        ]
        catalogue, order = self._catalogue(at, columns[: len(of_items)])
        titles, *public_texts = (column[order] for column in columns[len(of_items) :])
        if not public_texts:
            return OpenCards(catalogue=catalogue, titles=titles)
        return OpenCards(catalogue=catalogue, titles=titles, public_texts=public_texts[0])

    def cards(
        self,
        item_ids: Collection[ItemId],
        *,
        at: datetime,
        until: datetime | None = None,
        viewer: UserId | None = None,
    ) -> Mapping[ItemId, ItemCard]:
        query = cards_query(
            self.market,
            self.tables.ids.item,
            self.database.dialect,
            for_viewer=viewer is not None,
            as_of=until is not None,
        )
        wanted = IdColumn.of(self.tables.ids.item, item_ids)
        values = {
            "angle_reco_wanted": wanted,
            "angle_reco_viewer": viewer,
            "angle_reco_until": until,
        }
        moment = to_micros(at)
        cards, again = dict[ItemId, ItemCard](), set[ItemId]()
        for row in self.database.rows(query, values):
            card = self._card(row, moment)
            if card.item_id in cards:
                again.add(card.item_id)
            cards[card.item_id] = card
        return {one: card for one, card in cards.items() if one not in again}

    def categories(self, items: IdColumn) -> ItemCategories:
        kinds = self.tables.ids
        distinct = IdIndex.of(items.kind, items)
        copy_types = categories_copy_types(kinds)
        if len(distinct) <= _FEW:
            few = few_categories_query(self.market, kinds, self.database.dialect)
            values = {"angle_reco_wanted": distinct.ids}
            item_ids, category_ids = read_few(self.database, few, copy_types, values)
        else:
            query = categories_query(self.market, distinct.ids, kinds.item, self.database.dialect)
            item_ids, category_ids = read_at_once(self.database, query, copy_types)
        found = IdColumn(kinds.category, category_ids)
        categories = IdIndex.of(kinds.category, found)
        of_item = np.full(len(distinct), NONE, np.int32)
        places = distinct.codes(IdColumn(kinds.item, item_ids))
        # A case-insensitive database also returns ids that were not requested.
        asked = places != NONE
        of_item[places[asked]] = categories.codes(found)[asked]
        return ItemCategories(categories=categories, codes=of_item[distinct.codes(items)])

    def turned(self, spans: Sequence[tuple[datetime, datetime]]) -> IdColumn:
        items, kind = self.market.items.c, self.tables.ids.item
        moments = (items.listed_at, items.starts_at, items.ends_at)
        turns = (
            sa.and_(moment > after, moment <= until) for moment in moments for after, until in spans
        )
        query = sa.select(items.item_id).where(sa.or_(sa.false(), *turns))
        [ids] = read_at_once(self.database, query, [CopyType.of_ids(kind)])
        return IdColumn(kind, ids)

    def total(self, *, until: datetime | None = None) -> int:
        listed = self.market.items
        query = sa.select(sa.func.count()).select_from(listed).where(*existing(listed.c, until))
        return int(self.database.scalar(query))

    def _open_items(
        self, at: datetime, until: datetime | None, counting: BidCounting
    ) -> sa.Select[Any]:
        dialect = self.database.dialect
        return open_items_query(self.market, self.tables.ids, dialect, at, until, counting)

    def _card(self, row: Any, moment: int) -> ItemCard:
        (
            item_id,
            title,
            category_id,
            seller_id,
            price,
            starting_price,
            is_published,
            stated,
            starts_at,
            ends_at,
            listed_at,
            engaged,
            *public_text,
        ) = row
        if stated is None:
            status = status_at(
                moment,
                starts_at=micros_or(starts_at, UNKNOWN_MOMENT),
                ends_at=micros_or(ends_at, NEVER),
            )
        else:
            status = _STATUSES.get(stated, AuctionStatus.PAUSED)
        return ItemCard(
            item_id=item_id,
            title=title or "",
            category_id=category_id,
            seller_id=seller_id,
            price=None if price is None else self.prices.to_money(price),
            starting_price=None if starting_price is None else self.prices.to_money(starting_price),
            is_published=bool(is_published),
            status=status,
            ends_at=ends_at,
            listed_at=listed_at,
            engaged=bool(engaged),
            public_text=public_text[0] if public_text else "",
        )

    def _catalogue(
        self, at: datetime, columns: Sequence[npt.NDArray[Any]]
    ) -> tuple[Catalogue, npt.NDArray[np.intp]]:
        """Return the catalogue of the rows of `_open_items`, and the row of each of its items."""
        ids = self.tables.ids
        (
            item_ids,
            category_ids,
            has_category,
            seller_ids,
            has_seller,
            prices,
            starting_prices,
            status,
            starts_at,
            ends_at,
            listed_at,
            bids,
            watchers,
        ) = columns
        items, order = self._once(IdColumn(ids.item, item_ids))
        categories, category = _codes(ids.category, category_ids, has_category)
        sellers, seller = _codes(ids.user, seller_ids, has_seller)
        ends = np.where(ends_at == UNKNOWN_MOMENT, NEVER, ends_at)
        catalogue = Catalogue(
            items=items,
            categories=categories,
            category=category[order],
            sellers=sellers,
            seller=seller[order],
            prices=prices[order],
            starting_prices=starting_prices[order],
            is_published=np.ones(len(items), np.bool_),
            status=_statuses(status, to_micros(at), starts_at, ends)[order],
            ends_at=ends[order],
            listed_at=listed_at[order],
            bids=bids[order],
            watchers=watchers[order],
        )
        return catalogue, order

    def _once(self, item_ids: IdColumn) -> tuple[IdIndex, npt.NDArray[np.intp]]:
        """Return the items that are listed exactly once, and the row of each.

        Of an item that is listed twice, either row may be wrong.
        """
        items = IdIndex.of(item_ids.kind, item_ids)
        codes = items.codes(item_ids)
        times = np.bincount(codes, minlength=len(items))
        if len(item_ids) == len(items):
            return items, np.argsort(codes)
        rows = np.flatnonzero(times[codes] == 1)
        _log.warning("items are listed twice: items=%d", int((times > 1).sum()))
        once = IdIndex.of(item_ids.kind, item_ids.take(rows))
        return once, rows[np.argsort(once.codes(item_ids.take(rows)))]


_STATUSES = {status.value: status for status in AuctionStatus}


def _statuses(
    stated: np.ndarray, moment: int, starts_at: np.ndarray, ends_at: np.ndarray
) -> np.ndarray:
    """Return the code of each status; one that is not stated follows the rule of `status_at`."""
    scheduled, active, ended = (
        AuctionStatus.SCHEDULED.code,
        AuctionStatus.ACTIVE.code,
        AuctionStatus.ENDED.code,
    )
    by_start = np.where(starts_at > moment, scheduled, active)
    by_times = np.where(ends_at <= moment, ended, by_start)
    return np.where(stated == FROM_TIMES, by_times, stated).astype(np.int8)


def _within_calendar(moments: Int64s) -> Int64s:
    """Replace moments that Python cannot represent by UNKNOWN_MOMENT, like `in_calendar`."""
    is_representable = (moments >= to_micros(FIRST_MOMENT)) & (moments <= to_micros(LAST_MOMENT))
    return np.where(is_representable, moments, UNKNOWN_MOMENT)


def _codes(kind: IdKind, ids: Any, is_known: np.ndarray) -> tuple[IdIndex, Int32s]:
    """Return the index of the known ids, and the code of each row, NONE without an id."""
    known = is_known != 0
    column = IdColumn(kind, ids[known])
    index = IdIndex.of(kind, column)
    codes = np.full(len(ids), NONE, np.int32)
    codes[known] = index.codes(column)
    return index, codes
