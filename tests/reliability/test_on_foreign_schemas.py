"""On a host's own tables everything is answered as in memory, and nothing of theirs changes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta, timezone
from itertools import cycle

import attrs
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings

from angle_reco import Recommender, Shelf, UserId
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import memory_ports
from angle_reco.testing import AuctionStatus, ManualClock, MemoryMarketplace
from tests.adapters.foreign import Foreign, categories_of, django, everything_in, models, quoted
from tests.application.markets import marketplaces
from tests.application.shop import (
    DAY,
    HOUR,
    NOW,
    TICK,
    again,
    bid,
    filled,
    lot,
    watch,
)
from tests.postgres import new_database

BUSY = filled(
    [
        lot("lot-01", "art", price=100, seller="eve", ends=3),
        lot("lot-02", "art", price=120, ends=8),
        lot("lot-03", "art", price=None, listed=None),
        lot("lot-04", "books", price=100, ends=7, listed=3),
        lot("lot-05", "books", price=0, seller="ann"),
        lot("lot-06", "coins", price=100, starts=2),
        lot("lot-07", "dolls", price=90, ends=1 / 86_400_000_000),
        lot("lot-08", "dolls", price=91, ends=-1),
        lot("lot-09", None, price=100),
        lot("lot-10", "dolls", status=AuctionStatus.PAUSED),
        lot("lot-11", "art", status=AuctionStatus.ACTIVE, is_published=False),
        lot("lot-12", "art", status=AuctionStatus.SCHEDULED, seller="a stranger"),
    ],
    bid("ann", "lot-01", 1, 110),
    bid("ann", "lot-01", 1, 110),
    bid("bob", "lot-01", 0.5, 130),
    # The seller of both.
    bid("eve", "lot-01", 0.25, 140),
    bid("ann", "lot-05", 2, 3),
    bid("bob", "lot-02", 8),
    bid("bob", "lot-04", 31, 200),
    bid("eve", "lot-07", 90, 5),
    bid("eve", "lot-08", 7, 5),
    bid("zoe", "lot-09", 1, 7),
    watch("ann", "lot-02", 1),
    watch("ann", "lot-06", 91),
    watch("eve", "lot-03", 0),
    watch("zoe", "lot-03", -1),
    *(watch(f"crowd-{number}", "lot-02", number) for number in range(4)),
    users=["idle"],
)
for _name, _days, _count in (("ann", 30, 3), ("bob", 29, 1), ("idle", 400, 7)):
    BUSY.users[UserId(_name)] = attrs.evolve(
        BUSY.users[UserId(_name)],
        created_at=NOW - 500 * DAY + TICK,
        last_sign_in_at=NOW - _days * DAY,
        sign_in_count=_count,
    )
BUSY.users[UserId("zoe")] = attrs.evolve(
    BUSY.users[UserId("zoe")], created_at=NOW - DAY, last_sign_in_at=None
)
"""A marketplace with a case of everything, an end that is a microsecond away among them."""

HOSTS: dict[str, Callable[[], Foreign]] = {
    "django": django,
    "django, naive": lambda: django(is_naive=True, in_columns=True),
    "django, counting in auth_user": lambda: django(in_columns=True),
    "models": models,
    "quoted": quoted,
}
ON_POSTGRES = [name for name in HOSTS if name != "django, counting in auth_user"]
ON_SQLITE = [name for name in HOSTS if name != "quoted"]


@attrs.frozen(kw_only=True)
class Opened:
    """A host with its tables, our recommender on them, and somebody else's connection."""

    foreign: Foreign
    url: str
    engine: sa.Engine
    reco: Recommender


@contextmanager
def opened(foreign: Foreign, url: str) -> Iterator[Opened]:
    """Create a host's tables and ours."""
    engine = sa.create_engine(url)
    foreign.create(engine)
    with foreign.connect(url) as connected:
        reco = again(connected.ports, foreign.settings, clock=ManualClock(NOW))
        yield Opened(foreign=foreign, url=url, engine=engine, reco=reco)
    engine.dispose()


@pytest.fixture(scope="module")
def on_postgres(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[Opened]:
    with new_database(postgres_url) as url, opened(HOSTS[request.param](), url) as host:
        yield host


@pytest.fixture(scope="module")
def on_sqlite(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opened]:
    file = tmp_path_factory.mktemp("host") / "host.db"
    with opened(HOSTS[request.param](), f"sqlite:///{file}") as host:
        yield host


def in_memory(market: MemoryMarketplace, foreign: Foreign) -> Recommender:
    return again(memory_ports(market), foreign.settings, clock=ManualClock(NOW))


def everything_said(
    reco: Recommender, market: MemoryMarketplace, foreign: Foreign, *, some: int | None
) -> dict[str, object]:
    """Return every answer about *some* of the users and items, and what is behind them."""
    stranger = foreign.user_id("a stranger")
    crowd = {foreign.user_id(f"crowd-{number}") for number in range(11)}
    view, said = reco.system, dict[str, object]()
    listed = list(market.items)[:some]
    users = [*[one for one in market.users if one not in crowd][:some], UserId(stranger)]
    for user_id in users:
        me = reco.as_user(user_id)
        said[f"homepage for {user_id}"] = seen(me.homepage())
        said[f"popular for {user_id}"] = seen(me.popular_items(5))
        said[f"interests of {user_id}"] = me.interests()
        said[f"sign-ins of {user_id}"] = me.sign_ins()
        said[f"stored for {user_id}"] = (
            view.stored.get_interests(of=user_id),
            view.stored.get_recommendations(of=user_id),
        )
    for item_id, user_id in zip(listed, cycle(users)):
        me = reco.as_user(user_id)
        said[f"similar to {item_id}"] = seen(me.similar_items(item_id, 20))
        said[f"after a bid on {item_id}"] = seen(me.after_bid(item_id, assume_bid=True))
        said[f"stored for {item_id}"] = view.stored.find_similar_items(item_id)
    for category in categories_of(market)[:some]:
        said[f"popular in {category}"] = seen(reco.anonymous.popular_items(category=category))
    for span in (timedelta(0), HOUR, DAY, 29 * DAY, 30 * DAY, 31 * DAY, 499 * DAY, 900 * DAY):
        said[f"active since {span}"] = reco.ports.users.active_since(NOW - span).to_list()
    said["stale"] = list(view.stored.find_stale_recommendations(older_than=timedelta(0)))
    # When runs began is by the clock of each.
    said["stats"] = attrs.evolve(view.stats(), jobs={}, statements=None)
    return said


def seen(shelf: Shelf) -> tuple[object, ...]:
    """Return what is on a shelf, and how fresh it is."""
    return (*shelf, shelf.freshness)


def outcomes(reco: Recommender) -> list[tuple[int, ...]]:
    """Run every job, and return for how many each was and what it wrote."""
    ran = (reco.system.run_job(job) for job in BATCH_JOBS)
    return [(one.scope, one.changed, one.unchanged, one.removed) for one in ran]


def agree(host: Opened, market: MemoryMarketplace, *, some: int | None = None) -> None:
    """Make sure that a host with this marketplace is answered as memory is."""
    foreign, reco = host.foreign, host.reco
    equal = foreign.equal(market)
    foreign.pour(host.engine, equal)
    memory = in_memory(equal, foreign)
    before = everything_in(host.engine, foreign)
    expected = everything_said(memory, equal, foreign, some=some)

    assert everything_said(reco, equal, foreign, some=some) == expected
    scopes = [scope for scope, *_ in outcomes(memory)]
    assert [scope for scope, *_ in outcomes(reco)] == scopes
    expected = everything_said(memory, equal, foreign, some=some)
    assert everything_said(reco, equal, foreign, some=some) == expected
    assert [written for _, *written in outcomes(reco)] == [
        [0, of_memory, 0] for _, _, of_memory, _ in outcomes(memory)
    ]
    assert everything_in(host.engine, foreign) == before


@pytest.mark.parametrize("on_postgres", ON_POSTGRES, indirect=True)
def test_everything_agrees_on_postgres(on_postgres: Opened) -> None:
    agree(on_postgres, BUSY)


# Columns that count sign-ins are in the naive one, and SQLite stores moments alike for both.
@pytest.mark.parametrize(
    "on_sqlite", [one for one in ON_SQLITE if "counting" not in one], indirect=True
)
def test_everything_agrees_on_sqlite(on_sqlite: Opened) -> None:
    agree(on_sqlite, BUSY)


@pytest.mark.parametrize("on_postgres", ON_POSTGRES[1:], indirect=True)
@given(market=marketplaces())
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_marketplace_agrees_on_postgres(on_postgres: Opened, market: MemoryMarketplace) -> None:
    agree(on_postgres, market, some=1)


@pytest.mark.parametrize("on_postgres", ON_POSTGRES, indirect=True)
def test_a_sign_in_is_counted_where_the_host_wants_it_on_postgres(on_postgres: Opened) -> None:
    count_a_sign_in(on_postgres)


@pytest.mark.parametrize("on_sqlite", ON_SQLITE, indirect=True)
def test_a_sign_in_is_counted_where_the_host_wants_it_on_sqlite(on_sqlite: Opened) -> None:
    count_a_sign_in(on_sqlite)


def count_a_sign_in(host: Opened) -> None:
    """Make sure that a sign-in is counted, never taken back, and changes nothing else."""
    foreign, reco = host.foreign, host.reco
    market = foreign.equal(BUSY)
    foreign.pour(host.engine, market)
    before, memory = everything_in(host.engine, foreign), in_memory(market, foreign)
    idle, stranger = foreign.user_id("idle"), foreign.user_id("a stranger")
    elsewhere = timezone(timedelta(hours=5, minutes=45))

    for at in (NOW - HOUR + TICK, (NOW - 2 * HOUR).astimezone(elsewhere)):
        assert reco.signed_in(idle, at) == memory.signed_in(idle, at) is True
    assert reco.signed_in(stranger, NOW) == memory.signed_in(stranger, NOW) is False
    assert everything_said(reco, market, foreign, some=0) == everything_said(
        memory, market, foreign, some=0
    )
    said = reco.as_user(idle).sign_ins()
    assert said == memory.as_user(idle).sign_ins()
    assert said is not None
    assert said.last_at == NOW - HOUR + TICK
    after = everything_in(host.engine, foreign)
    changed = [name for name in before if before[name] != after[name]]
    assert changed == (["auth_user"] if foreign.host.sign_ins is not None else [])


@pytest.mark.parametrize("is_naive", [False, True])
def test_going_down_takes_away_what_going_up_added_alone(postgres_url: str, is_naive: bool) -> None:
    foreign = django(is_naive=is_naive, in_columns=True)
    with new_database(postgres_url) as url:
        engine = sa.create_engine(url)
        foreign.create(engine)
        before = everything_in(engine, foreign)
        with foreign.connect(url) as reco:
            names = {one["name"] for one in sa.inspect(engine).get_columns("auth_user")}
            assert reco.storage is not None
            assert reco.storage.migrate_down()

        assert {"last_login", "login_count"} <= names
        assert everything_in(engine, foreign) == before
        assert sorted(sa.inspect(engine).get_table_names()) == sorted(foreign.metadata.tables)
        engine.dispose()
