"""The figures of an evaluation, as values and for JSON."""

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from angle_reco.domain.arrays import Int32s
from angle_reco.domain.columns import NONE
from angle_reco.domain.moments import from_micros
from angle_reco.evaluation.bootstrap import Floats, Interval, resampled
from angle_reco.evaluation.cuts import Cut
from angle_reco.evaluation.harness import Judged
from angle_reco.evaluation.metrics import METRICS
from angle_reco.evaluation.rankings import Point

SEGMENTS = {"0": (0, 0), "1": (1, 1), "2-4": (2, 4), "5-19": (5, 19), "20+": (20, 2**31)}
"""Groups of users by the number of distinct items that they had touched, borders included."""

NO_CATEGORY = "(none)"
_MOST_CATEGORIES = 50


@attrs.frozen(kw_only=True)
class CategoryFigures:
    """The targets in one category, and the share of them among the items shown."""

    category: str
    targets: int
    recall: float


@attrs.frozen(kw_only=True)
class RankerFigures:
    """The figures of one ranking on one surface.

    *metrics* are means over questions, *segments* the NDCG@10 by how much users had touched.
    *ratio* and *difference* compare the
    NDCG@10 with that of the baseline. *points* are the numbers used at each cut.
    """

    name: str
    metrics: Mapping[str, Interval]
    coverage: float
    ratio: Interval
    difference: Interval
    segments: Mapping[str, Interval]
    categories: tuple[CategoryFigures, ...]
    points: tuple[Point, ...]

    def to_json(self) -> dict[str, object]:
        """Return the figures for JSON."""
        return {
            "name": self.name,
            **{name: one.to_json() for name, one in self.metrics.items()},
            "coverage": self.coverage,
            "ratio": self.ratio.to_json(),
            "difference": self.difference.to_json(),
            "segments": {name: one.to_json() for name, one in self.segments.items()},
            "categories": [attrs.asdict(one) for one in self.categories],
            "points": [dict(point) for point in self.points],
        }


@attrs.frozen(kw_only=True)
class CutFigures:
    """The size of one cut: its moment, open items, and questions."""

    moment: str
    open_items: int
    questions: int


@attrs.frozen(kw_only=True)
class SurfaceFigures:
    """One surface: the questions asked on it, and the rankings compared; *baseline* is one."""

    name: str
    questions: int
    users: int
    targets: int
    baseline: str
    cuts: tuple[CutFigures, ...]
    segment_sizes: Mapping[str, int]
    rankers: tuple[RankerFigures, ...]

    def to_json(self) -> dict[str, object]:
        """Return the figures for JSON."""
        return {
            "name": self.name,
            "questions": self.questions,
            "users": self.users,
            "targets": self.targets,
            "baseline": self.baseline,
            "cuts": [attrs.asdict(one) for one in self.cuts],
            "questions_by_segment": dict(self.segment_sizes),
            "rankers": [one.to_json() for one in self.rankers],
        }


@attrs.frozen(kw_only=True)
class Report:
    """All surfaces of an evaluation, and remarks on what could not be measured."""

    source: str
    surfaces: tuple[SurfaceFigures, ...]
    remarks: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Return the report for JSON."""
        return {
            "source": self.source,
            "surfaces": [one.to_json() for one in self.surfaces],
            "remarks": list(self.remarks),
        }


def surface_figures(
    name: str, cuts: Sequence[Cut], judged: Sequence[Judged], *, baseline: str, seed: int
) -> SurfaceFigures:
    """Return the figures of one surface, with intervals from resampled users."""
    questions = [cut.questions for cut in cuts]
    users: Int32s = np.concatenate([one.users for one in questions])
    touched: Int32s = np.concatenate([one.touched for one in questions])
    segments = {
        label: (touched >= least) & (touched <= most) for label, (least, most) in SEGMENTS.items()
    }
    columns: list[Floats] = []
    for one in judged:
        columns += [
            np.concatenate([answer.values[metric] for answer in one.answers]) for metric in METRICS
        ]
        ndcg = columns[-len(METRICS) + METRICS.index("ndcg")]
        columns += [np.where(mask, ndcg, np.nan) for mask in segments.values()]
    width = len(METRICS) + len(segments)
    found = resampled(users, columns, seed=seed)
    base = [one.name for one in judged].index(baseline) * width + METRICS.index("ndcg")
    rankers = []
    for place, one in enumerate(judged):
        first = place * width
        own = first + METRICS.index("ndcg")
        rankers.append(
            RankerFigures(
                name=one.name,
                metrics={metric: found.mean(first + index) for index, metric in enumerate(METRICS)},
                coverage=_coverage(cuts, one),
                ratio=found.ratio(own, base),
                difference=found.difference(own, base),
                segments={
                    label: found.mean(first + len(METRICS) + index)
                    for index, label in enumerate(segments)
                },
                categories=_by_category(cuts, one),
                points=one.points,
            )
        )
    return SurfaceFigures(
        name=name,
        questions=len(users),
        users=len(np.unique(users)),
        targets=sum(len(one.targets) for one in questions),
        baseline=baseline,
        cuts=tuple(
            CutFigures(
                moment=from_micros(cut.past.now).isoformat(),
                open_items=len(cut.past.catalogue),
                questions=len(cut.questions),
            )
            for cut in cuts
        ),
        segment_sizes={label: int(np.count_nonzero(mask)) for label, mask in segments.items()},
        rankers=tuple(rankers),
    )


def _coverage(cuts: Sequence[Cut], judged: Judged) -> float:
    """Return the share of the open items that were shown to any user asked, a mean over cuts."""
    shares = [
        len(answer.shown) / len(cut.past.catalogue)
        for cut, answer in zip(cuts, judged.answers, strict=True)
    ]
    return sum(shares) / len(shares)


def _by_category(cuts: Sequence[Cut], judged: Judged) -> tuple[CategoryFigures, ...]:
    """Return the recall of targets by category, those with most targets first."""
    targets: dict[str, int] = {}
    hits: dict[str, int] = {}
    for cut, answer in zip(cuts, judged.answers, strict=True):
        catalogue = cut.past.catalogue
        names = [*map(str, catalogue.categories.ids), NO_CATEGORY]
        codes = catalogue.category[cut.questions.targets]
        # The code NONE is the last place.
        codes = np.where(codes == NONE, len(names) - 1, codes)
        of_all = np.bincount(codes, minlength=len(names))
        of_hits = np.bincount(codes[answer.hit_targets], minlength=len(names))
        for place in np.flatnonzero(of_all).tolist():
            targets[names[place]] = targets.get(names[place], 0) + int(of_all[place])
            hits[names[place]] = hits.get(names[place], 0) + int(of_hits[place])
    listed = sorted(targets, key=lambda name: (-targets[name], name))[:_MOST_CATEGORIES]
    return tuple(
        CategoryFigures(category=name, targets=targets[name], recall=hits[name] / targets[name])
        for name in listed
    )
