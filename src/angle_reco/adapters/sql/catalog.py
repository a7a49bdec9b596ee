"""Items of the reference schema."""

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import attrs
import sqlalchemy as sa

from angle_reco.adapters.sql.dialect import among, columns_of, json_ids
from angle_reco.adapters.sql.engine import reading
from angle_reco.adapters.sql.schema import Moment, Tables
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
    from_micros,
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
        query = _cards_query(self.tables, for_viewer=viewer is not None, as_of=until is not None)
        wanted = json_ids(IdColumn.of(self.tables.ids.item, item_ids))
        values = {"wanted": wanted, "viewer": viewer, "until": until}
        with reading(self.engine) as connection:
            rows = connection.execute(query, values).all()
        moment = to_micros(at)
        return {
            item_id: ItemCard(
                item_id=item_id,
                title=title,
                category_id=category_id,
                seller_id=seller_id,
                price=None if price is None else self.prices.to_money(price),
                is_published=publication == PUBLISHED,
                status=_status(stated, moment, starts_at, ends_at),
                ends_at=None if ends_at is None else from_micros(ends_at),
                listed_at=None if listed_at is None else from_micros(listed_at),
                engaged=bool(engaged),
            )
            for (
                item_id,
                title,
                category_id,
                seller_id,
                price,
                publication,
                stated,
                starts_at,
                ends_at,
                listed_at,
                engaged,
            ) in rows
        }

    def categories(self, items: IdColumn) -> ItemCategories:
        distinct = IdIndex.of(items.kind, items)
        columns = self.tables.items.c
        query = sa.select(columns.item_id, columns.category_id).where(
            among(columns.item_id, distinct.ids), columns.category_id.is_not(None)
        )
        with reading(self.engine) as connection:
            known = {row.item_id: row.category_id for row in connection.execute(query)}
        index, codes = IdIndex.of_nullable(
            self.tables.ids.category, [known.get(item_id) for item_id in distinct.ids]
        )
        return ItemCategories(categories=index, codes=codes[distinct.codes(items)])

    def total(self, *, until: datetime | None = None) -> int:
        items = self.tables.items
        query = sa.select(sa.func.count()).select_from(items).where(*_existing(items.c, until))
        with reading(self.engine) as connection:
            return connection.scalar(query) or 0

    def _open_items(
        self, at: datetime, until: datetime | None, counting: BidCounting
    ) -> sa.Select[Any]:
        items, bids, watches = self.tables.items.c, self.tables.bids.c, self.tables.watches.c
        open_statuses = sorted(status.value for status in OPEN_STATUSES)
        is_open = (
            items.publication_status == PUBLISHED,
            sa.or_(items.auction_status.is_(None), items.auction_status.in_(open_statuses)),
            sa.or_(items.ends_at.is_(None), items.ends_at > at),
            *_existing(items, until),
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


@lru_cache
def _cards_query(tables: Tables, *, for_viewer: bool, as_of: bool) -> sa.Select[Any]:
    """Return the statement for cards; building it anew takes longer than running it."""
    items, bids, watches = tables.items.c, tables.bids.c, tables.watches.c
    until = sa.bindparam("until", type_=Moment) if as_of else None
    highest = (
        sa.select(sa.func.max(bids.amount))
        .where(bids.item_id == items.item_id, *_by(bids.placed_at, until))
        .scalar_subquery()
    )
    engaged: sa.ColumnElement[bool] = sa.literal_column("0")
    if for_viewer:
        viewer = sa.bindparam("viewer", type_=bids.user_id.type)
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
    return sa.select(
        items.item_id,
        items.title,
        items.category_id,
        items.seller_id,
        sa.func.coalesce(_known(highest), items.starting_price),
        items.publication_status,
        items.auction_status,
        sa.type_coerce(items.starts_at, sa.BigInteger),
        sa.type_coerce(items.ends_at, sa.BigInteger),
        sa.type_coerce(items.listed_at, sa.BigInteger),
        engaged,
    ).where(among(items.item_id, sa.bindparam("wanted", type_=sa.Text)), *_existing(items, until))


def _existing(
    items: Any, until: datetime | sa.BindParameter[Any] | None
) -> list[sa.ColumnElement[bool]]:
    listed_at = items.listed_at
    return [] if until is None else [sa.or_(listed_at.is_(None), listed_at <= until)]


def _by(
    moment: sa.Column[Any], until: datetime | sa.BindParameter[Any] | None
) -> list[sa.ColumnElement[bool]]:
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
