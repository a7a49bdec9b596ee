"""Options in a URL of PostgreSQL have an effect, or the error names them."""

import math
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import sqlalchemy as sa

from angle_reco import InvalidValueError, Recommender, Settings, StorageUnavailableError
from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.core.postgres import _seconds_given
from angle_reco.adapters.sql.core.url_options import with_empty_options
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.ports.deadlines import deadline
from tests.postgres import new_database

DEADLINE = timedelta(seconds=5)
OURS = "4500ms"
SERVER = "postgresql://ann:pw@127.0.0.1/shop"


@contextmanager
def opened(url: str, query: str = "", **options: Any) -> Iterator[Database]:
    """Give the database at a URL with options."""
    engine = open_engine(f"{url}{query}", DEADLINE, **options)
    try:
        yield Database(engine, DEADLINE)
    finally:
        engine.dispose()


def shown(database: Database, name: str, *, is_call: bool = True) -> object:
    """Return a setting as statements of a call, or of a job, find it."""
    query = sa.select(sa.func.current_setting(name))
    if not is_call:
        return database.scalar(query)
    with deadline(DEADLINE.total_seconds()):
        return database.scalar(query)


def prepared(database: Database, times: int) -> int:
    """Return how many statements are prepared once one was sent so many times."""
    with database.engine.connect() as connection:
        for _ in range(times):
            connection.exec_driver_sql("SELECT %s::int", (1,))
        count = connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements")
        return int(count.scalar_one())


# Which there are.


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sslmod=require", "option of the database URL is 'sslmod', but should be one of libpq"),
        ("autocommit=true", "option of the database URL is 'autocommit'"),
        ("row_factory=dict_row", "option of the database URL is 'row_factory'"),
        ("plugin=geoalchemy2", "option of the database URL is 'plugin'"),
        ("pgbouncer=true", "option of the database URL is 'pgbouncer'"),
        ("empty=", "option of the database URL is 'empty'"),
        ("prepare_threshold=often", "prepare_threshold of the database URL is 'often'"),
        ("prepare_threshold=-1", "prepare_threshold of the database URL is '-1'"),
        ("prepare_threshold=99999999999999", "prepare_threshold of the database URL is"),
        ("prepare_threshold=9999999999", "prepare_threshold of the database URL is"),
        ("prepare_threshold=٣", "prepare_threshold of the database URL is '٣'"),
        ("port=none", "host and port of the database URL"),
        ("host=one:1&host=two:2&port=3", "host and port of the database URL"),
        ("connect_timeout=soon", "connect_timeout of the database URL is 'soon'"),
        ("sslmode=require&sslmode=disable", "sslmode of the database URL is 'given twice'"),
    ],
)
def test_one_without_effect_is_named(query: str, said: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        open_engine(f"{SERVER}?{query}")

    assert said in str(refused.value)


@pytest.mark.parametrize(
    "query",
    [
        "sslmode=require",
        "application_name=shop",
        "connect_timeout=3",
        "connect_timeout=",
        "target_session_attrs=read-write",
        "host=one&host=two",
        "service=shop",
        "prepare_threshold=none",
        "prepare_threshold=0",
        "prepare_threshold=999999999",
        "keepalives_idle=5",
        "options=",
        "options=-csearch_path%3Dtenant",
        "passfile=.pgpass",
    ],
)
def test_others_are_taken(query: str) -> None:
    open_engine(f"{SERVER}?{query}").dispose()


@pytest.mark.parametrize(
    ("text", "empty"),
    [
        ("postgresql://h/shop", {}),
        ("postgresql://h/shop?options=", {"options": ""}),
        ("postgresql://h/shop?a=1&options=&b=", {"options": "", "b": ""}),
        ("postgresql://ann:secret?options=&x@h/shop", {}),
        ("postgresql://ann@h/shop?application_name=a@b&options=", {"options": ""}),
    ],
)
def test_those_without_a_value_are_not_dropped(text: str, empty: dict[str, str]) -> None:
    found = with_empty_options(sa.make_url(text), text)

    assert {name: value for name, value in found.query.items() if not value} == empty


# What they do.


def test_start_up_options_are_added_to_ours(postgres_url: str) -> None:
    with opened(postgres_url, "?options=-csearch_path%3Dtenant") as database:
        assert shown(database, "search_path") == "tenant"
        assert shown(database, "statement_timeout") == OURS
        assert shown(database, "TimeZone") == "UTC"


def test_and_win_where_they_set_the_same(postgres_url: str) -> None:
    with opened(postgres_url, "?options=-cstatement_timeout%3D1min") as database:
        assert shown(database, "statement_timeout") == "1min"
        assert shown(database, "idle_in_transaction_session_timeout") == "1min"


@pytest.mark.parametrize(("query", "options"), [("?options=", {}), ("", {"pooler": True})])
def test_without_start_up_options_each_transaction_sets_what_it_needs(
    postgres_url: str, query: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c search_path=elsewhere -c TimeZone=Asia/Tokyo")
    with opened(postgres_url, query, **options) as database:
        with database.engine.connect() as connection:
            session = connection.exec_driver_sql("SHOW statement_timeout").scalar()

        assert session == "0"
        assert shown(database, "search_path") != "elsewhere"
        assert shown(database, "statement_timeout") != "0"
        assert shown(database, "statement_timeout", is_call=False) == "450s"
        assert shown(database, "TimeZone") == "UTC"
        assert shown(database, "idle_in_transaction_session_timeout") == "1min"


@pytest.mark.parametrize(
    ("query", "times", "count"),
    [("", 3, 0), ("", 8, 1), ("?prepare_threshold=0", 1, 1), ("?prepare_threshold=none", 8, 0)],
)
def test_how_often_a_statement_is_sent_before_it_is_prepared(
    postgres_url: str, query: str, times: int, count: int
) -> None:
    with opened(postgres_url, query) as database:
        # What is counted with may be prepared itself.
        assert prepared(database, times) - (query == "?prepare_threshold=0") == count


def test_a_pooler_prepares_nothing_unless_the_url_says_so(postgres_url: str) -> None:
    with opened(postgres_url, pooler=True) as database:
        assert prepared(database, 8) == 0
    with opened(postgres_url, "?prepare_threshold=2", pooler=True) as database:
        assert prepared(database, 8) == 1


@pytest.mark.parametrize("is_host", [False, True])
def test_every_statement_can_be_prepared_at_once(postgres_url: str, is_host: bool) -> None:
    settings = Settings(cache_enabled=False)
    with new_database(postgres_url) as url:
        engine = sa.create_engine(url, connect_args={"prepare_threshold": 0})
        with (
            Recommender.from_engine(engine, settings=settings, migrate=True)
            if is_host
            else Recommender.connect(f"{url}?prepare_threshold=0", settings=settings, migrate=True)
        ) as reco:
            for _ in range(2):
                assert [reco.system.run_job(name).failed for name in BATCH_JOBS] == [0] * len(
                    BATCH_JOBS
                )
                assert not reco.anonymous.popular_items().degraded_by
            assert reco.system.health().is_ok
            reco.system.erase_user("ann")
        engine.dispose()


def test_the_name_of_the_application(postgres_url: str) -> None:
    with opened(postgres_url) as ours, opened(postgres_url, "?application_name=shop") as theirs:
        assert shown(ours, "application_name") == "angle_reco"
        assert shown(theirs, "application_name") == "shop"


@pytest.mark.parametrize(
    ("query", "said"),
    [("sslmode=require", "SSL"), ("sslmode=sometimes", "sslmode"), ("hostaddr=here", "here")],
)
def test_what_libpq_says_of_a_value_is_in_the_error(
    postgres_url: str, query: str, said: str
) -> None:
    with (
        opened(postgres_url, f"?{query}") as database,
        pytest.raises(StorageUnavailableError, match=said),
    ):
        shown(database, "TimeZone")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("3", 3), (3, 3), ("0", math.inf), ("", math.inf), (None, math.inf), ("-1", math.inf)],
)
def test_a_limit_for_connecting_that_is_no_number_of_seconds_is_none(
    given: object, seconds: float
) -> None:
    assert _seconds_given(given) == seconds


@pytest.mark.parametrize("pooler", [False, True])
def test_a_server_that_is_silent_is_waited_for_no_longer_than_connect_timeout(
    pooler: bool,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/shop?connect_timeout=1"
        with opened(url, pooler=pooler) as database:
            began = monotonic()
            with pytest.raises(StorageUnavailableError, match="did not answer in time"):
                shown(database, "TimeZone", is_call=False)

    assert 0.9 <= monotonic() - began < 4


# A pooler.


def test_start_up_options_are_refused_with_a_pooler() -> None:
    with pytest.raises(InvalidValueError, match="options of the database URL"):
        open_engine(f"{SERVER}?options=-csearch_path%3Dtenant", pooler=True)
    open_engine(f"{SERVER}?options=", pooler=True).dispose()


def test_sqlite_has_no_pooler(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"

    with pytest.raises(InvalidValueError, match="pooler is True, but should be False"):
        Recommender.connect(url, pooler=True, check=False)
    with pytest.raises(InvalidValueError, match="pooler is True, but should be False"):
        Recommender.from_engine(sa.create_engine(url), pooler=True, check=False)


def test_a_pooler_is_there_or_not() -> None:
    wrong: Any = "yes"

    with pytest.raises(InvalidValueError, match="pooler is 'yes', but should be True or False"):
        Recommender.connect(SERVER, pooler=wrong, check=False)


def test_an_engine_of_the_host_keeps_its_own_connections_as_they_are(postgres_url: str) -> None:
    with new_database(postgres_url) as url:
        engine = sa.create_engine(url)
        with Recommender.from_engine(engine, pooler=True, migrate=True) as reco:
            assert reco.storage is not None
            assert prepared(reco.storage.database, 8) == 0
            assert prepared(Database(engine), 8) == 1
        engine.dispose()
