"""The change feed, by which processes notify each other of changes."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import attrs

from angle_reco.domain.changes import Change
from angle_reco.domain.ids import UserId


@attrs.frozen(kw_only=True)
class Cursor:
    """A reader's position in the feed; only the feed that issued it can interpret it."""

    text: str


@attrs.frozen(kw_only=True)
class Feed:
    """The new changes, in the order of the feed, and the cursor to continue from.

    With *has_gap* some changes cannot be delivered: anything may have changed.
    """

    changes: Sequence[Change]
    cursor: Cursor
    has_gap: bool = False


class Changes(Protocol):
    """The changes of all processes, delivered to each reader at least once.

    A change is delivered after its commit, however long its transaction took, and even if
    later changes were delivered before it. A reader that reads often, always from the last
    cursor it was given, gets no change twice.

    Raises:
        StorageUnavailableError: (every method) The feed did not answer.
    """

    def publish(self, changes: Sequence[Change], *, connection: object | None = None) -> None:
        """Publish changes, all or none, in one statement.

        With a host's *connection* they are part of its transaction, which is neither
        committed nor closed here: they are delivered once it commits, and never if it rolls
        back.

        Raises:
            InvalidValueError: The connection is not one to this feed's database.
        """
        ...

    def now(self) -> Cursor:
        """Return the cursor of a reader that has read every change so far."""
        ...

    def since(self, cursor: Cursor) -> Feed:
        """Return the changes after *cursor*, in one statement.

        There is a gap when a change after the cursor may have been deleted, when there are
        more changes than fit into memory, and when the cursor was not issued by this feed.
        """
        ...

    def may_have_ended(self, user_id: UserId) -> bool:
        """Return whether a host transaction in which this process published may have ended.

        Only changes of *user_id* count, and only the state that a connection shows without a
        round trip: `rolled_back` is certain.
        """
        ...

    def rolled_back(self) -> Sequence[Change]:
        """Return what this process published in host transactions that were rolled back since.

        These are the very objects that were published, each once and within a minute of its
        publication; also those that were rolled back to a savepoint alone. Of equal changes in
        one transaction the last ones count as those that stayed. Publications of several
        changes at once, and those that name no user, are not among them. One statement, none
        where nothing is pending.
        """
        ...

    def prune(self, *, older_than: timedelta) -> int:
        """Delete the changes published longer ago than *older_than*; return how many.

        Changes of erased users are deleted after half a minute.
        """
        ...
