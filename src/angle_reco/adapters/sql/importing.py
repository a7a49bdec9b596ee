"""Importing a marketplace from CSV files into the reference schema, all or nothing.

Rows are checked one by one into temporary tables, which takes no lock on the database;
what concerns several rows is then checked and merged by a few statements in one
transaction.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from angle_reco.adapters.sql.csv_files import BadRow, find_files, read_rows
from angle_reco.adapters.sql.engine import begin_writing, file_of, translated
from angle_reco.adapters.sql.merging import Merged, merge
from angle_reco.adapters.sql.migrations import create_schema, let_readers_in, require_schema
from angle_reco.adapters.sql.schema import Tables
from angle_reco.domain import ImportFile, PriceScale, import_files

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is in all."""

_ROWS_AT_ONCE = 20_000

_log = logging.getLogger(__name__)

_AS_STORED: dict[str, dict[str, str]] = {
    "users": {"inserted_at": "created_at"},
    "items": {"end_time": "ends_at", "inserted_at": "listed_at"},
    "bids": {},
    "watches": {"inserted_at": "watched_at"},
}
"""Columns of files that the reference schema names otherwise."""


@attrs.frozen(kw_only=True)
class Imported:
    """What an import did to one kind of rows; *bad* ones were left out as asked for."""

    new: int
    updated: int
    unchanged: int
    bad: int


@attrs.frozen(kw_only=True)
class ImportOutcome:
    """What an import did, by file; the first bad rows are described."""

    files: dict[str, Imported]
    bad_rows: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Return the outcome as JSON has it."""
        return attrs.asdict(self)


def import_directory(
    engine: sa.Engine,
    tables: Tables,
    prices: PriceScale,
    directory: Path,
    *,
    skip_bad_rows: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> ImportOutcome:
    """Import a directory of CSV files; importing it again changes nothing.

    The tables are created where there are none. A user or item that is known with other
    content is updated.

    Raises:
        BadInputError: A file or, unless *skip_bad_rows*, a row is not as it should be.
            Nothing was stored.
        StorageError: The database cannot be used. Nothing was stored.
    """
    files = find_files(directory, import_files(tables.ids, prices))
    with _removed_unless_done(file_of(engine)):
        outcome = _import(engine, tables, files, skip_bad_rows, progress)
    # An import beside this one that failed may have removed the new file just before.
    require_schema(engine, tables)
    let_readers_in(engine)
    return outcome


def _import(
    engine: sa.Engine,
    tables: Tables,
    files: dict[str, tuple[ImportFile, Path]],
    skip_bad_rows: bool,
    progress: Progress,
) -> ImportOutcome:
    bad_rows: list[BadRow] = []
    targets = {table.name: table for table in tables.reference}

    def found_bad(row: BadRow) -> None:
        if not skip_bad_rows:
            raise row.error()
        bad_rows.append(row)

    try:
        with engine.connect() as connection:
            # Not back to the pool: the temporary tables go with the connection.
            connection.detach()
            staged = {
                name: _stage(connection, targets[name], file, path, found_bad, progress)
                for name, (file, path) in files.items()
            }
            connection.commit()
            begin_writing(connection)
            create_schema(connection, tables)
            merged = merge(connection, tables, staged, found_bad, progress)
            connection.commit()
    except DBAPIError as error:
        raise translated(error) from error
    return ImportOutcome(
        files={
            name: _imported(one, sum(row.file == files[name][1].name for row in bad_rows))
            for name, one in merged.items()
        },
        bad_rows=tuple(str(row.error()) for row in bad_rows[:20]),
    )


def _imported(merged: Merged, bad: int) -> Imported:
    return Imported(
        new=merged.new,
        updated=merged.updated,
        unchanged=merged.rows - merged.new - merged.updated,
        bad=bad,
    )


def _stage(
    connection: sa.Connection,
    target: sa.Table,
    file: ImportFile,
    path: Path,
    found_bad: Callable[[BadRow], None],
    progress: Progress,
) -> sa.Table:
    """Read a file into a temporary table with the columns of *target*, and each row's line."""
    columns = [target.c[_AS_STORED[file.name].get(name, name)] for name in file.columns]
    table = sa.Table(
        f"import_{file.name}",
        sa.MetaData(),
        sa.Column("line", sa.BigInteger, primary_key=True),
        *(sa.Column(column.name, column.type) for column in columns),
        sa.Column("file", sa.Text, server_default=path.name),
        prefixes=["TEMPORARY"],
    )
    table.create(connection)
    names = ", ".join(("line", *(column.name for column in columns)))
    places = ", ".join("?" * (1 + len(columns)))
    insert = f"INSERT INTO {table.name} ({names}) VALUES ({places})"  # noqa: S608 — constant names
    rows: list[tuple[object, ...]] = []
    for line, values, done, total in read_rows(file, path, found_bad):
        rows.append((line, *(one.hex if isinstance(one, UUID) else one for one in values)))
        if len(rows) == _ROWS_AT_ONCE:
            connection.exec_driver_sql(insert, rows)
            rows.clear()
            progress(f"reading {path.name}", done, total)
    if rows:
        connection.exec_driver_sql(insert, rows)
    progress(f"reading {path.name}", 1, 1)
    return table


@contextmanager
def _removed_unless_done(file: Path) -> Iterator[None]:
    """Leave no empty database behind where there was none before."""
    existed = file.exists()
    try:
        yield
    except BaseException:
        if not existed and file.exists():
            _remove_if_empty(file)
        raise


def _remove_if_empty(file: Path) -> None:
    """Remove a database without anything in it, unless somebody else is using it."""
    try:
        with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as connection:
            # Also takes back what a full disk left half done.
            connection.execute("BEGIN EXCLUSIVE")
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                file.unlink()
    except sqlite3.Error as error:
        _log.info("new database not removed: error=%s", type(error).__name__)
