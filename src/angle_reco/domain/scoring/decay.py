"""How the weight of an interaction decreases with age."""

from datetime import timedelta
from decimal import Context, Decimal
from functools import lru_cache
from typing import TypeAlias

import attrs
import numpy as np

from angle_reco.domain.arrays import Int64s, frozen
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.millionths import ONE, Millionths
from angle_reco.domain.moments import DAY, HOUR, MICROSECOND
from angle_reco.domain.validators import exactly


@attrs.frozen(kw_only=True)
class DecaySteps:
    """A weight for each span of age in whole days, and one for older ages.

    An upper day belongs to its weight: with (7, 30) an interaction has the full weight until
    it is 8 days old.
    """

    upper_days: tuple[int, ...] = (7, 30, 90)
    weights: tuple[Millionths, ...] = (ONE, 700_000, 400_000)
    beyond: Millionths = 100_000

    def __attrs_post_init__(self) -> None:
        exactly(self.upper_days, "upper days of a decay", tuple)
        exactly(self.weights, "weights of a decay", tuple)
        days = self.upper_days
        if any(type(day) is not int or day < 0 for day in days) or list(days) != sorted(set(days)):
            raise InvalidValueError("upper days of a decay", days, "rising whole numbers")
        weights = (*self.weights, self.beyond)
        if len(weights) != len(days) + 1 or any(
            type(weight) is not int or not 0 <= weight <= ONE for weight in weights
        ):
            raise InvalidValueError(
                "weights of a decay", self.weights, "millionths from 0 to 1,000,000, one a step"
            )


@attrs.frozen(kw_only=True)
class HalfLife:
    """Half the weight after each *span* of age, by whole hours."""

    span: timedelta

    def __attrs_post_init__(self) -> None:
        exactly(self.span, "half-life", timedelta)
        if not timedelta(hours=1) <= self.span <= timedelta(days=3_650):
            raise InvalidValueError("half-life", self.span, "from an hour to ten years")


Decay: TypeAlias = DecaySteps | HalfLife


def decayed(decay: Decay, ages: Int64s) -> Int64s:
    """Return the weight of interactions of these ages (microseconds), in millionths.

    An interaction in the future counts like one of now. With steps, ages are whole days, so
    the first week lasts until day 8:

    >>> decayed(DecaySteps(), np.array([7, 8]) * DAY)
    array([1000000,  700000])
    >>> decayed(HalfLife(span=timedelta(days=1)), np.array([0, 1, 2]) * DAY)
    array([1000000,  500000,  250000])
    """
    ages = np.maximum(ages, 0)
    match decay:
        case DecaySteps():
            weights = np.array([*decay.weights, decay.beyond], np.int64)
            return weights[np.searchsorted(decay.upper_days, ages // DAY)]
        case HalfLife():
            table = _half_life_table(decay.span // MICROSECOND)
            return table[np.minimum(ages // HOUR, len(table) - 1)]


@lru_cache(maxsize=8)
def _half_life_table(span: int) -> Int64s:
    """Return 2^(−age/span) by whole hours of age, up to the first that rounds to 0."""
    # Decimal, because a power of floats may differ in its last bit between machines, and
    # with it the rounded millionth.
    context = Context(prec=30)
    per_hour = context.power(Decimal(2), context.divide(Decimal(-HOUR), Decimal(span)))
    table: list[int] = []
    factor = Decimal(1)
    while True:
        halvings, rest = divmod(len(table) * HOUR, span)
        if rest == 0:
            # Whole half-lives are exact, because some are halfway between two millionths.
            factor = context.power(Decimal(2), -halvings)
        counted = int(factor * ONE + Decimal("0.5"))
        table.append(counted)
        if counted == 0:
            return frozen(np.array(table, np.int64))
        factor = context.multiply(factor, per_hour)
