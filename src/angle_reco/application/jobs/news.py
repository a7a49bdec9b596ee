"""What may have changed since the last run of a job, and which homepages a run computes for it."""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from types import MappingProxyType

import attrs
import numpy as np

from angle_reco.application.jobs.run_context import Done, RunContext
from angle_reco.application.scoring import Scorer
from angle_reco.domain.category_prints import changed_categories
from angle_reco.domain.changes import EDITED, IMPORT, Change, ChangeKind
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.errors import StorageError
from angle_reco.domain.ids import CategoryId, IdKind, ItemId
from angle_reco.domain.lists import EVERYTHING, ListKind
from angle_reco.domain.moments import MICROSECOND, to_micros
from angle_reco.domain.scoring.decay import DecaySteps
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.watermarks import (
    LATE_COMMITS,
    Inputs,
    News,
    Watermark,
    WhyFull,
    digest_of_activity,
    digest_of_users,
    spans_of_steps,
    spans_of_turns,
    usable,
)
from angle_reco.ports.changes import Changes, Cursor
from angle_reco.ports.stores import InterestStore, ListStore, Owners, Written
from angle_reco.ports.users import UserQueries
from angle_reco.settings import Settings

_log = logging.getLogger(__name__)

_A_DAY = timedelta(days=1)


@attrs.frozen(kw_only=True)
class LastRuns:
    """Begins runs with what may have changed since the last one, and completes them."""

    users: UserQueries
    interests: InterestStore
    lists: ListStore
    changes: Changes
    scorer: Scorer
    settings: Settings
    as_of: datetime | None = None

    def news(self, inputs: Inputs, work: RunContext) -> News:
        """Return what may have changed since the last run.

        If it computes everything, the watermark of the last run is removed: if this run fails,
        some results are its own.
        """
        with work.paced():
            kind = inputs.kind
            text = self.interests.watermark() if kind is None else self.lists.watermark(kind)
            news = self._read(inputs, text, work)
            if news.before is None and text:
                if kind is None:
                    self.interests.forget_watermark(fence=work.fence)
                else:
                    self.lists.forget_watermark(kind, fence=work.fence)
        return news

    def complete(
        self,
        news: News,
        work: RunContext,
        *,
        owners: IdColumn,
        computed: int,
        written: Written,
        started_at: datetime,
        others_may_have_results: bool = True,
        categories: Mapping[str, str] = MappingProxyType({}),
    ) -> Done:
        """Complete a run that has *computed* the results of some of *owners*.

        Without *others_may_have_results* only owners have any.
        """
        text = ""
        if not work.failed:
            # Who was left out is tried again.
            text = news.watermark(started_at, scope=len(owners), categories=categories)
        retained = owners if others_may_have_results else None
        removed = self._retain(news, work, retained, started_at, text)
        return Done(len(owners), written, removed, left=len(owners) - computed)

    def renew(self, news: News, before: Watermark, work: RunContext) -> Done:
        """Complete a run that has nothing to compute: all results are as fresh as *news*."""
        work.reached("changes since the last run", 1, 1)
        # The results are those of the last run that computed any.
        text = news.watermark(before.started_at, scope=before.scope, categories=before.categories)
        self._retain(news, work, None, news.at, text)
        return Done(before.scope, Written(0, 0), 0, left=before.scope)

    def _retain(
        self,
        news: News,
        work: RunContext,
        owners: IdColumn | None,
        started_at: datetime,
        watermark: str,
    ) -> int:
        kind, fence = news.kind, work.fence
        with work.paced():
            if kind is None:
                return self.interests.retain(
                    owners, started_at=started_at, watermark=watermark, fence=fence
                )
            return self.lists.retain(
                kind, owners, started_at=started_at, watermark=watermark, fence=fence
            )

    def _read(self, inputs: Inputs, text: str | None, work: RunContext) -> News:
        """Return what may have changed since the run that left the watermark *text*.

        The log says why, if everything has to be computed.
        """
        now = self.scorer.clock.now()
        if self.as_of is not None or not self._is_known(inputs):
            return News(kind=inputs.kind, at=now, users=self._no_users)
        before: Watermark | WhyFull = WhyFull.ASKED
        if not work.is_full:
            before = usable(text, now=now, settings=inputs.settings)
        # The position and the digests come first: what is committed after them is news next time.
        cursor, changes, before = self._feed(before, inputs.job)
        if isinstance(before, WhyFull):
            self._log_reason(inputs.job, before)
            return self._everything(inputs, now, cursor)
        return self._since(before, inputs, now, cursor, changes)

    def _feed(
        self, before: Watermark | WhyFull, job: str
    ) -> tuple[str, list[Change], Watermark | WhyFull]:
        """Return the position in the feed, the changes, and whether they are all there are.

        A feed that does not answer hides what happened, and is no reason for a run to fail.
        """
        try:
            if isinstance(before, WhyFull):
                return self.changes.now().text, [], before
            feed = self.changes.since(Cursor(text=before.cursor))
        except StorageError:
            return "", [], WhyFull.GAP
        is_gap = feed.has_gap or any(_hides_rows(one, job) for one in feed.changes)
        return feed.cursor.text, list(feed.changes), WhyFull.GAP if is_gap else before

    def _is_known(self, inputs: Inputs) -> bool:
        """Return whether the results change for reasons that can be known, and not all the time.

        With a half-life every interaction weighs less after each hour of its age.
        """
        is_stepwise = isinstance(self.settings.interest.decay, DecaySteps)
        return (
            inputs.is_known
            and (is_stepwise or not inputs.of_users)
            and (self.settings.popularity.half_life is None or not inputs.of_market)
        )

    def _everything(self, inputs: Inputs, now: datetime, cursor: str) -> News:
        since = now - LATE_COMMITS
        happened = self.scorer.activity_within([(since, None)])
        signed_in = self.users.active_since(since) if inputs.of_users else self._no_users
        return News(
            kind=inputs.kind,
            at=now,
            users=self._no_users,
            settings=inputs.settings,
            cursor=cursor,
            activity=digest_of_activity(happened, since),
            sign_ins=digest_of_users(signed_in),
        )

    def _since(
        self, before: Watermark, inputs: Inputs, now: datetime, cursor: str, changes: list[Change]
    ) -> News:
        late, since = before.at - LATE_COMMITS, now - LATE_COMMITS
        steps = spans_of_steps(before.at, now, self.settings.interest) if inputs.of_users else ()
        happened = self.scorer.activity_within([(late, None), *steps])
        is_recent = happened.moments >= to_micros(late)
        is_new = digest_of_activity(happened, late) != before.activity
        items = [one for change in changes for one in _items(change)]
        market_changed = inputs.of_market and (
            bool(items)
            or is_new
            or len(self.scorer.catalog.turned(spans_of_turns(before.at, now))) > 0
        )
        users, has_left, sign_ins = [happened.users.take(~is_recent)], False, ""
        if is_new:
            users.append(happened.users.take(is_recent))
        if inputs.of_users:
            users += [self._named(changes), self._of_items(changes)]
            signed_in = self.users.active_since(late)
            if digest_of_users(signed_in) != before.sign_ins:
                users.append(signed_in)
            sign_ins = digest_of_users(self.users.active_since(since))
            span = self.settings.active_for
            left = self.users.active_since(before.at - span, not_since=now - span)
            has_left = len(left) > 0
        return News(
            kind=inputs.kind,
            at=now,
            before=before,
            users=IdColumn.joined(self.settings.ids.user, users if inputs.of_users else ()),
            has_left=has_left,
            market_changed=market_changed,
            settings=inputs.settings,
            cursor=cursor,
            activity=digest_of_activity(happened, since),
            sign_ins=sign_ins,
        )

    def _named(self, changes: Iterable[Change]) -> IdColumn:
        named = {one.user_id for one in changes if one.user_id is not None}
        return IdColumn.of(self.settings.ids.user, named)

    def _of_items(self, changes: Iterable[Change]) -> IdColumn:
        """Return the users with activity on the items that were edited, and their sellers.

        The category of an item decides which interest counts, the seller whose bids do.
        """
        edited = {
            one for change in changes if change.kind is ChangeKind.ITEMS for one in change.item_ids
        }
        if not edited:
            return self._no_users
        return self.scorer.concerned_by([ItemId(one) for one in edited])

    @cached_property
    def _no_users(self) -> IdColumn:
        return IdColumn.of(self.settings.ids.user, [])

    def _log_reason(self, job: str, reason: WhyFull) -> None:
        if reason is WhyFull.FUTURE:
            _log.warning("watermark of the future, everything is computed: job=%s", job)
        elif reason not in (WhyFull.ASKED, WhyFull.FIRST):
            _log.info("everything is computed: job=%s why=%s", job, reason.value)


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


def _items(change: Change) -> tuple[ItemId, ...]:
    """Return the items of a change of the marketplace."""
    return () if change.kind is ChangeKind.RUN else change.item_ids


def _hides_rows(change: Change, job: str) -> bool:
    """Return whether more may have changed than a change names, for a *job*."""
    hides = change.kind is ChangeKind.RUN and change.job in (IMPORT, EDITED + job)
    return hides or change.kind is ChangeKind.ERASED


def settings_of_interests(settings: Settings) -> str:
    """Return a text that differs if stored interests of equal data could."""
    return f"{settings.recipes().interests} {settings.active_for}"


def _column(kind: IdKind, owners: Owners) -> IdColumn:
    return owners if isinstance(owners, IdColumn) else IdColumn.of(kind, owners)


def among(users: IdColumn, *some: IdColumn) -> IdColumn:
    """Return those of *users*, in their order, that are in one of the other columns."""
    codes = IdIndex.of(users.kind, *some).codes(users)
    return users.take(np.flatnonzero(codes != NONE))
