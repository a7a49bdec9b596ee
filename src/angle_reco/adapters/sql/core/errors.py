"""Translates database errors to the library's, by error code and never by class alone."""

import sqlite3

from sqlalchemy.exc import DBAPIError, TimeoutError

from angle_reco.domain.errors import (
    SchemaError,
    StorageError,
    StorageFullError,
    StorageLockedError,
    StorageUnavailableError,
)


def translated(error: DBAPIError | TimeoutError) -> StorageError:
    """Return the library's error for an error of SQLAlchemy."""
    if isinstance(error, TimeoutError):
        return StorageUnavailableError("every connection to the database is in use")
    if isinstance(error.orig, sqlite3.Error):
        return _of_sqlite(error.orig)
    return _of_postgres(error)


def ran_out_of_time(error: DBAPIError) -> bool:
    """Return whether a statement was cancelled for its time limit, so that it is not repeated."""
    return getattr(error.orig, "sqlstate", None) == "57014"


def is_busy(error: StorageError) -> bool:
    """Return whether another connection held a lock on the SQLite file."""
    code = primary_code(getattr(error.__cause__, "orig", None))
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def primary_code(error: object) -> int:
    """Return SQLite's primary code of an error of its driver, or 0 for another error."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _of_sqlite(error: sqlite3.Error) -> StorageError:
    match primary_code(error):
        case sqlite3.SQLITE_FULL:
            return StorageFullError()
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return SchemaError(f"the file is no database of SQLite ({error})")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return StorageError(f"the database cannot be written to ({error})")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StorageLockedError()
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_IOERR:
            return StorageUnavailableError(f"the database cannot be opened ({error})")
        case sqlite3.SQLITE_ERROR if str(error).startswith(_MISSING):
            return SchemaError(f"the database is not as it should be ({error})")
        case _:
            # The text leaves out the statement and its values, which may be personal data.
            return StorageError(f"the database refused a statement ({error})")


_MISSING = ("no such table", "no such column", "no such view")


def _of_postgres(error: DBAPIError) -> StorageError:
    # psycopg2 names the attribute pgcode.
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None) or ""
    # The details of a message may quote rows; its primary message does so in class 22 alone.
    said = getattr(getattr(error.orig, "diag", None), "message_primary", None)
    said = said or " ".join(str(error.orig).split())
    match state[:2], state:
        case "53", "53100":
            return StorageFullError()
        case _, "57014" | "55P03":
            return StorageUnavailableError("the database did not answer in time")
        case _, "25006":
            return StorageUnavailableError(f"the database takes no writes now ({said})")
        case _, "42P01" | "42703" | "3F000" | "42883":
            return SchemaError(f"the database is not as it should be ({said})")
        case _, "42501":
            return StorageError(f"the database's user may not do this ({said})")
        case "22", _:
            return StorageError(f"the database cannot work with a value (SQLSTATE {state})")
        case "", _ if said.startswith("connection failed"):
            return StorageUnavailableError(f"the database cannot be connected to ({said})")
        case (("08" | "53" | "57" | "40" | ""), _):
            return StorageUnavailableError(f"the database does not answer ({said})")
        case _:
            return StorageError(f"the database refused a statement ({said})")
