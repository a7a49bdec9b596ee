"""The bids and watches of a marketplace in SQL."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeAlias

import attrs
import numpy as np
import sqlalchemy as sa

from angle_reco.adapters.sql.core.bulk import few_query, read_columns, read_few
from angle_reco.adapters.sql.core.copy_formats import CopyType
from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.dialect import IdList, among, in_order, upsert_into
from angle_reco.adapters.sql.core.host_statements import execute_in
from angle_reco.adapters.sql.core.types import Moment
from angle_reco.adapters.sql.market.id_ranges import IdRange
from angle_reco.adapters.sql.market.item_queries import OF_ITEM, history_query
from angle_reco.adapters.sql.market.market import Market
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.activity import Activity, Bid, History, Interactions, KnownItem, Watch
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import IdKinds, ItemId, UserId
from angle_reco.domain.moments import to_micros
from angle_reco.domain.prices import UNKNOWN_PRICE, PriceScale
from angle_reco.ports.activity import Span

_MomentOrNone: TypeAlias = datetime | sa.BindParameter[Any] | None
_ItemsOrNone: TypeAlias = IdColumn | sa.BindParameter[Any] | None
_UsersOrNone: TypeAlias = IdRange | _ItemsOrNone


@attrs.frozen
class SqlActivity:
    """`ActivityQueries` on a marketplace in SQL."""

    database: Database
    tables: Tables
    market: Market
    prices: PriceScale

    def interactions(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        users: IdColumn | None = None,
        items: IdColumn | None = None,
        within: Sequence[Span] | None = None,
    ) -> Iterator[Interactions]:
        ids, copy_types = self.tables.ids, _copy_types(self.tables.ids)
        # The activity of one user fits into memory; that of many users may not.
        if users is not None and len(users) == 1 and items is None and within is None:
            query = _of_one_user(
                self.market,
                ids,
                self.database.dialect,
                is_since=since is not None,
                is_until=until is not None,
            )
            values = {"angle_reco_users": users, "angle_reco_since": since}
            values |= {"angle_reco_until": until}
            batches = iter([read_few(self.database, query, copy_types, values)])
        else:
            dialect = self.database.dialect
            asked: IdColumn | IdRange | None = users
            if users is not None:
                known = self.market.user_ids.c.user_id
                asked = IdRange.of_users(self.database, known, users) or users
            queries = _queries(self.market, ids, dialect, since, until, asked, items, within)
            batches = read_columns(self.database, queries, copy_types)
            if isinstance(asked, IdRange):
                batches = asked.without_others(batches)
        for user_ids, item_ids, kinds, moments in batches:
            yield Interactions(
                users=IdColumn(ids.user, user_ids),
                items=IdColumn(ids.item, item_ids),
                kinds=kinds.astype(np.int8),
                moments=moments,
            )

    def history(
        self, user_id: UserId, *, until: datetime | None = None, newest: int | None = None
    ) -> History:
        query = history_query(self.market, as_of=until is not None, is_limited=newest is not None)
        values = {
            "angle_reco_user": user_id,
            "angle_reco_until": until,
            "angle_reco_newest": newest,
        }
        ids, items = self.tables.ids, dict[ItemId, KnownItem]()
        happened = list[tuple[int, ItemId, datetime]]()
        for kind, item_id, moment, title, category_id, seller_id, is_public in self.database.rows(
            query, values
        ):
            if kind != OF_ITEM:
                happened.append((kind, item_id, moment))
                continue
            items[item_id] = KnownItem(
                title=title or "",
                category_id=category_id,
                seller_id=seller_id,
                # Of an item that is listed twice, either row may be wrong.
                is_public=bool(is_public) and item_id not in items,
            )
        interactions = Interactions(
            users=IdColumn.of(ids.user, [user_id] * len(happened)),
            items=IdColumn.of(ids.item, [item_id for _, item_id, _ in happened]),
            kinds=np.array([kind for kind, _, _ in happened], np.int8),
            moments=np.array([to_micros(moment) for _, _, moment in happened], np.int64),
        )
        return History(interactions=interactions, items=items)

    def user_bids(
        self, user_id: UserId, *, since: datetime | None = None, until: datetime | None = None
    ) -> Sequence[Bid]:
        bids = self.market.bids.c
        query = (
            sa.select(bids.item_id, bids.amount, bids.placed_at)
            .where(bids.user_id == user_id)
            .order_by(
                bids.placed_at.desc(),
                self._in_order(bids.item_id),
                sa.func.coalesce(bids.amount, UNKNOWN_PRICE),
            )
        )
        return [
            Bid(
                user_id=user_id,
                item_id=item_id,
                amount=None if amount in (None, UNKNOWN_PRICE) else self.prices.to_money(amount),
                placed_at=placed_at,
            )
            for item_id, amount, placed_at in self.database.rows(
                _within(query, bids.placed_at, since, until)
            )
        ]

    def user_watchlist(
        self, user_id: UserId, *, since: datetime | None = None, until: datetime | None = None
    ) -> Sequence[Watch]:
        watches = self.market.watches.c
        query = (
            sa.select(watches.item_id, watches.watched_at)
            .where(watches.user_id == user_id)
            .order_by(watches.watched_at.desc(), self._in_order(watches.item_id))
        )
        return [
            Watch(user_id=user_id, item_id=item_id, watched_at=watched_at)
            for item_id, watched_at in self.database.rows(
                _within(query, watches.watched_at, since, until)
            )
        ]

    def engaged_users(
        self, item_ids: Collection[ItemId], *, until: datetime | None = None
    ) -> Mapping[ItemId, frozenset[UserId]]:
        items = IdColumn.of(self.tables.ids.item, item_ids)
        query = sa.union(
            *(
                _within(
                    sa.select(table.c.item_id, table.c.user_id).where(
                        self._among(table.c.item_id, items)
                    ),
                    moment,
                    None,
                    until,
                )
                for table, moment in self._counted
            )
        )
        engaged: dict[ItemId, set[UserId]] = {item_id: set() for item_id in item_ids}
        for item_id, user_id in self.database.rows(query):
            # A case-insensitive database also returns ids that were not requested.
            if item_id in engaged:
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
                for table, moment in self._all
            )
        )
        return frozenset(ItemId(item_id) for (item_id,) in self.database.rows(query))

    def totals(self, *, until: datetime | None = None) -> tuple[int, int]:
        counts = (
            _within(
                sa.select(sa.func.count()).select_from(table), moment, None, until
            ).scalar_subquery()
            for table, moment in self._all
        )
        [(bids, watches)] = self.database.rows(sa.select(*counts))
        return bids, watches

    @property
    def _all(self) -> tuple[tuple[sa.FromClause, Any], ...]:
        """Return the sources of bids and of watches, each with its column of moments."""
        bids, watches = self.market.bids, self.market.watches
        return (bids, bids.c.placed_at), (watches, watches.c.watched_at)

    @property
    def _counted(self) -> tuple[tuple[sa.FromClause, Any], ...]:
        """Return the same sources, without the bids of sellers on their own items."""
        return _counted(self.market)

    def _among(self, column: sa.ColumnElement[Any], ids: IdColumn) -> sa.ColumnElement[bool]:
        return among(column, ids, ids.kind, self.database.dialect)

    def _in_order(self, item_id: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return in_order(item_id, self.tables.ids.item, self.database.dialect)


@attrs.frozen
class SqlRecorder:
    """`ActivityRecorder` on the reference schema."""

    database: Database
    tables: Tables
    prices: PriceScale

    def together(self, work: Callable[[], bool]) -> bool:
        return self.database.write_together(work)

    def record_bid(self, bid: Bid, *, connection: object | None = None) -> bool:
        amount = UNKNOWN_PRICE if bid.amount is None else self.prices.to_units(bid.amount, "amount")
        return self._insert_if_known(
            self.tables.bids,
            connection,
            user_id=bid.user_id,
            item_id=bid.item_id,
            amount=amount,
            placed_at=bid.placed_at,
            number=0,
        )

    def remove_bids(
        self,
        user_id: UserId,
        item_id: ItemId,
        *,
        until: datetime | None = None,
        connection: object | None = None,
    ) -> bool:
        bids = self.tables.bids
        gone = sa.delete(bids).where(bids.c.user_id == user_id, bids.c.item_id == item_id)
        if until is not None:
            gone = gone.where(bids.c.placed_at <= until)
        return self._changes(gone, connection)

    def record_watch(self, watch: Watch, *, connection: object | None = None) -> bool:
        return self._insert_if_known(
            self.tables.watches,
            connection,
            user_id=watch.user_id,
            item_id=watch.item_id,
            watched_at=watch.watched_at,
        )

    def remove_watch(
        self, user_id: UserId, item_id: ItemId, *, connection: object | None = None
    ) -> bool:
        watches = self.tables.watches
        gone = sa.delete(watches).where(watches.c.user_id == user_id, watches.c.item_id == item_id)
        return self._changes(gone, connection)

    def _insert_if_known(
        self, table: sa.Table, connection: object | None, **values: object
    ) -> bool:
        insert = _insert_if_known(self.tables, table, self.database.dialect, tuple(values))
        return self._changes(insert, connection, values)

    def _changes(
        self,
        statement: sa.Insert | sa.Delete,
        connection: object | None,
        values: Mapping[str, object] = MappingProxyType({}),
    ) -> bool:
        if connection is not None:
            return execute_in(connection, self.database, statement, values).rows > 0
        return self.database.write(lambda ours: ours.execute(statement, values).rowcount > 0)


@lru_cache
def _insert_if_known(
    tables: Tables, table: sa.Table, dialect: str, names: tuple[str, ...]
) -> sa.Insert:
    """Return the statement that adds a row of a known user and item, of parameters with *names*.

    It is kept because building and compiling it takes longer than executing it.
    """
    users, items = tables.users.c, tables.items.c
    given = {name: sa.bindparam(name, type_=table.c[name].type) for name in names}
    row = sa.select(
        # Cast, because not every driver of a host sends the type of a value.
        *(sa.cast(value, table.c[name].type).label(name) for name, value in given.items())
    ).where(
        sa.exists().where(users.user_id == given["user_id"]),
        sa.exists().where(items.item_id == given["item_id"]),
    )
    insert = upsert_into(table, dialect).from_select(list(names), row)
    made: sa.Insert
    if table is not tables.watches:
        made = insert.on_conflict_do_nothing()
        return made
    new = insert.excluded.watched_at
    made = insert.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={"watched_at": new},
        where=new < table.c.watched_at,
    )
    return made


def _counted(market: Market) -> tuple[tuple[sa.FromClause, Any], ...]:
    bids, watches = market.counted, market.watches
    return (bids, bids.c.placed_at), (watches, watches.c.watched_at)


def _copy_types(ids: IdKinds) -> list[CopyType]:
    return [CopyType.of_ids(ids.user), CopyType.of_ids(ids.item), CopyType.SMALL, CopyType.MOMENT]


@lru_cache
def _of_one_user(
    market: Market, ids: IdKinds, dialect: str, *, is_since: bool, is_until: bool
) -> sa.Executable:
    """Return the statement for what one user did; building it takes longer than running it."""
    since, until = (sa.bindparam(f"angle_reco_{one}", type_=Moment) for one in ("since", "until"))
    queries = _queries(
        market,
        ids,
        dialect,
        since if is_since else None,
        until if is_until else None,
        sa.bindparam("angle_reco_users", type_=IdList),
        None,
    )
    return few_query(queries, _copy_types(ids), dialect)


def _queries(
    market: Market,
    ids: IdKinds,
    dialect: str,
    since: _MomentOrNone,
    until: _MomentOrNone,
    users: _UsersOrNone,
    items: _ItemsOrNone,
    within: Sequence[Span] | None = None,
) -> list[sa.Select[Any]]:
    """Return the queries for bids and for watches; limits and ids may be parameters."""
    queries = []
    kinds = (Activity.BID, Activity.WATCH)
    for kind, (table, moment) in zip(kinds, _counted(market), strict=True):
        query = sa.select(
            table.c.user_id,
            table.c.item_id,
            sa.literal(kind.value, sa.SmallInteger).label("kind"),
            moment,
        )
        if isinstance(users, IdRange):
            query = query.where(users.has(table.c.user_id))
        elif users is not None:
            query = query.where(among(table.c.user_id, users, ids.user, dialect))
        if items is not None:
            query = query.where(among(table.c.item_id, items, ids.item, dialect))
        if within is not None:
            spans = (sa.and_(*_are_within(moment, *span)) for span in within)
            query = query.where(sa.or_(sa.false(), *spans))
        queries.append(_within(query, moment, since, until))
    return queries


def _within(
    query: sa.Select[Any],
    moment: sa.ColumnElement[Any],
    since: _MomentOrNone,
    until: _MomentOrNone,
) -> sa.Select[Any]:
    return query.where(*_are_within(moment, since, until))


def _are_within(
    moment: sa.ColumnElement[Any], since: _MomentOrNone, until: _MomentOrNone
) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that a moment is in a span."""
    after = [] if since is None else [moment >= since]
    return after if until is None else [*after, moment <= until]
