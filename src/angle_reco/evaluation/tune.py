"""Tuning: weights of `blended` fitted on earlier cuts, and what they earned on later ones."""

from collections.abc import Sequence
from datetime import datetime

import attrs
import numpy as np

from angle_reco.domain.activity import Activity
from angle_reco.domain.arrays import Int32s
from angle_reco.domain.errors import NotMeasurableError
from angle_reco.domain.moments import MICROSECOND, from_micros
from angle_reco.domain.scoring.blended_ranker import BLENDED, Weights, with_weights
from angle_reco.evaluation.blended_at import BlendedAt
from angle_reco.evaluation.bootstrap import Floats, Interval, resampled
from angle_reco.evaluation.cuts import Cut, CutRule, cut_moments, cuts_of
from angle_reco.evaluation.evaluate import FEW_USERS
from angle_reco.evaluation.harness import Progress
from angle_reco.evaluation.history import Evidence, History, read_history
from angle_reco.evaluation.metrics import SHOWN, ndcg_of
from angle_reco.evaluation.report import CutFigures
from angle_reco.evaluation.tuning import Choices, fitted

FITTED = 3
"""The number of cuts that weights are fitted on, at most."""

PERCENT = 90.0
"""Weights are kept if this interval of the difference is above 0, from `FEW_USERS` users on."""

SHIPPED: Weights = tuple((component.name, weight) for component, weight in BLENDED.weights)
"""The weights that `blended` has without tuning."""


@attrs.frozen(kw_only=True)
class DataRead:
    """What a tuning has read: numbers of users with a touch, of touched items and of touches."""

    users: int
    items: int
    bids: int
    watches: int
    first: str
    last: str

    @classmethod
    def of(cls, history: History) -> "DataRead":
        """Return the figures of a history."""
        bids = int(np.count_nonzero(history.touches.kinds == Activity.BID))
        return cls(
            users=len(history.user_ids),
            items=len(history.item_ids),
            bids=bids,
            watches=len(history.touches) - bids,
            first=from_micros(history.first).isoformat(),
            last=from_micros(history.last).isoformat(),
        )


@attrs.frozen(kw_only=True)
class Tuning:
    """Weights that were fitted on some cuts, and judged on later ones.

    No bid and no watch that the fit has seen is later than the first of the *judged* cuts.
    *questions* and *users* are those of the judged cuts, as are the NDCG@10 with the *shipped*
    and the *tuned* weights. The interval of the *difference* is one of `PERCENT`.
    """

    source: str
    seed: int
    window_days: float
    read: DataRead
    fitted: tuple[CutFigures, ...]
    judged: tuple[CutFigures, ...]
    questions: int
    users: int
    weights: Weights
    shipped: Interval
    tuned: Interval
    difference: Interval

    @property
    def is_better(self) -> bool:
        """Return whether the tuned weights are better than the shipped ones, beyond chance."""
        return self.difference.low > 0 and self.users >= FEW_USERS

    @property
    def reason(self) -> str:
        """Return why the weights should be kept or not, as a sentence."""
        low, value = self.difference.low, self.difference.value
        found = (
            f"the tuned weights changed the NDCG@10 on later cuts by {value:+.4f}, and the lower"
            f" end of the {PERCENT:.0f} % interval is {low:+.4f}"
        )
        if low > 0 and self.users < FEW_USERS:
            return f"{found}, but with fewer than {FEW_USERS} users it may be chance"
        return f"{found}: {'above 0' if self.is_better else 'not above 0, so it may be chance'}"

    def to_json(self) -> dict[str, object]:
        """Return the figures for JSON."""
        return {
            "source": self.source,
            "seed": self.seed,
            "window_days": self.window_days,
            "read": attrs.asdict(self.read),
            "fitted": [attrs.asdict(one) for one in self.fitted],
            "judged": [attrs.asdict(one) for one in self.judged],
            "questions": self.questions,
            "users": self.users,
            "shipped_weights": dict(SHIPPED),
            "weights": dict(self.weights),
            "ndcg": {"shipped": self.shipped.to_json(), "tuned": self.tuned.to_json()},
            "difference": self.difference.to_json(),
            "is_better": self.is_better,
            "reason": self.reason,
        }


def tune(
    evidence: Evidence,
    rule: CutRule,
    *,
    until: datetime,
    source: str,
    progress: Progress = lambda what, done, total: None,
) -> Tuning:
    """Return weights fitted on the history up to *until*, and what they are worth.

    The cuts of *rule* judge them. They are fitted on up to `FITTED` earlier cuts, of which the
    last is a window before the first of these.

    Raises:
        NotMeasurableError: The history does not allow it.
        StorageUnavailableError: The store did not answer.
    """
    progress("reading bids and watches", 0, 1)
    history = read_history(evidence, until=until)
    to_judge = cut_moments(history, rule)
    moments = tuple(map(from_micros, (*moments_to_fit(history, rule, to_judge[0]), *to_judge)))
    cuts = cuts_of(evidence, history, attrs.evolve(rule, moments=moments), progress)
    earlier = [cut for cut in cuts if cut.past.now < to_judge[0]]
    later = [cut for cut in cuts if cut.past.now >= to_judge[0]]
    for some, what in ((earlier, "before"), (later, "from")):
        if not some:
            raise NotMeasurableError(
                f"no known user touched a further open item after a cut {what}"
                f" {from_micros(to_judge[0]):%Y-%m-%d %H:%M}: weights need such users both before"
                " and after that moment"
            )
    steps, parts = len(cuts), list[Choices]()
    for place, cut in enumerate(earlier):
        progress("tuning: training models", place, steps)
        at_cut = BlendedAt.of(evidence, cut.past)
        parts.append(at_cut.choices(cut.questions, seed=rule.seed))
    weights = fitted(Choices.joined(parts), SHIPPED)
    figures = dict[str, list[Floats]](shipped=[], tuned=[])
    for place, cut in enumerate(later, start=len(earlier)):
        progress("tuning: comparing weights", place, steps)
        at_cut = BlendedAt.of(evidence, cut.past)
        for name, ranker in (("shipped", BLENDED), ("tuned", with_weights(weights))):
            ranked = at_cut.ranked(cut.questions.users, ranker, keep=SHOWN)
            figures[name].append(ndcg_of(cut, ranked))
    progress("tuning: comparing weights", steps, steps)
    users: Int32s = np.concatenate([cut.questions.users for cut in later])
    found = resampled(users, [np.concatenate(one) for one in figures.values()], seed=rule.seed)
    return Tuning(
        source=source,
        seed=rule.seed,
        window_days=rule.window.total_seconds() / 86_400,
        read=DataRead.of(history),
        fitted=_sizes(earlier),
        judged=_sizes(later),
        questions=len(users),
        users=len(np.unique(users)),
        weights=weights,
        shipped=found.mean(0),
        tuned=found.mean(1),
        difference=found.difference(1, 0, percent=PERCENT),
    )


def moments_to_fit(history: History, rule: CutRule, first: int) -> tuple[int, ...]:
    """Return the cuts whose windows end before the *first* cut that judges, in microseconds.

    Raises:
        NotMeasurableError: The history begins too late.
    """
    window, step = rule.window // MICROSECOND, rule.every // MICROSECOND
    moments = [first - window - step * place for place in reversed(range(FITTED))]
    usable = tuple(moment for moment in moments if moment >= history.first)
    if not usable:
        raise NotMeasurableError(
            f"the history from {from_micros(history.first):%Y-%m-%d %H:%M} is too short to tune:"
            " weights are fitted on a cut, then bids and watches of one window, all of it before"
            f" the first cut that judges them, {from_micros(first):%Y-%m-%d %H:%M}; choose"
            " fewer cuts, closer together, or a shorter window"
        )
    return usable


def _sizes(cuts: Sequence[Cut]) -> tuple[CutFigures, ...]:
    return tuple(
        CutFigures(
            moment=from_micros(cut.past.now).isoformat(),
            open_items=len(cut.past.catalogue),
            questions=len(cut.questions),
        )
        for cut in cuts
    )
