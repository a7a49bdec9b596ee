"""The command `angle-reco`, also as `python -m angle_reco`."""

import sys
import traceback


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
    try:
        status = run(sys.argv[1:])
    except Exception:  # noqa: BLE001 — whatever an application raises; 1 would say that check found something
        traceback.print_exc()
        status = 2
    sys.exit(status)


if __name__ == "__main__":
    main()
