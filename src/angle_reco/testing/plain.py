"""The scoring rules in plain Python: slow and short, the oracle for the vectorised forms.

Every rule loops over single values: item cards, bids and watches, with fractions for
division. No code is shared with the columnar forms.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from math import floor
from types import MappingProxyType
from typing import Any, TypeAlias

import attrs

from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.ids import CategoryId, ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.millionths import ONE, Millionths
from angle_reco.domain.scoring.after_bid import AfterBidRule
from angle_reco.domain.scoring.decay import Decay, DecaySteps
from angle_reco.domain.scoring.interest import InterestRule, UserInterest
from angle_reco.domain.scoring.popularity import BidCounting, PopularityRule
from angle_reco.domain.scoring.ranking import Candidates, Ranker
from angle_reco.domain.scoring.similarity import SimilarityRule
from angle_reco.domain.stored_list import StoredLine
from angle_reco.domain.suggestions import Reason, Source

_EARLIEST = datetime.min.replace(tzinfo=UTC)


@attrs.frozen(kw_only=True)
class PlainMarket:
    """All items of a marketplace, open or not, and all bids and watches."""

    items: Sequence[ItemCard]
    happened: Sequence[Bid | Watch]
    now: datetime
    rule: PopularityRule = attrs.field(factory=PopularityRule)
    _engaged: dict[int, dict[ItemId, set[UserId]]] = attrs.field(
        init=False, factory=dict, eq=False, repr=False
    )

    @cached_property
    def open_items(self) -> list[ItemCard]:
        """Return the items that may be suggested."""
        return [item for item in self.items if is_open(item, self.now)]

    @cached_property
    def categories(self) -> dict[ItemId, CategoryId | None]:
        """Return the category of each item."""
        return {item.item_id: item.category_id for item in self.items}

    @cached_property
    def counted(self) -> list[Bid | Watch]:
        """Return all activity except sellers' bids on their own items."""
        sellers = {item.item_id: item.seller_id for item in self.items}
        return [
            one
            for one in self.happened
            if isinstance(one, Watch) or sellers.get(one.item_id) != one.user_id
        ]

    @cached_property
    def demand(self) -> dict[ItemId, tuple[Millionths, Millionths]]:
        """Return the counts of bids and watchers of each item, as the rule counts them."""
        happened = defaultdict(list)
        for one in self.counted:
            happened[one.item_id].append(one)
        return {
            item.item_id: demand_of(happened[item.item_id], now=self.now, rule=self.rule)
            for item in self.items
        }

    def engaged(self, history_length: int) -> dict[ItemId, set[UserId]]:
        """Return the users who bid on or watch each item.

        An open item has those users for which it is in their newest *history_length* bids and
        watches on open items; the smaller id is first of those of one moment.
        """
        known = self._engaged.get(history_length)
        if known is not None:
            return known
        engaged: dict[ItemId, set[UserId]] = {item.item_id: set() for item in self.items}
        open_ids = {item.item_id for item in self.open_items}
        of_users = defaultdict(list)
        for one in _watched_once(self.counted):
            if one.item_id in open_ids:
                of_users[one.user_id].append(one)
            else:
                engaged.setdefault(one.item_id, set()).add(one.user_id)
        for user_id, those in of_users.items():
            those.sort(key=lambda one: _comparable(one.item_id))
            those.sort(key=moment_of, reverse=True)
            for one in those[:history_length]:
                engaged[one.item_id].add(user_id)
        self._engaged[history_length] = engaged
        return engaged

    @cached_property
    def watchers(self) -> dict[ItemId, set[UserId]]:
        """Return the users who watch each item."""
        watchers: dict[ItemId, set[UserId]] = {item.item_id: set() for item in self.items}
        for one in self.happened:
            if isinstance(one, Watch):
                watchers.setdefault(one.item_id, set()).add(one.user_id)
        return watchers

    @cached_property
    def in_tie_order(self) -> list[ItemCard]:
        """Return the open items by the sum of bids and watchers, later listing, smaller id."""
        items = sorted(self.open_items, key=lambda item: _comparable(item.item_id))
        items.sort(key=_listed_at, reverse=True)
        return sorted(items, key=lambda item: sum(self.demand[item.item_id]), reverse=True)

    @cached_property
    def in_popular_order(self) -> list[ItemCard]:
        """Return the open items by bids, then watchers, later listing, smaller id."""
        items = sorted(self.open_items, key=lambda item: _comparable(item.item_id))
        items.sort(key=_listed_at, reverse=True)
        items.sort(key=lambda item: self.demand[item.item_id][1], reverse=True)
        return sorted(items, key=lambda item: self.demand[item.item_id][0], reverse=True)


def rounded(value: Fraction) -> int:
    """Return the nearest whole number, halves up.

    >>> rounded(Fraction(5, 2)), rounded(Fraction(7, 3))
    (3, 2)
    """
    return floor(value + Fraction(1, 2))


def decayed(age: timedelta, decay: Decay) -> Millionths:
    """Return the weight of an interaction of this age; a future one counts as one of now.

    >>> decayed(timedelta(days=7, hours=23), DecaySteps()), decayed(timedelta(8), DecaySteps())
    (1000000, 700000)
    """
    age = max(age, timedelta(0))
    if isinstance(decay, DecaySteps):
        for upper_day, weight in zip(decay.upper_days, decay.weights, strict=True):
            if age.days <= upper_day:
                return weight
        return decay.beyond
    whole_hours = timedelta(hours=age // timedelta(hours=1))
    return rounded(ONE * _half_to_the(_ratio(whole_hours, decay.span)))


def is_open(item: ItemCard, now: datetime) -> bool:
    """Return whether an item is published, active or scheduled, and has not ended."""
    if not item.is_published or (item.ends_at is not None and item.ends_at <= now):
        return False
    return item.status in (AuctionStatus.ACTIVE, AuctionStatus.SCHEDULED)


def interests_of(
    user_id: UserId,
    happened: Iterable[Bid | Watch],
    categories: Mapping[ItemId, CategoryId | None],
    *,
    now: datetime,
    rule: InterestRule,
) -> list[UserInterest]:
    """Return one user's interests, strongest first, from the activity of all users.

    Ties: more interactions, later last interaction, smaller category id.
    """
    counted = [
        one
        for one in happened
        if one.user_id == user_id
        and categories.get(one.item_id) is not None
        and moment_of(one) >= now - rule.window
    ]
    by_category: dict[CategoryId, list[Bid | Watch]] = {}
    for one in _watched_once(counted):
        category_id = categories[one.item_id]
        if category_id is not None:
            by_category.setdefault(category_id, []).append(one)
    strengths = {
        category_id: sum(_strength(one, now=now, rule=rule) for one in those)
        for category_id, those in by_category.items()
    }
    strongest = max(strengths.values(), default=0)
    interests = [
        UserInterest(
            user_id=user_id,
            category_id=category_id,
            score=rounded(Fraction(ONE * strengths[category_id], strongest)) if strongest else 0,
            strength=strengths[category_id],
            interaction_count=len(those),
            last_interaction_at=max(map(moment_of, those)),
        )
        for category_id, those in by_category.items()
    ]
    interests.sort(key=lambda interest: _comparable(interest.category_id))
    interests.sort(key=lambda interest: interest.last_interaction_at, reverse=True)
    interests.sort(key=lambda interest: interest.interaction_count, reverse=True)
    return sorted(interests, key=lambda interest: interest.score, reverse=True)


def demand_of(
    happened: Iterable[Bid | Watch], *, now: datetime, rule: PopularityRule
) -> tuple[Millionths, Millionths]:
    """Return the counts of bids and watchers, from all activity on one item."""
    happened = list(happened)
    bids = [one for one in happened if isinstance(one, Bid)]
    if rule.counting is BidCounting.BIDDERS:
        bids.sort(key=lambda bid: bid.placed_at)
        bids = list({bid.user_id: bid for bid in bids}.values())
    watches = [one for one in _watched_once(happened) if isinstance(one, Watch)]

    def count(those: Sequence[Bid | Watch]) -> Millionths:
        if rule.half_life is None:
            return ONE * len(those)
        return sum(decayed(now - moment_of(one), rule.half_life) for one in those)

    return count(bids), count(watches)


def popularity_of(market: PlainMarket, item: ItemCard) -> Millionths:
    """Return how popular an item is."""
    bids, watchers = market.demand[item.item_id]
    counted = Fraction(bids + market.rule.watcher_weight * watchers, market.rule.saturation)
    return rounded(min(counted, Fraction(ONE)))


def recency_of(item: ItemCard, now: datetime) -> Millionths:
    """Return 0.1 for an item that ends within seven days and 0.1 for an active one."""
    return 100_000 * _ends_soon(item, now) + 100_000 * (item.status is AuctionStatus.ACTIVE)


def popular_items(
    market: PlainMarket, *, keep: int, category_id: CategoryId | None = None
) -> list[StoredLine]:
    """Return the *keep* most popular items, of all categories or of one."""
    is_all = category_id is None
    items = [item for item in market.in_popular_order if is_all or item.category_id == category_id]
    return [
        _line(
            item,
            (popularity_of(market, item),),
            Reason.POPULAR if is_all else Reason.POPULAR_IN_CATEGORY,
            Source.POPULAR if is_all else Source.CATEGORY,
        )
        for item in items[:keep]
    ]


def prices_near(one: Decimal | None, other: Decimal | None) -> bool:
    """Return whether prices differ by at most half of the larger; unknown prices are not near.

    >>> prices_near(Decimal(50), Decimal(100)), prices_near(Decimal(0), Decimal(1))
    (True, False)
    """
    if one is None or other is None:
        return False
    a, b = Fraction(one), Fraction(other)
    return abs(a - b) <= Fraction(1, 2) * max(a, b)


def similarity_parts(
    original: ItemCard, candidate: ItemCard, shared_users: int, rule: SimilarityRule
) -> tuple[Millionths, Millionths, Millionths]:
    """Return what category, price and shared users contribute to a similarity."""
    is_same = original.category_id is not None and original.category_id == candidate.category_id
    share = min(Fraction(shared_users, rule.enough_shared), Fraction(1))
    return (
        rule.category if is_same else 0,
        rule.price if prices_near(original.price, candidate.price) else 0,
        rounded(rule.shared * share),
    )


def similar_items(
    market: PlainMarket, original: ItemCard, *, rule: SimilarityRule, keep: int
) -> list[StoredLine]:
    """Return the *keep* open items most similar to *original*, itself open or not."""
    found, engaged = [], market.engaged(rule.history_length)
    for candidate in market.in_tie_order:
        if candidate.item_id != original.item_id:
            shared = len(engaged[original.item_id] & engaged[candidate.item_id])
            parts = similarity_parts(original, candidate, shared, rule)
            if sum(parts) > rule.threshold:
                found.append((shared, _line(candidate, parts, _cause(parts), Source.SIMILAR)))
    found.sort(key=lambda pair: pair[0], reverse=True)
    found.sort(key=lambda pair: pair[1].score, reverse=True)
    return [line for _, line in found[:keep]]


ComponentRule: TypeAlias = Callable[[PlainMarket, UserId, ItemCard], Millionths]
"""The plain rule of a component: its value for a user and an item."""


def homepage(
    market: PlainMarket,
    user_id: UserId,
    interests: Sequence[UserInterest],
    *,
    ranker: Ranker,
    keep: int,
    rules: Mapping[str, ComponentRule] = MappingProxyType({}),
) -> list[StoredLine]:
    """Return one user's homepage; *interests* are that user's, strongest first.

    *rules* has the rules of components besides those of the package, by name.
    """
    touched = {one.item_id for one in market.happened if one.user_id == user_id}
    favourites = {interest.category_id for interest in interests[: ranker.favourites]}
    interest_in = {interest.category_id: interest.score for interest in interests}

    def may_be_shown(item: ItemCard) -> bool:
        return item.seller_id != user_id and item.item_id not in touched

    def line(item: ItemCard, source: Source) -> StoredLine:
        category_id = item.category_id
        interest = 0 if category_id is None else interest_in.get(category_id, 0)
        parts = contributions(market, user_id, item, interest, ranker, rules)
        return _line(item, parts, homepage_reason(market, item, interest), source)

    if ranker.candidates is Candidates.ALL:
        lines = [line(item, Source.PERSONAL) for item in market.in_tie_order if may_be_shown(item)]
        return sorted(lines, key=lambda line: line.score, reverse=True)[:keep]
    candidates = [
        (item.category_id, line(item, Source.PERSONAL))
        for item in market.in_tie_order
        if item.category_id in favourites and may_be_shown(item)
    ]
    candidates.sort(key=lambda pair: pair[1].score, reverse=True)
    first: list[StoredLine] = []
    rest: list[StoredLine] = []
    taken: Counter[CategoryId | None] = Counter()
    for category_id, candidate in candidates:
        taken[category_id] += 1
        (first if taken[category_id] <= ranker.per_category else rest).append(candidate)
    page = [*first, *rest]
    on_page = {one.item_id for one in page}
    page += [
        line(item, Source.POPULAR)
        for item in market.in_popular_order
        if may_be_shown(item) and item.item_id not in on_page
    ]
    return page[:keep]


def contributions(
    market: PlainMarket,
    user_id: UserId,
    item: ItemCard,
    interest: Millionths,
    ranker: Ranker,
    rules: Mapping[str, ComponentRule] = MappingProxyType({}),
) -> tuple[Millionths, ...]:
    """Return each component's part of the score, for an item in a category of this *interest*."""
    known = {
        "interest": interest,
        "popularity": popularity_of(market, item),
        "recency": recency_of(item, market.now),
    }

    def value(name: str) -> Millionths:
        return rules[name](market, user_id, item) if name in rules else known[name]

    return tuple(
        rounded(Fraction(weight * value(component.name), ONE))
        for component, weight in ranker.weights
    )


def homepage_reason(market: PlainMarket, item: ItemCard, interest: Millionths) -> Reason:
    """Return the first reason that applies to an item in a category of this *interest*."""
    watchers = len(market.watchers[item.item_id])
    is_active = item.status is AuctionStatus.ACTIVE
    if interest > 700_000 and watchers > 5:
        return Reason.POPULAR_IN_FAVOURITE
    if interest > 700_000:
        return Reason.FAVOURITE_CATEGORY
    if watchers > 10:
        return Reason.TRENDING
    if is_active and _ends_soon(item, market.now):
        return Reason.ENDING_SOON
    return Reason.ACTIVE_AUCTION if is_active else Reason.FOR_YOU


def after_bid(
    similar: Sequence[StoredLine],
    categories: Mapping[ItemId, CategoryId | None],
    interests: Mapping[CategoryId, Millionths],
    rule: AfterBidRule,
) -> list[StoredLine]:
    """Return similar items ranked by the user's interests; equal ones keep their order."""
    lines = []
    for line in similar:
        category_id = categories.get(line.item_id)
        liked = Fraction(0 if category_id is None else interests.get(category_id, 0), ONE)
        similarity = Fraction(line.score, ONE)
        parts = (rounded(rule.similarity * similarity), rounded(rule.interest * similarity * liked))
        lines.append(attrs.evolve(line, score=sum(parts), parts=parts))
    return sorted(lines, key=lambda line: line.score, reverse=True)


def moment_of(one: Bid | Watch) -> datetime:
    """Return when a bid was placed or a watch started."""
    return one.placed_at if isinstance(one, Bid) else one.watched_at


def _watched_once(happened: Sequence[Bid | Watch]) -> list[Bid | Watch]:
    """Return all bids, and each user's earliest watch of each item."""
    earliest: dict[tuple[UserId, ItemId], Watch] = {}
    for one in happened:
        if isinstance(one, Watch):
            known = earliest.setdefault((one.user_id, one.item_id), one)
            if one.watched_at < known.watched_at:
                earliest[one.user_id, one.item_id] = one
    return [*(one for one in happened if isinstance(one, Bid)), *earliest.values()]


def _strength(one: Bid | Watch, *, now: datetime, rule: InterestRule) -> Millionths:
    weight = rule.bid_weight if isinstance(one, Bid) else rule.watch_weight
    return rounded(weight * Fraction(decayed(now - moment_of(one), rule.decay), ONE))


@lru_cache(maxsize=5_000)
def _half_to_the(halvings: Fraction) -> Fraction:
    """Return 2 to the power of −*halvings*: exact if rational, else to 60 digits."""
    if halvings.denominator == 1:
        return Fraction(1, 2**halvings.numerator)
    context = Context(prec=60)
    exponent = context.divide(Decimal(-halvings.numerator), Decimal(halvings.denominator))
    return Fraction(context.power(Decimal(2), exponent))


def _ratio(one: timedelta, other: timedelta) -> Fraction:
    microsecond = timedelta(microseconds=1)
    return Fraction(one // microsecond, other // microsecond)


def _ends_soon(item: ItemCard, now: datetime) -> bool:
    return item.ends_at is not None and timedelta(0) < item.ends_at - now <= timedelta(days=7)


def _cause(parts: tuple[Millionths, Millionths, Millionths]) -> Reason:
    """Return the reason that the largest part stands for, the first of equal parts."""
    same_category, price_range, collaborative = parts
    if same_category >= price_range and same_category >= collaborative:
        return Reason.SAME_CATEGORY
    return Reason.PRICE_RANGE if price_range >= collaborative else Reason.COLLABORATIVE


def _line(
    item: ItemCard, parts: tuple[Millionths, ...], reason: Reason, source: Source
) -> StoredLine:
    return StoredLine(
        item_id=item.item_id, score=sum(parts), parts=parts, reason=reason, source=source
    )


def _listed_at(item: ItemCard) -> datetime:
    return item.listed_at or _EARLIEST


def _comparable(one: object) -> Any:  # ids of one kind are comparable, but their static type is not
    return one
