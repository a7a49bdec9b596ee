"""Whether something kept may still be shown, and as what: a rule of its age alone."""

from datetime import datetime, timedelta

import attrs

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.suggestions import Freshness
from angle_reco.domain.validators import exactly

SKEW = timedelta(minutes=10)
"""By how much the clocks of two machines may differ unnoticed."""

FAILED_FOR = timedelta(minutes=1)
"""So long does a failure count: after that nothing is known of whether it would fail again."""

_NOW = timedelta(0)


@attrs.frozen(kw_only=True)
class FreshnessLimits:
    """How long something kept is fresh, and for how much longer it may be shown.

    First as stale, while it is made anew, and after that for *on_error_for* more where
    that failed.
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
        """Return for how long it may be shown while nothing fails."""
        return self.fresh_for + self.stale_for

    @property
    def kept_for(self) -> timedelta:
        """Return for how long it may be shown at all."""
        return self.shown_for + self.on_error_for


def freshness_at(
    age: timedelta, limits: FreshnessLimits, *, is_marked: bool = False, has_failed: bool = False
) -> Freshness | None:
    """Return how fresh something so old is, None when it is as good as missing.

    What was *marked* is stale even within its time: there is something newer. Beyond the
    bound of what is stale it is shown only if making it anew *has failed*. All bounds
    count as within.
    """
    if age <= limits.fresh_for and not is_marked:
        return Freshness.FRESH
    if age <= limits.shown_for:
        return Freshness.STALE
    return Freshness.STALE_ON_ERROR if has_failed and age <= limits.kept_for else None


def age_of(
    computed_at: datetime, *, covered_at: datetime | None, now: datetime, limits: FreshnessLimits
) -> timedelta | None:
    """Return how old a result is by the time of day, None where that cannot be told.

    It is as old as the newer of its own computation and the start of the last complete
    run that covered it. Clocks differ: what is from less than `SKEW` ahead was made just
    now; from further ahead, up to the time it may be stale, it counts as just stale, so
    that a clock set back neither empties all stores nor keeps anything fresh for longer.
    """
    age = _on_this_clock(now - computed_at, limits)
    if age is None or covered_at is None:
        return age
    covered = _on_this_clock(now - covered_at, limits)
    return age if covered is None else min(age, covered)


def freshness_of(
    computed_at: datetime, *, covered_at: datetime | None, now: datetime, limits: FreshnessLimits
) -> Freshness | None:
    """Return how fresh a stored result is, None when it may not be shown any more."""
    age = age_of(computed_at, covered_at=covered_at, now=now, limits=limits)
    return None if age is None else freshness_at(age, limits)


def _on_this_clock(age: timedelta, limits: FreshnessLimits) -> timedelta | None:
    if age >= _NOW:
        return age
    if -age <= SKEW:
        return _NOW
    return limits.fresh_for + timedelta.resolution if -age <= limits.stale_for else None
