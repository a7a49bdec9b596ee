"""The kernels with compiled loops, on threads; they need the extra `fast`."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import attrs
import numpy as np

from angle_reco.adapters.kernels import NumpyKernels
from angle_reco.adapters.kernels.blended_pages import Learned
from angle_reco.adapters.kernels.candidates import SCANNED, ByPrice, Candidates
from angle_reco.adapters.kernels.compiling import compiled, on_threads, usable_cores
from angle_reco.adapters.kernels.fast_pages import compiled_pages, rank_on_threads
from angle_reco.adapters.kernels.favourite_pages import Favourites, compiled_favourites
from angle_reco.adapters.kernels.similar_arguments import (
    BOTH,
    CATEGORY,
    PRICE,
    Fans,
    Found,
    Items,
    PriceIndex,
    Space,
    Weights,
)
from angle_reco.domain.arrays import Int32s, Int64s
from angle_reco.domain.lists import Lists
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.ranking import Ranker
from angle_reco.domain.scoring.similarity import (
    Engagement,
    SimilarityRule,
    similarity_reasons,
    similarity_scores,
)
from angle_reco.domain.suggestions import Source
from angle_reco.domain.validators import whole
from angle_reco.ports.kernels import Similarities

_ROWS_AT_ONCE = 256
_PAIRS_WORTH_COMPILING = 100_000
_PAGES_WORTH_COMPILING = 1_000
_PAGES_OF_FAVOURITES_WORTH_COMPILING = 5_000
"""As many as a job asks for at once: numpy takes 20 µs for each."""
_MOST_PAIRS = 2**31 - 1
_BITS = 63
_BITS_OF_A_SCORE = 20


@attrs.frozen(kw_only=True)
class FastKernels(NumpyKernels):
    """`NumpyKernels`, but compiled loops rank similar items and homepages.

    These run on *threads* threads. Fewer than *least_pairs* bids and watches, *least_pages*
    homepages at once by a trained model, or *least_of_favourites* others, are not worth compiling
    for, and neither is a ranker with a component of a host. Where the loops cannot be compiled,
    numpy ranks, with the same results.
    """

    threads: int = attrs.field(factory=usable_cores)
    least_pairs: int = _PAIRS_WORTH_COMPILING
    least_pages: int = _PAGES_WORTH_COMPILING
    least_of_favourites: int = _PAGES_OF_FAVOURITES_WORTH_COMPILING

    def __attrs_post_init__(self) -> None:
        whole(self.threads, "threads", least=1, most=1_000)
        whole(self.least_pairs, "least_pairs", least=0, most=_MOST_PAIRS)
        whole(self.least_pages, "least_pages", least=0, most=_MOST_PAIRS)
        whole(self.least_of_favourites, "least_of_favourites", least=0, most=_MOST_PAIRS)

    @property
    def is_degraded(self) -> bool:
        """Return whether this process needed the compiled loops, and could not compile them."""
        return any(
            one.cache_info().currsize > 0 and one() is None
            for one in (compiled_loops, compiled_pages, compiled_favourites)
        )

    def similarities(
        self, market: OpenMarket, engagement: Engagement, *, rule: SimilarityRule, keep: int
    ) -> Similarities:
        bits = _BITS_OF_A_SCORE + _bits_of_a_place(len(market)) + _bits_of_users(engagement)
        if self.least_pairs <= len(engagement.users) <= _MOST_PAIRS and bits <= _BITS:
            loops = compiled_loops()
            if loops is not None:
                return _CompiledSimilarities.of_engagement(
                    market, engagement, rule, keep, loops=loops, threads=self.threads
                )
        return super().similarities(market, engagement, rule=rule, keep=keep)

    def homepages(
        self, market: OpenMarket, profiles: Profiles, *, ranker: Ranker, keep: int
    ) -> Lists:
        if len(profiles) >= self.least_pages:
            learned = Learned.of(market, profiles.by_excluded_user, ranker)
            loop = None if learned is None else compiled_pages()
            if learned is not None and loop is not None:
                pages = rank_on_threads(learned, keep, loop=loop, threads=self.threads)
                return learned.lists(pages)
        if len(profiles) >= self.least_of_favourites:
            favourites = Favourites.of(market, profiles, ranker)
            of_favourites = None if favourites is None else compiled_favourites()
            if favourites is not None and of_favourites is not None:
                return favourites.lists(keep, loop=of_favourites, threads=self.threads)
        return super().homepages(market, profiles, ranker=ranker, keep=keep)


class Loops(NamedTuple):
    """The compiled functions of the module `loops`."""

    fans_of: Callable[[Int32s, Int64s, Int32s, int], Fans]
    rank: Callable[[Items, Fans, Weights, Int64s, Int64s, Space, Found], None]


@cache
def compiled_loops() -> Loops | None:
    """Return the compiled loops for similar items, None if they cannot be compiled."""
    return compiled(_compiled)


def _compiled(is_cached: bool) -> Loops:
    import numba

    from angle_reco.adapters.kernels import loops

    compiled = Loops(
        fans_of=numba.njit(nogil=True, cache=is_cached)(loops.fans_of),
        rank=numba.njit(nogil=True, cache=is_cached)(loops.rank),
    )
    # numba compiles at the first call. All others have arguments of the same types.
    codes = np.arange(2)
    two = Candidates(
        rows=codes,
        code_of_row=codes,
        category=np.zeros(2, np.int32),
        prices=np.zeros(2, np.int64),
        places=codes,
        in_tie_order=codes,
        starts=np.array([0, 2]),
    )
    users = np.zeros(2, np.int32)
    _Ranker.of(two, users, codes, SimilarityRule(), 1, loops=compiled, threads=1).ranked(codes)
    return compiled


@attrs.frozen(kw_only=True)
class _CompiledSimilarities:
    """`Similarities` by compiled loops."""

    market: OpenMarket
    candidates: Candidates
    ranker: "_Ranker"
    rule: SimilarityRule

    @classmethod
    def of_engagement(
        cls,
        market: OpenMarket,
        engagement: Engagement,
        rule: SimilarityRule,
        keep: int,
        *,
        loops: Loops,
        threads: int,
    ) -> "_CompiledSimilarities":
        candidates = Candidates.of(market)
        codes, users = candidates.code_of_row[engagement.places], engagement.users.copy()
        ranker = _Ranker.of(candidates, users, codes, rule, keep, loops=loops, threads=threads)
        return cls(market=market, candidates=candidates, ranker=ranker, rule=rule)

    def of(self, rows: Int64s) -> Lists:
        found = self.ranker.ranked(self.candidates.code_of_row[rows])
        offsets = np.append(0, np.cumsum(found.lengths))
        codes, parts, scores, reasons = found[:4]
        if offsets[-1] < codes.size:
            used = np.arange(self.ranker.keep) < found.lengths[:, None]
            codes, parts, scores, reasons = codes[used], parts[used], scores[used], reasons[used]
        return Lists(
            owners=self.market.catalogue.ids_at(rows),
            offsets=offsets,
            items=self.market.catalogue.ids_at(self.candidates.rows[codes.ravel()]),
            parts=parts.reshape(-1, 3),
            scores=scores.ravel(),
            reasons=reasons.ravel(),
            sources=np.full(offsets[-1], Source.SIMILAR.code, np.int8),
            recipe=self.rule.recipe,
            computed_at=self.market.now,
        )


@attrs.frozen(kw_only=True)
class _Ranker:
    """The arguments of the loops, but for the items to rank for."""

    items: Items
    fans: Fans
    weights: Weights
    keep: int
    loops: Loops
    threads: int

    @classmethod
    def of(
        cls,
        candidates: Candidates,
        users: Int32s,
        codes: Int64s,
        rule: SimilarityRule,
        keep: int,
        *,
        loops: Loops,
        threads: int,
    ) -> "_Ranker":
        """Prepare candidates with pairs of users and codes, in any order."""
        user_bits = int(np.bincount(codes).max(initial=0)).bit_length()
        return cls(
            items=_items(candidates, rule, keep),
            fans=loops.fans_of(users, codes, candidates.category, int(users.max(initial=-1)) + 1),
            weights=_weights(rule, keep, _bits_of_a_place(len(candidates)), user_bits),
            keep=keep,
            loops=loops,
            threads=threads,
        )

    def ranked(self, codes: Int64s) -> Found:
        """Return the lists of *codes*."""
        found = Found.of(len(codes), self.keep)
        # What is read for items of one category is close together.
        order = np.argsort(codes)
        parts = (
            order[first : first + _ROWS_AT_ONCE] for first in range(0, len(codes), _ROWS_AT_ONCE)
        )

        def start() -> Callable[[Int64s], None]:
            space = Space.of(len(self.items.prices), self.keep)
            return lambda lines: self.loops.rank(
                self.items, self.fans, self.weights, codes, lines, space, found
            )

        on_threads(self.threads, "angle-reco-similar", parts, start)
        return found


def _items(candidates: Candidates, rule: SimilarityRule, keep: int) -> Items:
    scanned = SCANNED[-1] * (keep + 1)
    largest = int(np.diff(candidates.starts).max(initial=0))
    # Scanning suffices for small categories.
    of_category = candidates.by_category_and_price if largest > scanned else None
    is_price_enough = rule.price > rule.threshold and len(candidates) > scanned
    of_all = candidates.by_price if is_price_enough else None
    return Items(
        category=candidates.category,
        prices=candidates.prices,
        places=candidates.places,
        in_tie_order=candidates.in_tie_order,
        starts=candidates.starts,
        of_category=_price_index(of_category, candidates.prices),
        of_all=_price_index(of_all, candidates.prices[candidates.in_tie_order]),
    )


def _price_index(by_price: ByPrice | None, prices: Int64s) -> PriceIndex:
    nothing = np.empty(0, np.int64)
    if by_price is None:
        return PriceIndex(nothing, np.empty((1, 0), np.int32), nothing)
    minima = by_price.minima
    return PriceIndex(prices[minima.levels[0]], minima.levels, minima.place_of)


def _weights(rule: SimilarityRule, keep: int, place_bits: int, user_bits: int) -> Weights:
    alike = np.array([rule.category + rule.price, rule.category, rule.price, 0])
    kinds = [one for one in (BOTH, CATEGORY, PRICE) if alike[one] > rule.threshold]
    users = np.arange(rule.enough_shared + 1)
    no = np.zeros(len(users), np.bool_)
    return Weights(
        alike=alike,
        kinds=np.array(sorted(kinds, key=lambda one: -alike[one]), np.int64),
        shared=similarity_scores(no, no, users, rule),
        reasons=similarity_reasons(np.eye(3, dtype=np.int32)),
        threshold=rule.threshold,
        scanned=SCANNED[-1] * (keep + 1),
        place_bits=place_bits,
        user_bits=user_bits,
    )


def _bits_of_a_place(size: int) -> int:
    return max(size - 1, 0).bit_length()


def _bits_of_users(engagement: Engagement) -> int:
    return int(np.bincount(engagement.places).max(initial=0)).bit_length()
