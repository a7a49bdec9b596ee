"""The similarity of two items: by category, by price and by shared users."""

from typing import Self

import attrs
import numpy as np

from angle_reco.domain.activity import first_watches
from angle_reco.domain.arrays import (
    Bools,
    Int8s,
    Int32s,
    Int64s,
    check_lengths,
    frozen,
    places_in_runs,
)
from angle_reco.domain.catalogue import Catalogue
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.millionths import ONE, Millionths, scaled
from angle_reco.domain.stored_list import Recipe
from angle_reco.domain.suggestions import Reason
from angle_reco.domain.validators import whole

SAME_CATEGORY, PRICE_RANGE, COLLABORATIVE = range(3)
"""The columns of the parts of a similarity."""

_REASONS = (Reason.SAME_CATEGORY, Reason.PRICE_RANGE, Reason.COLLABORATIVE)


@attrs.frozen(kw_only=True)
class SimilarityRule:
    """The weights of similarity, and how many of the most similar items are stored.

    `score = category·[same] + price·[near] + shared·min(shared users / enough_shared, 1)`,
    and only a score above the *threshold* counts. Of each user, the newest *history_length* bids
    and watches on open items count.
    """

    category: Millionths = 500_000
    price: Millionths = 300_000
    shared: Millionths = 200_000
    enough_shared: int = 4
    threshold: Millionths = 300_000
    kept: int = 40
    history_length: int = 500

    def __attrs_post_init__(self) -> None:
        weights = (self.category, self.price, self.shared)
        for weight in (*weights, self.threshold):
            whole(weight, "weight of similarity, in millionths,", least=0, most=ONE)
        if sum(weights) > ONE:
            what = "sum of the weights of similarity, in millionths,"
            raise InvalidValueError(what, sum(weights), f"at most {ONE:,}")
        whole(self.enough_shared, "enough shared users", least=1, most=10_000)
        whole(self.kept, "number of similar items kept", least=1, most=1_000)
        whole(self.history_length, "history length of similarity", least=1, most=1_000_000)

    def worth_of(self, shared_users: int) -> Millionths:
        """Return what so many shared users contribute."""
        return int(_shared_part(np.array([shared_users]), self)[0])

    @property
    def recipe(self) -> Recipe:
        """Return the recipe that identifies lists of this rule."""
        weights = zip(_REASONS, (self.category, self.price, self.shared), strict=True)
        return Recipe(
            name="similarity",
            weights=tuple((reason.value, weight) for reason, weight in weights),
            kept=self.kept,
        )


@attrs.frozen(kw_only=True)
class Originals:
    """The items for which similar ones are computed, as columns.

    *category* is the code of the item's category among the candidates, NONE if no candidate
    has it.
    """

    ids: IdColumn
    category: Int32s = attrs.field(converter=frozen)
    prices: Int64s = attrs.field(converter=frozen)

    def __attrs_post_init__(self) -> None:
        check_lengths(self, ids=self.ids, category=self.category, prices=self.prices)

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def all_of(cls, catalogue: Catalogue) -> Self:
        """Return every item of *catalogue*."""
        return cls(ids=catalogue.items.ids, category=catalogue.category, prices=catalogue.prices)

    def between(self, first: int, last: int) -> Self:
        """Return the items at places [first, last)."""
        return type(self)(
            ids=self.ids.take(slice(first, last)),
            category=self.category[first:last],
            prices=self.prices[first:last],
        )


@attrs.frozen(kw_only=True)
class Engagement:
    """Pairs of a user's code and the place of an item they engaged with, in any order.

    Repeated pairs count once.
    """

    users: Int32s = attrs.field(converter=frozen)
    places: Int32s = attrs.field(converter=frozen)

    def __attrs_post_init__(self) -> None:
        check_lengths(self, users=self.users, places=self.places)

    @classmethod
    def of_newest(
        cls, users: Int32s, places: Int32s, *, kinds: Int8s, moments: Int64s, most: int
    ) -> Self:
        """Return the pairs in the newest *most* bids and watches of each user.

        Every bid counts; of several watches of one item only the earliest. Those of one moment
        are ordered by place.
        """
        is_of_many = np.bincount(users)[users] > most if len(users) else np.zeros(0, np.bool_)
        many = np.flatnonzero(is_of_many)
        many = many[first_watches(users[many], places[many], kinds[many], moments[many])]
        order = many[np.lexsort((places[many], ~moments[many], users[many]))]
        counted = ~is_of_many
        counted[order[places_in_runs(users[order]) < most]] = True
        return cls(users=users[counted], places=places[counted])


def prices_near(one: Int64s, other: Int64s) -> Bools:
    """Return which prices are near: the difference is at most half of the larger one.

    >>> prices_near(np.array([50, 49, 0, 0, -1]), np.array([100, 100, 0, 1, -1]))
    array([ True, False,  True, False, False])
    """
    smaller, larger = np.minimum(one, other), np.maximum(one, other)
    return (2 * smaller >= larger) & (smaller >= 0)


def similarity_parts(
    same_category: Bools, near: Bools, shared_users: Int64s, rule: SimilarityRule
) -> Int32s:
    """Return the contributions of category, price and shared users, a row per pair of items.

    >>> similarity_parts(
    ...     np.array([True]), np.array([False]), np.array([3]), SimilarityRule()
    ... ).tolist()
    [[500000, 0, 150000]]
    """
    parts = np.empty((len(near), 3), np.int32)
    parts[:, SAME_CATEGORY] = np.where(same_category, rule.category, 0)
    parts[:, PRICE_RANGE] = np.where(near, rule.price, 0)
    parts[:, COLLABORATIVE] = _shared_part(shared_users, rule)
    return parts


def similarity_scores(
    same_category: Bools, near: Bools, shared_users: Int64s, rule: SimilarityRule
) -> Int64s:
    """Return the sums of `similarity_parts`, without the parts."""
    scores = _shared_part(shared_users, rule)
    scores += np.where(same_category, rule.category, 0)
    scores += np.where(near, rule.price, 0)
    return scores


def _shared_part(shared_users: Int64s, rule: SimilarityRule) -> Int64s:
    # Users beyond enough_shared add nothing, so there are few values to look up.
    counted = np.minimum(shared_users, rule.enough_shared)
    worth = scaled(np.arange(counted.max(initial=0) + 1), rule.shared, rule.enough_shared)
    return worth[counted]


def similarity_reasons(parts: Int32s) -> Int8s:
    """Return the code of the largest contribution of each row, the first among equal ones."""
    codes = np.array([reason.code for reason in _REASONS], np.int8)
    reasons: Int8s = codes[parts.argmax(axis=1)]
    return reasons
