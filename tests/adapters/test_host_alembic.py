"""Our migrations leave a host's Alembic alone, which may be running at the same time."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import alembic.context
import alembic.op
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from angle_reco import HostSchema, IdKind, IdKinds, Recommender, Settings
from angle_reco.adapters.sql.schema.versions import HEAD
from tests.postgres import new_database

ENV = """
from alembic import context

a = context.config.attributes
a["at"]("start of env.py")
context.configure(connection=a["connection"])
a["at"]("after configure")
with context.begin_transaction():
    context.run_migrations()
    a["at"]("after run_migrations")
a["at"]("end of env.py")
"""

REVISION = """
import sqlalchemy as sa
from alembic import context, op

revision, down_revision = "one", None


def upgrade():
    context.config.attributes["at"]("start of upgrade")
    op.create_table("made_by_the_host", sa.Column("id", sa.Integer, primary_key=True))


def downgrade():
    op.drop_table("made_by_the_host")
"""

PLACES = ["start of env.py", "after configure", "start of upgrade", "end of env.py"]

METADATA = sa.MetaData()
MEMBERS = sa.Table("members", METADATA, sa.Column("id", sa.Integer, primary_key=True))
LOTS = sa.Table("lots", METADATA, sa.Column("id", sa.Integer, primary_key=True))
OFFERS = sa.Table(
    "offers",
    METADATA,
    sa.Column("member_id", sa.Integer),
    sa.Column("lot_id", sa.Integer),
    sa.Column("at", sa.DateTime(timezone=True)),
)
HOST = HostSchema(
    users=sa.select(MEMBERS.c.id.label("user_id")),
    items=sa.select(LOTS.c.id.label("item_id")),
    bids=sa.select(
        OFFERS.c.member_id.label("user_id"),
        OFFERS.c.lot_id.label("item_id"),
        OFFERS.c.at.label("placed_at"),
    ),
)
SETTINGS = Settings(ids=IdKinds(user=IdKind.INT, item=IdKind.INT))


class Promises:
    """What holds on every database."""

    @pytest.fixture
    def url(self) -> str:
        """Return the URL of an empty database."""
        pytest.fail("override this fixture")

    @pytest.fixture
    def engine(self, url: str) -> Iterator[sa.Engine]:
        """Return an engine of the host's on a database with its tables."""
        engine = sa.create_engine(url)
        METADATA.create_all(engine)
        yield engine
        engine.dispose()

    @pytest.mark.parametrize("place", PLACES)
    def test_an_application_that_the_host_s_env_imports_may_migrate(
        self, url: str, engine: sa.Engine, tmp_path: Path, place: str
    ) -> None:
        def at(here: str) -> None:
            if here == place:
                connect(url)

        upgrade(engine, tmp_path, at)

        assert revision_of(url) == HEAD
        assert sa.inspect(engine).has_table("made_by_the_host")

    @pytest.mark.parametrize("place", PLACES)
    def test_the_host_s_context_and_operations_stay_those_of_the_host(
        self, url: str, engine: sa.Engine, tmp_path: Path, place: str
    ) -> None:
        around: list[tuple[object, object]] = []

        def at(here: str) -> None:
            if here == place:
                around.append(proxies())
                connect(url)
                around.append(proxies())

        upgrade(engine, tmp_path, at)

        before, after = around
        assert before[0] is not None
        assert after == before

    def test_a_migration_in_another_thread_never_shows_in_the_host_s_context(
        self, url: str, engine: sa.Engine, tmp_path: Path
    ) -> None:
        seen: set[tuple[object, object]] = set()
        with ThreadPoolExecutor(1) as other:

            def at(here: str) -> None:
                if here != "after configure":
                    return
                migrating = other.submit(connect, url)
                while not migrating.done():
                    seen.add(proxies())
                migrating.result()
                seen.add(proxies())

            upgrade(engine, tmp_path, at)

        assert len(seen) == 1
        assert revision_of(url) == HEAD

    def test_a_migration_outside_of_any_leaves_no_context_behind(
        self, url: str, engine: sa.Engine
    ) -> None:
        connect(url)

        assert proxies() == (None, None)


class TestSqlite(Promises):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'shop.db'}"

    def test_databases_may_be_migrated_in_several_threads_at_once(self, tmp_path: Path) -> None:
        urls = [f"sqlite:///{tmp_path / f'shop-{number}.db'}" for number in range(4)]
        together = threading.Barrier(len(urls))

        def migrate(url: str) -> None:
            together.wait()
            Recommender.connect(url, migrate=True).close()

        with ThreadPoolExecutor(len(urls)) as threads:
            list(threads.map(migrate, urls))

        assert [revision_of(url) for url in urls] == [HEAD] * len(urls)


class TestPostgres(Promises):
    @pytest.fixture
    def url(self, postgres_url: str) -> Iterator[str]:
        with ExitStack() as until_dropped:
            yield until_dropped.enter_context(new_database(postgres_url))


def connect(url: str) -> None:
    """Do what an application of the host's does when it is imported."""
    Recommender.connect(url, settings=SETTINGS, host=HOST, migrate=True).close()


def upgrade(engine: sa.Engine, folder: Path, at: Callable[[str], None]) -> None:
    """Run the host's own migrations, which call *at* on their way."""
    scripts = folder / "migrations"
    (scripts / "versions").mkdir(parents=True)
    (scripts / "env.py").write_text(ENV, "utf-8")
    (scripts / "versions" / "one.py").write_text(REVISION, "utf-8")
    config = Config()
    config.set_main_option("script_location", str(scripts))
    config.set_main_option("path_separator", "os")
    with engine.connect() as connection:
        config.attributes.update(connection=connection, at=at)
        command.upgrade(config, "head")


def proxies() -> tuple[Any, Any]:
    """Return what `alembic.context` and `alembic.op` stand for now."""
    modules: tuple[Any, Any] = (alembic.context, alembic.op)
    context, operations = (getattr(module, "_proxy", None) for module in modules)
    return context, operations


def revision_of(url: str) -> str | None:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT version_num FROM angle_reco_version").scalar()
    engine.dispose()
    return None if found is None else str(found)
