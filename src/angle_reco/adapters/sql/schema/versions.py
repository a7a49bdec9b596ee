"""The revision of the tables in a database, and checks that this release can use it."""

import sqlalchemy as sa

from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.engine import file_of
from angle_reco.adapters.sql.schema.additions import require_columns
from angle_reco.adapters.sql.schema.host_schema import HostSchema
from angle_reco.adapters.sql.schema.tables import REFERENCE_SCHEMA, Tables
from angle_reco.domain.errors import SchemaError
from angle_reco.domain.ids import IdKind, IdKinds
from angle_reco.domain.lists import ListKind

HEAD = "0005"
"""The revision that this release works with."""

_KNOWN = tuple(f"{number:04}" for number in range(1, int(HEAD) + 1))


def schema_version(
    database: Database, tables: Tables, host: HostSchema | None = None
) -> str | None:
    """Return the revision of a database, None if our tables do not exist.

    Raises:
        SchemaError: The tables have ids of other kinds, belong to another source (a host's
            schema or the reference schema), or are from a later release.
    """
    if not database.is_postgres and not is_there(database.engine):
        return None
    with database.reading() as connection:
        return version_of(connection, tables, host)


def require_revision(connection: sa.Connection, tables: Tables) -> None:
    """Check that our tables are not at an earlier revision.

    Raises:
        SchemaError: They are at an earlier revision.
    """
    version = connection.scalar(sa.select(tables.version.c.version_num))
    if version in _KNOWN and version != HEAD:
        raise SchemaError(_is_old(version, connection.engine.url.database))


def require_schema(database: Database, tables: Tables, host: HostSchema | None) -> None:
    """Check that the database is at the revision of this release, with the sign-in columns.

    Raises:
        SchemaError: It is not; the text says what to do.
    """
    version = schema_version(database, tables, host)
    where = database.engine.url.database
    if version == HEAD:
        if host is not None and host.sign_ins is not None:
            with database.reading() as connection:
                require_columns(connection, host.sign_ins)
        return
    if version is not None:
        raise SchemaError(_is_old(version, where))
    if host is not None:
        raise SchemaError(
            f"{where} has no table {tables.version.fullname}: create our tables with"
            " `angle-reco migrate up` (in Python: connect with migrate=True)"
        )
    raise SchemaError(
        f"{where} holds no marketplace: bring one in with `angle-reco import"
        " DIRECTORY`, or create the tables with `angle-reco migrate up`"
        " (in Python: connect with migrate=True)"
    )


def version_of(connection: sa.Connection, tables: Tables, host: HostSchema | None) -> str | None:
    """Return the revision, like `schema_version`, of a database that exists."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(tables.version.name, schema=tables.schema):
        return None
    columns = {
        column["name"] for column in inspector.get_columns(tables.version.name, tables.schema)
    }
    versions = (
        connection.scalars(sa.select(tables.version.c.version_num)).all()
        if "version_num" in columns
        else []
    )
    if len(versions) != 1:
        raise SchemaError(f"the table {tables.version.fullname} is none of this release's")
    if versions[0] not in _KNOWN:
        raise SchemaError(
            f"the schema is at revision {versions[0]}, which this release does not know:"
            " install a newer angle-reco"
        )
    try:
        kinds = _kinds(inspector, tables)
    except sa.exc.NoSuchTableError as error:
        raise SchemaError(
            f"{tables.version.fullname} is there, but not the table {error}"
        ) from None
    if kinds != tables.ids:
        raise SchemaError(
            f"the ids there are {_spelled(kinds)}, but the settings say {_spelled(tables.ids)}:"
            " name them by Settings(ids=IdKinds(user=…, item=…, category=…))"
        )
    _require_same_source(connection, tables, host)
    return str(versions[0])


def is_there(engine: sa.Engine) -> bool:
    """Return whether the database exists; connecting would create a missing file."""
    name = engine.url.database
    if not name or name == ":memory:" or name.startswith("file:"):
        return True
    try:
        return file_of(engine).exists()
    except OSError:  # the name cannot be that of a file
        return False


def _is_old(version: str, where: str | None) -> str:
    return (
        f"the tables in {where} are at revision {version}, this release needs {HEAD}: run"
        " `angle-reco migrate up`"
    )


def _require_same_source(
    connection: sa.Connection, tables: Tables, host: HostSchema | None
) -> None:
    """Check that our tables were created for the same source: a host or the reference schema."""
    named = sa.select(tables.additions.c.name).where(tables.additions.c.name == REFERENCE_SCHEMA)
    has_reference = connection.scalar(named) is not None
    if host is None and not has_reference:
        raise SchemaError(
            "the tables there serve a HostSchema: say which application that is with"
            " `--app module:name` (in Python: connect with host=...)"
        )
    if host is not None and has_reference:
        raise SchemaError(
            "the tables there come with the reference schema, but a HostSchema is given: take"
            " another schema or prefix for ours, or connect without host"
        )


def _kinds(inspector: sa.Inspector, tables: Tables) -> IdKinds:
    """Return the kinds of ids in the tables, by the types of their columns."""
    interests = {
        column["name"]: column["type"]
        for column in inspector.get_columns(tables.interests.name, tables.schema)
    }
    of_items = {
        column["name"]: column["type"]
        for column in inspector.get_columns(tables.lists[ListKind.SIMILAR].name, tables.schema)
    }
    return IdKinds(
        user=_kind(interests["user_id"]),
        item=_kind(of_items["owner"]),
        category=_kind(interests["category_id"]),
    )


def _kind(of: sa.types.TypeEngine[object]) -> IdKind:
    match of:
        case sa.BigInteger():
            return IdKind.INT
        case sa.Uuid() | sa.CHAR():
            return IdKind.UUID
        case _:
            return IdKind.TEXT


def _spelled(ids: IdKinds) -> str:
    return f"{ids.user} of users, {ids.item} of items and {ids.category} of categories"
