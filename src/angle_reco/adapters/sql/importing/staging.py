"""Copying the files of an import into temporary tables, with the line of each row."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa

from angle_reco.adapters.sql.core.postgres import driver_of
from angle_reco.adapters.sql.core.types import Moment
from angle_reco.adapters.sql.importing.bad_rows import BadRow
from angle_reco.adapters.sql.importing.csv_files import read_rows
from angle_reco.domain.import_format import ImportFile

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with a description of the current step, the amount done, and the total."""

_ROWS_AT_ONCE = 20_000

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
    rows: list[tuple[object, ...]] = []
    for line, values, done, total in read_rows(file, path, found_bad):
        rows.append((line, *values))
        if len(rows) == _ROWS_AT_ONCE:
            rows_in.add(rows)
            rows.clear()
            progress(f"reading {path.name}", done, total)
    if rows:
        rows_in.add(rows)
    rows_in.close()
    progress(f"reading {path.name}", 1, 1)
    return table


class _SqliteRows:
    """Inserts rows into a temporary table of SQLite."""

    def __init__(self, connection: sa.Connection, table: sa.Table) -> None:
        table.create(connection)
        names = [column.name for column in table.c if column.name != "file"]
        places = ", ".join("?" * len(names))
        self._connection = connection
        self._insert = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({places})"  # noqa: S608 — constant names

    def add(self, rows: Sequence[tuple[object, ...]]) -> None:
        stored = [tuple(one.hex if isinstance(one, UUID) else one for one in row) for row in rows]
        self._connection.exec_driver_sql(self._insert, stored)

    def close(self) -> None:
        """Do nothing: the rows are complete."""


class _CopiedRows:
    """Copies rows into a temporary table of PostgreSQL.

    Moments are copied as microseconds, and `close` converts them all at once.
    """

    def __init__(self, connection: sa.Connection, table: sa.Table) -> None:
        self._connection = connection
        self._table = table
        self._moments = [column.name for column in table.c if isinstance(column.type, Moment)]
        columns = [
            sa.Column(
                column.name,
                sa.BigInteger() if column.name in self._moments else column.type,
                server_default=column.server_default,
            )
            for column in table.c
        ]
        of_numbers = sa.Table(
            table.name,
            sa.MetaData(),
            *columns,
            prefixes=["TEMPORARY"],
            postgresql_on_commit="DROP",
        )
        of_numbers.create(connection)
        self._columns = [column for column in columns if column.name != "file"]

    def add(self, rows: Sequence[tuple[object, ...]]) -> None:
        names = ", ".join(column.name for column in self._columns)
        copy_in = f"COPY {self._table.name} ({names}) FROM STDIN (FORMAT binary)"
        with (
            driver_of(self._connection) as raw,
            raw.cursor() as cursor,
            cursor.copy(copy_in) as copy,
        ):
            copy.set_types([_type_name(column.type) for column in self._columns])
            for row in rows:
                copy.write_row(row)

    def close(self) -> None:
        """Convert numbers to moments, and analyse the table for the planner."""
        name = self._table.name
        if self._moments:
            changes = ", ".join(
                f"ALTER COLUMN {column} TYPE timestamptz USING {_AS_MOMENT.format(column)}"
                for column in self._moments
            )
            self._connection.exec_driver_sql(f"ALTER TABLE {name} {changes}")
        self._connection.exec_driver_sql(f"ANALYZE {name}")


_AS_MOMENT = (
    "(timestamp '1970-01-01' + ({0} / 86400000000) * interval '1 day'"
    " + ({0} %% 86400000000) * interval '1 microsecond') AT TIME ZONE 'UTC'"
)
"""Days are added separately: PostgreSQL multiplies intervals as floats, which lose precision."""


def _type_name(of: sa.types.TypeEngine[Any]) -> str:
    match of:
        case sa.Uuid():
            return "uuid"
        case sa.Text():
            return "text"
        case _:
            return "int8"
