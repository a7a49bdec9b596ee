"""Weights of `blended` that explain best what users touched: a convex fit."""

from collections.abc import Sequence
from typing import Self

import attrs
import numpy as np

from angle_reco.domain.arrays import Bools, Int64s, check_lengths, frozen, places_in_runs
from angle_reco.domain.errors import NotMeasurableError
from angle_reco.domain.millionths import ONE
from angle_reco.domain.scoring.blended_ranker import Weights
from angle_reco.evaluation.bootstrap import resampled
from angle_reco.evaluation.metrics import SHOWN, ndcg
from angle_reco.evaluation.rankings import Float64s

STRENGTH = 1.0
"""How strongly weights are drawn to the shipped ones."""

_WEAKER = 0.1
_FAR_BETTER = 1.05
"""How much better weights have to be that are drawn by `_WEAKER` instead."""

_SCALES = (1.0, 100.0)
_MOST_STEPS = 1_000


@attrs.frozen(kw_only=True)
class Choices:
    """Items that users chose from: a row of component values, 0 to 1, for each item.

    The items of user u are the rows [offsets[u], offsets[u + 1]). Those that the user then
    touched *are_targets*: at least one of each user.
    """

    values: Float64s = attrs.field(converter=frozen)
    offsets: Int64s = attrs.field(converter=frozen)
    are_targets: Bools = attrs.field(converter=frozen)

    def __attrs_post_init__(self) -> None:
        check_lengths(self, values=self.values, are_targets=self.are_targets)
        if len(self) and not np.logical_or.reduceat(self.are_targets, self.offsets[:-1]).all():
            raise ValueError("a user without a target")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the choices of all *parts*, of which there is at least one."""
        sizes = np.concatenate([np.diff(one.offsets) for one in parts])
        return cls(
            values=np.concatenate([one.values for one in parts]),
            offsets=np.append(0, np.cumsum(sizes)),
            are_targets=np.concatenate([one.are_targets for one in parts]),
        )


def fitted(choices: Choices, shipped: Weights) -> Weights:
    """Return weights under which users would most likely have touched what they touched.

    With φ the values of an item and K their number, the weights maximise `mean over users, mean
    over their targets of log softmax(w·φ) - STRENGTH·|w - w0|²/K`, w ≥ 0: the conditional logit
    of McFadden, "Conditional logit analysis of qualitative choice behavior", 1974, with a
    quadratic penalty. w0 is the *shipped* weights at the scale that is likeliest by itself, as a
    softmax has a scale and a ranking has none. Both problems are concave, so there is one
    solution. It is divided by its sum; the result sums up to 1,000,000.

    Where the shipped weights fit badly, the penalty is a tenth of that: if weights with it rank
    the choices better by 5 %, beyond chance. Only then a component gets weight that is shipped
    without.

    Raises:
        NotMeasurableError: Every weight would be 0.
    """
    start = scaled(np.array([weight for _, weight in shipped]) / ONE, choices)
    anything = np.full(len(start), np.inf)
    weights = _likeliest(choices, start, STRENGTH, most=np.where(start > 0, anything, 0))
    further = _likeliest(choices, start, _WEAKER, most=anything)
    both = [ndcg_of_choices(one, choices) for one in (weights, further)]
    ratio = resampled(np.arange(len(choices), dtype=np.int32), both, seed=0).ratio(1, 0)
    if ratio.value > _FAR_BETTER and ratio.low > 1:
        weights = further
    if not weights.sum() > 0:
        raise NotMeasurableError(
            "no component says what users touched next: each one alone is worse than chance"
        )
    names = [name for name, _ in shipped]
    return tuple(zip(names, rounded(weights).tolist(), strict=True))


def _likeliest(choices: Choices, start: Float64s, strength: float, *, most: Float64s) -> Float64s:
    from scipy.optimize import minimize

    found = minimize(
        loss,
        start,
        args=(choices, start, strength),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, one) for one in most],
        options={"maxiter": _MOST_STEPS, "ftol": 1e-14, "gtol": 1e-8},
    )
    return np.asarray(found.x, np.float64)


def ndcg_of_choices(weights: Float64s, choices: Choices) -> Float64s:
    """Return the NDCG@10 of each user; of equal scores those of targets come last."""
    user = np.repeat(np.arange(len(choices)), np.diff(choices.offsets))
    order = np.lexsort((choices.are_targets, -(choices.values @ weights), user))
    place = places_in_runs(user[order])
    hits = np.zeros((len(choices), SHOWN), np.bool_)
    shown = place < SHOWN
    hits[user[order][shown], place[shown]] = choices.are_targets[order][shown]
    return ndcg(hits, np.bincount(user[choices.are_targets]))


def scaled(weights: Float64s, choices: Choices) -> Float64s:
    """Return *weights* times the number from 1 to 100 that makes the choices likeliest."""
    from scipy.optimize import minimize_scalar

    def of(scale: float) -> float:
        return loss(scale * weights, choices, scale * weights)[0]

    found = minimize_scalar(of, bounds=_SCALES, method="bounded")
    return float(found.x) * weights


def loss(
    weights: Float64s, choices: Choices, start: Float64s, strength: float = STRENGTH
) -> tuple[float, Float64s]:
    """Return what `fitted` minimises, and its gradient; *start* are the weights w0."""
    starts, sizes = choices.offsets[:-1], np.diff(choices.offsets)
    scores = choices.values @ weights
    peaks = np.maximum.reduceat(scores, starts)
    powers = np.exp(scores - np.repeat(peaks, sizes))
    sums = np.add.reduceat(powers, starts)
    chances = powers / np.repeat(sums, sizes)
    targets = np.add.reduceat(choices.are_targets.astype(np.float64), starts)
    shares = choices.are_targets / np.repeat(targets, sizes)
    likelihood = (shares @ scores - (peaks + np.log(sums)).sum()) / len(choices)
    away = weights - start
    value = strength * (away @ away) / len(weights) - likelihood
    slope = 2 * strength * away / len(weights)
    slope -= (shares - chances) @ choices.values / len(choices)
    return float(value), slope


def rounded(weights: Float64s) -> Int64s:
    """Return *weights* as millionths of their sum that sum up to 1,000,000 (largest remainder).

    >>> rounded(np.array([1.0, 1.0, 1.0])).tolist()
    [333334, 333333, 333333]
    """
    exact = weights / weights.sum() * ONE
    whole: Int64s = np.floor(exact).astype(np.int64)
    order = np.argsort(whole - exact, kind="stable")
    whole[order[: ONE - int(whole.sum())]] += 1
    return whole
