"""The columns for sign-ins on the host's users table: adding them, dropping those we added."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from angle_reco.adapters.sql.core.types import Moment
from angle_reco.adapters.sql.schema.host_schema import SignInColumns
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.errors import SchemaError

if TYPE_CHECKING:
    from alembic.operations import Operations


BODY = "$angle_reco$"
"""Dollar quote around blocks of statements in scripts; no name contains it."""


def add_sign_in_columns(op: "Operations", columns: SignInColumns) -> None:
    """Add the columns in a migration of the host, with Alembic's *op*.

    No row is rewritten: the columns are nullable or have a constant default.
    """
    for column in _columns(columns):
        op.add_column(columns.table.name, column, schema=columns.table.schema)


def drop_sign_in_columns(op: "Operations", columns: SignInColumns) -> None:
    """Drop the columns that `add_sign_in_columns` added."""
    for column in _columns(columns):
        op.drop_column(columns.table.name, column.name, schema=columns.table.schema)


def require_columns(connection: sa.Connection, columns: SignInColumns) -> None:
    """Check that the host's table has the columns.

    Raises:
        SchemaError: There is no such table, or it lacks a column; the text says what to do.
    """
    there = _columns_there(connection, columns)
    missing = [column.name for column in _columns(columns) if column.name not in there]
    if missing:
        raise SchemaError(
            f"the table {columns.table.fullname} has no column {missing[0]}: add it with"
            " `angle-reco migrate up`, or with add_sign_in_columns in a migration of your own"
        )


def add_where_missing(connection: sa.Connection, tables: Tables, columns: SignInColumns) -> bool:
    """Add missing columns to the host's table and record them; return False if none was.

    Raises:
        SchemaError: There is no such table.
    """
    there = _columns_there(connection, columns)
    missing = [column for column in _columns(columns) if column.name not in there]
    # A column that we added and the host dropped again has been recorded before.
    known = set(connection.scalars(sa.select(tables.additions.c.name)))
    for column in missing:
        name = _name(columns, column)
        if name not in known:
            connection.execute(sa.insert(tables.additions).values(name=name))
        connection.exec_driver_sql(_add(columns, column, connection.dialect))
    return bool(missing)


def added_columns(
    connection: sa.Connection, tables: Tables, columns: SignInColumns
) -> list[sa.Column[Any]]:
    """Return the columns that we added and that still exist, without those the host had."""
    added = set(connection.scalars(sa.select(tables.additions.c.name)))
    there = _columns_there(connection, columns)
    return [
        column
        for column in _columns(columns)
        if _name(columns, column) in added and column.name in there
    ]


def drop_columns(
    connection: sa.Connection, columns: SignInColumns, added: Iterable[sa.Column[Any]]
) -> None:
    """Drop columns from the host's table."""
    for column in added:
        connection.exec_driver_sql(_drop(columns, column, connection.dialect))


def addition_statements(dialect: str, tables: Tables, columns: SignInColumns) -> list[str]:
    """Return the statements of `add_where_missing`, for a script."""
    of = dialect_named(dialect)
    statements = []
    for column in _columns(columns):
        remembered = _literal(_name(columns, column))
        insert = f"INSERT INTO {_quoted(tables.additions, of)} (name)"
        if dialect == "postgresql":
            statements += [
                f"{insert} SELECT {remembered} WHERE NOT EXISTS ({_is_there(columns, column, of)})"
                " ON CONFLICT DO NOTHING",
                _add(columns, column, of, if_missing=True),
            ]
        else:
            statements += [
                f"{insert} VALUES ({remembered}) ON CONFLICT DO NOTHING",
                _add(columns, column, of),
            ]
    return statements


def removal_statements(dialect: str, tables: Tables, columns: SignInColumns) -> list[str]:
    """Return the statements that drop the columns we added, for a script."""
    of = dialect_named(dialect)
    statements = []
    for column in _columns(columns):
        was_added = (
            f"SELECT 1 FROM {_quoted(tables.additions, of)}"
            f" WHERE name = {_literal(_name(columns, column))}"
        )
        drop = _drop(columns, column, of, if_there=dialect == "postgresql")
        if dialect == "postgresql":
            statements.append(
                f"DO {BODY} BEGIN IF EXISTS ({was_added}) THEN {drop}; END IF; END {BODY}"
            )
        else:
            # Scripts of SQLite have no conditions.
            statements.append(f"-- only if this finds a row: {was_added}\n-- {drop}")
    return statements


def _columns(columns: SignInColumns) -> list[sa.Column[Any]]:
    known = columns.table.c
    last, count = columns.last_sign_in_at, columns.sign_in_count
    return [
        sa.Column(last, known[last].type if last in known else Moment()),
        sa.Column(count, sa.BigInteger, nullable=False, server_default=sa.text("0")),
    ]


def _columns_there(connection: sa.Connection, columns: SignInColumns) -> set[str]:
    inspector, table = sa.inspect(connection), columns.table
    if not inspector.has_table(table.name, schema=table.schema):
        raise SchemaError(f"SignInColumns names the table {table.fullname}, which is not there")
    return {column["name"] for column in inspector.get_columns(table.name, table.schema)}


def _name(columns: SignInColumns, column: sa.Column[Any]) -> str:
    return f"{columns.table.fullname}.{column.name}"


def _add(
    columns: SignInColumns,
    column: sa.Column[Any],
    dialect: sa.Dialect,
    *,
    if_missing: bool = False,
) -> str:
    name = dialect.identifier_preparer.quote(column.name)
    default = "" if column.nullable else " NOT NULL DEFAULT 0"
    return (
        f"ALTER TABLE {_quoted(columns.table, dialect)} ADD COLUMN"
        f"{' IF NOT EXISTS' if if_missing else ''} {name} {column.type.compile(dialect)}{default}"
    )


def _drop(
    columns: SignInColumns,
    column: sa.Column[Any],
    dialect: sa.Dialect,
    *,
    if_there: bool = False,
) -> str:
    name = dialect.identifier_preparer.quote(column.name)
    return (
        f"ALTER TABLE {_quoted(columns.table, dialect)} DROP COLUMN"
        f"{' IF EXISTS' if if_there else ''} {name}"
    )


def _is_there(columns: SignInColumns, column: sa.Column[Any], dialect: sa.Dialect) -> str:
    return (
        "SELECT 1 FROM pg_attribute WHERE attrelid ="
        f" {_literal(_quoted(columns.table, dialect))}::regclass"
        f" AND attname = {_literal(column.name)} AND NOT attisdropped"
    )


def _quoted(table: sa.Table, dialect: sa.Dialect) -> str:
    return dialect.identifier_preparer.format_table(table)


def _literal(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def dialect_named(name: str) -> sa.Dialect:
    """Return the dialect with this name, for compiling statements."""
    # A script has no parameters, so a % in a name must not be doubled.
    of: sa.Dialect = (sqlite if name == "sqlite" else postgresql).dialect(paramstyle="named")
    return of
