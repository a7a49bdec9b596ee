"""Errors of drivers become those of the library, by their codes."""

import sqlite3
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, TimeoutError

from angle_reco.adapters.sql.core.errors import is_busy, translated
from angle_reco.domain.errors import (
    SchemaError,
    StorageError,
    StorageFullError,
    StorageLockedError,
    StorageUnavailableError,
)

OF_POSTGRES = [
    ("53100", StorageFullError, None),
    ("53300", StorageUnavailableError, "the database does not answer (said)"),
    ("57014", StorageUnavailableError, "the database did not answer in time"),
    ("55P03", StorageUnavailableError, "the database did not answer in time"),
    ("57P01", StorageUnavailableError, "the database does not answer (said)"),
    ("08006", StorageUnavailableError, "the database does not answer (said)"),
    ("40001", StorageUnavailableError, "the database does not answer (said)"),
    ("", StorageUnavailableError, "the database does not answer (said)"),
    ("25006", StorageUnavailableError, "the database takes no writes now (said)"),
    ("42P01", SchemaError, "the database is not as it should be (said)"),
    ("42703", SchemaError, "the database is not as it should be (said)"),
    ("42501", StorageError, "the database's user may not do this (said)"),
    ("22P02", StorageError, "the database cannot work with a value (SQLSTATE 22P02)"),
    ("23505", StorageError, "the database refused a statement (said)"),
]

OF_SQLITE = [
    (sqlite3.SQLITE_FULL, StorageFullError, None),
    (sqlite3.SQLITE_NOTADB, SchemaError, "the file is no database of SQLite (said)"),
    (sqlite3.SQLITE_CORRUPT, SchemaError, "the file is no database of SQLite (said)"),
    (sqlite3.SQLITE_READONLY, StorageError, "the database cannot be written to (said)"),
    (sqlite3.SQLITE_BUSY, StorageLockedError, None),
    (sqlite3.SQLITE_LOCKED, StorageLockedError, None),
    (sqlite3.SQLITE_CANTOPEN, StorageUnavailableError, "the database cannot be opened (said)"),
    (sqlite3.SQLITE_IOERR, StorageUnavailableError, "the database cannot be opened (said)"),
    (sqlite3.SQLITE_CONSTRAINT, StorageError, "the database refused a statement (said)"),
    (sqlite3.SQLITE_ERROR, StorageError, "the database refused a statement (said)"),
]


def found(original: Exception) -> StorageError:
    return translated(DBAPIError("SELECT 'secret'", {"id": "secret"}, original))


def of_postgres(said: str, **attributes: Any) -> Exception:
    error = RuntimeError(said)
    vars(error).update(attributes)
    return error


@pytest.mark.parametrize("name", ["sqlstate", "pgcode"])
@pytest.mark.parametrize(("state", "expected", "text"), OF_POSTGRES)
def test_an_error_of_postgresql_by_the_name_that_its_driver_has_for_the_code(
    name: str, state: str, expected: type[StorageError], text: str | None
) -> None:
    error = found(of_postgres("said", **{name: state}))

    assert type(error) is expected
    assert text in (None, str(error))


def test_what_postgresql_says_without_the_details_that_may_quote_rows() -> None:
    diag = SimpleNamespace(message_primary="a constraint is violated")
    said = "a constraint is violated\nDETAIL:  Key (id)=(secret) exists."

    with_diag = found(of_postgres(said, sqlstate="23505", diag=diag))
    on_two_lines = found(of_postgres("gone\n  for good", sqlstate="08006"))
    not_connected = found(of_postgres("connection failed: no route"))

    assert str(with_diag) == "the database refused a statement (a constraint is violated)"
    assert str(on_two_lines) == "the database does not answer (gone for good)"
    assert str(not_connected) == (
        "the database cannot be connected to (connection failed: no route)"
    )


@pytest.mark.parametrize(("code", "expected", "text"), OF_SQLITE)
@pytest.mark.parametrize("extended", [0, 3 << 8])
def test_an_error_of_sqlite_by_its_primary_code(
    extended: int, code: int, expected: type[StorageError], text: str | None
) -> None:
    original = sqlite3.OperationalError("said")
    original.sqlite_errorcode = extended | code
    error = found(original)
    error.__cause__ = DBAPIError("SELECT 1", {}, original)

    assert type(error) is expected
    assert text in (None, str(error))
    assert is_busy(error) is (code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED))


@pytest.mark.parametrize("said", ["no such table: t", "no such column: c", "no such view: v"])
def test_what_is_missing_from_a_file_is_an_error_of_its_schema(said: str) -> None:
    original = sqlite3.OperationalError(said)
    original.sqlite_errorcode = sqlite3.SQLITE_ERROR

    assert type(found(original)) is SchemaError
    assert str(found(original)) == f"the database is not as it should be ({said})"


def test_without_a_code_the_database_refused_a_statement() -> None:
    assert str(found(sqlite3.Error("odd"))) == "the database refused a statement (odd)"
    assert not is_busy(StorageError("odd"))


def test_a_pool_without_a_free_connection() -> None:
    error = translated(TimeoutError())

    assert type(error) is StorageUnavailableError
    assert "every connection to the database is in use" in str(error)
