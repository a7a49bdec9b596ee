"""What an operator asks of a process: its statistics, its health, and to clear the cache."""

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import attrs

from angle_reco.application.access import Access
from angle_reco.application.events import Events
from angle_reco.application.serving.open_items import OpenItems
from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.errors import InvalidValueError, StorageError
from angle_reco.domain.ids import IdKinds, ItemId, UserId
from angle_reco.domain.job_names import CLEAR_MEMORY
from angle_reco.domain.lists import ListKind
from angle_reco.domain.policies import Action, Actor, Resource
from angle_reco.domain.runs import ClaimStatus, Run, RunKey, RunRequest, Trigger
from angle_reco.domain.schedules import JobRule
from angle_reco.domain.suggestions import Freshness
from angle_reco.domain.validators import flag
from angle_reco.ports.activity import ActivityQueries
from angle_reco.ports.cache import Cache, CacheStats, Evicted, key_of
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.ports.changes import Changes
from angle_reco.ports.ledger import RunLedger
from angle_reco.ports.stores import InterestStore, ListStore, StoreTotals
from angle_reco.ports.users import UserQueries

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class MemoryStats:
    """How the cache of this process performed, and what it holds; *live_…* are the open items."""

    lists: CacheStats
    live_items: int
    live_bytes: int

    def to_json(self) -> dict[str, object]:
        """Return the stats as JSON values."""
        return {
            **attrs.asdict(self.lists),
            "live_items": self.live_items,
            "live_bytes": self.live_bytes,
        }


@attrs.frozen(kw_only=True)
class ProcessCache:
    """The cache of a process: its lists, and the open items."""

    lists: Cache
    open_items: OpenItems

    def evict(self) -> Evicted:
        """Drop the lists that are too old to be shown; return how much was dropped."""
        gone = self.lists.evict()
        _log.info("cache evicted: entries=%d bytes=%d", gone.entries, gone.bytes)
        return gone

    def stats(self) -> MemoryStats:
        """Return how the cache performed, and what it holds."""
        live = self.open_items.held()
        return MemoryStats(
            lists=self.lists.stats(),
            live_items=0 if live is None else len(live.cards),
            live_bytes=self.open_items.stale_cache.cache.stats().bytes,
        )


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
        """Return the current stats."""
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
        rules = {name: rule for name, rule in self.rules.items() if not rule.in_every_process}
        now, last = self.ledger.now(), self.ledger.last_of_each(rules)
        return {
            name: JobStats(last=last.get(name), next_at=rule.schedule.next_after(now))
            for name, rule in rules.items()
        }


@attrs.frozen(kw_only=True)
class ForgetCached:
    """Clears the cache: of one user or item in this process, or all of it in every process."""

    access: Access
    memory: ProcessCache | None
    ledger: RunLedger
    changes: Changes
    reset_pending: Callable[[UserId | None], int]
    ids: IdKinds

    def __call__(
        self,
        actor: Actor,
        *,
        user_id: UserId | None = None,
        item_id: ItemId | None = None,
        pending: bool = False,
    ) -> int:
        """Drop the list of a user, of an item, or everything; return how many entries.

        The entries are those of this process. Dropping everything also notifies the other
        processes, which drop their lists when they next read the change feed. With *pending*,
        drop pending events instead, of a user or of all users, in this process alone.
        """
        self.access.require(actor, Action.CLEAR, Resource.CACHES)
        user_id = None if user_id is None else self.ids.user_id(user_id)
        item_id = None if item_id is None else self.ids.item_id(item_id)
        if flag(pending, "pending"):
            if item_id is not None:
                expected = "None where events that are pending are forgotten: they are of users"
                raise InvalidValueError("item_id", item_id, expected)
            gone = self._forget_pending(user_id)
            _log.info("pending events dropped manually: entries=%d", gone)
            return gone
        gone = 0
        if user_id is not None:
            gone += self._forget(ListKind.PERSONAL, user_id)
        if item_id is not None:
            gone += self._forget(ListKind.SIMILAR, item_id)
        if user_id is None and item_id is None:
            if self.memory is not None:
                gone = self.memory.lists.forget_all().entries
                self.memory.open_items.forget()
            self._notify_others()
        _log.info("cache cleared manually: entries=%d", gone)
        return gone

    def _forget(self, kind: ListKind, owner: object) -> bool:
        return self.memory is not None and self.memory.lists.forget(key_of(kind, owner))

    def _forget_pending(self, user_id: UserId | None) -> int:
        """Drop pending events, and the cached homepages that were computed with them."""
        gone = self.reset_pending(user_id)
        if user_id is not None:
            return gone + self._forget(ListKind.PERSONAL, user_id)
        if self.memory is not None:
            gone += self.memory.lists.forget_all(ListKind.PERSONAL.value).entries
        return gone

    def _notify_others(self) -> None:
        run_request = RunRequest(
            key=RunKey(CLEAR_MEMORY),
            trigger=Trigger.MANUAL,
            window=timedelta(hours=1),
            attempts=1,
        )
        claim = self.ledger.claim(run_request, holder=uuid4().hex, lease=timedelta(seconds=30))
        # If another process holds such a run, the end of that run has the same effect.
        if claim.status is ClaimStatus.CLAIMED:
            self.ledger.finish(claim.run)
        # Other processes read the ledger from time to time; the change makes them do so now.
        self.changes.publish([Change(kind=ChangeKind.FORGET)])


@attrs.frozen(kw_only=True)
class Health:
    """Whether a process works as it should, and the reason if it does not.

    *database* is "ok" or the class name of the error that the check met, and *reason* the
    message of that error. *jobs* is "running", "not started", or "failed: " with the cause.
    *live_items* is the freshness of the open items in memory, None if there are none or
    nothing is cached.
    """

    is_ok: bool
    database: str
    reason: str | None
    jobs: str
    live_items: Freshness | None
    at: datetime

    def to_json(self) -> dict[str, object]:
        """Return the health as JSON values."""
        return {
            "is_ok": self.is_ok,
            "database": self.database,
            "reason": self.reason,
            "jobs": self.jobs,
            "live_items": None if self.live_items is None else self.live_items.value,
            "at": self.at.isoformat(),
        }


@attrs.frozen(kw_only=True)
class CheckHealth:
    """Checks that the database is usable, and the state of jobs and cache in this process."""

    access: Access
    memory: ProcessCache | None
    require_ready: Callable[[], object]
    jobs: Callable[[], str]
    now: Callable[[], datetime]

    def __call__(self, actor: Actor) -> Health:
        """Return the health of this process."""
        self.access.require(actor, Action.READ, Resource.HEALTH)
        database, reason, jobs = "ok", None, self.jobs()
        try:
            self.require_ready()
        except StorageError as error:
            database, reason = type(error).__name__, str(error)
        live = None if self.memory is None else self.memory.open_items.freshness
        is_ok = database == "ok" and not jobs.startswith("failed")
        return Health(
            is_ok=is_ok,
            database=database,
            reason=reason,
            jobs=jobs,
            live_items=live,
            at=self.now(),
        )


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
