"""Changes that this process published, and has not read in the change feed yet."""

from threading import Lock
from typing import NamedTuple

from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.ports.clock import Clock
from angle_reco.ports.forks import reset_in_child

_MOST_EQUAL = 100
"""Of one kind, user and item; earlier ones are dropped."""

_Key = tuple[ChangeKind, UserId, ItemId]


class _Unread(NamedTuple):
    """Equal changes, how many of them the feed has shown, and when they expire."""

    changes: tuple[Change, ...]
    shown: int
    until: float


class OwnChanges:
    """Changes of users' activity that this process published, until the feed shows them.

    This process applied them when it took the events. Applied again when the feed shows them,
    they would undo what came after. The feed does not say which process published a change, so
    of equal ones as many count as own as this process published. Changes expire after
    *seconds*; there are at *most* so many different ones.
    """

    def __init__(self, clock: Clock, *, seconds: float, most: int) -> None:
        self._clock = clock
        self._seconds = seconds
        self._most = most
        # The one that was published last is the last.
        self._unread: dict[_Key, _Unread] = {}
        self._lock = Lock()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Make a new lock: another thread of the parent may hold the old one."""
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._unread)

    def note(self, change: Change) -> None:
        """Note a change of a user's activity, before it is published."""
        until = self._clock.monotonic() + self._seconds
        with self._lock:
            for key in _keys(change):
                before, shown, _ = self._unread.pop(key, _NOTHING)
                changes = (*before, change)
                dropped = max(len(changes) - _MOST_EQUAL, 0)
                self._unread[key] = _Unread(changes[dropped:], max(shown - dropped, 0), until)
            while len(self._unread) > self._most:
                del self._unread[next(iter(self._unread))]

    def shown(self, kind: ChangeKind, user_id: UserId, item_id: ItemId) -> bool:
        """Note that the feed has shown a change; return whether it is an own one."""
        key = kind, user_id, item_id
        with self._lock:
            unread = self._unread.get(key)
            if unread is None:
                return False
            self._replace(key, unread._replace(shown=unread.shown + 1))
        return True

    def has_unread(self, kind: ChangeKind, user_id: UserId, item_id: ItemId) -> bool:
        """Return whether the feed has still to show an own change."""
        return (kind, user_id, item_id) in self._unread

    def drop(self, change: Change) -> None:
        """Drop this very object, which was not published, or was rolled back."""
        with self._lock:
            for key in _keys(change):
                unread = self._unread.get(key)
                if unread is not None:
                    left = tuple(one for one in unread.changes if one is not change)
                    self._replace(key, unread._replace(changes=left))

    def forget(self, user_id: UserId) -> None:
        """Drop the changes of a user."""
        with self._lock:
            self._unread = {key: one for key, one in self._unread.items() if key[1] != user_id}

    def clear(self) -> None:
        """Drop all changes: the feed will not show them."""
        with self._lock:
            self._unread = {}

    def drop_expired(self) -> None:
        """Drop the changes that have expired: they were never committed."""
        now = self._clock.monotonic()
        with self._lock:
            while self._unread and self._unread[key := next(iter(self._unread))].until <= now:
                del self._unread[key]

    def _replace(self, key: _Key, unread: _Unread) -> None:
        if unread.shown >= len(unread.changes):
            del self._unread[key]
        else:
            self._unread[key] = unread


_NOTHING = _Unread((), 0, 0.0)


def _keys(change: Change) -> list[_Key]:
    user_id = change.user_id
    return [] if user_id is None else [(change.kind, user_id, one) for one in change.item_ids]
