import gc
import sys
import tracemalloc
from datetime import timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.availability import may_be_shown
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.stored_list import BY_HAND, Recipe, StoredLine, StoredList, packed, unpacked
from angle_reco.domain.suggestions import Reason, Source, Suggestion
from angle_reco.domain.whys import Grounds, Speech, Wording
from angle_reco.testing.contracts.markets import NOW, lot

COMPONENTS = ("interest", "popularity", "recency")
MOST = 2**31 - 1

ids = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, max_size=12),
    st.lists(st.text(min_size=1, max_size=9), unique=True, max_size=12),
    st.lists(st.uuids(), unique=True, max_size=12),
)
numbers = st.integers(0, 1_000_000) | st.sampled_from([0, -1, MOST, -MOST - 1])


@st.composite
def recipes_and_lines(draw: st.DrawFn) -> tuple[Recipe, list[StoredLine]]:
    """Return any recipe, and lines of it, some of which a person wrote."""
    names = COMPONENTS[: draw(st.integers(0, 3))]
    recipe = Recipe(
        name="ours", weights=tuple((name, 1) for name in names), kept=draw(st.integers(0, 15))
    )
    return recipe, [
        StoredLine(
            item_id=ItemId(one),
            score=draw(numbers),
            parts=tuple(0 if by_hand else draw(numbers) for _ in names),
            reason=draw(st.sampled_from(Reason)),
            source=draw(st.sampled_from(Source)),
            by_hand=by_hand,
        )
        for one in draw(ids)
        for by_hand in [draw(st.booleans())]
    ]


stored_lists = st.builds(
    lambda one, edited: StoredList.of(one[1], recipe=one[0], computed_at=NOW, edited=edited),
    recipes_and_lines(),
    st.booleans(),
)


def cards_of(stored: StoredList) -> dict[ItemId, ItemCard]:
    """Return a card for each item of a list."""
    return {line.item_id: attrs.evolve(A_CARD, item_id=line.item_id) for line in stored.lines}


A_CARD = lot("a")


@given(recipes_and_lines())
def test_lines_come_back_as_they_were_stored(one: tuple[Recipe, list[StoredLine]]) -> None:
    recipe, lines = one
    stored = StoredList.of(lines, recipe=recipe, computed_at=NOW)
    without_parts = [attrs.evolve(line, parts=()) if line.by_hand else line for line in lines]

    assert stored.lines == tuple(lines)
    assert stored.ids == tuple(line.item_id for line in lines)
    assert stored == stored.with_lines(lines) == stored.with_lines(without_parts)
    assert hash(stored) == hash(stored.with_lines(lines))
    assert all(
        stored != stored.with_lines(some) for some in (lines[1:], lines[::-1]) if some != lines
    )


@given(stored=stored_lists)
def test_other_lines_leave_the_rest_of_a_list(stored: StoredList) -> None:
    covered = attrs.evolve(stored, covered_at=NOW + timedelta(days=1))

    assert covered.with_lines(()) == covered.between(0, 0)
    assert covered.with_lines(covered.lines, edited=True) == attrs.evolve(covered, edited=True)


def test_a_list_is_there_even_if_it_is_empty() -> None:
    empty = a_list(0, by_hand=0)

    assert len(empty) == 0
    assert empty


@pytest.mark.parametrize("number", [MOST + 1, -MOST - 2, 2**80, 0.5, None, "1"])
def test_what_is_no_number_of_32_bits_is_refused(number: Any) -> None:
    stored = a_list(1, by_hand=0)
    [line] = stored.lines

    for new in ({"score": number}, {"parts": (0, number, 0)}):
        with pytest.raises(InvalidValueError, match="whole numbers of 32 bits"):
            stored.with_lines([attrs.evolve(line, **new)])


@pytest.mark.parametrize("column", ["ids", "scores", "parts", "reasons", "sources"])
def test_columns_of_different_lengths_are_refused(column: str) -> None:
    stored = a_list(2, by_hand=0)

    with pytest.raises(ValueError, match="columns of StoredList differ in length"):
        attrs.evolve(stored, **{column: getattr(stored, column)[:-1]})


@given(st.lists(numbers))
def test_numbers_come_back_as_they_were_packed(some: list[int]) -> None:
    assert unpacked(packed(some)) == some


@given(stored=stored_lists, data=st.data(), first_rank=st.integers(1, 9))
def test_suggestions_say_what_was_stored(
    stored: StoredList, data: st.DataObject, first_rank: int
) -> None:
    cards, places = cards_of(stored), data.draw(some_places(stored))

    grounds = Grounds(Speech(wording={"interest": Wording("taste")}))
    made = stored.suggestions(places, cards, grounds=grounds, first_rank=first_rank)

    names = stored.recipe.components
    assert made == [
        Suggestion(
            rank=rank,
            item_id=line.item_id,
            card=cards[line.item_id],
            score=line.score,
            reason=line.reason,
            source=line.source,
            components=(BY_HAND,) if line.by_hand else names,
            parts=(line.score,) if line.by_hand else line.parts,
            grounds=grounds,
        )
        for rank, line in enumerate((stored.lines[one] for one in places), start=first_rank)
    ]
    for one, place in zip(made, places, strict=True):
        assert one.contributions == stored.lines[place].contributions(names)
        assert type(one) is Suggestion
        assert one.card is one.listed is cards[one.item_id]
        assert one.grounds is grounds
        assert all(type(number) is int for number in (one.score, *one.parts))


@given(stored=stored_lists, first=st.integers(0, 14), last=st.integers(0, 14))
def test_a_list_between_two_places_is_the_list_of_those_lines(
    stored: StoredList, first: int, last: int
) -> None:
    assert stored.between(first, last) == stored.with_lines(stored.lines[first:last])


@given(
    stored=stored_lists,
    data=st.data(),
    viewer=st.sampled_from([None, UserId("ann"), UserId("bob")]),
    include_engaged=st.booleans(),
    limit=st.integers(1, 14),
)
def test_places_shown_are_those_of_the_plain_loop(
    stored: StoredList,
    data: st.DataObject,
    viewer: UserId | None,
    include_engaged: bool,
    limit: int,
) -> None:
    looks = st.builds(
        lambda seller, left, is_published, engaged: attrs.evolve(
            A_CARD,
            seller_id=seller,
            ends_at=None if left is None else NOW + timedelta(microseconds=left),
            is_published=is_published,
            engaged=engaged,
        ),
        st.sampled_from([None, UserId("ann")]),
        st.sampled_from([None, -1, 0, 1]),
        st.sampled_from([True, True, False]),
        st.sampled_from([False, False, True]),
    )
    cards = {
        one: attrs.evolve(card, item_id=one)
        for one in stored.ids
        if (card := data.draw(st.none() | looks)) is not None
    }
    without = data.draw(st.frozensets(st.sampled_from(stored.ids))) if stored.ids else frozenset()

    places = stored.places_shown(
        cards, viewer=viewer, now=NOW, include_engaged=include_engaged, limit=limit, without=without
    )

    plainly = list[int]()
    for place, line in enumerate(stored.lines):
        if line.item_id in without or line.item_id not in cards or len(plainly) == limit:
            continue
        card = cards[line.item_id]
        if may_be_shown(card, viewer=viewer, now=NOW, include_engaged=include_engaged):
            plainly.append(place)
    assert places == plainly


def test_equal_text_ids_are_in_memory_once() -> None:
    first, second = (a_list(3, by_hand=0) for _ in range(2))

    assert all(one is other for one, other in zip(first.ids, second.ids, strict=True))


@pytest.mark.parametrize(
    ("length", "by_hand"), [(1, 0), (1, 1), (8, 30), (40, 0), (40, 1), (200, 0), (200, 30)]
)
def test_what_it_takes_of_memory_is_known_to_a_quarter(length: int, by_hand: int) -> None:
    stored = a_list(length, by_hand=by_hand)

    assert stored.footprint == pytest.approx(measured(stored), rel=0.25)


def test_one_of_nothing_takes_no_more_than_is_known() -> None:
    stored = a_list(0, by_hand=0)

    # A thread of another test may allocate while one of the measurements runs.
    assert min(measured(stored) for _ in range(3)) <= stored.footprint < 500


def measured(stored: StoredList) -> int:
    """Return how many bytes a list takes, beside its ids."""
    many = 500
    # Its ids are there already, as they are where open items are in memory.
    lines = stored.lines
    kept: list[StoredList | None] = [None] * many
    # What other tests left is not looked through again and again.
    gc.freeze()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for place in range(many):
            at = NOW + timedelta(seconds=place)
            kept[place] = StoredList.of(
                lines, recipe=stored.recipe, computed_at=at, edited=stored.edited
            )
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        gc.unfreeze()

    return taken // many


def test_it_takes_a_quarter_of_what_its_lines_do() -> None:
    stored = a_list(40, by_hand=0)
    lines = sum(
        sys.getsizeof(line) + sys.getsizeof(line.parts) + sys.getsizeof(line.score) * 4
        for line in stored.lines
    )

    assert stored.footprint < (lines + sys.getsizeof(stored.lines)) / 4


@pytest.mark.parametrize("one", ["lot", 5, UUID(int=5)])
def test_ids_are_of_the_kind_they_were(one: object) -> None:
    stored = a_list(1, by_hand=0)
    line = attrs.evolve(stored.lines[0], item_id=ItemId(one))

    [kept] = stored.with_lines([line]).ids

    assert type(kept) is type(one)


def some_places(stored: StoredList) -> st.SearchStrategy[list[int]]:
    """Return places of a list, ascending."""
    if not stored.lines:
        return st.just([])
    return st.sets(st.integers(0, len(stored.lines) - 1)).map(sorted)


def a_list(length: int, *, by_hand: int) -> StoredList:
    """Return a list as jobs store them, of which the first lines were written by hand."""
    lines = [
        StoredLine(
            item_id=ItemId(f"item-{place:06}"),
            score=700_000 + place,
            parts=() if place < by_hand else (500_000, 200_000, place),
            reason=Reason.FOR_YOU,
            source=Source.PERSONAL,
            by_hand=place < by_hand,
        )
        for place in range(length)
    ]
    return StoredList.of(
        lines,
        recipe=Recipe(name="ours", weights=tuple((name, 1) for name in COMPONENTS), kept=200),
        computed_at=NOW,
        edited=by_hand > 0,
    )
