"""Few rows are read in one trip, many by COPY: what arrives is the same."""

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from angle_reco.adapters.sql.core.bulk import few_query, read_at_once, read_columns, read_few
from angle_reco.adapters.sql.core.copy_formats import CopyType
from angle_reco.adapters.sql.core.database import Database

ODD = {
    CopyType.TEXT: ["''", r"E'\t\\N\n'", "'NULL'", "'ä😀'", r"E'\\'"],
    CopyType.UUID: [f"'{digit * 32}'::uuid" for digit in "09abf"],
    CopyType.INT: ["0", "-1", "9223372036854775807", "-9223372036854775808", "7"],
    CopyType.SMALL: ["0", "-1", "32767", "-32768", "7"],
    CopyType.MOMENT: [
        "NULL::timestamptz",
        "'infinity'::timestamptz",
        "'-infinity'::timestamptz",
        "'1969-12-31 23:59:59.999999+00'::timestamptz",
        "'20000-01-01 00:00+00'::timestamptz",
    ],
}

WIRES = [
    [CopyType.TEXT],
    [CopyType.TEXT, CopyType.TEXT],
    [CopyType.INT, CopyType.UUID, CopyType.SMALL, CopyType.MOMENT],
    [CopyType.MOMENT, CopyType.TEXT, CopyType.UUID, CopyType.TEXT, CopyType.INT],
]


def rows(copy_types: Sequence[CopyType], first: int, last: int) -> sa.Select[Any]:
    """Return a query of odd values, in an order of their own."""
    columns = [f"column{place + 1}" for place in range(len(copy_types))]
    values = ", ".join(
        f"({number}, {', '.join(ODD[wire][number] for wire in copy_types)})"
        for number in range(first, last)
    )
    source = sa.text(f"(VALUES {values}) AS odd (number, {', '.join(columns)})")
    chosen: list[Any] = [sa.literal_column(column) for column in columns]
    query: sa.Select[Any] = sa.select(*chosen)
    return query.select_from(source).where(sa.literal_column("number") >= 0)


@pytest.mark.parametrize("copy_types", WIRES, ids=lambda some: "-".join(one.name for one in some))
def test_odd_values_arrive_as_by_copy(postgres_url: str, copy_types: list[CopyType]) -> None:
    engine = sa.create_engine(postgres_url)
    database = Database(engine)
    try:
        for queries in ([rows(copy_types, 0, 5)], [rows(copy_types, 0, 2), rows(copy_types, 2, 5)]):
            few = read_few(database, few_query(queries, copy_types, "postgresql"), copy_types)
            [many] = read_columns(database, queries, copy_types)

            assert [one.tolist() for one in few] == [one.tolist() for one in many]
            assert [one.dtype for one in few] == [one.dtype for one in many]
        nothing = rows(copy_types, 0, 1).where(sa.false())
        none, at_once = (
            read_few(database, few_query([nothing], copy_types, "postgresql"), copy_types),
            read_at_once(database, nothing, copy_types),
        )
        assert [one.tolist() for one in none] == [[]] * len(copy_types)
        assert [one.dtype for one in none] == [one.dtype for one in at_once]
    finally:
        engine.dispose()


def test_a_statement_that_is_kept_takes_other_values(postgres_url: str) -> None:
    number, word = sa.column("number", sa.BigInteger), sa.column("word", sa.Text)
    source = sa.text("(VALUES (1, 'a'), (2, 'b'), (3, 'c')) AS words (number, word)")
    engine = sa.create_engine(postgres_url)
    database = Database(engine)

    def read(words: list[str], least: int) -> list[int]:
        query = sa.select(number).select_from(source).where(word.in_(words), number >= least)
        [numbers] = read_at_once(database, query, [CopyType.INT])
        return sorted(numbers.tolist())

    def named(value: str) -> list[int]:
        query = sa.select(number).select_from(source).where(word == sa.bindparam("word"))
        [numbers] = read_at_once(database, query.params(word=value), [CopyType.INT])
        return list(numbers.tolist())

    assert [read(["a", "b", "c"], 2), read(["a", "b"], 1), read([], 1)] == [[2, 3], [1, 2], []]
    assert [read(["a", "b", "c"], least) for least in (3, 1)] == [[3], [1, 2, 3]]
    assert [named(one) for one in "abc"] == [[1], [2], [3]]
    engine.dispose()
