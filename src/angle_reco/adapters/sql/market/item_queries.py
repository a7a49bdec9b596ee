"""The queries for items: those that may be open, and cards by id."""

from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from angle_reco.adapters.sql.core.bulk import few_query, or_zero
from angle_reco.adapters.sql.core.copy_formats import CopyType
from angle_reco.adapters.sql.core.dialect import IdList, among
from angle_reco.adapters.sql.core.types import Moment
from angle_reco.adapters.sql.market.host_columns import FIRST_MOMENT, in_calendar
from angle_reco.adapters.sql.market.market import Market, is_own
from angle_reco.domain.activity import Activity
from angle_reco.domain.auction_status import OPEN_STATUSES, OVER_STATUSES, AuctionStatus
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import IdKind, IdKinds
from angle_reco.domain.prices import UNKNOWN_PRICE
from angle_reco.domain.scoring.popularity import BidCounting

_OPEN_CODES = {status.value: status.code for status in OPEN_STATUSES}
FROM_TIMES = -1
"""Stands for a status that is not stated and follows from the item's times."""

OF_ITEM = -1
"""Stands in `history_query` for the kind of activity in rows of items."""


def open_items_query(
    market: Market,
    ids: IdKinds,
    dialect: str,
    at: datetime,
    until: datetime | None,
    counting: BidCounting,
) -> sa.Select[Any]:
    """Return the query for the items that may be open; `open_copy_types` are its columns'."""
    items, bids, watches = market.items.c, market.bids.c, market.watches.c
    stated = _stated_status(items, as_of=until is not None)
    is_open = (
        items.is_published,
        sa.or_(stated.is_(None), stated.in_(sorted(_OPEN_CODES))),
        sa.or_(items.ends_at.is_(None), items.ends_at > at),
        *existing(items, until),
    )
    open_ids = sa.select(items.item_id).where(*is_open)
    # A seller's bids on their own item count for its price alone.
    own = is_own(market.bids, market.items, dialect)
    bidder = sa.case((own, sa.null()), else_=bids.user_id)
    counted = bidder if counting is BidCounting.BIDS else bidder.distinct()
    of_bids = (
        sa.select(
            bids.item_id,
            sa.func.count(counted).label("bids"),
            sa.func.max(bids.amount, type_=sa.BigInteger).label("highest"),
        )
        .join(market.items, items.item_id == bids.item_id)
        .where(*is_open, *_by(bids.placed_at, until))
        .group_by(bids.item_id)
        .subquery()
    )
    of_watches = (
        sa.select(watches.item_id, sa.func.count().label("watchers"))
        .where(watches.item_id.in_(open_ids), *_by(watches.watched_at, until))
        .group_by(watches.item_id)
        .subquery()
    )
    price = _price(market, of_bids.c.highest, as_of=until is not None)
    status = sa.case(_OPEN_CODES, value=stated, else_=FROM_TIMES)
    return (
        sa.select(
            items.item_id,
            or_zero(items.category_id, ids.category),
            _is_known(items.category_id),
            or_zero(items.seller_id, ids.user),
            _is_known(items.seller_id),
            sa.func.coalesce(price, UNKNOWN_PRICE),
            sa.func.coalesce(items.starting_price, UNKNOWN_PRICE),
            status,
            items.starts_at,
            items.ends_at,
            items.listed_at,
            sa.func.coalesce(of_bids.c.bids, 0),
            sa.func.coalesce(of_watches.c.watchers, 0),
        )
        .outerjoin(of_bids, of_bids.c.item_id == items.item_id)
        .outerjoin(of_watches, of_watches.c.item_id == items.item_id)
        .where(*is_open)
    )


def open_copy_types(ids: IdKinds) -> list[CopyType]:
    """Return the copy types of the columns of `open_items_query`."""
    of_item, of_category, of_seller = map(CopyType.of_ids, (ids.item, ids.category, ids.user))
    known, moments, counts = CopyType.SMALL, [CopyType.MOMENT] * 3, [CopyType.INT] * 2
    prices, status = [CopyType.INT] * 2, CopyType.SMALL
    return [of_item, of_category, known, of_seller, known, *prices, status, *moments, *counts]


def categories_query(
    market: Market, wanted: IdColumn | sa.BindParameter[Any], kind: IdKind, dialect: str
) -> sa.Select[Any]:
    """Return the query for items that have a category, and for these."""
    items = market.items.c
    return sa.select(items.item_id, items.category_id).where(
        among(items.item_id, wanted, kind, dialect), items.category_id.is_not(None)
    )


@lru_cache
def few_categories_query(market: Market, ids: IdKinds, dialect: str) -> sa.Executable:
    """Return the statement of `read_few` for the categories of wanted items."""
    wanted = sa.bindparam("angle_reco_wanted", type_=IdList)
    query = categories_query(market, wanted, ids.item, dialect)
    return few_query([query], categories_copy_types(ids), dialect)


def categories_copy_types(ids: IdKinds) -> list[CopyType]:
    """Return the types of the columns of `categories_query`."""
    return [CopyType.of_ids(ids.item), CopyType.of_ids(ids.category)]


@lru_cache
def cards_query(
    market: Market, kind: IdKind, dialect: str, *, for_viewer: bool, as_of: bool
) -> sa.Select[Any]:
    """Return the statement for cards, cached because building it takes longer than running it."""
    items, bids, watches = market.items.c, market.bids.c, market.watches.c
    until = sa.bindparam("angle_reco_until", type_=Moment) if as_of else None
    highest = (
        sa.select(sa.func.max(bids.amount, type_=sa.BigInteger))
        .where(bids.item_id == items.item_id, *_by(bids.placed_at, until))
        .scalar_subquery()
    )
    engaged: sa.ColumnElement[bool] = sa.false()
    if for_viewer:
        viewer = sa.bindparam("angle_reco_viewer", type_=bids.user_id.type)
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
    wanted = sa.bindparam("angle_reco_wanted", type_=IdList)
    return sa.select(
        items.item_id,
        items.title,
        items.category_id,
        items.seller_id,
        _price(market, highest, as_of=as_of),
        items.starting_price,
        items.is_published,
        _stated_status(items, as_of=as_of),
        *(
            sa.type_coerce(in_calendar(moment), Moment)
            for moment in (
                items.starts_at,
                sa.case(
                    (items.ends_at < FIRST_MOMENT, sa.literal(FIRST_MOMENT, Moment)),
                    else_=items.ends_at,
                ),
                items.listed_at,
            )
        ),
        engaged,
        *market.public_text,
    ).where(among(items.item_id, wanted, kind, dialect), *existing(items, until))


@lru_cache
def history_query(market: Market, *, as_of: bool, is_limited: bool) -> sa.CompoundSelect[Any]:
    """Return the statement for what one user did, cached as `cards_query` is.

    Its rows are of the items, whose kind is OF_ITEM, and of bids and watches, with their moments.
    """
    items, counted, watches = market.items.c, market.counted.c, market.watches.c
    until = sa.bindparam("angle_reco_until", type_=Moment) if as_of else None
    user_id = sa.bindparam("angle_reco_user", type_=watches.user_id.type)

    def did(kind: Activity, rows: Any, at: sa.ColumnElement[Any]) -> sa.Subquery:
        query = sa.select(
            sa.literal(kind.value, sa.SmallInteger).label("kind"),
            rows.item_id.label("item_id"),
            at.label("moment"),
        ).where(rows.user_id == user_id, *_by(at, until))
        if is_limited:
            most = sa.bindparam("angle_reco_newest", type_=sa.Integer)
            query = query.order_by(sa.nulls_last(at.desc())).limit(most)
        return query.subquery()

    done = (
        did(Activity.BID, counted, counted.placed_at),
        did(Activity.WATCH, watches, watches.watched_at),
    )
    touched = sa.union_all(*(sa.select(one.c.item_id) for one in done))
    none = sa.null()
    return sa.union_all(
        # These come first, because their columns have types.
        sa.select(
            sa.literal(OF_ITEM, sa.SmallInteger),
            items.item_id,
            sa.type_coerce(none, Moment),
            items.title,
            items.category_id,
            items.seller_id,
            sa.case((sa.and_(items.is_published, *existing(items, until)), 1), else_=0),
        ).where(items.item_id.in_(touched)),
        *(sa.select(*one.c, none, none, none, none) for one in done),
    )


def _price(market: Market, highest: sa.ColumnElement[Any], *, as_of: bool) -> sa.ColumnElement[Any]:
    """Return an item's price: the host's, else the highest bid, else the starting price."""
    items = market.items.c
    ways = [sa.func.nullif(highest, UNKNOWN_PRICE), items.starting_price]
    # For a past moment, the host's price may be from later.
    return sa.func.coalesce(*([] if as_of else [items.price]), *ways, type_=sa.BigInteger)


def _stated_status(items: Any, *, as_of: bool) -> sa.ColumnElement[Any]:
    """Return the host's status; of a past moment, null where it `may_be_later`."""
    status: sa.ColumnElement[Any] = items.status
    if not as_of:
        return status
    is_over = status.in_(sorted(OVER_STATUSES)) & in_calendar(items.ends_at).is_not(None)
    return sa.case((sa.or_(status == AuctionStatus.ACTIVE.value, is_over), sa.null()), else_=status)


def _is_known(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return sa.case((column.is_(None), 0), else_=1)


def existing(
    items: Any, until: datetime | sa.BindParameter[Any] | None
) -> list[sa.ColumnElement[bool]]:
    """Return the condition that an item was listed by then, or none without *until*."""
    listed_at = items.listed_at
    return [] if until is None else [sa.or_(listed_at.is_(None), listed_at <= until)]


def _by(
    moment: sa.ColumnElement[Any], until: datetime | sa.BindParameter[Any] | None
) -> list[sa.ColumnElement[bool]]:
    return [] if until is None else [moment <= until]
