"""The command `evaluate`: judge rankings on a history, and print what they were worth."""

import math
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import rich_click as click

from angle_reco.cli.histories import are_given, days_option, number_option, opened_history
from angle_reco.cli.options import Command, Moment, Target, on_database
from angle_reco.cli.output import console, facts_table, plain, print_json, progress, remark
from angle_reco.evaluation.bootstrap import Interval
from angle_reco.evaluation.cuts import CutRule
from angle_reco.evaluation.evaluate import Plan
from angle_reco.evaluation.evaluate import evaluate as evaluate_rankings
from angle_reco.evaluation.history import Evidence
from angle_reco.evaluation.page import page
from angle_reco.evaluation.peers import peers as peers_of_literature
from angle_reco.evaluation.report import RankerFigures, Report, SurfaceFigures


@click.command(cls=Command)
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option(
    "--ranker",
    "rankers",
    multiple=True,
    metavar="NAME",
    help="A ranker of the settings; may be repeated. [default: all of them]",
)
@click.option(
    "--peers",
    is_flag=True,
    help="Also compare with ALS, BM25, cosine, EASE and RP3beta, published recommenders. Needs the"
    " extra angle-reco[peers], and takes several times as long.",
)
@click.option(
    "--baseline",
    default="popular",
    show_default=True,
    metavar="NAME",
    help="The ranking of homepages that the others are compared with.",
)
@number_option("--cuts", 1, 1_000, 6, "How many moments of the past to look ahead from.")
@days_option("--every", 15.0, "The time between two cuts.")
@days_option("--window", 30.0, "How long after a cut a bid or watch counts, for homepages.")
@click.option(
    "--cut",
    "moments",
    type=Moment(),
    multiple=True,
    metavar="TIME",
    help="Look ahead from this moment, such as 2026-01-31T12:00:00Z or 2026-01-31 (its beginning,"
    " in UTC), rather than as --cuts and --every say; may be repeated.",
)
@click.option(
    "--until",
    type=Moment(),
    metavar="TIME",
    help="Leave out later bids and watches. [default: now]",
)
@number_option(
    "--users", 1, 10_000_000, 10_000, "Ask at most so many users at a cut, drawn by the seed."
)
@number_option(
    "--seed",
    0,
    2**32 - 1,
    0,
    "Draws the users and the samples of the intervals; the same seed, the same figures.",
)
@click.option(
    "--order",
    is_flag=True,
    help="Also hold back the last 20 % of each user's items, for data whose times mean little.",
)
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a page with plots, too.",
)
@on_database(reads=False)
def evaluate(
    target: Target,
    directory: Path | None,
    rankers: tuple[str, ...],
    peers: bool,
    baseline: str,
    cuts: int,
    every: float,
    window: float,
    moments: tuple[datetime, ...],
    until: datetime | None,
    users: int,
    seed: int,
    order: bool,
    html: Path | None,
) -> None:
    """Measure what rankings are worth, on a DIRECTORY as for `import` or on the database.

    At several moments of the past each ranking sees only what was known then, and is
    compared with what users bid on and watched next. Nothing stored is changed. With a
    DIRECTORY, --app lends its settings and rankers.
    """
    if moments and are_given("cuts", "every"):
        raise click.UsageError("--cut says when to look ahead: leave out --cuts and --every")
    plan = Plan(
        rule=CutRule(
            count=cuts,
            every=timedelta(days=every),
            window=timedelta(days=window),
            moments=moments,
            most_users=users,
            seed=seed,
        ),
        rankers=rankers,
        peers=peers_of_literature() if peers else (),
        baseline=baseline,
        order=order,
    )
    _show(target, directory, plan, until=until, html=html)


def _show(
    target: Target,
    directory: Path | None,
    plan: Plan,
    *,
    until: datetime | None,
    html: Path | None,
) -> None:
    """Evaluate the rankings of *plan* on a directory, or on the target, and print the figures.

    Raises:
        click.UsageError: Both a directory and a database are named, or the page cannot be written.
    """
    if directory is not None and are_given("database"):
        raise click.UsageError("DIRECTORY and --database say where the data is: name one of them")
    if html is not None:
        # Before the work rather than after it.
        _check_writable(html)
    until = datetime.now(UTC) if until is None else until
    with (
        progress() as report,
        opened_history(target, directory, report) as (ports, settings, source),
    ):
        evidence = Evidence(
            activity=ports.activity,
            catalog=ports.catalog,
            kernels=ports.kernels,
            settings=settings,
        )
        found = evaluate_rankings(evidence, plan, until=until, source=source, progress=report)
    for one in found.remarks:
        remark(one)
    if target.as_json:
        print_json(found.to_json())
    else:
        _print_report(found)
    if html is not None:
        html.write_text(page(found), "utf-8")


def _check_writable(html: Path) -> None:
    """Refuse a file that could not be written, or whose folder does not exist.

    Raises:
        click.UsageError: It is such a file.
    """
    written = html.resolve()
    if not written.parent.is_dir():
        raise click.UsageError(f"the folder of {html} does not exist")
    if written.is_dir() or not os.access(written if written.exists() else written.parent, os.W_OK):
        raise click.UsageError(f"{html} cannot be written")


def _print_report(report: Report) -> None:
    where = console()
    for surface in report.surfaces:
        where.print(_heading(surface))
        for header, row in ((_GOOD, _good), (_BEYOND, _beyond)):
            rows = [row(one, surface) for one in surface.rankers]
            where.print(facts_table(header, rows, right=range(1, len(header))))
        where.print()


_GOOD = ("", "NDCG@10", "95 %", "× base", "95 %", "hit")
_BEYOND = ("", "recall", "MRR", "served", "shown", "bits", "similar")


def _heading(surface: SurfaceFigures) -> str:
    return plain(
        f"{surface.name}: {_counted(surface.questions, 'question')} of"
        f" {_counted(surface.users, 'user')}, {_counted(len(surface.cuts), 'cut')};"
        f" baseline: {surface.baseline}"
    )


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _good(one: RankerFigures, surface: SurfaceFigures) -> tuple[str, ...]:
    ndcg, is_base = one.metrics["ndcg"], one.name == surface.baseline
    return (
        plain(one.name),
        _figure(ndcg.value, 4),
        _borders(ndcg, 3),
        "1" if is_base else _figure(one.ratio.value, 2),
        "" if is_base else _borders(one.ratio, 2),
        f"{100 * one.metrics['hit'].value:.1f} %",
    )


def _beyond(one: RankerFigures, _: SurfaceFigures) -> tuple[str, ...]:
    metrics = one.metrics
    return (
        plain(one.name),
        f"{metrics['recall'].value:.3f}",
        f"{metrics['mrr'].value:.3f}",
        f"{100 * metrics['served'].value:.1f} %",
        f"{100 * one.coverage:.1f} %",
        _figure(metrics["novelty"].value, 1),
        _figure(metrics["similarity"].value, 2),
    )


def _borders(figure: Interval, digits: int) -> str:
    if math.isnan(figure.low):
        return "–"
    return f"{figure.low:.{digits}f}–{figure.high:.{digits}f}"


def _figure(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
