"""The metrics, against plain loops over lists."""

import math
from decimal import Decimal
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.arrays import Int32s
from angle_reco.domain.ids import CategoryId, ItemId
from angle_reco.domain.items import Item
from angle_reco.evaluation.cuts import Cut, CutRule, cuts_of
from angle_reco.evaluation.history import read_history
from angle_reco.evaluation.metrics import SHOWN, Answered, answered, ndcg, recall, reciprocal_ranks
from angle_reco.settings import Settings
from tests.evaluation.markets import DAYS, bid, day, evidence_of, market_of, watch

_lines = st.lists(
    st.tuples(st.lists(st.booleans(), min_size=SHOWN, max_size=SHOWN), st.integers(0, 20)),
    min_size=1,
    max_size=5,
)


@given(_lines)
def test_gains_recall_and_ranks_are_those_of_plain_loops(
    lines: list[tuple[list[bool], int]],
) -> None:
    hits = np.array([line for line, _ in lines])
    sizes = np.array([max(sum(line), 1) + more for line, more in lines])

    found = ndcg(hits, sizes), recall(hits, sizes), reciprocal_ranks(hits)

    for place, (line, _) in enumerate(lines):
        size = int(sizes[place])
        gain = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(line, start=1) if hit)
        best = sum(1 / math.log2(rank + 1) for rank in range(1, min(size, SHOWN) + 1))
        first = next((1 / rank for rank, hit in enumerate(line, start=1) if hit), 0.0)
        assert [one[place] for one in found] == pytest.approx(
            [gain / best, sum(line) / size, first]
        )


@pytest.fixture(scope="module")
def cut() -> Cut:
    """Return a cut at which five items are open, and u0 and u1 are asked."""
    happened: list[Bid | Watch] = [
        *(bid("u0", "a", at) for at in (1, 2)),
        bid("u1", "a", 1),
        watch("u1", "b", 2),
        bid("u2", "c", 3),
        *(watch("u0", item, 12) for item in "bc"),
        bid("u1", "d", 12),
        bid("late", "e", 13),
    ]
    evidence = evidence_of(market_of(happened))
    rule = CutRule(moments=(day(10),))
    return cuts_of(evidence, read_history(evidence, until=day(DAYS)), rule)[0]


def _answered(cut: Cut, *lines: list[int]) -> Answered:
    ranked: Int32s = np.full((len(lines), SHOWN), -1, np.int32)
    for place, line in enumerate(lines):
        ranked[place, : len(line)] = line
    return answered(cut, ranked, Settings().similarity)


def test_a_page_is_worth_its_hits(cut: Cut) -> None:
    found = _answered(cut, [2, 4], [2, 3])

    assert found.values["hit"].tolist() == [1, 1]
    assert found.values["recall"].tolist() == [0.5, 1]
    assert found.values["mrr"].tolist() == [1, 0.5]
    assert found.hit_targets.tolist() == [False, True, True]
    assert found.shown.tolist() == [2, 3, 4]


def test_a_user_without_a_page_is_not_served_and_has_no_novelty(cut: Cut) -> None:
    found = _answered(cut, [], [2])

    assert found.values["served"].tolist() == [0, 1]
    assert found.values["ndcg"].tolist() == [0, 0]
    assert np.isnan(found.values["novelty"]).tolist() == [True, False]
    assert np.isnan(found.values["similarity"]).tolist() == [True, True]


def test_novelty_is_the_mean_self_information(cut: Cut) -> None:
    # Of three users with a past, a has two, b and c one, d and e none.
    bits = {row: -math.log2((fans + 1) / 4) for row, fans in enumerate([2, 1, 1, 0, 0])}

    found = _answered(cut, [0, 3], [1, 2, 4])

    expected = [(bits[0] + bits[3]) / 2, (bits[1] + bits[2] + bits[4]) / 3]
    assert found.values["novelty"] == pytest.approx(expected)


def test_a_page_of_one_kind_is_as_similar_as_the_rule_says() -> None:
    kinds = {"a": ("art", 10), "b": ("art", 12), "c": ("art", 100), "d": (None, 10), "e": (None, 9)}
    items = [
        Item(
            item_id=ItemId(name),
            category_id=None if kind is None else CategoryId(kind),
            starting_price=Decimal(price),
        )
        for name, (kind, price) in kinds.items()
    ]
    happened = [bid("u0", "a", 1), bid("u1", "a", 1), bid("u0", "b", 12), bid("u1", "b", 12)]
    evidence = evidence_of(market_of(happened, items))
    history = read_history(evidence, until=day(DAYS))
    [cut] = cuts_of(evidence, history, CutRule(moments=(day(10),)))

    found = _answered(cut, [0, 1, 2, 3, 4], [3])

    def similarity(one: str, other: str) -> float:
        (kind, price), (other_kind, other_price) = kinds[one], kinds[other]
        same = 0.5 if kind is not None and kind == other_kind else 0
        return same + (0.3 if 2 * min(price, other_price) >= max(price, other_price) else 0)

    pairs = [similarity(one, other) for one, other in combinations("abcde", 2)]
    assert found.values["similarity"][0] == pytest.approx(sum(pairs) / len(pairs))
    assert np.isnan(found.values["similarity"][1])
