"""Lists as rows in COPY's binary format: the owner, the arrays of the lines, and the digest."""

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from angle_reco.adapters.sql.core.copy_formats import CopyType, array_head, elements, with_sizes
from angle_reco.domain.arrays import Int64s, ragged_ranges
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.lists import Lists

ARRAYS = ("items", "scores", "parts", "reasons", "sources")

_LISTS_AT_ONCE = 500
"""Their rows fit into the cache of a processor."""

_Section: TypeAlias = Callable[[int, int], bytes]
"""Returns the lines [first, last) of one column, encoded."""


class _Form(NamedTuple):
    """What rows of lists have in common: the types of ids, the number of parts, the last fields."""

    owner: CopyType
    item: CopyType
    components: int
    marks: tuple[bytes, ...]

    @property
    def fields(self) -> int:
        """Return how many fields a row has."""
        return 2 + len(ARRAYS) + len(self.marks)

    def array(self, name: str) -> tuple[CopyType, int]:
        """Return the type of the elements of an array, and how many there are for each line."""
        match name:
            case "items":
                return self.item, 1
            case "parts":
                return CopyType.INT4, self.components
            case "scores":
                return CopyType.INT4, 1
            case _:
                return CopyType.SMALL, 1


def rows_of_lists(lists: Lists, digests: IdColumn, marks: Sequence[bytes] = ()) -> Iterator[bytes]:
    """Yield whole rows in the order of *lists*, some of them at once.

    *marks* are the last fields of each row, encoded with their sizes.
    """
    form = _Form(
        owner=CopyType.of_ids(lists.owners.kind),
        item=CopyType.of_ids(lists.items.kind),
        components=len(lists.recipe.components),
        marks=tuple(marks),
    )
    if form.owner.is_text or form.item.is_text:
        yield from _row_by_row(lists, digests, form)
        return
    for first in range(0, len(lists), _LISTS_AT_ONCE):
        yield _together(lists, digests, form, first, min(first + _LISTS_AT_ONCE, len(lists)))


def _together(lists: Lists, digests: IdColumn, form: _Form, first: int, last: int) -> bytes:
    """Return the rows of the lists in [first, last), whose lengths are known in advance."""
    lengths, rows = np.diff(lists.offsets[first : last + 1]), [b""] * (last - first)
    for length in np.unique(lengths).tolist():
        places = np.flatnonzero(lengths == length)
        some = _of_length(lists, digests, form, first + places, length)
        data, width = some.tobytes(), some.itemsize
        if len(places) == len(rows):
            return data
        for number, place in enumerate(places.tolist()):
            rows[place] = data[width * number : width * (number + 1)]
    return b"".join(rows)


def _of_length(
    lists: Lists, digests: IdColumn, form: _Form, places: Int64s, length: int
) -> npt.NDArray[Any]:
    """Return the rows of the lists at *places*, which all have this length."""
    rows = np.repeat(_template(form, length), len(places))
    rows["owner"], rows["digest"] = lists.owners.values[places], digests.values[places]
    lines: Int64s | slice
    if places[-1] - places[0] == len(places) - 1:
        lines = slice(int(lists.offsets[places[0]]), int(lists.offsets[places[-1] + 1]))
    else:
        lines = ragged_ranges(lists.offsets[places], np.full(len(places), length))
    for name in _with_elements(form, length):
        values = lists.items.values if name == "items" else getattr(lists, name)
        rows[name]["value"] = values[lines].reshape(len(places), -1)
    return rows


def _with_elements(form: _Form, length: int) -> list[str]:
    """Return the names of the arrays that are not empty."""
    return [name for name in ARRAYS if form.array(name)[1] * length]


@lru_cache(maxsize=256)
def _template(form: _Form, length: int) -> npt.NDArray[Any]:
    """Return the row of a list of this length, with sizes and marks, but without values."""
    fields, sizes = list[tuple[Any, ...]](), dict[str, Any]()

    def add(name: str, dtype: Any, value: Any) -> None:
        fields.append((name, dtype))
        sizes[name] = value

    def add_bytes(name: str, value: bytes) -> None:
        if value:
            add(name, f"V{len(value)}", np.frombuffer(value, f"V{len(value)}"))

    add("count", ">i2", form.fields)
    add("size", ">i4", form.owner.dtype.itemsize)
    fields.append(("owner", form.owner.dtype))
    for name in ARRAYS:
        of, each = form.array(name)
        head = array_head(of.oid, each * length)
        add(f"size of {name}", ">i4", len(head) + each * length * of.width)
        add_bytes(f"head of {name}", head)
        if each * length:
            fields.append((name, [("size", ">i4"), ("value", of.dtype)], (each * length,)))
    add("size of digest", ">i4", CopyType.UUID.dtype.itemsize)
    fields.append(("digest", CopyType.UUID.dtype))
    add_bytes("marks", b"".join(form.marks))
    row = np.zeros(1, fields)
    for name, value in sizes.items():
        row[name] = value
    for name in _with_elements(form, length):
        row[name]["size"] = form.array(name)[0].dtype.itemsize
    return row


def _row_by_row(lists: Lists, digests: IdColumn, form: _Form) -> Iterator[bytes]:
    """Yield the rows one by one, whose texts have any length."""
    arrays = [(*form.array(name), _section(lists, name, form)) for name in ARRAYS]
    head, size = cache(array_head), struct.Struct("!i").pack
    fields, end = struct.pack("!h", form.fields), b"".join(form.marks)
    owners = with_sizes(lists.owners.values, form.owner)
    digested = with_sizes(digests.values, CopyType.UUID)
    for place, (first, last) in enumerate(pairwise(lists.offsets.tolist())):
        row = [fields, owners[place]]
        for of, each, section in arrays:
            before, data = head(of.oid, each * (last - first)), section(first, last)
            row += (size(len(before) + len(data)), before, data)
        row += (digested[place], end)
        yield b"".join(row)


def _section(lists: Lists, name: str, form: _Form) -> _Section:
    of, each = form.array(name)
    values = lists.items.values if name == "items" else getattr(lists, name).ravel()
    if of.is_text:
        sized = with_sizes(values, of)
        return lambda first, last: b"".join(sized[first:last])
    data, width = elements(values, of), each * of.width
    return lambda first, last: data[width * first : width * last]
