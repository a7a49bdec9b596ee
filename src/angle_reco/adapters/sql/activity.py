"""Bids and watches of the reference schema."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from angle_reco.adapters.sql.dialect import among, columns_of, id_column, raw_id
from angle_reco.adapters.sql.engine import reading, transaction
from angle_reco.adapters.sql.schema import Tables
from angle_reco.domain import (
    UNKNOWN_PRICE,
    Activity,
    Bid,
    IdColumn,
    Interactions,
    ItemId,
    PriceScale,
    UserId,
    Watch,
)

_ROWS_A_BATCH = 50_000


@attrs.frozen
class SqlActivity:
    """`ActivityQueries` and `ActivityRecorder` on the reference schema."""

    engine: sa.Engine
    tables: Tables
    prices: PriceScale

    def interactions(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        users: IdColumn | None = None,
        items: IdColumn | None = None,
    ) -> Iterator[Interactions]:
        ids = self.tables.ids

        def happened(
            kind: Activity, table: sa.Table, moment: sa.Column[Any]
        ) -> sa.Select[tuple[Any, ...]]:
            query = sa.select(
                raw_id(table.c.user_id, ids.user).label("user_id"),
                raw_id(table.c.item_id, ids.item).label("item_id"),
                sa.literal(kind.value).label("kind"),
                sa.type_coerce(moment, sa.BigInteger).label("moment"),
            )
            if users is not None:
                query = query.where(among(table.c.user_id, users))
            if items is not None:
                query = query.where(among(table.c.item_id, items))
            return _within(query, moment, since, until)

        bids, watches = self.tables.bids, self.tables.watches
        # One statement is one snapshot, on every database.
        query = sa.union_all(
            happened(Activity.BID, bids, bids.c.placed_at),
            happened(Activity.WATCH, watches, watches.c.watched_at),
        )
        with reading(self.engine) as connection:
            result = connection.execution_options(yield_per=_ROWS_A_BATCH).execute(query)
            for batch in result.partitions():
                user_ids, item_ids, kinds, moments = columns_of(batch, 4)
                yield Interactions(
                    users=id_column(ids.user, user_ids),
                    items=id_column(ids.item, item_ids),
                    kinds=np.array(kinds, np.int8),
                    moments=np.array(moments, np.int64),
                )

    def user_bids(
        self, user_id: UserId, *, since: datetime | None = None, until: datetime | None = None
    ) -> Sequence[Bid]:
        bids = self.tables.bids.c
        query = (
            sa.select(bids.item_id, bids.amount, bids.placed_at)
            .where(bids.user_id == user_id)
            .order_by(bids.placed_at.desc(), bids.item_id, bids.amount, bids.number)
        )
        with reading(self.engine) as connection:
            rows = connection.execute(_within(query, bids.placed_at, since, until)).all()
        return [
            Bid(
                user_id=user_id,
                item_id=item_id,
                amount=None if amount == UNKNOWN_PRICE else self.prices.to_money(amount),
                placed_at=placed_at,
            )
            for item_id, amount, placed_at in rows
        ]

    def user_watchlist(
        self, user_id: UserId, *, since: datetime | None = None, until: datetime | None = None
    ) -> Sequence[Watch]:
        watches = self.tables.watches.c
        query = (
            sa.select(watches.item_id, watches.watched_at)
            .where(watches.user_id == user_id)
            .order_by(watches.watched_at.desc(), watches.item_id)
        )
        with reading(self.engine) as connection:
            rows = connection.execute(_within(query, watches.watched_at, since, until)).all()
        return [
            Watch(user_id=user_id, item_id=item_id, watched_at=watched_at)
            for item_id, watched_at in rows
        ]

    def engaged_users(
        self, item_ids: Collection[ItemId], *, until: datetime | None = None
    ) -> Mapping[ItemId, frozenset[UserId]]:
        items = IdColumn.of(self.tables.ids.item, item_ids)
        query = sa.union(
            *(
                _within(
                    sa.select(table.c.item_id, table.c.user_id).where(
                        among(table.c.item_id, items)
                    ),
                    moment,
                    None,
                    until,
                )
                for table, moment in self._moments()
            )
        )
        engaged: dict[ItemId, set[UserId]] = {item_id: set() for item_id in item_ids}
        with reading(self.engine) as connection:
            for item_id, user_id in connection.execute(query):
                engaged[item_id].add(user_id)
        return {item_id: frozenset(users) for item_id, users in engaged.items()}

    def touched_by(self, user_id: UserId, *, until: datetime | None = None) -> frozenset[ItemId]:
        query = sa.union(
            *(
                _within(
                    sa.select(table.c.item_id).where(table.c.user_id == user_id),
                    moment,
                    None,
                    until,
                )
                for table, moment in self._moments()
            )
        )
        with reading(self.engine) as connection:
            return frozenset(ItemId(item_id) for item_id in connection.scalars(query))

    def totals(self, *, until: datetime | None = None) -> tuple[int, int]:
        counts = (
            _within(
                sa.select(sa.func.count()).select_from(table), moment, None, until
            ).scalar_subquery()
            for table, moment in self._moments()
        )
        with reading(self.engine) as connection:
            bids, watches = connection.execute(sa.select(*counts)).one()
        return bids, watches

    def record_bid(self, bid: Bid) -> bool:
        bids = self.tables.bids
        amount = UNKNOWN_PRICE if bid.amount is None else self.prices.to_units(bid.amount, "amount")
        return self._insert_if_known(
            bids,
            user_id=bid.user_id,
            item_id=bid.item_id,
            amount=amount,
            placed_at=bid.placed_at,
            number=0,
        )

    def record_watch(self, watch: Watch) -> bool:
        return self._insert_if_known(
            self.tables.watches,
            user_id=watch.user_id,
            item_id=watch.item_id,
            watched_at=watch.watched_at,
        )

    def remove_watch(self, user_id: UserId, item_id: ItemId) -> bool:
        watches = self.tables.watches
        gone = sa.delete(watches).where(watches.c.user_id == user_id, watches.c.item_id == item_id)
        with transaction(self.engine) as connection:
            return connection.execute(gone).rowcount > 0

    def _insert_if_known(self, table: sa.Table, **values: object) -> bool:
        users, items = self.tables.users.c, self.tables.items.c
        row = sa.select(
            *(
                sa.bindparam(None, value, table.c[name].type).label(name)
                for name, value in values.items()
            )
        ).where(
            sa.exists().where(users.user_id == values["user_id"]),
            sa.exists().where(items.item_id == values["item_id"]),
        )
        insert = sqlite.insert(table).from_select(list(values), row)
        if table is self.tables.watches:
            new = insert.excluded.watched_at
            insert = insert.on_conflict_do_update(
                index_elements=list(table.primary_key),
                set_={"watched_at": new},
                where=new < table.c.watched_at,
            )
        else:
            insert = insert.on_conflict_do_nothing()
        with transaction(self.engine) as connection:
            return connection.execute(insert).rowcount > 0

    def _moments(self) -> tuple[tuple[sa.Table, sa.Column[Any]], ...]:
        bids, watches = self.tables.bids, self.tables.watches
        return (bids, bids.c.placed_at), (watches, watches.c.watched_at)


def _within(
    query: sa.Select[Any],
    moment: sa.Column[Any],
    since: datetime | None,
    until: datetime | None,
) -> sa.Select[Any]:
    if since is not None:
        query = query.where(moment >= since)
    if until is not None:
        query = query.where(moment <= until)
    return query
