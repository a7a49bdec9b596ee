"""Pending activity: bids and watches of users that memory and the database may not show yet."""

import logging
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from threading import Lock
from typing import NamedTuple

import attrs

from angle_reco.application.serving.own_changes import OwnChanges, PendingOffers
from angle_reco.domain.activity import Bid
from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.errors import StorageError
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.lists import ListKind
from angle_reco.ports.cache import Cache, key_of
from angle_reco.ports.changes import Changes
from angle_reco.ports.clock import Clock
from angle_reco.ports.deadlines import may_wait
from angle_reco.ports.forks import reset_in_child

SECONDS = 60.0
"""How long a pending event counts although the activity does not show it yet."""

_MOST = 50_000
_MOST_OF_ONE = 1_000

_NOTHING: frozenset[ItemId] = frozenset()


@attrs.frozen(kw_only=True, eq=False)
class PendingEvent:
    """A bid on an item, a watch, or the end of a watch, by one user.

    *at* is the time of a bid, None for other events. Every event *hides* the item from the
    user's homepage and suggestions after a bid, except the end of a watch. The event expires at
    *until*, by the monotonic clock. *change* is the very object that this process published of
    it, and *before* the event that it replaced. With *is_from_feed*, it comes from the feed, which
    does not say whether it is a bid or a watch.
    """

    user_id: UserId
    item_id: ItemId
    until: float
    at: datetime | None = None
    hides: bool = True
    is_from_feed: bool = False
    change: Change | None = None
    before: "PendingEvent | None" = None


class _Return(NamedTuple):
    """A withdrawal of a user's bids on an item, until it expires."""

    until: float
    change: Change | None


@attrs.frozen
class _OfUser:
    """The pending events of one user, by item and by whether the event is a bid."""

    events: dict[tuple[ItemId, bool], PendingEvent]
    hidden: frozenset[ItemId]
    bids: tuple[PendingEvent, ...]


class PendingActivity:
    """Pending events, which count for a minute on top of what memory and the database show.

    Their number is bounded; the oldest are dropped first. *offers* has the amounts of bids,
    *own* what this process published and the feed has not shown yet. Reading takes no lock, as
    the record of a user is replaced and never modified.
    """

    def __init__(self, clock: Clock, *, most: int = _MOST) -> None:
        self._clock = clock
        self._most = most
        self.offers = PendingOffers(clock, seconds=SECONDS, most=most)
        self.own = OwnChanges(clock, seconds=SECONDS, most=most)
        self.returned: dict[tuple[UserId, ItemId], _Return] = {}
        self.by_user: dict[UserId, _OfUser] = {}
        self._in_order = deque[PendingEvent]()
        self._size = 0
        self._lock = Lock()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Make a new lock: another thread of the parent may hold the old one."""
        self._lock = Lock()

    def __len__(self) -> int:
        return self._size

    def bid(
        self, user_id: UserId, item_id: ItemId, at: datetime, *, change: Change | None = None
    ) -> None:
        """Note a bid."""
        self.returned.pop((user_id, item_id), None)
        until = self._until
        self._note(
            [PendingEvent(user_id=user_id, item_id=item_id, at=at, until=until, change=change)]
        )

    def watch(
        self,
        user_id: UserId,
        item_id: ItemId,
        *,
        ends: bool = False,
        change: Change | None = None,
    ) -> None:
        """Note a watch, or that it *ends*."""
        self._note(
            [
                PendingEvent(
                    user_id=user_id,
                    item_id=item_id,
                    hides=not ends,
                    until=self._until,
                    change=change,
                )
            ]
        )

    def feed_has_shown(self, user_id: UserId, item_ids: Iterable[ItemId]) -> None:
        """Note events that the feed has shown; events noted in this process take precedence.

        An own one was applied when it was taken. One of another process is earlier than a
        withdrawal of this process that the feed has still to show.
        """
        own = self.own
        known = self.by_user.get(user_id)
        items = set() if known is None else {item_id for item_id, _ in known.events}
        new = list[ItemId]()
        for one in item_ids:
            is_own = own.shown(ChangeKind.ENGAGED, user_id, one)
            if not own.has_unread(ChangeKind.ENGAGED, user_id, one):
                self.offers.drop(user_id, one)
            is_withdrawn = own.has_unread(ChangeKind.WITHDRAWN, user_id, one)
            if not (is_own or is_withdrawn or one in items):
                new.append(one)
        self._note(
            [
                PendingEvent(user_id=user_id, item_id=one, until=self._until, is_from_feed=True)
                for one in new
            ]
        )

    def feed_has_shown_withdrawal(self, user_id: UserId, item_ids: Iterable[ItemId]) -> None:
        """Note withdrawals that the feed has shown.

        An own one was applied when it was taken. One of another process is earlier than an event
        of this process that the feed has still to show.
        """
        self.withdrawn(
            user_id,
            [
                one
                for one in item_ids
                if not self.own.shown(ChangeKind.WITHDRAWN, user_id, one)
                and not self.own.has_unread(ChangeKind.ENGAGED, user_id, one)
            ],
        )

    def withdrawn(
        self,
        user_id: UserId,
        item_ids: Collection[ItemId],
        *,
        until: datetime | None = None,
        change: Change | None = None,
    ) -> None:
        """Note that a user withdrew bids on items: those placed *until* then, or all of them."""
        with self._lock:
            for item_id in item_ids:
                known = self.by_user.get(user_id)
                entries = {} if known is None else known.events
                bid, other = entries.get((item_id, True)), entries.get((item_id, False))
                if bid is not None and bid.at is not None and until is not None and bid.at > until:
                    continue
                for one in (bid, other):
                    if one is not None and (one is bid or one.is_from_feed):
                        self._drop(one)
                self.offers.drop(user_id, item_id)
                self.returned.pop((user_id, item_id), None)
                self.returned[user_id, item_id] = _Return(self._until, change)
            while len(self.returned) > self._most:
                del self.returned[next(iter(self.returned))]

    def rolled_back(self, change: Change) -> None:
        """Drop the events of which *change*, this very object, was published.

        An event that one of them had replaced counts again until it expires.
        """
        if change.user_id is None:
            return
        user_id, now = change.user_id, self._clock.monotonic()
        self.own.drop(change)
        with self._lock:
            for item_id in change.item_ids:
                for is_bid in (True, False):
                    known = self.by_user.get(user_id)
                    one = None if known is None else known.events.get((item_id, is_bid))
                    if one is not None and one.change is change:
                        self._drop(one)
                        if one.before is not None and one.before.until > now:
                            self._put(one.before)
                    elif one is not None and one.before is not None and one.before.change is change:
                        self._put(attrs.evolve(one, before=None))
                self.offers.rolled_back(user_id, item_id, change)
                if not self.own.has_unread(ChangeKind.ENGAGED, user_id, item_id):
                    self.offers.drop(user_id, item_id)
                returned = self.returned.get((user_id, item_id))
                if returned is not None and returned.change is change:
                    del self.returned[user_id, item_id]

    def returned_to(self, user_id: UserId) -> frozenset[ItemId]:
        """Return the items on which a user just withdrew bids."""
        if not self.returned:
            return _NOTHING
        with self._lock:
            return frozenset(item_id for of, item_id in self.returned if of == user_id)

    def hidden_from(self, user_id: UserId | None) -> frozenset[ItemId]:
        """Return the items that pending events hide from a user."""
        known = None if user_id is None else self.by_user.get(user_id)
        return _NOTHING if known is None else known.hidden

    def bids_of(self, user_id: UserId) -> Sequence[Bid]:
        """Return the pending bids of a user."""
        known = self.by_user.get(user_id)
        return [
            Bid(user_id=user_id, item_id=one.item_id, placed_at=one.at)
            for one in (() if known is None else known.bids)
            if one.at is not None
        ]

    def forget(self, user_id: UserId) -> int:
        """Drop all that is known of a user; return how many events."""
        self.own.forget(user_id)
        return self.reset(user_id)

    def clear(self) -> int:
        """Drop all that is known of all users; return how many events."""
        self.own.clear()
        return self.reset()

    def reset(self, user_id: UserId | None = None) -> int:
        """Drop the events of a user, or of all; return how many.

        The feed does not bring back those of this process.
        """
        return self._reset_all() if user_id is None else self._reset_user(user_id)

    def _reset_user(self, user_id: UserId) -> int:
        with self._lock:
            self.offers.forget(user_id)
            self.returned = {one: at for one, at in self.returned.items() if one[0] != user_id}
            gone = self.by_user.pop(user_id, None)
            if gone is None:
                return 0
            self._size -= len(gone.events)
            self._in_order = deque(one for one in self._in_order if one.user_id != user_id)
            return len(gone.events)

    def _reset_all(self) -> int:
        with self._lock:
            self.offers.clear()
            gone, self.returned = self._size, {}
            self.by_user, self._in_order, self._size = {}, deque[PendingEvent](), 0
        return gone

    def drop_expired(self) -> Sequence[PendingEvent]:
        """Drop the events that have expired, and return them."""
        now, over = self._clock.monotonic(), list[PendingEvent]()
        self.offers.drop_expired()
        self.own.drop_expired()
        with self._lock:
            while self.returned and self.returned[first := next(iter(self.returned))].until <= now:
                del self.returned[first]
            while self._in_order and self._in_order[0].until <= now:
                one = self._in_order.popleft()
                if self._drop(one):
                    over.append(one)
        return over

    @property
    def _until(self) -> float:
        return self._clock.monotonic() + SECONDS

    def _note(self, events: Sequence[PendingEvent]) -> None:
        with self._lock:
            for one in events:
                known = self.by_user.get(one.user_id)
                key = (one.item_id, one.at is not None)
                before = None if known is None else known.events.get(key)
                if before is None or one.change is None:
                    self._put(one)
                else:
                    self._put(attrs.evolve(one, before=attrs.evolve(before, before=None)))
            while self._size > self._most:
                self._drop(self._in_order.popleft())
            # Replaced events stay in the queue until now: bound its length, too.
            if len(self._in_order) > 2 * self._most:
                self._in_order = deque(one for one in self._in_order if self._is_kept(one))

    def _put(self, one: PendingEvent) -> None:
        """Make an event the newest of its user; the caller holds the lock."""
        known = self.by_user.get(one.user_id)
        entries = {} if known is None else dict(known.events)
        key = (one.item_id, one.at is not None)
        self._size -= entries.pop(key, None) is not None
        while len(entries) >= _MOST_OF_ONE:
            del entries[next(iter(entries))]
            self._size -= 1
        entries[key] = one
        self._size += 1
        self.by_user[one.user_id] = _of_user(entries)
        self._in_order.append(one)

    def _is_kept(self, one: PendingEvent) -> bool:
        known = self.by_user.get(one.user_id)
        return known is not None and known.events.get((one.item_id, one.at is not None)) is one

    def _drop(self, one: PendingEvent) -> bool:
        if not self._is_kept(one):
            return False
        entries = dict(self.by_user[one.user_id].events)
        del entries[one.item_id, one.at is not None]
        self._size -= 1
        if entries:
            self.by_user[one.user_id] = _of_user(entries)
        else:
            del self.by_user[one.user_id]
        return True


def _of_user(entries: dict[tuple[ItemId, bool], PendingEvent]) -> _OfUser:
    hidden = frozenset(one.item_id for one in entries.values() if one.hides)
    return _OfUser(entries, hidden, tuple(one for one in entries.values() if one.at is not None))


_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class RolledBackEvents:
    """Drops pending events that were rolled back, so that their items are shown again."""

    changes: Changes
    pending: PendingActivity
    lists: Cache | None

    def drop_all(self) -> None:
        """Drop the events that have been rolled back by now.

        Raises:
            StorageUnavailableError: The database did not answer.
        """
        for change in self.changes.rolled_back():
            if change.user_id is None:
                continue
            self.pending.rolled_back(change)
            if self.lists is not None:
                self.lists.forget(key_of(ListKind.PERSONAL, change.user_id))

    def drop_of(self, user_id: UserId | None) -> None:
        """Drop the events before an answer to a user, if one of theirs may be rolled back.

        On an event loop, which must not wait, and if the database does not answer, the events
        stay until the next read of the feed.
        """
        if user_id is None or not may_wait() or not self.changes.may_have_ended(user_id):
            return
        try:
            self.drop_all()
        except StorageError as error:
            _log.warning("rolled-back events not read: error=%s", type(error).__name__)
