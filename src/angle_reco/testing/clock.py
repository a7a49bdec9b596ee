"""A clock that tests move."""

from datetime import UTC, datetime, timedelta

from angle_reco.domain.moments import check_moment


class ManualClock:
    """A `Clock` that stands still until a test moves it.

    >>> clock = ManualClock(datetime(2026, 3, 1, tzinfo=UTC))
    >>> clock.advance(timedelta(hours=1))
    >>> clock.now().hour, clock.monotonic()
    (1, 3600.0)
    """

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = check_moment(now, "now")
        self._passed = timedelta(0)

    def now(self) -> datetime:
        """Return the current moment of this clock."""
        return self._now

    def monotonic(self) -> float:
        """Return the total seconds by which `advance` moved this clock."""
        return self._passed.total_seconds()

    def advance(self, by: timedelta) -> None:
        """Move both the time of day and the monotonic time forward.

        Raises:
            ValueError: *by* is negative; only `set` can move the time of day backwards.
        """
        if by < timedelta(0):
            raise ValueError(f"time cannot advance by {by}")
        self._now += by
        self._passed += by

    def set(self, moment: datetime) -> None:
        """Set the time of day, forward or back, as when a system clock is corrected."""
        self._now = check_moment(moment, "moment")
