"""The permissions keep the contract."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any, NoReturn

import attrs
import pytest
import sqlalchemy as sa

from angle_reco import HostSchema, Recommender, Settings
from angle_reco.adapters.memory.permissions import MemoryPermissions
from angle_reco.adapters.permissions import CallablePermissions, NoPermissions
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.schema.permissions import SqlPermissions
from angle_reco.adapters.sql.storage import Storage
from angle_reco.composition import memory_ports
from angle_reco.domain.errors import InvalidValueError, SchemaError, StorageUnavailableError
from angle_reco.domain.ids import IdKind, IdKinds, UserId
from angle_reco.ports.deadlines import deadline
from angle_reco.ports.permissions import Permissions
from angle_reco.sql import PermissionTable
from angle_reco.testing import MemoryMarketplace
from angle_reco.testing.contracts import KINDS, Grants, PermissionsContract, Sample
from tests.adapters.databases import emptied, storage_on
from tests.application.memories import comes_true

ANN = UserId("ann")
MANAGE = "manage_recommendations"
INTS = IdKinds(user=IdKind.INT)


@attrs.define
class CallableHost:
    """A host that answers from a set."""

    granted: set[tuple[UserId, str]] = attrs.field(factory=set)

    @property
    def permissions(self) -> CallablePermissions:
        return CallablePermissions(lambda user_id, name: (user_id, name) in self.granted)

    def grant(self, user_id: UserId, name: str) -> None:
        self.granted.add((user_id, name))

    def revoke(self, user_id: UserId, name: str) -> None:
        self.granted.remove((user_id, name))


class TestCallablePermissions(PermissionsContract):
    @pytest.fixture
    def host(self) -> Grants:
        return CallableHost()

    @pytest.mark.parametrize("answer", [None, 0, 1, "yes", [True], object()])
    def test_only_true_is_a_yes(self, answer: Any) -> None:
        permissions = CallablePermissions(lambda user_id, name: answer)

        assert permissions.holds(ANN, MANAGE) is False

    def test_an_error_of_the_host_is_not_swallowed_here(self) -> None:
        def ask(user_id: UserId, name: str) -> bool:
            raise ConnectionError

        with pytest.raises(ConnectionError):
            CallablePermissions(ask).holds(ANN, MANAGE)

    def test_a_function_that_hangs_is_asked_by_sixteen_threads_at_most(self) -> None:
        hangs, asked = Event(), list[str]()

        def ask(user_id: UserId, name: str) -> bool:
            asked.append(name)
            return hangs.wait(20)

        permissions = CallablePermissions(ask)
        for _ in range(16):
            with deadline(0.01), pytest.raises(TimeoutError):
                permissions.holds(ANN, MANAGE)
        with pytest.raises(TimeoutError, match="earlier questions are still without an answer"):
            permissions.holds(ANN, MANAGE)
        while_it_hangs = len(asked)
        hangs.set()

        assert while_it_hangs == 16
        assert comes_true(lambda: holds_or_times_out(permissions))

    def test_a_thread_that_cannot_be_started_takes_no_room(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Unable(Thread):
            def start(self) -> NoReturn:
                raise RuntimeError("can't start new thread")

        permissions = CallablePermissions(lambda user_id, name: True)
        with monkeypatch.context() as without_threads:
            without_threads.setattr("angle_reco.adapters.permissions.threading.Thread", Unable)
            for _ in range(17):
                with pytest.raises(RuntimeError, match="can't start"):
                    permissions.holds(ANN, MANAGE)

        assert permissions.holds(ANN, MANAGE) is True


def holds_or_times_out(permissions: CallablePermissions) -> bool:
    try:
        return permissions.holds(ANN, MANAGE)
    except TimeoutError:
        return False


def test_where_the_host_says_nothing_nobody_holds_anything() -> None:
    assert NoPermissions().holds(ANN, MANAGE) is False


# In memory.


@attrs.frozen
class MemoryHost:
    """A marketplace in memory, with what asks it."""

    market: MemoryMarketplace

    @property
    def permissions(self) -> Permissions:
        return MemoryPermissions(self.market)

    def grant(self, user_id: UserId, name: str) -> None:
        self.market.grant(user_id, name)

    def revoke(self, user_id: UserId, name: str) -> None:
        self.market.revoke(user_id, name)


class TestMemoryPermissions(PermissionsContract):
    @pytest.fixture
    def host(self, sample: Sample) -> Grants:
        return MemoryHost(MemoryMarketplace(users=sample.everyone, ids=sample.ids))

    def test_taking_away_what_nobody_holds_does_nothing(self) -> None:
        market = MemoryMarketplace()
        market.grant("ann", MANAGE)

        market.revoke("ann", "inspect_users")
        market.revoke("bob", MANAGE)

        assert MemoryPermissions(market).holds(ANN, MANAGE)

    @pytest.mark.parametrize("user_id", ["1", 1.0, True, None, [1]])
    def test_an_id_of_another_kind_is_refused_and_nobodys(self, user_id: Any) -> None:
        market = MemoryMarketplace(ids=INTS)
        market.grant(1, MANAGE)

        with pytest.raises(InvalidValueError, match=r"^user id is .* should be an integer"):
            market.grant(user_id, MANAGE)
        with pytest.raises(InvalidValueError, match=r"^user id is .* should be an integer"):
            market.revoke(user_id, MANAGE)
        assert MemoryPermissions(market).holds(UserId(1), MANAGE) is True
        assert MemoryPermissions(market).holds(user_id, MANAGE) is False


def test_a_function_counts_before_what_the_marketplace_grants() -> None:
    market = MemoryMarketplace()
    market.grant("ann", MANAGE)

    assert memory_ports(market).permissions.holds(ANN, MANAGE)
    asking = memory_ports(market, permissions=lambda user_id, name: False)
    assert not asking.permissions.holds(ANN, MANAGE)


# In the reference schema.


@attrs.frozen
class ReferenceHost:
    """The reference schema, with what asks it."""

    storage: Storage

    @property
    def permissions(self) -> Permissions:
        assert self.storage.permissions is not None
        return self.storage.permissions

    def grant(self, user_id: UserId, name: str) -> None:
        table = self.storage.tables.user_permissions
        with self.storage.database.engine.begin() as connection:
            connection.execute(sa.insert(table).values(user_id=user_id, name=name))

    def revoke(self, user_id: UserId, name: str) -> None:
        table = self.storage.tables.user_permissions
        this = sa.and_(table.c.user_id == user_id, table.c.name == name)
        with self.storage.database.engine.begin() as connection:
            connection.execute(sa.delete(table).where(this))


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """Return an engine on an empty file."""
    engine = open_engine(f"sqlite:///{tmp_path}/shop.db")
    yield engine
    engine.dispose()


class TestSqliteReference(PermissionsContract):
    @pytest.fixture
    def host(self, sqlite_engine: sa.Engine, sample: Sample) -> Grants:
        storage = storage_on(sqlite_engine, sample.ids)
        storage.migrate_up()
        return ReferenceHost(storage)


class TestPostgresReference(PermissionsContract):
    @pytest.fixture
    def host(self, postgres_storages: dict[IdKinds, Storage], sample: Sample) -> Grants:
        return ReferenceHost(emptied(postgres_storages[sample.ids]))


# In tables such as Django makes, as which a user holds what is theirs, their groups' and,
# for a superuser, everything.


class Django:
    """The tables of a host of Django, with what asks them."""

    def __init__(self, ids: IdKinds, schema: str | None = None) -> None:
        types = {IdKind.INT: sa.BigInteger, IdKind.UUID: sa.Uuid, IdKind.TEXT: sa.String}
        of_user = types[ids.user]
        self.metadata = sa.MetaData(schema=schema)
        self.user = self.table(
            "auth_user",
            sa.Column("id", of_user, primary_key=True, autoincrement=False),
            sa.Column("is_superuser", sa.Boolean, nullable=False),
        )
        self.permission = self.table(
            "auth_permission",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("name", sa.String(255), nullable=False),
            sa.Column("codename", sa.String(100), nullable=False, unique=True),
            sa.Column("content_type_id", sa.Integer, nullable=False),
        )
        self.of_user = self.table(
            "auth_user_user_permissions",
            sa.Column("user_id", of_user, nullable=False),
            sa.Column("permission_id", sa.Integer, nullable=False),
        )
        self.groups = self.table(
            "auth_user_groups",
            sa.Column("user_id", of_user, nullable=False),
            sa.Column("group_id", sa.Integer, nullable=False),
        )
        self.of_group = self.table(
            "auth_group_permissions",
            sa.Column("group_id", sa.Integer, nullable=False),
            sa.Column("permission_id", sa.Integer, nullable=False),
        )

    def table(self, name: str, *columns: sa.Column[Any]) -> sa.Table:
        return sa.Table(name, self.metadata, *columns)

    @property
    def host(self) -> HostSchema:
        """Return how they are mapped."""
        permission, user = self.permission.c, self.user.c
        users = sa.select(user.id.label("user_id"))
        nothing = sa.select(user.id.label("user_id"), sa.null().label("item_id"))
        held = sa.union(
            sa.select(self.of_user.c.user_id, permission.codename.label("name")).join_from(
                self.of_user, self.permission, self.of_user.c.permission_id == permission.id
            ),
            sa.select(self.groups.c.user_id, permission.codename)
            .join_from(
                self.groups, self.of_group, self.groups.c.group_id == self.of_group.c.group_id
            )
            .join(self.permission, self.of_group.c.permission_id == permission.id),
            sa.select(user.id, permission.codename)
            .join_from(self.user, self.permission, sa.true())
            .where(user.is_superuser),
        )
        return HostSchema(
            users=users,
            items=nothing.with_only_columns(sa.null().label("item_id")),
            bids=nothing.add_columns(sa.null().label("placed_at")),
            permissions=PermissionTable(
                table=self.permission,
                held=held,
                name="codename",
                values={"name": "Work on recommendations", "content_type_id": 7},
            ),
        )


@attrs.frozen
class DjangoHost:
    """Tables such as Django makes, which grant permissions in one of its ways."""

    django: Django
    storage: Storage
    is_by_group: bool

    @classmethod
    def on(cls, engine: sa.Engine, django: Django, sample: Sample, way: str) -> "DjangoHost":
        storage = storage_on(engine, sample.ids, host=django.host)
        users = [{"id": one, "is_superuser": False} for one in sample.users]
        django.metadata.drop_all(engine)
        django.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(sa.insert(django.user), users)
        return cls(django, storage, way == "group")

    @property
    def permissions(self) -> Permissions:
        assert self.storage.permissions is not None
        return self.storage.permissions

    def grant(self, user_id: UserId, name: str) -> None:
        django = self.django
        permission = {"name": "Can do it", "codename": name, "content_type_id": 7}
        with self.storage.database.engine.begin() as connection:
            known = connection.scalar(self._permission(name))
            if known is None:
                connection.execute(sa.insert(django.permission).values(permission))
                known = connection.scalar(self._permission(name))
            through = {"group_id": known, "permission_id": known}
            if self.is_by_group:
                member = {"user_id": user_id, "group_id": known}
                connection.execute(sa.delete(django.of_group).filter_by(**through))
                connection.execute(sa.insert(django.of_group).values(through))
                connection.execute(sa.insert(django.groups).values(member))
            else:
                own = {"user_id": user_id, "permission_id": known}
                connection.execute(sa.insert(django.of_user).values(own))

    def revoke(self, user_id: UserId, name: str) -> None:
        table = self.django.groups if self.is_by_group else self.django.of_user
        column = table.c.group_id if self.is_by_group else table.c.permission_id
        this = sa.and_(
            table.c.user_id == user_id, column == self._permission(name).scalar_subquery()
        )
        with self.storage.database.engine.begin() as connection:
            connection.execute(sa.delete(table).where(this))

    def promote(self, user_id: UserId) -> None:
        """Let a user hold every permission that there is."""
        user = self.django.user
        with self.storage.database.engine.begin() as connection:
            connection.execute(
                sa.update(user).where(user.c.id == user_id).values(is_superuser=True)
            )

    def _permission(self, name: str) -> sa.Select[tuple[int]]:
        permission = self.django.permission.c
        return sa.select(permission.id).where(permission.codename == name)


class DjangoPromises(PermissionsContract):
    """What holds of such tables on every database."""

    @pytest.fixture(params=["user", "group"])
    def way(self, request: pytest.FixtureRequest) -> str:
        """Return to whom permissions are granted."""
        way: str = request.param
        return way

    def test_a_superuser_holds_every_permission_that_there_is(
        self, host: DjangoHost, sample: Sample
    ) -> None:
        host.grant(sample.users[1], MANAGE)

        host.promote(sample.users[0])

        assert host.permissions.holds(sample.users[0], MANAGE) is True
        assert host.permissions.holds(sample.users[0], "inspect_users") is False
        assert host.permissions.holds(sample.users[2], MANAGE) is False


class TestSqliteDjango(DjangoPromises):
    @pytest.fixture
    def host(self, sqlite_engine: sa.Engine, sample: Sample, way: str) -> Grants:
        return DjangoHost.on(sqlite_engine, Django(sample.ids), sample, way)


class TestPostgresDjango(DjangoPromises):
    @pytest.fixture
    def host(self, german_engine: sa.Engine, sample: Sample, way: str) -> Grants:
        schema = f"django_{KINDS.index(sample.ids)}"
        with german_engine.begin() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        return DjangoHost.on(german_engine, Django(sample.ids, schema), sample, way)


# What is SQL's own.

LAX = {
    "sqlite": ["text COLLATE NOCASE", "text COLLATE RTRIM"],
    "postgresql": ["text COLLATE lax", "varchar COLLATE lax", "char(40)", "text"],
}


def lax_host(engine: sa.Engine, user_id: str, name: str) -> SqlPermissions:
    """Return permissions in columns of these types, of which some ignore case and blanks."""
    table = sa.table("held", sa.column("user_id", sa.Text), sa.column("name", sa.Text))
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS held")
        connection.exec_driver_sql(f"CREATE TABLE held (user_id {user_id}, name {name})")
        rows = [
            {"user_id": user_id, "name": name}
            for user_id, name in (("ANN", MANAGE), ("ann", MANAGE), ("bob", MANAGE.upper()))
        ]
        connection.execute(sa.insert(table), rows)
    storage = storage_on(engine)
    held = sa.select(table.c.user_id, table.c.name)
    return SqlPermissions(storage.database, held, storage.tables.ids)


def lax_types(engine: sa.Engine) -> list[str]:
    """Return types that ignore case or blanks, as far as the server knows any."""
    if engine.dialect.name == "sqlite":
        return LAX["sqlite"]
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE COLLATION IF NOT EXISTS lax"
                " (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
            )
    except sa.exc.NotSupportedError:
        return [one for one in LAX["postgresql"] if "lax" not in one]
    return LAX["postgresql"]


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> sa.Engine:
    """Return an engine on each database."""
    fixture = "sqlite_engine" if request.param == "sqlite" else "german_engine"
    engine: sa.Engine = request.getfixturevalue(fixture)
    return engine


def test_columns_that_ignore_case_do_not_make_others_holders(engine: sa.Engine) -> None:
    for lax in lax_types(engine):
        permissions = lax_host(engine, "text" if "char(" in lax else lax, lax)
        asked = [("ann", MANAGE), ("ANN", MANAGE), ("Ann", MANAGE), ("bob", MANAGE)]

        assert [permissions.holds(UserId(one), name) for one, name in asked] == [
            True,
            True,
            False,
            False,
        ]
        assert permissions.holds(UserId("bob"), MANAGE.upper()) is True
        assert permissions.holds(ANN, f"{MANAGE} ") is False


def test_names_may_be_of_a_type_of_the_hosts(german_engine: sa.Engine) -> None:
    storage = storage_on(german_engine)
    with german_engine.begin() as connection:
        connection.exec_driver_sql("DROP TYPE IF EXISTS duty")
        connection.exec_driver_sql("CREATE TYPE duty AS ENUM ('inspect_users', 'other')")
    held = sa.text("SELECT 'ann'::text AS user_id, 'inspect_users'::duty AS name").columns(
        sa.column("user_id", sa.Text),
        sa.column("name", sa.Enum("inspect_users", "other", name="duty")),
    )
    permissions = SqlPermissions(storage.database, held, storage.tables.ids)

    assert permissions.holds(ANN, "inspect_users") is True
    assert permissions.holds(ANN, MANAGE) is False


@pytest.mark.parametrize("user_id", ["7", 7.0, True, None])
def test_an_id_of_another_kind_is_nobodys(engine: sa.Engine, user_id: Any) -> None:
    held = sa.select(
        sa.cast(sa.literal(7 if user_id != 1 else 1), sa.Integer).label("user_id"),
        sa.literal(MANAGE).label("name"),
    )
    permissions = SqlPermissions(storage_on(engine).database, held, INTS)

    assert permissions.holds(UserId(7 if user_id != 1 else 1), MANAGE) is True
    assert permissions.holds(user_id, MANAGE) is False


def test_nulls_are_nobody_and_nothing(engine: sa.Engine) -> None:
    held = sa.union_all(
        sa.select(sa.cast(sa.null(), sa.Text).label("user_id"), sa.literal(MANAGE).label("name")),
        sa.select(sa.literal("ann"), sa.cast(sa.null(), sa.Text)),
    )
    permissions = SqlPermissions(storage_on(engine).database, held, IdKinds())

    assert permissions.holds(ANN, MANAGE) is False


def test_a_call_waits_no_longer_than_its_deadline(german_engine: sa.Engine) -> None:
    held = sa.select(sa.literal("ann").label("user_id"), sa.literal(MANAGE).label("name")).where(
        sa.func.pg_sleep(20).is_not(None)
    )
    permissions = SqlPermissions(storage_on(german_engine).database, held, IdKinds())

    with deadline(0.2), pytest.raises(StorageUnavailableError):
        permissions.holds(ANN, MANAGE)


# How a host says it.

PERMISSION = sa.Table(
    "permission",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("code", sa.Text),
    sa.Column("kind", sa.Integer),
)
GOOD = sa.select(sa.literal("ann").label("user_id"), PERMISSION.c.code.label("name"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"table": "permission"},
            "table of PermissionTable is 'permission', but should be a sqlalchemy.Table",
        ),
        (
            {"name": "name"},
            "name of PermissionTable is 'name', but should be one of the columns of permission:"
            " id, code, kind",
        ),
        (
            {"values": {"knd": 7}},
            "column in values of PermissionTable is 'knd', but should be one of the columns of"
            " permission: id, code, kind",
        ),
        (
            {"values": {"code": "x"}},
            "column in values of PermissionTable is 'code', but should be another column than"
            " code, where the permission has its name",
        ),
        (
            {"values": ["kind"]},
            "values of PermissionTable is ['kind'], but should be a mapping of columns to what a"
            " new row has there",
        ),
        (
            {"held": PERMISSION},
            "select of held is 'Table', but should be a select labelled user_id, name",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_at_once(changed: Any, said: str) -> None:
    with pytest.raises(InvalidValueError) as raised:
        PermissionTable(**{"table": PERMISSION, "held": GOOD, "name": "code", **changed})

    assert str(raised.value) == said


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (
            sa.select(PERMISSION.c.code.label("name")),
            "the select of held has no column labelled user_id, which should be the ids of users;"
            " it has name",
        ),
        (
            sa.select(sa.literal("ann").label("user_id"), PERMISSION.c.code),
            "the select of held has no column labelled name, which should be the texts; it has"
            " user_id, code",
        ),
        (
            GOOD.add_columns(PERMISSION.c.kind),
            "the select of held has a column 'kind', which means nothing there: label each column"
            " as one of user_id, name",
        ),
        (
            sa.text("SELECT user_id, name FROM held"),
            "the select of held is text without labels: say which columns it has, with"
            " sa.text(...).columns(user_id, name)",
        ),
    ],
)
def test_a_select_whose_labels_are_wrong_is_refused_at_once(held: Any, said: str) -> None:
    with pytest.raises(SchemaError) as raised:
        PermissionTable(table=PERMISSION, held=held, name="code")

    assert str(raised.value) == said


def test_a_host_schema_takes_nothing_else_for_permissions() -> None:
    with pytest.raises(InvalidValueError, match=r"permissions is .* a PermissionTable, or None$"):
        attrs.evolve(Django(IdKinds()).host, permissions=GOOD)  # type: ignore[arg-type]  # the point


def test_values_of_a_new_row_stay_as_they_were_given() -> None:
    values = {"kind": 7}
    permissions = PermissionTable(table=PERMISSION, held=GOOD, name="code", values=values)

    values["kind"] = 8

    assert permissions.values == {"kind": 7}


# What is told when connecting, and which of several counts.


MAY_DO = sa.table("may_do", sa.column("member", sa.BigInteger), sa.column("may", sa.Text))
GOOD_HELD = sa.select(MAY_DO.c.member.label("user_id"), MAY_DO.c.may.label("name"))


@pytest.fixture
def bazaar(engine: sa.Engine) -> Iterator[Callable[..., HostSchema]]:
    """Return how tables of numbers are mapped, with something changed about permissions."""
    tables = sa.MetaData()
    member = sa.Table("member", tables, sa.Column("id", sa.BigInteger, primary_key=True))
    lot = sa.Table(
        "lot",
        tables,
        sa.Column("id", sa.Text),
        sa.Column("by", sa.BigInteger),
        sa.Column("at", sa.DateTime(timezone=True)),
    )
    may = sa.Table("may", tables, sa.Column("code", sa.Text, primary_key=True))
    sa.Table("may_do", tables, sa.Column("member", sa.BigInteger), sa.Column("may", sa.Text))
    tables.create_all(engine)

    def mapped(held: Any = GOOD_HELD, *, is_asked: bool = True) -> HostSchema:
        permissions = PermissionTable(table=may, name="code", held=held)
        return HostSchema(
            users=sa.select(member.c.id.label("user_id")),
            items=sa.select(lot.c.id.label("item_id")),
            bids=sa.select(
                lot.c.by.label("user_id"), lot.c.id.label("item_id"), lot.c.at.label("placed_at")
            ),
            permissions=permissions if is_asked else None,
        )

    yield mapped
    storage_on(engine, INTS, host=mapped()).migrate_down()
    tables.drop_all(engine)


def refusal(engine: sa.Engine, host: HostSchema) -> str:
    storage_on(engine, INTS, host=attrs.evolve(host, permissions=None)).migrate_up()
    storage = storage_on(engine, INTS, host=host)
    with pytest.raises(SchemaError) as checking:
        storage.check()
    with pytest.raises(SchemaError) as checking_host:
        storage.check_host()
    assert str(checking.value) == str(checking_host.value)
    return str(checking.value)


def test_a_select_that_cannot_run_is_told(
    engine: sa.Engine, bazaar: Callable[..., HostSchema]
) -> None:
    held = sa.text("SELECT member AS user_id, may AS name FROM nowhere").columns(
        sa.column("user_id", sa.BigInteger), sa.column("name", sa.Text)
    )

    said = refusal(engine, bazaar(held))

    assert said.startswith("the select of held cannot be run: ")
    assert "nowhere" in said


def test_ids_of_another_kind_are_told(engine: sa.Engine, bazaar: Callable[..., HostSchema]) -> None:
    held = sa.select(MAY_DO.c.may.label("user_id"), MAY_DO.c.may.label("name"))

    said = refusal(engine, bazaar(held))

    assert said.startswith("the select of held: user_id is of the type ")
    assert (
        " which does not hold ids of users (the settings say that those are of the kind int)"
        in said
    )


def grant(engine: sa.Engine, user_id: int, name: str) -> None:
    with engine.begin() as connection:
        connection.execute(sa.insert(MAY_DO).values(member=user_id, may=name))


def test_of_a_function_and_a_table_there_may_be_one(
    engine: sa.Engine, bazaar: Callable[..., HostSchema]
) -> None:
    before = sa.inspect(engine).get_table_names()
    settings = Settings(ids=INTS)
    grant(engine, 1, MANAGE)

    with pytest.raises(
        InvalidValueError,
        match=r"^permissions is .*, but should be None where the HostSchema has permissions",
    ):
        Recommender.from_engine(
            engine,
            settings=settings,
            host=bazaar(),
            permissions=lambda user_id, name: True,
            migrate=True,
        )
    assert sa.inspect(engine).get_table_names() == before

    reco = Recommender.from_engine(engine, settings=settings, host=bazaar(), migrate=True)
    assert [reco.ports.permissions.holds(UserId(one), MANAGE) for one in (1, 2)] == [True, False]
    without = bazaar(is_asked=False)
    reco = Recommender.from_engine(engine, settings=settings, host=without)
    assert reco.ports.permissions.holds(UserId(1), MANAGE) is False
    reco = Recommender.from_engine(
        engine,
        settings=settings,
        host=without,
        permissions=lambda user_id, name: str(user_id) == "2",
    )
    assert [reco.ports.permissions.holds(UserId(one), MANAGE) for one in (1, 2)] == [False, True]


def test_on_the_reference_schema_a_function_counts_before_the_table(
    sqlite_engine: sa.Engine,
) -> None:
    reco = Recommender.from_engine(sqlite_engine, migrate=True)
    assert reco.ports.storage is not None
    ReferenceHost(reco.ports.storage).grant(ANN, MANAGE)

    assert reco.ports.permissions.holds(ANN, MANAGE) is True
    asking = Recommender.from_engine(sqlite_engine, permissions=lambda user_id, name: False)
    assert asking.ports.permissions.holds(ANN, MANAGE) is False
