"""Scores are whole millionths, so that every adapter and kernel agrees to the last bit."""

from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation
from typing import TypeAlias

import numpy as np

from angle_reco.domain.arrays import Int64s
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.type_checks import exact_number

Millionths: TypeAlias = int
"""A fraction counted in millionths: 840_000 is 0.84."""

ONE: Millionths = 1_000_000

SCORE_TOLERANCE: Millionths = 100
"""A score that moved by no more than this, 0.0001, is not written again."""

LARGEST_FACTOR = 1_000
"""The upper limit of weights."""

_LARGEST = 2**63 - 1
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation])
_ROUNDED = Context(prec=60, rounding=ROUND_HALF_UP, traps=[InvalidOperation])
_MILLIONTH = Decimal("0.000001")


def scaled(values: Int64s, by: int, over: int) -> Int64s:
    """Return *values* · *by* / *over*, rounded to the nearest integer, halves up.

    All arguments are non-negative and *over* is positive. The results must fit 64 bits,
    intermediate products need not.

    >>> scaled(np.array([1, 2, 3]), by=1, over=2)
    array([1, 1, 2])
    """
    largest = int(values.max(initial=1))
    if 2 * (largest * by + over) <= _LARGEST:
        return (2 * values * by + over) // (2 * over)
    exact = (2 * values.astype(object) * by + over) // (2 * over)
    return exact.astype(np.int64)


def weighted(values: Int64s, weight: Millionths) -> Int64s:
    """Return the contribution of a component with these *values*, in millionths, halves up."""
    return (2 * weight * values + ONE) // (2 * ONE)


def to_millionths(value: object, what: str) -> Millionths:
    """Return a fraction such as 0.6 as whole millionths.

    Raises:
        InvalidValueError: The value is no number from 0 to 1,000, or has more than 6 decimals.
    """
    fraction = exact_number(value)
    try:
        if fraction is not None and 0 <= fraction <= LARGEST_FACTOR:
            return int(_EXACT.scaleb(_EXACT.quantize(fraction, _MILLIONTH), 6))
    except (Inexact, InvalidOperation):
        pass
    expected = f"a number from 0 to {LARGEST_FACTOR} with at most 6 decimals"
    raise InvalidValueError(what, value, expected)


def to_score(value: object, what: str) -> Millionths:
    """Return a score set by a person, 0 to 1, to the nearest millionth, halves up.

    Raises:
        InvalidValueError: The value is no number from 0 to 1.
    """
    number = exact_number(value)
    try:
        if number is not None and 0 <= number <= 1:
            return int(_ROUNDED.scaleb(_ROUNDED.quantize(number, _MILLIONTH), 6))
    except InvalidOperation:
        pass  # a signalling NaN
    raise InvalidValueError(what, value, "a number from 0 to 1")


def to_fraction(value: Millionths) -> float:
    """Return millionths as a decimal fraction, for display.

    >>> to_fraction(840_000)
    0.84
    """
    return int(value) / ONE
