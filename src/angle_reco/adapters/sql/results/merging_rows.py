"""The statement that writes only those rows of results that changed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa

from angle_reco.adapters.sql.core.dialect import upsert_into

_MARKS = ("recipe", "computed_at")

_ROWS_AT_ONCE = 500
"""How many rows of SQLite are parameters in memory at once; a list is a row."""


def merging(
    table: sa.Table,
    dialect: str,
    values: Sequence[str],
    *,
    overrides: Mapping[str, object],
    differ: Callable[[Any, Any], Sequence[sa.ColumnElement[bool]]],
    is_staged: bool = True,
) -> tuple[sa.Table, sa.Insert]:
    """Return a temporary table for fresh rows, and the statement that merges it into *table*.

    On SQLite, and unless it *is_staged*, the statement takes the rows as parameters instead. A
    stored row is replaced if it is of a later moment or another recipe, or if *differ*, of the
    stored and the fresh columns, says so; then its *overrides* end. *values* are the columns
    beside the key.
    """
    key = list(table.primary_key)
    stage = sa.Table(
        f"{table.name}_fresh",
        sa.MetaData(),
        *(sa.Column(one.name, one.type) for one in (*key, *(table.c[name] for name in values))),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DROP",
    )
    insert = upsert_into(table, dialect)
    if dialect == "postgresql" and is_staged:
        rows = sa.select(
            *stage.c,
            *(sa.bindparam(f"with_{name}", type_=table.c[name].type) for name in _MARKS),
        )
        insert = insert.from_select([*stage.c.keys(), *_MARKS], rows)
    new, old = insert.excluded, table.c
    merge: sa.Insert = insert.on_conflict_do_update(
        index_elements=key,
        set_={**{name: new[name] for name in (*values, *_MARKS)}, **overrides},
        where=sa.or_(
            old.computed_at > new.computed_at, old.recipe != new.recipe, *differ(old, new)
        ),
    )
    return stage, merge


def merge_rows(
    connection: sa.Connection,
    merge: sa.Insert,
    recipe: str,
    computed_at: datetime,
    rows: Iterable[Mapping[str, object]] | None = None,
) -> int:
    """Execute a statement of `merging`, with *rows* unless staged; return how many it wrote."""
    marks = dict(zip(_MARKS, (recipe, computed_at), strict=True))
    if rows is None:
        return connection.execute(
            merge, {f"with_{name}": value for name, value in marks.items()}
        ).rowcount
    written, left = 0, iter(rows)
    while some := [{**row, **marks} for row in islice(left, _ROWS_AT_ONCE)]:
        written += connection.execute(merge, some).rowcount
    return written
