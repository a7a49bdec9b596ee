"""How fresh a result is, and whether it may still be shown: a function of its age."""

from datetime import datetime, timedelta
from functools import cached_property

import attrs

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.suggestions import Freshness
from angle_reco.domain.validators import exactly

SKEW = timedelta(minutes=10)
"""The largest undetected difference between the clocks of two machines."""

FAILED_FOR = timedelta(minutes=1)
"""How long a failed refresh counts; later it is unknown whether it would fail again."""

_NOW = timedelta(0)


@attrs.frozen(kw_only=True)
class FreshnessLimits:
    """How long a result is fresh, and for how much longer it may be shown.

    For *stale_for* it is shown as stale while it is refreshed, and for another
    *on_error_for* if the refresh failed.
    """

    fresh_for: timedelta = timedelta(hours=24)
    stale_for: timedelta = timedelta(hours=24)
    on_error_for: timedelta = timedelta(hours=72)

    def __attrs_post_init__(self) -> None:
        for name in ("fresh_for", "stale_for", "on_error_for"):
            span = exactly(getattr(self, name), name, timedelta)
            if not timedelta(0) <= span <= timedelta(days=36_500):
                raise InvalidValueError(name, span, "a span of up to a hundred years")

    @property
    def shown_for(self) -> timedelta:
        """Return how long a result may be shown without a failed refresh."""
        return self.fresh_for + self.stale_for

    @property
    def kept_for(self) -> timedelta:
        """Return how long a result may be shown at all."""
        return self.shown_for + self.on_error_for

    @cached_property
    def seconds(self) -> tuple[float, float, float]:
        """Return *fresh_for*, `shown_for` and `kept_for` in seconds."""
        spans = (self.fresh_for, self.shown_for, self.kept_for)
        fresh, shown, kept = (span.total_seconds() for span in spans)
        return fresh, shown, kept


def freshness_at(
    age: timedelta, limits: FreshnessLimits, *, is_marked: bool = False, has_failed: bool = False
) -> Freshness | None:
    """Return how fresh a result of that *age* is, None when it must not be shown.

    A marked result is stale even within *fresh_for*, because there is newer data. Beyond
    *stale_for* a result is shown only if the refresh *has_failed*. All bounds are inclusive.
    """
    if age <= limits.fresh_for and not is_marked:
        return Freshness.FRESH
    if age <= limits.shown_for:
        return Freshness.STALE
    return Freshness.STALE_ON_ERROR if has_failed and age <= limits.kept_for else None


def age_of(
    computed_at: datetime, *, covered_at: datetime | None, now: datetime, limits: FreshnessLimits
) -> timedelta | None:
    """Return the age of a result by the time of day, None where it cannot be determined.

    The age counts from the later of the result's computation and the start of the last
    complete run that covered it. Clocks differ: a moment up to `SKEW` ahead counts as now.
    One further ahead, up to *stale_for*, counts as just stale, so that a clock that is set
    back neither discards all stored results nor prolongs the time in which they are fresh.
    """
    age = _on_this_clock(now - computed_at, limits)
    if age is None or covered_at is None:
        return age
    covered = _on_this_clock(now - covered_at, limits)
    return age if covered is None else min(age, covered)


def freshness_of(
    computed_at: datetime, *, covered_at: datetime | None, now: datetime, limits: FreshnessLimits
) -> Freshness | None:
    """Return how fresh a stored result is, None when it must not be shown any more."""
    age = age_of(computed_at, covered_at=covered_at, now=now, limits=limits)
    return None if age is None else freshness_at(age, limits)


def _on_this_clock(age: timedelta, limits: FreshnessLimits) -> timedelta | None:
    if age >= _NOW:
        return age
    if -age <= SKEW:
        return _NOW
    return limits.fresh_for + timedelta.resolution if -age <= limits.stale_for else None
