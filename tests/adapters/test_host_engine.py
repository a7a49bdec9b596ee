"""An engine of ours beside the host's: connects as theirs does, and leaves their pool alone."""

import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from angle_reco import InvalidValueError, ItemId, Recommender, SchemaError, Settings
from angle_reco.adapters.sql.core.host_engine import engine_beside
from angle_reco.testing import Item
from tests.adapters.databases import fill
from tests.postgres import comes_true

SCHEMA = "host_engine"
PATIENT = Settings(deadline=timedelta(seconds=20))


@pytest.fixture
def url(german_engine: sa.Engine) -> Iterator[sa.URL]:
    """Return the URL of a database with an empty schema of its own."""
    with german_engine.begin() as connection:
        connection.execute(sa.schema.DropSchema(SCHEMA, cascade=True, if_exists=True))
        connection.execute(sa.schema.CreateSchema(SCHEMA))
    yield german_engine.url
    with german_engine.begin() as connection:
        connection.execute(sa.schema.DropSchema(SCHEMA, cascade=True))


def engine_on(url: sa.URL, **options: Any) -> sa.Engine:
    arguments = options.pop("connect_args", {})
    search_path = f"-c search_path={SCHEMA} {arguments.pop('options', '')}"
    return sa.create_engine(url, connect_args={"options": search_path, **arguments}, **options)


def works(reco: Recommender) -> None:
    """Write by an event and a job, and read a page."""
    assert reco.storage is not None
    fill(reco.storage, items=[Item(item_id=ItemId("vase"), category_id=None, title="A vase")])
    assert reco.items_changed(["vase"])
    reco.system.run_job("generate_popular_items")
    shown: list[object] = list(reco.anonymous.popular_items().ids)
    assert shown == ["vase"]


ODD: dict[str, dict[str, Any]] = {
    "autocommit": {"isolation_level": "AUTOCOMMIT"},
    "serializable": {"isolation_level": "SERIALIZABLE"},
    "rows as they come": {"execution_options": {"stream_results": True, "yield_per": 1}},
    "read-only": {"connect_args": {"options": "-c default_transaction_read_only=on"}},
    "another date style": {"connect_args": {"options": "-c datestyle=German"}},
    "another time zone": {"connect_args": {"options": "-c timezone=Asia/Kathmandu"}},
    "another encoding": {"connect_args": {"client_encoding": "latin1"}},
    "autocommit of the driver": {"connect_args": {"autocommit": True}},
    "nothing prepared": {"connect_args": {"prepare_threshold": None}},
    "one connection": {"poolclass": sa.StaticPool},
    "no pool": {"poolclass": sa.NullPool},
    "a pool of one": {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.1},
}


@pytest.mark.parametrize("odd", ODD)
def test_engines_with_odd_options_are_served(url: sa.URL, odd: str) -> None:
    engine = engine_on(url, **{name: _copied(value) for name, value in ODD[odd].items()})
    # The host holds a connection of its pool all the time.
    with (
        engine.connect(),
        Recommender.from_engine(engine, settings=PATIENT, migrate=True) as reco,
    ):
        works(reco)
    engine.dispose()


def _copied(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else value


def test_a_creator_of_the_hosts_makes_our_connections(url: sa.URL) -> None:
    made = list[psycopg.Connection[Any]]()

    def create() -> psycopg.Connection[Any]:
        text = url.set(drivername="postgresql").render_as_string(hide_password=False)
        made.append(psycopg.connect(text, options=f"-c search_path={SCHEMA}"))
        return made[-1]

    engine = sa.create_engine("postgresql+psycopg://", creator=create)
    with Recommender.from_engine(engine, settings=PATIENT, migrate=True) as reco:
        works(reco)

    assert made
    assert all(one.closed for one in made)


def test_a_token_is_asked_for_at_each_connection(url: sa.URL) -> None:
    engine, tokens = engine_on(url), list[str]()

    @sa.event.listens_for(engine, "do_connect")
    def add_token(_: object, __: object, ___: object, options: dict[str, Any]) -> None:
        tokens.append(f"token {len(tokens)}")
        options["application_name"] = tokens[-1]

    with Recommender.from_engine(engine, settings=PATIENT, migrate=True) as reco:
        assert reco.storage is not None
        with reco.storage.database.engine.connect() as connection:
            said = connection.exec_driver_sql("SHOW application_name").scalar()

    assert said == tokens[-1]
    assert len(tokens) > 1


def test_what_a_checkout_sets_is_the_hosts_alone(url: sa.URL) -> None:
    engine = engine_on(url)

    @sa.event.listens_for(engine, "checkout")
    def choose(raw: Any, *_: object) -> None:
        raw.execute("SET search_path TO nowhere")
        raw.commit()

    with Recommender.from_engine(engine, settings=PATIENT, migrate=True) as reco:
        works(reco)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW search_path").scalar() == "nowhere"
    engine.dispose()


def test_an_event_on_a_connection_of_another_schema_is_refused(url: sa.URL) -> None:
    engine = engine_on(url)
    with Recommender.from_engine(engine, settings=PATIENT, migrate=True) as reco:
        with engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL search_path TO public")
            assert not reco.items_changed(["vase"], connection=connection)
            assert not reco.signed_in("ann", connection=connection)
        with engine.begin() as connection:
            assert reco.items_changed(["vase"], connection=connection)
            stored = sa.text("SELECT count(*) FROM angle_reco_changes")
            assert connection.scalar(stored) == 1
    engine.dispose()


def test_a_schema_that_is_named_may_be_the_search_path_of_events(url: sa.URL) -> None:
    engine = sa.create_engine(url)
    with Recommender.from_engine(engine, settings=PATIENT, schema=SCHEMA, migrate=True) as reco:
        for path, is_taken in [(SCHEMA, True), ("public", True), ("pg_temp", False)]:
            with engine.begin() as connection:
                connection.exec_driver_sql(f"SET LOCAL search_path TO {path}")
                assert reco.items_changed(["vase"], connection=connection) is is_taken
    engine.dispose()


def test_tables_are_found_whatever_the_search_path_is_later(url: sa.URL) -> None:
    engine = engine_on(url)
    path = [SCHEMA]

    @sa.event.listens_for(engine, "connect")
    def choose(raw: Any, _: object) -> None:
        raw.execute(f"SET search_path TO {path[0]}")
        raw.commit()

    with Recommender.from_engine(engine, settings=PATIENT, migrate=True) as reco:
        path[0] = "public"
        works(reco)


def test_a_search_path_without_a_schema_is_refused(url: sa.URL) -> None:
    engine = sa.create_engine(url, connect_args={"options": "-c search_path=nowhere"})

    with pytest.raises(SchemaError, match=r"no schema of the search_path exists: .* schema="):
        Recommender.from_engine(engine, settings=PATIENT, migrate=True)


@pytest.mark.parametrize("where", ["sqlite", "postgres"])
def test_the_pool_of_the_host_stays_empty(
    request: pytest.FixtureRequest, tmp_path: Path, where: str
) -> None:
    if where == "sqlite":
        engine = sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    else:
        engine = engine_on(request.getfixturevalue("url"))
    made = list[object]()
    sa.event.listen(engine, "checkout", lambda *said: made.append(said))

    with Recommender.from_engine(engine, settings=PATIENT, migrate=True) as reco:
        works(reco)
        assert reco.storage is not None
        ours = reco.storage.database.engine.pool
        # What is read behind an answer ends soon.
        assert comes_true(lambda: ours.checkedout() == 0)  # type: ignore[attr-defined]  # of its kind

    assert made == []


def test_recommenders_on_one_engine_share_a_pool(url: sa.URL) -> None:
    engine = engine_on(url)
    one, other = (engine_beside(engine, timedelta(seconds=seconds)) for seconds in (2.0, 2.0))

    assert one is other
    assert engine_beside(engine, timedelta(seconds=3)) is not one
    assert one.pool.size() == 5  # type: ignore[attr-defined]  # of this kind of pools


class TestSqlite:
    def test_functions_that_a_listener_adds_are_there(self, tmp_path: Path) -> None:
        engine = sa.create_engine(
            f"sqlite:///{tmp_path / 'shop.db'}", connect_args={"check_same_thread": True}
        )

        @sa.event.listens_for(engine, "connect")
        def set_up(raw: sqlite3.Connection, _: object) -> None:
            raw.create_function("thrice", 1, lambda value: 3 * value)
            raw.row_factory, raw.isolation_level = sqlite3.Row, None

        with Recommender.from_engine(engine, settings=PATIENT, migrate=True) as reco:
            works(reco)
            assert reco.storage is not None
            with reco.storage.database.engine.connect() as connection:
                assert connection.exec_driver_sql("SELECT thrice(14)").scalar() == 42

    def test_a_creator_of_a_database_in_memory_is_refused(self) -> None:
        made = list[sqlite3.Connection]()

        def connect() -> sqlite3.Connection:
            made.append(sqlite3.connect(":memory:"))
            return made[-1]

        engine = sa.create_engine("sqlite:///shop.db", creator=connect)

        with pytest.raises(InvalidValueError, match="a database in memory"):
            Recommender.from_engine(engine, settings=PATIENT, migrate=True)

        assert made
        for one in made:
            with pytest.raises(sqlite3.ProgrammingError, match="closed"):
                one.execute("SELECT 1")

    def test_errors_do_not_show_the_values_of_statements(self, tmp_path: Path) -> None:
        host = sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
        engine = engine_beside(host, timedelta(seconds=1))

        with engine.connect() as connection, pytest.raises(sa.exc.OperationalError) as raised:
            connection.execute(sa.text("SELECT :one FROM nowhere"), {"one": "a secret"})

        assert "a secret" not in str(raised.value)
        engine.dispose()


class TestRefused:
    @pytest.mark.parametrize(
        ("make", "named"),
        [
            (lambda: "sqlite:///shop.db", "'sqlite:///shop.db'"),
            (lambda: None, "None"),
            (lambda: sa.create_mock_engine("postgresql+psycopg://", print), "Mock"),
        ],
    )
    def test_what_is_no_engine(self, make: Callable[[], Any], named: str) -> None:
        with pytest.raises(InvalidValueError, match=f"engine is .*{named}.*connect\\(url\\)"):
            Recommender.from_engine(make())

    def test_one_that_renames_schemas(self, url: sa.URL) -> None:
        engine = engine_on(url).execution_options(schema_translate_map={None: "tenant"})

        with pytest.raises(InvalidValueError, match="schema_translate_map"):
            Recommender.from_engine(engine)
