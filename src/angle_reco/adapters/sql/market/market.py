"""The marketplace as queries see it, the same for the host's tables and the reference schema.

Whatever the types of the host's columns, ids have the types of their kinds, moments are aware
and amounts are whole units. Rows without a key are left out, and so are bids and watches
without a moment of the calendar. An item with an unreadable value is not published.
"""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import sqlalchemy as sa

from angle_reco.adapters.sql.core.types import Moment, id_type
from angle_reco.adapters.sql.market.host_columns import (
    FIRST_MOMENT,
    LAST_MOMENT,
    HostColumns,
    exact,
    is_without_zone,
    undecorated,
)
from angle_reco.adapters.sql.schema.host_schema import (
    LABELS,
    Holds,
    HostSchema,
    Query,
    SignInColumns,
)
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.ids import IdKind
from angle_reco.domain.publication import PublicationStatus

PUBLISHED = PublicationStatus.PUBLISHED.value
PUBLIC_TEXT = "public_text"
"""The column of items with the host's public columns, as JSON; there only if it names some."""


@attrs.frozen(kw_only=True, eq=False)
class SignInSource:
    """Where sign-ins are counted: the side table, or columns of the host's users table.

    *last_at* is the moment as queries compare it, *stored_last* as the column stores it, in
    *time_zone* if the column has no time zone.
    """

    table: sa.TableClause
    user_id: sa.ColumnElement[Any]
    last_at: sa.ColumnElement[Any]
    stored_last: sa.ColumnElement[Any]
    count: sa.ColumnElement[Any]
    is_side_table: bool
    time_zone: str = "UTC"

    def is_later_than(self, at: datetime, dialect: str) -> sa.ColumnElement[bool]:
        """Return the condition that the last sign-in is later than *at*.

        It works on every connection of the host.
        """
        if self._is_text(dialect):
            # A host's connection lacks the library's functions, but texts of one form sort
            # like their moments.
            return self.stored_last > self.to_store(at, dialect)
        return self.last_at > sa.bindparam(None, at, Moment)

    def to_store(self, at: datetime, dialect: str) -> sa.ColumnElement[Any]:
        """Return a moment as the column of the last sign-in stores it."""
        if self._is_text(dialect):
            local = at.astimezone(ZoneInfo(self.time_zone)).replace(tzinfo=None)
            return sa.bindparam(None, local, sa.DateTime)
        if not is_without_zone(self.stored_last.type):
            return sa.bindparam(None, at, Moment)
        return sa.func.timezone(self.time_zone, sa.bindparam(None, at, Moment))

    def _is_text(self, dialect: str) -> bool:
        return dialect == "sqlite" and isinstance(undecorated(self.stored_last.type), sa.DateTime)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Market:
    """Users, items, bids and watches, each with all columns that queries use.

    *counted* holds the bids except those of sellers on their own items.
    """

    users: sa.FromClause
    user_ids: sa.FromClause
    items: sa.FromClause
    bids: sa.FromClause
    counted: sa.FromClause
    watches: sa.FromClause
    sign_ins: SignInSource

    @property
    def public_text(self) -> list[sa.ColumnElement[Any]]:
        """Return the column with the public columns of items, none if the host names none."""
        return [self.items.c[PUBLIC_TEXT]] if PUBLIC_TEXT in self.items.c else []

    @classmethod
    def of_reference(cls, tables: Tables, dialect: str) -> "Market":
        """Return the marketplace in the reference schema."""
        users, items = tables.users, tables.items.c
        listed: dict[str, sa.ColumnElement[Any]] = {
            **items,
            "price": sa.cast(sa.null(), sa.BigInteger),
            "is_published": items.publication_status == PUBLISHED,
            "status": items.auction_status,
        }
        return cls(
            users=users,
            user_ids=users,
            counted=_counted(tables.bids, tables.items, dialect),
            items=sa.select(*(listed[one].label(one) for one in LABELS["items"])).subquery(
                "listed"
            ),
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
    def of_host(cls, host: HostSchema, tables: Tables, columns: HostColumns) -> "Market":
        """Return the marketplace in the host's tables."""
        read = _Reading(tables, columns)
        items = read.columns("items", host.items, public=host.public)
        if host.categories is not None:
            known = read.columns("categories", host.categories).subquery("known")
            mine = items.selected_columns["category_id"]
            is_known = sa.exists().where(known.c.category_id == mine)
            chosen = [
                sa.case((is_known, mine)).label(one.key) if one.key == "category_id" else one
                for one in items.selected_columns
            ]
            items = items.with_only_columns(*chosen)
        listed, placed = (
            items.subquery("listed"),
            read.columns("bids", host.bids).subquery("placed"),
        )
        names_sellers = "seller_id" in host.items.selected_columns
        return cls(
            users=read.columns("users", host.users).subquery("people"),
            # Part of statements on connections of the host.
            user_ids=_Reading(tables, attrs.evolve(columns, has_functions=False))
            .columns("users", host.users, only="user_id")
            .subquery("known_people"),
            items=listed,
            bids=placed,
            # If the host names no sellers, no statement looks for one.
            counted=_counted(placed, listed, columns.dialect) if names_sellers else placed,
            watches=read.first_watches(host.watches).subquery("watched"),
            sign_ins=read.sign_ins(host.sign_ins),
        )


@attrs.frozen
class _Reading:
    """Converts the host's columns to those that queries use."""

    tables: Tables
    host: HostColumns

    def columns(
        self,
        name: str,
        query: Query | None,
        *,
        only: str | None = None,
        public: tuple[str, ...] = (),
    ) -> sa.Select[Any]:
        """Return a select with every label of *name*; the host may lack some (`HostColumns.read`).

        The columns that *public* names are one more, PUBLIC_TEXT.

        An unreadable value leaves its row out if it is required. Any other is null, and a flag
        false; an item with one is not published.
        """
        labels = LABELS[name] if only is None else {only: LABELS[name][only]}
        if query is None:
            absent = [
                self.host.read(spec.holds, None).column.label(label)
                for label, spec in labels.items()
            ]
            return sa.select(*absent).where(sa.false())
        source = query.subquery(f"host_{name}")
        chosen: dict[str, sa.ColumnElement[Any]] = {}
        conditions, odd = list[sa.ColumnElement[bool]](), list[sa.ColumnElement[bool]]()
        for label, spec in labels.items():
            read = self.host.read(spec.holds, source.c.get(label))
            chosen[label] = read.column
            if spec.is_required and spec.holds is Holds.MOMENT:
                # Null and unreadable moments are not between them.
                conditions.append(read.column.between(FIRST_MOMENT, LAST_MOMENT))
            elif spec.is_required:
                conditions.append(read.column.is_not(None))
                conditions += [] if read.is_odd is None else [~read.is_odd]
            elif read.is_odd is not None:
                odd.append(read.is_odd)
                if spec.holds.kind(self.tables.ids) is not None:
                    chosen[label] = sa.case((~read.is_odd, read.column))
        if name == "items" and odd:
            chosen["is_published"] = sa.and_(chosen["is_published"], ~sa.or_(*odd))
        if public:
            chosen[PUBLIC_TEXT] = self.host.public({label: source.c[label] for label in public})
        return sa.select(*(one.label(label) for label, one in chosen.items())).where(*conditions)

    def first_watches(self, query: Query | None) -> sa.Select[Any]:
        """Return the earliest watch of each user and item."""
        watches = self.columns("watches", query).subquery("every_watch").c
        first = sa.func.min(watches.watched_at, type_=Moment).label("watched_at")
        return sa.select(watches.user_id, watches.item_id, first).group_by(
            watches.user_id, watches.item_id
        )

    def sign_ins(self, columns: SignInColumns | None) -> SignInSource:
        """Return the source of sign-ins."""
        if columns is None:
            side = self.tables.sign_ins
            is_text = self.tables.ids.user is IdKind.TEXT and self.host.dialect == "postgresql"
            return SignInSource(
                table=side,
                # Explicit, so that comparisons with the host's ids use this collation.
                user_id=side.c.user_id.collate("C") if is_text else side.c.user_id,
                last_at=side.c.last_sign_in_at,
                stored_last=side.c.last_sign_in_at,
                count=side.c.sign_in_count,
                is_side_table=True,
            )
        last_at, count = columns.last_sign_in_at, columns.sign_in_count
        known = columns.table.c
        # Both columns may be missing until `migrate up` adds them.
        of_host = sa.table(
            columns.table.name,
            sa.column(columns.user_id, id_type(self.tables.ids.user)),
            sa.column(last_at, known[last_at].type if last_at in known else Moment()),
            sa.column(count, sa.BigInteger),
            schema=columns.table.schema,
        )
        return SignInSource(
            table=of_host,
            user_id=exact(of_host.c[columns.user_id], self.host.dialect),
            last_at=self.host.moment(of_host.c[last_at]),
            stored_last=of_host.c[last_at],
            count=of_host.c[count],
            is_side_table=False,
            time_zone=self.host.time_zone,
        )


def is_own(bids: sa.FromClause, items: sa.FromClause, dialect: str) -> sa.ColumnElement[bool]:
    """Return the condition that the item's seller placed a bid; null without a seller."""
    seller: sa.ColumnElement[Any] = items.c.seller_id
    if dialect == "postgresql" and isinstance(seller.type, sa.String):
        # Columns of two tables of the host may have different collations.
        seller = seller.collate("C")
    return seller == bids.c.user_id


def _counted(bids: sa.FromClause, items: sa.FromClause, dialect: str) -> sa.FromClause:
    own = sa.exists().where(items.c.item_id == bids.c.item_id, is_own(bids, items, dialect))
    return sa.select(bids).where(~own.correlate(bids)).subquery("counted")
