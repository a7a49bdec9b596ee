"""Bulk data to and from PostgreSQL by COPY, columns at a time rather than a row at a time.

Rows whose fields all have one width travel in COPY's binary format, where they are an
array already. Rows with texts come in its text format, which splits quickly, and go in
the binary one. The formats are those of the chapters "COPY" and "Message Formats" of
PostgreSQL's manual.
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
"""Where PostgreSQL's moments begin, in microseconds since 1970."""

_DIALECT: sa.Dialect = psycopg_dialect.dialect()  # type: ignore[no-untyped-call]  # of SQLAlchemy


class CopyType(Enum):
    """How a field travels: the value is its numpy type, the big end first."""

    INT = ">i8"
    SMALL = ">i2"
    MOMENT = ">i8 since 2000"
    UUID = "V16"
    TEXT = "O"

    @classmethod
    def of_ids(cls, kind: IdKind) -> "CopyType":
        """Return how ids of a kind travel."""
        return {IdKind.INT: cls.INT, IdKind.UUID: cls.UUID, IdKind.TEXT: cls.TEXT}[kind]

    @property
    def is_text(self) -> bool:
        """Return whether values have a length of their own."""
        return self is CopyType.TEXT

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the numpy type of a field as it travels."""
        return np.dtype(self.value.split()[0])


def copy_columns(
    connection: sa.Connection,
    queries: Iterable[sa.Select[Any]],
    wires: Sequence[CopyType],
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[list[npt.NDArray[Any]]]:
    """Yield the rows of all *queries* as columns, some at a time, from one snapshot.

    Only moments may be null. Ids come as an `IdColumn` has them, moments in microseconds
    since 1970: without an end as NEVER, without a beginning or null as UNKNOWN_MOMENT.
    *meanwhile* is called while the server begins its work.
    """
    is_text = any(wire.is_text for wire in wires)
    sent = [_sent(query, wires, is_text=is_text) for query in queries]
    compiled = (sent[0] if len(sent) == 1 else sa.union_all(*sent)).compile(
        dialect=_DIALECT, compile_kwargs={"render_postcompile": True}
    )
    how = "text" if is_text else "binary"
    command = f"COPY ({compiled}) TO STDOUT (FORMAT {how})"
    parse = _columns_of_text if is_text else _columns_of_bytes
    with driver_of(connection) as raw:
        # COPY takes no parameters, so the driver writes them into the statement, quoted.
        processors = {
            name: bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)
            for bind, name in compiled.bind_names.items()
        }
        values = dict(compiled.construct_params())
        for name, process in processors.items():
            # The values of an IN are numbered.
            of_bind = re.compile(re.escape(name) + r"(_\d+)?")
            if process is not None:
                values |= {key: process(values[key]) for key in filter(of_bind.fullmatch, values)}
        statement = psycopg.ClientCursor(raw).mogrify(command, values)
        raw.wait(_sent_off(raw.pgconn, statement.encode(raw.info.encoding)))
        meanwhile()
        for rows in _copied_out(raw):
            yield parse(rows, wires)


def as_rows(queries: Sequence[sa.Select[Any]], wires: Sequence[CopyType]) -> sa.Executable:
    """Return one statement for *queries*, whose rows `columns_of_rows` understands."""
    sent = [_sent(query, wires, is_text=True) for query in queries]
    return sent[0] if len(sent) == 1 else sa.union_all(*sent)


def columns_of_rows(rows: Sequence[Any], wires: Sequence[CopyType]) -> list[npt.NDArray[Any]]:
    """Return rows that did not come by COPY as columns."""
    columns = list(zip(*rows, strict=True))
    if all(wire.is_text for wire in wires):
        return _columns_of_fields("", columns, wires)
    return _columns_of_fields("".join(columns[0]), columns[1:], wires)


@contextmanager
def staged(connection: sa.Connection, stage: sa.Table) -> Iterator[None]:
    """Have a temporary table until the block ends: the transaction may go on with another."""
    stage.create(connection, checkfirst=False)
    yield
    stage.drop(connection, checkfirst=False)


def copy_rows(connection: sa.Connection, table: sa.Table, rows: Iterable[bytes]) -> None:
    """Copy rows, each in the binary format, into a table."""
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


def _sent(query: sa.Select[Any], wires: Sequence[CopyType], *, is_text: bool) -> sa.Select[Any]:
    """Return *query* with its columns as they travel.

    Among texts all that has one width goes before them, as the digits of its bytes.
    """
    columns: list[sa.ColumnElement[Any]] = []
    widths: list[sa.ColumnElement[Any]] = []
    for column, wire in zip(query.selected_columns, wires, strict=True):
        match wire:
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
    """Yield what COPY sends, some rows at a time.

    The driver's own loop takes longer over each row than the server does.
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
            # Added at once: a view of libpq's memory that is kept costs four times as much.
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
    """Raise the server's error, once it has said all it has to say."""
    while (yield from _result(pgconn)) is not None:
        pass
    if result is None:
        raise psycopg.OperationalError("the server ended a copy without a result")
    raise psycopg.errors.error_from_result(result)


def _columns_of_bytes(rows: bytearray, wires: Sequence[CopyType]) -> list[npt.NDArray[Any]]:
    row = _row_dtype(wires)
    first = len(_HEADER) if rows.startswith(_HEADER) else 0
    # What is left after whole rows is the end.
    read = np.frombuffer(rows, row, count=(len(rows) - first) // row.itemsize, offset=first)
    return [_arrived(read[f"field{place}"], wire) for place, wire in enumerate(wires)]


def _columns_of_text(rows: bytearray, wires: Sequence[CopyType]) -> list[npt.NDArray[Any]]:
    text = rows.decode()
    fields = text.replace("\n", "\t").split("\t")
    fields.pop()
    texts = sum(wire.is_text for wire in wires)
    before = texts < len(wires)
    count = texts + before
    columns = [fields[place::count] for place in range(before, count)]
    if "\\" in text:
        columns = [[_ESCAPED.sub(_unescaped, one) for one in column] for column in columns]
    return _columns_of_fields("".join(fields[::count]) if before else "", columns, wires)


def _columns_of_fields(
    together: str, texts: Iterable[Sequence[str]], wires: Sequence[CopyType]
) -> list[npt.NDArray[Any]]:
    """Return columns, of which those of one width came together, as digits."""
    widths = [(f"field{place}", wire.dtype) for place, wire in enumerate(wires) if not wire.is_text]
    read = np.frombuffer(bytes.fromhex(together), np.dtype(widths or [("nothing", np.dtype("u1"))]))
    left = iter(texts)
    return [
        np.array(next(left), np.dtypes.StringDType())
        if wire.is_text
        else _arrived(read[f"field{place}"], wire)
        for place, wire in enumerate(wires)
    ]


_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _unescaped(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[1], found[1])


def _arrived(column: npt.NDArray[Any], wire: CopyType) -> npt.NDArray[Any]:
    match wire:
        case CopyType.INT | CopyType.SMALL:
            return column.astype(np.int64)
        case CopyType.MOMENT:
            moments = column.astype(np.int64)
            known = (moments != NEVER) & (moments != UNKNOWN_MOMENT)
            moments[known] += _YEAR_2000
            return moments
        case _:
            return np.ascontiguousarray(column)


def _row_dtype(wires: Sequence[CopyType]) -> np.dtype[Any]:
    """Return a row of fields of one width: how many there are, and the size before each."""
    parts: list[tuple[str, Any]] = [("count", ">i2")]
    for place, wire in enumerate(wires):
        parts += [(f"size{place}", ">i4"), (f"field{place}", wire.dtype)]
    return np.dtype(parts)


def rows_of(columns: Sequence[IdColumn | tuple[CopyType, Int64s]]) -> Iterator[bytes]:
    """Yield columns of equal length as rows in the binary format: ids, integers and moments."""
    sent = [
        (CopyType.of_ids(one.kind), one.values) if isinstance(one, IdColumn) else one
        for one in columns
    ]
    if all(wire is not CopyType.TEXT for wire, _ in sent):
        rows = np.empty(len(sent[0][1]), _row_dtype([wire for wire, _ in sent]))
        rows["count"] = len(sent)
        for place, (wire, values) in enumerate(sent):
            rows[f"size{place}"] = wire.dtype.itemsize
            rows[f"field{place}"] = _departing(values, wire)
        yield rows.tobytes()
        return
    head = struct.pack("!h", len(sent))
    for fields in zip(*(with_sizes(values, wire) for wire, values in sent), strict=True):
        yield head + b"".join(fields)


def _departing(values: npt.NDArray[Any], wire: CopyType) -> npt.NDArray[Any]:
    return values - _YEAR_2000 if wire is CopyType.MOMENT else values


def with_sizes(values: npt.NDArray[Any], wire: CopyType) -> Sequence[bytes]:
    """Return each value with its size before it."""
    if wire is CopyType.TEXT:
        encoded = [one.encode() for one in values.tolist()]
        return [struct.pack("!i", len(one)) + one for one in encoded]
    return _cut(elements(_departing(values, wire), wire.dtype), 4 + wire.dtype.itemsize)


def elements(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> bytes:
    """Return values of one width with the size of each before it, as arrays have them."""
    sized = np.empty(len(values), np.dtype([("size", ">i4"), ("value", dtype)]))
    sized["size"] = dtype.itemsize
    sized["value"] = values
    return sized.tobytes()


def _cut(data: bytes, width: int) -> list[bytes]:
    """Return *data* in pieces of one width."""
    return [data[first : first + width] for first in range(0, len(data), width)]


def array_head(oid: int, length: int) -> bytes:
    """Return what stands before the elements of an array of one dimension."""
    return struct.pack("!iiIii", 1, 0, oid, length, 1) if length else struct.pack("!iiI", 0, 0, oid)
