"""Reading the change feed from a position on."""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from operator import itemgetter
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.dialect import json_array, json_list, json_of
from angle_reco.adapters.sql.results.change_rows import (
    FORGOTTEN,
    KINDS,
    change_of,
    current_snapshot,
    end_of_snapshot,
)
from angle_reco.adapters.sql.results.feed_position import FeedPosition, Forgotten, Snapshot, State
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.changes import Change
from angle_reco.domain.moments import to_micros
from angle_reco.ports.changes import Cursor, Feed

MOST_BYTES = 8_000_000
"""Approximate limit of one read; a reader with more unread changes gets a gap."""

_BYTES_OF_A_ROW = 100


@attrs.define(eq=False)
class FeedReader:
    """Reads what was published since a cursor, in one statement."""

    database: Database
    tables: Tables

    def now(self) -> Cursor:
        """Return the position of a reader that has read every change."""
        # No row has the number -1, so no row is looked up.
        [row] = self.database.rows(sa.select(*self._state(known=sa.literal(-1))))
        return self._state_of(row).place.cursor(self.database.dialect)

    def since(self, cursor: Cursor) -> Feed:
        """Return the changes that a reader at *cursor* has not read."""
        dialect = self.database.dialect
        known = FeedPosition.of(cursor, dialect)
        if known is None:
            return Feed(changes=(), cursor=self.now(), has_gap=True)
        values: dict[str, Any] = {"known": known.number}
        if self.database.is_postgres:
            values |= {"end": known.snapshot.end, "running": list(known.snapshot.running)}
        [row] = self.database.rows(self._news, values)
        state = self._state_of(row)
        place = state.place
        if place.number <= known.number:
            place = attrs.evolve(place, number=known.number, told_at=known.told_at)
        fits = (row.bytes or 0) <= MOST_BYTES
        news = json.loads(row.news or "[]") if fits else []
        has_gap = (
            not fits or state.hides_from(known) or any(kind not in KINDS for _, kind, *_ in news)
        )
        changes = () if has_gap else self._changes(news)
        return Feed(
            changes=changes,
            cursor=(state.place if has_gap else place).cursor(dialect),
            has_gap=has_gap,
        )

    @cached_property
    def _news(self) -> sa.Select[Any]:
        """Return the query for the changes that a reader has not read, and the feed's state."""
        changes, dialect = self.tables.changes, self.database.dialect
        is_postgres = self.database.is_postgres
        known = sa.bindparam("known", type_=sa.BigInteger)
        is_new = changes.c.number > known
        if is_postgres:
            # Rows with lower numbers are new if their transactions had not ended at the last read.
            # Rows restored from another server's dump name transactions that are still to come.
            running = sa.bindparam("running", type_=ARRAY(sa.BigInteger))
            end = sa.bindparam("end", type_=sa.BigInteger)
            written_by = changes.c.written_by
            is_late = sa.and_(written_by >= end, written_by < end_of_snapshot())
            is_new = sa.or_(is_new, is_late, written_by == sa.any_(running))
        state = sa.select(*self._state(known)).subquery("state")
        size = sa.func.octet_length if is_postgres else sa.func.length
        bytes_ = sa.func.coalesce(size(changes.c["items"]), 0) + _BYTES_OF_A_ROW
        new = (
            sa.select(changes, bytes_.label("bytes"))
            .where(is_new)
            .order_by(changes.c.number)
            .limit(MOST_BYTES // _BYTES_OF_A_ROW + 1)
            .subquery("new")
        )
        # Many changes are usually repetitions, of items that receive bids: each distinct change
        # is sent once, with its numbers. The result is one text, because the driver spends more
        # time on a row than the server on the aggregation.
        of = [new.c.kind, new.c.user_id, new.c["items"], new.c.job]
        each = (
            sa.select(
                json_list(new.c.number, dialect).label("numbers"),
                *of,
                sa.func.sum(sa.func.sum(new.c.bytes)).over().label("bytes"),
            )
            .group_by(*of)
            .subquery("each_once")
        )
        numbers = each.c.numbers if is_postgres else sa.func.json(each.c.numbers)
        fields = [
            numbers,
            each.c.kind,
            each.c.user_id,
            json_of(each.c["items"], dialect),
            each.c.job,
        ]
        some = json_list(json_array(fields, dialect), dialect).filter(each.c.bytes <= MOST_BYTES)
        news = sa.select(
            sa.cast(some, sa.Text).label("news"), sa.func.max(each.c.bytes).label("bytes")
        ).subquery("news")
        return sa.select(state, news.c.news, news.c.bytes).select_from(state.join(news, sa.true()))

    def _state(self, known: sa.ColumnElement[int]) -> list[sa.Label[Any]]:
        changes, keys = self.tables.changes.c, self.tables.keys.c
        newest = sa.select(changes.number).order_by(changes.number.desc()).limit(1)
        published_at = sa.select(changes.told_at)
        parts = {
            "snapshot": current_snapshot(self.database.dialect),
            "forgotten": sa.select(keys.value).where(keys.name == FORGOTTEN).scalar_subquery(),
            "newest": newest.scalar_subquery(),
            "newest_told_at": (
                published_at.order_by(changes.number.desc()).limit(1).scalar_subquery()
            ),
            "known_told_at": published_at.where(changes.number == known).scalar_subquery(),
        }
        return [part.label(name) for name, part in parts.items()]

    def _state_of(self, row: sa.Row[Any]) -> State:
        return State(
            snapshot=Snapshot.of(row.snapshot),
            forgotten=Forgotten.of(row.forgotten),
            newest=row.newest or 0,
            newest_told_at=_micros(row.newest_told_at) or 0,
            known_told_at=_micros(row.known_told_at),
        )

    def _changes(self, news: Sequence[Sequence[Any]]) -> tuple[Change, ...]:
        """Return the changes in the order of their row numbers."""
        changes = [
            (number, change)
            for numbers, *fields in news
            for change in [change_of(self.tables.ids, *fields)]
            for number in numbers
        ]
        return tuple(change for _, change in sorted(changes, key=itemgetter(0)))


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)
