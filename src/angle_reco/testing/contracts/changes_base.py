"""What the contract suites of `Changes` share: samples, and readers of the feed."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import timedelta
from threading import Event
from typing import Any

import attrs

from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.ports.changes import Changes, Feed
from angle_reco.ports.erasure import Erasure
from angle_reco.testing.contracts.samples import Sample

MINUTE = timedelta(minutes=1)
WRITERS = 8
TURNS = 12

FORGET = Change(kind=ChangeKind.FORGET)


@attrs.frozen(kw_only=True)
class TimedChanges:
    """The change feed under test, with a clock that tests can move.

    *beside* is the same feed as seen by another process, *advance* moves the clock of both,
    and *erasure* erases users from their database. *quieten* waits until no other
    transaction is open that started before the call.
    """

    changes: Changes
    beside: Changes
    advance: Callable[[timedelta], None]
    erasure: Erasure
    quieten: Callable[[], None] = lambda: None


Begin = Callable[[], AbstractContextManager[Any]]
"""Opens a transaction of the host: committed at the end, rolled back after an error."""


class TakenBackError(Exception):
    """Raised in a host's transaction to roll it back."""


class Reader:
    """A reader that continues from its last cursor; *jobs* holds the jobs of all changes read."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._cursor = changes.now()
        self.jobs = list[str]()

    def read(self) -> list[str]:
        """Read the new changes; return the jobs of all changes read so far."""
        feed = self._changes.since(self._cursor)
        assert not feed.has_gap
        self._cursor = feed.cursor
        self.jobs += jobs(feed)
        return self.jobs


def check_readers(timed: TimedChanges, write: Callable[[int], list[str]]) -> None:
    """Assert that readers get each change that *write* returns once, in each writer's order.

    One reader reads while the writers write, another only afterwards.
    """
    steady, slow, stop = Reader(timed.beside), Reader(timed.changes), Event()

    def read() -> None:
        while not stop.is_set():
            steady.read()

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        reading = pool.submit(read)
        try:
            written = list(pool.map(write, range(WRITERS)))
        finally:
            stop.set()
        reading.result()
    for reader in (steady, slow):
        found = reader.read()
        assert Counter(found) == Counter(name for names in written for name in names)
        for writer, names in enumerate(written):
            assert [one for one in found if one.startswith(f"{writer} ")] == names


def run(job: str) -> Change:
    """Return the change that a run of *job* has ended."""
    return Change(kind=ChangeKind.RUN, job=job)


def jobs(feed: Feed) -> list[str]:
    """Return the job of each change, in the order of the feed."""
    return [change.job for change in feed.changes]


def items(ids: Any) -> Change:
    """Return the change that items have changed."""
    return Change(kind=ChangeKind.ITEMS, item_ids=tuple(map(ItemId, ids)))


def engaged(sample: Sample, user_id: UserId) -> Change:
    """Return the change that a user engaged with an item."""
    return Change(kind=ChangeKind.ENGAGED, user_id=user_id, item_ids=(sample.items[0],))


def withdrawn(sample: Sample, user_id: UserId) -> Change:
    """Return the change that a user's bids on an item were withdrawn."""
    return Change(kind=ChangeKind.WITHDRAWN, user_id=user_id, item_ids=(sample.items[0],))


def erased(user_id: UserId) -> Change:
    """Return the change that a user was erased."""
    return Change(kind=ChangeKind.ERASED, user_id=user_id)


def every_change(sample: Sample) -> Sequence[Change]:
    """Return changes of every kind, with every id of the sample and a job of odd characters."""
    return [
        run("refresh"),
        items(sample.items),
        *(items([one]) for one in sample.items),
        *(engaged(sample, one) for one in sample.users),
        *(withdrawn(sample, one) for one in sample.users),
        *(erased(one) for one in sample.users),
        FORGET,
        run("it's; DROP TABLE %s %(job)s :job ? {} 片付け 🧹\n\\"),
    ]
