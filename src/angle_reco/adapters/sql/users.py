"""Users of the reference schema."""

from datetime import datetime
from typing import Any

import attrs
import sqlalchemy as sa

from angle_reco.adapters.sql.dialect import id_column, raw_id
from angle_reco.adapters.sql.engine import reading, transaction
from angle_reco.adapters.sql.schema import Moment, Tables
from angle_reco.domain import IdColumn, SignIns, UserId


@attrs.frozen
class SqlUsers:
    """`UserQueries` on the reference schema."""

    engine: sa.Engine
    tables: Tables

    def active_since(self, moment: datetime, *, until: datetime | None = None) -> IdColumn:
        users = self.tables.users.c
        query = (
            sa.select(raw_id(users.user_id, self.tables.ids.user))
            .where(
                sa.func.coalesce(self._last_sign_in(until), users.created_at)
                > sa.bindparam(None, moment, Moment)
            )
            .order_by(users.user_id)
        )
        if until is not None:
            query = query.where(self._exists_by(until))
        with reading(self.engine) as connection:
            return id_column(self.tables.ids.user, connection.scalars(query).all())

    def record_sign_in(self, user_id: UserId, at: datetime) -> bool:
        users = self.tables.users
        last = users.c.last_sign_in_at
        moment = sa.bindparam("at", at, Moment)
        count = (
            sa.update(users)
            .where(users.c.user_id == user_id)
            .values(
                sign_in_count=users.c.sign_in_count + 1,
                last_sign_in_at=sa.case((last > moment, last), else_=moment),
            )
        )
        with transaction(self.engine) as connection:
            return connection.execute(count).rowcount > 0

    def sign_ins(self, user_id: UserId, *, until: datetime | None = None) -> SignIns | None:
        users = self.tables.users.c
        last = sa.type_coerce(self._last_sign_in(until), Moment)
        query = sa.select(last, users.sign_in_count).where(users.user_id == user_id)
        if until is not None:
            query = query.where(self._exists_by(until))
        with reading(self.engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else SignIns(last_at=row[0], count=row[1])

    def total(self, *, until: datetime | None = None) -> int:
        query = sa.select(sa.func.count()).select_from(self.tables.users)
        if until is not None:
            query = query.where(self._exists_by(until))
        with reading(self.engine) as connection:
            return connection.scalar(query) or 0

    def _exists_by(self, until: datetime) -> sa.ColumnElement[bool]:
        created = self.tables.users.c.created_at
        return sa.or_(created.is_(None), created <= until)

    def _last_sign_in(self, until: datetime | None) -> sa.ColumnElement[Any]:
        """Return the last sign-in; where only a later one is known, the newest activity."""
        users, bids, watches = self.tables.users.c, self.tables.bids.c, self.tables.watches.c
        if until is None:
            return users.last_sign_in_at
        newest = (
            sa.select(sa.func.max(moment).label("moment"))
            .where(user_id == users.user_id, moment <= until)
            .correlate(self.tables.users)
            for user_id, moment in (
                (bids.user_id, bids.placed_at),
                (watches.user_id, watches.watched_at),
            )
        )
        bid_at, watched_at = (one.scalar_subquery() for one in newest)
        return sa.case(
            (users.last_sign_in_at <= until, users.last_sign_in_at),
            (users.last_sign_in_at.is_(None), None),
            else_=sa.case(
                (watched_at.is_(None), bid_at),
                (bid_at > watched_at, bid_at),
                else_=watched_at,
            ),
        )
