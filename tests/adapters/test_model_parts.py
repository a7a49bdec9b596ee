"""Models in tables: what another writer does in between, and what is left of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.results import models
from angle_reco.adapters.sql.results.models import SqlModelStore
from angle_reco.adapters.sql.storage import Storage
from angle_reco.domain.errors import ModelError
from angle_reco.testing.contracts.model_store import model_of, people_of, values_of
from angle_reco.testing.contracts.samples import KINDS, NOW, Sample
from tests.adapters.databases import storage_on

SAMPLE = Sample(KINDS[0])
MODEL = model_of(SAMPLE, SAMPLE.users)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    engine = open_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    storage = storage_on(engine)
    storage.migrate_up()
    yield storage
    engine.dispose()


def versions(storage: Storage) -> set[str]:
    parts = storage.tables.model_parts
    return {row.version for row in storage.database.rows(sa.select(parts.c.version))}


def test_a_model_is_written_in_small_parts(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_BYTES_OF_PART", 1_000)
    monkeypatch.setattr(models, "_USERS_OF_PART", 2)
    store = storage.ports().models

    head = store.write(MODEL, trained_at=NOW, people=people_of(SAMPLE))

    parts = storage.tables.model_parts
    rows = storage.database.rows(sa.select(parts))
    assert len(rows) > 50
    assert max(len(row.data) for row in rows if row.name not in ("users", "sellers")) == 1_000
    assert values_of(store.read(head)) == values_of(MODEL)
    for user in SAMPLE.users:
        storage.ports().erasure.erase(user, at=NOW)
    newest = store.trained().model
    assert newest is not None
    assert newest.revision >= len(MODEL.users)
    assert len(store.read(newest).users) == 0


def test_leftovers_of_an_interrupted_writer_are_removed(storage: Storage) -> None:
    store = storage.ports().models
    parts = storage.tables.model_parts
    left = sa.insert(parts).values(version="left", name="taste", place=0, data=b"")
    storage.database.write(lambda connection: connection.execute(left))

    head = store.write(MODEL, trained_at=NOW, people=people_of(SAMPLE))

    assert versions(storage) == {head.version}


def test_a_writer_that_lost_parts_to_another_one_stores_nothing(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = storage.ports().models
    first = store.write(MODEL, trained_at=NOW, people=people_of(SAMPLE))
    insert, calls = SqlModelStore._insert, list[str]()

    def disturbed(self: SqlModelStore, version: str, part: object) -> None:
        insert(self, version, part)  # type: ignore[arg-type]
        calls.append(version)
        if len(calls) == 3:
            gone = sa.delete(self.tables.model_parts).where(
                self.tables.model_parts.c.version == version
            )
            self.database.write(lambda connection: connection.execute(gone))

    monkeypatch.setattr(SqlModelStore, "_insert", disturbed)
    with pytest.raises(ModelError, match="lost parts"):
        store.write(MODEL, trained_at=NOW, people=people_of(SAMPLE))

    assert store.trained().model == first
    assert values_of(store.read(first)) == values_of(MODEL)


def test_a_user_is_removed_from_a_model_that_is_being_written_too(storage: Storage) -> None:
    store = storage.ports().models
    head = store.write(MODEL, trained_at=NOW, people=people_of(SAMPLE))
    parts = storage.tables.model_parts
    rows = storage.database.rows(sa.select(parts).where(parts.c.version == head.version))
    copies = [{**row._mapping, "version": "in the making"} for row in rows]
    storage.database.write(lambda connection: connection.execute(sa.insert(parts), copies))

    storage.ports().erasure.erase(SAMPLE.users[1], at=NOW)

    data = {
        version: [
            row.data
            for row in storage.database.rows(
                sa.select(parts)
                .where(parts.c.version == version)
                .order_by(parts.c.name, parts.c.place)
            )
        ]
        for version in (head.version, "in the making")
    }
    assert data[head.version] == data["in the making"]
    assert data[head.version] != [
        row.data for row in sorted(rows, key=lambda row: (row.name, row.place))
    ]
