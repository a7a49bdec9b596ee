"""Import of a marketplace from CSV files into the reference schema, all or nothing.

Rows are checked one by one and copied into temporary tables, which locks nothing in the
database. A few statements in one transaction then check the rows against each other and
merge them.
"""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import attrs
from sqlalchemy.exc import DBAPIError

from angle_reco.adapters.sql.core.database import begin_writing
from angle_reco.adapters.sql.core.engine import file_of
from angle_reco.adapters.sql.core.errors import translated
from angle_reco.adapters.sql.importing.bad_rows import BadRows
from angle_reco.adapters.sql.importing.csv_files import find_files
from angle_reco.adapters.sql.importing.merging import Merged, merge
from angle_reco.adapters.sql.importing.removing import BeforeRemoval, Removal, remove_gone
from angle_reco.adapters.sql.importing.staging import Progress, stage
from angle_reco.adapters.sql.market.checking import require_server
from angle_reco.adapters.sql.market.oddities import oddities
from angle_reco.adapters.sql.results.changes import SqlChanges
from angle_reco.adapters.sql.results.runs import one_at_a_time
from angle_reco.adapters.sql.schema.migrations import create_schema, enable_wal
from angle_reco.adapters.sql.schema.versions import require_schema
from angle_reco.adapters.sql.storage import Storage
from angle_reco.domain.errors import BadInputError, InvalidValueError
from angle_reco.domain.import_format import ImportFile, import_files

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Imported:
    """The numbers of rows in one file of an import; *bad* rows were skipped on request."""

    new: int
    updated: int
    unchanged: int
    bad: int


@attrs.frozen(kw_only=True)
class ImportOutcome:
    """The outcome of an import, by file, with descriptions of the first bad rows.

    *warnings* are about good rows that look like mistakes, each with an example. *replaced*
    says how many rows an import with *replace* removed.
    """

    files: dict[str, Imported]
    bad_rows: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    replaced: Removal | None = None

    def to_json(self) -> dict[str, object]:
        """Return the outcome as values for JSON."""
        return attrs.asdict(self)


def import_directory(
    storage: Storage,
    directory: Path,
    *,
    skip_bad_rows: bool = False,
    replace: bool = False,
    before_removal: BeforeRemoval = lambda removal: None,
    progress: Progress = lambda what, done, total: None,
) -> ImportOutcome:
    """Import a directory of CSV files; importing it again changes nothing.

    Missing tables are created. A stored user or item with other content is updated. With
    *replace*, rows that are not in the files are removed in the same transaction, after a call
    of *before_removal* with their numbers; it may raise to stop the import.

    Raises:
        InvalidValueError: *skip_bad_rows* and *replace* were combined.
        BadInputError: A file or, without *skip_bad_rows*, a row is bad; nothing was stored.
        StorageError: The database cannot be used; nothing was stored.
    """
    if replace and skip_bad_rows:
        expected = "False while replacing: a row that is left out would count as gone"
        raise InvalidValueError("skip_bad_rows", skip_bad_rows, expected)
    database, tables = storage.database, storage.tables
    options = _Options(
        skip_bad_rows=skip_bad_rows, before_removal=before_removal if replace else None
    )
    files = find_files(directory, import_files(tables.ids, storage.prices))
    require_server(database)
    if database.is_postgres:
        return _import(storage, files, options, progress)
    with _removed_unless_done(file_of(database.engine)):
        outcome = _import(storage, files, options, progress)
    # A concurrent import that failed may have removed the new file.
    require_schema(database, tables, None)
    enable_wal(database)
    return outcome


@attrs.frozen(kw_only=True)
class _Options:
    """How to import; *before_removal* is None unless the import replaces."""

    skip_bad_rows: bool
    before_removal: BeforeRemoval | None


def _import(
    storage: Storage,
    files: dict[str, tuple[ImportFile, Path]],
    options: _Options,
    progress: Progress,
) -> ImportOutcome:
    database, tables = storage.database, storage.tables
    targets = {table.name: table for table in tables.reference.tables.values()}
    bad = BadRows()
    try:
        with database.connected() as connection:
            if database.is_postgres:
                # One transaction for everything: with a pooler the next one may be in another
                # session, without the temporary tables.
                connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            else:
                # Detached from the pool, so that the temporary tables end with the connection.
                connection.detach()
            staged = {}
            for name, (file, path) in files.items():
                try:
                    staged[name] = stage(connection, targets[name], file, path, bad.add, progress)
                except BadInputError as error:
                    bad.add_file(error)
            # Raised before the merge, where rows that refer to bad rows would be bad, too.
            bad.refuse(skip_bad_rows=options.skip_bad_rows)
            if not database.is_postgres:
                connection.commit()
            begin_writing(connection)
            create_schema(connection, tables, None)
            one_at_a_time(connection, tables.users)
            replaced = None
            if options.before_removal is not None:
                progress("looking for rows to remove", 0, 1)
                replaced = remove_gone(connection, tables, staged, options.before_removal)
            merged = merge(connection, tables, staged, bad.add, progress)
            bad.refuse(skip_bad_rows=options.skip_bad_rows)
            names = {name: path.name for name, (_, path) in files.items()}
            warnings = oddities(connection, tables, staged, names)
            is_changed = any(one.new or one.updated for one in merged.values())
            if replaced is not None and (any(replaced.removed.values()) or is_changed):
                SqlChanges(database, tables).publish_gap(connection)
            elif is_changed:
                SqlChanges(database, tables).publish_import(connection)
            if database.is_postgres:
                # Without statistics, queries of the first job would be planned for empty tables.
                quoted = connection.dialect.identifier_preparer.format_table
                filled = ", ".join(map(quoted, tables.reference.tables.values()))
                connection.exec_driver_sql(f"ANALYZE {filled}")
            connection.commit()
    except DBAPIError as error:
        raise translated(error) from error
    return ImportOutcome(
        files={name: _imported(one, bad.counts[names[name]]) for name, one in merged.items()},
        bad_rows=tuple(map(str, bad.described)),
        warnings=warnings,
        replaced=replaced,
    )


def _imported(merged: Merged, bad: int) -> Imported:
    return Imported(
        new=merged.new,
        updated=merged.updated,
        unchanged=merged.rows - merged.new - merged.updated,
        bad=bad,
    )


@contextmanager
def _removed_unless_done(file: Path) -> Iterator[None]:
    """Remove a new database that is still empty if the block raises."""
    existed = file.exists()
    try:
        yield
    except BaseException:
        if not existed and file.exists():
            _remove_if_empty(file)
        raise


def _remove_if_empty(file: Path) -> None:
    """Remove a database without tables, unless another connection uses it."""
    try:
        with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as connection:
            # This also rolls back a transaction that a full disk interrupted.
            connection.execute("BEGIN EXCLUSIVE")
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                file.unlink()
    except sqlite3.Error as error:
        _log.info("new database not removed: error=%s", type(error).__name__)
