"""Test support: a marketplace in memory, a manual clock, fixtures, and contract suites."""

from angle_reco.adapters.memory.marketplace import MemoryMarketplace
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.items import Item
from angle_reco.domain.users import User
from angle_reco.testing import plain
from angle_reco.testing.clock import ManualClock

__all__ = [
    "AuctionStatus",
    "Bid",
    "Item",
    "ManualClock",
    "MemoryMarketplace",
    "User",
    "Watch",
    "plain",
]
