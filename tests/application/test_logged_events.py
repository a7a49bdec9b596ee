"""The log lines that operators search for: each appears where it should, with its fields."""

import logging
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from threading import Event as Flag
from typing import Any

import attrs
import pytest

from angle_reco import AccessDeniedError, Recommender, Settings, StorageUnavailableError, UserId
from angle_reco.application.jobs.runner import Heartbeat
from angle_reco.application.jobs.schedule import SCHEDULE
from angle_reco.domain.events import Event, UserInspected
from angle_reco.domain.runs import RunKey, RunRules, Trigger, run_request_of
from angle_reco.ports.deadlines import deadline
from tests.application.memories import ASK, MINUTE, comes_true, settle, shop, warm
from tests.application.shop import MANAGE, NOW
from tests.application.workers import Failing, Hands, Shop

JOB = "refresh_user_interests"
PERSONAL_JOB, POPULAR_JOB = "generate_recommendations", "generate_popular_items"
SECOND = timedelta(seconds=1)
DOWN = StorageUnavailableError

Lines = Callable[[], list[str]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Lines]:
    """Return what was logged since the last time, from INFO on."""

    def new() -> list[str]:
        said = list(caplog.messages)
        caplog.clear()
        return said

    with caplog.at_level(logging.INFO, "angle_reco"):
        yield new


class TestAccess:
    def test_a_permission_that_cannot_be_looked_up(self, lines: Lines) -> None:
        one = shop()

        def fail(user_id: UserId, name: str) -> bool:
            raise LookupError("zz-private")

        access = attrs.evolve(
            one.reco._use_cases.runs.access, permissions=Permitting(fail), deadline=SECOND
        )
        assert not access._holds(UserId("ann"), MANAGE)

        assert lines() == [f"permission not looked up: permission={MANAGE} error=LookupError"]

    def test_a_permission_that_is_looked_up_too_late(self, lines: Lines) -> None:
        access = attrs.evolve(
            shop().reco._use_cases.runs.access, permissions=Permitting(lambda *_: True)
        )

        with deadline(0.0):
            assert not access._holds(UserId("ann"), MANAGE)

        assert lines() == [f"permission looked up too late: permission={MANAGE}"]

    def test_an_inspection_that_the_host_refuses_to_hear_of(self, lines: Lines) -> None:
        one = shop()
        ports = attrs.evolve(one.ports, permissions=Permitting(lambda *_: True))

        def refuse(event: Event) -> None:
            if isinstance(event, UserInspected):
                raise LookupError("zz-private")

        reco = Recommender(ports, one.settings, on_event=refuse)

        with pytest.raises(AccessDeniedError):
            reco.as_user("eve").interests(of="ann")

        [inspected, refused] = lines()
        assert inspected.startswith("user inspected: ")
        assert refused == "host not notified: event=UserInspected error=LookupError"


@attrs.frozen
class Permitting:
    """Permissions by a function, in the caller's thread."""

    holds: Callable[[UserId, str], bool]


class TestAnswers:
    def test_a_degraded_answer(self, lines: Lines) -> None:
        one = shop()
        one.fails(DOWN())

        one.reco.anonymous.popular_items()

        said = [line for line in lines() if line.startswith("answer degraded: ")]
        assert said == ["answer degraded: surface=popular_items error=StorageUnavailableError"]

    def test_a_computed_list_that_is_not_stored(self, lines: Lines) -> None:
        one = shop()
        warm(one, "popular_items")
        lists: Any = one.stores["lists"]
        lists.port = Failing(lists.port, "write", [DOWN()])
        lines()

        warm(one, "homepage")

        assert lines() == ["computed list not stored: kind=personal error=StorageUnavailableError"]

    def test_open_items_that_do_not_fit(self, lines: Lines) -> None:
        one = shop(Settings(cache_bytes=1_000_000))
        live = one.reco._use_cases.shelves.open_items
        assert live is not None
        read = one.ports.catalog.open_cards(NOW, counting=one.settings.popularity.counting)

        known, size = live._within(read, NOW, room=2_000, since=0.0)

        [line] = lines()
        assert line.startswith("open items do not fit: items=34 bytes=")
        assert line.endswith(" room=2000")
        assert (known.market, known.cards, known.is_complete, size) == (None, {}, False, 0)

    def test_an_event_that_changes_nothing(self, lines: Lines) -> None:
        one = shop()
        assert one.reco.watched("eve", "art-01")
        before = lines()

        assert not one.reco.watched("eve", "art-01")

        assert before == []
        assert lines() == ["event changed nothing: event=watched"]


class TestChanges:
    @pytest.mark.parametrize("ways", [("read_if_due",), ("read",), ("read_if_due", "read")])
    def test_a_feed_that_cannot_be_read_once_each_time_that_begins(
        self, lines: Lines, ways: tuple[str, ...]
    ) -> None:
        one = shop()
        invalidator = one.reco._use_cases.invalidator
        assert invalidator is not None
        said = []
        for error in (None, DOWN(), DOWN(), None, DOWN(), None):
            one.stores["changes"].error = error
            for way in ways:
                one.passes(SECOND)
                getattr(invalidator, way)()
            # Deleting old changes fails, too, in a thread, at whatever time.
            said.append([line for line in lines() if line.startswith("changes")])

        once = ["changes not read: error=StorageUnavailableError"]
        assert said == [[], once, [], [], once, []]

    def test_bids_that_are_not_seen(self, lines: Lines) -> None:
        one = shop()
        reco = Recommender(attrs.evolve(one.ports, recorder=None), one.settings)
        for item in ("art-01", "art-02"):
            reco.bid_placed("ann", item)
        one.passes(MINUTE)
        lines()

        reco.anonymous.popular_items()
        settle(reco)

        assert "pending bids not confirmed: bids=2" in lines()

    def test_memory_that_is_cleared_here_and_elsewhere(self, lines: Lines) -> None:
        one = shop()
        other = one.another()
        warm(one, "homepage", "similar_items")
        for surface in ("homepage", "similar_items"):
            ASK[surface](other)
        settle(other)
        one.passes(SECOND)
        lines()

        assert one.reco.system.forget_cached() == 2
        here = lines()
        other.anonymous.popular_items()
        settle(other)

        assert here == ["cache cleared manually: entries=2"]
        [there] = [line for line in lines() if line.startswith("cache cleared: ")]
        assert there.startswith("cache cleared: entries=2 bytes=")
        assert int(there.rpartition("=")[2]) > 2_000

    def test_a_run_that_other_processes_are_not_told_of(self, lines: Lines) -> None:
        one = shop()
        changes: Any = one.stores["changes"]
        changes.port = Failing(changes.port, "publish", [DOWN()])

        one.reco.system.run_job(POPULAR_JOB)

        [done, untold] = lines()
        assert done.startswith(f"job done: job={POPULAR_JOB} scope=3 changed=3 unchanged=0 ")
        assert untold == f"run not published: job={POPULAR_JOB} error=StorageUnavailableError"


class TestJobs:
    def begin(self, shop: Shop, *, stops: bool = False) -> None:
        stop = Flag()
        if stops:
            stop.set()
        for run_request in shop.runs.due():
            if run_request.key.job == JOB:
                shop.runs.begin(run_request, stop=stop)

    def test_a_process_that_starts_and_stops_running_jobs(self, lines: Lines) -> None:
        for is_in_time in (True, False):
            reco = Shop.of(settings=Settings(cache_enabled=False)).reco
            reco.start(scheduler=Hands(is_in_time=is_in_time))
            started = lines()

            reco.stop()

            assert f"jobs started: process={os.getpid()}" in started
            assert lines() == [f"jobs stopped: process={os.getpid()} in_time={is_in_time}"]

    def test_a_run_that_fails_and_one_that_is_stopped(self, lines: Lines) -> None:
        shop = Shop.of(users=lambda users: Failing(users, "active_since", [ValueError()] * 3))
        said = []
        for _ in range(3):
            self.begin(shop)
            said += lines()
            shop.clock.advance(MINUTE)
        other = Shop.of()
        self.begin(other, stops=True)

        assert said == [
            f"run failed: job={JOB} attempt={attempt} final={attempt == 3} error=ValueError"
            for attempt in (1, 2, 3)
        ]
        assert lines() == [f"run stopped: job={JOB} attempt=1"]

    def test_a_run_that_is_given_up(self, lines: Lines) -> None:
        shop = Shop.of()
        run_request = run_request_of(RunKey(JOB), Trigger.SCHEDULE, SCHEDULE[JOB], slot=NOW)
        for place in range(3):
            shop.ports.ledger.claim(run_request, holder=f"gone {place}", lease=SECOND)
            shop.clock.advance(2 * SECOND)

        self.begin(shop)

        assert lines() == [f"run discarded, its process is gone: job={JOB} attempt=3"]

    def test_a_heartbeat_that_fails(self, lines: Lines) -> None:
        shop = Shop.of()
        run_request = run_request_of(RunKey(JOB), Trigger.MANUAL, SCHEDULE[JOB])
        run = shop.ports.ledger.claim(run_request, holder="ann", lease=MINUTE).run
        ledger: Any = Failing(shop.ports.ledger, "beat", [DOWN()])
        rules = RunRules(beat=timedelta(milliseconds=10), lease=MINUTE)

        with Heartbeat(ledger, run, rules, Flag()):
            assert comes_true(partial(has_asked_twice, ledger))

        assert lines() == [f"heartbeat failed: job={JOB} error=StorageUnavailableError"]


def has_asked_twice(ledger: Any) -> bool:
    return int(ledger.calls) >= 2
