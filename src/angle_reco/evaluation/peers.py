"""Recommenders of the literature, beside which a ranking is measured: the extra `[peers]`.

All of them know who touched which item, and nothing else. They learn from everything before
the cut, and rank the open items that a user has not touched, like any other ranking. Items
that are untouched before the cut are unknown to them, and so are such users.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from typing import Any, Self, TypeAlias

import attrs
import numpy as np

from angle_reco.domain.arrays import Int32s, Int64s
from angle_reco.domain.columns import NONE
from angle_reco.domain.errors import InvalidValueError, MissingExtraError
from angle_reco.evaluation.rankings import Float64s, Past, Point, best_rows

SparseMatrix: TypeAlias = Any  # scipy.sparse.csr_array: scipy is imported where it is needed
Scores: TypeAlias = Callable[[Int64s], Float64s]
"""Returns the scores of users, given by their rows in the matrix: a column per item."""

MOST_ITEMS_OF_EASE = 20_000
"""A matrix of so many items takes 3.2 GB."""

_CELLS = 4_000_000  # scores at once: 32 MB
_THREADS = 1  # more of them spin where cores are shared, and sums of floats depend on them
_SEED = 1


def peers() -> tuple["Peer", ...]:
    """Return ALS, BM25, cosine, EASE and RP3beta.

    Raises:
        MissingExtraError: The packages of the extra are not installed.
    """
    if any(find_spec(package) is None for package in ("implicit", "threadpoolctl")):
        raise MissingExtraError("the peers of an evaluation", "peers")
    return (
        Peer(name="als", fit=fit_als, grid=_ALS),
        Peer(name="bm25", fit=fit_bm25, grid=_BM25),
        Peer(name="cosine", fit=fit_cosine, grid=_COSINE),
        Peer(name="ease", fit=fit_ease, grid=_EASE, most_items=MOST_ITEMS_OF_EASE),
        Peer(name="rp3beta", fit=fit_rp3beta, grid=_RP3BETA),
    )


@attrs.frozen(kw_only=True)
class Peer:
    """A `Ranking` by a model of who touched which item.

    *fit* gets the binary matrix of users and items, and returns the scores. An item is ranked
    if its score is above 0. More than *most_items* touched items cost too much memory.
    """

    name: str
    fit: Callable[["SparseMatrix", Point], Scores]
    grid: tuple[Point, ...]
    most_items: int | None = None

    def refusal(self, past: Past) -> str | None:
        """Return why this peer cannot rank from *past*, None if it can."""
        count = len(np.unique(past.touches.items))
        if self.most_items is None or count <= self.most_items:
            return None
        return (
            f"{self.name} is left out: it needs a dense matrix of the touched items, which are"
            f" {count:,}, and at most {self.most_items:,} are allowed"
        )

    def ranked(self, past: Past, users: Int32s, *, point: Point, keep: int) -> Int32s:
        """Return the best *keep* rows for each of *users*: see `Ranking`."""
        ranked = np.full((len(users), keep), NONE, np.int32)
        touched = Touched.of(past)
        rows, columns = touched.open_columns(past)
        known, places = touched.places_of(users)
        if len(rows) == 0 or len(known) == 0:
            return ranked
        with one_thread():
            scores = self.fit(touched.matrix, point)
            for some in _chunks(len(known), len(touched.items)):
                lines = scores(places[some])[:, columns]
                of_rows = np.full((len(lines), len(past.open_items)), -np.inf)
                of_rows[:, rows] = np.where(lines > 0, lines, -np.inf)
                of_rows[past.left_out(users[known[some]])] = -np.inf
                ranked[known[some]] = best_rows(of_rows, keep)
        return ranked


@attrs.frozen(kw_only=True)
class Touched:
    """The users and items that occur in a past, as ascending codes, and who touched what.

    *matrix* has a row per user and a column per item, and 1 for a touched item.
    """

    users: Int32s
    items: Int32s
    matrix: SparseMatrix

    @classmethod
    def of(cls, past: Past) -> Self:
        """Return who touched what before the cut."""
        from scipy.sparse import csr_array

        users, row = np.unique(past.touches.users, return_inverse=True)
        items, column = np.unique(past.touches.items, return_inverse=True)
        shape = (len(users), len(items))
        matrix = csr_array((np.ones(len(row)), (row, column)), shape=shape)
        matrix.sum_duplicates()
        matrix.data[:] = 1
        return cls(users=users, items=items, matrix=matrix)

    def open_columns(self, past: Past) -> tuple[Int64s, Int64s]:
        """Return the rows of the market whose items occur, and the column of each."""
        _, rows, columns = np.intersect1d(
            past.open_items, self.items, assume_unique=True, return_indices=True
        )
        return rows, columns

    def places_of(self, users: Int32s) -> tuple[Int64s, Int64s]:
        """Return the places of those *users* who occur, and the matrix row of each."""
        known = np.flatnonzero(np.isin(users, self.users))
        return known, np.searchsorted(self.users, users[known])


def fit_als(matrix: SparseMatrix, point: Point) -> Scores:
    """Fit alternating least squares to implicit feedback: Hu, Koren, Volinsky 2008.

    The confidence in a touched item is *alpha*, in any other 1.
    """
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    model = AlternatingLeastSquares(
        factors=int(point["factors"]),
        regularization=point["regularisation"],
        alpha=point["alpha"],
        iterations=int(point["iterations"]),
        num_threads=_THREADS,
        random_state=_SEED,
    )
    model.fit(csr_matrix(matrix), show_progress=False)
    of_users, of_items = model.user_factors, model.item_factors
    return lambda users: (of_users[users] @ of_items.T).astype(np.float64)


def fit_bm25(matrix: SparseMatrix, point: Point) -> Scores:
    """Fit the neighbours of items by BM25: an item is a text, its users are the words."""
    from implicit.nearest_neighbours import bm25_weight

    weighted = bm25_weight(matrix.T, K1=point["k1"], B=point["b"]).T
    return _by_neighbours(matrix, weighted, int(point["neighbours"]))


def fit_cosine(matrix: SparseMatrix, point: Point) -> Scores:
    """Fit the neighbours of items by cosine: Sarwar, Karypis, Konstan, Riedl 2001."""
    from implicit.nearest_neighbours import normalize

    return _by_neighbours(matrix, normalize(matrix.T).T, int(point["neighbours"]))


def _by_neighbours(matrix: SparseMatrix, weighted: Any, neighbours: int) -> Scores:
    from implicit.nearest_neighbours import ItemItemRecommender
    from scipy.sparse import csr_array, csr_matrix

    # Its subclasses weigh by the same functions, but warn of the form of their own result.
    model = ItemItemRecommender(K=neighbours, num_threads=_THREADS)
    model.fit(csr_matrix(weighted), show_progress=False)
    return _linear(matrix, csr_array(model.similarity))


def fit_ease(matrix: SparseMatrix, point: Point) -> Scores:
    """Fit EASE, a linear autoencoder without an item's own column: Steck 2019."""
    return _linear(matrix, ease_coefficients(matrix, l2=point["l2"]))


def ease_coefficients(matrix: SparseMatrix, *, l2: float) -> Float64s:
    """Return what each item (row) contributes to the score of each (column).

    `B = I − P · diag(P)⁻¹` with `P = (XᵀX + l2·I)⁻¹` is the closed form for the least
    `|X − XB|² + l2·|B|²` with a diagonal of zeros: Steck, Embarrassingly Shallow Autoencoders
    for Sparse Data, 2019, equation 8.

    Raises:
        InvalidValueError: There are too many items for a dense matrix of them.
    """
    from scipy.linalg import lapack

    size = matrix.shape[1]
    if size > MOST_ITEMS_OF_EASE:
        raise InvalidValueError("number of items of EASE", size, f"at most {MOST_ITEMS_OF_EASE}")
    gram = np.empty((size, size), order="F")
    for some in _chunks(size, size):
        gram[:, some] = (matrix.T @ matrix[:, some]).toarray()
    gram[np.diag_indices(size)] += l2
    # In place, as a second matrix would double the memory. With l2 > 0 neither can fail.
    factor, _ = lapack.dpotrf(gram, lower=True, overwrite_a=True)
    inverse: Float64s = lapack.dpotri(factor, lower=True, overwrite_c=True)[0]
    # It is symmetric, and only its lower triangle was computed.
    for some in _chunks(size, size):
        right = slice(some.stop, size)
        inverse[some, right] = inverse[right, some].T
        block = np.tril(inverse[some, some])
        inverse[some, some] = block + np.tril(block, -1).T
    inverse /= -np.diagonal(inverse)
    np.fill_diagonal(inverse, 0)
    return inverse


def fit_rp3beta(matrix: SparseMatrix, point: Point) -> Scores:
    """Fit RP3beta: random walks of three steps, which popular items attract less."""
    coefficients = rp3beta_coefficients(
        matrix, alpha=point["alpha"], beta=point["beta"], neighbours=int(point["neighbours"])
    )
    return _linear(matrix, coefficients)


def rp3beta_coefficients(
    matrix: SparseMatrix, *, alpha: float, beta: float, neighbours: int
) -> SparseMatrix:
    """Return what each item (row) contributes to the score of each (column).

    A walk goes from an item to one of its users and on to one of theirs; the probabilities of
    both steps are raised to *alpha*, and their product is divided by the number of users of
    the last item, raised to *beta*. Each item keeps its *neighbours* strongest others: Paudel,
    Christoffel, Newell, Bernstein, Updatable, Accurate, Diverse, and Scalable Recommendations
    for Interactive Applications, 2017, section 3.
    """
    from scipy.sparse import csr_array, diags_array, vstack

    of_user, of_item = matrix.sum(axis=1), matrix.sum(axis=0)
    to_items = diags_array(of_user**-alpha) @ matrix @ diags_array(of_item**-beta)
    to_users = csr_array(diags_array(of_item**-alpha) @ matrix.T)
    size = matrix.shape[1]
    strongest = []
    for some in _chunks(size, size):
        walks = (to_users[some] @ to_items).toarray()
        lines = np.arange(len(walks))
        walks[lines, lines + some.start] = 0
        columns = best_rows(np.where(walks > 0, walks, -np.inf), neighbours)
        line, place = np.nonzero(columns != NONE)
        column = columns[line, place]
        strongest.append(csr_array((walks[line, column], (line, column)), shape=walks.shape))
    return vstack(strongest, format="csr")


def one_thread() -> AbstractContextManager[object]:
    """Limit linear algebra to a thread: sums of floats depend on how many share them."""
    import threadpoolctl

    # A library that is loaded later would not be limited.
    for name in ("implicit.cpu.als", "scipy.linalg"):
        import_module(name)
    limited: AbstractContextManager[object] = threadpoolctl.threadpool_limits(1, "blas")
    return limited


def _linear(matrix: SparseMatrix, coefficients: Any) -> Scores:
    """Return scores that are sums of the coefficients of the items that a user touched."""
    from scipy.sparse import issparse

    is_sparse = issparse(coefficients)

    def scores(users: Int64s) -> Float64s:
        summed = matrix[users] @ coefficients
        dense: Float64s = summed.toarray() if is_sparse else summed
        return dense

    return scores


def _chunks(count: int, width: int) -> Iterator[slice]:
    """Yield slices of *count* lines, each of about `_CELLS` cells if a line has *width*."""
    size = max(1, _CELLS // width)
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _grid(**values: tuple[float, ...]) -> tuple[Point, ...]:
    """Return all combinations of *values*; the first has the first of each."""
    return tuple(dict(zip(values, point, strict=True)) for point in product(*values.values()))


# What is tried before a cut; the best of it counts.
_ALS = _grid(factors=(32, 8, 128), alpha=(1,), regularisation=(10, 1), iterations=(15,))
_BM25 = _grid(neighbours=(20, 100), k1=(1.2, 100), b=(0.75, 0.2))
_COSINE = _grid(neighbours=(20, 50, 100))
_EASE = _grid(l2=(500, 200, 1_000))
_RP3BETA = _grid(neighbours=(100, 20), alpha=(1, 0.6), beta=(0.4, 0.6))
