"""A database with its table names, time limits and host schema, and the adapters on it."""

import logging
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from hashlib import blake2b

import attrs
import sqlalchemy as sa

from angle_reco.adapters.sql.core.borrowing import Borrowed
from angle_reco.adapters.sql.core.database import Database, Statements
from angle_reco.adapters.sql.core.engine import close_engine
from angle_reco.adapters.sql.core.snapshot import in_snapshot
from angle_reco.adapters.sql.market.activity import SqlActivity, SqlRecorder
from angle_reco.adapters.sql.market.catalog import SqlCatalog
from angle_reco.adapters.sql.market.checking import check_selects, check_sign_ins, require_server
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
from angle_reco.adapters.sql.results.models import SqlModelStore
from angle_reco.adapters.sql.schema.host_schema import HostSchema
from angle_reco.adapters.sql.schema.migrations import migrate_down, migrate_up
from angle_reco.adapters.sql.schema.permissions import SqlPermissions, what_stays
from angle_reco.adapters.sql.schema.readiness import require_ready
from angle_reco.adapters.sql.schema.scripts import migration_sql
from angle_reco.adapters.sql.schema.tables import DEFAULT_PREFIX, Tables
from angle_reco.adapters.sql.schema.versions import HEAD, require_schema, schema_version
from angle_reco.domain.errors import InvalidValueError, SchemaError, StorageError
from angle_reco.domain.ids import IdKinds
from angle_reco.domain.prices import PriceScale
from angle_reco.domain.type_checks import is_a
from angle_reco.ports.deadlines import deadline

_CALLS_A_CHECK = 5

_ROWS_POINTED_OUT, _SECONDS_TO_POINT_OUT = 1_000, 1.0
"""Limits of `Storage.log_findings`: rows of each select, and seconds for all selects together."""

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class SqlPorts:
    """The adapters of one storage, one field per port.

    *recorder* stores events and exists only on the reference schema. *permissions* is None
    where no table of permissions is known.
    """

    users: SqlUsers
    activity: SqlActivity
    recorder: SqlRecorder | None
    catalog: SqlCatalog
    interests: SqlInterestStore
    lists: SqlListStore
    models: SqlModelStore
    erasure: SqlErasure
    ledger: SqlRunLedger
    changes: SqlChanges
    permissions: SqlPermissions | None


@attrs.frozen(kw_only=True)
class Storage:
    """One database, the names of our tables in it, and the host's schema if it has one.

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
        """Return the storage on *engine*, without sending a statement.

        Raises:
            InvalidValueError: The schema or prefix cannot be part of a name, or *host* is no
                HostSchema.
        """
        if schema is not None and engine.dialect.name == "sqlite":
            raise InvalidValueError("schema of tables", schema, "None: SQLite has no schemas")
        if host is not None and not is_a(host, HostSchema):
            raise InvalidValueError("host", host, "a HostSchema, or None")
        mine, statements = Statements.of(engine)
        # Not with a Database: qualified() makes a second one, on the same pool.
        weakref.finalize(mine, close_engine, engine)
        return cls(
            database=Database(mine, deadline, borrowed=borrowed),
            statements=statements,
            tables=Tables.of(ids, schema=schema, prefix=prefix),
            prices=prices,
            host=host,
        )

    def qualified(self) -> "Storage":
        """Return the storage with schema-qualified table names, independent of the search path.

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
        # A host may also set its own search path to the schema that is named here.
        homes = tuple(dict.fromkeys(one for one in (home, schema) if one is not None))
        return attrs.evolve(self, database=attrs.evolve(self.database, homes=homes), tables=tables)

    @property
    def is_borrowed(self) -> bool:
        """Return whether every statement runs on one connection of the host."""
        return self.database.borrowed is not None

    @property
    def takes_several_units(self) -> bool:
        """Return whether reads and writes of several threads do not wait for each other."""
        return self.database.is_postgres and not self.is_borrowed

    @property
    def fingerprint(self) -> str:
        """Return a short text that differs for other databases, schemas and prefixes."""
        url, tables = self.database.engine.url, self.tables
        server = (url.drivername, url.host, url.port, url.query)
        place = repr((server, url.database, tables.schema, tables.prefix))
        return blake2b(place.encode(errors="backslashreplace"), digest_size=6).hexdigest()

    @cached_property
    def market(self) -> Market:
        """Return the tables or selects in which queries find the marketplace."""
        if self.host is None:
            return Market.of_reference(self.tables, self.database.dialect)
        return Market.of_host(self.host, self.tables, self._columns)

    @property
    def permissions(self) -> SqlPermissions | None:
        """Return the permissions in tables of the reference schema or the host, None without."""
        if self.host is None:
            return SqlPermissions.of_reference(self.database, self.tables)
        if self.host.permissions is None:
            return None
        return SqlPermissions(self.database, self.host.permissions.held, self.tables.ids)

    def ports(self) -> SqlPorts:
        """Return the adapters of this storage."""
        database, tables, market = self.database, self.tables, self.market
        is_reference, changes = self.host is None, SqlChanges(database, tables)
        return SqlPorts(
            users=SqlUsers(database, tables, market, ErasedUsers(tables)),
            activity=SqlActivity(database, tables, market, self.prices),
            recorder=SqlRecorder(database, tables, self.prices) if is_reference else None,
            catalog=SqlCatalog(database, tables, market, self.prices),
            interests=SqlInterestStore(database, tables),
            lists=SqlListStore(database, tables),
            models=SqlModelStore(database, tables),
            erasure=SqlErasure(database, tables, changes),
            ledger=SqlRunLedger(database, tables),
            changes=changes,
            permissions=self.permissions,
        )

    @contextmanager
    def snapshot(self) -> Iterator["Storage"]:
        """Open the storage on one snapshot, through which nothing is written, until the block ends.

        On a borrowed connection the host's transaction decides what is seen.

        Raises:
            StorageUnavailableError: The database did not answer.
        """
        if self.is_borrowed:
            yield self
            return
        with in_snapshot(self.database) as database:
            yield attrs.evolve(self, database=database)

    def check_host(self) -> None:
        """Check that the host's selects can be used; our tables need not exist.

        Raises:
            SchemaError: A select cannot be used; the text says which and why.
            StorageUnavailableError: The database did not answer.
        """
        if self.host is not None:
            with deadline(self.database.deadline.total_seconds() * _CALLS_A_CHECK):
                self._check_selects(self.host)

    def _check_selects(self, host: HostSchema) -> None:
        check_selects(self.database, host, self.tables.ids)
        require_readable_ids(self.database, host, self._columns)

    def check(self) -> None:
        """Check that our tables exist, and that the host's selects can be used.

        Raises:
            SchemaError: A table is missing or a select cannot be used; the text says which
                and what to do.
            StorageUnavailableError: The database did not answer.
        """
        # A dozen small queries: this needs the time of a few calls, not the patience of jobs.
        with deadline(self.database.deadline.total_seconds() * _CALLS_A_CHECK):
            require_server(self.database)
            require_schema(self.database, self.tables, self.host)
            if self.host is not None:
                self._check_selects(self.host)
                if self.host.sign_ins is not None:
                    check_sign_ins(self.database, self.host.sign_ins, self.tables.ids)

    def require_ready(self) -> None:
        """Check that jobs and events can read and write, without writing a row.

        Raises:
            SchemaError: A table of ours or the host is missing, or from an earlier release.
            StorageError: The database's user lacks a privilege that jobs or events need.
            StorageUnavailableError: The database did not answer, or takes no writes now.
        """
        require_ready(self.database, self.tables, self.host)

    def findings(self, *, everything: bool = True) -> tuple[Finding, ...]:
        """Return the odd values in the host's rows; the reference schema has none.

        With *everything*, read all rows, otherwise the first rows of each select.
        """
        if self.host is None:
            return ()
        most = None if everything else ROWS_LOOKED_AT
        return tuple(findings(self.database, self.host, self._columns, most=most))

    def log_findings(self) -> None:
        """Log odd values in the first rows of the host's selects, unless that takes too long."""
        if self.host is None:
            return
        most = _ROWS_POINTED_OUT
        try:
            with deadline(_SECONDS_TO_POINT_OUT):
                found = list(findings(self.database, self.host, self._columns, most=most))
        except StorageError as error:
            _log.info("rows not checked: error=%s", type(error).__name__)
            return
        if found:
            labels = ",".join(dict.fromkeys(f"{one.select}.{one.label}" for one in found))
            _log.warning("selects have odd rows: labels=%s looked_at=%d", labels, most)

    @property
    def _columns(self) -> HostColumns:
        zone = self.host.time_zone if self.host is not None else None
        return HostColumns(self.tables.ids, self.prices, self.database.dialect, zone or "UTC")

    def migrate_up(self) -> bool:
        """Migrate the schema to the revision of this release; return False if it was there."""
        require_server(self.database)
        return migrate_up(self.database, self.tables, self.host)

    def migrate_down(self) -> bool:
        """Drop all our tables with their content; return False if there were none."""
        return migrate_down(self.database, self.tables, self.host)

    @property
    def stays_after_down(self) -> str | None:
        """Return a line about the permissions that `migrate_down` leaves, None without a table."""
        permissions = None if self.host is None else self.host.permissions
        return None if permissions is None else what_stays(permissions)

    def migration_sql(self, *, is_up: bool) -> str:
        """Return the statements of a migration as a script, without running it."""
        return migration_sql(self.database.dialect, self.tables, self.host, is_up=is_up)

    def close(self) -> None:
        """Close idle connections; new ones are opened on demand."""
        close_engine(self.database.engine)

    def revisions(self) -> tuple[str | None, str]:
        """Return the revision of the database, None without one, and that of this release."""
        return schema_version(self.database, self.tables, self.host), HEAD
