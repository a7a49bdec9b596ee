"""Behind PgBouncer in transaction mode nothing fails, and nothing stays in a session."""

import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from angle_reco import ItemId, Recommender, Settings, StorageUnavailableError
from angle_reco.adapters.sql.storage import Storage
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.ports.deadlines import deadline
from tests.application.shop import NOW, lots
from tests.hosts.pgbouncer import POOL, Pooler
from tests.postgres import new_database
from tests.reliability.trials import fill_market, sized

THREADS = 6
USERS = [f"user-{place:02}" for place in range(30)]
ITEMS = [item.item_id for name in ("art", "toy", "car") for item in lots(name, 99, name)]

# Shared machines are slow now and then.
PATIENT = timedelta(seconds=20)


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    """Give the URL of a database with a market, not by way of the pooler."""
    with database_with_limits(postgres_url) as url:
        with Recommender.connect(url, migrate=True) as reco:
            fill_market_of_today(storage_of(reco))
            for name in BATCH_JOBS:
                reco.system.run_job(name)
        yield url


@contextmanager
def database_with_limits(postgres_url: str) -> Iterator[str]:
    """Give a new database whose sessions have limits, so that one of ours shows in them."""
    with new_database(postgres_url) as url:
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
                connection.exec_driver_sql(
                    f"ALTER DATABASE {engine.url.database} SET {name} = '10min'"
                )
        yield url


def storage_of(reco: Recommender) -> Storage:
    assert reco.storage is not None
    return reco.storage


def fill_market_of_today(storage: Storage) -> None:
    """Put a market into the reference schema whose users are active now."""
    fill_market(storage)
    with storage.database.engine.begin() as connection:
        for table, column in [
            ("users", "last_sign_in_at"),
            ("items", "listed_at"),
            ("bids", "placed_at"),
            ("watches", "watched_at"),
        ]:
            later = f"{column} + (now() - timestamptz '{NOW.isoformat()}')"
            connection.exec_driver_sql(f"UPDATE {table} SET {column} = {later}")  # noqa: S608 — constant names


def mixed(reco: Recommender, chance: random.Random) -> None:
    """Make one call of those that requests make; what comes of it is as without a pooler."""
    user, item = chance.choice(USERS), chance.choice(ITEMS)
    calls: list[Callable[[], Any]] = [
        lambda: reco.as_user(user).homepage(),
        lambda: reco.anonymous.similar_items(item),
        lambda: reco.as_user(user).after_bid(item),
        reco.anonymous.popular_items,
        lambda: reco.anonymous.popular_items(category=chance.choice(["art", "toy", "car"])),
        lambda: reco.as_user(user).interests(),
        lambda: reco.signed_in(user),
        lambda: reco.bid_placed(user, item, amount=Decimal(7)),
        lambda: reco.watched(user, item),
        lambda: reco.items_changed([item]),
    ]
    # As on a site, most calls read.
    weights = [6, 6, 3, 3, 3, 2, 1, 1, 1, 1]
    [call] = chance.choices(calls, weights)
    assert not getattr(call(), "degraded_by", ()), "an answer is degraded"


def errors_of(reco: Recommender, calls: int) -> Counter[str]:
    """Return the errors of so many calls in several threads."""
    seen: Counter[str] = Counter()

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(calls // THREADS + 1):
            try:
                mixed(reco, chance)
            except Exception as error:  # noqa: BLE001 — whatever it may be is counted
                seen[f"{type(error).__name__}: {re.sub('[0-9]+', 'N', str(error))}"] += 1

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(work, range(THREADS)))
    return seen


def left_in_sessions(pooler: Pooler, url: str) -> set[str]:
    """Return what clients left behind in the sessions that the pooler gives to the next."""
    left = set()
    with pooler.sessions(url) as sessions:
        pids = {session.exec_driver_sql("SELECT pg_backend_pid()").scalar() for session in sessions}
        assert len(pids) == POOL
        for session in sessions:
            left |= {str(one) for one in session.exec_driver_sql(_LEFT).scalars()}
    return left


_LEFT = """
SELECT 'prepared statement' FROM pg_prepared_statements
 UNION ALL SELECT 'channel ' || channel FROM pg_listening_channels() AS channel
 UNION ALL SELECT 'advisory lock' FROM pg_locks
            WHERE locktype = 'advisory' AND pid = pg_backend_pid()
 UNION ALL SELECT 'temporary table ' || relname FROM pg_class
            WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r'
 UNION ALL SELECT name || ' = ' || setting FROM pg_settings
            WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout',
                           'lock_timeout', 'default_transaction_read_only')
              AND setting <> reset_val
"""


@pytest.mark.parametrize(
    ("is_cached", "calls"),
    [(False, sized(2_000, 10_000)), (True, sized(8_000, 10_000))],
    ids=["without cache", "with cache"],
)
def test_no_call_of_many_fails(pooler: Pooler, url: str, is_cached: bool, calls: int) -> None:
    settings = Settings(cache_enabled=is_cached, deadline=PATIENT)
    with Recommender.connect(pooler.url(url), settings=settings, pooler=True) as reco:
        errors = errors_of(reco, calls)
        failed = reco.system.stats().events_failed

    assert (errors, failed) == (Counter(), 0)
    assert left_in_sessions(pooler, url) == set()


@pytest.mark.parametrize("is_named", [True, False])
def test_no_call_fails_on_an_engine_of_the_host(pooler: Pooler, url: str, is_named: bool) -> None:
    engine = sa.create_engine(pooler.url(url))
    settings = Settings(cache_enabled=False, deadline=PATIENT)
    with Recommender.from_engine(engine, settings=settings, pooler=is_named) as reco:
        errors = errors_of(reco, 500)
        failed = reco.system.stats().events_failed
    engine.dispose()

    assert (errors, failed) == (Counter(), 0)
    assert left_in_sessions(pooler, url) == set()


@pytest.mark.parametrize("is_host", [False, True])
def test_a_statement_that_is_repeated_is_not_prepared(
    pooler: Pooler, url: str, is_host: bool
) -> None:
    engine = sa.create_engine(pooler.url(url))
    settings = Settings(deadline=PATIENT)
    reco = (
        Recommender.from_engine(engine, settings=settings, pooler=True)
        if is_host
        else Recommender.connect(pooler.url(url), settings=settings, pooler=True)
    )
    # A read ends in a rollback, after which the driver counts from the beginning.
    with reco, ThreadPoolExecutor(THREADS) as threads:
        counted = list(threads.map(reco.signed_in, USERS * 10))
    engine.dispose()

    assert counted == [True] * len(counted)
    assert left_in_sessions(pooler, url) == set()


@pytest.mark.parametrize("threshold", [5, None])
def test_events_within_transactions_of_the_host_prepare_nothing(
    pooler: Pooler, url: str, threshold: int | None
) -> None:
    behind = sa.make_url(pooler.url(url)).set(drivername="postgresql")
    text = behind.render_as_string(hide_password=False)
    settings = Settings(deadline=PATIENT)
    with Recommender.connect(pooler.url(url), settings=settings, pooler=True) as reco:
        opened = [psycopg.connect(text, prepare_threshold=threshold) for _ in range(THREADS)]
        for _ in range(3):
            for raw in opened:
                assert reco.items_changed(ITEMS[:1], connection=raw)
                assert reco.items_changed(ITEMS[:1], connection=raw)
                raw.commit()
        for raw in opened:
            raw.close()

    assert left_in_sessions(pooler, url) == set()


def test_jobs_and_all_else_that_writes(pooler: Pooler, postgres_url: str) -> None:
    settings = Settings(deadline=PATIENT)
    with (
        database_with_limits(postgres_url) as url,
        Recommender.connect(pooler.url(url), settings=settings, migrate=True, pooler=True) as reco,
    ):
        fill_market_of_today(storage_of(reco))

        outcomes = [reco.system.run_job(name) for name in BATCH_JOBS]

        assert [outcome.failed for outcome in outcomes] == [0] * len(outcomes)
        # Too little happened for a model.
        changed = {one.job: one.changed for one in outcomes}
        assert min(count for job, count in changed.items() if job != "train_models") > 0
        assert reco.system.run_job("compute_item_similarities", item_id="art-01").failed == 0
        reco.start()
        reco.system.request_job("generate_popular_items")
        reco.system.stored.upsert_interest("user-01", "art", score=1)
        reco.system.stored.upsert_recommendation("user-01", "toy-09", score=1)
        reco.system.forget_cached()
        assert reco.system.export_user("user-01").to_json()
        assert reco.system.erase_user("user-01").interests > 0
        assert reco.system.stats().users == 30
        assert reco.system.health().is_ok
        assert reco.check() == ()
        assert reco.ports.changes.prune(older_than=timedelta(0)) >= 0
        assert reco.ports.ledger.prune(retention=timedelta(0)) >= 0
        reco.stop()
        assert left_in_sessions(pooler, url) == set()
        assert reco.storage is not None
        assert reco.storage.migrate_down()


def test_jobs_of_several_processes_run_once(pooler: Pooler, url: str) -> None:
    settings = Settings(deadline=PATIENT)
    recos = [Recommender.connect(pooler.url(url), settings=settings, pooler=True) for _ in range(3)]
    with ThreadPoolExecutor(len(recos)) as threads:
        ran = list(
            threads.map(
                lambda reco: reco.system.run_job("generate_popular_items", scheduled=True), recos
            )
        )
    for reco in recos:
        reco.close()

    assert sum(outcome is not None for outcome in ran) == 1


def test_changes_reach_other_processes(pooler: Pooler, url: str) -> None:
    settings = Settings(deadline=PATIENT)
    with (
        Recommender.connect(pooler.url(url), settings=settings, pooler=True) as one,
        Recommender.connect(pooler.url(url), settings=settings, pooler=True) as other,
    ):
        cursor = other.ports.changes.now()
        assert one.items_changed(["art-05"])

        [change] = other.ports.changes.since(cursor).changes
        assert list(change.item_ids) == [ItemId("art-05")]


def test_the_server_ends_a_statement_that_takes_too_long(pooler: Pooler, url: str) -> None:
    settings = Settings(deadline=timedelta(seconds=1))
    with Recommender.connect(pooler.url(url), settings=settings, pooler=True) as reco:
        database, began = storage_of(reco).database, monotonic()
        with deadline(1), pytest.raises(StorageUnavailableError, match="did not answer in time"):
            database.scalar(sa.text("SELECT pg_sleep(30)"))

        assert monotonic() - began < 3
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
        with pooler.sessions(url) as [session, *_]:
            assert session.exec_driver_sql(running.replace("%", "%%")).scalar() == 0


def test_it_can_be_filled_by_an_import(pooler: Pooler, postgres_url: str, tmp_path: Path) -> None:
    now = datetime.now(UTC).isoformat()
    (tmp_path / "users.csv").write_text(
        f"user_id,inserted_at,last_sign_in_at,sign_in_count\nann,{now},{now},1\nbob,,,0\n"
    )
    (tmp_path / "items.csv").write_text(
        "item_id,category_id,seller_id,title,starting_price,current_price,publication_status,"
        "auction_status,starts_at,end_time,inserted_at\n"
    )
    (tmp_path / "bids.csv").write_text("user_id,item_id,amount,placed_at\n")
    with database_with_limits(postgres_url) as url:
        for _ in range(2):
            done = command(pooler.url(url), "import", str(tmp_path))
            assert done.returncode == 0, done.stderr
        counted = command(pooler.url(url), "stats", "--json")

        assert '"users": 2' in counted.stdout
        assert left_in_sessions(pooler, url) == set()


def test_without_saying_so_the_error_names_what_the_pooler_refuses(
    pooler: Pooler, url: str
) -> None:
    with pytest.raises(StorageUnavailableError, match="unsupported startup parameter: options"):
        Recommender.connect(pooler.url(url))


def command(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line on a database behind the pooler."""
    return subprocess.run(
        [sys.executable, "-m", "angle_reco", *arguments, "--database", url, "--pooler"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
