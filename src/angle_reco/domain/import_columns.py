"""Columns of an import at once: texts of the usual form, which arrays read faster than loops.

A function returns None if any of the texts has another form. The rule for single fields then
decides, and says what is wrong.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from angle_reco.domain.prices import LARGEST_PRICE, PriceScale

AtOnce: TypeAlias = Callable[[Sequence[str]], list[object] | None]

_LENGTH = len("2026-01-31T12:00:00Z")
_PLACES_OF_MARKS, _MARKS = [4, 7, 10, 13, 16, 19], np.frombuffer(b"--T::Z", np.uint8)
_PLACES_OF_DIGITS = [place for place in range(_LENGTH) if place not in _PLACES_OF_MARKS]

_AMOUNTS = re.compile(r"(?:[0-9]{1,12}\.[0-9]{2},)+")


def usual_moments(texts: Sequence[str]) -> list[object] | None:
    """Return moments such as 2026-01-31T12:00:00Z in microseconds since 1970.

    >>> usual_moments(["1970-01-02T00:00:00Z"]), usual_moments(["1970-01-02"])
    ([86400000000], None)
    """
    together = "".join(texts)
    if not together.isascii() or set(map(len, texts)) != {_LENGTH}:
        return None
    characters = np.frombuffer(together.encode(), np.uint8).reshape(len(texts), _LENGTH)
    digits = characters[:, _PLACES_OF_DIGITS].astype(np.int64) - ord("0")
    if (characters[:, _PLACES_OF_MARKS] != _MARKS).any() or digits.min() < 0 or digits.max() > 9:
        return None
    year = digits[:, :4] @ np.array([1_000, 100, 10, 1])
    month, day, hour, minute, second = (
        10 * digits[:, place] + digits[:, place + 1] for place in range(4, 14, 2)
    )
    if not ((year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)).all():
        return None
    months = (12 * (year - 1970) + month - 1).astype("M8[M]")
    first, after = months.astype("M8[D]"), (months + np.timedelta64(1, "M")).astype("M8[D]")
    days = first + (day - 1).astype("m8[D]")
    if not ((days < after) & (hour <= 23) & (minute <= 59) & (second <= 59)).all():
        return None
    seconds = 3_600 * hour + 60 * minute + second
    micros: list[object] = (days.astype("M8[us]").astype(np.int64) + 1_000_000 * seconds).tolist()
    return micros


def usual_amounts(texts: Sequence[str], prices: PriceScale) -> list[object] | None:
    """Return amounts such as 19.90 in units.

    >>> usual_amounts(["19.90"], PriceScale()), usual_amounts(["19.9"], PriceScale())
    ([199000], None)
    """
    together = ",".join(texts)
    if prices.units < 100 or not _AMOUNTS.fullmatch(f"{together},"):
        return None
    cents = np.fromstring(together.replace(".", ""), np.int64, sep=",")
    if len(cents) != len(texts) or cents.max() > 100 * (LARGEST_PRICE // prices.units):
        return None
    units: list[object] = (cents * (prices.units // 100)).tolist()
    return units


def with_absent(at_once: AtOnce, absent: object) -> AtOnce:
    """Return the function for columns in which an empty text is *absent*."""

    def values(texts: Sequence[str]) -> list[object] | None:
        if "" not in texts:
            return at_once(texts)
        known = [text for text in texts if text]
        found = at_once(known) if known else []
        if found is None:
            return None
        left = iter(found)
        return [next(left) if text else absent for text in texts]

    return values
