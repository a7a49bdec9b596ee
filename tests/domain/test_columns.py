from enum import IntEnum, StrEnum
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.ids import Id, IdKind

values: dict[IdKind, st.SearchStrategy[Id]] = {
    IdKind.INT: st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5),
    IdKind.UUID: st.uuids()
    | st.integers(0, 15).map(lambda byte: UUID(int=byte << 116))
    # Those that begin alike are not the same.
    | st.integers(0, 3).map(lambda number: UUID(int=number)),
    IdKind.TEXT: st.text(
        st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("aé\uffff\U0001f600"),
        min_size=1,
        max_size=6,
    ),
}
every_kind = pytest.mark.parametrize("kind", IdKind)


@every_kind
@given(data=st.data())
def test_ids_come_out_of_a_column_as_they_went_in(kind: IdKind, data: st.DataObject) -> None:
    ids = data.draw(st.lists(values[kind], max_size=8))

    column = IdColumn.of(kind, ids)

    assert column.to_list() == list(column) == [column[place] for place in range(len(ids))] == ids
    assert len(column) == len(ids)
    assert [type(one) for one in column] == [type(one) for one in ids]


@every_kind
@given(data=st.data())
def test_columns_are_joined_one_after_another(kind: IdKind, data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.lists(values[kind], max_size=3), max_size=4))

    joined = IdColumn.joined(kind, [IdColumn.of(kind, part) for part in parts])

    assert joined.to_list() == [one for part in parts for one in part]


@every_kind
@given(data=st.data())
def test_the_code_of_an_id_is_its_place_in_their_order(kind: IdKind, data: st.DataObject) -> None:
    known = data.draw(st.lists(values[kind], max_size=8))
    asked = data.draw(st.lists(values[kind], max_size=4)) + known[::2]

    index = IdIndex.of(kind, IdColumn.of(kind, known[:3]), IdColumn.of(kind, known[3:]))

    # Python orders integers by value, UUIDs by their bytes and texts by code point.
    in_order = sorted(set(known))
    expected = [in_order.index(one) if one in in_order else NONE for one in asked]
    assert index.ids.to_list() == in_order
    assert index.codes(IdColumn.of(kind, asked)).tolist() == expected
    assert [index.code(one) for one in asked] == expected
    assert index.codes(IdColumn.of(kind, asked)).dtype == np.int32


@every_kind
@given(data=st.data())
def test_no_id_has_the_code_none(kind: IdKind, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.none() | values[kind], max_size=8))

    index, codes = IdIndex.of_nullable(kind, ids)

    assert [None if code == NONE else index.ids[code] for code in codes.tolist()] == ids


def test_uuids_keep_their_trailing_zero_bytes() -> None:
    ids = [UUID(int=5 << 120), UUID(int=0), UUID(int=(5 << 120) + 1)]

    index = IdIndex.of(IdKind.UUID, IdColumn.of(IdKind.UUID, ids))

    assert [index.code(one) for one in ids] == [1, 0, 2]


def test_uuids_are_ordered_by_unsigned_bytes() -> None:
    low, high = UUID(int=0x7F << 120), UUID(int=0x80 << 120)

    index = IdIndex.of(IdKind.UUID, IdColumn.of(IdKind.UUID, [high, low]))

    assert index.ids.to_list() == [low, high]


def test_texts_are_ordered_by_code_point() -> None:
    texts = ["\U0001f600", "\uffff", "\ue000", "é", "e\u0301", "a", "B", "a ", "10", "9", "aa"]

    index = IdIndex.of(IdKind.TEXT, IdColumn.of(IdKind.TEXT, texts))

    assert index.ids.to_list() == [
        *("10", "9", "B", "a", "a ", "aa", "e\u0301", "é", "\ue000", "\uffff", "\U0001f600")
    ]


@every_kind
def test_an_empty_index_knows_nothing(kind: IdKind) -> None:
    index = IdIndex.of(kind)
    some = {IdKind.INT: 1, IdKind.UUID: UUID(int=1), IdKind.TEXT: "a"}[kind]

    assert len(index) == 0
    assert index.code(some) == NONE


class Colour(StrEnum):
    RED = "red"


class Shelf(IntEnum):
    TOP = 3


def test_enums_of_a_host_are_ids_too() -> None:
    assert IdColumn.of(IdKind.TEXT, [Colour.RED]).to_list() == ["red"]
    assert IdColumn.of(IdKind.INT, [Shelf.TOP]).to_list() == [3]


def test_an_array_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="a column of int ids cannot hold int32"):
        IdColumn(IdKind.INT, np.zeros(1, np.int32))
    with pytest.raises(ValueError, match="a column of uuid ids cannot hold"):
        IdColumn(IdKind.UUID, np.zeros(1, "S16"))


@every_kind
def test_columns_cannot_change(kind: IdKind) -> None:
    assert not IdColumn.of(kind, []).values.flags.writeable


@every_kind
@given(data=st.data())
def test_columns_are_equal_when_their_ids_are(kind: IdKind, data: st.DataObject) -> None:
    one, other = (data.draw(st.lists(values[kind], max_size=2)) for _ in range(2))

    assert (IdColumn.of(kind, one) == IdColumn.of(kind, other)) is (one == other)
