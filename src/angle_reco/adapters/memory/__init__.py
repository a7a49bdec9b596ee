"""Everything in dictionaries: for tests, for trying things out, and for small hosts."""

from angle_reco.adapters.memory.activity import MemoryActivity
from angle_reco.adapters.memory.cache import MemoryCache
from angle_reco.adapters.memory.catalog import MemoryCatalog
from angle_reco.adapters.memory.changes import MemoryChanges
from angle_reco.adapters.memory.erasure import MemoryErasure, MemoryErasures
from angle_reco.adapters.memory.ledger import MemoryRunLedger
from angle_reco.adapters.memory.marketplace import MemoryMarketplace
from angle_reco.adapters.memory.permissions import MemoryPermissions
from angle_reco.adapters.memory.stores import (
    MemoryFences,
    MemoryInterestStore,
    MemoryListStore,
)
from angle_reco.adapters.memory.users import MemoryUsers

__all__ = [
    "MemoryActivity",
    "MemoryCache",
    "MemoryCatalog",
    "MemoryChanges",
    "MemoryErasure",
    "MemoryErasures",
    "MemoryFences",
    "MemoryInterestStore",
    "MemoryListStore",
    "MemoryMarketplace",
    "MemoryPermissions",
    "MemoryRunLedger",
    "MemoryUsers",
]
