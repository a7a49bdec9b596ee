"""The columns for sign-ins on the host's users table: adding them, dropping those we added."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from angle_reco.adapters.sql.core.types import Moment
from angle_reco.adapters.sql.schema.host_schema import SignInColumns
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.adapters.sql.schema.texts import BODY, dialect_named, literal, quoted
from angle_reco.domain.errors import SchemaError

if TYPE_CHECKING:
    from alembic.operations import Operations


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
    for column in missing:
        for statement in _addition(tables, columns, column, connection.dialect.name):
            _execute(connection, statement)
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
        _execute(connection, _drop(columns, column, connection.dialect.name))


def addition_statements(dialect: str, tables: Tables, columns: SignInColumns) -> list[str]:
    """Return the statements of `add_where_missing`, for a script."""
    return [
        statement
        for column in _columns(columns)
        for statement in _addition(tables, columns, column, dialect)
    ]


def removal_statements(dialect: str, tables: Tables, columns: SignInColumns) -> list[str]:
    """Return the statements that drop the columns we added, for a script."""
    statements = []
    for column in _columns(columns):
        was_added = (
            f"SELECT 1 FROM {quoted(tables.additions, dialect)}"
            f" WHERE name = {literal(_name(columns, column))}"
        )
        drop = _drop(columns, column, dialect)
        statements.append(
            f"DO {BODY} BEGIN IF EXISTS ({was_added}) THEN {drop}; END IF; END {BODY}"
            if dialect == "postgresql"
            # Scripts of SQLite have no conditions.
            else f"-- only if this finds a row: {was_added}\n-- {drop}"
        )
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


def _addition(
    tables: Tables, columns: SignInColumns, column: sa.Column[Any], dialect: str
) -> list[str]:
    """Return the statements that record a column and add it, on PostgreSQL if it is missing."""
    of, table = dialect_named(dialect), quoted(columns.table, dialect)
    recorded, if_missing = f"SELECT {literal(_name(columns, column))} WHERE true", ""
    if dialect == "postgresql":
        recorded += (
            " AND NOT EXISTS (SELECT 1 FROM pg_attribute WHERE NOT attisdropped"
            f" AND attrelid = {literal(table)}::regclass AND attname = {literal(column.name)})"
        )
        if_missing = "IF NOT EXISTS "
    default = "" if column.nullable else " NOT NULL DEFAULT 0"
    return [
        f"INSERT INTO {quoted(tables.additions, dialect)} (name) {recorded} ON CONFLICT DO NOTHING",
        f"ALTER TABLE {table} ADD COLUMN {if_missing}{of.identifier_preparer.quote(column.name)}"
        f" {column.type.compile(of)}{default}",
    ]


def _drop(columns: SignInColumns, column: sa.Column[Any], dialect: str) -> str:
    name = dialect_named(dialect).identifier_preparer.quote(column.name)
    if_there = "IF EXISTS " if dialect == "postgresql" else ""
    return f"ALTER TABLE {quoted(columns.table, dialect)} DROP COLUMN {if_there}{name}"


def _execute(connection: sa.Connection, statement: str) -> None:
    # Unlike other texts, that of a DDL has no parameters.
    connection.execute(sa.DDL(statement.replace("%", "%%")))  # type: ignore[no-untyped-call]  # of SQLAlchemy
