"""What the application needs from outside, as protocols whose docstrings are contracts."""

from angle_reco.ports.activity import ActivityQueries, ActivityRecorder
from angle_reco.ports.cache import Cache, Cached, CacheKey, CacheStats, Evicted, Flight
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.ports.changes import Changes, Cursor, Feed
from angle_reco.ports.clock import Clock
from angle_reco.ports.deadlines import deadline, time_left
from angle_reco.ports.erasure import Erasure
from angle_reco.ports.forks import StartsOver, at_fork, starts_over
from angle_reco.ports.kernels import Kernels
from angle_reco.ports.ledger import AHEAD, MOST_OPEN, OpenRuns, RunLedger
from angle_reco.ports.permissions import Permissions
from angle_reco.ports.scheduler import JobScheduler
from angle_reco.ports.stores import (
    InterestStore,
    ListStore,
    StoredInterests,
    StoreTotals,
    Written,
)
from angle_reco.ports.threads import Lane, end_idle_threads
from angle_reco.ports.users import UserQueries

__all__ = [
    "AHEAD",
    "MOST_OPEN",
    "ActivityQueries",
    "ActivityRecorder",
    "Cache",
    "CacheKey",
    "CacheStats",
    "Cached",
    "CatalogQueries",
    "Changes",
    "Clock",
    "Cursor",
    "Erasure",
    "Evicted",
    "Feed",
    "Flight",
    "InterestStore",
    "JobScheduler",
    "Kernels",
    "Lane",
    "ListStore",
    "OpenRuns",
    "Permissions",
    "RunLedger",
    "StartsOver",
    "StoreTotals",
    "StoredInterests",
    "UserQueries",
    "Written",
    "at_fork",
    "deadline",
    "end_idle_threads",
    "starts_over",
    "time_left",
]
