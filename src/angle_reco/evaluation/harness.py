"""Runs rankings over cuts; the numbers of each are chosen on earlier cuts only."""

from collections.abc import Callable, Sequence

import attrs
import numpy as np

from angle_reco.domain.arrays import Int32s, is_among
from angle_reco.domain.columns import NONE
from angle_reco.domain.scoring.similarity import SimilarityRule
from angle_reco.evaluation.cuts import Cut
from angle_reco.evaluation.metrics import SHOWN, Answered, answered, ndcg_of
from angle_reco.evaluation.rankings import Point, Ranking

Progress = Callable[[str, int, int], None]


@attrs.frozen(kw_only=True)
class Judged:
    """One ranking over all cuts: the point that was used at each, and what it was worth."""

    name: str
    points: tuple[Point, ...]
    answers: tuple[Answered, ...]


def judge(
    cuts: Sequence[Cut],
    rankings: Sequence[Ranking],
    *,
    rule: SimilarityRule,
    progress: Progress = lambda what, done, total: None,
) -> tuple[Judged, ...]:
    """Return what each ranking is worth at each of *cuts*, which are in the order of time.

    At each cut the point of the grid with the largest mean NDCG@10 over all earlier questions
    is used, the earlier point of the grid if equal; at the first cut the first point.
    """
    steps, judged = len(cuts) * len(rankings), []
    for number, ranking in enumerate(rankings):
        points, answers = [], []
        earlier = np.zeros(len(ranking.grid))
        for place, cut in enumerate(cuts):
            progress(f"ranking: {ranking.name}", number * len(cuts) + place, steps)
            chosen = int(earlier.argmax())
            points.append(ranking.grid[chosen])
            answers.append(answered(cut, _ranked(ranking, cut, points[-1]), rule))
            # What the other points would have been worth serves later cuts alone.
            if place < len(cuts) - 1:
                for index, point in enumerate(ranking.grid):
                    earlier[index] += (
                        answers[-1].values["ndcg"].sum()
                        if index == chosen
                        else ndcg_of(cut, _ranked(ranking, cut, point)).sum()
                    )
        judged.append(Judged(name=ranking.name, points=tuple(points), answers=tuple(answers)))
    progress("ranking", steps, steps)
    return tuple(judged)


def _ranked(ranking: Ranking, cut: Cut, point: Point) -> Int32s:
    ranked = ranking.ranked(cut.past, cut.questions.users, point=point, keep=SHOWN)
    return checked(ranking, cut, ranked)


def checked(ranking: Ranking, cut: Cut, ranked: Int32s) -> Int32s:
    """Return *ranked* if each line has distinct rows that may be shown to its user.

    Raises:
        ValueError: The ranking breaks a promise of `Ranking`.
    """
    users, size = cut.questions.users, max(len(cut.past.catalogue), 1)
    if ranked.shape != (len(users), SHOWN):
        raise ValueError(f"{ranking.name} ranked {ranked.shape}, not {(len(users), SHOWN)}")
    if ranked.min(initial=0) < NONE or ranked.max(initial=NONE) >= len(cut.past.catalogue):
        raise ValueError(f"{ranking.name} ranked a row that does not exist")
    keys = np.arange(len(users))[:, None] * size + ranked
    there = keys[ranked != NONE]
    if len(np.unique(there)) < len(there):
        raise ValueError(f"{ranking.name} ranked a row twice for one user")
    places, rows = cut.past.left_out(users)
    if is_among(there, places * size + rows).any():
        raise ValueError(f"{ranking.name} ranked a row that is left out for its user")
    if ((ranked[:, 1:] != NONE) & (ranked[:, :-1] == NONE)).any():
        raise ValueError(f"{ranking.name} left a gap before a row")
    return ranked
