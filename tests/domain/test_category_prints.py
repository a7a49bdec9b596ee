"""Which rankers a run may leave out unchanged categories for."""

import attrs
import pytest

from angle_reco.domain.category_prints import has_known_data
from angle_reco.domain.scoring.components import COMPONENTS, POPULARITY, Component
from angle_reco.domain.scoring.ranking import CLASSIC, Candidates, Ranker


def test_pages_of_classic_depend_on_interests_and_prints_alone() -> None:
    assert has_known_data(CLASSIC)


def test_a_component_that_the_prints_do_not_cover_may_read_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near = Component(name="near", data="addresses", values=POPULARITY.values)
    of_a_host = Ranker.of("own", {POPULARITY: 0.5, near: 0.5})
    assert not has_known_data(of_a_host)

    # Nor does one of the package, until it is covered.
    monkeypatch.setitem(COMPONENTS, "near", near)
    assert not has_known_data(Ranker.preset("ours", popularity=0.5, near=0.5))


def test_pages_of_all_open_items_depend_on_more() -> None:
    assert not has_known_data(attrs.evolve(CLASSIC, candidates=Candidates.ALL))
