"""Fixtures for a host's own tests: `from angle_reco.testing.fixtures import *`."""

import attrs
import pytest

from angle_reco import Recommender, Settings
from angle_reco.composition import memory_ports
from angle_reco.testing import MemoryMarketplace
from angle_reco.testing.clock import ManualClock

__all__ = ["clock", "market", "recommender"]


@pytest.fixture
def clock() -> ManualClock:
    """Return the manual clock of the `recommender`."""
    return ManualClock()


@pytest.fixture
def market() -> MemoryMarketplace:
    """Return the marketplace of the `recommender`: empty, with text ids.

    Override this fixture to provide another marketplace.
    """
    return MemoryMarketplace()


@pytest.fixture
def recommender(market: MemoryMarketplace, clock: ManualClock) -> Recommender:
    """Return a recommender on `market` and `clock`, which caches nothing.

    On a clock that a test moves, a cached page would never become stale by itself.
    """
    settings = Settings(ids=market.ids, cache_enabled=False)
    return Recommender(attrs.evolve(memory_ports(market), clock=clock), settings)
