"""The hashes by which a model knows ids."""

from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.columns import NONE, IdColumn
from angle_reco.domain.ids import IdKind
from angle_reco.domain.scoring.blended.hashes import HashIndex, hashes_of
from angle_reco.testing.plain_blended import hash_of

IDS: dict[IdKind, st.SearchStrategy[object]] = {
    IdKind.INT: st.integers(-(2**63), 2**63 - 1),
    IdKind.UUID: st.uuids(),
    IdKind.TEXT: st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
}


@pytest.mark.parametrize("kind", IDS)
@given(data=st.data())
def test_hashes_are_those_of_single_ids(kind: IdKind, data: st.DataObject) -> None:
    ids = data.draw(st.lists(IDS[kind], max_size=8))

    found = hashes_of(IdColumn.of(kind, ids))

    assert found.tolist() == [hash_of(one) for one in ids]
    assert found.dtype == np.int64


def test_hashes_are_the_same_in_every_release() -> None:
    """Models are stored, and read by other releases."""
    assert hashes_of(IdColumn.of(IdKind.TEXT, ["ann", "花瓶"])).tolist() == [
        hash_of("ann"),
        hash_of("花瓶"),
    ]
    assert hash_of("ann") == -6488803333072012659
    assert hash_of(UUID(int=7)) == -1187151156288077045
    assert hash_of(-7) == -7


def test_codes_are_the_places_of_hashes() -> None:
    index = HashIndex.of(np.array([5, -3, 5, 9]))

    assert index.hashes.tolist() == [-3, 5, 9]
    assert index.codes(np.array([9, 4, -3, 10, 5])).tolist() == [2, NONE, 0, NONE, 1]
    assert HashIndex.of(np.empty(0, np.int64)).codes(np.array([1])).tolist() == [NONE]
