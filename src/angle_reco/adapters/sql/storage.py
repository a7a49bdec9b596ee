"""A database with all that says how it is used: whose tables, named how, in how much time."""

import logging
import weakref
from datetime import timedelta
from functools import cached_property

import attrs
import sqlalchemy as sa

from angle_reco.adapters.sql.core.borrowing import Borrowed
from angle_reco.adapters.sql.core.database import Database, Statements
from angle_reco.adapters.sql.core.engine import close_engine
from angle_reco.adapters.sql.market.activity import SqlActivity, SqlRecorder
from angle_reco.adapters.sql.market.catalog import SqlCatalog
from angle_reco.adapters.sql.market.checking import check_selects, check_sign_ins, require_version
from angle_reco.adapters.sql.market.erased_users import ErasedUsers
from angle_reco.adapters.sql.market.findings import (
    ROWS_LOOKED_AT,
    Finding,
    findings,
    require_readable_ids,
)
from angle_reco.adapters.sql.market.host_columns import HostColumns
from angle_reco.adapters.sql.market.market import Market
from angle_reco.adapters.sql.market.users import SqlUsers
from angle_reco.adapters.sql.results.changes import SqlChanges
from angle_reco.adapters.sql.results.erasure import SqlErasure
from angle_reco.adapters.sql.results.interests import SqlInterestStore
from angle_reco.adapters.sql.results.ledger import SqlRunLedger
from angle_reco.adapters.sql.results.lists import SqlListStore
from angle_reco.adapters.sql.schema.host_schema import HostSchema
from angle_reco.adapters.sql.schema.migrations import (
    HEAD,
    migrate_down,
    migrate_up,
    require_schema,
    schema_version,
)
from angle_reco.adapters.sql.schema.permissions import SqlPermissions
from angle_reco.adapters.sql.schema.readiness import require_ready
from angle_reco.adapters.sql.schema.scripts import migration_sql
from angle_reco.adapters.sql.schema.tables import DEFAULT_PREFIX, Tables
from angle_reco.domain.errors import InvalidValueError, SchemaError, StorageError
from angle_reco.domain.ids import IdKinds
from angle_reco.domain.prices import PriceScale
from angle_reco.domain.type_checks import is_a
from angle_reco.ports.deadlines import deadline

_CALLS_A_CHECK = 5

_ROWS_POINTED_OUT, _SECONDS_TO_POINT_OUT = 1_000, 1.0
"""Of each select when connecting, and for all of them together."""

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class SqlPorts:
    """The adapters of one storage, a field a port.

    A *recorder* stores events on the reference schema; *permissions* are in a table.
    """

    users: SqlUsers
    activity: SqlActivity
    recorder: SqlRecorder | None
    catalog: SqlCatalog
    interests: SqlInterestStore
    lists: SqlListStore
    erasure: SqlErasure
    ledger: SqlRunLedger
    changes: SqlChanges
    permissions: SqlPermissions | None


@attrs.frozen(kw_only=True)
class Storage:
    """One database, the names of our tables in it, and the host's schema if there is one.

    Without a *host* the marketplace is in the reference schema, beside our tables.
    """

    database: Database
    statements: Statements
    tables: Tables
    prices: PriceScale
    host: HostSchema | None

    @classmethod
    def of(
        cls,
        engine: sa.Engine,
        *,
        ids: IdKinds,
        prices: PriceScale,
        deadline: timedelta,
        host: HostSchema | None = None,
        schema: str | None = None,
        prefix: str = DEFAULT_PREFIX,
        borrowed: Borrowed | None = None,
    ) -> "Storage":
        """Return the storage on an engine of ours; nothing is asked of the database yet.

        Raises:
            InvalidValueError: A name cannot be one of a schema or table.
        """
        if schema is not None and engine.dialect.name == "sqlite":
            raise InvalidValueError("schema of tables", schema, "None: SQLite has no schemas")
        if host is not None and not is_a(host, HostSchema):
            raise InvalidValueError("host", host, "a HostSchema, or None")
        mine, statements = Statements.of(engine)
        return cls(
            database=_closed_when_dropped(Database(mine, deadline, borrowed=borrowed)),
            statements=statements,
            tables=Tables.of(ids, schema=schema, prefix=prefix),
            prices=prices,
            host=host,
        )

    def qualified(self) -> "Storage":
        """Return the storage with its tables named with their schema, whatever the search path.

        Raises:
            SchemaError: No schema is named, and none of the search path exists.
            StorageUnavailableError: The database did not answer.
        """
        if not self.database.is_postgres:
            return self
        home = self.database.scalar(sa.select(sa.func.current_schema()))
        schema = self.tables.schema or home
        if schema is None:
            raise SchemaError("no schema of the search_path exists: name one with schema=")
        tables = Tables.of(self.tables.ids, schema=schema, prefix=self.tables.prefix)
        # A host that names the schema may set its search path to it, too.
        homes = tuple(dict.fromkeys(one for one in (home, schema) if one is not None))
        database = _closed_when_dropped(attrs.evolve(self.database, homes=homes))
        return attrs.evolve(self, database=database, tables=tables)

    @property
    def is_borrowed(self) -> bool:
        """Return whether everything runs on one connection of the host's."""
        return self.database.borrowed is not None

    @cached_property
    def market(self) -> Market:
        """Return the marketplace as the queries see it."""
        if self.host is None:
            return Market.of_reference(self.tables, self.database.dialect)
        return Market.of_host(self.host, self.tables, self._columns)

    @property
    def permissions(self) -> SqlPermissions | None:
        """Return the permissions that are in a table, the reference schema's or the host's."""
        if self.host is None:
            return SqlPermissions.of_reference(self.database, self.tables)
        if self.host.permissions is None:
            return None
        return SqlPermissions(self.database, self.host.permissions.held, self.tables.ids)

    def ports(self) -> SqlPorts:
        """Return the adapters on this storage."""
        database, tables, market = self.database, self.tables, self.market
        is_reference, changes = self.host is None, SqlChanges(database, tables)
        return SqlPorts(
            users=SqlUsers(database, tables, market, ErasedUsers(tables)),
            activity=SqlActivity(database, tables, market, self.prices),
            recorder=SqlRecorder(database, tables, self.prices) if is_reference else None,
            catalog=SqlCatalog(database, tables, market, self.prices),
            interests=SqlInterestStore(database, tables),
            lists=SqlListStore(database, tables),
            erasure=SqlErasure(database, tables, changes),
            ledger=SqlRunLedger(database, tables),
            changes=changes,
            permissions=self.permissions,
        )

    def check_host(self) -> None:
        """Make sure that the host's selects can be used, whether or not our tables are there.

        Raises:
            SchemaError: They cannot; the text says which and why.
            StorageUnavailableError: The database did not answer.
        """
        if self.host is not None:
            with deadline(self.database.deadline.total_seconds() * _CALLS_A_CHECK):
                self._check_selects(self.host)

    def _check_selects(self, host: HostSchema) -> None:
        check_selects(self.database, host, self.tables.ids)
        require_readable_ids(self.database, host, self._columns)

    def check(self) -> None:
        """Make sure that our tables are there, and that the host's selects can be used.

        Raises:
            SchemaError: They are not, or cannot; the text says which and what to do.
            StorageUnavailableError: The database did not answer.
        """
        # A dozen small questions: no job that would have to be patient.
        with deadline(self.database.deadline.total_seconds() * _CALLS_A_CHECK):
            require_version(self.database)
            require_schema(self.database, self.tables, self.host)
            if self.host is not None:
                self._check_selects(self.host)
                if self.host.sign_ins is not None:
                    check_sign_ins(self.database, self.host.sign_ins, self.tables.ids)

    def require_ready(self) -> None:
        """Make sure that jobs and events can do their work: it is asked, and no row written.

        Raises:
            SchemaError: A table is missing, ours or the host's.
            StorageError: This user of the database may not do what they do.
            StorageUnavailableError: The database did not answer, or takes no writes now.
        """
        require_ready(self.database, self.tables, self.host)

    def findings(self, *, everything: bool = True) -> tuple[Finding, ...]:
        """Return what is odd about the host's rows; on the reference schema nothing is.

        Of *everything*, or of the first rows of each select.
        """
        if self.host is None:
            return ()
        most = None if everything else ROWS_LOOKED_AT
        return tuple(findings(self.database, self.host, self._columns, most=most))

    def point_out(self) -> None:
        """Log what is odd among the first rows of the host's selects, where that is quick."""
        if self.host is None:
            return
        most = _ROWS_POINTED_OUT
        try:
            with deadline(_SECONDS_TO_POINT_OUT):
                found = list(findings(self.database, self.host, self._columns, most=most))
        except StorageError as error:
            _log.info("rows not looked at: error=%s", type(error).__name__)
            return
        if found:
            labels = ",".join(dict.fromkeys(f"{one.select}.{one.label}" for one in found))
            _log.warning("selects have odd rows: labels=%s rows=%d", labels, most)

    @property
    def _columns(self) -> HostColumns:
        zone = self.host.time_zone if self.host is not None else None
        return HostColumns(self.tables.ids, self.prices, self.database.dialect, zone or "UTC")

    def migrate_up(self) -> bool:
        """Bring the schema to where this release expects it; False when it was there."""
        require_version(self.database)
        return migrate_up(self.database, self.tables, self.host)

    def migrate_down(self) -> bool:
        """Drop every table of ours with all it holds; False when there was none."""
        return migrate_down(self.database, self.tables, self.host)

    def migration_sql(self, *, is_up: bool) -> str:
        """Return the statements of a migration, to be run by somebody else."""
        return migration_sql(self.database.dialect, self.tables, self.host, is_up=is_up)

    def close(self) -> None:
        """Close the connections that nothing uses; new ones are made on demand."""
        close_engine(self.database.engine)

    def revisions(self) -> tuple[str | None, str]:
        """Return the revision that the database is at, and the one that it should be at."""
        return schema_version(self.database, self.tables, self.host), HEAD


def _closed_when_dropped(database: Database) -> Database:
    """Return a database whose connections are closed where a recommender never is."""
    weakref.finalize(database, close_engine, database.engine)
    return database
