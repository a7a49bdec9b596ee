"""The components of `blended` in plain Python: the oracle for the columnar forms.

A trained model is read into dicts, and every rule loops over single items and touches, with
whole numbers and fractions. Only the tables of curves are shared with the columnar forms.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from hashlib import blake2b
from itertools import pairwise
from math import isqrt, sqrt
from typing import TypeAlias, TypeVar
from uuid import UUID
from zlib import crc32

import attrs

from angle_reco.domain.arrays import Int64s
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.millionths import ONE, Millionths
from angle_reco.domain.prices import PriceScale
from angle_reco.domain.scoring.blended.curves import bell_curve, fading_curve, log2_curve, log_curve
from angle_reco.domain.scoring.blended.model import Coefficients, Model
from angle_reco.domain.scoring.decay import HalfLife
from angle_reco.testing import plain

Kind: TypeAlias = tuple[int, int]
"""The hash of a category, and the power of two below the price in units."""

Matrix: TypeAlias = Mapping[int, Mapping[int, int]]
"""Coefficients by source and target, which are places in the model."""

Touches: TypeAlias = Sequence[tuple[int, int]]
"""What a user touched, places in the model, and the hours of the last touches, newest first."""

One = TypeVar("One")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_MONTH = HalfLife(span=timedelta(days=30))


@attrs.frozen(kw_only=True, eq=False)
class PlainModel:
    """A model as dicts; items and users are their places in it, -1 stands for none.

    Ids of items, users, sellers and categories are hashes (`hash_of`).
    """

    items: Mapping[int, int]
    categories: Mapping[int, int]
    sellers: Mapping[int, int]
    kinds: Mapping[int, Kind]
    prices: Mapping[int, int]
    titles: Mapping[int, Mapping[int, int]]
    rarities: list[int]
    users: Mapping[int, int]
    histories: Mapping[int, Touches]
    touches: Mapping[int, Touches]
    taste: Matrix
    follow: Matrix
    sequence: Matrix
    taste_of_kinds: Matrix
    follow_of_kinds: Matrix
    order_of_kinds: list[Kind]

    @classmethod
    def of(cls, model: Model) -> "PlainModel":
        """Return a trained model as dicts."""
        known = model.items
        categories = known.categories.hashes.tolist()
        order_of_kinds = [(categories[key // 64], key % 64) for key in known.kinds.tolist()]
        touches: dict[int, list[tuple[int, int]]] = defaultdict(list)
        columns = (model.touches.items, model.touches.hours, model.touches.counts)
        counted = model.touches.ids.hashes.tolist()
        for item, hour, count in zip(*(one.tolist() for one in columns), strict=True):
            touches[counted[item]].append((hour, count))
        rows = list(zip(known.titles.buckets.tolist(), known.titles.weights.tolist(), strict=True))
        history = list(
            zip(model.histories.items.tolist(), model.histories.last_at.tolist(), strict=True)
        )
        return cls(
            items={one: place for place, one in enumerate(known.ids.hashes.tolist())},
            categories=_known(known.category.tolist(), categories),
            sellers={
                item: one for item, one in enumerate(known.seller.tolist()) if one != -(2**63)
            },
            kinds=_known(known.kind.tolist(), order_of_kinds),
            prices={item: log for item, log in enumerate(known.log_price.tolist()) if log >= 0},
            titles=dict(enumerate(map(dict, _runs(known.titles.offsets, rows)))),
            rarities=known.rarities.tolist(),
            users={one: place for place, one in enumerate(model.users.hashes.tolist())},
            histories=dict(enumerate(_runs(model.histories.offsets, history))),
            touches=touches,
            taste=_matrix(model.taste),
            follow=_matrix(model.follow),
            sequence=_matrix(model.sequence),
            taste_of_kinds=_matrix(model.taste_of_kinds),
            follow_of_kinds=_matrix(model.follow_of_kinds),
            order_of_kinds=order_of_kinds,
        )

    @cached_property
    def place_of_kind(self) -> dict[Kind, int]:
        """Return the place of each kind in the matrices of kinds."""
        return {kind: place for place, kind in enumerate(self.order_of_kinds)}

    @cached_property
    def fans(self) -> Mapping[int, list[int]]:
        """Return the newest 2,000 users of each item."""
        return _fans(self.histories)

    @cached_property
    def histories_of_kinds(self) -> Mapping[int, Touches]:
        """Return the kinds that each user touched."""
        return {user: self.in_kinds(touches) for user, touches in self.histories.items()}

    @cached_property
    def fans_of_kinds(self) -> Mapping[int, list[int]]:
        """Return the newest 2,000 users of each kind."""
        return _fans(self.histories_of_kinds)

    @cached_property
    def supporters(self) -> Counter[int]:
        """Return how many users touched each item."""
        return Counter(item for touches in self.histories.values() for item, _ in touches)

    @cached_property
    def shares(self) -> dict[int, Millionths]:
        """Return the share of each category among everybody's touches."""
        return self.shares_among(item for touches in self.histories.values() for item, _ in touches)

    def shares_among(self, items: Iterable[int]) -> dict[int, Millionths]:
        """Return the share of each category among *items* that have one."""
        counts = Counter(self.categories[item] for item in items if item in self.categories)
        return {
            category: plain.rounded(Fraction(ONE * count, counts.total()))
            for category, count in counts.items()
        }

    def in_kinds(self, touches: Touches) -> Touches:
        """Return the same touches by kind."""
        last: dict[int, int] = {}
        for item, hour in touches:
            if item in self.kinds:
                kind = self.place_of_kind[self.kinds[item]]
                last[kind] = max(hour, last.get(kind, hour))
        return sorted(last.items(), key=lambda pair: (-pair[1], pair[0]))


@attrs.frozen(kw_only=True, eq=False)
class PlainBlended:
    """What a model says of a market to each of its users."""

    model: PlainModel
    market: plain.PlainMarket
    prices: PriceScale = attrs.field(factory=PriceScale)
    _known: dict[tuple[str, UserId | None], dict[ItemId, Millionths]] = attrs.field(
        factory=dict, init=False
    )

    @property
    def rules(self) -> dict[str, plain.ComponentRule]:
        """Return the plain rules of the components by name."""
        return {name: self._rule(name) for name in (*_OF_ITEMS, *_OF_USERS)}

    def _rule(self, name: str) -> plain.ComponentRule:
        def rule(market: plain.PlainMarket, user_id: UserId, item: ItemCard) -> Millionths:
            is_shared = name in _OF_ITEMS
            key = (name, None if is_shared else user_id)
            if key not in self._known:
                self._known[key] = (
                    _OF_ITEMS[name](self) if is_shared else _OF_USERS[name](self, user_id)
                )
            return self._known[key][item.item_id]

        return rule

    @property
    def hour(self) -> int:
        """Return the whole hours since the epoch."""
        return (self.market.now - _EPOCH) // _HOUR

    def touched(self, user_id: UserId) -> Touches:
        """Return the newest 500 items of the model that a user touched."""
        last: dict[int, timedelta] = {}
        for one in self.market.happened:
            item, since = self.place(one.item_id), plain.moment_of(one) - _EPOCH
            if one.user_id == user_id and item >= 0:
                last[item] = max(since, last.get(item, since))
        newest = sorted(last.items(), key=lambda pair: (-pair[1], pair[0]))[:500]
        return [(item, since // _HOUR) for item, since in newest]

    def place(self, item_id: ItemId) -> int:
        """Return the place of an item in the model, -1 if it is unknown."""
        return self.model.items.get(hash_of(item_id), -1)

    def kind(self, item: ItemCard) -> int:
        """Return the place of the kind of an item in the model, -1 if it has none."""
        steps = self.steps(item.starting_price)
        if item.category_id is None or steps is None:
            return -1
        return self.model.place_of_kind.get((hash_of(item.category_id), steps // 1_024), -1)

    def steps(self, price: Decimal | None) -> int | None:
        """Return the binary logarithm of a price in units, in steps of 1/1024."""
        units = 0 if price is None else int(Fraction(price) * self.prices.units)
        return log2_steps(units) if units else None

    def heat(self, item: ItemCard, days: int | None) -> int:
        """Return the touches of an item, which fade with a half-life of so many days."""
        touches = self.model.touches.get(hash_of(item.item_id), [])
        if days is None:
            return ONE * sum(count for _, count in touches)
        half_life = HalfLife(span=timedelta(days=days))
        return sum(
            count * plain.decayed((self.hour - hour) * _HOUR, half_life) for hour, count in touches
        )

    def by_item(self, value: Callable[[ItemCard], int]) -> dict[ItemId, int]:
        """Return a value of each open item."""
        return {item.item_id: value(item) for item in self.market.open_items}

    def on_curve(self, curve: Int64s, values: dict[ItemId, int]) -> dict[ItemId, Millionths]:
        """Return the curve at the share of each value in the largest; 0 for a negative one."""
        largest = max(values.values(), default=0)
        if largest <= 0:
            return dict.fromkeys(values, 0)
        return {one: int(curve[max(value, 0) * 65_536 // largest]) for one, value in values.items()}

    def trend(self, short: int, long: int | None) -> dict[ItemId, Millionths]:
        """Return the trend of the heat of *short* days over that of *long*."""

        def ratio(item: ItemCard) -> int:
            return self.heat(item, short) * 1_000 // (self.heat(item, long) // 1_000 + 3_000)

        return self.on_curve(log2_curve(), self.by_item(ratio))

    def supported(
        self, of_items: Mapping[int, int], of_kinds: Mapping[int, int]
    ) -> dict[ItemId, Millionths]:
        """Return a personal view by item, mixed with that of its kind by its number of users."""
        model, curve = self.model, log_curve(20)
        own = self.by_item(lambda item: of_items.get(self.place(item.item_id), 0))
        kinds = self.by_item(lambda item: of_kinds.get(self.kind(item), 0))
        own, kinds = self.on_curve(curve, own), self.on_curve(curve, kinds)

        def mixed(item: ItemCard) -> int:
            users = model.supporters[self.place(item.item_id)]
            support = users * ONE // (users + 10)
            one = item.item_id
            return (support * own[one] + (ONE - support) * kinds[one]) // ONE

        return self.by_item(mixed)


def hash_of(one: object) -> int:
    """Return the hash by which a model knows an id."""
    match one:
        case int():
            return one
        case UUID():
            written = one.bytes
        case _:
            written = str(one).encode()
    return int.from_bytes(blake2b(written, digest_size=8).digest(), "little", signed=True)


@lru_cache(maxsize=1_000)
def log2_steps(number: int) -> int:
    """Return the binary logarithm of a positive number in steps of 1/1024, rounded down.

    >>> log2_steps(1), log2_steps(3), log2_steps(1024)
    (0, 1623, 10240)
    """
    return int((number**1_024).bit_length()) - 1


def buckets_of(title: str) -> list[int]:
    """Return the buckets of the words in the first 1,000 characters of a title."""
    words = re.findall(r"\w+", title[:1_000].casefold())
    return sorted({crc32(word.encode()) % 32_768 for word in words})


def title_row(title: str, rarities: list[int]) -> dict[int, int]:
    """Return the weights of the words of a title, of the length 32,768 together."""
    weights = {bucket: rarities[bucket] for bucket in buckets_of(title)}
    length = max(isqrt(sum(weight**2 for weight in weights.values())), 1)
    return {bucket: weight * 32_768 // length for bucket, weight in weights.items()}


def taste(blended: PlainBlended, user_id: UserId) -> dict[ItemId, Millionths]:
    """Return what touched items say of others."""
    model = blended.model
    items = {item: 1 for item, _ in blended.touched(user_id)}
    kinds = Counter(model.place_of_kind[model.kinds[item]] for item in items if item in model.kinds)
    return blended.supported(_spread(model.taste, items), _spread(model.taste_of_kinds, kinds))


def follow(blended: PlainBlended, user_id: UserId) -> dict[ItemId, Millionths]:
    """Return what comes after touches, in thousandths of a weight that fades."""
    model, touches = blended.model, blended.touched(user_id)
    items = {item: fading // 1_000 for item, fading in _recency(touches).items()}
    kinds = Counter[int]()
    for item, fading in items.items():
        if item in model.kinds:
            kinds[model.place_of_kind[model.kinds[item]]] += fading
    return blended.supported(_spread(model.follow, items), _spread(model.follow_of_kinds, kinds))


def sequence(blended: PlainBlended, user_id: UserId) -> dict[ItemId, Millionths]:
    """Return what comes soon after the newest touches, in thousandths of a weight that fades."""
    model, touches = blended.model, blended.touched(user_id)
    items = {item: power // 1_000 for (item, _), power in zip(touches, _powers(8), strict=False)}
    kinds = Counter[int]()
    for item, fading in items.items():
        if item in model.kinds:
            kinds[model.place_of_kind[model.kinds[item]]] += fading
    return blended.supported(_spread(model.sequence, items), _spread(model.follow_of_kinds, kinds))


def alike(blended: PlainBlended, user_id: UserId) -> dict[ItemId, Millionths]:
    """Return what the 100 most similar users touched, by items and by kinds."""
    model, touches = blended.model, blended.touched(user_id)
    user, hour = model.users.get(hash_of(user_id), -1), blended.hour
    items = [item for item, _ in touches]
    kinds = [kind for kind, _ in model.in_kinds(touches)]
    return blended.supported(
        _of_neighbours(items, user, model.fans, model.histories, hour),
        _of_neighbours(kinds, user, model.fans_of_kinds, model.histories_of_kinds, hour),
    )


def category_lift(blended: PlainBlended, user_id: UserId) -> dict[ItemId, Millionths]:
    """Return the user's share of a category over everybody's, over the largest of these."""
    model = blended.model
    own = model.shares_among(item for item, _ in blended.touched(user_id))
    lifts = {
        one: share * 1_000 // (model.shares.get(one, 0) + 20_000) for one, share in own.items()
    }
    largest = max([1, *lifts.values()])
    return blended.by_item(
        lambda item: (
            0
            if item.category_id is None
            else lifts.get(hash_of(item.category_id), 0) * ONE // largest
        )
    )


def title(blended: PlainBlended, user_id: UserId) -> dict[ItemId, Millionths]:
    """Return the cosine with the titles of the newest touched items."""
    vector = Counter[int]()
    for (item, _), power in zip(blended.touched(user_id), _powers(7), strict=False):
        for bucket, weight in blended.model.titles[item].items():
            vector[bucket] += weight * (power // 1_000)
    divisor = max(max(vector.values(), default=0) // 2**18, 1)
    shrunk = {bucket: value // divisor for bucket, value in vector.items()}
    length = isqrt(sum(value**2 for value in shrunk.values()))

    def cosine(item: ItemCard) -> int:
        row = title_row(item.title, blended.model.rarities)
        product = sum(
            weight * (shrunk.get(bucket, 0) * 32_768 // length) for bucket, weight in row.items()
        )
        return min(product * ONE // 32_768**2, ONE)

    return blended.by_item(lambda item: cosine(item) if length else 0)


def price(blended: PlainBlended, user_id: UserId) -> dict[ItemId, Millionths]:
    """Return the bell curve of the logarithm of the price about those of the user."""
    known, recency = blended.model.prices, _recency(blended.touched(user_id))
    weights = {item: fading // 1_000 for item, fading in recency.items() if item in known}
    total = sum(weights.values())
    if total == 0:
        return blended.by_item(lambda item: 0)
    mean = sum(weight * known[item] for item, weight in weights.items()) // total
    squares = sum(weight * (known[item] - mean) ** 2 for item, weight in weights.items())
    deviation = isqrt(squares // total) + 716

    def value(item: ItemCard) -> int:
        steps, curve = blended.steps(item.starting_price or item.price), bell_curve()
        if steps is None:
            return 0
        return int(curve[min((steps - mean) ** 2 * 1_024 // deviation**2, len(curve) - 1)])

    return blended.by_item(value)


def seller(blended: PlainBlended, user_id: UserId) -> dict[ItemId, Millionths]:
    """Return the user's touches of a seller over those of any seller."""
    sums = Counter[int]()
    for (item, _), power in zip(blended.touched(user_id), _powers(9), strict=False):
        if item in blended.model.sellers:
            sums[blended.model.sellers[item]] += power
    largest = max([1, *sums.values()])
    return blended.by_item(
        lambda item: 0 if item.seller_id is None else sums[hash_of(item.seller_id)] * ONE // largest
    )


def newness(blended: PlainBlended) -> dict[ItemId, Millionths]:
    """Return how lately an item was listed."""

    def value(item: ItemCard) -> int:
        if item.listed_at is None:
            return 0
        return _at_age(fading_curve(720), blended.market.now - item.listed_at)

    return blended.by_item(value)


def urgency(blended: PlainBlended) -> dict[ItemId, Millionths]:
    """Return how soon an item ends."""

    def value(item: ItemCard) -> int:
        if item.ends_at is None:
            return 0
        return _at_age(fading_curve(24), item.ends_at - blended.market.now)

    return blended.by_item(value)


_OF_ITEMS: dict[str, Callable[[PlainBlended], dict[ItemId, Millionths]]] = {
    "trend_of_weeks": lambda blended: blended.trend(14, None),
    "trend_of_days": lambda blended: blended.trend(7, 60),
    "heat": lambda blended: blended.on_curve(
        log_curve(100), blended.by_item(lambda item: blended.heat(item, 7))
    ),
    "newness": newness,
    "urgency": urgency,
}
_OF_USERS: dict[str, Callable[[PlainBlended, UserId], dict[ItemId, Millionths]]] = {
    "taste": taste,
    "follow": follow,
    "sequence": sequence,
    "alike": alike,
    "category": category_lift,
    "title": title,
    "price": price,
    "seller": seller,
}


def _of_neighbours(
    own: list[int],
    user: int,
    fans: Mapping[int, list[int]],
    histories: Mapping[int, Touches],
    hour: int,
) -> dict[int, int]:
    shared = Counter(fan for item in own for fan in fans.get(item, []) if fan != user)
    # Quotients and roots of floats are exactly rounded.
    cosines = {
        fan: min(int(ONE * count / sqrt(len(histories[fan]) * len(own))), ONE)
        for fan, count in shared.items()
    }
    best = sorted(cosines, key=lambda fan: (-cosines[fan], fan))[:100]
    sums = Counter[int]()
    for fan in best:
        for item, last in histories[fan]:
            sums[item] += cosines[fan] * plain.decayed((hour - last) * _HOUR, _MONTH) // ONE
    return sums


def _fans(histories: Mapping[int, Touches]) -> dict[int, list[int]]:
    found = defaultdict(list)
    for user, touches in histories.items():
        for item, hour in touches:
            found[item].append((-hour, user))
    return {item: [user for _, user in sorted(those)[:2_000]] for item, those in found.items()}


def _recency(touches: Touches) -> dict[int, Millionths]:
    newest = max((hour for _, hour in touches), default=0)
    return {item: plain.decayed((newest - hour) * _HOUR, _MONTH) for item, hour in touches}


def _spread(matrix: Matrix, weights: Mapping[int, int]) -> dict[int, int]:
    sums = Counter[int]()
    for source, weight in weights.items():
        for target, value in matrix.get(source, {}).items():
            sums[target] += weight * value
    return sums


def _powers(tenths: int) -> list[Millionths]:
    """Return the powers of *tenths* / 10, each rounded down, as long as they reach .001."""
    powers, power = [], ONE
    while power >= 1_000:
        powers.append(power)
        power = power * tenths // 10
    return powers


def _at_age(curve: Int64s, age: timedelta) -> Millionths:
    hours = max(age // _HOUR, 0)
    return int(curve[hours]) if hours < len(curve) else 0


def _known(codes: list[int], values: Sequence[One]) -> dict[int, One]:
    return {place: values[code] for place, code in enumerate(codes) if code >= 0}


def _matrix(coefficients: Coefficients) -> dict[int, dict[int, int]]:
    pairs = list(zip(coefficients.targets.tolist(), coefficients.values.tolist(), strict=True))
    return dict(enumerate(map(dict, _runs(coefficients.offsets, pairs))))


def _runs(offsets: Int64s, rows: Sequence[One]) -> list[Sequence[One]]:
    bounds = offsets.tolist()
    return [rows[first:last] for first, last in pairwise(bounds)]
