"""The components of `blended`, and the ranker with its weights."""

from collections.abc import Callable

import numpy as np

from angle_reco.domain.arrays import Int64s
from angle_reco.domain.errors import ComponentError
from angle_reco.domain.millionths import Millionths
from angle_reco.domain.scoring.blended import tastes
from angle_reco.domain.scoring.blended.signals import Signals
from angle_reco.domain.scoring.blended.tastes import Touched
from angle_reco.domain.scoring.components import Component, DependsOn
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.ranking import Candidates, Ranker


def _of_items(name: str, label: str, sentence: str, rule: Callable[[Signals], Int64s]) -> Component:
    def values(market: OpenMarket, profiles: Profiles, users: Int64s, rows: Int64s) -> Int64s:
        return rule(_signals(market, name))[rows]

    return Component(
        name=name,
        label=label,
        sentence=sentence,
        data="when users bid on items or began to watch them",
        depends_on=DependsOn.ITEM,
        values=values,
    )


def _of_users(
    name: str, label: str, sentence: str, rule: Callable[[Signals, Touched], Int64s]
) -> Component:
    def of_user(market: OpenMarket, profiles: Profiles, user: int) -> Int64s:
        return rule(_signals(market, name), profiles.touched(user))

    def values(market: OpenMarket, profiles: Profiles, users: Int64s, rows: Int64s) -> Int64s:
        found = np.empty(len(rows), np.int64)
        for user in np.unique(users).tolist():
            places = np.flatnonzero(users == user)
            found[places] = of_user(market, profiles, user)[rows[places]]
        return found

    return Component(
        name=name,
        label=label,
        sentence=sentence,
        data="the user's bids and watches, and a model trained on everybody's",
        values=values,
        of_user=of_user,
    )


def _signals(market: OpenMarket, component: str) -> Signals:
    if market.signals is None:
        raise ComponentError(component, "needs a trained model")
    return market.signals


_WEIGHTS: tuple[tuple[Component, Millionths], ...] = (
    (_of_users("taste", "your taste", "Fits what you like", tastes.taste), 220_000),
    (_of_users("follow", "next step", "Often wanted next", tastes.follow), 110_000),
    (_of_users("alike", "people like you", "Wanted by people like you", tastes.alike), 90_000),
    (
        _of_items("trend_of_weeks", "trend", "Wanted more than before", lambda s: s.trend_of_weeks),
        110_000,
    ),
    (
        _of_items(
            "trend_of_days", "new trend", "Wanted more than lately", lambda s: s.trend_of_days
        ),
        70_000,
    ),
    (_of_items("heat", "demand", "Wanted right now", lambda s: s.heat), 100_000),
    (_of_items("newness", "newness", "Newly listed", lambda s: s.newness), 30_000),
    (
        _of_users("category", "your categories", "From your categories", tastes.category_lift),
        80_000,
    ),
    (_of_users("title", "title", "Sounds like what you wanted", tastes.title), 60_000),
    (_of_users("price", "price", "At the prices you look at", tastes.price), 60_000),
    (_of_users("seller", "seller", "From a seller you know", tastes.seller), 50_000),
    (_of_items("urgency", "end", "Ends soon", lambda s: s.urgency), 20_000),
)

BLENDED = Ranker(name="blended", weights=_WEIGHTS, candidates=Candidates.ALL)
