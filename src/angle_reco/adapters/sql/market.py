"""The marketplace as the queries see it: the host's tables or the reference schema, alike.

Whatever the host's columns are, here ids have the types of their kinds, moments are aware
and amounts are whole units. Rows without a key are left out, and so is what happened at no
moment of the calendar.
"""

from datetime import UTC, datetime
from typing import Any

import attrs
import sqlalchemy as sa

from angle_reco.adapters.sql.column_types import Moment, id_type
from angle_reco.adapters.sql.host import LABELS, Holds, HostSchema, Query, SignInColumns
from angle_reco.adapters.sql.schema import Tables
from angle_reco.domain import LARGEST_PRICE, IdKind, PriceScale, PublicationStatus

PUBLISHED = PublicationStatus.PUBLISHED.value

FIRST_MOMENT = datetime(1, 1, 2, tzinfo=UTC)
LAST_MOMENT = datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC)
"""Between these lies what Python can tell in every time zone; databases know more."""


@attrs.frozen(kw_only=True, eq=False)
class SignInSource:
    """Where sign-ins are counted: the side table, or columns of the host's users.

    *last_at* is the moment as queries compare it, *stored_last* as the column holds it.
    """

    table: sa.TableClause
    user_id: sa.ColumnElement[Any]
    last_at: sa.ColumnElement[Any]
    stored_last: sa.ColumnElement[Any]
    count: sa.ColumnElement[Any]
    is_side_table: bool

    def to_store(self, at: datetime, dialect: str) -> sa.ColumnElement[Any]:
        """Return a moment as the column of the last one holds it."""
        is_text = dialect == "sqlite" and isinstance(
            undecorated(self.stored_last.type), sa.DateTime
        )
        if is_text:
            return sa.bindparam(None, at.astimezone(UTC).replace(tzinfo=None), sa.DateTime)
        if not is_without_zone(self.stored_last.type):
            return sa.bindparam(None, at, Moment)
        return sa.func.timezone("UTC", sa.bindparam(None, at, Moment))


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Market:
    """Users, items, bids and watches, each with all the columns that queries ask for."""

    users: sa.FromClause
    items: sa.FromClause
    bids: sa.FromClause
    watches: sa.FromClause
    sign_ins: SignInSource

    @classmethod
    def of_reference(cls, tables: Tables) -> "Market":
        """Return the marketplace that the reference schema holds."""
        users, items = tables.users, tables.items.c
        return cls(
            users=users,
            items=sa.select(
                items.item_id,
                items.category_id,
                items.seller_id,
                items.title,
                sa.cast(sa.null(), sa.BigInteger).label("price"),
                items.starting_price,
                (items.publication_status == PUBLISHED).label("is_published"),
                items.auction_status.label("status"),
                items.starts_at,
                items.ends_at,
                items.listed_at,
            ).subquery("listed"),
            bids=tables.bids,
            watches=tables.watches,
            sign_ins=SignInSource(
                table=users,
                user_id=users.c.user_id,
                last_at=users.c.last_sign_in_at,
                stored_last=users.c.last_sign_in_at,
                count=users.c.sign_in_count,
                is_side_table=False,
            ),
        )

    @classmethod
    def of_host(
        cls, host: HostSchema, tables: Tables, prices: PriceScale, dialect: str
    ) -> "Market":
        """Return the marketplace that the host's own tables hold."""
        read = _Reading(tables, prices, dialect)
        items = read.columns("items", host.items)
        if host.categories is not None:
            known = read.columns("categories", host.categories).subquery("known")
            mine = items.selected_columns["category_id"]
            is_known = sa.exists().where(known.c.category_id == mine)
            columns = [
                sa.case((is_known, mine)).label(one.key) if one.key == "category_id" else one
                for one in items.selected_columns
            ]
            items = items.with_only_columns(*columns)
        return cls(
            users=read.columns("users", host.users).subquery("people"),
            items=items.subquery("listed"),
            bids=read.columns("bids", host.bids).subquery("placed"),
            watches=read.first_watches(host.watches).subquery("watched"),
            sign_ins=read.sign_ins(host.sign_ins),
        )


@attrs.frozen
class _Reading:
    """How the host's columns become those that the queries know."""

    tables: Tables
    prices: PriceScale
    dialect: str

    def columns(self, name: str, query: Query | None) -> sa.Select[Any]:
        """Return a select with every label of *name*, null where the host has none."""
        source = None if query is None else query.subquery(f"host_{name}")
        chosen, conditions = [], []
        for label, spec in LABELS[name].items():
            given = None if source is None else source.c.get(label)
            column = self._column(spec.holds, given)
            chosen.append(column.label(label))
            if source is not None and spec.is_required:
                conditions.append(column.is_not(None))
                if spec.holds is Holds.MOMENT:
                    conditions.append(column.between(FIRST_MOMENT, LAST_MOMENT))
        return sa.select(*chosen).where(*conditions if source is not None else [sa.false()])

    def first_watches(self, query: Query | None) -> sa.Select[Any]:
        """Return the watches, of several of one user and item the earliest."""
        watches = self.columns("watches", query).subquery("every_watch").c
        first = sa.func.min(watches.watched_at, type_=Moment).label("watched_at")
        return sa.select(watches.user_id, watches.item_id, first).group_by(
            watches.user_id, watches.item_id
        )

    def sign_ins(self, columns: SignInColumns | None) -> SignInSource:
        """Return where sign-ins are counted."""
        if columns is None:
            side = self.tables.sign_ins
            is_text = self.tables.ids.user is IdKind.TEXT and self.dialect == "postgresql"
            return SignInSource(
                table=side,
                # Said again, so that it is the one to compare with the host's by.
                user_id=side.c.user_id.collate("C") if is_text else side.c.user_id,
                last_at=side.c.last_sign_in_at,
                stored_last=side.c.last_sign_in_at,
                count=side.c.sign_in_count,
                is_side_table=True,
            )
        last_at, count = columns.last_sign_in_at, columns.sign_in_count
        known = columns.table.c
        # The two may not be there yet, for `migrate up` to add.
        of_host = sa.table(
            columns.table.name,
            sa.column(columns.user_id, id_type(self.tables.ids.user)),
            sa.column(last_at, known[last_at].type if last_at in known else Moment()),
            sa.column(count, sa.BigInteger),
            schema=columns.table.schema,
        )
        return SignInSource(
            table=of_host,
            user_id=exact(of_host.c[columns.user_id], self.dialect),
            last_at=self._moment(of_host.c[last_at]),
            stored_last=of_host.c[last_at],
            count=of_host.c[count],
            is_side_table=False,
        )

    def _column(self, holds: Holds, given: Any | None) -> sa.ColumnElement[Any]:
        kind = holds.kind(self.tables.ids)
        if kind is not None:
            # Without our collation, in which an index of the host's could not be used.
            of_kind = sa.Text() if kind is IdKind.TEXT else id_type(kind)
            if given is None:
                return sa.cast(sa.null(), of_kind)
            return exact(sa.type_coerce(given, of_kind), self.dialect)
        match holds:
            case Holds.MOMENT:
                return sa.cast(sa.null(), Moment) if given is None else self._moment(given)
            case Holds.MONEY:
                absent = sa.cast(sa.null(), sa.BigInteger)
                return absent if given is None else self._units(given)
            case Holds.YES_OR_NO:
                return sa.true() if given is None else sa.func.coalesce(given, sa.false())
            case _:
                return sa.cast(sa.null() if given is None else given, sa.Text)

    def _moment(self, given: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """Return a moment that compares with aware ones; without a time zone it is in UTC."""
        of = undecorated(given.type)
        if self.dialect == "sqlite":
            is_text = isinstance(of, sa.Date | sa.DateTime | sa.String)
            return _micros_of_text(given) if is_text else sa.type_coerce(given, Moment)
        if is_day(of):
            # There are days that no timestamp can tell.
            day = sa.case((given <= sa.literal(LAST_MOMENT.date(), sa.Date), given))
            given = sa.cast(day, sa.TIMESTAMP)
        if is_day(of) or is_without_zone(of):
            return sa.func.timezone("UTC", given, type_=Moment)
        return sa.type_coerce(given, Moment)

    def _units(self, amount: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """Return an amount in units, rounded where it has more digits; null if it is no price."""
        number = sa.cast(amount, sa.Numeric)
        is_price = number.between(0, LARGEST_PRICE // self.prices.units)
        units = sa.cast(sa.func.round(number * self.prices.units), sa.BigInteger)
        return sa.case((is_price, units))


def _micros_of_text(given: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return what SQLite keeps of a host's moment, a text such as 2026-01-31 12:00:00.5."""
    text = sa.type_coerce(given, sa.Text)
    rest = sa.func.substr(text, 20)
    # Without the fraction, which strftime would round, and with the time zone behind it.
    whole = sa.func.substr(text, 1, 19).op("||")(sa.func.ltrim(rest, ".0123456789"))
    seconds = sa.cast(sa.func.strftime("%s", whole), sa.BigInteger)
    # As a number, which ends where digits do.
    fraction = sa.cast(sa.literal("0").op("||")(rest), sa.Float)
    micros = sa.cast(sa.func.round(fraction * 1_000_000), sa.BigInteger)
    return sa.type_coerce(seconds * 1_000_000 + micros, Moment)


def undecorated(given: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    """Return what a type of the host's own making is made of."""
    if isinstance(given, sa.types.TypeDecorator) and not isinstance(given, Moment):
        return undecorated(given.impl_instance)
    return given


def is_day(given: sa.types.TypeEngine[Any]) -> bool:
    """Return whether a type says that it holds days, each of which stands for its start."""
    return isinstance(undecorated(given), sa.Date)


def is_without_zone(given: sa.types.TypeEngine[Any]) -> bool:
    """Return whether a type says that its moments have no time zone."""
    of = undecorated(given)
    return isinstance(of, sa.DateTime) and not of.timezone


def exact(ids: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[Any]:
    """Return a host's ids so that only the same are equal, whatever their column ignores.

    SQLite's usual indexes serve them. On PostgreSQL none might, so that the checks refuse
    columns that ignore something.
    """
    is_text = isinstance(undecorated(ids.type), sa.String)
    return ids.collate("BINARY") if is_text and dialect == "sqlite" else ids


def in_calendar(moment: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return a moment, or null for one that Python cannot tell, such as infinity."""
    is_one = moment.between(FIRST_MOMENT, LAST_MOMENT)
    return sa.case((is_one, moment))
