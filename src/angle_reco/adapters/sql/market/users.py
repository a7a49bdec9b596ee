"""The users of a marketplace in SQL, and their sign-ins."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import attrs
import numpy as np
import sqlalchemy as sa

from angle_reco.adapters.sql.core.bulk import read_at_once
from angle_reco.adapters.sql.core.copy_formats import CopyType
from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.dialect import in_order, upsert_into
from angle_reco.adapters.sql.core.host_statements import execute_in
from angle_reco.adapters.sql.core.types import Moment
from angle_reco.adapters.sql.market.erased_users import ErasedUsers
from angle_reco.adapters.sql.market.host_columns import in_calendar
from angle_reco.adapters.sql.market.market import Market
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import UserId
from angle_reco.domain.users import SignIns


@attrs.frozen
class SqlUsers:
    """`UserQueries` on a marketplace in SQL."""

    database: Database
    tables: Tables
    market: Market
    erased: ErasedUsers

    def active_since(
        self,
        moment: datetime,
        *,
        until: datetime | None = None,
        not_since: datetime | None = None,
    ) -> IdColumn:
        kind, users = self.tables.ids.user, self.market.users.c
        was_around = sa.func.coalesce(self._last_sign_in(until), users.created_at)
        query = (
            sa.select(users.user_id)
            .select_from(self._with_sign_ins())
            .where(was_around > sa.bindparam(None, moment, Moment), *self._existing(until))
            .order_by(in_order(users.user_id, kind, self.database.dialect))
        )
        if not_since is not None:
            query = query.where(was_around <= sa.bindparam(None, not_since, Moment))
        [ids] = read_at_once(self.database, query, [CopyType.of_ids(kind)])
        return _once(IdColumn(kind, ids))

    def record_sign_in(
        self, user_id: UserId, at: datetime, *, connection: object | None = None
    ) -> bool:
        if connection is not None:
            return self._counted(
                user_id,
                at,
                lambda counting: execute_in(connection, self.database, counting, {}).rows,
                self.database.scalar,
            )

        def unit(ours: sa.Connection) -> bool:
            return self._counted(
                user_id, at, lambda counting: ours.execute(counting).rowcount, ours.scalar
            )

        # Not repeatable: if the connection is lost during the commit, it may count twice.
        return self.database.write(unit, is_repeatable=False)

    def _counted(
        self,
        user_id: UserId,
        at: datetime,
        execute: Callable[[sa.Insert | sa.Update], int],
        ask: Callable[[sa.Select[Any]], Any],
    ) -> bool:
        is_side_table = self.market.sign_ins.is_side_table
        count = self._count_beside if is_side_table else self._count_in_columns
        # Read before the statement is built, because another thread may cache a newer key.
        key = self.erased.key
        if execute(count(user_id, at, self.erased.is_erased(user_id))) > 0:
            return True
        # The user is unknown or erased, or the cached key was outdated.
        if self.erased.learn(ask) == key:
            return False
        return execute(count(user_id, at, self.erased.is_erased(user_id))) > 0

    def sign_ins(self, user_id: UserId, *, until: datetime | None = None) -> SignIns | None:
        query = (
            sa.select(
                sa.type_coerce(in_calendar(self._last_sign_in(until)), Moment),
                sa.func.coalesce(self.market.sign_ins.count, 0),
            )
            .select_from(self._with_sign_ins())
            .where(self.market.users.c.user_id == user_id, *self._existing(until))
        )
        rows = self.database.rows(query)
        return SignIns(last_at=rows[0][0], count=rows[0][1]) if rows else None

    def total(self, *, until: datetime | None = None) -> int:
        query = sa.select(sa.func.count()).select_from(self.market.users)
        return int(self.database.scalar(query.where(*self._existing(until))))

    def _count_in_columns(
        self, user_id: UserId, at: datetime, is_erased: sa.ColumnElement[bool]
    ) -> sa.Update:
        into = self.market.sign_ins
        dialect = self.database.dialect
        is_later = into.is_later_than(at, dialect)
        last = sa.case((is_later, into.stored_last), else_=into.to_store(at, dialect))
        return (
            sa.update(into.table)
            .where(into.user_id == user_id, ~is_erased, self.database.is_at_home)
            .values(
                {
                    into.count.key: sa.func.coalesce(into.count, 0) + 1,
                    into.stored_last.key: last,
                }
            )
        )

    def _count_beside(
        self, user_id: UserId, at: datetime, is_erased: sa.ColumnElement[bool]
    ) -> sa.Insert:
        side, moment = self.tables.sign_ins, sa.bindparam(None, at, Moment)
        user = self.market.user_ids.c.user_id
        known = (
            sa.select(user, moment, sa.literal(1))
            .where(user == user_id, ~is_erased, self.database.is_at_home)
            .limit(1)
        )
        insert = upsert_into(side, self.database.dialect).from_select(
            ["user_id", "last_sign_in_at", "sign_in_count"], known
        )
        new = insert.excluded.last_sign_in_at
        counting: sa.Insert = insert.on_conflict_do_update(
            index_elements=[side.c.user_id],
            set_={
                "sign_in_count": side.c.sign_in_count + 1,
                "last_sign_in_at": _later(side.c.last_sign_in_at, new),
            },
        )
        return counting

    def _with_sign_ins(self) -> sa.FromClause:
        """Return the users, joined with their sign-ins if these are in another table."""
        users, counted = self.market.users, self.market.sign_ins
        if counted.table is users:
            return users
        return users.outerjoin(counted.table, counted.user_id == users.c.user_id)

    def _existing(self, until: datetime | None) -> list[sa.ColumnElement[bool]]:
        created = self.market.users.c.created_at
        return [] if until is None else [sa.or_(created.is_(None), created <= until)]

    def _last_sign_in(self, until: datetime | None) -> sa.ColumnElement[Any]:
        """Return the last sign-in, or if it is after *until*, the newest activity up to then."""
        users, counted = self.market.users.c, self.market.sign_ins
        last = counted.last_at
        if counted.table is not self.market.users:
            # The host's select often has one, too.
            last = _later(users.last_sign_in_at, counted.last_at)
        if until is None:
            return last
        bids, watches = self.market.bids.c, self.market.watches.c
        newest = (
            sa.select(sa.func.max(moment, type_=Moment))
            .where(user_id == users.user_id, moment <= until)
            .correlate(self.market.users)
            .scalar_subquery()
            for user_id, moment in (
                (bids.user_id, bids.placed_at),
                (watches.user_id, watches.watched_at),
            )
        )
        return sa.case((last <= until, last), (last.is_(None), None), else_=_later(*newest))


def _later(one: sa.ColumnElement[Any], other: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return the later of two moments, or the other one if one is null."""
    return sa.case((one.is_(None), other), (other.is_(None), one), (one > other, one), else_=other)


def _once(users: IdColumn) -> IdColumn:
    """Return sorted *users* without duplicates, which a join of the host may produce."""
    if len(users) < 2:
        return users
    is_new = np.ones(len(users), np.bool_)
    is_new[1:] = users.values[1:] != users.values[:-1]
    return users if is_new.all() else users.take(np.flatnonzero(is_new))
