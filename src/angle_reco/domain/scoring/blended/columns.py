"""A model as flat arrays by name, and arrays as bytes with a checksum."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from angle_reco.domain.arrays import Int32s, Int64s
from angle_reco.domain.errors import ModelError
from angle_reco.domain.scoring.blended.hashes import HashIndex
from angle_reco.domain.scoring.blended.model import (
    Coefficients,
    Fans,
    Histories,
    KnownItems,
    Model,
    Neighbours,
    TouchCounts,
)
from angle_reco.domain.scoring.blended.titles import BUCKETS, TitleRows

Columns: TypeAlias = Mapping[str, npt.NDArray[Any]]

MATRICES = ("taste", "follow", "sequence", "taste_of_kinds", "follow_of_kinds")


def columns_of(model: Model) -> dict[str, npt.NDArray[Any]]:
    """Return a model as one-dimensional arrays of 32 and 64 bits by name."""
    items, neighbours = model.items, model.neighbours
    columns: dict[str, npt.NDArray[Any]] = {
        "items.ids": items.ids.hashes,
        "items.categories": items.categories.hashes,
        "items.category": items.category,
        "items.seller": items.seller,
        "items.kinds": items.kinds,
        "items.kind": items.kind,
        "items.log_price": items.log_price,
        "items.rarities": items.rarities,
        "titles.offsets": items.titles.offsets,
        "titles.buckets": items.titles.buckets,
        "titles.weights": items.titles.weights,
        "users": model.users.hashes,
    }
    for name in MATRICES:
        matrix: Coefficients = getattr(model, name)
        columns |= {
            f"{name}.offsets": matrix.offsets,
            f"{name}.targets": matrix.targets,
            f"{name}.values": matrix.values,
        }
    columns |= columns_of_histories(model.histories, "histories")
    columns |= columns_of_histories(neighbours.histories_of_kinds, "histories_of_kinds")
    for name, fans in (("fans", neighbours.fans), ("fans_of_kinds", neighbours.fans_of_kinds)):
        columns |= {f"{name}.offsets": fans.offsets, f"{name}.users": fans.users}
    return columns | columns_of_touches(model.touches)


def columns_of_histories(histories: Histories, name: str) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of histories."""
    return {
        f"{name}.offsets": histories.offsets,
        f"{name}.items": histories.items,
        f"{name}.last_at": histories.last_at,
    }


def columns_of_touches(touches: TouchCounts) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of the counts of touches."""
    return {
        "touches.ids": touches.ids.hashes,
        "touches.items": touches.items,
        "touches.hours": touches.hours,
        "touches.counts": touches.counts,
    }


def model_of(columns: Columns, *, version: str = "") -> Model:
    """Return the model of these columns; what `Neighbours` has may be left out.

    Raises:
        ModelError: A column is missing, or its values cannot be those of a model.
    """
    read = _Reader(columns)
    items, users = read.ascending("items.ids"), read.ascending("users")
    categories, kinds = read.ascending("items.categories"), read.ascending("items.kinds")
    offsets, (buckets, weights) = read.rows(
        "titles", ("buckets", "weights"), count=len(items), most=BUCKETS
    )
    known = KnownItems(
        ids=HashIndex(hashes=items),
        categories=HashIndex(hashes=categories),
        category=read.codes("items.category", len(categories), count=len(items), least=-1),
        seller=read.array("items.seller", np.int64, len(items)),
        kinds=kinds,
        kind=read.codes("items.kind", len(kinds), count=len(items), least=-1),
        log_price=read.codes("items.log_price", 2**16, count=len(items), least=-1),
        titles=TitleRows(offsets=offsets, buckets=buckets, weights=weights),
        rarities=read.array("items.rarities", np.int64, BUCKETS),
    )
    histories = read.histories("histories", users=len(users), size=len(items))
    neighbours = (
        read.neighbours(histories, items=len(items), kinds=len(kinds))
        if "fans.offsets" in columns
        else Neighbours.of(histories, known)
    )
    matrices = {
        name: read.coefficients(name, len(kinds if name.endswith("kinds") else items))
        for name in MATRICES
    }
    return Model(
        items=known,
        users=HashIndex(hashes=users),
        histories=histories,
        neighbours=neighbours,
        touches=touches_of(columns),
        taste=matrices["taste"],
        follow=matrices["follow"],
        sequence=matrices["sequence"],
        taste_of_kinds=matrices["taste_of_kinds"],
        follow_of_kinds=matrices["follow_of_kinds"],
        version=version,
    )


def touches_of(columns: Columns) -> TouchCounts:
    """Return the counts of touches of these columns.

    Raises:
        ModelError: A column is missing, or its values cannot be counts.
    """
    read = _Reader(columns)
    ids = read.ascending("touches.ids")
    items = read.codes("touches.items", len(ids))
    return TouchCounts(
        ids=HashIndex(hashes=ids),
        items=items,
        hours=read.array("touches.hours", np.int32, len(items)),
        counts=read.codes("touches.counts", 2**31 - 1, count=len(items)),
    )


class _Reader:
    """Takes columns by name, and refuses values that would fail or mislead later."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def array(self, name: str, dtype: Any, count: int | None = None) -> npt.NDArray[Any]:
        column = self._columns.get(name)
        if column is None or column.dtype != dtype or column.ndim != 1:
            raise ModelError(f"has no column {name} of {np.dtype(dtype)}")
        if count is not None and len(column) != count:
            raise ModelError(f"has {len(column)} values in {name}, but should have {count}")
        return column

    def ascending(self, name: str) -> Int64s:
        column = self.array(name, np.int64)
        if (column[1:] <= column[:-1]).any():
            raise ModelError(f"has values in {name} that do not ascend")
        return column

    def codes(self, name: str, size: int, *, count: int | None = None, least: int = 0) -> Int32s:
        column = self.array(name, np.int32, count)
        if len(column) and not (column.min() >= least and column.max() < size):
            raise ModelError(f"has values in {name} beyond {least} to {size - 1}")
        return column

    def rows(
        self, name: str, parts: tuple[str, str], *, count: int, most: int
    ) -> tuple[Int64s, tuple[Int32s, Int32s]]:
        """Return offsets of *count* rows, codes below *most*, and the values beside them."""
        codes = self.codes(f"{name}.{parts[0]}", most)
        return self.offsets(name, count, len(codes)), (
            codes,
            self.array(f"{name}.{parts[1]}", np.int32, len(codes)),
        )

    def offsets(self, name: str, count: int, size: int) -> Int64s:
        column = self.array(f"{name}.offsets", np.int64, count + 1)
        if column[0] != 0 or column[-1] != size or (np.diff(column) < 0).any():
            raise ModelError(f"has offsets in {name} that are not those of {size} values")
        return column

    def coefficients(self, name: str, size: int) -> Coefficients:
        offsets, (targets, values) = self.rows(name, ("targets", "values"), count=size, most=size)
        return Coefficients(offsets=offsets, targets=targets, values=values)

    def histories(self, name: str, *, users: int, size: int) -> Histories:
        offsets, (items, last_at) = self.rows(name, ("items", "last_at"), count=users, most=size)
        return Histories(offsets=offsets, items=items, last_at=last_at)

    def neighbours(self, histories: Histories, *, items: int, kinds: int) -> Neighbours:
        of_kinds = self.histories("histories_of_kinds", users=len(histories), size=kinds)
        return Neighbours(
            fans=self._fans("fans", histories, items),
            histories_of_kinds=of_kinds,
            fans_of_kinds=self._fans("fans_of_kinds", of_kinds, kinds),
        )

    def _fans(self, name: str, histories: Histories, count: int) -> Fans:
        users = self.codes(f"{name}.users", len(histories))
        offsets = self.offsets(name, count, len(users))
        return Fans(offsets=offsets, users=users, sizes=np.diff(histories.offsets))


_MAGIC = b"angle_reco model 1\n"
_ALIGNED = 64
_DIGEST = 16


def packed(columns: Columns) -> bytes:
    """Return columns as bytes: a header, the columns little-endian and aligned, a checksum."""
    head, data, place = list[tuple[str, str, int, int]](), list[bytes](), 0
    for name, column in columns.items():
        written = column.astype(column.dtype.newbyteorder("<"), copy=False).tobytes()
        head.append((name, column.dtype.newbyteorder("<").str, place, len(column)))
        padding = -len(written) % _ALIGNED
        data += [written, bytes(padding)]
        place += len(written) + padding
    text = json.dumps(head).encode()
    start = _MAGIC + len(text).to_bytes(8, "little") + text
    body = b"".join([start, bytes(-len(start) % _ALIGNED), *data])
    return body + blake2b(body, digest_size=_DIGEST).digest()


def unpacked(data: bytes | memoryview) -> dict[str, npt.NDArray[Any]]:
    """Return the columns that `packed` wrote, as views of *data*.

    Raises:
        ModelError: These are no such bytes, of this version, or not all of them.
    """
    view = memoryview(data)
    if bytes(view[: len(_MAGIC)]) != _MAGIC:
        raise ModelError("was written by another version")
    body = view[:-_DIGEST]
    if blake2b(body, digest_size=_DIGEST).digest() != bytes(view[-_DIGEST:]):
        raise ModelError("is truncated or damaged")
    first = len(_MAGIC) + 8
    start = first + int.from_bytes(view[len(_MAGIC) : first], "little")
    head = json.loads(bytes(view[first:start]))
    start += -start % _ALIGNED
    return {
        name: _native(np.frombuffer(body, np.dtype(dtype), count, start + place))
        for name, dtype, place, count in head
    }


def _native(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return column.astype(column.dtype.newbyteorder("="), copy=False)
