"""Test support: a manual clock, pytest fixtures, and contract suites for adapters."""

from angle_reco.testing import plain
from angle_reco.testing.clock import ManualClock

__all__ = [
    "ManualClock",
    "plain",
]
