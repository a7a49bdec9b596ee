"""Events within transactions of the host's, on every driver and object that a host may have.

Whatever becomes of ours, the host's rows are as if it had not been there, and ours are there
when the host's transaction is committed.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import psycopg
import psycopg2
import psycopg2.extras
import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine

from angle_reco import HostSchema, IdKind, IdKinds, Recommender, Settings

SETTINGS = Settings(ids=IdKinds(user=IdKind.INT, item=IdKind.INT))
ROLE = "angle_reco_web"

metadata = sa.MetaData()
people = sa.Table(
    "people",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
)
lots = sa.Table("lots", metadata, sa.Column("id", sa.Integer, primary_key=True))
offers = sa.Table(
    "offers",
    metadata,
    sa.Column("who", sa.Integer),
    sa.Column("what", sa.Integer),
    sa.Column("at", sa.DateTime(timezone=True)),
)
HOST = HostSchema(
    users=sa.select(people.c.id.label("user_id")),
    items=sa.select(lots.c.id.label("item_id")),
    bids=sa.select(
        offers.c.who.label("user_id"),
        offers.c.what.label("item_id"),
        offers.c.at.label("placed_at"),
    ),
)
INSERT = "INSERT INTO lots (id) VALUES (1)"
EVENTS = 3
"""In one transaction: a connection of psycopg prepares the second one and executes the third."""


@attrs.frozen
class Shop:
    """A host's database, as an administrator sees it, and the recommender on it."""

    admin: sa.Engine
    reco: Recommender
    broken: Recommender
    """One whose tables are missing."""

    def count(self, table: str) -> int:
        with self.admin.connect() as connection:
            found = connection.scalar(sa.select(sa.func.count()).select_from(sa.text(table)))
        return int(found or 0)

    def url(self, driver: str, *, has_rights: bool = True) -> sa.URL:
        url = self.admin.url.set(drivername=driver)
        return url if has_rights else url.set(username=ROLE)


@pytest.fixture(scope="module")
def on_postgres(postgres_url: str) -> Iterator[Shop]:
    admin = sa.create_engine(postgres_url)
    metadata.create_all(admin)
    reco = Recommender.connect(postgres_url, host=HOST, settings=SETTINGS, migrate=True)
    with admin.begin() as connection:
        connection.exec_driver_sql(
            f"DO $$ BEGIN CREATE ROLE {ROLE} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL;"
            f" END $$; GRANT ALL ON people, lots, offers TO {ROLE}"
        )
        connection.execute(sa.insert(people).values(id=1))
    broken = Recommender.connect(
        postgres_url, host=HOST, settings=SETTINGS, prefix="missing_", check=False
    )
    yield Shop(admin, reco, broken)
    reco.close()
    broken.close()
    with admin.begin() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")
    admin.dispose()


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    url = f"sqlite:///{tmp_path_factory.mktemp('drivers') / 'shop.db'}"
    admin = sa.create_engine(url)
    metadata.create_all(admin)
    reco = Recommender.connect(url, host=HOST, settings=SETTINGS, migrate=True)
    with admin.begin() as connection:
        connection.execute(sa.insert(people).values(id=1))
    broken = Recommender.connect(url, host=HOST, settings=SETTINGS, prefix="missing_", check=False)
    yield Shop(admin, reco, broken)
    reco.close()
    broken.close()
    admin.dispose()


@attrs.frozen
class Opened:
    """What a host has open; *given* goes to the event."""

    given: Any
    run: Callable[[str], Any]
    commit: Callable[[], Any]
    rollback: Callable[[], Any]


async def done(value: Any) -> Any:
    """Return what a call of a driver returned, awaited where it is a coroutine."""
    return await value if hasattr(value, "__await__") else value


@asynccontextmanager
async def sync_of_alchemy(url: sa.URL, kind: str, commits: bool) -> AsyncIterator[Opened]:
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"} if commits else {}
    engine = sa.create_engine(url, **options)
    opened: Any
    if kind == "connection":
        opened = engine.connect()
    elif kind == "session":
        opened = orm.Session(engine)
    else:
        opened = orm.scoped_session(orm.sessionmaker(engine))
    yield Opened(opened, lambda text: opened.execute(sa.text(text)), opened.commit, opened.rollback)
    opened.close()
    engine.dispose()


@asynccontextmanager
async def async_of_alchemy(url: sa.URL, kind: str, commits: bool) -> AsyncIterator[Opened]:
    options = {"isolation_level": "AUTOCOMMIT"} if commits else {}
    engine = create_async_engine(url, **options)
    opened: AsyncConnection | AsyncSession
    opened = await engine.connect() if kind == "connection" else AsyncSession(engine)
    yield Opened(opened, lambda text: opened.execute(sa.text(text)), opened.commit, opened.rollback)
    await opened.close()
    await engine.dispose()


@asynccontextmanager
async def of_psycopg(url: sa.URL, kind: str, commits: bool) -> AsyncIterator[Opened]:
    text = url.set(drivername="postgresql").render_as_string(hide_password=False)
    factory: Any = psycopg.rows.dict_row if kind == "odd" else psycopg.rows.tuple_row
    cursors: Any = psycopg.RawCursor if kind == "odd" else psycopg.Cursor
    raw = psycopg.connect(text, autocommit=commits, row_factory=factory, cursor_factory=cursors)
    yield Opened(raw, raw.execute, raw.commit, raw.rollback)
    raw.close()


@asynccontextmanager
async def of_psycopg2(url: sa.URL, kind: str, commits: bool) -> AsyncIterator[Opened]:
    raw = psycopg2.connect(
        url.set(drivername="postgresql").render_as_string(hide_password=False),
        cursor_factory=psycopg2.extras.DictCursor if kind == "odd" else None,
    )
    raw.autocommit = commits
    yield Opened(raw, lambda text: raw.cursor().execute(text), raw.commit, raw.rollback)
    raw.close()


@asynccontextmanager
async def of_sqlite3(url: sa.URL, kind: str, commits: bool) -> AsyncIterator[Opened]:
    raw = sqlite3.connect(url.database or "", isolation_level=None if commits else "DEFERRED")
    if kind == "odd":
        raw.row_factory, raw.text_factory = sqlite3.Row, bytes
    yield Opened(raw, raw.execute, raw.commit, raw.rollback)
    raw.close()


@asynccontextmanager
async def of_django(url: sa.URL, kind: str, commits: bool) -> AsyncIterator[Opened]:
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # This loop runs nothing else.
    import django
    from django.conf import settings
    from django.db.utils import ConnectionHandler

    if not settings.configured:
        settings.configure(USE_TZ=True)
        django.setup()
    engine = "sqlite3" if url.get_backend_name() == "sqlite" else "postgresql"
    handler = ConnectionHandler(
        {
            "default": {
                "ENGINE": f"django.db.backends.{engine}",
                "NAME": url.database,
                "USER": url.username or "",
                "PASSWORD": url.password or "",
                "HOST": url.host or "",
                "PORT": url.port or "",
                "OPTIONS": {},
            }
        }
    )
    connection: Any = handler["default"]
    connection.inc_thread_sharing()
    if not commits:
        connection.set_autocommit(False)

    def run(text: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(text)

    def nothing() -> None:
        """In autocommit there is nothing to end."""

    ends = (nothing, nothing) if commits else (connection.commit, connection.rollback)
    yield Opened(connection, run, *ends)
    connection.close()


ON_POSTGRES: dict[str, tuple[Any, str, str]] = {
    "psycopg connection": (sync_of_alchemy, "postgresql+psycopg", "connection"),
    "psycopg session": (sync_of_alchemy, "postgresql+psycopg", "session"),
    "psycopg scoped session": (sync_of_alchemy, "postgresql+psycopg", "scoped"),
    "psycopg2 connection": (sync_of_alchemy, "postgresql+psycopg2", "connection"),
    "psycopg2 session": (sync_of_alchemy, "postgresql+psycopg2", "session"),
    "asyncpg connection": (async_of_alchemy, "postgresql+asyncpg", "connection"),
    "asyncpg session": (async_of_alchemy, "postgresql+asyncpg", "session"),
    "psycopg_async connection": (async_of_alchemy, "postgresql+psycopg_async", "connection"),
    "psycopg_async session": (async_of_alchemy, "postgresql+psycopg_async", "session"),
    "raw psycopg": (of_psycopg, "postgresql", ""),
    "raw psycopg with odd rows and cursors": (of_psycopg, "postgresql", "odd"),
    "raw psycopg2": (of_psycopg2, "postgresql", ""),
    "raw psycopg2 with odd cursors": (of_psycopg2, "postgresql", "odd"),
    "django": (of_django, "postgresql", ""),
}
ON_SQLITE: dict[str, tuple[Any, str, str]] = {
    "sqlite connection": (sync_of_alchemy, "sqlite", "connection"),
    "sqlite session": (sync_of_alchemy, "sqlite", "session"),
    "sqlite scoped session": (sync_of_alchemy, "sqlite", "scoped"),
    "aiosqlite connection": (async_of_alchemy, "sqlite+aiosqlite", "connection"),
    "aiosqlite session": (async_of_alchemy, "sqlite+aiosqlite", "session"),
    "raw sqlite3": (of_sqlite3, "sqlite", ""),
    "raw sqlite3 with odd rows": (of_sqlite3, "sqlite", "odd"),
    "django on sqlite": (of_django, "sqlite", ""),
}


async def run_request(
    shop: Shop, how: tuple[Any, str, str], *, state: str, ours: str, ends: str
) -> bool:
    """Do what a host's request does; return what became of all events within it."""
    opens, driver, kind = how
    url = shop.url(driver, has_rights=ours != "no rights")
    reco = shop.broken if ours == "fails" else shop.reco
    async with opens(url, kind, state == "autocommit") as opened:
        if state == "begun":
            await done(opened.run(INSERT))
        taken = set[bool]()
        for _ in range(EVENTS):
            if isinstance(opened.given, AsyncConnection | AsyncSession):
                taken.add(await reco.aio.items_changed([1], connection=opened.given))
            else:
                taken.add(reco.items_changed([1], connection=opened.given))
        if state != "begun":
            await done(opened.run(INSERT))
        await done(opened.commit() if ends == "commit" else opened.rollback())
    [is_taken] = taken
    return is_taken


@pytest.mark.parametrize("ends", ["commit", "rollback"])
@pytest.mark.parametrize("ours", ["works", "fails", "no rights"])
@pytest.mark.parametrize("state", ["begun", "not begun", "autocommit"])
@pytest.mark.parametrize("how", [*ON_POSTGRES, *ON_SQLITE])
def test_the_hosts_rows_are_as_if_ours_had_not_been_there(
    request: pytest.FixtureRequest, how: str, state: str, ours: str, ends: str
) -> None:
    if how in ON_SQLITE and ours == "no rights":
        ours = "fails"  # SQLite knows no rights on tables.
    shop: Shop = request.getfixturevalue("on_sqlite" if how in ON_SQLITE else "on_postgres")
    opens = {**ON_POSTGRES, **ON_SQLITE}[how]
    with shop.admin.begin() as connection:
        connection.exec_driver_sql("DELETE FROM lots")
        connection.exec_driver_sql("DELETE FROM angle_reco_changes")

    is_taken = asyncio.run(run_request(shop, opens, state=state, ours=ours, ends=ends))

    is_kept = ends == "commit" or state == "autocommit"
    assert is_taken == (ours == "works")
    assert shop.count("lots") == is_kept
    assert shop.count("angle_reco_changes") == EVENTS * (is_kept and ours == "works")


class TestRefused:
    """A connection that takes no statement is refused before anything is sent on it."""

    def test_one_in_pipeline_mode(self, on_postgres: Shop) -> None:
        url = on_postgres.url("postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url) as raw, raw.pipeline():
            raw.execute("SELECT 1")

            assert not on_postgres.reco.items_changed([1], connection=raw)
            assert raw.execute("SELECT 2").fetchone() == (2,)

    def test_one_whose_transaction_has_failed(self, on_postgres: Shop) -> None:
        url = on_postgres.url("postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url) as raw:
            with pytest.raises(psycopg.errors.DivisionByZero):
                raw.execute("SELECT 1 / 0")

            assert not on_postgres.reco.items_changed([1], connection=raw)
            assert raw.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
            raw.rollback()

    def test_a_synchronous_one_on_an_event_loop(self, on_postgres: Shop) -> None:
        engine = sa.create_engine(on_postgres.url("postgresql+psycopg"))

        async def handle() -> bool:
            with engine.connect() as connection:
                is_taken = await on_postgres.reco.aio.items_changed([1], connection=connection)
                assert not connection.in_transaction()
            return is_taken

        assert not asyncio.run(handle())
        engine.dispose()

    def test_an_asynchronous_one_that_is_closed_or_never_started(self, on_postgres: Shop) -> None:
        async def handle() -> list[bool]:
            engine = create_async_engine(on_postgres.url("postgresql+asyncpg"))
            opened = await engine.connect()
            await opened.close()
            taken = [
                await on_postgres.reco.aio.watched(1, 1, connection=one)
                for one in (opened, engine.connect(), "no connection")
            ]
            await engine.dispose()
            return taken

        assert asyncio.run(handle()) == [False, False, False]

    def test_one_of_another_database(self, on_postgres: Shop, tmp_path: Path) -> None:
        with sqlite3.connect(tmp_path / "other.db") as other:
            assert not on_postgres.reco.items_changed([1], connection=other)
        other.close()


class TestEveryEvent:
    @pytest.mark.parametrize("driver", ["postgresql+asyncpg", "postgresql+psycopg_async"])
    def test_all_events_take_an_asynchronous_session(self, on_postgres: Shop, driver: str) -> None:
        async def handle() -> list[bool]:
            engine = create_async_engine(on_postgres.url(driver))
            aio = on_postgres.reco.aio
            async with AsyncSession(engine) as session:
                taken = [
                    await aio.signed_in(1, connection=session),
                    await aio.bid_placed(1, 1, connection=session),
                    await aio.watched(1, 1, connection=session),
                    await aio.unwatched(1, 1, connection=session),
                    await aio.items_changed([1], connection=session),
                ]
                await session.rollback()
            await engine.dispose()
            return taken

        with on_postgres.admin.begin() as connection:
            connection.exec_driver_sql("DELETE FROM angle_reco_changes")

        assert asyncio.run(handle()) == [True] * 5
        assert on_postgres.count("angle_reco_changes") == 0
        assert on_postgres.count("angle_reco_sign_ins") == 0
