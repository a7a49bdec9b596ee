"""Databases for the tests of adapters, with our tables for every kind of ids."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from angle_reco.adapters.sql.core.engine import file_of, open_engine
from angle_reco.adapters.sql.schema.tables import REFERENCE_SCHEMA
from angle_reco.adapters.sql.storage import Storage
from angle_reco.domain.ids import IdKinds
from angle_reco.testing.contracts import KINDS, Sample
from tests.adapters.databases import TEXTS, emptied, storage_on


@pytest.fixture(scope="session")
def german_engine(postgres_url: str) -> Iterator[sa.Engine]:
    """Return an engine on a database that sorts as dictionaries do, if the server knows how."""
    url = sa.make_url(postgres_url)
    name = f"{url.database}_german"
    create = f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"
    maintenance = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with maintenance.connect() as connection:
        try:
            connection.exec_driver_sql(f"{create} LOCALE_PROVIDER icu ICU_LOCALE 'de'")
        except sa.exc.NotSupportedError:
            connection.exec_driver_sql(create)
    engine = open_engine(url.set(database=name).render_as_string(hide_password=False))
    yield engine
    engine.dispose()
    with maintenance.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_storages(german_engine: sa.Engine) -> dict[IdKinds, Storage]:
    """Return storages for each choice of id kinds, each in a schema of its own, to be emptied."""
    storages = {
        ids: storage_on(german_engine, ids, schema=f"Kinds {place}")
        for place, ids in enumerate(KINDS)
    }
    for storage in storages.values():
        storage.migrate_up()
    return storages


@pytest.fixture(scope="session")
def new_files(tmp_path_factory: pytest.TempPathFactory) -> dict[IdKinds, Path]:
    """Return a database of SQLite without rows for each choice of id kinds, to be copied."""
    directory = tmp_path_factory.mktemp("databases")
    files = {}
    for place, ids in enumerate(KINDS):
        files[ids] = directory / f"{place}.db"
        storage = storage_on(open_engine(f"sqlite:///{files[ids]}"), ids)
        storage.migrate_up()
        storage.database.engine.dispose()
    return files


@pytest.fixture(scope="session")
def sqlite_storages(tmp_path_factory: pytest.TempPathFactory) -> dict[IdKinds, Storage]:
    """Return what is opened once for each choice of id kinds: it keeps its compiled statements."""
    directory = tmp_path_factory.mktemp("open")
    return {
        ids: storage_on(open_engine(f"sqlite:///{directory / f'{place}.db'}"), ids)
        for place, ids in enumerate(KINDS)
    }


@pytest.fixture
def sqlite(
    sqlite_storages: dict[IdKinds, Storage], new_files: dict[IdKinds, Path], sample: Sample
) -> Iterator[Storage]:
    """Return a file with our tables and no rows, for what opens none itself."""
    storage = sqlite_storages[sample.ids]
    engine = storage.database.engine
    file = file_of(engine)
    shutil.copy(new_files[sample.ids], file)
    yield storage
    engine.dispose()
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()


@pytest.fixture(params=["sqlite", "postgres"])
def reference(
    request: pytest.FixtureRequest, tmp_path: Path, new_files: dict[IdKinds, Path]
) -> Iterator[Storage]:
    """Return a reference schema without rows, which files can be imported into."""
    if request.param == "sqlite":
        file = tmp_path / "reference.db"
        shutil.copy(new_files[TEXTS], file)
        storage = storage_on(open_engine(f"sqlite:///{file}"))
        yield storage
        storage.close()
        return
    storages: dict[IdKinds, Storage] = request.getfixturevalue("postgres_storages")
    storage = emptied(storages[TEXTS])
    with storage.database.engine.begin() as connection:
        connection.execute(sa.insert(storage.tables.additions).values(name=REFERENCE_SCHEMA))
    yield storage
