"""The rows of the change feed: their columns, and the transactions that wrote them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from angle_reco.adapters.sql.results.feed_position import Snapshot
from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.ids import IdKind, IdKinds, UserId

FIELDS = ("kind", "user_id", "items", "job")

GONE = "gone"
"""Kind of a row whose content was removed; readers that have not read it get a gap."""

EMPTY: Mapping[str, object] = {"kind": GONE, "user_id": None, "items": None, "job": None}
"""The fields of such a row."""

FORGOTTEN = "changes"
"""Name of the row in the keys table that records how far changes were deleted."""

# A later release on the same database may publish other kinds; here these are gaps.
KINDS = {kind.value: kind for kind in ChangeKind}


def change_of(
    ids: IdKinds, kind: str, user_id: Any, item_ids: Sequence[Any] | None, job: str | None
) -> Change:
    """Return the change in a row whose fields were read from JSON."""
    if ids.item is IdKind.UUID:
        item_ids = [UUID(one) for one in item_ids or ()]
    if ids.user is IdKind.UUID and user_id is not None:
        user_id = UUID(user_id)
    return Change(
        kind=KINDS[kind],
        item_ids=tuple(item_ids or ()),
        user_id=None if user_id is None else UserId(user_id),
        job=job or "",
    )


def transaction_number(transaction: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """Return the number of a transaction."""
    return sa.cast(sa.cast(transaction, sa.Text), sa.BigInteger)


def end_of_snapshot() -> sa.ColumnElement[int]:
    """Return the number of the first transaction that is still to come."""
    return transaction_number(sa.func.pg_snapshot_xmax(sa.func.pg_current_snapshot()))


def current_snapshot(dialect: str) -> sa.ColumnElement[str]:
    """Return which transactions are over, as text."""
    if dialect == "sqlite":
        return sa.literal(str(Snapshot()))
    now = sa.func.pg_current_snapshot()
    first = sa.cast(sa.func.pg_snapshot_xmin(now), sa.Text)
    # A standby does not list what is running: from the first of them on it is open.
    on_standby = first.concat(":").concat(first).concat(":")
    return sa.case((sa.func.pg_is_in_recovery(), on_standby), else_=sa.cast(now, sa.Text))
