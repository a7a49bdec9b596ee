"""The curves that turn quantities into millionths, as tables of whole numbers.

A table is computed in floating point and rounded once. No entry is so close to the middle
between two millionths that the last bit of a logarithm could decide, which the tests hold, so
the tables are the same on every machine.
"""

from decimal import ROUND_CEILING, Context
from functools import lru_cache

import numpy as np

from angle_reco.domain.arrays import Int64s, frozen
from angle_reco.domain.millionths import ONE

STEPS = 65_536
"""The steps of a curve over a share from 0 to 1."""

LOG2_STEPS = 1_024
"""The steps of a binary logarithm from one power of two to the next."""


@lru_cache(maxsize=8)
def log_curve(per_unit: int) -> Int64s:
    """Return `ln(1 + x·k) / ln(1 + k)` for shares x in steps, k = *per_unit*.

    >>> log_curve(20)[[0, 65_536]].tolist()
    [0, 1000000]
    """
    shares = np.arange(STEPS + 1) / STEPS
    return _rounded(np.log1p(shares * per_unit) / np.log1p(float(per_unit)))


@lru_cache(maxsize=1)
def log2_curve() -> Int64s:
    """Return `log2(1 + x)` for shares x in steps."""
    return _rounded(np.log2(1 + np.arange(STEPS + 1) / STEPS))


@lru_cache(maxsize=8)
def fading_curve(hours: int) -> Int64s:
    """Return `exp(−age / hours)` for whole hours of age, as long as it counts, then 0."""
    ages = np.arange(16 * hours)
    return _rounded(np.exp(-ages / hours))


@lru_cache(maxsize=1)
def bell_curve() -> Int64s:
    """Return `exp(−z² / 2)` for z² in steps of 1/1024, as long as it counts, then 0."""
    squares = np.arange(32 * 1_024) / 1_024
    return _rounded(np.exp(-squares / 2))


def at_share(curve: Int64s, values: Int64s, largest: int) -> Int64s:
    """Return the curve at *values* / *largest*; 0 where there is no share, or a negative one.

    >>> at_share(log2_curve(), np.array([-5, 0, 10]), 10).tolist()
    [0, 0, 1000000]
    """
    if largest <= 0:
        return np.zeros(len(values), np.int64)
    # So many bits less that the product fits.
    shift = max(largest.bit_length() - 46, 0)
    # Twice as quick as np.clip for few values.
    positive = np.maximum(np.minimum(values, largest), 0)
    found: Int64s = curve[(positive >> shift) * STEPS // (largest >> shift)]
    return found


def at_age(curve: Int64s, hours: Int64s) -> Int64s:
    """Return the curve at whole *hours* of age; a future one has no age."""
    found: Int64s = curve[np.clip(hours, 0, len(curve) - 1)]
    return found


def log2_steps(values: Int64s) -> Int64s:
    """Return the binary logarithm of positive numbers in steps, rounded down.

    >>> log2_steps(np.array([1, 2, 3, 1024])).tolist()
    [0, 1024, 1623, 10240]
    """
    # A number that became the next power of two as a float is a step before its start.
    exponents = np.minimum(np.frexp(values.astype(np.float64))[1].astype(np.int64) - 1, _BITS)
    mantissas = values << (_BITS - exponents)
    steps: Int64s = np.searchsorted(_starts_of_steps(), mantissas, side="right") - 1
    return exponents * LOG2_STEPS + steps


_BITS = 62


@lru_cache(maxsize=1)
def _starts_of_steps() -> Int64s:
    """Return the smallest number from 2^62 on whose binary logarithm reaches each step."""
    context = Context(prec=40, rounding=ROUND_CEILING)
    starts = []
    for step in range(LOG2_STEPS):
        exponent = context.add(_BITS, context.divide(step, LOG2_STEPS))
        starts.append(int(context.to_integral_value(context.power(2, exponent))))
    return frozen(np.array(starts, np.int64))


def _rounded(fractions: np.ndarray) -> Int64s:
    return frozen(np.floor(fractions * ONE + 0.5).astype(np.int64))
