"""The smallest values of many ranges of one array, by a sparse table of range minima.

Bender and Farach-Colton, "The LCA Problem Revisited" (2000), describe the table. The k
smallest values follow by taking the minimum, splitting its range there, and repeating.
"""

import attrs
import numpy as np

from angle_reco.domain.arrays import Int64s

_NOTHING = np.iinfo(np.int64).max


@attrs.frozen
class RangeMinima:
    """A permutation of 0 … n−1, prepared for queries about ranges.

    `levels[k, i]` is the smallest of the 2^k values from place i on.
    """

    levels: Int64s
    place_of: Int64s

    @classmethod
    def of(cls, values: Int64s) -> "RangeMinima":
        """Return the table of *values*, a permutation of 0 … n−1."""
        size = len(values)
        levels = np.tile(np.asarray(values, np.int64), (max(size.bit_length(), 1), 1))
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
        rows = np.arange(len(starts))
        # Each row's range is split into pieces, and each piece has a minimum.
        lows, highs = starts[:, None], ends[:, None]
        minima = self._minima(starts, ends)[:, None]
        for taken in range(count):
            piece = minima.argmin(axis=1)
            smallest = minima[np.arange(len(rows)), piece]
            going = np.flatnonzero(smallest != _NOTHING)
            rows, piece, smallest = rows[going], piece[going], smallest[going]
            lows, highs, minima = lows[going], highs[going], minima[going]
            if len(rows) == 0:
                break
            found[rows, taken] = smallest

            here = np.arange(len(rows))
            split = self.place_of[smallest]
            right_low, right_high = split + 1, highs[here, piece]
            highs[here, piece] = split
            minima[here, piece] = self._minima(lows[here, piece], split)
            lows = np.column_stack([lows, right_low])
            highs = np.column_stack([highs, right_high])
            minima = np.column_stack([minima, self._minima(right_low, right_high)])
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
