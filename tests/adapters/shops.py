"""A directory of CSV files to import from, and the database to import into."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.importing.directory import Imported, ImportOutcome, import_directory
from angle_reco.adapters.sql.storage import Storage
from angle_reco.composition import Ports
from angle_reco.domain.errors import BadInputError
from angle_reco.domain.ids import IdKinds
from angle_reco.domain.prices import PriceScale
from tests.adapters.databases import PRICES, TEXTS, everything_in, ports_on, storage_on

HEADERS = {
    "users": "user_id,inserted_at,last_sign_in_at,sign_in_count",
    "items": "item_id,category_id,seller_id,title,starting_price,current_price,"
    "publication_status,starts_at,end_time,inserted_at",
    "bids": "user_id,item_id,amount,placed_at",
    "watches": "user_id,item_id,inserted_at",
}
ROWS = {
    "users": [
        "ann,2026-01-01T00:00:00Z,2026-02-01T12:30:00.123456+01:00,3",
        "bob,,,",
    ],
    "items": [
        'lamp,lamps,zoe,"A lamp, green",10,11.5,published,'
        "2026-01-02T00:00:00Z,2027-01-02T00:00:00Z,2026-01-01T00:00:00Z",
        "vase,,,,,,withdrawn,,,",
    ],
    "bids": [
        "ann,lamp,12.5,2026-02-02T00:00:00Z",
        "bob,lamp,,2026-02-02T00:00:00.000001Z",
    ],
    "watches": ["ann,vase,2026-02-03T00:00:00Z"],
}


class Shop:
    """A directory to import from, and the database to import into."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "files"
        self.directory.mkdir()
        self.file = directory / "shop.db"
        self.rows = {name: list(rows) for name, rows in ROWS.items()}
        self.write()

    @property
    def url(self) -> str:
        return f"sqlite:///{self.file}"

    def write(self, **rows: str) -> None:
        """Write all files, with one more row where that is asked for."""
        for name, header in HEADERS.items():
            text = "".join(f"{row}\n" for row in (header, *self.rows[name]))
            self.write_file(f"{name}.csv", text + rows.get(name, ""))

    def write_file(self, name: str, text: str | bytes) -> None:
        raw = text if isinstance(text, bytes) else text.encode()
        (self.directory / name).write_bytes(raw)

    def storage(self, engine: sa.Engine | None = None, **options: Any) -> Storage:
        """Return the database as the library sees it."""
        return storage_on(engine or open_engine(self.url), **options)

    @contextmanager
    def ports(self, ids: IdKinds = TEXTS) -> Iterator[Ports]:
        """Give the adapters on it."""
        storage = self.storage(ids=ids)
        yield ports_on(storage)
        storage.database.engine.dispose()

    def import_it(
        self,
        engine: sa.Engine | None = None,
        *,
        ids: IdKinds = TEXTS,
        prices: PriceScale = PRICES,
        directory: Path | None = None,
        **options: Any,
    ) -> ImportOutcome:
        storage = self.storage(engine, ids=ids, prices=prices)
        try:
            return import_directory(storage, directory or self.directory, **options)
        finally:
            storage.database.engine.dispose()

    def refusal(self, **options: Any) -> BadInputError:
        with pytest.raises(BadInputError) as refused:
            self.import_it(**options)
        return refused.value

    @property
    def counts(self) -> dict[str, int]:
        """Return how many rows of the marketplace there are."""
        everything = everything_in(self.file)
        return {name: len(everything[name]) for name in HEADERS}


def new(**counts: int) -> dict[str, Imported]:
    return {
        name: Imported(new=count, updated=0, unchanged=0, bad=0) for name, count in counts.items()
    }
