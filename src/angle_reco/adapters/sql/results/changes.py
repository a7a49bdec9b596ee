"""The change feed in a table: readers get each change after its transaction has committed."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from operator import itemgetter
from typing import Any
from uuid import UUID

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from angle_reco.adapters.sql.core.clocks import clock_of_server
from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.dialect import upsert_into
from angle_reco.adapters.sql.core.host_statements import execute_in
from angle_reco.adapters.sql.core.types import id_type
from angle_reco.adapters.sql.results.feed_position import FeedPosition, Forgotten, Snapshot, State
from angle_reco.adapters.sql.results.host_transactions import HostTransactions, Published
from angle_reco.adapters.sql.results.runs import one_at_a_time
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.errors import InvalidValueError, StorageLockedError
from angle_reco.domain.ids import IdKind, UserId
from angle_reco.domain.moments import to_micros
from angle_reco.ports.changes import Cursor, Feed
from angle_reco.ports.deadlines import deadline

MOST_BYTES = 8_000_000
"""Approximate limit of one read; a reader with more unread changes gets a gap."""

_BYTES_OF_A_ROW = 100
_ERASED_FOR = timedelta(seconds=30)
_ROWS_A_DELETE = 10_000
_SECONDS_FOR_WRITERS = 0.02
"""How long a page waits for another writer to SQLite, to know whether an event was rolled back."""

_FORGOTTEN = "changes"
"""Name of the row in the keys table that records how far changes were deleted."""

_GONE = "gone"
"""Kind of a row whose content was removed; readers that have not read it get a gap."""


@attrs.define(eq=False)
class SqlChanges:
    """`Changes` in an SQL table; *clock* is an SQL expression, by default the server's clock."""

    database: Database
    tables: Tables
    clock: sa.ColumnElement[datetime] = attrs.field()
    _in_transactions: HostTransactions = attrs.field(
        factory=HostTransactions, init=False, repr=False
    )

    @clock.default
    def _clock_of_server(self) -> sa.ColumnElement[datetime]:
        return clock_of_server(self.database.dialect)

    def publish(self, changes: Sequence[Change], *, connection: object | None = None) -> None:
        insert, values = self._written(changes)
        if connection is not None:
            done = execute_in(connection, self.database, insert, values)
            if 0 <= done.rows < len(changes):
                # The connection may be in the schema of another tenant, whose ids name others.
                raise InvalidValueError(
                    "connection",
                    "one whose current_schema() is another",
                    f"one whose current_schema() is {' or '.join(self.database.homes)}",
                )
            if done.within is not None and done.number is not None and len(changes) == 1:
                self._in_transactions.add(changes[0], done.number, done.within)
        elif changes:
            self.database.write(lambda ours: ours.execute(insert, values).close())

    def publish_gap(self, connection: sa.Connection) -> None:
        """Publish a gap to all readers, for a transaction with too many changes to list."""
        gap = {"kind": _GONE, "user_id": None, "items": None, "job": None}
        connection.execute(self._insert_one, gap).close()

    def now(self) -> Cursor:
        # No row has the number -1, so no row is looked up.
        [row] = self.database.rows(sa.select(*self._state(known=sa.literal(-1))))
        return self._state_of(row).place.cursor(self.database.dialect)

    def since(self, cursor: Cursor) -> Feed:
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
            not fits or state.hides_from(known) or any(kind not in _KINDS for _, kind, *_ in news)
        )
        changes = () if has_gap else self._changes(news)
        return Feed(
            changes=changes,
            cursor=(state.place if has_gap else place).cursor(dialect),
            has_gap=has_gap,
        )

    def may_have_ended(self, user_id: UserId) -> bool:
        return self._in_transactions.may_have_ended(user_id)

    def rolled_back(self) -> Sequence[Change]:
        pending = self._in_transactions.pending()
        if not pending:
            return ()
        keys = list({one.key for one in pending})
        ended = pending
        if self.database.is_postgres:
            [[snapshot, found]] = self.database.rows(self._rows_of, {"keys": keys})
            over = Snapshot.of(snapshot)
            ended = [one for one in pending if over.has(one.key)]
        else:
            try:
                with deadline(_SECONDS_FOR_WRITERS):
                    # Without another writer there is no transaction that could still commit.
                    found = self.database.write(
                        lambda ours: ours.scalar(self._rows_of, {"keys": json.dumps(keys)})
                    )
            except StorageLockedError:
                return ()
        self._in_transactions.discard(ended)
        return self._missing(ended, json.loads(found or "[]"))

    def _missing(self, ended: Sequence[Published], rows: Sequence[Any]) -> Sequence[Change]:
        """Return the changes of transactions that have *ended*, and left no row.

        Where fewer rows are left than equal changes, the last ones stay: after a savepoint was
        rolled back, a retry publishes the same again.
        """
        emptied = {key for key, kind, *_ in rows if kind == _GONE}
        left = Counter((key, self._change(*fields)) for key, *fields in rows if key not in emptied)
        missing = list[Change]()
        for one in reversed(ended):
            if one.key in emptied:
                continue
            if left[one.key, one.change]:
                left[one.key, one.change] -= 1
            else:
                missing.append(one.change)
        return missing[::-1]

    def prune(self, *, older_than: timedelta) -> int:
        changes = self.tables.changes.c

        def unit(connection: sa.Connection) -> int:
            one_at_a_time(connection, self.tables.changes)
            now: datetime = connection.execute(sa.select(self.clock)).scalar_one()
            # This includes changes of the user published after the erasure.
            erased = sa.select(changes.user_id).where(
                changes.kind == ChangeKind.ERASED.value, changes.told_at <= now - _ERASED_FOR
            )
            is_old = changes.told_at <= now - older_than
            return (
                _empty(connection, self.tables, changes.user_id.in_(erased))
                + self._delete(connection, is_old)
                + _empty(connection, self.tables, sa.and_(is_old, changes.kind != _GONE))
            )

        return self.database.write(unit)

    @cached_property
    def _insert_one(self) -> sa.Insert:
        """Return the statement that inserts one change; its parameters are the fields."""
        columns = self.tables.changes.c
        values: dict[str, sa.ColumnElement[Any]] = {
            name: sa.bindparam(name, type_=columns[name].type) for name in _FIELDS
        }
        if self.database.is_postgres:
            values["written_by"] = _number(sa.func.pg_current_xact_id())
        values["told_at"] = self.clock
        select = sa.select(*values.values()).where(self.database.is_at_home)
        return self._returning(sa.insert(self.tables.changes).from_select(list(values), select))

    @cached_property
    def _insert(self) -> sa.Insert:
        """Return the statement that inserts changes; its parameter is one JSON text."""
        table, kind = self.tables.changes, self.tables.ids.user
        given = sa.bindparam("changes", type_=sa.Text)
        new: Any
        values: dict[str, sa.ColumnElement[Any]]
        if self.database.is_postgres:
            new = (
                sa.func.json_to_recordset(sa.cast(given, sa.JSON))
                .table_valued(
                    sa.column("place", sa.BigInteger),
                    sa.column("kind", sa.Text),
                    sa.column("user_id", sa.Text if kind is IdKind.TEXT else id_type(kind)),
                    sa.column("items", sa.Text),
                    sa.column("job", sa.Text),
                )
                .render_derived(with_types=True)
            )
            values = {name: new.c[name] for name in _FIELDS}
            values["written_by"] = _number(sa.func.pg_current_xact_id())
            order = new.c.place
        else:
            new = sa.func.json_each(given).table_valued("key", "value")
            values = {name: sa.func.json_extract(new.c.value, f"$.{name}") for name in _FIELDS}
            order = new.c.key
        values["told_at"] = self.clock
        select = sa.select(*values.values()).select_from(new).order_by(order)
        select = select.where(self.database.is_at_home)
        return self._returning(sa.insert(table).from_select(list(values), select))

    def _returning(self, insert: sa.Insert) -> sa.Insert:
        if not self.database.is_postgres:
            return insert
        # RETURNING reads no column, because the host's role may lack the right to SELECT.
        return insert.returning(_number(sa.func.pg_current_xact_id()))

    @cached_property
    def _rows_of(self) -> sa.Select[Any]:
        """Return the query for the rows of given transactions, on SQLite for given row numbers.

        On PostgreSQL it also returns the current snapshot.
        """
        changes = self.tables.changes.c
        if self.database.is_postgres:
            key = changes.written_by
            is_asked = key == sa.any_(sa.bindparam("keys", type_=ARRAY(sa.BigInteger)))
        else:
            key = changes.number
            given = sa.func.json_each(sa.bindparam("keys", type_=sa.Text))
            is_asked = key.in_(sa.select(given.table_valued("value").c.value))
        fields = self._json_array(
            key, changes.kind, changes.user_id, self._json_of(changes["items"]), changes.job
        )
        of = sa.select(sa.cast(self._json_list(fields), sa.Text)).where(is_asked)
        if not self.database.is_postgres:
            return of
        return sa.select(self._snapshot, of.scalar_subquery())

    @cached_property
    def _news(self) -> sa.Select[Any]:
        """Return the query for the changes that a reader has not read, and the feed's state."""
        changes, dialect = self.tables.changes, self.database.dialect
        known = sa.bindparam("known", type_=sa.BigInteger)
        is_new = changes.c.number > known
        if dialect == "postgresql":
            # Rows with lower numbers are new if their transactions had not ended at the last read.
            # Rows restored from another server's dump name transactions that are still to come.
            running = sa.bindparam("running", type_=ARRAY(sa.BigInteger))
            end = sa.bindparam("end", type_=sa.BigInteger)
            written_by = changes.c.written_by
            is_late = sa.and_(written_by >= end, written_by < _end_of_snapshot())
            is_new = sa.or_(is_new, is_late, written_by == sa.any_(running))
        state = sa.select(*self._state(known)).subquery("state")
        is_postgres = dialect == "postgresql"
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
                self._json_list(new.c.number).label("numbers"),
                *of,
                sa.func.sum(sa.func.sum(new.c.bytes)).over().label("bytes"),
            )
            .group_by(*of)
            .subquery("each_once")
        )
        numbers = each.c.numbers if is_postgres else sa.func.json(each.c.numbers)
        fields = [numbers, each.c.kind, each.c.user_id, self._json_of(each.c["items"]), each.c.job]
        some = self._json_list(self._json_array(*fields)).filter(each.c.bytes <= MOST_BYTES)
        news = sa.select(
            sa.cast(some, sa.Text).label("news"), sa.func.max(each.c.bytes).label("bytes")
        ).subquery("news")
        return sa.select(state, news.c.news, news.c.bytes).select_from(state.join(news, sa.true()))

    def _json_list(self, of: sa.ColumnElement[Any]) -> sa.Function[Any]:
        """Return the aggregate that lists a field or an array over all rows."""
        name = "json_agg" if self.database.is_postgres else "json_group_array"
        return sa.Function(name, of)

    def _json_array(self, *fields: sa.ColumnElement[Any]) -> sa.Function[Any]:
        return sa.Function(
            "json_build_array" if self.database.is_postgres else "json_array", *fields
        )

    def _json_of(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
        return sa.cast(text, sa.JSON) if self.database.is_postgres else sa.func.json(text)

    def _state(self, known: sa.ColumnElement[int]) -> list[sa.Label[Any]]:
        changes, keys = self.tables.changes.c, self.tables.keys.c
        newest = sa.select(changes.number).order_by(changes.number.desc()).limit(1)
        published_at = sa.select(changes.told_at)
        parts = {
            "snapshot": self._snapshot,
            "forgotten": sa.select(keys.value).where(keys.name == _FORGOTTEN).scalar_subquery(),
            "newest": newest.scalar_subquery(),
            "newest_told_at": (
                published_at.order_by(changes.number.desc()).limit(1).scalar_subquery()
            ),
            "known_told_at": published_at.where(changes.number == known).scalar_subquery(),
        }
        return [part.label(name) for name, part in parts.items()]

    @property
    def _snapshot(self) -> sa.ColumnElement[str]:
        """Return which transactions are over, as text."""
        if not self.database.is_postgres:
            return sa.literal(str(Snapshot()))
        now = sa.func.pg_current_snapshot()
        first = sa.cast(sa.func.pg_snapshot_xmin(now), sa.Text)
        # A standby does not list what is running: from the first of them on it is open.
        on_standby = first.concat(":").concat(first).concat(":")
        return sa.case((sa.func.pg_is_in_recovery(), on_standby), else_=sa.cast(now, sa.Text))

    def _state_of(self, row: sa.Row[Any]) -> State:
        return State(
            snapshot=Snapshot.of(row.snapshot),
            forgotten=Forgotten.of(row.forgotten),
            newest=row.newest or 0,
            newest_told_at=_micros(row.newest_told_at) or 0,
            known_told_at=_micros(row.known_told_at),
        )

    def _written(self, changes: Sequence[Change]) -> tuple[sa.Insert, Mapping[str, object]]:
        """Return the statement that inserts changes, and its parameters."""
        rows: list[dict[str, object]] = [
            {
                "kind": change.kind.value,
                "user_id": change.user_id,
                # JSON within JSON: the column stores it as a text.
                "items": _json([*map(_plain, change.item_ids)]) if change.item_ids else None,
                "job": change.job or None,
            }
            for change in changes
        ]
        if len(rows) == 1 and "".join(map(str, rows[0].values())).isascii():
            return self._insert_one, rows[0]
        for place, row in enumerate(rows):
            row |= {"place": place, "user_id": _plain(row["user_id"])}
        # ASCII only: a host's connection may use any encoding.
        return self._insert, {"changes": json.dumps(rows, separators=(",", ":"))}

    def _changes(self, news: Sequence[Sequence[Any]]) -> tuple[Change, ...]:
        """Return the changes in the order of their row numbers."""
        changes = [
            (number, change)
            for numbers, *fields in news
            for change in [self._change(*fields)]
            for number in numbers
        ]
        return tuple(change for _, change in sorted(changes, key=itemgetter(0)))

    def _change(
        self, kind: str, user_id: Any, item_ids: Sequence[Any] | None, job: str | None
    ) -> Change:
        ids = self.tables.ids
        if ids.item is IdKind.UUID:
            item_ids = [UUID(one) for one in item_ids or ()]
        if ids.user is IdKind.UUID and user_id is not None:
            user_id = UUID(user_id)
        return Change(
            kind=_KINDS[kind],
            item_ids=tuple(item_ids or ()),
            user_id=None if user_id is None else UserId(user_id),
            job=job or "",
        )

    def _delete(self, connection: sa.Connection, is_old: sa.ColumnElement[bool]) -> int:
        """Delete old rows, and record how far; return how many held a change.

        On PostgreSQL a row is deleted only if its transaction and all earlier ones had ended
        at the previous deletion, so that the snapshots of readers include them by now. Rows
        restored from another server's dump need not wait.
        """
        table, keys = self.tables.changes, self.tables.keys
        of_keys = sa.select(keys.c.value).where(keys.c.name == _FORGOTTEN)
        before = Forgotten.of(connection.scalar(of_keys))
        first = 0
        is_over: sa.ColumnElement[bool] = sa.true()
        written_by: sa.ColumnElement[Any] = sa.literal(before.written_by)
        if self.database.is_postgres:
            now, end = sa.func.pg_current_snapshot(), _end_of_snapshot()
            first = connection.scalar(sa.select(_number(sa.func.pg_snapshot_xmin(now)))) or 0
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
            count += sum(row.kind != _GONE for row in rows)
            after = attrs.evolve(
                after,
                number=max(after.number, *(row.number for row in rows)),
                written_by=max(after.written_by, *(row.written_by for row in rows)),
            )
        if after != before:
            insert = upsert_into(keys, connection.dialect.name)
            upsert = insert.values(name=_FORGOTTEN, value=str(after))
            connection.execute(
                upsert.on_conflict_do_update(
                    index_elements=[keys.c.name], set_={"value": upsert.excluded.value}
                )
            )
        return count


def forget_user(connection: sa.Connection, tables: Tables, user_id: UserId) -> None:
    """Remove the content of a user's changes; readers that have not read them get a gap."""
    one_at_a_time(connection, tables.changes)
    _empty(connection, tables, tables.changes.c.user_id == user_id)


def _empty(connection: sa.Connection, tables: Tables, where: sa.ColumnElement[bool]) -> int:
    nothing = {"kind": _GONE, "user_id": None, "items": None, "job": None}
    return connection.execute(sa.update(tables.changes).where(where).values(nothing)).rowcount


def _end_of_snapshot() -> sa.ColumnElement[int]:
    return _number(sa.func.pg_snapshot_xmax(sa.func.pg_current_snapshot()))


def _number(transaction: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    return sa.cast(sa.cast(transaction, sa.Text), sa.BigInteger)


_FIELDS = ("kind", "user_id", "items", "job")

# A later release on the same database may publish other kinds; here these are gaps.
_KINDS = {kind.value: kind for kind in ChangeKind}


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)


def _plain(one: object) -> object:
    """Return an id for JSON: a UUID becomes the 32 digits that SQLite stores."""
    return one.hex if isinstance(one, UUID) else one


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
