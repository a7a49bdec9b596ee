"""The loops of `FastKernels` for similar items; without numba they are slow, but the same.

The two functions at the end are compiled; they may call the others. Numba is imported with this
module, which only a job that compiles imports.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numba.extending import register_jitable

from angle_reco.adapters.kernels.similar_arguments import (
    BOTH,
    CATEGORY,
    NEITHER,
    PRICE,
    Fans,
    Found,
    Items,
    PriceIndex,
    Space,
    Weights,
)
from angle_reco.domain.arrays import Int32s, Int64s

_Function = TypeVar("_Function", bound=Callable[..., object])
jitable: Callable[[_Function], _Function] = register_jitable

_NOTHING = 2**31 - 1


@jitable
def _are_near(one: int, other: int) -> bool:
    smaller, larger = min(one, other), max(one, other)
    return smaller >= 0 and 2 * smaller >= larger


@jitable
def _in_common(category: int, price: int, other_category: int, other_price: int) -> int:
    """Return what two items have in common."""
    near = _are_near(price, other_price)
    if category >= 0 and category == other_category:
        return BOTH if near else CATEGORY
    return PRICE if near else NEITHER


@jitable
def _smallest_in(levels: Int32s, start: int, end: int) -> int:
    """Return the smallest value in the range [start, end)."""
    if end <= start:
        return _NOTHING
    level = 0
    while (2 << level) <= end - start:
        level += 1
    return int(min(levels[level, start], levels[level, end - (1 << level)]))


@jitable
def first_from(ascending: Int64s, start: int, end: int, least: int) -> int:
    """Return the first place in [start, end), where values ascend, of one so high, else *end*."""
    while start < end:
        middle = (start + end) // 2
        if ascending[middle] < least:
            start = middle + 1
        else:
            end = middle
    return start


@jitable
def _search_near(
    index: PriceIndex, start: int, end: int, price: int, count: int, space: Space
) -> int:
    """Put the *count* smallest values near a price, in a range of the index, into *found*.

    The range is split at each minimum that is taken. Returns how many there are.
    """
    lows, highs, minima = space.pieces[0], space.pieces[1], space.pieces[2]
    lows[0] = first_from(index.prices, start, end, (price + 1) // 2)
    highs[0] = first_from(index.prices, start, end, 2 * price + 1)
    minima[0] = _smallest_in(index.levels, lows[0], highs[0])
    for taken in range(count):
        piece = 0
        for other in range(1, taken + 1):
            if minima[other] < minima[piece]:
                piece = other
        if minima[piece] == _NOTHING:
            return taken
        space.found[taken] = minima[piece]
        split = index.positions[minima[piece]]
        lows[taken + 1], highs[taken + 1] = split + 1, highs[piece]
        highs[piece] = split
        minima[piece] = _smallest_in(index.levels, lows[piece], split)
        minima[taken + 1] = _smallest_in(index.levels, lows[taken + 1], highs[taken + 1])
    return count


@jitable
def _find_in_category(items: Items, code: int, keep: int, scanned: int, space: Space) -> None:
    """Find the first *keep* others of the category near the price, and the first far from it."""
    prices, price, category = items.prices, items.prices[code], items.category[code]
    start, end = items.starts[category], items.starts[category + 1]
    stop = min(end, start + (scanned if price >= 0 else keep + 1))
    both, far, near_count, far_count = space.first[BOTH], space.first[CATEGORY], 0, 0
    other = start
    while other < stop and near_count < keep:
        if other != code:
            if _are_near(price, prices[other]):
                both[near_count] = other
                near_count += 1
            elif other - start <= keep:
                far[far_count] = other
                far_count += 1
        other += 1
    if price >= 0 and near_count < keep and stop < end:
        near_count = 0
        for k in range(_search_near(items.of_category, start, end, price, keep + 1, space)):
            if space.found[k] != code and near_count < keep:
                both[near_count] = space.found[k]
                near_count += 1
    space.sizes[BOTH], space.sizes[CATEGORY] = near_count, far_count


@jitable
def _find_near(items: Items, code: int, keep: int, scanned: int, space: Space) -> None:
    """Find those of other categories among the first *keep* others near the price."""
    price, size, found, places = items.prices[code], len(items.prices), 0, space.found
    stop = min(size, scanned) if price >= 0 else 0
    place = 0
    while place < stop and found <= keep:
        if _are_near(price, items.prices[items.in_tie_order[place]]):
            places[found] = place
            found += 1
        place += 1
    if price >= 0 and found <= keep and stop < size:
        found = _search_near(items.of_all, 0, size, price, keep + 1, space)
    category, count = items.category[code], 0
    for k in range(found):
        other = items.in_tie_order[places[k]]
        if other != code and (category < 0 or items.category[other] != category):
            space.first[PRICE, count] = other
            count += 1
    space.sizes[PRICE] = count


@jitable
def _least(weights: Weights, keep: int, space: Space) -> int:
    """Return the least score of the best, by those that share no user."""
    better = 0
    for kind in weights.kinds:
        better += space.sizes[kind]
        if better >= keep:
            return int(weights.alike[kind])
    return weights.threshold + 1


@jitable
def _count(
    members: Int32s, start: int, end: int, counts: Int32s, touched: Int32s, size: int
) -> int:
    """Count a user for each of some members; return how many codes are touched now."""
    for k in range(start, end):
        code = members[k]
        if counts[code] == 0:
            touched[size] = code
            size += 1
        counts[code] += 1
    return size


@jitable
def _count_shared(fans: Fans, code: int, is_wide: bool, space: Space) -> int:
    """Count the users that others share with an item; return how many codes are touched."""
    counts, touched, members, size = space.counts, space.touched, fans.members, 0
    for k in range(fans.offsets[code], fans.offsets[code + 1]):
        if is_wide:
            user = fans.users[k]
            size = _count(members, fans.starts[user], fans.ends[user], counts, touched, size)
        else:
            start, end = fans.group_starts[k], fans.group_ends[k]
            size = _count(members, start, end, counts, touched, size)
    return size


@jitable
def insert(best: Int64s, size: int, key: int) -> int:
    """Insert a key into the largest ones, in descending order; return how many there are."""
    place = size
    if size == len(best):
        if key <= best[size - 1]:
            return size
        place -= 1
    while place > 0 and best[place - 1] < key:
        best[place] = best[place - 1]
        place -= 1
    best[place] = key
    return min(size + 1, len(best))


@jitable
def _merge(
    items: Items, weights: Weights, code: int, least: int, touched: int, space: Space
) -> int:
    """Put the keys of the best into *best*, and clear the counts; return how many there are.

    A key orders pairs by score, shared users and the tie order.
    """
    alike, shared, places, best = weights.alike, weights.shared, items.places, space.best
    place_bits, bits = weights.place_bits, weights.place_bits + weights.user_bits
    counts, most, last = space.counts, len(shared) - 1, (1 << weights.place_bits) - 1
    size = 0
    for kind in weights.kinds:
        if alike[kind] >= least:
            for k in range(space.sizes[kind]):
                other = space.first[kind, k]
                if counts[other] == 0:
                    size = insert(best, size, (alike[kind] << bits) | (last - places[other]))
    prices, categories = items.prices, items.category
    price, category = prices[code], categories[code]
    for k in range(touched):
        other = space.touched[k]
        users = int(counts[other])
        counts[other] = 0
        kind = _in_common(category, price, categories[other], prices[other])
        score = alike[kind] + shared[min(users, most)]
        if score >= least and other != code:
            key = (score << bits) | (users << place_bits) | (last - places[other])
            size = insert(best, size, key)
    return size


@jitable
def _rank_one(items: Items, fans: Fans, weights: Weights, code: int, space: Space) -> int:
    """Put the keys of the best candidates of a code into *best*; return how many there are."""
    keep, alike = len(space.best), weights.alike
    for kind in range(3):
        space.sizes[kind] = 0
    if items.category[code] >= 0:
        _find_in_category(items, code, keep, weights.scanned, space)
    if alike[PRICE] > weights.threshold:
        _find_near(items, code, keep, weights.scanned, space)
    least = _least(weights, keep, space)

    degree = fans.offsets[code + 1] - fans.offsets[code]
    by_users = weights.shared[min(degree, len(weights.shared) - 1)]
    # Nothing is near an unknown price.
    near = alike[PRICE] if items.prices[code] >= 0 else 0
    touched = 0
    if near + by_users >= least:
        touched = _count_shared(fans, code, True, space)
    elif items.category[code] >= 0 and alike[CATEGORY] + near + by_users >= least:
        touched = _count_shared(fans, code, False, space)
    return _merge(items, weights, code, least, touched, space)


@jitable
def _write(
    items: Items, weights: Weights, code: int, line: int, size: int, found: Found, best: Int64s
) -> None:
    """Write the lines of an item, from the keys of its best."""
    place_bits, last = weights.place_bits, (1 << weights.place_bits) - 1
    most_users, alike, shared = (1 << weights.user_bits) - 1, weights.alike, weights.shared
    codes, parts, scores, reasons = found.codes, found.parts, found.scores, found.reasons
    prices, categories, in_tie_order = items.prices, items.category, items.in_tie_order
    price, category, most = prices[code], categories[code], len(shared) - 1
    for k in range(size):
        other = in_tie_order[last - (best[k] & last)]
        kind = _in_common(category, price, categories[other], prices[other])
        by_category = alike[CATEGORY] if kind in (BOTH, CATEGORY) else 0
        by_price = alike[PRICE] if kind in (BOTH, PRICE) else 0
        by_users = shared[min((best[k] >> place_bits) & most_users, most)]
        codes[line, k] = other
        parts[line, k, 0] = by_category
        parts[line, k, 1] = by_price
        parts[line, k, 2] = by_users
        scores[line, k] = by_category + by_price + by_users
        reason = 0 if by_category >= by_price else 1
        if by_users > max(by_category, by_price):
            reason = 2
        reasons[line, k] = weights.reasons[reason]
    found.lengths[line] = size


def rank(
    items: Items,
    fans: Fans,
    weights: Weights,
    codes: Int64s,
    lines: Int64s,
    space: Space,
    found: Found,
) -> None:
    """Write the lists of the *codes* at *lines*."""
    for line in lines:
        size = _rank_one(items, fans, weights, codes[line], space)
        _write(items, weights, codes[line], line, size, found, space.best)


def fans_of(users: Int32s, codes: Int64s, category: Int32s, user_count: int) -> Fans:
    """Return pairs of a user and a code, in any order and with repetitions, as lists."""
    size = len(category)
    by_code = np.zeros(size + 1, np.int64)
    starts = np.zeros(user_count + 1, np.int64)
    for pair in range(len(users)):
        by_code[codes[pair] + 1] += 1
        starts[users[pair] + 1] += 1
    by_code, starts = np.cumsum(by_code), np.cumsum(starts)
    sorted_users, free = np.empty(len(users), np.int32), by_code[:-1].copy()
    for pair in range(len(users)):
        sorted_users[free[codes[pair]]] = users[pair]
        free[codes[pair]] += 1

    ends, members = starts[:-1].copy(), np.empty(len(users), np.int32)
    offsets = np.zeros(size + 1, np.int64)
    for code in range(size):
        for k in range(by_code[code], by_code[code + 1]):
            user = sorted_users[k]
            end = ends[user]
            if end == starts[user] or members[end - 1] != code:
                members[end] = code
                ends[user] += 1
                offsets[code + 1] += 1
    offsets = np.cumsum(offsets)

    free, fans = offsets[:-1].copy(), np.empty(offsets[-1], np.int32)
    group_starts, group_ends = np.empty_like(fans), np.empty_like(fans)
    for user in range(user_count):
        start = starts[user]
        while start < ends[user]:
            end = start + 1
            while end < ends[user] and category[members[end]] == category[members[start]]:
                end += 1
            for place in range(start, end):
                k = free[members[place]]
                free[members[place]] += 1
                fans[k], group_starts[k], group_ends[k] = user, start, end
            start = end
    return Fans(starts, ends, members, offsets, fans, group_starts, group_ends)
