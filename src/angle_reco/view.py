"""What one actor may read and do."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, overload

import attrs

from angle_reco.application.admin import Stats
from angle_reco.application.jobs.run_context import Progress, no_progress
from angle_reco.application.jobs.runner import JobOutcome
from angle_reco.application.personal_data import UserExport
from angle_reco.application.process_cache import Health
from angle_reco.application.serving.shelf_builder import CardLoader
from angle_reco.domain.erasure import Erased
from angle_reco.domain.ids import CategoryId, CategoryRef, ItemId, ItemRef, UserId, UserRef
from angle_reco.domain.lists import StoredList
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.domain.suggestions import Shelf
from angle_reco.domain.users import SignIns
from angle_reco.domain.validators import flag
from angle_reco.editing import Editing


@attrs.frozen(repr=False)
class View(Editing):
    """What one actor may read and do; who may do what is one table of the policy.

    *of* names whose results are meant: by default the user's own; the system has to say.
    *cards* is a host's own way from item ids to its objects.
    """

    def homepage(
        self, limit: int = 20, *, of: UserRef | None = None, cards: CardLoader | None = None
    ) -> Shelf:
        """Return "Recommended for you": at most *limit* (1 to 1,000) suggestions.

        A visitor gets popular items, as the `source` of each suggestion says.

        Raises:
            AccessDeniedError: It is not the actor's to see.
            InvalidValueError: The limit is no whole number of at least 1.
        """
        return self._asked(self._use_cases.homepage, self._owner(of), limit=limit, cards=cards)

    def similar_items(
        self, item_id: ItemRef, limit: int = 8, *, cards: CardLoader | None = None
    ) -> Shelf:
        """Return what else to show on an item's page: at most *limit* (1 to 20) suggestions.

        Raises:
            InvalidValueError: The limit is no whole number of at least 1.
            ItemNotFoundError: There is no such item.
        """
        return self._asked(self._use_cases.similar_items, ItemId(item_id), limit=limit, cards=cards)

    def after_bid(
        self,
        item_id: ItemRef,
        limit: int = 8,
        *,
        of: UserRef | None = None,
        suppose: bool = False,
        cards: CardLoader | None = None,
    ) -> Shelf:
        """Return "You might also like" for a user who has bid on an item.

        With *suppose* a bid on it right now is counted, and not stored.

        Raises:
            AccessDeniedError: It is not the actor's to see.
            InvalidValueError: The limit is no whole number of at least 1.
            ItemNotFoundError: There is no such item.
        """
        return self._asked(
            self._use_cases.after_bid,
            self._owner(of),
            ItemId(item_id),
            limit=limit,
            suppose=suppose,
            cards=cards,
        )

    def popular_items(
        self,
        limit: int = 20,
        *,
        category: CategoryRef | None = None,
        cards: CardLoader | None = None,
    ) -> Shelf:
        """Return what most people want, of everything or of one category.

        Raises:
            InvalidValueError: The limit is no whole number of at least 1.
        """
        return self._asked(
            self._use_cases.popular_items,
            category=None if category is None else CategoryId(category),
            limit=limit,
            cards=cards,
        )

    def interests(
        self, limit: int | None = None, *, of: UserRef | None = None
    ) -> tuple[UserInterest, ...]:
        """Return what a user is drawn to, the strongest first; without a limit all of it.

        Raises:
            AccessDeniedError: It is not the actor's to see.
            InvalidValueError: The limit is no whole number of at least 1.
        """
        return self._asked(self._use_cases.interests, self._owner(of), limit=limit)

    def sign_ins(self, *, of: UserRef | None = None) -> SignIns | None:
        """Return when a user last signed in and how often, None for an unknown user.

        Raises:
            AccessDeniedError: It is not the actor's to see.
        """
        return self._asked(self._use_cases.stored.sign_ins, self._owner(of))

    def get_interests(self, *, of: UserRef | None = None) -> tuple[UserInterest, ...]:
        """Return a user's stored interests, neither computed nor checked for their age.

        Raises:
            AccessDeniedError: They are not the actor's to see.
        """
        return self._asked(self._use_cases.stored.get_interests, self._owner(of))

    def get_top_interests(
        self, limit: int = 5, *, of: UserRef | None = None
    ) -> tuple[UserInterest, ...]:
        """Return a user's strongest stored interests.

        Raises:
            AccessDeniedError: They are not the actor's to see.
            InvalidValueError: The limit is no whole number of at least 1.
        """
        return self._asked(self._use_cases.stored.get_interests, self._owner(of), limit=limit)

    def get_recommendations(self, *, of: UserRef | None = None) -> StoredList | None:
        """Return a user's homepage as it is stored, None when there is none.

        Raises:
            AccessDeniedError: It is not the actor's to see.
        """
        return self._asked(self._use_cases.stored.get_recommendations, self._owner(of))

    def find_similar_items(self, item_id: ItemRef) -> StoredList | None:
        """Return an item's similar items as they are stored, None when there are none."""
        return self._asked(self._use_cases.stored.find_similar_items, ItemId(item_id))

    def find_stale_recommendations(
        self, *, older_than: timedelta | None = None
    ) -> Sequence[object]:
        """Return the users whose stored homepages are no longer fresh, or older than that.

        Raises:
            AccessDeniedError: The actor may not know.
        """
        return self._asked(self._use_cases.stored.find_stale_recommendations, older_than=older_than)

    def export_user(self, user_id: UserRef | None = None) -> UserExport:
        """Return all that is kept about a user, by default the actor; `to_json()` writes it.

        Raises:
            AccessDeniedError: It is not the actor's to have.
        """
        return self._asked(self._use_cases.export_user, self._owner(user_id))

    def erase_user(self, user_id: UserRef | None = None) -> Erased:
        """Remove all that is kept about a user, by default the actor; return how much it was.

        Nothing is stored about them again, also not by a job that is running. What the host
        owns stays as it is.

        Raises:
            AccessDeniedError: The actor may not erase them.
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
        progress: Progress = no_progress,
    ) -> JobOutcome: ...
    @overload
    def run_job(
        self, name: str, *, scheduled: bool, progress: Progress = no_progress
    ) -> JobOutcome | None: ...
    def run_job(
        self,
        name: str,
        *,
        item_id: ItemRef | None = None,
        scheduled: bool = False,
        progress: Progress = no_progress,
    ) -> JobOutcome | None:
        """Run a job now and wait for it; similarities also for one item alone.

        That is what a person wants: it always runs, once no other run of its like is under
        way. *scheduled* is for a scheduler of the host's: then it runs unless that was done
        in its window of now, by whatever process, or is being done; None says so.

        Raises:
            AccessDeniedError: The actor may not run jobs.
            InvalidValueError: There is no such job, or it is not for one item.
            ItemNotFoundError: There is no such item.
            FencedOffError: This process slept, and a later run of the job has taken over.
            StorageUnavailableError: The database did not answer, for a whole lease or in time.
        """
        item = None if item_id is None else ItemId(item_id)
        if flag(scheduled, "scheduled"):
            return self._use_cases.runs.scheduled(self.actor, name, item_id=item, progress=progress)
        return self._use_cases.runs.by_hand(self.actor, name, item_id=item, progress=progress)

    def request_job(self, name: str, *, item_id: ItemRef | None = None) -> datetime:
        """Leave a job to whichever process works; return from when on it may begin.

        Of several requests for the same before it begins, one run comes.

        Raises:
            AccessDeniedError: The actor may not run jobs.
            InvalidValueError: There is no such job, or it is not for one item.
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
        """Forget what is in memory of a user or an item, or everything; return how much it was.

        That counts entries of this process. Everything is forgotten in the others too, when
        they next read the open items: within a minute, if they answer at all.

        With *pending*, events that this process has taken and that the tables do not show
        yet are forgotten instead, of one user or of all, in this process: a test suite that
        rolls its transactions back calls it after each test.

        Raises:
            AccessDeniedError: The actor may not clear caches.
            InvalidValueError: An id is of another kind, or an item is named for *pending*.
            StorageUnavailableError: The database did not answer, to tell the others.
        """
        return self._asked(
            self._use_cases.forget_cached,
            user_id=None if user_id is None else UserId(user_id),
            item_id=None if item_id is None else ItemId(item_id),
            pending=pending,
        )

    def health(self) -> Health:
        """Return whether this process does what it should, and why if it does not.

        The database is asked whether tables are there and may be written; nothing is.

        Raises:
            AccessDeniedError: The actor may not know.
        """
        return self._asked(self._use_cases.check_health)

    def stats(self, *, patient: bool = False) -> Stats:
        """Return how much there is and how old it is.

        Rows are counted, which on large tables may take longer than a call should: when
        *patient*, it waits as a job does.

        Raises:
            AccessDeniedError: The actor may not know.
            StorageUnavailableError: The database did not answer in time.
        """
        if flag(patient, "patient"):
            return self._use_cases.read_stats(self.actor)
        return self._asked(self._use_cases.read_stats)
