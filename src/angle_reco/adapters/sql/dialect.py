"""How ids in bulk go into statements and come out of rows."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from angle_reco.domain import IdColumn, IdKind


def among(
    column: sa.ColumnElement[Any], ids: IdColumn | sa.BindParameter[Any]
) -> sa.ColumnElement[bool]:
    """Return the condition that *column* is one of *ids*, as one parameter however many.

    A parameter of the caller's own is given `json_ids` when the statement runs.
    """
    if isinstance(ids, IdColumn):
        ids = sa.bindparam(None, json_ids(ids), sa.Text)
    wanted = sa.func.json_each(ids).table_valued("value")
    return sa.type_coerce(column, sa.Text).in_(sa.select(wanted.c.value))


def raw_id(column: sa.ColumnElement[Any], kind: IdKind) -> sa.ColumnElement[Any]:
    """Return *column* as the driver has it, for `id_column`."""
    return sa.type_coerce(column, sa.Text) if kind is IdKind.UUID else column


def id_column(kind: IdKind, raw: Sequence[Any]) -> IdColumn:
    """Return ids that were read by `raw_id` as a column."""
    if kind is IdKind.UUID:
        # One conversion for all of them: a UUID object a row would take longer than the query.
        return IdColumn(kind, np.frombuffer(bytes.fromhex("".join(raw)), np.dtype("V16")))
    return IdColumn.of(kind, raw)


def json_ids(ids: IdColumn) -> str:
    """Return ids as a JSON array, UUIDs as the 32 digits that SQLite stores.

    Texts stand as they are, so that equal ids are equal bytes.
    """
    if ids.kind is IdKind.UUID:
        return json.dumps([raw.hex() for raw in ids.values.tolist()])
    return json.dumps(ids.values.tolist(), ensure_ascii=False, separators=(",", ":"))


def columns_of(rows: Iterable[Sequence[Any]], width: int) -> list[Sequence[Any]]:
    """Return rows of *width* fields as one sequence a field."""
    return list(zip(*rows, strict=True)) or [()] * width
