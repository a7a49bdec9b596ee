from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import CategoryId, ItemId
from angle_reco.domain.millionths import ONE
from angle_reco.domain.scoring.after_bid import AfterBidRule, reordered_by_interest
from angle_reco.domain.stored_list import StoredLine
from angle_reco.domain.suggestions import Reason, Source
from angle_reco.testing import plain

weights = st.sampled_from([0, 1, 333_333, 500_000, ONE])
rules = (
    st.tuples(weights, weights)
    .filter(lambda pair: sum(pair) <= ONE)
    .map(lambda pair: AfterBidRule(similarity=pair[0], interest=pair[1]))
)
scores = st.integers(0, ONE) | st.sampled_from([1, 3, 500_000, 800_000])
categories = st.sampled_from([None, *map(CategoryId, ("coins", "stamps", "toys"))])


def line(item: str, score: int) -> StoredLine:
    return StoredLine(
        item_id=ItemId(item),
        score=score,
        parts=(score,),
        reason=Reason.SAME_CATEGORY,
        source=Source.SIMILAR,
    )


@given(
    similar=st.lists(scores, max_size=8),
    of_items=st.lists(categories, min_size=8, max_size=8),
    interests=st.dictionaries(categories.filter(bool), st.integers(0, ONE)),
    rule=st.just(AfterBidRule()) | rules,
)
def test_it_is_the_plain_rule(
    similar: list[int],
    of_items: list[CategoryId | None],
    interests: dict[Any, int],
    rule: AfterBidRule,
) -> None:
    lines = [line(str(place), score) for place, score in enumerate(similar)]
    # The last ones are not known to be of any category.
    known = {ItemId(str(place)): category for place, category in enumerate(of_items[:6])}

    found = reordered_by_interest(lines, categories=known, interests=interests, rule=rule)

    assert found == plain.after_bid(lines, known, interests, rule)


def reordered(*lines: StoredLine) -> list[StoredLine]:
    """Return *lines* for somebody who likes coins most, and stamps half as much."""
    known = {ItemId("coin"): "coins", ItemId("stamp"): "stamps", ItemId("toy"): "toys"}
    return reordered_by_interest(
        lines,
        categories={item: CategoryId(category) for item, category in known.items()},
        interests={CategoryId("coins"): ONE, CategoryId("stamps"): 500_000},
        rule=AfterBidRule(),
    )


def test_interest_doubles_what_half_a_similarity_counts() -> None:
    found = reordered(line("toy", 800_000), line("stamp", 800_000), line("coin", 500_000))

    assert [(one.item_id, one.score, one.parts) for one in found] == [
        (ItemId("stamp"), 600_000, (400_000, 200_000)),
        (ItemId("coin"), 500_000, (250_000, 250_000)),
        (ItemId("toy"), 400_000, (400_000, 0)),
    ]


def test_equal_ones_keep_the_order_of_similarity() -> None:
    found = reordered(line("toy", 800_000), line("z", 800_000), line("a", 800_000))

    assert [one.item_id for one in found] == [ItemId("toy"), ItemId("z"), ItemId("a")]


def test_the_reason_stays_that_of_the_similarity() -> None:
    [found] = reordered(line("coin", 800_000))

    assert (found.reason, found.source) == (Reason.SAME_CATEGORY, Source.SIMILAR)


def test_halves_of_a_millionth_are_rounded_up() -> None:
    [found] = reordered(line("coin", 350_001))

    assert found.parts == (175_001, 175_001)


@pytest.mark.parametrize(
    "wrong",
    [
        {"similarity": -1},
        {"similarity": 500_001},
        {"interest": 500_001},
        {"interest": True},
        {"interest": 0.5},
        {"interest": float("nan")},
    ],
    ids=str,
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match="after-bid"):
        AfterBidRule(**wrong)
