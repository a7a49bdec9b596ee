"""Simulate a marketplace: users with tastes, lots with an appeal, rising bids."""

import math
import sys
from collections.abc import Callable
from datetime import datetime

import attrs
import numpy as np

from angle_reco.simulation.columns import (
    Bids,
    Floats,
    Int64s,
    Items,
    Marketplace,
    Moments,
    Texts,
    Users,
    Watches,
)
from angle_reco.simulation.titles import MEDIAN_CENTS, slug, titles_in

# Until they become columns, moments are int64 seconds since the start of the history.
_DAY = 86_400
_SESSION = 2 * 3_600  # how long a user stays after signing in
_NONE = -1  # no moment

_TASTE = (0.55, 0.80, 0.90)  # cumulative shares of a user's three favourites; the rest is any
_LEVEL_WIDTH = 0.3  # the part of a category's price range that a user looks at
_PRICE_SPREAD = 0.8  # sigma of the logarithm of starting prices within a category
_STATUSES = np.array(("published", "withdrawn", "draft"), dtype=object)
_STATUS_SHARES = (0.96, 0.02, 0.02)
_ROUNDS = 30  # attempts at drawing the missing events
_CHUNK = 200_000  # draws at once


@attrs.frozen(kw_only=True)
class MarketplaceShape:
    """How large and how lively a simulated marketplace is.

    The exponents are Zipf's: the k-th of its kind gets a share in proportion to
    k ** -exponent; with 0 all shares are equal. There are fewer bids and watches than
    requested if no user is left who may place them.
    """

    users: int = 2_000
    items: int = 5_000
    bids: int = 40_000
    watches: int = 20_000
    sellers: int = 200  # how many of the users sell
    categories: int = 24  # this many have distinct names; further ones are numbered
    user_exponent: float = 0.6
    item_exponent: float = 0.5
    category_exponent: float = 0.6
    days: int = 90  # how far back the history goes
    seed: int = 1

    def __attrs_post_init__(self) -> None:
        for name, value in attrs.asdict(self).items():
            if name.endswith("_exponent"):
                if type(value) not in {int, float} or not 0 <= value <= sys.float_info.max:
                    raise ValueError(f"{name} must be a finite number, at least 0, not {value!r}")
            elif type(value) is not int or not 1 <= value < 2**31:
                raise ValueError(f"{name} must be an int from 1 to {2**31 - 1}, not {value!r}")
        if self.sellers > self.users:
            raise ValueError(f"sellers are users: at most {self.users}, not {self.sellers}")
        if self.days > 36_500:
            raise ValueError(f"days must be at most 36500, a century, not {self.days}")


def simulate(shape: MarketplaceShape, *, now: datetime) -> Marketplace:
    """Return a marketplace of the given shape as of *now*.

    The same shape, *now* and version of numpy give the same marketplace.

    Raises:
        ValueError: *now* has no time zone.
    """
    if now.utcoffset() is None:
        raise ValueError(f"now must be aware, like datetime.now(UTC), not {now!r}")
    rng = np.random.default_rng(shape.seed)
    today = shape.days * _DAY
    demand = _zipf(shape.categories, shape.category_exponent)

    listed, opens, ends = _lifetimes(rng, shape.items, today)
    sellers = rng.permutation(shape.users)[: shape.sellers]
    trades = rng.choice(shape.categories, (shape.sellers, 3), p=demand)
    stall = rng.choice(shape.sellers, shape.items, p=_zipf(shape.sellers, shape.user_exponent))
    seller = sellers[stall]
    category = trades[stall, rng.choice(3, shape.items, p=(0.6, 0.25, 0.15))]
    starting, step = _starting_prices(rng, category)
    status = rng.choice(_STATUSES, shape.items, p=_STATUS_SHARES)

    created, last_sign_in = _presence(rng, shape.users, today)
    np.minimum.at(created, seller, listed)
    np.maximum.at(last_sign_in, seller, listed)

    shelf = np.lexsort((starting, category))
    zeal = rng.permutation(_zipf(shape.users, shape.user_exponent))
    zeal[sellers[::4]] = 0  # these sellers never bid
    appeal = rng.permutation(_zipf(shape.items, shape.item_exponent))
    closing = np.where(ends == _NONE, today, np.minimum(ends - 1, today))
    crowd = _Crowd(
        rng=rng,
        zeal_before=np.append(0, np.cumsum(zeal)),
        demand=demand,
        favourites=rng.choice(shape.categories, (shape.users, 3), p=demand),
        level=rng.random(shape.users),
        shelf=shelf,
        shelf_starts=np.searchsorted(category[shelf], np.arange(shape.categories + 1)),
        appeal_before=np.append(0, np.cumsum(appeal)),
        seller=seller,
        arrival=created,
        departure=np.where(last_sign_in == _NONE, _NONE, last_sign_in + _SESSION),
        closing=np.where(status == "draft", _NONE, closing),
    )
    bidder, lot, placed_at = _gather(
        shape.bids, lambda count: crowd.act(count, opens, come_back=0.35), _in_turn
    )
    watcher, watched, watched_at = _gather(
        shape.watches, lambda count: crowd.act(count, listed), _once_each
    )
    cents, current = _rising_prices(rng, lot, starting, step)

    stay = np.where(last_sign_in == _NONE, 0, last_sign_in - created) / _DAY
    busy = np.bincount(bidder, minlength=shape.users)
    visits = rng.poisson(np.where(stay > 0, 0.15 * stay + 0.25 * busy, 0))

    epoch = math.floor(now.timestamp()) - today
    return Marketplace(
        category_ids=tuple(slug(number) for number in range(shape.categories)),
        users=Users(
            user_id=_ids("user", shape.users, digits=4),
            inserted_at=_moments(created, epoch),
            last_sign_in_at=_moments(last_sign_in, epoch),
            sign_in_count=np.where(last_sign_in == _NONE, 0, 1 + visits),
        ),
        items=Items(
            item_id=_ids("lot", shape.items, digits=5),
            category=category.astype(np.int32),
            seller=seller.astype(np.int32),
            title=titles_in(rng, category),
            starting_cents=starting,
            current_cents=current,
            publication_status=status,
            starts_at=_moments(opens, epoch),
            end_time=_moments(ends, epoch),
            inserted_at=_moments(listed, epoch),
        ),
        bids=Bids(
            user=bidder.astype(np.int32),
            item=lot.astype(np.int32),
            cents=cents,
            placed_at=_moments(placed_at, epoch),
        ),
        watches=Watches(
            user=watcher.astype(np.int32),
            item=watched.astype(np.int32),
            inserted_at=_moments(watched_at, epoch),
        ),
    )


@attrs.frozen(kw_only=True, eq=False)
class _Crowd:
    """All users with their tastes, and all lots in the order of category and price."""

    rng: np.random.Generator
    zeal_before: Floats  # cumulative activity of the users before each; one more for the end
    favourites: Int64s  # three categories per user, possibly repeated
    demand: Floats  # the share of each category in looks outside the favourites
    level: Floats  # a user's place in the price range of any category: 0 cheap, 1 dear
    shelf: Int64s  # the lots by category, from cheap to dear
    shelf_starts: Int64s  # the start of each category in *shelf*; one more for the end
    appeal_before: Floats  # cumulative appeal of the lots before each place in *shelf*
    seller: Int64s
    arrival: Int64s  # each user's first second on the site
    departure: Int64s  # each user's last second on the site
    closing: Int64s  # the last second in which users can act on each lot

    def act(self, count: int, opening: Int64s, *, come_back: float = 0.0) -> Int64s:
        """Return about *count* events in no order, none before its lot's *opening*.

        Each column of the result is an event: user, lot and moment. A user who acted on a
        lot acts on it again with probability *come_back*.
        """
        user, item = self._looks(count)
        times = self.rng.geometric(1 - come_back, count)
        user, item = np.repeat(user, times), np.repeat(item, times)
        first = np.maximum(opening[item], self.arrival[user])
        last = np.minimum(self.closing[item], self.departure[user])
        late = self.rng.random(len(user)) ** 0.7  # activity grows towards the end
        at = first + ((last - first + 1) * late).astype(np.int64)
        return np.stack((user, item, at))[:, (first <= last) & (self.seller[item] != user)]

    def _looks(self, count: int) -> tuple[Int64s, Int64s]:
        """Return *count* users, drawn by activity, and the lot that each looks at."""
        everybody = np.full(count, len(self.level))
        user = _pick(self.rng, self.zeal_before, np.zeros_like(everybody), everybody)
        taste = np.searchsorted(_TASTE, self.rng.random(count))
        anything = self.rng.choice(len(self.demand), count, p=self.demand)
        favourite = self.favourites[user, np.minimum(taste, 2)]
        category = np.where(taste < len(_TASTE), favourite, anything)

        start, end = self.shelf_starts[category], self.shelf_starts[category + 1]
        start, end = np.where(start < end, (start, end), ((0,), (len(self.shelf),)))  # no lots: all
        size = end - start
        start += (size * (1 - _LEVEL_WIDTH) * self.level[user]).astype(np.int64)
        end = np.minimum(end, start + np.ceil(size * _LEVEL_WIDTH).astype(np.int64))
        return user, self.shelf[_pick(self.rng, self.appeal_before, start, end)]


def _pick(rng: np.random.Generator, weight_before: Floats, start: Int64s, end: Int64s) -> Int64s:
    """Return a random place in each range [start, end), in proportion to the weights."""
    low, high = weight_before[start], weight_before[end]
    marks = low + (high - low) * rng.random(len(low))
    order = np.argsort(marks)  # sorted lookups are much faster
    places = np.empty_like(start)
    places[order] = np.searchsorted(weight_before, marks[order], side="right") - 1
    return np.clip(places, start, end - 1)


def _gather(count: int, act: Callable[[int], Int64s], settle: Callable[[Int64s], Int64s]) -> Int64s:
    """Return *count* events that *settle* accepts, or fewer if drawing more is in vain."""
    events = np.empty((3, 0), dtype=np.int64)
    for _ in range(_ROUNDS):
        found = events.shape[1]
        missing = count - found
        looks = min(count, 3 * missing) + 1_000  # as some are rejected
        sizes = (min(_CHUNK, looks - start) for start in range(0, looks, _CHUNK))
        more = np.concatenate([act(size) for size in sizes], axis=1)[:, :missing]
        events = settle(np.concatenate((events, more), axis=1))
        if events.shape[1] == count or events.shape[1] - found < missing // 100:
            break
    return events


def _in_turn(events: Int64s) -> Int64s:
    """Order events by lot and time; drop repeated moments and a user's immediate repetitions."""
    _, order = np.unique((events[1] << 32) + events[2], return_index=True)
    events = events[:, order]
    change = np.diff(events[0], prepend=-1) | np.diff(events[1], prepend=-1)
    return events[:, change != 0]


def _once_each(events: Int64s) -> Int64s:
    """Order events by user and lot; keep one of each pair."""
    _, order = np.unique((events[0] << 32) + events[1], return_index=True)
    return events[:, order]


def _zipf(count: int, exponent: float) -> Floats:
    """Return Zipf shares of *count* entities, the largest first; their sum is 1."""
    weights: Floats = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    shares: Floats = weights / weights.sum()
    return shares


def _lifetimes(rng: np.random.Generator, count: int, today: int) -> tuple[Int64s, Int64s, Int64s]:
    """Return when each lot is listed, opens and ends (or `_NONE`), in the order of listing."""
    length = rng.uniform(2, 14, count) * _DAY
    ended = today - 0.95 * today * rng.random(count) ** 1.5  # more of them recently
    opened = today - min(today, 21 * _DAY) * rng.random(count) ** 2
    ending = today + 1 + rng.random(count) * rng.choice((1, 7, 35), count, p=(0.2, 0.4, 0.4)) * _DAY
    scheduled = today + rng.uniform(0.05, 7, count) * _DAY
    fate = rng.choice(4, count, p=(0.43, 0.48, 0.03, 0.06))  # ended, open, without end, scheduled
    began = ended - np.minimum(length, ended * rng.uniform(0.1, 1, count))
    opens = np.choose(fate, (began, opened, opened, scheduled))
    ends = np.choose(fate, (ended, ending, np.full(count, _NONE), scheduled + length))
    listed = np.minimum(opens, today)
    listed -= np.minimum(listed, 2 * _DAY) * rng.random(count)
    order = np.argsort(listed, kind="stable")
    listed, opens, ends = np.stack((listed, opens, ends)).astype(np.int64)[:, order]
    return listed, opens, ends


def _presence(rng: np.random.Generator, count: int, today: int) -> tuple[Int64s, Int64s]:
    """Return when each user was created, in order, and last signed in (or `_NONE`)."""
    created = np.sort(today * rng.random(count) ** 3).astype(np.int64)
    regular = rng.exponential(4 * _DAY, count)
    lapsed = 30 * _DAY + rng.exponential(20 * _DAY, count)
    absence = np.where(rng.random(count) < 0.15, lapsed, regular).astype(np.int64)
    last_sign_in = np.maximum(created, today - absence)
    return created, np.where(rng.random(count) < 0.05, _NONE, last_sign_in)


def _starting_prices(rng: np.random.Generator, category: Int64s) -> tuple[Int64s, Int64s]:
    """Return the starting prices of lots and their bid increments, in cents."""
    spread = np.exp(_PRICE_SPREAD * rng.standard_normal(len(category)))
    cents = np.maximum(MEDIAN_CENTS[category % len(MEDIAN_CENTS)] * spread, 100)
    magnitude = 10 ** np.floor(np.log10(cents / 20))  # a step is 1, 2 or 5 times this: 2 to 5 %
    lead = np.array((1, 2, 5))[np.searchsorted((2, 5), cents / 20 / magnitude, side="right")]
    step = np.rint(lead * magnitude).astype(np.int64)
    return np.rint(cents / step).astype(np.int64) * step, step


def _rising_prices(
    rng: np.random.Generator, item: Int64s, starting: Int64s, step: Int64s
) -> tuple[Int64s, Int64s]:
    """Return the cents of each bid, given lot by lot, and the current price of each lot."""
    steps = rng.geometric(0.6, len(item))
    climbed = np.cumsum(steps)
    first = np.flatnonzero(np.diff(item, prepend=-1))
    before = np.repeat(climbed[first] - steps[first], np.diff(first, append=len(item)))
    cents = starting[item] + step[item] * (climbed - before)
    last = np.flatnonzero(np.diff(item, append=-1))
    current = starting.copy()
    current[item[last]] = cents[last]
    return cents, current


def _ids(kind: str, count: int, *, digits: int) -> Texts:
    digits = max(digits, len(str(count)))
    return np.array([f"{kind}-{n:0{digits}}" for n in range(1, count + 1)], dtype=object)


def _moments(seconds: Int64s, epoch: int) -> Moments:
    return np.where(seconds == _NONE, np.datetime64("NaT", "s"), (epoch + seconds).view("M8[s]"))
