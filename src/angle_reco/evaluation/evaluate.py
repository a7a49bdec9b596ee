"""The whole evaluation: all surfaces of a marketplace, from its ports."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import attrs

from angle_reco.domain.errors import InvalidValueError, NotMeasurableError, one_of
from angle_reco.domain.scoring.blended_ranker import BLENDED
from angle_reco.evaluation.baselines import BASELINES
from angle_reco.evaluation.cuts import Cut, CutRule, cuts_of
from angle_reco.evaluation.harness import Progress, judge
from angle_reco.evaluation.history import Evidence, History, read_history
from angle_reco.evaluation.metrics import SHOWN
from angle_reco.evaluation.next_touches import POPULAR, judge_next
from angle_reco.evaluation.order import split_by_order
from angle_reco.evaluation.peers import Peer
from angle_reco.evaluation.rankings import Ranking
from angle_reco.evaluation.report import Report, SurfaceFigures, surface_figures
from angle_reco.evaluation.settings_rankings import SettingsRanking

HOMEPAGE, ORDER, SIMILAR_ITEMS, AFTER_BID = "homepage", "order", "similar items", "after a bid"
"""The surfaces of a report; `order` is the homepage by the second protocol."""

FEW_USERS = 30
"""Intervals from samples of fewer users than this are too narrow to be relied on."""


@attrs.frozen(kw_only=True)
class Plan:
    """What is to be compared: rankers of the settings by name, all of them if there are none.

    *peers* are compared, too; those that the history is too large for are left out. *baseline*
    is the name of the ranking that the others are compared with. With *order* the second
    protocol is evaluated, too.
    """

    rule: CutRule = attrs.field(factory=CutRule)
    rankers: tuple[str, ...] = ()
    peers: tuple[Peer, ...] = ()
    baseline: str = "popular"
    order: bool = False


def evaluate(
    evidence: Evidence,
    plan: Plan,
    *,
    until: datetime,
    source: str,
    progress: Progress = lambda what, done, total: None,
) -> Report:
    """Return what the rankings of *plan* were worth on the history up to *until*.

    *source* names the data in the report.

    Raises:
        InvalidValueError: A ranker or the baseline is not known.
        NotMeasurableError: The history does not allow a comparison.
        StorageUnavailableError: The store did not answer.
    """
    _rankings(evidence, plan)  # names are checked before anything is read
    progress("reading bids and watches", 0, 1)
    history = read_history(evidence, until=until)
    cuts = cuts_of(evidence, history, plan.rule, progress)
    rule = evidence.settings.similarity
    plan, remarks = _within_limits(plan, cuts)
    judged = judge(cuts, _rankings(evidence, plan), rule=rule, progress=progress)
    seed = plan.rule.seed
    surfaces = [surface_figures(HOMEPAGE, cuts, judged, baseline=plan.baseline, seed=seed)]
    wanted = len(set(plan.rule.moments)) or plan.rule.count
    if len(cuts) < wanted:
        remarks.append(
            f"{len(cuts)} of {wanted} cuts have questions: the others are before the first"
            " bid or watch, or no known user touched a further open item after them"
        )
    if plan.order:
        try:
            surfaces.append(_by_order(evidence, history, plan, progress))
        except NotMeasurableError as error:
            remarks.append(str(error))
    for name, bids_only in ((SIMILAR_ITEMS, False), (AFTER_BID, True)):
        asked, lists = judge_next(
            evidence,
            cuts,
            bids_only=bids_only,
            most=plan.rule.most_users,
            seed=seed,
            with_model=BLENDED.name in (plan.rankers or evidence.settings.rankers),
            progress=progress,
        )
        if asked:
            surfaces.append(surface_figures(name, asked, lists, baseline=POPULAR, seed=seed))
        else:
            remarks.append(
                f"{name}: no user touched an open item within 7 days after a cut, and a further"
                " one within 7 days after that"
            )
    remarks += [one for surface in surfaces for one in _doubts(surface)]
    return Report(
        source=source,
        window_days=plan.rule.window / timedelta(days=1),
        surfaces=tuple(surfaces),
        remarks=tuple(remarks),
    )


def _doubts(surface: SurfaceFigures) -> Iterator[str]:
    """Yield why the figures of *surface* say little, whatever they are."""
    small = sum(1 for one in surface.cuts if one.open_items <= SHOWN)
    if small:
        yield (
            f"{surface.name}: at {small} of {len(surface.cuts)} cuts at most {SHOWN} items were"
            " open, and any ranking shows nearly all of them"
        )
    if surface.users < FEW_USERS:
        users = f"{surface.users} user{'' if surface.users == 1 else 's'}"
        yield (
            f"{surface.name}: with {users}, a difference may be chance even where its interval"
            " says otherwise"
        )


def _by_order(
    evidence: Evidence, history: History, plan: Plan, progress: Progress
) -> SurfaceFigures:
    most, seed = plan.rule.most_users, plan.rule.seed
    reduced, cut = split_by_order(evidence, history, most=most, seed=seed)
    cuts: Sequence[Cut] = (cut,)
    plan, _ = _within_limits(plan, cuts)
    judged = judge(
        cuts, _rankings(reduced, plan), rule=evidence.settings.similarity, progress=progress
    )
    return surface_figures(ORDER, cuts, judged, baseline=plan.baseline, seed=seed)


def _within_limits(plan: Plan, cuts: Sequence[Cut]) -> tuple[Plan, list[str]]:
    """Return *plan* without the peers that refuse the last of *cuts*, the largest; and why."""
    refusals = {one.name: one.refusal(cuts[-1].past) for one in plan.peers}
    kept = tuple(one for one in plan.peers if refusals[one.name] is None)
    return attrs.evolve(plan, peers=kept), [one for one in refusals.values() if one is not None]


def _rankings(evidence: Evidence, plan: Plan) -> tuple[Ranking, ...]:
    known = [*evidence.settings.rankers]
    for name in plan.rankers:
        if name not in known:
            raise InvalidValueError("ranker", name, one_of(known))
    rankings: tuple[Ranking, ...] = (
        *BASELINES,
        *(
            SettingsRanking(evidence=evidence, name=name)
            for name in dict.fromkeys(plan.rankers or evidence.settings.rankers)
        ),
        *plan.peers,
    )
    names = [one.name for one in rankings]
    if len(set(names)) < len(names):
        raise InvalidValueError("names of rankings", names, "distinct")
    if plan.baseline not in names:
        raise InvalidValueError("baseline", plan.baseline, one_of(names))
    return rankings
