"""A clock that is moved by hand."""

from datetime import UTC, datetime, timedelta

from angle_reco.domain.moments import check_moment


class ManualClock:
    """`Clock` that stands still until it is told to move.

    >>> clock = ManualClock(datetime(2026, 3, 1, tzinfo=UTC))
    >>> clock.advance(timedelta(hours=1))
    >>> clock.now().hour, clock.monotonic()
    (1, 3600.0)
    """

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = check_moment(now, "now")
        self._passed = timedelta(0)

    def now(self) -> datetime:
        """Return the moment it was moved to."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds that it was advanced by in all."""
        return self._passed.total_seconds()

    def advance(self, by: timedelta) -> None:
        """Let time pass, on both faces of the clock.

        Raises:
            ValueError: Time does not go backwards; `set` does, for the time of day alone.
        """
        if by < timedelta(0):
            raise ValueError(f"time cannot advance by {by}")
        self._now += by
        self._passed += by

    def set(self, moment: datetime) -> None:
        """Change the time of day, back too, as when somebody corrects a clock."""
        self._now = check_moment(moment, "moment")
