"""Stored lists of suggestions, one row per list, so that replacing a list is atomic."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import attrs
import sqlalchemy as sa

from angle_reco.adapters.sql.core.bulk import read_ids
from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.dialect import IdList, among, in_order, length_of
from angle_reco.adapters.sql.market.erased_users import places_to_write, refuse_erased
from angle_reco.adapters.sql.results.list_rows import (
    changed_by_digest,
    write_changed,
    write_one,
    write_single,
)
from angle_reco.adapters.sql.results.runs import (
    CompleteRun,
    covered_at,
    forget_watermark_of,
    retain_rows,
    totals_of,
    write_alone,
)
from angle_reco.adapters.sql.results.watermarks import remove_watermarks, watermark_of
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import IdKind, UserId, interned
from angle_reco.domain.lists import ListKind, Lists
from angle_reco.domain.runs import Fence
from angle_reco.domain.stored_list import Recipe, StoredList, packed
from angle_reco.domain.suggestions import Source
from angle_reco.ports.stores import StoreTotals, Written


@attrs.frozen
class SqlListStore:
    """`ListStore` in SQL tables, one per kind of list."""

    database: Database
    tables: Tables

    def read(self, kind: ListKind, owners: Collection[object]) -> Mapping[object, StoredList]:
        wanted = IdColumn.of(self.tables.owner_kind(kind), owners)
        query = _read_query(self.tables, kind, self.database.dialect)
        rows = self.database.rows(query, {"wanted": wanted})
        return {row.owner: self._stored(row) for row in rows}

    def write(self, kind: ListKind, lists: Lists, *, fence: Fence | None = None) -> Written:
        lists, table = lists.last_of_each(), self.tables.lists[kind]

        def unit(connection: sa.Connection) -> Written:
            some = self._to_write(connection, kind, lists)
            if len(some) == 1 and fence is None:
                # As after a bid: less than the look for what changed, and a stage. A run looks,
                # because this locks the row even if it stays.
                changed = write_single(connection, table, some)
            else:
                by_digest = changed_by_digest(connection, table, some)
                changed = write_changed(connection, table, by_digest)
            return Written(changed, len(some) - changed)

        return write_alone(
            self.database, self.tables, table, unit, fence, is_part=fence is not None
        )

    def retain(
        self,
        kind: ListKind,
        owners: IdColumn | None,
        *,
        started_at: datetime,
        watermark: str = "",
        fence: Fence | None = None,
    ) -> int:
        table, run = self.tables.lists[kind], CompleteRun(kind, started_at, watermark)
        return retain_rows(self.database, self.tables, table, owners, run, fence)

    def watermark(self, kind: ListKind) -> str | None:
        return watermark_of(self.database, self.tables, kind)

    def forget_watermark(self, kind: ListKind, *, fence: Fence | None = None) -> None:
        forget_watermark_of(self.database, self.tables, self.tables.lists[kind], kind, fence)

    def edit(
        self,
        kind: ListKind,
        owner: object,
        change: Callable[[StoredList | None], StoredList],
    ) -> None:
        table = self.tables.lists[kind]
        wanted = IdColumn.of(self.tables.owner_kind(kind), [owner])
        query = _read_query(self.tables, kind, self.database.dialect)

        def unit(connection: sa.Connection) -> None:
            if kind is ListKind.PERSONAL:
                refuse_erased(connection, self.tables, UserId(owner))
            row = connection.execute(query, {"wanted": wanted}).one_or_none()
            old = None if row is None else self._stored(row)
            new = change(old)
            if old is None or not new.is_same_as(old):
                remove_watermarks(connection, self.tables, [kind])
            if new is not old:
                write_one(connection, table, self.tables.ids.item, owner, new)

        write_alone(self.database, self.tables, table, unit)

    def _to_write(self, connection: sa.Connection, kind: ListKind, lists: Lists) -> Lists:
        """Return *lists* without personal lists of erased users."""
        if kind is not ListKind.PERSONAL:
            return lists
        places = places_to_write(connection, self.tables, lists.owners)
        return lists if places is None else lists.take(places)

    def older_than(self, kind: ListKind, moment: datetime) -> Sequence[object]:
        table = self.tables.lists[kind]
        covered = self.tables.coverage.c
        is_covered = sa.exists().where(covered.kind == kind.value, covered.started_at >= moment)
        query = (
            sa.select(table.c.owner)
            .where(table.c.computed_at < moment, ~is_covered)
            .order_by(in_order(table.c.owner, self.tables.owner_kind(kind), self.database.dialect))
        )
        return [row.owner for row in self.database.rows(query)]

    def computed_since(
        self, kind: ListKind, moment: datetime, *, recipe: Recipe | None = None
    ) -> IdColumn:
        table = self.tables.lists[kind]
        query = sa.select(table.c.owner).where(table.c.computed_at >= moment)
        if recipe is not None:
            texts = self.database.rows(sa.select(table.c.recipe).distinct())
            same = [text for (text,) in texts if _recipe(text) == recipe]
            query = query.where(table.c.recipe.in_(same))
        return read_ids(self.database, query, self.tables.owner_kind(kind))

    def filled_up(self, kind: ListKind, *, size: int) -> IdColumn:
        table, dialect = self.tables.lists[kind], self.database.dialect
        code = sa.literal(Source.POPULAR.code, sa.SmallInteger)
        has_popular: sa.ColumnElement[bool] = code == sa.any_(table.c.sources)
        if not self.database.is_postgres:
            source = sa.func.json_each(table.c.sources).table_valued("value").c.value
            has_popular = sa.exists().where(source == code)
        is_short = length_of(table.c["items"], dialect) < size
        query = sa.select(table.c.owner).where(sa.or_(is_short, has_popular))
        return read_ids(self.database, query, self.tables.owner_kind(kind))

    def totals(self, kind: ListKind) -> StoreTotals:
        table = self.tables.lists[kind]
        lines = length_of(table.c["items"], self.database.dialect)
        owners, rows = sa.func.count(), sa.func.coalesce(sa.func.sum(lines), 0)
        return totals_of(self.database, self.tables, table, kind, owners=owners, rows=rows)

    def _stored(self, row: sa.Row[Any]) -> StoredList:
        items, scores, parts, reasons, sources, by_hand = (
            json.loads(value) if isinstance(value, str) else value
            for value in map(row._mapping.__getitem__, _ARRAYS)
        )
        if not self.database.is_postgres and self.tables.ids.item is IdKind.UUID:
            items = [UUID(hex=one) for one in items]
        return StoredList(
            ids=interned(items),
            scores=packed(scores),
            parts=packed(parts),
            reasons=bytes(reasons),
            sources=bytes(sources),
            by_hand=tuple(place for place, is_so in enumerate(by_hand or ()) if is_so),
            recipe=_recipe(row.recipe),
            computed_at=row.computed_at,
            covered_at=row.covered_at,
            edited=by_hand is not None,
        )


_ARRAYS = ("items", "scores", "parts", "reasons", "sources", "by_hand")

_recipe = lru_cache(Recipe.from_text)
"""Lists share their recipe, and reading one does not parse it."""


@lru_cache
def _read_query(tables: Tables, kind: ListKind, dialect: str) -> sa.Select[Any]:
    """Return the query for lists, cached: building it takes longer than running it."""
    table = tables.lists[kind]
    wanted = sa.bindparam("wanted", type_=IdList)
    return sa.select(table, covered_at(tables, kind)).where(
        among(table.c.owner, wanted, tables.owner_kind(kind), dialect)
    )
