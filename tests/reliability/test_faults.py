"""Holds what calls do when the network or the server fails in the middle of them."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import numpy as np
import pytest
import sqlalchemy as sa

from angle_reco import Recommender, Settings
from angle_reco.adapters.sql import import_directory
from angle_reco.domain import (
    IdColumn,
    IdKind,
    IdKinds,
    ItemId,
    ListKind,
    StorageError,
    StorageUnavailableError,
    StoredLine,
    UserId,
    UserInterest,
)
from angle_reco.ports import Written, deadline
from angle_reco.testing import ManualClock
from angle_reco.testing.contracts import Sample
from tests.application.shop import DAY, NOW
from tests.postgres import Server, new_database, start_server
from tests.reliability.proxy import Effect, Fault, Proxy, Way, proxy_to
from tests.reliability.trials import (
    GRACE,
    Ended,
    ended,
    fill_market,
    looking_into,
    seeded,
    sized,
    together,
)

DEADLINE = 0.3
ENOUGH = 5.0
SETTINGS = Settings(deadline=timedelta(seconds=DEADLINE))

USER, ITEM = UserId("user-07"), ItemId("art-07")
SAMPLE = Sample(IdKinds())

Call: TypeAlias = Callable[[Recommender], object]


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    """Give the URL of a database with a market, and all that the jobs make of it."""
    with new_database(postgres_url) as url, Recommender.connect(url, migrate=True) as made:
        assert made.storage is not None
        fill_market(made.storage)
        for job in ("refresh_user_interests", "generate_popular_items", "generate_recommendations"):
            at_noon(made).system.run_job(job)
        made.close()
        yield url


@pytest.fixture(scope="module")
def proxy(url: str) -> Iterator[Proxy]:
    with proxy_to(url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def opened(proxy: Proxy) -> Iterator[Recommender]:
    with Recommender.connect(proxy.url, settings=SETTINGS) as opened:
        yield opened


@pytest.fixture
def reco(proxy: Proxy, opened: Recommender) -> Iterator[Recommender]:
    """Return a recommender whose database is behind the proxy."""
    proxy.recover()
    yield at_noon(opened)
    proxy.recover()
    with deadline(ENOUGH):
        opened.ports.users.total()


def at_noon(reco: Recommender) -> Recommender:
    """Return a recommender on the same ports, on the day of the market."""
    ports = attrs.evolve(reco.ports, clock=ManualClock(NOW))
    return Recommender(ports, reco.settings)


VIEWS: Mapping[str, Call] = {
    "homepage": lambda reco: reco.as_user(USER).homepage(),
    "homepage of a stranger": lambda reco: reco.system.homepage(of="nobody"),
    "similar items": lambda reco: reco.anonymous.similar_items(ITEM),
    "after a bid": lambda reco: reco.as_user(USER).after_bid(ITEM, suppose=True),
    "popular items": lambda reco: reco.anonymous.popular_items(),
    "popular items of a category": lambda reco: reco.anonymous.popular_items(category="art"),
    "interests": lambda reco: reco.as_user(USER).interests(),
    "stored interests": lambda reco: reco.as_user(USER).get_top_interests(),
    "sign-ins": lambda reco: reco.as_user("user-08").sign_ins(),
    "stored homepage": lambda reco: reco.as_user(USER).get_recommendations(),
    "stored similar items": lambda reco: reco.anonymous.find_similar_items(ITEM),
    "stale homepages": lambda reco: reco.system.find_stale_recommendations(),
}

PORTS: Mapping[str, Call] = {
    "active users": lambda reco: list(reco.ports.users.active_since(NOW - DAY)),
    "interactions": lambda reco: [
        (one.user.tolist(), one.item.tolist(), one.at.tolist())
        for one in reco.ports.activity.interactions()
    ],
    "catalogue": lambda reco: list(reco.ports.catalog.may_be_open(NOW).items.ids),
    "cards": lambda reco: reco.ports.catalog.cards([ITEM], at=NOW, viewer=USER),
    "engaged users": lambda reco: reco.ports.activity.engaged_users([ITEM]),
    "touched items": lambda reco: reco.ports.activity.touched_by(USER),
    "lists": lambda reco: reco.ports.lists.read(ListKind.PERSONAL, [USER]),
    "totals": lambda reco: reco.ports.lists.totals(ListKind.PERSONAL),
}

EVENTS: Mapping[str, Callable[[Recommender], bool]] = {
    "sign-in": lambda reco: reco.signed_in(USER),
    "bid": lambda reco: reco.bid_placed(USER, ITEM, amount=Decimal(7)),
    "watch": lambda reco: reco.watched(USER, ITEM),
    "end of a watch": lambda reco: reco.unwatched(USER, ITEM),
}


def in_time(call: Call, reco: Recommender, seconds: float = DEADLINE) -> Ended:
    """Return how a call of a port ended within a deadline."""

    def within() -> object:
        with deadline(seconds):
            return call(reco)

    return ended(within)


def traffic(proxy: Proxy, work: Callable[[], object]) -> dict[Way, int]:
    """Return how many bytes *work* moves, each way."""
    before = {way: proxy.carried(way) for way in Way}
    work()
    return {way: proxy.carried(way) - before[way] for way in Way}


def anywhere(chance: random.Random, effect: Effect, bytes_of: Mapping[Way, int]) -> Fault:
    """Return a fault somewhere in the middle, most often of a packet."""
    way = chance.choice(list(Way))
    return Fault(effect=effect, way=way, after=chance.randrange(max(bytes_of[way], 1)))


# Reading.


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("name", [*VIEWS, *PORTS])
def test_a_call_that_is_cut_off_answers_in_full_or_fails_typed_in_time(
    proxy: Proxy, reco: Recommender, name: str, effect: Effect
) -> None:
    chance, call = seeded(), (VIEWS | PORTS)[name]
    right = call(reco)
    bytes_of = traffic(proxy, lambda: in_time(call, reco, ENOUGH))
    answered = 0
    for _ in range(sized(8 if effect is Effect.RESET else 2, 200)):
        proxy.arm(anywhere(chance, effect, bytes_of))

        got = in_time(call, reco)

        assert got.seconds <= DEADLINE + GRACE
        assert isinstance(got.error, StorageError | None)
        assert got.error or got.result == right
        answered += got.error is None
        proxy.recover()
        healed = in_time(call, reco, ENOUGH)
        assert (healed.error, healed.result) == (None, right)
    print(f"{answered} answered")


@pytest.mark.parametrize("name", [*VIEWS, *PORTS])
def test_a_slow_network_is_waited_for_as_long_as_the_deadline(
    proxy: Proxy, reco: Recommender, name: str
) -> None:
    call = (VIEWS | PORTS)[name]
    for _ in range(sized(1, 10)):
        proxy.latency = 2.0

        got = in_time(call, reco)

        assert isinstance(got.error, StorageUnavailableError)
        assert got.seconds <= DEADLINE + GRACE
        proxy.recover()


def test_a_slow_network_is_no_failure_while_there_is_time(proxy: Proxy, reco: Recommender) -> None:
    reco.ports.users.sign_ins(USER)
    for _ in range(sized(1, 10)):
        proxy.latency = 2.0

        got = in_time(PORTS["lists"], reco, ENOUGH)

        assert got.error is None
        assert 2.0 <= got.seconds <= 2.0 + GRACE


def test_an_answer_that_trickles_in_is_not_waited_for_longer(
    proxy: Proxy, reco: Recommender
) -> None:
    reco.ports.users.total()
    for _ in range(sized(1, 200)):
        proxy.pace = 0.02

        got = in_time(PORTS["interactions"], reco)

        assert isinstance(got.error, StorageUnavailableError)
        assert got.seconds <= DEADLINE + GRACE
        proxy.recover()


@pytest.mark.parametrize("name", [*VIEWS, *PORTS])
def test_a_server_that_is_silent_from_the_start_is_not_waited_for_longer(
    proxy: Proxy, reco: Recommender, name: str
) -> None:
    call = (VIEWS | PORTS)[name]
    for _ in range(sized(1, 20)):
        proxy.is_silent = True
        proxy.reset_all()

        got = in_time(call, reco)

        assert isinstance(got.error, StorageUnavailableError)
        assert got.seconds <= DEADLINE + GRACE
        proxy.recover()


@pytest.mark.parametrize("words", [b"version()", b"transaction isolation", b"conforming", b"SELECT"])
def test_a_first_connection_that_falls_silent_is_not_waited_for_longer(
    proxy: Proxy, words: bytes
) -> None:
    for _ in range(sized(1, 50)):
        with Recommender.connect(proxy.url, settings=SETTINGS, check=False) as reco:
            proxy.arm(Fault(effect=Effect.SILENCE, words=words))

            got = in_time(lambda reco: reco.ports.users.sign_ins(USER), reco)

            assert isinstance(got.error, StorageError | None)
            assert got.seconds <= DEADLINE + GRACE
            proxy.recover()


def test_a_refused_connection_is_an_error_at_once(proxy: Proxy, reco: Recommender) -> None:
    proxy.refuse()
    proxy.reset_all()
    for call in (VIEWS | PORTS).values():
        got = in_time(call, reco)

        assert isinstance(got.error, StorageUnavailableError)
        assert got.seconds <= DEADLINE


def test_several_statements_share_one_deadline(proxy: Proxy, reco: Recommender) -> None:
    reco.as_user(USER).homepage()
    # Each of its statements alone would be in time, new connections included.
    proxy.latency = DEADLINE * 0.6

    got = ended(lambda: reco.as_user(USER).homepage())

    assert isinstance(got.error, StorageUnavailableError)
    assert got.seconds <= DEADLINE + GRACE


def test_a_lost_connection_costs_a_reader_nothing(proxy: Proxy, reco: Recommender) -> None:
    for call in (VIEWS | PORTS).values():
        right = call(reco)
        for _ in range(sized(1, 10)):
            proxy.reset_all()

            got = in_time(call, reco, ENOUGH)

            assert (got.error, got.result) == (None, right)


# Writing.


def lists_of(version: int, owners: int = 40, length: int = 20) -> Any:
    """Return lists of which every line says which version it is of."""
    lines = [
        StoredLine(
            item_id=ItemId(f"v{version}-{place}"),
            score=version * 1000 + place,
            parts=(version, place),
            reason=LINE.reason,
            source=LINE.source,
        )
        for place in range(length)
    ]
    of_owners: dict[object, list[StoredLine]] = {f"u{owner}": lines for owner in range(owners)}
    return SAMPLE.lists(ListKind.PERSONAL, of_owners, at=NOW + timedelta(minutes=version))


def versions_of_lists(url: str, owners: int = 40, length: int = 20) -> set[int]:
    """Return of which versions lists are, looked at from beside the code under test."""
    query = "SELECT scores FROM angle_reco_personal_lists WHERE owner LIKE 'u%%' AND owner != :u"
    with looking_into(url) as connection:
        rows = connection.execute(sa.text(query.replace("%%", "%")), {"u": USER}).scalars().all()
    rows = [row for row in rows if row]
    return {score // 1000 for row in rows for score in row}
