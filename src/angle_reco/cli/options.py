"""The options that commands share, how they are parsed, and the data they select."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import rich_click as click
from click.core import ParameterSource

from angle_reco import IdKind, InvalidValueError, Recommender, Settings
from angle_reco.cli.apps import load_app
from angle_reco.composition import leaving_unchecked, storage_at
from angle_reco.domain.moments import check_moment
from angle_reco.settings import AUTO

if TYPE_CHECKING:
    from angle_reco.adapters.sql.storage import Storage

DEFAULT_DATABASE = "sqlite:///angle_reco.db"

_OF_DATA = ("app", "database", "pooler")

_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")

_Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


class Command(click.RichCommand):
    """A command whose arguments may be ids that begin with a dash.

    There are no one-letter options, so `-42` is an id. A word that begins with two dashes
    is an option, known or mistyped, unless it comes after `--`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {})["ignore_unknown_options"] = True
        super().__init__(*args, **kwargs)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters, without those of the data if the caller of `run` names it."""
        found = super().get_params(ctx)
        return found if ctx.obj is None else [one for one in found if one.name not in _OF_DATA]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse *args* as click does, after refusing unknown options.

        Raises:
            click.NoSuchOption: An option is unknown.
        """
        known = {name for option in self.get_params(ctx) for name in option.opts}
        for arg in args[: args.index("--") if "--" in args else None]:
            name = arg.split("=", 1)[0]
            if name.startswith("--") and name not in known:
                raise click.NoSuchOption(name, possibilities=sorted(known), ctx=ctx)
        return super().parse_args(ctx, args)


class Moment(click.ParamType[datetime]):
    """A moment with a time zone, in ISO 8601; a date alone is midnight UTC."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the moment that *value* denotes; fail if it has no time zone."""
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
    """The data a command works on, as of which moment, and its output format.

    The data is that of the host's application *app*, or without one a database with the
    reference schema.
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
        # A process that answers a single call gains nothing from a cache.
        settings = Settings(
            cache_enabled=False, ranker=AUTO if self.ranker is None else self.ranker
        )
        with Recommender.connect(
            self.database, settings=settings, pooler=self.pooler, as_of=self.as_of
        ) as recommender:
            yield recommender

    @contextmanager
    def storage(self) -> Iterator["Storage"]:
        """Open the database the command works on, even if its tables are not up to date.

        Raises:
            InvalidValueError: The application's data is not in a database.
        """
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


def named_before(group: Callable[[], None]) -> Callable[..., None]:
    """Add the options `--app` and `--database` to the group of commands.

    Given before a command, they work as if they came after it.
    """

    @click.option("--app", metavar="MODULE:NAME", help="Your application, as after a command.")
    @click.option("--database", metavar="URL", help="The database, as after a command.")
    def with_options(app: str | None, database: str | None) -> None:
        # Commands read these values from the context of the group, see `_named`.
        del app, database
        group()

    with_options.__doc__ = group.__doc__
    return with_options


def database_named_before() -> str | None:
    """Return the `--database` given before the command, for a command that takes no `--app`.

    Raises:
        click.UsageError: `--database` is also given after the command, or `--app` is given.
    """
    before, after = _named(click.get_current_context())
    if "app" in before:
        raise click.UsageError("this command works on no application: leave --app out")
    _refuse_twice(before, after)
    return before.get("database")


def _named(context: click.Context | None) -> tuple[dict[str, str], dict[str, str]]:
    """Return the options `app` and `database` given before the command, and those after it."""
    return _written(None if context is None else context.parent), _written(context)


def _written(context: click.Context | None) -> dict[str, str]:
    if context is None:
        return {}
    return {
        name: context.params[name]
        for name in ("app", "database")
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }


def _refuse_twice(before: dict[str, str], after: dict[str, str]) -> None:
    for name in before.keys() & after.keys():
        raise click.UsageError(f"--{name} is named before the command and after it: name it once")


def _chosen(app: str | None, database: str) -> tuple[str | None, str]:
    """Return the application and the database; the command line overrides the environment.

    The application that the caller of `run` names overrides both.

    Raises:
        click.UsageError: The command line gives both, or one of them twice.
    """
    context = click.get_current_context()
    if context is not None and context.obj is not None:
        return context.obj, database
    before, after = _named(context)
    _refuse_twice(before, after)
    written = before | after
    if len(written) > 1:
        raise click.UsageError("--app and --database say where the data is: name one of them")
    if "database" in written:
        return None, written["database"]
    return written.get("app", app), database


def on_database(*, reads: bool) -> _Decorator:
    """Add the options of `Target` to a command, and pass it a target as its first argument.

    A command that *reads* recommendations also gets `--as-of` and `--ranker`.
    """
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
            help="Without --app: the database is behind a pooler in transaction mode (PgBouncer).",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
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
            app: str | None = None,
            database: str = DEFAULT_DATABASE,
            pooler: bool = False,
            as_json: bool = False,
            as_of: datetime | None = None,
            ranker: str | None = None,
            **others: Any,
        ) -> Any:
            app, database = _chosen(app, database)
            target = Target(
                app=app,
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
    """Add the option `--limit` to a command."""
    shown = "all" if default is None else str(default)
    return click.option(
        "--limit",
        type=int,
        default=default,
        metavar="N",
        help=f"Show at most so many, 1 to {most:,}. [default: {shown}]",
    )


after_option = click.option(
    "--after", metavar="CURSOR", help="Show the page after the one with this `next` (see --json)."
)


def parsed_id(kind: IdKind, text: str, what: str) -> Any:
    """Return the id that the argument *text* denotes.

    Raises:
        InvalidValueError: The text is not an id of that kind, or not valid UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidValueError(what, text, "text in UTF-8") from None
    return kind.parse(text, what)
