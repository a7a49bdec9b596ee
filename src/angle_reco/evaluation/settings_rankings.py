"""The rankers of the settings, as rankings to be judged."""

import attrs
import numpy as np

from angle_reco.domain.arrays import Int32s, places_in_runs
from angle_reco.domain.columns import NONE, IdIndex
from angle_reco.domain.moments import from_micros
from angle_reco.domain.scoring.blended_ranker import BLENDED
from angle_reco.evaluation.history import Evidence
from angle_reco.evaluation.rankings import Past, Point

_USERS_AT_ONCE = 5_000


@attrs.frozen(kw_only=True)
class SettingsRanking:
    """The homepage of one ranker of the settings, as the jobs compute it, as of the cut."""

    evidence: Evidence
    name: str
    grid: tuple[Point, ...] = ({},)

    def ranked(self, past: Past, users: Int32s, *, point: Point, keep: int) -> Int32s:
        """Return the rows of the homepage of each of *users*."""
        scorer = self.evidence.scorer(from_micros(past.now), self.name)
        market = scorer.market_of(past.catalogue, from_micros(past.now))
        if self.name == BLENDED.name:
            happened = scorer.everything()
            model = scorer.trained(happened, scorer.touched_items(happened))
            market = scorer.with_signals(market, model)
        ranked = np.full((len(users), keep), NONE, np.int32)
        by_code = np.argsort(users, kind="stable")
        for start in range(0, len(users), _USERS_AT_ONCE):
            places = by_code[start : start + _USERS_AT_ONCE]
            some = IdIndex(past.user_ids.ids.take(users[places]))
            pages = scorer.homepages(market, scorer.profiles(market, some), keep=keep)
            line = np.repeat(np.arange(len(pages)), np.diff(pages.offsets))
            rows = past.catalogue.items.codes(pages.items)
            ranked[places[line], places_in_runs(line)] = rows
        return ranked
