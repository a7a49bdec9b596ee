"""The components of `blended`, and the ranker with its weights."""

from collections.abc import Callable
from typing import TypeAlias

import attrs
import numpy as np

from angle_reco.domain.arrays import Int64s
from angle_reco.domain.errors import ComponentError, InvalidValueError, one_of
from angle_reco.domain.millionths import Millionths
from angle_reco.domain.scoring.blended.signals import Signals
from angle_reco.domain.scoring.blended.tastes import Tastes
from angle_reco.domain.scoring.components import Component, DependsOn
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.ranking import Candidates, Ranker


def _of_items(name: str, label: str, rule: Callable[[Signals], Int64s]) -> Component:
    def values(market: OpenMarket, profiles: Profiles, users: Int64s, rows: Int64s) -> Int64s:
        return rule(_signals(market, name))[rows]

    return Component(
        name=name,
        label=label,
        data="when users bid on items or began to watch them",
        depends_on=DependsOn.ITEM,
        values=values,
    )


def _of_users(name: str, label: str, rule: Callable[[Tastes, Int64s], Int64s]) -> Component:
    def values(market: OpenMarket, profiles: Profiles, users: Int64s, rows: Int64s) -> Int64s:
        signals = _signals(market, name)
        if len(users) and (users == users[0]).all():
            return rule(profiles.tastes(int(users[0]), signals), rows)
        found = np.empty(len(rows), np.int64)
        for user in np.unique(users).tolist():
            places = users == user
            found[places] = rule(profiles.tastes(user, signals), rows[places])
        return found

    return Component(
        name=name,
        label=label,
        data="the user's bids and watches, and a model trained on everybody's",
        values=values,
    )


def _signals(market: OpenMarket, component: str) -> Signals:
    if market.signals is None:
        raise ComponentError(component, "needs a trained model")
    return market.signals


Weights: TypeAlias = tuple[tuple[str, Millionths], ...]
"""Weights of components by name."""

_WEIGHTS: tuple[tuple[Component, Millionths], ...] = (
    (_of_users("taste", "your taste", Tastes.taste), 200_000),
    (_of_users("follow", "next step", Tastes.follow), 110_000),
    (_of_users("sequence", "often next", Tastes.sequence), 0),
    (_of_users("alike", "people like you", Tastes.alike), 80_000),
    (_of_items("trend_of_weeks", "trend", lambda s: s.trend_of_weeks), 140_000),
    (_of_items("trend_of_days", "new trend", lambda s: s.trend_of_days), 90_000),
    (_of_items("heat", "demand", lambda s: s.heat), 100_000),
    (_of_items("newness", "newness", lambda s: s.newness), 30_000),
    (_of_users("category", "your categories", Tastes.category), 80_000),
    (_of_users("title", "title", Tastes.title), 50_000),
    (_of_users("price", "price", Tastes.price), 50_000),
    (_of_users("seller", "seller", Tastes.seller), 50_000),
    (_of_items("urgency", "end", lambda s: s.urgency), 20_000),
)

BLENDED = Ranker(name="blended", weights=_WEIGHTS, candidates=Candidates.ALL)
"""The ranker `blended`: a trained model, what it says of items, and what it says to a user."""


_SIMILAR_WEIGHTS = {
    "alike": 500_000,
    "heat": 250_000,
    "category": 50_000,
    "title": 100_000,
    "price": 100_000,
}

SIMILAR_BLENDED = Ranker(
    name="similarity_blended",
    weights=tuple(
        (component, _SIMILAR_WEIGHTS[component.name])
        for component, _ in _WEIGHTS
        if component.name in _SIMILAR_WEIGHTS
    ),
    kept=40,
    candidates=Candidates.ALL,
)
"""Similar items by a trained model: what it says to a user who touched one item and no other."""


def with_weights(weights: Weights) -> Ranker:
    """Return `blended` with other weights; components that are not named weigh nothing.

    Raises:
        InvalidValueError: A component is unknown, a weight is invalid, or all of them are 0.
    """
    known = {component.name: component for component, _ in _WEIGHTS}
    for name, _ in weights:
        if name not in known:
            raise InvalidValueError("component of blended", name, one_of([*known]))
    given = dict(weights)
    pairs = tuple((component, given.get(name, 0)) for name, component in known.items())
    ranker = attrs.evolve(BLENDED, weights=pairs)
    if not any(weight for _, weight in pairs):
        raise InvalidValueError("sum of the weights of blended", 0, "above 0")
    return ranker
