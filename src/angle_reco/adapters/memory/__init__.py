"""Everything in dictionaries: for tests, for trying things out, and for small hosts."""

from angle_reco.adapters.memory.activity import MemoryActivity
from angle_reco.adapters.memory.catalog import MemoryCatalog
from angle_reco.adapters.memory.marketplace import MemoryMarketplace
from angle_reco.adapters.memory.stores import (
    MemoryFences,
    MemoryInterestStore,
    MemoryListStore,
)
from angle_reco.adapters.memory.users import MemoryUsers

__all__ = [
    "MemoryActivity",
    "MemoryCatalog",
    "MemoryFences",
    "MemoryInterestStore",
    "MemoryListStore",
    "MemoryMarketplace",
    "MemoryUsers",
]
