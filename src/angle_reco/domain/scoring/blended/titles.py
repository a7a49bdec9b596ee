"""Titles as sparse rows of hashed words."""

import re
from collections.abc import Sequence
from functools import cached_property
from zlib import crc32

import attrs
import numpy as np
import numpy.typing as npt

from angle_reco.domain.arrays import Int32s, Int64s, frozen, ragged_ranges

_WORD = re.compile(r"\w+")
BUCKETS = 2**15
"""Of words."""

_LONGEST = 1_000
"""The characters of a title that count."""

UNIT = 2**15
"""The length of a row."""


@attrs.frozen(kw_only=True)
class TitleRows:
    """The words of titles, hashed, each row of the length `UNIT`; no row for a title without."""

    offsets: Int64s = attrs.field(converter=frozen)
    buckets: Int32s = attrs.field(converter=frozen)
    weights: Int32s = attrs.field(converter=frozen)

    def combined(self, rows: Int32s, factors: Int64s) -> Int64s:
        """Return the sum of some rows times *factors*, by bucket."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        places = ragged_ranges(starts, lengths)
        products = self.weights[places] * np.repeat(factors, lengths)
        return np.bincount(self.buckets[places], products, minlength=BUCKETS).astype(np.int64)

    def products(self, vector: Int64s, rows: Int64s) -> Int64s:
        """Return the scalar product of each of *rows* with a vector by bucket."""
        starts = self.offsets[rows]
        ends = np.cumsum(self.offsets[rows + 1] - starts)
        places = ragged_ranges(starts, self.offsets[rows + 1] - starts)
        sums = np.append(0, np.cumsum(self.weights[places] * vector[self.buckets[places]]))
        found: Int64s = np.diff(sums[ends], prepend=0)
        return found

    def products_of_all(self, vector: Int64s) -> npt.NDArray[np.float64]:
        """Return the scalar product of every row with a vector that has few buckets, exact."""
        row, weight, starts = self._by_bucket
        buckets = np.flatnonzero(vector)
        lengths = starts[buckets + 1] - starts[buckets]
        places = ragged_ranges(starts[buckets], lengths)
        products = weight[places] * np.repeat(vector[buckets], lengths)
        size = len(self.offsets) - 1
        return np.bincount(row[places], products, minlength=size).astype(np.float64, copy=False)

    @cached_property
    def _by_bucket(self) -> tuple[Int32s, Int32s, Int64s]:
        """Return row and weight of every word, by bucket, and where each bucket starts."""
        rows = np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int32), np.diff(self.offsets))
        order = np.argsort(self.buckets, kind="stable")
        starts = np.searchsorted(self.buckets[order], np.arange(BUCKETS + 1))
        return rows[order], self.weights[order], starts


def hashed(titles: Sequence[str]) -> tuple[Int64s, Int32s]:
    """Return the distinct buckets of the words of each title, as offsets and buckets."""
    known: dict[str, int] = {}
    rows = []
    for title in titles:
        words = set(_WORD.findall(title[:_LONGEST].casefold()))
        rows.append(
            sorted({known.setdefault(word, crc32(word.encode()) % BUCKETS) for word in words})
        )
    offsets = np.append(0, np.cumsum([len(row) for row in rows])).astype(np.int64)
    return offsets, np.array([one for row in rows for one in row], np.int32)


def rarity(offsets: Int64s, buckets: Int32s) -> Int64s:
    """Return `ln(1 + N / df)` of each bucket in steps of 1/1024; the model stores it."""
    found = np.bincount(buckets, minlength=BUCKETS)
    steps = np.rint(np.log1p((len(offsets) - 1) / np.maximum(found, 1)) * 1_024)
    return np.where(found > 0, steps, 0).astype(np.int64)


def title_rows(offsets: Int64s, buckets: Int32s, rarities: Int64s) -> TitleRows:
    """Return the rows of titles, whose words count by their rarity."""
    weights = rarities[buckets]
    sums = np.concatenate([[0], np.cumsum(weights * weights)])
    squares = sums[offsets[1:]] - sums[offsets[:-1]]
    # Square roots of floats are exactly rounded on every machine.
    lengths = np.floor(np.sqrt(squares.astype(np.float64))).astype(np.int64)
    per_word = np.repeat(np.maximum(lengths, 1), np.diff(offsets))
    return TitleRows(
        offsets=offsets, buckets=buckets, weights=(weights * UNIT // per_word).astype(np.int32)
    )
