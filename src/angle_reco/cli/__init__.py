"""The command line."""

from angle_reco.cli.commands import run

__all__ = ["run"]
