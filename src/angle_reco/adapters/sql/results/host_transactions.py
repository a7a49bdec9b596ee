"""Changes that this process published in host transactions whose outcome is not known yet."""

from collections.abc import Sequence
from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import Any
from weakref import ref

import attrs

from angle_reco.adapters.sql.core.host_connection import ACTIVE, IN_TRANSACTION, transaction_status
from angle_reco.domain.changes import Change
from angle_reco.domain.ids import UserId
from angle_reco.ports.forks import reset_in_child

_SECONDS_TO_ASK_AGAIN = 1.0


@attrs.define(eq=False)
class Published:
    """A change published in a host's transaction; *key* finds its row again.

    On PostgreSQL the key is the number of the transaction, on SQLite that of the row.
    The change expires at *until*, by the monotonic clock.
    """

    change: Change
    key: int
    until: float
    connection: ref[Any] | None = None
    asked_at: float = float("-inf")

    def may_have_ended(self, now: float) -> bool:
        """Return whether the transaction may have ended, as far as its connection shows.

        A later transaction on the same connection hides the end. After True the answer for a
        known connection is False for a second, in case the database contradicts it.
        """
        if self.connection is None:
            return True
        connection = self.connection()
        is_within = connection is not None and transaction_status(connection) in (
            ACTIVE,
            IN_TRANSACTION,
        )
        if is_within or now < self.asked_at + _SECONDS_TO_ASK_AGAIN:
            return False
        self.asked_at = now
        return True


class HostTransactions:
    """The changes whose transactions may be open; of equal changes only the newest.

    A change expires after *seconds*, as a pending event does. *most* limits their number:
    the oldest are dropped first.
    """

    def __init__(self, *, seconds: float = 60.0, most: int = 10_000) -> None:
        self._seconds = seconds
        self._most = most
        self._published: dict[Change, Published] = {}
        self._of: dict[UserId, set[Change]] = {}
        self._lock = Lock()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Drop the transactions of the parent process, and the lock, which it may hold."""
        self._published, self._of, self._lock = {}, {}, Lock()

    def add(self, change: Change, key: int, connection: object = None) -> None:
        """Add a change published on a driver's *connection*; one without a user is ignored."""
        if change.user_id is None:
            return
        published = Published(change, key, until=monotonic() + self._seconds)
        # sqlite3 connections support no weak references, and a strong one would keep a connection
        # open that the host has dropped.
        with suppress(TypeError):
            published.connection = ref(connection)
        with self._lock:
            self._drop(change)
            while len(self._published) >= self._most:
                self._drop(next(iter(self._published)))
            self._published[change] = published
            self._of.setdefault(change.user_id, set()).add(change)

    def discard(self, changes: Sequence[Change]) -> None:
        """Drop changes whose transactions were committed or rolled back."""
        if self._published:
            with self._lock:
                for change in changes:
                    self._drop(change)

    def may_have_ended(self, user_id: UserId) -> bool:
        """Return whether a transaction with a change of this user may have ended."""
        if user_id not in self._of:
            return False
        now = monotonic()
        with self._lock:
            some = [self._published[change] for change in self._of.get(user_id, ())]
        return any(published.may_have_ended(now) for published in some)

    def pending(self) -> Sequence[Published]:
        """Return the changes that have not expired, the oldest first."""
        if not self._published:
            return ()
        now = monotonic()
        with self._lock:
            while self._published:
                oldest = next(iter(self._published.values()))
                if oldest.until > now:
                    break
                self._drop(oldest.change)
            return list(self._published.values())

    def _drop(self, change: Change) -> None:
        if self._published.pop(change, None) is None or change.user_id is None:
            return
        of = self._of[change.user_id]
        of.discard(change)
        if not of:
            del self._of[change.user_id]
