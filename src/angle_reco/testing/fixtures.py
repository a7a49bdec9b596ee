"""Fixtures for a host's tests: `pytest_plugins = ["angle_reco.testing.fixtures"]`."""

from collections.abc import Iterator
from datetime import UTC, datetime

import attrs
import pytest

from angle_reco import Recommender, Settings
from angle_reco.testing import MemoryMarketplace
from angle_reco.testing.clock import ManualClock

__all__ = ["reco", "reco_application", "reco_clock", "reco_market"]


@pytest.fixture
def reco_clock() -> ManualClock:
    """Return the clock of `reco`: it starts now, and stands still until the test moves it."""
    return ManualClock(datetime.now(UTC))


@pytest.fixture
def reco_market() -> MemoryMarketplace:
    """Return the marketplace of `reco`: in memory and empty, with text ids.

    Override this fixture to provide another one.
    """
    return MemoryMarketplace()


@pytest.fixture
def reco_application(reco_market: MemoryMarketplace) -> Recommender:
    """Return a recommender on `reco_market`.

    Override this fixture to provide that of your application, such as one on a database.
    """
    ids, prices = reco_market.ids, reco_market.prices
    settings = Settings(ids=ids, prices=prices, cache_enabled=False)
    return Recommender.in_memory(reco_market, settings=settings)


@pytest.fixture
def reco(reco_application: Recommender, reco_clock: ManualClock) -> Iterator[Recommender]:
    """Give `reco_application` with the clock `reco_clock`, and without a cache.

    On a clock that a test moves, a cached page would never become stale by itself. After the test
    both recommenders drop their pending events.
    """
    ports = attrs.evolve(reco_application.ports, clock=reco_clock)
    found = Recommender(ports, attrs.evolve(reco_application.settings, cache_enabled=False))
    yield found
    for one in (found, reco_application):
        one.system.forget_cached(pending=True)
