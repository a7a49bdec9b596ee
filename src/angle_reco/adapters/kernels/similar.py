"""Similar items without scoring all pairs, on numpy and scipy.

The best matches of an item are among those that share a user with it, and the best of those
that are alike without a shared user; only these are scored. The latter are known first. If
there are enough of them, only items of the same category can be better, and shared users are
counted within the category: most users share one category, and few of their items.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import attrs
import numpy as np

from angle_reco.adapters.kernels.candidates import Candidates
from angle_reco.domain.arrays import Int64s, is_among, places_in_runs, starts_of_runs
from angle_reco.domain.columns import NONE
from angle_reco.domain.lists import Lists
from angle_reco.domain.millionths import ONE
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.similarity import (
    Engagement,
    Originals,
    SimilarityRule,
    similarity_parts,
    similarity_reasons,
    similarity_scores,
)
from angle_reco.domain.suggestions import Source

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_PAIRS_AT_ONCE = 1_000_000
_ROWS_AT_ONCE = 1_024
_LARGEST_KEY = 2**63


@attrs.frozen(kw_only=True)
class NumpySimilarities:
    """`Similarities` on one thread of numpy, with the sparse matrix product of scipy."""

    market: OpenMarket
    candidates: Candidates
    shared: "_Shared"
    rule: SimilarityRule
    keep: int

    @classmethod
    def of_engagement(
        cls, market: OpenMarket, engagement: Engagement, rule: SimilarityRule, keep: int
    ) -> "NumpySimilarities":
        """Prepare the similar items of the open items of a market."""
        candidates = Candidates.of(market)
        fans = _Fans.of(engagement, candidates)
        shared = _Shared(
            by_user=_Product(fans.by_user.T.tocsr(), fans.by_user),
            by_group=_Product(fans.by_group.T.tocsr(), fans.by_group),
        )
        return cls(market=market, candidates=candidates, shared=shared, rule=rule, keep=keep)

    def of(self, rows: Int64s) -> Lists:
        codes = self.candidates.code_of_row[rows]
        originals = Originals(
            ids=self.market.catalogue.ids_at(rows),
            category=self.candidates.category[codes],
            prices=self.candidates.prices[codes],
        )
        return _lists(
            self.market,
            self.candidates,
            originals,
            codes,
            self.shared.of(codes),
            self.rule,
            self.keep,
        )


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
    candidates = Candidates.of(market)
    # The code NONE selects the last element.
    own = np.append(candidates.code_of_row, NONE)[market.catalogue.items.codes(originals.ids)]
    shared = _Fans.of(of_candidates, candidates).shared_with(originals, of_originals)
    return _lists(market, candidates, originals, own, shared, rule, keep)


class _Product(NamedTuple):
    """Two matrices: what originals want by what candidates have."""

    wants: "csr_array"
    has: "csr_array"


class _Shared(NamedTuple):
    """The matrices whose products are shared users: of all items, and within a category."""

    by_user: _Product
    by_group: _Product

    def of(self, lines: Int64s) -> "_Shared":
        return _Shared(*(_Product(one.wants[lines], one.has) for one in self))


@attrs.frozen
class _Fans:
    """Who engaged with which candidate: by user, and by group of a user and a category.

    `group_keys` has a number for each group, in order.
    """

    by_user: "csr_array"
    by_group: "csr_array"
    group_keys: Int64s
    categories: int

    @classmethod
    def of(cls, engagement: Engagement, candidates: Candidates) -> "_Fans":
        width, categories = max(len(candidates), 1), len(candidates.starts)
        keys = np.sort(
            engagement.users.astype(np.int64) * width + candidates.code_of_row[engagement.places]
        )
        users, codes = np.divmod(keys[starts_of_runs(keys)], width)
        # Codes are ordered by category, and so are a user's groups.
        of_pair = users * categories + candidates.category[codes].astype(np.int64) + 1
        groups = starts_of_runs(of_pair)
        size = users.max(initial=NONE).item() + 1
        offsets = np.searchsorted(users, np.arange(size + 1))
        shape = len(candidates)
        return cls(
            by_user=_ones(offsets, codes, shape),
            by_group=_ones(np.append(groups, len(codes)), codes, shape),
            group_keys=of_pair[groups],
            categories=categories,
        )

    def shared_with(self, originals: Originals, engagement: Engagement) -> _Shared:
        """Return what originals share, which may be other items than the candidates."""
        places, users = engagement.places.astype(np.int64), engagement.users.astype(np.int64)
        known = users < self.by_user.shape[0]
        places, users = places[known], users[known]
        keys = users * self.categories + originals.category[places] + 1
        group = np.searchsorted(self.group_keys, keys)
        has_group = is_among(keys, self.group_keys)
        size = len(originals)
        return _Shared(
            by_user=_Product(_pairs(places, users, size, self.by_user.shape[0]), self.by_user),
            by_group=_Product(
                _pairs(places[has_group], group[has_group], size, self.by_group.shape[0]),
                self.by_group,
            ),
        )


def _pairs(rows: Int64s, columns: Int64s, size: int, width: int) -> "csr_array":
    """Return a matrix with a 1 for each pair, even if the pair is repeated."""
    keys = np.sort(rows * max(width, 1) + columns)
    rows, columns = np.divmod(keys[starts_of_runs(keys)], max(width, 1))
    return _ones(np.searchsorted(rows, np.arange(size + 1)), columns, width)


def _ones(offsets: Int64s, columns: Int64s, width: int) -> "csr_array":
    from scipy.sparse import csr_array

    return csr_array(
        (np.ones(len(columns), np.int32), columns, offsets), shape=(len(offsets) - 1, width)
    )


def _lists(
    market: OpenMarket,
    candidates: Candidates,
    originals: Originals,
    own: Int64s,
    shared: _Shared,
    rule: SimilarityRule,
    keep: int,
) -> Lists:
    """Return the lists of *originals*, of which *own* are the codes, NONE for one not open."""
    chunks = [np.empty((3, 0), np.int64)]
    for first in range(0, len(originals), _ROWS_AT_ONCE):
        lines = slice(first, first + _ROWS_AT_ONCE)
        block = _Block(
            candidates=candidates,
            originals=originals.between(first, first + _ROWS_AT_ONCE),
            own=own[lines],
            shared=shared.of(np.arange(len(originals))[lines]),
            rule=rule,
            keep=keep,
        )
        best = block.ranked()
        best[0] += first
        chunks.append(best)
    line, code, users = np.concatenate(chunks, axis=1)
    parts = similarity_parts(*candidates.alike(originals, line, code), users, rule)
    return Lists(
        owners=originals.ids,
        offsets=np.searchsorted(line, np.arange(len(originals) + 1)),
        items=market.catalogue.ids_at(candidates.rows[code]),
        parts=parts,
        reasons=similarity_reasons(parts),
        sources=np.full(len(line), Source.SIMILAR.code, np.int8),
        recipe=rule.recipe,
        computed_at=market.now,
    )


@attrs.frozen(kw_only=True)
class _Block:
    """A few originals, to rank their candidates."""

    candidates: Candidates
    originals: Originals
    own: Int64s
    shared: _Shared
    rule: SimilarityRule
    keep: int

    def ranked(self) -> Int64s:
        """Return the best pairs in order: rows of lines, codes and shared users."""
        size, rule = len(self.originals), self.rule
        # One of the first may be the original itself.
        line, code = self.candidates.first_alike(self.originals, rule, self.keep + 1)
        scores = self._scores(line, code, np.zeros(len(line), np.int64))
        counted = (scores > rule.threshold) & (code != self.own[line])
        line, code, scores = line[counted], code[counted], scores[counted]
        least = self._least(line, scores)
        counted = scores >= least[line]
        line, code = line[counted], code[counted]

        degree = np.diff(self.shared.by_user.wants.indptr).astype(np.int64)
        no = np.zeros(size, np.bool_)
        most = similarity_scores(no, no, degree, rule)
        # Nothing is near an unknown price.
        near = np.where(self.originals.prices >= 0, rule.price, 0)
        in_others = near + most >= least
        in_category = rule.category + near + most >= least
        in_category &= self.originals.category != NONE
        found = [np.empty((3, 0), np.int64)]
        for product, lines in (
            (self.shared.by_user, np.flatnonzero(in_others)),
            (self.shared.by_group, np.flatnonzero(in_category & ~in_others)),
        ):
            for some in _chunks(product, lines):
                is_here = np.zeros(size, np.bool_)
                is_here[some] = True
                here = is_here[line]
                found.append(self._best(product, some, least, line[here], code[here]))
        best = np.concatenate(found, axis=1)
        return best[:, np.argsort(best[0], kind="stable")]

    def _scores(self, line: Int64s, code: Int64s, users: Int64s) -> Int64s:
        return similarity_scores(
            *self.candidates.alike(self.originals, line, code), users, self.rule
        )

    def _least(self, line: Int64s, scores: Int64s) -> Int64s:
        """Return for each line the score of the last of its best, of those without shared users."""
        rule, size = self.rule, len(self.originals)
        least = np.full(size, rule.threshold + 1)
        better = np.zeros(size, np.int64)
        for score in sorted({rule.category + rule.price, rule.category, rule.price}, reverse=True):
            fewer = better < self.keep
            better += np.bincount(line[scores == score], minlength=size)
            least[fewer & (better >= self.keep)] = score
        return least

    def _best(
        self, product: _Product, lines: Int64s, least: Int64s, more_line: Int64s, more_code: Int64s
    ) -> Int64s:
        """Return the best of the pairs that share a user, and of more pairs, in order."""
        pairs = product.wants[lines] @ product.has
        line = np.repeat(lines, np.diff(pairs.indptr))
        code, users = pairs.indices.astype(np.int64), pairs.data.astype(np.int64)
        # Most pairs that share a user score too little: drop them before sorting.
        counted = self._scores(line, code, users) >= least[line]
        line, code, users = line[counted], code[counted], users[counted]
        width = max(len(self.candidates), 1)
        more = np.flatnonzero(
            ~is_among(more_line * width + more_code, np.sort(line * width + code))
        )
        line, code = np.append(line, more_line[more]), np.append(code, more_code[more])
        users = np.append(users, np.zeros(len(more), np.int64))
        others = np.flatnonzero(code != self.own[line])
        line, code, users = line[others], code[others], users[others]
        scores = self._scores(line, code, users)
        order = _order(line, scores, users, self.candidates.places[code])
        order = order[places_in_runs(line[order]) < self.keep]
        return np.stack([line[order], code[order], users[order]])


def _order(line: Int64s, scores: Int64s, users: Int64s, places: Int64s) -> Int64s:
    """Return the order by line, larger score, more shared users and smaller place."""
    most, width = int(users.max(initial=0)), int(places.max(initial=0)) + 1
    lines = int(line.max(initial=0)) + 1
    if lines * (ONE + 1) * (most + 1) * width >= _LARGEST_KEY:
        return np.lexsort((places, -users, -scores, line))
    # One sort of numbers takes a fifth of the time.
    by_score = line * (ONE + 1) + ONE - scores
    return np.argsort((by_score * (most + 1) + most - users) * width + places)


def _chunks(product: _Product, lines: Int64s) -> Iterator[Int64s]:
    """Yield parts of *lines* whose pairs fit memory, by an upper bound of their number."""
    wants, has = product
    pairs_of_key = np.diff(has.indptr).astype(np.int64)
    bounds = np.append(0, np.cumsum(pairs_of_key[wants.indices]))[wants.indptr]
    ends = np.cumsum(np.diff(bounds)[lines])
    first = 0
    while first < len(lines):
        before = ends[first - 1] if first else 0
        last = int(np.searchsorted(ends, before + _PAIRS_AT_ONCE, "right"))
        last = max(last, first + 1)
        yield lines[first:last]
        first = last
