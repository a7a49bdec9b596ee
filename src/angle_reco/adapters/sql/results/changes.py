"""The change feed in a table: readers get each change after its transaction has committed."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from json.encoder import encode_basestring
from typing import Any
from uuid import UUID

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from angle_reco.adapters.sql.core.clocks import clock_of_server
from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.dialect import json_array, json_list, json_of
from angle_reco.adapters.sql.core.host_statements import execute_in
from angle_reco.adapters.sql.core.types import id_type
from angle_reco.adapters.sql.results.change_rows import (
    EMPTY,
    FIELDS,
    GONE,
    change_of,
    current_snapshot,
    transaction_number,
)
from angle_reco.adapters.sql.results.feed_position import Snapshot
from angle_reco.adapters.sql.results.feed_pruning import prune
from angle_reco.adapters.sql.results.feed_reading import FeedReader
from angle_reco.adapters.sql.results.host_transactions import HostTransactions, Published
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.changes import IMPORT, Change, ChangeKind
from angle_reco.domain.errors import InvalidValueError, StorageLockedError
from angle_reco.domain.ids import IdKind, UserId
from angle_reco.ports.changes import Cursor, Feed
from angle_reco.ports.deadlines import deadline

_SECONDS_FOR_WRITERS = 0.02
"""How long a page waits for another writer to SQLite, to know whether an event was rolled back."""


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
        connection.execute(self._insert_one, EMPTY).close()

    def publish_import(self, connection: sa.Connection) -> None:
        """Publish that rows of any time are new, for the jobs."""
        row = {**EMPTY, "kind": ChangeKind.RUN.value, "job": IMPORT}
        connection.execute(self._insert_one, row).close()

    def now(self) -> Cursor:
        return self._reader.now()

    def since(self, cursor: Cursor) -> Feed:
        return self._reader.since(cursor)

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
        emptied = {key for key, kind, *_ in rows if kind == GONE}
        left = Counter(
            (key, change_of(self.tables.ids, *fields))
            for key, *fields in rows
            if key not in emptied
        )
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
        return self.database.write(
            lambda ours: prune(ours, self.tables, self.clock, older_than=older_than)
        )

    @cached_property
    def _reader(self) -> FeedReader:
        return FeedReader(self.database, self.tables)

    def _written(self, changes: Sequence[Change]) -> tuple[sa.Insert, Mapping[str, object]]:
        """Return the statement that inserts changes, and its parameters."""
        rows = [*map(_row, changes)]
        if len(rows) == 1 and "".join(map(str, rows[0].values())).isascii():
            return self._insert_one, rows[0]
        for place, row in enumerate(rows):
            row |= {"place": place, "user_id": _plain(row["user_id"])}
        # ASCII only: a host's connection may use any encoding.
        return self._insert, {"changes": json.dumps(rows, separators=(",", ":"))}

    @cached_property
    def _insert_one(self) -> sa.Insert:
        """Return the statement that inserts one change; its parameters are the fields."""
        columns = self.tables.changes.c
        values: dict[str, sa.ColumnElement[Any]] = {
            name: sa.bindparam(name, type_=columns[name].type) for name in FIELDS
        }
        if self.database.is_postgres:
            values["written_by"] = transaction_number(sa.func.pg_current_xact_id())
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
            values = {name: new.c[name] for name in FIELDS}
            values["written_by"] = transaction_number(sa.func.pg_current_xact_id())
            order = new.c.place
        else:
            new = sa.func.json_each(given).table_valued("key", "value")
            values = {name: sa.func.json_extract(new.c.value, f"$.{name}") for name in FIELDS}
            order = new.c.key
        values["told_at"] = self.clock
        select = sa.select(*values.values()).select_from(new).order_by(order)
        select = select.where(self.database.is_at_home)
        return self._returning(sa.insert(table).from_select(list(values), select))

    def _returning(self, insert: sa.Insert) -> sa.Insert:
        if not self.database.is_postgres:
            return insert
        # RETURNING reads no column, because the host's role may lack the right to SELECT.
        return insert.returning(transaction_number(sa.func.pg_current_xact_id()))

    @cached_property
    def _rows_of(self) -> sa.Select[Any]:
        """Return the query for the rows of given transactions, on SQLite for given row numbers.

        On PostgreSQL it also returns the current snapshot.
        """
        changes, dialect = self.tables.changes.c, self.database.dialect
        if self.database.is_postgres:
            key = changes.written_by
            is_asked = key == sa.any_(sa.bindparam("keys", type_=ARRAY(sa.BigInteger)))
        else:
            key = changes.number
            given = sa.func.json_each(sa.bindparam("keys", type_=sa.Text))
            is_asked = key.in_(sa.select(given.table_valued("value").c.value))
        items = json_of(changes["items"], dialect)
        fields = json_array([key, changes.kind, changes.user_id, items, changes.job], dialect)
        of = sa.select(sa.cast(json_list(fields, dialect), sa.Text)).where(is_asked)
        if not self.database.is_postgres:
            return of
        return sa.select(current_snapshot(self.database.dialect), of.scalar_subquery())


def _row(change: Change) -> dict[str, object]:
    return {
        "kind": str(change.kind),
        "user_id": change.user_id,
        # JSON within JSON: the column stores it as a text.
        "items": f"[{','.join(map(_json, change.item_ids))}]" if change.item_ids else None,
        "job": change.job or None,
    }


def _plain(one: object) -> object:
    """Return an id for JSON: a UUID becomes the 32 digits that SQLite stores."""
    return one.hex if isinstance(one, UUID) else one


def _json(one: object) -> str:
    """Return an id in JSON; `json.dumps` makes an encoder for each call."""
    return str(one) if type(one) is int else encode_basestring(str(_plain(one)))
