"""Says what is missing before a release: run it through `make release-check`."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Print a line for each thing that is missing; the exit status is 1 if one is."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    problems = [*missing_in(changelog, version), *missing_in_git(version)]
    for problem in problems:
        print(f"release-check: {problem}")
    if not problems:
        print(f"release-check: {version} can be tagged: git tag -a v{version} -m 'angle_reco'")
    return 1 if problems else 0


def missing_in(changelog: str, version: str) -> Iterator[str]:
    """Yield what the changelog lacks for the release of a version."""
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    titles = {section.split("\n")[0].strip(): section for section in sections}
    if not any(
        re.fullmatch(rf"\[?{re.escape(version)}\]? - \d{{4}}-\d\d-\d\d", title) for title in titles
    ):
        yield f"CHANGELOG.md has no section '## {version} - YYYY-MM-DD'"
    if re.search(r"^- ", titles.get("Unreleased", ""), flags=re.MULTILINE):
        yield "CHANGELOG.md lists changes under 'Unreleased': move them to the version's section"


def missing_in_git(version: str) -> Iterator[str]:
    """Yield what the checkout lacks for a tag of a version."""
    if _git("status", "--porcelain"):
        yield "the working tree has uncommitted changes: commit or remove them"
    if _git("tag", "--list", f"v{version}"):
        yield f"the tag v{version} exists: raise the version in pyproject.toml"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
