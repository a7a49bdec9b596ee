"""The training of the model of `blended`: sparse regressions on scipy, and counts."""

from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from angle_reco.adapters.kernels.compiling import on_threads, usable_cores
from angle_reco.domain.activity import Interactions
from angle_reco.domain.arrays import Int32s, Int64s, is_among, places_in_runs
from angle_reco.domain.catalogue import OpenCards
from angle_reco.domain.columns import NONE
from angle_reco.domain.millionths import ONE
from angle_reco.domain.moments import DAY, HOUR
from angle_reco.domain.scoring.blended.hashes import NO_HASH, HashIndex, hashes_of
from angle_reco.domain.scoring.blended.model import (
    Coefficients,
    Histories,
    KnownItems,
    Model,
    Neighbours,
    TouchCounts,
    kind_keys,
    log_prices,
    typical_prices,
)
from angle_reco.domain.scoring.blended.titles import hashed, rarity, title_rows

_SOURCES = 50
_ROWS_AT_ONCE = 2_048
_MOST_THREADS = 2
_MONTH = 30 * DAY
_STEPS = 6
_FADING = 0.7
_LEAST = 5e-7
"""Half a millionth: smaller coefficients round to 0."""

_MOST_DENSE = 2_000
"""The kinds up to which their regression is dense: 32 MB of coefficients."""

_RIDGE_OF_KINDS = 20
_OWN_KIND = 0.3

Matrix = Any


def trained(happened: Interactions, items: OpenCards, *, now: int) -> Model:
    """Return the model of all that happened, at *now* in microseconds; *items* has the items."""
    of_users = hashes_of(happened.users)
    users = HashIndex.of(of_users)
    known = known_items(items)
    of_items = hashes_of(happened.items)
    item = known.ids.codes(of_items)
    counted = item != NONE
    user, item = users.codes(of_users)[counted], item[counted]
    moments = happened.moments[counted]
    histories = Histories.of(user, item, moments, count=len(users))
    size, kinds = len(known), len(known.kinds)
    of_kinds = histories.kinds(known.kind)
    return Model(
        items=known,
        users=users,
        histories=histories,
        neighbours=Neighbours.of(histories, known),
        touches=TouchCounts.of(user, of_items[counted], moments // HOUR),
        taste=taste_of(_binary(histories, size)),
        follow=follow_of(user, item, moments, users=len(users), size=size, now=now),
        sequence=sequence_of(histories, size),
        taste_of_kinds=taste_of_kinds(_binary(of_kinds, kinds)),
        follow_of_kinds=steps_of_kinds(histories, known.kind, kinds),
    )


def known_items(items: OpenCards) -> KnownItems:
    """Return items, open or not, as a model stores them."""
    catalogue = items.catalogue
    # Of two items with one hash the first counts.
    ids, rows = np.unique(hashes_of(catalogue.items.ids), return_index=True)
    of_categories = hashes_of(catalogue.categories.ids)
    categories = HashIndex.of(of_categories)
    category = np.append(categories.codes(of_categories), np.int32(NONE))[catalogue.category[rows]]
    keys = kind_keys(category, log_prices(catalogue.starting_prices[rows]))
    kinds = np.unique(keys[keys != NONE])
    kind = np.where(keys != NONE, np.searchsorted(kinds, keys), NONE).astype(np.int32)
    offsets, buckets = hashed(items.titles[rows].tolist())
    rarities = rarity(offsets, buckets)
    return KnownItems(
        ids=HashIndex(hashes=ids),
        categories=categories,
        category=category,
        seller=np.append(hashes_of(catalogue.sellers.ids), NO_HASH)[catalogue.seller[rows]],
        kinds=kinds,
        kind=kind,
        log_price=log_prices(typical_prices(catalogue)[rows]),
        titles=title_rows(offsets, buckets, rarities),
        rarities=rarities,
    )


def _binary(histories: Histories, size: int) -> Matrix:
    return sparse.csr_matrix(
        (np.ones(len(histories.items), np.int32), histories.items, histories.offsets),
        shape=(len(histories), size),
    )


def taste_of(rows: Matrix) -> Coefficients:
    """Return the coefficients of a sparse item regression (Ning and Karypis, SLIM, 2011).

    Each item has the 50 sources with the largest `G/√(G_ss + 5)`, and the ridge solution on them.
    """
    gram = _gram(rows)
    found = _regressions(gram, gram, shift=5, ridge=100, own=False)
    return coefficients(*found, rows.shape[1])


def follow_of(
    user: Int32s, item: Int32s, moments: Int64s, *, users: int, size: int, now: int
) -> Coefficients:
    """Return the coefficients that lead from faded histories to what came in the 30 days after."""
    before, after = [], []
    for step in range(_STEPS):
        at = now - _MONTH - _MONTH // 2 * step
        known, soon = moments <= at, (moments > at) & (moments <= at + _MONTH)
        histories, later = (
            Histories.of(user[those], item[those], moments[those], count=users)
            for those in (known, soon)
        )
        future = _first_touched(histories, later, size)
        both = np.flatnonzero((np.diff(histories.offsets) > 0) & (np.diff(future.indptr) > 0))
        if len(both):
            before.append(_faded(histories, size)[both] * _FADING**step)
            after.append(future[both] * _FADING**step)
    if not before:
        return empty(size)
    past, came = sparse.vstack(before).tocsr(), sparse.vstack(after).tocsr()
    found = _regressions(_gram(past), (came.T @ past).tocsr(), shift=1, ridge=10, own=True)
    return coefficients(*found, size)


def _first_touched(before: Histories, later: Histories, size: int) -> Matrix:
    """Return the items that users touched *later* for the first time, a user's together 1."""
    known, pairs = (one.user.astype(np.int64) * size + one.items for one in (before, later))
    pairs = pairs[~is_among(pairs, np.sort(known))]
    user, item = pairs // size, pairs % size
    counts = np.bincount(user, minlength=len(later))
    return sparse.csr_matrix((1 / counts[user], (user, item)), shape=(len(later), size))


def empty(size: int) -> Coefficients:
    """Return coefficients that say nothing."""
    none = np.empty(0, np.int32)
    return Coefficients(offsets=np.zeros(size + 1, np.int64), targets=none, values=none)


def _faded(histories: Histories, size: int) -> Matrix:
    """Return `2^(−age / 30 days)` of each touch, counted from the user's newest, of length 1."""
    user = histories.user
    # The first item of a history is the newest.
    newest = histories.last_at[histories.offsets[user]].astype(np.float64)
    weights = np.exp2(-(newest - histories.last_at) / (30 * 24))
    squares = np.bincount(user, weights**2, minlength=len(histories))
    weights /= np.sqrt(squares[user])
    return sparse.csr_matrix(
        (weights, histories.items, histories.offsets), shape=(len(histories), size)
    )


def _gram(rows: Matrix) -> Matrix:
    """Return `Rᵀ R`, which is symmetric, by sorted rows."""
    # The columns of a symmetric matrix are its rows: no second one is made.
    gram = (rows.T @ rows).tocsc().T
    # Entries of a row in order are found by a binary search.
    gram.sort_indices()
    return gram


def _regressions(
    gram: Matrix, right: Matrix, *, shift: float, ridge: float, own: bool
) -> tuple[Int64s, Int64s, Matrix]:
    """Return for each target, a row of *right*, the ridge regression on its best sources.

    Without *own* no item is a source of itself. The result has sources, targets and values.
    """
    firsts = range(0, right.shape[0], _ROWS_AT_ONCE)
    scale = 1 / np.sqrt(gram.diagonal() + shift)
    none = np.empty(0, np.int64)
    found_from = dict.fromkeys([*firsts, NONE], (none, none, np.empty(0)))

    def solve(first: int) -> None:
        block = right[first : first + _ROWS_AT_ONCE]
        chosen = np.full((block.shape[0], _SOURCES), NONE)
        rights = np.zeros(chosen.shape)
        for row in range(block.shape[0]):
            entries = slice(block.indptr[row], block.indptr[row + 1])
            places, found = block.indices[entries], block.data[entries]
            if not own:
                others = places != first + row
                places, found = places[others], found[others]
            best = np.lexsort((places, -found * scale[places]))[:_SOURCES]
            chosen[row, : len(best)] = places[best]
            rights[row, : len(best)] = found[best]
        solved = _solved(gram, chosen, rights, ridge)
        target, place = np.nonzero((chosen != NONE) & (np.abs(solved) >= _LEAST))
        found_from[first] = (chosen[target, place], target + first, solved[target, place])

    # scipy and numpy release the lock of the interpreter. Each thread has its rows in memory.
    threads = min(usable_cores(), _MOST_THREADS)
    on_threads(threads, "angle-reco-training", firsts, lambda: solve)
    sources, targets, values = (
        np.concatenate(one) for one in zip(*found_from.values(), strict=True)
    )
    return sources, targets, values


def coefficients(source: Int64s, target: Int64s, value: Any, size: int) -> Coefficients:
    """Return triples as coefficients by source, in millionths."""
    order = np.lexsort((target, source))
    return Coefficients(
        offsets=np.searchsorted(source[order], np.arange(size + 1)),
        targets=target[order].astype(np.int32),
        values=np.rint(value[order] * ONE).astype(np.int32),
    )


def _solved(gram: Matrix, chosen: Int64s, rights: Matrix, ridge: float) -> Matrix:
    """Return the solutions of `(G_NN + ridge·1) b = right`, a row for each target.

    *gram* is the symmetric matrix G, and *chosen* has the sources N of each target.
    """
    safe, there = np.maximum(chosen, 0), chosen != NONE
    one, other = np.triu_indices(_SOURCES)
    found = np.asarray(gram[safe[:, one].ravel(), safe[:, other].ravel()])
    upper = np.where(there[:, one] & there[:, other], found.reshape(len(chosen), -1), 0)
    grams = np.empty((len(chosen), _SOURCES, _SOURCES))
    grams[:, one, other] = grams[:, other, one] = upper
    diagonal = np.arange(_SOURCES)
    # The equation of a source that is not there is `ridge · b = 0`.
    grams[:, diagonal, diagonal] += ridge
    return np.linalg.solve(grams, rights[:, :, None])[:, :, 0]


def taste_of_kinds(rows: Matrix) -> Coefficients:
    """Return EASE (Steck, 2019) over kinds, with .3 for the kind itself.

    Beyond `_MOST_DENSE` kinds, whose inverse would be too large, each has its 50 best sources.
    """
    size = rows.shape[1]
    if size == 0:
        return empty(0)
    gram = _gram(rows)
    if size <= _MOST_DENSE:
        inverse = np.linalg.inv(gram.toarray() + _RIDGE_OF_KINDS * np.eye(size))
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0)
        source, target = np.nonzero(np.abs(weights) >= _LEAST)
        value = weights[source, target]
    else:
        source, target, value = _regressions(gram, gram, shift=5, ridge=_RIDGE_OF_KINDS, own=False)
    own = np.arange(size)
    return coefficients(
        np.append(source, own),
        np.append(target, own),
        np.append(value, np.full(size, _OWN_KIND)),
        size,
    )


def sequence_of(histories: Histories, size: int) -> Coefficients:
    """Return how often an item is touched up to ten steps after another, each step .8 less.

    It is divided by `√((n + 3) (m + 3))` for the touches of both, and of each item the 50 largest
    count.
    """
    user, item = histories.user, histories.items
    counts = np.bincount(item, minlength=size) + 3
    by_item = np.argsort(item, kind="stable")
    firsts = np.arange(0, size + _ROWS_AT_ONCE, _ROWS_AT_ONCE)
    found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for start, end in pairwise(np.searchsorted(item[by_item], firsts).tolist()):
        source, target, value = _steps(user, item, by_item[start:end], size, far=10, fading=0.8)
        value = value / np.sqrt(counts[source] * counts[target])
        order = np.lexsort((target, -value, source))
        best = order[places_in_runs(source[order]) < _SOURCES]
        found.append((source[best], target[best], value[best]))
    sources, targets, values = (np.concatenate(one) for one in zip(*found, strict=True))
    return coefficients(sources, targets, values, size)


def steps_of_kinds(histories: Histories, kind: Int32s, kinds: int) -> Coefficients:
    """Return how often a kind is touched one, two or three steps after another."""
    kinds_touched = kind[histories.items]
    known = kinds_touched != NONE
    users, kinds_touched = histories.user[known], kinds_touched[known]
    every = np.arange(len(users))
    source, target, value = _steps(users, kinds_touched, every, kinds, far=3, fading=0.6)
    counts = np.bincount(kinds_touched, minlength=kinds)
    return coefficients(source, target, value / (counts[source] + 3), kinds)


def _steps(
    user: Int32s, touched: Int32s, places: Int64s, size: int, *, far: int, fading: float
) -> tuple[Int64s, Int64s, Matrix]:
    """Return how often others are touched up to *far* steps after those at *places*.

    The newest of each user come first, as in histories. The result has sources, targets and sums.
    """
    pairs, weights = [], []
    for step in range(1, far + 1):
        before = places[places >= step]
        before = before[user[before - step] == user[before]]
        pairs.append((touched[before], touched[before - step]))
        weights.append(np.full(len(pairs[-1][0]), fading ** (step - 1)))
    sources, targets = (np.concatenate(one) for one in zip(*pairs, strict=True))
    # Equal pairs are summed up.
    sums = sparse.csr_matrix((np.concatenate(weights), (sources, targets)), shape=(size, size))
    found = sums.tocoo()
    return found.row.astype(np.int64), found.col.astype(np.int64), found.data
