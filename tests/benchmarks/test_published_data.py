"""The converters read a few rows in the form in which the data is published."""

import csv
import gzip
from pathlib import Path
from zipfile import ZipFile

import pytest

from angle_reco import Settings
from angle_reco.composition import import_marketplace, storage_at
from benchmarks.published_data import main

U_DATA = (
    "196\t242\t3\t881250949\n186\t302\t4\t891717742\n196\t302\t5\t881250949\n196\t1\t1\t881337349\n"
)
U_ITEM = (
    "1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?Toy%20Story%20(1995)"
    "|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
    "242|Kolya (1996)|24-Jan-1997||http://us.imdb.com/M/title-exact?Kolya%20(1996)"
    "|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
    "302|Misérables, Les (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?Mis%E9rables"
    "|0|0|0|0|0|0|0|0|1|0|0|0|1|0|0|0|0|0|0\n"
    "267|unknown||||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
)

RETAIL = """\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,12/1/2010 8:26,2.55,17850,United Kingdom
536367,21754,"HOME BUILDING BLOCK, WORD",3,12/1/2010 8:34,5.95,13047,United Kingdom
C536379,85123A,WHITE HANGING HEART T-LIGHT HOLDER,-1,12/1/2010 9:41,2.55,17850,United Kingdom
536414,22139,,56,12/1/2010 11:52,0,,United Kingdom
536544,21754,"HOME BUILDING BLOCK, WORD",1,12/1/2010 14:32,12.72,,United Kingdom
537197,22841,ROUND CAKE TIN VINTAGE GREEN,1,12/5/2010 14:02,0,12647,Germany
540001,85123A,CREAM HANGING HEART T-LIGHT HOLDER £,2,1/4/2011 9:40,2.95,17850,United Kingdom
"""


def tables(directory: Path) -> dict[str, list[str]]:
    found = {}
    for path in sorted(directory.iterdir()):
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            found[path.name] = file.read().splitlines()[1:]
    return found


def imported(directory: Path, tmp_path: Path) -> dict[str, int]:
    """Return how many rows of each file an import takes."""
    with storage_at(f"sqlite:///{tmp_path}/new.db", Settings()) as storage:
        outcome = import_marketplace(storage, directory)
    return {name: one.new for name, one in outcome.files.items()}


def test_films_are_watched_or_bid_on_by_their_rating(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "ml-100k.zip", "w") as archive:
        archive.writestr("ml-100k/u.data", U_DATA)
        archive.writestr("ml-100k/u.item", U_ITEM.encode("latin-1"))
        archive.writestr("ml-100k/u.user", "196|49|M|writer|55105\n")

    main(["movielens", str(tmp_path / "ml-100k.zip"), str(tmp_path / "films")])

    listed = "published,1997-12-04T15:55:49Z,,1997-12-04T15:55:49Z"
    assert tables(tmp_path / "films") == {
        "bids.csv.gz": ["196,302,,1997-12-04T15:55:49Z", "186,302,,1998-04-04T19:22:22Z"],
        "items.csv.gz": [
            f"1,Animation,,Toy Story (1995),,,{listed}",
            f"242,Comedy,,Kolya (1996),,,{listed}",
            f'302,Drama,,"Misérables, Les (1995)",,,{listed}',
            f"267,unknown,,unknown,,,{listed}",
        ],
        "users.csv.gz": [
            "186,1998-04-04T19:22:22Z,1998-04-04T19:22:22Z,1",
            "196,1997-12-04T15:55:49Z,1997-12-05T15:55:49Z,2",
        ],
        "watches.csv.gz": ["196,242,1997-12-04T15:55:49Z", "196,1,1997-12-05T15:55:49Z"],
    }
    assert imported(tmp_path / "films", tmp_path) == {
        "users": 2,
        "items": 4,
        "bids": 2,
        "watches": 2,
    }


BOUGHT = {
    "bids.csv.gz": [
        "17850,85123A,2.55,2010-12-01T08:26:00Z",
        "13047,21754,5.95,2010-12-01T08:34:00Z",
        "17850,85123A,2.95,2011-01-04T09:40:00Z",
    ],
    "items.csv.gz": [
        '21754,,,"HOME BUILDING BLOCK, WORD",,5.95,published,'
        "2010-12-01T08:34:00Z,,2010-12-01T08:34:00Z",
        "85123A,,,CREAM HANGING HEART T-LIGHT HOLDER £,,2.95,published,"
        "2010-12-01T08:26:00Z,,2010-12-01T08:26:00Z",
    ],
    "users.csv.gz": [
        "13047,2010-12-01T08:34:00Z,2010-12-01T08:34:00Z,1",
        "17850,2010-12-01T08:26:00Z,2011-01-04T09:40:00Z,2",
    ],
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_purchases_are_bids_and_returns_are_left_out(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "retail.csv").write_text(RETAIL, encoding=encoding)

    main(["online-retail", str(tmp_path / "retail.csv"), str(tmp_path / "shop")])

    assert tables(tmp_path / "shop") == BOUGHT
    assert imported(tmp_path / "shop", tmp_path) == {"users": 2, "items": 2, "bids": 3}


def test_a_workbook_gives_the_same_as_its_rows_in_csv(tmp_path: Path) -> None:
    workbook_of(RETAIL, tmp_path / "Online Retail.xlsx")

    main(["online-retail", str(tmp_path / "Online Retail.xlsx"), str(tmp_path / "shop")])

    assert tables(tmp_path / "shop") == BOUGHT


def test_another_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("StockCode;Description\n1;2\n", encoding="utf-8")

    with pytest.raises(SystemExit, match="has no column StockCode, Description, Quantity"):
        main(["online-retail", str(tmp_path / "other.csv"), str(tmp_path / "shop")])
    assert not (tmp_path / "shop").exists()


SERIALS = {
    "12/1/2010 8:26": "40513.351388888892",
    "12/1/2010 8:34": "40513.356944444444",
    "12/1/2010 9:41": "40513.40347222222",
    "12/1/2010 11:52": "40513.494444444441",
    "12/1/2010 14:32": "40513.605555555558",
    "12/5/2010 14:02": "40517.584722222222",
    "1/4/2011 9:40": "40547.402777777781",
}


def workbook_of(text: str, path: Path) -> None:
    """Write rows as Excel does: numbers as they are stored, texts shared, no empty cells."""
    shared: dict[str, int] = {}
    rows = []
    for number, row in enumerate(csv.reader(text.splitlines()), start=1):
        cells = []
        for letter, field in zip("ABCDEFGH", row, strict=True):
            stored = {"2.55": "2.5499999999999998"}.get(field, SERIALS.get(field, field))
            if field and stored.replace(".", "").removeprefix("-").isdigit():
                cells.append(f'<c r="{letter}{number}" s="1"><v>{stored}</v></c>')
            elif field:
                place = shared.setdefault(field, len(shared))
                cells.append(f'<c r="{letter}{number}" t="s"><v>{place}</v></c>')
        rows.append(f'<row r="{number}">{"".join(cells)}</row>')
    main_schema = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    with ZipFile(path, "w") as files:
        files.writestr(
            "xl/sharedStrings.xml",
            f"<sst {main_schema}>{''.join(f'<si><t>{one}</t></si>' for one in shared)}</sst>",
        )
        files.writestr(
            "xl/worksheets/sheet1.xml",
            f"<worksheet {main_schema}><sheetData>{''.join(rows)}</sheetData></worksheet>",
        )
