"""Migrations on both databases: what they make and leave alone, and what they survive.

What takes luck to fail is tried a few times, and at full size with
ANGLE_RECO_TEST_SIZE=full.
"""

import importlib
import io
import multiprocessing
import os
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeAlias

import attrs
import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from angle_reco import (
    HostSchema,
    IdKind,
    IdKinds,
    Reason,
    Recommender,
    SchemaError,
    Settings,
    Source,
    StorageError,
)
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.schema.migrations import migrate_up
from angle_reco.adapters.sql.schema.tables import DEFAULT_PREFIX, quoted_name
from angle_reco.adapters.sql.schema.versions import HEAD
from angle_reco.adapters.sql.schema.views import view_names, view_statements
from angle_reco.adapters.sql.storage import Storage
from angle_reco.domain.lists import EVERYTHING
from angle_reco.domain.popular import popular_owner
from angle_reco.results import StoredLine
from angle_reco.rules import ListKind
from angle_reco.sql import SignInColumns, include_object
from angle_reco.testing import Item
from angle_reco.testing.contracts import Sample
from angle_reco.testing.contracts.samples import NOW
from tests.adapters.databases import fill, ports_on
from tests.postgres import new_database

IS_FULL = os.environ.get("ANGLE_RECO_TEST_SIZE") == "full"
KILLS = 50 if IS_FULL else 3

DEADLINE = timedelta(seconds=20)

TYPES: dict[IdKind, Callable[[], sa.types.TypeEngine[Any]]] = {
    IdKind.INT: sa.BigInteger,
    IdKind.UUID: sa.Uuid,
    IdKind.TEXT: sa.Text,
}
INTS, UUIDS, TEXTS = (IdKinds(user=kind, item=kind, category=kind) for kind in TYPES)
MIXED = IdKinds(user=IdKind.INT, item=IdKind.UUID, category=IdKind.TEXT)

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["alembic.command", "angle_reco.adapters.sql", "angle_reco.testing.contracts", "pytest"]
)


class Shop:
    """A host's own tables, and how they are mapped."""

    def __init__(self, ids: IdKinds, *columns: sa.Column[Any]) -> None:
        self.metadata = sa.MetaData()
        self.members = sa.Table(
            "members",
            self.metadata,
            sa.Column("id", TYPES[ids.user](), primary_key=True, autoincrement=False),
            sa.Column("name", sa.Text, index=True),
            *columns,
        )
        self.lots = sa.Table(
            "lots",
            self.metadata,
            sa.Column("id", TYPES[ids.item](), primary_key=True, autoincrement=False),
            sa.Column("category_id", TYPES[ids.category]()),
        )
        self.offers = sa.Table(
            "offers",
            self.metadata,
            sa.Column("number", sa.Integer, primary_key=True),
            sa.Column("member_id", TYPES[ids.user](), sa.ForeignKey("members.id")),
            sa.Column("lot_id", TYPES[ids.item](), sa.ForeignKey("lots.id")),
            sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        )

    def schema(self, sign_ins: SignInColumns | None = None) -> HostSchema:
        """Return how the tables are mapped."""
        members, lots, offers = self.members.c, self.lots.c, self.offers.c
        return HostSchema(
            users=sa.select(members.id.label("user_id")),
            items=sa.select(lots.id.label("item_id"), lots.category_id.label("category_id")),
            bids=sa.select(
                offers.member_id.label("user_id"),
                offers.lot_id.label("item_id"),
                offers.at.label("placed_at"),
            ),
            sign_ins=sign_ins,
        )

    def with_sign_ins(self) -> HostSchema:
        """Return how they are mapped, with columns for sign-ins among those of the members."""
        return self.schema(SignInColumns(table=self.members))


@attrs.frozen(kw_only=True)
class Choice:
    """What a host can choose about our tables."""

    ids: IdKinds
    is_hosted: bool
    counts_sign_ins: bool = False
    schema: str | None = None
    prefix: str = DEFAULT_PREFIX

    def __str__(self) -> str:
        where = ["host" if self.is_hosted else "reference", self.schema or ""]
        return "-".join([self.ids.user, self.ids.item, self.ids.category, *filter(None, where)])

    @property
    def shop(self) -> Shop | None:
        """Return the host's tables, if there is a host."""
        return Shop(self.ids) if self.is_hosted else None

    def storage(self, engine: sa.Engine) -> Storage:
        """Return the storage on an engine; SQLite has no schemas."""
        shop = self.shop
        columns = SignInColumns(table=shop.members) if shop and self.counts_sign_ins else None
        return storage_on(
            engine,
            self.ids,
            None if shop is None else shop.schema(columns),
            schema=self.schema if engine.dialect.name == "postgresql" else None,
            prefix=self.prefix,
        )

    def create_host(self, engine: sa.Engine) -> None:
        """Create what the host has before we come."""
        if self.shop is not None:
            self.shop.metadata.create_all(engine)


ODD = """It's 100% "Our" :shop; x\\y $$"""

CHOICES = [
    *(Choice(ids=ids, is_hosted=False) for ids in (INTS, UUIDS, TEXTS)),
    *(Choice(ids=ids, is_hosted=True, counts_sign_ins=True) for ids in (INTS, UUIDS, TEXTS)),
    Choice(ids=MIXED, is_hosted=False, schema="reco"),
    Choice(ids=MIXED, is_hosted=True, schema=ODD, prefix="r2_", counts_sign_ins=True),
]
HOSTED = CHOICES[3]

HOSTS_COLUMNS: dict[str, Callable[[], sa.Column[Any]]] = {
    "last_sign_in_at": lambda: sa.Column("last_sign_in_at", sa.DateTime),
    "sign_in_count": lambda: sa.Column("sign_in_count", sa.Integer),
}
HOSTS_VALUES = {"last_sign_in_at": NOW.replace(tzinfo=None), "sign_in_count": 7}

every_choice = pytest.mark.parametrize("choice", CHOICES, ids=str)


def storage_on(engine: sa.Engine, ids: IdKinds, host: HostSchema | None, **names: Any) -> Storage:
    settings = Settings(ids=ids)
    return Storage.of(
        engine, ids=ids, prices=settings.prices, deadline=DEADLINE, host=host, **names
    )


Schema: TypeAlias = list[tuple[Any, ...]]

RELATIONS = """
SELECT n.nspname, c.relname, c.relkind::text, c.reloptions::text,
       CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid)
                      WHEN 'i' THEN pg_get_indexdef(c.oid) END,
       (SELECT array_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod),
                                   l.collname, a.attnotnull, a.attidentity, a.attstorage,
                                   pg_get_expr(d.adbin, d.adrelid)) ORDER BY a.attnum)
          FROM pg_attribute a
          LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
          LEFT JOIN pg_collation l ON l.oid = a.attcollation
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)::text,
       (SELECT array_agg(concat_ws(' ', k.conname, pg_get_constraintdef(k.oid)) ORDER BY k.conname)
          FROM pg_constraint k WHERE k.conrelid = c.oid)::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
 UNION ALL
SELECT n.nspname, p.proname, 'function', NULL, NULL, NULL, NULL
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
 ORDER BY 1, 2
"""


def schema_of(engine: sa.Engine) -> Schema:
    """Return all that is in a database but rows, as the database itself tells it."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            return [tuple(row) for row in connection.execute(sa.text(RELATIONS))]
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        query = (
            "SELECT type, name, tbl_name, sql FROM sqlite_master"
            # SQLite's own, which stays once there was a number that never comes again.
            " WHERE name != 'sqlite_sequence' ORDER BY type, name"
        )
        return [
            # Scripts are indented with spaces.
            tuple(" ".join((field or "").split()) for field in row)
            for row in connection.exec_driver_sql(query)
        ]


def rows_of(engine: sa.Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def run_script(engine: sa.Engine, script: str) -> None:
    """Run a script as the database's own program would."""
    if engine.dialect.name == "postgresql":
        info = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(info, autocommit=True) as connection:
            connection.execute(script.encode())
    else:
        assert engine.url.database is not None
        with closing(sqlite3.connect(engine.url.database)) as file:
            file.executescript(script)


def differences(connection: sa.Connection, storage: Storage, *host: sa.MetaData) -> list[Any]:
    """Return what Alembic finds different from the tables that we work with."""
    tables = storage.tables
    reference = [tables.reference] if storage.host is None else []
    metadata: Any = [tables.own, tables.version.metadata, *reference, *host]
    is_postgres = connection.dialect.name == "postgresql"
    context = MigrationContext.configure(
        connection,
        opts={
            "include_schemas": True,
            "compare_type": True,
            # SQLite cannot tell that a number comes by itself.
            "compare_server_default": is_postgres,
        },
    )
    found: list[Any] = list(compare_metadata(context, metadata))
    # Alembic before 1.18 compares identities all the same.
    return [one for one in found if is_postgres or one[0][0] != "modify_default"]


@contextmanager
def another_process(
    target: Callable[..., None], *args: object
) -> Iterator[tuple[ForkServerProcess, "Connection[Any, Any]"]]:
    """Run a function in a process of its own; it gets one end of a pipe, first of all."""
    here, there = PROCESSES.Pipe()
    process = PROCESSES.Process(target=target, args=(there, *args), daemon=True)
    process.start()
    there.close()
    try:
        yield process, here
    finally:
        process.kill()
        process.join()
        process.close()
        here.close()


def migrate(pipe: "Connection[Any, Any]", url: str, choice: Choice, direction: str) -> None:
    """Migrate when told to, and tell what came of it."""
    storage = choice.storage(open_engine(url, DEADLINE))
    pipe.send("ready")
    pipe.recv()
    pipe.send(getattr(storage, f"migrate_{direction}")())


class MigrationPromises:
    """What holds on every database."""

    @pytest.fixture
    def url(self) -> str:
        """Return the URL of an empty database."""
        pytest.fail("override this fixture")

    @pytest.fixture
    def engine(self, url: str) -> Iterator[sa.Engine]:
        """Return an engine on it."""
        engine = open_engine(url, DEADLINE)
        yield engine
        engine.dispose()

    @every_choice
    def test_up_makes_what_the_tables_say(self, engine: sa.Engine, choice: Choice) -> None:
        choice.create_host(engine)
        attrs.evolve(choice, counts_sign_ins=False).storage(engine).migrate_up()
        storage = attrs.evolve(choice, counts_sign_ins=False).storage(engine)

        with engine.connect() as connection:
            found = differences(
                connection, storage, *([choice.shop.metadata] if choice.shop else [])
            )

        assert found == []

    @every_choice
    def test_up_makes_the_same_as_sqlalchemy_would(self, engine: sa.Engine, choice: Choice) -> None:
        storage = attrs.evolve(choice, counts_sign_ins=False).storage(engine)
        tables = storage.tables
        choice.create_host(engine)
        storage.migrate_up()
        made = schema_of(engine)
        storage.migrate_down()

        with engine.begin() as connection:
            tables.own.create_all(connection)
            if storage.host is None:
                tables.reference.create_all(connection)
            is_sqlite = engine.dialect.name == "sqlite"
            statements = view_statements(tables, engine.dialect.name)
            if not is_sqlite:
                name = quoted_name(tables, "sign_ins")
                statements.append(f"ALTER TABLE {name} SET (fillfactor = 70)")
            for statement in statements:
                doubled = statement if is_sqlite else statement.replace("%", "%%")
                connection.exec_driver_sql(doubled)

        assert [one for one in made if "version" not in one[1] + one[2]] == schema_of(engine)

    @every_choice
    def test_up_and_down_and_up_leads_to_the_same(self, engine: sa.Engine, choice: Choice) -> None:
        choice.create_host(engine)
        storage = choice.storage(engine)
        before = schema_of(engine)

        assert storage.migrate_up() is True
        after = schema_of(engine)
        assert storage.migrate_up() is False
        assert schema_of(engine) == after != before
        assert storage.revisions() == (HEAD, HEAD)
        storage.check()

        assert storage.migrate_down() is True
        assert storage.migrate_down() is False
        assert schema_of(engine) == before
        assert storage.revisions() == (None, HEAD)

        assert storage.migrate_up() is True
        assert schema_of(engine) == after

    @every_choice
    def test_a_script_does_the_same(self, engine: sa.Engine, choice: Choice) -> None:
        choice.create_host(engine)
        storage = choice.storage(engine)
        before = schema_of(engine)
        storage.migrate_up()
        after = schema_of(engine)
        up, down = (storage.migration_sql(is_up=is_up) for is_up in (True, False))
        storage.migrate_down()

        run_script(engine, up)

        assert schema_of(engine) == after
        storage.check()
        assert storage.migrate_up() is False
        if choice.counts_sign_ins and engine.dialect.name == "sqlite":
            # A script of SQLite cannot look whether we added them.
            assert "\n-- ALTER TABLE members DROP COLUMN sign_in_count;\n" in down
            down = down.replace("\n-- ALTER", "\nALTER")
        run_script(engine, down)
        assert schema_of(engine) == before

    def test_what_was_stored_outlives_another_up(self, engine: sa.Engine) -> None:
        sample = Sample(HOSTED.ids)
        HOSTED.create_host(engine)
        without = attrs.evolve(HOSTED, counts_sign_ins=False).storage(engine)
        without.migrate_up()
        lists = {owner: [a_line(sample)] for owner in sample.owners(ListKind.PERSONAL)}
        ports_on(without).lists.write(ListKind.PERSONAL, sample.lists(ListKind.PERSONAL, lists))
        query = "SELECT * FROM angle_reco_personal_lists ORDER BY owner"
        before = rows_of(engine, query)

        HOSTED.storage(engine).migrate_up()

        assert rows_of(engine, query) == before != []

    @pytest.mark.parametrize("ids", [INTS, UUIDS, TEXTS, MIXED], ids=str)
    @pytest.mark.parametrize("names", [(None, DEFAULT_PREFIX), ("reco", "r2_")], ids=str)
    def test_views_show_a_row_for_each_suggestion(
        self, engine: sa.Engine, ids: IdKinds, names: tuple[str | None, str]
    ) -> None:
        schema, prefix = names
        choice = Choice(ids=ids, is_hosted=False, schema=schema, prefix=prefix)
        sample, storage = Sample(ids), choice.storage(engine)
        storage.migrate_up()
        category = sample.categories[0]
        fill(storage, items=[Item(item_id=sample.items[0], category_id=category)])
        owners: dict[ListKind, list[Any]] = {
            ListKind.SIMILAR: [sample.items[1]],
            ListKind.PERSONAL: [sample.users[0]],
            ListKind.POPULAR: [EVERYTHING, popular_owner(category)],
        }
        for kind, some in owners.items():
            lists = sample.lists(kind, {owner: [a_line(sample)] for owner in some})
            ports_on(storage).lists.write(kind, lists)

        similar, personal, popular = view_names(storage.tables)

        shown = "rank, CAST(score AS float), reason, source, by_hand"
        for view in (similar, personal):
            [row] = rows_of(engine, f"SELECT {shown} FROM {view}")  # noqa: S608 — a name of ours
            assert row == (1, 0.84, "trending", "personal", False)
        assert view_names(storage.tables)[0].endswith(f"{prefix}item_similarities")
        items = storage.tables.items.fullname
        joined = f"SELECT rank, title FROM {popular} JOIN {items} USING (category_id)"  # noqa: S608 — names of ours
        assert rows_of(engine, joined) == [(1, "")]
        assert len(rows_of(engine, f"SELECT * FROM {popular}")) == 2  # noqa: S608 — a name of ours

    def test_processes_at_once_all_succeed_and_none_does_what_another_did(
        self, url: str, engine: sa.Engine
    ) -> None:
        HOSTED.create_host(engine)
        before = schema_of(engine)

        # One may create our tables and another add to the host's.
        assert at_once(url, HOSTED, "up") in ([False, False, True], [False, True, True])

        after = schema_of(engine)
        HOSTED.storage(engine).check()
        assert at_once(url, HOSTED, "down") == [False, False, True]
        assert schema_of(engine) == before
        HOSTED.storage(engine).migrate_up()
        assert schema_of(engine) == after

    def test_running_it_again_completes_what_was_killed(self, url: str, engine: sa.Engine) -> None:
        HOSTED.create_host(engine)
        storage = HOSTED.storage(engine)
        before = schema_of(engine)
        began = monotonic()
        storage.migrate_up()
        took = monotonic() - began
        after = schema_of(engine)
        storage.migrate_down()

        for _ in range(KILLS):
            for direction, expected in (("up", after), ("down", before)):
                with another_process(migrate, url, HOSTED, direction) as (process, pipe):
                    pipe.recv()
                    pipe.send("go")
                    sleep(random.uniform(0, took))
                    process.kill()
                    process.join()

                (storage.migrate_up if direction == "up" else storage.migrate_down)()

                assert schema_of(engine) == expected

    def test_a_host_with_alembic_of_its_own_is_left_alone(
        self, engine: sa.Engine, tmp_path: Path
    ) -> None:
        shop = Shop(INTS)
        own = OwnAlembic(tmp_path, engine, shop.metadata)
        own.write("one", None, "op.create_table('gone', sa.Column('id', sa.Integer))")
        own.write("two", "one", "a['metadata'].create_all(op.get_bind()); op.drop_table('gone')")
        own.upgrade()

        storage_on(engine, INTS, shop.schema()).migrate_up()

        assert own.proposals(include_object) == []
        assert {one[1].name for one in own.proposals(None)} >= {
            "angle_reco_version",
            "angle_reco_sign_ins",
        }
        assert rows_of(engine, "SELECT version_num FROM alembic_version") == [("two",)]
        assert rows_of(engine, "SELECT version_num FROM angle_reco_version") == [(HEAD,)]

    def test_a_host_can_add_the_columns_in_a_migration_of_its_own(
        self, engine: sa.Engine, tmp_path: Path
    ) -> None:
        shop = Shop(INTS)
        shop.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(sa.insert(shop.members).values(id=1, name="ann"))
        before = schema_of(engine)
        storage = storage_on(engine, INTS, shop.with_sign_ins())
        storage.migrate_up()
        as_added_by_us = members_of(engine)
        storage.migrate_down()
        own = OwnAlembic(tmp_path, engine, shop.metadata)
        own.attributes["columns"] = SignInColumns(table=shop.members)
        own.write(
            "one",
            None,
            "angle_reco.sql.add_sign_in_columns(op, a['columns'])",
            "angle_reco.sql.drop_sign_in_columns(op, a['columns'])",
        )

        own.upgrade()

        assert rows_of(engine, "SELECT last_sign_in_at, sign_in_count FROM members") == [(None, 0)]
        assert members_of(engine) == as_added_by_us
        storage.migrate_up()
        storage.migrate_down()
        assert members_of(engine) == as_added_by_us
        own.downgrade()
        assert [one for one in schema_of(engine) if "alembic_version" not in one[1] + one[2]] == [
            *before
        ]

    def test_columns_are_added_and_rows_that_were_there_count_from_0(
        self, engine: sa.Engine
    ) -> None:
        shop = Shop(INTS)
        add_members(engine, shop)
        reco = Recommender.from_engine(
            engine, settings=Settings(ids=INTS), host=shop.with_sign_ins(), migrate=True
        )

        assert (
            rows_of(engine, "SELECT last_sign_in_at, sign_in_count FROM members") == [(None, 0)] * 2
        )
        assert [reco.signed_in(1, NOW), reco.signed_in(1, NOW), reco.signed_in(3)] == [
            True,
            True,
            False,
        ]
        signed_in, never = (reco.system.sign_ins(of=user) for user in (1, 2))
        assert signed_in is not None
        assert (signed_in.last_at, signed_in.count) == (NOW, 2)
        assert never is not None
        assert (never.last_at, never.count) == (None, 0)

    @pytest.mark.parametrize("has", [["last_sign_in_at"], ["sign_in_count"], [*HOSTS_COLUMNS]])
    def test_columns_that_the_host_had_are_kept(self, engine: sa.Engine, has: list[str]) -> None:
        shop = Shop(INTS, *(HOSTS_COLUMNS[name]() for name in has))
        values = {name: HOSTS_VALUES[name] for name in has}
        add_members(engine, shop, **values)
        before = schema_of(engine)
        storage = storage_on(engine, INTS, shop.with_sign_ins())

        storage.migrate_up()
        storage.check()
        assert set(members_of(engine)) == {"id", "name", *HOSTS_COLUMNS}
        storage.migrate_down()

        assert schema_of(engine) == before
        query = sa.select(*(shop.members.c[name] for name in has)).distinct()
        with engine.connect() as connection:
            assert connection.execute(query).all() == [tuple(values.values())]

    def test_columns_that_went_away_meanwhile_are_no_obstacle(self, engine: sa.Engine) -> None:
        HOSTED.create_host(engine)
        before = schema_of(engine)
        storage = HOSTED.storage(engine)
        for _ in range(2):
            storage.migrate_up()
            with engine.begin() as connection:
                connection.exec_driver_sql("ALTER TABLE members DROP COLUMN sign_in_count")

        assert storage.migrate_down() is True

        assert schema_of(engine) == before

    def test_without_mapping_them_nothing_of_the_hosts_is_dropped(self, engine: sa.Engine) -> None:
        HOSTED.create_host(engine)
        HOSTED.storage(engine).migrate_up()

        attrs.evolve(HOSTED, counts_sign_ins=False).storage(engine).migrate_down()

        assert set(members_of(engine)) == {"id", "name", *HOSTS_COLUMNS}

    def test_columns_that_are_not_there_yet_are_told_before_they_are_needed(
        self, engine: sa.Engine
    ) -> None:
        HOSTED.create_host(engine)
        attrs.evolve(HOSTED, counts_sign_ins=False).storage(engine).migrate_up()

        with pytest.raises(SchemaError, match=r"^the table members has no column last_sign_in_at:"):
            HOSTED.storage(engine).check()

    def test_columns_for_a_table_that_is_not_there(self, engine: sa.Engine) -> None:
        with pytest.raises(SchemaError, match="names the table members, which is not there"):
            HOSTED.storage(engine).migrate_up()

    def test_tables_of_another_application_are_left_alone(self, engine: sa.Engine) -> None:
        HOSTED.create_host(engine)
        storage = HOSTED.storage(engine)
        for what, name in (("TABLE", "fences"), ("VIEW", "popular_items"), ("TABLE", "version")):
            body = "AS SELECT 1 AS one" if what == "VIEW" else "(one integer)"
            with engine.begin() as connection:
                connection.exec_driver_sql(f"CREATE {what} angle_reco_{name} {body}")
            before = schema_of(engine)

            is_version = name == "version"
            told = (
                "is none of this release's" if is_version else rf"already \(angle_reco_{name}\): "
            )
            with pytest.raises(SchemaError, match=told):
                storage.migrate_up()
            if is_version:
                with pytest.raises(SchemaError, match=told):
                    storage.migrate_down()
            else:
                assert storage.migrate_down() is False

            assert schema_of(engine) == before
            with engine.begin() as connection:
                connection.exec_driver_sql(f"DROP {what} angle_reco_{name}")

    def test_a_database_that_a_newer_release_has_migrated(self, engine: sa.Engine) -> None:
        HOSTED.create_host(engine)
        storage = HOSTED.storage(engine)
        storage.migrate_up()
        with engine.begin() as connection:
            connection.execute(sa.update(storage.tables.version).values(version_num="0815"))
        before = schema_of(engine)

        for use in (storage.check, storage.migrate_up, storage.migrate_down):
            with pytest.raises(SchemaError, match=r"revision 0815, which .* newer angle-reco$"):
                use()

        assert schema_of(engine) == before

    @pytest.mark.parametrize("ids", [UUIDS, TEXTS, MIXED], ids=str)
    def test_another_kind_of_ids_is_refused(self, engine: sa.Engine, ids: IdKinds) -> None:
        HOSTED.create_host(engine)
        HOSTED.storage(engine).migrate_up()
        before = schema_of(engine)
        storage = attrs.evolve(HOSTED, ids=ids).storage(engine)

        for use in (storage.check, storage.migrate_up, storage.migrate_down):
            with pytest.raises(SchemaError, match=r"^the ids there are int of users"):
                use()

        assert schema_of(engine) == before

    def test_a_table_that_went_missing_is_told(self, engine: sa.Engine) -> None:
        HOSTED.create_host(engine)
        storage = HOSTED.storage(engine)
        storage.migrate_up()
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE angle_reco_user_interests")

        with pytest.raises(SchemaError, match=r"but not the table .*angle_reco_user_interests"):
            storage.check()

    def test_threads_can_migrate_databases_of_their_own_at_once(self, tmp_path: Path) -> None:
        engines = [open_engine(f"sqlite:///{tmp_path}/{number}.db") for number in range(4)]
        start = threading.Barrier(len(engines))

        def migrate_one(engine: sa.Engine) -> str:
            storage = CHOICES[0].storage(engine)
            start.wait()
            storage.migrate_up()
            storage.migration_sql(is_up=True)
            storage.migrate_down()
            storage.migrate_up()
            storage.check()
            engine.dispose()
            return storage.migration_sql(is_up=False)

        with ThreadPoolExecutor(len(engines)) as threads:
            scripts = set(threads.map(migrate_one, engines))

        assert len(scripts) == 1


class TestSqlite(MigrationPromises):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/shop.db"


class TestPostgres(MigrationPromises):
    @pytest.fixture
    def url(self, postgres_url: str) -> Iterator[str]:
        with new_database(postgres_url) as url:
            yield url

    @every_choice
    def test_squawk_has_nothing_to_say_about_a_script(
        self, engine: sa.Engine, tmp_path: Path, choice: Choice
    ) -> None:
        files = []
        for is_up in (True, False):
            files.append(tmp_path / f"{is_up}.sql")
            files[-1].write_text(choice.storage(engine).migration_sql(is_up=is_up), "utf-8")

        said = subprocess.run(
            [Path(sys.executable).with_name("squawk"), *files],
            capture_output=True,
            text=True,
            check=False,
        )

        assert (said.returncode, "Found 0 issues in 2 files" in said.stdout) == (0, True), said

    def test_a_script_can_be_run_again_after_it_was_stopped(self, engine: sa.Engine) -> None:
        HOSTED.create_host(engine)
        before = schema_of(engine)
        storage = HOSTED.storage(engine)
        up, down = (storage.migration_sql(is_up=is_up) for is_up in (True, False))
        first, separator, _ = up.partition("COMMIT;")

        run_script(engine, first + separator)
        storage.migrate_up()
        storage.check()
        with engine.connect() as connection, connection.begin():
            # Somebody reads, and the script gives up.
            connection.execute(sa.text("SELECT * FROM angle_reco_fences"))
            with pytest.raises(psycopg.errors.LockNotAvailable):
                run_script(engine, down)
        storage.check()
        run_script(engine, down)

        assert schema_of(engine) == before

    def test_a_schema_that_is_missing_is_made_and_stays(self, engine: sa.Engine) -> None:
        storage = CHOICES[-1].storage(engine)
        CHOICES[-1].create_host(engine)

        with pytest.raises(SchemaError, match=r"has no table .*\.r2_version: create"):
            storage.check()
        assert storage.migrate_down() is False
        storage.migrate_up()
        storage.migrate_down()

        assert sa.inspect(engine).has_schema(ODD)

    def test_each_prefix_and_each_schema_has_tables_of_its_own(self, engine: sa.Engine) -> None:
        choices = [
            HOSTED,
            attrs.evolve(HOSTED, prefix="second_", ids=UUIDS),
            attrs.evolve(HOSTED, schema="reco", ids=TEXTS),
        ]
        storages = [attrs.evolve(one, counts_sign_ins=False).storage(engine) for one in choices]
        for storage in storages:
            storage.migrate_up()
        before = schema_of(engine)

        storages[1].migrate_down()

        assert [storage.revisions()[0] for storage in storages] == [HEAD, None, HEAD]
        assert storages[1].migrate_up() is True
        assert schema_of(engine) == before

    def test_a_role_without_rights_is_told_what_it_lacks(
        self, engine: sa.Engine, postgres_url: str
    ) -> None:
        HOSTED.create_host(engine)
        with a_role(engine) as role:
            url = engine.url.update_query_dict({"options": f"-c role={role}"})
            limited = open_engine(url.render_as_string(hide_password=False))
            storage = HOSTED.storage(limited)

            with pytest.raises(StorageError, match=r"may not do this .*denied for schema public"):
                storage.migrate_up()
            assert storage.revisions() == (None, HEAD)

            HOSTED.storage(engine).migrate_up()
            with pytest.raises(StorageError, match=r"may not do this .*denied for table"):
                storage.check()
            HOSTED.storage(engine).migrate_down()
            with engine.begin() as connection:
                connection.exec_driver_sql(f"GRANT CREATE ON SCHEMA public TO {role}")
            with pytest.raises(StorageError, match=r"may not do this .*owner of table members"):
                storage.migrate_up()
            limited.dispose()

    def test_who_reads_for_longer_is_waited_for_without_keeping_writers_waiting(
        self, url: str, engine: sa.Engine
    ) -> None:
        members, hold, longest = (1_000_000, 3.0, 1.0) if IS_FULL else (20_000, 1.5, 1.5)
        HOSTED.create_host(engine)
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "INSERT INTO members (id, name)"  # noqa: S608 — a number of ours
                f" SELECT n, 'member ' || n FROM generate_series(1, {members}) AS n"
            )
            connection.exec_driver_sql("INSERT INTO lots (id) VALUES (1)")
        storage = HOSTED.storage(engine)
        schemas, waited = [], []

        with ExitStack() as writing:
            pipes = [
                writing.enter_context(another_process(write_to_members, url, members))[1]
                for _ in range(4)
            ]
            for pipe in pipes:
                pipe.recv()
            for step in (storage.migrate_up, storage.migrate_down, storage.migrate_up):
                with reading_members(engine, hold):
                    began = monotonic()
                    assert step() is True
                    waited.append(monotonic() - began)
                schemas.append(schema_of(engine))
            for pipe in pipes:
                pipe.send("stop")
            told = [pipe.recv() for pipe in pipes]

        print(
            f"{members:,} members: longest write wait {max(wait for wait, _ in told):.3f} s"
            f" of {sum(writes for _, writes in told):,} writes by 4 writers;"
            f" up, down, up took {', '.join(f'{one:.1f}' for one in waited)} s"
            f" beside a reader of {hold} s"
        )
        assert max(wait for wait, _ in told) < longest
        assert min(writes for _, writes in told) > 0
        assert min(waited) > hold / 2
        assert schemas[0] == schemas[2]
        assert rows_of(engine, "SELECT count(*), sum(sign_in_count) FROM members") == [(members, 0)]


def test_this_release_expects_the_newest_revision() -> None:
    folder = Path(str(importlib.import_module(migrate_up.__module__).__file__)).parent / "revisions"

    assert ScriptDirectory(str(folder)).get_heads() == [HEAD]


def a_line(sample: Sample) -> StoredLine:
    return StoredLine(
        item_id=sample.items[0],
        score=840_000,
        parts=(1, 2),
        reason=Reason.TRENDING,
        source=Source.PERSONAL,
    )


def add_members(engine: sa.Engine, shop: Shop, **values: object) -> None:
    """Create the host's tables, with two members."""
    shop.metadata.create_all(engine)
    with engine.begin() as connection:
        rows = [{"id": number, "name": "ann", **values} for number in (1, 2)]
        connection.execute(sa.insert(shop.members), rows)


def members_of(engine: sa.Engine) -> dict[str, tuple[str, bool, object]]:
    """Return the columns of the host's table: type, whether there may be nulls, default."""
    return {
        one["name"]: (str(one["type"]), one["nullable"], one["default"])
        for one in sa.inspect(engine).get_columns("members")
    }


def at_once(url: str, choice: Choice, direction: str) -> list[bool]:
    """Migrate in three processes at once; return what each says, those that did it last."""
    with ExitStack() as running:
        pipes = [
            running.enter_context(another_process(migrate, url, choice, direction))[1]
            for _ in range(3)
        ]
        for pipe in pipes:
            pipe.recv()
        for pipe in pipes:
            pipe.send("go")
        return sorted(pipe.recv() for pipe in pipes)


@contextmanager
def a_role(engine: sa.Engine) -> Iterator[str]:
    """Give a role that may connect and look around, and nothing else."""
    name = f"angle_reco_{random.SystemRandom().getrandbits(64):x}"
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {name}")
    try:
        yield name
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {name}")
            connection.exec_driver_sql(f"DROP ROLE {name}")


@contextmanager
def reading_members(engine: sa.Engine, seconds: float) -> Iterator[None]:
    """Have somebody begin to read, and keep the transaction open for so long."""
    began = threading.Event()

    def read() -> None:
        with engine.connect() as connection, connection.begin():
            connection.exec_driver_sql("SELECT id FROM members LIMIT 1")
            began.set()
            sleep(seconds)

    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(read)
        began.wait()
        yield
        reading.result()


def write_to_members(pipe: "Connection[Any, Any]", url: str, members: int) -> None:
    """Write to one member after another until told to stop; tell the longest wait, and how many."""
    longest, writes = 0.0, 0
    info = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(info, autocommit=True) as connection:
        pipe.send("ready")
        while not pipe.poll():
            began = monotonic()
            connection.execute(
                "UPDATE members SET name = %s WHERE id = %s",
                (f"written {writes}", random.randint(1, members)),
            )
            longest = max(longest, monotonic() - began)
            writes += 1
    pipe.send((longest, writes))


class OwnAlembic:
    """A host's own migrations, in a folder."""

    def __init__(self, folder: Path, engine: sa.Engine, metadata: sa.MetaData) -> None:
        self._engine = engine
        self._folder = folder / "migrations"
        (self._folder / "versions").mkdir(parents=True)
        (self._folder / "env.py").write_text(ENV, "utf-8")
        self.attributes: dict[str, Any] = {"metadata": metadata, "include_object": None}

    def write(self, revision: str, down: str | None, up: str, undo: str = "pass") -> None:
        """Add a revision."""
        text = REVISION.format(revision=revision, down=down, up=up, undo=undo)
        (self._folder / "versions" / f"{revision}.py").write_text(text, "utf-8")

    def upgrade(self) -> None:
        """Run all of them."""
        with self._config() as config:
            command.upgrade(config, "head")

    def downgrade(self) -> None:
        """Take all of them back."""
        with self._config() as config:
            command.downgrade(config, "base")

    def proposals(self, include: object) -> list[Any]:
        """Return what `alembic revision --autogenerate` would put into the next one."""
        self.attributes["include_object"] = include
        with self._engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"include_object": include, "include_schemas": True}
            )
            found = list(compare_metadata(context, self.attributes["metadata"]))
        if include is not None:
            with self._config() as config:
                command.check(config)
        return found

    @contextmanager
    def _config(self) -> Iterator[Config]:
        config = Config(stdout=io.StringIO())
        config.set_main_option("script_location", str(self._folder))
        config.set_main_option("path_separator", "os")
        with self._engine.begin() as connection:
            config.attributes.update(self.attributes, connection=connection)
            yield config


ENV = """
from alembic import context

a = context.config.attributes
context.configure(
    connection=a["connection"],
    target_metadata=a["metadata"],
    include_object=a["include_object"],
)
with context.begin_transaction():
    context.run_migrations()
"""

REVISION = """
import angle_reco.sql
import sqlalchemy as sa
from alembic import context, op

revision, down_revision = {revision!r}, {down!r}
a = context.config.attributes


def upgrade():
    {up}


def downgrade():
    {undo}
"""
