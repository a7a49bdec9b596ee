"""Bulk transfer to and from PostgreSQL with COPY, by columns rather than by rows.

Rows of fixed-width fields travel in COPY's binary format, which numpy reads as an array.
Rows with texts are read in the text format, which splits quickly, and written in the binary
format. PostgreSQL's manual defines the formats in the chapters "COPY" and "Message Formats".
"""

import re
import struct
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import sqlalchemy as sa
from psycopg import pq
from psycopg.waiting import Ready, Wait
from sqlalchemy.dialects.postgresql import psycopg as psycopg_dialect

from angle_reco.adapters.sql.core.postgres import driver_of
from angle_reco.domain.arrays import Int64s
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import IdKind
from angle_reco.domain.moments import NEVER, UNKNOWN_MOMENT

_BYTES_READ_AT_ONCE = 8 * 2**20
_BYTES_WRITTEN_AT_ONCE = 2**20

_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END = b"\xff\xff"

_YEAR_2000 = 946_684_800_000_000
"""PostgreSQL's epoch, in microseconds since 1970."""

_DIALECT: sa.Dialect = psycopg_dialect.dialect()  # type: ignore[no-untyped-call]  # of SQLAlchemy


class CopyType(Enum):
    """The format of a field in COPY; the value starts with its big-endian numpy dtype."""

    INT = ">i8"
    SMALL = ">i2"
    MOMENT = ">i8 since 2000"
    UUID = "V16"
    TEXT = "O"

    @classmethod
    def of_ids(cls, kind: IdKind) -> "CopyType":
        """Return the type of fields that hold ids of *kind*."""
        return {IdKind.INT: cls.INT, IdKind.UUID: cls.UUID, IdKind.TEXT: cls.TEXT}[kind]

    @property
    def is_text(self) -> bool:
        """Return whether the length of the values varies."""
        return self is CopyType.TEXT

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the numpy dtype of a field in the binary format."""
        return np.dtype(self.value.split()[0])


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
    compiled = (sent[0] if len(sent) == 1 else sa.union_all(*sent)).compile(
        dialect=_DIALECT, compile_kwargs={"render_postcompile": True}
    )
    how = "text" if is_text else "binary"
    command = f"COPY ({compiled}) TO STDOUT (FORMAT {how})"
    parse = _columns_of_text if is_text else _columns_of_bytes
    with driver_of(connection) as raw:
        # COPY takes no parameters, so the driver quotes the values into the statement.
        processors = {
            name: bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)
            for bind, name in compiled.bind_names.items()
        }
        values = dict(compiled.construct_params())
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
        return _columns_of_fields("", columns, copy_types)
    return _columns_of_fields("".join(columns[0]), columns[1:], copy_types)


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
        block, size = [_HEADER], 0
        for row in rows:
            block.append(row)
            size += len(row)
            if size > _BYTES_WRITTEN_AT_ONCE:
                copy.write(b"".join(block))
                block, size = [], 0
        copy.write(b"".join([*block, _END]))


def _sent(
    query: sa.Select[Any], copy_types: Sequence[CopyType], *, is_text: bool
) -> sa.Select[Any]:
    """Return *query* with its columns cast to the types of the transfer.

    In the text format, the first column holds all fixed-width fields, as hexadecimal digits.
    """
    columns: list[sa.ColumnElement[Any]] = []
    widths: list[sa.ColumnElement[Any]] = []
    for column, copy_type in zip(query.selected_columns, copy_types, strict=True):
        match copy_type:
            case CopyType.TEXT:
                columns.append(sa.cast(column, sa.Text))
                continue
            case CopyType.INT:
                sent: sa.ColumnElement[Any] = sa.cast(column, sa.BigInteger)
                send = sa.func.int8send
            case CopyType.SMALL:
                sent, send = sa.cast(column, sa.SmallInteger), sa.func.int2send
            case CopyType.MOMENT:
                moment = sa.cast(column, sa.TIMESTAMP(timezone=True))
                sent = sa.func.coalesce(moment, sa.literal_column("'-infinity'::timestamptz"))
                send = sa.func.timestamptz_send
            case CopyType.UUID:
                sent, send = sa.cast(column, sa.Uuid), sa.func.uuid_send
        if is_text:
            widths.append(send(sent, type_=sa.LargeBinary))
        else:
            columns.append(sent)
    if widths:
        together = reduce(lambda one, other: one.op("||")(other), widths)
        columns.insert(0, sa.func.encode(together, sa.literal_column("'hex'")))
    sending: sa.Select[Any] = query.with_only_columns(*columns, maintain_column_froms=True)
    return sending


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
        size, row = get(1)
        if size > 0:
            # Appended immediately: storing the views of libpq's memory costs four times as much.
            rows += row
        elif size == 0:
            yield from _readable(pgconn)
        else:
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


def _columns_of_bytes(rows: bytearray, copy_types: Sequence[CopyType]) -> list[npt.NDArray[Any]]:
    row = _row_dtype(copy_types)
    first = len(_HEADER) if rows.startswith(_HEADER) else 0
    # The bytes after the last whole row are the trailer.
    read = np.frombuffer(rows, row, count=(len(rows) - first) // row.itemsize, offset=first)
    return [
        _decoded(read[f"field{place}"], copy_type) for place, copy_type in enumerate(copy_types)
    ]


def _columns_of_text(rows: bytearray, copy_types: Sequence[CopyType]) -> list[npt.NDArray[Any]]:
    text = rows.decode()
    fields = text.replace("\n", "\t").split("\t")
    fields.pop()
    texts = sum(copy_type.is_text for copy_type in copy_types)
    before = texts < len(copy_types)
    count = texts + before
    columns = [fields[place::count] for place in range(before, count)]
    if "\\" in text:
        columns = [[_ESCAPED.sub(_unescaped, one) for one in column] for column in columns]
    return _columns_of_fields("".join(fields[::count]) if before else "", columns, copy_types)


def _columns_of_fields(
    together: str, texts: Iterable[Sequence[str]], copy_types: Sequence[CopyType]
) -> list[npt.NDArray[Any]]:
    """Return all columns; *together* holds the fixed-width ones as hexadecimal digits."""
    widths = [
        (f"field{place}", copy_type.dtype)
        for place, copy_type in enumerate(copy_types)
        if not copy_type.is_text
    ]
    read = np.frombuffer(bytes.fromhex(together), np.dtype(widths or [("nothing", np.dtype("u1"))]))
    left = iter(texts)
    return [
        np.array(next(left), np.dtypes.StringDType())
        if copy_type.is_text
        else _decoded(read[f"field{place}"], copy_type)
        for place, copy_type in enumerate(copy_types)
    ]


_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _unescaped(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[1], found[1])


def _decoded(column: npt.NDArray[Any], copy_type: CopyType) -> npt.NDArray[Any]:
    match copy_type:
        case CopyType.INT | CopyType.SMALL:
            return column.astype(np.int64)
        case CopyType.MOMENT:
            moments = column.astype(np.int64)
            known = (moments != NEVER) & (moments != UNKNOWN_MOMENT)
            moments[known] += _YEAR_2000
            return moments
        case _:
            return np.ascontiguousarray(column)


def _row_dtype(copy_types: Sequence[CopyType]) -> np.dtype[Any]:
    """Return the dtype of a row of fixed-width fields: their count, and each with its size."""
    parts: list[tuple[str, Any]] = [("count", ">i2")]
    for place, copy_type in enumerate(copy_types):
        parts += [(f"size{place}", ">i4"), (f"field{place}", copy_type.dtype)]
    return np.dtype(parts)


def rows_of(columns: Sequence[IdColumn | tuple[CopyType, Int64s]]) -> Iterator[bytes]:
    """Yield columns of ids, integers or moments as rows encoded in the binary format.

    The columns have equal lengths. Without texts, a single chunk holds all rows.
    """
    sent = [
        (CopyType.of_ids(one.kind), one.values) if isinstance(one, IdColumn) else one
        for one in columns
    ]
    if all(copy_type is not CopyType.TEXT for copy_type, _ in sent):
        rows = np.empty(len(sent[0][1]), _row_dtype([copy_type for copy_type, _ in sent]))
        rows["count"] = len(sent)
        for place, (copy_type, values) in enumerate(sent):
            rows[f"size{place}"] = copy_type.dtype.itemsize
            rows[f"field{place}"] = _encoded(values, copy_type)
        yield rows.tobytes()
        return
    head = struct.pack("!h", len(sent))
    for fields in zip(*(with_sizes(values, copy_type) for copy_type, values in sent), strict=True):
        yield head + b"".join(fields)


def _encoded(values: npt.NDArray[Any], copy_type: CopyType) -> npt.NDArray[Any]:
    return values - _YEAR_2000 if copy_type is CopyType.MOMENT else values


def with_sizes(values: npt.NDArray[Any], copy_type: CopyType) -> Sequence[bytes]:
    """Return each value in the binary format, preceded by its size."""
    if copy_type is CopyType.TEXT:
        encoded = [one.encode() for one in values.tolist()]
        return [struct.pack("!i", len(one)) + one for one in encoded]
    return _cut(
        elements(_encoded(values, copy_type), copy_type.dtype), 4 + copy_type.dtype.itemsize
    )


def elements(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> bytes:
    """Return fixed-width values encoded as array elements, each preceded by its size."""
    sized = np.empty(len(values), np.dtype([("size", ">i4"), ("value", dtype)]))
    sized["size"] = dtype.itemsize
    sized["value"] = values
    return sized.tobytes()


def _cut(data: bytes, width: int) -> list[bytes]:
    """Split *data* into pieces of *width* bytes."""
    return [data[first : first + width] for first in range(0, len(data), width)]


def array_head(oid: int, length: int) -> bytes:
    """Return the header of an encoded array of one dimension."""
    return struct.pack("!iiIii", 1, 0, oid, length, 1) if length else struct.pack("!iiI", 0, 0, oid)
