"""Holds what processes with a memory promise: they fork, they end, and idle they cost little."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from angle_reco import Recommender
from angle_reco.application.jobs.schedule import BATCH_JOBS
from tests.postgres import new_database
from tests.reliability.traffic import fill_todays_market
from tests.reliability.trials import GRACE, IS_FULL, sized

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    """Give the URL of a database with a market, its jobs done for now."""
    with new_database(postgres_url) as url:
        with Recommender.connect(url, migrate=True) as made:
            fill_todays_market(made)
            for job in BATCH_JOBS:
                made.system.run_job(job, scheduled=True)
        yield url


def run(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Return how a script ended, which does so without a word to stderr."""
    warnings = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")
    done = subprocess.run(
        [sys.executable, *warnings, "-c", script, *map(str, args)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done


# Forking.

_FORKING = """
import os, signal, sys, threading, time
from collections import deque
from datetime import timedelta
from angle_reco import Freshness, Recommender, Settings
from angle_reco.rules import FreshnessLimits, ListKind

url, forks, how, begins = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4] == "True"
limits = FreshnessLimits(fresh_for=timedelta(seconds=2), stale_for=timedelta(hours=1))
reco = Recommender.connect(url, settings=Settings(
    deadline=timedelta(seconds=20),
    live_for=timedelta(seconds=1 if how == "busy" else 60),
    freshness={kind: limits for kind in ListKind} if how == "busy" else Settings().freshness,
))
users = [f"user-{number:03}" for number in range(3)]
statements = reco.storage.statements

def read(user):
    return reco.as_user(user).homepage()

def wait(condition):
    while not condition():
        time.sleep(0.01)

if begins:
    reco.start()
expected = {user: read(user).ids for user in users}

def is_warm():
    before = statements.count
    time.sleep(0.2)
    return all(read(user).ids == expected[user] for user in users) and statements.count == before

wait(lambda: how == "busy" or is_warm())
wait(lambda: not begins or reco.system.health().jobs == "running")

def look(place):
    number = place
    while not is_over.is_set():
        read(users[number % len(users)])
        reco.anonymous.similar_items(f"item-{number % 3:03}")
        if number % 50 == 0:
            reco.system.forget_cached(user_id=users[number // 50 % len(users)])
        number += 1
        time.sleep(0.005)

def in_child():
    # Whoever hangs is killed, and seen.
    signal.alarm(240)
    for user in users:
        shelf = read(user)
        assert len(shelf) == len(expected[user])
        if how == "idle":
            # Of the very objects that the parent had, though it looks itself now what is new.
            assert [id(one.card) for one in shelf] == cards[user], "not from memory"
            assert shelf.freshness in (Freshness.FRESH, Freshness.STALE)
    if how == "idle":
        before = statements.count
        reco.system.forget_cached(user_id=users[0])
        assert read(users[0]).ids == expected[users[0]]
        assert statements.count > before
    else:
        time.sleep(2.1)
        before = statements.count
        assert read(users[0]).freshness is not Freshness.FRESH
        wait(lambda: read(users[0]).freshness is Freshness.FRESH)
        assert statements.count > before, "not read again"
    names = [one.name for one in threading.enumerate()]
    if how == "busy":  # Threads of the child's own have recomputed lists.
        assert any(one.endswith(("-memory", "-idle")) for one in names), names
    if begins:
        reco.start()
        assert reco.system.health().jobs == "running"

def ended(child):
    status = os.waitpid(child, 0)[1]
    assert status == 0, (child, status)

is_over, children = threading.Event(), deque()
looking = [threading.Thread(target=look, args=[place]) for place in range(4 * (how == "busy"))]
for one in looking:
    one.start()
sys.setswitchinterval(1e-4)
for _ in range(forks):
    time.sleep(0.01)
    cards = {user: [id(one.card) for one in read(user)] for user in users}
    child = os.fork()
    if child == 0:
        status = 1
        try:
            in_child()
            status = 0
        except BaseException as error:
            sys.stderr.write(repr(error))
            sys.stderr.flush()
        os._exit(status)
    children.append(child)
    if len(children) > 3:
        ended(children.popleft())
while children:
    ended(children.popleft())
is_over.set()
for one in looking:
    one.join()
reco.close()
"""


@pytest.mark.parametrize(
    ("how", "begins", "forks"),
    [
        ("idle", False, (8, 50)),
        ("idle", True, (2, 20)),
        ("busy", False, (8, 200)),
        ("busy", True, (2, 50)),
    ],
)
def test_a_process_that_forks_off_goes_on_with_what_is_in_memory(
    url: str, how: str, begins: bool, forks: tuple[int, int]
) -> None:
    run(_FORKING, url, sized(*forks), how, begins)


# Ending.

_ENDING = """
import asyncio, sys, threading, time
from datetime import datetime
import numpy as np
from angle_reco.domain.suggestions import Freshness
from tests.application.memories import shop
from tests.application.shop import HOUR

how, seconds = sys.argv[1], float(sys.argv[2])
one = shop()
assert one.reco.as_user("ann").homepage()
one.passes(25 * HOUR)
has_begun, lists = threading.Event(), one.stores["lists"].port

class Hanging:
    def __getattr__(self, name):
        return getattr(lists, name)

    def read(self, kind, owners):
        has_begun.set()
        time.sleep(seconds)
        return lists.read(kind, owners)

one.stores["lists"].port = Hanging()

class Computing:
    def __init__(self, port):
        self.port = port

    def __getattr__(self, name):
        return getattr(self.port, name)

    def open_cards(self, *args, **kwargs):
        until, ids = time.monotonic() + 0.3, np.array(["a", "b"] * 50_000, np.dtypes.StringDType())
        while time.monotonic() < until:
            has_begun.set()
            np.unique(ids)
        return self.port.open_cards(*args, **kwargs)

async def ask():
    asked = [asyncio.ensure_future(one.reco.aio.as_user(user).homepage()) for user in ("eve", "x")]
    asked.append(asyncio.ensure_future(one.reco.aio.as_user("ann").interests()))
    await asyncio.sleep(0.1)
    assert has_begun.is_set()
    return asked

match how:
    case "computing":
        one.stores["catalog"].port = Computing(one.stores["catalog"].port)
        one.stores["lists"].port = lists
        assert one.reco.as_user("ann").homepage().freshness is Freshness.STALE
        assert has_begun.wait(10)
    case "thread":
        assert one.reco.as_user("ann").homepage().freshness is Freshness.STALE
        assert has_begun.wait(10)
    case "started":
        one.reco.start()
        assert one.reco.as_user("ann").homepage().freshness is Freshness.STALE
        assert has_begun.wait(10)
    case "loop":
        asyncio.run(ask())
    case "closed loop":
        loop = asyncio.new_event_loop()
        asked = loop.run_until_complete(ask())
        for task in asked:
            # That nobody waits for it any more is the host's own affair.
            task._log_destroy_pending = False
        loop.close()
if seconds < 1:
    time.sleep(2 * seconds + 0.2)
print(datetime.now().timestamp(), flush=True)
"""


@pytest.mark.parametrize(
    ("how", "seconds"),
    [
        ("computing", 30),
        ("thread", 30),
        ("started", 30),
        ("loop", 30),
        ("loop", 0.3),
        ("closed loop", 30),
        ("closed loop", 0.3),
    ],
)
def test_an_interpreter_ends_at_once_while_something_is_recomputed(
    how: str, seconds: float
) -> None:
    # Where it computes it is luck whether it ends amid C++ code, which would end it at once.
    for _ in range(4 if how == "computing" else 1):
        said = run(_ENDING, how, seconds)
        after = datetime.now().timestamp() - float(said.stdout)  # noqa: DTZ005 — a difference

        print(f"{how}: ended after {after:.2f} s")
        assert after < 0.5 + GRACE


# Doing nothing.

_BARE = """
import psycopg, sqlalchemy as sa

engines = [sa.create_engine(url) for url in urls]
for engine in engines:
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))

def close():
    for engine in engines:
        engine.dispose()
"""

_IDLE = """
from angle_reco import Recommender

recos = [Recommender.connect(url, migrate=True) for url in urls]
for reco in recos:
    reco.start()
    assert reco.system.health().is_ok
time.sleep(3)
before, began = [reco.storage.statements.count for reco in recos], time.process_time()
time.sleep(seconds)
used = time.process_time() - began
said["statements"] = [
    reco.storage.statements.count - at_first for reco, at_first in zip(recos, before)
]
said["used"] = used
assert all(reco.system.health().jobs == "running" for reco in recos)

def close():
    for reco in recos:
        reco.close()
"""

_MEASURED = """
import json, os, sys, time
from pathlib import Path

urls, seconds, said = sys.argv[1:3], float(sys.argv[3]), {{}}
{script}
pages = int(Path("/proc/self/statm").read_text().split()[1])
print(json.dumps({{**said, "resident": pages * os.sysconf("SC_PAGE_SIZE")}}))
close()
"""


def test_a_process_that_nobody_asks_anything_costs_next_to_nothing(
    url: str, tmp_path: Path
) -> None:
    seconds = sized(3, 30)
    urls = (f"sqlite:///{tmp_path / 'market.db'}", url)
    with Recommender.connect(urls[0], migrate=True) as made:
        for job in BATCH_JOBS:
            made.system.run_job(job, scheduled=True)
    bare, idle = (
        json.loads(run(_MEASURED.format(script=script), *urls, seconds).stdout)
        for script in (_BARE, _IDLE)
    )

    more = (idle["resident"] - bare["resident"]) / 1e6
    used, statements = idle["used"] / seconds, [one / seconds for one in idle["statements"]]
    print(
        f"{more:.1f} MB more than {bare['resident'] / 1e6:.1f} MB, {used:.2%} of a processor, "
        f"statements a second: {statements}"
    )
    if IS_FULL:
        assert more < 60
        assert used < 0.01
        assert max(statements) <= 0.2
