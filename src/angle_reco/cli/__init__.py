"""The command line."""

from angle_reco.cli.commands import CommandFailedError, execute, run

__all__ = ["CommandFailedError", "execute", "run"]
