"""Lists as rows: finding the lists that changed, and writing them to a table."""

import json
import struct
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import uuid4

import attrs
import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from angle_reco.adapters.sql.core.bulk import read_within
from angle_reco.adapters.sql.core.copy_formats import CopyType, elements
from angle_reco.adapters.sql.core.copying import copy_rows, staged
from angle_reco.adapters.sql.core.dialect import among, json_ids, upsert_into
from angle_reco.adapters.sql.results.list_copies import ARRAYS, rows_of_lists
from angle_reco.adapters.sql.results.merging_rows import merge_rows, merging
from angle_reco.domain.arrays import Bools
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.ids import IdKind
from angle_reco.domain.lists import Lists
from angle_reco.domain.millionths import SCORE_TOLERANCE
from angle_reco.domain.moments import to_micros
from angle_reco.domain.stored_list import StoredList, unpacked


def digests(lists: Lists) -> IdColumn:
    """Return a digest of each list's recipe and lines; lists with equal digests are equal."""
    # A list that a new model leaves unchanged is not written.
    of_recipe = sha256(attrs.evolve(lists.recipe, model="").to_text().encode())
    texts = lists.items.values.tolist() if lists.items.kind is IdKind.TEXT else None
    lines = _lines(lists)
    width, data = lines.itemsize, lines.view(np.uint8).data
    digested = []
    for first, last in pairwise(lists.offsets.tolist()):
        digest = of_recipe.copy()
        digest.update(data[width * first : width * last])
        if texts is not None:
            digest.update("\n".join(texts[first:last]).encode())
        digested.append(digest.digest()[:16])
    return IdColumn(IdKind.UUID, np.frombuffer(b"".join(digested), "V16"))


def _lines(lists: Lists) -> npt.NDArray[Any]:
    """Return the fixed-width columns of all lines as one structured array."""
    columns: dict[str, npt.NDArray[Any]] = {
        "score": lists.scores,
        "reason": lists.reasons,
        "source": lists.sources,
    }
    if lists.items.kind is not IdKind.TEXT:
        columns["item"] = lists.items.values
    dtype = [(name, column.dtype) for name, column in columns.items()]
    lines = np.empty(
        len(lists.scores), [*dtype, ("parts", np.int32, (len(lists.recipe.components),))]
    )
    for name, column in columns.items():
        lines[name] = column
    lines["parts"] = lists.parts
    return lines


class ByDigest(NamedTuple):
    """Lists with their digests, in the order of their owners; *is_new* where none is stored."""

    lists: Lists
    digests: IdColumn
    is_new: Bools

    def where(self, mask: Bools) -> "ByDigest":
        """Return the lists in *mask*."""
        places = np.flatnonzero(mask)
        return ByDigest(self.lists.take(places), self.digests.take(places), self.is_new[places])


def changed_by_digest(connection: sa.Connection, table: sa.Table, lists: Lists) -> ByDigest:
    """Return the lists that the table holds with another digest or not at all.

    Some may still differ too little to be written (`has_changed`).
    """
    kind, digested = lists.owners.kind, list[IdColumn]()
    query = sa.select(table.c.owner, table.c.digest, table.c.computed_at).where(
        among(table.c.owner, lists.owners, kind, connection.dialect.name)
    )
    owners, stored, computed_at = read_within(
        connection,
        query,
        [CopyType.of_ids(kind), CopyType.UUID, CopyType.MOMENT],
        while_waiting=lambda: digested.append(digests(lists)),
    )
    [fresh] = digested
    known = IdIndex.of(kind, IdColumn(kind, owners))
    row_of = np.argsort(known.codes(IdColumn(kind, owners)))
    codes = known.codes(lists.owners)
    is_known = codes != NONE
    is_same = is_known.copy()
    # A stored list that claims a later time than this run is always replaced.
    rows = row_of[codes[is_known]]
    is_same[is_known] = (stored[rows] == fresh.values[is_known]) & (
        computed_at[rows] <= to_micros(lists.computed_at)
    )
    places = np.flatnonzero(~is_same)
    # Sorted here, where only places move; the server would have to move whole lists.
    news = lists.owners.take(places)
    places = places[np.argsort(IdIndex.of(kind, news).codes(news))]
    return ByDigest(lists.take(places), fresh.take(places), ~is_known[places])


def write_changed(connection: sa.Connection, table: sa.Table, changed: ByDigest) -> int:
    """Write the lists that changed (`has_changed`); return their number."""
    lists = changed.lists
    if len(lists) == 0:
        return 0
    stage, merge = _merging(table, connection.dialect.name)
    recipe = lists.recipe.to_text()
    if connection.dialect.name == "sqlite":
        rows = _rows(lists, changed.digests, "sqlite")
        return merge_rows(connection, merge, recipe, lists.computed_at, rows)
    written = 0
    if changed.is_new.any():
        # Nothing to compare them with, and no other bulk writer: they need no stage.
        new = changed.where(changed.is_new)
        marks = [_sized(recipe.encode()), _sized(_moment(lists.computed_at))]
        copy_rows(connection, _with_marks(table), rows_of_lists(new.lists, new.digests, marks))
        written, changed = len(new.lists), changed.where(~changed.is_new)
    if len(changed.lists):
        with staged(connection, stage, rows_of_lists(changed.lists, changed.digests)):
            written += merge_rows(connection, merge, recipe, lists.computed_at)
    return written


def write_single(connection: sa.Connection, table: sa.Table, lists: Lists) -> int:
    """Write a single list if it changed (`has_changed`), by one statement; return 1 or 0."""
    _, merge = _merging(table, connection.dialect.name, is_staged=False)
    rows = _rows(lists, digests(lists), connection.dialect.name)
    return merge_rows(connection, merge, lists.recipe.to_text(), lists.computed_at, rows)


@lru_cache
def _with_marks(table: sa.Table) -> sa.Table:
    """Return the columns of *table* in the order of `rows_of_lists`, with its marks."""
    names = ("owner", *ARRAYS, "digest", "recipe", "computed_at")
    columns = [sa.Column(name, table.c[name].type) for name in names]
    return sa.Table(table.name, sa.MetaData(), *columns, schema=table.schema)


def _sized(value: bytes) -> bytes:
    return struct.pack("!i", len(value)) + value


def _moment(at: datetime) -> bytes:
    return elements(np.array([to_micros(at)]), CopyType.MOMENT)[4:]


@lru_cache
def _merging(
    table: sa.Table, dialect: str, *, is_staged: bool = True
) -> tuple[sa.Table, sa.Insert]:
    """Return the temporary table for lists, and the statement that merges it into *table*."""

    def differ(old: Any, new: Any) -> list[sa.ColumnElement[bool]]:
        return [
            old.by_hand.is_not(None),
            old["items"] != new["items"],
            old.reasons != new.reasons,
            old.sources != new.sources,
            _has_moved(old, new, dialect),
        ]

    return merging(
        table,
        dialect,
        [*ARRAYS, "digest"],
        overrides={"by_hand": None},
        differ=differ,
        is_staged=is_staged,
    )


def _has_moved(old: Any, new: Any, dialect: str) -> sa.ColumnElement[bool]:
    """Return the condition that a score differs by more than the tolerance."""
    before: sa.ColumnElement[Any]
    after: sa.ColumnElement[Any]
    if dialect == "sqlite":
        value = sa.column("value", sa.Integer)
        before = sa.func.json_each(old.scores).table_valued(value).c.value
        # As text: SQLAlchemy would add the table of a column to FROM.
        after = sa.literal_column("json_extract(excluded.scores, '$[' || key || ']')", sa.Integer)
    else:
        both = sa.func.unnest(old.scores, new.scores)
        score = both.table_valued("before", "after").render_derived()
        before, after = score.c.before, score.c.after
    return sa.exists().where(sa.func.abs(before - after) > SCORE_TOLERANCE)


def write_one(
    connection: sa.Connection, table: sa.Table, item_kind: IdKind, owner: object, stored: StoredList
) -> None:
    """Write the list of one owner, whether or not it has overrides."""
    arrays: dict[str, list[Any]] = {
        "items": list(stored.ids),
        "scores": unpacked(stored.scores),
        "parts": unpacked(stored.parts),
        "reasons": list(stored.reasons),
        "sources": list(stored.sources),
        "by_hand": [place in stored.by_hand for place in range(len(stored))],
    }
    row: dict[str, Any] = dict(arrays)
    if connection.dialect.name == "sqlite":
        row["items"] = json_ids(IdColumn.of(item_kind, arrays.pop("items")))
        row |= {name: _json(values) for name, values in arrays.items()}
    if not stored.edited:
        row["by_hand"] = None
    row |= {
        "owner": owner,
        "recipe": stored.recipe.to_text(),
        # A random digest equals none that a run computes, so the next run compares the list.
        "digest": uuid4(),
        "computed_at": stored.computed_at,
    }
    upsert = upsert_into(table, connection.dialect.name).values(row)
    connection.execute(
        upsert.on_conflict_do_update(
            index_elements=[table.c.owner],
            set_={name: upsert.excluded[name] for name in row},
        )
    )


def _rows(lists: Lists, fresh: IdColumn, dialect: str) -> Iterator[dict[str, Any]]:
    """Yield each list as parameters; SQLite stores arrays as JSON."""
    is_sqlite = dialect == "sqlite"
    for place, (owner, digest) in enumerate(zip(lists.owners, fresh, strict=True)):
        lines = slice(int(lists.offsets[place]), int(lists.offsets[place + 1]))
        items = lists.items.take(lines)
        arrays = {name: getattr(lists, name)[lines].ravel().tolist() for name in ARRAYS[1:]}
        yield {
            "owner": owner,
            "items": json_ids(items) if is_sqlite else items.to_list(),
            **({name: _json(one) for name, one in arrays.items()} if is_sqlite else arrays),
            "digest": digest,
        }


def _json(values: Sequence[Any]) -> str:
    return json.dumps(values, separators=(",", ":"))
