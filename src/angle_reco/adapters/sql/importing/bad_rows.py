"""The errors in the files of an import: all are counted, the first ones described."""

from collections import Counter

import attrs

from angle_reco.domain.errors import BadInputError

MOST_DESCRIBED = 20
"""Limit of the described rows and files; further ones are only counted."""


@attrs.frozen(kw_only=True)
class BadRow:
    """A row that cannot be imported, and why."""

    file: str
    line: int
    column: str | None = None
    reason: str
    is_of_encoding: bool = False

    def error(self) -> BadInputError:
        """Return the error that describes the row and stops an import."""
        return BadInputError(self.file, self.reason, line=self.line, column=self.column)


@attrs.define
class BadRows:
    """The bad rows of an import, and the files that cannot be read to their end.

    In a file with another encoding only the first row with that error is described.
    """

    described: list[BadInputError] = attrs.field(factory=list, init=False)
    counts: Counter[str] = attrs.field(factory=Counter, init=False)
    files: list[BadInputError] = attrs.field(factory=list, init=False)
    _otherwise_encoded: set[str] = attrs.field(factory=set, init=False)

    def add(self, row: BadRow) -> None:
        """Count a row, and describe it if it is one of the first."""
        self.counts[row.file] += 1
        if row.is_of_encoding:
            if row.file in self._otherwise_encoded:
                return
            self._otherwise_encoded.add(row.file)
        if len(self.described) < MOST_DESCRIBED:
            self.described.append(row.error())

    def add_file(self, error: BadInputError) -> None:
        """Add a file that cannot be read to its end."""
        self.files.append(error)

    def refuse(self, *, skip_bad_rows: bool) -> None:
        """Raise the errors found; with *skip_bad_rows* only those of files.

        Raises:
            BadInputError: There are such errors; files come before rows.
        """
        found = self.files if skip_bad_rows else [*self.files, *self.described]
        if found:
            first, *others = found
            count = len(self.files) + (0 if skip_bad_rows else self.counts.total())
            raise BadInputError(
                first.file,
                first.reason,
                line=first.line,
                column=first.column,
                others=tuple(map(str, others))[: MOST_DESCRIBED - 1],
                count=count,
            )
