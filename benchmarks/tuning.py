"""What tuned weights of `blended` earn on known data: the figures of docs/tune.md.

    python benchmarks/tuning.py DIRECTORY[:CUTS] ... [--order | --others] [--peer NAME] ...

A directory is in the import format. The cuts, 6 by default, are 15 days apart; a bid or watch
within 30 days after a cut counts. At each cut the weights are fitted on the three cuts whose
windows have ended by then, which may be earlier than the first of the cuts that are judged;
without any, they are the shipped ones. Whether the weights are kept is not asked.

With --order, it asks for the last 20 % of each user's items instead; the weights are fitted on the
last 20 % of what is left.

With --others, the weights are fitted on all cuts of the other directories, from equal weights: the
directory that is judged has no part in them.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs

from angle_reco import Recommender, Settings
from angle_reco.composition import import_marketplace, storage_at
from angle_reco.domain.arrays import Int32s
from angle_reco.domain.millionths import ONE
from angle_reco.domain.moments import MICROSECOND, from_micros
from angle_reco.domain.scoring.blended_ranker import BLENDED, with_weights
from angle_reco.domain.scoring.ranking import Ranker
from angle_reco.domain.scoring.similarity import SimilarityRule
from angle_reco.evaluation.baselines import BASELINES
from angle_reco.evaluation.blended_at import BlendedAt
from angle_reco.evaluation.cuts import Cut, CutRule, cut_moments, cuts_of
from angle_reco.evaluation.harness import judge
from angle_reco.evaluation.history import Evidence, History, read_history
from angle_reco.evaluation.order import split_by_order
from angle_reco.evaluation.peers import peers
from angle_reco.evaluation.rankings import Past, Point, Ranking
from angle_reco.evaluation.report import surface_figures
from angle_reco.evaluation.tune import FITTED, SHIPPED, moments_to_fit
from angle_reco.evaluation.tuning import Choices, fitted

EQUAL = tuple((name, ONE // len(SHIPPED) if weight else 0) for name, weight in SHIPPED)
"""The components that are shipped with a weight, each with the same one."""


@attrs.frozen(kw_only=True)
class Cuts:
    """The cuts of a history, with what is computed once for each."""

    evidence: Evidence
    cuts: dict[int, Cut]
    window: int
    _at: dict[int, BlendedAt] = attrs.field(factory=dict, init=False)
    _choices: dict[int, Choices] = attrs.field(factory=dict, init=False)

    def at(self, now: int) -> BlendedAt:
        """Return `blended` at a cut."""
        if now not in self._at:
            self._at[now] = BlendedAt.of(self.evidence, self.cuts[now].past)
        return self._at[now]

    def choices(self, now: int) -> Choices:
        """Return what users chose from at a cut."""
        if now not in self._choices:
            self._choices[now] = self.at(now).choices(self.cuts[now].questions, seed=0)
        return self._choices[now]

    def tuned(self, now: int) -> Ranker:
        """Return `blended` with weights fitted on the cuts whose windows have ended."""
        over = [one for one in self.cuts if one + self.window <= now][-FITTED:]
        if not over:
            return BLENDED
        weights = fitted(Choices.joined([self.choices(one) for one in over]), SHIPPED)
        shown = ", ".join(f"{name} {weight / ONE:.2f}" for name, weight in weights)
        print(f"{from_micros(now):%Y-%m-%d}: {shown}", file=sys.stderr)
        return with_weights(weights)


@attrs.frozen(kw_only=True)
class Blended:
    """`blended` with the weights of a ranker at each cut."""

    name: str
    cuts: Cuts
    ranker_at: Callable[[int], Ranker]
    grid: tuple[Point, ...] = ({},)

    def ranked(self, past: Past, users: Int32s, *, point: Point, keep: int) -> Int32s:
        """Return the rows of the homepage of each of *users*."""
        return self.cuts.at(past.now).ranked(users, self.ranker_at(past.now), keep=keep)


def main(args: list[str]) -> None:
    """Judge shipped and tuned weights on each directory, and print a table of NDCG@10."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("directories", nargs="+", metavar="DIRECTORY[:CUTS]")
    parser.add_argument("--every", type=float, default=15.0, metavar="DAYS")
    parser.add_argument("--window", type=float, default=30.0, metavar="DAYS")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--order", action="store_true", help="the last 20 %% of each user")
    which.add_argument("--others", action="store_true", help="weights of the other directories")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME")
    options = parser.parse_args(args)
    fitted_on: dict[str, Choices] = {}
    for directory, rule in rules_of(options) if options.others else ():
        with evidence_of(directory) as (evidence, history):
            cuts, (known, _) = by_cuts(evidence, history, rule)
            fitted_on[directory] = Choices.joined(
                [known.cuts.choices(one.past.now) for one in cuts]
            )
    for directory, rule in rules_of(options):
        with evidence_of(directory) as (evidence, history):
            if options.order:
                found = by_order(evidence, history, rule)
            else:
                found = by_cuts(evidence, history, rule)
            cuts, (shipped, tuned) = found
            if options.others:
                others = [choices for name, choices in fitted_on.items() if name != directory]
                tuned = of_others(tuned, others)
            rule_of_items = evidence.settings.similarity
            compare(cuts, (shipped, tuned), rule_of_items, options.peer, directory)


def rules_of(options: argparse.Namespace) -> Iterator[tuple[str, CutRule]]:
    """Yield each directory and its cuts."""
    for one in options.directories:
        directory, _, count = one.partition(":")
        yield (
            directory,
            CutRule(
                count=int(count or "6"),
                every=timedelta(days=options.every),
                window=timedelta(days=options.window),
            ),
        )


@contextmanager
def evidence_of(directory: str) -> Iterator[tuple[Evidence, History]]:
    """Import a directory, and yield what is known of it."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/tuning.db"
        with storage_at(url, Settings()) as storage:
            import_marketplace(storage, Path(directory))
        with Recommender.connect(url) as recommender:
            ports = recommender.ports
            evidence = Evidence(
                activity=ports.activity,
                catalog=ports.catalog,
                kernels=ports.kernels,
                settings=recommender.settings,
            )
            yield evidence, read_history(evidence, until=datetime.now(UTC))


def by_cuts(
    evidence: Evidence, history: History, rule: CutRule
) -> tuple[list[Cut], tuple[Blended, Blended]]:
    """Return the cuts that judge, and `blended` with shipped and with tuned weights."""
    judged = cut_moments(history, rule)
    fit = moments_to_fit(history, rule, judged[0])
    moments = tuple(map(from_micros, (*fit, *judged)))
    cuts = cuts_of(evidence, history, attrs.evolve(rule, moments=moments))
    known = Cuts(
        evidence=evidence,
        cuts={cut.past.now: cut for cut in cuts},
        window=rule.window // MICROSECOND,
    )
    later = [cut for cut in cuts if cut.past.now >= judged[0]]
    return later, both(known, known.tuned)


def by_order(
    evidence: Evidence, history: History, rule: CutRule
) -> tuple[list[Cut], tuple[Blended, Blended]]:
    """Return the same for the last 20 % of each user's items."""
    most, seed = rule.most_users, rule.seed
    rest, cut = split_by_order(evidence, history, most=most, seed=seed)
    of_rest = read_history(rest, until=from_micros(history.last))
    reduced, earlier = split_by_order(rest, of_rest, most=most, seed=seed)
    fit, known = (
        Cuts(evidence=read, cuts={one.past.now: one}, window=0)
        for read, one in ((reduced, earlier), (rest, cut))
    )
    tuned = with_weights(fitted(fit.choices(earlier.past.now), SHIPPED))
    return [cut], both(known, lambda now: tuned)


def both(cuts: Cuts, tuned: Callable[[int], Ranker]) -> tuple[Blended, Blended]:
    """Return `blended` with shipped and with tuned weights."""
    return (
        Blended(name=BLENDED.name, cuts=cuts, ranker_at=lambda now: BLENDED),
        Blended(name="blended, tuned", cuts=cuts, ranker_at=tuned),
    )


def of_others(blended: Blended, choices: Sequence[Choices]) -> Blended:
    """Return `blended` with the weights that other histories alone would have."""
    ranker = with_weights(fitted(Choices.joined(choices), EQUAL))
    return attrs.evolve(blended, name="blended, others", ranker_at=lambda now: ranker)


def compare(
    cuts: list[Cut],
    blended: tuple[Blended, Blended],
    rule: SimilarityRule,
    wanted: list[str],
    source: str,
) -> None:
    """Print the NDCG@10 of baselines, peers, shipped and tuned weights."""
    rankings: list[Ranking] = [
        *BASELINES,
        *(one for one in (peers() if wanted else ()) if one.name in wanted),
        *blended,
    ]
    found = judge(cuts, rankings, rule=rule)
    of_base = surface_figures("homepage", cuts, found, baseline=BLENDED.name, seed=0)
    print(f"{source}: {of_base.questions:,} questions, {len(cuts)} cuts")
    for one in of_base.rankers:
        ratio, difference = one.ratio, one.difference
        print(
            f"  {one.name:21} {one.metrics['ndcg'].value:.4f}"
            f" = {ratio.value:.3f} x blended [{ratio.low:.3f}, {ratio.high:.3f}]"
            f", {difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
