"""How much memory columns take, against what Python and numpy say of single elements."""

import sys
from uuid import UUID

import numpy as np
import pytest

from angle_reco.domain.footprints import (
    footprint_of_array,
    footprint_of_dict,
    footprint_of_objects,
)

TEXT = np.dtypes.StringDType()


@pytest.mark.parametrize(
    ("text", "outside"),
    [
        ("", 0),
        ("a" * 15, 0),
        ("a" * 16, 16 + 1),
        ("ä" * 8, 16 + 1),
        ("a" * 255, 255 + 1),
        ("a" * 256, 256 + 8),
    ],
)
def test_a_short_text_is_within_its_array_and_a_longer_one_outside(text: str, outside: int) -> None:
    assert footprint_of_array(np.array([text, text], TEXT)) == 2 * (16 + outside)


def test_numbers_take_what_their_array_takes() -> None:
    assert footprint_of_array(np.arange(10)) == 80


@pytest.mark.parametrize("count", [0, 1, 2, 9_999, 10_000, 10_001, 25_000])
def test_many_texts_take_as_much_as_each_of_them(count: int) -> None:
    texts = np.array(["lamp"] * count, TEXT)
    assert footprint_of_objects(texts) == count * sys.getsizeof("lamp")


def test_of_many_elements_those_at_equal_distances_are_looked_at() -> None:
    # Every second one is: those with a long text.
    texts = np.array(["a" * 100, ""] * 10_000, TEXT)
    assert footprint_of_objects(texts) == 20_000 * sys.getsizeof("a" * 100)


def test_a_uuid_is_an_object_with_a_number() -> None:
    one = UUID(int=2**127 + 5)
    array = np.array([one.bytes] * 3, "V16")
    assert footprint_of_objects(array) == 3 * (sys.getsizeof(one) + sys.getsizeof(one.int))


@pytest.mark.parametrize("length", [0, 1, 5, 6, 100, 10_922, 10_923, 100_000])
def test_a_dict_takes_about_what_python_says(length: int) -> None:
    found = footprint_of_dict(length)
    assert sys.getsizeof(dict.fromkeys(range(length))) == pytest.approx(found, rel=0.6, abs=200)


@pytest.mark.parametrize(("length", "slots"), [(10, 16), (11, 32), (100, 256)])
def test_two_thirds_of_the_slots_of_a_dict_are_used(length: int, slots: int) -> None:
    assert footprint_of_dict(length) == slots * 18


def test_many_slots_of_a_dict_are_found_by_larger_numbers() -> None:
    assert footprint_of_dict(2**14) == 2**15 * 18
    assert footprint_of_dict(2**15) == 2**16 * 20
