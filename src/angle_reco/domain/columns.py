"""Columns of ids, and the index that maps ids to small integers."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Self
from uuid import UUID

import attrs
import numpy as np

# Explicit, because `np.unique` would import it in some thread while another one may fork.
import numpy.ma
import numpy.typing as npt

from angle_reco.domain.arrays import Int32s, frozen, starts_of_runs
from angle_reco.domain.footprints import (
    footprint_of_array,
    footprint_of_dict,
    footprint_of_objects,
)
from angle_reco.domain.ids import Id, IdKind

NONE = -1
"""The code of an id that is unknown or missing."""

_DTYPES: dict[IdKind, Any] = {
    IdKind.INT: np.dtype(np.int64),
    # Not S16: that drops trailing zero bytes.
    IdKind.UUID: np.dtype("V16"),
    IdKind.TEXT: np.dtypes.StringDType(),
}


@attrs.frozen
class IdColumn:
    """Ids of one kind, as int64, 16 raw bytes or text, in a read-only array."""

    kind: IdKind
    values: npt.NDArray[Any] = attrs.field(converter=frozen, eq=attrs.cmp_using(eq=np.array_equal))

    def __attrs_post_init__(self) -> None:
        if self.values.dtype != _DTYPES[self.kind]:
            raise ValueError(f"a column of {self.kind} ids cannot hold {self.values.dtype}")

    @classmethod
    def of(cls, kind: IdKind, ids: Iterable[object]) -> Self:
        """Return *ids*, which must be valid and of *kind*, as a column.

        >>> IdColumn.of(IdKind.TEXT, ["b", "a"]).to_list()
        ['b', 'a']
        """
        listed = list(ids)
        if kind is IdKind.UUID:
            raw = b"".join(one.bytes for one in listed if isinstance(one, UUID))
            return cls(kind, np.frombuffer(raw, _DTYPES[kind]))
        return cls(kind, np.array(listed, _DTYPES[kind]))

    @classmethod
    def joined(cls, kind: IdKind, columns: Iterable[Self]) -> Self:
        """Return the ids of all *columns*, in order."""
        parts = [column.values for column in columns]
        return cls(kind, np.concatenate([np.empty(0, _DTYPES[kind]), *parts]))

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Id]:
        return iter(self.to_list())

    def __getitem__(self, place: int) -> Id:
        return self.take(slice(place, place + 1)).to_list()[0]

    def to_list(self) -> list[Id]:
        """Return the ids as the host's types."""
        if self.kind is IdKind.UUID:
            return [UUID(bytes=raw) for raw in self.values.tolist()]
        ids: list[Id] = self.values.tolist()
        return ids

    def take(self, places: npt.NDArray[Any] | slice) -> Self:
        """Return the ids at *places*, which are positions, a mask or a slice."""
        return type(self)(self.kind, self.values[places])


@attrs.frozen
class IdIndex:
    """Distinct ids in order; the place of an id is its code.

    UUIDs are ordered by their bytes, integers by value, texts by code point. The smaller of
    two ids has the smaller code, so that rules that end in "the smaller id" can compare
    codes.
    """

    ids: IdColumn

    @classmethod
    def of(cls, kind: IdKind, *columns: IdColumn) -> Self:
        """Return the index of every id in *columns*."""
        everything = IdColumn.joined(kind, columns)
        return cls(IdColumn(kind, _distinct(kind, everything.values)))

    @classmethod
    def of_nullable(cls, kind: IdKind, ids: Sequence[object | None]) -> tuple[Self, Int32s]:
        """Return the index of *ids* and their codes, NONE for a missing id.

        >>> index, codes = IdIndex.of_nullable(IdKind.INT, [7, None, 3])
        >>> index.ids.to_list(), codes.tolist()
        ([3, 7], [1, -1, 0])
        """
        known = np.array([one is not None for one in ids], np.bool_)
        column = IdColumn.of(kind, [one for one in ids if one is not None])
        index = cls.of(kind, column)
        codes = np.full(len(ids), NONE, np.int32)
        codes[known] = index.codes(column)
        return index, codes

    def __len__(self) -> int:
        return len(self.ids)

    def codes(self, column: IdColumn) -> Int32s:
        """Return the code of each id, NONE for one that is not in the index."""
        if self.ids.kind is IdKind.TEXT:
            # Hashing texts takes a quarter of the time of a binary search.
            look_up = self._text_codes.get
            listed = column.values.tolist()
            return np.fromiter((look_up(one, NONE) for one in listed), np.int32, len(listed))
        if len(self) == 0:
            return np.full(len(column), NONE, np.int32)
        places = self._places(column)
        places[places == len(self)] = 0
        found = self.ids.values[places] == column.values
        return np.where(found, places, NONE).astype(np.int32)

    def code(self, one: object) -> int:
        """Return the code of *one* id, NONE when it is not in the index."""
        return int(self.codes(IdColumn.of(self.ids.kind, [one]))[0])

    @property
    def footprint(self) -> int:
        """Return about how many bytes the ids and the dict of text codes take."""
        size = footprint_of_array(self.ids.values)
        if self.ids.kind is IdKind.TEXT:
            codes = len(self) * sys.getsizeof(len(self))
            size += footprint_of_dict(len(self)) + footprint_of_objects(self.ids.values) + codes
        return size

    def _places(self, column: IdColumn) -> npt.NDArray[np.intp]:
        """Return where each id is, if it is in the index."""
        if self.ids.kind is IdKind.UUID and len(column) >= len(self) // _IDS_PER_LOOK_UP:
            heads = _heads(self.ids.values)
            if (heads[1:] != heads[:-1]).all():
                return np.searchsorted(heads, _heads(column.values))
        return np.searchsorted(self.ids.values, column.values)

    @cached_property
    def _text_codes(self) -> dict[str, int]:
        return {text: code for code, text in enumerate(self.ids.values.tolist())}


_IDS_PER_LOOK_UP = 4
"""Of an index; for fewer look-ups the numbers of its ids would take longer than they save."""


def _distinct(kind: IdKind, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the distinct *values* in order."""
    if kind is IdKind.TEXT:
        return np.unique(values)
    if kind is IdKind.INT:
        values = np.sort(values)
        return values[starts_of_runs(values)]
    heads = _heads(values)
    order = np.argsort(heads)
    heads, in_order = heads[order], values[order]
    is_same = heads[1:] == heads[:-1]
    if (in_order[1:][is_same] != in_order[:-1][is_same]).any():
        return np.unique(values)
    distinct: npt.NDArray[Any] = in_order[np.append([True], ~is_same)[: len(in_order)]]
    return distinct


def _heads(uuids: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Return the first half of each UUID as a number, which sorts in half the time of the bytes."""
    return np.ascontiguousarray(uuids).view(">u8")[::2].astype(np.uint64)
