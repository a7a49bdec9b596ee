"""Checking and merging the temporary tables of an import into the reference schema."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from angle_reco.adapters.sql.core.dialect import upsert_into
from angle_reco.adapters.sql.importing.bad_rows import BadRow
from angle_reco.adapters.sql.schema.tables import Tables

FoundBad: TypeAlias = Callable[[BadRow], None]

_DECIMAL = re.compile(r"(-?[0-9]{1,19})\.0+")

# The files may be older than sign-ins that were recorded since.
_NEVER_GOES_BACK = frozenset({"last_sign_in_at", "sign_in_count"})


@attrs.frozen(kw_only=True)
class Merged:
    """How many good rows a file had, and how many of them were new or updated a stored row."""

    rows: int
    new: int
    updated: int


def merge(
    connection: sa.Connection,
    tables: Tables,
    staged: Mapping[str, sa.Table],
    found_bad: FoundBad,
    progress: Callable[[str, int, int], None],
) -> dict[str, Merged]:
    """Merge the staged rows into the tables, except bad rows, which go to *found_bad*.

    Users and items must come first in *staged*: bids and watches may only refer to known ones.
    """
    merged = {}
    for done, (name, stage) in enumerate(staged.items()):
        progress(f"storing {name}", done, len(staged))
        if name in ("users", "items"):
            table = tables.users if name == "users" else tables.items
            _drop_contradictions(connection, stage, found_bad)
            merged[name] = _upsert(connection, table, stage)
        else:
            _drop_unknown(connection, stage, tables.users, "user_id", "users", found_bad)
            _drop_unknown(connection, stage, tables.items, "item_id", "items", found_bad)
            add = _add_bids if name == "bids" else _add_watches
            merged[name] = add(connection, tables, stage)
    progress("storing", len(staged), len(staged))
    return merged


def _drop_contradictions(connection: sa.Connection, stage: sa.Table, found_bad: FoundBad) -> None:
    """Delete rows whose id an earlier row has with other content."""
    key, *others = (column for column in stage.c if column.name not in ("line", "file"))
    repeated = sa.select(key).group_by(key).having(sa.func.count() > 1)
    query = (
        sa.select(stage.c.line, stage.c.file, key, *others)
        .where(key.in_(repeated))
        .order_by(stage.c.line)
    )
    firsts: dict[object, tuple[int, object]] = {}
    bad = []
    for line, file, one, *content in connection.execute(query):
        first_line, first_content = firsts.setdefault(one, (line, content))
        if content != first_content:
            reason = f"{one!r} is in line {first_line} too, with other content"
            bad.append(BadRow(file=file, line=line, column=key.name, reason=reason))
    _drop(connection, stage, bad, found_bad)


def _drop_unknown(
    connection: sa.Connection,
    stage: sa.Table,
    known: sa.Table,
    key: str,
    file_name: str,
    found_bad: FoundBad,
) -> None:
    """Delete rows that refer to an unknown user or item."""
    query = (
        sa.select(stage.c.line, stage.c.file, stage.c[key])
        .where(~sa.exists().where(known.c[key] == stage.c[key]))
        .order_by(stage.c.line)
    )
    bad = [
        BadRow(
            file=file,
            line=line,
            column=key,
            reason=f"{one!r} is unknown: {file_name} has no such row{_decimal_hint(one)}",
        )
        for line, file, one in connection.execute(query)
    ]
    _drop(connection, stage, bad, found_bad)


def _decimal_hint(one: object) -> str:
    """Return a hint for an id such as 12.0, which some programs write for a whole number."""
    found = _DECIMAL.fullmatch(one) if isinstance(one, str) else None
    return "" if found is None else f" (an id {found[1]!r} may have been written as a decimal)"


def _drop(
    connection: sa.Connection, stage: sa.Table, bad: Sequence[BadRow], found_bad: FoundBad
) -> None:
    for row in bad:
        found_bad(row)
    if bad:
        drop = sa.delete(stage).where(stage.c.line == sa.bindparam("at_line"))
        connection.execute(drop, [{"at_line": row.line} for row in bad])


def _upsert(connection: sa.Connection, table: sa.Table, stage: sa.Table) -> Merged:
    columns = {column.name: column for column in stage.c if column.name not in ("line", "file")}
    key, *others = columns
    # Rows with the same id are equal here, so DISTINCT leaves one of each.
    query = sa.select(*columns.values()).where(_ALWAYS).distinct().order_by(columns[key])
    insert = upsert_into(table, connection.dialect.name).from_select(list(columns), query)
    if (filled := _filled(connection, table, insert)) is not None:
        return Merged(rows=_count(connection, stage), new=filled, updated=0)
    before = _count(connection, table)
    new = insert.excluded
    values = {
        name: _larger(table.c[name], new[name]) if name in _NEVER_GOES_BACK else new[name]
        for name in others
    }
    insert = insert.on_conflict_do_update(
        index_elements=[table.c[key]],
        set_=values,
        where=sa.or_(*(table.c[name].is_distinct_from(values[name]) for name in others)),
    )
    written = connection.execute(insert).rowcount
    added = _count(connection, table) - before
    return Merged(rows=_count(connection, stage), new=added, updated=written - added)


def _larger(one: sa.ColumnElement[Any], other: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return the larger of two values; null counts as smaller than any value."""
    return sa.case((sa.or_(other.is_(None), one > other), one), else_=other)


def _add_bids(connection: sa.Connection, tables: Tables, stage: sa.Table) -> Merged:
    bids = tables.bids
    equal = (stage.c.item_id, stage.c.placed_at, stage.c.user_id, stage.c.amount)
    number = sa.func.row_number().over(partition_by=equal, order_by=stage.c.line) - 1
    query = sa.select(*equal, number).where(_ALWAYS).order_by(*equal)
    insert = upsert_into(bids, connection.dialect.name).from_select(
        ["item_id", "placed_at", "user_id", "amount", "number"], query
    )
    rows = _count(connection, stage)
    if _filled(connection, bids, insert) is not None:
        return Merged(rows=rows, new=rows, updated=0)
    added = connection.execute(insert.on_conflict_do_nothing()).rowcount
    return Merged(rows=rows, new=added, updated=0)


def _add_watches(connection: sa.Connection, tables: Tables, stage: sa.Table) -> Merged:
    watches = tables.watches
    query = (
        sa.select(stage.c.item_id, stage.c.user_id, sa.func.min(stage.c.watched_at))
        .where(_ALWAYS)
        .group_by(stage.c.item_id, stage.c.user_id)
        .order_by(stage.c.item_id, stage.c.user_id)
    )
    insert = upsert_into(watches, connection.dialect.name).from_select(
        ["item_id", "user_id", "watched_at"], query
    )
    if (filled := _filled(connection, watches, insert)) is not None:
        return Merged(rows=_count(connection, stage), new=filled, updated=0)
    before = _count(connection, watches)
    new = insert.excluded.watched_at
    insert = insert.on_conflict_do_update(
        index_elements=list(watches.primary_key),
        set_={"watched_at": new},
        where=new < watches.c.watched_at,
    )
    written = connection.execute(insert).rowcount
    added = _count(connection, watches) - before
    return Merged(rows=_count(connection, stage), new=added, updated=written - added)


def _filled(connection: sa.Connection, table: sa.Table, insert: sa.Insert) -> int | None:
    """Execute an INSERT into a table of PostgreSQL without rows; return None if it has some.

    Else return how many it inserted: events may add others at the same time, which are not
    counted. For each row that may be there already, PostgreSQL looks twice: it takes half as long
    again.
    """
    if connection.dialect.name != "postgresql":
        return None
    if connection.scalar(sa.select(sa.exists().select_from(table))):
        return None
    try:
        with connection.begin_nested():
            return connection.execute(insert).rowcount
    except IntegrityError:
        # An event has added a row since, which the other way of inserting allows for.
        return None


def _count(connection: sa.Connection, table: sa.Table) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


# SQLite parses ON CONFLICT after a SELECT as a join's ON unless there is a WHERE between.
_ALWAYS = sa.literal_column("1") == sa.literal_column("1")
