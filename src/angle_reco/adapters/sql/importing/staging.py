"""Copying the files of an import into temporary tables, with the line of each row."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa

from angle_reco.adapters.sql.core.copy_formats import YEAR_2000
from angle_reco.adapters.sql.core.postgres import driver_of
from angle_reco.adapters.sql.core.types import Moment
from angle_reco.adapters.sql.importing.bad_rows import BadRow
from angle_reco.adapters.sql.importing.csv_files import read_rows
from angle_reco.domain.import_format import ImportFile

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with a description of the current step, the amount done, and the total."""

_AS_STORED: dict[str, dict[str, str]] = {
    "users": {"inserted_at": "created_at"},
    "items": {"end_time": "ends_at", "inserted_at": "listed_at"},
    "bids": {},
    "watches": {"inserted_at": "watched_at"},
}
"""Columns that have another name in the reference schema than in the files."""


def stage(
    connection: sa.Connection,
    target: sa.Table,
    file: ImportFile,
    path: Path,
    found_bad: Callable[[BadRow], None],
    progress: Progress,
) -> sa.Table:
    """Read a file into a temporary table with the columns of *target*, the line and the file."""
    columns = [target.c[_AS_STORED[file.name].get(name, name)] for name in file.columns]
    table = sa.Table(
        f"import_{file.name}",
        sa.MetaData(),
        sa.Column("line", sa.BigInteger, primary_key=True),
        *(sa.Column(column.name, column.type) for column in columns),
        sa.Column("file", sa.Text, server_default=path.name),
        prefixes=["TEMPORARY"],
    )
    is_sqlite = connection.dialect.name == "sqlite"
    rows_in = _SqliteRows(connection, table) if is_sqlite else _CopiedRows(connection, table)
    for rows in read_rows(file, path, found_bad):
        rows_in.add([rows.lines, *rows.columns])
        progress(f"reading {path.name}", rows.done, rows.total)
    rows_in.close()
    progress(f"reading {path.name}", 1, 1)
    return table


class _SqliteRows:
    """Inserts rows into a temporary table of SQLite."""

    def __init__(self, connection: sa.Connection, table: sa.Table) -> None:
        table.create(connection)
        columns = [column for column in table.c if column.name != "file"]
        names = [column.name for column in columns]
        places = ", ".join("?" * len(names))
        self._connection = connection
        self._are_uuids = [isinstance(column.type, sa.Uuid) for column in columns]
        self._insert = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({places})"  # noqa: S608 — constant names

    def add(self, columns: Sequence[Sequence[object]]) -> None:
        stored = [
            [one.hex if isinstance(one, UUID) else one for one in column] if is_uuid else column
            for column, is_uuid in zip(columns, self._are_uuids, strict=True)
        ]
        self._connection.exec_driver_sql(self._insert, list(zip(*stored, strict=True)))

    def close(self) -> None:
        """Do nothing: the rows are complete."""


class _CopiedRows:
    """Copies rows into a temporary table of PostgreSQL."""

    def __init__(self, connection: sa.Connection, table: sa.Table) -> None:
        self._connection = connection
        self._columns = [column for column in table.c if column.name != "file"]
        self._table = sa.Table(
            table.name,
            sa.MetaData(),
            *(
                sa.Column(column.name, column.type, server_default=column.server_default)
                for column in table.c
            ),
            prefixes=["TEMPORARY"],
            postgresql_on_commit="DROP",
        )
        self._table.create(connection)

    def add(self, columns: Sequence[Sequence[object]]) -> None:
        names = ", ".join(column.name for column in self._columns)
        copy_in = f"COPY {self._table.name} ({names}) FROM STDIN (FORMAT binary)"
        sent = [
            _as_moments(values) if isinstance(column.type, Moment) else values
            for column, values in zip(self._columns, columns, strict=True)
        ]
        with (
            driver_of(self._connection) as raw,
            raw.cursor() as cursor,
            cursor.copy(copy_in) as copy,
        ):
            copy.set_types([_type_name(column.type) for column in self._columns])
            for row in zip(*sent, strict=True):
                copy.write_row(row)

    def close(self) -> None:
        """Analyse the table for the planner."""
        self._connection.exec_driver_sql(f"ANALYZE {self._table.name}")


def _as_moments(micros: Sequence[Any]) -> list[int | None]:
    """Return moments since 1970 as the numbers of which COPY makes moments, null for None."""
    return [None if one is None else one - YEAR_2000 for one in micros]


def _type_name(of: sa.types.TypeEngine[Any]) -> str:
    match of:
        case sa.Uuid():
            return "uuid"
        case sa.Text():
            return "text"
        case _:
            return "int8"
