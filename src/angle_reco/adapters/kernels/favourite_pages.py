"""Homepages of favourite categories by a compiled loop, as lists."""

from collections.abc import Callable
from functools import cache
from typing import Self, TypeAlias

import attrs
import numpy as np

from angle_reco.adapters.kernels.compiling import column, compiled, on_threads
from angle_reco.adapters.kernels.favourite_arguments import Found, Items, People, Rule, Space
from angle_reco.adapters.kernels.homepages import CategoryOrders
from angle_reco.domain.lists import Lists
from angle_reco.domain.scoring.components import COMPONENTS, DependsOn, contributions
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.ranking import (
    FAVOURITE_ABOVE,
    Candidates,
    Ranker,
    homepage_reasons,
)
from angle_reco.domain.suggestions import Source

_USERS_AT_ONCE = 256


Loop: TypeAlias = Callable[[Items, People, Rule, int, int, Space, Found], None]


@attrs.frozen(kw_only=True)
class Favourites:
    """What the homepages of some users are made of."""

    market: OpenMarket
    profiles: Profiles
    ranker: Ranker

    @classmethod
    def of(cls, market: OpenMarket, profiles: Profiles, ranker: Ranker) -> Self | None:
        """Return it for a ranker with components of the package, None for any other."""
        if ranker.candidates is not Candidates.FAVOURITES:
            return None
        if any(COMPONENTS.get(one.name) is not one for one, _ in ranker.weights):
            return None
        return cls(market=market, profiles=profiles.by_excluded_user, ranker=ranker)

    def lists(self, keep: int, *, loop: Loop, threads: int) -> Lists:
        """Return the best *keep* items of each user, as `rank_homepages` does."""
        items, people, rule = self._items, self._people, self._rule
        users = len(self.profiles)
        found = Found.of(users, keep, len(self.ranker.weights))

        def start() -> Callable[[int], None]:
            space = Space.of(items, rule)

            def act(first: int) -> None:
                last = min(first + _USERS_AT_ONCE, users)
                loop(items, people, rule, first, last, space, found)

            return act

        on_threads(threads, "angle-reco-pages", range(0, users, _USERS_AT_ONCE), start)
        line = np.arange(keep)
        is_line = line < found.lengths[:, None]
        source = np.where(
            line < found.personal[:, None], Source.PERSONAL.code, Source.POPULAR.code
        ).astype(np.int8)
        return Lists(
            owners=self.profiles.users,
            offsets=np.append(0, np.cumsum(found.lengths)),
            items=self.market.catalogue.ids_at(found.rows[is_line]),
            parts=found.parts[is_line],
            reasons=found.reasons[is_line],
            sources=source[is_line],
            recipe=self.ranker.recipe,
            computed_at=self.market.now,
        )

    @property
    def _items(self) -> Items:
        return self.market.kept(("favourites", self.ranker.weights), self._items_of_market)

    def _items_of_market(self) -> Items:
        market, rows = self.market, np.arange(len(self.market))
        orders = CategoryOrders.of(market, self.profiles, self.ranker)
        of_item = [
            (component, weight if component.depends_on is DependsOn.ITEM else 0)
            for component, weight in self.ranker.weights
        ]
        parts = contributions(market, self.profiles, np.zeros_like(rows), rows, of_item)
        reasons = [
            homepage_reasons(market, rows, np.full(len(rows), interest))
            for interest in (FAVOURITE_ABOVE, FAVOURITE_ABOVE + 1)
        ]
        return Items(
            rows=column(orders.rows, np.int64),
            starts=column(orders.starts, np.int64),
            worth=column(orders.worth, np.int64),
            category=column(market.catalogue.category, np.int32),
            tie_rank=column(market.tie_rank, np.int64),
            popular=column(market.popular_order, np.int64),
            parts=column(parts, np.int32),
            reasons=column(reasons, np.int8),
        )

    @property
    def _people(self) -> People:
        profiles, places = self.profiles, np.arange(len(self.profiles) + 1)
        return People(
            offsets=column(np.searchsorted(profiles.interest_user, places), np.int64),
            categories=column(profiles.interest_category, np.int32),
            scores=column(profiles.interest_score, np.int64),
            excluded_offsets=column(np.searchsorted(profiles.excluded_user, places), np.int64),
            excluded=column(profiles.excluded_row, np.int32),
        )

    @property
    def _rule(self) -> Rule:
        of_interest = [
            weight if component.depends_on is DependsOn.CATEGORY else 0
            for component, weight in self.ranker.weights
        ]
        return Rule(
            of_interest=column(of_interest, np.int64),
            favourites=self.ranker.favourites,
            per_category=self.ranker.per_category,
            favourite_above=FAVOURITE_ABOVE,
        )


@cache
def compiled_favourites() -> Loop | None:
    """Return the compiled loop, None if it cannot be compiled."""
    return compiled(_compiled)


def _compiled(is_cached: bool) -> Loop:
    import numba

    from angle_reco.adapters.kernels.favourite_loops import rank_favourites

    loop: Loop = numba.njit(nogil=True, cache=is_cached)(rank_favourites)
    # numba compiles at the first call. All others have arguments of the same types.
    nothing = column([0], np.int64)
    codes = column([0], np.int32)
    items = Items(
        rows=nothing,
        starts=nothing,
        worth=nothing,
        category=codes,
        tie_rank=nothing,
        popular=nothing,
        parts=column([[0]], np.int32),
        reasons=column([[0], [0]], np.int8),
    )
    people = People(nothing, codes, nothing, nothing, codes)
    rule = Rule(nothing, 1, 1, FAVOURITE_ABOVE)
    loop(items, people, rule, 0, 0, Space.of(items, rule), Found.of(0, 1, 1))
    return loop
