"""Compiles the catalogues of sentences, the .po files of src/angle_reco/locale, to .mo files.

    python tools/catalogues.py

The same .po makes the same bytes on every machine, so both are in the repository, and a test says
when they disagree. Only what these files use of the format is understood: messages with or without
a plural form, comments, and texts in several lines.
"""

import ast
import struct
import sys
from pathlib import Path

LOCALE = Path(__file__).parents[1] / "src" / "angle_reco" / "locale"

Entries = dict[tuple[str, ...], list[str]]
"""The forms of each message, by its msgid, or by that and its plural."""


def main() -> None:
    """Write the .mo beside each .po, and say which are new."""
    for source in sorted(LOCALE.glob("*/LC_MESSAGES/*.po")):
        compiled, target = mo_of(read_po(source.read_text("utf-8"))), source.with_suffix(".mo")
        if not target.exists() or target.read_bytes() != compiled:
            target.write_bytes(compiled)
            sys.stdout.write(f"{target.relative_to(LOCALE)}: {len(compiled)} bytes\n")


def read_po(text: str) -> Entries:
    """Return the messages of a .po file.

    Raises:
        ValueError: A line is not understood, or a message comes twice.
    """
    entries: Entries = {}
    ids, forms, current = list[str](), list[str](), list[str]()
    for number, line in enumerate([*text.splitlines(), 'msgid ""'], start=1):
        keyword, _, quoted = line.partition(" ")
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith('"'):
            current[-1] += ast.literal_eval(line)
            continue
        if keyword == "msgid":
            if forms:
                _add(entries, ids, forms)
            ids, forms, current = [], [], []
            current = ids
        elif keyword.startswith("msgstr"):
            current = forms
        elif keyword != "msgid_plural":
            raise ValueError(f"line {number}: {line}")
        current.append(ast.literal_eval(quoted))
    return entries


def _add(entries: Entries, ids: list[str], forms: list[str]) -> None:
    if tuple(ids) in entries:
        raise ValueError(f"twice: {ids}")
    entries[tuple(ids)] = forms


def mo_of(entries: Entries) -> bytes:
    """Return messages in the binary form that gettext reads, ordered by msgid."""
    texts = sorted(
        ("\0".join(ids).encode(), "\0".join(forms).encode()) for ids, forms in entries.items()
    )
    header, table = struct.calcsize("<7I"), 8 * len(texts)
    place, body, tables = header + 2 * table, b"", [b"", b""]
    for side in (0, 1):
        for pair in texts:
            tables[side] += struct.pack("<2I", len(pair[side]), place + len(body))
            body += pair[side] + b"\0"
    return (
        struct.pack("<7I", 0x950412DE, 0, len(texts), header, header + table, 0, header + 2 * table)
        + tables[0]
        + tables[1]
        + body
    )


if __name__ == "__main__":
    main()
