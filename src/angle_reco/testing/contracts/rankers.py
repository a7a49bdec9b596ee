"""Random rankers, with components as a host may add them."""

from functools import cache
from typing import NamedTuple
from zlib import crc32

import numpy as np
from hypothesis import strategies as st

from angle_reco.domain.arrays import Int64s
from angle_reco.domain.ids import UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.scoring.components import COMPONENTS, Component, DependsOn
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.ranking import Candidates, Ranker
from angle_reco.testing import plain


class Drawn(NamedTuple):
    """A component of a host, and its plain rule."""

    component: Component
    rule: plain.ComponentRule


def _drawn(name: str, depends_on: DependsOn) -> Drawn:
    """Return a component whose value is a hash of what it depends on."""

    def value(user_id: object, item_id: object, category_id: object) -> int:
        parts = {
            DependsOn.ITEM: (item_id,),
            DependsOn.CATEGORY: (user_id, category_id),
            DependsOn.PAIR: (user_id, item_id),
        }[depends_on]
        # Few values, so that many scores are equal.
        return crc32(repr(parts).encode()) % 5 * 250_000

    def values(market: OpenMarket, profiles: Profiles, users: Int64s, rows: Int64s) -> Int64s:
        user_ids = profiles.users.to_list()
        item_ids = market.catalogue.items.ids.to_list()
        category_ids = [*market.catalogue.categories.ids.to_list(), None]
        category = market.catalogue.category.tolist()
        return np.array(
            [
                value(
                    None if depends_on is DependsOn.ITEM else user_ids[user],
                    item_ids[row],
                    category_ids[category[row]],
                )
                for user, row in zip(users.tolist(), rows.tolist(), strict=True)
            ],
            np.int64,
        )

    component = Component(name=name, data="the ids, hashed", depends_on=depends_on, values=values)

    def rule(market: plain.PlainMarket, user_id: UserId, item: ItemCard) -> int:
        return value(user_id, item.item_id, item.category_id)

    return Drawn(component, rule)


DRAWN = {
    f"drawn_{depends_on}": _drawn(f"drawn_{depends_on}", depends_on) for depends_on in DependsOn
}
"""Components of a host by name, one for each thing that a component may depend on."""

DRAWN_RULES = {name: one.rule for name, one in DRAWN.items()}
"""Their plain rules."""


_KNOWN = [*COMPONENTS.values(), *(one.component for one in DRAWN.values())]
_ORDERS = st.permutations(_KNOWN)


@cache
@st.composite
def rankers(draw: st.DrawFn) -> Ranker:
    """Draw rankers: weights of some components in any order, and limits, or all candidates."""
    components = draw(_ORDERS)[: draw(st.integers(1, len(_KNOWN)))]
    weights = st.sampled_from([0, 1, 100_000, 166_666])
    return Ranker(
        name="drawn",
        weights=tuple((component, draw(weights)) for component in components),
        favourites=draw(st.sampled_from([1, 2, 5])),
        per_category=draw(st.sampled_from([1, 2, 3])),
        candidates=draw(st.sampled_from(Candidates)),
    )
