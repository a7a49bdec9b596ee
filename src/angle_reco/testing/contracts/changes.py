"""The contract suites of `Changes`."""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from threading import Event
from typing import Any

import attrs
import pytest
import sqlalchemy as sa

from angle_reco.domain.changes import MOST_ITEMS, Change, ChangeKind
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.ports.changes import Changes, Cursor, Feed
from angle_reco.ports.erasure import Erasure
from angle_reco.testing.contracts.samples import HOUR, KINDS, NOW, TICK, EveryIdKind, Sample

MINUTE = timedelta(minutes=1)
WRITERS = 8
_TURNS = 12

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


class ChangesContract(EveryIdKind):
    """The promises of `Changes`; a subclass overrides the fixture *timed* with an empty feed."""

    @pytest.fixture
    def timed(self, sample: Sample) -> TimedChanges:
        """Return the port under test, with ids of `sample.ids`."""
        pytest.fail("override this fixture")

    @pytest.fixture
    def changes(self, timed: TimedChanges) -> Changes:
        """Return the port under test."""
        return timed.changes

    def test_published_changes_are_read_unchanged_and_in_order(
        self, timed: TimedChanges, sample: Sample
    ) -> None:
        changes = every_change(sample)
        cursor = timed.beside.now()

        timed.changes.publish(changes[:5])
        timed.changes.publish(changes[5:])
        feed = timed.beside.since(cursor)

        assert list(feed.changes) == changes
        assert [list(map(type, (change.user_id, *change.item_ids))) for change in feed.changes] == [
            list(map(type, (change.user_id, *change.item_ids))) for change in changes
        ]
        assert feed.has_gap is False

    def test_without_new_changes_there_is_no_gap(self, changes: Changes) -> None:
        cursor = changes.now()

        feeds = [changes.since(cursor), changes.since(changes.since(cursor).cursor)]

        assert [(list(feed.changes), feed.has_gap) for feed in feeds] == [([], False)] * 2

    def test_publishing_nothing_adds_no_change(self, changes: Changes) -> None:
        cursor = changes.now()

        changes.publish([])

        assert list(changes.since(cursor).changes) == []

    def test_changes_before_the_cursor_are_not_read(self, changes: Changes) -> None:
        changes.publish([run("before"), run("before as well")])
        cursor = changes.now()
        changes.publish([run("after")])

        assert jobs(changes.since(cursor)) == ["after"]

    def test_each_reader_reads_every_change_once(self, timed: TimedChanges) -> None:
        readers = [Reader(timed.changes), Reader(timed.beside)]
        for number in range(6):
            timed.changes.publish([run(f"{number}")])
            readers[number % 2].read()

        found = [reader.read() for reader in readers]

        assert found == [[f"{number}" for number in range(6)]] * 2

    def test_reading_again_from_a_cursor_repeats_its_changes(self, changes: Changes) -> None:
        cursor = changes.now()
        changes.publish([run("first")])
        changes.since(cursor)
        changes.publish([run("second")])

        assert jobs(changes.since(cursor)) == ["first", "second"]

    def test_thousands_of_changes_published_at_once_keep_their_order(
        self, changes: Changes
    ) -> None:
        cursor, names = changes.now(), [f"{number}" for number in range(20_000)]

        changes.publish([run(name) for name in names])

        assert jobs(changes.since(cursor)) == names

    def test_one_change_can_name_the_maximum_number_of_items(
        self, changes: Changes, sample: Sample
    ) -> None:
        cursor = changes.now()
        one = items(sample.items[place % len(sample.items)] for place in range(MOST_ITEMS))

        changes.publish([one])

        assert list(changes.since(cursor).changes) == [one]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "nonsense",
            "sqlite",
            "postgresql 1 2 3",
            "postgresql 1 2 3:4:x",
            "sqlite 5 0 0:0:",
            "postgresql 0 0 99999999999:99999999999:",
            "postgresql 0 0 " + ":".join(["9" * 40] * 3),
            "memory 7",
            "0123456789abcdef 0",
            "0123456789abcdef ٣",
        ],
    )
    def test_a_cursor_of_another_feed_gives_a_gap(self, changes: Changes, text: str) -> None:
        changes.publish([run("before")])

        feed = changes.since(Cursor(text=text))

        assert (list(feed.changes), feed.has_gap) == ([], True)
        changes.publish([run("after")])
        again = changes.since(feed.cursor)
        assert (jobs(again), again.has_gap) == (["after"], False)

    def test_pruning_removes_and_counts_old_changes(self, timed: TimedChanges) -> None:
        timed.changes.publish([run("old"), run("old, too")])
        timed.advance(HOUR)
        timed.changes.publish([run("young")])
        timed.advance(MINUTE - TICK)

        counts = [timed.beside.prune(older_than=HOUR + MINUTE) for _ in range(2)]
        timed.advance(TICK)
        counts += [timed.beside.prune(older_than=HOUR + MINUTE) for _ in range(3)]

        assert counts == [0, 0, 2, 0, 0]
        assert timed.changes.prune(older_than=timedelta()) == 1

    def test_a_reader_that_missed_pruned_changes_gets_a_gap(self, timed: TimedChanges) -> None:
        knows_nothing = timed.changes.now()
        timed.changes.publish([run("old")])
        timed.quieten()
        knows_old = timed.changes.since(knows_nothing).cursor
        timed.advance(HOUR)
        timed.changes.publish([run("young")])

        for _ in range(3):
            timed.changes.prune(older_than=HOUR)
            gap, rest = (timed.changes.since(one) for one in (knows_nothing, knows_old))

            assert (jobs(gap), gap.has_gap) == ([], True)
            assert (jobs(rest), rest.has_gap) == (["young"], False)
            after = timed.changes.since(gap.cursor)
            assert (jobs(after), after.has_gap) == ([], False)

    def test_pruning_everything_loses_no_later_change(self, timed: TimedChanges) -> None:
        nothing = timed.changes.now()
        timed.changes.publish([run("old"), run("old, too")])
        timed.quieten()
        knows_all = timed.changes.since(nothing).cursor
        for _ in range(3):
            timed.changes.prune(older_than=timedelta())
        comes_later = timed.changes.now()

        assert timed.changes.since(knows_all).has_gap is False
        timed.changes.publish([run("new")])
        for cursor in (knows_all, comes_later, timed.changes.since(nothing).cursor):
            feed = timed.changes.since(cursor)
            expected = [] if cursor not in (knows_all, comes_later) else ["new"]
            assert (jobs(feed), feed.has_gap) == (expected, False)
        assert timed.changes.since(nothing).has_gap is True

    def test_changes_of_erased_users_are_pruned_after_half_a_minute(
        self, timed: TimedChanges, sample: Sample
    ) -> None:
        user, other = sample.users[0], sample.users[1]
        early = timed.changes.now()
        timed.changes.publish([engaged(sample, user), engaged(sample, other), erased(user)])
        # As by a transaction that started before the erasure and committed after it.
        timed.changes.publish([engaged(sample, user)])
        timed.quieten()
        late = timed.changes.since(early).cursor
        timed.advance(MINUTE / 2 - TICK)

        assert timed.changes.prune(older_than=HOUR) == 0
        assert len(timed.changes.since(early).changes) == 4
        timed.advance(TICK)
        assert timed.changes.prune(older_than=HOUR) == 3

        timed.changes.publish([run("new")])
        feeds = [timed.changes.since(one) for one in (early, late)]
        assert [(jobs(feed), feed.has_gap) for feed in feeds] == [([], True), (["new"], False)]
        assert timed.changes.prune(older_than=timedelta()) == 2

    def test_erasing_a_user_removes_their_changes(
        self, timed: TimedChanges, sample: Sample
    ) -> None:
        user, other = sample.users[0], sample.users[1]
        early = timed.changes.now()
        timed.changes.publish([engaged(sample, user), erased(user)])
        timed.quieten()
        late = timed.changes.since(early).cursor
        timed.changes.publish([engaged(sample, other), run("stays")])

        timed.erasure.erase(user, at=NOW)

        feeds = [timed.beside.since(one) for one in (early, late)]
        assert (list(feeds[0].changes), feeds[0].has_gap) == ([], True)
        assert list(feeds[1].changes) == [engaged(sample, other), run("stays"), erased(user)]
        assert feeds[1].has_gap is False

    @pytest.mark.parametrize("connection", [object(), "postgresql:///shop", 0, {}])
    def test_a_value_that_is_no_connection_is_refused(
        self, changes: Changes, connection: object
    ) -> None:
        cursor = changes.now()

        with pytest.raises(InvalidValueError, match="connection") as caught:
            changes.publish([FORGET], connection=connection)
        with pytest.raises(InvalidValueError, match="connection"):
            changes.publish([], connection=connection)

        # The error names the type alone: the value may be a URL with a password.
        assert caught.value.value == type(connection).__name__
        assert list(changes.since(cursor).changes) == []


class ChangesAtOnceContract:
    """The promises of `Changes` to concurrent readers and writers, with one choice of id kinds."""

    @pytest.fixture
    def sample(self) -> Sample:
        """Return the users and items that changes name."""
        return Sample(KINDS[-1])

    @pytest.fixture
    def timed(self, sample: Sample) -> TimedChanges:
        """Return the port under test, with ids of `sample.ids`."""
        pytest.fail("override this fixture")

    @pytest.fixture
    def changes(self, timed: TimedChanges) -> Changes:
        """Return the port under test."""
        return timed.changes

    def test_readers_read_every_change_of_concurrent_writers_once(
        self, timed: TimedChanges
    ) -> None:
        def write(writer: int) -> list[str]:
            names = [f"{writer} {turn}" for turn in range(_TURNS)]
            for name in names:
                timed.changes.publish([run(name), run(f"{name} too")])
            return [text for name in names for text in (name, f"{name} too")]

        check_readers(timed, write)


class ChangesInTransactionsContract(ChangesAtOnceContract):
    """The promises of `Changes` about host transactions, which the fixture *begin* opens.

    A subclass overrides the fixtures *timed*, *begin* and *elsewhere*.
    """

    @pytest.fixture
    def begin(self, timed: TimedChanges) -> Begin:
        """Return a function that opens a transaction on the feed's database."""
        pytest.fail("override this fixture")

    @pytest.fixture
    def elsewhere(self) -> object:
        """Return an open connection of the same kind to another database."""
        pytest.fail("override this fixture")

    def test_a_change_is_published_when_the_host_commits(
        self, changes: Changes, begin: Begin
    ) -> None:
        reader = Reader(changes)

        with begin() as connection:
            changes.publish([run("first")], connection=connection)
            changes.publish([run("second"), run("third")], connection=connection)
            before = list(reader.read())

        assert before == []
        assert reader.read() == ["first", "second", "third"]

    def test_a_change_is_not_published_when_the_host_rolls_back(
        self, changes: Changes, begin: Begin
    ) -> None:
        reader = Reader(changes)

        with suppress(TakenBackError), begin() as connection:
            changes.publish([run("never")], connection=connection)
            raise TakenBackError
        changes.publish([run("later")])

        assert reader.read() == ["later"]

    def test_rolled_back_changes_are_returned_once(
        self, changes: Changes, begin: Begin, sample: Sample
    ) -> None:
        one, other = (engaged(sample, user) for user in sample.users[:2])

        with suppress(TakenBackError), begin() as connection:
            changes.publish([one], connection=connection)
            changes.publish([withdrawn(sample, sample.users[1])], connection=connection)
            assert list(changes.rolled_back()) == []
            raise TakenBackError
        # On SQLite this change reuses the number of the one that was rolled back.
        changes.publish([other])

        assert changes.may_have_ended(sample.users[0])
        assert list(changes.rolled_back()) == [one, withdrawn(sample, sample.users[1])]
        assert list(changes.rolled_back()) == []
        assert not changes.may_have_ended(sample.users[0])

    @pytest.mark.parametrize("is_from_feed", [False, True])
    def test_committed_changes_are_not_returned_as_rolled_back(
        self, changes: Changes, begin: Begin, sample: Sample, is_from_feed: bool
    ) -> None:
        cursor = changes.now()
        with begin() as connection:
            for user in sample.users[:2]:
                changes.publish([engaged(sample, user)], connection=connection)

        if is_from_feed:
            changes.since(cursor)

        assert list(changes.rolled_back()) == []
        assert not any(changes.may_have_ended(user) for user in sample.users)

    def test_a_rollback_to_a_savepoint_alone_is_found(
        self, changes: Changes, begin: Begin, sample: Sample
    ) -> None:
        stays, goes = (engaged(sample, user) for user in sample.users[:2])

        with begin() as connection:
            changes.publish([stays], connection=connection)
            _say(connection, "SAVEPOINT of_the_host")
            changes.publish([goes], connection=connection)
            _say(connection, "ROLLBACK TO SAVEPOINT of_the_host")

        assert list(changes.rolled_back()) == [goes]

    def test_changes_of_an_erased_user_are_not_returned_as_rolled_back(
        self, timed: TimedChanges, begin: Begin, sample: Sample
    ) -> None:
        with begin() as connection:
            timed.changes.publish([engaged(sample, sample.users[0])], connection=connection)
        timed.erasure.erase(sample.users[0], at=NOW)

        assert list(timed.changes.rolled_back()) == []

    def test_changes_outside_of_host_transactions_cannot_be_rolled_back(
        self, changes: Changes, sample: Sample
    ) -> None:
        changes.publish([engaged(sample, sample.users[0])])

        assert not changes.may_have_ended(sample.users[0])
        assert list(changes.rolled_back()) == []

    def test_a_connection_to_another_database_is_refused(
        self, changes: Changes, elsewhere: object
    ) -> None:
        with pytest.raises(InvalidValueError, match="connection is 'one of another database'"):
            changes.publish([FORGET], connection=elsewhere)

    def test_a_closed_connection_is_refused(self, changes: Changes, begin: Begin) -> None:
        with begin() as connection:
            pass
        connection.close()
        if hasattr(connection, "flush"):
            # A session reopens its connection on use.
            changes.publish([FORGET], connection=connection)
            connection.close()
            return

        with pytest.raises(InvalidValueError, match="connection") as caught:
            changes.publish([FORGET], connection=connection)

        assert caught.value.value == type(connection).__name__

    def test_readers_read_only_committed_changes_of_concurrent_writers_once(
        self, timed: TimedChanges, begin: Begin
    ) -> None:
        def write(writer: int) -> list[str]:
            dice, committed = random.Random(writer), list[str]()
            for turn in range(_TURNS):
                names = [f"{writer} {turn} {part}" for part in range(dice.randint(1, 3))]
                with suppress(TakenBackError), begin() as connection:
                    for name in names:
                        timed.changes.publish([run(name)], connection=connection)
                        time.sleep(dice.choice((0, 0, 0.002, 0.01)))
                    if dice.random() < 0.25:
                        raise TakenBackError
                    committed += names
            return committed

        check_readers(timed, write)


def _say(connection: Any, text: str) -> None:
    """Execute a raw SQL statement on a host's connection or session."""
    if hasattr(connection, "exec_driver_sql"):
        connection.exec_driver_sql(text)
    else:
        is_session = hasattr(connection, "flush")
        connection.execute(sa.text(text) if is_session else text)


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
