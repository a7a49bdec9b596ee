"""Interests as rows: replacing those of some users, and writing only rows that changed."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import attrs
import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from angle_reco.adapters.sql.core.copying import CopyType, copy_rows, rows_of, staged
from angle_reco.adapters.sql.core.dialect import among
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.ids import CategoryId, UserId
from angle_reco.domain.millionths import SCORE_TOLERANCE
from angle_reco.domain.scoring.interest import Interests, UserInterest, interest_has_changed
from angle_reco.ports.stores import StoredInterests

_USERS_AT_ONCE = 1_000

_KEY = ("user_id", "category_id")
_VALUES = ("score", "strength", "interaction_count", "last_interaction_at")
_MARKS = ("recipe", "computed_at")

_NOT_BY_HAND = {"by_hand": False, "removed": False}


def replace_interests(
    connection: sa.Connection,
    tables: Tables,
    interests: Interests,
    users: IdColumn,
    computed_at: datetime,
) -> tuple[int, int]:
    """Replace the interests of *users*; return the numbers of changed and of unchanged rows."""
    is_sqlite = connection.dialect.name == "sqlite"
    return (_upsert if is_sqlite else _merge)(connection, tables, interests, users, computed_at)


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


def _merge(
    connection: sa.Connection,
    tables: Tables,
    interests: Interests,
    users: IdColumn,
    computed_at: datetime,
) -> tuple[int, int]:
    """Copy the interests to a temporary table, delete missing rows and merge changed ones."""
    table = tables.interests
    stage = sa.Table(
        f"{table.name}_fresh",
        sa.MetaData(),
        *(sa.Column(name, table.c[name].type) for name in (*_KEY, *_VALUES)),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DROP",
    )
    of_users = np.flatnonzero(IdIndex.of(users.kind, users).codes(interests.users.ids) != NONE)
    mine = np.flatnonzero(np.isin(interests.user, of_users))
    columns: list[Any] = [
        interests.users.ids.take(interests.user[mine]),
        interests.categories.ids.take(interests.category[mine]),
        *((CopyType.INT, values[mine]) for values in (interests.scores, interests.strengths)),
        (CopyType.INT, interests.counts[mine]),
        (CopyType.MOMENT, interests.last_at[mine]),
    ]
    is_fresh = sa.exists().where(*(stage.c[name] == table.c[name] for name in _KEY))
    gone = sa.delete(table).where(
        among(table.c.user_id, users, users.kind, "postgresql"), ~is_fresh
    )
    fresh = sa.select(
        *stage.c,
        sa.literal(interests.recipe, sa.Text),
        sa.literal(computed_at, table.c.computed_at.type),
    ).order_by(*(stage.c[name] for name in _KEY))
    insert = postgresql.insert(table).from_select([*_KEY, *_VALUES, *_MARKS], fresh)
    new, old = insert.excluded, table.c
    merge = insert.on_conflict_do_update(
        index_elements=[old[name] for name in _KEY],
        set_={**{name: new[name] for name in (*_VALUES, *_MARKS)}, **_NOT_BY_HAND},
        where=sa.or_(
            old.by_hand,
            old.recipe != new.recipe,
            old.computed_at > new.computed_at,
            old.interaction_count != new.interaction_count,
            old.last_interaction_at != new.last_interaction_at,
            sa.func.abs(old.score - new.score) > SCORE_TOLERANCE,
            sa.func.abs(old.strength - new.strength) > SCORE_TOLERANCE,
        ),
    )
    with staged(connection, stage):
        copy_rows(connection, stage, rows_of(columns))
        removed = connection.execute(gone).rowcount
        written = connection.execute(merge).rowcount
    return written + removed, len(mine) - written


def _upsert(
    connection: sa.Connection,
    tables: Tables,
    interests: Interests,
    users: IdColumn,
    computed_at: datetime,
) -> tuple[int, int]:
    """Compare rows in Python and write those that changed, for SQLite."""
    table = tables.interests
    upsert = sqlite.insert(table)
    upsert = upsert.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={**{name: upsert.excluded[name] for name in (*_VALUES, *_MARKS)}, **_NOT_BY_HAND},
    )
    remove = sa.delete(table).where(
        table.c.user_id == sa.bindparam("of_user"),
        table.c.category_id == sa.bindparam("in_category"),
    )
    marks = {"recipe": interests.recipe, "computed_at": computed_at}
    changed = unchanged = 0
    for some, fresh in _by_users(interests, users):
        query = sa.select(table).where(among(table.c.user_id, some, some.kind, "sqlite"))
        known = {(row.user_id, row.category_id): row for row in connection.execute(query)}
        rows = [
            {**attrs.asdict(interest), **marks}
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
    return changed, unchanged


def _by_users(
    interests: Interests, users: IdColumn
) -> Iterator[tuple[IdColumn, dict[tuple[UserId, CategoryId], UserInterest]]]:
    """Yield the users in batches, each user once, with the interests to store for them."""
    of_user: dict[object, list[UserInterest]] = {}
    for interest in interests.values():
        of_user.setdefault(interest.user_id, []).append(interest)
    users = IdIndex.of(users.kind, users).ids
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
        or interest_has_changed(interest_of(row), interest)
    )
