"""Stores of results, separate from the host's own data."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, TypeAlias

import attrs

from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import CategoryId, UserId
from angle_reco.domain.lists import ListKind, Lists
from angle_reco.domain.runs import Fence
from angle_reco.domain.scoring.interest import Interests, UserInterest
from angle_reco.domain.stored_list import Recipe, StoredList

Owners: TypeAlias = Sequence[object] | IdColumn
"""Ids of owners; there may be one for each user, and a column is quicker."""


class Written(NamedTuple):
    """How many rows or lists had to be written, and how many were stored already."""

    changed: int
    unchanged: int


@attrs.frozen(kw_only=True)
class StoredInterests:
    """A user's interests as last computed, the strongest first.

    *covered_at* is the start of the last complete refresh: interests that it left unchanged
    are as fresh as that. *recipe* identifies the settings that produced them. An operator
    deleted those of the categories *removed*, which lasts until a job replaces it.
    """

    interests: tuple[UserInterest, ...]
    recipe: str
    computed_at: datetime
    covered_at: datetime | None = None
    removed: tuple[CategoryId, ...] = ()


@attrs.frozen(kw_only=True)
class StoreTotals:
    """How much of one kind is stored, how old it is, and when a refresh last covered it."""

    owners: int
    rows: int
    oldest_at: datetime | None
    newest_at: datetime | None
    covered_at: datetime | None


class InterestStore(Protocol):
    """Stored interests, a row per user and category.

    Nothing is written for erased users (`Erasure`); a batch leaves them out.

    Raises:
        FencedOffError: (writing, with a fence) A newer run of the job was claimed or has
            written; nothing was written.
        StorageUnavailableError: (every method) The store did not answer.
        StorageFullError: (writing) There is no room; nothing was written.
    """

    def of(self, user_id: UserId, *, limit: int | None = None) -> StoredInterests | None:
        """Return a user's interests, at most *limit*, None when none is stored.

        Ordered by score, then more interactions, the later last one, the smaller id.
        """
        ...

    def write(
        self,
        interests: Interests,
        *,
        users: IdColumn,
        computed_at: datetime,
        fence: Fence | None = None,
    ) -> Written:
        """Replace all that is stored of *users* by *interests*, in one transaction.

        Interests of other users are ignored.

        A row is written when it differs (`interest_has_changed`), has another recipe, or
        replaces one that was computed at a later moment.
        The result counts rows; a deleted row is a change.
        """
        ...

    def retain(
        self,
        users: IdColumn | None,
        *,
        started_at: datetime,
        watermark: str = "",
        fence: Fence | None = None,
    ) -> int:
        """Complete a run that started then: delete all but *users*; return how many rows.

        The remaining interests count as covered by that run; with None, that is all of them. The
        *watermark* is for the next run.
        """
        ...

    def watermark(self) -> str | None:
        """Return the watermark of the last complete run, None if there was no run.

        It is empty if that run left none, and after an `edit` or `forget_watermark`.
        """
        ...

    def forget_watermark(self, *, fence: Fence | None = None) -> None:
        """Remove the watermark: whatever happens to this run, the next one finds none."""
        ...

    def users_in(self, categories: IdColumn) -> Owners:
        """Return the users with an interest in one of *categories* stored, in any order."""
        ...

    def edit(
        self, user_id: UserId, change: Callable[[StoredInterests | None], StoredInterests]
    ) -> None:
        """Store what *change* returns for a user's interests; no other writer comes between.

        *change* is quick, uses no store, and may raise: then nothing is changed. Nothing is
        changed either when *change* returns its argument.

        Raises:
            UserErasedError: The user was erased.
        """
        ...

    def totals(self) -> StoreTotals:
        """Return how much is stored."""
        ...


class ListStore(Protocol):
    """Stored lists of suggestions, one for each owner of a kind.

    Owners of similar lists are items, of personal lists users, and of popular lists
    categories written as text, with EVERYTHING for all of them. No personal list is written
    for erased users (`Erasure`); a batch leaves them out.

    Raises:
        FencedOffError: (writing, with a fence) A newer run of the job was claimed or has
            written; nothing was written.
        StorageUnavailableError: (every method) The store did not answer.
        StorageFullError: (writing) There is no room; nothing was written.
    """

    def read(self, kind: ListKind, owners: Collection[object]) -> Mapping[object, StoredList]:
        """Return the lists of the owners that have one; an empty list counts."""
        ...

    def write(self, kind: ListKind, lists: Lists, *, fence: Fence | None = None) -> Written:
        """Replace the lists that changed (`has_changed`), in one transaction.

        Of several lists of one owner the last counts. A reader sees either the old list or
        the new one, never a mixture. The result counts lists.
        """
        ...

    def retain(
        self,
        kind: ListKind,
        owners: IdColumn | None,
        *,
        started_at: datetime,
        watermark: str = "",
        fence: Fence | None = None,
    ) -> int:
        """Complete a run that started then: delete the lists of all but *owners*.

        The remaining lists count as covered by that run; with None, that is all of them. The
        *watermark* is for the next run. Returns how many were deleted.
        """
        ...

    def watermark(self, kind: ListKind) -> str | None:
        """Return the watermark of the last complete run of a kind, None if there was no run.

        It is empty if that run left none, after `forget_watermark`, and after an `edit` that
        changed more than the moment of a list.
        """
        ...

    def forget_watermark(self, kind: ListKind, *, fence: Fence | None = None) -> None:
        """Remove the watermark: whatever happens to this run, the next one finds none."""
        ...

    def edit(
        self,
        kind: ListKind,
        owner: object,
        change: Callable[[StoredList | None], StoredList],
    ) -> None:
        """Store what *change* returns for an owner's list; no other writer comes between.

        *change* is quick, uses no store, and may raise: then nothing is changed. Nothing is
        changed either when *change* returns its argument.

        Raises:
            UserErasedError: The owner of a personal list was erased.
        """
        ...

    def older_than(self, kind: ListKind, moment: datetime) -> Sequence[object]:
        """Return the owners of lists neither computed nor covered since *moment*, by id."""
        ...

    def computed_since(
        self, kind: ListKind, moment: datetime, *, recipe: Recipe | None = None
    ) -> Owners:
        """Return the owners of lists computed at *moment* or later, in any order.

        With *recipe*, only of lists of that recipe.
        """
        ...

    def filled_up(self, kind: ListKind, *, size: int) -> Owners:
        """Return the owners of lists with popular items or fewer than *size*, in any order."""
        ...

    def totals(self, kind: ListKind) -> StoreTotals:
        """Return how much of a kind is stored; rows are suggestions."""
        ...
