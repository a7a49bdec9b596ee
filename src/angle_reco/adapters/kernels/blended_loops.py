"""The loops of `FastKernels` for homepages of `blended`, which numba compiles.

They compute the whole numbers of `Tastes`, so the pages are the same. The function at the end is
compiled; it may call the others, which are in this file because a change of it alone makes numba
compile again. Only a job that compiles imports this module, as it imports numba.
"""

import math

import numpy as np

from angle_reco.adapters.kernels.blended_arguments import (
    LEVEL_BITS,
    Found,
    Known,
    Matrix,
    People,
    Rule,
    Shown,
    Space,
    Sums,
    Titles,
    Users,
)
from angle_reco.adapters.kernels.blended_pages import ERROR
from angle_reco.adapters.kernels.loops import first_from, insert, jitable
from angle_reco.domain.arrays import Floats, Int32s, Int64s
from angle_reco.domain.millionths import ONE
from angle_reco.domain.scoring.blended.curves import STEPS
from angle_reco.domain.scoring.blended.tastes import WIDER
from angle_reco.domain.scoring.blended.titles import UNIT

_TASTE, _FOLLOW, _SEQUENCE, _ALIKE, _BY_CATEGORY, _BY_TITLE, _BY_PRICE, _BY_SELLER = range(8)
_VIEWS = (_TASTE, _FOLLOW, _SEQUENCE, _ALIKE)
_PLACE = 2**32 - 1
"""More than there are users or rows. A key has a difference to it in its lower 32 bits."""


@jitable
def _add(sums: Sums, place: int, value: int) -> None:
    if not sums.is_used[place]:
        sums.is_used[place] = True
        sums.places[sums.length[0]] = place
        sums.length[0] += 1
    sums.values[place] += value


@jitable
def _clear(sums: Sums) -> None:
    for k in range(sums.length[0]):
        place = sums.places[k]
        sums.values[place] = 0
        sums.is_used[place] = False
    sums.length[0] = 0


@jitable
def _at_share(curve: Int64s, value: int, largest: int) -> int:
    """Return what `at_share` does."""
    if value <= 0:
        return 0
    shift = 0
    while (largest >> shift) >= 1 << 46:
        shift += 1
    return int(curve[(value >> shift) * STEPS // (largest >> shift)])


@jitable
def _decay(recency: Int64s, age: int) -> int:
    return int(recency[min(max(age, 0), len(recency) - 1)])


@jitable
def _spread(matrix: Matrix, source: int, weight: int, place_of: Int32s, sums: Sums) -> None:
    """Add what a touch of a source says of others, to the place of each that is open."""
    for k in range(matrix.offsets[source], matrix.offsets[source + 1]):
        place = place_of[matrix.targets[k]]
        if place >= 0:
            _add(sums, place, weight * matrix.values[k])


@jitable
def _count_fans(people: People, source: int, shared: Sums) -> None:
    for k in range(people.fan_offsets[source], people.fan_offsets[source + 1]):
        _add(shared, people.fans[k], 1)


@jitable
def _find_nearest(people: People, touched: int, user: int, shared: Sums, nearest: Int64s) -> Int64s:
    """Return keys of the users with the largest cosines, in *nearest*.

    Larger cosines are first, then smaller codes of users. A cosine of 0 is none.
    """
    found, least = 0, 0.0
    for k in range(shared.length[0]):
        other = int(shared.places[k])
        common = float(ONE * shared.values[other])
        squares = float(people.offsets[other + 1] - people.offsets[other]) * touched
        # Most cosines are so small that a root and a quotient would be in vain.
        if other != user and common * common >= least * squares:
            cosine = min(int(common / math.sqrt(squares)), ONE)
            if cosine > 0:
                found = insert(nearest, found, (cosine << 32) | (_PLACE - other))
                if found == len(nearest):
                    least = float((nearest[found - 1] >> 32) - 1) ** 2
    _clear(shared)
    return nearest[:found]


@jitable
def _add_nearest(
    people: People, nearest: Int64s, place_of: Int32s, recency: Int64s, hour: int, sums: Sums
) -> None:
    """Add what the users of some keys touched."""
    for key in nearest:
        cosine, other = key >> 32, _PLACE - (key & _PLACE)
        for k in range(people.offsets[other], people.offsets[other + 1]):
            place = place_of[people.items[k]]
            if place >= 0:
                age = hour - int(people.last_at[k])
                _add(sums, place, cosine * _decay(recency, age) // ONE)


@jitable
def _turn_into_values(sums: Sums, curve: Int64s) -> None:
    largest = 0
    for k in range(sums.length[0]):
        largest = max(largest, sums.values[sums.places[k]])
    for k in range(sums.length[0]):
        place = sums.places[k]
        sums.values[place] = _at_share(curve, sums.values[place], largest)


@jitable
def _look(
    shown: Shown, known: Known, rule: Rule, items: Int32s, known_as: int, space: Space
) -> None:
    """Compute the values of the views, by row and by kind."""
    views, of_kinds, touched_kinds = space.views, space.of_kinds, space.touched_kinds
    for k in range(len(items)):
        kind, recency = known.kind[items[k]], space.recency[k] // 1_000
        _spread(known.taste, items[k], 1, shown.row_of_item, views[_TASTE])
        _spread(known.follow, items[k], recency, shown.row_of_item, views[_FOLLOW])
        if kind >= 0:
            _add(touched_kinds, kind, 1)
            space.recency_of_kinds[kind] += recency
    for k in range(min(len(items), len(rule.steps))):
        kind, weight = known.kind[items[k]], rule.steps[k]
        _spread(known.sequence, items[k], weight, shown.row_of_item, views[_SEQUENCE])
        if kind >= 0:
            _spread(known.follow_of_kinds, kind, weight, shown.open_kinds, of_kinds[_SEQUENCE])
    kinds = touched_kinds.places[: touched_kinds.length[0]]
    for kind in kinds:
        touches, recency = touched_kinds.values[kind], space.recency_of_kinds[kind]
        _spread(known.taste_of_kinds, kind, touches, shown.open_kinds, of_kinds[_TASTE])
        _spread(known.follow_of_kinds, kind, recency, shown.open_kinds, of_kinds[_FOLLOW])
        space.recency_of_kinds[kind] = 0
    shared, decay, hour = space.shared, rule.recency, shown.hour
    for item in items:
        _count_fans(known.people, item, shared)
    found = _find_nearest(known.people, len(items), known_as, shared, space.nearest)
    _add_nearest(known.people, found, shown.row_of_item, decay, hour, views[_ALIKE])
    people = known.people_of_kinds
    for kind in kinds:
        _count_fans(people, kind, shared)
    found = _find_nearest(people, len(kinds), known_as, shared, space.nearest)
    _add_nearest(people, found, shown.open_kinds, decay, hour, of_kinds[_ALIKE])
    _clear(touched_kinds)
    for view in _VIEWS:
        _turn_into_values(views[view], rule.views)
        _turn_into_values(of_kinds[view], rule.views)


@jitable
def _weighted(value: int, weight: int) -> int:
    return (2 * weight * value + ONE) // (2 * ONE)


@jitable
def _weigh_categories(
    category: Int32s, shares: Int64s, weight: int, items: Int32s, counts: Sums
) -> None:
    """Turn the counts of categories into contributions."""
    total, largest = 0, 1
    for item in items:
        if category[item] >= 0:
            _add(counts, category[item], 1)
            total += 1
    for k in range(counts.length[0]):
        place = counts.places[k]
        share = (2 * counts.values[place] * ONE + total) // (2 * total)
        counts.values[place] = share * 1_000 // (shares[place] + 20_000)
        largest = max(largest, counts.values[place])
    for k in range(counts.length[0]):
        place = counts.places[k]
        counts.values[place] = _weighted(counts.values[place] * ONE // largest, weight)


@jitable
def _weigh_prices(
    shown: Shown, log_price: Int32s, rule: Rule, items: Int32s, recency: Int64s, by_price: Int32s
) -> None:
    """Compute the contribution of each price that is shown."""
    total, mean, variance = 0, 0, 0
    for k in range(len(items)):
        price, counted = int(log_price[items[k]]), recency[k] // 1_000
        if price >= 0:
            total += counted
            mean += counted * price
    by_price[:] = 0
    if total == 0:
        return
    mean //= total
    for k in range(len(items)):
        price, counted = int(log_price[items[k]]), recency[k] // 1_000
        if price >= 0:
            variance += counted * (price - mean) ** 2
    deviation = int(math.sqrt(float(variance // total))) + WIDER
    square, last = float(deviation * deviation), len(rule.bell) - 1
    for place in range(len(by_price)):
        price = int(shown.log_prices[place])
        if price >= 0:
            # The numbers are below 2**43, so the whole part of a quotient of floats is exact.
            step = min(int((price - mean) ** 2 * 1_024 / square), last)
            by_price[place] = _weighted(rule.bell[step], rule.weights[_BY_PRICE])


@jitable
def _weigh_sellers(
    shown: Shown, seller: Int64s, rule: Rule, items: Int32s, of_sellers: Sums
) -> None:
    """Compute the contribution of the seller for the rows of touched sellers."""
    touched, largest = min(len(items), len(rule.sellers)), 1
    # Two passes: the sums of sellers are divided by the largest of them.
    for is_last in (False, True):
        for k in range(touched):
            one, total = seller[items[k]], 0
            for other in range(touched):
                if seller[items[other]] == one:
                    if other < k:
                        break
                    total += rule.sellers[other]
            if one == rule.no_seller or total == 0:
                continue
            if not is_last:
                largest = max(largest, total)
                continue
            value = _weighted(total * ONE // largest, rule.weights[_BY_SELLER])
            place = first_from(shown.sellers, 0, len(shown.sellers), one)
            while place < len(shown.sellers) and shown.sellers[place] == one:
                _add(of_sellers, shown.seller_rows[place], value)
                place += 1


@jitable
def _weigh_words(titles: Titles, factors: Int64s, items: Int32s, words: Sums) -> None:
    """Compute the weight of each word in touched titles, of the length `UNIT`."""
    largest, squares = 1, 0
    for rank in range(min(len(items), len(factors))):
        for k in range(titles.offsets[items[rank]], titles.offsets[items[rank] + 1]):
            _add(words, titles.buckets[k], titles.weights[k] * factors[rank])
    for k in range(words.length[0]):
        largest = max(largest, abs(words.values[words.places[k]]))
    by = max(largest >> 18, 1)
    for k in range(words.length[0]):
        words.values[words.places[k]] //= by
        squares += words.values[words.places[k]] ** 2
    length = max(int(math.sqrt(float(squares))), 1)
    for k in range(words.length[0]):
        place = words.places[k]
        words.values[place] = words.values[place] * UNIT // length


@jitable
def _title(titles: Titles, words: Int64s, weight: int, row: int) -> int:
    """Return the contribution of the title of a row."""
    product = 0
    for k in range(titles.offsets[row], titles.offsets[row + 1]):
        product += titles.weights[k] * words[titles.buckets[k]]
    return _weighted(min(product * ONE // UNIT**2, ONE), weight)


@jitable
def _estimate(shown: Shown, weights: Int64s, excluded: Int32s, space: Space) -> None:
    """Estimate the score of every row, but for its title."""
    estimates, by_kind = space.estimates, space.by_kind
    for kind in range(len(by_kind)):
        total = 0
        for view in _VIEWS:
            total += weights[view] * space.of_kinds[view].values[kind]
        by_kind[kind] = total / ONE
    for row in range(len(estimates)):
        of_tables = space.categories.values[shown.category[row]] + space.by_price[shown.price[row]]
        of_views = shown.of_kind[row] * by_kind[shown.kind[row]]
        estimates[row] = shown.shared[row] + of_views + np.float32(of_tables)
    for view in _VIEWS:
        of_view = space.views[view]
        for k in range(of_view.length[0]):
            row = of_view.places[k]
            estimates[row] += shown.own[row] * (weights[view] * of_view.values[row] / ONE)
    for k in range(space.of_sellers.length[0]):
        row = space.of_sellers.places[k]
        estimates[row] += space.of_sellers.values[row]
    estimates[excluded] = -ONE


@jitable
def _level(estimates: Floats, keep: int, levels: Int64s) -> int:
    """Return a level that *keep* of the estimates reach, and few others; 0 if there is none."""
    levels[:] = 0
    for estimate in estimates:
        if estimate >= 0:
            levels[int(estimate) >> LEVEL_BITS] += 1
    reached, level = 0, len(levels)
    while level > 0 and reached < keep:
        level -= 1
        reached += levels[level]
    return level << LEVEL_BITS


@jitable
def _find_candidates(titles: Titles, weight: int, space: Space) -> int:
    """Find the rows that may be among the best; return their number."""
    estimates, candidates, better = space.estimates, space.candidates, space.better
    keep, words, count = len(space.best), space.words.values, 0
    # Without its title, no row is estimated too high by more than the error.
    least = max(_level(estimates, keep, space.levels) - weight - 2 * ERROR, -ERROR)
    for row in range(len(estimates)):
        if estimates[row] >= least:
            candidates[count] = row
            better[count] = estimates[row] + _title(titles, words, weight, row)
            count += 1
    least = max(_level(better[:count], keep, space.levels) - 2 * ERROR, -ERROR)
    found = 0
    for k in range(count):
        if better[k] >= least:
            candidates[found] = candidates[k]
            found += 1
    return found


@jitable
def _rank_candidates(shown: Shown, weights: Int64s, count: int, space: Space) -> int:
    """Put the keys of the best into *best*, and contributions into *parts*; return their number."""
    best, size, words = space.best, 0, space.words.values
    for k in range(count):
        row, parts = space.candidates[k], space.parts[space.candidates[k]]
        kind, support = shown.kind[row], shown.support[row]
        for view in _VIEWS:
            own, of_kind = space.views[view].values[row], space.of_kinds[view].values[kind]
            mixed = (support * own + (ONE - support) * of_kind) // ONE
            parts[view] = _weighted(mixed, weights[view])
        parts[_BY_CATEGORY] = space.categories.values[shown.category[row]]
        parts[_BY_TITLE] = _title(shown.titles, words, weights[_BY_TITLE], row)
        parts[_BY_PRICE] = space.by_price[shown.price[row]]
        parts[_BY_SELLER] = space.of_sellers.values[row]
        score = int(shown.shared[row]) + int(parts.sum())
        size = insert(best, size, (score << 32) | (_PLACE - shown.tie_rank[row]))
    return size


def rank_pages(
    shown: Shown,
    known: Known,
    rule: Rule,
    users: Users,
    first: int,
    last: int,
    space: Space,
    found: Found,
) -> None:
    """Write the pages of the users [first, last)."""
    recency, weights = space.recency, rule.weights
    for user in range(first, last):
        items = users.items[users.offsets[user] : users.offsets[user + 1]]
        hours = users.last_at[users.offsets[user] : users.offsets[user + 1]]
        for k in range(len(items)):
            recency[k] = _decay(rule.recency, int(hours[0]) - int(hours[k]))
        _look(shown, known, rule, items, users.known_as[user], space)
        weight, shares = weights[_BY_CATEGORY], known.category_shares
        _weigh_categories(known.category, shares, weight, items, space.categories)
        _weigh_prices(shown, known.log_price, rule, items, recency, space.by_price)
        _weigh_sellers(shown, known.seller, rule, items, space.of_sellers)
        _weigh_words(known.titles, rule.words, items, space.words)
        start, end = users.excluded_offsets[user], users.excluded_offsets[user + 1]
        _estimate(shown, weights, users.excluded[start:end], space)
        count = _find_candidates(shown.titles, weights[_BY_TITLE], space)
        size = _rank_candidates(shown, weights, count, space)
        for place in range(size):
            row = shown.tie_order[_PLACE - (space.best[place] & _PLACE)]
            found.rows[user, place] = row
            found.parts[user, place] = space.parts[row]
        found.lengths[user] = size
        for view in _VIEWS:
            _clear(space.views[view])
            _clear(space.of_kinds[view])
        _clear(space.categories)
        _clear(space.of_sellers)
        _clear(space.words)
