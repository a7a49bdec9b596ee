"""The erasure of a user, and writers that store results at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from angle_reco.adapters.sql.results.runs import one_at_a_time
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.adapters.sql.storage import Storage
from angle_reco.domain.ids import IdKinds, UserId
from angle_reco.domain.lists import ListKind
from angle_reco.testing.contracts.samples import NOW
from tests.postgres import comes_true

_WAITING = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")


@pytest.mark.postgres
@pytest.mark.parametrize(
    "table",
    [
        pytest.param(lambda tables: tables.interests, id="interests"),
        pytest.param(lambda tables: tables.lists[ListKind.PERSONAL], id="homepages"),
        pytest.param(lambda tables: tables.models, id="model"),
    ],
)
def test_it_waits_for_who_writes_results_of_users(
    postgres_storages: dict[IdKinds, Storage], table: Callable[[Tables], sa.Table]
) -> None:
    """A writer that has looked up who is erased stores nothing of a user afterwards."""
    storage = postgres_storages[IdKinds()]
    engine, erasure = storage.database.engine, storage.ports().erasure

    with ThreadPoolExecutor(1) as others, engine.connect() as looking, engine.begin() as writer:
        one_at_a_time(writer, table(storage.tables))
        erased = others.submit(erasure.erase, UserId("ann"), at=NOW)

        assert comes_true(lambda: erased.done() or bool(looking.scalar(_WAITING)))
        assert not erased.done()
        writer.commit()
        assert erased.result().lists == 0
