"""The rankers of the settings, as rankings to be judged."""

import attrs
import numpy as np

from angle_reco.domain.arrays import Int32s
from angle_reco.domain.columns import NONE, IdIndex
from angle_reco.domain.moments import from_micros
from angle_reco.domain.scoring.blended_ranker import BLENDED
from angle_reco.evaluation.blended_at import USERS_AT_ONCE, BlendedAt, rows_of_pages
from angle_reco.evaluation.history import Evidence
from angle_reco.evaluation.rankings import Past, Point


@attrs.frozen(kw_only=True)
class SettingsRanking:
    """The homepage of one ranker of the settings, as the jobs compute it, as of the cut."""

    evidence: Evidence
    name: str
    grid: tuple[Point, ...] = ({},)

    def ranked(self, past: Past, users: Int32s, *, point: Point, keep: int) -> Int32s:
        """Return the rows of the homepage of each of *users*."""
        by_code = np.argsort(users, kind="stable")
        ranked = np.full((len(users), keep), NONE, np.int32)
        if self.name == BLENDED.name:
            at_cut = BlendedAt.of(self.evidence, past)
            ranked[by_code] = at_cut.ranked(users[by_code], BLENDED, keep=keep)
            return ranked
        scorer = self.evidence.scorer(from_micros(past.now), self.name)
        market = scorer.market_of(past.catalogue, from_micros(past.now))
        for start in range(0, len(users), USERS_AT_ONCE):
            places = by_code[start : start + USERS_AT_ONCE]
            some = IdIndex(past.user_ids.ids.take(users[places]))
            pages = scorer.homepages(market, scorer.profiles(market, some), keep=keep)
            ranked[places] = rows_of_pages(pages, past, keep)
        return ranked
