"""Consumes the change feed and invalidates this process's cache."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from threading import Lock

import attrs

from angle_reco.application.jobs.finished_runs import FinishedRuns
from angle_reco.application.scoring import Scorer
from angle_reco.application.serving.open_items import Before, ChangedItems, OpenItems
from angle_reco.application.serving.pending_activity import (
    PendingActivity,
    PendingEvent,
    RolledBackEvents,
)
from angle_reco.domain.activity import CONFIRMS_FROM, Activity, Bid, Interactions, unconfirmed
from angle_reco.domain.availability import is_open
from angle_reco.domain.changes import FEED_RETENTION, Change, ChangeKind
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import StorageError
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.lists import ListKind
from angle_reco.ports.cache import Cache, key_of
from angle_reco.ports.changes import Changes, Cursor
from angle_reco.ports.clock import Clock
from angle_reco.ports.deadlines import deadline, may_wait
from angle_reco.ports.forks import reset_in_child
from angle_reco.ports.threads import TICKER, BackgroundPool

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_READS = 1.0
_SECONDS_TO_PRUNE = 35.0
"""How long after an erasure its changes are pruned: within a minute none may remain."""

_SECONDS_BETWEEN_PRUNINGS = 5.0
_SHARE_OF_A_CALL = 4


@attrs.frozen(kw_only=True)
class ItemInvalidator:
    """Reads the cards of changed items, and invalidates the lists of their similar items.

    *request_similar* requests runs that compute the similar items of new items.
    """

    open_items: OpenItems
    finished_runs: FinishedRuns
    scorer: Scorer
    clock: Clock
    request_similar: Callable[[Sequence[ItemId]], None]

    @property
    def changed(self) -> ChangedItems:
        """Return the items that changed since the open items were read."""
        return self.open_items.changed

    def note_changed(self, item_ids: Sequence[ItemId]) -> None:
        """Invalidate the cached data of items that change, before the feed has the change."""
        live = self.open_items.held()
        self.changed.note_changed(item_ids, None if live is None else live.cards)
        self._bound()
        self.finished_runs.forget_similar(item_ids)

    def drop_expired(self) -> None:
        """Drop cards older than the open items, and changes that were never committed."""
        live = self.open_items.held()
        self.changed.drop_expired(None if live is None else live.since)

    def changed_in_feed(self, times: Counter[ItemId], bid_on: Iterable[ItemId]) -> None:
        """Read the cards of items that changed, and invalidate the similar items of these.

        Also request runs for the items that opened or changed in a way their lists depend on.
        The feed has shown each item so many *times*; items *bid_on* differ only in their price.
        """
        live, item_ids = self.open_items.held(), list(times)
        # Only open items show a price.
        priced = [one for one in bid_on if live is None or one in live.cards]
        if not (item_ids or priced):
            return
        at, now = self.clock.monotonic(), self.clock.now()
        found = self.scorer.catalog.cards(dict.fromkeys([*item_ids, *priced]), at=now)
        self.changed.read({one: found.get(one) for one in (*item_ids, *priced)}, at=at, times=times)
        self._bound()
        if not item_ids:
            return
        cards = {one: found.get(one) for one in item_ids}
        self.finished_runs.forget_similar(item_ids)
        before = self.changed.before(item_ids)
        new = [one for one, card in cards.items() if card and self._is_new(card, before.get(one))]
        unsold = self._without_bids(
            [one for one, card in cards.items() if _has_new_price(card, before.get(one))]
        )
        if wanted := list(dict.fromkeys([*new, *unsold])):
            self.request_similar(wanted)
        self.changed.handled(item_ids)

    def _bound(self) -> None:
        """Have the open items read again if too many changed to be tracked one by one."""
        if self.changed.are_too_many:
            self.open_items.forget()
            self.changed.clear()

    def _is_new(self, card: ItemCard, before: Before | None) -> bool:
        """Return whether a noted item has opened, or has another title or category now."""
        if before is None or not is_open(card, self.clock.now()):
            return False
        if before.card is None:
            return True
        return (before.card.title, before.card.category_id) != (card.title, card.category_id)

    def _without_bids(self, item_ids: Sequence[ItemId]) -> list[ItemId]:
        """Return the items without bids: no bid has moved their price."""
        if not item_ids:
            return []
        items = IdColumn.of(self.scorer.settings.ids.item, item_ids)
        bid_on = set[ItemId]()
        for happened in self.scorer.activity.interactions(items=items):
            bid_on.update(
                ItemId(one) for one in happened.items.take(happened.kinds == Activity.BID)
            )
        return [one for one in item_ids if one not in bid_on]


@attrs.define(kw_only=True, eq=False)
class CacheInvalidator:
    """Reads the change feed and invalidates the cached values that a change affects.

    After `start` a thread reads the feed once a second. Without it calls do, once a second at
    most: an idle process reads nothing. *unconfirmed* counts the bids that the activity did not
    show in time.
    """

    changes: Changes
    finished_runs: FinishedRuns
    lists: Cache
    open_items: OpenItems
    items: ItemInvalidator
    pending: PendingActivity
    rolled_back: RolledBackEvents
    scorer: Scorer
    clock: Clock
    deadline: timedelta
    unconfirmed: int = attrs.field(default=0, init=False)
    _cursor: Cursor | None = attrs.field(default=None, init=False)
    due_at: float = attrs.field(default=float("-inf"), init=False)
    _prunes_at: float = attrs.field(default=float("-inf"), init=False)
    _prunes_again_at: float = attrs.field(default=float("-inf"), init=False)
    _erased_at: float = attrs.field(default=float("inf"), init=False)
    _fails: bool = attrs.field(default=False, init=False)
    _lock: Lock = attrs.field(factory=Lock, init=False)
    is_started: bool = attrs.field(default=False, init=False)
    _pool: BackgroundPool = attrs.field(factory=lambda: BackgroundPool("changes", 1), init=False)

    def __attrs_post_init__(self) -> None:
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Drop the thread, which belongs to the parent, and the lock, which it may hold."""
        self._lock, self.is_started = Lock(), False

    # Reading the feed, by a thread or by calls.

    def start(self) -> None:
        """Have a thread read the feed once a second, if none does yet."""
        self.is_started = True
        TICKER.add(self)

    def stop(self) -> None:
        """Stop reading the feed in a thread."""
        self.is_started = False
        TICKER.discard(self)

    def settle(self, seconds: float) -> None:
        """Wait at most so many *seconds* for a read that is under way."""
        self._pool.settle(seconds)

    def tick(self) -> None:
        """Read the feed in a thread, unless the last read is still under way."""
        if not self._pool.is_busy:
            self._pool.submit(self.read_safely)

    def read_safely(self) -> None:
        """Read the feed; log a defect instead of raising it."""
        try:
            self.read()
        except Exception as error:  # noqa: BLE001 — a defect must not end the reading
            _log.error("changes not followed: error=%s", type(error).__name__)

    def read_if_due(self) -> None:
        """Read the feed, if no thread does and no call has done so this second.

        The call waits for that, for a quarter of *deadline* at most.
        """
        if not self.is_started and self.clock.monotonic() >= self.due_at:
            self._read_from_call(waits=False)

    def read_now(self) -> None:
        """Read the feed now, also where a thread does; wait as long as `read_if_due`."""
        self._read_from_call(waits=True)

    def _read_from_call(self, *, waits: bool) -> None:
        self.due_at = self.clock.monotonic() + _SECONDS_BETWEEN_READS
        if may_wait():
            self._read_in_turn(waits=waits)
        else:
            # An event loop must not wait: a thread reads, and the next answer uses the result.
            with suppress(RuntimeError):  # No thread can be started any more.
                self.open_items.stale_cache.pool.submit(partial(self._read_in_turn, waits=waits))

    def _read_in_turn(self, *, waits: bool) -> None:
        """Read the feed; if it is being read, wait for that and read again, or do nothing."""
        seconds = self.deadline.total_seconds() / _SHARE_OF_A_CALL
        if not self._lock.acquire(timeout=seconds if waits else 0):
            return
        try:
            with deadline(seconds), self.open_items.stale_cache.breaker.watched():
                self._read_feed()
            self._fails = False
        except StorageError as error:
            self._log_failure(error)
        finally:
            self._lock.release()

    def read(self) -> None:
        """Read the feed; log a storage error, after which the next read tries again."""
        with self._lock:
            try:
                with deadline(self.deadline.total_seconds()):
                    self._read_feed()
                self._fails = False
            except StorageError as error:
                self._log_failure(error)

    def _log_failure(self, error: StorageError) -> None:
        if not self._fails:
            _log.warning("changes not read: error=%s", type(error).__name__)
        self._fails = True

    def _read_feed(self) -> None:
        if self._cursor is None:
            # Values cached before the first cursor may have changed since they were read.
            cursor = self.changes.now()
            self.finished_runs.check_ledger()
            self._mark_everything()
            self.lists.forget_all(ListKind.PERSONAL.value)
            self._cursor = cursor
            # What was published before is not read any more.
            self.pending.own.clear()
            self._prunes_at = self._erased_at = self.clock.monotonic()
        else:
            feed = self.changes.since(self._cursor)
            if feed.has_gap:
                self._mark_everything()
                # Some homepages may be of users whose erasure was missed.
                gone = self.lists.forget_all(ListKind.PERSONAL.value)
                self.pending.clear()
                self._erased_at = self.clock.monotonic()
                _log.warning("changes missed: dropped=%d", gone.entries)
            else:
                self._apply(feed.changes)
            self._cursor = feed.cursor
        self._drop_expired()

    def _drop_expired(self) -> None:
        """Drop rolled-back and expired events and expired cards, and prune the feed."""
        self.rolled_back.drop_all()
        self._settle_pending()
        self.items.drop_expired()
        self._prune()

    def _prune(self) -> None:
        """Prune old changes from the feed, and again once the newest erasure is old enough.

        An erasure may have been published just before this process started to read, or within
        a gap. A thread prunes: a call may be inside a host's transaction that keeps writers
        waiting.
        """
        now = self.clock.monotonic()
        due = min(self._prunes_at, self._erased_at + _SECONDS_TO_PRUNE)
        if now < max(due, self._prunes_again_at):
            return
        # In case the pruning fails or takes longer.
        self._prunes_again_at = now + _SECONDS_BETWEEN_PRUNINGS

        def prune() -> None:
            with deadline(self.deadline.total_seconds()):
                self.changes.prune(older_than=FEED_RETENTION)
            self._prunes_at = now + FEED_RETENTION.total_seconds()
            if self._erased_at + _SECONDS_TO_PRUNE <= now:
                self._erased_at = float("inf")

        with suppress(RuntimeError):  # No thread can be started any more.
            self.open_items.stale_cache.pool.submit(prune)

    def _mark_everything(self) -> None:
        for kind in ListKind:
            self.lists.mark(kind.value)
        self.open_items.mark()

    # Applying changes.

    def _apply(self, changes: Sequence[Change]) -> None:
        items, bid_on, others = list[ItemId](), dict[ItemId, None](), list[Change]()
        for change in changes:
            if change.kind in (ChangeKind.ITEMS, ChangeKind.WITHDRAWN):
                items += change.item_ids
            if change.kind is ChangeKind.ENGAGED:
                bid_on.update(dict.fromkeys(change.item_ids))
            if change.kind is not ChangeKind.ITEMS:
                others.append(change)
        if items or bid_on:
            self.items.changed_in_feed(Counter(items), bid_on)
        kinds = {change.kind for change in others}
        for change in others:
            match change.kind:
                # Forgotten for own events, too: a homepage that was computed before the host's
                # transaction ended lacks the row.
                case ChangeKind.ENGAGED if change.user_id is not None:
                    self.pending.feed_has_shown(change.user_id, change.item_ids)
                    self._forget(ListKind.PERSONAL, change.user_id)
                case ChangeKind.WITHDRAWN if change.user_id is not None:
                    self.pending.feed_has_shown_withdrawal(change.user_id, change.item_ids)
                    self._forget(ListKind.PERSONAL, change.user_id)
                case ChangeKind.ERASED if change.user_id is not None:
                    self.forget_user(change.user_id)
                    self.open_items.models.check_in_background()
                    self._erased_at = self.clock.monotonic()
                case ChangeKind.RUN:
                    self.finished_runs.forget_similar(change.item_ids)
                case _:
                    pass
        if kinds & {ChangeKind.RUN, ChangeKind.FORGET}:
            # The ledger says which runs have ended.
            self.finished_runs.check_ledger()

    def forget_user(self, user_id: UserId) -> None:
        """Drop the pending events and the cached homepage of an erased user."""
        self.pending.forget(user_id)
        self._forget(ListKind.PERSONAL, user_id)

    def _forget(self, kind: ListKind, owner: object) -> None:
        self.lists.forget(key_of(kind, owner))

    # Pending events that the database should show by now.

    def _settle_pending(self) -> None:
        over = self.pending.drop_expired()
        if not over:
            return
        # The database shows by now which events were stored: read these homepages again.
        for user_id in {one.user_id for one in over}:
            self._forget(ListKind.PERSONAL, user_id)
        missing = self._unconfirmed(over)
        self.unconfirmed += missing
        if missing:
            _log.warning("pending bids not confirmed: bids=%d", missing)

    def _unconfirmed(self, events: Sequence[PendingEvent]) -> int:
        """Return how many bids the activity does not show by now."""
        bids = [
            Bid(user_id=one.user_id, item_id=one.item_id, placed_at=one.at)
            for one in events
            if one.at is not None
        ]
        if not bids:
            return 0
        ids = self.scorer.settings.ids
        earliest = min(one.placed_at for one in bids)
        since = earliest - CONFIRMS_FROM if earliest.year > 1 else None
        users = IdColumn.of(ids.user, list(dict.fromkeys(one.user_id for one in bids)))
        happened = self.scorer.activity.interactions(since=since, users=users)
        # The activity never shows the bids of sellers on their own items.
        return len(self.scorer.counted(unconfirmed(bids, Interactions.joined(ids, happened))))


def _has_new_price(card: ItemCard | None, before: Before | None) -> bool:
    return (
        card is not None
        and before is not None
        and before.card is not None
        and before.card.price != card.price
        and card.is_listed
    )
