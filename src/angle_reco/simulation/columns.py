"""A simulated marketplace as columns, and as the CSV files that the import reads."""

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

_CHUNK = 200_000  # rows written at once


@attrs.frozen(kw_only=True, eq=False)
class _Columns:
    """Read-only arrays of one length; row k of each describes the same entity."""

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
    """The users, sellers included, in the order of their ids."""

    user_id: Texts
    inserted_at: Moments
    last_sign_in_at: Moments  # NaT: never
    sign_in_count: Int64s


@attrs.frozen(kw_only=True, eq=False)
class Items(_Columns):
    """The lots, in the order of their ids, which is also that of listing."""

    item_id: Texts
    category: Codes  # an index into the marketplace's category_ids
    seller: Codes  # a row of the users
    title: Texts
    starting_cents: Int64s
    current_cents: Int64s  # the highest bid, or the starting price without bids
    publication_status: Texts  # published, withdrawn or draft; drafts have no bids or watches
    starts_at: Moments
    end_time: Moments  # NaT: open until withdrawn
    inserted_at: Moments


@attrs.frozen(kw_only=True, eq=False)
class Bids(_Columns):
    """The bids, lot by lot; the bids of a lot rise with time."""

    user: Codes  # a row of the users
    item: Codes  # a row of the items
    cents: Int64s
    placed_at: Moments


@attrs.frozen(kw_only=True, eq=False)
class Watches(_Columns):
    """The watches, user by user; each pair of user and item occurs once."""

    user: Codes  # a row of the users
    item: Codes  # a row of the items
    inserted_at: Moments


@attrs.frozen(kw_only=True, eq=False)
class Marketplace:
    """Users, items and activity of a marketplace up to a moment."""

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
            directory: Created if missing; existing files of these names are replaced.
            progress: Called repeatedly with the name of a file, its rows written and its rows.
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
        """Return the columns of each file by file name; float columns are amounts of money."""
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
    """Return the values of *column* as they are written to a file."""
    match column.dtype.kind:
        case "M":
            moments = np.datetime_as_string(column.astype("M8[s]"), timezone="UTC")
            return list(np.where(np.isnat(column), "", moments))
        case "f":
            return [f"{price:.2f}" for price in column.tolist()]
        case _:
            return list(column.tolist())
