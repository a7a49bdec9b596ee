"""The current time."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The time of day, and a monotonic time."""

    def now(self) -> datetime:
        """Return the current moment, aware and in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some fixed moment; they never decrease."""
        ...
