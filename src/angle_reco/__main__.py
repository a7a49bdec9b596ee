"""The command `angle-reco`, also as `python -m angle_reco`."""

import sys


def main() -> None:
    """Run the command line, or say what it needs."""
    try:
        from angle_reco.cli import run
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich", "rich_click"}:
            raise
        print(
            "angle-reco: the command line needs more: pip install 'angle-reco[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
