"""Migrations as scripts of SQL, to be run with other tools."""

import io

import sqlalchemy as sa

from angle_reco.adapters.sql.schema.additions import addition_statements, removal_statements
from angle_reco.adapters.sql.schema.host_schema import HostSchema
from angle_reco.adapters.sql.schema.migrations import run_revisions
from angle_reco.adapters.sql.schema.permissions import permission_statements, what_stays
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.adapters.sql.schema.texts import BODY, literal, written

# Rules of squawk, a linter that many hosts run on migrations. Scores (millionths) and codes
# fit small types and are stored in long arrays; Alembic defines the version table.
_LINTS_OF_UP = ("prefer-bigint-over-int", "prefer-bigint-over-smallint", "prefer-text-field")
# A downgrade is meant to drop them.
_LINTS_OF_DOWN = ("ban-drop-column", "ban-drop-table", "ban-drop-view")


def migration_sql(dialect: str, tables: Tables, host: HostSchema | None, *, is_up: bool) -> str:
    """Return the statements of `migrate_up` or `migrate_down` as a script."""
    script = io.StringIO()
    columns, permissions = (None, None) if host is None else (host.sign_ins, host.permissions)
    if dialect == "postgresql":
        ignored = _LINTS_OF_UP if is_up else _LINTS_OF_DOWN
        script.write(f"-- squawk-ignore-file {', '.join(ignored)}\n")
        script.write("SET lock_timeout = '1s';\nSET statement_timeout = '1min';\n\n")
    if is_up:
        script.write(_as_script(["BEGIN", *_schema_statements(tables)]))
        run_revisions("head", tables, host, dialect=dialect, script=script)
        if permissions is not None:
            script.write(_as_script(permission_statements(dialect, permissions)))
        if columns is not None:
            # In a separate transaction, so that the host's table is locked only briefly.
            added = addition_statements(dialect, tables, columns)
            script.write(_as_script(["COMMIT", "BEGIN", *added]))
    else:
        script.write(_as_script(["BEGIN"]))
        if permissions is not None:
            script.write(f"-- {what_stays(permissions)}\n\n")
        if columns is not None:
            script.write(_as_script(removal_statements(dialect, tables, columns)))
        run_revisions("base", tables, host, dialect=dialect, script=script)
        # Alembic before 1.19 writes this statement, too.
        drop = sa.schema.DropTable(tables.version, if_exists=True)
        script.write(_as_script([written(drop, dialect)]))
    script.write("COMMIT;\n")
    return script.getvalue()


def _schema_statements(tables: Tables) -> list[str]:
    if tables.schema is None:
        return []
    # Unlike CREATE SCHEMA IF NOT EXISTS, this needs no right to create an existing schema.
    create = written(sa.schema.CreateSchema(tables.schema), "postgresql")
    return [
        f"DO {BODY} BEGIN IF NOT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname ="  # noqa: S608 — quoted
        f" {literal(tables.schema)}) THEN {create}; END IF; END {BODY}"
    ]


def _as_script(statements: list[str]) -> str:
    return "".join(f"{statement};\n\n" for statement in statements)
