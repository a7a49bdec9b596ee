"""The schedule of jobs by default is the one that the documentation has."""

import re
from datetime import timedelta
from pathlib import Path

import attrs
import pytest

from angle_reco import InvalidValueError, Settings
from angle_reco.application.jobs.schedule import BATCH_JOBS, SCHEDULE, schedule_of
from angle_reco.domain.job_names import JOB_OF, OF_INTERESTS
from angle_reco.domain.lists import ListKind
from angle_reco.domain.runs import RunRules
from angle_reco.rules import JobRule, Queue, Schedule

PAGE = (Path(__file__).parents[2] / "docs/jobs.md").read_text("utf-8")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
TICK = timedelta(microseconds=1)

ROW = re.compile(
    r"^\| `(?P<job>\w+)` \| (?P<queue>\w+)"
    r" \| (?P<every>hourly|daily) at (?P<hour>\d*):(?P<minute>\d+)"
    r" \| (?P<window>\d+) h \| (?P<attempts>\d+) \|$",
    re.MULTILINE,
)


def test_every_job_for_all_processes_is_a_row_of_the_documentation() -> None:
    documented = {
        row["job"]: JobRule(
            queue=Queue(row["queue"]),
            schedule=Schedule(
                every={"hourly": HOUR, "daily": DAY}[row["every"]],
                at=int(row["hour"] or 0) * HOUR + int(row["minute"]) * MINUTE,
            ),
            window=int(row["window"]) * HOUR,
            attempts=int(row["attempts"]),
        )
        for row in ROW.finditer(PAGE)
    }

    assert documented == {job: rule for job, rule in SCHEDULE.items() if not rule.in_every_process}


def test_every_kind_of_results_has_a_job() -> None:
    assert JOB_OF.keys() == set(ListKind)
    assert {OF_INTERESTS, *JOB_OF.values()} <= set(BATCH_JOBS)


def test_every_process_evicts_what_is_stale_every_six_hours() -> None:
    assert SCHEDULE["evict_stale_cache"] == JobRule(
        queue=Queue.RECOMMENDATIONS,
        schedule=Schedule(every=6 * HOUR, at=30 * MINUTE),
        window=6 * HOUR,
        attempts=1,
        in_every_process=True,
    )


def test_each_queue_has_as_many_workers_as_documented() -> None:
    workers = [f"`{queue.value}` {number}" for queue, number in Settings().workers.items()]

    assert f"({', '.join(workers)})" in PAGE
    assert Settings().workers.keys() == set(Queue)


def test_settings_change_the_rows_they_name_alone() -> None:
    hourly = attrs.evolve(SCHEDULE["compute_item_similarities"], attempts=1)

    rules = schedule_of(Settings(schedule={"compute_item_similarities": hourly}))

    assert rules == {**SCHEDULE, "compute_item_similarities": hourly}
    assert list(rules) == list(SCHEDULE)


def test_a_job_that_there_is_not_is_refused_with_those_there_are() -> None:
    rule = SCHEDULE["generate_popular_items"]

    with pytest.raises(InvalidValueError, match="job in the schedule is 'mow_the_lawn'") as caught:
        schedule_of(Settings(schedule={"mow_the_lawn": rule}))

    assert all(job in caught.value.expected for job in SCHEDULE)


def test_finished_runs_are_kept_for_a_window_and_the_time_between_two_at_least() -> None:
    weekly = attrs.evolve(
        SCHEDULE["compute_item_similarities"], schedule=Schedule(every=7 * DAY), window=3 * DAY
    )

    def settings(retention: timedelta) -> Settings:
        return Settings(
            schedule={"compute_item_similarities": weekly}, runs=RunRules(retention=retention)
        )

    assert schedule_of(settings(10 * DAY))
    with pytest.raises(InvalidValueError, match="retention of runs") as caught:
        schedule_of(settings(10 * DAY - TICK))
    assert "at least 10 days, 0:00:00" in caught.value.expected


@pytest.mark.parametrize("job", ["refresh_user_interests", "evict_stale_cache"])
def test_which_jobs_run_in_every_process_is_not_for_settings_to_say(job: str) -> None:
    rule = attrs.evolve(SCHEDULE[job], in_every_process=not SCHEDULE[job].in_every_process)

    with pytest.raises(InvalidValueError, match=f"in_every_process of {job}"):
        schedule_of(Settings(schedule={job: rule}))
