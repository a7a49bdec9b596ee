"""Homepages by a trained model: the best of all open items for each user.

Estimates of all scores, which are quick, leave few rows for which exact scores are computed.
"""

from collections.abc import Mapping
from typing import Any, Self, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from angle_reco.adapters.kernels.by_score import lists_of_rows, shared_scores
from angle_reco.domain.arrays import Floats, Int32s, Int64s, largest
from angle_reco.domain.lists import Lists
from angle_reco.domain.millionths import Millionths, weighted
from angle_reco.domain.scoring.blended.model import Histories
from angle_reco.domain.scoring.blended.signals import Signals
from angle_reco.domain.scoring.blended.tastes import PERSONAL, Tastes
from angle_reco.domain.scoring.blended_ranker import BLENDED
from angle_reco.domain.scoring.components import DependsOn, values_of
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.ranking import Candidates, Ranker

ERROR = 10
"""How far the estimate of a score may be off, in millionths.

Eight contributions are rounded by half a millionth, the values of four views by less than one,
and the sum of so many floats is off by less than two.
"""

Pages: TypeAlias = tuple[Int64s, Int32s, Int64s]
"""Rows of the market, best first, their contributions of `PERSONAL`, and the lines of each user."""

_COMPONENTS = {component.name: component for component, _ in BLENDED.weights}


@attrs.frozen(kw_only=True)
class Learned:
    """What the homepages of some users are made of; the excluded pairs are ordered by user.

    *shared* is the part of each row's score that is the same for every user, and *weights* are
    those of `PERSONAL`.
    """

    market: OpenMarket
    signals: Signals
    profiles: Profiles
    histories: Histories
    ranker: Ranker
    shared: Floats
    weights: Mapping[str, Millionths]

    @classmethod
    def of(cls, market: OpenMarket, profiles: Profiles, ranker: Ranker) -> Self | None:
        """Return it for a ranker with components of `blended` alone, None for any other.

        Raises:
            ComponentError: A component failed.
        """
        if market.signals is None or profiles.histories is None:
            return None
        if ranker.candidates is not Candidates.ALL:
            return None
        if any(_COMPONENTS.get(one.name) is not one for one, _ in ranker.weights):
            return None
        return cls(
            market=market,
            signals=market.signals,
            profiles=profiles,
            histories=profiles.histories,
            ranker=ranker,
            shared=shared_scores(market, profiles, ranker),
            weights=dict.fromkeys(PERSONAL, 0)
            | {one.name: weight for one, weight in ranker.weights},
        )

    def lists(self, pages: Pages) -> Lists:
        """Return pages as lists."""
        rows, personal, lengths = pages
        user = np.repeat(np.arange(len(self.profiles)), lengths)
        parts = np.empty((len(rows), len(self.ranker.weights)), np.int32)
        for column, (component, weight) in enumerate(self.ranker.weights):
            if component.depends_on is DependsOn.ITEM:
                values = values_of(component, self.market, self.profiles, user, rows)
                parts[:, column] = weighted(values, weight)
            else:
                parts[:, column] = personal[:, PERSONAL.index(component.name)]
        return lists_of_rows(self.market, self.profiles, self.ranker, rows, parts, lengths)


def rank_learned(learned: Learned, keep: int) -> Pages:
    """Return the best *keep* rows for each user."""
    profiles, tie_rank = learned.profiles, learned.market.tie_rank
    bounds = np.searchsorted(profiles.excluded_user, np.arange(len(profiles) + 1))
    found = [(np.empty(0, np.int64), np.empty((0, len(PERSONAL)), np.int32))]
    for user in range(len(profiles)):
        tastes = profiles.tastes(user, learned.signals)
        excluded = profiles.excluded_row[bounds[user] : bounds[user + 1]]
        rows = _candidates(tastes, learned, excluded, keep)
        parts = tastes.contributions(rows, learned.weights)
        scores = learned.shared[rows].astype(np.int64) + parts.sum(axis=1, dtype=np.int64)
        best = largest(scores, tie_rank[rows], keep)
        found.append((rows[best], parts[best]))
    rows, parts = (np.concatenate(some) for some in zip(*found, strict=True))
    return rows, parts, np.array([len(some) for some, _ in found[1:]], np.int64)


def _candidates(tastes: Tastes, learned: Learned, excluded: Int32s, keep: int) -> Int64s:
    """Return the rows that may be among the best for a user."""
    weight = learned.weights["title"]
    estimates = tastes.estimate(learned.weights)
    estimates += learned.shared
    estimates[excluded] = -np.inf
    # A title adds its weight at most, so few rows may be among the best with it.
    rows = np.flatnonzero(estimates >= _least(estimates, keep, weight))
    with_titles = estimates[rows] + weighted(tastes.title(rows), weight)
    return rows[with_titles >= _least(with_titles, keep)]


def _least(estimates: npt.NDArray[Any], keep: int, more: Millionths = 0) -> float:
    """Return the least estimate of one of the best, which may have so much *more*."""
    if len(estimates) <= keep:
        return -ERROR
    # The last of the best is estimated too low, and a row that is better too high.
    last = float(np.partition(estimates, len(estimates) - keep)[len(estimates) - keep])
    return max(last - more - 2 * ERROR, -ERROR)
