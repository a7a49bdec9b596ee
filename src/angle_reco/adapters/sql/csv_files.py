"""Reading CSV files row by row, with the line of everything that is wrong."""

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import IO

import attrs

from angle_reco.domain import BadInputError, ImportFile, InvalidValueError

_LONGEST_FIELD = 64 * 2**20
"""Characters that are read of one field; what it may hold is checked afterwards."""


@attrs.frozen(kw_only=True)
class BadRow:
    """A row that cannot be imported, and why."""

    file: str
    line: int
    column: str | None = None
    reason: str

    def error(self) -> BadInputError:
        """Return it as the error that stops an import."""
        return BadInputError(self.file, self.reason, line=self.line, column=self.column)


def find_files(directory: Path, files: Sequence[ImportFile]) -> dict[str, tuple[ImportFile, Path]]:
    """Return the path of each file of an import by its name; absent ones are left out.

    Raises:
        BadInputError: There is no such directory, a file is missing, or is there twice.
    """
    try:
        return dict(_found(directory, files))
    except OSError as error:
        raise BadInputError(str(directory), f"cannot be read: {error.strerror or error}") from None


def read_rows(
    file: ImportFile, path: Path, found_bad: Callable[[BadRow], None]
) -> Iterator[tuple[int, list[object], int, int]]:
    """Yield the line and the values of each good row, and how far into the file it is.

    Bad rows go to *found_bad*.

    Raises:
        BadInputError: The file cannot be read, or its header is not as it should be.
    """
    with _open(path) as (text, raw, total):
        reader = csv.reader(text, strict=True)
        try:
            header = next(reader, [])
        except csv.Error as error:
            raise BadInputError(path.name, f"is no CSV: {error}", line=1) from None
        pick = itemgetter(*_places(file, path, header))
        fields = list(file.fields.values())
        while True:
            line = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                row_is_lost = BadRow(file=path.name, line=line, reason=f"is no CSV: {error}")
                if "field larger" in str(error):
                    # Where that row ends is not known: what follows may be its own text.
                    raise row_is_lost.error() from None
                found_bad(row_is_lost)
                continue
            if len(row) != len(header):
                if row:  # an empty line is none
                    reason = f"has {len(row)} fields where the header has {len(header)}"
                    found_bad(BadRow(file=path.name, line=line, reason=reason))
                continue
            try:
                values = [field(text) for field, text in zip(fields, pick(row), strict=True)]
            except InvalidValueError as error:
                found_bad(BadRow(file=path.name, line=line, column=error.what, reason=str(error)))
                continue
            yield line, values, raw.tell(), total


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
        if len(paths) > 1:
            raise BadInputError(str(paths[0]), f"is there as {paths[1].name} too: keep one of them")
        if paths:
            yield file.name, (file, paths[0])
        elif not file.may_be_absent:
            raise BadInputError(
                str(directory), f"holds neither {file.name}.csv nor {file.name}.csv.gz"
            )


def _places(file: ImportFile, path: Path, header: list[str]) -> list[int]:
    """Return where the header has each column of the file."""
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
    """Open a file as text, and the bytes beneath it for how far it has been read.

    Bytes that are not UTF-8 become lone surrogates, which no field may hold: so they are
    reported with the line and column where they stand.
    """
    # Python's limit, which is one for the whole process, is less than a title may have.
    limit = csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    try:
        with path.open("rb") as raw:
            total = path.stat().st_size
            packed = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            with packed as unpacked, _as_text(unpacked) as text:
                yield text, raw, total
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadInputError(path.name, f"cannot be unpacked: {error}") from None
    except OSError as error:
        raise BadInputError(path.name, f"cannot be read: {error.strerror or error}") from None
    finally:
        csv.field_size_limit(limit)


def _as_text(unpacked: gzip.GzipFile | IO[bytes]) -> IO[str]:
    return io.TextIOWrapper(unpacked, encoding="utf-8-sig", errors="surrogateescape", newline="")
