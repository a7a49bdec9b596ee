"""The work of the batch jobs, and how the list of a single item is stored."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

import attrs
import numpy as np

from angle_reco.application.jobs.run_context import RunContext
from angle_reco.application.scoring import Scorer
from angle_reco.application.trained_models import TrainedModels
from angle_reco.domain.activity import Interactions
from angle_reco.domain.availability import is_open
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.errors import ItemNotFoundError, ModelError
from angle_reco.domain.fingerprints import Fingerprints
from angle_reco.domain.ids import IdKind, ItemId
from angle_reco.domain.lists import ListKind, Lists
from angle_reco.domain.runs import Fence
from angle_reco.domain.scoring.blended.columns import columns_of
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.stored_list import StoredLine, StoredList, with_similar
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.ports.clock import Clock
from angle_reco.ports.stores import InterestStore, ListStore, Written
from angle_reco.ports.users import UserQueries
from angle_reco.settings import AUTO, Settings

_USERS_AT_ONCE = 5_000
_LEAST_TO_LEARN, _LEAST_TO_KEEP = 1_000, 800
"""Bids and watches from which `auto` trains a model, and below which it removes one."""

_A_DAY = timedelta(days=1)
_LATE_COMMITS = timedelta(minutes=10)
"""A transaction may commit so much later than the moments of its rows."""

_ITEMS_AT_ONCE = 5_000


class Done(NamedTuple):
    """What a job did: for how many owners, and how much it wrote and removed.

    *entered* are the items whose lists a job for one item has changed, too.
    """

    scope: int
    written: Written
    removed: int
    entered: tuple[ItemId, ...] = ()


class NoUsableListError(Exception):
    """No list is stored that the item could enter, or its recipe differs."""


@attrs.frozen(kw_only=True)
class Jobs:
    """The work of the jobs, for a run that holds the claim."""

    users: UserQueries
    catalog: CatalogQueries
    interests: InterestStore
    lists: ListStore
    models: TrainedModels
    scorer: Scorer
    clock: Clock
    settings: Settings
    fingerprints: Fingerprints
    as_of: datetime | None = None

    def refresh_interests(self, work: RunContext) -> Done:
        """Recompute and store the interests of active users."""
        now, users = self.clock.now(), self._active_users(work)
        total = _Total()

        def refresh(first: int, last: int) -> None:
            some = users.take(slice(first, last))
            with work.paced():
                happened = self.scorer.recent_activity(some)
            interests = self.scorer.interests_from(happened)
            with work.paced():
                total.add(
                    self.interests.write(interests, users=some, computed_at=now, fence=work.fence)
                )

        self._in_batches(work, "interests of users", users, refresh)
        with work.paced():
            removed = self.interests.retain(users, started_at=now, fence=work.fence)
        return Done(len(users), total.written, removed)

    def train_models(self, work: RunContext) -> Done:
        """Train and store the model of `blended`, if the settings may use it.

        It is removed if they may not, and with `auto` if there are too few bids and watches.

        Raises:
            ModelError: It is larger than the setting *model_bytes*; the old one stays.
        """
        work.reached("activity", 0, 3)
        store, trained_at = self.models.store, self.clock.now()
        is_stored = store.trained().model is not None
        if not self.models.may_learn:
            return self._without_model(work, is_stored)
        with work.paced():
            happened = self._counted(self.scorer.everything())
        least = _LEAST_TO_KEEP if is_stored else _LEAST_TO_LEARN
        if self.settings.ranker == AUTO and len(happened) < least:
            return self._without_model(work, is_stored)
        work.reached("items", 1, 3)
        with work.paced():
            items = self.scorer.touched_items(happened)
        work.reached("model", 2, 3)
        model = self.scorer.trained(happened, items)
        size = sum(column.nbytes for column in columns_of(model).values())
        if size > self.settings.model_bytes:
            raise ModelError(f"has {size} bytes, but model_bytes is {self.settings.model_bytes}")
        people = IdColumn.joined(
            self.settings.ids.user, [happened.users, items.catalogue.sellers.ids]
        )
        with work.paced():
            store.write(
                model,
                trained_at=trained_at,
                people=IdIndex.of(people.kind, people).ids,
                fence=work.fence,
            )
        work.reached("model", 3, 3)
        return Done(len(model.users), Written(1, 0), 0)

    def _without_model(self, work: RunContext, is_stored: bool) -> Done:
        self.models.store.remove(fence=work.fence)
        work.reached("activity", 3, 3)
        return Done(0, Written(0, 0), int(is_stored))

    def _counted(self, happened: Interactions) -> Interactions:
        """Return what happened without erased users, whose rows the host may have kept."""
        users = IdIndex.of(happened.users.kind, happened.users)
        stays = self.models.store.not_erased(users.ids)
        return happened if stays.all() else happened.where(stays[users.codes(happened.users)])

    def generate_recommendations(self, work: RunContext) -> Done:
        """Rank and store the homepages of active users.

        With a trained model these are the users who were active since the last run, and those
        whose homepage is older than a day or of another recipe.

        Raises:
            ModelError: A model is stored, but cannot be used; the stored homepages stay.
        """
        work.reached("open items", 0, 1)
        with work.paced():
            market = self.scorer.market()
            model = self.models.required() if self.scorer.rankings.fixed is None else None
            if model is not None:
                touches = self.scorer.touches(market)
                self.models.store.write_touches(touches, counted_at=market.now, fence=work.fence)
                model = attrs.evolve(model, touches=touches)
                market = self.scorer.with_signals(market, model)
        users, total = self._active_users(work), _Total()
        with work.paced():
            due = users if model is None else self._due_users(users, market)

        def generate(first: int, last: int) -> None:
            some = IdIndex(due.take(slice(first, last)))
            with work.paced():
                profiles = self.scorer.profiles(market, some)
            pages = self.scorer.homepages(market, profiles, keep=self.scorer.rankings.kept)
            with work.paced():
                total.add(self.lists.write(ListKind.PERSONAL, pages, fence=work.fence))

        self._in_batches(work, "homepages of users", due, generate)
        with work.paced():
            removed = self.lists.retain(
                ListKind.PERSONAL, users, started_at=market.now, fence=work.fence
            )
        return Done(len(users), total.written, removed)

    def generate_popular_items(self, work: RunContext) -> Done:
        """Rank and store the most popular items, of everything and of each category."""
        work.reached("popular items", 0, 1)
        with work.paced():
            market = self.scorer.market()
        total, lists = _Total(), self.scorer.popular_of_each(market)
        owners = IdColumn.joined(IdKind.TEXT, (some.owners for some in lists))
        with work.paced():
            for some in lists:
                total.add(self.lists.write(ListKind.POPULAR, some, fence=work.fence))
            removed = self.lists.retain(
                ListKind.POPULAR, owners, started_at=market.now, fence=work.fence
            )
        work.reached("popular items", 1, 1)
        return Done(len(owners), total.written, removed)

    def compute_similarities(self, work: RunContext) -> Done:
        """Rank and store the similar items of every open item."""
        work.reached("open items", 0, 1)
        is_learned = self.scorer.rankings.is_similar_learned
        with work.paced():
            market = self.scorer.market(self.models.required() if is_learned else None)
            engagement = self.scorer.engagement(market)
        similarities = self.scorer.similarities(market, engagement)
        total, items = _Total(), market.catalogue.items.ids

        def compute(first: int, last: int) -> None:
            some = items.take(slice(first, last))
            learned = self.scorer.similar_by_model(market, some) if is_learned else None
            found = [] if learned is None else [learned]
            if learned is None or len(learned) < len(some):
                lists = self.scorer.similar_to_rows(similarities, np.arange(first, last))
                if learned is not None:
                    of_rule = IdIndex.of(items.kind, learned.owners).codes(lists.owners) == NONE
                    lists = lists.take(np.flatnonzero(of_rule))
                found.append(lists)
            with work.paced():
                for one in found:
                    total.add(self.lists.write(ListKind.SIMILAR, one, fence=work.fence))

        for first, last in _spans(len(market), _ITEMS_AT_ONCE):
            work.reached("similar items", first, len(market))
            work.bisecting_failures(
                first,
                last,
                compute,
                lambda place: f"item:{items.take(slice(place, place + 1)).to_list()[0]}",
            )
        work.reached("similar items", len(market), len(market))
        with work.paced():
            removed = self.lists.retain(
                ListKind.SIMILAR, items, started_at=market.now, fence=work.fence
            )
        return Done(len(market), total.written, removed)

    def compute_similarities_of(self, item_id: ItemId, work: RunContext) -> Done:
        """Rank and store the similar items of one item; an open item enters their lists, too.

        Raises:
            ItemNotFoundError: There is no such item.
        """
        now = self.clock.now()
        card = self.catalog.cards([item_id], at=now, until=self.as_of).get(item_id)
        if card is None:
            raise ItemNotFoundError(item_id)
        work.reached("open items", 0, 1)
        market = self.scorer.market(self.models.of_similar)
        lists = self.scorer.similar_to_one(market, card)
        written = store_one(self.lists, ListKind.SIMILAR, lists, fence=work.fence)
        entered = list[ItemId]()
        # Similarity by a model is not symmetric.
        if is_open(card, now) and lists.recipe.model == "":
            entered = self._enter_lists_of(lists.stored(0), item_id, work)
        changed = written.changed + len(entered)
        return Done(1, Written(changed=changed, unchanged=written.unchanged), 0, tuple(entered))

    def _enter_lists_of(
        self, similar: StoredList, item_id: ItemId, work: RunContext
    ) -> list[ItemId]:
        """Put an item into the lists of its similar items; return the owners of changed lists.

        Similarity is symmetric, so a line of the item's list is valid in the other list.
        """
        entered = list[ItemId]()
        for place, line in enumerate(similar.lines):
            work.reached("lists of similar items", place, len(similar))
            mirrored = attrs.evolve(line, item_id=item_id)
            was_entered = False

            def enter(stored: StoredList | None, mirrored: StoredLine = mirrored) -> StoredList:
                nonlocal was_entered
                if stored is None or stored.recipe != similar.recipe:
                    raise NoUsableListError
                made = with_similar(stored, mirrored)
                was_entered = made is not stored
                return made

            with suppress(NoUsableListError):
                self.lists.edit(ListKind.SIMILAR, line.item_id, enter)
            if was_entered:
                entered.append(line.item_id)
        return entered

    def _in_batches(
        self, work: RunContext, what: str, users: IdColumn, act: Callable[[int, int], None]
    ) -> None:
        def name(place: int) -> str:
            [user_id] = users.take(slice(place, place + 1))
            return f"user:{self.fingerprints.of(user_id)}"

        for first, last in _spans(len(users), _USERS_AT_ONCE):
            work.reached(what, first, len(users))
            work.bisecting_failures(first, last, act, name)
        work.reached(what, len(users), len(users))

    def _due_users(self, users: IdColumn, market: OpenMarket) -> IdColumn:
        """Return the users whose homepages a run with a model must compute."""
        recipe = self.scorer.ranking(market).recipe
        covered_at = self.lists.totals(ListKind.PERSONAL).covered_at
        if covered_at is None:
            return users
        known = self.lists.computed_since(ListKind.PERSONAL, market.now - _A_DAY, recipe=recipe)
        fresh = IdIndex.of(users.kind, IdColumn.of(users.kind, known))
        since = covered_at - _LATE_COMMITS
        active = IdIndex.of(users.kind, self.scorer.active_users(since))
        is_due = (fresh.codes(users) == NONE) | (active.codes(users) != NONE)
        return users.take(is_due)

    def _active_users(self, work: RunContext) -> IdColumn:
        since = self.clock.now() - self.settings.active_for
        with work.paced():
            return self.users.active_since(since, until=self.as_of)


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


def store_one(
    store: ListStore, kind: ListKind, lists: Lists, *, fence: Fence | None = None
) -> Written:
    """Store the list of one owner; if the content is unchanged, renew its timestamp.

    A complete run covers the lists that it leaves unchanged. No run covers a single list, which
    would stay stale however often it was recomputed.

    Raises:
        FencedOffError: A newer run of the job has written; this call wrote nothing.
        StorageError: The list could not be stored.
        UserErasedError: The owner of a personal list was erased.
    """

    def renewed(stored: StoredList | None) -> StoredList:
        made = lists.stored(0)
        if stored is None:
            return made
        if stored.computed_at >= made.computed_at:
            return stored
        return attrs.evolve(stored, computed_at=made.computed_at)

    written = store.write(kind, lists, fence=fence)
    if written.unchanged:
        [owner] = lists.owners
        store.edit(kind, owner, renewed)
    return written
