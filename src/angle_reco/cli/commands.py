"""The command `angle-reco`: its group, and the commands that import, run, show state and remove.

Most open a recommender, call it as the system actor, and print the result.
"""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from time import sleep

import rich_click as click

from angle_reco import AngleRecoError
from angle_reco.application.admin import JobStats
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.cli.answers import after_bid, homepage, interests, popular, similar
from angle_reco.cli.checking import show_findings
from angle_reco.cli.demo import show_demo
from angle_reco.cli.evaluating import evaluate
from angle_reco.cli.importing import show_import
from angle_reco.cli.options import (
    Command,
    Target,
    database_named_before,
    named_before,
    on_database,
    parsed_id,
)
from angle_reco.cli.output import (
    console,
    day,
    facts_table,
    minute,
    plain,
    prepare_streams,
    print_json,
    progress,
    remark,
)
from angle_reco.cli.tuning import tune
from angle_reco.errors import BadInputError


class CommandFailedError(Exception):
    """A command failed; each argument is a line that says why."""


def run(args: Sequence[str]) -> int:
    """Run a command and return its exit status: 0, or 2 after printing the errors.

    The command `check` returns 1 when it has findings, and `tune` when its weights are not better.
    """
    try:
        return execute(args)
    except CommandFailedError as failed:
        for line in failed.args:
            print(f"angle-reco: {line}", file=sys.stderr)
        return 2


def execute(args: Sequence[str], *, app: str | None = None, program: str = "angle-reco") -> int:
    """Run a command and return its exit status, as `run` does.

    With *app* commands have no options that say where the data is. *program* is the name in help.

    Raises:
        CommandFailedError: It failed.
    """
    logging.basicConfig(level=logging.ERROR, format="angle-reco: %(message)s")
    prepare_streams()
    words = list(args) or ["--help"]
    try:
        status = angle_reco.main(words, prog_name=program, standalone_mode=False, obj=app)
        sys.stdout.flush()
    except click.ClickException as error:
        raise _failure(error.format_message()) from error
    except BadInputError as error:
        raise _failure(*_lines_of(error)) from error
    except AngleRecoError as error:
        raise _failure(str(error)) from error
    except click.Abort as error:
        raise _failure("stopped") from error
    except (BrokenPipeError, SystemExit):
        # The reader of stdout closed it early (click and rich raise SystemExit then). Python
        # flushes stdout at exit, which must not fail either.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        raise _failure(f"{where}{error.strerror or error}") from error
    return status if isinstance(status, int) else 0


def _failure(*reasons: str) -> CommandFailedError:
    return CommandFailedError(*(plain(" ".join(reason.split())) for reason in reasons))


def _lines_of(error: BadInputError) -> tuple[str, ...]:
    """Return the errors in the files: a line for each described one, then the total."""
    if error.count == 1:
        return (error.first,)
    described = (error.first, *error.others)
    more = error.count - len(described)
    plural = "" if more == 1 else "s"
    which = f"{more:,} more error{plural}" if more else f"{error.count:,} errors"
    return (*described, f"{which}; nothing was stored")


@click.group(context_settings={"help_option_names": ["--help"], "max_content_width": 80})
@click.version_option(package_name="angle-reco", message="angle-reco %(version)s")
@named_before
def angle_reco() -> None:
    """Recommendations for auction sites and marketplaces.

    Start with `angle-reco demo`, or use your own data: `import` a directory of CSV
    files, `run all` jobs, and show a `homepage`. With `--app`, commands work on the
    data of your application.
    """


@angle_reco.command(cls=Command)
@click.option(
    "--database",
    metavar="URL",
    default="sqlite:///angle_reco_demo.db",
    show_default=True,
    help="A new database for it; the file of an earlier demo is replaced.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    metavar="N",
    help="Another seed makes another marketplace.",
)
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Save what the user sees as an SVG picture, too.",
)
def demo(database: str, seed: int, picture: Path | None) -> None:
    """Generate a small auction site and show what it would recommend."""
    show_demo(database_named_before() or database, seed, picture)


@angle_reco.command("import", cls=Command)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--skip-bad-rows", is_flag=True, help="Leave bad rows out and count them.")
@click.option(
    "--replace",
    is_flag=True,
    help="Remove what is there but not in the files, too. Without it nothing is removed.",
)
@on_database(reads=False)
def import_(target: Target, directory: Path, skip_bad_rows: bool, replace: bool) -> None:
    """Import a marketplace from a DIRECTORY of CSV files.

    The directory holds users, items, bids and optionally watches, each a .csv or .csv.gz
    file with a header. The import stores all of it or nothing; repeating it changes
    nothing.
    """
    show_import(target, directory, skip_bad_rows=skip_bad_rows, replace=replace)


for command in (homepage, similar, after_bid, popular, interests, evaluate, tune):
    angle_reco.add_command(command)


@angle_reco.command(cls=Command)
@click.option("--all", "everything", is_flag=True, help="Read every row, however many there are.")
@on_database(reads=False)
def check(target: Target, everything: bool) -> int:
    """Find oddities in the data: rows and values that are not used as stored.

    The exit status is 0 without findings, 1 with findings, 2 after an error.
    """
    return show_findings(target, everything=everything)


@angle_reco.command(cls=Command)
@click.argument("direction", type=click.Choice(["up", "down", "status"]))
@click.option("--yes", is_flag=True, help="With down: yes, drop the tables with all they hold.")
@click.option("--sql", is_flag=True, help="Print the statements instead of running them.")
@on_database(reads=False)
def migrate(target: Target, direction: str, yes: bool, sql: bool) -> None:
    """Create the tables of angle-reco (up), drop them (down), or check them (status).

    The application may be running. If a migration was interrupted, running it again
    completes it.
    """
    with target.storage() as storage:
        if sql:
            if direction == "status":
                raise click.UsageError("--sql goes with up or down")
            statements = storage.migration_sql(is_up=direction == "up")
            if target.as_json:
                print_json({"sql": statements})
            else:
                print(statements, end="")
            return
        if direction == "down":
            if not yes:
                raise click.UsageError(
                    "down drops every table with all it holds: say --yes to do so"
                )
            is_done = storage.migrate_down()
            did = "dropped" if is_done else "nothing to drop"
            if is_done and (stays := storage.stays_after_down) is not None:
                remark(stays)
        elif direction == "up":
            storage.check_host()
            did = "brought up to date" if storage.migrate_up() else "up to date"
        else:
            storage.check()
            did = "up to date"
        revision, _ = storage.revisions()
    if target.as_json:
        print_json({"schema": did, "revision": revision})
    else:
        console().print(f"schema: {did}" + (f" (revision {revision})" if revision else ""))


@angle_reco.command("run", cls=Command)
@click.argument(
    "jobs", nargs=-1, required=True, metavar="JOB...", type=click.Choice([*BATCH_JOBS, "all"])
)
@click.option("--item", metavar="ITEM", help="Similarities of this item alone.")
@click.option("--full", is_flag=True, help="Compute also what cannot have changed.")
@on_database(reads=True)
def run_jobs(target: Target, jobs: tuple[str, ...], item: str | None, *, full: bool) -> None:
    """Run jobs now, one after another; `all` stands for all of them.

    refresh_user_interests, train_models, generate_popular_items, generate_recommendations
    and compute_item_similarities store the results that later calls read.
    """
    names = list(BATCH_JOBS) if "all" in jobs else list(jobs)
    with target.recommender() as recommender, progress() as report:
        kind = recommender.settings.ids.item
        item_id = None if item is None else parsed_id(kind, item, "item id")
        outcomes = [
            recommender.system.run_job(name, item_id=item_id, full=full, progress=report)
            for name in names
        ]
    if target.as_json:
        print_json({"runs": [outcome.to_json() for outcome in outcomes]})
        return
    rows = [
        (
            one.job,
            f"{one.scope:,}",
            f"{one.left:,}",
            f"{one.changed:,}",
            f"{one.unchanged:,}",
            f"{one.removed:,}",
            f"{one.seconds:.1f} s",
        )
        for one in outcomes
    ]
    header = ("job", "for", "left", "changed", "unchanged", "removed", "time")
    console().print(facts_table(header, rows, right=range(1, 7)))


@angle_reco.command("export-user", cls=Command)
@click.argument("user")
@on_database(reads=False)
def export_user(target: Target, user: str) -> None:
    """Print everything stored about USER, as one JSON document.

    Data of your application, such as bids, is not included.
    """
    with target.recommender() as recommender:
        user_id = parsed_id(recommender.settings.ids.user, user, "user id")
        exported = recommender.system.export_user(user_id)
    if exported.is_empty:
        remark(f"nothing is kept about user {user!r}")
    print_json(exported.to_json())


@angle_reco.command("erase-user", cls=Command)
@click.argument("user")
@click.option("--yes", is_flag=True, help="Yes, remove it; this cannot be undone.")
@on_database(reads=False)
def erase_user(target: Target, user: str, yes: bool) -> None:
    """Remove everything stored about USER, permanently.

    Nothing is stored about USER again, not even by a job that is running. Data of your
    application is not changed.
    """
    if not yes:
        raise click.UsageError("erase-user cannot be undone: say --yes to do so")
    with target.recommender() as recommender:
        user_id = parsed_id(recommender.settings.ids.user, user, "user id")
        erased = recommender.system.erase_user(user_id)
    if target.as_json:
        print_json({"removed": erased.to_json()})
        return
    rows = [(name.replace("_", " "), f"{count:,}") for name, count in erased.to_json().items()]
    console().print(facts_table(("removed", ""), rows, right=[1]))


@angle_reco.command(cls=Command)
@on_database(reads=False)
def forget(target: Target) -> None:
    """Clear the cached lists and open items of every process.

    Each process does so when it next reads the change feed: within a second or two, unless
    it is idle. Stored results are not removed.
    """
    with target.recommender() as recommender:
        recommender.system.forget_cached()
    if target.as_json:
        print_json({"published": True})
        return
    remark("published: processes clear their memory within a second or two")


@angle_reco.command(cls=Command)
@on_database(reads=True)
def stats(target: Target) -> None:
    """Show counts, the age of stored results, and the last run of each job."""
    with target.recommender() as recommender:
        taken = recommender.system.stats(patient=True)
    if target.as_json:
        print_json(taken.to_json())
        return
    counts = [
        ("users", f"{taken.users:,}"),
        ("items", f"{taken.items:,}"),
        ("bids", f"{taken.bids:,}"),
        ("watches", f"{taken.watches:,}"),
    ]
    kept = {"interests": taken.interests, **{f"{k} lists": t for k, t in taken.lists.items()}}
    rows = [
        (name, f"{one.owners:,}", f"{one.rows:,}", day(one.newest_at), day(one.covered_at))
        for name, one in kept.items()
    ]
    where = console()
    where.print(facts_table(("marketplace", ""), counts, right=[1]))
    where.print()
    header = ("stored", "for", "rows", "newest", "last complete run")
    where.print(facts_table(header, rows, right=[1, 2]))
    where.print()
    runs = [_run_row(name, job) for name, job in taken.jobs.items()]
    where.print(facts_table(("job", "began", "ended as", "changed", "due next"), runs, right=[3]))
    for name, job in taken.jobs.items():
        if job.last is not None and job.last.error is not None:
            remark(f"{name}: {job.last.error}")
        if job.outcome.get("failed"):
            remark(f"{name}: {job.outcome['failed']:,} left out, first {job.outcome['errors'][0]}")


def _run_row(name: str, job: JobStats) -> tuple[str, ...]:
    return (
        name,
        minute(None if job.last is None else job.last.started_at),
        "–" if job.last is None else job.last.state.value,
        f"{job.outcome['changed']:,}" if job.outcome else "–",
        minute(job.next_at),
    )


@angle_reco.command(cls=Command)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for running jobs before the process stops.",
)
@on_database(reads=False)
def work(target: Target, grace: float) -> None:
    """Run the jobs when they are due, until stopped (SIGTERM or Ctrl-C).

    Any number of workers may run, beside your application or instead of its `start()`:
    each run of a job happens once.
    """
    logging.getLogger("angle_reco").setLevel(logging.INFO)
    signals: list[int] = []
    for name in (signal.SIGTERM, signal.SIGINT):
        # The handler takes no lock: it may interrupt code that already holds that lock.
        signal.signal(name, lambda number, _: signals.append(number))
    with target.recommender() as recommender:
        recommender.start()
        remark("working; stop with Ctrl-C")
        while not signals:
            sleep(0.2)
        is_done = recommender.stop(timedelta(seconds=grace))
    remark("stopped" if is_done else "stopped; a job was left, which another process takes over")
