"""Small random markets with a model trained on a part of what happened in them."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from functools import cache
from random import Random

import attrs
import numpy as np
from hypothesis import strategies as st

from angle_reco.domain.activity import Bid, Interactions, Watch
from angle_reco.domain.catalogue import Catalogue, OpenCards
from angle_reco.domain.columns import IdIndex
from angle_reco.domain.ids import IdKind, IdKinds
from angle_reco.domain.items import ItemCard
from angle_reco.domain.moments import to_micros
from angle_reco.domain.scoring.blended.model import Coefficients, Model
from angle_reco.domain.scoring.blended.signals import Signals
from angle_reco.domain.scoring.interest import InterestRule
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.ports.kernels import Kernels
from angle_reco.testing import plain
from angle_reco.testing.contracts.markets import NOW, PRICES, markets, open_market, profiles_in
from angle_reco.testing.plain_blended import PlainBlended, PlainModel

TITLES = (
    "",
    "-- ' ... !",
    "Red vase",
    "red RED vase, blue lamp",
    "Straße STRASSE lamp",
    "花瓶 赤い",
    "лампа مصباح λάμπα दीपक",
    "e\u0301cran écran \U0001f600",
    "lot " * 2_500,
)
"""Titles without words, with equal ones, far longer than what is read, and in several scripts."""


@attrs.frozen(kw_only=True)
class ModelCase:
    """A market, and what a model of it is trained on; coefficients may be drawn instead."""

    ids: IdKinds
    market: plain.PlainMarket
    known_items: Sequence[ItemCard]
    known_acts: Sequence[Bid | Watch]
    seed: int | None = None

    def model(self, kernels: Kernels) -> Model:
        """Return the model."""
        return with_random_coefficients(
            kernels.trained(
                Interactions.of(self.ids, self.known_acts),
                OpenCards.of_cards(self.ids, self.known_items, PRICES),
                now=to_micros(self.market.now),
            ),
            self.seed,
        )

    def opened(self, model: Model) -> OpenMarket:
        """Return the open items, with what the model says of them."""
        market = open_market(self.market, self.ids)
        return attrs.evolve(market, signals=self.signals(model, market.catalogue))

    def signals(self, model: Model, catalogue: Catalogue) -> Signals:
        """Return what a model says of a catalogue of the open items."""
        titles = np.empty(len(catalogue), object)
        for item in self.market.open_items:
            titles[catalogue.items.code(item.item_id)] = item.title
        return Signals.of(model, catalogue, titles, now=to_micros(self.market.now))

    def profiles(self, opened: OpenMarket, users: IdIndex) -> Profiles:
        """Return the profiles of *users* in these open items."""
        return profiles_in(opened, self.market, self.ids, users, InterestRule())

    def plainly(self, model: Model) -> PlainBlended:
        """Return the plain rules with the model."""
        return PlainBlended(model=PlainModel.of(model), market=self.market)


@cache
@st.composite
def model_cases(draw: st.DrawFn, kind: IdKind) -> ModelCase:
    """Draw markets whose users and items a model knows in part, at other prices."""
    ids = IdKinds(user=kind, item=kind, category=kind)
    market, random = draw(markets(ids)), Random(draw(st.integers(0, 2**32)))
    items = [_varied(item, random) for item in market.items]
    happened = [_shifted(one, random) for one in market.happened]
    share = draw(st.sampled_from([0.8, 1, 0]))
    users = {one.user_id for one in happened if random.random() < 0.8}
    return ModelCase(
        ids=ids,
        market=attrs.evolve(market, items=items, happened=happened),
        known_items=[
            attrs.evolve(
                item,
                price=random.choice([item.price, Decimal(3)]),
                starting_price=random.choice([item.starting_price, Decimal(2)]),
            )
            for item in items
            if random.random() < share
        ],
        known_acts=[one for one in happened if one.user_id in users],
        seed=draw(st.none() | st.integers(0, 2**32)),
    )


def with_random_coefficients(model: Model, seed: int | None) -> Model:
    """Return a model with coefficients of either sign; the same without a *seed*."""
    if seed is None:
        return model
    random = np.random.default_rng(seed)
    items, kinds = len(model.items), len(model.items.kinds)
    return attrs.evolve(
        model,
        taste=_drawn(items, random),
        follow=_drawn(items, random),
        sequence=_drawn(items, random),
        taste_of_kinds=_drawn(kinds, random),
        follow_of_kinds=_drawn(kinds, random),
    )


def _drawn(size: int, random: np.random.Generator) -> Coefficients:
    source, target = np.nonzero(random.random((size, size)) < 0.3)
    return Coefficients(
        offsets=np.searchsorted(source, np.arange(size + 1)),
        targets=target.astype(np.int32),
        values=random.integers(-1_000_000, 3_000_000, len(source)).astype(np.int32),
    )


def _varied(item: ItemCard, random: Random) -> ItemCard:
    listed = random.choice((None, *(NOW - timedelta(days=days) for days in (-1, 0, 1, 30, 1_000))))
    return attrs.evolve(
        item,
        title=random.choice(TITLES),
        listed_at=None if listed is None else listed + timedelta(minutes=random.randrange(999)),
        ends_at=random.choice((item.ends_at, NOW + timedelta(minutes=random.randrange(30_000)))),
    )


def _shifted(one: Bid | Watch, random: Random) -> Bid | Watch:
    by = timedelta(minutes=random.choice((0, 0, random.randrange(-3_000, 3_000))))
    if isinstance(one, Bid):
        return attrs.evolve(one, placed_at=one.placed_at + by)
    return attrs.evolve(one, watched_at=one.watched_at + by)
