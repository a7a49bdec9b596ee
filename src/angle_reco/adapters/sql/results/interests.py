"""Stored interests, one row per user and category."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import attrs
import sqlalchemy as sa

from angle_reco.adapters.sql.core.bulk import read_ids
from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.dialect import among, in_order
from angle_reco.adapters.sql.market.erased_users import places_to_write, refuse_erased
from angle_reco.adapters.sql.results.interest_rows import (
    interest_of,
    override_rows,
    replace_interests,
)
from angle_reco.adapters.sql.results.runs import (
    CompleteRun,
    covered_at,
    forget_watermark_of,
    retain_rows,
    totals_of,
    write_alone,
)
from angle_reco.adapters.sql.results.watermarks import (
    INTERESTS,
    remove_watermarks,
    watermark_of,
)
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import UserId
from angle_reco.domain.runs import Fence
from angle_reco.domain.scoring.interest import Interests
from angle_reco.ports.stores import StoredInterests, StoreTotals, Written


@attrs.frozen
class SqlInterestStore:
    """`InterestStore` in an SQL table."""

    database: Database
    tables: Tables

    def of(self, user_id: UserId, *, limit: int | None = None) -> StoredInterests | None:
        return _stored(self.database.rows(self._query(user_id)), limit)

    def write(
        self,
        interests: Interests,
        *,
        users: IdColumn,
        computed_at: datetime,
        fence: Fence | None = None,
    ) -> Written:
        def unit(connection: sa.Connection) -> Written:
            places = places_to_write(connection, self.tables, users)
            some = users if places is None else users.take(places)
            return Written(
                *replace_interests(connection, self.tables, interests, some, computed_at)
            )

        return write_alone(
            self.database,
            self.tables,
            self.tables.interests,
            unit,
            fence,
            is_part=fence is not None,
        )

    def retain(
        self,
        users: IdColumn | None,
        *,
        started_at: datetime,
        watermark: str = "",
        fence: Fence | None = None,
    ) -> int:
        run = CompleteRun(INTERESTS, started_at, watermark)
        return retain_rows(self.database, self.tables, self.tables.interests, users, run, fence)

    def watermark(self) -> str | None:
        return watermark_of(self.database, self.tables, INTERESTS)

    def forget_watermark(self, *, fence: Fence | None = None) -> None:
        forget_watermark_of(self.database, self.tables, self.tables.interests, INTERESTS, fence)

    def users_in(self, categories: IdColumn) -> IdColumn:
        table, kind = self.tables.interests.c, categories.kind
        among_them = among(table.category_id, categories, kind, self.database.dialect)
        query = sa.select(table.user_id).where(among_them).distinct()
        return read_ids(self.database, query, self.tables.ids.user)

    def edit(
        self, user_id: UserId, change: Callable[[StoredInterests | None], StoredInterests]
    ) -> None:
        table = self.tables.interests

        def unit(connection: sa.Connection) -> None:
            refuse_erased(connection, self.tables, user_id)
            old = _stored(connection.execute(self._query(user_id)).all())
            new = change(old)
            if new is not old:
                remove_watermarks(connection, self.tables, [INTERESTS])
                connection.execute(sa.delete(table).where(table.c.user_id == user_id))
                rows = override_rows(user_id, new)
                if rows:
                    connection.execute(sa.insert(table), rows)

        write_alone(self.database, self.tables, table, unit)

    def totals(self) -> StoreTotals:
        table = self.tables.interests
        owners, rows = sa.func.count(table.c.user_id.distinct()), sa.func.count()
        return totals_of(self.database, self.tables, table, INTERESTS, owners=owners, rows=rows)

    def _query(self, user_id: UserId) -> sa.Select[Any]:
        table = self.tables.interests
        return (
            sa.select(table, covered_at(self.tables, INTERESTS))
            .where(table.c.user_id == user_id)
            .order_by(
                table.c.score.desc(),
                table.c.interaction_count.desc(),
                table.c.last_interaction_at.desc(),
                in_order(table.c.category_id, self.tables.ids.category, self.database.dialect),
            )
        )


def _stored(rows: Sequence[sa.Row[Any]], limit: int | None = None) -> StoredInterests | None:
    if not rows:
        return None
    return StoredInterests(
        interests=tuple(interest_of(row) for row in rows if not row.removed)[:limit],
        recipe=rows[0].recipe,
        computed_at=max(row.computed_at for row in rows),
        covered_at=rows[0].covered_at,
        removed=tuple(row.category_id for row in rows if row.removed),
    )
