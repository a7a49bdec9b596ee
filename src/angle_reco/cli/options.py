"""What commands have in common: their options, how they are read, and the database behind."""

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import rich_click as click
from click.core import ParameterSource

from angle_reco import IdKind, InvalidValueError, Recommender, Settings
from angle_reco.bootstrap import leaving_unchecked, storage_at
from angle_reco.domain import CLASSIC, check_moment

if TYPE_CHECKING:
    from angle_reco.adapters.sql import Storage

DEFAULT_DATABASE = "sqlite:///angle_reco.db"

_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")

_Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


class Command(click.RichCommand):
    """A command whose arguments may be ids that begin with a dash.

    There are no options of one letter, so `-42` is an id. What begins with two dashes is
    an option, known or mistyped, unless it comes after `--`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {})["ignore_unknown_options"] = True
        super().__init__(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse unknown options, then read *args* as click does."""
        known = {name for option in self.get_params(ctx) for name in option.opts}
        for arg in args[: args.index("--") if "--" in args else None]:
            name = arg.split("=", 1)[0]
            if name.startswith("--") and name not in known:
                raise click.NoSuchOption(name, possibilities=sorted(known), ctx=ctx)
        return super().parse_args(ctx, args)


class Moment(click.ParamType[datetime]):
    """A moment with its time zone, in ISO 8601; a day alone is its beginning in UTC."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the moment that *value* writes."""
        if isinstance(value, datetime):
            return value
        try:
            if _DATE.fullmatch(value):
                return datetime.fromisoformat(value).replace(tzinfo=UTC)
            return check_moment(datetime.fromisoformat(value), "time")
        except ValueError:
            self.fail(
                f"{value!r} is no moment with a time zone, such as 2026-01-31T12:00:00Z",
                param,
                ctx,
            )


@attrs.frozen(kw_only=True)
class Target:
    """What a command works on, as of when, and how it answers.

    That is the host's application, if there is one, else a database with the reference
    schema.
    """

    database: str
    app: str | None = None
    pooler: bool = False
    as_of: datetime | None = None
    ranker: str | None = None
    as_json: bool = False

    @contextmanager
    def recommender(self) -> Iterator[Recommender]:
        """Open the recommender that the command works on."""
        if self.app is not None:
            with load_app(self.app) as application:
                yield application.as_of_moment(self.as_of or application.as_of, ranker=self.ranker)
            return
        # A process that answers once keeps nothing.
        settings = Settings(
            cache_enabled=False, ranker=CLASSIC.name if self.ranker is None else self.ranker
        )
        with Recommender.connect(
            self.database, settings=settings, pooler=self.pooler, as_of=self.as_of
        ) as recommender:
            yield recommender

    @contextmanager
    def storage(self) -> Iterator["Storage"]:
        """Open the database behind it, ready or not."""
        if self.app is None:
            with storage_at(self.database, Settings(), pooler=self.pooler) as storage:
                yield storage
            return
        with leaving_unchecked():
            application = load_app(self.app)
        with application:
            if application.storage is None:
                raise InvalidValueError("app", self.app, "one whose data is in a database")
            yield application.storage


def load_app(path: str) -> Recommender:
    """Return the host's recommender, given as `module:name`.

    Raises:
        InvalidValueError: There is no such thing, or it is no recommender.
    """
    expected = "module:name of a Recommender, or of a function without arguments that returns one"
    module_name, _, name = path.partition(":")
    if not module_name or module_name.startswith(".") or not name:
        raise InvalidValueError("app", path, expected)
    # As with `python -m`: what is in the directory at hand can be imported.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # a module that the application itself misses
        raise InvalidValueError("app", path, f"{expected}: no module {error.name!r}") from None
    for part in name.split("."):
        if not hasattr(found, part):
            raise InvalidValueError("app", path, f"{expected}: no {part!r} in it")
        found = getattr(found, part)
    if not isinstance(found, Recommender) and callable(found):
        try:
            inspect.signature(found).bind()
        except (TypeError, ValueError):
            raise InvalidValueError("app", path, f"{expected}: {name!r} is none") from None
        found = found()
    if not isinstance(found, Recommender):
        raise InvalidValueError("app", path, f"{expected}, not a {type(found).__name__}")
    return found


def _chosen(app: str | None) -> str | None:
    """Return the application to work on; a database named on the command line goes first.

    Raises:
        click.UsageError: Both are named there.
    """
    context = click.get_current_context()
    named = [
        context is not None and context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        for name in ("app", "database")
    ]
    if all(named):
        raise click.UsageError("--app and --database say where the data is: name one of them")
    return None if named[1] else app


def on_database(*, reads: bool) -> _Decorator:
    """Give a command the options of `Target`, and hand it one as its first argument."""
    options = [
        click.option(
            "--app",
            envvar="ANGLE_RECO_APP",
            show_envvar=True,
            metavar="MODULE:NAME",
            help="Your application's Recommender, or a function that returns it: work on its"
            " data, with its settings.",
        ),
        click.option(
            "--database",
            envvar="ANGLE_RECO_DATABASE",
            default=DEFAULT_DATABASE,
            show_default=True,
            show_envvar=True,
            metavar="URL",
            help="Without --app: the database to work on, with the reference schema.",
        ),
        click.option(
            "--pooler",
            is_flag=True,
            envvar="ANGLE_RECO_POOLER",
            show_envvar=True,
            help="Without --app: the database is behind a pooler of transactions, as PgBouncer.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Answer in JSON."),
    ]
    if reads:
        options += [
            click.option(
                "--as-of",
                type=Moment(),
                metavar="TIME",
                help="Read and score as at that moment, such as 2026-01-31T12:00:00Z or"
                " 2026-01-31 (its beginning, in UTC): nothing later exists.",
            ),
            click.option(
                "--ranker", metavar="NAME", help="Rank homepages with this one, such as classic."
            ),
        ]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        def with_target(
            app: str | None,
            database: str,
            pooler: bool,
            as_json: bool,
            as_of: datetime | None = None,
            ranker: str | None = None,
            **others: Any,
        ) -> Any:
            target = Target(
                app=_chosen(app),
                database=database,
                pooler=pooler,
                as_of=as_of,
                ranker=ranker,
                as_json=as_json,
            )
            return command(target, **others)

        with_target.__name__, with_target.__doc__ = command.__name__, command.__doc__
        with_target.__dict__.update(command.__dict__)
        decorated: Callable[..., Any] = with_target
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


def limit_option(default: int | None, most: int) -> _Decorator:
    """Give a command the option `--limit`."""
    shown = "all" if default is None else str(default)
    return click.option(
        "--limit",
        type=int,
        default=default,
        metavar="N",
        help=f"Show at most so many, 1 to {most:,}. [default: {shown}]",
    )


def parsed_id(kind: IdKind, text: str, what: str) -> Any:
    """Return the id that an argument writes.

    Raises:
        InvalidValueError: It writes none of that kind.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidValueError(what, text, "text in UTF-8") from None
    return kind.parse(text, what)
