"""The savepoint around a statement in a transaction of the host on PostgreSQL."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs
from sqlalchemy.exc import DBAPIError

from angle_reco.adapters.sql.core.host_connection import FAILED, IDLE, transaction_status
from angle_reco.adapters.sql.core.host_texts import NAME

SAVEPOINT = f"SAVEPOINT {NAME}"
RELEASE = f"RELEASE SAVEPOINT {NAME}"
_ROLLBACK_TO = f"ROLLBACK TO SAVEPOINT {NAME}"


@attrs.frozen
class Executed:
    """The row count of a statement, and the number of its last row.

    *number* is the first value that the statement returns, on SQLite the rowid. *within* is the
    driver's connection while the host's transaction is open, None if the statement committed.
    """

    rows: int
    number: int | None = None
    within: object = None


@attrs.define
class Savepoint:
    """Undoes a failed statement on PostgreSQL, which would refuse all further statements."""

    raw: Any
    execute: Callable[[str], object]
    errors: type[Exception]
    was_idle: bool
    is_bare: bool
    """Whether the statement commits by itself."""

    is_set: bool = False
    """Whether the savepoint exists for certain; unknown if one text sets it and fails."""

    @classmethod
    def on(cls, raw: Any, execute: Callable[[str], object], errors: type[Exception]) -> "Savepoint":
        was_idle = transaction_status(raw) == IDLE
        is_bare = was_idle and bool(getattr(raw, "autocommit", False))
        return cls(raw, execute, errors, was_idle, is_bare)

    def __enter__(self) -> "Savepoint":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        # The server rolls back the transaction of a lost connection.
        with suppress(self.errors, DBAPIError):
            if self.was_idle and not self.is_bare:
                self.raw.rollback()  # The driver began it for this statement alone.
            elif not self.is_bare and (self.is_set or transaction_status(self.raw) == FAILED):
                self.execute(_ROLLBACK_TO)
                self.execute(RELEASE)
        if isinstance(error, self.errors) and not isinstance(error, DBAPIError):
            # Leaves out the statement's values, which may be personal data.
            raise DBAPIError.instance(SAVEPOINT, None, error, self.errors) from error
