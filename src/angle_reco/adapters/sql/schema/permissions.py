"""Permissions in tables: checking whether a user holds one, and adding ours to a host's table."""

from typing import TYPE_CHECKING, Any

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import CompileError

from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.types import id_type
from angle_reco.adapters.sql.schema.host_schema import PermissionTable, Query
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.adapters.sql.schema.texts import written
from angle_reco.domain.errors import InvalidValueError, SchemaError
from angle_reco.domain.ids import IdKind, IdKinds, UserId
from angle_reco.domain.policies import INSPECT_USERS, MANAGE_RECOMMENDATIONS

if TYPE_CHECKING:
    from alembic.operations import Operations

_NAMES = (MANAGE_RECOMMENDATIONS, INSPECT_USERS)


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
        is_held = sa.exists().where(user == user_id, _is_exactly(held.name, name, dialect))
        if is_text:
            is_held = is_held.where(_is_exactly(user, user_id, dialect))
        return bool(self.database.scalar(sa.select(is_held)))


def add_permissions(op: "Operations", permissions: PermissionTable) -> None:
    """Insert our permissions where they are missing, in a migration of the host.

    *op* is Alembic's.
    """
    context = op.get_context()
    if context.as_sql:
        for statement in permission_statements(context.dialect.name, permissions):
            # Written directly, because Alembic may double each % when it compiles a statement.
            context.impl.static_output(f"{statement};")
    else:
        for insertion in _insertions(permissions, context.dialect.name):
            op.execute(insertion)


def insert_where_missing(connection: sa.Connection, permissions: PermissionTable) -> bool:
    """Insert missing permissions; return False if none was missing.

    Raises:
        SchemaError: There is no such table.
    """
    table = permissions.table
    if not sa.inspect(connection).has_table(table.name, schema=table.schema):
        raise SchemaError(f"PermissionTable names the table {table.fullname}, which is not there")
    insertions = _insertions(permissions, connection.dialect.name)
    return sum(connection.execute(one).rowcount for one in insertions) > 0


def permission_statements(dialect: str, permissions: PermissionTable) -> list[str]:
    """Return the statements of `insert_where_missing`, for a script.

    Raises:
        SchemaError: A value cannot be written as a literal.
    """
    try:
        return [written(one, dialect) for one in _insertions(permissions, dialect)]
    except CompileError as error:
        raise SchemaError(
            f"PermissionTable has a value that cannot be written into a statement ({error}):"
            " give a SQLAlchemy expression in its place"
        ) from error


def what_stays(permissions: PermissionTable) -> str:
    """Return a line about the rows that `migrate down` leaves in the host's table."""
    table = " ".join(permissions.table.fullname.split())
    return f"left in the table {table}: the permissions {' and '.join(_NAMES)}"


def _insertions(permissions: PermissionTable, dialect: str) -> list[sa.Insert]:
    return [_insertion(permissions, name, dialect) for name in _NAMES]


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


def _is_there(permissions: PermissionTable, name: str, dialect: str) -> sa.Exists:
    is_row = _is_exactly(permissions.table.c[permissions.name], name, dialect)
    return sa.exists().select_from(permissions.table).where(is_row).correlate(None)


def _is_exactly(
    column: sa.ColumnElement[Any], text: object, dialect: str
) -> sa.ColumnElement[bool]:
    """Return the condition that a column equals *text*, whatever its type and collation."""
    bytes_ = "BINARY" if dialect == "sqlite" else "C"
    return sa.cast(column, sa.Text).collate(bytes_) == text
