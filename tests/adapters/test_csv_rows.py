"""Splitting rows as the csv module does, whatever its limit for fields is."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.adapters.sql.importing import csv_rows
from angle_reco.adapters.sql.importing.csv_rows import CsvRows, NotCsvError, RowTooLongError

BROKEN = ["broken"]


@contextmanager
def limited_to(limit: int) -> Iterator[None]:
    """Have the csv module refuse longer fields, as a host may."""
    usual = csv.field_size_limit(limit)
    try:
        yield
    finally:
        csv.field_size_limit(usual)


def by_us(text: str, limit: int) -> list[tuple[int, list[str]]]:
    """Return each row with its line, rows that are no CSV as BROKEN."""
    rows, found = CsvRows(io.StringIO(text, newline="")), list[tuple[int, list[str]]]()
    with limited_to(limit):
        while True:
            try:
                fields = next(rows)
            except NotCsvError:
                fields = BROKEN
            except StopIteration:
                return found
            found.append((rows.line, fields))


def by_csv(text: str) -> list[tuple[int, list[str]]]:
    """Return the same by the csv module alone, whose limit is far away."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    found = list[tuple[int, list[str]]]()
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except csv.Error:
            fields = BROKEN
        except StopIteration:
            return found
        found.append((line, fields))


TEXTS = st.text(alphabet='a",\n\r é', max_size=60)


@given(text=TEXTS, limit=st.sampled_from([0, 1, 3, 131_072]))
def test_rows_are_those_of_the_csv_module(text: str, limit: int) -> None:
    assert by_us(text, limit) == by_csv(text)


@given(rows=st.lists(st.lists(st.text(max_size=20), min_size=2, max_size=4), max_size=5))
def test_what_the_csv_module_writes_is_read_again(rows: list[list[str]]) -> None:
    written = io.StringIO(newline="")
    csv.writer(written).writerows(rows)

    assert [fields for _, fields in by_us(written.getvalue(), 0)] == rows


@pytest.mark.parametrize(
    "text",
    [
        "a" * 101,
        "a,b\n" + "a" * 101 + "\nb,c\n",
        'a,"' + "b\n" * 60,
        '"' + "\n" * 3,
        # Each line is short, but with what lines cost they are too long together.
        '"' + "a" * 29 + "\n" + "b" * 20 + '"\n',
        "," * 101,
    ],
)
def test_a_row_beyond_the_bound_is_an_error(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "LONGEST_ROW", 100)

    with pytest.raises(RowTooLongError):
        for _ in CsvRows(io.StringIO(text, newline="")):
            pass


def test_a_row_may_be_as_long_as_the_bound_and_so_may_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_rows, "LONGEST_ROW", 100)
    text = ("a" * 99 + "\n") * 3

    assert list(CsvRows(io.StringIO(text, newline=""))) == [["a" * 99]] * 3


def test_no_more_than_the_bound_is_read_of_a_line() -> None:
    sizes = list[int]()

    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            sizes.append(len(buffer))
            buffer[:] = b"a" * len(buffer)
            return len(buffer)

    with pytest.raises(RowTooLongError):
        next(CsvRows(io.TextIOWrapper(io.BufferedReader(Endless()), "utf-8", newline="")))

    assert sum(sizes) <= csv_rows.LONGEST_ROW + 2**16


@given(text=TEXTS, ahead=st.integers(1, 9))
def test_plain_lines_are_rows_too(text: str, ahead: int) -> None:
    rows, found = CsvRows(io.StringIO(text, newline="")), list[tuple[int, list[str]]]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_rows, "_READ_AHEAD", ahead)
        while True:
            if plain := rows.plain_lines():
                split = ((line, one.split(",")) for line, one in enumerate(plain, rows.line))
                found += [(line, row if row != [""] else []) for line, row in split]
                continue
            try:
                found.append((0, next(rows)))
                found[-1] = rows.line, found[-1][1]
            except NotCsvError:
                found.append((rows.line, BROKEN))
            except StopIteration:
                break

    assert found == by_csv(text)


def test_lines_without_quotes_are_plain() -> None:
    rows = CsvRows(io.StringIO("a,b\nc\n\nd", newline=""))

    assert (rows.plain_lines(), rows.line) == (["a,b", "c", ""], 1)
    assert (rows.plain_lines(), rows.line) == (["d"], 4)
    assert rows.plain_lines() == []
