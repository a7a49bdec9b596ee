"""A change feed in memory, for the threads of one process."""

import secrets
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from threading import Lock

import attrs

from angle_reco.adapters.memory.marketplace import refuse_connection
from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.ids import UserId
from angle_reco.ports.changes import Cursor, Feed
from angle_reco.ports.clock import Clock

_MOST = 100_000
"""The largest number of ids in the feed; a change without items counts as one."""

_ERASED_FOR = timedelta(seconds=30)


@attrs.define
class _Published:
    number: int
    published_at: datetime
    change: Change | None  # None once it is deleted while later ones are stored


class MemoryChanges:
    """`Changes` in a queue of at most *most* ids, with moments of *clock*."""

    def __init__(self, clock: Clock, *, most: int = _MOST) -> None:
        self._clock = clock
        self._most = most
        self._name = secrets.token_hex(8)
        self._lock = Lock()
        self._published = deque[_Published]()
        self._size = self._newest = self._forgotten = 0

    def publish(self, changes: Sequence[Change], *, connection: object | None = None) -> None:
        refuse_connection(connection)
        with self._lock:
            for change in changes:
                self._newest += 1
                self._published.append(_Published(self._newest, self._clock.now(), change))
                self._size += _size(change)
            while self._size > self._most:
                self._forget_oldest()

    def now(self) -> Cursor:
        with self._lock:
            return self._cursor()

    def since(self, cursor: Cursor) -> Feed:
        name, _, number = cursor.text.partition(" ")
        with self._lock:
            here = self._cursor()
            if name != self._name or not number.isdecimal() or int(number) > self._newest:
                return Feed(changes=(), cursor=here, has_gap=True)
            known = int(number)
            first = self._newest - len(self._published)
            new = [
                self._published[place].change
                for place in range(max(known - first, 0), len(self._published))
            ]
            if known < self._forgotten or None in new:
                return Feed(changes=(), cursor=here, has_gap=True)
            return Feed(changes=tuple(one for one in new if one is not None), cursor=here)

    def may_have_ended(self, user_id: UserId) -> bool:
        return False

    def rolled_back(self) -> Sequence[Change]:
        return ()

    def prune(self, *, older_than: timedelta) -> int:
        with self._lock:
            now = self._clock.now()
            # Covers changes of these users that were published later.
            erased = {
                one.change.user_id
                for one in self._published
                if one.change is not None
                and one.change.kind is ChangeKind.ERASED
                and one.published_at <= now - _ERASED_FOR
            }
            gone = [
                one
                for one in self._published
                if one.change is not None
                and (one.published_at <= now - older_than or one.change.user_id in erased)
            ]
            for one in gone:
                self._empty(one)
            while self._published and self._published[0].change is None:
                self._forget_oldest()
        return len(gone)

    def forget_user(self, user_id: UserId) -> None:
        """Delete the changes of a user; a reader that has not read them yet finds a gap."""
        with self._lock:
            for one in self._published:
                if one.change is not None and one.change.user_id == user_id:
                    self._empty(one)

    def _cursor(self) -> Cursor:
        return Cursor(text=f"{self._name} {self._newest}")

    def _empty(self, published: _Published) -> None:
        if published.change is not None:
            self._size -= _size(published.change)
            published.change = None

    def _forget_oldest(self) -> None:
        oldest = self._published.popleft()
        self._empty(oldest)
        self._forgotten = oldest.number


def _size(change: Change) -> int:
    return max(len(change.item_ids), 1)
