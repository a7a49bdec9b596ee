"""Lists as rows for COPY: those of fixed width at once are those one by one."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.adapters.sql.core.copy_formats import CopyType
from angle_reco.adapters.sql.results import list_copies
from angle_reco.adapters.sql.results.list_copies import rows_of_lists
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import IdKind
from angle_reco.domain.lists import Lists
from angle_reco.domain.scoring.ranking import CLASSIC

MARKS = (b"\x00\x00\x00\x02no", b"\xff\xff\xff\xff")


def ids(kind: IdKind, count: int, random: np.random.Generator) -> IdColumn:
    """Return ids of no order."""
    if kind is IdKind.UUID:
        return IdColumn(kind, np.frombuffer(random.bytes(16 * count), "V16"))
    return IdColumn(kind, random.integers(-(2**63), 2**63, count, np.int64, endpoint=False))


def made(owner: IdKind, item: IdKind, lengths: list[int]) -> tuple[Lists, IdColumn]:
    """Return lists of these lengths and their digests."""
    random, count = np.random.default_rng(len(lengths)), sum(lengths)
    lists = Lists(
        owners=ids(owner, len(lengths), random),
        offsets=np.append(0, np.cumsum(lengths, dtype=np.int64)),
        items=ids(item, count, random),
        parts=random.integers(-(2**31), 2**31, (count, 3)).astype(np.int32),
        scores=random.integers(0, 10**6, count).astype(np.int32),
        reasons=random.integers(0, 9, count).astype(np.int8),
        sources=random.integers(0, 3, count).astype(np.int8),
        recipe=CLASSIC.recipe,
        computed_at=datetime(2026, 6, 1, tzinfo=UTC),
    )
    return lists, ids(IdKind.UUID, len(lengths), random)


@given(
    owner=st.sampled_from([IdKind.INT, IdKind.UUID]),
    item=st.sampled_from([IdKind.INT, IdKind.UUID]),
    lengths=st.lists(st.integers(0, 3), max_size=12),
    marks=st.sampled_from([(), MARKS]),
)
def test_rows_at_once_are_those_one_by_one(
    owner: IdKind, item: IdKind, lengths: list[int], marks: tuple[bytes, ...]
) -> None:
    lists, digests = made(owner, item, lengths)

    at_once = b"".join(rows_of_lists(lists, digests, marks))

    assert at_once == b"".join(plainly(lists, digests, marks))


@pytest.mark.parametrize("length", [0, 1, 60])
def test_more_rows_than_are_made_at_once(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_copies, "_LISTS_AT_ONCE", 7)
    lists, digests = made(IdKind.UUID, IdKind.UUID, [length] * 20)

    at_once = list(rows_of_lists(lists, digests))

    assert len(at_once) == 3
    assert b"".join(at_once) == b"".join(plainly(lists, digests, ()))


def plainly(lists: Lists, digests: IdColumn, marks: tuple[bytes, ...]) -> list[bytes]:
    """Return each row field by field, as PostgreSQL's manual describes the format."""

    def number(value: int, width: int) -> bytes:
        return value.to_bytes(width, "big", signed=True)

    def one(value: object, of: CopyType) -> bytes:
        data = value if isinstance(value, bytes) else number(int(str(value)), of.dtype.itemsize)
        return number(len(data), 4) + data

    def array(values: Sequence[object], of: CopyType) -> bytes:
        data = number(bool(values), 4) + number(0, 4) + number(of.oid, 4)
        if values:
            data += number(len(values), 4) + number(1, 4)
            data += b"".join(one(value, of) for value in values)
        return number(len(data), 4) + data

    rows = []
    of_owner, of_item = (CopyType.of_ids(some.kind) for some in (lists.owners, lists.items))
    for place in range(len(lists)):
        lines = slice(int(lists.offsets[place]), int(lists.offsets[place + 1]))
        fields = [
            one(lists.owners.values[place].item(), of_owner),
            array(lists.items.values[lines].tolist(), of_item),
            array(lists.scores[lines].tolist(), CopyType.INT4),
            array(lists.parts[lines].ravel().tolist(), CopyType.INT4),
            array(lists.reasons[lines].tolist(), CopyType.SMALL),
            array(lists.sources[lines].tolist(), CopyType.SMALL),
            one(digests.values[place].item(), CopyType.UUID),
            *marks,
        ]
        rows.append(number(len(fields), 2) + b"".join(fields))
    return rows
