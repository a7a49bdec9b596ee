"""Holds what calls do when the network or the server fails in the middle of them."""

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Protocol, TypeAlias

import attrs
import pytest
import sqlalchemy as sa

from angle_reco import Recommender, Settings
from angle_reco.adapters.sql.importing.directory import import_directory
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import StorageError, StorageUnavailableError
from angle_reco.domain.ids import IdKind, ItemId, UserId
from angle_reco.domain.lists import ListKind
from angle_reco.ports.deadlines import deadline
from angle_reco.testing import ManualClock
from tests.adapters.databases import PRICES
from tests.application.shop import DAY, NOW
from tests.postgres import Server, new_database, start_server
from tests.reliability.proxy import Effect, Fault, Proxy, Way, proxy_to
from tests.reliability.trials import (
    GRACE,
    Ended,
    ended,
    fill_market,
    interests_of,
    lists_of,
    looking_into,
    seeded,
    sized,
    together,
    versions_of_interests,
    versions_of_lists,
)

DEADLINE = 0.4
MOST = {Effect.RESET: (4, 200), Effect.SILENCE: (1, 20)}
"""How often each call is cut off how: silence lasts as long as the deadline."""

ENOUGH = 5.0
# What is answered from memory needs no network.
SETTINGS = Settings(deadline=timedelta(seconds=DEADLINE), cache_enabled=False)

USER, ITEM = UserId("user-07"), ItemId("art-07")

Call: TypeAlias = Callable[[Recommender], object]


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    """Give the URL of a database with a market, and all that the jobs make of it."""
    with new_database(postgres_url) as url, Recommender.connect(url, migrate=True) as made:
        assert made.storage is not None
        fill_market(made.storage)
        for job in BATCH_JOBS:
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


@pytest.fixture
def patient(reco: Recommender) -> Recommender:
    """Return a recommender on the same connections that has more time."""
    return Recommender(reco.ports, attrs.evolve(reco.settings, deadline=timedelta(seconds=ENOUGH)))


def at_noon(reco: Recommender) -> Recommender:
    """Return a recommender on the same ports, on the day of the market."""
    ports = attrs.evolve(reco.ports, clock=ManualClock(NOW))
    return Recommender(ports, reco.settings)


VIEWS: dict[str, Call] = {
    "homepage": lambda reco: reco.as_user(USER).homepage(),
    "homepage of a stranger": lambda reco: reco.system.homepage(of="nobody"),
    "similar items": lambda reco: reco.anonymous.similar_items(ITEM),
    "after a bid": lambda reco: reco.as_user(USER).after_bid(ITEM, assume_bid=True),
    "popular items": lambda reco: reco.anonymous.popular_items(),
    "popular items of a category": lambda reco: reco.anonymous.popular_items(category="art"),
    "interests": lambda reco: reco.as_user(USER).interests(),
    "stored interests": lambda reco: reco.as_user(USER).stored.get_top_interests(),
    "sign-ins": lambda reco: reco.as_user("user-08").sign_ins(),
    "stored homepage": lambda reco: reco.as_user(USER).stored.get_recommendations(),
    "stored similar items": lambda reco: reco.anonymous.stored.find_similar_items(ITEM),
    "stale homepages": lambda reco: reco.system.stored.find_stale_recommendations(),
}

PORTS: dict[str, Call] = {
    "active users": lambda reco: list(reco.ports.users.active_since(NOW - DAY)),
    "interactions": lambda reco: [
        (list(one.users), list(one.items), one.moments.tolist())
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
    proxy: Proxy, reco: Recommender, patient: Recommender, name: str, effect: Effect
) -> None:
    chance, call = seeded(), (VIEWS | PORTS)[name]
    right = call(patient)
    bytes_of = traffic(proxy, lambda: call(patient))
    answered = 0
    for _ in range(sized(*MOST[effect])):
        proxy.arm(anywhere(chance, effect, bytes_of))

        got = in_time(call, reco)

        assert got.seconds <= DEADLINE + GRACE
        assert isinstance(got.error, StorageError | None)
        assert got.error or got.result == right
        answered += got.error is None
        proxy.recover()
        healed = ended(lambda: call(patient))
        assert (healed.error, healed.result) == (None, right)
    print(f"{answered} answered")


def test_a_slow_network_is_waited_for_as_long_as_the_deadline(
    proxy: Proxy, reco: Recommender
) -> None:
    for call in seeded().choices([*VIEWS.values(), *PORTS.values()], k=sized(5, 200)):
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
        # One trip; the driver takes another to prepare what it was asked several times.
        assert 2.0 <= got.seconds <= 4.0 + GRACE


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


def test_a_server_that_is_silent_from_the_start_is_not_waited_for_longer(
    proxy: Proxy, reco: Recommender
) -> None:
    for call in seeded().choices([*VIEWS.values(), *PORTS.values()], k=sized(5, 200)):
        proxy.is_silent = True
        proxy.reset_all()

        got = in_time(call, reco)

        assert isinstance(got.error, StorageUnavailableError)
        assert got.seconds <= DEADLINE + GRACE
        proxy.recover()


@pytest.mark.parametrize(
    "words", [b"version()", b"transaction isolation", b"conforming", b"SELECT"]
)
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
    reco.ports.users.total()
    # Each of its statements alone would be in time, new connections included.
    proxy.latency = DEADLINE * 0.6

    got = ended(lambda: reco.as_user(USER).homepage())

    assert isinstance(got.error, StorageUnavailableError)
    assert got.seconds <= DEADLINE + GRACE


def test_a_lost_connection_costs_a_reader_nothing(proxy: Proxy, patient: Recommender) -> None:
    for call in (VIEWS | PORTS).values():
        right = call(patient)
        for _ in range(sized(1, 10)):
            proxy.reset_all()

            got = ended(partial(call, patient))

            assert (got.error, got.result) == (None, right)


# Writing.

OWNERS = [f"list-{place:02}" for place in range(60)]


class Write(Protocol):
    def __call__(self, reco: Recommender, version: int) -> object: ...


UNITS: dict[str, tuple[Write, Callable[[str], set[int]]]] = {
    "lists": (
        lambda reco, version: reco.ports.lists.write(ListKind.SIMILAR, lists_of(version, OWNERS)),
        lambda url: set().union(*versions_of_lists(url, ListKind.SIMILAR, "list-%").values()),
    ),
    "interests": (
        lambda reco, version: reco.ports.interests.write(
            interests_of(version, OWNERS),
            users=IdColumn.of(IdKind.TEXT, OWNERS),
            computed_at=NOW + timedelta(seconds=version),
        ),
        lambda url: set().union(*versions_of_interests(url, "list-%").values()),
    ),
}
"""What is written all or nothing, and how to see of which versions what is there is."""


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("name", UNITS)
def test_a_unit_that_is_cut_off_is_there_in_full_or_not_at_all(
    url: str, proxy: Proxy, reco: Recommender, name: str, effect: Effect
) -> None:
    chance, (write, versions) = seeded(), UNITS[name]
    write(reco, 1)
    bytes_of = traffic(proxy, lambda: write(reco, 2))
    before = 2
    for version in range(3, 3 + sized(15 if effect is Effect.RESET else 3, 200)):
        proxy.arm(anywhere(chance, effect, bytes_of))

        got = in_time(partial(write, version=version), reco)

        proxy.recover()
        [there] = versions(url)
        assert got.seconds <= DEADLINE + GRACE
        assert isinstance(got.error, StorageError | None)
        assert there in ({before, version} if got.error else {version})
        before = there


@pytest.mark.parametrize("words", [b"COPY", b"INSERT", b"COMMIT"])
@pytest.mark.parametrize("name", UNITS)
def test_a_unit_that_lost_its_connection_is_done_again_once(
    url: str, proxy: Proxy, reco: Recommender, name: str, words: bytes
) -> None:
    write, versions = UNITS[name]
    for version in range(1, 1 + 2 * sized(2, 100), 2):
        for times, is_done in ((1, True), (2, False)):
            write(reco, 0)
            fired = proxy.fired
            proxy.arm(Fault(effect=Effect.RESET, words=words), times)

            got = in_time(partial(write, version=version), reco, ENOUGH)

            assert proxy.fired - fired == times
            assert (got.error is None) is is_done
            assert isinstance(got.error, StorageUnavailableError | None)
            assert versions(url) == {version if is_done else 0}
            proxy.recover()


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize(
    ("way", "words"),
    [
        (Way.TO_SERVER, b"COMMIT"),
        (Way.TO_CLIENT, b"COMMIT"),
        (Way.TO_SERVER, b"UPDATE"),
        (None, b""),
    ],
)
def test_a_sign_in_is_never_counted_twice(
    url: str, proxy: Proxy, reco: Recommender, effect: Effect, way: Way | None, words: bytes
) -> None:
    chance, user = seeded(), UserId("user-09")
    bytes_of = traffic(proxy, lambda: reco.ports.users.record_sign_in(user, NOW))
    is_lost = 0
    for attempt in range(sized(10 if effect is Effect.RESET else 2, 200)):
        before = counted(url, user)
        fault = Fault(effect=effect, way=way, words=words) if way else None
        proxy.arm(fault or anywhere(chance, effect, bytes_of))
        through_view = attempt % 2 == 0

        got = (
            ended(lambda: reco.signed_in(user))
            if through_view
            else in_time(lambda reco: reco.ports.users.record_sign_in(user, NOW), reco)
        )

        proxy.recover()
        now_counted = counted(url, user) - before
        assert got.seconds <= DEADLINE + GRACE
        assert isinstance(got.error, StorageError | None)
        assert now_counted in ({1} if got.result else {0, 1})
        assert not (through_view and got.error)
        is_lost += 1 - now_counted
    if words == b"COMMIT":
        # Either it came through, or it did not; there is no third time.
        assert is_lost in (0, attempt + 1)


def counted(url: str, user: UserId) -> int:
    """Return how often a user signed in, once nobody is counting any more."""
    query = "SELECT sign_in_count FROM users WHERE user_id = :user FOR UPDATE"
    with looking_into(url) as connection:
        return int(connection.execute(sa.text(query), {"user": user}).scalar_one())


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("name", EVENTS)
def test_an_event_that_is_cut_off_does_not_raise_and_ends_in_time(
    proxy: Proxy, reco: Recommender, name: str, effect: Effect
) -> None:
    chance, tell = seeded(), EVENTS[name]
    bytes_of = traffic(proxy, lambda: tell(reco))
    for _ in range(sized(*MOST[effect])):
        proxy.arm(anywhere(chance, effect, bytes_of))

        got = ended(lambda: tell(reco))

        assert got.error is None
        assert got.result in (True, False)
        assert got.seconds <= DEADLINE + GRACE
        proxy.recover()


def test_an_import_that_is_cut_off_leaves_all_or_nothing(postgres_url: str, tmp_path: Path) -> None:
    chance = seeded()
    with (
        new_database(postgres_url) as url,
        proxy_to(url) as proxy,
        Recommender.connect(proxy.url, settings=SETTINGS, migrate=True) as reco,
    ):
        storage = reco.storage
        assert storage is not None
        put_files(tmp_path, 0)
        bytes_of = traffic(proxy, lambda: import_directory(storage, tmp_path))
        before = 0
        for trial in range(sized(12, 200)):
            version = before + 1
            put_files(tmp_path, version)
            if trial % 4:
                proxy.arm(anywhere(chance, Effect.RESET, bytes_of))

            got = ended(lambda: import_directory(storage, tmp_path))

            proxy.recover()
            [there] = versions_imported(url)
            assert isinstance(got.error, StorageUnavailableError | None)
            assert there in ({before, version} if got.error else {version})
            before = there


def put_files(folder: Path, version: int) -> None:
    """Write files of an import in which everything says which version it is of."""
    rows = {
        "users": [
            "user_id,inserted_at,last_sign_in_at,sign_in_count",
            *(f"u{place},,,{version}" for place in range(200)),
        ],
        "items": [
            "item_id,category_id,seller_id,title,starting_price,current_price,publication_status,"
            "starts_at,end_time,inserted_at",
            *(f"i{place},,,{version},,,published,,," for place in range(300)),
        ],
        "bids": [
            "user_id,item_id,amount,placed_at",
            *(f"u{place % 200},i{place % 300},{version},2026-01-01T00:00Z" for place in range(600)),
        ],
    }
    for name, lines in rows.items():
        (folder / f"{name}.csv").write_text("\n".join([*lines, ""]))


def versions_imported(url: str) -> set[int]:
    """Return of which versions users and items are, and of which the newest bids are."""
    query = (
        "SELECT sign_in_count FROM users UNION SELECT title::int FROM items"
        " UNION SELECT max(amount) / :units FROM bids UNION SELECT count(*) / 600 - 1 FROM bids"
    )
    with looking_into(url) as connection:
        found = connection.execute(sa.text(query), {"units": PRICES.units})
        return {int(one) for one in found.scalars()}


# Servers that go and come back.


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with start_server() as server:
        yield server


def test_connections_that_a_restart_broke_heal_by_themselves(server: Server) -> None:
    settings = Settings(cache_enabled=False)
    with (
        new_database(server.url()) as url,
        Recommender.connect(url, settings=settings, migrate=True) as made,
    ):
        assert made.storage is not None
        fill_market(made.storage)
        reco = at_noon(made)
        right = reco.as_user(USER).homepage()
        for _ in range(sized(2, 20)):
            # As many connections as the pool holds.
            together(5, lambda _: reco.as_user(USER).homepage())
            server.kill()
            down = [ended(lambda: reco.as_user(USER).homepage()) for _ in range(3)]
            server.start()

            up = together(5, lambda _: ended(lambda: reco.as_user(USER).homepage()))
            written = ended(lambda: reco.ports.users.record_sign_in(USER, NOW))

            assert {type(one.error) for one in down} == {StorageUnavailableError}
            assert [(one.error, one.result) for one in up] == [(None, right)] * 5
            assert written.result is True
        made.close()


def test_a_server_that_takes_no_writes_is_read_and_left_for_one_that_does(
    postgres_url: str, url: str, proxy: Proxy, reco: Recommender
) -> None:
    name = sa.make_url(url).database
    # An event has it computed: bids of other tests are of the moment of the stored list.
    assert reco.watched(USER, ITEM)
    right = reco.as_user(USER).homepage()
    write, versions = UNITS["lists"]
    for version in range(2, 2 + sized(2, 200)):
        write(reco, 1)
        alter(postgres_url, f"{name} SET default_transaction_read_only = on")
        proxy.reset_all()
        try:
            page = in_time(lambda reco: reco.as_user(USER).homepage(), reco)
            wrote = in_time(partial(write, version=version), reco)
            events = {event: ended(partial(tell, reco)) for event, tell in EVENTS.items()}
        finally:
            alter(postgres_url, f"{name} RESET default_transaction_read_only")
        again = in_time(partial(write, version=version), reco, ENOUGH)

        # An event of the round before has the list computed for the call.
        assert page.error is None
        assert page.result.suggestions == right.suggestions
        assert isinstance(wrote.error, StorageUnavailableError)
        assert [(one.error, one.result) for one in events.values()] == [(None, False)] * len(events)
        assert again.error is None
        assert versions(url) == {version}
        assert reco.signed_in(USER)


def alter(postgres_url: str, change: str) -> None:
    """Change a database from within another, in which it can be."""
    with looking_into(postgres_url) as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {change}")
