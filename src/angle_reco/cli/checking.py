"""The command `check`, which looks for oddities in the host's data."""

import attrs
from rich.text import Text

from angle_reco.adapters.sql.market.findings import ROWS_LOOKED_AT
from angle_reco.cli.options import Target
from angle_reco.cli.output import console, plain, print_json

NOTHING_FOUND, FOUND = 0, 1
"""The exit statuses; an error exits with 2, as in every command."""


def show_findings(target: Target, *, everything: bool) -> int:
    """Print the findings and return the exit status."""
    with target.recommender() as recommender:
        findings = recommender.check(everything=everything)
    if target.as_json:
        print_json({"findings": [attrs.asdict(one) for one in findings]})
    elif findings:
        for one in findings:
            console().print(Text(plain(str(one))))
    else:
        where = "" if everything else f" in the first {ROWS_LOOKED_AT:,} rows of each select"
        console().print(f"nothing odd was found{where}")
    return FOUND if findings else NOTHING_FOUND
