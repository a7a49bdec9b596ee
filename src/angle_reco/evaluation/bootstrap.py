"""Intervals of means and of their ratios, by resampling users."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from angle_reco.domain.arrays import Int32s

Floats: TypeAlias = npt.NDArray[np.float64]

RESAMPLES = 2_000
_DRAWN_AT_ONCE = 4_000_000
_PERCENT = 95.0


@attrs.frozen
class Interval:
    """A figure and the borders of its interval, of 95 % unless a field says otherwise.

    They are NaN where nothing could be measured.
    """

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        """Return the figures for JSON, None for NaN."""
        figures = attrs.asdict(self).items()
        return {name: None if math.isnan(figure) else figure for name, figure in figures}


@attrs.frozen(kw_only=True)
class Resampled:
    """The mean of each column, and its means over resamples of the users, a line for each."""

    means: Floats
    samples: Floats

    def mean(self, column: int) -> Interval:
        """Return the mean of a column."""
        return _interval(float(self.means[column]), self.samples[:, column])

    def difference(self, column: int, base: int, *, percent: float = _PERCENT) -> Interval:
        """Return the mean of a column less that of *base*, paired by resample.

        The interval has *percent* of the resamples.
        """
        return _interval(
            float(self.means[column] - self.means[base]),
            self.samples[:, column] - self.samples[:, base],
            percent,
        )

    def ratio(self, column: int, base: int) -> Interval:
        """Return the mean of a column over that of *base*, paired by resample."""
        return _interval(
            float(_over(self.means[column], self.means[base])),
            _over(self.samples[:, column], self.samples[:, base]),
        )


def resampled(
    users: Int32s, columns: Sequence[Floats], *, seed: int, resamples: int = RESAMPLES
) -> Resampled:
    """Return the means of *columns* over questions, and over resamples of users.

    *users* is the user of each question, a column has a value for each question; a NaN does
    not count. A resample draws as many users as there are, with replacement, each with all of
    its questions of all cuts, and the same users for each column, so that columns are compared
    in pairs. The interval is between percentiles: Efron and Tibshirani, "An Introduction to the
    Bootstrap", 1993, chapter 13; paired over queries: Sakai, SIGIR 2006.
    """
    values = np.stack(columns, axis=1)
    _, user = np.unique(users, return_inverse=True)
    size = int(user.max()) + 1 if len(user) else 0
    known = ~np.isnan(values)
    sums, counts = (
        np.stack([np.bincount(user, column, minlength=size) for column in part.T], axis=1)
        for part in (np.where(known, values, 0.0), known.astype(np.float64))
    )
    rng = np.random.default_rng(seed)
    samples = np.empty((resamples, values.shape[1]))
    at_once = max(1, _DRAWN_AT_ONCE // max(size, 1))
    for first in range(0, resamples, at_once):
        some = min(at_once, resamples - first)
        drawn = rng.integers(size, size=(some, size)) + size * np.arange(some)[:, None]
        times = np.bincount(drawn.ravel(), minlength=some * size)
        weights = times.reshape(some, size).astype(np.float64)
        samples[first : first + some] = _over(weights @ sums, weights @ counts)
    return Resampled(means=_over(sums.sum(axis=0), counts.sum(axis=0)), samples=samples)


def _over(sums: Floats, counts: Floats) -> Floats:
    """Return the quotients, NaN where the divisor is 0."""
    is_known = counts != 0
    return np.where(is_known, sums / np.where(is_known, counts, 1.0), np.nan)


def _interval(value: float, samples: Floats, percent: float = _PERCENT) -> Interval:
    known = samples[~np.isnan(samples)]
    if len(known) == 0:
        return Interval(value, float("nan"), float("nan"))
    outside = (100 - percent) / 2
    low, high = np.percentile(known, (outside, 100 - outside))
    return Interval(value, float(low), float(high))
