"""Reading CSV files row by row; each error names its line."""

import gzip
import io
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import IO

from angle_reco.adapters.sql.importing.bad_rows import BadRow
from angle_reco.adapters.sql.importing.csv_rows import (
    LONGEST_ROW,
    CsvRows,
    NotCsvError,
    RowTooLongError,
)
from angle_reco.adapters.sql.importing.file_forms import (
    HEAD,
    other_encoding,
    other_form,
    other_separator,
)
from angle_reco.domain.errors import BadInputError, InvalidValueError
from angle_reco.domain.import_format import ImportFile


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


def read_rows(
    file: ImportFile, path: Path, found_bad: Callable[[BadRow], None]
) -> Iterator[tuple[int, list[object], int, int]]:
    """Yield the line and values of each good row, the bytes read so far, and the file's size.

    Bad rows go to *found_bad*.

    Raises:
        BadInputError: The file cannot be read, its header is wrong, or a row is too long.
    """
    with _open(path) as (text, raw, total):
        rows, fields = CsvRows(text), list(file.fields.values())
        try:
            header = _header(file, path, rows)
            pick = itemgetter(*_places(file, path, header))
            while True:
                try:
                    row = next(rows)
                except StopIteration:
                    return
                except NotCsvError as error:
                    reason = f"is no CSV: {error}"
                    found_bad(BadRow(file=path.name, line=rows.line, reason=reason))
                    continue
                if len(row) != len(header):
                    if row:  # an empty line is ignored
                        reason = f"has {len(row)} fields where the header has {len(header)}"
                        found_bad(BadRow(file=path.name, line=rows.line, reason=reason))
                    continue
                try:
                    values = [field(text) for field, text in zip(fields, pick(row), strict=True)]
                except InvalidValueError as error:
                    found_bad(_bad_value(path, rows.line, error))
                    continue
                yield rows.line, values, raw.tell(), total
        except RowTooLongError:
            reason = (
                f"is longer than {LONGEST_ROW:,} characters, the most that is read of a row:"
                " a line may lack its end, or a quote its other half"
            )
            raise BadInputError(path.name, reason, line=rows.line) from None


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
    try:
        header = next(rows, [])
    except NotCsvError as error:
        # For example, quoted names with another separator than a comma.
        reason = other_separator([error.line], file.columns) or f"is no CSV: {error}"
        raise BadInputError(path.name, reason, line=1) from None
    separator = other_separator(header, file.columns)
    if separator is not None:
        raise BadInputError(path.name, separator, line=1)
    return header


def _places(file: ImportFile, path: Path, header: list[str]) -> list[int]:
    """Return the index in the header of each column of the file."""
    if not header:
        names = ",".join(file.columns)
        raise BadInputError(path.name, f"is empty, but should begin with a header: {names}")
    for name in file.columns:
        if header.count(name) != 1:
            reason = "is missing in the header" if name not in header else "is there twice"
            raise BadInputError(
                path.name,
                f"{reason}, which should be {','.join(file.columns)}",
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
