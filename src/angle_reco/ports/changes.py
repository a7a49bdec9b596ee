"""The feed in which processes tell each other of changes."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import attrs

from angle_reco.domain.changes import Change
from angle_reco.domain.ids import UserId


@attrs.frozen(kw_only=True)
class Cursor:
    """How far a reader of the feed has come; only the feed that gave it knows what it means."""

    text: str


@attrs.frozen(kw_only=True)
class Feed:
    """What is new in the feed, in the order in which it came, and where to read on.

    With a *gap* more has happened than can be told: then anything may be different.
    """

    changes: Sequence[Change]
    cursor: Cursor
    has_gap: bool = False


class Changes(Protocol):
    """Changes by all processes, told to each reader at least once.

    A change is told after it was committed, however long its transaction took, and also
    where later ones were told before it. Who reads often is told of nothing twice, as long
    as it goes on from the cursor it was given last.

    Raises:
        StorageUnavailableError: (every method) The feed did not answer.
    """

    def publish(self, changes: Sequence[Change], *, connection: object | None = None) -> None:
        """Tell of changes: all or none; one statement, whatever they are.

        In the transaction of a host's *connection*, if that is given, which is neither
        committed nor closed: they are told when it is committed, and not at all when it is
        rolled back.

        Raises:
            InvalidValueError: The connection is none of this feed's database.
        """
        ...

    def now(self) -> Cursor:
        """Return the cursor of a reader who knows of everything that has happened so far."""
        ...

    def since(self, cursor: Cursor) -> Feed:
        """Return what is new to a reader; one statement.

        There is a gap when something may have been forgotten that the reader was not told,
        when there is more than fits into memory, and when the cursor is none of this feed's.
        """
        ...

    def may_have_ended(self, user_id: UserId) -> bool:
        """Return whether a host's transaction may have ended in which this process published.

        Only changes of that user count, and only what its connection shows without a trip:
        `rolled_back` knows for sure.
        """
        ...

    def rolled_back(self) -> Sequence[Change]:
        """Return what this process published in host transactions that were rolled back since.

        Each once, within a minute of its publication, of several equal ones the last; also
        what was rolled back to a savepoint alone. Publications of several changes at once,
        and those that name no user, are not among them. One statement, none where nothing is
        pending.
        """
        ...

    def prune(self, *, older_than: timedelta) -> int:
        """Forget what was published so long ago; return how many changes.

        Of erased users nothing is kept for longer than half a minute.
        """
        ...
