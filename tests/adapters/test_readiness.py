"""Health says what is missing or not allowed; a role with rights on rows alone is enough."""

import random
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import sqlalchemy as sa

from angle_reco import (
    HostSchema,
    IdKind,
    IdKinds,
    Recommender,
    SchemaError,
    Settings,
    StorageUnavailableError,
)
from angle_reco.adapters.sql.storage import Storage
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.results import Health
from angle_reco.sql import SignInColumns
from tests.postgres import new_database
from tests.reliability.trials import fill_market

NOW = datetime.now(UTC)
SETTINGS = Settings(ids=IdKinds(user=IdKind.INT, item=IdKind.INT), deadline=timedelta(seconds=20))


class Shop:
    """A host's own tables, with a few rows."""

    def __init__(self) -> None:
        self.metadata = sa.MetaData()
        moment = sa.DateTime(timezone=True)
        self.members = sa.Table(
            "members",
            self.metadata,
            sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("last_sign_in_at", moment),
            sa.Column("sign_in_count", sa.BigInteger, nullable=False, server_default="0"),
        )
        self.lots = sa.Table(
            "lots",
            self.metadata,
            sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("category", sa.Text),
        )
        self.offers = sa.Table(
            "offers",
            self.metadata,
            sa.Column("member_id", sa.BigInteger),
            sa.Column("lot_id", sa.BigInteger),
            sa.Column("at", moment),
        )

    @property
    def schema(self) -> HostSchema:
        members, lots, offers = self.members.c, self.lots.c, self.offers.c
        return HostSchema(
            users=sa.select(members.id.label("user_id"), members.last_sign_in_at),
            items=sa.select(lots.id.label("item_id"), lots.category.label("category_id")),
            bids=sa.select(
                offers.member_id.label("user_id"),
                offers.lot_id.label("item_id"),
                offers.at.label("placed_at"),
            ),
            sign_ins=SignInColumns(table=self.members),
        )

    def fill(self, url: str) -> None:
        engine = sa.create_engine(url)
        self.metadata.create_all(engine)
        with engine.begin() as connection:
            members = [{"id": one, "last_sign_in_at": NOW} for one in range(1, 6)]
            connection.execute(sa.insert(self.members), members)
            lots = [{"id": one, "category": "art"} for one in range(100, 110)]
            connection.execute(sa.insert(self.lots), lots)
            offers = [{"member_id": one, "lot_id": 99 + one, "at": NOW} for one in range(1, 6)]
            connection.execute(sa.insert(self.offers), offers)
        engine.dispose()


def execute(url: str, *statements: str) -> None:
    """Execute statements from beside the code under test."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def health_of(url: str, **options: Any) -> Health:
    """Return the health of a process that connected without a check."""
    options = {"settings": Settings(deadline=SETTINGS.deadline)} | options
    with Recommender.connect(url, check=False, **options) as reco:
        return reco.system.health()


class Promises:
    """What holds on every database."""

    @pytest.fixture
    def url(self) -> str:
        """Return the URL of an empty database."""
        pytest.fail("override this fixture")

    @pytest.fixture
    def shop(self, url: str) -> HostSchema:
        """Return a host's schema, with our tables beside it."""
        shop = Shop()
        shop.fill(url)
        Recommender.connect(url, settings=SETTINGS, host=shop.schema, migrate=True).close()
        return shop.schema

    def test_a_process_that_can_work_is_well(self, url: str, shop: HostSchema) -> None:
        health = health_of(url, settings=SETTINGS, host=shop)

        assert (health.is_ok, health.database, health.reason) == (True, "ok", None)

    def test_so_is_one_on_the_reference_schema(self, url: str) -> None:
        Recommender.connect(url, migrate=True).close()

        assert health_of(url).is_ok

    def test_without_tables_it_is_not(self, url: str) -> None:
        health = health_of(url)

        assert (health.is_ok, health.database) == (False, "SchemaError")
        assert health.reason is not None
        assert "angle-reco migrate up" in health.reason

    @pytest.mark.parametrize(
        "table", ["angle_reco_runs", "angle_reco_keys", "angle_reco_version", "watches"]
    )
    def test_a_table_that_is_missing_is_named(self, url: str, table: str) -> None:
        Recommender.connect(url, migrate=True).close()
        execute(url, f"DROP TABLE {table}")

        health = health_of(url)

        assert (health.is_ok, health.database) == (False, "SchemaError")
        assert health.reason is not None
        assert table in health.reason

    def test_so_is_a_table_of_the_host(self, url: str, shop: HostSchema) -> None:
        execute(url, "DROP TABLE offers")

        health = health_of(url, settings=SETTINGS, host=shop)

        assert (health.is_ok, health.database) == (False, "SchemaError")
        assert health.reason is not None
        assert "offers" in health.reason

    def test_tables_of_an_earlier_release_are_not_enough(self, url: str) -> None:
        Recommender.connect(url, migrate=True).close()
        execute(url, "UPDATE angle_reco_version SET version_num = '0003'")

        health = health_of(url)

        assert (health.is_ok, health.database) == (False, "SchemaError")
        assert health.reason is not None
        assert "revision 0003" in health.reason

    def test_tables_of_a_later_release_are(self, url: str) -> None:
        Recommender.connect(url, migrate=True).close()
        execute(url, "UPDATE angle_reco_version SET version_num = '9999'")

        assert health_of(url).is_ok


class TestSqlite(Promises):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'shop.db'}"

    def test_looking_makes_no_file(self, url: str, tmp_path: Path) -> None:
        health_of(url)

        assert list(tmp_path.iterdir()) == []

    def test_a_file_that_cannot_be_written_is_not_enough(self, url: str, tmp_path: Path) -> None:
        Recommender.connect(url, migrate=True).close()
        engine = sa.create_engine(f"sqlite:///file:{tmp_path / 'shop.db'}?mode=ro&uri=true")

        health = Recommender.from_engine(engine).system.health()
        engine.dispose()

        assert (health.is_ok, health.database) == (False, "StorageError")
        assert health.reason is not None
        assert "cannot be written" in health.reason

    def test_one_that_another_process_writes_to_is(self, url: str, tmp_path: Path) -> None:
        Recommender.connect(url, migrate=True).close()
        with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = monotonic()

            assert health_of(url).is_ok
            assert monotonic() - began < 1


class TestPostgres(Promises):
    @pytest.fixture
    def url(self, postgres_url: str) -> Iterator[str]:
        with new_database(postgres_url) as url:
            yield url

    def test_a_role_that_may_only_read_is_not_well(self, url: str) -> None:
        Recommender.connect(url, migrate=True).close()
        with a_role(url, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}") as as_role:
            health = health_of(as_role)

        assert (health.is_ok, health.database) == (False, "StorageError")
        assert health.reason is not None
        assert "the database's user lacks INSERT on angle_reco_additions" not in health.reason
        assert health.reason.startswith("the database's user lacks INSERT on angle_reco_")
        assert " more" in health.reason

    @pytest.mark.parametrize(
        ("revoked", "reason"),
        [
            ("UPDATE ON angle_reco_runs", "lacks UPDATE on angle_reco_runs"),
            ("DELETE ON angle_reco_personal_lists", "lacks DELETE on angle_reco_personal_lists"),
            ("SELECT ON angle_reco_keys", "lacks SELECT on angle_reco_keys"),
            ("INSERT ON bids", "lacks INSERT on bids"),
        ],
    )
    def test_a_right_that_is_lacking_is_named(self, url: str, revoked: str, reason: str) -> None:
        Recommender.connect(url, migrate=True).close()
        with a_role(url, RIGHTS_ON_ROWS, f"REVOKE {revoked} FROM {{role}}") as as_role:
            health = health_of(as_role)

        assert (health.is_ok, health.reason) == (False, f"the database's user {reason}")

    @pytest.mark.parametrize(
        ("revoked", "reason"),
        [
            ("SELECT ON lots", "permission denied for table lots"),
            ("UPDATE ON members", "lacks UPDATE of last_sign_in_at on members"),
        ],
    )
    def test_so_is_one_on_a_table_of_the_host(
        self, url: str, shop: HostSchema, revoked: str, reason: str
    ) -> None:
        with a_role(url, RIGHTS_ON_ROWS, f"REVOKE {revoked} FROM {{role}}") as as_role:
            health = health_of(as_role, settings=SETTINGS, host=shop)

        assert not health.is_ok
        assert health.reason is not None
        assert reason in health.reason

    def test_rights_on_the_two_columns_for_sign_ins_are_enough(
        self, url: str, shop: HostSchema
    ) -> None:
        columns = "GRANT UPDATE (last_sign_in_at, sign_in_count) ON members TO {role}"
        revoked = "REVOKE UPDATE ON members FROM {role}"
        with a_role(url, RIGHTS_ON_ROWS, revoked, columns) as as_role:
            health = health_of(as_role, settings=SETTINGS, host=shop)
            with Recommender.connect(as_role, settings=SETTINGS, host=shop) as reco:
                assert reco.signed_in(1)

        assert health.is_ok

    def test_jobs_need_temporary_tables(self, url: str) -> None:
        Recommender.connect(url, migrate=True).close()
        name = sa.make_url(url).database
        execute(url, f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
        with a_role(url, RIGHTS_ON_ROWS) as as_role:
            without = health_of(as_role)
            role = sa.make_url(as_role).username
            execute(url, f"GRANT TEMPORARY ON DATABASE {name} TO {role}")
            health = health_of(as_role)
            execute(url, f"REVOKE TEMPORARY ON DATABASE {name} FROM {role}")

        assert (without.is_ok, health.is_ok) == (False, True)
        assert without.reason is not None
        assert "lacks TEMPORARY on the database" in without.reason

    def test_a_database_without_an_encoding_is_refused(self, postgres_url: str) -> None:
        options = "ENCODING 'SQL_ASCII' LOCALE 'C'"
        with (
            new_database(postgres_url, options) as url,
            pytest.raises(SchemaError, match="it should have UTF8 or another encoding"),
        ):
            Recommender.connect(url, migrate=True).close()

    def test_a_server_that_takes_no_writes_is_not_enough(self, url: str) -> None:
        Recommender.connect(url, migrate=True).close()
        with a_role(
            url, RIGHTS_ON_ROWS, "ALTER ROLE {role} SET default_transaction_read_only = on"
        ) as as_role:
            health = health_of(as_role)

        assert (health.is_ok, health.database) == (False, "StorageUnavailableError")
        assert health.reason == "the database takes no writes now"

    def test_tables_in_a_schema_are_looked_for_there(self, url: str) -> None:
        odd = 'It\'s "our" %s'
        Recommender.connect(url, migrate=True, schema=odd).close()

        assert health_of(url, schema=odd).is_ok
        assert health_of(url).database == "SchemaError"

    def test_stats_waits_no_longer_than_a_call(self, url: str) -> None:
        with (
            Recommender.connect(
                url, migrate=True, settings=Settings(deadline=timedelta(seconds=1))
            ) as reco,
            locking(url, "items"),
        ):
            began = monotonic()
            with pytest.raises(StorageUnavailableError):
                reco.system.stats()

            assert monotonic() - began < 2
            assert reco.system.health().is_ok
        with Recommender.connect(url) as reco:
            assert reco.system.stats(patient=True).items == 0

    @pytest.mark.parametrize("is_hosted", [False, True])
    def test_once_migrated_rights_on_rows_are_enough(self, url: str, is_hosted: bool) -> None:
        settings = SETTINGS if is_hosted else Settings(deadline=SETTINGS.deadline)
        shop = Shop()
        if is_hosted:
            shop.fill(url)
        host = shop.schema if is_hosted else None
        with Recommender.connect(url, settings=settings, host=host, migrate=True) as reco:
            if not is_hosted:
                fill_market(storage_of(reco))
        user: Any = 1 if is_hosted else "user-07"
        item: Any = 100 if is_hosted else "art-01"
        with (
            a_role(url, *documented_rights(is_hosted=is_hosted)) as as_role,
            Recommender.connect(as_role, settings=settings, host=host) as reco,
        ):
            with pytest.raises(sa.exc.ProgrammingError, match="permission denied for schema"):
                execute(as_role, "CREATE TABLE not_mine (id integer)")
            reco.start()

            assert [reco.system.run_job(name).failed for name in BATCH_JOBS] == [0] * len(
                BATCH_JOBS
            )
            assert reco.signed_in(user)
            assert reco.bid_placed(user, item)
            assert reco.watched(user, item)
            assert reco.unwatched(user, item)
            assert reco.items_changed([item])
            assert reco.as_user(user).homepage()
            assert reco.anonymous.similar_items(item)
            assert reco.as_user(user).after_bid(item)
            assert reco.anonymous.popular_items()
            assert reco.as_user(user).interests()
            reco.system.stored.upsert_interest(user, "art", score=1)
            reco.system.request_job(BATCH_JOBS[0])
            reco.system.forget_cached()
            assert reco.system.export_user(user).to_json()
            assert reco.system.erase_user(user).interests >= 1
            assert reco.system.stats().users >= 5
            assert reco.system.health().is_ok
            assert reco.ports.ledger.prune(retention=timedelta(0)) >= 0
            assert reco.ports.changes.prune(older_than=timedelta(0)) >= 0


RIGHTS_ON_ROWS = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"


def documented_rights(*, is_hosted: bool) -> list[str]:
    """Return the grants that the page on databases names."""
    page = (Path(__file__).parents[2] / "docs" / "databases.md").read_text("utf-8")
    section = page.partition("## Rights of the database's user")[2].partition("\n## ")[0]
    [block] = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
    ours = [one.replace("shop_web", "{role}") for one in block.split(";") if one.strip()]
    if is_hosted:
        return [
            *ours,
            "GRANT SELECT ON members, lots, offers TO {role}",
            "GRANT UPDATE (last_sign_in_at, sign_in_count) ON members TO {role}",
        ]
    return [
        *ours,
        "GRANT SELECT ON users, items, bids, watches, permissions, user_permissions TO {role}",
        "GRANT UPDATE ON users TO {role}",
        "GRANT INSERT, DELETE ON bids TO {role}",
        "GRANT INSERT, UPDATE, DELETE ON watches TO {role}",
    ]


@contextmanager
def a_role(url: str, *grants: str) -> Iterator[str]:
    """Give the URL of a role that may do what it is granted, and nothing else."""
    role = f"angle_reco_{random.SystemRandom().getrandbits(64):x}"
    execute(url, f"CREATE ROLE {role} LOGIN", *(grant.format(role=role) for grant in grants))
    try:
        yield sa.make_url(url).set(username=role).render_as_string(hide_password=False)
    finally:
        execute(url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


@contextmanager
def locking(url: str, table: str) -> Iterator[None]:
    """Have another session hold the strongest lock on a table."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


def storage_of(reco: Recommender) -> Storage:
    assert reco.storage is not None
    return reco.storage
