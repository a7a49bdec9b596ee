"""Changes that this process published in host transactions whose outcome is not known yet."""

from collections.abc import Iterable, Sequence
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
    """The changes that await the end of their transactions, each by the object published.

    A change is forgotten after as many *seconds* as a pending event. There are at *most* so
    many: the oldest go first.
    """

    def __init__(self, *, seconds: float = 60.0, most: int = 10_000) -> None:
        self._seconds = seconds
        self._most = most
        # By the identities of the changes, which live as long as their entries.
        self._published: dict[int, Published] = {}
        self._of: dict[UserId, dict[int, Published]] = {}
        self._lock = Lock()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Forget the transactions, which are the parent's, with the lock that it may hold."""
        self._published, self._of, self._lock = {}, {}, Lock()

    def add(self, change: Change, key: int, connection: object = None) -> None:
        """Add a change that was published on a driver's *connection*."""
        if change.user_id is None:
            return
        published = Published(change, key, until=monotonic() + self._seconds)
        # That of sqlite3 has no weak references, and a strong one would keep open what the host
        # has dropped.
        with suppress(TypeError):
            published.connection = ref(connection)
        with self._lock:
            self._drop(id(change))
            while len(self._published) >= self._most:
                self._drop(next(iter(self._published)))
            self._published[id(change)] = published
            self._of.setdefault(change.user_id, {})[id(change)] = published

    def discard(self, published: Iterable[Published]) -> None:
        """Forget changes whose transactions have ended."""
        with self._lock:
            for one in published:
                if self._published.get(id(one.change)) is one:
                    self._drop(id(one.change))

    def may_have_ended(self, user_id: UserId) -> bool:
        """Return whether a transaction with a change of a user may have ended."""
        if user_id not in self._of:
            return False
        now = monotonic()
        with self._lock:
            some = list(self._of.get(user_id, {}).values())
        return any(published.may_have_ended(now) for published in some)

    def pending(self) -> Sequence[Published]:
        """Return the changes whose transactions matter still, in the order of their publication."""
        if not self._published:
            return ()
        now = monotonic()
        with self._lock:
            while self._published:
                first, oldest = next(iter(self._published.items()))
                if oldest.until > now:
                    break
                self._drop(first)
            return list(self._published.values())

    def _drop(self, key: int) -> None:
        dropped = self._published.pop(key, None)
        if dropped is None or dropped.change.user_id is None:
            return
        of = self._of[dropped.change.user_id]
        del of[key]
        if not of:
            del self._of[dropped.change.user_id]
