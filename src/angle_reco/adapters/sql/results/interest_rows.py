"""Interests as rows: replacing those of some users, and writing only rows that changed."""

from collections.abc import Collection
from datetime import datetime
from functools import lru_cache
from typing import Any

import attrs
import numpy as np
import sqlalchemy as sa

from angle_reco.adapters.sql.core.copy_formats import CopyType, rows_of
from angle_reco.adapters.sql.core.copying import staged
from angle_reco.adapters.sql.core.dialect import among
from angle_reco.adapters.sql.core.types import Moment
from angle_reco.adapters.sql.results.merging_rows import merge_rows, merging
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.ids import CategoryId, UserId
from angle_reco.domain.millionths import SCORE_TOLERANCE
from angle_reco.domain.scoring.interest import Interests, UserInterest
from angle_reco.ports.stores import StoredInterests

_COLUMNS = ("user", "category", "scores", "strengths", "counts", "last_at")
_VALUES = ("score", "strength", "interaction_count", "last_interaction_at")

# COPY takes any number of rows; parameters are in memory as Python's objects.
_USERS_AT_ONCE = {"sqlite": 500, "postgresql": 2**31}

_NOT_BY_HAND = {"by_hand": False, "removed": False}


def replace_interests(
    connection: sa.Connection,
    tables: Tables,
    interests: Interests,
    users: IdColumn,
    computed_at: datetime,
) -> tuple[int, int]:
    """Replace the interests of *users*; return the numbers of changed and of unchanged rows."""
    table, dialect = tables.interests, connection.dialect.name
    users = IdIndex.of(users.kind, users).ids
    at_once = _USERS_AT_ONCE[dialect]
    changed = unchanged = 0
    for first in range(0, len(users), at_once):
        some = users.take(slice(first, first + at_once))
        fresh = _of_users(interests, some)
        of_users = among(table.c.user_id, some, some.kind, dialect)
        written, removed = _replace(connection, table, fresh, of_users, computed_at)
        changed, unchanged = changed + written + removed, unchanged + len(fresh) - written
    return changed, unchanged


def _replace(
    connection: sa.Connection,
    table: sa.Table,
    fresh: Interests,
    of_users: sa.ColumnElement[bool],
    computed_at: datetime,
) -> tuple[int, int]:
    """Replace what is stored of some users; return how many rows were written and removed."""
    stage, merge = _merging(table, connection.dialect.name)
    if connection.dialect.name == "sqlite":
        names = [column.name for column in stage.c]
        rows = {
            (one.user_id, one.category_id): {name: getattr(one, name) for name in names}
            for one in fresh.values()
        }
        removed = _delete_others(connection, table, of_users, rows.keys())
        return merge_rows(connection, merge, fresh.recipe, computed_at, rows.values()), removed
    is_key = [stage.c[one.name] == one for one in table.primary_key]
    is_fresh = sa.exists().where(*is_key)
    # Without this, ON CONFLICT would lock each row before it sees that the row stays.
    drop_unchanged = sa.delete(stage).where(
        of_users,
        *is_key,
        table.c.computed_at <= sa.bindparam(None, computed_at, Moment),
        table.c.recipe == fresh.recipe,
        ~sa.or_(*_differ(table.c, stage.c)),
    )
    columns: list[Any] = [
        fresh.users.ids.take(fresh.user),
        fresh.categories.ids.take(fresh.category),
        *((CopyType.INT, values) for values in (fresh.scores, fresh.strengths, fresh.counts)),
        (CopyType.MOMENT, fresh.last_at),
    ]
    with staged(connection, stage, rows_of(columns)):
        removed = connection.execute(sa.delete(table).where(of_users, ~is_fresh)).rowcount
        connection.execute(drop_unchanged).close()
        return merge_rows(connection, merge, fresh.recipe, computed_at), removed


def interest_of(row: sa.Row[Any]) -> UserInterest:
    """Return the interest that a row stores."""
    return UserInterest(
        user_id=row.user_id,
        category_id=row.category_id,
        score=row.score,
        strength=row.strength,
        interaction_count=row.interaction_count,
        last_interaction_at=row.last_interaction_at,
        by_hand=row.by_hand,
    )


def override_rows(user_id: UserId, stored: StoredInterests) -> list[dict[str, Any]]:
    """Return the rows for a user's edited interests, with one for each removed category."""
    marks = {"recipe": stored.recipe, "computed_at": stored.computed_at}
    rows = [{**attrs.asdict(one), **marks, "removed": False} for one in stored.interests]
    return rows + [
        {
            **marks,
            "user_id": user_id,
            "category_id": category_id,
            "score": 0,
            "strength": 0,
            "interaction_count": 0,
            "last_interaction_at": stored.computed_at,
            "by_hand": True,
            "removed": True,
        }
        for category_id in stored.removed
    ]


def _of_users(interests: Interests, users: IdColumn) -> Interests:
    """Return the interests of *users*, in the order of the key."""
    of_users = np.flatnonzero(IdIndex.of(users.kind, users).codes(interests.users.ids) != NONE)
    places = np.flatnonzero(np.isin(interests.user, of_users))
    places = places[np.lexsort((interests.category[places], interests.user[places]))]
    return attrs.evolve(interests, **{name: getattr(interests, name)[places] for name in _COLUMNS})


@lru_cache
def _merging(table: sa.Table, dialect: str) -> tuple[sa.Table, sa.Insert]:
    return merging(table, dialect, _VALUES, overrides=_NOT_BY_HAND, differ=_differ)


def _differ(old: Any, new: Any) -> list[sa.ColumnElement[bool]]:
    """Return the conditions of `interest_has_changed`; fresh rows are no overrides."""
    return [
        old.by_hand,
        old.interaction_count != new.interaction_count,
        old.last_interaction_at != new.last_interaction_at,
        sa.func.abs(old.score - new.score) > SCORE_TOLERANCE,
        sa.func.abs(old.strength - new.strength) > SCORE_TOLERANCE,
    ]


def _delete_others(
    connection: sa.Connection,
    table: sa.Table,
    of_users: sa.ColumnElement[bool],
    fresh: Collection[tuple[UserId, CategoryId]],
) -> int:
    """Delete rows whose key is not *fresh*, with SQLite; return how many."""
    user, category = table.primary_key
    known = connection.execute(sa.select(user, category).where(of_users))
    gone = [{"user": row[0], "category": row[1]} for row in known if tuple(row) not in fresh]
    if gone:
        others = sa.delete(table).where(
            user == sa.bindparam("user"), category == sa.bindparam("category")
        )
        connection.execute(others, gone)
    return len(gone)
