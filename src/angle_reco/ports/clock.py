"""What time it is."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The time of day, and time that only goes forward."""

    def now(self) -> datetime:
        """Return the moment it is, aware and in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some fixed moment; never less than before."""
        ...
