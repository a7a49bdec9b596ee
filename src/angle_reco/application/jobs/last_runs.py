"""What the last run of each job left for the next one, beside its results."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

import attrs

from angle_reco.application.jobs.news import Look, News, NewsReader
from angle_reco.application.jobs.run_context import Done, RunContext
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.watermarks import Watermark
from angle_reco.ports.stores import InterestStore, ListStore, Written


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
