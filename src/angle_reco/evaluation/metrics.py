"""How good a ranking was, question by question."""

from typing import TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from angle_reco.domain.arrays import Bools, Int32s, Int64s, frozen, is_among, starts_of_runs
from angle_reco.domain.columns import NONE
from angle_reco.domain.millionths import ONE
from angle_reco.domain.scoring.similarity import SimilarityRule, prices_near, similarity_scores
from angle_reco.evaluation.cuts import Cut, Questions
from angle_reco.evaluation.rankings import Past

Floats: TypeAlias = npt.NDArray[np.float64]

SHOWN = 10
"""How many items are shown: nothing beyond the tenth counts for any metric."""

METRICS = ("ndcg", "recall", "mrr", "hit", "served", "novelty", "similarity")
"""The metrics that are means over questions."""


@attrs.frozen(kw_only=True)
class Answered:
    """What one ranking was worth at one cut: a value a question for each metric.

    A value is NaN for a question that a metric does not apply to: *novelty* without an item
    shown, *similarity* with fewer than two. *hit_targets* are the targets, of all questions,
    that were shown; *shown* has the distinct rows that were shown to any user asked.
    """

    values: dict[str, Floats]
    hit_targets: Bools = attrs.field(converter=frozen)
    shown: Int32s = attrs.field(converter=frozen)


def answered(cut: Cut, ranked: Int32s, rule: SimilarityRule) -> Answered:
    """Return what *ranked* is worth: a line of rows for each question, NONE behind the last."""
    past, questions = cut.past, cut.questions
    shown = ranked[:, :SHOWN]
    hits = are_targets(questions, shown, len(past.catalogue))
    return Answered(
        values={
            "ndcg": ndcg(hits, questions.sizes),
            "recall": recall(hits, questions.sizes),
            "mrr": reciprocal_ranks(hits),
            "hit": have_any(hits),
            "served": have_any(shown != NONE),
            "novelty": novelty(shown, self_information(past)),
            "similarity": intra_list_similarity(shown, past, rule),
        },
        hit_targets=targets_hit(questions, shown, len(past.catalogue)),
        shown=np.unique(shown[shown != NONE]),
    )


def ndcg_of(cut: Cut, ranked: Int32s) -> Floats:
    """Return the NDCG@10 of each question alone."""
    hits = are_targets(cut.questions, ranked[:, :SHOWN], len(cut.past.catalogue))
    return ndcg(hits, cut.questions.sizes)


def are_targets(questions: Questions, ranked: Int32s, rows: int) -> Bools:
    """Return which places of *ranked* hold a target of their question."""
    lines = np.arange(len(questions), dtype=np.int64)
    wanted = np.repeat(lines, questions.sizes) * rows + questions.targets
    keys = lines[:, None] * rows + ranked
    found: Bools = is_among(keys.ravel(), wanted).reshape(ranked.shape) & (ranked != NONE)
    return found


def targets_hit(questions: Questions, shown: Int32s, rows: int) -> Bools:
    """Return which targets are among the rows *shown* for their question."""
    lines = np.arange(len(questions), dtype=np.int64)
    wanted = np.repeat(lines, questions.sizes) * rows + questions.targets
    there = (lines[:, None] * rows + shown)[shown != NONE]
    return is_among(wanted, np.sort(there))


def ndcg(hits: Bools, sizes: Int64s) -> Floats:
    """Return the normalised discounted cumulative gain of each question, 0 to 1.

    With binary gains: `Σ 1/log2(rank + 1)` over the hits, divided by the same sum for targets
    at the first places, as many as there are or as are shown. Järvelin and Kekäläinen,
    "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4), 2002.

    One of two targets, at the second of ten places:

    >>> hits = np.zeros((1, 10), np.bool_)
    >>> hits[0, 1] = True
    >>> ndcg(hits, np.array([2])).round(4).tolist()
    [0.3869]
    """
    places = hits.shape[1]
    gains = 1 / np.log2(np.arange(2, places + 2))
    best = np.cumsum(gains)
    found: Floats = (hits @ gains) / best[np.minimum(sizes, places) - 1]
    return found


def recall(hits: Bools, sizes: Int64s) -> Floats:
    """Return the share of each question's targets that are among the items shown.

    With more targets than places it cannot reach 1.
    """
    found: Floats = hits.sum(axis=1) / sizes
    return found


def reciprocal_ranks(found: Bools) -> Floats:
    """Return 1 / rank of each question's first hit, 0 without one.

    Its mean is the MRR: Voorhees, "The TREC-8 question answering track report", 1999.
    """
    first = found.argmax(axis=1)
    ranks: Floats = np.where(found.any(axis=1), 1 / (first + 1), 0.0)
    return ranks


def have_any(places: Bools) -> Floats:
    """Return 1 for each line with a place that holds, else 0."""
    some: Floats = np.where(places.any(axis=1), 1.0, 0.0)
    return some


def self_information(past: Past) -> Floats:
    """Return the self-information of each row, in bits: how surprising it is that it is known.

    `-log2((n + 1) / (N + 1))`, where n of the N users with a past touched the item. After
    Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems",
    PNAS 107(10), 2010; the 1 keeps items without a touch finite.
    """
    users, items = past.touched_pairs
    fans = np.bincount(items, minlength=len(past.item_ids))[past.open_items]
    # Pairs are ordered by user.
    everybody = len(starts_of_runs(users))
    bits: Floats = -np.log2((fans + 1) / (everybody + 1))
    return bits


def novelty(shown: Int32s, bits: Floats) -> Floats:
    """Return the mean self-information of the items shown, NaN if none are."""
    is_shown = shown != NONE
    sums = np.where(is_shown, np.append(bits, 0.0)[shown], 0.0).sum(axis=1)
    return _divided(sums, is_shown.sum(axis=1))


def intra_list_similarity(shown: Int32s, past: Past, rule: SimilarityRule) -> Floats:
    """Return the mean similarity of the pairs of items shown, NaN with fewer than two.

    The similarity is the project's rule without shared users: the weights of *rule* for the
    same category and for near prices, as a fraction. After Ziegler et al., "Improving
    recommendation lists through topic diversification", WWW 2005, as a mean.
    """
    catalogue, sums = past.catalogue, np.zeros(len(shown), np.int64)
    category = np.append(catalogue.category, np.int32(NONE))
    price = np.append(catalogue.prices, -1)
    for one in range(shown.shape[1]):
        for other in range(one + 1, shown.shape[1]):
            left, right = shown[:, one], shown[:, other]
            same = (category[left] == category[right]) & (category[left] != NONE)
            near = prices_near(price[left], price[right])
            nothing = np.zeros(len(shown), np.int64)
            worth = similarity_scores(same, near, nothing, rule)
            sums += np.where((left != NONE) & (right != NONE), worth, 0)
    count = (shown != NONE).sum(axis=1)
    return _divided(sums / ONE, count * (count - 1) // 2)


def _divided(sums: Floats, counts: Int64s) -> Floats:
    quotients: Floats = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return quotients
