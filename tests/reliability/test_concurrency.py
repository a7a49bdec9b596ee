"""Holds that what many do at once comes out as if they had come one after the other."""

import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from angle_reco import HostSchema, Recommender, Settings
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import FencedOffError
from angle_reco.domain.ids import IdKind, UserId
from angle_reco.domain.lists import ListKind
from angle_reco.domain.runs import Fence
from angle_reco.domain.users import SignIns
from angle_reco.ports.deadlines import deadline
from angle_reco.ports.stores import Written
from tests.application.shop import NOW
from tests.postgres import comes_true, new_database
from tests.reliability.proxy import Effect, Fault, proxy_to
from tests.reliability.trials import (
    fill_market,
    interests_of,
    lists_of,
    looking_into,
    seeded,
    sized,
    together,
    versions_of_interests,
    versions_of_lists,
    while_waiting,
)

ROOT = Path(__file__).parents[2]
USER = UserId("user-07")
PATIENT = Settings(deadline=timedelta(seconds=60))


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    """Give the URL of a database with a market, in the reference schema and as a host's."""
    with new_database(postgres_url) as url:
        with Recommender.connect(url, migrate=True) as made:
            assert made.storage is not None
            fill_market(made.storage)
        with looking_into(url) as connection:
            connection.exec_driver_sql("CREATE TABLE people AS SELECT user_id AS id FROM users")
        yield url


@pytest.fixture
def reco(url: str) -> Iterator[Recommender]:
    with Recommender.connect(url, settings=PATIENT) as reco:
        yield reco


# Sign-ins.


def beside_the_hosts_users() -> HostSchema:
    """Return a host that has nowhere to count sign-ins."""
    column: Callable[[str], sa.ColumnClause[Any]] = sa.column
    bids = sa.select(
        sa.literal("").label("user_id"),
        sa.literal("").label("item_id"),
        sa.cast(sa.null(), sa.DateTime(timezone=True)).label("placed_at"),
    ).where(sa.false())
    return HostSchema(
        users=sa.select(column("id").label("user_id")).select_from(sa.table("people")),
        items=sa.select(sa.literal("").label("item_id")).where(sa.false()),
        bids=bids,
    )


@pytest.mark.parametrize("host", [None, beside_the_hosts_users()], ids=["columns", "side table"])
def test_every_sign_in_is_counted_and_the_last_one_never_goes_back(
    url: str, host: HostSchema | None
) -> None:
    threads, each = sized(20, 50), sized(50, 1_000)
    moments = [NOW + timedelta(microseconds=place + 1) for place in range(threads * each)]
    seeded().shuffle(moments)
    seen: list[SignIns] = []
    # Beside those that come with the reference schema.
    prefix = None if host is None else "beside_"
    with Recommender.connect(url, settings=PATIENT, host=host, prefix=prefix, migrate=True) as reco:
        users = reco.ports.users

        def look() -> None:
            now = users.sign_ins(USER)
            assert now is not None
            seen.append(now)

        def sign_in(place: int) -> None:
            for moment in moments[place * each : (place + 1) * each]:
                assert users.record_sign_in(USER, moment)

        with while_waiting(1, look):
            together(threads, sign_in)
        look()

    assert seen[-1] == SignIns(last_at=max(moments), count=threads * each)
    assert [one.count for one in seen] == sorted(one.count for one in seen)
    last = [one.last_at for one in seen if one.last_at is not None]
    assert last == sorted(last)


# Replacing.


def test_a_reader_sees_a_list_as_it_was_or_as_it_is(url: str, reco: Recommender) -> None:
    kind, owner, seen = ListKind.SIMILAR, "replaced", set[int]()
    reco.ports.lists.write(kind, lists_of(0, [owner], kind))
    with Recommender.connect(url, settings=PATIENT) as readers:

        def look() -> None:
            [kept] = readers.ports.lists.read(kind, [owner]).values()
            [version] = {
                *(int(str(line.item_id).split("-")[0]) for line in kept.lines),
                *(line.score // 1_000 for line in kept.lines),
                *(line.parts[0] for line in kept.lines),
            }
            assert [line.parts[1] for line in kept.lines] == list(range(20))
            assert kept.computed_at == NOW + timedelta(seconds=version)
            seen.add(version)

        with while_waiting(20, look):
            for version in range(1, 1 + sized(100, 1_000)):
                written = reco.ports.lists.write(kind, lists_of(version, [owner], kind))
                assert written == Written(changed=1, unchanged=0)

    assert len(seen) > sized(100, 1_000) // 10


WRITING = """
import sys
from angle_reco import Recommender
from angle_reco.domain.lists import ListKind
from tests.reliability.trials import lists_of

url, version = sys.argv[1:]
with Recommender.connect(url) as reco:
    print("here", flush=True)
    sys.stdin.readline()
    owners = [f"killed-{place:03}" for place in range(200)]
    reco.ports.lists.write(ListKind.SIMILAR, lists_of(int(version), owners))
    print("done", flush=True)
"""


@pytest.mark.parametrize("words", [b"COPY", b"INSERT", b"COMMIT"])
def test_a_writer_that_is_killed_leaves_what_was_there(
    url: str, reco: Recommender, words: bytes
) -> None:
    kind, owners = ListKind.SIMILAR, [f"killed-{place:03}" for place in range(200)]
    reco.ports.lists.write(kind, lists_of(1, owners))
    for version in range(2, 2 + sized(1, 20)):
        with proxy_to(url) as proxy, writer(proxy.url, version) as process:
            assert process.stdin is not None
            # The server hears nothing more of what comes from there on.
            proxy.arm(Fault(effect=Effect.SILENCE, words=words, share=0.5))
            process.stdin.write("\n")
            process.stdin.flush()
            assert comes_true(proxy.has_fired)

            process.kill()
            process.wait()
            proxy.recover()

        versions = versions_of_lists(url, kind, "killed-%")
        assert versions == {owner: {1} for owner in owners}
        # Nor does what it held keep anybody waiting.
        with deadline(5):
            assert reco.ports.lists.write(kind, lists_of(1, owners)) == Written(0, len(owners))


@contextmanager
def writer(url: str, version: int) -> Iterator[subprocess.Popen[str]]:
    """Give a process that is about to write."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITING, url, str(version)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        try:
            yield process
        finally:
            process.kill()


# Many writers.

WRITERS = 8
BATCH = 500
MANY = [f"many-{place:04}" for place in range(1_000)]


def shuffled_batch(chance: random.Random) -> list[str]:
    """Return owners, some of them twice or thrice, in any order."""
    return chance.choices(MANY, k=BATCH)


@contextmanager
def without_deadlocks(url: str) -> Iterator[None]:
    """Hold that the server had to end no unit because two waited for each other."""
    query = sa.text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    with looking_into(url) as connection:
        before = connection.execute(query).scalar_one()
    yield
    with looking_into(url) as connection:
        assert connection.execute(query).scalar_one() == before


def write_all(url: str, write: Callable[[Recommender, int], object]) -> None:
    """Have several writers, as if in processes of their own, share the batches."""
    batches, writers = sized(40, 400), WRITERS

    def work(place: int) -> None:
        with Recommender.connect(url, settings=PATIENT, check=False) as reco:
            for batch in range(place, batches, writers):
                write(reco, batch + 1)

    with without_deadlocks(url):
        together(writers, work)


def test_batches_of_lists_that_overlap_leave_each_list_as_one_of_them_has_it(url: str) -> None:
    seed, of_batch = seeded().random(), dict[int, list[str]]()

    def write(reco: Recommender, version: int) -> None:
        owners = of_batch[version] = shuffled_batch(random.Random(seed + version))
        written = reco.ports.lists.write(ListKind.PERSONAL, lists_of(version, owners))
        assert sum(written) == len(set(owners))

    write_all(url, write)

    kept = versions_of_lists(url, like="many-%")
    assert kept.keys() == set().union(*of_batch.values())
    assert {len(versions) for versions in kept.values()} == {1}
    assert all(owner in of_batch[version] for owner, [version] in kept.items())


def test_batches_of_interests_that_overlap_leave_each_users_as_one_of_them_has_them(
    url: str,
) -> None:
    seed, of_batch = seeded().random(), dict[int, list[str]]()

    def write(reco: Recommender, version: int) -> None:
        users = of_batch[version] = shuffled_batch(random.Random(seed + version))
        reco.ports.interests.write(
            interests_of(version, dict.fromkeys(users)),
            users=IdColumn.of(IdKind.TEXT, users),
            computed_at=NOW,
        )

    write_all(url, write)

    kept = versions_of_interests(url, "many-%")
    assert kept.keys() == set().union(*of_batch.values())
    assert {len(versions) for versions in kept.values()} == {1}
    assert all(user in of_batch[version] for user, [version] in kept.items())


def test_many_writers_of_the_same_leave_what_one_would(url: str) -> None:
    seed = seeded().random()

    def write(reco: Recommender, batch: int) -> None:
        chance = random.Random(seed + batch)
        owners = shuffled_batch(chance)
        # Of several of one owner the last counts, and that is the same in every batch.
        last = {owner: place for place, owner in enumerate(owners)}
        versions = [
            int(owner[-4:]) + 1 if last[owner] == place else 5_000 + chance.randrange(1_000)
            for place, owner in enumerate(owners)
        ]
        kind = ListKind.SIMILAR
        reco.ports.lists.write(kind, lists_of(1, owners, kind, versions=versions))

    with looking_into(url) as connection:
        connection.exec_driver_sql("DELETE FROM angle_reco_similar_lists")
    write_all(url, write)
    at_once = rows(url)
    with looking_into(url) as connection:
        connection.exec_driver_sql("DELETE FROM angle_reco_similar_lists")
    with Recommender.connect(url, settings=PATIENT) as reco:
        for batch in range(sized(40, 400)):
            write(reco, batch + 1)

    assert at_once == rows(url)
    assert len(at_once) == len(MANY)


def rows(url: str) -> list[Any]:
    with looking_into(url) as connection:
        query = "SELECT * FROM angle_reco_similar_lists ORDER BY owner"
        return [tuple(row) for row in connection.execute(sa.text(query))]


# Fences.


@pytest.mark.parametrize("what", ["lists", "interests"])
def test_a_run_that_lost_its_place_never_wins(url: str, what: str) -> None:
    owners = [f"fenced-{what}-{place:02}" for place in range(40)]
    runs, chance = sized(64, 640), seeded()
    numbers = [1 + place // 2 for place in range(runs)]
    chance.shuffle(numbers)
    highest, fenced_off = [0], list[int]()
    lock = threading.Lock()

    def write(reco: Recommender, number: int) -> None:
        fence = Fence(job=f"{what} of a test", number=number)
        if what == "lists":
            reco.ports.lists.write(ListKind.PERSONAL, lists_of(number, owners), fence=fence)
        else:
            reco.ports.interests.write(
                interests_of(number, owners),
                users=IdColumn.of(IdKind.TEXT, owners),
                computed_at=NOW,
                fence=fence,
            )

    def work(place: int) -> None:
        with Recommender.connect(url, settings=PATIENT, check=False) as reco:
            for number in numbers[place::WRITERS]:
                with lock:
                    written = highest[0]
                try:
                    write(reco, number)
                except FencedOffError:
                    fenced_off.append(number)
                else:
                    # Not even one that was older when it began.
                    assert number >= written
                    with lock:
                        highest[0] = max(highest[0], number)

    seen: list[int] = []
    with Recommender.connect(url, settings=PATIENT) as reco:

        def look() -> None:
            if what == "lists":
                kept = reco.ports.lists.read(ListKind.PERSONAL, owners).values()
                there = {line.score // 1_000 for one in kept for line in one.lines}
            else:
                one = reco.ports.interests.of(UserId(owners[0]))
                there = {each.score // 1_000 for each in one.interests} if one else set()
            assert len(there) <= 1
            seen.extend(there)

        with while_waiting(1, look), without_deadlocks(url):
            together(WRITERS, work)
        look()

    assert seen == sorted(seen)
    assert seen[-1] == max(numbers)
    assert fenced_off
