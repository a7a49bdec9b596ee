"""The feed of changes on both databases, and what is each one's own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from angle_reco.adapters.sql.results.changes import SqlChanges
from angle_reco.adapters.sql.storage import Storage
from angle_reco.domain.errors import InvalidValueError, StorageError, StorageUnavailableError
from angle_reco.domain.ids import IdKinds
from angle_reco.ports.changes import Cursor
from angle_reco.testing.contracts import (
    KINDS,
    Begin,
    ChangesAtOnceContract,
    ChangesContract,
    ChangesInTransactionsContract,
    Sample,
    TimedChanges,
)
from angle_reco.testing.contracts.changes_base import FORGET, Reader, items, jobs, run
from tests.adapters.databases import (
    WAYS,
    connection_to,
    driver_connection,
    emptied,
    storage_on,
    timed_changes_on,
)
from tests.postgres import comes_true

HOUR = timedelta(hours=1)


@pytest.fixture
def postgres(postgres_storages: dict[IdKinds, Storage], sample: Sample) -> Storage:
    """Return our tables without rows."""
    return emptied(postgres_storages[sample.ids])


@pytest.fixture
def sample() -> Sample:
    """Return what is in a feed, where that does not matter."""
    return Sample(KINDS[1])


class TestSqliteChanges(ChangesContract):
    @pytest.fixture
    def timed(self, sqlite: Storage) -> Iterator[TimedChanges]:
        with timed_changes_on(sqlite) as timed:
            yield timed


class TestPostgresChanges(ChangesContract):
    @pytest.fixture
    def timed(self, postgres: Storage) -> Iterator[TimedChanges]:
        with timed_changes_on(postgres) as timed:
            yield timed


class TestSqliteChangesInTransactions(ChangesInTransactionsContract):
    @pytest.fixture
    def timed(self, sqlite: Storage) -> Iterator[TimedChanges]:
        with timed_changes_on(sqlite) as timed:
            yield timed

    @pytest.fixture(params=WAYS)
    def way(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def begin(self, sqlite: Storage, way: str) -> Iterator[Begin]:
        engine = sa.create_engine(sqlite.database.engine.url, connect_args={"timeout": 30})
        yield lambda: connection_to(engine, way)
        engine.dispose()

    @pytest.fixture
    def elsewhere(self, way: str, tmp_path: Path) -> Iterator[object]:
        engine = sa.create_engine(f"sqlite:///{tmp_path / 'other.db'}")
        with connection_to(engine, way) as connection:
            yield connection
        engine.dispose()


class TestPostgresChangesInTransactions(ChangesInTransactionsContract):
    @pytest.fixture
    def timed(self, postgres: Storage) -> Iterator[TimedChanges]:
        with timed_changes_on(postgres) as timed:
            yield timed

    @pytest.fixture(params=WAYS)
    def way(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def begin(self, postgres: Storage, way: str) -> Iterator[Begin]:
        engine = sa.create_engine(postgres.database.engine.url, pool_size=10)
        yield lambda: connection_to(engine, way)
        engine.dispose()

    @pytest.fixture
    def elsewhere(self, way: str, postgres_url: str) -> Iterator[object]:
        engine = sa.create_engine(postgres_url)
        with connection_to(engine, way) as connection:
            yield connection
        engine.dispose()


class TestPostgresChangesOfAHostsEngine(ChangesAtOnceContract):
    """Also with another prefix, and rows that the driver makes dictionaries."""

    @pytest.fixture(params=[{}, {"isolation_level": "SERIALIZABLE"}, {"poolclass": sa.NullPool}])
    def timed(
        self, german_engine: sa.Engine, request: pytest.FixtureRequest, sample: Sample
    ) -> Iterator[TimedChanges]:
        engine = sa.create_engine(german_engine.url, **request.param)
        storage = storage_on(
            engine,
            sample.ids,
            schema="Kanäle der Änderungen, von denen man lange erzählen kann",
            prefix="a_prefix_of_thirty_characters_",
        )
        storage.migrate_up()
        with timed_changes_on(storage) as timed:
            yield timed
        storage.migrate_down()
        engine.dispose()


@pytest.fixture
def feed(postgres: Storage) -> SqlChanges:
    """Return a feed on PostgreSQL."""
    return SqlChanges(postgres.database, postgres.tables)


@pytest.fixture
def engine(postgres: Storage) -> sa.Engine:
    """Return what connects to its database."""
    return postgres.database.engine


class TestCommittedLate:
    def test_what_is_committed_after_later_ones_is_told(
        self, feed: SqlChanges, engine: sa.Engine
    ) -> None:
        reader = Reader(feed)
        with ExitStack() as late:
            late_ones = [late.enter_context(engine.begin()) for _ in range(2)]
            feed.publish([run("early, rolled back")], connection=late_ones[0])
            feed.publish([run("late")], connection=late_ones[1])
            feed.publish([run("meanwhile")])
            assert reader.read() == ["meanwhile"]
            feed.publish([run("late, too")], connection=late_ones[1])
            late_ones[0].rollback()
            feed.publish([run("meanwhile, too")])
            assert reader.read() == ["meanwhile", "meanwhile, too"]

        assert reader.read()[2:] == ["late", "late, too"]
        assert len(reader.read()) == 4

    def test_a_transaction_that_had_written_nothing_yet_is_told(
        self, feed: SqlChanges, engine: sa.Engine
    ) -> None:
        with engine.begin() as late:
            late.exec_driver_sql("SELECT 1")
            reader = Reader(feed)
            feed.publish([run("meanwhile")])
            reader.read()
            feed.publish([run("late")], connection=late)
            feed.publish([run("meanwhile, too")])
            reader.read()

        assert reader.read() == ["meanwhile", "meanwhile, too", "late"]

    def test_what_is_told_within_savepoints_is_told_when_all_is_committed(
        self, feed: SqlChanges, engine: sa.Engine
    ) -> None:
        reader = Reader(feed)
        with engine.begin() as late:
            with late.begin_nested():
                feed.publish([run("kept")], connection=late)
                feed.publish([run("meanwhile")])
                reader.read()
            with late.begin_nested() as taken_back:
                feed.publish([run("taken back")], connection=late)
                taken_back.rollback()
            feed.publish([run("meanwhile, too")])
            assert reader.read() == ["meanwhile", "meanwhile, too"]

        assert reader.read()[2:] == ["kept"]

    def test_who_begins_meanwhile_is_told_of_it_alone(
        self, feed: SqlChanges, engine: sa.Engine
    ) -> None:
        with engine.begin() as late:
            feed.publish([run("late")], connection=late)
            feed.publish([run("before")])
            reader = Reader(feed)

        assert reader.read() == ["late"]

    def test_while_one_is_open_for_long_what_is_old_is_forgotten_without_a_gap(
        self, postgres: Storage
    ) -> None:
        with timed_changes_on(postgres) as timed, ExitStack() as late:
            connection = late.enter_context(postgres.database.engine.begin())
            knows_nothing, reader = timed.changes.now(), Reader(timed.changes)
            timed.changes.publish([run("late")], connection=connection)
            timed.changes.publish([run("old")])
            reader.read()
            timed.advance(HOUR)
            counts = [timed.changes.prune(older_than=HOUR) for _ in range(3)]
            for _ in range(3):
                timed.changes.publish([run("young")])
                reader.read()
            assert timed.changes.since(knows_nothing).has_gap
            assert counts == [1, 0, 0]
            late.close()

            assert reader.read() == ["old", "young", "young", "young", "late"]
            knows_all = timed.changes.now()
            assert timed.changes.prune(older_than=HOUR) == 1
            assert not timed.changes.since(knows_all).has_gap

    def test_one_that_is_forgotten_before_anybody_was_told_is_a_gap(
        self, postgres: Storage
    ) -> None:
        with timed_changes_on(postgres) as timed, ExitStack() as late:
            connection = late.enter_context(postgres.database.engine.begin())
            timed.changes.publish([run("late")], connection=connection)
            timed.changes.publish([run("early")])
            cursor = timed.changes.now()
            timed.advance(HOUR)
            late.close()
            for _ in range(3):
                timed.changes.prune(older_than=HOUR)

                gap = timed.changes.since(cursor)
                assert gap.has_gap
                assert not timed.changes.since(gap.cursor).has_gap


class TestAnotherPast:
    """A backup was restored, a standby took over: rows and transactions are others."""

    def test_rows_that_are_other_ones_are_a_gap(self, feed: SqlChanges, engine: sa.Engine) -> None:
        table = feed.tables.changes
        feed.publish([run("kept")])
        before = feed.now()
        feed.publish([run("lost")])
        cursor = feed.now()
        with engine.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.job == "lost"))
        lost = feed.since(cursor)
        with engine.begin() as connection:
            newest = sa.select(sa.func.max(table.c.number)).scalar_subquery()
            connection.execute(
                sa.insert(table).from_select(
                    ["number", "told_at", "kind", "written_by"],
                    sa.select(
                        newest + 1, sa.func.clock_timestamp(), sa.literal("forget"), sa.literal(3)
                    ),
                )
            )

        assert [lost.has_gap, feed.since(cursor).has_gap] == [True, True]
        assert list(feed.since(before).changes) == [FORGET]
        assert not feed.since(lost.cursor).has_gap

    def test_transactions_that_are_still_to_come_are_a_gap(self, feed: SqlChanges) -> None:
        feed.publish([run("before")])
        dialect, number, told_at, snapshot = feed.now().text.split()
        _, end, _ = snapshot.split(":")
        ahead = f"{end}:{int(end) + 1_000_000}:"

        gap = feed.since(Cursor(text=f"{dialect} {number} {told_at} {ahead}"))

        assert gap.has_gap
        assert not feed.since(gap.cursor).has_gap

    def test_rows_of_another_server_are_not_told_again_and_again(
        self, feed: SqlChanges, engine: sa.Engine
    ) -> None:
        table, far = feed.tables.changes, 2**60
        feed.publish([run("from a dump")])
        with engine.begin() as connection:
            connection.execute(sa.update(table).values(written_by=far))
        reader = Reader(feed)
        feed.publish([run("new")])

        assert reader.read() == ["new"]
        ended_before_now(engine)
        assert reader.read() == ["new"]
        counts = [feed.prune(older_than=timedelta()) for _ in range(3)]
        assert counts == [2, 0, 0]
        feed.publish([run("newer")])
        assert reader.read() == ["new", "newer"]

    def test_rows_of_old_changes_are_deleted(self, feed: SqlChanges, engine: sa.Engine) -> None:
        feed.publish([run("old")])
        for _ in range(3):
            ended_before_now(engine)
            feed.prune(older_than=timedelta())

        with engine.begin() as connection:
            count = sa.select(sa.func.count()).select_from(feed.tables.changes)
            assert connection.scalar(count) == 0

    def test_who_read_on_a_standby_is_told_nothing_too_little(
        self, feed: SqlChanges, engine: sa.Engine
    ) -> None:
        with engine.begin() as late:
            feed.publish([run("late")], connection=late)
            feed.publish([run("early")])
            *others, snapshot = feed.now().text.split()
            first, _, _ = snapshot.split(":")
            # It names nobody who is running: as if all had begun after the first of them.
            cursor = Cursor(text=" ".join([*others, f"{first}:{first}:"]))
            feed.publish([run("meanwhile")])

        told = feed.since(cursor)
        assert (jobs(told), told.has_gap) == (["late", "early", "meanwhile"], False)


class TestAFeedOfMore:
    @pytest.mark.parametrize("where", ["sqlite", "postgres"])
    def test_more_than_fits_into_memory_is_a_gap(
        self,
        request: pytest.FixtureRequest,
        where: str,
        sample: Sample,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        # Each takes 100 bytes and 35 for each item.
        monkeypatch.setattr(
            "angle_reco.adapters.sql.results.feed_reading.MOST_BYTES", 4 * (100 + 35 * 13 + 1)
        )
        storage: Storage = request.getfixturevalue(where)
        changes = SqlChanges(storage.database, storage.tables)
        cursors, some = [changes.now()], items(sample.items)
        for _ in range(10):
            changes.publish([some])
            cursors.append(changes.now())

        feeds = [changes.since(one) for one in cursors]

        assert [feed.has_gap for feed in feeds] == [True] * 6 + [False] * 5
        assert [len(feed.changes) for feed in feeds] == [0] * 6 + [4, 3, 2, 1, 0]
        # What runs beside it on that server, cursors know too.
        places = {tuple(feed.cursor.text.split()[:3]) for feed in feeds}
        assert places == {tuple(cursors[-1].text.split()[:3])}

    @pytest.mark.parametrize("where", ["sqlite", "postgres"])
    def test_what_a_later_release_tells_is_a_gap(
        self, request: pytest.FixtureRequest, where: str
    ) -> None:
        storage: Storage = request.getfixturevalue(where)
        changes = SqlChanges(storage.database, storage.tables)
        cursor = changes.now()
        changes.publish([run("known"), FORGET])
        table = storage.tables.changes
        with storage.database.engine.begin() as connection:
            connection.execute(
                sa.update(table).where(table.c.kind == "forget").values(kind="promoted")
            )

        gap = changes.since(cursor)

        assert (list(gap.changes), gap.has_gap) == ([], True)
        assert not changes.since(gap.cursor).has_gap

    @pytest.mark.parametrize("where", ["sqlite", "postgres"])
    def test_a_method_is_one_statement(self, request: pytest.FixtureRequest, where: str) -> None:
        storage: Storage = request.getfixturevalue(where)
        changes = SqlChanges(storage.database, storage.tables)
        cursor, seen = changes.now(), list[str]()
        heard: Callable[..., None] = lambda *given: seen.append(given[2])  # noqa: E731 — to be taken off again
        sa.event.listen(storage.database.engine, "before_cursor_execute", heard)

        changes.publish([run(f"{number}") for number in range(1_000)])
        changes.since(cursor)
        changes.now()
        sa.event.remove(storage.database.engine, "before_cursor_execute", heard)

        ours = [
            one.split()[0] for one in seen if not one.startswith(("SELECT set_config", "BEGIN"))
        ]
        assert ours == ["INSERT", "SELECT", "SELECT"]

    def test_among_many_rows_the_new_ones_are_found_by_indexes(
        self, feed: SqlChanges, engine: sa.Engine
    ) -> None:
        for _ in range(5):
            feed.publish([run(f"{number}") for number in range(20_000)])
        table = feed.tables.changes
        name = engine.dialect.identifier_preparer.format_table(table)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"ANALYZE {name}")
        cursor = feed.now()
        feed.publish([run("new")])
        _, number, _, snapshot = cursor.text.split()
        first, end, _ = snapshot.split(":")
        with engine.connect() as connection:
            text = str(feed._reader._news.compile(dialect=engine.dialect))
            values = feed._reader._news.compile(dialect=engine.dialect).construct_params(
                {"known": int(number), "end": int(end), "running": [int(first) - 1, int(end) - 1]}
            )
            plan = "\n".join(
                row[0] for row in connection.exec_driver_sql(f"EXPLAIN (ANALYZE) {text}", values)
            )
        print(plan)

        assert "Seq Scan on angle_reco_changes" not in plan
        assert "angle_reco_changes_written_by" in plan
        assert jobs(feed.since(cursor)) == ["new"]


class TestAHostsConnection:
    def test_what_it_is_set_to_for_the_hosts_own_queries_does_not_count(
        self, feed: SqlChanges, german_engine: sa.Engine
    ) -> None:
        reader = Reader(feed)
        schema = feed.tables.schema
        options = {"schema_translate_map": {schema: "nowhere"}, "stream_results": True}
        with german_engine.connect().execution_options(**options) as connection:
            feed.publish([run("told")], connection=connection)
            connection.commit()

        assert reader.read() == ["told"]

    def test_a_driver_that_commits_each_statement_is_told_at_once(
        self, feed: SqlChanges, german_engine: sa.Engine
    ) -> None:
        reader = Reader(feed)
        options = {"autocommit": True, "row_factory": psycopg.rows.dict_row}
        with driver_connection(german_engine.url, **options) as connection:
            feed.publish([run("told")], connection=connection)

            assert reader.read() == ["told"]

    def test_what_is_to_be_prepared_first_is_told(
        self, feed: SqlChanges, german_engine: sa.Engine
    ) -> None:
        reader = Reader(feed)
        with german_engine.connect() as connection, connection.begin_twophase():
            feed.publish([run("told")], connection=connection)

        assert reader.read() == ["told"]

    def test_its_encoding_does_not_matter(self, feed: SqlChanges, german_engine: sa.Engine) -> None:
        reader = Reader(feed)
        with driver_connection(german_engine.url, client_encoding="latin1") as connection:
            feed.publish([run("é, ł, \N{ROCKET}")], connection=connection)

        assert reader.read() == ["é, ł, \N{ROCKET}"]

    def test_a_session_without_an_engine_is_refused(self, feed: SqlChanges) -> None:
        with orm.Session() as session, pytest.raises(InvalidValueError, match="Session"):
            feed.publish([FORGET], connection=session)

    def test_a_connection_of_another_kind_is_refused(
        self, feed: SqlChanges, sqlite: Storage, german_engine: sa.Engine
    ) -> None:
        on_file = SqlChanges(sqlite.database, sqlite.tables)
        with (
            sqlite.database.engine.connect() as file,
            german_engine.connect() as server,
        ):
            for changes, connection in ((feed, file), (on_file, server)):
                for one in (connection, connection.connection.dbapi_connection):
                    with pytest.raises(InvalidValueError, match="connection"):
                        changes.publish([FORGET], connection=one)

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("where", ["sqlite", "postgres"])
    def test_what_the_database_refuses_is_an_error_of_ours(
        self, request: pytest.FixtureRequest, where: str, way: str
    ) -> None:
        storage: Storage = request.getfixturevalue(where)
        tables = storage_on(storage.database.engine, prefix="missing_").tables
        changes = SqlChanges(storage.database, tables)

        with (
            pytest.raises(StorageError, match="missing_changes"),
            connection_to(storage.database.engine, way) as connection,
        ):
            changes.publish([FORGET], connection=connection)

    @pytest.mark.parametrize("way", WAYS)
    def test_what_the_database_refuses_takes_nothing_of_the_hosts_with_it(
        self, feed: SqlChanges, postgres: Storage, way: str
    ) -> None:
        tables = storage_on(postgres.database.engine, prefix="missing_").tables
        missing, reader = SqlChanges(postgres.database, tables), Reader(feed)

        with connection_to(postgres.database.engine, way) as connection:
            feed.publish([run("before")], connection=connection)
            with pytest.raises(StorageError, match="missing_changes"):
                missing.publish([FORGET], connection=connection)
            feed.publish([run("after")], connection=connection)

        assert reader.read() == ["before", "after"]

    def test_a_connection_that_was_lost_is_an_error_of_ours(
        self, feed: SqlChanges, german_engine: sa.Engine
    ) -> None:
        with driver_connection(german_engine.url) as connection:
            with german_engine.connect() as other:
                other.execute(sa.select(sa.func.pg_terminate_backend(connection.info.backend_pid)))
            with pytest.raises(StorageUnavailableError):
                feed.publish([FORGET], connection=connection)


def ended_before_now(engine: sa.Engine) -> None:
    """Wait for the older transactions of the server: those of other tests keep rows in the feed."""
    with engine.begin() as connection:
        mine = connection.scalar(sa.text("SELECT pg_current_xact_id()::text::bigint"))

    def have_ended() -> bool:
        with engine.begin() as connection:
            oldest = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
            return bool(connection.scalar(sa.text(oldest)) > mine)

    assert comes_true(have_ended)
