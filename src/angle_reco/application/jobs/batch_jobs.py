"""The work of the batch jobs."""

from collections.abc import Callable
from datetime import datetime
from functools import cache, partial
from typing import TypeVar

import attrs
import numpy as np

from angle_reco.application.jobs.batches import Batches, Beside, KnownCategories
from angle_reco.application.jobs.news import DueHomepages, LastRuns, among, settings_of_interests
from angle_reco.application.jobs.run_context import Done, RunContext
from angle_reco.application.scoring import Scorer
from angle_reco.application.trained_models import TrainedModels
from angle_reco.domain.activity import Interactions
from angle_reco.domain.category_prints import category_prints, has_known_data
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.errors import ModelError
from angle_reco.domain.fingerprints import Fingerprints
from angle_reco.domain.ids import IdKind, UserId
from angle_reco.domain.lists import ListKind, Lists
from angle_reco.domain.scoring.blended.columns import columns_of
from angle_reco.domain.scoring.blended.model import Model
from angle_reco.domain.scoring.interest import Interests
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.watermarks import Inputs, News
from angle_reco.ports.clock import Clock
from angle_reco.ports.stores import InterestStore, ListStore, Written
from angle_reco.ports.users import UserQueries
from angle_reco.settings import AUTO, Settings

_USERS_AT_ONCE = 25_000
"""Whose activity is read at once: the database finds many users in little more time than few."""

_RESULTS_AT_ONCE = 5_000
"""Of so many users results are written in one transaction."""

_LEAST_TO_LEARN = 1_000
"""Bids and watches from which `auto` trains a model."""

_LEAST_TO_KEEP = 800
"""Bids and watches below which `auto` removes a model."""

_ITEMS_AT_ONCE = 5_000

_Read = TypeVar("_Read")
_Made = TypeVar("_Made")


@attrs.frozen(kw_only=True)
class Jobs:
    """The work of the jobs, for a run that holds the claim."""

    users: UserQueries
    interests: InterestStore
    lists: ListStore
    models: TrainedModels
    last_runs: LastRuns
    due: DueHomepages
    scorer: Scorer
    clock: Clock
    settings: Settings
    fingerprints: Fingerprints
    as_of: datetime | None = None
    overlaps: bool = False
    """Whether runs read and write beside what they compute, on other threads."""

    def refresh_interests(self, work: RunContext) -> Done:
        """Recompute and store the interests of active users.

        Only of users whose activity, or what it counts, has changed since the last run.
        """
        now, total = self.clock.now(), _Total()
        settings = settings_of_interests(self.settings)
        inputs = Inputs(settings=settings, of_users=True)
        news = self.last_runs.news(inputs, work)
        if (before := news.unchanged_since) is not None:
            return self.last_runs.renew(news, before, work)
        users = self._active_users(work)
        due = users if news.before is None else among(users, news.users)
        categories = KnownCategories(self.settings.ids, self.scorer.catalog)

        def read(some: IdColumn) -> tuple[IdColumn, Interests]:
            with work.paced():
                happened = self.scorer.recent_activity(some)
            return some, self.scorer.interests_from(happened, categories=categories)

        def some_of(
            of_batch: tuple[IdColumn, Interests], first: int, last: int
        ) -> tuple[IdColumn, Interests]:
            some, interests = of_batch
            return some.take(slice(first, last)), interests

        def write(made: tuple[IdColumn, Interests]) -> None:
            some, interests = made
            with work.paced():
                total.add(
                    self.interests.write(interests, users=some, computed_at=now, fence=work.fence)
                )

        self._in_batches(work, "interests of users", due, read, some_of, write)
        return self.last_runs.complete(
            news,
            work,
            owners=users,
            computed=len(due),
            written=total.written,
            started_at=now,
            others_may_have_results=news.before is None or news.has_left,
        )

    def train_models(self, work: RunContext) -> Done:
        """Train and store the model of `blended`, if the settings may use it.

        It is removed if they may not, and with `auto` if there are too few bids and watches.

        Raises:
            ModelError: It is larger than the setting *model_bytes*; the old one stays.
        """
        work.reached("activity", 0, 3)
        store, trained_at = self.models.store, self.clock.now()
        is_stored = store.trained().model is not None
        if not self.models.rankings.learns:
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
        whose homepage is older than a day or of another recipe. Without one they are those whose
        homepage may have changed since the last run.

        Raises:
            ModelError: A model is stored, but cannot be used; the stored homepages stay.
        """
        with work.paced():
            model = self.models.required() if self.scorer.rankings.fixed is None else None
        if model is not None:
            return self._generate_with(model, work)
        news = self.last_runs.news(self._inputs_of_homepages, work)
        if (last := news.unchanged_since) is not None:
            return self.last_runs.renew(news, last, work)
        work.reached("open items", 0, 1)
        may_have_others, before = True, news.before
        with Beside(self.overlaps) as beside:
            all_users = beside(partial(self._active_users, work))
            filled_up = beside(partial(self.due.filled_up, work)) if before else None
            with work.paced():
                market = self.scorer.market()
            due = users = all_users()
            prints = category_prints(market)
            if before is not None and filled_up is not None:
                # Requests that come after the market is read are for the next run to find.
                out_of_turn = beside(partial(self.due.out_of_turn, before, work))
                due = self.due.by_news(
                    users, news, before, work, (out_of_turn, filled_up), categories=prints
                )
                may_have_others = news.has_left or len(out_of_turn()) > 0
        written = self._store_homepages(work, market, due)
        return self.last_runs.complete(
            news,
            work,
            owners=users,
            computed=len(due),
            written=written,
            started_at=market.now,
            others_may_have_results=may_have_others,
            categories=prints,
        )

    @property
    def _inputs_of_homepages(self) -> Inputs:
        ranking, interests = self.scorer.rankings.of(None), settings_of_interests(self.settings)
        return Inputs(
            kind=ListKind.PERSONAL,
            settings=f"{ranking.recipe.to_text()} {interests}",
            of_users=True,
            of_market=True,
            is_known=has_known_data(ranking.ranker),
        )

    def _generate_with(self, model: Model, work: RunContext) -> Done:
        """Rank and store homepages by a trained model."""
        work.reached("open items", 0, 1)
        with work.paced():
            market = self.scorer.market()
            touches = self.scorer.touches(market)
            self.models.store.write_touches(touches, counted_at=market.now, fence=work.fence)
            market = self.scorer.with_signals(market, attrs.evolve(model, touches=touches))
        users = self._active_users(work)
        with work.paced():
            due = self.due.with_model(users, market)
        written = self._store_homepages(work, market, due)
        with work.paced():
            removed = self.lists.retain(
                ListKind.PERSONAL, users, started_at=market.now, fence=work.fence
            )
        return Done(len(users), written, removed, left=len(users) - len(due))

    def _store_homepages(self, work: RunContext, market: OpenMarket, due: IdColumn) -> Written:
        total, categories = _Total(), KnownCategories(self.settings.ids, self.scorer.catalog)

        def read(some: IdColumn) -> Profiles:
            with work.paced():
                return self.scorer.profiles(market, IdIndex(some), categories=categories)

        def pages(profiles: Profiles, first: int, last: int) -> Lists:
            of_part = profiles.between(first, last)
            return self.scorer.homepages(market, of_part, keep=self.scorer.rankings.kept)

        def write(some: Lists) -> None:
            with work.paced():
                total.add(self.lists.write(ListKind.PERSONAL, some, fence=work.fence))

        self._in_batches(work, "homepages of users", due, read, pages, write)
        return total.written

    def generate_popular_items(self, work: RunContext) -> Done:
        """Rank and store the most popular items, of everything and of each category."""
        news = self._news_of_market(ListKind.POPULAR, work)
        if (before := news.unchanged_since) is not None:
            return self.last_runs.renew(news, before, work)
        work.reached("popular items", 0, 1)
        with work.paced():
            market = self.scorer.market()
        total, lists = _Total(), self.scorer.popular_of_each(market)
        owners = IdColumn.joined(IdKind.TEXT, (some.owners for some in lists))
        with work.paced():
            for some in lists:
                total.add(self.lists.write(ListKind.POPULAR, some, fence=work.fence))
        work.reached("popular items", 1, 1)
        return self.last_runs.complete(
            news,
            work,
            owners=owners,
            computed=len(owners),
            written=total.written,
            started_at=market.now,
        )

    def compute_similarities(self, work: RunContext) -> Done:
        """Rank and store the similar items of every open item."""
        is_learned = self.scorer.rankings.is_similar_learned
        news = self._news_of_market(ListKind.SIMILAR, work, is_known=not is_learned)
        if (before := news.unchanged_since) is not None:
            return self.last_runs.renew(news, before, work)
        work.reached("open items", 0, 1)
        with work.paced():
            market = self.scorer.market(self.models.required() if is_learned else None)
            engagement = self.scorer.engagement(market)
        # A model may know every item.
        similarities = cache(lambda: self.scorer.similarities(market, engagement))
        total, items = _Total(), market.catalogue.items.ids

        def compute(_: None, first: int, last: int) -> list[Lists]:
            some = items.take(slice(first, last))
            learned = self.scorer.similar_by_model(market, some) if is_learned else None
            found = [] if learned is None else [learned]
            if learned is None or len(learned) < len(some):
                lists = self.scorer.similar_to_rows(similarities(), np.arange(first, last))
                if learned is not None:
                    of_rule = IdIndex.of(items.kind, learned.owners).codes(lists.owners) == NONE
                    lists = lists.take(np.flatnonzero(of_rule))
                found.append(lists)
            return found

        def write(found: list[Lists]) -> None:
            with work.paced():
                for one in found:
                    total.add(self.lists.write(ListKind.SIMILAR, one, fence=work.fence))

        Batches(
            what="similar items",
            count=len(market),
            read=lambda first, last: None,
            compute=compute,
            write=write,
            name=lambda place: f"item:{items[place]}",
            read_at_once=max(len(market), 1),
            written_at_once=_ITEMS_AT_ONCE,
            overlaps=self.overlaps,
        )(work)
        return self.last_runs.complete(
            news,
            work,
            owners=items,
            computed=len(market),
            written=total.written,
            started_at=market.now,
        )

    def _news_of_market(self, kind: ListKind, work: RunContext, *, is_known: bool = True) -> News:
        settings = self.scorer.recipes.lists[kind].to_text()
        inputs = Inputs(kind=kind, settings=settings, of_market=True, is_known=is_known)
        return self.last_runs.news(inputs, work)

    def _in_batches(
        self,
        work: RunContext,
        what: str,
        users: IdColumn,
        read: Callable[[IdColumn], _Read],
        compute: Callable[[_Read, int, int], _Made],
        write: Callable[[_Made], None],
    ) -> None:
        """Read what is known of many users at once; compute and write for a part of them."""
        Batches(
            what=what,
            count=len(users),
            read=lambda first, last: read(users.take(slice(first, last))),
            compute=compute,
            write=write,
            name=lambda place: f"user:{self.fingerprints.of(UserId(users[place]))}",
            read_at_once=_USERS_AT_ONCE,
            written_at_once=_RESULTS_AT_ONCE,
            overlaps=self.overlaps,
        )(work)

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
