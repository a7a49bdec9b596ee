"""Creating the tables, and telling a database of ours from any other."""

from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from angle_reco.adapters.sql.engine import reading, transaction
from angle_reco.adapters.sql.schema import VERSION, Tables
from angle_reco.adapters.sql.views import create_views
from angle_reco.domain import IdKinds, SchemaError, StorageError


def schema_version(engine: sa.Engine, tables: Tables) -> int | None:
    """Return the version of the schema in a database, None where there is none of ours.

    Raises:
        SchemaError: The ids there are of other kinds, or it was made by a later release.
    """
    if engine.dialect.name == "sqlite" and not _is_there(engine):
        return None
    with reading(engine) as connection:
        return _version(connection, tables)


def require_schema(engine: sa.Engine, tables: Tables) -> None:
    """Make sure that the database has our tables.

    Raises:
        SchemaError: It has not; the text says how to create them.
    """
    if schema_version(engine, tables) is None:
        raise SchemaError(
            f"{engine.url.database} holds no marketplace: bring one in with `angle-reco import"
            " DIRECTORY`, or create the tables with `angle-reco migrate up`"
            " (in Python: connect with migrate=True)"
        )


def migrate_up(engine: sa.Engine, tables: Tables) -> bool:
    """Create whatever is missing of the schema; False when all of it was there.

    Raises:
        SchemaError: There are other tables already, which would be mixed with ours.
    """
    is_new = schema_version(engine, tables) is None
    if is_new:
        with transaction(engine) as connection:
            create_schema(connection, tables)
    let_readers_in(engine)
    return is_new


def let_readers_in(engine: sa.Engine) -> None:
    """Have readers and a writer no longer wait for each other; the file remembers it.

    While somebody else uses the database, or where nobody can write to it, that stays
    for the next time.
    """
    with suppress(StorageError), reading(engine) as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def create_schema(connection: sa.Connection, tables: Tables) -> None:
    """Create the schema in a database that holds none, within the caller's transaction.

    Another process may just have done so; then there is nothing to do.
    """
    if _version(connection, tables) is not None:
        return
    others = sa.inspect(connection).get_table_names()
    if others:
        names = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
        raise SchemaError(
            f"{connection.engine.url.database} holds other tables already ({names}):"
            " name a new file, or one that angle-reco made"
        )
    tables.metadata.create_all(connection)
    create_views(connection, tables)
    kinds = tables.ids
    connection.execute(
        sa.insert(tables.version).values(
            version=VERSION,
            user_ids=kinds.user.value,
            item_ids=kinds.item.value,
            category_ids=kinds.category.value,
        )
    )


def migrate_down(engine: sa.Engine, tables: Tables) -> bool:
    """Drop every table and view of ours with what is in them; False when none was there."""
    if schema_version(engine, tables) is None:
        return False
    with transaction(engine) as connection:
        for view in sa.inspect(connection).get_view_names():
            if view.startswith("angle_reco_"):
                quoted = connection.dialect.identifier_preparer.quote(view)
                connection.exec_driver_sql(f"DROP VIEW {quoted}")
        tables.metadata.drop_all(connection)
    return True


def _is_there(engine: sa.Engine) -> bool:
    """Return whether there is a file to look into: connecting would make one."""
    name = engine.url.database
    return not name or name == ":memory:" or name.startswith("file:") or Path(name).exists()


def _version(connection: sa.Connection, tables: Tables) -> int | None:
    if not sa.inspect(connection).has_table(tables.version.name):
        return None
    row = connection.execute(sa.select(tables.version)).one_or_none()
    if row is None:
        raise SchemaError("the table angle_reco_version is empty: this is no database of ours")
    kinds = IdKinds(user=row.user_ids, item=row.item_ids, category=row.category_ids)
    if row.version > VERSION:
        raise SchemaError(
            f"the schema has version {row.version}, this release knows up to {VERSION}:"
            " install a newer angle-reco"
        )
    if kinds != tables.ids:
        raise SchemaError(
            f"the ids there are {_spelled(kinds)}, but the settings say {_spelled(tables.ids)}"
        )
    return int(row.version)


def _spelled(ids: IdKinds) -> str:
    return f"{ids.user} of users, {ids.item} of items and {ids.category} of categories"
