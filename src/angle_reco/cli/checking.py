"""The command that looks for what is odd about the host's data."""

from typing import TYPE_CHECKING, Any

import attrs
from rich.text import Text

from angle_reco.cli.options import Target
from angle_reco.cli.output import console, plain, print_json

if TYPE_CHECKING:
    from angle_reco import Finding

NOTHING_FOUND, FOUND = 0, 1
"""The exit statuses; that of an error is the one of all commands."""


def show_findings(target: Target, *, everything: bool) -> int:
    """Print what is odd, and return the exit status."""
    with target.recommender() as recommender:
        findings = recommender.check(everything=everything)
    if target.as_json:
        print_json({"findings": [_as_json(one) for one in findings]})
    elif findings:
        for one in findings:
            console().print(Text(_sentence(one)))
    else:
        console().print("nothing odd was found")
    return FOUND if findings else NOTHING_FOUND


def _as_json(finding: "Finding") -> dict[str, Any]:
    return {
        name: value if value is None or isinstance(value, int) else str(value)
        for name, value in attrs.asdict(finding, recurse=False).items()
    }


def _sentence(finding: "Finding") -> str:
    said = f"{finding.select}.{finding.label}: {finding.what} in {finding.rows:,} rows"
    example = _as_json(finding).get("example")
    return plain(said if example is None else f"{said}, such as {example}")
