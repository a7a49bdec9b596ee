"""The fit of weights, against a plain form, against other ways to solve it, and by its promises."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from angle_reco.domain.errors import NotMeasurableError
from angle_reco.domain.millionths import ONE
from angle_reco.domain.scoring.blended_ranker import Weights
from angle_reco.evaluation import tuning
from angle_reco.evaluation.rankings import Float64s
from angle_reco.evaluation.tuning import (
    Choices,
    by_chance,
    chance_of_a_target,
    fitted,
    loss,
    ndcg_of_choices,
    rounded,
    scaled,
)

seeds = st.integers(0, 2**32 - 1)


def choices_of(seed: int, *, users: int = 12, components: int = 4) -> Choices:
    """Return random choices: 2 to 9 items a user, of which at least one is a target."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 10, users)
    offsets = np.append(0, np.cumsum(sizes))
    are_targets = rng.random(offsets[-1]) < 0.3
    are_targets[offsets[:-1]] = True
    return Choices(
        values=rng.random((offsets[-1], components)), offsets=offsets, are_targets=are_targets
    )


def chosen_by(weights: Float64s, *, users: int, seed: int) -> Choices:
    """Return choices of one of 20 items by each user, as the weights make them likely."""
    rng = np.random.default_rng(seed)
    values = rng.random((users, 20, len(weights)))
    powers = np.exp(values @ weights)
    picks = (powers.cumsum(axis=1) < rng.random((users, 1)) * powers.sum(axis=1)[:, None]).sum(
        axis=1
    )
    are_targets = np.zeros((users, 20), np.bool_)
    are_targets[np.arange(users), picks] = True
    return Choices(
        values=values.reshape(-1, len(weights)),
        offsets=np.arange(users + 1) * 20,
        are_targets=are_targets.ravel(),
    )


def shipped_of(*millionths: int) -> Weights:
    return tuple((f"part_{place}", weight) for place, weight in enumerate(millionths))


EQUAL = shipped_of(250_000, 250_000, 250_000, 250_000)


@pytest.fixture
def always_near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no weights be so much better that they are drawn less."""
    monkeypatch.setattr(tuning, "_FAR_BETTER", math.inf)


def plain_chances(weights: list[float], choices: Choices) -> list[dict[int, float]]:
    """Return for each user the chance of each target, by row."""
    found = []
    for user in range(len(choices)):
        rows = range(int(choices.offsets[user]), int(choices.offsets[user + 1]))
        powers = {
            row: math.exp(
                sum(w * float(x) for w, x in zip(weights, choices.values[row], strict=True))
            )
            for row in rows
        }
        total = math.fsum(powers.values())
        found.append({row: powers[row] / total for row in rows if choices.are_targets[row]})
    return found


def plain_loss(weights: list[float], choices: Choices, start: list[float]) -> float:
    total, users = 0.0, len(choices)
    for chances in plain_chances(weights, choices):
        total -= math.fsum(map(math.log, chances.values())) / len(chances)
    away = math.fsum((w - s) ** 2 for w, s in zip(weights, start, strict=True))
    return total / users + tuning.STRENGTH * away / len(weights)


@given(seed=seeds)
def test_the_loss_is_that_of_the_plain_form_and_its_gradient_the_numeric_one(seed: int) -> None:
    choices, rng = choices_of(seed), np.random.default_rng(seed)
    weights, start = rng.random(4) * 10, rng.random(4) * 10

    value, slope = loss(weights, choices, start)

    assert value == pytest.approx(plain_loss(weights.tolist(), choices, start.tolist()))
    step = 1e-5
    for place, one in enumerate(np.eye(4) * step):
        ahead, behind = (loss(weights + by * one, choices, start)[0] for by in (1, -1))
        assert slope[place] == pytest.approx((ahead - behind) / (2 * step), abs=1e-5)


@given(seed=seeds)
def test_targets_count_by_their_chance(seed: int) -> None:
    choices = choices_of(seed)
    weights = np.random.default_rng(seed).random(4) * 10
    plain = plain_chances(weights.tolist(), choices)

    counted = by_chance(choices, weights)

    for user, chances in enumerate(plain):
        for row in range(int(choices.offsets[user]), int(choices.offsets[user + 1])):
            share = chances.get(row, 0.0) / math.fsum(chances.values())
            assert counted.shares[row] == pytest.approx(share)
    logs = [math.log(math.fsum(chances.values())) for chances in plain]
    found = chance_of_a_target(weights, choices)
    assert found == pytest.approx(math.fsum(logs) / len(logs))
    # A step of the EM algorithm: where these weights are likeliest, that chance has its slope.
    slope = loss(weights, counted, weights)[1]
    for place, one in enumerate(np.eye(4) * 1e-5):
        ahead, behind = (chance_of_a_target(weights + by * one, choices) for by in (1, -1))
        assert -slope[place] == pytest.approx((ahead - behind) / 2e-5, abs=1e-5)


@given(seed=seeds, share=st.floats(0, 1))
def test_the_loss_is_convex(seed: int, share: float) -> None:
    choices, rng = choices_of(seed), np.random.default_rng(seed)
    one, other, start = (rng.random(4) * 30 for _ in range(3))

    between = loss(share * one + (1 - share) * other, choices, start)[0]

    ends = share * loss(one, choices, start)[0] + (1 - share) * loss(other, choices, start)[0]
    assert between <= ends + 1e-9


def test_large_weights_do_not_overflow() -> None:
    value, slope = loss(np.full(4, 5_000.0), choices_of(1), np.zeros(4))

    assert np.isfinite(value)
    assert np.isfinite(slope).all()


@pytest.mark.usefixtures("always_near")
def test_no_weights_of_a_dense_grid_are_better() -> None:
    choices = choices_of(3, users=40, components=2)
    shipped = shipped_of(700_000, 300_000)
    start = scaled(np.array([0.7, 0.3]), choices, chance_of_a_target)
    counted = by_chance(choices, start)
    axis = np.linspace(0, 6, 61)
    grid = {
        (one, other): loss(np.array([one, other]), counted, start)[0]
        for one in axis
        for other in axis
    }
    best = min(grid, key=lambda pair: grid[pair])

    found = dict(fitted(choices, shipped))

    # To the width of the grid.
    assert found["part_0"] / ONE == pytest.approx(best[0] / sum(best), abs=0.03)
    assert 0 < max(best) < 6


@pytest.mark.usefixtures("always_near")
def test_every_start_leads_to_the_same_weights() -> None:
    choices = choices_of(5, users=60)
    start = scaled(np.full(4, 0.25), choices, chance_of_a_target)
    counted = by_chance(choices, start)
    expected = [weight / ONE for _, weight in fitted(choices, EQUAL)]

    for seed in range(5):
        found = minimize(
            loss,
            np.random.default_rng(seed).random(4) * 50,
            args=(counted, start),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, None)] * 4,
            options={"ftol": 1e-14, "gtol": 1e-8},
        ).x
        assert found / found.sum() == pytest.approx(expected, abs=1e-4)


def test_planted_weights_are_found_without_the_penalty(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = np.array([6.0, 0.0, 3.0, 1.0])
    choices = chosen_by(planted, users=6_000, seed=1)
    monkeypatch.setattr(tuning, "STRENGTH", 0.0)

    found = [weight / ONE for _, weight in fitted(choices, EQUAL)]

    assert found == pytest.approx(planted / planted.sum(), abs=0.02)


def test_with_the_penalty_weights_move_from_the_shipped_towards_planted_ones() -> None:
    planted = np.array([6.0, 0.0, 3.0, 1.0])

    found = fitted(chosen_by(planted, users=500, seed=2), EQUAL)

    weights = np.array([weight for _, weight in found]) / ONE
    target, start = planted / planted.sum(), np.full(4, 0.25)
    assert np.linalg.norm(weights - target) < 0.9 * np.linalg.norm(start - target)
    assert weights[0] > weights[2] > weights[3] > weights[1] > 0


def test_weights_go_further_where_the_shipped_ones_fit_badly(
    request: pytest.FixtureRequest,
) -> None:
    """A component that is shipped without weight explains nearly everything."""
    choices = chosen_by(np.array([0.0, 9.0]), users=100, seed=6)

    further = dict(fitted(choices, shipped_of(1_000_000, 0)))

    request.getfixturevalue("always_near")
    near = dict(fitted(choices, shipped_of(1_000_000, 0)))
    assert (near["part_1"], further["part_1"] > 500_000) == (0, True)


@given(seed=seeds)
def test_the_ndcg_of_choices_is_that_of_the_plain_form(seed: int) -> None:
    choices = choices_of(seed)
    # Some scores are equal.
    weights = np.random.default_rng(seed).integers(0, 2, 4).astype(np.float64)
    gains = [1 / math.log2(place + 2) for place in range(10)]

    found = ndcg_of_choices(weights, choices)

    for user in range(len(choices)):
        rows = range(int(choices.offsets[user]), int(choices.offsets[user + 1]))
        are = [bool(choices.are_targets[row]) for row in rows]
        scores = (choices.values[list(rows)] @ weights).tolist()
        ranked = [
            hit for _, hit in sorted(zip(scores, are, strict=True), key=lambda p: (-p[0], p[1]))
        ]
        reached = sum(gain for gain, hit in zip(gains, ranked, strict=False) if hit)
        assert found[user] == pytest.approx(reached / sum(gains[: sum(are)]))


def test_a_few_users_do_not_lead_weights_further(request: pytest.FixtureRequest) -> None:
    """By chance, others rank what eight users chose much better."""
    choices = choices_of(0, users=8, components=2)

    found = fitted(choices, shipped_of(700_000, 300_000))

    request.getfixturevalue("always_near")
    assert found == fitted(choices, shipped_of(700_000, 300_000))


def test_choices_by_the_shipped_weights_hardly_change_them() -> None:
    shipped = shipped_of(400_000, 300_000, 200_000, 100_000)

    found = fitted(chosen_by(np.array([4.0, 3.0, 2.0, 1.0]), users=2_000, seed=3), shipped)

    assert [weight / ONE for _, weight in found] == pytest.approx([0.4, 0.3, 0.2, 0.1], abs=0.02)


def test_a_component_that_repels_loses_weight() -> None:
    planted = np.array([40.0, -40.0])

    found = fitted(chosen_by(planted, users=500, seed=4), shipped_of(900_000, 100_000))

    assert dict(found)["part_1"] < 50_000


def test_components_that_all_repel_give_no_weights() -> None:
    """Each user chose the one item for which all of them are 0."""
    are_targets = np.tile(np.arange(20) == 0, 50)
    choices = Choices(
        values=np.repeat(~are_targets[:, None], 2, axis=1).astype(np.float64),
        offsets=np.arange(51) * 20,
        are_targets=are_targets,
    )

    with pytest.raises(NotMeasurableError, match="each one alone is worse than chance"):
        fitted(choices, shipped_of(500_000, 500_000))


def test_the_order_of_users_and_of_their_items_does_not_matter() -> None:
    choices = choices_of(7, users=30)
    rng = np.random.default_rng(7)
    rows = [
        rng.permutation(np.arange(choices.offsets[user], choices.offsets[user + 1]))
        for user in rng.permutation(len(choices))
    ]
    order = np.concatenate(rows)
    shuffled = Choices(
        values=choices.values[order],
        offsets=np.append(0, np.cumsum([len(one) for one in rows])),
        are_targets=choices.are_targets[order],
    )

    found, expected = fitted(shuffled, EQUAL), fitted(choices, EQUAL)

    assert [weight for _, weight in found] == pytest.approx([w for _, w in expected], abs=100)


def test_joined_choices_are_those_of_all_parts() -> None:
    parts = [choices_of(seed, users=3) for seed in range(3)]

    joined = Choices.joined(parts)

    assert len(joined) == 9
    weights, start = np.arange(4.0), np.ones(4)
    expected = sum(loss(weights, one, start)[0] for one in parts) / 3
    assert loss(weights, joined, start)[0] == pytest.approx(expected)


def test_a_user_without_a_target_is_refused() -> None:
    with pytest.raises(ValueError, match="without a target"):
        Choices(
            values=np.ones((2, 1)), offsets=np.array([0, 1, 2]), are_targets=np.array([True, False])
        )


@pytest.mark.parametrize(("name", "targets", "shares"), [("are_targets", 3, 2), ("shares", 2, 3)])
def test_targets_and_shares_that_are_not_of_the_items_are_refused(
    name: str, targets: int, shares: int
) -> None:
    with pytest.raises(ValueError, match=name):
        Choices(
            values=np.ones((2, 1)),
            offsets=np.array([0, 2]),
            are_targets=np.ones(targets, np.bool_),
            shares=np.ones(shares),
        )


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=14).filter(lambda one: sum(one) > 1e-3))
def test_rounded_weights_sum_up_and_are_off_by_less_than_one(weights: list[float]) -> None:
    found = rounded(np.array(weights))

    exact = np.array(weights) / sum(weights) * ONE
    assert found.sum() == ONE
    assert found.min() >= 0
    assert np.abs(found - exact).max() < 1 + 1e-6
