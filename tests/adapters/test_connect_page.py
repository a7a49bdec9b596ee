"""The page on connecting one's own tables names every label, status and finding there is."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from angle_reco import HostSchema, IdKind, IdKinds, Recommender, Settings
from angle_reco.adapters.sql.schema.host_schema import LABELS
from angle_reco.domain.auction_status import OPEN_STATUSES, AuctionStatus

PAGE = (Path(__file__).parents[2] / "docs" / "connect.md").read_text("utf-8")

ODD_ITEMS: list[dict[str, Any]] = [
    {"item_id": 77, "image": b"bytes"},
    {"item_id": None},
    {"item_id": "x"},
    {"item_id": 1, "price": -1},
    {"item_id": 1, "price": 0.00001},
    {"item_id": 2, "is_published": 7},
    {"item_id": 3, "status": "reserved"},
    {"item_id": 4, "ends_at": "tomorrow"},
    {"item_id": 5, "ends_at": "2026-01-31"},
    {"item_id": 6, "ends_at": 20260131},
    {"item_id": 7, "category_id": 9},
]
ODD_USERS: list[dict[str, Any]] = [
    {"user_id": 1, "created_at": "9999-12-31T12:00:00Z"},
    {"user_id": 1, "created_at": "never"},
]
ODD_BIDS: list[dict[str, Any]] = [
    {"user_id": 1, "item_id": 1, "placed_at": "9999-12-31T12:00:00Z", "amount": "much"},
    {"user_id": 1, "item_id": 1, "placed_at": "never"},
]


def table_after(header: str) -> list[list[str]]:
    """Return the cells of the table with that header, without quotes of code."""
    lines = PAGE.partition(f"\n| {header} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]


def test_every_status_is_in_it() -> None:
    rows = table_after("status | use it for | can be suggested")

    assert [(status, shown) for status, _, shown in rows[: len(AuctionStatus)]] == [
        (one.value, "yes" if one in OPEN_STATUSES else "no") for one in AuctionStatus
    ]


def test_every_label_is_in_it() -> None:
    rows = table_after("select | labels; those in bold are required")

    assert {
        name.partition("`")[0]: labels.partition(";")[0].split(", ") for name, labels in rows
    } == {
        name: [f"**{one}**" if label.is_required else one for one, label in labels.items()]
        for name, labels in LABELS.items()
    }


def test_every_finding_is_in_it(tmp_path: Path) -> None:
    said = [words for words, *_ in table_after("the finding says | effect | how to mend it")]
    found = set(findings_of_an_odd_host(tmp_path))

    assert {what for what in found if not what.startswith(tuple(said))} == set()
    assert [one for one in said if not any(what.startswith(one) for what in found)] == []


def findings_of_an_odd_host(folder: Path) -> list[str]:
    engine = sa.create_engine(f"sqlite:///{folder / 'host.db'}")
    selects = dict[str, sa.Select[Any]]()
    with engine.begin() as connection:
        for name, rows in (
            ("users", ODD_USERS),
            ("items", ODD_ITEMS),
            ("bids", ODD_BIDS),
            ("categories", []),
        ):
            labels = list(dict.fromkeys(label for row in rows for label in row)) or ["category_id"]
            # Without types, so that SQLite stores each value unchanged.
            connection.exec_driver_sql(f"CREATE TABLE {name} ({', '.join(labels)})")
            for row in rows:
                marks = ", ".join("?" * len(row))
                connection.exec_driver_sql(
                    f"INSERT INTO {name} ({', '.join(row)}) VALUES ({marks})",  # noqa: S608 — names of this test
                    tuple(row.values()),
                )
            columns = [sa.column(label, type_of(label)) for label in labels]
            selects[name] = sa.select(*columns).select_from(sa.table(name))
    kinds = IdKinds(user=IdKind.INT, item=IdKind.INT, category=IdKind.INT)
    host = HostSchema(
        users=selects["users"],
        items=selects["items"],
        bids=selects["bids"],
        categories=selects["categories"],
        public=("image",),
    )
    settings = Settings(ids=kinds)
    with Recommender.from_engine(engine, settings=settings, host=host, migrate=True) as reco:
        found = [one.what for one in reco.check(everything=True)]
    engine.dispose()
    return found


def type_of(label: str) -> sa.types.TypeEngine[Any]:
    if label in ("price", "amount"):
        return sa.Numeric()
    if label == "status":
        return sa.Text()
    return sa.DateTime() if label.endswith("_at") else sa.Integer()
