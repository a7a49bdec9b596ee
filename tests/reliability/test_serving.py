"""Holds what readers get from memory while the database is away, and when it is back."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from time import monotonic, sleep

import pytest
import sqlalchemy as sa

from angle_reco import Recommender, Settings
from angle_reco.domain.events import AnswerDegraded, Event, RefreshFailed
from angle_reco.domain.suggestions import Source
from tests.postgres import Server, comes_true, new_database, start_server
from tests.reliability.proxy import Proxy, proxy_to
from tests.reliability.traffic import (
    STRANGERS,
    Got,
    Visitors,
    fill_todays_market,
    percentile,
)
from tests.reliability.trials import GRACE, IS_FULL, looking_into, sized

POOL = 5
DEADLINE = 2.0
TOLERANCE = 0.25 if IS_FULL else GRACE
SOON = 5.0
"""After so many seconds of a database that answers everything is as it was."""

SECONDS_BETWEEN_EVENTS = 60.0
SURFACES = {"homepage", "similar_items", "popular_items", "after_bid"}
MOST_KEYS = 300
QUICKLY_TOO_OLD = timedelta(seconds=1)
"""For so long are open items fresh, where every outage is to outlast the time they are stale."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with start_server() as server:
        yield server


@pytest.fixture(scope="module")
def url(server: Server) -> Iterator[str]:
    """Give the URL of a database with a market, and all that the jobs make of it."""
    with new_database(server.url()) as url:
        with Recommender.connect(url, migrate=True) as made:
            fill_todays_market(made)
        yield url


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    with proxy_to(url) as proxy:
        yield proxy


class Outages:
    """Visitors of a recommender whose database goes away, and what they and the host got."""

    def __init__(self, url: str, live_for: timedelta) -> None:
        self.events: list[Event] = []
        settings = Settings(deadline=timedelta(seconds=DEADLINE), live_for=live_for)
        self.reco = Recommender.connect(url, settings=settings, on_event=self.events.append)
        self.visitors = Visitors(self.reco)
        self.began = monotonic()
        self.healed_after: list[float] = []
        self.away = list[Got]()
        self.visitors.warm()

    def begin(self) -> float:
        """Have strangers come from now on, as the database is away; return when that is."""
        for stranger in STRANGERS:
            self.reco.system.forget_cached(user_id=stranger)
        self.visitors.strangers = True
        return monotonic()

    def end(self, since: float, until: float) -> None:
        """Wait until all is well, which the database is again, and look at what was not."""
        back_at = monotonic()
        self.away += self.visitors.during(since, until)
        assert self.away

        def is_well() -> bool:
            last = self.visitors.got[-100:]
            return last[0].began > back_at and not any(one.is_degraded for one in last)

        assert comes_true(is_well)
        late = [one for one in self.visitors.got if one.is_degraded and one.began >= back_at]
        self.healed_after.append(max((one.began for one in late), default=back_at) - back_at)
        self.visitors.strangers = False

    def assert_fine(self, url: str, *, p99: float = 0.02) -> None:
        got, away = self.visitors.got, self.away
        new = [one for one in away if one.is_new]
        known = [one for one in away if one.surface == "similar_items"]
        slow = [one.seconds for one in known]
        told = Counter(one.surface for one in self.events if isinstance(one, AnswerDegraded))
        failed = sum(isinstance(one, RefreshFailed) for one in self.events)
        print(
            f"{len(got)} visits, {len(away)} of them while it was away, slowest "
            f"{max(one.seconds for one in got):.3f} s; similar items p99 "
            f"{percentile(slow, 0.99) * 1_000:.1f} ms of {len(slow)}; well after "
            f"{max(self.healed_after):.2f} s; told {dict(told)}, {failed} refreshes"
        )

        assert Counter(type(one.error).__name__ for one in got) == {"NoneType": len(got)}
        assert max(one.seconds for one in got) <= DEADLINE + TOLERANCE
        assert percentile(slow, 0.99) < (p99 if IS_FULL else DEADLINE / 2)
        assert len(new) >= 10
        for one in new:
            assert one.shelf
            assert "list" in one.shelf.degraded_by
            assert {line.source for line in one.shelf} == {Source.POPULAR}
        assert all(one.shelf for one in away)
        assert max(self.healed_after) <= SOON
        most = 1 + (monotonic() - self.began) // SECONDS_BETWEEN_EVENTS
        assert {"homepage", "after_bid"} <= set(told) <= SURFACES
        assert max(told.values()) <= most
        assert failed <= most * MOST_KEYS
        pool = self.reco.storage and self.reco.storage.database.engine.pool
        assert isinstance(pool, sa.QueuePool)
        assert comes_true(lambda: pool.checkedout() == 0)
        assert sessions(url) <= POOL


def sessions(url: str) -> int:
    """Return how many of our connections the server knows of."""
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'angle_reco'"
    )
    with looking_into(url) as connection:
        return int(connection.execute(sa.text(query)).scalar_one())


def test_a_server_that_is_killed_is_not_noticed_by_who_reads_what_is_in_memory(
    server: Server, url: str
) -> None:
    outages = Outages(url, QUICKLY_TOO_OLD)
    with outages.reco, outages.visitors.coming():
        for _ in range(sized(1, 10)):
            sleep(1)
            server.kill()
            since = outages.begin()
            sleep(sized(3, 30))
            until = monotonic()
            server.start()
            outages.end(since, until)
        outages.assert_fine(url)


@pytest.mark.parametrize(
    ("live_for", "known_after"),
    [(Settings().live_for, 0.0), (QUICKLY_TOO_OLD, DEADLINE + 1)],
    ids=["busy", "after a quiet time"],
)
def test_a_network_that_is_silent_holds_up_nobody_for_longer_than_the_deadline(
    proxy: Proxy, url: str, live_for: timedelta, known_after: float
) -> None:
    # What is too old to be shown is, once the first who asked have waited in vain.
    outages = Outages(proxy.url, live_for)
    with outages.reco, outages.visitors.coming():
        for _ in range(sized(1, 3)):
            sleep(1)
            proxy.is_silent = True
            proxy.silence_all()
            since = outages.begin()
            sleep(sized(5, 10))
            until = monotonic()
            proxy.recover()
            outages.end(since + known_after, until)
        # Silence is noticed by waiting: once a second somebody does, and holds up others.
        outages.assert_fine(url, p99=0.25)
