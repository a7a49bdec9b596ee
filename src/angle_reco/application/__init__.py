"""Use cases: what can be asked for, each a frozen record of ports."""

from angle_reco.application.access import Access
from angle_reco.application.answering import Answering, CardLoader
from angle_reco.application.background import Background
from angle_reco.application.changed_items import ChangedItems
from angle_reco.application.computing import Computing
from angle_reco.application.events import Events
from angle_reco.application.following import Following
from angle_reco.application.jobs import JOBS, OF_ONE_ITEM, Jobs
from angle_reco.application.keeping import Keeping, NotInMemoryError, from_memory_alone
from angle_reco.application.kept_lists import KeptLists
from angle_reco.application.limits import MOST, MOST_SIMILAR, checked_limit
from angle_reco.application.live_items import LiveItems
from angle_reco.application.memory import CheckHealth, ForgetCached, Health, Memory, MemoryStats
from angle_reco.application.newer import MADE_BY, Newer
from angle_reco.application.outage import Outage
from angle_reco.application.overlays import Overlays
from angle_reco.application.performing import JobOutcome, Performing
from angle_reco.application.personal_data import (
    EXPORT_FORMAT,
    EraseUser,
    ExportUser,
    UserExport,
)
from angle_reco.application.reading import (
    AfterBid,
    Homepage,
    PopularItems,
    ReadInterests,
    SimilarItems,
)
from angle_reco.application.reports import Reports
from angle_reco.application.rolled_back import RolledBack
from angle_reco.application.running import Runs
from angle_reco.application.schedule import SCHEDULE, schedule_of
from angle_reco.application.stats import JobStats, Stats, TakeStock
from angle_reco.application.stored import StoredResources
from angle_reco.application.work import Progress, no_progress
from angle_reco.application.writing import WriteByHand

__all__ = [
    "EXPORT_FORMAT",
    "JOBS",
    "MADE_BY",
    "MOST",
    "MOST_SIMILAR",
    "OF_ONE_ITEM",
    "SCHEDULE",
    "Access",
    "AfterBid",
    "Answering",
    "Background",
    "CardLoader",
    "ChangedItems",
    "CheckHealth",
    "Computing",
    "EraseUser",
    "Events",
    "ExportUser",
    "Following",
    "ForgetCached",
    "Health",
    "Homepage",
    "JobOutcome",
    "JobStats",
    "Jobs",
    "Keeping",
    "KeptLists",
    "LiveItems",
    "Memory",
    "MemoryStats",
    "Newer",
    "NotInMemoryError",
    "Outage",
    "Overlays",
    "Performing",
    "PopularItems",
    "Progress",
    "ReadInterests",
    "Reports",
    "RolledBack",
    "Runs",
    "SimilarItems",
    "Stats",
    "StoredResources",
    "TakeStock",
    "UserExport",
    "WriteByHand",
    "checked_limit",
    "from_memory_alone",
    "no_progress",
    "schedule_of",
]
