"""The rankers of the homepage: presets of one weighted sum of components."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

import attrs
import numpy as np

from angle_reco.domain.arrays import Bools, Int8s, Int64s
from angle_reco.domain.errors import InvalidValueError, one_of
from angle_reco.domain.millionths import ONE, Millionths, to_millionths
from angle_reco.domain.scoring.components import COMPONENTS, Component, DependsOn, check_name
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.stored_list import Recipe
from angle_reco.domain.suggestions import Reason
from angle_reco.domain.type_checks import is_mapping, plain_text
from angle_reco.domain.validators import exactly, instance, whole
from angle_reco.domain.whys import Wording


class Candidates(StrEnum):
    """Which open items a page is chosen from."""

    FAVOURITES = "favourites"
    """Those of the user's favourite categories; popular items fill the page up."""
    ALL = "all"


@attrs.frozen(kw_only=True)
class Ranker:
    """Weights of components, `score = Σ weight · component`, and how a page is filled.

    With the default *candidates* they come from the user's *favourites* strongest categories,
    at most *per_category* from each as long as there are others; *kept* suggestions are stored.
    """

    name: str = attrs.field(converter=plain_text)
    weights: tuple[tuple[Component, Millionths], ...]
    favourites: int = 5
    per_category: int = 3
    kept: int = 60
    candidates: Candidates = Candidates.FAVOURITES

    def __attrs_post_init__(self) -> None:
        check_name(self.name, "name of a ranker")
        pairs = exactly(self.weights, "weights of a ranker", tuple)
        if any(type(pair) is not tuple or len(pair) != 2 for pair in pairs):
            raise InvalidValueError("weights of a ranker", pairs, "pairs of Component and weight")
        names = [instance(one, "component", Component).name for one, _ in self.weights]
        if not names or len(set(names)) < len(names):
            raise InvalidValueError("components of a ranker", names, "each at most once")
        for component, weight in self.weights:
            whole(weight, f"weight of {component.name}, in millionths,", least=0, most=ONE)
        total = sum(weight for _, weight in self.weights)
        if total > ONE:
            raise InvalidValueError("sum of the weights of a ranker", total / ONE, "at most 1")
        whole(self.favourites, "number of favourite categories", least=1, most=1_000)
        whole(self.per_category, "most of a category", least=1, most=1_000)
        instance(self.candidates, "candidates of a ranker", Candidates)
        whole(self.kept, "number of suggestions kept", least=1, most=1_000)

    @classmethod
    def of(cls, name: str, weights: Mapping[Component, float]) -> Self:
        """Return a ranker with these weights of components, as fractions.

        Raises:
            InvalidValueError: A component or a weight is invalid.
        """
        if not is_mapping(weights):
            raise InvalidValueError("weights of a ranker", weights, "weights by Component")
        pairs = []
        for component, weight in weights.items():
            checked = instance(component, "component", Component)
            pairs.append((checked, to_millionths(weight, f"weight of {checked.name}")))
        return cls(name=name, weights=tuple(pairs))

    @classmethod
    def preset(cls, name: str, **weights: float) -> Self:
        """Return a ranker of the package's components by name, such as `interest=0.6`.

        Raises:
            InvalidValueError: A component is unknown, or a weight is invalid.
        """
        for component in weights:
            if component not in COMPONENTS:
                raise InvalidValueError("component of a ranker", component, one_of([*COMPONENTS]))
        return cls.of(name, {COMPONENTS[one]: weight for one, weight in weights.items()})

    def those_by(self, depends_on: DependsOn) -> tuple[tuple[Component, Millionths], ...]:
        """Return the components that depend on this alone, with their weights."""
        return tuple(one for one in self.weights if one[0].depends_on is depends_on)

    @property
    def wording(self) -> dict[str, Wording]:
        """Return the words of the components in sentences, by name."""
        return {component.name: component.wording for component, _ in self.weights}

    @property
    def recipe(self) -> Recipe:
        """Return the recipe that identifies lists of this ranker."""
        weights = tuple((component.name, weight) for component, weight in self.weights)
        return Recipe(name=self.name, weights=weights, kept=self.kept)


CLASSIC = Ranker.preset("classic", interest=0.6, popularity=0.2, recency=0.2)
"""The ranker of homepages that needs no model: mostly interest, then demand and timing."""

FAVOURITE_ABOVE: Millionths = 700_000
WATCHED_ABOVE = 5
TRENDING_ABOVE = 10


def homepage_reasons(market: OpenMarket, rows: Int64s, interest: Int64s) -> Int8s:
    """Return the code of the first applicable reason for each line."""
    watchers = market.catalogue.watchers[rows]
    is_favourite = interest > FAVOURITE_ABOVE
    is_active = market.is_active[rows]
    cases: list[tuple[Bools, Reason]] = [
        (is_favourite & (watchers > WATCHED_ABOVE), Reason.POPULAR_IN_FAVOURITE),
        (is_favourite, Reason.FAVOURITE_CATEGORY),
        (watchers > TRENDING_ABOVE, Reason.TRENDING),
        (is_active & market.ends_soon[rows], Reason.ENDING_SOON),
        (is_active, Reason.ACTIVE_AUCTION),
    ]
    return np.select(
        [holds for holds, _ in cases],
        [np.int8(reason.code) for _, reason in cases],
        default=np.int8(Reason.FOR_YOU.code),
    )
