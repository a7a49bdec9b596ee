"""How single values of a host's columns are read, on each database."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa

from angle_reco.adapters.sql.core.sqlite_functions import add_functions
from angle_reco.adapters.sql.core.types import Moment
from angle_reco.adapters.sql.market.checking import _Expected, _means
from angle_reco.adapters.sql.market.host_columns import (
    FIRST_MOMENT,
    LAST_MOMENT,
    HostColumns,
    _as_number,
    _usual,
    exact,
    in_calendar,
    is_day,
    is_number,
    is_without_zone,
    undecorated,
)
from angle_reco.adapters.sql.schema.host_schema import Holds
from angle_reco.domain.errors import SchemaError
from angle_reco.domain.ids import IdKind, IdKinds
from angle_reco.domain.moments import from_micros, to_micros
from angle_reco.domain.prices import LARGEST_PRICE, PriceScale
from angle_reco.domain.public_columns import LONGEST_VALUE
from angle_reco.domain.written_moments import read_moment

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
TEXTS = IdKinds(user=IdKind.TEXT, item=IdKind.TEXT, category=IdKind.TEXT)


@pytest.fixture(params=BOTH)
def connection(request: pytest.FixtureRequest) -> Iterator[sa.Connection]:
    """Give a connection, on SQLite with the library's functions."""
    if request.param == "sqlite":
        engine = sa.create_engine("sqlite://")
        sa.event.listen(engine, "connect", lambda raw, _: add_functions(raw))
    else:
        engine = sa.create_engine(request.getfixturevalue("postgres_url"))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def columns(connection: sa.Connection) -> HostColumns:
    return columns_on(connection)


def columns_on(connection: sa.Connection, **changes: Any) -> HostColumns:
    values: dict[str, Any] = {
        "ids": TEXTS,
        "prices": PriceScale(100),
        "dialect": connection.dialect.name,
        "time_zone": "UTC",
    }
    return HostColumns(**values | changes)


def stored(value: object, of: Any = None) -> Any:
    """Return a value as a column: SQLite keeps it as it is, whatever the type is declared as."""
    given = sa.bindparam(None, value, type_=sa.types.NullType(), unique=True)
    return given if of is None else sa.type_coerce(sa.select(given).scalar_subquery(), of)


def on_postgres(value: object, of: Any) -> Any:
    return sa.cast(sa.literal(None if value is None else str(value), sa.Text), of)


def column_of(connection: sa.Connection, value: object, of: Any) -> Any:
    return (stored if connection.dialect.name == "sqlite" else on_postgres)(value, of)


NUMBERS = [0, 1, -1, 1.5, 10**9, 10**11 - 1, 10**11, 10**14 - 1, 10**14, 10**16, 10**17]


@pytest.mark.parametrize("number", NUMBERS + [-one for one in NUMBERS])
def test_a_number_is_the_same_moment_on_each_database(
    connection: sa.Connection, columns: HostColumns, number: float
) -> None:
    read = columns.read(Holds.MOMENT, column_of(connection, number, sa.Numeric()))
    micros = read_moment(number)

    assert read.is_odd is not None
    is_odd = connection.scalar(sa.select(read.is_odd))
    assert bool(is_odd) is (micros is None)
    if micros is not None and to_micros(FIRST_MOMENT) <= micros <= to_micros(LAST_MOMENT):
        [(found,)] = connection.execute(sa.select(read.column))
        # to_timestamp() takes a double, which has fewer digits in the far future.
        assert abs(found - from_micros(micros)) < timedelta(microseconds=10)


@pytest.mark.parametrize("connection", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-02 00:00:01", 86_401_000_000),
        ("1970-01-01 00:00:00.5", 500_000),
        ("1970-01-01 00:00:00.000001", 1),
        ("1970-01-01 00:00:00.1234569", 123_456),
        ("1969-12-31 23:59:59.25", -750_000),
        ("0001-01-01 00:00:00", -62_135_596_800_000_000),
        ("9999-12-31 23:59:59", 253_402_300_799_000_000),
        ("0000-12-31 00:00:00", None),
        ("2026-02-29 00:00:00", None),
        ("2026-01-31", None),
        ("2026-01-31T00:00:00", None),
        ("2026-01-31 00:00:00.", None),
        ("2026-01-31 00:00:00Z", None),
        ("2026-01-31 00:00:00.5Z", None),
        ("2026-01-31 00:00:00,5", None),
        ("2026-01-31 24:00:00", None),
        (b"2026-01-31 00:00:00", None),
        (20_260_131, None),
    ],
)
def test_the_usual_form_is_read_by_sqlite_itself(
    connection: sa.Connection, text: object, micros: int | None
) -> None:
    seconds, fraction, is_usual = _usual(stored(text, sa.Text()))

    assert bool(connection.scalar(sa.select(is_usual))) is (micros is not None)
    if micros is not None:
        assert connection.scalar(sa.select(seconds * 1_000_000 + fraction)) == micros


@pytest.mark.parametrize("connection", ["sqlite"], indirect=True)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_texts_and_numbers_of_sqlite_are_moments(connection: sa.Connection, zone: str) -> None:
    columns = columns_on(connection, time_zone=zone)

    def read(value: object, of: Any = None) -> object:
        given = stored(value, of or sa.DateTime())
        return connection.scalar(sa.select(columns.moment(given)))

    local = datetime(2026, 1, 31, tzinfo=UTC) - timedelta(hours=9 * (zone != "UTC"))
    assert read("2026-01-31 00:00:00") == read("2026-01-31") == local
    assert read("2026-01-31T00:00Z") == datetime(2026, 1, 31, tzinfo=UTC)
    assert read(1) == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert read(None) is read("soon") is read(b"2026-01-31") is None
    # Of the library's own type, numbers are microseconds and nothing else is a moment.
    assert read(1, Moment()) == datetime(1970, 1, 1, microsecond=1, tzinfo=UTC)
    assert read("2026-01-31", Moment()) is None


@pytest.mark.parametrize("connection", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("amount", "number"),
    [
        *((7, 7), (7.5, 7.5), (-1, -1), ("12", 12), (" 12.50 ", 12.5), ("5.", 5), (".5", 0.5)),
        *((None, None), ("", None), (".", None), ("12,50", None), ("1.2.3", None), ("-5", None)),
        *((b"12", None), ("1e3", None), ("12 EUR", None)),
    ],
)
def test_amounts_of_sqlite(connection: sa.Connection, amount: object, number: object) -> None:
    found = connection.scalar(sa.select(_as_number(stored(amount, sa.Numeric(asdecimal=False)))))

    assert found == number


@pytest.mark.parametrize(
    ("amount", "units"),
    [
        *((0, 0), ("0.01", 1), ("12.344", 1_234), ("12.346", 1_235), ("-0.01", None)),
        (LARGEST_PRICE // 100, LARGEST_PRICE),
        (LARGEST_PRICE // 100 + 128, None),
        (None, None),
    ],
)
def test_money_is_in_units(
    connection: sa.Connection, columns: HostColumns, amount: object, units: int | None
) -> None:
    read = columns.read(Holds.MONEY, column_of(connection, amount, sa.Numeric()))
    assert read.is_odd is not None
    [(found, is_odd)] = connection.execute(sa.select(read.column, read.is_odd))

    assert (found, bool(is_odd)) == (units, amount is not None and units is None)


@pytest.mark.parametrize("connection", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("given", "found", "is_odd"),
    [(1, 1, 0), (0, 0, 0), (None, 0, 0), (2, 0, 1), (-1, 0, 1), ("yes", 0, 1)],
)
def test_flags_of_sqlite(
    connection: sa.Connection, columns: HostColumns, given: object, found: int, is_odd: int
) -> None:
    read = columns.read(Holds.YES_OR_NO, stored(given, sa.Boolean()))
    assert read.is_odd is not None
    [row] = connection.execute(
        sa.select(sa.type_coerce(read.column, sa.Integer), sa.func.coalesce(read.is_odd, 0))
    )

    assert tuple(map(int, row)) == (found, is_odd)


@pytest.mark.parametrize("connection", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("kind", "good", "odd"),
    [
        (IdKind.INT, [7, -1, None], ["7", 7.5, b"7", ""]),
        (
            IdKind.UUID,
            ["0f" * 16, None],
            ["0F" * 16, "0f" * 15, "0f" * 17, "g" * 32, b"0f" * 16, 7],
        ),
        (IdKind.TEXT, ["vase", "", "Łódź", None], [7, b"vase"]),
    ],
)
def test_ids_of_sqlite(
    connection: sa.Connection, kind: IdKind, good: list[object], odd: list[object]
) -> None:
    columns = columns_on(connection, ids=IdKinds(user=kind, item=kind, category=kind))
    for value in (*good, *odd):
        is_odd = columns.read(Holds.ITEM_ID, stored(value)).is_odd
        assert is_odd is not None
        assert bool(connection.scalar(sa.select(is_odd))) is (value in odd), value


@pytest.mark.parametrize("kind", IdKind)
def test_ids_are_read_without_the_functions_of_the_library(kind: IdKind) -> None:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        columns = columns_on(
            connection, ids=IdKinds(user=kind, item=kind, category=kind), has_functions=False
        )
        is_odd = columns.read(Holds.ITEM_ID, stored(b"\xff")).is_odd
        assert is_odd is not None
        assert connection.scalar(sa.select(is_odd)) == 1
    engine.dispose()


@pytest.mark.parametrize("connection", ["sqlite"], indirect=True)
def test_texts_that_are_no_utf_8_are_odd_ids(connection: sa.Connection) -> None:
    text = sa.cast(stored(b"\xff"), sa.Text)
    assert HostColumns(TEXTS, PriceScale(), "sqlite", "UTC").has_functions
    for has_functions in (True, False):
        is_odd = (
            columns_on(connection, has_functions=has_functions).read(Holds.ITEM_ID, text).is_odd
        )
        assert is_odd is not None
        assert connection.scalar(sa.select(is_odd)) == has_functions


@pytest.mark.parametrize(
    ("moment", "is_one"),
    [
        (FIRST_MOMENT, True),
        (FIRST_MOMENT - timedelta(microseconds=1), False),
        (LAST_MOMENT, True),
        (LAST_MOMENT + timedelta(microseconds=1), False),
    ],
)
def test_the_calendar_has_bounds(connection: sa.Connection, moment: datetime, is_one: bool) -> None:
    found = connection.scalar(sa.select(in_calendar(sa.literal(moment, Moment))))

    assert found == (moment if is_one else None)


def test_the_calendar_has_all_moments_that_python_has_in_every_zone() -> None:
    most = timedelta(hours=23, minutes=59)
    for moment, offset in ((FIRST_MOMENT, -most), (LAST_MOMENT, most)):
        moment.astimezone(timezone(offset))
        with pytest.raises(OverflowError):
            (moment + offset / 720).astimezone(timezone(offset))


@pytest.mark.parametrize("connection", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("value", "of", "found"),
    [
        ("a" * LONGEST_VALUE, sa.Text(), "a" * LONGEST_VALUE),
        ("a" * (LONGEST_VALUE + 1), sa.Text(), None),
        ("é" * (LONGEST_VALUE // 2), sa.Text(), "é" * (LONGEST_VALUE // 2)),
        ("é" * LONGEST_VALUE, sa.Text(), None),
        ("NaN", sa.Text(), "NaN"),
        ("NaN", sa.Numeric(), None),
        ("Infinity", sa.Double(), None),
        ("-Infinity", sa.Double(), None),
        ("1.5", sa.Numeric(), 1.5),
        ("true", sa.Boolean(), True),
    ],
)
def test_json_of_postgres(
    connection: sa.Connection, columns: HostColumns, value: str, of: Any, found: object
) -> None:
    as_json = columns.as_json(on_postgres(value, of))

    assert connection.scalar(sa.select(sa.type_coerce(as_json, sa.JSON))) == found


def test_words_are_texts_that_python_can_read(
    connection: sa.Connection, columns: HostColumns
) -> None:
    given = column_of(connection, "Łódź", sa.Text())
    read = columns.read(Holds.WORDS, given)

    assert read.is_odd is None
    assert connection.scalar(sa.select(read.column)) == "Łódź"
    if connection.dialect.name == "sqlite":
        odd = columns.read(Holds.WORDS, sa.cast(stored(b"a\xff"), sa.Text)).column
        assert connection.scalar(sa.select(odd)) == "a\N{REPLACEMENT CHARACTER}"


def test_public_columns_are_one_object_of_json(
    connection: sa.Connection, columns: HostColumns
) -> None:
    given = {
        "a": column_of(connection, "vase", sa.Text()),
        "b": column_of(connection, 7, sa.Integer()),
        "c": column_of(connection, None, sa.Text()),
    }
    text, nothing = (
        str(connection.scalar(sa.select(columns.public(some)))) for some in (given, {})
    )

    assert json.loads(text) == {"a": "vase", "b": 7, "c": None}
    assert json.loads(nothing) == {}


@pytest.mark.parametrize("connection", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("value", "of", "found"),
    [
        (1, sa.Boolean(), "true"),
        (1, sa.Integer(), "1"),
        ('{"a": 1}', sa.JSON(), '{"a": 1}'),
        ('{"a": 1}', sa.Text(), r'"{\"a\": 1}"'),
        ("0f" * 16, sa.Uuid(), '"0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f"'),
        ("0f" * 16, sa.Text(), f'"{"0f" * 16}"'),
        (None, sa.Text(), None),
        (b"a", sa.Text(), None),
    ],
)
def test_json_of_sqlite(
    connection: sa.Connection, columns: HostColumns, value: object, of: Any, found: str | None
) -> None:
    text = connection.scalar(sa.select(columns.as_json(stored(value, of))))

    assert (None if text is None else json.loads(text)) == (
        None if found is None else json.loads(found)
    )


@pytest.mark.parametrize("connection", ["postgresql"], indirect=True)
def test_days_and_local_times_of_postgres(connection: sa.Connection) -> None:
    columns = columns_on(connection, time_zone="Asia/Tokyo")
    start = datetime(2026, 1, 30, 15, tzinfo=UTC)
    for of, text in (
        (sa.Date(), "2026-01-31"),
        (sa.DateTime(), "2026-01-31 00:00"),
        (sa.DateTime(timezone=True), "2026-01-31 00:00+09"),
    ):
        assert connection.scalar(sa.select(columns.moment(on_postgres(text, of)))) == start
    last = LAST_MOMENT.date()
    for day, is_one in ((last, True), (last + timedelta(days=1), False)):
        found = columns.moment(on_postgres(day, sa.Date()))
        assert connection.scalar(sa.select(found.is_not(None))) is is_one


@pytest.mark.parametrize(
    ("holds", "found"),
    [(Holds.YES_OR_NO, True), *((one, None) for one in Holds if one is not Holds.YES_OR_NO)],
)
def test_a_column_that_is_absent(
    columns: HostColumns, connection: sa.Connection, holds: Holds, found: object
) -> None:
    read = columns.read(holds, None)

    assert connection.scalar(sa.select(read.column)) == found
    assert read.is_odd is None


class Decorated(sa.types.TypeDecorator[Any]):
    """A type of a host, which may be wrapped twice."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, of: sa.types.TypeEngine[Any]) -> None:
        super().__init__()
        self.impl_instance = of


class TestTypes:
    @pytest.mark.parametrize(
        ("of", "number", "day", "without_zone"),
        [
            (sa.Integer(), True, False, False),
            (sa.Numeric(), True, False, False),
            (sa.Float(), True, False, False),
            (sa.Text(), False, False, False),
            (sa.Date(), False, True, False),
            (sa.DateTime(), False, False, True),
            (sa.DateTime(timezone=True), False, False, False),
        ],
    )
    def test_they_mean_the_same_when_a_host_wraps_them(
        self, of: sa.types.TypeEngine[Any], number: bool, day: bool, without_zone: bool
    ) -> None:
        for one in (of, Decorated(of), Decorated(Decorated(of))):
            assert (is_number(one), is_day(one), is_without_zone(one)) == (
                number,
                day,
                without_zone,
            )
            assert undecorated(one) is of

    def test_that_of_the_library_is_no_number(self) -> None:
        moment = Moment()
        assert undecorated(moment) is moment
        assert not is_number(moment)

    @pytest.mark.parametrize("holds", [Holds.ITEM_ID, Holds.MOMENT, Holds.MONEY, Holds.YES_OR_NO])
    def test_those_of_sqlite_can_be_used_when_they_are_wrapped(self, holds: Holds) -> None:
        expected = _Expected("the select of items", "one", holds, TEXTS)
        fits: dict[Holds, sa.types.TypeEngine[Any]] = {
            Holds.ITEM_ID: sa.String(),
            Holds.MOMENT: sa.Date(),
            Holds.MONEY: sa.Numeric(),
            Holds.YES_OR_NO: sa.Boolean(),
        }
        for of in (fits[holds], Decorated(fits[holds])):
            assert expected.is_usable(of)
        assert not expected.is_usable(sa.LargeBinary())
        assert not expected.is_usable(Decorated(sa.LargeBinary()))

    def test_that_of_the_library_can_be_used_for_moments_alone(self) -> None:
        usable = [
            holds
            for holds in Holds
            if _Expected("", "", holds, TEXTS).kind in (Holds.MOMENT, Holds.MONEY, Holds.COUNT)
            and _Expected("", "", holds, TEXTS).is_usable(Moment())
        ]

        assert usable == [Holds.MOMENT]

    @pytest.mark.parametrize(
        ("dialect", "of", "collation"),
        [
            ("sqlite", sa.Text(), " COLLATE "),
            ("sqlite", sa.Integer(), ""),
            ("postgresql", sa.Text(), ""),
        ],
    )
    def test_texts_of_sqlite_are_compared_byte_by_byte(
        self, dialect: str, of: sa.types.TypeEngine[Any], collation: str
    ) -> None:
        assert (" COLLATE " in str(exact(sa.column("id", of), dialect))) is bool(collation)


NUMBERS_AS_IDS = IdKinds(user=IdKind.INT, item=IdKind.INT, category=IdKind.INT)
IN_POSTGRES = "(the settings say that those are of the kind int); it should be one of "


@pytest.mark.parametrize(
    ("ids", "holds", "cast", "is_postgres", "end"),
    [
        (NUMBERS_AS_IDS, Holds.ITEM_ID, None, False, f" {IN_POSTGRES}Integer"),
        (NUMBERS_AS_IDS, Holds.ITEM_ID, "c", False, f" {IN_POSTGRES}Integer, which c makes of it"),
        (NUMBERS_AS_IDS, Holds.ITEM_ID, None, True, "bigint, smallint, integer"),
        (
            NUMBERS_AS_IDS,
            Holds.ITEM_ID,
            "c",
            True,
            ", which c makes of it, where it takes all values",
        ),
        (TEXTS, Holds.ITEM_ID, "c", True, "text, varchar, which c makes of it"),
        (TEXTS, Holds.COUNT, None, False, f" {Holds.COUNT.value}; it should be one of Integer"),
        (TEXTS, Holds.MOMENT, None, False, " one of DateTime, Date, Integer, Numeric, Float"),
    ],
)
def test_an_error_names_the_types_that_can_be_used(
    ids: IdKinds, holds: Holds, cast: str | None, is_postgres: bool, end: str
) -> None:
    error = _Expected("the select", "one", holds, ids).error("odd", cast, is_postgres=is_postgres)

    assert str(error).startswith(
        f"the select: one is of the type odd, which does not hold {holds.value}"
    )
    assert str(error).endswith(end)


@pytest.mark.parametrize(
    ("of", "numbers"),
    [
        (sa.DateTime(timezone=True), {1184}),
        (sa.DateTime(), {1114}),
        (sa.Date(), {1082}),
        (sa.Text(), {1184}),
        (Moment(), {1184}),
        (sa.Numeric(), {20, 21, 23, 700, 701, 1700}),
    ],
)
def test_a_type_for_moments_is_that_of_the_database(
    of: sa.types.TypeEngine[Any], numbers: set[int]
) -> None:
    assert {
        one for one in (20, 21, 23, 700, 701, 1700, 1082, 1114, 1184) if _means(of, one)
    } == numbers


@pytest.mark.parametrize(
    ("of", "number", "advice"),
    [
        (
            sa.DateTime(),
            1184,
            "one is a timestamptz in the database, but not to SQLAlchemy: give it the type"
            " DateTime(timezone=True)",
        ),
        (sa.Date(), 1114, "give it the type DateTime(timezone=False)"),
        (sa.DateTime(), 1082, "give it the type Date"),
        (sa.DateTime(), 20, "give it the type Numeric"),
    ],
)
def test_another_type_for_moments_is_refused(
    of: sa.types.TypeEngine[Any], number: int, advice: str
) -> None:
    with pytest.raises(SchemaError) as raised:
        _Expected("the select", "one", Holds.MOMENT, TEXTS).check_moment(number, of)
    _Expected("the select", "one", Holds.MONEY, TEXTS).check_moment(number, of)

    assert str(raised.value).endswith(advice)
