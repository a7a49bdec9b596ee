"""The schedule of the jobs, as one table; the settings replace single rows of it."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

import attrs

from angle_reco.application.jobs.batch_jobs import Jobs
from angle_reco.application.jobs.run_context import Done, Job, RunContext
from angle_reco.domain.errors import InvalidValueError, one_of
from angle_reco.domain.schedules import JobRule, Queue, Schedule
from angle_reco.settings import Settings

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@attrs.frozen(kw_only=True)
class JobSpec:
    """One job: its default rule, and what runs it.

    A job without *run* is the process's own: its worker runs it, and the ledger knows nothing
    of it.
    """

    rule: JobRule
    run: Callable[[Jobs, RunContext], Done] | None


JOBS: dict[str, JobSpec] = {
    "refresh_user_interests": JobSpec(
        rule=JobRule(
            queue=Queue.RECOMMENDATIONS, schedule=Schedule(every=_HOUR), window=_HOUR, attempts=3
        ),
        run=Jobs.refresh_interests,
    ),
    "train_models": JobSpec(
        rule=JobRule(
            queue=Queue.RECOMMENDATIONS_SLOW,
            schedule=Schedule(every=_DAY, at=3 * _HOUR),
            window=12 * _HOUR,
            attempts=3,
        ),
        run=Jobs.train_models,
    ),
    "generate_popular_items": JobSpec(
        rule=JobRule(
            queue=Queue.RECOMMENDATIONS,
            schedule=Schedule(every=_HOUR, at=5 * _MINUTE),
            window=_HOUR,
            attempts=3,
        ),
        run=Jobs.generate_popular_items,
    ),
    "generate_recommendations": JobSpec(
        rule=JobRule(
            queue=Queue.RECOMMENDATIONS,
            schedule=Schedule(every=_HOUR, at=10 * _MINUTE),
            window=_HOUR,
            attempts=3,
        ),
        run=Jobs.generate_recommendations,
    ),
    "compute_item_similarities": JobSpec(
        rule=JobRule(
            queue=Queue.RECOMMENDATIONS_SLOW,
            schedule=Schedule(every=_DAY, at=2 * _HOUR),
            window=12 * _HOUR,
            attempts=3,
            request_window=_MINUTE,
        ),
        run=Jobs.compute_similarities,
    ),
    "evict_stale_cache": JobSpec(
        rule=JobRule(
            queue=Queue.RECOMMENDATIONS,
            schedule=Schedule(every=6 * _HOUR, at=30 * _MINUTE),
            window=6 * _HOUR,
            attempts=1,
            in_every_process=True,
        ),
        run=None,
    ),
}
"""Every job by its name, in the order in which a manual run of all of them executes."""

BATCH_JOBS = tuple(name for name, spec in JOBS.items() if spec.run is not None)
"""The jobs that run for all processes, by a claim in the ledger."""


def work_of(jobs: Jobs) -> dict[str, Job]:
    """Return the work of those jobs by name."""
    return {name: partial(spec.run, jobs) for name, spec in JOBS.items() if spec.run is not None}


SCHEDULE: Mapping[str, JobRule] = {name: spec.rule for name, spec in JOBS.items()}
"""When each job is due, in UTC, by default."""


def schedule_of(settings: Settings) -> Mapping[str, JobRule]:
    """Return the schedule with the rows that the settings replace.

    Raises:
        InvalidValueError: The settings name an unknown job, change which jobs run in every
            process, or would prune finished runs within a window, in which a run may happen
            only once.
    """
    for job in settings.schedule:
        if job not in SCHEDULE:
            raise InvalidValueError("job in the schedule", job, one_of(SCHEDULE))
        is_own = SCHEDULE[job].in_every_process
        if settings.schedule[job].in_every_process is not is_own:
            # Neither a claim nor the worker would run it.
            raise InvalidValueError(f"in_every_process of {job}", not is_own, str(is_own))
    rules = {**SCHEDULE, **settings.schedule}
    longest = max(rules.values(), key=lambda rule: rule.window + rule.schedule.every)
    least = longest.window + longest.schedule.every
    if settings.runs.retention < least:
        expected = (
            f"at least {least}, a window and the time between two: within it a run is done once"
        )
        raise InvalidValueError("retention of runs", settings.runs.retention, expected)
    return rules
