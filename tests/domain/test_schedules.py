"""When jobs are due, against a calendar that is walked hour by hour and day by day."""

from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.application.jobs.schedule import SCHEDULE
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.schedules import JobRule, Queue, Schedule, window_of

TICK = timedelta(microseconds=1)
SECOND, MINUTE, HOUR, DAY = (
    timedelta(seconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
)
YEARS = range(2023, 2033)  # three leap days, and the changes of daylight saving

ZONES = [
    UTC,
    ZoneInfo("Europe/Berlin"),
    ZoneInfo("America/New_York"),
    ZoneInfo("Australia/Lord_Howe"),  # by half an hour
]

moments = st.builds(
    lambda moment, zone: moment.astimezone(zone),
    st.datetimes(datetime(2023, 1, 3), datetime(2032, 12, 29), timezones=st.just(UTC)),  # noqa: DTZ001 — hypothesis adds the zone
    st.sampled_from(ZONES),
)
schedules = st.timedeltas(SECOND, timedelta(days=366)).flatmap(
    lambda every: st.builds(
        Schedule, every=st.just(every), at=st.timedeltas(timedelta(0), every - TICK)
    )
)


def days_of_the_calendar() -> Iterator[tuple[int, int, int]]:
    """Walk through ten years by months and their lengths, as a printed calendar does."""
    for year in YEARS:
        for month in range(1, 13):
            for day in range(1, monthrange(year, month)[1] + 1):
                yield year, month, day


DAYS = list(days_of_the_calendar())

# A job's name, and the times of the day at which the design's table says it runs.
TIMES_OF_DAY = {
    "refresh_user_interests": [(hour, 0) for hour in range(24)],
    "train_models": [(3, 0)],
    "generate_popular_items": [(hour, 5) for hour in range(24)],
    "generate_recommendations": [(hour, 10) for hour in range(24)],
    "compute_item_similarities": [(2, 0)],
    "evict_stale_cache": [(0, 30), (6, 30), (12, 30), (18, 30)],
}


def firings(job: str) -> list[datetime]:
    return [
        datetime(*day, hour, minute, tzinfo=UTC)
        for day in DAYS
        for hour, minute in TIMES_OF_DAY[job]
    ]


def moments_of_change() -> list[datetime]:
    """Return what is just before, at and after leap days and changes of daylight saving."""
    changes = [datetime(year, 2, 28, 23, 59, 59, tzinfo=UTC) for year in YEARS]
    changes += [datetime(year, 3, 1, tzinfo=UTC) for year in YEARS]
    for zone in ZONES[1:]:
        for before, after in pairwise(datetime(*day, tzinfo=UTC) for day in DAYS):
            if before.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
                changes += [
                    (before + hour * HOUR).astimezone(zone)
                    for hour in range(25)
                    if before + hour * HOUR < after
                ]
    return [one + step for one in changes for step in (-TICK, timedelta(0), TICK)]


class TestAgainstTheCalendar:
    def test_every_job_has_an_oracle(self) -> None:
        assert set(TIMES_OF_DAY) == set(SCHEDULE)

    @pytest.mark.parametrize("job", TIMES_OF_DAY)
    def test_ten_years_of_firings_are_those_of_the_calendar(self, job: str) -> None:
        schedule, expected = SCHEDULE[job].schedule, firings(job)

        found, now = list[datetime](), expected[0] - TICK
        while len(found) < len(expected):
            now = schedule.next_after(now)
            found.append(now)

        assert found == expected

    @pytest.mark.parametrize("job", TIMES_OF_DAY)
    def test_leap_days_and_changes_of_daylight_saving_do_not_matter(self, job: str) -> None:
        schedule, expected = SCHEDULE[job].schedule, firings(job)

        for now in moments_of_change():
            place = bisect_right(expected, now)
            if 0 < place < len(expected):
                assert schedule.last_before(now) == expected[place - 1]
                assert schedule.next_after(now) == expected[place]

    @pytest.mark.parametrize("job", TIMES_OF_DAY)
    def test_no_firing_shares_its_window_with_another(self, job: str) -> None:
        rule = SCHEDULE[job]

        slots = [window_of(moment, rule.window) for moment in firings(job)]

        assert all(one < next_one for one, next_one in pairwise(slots))

    @given(now=moments, job=st.sampled_from(sorted(TIMES_OF_DAY)))
    def test_any_moment_lies_between_two_firings(self, now: datetime, job: str) -> None:
        schedule = SCHEDULE[job].schedule
        times = [
            datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
            for day in (now.astimezone(UTC) + step * DAY for step in (-1, 0, 1))
            for hour, minute in TIMES_OF_DAY[job]
        ]

        assert schedule.last_before(now) == max(one for one in times if one <= now)
        assert schedule.next_after(now) == min(one for one in times if one > now)

    @given(now=moments)
    def test_a_weekly_schedule_begins_on_monday(self, now: datetime) -> None:
        weekly = Schedule(every=7 * DAY, at=2 * DAY + 3 * HOUR)

        hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        while (hour.weekday(), hour.hour) != (2, 3):
            hour -= HOUR

        assert weekly.last_before(now) == hour


class TestSchedules:
    @given(schedule=schedules, now=moments)
    def test_the_last_is_not_later_and_the_next_not_earlier(
        self, schedule: Schedule, now: datetime
    ) -> None:
        last, invalidator = schedule.last_before(now), schedule.next_after(now)

        assert last <= now < invalidator
        assert invalidator - last == schedule.every

    @given(schedule=schedules, now=moments)
    def test_a_firing_is_its_own_last_and_not_its_own_next(
        self, schedule: Schedule, now: datetime
    ) -> None:
        firing = schedule.next_after(now)

        assert schedule.last_before(firing) == firing
        assert schedule.next_after(firing) == firing + schedule.every
        assert schedule.last_before(firing - TICK) == firing - schedule.every

    @given(schedule=schedules, now=moments, span=st.floats(0, 1))
    def test_no_two_firings_are_in_one_window(
        self, schedule: Schedule, now: datetime, span: float
    ) -> None:
        window = min(max(SECOND, schedule.every * span), schedule.every)
        first, second = schedule.last_before(now), schedule.next_after(now)

        assert window_of(first, window) < window_of(second, window)


class TestWindows:
    @given(moment=moments, window=st.timedeltas(SECOND, timedelta(days=366)))
    def test_a_moment_is_in_its_window(self, moment: datetime, window: timedelta) -> None:
        start = window_of(moment, window)

        assert start <= moment < start + window
        assert window_of(start, window) == start
        assert window_of(start + window - TICK, window) == start
        assert window_of(start + window, window) == start + window

    @pytest.mark.parametrize(
        ("window", "start"),
        [
            (MINUTE, datetime(2028, 2, 29, 23, 59, tzinfo=UTC)),
            (HOUR, datetime(2028, 2, 29, 23, tzinfo=UTC)),
            (6 * HOUR, datetime(2028, 2, 29, 18, tzinfo=UTC)),
            (12 * HOUR, datetime(2028, 2, 29, 12, tzinfo=UTC)),
            (DAY, datetime(2028, 2, 29, tzinfo=UTC)),
            (7 * DAY, datetime(2028, 2, 28, tzinfo=UTC)),  # a Monday
        ],
    )
    def test_windows_begin_as_calendars_say(self, window: timedelta, start: datetime) -> None:
        late = datetime(2028, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)

        for zone in ZONES:
            assert window_of(late.astimezone(zone), window) == start


class TestBadValues:
    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"every": HOUR, "at": HOUR}, "at of a schedule is .*never be reached"),
            ({"every": HOUR, "at": 2 * HOUR}, "at of a schedule is .*less than 1:00:00"),
            ({"every": HOUR, "at": -TICK}, "at of a schedule is .*from 0"),
            ({"every": HOUR, "at": 5}, "at of a schedule is 5, but should be a timedelta"),
            ({"every": timedelta(0)}, "every of a schedule is .*1 s to 366 days"),
            ({"every": SECOND - TICK}, "every of a schedule is .*1 s to 366 days"),
            ({"every": -HOUR}, "every of a schedule is .*1 s to 366 days"),
            ({"every": timedelta(days=366) + TICK}, "every of a schedule is .*366 days"),
            ({"every": timedelta.max}, "every of a schedule is .*366 days"),
            ({"every": 3600}, "every of a schedule is 3600, but should be a timedelta"),
            ({"every": None}, "every of a schedule is None"),
        ],
    )
    def test_a_schedule_that_never_fires_is_refused(
        self, values: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(InvalidValueError, match=message):
            Schedule(**values)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"window": HOUR + TICK}, "every of a schedule is .*at least its window of 1:00:00.0"),
            ({"window": DAY}, "every of a schedule is .*at least its window of 1 day"),
            ({"window": timedelta(0)}, "window of a job is .*1 s to 366 days"),
            ({"window": -HOUR}, "window of a job is"),
            ({"window": 60}, "window of a job is 60, but should be a timedelta"),
            ({"request_window": timedelta(0)}, "request_window of a job is .*1 s"),
            ({"request_window": "1m"}, "request_window of a job is '1m'"),
            ({"attempts": 0}, "attempts of a job is 0, .*from 1 to 100"),
            ({"attempts": 101}, "attempts of a job is 101"),
            ({"attempts": True}, "attempts of a job is True"),
            ({"attempts": 3.0}, "attempts of a job is 3.0"),
            ({"queue": "recommendations"}, "queue of a job is 'recommendations'.*Queue"),
            ({"schedule": HOUR}, "schedule of a job is .*Schedule"),
        ],
    )
    def test_a_rule_that_cannot_be_kept_is_refused(
        self, values: dict[str, Any], message: str
    ) -> None:
        good = JobRule(queue=Queue.DEFAULT, schedule=Schedule(every=HOUR), window=HOUR, attempts=3)

        with pytest.raises(InvalidValueError, match=message):
            attrs.evolve(good, **values)
