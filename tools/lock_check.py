"""Prove that lock files are all that the set-up needs: run it with their names.

For each it downloads the pinned files by their hashes, and has pip resolve the project, its
extras and its development group from these files alone, in a new environment; for
`requirements-NAME.txt` the group NAME as well, if there is one. What is newest in a registry
then has no part in the set-up. It uses only the standard library and the pip that
comes with Python.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

ADDRESS = re.compile(r"\b[a-z+]+://|^\s*(?:-i|-f|--(?:extra-)?index-url|--find-links)\b", re.M)


def main(names: Iterable[str]) -> int:
    """Check the lock files of these names; return the status of the process."""
    if addressed := [path.name for path in requirement_files() if ADDRESS.search(text_of(path))]:
        print(f"lock check: an address stands in {', '.join(addressed)}", file=sys.stderr)
        return 1
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))
    for name in names:
        try:
            count = resolve_from(ROOT / name, project)
        except subprocess.CalledProcessError as error:
            command = " ".join(map(str, error.cmd))
            print(f"lock check: {name} is not enough: failed: {command}", file=sys.stderr)
            return 1
        print(f"{name}: its own files answer all {count} requirements")
    return 0


def requirement_files() -> list[Path]:
    """Return the requirement files that are, or are about to be, tracked."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(
        [*listing, "*requirements*.txt", "*constraints*.txt"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


def resolve_from(lock: Path, project: Mapping[str, Any]) -> int:
    """Resolve the project from the files of *lock* alone; return how many packages it takes.

    Raises:
        CalledProcessError: A command of pip failed; it has written why.
    """
    # Where packages come from is configured by the machine; the rest has to do without.
    closed = {name: text for name, text in os.environ.items() if not name.startswith("PIP_")}
    closed["PIP_CONFIG_FILE"] = os.devnull
    with tempfile.TemporaryDirectory() as scratch:
        files, report, venv = Path(scratch, "files"), Path(scratch, "report"), Path(scratch, "venv")
        run(sys.executable, "-m", "venv", venv)
        pip = (venv / "bin" / "python", "-m", "pip", "-qq", "--disable-pip-version-check")
        pinned = ("--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", lock)
        run(*pip, "download", *pinned, "--dest", files)
        offline = (*pip, "install", "--no-index", "--find-links", files)
        # The backend, with what it needs for an editable install.
        run(*offline, *project["build-system"]["requires"], "editables", environment=closed)
        dry = ("--dry-run", "--ignore-installed", "--no-build-isolation", "--report", report)
        run(*offline, *dry, *requirements(project, group_in(lock)), environment=closed)
        installed: list[Any] = json.loads(text_of(report))["install"]
        return len(installed)


def group_in(lock: Path) -> str:
    """Return the group that a lock file is named after; `requirements-oldest.txt` has none."""
    return lock.stem.removeprefix("requirements-")


def requirements(project: Mapping[str, Any], group: str = "dev") -> list[str]:
    """Return the project with all its extras, its development group, and *group* if it exists."""
    extras = ",".join(project["project"].get("optional-dependencies", {}))
    own = re.compile(rf"{re.escape(project['project']['name'])}\b(?!-)", re.I)
    groups = {"dev", group} & set(project["dependency-groups"])
    texts = (text for name in sorted(groups) for text in group_of(project, name))
    return [f".[{extras}]" if extras else ".", *(text for text in texts if not own.match(text))]


def group_of(project: Mapping[str, Any], name: str) -> Iterator[str]:
    """Yield the requirements of a dependency group, those of included groups as well."""
    for line in project["dependency-groups"][name]:
        if isinstance(line, str):
            yield line
        else:
            yield from group_of(project, line["include-group"])


def run(*command: str | Path, environment: Mapping[str, str] | None = None) -> None:
    """Run a command in the root of the project.

    Raises:
        CalledProcessError: It failed.
    """
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def text_of(path: Path) -> str:
    """Return the text of a file."""
    return path.read_text("utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
