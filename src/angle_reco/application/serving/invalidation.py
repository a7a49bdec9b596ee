"""What this process hears of changes, by all processes: its memory is kept honest by it."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from threading import Event, Lock, Thread
from weakref import WeakSet

import attrs

from angle_reco.application.scoring import Scorer
from angle_reco.application.serving.changed_items import Before, ChangedItems
from angle_reco.application.serving.finished_runs import FinishedRuns
from angle_reco.application.serving.list_reader import key_of
from angle_reco.application.serving.open_items import LIVE, OpenItems
from angle_reco.application.serving.pending_activity import PendingActivity, PendingEvent
from angle_reco.application.serving.rolled_back import RolledBackEvents
from angle_reco.application.waiting import may_wait
from angle_reco.domain.activity import CONFIRMS_FROM, Activity, Bid, Interactions, unconfirmed
from angle_reco.domain.availability import is_open
from angle_reco.domain.changes import TOLD_FOR, Change, ChangeKind
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import StorageError
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.lists import ListKind
from angle_reco.ports.cache import Cache
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.ports.changes import Changes, Cursor
from angle_reco.ports.clock import Clock
from angle_reco.ports.deadlines import deadline
from angle_reco.ports.forks import starts_over
from angle_reco.ports.threads import BackgroundPool

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_PRUNE = 35.0
"""After an erasure, what told of it goes: within a minute nothing may be left."""

_SECONDS_BETWEEN_PRUNINGS = 5.0
_SHARE_OF_A_CALL = 4


@attrs.define(kw_only=True, eq=False)
class CacheInvalidator:
    """Looks what has changed, and has memory follow.

    After `begin` a thread does so every second. Without it a call does, once a second at
    most: a process that is asked nothing reads nothing.
    """

    changes: Changes
    finished_runs: FinishedRuns
    lists: Cache
    open_items: OpenItems
    pending: PendingActivity
    rolled_back: RolledBackEvents
    catalog: CatalogQueries
    scorer: Scorer
    clock: Clock
    deadline: timedelta
    wanted: Callable[[Sequence[ItemId]], None]
    unconfirmed: int = attrs.field(default=0, init=False)
    _cursor: Cursor | None = attrs.field(default=None, init=False)
    _looks_at: float = attrs.field(default=float("-inf"), init=False)
    _prunes_at: float = attrs.field(default=float("-inf"), init=False)
    _prunes_again_at: float = attrs.field(default=float("-inf"), init=False)
    _erased_at: float = attrs.field(default=float("inf"), init=False)
    _fails: bool = attrs.field(default=False, init=False)
    _lock: Lock = attrs.field(factory=Lock, init=False)
    has_begun: bool = attrs.field(default=False, init=False)
    _lane: BackgroundPool = attrs.field(factory=lambda: BackgroundPool("changes", 1), init=False)

    def __attrs_post_init__(self) -> None:
        starts_over(self)

    def start_over(self) -> None:
        """Forget the thread, which is the parent's, and the lock that it may hold."""
        self._lock, self.has_begun = Lock(), False

    @property
    def changed(self) -> ChangedItems:
        """Return the items that changed since the open ones were read."""
        return self.open_items.changed

    # By a thread, or by calls.

    def begin(self) -> None:
        """Have a thread look once a second from now on; nothing happens when that is so."""
        self.has_begun = True
        _ticker.add(self)

    def end(self) -> None:
        """Have no thread look any more."""
        self.has_begun = False
        _ticker.discard(self)

    def settle(self, seconds: float) -> None:
        """Wait for a look that is being taken."""
        self._lane.settle(seconds)

    def tick(self) -> None:
        """Have a thread look, unless the last look goes on still."""
        if not self._lane.is_busy:
            self._lane.submit(self.step_safely)

    def step_safely(self) -> None:
        """Look what has changed; a defect is logged."""
        try:
            self.step()
        except Exception as error:  # noqa: BLE001 — a defect; without following it would be worse
            _log.error("changes not followed: error=%s", type(error).__name__)

    def look(self) -> None:
        """Look what has changed, if that is up to calls and was not done this second.

        Who looks waits for a statement, no longer than for a share of the time of a call.
        """
        now = self.clock.monotonic()
        if self.has_begun or now < self._looks_at:
            return
        self._looks_at = now + _SECONDS_BETWEEN_LOOKS
        if may_wait():
            self._look()
        else:
            # An event loop waits for nothing: it answers, and the next answer knows.
            with suppress(RuntimeError):  # No thread can be begun any more.
                self.open_items.stale_cache.pool.submit(self._look)

    def _look(self) -> None:
        if not self._lock.acquire(blocking=False):
            return
        try:
            seconds = self.deadline.total_seconds() / _SHARE_OF_A_CALL
            with deadline(seconds), self.open_items.stale_cache.breaker.watched():
                self._step()
            self._fails = False
        except StorageError as error:
            self._say(error)
        finally:
            self._lock.release()

    def step(self) -> None:
        """Look what has changed; what goes wrong is tried again."""
        with self._lock:
            try:
                with deadline(self.deadline.total_seconds()):
                    self._step()
                self._fails = False
            except StorageError as error:
                self._say(error)

    def _say(self, error: StorageError) -> None:
        if not self._fails:
            _log.warning("changes not read: error=%s", type(error).__name__)
        self._fails = True

    def _step(self) -> None:
        if self._cursor is None:
            # What is in memory already may have changed since it was read.
            cursor = self.changes.now()
            self.finished_runs.look()
            self._mark_everything()
            self.lists.forget_all(ListKind.PERSONAL.value)
            self._cursor = cursor
            self._prunes_at = self._erased_at = self.clock.monotonic()
        else:
            feed = self.changes.since(self._cursor)
            if feed.has_gap:
                self._mark_everything()
                # Some of them may be of users who were erased meanwhile.
                gone = self.lists.forget_all(ListKind.PERSONAL.value)
                self.pending.clear()
                self._erased_at = self.clock.monotonic()
                _log.warning("changes missed: dropped=%d", gone.entries)
            else:
                self._apply(feed.changes)
            self._cursor = feed.cursor
        self._settle()

    def _settle(self) -> None:
        """Let go of what is over by now."""
        self.rolled_back.look()
        self._settle_overlays()
        self.changed.forget_what_is_over(self._live_since)
        self._prune()

    def _prune(self) -> None:
        """Forget what was told long ago, and once more when the newest erasure is old enough.

        One may have been told just before this process began to read, or within a gap. It is
        done behind: a call may be within a transaction of its host's that keeps writers waiting.
        """
        now = self.clock.monotonic()
        due = min(self._prunes_at, self._erased_at + _SECONDS_TO_PRUNE)
        if now < max(due, self._prunes_again_at):
            return
        # If it fails, or takes that long.
        self._prunes_again_at = now + _SECONDS_BETWEEN_PRUNINGS

        def prune() -> None:
            with deadline(self.deadline.total_seconds()):
                self.changes.prune(older_than=TOLD_FOR)
            self._prunes_at = now + TOLD_FOR.total_seconds()
            if self._erased_at + _SECONDS_TO_PRUNE <= now:
                self._erased_at = float("inf")

        with suppress(RuntimeError):  # No thread can be begun any more.
            self.open_items.stale_cache.pool.submit(prune)

    @property
    def _live_since(self) -> float | None:
        live = self.open_items.held()
        return None if live is None else live.since

    def _mark_everything(self) -> None:
        for kind in ListKind:
            self.lists.mark(kind.value)
        self.open_items.stale_cache.cache.mark(LIVE[0])

    # What was told.

    def told(self, item_ids: Sequence[ItemId]) -> None:
        """Note that items change: what is in memory of them does not count any more."""
        live = self.open_items.held()
        self.changed.told(item_ids, None if live is None else live.cards)
        self._bound()
        self.finished_runs.forget_similar(item_ids)

    def _bound(self) -> None:
        """Have the open items read anew where too many of them changed to be kept apart."""
        if self.changed.are_too_many:
            self.open_items.stale_cache.cache.forget(LIVE)
            self.changed.clear()

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
            self._items_changed(Counter(items), bid_on)
        kinds = {change.kind for change in others}
        for change in others:
            match change.kind:
                case ChangeKind.ENGAGED if change.user_id is not None:
                    self.pending.heard(change.user_id, change.item_ids)
                    self._forget(ListKind.PERSONAL, change.user_id)
                case ChangeKind.WITHDRAWN if change.user_id is not None:
                    self.pending.withdrawn(change.user_id, change.item_ids)
                    self._forget(ListKind.PERSONAL, change.user_id)
                case ChangeKind.ERASED if change.user_id is not None:
                    self.forget_user(change.user_id)
                    self._erased_at = self.clock.monotonic()
                case ChangeKind.RUN:
                    self.finished_runs.forget_similar(change.item_ids)
                case _:
                    pass
        if kinds & {ChangeKind.RUN, ChangeKind.FORGET}:
            # The ledger knows which.
            self.finished_runs.look()

    def forget_user(self, user_id: UserId) -> None:
        """Forget a user who was erased."""
        self.pending.forget(user_id)
        self._forget(ListKind.PERSONAL, user_id)

    def _forget(self, kind: ListKind, owner: object) -> None:
        self.lists.forget(key_of(kind, owner))

    def _items_changed(self, times: Counter[ItemId], bid_on: Iterable[ItemId] = ()) -> None:
        """Read the cards of items that changed, and have made anew what follows from them.

        The feed has shown each so many *times*. What was *bid_on* has another price at most.
        """
        live, item_ids = self.open_items.held(), list(times)
        # Of what is not open no price is shown.
        priced = [one for one in bid_on if live is None or one in live.cards]
        if not (item_ids or priced):
            return
        at, now = self.clock.monotonic(), self.clock.now()
        found = self.catalog.cards(dict.fromkeys([*item_ids, *priced]), at=now)
        self.changed.read({one: found.get(one) for one in (*item_ids, *priced)}, at=at, times=times)
        self._bound()
        if not item_ids:
            return
        cards = {one: found.get(one) for one in item_ids}
        self.finished_runs.forget_similar(item_ids)
        before = self.changed.before(item_ids)
        anew = [one for one, card in cards.items() if card and self._is_new(card, before.get(one))]
        unsold = self._without_bids(
            [one for one, card in cards.items() if _is_priced_anew(card, before.get(one))]
        )
        wanted = [*anew, *(one for one in unsold if one not in anew)]
        if wanted:
            self.wanted(wanted)
        self.changed.handled(item_ids)

    def _is_new(self, card: ItemCard, before: Before | None) -> bool:
        """Return whether an item that this process was told of is newly open, or another one."""
        if before is None or not is_open(card, self.clock.now()):
            return False
        if before.card is None:
            return True
        return (before.card.title, before.card.category_id) != (card.title, card.category_id)

    def _without_bids(self, item_ids: Sequence[ItemId]) -> list[ItemId]:
        """Return the items that nobody has bid on: no bid has moved their price."""
        if not item_ids:
            return []
        items = IdColumn.of(self.scorer.settings.ids.item, item_ids)
        bid_on = set[ItemId]()
        for happened in self.scorer.activity.interactions(items=items):
            bid_on.update(
                ItemId(one) for one in happened.items.take(happened.kinds == Activity.BID)
            )
        return [one for one in item_ids if one not in bid_on]

    # What was told and is to be seen by now.

    def _settle_overlays(self) -> None:
        over = self.pending.over()
        if not over:
            return
        # By now the database knows better.
        for user_id in {one.user_id for one in over}:
            self._forget(ListKind.PERSONAL, user_id)
        missing = self._unconfirmed(over)
        self.unconfirmed += missing
        if missing:
            _log.warning("bids told of, but not seen within a minute: bids=%d", missing)

    def _unconfirmed(self, told: Sequence[PendingEvent]) -> int:
        """Return how many bids the activity does not show by now."""
        bids = [
            Bid(user_id=one.user_id, item_id=one.item_id, placed_at=one.at)
            for one in told
            if one.at is not None
        ]
        if not bids:
            return 0
        ids = self.scorer.settings.ids
        earliest = min(one.placed_at for one in bids)
        since = earliest - CONFIRMS_FROM if earliest.year > 1 else None
        users = IdColumn.of(ids.user, list(dict.fromkeys(one.user_id for one in bids)))
        happened = self.scorer.activity.interactions(since=since, users=users)
        # A seller's own would not be seen there either way.
        return len(self.scorer.counted(unconfirmed(bids, Interactions.joined(ids, happened))))


def _is_priced_anew(card: ItemCard | None, before: Before | None) -> bool:
    return (
        card is not None
        and before is not None
        and before.card is not None
        and before.card.price != card.price
        and card.is_listed
    )


class _Ticker:
    """One thread of the process that has each follower look once a second."""

    def __init__(self) -> None:
        self.start_over()
        starts_over(self)

    def start_over(self) -> None:
        self._followers, self._lock = WeakSet[CacheInvalidator](), Lock()
        self._has_none = Event()
        self._is_alive = False

    def add(self, follower: CacheInvalidator) -> None:
        with self._lock:
            self._followers.add(follower)
            self._has_none.clear()
            if self._is_alive:
                return
            self._is_alive = True
        try:
            Thread(target=self._run, name="angle-reco-ticker", daemon=True).start()
        except RuntimeError:
            self._is_alive = False
            raise

    def discard(self, follower: CacheInvalidator) -> None:
        with self._lock:
            self._followers.discard(follower)
            if not self._followers:
                self._has_none.set()

    def _run(self) -> None:
        while True:
            with self._lock:
                followers = list(self._followers)
                if not followers:
                    self._is_alive = False
                    return
            for follower in followers:
                with suppress(RuntimeError):  # No thread can be started any more.
                    follower.tick()
            del followers
            # It is the last reference in a frame that lives as long as the process.
            follower = None  # type: ignore[assignment]  # dropped
            self._has_none.wait(_SECONDS_BETWEEN_LOOKS)


_ticker = _Ticker()
