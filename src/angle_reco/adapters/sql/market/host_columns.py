"""How the columns of the host's selects are read: ids, moments and amounts.

A row with an unreadable value is odd: the row is left out, its item is not open, or the value
counts as unknown.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
import sqlalchemy as sa

from angle_reco.adapters.sql.core.sqlite_functions import (
    AS_JSON,
    IS_VALID,
    MOMENT,
    WITHOUT_OFFSET,
    WORDS,
)
from angle_reco.adapters.sql.core.types import Moment, id_type
from angle_reco.adapters.sql.schema.host_schema import Holds
from angle_reco.domain.ids import IdKind, IdKinds
from angle_reco.domain.prices import LARGEST_PRICE, PriceScale
from angle_reco.domain.public_columns import LONGEST_VALUE

FIRST_MOMENT = datetime(1, 1, 2, tzinfo=UTC)
LAST_MOMENT = datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC)
"""The range of moments that Python can represent in every time zone; databases allow more."""

_EPOCHS = ((10**11, 1_000_000), (10**14, 1_000), (10**17, 1))
"""Pairs of a bound and a unit: numbers nearer to 0 count so many microseconds since 1970."""


@attrs.frozen(eq=False)
class ReadColumn:
    """A column as it is read, and the condition that a value cannot be read.

    *is_odd* is None if the type of the column rules that out. An unreadable moment or amount
    is null, an unreadable flag false; an unreadable id is returned unchanged.
    """

    column: sa.ColumnElement[Any]
    is_odd: sa.ColumnElement[bool] | None = None


@attrs.frozen
class HostColumns:
    """Reads the host's columns on a database; naive moments are in *time_zone*.

    Without *has_functions* the ids are read without the library's SQLite functions, which
    connections of the host lack: then an id that is no valid text is not odd.
    """

    ids: IdKinds
    prices: PriceScale
    dialect: str
    time_zone: str
    has_functions: bool = True

    def read(self, holds: Holds, given: Any | None) -> ReadColumn:
        """Return how a labelled column is read.

        Without a column (*given* is None), a flag is true and everything else null.
        """
        kind = holds.kind(self.ids)
        if given is None:
            return ReadColumn(self._absent(holds, kind))
        if kind is not None:
            return self._id(kind, given)
        match holds:
            case Holds.MOMENT:
                moment = self.moment(given)
                may_be_odd = self.dialect == "sqlite" or is_number(given.type)
                return ReadColumn(moment, _is_lost(given, moment) if may_be_odd else None)
            case Holds.MONEY:
                units = self._units(given)
                return ReadColumn(units, _is_lost(given, units))
            case Holds.YES_OR_NO:
                return self._yes_or_no(given)
            case _ if self.dialect == "sqlite":
                return ReadColumn(valid_text(given))
            case _:
                return ReadColumn(sa.cast(given, sa.Text))

    def public(self, columns: Mapping[str, sa.ColumnElement[Any]]) -> sa.ColumnElement[Any]:
        """Return public columns by name as the text of one JSON object.

        A value that JSON cannot hold, or that is too long, is null there.
        """
        written = {name: self.as_json(column) for name, column in columns.items()}
        if self.dialect != "sqlite":
            pairs = [part for name, value in written.items() for part in (_quoted(name), value)]
            return sa.cast(sa.func.json_build_object(*pairs), sa.Text)
        # Not json_object: it is an option of SQLite.
        text: sa.ColumnElement[Any] = sa.literal("{", sa.Text)
        for place, (name, value) in enumerate(written.items()):
            start = f'{", " if place else ""}"{name}": '
            text = text.op("||")(sa.literal(start, sa.Text)).op("||")(
                sa.func.coalesce(value, "null")
            )
        return sa.type_coerce(text.op("||")(sa.literal("}", sa.Text)), sa.Text)

    def as_json(self, given: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """Return a column as JSON; null for null, for what JSON cannot hold and for long values."""
        if self.dialect == "sqlite":
            kind = next((name for name, of in _JSON_KINDS if _is_of(given.type, of)), "")
            as_json = getattr(sa.func, AS_JSON)
            return sa.type_coerce(as_json(_handed_over(given), kind, type_=sa.Text), sa.Text)
        text = sa.cast(given, sa.Text)
        fits: sa.ColumnElement[bool] = sa.func.octet_length(text) <= LONGEST_VALUE
        if is_number(given.type):
            fits = sa.and_(fits, text.not_in(["NaN", "Infinity", "-Infinity"]))
        return sa.case((fits, sa.func.to_json(given)))

    def _absent(self, holds: Holds, kind: IdKind | None) -> sa.ColumnElement[Any]:
        if kind is not None:
            return sa.cast(sa.null(), _type_of(kind))
        match holds:
            case Holds.MOMENT:
                return sa.cast(sa.null(), Moment)
            case Holds.MONEY:
                return sa.cast(sa.null(), sa.BigInteger)
            case Holds.YES_OR_NO:
                return sa.true()
            case _:
                return sa.cast(sa.null(), sa.Text)

    def _id(self, kind: IdKind, given: Any) -> ReadColumn:
        ids = exact(sa.type_coerce(given, _type_of(kind)), self.dialect)
        if self.dialect != "sqlite":
            return ReadColumn(ids)
        # A column of SQLite may hold values of any type.
        raw = sa.type_coerce(given, sa.Text)
        stored = {IdKind.INT: "integer"}.get(kind, "text")
        is_other = sa.func.typeof(raw) != stored
        if kind is IdKind.UUID:
            digits = raw.op("GLOB")("*[^0-9a-f]*")
            is_other = sa.or_(is_other, sa.func.length(raw) != 32, digits)
        elif kind is IdKind.TEXT and self.has_functions:
            is_other = sa.or_(is_other, getattr(sa.func, IS_VALID)(_as_bytes(raw)) == 0)
        return ReadColumn(ids, sa.and_(raw.is_not(None), is_other))

    def moment(self, given: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """Return a column of moments that compares with aware moments."""
        if self.dialect == "sqlite":
            return self._moment_on_sqlite(given)
        if is_number(given.type):
            number = sa.cast(given, sa.Numeric)
            # Rounded, because a number such as 1e-400 is out of the range of a double.
            seconds = [
                (
                    sa.and_(given > -below, given < below),
                    sa.func.round(number * unit / 1_000_000, 6),
                )
                for below, unit in _EPOCHS
            ]
            return sa.func.to_timestamp(sa.case(*seconds), type_=Moment)
        if is_day(given.type):
            # PostgreSQL has days that are out of the range of its timestamps.
            day = sa.case((given <= sa.literal(LAST_MOMENT.date(), sa.Date), given))
            return sa.func.timezone(self.time_zone, sa.cast(day, sa.TIMESTAMP), type_=Moment)
        if is_without_zone(given.type):
            return sa.func.timezone(self.time_zone, given, type_=Moment)
        return sa.type_coerce(given, Moment)

    def _moment_on_sqlite(self, given: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        if isinstance(given.type, Moment):
            return sa.type_coerce(sa.case((sa.func.typeof(given) == "integer", given)), Moment)
        text = sa.type_coerce(given, sa.Text)
        read_as = getattr(sa.func, MOMENT)
        read = read_as(_handed_over(text), self.time_zone, type_=sa.BigInteger)
        if self.time_zone == "UTC":
            # SQLite is fastest at reading the form that SQLAlchemy and Django write.
            seconds, fraction, is_usual = _usual(text)
            read = sa.case((is_usual, seconds * 1_000_000 + fraction), else_=read)
        return sa.type_coerce(read, Moment)

    def number(self, amount: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """Return an amount as a number, or null if it is none."""
        return sa.cast(_as_number(amount) if self.dialect == "sqlite" else amount, sa.Numeric)

    def _units(self, amount: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """Return an amount in units, rounded if it has more digits, or null if it is no price."""
        number = self.number(amount)
        is_price = number.between(0, LARGEST_PRICE // self.prices.units)
        units = sa.cast(sa.func.round(number * self.prices.units), sa.BigInteger)
        return sa.case((is_price, units))

    def _yes_or_no(self, given: sa.ColumnElement[Any]) -> ReadColumn:
        if self.dialect != "sqlite":
            return ReadColumn(sa.func.coalesce(given, sa.false()))
        number = sa.type_coerce(given, sa.Integer)
        is_odd = sa.and_(number.is_not(None), number.not_in([0, 1]))
        return ReadColumn(sa.func.coalesce(number == 1, sa.false()), is_odd)


_JSON_KINDS = (("boolean", sa.Boolean), ("json", sa.JSON), ("uuid", sa.Uuid))
"""Types whose values SQLite stores in another form than JSON has."""


def _is_of(given: sa.types.TypeEngine[Any], kind: type[sa.types.TypeEngine[Any]]) -> bool:
    return isinstance(undecorated(given), kind)


def _quoted(name: str) -> sa.ColumnElement[Any]:
    return sa.cast(sa.literal(name, sa.Text), sa.Text)


def _type_of(kind: IdKind) -> sa.types.TypeEngine[Any]:
    # Without the library's collation, which would rule out an index of the host.
    return sa.Text() if kind is IdKind.TEXT else id_type(kind)


def _is_lost(given: Any, read: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return sa.and_(sa.type_coerce(given, sa.Text).is_not(None), read.is_(None))


def without_offset(given: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Return the condition that a value of SQLite is a moment without a time zone."""
    asked = getattr(sa.func, WITHOUT_OFFSET)(_handed_over(given), type_=sa.Integer)
    is_so: sa.ColumnElement[bool] = asked == 1
    return is_so


def _handed_over(value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return a value as an argument of the library's SQLite functions.

    Texts become bytes, because they need not be valid; blobs become null.
    """
    raw = sa.type_coerce(value, sa.LargeBinary)
    kind = sa.func.typeof(raw)
    return sa.case((kind == "text", _as_bytes(raw)), (kind != "blob", raw))


def _as_bytes(value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return a text as bytes, after a byte-order mark: databases may be in UTF-8 or UTF-16."""
    marked = sa.func.char(_BYTE_ORDER_MARK).op("||")(value)
    return sa.cast(marked, sa.LargeBinary)


_BYTE_ORDER_MARK = 0xFEFF


def valid_text(text: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return a text of SQLite with bytes that are no text replaced: Python reads no others."""
    valid: sa.ColumnElement[Any] = getattr(sa.func, WORDS)(_handed_over(text), type_=sa.Text)
    return valid


def _usual(text: sa.ColumnElement[Any]) -> tuple[Any, Any, sa.ColumnElement[bool]]:
    """Return the seconds and microseconds of a text, and the condition that it is readable.

    The form is that of 2026-01-31 12:00:00.5.
    """
    whole, rest = sa.func.substr(text, 1, 19), sa.func.substr(text, 20)
    is_fraction = sa.and_(
        rest.op("GLOB")(".[0-9]*"), sa.func.ltrim(sa.func.substr(rest, 2), "0123456789") == ""
    )
    is_usual = sa.and_(
        # SQLite reads days such as 31 February, too; adding 0 seconds changes the day. Its text
        # equals no number and no blob.
        sa.func.strftime("%Y-%m-%d %H:%M:%S", whole, "+0 seconds") == whole,
        whole > "0001",
        sa.or_(rest == "", is_fraction),
    )
    digits = sa.func.substr(sa.func.substr(rest, 2, 6).op("||")("000000"), 1, 6)
    seconds = sa.cast(sa.func.strftime("%s", whole), sa.BigInteger)
    return seconds, sa.cast(digits, sa.BigInteger), is_usual


def _as_number(amount: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return an amount of SQLite as a number, or null if it is none.

    A cast alone reads 12,50 as 12.
    """
    text = sa.func.trim(sa.type_coerce(amount, sa.Text))
    kind = sa.func.typeof(amount)
    is_number = sa.and_(
        kind == "text",
        text.op("GLOB")("*[0-9]*"),
        sa.func.trim(text, "0123456789.") == "",
        text.not_like("%.%.%"),
    )
    plain = sa.type_coerce(amount, sa.Numeric)
    return sa.case((kind.in_(["integer", "real"]), plain), (is_number, sa.cast(text, sa.Numeric)))


def undecorated(given: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    """Return the type that a TypeDecorator of the host wraps."""
    if isinstance(given, sa.types.TypeDecorator) and not isinstance(given, Moment):
        return undecorated(given.impl_instance)
    return given


def is_day(given: sa.types.TypeEngine[Any]) -> bool:
    """Return whether a type declares days, each of which stands for its start."""
    return isinstance(undecorated(given), sa.Date)


def is_number(given: sa.types.TypeEngine[Any]) -> bool:
    """Return whether a type declares numbers."""
    return isinstance(undecorated(given), sa.Integer | sa.Numeric | sa.Float)


def is_without_zone(given: sa.types.TypeEngine[Any]) -> bool:
    """Return whether a type declares moments without a time zone."""
    of = undecorated(given)
    return isinstance(of, sa.DateTime) and not of.timezone


def exact(ids: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[Any]:
    """Return a host's ids so that only identical ids are equal, whatever their collation.

    SQLite's usual indexes apply to them. On PostgreSQL an index might not, so the checks refuse
    columns with such a collation instead.
    """
    is_text = isinstance(undecorated(ids.type), sa.String)
    return ids.collate("BINARY") if is_text and dialect == "sqlite" else ids


def in_calendar(moment: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return a moment, or null for one that Python cannot represent, such as infinity."""
    is_one = moment.between(FIRST_MOMENT, LAST_MOMENT)
    return sa.case((is_one, moment))
