import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import IdKind, ItemId
from angle_reco.domain.lists import Lists
from angle_reco.domain.millionths import ONE
from angle_reco.domain.popular import POPULAR_RECIPE
from angle_reco.domain.scoring.ranking import CLASSIC
from angle_reco.domain.scoring.similarity import SimilarityRule
from angle_reco.domain.stored_list import Recipe, StoredLine, StoredList, has_changed
from angle_reco.domain.suggestions import REASONS, SOURCES, Reason, Source

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)

names = st.text(min_size=1, max_size=8)
recipes = st.builds(
    Recipe,
    name=names,
    weights=st.dictionaries(names, st.integers(0, ONE), max_size=4).map(
        lambda weights: tuple(weights.items())
    ),
    kept=st.integers(0, 1_000),
)


@given(recipes)
def test_a_recipe_comes_back_from_its_text_weights_in_order(recipe: Recipe) -> None:
    read = Recipe.from_text(recipe.to_text())

    assert read == recipe
    assert read.components == recipe.components


@pytest.mark.parametrize(
    "recipe",
    [CLASSIC.recipe, SimilarityRule().recipe, POPULAR_RECIPE],
    ids=lambda recipe: recipe.name,
)
def test_our_recipes_are_one_line_of_json(recipe: Recipe) -> None:
    text = recipe.to_text()

    assert "\n" not in text
    assert json.loads(text)["name"] == recipe.name
    assert Recipe.from_text(text) == recipe


line = StoredLine(
    item_id=ItemId("a"),
    score=500_000,
    parts=(300_000, 200_000, 0),
    reason=Reason.SAME_CATEGORY,
    source=Source.SIMILAR,
)
stored = StoredList.of(
    [line, attrs.evolve(line, item_id=ItemId("b"))],
    recipe=SimilarityRule().recipe,
    computed_at=NOW,
)


@pytest.mark.parametrize(
    ("new", "changed"),
    [
        ({}, False),
        ({"computed_at": NOW + timedelta(days=9)}, False),
        ({"computed_at": NOW - TICK}, True),
        ({"covered_at": NOW}, False),
        ({"recipe": attrs.evolve(stored.recipe, kept=41)}, True),
        ({"recipe": attrs.evolve(stored.recipe, weights=stored.recipe.weights[::-1])}, True),
    ],
)
def test_a_list_is_written_when_it_is_another_one(new: dict[str, Any], changed: bool) -> None:
    assert has_changed(stored, attrs.evolve(stored, **new)) is changed


@pytest.mark.parametrize(
    "lines", [stored.lines[:1], (*stored.lines, line), stored.lines[::-1], ()], ids=len
)
def test_a_list_is_written_when_it_has_other_lines(lines: tuple[StoredLine, ...]) -> None:
    assert has_changed(stored, stored.with_lines(lines))


@pytest.mark.parametrize(
    ("new", "changed"),
    [
        ({"score": 500_100}, False),
        ({"score": 499_900}, False),
        ({"score": 500_101}, True),
        ({"score": 499_899}, True),
        ({"parts": (200_000, 300_000, 0)}, False),
        ({"item_id": ItemId("c")}, True),
        ({"reason": Reason.PRICE_RANGE}, True),
        ({"source": Source.POPULAR}, True),
        ({"by_hand": True}, True),
    ],
    ids=str,
)
def test_a_list_is_written_when_a_line_is_another_one(new: dict[str, Any], changed: bool) -> None:
    other = stored.with_lines([line, attrs.evolve(stored.lines[1], **new)])

    assert has_changed(stored, other) is has_changed(other, stored) is changed


def test_what_was_written_by_hand_is_written_over() -> None:
    by_hand = stored.with_lines([attrs.evolve(line, by_hand=True), *stored.lines[1:]])

    assert has_changed(by_hand, stored)


def test_a_short_list_is_complete() -> None:
    kept_two = attrs.evolve(stored, recipe=attrs.evolve(stored.recipe, kept=2))

    assert stored.is_complete
    assert not kept_two.is_complete
    assert kept_two.with_lines(stored.lines[:1]).is_complete


RECIPE = Recipe(name="drawn", weights=(("one", 1), ("two", 2)), kept=3)


@st.composite
def columns(draw: st.DrawFn) -> Lists:
    lengths = draw(st.lists(st.integers(0, 3), max_size=4))
    count = sum(lengths)
    numbers = st.integers(0, 300_000)
    rows = draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))
    return Lists(
        owners=IdColumn.of(IdKind.INT, range(len(lengths))),
        offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
        items=IdColumn.of(IdKind.TEXT, [f"item {row}" for row in rows]),
        parts=np.array(
            draw(st.lists(st.tuples(numbers, numbers), min_size=count, max_size=count)), np.int32
        ).reshape(-1, 2),
        reasons=np.array(range(count), np.int8) % len(REASONS),
        sources=np.array(range(count), np.int8) % len(SOURCES),
        recipe=RECIPE,
        computed_at=NOW,
    )


@given(columns())
def test_columns_hold_the_lines_of_each_owner(lists: Lists) -> None:
    found = [lists.stored(place) for place in range(len(lists))]

    bounds = lists.offsets.tolist()
    assert [len(one.lines) for one in found] == np.diff(lists.offsets).tolist()
    for one, first in zip(found, bounds, strict=False):
        assert (one.recipe, one.computed_at) == (RECIPE, NOW)
        for place, line in enumerate(one.lines, first):
            assert line.item_id == lists.items[place]
            assert line.parts == tuple(lists.parts[place].tolist())
            assert line.score == sum(line.parts)
            assert line.reason is REASONS[lists.reasons[place]]
            assert line.source is SOURCES[lists.sources[place]]


@given(columns(), st.sampled_from(IdKind), st.data())
def test_of_several_lists_of_one_owner_the_last_counts(
    lists: Lists, kind: IdKind, data: st.DataObject
) -> None:
    ids: dict[IdKind, list[Any]] = {  # ids of any kind
        IdKind.INT: [-1, 2**63 - 1],
        IdKind.TEXT: ["a", "B"],
        IdKind.UUID: [UUID(int=1), UUID(int=0)],
    }
    drawn = data.draw(
        st.lists(st.sampled_from(ids[kind]), min_size=len(lists), max_size=len(lists))
    )
    lists = attrs.evolve(lists, owners=IdColumn.of(kind, drawn))

    last = lists.last_of_each()

    expected = {owner: lists.stored(place) for place, owner in enumerate(drawn)}
    assert {owner: last.stored(place) for place, owner in enumerate(last.owners)} == expected
    assert last.owners.to_list() == sorted(expected, key=drawn[::-1].index, reverse=True)


@given(columns())
def test_lists_of_different_owners_all_count(lists: Lists) -> None:
    assert lists.last_of_each() is lists


def test_columns_of_different_lengths_are_refused() -> None:
    lists = Lists(
        owners=IdColumn.of(IdKind.INT, []),
        offsets=np.zeros(1, np.int64),
        items=IdColumn.of(IdKind.INT, []),
        parts=np.zeros((0, 1), np.int32),
        reasons=np.zeros(0, np.int8),
        sources=np.zeros(0, np.int8),
        recipe=RECIPE,
        computed_at=NOW,
    )

    with pytest.raises(ValueError, match="Lists differ in length"):
        attrs.evolve(lists, parts=np.zeros((2, 1), np.int32))
    with pytest.raises(ValueError, match="Lists differ in length"):
        attrs.evolve(lists, offsets=np.zeros(2, np.int64))
