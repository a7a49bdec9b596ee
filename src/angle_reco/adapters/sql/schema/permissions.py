"""Permissions in tables: checking whether a user holds one, and adding ours to a host's table."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import CompileError

from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.dialect import upsert_into
from angle_reco.adapters.sql.core.types import id_type
from angle_reco.adapters.sql.schema.additions import BODY, dialect_named
from angle_reco.adapters.sql.schema.host_schema import PermissionTable, Query
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.errors import InvalidValueError, SchemaError
from angle_reco.domain.ids import IdKind, IdKinds, UserId
from angle_reco.domain.policies import INSPECT_USERS, MANAGE_RECOMMENDATIONS

if TYPE_CHECKING:
    from alembic.operations import Operations

_NAMES = (MANAGE_RECOMMENDATIONS, INSPECT_USERS)

_WARNING = "-- Make sure that no other table refers to the row: a script of SQLite cannot look.\n"


@attrs.frozen
class SqlPermissions:
    """`Permissions` by a select of held permissions, labelled user_id and name."""

    database: Database
    held: Query
    ids: IdKinds

    @classmethod
    def of_reference(cls, database: Database, tables: Tables) -> "SqlPermissions":
        """Return the permissions of the reference schema."""
        held = tables.user_permissions.c
        return cls(database, sa.select(held.user_id, held.name), tables.ids)

    def holds(self, user_id: UserId, name: str) -> bool:
        try:
            user_id = self.ids.user_id(user_id)
        except InvalidValueError:
            # SQLite would treat the text 7 as the number.
            return False
        held, dialect = self.held.subquery("held").c, self.database.dialect
        is_text = self.ids.user is IdKind.TEXT
        # Without our collation, which would rule out an index of the host.
        user = sa.type_coerce(held.user_id, sa.Text() if is_text else id_type(self.ids.user))
        query = (
            sa.select(sa.literal(1))
            .where(user == user_id, _is_exactly(held.name, name, dialect))
            .limit(1)
        )
        if is_text:
            query = query.where(_is_exactly(user, user_id, dialect))
        return bool(self.database.rows(query))


def add_permissions(op: "Operations", permissions: PermissionTable) -> None:
    """Insert our permissions where they are missing, in a migration of the host.

    *op* is Alembic's.
    """
    context = op.get_context()
    for name in _NAMES:
        insertion = _insertion(permissions, name, context.dialect.name)
        if context.as_sql:
            _write(op, _written(insertion, context.dialect.name))
        else:
            op.execute(insertion)


def drop_permissions(op: "Operations", permissions: PermissionTable) -> None:
    """Delete our permissions, except those that a user holds or another table refers to."""
    context = op.get_context()
    for name in _NAMES:
        if context.as_sql:
            _write(op, _removal_script(permissions, name, context.dialect.name))
        elif context.dialect.name == "postgresql":
            op.execute(_as_text(_removal_on_postgres(permissions, name)))
        elif not _is_referred_to(op.get_bind(), permissions, name):
            op.execute(_removal(permissions, name, context.dialect.name))


def insert_where_missing(
    connection: sa.Connection, tables: Tables, permissions: PermissionTable
) -> bool:
    """Insert missing permissions and record them; return False if none was missing.

    Raises:
        SchemaError: There is no such table.
    """
    _require_table(connection, permissions)
    inserted = 0
    for statement in _insertions(tables, permissions, connection.dialect.name):
        into = connection.execute(statement)
        inserted += into.rowcount if statement.table is permissions.table else 0
    return inserted > 0


def delete_what_was_inserted(
    connection: sa.Connection, tables: Tables, permissions: PermissionTable
) -> None:
    """Delete the permissions we inserted, except those held or referred to by another table.

    Raises:
        SchemaError: There is no such table.
    """
    _require_table(connection, permissions)
    for name in _NAMES:
        was_inserted = _was_inserted(tables, permissions, name)
        if connection.dialect.name == "postgresql":
            connection.execute(_as_text(_removal_on_postgres(permissions, name, was_inserted)))
        # SQLite has one writer: no reference can appear between the check and the deletion.
        elif not _is_referred_to(connection, permissions, name):
            connection.execute(_removal(permissions, name, "sqlite", was_inserted))


def permission_statements(dialect: str, tables: Tables, permissions: PermissionTable) -> list[str]:
    """Return the statements of `insert_where_missing`, for a script.

    Raises:
        SchemaError: A value cannot be written as a literal.
    """
    return [_written(statement, dialect) for statement in _insertions(tables, permissions, dialect)]


def permission_removals(dialect: str, tables: Tables, permissions: PermissionTable) -> list[str]:
    """Return the statements of `delete_what_was_inserted`, for a script."""
    return [
        _removal_script(permissions, name, dialect, _was_inserted(tables, permissions, name))
        for name in _NAMES
    ]


def _insertions(tables: Tables, permissions: PermissionTable, dialect: str) -> Iterator[sa.Insert]:
    for name in _NAMES:
        remembered = sa.literal(_remembered(permissions, name), sa.Text)
        is_missing = sa.select(remembered).where(~_is_there(permissions, name, dialect))
        remember: sa.Insert = upsert_into(tables.additions, dialect)
        yield remember.from_select(["name"], is_missing).on_conflict_do_nothing()  # type: ignore[attr-defined]  # both dialects have it
        yield _insertion(permissions, name, dialect)


def _insertion(permissions: PermissionTable, name: str, dialect: str) -> sa.Insert:
    columns = permissions.table.c
    values = {**_defaults(permissions), **permissions.values, permissions.name: name}
    row = sa.select(*(sa.type_coerce(one, columns[key].type) for key, one in values.items()))
    return sa.insert(permissions.table).from_select(
        [columns[key] for key in values],
        row.where(~_is_there(permissions, name, dialect)),
        include_defaults=False,
    )


def _defaults(permissions: PermissionTable) -> dict[str, Any]:
    """Return SQLAlchemy's column defaults as values, because scripts need them too."""
    defaults = {key: column.default for key, column in permissions.table.c.items()}
    return {
        key: default.arg(None) if default.is_callable else default.arg
        for key, default in defaults.items()
        if isinstance(default, sa.ColumnDefault)
    }


def _removal(
    permissions: PermissionTable, name: str, dialect: str, *conditions: sa.ColumnElement[bool]
) -> sa.Delete:
    is_row = _is_exactly(permissions.table.c[permissions.name], name, dialect)
    is_held = _is_held(permissions, name, dialect)
    return sa.delete(permissions.table).where(is_row, ~is_held, *conditions)


def _removal_script(
    permissions: PermissionTable, name: str, dialect: str, *conditions: sa.ColumnElement[bool]
) -> str:
    if dialect == "postgresql":
        return _removal_on_postgres(permissions, name, *conditions)
    return _WARNING + _written(_removal(permissions, name, dialect, *conditions), dialect)


def _removal_on_postgres(
    permissions: PermissionTable, name: str, *conditions: sa.ColumnElement[bool]
) -> str:
    """Return a block that deletes a permission unless a row of another table refers to it.

    References with ON DELETE CASCADE or SET NULL count as well. A reference that appears
    after that check violates its foreign key; deferred keys are checked at once.
    """
    column = permissions.table.c[permissions.name].name
    removal = _removal(permissions, name, "postgresql", *conditions)
    table = dialect_named("postgresql").identifier_preparer.format_table(permissions.table)
    return f"""DO {BODY}
DECLARE
    angle_reco_question text;
    angle_reco_is_used boolean;
BEGIN
    FOR angle_reco_question IN
        SELECT format(
            'SELECT EXISTS (SELECT 1 FROM %s AS child JOIN %s AS parent ON %s'
            ' WHERE CAST(parent.%I AS text) COLLATE "C" = %L)',
            c.conrelid::regclass,
            c.confrelid::regclass,
            (
                SELECT string_agg(format('child.%I = parent.%I', a.attname, b.attname), ' AND ')
                  FROM unnest(c.conkey, c.confkey) AS k (child, parent)
                  JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.child
                  JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = k.parent
            ),
            {_literal(column)},
            {_literal(name)}
        )
          FROM pg_constraint c
         WHERE c.contype = 'f' AND c.confrelid = {_literal(table)}::regclass
    LOOP
        EXECUTE angle_reco_question INTO angle_reco_is_used;
        IF angle_reco_is_used THEN
            RETURN;
        END IF;
    END LOOP;
    SET CONSTRAINTS ALL IMMEDIATE;
    {_written(removal, "postgresql")};
EXCEPTION WHEN foreign_key_violation OR restrict_violation THEN
    NULL;
END {BODY}"""  # noqa: S608 — names and values are quoted where they are written


def _is_referred_to(connection: sa.Connection, permissions: PermissionTable, name: str) -> bool:
    """Return whether a row of another table of SQLite refers to a permission's row.

    Most programs do not enable foreign keys in SQLite, so the deletion would not fail.
    """
    table, code = permissions.table, permissions.table.c[permissions.name].name
    keys = sa.inspect(connection).get_multi_foreign_keys(schema=table.schema)
    for (schema, other), found in keys.items():
        for key in found:
            if key["referred_table"].lower() != table.name.lower():
                continue
            ours, theirs = key["referred_columns"], key["constrained_columns"]
            parent = _columns(table.name, {*ours, code}, schema).alias("parent")
            child = _columns(other, theirs, schema).alias("child")
            refers = [parent.c[one] == child.c[its] for one, its in zip(ours, theirs, strict=True)]
            is_row = _is_exactly(parent.c[code], name, "sqlite")
            if connection.scalar(sa.select(1).where(is_row, *refers).limit(1)) is not None:
                return True
    return False


def _columns(table: str, names: Iterable[str], schema: str | None) -> sa.TableClause:
    return sa.table(table, *map(sa.column, names), schema=schema)


def _is_there(permissions: PermissionTable, name: str, dialect: str) -> sa.Exists:
    is_row = _is_exactly(permissions.table.c[permissions.name], name, dialect)
    return sa.exists(sa.select(1).select_from(permissions.table).where(is_row).correlate(None))


def _is_held(permissions: PermissionTable, name: str, dialect: str) -> sa.Exists:
    held = permissions.held.subquery("held").c
    return sa.exists(sa.select(1).where(_is_exactly(held.name, name, dialect)))


def _was_inserted(tables: Tables, permissions: PermissionTable, name: str) -> sa.Exists:
    added = tables.additions.c.name
    return sa.exists(sa.select(1).where(added == _remembered(permissions, name)))


def _is_exactly(
    column: sa.ColumnElement[Any], text: object, dialect: str
) -> sa.ColumnElement[bool]:
    """Return the condition that a column equals *text*, whatever its type and collation."""
    bytes_ = "BINARY" if dialect == "sqlite" else "C"
    return sa.cast(column, sa.Text).collate(bytes_) == text


def _remembered(permissions: PermissionTable, name: str) -> str:
    return f"{permissions.table.fullname}.{permissions.name}={name}"


def _require_table(connection: sa.Connection, permissions: PermissionTable) -> None:
    table = permissions.table
    if not sa.inspect(connection).has_table(table.name, schema=table.schema):
        raise SchemaError(f"PermissionTable names the table {table.fullname}, which is not there")


def _written(statement: sa.ClauseElement, dialect: str) -> str:
    """Return a statement as text, with its values as literals."""
    of = dialect_named(dialect)
    # Before SQLAlchemy 2.1 a dialect without a connection doubles backslashes.
    vars(of).update(_backslash_escapes=False)
    try:
        return str(statement.compile(dialect=of, compile_kwargs={"literal_binds": True}))
    except CompileError as error:
        raise SchemaError(
            f"PermissionTable has a value that cannot be written into a statement ({error}):"
            " give a SQLAlchemy expression in its place"
        ) from error


def _write(op: "Operations", statement: str) -> None:
    # Written directly, because Alembic may double each % when it compiles a statement.
    op.get_context().impl.static_output(f"{statement};")


def _as_text(statement: str) -> sa.TextClause:
    return sa.text(statement.replace(":", "\\:"))


def _literal(text: str) -> str:
    return _written(sa.literal(text, sa.Text), "postgresql")
