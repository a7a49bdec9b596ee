"""`View`, the reading calls and operations of one actor."""

from datetime import datetime
from typing import TYPE_CHECKING, Literal, overload
from warnings import warn

import attrs

from angle_reco.application.admin import Health, Stats
from angle_reco.application.jobs.run_context import Progress, no_progress
from angle_reco.application.jobs.runner import JobOutcome
from angle_reco.application.personal_data import UserExport
from angle_reco.bound import Bound
from angle_reco.domain.erasure import Erased
from angle_reco.domain.ids import CategoryId, CategoryRef, ItemId, ItemRef, UserId, UserRef
from angle_reco.domain.pages import CardLoader
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.domain.suggestions import Shelf
from angle_reco.domain.users import SignIns
from angle_reco.domain.validators import flag
from angle_reco.stored_view import StoredView

_MOVED = frozenset(
    (
        *("get_interests", "get_top_interests", "get_recommendations"),
        *("find_similar_items", "find_stale_recommendations"),
        *("create_interest", "upsert_interest", "delete_interest"),
        *("create_similarity", "upsert_similarity", "delete_similarity"),
        *("create_recommendation", "upsert_recommendation", "delete_recommendation"),
    )
)
"""Names that `View` had in 0.1, and `StoredView` has now."""


@attrs.frozen(repr=False)
class View(Bound):
    """The live answers and operations of one actor; the policy table says who may use which.

    Live answers are for pages: they contain no ended items, and are computed where nothing
    usable is stored. `stored` has the results as a job stored them, and manual overrides.

    *of* is the user whose results are read: by default the signed-in user; `system` has to
    pass it. *cards* is a host's function that maps item ids to the host's objects: items that
    it leaves out are not shown.
    """

    def homepage(
        self,
        limit: int = 20,
        *,
        after: str | None = None,
        of: UserRef | None = None,
        cards: CardLoader | None = None,
    ) -> Shelf:
        """Return "Recommended for you": at most *limit* (1 to 1,000) suggestions.

        A visitor gets popular items, as the `source` of each suggestion says. *after* is the
        `next` of an earlier page, whose items the answer leaves out; all pages together have
        at most 1,000.

        Raises:
            AccessDeniedError: The actor may not read it.
            InvalidValueError: *limit* is not a whole number of at least 1, or *after* is not
                the `next` of a homepage.
        """
        return self._asked(
            self._use_cases.homepage, self._owner(of), limit=limit, after=after, cards=cards
        )

    def similar_items(
        self, item_id: ItemRef, limit: int = 8, *, cards: CardLoader | None = None
    ) -> Shelf:
        """Return similar items for an item's page: at most *limit* (1 to 20) suggestions.

        Raises:
            InvalidValueError: *limit* is not a whole number of at least 1.
            ItemNotFoundError: There is no such item.
        """
        return self._asked(self._use_cases.similar_items, ItemId(item_id), limit=limit, cards=cards)

    def after_bid(
        self,
        item_id: ItemRef,
        limit: int = 8,
        *,
        of: UserRef | None = None,
        assume_bid: bool = False,
        cards: CardLoader | None = None,
    ) -> Shelf:
        """Return "You might also like" for a user who has bid on an item.

        With *assume_bid* the user's interests count a bid on the item now, which is not stored.

        Raises:
            AccessDeniedError: The actor may not read it.
            InvalidValueError: *limit* is not a whole number of at least 1.
            ItemNotFoundError: There is no such item.
        """
        return self._asked(
            self._use_cases.after_bid,
            self._owner(of),
            ItemId(item_id),
            limit=limit,
            assume_bid=assume_bid,
            cards=cards,
        )

    def popular_items(
        self,
        limit: int = 20,
        *,
        category: CategoryRef | None = None,
        after: str | None = None,
        cards: CardLoader | None = None,
    ) -> Shelf:
        """Return the most popular open items, of all or of one category.

        *after* is the `next` of an earlier page, as with `homepage`.

        Raises:
            InvalidValueError: *limit* is not a whole number of at least 1, or *after* is not
                the `next` of popular items of the same category.
        """
        return self._asked(
            self._use_cases.popular_items,
            category=None if category is None else CategoryId(category),
            limit=limit,
            after=after,
            cards=cards,
        )

    def interests(
        self, limit: int | None = None, *, of: UserRef | None = None
    ) -> tuple[UserInterest, ...]:
        """Return a user's interests, the strongest first; all of them without a *limit*.

        Raises:
            AccessDeniedError: The actor may not read it.
            InvalidValueError: *limit* is not a whole number of at least 1.
        """
        return self._asked(self._use_cases.interests, self._owner(of), limit=limit)

    @property
    def stored(self) -> StoredView:
        """The stored results of the same actor, for back offices, tests and tools."""
        return StoredView(self._use_cases, self.actor)

    def sign_ins(self, *, of: UserRef | None = None) -> SignIns | None:
        """Return when a user last signed in and how often; None for an unknown user.

        Raises:
            AccessDeniedError: The actor may not read it.
        """
        return self._asked(self._use_cases.stored.sign_ins, self._owner(of))

    def export_user(self, user_id: UserRef | None = None) -> UserExport:
        """Return all data stored about a user, by default the actor; `to_json()` formats it.

        Raises:
            AccessDeniedError: The actor may not export it.
        """
        return self._asked(self._use_cases.export_user, self._owner(user_id))

    def erase_user(self, user_id: UserRef | None = None) -> Erased:
        """Remove all data stored about a user, by default the actor; return how much it was.

        Nothing is stored about the user again, not even by a job that is running. The host's
        data is unchanged.

        Raises:
            AccessDeniedError: The actor may not erase the user.
            StorageUnavailableError: The database did not answer; nothing was removed.
        """
        return self._asked(self._use_cases.erase_user, self._owner(user_id))

    @overload
    def run_job(
        self,
        name: str,
        *,
        item_id: ItemRef | None = None,
        scheduled: Literal[False] = False,
        full: bool = False,
        progress: Progress = no_progress,
    ) -> JobOutcome: ...
    @overload
    def run_job(
        self,
        name: str,
        *,
        scheduled: bool,
        full: bool = False,
        progress: Progress = no_progress,
    ) -> JobOutcome | None: ...
    def run_job(
        self,
        name: str,
        *,
        item_id: ItemRef | None = None,
        scheduled: bool = False,
        full: bool = False,
        progress: Progress = no_progress,
    ) -> JobOutcome | None:
        """Run a job now and return its outcome; with *item_id*, compute that item's list only.

        A manual run always executes, after any run of the same job (and item) has finished.
        *scheduled* is for a host's own scheduler: the run executes unless a process has
        finished it in the current window, will retry it later, or is executing the job; then
        the call returns None.

        A run leaves results as they are that cannot have changed since the last run: see *left* of
        the outcome. With *full* it computes all of them.

        Raises:
            AccessDeniedError: The actor may not run jobs.
            InvalidValueError: There is no such job, or it cannot run for one item.
            ItemNotFoundError: There is no such item.
            FencedOffError: This process was suspended, and a later run has taken over.
            StorageUnavailableError: The database did not answer, for a whole lease or in time.
        """
        item = None if item_id is None else ItemId(item_id)
        runs, full = self._use_cases.runs, flag(full, "full")
        if flag(scheduled, "scheduled"):
            return runs.run_scheduled(self.actor, name, item_id=item, full=full, progress=progress)
        return runs.run_manually(self.actor, name, item_id=item, full=full, progress=progress)

    def request_job(self, name: str, *, item_id: ItemRef | None = None) -> datetime:
        """Request a run by any process that runs jobs; return the earliest time it may start.

        Several requests for the same job (and item) before it starts lead to one run.

        Raises:
            AccessDeniedError: The actor may not run jobs.
            InvalidValueError: There is no such job, it cannot run for one item, or the
                recommender is as of a moment.
        """
        item = None if item_id is None else ItemId(item_id)
        return self._asked(self._use_cases.runs.request, name, item_id=item).due_at

    def forget_cached(
        self,
        *,
        user_id: UserRef | None = None,
        item_id: ItemRef | None = None,
        pending: bool = False,
    ) -> int:
        """Drop the cached list of a user or an item, or the whole cache of every process.

        Return how many entries this process dropped. Without ids, other processes also drop
        their cached lists, when they read the change feed: within a second or two, or at
        their next call if they read it only then.

        With *pending*, drop pending activity and the cached homepages of one user or of all users
        instead, in this process alone. Pending are events that it has taken and the tables do
        not show yet. A test suite
        that rolls back its transactions calls it after each test.

        Raises:
            AccessDeniedError: The actor may not clear caches.
            InvalidValueError: An id is not of its kind, or *item_id* is given with *pending*.
            StorageUnavailableError: The database did not answer: this process has dropped its
                cache, the others are not notified.
        """
        return self._asked(
            self._use_cases.forget_cached,
            user_id=None if user_id is None else UserId(user_id),
            item_id=None if item_id is None else ItemId(item_id),
            pending=pending,
        )

    def health(self) -> Health:
        """Return whether this process works as it should, and the reason if it does not.

        The check looks whether the tables exist and are writable; it writes nothing.

        Raises:
            AccessDeniedError: The actor may not read it.
        """
        return self._asked(self._use_cases.check_health)

    def stats(self, *, patient: bool = False) -> Stats:
        """Return counts and ages of the marketplace's data and of stored results, and job states.

        Counting rows of large tables may take longer than `deadline`; with *patient* the call
        waits as long as a job does.

        Raises:
            AccessDeniedError: The actor may not read them.
            StorageUnavailableError: The database did not answer in time.
        """
        if flag(patient, "patient"):
            return self._use_cases.read_stats(self.actor)
        return self._asked(self._use_cases.read_stats)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            if name not in _MOVED:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            text = f"View.{name} is View.stored.{name} now; the old name goes with the next release"
            warn(text, DeprecationWarning, stacklevel=2)
            return getattr(self.stored, name)
