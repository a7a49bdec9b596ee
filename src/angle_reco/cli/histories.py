"""The history that `evaluate` and `tune` read, and what their options share."""

import math
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any, TypeAlias

import rich_click as click
from click.core import ParameterSource
from sqlalchemy import make_url

from angle_reco import Recommender, Settings
from angle_reco.cli.apps import load_app
from angle_reco.cli.options import Target
from angle_reco.cli.output import Report, plain
from angle_reco.composition import Ports, import_marketplace, in_snapshot, storage_at

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


class Days(click.FloatRange):
    """A number of days within a range; NaN, which no border excludes, is refused as well."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number; fail if it is none, or not within the range."""
        days: float = super().convert(value, param, ctx)
        if math.isnan(days):
            self.fail(f"{value!r} is no number of days.", param, ctx)
        return days


def days_option(name: str, default: float, help_text: str) -> Decorator:
    """Return the option of a number of days."""
    return click.option(
        name,
        type=Days(0.05, 3_650),
        default=default,
        show_default=True,
        metavar="DAYS",
        help=help_text,
    )


def number_option(name: str, least: int, most: int, default: int, help_text: str) -> Decorator:
    """Return the option of a whole number."""
    return click.option(
        name,
        type=click.IntRange(least, most),
        default=default,
        show_default=True,
        metavar="N",
        help=help_text,
    )


def are_given(*options: str) -> bool:
    """Return whether any of *options* stands on the command line."""
    context: click.Context | None = click.get_current_context()
    return any(
        one is not None and one.get_parameter_source(option) is ParameterSource.COMMANDLINE
        for one in (context, context and context.parent)
        for option in options
    )


@contextmanager
def opened_history(
    target: Target, directory: Path | None, report: Report
) -> Iterator[tuple[Ports, Settings, str]]:
    """Open the data: that of the target in one snapshot, or a directory's in a file for now.

    Settings are those of the application, if there is one.
    """
    if directory is None:
        with target.recommender() as recommender, in_snapshot(recommender.ports) as ports:
            yield ports, recommender.settings, name_of(target)
        return
    settings = Settings()
    if target.app is not None:
        with load_app(target.app) as application:
            settings = application.settings
    # Only the user who runs the command may read the folder.
    with _stopped_as_by_ctrl_c(), tempfile.TemporaryDirectory(prefix="angle_reco_") as folder:
        url = f"sqlite:///{folder}/evaluation.db"
        with storage_at(url, settings) as storage:
            import_marketplace(storage, directory, progress=report)
        with Recommender.connect(url, settings=settings) as recommender:
            # A name that is no UTF-8 could not be written into the page.
            yield recommender.ports, settings, plain(directory.name or directory)


@contextmanager
def _stopped_as_by_ctrl_c() -> Iterator[None]:
    """Let SIGTERM stop the block as Ctrl-C does, so that no temporary file is left."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def name_of(target: Target) -> str:
    """Return the application, or the database without its host, user, password or folder."""
    return target.app or PurePath(make_url(target.database).database or "").name or "the database"
