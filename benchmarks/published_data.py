"""Converts published data into files that `angle-reco import` and `angle-reco evaluate` read.

    python benchmarks/published_data.py movielens ml-100k.zip DIRECTORY
    python benchmarks/published_data.py online-retail "Online Retail.xlsx" DIRECTORY

MovieLens 100K is the archive of GroupLens, whose terms do not allow to pass the data on. A
rating of 4 or 5 becomes a bid without an amount, a lower one a watch. The category of a film
is its first genre. No film has a price, a seller or an end, and all are listed at the moment
of the first rating.

Online Retail is the workbook of the UCI Machine Learning Repository, or the same table as CSV.
A purchase becomes a bid of the unit price. Rows without a customer, and those without a price
or a quantity above 0 (returns, for one), are left out. There are no categories, sellers or
ends; an article is listed when it is first sold.

Users register when they first do something, and sign in on each day on which they do.
"""

import argparse
import csv
import gzip
import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree
from zipfile import ZipFile

HEADERS = {
    "users": "user_id inserted_at last_sign_in_at sign_in_count",
    "items": "item_id category_id seller_id title starting_price current_price"
    " publication_status starts_at end_time inserted_at",
    "bids": "user_id item_id amount placed_at",
    "watches": "user_id item_id inserted_at",
}

GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
"""The genres in the order of the last columns of `u.item`."""

LIKED_FROM = 4

COLUMNS = ("StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID")

Row = Sequence[str]
Tables = Mapping[str, Iterable[Row]]


def main(arguments: Sequence[str]) -> None:
    """Convert what *arguments* name."""
    asked = argparse.ArgumentParser(description="Convert published data into files for an import.")
    asked.add_argument("data", choices=("movielens", "online-retail"))
    asked.add_argument("source", type=Path, help="the file as it was published")
    asked.add_argument("directory", type=Path)
    options = asked.parse_args(arguments)
    convert = movielens if options.data == "movielens" else online_retail
    write(options.directory, convert(options.source))


def movielens(archive: Path) -> Tables:
    """Return the tables from the published archive."""
    with ZipFile(archive) as files:
        ratings = [line.split("\t") for line in _lines(files, "u.data")]
        films = [line.split("|") for line in _lines(files, "u.item")]
    rated = sorted(
        (datetime.fromtimestamp(int(second), UTC), user, film, int(rating))
        for user, film, rating, second in ratings
    )
    start = iso(rated[0][0])
    return {
        "users": users_of((user, moment) for moment, user, _, _ in rated),
        "items": [
            (film, first_genre(flags), "", title, "", "", "published", start, "", start)
            for film, title, _, _, _, *flags in films
        ],
        "bids": [
            (user, film, "", iso(moment))
            for moment, user, film, rating in rated
            if rating >= LIKED_FROM
        ],
        "watches": [
            (user, film, iso(moment)) for moment, user, film, rating in rated if rating < LIKED_FROM
        ],
    }


def _lines(files: ZipFile, name: str) -> list[str]:
    """Return the lines of a file in the folder of the archive, which is in Latin-1."""
    text = files.read(f"ml-100k/{name}").decode("latin-1")
    return [line for line in text.split("\n") if line]


def first_genre(flags: Row) -> str:
    """Return the name of the first genre that is flagged, empty without one."""
    return next((genre for genre, flag in zip(GENRES, flags, strict=True) if flag == "1"), "")


def online_retail(source: Path) -> Tables:
    """Return the tables from the published workbook, or from the same table as CSV."""
    sheet = rows_of_workbook(source) if source.suffix == ".xlsx" else rows_of_csv(source)
    header = next(sheet, [])
    if missing := [name for name in COLUMNS if name not in header]:
        sys.exit(f"{source} has no column {', '.join(missing)}: it is not Online Retail")
    places = [header.index(name) for name in COLUMNS]
    bought = [sale for row in sheet if (sale := _sale([row[place] for place in places]))]
    bought.sort(key=lambda sale: sale[0])
    first: dict[str, str] = {}
    last: dict[str, tuple[str, str]] = {}
    for moment, _, article, price, title in bought:
        first.setdefault(article, iso(moment))
        last[article] = (title, price)
    return {
        "users": users_of((customer, moment) for moment, customer, *_ in bought),
        "items": [
            (article, "", "", title, "", price, "published", first[article], "", first[article])
            for article, (title, price) in sorted(last.items())
        ],
        "bids": [
            (customer, article, price, iso(moment))
            for moment, customer, article, price, _ in bought
        ],
    }


def _sale(cells: Row) -> tuple[datetime, str, str, str, str] | None:
    """Return moment, customer, article, price and title of a purchase, None for other rows."""
    article, title, quantity, moment, price, customer = cells
    if not customer or float(quantity) <= 0 or float(price) <= 0:
        return None
    # A workbook has 17867.0, and 2.5499999999999998 for 2.55.
    amount = Decimal(repr(round(float(price), 4))).normalize()
    return moment_of(moment), str(int(float(customer))), article, f"{amount:f}", title.strip()


def moment_of(text: str) -> datetime:
    """Return the moment of an invoice: a workbook's days since 1899-12-30, or as CSV has it.

    >>> moment_of("40513.351388888892") == moment_of("12/1/2010 8:26")
    True
    """
    if ":" in text:
        form = "%m/%d/%Y %H:%M" if "/" in text else "%Y-%m-%d %H:%M:%S"
        return datetime.strptime(text, form).replace(tzinfo=UTC)
    minutes = round(float(text) * 24 * 60)
    return datetime(1899, 12, 30, tzinfo=UTC) + timedelta(minutes=minutes)


def rows_of_csv(source: Path) -> Iterator[list[str]]:
    """Yield the rows of a CSV file in UTF-8 or Latin-1; copies of the data are in either."""
    raw = source.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    yield from csv.reader(io.StringIO(text, newline=""))


MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def rows_of_workbook(source: Path) -> Iterator[list[str]]:
    """Yield the rows of the first sheet of an Excel workbook, as texts.

    A row has a cell for each column up to its last that is not empty, and for the columns of
    the longest row before it.
    """
    with ZipFile(source) as files:
        texts = []
        if "xl/sharedStrings.xml" in files.namelist():
            root = ElementTree.fromstring(files.read("xl/sharedStrings.xml"))
            texts = ["".join(one.itertext()) for one in root.iter(f"{MAIN}si")]
        width = 0
        with files.open("xl/worksheets/sheet1.xml") as sheet:
            for _, element in ElementTree.iterparse(sheet):
                if element.tag == f"{MAIN}row":
                    cells = {_column(cell): _text(cell, texts) for cell in element}
                    width = max(width, 1 + max(cells, default=-1))
                    yield [cells.get(column, "") for column in range(width)]
                    element.clear()  # half a million rows, otherwise all in memory


def _column(cell: ElementTree.Element) -> int:
    """Return the number of the column in a reference such as `AB12`."""
    number = 0
    for letter in cell.attrib["r"].rstrip("0123456789"):
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1


def _text(cell: ElementTree.Element, texts: Row) -> str:
    value = cell.findtext(f"{MAIN}v", "")
    match cell.get("t"):
        case "s":
            return texts[int(value)]
        case "inlineStr":
            return "".join(cell.itertext())
        case _:
            return value


def users_of(moments: Iterable[tuple[str, datetime]]) -> list[Row]:
    """Return the rows of users, from the moments at which each did something."""
    of_user: dict[str, list[datetime]] = {}
    for user, moment in moments:
        of_user.setdefault(user, []).append(moment)
    return [
        (user, iso(min(those)), iso(max(those)), str(len({one.date() for one in those})))
        for user, those in sorted(of_user.items())
    ]


def iso(moment: datetime) -> str:
    """Return a moment in UTC as the files have it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def write(directory: Path, tables: Tables) -> None:
    """Write *tables* as packed CSV files into *directory*."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        with gzip.open(directory / f"{name}.csv.gz", "wt", encoding="utf-8", newline="") as file:
            sheet = csv.writer(file, lineterminator="\n")
            sheet.writerow(HEADERS[name].split())
            sheet.writerows(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
