"""Titles as sparse rows of hashed words."""

import re
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

import attrs
import numpy as np

from angle_reco.domain.arrays import Int32s, Int64s, frozen, ragged_ranges

_WORD = re.compile(r"\w+")
BUCKETS = 2**15
"""Of words."""

_LONGEST = 1_000
"""The characters of a title that count."""

UNIT = 2**15
"""The length of a row."""


class Words(NamedTuple):
    """Distinct buckets of words, each with its weight."""

    buckets: Int64s
    weights: Int64s

    @property
    def by_bucket(self) -> Int64s:
        """Return the weight of every bucket."""
        weights = np.zeros(BUCKETS, np.int64)
        weights[self.buckets] = self.weights
        return weights


@attrs.frozen(kw_only=True)
class TitleRows:
    """The words of titles, hashed, each row of the length `UNIT`; no row for a title without."""

    offsets: Int64s = attrs.field(converter=frozen)
    buckets: Int32s = attrs.field(converter=frozen)
    weights: Int32s = attrs.field(converter=frozen)

    def combined(self, rows: Int32s, factors: Int64s) -> Words:
        """Return the words of some rows, whose weights are sums of weights times *factors*."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        places = ragged_ranges(starts, lengths)
        buckets, code = np.unique(self.buckets[places], return_inverse=True)
        products = self.weights[places] * np.repeat(factors, lengths)
        sums = np.bincount(code, products, minlength=len(buckets))
        return Words(buckets.astype(np.int64), sums.astype(np.int64))

    def products(self, words: Int64s, rows: Int64s) -> Int64s:
        """Return the scalar product of each of *rows* with the weights of *words*, by bucket."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        places = ragged_ranges(starts, lengths)
        sums = np.append(0, np.cumsum(self.weights[places] * words[self.buckets[places]]))
        found: Int64s = np.diff(sums[np.cumsum(lengths)], prepend=0)
        return found


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
