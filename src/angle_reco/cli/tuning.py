"""The command `tune`: fit the weights of `blended` to the host's own data, and store them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import attrs
import rich_click as click

from angle_reco import Recommender
from angle_reco.cli.histories import (
    are_given,
    days_option,
    name_of,
    number_option,
    opened_history,
)
from angle_reco.cli.options import Command, Target, on_database
from angle_reco.cli.output import (
    console,
    day,
    facts_table,
    plain,
    print_json,
    progress,
    remark,
)
from angle_reco.composition import Ports, in_snapshot
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.millionths import ONE
from angle_reco.domain.scoring.blended_ranker import with_weights
from angle_reco.evaluation.cuts import CutRule
from angle_reco.evaluation.history import Evidence
from angle_reco.evaluation.report import CutFigures
from angle_reco.evaluation.tune import PERCENT, SHIPPED, Tuning
from angle_reco.evaluation.tune import tune as tune_weights
from angle_reco.ports.models import TunedWeights
from angle_reco.settings import AUTO, Settings

BETTER, NOT_BETTER = 0, 1
"""The exit statuses; an error exits with 2, as in every command."""


@click.command(cls=Command)
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@number_option(
    "--cuts",
    1,
    1_000,
    3,
    "How many moments of the past judge the weights, which are fitted before the first.",
)
@days_option("--every", 15.0, "The time between two cuts.")
@days_option("--window", 30.0, "How long after a cut a bid or watch counts.")
@number_option(
    "--users", 1, 10_000_000, 5_000, "Ask at most so many users at a cut, drawn by the seed."
)
@number_option(
    "--seed",
    0,
    2**32 - 1,
    0,
    "Draws the users, the items they are said to have chosen from, and the samples of the"
    " interval; the same seed, the same weights.",
)
@click.option("--dry-run", is_flag=True, help="Store nothing.")
@click.option("--show", is_flag=True, help="Print the stored weights, and tune nothing.")
@click.option(
    "--undo", is_flag=True, help="Remove the stored weights: the shipped ones count again."
)
@on_database(reads=False)
def tune(
    target: Target,
    directory: Path | None,
    cuts: int,
    every: float,
    window: float,
    users: int,
    seed: int,
    dry_run: bool,
    show: bool,
    undo: bool,
) -> int:
    """Fit the weights of the ranker blended to your data, and store them if they are better.

    They are fitted at earlier moments of the past, and compared with the shipped weights
    at later ones. If they are better there, beyond chance, they are stored, and pages use
    them; else nothing is stored, and the exit status is 1. With a DIRECTORY, as for
    `import`, nothing is stored.
    """
    if show or undo:
        _refuse_others(directory, show=show, undo=undo)
        return _show_stored(target) if show else _undo(target)
    if directory is not None and are_given("database"):
        raise click.UsageError("DIRECTORY and --database say where the data is: name one of them")
    rule = CutRule(
        count=cuts,
        every=timedelta(days=every),
        window=timedelta(days=window),
        most_users=users,
        seed=seed,
    )
    if directory is not None:
        tuning = _tuned_on_directory(target, directory, rule)
        if not dry_run:
            remark("nothing is stored: a directory has no place for weights, a database has")
        return _print(target, tuning, is_stored=False)
    with target.recommender() as recommender:
        tuning = _tuned_on_database(target, recommender, rule)
        is_kept = tuning.is_better and not dry_run
        if is_kept and recommender.storage is None:
            remark("nothing is stored: the application keeps its data in memory")
            is_kept = False
        _remark_on_stored(recommender, is_kept=is_kept)
        if is_kept:
            recommender.ports.models.write_weights(
                TunedWeights(
                    version=uuid4().hex,
                    weights=dict(tuning.weights),
                    tuned_at=datetime.now(UTC),
                    figures=tuning.to_json(),
                )
            )
    return _print(target, tuning, is_stored=is_kept)


def _refuse_others(directory: Path | None, *, show: bool, undo: bool) -> None:
    """Refuse what goes neither with `--show` nor with `--undo`.

    Raises:
        click.UsageError: A directory or another option is given.
    """
    if directory is not None:
        raise click.UsageError("--show and --undo go with a database, which stores the weights")
    others = ("cuts", "every", "window", "users", "seed", "dry_run")
    if (show and undo) or are_given(*others):
        raise click.UsageError("--show and --undo go without each other, and without tuning")


def _tuned_on_directory(target: Target, directory: Path, rule: CutRule) -> Tuning:
    with progress() as report, opened_history(target, directory, report) as opened:
        ports, settings, source = opened
        return tune_weights(
            _evidence(ports, settings),
            rule,
            until=datetime.now(UTC),
            source=source,
            progress=report,
        )


def _tuned_on_database(target: Target, recommender: Recommender, rule: CutRule) -> Tuning:
    """Tune on one snapshot, which has ended when weights are stored."""
    with progress() as report, in_snapshot(recommender.ports) as ports:
        return tune_weights(
            _evidence(ports, recommender.settings),
            rule,
            until=datetime.now(UTC),
            source=name_of(target),
            progress=report,
        )


def _evidence(ports: Ports, settings: Settings) -> Evidence:
    return Evidence(
        activity=ports.activity, catalog=ports.catalog, kernels=ports.kernels, settings=settings
    )


def _remark_on_stored(recommender: Recommender, *, is_kept: bool) -> None:
    """Remark what happens to weights that are stored, and when new ones have no effect."""
    model, old = recommender.ports.models.trained()
    if old is not None:
        happens = "are replaced" if is_kept else "stay; --undo removes them"
        remark(f"the weights tuned at {day(old.tuned_at)} {happens}")
    if not is_kept:
        return
    if recommender.settings.ranker != AUTO:
        remark(
            f"pages use tuned weights with the ranker {AUTO}, but the settings name"
            f" {recommender.settings.ranker}"
        )
    elif model is None:
        remark("pages use the weights as soon as the job train_models has stored a model")


def _print(target: Target, tuning: Tuning, *, is_stored: bool) -> int:
    if target.as_json:
        print_json({"is_stored": is_stored, **tuning.to_json()})
    else:
        _print_tables(tuning)
        said = (
            "stored"
            if is_stored
            else "not stored, though better"
            if tuning.is_better
            else "not stored"
        )
        console().print(plain(f"{said}: {tuning.reason}"))
    return BETTER if tuning.is_better else NOT_BETTER


def _print_tables(tuning: Tuning) -> None:
    where, read = console(), tuning.read
    facts = [
        ("read", f"{read.bids:,} bids and {read.watches:,} watches"),
        ("", f"of {read.users:,} users on {read.items:,} items"),
        ("from", f"{_minute(read.first)} to {_minute(read.last)}"),
        ("fitted at", _moments(tuning.fitted)),
        ("judged at", _moments(tuning.judged)),
        ("questions", f"{tuning.questions:,} of {tuning.users:,} users"),
    ]
    where.print(facts_table(("", plain(tuning.source)), facts))
    where.print()
    rows = [
        (name, f"{old / ONE:.3f}", f"{new / ONE:.3f}", f"{(new - old) / ONE:+.3f}")
        for (name, old), (_, new) in zip(SHIPPED, tuning.weights, strict=True)
    ]
    where.print(facts_table(("component", "shipped", "tuned", "change"), rows, right=(1, 2, 3)))
    where.print()
    figures = [
        ("shipped", tuning.shipped, "95 %", ""),
        ("tuned", tuning.tuned, "95 %", ""),
        ("difference", tuning.difference, f"{PERCENT:.0f} %", "+"),
    ]
    lines = [
        (name, f"{one.value:{sign}.4f}", f"{one.low:{sign}.4f} to {one.high:{sign}.4f}", percent)
        for name, one, percent, sign in figures
    ]
    where.print(facts_table(("weights", "NDCG@10", "interval", ""), lines, right=(1, 2)))
    where.print()


def _moments(cuts: tuple[CutFigures, ...]) -> str:
    """Return the days of some cuts, or the first and the last of many."""
    days = [one.moment[:10] for one in cuts]
    if len(days) > _MOST_SHOWN:
        return f"{days[0]} to {days[-1]}, {len(days)} cuts"
    return ", ".join(days)


_MOST_SHOWN = 4


def _minute(moment: str) -> str:
    return day(datetime.fromisoformat(moment))


def _show_stored(target: Target) -> int:
    with target.recommender() as recommender:
        stored = recommender.ports.models.trained().weights
    problem = None if stored is None else _problem_of(stored)
    if problem is not None:
        remark(f"the stored weights cannot be used, and the shipped ones count: {problem}")
    if target.as_json:
        shown = None if stored is None else {**attrs.asdict(stored), "problem": problem}
        if shown is not None and stored is not None:
            shown["tuned_at"] = stored.tuned_at.isoformat()
        print_json({"stored": shown})
    elif stored is None:
        console().print("no weights are stored: the shipped ones count")
    else:
        console().print(f"tuned at {day(stored.tuned_at)}")
        rows = [
            (plain(name), plain(weight), f"{dict(SHIPPED).get(name, 0)}")
            for name, weight in stored.weights.items()
        ]
        header = ("component", "millionths", "shipped")
        console().print(facts_table(header, rows, right=(1, 2)))
        if "reason" in stored.figures:
            console().print(plain(stored.figures["reason"]))
    return BETTER


def _problem_of(stored: TunedWeights) -> str | None:
    try:
        with_weights(stored.pairs)
    except InvalidValueError as error:
        return str(error)
    return None


def _undo(target: Target) -> int:
    with target.recommender() as recommender:
        models = recommender.ports.models
        stored = models.trained().weights
        models.write_weights(None)
    if target.as_json:
        print_json({"is_removed": stored is not None})
    elif stored is None:
        console().print("no weights were stored")
    else:
        console().print(f"removed: the weights tuned at {day(stored.tuned_at)}")
    return BETTER
