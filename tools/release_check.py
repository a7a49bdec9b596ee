"""Says what is missing before a release: run it through `make release-check`."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.version import InvalidVersion, Version

from angle_reco.adapters.sql.schema.versions import HEAD

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Print a line for each thing that is missing; the exit status is 1 if one is."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    problems = [
        *missing_in(changelog, version, revision=HEAD),
        *wrong_version(version, _git("tag", "--list", "v*").splitlines()),
        *missing_in_git(),
        *missing_in_dist([one.name for one in (ROOT / "dist").glob("*")], version),
    ]
    for problem in problems:
        print(f"release-check: {problem}")
    if not problems:
        tag = f"git tag -a v{version} -m 'angle_reco {version}'"
        print(f"release-check: {version} can be tagged: {tag}")
    return 1 if problems else 0


def missing_in(changelog: str, version: str, *, revision: str) -> Iterator[str]:
    """Yield what the changelog lacks for a release: its version, and the revision of its tables."""
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    titles = {section.split("\n")[0].strip(): section for section in sections}
    title, section = next(
        (one for one in titles.items() if one[0].partition(" - ")[0] == version), ("", "")
    )
    if title == f"{version} - unreleased":
        yield f"CHANGELOG.md has no date in '## {title}': write the day of the release"
    elif not re.fullmatch(r"\S+ - \d{4}-\d\d-\d\d", title):
        yield f"CHANGELOG.md has no section '## {version} - YYYY-MM-DD'"
    if section and f"revision {revision}" not in section:
        yield f"CHANGELOG.md does not say under {version} that the tables have revision {revision}"
    for other, text in titles.items():
        if (
            "unreleased" in other.lower()
            and other != title
            and re.search(r"^- ", text, re.MULTILINE)
        ):
            yield f"CHANGELOG.md lists changes under '{other}': move them to the version's section"


def wrong_version(version: str, tags: Iterable[str]) -> Iterator[str]:
    """Yield why a version cannot be the next one after the tagged ones."""
    try:
        parsed = Version(version)
    except InvalidVersion:
        yield f"{version} is no version (PEP 440): correct it in pyproject.toml"
        return
    if str(parsed) != version:
        yield f"the packages would be called {parsed}: write that in pyproject.toml"
    released = [Version(tag.removeprefix("v")) for tag in tags]
    if released and parsed <= max(released):
        yield f"the tag v{max(released)} exists: raise the version in pyproject.toml"


def missing_in_git() -> Iterator[str]:
    """Yield what the checkout lacks for a tag."""
    if _git("status", "--porcelain"):
        yield "the working tree has uncommitted changes: commit or remove them"
    if (branch := _git("branch", "--show-current")) != "main":
        yield f"the checkout is on {branch or 'no branch'}: releases are tagged on main"


def missing_in_dist(names: Iterable[str], version: str) -> Iterator[str]:
    """Yield which packages of a version are missing, and which others are there."""
    expected = {f"angle_reco-{version}.tar.gz", f"angle_reco-{version}-py3-none-any.whl"}
    if missing := expected - {*names}:
        yield f"dist/ lacks {', '.join(sorted(missing))}: run make package"
    if others := {*names} - expected:
        yield f"dist/ has other files, which would be uploaded: {', '.join(sorted(others))}"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
