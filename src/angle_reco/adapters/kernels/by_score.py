"""Homepages by score alone: the best of all open items for each user.

Estimates of all scores, which are quick, leave few rows for which exact scores are computed.
"""

import numpy as np

from angle_reco.domain.arrays import Floats, Int32s, Int64s, frozen, largest
from angle_reco.domain.lists import Lists
from angle_reco.domain.millionths import ONE
from angle_reco.domain.scoring.components import (
    DependsOn,
    check_dependence,
    contributions,
    estimates,
)
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.ranking import Ranker, homepage_reasons
from angle_reco.domain.suggestions import Source


def rank_by_score(market: OpenMarket, profiles: Profiles, *, ranker: Ranker, keep: int) -> Lists:
    """Return the best *keep* open items for each user of *profiles*, ordered by user.

    The excluded pairs of *profiles* are ordered by user.

    Raises:
        ComponentError: A component failed, or its values are unusable.
    """
    shared = shared_scores(market, profiles, ranker)
    bounds = np.searchsorted(profiles.excluded_user, np.arange(len(profiles) + 1))
    rows, parts = [np.empty(0, np.int64)], [np.empty((0, len(ranker.weights)), np.int32)]
    for user in range(len(profiles)):
        excluded = profiles.excluded_row[bounds[user] : bounds[user + 1]]
        best = _best(market, profiles, ranker, user, shared, excluded, keep)
        rows.append(best[0])
        parts.append(best[1])
    lengths = np.array([len(some) for some in rows[1:]], np.int64)
    return lists_of_rows(
        market, profiles, ranker, np.concatenate(rows), np.concatenate(parts), lengths
    )


def lists_of_rows(
    market: OpenMarket,
    profiles: Profiles,
    ranker: Ranker,
    rows: Int64s,
    parts: Int32s,
    lengths: Int64s,
) -> Lists:
    """Return the pages with these rows and contributions, so many lines for each user."""
    interest = profiles.interest_in(
        market.catalogue.category[rows], np.repeat(np.arange(len(profiles)), lengths)
    )
    return Lists(
        owners=profiles.users,
        offsets=np.append(0, np.cumsum(lengths)),
        items=market.catalogue.ids_at(rows),
        parts=parts,
        reasons=homepage_reasons(market, rows, interest),
        sources=np.full(len(rows), Source.PERSONAL.code, np.int8),
        recipe=ranker.recipe,
        computed_at=market.now,
    )


def shared_scores(market: OpenMarket, profiles: Profiles, ranker: Ranker) -> Floats:
    """Return the part of each row's score that is the same for every user."""
    weights = ranker.those_by(DependsOn.ITEM)

    def scores() -> Floats:
        anyone, rows = np.zeros(len(market), np.int64), np.arange(len(market))
        parts = contributions(market, profiles, anyone, rows, weights)
        return frozen(parts.sum(axis=1).astype(np.float32))

    return market.kept(("shared", weights), scores)


def _best(
    market: OpenMarket,
    profiles: Profiles,
    ranker: Ranker,
    user: int,
    shared: Floats,
    excluded: Int32s,
    keep: int,
) -> tuple[Int64s, Int32s]:
    """Return the *keep* best rows for a user, best first, and their contributions."""
    estimate = shared.copy()
    for component, weight in ranker.weights:
        if component.depends_on is not DependsOn.ITEM and weight:
            values = estimates(component, market, profiles, user)
            estimate += np.multiply(values, weight / ONE, dtype=np.float32)
    estimate[excluded] = -np.inf
    error = _MOST_OFF + len(ranker.weights)
    least = -error
    if len(estimate) > keep:
        # The last of the best is estimated too low, and a row that is better too high.
        least = np.partition(estimate, len(estimate) - keep)[len(estimate) - keep] - 2 * error
    rows = np.flatnonzero(estimate >= max(least, -error))
    parts = contributions(market, profiles, np.full(len(rows), user), rows, ranker.weights)
    scores = parts.sum(axis=1, dtype=np.int64)
    check_dependence(ranker.weights, scores, estimate[rows], within=error)
    best = largest(scores, market.tie_rank[rows], keep)
    return rows[best], parts[best]


_MOST_OFF = 4
"""How far the estimate of a score may be off, in millionths, besides 1 for each contribution.

Contributions are rounded by half a millionth, values are estimated within 2 and their weights
sum up to 1 at most, and the sum of floats is off by less than 1.
"""
