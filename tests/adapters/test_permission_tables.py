"""Our permissions in a host's table: inserted where they are missing, and left there."""

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import attrs
import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from packaging.version import Version

from angle_reco import HostSchema, IdKind, IdKinds, SchemaError
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.storage import Storage
from angle_reco.domain.ids import UserId
from angle_reco.sql import PermissionTable, add_permissions
from tests.adapters.databases import storage_on
from tests.adapters.test_migrations import OwnAlembic, run_script
from tests.postgres import new_database

INTS = IdKinds(user=IdKind.INT)
MANAGE, INSPECT = OURS = ("manage_recommendations", "inspect_users")

# SQLAlchemy before 2.0.55 takes it for a parameter, on SQLite.
PLACEHOLDER = "%(x)s" if Version(sa.__version__) >= Version("2.0.55") else "%"

Use: TypeAlias = Callable[[Storage], None]


class Club:
    """A host's tables: members have roles, and roles have permissions."""

    def __init__(self, *columns: sa.Column[Any]) -> None:
        self.metadata = sa.MetaData()
        self.members = self._table("members", sa.Column("id", sa.BigInteger, primary_key=True))
        self.permissions = self._table(
            "permissions",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("code", sa.String(100), nullable=False, unique=True),
            sa.Column("kind", sa.Integer, nullable=False),
            *columns,
        )
        self.of_roles = sa.table("of_roles", sa.column("role"), sa.column("permission"))
        self.roles = self._table(
            "roles", sa.Column("member", sa.BigInteger), sa.Column("role", sa.Integer)
        )

    def _table(self, name: str, *columns: sa.Column[Any]) -> sa.Table:
        return sa.Table(name, self.metadata, *columns)

    def create(self, engine: sa.Engine) -> None:
        """Create the tables; nobody knows that others refer to permissions but the database."""
        self.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TABLE of_roles"
                " (role integer, permission integer REFERENCES permissions (id))"
            )

    def mapped(self, **changed: Any) -> HostSchema:
        """Return how they are mapped."""
        granted = self.of_roles.join(
            self.permissions, self.of_roles.c.permission == self.permissions.c.id
        ).join(self.roles, self.roles.c.role == self.of_roles.c.role)
        held = sa.select(
            self.roles.c.member.label("user_id"), self.permissions.c.code.label("name")
        ).select_from(granted)
        given: dict[str, Any] = {
            "table": self.permissions,
            "held": held,
            "name": "code",
            "values": {"kind": 7},
        }
        members = self.members.c
        nothing = sa.cast(sa.null(), sa.Text)
        return HostSchema(
            users=sa.select(members.id.label("user_id")),
            items=sa.select(nothing.label("item_id")),
            bids=sa.select(
                members.id.label("user_id"),
                nothing.label("item_id"),
                sa.cast(sa.null(), sa.DateTime(timezone=True)).label("placed_at"),
            ),
            permissions=PermissionTable(**(given | changed)),
        )


def by_migrating_up(storage: Storage) -> None:
    storage.migrate_up()


def by_script_up(storage: Storage) -> None:
    run_script(storage.database.engine, storage.migration_sql(is_up=True))


def by_migrating_down(storage: Storage) -> None:
    storage.migrate_down()


def by_script_down(storage: Storage) -> None:
    run_script(storage.database.engine, storage.migration_sql(is_up=False))


class TablePromises:
    """What holds on every database."""

    @pytest.fixture
    def url(self) -> str:
        """Return the URL of an empty database."""
        pytest.fail("override this fixture")

    @pytest.fixture
    def engine(self, url: str) -> Iterator[sa.Engine]:
        """Return an engine on it."""
        engine = open_engine(url)
        yield engine
        engine.dispose()

    @pytest.fixture(params=[by_migrating_up, by_script_up])
    def up(self, request: pytest.FixtureRequest) -> Use:
        """Return a way to migrate up."""
        way: Use = request.param
        return way

    @pytest.fixture(params=[by_migrating_down, by_script_down])
    def down(self, request: pytest.FixtureRequest) -> Use:
        """Return a way to migrate down."""
        way: Use = request.param
        return way

    def test_up_inserts_both_and_down_leaves_them(
        self, engine: sa.Engine, up: Use, down: Use
    ) -> None:
        storage = club_on(engine)
        add(engine, "permissions", code="sell", kind=3)
        for _ in range(2):
            up(storage)
            assert rows(engine) == [(INSPECT, 7), (MANAGE, 7), ("sell", 3)]
            storage.check()

            down(storage)
            assert rows(engine) == [(INSPECT, 7), (MANAGE, 7), ("sell", 3)]
            assert tables_of_ours(engine) == []

    def test_who_is_granted_what_was_inserted_holds_it(self, engine: sa.Engine) -> None:
        storage = club_on(engine)
        storage.migrate_up()
        assert storage.permissions is not None
        assert not storage.permissions.holds(UserId(1), MANAGE)

        grant(engine, MANAGE, member=1)

        assert storage.permissions.holds(UserId(1), MANAGE)
        assert not storage.permissions.holds(UserId(1), INSPECT)
        assert not storage.permissions.holds(UserId(2), MANAGE)

    def test_up_again_changes_nothing(self, engine: sa.Engine, up: Use) -> None:
        storage = club_on(engine)
        up(storage)
        before = everything(engine)

        assert storage.migrate_up() is False

        assert everything(engine) == before

    def test_a_row_that_the_host_had_is_left_and_stays(
        self, engine: sa.Engine, up: Use, down: Use
    ) -> None:
        storage = club_on(engine)
        add(engine, "permissions", id=5, code=MANAGE, kind=1)

        up(storage)
        assert rows(engine) == [(INSPECT, 7), (MANAGE, 1)]
        assert storage.migrate_up() is False
        down(storage)

        assert rows(engine) == [(INSPECT, 7), (MANAGE, 1)]

    def test_both_rows_of_the_hosts_stay(self, engine: sa.Engine, up: Use, down: Use) -> None:
        storage = club_on(engine)
        for code in OURS:
            add(engine, "permissions", code=code, kind=1)

        up(storage)
        down(storage)

        assert rows(engine) == [(INSPECT, 1), (MANAGE, 1)]

    def test_what_is_written_in_another_case_is_another(
        self, engine: sa.Engine, up: Use, down: Use
    ) -> None:
        storage = club_on(engine)
        add(engine, "permissions", code=MANAGE.upper(), kind=1)

        up(storage)
        assert rows(engine) == [(MANAGE.upper(), 1), (INSPECT, 7), (MANAGE, 7)]
        down(storage)

        assert rows(engine) == [(MANAGE.upper(), 1), (INSPECT, 7), (MANAGE, 7)]

    def test_what_the_host_deleted_meanwhile_is_no_obstacle(
        self, engine: sa.Engine, up: Use, down: Use
    ) -> None:
        storage = club_on(engine)
        up(storage)
        with engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM permissions")
        assert storage.migrate_up() is True
        assert rows(engine) == [(INSPECT, 7), (MANAGE, 7)]
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "DELETE FROM permissions WHERE code = 'manage_recommendations'"
            )
        assert storage.migrate_up() is True
        assert rows(engine) == [(INSPECT, 7), (MANAGE, 7)]
        with engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM permissions")

        down(storage)

        assert rows(engine) == []
        assert tables_of_ours(engine) == []

    def test_a_table_that_is_not_there_is_named(self, engine: sa.Engine) -> None:
        club = Club()
        club.create(engine)
        absent = sa.Table("absent", sa.MetaData(), sa.Column("code", sa.Text))
        storage = storage_on(engine, INTS, host=club.mapped(table=absent, values={}))
        told = "^PermissionTable names the table absent, which is not there$"

        with pytest.raises(SchemaError, match=told):
            storage.migrate_up()
        assert storage.migrate_down() is True

    def test_nobody_needs_the_rows_to_be_there(self, engine: sa.Engine) -> None:
        storage = club_on(engine)
        without_permissions(storage).migrate_up()

        storage.check()

        assert storage.permissions is not None
        assert not storage.permissions.holds(UserId(1), MANAGE)

    def test_a_new_row_has_what_columns_are_filled_with(self, engine: sa.Engine, up: Use) -> None:
        odd = f"It's 100% :odd \\ $$ {PLACEHOLDER}"
        club = Club(
            sa.Column("uid", sa.Uuid, nullable=False, default=uuid4, unique=True),
            sa.Column("number", sa.Integer, nullable=False, default=3),
            sa.Column("length", sa.Integer, default=sa.func.length("four")),
            sa.Column(odd, sa.Text, key="odd"),
            sa.Column("flag", sa.Boolean, nullable=False),
        )
        kind = sa.select(sa.func.count() + 7).select_from(club.members).scalar_subquery()
        values = {"kind": kind, "odd": odd, "flag": True}
        storage = club_on(engine, club, values=values)

        up(storage)

        with engine.connect() as connection:
            found = connection.execute(
                sa.select(*club.permissions.c).order_by(club.permissions.c.code)
            ).all()
        assert [one.code for one in found] == [INSPECT, MANAGE]
        for one in found:
            assert isinstance(one.uid, UUID)
            assert (one.kind, one.number, one.length, one.odd, one.flag) == (7, 3, 4, odd, True)
        assert storage.migrate_up() is False

    def test_names_may_need_quotes(self, engine: sa.Engine, up: Use, down: Use) -> None:
        odd = f"""It's 100% "Our"\n:table; x\\y {PLACEHOLDER}"""
        metadata = sa.MetaData()
        table = sa.Table(odd, metadata, sa.Column(f"{odd}!", sa.Text, key="code"))
        metadata.create_all(engine)
        club = Club()
        club.create(engine)
        held = sa.select(
            sa.cast(sa.literal(7), sa.BigInteger).label("user_id"), table.c.code.label("name")
        ).where(table.c.code.like("inspect\\_%", escape="\\"), sa.literal(odd) == odd)
        storage = storage_on(engine, INTS, host=club.mapped(table=table, held=held, values={}))

        up(storage)
        storage.check()
        assert storage.migrate_up() is False
        with engine.connect() as connection:
            assert sorted(connection.scalars(sa.select(table.c.code))) == [INSPECT, MANAGE]
        down(storage)

        with engine.connect() as connection:
            assert sorted(connection.scalars(sa.select(table.c.code))) == [INSPECT, MANAGE]

    def test_a_value_that_cannot_be_written_out_is_told(self, engine: sa.Engine) -> None:
        class Colour(sa.types.UserDefinedType[str]):
            cache_ok = True

            def get_col_spec(self, **_: object) -> str:
                return "varchar"

        club = Club(sa.Column("colour", Colour))
        storage = club_on(engine, club, values={"kind": 7, "colour": "red"})

        with pytest.raises(
            SchemaError, match=r"^PermissionTable has a value that cannot be written into a"
        ):
            storage.migration_sql(is_up=True)
        assert storage.migrate_up() is True

    def test_several_at_once_insert_each_once(self, engine: sa.Engine, url: str) -> None:
        club_on(engine).migrate_up()
        with engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM permissions")
        start = Barrier(3)

        def migrate(_: int) -> bool:
            one = open_engine(url)
            start.wait()
            done = storage_on(one, INTS, host=Club().mapped()).migrate_up()
            one.dispose()
            return done

        with ThreadPoolExecutor(3) as threads:
            assert sorted(threads.map(migrate, range(3))) == [False, False, True]
        assert rows(engine) == [(INSPECT, 7), (MANAGE, 7)]

    def test_a_host_can_insert_them_in_a_migration_of_its_own(
        self, engine: sa.Engine, tmp_path: Path
    ) -> None:
        club, own = own_alembic(engine, tmp_path)
        storage = storage_on(engine, INTS, host=club.mapped())

        own.upgrade()
        assert rows(engine) == [(INSPECT, 7), (MANAGE, 7)]
        storage.migrate_up()
        storage.migrate_down()
        assert rows(engine) == [(INSPECT, 7), (MANAGE, 7)]
        own.downgrade()

        assert rows(engine) == []

    def test_a_migration_of_its_own_leaves_what_was_there(
        self, engine: sa.Engine, tmp_path: Path
    ) -> None:
        _, own = own_alembic(engine, tmp_path)
        add(engine, "permissions", id=5, code=INSPECT, kind=1)

        own.upgrade()

        assert rows(engine) == [(INSPECT, 1), (MANAGE, 7)]

    def test_a_migration_of_its_own_can_be_a_script(self, engine: sa.Engine) -> None:
        club = Club()
        club.create(engine)
        permissions = club.mapped(values={"kind": 7}).permissions
        assert permissions is not None
        add(engine, "permissions", code="a:b", kind=1)

        written = io.StringIO()
        options = {"as_sql": True, "output_buffer": written}
        context = MigrationContext.configure(dialect_name=engine.dialect.name, opts=options)
        add_permissions(Operations(context), permissions)
        run_script(engine, written.getvalue())

        assert rows(engine) == [("a:b", 1), (INSPECT, 7), (MANAGE, 7)]


class TestSqlite(TablePromises):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/club.db"


class TestPostgres(TablePromises):
    @pytest.fixture
    def url(self, postgres_url: str) -> Iterator[str]:
        with new_database(postgres_url) as url:
            yield url

    def test_a_table_in_a_schema_is_found(self, engine: sa.Engine, up: Use, down: Use) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql('CREATE SCHEMA "Club\'s own"')
        club = Club()
        club.create(engine)
        metadata = sa.MetaData(schema="Club's own")
        table = sa.Table("permissions", metadata, sa.Column("code", sa.Text, primary_key=True))
        metadata.create_all(engine)
        storage = storage_on(engine, INTS, host=club.mapped(table=table, values={}))
        up(storage)
        down(storage)

        with engine.connect() as connection:
            assert sorted(connection.scalars(sa.select(table.c.code))) == [INSPECT, MANAGE]

    def test_squawk_has_nothing_to_say_about_a_script(
        self, engine: sa.Engine, tmp_path: Path
    ) -> None:
        storage = club_on(engine)
        files = []
        for is_up in (True, False):
            files.append(tmp_path / f"{is_up}.sql")
            files[-1].write_text(storage.migration_sql(is_up=is_up), "utf-8")

        said = subprocess.run(
            [Path(sys.executable).with_name("squawk"), *files],
            capture_output=True,
            text=True,
            check=False,
        )

        assert (said.returncode, "Found 0 issues in 2 files" in said.stdout) == (0, True), said


def club_on(engine: sa.Engine, club: Club | None = None, **changed: Any) -> Storage:
    """Create the host's tables; return the storage beside them."""
    club = club or Club()
    club.create(engine)
    return storage_on(engine, INTS, host=club.mapped(**changed))


def without_permissions(storage: Storage) -> Storage:
    """Return the storage of a host that maps all but its permissions."""
    assert storage.host is not None
    return attrs.evolve(storage, host=attrs.evolve(storage.host, permissions=None))


def own_alembic(engine: sa.Engine, folder: Path) -> tuple[Club, OwnAlembic]:
    """Create the host's tables; return them with a migration of the host's own."""
    club = Club()
    club.create(engine)
    own = OwnAlembic(folder, engine, club.metadata)
    own.attributes["permissions"] = club.mapped().permissions
    own.write(
        "one",
        None,
        "angle_reco.sql.add_permissions(op, a['permissions'])",
        f'op.execute("DELETE FROM permissions WHERE code IN {OURS}")',  # noqa: S608 — names of ours
    )
    return club, own


def rows(engine: sa.Engine) -> list[tuple[Any, ...]]:
    """Return the permissions that there are."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT code, kind FROM permissions")
        return sorted(tuple(row) for row in found)


def everything(engine: sa.Engine) -> dict[str, list[str]]:
    """Return every row of every table."""
    with engine.connect() as connection:
        return {
            name: sorted(map(repr, connection.execute(sa.text(f"SELECT * FROM {name}"))))  # noqa: S608 — a name from the schema
            for name in sa.inspect(connection).get_table_names()
        }


def tables_of_ours(engine: sa.Engine) -> list[str]:
    names = sa.inspect(engine).get_table_names()
    return [name for name in names if name.startswith("angle_reco_")]


def add(engine: sa.Engine, table: str, **values: object) -> None:
    """Put a row into a table."""
    with engine.begin() as connection:
        into = sa.table(table, *map(sa.column, values))
        connection.execute(sa.insert(into).values(values))


def id_of(engine: sa.Engine, code: str) -> int:
    with engine.connect() as connection:
        query = sa.text("SELECT id FROM permissions WHERE code = :code")
        found: int = connection.execute(query, {"code": code}).scalar_one()
    return found


def grant(engine: sa.Engine, code: str, *, member: int) -> None:
    """Give a member a role with a permission."""
    add(engine, "of_roles", role=9, permission=id_of(engine, code))
    add(engine, "roles", member=member, role=9)
