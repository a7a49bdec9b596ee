"""The training of the model of `blended`: sparse regressions on scipy, and counts."""

from typing import Any

import attrs
import numpy as np
from scipy import sparse

from angle_reco.domain.arrays import Int32s, Int64s, ragged_ranges, starts_of_runs
from angle_reco.domain.columns import NONE
from angle_reco.domain.millionths import ONE
from angle_reco.domain.moments import DAY, HOUR
from angle_reco.domain.scoring.blended.model import (
    MOST_TOUCHED,
    Coefficients,
    Histories,
    KnownItems,
    Model,
    TouchCounts,
)

_SOURCES = 50
_COLUMNS_AT_ONCE = 2_048
_MONTH = 30 * DAY

Matrix = Any


def trained(items: KnownItems, kinds: int, users: Int32s, touched: Int32s, moments: Int64s, *, users_count: int, now: int) -> Model:
    """Return the model of touches, in the order of time, at *now*, in microseconds."""
    histories = histories_of(users, touched, moments, users_count)
    size = len(items)
    return Model(
        items=items,
        histories=histories,
        touches=_counts(users, touched, moments),
        taste=taste_of(_binary(histories, size)),
        follow=follow_of(users, touched, moments, users_count=users_count, size=size, now=now),
        taste_of_kinds=dense_taste(_binary(of_kinds(histories, items.kind), kinds)),
        follow_of_kinds=steps_of_kinds(histories, items.kind, kinds),
        kinds=kinds,
    )


def histories_of(users: Int32s, items: Int32s, moments: Int64s, count: int) -> Histories:
    """Return the distinct items of each user with the hour of the last touch, newest first."""
    order = np.lexsort((-moments, items, users))
    firsts = order[starts_of_runs(users[order], items[order])]
    users, items, hours = users[firsts], items[firsts], moments[firsts] // HOUR
    order = np.lexsort((items, -hours, users))
    users, items, hours = users[order], items[order], hours[order]
    starts = np.searchsorted(users, np.arange(count + 1))
    kept = np.arange(len(users)) - starts[users] < MOST_TOUCHED
    offsets = np.searchsorted(users[kept], np.arange(count + 1))
    return Histories(offsets=offsets, items=items[kept], last_at=hours[kept].astype(np.int32))


def of_kinds(histories: Histories, kind: Int32s) -> Histories:
    """Return the histories with kinds for items, each kind by its newest touch."""
    users = np.repeat(np.arange(len(histories)), np.diff(histories.offsets))
    kinds = kind[histories.items]
    known = kinds != NONE
    return histories_of(
        users[known].astype(np.int32),
        kinds[known],
        histories.last_at[known].astype(np.int64) * HOUR,
        len(histories),
    )


def _counts(users: Int32s, items: Int32s, moments: Int64s) -> TouchCounts:
    days = moments // DAY
    order = np.lexsort((moments, days, items, users))
    firsts = order[starts_of_runs(users[order], items[order], days[order])]
    items, hours = items[firsts], moments[firsts] // HOUR
    order = np.lexsort((hours, items))
    items, hours = items[order], hours[order]
    starts = starts_of_runs(items, hours)
    return TouchCounts(
        items=items[starts],
        hours=hours[starts].astype(np.int32),
        counts=np.diff(np.append(starts, len(items))).astype(np.int32),
    )


def _binary(histories: Histories, size: int) -> Matrix:
    return sparse.csr_matrix(
        (np.ones(len(histories.items)), histories.items, histories.offsets),
        shape=(len(histories), size),
    )


def taste_of(rows: Matrix) -> Coefficients:
    """Return the coefficients of a sparse item regression (Ning and Karypis, SLIM, 2011).

    Each item has the 50 sources with the largest `G/√(G_ss + 5)`, and the ridge solution on them.
    """
    gram = (rows.T @ rows).tocsc()
    return _regressions(gram, gram, shift=5, ridge=100, own=False)


def follow_of(users: Int32s, items: Int32s, moments: Int64s, *, users_count: int, size: int, now: int) -> Coefficients:
    """Return the coefficients that lead from faded histories to what came in the 30 days after."""
    before, after, weights = [], [], []
    for step in range(6):
        at = now - _MONTH - 15 * DAY * step
        known = moments <= at
        histories = histories_of(users[known], items[known], moments[known], users_count)
        past = _faded(histories, size)
        soon = (moments > at) & (moments <= at + _MONTH)
        pairs = np.unique(users[soon].astype(np.int64) * size + items[soon])
        u, i = pairs // size, pairs % size
        touched = _binary(histories, size)
        is_new = np.asarray(touched[u, i]).ravel() == 0 if len(u) else np.zeros(0, bool)
        u, i = u[is_new], i[is_new]
        counts = np.bincount(u, minlength=users_count)
        both = np.flatnonzero((np.diff(histories.offsets) > 0) & (counts > 0))
        if len(both) == 0:
            continue
        future = sparse.csr_matrix((1 / counts[u], (u, i)), shape=(users_count, size))
        norms = np.sqrt(past.multiply(past).sum(axis=1)).A1
        past = sparse.diags(1 / np.maximum(norms, 1e-12)) @ past
        before.append(past[both] * 0.7**step)
        after.append(future[both] * 0.7**step)
    if not before:
        return empty(size)
    p, y = sparse.vstack(before).tocsr(), sparse.vstack(after).tocsr()
    return _regressions((p.T @ p).tocsc(), (p.T @ y).tocsc(), shift=1, ridge=10, own=True)


def empty(size: int) -> Coefficients:
    """Return coefficients that say nothing."""
    none = np.empty(0, np.int32)
    return Coefficients(offsets=np.zeros(size + 1, np.int64), targets=none, values=none)


def _faded(histories: Histories, size: int) -> Matrix:
    counts = np.diff(histories.offsets)
    newest = histories.last_at[np.minimum(histories.offsets[:-1], max(len(histories.items) - 1, 0))] if len(histories.items) else np.zeros(len(histories))
    ages = np.repeat(newest, counts) - histories.last_at
    return sparse.csr_matrix(
        (np.exp2(-ages / (30 * 24)), histories.items, histories.offsets),
        shape=(len(histories), size),
    )


def _regressions(gram: Matrix, right: Matrix, *, shift: float, ridge: float, own: bool) -> Coefficients:
    """Return for each column of *right* the ridge regression on its best sources."""
    size = gram.shape[0]
    diagonal = gram.diagonal()
    scale = 1 / np.sqrt(diagonal + shift)
    sources, targets, values = [], [], []
    gram = gram.tocsr()
    gram.sort_indices()
    for first in range(0, size, _COLUMNS_AT_ONCE):
        last = min(first + _COLUMNS_AT_ONCE, size)
        block = right[:, first:last].tocsc()
        chosen = np.full((last - first, _SOURCES), -1)
        rights = np.zeros((last - first, _SOURCES))
        for column in range(last - first):
            lo, hi = block.indptr[column], block.indptr[column + 1]
            rows, data = block.indices[lo:hi], block.data[lo:hi]
            if not own:
                keep = rows != first + column
                rows, data = rows[keep], data[keep]
            if len(rows) > _SOURCES:
                best = np.argpartition(-data * scale[rows], _SOURCES - 1)[:_SOURCES]
                rows, data = rows[best], data[best]
            chosen[column, : len(rows)] = rows
            rights[column, : len(rows)] = data
        solved = _solved(gram, chosen, rights, ridge)
        column, place = np.nonzero((chosen >= 0) & (np.abs(solved) >= 5e-7))
        sources.append(chosen[column, place])
        targets.append(column + first)
        values.append(solved[column, place])
    source, target, value = map(np.concatenate, (sources, targets, values))
    return coefficients(source, target, value, size)


def coefficients(source: Int64s, target: Int64s, value: Any, size: int) -> Coefficients:
    """Return triples as coefficients by source, in millionths."""
    order = np.lexsort((target, source))
    return Coefficients(
        offsets=np.searchsorted(source[order], np.arange(size + 1)),
        targets=target[order].astype(np.int32),
        values=np.rint(value[order] * ONE).astype(np.int32),
    )


def _solved(gram: Matrix, chosen: Int64s, rights: Any, ridge: float) -> Any:
    """Return the solutions of `(G_NN + ridge·1) b = right` of many columns."""
    wide = chosen.shape[1]
    safe = np.maximum(chosen, 0)
    rows = np.repeat(safe, wide, axis=1).ravel()
    columns = np.tile(safe, (1, wide)).ravel()
    grams = _entries(gram, rows, columns).reshape(len(chosen), wide, wide)
    there = chosen >= 0
    grams = grams * (there[:, :, None] & there[:, None, :])
    grams += np.eye(wide) * np.where(there, ridge, 1)[:, :, None]
    return np.linalg.solve(grams, rights[:, :, None])[:, :, 0]


def _entries(gram: Matrix, rows: Int64s, columns: Int64s) -> Any:
    """Return single entries of a sparse matrix with sorted indices, 0 where there is none."""
    keys = np.repeat(np.arange(gram.shape[0]), np.diff(gram.indptr)) * gram.shape[1] + gram.indices
    wanted = rows * gram.shape[1] + columns
    places = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    if len(keys) == 0:
        return np.zeros(len(wanted))
    return np.where(keys[places] == wanted, gram.data[places], 0)


def dense_taste(rows: Matrix) -> Coefficients:
    """Return EASE (Steck, 2019) over kinds, with .3 for the kind itself."""
    size = rows.shape[1]
    if size == 0:
        return empty(0)
    gram = (rows.T @ rows).toarray()
    inverse = np.linalg.inv(gram + 20 * np.eye(size))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.3)
    source, target = np.nonzero(np.abs(weights) >= 5e-7)
    return coefficients(source, target, weights[source, target], size)


def steps_of_kinds(histories: Histories, kind: Int32s, kinds: int) -> Coefficients:
    """Return how often a kind is touched one, two or three steps after another."""
    users = np.repeat(np.arange(len(histories)), np.diff(histories.offsets))
    kinds_touched = kind[histories.items]
    known = kinds_touched != NONE
    users, kinds_touched = users[known], kinds_touched[known]
    total = sparse.csr_matrix((kinds, kinds))
    # Histories have the newest first.
    for step in (1, 2, 3):
        same = users[step:] == users[:-step]
        pairs = (kinds_touched[step:][same], kinds_touched[:-step][same])
        total = total + sparse.csr_matrix(
            (np.full(len(pairs[0]), 0.6 ** (step - 1)), pairs), shape=(kinds, kinds)
        )
    counts = np.bincount(kinds_touched, minlength=kinds)
    found = sparse.coo_matrix(total)
    return coefficients(
        found.row.astype(np.int64),
        found.col.astype(np.int64),
        found.data / (counts[found.row] + 3),
        kinds,
    )
