"""`manage.py reco`: the commands of `angle-reco` on the project's recommender."""

import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from angle_reco.django.configuration import ConfigurationError

_APP = "angle_reco.django.connecting:recommender"
_COMMANDS = ("migrate", "run", "work", "check", "stats")


class Command(BaseCommand):
    """Forwards to the command line of the library."""

    help = "Recommendations: migrate the tables, run jobs, work as their process, check, stats."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the name of a command, and leave its arguments to it."""
        parser.add_argument("command", choices=_COMMANDS)
        parser.add_argument("arguments", nargs="...", help="such as `run all`, `migrate up`")

    def handle(self, *_: Any, command: str, arguments: list[str], **__: Any) -> None:
        """Run the command.

        Raises:
            CommandError: It failed; the text says why.
        """
        from angle_reco.cli import run

        if command == "migrate" and not any(not one.startswith("-") for one in arguments):
            arguments = ["up", *arguments]
        is_server = command == "work"
        self.stdout.ending = ""  # Django would end each part of a line.
        errors = StringIO()
        with (
            redirect_stdout(self.stdout),
            redirect_stderr(sys.stderr if is_server else errors),
        ):
            try:
                status = run([command, *arguments, "--app", _APP])
            except ConfigurationError as error:
                raise CommandError(f"{error.id}: {error}") from error
        if status > 1:
            raise CommandError(errors.getvalue().strip().removeprefix("angle-reco: "))
        self.stderr.write(errors.getvalue(), ending="")
        if status:
            sys.exit(status)
