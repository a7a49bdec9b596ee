"""Reading CSV files row by row; each error names its line."""

import gzip
import io
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, TypeAlias

import attrs

from angle_reco.adapters.sql.importing.bad_rows import BadRow
from angle_reco.adapters.sql.importing.csv_rows import (
    LONGEST_ROW,
    CsvRows,
    NotCsvError,
    RowTooLongError,
)
from angle_reco.adapters.sql.importing.file_forms import (
    HEAD,
    line_for_excel,
    other_encoding,
    other_form,
    other_separator,
)
from angle_reco.domain.errors import BadInputError, InvalidValueError, shown
from angle_reco.domain.import_format import ImportFile

_CHARACTERS_AT_ONCE = 2**20
"""Of rows with quotes."""

_Columns: TypeAlias = Sequence[Sequence[object]]
_Row: TypeAlias = list[str] | NotCsvError | RowTooLongError
_Numbered: TypeAlias = tuple[int, _Row]


def find_files(directory: Path, files: Sequence[ImportFile]) -> dict[str, tuple[ImportFile, Path]]:
    """Return the files of an import and their paths by name, without absent optional ones.

    Raises:
        BadInputError: The directory or a required file does not exist, a file exists in both
            forms, or is no regular file.
    """
    try:
        return dict(_found(directory, files))
    except OSError as error:
        raise BadInputError(str(directory), f"cannot be read: {error.strerror or error}") from None


@attrs.frozen(kw_only=True)
class GoodRows:
    """Good rows of a file as columns with their *lines*; *done* of the *total* bytes were read."""

    lines: Sequence[int]
    columns: Sequence[Sequence[object]]
    done: int
    total: int


def read_rows(
    file: ImportFile, path: Path, found_bad: Callable[[BadRow], None]
) -> Iterator[GoodRows]:
    """Yield the good rows of a file, many at once. Bad rows go to *found_bad*.

    Raises:
        BadInputError: The file cannot be read, its header is wrong, or a row is too long.
    """
    with _open(path) as (text, raw, total):
        rows = CsvRows(text)
        try:
            header = _header(file, path, rows)
            reader = _Reader(file, path, found_bad, _places(file, path, header), len(header))
            for lines, columns in reader.read(rows):
                yield GoodRows(lines=lines, columns=columns, done=raw.tell(), total=total)
        except RowTooLongError:
            reason = (
                f"is longer than {LONGEST_ROW:,} characters, the most that is read of a row:"
                " a line may lack its end, or a quote its other half"
            )
            raise BadInputError(path.name, reason, line=rows.line) from None


@attrs.frozen
class _Reader:
    """Converts the rows of a file, whose columns are at *places* of *width* fields."""

    file: ImportFile
    path: Path
    found_bad: Callable[[BadRow], None]
    places: Sequence[int]
    width: int

    def read(self, rows: CsvRows) -> Iterator[tuple[Sequence[int], _Columns]]:
        """Yield the lines of good rows, and their columns."""
        while True:
            plain, first = rows.plain_lines(), rows.line
            if {text.count(",") for text in plain} == {self.width - 1}:
                columns = self._together(",".join(plain).split(","))
                if columns is not None:
                    yield range(first, first + len(plain)), columns
                    continue
            some: list[_Numbered] = [
                (line, text.split(",")) for line, text in enumerate(plain, first) if text
            ]
            if not plain:
                some += _some_rows(rows)
                if not some:
                    return
            yield from self._split(some)

    def _split(self, some: Sequence[_Numbered]) -> Iterator[tuple[Sequence[int], _Columns]]:
        """Yield the lines of the good ones of some rows, and their columns."""
        rows = [row for _, row in some if not isinstance(row, Exception)]
        if len(rows) == len(some) and {len(row) for row in rows} == {self.width}:
            columns = self._together(list(chain.from_iterable(rows)))
            if columns is not None:
                yield [line for line, _ in some], columns
                return
        good = [
            (line, values) for line, row in some if (values := self._values(line, row)) is not None
        ]
        if good:
            lines, by_row = zip(*good, strict=True)
            yield lines, list(zip(*by_row, strict=True))

    def _together(self, fields: Sequence[str]) -> _Columns | None:
        """Return the columns of whole rows, None if one of them is bad."""
        try:
            return [
                self.file.column(name, fields[place :: self.width])
                for name, place in zip(self.file.fields, self.places, strict=True)
            ]
        except InvalidValueError:
            return None

    def _values(self, line: int, row: _Row) -> list[object] | None:
        """Return the values of a row in the order of the fields, None for a bad or empty one.

        Raises:
            RowTooLongError: This is what follows the rows before.
        """
        if isinstance(row, RowTooLongError):
            raise row
        if isinstance(row, NotCsvError):
            self.found_bad(BadRow(file=self.path.name, line=line, reason=f"is no CSV: {row}"))
            return None
        if len(row) != self.width:
            if row:
                reason = f"has {len(row)} fields where the header has {self.width}"
                self.found_bad(BadRow(file=self.path.name, line=line, reason=reason))
            return None
        try:
            return [
                field(row[place])
                for field, place in zip(self.file.fields.values(), self.places, strict=True)
            ]
        except InvalidValueError as error:
            self.found_bad(_bad_value(self.path, line, error))
            return None


def _some_rows(rows: CsvRows) -> Iterator[_Numbered]:
    """Yield the fields of the next rows, with their lines; none are left at the end of the file.

    An empty line has no fields.
    """
    left = _CHARACTERS_AT_ONCE
    while left > 0:
        try:
            row = next(rows)
        except StopIteration:
            return
        except NotCsvError as error:
            yield rows.line, error
        except RowTooLongError as error:
            # The rows before it come first.
            yield rows.line, error
            return
        else:
            yield rows.line, row
            left -= sum(map(len, row)) + len(row) + 1


def _bad_value(path: Path, line: int, error: InvalidValueError) -> BadRow:
    """Return the description of a row with an invalid value or in another encoding."""
    encoding = other_encoding(error.what, error.value)
    return BadRow(
        file=path.name,
        line=line,
        column=error.what,
        reason=encoding or str(error),
        is_of_encoding=encoding is not None,
    )


def _found(
    directory: Path, files: Sequence[ImportFile]
) -> Iterator[tuple[str, tuple[ImportFile, Path]]]:
    if not directory.is_dir():
        raise BadInputError(str(directory), "is no directory")
    for file in files:
        paths = [
            path
            for path in (directory / f"{file.name}.csv", directory / f"{file.name}.csv.gz")
            if path.exists()
        ]
        for path in paths:
            _require_regular(path)
        if len(paths) > 1:
            raise BadInputError(str(paths[0]), f"is there as {paths[1].name} too: keep one of them")
        if paths:
            yield file.name, (file, paths[0])
        elif not file.may_be_absent:
            raise BadInputError(
                str(directory), f"holds neither {file.name}.csv nor {file.name}.csv.gz"
            )


def _require_regular(path: Path) -> None:
    """Refuse a path to no regular file: opening a named pipe would wait for a writer."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kinds = {
            stat.S_IFDIR: "a directory",
            stat.S_IFIFO: "a named pipe",
            stat.S_IFSOCK: "a socket",
        }
        kind = kinds.get(stat.S_IFMT(mode), "a device")
        raise BadInputError(path.name, f"is {kind}, but should be a regular file")


def _header(file: ImportFile, path: Path, rows: CsvRows) -> list[str]:
    names = ",".join(file.columns)
    try:
        header = next(rows, None)
    except NotCsvError as error:
        # For example, quoted names with another separator than a comma.
        reason = other_separator([error.line], file.columns) or f"is no CSV: {error}"
        raise BadInputError(path.name, reason, line=1) from None
    if header is None:
        raise BadInputError(path.name, f"is empty, but should begin with a header: {names}")
    if not header:
        raise BadInputError(path.name, f"is blank, but should be the header: {names}", line=1)
    other = line_for_excel(header) or other_separator(header, file.columns)
    if other is not None:
        raise BadInputError(path.name, other, line=1)
    return header


def _places(file: ImportFile, path: Path, header: list[str]) -> list[int]:
    """Return the index in the header of each column of the file."""
    for name in file.columns:
        if header.count(name) != 1:
            reason = "is missing in the header" if name not in header else "is there twice"
            like = next((one for one in header if one.strip().casefold() == name != one), None)
            hint = "" if like is None else f" (not {shown(like)})"
            raise BadInputError(
                path.name,
                f"{reason}, which should be {','.join(file.columns)}{hint}",
                line=1,
                column=name,
            )
    return [header.index(name) for name in file.columns]


@contextmanager
def _open(path: Path) -> Iterator[tuple[IO[str], IO[bytes], int]]:
    """Open a file; yield it as text, its raw bytes to measure progress, and its size in bytes.

    Bytes that are not UTF-8 become lone surrogates, which no field accepts: so they are
    reported with their line and column.
    """
    try:
        with path.open("rb") as raw:
            total = path.stat().st_size
            packed = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            form = other_form(packed.peek(HEAD)[:HEAD])
            if form is not None:
                raise BadInputError(path.name, form)
            with packed as unpacked, _as_text(unpacked) as text:
                yield text, raw, total
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadInputError(path.name, f"cannot be unpacked: {error}") from None
    except OSError as error:
        raise BadInputError(path.name, f"cannot be read: {error.strerror or error}") from None


def _as_text(unpacked: gzip.GzipFile | IO[bytes]) -> IO[str]:
    return io.TextIOWrapper(unpacked, encoding="utf-8-sig", errors="surrogateescape", newline="")
