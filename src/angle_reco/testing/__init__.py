"""For tests: a clock moved by hand, fixtures, and the contracts that adapters keep."""

from angle_reco.testing import plain
from angle_reco.testing.clock import ManualClock

__all__ = [
    "ManualClock",
    "plain",
]
