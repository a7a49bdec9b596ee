"""A line that enters a list, and bids that are told before they are seen."""

from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.activity import Bid, Interactions, unconfirmed
from angle_reco.domain.ids import IdKinds, ItemId, UserId
from angle_reco.domain.stored_list import Recipe, StoredLine, StoredList, with_similar
from angle_reco.domain.suggestions import Reason, Source
from tests.application.shop import NOW, TICK, bid, watch

RECIPE = Recipe(name="similarity", weights=(("same_category", 500_000),), kept=5)
MINUTE = timedelta(minutes=1)


def line(item: str, score: int) -> StoredLine:
    return StoredLine(
        item_id=ItemId(item),
        score=score,
        parts=(score,),
        reason=Reason.SAME_CATEGORY,
        source=Source.SIMILAR,
    )


def stored(*scores: int) -> StoredList:
    lines = [line(f"old-{place}", score) for place, score in enumerate(scores)]
    return StoredList.of(lines, recipe=RECIPE, computed_at=NOW)


@given(st.lists(st.integers(0, 9), max_size=5), st.integers(0, 9))
def test_a_line_enters_behind_those_as_good_and_the_last_makes_room(
    scores: list[int], score: int
) -> None:
    kept = stored(*sorted(scores, reverse=True))

    made = with_similar(kept, line("new", score))

    plainly = sorted([*kept.lines, line("new", score)], key=lambda one: -one.score)
    assert list(made.lines) == plainly[:5]
    assert (made is kept) is (len(scores) == 5 and score <= min(scores))
    assert made.computed_at == kept.computed_at


def test_a_line_that_is_there_stays_and_another_of_its_item_moves() -> None:
    kept = stored(9, 5, 5, 1)

    assert with_similar(kept, kept.lines[1]) is kept
    moved = with_similar(kept, line("old-1", 7))
    assert [str(one.item_id) for one in moved.lines] == ["old-0", "old-1", "old-2", "old-3"]
    assert [one.score for one in moved.lines] == [9, 7, 5, 1]


def test_a_list_edited_by_hand_stays_as_somebody_made_it() -> None:
    kept = attrs.evolve(stored(1), edited=True)

    assert with_similar(kept, line("new", 9)) is kept


@pytest.mark.parametrize(
    ("before", "is_shown"), [(timedelta(0), True), (MINUTE, True), (MINUTE + TICK, False)]
)
def test_a_bid_is_confirmed_by_one_up_to_a_minute_earlier(
    before: timedelta, is_shown: bool
) -> None:
    told = [Bid(user_id=UserId("ann"), item_id=ItemId("vase"), placed_at=NOW)]
    happened = Interactions.of(
        IdKinds(),
        [
            attrs.evolve(told[0], placed_at=NOW - before),
            bid("bob", "vase", days=-1),
            bid("ann", "jar", days=-1),
            watch("ann", "vase", days=-1),
        ],
    )

    assert unconfirmed(told, happened) == ([] if is_shown else told)
    assert unconfirmed([], happened) == []
