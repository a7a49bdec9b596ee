"""Kept interests, a row a user and category."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from angle_reco.adapters.sql.coverage import close_run, covered_at
from angle_reco.adapters.sql.dialect import among
from angle_reco.adapters.sql.engine import reading, transaction
from angle_reco.adapters.sql.schema import Tables
from angle_reco.domain import (
    CategoryId,
    IdColumn,
    Interests,
    UserId,
    UserInterest,
    interest_has_changed,
)
from angle_reco.ports import StoredInterests, StoreTotals, Written

_KIND = "interests"
_USERS_AT_ONCE = 1_000


@attrs.frozen
class SqlInterestStore:
    """`InterestStore` in a table of our own."""

    engine: sa.Engine
    tables: Tables

    def of(self, user_id: UserId, *, limit: int | None = None) -> StoredInterests | None:
        table = self.tables.interests
        query = (
            sa.select(table, covered_at(self.tables, _KIND))
            .where(table.c.user_id == user_id)
            .order_by(
                table.c.score.desc(),
                table.c.interaction_count.desc(),
                table.c.last_interaction_at.desc(),
                table.c.category_id,
            )
        )
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        if not rows:
            return None
        return StoredInterests(
            interests=tuple(_interest(row) for row in rows[:limit]),
            recipe=rows[0].recipe,
            computed_at=max(row.computed_at for row in rows),
            covered_at=rows[0].covered_at,
        )

    def write(self, interests: Interests, *, users: IdColumn, computed_at: datetime) -> Written:
        table = self.tables.interests
        upsert = sqlite.insert(table)
        upsert = upsert.on_conflict_do_update(
            index_elements=list(table.primary_key),
            set_={name: upsert.excluded[name] for name in _VALUES},
        )
        remove = sa.delete(table).where(
            table.c.user_id == sa.bindparam("of_user"),
            table.c.category_id == sa.bindparam("in_category"),
        )
        changed = unchanged = 0
        with transaction(self.engine) as connection:
            for some, fresh in _by_users(interests, users):
                known = {
                    (row.user_id, row.category_id): row
                    for row in connection.execute(
                        sa.select(table).where(among(table.c.user_id, some))
                    )
                }
                rows = [
                    {
                        **attrs.asdict(interest),
                        "recipe": interests.recipe,
                        "computed_at": computed_at,
                    }
                    for key, interest in fresh.items()
                    if _is_news(known.get(key), interest, interests.recipe, computed_at)
                ]
                gone = [
                    {"of_user": user_id, "in_category": category_id}
                    for user_id, category_id in known.keys() - fresh.keys()
                ]
                if rows:
                    connection.execute(upsert, rows)
                if gone:
                    connection.execute(remove, gone)
                changed += len(rows) + len(gone)
                unchanged += len(fresh) - len(rows)
        return Written(changed, unchanged)

    def retain(self, users: IdColumn, *, started_at: datetime) -> int:
        table = self.tables.interests
        with transaction(self.engine) as connection:
            gone = connection.execute(sa.delete(table).where(~among(table.c.user_id, users)))
            close_run(connection, self.tables, _KIND, started_at)
            return gone.rowcount

    def totals(self) -> StoreTotals:
        table = self.tables.interests
        query = sa.select(
            sa.func.count(table.c.user_id.distinct()),
            sa.func.count(),
            sa.func.min(table.c.computed_at),
            sa.func.max(table.c.computed_at),
            covered_at(self.tables, _KIND),
        )
        with reading(self.engine) as connection:
            owners, rows, oldest_at, newest_at, covered = connection.execute(query).one()
        return StoreTotals(
            owners=owners,
            rows=rows,
            oldest_at=oldest_at,
            newest_at=newest_at,
            covered_at=covered,
        )


_VALUES = (
    "score",
    "strength",
    "interaction_count",
    "last_interaction_at",
    "recipe",
    "computed_at",
)


def _by_users(
    interests: Interests, users: IdColumn
) -> Iterator[tuple[IdColumn, dict[tuple[UserId, CategoryId], UserInterest]]]:
    """Yield users in batches, each with what is to be kept of them."""
    of_user: dict[object, list[UserInterest]] = {}
    for interest in interests.values():
        of_user.setdefault(interest.user_id, []).append(interest)
    for first in range(0, len(users), _USERS_AT_ONCE):
        some = users.take(slice(first, first + _USERS_AT_ONCE))
        yield (
            some,
            {
                (interest.user_id, interest.category_id): interest
                for user_id in some
                for interest in of_user.get(user_id, ())
            },
        )


def _is_news(
    row: sa.Row[Any] | None, interest: UserInterest, recipe: str, computed_at: datetime
) -> bool:
    return (
        row is None
        or row.recipe != recipe
        or row.computed_at > computed_at
        or interest_has_changed(_interest(row), interest)
    )


def _interest(row: sa.Row[Any]) -> UserInterest:
    return UserInterest(
        user_id=row.user_id,
        category_id=row.category_id,
        score=row.score,
        strength=row.strength,
        interaction_count=row.interaction_count,
        last_interaction_at=row.last_interaction_at,
    )
