"""The contract suite of `Clock`."""

from datetime import timedelta
from itertools import pairwise

import pytest

from angle_reco.ports.clock import Clock


class ClockContract:
    """The promises of `Clock`; a subclass overrides the fixture *clock*."""

    @pytest.fixture
    def clock(self) -> Clock:
        """Return the clock under test."""
        pytest.fail("override this fixture")

    def test_now_is_aware_and_in_utc(self, clock: Clock) -> None:
        assert clock.now().utcoffset() == timedelta(0)

    def test_monotonic_time_never_goes_back(self, clock: Clock) -> None:
        readings = [clock.monotonic() for _ in range(1_000)]

        assert all(earlier <= later for earlier, later in pairwise(readings))
