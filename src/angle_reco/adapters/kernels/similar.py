"""Similar items without scoring all pairs.

The best matches of an item are among three kinds of candidates, and only these are scored:
the items that share a user with it (a product of sparse matrices), the first ones of its
category in the tie order, and the first ones in that order near its price. Any other item
has enough better ones among these: without shared users a score depends on category and
price alone, and equal scores are ordered by the tie order.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs
import numpy as np

from angle_reco.adapters.kernels.ranges import RangeMinima
from angle_reco.domain.arrays import (
    Bools,
    Int64s,
    is_among,
    places_in_runs,
    ragged_ranges,
    starts_of_runs,
)
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.lists import Lists
from angle_reco.domain.millionths import ONE
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.similarity import (
    Engagement,
    Originals,
    SimilarityRule,
    prices_near,
    similarity_parts,
    similarity_reasons,
    similarity_scores,
)
from angle_reco.domain.suggestions import Source

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_PAIRS_AT_ONCE = 1_000_000
_ROWS_AT_ONCE = 1_024


def rank_similar_items(
    market: OpenMarket,
    originals: Originals,
    *,
    of_originals: Engagement,
    of_candidates: Engagement,
    rule: SimilarityRule,
    keep: int,
) -> Lists:
    """Return the *keep* open items most similar to each of *originals*."""
    candidates = _Candidates.of(market)
    user_count = 1 + max(
        of_originals.users.max(initial=NONE).item(), of_candidates.users.max(initial=NONE).item()
    )
    wants = _incidence(of_originals.places, of_originals.users, (len(originals), user_count))
    has = _incidence(
        of_candidates.users, market.tie_rank[of_candidates.places], (user_count, len(market))
    )
    chunks = [np.empty((3, 0), np.int64)]
    for first, last in _chunks(wants, has):
        shared = wants[first:last] @ has
        shared.sort_indices()
        line, place, users = _rank_chunk(
            candidates, originals.between(first, last), shared, rule, keep
        )
        chunks.append(np.stack([line + first, place, users]))
    line, place, users = np.concatenate(chunks, axis=1)
    parts = similarity_parts(*_alike(candidates, originals, line, place), users, rule)
    return Lists(
        owners=originals.ids,
        offsets=np.searchsorted(line, np.arange(len(originals) + 1)),
        items=market.catalogue.ids_at(candidates.rows[place]),
        parts=parts,
        reasons=similarity_reasons(parts),
        sources=np.full(len(line), Source.SIMILAR.code, np.int8),
        recipe=rule.recipe,
        computed_at=market.now,
    )


@attrs.frozen
class _Candidates:
    """The market's items in the tie order; all places below are places in that order."""

    items: IdIndex
    rows: Int64s
    place_of_row: Int64s
    category: Int64s
    prices: Int64s
    by_category: Int64s
    category_starts: Int64s
    by_price: "_ByPrice"
    by_category_and_price: "_ByPrice"

    @classmethod
    def of(cls, market: OpenMarket) -> "_Candidates":
        order = market.tie_order
        category = market.catalogue.category[order].astype(np.int64)
        prices = market.catalogue.prices[order]
        by_category = np.argsort(category, kind="stable")
        categories = np.arange(len(market.catalogue.categories) + 1)
        return cls(
            items=market.catalogue.items,
            rows=order,
            place_of_row=market.tie_rank,
            category=category,
            prices=prices,
            by_category=by_category,
            category_starts=np.searchsorted(category[by_category], categories),
            by_price=_ByPrice.of(np.zeros_like(category), prices),
            by_category_and_price=_ByPrice.of(category, prices),
        )

    def places(self, ids: IdColumn) -> Int64s:
        """Return the place of each item, NONE for one that is not open."""
        # The code NONE selects the last element.
        return np.append(self.place_of_row, NONE)[self.items.codes(ids)]


@attrs.frozen
class _ByPrice:
    """Candidates by group and price, to find the first ones near a price."""

    prices: Int64s
    keys: Int64s
    minima: RangeMinima

    @classmethod
    def of(cls, group: Int64s, prices: Int64s) -> "_ByPrice":
        distinct = np.unique(prices)
        keys = group * (len(distinct) + 1) + np.searchsorted(distinct, prices)
        order = np.argsort(keys, kind="stable")
        return cls(distinct, keys[order], RangeMinima.of(order))

    def near(self, group: Int64s, prices: Int64s, count: int) -> Int64s:
        """Return the first *count* candidates of each group near each price, padded with −1.

        Near prices reach from half the price, rounded up, to twice the price.
        """
        known = prices >= 0
        lowest = np.searchsorted(self.prices, np.where(known, (prices + 1) // 2, 0), "left")
        highest = np.searchsorted(self.prices, np.where(known, 2 * prices, -2), "right")
        groups = group * (len(self.prices) + 1)
        starts = np.searchsorted(self.keys, groups + lowest)
        ends = np.searchsorted(self.keys, groups + highest)
        return self.minima.smallest(starts, np.maximum(starts, ends), count)


def _incidence(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> "csr_array":
    """Return a matrix with a 1 for each pair, even if the pair is repeated."""
    from scipy.sparse import coo_array

    matrix = coo_array((np.ones(len(rows), np.int32), (rows, columns)), shape=shape).tocsr()
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _chunks(wants: "csr_array", has: "csr_array") -> Iterator[tuple[int, int]]:
    """Yield spans of originals whose pairs fit memory, by an upper bound of their number."""
    pairs_of_user = np.diff(has.indptr).astype(np.int64)
    bounds = np.concatenate([[0], np.cumsum(pairs_of_user[wants.indices])])
    bounds = bounds[wants.indptr]
    first, size = 0, wants.shape[0]
    while first < size:
        fitting = int(np.searchsorted(bounds, bounds[first] + _PAIRS_AT_ONCE, "right")) - 1
        last = min(max(fitting, first + 1), first + _ROWS_AT_ONCE, size)
        yield first, last
        first = last


def _rank_chunk(
    candidates: _Candidates,
    originals: Originals,
    shared: "csr_array",
    rule: SimilarityRule,
    keep: int,
) -> tuple[Int64s, Int64s, Int64s]:
    """Return the best pairs of each original in order: lines, places and shared users."""
    line = np.repeat(np.arange(len(originals)), np.diff(shared.indptr))
    place = shared.indices.astype(np.int64)
    users = shared.data.astype(np.int64)

    # Most pairs that share a user score too little: drop them before sorting.
    enough = (
        similarity_scores(*_alike(candidates, originals, line, place), users, rule) > rule.threshold
    )
    line, place, users = line[enough], place[enough], users[enough]
    more_line, more_place = _fill(candidates, originals, rule, keep)
    width = max(len(candidates.rows), 1)
    keys, more_keys = line * width + place, np.sort(more_line * width + more_place)
    more_keys = more_keys[starts_of_runs(more_keys)]
    more_keys = more_keys[~is_among(more_keys, keys)]
    # These score enough by category and price alone and share no user: pairs that share one
    # are in *keys* already.
    users = np.concatenate([users, np.zeros(len(more_keys), np.int64)])
    keys = np.concatenate([keys, more_keys])
    by_key = np.argsort(keys, kind="stable")
    line, place = np.divmod(keys[by_key], width)
    users = users[by_key]

    scores = similarity_scores(*_alike(candidates, originals, line, place), users, rule)
    counts = np.flatnonzero(place != candidates.places(originals.ids)[line])
    line, place, users, scores = line[counts], place[counts], users[counts], scores[counts]

    # Places ascend within a line, so a stable sort orders by them last. The three other
    # keys share one number: 10 bits of line, 20 of score, at most 32 of users.
    most = users.max(initial=0)
    order = np.argsort(
        ((line * (ONE + 1)) + ONE - scores) * (most + 1) + most - users, kind="stable"
    )
    order = order[places_in_runs(line[order]) < keep]
    return line[order], place[order], users[order]


def _alike(
    candidates: _Candidates, originals: Originals, line: Int64s, place: Int64s
) -> tuple[Bools, Bools]:
    """Return for each pair whether the categories are equal, and whether the prices are near."""
    category = originals.category[line]
    return (
        (category == candidates.category[place]) & (category != NONE),
        prices_near(originals.prices[line], candidates.prices[place]),
    )


def _fill(
    candidates: _Candidates, originals: Originals, rule: SimilarityRule, keep: int
) -> tuple[Int64s, Int64s]:
    """Return pairs that include the best of those sharing no user, as lines and places."""
    count = keep + 1  # one of them may be the original itself
    lines, places = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    in_category = np.flatnonzero(originals.category != NONE)
    category = originals.category[in_category].astype(np.int64)
    if rule.category > rule.threshold:
        starts = candidates.category_starts[category]
        lengths = np.minimum(candidates.category_starts[category + 1] - starts, count)
        lines.append(np.repeat(in_category, lengths))
        places.append(candidates.by_category[ragged_ranges(starts, lengths)])
    if rule.category + rule.price > rule.threshold:
        found = candidates.by_category_and_price.near(
            category, originals.prices[in_category], count
        )
        row, column = np.nonzero(found >= 0)
        lines.append(in_category[row])
        places.append(found[row, column])
    if rule.price > rule.threshold:
        found = candidates.by_price.near(
            np.zeros(len(originals), np.int64), originals.prices, count
        )
        row, column = np.nonzero(found >= 0)
        lines.append(row)
        places.append(found[row, column])
    return np.concatenate(lines), np.concatenate(places)
