"""Components of rankers: what is refused of their definitions and of their values."""

from typing import Any

import numpy as np
import pytest

from angle_reco.domain.arrays import Int64s
from angle_reco.domain.errors import ComponentError, InvalidValueError
from angle_reco.domain.ids import IdKind, IdKinds
from angle_reco.domain.millionths import ONE
from angle_reco.domain.scoring.components import (
    COMPONENTS,
    INTEREST,
    Component,
    DependsOn,
    values_of,
)
from angle_reco.domain.scoring.interest import InterestRule
from angle_reco.domain.scoring.ranking import CLASSIC, Ranker
from angle_reco.settings import Settings
from angle_reco.testing import plain
from angle_reco.testing.contracts.markets import (
    NOW,
    index_of_users,
    lot,
    open_market,
    profiles_of,
)

IDS = IdKinds(item=IdKind.TEXT)


def half(market: object, profiles: object, users: Int64s, rows: Int64s) -> Int64s:
    return np.full(len(rows), ONE // 2)


def component(**values: Any) -> Component:
    return Component(**{"name": "near", "data": "addresses", "values": half, **values})


def found_by(made: Component, pairs: int = 3) -> Int64s:
    ids = IdKinds(user=IdKind.TEXT, item=IdKind.TEXT, category=IdKind.TEXT)
    plainly = plain.PlainMarket(items=[lot("b")], happened=[], now=NOW)
    profiles = profiles_of(plainly, ids, index_of_users(ids), InterestRule())
    places = np.zeros(pairs, np.int64)
    return values_of(made, open_market(plainly, ids), profiles, places, places)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "near by"},
        {"name": "by_hand"},
        {"name": "n" * 101},
        {"name": 5},
        {"version": 0},
        {"version": True},
        {"label": ""},
        {"label": "two\nlines"},
        {"sentence": "s" * 201},
        {"sentence": None},
        {"data": ""},
        {"depends_on": "pair"},
        {"values": None},
        {"estimate": "half"},
    ],
    ids=str,
)
def test_components_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError):
        component(**wrong)


def test_a_label_is_the_name_in_words_unless_it_is_given() -> None:
    assert component(name="same_town").label == "same town"
    assert component(label="your town").label == "your town"


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int32, np.int64, np.uint64])
def test_integers_of_every_width_are_values(kind: Any) -> None:
    made = component(values=lambda *_: np.array([0, 1, 100], kind))

    assert found_by(made).dtype == np.int64
    assert found_by(made).tolist() == [0, 1, 100]


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        (
            np.array([0, 0.5, 1]),
            r"returned float64 of \(3,\), but should return integers of \(3,\)",
        ),
        (np.array([True, False, True]), "returned bool of"),
        (np.array([0, 1]), r"returned int64 of \(2,\), but should return integers of \(3,\)"),
        (np.zeros((3, 1), np.int64), r"returned int64 of \(3, 1\)"),
        ([0, 1, 2], "returned list of no shape"),
        (None, "returned NoneType of no shape"),
        (np.array(5), r"returned int64 of \(\)"),
        (np.array([0, 1, 2], object), "returned object of"),
        (np.ma.array([0, 1, 10 * ONE], mask=[False, False, True]), "returned MaskedArray of"),
        (np.full(3, 2**64 - 1, np.uint64), "returned 18446744073709551615 to"),
        (np.array([0, -1, 5]), "returned -1 to 5, but should return 0 to 1000000"),
        (np.array([0, ONE, ONE + 1]), "returned 0 to 1000001"),
    ],
)
def test_values_that_cannot_be_used_are_refused(returned: object, problem: str) -> None:
    with pytest.raises(ComponentError, match=f"^the component near {problem}"):
        found_by(component(values=lambda *_: returned))


@pytest.mark.parametrize("argument", ["users", "rows"])
def test_a_component_cannot_change_which_pairs_are_asked_for(argument: str) -> None:
    def values(market: object, profiles: object, users: Int64s, rows: Int64s) -> Int64s:
        {"users": users, "rows": rows}[argument][:] = 0
        return rows

    with pytest.raises(
        ComponentError, match=r"^the component near raised ValueError in test_components"
    ):
        found_by(component(values=values))


def test_what_a_component_raises_is_the_cause() -> None:
    def values(*_: object) -> Int64s:
        raise KeyError("town")

    with pytest.raises(ComponentError) as raised:
        found_by(component(values=values))

    assert isinstance(raised.value.__cause__, KeyError)
    # The line of the component, but not the text of the exception.
    line = values.__code__.co_firstlineno + 1
    assert str(raised.value) == (
        f"the component near raised KeyError in test_components.py, line {line}"
    )


def test_a_function_that_cannot_be_called_so_has_no_line() -> None:
    with pytest.raises(ComponentError, match=r"^the component near raised TypeError$"):
        found_by(component(values=lambda: None))


def test_no_pairs_have_no_values() -> None:
    assert found_by(component(), pairs=0).tolist() == []


def test_a_ranker_of_components_by_fractions() -> None:
    near = component()

    ranker = Ranker.of("local", {INTEREST: 0.5, near: 0.25})

    assert ranker.weights == ((INTEREST, 500_000), (near, 250_000))
    assert ranker.those_by(DependsOn.PAIR) == ((near, 250_000),)
    assert ranker.recipe.components == ("interest", "near")


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"interest": 0.5},
        {INTEREST: 2},
        {INTEREST: 0.5, component(name="interest"): 0.5},
        None,
        5,
    ],
    ids=repr,
)
def test_rankers_of_other_weights_are_refused(weights: Any) -> None:
    with pytest.raises(InvalidValueError):
        Ranker.of("local", weights)


def test_the_components_of_classic_are_those_of_the_package() -> None:
    assert [one for one, _ in CLASSIC.weights] == list(COMPONENTS.values())


def test_what_invalidates_stored_lists() -> None:
    """A version does, words do not, and it is the same in every process."""

    def recipe(**values: Any) -> Any:
        local = Ranker.of("local", {component(**values): 0.5})
        return Settings(presets=(local,), ranker="local").recipes(None, local)

    def other(*pairs: Any) -> Int64s:
        return half(*pairs)

    assert recipe() == recipe(values=other, label="distance", data="maps")
    assert recipe() != recipe(version=2)
    assert recipe() != recipe(depends_on=DependsOn.ITEM)
