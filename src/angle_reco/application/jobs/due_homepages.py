"""Which homepages a run computes."""

from collections.abc import Callable, Mapping
from datetime import timedelta

import attrs
import numpy as np

from angle_reco.application.jobs.news import News, settings_of_interests
from angle_reco.application.jobs.run_context import RunContext
from angle_reco.application.scoring import Scorer
from angle_reco.domain.category_prints import changed_categories
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.ids import CategoryId, IdKind
from angle_reco.domain.lists import EVERYTHING, ListKind
from angle_reco.domain.moments import MICROSECOND
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.watermarks import LATE_COMMITS, Watermark
from angle_reco.ports.stores import InterestStore, ListStore, Owners
from angle_reco.settings import Settings

_A_DAY = timedelta(days=1)


@attrs.frozen(kw_only=True)
class DueHomepages:
    """Decides for which of the active users a run computes the homepage."""

    interests: InterestStore
    lists: ListStore
    scorer: Scorer
    settings: Settings

    def with_model(self, users: IdColumn, market: OpenMarket) -> IdColumn:
        """Return the users whose homepages a run with a model computes."""
        recipe = self.scorer.ranking(market).recipe
        covered_at = self.lists.totals(ListKind.PERSONAL).covered_at
        if covered_at is None:
            return users
        known = self.lists.computed_since(ListKind.PERSONAL, market.now - _A_DAY, recipe=recipe)
        fresh = IdIndex.of(users.kind, _column(users.kind, known))
        since = covered_at - LATE_COMMITS
        active = IdIndex.of(users.kind, self.scorer.active_users(since))
        is_due = (fresh.codes(users) == NONE) | (active.codes(users) != NONE)
        return users.take(is_due)

    def out_of_turn(self, before: Watermark, work: RunContext) -> Owners:
        """Return the owners of homepages that were computed since the last run, by requests."""
        with work.paced():
            return self.lists.computed_since(ListKind.PERSONAL, before.started_at + MICROSECOND)

    def filled_up(self, work: RunContext) -> Owners:
        """Return the owners of homepages with popular or few suggestions."""
        with work.paced():
            return self.lists.filled_up(ListKind.PERSONAL, size=self.scorer.rankings.kept)

    def by_news(
        self,
        users: IdColumn,
        news: News,
        before: Watermark,
        work: RunContext,
        pages: tuple[Callable[[], Owners], Callable[[], Owners]],
        *,
        categories: Mapping[str, str],
    ) -> IdColumn:
        """Return the users whose homepages may differ from the stored ones.

        A homepage is a function of its user's interests and of the items that the user bid on,
        watches or sells, which *news* names, and of the open items of the favourite categories,
        and of all open items if popular ones fill it up. *categories* are their fingerprints.
        *pages* return the owners of pages out of turn, and of those that are filled up.
        """
        out_of_turn, filled_up = pages
        changed = changed_categories(before.categories, categories)
        some: list[Owners] = []
        if changed:
            with work.paced():
                interested = self._interested_in(changed, before)
            if interested is None:
                return users
            some += [interested, filled_up()]
        some.append(out_of_turn())
        return among(users, news.users, *(_column(users.kind, one) for one in some))

    def _interested_in(self, changed: list[str], before: Watermark) -> Owners | None:
        """Return the users with an interest in one of these categories; None if it is not known.

        A user that the news do not name has had the same interests since the last run of this
        job, and so have the stored ones, if their last run was after it.
        """
        stored = Watermark.from_text(self.interests.watermark() or "")
        if stored is None or stored.at < before.at:
            return None
        if stored.settings != settings_of_interests(self.settings):
            return None
        kind = self.settings.ids.category
        names = [one for one in changed if one != EVERYTHING]
        ids = [CategoryId(kind.parse(one, "category id")) for one in names]
        return self.interests.users_in(IdColumn.of(kind, ids))


def _column(kind: IdKind, owners: Owners) -> IdColumn:
    return owners if isinstance(owners, IdColumn) else IdColumn.of(kind, owners)


def among(users: IdColumn, *some: IdColumn) -> IdColumn:
    """Return those of *users*, in their order, that are in one of the other columns."""
    codes = IdIndex.of(users.kind, *some).codes(users)
    return users.take(np.flatnonzero(codes != NONE))
