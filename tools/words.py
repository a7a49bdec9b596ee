"""Find words that cost a reader time in modules and pages, and say what to write instead.

They occur in identifiers, comments and texts alike: ``make lint`` runs this over ``src``, ``docs``
and the pages of the root.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

INSTEAD = {
    "anew": "recomputed, refreshed, again",
    "as it was": "unchanged",
    "begun": "started",
    "its like": "of the same job",
    "let go of": "released, dropped",
    "lets go of": "releases, drops",
    "lies": "is, stands",
    "meanwhile": "until then, in between",
    "nobody": "no process, no caller, no user",
    "of its own": "separate",
    "somebody": "a caller, a process, a user",
    "told": "published, notified, passed",
    "whoever": "a caller, each process that",
    "whom": "the user that, the caller that",
}

EXCEPTIONS = frozenset({"told_at"})
"""Identifiers that stay: columns in the databases of users."""

_WORD = re.compile(
    rf"(?<![a-z])({'|'.join(words.replace(' ', '[ _]') for words in INSTEAD)})(?![a-z])",
    re.IGNORECASE,
)
_EXCEPTION = re.compile(rf"\b\w*({'|'.join(EXCEPTIONS)})\b")


def findings(text: str) -> Iterator[tuple[int, str]]:
    r"""Yield the number of each line with such a word, and the word.

    >>> list(findings("told_at = 1\nis_told = 2\n# Nobody knows."))
    [(2, 'told'), (3, 'nobody')]
    """
    for number, line in enumerate(text.splitlines(), start=1):
        for found in _WORD.finditer(_EXCEPTION.sub("", line)):
            yield number, found[1].lower().replace("_", " ")


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    return [path for path in place.rglob("*") if path.suffix in {".py", ".md"}]


def main(places: list[str]) -> int:
    """Print the findings in files, and in all that is in folders; return 1 if there are any."""
    count = 0
    for path in sorted(path for place in places for path in _files(Path(place))):
        for number, word in findings(path.read_text("utf-8")):
            print(f"{path}:{number}: {word!r}: write {INSTEAD[word]}")
            count += 1
    print(f"words to do without: {count}")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
