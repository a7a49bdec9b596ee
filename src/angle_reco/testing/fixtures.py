"""Fixtures for a host's own tests: `from angle_reco.testing.fixtures import *`."""

import attrs
import pytest

from angle_reco import MemoryMarketplace, Recommender, memory_ports
from angle_reco.testing.clock import ManualClock

__all__ = ["clock", "market", "recommender"]


@pytest.fixture
def clock() -> ManualClock:
    """Return the clock of the `recommender`, to be moved by hand."""
    return ManualClock()


@pytest.fixture
def market() -> MemoryMarketplace:
    """Return the marketplace of the `recommender`: an empty one, with texts as ids.

    Override it to bring your own.
    """
    return MemoryMarketplace()


@pytest.fixture
def recommender(market: MemoryMarketplace, clock: ManualClock) -> Recommender:
    """Return a recommender that has everything in memory."""
    return Recommender(attrs.evolve(memory_ports(market), clock=clock))
