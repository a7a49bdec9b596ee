"""Schedules of jobs in UTC, and the windows in which a run happens once."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum

import attrs

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.validators import exactly, flag, instance, whole

_ORIGIN = datetime(1970, 1, 5, tzinfo=UTC)
"""A Monday at midnight, so that days, weeks and their divisors start as in calendars."""

_A_SECOND, _A_YEAR = timedelta(seconds=1), timedelta(days=366)


class Queue(StrEnum):
    """A queue of runs that wait for a worker; a full one does not delay the others."""

    DEFAULT = "default"
    RECOMMENDATIONS = "recommendations"
    RECOMMENDATIONS_SLOW = "recommendations_slow"


@attrs.frozen(kw_only=True)
class Schedule:
    """Due once in every span of *every*, at *at* after the start of the span, in UTC.

    Spans are counted from a Monday at midnight. UTC has no daylight saving time, so no hour
    is repeated or skipped.

    >>> daily = Schedule(every=timedelta(days=1), at=timedelta(hours=2))
    >>> daily.last_before(datetime(2026, 3, 1, 1, 59, tzinfo=UTC)).isoformat()
    '2026-02-28T02:00:00+00:00'
    """

    every: timedelta
    at: timedelta = timedelta(0)

    def __attrs_post_init__(self) -> None:
        every = exactly(self.every, "every of a schedule", timedelta)
        if not _A_SECOND <= every <= _A_YEAR:
            raise InvalidValueError("every of a schedule", every, "a span of 1 s to 366 days")
        at = exactly(self.at, "at of a schedule", timedelta)
        if not timedelta(0) <= at < every:
            expected = f"a span from 0 to less than {every}, or it would never be reached"
            raise InvalidValueError("at of a schedule", at, expected)

    def last_before(self, now: datetime) -> datetime:
        """Return the latest moment up to *now*, inclusive, at which the schedule is due."""
        return window_of(now.astimezone(UTC) - self.at, self.every) + self.at

    def next_after(self, now: datetime) -> datetime:
        """Return the first moment later than *now* at which the schedule is due."""
        return self.last_before(now) + self.every


@attrs.frozen(kw_only=True)
class JobRule:
    """How a job is run: its queue, its schedule, and its number of attempts.

    For each key one scheduled run ends in each *window*, and one requested run in each
    *request_window*. A job *in_every_process* runs without a claim.
    """

    queue: Queue
    schedule: Schedule
    window: timedelta
    attempts: int
    request_window: timedelta = timedelta(minutes=1)
    in_every_process: bool = False

    def __attrs_post_init__(self) -> None:
        instance(self.queue, "queue of a job", Queue)
        instance(self.schedule, "schedule of a job", Schedule)
        whole(self.attempts, "attempts of a job", least=1, most=100)
        flag(self.in_every_process, "in_every_process of a job")
        for name in ("window", "request_window"):
            span = exactly(getattr(self, name), f"{name} of a job", timedelta)
            if not _A_SECOND <= span <= _A_YEAR:
                raise InvalidValueError(f"{name} of a job", span, "a span of 1 s to 366 days")
        if self.schedule.every < self.window:
            expected = f"at least its window of {self.window}, in which one run is all there is"
            raise InvalidValueError("every of a schedule", self.schedule.every, expected)


def window_of(moment: datetime, window: timedelta) -> datetime:
    """Return the start of the window that contains a moment, in UTC.

    >>> window_of(datetime(2026, 3, 1, 14, 5, tzinfo=UTC), timedelta(hours=12)).hour
    12
    """
    # In a zone with daylight saving time, subtraction would use local wall-clock time.
    moment = moment.astimezone(UTC)
    return moment - (moment - _ORIGIN) % window
