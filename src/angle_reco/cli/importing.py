"""The command `import`: import a directory, and print what will and did change."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from angle_reco.cli.options import Target
from angle_reco.cli.output import console, facts_table, print_json, progress, remark
from angle_reco.composition import import_marketplace

if TYPE_CHECKING:
    from angle_reco.adapters.sql.importing.directory import ImportOutcome
    from angle_reco.adapters.sql.importing.removing import Removal


def show_import(target: Target, directory: Path, *, skip_bad_rows: bool, replace: bool) -> None:
    """Import a directory and print the row counts.

    Raises:
        click.UsageError: *replace* and *skip_bad_rows* are both set.
    """
    if replace and skip_bad_rows:
        raise click.UsageError(
            "--replace goes without --skip-bad-rows: a row that is left out would count as gone"
        )
    with target.storage() as storage, progress() as report:
        outcome = import_marketplace(
            storage,
            directory,
            skip_bad_rows=skip_bad_rows,
            replace=replace,
            before_removal=_remark_removal,
            progress=report,
        )
    for row in outcome.bad_rows:
        remark(f"left out: {row}")
    for warning in outcome.warnings:
        remark(f"warning: {warning}")
    if target.as_json:
        print_json(outcome.to_json())
    else:
        _print_counts(outcome)


def _remark_removal(removal: "Removal") -> None:
    """Print the row counts of the database, and how many rows are about to be removed."""
    there, gone = (
        ", ".join(f"{name} {count:,}" for name, count in counts.items() if count) or "nothing"
        for counts in (removal.there, removal.removed)
    )
    remark(f"in the database: {there}")
    remark(f"not in the files, to be removed: {gone}")


def _print_counts(outcome: "ImportOutcome") -> None:
    removed = {} if outcome.replaced is None else outcome.replaced.removed
    header = ["", "new", "updated", "unchanged", "bad rows"]
    rows = [
        [name, *(f"{count:,}" for count in (one.new, one.updated, one.unchanged, one.bad))]
        for name, one in outcome.files.items()
    ]
    if removed:
        header.append("removed")
        for row in rows:
            row.append(f"{removed[row[0]]:,}")
        # Stored results about removed users and items, and watches without a file.
        rows += [
            [name, *[""] * 4, f"{count:,}"]
            for name, count in removed.items()
            if count and name not in outcome.files
        ]
    console().print(facts_table(header, rows, right=range(1, len(header))))
