"""Stores of results in memory."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from threading import Lock

import attrs

from angle_reco.adapters.memory.erasure import MemoryErasures
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import FencedOffError
from angle_reco.domain.ids import CategoryId, UserId
from angle_reco.domain.lists import ListKind, Lists
from angle_reco.domain.runs import Fence
from angle_reco.domain.scoring.interest import Interests, UserInterest, interest_has_changed
from angle_reco.domain.stored_list import Recipe, StoredList, has_changed
from angle_reco.domain.suggestions import Source
from angle_reco.ports.stores import StoredInterests, StoreTotals, Written


@attrs.frozen
class _Kept:
    """One stored interest, and the recipe and the moment of the run that wrote it."""

    interest: UserInterest
    recipe: str
    computed_at: datetime
    removed: bool = False


class MemoryFences:
    """The newest run of each job that was claimed or has written.

    The stores and the ledger of one recommender share one instance.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._newest: dict[str, int] = {}

    def pass_(self, fence: Fence | None) -> None:
        """Check that no newer run of the job was claimed or has written, and record this one.

        Raises:
            FencedOffError: There is a newer run.
        """
        if fence is None:
            return
        with self._lock:
            newest = self._newest.get(fence.job, 0)
            if newest > fence.number:
                raise FencedOffError(fence.job, newest)
            self._newest[fence.job] = fence.number

    def newest(self, job: str) -> int:
        """Return the number of the newest run of a job, 0 before the first."""
        with self._lock:
            return self._newest.get(job, 0)


class MemoryInterestStore:
    """`InterestStore` in a dictionary."""

    def __init__(
        self, fences: MemoryFences | None = None, erasures: MemoryErasures | None = None
    ) -> None:
        self._lock = Lock()
        self._of: dict[UserId, dict[CategoryId, _Kept]] = {}
        self._covered_at: datetime | None = None
        self._watermark = ""
        self._fences = fences or MemoryFences()
        self._erasures = erasures or MemoryErasures()

    def of(self, user_id: UserId, *, limit: int | None = None) -> StoredInterests | None:
        with self._lock:
            return self._stored(user_id, limit)

    def write(
        self,
        interests: Interests,
        *,
        users: IdColumn,
        computed_at: datetime,
        fence: Fence | None = None,
    ) -> Written:
        computed_at = computed_at.astimezone(UTC)
        fresh: dict[UserId, dict[CategoryId, UserInterest]] = {
            UserId(user_id): {} for user_id in users
        }
        for interest in interests.values():
            if interest.user_id in fresh:
                fresh[interest.user_id][interest.category_id] = interest
        changed = unchanged = 0
        with self._lock:
            self._fences.pass_(fence)
            for user_id, by_category in fresh.items():
                if self._erasures.has(user_id):
                    continue
                known = self._of.get(user_id, {})
                kept = {}
                for category_id, interest in by_category.items():
                    old = known.get(category_id)
                    if (
                        old is not None
                        and not old.removed
                        and old.recipe == interests.recipe
                        and old.computed_at <= computed_at
                        and not interest_has_changed(old.interest, interest)
                    ):
                        kept[category_id] = old
                        unchanged += 1
                    else:
                        kept[category_id] = _Kept(interest, interests.recipe, computed_at)
                        changed += 1
                changed += len(known.keys() - kept.keys())
                self._of.pop(user_id, None)
                if kept:
                    self._of[user_id] = kept
        return Written(changed, unchanged)

    def retain(
        self,
        users: IdColumn | None,
        *,
        started_at: datetime,
        watermark: str = "",
        fence: Fence | None = None,
    ) -> int:
        with self._lock:
            self._fences.pass_(fence)
            gone = set() if users is None else self._of.keys() - set(users)
            self._covered_at, self._watermark = started_at.astimezone(UTC), watermark
            return sum(len(self._of.pop(user_id)) for user_id in gone)

    def watermark(self) -> str | None:
        with self._lock:
            return None if self._covered_at is None else self._watermark

    def forget_watermark(self, *, fence: Fence | None = None) -> None:
        with self._lock:
            self._fences.pass_(fence)
            self._watermark = ""

    def users_in(self, categories: IdColumn) -> Sequence[object]:
        wanted = set(categories)
        with self._lock:
            return [user_id for user_id, kept in self._of.items() if wanted & kept.keys()]

    def edit(
        self, user_id: UserId, change: Callable[[StoredInterests | None], StoredInterests]
    ) -> None:
        with self._lock:
            self._erasures.refuse(user_id)
            old = self._stored(user_id)
            new = change(old)
            if new is not old:
                self._watermark = ""
                self._of[user_id] = {
                    one.category_id: _Kept(one, new.recipe, new.computed_at)
                    for one in new.interests
                } | {
                    one: _Kept(_deleted(user_id, one, new), new.recipe, new.computed_at, True)
                    for one in new.removed
                }

    def forget(self, user_id: UserId) -> int:
        """Delete all interests of a user; return how many rows there were."""
        with self._lock:
            return len(self._of.pop(user_id, {}))

    def _stored(self, user_id: UserId, limit: int | None = None) -> StoredInterests | None:
        kept = self._of.get(user_id, {})
        if not kept:
            return None
        return StoredInterests(
            interests=_strongest_first(one.interest for one in kept.values() if not one.removed)[
                :limit
            ],
            recipe=next(iter(kept.values())).recipe,
            computed_at=max(one.computed_at for one in kept.values()),
            covered_at=self._covered_at,
            removed=tuple(
                sorted(category_id for category_id, one in kept.items() if one.removed)  # type: ignore[type-var]  # ids of one kind compare
            ),
        )

    def totals(self) -> StoreTotals:
        with self._lock:
            moments = [
                kept.computed_at for kept in chain(*(rows.values() for rows in self._of.values()))
            ]
            return StoreTotals(
                owners=len(self._of),
                rows=len(moments),
                oldest_at=min(moments, default=None),
                newest_at=max(moments, default=None),
                covered_at=self._covered_at,
            )


class MemoryListStore:
    """`ListStore` in dictionaries, one for each kind.

    Lists written without a fence, by calls instead of jobs, take about *most_bytes* at most:
    those written longest ago are removed first. The lists of jobs are limited by the marketplace.
    """

    def __init__(
        self,
        fences: MemoryFences | None = None,
        erasures: MemoryErasures | None = None,
        *,
        most_bytes: int | None = None,
    ) -> None:
        self._lock = Lock()
        self._most_lines = None if most_bytes is None else most_bytes // _BYTES_OF_LINE
        self._singles: dict[tuple[ListKind, object], int] = {}
        self._lines = 0
        self._erasures = erasures or MemoryErasures()
        self._lists: dict[ListKind, dict[object, StoredList]] = {kind: {} for kind in ListKind}
        self._covered_at: dict[ListKind, datetime] = {}
        self._watermarks: dict[ListKind, str] = {}
        self._fences = fences or MemoryFences()

    def read(self, kind: ListKind, owners: Collection[object]) -> Mapping[object, StoredList]:
        with self._lock:
            covered_at = self._covered_at.get(kind)
            found = {owner: self._lists[kind].get(owner) for owner in owners}
        return {
            owner: attrs.evolve(stored, covered_at=covered_at)
            for owner, stored in found.items()
            if stored is not None
        }

    def write(self, kind: ListKind, lists: Lists, *, fence: Fence | None = None) -> Written:
        computed_at = lists.computed_at.astimezone(UTC)
        lists = attrs.evolve(lists.last_of_each(), computed_at=computed_at)
        changed = skipped = 0
        with self._lock:
            self._fences.pass_(fence)
            for place, owner in enumerate(lists.owners):
                if kind is ListKind.PERSONAL and self._erasures.has(owner):
                    skipped += 1
                    continue
                new = lists.stored(place)
                old = self._lists[kind].get(owner)
                if old is None or has_changed(old, new):
                    self._lists[kind][owner] = new
                    changed += 1
                if fence is None:
                    self._note(kind, owner, len(new))
                else:
                    self._unnote(kind, owner)
        return Written(changed, len(lists) - skipped - changed)

    def retain(
        self,
        kind: ListKind,
        owners: IdColumn | None,
        *,
        started_at: datetime,
        watermark: str = "",
        fence: Fence | None = None,
    ) -> int:
        with self._lock:
            self._fences.pass_(fence)
            gone = set() if owners is None else self._lists[kind].keys() - set(owners)
            for owner in gone:
                del self._lists[kind][owner]
                self._unnote(kind, owner)
            self._covered_at[kind] = started_at.astimezone(UTC)
            self._watermarks[kind] = watermark
        return len(gone)

    def watermark(self, kind: ListKind) -> str | None:
        with self._lock:
            return self._watermarks.get(kind, "") if kind in self._covered_at else None

    def forget_watermark(self, kind: ListKind, *, fence: Fence | None = None) -> None:
        with self._lock:
            self._fences.pass_(fence)
            self._watermarks.pop(kind, None)

    def edit(
        self,
        kind: ListKind,
        owner: object,
        change: Callable[[StoredList | None], StoredList],
    ) -> None:
        with self._lock:
            if kind is ListKind.PERSONAL:
                self._erasures.refuse(owner)
            old = self._lists[kind].get(owner)
            if old is not None:
                old = attrs.evolve(old, covered_at=self._covered_at.get(kind))
            new = change(old)
            if old is None or not new.is_same_as(old):
                self._watermarks.pop(kind, None)
            if new is not old:
                self._lists[kind][owner] = attrs.evolve(new, covered_at=None)
                if new.edited or new.by_hand:
                    self._unnote(kind, owner)

    def _note(self, kind: ListKind, owner: object, lines: int) -> None:
        """Record that a list was written without a fence; remove the oldest beyond the limit."""
        if self._most_lines is None:
            return
        self._unnote(kind, owner)
        # Apart from its lines, a list takes about as much as a line.
        self._singles[kind, owner] = lines + 1
        self._lines += lines + 1
        while self._lines > self._most_lines:
            oldest = next(iter(self._singles))
            self._unnote(*oldest)
            self._lists[oldest[0]].pop(oldest[1], None)
            # The next run makes the list again, if it made the one before.
            self._watermarks.pop(oldest[0], None)

    def _unnote(self, kind: ListKind, owner: object) -> None:
        self._lines -= self._singles.pop((kind, owner), 0)

    def forget_personal(self, user_id: UserId) -> int | None:
        """Delete a user's list; return its number of suggestions, None if there is none."""
        with self._lock:
            gone = self._lists[ListKind.PERSONAL].pop(user_id, None)
            self._unnote(ListKind.PERSONAL, user_id)
        return None if gone is None else len(gone)

    def older_than(self, kind: ListKind, moment: datetime) -> Sequence[object]:
        with self._lock:
            covered_at = self._covered_at.get(kind)
            if covered_at is not None and covered_at >= moment:
                return ()
            old = [owner for owner, one in self._lists[kind].items() if one.computed_at < moment]
        return sorted(old)  # type: ignore[type-var]  # ids of one kind compare

    def computed_since(
        self, kind: ListKind, moment: datetime, *, recipe: Recipe | None = None
    ) -> Sequence[object]:
        with self._lock:
            return [
                owner
                for owner, one in self._lists[kind].items()
                if one.computed_at >= moment and recipe in (None, one.recipe)
            ]

    def filled_up(self, kind: ListKind, *, size: int) -> Sequence[object]:
        with self._lock:
            return [
                owner
                for owner, one in self._lists[kind].items()
                if len(one) < size or Source.POPULAR.code in one.sources
            ]

    def totals(self, kind: ListKind) -> StoreTotals:
        with self._lock:
            lists = self._lists[kind].values()
            moments = [one.computed_at for one in lists]
            return StoreTotals(
                owners=len(moments),
                rows=sum(len(one) for one in lists),
                oldest_at=min(moments, default=None),
                newest_at=max(moments, default=None),
                covered_at=self._covered_at.get(kind),
            )


_BYTES_OF_LINE = 400
"""The largest size of a suggestion in a stored list."""


def _deleted(user_id: UserId, category_id: CategoryId, kept: StoredInterests) -> UserInterest:
    return UserInterest(
        user_id=user_id,
        category_id=category_id,
        score=0,
        strength=0,
        interaction_count=0,
        last_interaction_at=kept.computed_at,
        by_hand=True,
    )


def _strongest_first(interests: Iterable[UserInterest]) -> tuple[UserInterest, ...]:
    ordered = sorted(interests, key=lambda one: one.category_id)  # type: ignore[arg-type,return-value]  # ids of one kind compare
    ordered.sort(
        key=lambda one: (one.score, one.interaction_count, one.last_interaction_at), reverse=True
    )
    return tuple(ordered)
