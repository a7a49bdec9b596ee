"""A model as columns, and columns as bytes: what cannot be a model is refused."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.errors import ModelError
from angle_reco.domain.scoring.blended.columns import columns_of, model_of, packed, unpacked
from angle_reco.testing.contracts.model_store import model_of as trained_model
from angle_reco.testing.contracts.samples import KINDS, Sample

SAMPLE = Sample(KINDS[0])
MODEL = trained_model(SAMPLE, SAMPLE.users)
COLUMNS = columns_of(MODEL)

arrays = st.one_of(
    st.lists(st.integers(-(2**31), 2**31 - 1), max_size=9).map(lambda one: np.array(one, np.int32)),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9).map(lambda one: np.array(one, np.int64)),
)


def listed(columns: Any) -> dict[str, list[int]]:
    return {name: column.tolist() for name, column in columns.items()}


@given(columns=st.dictionaries(st.text(max_size=9), arrays, max_size=5))
def test_bytes_are_read_as_the_columns_that_were_written(
    columns: dict[str, npt.NDArray[Any]],
) -> None:
    read = unpacked(packed(columns))

    assert listed(read) == listed(columns)
    assert [one.dtype for one in read.values()] == [one.dtype for one in columns.values()]


@given(data=st.data())
def test_a_changed_byte_is_noticed(data: st.DataObject) -> None:
    written = bytearray(packed({"a": np.arange(5), "b": np.arange(3, dtype=np.int32)}))
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(ModelError):
        unpacked(bytes(written))


def test_columns_are_the_model() -> None:
    for columns in (COLUMNS, {k: v for k, v in COLUMNS.items() if not k.startswith("fans")}):
        assert listed(columns_of(model_of(columns))) == listed(COLUMNS)


@pytest.mark.parametrize("name", [one for one in COLUMNS if one != "fans.offsets"])
def test_a_model_needs_every_column(name: str) -> None:
    """What follows from others may be left out, as a whole."""
    with pytest.raises(ModelError, match=r"has no column|has \d+ values|offsets"):
        model_of({one: column for one, column in COLUMNS.items() if one != name})


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("damage", ["shorter", "other type", "two-dimensional"])
def test_columns_of_another_shape_are_refused(name: str, damage: str) -> None:
    column = COLUMNS[name]
    other = {
        "shorter": column[:-1],
        "other type": column.astype(np.float64),
        "two-dimensional": column.reshape(1, -1),
    }[damage]
    # A shorter list of users or items of touches is a list, too.
    if damage == "shorter" and name in ("items.categories", "items.kinds"):
        return
    with pytest.raises(ModelError):
        model_of({**COLUMNS, name: other})


@pytest.mark.parametrize(
    "name", [one for one in COLUMNS if one.endswith((".items", ".targets", ".users", ".buckets"))]
)
@pytest.mark.parametrize("code", [-1, 2**31 - 1])
def test_codes_beyond_what_there_is_are_refused(name: str, code: int) -> None:
    column = COLUMNS[name].copy()
    if len(column) == 0:
        return
    column[0] = code

    with pytest.raises(ModelError, match=f"values in {name} beyond"):
        model_of({**COLUMNS, name: column})


@pytest.mark.parametrize("name", [one for one in COLUMNS if one.endswith(".offsets")])
def test_offsets_that_go_back_are_refused(name: str) -> None:
    column = COLUMNS[name].copy()
    column[1:-1] = column[1:-1][::-1]
    if (np.diff(column) >= 0).all():
        column[0] = 1

    with pytest.raises(ModelError, match="offsets in"):
        model_of({**COLUMNS, name: column})
