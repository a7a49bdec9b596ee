"""Bulk transfer to and from PostgreSQL with COPY, by columns rather than by rows."""

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any, TypeAlias

import numpy.typing as npt
import psycopg
import sqlalchemy as sa
from psycopg import pq
from psycopg.waiting import Ready, Wait
from sqlalchemy.dialects.postgresql import psycopg as psycopg_dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.util import LRUCache

from angle_reco.adapters.sql.core.copy_formats import (
    END,
    HEADER,
    CopyType,
    columns_of_bytes,
    columns_of_fields,
    columns_of_text,
)
from angle_reco.adapters.sql.core.postgres import driver_of

_BYTES_READ_AT_ONCE = 8 * 2**20
_BYTES_WRITTEN_AT_ONCE = 2**20

_ROWS_BETWEEN_LOOKS = range(100)
"""After so many rows their bytes are counted: to do so for each takes a fifth of the time."""

_DIALECT: sa.Dialect = psycopg_dialect.dialect()  # type: ignore[no-untyped-call]  # of SQLAlchemy

_Values: TypeAlias = dict[str, Any]

_KEPT: LRUCache[tuple[Any, ...], SQLCompiler] = LRUCache(200)
"""Compiled statements by their structure."""


def copy_columns(
    connection: sa.Connection,
    queries: Iterable[sa.Select[Any]],
    copy_types: Sequence[CopyType],
    while_waiting: Callable[[], object] = lambda: None,
) -> Iterator[list[npt.NDArray[Any]]]:
    """Yield batches of the rows of all *queries*, as columns, from one snapshot.

    Only moments may be null. Ids have the dtype of an `IdColumn`. Moments are microseconds
    since 1970: `infinity` is NEVER, `-infinity` and null are UNKNOWN_MOMENT. *while_waiting* is
    called once, after the statement is sent and before its result is read.
    """
    is_text = any(copy_type.is_text for copy_type in copy_types)
    sent = [_sent(query, copy_types, is_text=is_text) for query in queries]
    compiled, given = _compiled(sent[0] if len(sent) == 1 else sa.union_all(*sent))
    expanded = compiled.construct_expanded_state(given)
    how = "text" if is_text else "binary"
    command = f"COPY ({expanded.statement}) TO STDOUT (FORMAT {how})"
    parse = columns_of_text if is_text else columns_of_bytes
    with driver_of(connection) as raw:
        # COPY takes no parameters, so the driver quotes the values into the statement.
        processors = {
            name: bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)
            for bind, name in compiled.bind_names.items()
        }
        values = dict(expanded.parameters)
        for name, process in processors.items():
            # The parameters of an IN list have numbered names.
            of_bind = re.compile(re.escape(name) + r"(_\d+)?")
            if process is not None:
                values |= {key: process(values[key]) for key in filter(of_bind.fullmatch, values)}
        statement = psycopg.ClientCursor(raw).mogrify(command, values)
        raw.wait(_sent_off(raw.pgconn, statement.encode(raw.info.encoding)))
        while_waiting()
        for rows in _copied_out(raw):
            yield parse(rows, copy_types)


def as_rows(queries: Sequence[sa.Select[Any]], copy_types: Sequence[CopyType]) -> sa.Executable:
    """Return one statement for *queries*, whose rows `columns_of_rows` decodes."""
    sent = [_sent(query, copy_types, is_text=True) for query in queries]
    return sent[0] if len(sent) == 1 else sa.union_all(*sent)


def columns_of_rows(rows: Sequence[Any], copy_types: Sequence[CopyType]) -> list[npt.NDArray[Any]]:
    """Return the rows of an `as_rows` statement as columns."""
    columns = list(zip(*rows, strict=True))
    if all(copy_type.is_text for copy_type in copy_types):
        return columns_of_fields("", columns, copy_types)
    return columns_of_fields("".join(columns[0]), columns[1:], copy_types)


@contextmanager
def staged(connection: sa.Connection, stage: sa.Table, rows: Iterable[bytes]) -> Iterator[None]:
    """Copy *rows* to the temporary table *stage*, and drop it when the block succeeds.

    The same transaction may then create another one of this name.
    """
    stage.create(connection, checkfirst=False)
    copy_rows(connection, stage, rows)
    yield
    stage.drop(connection, checkfirst=False)


def copy_rows(connection: sa.Connection, table: sa.Table, rows: Iterable[bytes]) -> None:
    """Copy rows, which are encoded in the binary format, into a table."""
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    name = _DIALECT.identifier_preparer.format_table(table)
    into = f"COPY {name} ({columns}) FROM STDIN (FORMAT binary)"
    with driver_of(connection) as raw, raw.cursor() as cursor, cursor.copy(into) as copy:
        block, size = [HEADER], 0
        for row in rows:
            block.append(row)
            size += len(row)
            if size > _BYTES_WRITTEN_AT_ONCE:
                copy.write(b"".join(block))
                block, size = [], 0
        copy.write(b"".join([*block, END]))


def _sent(
    query: sa.Select[Any], copy_types: Sequence[CopyType], *, is_text: bool
) -> sa.Select[Any]:
    """Return *query* with its columns cast to the types of the transfer.

    In the text format, the first column holds all fixed-width fields, as hexadecimal digits.
    """
    columns: list[sa.ColumnElement[Any]] = []
    widths: list[sa.ColumnElement[Any]] = []
    for column, copy_type in zip(query.selected_columns, copy_types, strict=True):
        sent: sa.ColumnElement[Any] = sa.cast(column, copy_type.of)
        if copy_type is CopyType.MOMENT:
            sent = sa.func.coalesce(sent, sa.literal_column("'-infinity'::timestamptz"))
        if is_text and not copy_type.is_text:
            widths.append(getattr(sa.func, copy_type.send)(sent, type_=sa.LargeBinary))
        else:
            columns.append(sent)
    if widths:
        together = reduce(lambda one, other: one.op("||")(other), widths)
        columns.insert(0, sa.func.encode(together, sa.literal_column("'hex'")))
    sending: sa.Select[Any] = query.with_only_columns(*columns, maintain_column_froms=True)
    return sending


def _compiled(statement: sa.Select[Any] | sa.CompoundSelect[Any]) -> tuple[SQLCompiler, _Values]:
    """Return a statement compiled, and the values of this one.

    To compile one takes longer than to run most, so each is kept as an engine keeps its own: by
    its structure.
    """
    key = statement._generate_cache_key()
    if key is None or getattr(key, "params", None):
        compiled: Any = statement.compile(dialect=_DIALECT)
        return compiled, compiled.construct_params()
    compiled = _KEPT.get(key.key)
    if compiled is None:
        compiled = _KEPT[key.key] = statement.compile(dialect=_DIALECT, cache_key=key)
    return compiled, compiled.construct_params(extracted_parameters=key.bindparams)


def _sent_off(pgconn: pq.abc.PGconn, statement: bytes) -> Generator[Wait, Ready | int, None]:
    pgconn.send_query(statement)
    while pgconn.flush():
        ready = yield Wait.RW
        if ready & Ready.R:
            pgconn.consume_input()


def _copied_out(connection: psycopg.Connection[Any]) -> Iterator[bytearray]:
    """Yield the data that COPY sends, many rows at a time.

    The driver's loop takes longer over each row than the server does.
    """
    connection.wait(_started(connection.pgconn))
    is_done = False
    while not is_done:
        rows, is_done = connection.wait(_some_rows(connection.pgconn))
        if rows:
            yield rows


def _started(pgconn: pq.abc.PGconn) -> Generator[Wait, Ready | int, None]:
    result = yield from _result(pgconn)
    if result is None or result.status != pq.ExecStatus.COPY_OUT:
        yield from _failed(pgconn, result)


def _some_rows(pgconn: pq.abc.PGconn) -> Generator[Wait, Ready | int, tuple[bytearray, bool]]:
    rows, get = bytearray(), pgconn.get_copy_data
    while len(rows) < _BYTES_READ_AT_ONCE:
        for _ in _ROWS_BETWEEN_LOOKS:
            size, row = get(1)
            if size <= 0:
                break
            # Appended immediately: storing the views of libpq's memory costs four times as much.
            rows += row
        if size == 0:
            yield from _readable(pgconn)
        elif size < 0:
            result = yield from _result(pgconn)
            if result is None or result.status != pq.ExecStatus.COMMAND_OK:
                yield from _failed(pgconn, result)
            while (yield from _result(pgconn)) is not None:
                pass
            return rows, True
    return rows, False


def _result(pgconn: pq.abc.PGconn) -> Generator[Wait, Ready | int, pq.abc.PGresult | None]:
    while pgconn.is_busy():
        yield from _readable(pgconn)
    return pgconn.get_result()


def _readable(pgconn: pq.abc.PGconn) -> Generator[Wait, Ready | int, None]:
    while not (yield Wait.R):
        pass
    pgconn.consume_input()


def _failed(
    pgconn: pq.abc.PGconn, result: pq.abc.PGresult | None
) -> Generator[Wait, Ready | int, None]:
    """Raise the server's error, after reading its remaining results."""
    while (yield from _result(pgconn)) is not None:
        pass
    if result is None:
        raise psycopg.OperationalError("the server ended a copy without a result")
    raise psycopg.errors.error_from_result(result)
