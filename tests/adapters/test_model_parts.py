"""Models in tables: what another writer does in between, and what is left of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.results import models
from angle_reco.adapters.sql.results.models import SqlModelStore
from angle_reco.adapters.sql.storage import Storage
from angle_reco.domain.errors import ModelError
from angle_reco.domain.scoring.blended.columns import packed
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
    assert newest.revision != head.revision
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

    def disturbed(self: SqlModelStore, version: str, part: models._Part) -> None:
        insert(self, version, part)
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


@pytest.mark.parametrize(
    "damage",
    [
        {"name": "users", "data": b"\1\2"},
        {"name": "sellers", "data": b""},
        {"name": "users", "data": packed({"odd": np.array([1])})},
    ],
    ids=["users", "sellers", "other columns"],
)
def test_a_user_is_erased_though_a_model_is_damaged(
    storage: Storage, damage: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The model, which nothing can read, is removed with them."""
    ports = storage.ports()
    ports.models.write(MODEL, trained_at=NOW, people=people_of(SAMPLE))
    parts = storage.tables.model_parts
    damaging = sa.update(parts).where(parts.c.name == damage["name"]).values(data=damage["data"])
    storage.database.write(lambda connection: connection.execute(damaging))

    ports.erasure.erase(SAMPLE.users[1], at=NOW)

    assert ports.models.trained().model is None
    assert versions(storage) == set()
    assert caplog.messages[-1].startswith("model removed: problem=")


@pytest.mark.parametrize(
    "details",
    [
        "",
        "[1]",
        "{}",
        "null",
        "[" * 100_000,
        '{"version": "../../evil", "revision": "0"}',
        '{"version": 5, "revision": null, "trained_at": "soon", "counted_at": 1, "size": "big"}',
    ],
    ids=lambda text: text[:12] or "nothing",
)
def test_a_row_that_cannot_be_read_is_no_model_and_training_replaces_it(
    storage: Storage, details: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = storage.ports().models
    store.write(MODEL, trained_at=NOW, people=people_of(SAMPLE))
    rows = storage.tables.models
    edit = sa.update(rows).values(details=details)
    storage.database.write(lambda connection: connection.execute(edit))

    assert store.trained().model is None
    assert caplog.messages == ["model not used: problem=has a row that cannot be read"]
    store.write_touches(MODEL.touches, counted_at=NOW)
    storage.ports().erasure.erase(SAMPLE.unknown_user, at=NOW)

    head = store.write(MODEL, trained_at=NOW, people=people_of(SAMPLE))
    assert store.trained().model == head
    assert values_of(store.read(head)) == values_of(MODEL)
