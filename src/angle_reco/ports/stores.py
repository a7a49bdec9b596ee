"""Where results are kept, beside the host's own data."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import attrs

from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import CategoryId, UserId
from angle_reco.domain.lists import ListKind, Lists, StoredList
from angle_reco.domain.runs import Fence
from angle_reco.domain.scoring.interest import Interests, UserInterest


class Written(NamedTuple):
    """How much of what was handed over had to be written, and how much was there already."""

    changed: int
    unchanged: int


@attrs.frozen(kw_only=True)
class StoredInterests:
    """A user's interests as they were last computed, the strongest first.

    *covered_at* is the start of the last complete refresh: what it left as it was, is as
    fresh as that. *recipe* marks the settings that made them. Those of the categories
    *removed* were deleted by hand, which stays so until a job replaces it.
    """

    interests: tuple[UserInterest, ...]
    recipe: str
    computed_at: datetime
    covered_at: datetime | None = None
    removed: tuple[CategoryId, ...] = ()


@attrs.frozen(kw_only=True)
class StoreTotals:
    """How much of one kind is kept, since when, and when it was last gone through."""

    owners: int
    rows: int
    oldest_at: datetime | None
    newest_at: datetime | None
    covered_at: datetime | None


class InterestStore(Protocol):
    """Kept interests, a row a user and category.

    Of erased users (`Erasure`) nothing is written; a batch leaves them out.

    Raises:
        FencedOffError: (writing, with a fence) A newer run of the job has written; nothing was.
        StorageUnavailableError: (every method) The store did not answer.
        StorageFullError: (writing) There is no room; nothing was written.
    """

    def of(self, user_id: UserId, *, limit: int | None = None) -> StoredInterests | None:
        """Return a user's interests, at most *limit*, None when nothing is kept.

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
        """Make *interests* all that is kept of *users*, in one transaction.

        Those of other users are left out.

        A row is written when it differs (`interest_has_changed`) or has another recipe.
        Counts rows; one that went away is a change.
        """
        ...

    def retain(self, users: IdColumn, *, started_at: datetime, fence: Fence | None = None) -> int:
        """Close a complete run that started then: forget all but *users*; return how many rows.

        What is left counts as covered by that run.
        """
        ...

    def edit(
        self, user_id: UserId, change: Callable[[StoredInterests | None], StoredInterests]
    ) -> None:
        """Keep what *change* makes of all that is kept of a user, while nobody else writes it.

        *change* is quick, asks no store, and may raise: then nothing is changed. Nor is it
        when *change* returns what it was given.

        Raises:
            UserErasedError: They were erased.
        """
        ...

    def totals(self) -> StoreTotals:
        """Return how much is kept."""
        ...


class ListStore(Protocol):
    """Kept lists of suggestions, one for each owner of a kind.

    Owners of similar lists are items, of personal lists users, and of popular lists
    categories written as text, with EVERYTHING for all of them. Of erased users
    (`Erasure`) no personal list is written; a batch leaves them out.

    Raises:
        FencedOffError: (writing, with a fence) A newer run of the job has written; nothing was.
        StorageUnavailableError: (every method) The store did not answer.
        StorageFullError: (writing) There is no room; nothing was written.
    """

    def read(self, kind: ListKind, owners: Collection[object]) -> Mapping[object, StoredList]:
        """Return the lists of the owners that have one; an empty list is one."""
        ...

    def write(self, kind: ListKind, lists: Lists, *, fence: Fence | None = None) -> Written:
        """Replace the lists that changed (`has_changed`), in one transaction.

        Of several lists of one owner the last counts. A reader sees a list as it was or as
        it is, never a mixture. Counts lists.
        """
        ...

    def retain(
        self,
        kind: ListKind,
        owners: IdColumn,
        *,
        started_at: datetime,
        fence: Fence | None = None,
    ) -> int:
        """Close a complete run that started then: forget the lists of all but *owners*.

        What is left counts as covered by that run. Returns how many lists went.
        """
        ...

    def edit(
        self,
        kind: ListKind,
        owner: object,
        change: Callable[[StoredList | None], StoredList],
    ) -> None:
        """Keep what *change* makes of an owner's list, while nobody else writes it.

        *change* is quick, asks no store, and may raise: then nothing is changed. Nor is it
        when *change* returns what it was given.

        Raises:
            UserErasedError: The owner of a personal list was erased.
        """
        ...

    def coverage(self, kind: ListKind) -> datetime | None:
        """Return when the last complete run of a kind started, None before the first."""
        ...

    def older_than(self, kind: ListKind, moment: datetime) -> Sequence[object]:
        """Return the owners of lists neither computed nor covered since *moment*, by id."""
        ...

    def totals(self, kind: ListKind) -> StoreTotals:
        """Return how much of a kind is kept; rows are suggestions."""
        ...
