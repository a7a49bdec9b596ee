"""Small random markets with many ties, as plain values and as columns."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from random import Random
from typing import Any
from uuid import UUID

import attrs
import numpy as np
from hypothesis import strategies as st

from angle_reco.domain.activity import Bid, Interactions, Watch
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.availability import open_rows
from angle_reco.domain.catalogue import Catalogue
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.ids import CategoryId, Id, IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.millionths import ONE
from angle_reco.domain.moments import to_micros
from angle_reco.domain.prices import PriceScale
from angle_reco.domain.scoring.decay import HalfLife
from angle_reco.domain.scoring.interest import (
    InterestRule,
    Interests,
    ItemCategories,
    score_interests,
)
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.popularity import (
    BidCounting,
    Demand,
    PopularityRule,
    fading_demand,
    plain_demand,
)
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.similarity import Engagement, Originals, SimilarityRule
from angle_reco.testing import plain

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
PRICES = PriceScale()

IDS: dict[IdKind, tuple[Id, ...]] = {
    IdKind.INT: (7, -1, 2**63 - 1, 0, -(2**63), 10, 9, 300, 2**31, -7, 1, 2**32, *range(11, 19)),
    # Trailing zero bytes, first bytes from both halves, and neighbours.
    IdKind.UUID: tuple(
        UUID(int=number)
        for number in (
            *(5 << 120, 0, 2**128 - 1, 1, 128 << 120, 127 << 120, 5 << 64, 256, 255),
            *((5 << 120) + 1, 6 << 112, 1 << 127 | 1),
            *(number << 40 for number in range(11, 19)),
        )
    ),
    # U+FFFF sorts before U+1F600 by code point, after it by UTF-16 unit.
    IdKind.TEXT: (
        *("b", "\uffff", "\U0001f600", "B", "é", "10", "9", "-x", "a b", "ba", "\ue000", "z"),
        *(f"lot {number}" for number in range(11, 19)),
    ),
}
"""Twenty ids of each kind, in no order, including ones that are hard to handle."""

_MICROSECOND = timedelta(microseconds=1)
_AGES = (
    timedelta(days=90) + _MICROSECOND,
    *(timedelta(days=days) for days in (91, 90, 31, 30, 8, 7, 1, 0, -1)),
    timedelta(days=8) - _MICROSECOND,
)
_LEFT = (
    *(timedelta(days=days) for days in (30, 8, 1, 0, -1)),
    timedelta(days=7),
    timedelta(days=7) + _MICROSECOND,
    _MICROSECOND,
)
_ACTIVE_USERS, _ASKING_USERS = 6, 8
_MONEY = ("0", "0.0001", "0.0002", "0.0003", "1", "2", "2.0001", "4", "99999999999999")


# Each of these strategies is made once: to make one for every example takes as long as the
# example itself.
@cache
def markets(ids: IdKinds) -> st.SearchStrategy[plain.PlainMarket]:
    """Return a strategy of marketplaces with few items, categories and active users.

    Hypothesis draws the sizes, so that failures shrink. The rest follows from a seed,
    which is faster and distributes values more evenly.
    """
    return st.builds(
        _market,
        st.just(ids),
        items=st.sampled_from([1, 5, 10, 15, 20, 20, 0]),
        categories=st.sampled_from([1, 2, 3, 4, 0]),
        did=st.sampled_from([1, 10, 20, 40, 60, 0]),
        crowd=st.sampled_from([0, 5, 6, 10, 11]),
        seed=st.integers(0, 2**32),
        rule=popularity_rules(),
    )


def lot(item_id: object, **known: Any) -> ItemCard:  # values of fields of ItemCard
    """Return an active item without a seller, with all other data empty unless *known*."""
    plain_lot = ItemCard(
        item_id=ItemId(item_id),
        title="",
        category_id=None,
        seller_id=None,
        price=None,
        is_published=True,
        status=AuctionStatus.ACTIVE,
        ends_at=None,
        listed_at=None,
    )
    return attrs.evolve(plain_lot, **known)


def _market(
    ids: IdKinds,
    *,
    items: int,
    categories: int,
    did: int,
    crowd: int,
    seed: int,
    rule: PopularityRule,
) -> plain.PlainMarket:
    random = Random(seed)
    users, all_items = IDS[ids.user], IDS[ids.item]
    acts = [
        (
            random.random() < 0.5,
            random.choice(users[:_ACTIVE_USERS]),
            random.choice(all_items),
            NOW - random.choice(_AGES),
        )
        for _ in range(did)
    ]
    acts += acts[: random.randrange(4)]  # repetitions: each bid counts, a watch counts once
    watched = random.choice(all_items)
    acts += [(False, user, watched, NOW) for user in users[_ASKING_USERS:][:crowd]]
    return plain.PlainMarket(
        items=[
            _item(ids, item_id, IDS[ids.category][:categories], random)
            for item_id in random.sample(all_items, items)
        ],
        happened=[
            Bid(user_id=UserId(user), item_id=ItemId(item), placed_at=moment)
            if is_bid
            else Watch(user_id=UserId(user), item_id=ItemId(item), watched_at=moment)
            for is_bid, user, item, moment in acts
        ],
        now=NOW,
        rule=rule,
    )


def _item(ids: IdKinds, item_id: Id, categories: Sequence[Id], random: Random) -> ItemCard:
    category = random.choice((None, *categories))
    seller = random.choice((None, *IDS[ids.user][:_ACTIVE_USERS]))
    price = random.choice((None, *_MONEY))
    starting_price = random.choice((price, *_MONEY))
    left = random.choice((*[None] * 10, *_LEFT))
    return ItemCard(
        item_id=ItemId(item_id),
        title="",
        category_id=None if category is None else CategoryId(category),
        seller_id=None if seller is None else UserId(seller),
        price=None if price is None else Decimal(price),
        starting_price=None if starting_price is None else Decimal(starting_price),
        is_published=random.random() < 0.95,
        status=random.choice((*[AuctionStatus.ACTIVE] * 20, *AuctionStatus)),
        ends_at=None if left is None else NOW + left,
        listed_at=random.choice((None, *(NOW - timedelta(days=days) for days in (0, 1, 1, 2)))),
    )


@cache
def popularity_rules() -> st.SearchStrategy[PopularityRule]:
    """Return a strategy of rules that count bids and watchers."""
    half_lives = st.sampled_from([timedelta(days=7), timedelta(days=1), timedelta(hours=5)])
    return st.just(PopularityRule()) | st.builds(
        PopularityRule,
        watcher_weight=st.integers(0, 3),
        saturation=st.sampled_from([1, 3, 7, 10]),
        counting=st.sampled_from(BidCounting),
        half_life=st.none() | st.builds(HalfLife, span=half_lives),
    )


@cache
@st.composite
def similarity_rules(draw: st.DrawFn) -> SimilarityRule:
    """Draw weights that may be 0 or equal the threshold."""
    history_length = draw(st.sampled_from([500, 500, 1, 2, 3, 5]))
    if draw(st.booleans()):
        return SimilarityRule(history_length=history_length)
    weights = st.sampled_from([0, 1, 99_999, 100_000, 200_000, 300_000, 300_001, 333_333])
    category, price, shared = draw(weights), draw(weights), draw(weights)
    return SimilarityRule(
        category=category,
        price=price,
        shared=shared,
        enough_shared=draw(st.sampled_from([1, 2, 3, 4, 7, 10_000])),
        history_length=history_length,
        threshold=draw(
            st.sampled_from([0, 1, 200_000, 300_000, category, price, shared, category + price])
        ),
    )


def catalogue_of(market: plain.PlainMarket, ids: IdKinds) -> Catalogue:
    """Return all items of a market as columns, open or not."""
    counts = attrs.evolve(market, rule=PopularityRule(counting=market.rule.counting)).demand
    cards = [
        attrs.evolve(
            item,
            bids=counts[item.item_id][0] // ONE,
            watchers=counts[item.item_id][1] // ONE,
        )
        for item in market.items
    ]
    return Catalogue.of_cards(ids, cards, PRICES)


def open_market(market: plain.PlainMarket, ids: IdKinds) -> OpenMarket:
    """Return the open items of a market as columns."""
    everything = catalogue_of(market, ids)
    catalogue = everything.where(open_rows(everything, market.now))
    demand = _demand(market, ids, catalogue)
    return OpenMarket(catalogue=catalogue, demand=demand, rule=market.rule, now=market.now)


def originals_of(market: OpenMarket, items: Sequence[ItemCard]) -> Originals:
    """Return *items*, open or not, as the originals of similar lists."""
    categories = market.catalogue.categories
    return Originals(
        ids=IdColumn.of(market.catalogue.items.ids.kind, [item.item_id for item in items]),
        category=np.array(
            [
                NONE if item.category_id is None else categories.code(item.category_id)
                for item in items
            ],
            np.int32,
        ),
        prices=np.array([PRICES.units_of(item.price) for item in items], np.int64),
    )


def engagement_of(
    happened: Sequence[Bid | Watch],
    ids: IdKinds,
    users: IdIndex,
    items: IdIndex,
    history_length: int = 1_000_000,
) -> Engagement:
    """Return which of *users* engaged with which of *items*, in their newest bids and watches."""
    columns = Interactions.of(ids, happened)
    user, place = users.codes(columns.users), items.codes(columns.items)
    known = (user != NONE) & (place != NONE)
    return Engagement.of_newest(
        user[known],
        place[known],
        kinds=columns.kinds[known],
        moments=columns.moments[known],
        most=history_length,
    )


def interests_in(market: plain.PlainMarket, ids: IdKinds, rule: InterestRule) -> Interests:
    """Return the interests of all users of a market as columns."""
    happened = Interactions.of(ids, market.happened)
    categories = [market.categories.get(one.item_id) for one in market.happened]
    index, codes = IdIndex.of_nullable(ids.category, categories)
    of_items = ItemCategories(categories=index, codes=codes)
    return score_interests(ids, happened, of_items, now=market.now, rule=rule)


def profiles_of(
    market: plain.PlainMarket, ids: IdKinds, users: IdIndex, rule: InterestRule
) -> Profiles:
    """Return the profiles of *users*, including users without activity."""
    return profiles_in(open_market(market, ids), market, ids, users, rule)


def profiles_in(
    opened: OpenMarket, market: plain.PlainMarket, ids: IdKinds, users: IdIndex, rule: InterestRule
) -> Profiles:
    """Return the same for the open items of the market, with or without a model's signals."""
    return Profiles.of(
        users,
        interests=interests_in(market, ids, rule),
        interactions=Interactions.of(ids, market.happened),
        market=opened,
    )


def index_of_users(ids: IdKinds, count: int = _ASKING_USERS) -> IdIndex:
    """Return the first *count* users: by default the active ones and two without activity."""
    return IdIndex.of(ids.user, IdColumn.of(ids.user, IDS[ids.user][:count]))


def _demand(market: plain.PlainMarket, ids: IdKinds, catalogue: Catalogue) -> Demand:
    if market.rule.half_life is None:
        return plain_demand(catalogue)
    happened = Interactions.of(ids, market.counted)
    rows = catalogue.items.codes(happened.items)
    here = happened.where(rows != NONE)
    return fading_demand(
        len(catalogue),
        rows=rows[rows != NONE],
        users=IdIndex.of(ids.user, here.users).codes(here.users),
        kinds=here.kinds,
        ages=to_micros(market.now) - here.moments,
        rule=market.rule,
    )
