"""Weights of `blended` that explain best what users touched: a convex fit."""

from collections.abc import Callable, Sequence
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
    touched *are_targets*: at least one of each user. *shares* say how much of the user each target
    counts for; without them all targets of a user count alike.
    """

    values: Float64s = attrs.field(converter=frozen)
    offsets: Int64s = attrs.field(converter=frozen)
    are_targets: Bools = attrs.field(converter=frozen)
    shares: Float64s = attrs.field(
        default=attrs.Factory(
            lambda one: equal_shares(one.are_targets, one.offsets), takes_self=True
        ),
        converter=frozen,
    )

    def __attrs_post_init__(self) -> None:
        check_lengths(self, values=self.values, are_targets=self.are_targets, shares=self.shares)
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
            shares=np.concatenate([one.shares for one in parts]),
        )


def equal_shares(are_targets: Bools, offsets: Int64s) -> Float64s:
    """Return the same share for each target of a user, 0 for other items."""
    targets = np.append(0, np.cumsum(are_targets))[offsets]
    shares: Float64s = are_targets / np.repeat(np.maximum(np.diff(targets), 1), np.diff(offsets))
    return shares


def fitted(choices: Choices, shipped: Weights) -> Weights:
    """Return weights under which users would most likely have touched what they touched.

    With φ the values of an item and K their number, the weights maximise `mean over users, mean
    over their targets of log softmax(w·φ) - STRENGTH·|w - w0|²/K`, w ≥ 0: the conditional logit
    of McFadden, "Conditional logit analysis of qualitative choice behavior", 1974, with a
    quadratic penalty. w0 is the *shipped* weights at the scale that is likeliest by itself, as a
    softmax has a scale and a ranking has none. Targets count by their chance under w0: see
    `by_chance`. The problem is concave, so there is one solution. It is divided by its sum; the
    result sums up to 1,000,000.

    Where the shipped weights fit badly, the penalty is a tenth of that, and all targets of a user
    count alike: if such weights rank the choices better by 5 %, beyond chance. Only then a
    component gets weight that is shipped without.

    Raises:
        NotMeasurableError: Every weight would be 0.
    """
    fractions = np.array([weight for _, weight in shipped]) / ONE
    anything = np.full(len(fractions), np.inf)
    start = scaled(fractions, choices, chance_of_a_target)
    most = np.where(start > 0, anything, 0)
    weights = _likeliest(by_chance(choices, start), start, STRENGTH, most=most)
    start = scaled(fractions, choices, chance_of_targets)
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


def by_chance(choices: Choices, weights: Float64s) -> Choices:
    """Return choices in which the targets of a user count by their chance under *weights*.

    A page shows ten items. The weights that would bring every target of a user up are others than
    those that bring one to the first places, and a rare target would count most. This is a step of
    the EM algorithm (Dempster, Laird and Rubin, 1977) for `chance_of_a_target`, which alone would
    have more than one maximum.
    """
    scores = _of_targets(choices.values @ weights, choices)
    sums = _log_sums(scores, choices)
    return attrs.evolve(choices, shares=np.exp(scores - np.repeat(sums, np.diff(choices.offsets))))


def chance_of_a_target(weights: Float64s, choices: Choices) -> float:
    """Return the mean over users of the logarithm of the chance to touch any target first."""
    scores = choices.values @ weights
    of_targets = _log_sums(_of_targets(scores, choices), choices)
    return float(np.mean(of_targets - _log_sums(scores, choices)))


def chance_of_targets(weights: Float64s, choices: Choices) -> float:
    """Return the mean over users of the logarithms of the chances of their targets."""
    return -loss(weights, choices, weights)[0]


def _of_targets(scores: Float64s, choices: Choices) -> Float64s:
    return np.where(choices.are_targets, scores, -np.inf)


def _log_sums(scores: Float64s, choices: Choices) -> Float64s:
    """Return the logarithm of the sum of the exponentials of each user's scores."""
    starts, sizes = choices.offsets[:-1], np.diff(choices.offsets)
    peaks = np.maximum.reduceat(scores, starts)
    found: Float64s = peaks + np.log(
        np.add.reduceat(np.exp(scores - np.repeat(peaks, sizes)), starts)
    )
    return found


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


def scaled(
    weights: Float64s, choices: Choices, chance: Callable[[Float64s, Choices], float]
) -> Float64s:
    """Return *weights* times the number from 1 to 100 with the largest *chance* of choices."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda scale: -chance(scale * weights, choices), bounds=_SCALES, method="bounded"
    )
    return float(found.x) * weights


def loss(
    weights: Float64s, choices: Choices, start: Float64s, strength: float = STRENGTH
) -> tuple[float, Float64s]:
    """Return what `fitted` minimises, and its gradient; *start* are the weights w0."""
    scores, shares = choices.values @ weights, choices.shares
    sums = _log_sums(scores, choices)
    chances = np.exp(scores - np.repeat(sums, np.diff(choices.offsets)))
    likelihood = (shares @ scores - sums.sum()) / len(choices)
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
