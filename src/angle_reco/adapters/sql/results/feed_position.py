"""How far a reader of the feed of changes has come, and what may be hidden from it."""

import re
from typing import Self

import attrs

from angle_reco.ports.changes import Cursor


@attrs.frozen
class Snapshot:
    """Which transactions are over: all before *first*, and those before *end* but *running*.

    SQLite, where one writes after the other, needs none: there it is always the same.
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
        """Return whether a transaction is over: committed, or rolled back."""
        return transaction < self.end and transaction not in self.running


@attrs.frozen
class FeedPosition:
    """How far a reader has come: the last row that was there, and what was over by then.

    With the moment of the row it can be told from another one of that number, as there is
    where a backup was restored or a standby took over that had not heard of everything.
    """

    number: int
    told_at: int
    snapshot: Snapshot

    @classmethod
    def of(cls, cursor: Cursor, dialect: str) -> Self | None:
        """Return what a cursor says, None where it is none of ours."""
        found = _CURSOR.fullmatch(cursor.text)
        if found is None or found["dialect"] != dialect:
            return None
        return cls(int(found["number"]), int(found["told_at"]), Snapshot.of(found["snapshot"]))

    def cursor(self, dialect: str) -> Cursor:
        """Return it as a reader keeps it."""
        return Cursor(text=f"{dialect} {self.number} {self.told_at} {self.snapshot}")


_CURSOR = re.compile(
    r"(?P<dialect>[a-z]+) (?P<number>\d{1,18}) (?P<told_at>-?\d{1,18})"
    r" (?P<snapshot>\d{1,18}:\d{1,18}:(\d{1,18}(,\d{1,18})*)?)",
    re.ASCII,
)


@attrs.frozen
class Forgotten:
    """Up to which number rows were deleted, and the newest transaction that had written one.

    *first* is the first transaction that was not over when that was last looked at.
    """

    number: int = 0
    written_by: int = -1
    first: int = 0

    @classmethod
    def of(cls, text: str | None) -> Self:
        """Return what is kept as text, or that nothing was deleted."""
        return cls() if text is None else cls(*map(int, text.split()))

    def __str__(self) -> str:
        return f"{self.number} {self.written_by} {self.first}"


@attrs.frozen(kw_only=True)
class State:
    """The feed at the moment of a statement, and the row that a reader was told last."""

    snapshot: Snapshot
    forgotten: Forgotten
    newest: int
    newest_told_at: int
    known_told_at: int | None

    @property
    def place(self) -> FeedPosition:
        """Return the place of a reader who knows of everything."""
        if self.newest < self.forgotten.number:
            return FeedPosition(self.forgotten.number, 0, self.snapshot)
        return FeedPosition(self.newest, self.newest_told_at, self.snapshot)

    def hides_from(self, known: FeedPosition) -> bool:
        """Return whether something may be gone that a reader was not told.

        Transactions that were not over then are all from the first of its snapshot on.
        """
        is_deleted = (
            known.number < self.forgotten.number
            # Numbers beyond all there are come with a dump, from another server.
            or known.snapshot.first <= self.forgotten.written_by < self.snapshot.end
        )
        is_another_past = self.snapshot.end < known.snapshot.end or (
            known.number > self.forgotten.number and self.known_told_at != known.told_at
        )
        return is_deleted or is_another_past
