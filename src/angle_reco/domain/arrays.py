"""The arrays that columns consist of, read-only views of them, and operations on runs."""

from collections.abc import Sized
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Bools: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float32]
Int8s: TypeAlias = npt.NDArray[np.int8]
Int32s: TypeAlias = npt.NDArray[np.int32]
Int64s: TypeAlias = npt.NDArray[np.int64]


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view of *array* that cannot be written to.

    >>> frozen(np.array([1, 2])).flags.writeable
    False
    """
    view = array.view()
    view.flags.writeable = False
    return view


def check_lengths(owner: object, **columns: Sized) -> None:
    """Refuse columns of one value that differ in length.

    Raises:
        ValueError: The lengths differ.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of {type(owner).__name__} differ in length: {lengths}")


def starts_of_runs(*sorted_keys: npt.NDArray[Any]) -> Int64s:
    """Return the places at which a new combination of *sorted_keys* starts.

    >>> starts_of_runs(np.array([3, 3, 5]), np.array([0, 1, 1]))
    array([0, 1, 2])
    """
    if len(sorted_keys[0]) == 0:
        return np.empty(0, np.int64)
    changes = np.zeros(len(sorted_keys[0]), np.bool_)
    changes[0] = True
    for key in sorted_keys:
        changes[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(changes)


def ragged_ranges(starts: Int64s, lengths: Int64s) -> Int64s:
    """Return ranges of integers, one after another: *lengths* of them from each of *starts*.

    >>> ragged_ranges(np.array([10, 50]), np.array([3, 2]))
    array([10, 11, 12, 50, 51])
    """
    ends: Int64s = np.cumsum(lengths)
    shift: Int64s = np.repeat(starts - (ends - lengths), lengths)
    return np.arange(ends[-1] if len(ends) else 0, dtype=np.int64) + shift


def places_in_runs(sorted_keys: npt.NDArray[Any]) -> Int64s:
    """Return the number of equal keys directly before each of *sorted_keys*.

    >>> places_in_runs(np.array([7, 7, 7, 9, 9]))
    array([0, 1, 2, 0, 1])
    """
    starts = starts_of_runs(sorted_keys)
    lengths = np.diff(np.append(starts, len(sorted_keys)))
    return ragged_ranges(np.zeros(len(starts), np.int64), lengths)


def is_among(keys: Int64s, sorted_keys: Int64s) -> Bools:
    """Return which of *keys* are in *sorted_keys*.

    >>> is_among(np.array([4, 5]), np.array([1, 5, 9])).tolist()
    [False, True]
    """
    if len(sorted_keys) == 0:
        return np.zeros(len(keys), np.bool_)
    places = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    found: Bools = sorted_keys[places] == keys
    return found


def largest(values: Int64s, ties: Int64s, most: int) -> Int64s:
    """Return the places of the *most* largest values, largest first, then the smallest of *ties*.

    >>> largest(np.array([5, 9, 5, 1]), np.array([2, 3, 1, 0]), 2).tolist()
    [1, 2]
    """
    among = np.arange(len(values))
    if len(values) > most:
        least = np.partition(values, len(values) - most)[len(values) - most]
        among = np.flatnonzero(values >= least)
    return among[np.lexsort((ties[among], -values[among]))[:most]]
