"""Rows of CSV files as columns: however much is read at once, they are those row by row."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.adapters.sql.importing import csv_files, csv_rows
from angle_reco.adapters.sql.importing.bad_rows import BadRow
from angle_reco.adapters.sql.importing.csv_files import GoodRows, read_rows
from angle_reco.domain.errors import BadInputError, InvalidValueError
from angle_reco.domain.import_format import ImportFile


def whole(text: str) -> int:
    if not text.isdecimal():
        raise InvalidValueError("size", text, "a whole number")
    return int(text)


LOTS = ImportFile(name="lots", fields={"title": str, "size": whole})


@attrs.frozen(kw_only=True)
class Row:
    """A row as it is written, and what is wrong with it, if anything is."""

    title: str = "lamp"
    size: str = "7"
    more: str = ""
    means: tuple[object, ...] | None = None
    column: str | None = None
    reason: str | None = None
    is_empty: bool = False

    def written(self, header: Sequence[str]) -> str:
        fields = {"title": self.title, "size": self.size, "colour": "green"}
        return "" if self.is_empty else ",".join(fields[name] for name in header) + self.more


ROWS = {
    "plain": Row(means=("lamp", 7)),
    "not ASCII": Row(title="Vasé", means=("Vasé", 7)),
    "quoted": Row(title='"a ""green"" lamp, large"', means=('a "green" lamp, large', 7)),
    "lines": Row(title='"a\nlamp"', means=("a\nlamp", 7)),
    "empty": Row(is_empty=True),
    "bad value": Row(size="x", column="size", reason="size is 'x', but should be a whole number"),
    "quoted bad value": Row(
        title='"lamp"', size="", column="size", reason="size is '', but should be a whole number"
    ),
    "too many": Row(more=",more", reason="has {} fields where the header has {}"),
    "no CSV": Row(title='"lamp"s', reason="is no CSV: "),
}


@given(
    names=st.lists(st.sampled_from(list(ROWS)), max_size=12),
    header=st.sampled_from(
        [
            ("title", "size"),
            ("size", "title"),
            ("title", "colour", "size"),
            ("colour", *LOTS.fields),
        ]
    ),
    newline=st.sampled_from(["\n", "\r\n"]),
    ahead=st.integers(1, 60),
    at_once=st.integers(1, 40),
    is_ended=st.booleans(),
)
def test_every_row_is_read_or_described_with_its_line(
    names: list[str],
    header: tuple[str, ...],
    newline: str,
    ahead: int,
    at_once: int,
    is_ended: bool,
) -> None:
    rows = [ROWS[name] for name in names]
    texts = [",".join(header), *(one.written(header) for one in rows)]
    lines = [1 + sum(1 + text.count("\n") for text in texts[:place]) for place in range(len(texts))]

    good, bad = read(newline.join(texts) + newline * is_ended, ahead=ahead, at_once=at_once)

    found = [(line, values) for some in good for line, values in lines_of(some)]
    assert found == [
        (line, one.means) for line, one in zip(lines[1:], rows, strict=True) if one.means
    ]
    expected = [
        (line, one.column, one.reason.format(len(header) + 1, len(header)))
        for line, one in zip(lines[1:], rows, strict=True)
        if one.reason
    ]
    assert [(one.line, one.column) for one in bad] == [one[:2] for one in expected]
    for one, (_, _, reason) in zip(bad, expected, strict=True):
        assert one.file == "lots.csv"
        assert one.reason.startswith(reason)
        assert not one.is_of_encoding


def read(text: str, *, ahead: int, at_once: int) -> tuple[list[GoodRows], list[BadRow]]:
    """Return what is read of a file, of which little is read ahead, and the bad rows."""
    bad = list[BadRow]()
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_rows, "_READ_AHEAD", ahead)
        patch.setattr(csv_files, "_CHARACTERS_AT_ONCE", at_once)
        path = Path(folder, "lots.csv")
        path.write_bytes(text.encode())
        good = list(read_rows(LOTS, path, bad.append))
        assert {one.total for one in good} <= {path.stat().st_size}
    done = [one.done for one in good]
    assert done == sorted(done)
    assert done[-1:] in ([], [len(text.encode())])
    return good, bad


def lines_of(some: GoodRows) -> list[tuple[int, tuple[object, ...]]]:
    return list(zip(some.lines, zip(*some.columns, strict=True), strict=True))


@pytest.mark.parametrize(("at_once", "together"), [(1, 1), (14, 2), (15, 3)])
def test_rows_with_quotes_come_in_parts_of_so_many_characters(at_once: int, together: int) -> None:
    """Each of these counts 7: its fields, a comma or an end after each, and one more."""
    good, _ = read("title,size\n" + '"lmp",7\n' * 6, ahead=10, at_once=at_once)

    assert [len(one.lines) for one in good] == [together] * (6 // together)


def test_bad_rows_before_one_that_is_too_long_are_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (csv_rows, csv_files):
        monkeypatch.setattr(module, "LONGEST_ROW", 100)
    path, found, bad = tmp_path / "lots.csv", list[GoodRows](), list[BadRow]()
    path.write_text('title,size\n"lamp",7\nvase,x\n"' + "a" * 101 + '",1\nlamp,9\n', "utf-8")

    with pytest.raises(BadInputError, match="is longer than 100 characters") as error:
        found.extend(read_rows(LOTS, path, bad.append))

    assert error.value.line == 4
    assert [one.line for one in bad] == [3]
