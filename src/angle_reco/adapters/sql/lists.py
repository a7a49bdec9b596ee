"""Kept lists of suggestions, a row a list, so that replacing one is atomic by itself."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from angle_reco.adapters.sql.coverage import close_run, covered_at
from angle_reco.adapters.sql.dialect import among, json_ids
from angle_reco.adapters.sql.engine import reading, transaction
from angle_reco.adapters.sql.schema import Tables
from angle_reco.domain import (
    REASONS,
    SCORE_TOLERANCE,
    SOURCES,
    IdColumn,
    IdKind,
    ItemId,
    ListKind,
    Lists,
    Recipe,
    StoredLine,
    StoredList,
)
from angle_reco.ports import StoreTotals, Written

_LISTS_AT_ONCE = 500


@attrs.frozen
class SqlListStore:
    """`ListStore` in one table a kind."""

    engine: sa.Engine
    tables: Tables

    def read(self, kind: ListKind, owners: Collection[object]) -> Mapping[object, StoredList]:
        wanted = json_ids(IdColumn.of(self.tables.owner_kind(kind), owners))
        with reading(self.engine) as connection:
            rows = connection.execute(_read_query(self.tables, kind), {"wanted": wanted}).all()
        return {row.owner: self._stored(row) for row in rows}

    def write(self, kind: ListKind, lists: Lists) -> Written:
        table = self.tables.lists[kind]
        upsert = sqlite.insert(table)
        upsert = upsert.on_conflict_do_update(
            index_elements=[table.c.owner],
            set_={column.name: upsert.excluded[column.name] for column in table.c},
        )
        changed = 0
        with transaction(self.engine) as connection:
            for owners, rows in _in_batches(lists):
                query = sa.select(table).where(among(table.c.owner, owners))
                known = {row.owner: row for row in connection.execute(query)}
                news = [row for row in rows if _is_news(known.get(row["owner"]), row)]
                if news:
                    connection.execute(upsert, news)
                changed += len(news)
        return Written(changed, len(lists) - changed)

    def retain(self, kind: ListKind, owners: IdColumn, *, started_at: datetime) -> int:
        table = self.tables.lists[kind]
        with transaction(self.engine) as connection:
            gone = connection.execute(sa.delete(table).where(~among(table.c.owner, owners)))
            close_run(connection, self.tables, kind, started_at)
            return gone.rowcount

    def coverage(self, kind: ListKind) -> datetime | None:
        with reading(self.engine) as connection:
            return connection.scalar(sa.select(covered_at(self.tables, kind)))

    def older_than(self, kind: ListKind, moment: datetime) -> Sequence[object]:
        table = self.tables.lists[kind]
        covered = self.tables.coverage.c
        is_covered = sa.exists().where(covered.kind == kind.value, covered.started_at >= moment)
        query = (
            sa.select(table.c.owner)
            .where(table.c.computed_at < moment, ~is_covered)
            .order_by(table.c.owner)
        )
        with reading(self.engine) as connection:
            return connection.scalars(query).all()

    def totals(self, kind: ListKind) -> StoreTotals:
        table = self.tables.lists[kind]
        query = sa.select(
            sa.func.count(),
            sa.func.coalesce(sa.func.sum(sa.func.json_array_length(table.c["items"])), 0),
            sa.func.min(table.c.computed_at),
            sa.func.max(table.c.computed_at),
            covered_at(self.tables, kind),
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

    def _stored(self, row: sa.Row[Any]) -> StoredList:
        # "items" and the like are methods of rows, so columns are read by name.
        kept = row._mapping
        items = json.loads(kept["items"])
        if self.tables.ids.item is IdKind.UUID:
            items = [UUID(hex=one) for one in items]
        by_hand = [False] * len(items) if row.by_hand is None else json.loads(row.by_hand)
        return StoredList(
            lines=tuple(
                StoredLine(
                    item_id=ItemId(item_id),
                    score=score,
                    parts=tuple(parts),
                    reason=REASONS[reason],
                    source=SOURCES[source],
                    by_hand=bool(is_by_hand),
                )
                for item_id, score, parts, reason, source, is_by_hand in zip(
                    items,
                    json.loads(row.scores),
                    json.loads(row.parts),
                    json.loads(row.reasons),
                    json.loads(row.sources),
                    by_hand,
                    strict=True,
                )
            ),
            recipe=Recipe.from_text(row.recipe),
            computed_at=row.computed_at,
            covered_at=row.covered_at,
        )


@lru_cache
def _read_query(tables: Tables, kind: ListKind) -> sa.Select[Any]:
    """Return the statement for lists; building it anew takes longer than running it."""
    table = tables.lists[kind]
    wanted = sa.bindparam("wanted", type_=sa.Text)
    return sa.select(table, covered_at(tables, kind)).where(among(table.c.owner, wanted))


def _in_batches(lists: Lists) -> Iterator[tuple[IdColumn, list[dict[str, Any]]]]:
    """Yield lists as the rows that the table has, some at a time with their owners."""
    recipe = lists.recipe.to_text()
    for first in range(0, len(lists), _LISTS_AT_ONCE):
        owners = lists.owners.take(slice(first, first + _LISTS_AT_ONCE))
        rows = []
        for place, owner in enumerate(owners, start=first):
            lines = slice(int(lists.offsets[place]), int(lists.offsets[place + 1]))
            rows.append(
                {
                    "owner": owner,
                    "items": json_ids(lists.items.take(lines)),
                    "scores": _json(lists.scores[lines].tolist()),
                    "parts": _json(lists.parts[lines].tolist()),
                    "reasons": _json(lists.reasons[lines].tolist()),
                    "sources": _json(lists.sources[lines].tolist()),
                    "by_hand": None,
                    "recipe": recipe,
                    "computed_at": lists.computed_at,
                }
            )
        yield owners, rows


def _is_news(old: sa.Row[Any] | None, new: dict[str, Any]) -> bool:
    """Return what `has_changed` says of two rows: equal columns are equal as texts."""
    if old is None or old.computed_at > new["computed_at"]:
        return True
    kept = old._mapping
    if any(
        kept[name] != new[name] for name in ("items", "reasons", "sources", "by_hand", "recipe")
    ):
        return True
    return old.scores != new["scores"] and any(
        abs(before - after) > SCORE_TOLERANCE
        for before, after in zip(json.loads(old.scores), json.loads(new["scores"]), strict=True)
    )


def _json(values: list[Any]) -> str:
    return json.dumps(values, separators=(",", ":"))
