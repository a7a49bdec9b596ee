"""A simulated marketplace as columns, and as the files that are imported."""

import csv
from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Moments = npt.NDArray[np.datetime64]  # UTC, whole seconds; NaT is none
Texts = npt.NDArray[np.object_]  # of str

_CHUNK = 200_000  # rows of a file at once


@attrs.frozen(kw_only=True, eq=False)
class _Columns:
    """Arrays of one length that nobody writes to, a place in each for the same thing."""

    def __attrs_post_init__(self) -> None:
        columns: list[npt.NDArray[np.generic]] = list(attrs.asdict(self).values())
        if len({len(column) for column in columns}) != 1:
            raise ValueError(f"the columns of {type(self).__name__} must be of one length")
        for column in columns:
            column.flags.writeable = False

    def __len__(self) -> int:
        return len(getattr(self, attrs.fields(type(self))[0].name))


@attrs.frozen(kw_only=True, eq=False)
class Users(_Columns):
    """Who is there, in the order of their ids. Sellers are among them."""

    user_id: Texts
    inserted_at: Moments
    last_sign_in_at: Moments  # NaT: never
    sign_in_count: Int64s


@attrs.frozen(kw_only=True, eq=False)
class Items(_Columns):
    """The lots, in the order of their ids and of listing."""

    item_id: Texts
    category: Codes  # its place among the marketplace's category_ids
    seller: Codes  # a row of the users
    title: Texts
    starting_cents: Int64s
    current_cents: Int64s  # the highest bid, before the first one the starting price
    publication_status: Texts  # published, withdrawn or draft; nobody ever saw a draft
    starts_at: Moments
    end_time: Moments  # NaT: open until withdrawn
    inserted_at: Moments


@attrs.frozen(kw_only=True, eq=False)
class Bids(_Columns):
    """The bids, lot by lot, each lot's rising with time."""

    user: Codes  # a row of the users
    item: Codes  # a row of the items
    cents: Int64s
    placed_at: Moments


@attrs.frozen(kw_only=True, eq=False)
class Watches(_Columns):
    """Who keeps an eye on what, user by user; a pair is there once."""

    user: Codes  # a row of the users
    item: Codes  # a row of the items
    inserted_at: Moments


@attrs.frozen(kw_only=True, eq=False)
class Marketplace:
    """Everything that was there and that happened until a moment."""

    category_ids: tuple[str, ...]
    users: Users
    items: Items
    bids: Bids
    watches: Watches

    def write_csv(
        self, directory: Path, *, progress: Callable[[str, int, int], None] | None = None
    ) -> None:
        """Write users.csv, items.csv, bids.csv and watches.csv as `angle-reco import` reads them.

        Args:
            directory: Made where it is missing; files of these names are replaced.
            progress: Called now and then with the name of a file, rows written and rows in all.
        """
        directory.mkdir(parents=True, exist_ok=True)
        for file, columns in self._files().items():
            rows = len(next(iter(columns.values())))
            with (directory / file).open("w", encoding="utf-8", newline="") as lines:
                writer = csv.writer(lines, lineterminator="\n")
                writer.writerow(columns)
                for start in range(0, rows, _CHUNK):
                    part = slice(start, start + _CHUNK)
                    texts = (_texts(column[part]) for column in columns.values())
                    writer.writerows(zip(*texts, strict=True))
                    if progress is not None:
                        progress(file, min(part.stop, rows), rows)

    def _files(self) -> dict[str, dict[str, npt.NDArray[np.generic]]]:
        """Return the columns of each file by its name; floats are money."""
        users, items, bids, watches = self.users, self.items, self.bids, self.watches
        return {
            "users.csv": attrs.asdict(users),
            "items.csv": {
                "item_id": items.item_id,
                "category_id": np.array(self.category_ids, dtype=object)[items.category],
                "seller_id": users.user_id[items.seller],
                "title": items.title,
                "starting_price": items.starting_cents / 100,
                "current_price": items.current_cents / 100,
                "publication_status": items.publication_status,
                "starts_at": items.starts_at,
                "end_time": items.end_time,
                "inserted_at": items.inserted_at,
            },
            "bids.csv": {
                "user_id": users.user_id[bids.user],
                "item_id": items.item_id[bids.item],
                "amount": bids.cents / 100,
                "placed_at": bids.placed_at,
            },
            "watches.csv": {
                "user_id": users.user_id[watches.user],
                "item_id": items.item_id[watches.item],
                "inserted_at": watches.inserted_at,
            },
        }


def _texts(column: npt.NDArray[np.generic]) -> list[object]:
    """Return what is written for the values of *column*."""
    match column.dtype.kind:
        case "M":
            moments = np.datetime_as_string(column.astype("M8[s]"), timezone="UTC")
            return list(np.where(np.isnat(column), "", moments))
        case "f":
            return [f"{price:.2f}" for price in column.tolist()]
        case _:
            return list(column.tolist())
