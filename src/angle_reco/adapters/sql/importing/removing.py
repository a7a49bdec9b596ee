"""Removal of rows that the files of an import no longer have, and of results about them.

Erased users stay erased: their hashes are not removed.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import attrs
import sqlalchemy as sa

from angle_reco.adapters.sql.results.runs import one_at_a_time
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.lists import ListKind


@attrs.frozen(kw_only=True)
class Removal:
    """How many rows existed before an import that replaces, and how many it removes.

    Both are by name: users, items, bids, watches, and the interests, lists and permissions of
    removed users and items.
    """

    there: dict[str, int]
    removed: dict[str, int]


BeforeRemoval: TypeAlias = Callable[[Removal], None]
"""Called with the numbers before the removal; an exception stops the import."""


@attrs.frozen(kw_only=True)
class _Gone:
    """Rows of one table to be removed."""

    name: str
    table: sa.Table
    condition: sa.ColumnElement[bool]


def remove_gone(
    connection: sa.Connection,
    tables: Tables,
    staged: Mapping[str, sa.Table],
    before: BeforeRemoval,
) -> Removal:
    """Remove rows that are not *staged*, after a call of *before*; return how many.

    Without a file of watches, only watches of removed users and items are removed.
    """
    for name, stage in staged.items():
        columns = [stage.c[key] for key in _KEYS[name]]
        sa.Index(f"{stage.name}_key", *columns).create(connection)
    stored = (tables.interests, *(tables.lists[kind] for kind in _LISTS))
    for table in stored:
        # Other writers of personal results take these locks, too, and in the same order.
        one_at_a_time(connection, table)
    gone = list(_gone(tables, staged))
    there, removed = (dict.fromkeys(_NAMES, 0) for _ in range(2))
    for one in gone:
        rows = sa.select(sa.func.count()).select_from(one.table)
        there[one.name] += connection.scalar(rows) or 0
        removed[one.name] += connection.scalar(rows.where(one.condition)) or 0
    before(Removal(there=there, removed=removed))
    removed = dict.fromkeys(_NAMES, 0)
    for one in gone:
        removed[one.name] += connection.execute(sa.delete(one.table).where(one.condition)).rowcount
    return Removal(there=there, removed=removed)


_NAMES = ("users", "items", "bids", "watches", "interests", "lists", "permissions")

_KEYS = {
    "users": ("user_id",),
    "items": ("item_id",),
    "bids": ("item_id", "placed_at", "user_id", "amount"),
    "watches": ("item_id", "user_id"),
}

_LISTS = (ListKind.PERSONAL, ListKind.SIMILAR)


def _gone(tables: Tables, staged: Mapping[str, sa.Table]) -> Iterator[_Gone]:
    """Yield the rows to be removed; users and items last, because the rest is found by them."""
    users, items = tables.users.c.user_id, tables.items.c.item_id
    is_gone_user = ~_is_staged(staged, "users", tables.users)
    is_gone_item = ~_is_staged(staged, "items", tables.items)
    gone_users, gone_items = (
        sa.select(users).where(is_gone_user),
        sa.select(items).where(is_gone_item),
    )

    def of(name: str, table: sa.Table, column: sa.Column[Any], ids: sa.Select[Any]) -> _Gone:
        return _Gone(name=name, table=table, condition=column.in_(ids))

    interests, permissions = tables.interests, tables.user_permissions
    personal, similar = (tables.lists[kind] for kind in _LISTS)
    yield of("interests", interests, interests.c.user_id, gone_users)
    yield of("lists", personal, personal.c.owner, gone_users)
    yield of("lists", similar, similar.c.owner, gone_items)
    yield of("permissions", permissions, permissions.c.user_id, gone_users)
    bids, stage, watches = tables.bids, staged["bids"], tables.watches
    # Equal bids are numbered from 0: those beyond the number in the file are removed.
    equal = sa.select(sa.func.count()).select_from(stage).where(*_equal(stage, bids, "bids"))
    yield _Gone(name="bids", table=bids, condition=bids.c.number >= equal.scalar_subquery())
    yield _Gone(
        name="watches",
        table=watches,
        condition=(
            ~_is_staged(staged, "watches", watches)
            if "watches" in staged
            else sa.or_(watches.c.user_id.in_(gone_users), watches.c.item_id.in_(gone_items))
        ),
    )
    yield _Gone(name="users", table=tables.users, condition=is_gone_user)
    yield _Gone(name="items", table=tables.items, condition=is_gone_item)


def _is_staged(
    staged: Mapping[str, sa.Table], name: str, table: sa.Table
) -> sa.ColumnElement[bool]:
    return sa.exists().select_from(staged[name]).where(*_equal(staged[name], table, name))


def _equal(stage: sa.Table, table: sa.Table, name: str) -> list[sa.ColumnElement[bool]]:
    return [stage.c[key] == table.c[key] for key in _KEYS[name]]
