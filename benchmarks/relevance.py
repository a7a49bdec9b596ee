"""What rankings are worth on known data: every figure of README and docs/evaluate.md.

    python benchmarks/relevance.py DIRECTORY[:CUTS] ... [--no-peers] [--json]
        [--every DAYS] [--window DAYS] [--baseline NAME]

A directory is in the import format, as `benchmarks/published_data.py` writes it. The cuts, 6
by default, are 15 days apart; a bid or watch within 30 days after a cut counts. Other spans suit
lots that are open for a few days.
"""

import argparse
import json
import sys
import time
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from angle_reco.cli import run


def main(args: list[str]) -> None:
    """Evaluate each directory, and print a table of NDCG@10 with intervals."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("directories", nargs="+", metavar="DIRECTORY[:CUTS]")
    parser.add_argument("--no-peers", action="store_true", help="without the extra [peers]")
    parser.add_argument("--json", action="store_true", help="print the reports as JSON")
    parser.add_argument("--every", default="15", metavar="DAYS")
    parser.add_argument("--window", default="30", metavar="DAYS")
    parser.add_argument("--baseline", default="popular", metavar="NAME")
    options = parser.parse_args(args)
    more = ["--every", options.every, "--window", options.window, "--baseline", options.baseline]
    reports = {
        one: evaluated(one, more, peers=not options.no_peers)
        for one in dict.fromkeys(options.directories)
    }
    if options.json:
        print(json.dumps(reports, indent=2))
    else:
        print(table(reports))


def evaluated(named: str, more: list[str], *, peers: bool) -> dict[str, Any]:
    """Return the report on a directory, as JSON, with the seconds that it took."""
    directory, _, cuts = named.partition(":")
    command = ["evaluate", directory, "--cuts", cuts or "6", "--json", *more]
    command += ["--ranker", "classic", "--ranker", "blended"]
    started = time.perf_counter()
    with redirect_stdout(StringIO()) as out:
        status = run([*command, *(["--peers"] if peers else [])])
    if status:
        # The command has said why on standard error.
        sys.exit(status)
    return {**json.loads(out.getvalue()), "seconds": round(time.perf_counter() - started, 1)}


def table(reports: dict[str, dict[str, Any]]) -> str:
    """Return the NDCG@10 on each homepage as Markdown: a row a ranking, a column a data set."""
    homepages = {name: report["surfaces"][0] for name, report in reports.items()}
    rows = [["NDCG@10", *homepages], ["---", *(":-:" for _ in homepages)]]
    rows.append(["questions", *(f"{one['questions']:,}" for one in homepages.values())])
    rows.append(["seconds", *(f"{one['seconds']:.0f}" for one in reports.values())])
    names = dict.fromkeys(one["name"] for page in homepages.values() for one in page["rankers"])
    rows += [[name, *(figure(page, name) for page in homepages.values())] for name in names]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def figure(homepage: dict[str, Any], name: str) -> str:
    """Return the figure of a ranking, and its ratio to the baseline with the interval."""
    found = next((one for one in homepage["rankers"] if one["name"] == name), None)
    if found is None:
        return "–"
    ndcg, ratio = found["ndcg"], found["ratio"]
    if name == homepage["baseline"] or ratio["value"] is None:
        return f"{ndcg['value']:.4f}"
    return f"{ndcg['value']:.4f} = {ratio['value']:.2f} × [{ratio['low']:.2f}, {ratio['high']:.2f}]"


if __name__ == "__main__":
    main(sys.argv[1:])
