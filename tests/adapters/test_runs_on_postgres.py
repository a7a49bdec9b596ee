"""Runs of jobs on PostgreSQL: rows that stay untouched, and a disk that fills during a run."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from angle_reco.adapters.sql.results import runs
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.adapters.sql.storage import Storage
from angle_reco.application.jobs import batch_jobs
from angle_reco.domain.errors import StorageFullError
from angle_reco.domain.ids import IdKinds
from angle_reco.domain.lists import ListKind
from angle_reco.domain.runs import Fence, RunState
from angle_reco.testing.contracts.samples import KINDS, Sample
from tests.adapters.databases import TEXTS, emptied, fill, ports_on, put
from tests.application.test_runs_of_what_changed import (
    HOUR,
    JOBS,
    USERS,
    Shop,
    first_items,
    first_rows,
)

JOB = "generate_recommendations"


def shop_on(storage: Storage) -> Shop:
    """Return a shop whose results are in a database."""
    users, bids, watches = first_rows()
    fill(emptied(storage), users=users, items=first_items({}), bids=bids, watches=watches)
    return Shop.of(ports_on(storage), lambda item: put(storage, item))


@pytest.mark.postgres
def test_a_full_run_does_not_touch_rows_that_stay(
    postgres_storages: dict[IdKinds, Storage],
) -> None:
    """Not even a lock is written to their pages."""
    storage = postgres_storages[TEXTS]
    shop, tables = shop_on(storage), storage.tables

    def versions() -> list[set[tuple[object, ...]]]:
        with storage.database.engine.connect() as connection:
            return [
                {
                    tuple(row)
                    for row in connection.exec_driver_sql(
                        f"SELECT ctid::text, xmin::text, xmax::text FROM {name}"  # noqa: S608 — ours
                    )
                }
                for table in (tables.interests, *tables.lists.values())
                for name in [engine_name(storage, table)]
            ]

    shop.run()
    before = versions()
    for job in JOBS:
        shop.reco.system.run_job(job, full=True)

    assert all(before)
    assert versions() == before


@contextmanager
def full_disk(storage: Storage, table: sa.Table, *, owner: str) -> Iterator[None]:
    """Let PostgreSQL refuse the row of an owner in the block, as if its disk were full."""
    engine, name = storage.database.engine, engine_name(storage, table)
    schema = name.rpartition(".")[0]
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE FUNCTION {schema}.full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF NEW.owner = '{owner}' THEN RAISE EXCEPTION 'could not extend file'"
            " USING ERRCODE = 'disk_full'; END IF; RETURN NEW; END $$"
        )
        connection.exec_driver_sql(
            f"CREATE TRIGGER full_disk BEFORE INSERT ON {name}"
            f" FOR EACH ROW EXECUTE FUNCTION {schema}.full_disk()"
        )
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP FUNCTION {schema}.full_disk CASCADE")


def engine_name(storage: Storage, table: sa.Table) -> str:
    """Return the name of a table for SQL text."""
    return storage.database.engine.dialect.identifier_preparer.format_table(table)


@pytest.mark.postgres
def test_a_disk_that_fills_in_the_middle_of_a_run(
    postgres_storages: dict[IdKinds, Storage], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = postgres_storages[TEXTS]
    shop = shop_on(storage)
    shop.run()
    lists = shop.reco.ports.lists
    old = lists.read(ListKind.PERSONAL, USERS)
    for user in USERS:
        # What was first on a page is no longer on it.
        shop.reco.bid_placed(user, old[user].ids[0], at=shop.clock.now())
    shop.clock.advance(HOUR)
    shop.run("refresh_user_interests")
    monkeypatch.setattr(batch_jobs, "_RESULTS_AT_ONCE", 2)
    with storage.database.engine.begin() as connection:
        # The window of the first runs is over.
        connection.execute(sa.delete(storage.tables.runs))

    with (
        full_disk(storage, storage.tables.lists[ListKind.PERSONAL], owner=USERS[3]),
        pytest.raises(StorageFullError, match="disk is full"),
    ):
        shop.reco.system.run_job(JOB, scheduled=True)

    run = shop.reco.ports.ledger.last_of_each([JOB])[JOB]
    assert run.state is RunState.DUE
    assert run.attempt == 1
    assert run.error is not None
    assert run.error.startswith("StorageFullError: the database's disk is full")
    left = lists.read(ListKind.PERSONAL, USERS)
    replaced = [user for user in USERS if left[user] != old[user]]
    assert set(replaced) == set(USERS[:2])
    shop.run(JOB)
    shop.agree(JOB)


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("fence", "of_part", "of_end"), [(Fence(job="job", number=1), "off", "on"), (None, "on", "on")]
)
def test_parts_of_a_run_do_not_wait_for_the_disk_but_its_end_does(
    postgres_storages: dict[IdKinds, Storage],
    monkeypatch: pytest.MonkeyPatch,
    fence: Fence | None,
    of_part: str,
    of_end: str,
) -> None:
    sample = Sample(KINDS[0])
    storage = emptied(postgres_storages[sample.ids])
    store, seen, pass_fence = ports_on(storage).lists, list[str](), runs.pass_fence

    def passing(connection: sa.Connection, tables: Tables, fence: Fence | None) -> None:
        seen.append(str(connection.scalar(sa.text("SHOW synchronous_commit"))))
        pass_fence(connection, tables, fence)

    monkeypatch.setattr(runs, "pass_fence", passing)
    kind, lists = ListKind.SIMILAR, sample.lists(ListKind.SIMILAR, {sample.items[0]: []})

    store.write(kind, lists, fence=fence)
    store.forget_watermark(kind, fence=fence)
    store.retain(kind, lists.owners, started_at=lists.computed_at, fence=fence)

    assert seen == [of_part, of_end, of_end]
