"""Statements as text, for scripts."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

BODY = "$angle_reco$"
"""Dollar quote around blocks of statements; no name contains it."""


def dialect_named(name: str) -> sa.Dialect:
    """Return the dialect with this name, for compiling statements."""
    # A script has no parameters, so a % in a name must not be doubled.
    of: sa.Dialect = (sqlite if name == "sqlite" else postgresql).dialect(paramstyle="named")
    # Before SQLAlchemy 2.1 a dialect without a connection doubles backslashes.
    vars(of).update(_backslash_escapes=False)
    return of


def written(statement: sa.ClauseElement, dialect: str) -> str:
    """Return a statement as text, with its values as literals.

    Raises:
        sqlalchemy.exc.CompileError: A value cannot be written as a literal.
    """
    options = {"literal_binds": True}
    return str(statement.compile(dialect=dialect_named(dialect), compile_kwargs=options)).strip()


def literal(text: str) -> str:
    """Return a text as a literal."""
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def quoted(table: sa.Table, dialect: str = "postgresql") -> str:
    """Return the name of a table with its schema, quoted where necessary."""
    return dialect_named(dialect).identifier_preparer.format_table(table)
