"""`manage.py reco`: the commands of `angle-reco` on the project's recommender."""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from contextlib import redirect_stdout
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from angle_reco.django.configuration import ConfigurationError
from angle_reco.django.connecting import with_our_command

_APP = "angle_reco.django.connecting:recommender"
_PROGRAM = "manage.py reco"
_COMMANDS = {
    "migrate": "create or upgrade the tables, show their status, or drop them",
    "run": "run jobs now: `run all`, or one by its name",
    "work": "run the jobs when they are due, until stopped",
    "check": "find odd rows in the data",
    "stats": "show counts, ages, and the last run of each job",
}


class Command(BaseCommand):
    """Forwards to the command line of the library."""

    help = "Recommendations: their tables and jobs. The commands are\n\n" + "\n".join(
        f"  {name:8} {text}" for name, text in _COMMANDS.items()
    )
    requires_system_checks = ()
    # These have no effect.
    suppressed_base_arguments = frozenset(
        ("--version", "--verbosity", "--no-color", "--force-color")
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the name of a command, and leave its arguments to it."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = f"Each has options: see `{_PROGRAM} run --help`."
        parser.add_argument("command", choices=_COMMANDS, metavar="command")
        parser.add_argument("arguments", nargs="...", help="of the command, such as `all` of `run`")

    def handle(self, *_: Any, command: str, arguments: list[str], **__: Any) -> None:
        """Run the command.

        Raises:
            CommandError: It failed; the text says why.
        """
        from angle_reco.cli import CommandFailedError, execute

        arguments = _without_options_of_django(arguments)
        if command == "migrate" and not any(not one.startswith("-") for one in arguments):
            arguments = ["up", *arguments]
        self.stdout.ending = ""  # Django would end each part of a line.
        try:
            with redirect_stdout(self.stdout):
                status = execute([command, *arguments], app=_APP, program=_PROGRAM)
        except ConfigurationError as error:
            raise CommandError(f"{error.id}: {error}") from error
        except CommandFailedError as error:
            raise CommandError(with_our_command("\n".join(error.args))) from error
        if status:
            sys.exit(status)


def _without_options_of_django(arguments: list[str]) -> list[str]:
    """Leave out the options that Django has applied already, wherever they are."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("--settings", "--pythonpath"):
        parser.add_argument(name)
    return parser.parse_known_args(arguments)[1]
