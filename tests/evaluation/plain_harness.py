"""The protocol of an evaluation in plain loops over lists and dicts: the oracle of the package.

Written from the sentences of the protocol; it shares no code with the package that it checks,
and takes the rankers' own rules from `angle_reco.testing.plain`.

A touch is a bid on another's item, or a watch. At a cut, what is known is what happened up to
it. The users with a touch by then are asked which of the open items they first touch within
the window after it, of those that they neither touched before nor sell.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import combinations
from math import log2
from typing import Any

import attrs

from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.auction_status import AuctionStatus, status_at
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.items import Item, ItemCard
from angle_reco.domain.millionths import ONE
from angle_reco.domain.moments import NEVER, to_micros
from angle_reco.domain.scoring.interest import InterestRule
from angle_reco.domain.scoring.ranking import Ranker
from angle_reco.domain.scoring.similarity import SimilarityRule
from angle_reco.testing import plain

Ranked = Sequence[ItemId]
Targets = Mapping[UserId, set[ItemId]]
PlainRanking = Callable[["PlainCut", UserId], Ranked]

PLACES = 10  # what is ranked below is not shown, and counts for no metric


@attrs.frozen(kw_only=True)
class PlainCut:
    """All that is known at a cut, and what each user asked touched next."""

    market: plain.PlainMarket
    touches: Sequence[Bid | Watch]
    targets: Targets

    @property
    def open_ids(self) -> list[ItemId]:
        """Return the ids of the open items, in order."""
        return sorted((item.item_id for item in self.market.open_items), key=_comparable)

    def may_be_shown(self, user_id: UserId) -> list[ItemId]:
        """Return the open items that the user neither touched nor sells, in order of ids."""
        touched = {one.item_id for one in self.touches if one.user_id == user_id}
        sold = {item.item_id for item in self.market.items if item.seller_id == user_id}
        return [one for one in self.open_ids if one not in touched and one not in sold]


def cut_at(
    now: datetime, items: Iterable[Item], happened: Iterable[Bid | Watch], *, window: timedelta
) -> PlainCut:
    """Return what is known at *now*, and what is asked."""
    items, happened = list(items), list(happened)
    sellers = {item.item_id: item.seller_id for item in items}
    by_now = [one for one in happened if plain.moment_of(one) <= now]
    touches = [
        one for one in happened if isinstance(one, Watch) or sellers[one.item_id] != one.user_id
    ]
    cards = [
        _card(item, by_now, now)
        for item in items
        if item.listed_at is None or item.listed_at <= now
    ]
    cut = PlainCut(
        market=plain.PlainMarket(items=cards, happened=by_now, now=now),
        touches=[one for one in touches if plain.moment_of(one) <= now],
        targets={},
    )
    targets: dict[UserId, set[ItemId]] = {}
    for user_id in {one.user_id for one in cut.touches}:
        next_touched = {
            one.item_id
            for one in touches
            if one.user_id == user_id and now < plain.moment_of(one) <= now + window
        }
        if right := next_touched & set(cut.may_be_shown(user_id)):
            targets[user_id] = right
    return attrs.evolve(cut, targets=targets)


def _card(item: Item, by_now: Iterable[Bid | Watch], now: datetime) -> ItemCard:
    """Return an item as of *now*: its price is the highest bid, or the starting price.

    A status of today that it may not have had by then says nothing: that it is active, or that
    it is over although its end is known.
    """
    amounts = [
        one.amount
        for one in by_now
        if isinstance(one, Bid) and one.item_id == item.item_id and one.amount is not None
    ]
    is_over = item.status in (AuctionStatus.ENDED, AuctionStatus.SOLD)
    is_later = item.status is AuctionStatus.ACTIVE or (is_over and item.ends_at is not None)
    stated = None if is_later else item.status
    status = stated or status_at(
        to_micros(now),
        starts_at=0 if item.starts_at is None else to_micros(item.starts_at),
        ends_at=NEVER if item.ends_at is None else to_micros(item.ends_at),
    )
    assert isinstance(status, AuctionStatus)
    return ItemCard(
        item_id=item.item_id,
        title=item.title,
        category_id=item.category_id,
        seller_id=item.seller_id,
        price=max(amounts, default=item.starting_price),
        is_published=item.is_published,
        status=status,
        ends_at=item.ends_at,
        listed_at=item.listed_at,
    )


def popular(cut: PlainCut, user_id: UserId) -> Ranked:
    """Rank by touches, of which a user has one an item and day; ties by the smaller id."""
    return _by_heat(cut, user_id, lambda _: 1.0)


def recent_popular(half_life: timedelta) -> PlainRanking:
    """Return the ranking by touches that fade: each counts 2 to the power of −age/half-life."""

    def ranking(cut: PlainCut, user_id: UserId) -> Ranked:
        now = cut.market.now
        return _by_heat(cut, user_id, lambda moment: 2.0 ** (-((now - moment) / half_life)))

    return ranking


def popular_in_categories(cut: PlainCut, user_id: UserId) -> Ranked:
    """Rank by the user's items in the category, those without one last; then as `popular`.

    Equal categories by the smaller id.
    """
    touched = {one.item_id for one in cut.touches if one.user_id == user_id}
    categories = cut.market.categories
    liked = Counter(categories[one] for one in touched if categories.get(one) is not None)

    def order(item_id: ItemId) -> tuple[int, Any]:
        category = categories.get(item_id)
        return -liked[category], _comparable(category) if liked[category] else 0

    shown = len(cut.may_be_shown(user_id))
    return sorted(_by_heat(cut, user_id, lambda _: 1.0, most=shown), key=order)[:PLACES]


def _by_heat(
    cut: PlainCut, user_id: UserId, worth: Callable[[datetime], float], most: int = PLACES
) -> Ranked:
    first_of_day: dict[tuple[UserId, ItemId, object], datetime] = {}
    for one in cut.touches:
        moment = plain.moment_of(one).astimezone(UTC)
        key = (one.user_id, one.item_id, moment.date())
        first_of_day[key] = min(moment, first_of_day.get(key, moment))
    heat: dict[ItemId, float] = {}
    for (_, item_id, _), moment in sorted(first_of_day.items(), key=lambda pair: pair[1]):
        heat[item_id] = heat.get(item_id, 0.0) + worth(moment)
    shown = cut.may_be_shown(user_id)
    return sorted(shown, key=lambda item_id: -heat.get(item_id, 0.0))[:most]


def ending_soonest(cut: PlainCut, user_id: UserId) -> Ranked:
    """Rank by the end, those without one last; ties by the latest listing, then the smaller id."""
    cards = {item.item_id: item for item in cut.market.items}

    def order(item_id: ItemId) -> tuple[float, float]:
        ends_at, listed_at = cards[item_id].ends_at, cards[item_id].listed_at
        return (
            float("inf") if ends_at is None else ends_at.timestamp(),
            float("inf") if listed_at is None else -listed_at.timestamp(),
        )

    return sorted(cut.may_be_shown(user_id), key=order)[:PLACES]


def by_ranker(ranker: Ranker, rule: InterestRule) -> PlainRanking:
    """Return the ranking by the homepages of *ranker*."""

    def ranking(cut: PlainCut, user_id: UserId) -> Ranked:
        market = cut.market
        interests = plain.interests_of(
            user_id, cut.touches, market.categories, now=market.now, rule=rule
        )
        page = plain.homepage(market, user_id, interests, ranker=ranker, keep=PLACES)
        return [line.item_id for line in page]

    return ranking


def figures_of(
    cuts: Sequence[PlainCut], ranking: PlainRanking, rule: SimilarityRule
) -> dict[str, float]:
    """Return the figures of *ranking*: means over the questions of all cuts, and its coverage.

    The coverage is the share of a cut's open items that any user asked is shown, as a mean over
    the cuts.
    """
    values: dict[str, list[float]] = {}
    coverage = []
    for cut in cuts:
        shown_at_all: set[ItemId] = set()
        for user_id, targets in cut.targets.items():
            shown = ranking(cut, user_id)
            shown_at_all.update(shown)
            for name, value in worth_of(cut, shown, targets, rule).items():
                values.setdefault(name, []).append(value)
        coverage.append(len(shown_at_all) / len(cut.open_ids))
    figures = {name: sum(those) / len(those) for name, those in values.items()}
    return {**figures, "coverage": sum(coverage) / len(coverage)}


def worth_of(
    cut: PlainCut, shown: Ranked, targets: set[ItemId], rule: SimilarityRule
) -> dict[str, float]:
    """Return what one answer is worth; novelty and similarity only where they are defined."""
    hits = [rank for rank, item_id in enumerate(shown, start=1) if item_id in targets]
    ideal = range(1, min(len(targets), PLACES) + 1)
    worth = {
        "ndcg": gain(hits) / gain(ideal),
        "recall": len(hits) / len(targets),
        "mrr": 1 / hits[0] if hits else 0.0,
        "hit": float(bool(hits)),
        "served": float(bool(shown)),
    }
    if shown:
        worth["novelty"] = sum(self_information(cut, one) for one in shown) / len(shown)
    if len(shown) > 1:
        pairs = list(combinations(shown, 2))
        worth["similarity"] = sum(similarity(cut, *pair, rule) for pair in pairs) / len(pairs)
    return worth


def gain(ranks: Iterable[int]) -> float:
    """Return the discounted cumulative gain of hits at these ranks."""
    return sum(1 / log2(rank + 1) for rank in ranks)


def self_information(cut: PlainCut, item_id: ItemId) -> float:
    """Return the bits that −log2 of the share of users who touched the item makes; 1 added."""
    users = {one.user_id for one in cut.touches}
    touching = {one.user_id for one in cut.touches if one.item_id == item_id}
    return -log2((len(touching) + 1) / (len(users) + 1))


def similarity(cut: PlainCut, one: ItemId, other: ItemId, rule: SimilarityRule) -> float:
    """Return how similar two items are by category and price, without shared users."""
    cards = {item.item_id: item for item in cut.market.items}
    parts = plain.similarity_parts(cards[one], cards[other], 0, rule)
    return float(Fraction(sum(parts), ONE))


def _comparable(one: object) -> Any:  # ids of one kind are comparable, but their static type is not
    return one
