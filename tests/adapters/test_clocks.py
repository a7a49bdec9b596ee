"""The clocks keep the contract."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from angle_reco.adapters.clocks import FixedClock, SystemClock
from angle_reco.adapters.sql.core.clocks import clock_of_server
from angle_reco.domain.errors import InvalidValueError
from angle_reco.ports.clock import Clock
from angle_reco.testing import ManualClock
from angle_reco.testing.contracts import ClockContract
from angle_reco.testing.contracts.samples import ELSEWHERE, NOW

HOUR = timedelta(hours=1)


class TestSystemClock(ClockContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return SystemClock()

    def test_it_is_the_machines(self, clock: Clock) -> None:
        before = datetime.now(UTC)
        now = clock.now()

        assert before <= now <= datetime.now(UTC)


def test_the_clock_of_sqlite_is_the_machines() -> None:
    with sa.create_engine("sqlite://").connect() as connection:
        before = datetime.now(UTC)
        now = connection.scalar(sa.select(clock_of_server("sqlite")))

    assert now is not None
    assert (
        before - timedelta(milliseconds=2) <= now <= datetime.now(UTC) + timedelta(milliseconds=2)
    )


class TestFixedClock(ClockContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return FixedClock(NOW)

    def test_its_time_of_day_stands_still(self, clock: Clock) -> None:
        assert clock.now() == clock.now() == NOW

    def test_a_moment_without_a_time_zone_is_refused(self) -> None:
        with pytest.raises(InvalidValueError, match="moment"):
            FixedClock(NOW.replace(tzinfo=None))


class TestManualClock(ClockContract):
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock(NOW.astimezone(ELSEWHERE))

    def test_it_stands_still_until_it_is_moved(self, clock: ManualClock) -> None:
        assert (clock.now(), clock.monotonic()) == (NOW, 0.0)
        assert (clock.now(), clock.monotonic()) == (NOW, 0.0)

    def test_time_passes_on_both_faces(self, clock: ManualClock) -> None:
        clock.advance(HOUR)
        clock.advance(timedelta(microseconds=500_000))

        assert clock.now() == NOW + HOUR + timedelta(seconds=0.5)
        assert clock.monotonic() == 3_600.5

    def test_only_the_time_of_day_can_be_set_back(self, clock: ManualClock) -> None:
        clock.advance(HOUR)

        clock.set((NOW - HOUR).astimezone(ELSEWHERE))

        assert clock.now() == NOW - HOUR
        assert clock.now().tzinfo is UTC
        assert clock.monotonic() == 3_600.0

    def test_time_does_not_advance_backwards(self, clock: ManualClock) -> None:
        with pytest.raises(ValueError, match="cannot advance by -1 day, 23:00:00"):
            clock.advance(-HOUR)

        assert (clock.now(), clock.monotonic()) == (NOW, 0.0)

    def test_moments_without_a_time_zone_are_refused(self, clock: ManualClock) -> None:
        with pytest.raises(InvalidValueError, match="time zone"):
            clock.set(NOW.replace(tzinfo=None))
        with pytest.raises(InvalidValueError, match="time zone"):
            ManualClock(NOW.replace(tzinfo=None))
