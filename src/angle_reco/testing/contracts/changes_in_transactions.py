"""The contract suite of `Changes` in transactions of the host."""

import random
import time
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa

from angle_reco.domain.errors import InvalidValueError
from angle_reco.ports.changes import Changes
from angle_reco.testing.contracts.changes import ChangesAtOnceContract
from angle_reco.testing.contracts.changes_base import (
    FORGET,
    TURNS,
    Begin,
    Reader,
    TakenBackError,
    TimedChanges,
    check_readers,
    engaged,
    run,
    withdrawn,
)
from angle_reco.testing.contracts.samples import NOW, Sample


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

    def test_changes_published_together_are_not_returned_as_rolled_back(
        self, changes: Changes, begin: Begin, sample: Sample
    ) -> None:
        both = [engaged(sample, user) for user in sample.users[:2]]

        with begin() as connection:
            changes.publish(both, connection=connection)
        with suppress(TakenBackError), begin() as connection:
            changes.publish(both, connection=connection)
            raise TakenBackError

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
            for turn in range(TURNS):
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
