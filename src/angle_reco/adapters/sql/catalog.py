"""Items of the reference schema."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import attrs
import sqlalchemy as sa

from angle_reco.adapters.sql.dialect import among, columns_of
from angle_reco.adapters.sql.engine import reading
from angle_reco.adapters.sql.schema import Tables
from angle_reco.domain import (
    NEVER,
    OPEN_STATUSES,
    UNKNOWN_MOMENT,
    UNKNOWN_PRICE,
    AuctionStatus,
    BidCounting,
    Catalogue,
    IdColumn,
    IdIndex,
    ItemCard,
    ItemCategories,
    ItemId,
    PriceScale,
    UserId,
    status_at,
    to_micros,
)

PUBLISHED = "published"


@attrs.frozen
class SqlCatalog:
    """`CatalogQueries` on the reference schema."""

    engine: sa.Engine
    tables: Tables
    prices: PriceScale

    def may_be_open(
        self,
        at: datetime,
        *,
        until: datetime | None = None,
        counting: BidCounting = BidCounting.BIDS,
    ) -> Catalogue:
        with reading(self.engine) as connection:
            rows = connection.execute(self._open_items(at, until, counting)).all()
        (
            item_ids,
            category_ids,
            seller_ids,
            prices,
            status,
            starts_at,
            ends_at,
            listed_at,
            bids,
            watchers,
        ) = columns_of(rows, 10)
        moment = to_micros(at)
        return Catalogue.of_rows(
            self.tables.ids,
            item_ids=item_ids,
            category_ids=category_ids,
            seller_ids=seller_ids,
            prices=[UNKNOWN_PRICE if price is None else price for price in prices],
            is_published=[True] * len(rows),
            status=[
                _status(stated, moment, starts, ends).code
                for stated, starts, ends in zip(status, starts_at, ends_at, strict=True)
            ],
            ends_at=[NEVER if ends is None else ends for ends in ends_at],
            listed_at=[UNKNOWN_MOMENT if listed is None else listed for listed in listed_at],
            bids=bids,
            watchers=watchers,
        )

    def cards(
        self,
        item_ids: Collection[ItemId],
        *,
        at: datetime,
        until: datetime | None = None,
        viewer: UserId | None = None,
    ) -> Mapping[ItemId, ItemCard]:
        items, bids, watches = self.tables.items.c, self.tables.bids.c, self.tables.watches.c
        highest = (
            sa.select(sa.func.max(bids.amount))
            .where(bids.item_id == items.item_id, *_by(bids.placed_at, until))
            .scalar_subquery()
        )
        engaged: sa.ColumnElement[bool] = sa.literal(False)
        if viewer is not None:
            engaged = sa.or_(
                sa.exists().where(
                    bids.item_id == items.item_id,
                    bids.user_id == viewer,
                    *_by(bids.placed_at, until),
                ),
                sa.exists().where(
                    watches.item_id == items.item_id,
                    watches.user_id == viewer,
                    *_by(watches.watched_at, until),
                ),
            )
        query = sa.select(
            items.item_id,
            items.title,
            items.category_id,
            items.seller_id,
            sa.func.coalesce(_known(highest), items.starting_price).label("price"),
            items.publication_status,
            items.auction_status,
            items.starts_at,
            items.ends_at,
            items.listed_at,
            engaged.label("engaged"),
        ).where(
            among(items.item_id, IdColumn.of(self.tables.ids.item, item_ids)),
            *self._exists_by(until),
        )
        moment = to_micros(at)
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        return {
            row.item_id: ItemCard(
                item_id=row.item_id,
                title=row.title,
                category_id=row.category_id,
                seller_id=row.seller_id,
                price=None if row.price is None else self.prices.to_money(row.price),
                is_published=row.publication_status == PUBLISHED,
                status=_status(
                    row.auction_status,
                    moment,
                    None if row.starts_at is None else to_micros(row.starts_at),
                    None if row.ends_at is None else to_micros(row.ends_at),
                ),
                ends_at=row.ends_at,
                listed_at=row.listed_at,
                engaged=bool(row.engaged),
            )
            for row in rows
        }

    def categories(self, items: IdColumn) -> ItemCategories:
        distinct = IdIndex.of(items.kind, items)
        columns = self.tables.items.c
        query = sa.select(columns.item_id, columns.category_id).where(
            among(columns.item_id, distinct.ids), columns.category_id.is_not(None)
        )
        with reading(self.engine) as connection:
            known = dict(connection.execute(query).tuples().all())
        index, codes = IdIndex.of_nullable(
            self.tables.ids.category, [known.get(item_id) for item_id in distinct.ids]
        )
        return ItemCategories(categories=index, codes=codes[distinct.codes(items)])

    def total(self) -> int:
        with reading(self.engine) as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(self.tables.items)) or 0

    def _open_items(
        self, at: datetime, until: datetime | None, counting: BidCounting
    ) -> sa.Select[Any]:
        items, bids, watches = self.tables.items.c, self.tables.bids.c, self.tables.watches.c
        open_statuses = sorted(status.value for status in OPEN_STATUSES)
        is_open = (
            items.publication_status == PUBLISHED,
            sa.or_(items.auction_status.is_(None), items.auction_status.in_(open_statuses)),
            sa.or_(items.ends_at.is_(None), items.ends_at > at),
            *self._exists_by(until),
        )
        open_ids = sa.select(items.item_id).where(*is_open)
        counted = (
            sa.func.count()
            if counting is BidCounting.BIDS
            else sa.func.count(bids.user_id.distinct())
        )
        of_bids = (
            sa.select(
                bids.item_id,
                counted.label("bids"),
                sa.func.max(bids.amount).label("highest"),
            )
            .where(bids.item_id.in_(open_ids), *_by(bids.placed_at, until))
            .group_by(bids.item_id)
            .subquery()
        )
        of_watches = (
            sa.select(watches.item_id, sa.func.count().label("watchers"))
            .where(watches.item_id.in_(open_ids), *_by(watches.watched_at, until))
            .group_by(watches.item_id)
            .subquery()
        )
        return (
            sa.select(
                items.item_id,
                items.category_id,
                items.seller_id,
                sa.func.coalesce(_known(of_bids.c.highest), items.starting_price),
                items.auction_status,
                sa.type_coerce(items.starts_at, sa.BigInteger),
                sa.type_coerce(items.ends_at, sa.BigInteger),
                sa.type_coerce(items.listed_at, sa.BigInteger),
                sa.func.coalesce(of_bids.c.bids, 0),
                sa.func.coalesce(of_watches.c.watchers, 0),
            )
            .outerjoin(of_bids, of_bids.c.item_id == items.item_id)
            .outerjoin(of_watches, of_watches.c.item_id == items.item_id)
            .where(*is_open)
        )

    def _exists_by(self, until: datetime | None) -> list[sa.ColumnElement[bool]]:
        listed_at = self.tables.items.c.listed_at
        return [] if until is None else [sa.or_(listed_at.is_(None), listed_at <= until)]


def _by(moment: sa.Column[Any], until: datetime | None) -> list[sa.ColumnElement[bool]]:
    return [] if until is None else [moment <= until]


def _known(amount: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return sa.func.nullif(amount, UNKNOWN_PRICE)


def _status(
    stated: str | None, moment: int, starts_at: int | None, ends_at: int | None
) -> AuctionStatus:
    if stated is not None:
        return AuctionStatus(stated)
    return status_at(
        moment,
        starts_at=UNKNOWN_MOMENT if starts_at is None else starts_at,
        ends_at=NEVER if ends_at is None else ends_at,
    )
