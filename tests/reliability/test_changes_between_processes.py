"""Holds what processes promise of what others do: seen in time, forgotten in time, and cheap."""

import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from threading import Lock
from time import monotonic, process_time, sleep
from typing import Any, NamedTuple

import attrs
import pytest
import sqlalchemy as sa

from angle_reco import ItemId, Recommender, Settings, Shelf
from angle_reco.adapters.sql.results import feed_pruning
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.application.serving import invalidation as invalidator
from angle_reco.domain.activity import Bid
from angle_reco.domain.ids import UserId
from angle_reco.domain.lists import ListKind
from angle_reco.domain.users import User
from angle_reco.ports import threads
from tests.adapters.databases import fill
from tests.application.memories import comes_true
from tests.application.shop import watch
from tests.postgres import new_database
from tests.reliability.test_erasure import rows_that_name
from tests.reliability.traffic import KNOWN, SEEN, fill_todays_market
from tests.reliability.trials import GRACE, IS_FULL, seeded, sized, while_waiting
from tests.reliability.workers import doing, now


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of a database with a market, on SQLite and on PostgreSQL."""
    with ExitStack() as opened:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path / 'market.db'}"
        else:
            server = request.getfixturevalue("postgres_url")
            url = opened.enter_context(new_database(server))
        make_market(url)
        yield url


def make_market(url: str) -> None:
    """Put a market into a database, its jobs done for now."""
    with Recommender.connect(url, migrate=True) as made:
        fill_todays_market(made)
        for job in BATCH_JOBS:
            made.system.run_job(job, scheduled=True)


def dialect_of(url: str) -> str:
    """Return what kind of database a URL is of."""
    return sa.make_url(url).get_backend_name()


def invalidator_of(reco: Recommender) -> Any:
    known = reco._use_cases.invalidator
    assert known is not None
    return known


@contextmanager
def reading_feed(url: str, settings: Settings | None = None) -> Iterator[Recommender]:
    """Open a recommender as a web process has it, that hears of changes."""
    with Recommender.connect(url, settings=settings, check=False) as reco:
        reco.start(scheduler=None)
        assert comes_true(lambda: invalidator_of(reco)._cursor is not None)
        yield reco


# Items that are withdrawn.

_READERS = 3
_SECONDS_BETWEEN_ANSWERS = 0.002
_MOST_SECONDS, _MOST_OF_HALF = (2.0, 1.0) if IS_FULL else (2.0 + GRACE, 1.0 + GRACE)
_SECONDS_WITHDRAWN = _MOST_SECONDS + 1
"""After so long an item comes back: what is seen of it in between, is seen too late."""


class Last(NamedTuple):
    """When the last answer that had an item was asked for, and when it was there."""

    asked_at: float = 0.0
    there_at: float = 0.0


@attrs.define
class Readers:
    """Who reads all the time, and which items were seen when last, in whatever answer."""

    reco: Recommender
    answers: int = 0
    last: dict[ItemId, Last] = attrs.field(factory=dict)
    _lock: Lock = attrs.field(factory=Lock)

    @property
    def surfaces(self) -> dict[str, Callable[[], Shelf]]:
        """Return what is read, by name."""
        anonymous = self.reco.anonymous
        return {
            "popular": anonymous.popular_items,
            **{user: self.reco.as_user(user).homepage for user in KNOWN[:4]},
            **{item: partial(anonymous.similar_items, item) for item in SEEN[:4]},
        }

    def look(self) -> None:
        """Read everything once."""
        for ask in self.surfaces.values():
            asked_at = monotonic()
            shelf = ask()
            there_at = monotonic()
            with self._lock:
                self.answers += 1
                for item in shelf.ids:
                    before = self.last.get(item, Last())
                    self.last[item] = Last(
                        max(before.asked_at, asked_at), max(before.there_at, there_at)
                    )
            sleep(_SECONDS_BETWEEN_ANSWERS)

    def known(self) -> tuple[int, dict[ItemId, Last]]:
        """Return how many answers there were, and what was seen in them."""
        with self._lock:
            return self.answers, dict(self.last)

    def shown(self) -> list[ItemId]:
        """Return what popular items and homepages show right now."""
        asks = [ask for name, ask in self.surfaces.items() if name not in SEEN]
        return list(dict.fromkeys(item for ask in asks for item in ask().ids))


def read_on(pipe: Connection, url: str) -> None:
    """Read all the time, and send what is shown or was seen, when asked."""
    with reading_feed(url) as reco:
        readers = Readers(reco)
        with while_waiting(_READERS, readers.look):
            while (asked := pipe.recv()) is not None:
                pipe.send(readers.shown() if asked == "shown" else readers.known())
    pipe.send(None)


@attrs.frozen
class Withdrawn:
    """An item that was withdrawn in one of two ways: committed at, gone here from then on."""

    item: ItemId
    way: str
    committed_at: float
    gone_from: float


_WAYS = {"after": "after the commit", "within": "before the commit"}
_PUBLISH = sa.text("UPDATE items SET publication_status = :status WHERE item_id = :item")


def withdraw(host: sa.Engine, reco: Recommender, item: ItemId, way: str, hold: float) -> Withdrawn:
    """Withdraw an item as a host does, and tell of it after the commit or before."""
    with host.connect() as connection:
        connection.execute(_PUBLISH, {"status": "draft", "item": item})
        if way == "within":
            assert reco.items_changed([item], connection=connection)
            sleep(hold)
        connection.commit()
    committed_at = monotonic()
    if way == "after":
        assert reco.items_changed([item])
    return Withdrawn(item, way, committed_at, monotonic())


def publish(host: sa.Engine, reco: Recommender, items: Sequence[ItemId]) -> None:
    """Publish items again, and tell of it."""
    with host.begin() as connection:
        for item in items:
            connection.execute(_PUBLISH, {"status": "published", "item": item})
    assert reco.items_changed(items)


def test_an_item_withdrawn_in_one_process_is_gone_there_at_once_and_elsewhere_in_two_seconds(
    url: str,
) -> None:
    chance, rounds = seeded(), 2 * sized(5, 1_000)
    waiting, took = deque[Withdrawn](), dict[str, list[float]](after=[], within=[])
    came_back = list[ItemId]()
    with ExitStack() as running:
        _, pipe = running.enter_context(doing(read_on, url))
        reco = running.enter_context(reading_feed(url))
        host = sa.create_engine(url)
        running.callback(host.dispose)
        here = Readers(reco)
        running.enter_context(while_waiting(_READERS, here.look))

        def asked(what: str | None) -> Any:
            pipe.send(what)
            assert pipe.poll(30), "the other process does not answer"
            return pipe.recv()

        def look_at_those_withdrawn_long_ago() -> None:
            due = list[Withdrawn]()
            while waiting and waiting[0].committed_at < monotonic() - _SECONDS_WITHDRAWN:
                due.append(waiting.popleft())
            if not due:
                return
            _, seen_here = here.known()
            _, seen_there = asked("seen")
            for one in due:
                late_here = seen_here.get(one.item, Last()).asked_at - one.gone_from
                assert late_here < 0, f"{one}: shown here {late_here:.3f} s later"
                took[one.way].append(
                    max(seen_there.get(one.item, Last()).there_at - one.committed_at, 0.0)
                )
                assert took[one.way][-1] < _MOST_SECONDS, one
            publish(host, reco, [one.item for one in due])
            came_back.extend(one.item for one in due)

        assert comes_true(lambda: here.answers > 50 and asked("seen")[0] > 50)
        # Others are shown while these are gone, and not afterwards.
        popular = here.surfaces["popular"]().ids
        for number in range(rounds):
            # At whatever moment of the other's looking, which else would be seen to be over.
            sleep(chance.uniform(0, 0.5))
            way = ("after", "within")[number % 2]
            gone = {one.item for one in waiting}
            item = chance.choice([one for one in asked("shown") if one not in gone])
            waiting.append(withdraw(host, reco, item, way, hold=chance.uniform(0, 0.2)))
            look_at_those_withdrawn_long_ago()
        while waiting:
            sleep(0.1)
            look_at_those_withdrawn_long_ago()
        began = monotonic()

        def are_back() -> bool:
            seen = (here.known()[1], asked("seen")[1])
            return all(
                one[item].asked_at > began for one in seen for item in came_back if item in popular
            )

        # What is most popular is read once a minute.
        while not are_back() and monotonic() < began + 75:
            sleep(0.05)
        assert are_back()
        answers = (here.answers, asked("seen")[0])
        assert asked(None) is None

    for way, seconds in took.items():
        print(
            f"{dialect_of(url)}, told {_WAYS[way]}: withdrawn={len(seconds)} "
            f"median={median(seconds):.3f} s most={max(seconds):.3f} s answers={answers}"
        )
        assert len(seconds) == rounds / 2
    assert median([*took["after"], *took["within"]]) < _MOST_OF_HALF


# Users who are erased.

_PATIENT = Settings(deadline=timedelta(seconds=20))
_A_BATCH = 50
_STAY = KNOWN[:5]
_GONE = [f"gone-{place:03}-gone" for place in range(sized(3, 500))]
"""Each id as it is in no other one, and in no text of ours."""

_SECONDS_OF_A_BATCH = sized(3, 30)
_SECONDS_UNTIL_FORGOTTEN = sized(6, 60)


def forget_soon() -> None:
    """Have what told of an erasure go after seconds, where a test shall not last minutes."""
    invalidator._SECONDS_TO_PRUNE, feed_pruning._ERASED_FOR = 3.0, timedelta(seconds=2)
    threads._SECONDS_BETWEEN_TICKS = 0.2  # as often as before, beside the shorter spans


@attrs.define
class Site:
    """A process of a site: its visitors read, bid and watch, and jobs run now and then."""

    reco: Recommender
    chance: random.Random
    did: Counter[str] = attrs.field(factory=Counter)
    _users: Sequence[str] = _STAY
    _publishing: Lock = attrs.field(factory=Lock)

    def read(self) -> None:
        """Read a homepage."""
        self.reco.as_user(self.chance.choice(self._users)).homepage()
        self.did["answers"] += 1
        sleep(0.005)

    def publish(self) -> None:
        """Publish a bid or a watch."""
        with self._publishing:
            user, item = self.chance.choice(self._users), self.chance.choice(SEEN)
            self.chance.choice([self.reco.bid_placed, self.reco.watched])(user, item)
            self.did["events"] += 1
        sleep(0.1)

    def work(self) -> None:
        """Run a job by hand."""
        sleep(self.chance.uniform(2, 5))
        jobs = ["refresh_user_interests", "generate_recommendations"]
        self.reco.system.run_job(self.chance.choice(jobs))
        self.did["jobs"] += 1

    def serve(self, users: Sequence[str]) -> None:
        """Have these as visitors; nothing more is told of others."""
        self._users = users
        # What is being read is read to its end, whoever is erased meanwhile.
        with self._publishing:
            pass

    def erase(self, users: Sequence[str]) -> None:
        """Erase users."""
        for user in users:
            self.reco.system.erase_user(user)

    def named(self, users: Sequence[str]) -> list[str]:
        """Return who of them is in memory, by what."""
        of, found = invalidator_of(self.reco), list[str]()
        for user in map(UserId, users):
            if of.lists.get((ListKind.PERSONAL.value, user)) is not None:
                found.append(f"list of {user}")
            if of.pending.hidden_from(user) or of.pending.bids_of(user):
                found.append(f"pending activity of {user}")
        return found


def be_a_site(pipe: Connection, url: str, seed: int, is_hurried: bool) -> None:
    """Be one, and do what comes through the pipe."""
    if is_hurried:
        forget_soon()
    with reading_feed(url, _PATIENT) as reco:
        site = Site(reco, random.Random(seed))
        with (
            while_waiting(2, site.read),
            while_waiting(1, site.publish),
            while_waiting(1, site.work),
        ):
            while (said := pipe.recv()) is not None:
                what, users = said
                pipe.send(getattr(site, what)(users))
    pipe.send(dict(site.did))


def test_a_minute_after_an_erasure_nothing_names_the_user_anywhere(postgres_url: str) -> None:
    chance, began = seeded(), monotonic()
    with ExitStack() as running:
        url = running.enter_context(new_database(postgres_url))
        with Recommender.connect(url, migrate=True) as made:
            fill_todays_market(made)
            assert made.storage is not None
            fill(
                made.storage,
                users=[User(user_id=UserId(user), last_sign_in_at=now()) for user in _GONE],
                bids=[
                    Bid(user_id=UserId(user), item_id=ItemId(item), placed_at=now())
                    for user in _GONE
                    for item in chance.sample(SEEN, 3)
                ],
                watches=[watch(user, ItemId(SEEN[0])) for user in _GONE],
            )
        pipes = [
            running.enter_context(
                doing(be_a_site, url, chance.randrange(10**9), bool(sized(1, 0)))
            )[1]
            for _ in range(4)
        ]

        def ask(pipe: Connection, what: str, users: Sequence[str]) -> Any:
            pipe.send((what, users))
            assert pipe.poll(120), "a process does not answer"
            return pipe.recv()

        def named(users: Sequence[str]) -> list[str]:
            return [found for pipe in pipes for found in ask(pipe, "named", users)]

        def have_all_known(users: Sequence[str], known: set[tuple[int, str]]) -> bool:
            # Each list is let go of whenever its user bids.
            for place, pipe in enumerate(pipes):
                known.update((place, one) for one in ask(pipe, "named", users) if "list" in one)
            return len(known) == len(pipes) * len(users)

        for first in range(0, len(_GONE), _A_BATCH):
            batch = _GONE[first : first + _A_BATCH]
            visitors = [*_STAY, *batch]
            for pipe in pipes:
                ask(pipe, "serve", visitors)
            assert comes_true(partial(have_all_known, batch, set()))
            assert rows_that_name(url, batch)
            for user in batch:
                visitors.remove(user)
                for pipe in pipes:
                    ask(pipe, "serve", visitors)
                ask(chance.choice(pipes), "erase", [user])
                # Not all at once: what tells of the first goes while others are new.
                sleep(chance.uniform(0.7, 1) * _SECONDS_OF_A_BATCH / len(batch))
            sleep(_SECONDS_UNTIL_FORGOTTEN)
            assert rows_that_name(url, batch) == []
            assert named(batch) == []
        # Nor later.
        assert rows_that_name(url, _GONE) == []
        assert named(_GONE) == []
        did = Counter[str]()
        for pipe in pipes:
            pipe.send(None)
            assert pipe.poll(120)
            did.update(pipe.recv())
    print(f"erased={len(_GONE)} meanwhile={dict(did)} in {monotonic() - began:.0f} s")
    assert min(did["answers"], did["events"], did["jobs"]) > 0


# Doing nothing.

_MOST_STATEMENTS, _MOST_OF_A_CORE = 1.2, 0.01


def rest(pipe: Connection, url: str, seconds: float) -> None:
    """Do nothing with jobs and following on, and send what that costs."""
    with Recommender.connect(url) as reco:
        reco.start()
        assert reco.storage is not None
        statements = reco.storage.statements
        sleep(3)  # what is due at first
        before, began = statements.count, process_time()
        sleep(seconds)
        cost = ((statements.count - before) / seconds, (process_time() - began) / seconds)
        assert reco.system.health().jobs == "running"
        assert invalidator_of(reco)._cursor is not None
        pipe.send(cost)


def test_a_process_that_nobody_asks_anything_follows_at_next_to_no_cost(
    postgres_url: str, tmp_path: Path
) -> None:
    seconds = sized(8, 60)
    with ExitStack() as running:
        urls = [
            f"sqlite:///{tmp_path / 'market.db'}",
            running.enter_context(new_database(postgres_url)),
        ]
        for url in urls:
            make_market(url)
        pipes = [running.enter_context(doing(rest, url, seconds))[1] for url in urls]
        costs = dict[str, tuple[float, float]]()
        for url, pipe in zip(urls, pipes, strict=True):
            assert pipe.poll(seconds + 60), "the process does not answer"
            costs[dialect_of(url)] = pipe.recv()
    for dialect, (statements, of_a_core) in costs.items():
        print(f"{dialect}: {statements:.2f} statements a second, {of_a_core:.2%} of a core")
    for statements, of_a_core in costs.values():
        # One more may fall into the time.
        assert statements <= _MOST_STATEMENTS + 1 / seconds
        assert of_a_core < _MOST_OF_A_CORE or not IS_FULL
