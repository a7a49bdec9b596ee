"""The rows of a CSV text, each of bounded length.

`csv.field_size_limit` is global to the process and belongs to the host: this module neither
changes it nor relies on it, and splits rows itself that the csv module refuses.
"""

import csv
import io
import re
from collections.abc import Iterator
from itertools import chain
from typing import IO

LONGEST_ROW = 16 * 2**20
"""Limit of a row in characters; its fields are checked afterwards."""

_COST_OF_A_LINE = 64
"""Characters that each line of a row counts in addition, for the memory of a short text."""

_READ_AHEAD = 2**20
"""Characters."""

_END_OF_FIELD = re.compile(r"[,\r\n]|\Z")
_ENDS_OF_ROW = ("", "\n", "\r", "\r\n")


class NotCsvError(Exception):
    """A row is no CSV; *line* is its last line, and reading can continue with the next row."""

    def __init__(self, reason: str, line: str) -> None:
        super().__init__(reason)
        self.line = line


class RowTooLongError(Exception):
    """A row exceeds the limit; reading cannot continue, as the start of the next is unknown."""


class CsvRows:
    """Yields the fields of each row; *line* is the line on which the latest row begins.

    Raises:
        NotCsvError: (when iterated) The row is no CSV.
        RowTooLongError: (when iterated) The row is longer than `LONGEST_ROW`.
    """

    def __init__(self, text: IO[str]) -> None:
        self.line = 0
        self._lines_read = 0
        self._row: list[str] = []
        self._text, self._ahead = text, io.StringIO(newline="")
        self._lines = self._bounded()
        self._reader = csv.reader(self._lines, strict=True)

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        self.line = self._lines_read + 1
        self._row.clear()
        try:
            return next(self._reader)
        except csv.Error:
            # The error may also come from a field longer than the host's limit.
            return self._split()

    def plain_lines(self) -> list[str]:
        """Return the next lines without their ends, each a row of fields between commas.

        None are returned if quotes or other ends of lines come soon, and at the end of the text.
        `line` becomes that of the first one.
        """
        text = self._ahead.read()
        has_ended = False
        if len(text) < _READ_AHEAD:
            more = self._text.read(_READ_AHEAD)
            has_ended = not more
            # A line may end with both characters.
            while more.endswith("\r") and (next_one := self._text.read(1)):
                more += next_one
            text += more
        end = len(text) if has_ended else text.rfind("\n") + 1
        plain = text[:end]
        if '"' in plain or "\r" in plain:
            plain = ""
        self._ahead = io.StringIO(text[len(plain) :], newline="")
        lines = plain.removesuffix("\n").split("\n") if plain else []
        self.line = self._lines_read + 1
        self._lines_read += len(lines)
        return lines

    def _readline(self, most: int) -> str:
        """Return the next line, or so many characters of it."""
        line = self._ahead.readline(most)
        if line.endswith(("\n", "\r")) or len(line) == most:
            return line
        return line + self._text.readline(most - len(line))

    def _bounded(self) -> Iterator[str]:
        left = LONGEST_ROW
        while line := self._readline(left + 1):
            if len(line) > left:
                raise RowTooLongError
            self._lines_read += 1
            self._row.append(line)
            yield line
            # The list is empty when the reader has started another row.
            left = max(left - len(line) - _COST_OF_A_LINE, 0) if self._row else LONGEST_ROW

    def _split(self) -> list[str]:
        """Return the fields of the row whose first lines have been read."""
        fields: list[str] = []
        quoted: list[str] | None = None  # parts of the quoted field that has not ended
        for line in chain(tuple(self._row), self._lines):
            place = 0
            while True:
                if quoted is not None:
                    end = line.find('"', place)
                    if end < 0:
                        quoted.append(line[place:])
                        break
                    quoted.append(line[place:end])
                    place = end + 1
                    if line.startswith('"', place):
                        quoted.append('"')
                        place += 1
                        continue
                    fields.append("".join(quoted))
                    quoted = None
                elif line.startswith('"', place):
                    quoted = []
                    place += 1
                    continue
                else:
                    end = _end_of_field(line, place)
                    fields.append(line[place:end])
                    place = end
                if not line.startswith(",", place):
                    if line[place:] in _ENDS_OF_ROW:
                        return fields
                    raise NotCsvError("',' expected after '\"'", line)
                place += 1
        raise NotCsvError("unexpected end of data", "".join(self._row[-1:]))


def _end_of_field(line: str, place: int) -> int:
    found = _END_OF_FIELD.search(line, place)
    return len(line) if found is None else found.start()
