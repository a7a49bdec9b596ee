"""Quick estimates of the memory that columns and the objects made of them take."""

import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

_SAMPLED = 10_000
_LONGEST_INLINE = 15
_LONGEST_OF_SHORT_HEAD = 255


def footprint_of_array(array: npt.NDArray[Any]) -> int:
    """Return about how many bytes an array takes, including its texts."""
    if isinstance(array.dtype, np.dtypes.StringDType):
        return array.nbytes + _sampled(array, _bytes_outside)
    return array.nbytes


def footprint_of_objects(array: npt.NDArray[Any]) -> int:
    """Return about how many bytes the elements take as Python objects: texts, ints or UUIDs.

    >>> footprint_of_objects(np.array(["lamp", "Ä"], np.dtypes.StringDType())) > 100
    True
    """
    if array.dtype == np.dtype("V16"):
        one = UUID(int=2**127)
        return len(array) * (sys.getsizeof(one) + sys.getsizeof(one.int))
    return _sampled(array, sys.getsizeof)


def footprint_of_dict(length: int) -> int:
    """Return about how many bytes a dict filled one by one takes, without keys and values.

    The number of slots is a power of two, two thirds of which are usable. An entry takes 24
    bytes, and each slot 2 or 4 bytes of the index.
    """
    slots = 1 << (length * 3 // 2).bit_length()
    return slots * (16 + (2 if slots < 2**16 else 4))


def _sampled(array: npt.NDArray[Any], size_of: Callable[[Any], int]) -> int:
    """Return the sum of the sizes, from a sample at equal distances for long arrays."""
    sample = array[:: -(-len(array) // _SAMPLED) or 1].tolist()
    return sum(map(size_of, sample)) * len(array) // max(len(sample), 1)


def _bytes_outside(text: str) -> int:
    """Return what a text takes beside its 16 bytes in the array, which hold a short text."""
    size = len(text.encode())
    if size <= _LONGEST_INLINE:
        return 0
    return size + (1 if size <= _LONGEST_OF_SHORT_HEAD else 8)
