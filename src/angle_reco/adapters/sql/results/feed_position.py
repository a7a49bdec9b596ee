"""Positions in the change feed, and whether a reader at a position may miss changes."""

import re
from typing import Self

import attrs

from angle_reco.ports.changes import Cursor


@attrs.frozen
class Snapshot:
    """Which transactions have ended: all before *end* except those in *running*.

    All before *first* have ended. SQLite has one writer at a time and needs no snapshot:
    there it is constant.
    """

    first: int = 0
    end: int = 0
    running: tuple[int, ...] = ()

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the snapshot that PostgreSQL writes as `first:end:running,running`."""
        first, end, running = text.split(":")
        return cls(int(first), int(end), tuple(map(int, filter(None, running.split(",")))))

    def __str__(self) -> str:
        return f"{self.first}:{self.end}:{','.join(map(str, self.running))}"

    def has(self, transaction: int) -> bool:
        """Return whether a transaction has ended: committed or rolled back."""
        return transaction < self.end and transaction not in self.running


@attrs.frozen
class FeedPosition:
    """How far a reader has come: the newest row, and which transactions had ended.

    *told_at* is the publication time of that row, in microseconds since 1970. It distinguishes
    the row from another one with its number, which can exist after a backup was restored or
    after a standby without the latest rows took over.
    """

    number: int
    told_at: int
    snapshot: Snapshot

    @classmethod
    def of(cls, cursor: Cursor, dialect: str) -> Self | None:
        """Return the position that a cursor encodes, None if it is not one of this feed."""
        found = _CURSOR.fullmatch(cursor.text)
        if found is None or found["dialect"] != dialect:
            return None
        return cls(int(found["number"]), int(found["told_at"]), Snapshot.of(found["snapshot"]))

    def cursor(self, dialect: str) -> Cursor:
        """Return the position as a cursor for the reader."""
        return Cursor(text=f"{dialect} {self.number} {self.told_at} {self.snapshot}")


_CURSOR = re.compile(
    r"(?P<dialect>[a-z]+) (?P<number>\d{1,18}) (?P<told_at>-?\d{1,18})"
    r" (?P<snapshot>\d{1,18}:\d{1,18}:(\d{1,18}(,\d{1,18})*)?)",
    re.ASCII,
)


@attrs.frozen
class Forgotten:
    """The highest number of the deleted rows, and the newest transaction that wrote one.

    *first* is the first transaction that had not ended at the last deletion.
    """

    number: int = 0
    written_by: int = -1
    first: int = 0

    @classmethod
    def of(cls, text: str | None) -> Self:
        """Return the value stored as *text*; None means that nothing was deleted."""
        return cls() if text is None else cls(*map(int, text.split()))

    def __str__(self) -> str:
        return f"{self.number} {self.written_by} {self.first}"


@attrs.frozen(kw_only=True)
class State:
    """The feed at the moment of a statement, and the publication time of a reader's last row.

    *known_told_at* is None if that row does not exist.
    """

    snapshot: Snapshot
    forgotten: Forgotten
    newest: int
    newest_told_at: int
    known_told_at: int | None

    @property
    def place(self) -> FeedPosition:
        """Return the position of a reader that has read every change."""
        if self.newest < self.forgotten.number:
            return FeedPosition(self.forgotten.number, 0, self.snapshot)
        return FeedPosition(self.newest, self.newest_told_at, self.snapshot)

    def hides_from(self, known: FeedPosition) -> bool:
        """Return whether changes may be gone that a reader at *known* has not read.

        The transactions that had not ended at *known* start at the first of its snapshot.
        """
        is_deleted = (
            known.number < self.forgotten.number
            # Transactions beyond the current end are those of another server, from a dump.
            or known.snapshot.first <= self.forgotten.written_by < self.snapshot.end
        )
        is_another_past = self.snapshot.end < known.snapshot.end or (
            known.number > self.forgotten.number and self.known_told_at != known.told_at
        )
        return is_deleted or is_another_past
