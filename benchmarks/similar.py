"""What similar items by the model earn beside those by the rule: figures of docs/decisions.

    python benchmarks/similar.py DIRECTORY[:CUTS] ... [--every DAYS]

A directory is in the import format. At cuts, 40 by default and 7 days apart, a user's first touch
within 7 days opens the page of an item; the items that the user first touches within the next 7
days are right. Both lists are as of the cut.
"""

import argparse
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from angle_reco import Recommender, Settings
from angle_reco.composition import import_marketplace, storage_at
from angle_reco.evaluation.cuts import CutRule, cuts_of
from angle_reco.evaluation.history import Evidence, read_history
from angle_reco.evaluation.next_touches import SIMILAR, SPAN, judge_next
from angle_reco.evaluation.report import surface_figures


def main(args: list[str]) -> None:
    """Judge similar items on each directory, and print the NDCG@10 beside that of the rule."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("directories", nargs="+", metavar="DIRECTORY[:CUTS]")
    parser.add_argument("--every", type=float, default=7.0, metavar="DAYS")
    options = parser.parse_args(args)
    for one in options.directories:
        directory, _, count = one.partition(":")
        every = timedelta(days=options.every)
        rule = CutRule(count=int(count or "40"), every=every, window=2 * SPAN)
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/similar.db"
            with storage_at(url, Settings()) as storage:
                import_marketplace(storage, Path(directory))
            with Recommender.connect(url) as recommender:
                compare(recommender, rule, directory)


def compare(recommender: Recommender, rule: CutRule, source: str) -> None:
    """Print the figures of a marketplace."""
    ports = recommender.ports
    evidence = Evidence(
        activity=ports.activity,
        catalog=ports.catalog,
        kernels=ports.kernels,
        settings=recommender.settings,
    )
    history = read_history(evidence, until=datetime.now(UTC))
    cuts, judged = judge_next(
        evidence,
        cuts_of(evidence, history, rule),
        bids_only=False,
        most=rule.most_users,
        seed=rule.seed,
        with_model=True,
    )
    found = surface_figures("similar items", cuts, judged, baseline=SIMILAR, seed=rule.seed)
    print(f"{source}: {found.questions:,} questions, {len(cuts)} cuts")
    for one in found.rankers:
        ratio = one.ratio
        print(
            f"  {one.name:24} {one.metrics['ndcg'].value:.4f}"
            f" = {ratio.value:.3f} x the rule [{ratio.low:.3f}, {ratio.high:.3f}]"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
