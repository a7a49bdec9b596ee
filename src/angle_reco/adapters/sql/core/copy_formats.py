"""COPY's formats: columns of numpy as rows of bytes, and the reverse.

Rows of fixed-width fields travel in the binary format, which numpy reads as an array. Rows with
texts are read in the text format, which splits quickly, and written in the binary format.
PostgreSQL's manual defines the formats in the chapters "COPY" and "Message Formats".
"""

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from angle_reco.domain.arrays import Int64s
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import IdKind
from angle_reco.domain.moments import NEVER, UNKNOWN_MOMENT

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
END = b"\xff\xff"

YEAR_2000 = 946_684_800_000_000
"""PostgreSQL's epoch, in microseconds since 1970."""


class CopyType(Enum):
    """The format of a field: its type, OID and function in PostgreSQL, and its numpy dtype."""

    INT = sa.BigInteger(), 20, "int8send", ">i8"
    INT4 = sa.Integer(), 23, "int4send", ">i4"
    SMALL = sa.SmallInteger(), 21, "int2send", ">i2"
    MOMENT = sa.TIMESTAMP(timezone=True), 1184, "timestamptz_send", ">i8"
    UUID = sa.Uuid(), 2950, "uuid_send", "V16"
    TEXT = sa.Text(), 25, "textsend", "O"

    def __init__(self, of: sa.types.TypeEngine[Any], oid: int, send: str, dtype: str) -> None:
        self.of = of
        self.oid = oid
        self.send = send
        self.dtype: np.dtype[Any] = np.dtype(dtype)

    @classmethod
    def of_ids(cls, kind: IdKind) -> "CopyType":
        """Return the type of fields that hold ids of *kind*."""
        return {IdKind.INT: cls.INT, IdKind.UUID: cls.UUID, IdKind.TEXT: cls.TEXT}[kind]

    @property
    def is_text(self) -> bool:
        """Return whether the length of the values varies."""
        return self is CopyType.TEXT

    @property
    def width(self) -> int:
        """Return how many bytes a fixed-width field takes with its size."""
        return 4 + self.dtype.itemsize


def columns_of_bytes(rows: bytearray, copy_types: Sequence[CopyType]) -> list[npt.NDArray[Any]]:
    """Return whole rows in the binary format as columns."""
    row = _row_dtype(copy_types)
    first = len(HEADER) if rows.startswith(HEADER) else 0
    # The bytes after the last whole row are the trailer.
    read = np.frombuffer(rows, row, count=(len(rows) - first) // row.itemsize, offset=first)
    return [
        _decoded(read[f"field{place}"], copy_type) for place, copy_type in enumerate(copy_types)
    ]


def columns_of_text(rows: bytearray, copy_types: Sequence[CopyType]) -> list[npt.NDArray[Any]]:
    """Return whole rows of `copy_columns` in the text format as columns."""
    text = rows.decode()
    fields = text.replace("\n", "\t").split("\t")
    fields.pop()
    texts = sum(copy_type.is_text for copy_type in copy_types)
    before = texts < len(copy_types)
    count = texts + before
    columns = [fields[place::count] for place in range(before, count)]
    if "\\" in text:
        columns = [[_ESCAPED.sub(_unescaped, one) for one in column] for column in columns]
    return columns_of_fields("".join(fields[::count]) if before else "", columns, copy_types)


def columns_of_fields(
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
    if copy_type is CopyType.UUID:
        return np.ascontiguousarray(column)
    numbers = column.astype(np.int64)
    if copy_type is CopyType.MOMENT:
        numbers[(numbers != NEVER) & (numbers != UNKNOWN_MOMENT)] += YEAR_2000
    return numbers


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
    if not any(copy_type.is_text for copy_type, _ in sent):
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
    return values - YEAR_2000 if copy_type is CopyType.MOMENT else values


def with_sizes(values: npt.NDArray[Any], copy_type: CopyType) -> Sequence[bytes]:
    """Return each value in the binary format, preceded by its size."""
    if copy_type.is_text:
        encoded = [one.encode() for one in values.tolist()]
        return [struct.pack("!i", len(one)) + one for one in encoded]
    data, width = elements(values, copy_type), copy_type.width
    return [data[first : first + width] for first in range(0, len(data), width)]


def elements(values: npt.NDArray[Any], copy_type: CopyType) -> bytes:
    """Return fixed-width values encoded as array elements, each preceded by its size."""
    sized = np.empty(len(values), np.dtype([("size", ">i4"), ("value", copy_type.dtype)]))
    sized["size"] = copy_type.dtype.itemsize
    sized["value"] = _encoded(values, copy_type)
    return sized.tobytes()


def array_head(oid: int, length: int) -> bytes:
    """Return the header of an encoded array of one dimension."""
    return struct.pack("!iiIii", 1, 0, oid, length, 1) if length else struct.pack("!iiI", 0, 0, oid)
