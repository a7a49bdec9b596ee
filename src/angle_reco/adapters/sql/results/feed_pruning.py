"""Removing old changes, and those of erased users, from the change feed."""

from datetime import datetime, timedelta
from typing import Any

import attrs
import sqlalchemy as sa

from angle_reco.adapters.sql.core.dialect import upsert_into
from angle_reco.adapters.sql.results.change_rows import (
    EMPTY,
    FORGOTTEN,
    GONE,
    end_of_snapshot,
    transaction_number,
)
from angle_reco.adapters.sql.results.feed_position import Forgotten
from angle_reco.adapters.sql.results.runs import one_at_a_time
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.changes import ChangeKind
from angle_reco.domain.ids import UserId

_ERASED_FOR = timedelta(seconds=30)
_ROWS_A_DELETE = 10_000


def prune(
    connection: sa.Connection,
    tables: Tables,
    clock: sa.ColumnElement[datetime],
    *,
    older_than: timedelta,
) -> int:
    """Remove the changes *older_than* that, and those of erased users; return how many."""
    one_at_a_time(connection, tables.changes)
    now: datetime = connection.execute(sa.select(clock)).scalar_one()
    changes = tables.changes.c
    # This includes changes of the user published after the erasure.
    erased = sa.select(changes.user_id).where(
        changes.kind == ChangeKind.ERASED.value, changes.told_at <= now - _ERASED_FOR
    )
    is_old = changes.told_at <= now - older_than
    return (
        _empty(connection, tables, changes.user_id.in_(erased))
        + _delete(connection, tables, is_old)
        + _empty(connection, tables, sa.and_(is_old, changes.kind != GONE))
    )


def forget_user(connection: sa.Connection, tables: Tables, user_id: UserId) -> None:
    """Remove the content of a user's changes; readers that have not read them get a gap."""
    one_at_a_time(connection, tables.changes)
    _empty(connection, tables, tables.changes.c.user_id == user_id)


def _empty(connection: sa.Connection, tables: Tables, where: sa.ColumnElement[bool]) -> int:
    return connection.execute(sa.update(tables.changes).where(where).values(EMPTY)).rowcount


def _delete(connection: sa.Connection, tables: Tables, is_old: sa.ColumnElement[bool]) -> int:
    """Delete old rows, and record how far; return how many held a change.

    On PostgreSQL a row is deleted only if its transaction and all earlier ones had ended
    at the previous deletion, so that the snapshots of readers include them by now. Rows
    restored from another server's dump need not wait.
    """
    table, keys = tables.changes, tables.keys
    of_keys = sa.select(keys.c.value).where(keys.c.name == FORGOTTEN)
    before = Forgotten.of(connection.scalar(of_keys))
    first = 0
    is_over: sa.ColumnElement[bool] = sa.true()
    written_by: sa.ColumnElement[Any] = sa.literal(before.written_by)
    if connection.dialect.name == "postgresql":
        now, end = sa.func.pg_current_snapshot(), end_of_snapshot()
        first = connection.scalar(sa.select(transaction_number(sa.func.pg_snapshot_xmin(now)))) or 0
        is_known = table.c.written_by < min(before.first, first)
        is_over = sa.or_(is_known, table.c.written_by >= end)
        written_by = sa.case((table.c.written_by < end, table.c.written_by), else_=-1)
    some = sa.select(table.c.number).where(is_old, is_over).limit(_ROWS_A_DELETE)
    delete = (
        sa.delete(table)
        .where(table.c.number.in_(some))
        .returning(table.c.number, table.c.kind, written_by.label("written_by"))
    )
    after, count = attrs.evolve(before, first=first), 0
    while rows := connection.execute(delete).all():
        count += sum(row.kind != GONE for row in rows)
        after = attrs.evolve(
            after,
            number=max(after.number, *(row.number for row in rows)),
            written_by=max(after.written_by, *(row.written_by for row in rows)),
        )
    if after != before:
        insert = upsert_into(keys, connection.dialect.name)
        upsert = insert.values(name=FORGOTTEN, value=str(after))
        connection.execute(
            upsert.on_conflict_do_update(
                index_elements=[keys.c.name], set_={"value": upsert.excluded.value}
            )
        )
    return count
