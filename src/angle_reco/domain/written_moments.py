"""Moments as stored by databases without a type for them: ISO 8601 texts, and numbers.

One rule reads the output of common writers; anything else is no moment.
"""

import math
import re
from datetime import UTC, datetime, timedelta, tzinfo

from angle_reco.domain.moments import MICROSECOND, to_micros
from angle_reco.domain.type_checks import is_a

_FORM = re.compile(
    r"\s*(?P<year>[0-9]{4})(?P<dash>-?)(?P<month>[0-9]{2})(?P=dash)(?P<day>[0-9]{2})"
    r"(?:(?:[Tt]|\ +)(?P<hour>[0-9]{2})(?::?(?P<minute>[0-9]{2})"
    r"(?::?(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?)?"
    r"\s*(?P<zone>[Zz]|UTC|GMT"
    r"|(?P<sign>[+-])(?P<hours>[0-9]{2})(?::?(?P<minutes>[0-9]{2})(?::?(?P<seconds>[0-9]{2}))?)?)?"
    r")?\s*"
)

_LONGEST = 64
"""Longer texts are not parsed, in characters."""

_SECONDS_BELOW, _MILLISECONDS_BELOW, _MICROSECONDS_BELOW = 10**11, 10**14, 10**17
"""Numbers nearer to 0 than these are in that unit, since 1970: seconds reach to the year 5138."""


def read_moment(value: object, zone: tzinfo = UTC) -> int | None:
    """Return a moment in microseconds since 1970, None if *value* cannot be read as one.

    - A text as in ISO 8601, extended or basic: `2026-01-31`, `2026-01-31T12:00`,
      `2026-01-31 12:00:00.5`, `20260131T120000Z`. Digits beyond microseconds are cut off. An
      offset is `Z`, `UTC`, `GMT`, `+05`, `+0530` or `+05:30`, and may follow a blank.
      A text without an offset is in *zone*. `24:00:00` is the next midnight, a leap second
      (`:60`) the second after `:59`.
    - A number: seconds, milliseconds or microseconds since 1970, depending on its size.

    >>> read_moment("1970-01-02T00:00:00+01"), read_moment(86_400), read_moment("tomorrow")
    (82800000000, 86400000000, None)
    """
    if is_a(value, str):
        return _of_text(value, zone)
    if is_a(value, int, float) and not is_a(value, bool):
        return _of_number(value)
    return None


def is_without_offset(value: object) -> bool:
    """Return whether a value is a moment as text without a time zone."""
    if not is_a(value, str) or read_moment(value) is None:
        return False
    found = _FORM.fullmatch(value)
    return found is not None and found["zone"] is None


def in_zone(local: datetime, zone: tzinfo) -> datetime:
    """Return a naive local time in UTC.

    In an hour that is repeated, the later reading applies. In an hour that is skipped, the
    result is as long after the change as the time says. PostgreSQL's `timezone` does the same.

    Raises:
        OverflowError: The result is beyond the calendar.
    """
    if zone is UTC:
        return local.replace(tzinfo=UTC)
    offsets = [zone.utcoffset(local.replace(fold=fold)) or timedelta() for fold in (0, 1)]
    return (local - min(offsets)).replace(tzinfo=UTC)


def _of_text(text: str, zone: tzinfo) -> int | None:
    if _may_be_usual(text):
        try:
            return to_micros(datetime.fromisoformat(text))
        except ValueError:
            pass  # such as a leap second, which the rule below knows
    found = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return None
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    more = timedelta(microseconds=int((found["fraction"] or "0")[:6].ljust(6, "0")))
    if (hour, minute, second, more) == (24, 0, 0, timedelta()):
        hour, more = 0, timedelta(days=1)
    elif second == 60:
        second, more = 59, more + timedelta(seconds=1)
    try:
        local = datetime(  # noqa: DTZ001 — its zone is applied below
            int(found["year"]), int(found["month"]), int(found["day"]), hour, minute, second
        )
        if found["zone"] is None:
            return to_micros(in_zone(local + more, zone))
        offset = _offset(found)
        return None if offset is None else to_micros((local + more - offset).replace(tzinfo=UTC))
    except (ValueError, OverflowError):  # no date of the calendar, or beyond its ends
        return None


def _may_be_usual(text: str) -> bool:
    """Return whether a text may be like `2026-01-31T12:00:00Z`, which Python reads faster.

    A date with the number of a week, and fractions of a minute, which the rule refuses, are as
    long.
    """
    return len(text) == 20 and text[10::3] == "T::Z" and text[5] != "W"


def _offset(found: re.Match[str]) -> timedelta | None:
    if found["sign"] is None:
        return timedelta()
    hours, minutes, seconds = (int(found[name] or 0) for name in ("hours", "minutes", "seconds"))
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    offset = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return -offset if found["sign"] == "-" else offset


def _of_number(number: float) -> int | None:
    if not math.isfinite(number):
        return None
    size = abs(number)
    if size < _SECONDS_BELOW:
        micros = round(number * (timedelta(seconds=1) // MICROSECOND))
    elif size < _MILLISECONDS_BELOW:
        micros = round(number * (timedelta(milliseconds=1) // MICROSECOND))
    elif size < _MICROSECONDS_BELOW:
        micros = round(number)
    else:
        return None
    return micros
