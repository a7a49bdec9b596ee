"""The jobs: each computes one kind of result for all, and stores what changed."""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TypeAlias

import attrs

from angle_reco.application.access import Access
from angle_reco.application.computing import Computing
from angle_reco.domain import (
    Action,
    Actor,
    IdColumn,
    IdIndex,
    IdKind,
    InvalidValueError,
    ItemId,
    ItemNotFoundError,
    ListKind,
    Resource,
    one_of,
)
from angle_reco.ports import CatalogQueries, Clock, InterestStore, ListStore, UserQueries, Written
from angle_reco.settings import Settings

_log = logging.getLogger(__name__)

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is in all."""

_USERS_AT_ONCE = 5_000
_ITEMS_AT_ONCE = 5_000


@attrs.frozen(kw_only=True)
class JobOutcome:
    """What a run of a job did: whom it was for, and what of it had to be written.

    *changed*, *unchanged* and *removed* count lists, of interests rows.
    """

    job: str
    started_at: datetime
    seconds: float
    scope: int
    changed: int
    unchanged: int
    removed: int

    def to_json(self) -> dict[str, object]:
        """Return the outcome as JSON has it."""
        return {**attrs.asdict(self), "started_at": self.started_at.isoformat()}


@attrs.frozen(kw_only=True)
class Jobs:
    """Runs jobs by name."""

    access: Access
    users: UserQueries
    catalog: CatalogQueries
    interests: InterestStore
    lists: ListStore
    computing: Computing
    clock: Clock
    settings: Settings
    as_of: datetime | None = None

    def run(
        self,
        actor: Actor,
        name: str,
        *,
        item_id: ItemId | None = None,
        progress: Progress = lambda what, done, total: None,
    ) -> JobOutcome:
        """Run a job now, over everything or, similarities, for one item.

        Raises:
            AccessDeniedError: The actor may not run jobs.
            InvalidValueError: There is no such job, or it is not for one item.
            ItemNotFoundError: There is no such item.
        """
        self.access.require(actor, Action.RUN, Resource.JOBS)
        if not isinstance(name, str) or name not in JOBS:
            raise InvalidValueError("job", name, one_of(JOBS))
        if item_id is not None and name != "compute_item_similarities":
            raise InvalidValueError("job for one item", name, "compute_item_similarities")
        started_at, started = self.clock.now(), self.clock.monotonic()
        if item_id is not None:
            scope, written, removed = self.compute_similarities_of(item_id)
        else:
            scope, written, removed = JOBS[name](self, progress)
        outcome = JobOutcome(
            job=name,
            started_at=started_at,
            seconds=self.clock.monotonic() - started,
            scope=scope,
            changed=written.changed,
            unchanged=written.unchanged,
            removed=removed,
        )
        _log.info(
            "job done: job=%s scope=%d changed=%d unchanged=%d removed=%d seconds=%.3f",
            name,
            scope,
            outcome.changed,
            outcome.unchanged,
            removed,
            outcome.seconds,
        )
        return outcome

    def refresh_interests(self, progress: Progress) -> tuple[int, Written, int]:
        """Recompute and store the interests of active users."""
        now, users = self.clock.now(), self._active_users()
        total = _Total()
        for first, last in _spans(len(users), _USERS_AT_ONCE):
            progress("interests of users", first, len(users))
            some = users.take(slice(first, last))
            total.add(
                self.interests.write(self.computing.interests(some), users=some, computed_at=now)
            )
        progress("interests of users", len(users), len(users))
        return len(users), total.written, self.interests.retain(users, started_at=now)

    def generate_recommendations(self, progress: Progress) -> tuple[int, Written, int]:
        """Rank and store the homepages of active users."""
        progress("open items", 0, 1)
        market, users = self.computing.market(), self._active_users()
        ranker, total = self.settings.chosen_ranker, _Total()
        for first, last in _spans(len(users), _USERS_AT_ONCE):
            progress("homepages of users", first, len(users))
            some = IdIndex(users.take(slice(first, last)))
            profiles = self.computing.profiles(market, some)
            pages = self.computing.homepages(market, profiles, some.ids, keep=ranker.kept)
            total.add(self.lists.write(ListKind.PERSONAL, pages))
        progress("homepages of users", len(users), len(users))
        removed = self.lists.retain(ListKind.PERSONAL, users, started_at=market.now)
        return len(users), total.written, removed

    def generate_popular_items(self, progress: Progress) -> tuple[int, Written, int]:
        """Rank and store the most popular items, of everything and of each category."""
        progress("popular items", 0, 1)
        market, total = self.computing.market(), _Total()
        lists = self.computing.popular_of_each(market)
        for some in lists:
            total.add(self.lists.write(ListKind.POPULAR, some))
        owners = IdColumn.joined(IdKind.TEXT, (some.owners for some in lists))
        progress("popular items", 1, 1)
        removed = self.lists.retain(ListKind.POPULAR, owners, started_at=market.now)
        return len(owners), total.written, removed

    def compute_similarities(self, progress: Progress) -> tuple[int, Written, int]:
        """Rank and store the similar items of every open item."""
        progress("open items", 0, 1)
        market = self.computing.market()
        engagement, total = self.computing.engagement(market), _Total()
        for first, last in _spans(len(market), _ITEMS_AT_ONCE):
            progress("similar items", first, len(market))
            lists = self.computing.similar_to_all(market, engagement, first=first, last=last)
            total.add(self.lists.write(ListKind.SIMILAR, lists))
        progress("similar items", len(market), len(market))
        owners = market.catalogue.items.ids
        removed = self.lists.retain(ListKind.SIMILAR, owners, started_at=market.now)
        return len(market), total.written, removed

    def compute_similarities_of(self, item_id: ItemId) -> tuple[int, Written, int]:
        """Rank and store the similar items of one item, open or not."""
        item_id = self.settings.ids.item_id(item_id)
        now = self.clock.now()
        card = self.catalog.cards([item_id], at=now, until=self.as_of).get(item_id)
        if card is None:
            raise ItemNotFoundError(item_id)
        lists = self.computing.similar_to_one(self.computing.market(), card)
        return 1, self.lists.write(ListKind.SIMILAR, lists), 0

    def _active_users(self) -> IdColumn:
        since = self.clock.now() - self.settings.active_for
        return self.users.active_since(since, until=self.as_of)


JOBS: dict[str, Callable[[Jobs, Progress], tuple[int, Written, int]]] = {
    "refresh_user_interests": Jobs.refresh_interests,
    "generate_popular_items": Jobs.generate_popular_items,
    "generate_recommendations": Jobs.generate_recommendations,
    "compute_item_similarities": Jobs.compute_similarities,
}
"""Every job by its name, in the order in which they are best run by hand."""


@attrs.define
class _Total:
    changed: int = 0
    unchanged: int = 0

    def add(self, more: Written) -> None:
        self.changed += more.changed
        self.unchanged += more.unchanged

    @property
    def written(self) -> Written:
        return Written(self.changed, self.unchanged)


def _spans(size: int, width: int) -> Iterator[tuple[int, int]]:
    for first in range(0, size, width):
        yield first, min(first + width, size)
