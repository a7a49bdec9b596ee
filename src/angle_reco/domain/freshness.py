"""Whether something stored may still be shown, and as what."""

from datetime import datetime, timedelta

import attrs

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.suggestions import Freshness
from angle_reco.domain.validators import instance


@attrs.frozen(kw_only=True)
class FreshnessLimits:
    """How long something stored is fresh, and for how much longer it may be shown at all."""

    fresh_for: timedelta = timedelta(hours=24)
    stale_for: timedelta = timedelta(hours=24)

    def __attrs_post_init__(self) -> None:
        for name in ("fresh_for", "stale_for"):
            span = instance(getattr(self, name), name, timedelta)
            if not timedelta(0) <= span <= timedelta(days=36_500):
                raise InvalidValueError(name, span, "a span of up to a hundred years")


def freshness_of(
    computed_at: datetime, *, covered_at: datetime | None, now: datetime, limits: FreshnessLimits
) -> Freshness | None:
    """Return how fresh something stored is, None when it may not be shown any more.

    It is as fresh as the newer of its own computation and the start of the last complete
    run that covered it. What claims to be from the future may not be shown.
    """
    if computed_at > now:
        return None
    covers = covered_at is not None and computed_at < covered_at <= now
    age = now - (covered_at if covers and covered_at is not None else computed_at)
    if age <= limits.fresh_for:
        return Freshness.FRESH
    return Freshness.STALE if age <= limits.fresh_for + limits.stale_for else None
