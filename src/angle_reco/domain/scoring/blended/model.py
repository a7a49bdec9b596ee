"""What training learns, as flat columns over all items that users touched."""

from typing import Self

import attrs
import numpy as np

from angle_reco.domain.activity import Interactions
from angle_reco.domain.arrays import Int32s, Int64s, frozen, ragged_ranges, starts_of_runs
from angle_reco.domain.catalogue import Catalogue
from angle_reco.domain.columns import NONE, IdIndex
from angle_reco.domain.millionths import Millionths
from angle_reco.domain.moments import HOUR
from angle_reco.domain.scoring.blended.curves import LOG2_STEPS, log2_steps
from angle_reco.domain.scoring.blended.hashes import NO_HASH, HashIndex, hashes_of
from angle_reco.domain.scoring.blended.titles import TitleRows

MOST_TOUCHED = 500
"""The newest items of a user that count."""

MOST_FANS = 2_000
"""The newest users of an item that count, when similar users are looked for."""


@attrs.frozen(kw_only=True)
class Coefficients:
    """A sparse matrix of millionths by source: how much a touch of it says of each target.

    The targets of source s are [offsets[s], offsets[s + 1]).
    """

    offsets: Int64s = attrs.field(converter=frozen)
    targets: Int32s = attrs.field(converter=frozen)
    values: Int32s = attrs.field(converter=frozen)

    def spread(self, sources: Int32s, weights: Int64s) -> tuple[Int32s, Int64s]:
        """Return the targets of *sources*, some more than once, and weight times coefficient."""
        starts = self.offsets[sources]
        lengths = self.offsets[sources + 1] - starts
        places = ragged_ranges(starts, lengths)
        products: Int64s = np.repeat(weights, lengths) * self.values[places]
        return self.targets[places], products


@attrs.frozen(kw_only=True)
class Histories:
    """The distinct items that each user touched, the newest first, `MOST_TOUCHED` at most.

    The rows of user u are [offsets[u], offsets[u + 1]). *last_at* is the hour of the last touch,
    since the epoch. Of touches at one moment the item with the smaller code comes first, so that
    the order in which they are read does not matter.
    """

    offsets: Int64s = attrs.field(converter=frozen)
    items: Int32s = attrs.field(converter=frozen)
    last_at: Int32s = attrs.field(converter=frozen)

    @classmethod
    def of(cls, users: Int32s, items: Int32s, moments: Int64s, *, count: int) -> Self:
        """Return the histories of *count* users, from touches in any order."""
        # ~ reverses the order of all 64-bit integers.
        order = np.lexsort((~moments, items, users))
        newest = order[starts_of_runs(users[order], items[order])]
        newest = newest[np.lexsort((items[newest], ~moments[newest], users[newest]))]
        starts = np.searchsorted(users[newest], np.arange(count + 1))
        kept = newest[np.arange(len(newest)) - starts[users[newest]] < MOST_TOUCHED]
        return cls(
            offsets=np.searchsorted(users[kept], np.arange(count + 1)),
            items=items[kept],
            last_at=_within_range(moments[kept] // HOUR).astype(np.int32),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def of_user(self, user: int) -> tuple[Int32s, Int32s]:
        """Return the items of a user, and the hours of the last touches."""
        rows = slice(int(self.offsets[user]), int(self.offsets[user + 1]))
        return self.items[rows], self.last_at[rows]

    def between(self, first: int, last: int) -> Self:
        """Return the histories of the users [first, last)."""
        offsets = self.offsets[first : min(last, len(self)) + 1]
        rows = slice(int(offsets[0]), int(offsets[-1]))
        return type(self)(
            offsets=offsets - offsets[0], items=self.items[rows], last_at=self.last_at[rows]
        )

    @property
    def user(self) -> Int32s:
        """Return the user of each row."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.offsets))

    def kinds(self, kind: Int32s) -> "Histories":
        """Return the histories with the *kind* of each item for the item, none without one."""
        kinds = kind[self.items]
        known = kinds != NONE
        moments = self.last_at[known].astype(np.int64) * HOUR
        return Histories.of(self.user[known], kinds[known], moments, count=len(self))


@attrs.frozen(kw_only=True)
class Fans:
    """Which users touched an item, the newest `MOST_FANS` of each.

    Those of item i are [offsets[i], offsets[i + 1]). *sizes* is how many items each user touched.
    """

    offsets: Int64s
    users: Int32s
    sizes: Int64s

    @classmethod
    def of(cls, histories: Histories, items: int) -> Self:
        """Return the users of each of so many *items*."""
        users = histories.user
        order = np.lexsort((users, -histories.last_at.astype(np.int64), histories.items))
        item = histories.items[order]
        starts = np.searchsorted(item, np.arange(items + 1))
        kept = np.arange(len(item)) - starts[item] < MOST_FANS
        return cls(
            offsets=np.searchsorted(item[kept], np.arange(items + 1)),
            users=users[order][kept],
            sizes=np.diff(histories.offsets),
        )


@attrs.frozen(kw_only=True)
class TouchCounts:
    """How often items were touched within an hour since the epoch: by a user once a day.

    *items* are codes in *ids*. Counts have their own items, as they are computed more often than
    the rest of a model.
    """

    ids: HashIndex
    items: Int32s = attrs.field(converter=frozen)
    hours: Int32s = attrs.field(converter=frozen)
    counts: Int32s = attrs.field(converter=frozen)

    @classmethod
    def of(cls, users: Int32s, items: Int64s, hours: Int64s) -> Self:
        """Return the counts of touches in any order: of those of a day the first counts.

        *items* are hashes.
        """
        ids = HashIndex.of(items)
        codes = ids.codes(items)
        hours, days = _within_range(hours), hours // 24
        order = np.lexsort((hours, codes, users))
        firsts = order[starts_of_runs(users[order], codes[order], days[order])]
        order = firsts[np.lexsort((hours[firsts], codes[firsts]))]
        codes, hours = codes[order], hours[order]
        starts = starts_of_runs(codes, hours)
        return cls(
            ids=ids,
            items=codes[starts],
            hours=hours[starts].astype(np.int32),
            counts=np.diff(np.append(starts, len(codes))).astype(np.int32),
        )


@attrs.frozen(kw_only=True)
class KnownItems:
    """The items of a model by code, with what does not change while they are listed.

    *category* is a code in *categories*, NONE where there is none, and *seller* a hash, `NO_HASH`
    where there is none. *kind* is the code of a category and a price class, NONE without a
    category or a starting price; *log_price* is that of `typical_prices`, in steps of
    `log2_steps`, NONE for an unknown price.
    """

    ids: HashIndex
    categories: HashIndex
    category: Int32s = attrs.field(converter=frozen)
    seller: Int64s = attrs.field(converter=frozen)
    kinds: Int64s = attrs.field(converter=frozen)
    kind: Int32s = attrs.field(converter=frozen)
    log_price: Int32s = attrs.field(converter=frozen)
    titles: TitleRows
    rarities: Int64s = attrs.field(converter=frozen)

    def __len__(self) -> int:
        return len(self.ids)


@attrs.frozen(kw_only=True)
class Neighbours:
    """Histories by item and by kind, the other way round: who touched what."""

    fans: Fans
    histories_of_kinds: Histories
    fans_of_kinds: Fans

    @classmethod
    def of(cls, histories: Histories, items: KnownItems) -> Self:
        """Return the histories of all users the other way round."""
        of_kinds = histories.kinds(items.kind)
        return cls(
            fans=Fans.of(histories, len(items)),
            histories_of_kinds=of_kinds,
            fans_of_kinds=Fans.of(of_kinds, len(items.kinds)),
        )


@attrs.frozen(kw_only=True)
class Model:
    """All that the components of `blended` need besides the open items.

    *taste*, *follow* and *sequence* have a source per item, the matrices of kinds one per kind.
    *users* are those with a history; the model holds hashes of their ids. *version* names a stored
    model, and *weights* are the tuned weights of components by name, empty without.
    """

    items: KnownItems
    users: HashIndex
    histories: Histories
    neighbours: Neighbours
    touches: TouchCounts
    taste: Coefficients
    follow: Coefficients
    sequence: Coefficients
    taste_of_kinds: Coefficients
    follow_of_kinds: Coefficients
    version: str = ""
    weights: tuple[tuple[str, Millionths], ...] = ()

    def histories_of(self, happened: Interactions, users: IdIndex) -> Histories:
        """Return what *users* touched of the items of the model."""
        user, item = users.codes(happened.users), self.items.ids.codes(hashes_of(happened.items))
        known = (user != NONE) & (item != NONE)
        return Histories.of(user[known], item[known], happened.moments[known], count=len(users))

    def without_users(self, hashes: Int64s) -> Self:
        """Return the model without the rows of some users, as buyers and as sellers.

        Coefficients stay, as they are sums over all users.
        """
        stays = ~np.isin(self.users.hashes, hashes)
        is_sold_by = np.isin(self.items.seller, hashes)
        if stays.all() and not is_sold_by.any():
            return self
        lengths = np.diff(self.histories.offsets)
        rows = np.repeat(stays, lengths)
        histories = Histories(
            offsets=np.append(0, np.cumsum(lengths[stays])),
            items=self.histories.items[rows],
            last_at=self.histories.last_at[rows],
        )
        items = attrs.evolve(self.items, seller=np.where(is_sold_by, NO_HASH, self.items.seller))
        return attrs.evolve(
            self,
            items=items,
            users=HashIndex(hashes=self.users.hashes[stays]),
            histories=histories,
            neighbours=Neighbours.of(histories, items),
        )


def _within_range(hours: Int64s) -> Int64s:
    """Return hours since the epoch that fit 32 bits, and so far apart that ages fit 64."""
    return np.clip(hours, -_FARTHEST, _FARTHEST)


_FARTHEST = 2**30
"""In hours: more than a hundred thousand years, beyond all moments that Python knows."""


def kind_keys(category: Int32s, log_price: Int32s) -> Int64s:
    """Return a number for each category and power of two of a price, NONE without either."""
    known = (category != NONE) & (log_price != NONE)
    return np.where(known, category.astype(np.int64) * 64 + log_price // LOG2_STEPS, NONE)


def typical_prices(catalogue: Catalogue) -> Int64s:
    """Return the starting price of each item, or the current one where there is none.

    Bids raise the current price, so by that a new lot would not resemble one that is over.
    """
    starting = catalogue.starting_prices
    return np.where(starting > 0, starting, catalogue.prices)


def log_prices(prices: Int64s) -> Int32s:
    """Return the binary logarithm of prices in units, in steps; NONE for none or 0."""
    steps = log2_steps(np.maximum(prices, 1))
    return np.where(prices > 0, steps, NONE).astype(np.int32)
