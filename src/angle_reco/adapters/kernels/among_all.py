"""Homepages chosen from all open items: each user's score of every item, and the best of them."""

import numpy as np

from angle_reco.domain.arrays import Int32s, Int64s
from angle_reco.domain.lists import Lists
from angle_reco.domain.scoring.components import (
    DependsOn,
    check_dependence,
    contributions,
    values_of_user,
    weighted,
)
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.ranking import Ranker, homepage_reasons
from angle_reco.domain.suggestions import Source


def rank_among_all(market: OpenMarket, profiles: Profiles, *, ranker: Ranker, keep: int) -> Lists:
    """Return the best *keep* open items for each user of *profiles*, ordered by user.

    The excluded pairs of *profiles* are ordered by user.

    Raises:
        ComponentError: A component failed, or its values are unusable.
    """
    size, width = len(market), len(ranker.weights)
    parts, everything = np.zeros((width, size), np.int32), np.arange(size)
    of_items = ranker.those_by(DependsOn.ITEM)
    is_of_items = np.array([one.depends_on is DependsOn.ITEM for one, _ in ranker.weights])
    # What is the same for every user is in its place before the first one.
    anyone = np.zeros(size, np.int64)
    parts[is_of_items] = contributions(market, profiles, anyone, everything, of_items).T
    personal = [(place, *ranker.weights[place]) for place in np.flatnonzero(~is_of_items).tolist()]
    shared = parts.sum(axis=0, dtype=np.int32)
    bounds = np.searchsorted(profiles.excluded_user, np.arange(len(profiles) + 1))
    rows_of_users, parts_of_users = [np.empty(0, np.int64)], [np.empty((0, width), np.int32)]
    for user in range(len(profiles)):
        score = shared.copy()
        for place, component, weight in personal:
            values = values_of_user(component, market, profiles, user)
            parts[place] = weighted(values, weight)
            score += parts[place]
        score[profiles.excluded_row[bounds[user] : bounds[user + 1]]] = -1
        rows = _best(score, market.tie_rank, keep)
        rows_of_users.append(rows)
        parts_of_users.append(parts[:, rows].T)
    lengths = [len(rows) for rows in rows_of_users[1:]]
    row, part = np.concatenate(rows_of_users), np.concatenate(parts_of_users)
    user_of_line = np.repeat(np.arange(len(profiles)), lengths)
    again = contributions(market, profiles, user_of_line, row, of_items).sum(axis=1)
    check_dependence(ranker.weights, again, part[:, is_of_items].sum(axis=1))
    interest = profiles.interest_in(market.catalogue.category[row], user_of_line)
    return Lists(
        owners=profiles.users,
        offsets=np.append(0, np.cumsum(lengths, dtype=np.int64)),
        items=market.catalogue.ids_at(row),
        parts=part,
        reasons=homepage_reasons(market, row, interest),
        sources=np.full(len(row), Source.PERSONAL.code, np.int8),
        recipe=ranker.recipe,
        computed_at=market.now,
    )


def _best(score: Int32s, tie_rank: Int64s, keep: int) -> Int64s:
    """Return the rows with the *keep* largest scores, best first; a negative score is none."""
    among = np.flatnonzero(score >= 0)
    if len(among) > keep:
        least = np.partition(score[among], len(among) - keep)[len(among) - keep]
        among = among[score[among] >= least]
    order = np.lexsort((tie_rank[among], -score[among]))
    return among[order[:keep]]
