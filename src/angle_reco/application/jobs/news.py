"""What may have changed since the last run of a job, and what a run leaves for the next one."""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property
from types import MappingProxyType

import attrs

from angle_reco.application.jobs.run_context import Done, RunContext
from angle_reco.application.scoring import Scorer
from angle_reco.domain.changes import EDITED, IMPORT, Change, ChangeKind
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import StorageError
from angle_reco.domain.ids import ItemId
from angle_reco.domain.job_names import JOB_OF, OF_INTERESTS
from angle_reco.domain.lists import ListKind
from angle_reco.domain.moments import to_micros
from angle_reco.domain.scoring.decay import DecaySteps
from angle_reco.domain.watermarks import (
    LATE_COMMITS,
    Watermark,
    Why,
    digest_of_activity,
    digest_of_users,
    spans_of_steps,
    spans_of_turns,
    usable,
)
from angle_reco.ports.changes import Changes, Cursor
from angle_reco.ports.stores import InterestStore, ListStore, Written
from angle_reco.ports.users import UserQueries
from angle_reco.settings import Settings

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Look:
    """What a job looks for: whether its results depend on users, on open items, or on both.

    Results are of a *kind*, None for interests, and *settings* is a text that differs if those of
    equal data could. Without *is_known* they depend on more, such as data of the host.
    """

    kind: ListKind | None = None
    settings: str
    of_users: bool = False
    of_market: bool = False
    is_known: bool = True

    @property
    def job(self) -> str:
        """Return the job that looks."""
        return OF_INTERESTS if self.kind is None else JOB_OF[self.kind]


@attrs.frozen(kw_only=True)
class News:
    """What may have changed from the run *before* until *at*; without that run, anything.

    *users* are those whose own data may have changed, some repeatedly. With *has_left* users are
    no longer active. *market_changed* says whether open items, their counts or their prices may
    differ. The rest is for the next run.
    """

    kind: ListKind | None
    at: datetime
    before: Watermark | None = None
    users: IdColumn
    has_left: bool = False
    market_changed: bool = True
    settings: str = ""
    cursor: str = ""
    activity: str = ""
    sign_ins: str = ""

    @property
    def unchanged_since(self) -> Watermark | None:
        """Return the last run, if nothing has changed since."""
        is_changed = len(self.users) > 0 or self.has_left or self.market_changed
        return None if is_changed else self.before

    def watermark(self, started_at: datetime, *, scope: int, categories: Mapping[str, str]) -> str:
        """Return the text of the watermark that the run leaves; it is empty if there is none."""
        if not self.cursor:
            return ""
        return Watermark(
            at=self.at,
            started_at=started_at,
            full_at=self.at if self.before is None else self.before.full_at,
            settings=self.settings,
            cursor=self.cursor,
            activity=self.activity,
            sign_ins=self.sign_ins,
            scope=scope,
            categories=categories,
        ).to_text()


@attrs.frozen(kw_only=True)
class NewsReader:
    """Reads what may have changed since the last run of a job."""

    users: UserQueries
    changes: Changes
    scorer: Scorer
    settings: Settings
    as_of: datetime | None = None

    def news(self, look: Look, text: str | None, work: RunContext) -> News:
        """Return what may have changed since the run that left the watermark *text*.

        The log says why, if everything has to be computed.
        """
        now = self.scorer.clock.now()
        if self.as_of is not None or not self._is_known(look):
            return News(kind=look.kind, at=now, users=self._no_users)
        before: Watermark | Why = Why.ASKED
        if not work.is_full:
            before = usable(text, now=now, settings=look.settings)
        # The position and the digests come first: what is committed after them is news next time.
        cursor, changes, before = self._feed(before, look.job)
        if isinstance(before, Why):
            self._log_why(look.job, before)
            return self._everything(look, now, cursor)
        return self._since(before, look, now, cursor, changes)

    def _feed(self, before: Watermark | Why, job: str) -> tuple[str, list[Change], Watermark | Why]:
        """Return the position in the feed, the changes, and whether they are all there are.

        A feed that does not answer hides what happened, and is no reason for a run to fail.
        """
        try:
            if isinstance(before, Why):
                return self.changes.now().text, [], before
            feed = self.changes.since(Cursor(text=before.cursor))
        except StorageError:
            return "", [], Why.GAP
        is_gap = feed.has_gap or any(_hides_rows(one, job) for one in feed.changes)
        return feed.cursor.text, list(feed.changes), Why.GAP if is_gap else before

    def _is_known(self, look: Look) -> bool:
        """Return whether the results change for reasons that can be known, and not all the time.

        With a half-life every interaction weighs less after each hour of its age.
        """
        is_stepwise = isinstance(self.settings.interest.decay, DecaySteps)
        return (
            look.is_known
            and (is_stepwise or not look.of_users)
            and (self.settings.popularity.half_life is None or not look.of_market)
        )

    def _everything(self, look: Look, now: datetime, cursor: str) -> News:
        since = now - LATE_COMMITS
        happened = self.scorer.activity_within([(since, None)])
        signed_in = self.users.active_since(since) if look.of_users else self._no_users
        return News(
            kind=look.kind,
            at=now,
            users=self._no_users,
            settings=look.settings,
            cursor=cursor,
            activity=digest_of_activity(happened, since),
            sign_ins=digest_of_users(signed_in),
        )

    def _since(
        self, before: Watermark, look: Look, now: datetime, cursor: str, changes: list[Change]
    ) -> News:
        late, since = before.at - LATE_COMMITS, now - LATE_COMMITS
        steps = spans_of_steps(before.at, now, self.settings.interest) if look.of_users else ()
        happened = self.scorer.activity_within([(late, None), *steps])
        is_recent = happened.moments >= to_micros(late)
        is_new = digest_of_activity(happened, late) != before.activity
        items = [one for change in changes for one in _items(change)]
        market_changed = look.of_market and (
            bool(items)
            or is_new
            or len(self.scorer.catalog.turned(spans_of_turns(before.at, now))) > 0
        )
        users, has_left, sign_ins = [happened.users.take(~is_recent)], False, ""
        if is_new:
            users.append(happened.users.take(is_recent))
        if look.of_users:
            users += [self._named(changes), self._of_items(changes)]
            signed_in = self.users.active_since(late)
            if digest_of_users(signed_in) != before.sign_ins:
                users.append(signed_in)
            sign_ins = digest_of_users(self.users.active_since(since))
            span = self.settings.active_for
            left = self.users.active_since(before.at - span, not_since=now - span)
            has_left = len(left) > 0
        return News(
            kind=look.kind,
            at=now,
            before=before,
            users=IdColumn.joined(self.settings.ids.user, users if look.of_users else ()),
            has_left=has_left,
            market_changed=market_changed,
            settings=look.settings,
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

    def _log_why(self, job: str, why: Why) -> None:
        if why is Why.FUTURE:
            _log.warning("watermark of the future, everything is computed: job=%s", job)
        elif why not in (Why.ASKED, Why.FIRST):
            _log.info("everything is computed: job=%s why=%s", job, why.value)


@attrs.frozen(kw_only=True)
class LastRuns:
    """Begins runs with what may have changed since the last one, and completes them."""

    interests: InterestStore
    lists: ListStore
    reader: NewsReader

    def news(self, look: Look, work: RunContext) -> News:
        """Return what may have changed since the last run.

        If it computes everything, the watermark of the last run is removed: if this run fails,
        some results are its own.
        """
        with work.paced():
            kind = look.kind
            text = self.interests.watermark() if kind is None else self.lists.watermark(kind)
            news = self.reader.news(look, text, work)
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
