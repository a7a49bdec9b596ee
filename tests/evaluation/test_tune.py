"""Tuning on marketplaces of which it is known whether other weights are better."""

from datetime import timedelta
from functools import cache

import attrs
import numpy as np
import pytest

from angle_reco.adapters.memory.marketplace import MemoryMarketplace
from angle_reco.domain.activity import Watch
from angle_reco.domain.columns import IdIndex
from angle_reco.domain.errors import NotMeasurableError
from angle_reco.domain.ids import UserId
from angle_reco.domain.millionths import ONE
from angle_reco.domain.moments import from_micros
from angle_reco.domain.scoring.blended_ranker import BLENDED
from angle_reco.domain.scoring.components import values_of
from angle_reco.evaluation import blended_at
from angle_reco.evaluation import tune as tune_module
from angle_reco.evaluation.blended_at import BlendedAt
from angle_reco.evaluation.cuts import Cut, CutRule, cuts_of
from angle_reco.evaluation.history import Evidence, read_history
from angle_reco.evaluation.tune import SHIPPED, Tuning, tune
from tests.application.shop import DAY, NOW, filled, lot
from tests.evaluation.markets import evidence_of

USERS, LOTS, SELLERS, DAYS = 40, 120, 8, 40
RULE = CutRule(count=2, every=4 * DAY, window=5 * DAY)


@cache
def market(*, loyalty: float, seed: int = 1) -> MemoryMarketplace:
    """Return a marketplace without trends, where a part of the watches is of one seller's lots."""
    rng = np.random.default_rng(seed)
    lots = [
        lot(f"lot-{n:03}", None, price=None, seller=f"seller-{n % SELLERS}", listed=DAYS + 1)
        for n in range(LOTS)
    ]
    watches = []
    for user in range(USERS):
        own = np.arange(LOTS) % SELLERS == user % SELLERS
        chances = np.where(own, loyalty / own.sum(), (1 - loyalty) / (~own).sum())
        for item in rng.choice(LOTS, 14, replace=False, p=chances):
            at = NOW - timedelta(days=float(rng.random() * DAYS))
            watches.append(
                Watch(user_id=UserId(f"u{user:02}"), item_id=lots[item].item_id, watched_at=at)
            )
    return filled([attrs.evolve(one, title="a lot") for one in lots], *watches)


def tuned(shop: MemoryMarketplace, rule: CutRule = RULE) -> Tuning:
    return tune(evidence_of(shop), rule, until=NOW, source="shop")


@cache
def loyal() -> Tuning:
    return tuned(market(loyalty=0.9))


@cache
def random() -> Tuning:
    # With one market in twenty, chance alone is above the interval.
    return tuned(market(loyalty=1 / SELLERS, seed=2))


def test_the_component_that_says_most_gains_weight_and_pages_are_better() -> None:
    weights, shipped = dict(loyal().weights), dict(SHIPPED)

    assert sum(weights.values()) == ONE
    assert max(weights, key=lambda name: weights[name] - shipped[name]) == "seller"
    assert loyal().tuned.value > loyal().shipped.value
    assert loyal().difference.low > 0
    assert loyal().is_better
    assert loyal().reason.endswith(": above 0")


def test_chance_is_not_taken_for_a_gain() -> None:
    assert random().difference.low <= 0
    assert not random().is_better
    assert random().reason.endswith("not above 0, so it may be chance")


def test_few_users_are_not_enough() -> None:
    found = attrs.evolve(loyal(), users=29)

    assert attrs.evolve(found, users=30).is_better
    assert not found.is_better
    assert found.reason.endswith("but with fewer than 30 users it may be chance")


def test_the_figures_name_what_was_read_and_when_it_was_fitted_and_judged() -> None:
    found = loyal()

    assert (found.read.users, found.read.items) == (USERS, LOTS)
    assert (found.read.bids, found.read.watches) == (0, 14 * USERS)
    last = max(one.moment for one in found.judged)
    assert found.read.last[:10] > last[:10]
    # Windows of cuts that fit end before the first that judges.
    fitted, judged = (
        [np.datetime64(one.moment[:19]) for one in cuts]
        for cuts in (
            found.fitted,
            found.judged,
        )
    )
    assert (len(fitted), len(judged)) == (3, 2)
    assert max(fitted) + np.timedelta64(5, "D") <= min(judged)
    assert found.questions == sum(one.questions for one in found.judged)
    assert found.difference.value == pytest.approx(found.tuned.value - found.shipped.value)
    figures = found.to_json()
    assert figures["weights"] == dict(found.weights)
    assert figures["is_better"] is True


def test_the_seed_decides() -> None:
    shop, rule = market(loyalty=0.9), attrs.evolve(RULE, most_users=20)
    one, again, other = (tuned(shop, attrs.evolve(rule, seed=seed)) for seed in (0, 0, 5))

    assert again == one
    assert other.weights != one.weights


def test_the_interval_is_that_of_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = loyal()
    monkeypatch.setattr(tune_module, "PERCENT", 50.0)

    found = tuned(market(loyalty=0.9))

    assert usual.difference.low < found.difference.low < found.difference.value
    assert "end of the 50 % interval" in found.reason


def test_what_happens_after_the_first_cut_that_judges_changes_no_weight() -> None:
    """Only the last moment stays, which determines the cuts."""
    shop, first = market(loyalty=0.9), np.datetime64(loyal().judged[0].moment[:19])
    watches = list(shop.watches.values())
    last = max(one.watched_at for one in watches)
    kept = [
        one
        for one in watches
        if np.datetime64(one.watched_at.replace(tzinfo=None)) <= first
        or one.watched_at == last
        or str(one.user_id) < "u20"
    ]
    assert len(kept) < len(watches)

    found = tuned(filled(shop.items.values(), *kept))

    assert found.weights == loyal().weights
    assert found.questions < loyal().questions


@cache
def cut() -> tuple[Evidence, Cut]:
    evidence = evidence_of(market(loyalty=0.5))
    [found] = cuts_of(evidence, read_history(evidence, until=NOW), attrs.evolve(RULE, count=1))
    return evidence, found


def test_choices_are_the_targets_and_other_items_that_could_be_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blended_at, "others_of_each", lambda _: 91)
    evidence, found = cut()
    at_cut, questions = BlendedAt.of(evidence, found.past), found.questions

    choices = at_cut.choices(questions, seed=1)

    assert len(choices) == len(questions)
    rows, offsets, are_targets = blended_at.drawn(found.past, questions, 1)
    assert choices.offsets.tolist() == offsets.tolist()
    assert choices.are_targets.tolist() == are_targets.tolist()
    places, left_out = found.past.left_out(questions.users)
    profiles = at_cut.scorer.profiles(
        at_cut.market, IdIndex(found.past.user_ids.ids.take(questions.users))
    )
    for place in range(len(questions)):
        some = slice(int(offsets[place]), int(offsets[place + 1]))
        targets = questions.targets[questions.offsets[place] : questions.offsets[place + 1]]
        own = rows[some]
        assert own[are_targets[some]].tolist() == targets.tolist()
        assert len(set(own.tolist())) == len(own) == len(targets) + 91
        assert not set(own.tolist()) & set(left_out[places == place].tolist())
        for column, (component, _) in enumerate(BLENDED.weights):
            values = values_of(component, at_cut.market, profiles, np.full(len(own), place), own)
            assert (choices.values[some, column] == values / ONE).all()


def test_users_in_batches_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence, found = cut()
    at_cut, questions = BlendedAt.of(evidence, found.past), found.questions
    choices = at_cut.choices(questions, seed=1)
    ranked = at_cut.ranked(questions.users, BLENDED, keep=10)

    monkeypatch.setattr(blended_at, "USERS_AT_ONCE", 7)

    assert (at_cut.choices(questions, seed=1).values == choices.values).all()
    assert (at_cut.ranked(questions.users, BLENDED, keep=10) == ranked).all()


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (attrs.evolve(RULE, window=30 * DAY), "is too short to tune: weights are fitted on a cut"),
        (attrs.evolve(RULE, window=90 * DAY), "is too short to split"),
    ],
)
def test_a_short_history_is_refused(rule: CutRule, reason: str) -> None:
    with pytest.raises(NotMeasurableError, match=reason):
        tuned(market(loyalty=0.5), rule)


@pytest.mark.parametrize(("is_early", "what"), [(True, "from"), (False, "before")])
def test_without_questions_on_one_side_nothing_is_judged(is_early: bool, what: str) -> None:
    shop = market(loyalty=0.5)
    watches = sorted(shop.watches.values(), key=lambda one: one.watched_at)
    first = from_micros(read_history(evidence_of(shop), until=NOW).last) - 9 * DAY
    # One side has its first or last watch alone, of a user who is on no other.
    stranger = UserId("zz")
    if is_early:
        kept = [one for one in watches if one.watched_at < first]
        kept.append(attrs.evolve(watches[-1], user_id=stranger))
    else:
        kept = [one for one in watches if one.watched_at >= first]
        kept.append(attrs.evolve(watches[0], user_id=stranger))

    with pytest.raises(NotMeasurableError, match=f"after a cut {what} "):
        tuned(filled(shop.items.values(), *kept))
