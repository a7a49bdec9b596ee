"""What operations return, beside shelves and interests."""

from angle_reco.application.admin import Health, JobStats, MemoryStats, Stats
from angle_reco.application.jobs.runner import JobOutcome
from angle_reco.application.personal_data import UserExport
from angle_reco.domain.erasure import Erased
from angle_reco.domain.runs import Run, RunKey, RunState, Trigger
from angle_reco.domain.stored_list import Recipe, StoredLine, StoredList
from angle_reco.domain.users import SignIns
from angle_reco.ports.cache import CacheStats
from angle_reco.ports.stores import StoredInterests, StoreTotals

__all__ = [
    "CacheStats",
    "Erased",
    "Health",
    "JobOutcome",
    "JobStats",
    "MemoryStats",
    "Recipe",
    "Run",
    "RunKey",
    "RunState",
    "SignIns",
    "Stats",
    "StoreTotals",
    "StoredInterests",
    "StoredLine",
    "StoredList",
    "Trigger",
    "UserExport",
]
