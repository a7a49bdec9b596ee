"""Bulk reads: the rows of queries as columns, from PostgreSQL or SQLite."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from angle_reco.adapters.sql.core.copy_formats import CopyType
from angle_reco.adapters.sql.core.copying import as_rows, columns_of_rows, copy_columns
from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.types import Moment
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import IdKind
from angle_reco.domain.moments import UNKNOWN_MOMENT

_ROWS_AT_ONCE = 50_000


def read_columns(
    database: Database, queries: Sequence[sa.Select[Any]], copy_types: Sequence[CopyType]
) -> Iterator[list[npt.NDArray[Any]]]:
    """Yield batches of the rows of all *queries*, as columns, from one snapshot.

    Only moments may be null. Ids have the dtype of an `IdColumn`. Moments are microseconds
    since 1970: `infinity` is NEVER, `-infinity` and null are UNKNOWN_MOMENT.
    """
    with database.reading() as connection:
        yield from _batches(connection, queries, copy_types)


def read_at_once(
    database: Database, query: sa.Select[Any], copy_types: Sequence[CopyType]
) -> list[npt.NDArray[Any]]:
    """Return all rows of one query as columns."""
    with database.reading() as connection:
        return read_within(connection, query, copy_types)


def read_ids(database: Database, query: sa.Select[Any], kind: IdKind) -> IdColumn:
    """Return all rows of a query for ids of one kind."""
    [ids] = read_at_once(database, query, [CopyType.of_ids(kind)])
    return IdColumn(kind, ids)


def read_within(
    connection: sa.Connection,
    query: sa.Select[Any],
    copy_types: Sequence[CopyType],
    while_waiting: Callable[[], object] = lambda: None,
) -> list[npt.NDArray[Any]]:
    """Return all rows of one query as columns, as part of a transaction.

    *while_waiting* is called once: while PostgreSQL executes the query, or before SQLite does.
    """
    batches = list(_batches(connection, [query], copy_types, while_waiting))
    if len(batches) == 1:
        return batches[0]
    return [
        np.concatenate([_empty(copy_type), *(batch[place] for batch in batches)])
        for place, copy_type in enumerate(copy_types)
    ]


def few_query(
    queries: Sequence[sa.Select[Any]], copy_types: Sequence[CopyType], dialect: str
) -> sa.Executable:
    """Return the statement for `read_few`, which may be kept and executed again."""
    is_postgres = dialect == "postgresql"
    return as_rows(queries, copy_types) if is_postgres else _as_one(queries, copy_types)


def read_few(
    database: Database,
    query: sa.Executable,
    copy_types: Sequence[CopyType],
    values: Mapping[str, Any] | None = None,
) -> list[npt.NDArray[Any]]:
    """Return the rows of a `few_query` as columns, in one round trip; for few rows."""
    rows = database.rows(query, values)
    if not rows:
        return list(map(_empty, copy_types))
    return columns_of_rows(rows, copy_types) if database.is_postgres else _columns(rows, copy_types)


def or_zero(column: sa.ColumnElement[Any], kind: IdKind) -> sa.ColumnElement[Any]:
    """Return an id column with null replaced by a zero id, which is meaningless alone.

    A real id may have the same value, so queries select beside it whether it was null.
    """
    zeros = {IdKind.INT: "0", IdKind.TEXT: "''", IdKind.UUID: f"'{'0' * 32}'"}
    return sa.func.coalesce(column, sa.literal_column(zeros[kind], column.type), type_=column.type)


def _batches(
    connection: sa.Connection,
    queries: Iterable[sa.Select[Any]],
    copy_types: Sequence[CopyType],
    while_waiting: Callable[[], object] = lambda: None,
) -> Iterator[list[npt.NDArray[Any]]]:
    if connection.dialect.name == "sqlite":
        while_waiting()
        return _from_rows(connection, queries, copy_types)
    return copy_columns(connection, queries, copy_types, while_waiting)


def _from_rows(
    connection: sa.Connection, queries: Iterable[sa.Select[Any]], copy_types: Sequence[CopyType]
) -> Iterator[list[npt.NDArray[Any]]]:
    query = _as_one(queries, copy_types)
    result = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(query)
    for batch in result.partitions():
        yield _columns(batch, copy_types)


def _columns(rows: Sequence[Any], copy_types: Sequence[CopyType]) -> list[npt.NDArray[Any]]:
    columns = zip(*rows, strict=True)
    return [
        _as_array(column, copy_type) for column, copy_type in zip(columns, copy_types, strict=True)
    ]


def _as_one(queries: Iterable[sa.Select[Any]], copy_types: Sequence[CopyType]) -> sa.Executable:
    sent = [_sent(query, copy_types) for query in queries]
    return sent[0] if len(sent) == 1 else sa.union_all(*sent)


def _sent(query: sa.Select[Any], copy_types: Sequence[CopyType]) -> sa.Select[Any]:
    """Return *query* with columns typed as the driver returns them, to skip conversions."""
    columns: list[sa.ColumnElement[Any]] = []
    for column, copy_type in zip(query.selected_columns, copy_types, strict=True):
        if copy_type is CopyType.UUID:
            columns.append(sa.type_coerce(column, sa.Text()))
        elif isinstance(column.type, Moment):
            columns.append(sa.type_coerce(column, sa.BigInteger()))
        else:
            columns.append(column)
    sending: sa.Select[Any] = query.with_only_columns(*columns, maintain_column_froms=True)
    return sending


def _as_array(column: Sequence[Any], copy_type: CopyType) -> npt.NDArray[Any]:
    match copy_type:
        case CopyType.UUID:
            # One conversion for the column: a UUID object per row takes longer than the query.
            return np.frombuffer(bytes.fromhex("".join(column)), np.dtype("V16"))
        case CopyType.TEXT:
            return np.array(column, np.dtypes.StringDType())
        case CopyType.MOMENT:
            return np.array([UNKNOWN_MOMENT if one is None else one for one in column], np.int64)
        case _:
            return np.array(column, np.int64)


def _empty(copy_type: CopyType) -> npt.NDArray[Any]:
    match copy_type:
        case CopyType.UUID:
            return np.empty(0, "V16")
        case CopyType.TEXT:
            return np.empty(0, np.dtypes.StringDType())
        case _:
            return np.empty(0, np.int64)
