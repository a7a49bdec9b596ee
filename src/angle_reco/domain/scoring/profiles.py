"""The data about users that rankings need."""

from functools import cached_property
from typing import Self

import attrs
import numpy as np

from angle_reco.domain.activity import Interactions
from angle_reco.domain.arrays import Int32s, Int64s, frozen
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.scoring.blended.hashes import hashes_of
from angle_reco.domain.scoring.blended.model import Histories
from angle_reco.domain.scoring.blended.signals import Signals
from angle_reco.domain.scoring.blended.tastes import Tastes, Touched
from angle_reco.domain.scoring.interest import Interests
from angle_reco.domain.scoring.market import OpenMarket


@attrs.frozen(kw_only=True)
class Profiles:
    """The data about users that rankings need, each user by their place in *users*.

    *interest_…* columns have a row per user and category, ordered by user and with each
    user's strongest first; category codes are those of the market, NONE if no item of the
    category is open. *excluded_…* are pairs of a user and a row of the market that the user
    must not be shown.

    With a trained model, *histories* are what the users touched, by its codes, and *known_as*
    are the codes of the users, NONE for one that it does not know.
    """

    users: IdColumn
    interest_user: Int32s = attrs.field(converter=frozen)
    interest_category: Int32s = attrs.field(converter=frozen)
    interest_score: Int64s = attrs.field(converter=frozen)
    excluded_user: Int32s = attrs.field(converter=frozen)
    excluded_row: Int32s = attrs.field(converter=frozen)
    histories: Histories | None = None
    known_as: Int32s = attrs.field(factory=lambda: np.empty(0, np.int32), converter=frozen)
    _last_tastes: dict[int, Tastes] = attrs.field(factory=dict, init=False, eq=False, repr=False)

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
        # There are more sellers than users in most batches, and one user in a request.
        seller = catalogue.sellers.codes(users.ids)
        sells = np.flatnonzero(seller != NONE)
        user_of_seller = np.full(len(catalogue.sellers) + 1, NONE, np.int32)
        user_of_seller[seller[sells]] = sells
        lists = user_of_seller[catalogue.seller]
        own = np.flatnonzero(lists != NONE)
        if market.signals is None:
            histories, known_as = None, np.empty(0, np.int32)
        else:
            model = market.signals.model
            histories = model.histories_of(interactions, users)
            known_as = model.users.codes(hashes_of(users.ids))
        return cls(
            users=users.ids,
            interest_user=place[known],
            interest_category=category[known],
            interest_score=interests.scores[known],
            excluded_user=np.concatenate([engaged[are_both], lists[own]]),
            excluded_row=np.concatenate([touched[are_both], own.astype(np.int32)]),
            histories=histories,
            known_as=known_as,
        )

    @property
    def by_excluded_user(self) -> Self:
        """Return the profiles with the excluded pairs ordered by user."""
        order = np.argsort(self.excluded_user, kind="stable")
        return attrs.evolve(
            self,
            excluded_user=self.excluded_user[order],
            excluded_row=self.excluded_row[order],
        )

    def tastes(self, place: int, signals: Signals) -> Tastes:
        """Return what a trained model says of open items to the user at a *place*.

        Raises:
            ValueError: There is no model.
        """
        last = self._last_tastes.get(place)
        if last is not None and last.signals is signals:
            return last
        if self.histories is None:
            raise ValueError("profiles without a model")
        items, last_at = self.histories.of_user(place)
        touched = Touched(user=int(self.known_as[place]), items=items, last_at=last_at)
        found = Tastes(signals=signals, touched=touched)
        # Components ask one after another for the same user.
        self._last_tastes.clear()
        self._last_tastes[place] = found
        return found

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
            histories=None if self.histories is None else self.histories.between(first, last),
            known_as=self.known_as[first:last],
        )

    def interest_in(self, categories: Int32s, users: Int64s) -> Int64s:
        """Return the interest of each of *users*, places, in the category beside it.

        It is 0 where there is none, and for no category (NONE).
        """
        table = self._interests_as_table
        if table is not None:
            found: Int32s = table[users, np.minimum(categories, table.shape[1] - 1)]
            return found.astype(np.int64)
        keys, scores = self._interests_by_key
        if len(keys) == 0:
            return np.zeros(len(users), np.int64)
        wanted = users * _CATEGORIES + categories
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where((categories != NONE) & (keys[places] == wanted), scores[places], 0)

    @cached_property
    def _interests_as_table(self) -> Int32s | None:
        """Return the interest by user and category, None if that takes too much room.

        The last column is for no category, and for those in which no user has an interest.
        """
        known = np.flatnonzero(self.interest_category != NONE)
        columns = int(self.interest_category.max(initial=NONE)) + 2
        if len(self) * columns > _MOST_IN_A_TABLE:
            return None
        table = np.zeros((len(self), columns), np.int32)
        table[self.interest_user[known], self.interest_category[known]] = self.interest_score[known]
        return table

    @cached_property
    def _interests_by_key(self) -> tuple[Int64s, Int64s]:
        known = np.flatnonzero(self.interest_category != NONE)
        keys = self.interest_user[known].astype(np.int64) * _CATEGORIES
        keys += self.interest_category[known]
        order = np.argsort(keys)
        return keys[order], self.interest_score[known][order]


_CATEGORIES = 2**31
"""More than there are codes of categories."""

_MOST_IN_A_TABLE = 4_000_000
"""Interests of users in categories, a number for each pair: 16 MB."""
