"""The smallest values of many ranges of one array, by a sparse table of range minima.

Bender and Farach-Colton, "The LCA Problem Revisited" (2000), describe the table. The k
smallest values follow by taking the minimum, splitting its range there, and repeating.
"""

import attrs
import numpy as np

from angle_reco.domain.arrays import Int32s, Int64s

_NOTHING = np.iinfo(np.int64).max


@attrs.frozen
class RangeMinima:
    """A permutation of 0 … n−1, prepared for queries about ranges.

    `levels[k, i]` is the smallest of the 2^k values from place i on.
    """

    levels: Int32s
    place_of: Int64s

    @classmethod
    def of(cls, values: Int64s) -> "RangeMinima":
        """Return the table of *values*, a permutation of 0 … n−1."""
        size = len(values)
        levels = np.tile(np.asarray(values, np.int32), (max(size.bit_length(), 1), 1))
        for level in range(1, len(levels)):
            half, last = 1 << (level - 1), size - (1 << level) + 1
            below = levels[level - 1]
            levels[level, :last] = np.minimum(below[:last], below[half : half + last])
        place_of = np.empty(size, np.int64)
        place_of[values] = np.arange(size)
        return cls(levels, place_of)

    def smallest(self, starts: Int64s, ends: Int64s, count: int) -> Int64s:
        """Return the *count* smallest values of each range [start, end), in ascending order.

        The result has a row per range; for a shorter range the rest of the row is −1.
        """
        found = np.full((len(starts), count), -1, np.int64)
        rows = np.flatnonzero(ends > starts)
        # Each row's range is split into pieces, and each piece has a minimum.
        lows, highs, minima = np.empty((3, len(rows), count + 1), np.int64)
        lows[:, 0], highs[:, 0] = starts[rows], ends[rows]
        minima[:, 0] = self._minima(starts[rows], ends[rows])
        for taken in range(count):
            here = np.arange(len(rows))
            piece = minima[:, : taken + 1].argmin(axis=1)
            smallest = minima[here, piece]
            going = smallest != _NOTHING
            if not going.all():
                rows, piece, smallest = rows[going], piece[going], smallest[going]
                lows, highs, minima = lows[going], highs[going], minima[going]
                here = np.arange(len(rows))
            if len(rows) == 0:
                break
            found[rows, taken] = smallest

            split = self.place_of[smallest]
            lows[:, taken + 1], highs[:, taken + 1] = split + 1, highs[here, piece]
            highs[here, piece] = split
            minima[here, piece] = self._minima(lows[here, piece], split)
            minima[:, taken + 1] = self._minima(lows[:, taken + 1], highs[:, taken + 1])
        return found

    def _minima(self, starts: Int64s, ends: Int64s) -> Int64s:
        minima = np.full(len(starts), _NOTHING, np.int64)
        some = np.flatnonzero(ends > starts)
        starts, ends = starts[some], ends[some]
        # The exponent of frexp is the logarithm to base 2, rounded down, plus one.
        level = np.frexp((ends - starts).astype(np.float64))[1] - 1
        minima[some] = np.minimum(
            self.levels[level, starts], self.levels[level, ends - (1 << level)]
        )
        return minima
