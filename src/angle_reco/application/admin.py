"""Statistics: how much data there is, how old it is, and how jobs and events went."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import attrs

from angle_reco.application.access import Access
from angle_reco.application.events import Events
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.application.process_cache import MemoryStats, ProcessCache
from angle_reco.domain.lists import ListKind
from angle_reco.domain.policies import Action, Actor, Resource
from angle_reco.domain.runs import Run
from angle_reco.domain.schedules import JobRule
from angle_reco.ports.activity import ActivityQueries
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.ports.ledger import RunLedger
from angle_reco.ports.stores import InterestStore, ListStore, StoreTotals
from angle_reco.ports.users import UserQueries


@attrs.frozen(kw_only=True)
class JobStats:
    """The last run of a job, None before the first, and when the next scheduled one is due."""

    last: Run | None
    next_at: datetime

    @property
    def outcome(self) -> Mapping[str, Any]:
        """Return the counts of the last run; empty unless it succeeded."""
        if self.last is None or self.last.outcome is None:
            return {}
        read: Mapping[str, Any] = json.loads(self.last.outcome)
        return read

    def to_json(self) -> dict[str, object]:
        """Return the last run and the next due time as JSON values."""
        last = self.last
        return {
            "next_at": self.next_at.isoformat(),
            "last": None
            if last is None
            else {
                "state": last.state.value,
                "trigger": last.trigger.value,
                "attempt": last.attempt,
                "started_at": _text(last.started_at),
                "finished_at": _text(last.finished_at),
                "outcome": self.outcome or None,
                "error": last.error,
            },
        }


@attrs.frozen(kw_only=True)
class Stats:
    """Counts of the marketplace and of stored results, the jobs, and failures of events.

    *events_unconfirmed* counts pending bids that the activity did not show within a minute.
    *memory* and *statements* are of this process since it started, None without a cache or a
    database; *statements* leaves out bulk copies of PostgreSQL.
    """

    users: int
    items: int
    bids: int
    watches: int
    interests: StoreTotals
    lists: dict[ListKind, StoreTotals]
    jobs: dict[str, JobStats]
    events_failed: int
    sign_ins_not_counted: int
    events_unconfirmed: int
    memory: MemoryStats | None
    statements: int | None

    def to_json(self) -> dict[str, object]:
        """Return the stats as JSON values."""
        return {
            "users": self.users,
            "items": self.items,
            "bids": self.bids,
            "watches": self.watches,
            "interests": _totals_json(self.interests),
            "lists": {kind.value: _totals_json(totals) for kind, totals in self.lists.items()},
            "jobs": {name: one.to_json() for name, one in self.jobs.items()},
            "events_failed": self.events_failed,
            "sign_ins_not_counted": self.sign_ins_not_counted,
            "events_unconfirmed": self.events_unconfirmed,
            "memory": None if self.memory is None else self.memory.to_json(),
            "statements": self.statements,
        }


@attrs.frozen(kw_only=True)
class ReadStats:
    """Counts the data and collects the state of jobs, events and cache."""

    access: Access
    users: UserQueries
    activity: ActivityQueries
    catalog: CatalogQueries
    interests: InterestStore
    lists: ListStore
    ledger: RunLedger
    rules: Mapping[str, JobRule]
    events: Events
    memory: ProcessCache | None
    statements: Callable[[], int | None]
    as_of: datetime | None = None

    def __call__(self, actor: Actor) -> Stats:
        """Return the current stats.

        Raises:
            AccessDeniedError: The actor may not read them.
        """
        self.access.require(actor, Action.READ, Resource.STATS)
        bids, watches = self.activity.totals(until=self.as_of)
        return Stats(
            users=self.users.total(until=self.as_of),
            items=self.catalog.total(until=self.as_of),
            bids=bids,
            watches=watches,
            interests=self.interests.totals(),
            lists={kind: self.lists.totals(kind) for kind in ListKind},
            jobs=self._jobs(),
            events_failed=self.events.failed,
            sign_ins_not_counted=self.events.sign_ins_not_counted,
            events_unconfirmed=self.events.unconfirmed,
            memory=None if self.memory is None else self.memory.stats(),
            statements=self.statements(),
        )

    def _jobs(self) -> dict[str, JobStats]:
        now, last = self.ledger.now(), self.ledger.last_of_each(BATCH_JOBS)
        return {
            name: JobStats(last=last.get(name), next_at=self.rules[name].schedule.next_after(now))
            for name in BATCH_JOBS
        }


def _totals_json(totals: StoreTotals) -> dict[str, object]:
    return {
        "owners": totals.owners,
        "rows": totals.rows,
        "oldest_at": _text(totals.oldest_at),
        "newest_at": _text(totals.newest_at),
        "covered_at": _text(totals.covered_at),
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
