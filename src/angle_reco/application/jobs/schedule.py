"""The schedule of the jobs, as one table; the settings replace single rows of it."""

from collections.abc import Mapping
from datetime import timedelta

from angle_reco.domain.errors import InvalidValueError, one_of
from angle_reco.domain.schedules import JobRule, Queue, Schedule
from angle_reco.settings import Settings

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

SCHEDULE: Mapping[str, JobRule] = {
    "refresh_user_interests": JobRule(
        queue=Queue.RECOMMENDATIONS,
        schedule=Schedule(every=_HOUR),
        window=_HOUR,
        attempts=3,
    ),
    "generate_popular_items": JobRule(
        queue=Queue.RECOMMENDATIONS,
        schedule=Schedule(every=_HOUR, at=5 * _MINUTE),
        window=_HOUR,
        attempts=3,
    ),
    "generate_recommendations": JobRule(
        queue=Queue.RECOMMENDATIONS,
        schedule=Schedule(every=_HOUR, at=10 * _MINUTE),
        window=_HOUR,
        attempts=3,
    ),
    "compute_item_similarities": JobRule(
        queue=Queue.RECOMMENDATIONS_SLOW,
        schedule=Schedule(every=_DAY, at=2 * _HOUR),
        window=12 * _HOUR,
        attempts=3,
        request_window=_MINUTE,
    ),
    "evict_stale_cache": JobRule(
        queue=Queue.RECOMMENDATIONS,
        schedule=Schedule(every=6 * _HOUR, at=30 * _MINUTE),
        window=6 * _HOUR,
        attempts=1,
        in_every_process=True,
    ),
}
"""The default rule of each job; times are in UTC."""


def schedule_of(settings: Settings) -> Mapping[str, JobRule]:
    """Return the schedule with the rows that the settings replace.

    Raises:
        InvalidValueError: The settings name an unknown job, or would prune finished runs
            within a window, in which a run may happen only once.
    """
    for job in settings.schedule:
        if job not in SCHEDULE:
            raise InvalidValueError("job in the schedule", job, one_of(SCHEDULE))
    rules = {**SCHEDULE, **settings.schedule}
    longest = max(rules.values(), key=lambda rule: rule.window + rule.schedule.every)
    least = longest.window + longest.schedule.every
    if settings.runs.retention < least:
        expected = (
            f"at least {least}, a window and the time between two: within it a run is done once"
        )
        raise InvalidValueError("retention of runs", settings.runs.retention, expected)
    return rules
