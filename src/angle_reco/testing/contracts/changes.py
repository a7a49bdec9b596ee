"""The contract suites of `Changes`."""

from datetime import timedelta

import pytest

from angle_reco.domain.changes import MOST_ITEMS
from angle_reco.domain.errors import InvalidValueError
from angle_reco.ports.changes import Changes, Cursor
from angle_reco.testing.contracts.changes_base import (
    FORGET,
    MINUTE,
    TURNS,
    Reader,
    TimedChanges,
    check_readers,
    engaged,
    erased,
    every_change,
    items,
    jobs,
    run,
)
from angle_reco.testing.contracts.samples import HOUR, KINDS, NOW, TICK, EveryIdKind, Sample


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
            names = [f"{writer} {turn}" for turn in range(TURNS)]
            for name in names:
                timed.changes.publish([run(name), run(f"{name} too")])
            return [text for name in names for text in (name, f"{name} too")]

        check_readers(timed, write)
