"""What tuned weights of `blended` earn on known data: the figures of docs/tune.md.

    python benchmarks/tuning.py DIRECTORY[:CUTS] ... [--peer NAME] ...

A directory is in the import format. The cuts, 6 by default, are 15 days apart; a bid or watch
within 30 days after a cut counts. At each cut the weights are fitted on the three cuts whose
windows have ended by then, which may be earlier than the first of the cuts that are judged;
without any, they are the shipped ones. Whether the weights are kept is not asked.
"""

import argparse
import sys
import tempfile
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
from angle_reco.evaluation.baselines import BASELINES
from angle_reco.evaluation.blended_at import BlendedAt
from angle_reco.evaluation.cuts import Cut, CutRule, cut_moments, cuts_of
from angle_reco.evaluation.harness import judge
from angle_reco.evaluation.history import Evidence, read_history
from angle_reco.evaluation.peers import peers
from angle_reco.evaluation.rankings import Past, Point, Ranking
from angle_reco.evaluation.report import surface_figures
from angle_reco.evaluation.tune import FITTED, SHIPPED, moments_to_fit
from angle_reco.evaluation.tuning import Choices, fitted


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
    """`blended`, with tuned weights or the shipped ones."""

    cuts: Cuts
    is_tuned: bool
    grid: tuple[Point, ...] = ({},)

    @property
    def name(self) -> str:
        """Return the name in the table."""
        return "blended, tuned" if self.is_tuned else BLENDED.name

    def ranked(self, past: Past, users: Int32s, *, point: Point, keep: int) -> Int32s:
        """Return the rows of the homepage of each of *users*."""
        ranker = self.cuts.tuned(past.now) if self.is_tuned else BLENDED
        return self.cuts.at(past.now).ranked(users, ranker, keep=keep)


def main(args: list[str]) -> None:
    """Judge shipped and tuned weights on each directory, and print a table of NDCG@10."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("directories", nargs="+", metavar="DIRECTORY[:CUTS]")
    parser.add_argument("--every", type=float, default=15.0, metavar="DAYS")
    parser.add_argument("--window", type=float, default=30.0, metavar="DAYS")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME")
    options = parser.parse_args(args)
    for one in options.directories:
        directory, _, count = one.partition(":")
        rule = CutRule(
            count=int(count or "6"),
            every=timedelta(days=options.every),
            window=timedelta(days=options.window),
        )
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/tuning.db"
            with storage_at(url, Settings()) as storage:
                import_marketplace(storage, Path(directory))
            with Recommender.connect(url) as recommender:
                compare(recommender, rule, options.peer, directory)


def compare(recommender: Recommender, rule: CutRule, wanted: list[str], source: str) -> None:
    """Print the NDCG@10 of baselines, peers, shipped and tuned weights."""
    ports = recommender.ports
    evidence = Evidence(
        activity=ports.activity,
        catalog=ports.catalog,
        kernels=ports.kernels,
        settings=recommender.settings,
    )
    history = read_history(evidence, until=datetime.now(UTC))
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
    rankings: list[Ranking] = [
        *BASELINES,
        *(one for one in peers() if one.name in wanted),
        Blended(cuts=known, is_tuned=False),
        Blended(cuts=known, is_tuned=True),
    ]
    found = judge(later, rankings, rule=recommender.settings.similarity)
    of_base = surface_figures("homepage", later, found, baseline=BLENDED.name, seed=0)
    print(f"{source}: {of_base.questions:,} questions, {len(later)} cuts")
    for one in of_base.rankers:
        ratio, difference = one.ratio, one.difference
        print(
            f"  {one.name:21} {one.metrics['ndcg'].value:.4f}"
            f" = {ratio.value:.3f} x blended [{ratio.low:.3f}, {ratio.high:.3f}]"
            f", {difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
