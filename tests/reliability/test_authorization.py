"""Holds that nobody sees what is not theirs, however permissions fail and calls interleave."""

import random
import statistics
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic, perf_counter_ns
from typing import Any

import attrs
import pytest
import sqlalchemy as sa

from angle_reco import AccessDeniedError, Recommender, Settings, UserId, View
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.storage import Storage
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import memory_ports, ports_on
from angle_reco.domain.items import Item
from angle_reco.domain.users import User
from angle_reco.testing import ManualClock, MemoryMarketplace
from tests.adapters.databases import fill, storage_on
from tests.application.shop import HOUR, NOW, bid, filled, lots, opened, watch
from tests.postgres import new_database
from tests.reliability.trials import GRACE, seeded, sized, together

# Permissions that cannot be looked up.

DEADLINE = timedelta(milliseconds=50)


class Host:
    """A host whose permissions fail in every way there is."""

    def __init__(self) -> None:
        self.way = "no"
        self.is_over = threading.Event()

    def __call__(self, user_id: UserId, name: str) -> bool:
        answer: Any
        match self.way:
            case "yes":
                answer = True
            case "raises":
                raise random.choice([RuntimeError, KeyError, ConnectionError, StopIteration])(
                    user_id
                )
            case "hangs":
                answer = self.is_over.wait(60)
            case "is late":
                self.is_over.wait(2 * DEADLINE.total_seconds())
                answer = True
            case "is odd":
                answer = random.choice([1, "yes", b"1", [True], object(), None, 1.0, "True"])
            case _:
                answer = False
        return answer  # type: ignore[no-any-return]  # that is what is odd


ASKING: list[Callable[[View], object]] = [
    lambda view: view.homepage(of="bob"),
    lambda view: view.interests(of="bob"),
    lambda view: view.stored.get_recommendations(of="bob"),
    lambda view: view.erase_user("bob"),
    lambda view: view.stored.create_interest("bob", "art", score=1),
    lambda view: view.run_job("generate_popular_items"),
    lambda view: view.stats(),
]


def test_whoever_cannot_be_looked_up_may_not_and_revoking_counts_at_once() -> None:
    host, chance = Host(), seeded()
    ways = ["raises", "hangs", "is late", "is odd", "no"]
    market = filled(lots("art", 3), bid("bob", "art-01"))
    reco = opened(market, Settings(deadline=DEADLINE), permissions=host)
    ann, slowest = reco.as_user("ann"), 0.0

    for turn in range(sized(20, 1_000)):
        host.way, host.is_over = "yes", threading.Event()
        assert ann.stats().users == 1
        assert len(ann.homepage(of="bob")) == 2

        # Revoked, or out of reach: the very next call is denied.
        host.way = ways[turn % len(ways)]
        began = monotonic()
        with pytest.raises(AccessDeniedError, match=r"^not allowed: "):
            chance.choice(ASKING)(ann)
        slowest = max(slowest, monotonic() - began)
        host.is_over.set()
        # What is late must not count for the next one.
        comes_back(host, ann)

    assert slowest < DEADLINE.total_seconds() + GRACE
    assert reco.ports.interests.totals().rows == 0


def comes_back(host: Host, view: View) -> None:
    """Wait until nobody who hung keeps the host busy."""
    host.way = "yes"
    for _ in range(200):
        try:
            view.stats()
        except AccessDeniedError:
            threading.Event().wait(0.005)
        else:
            return
    raise AssertionError("permissions are never looked up again")


def test_a_host_that_hangs_for_all_is_waited_for_no_longer_than_for_one() -> None:
    host = Host()
    host.way = "hangs"
    reco = opened(filled(lots("art", 3)), Settings(deadline=DEADLINE), permissions=host)

    def ask(place: int) -> float:
        began = monotonic()
        with pytest.raises(AccessDeniedError):
            ASKING[place % len(ASKING)](reco.as_user(f"user-{place}"))
        return monotonic() - began

    try:
        waited = together(40, ask)
        # Threads that hang are bounded, and so is who waits.
        hanging = [one for one in threading.enumerate() if one.name == "angle-reco-permission"]
    finally:
        host.is_over.set()

    assert max(waited) < DEADLINE.total_seconds() + GRACE
    assert len(hanging) <= 16


# Two actors in one process.

ANN, ALSO_ANN = "ann", "ANN"
ITEMS: list[Item] = [*lots("art", 30), *lots("toy", 30, "toy")]
SHOPS = ("memory", "sqlite", "postgres")


def rows() -> dict[str, Any]:
    return {
        "users": [
            User(user_id=UserId(one), last_sign_in_at=NOW - place * HOUR, sign_in_count=place)
            for place, one in enumerate((ANN, ALSO_ANN, "bob"))
        ],
        "items": ITEMS,
        "bids": [
            *(bid(ANN, f"art-{place:02}") for place in range(1, 6)),
            *(bid(ALSO_ANN, f"toy-{place:02}", days=3) for place in range(1, 8)),
        ],
        "watches": [watch(ANN, "toy-09"), watch("bob", "art-01"), watch(ALSO_ANN, "art-29")],
    }


@pytest.fixture(params=SHOPS)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Recommender]:
    """Return a shop of two users whose ids differ in case alone, with stored results."""
    clock = ManualClock(NOW)
    if request.param == "memory":
        market = MemoryMarketplace(**rows())
        yield Recommender(attrs.evolve(memory_ports(market), clock=clock))
        return
    if request.param == "sqlite":
        with opened_at(f"sqlite:///{tmp_path}/shop.db") as storage:
            yield Recommender(attrs.evolve(ports_on(storage), clock=clock))
        return
    with (
        new_database(request.getfixturevalue("postgres_url")) as url,
        opened_at(url) as storage,
    ):
        yield Recommender(attrs.evolve(ports_on(storage), clock=clock))


@contextmanager
def opened_at(url: str) -> Iterator[Storage]:
    """Open a new database with our tables and the market in it."""
    engine = open_engine(url)
    try:
        storage = storage_on(engine)
        storage.migrate_up()
        fill(storage, **rows())
        yield storage
    finally:
        engine.dispose()


READING: dict[str, Callable[..., Any]] = {
    "homepage": lambda view, **of: view.homepage(12, **of),
    "after_bid": lambda view, **of: view.after_bid("art-11", **of),
    "assume_bid": lambda view, **of: view.after_bid("toy-11", assume_bid=True, **of),
    "interests": lambda view, **of: view.interests(**of),
    "sign_ins": lambda view, **of: view.sign_ins(**of),
    "get_interests": lambda view, **of: view.stored.get_interests(**of),
    "get_recommendations": lambda view, **of: view.stored.get_recommendations(**of),
    "export_user": lambda view, **of: view.export_user(*of.values()),
}


def test_no_answer_for_one_reaches_the_other(shop: Recommender) -> None:
    for job in BATCH_JOBS:
        shop.system.run_job(job)
    shop.system.stored.create_interest(ANN, "for ann", score=0.5)
    shop.system.stored.create_interest(ALSO_ANN, "for ANN", score=0.5)
    shop.system.stored.upsert_recommendation(ANN, "art-20", score=1, rank=1)
    shop.system.stored.upsert_recommendation(ALSO_ANN, "toy-20", score=1, rank=1)
    others = {ANN: ALSO_ANN, ALSO_ANN: ANN}
    expected = {
        (user, name): read(shop.as_user(user)) for user in others for name, read in READING.items()
    }
    for name in READING:
        assert expected[ANN, name] != expected[ALSO_ANN, name], name
    seed, operations, threads = seeded().random(), sized(300, 10_000), 4

    def work(place: int) -> tuple[int, int]:
        chance, wrong, denied = random.Random(seed + place), 0, 0
        views = {user: shop.as_user(user) for user in others}
        for _ in range(operations // threads):
            user, name = chance.choice((ANN, ALSO_ANN)), chance.choice(list(READING))
            if chance.random() < 0.25:
                try:
                    READING[name](views[user], of=others[user])
                    wrong += 1
                except AccessDeniedError:
                    denied += 1
            else:
                wrong += READING[name](views[user]) != expected[user, name]
        return wrong, denied

    found = together(threads, work)

    assert sum(wrong for wrong, _ in found) == 0
    assert sum(denied for _, denied in found) > operations // 8


# Whose it is, and whether there is anything.

MISSING = "nobody-at-all"

DENIED: dict[str, Callable[[View, str], object]] = {
    **{
        name: lambda view, of, name=name: READING[name](view, of=of)  # type: ignore[misc]  # a default binds it
        for name in READING
    },
    "get_top_interests": lambda view, of: view.stored.get_top_interests(of=of),
    "erase_user": lambda view, of: view.erase_user(of),
    "create_interest": lambda view, of: view.stored.create_interest(of, "art", score=1),
    "delete_interest": lambda view, of: view.stored.delete_interest(of, "art"),
    "create_recommendation": lambda view, of: view.stored.create_recommendation(
        of, "art-20", score=1
    ),
    "delete_recommendation": lambda view, of: view.stored.delete_recommendation(of, "art-20"),
}


@pytest.mark.parametrize("shop", SHOPS[1:], indirect=True)
@pytest.mark.parametrize("is_asked", [False, True], ids=["no host", "a host"])
def test_somebody_elses_and_nobodys_are_denied_alike(shop: Recommender, is_asked: bool) -> None:
    for job in BATCH_JOBS:
        shop.system.run_job(job)
    shop = guarded(shop, is_asked=is_asked)
    views = [shop.as_user(ANN), shop.anonymous]
    storage, statements = shop.storage, list[str]()
    assert storage is not None

    def count(*said: Any) -> None:
        statements.append(said[2])

    engine = storage.database.engine
    sa.event.listen(engine, "before_cursor_execute", count)
    try:
        for view in views:
            for name, ask in DENIED.items():
                said = set()
                for of in (ALSO_ANN, "bob", MISSING, "x" * 512):
                    with pytest.raises(AccessDeniedError) as caught:
                        ask(view, of)
                    said.add((type(caught.value), str(caught.value), caught.value.args))
                assert len(said) == 1, name
    finally:
        sa.event.remove(engine, "before_cursor_execute", count)

    assert statements == []


@pytest.mark.parametrize("shop", SHOPS[1:], indirect=True)
def test_denials_take_as_long_for_somebody_as_for_nobody(shop: Recommender) -> None:
    for job in BATCH_JOBS:
        shop.system.run_job(job)
    view, calls = guarded(shop, is_asked=False).as_user(ANN), sized(50, 2_000)
    medians: dict[str, float] = {}

    for name in ("homepage", "export_user", "create_interest"):
        taken: dict[str, list[int]] = {ALSO_ANN: [], MISSING: []}
        for place in range(calls):
            # In turn, so that what slows the machine slows both.
            for of in (ALSO_ANN, MISSING) if place % 2 else (MISSING, ALSO_ANN):
                began = perf_counter_ns()
                with pytest.raises(AccessDeniedError):
                    DENIED[name](view, of)
                taken[of].append(perf_counter_ns() - began)
        theirs, nobodys = (statistics.median(taken[of]) for of in (ALSO_ANN, MISSING))
        medians[name] = abs(theirs - nobodys) / min(theirs, nobodys)
        print(f"{name}: {theirs / 1e3:.1f} µs for somebody's, {nobodys / 1e3:.1f} µs for nobody's")

    # How long a call takes says something on a machine that does nothing else.
    assert calls < 2_000 or max(medians.values()) < 0.05


def guarded(shop: Recommender, *, is_asked: bool) -> Recommender:
    """Return a shop where nobody holds a permission, and whether a host *is asked* for it."""
    said_no = memory_ports(permissions=(lambda user_id, name: False) if is_asked else None)
    return Recommender(attrs.evolve(shop.ports, permissions=said_no.permissions))
