"""The rankers of the homepage: presets of one weighted sum of components."""

from enum import StrEnum
from typing import Self

import attrs
import numpy as np

from angle_reco.domain.activity import Interactions
from angle_reco.domain.arrays import Bools, Int8s, Int32s, Int64s, frozen
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.millionths import ONE, Millionths, to_millionths
from angle_reco.domain.scoring.interest import Interests
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.stored_list import Recipe
from angle_reco.domain.suggestions import Reason
from angle_reco.domain.type_checks import plain_text
from angle_reco.domain.validators import exactly, instance, whole


class Component(StrEnum):
    """One component of a ranker's score, 0 to 1 at most; the value names its contribution."""

    INTEREST = "interest"
    POPULARITY = "popularity"
    RECENCY = "recency"


@attrs.frozen(kw_only=True)
class Ranker:
    """Weights of components, `score = Σ weight · component`, and how a page is filled.

    Candidates come from the user's *favourites* strongest categories, at most *per_category*
    from each as long as there are others; *kept* suggestions are stored.
    """

    name: str = attrs.field(converter=plain_text)
    weights: tuple[tuple[Component, Millionths], ...]
    favourites: int = 5
    per_category: int = 3
    kept: int = 60

    def __attrs_post_init__(self) -> None:
        name = exactly(self.name, "name of a ranker", str)
        if len(name) > _LONGEST_NAME or not name.isidentifier():
            expected = f"at most {_LONGEST_NAME} letters, digits and _"
            raise InvalidValueError("name of a ranker", name, expected)
        pairs = exactly(self.weights, "weights of a ranker", tuple)
        if any(type(pair) is not tuple or len(pair) != 2 for pair in pairs):
            raise InvalidValueError("weights of a ranker", pairs, "pairs of Component and weight")
        components = [instance(one, "component", Component) for one, _ in self.weights]
        if not components or len(set(components)) < len(components):
            raise InvalidValueError("components of a ranker", components, "each at most once")
        for component, weight in self.weights:
            whole(weight, f"weight of {component}, in millionths,", least=0, most=ONE)
        if sum(weight for _, weight in self.weights) > ONE:
            raise InvalidValueError("weights of a ranker", self.weights, "at most 1 together")
        whole(self.favourites, "number of favourite categories", least=1, most=1_000)
        whole(self.per_category, "most of a category", least=1, most=1_000)
        whole(self.kept, "number of suggestions kept", least=1, most=1_000)

    @classmethod
    def preset(cls, name: str, **weights: float) -> Self:
        """Return a ranker with these weights of components, such as `interest=0.6`.

        Raises:
            InvalidValueError: A component is unknown, or a weight is invalid.
        """
        for component in weights:
            if component not in set(Component):
                names = ", ".join(Component)
                raise InvalidValueError("component of a ranker", component, f"one of {names}")
        return cls(
            name=name,
            weights=tuple(
                (Component(component), to_millionths(weight, f"weight of {component}"))
                for component, weight in weights.items()
            ),
        )

    @property
    def recipe(self) -> Recipe:
        """Return the recipe that identifies lists of this ranker."""
        weights = tuple((component.value, weight) for component, weight in self.weights)
        return Recipe(name=self.name, weights=weights, kept=self.kept)


_LONGEST_NAME = 100

CLASSIC = Ranker.preset("classic", interest=0.6, popularity=0.2, recency=0.2)
"""The ranker of homepages by default: mostly interest, then demand and timing."""

FAVOURITE_ABOVE: Millionths = 700_000
WATCHED_ABOVE = 5
TRENDING_ABOVE = 10


@attrs.frozen(kw_only=True)
class Profiles:
    """The data about users that rankings need, each user by their place in *users*.

    *interest_…* columns have a row per user and category, ordered by user and with each
    user's strongest first; category codes are those of the market, NONE if no item of the
    category is open. *excluded_…* are pairs of a user and a row of the market that the user
    must not be shown.
    """

    users: IdColumn
    interest_user: Int32s = attrs.field(converter=frozen)
    interest_category: Int32s = attrs.field(converter=frozen)
    interest_score: Int64s = attrs.field(converter=frozen)
    excluded_user: Int32s = attrs.field(converter=frozen)
    excluded_row: Int32s = attrs.field(converter=frozen)

    def __len__(self) -> int:
        return len(self.users)

    @classmethod
    def of(
        cls, users: IdIndex, *, interests: Interests, interactions: Interactions, market: OpenMarket
    ) -> Self:
        """Return the profiles of *users*, from their interests, activity and own items."""
        catalogue = market.catalogue
        # The place of each user in the batch, by the user's code in *interests*.
        place = users.codes(interests.users.ids)[interests.user]
        known = place != NONE
        category = catalogue.categories.codes(interests.categories.ids)[interests.category]

        engaged = users.codes(interactions.users)
        touched = catalogue.items.codes(interactions.items)
        are_both = (engaged != NONE) & (touched != NONE)
        lists = np.append(users.codes(catalogue.sellers.ids), np.int32(NONE))[catalogue.seller]
        own = np.flatnonzero(lists != NONE)
        return cls(
            users=users.ids,
            interest_user=place[known],
            interest_category=category[known],
            interest_score=interests.scores[known],
            excluded_user=np.concatenate([engaged[are_both], lists[own]]),
            excluded_row=np.concatenate([touched[are_both], own.astype(np.int32)]),
        )

    def between(self, first: int, last: int) -> Self:
        """Return the profiles of the users at places [first, last)."""
        lo, hi = np.searchsorted(self.interest_user, [first, last])
        excluded = (self.excluded_user >= first) & (self.excluded_user < last)
        return type(self)(
            users=self.users.take(slice(first, last)),
            interest_user=self.interest_user[lo:hi] - np.int32(first),
            interest_category=self.interest_category[lo:hi],
            interest_score=self.interest_score[lo:hi],
            excluded_user=self.excluded_user[excluded] - np.int32(first),
            excluded_row=self.excluded_row[excluded],
        )


def weighted(values: Int64s, weight: Millionths) -> Int64s:
    """Return the contribution of a component with these *values*, in millionths, halves up."""
    return (2 * weight * values + ONE) // (2 * ONE)


def contributions(market: OpenMarket, rows: Int64s, interest: Int64s, ranker: Ranker) -> Int32s:
    """Return the contribution of each component, a row per line and a column per component.

    *interest* is the user's interest in the category of the line's item, in millionths.
    """
    values = {
        Component.INTEREST: interest,
        Component.POPULARITY: market.popularity[rows],
        Component.RECENCY: market.recency[rows],
    }
    parts = [weighted(values[component], weight) for component, weight in ranker.weights]
    return np.stack(parts, axis=1).astype(np.int32)


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
