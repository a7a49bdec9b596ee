"""Three schemas that are not ours, and how one marketplace gets into each of them.

One names things as a Django project does, one is a set of ORM models in which bids belong
to auctions and prices are in cents, and one has every name in need of quotes.
"""

import enum
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, TypeAlias
from uuid import NAMESPACE_URL, UUID, uuid5

import attrs
import sqlalchemy as sa
from sqlalchemy import orm

from angle_reco import (
    CategoryId,
    HostSchema,
    IdKind,
    IdKinds,
    ItemId,
    Recommender,
    Settings,
    UserId,
)
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.ids import Id
from angle_reco.sql import SignInColumns
from angle_reco.testing import AuctionStatus, Bid, Item, MemoryMarketplace

Rows: TypeAlias = Sequence[tuple[sa.Table, list[dict[str, Any]]]]


@attrs.frozen(kw_only=True, eq=False)
class Foreign:
    """A host's own tables, how they are mapped, and what a marketplace looks like in them.

    *hidden* are the categories that its select leaves out, by their names. Our tables are
    in *schema*, and begin with *prefix*.
    """

    metadata: sa.MetaData
    host: HostSchema
    ids: IdKinds
    rows: Callable[[MemoryMarketplace], Rows]
    hidden: frozenset[str] = frozenset()
    schema: str | None = None
    prefix: str = "angle_reco_"

    @property
    def settings(self) -> Settings:
        """Return the settings that go with its ids."""
        # A shared machine may be slow.
        return Settings(ids=self.ids, deadline=timedelta(minutes=1), cache_enabled=False)

    def create(self, engine: sa.Engine) -> None:
        """Create the host's tables."""
        with engine.begin() as connection:
            for schema in sorted({table.schema for table in self.tables if table.schema}):
                connection.execute(sa.schema.CreateSchema(schema, if_not_exists=True))
            self.metadata.create_all(connection)

    def connect(self, url: str, **options: Any) -> Recommender:
        """Return a recommender on the tables, ours created where they are missing."""
        given: dict[str, Any] = {"settings": self.settings, "migrate": True, **options}
        return Recommender.connect(
            url, host=self.host, schema=self.schema, prefix=self.prefix, **given
        )

    def pour(self, engine: sa.Engine, market: MemoryMarketplace) -> None:
        """Put a marketplace of its ids into the tables, in place of all that was there."""
        ours = Tables.of(self.ids, schema=self.schema, prefix=self.prefix)
        with engine.begin() as connection:
            empty(connection, ours, self.tables)
            for table, rows in self.rows(market):
                if rows:
                    connection.execute(sa.insert(table), rows)
            counted = self.host.sign_ins
            for user in market.users.values() if counted is not None else ():
                assert counted is not None
                key = sa.column(counted.user_id, sa.BigInteger)
                count = sa.column(counted.sign_in_count, sa.BigInteger)
                of = sa.table(counted.table.name, key, count, schema=counted.table.schema)
                said = {counted.sign_in_count: user.sign_in_count}
                connection.execute(sa.update(of).where(key == user.user_id).values(said))

    @property
    def tables(self) -> list[sa.Table]:
        """Return the host's tables, those that others refer to first."""
        return self.metadata.sorted_tables

    def user_id(self, name: object) -> Id:
        """Return the id of the user of that name."""
        return named(self.ids.user, name)

    def item_id(self, name: object) -> Id:
        """Return the id of the item of that name."""
        return named(self.ids.item, name)

    def category_id(self, name: object) -> Id:
        """Return the id of the category of that name."""
        return named(self.ids.category, name)

    def equal(self, market: MemoryMarketplace) -> MemoryMarketplace:
        """Return a marketplace of text ids as this host has it."""
        counts = self.host.sign_ins is not None

        def category_of(item: Item) -> CategoryId | None:
            is_hidden = item.category_id is None or str(item.category_id) in self.hidden
            return None if is_hidden else CategoryId(self.category_id(item.category_id))

        def seller_of(item: Item) -> UserId | None:
            return None if item.seller_id is None else UserId(self.user_id(item.seller_id))

        translated = MemoryMarketplace(
            ids=self.ids,
            users=[
                attrs.evolve(
                    user,
                    user_id=UserId(self.user_id(user.user_id)),
                    sign_in_count=user.sign_in_count if counts else 0,
                )
                for user in market.users.values()
            ],
            items=[
                attrs.evolve(
                    item,
                    item_id=ItemId(self.item_id(item.item_id)),
                    category_id=category_of(item),
                    seller_id=seller_of(item),
                )
                for item in market.items.values()
            ],
        )
        for bids in market.bids.values():
            for bid in bids:
                item_id = ItemId(self.item_id(bid.item_id))
                moved = attrs.evolve(
                    bid, user_id=UserId(self.user_id(bid.user_id)), item_id=item_id
                )
                translated.bids.setdefault(item_id, []).append(moved)
        for watch in market.watches.values():
            translated.add_watch(
                attrs.evolve(
                    watch,
                    user_id=UserId(self.user_id(watch.user_id)),
                    item_id=ItemId(self.item_id(watch.item_id)),
                )
            )
        return translated


def empty(connection: sa.Connection, ours: Tables, tables: Sequence[sa.Table]) -> None:
    """Delete all rows of a host's tables, and what we have stored about them."""
    results = [table for table in ours.own.sorted_tables if table is not ours.additions]
    for table in (*results, *reversed(tables)):
        connection.execute(sa.delete(table))


@cache
def named(kind: IdKind, name: object) -> Id:
    """Return the id of a kind for a name, always the same one."""
    match kind:
        case IdKind.INT:
            return zlib.crc32(str(name).encode()) >> 1
        case IdKind.UUID:
            return uuid5(NAMESPACE_URL, str(name))
        case IdKind.TEXT:
            return f"{name}: \"é\\'%s"


def bids_of(market: MemoryMarketplace) -> list[Bid]:
    """Return every bid of a marketplace."""
    return [bid for bids in market.bids.values() for bid in bids]


# As a Django project names things.


def django(*, is_naive: bool = False, in_columns: bool = False) -> Foreign:
    """Return a shop with integer ids: with USE_TZ=False its moments are *naive*.

    Sign-ins are counted *in columns* of auth_user, of which it has one, or in our table.
    """
    metadata, moment = sa.MetaData(), sa.DateTime(timezone=not is_naive)

    def key(name: str, to: str) -> sa.Column[int]:
        return sa.Column(name, sa.Integer, sa.ForeignKey(f"{to}.id"), nullable=True)

    user = sa.Table(
        "auth_user",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("username", sa.String(150), nullable=False, unique=True),
        sa.Column("date_joined", moment),
        sa.Column("last_login", moment),
    )
    category = sa.Table(
        "shop_category",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(50), nullable=False),
    )
    lot = sa.Table(
        "shop_lot",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("owner_id", sa.Integer),  # who may have closed their account
        key("category_id", "shop_category"),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("price", sa.Numeric(10, 2)),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(20)),
        sa.Column("opens_at", moment),
        sa.Column("closes_at", moment),
        sa.Column("created", moment),
    )
    bid = sa.Table(
        "shop_bid",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        key("bidder_id", "auth_user"),
        key("lot_id", "shop_lot"),
        sa.Column("amount", sa.Numeric(10, 2)),
        sa.Column("placed", moment, nullable=False),
    )
    watch = sa.Table(
        "shop_watch",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        key("user_id", "auth_user"),
        key("lot_id", "shop_lot"),
        sa.Column("since", moment, nullable=False),
    )
    users = [user.c.id.label("user_id"), user.c.date_joined.label("created_at")]
    if not in_columns:
        users.append(user.c.last_login.label("last_sign_in_at"))
    host = HostSchema(
        users=sa.select(*users),
        items=sa.select(
            lot.c.id.label("item_id"),
            lot.c.category_id,
            lot.c.owner_id.label("seller_id"),
            lot.c.title,
            lot.c.price.label("starting_price"),
            lot.c.is_active.label("is_published"),
            lot.c.state.label("status"),
            lot.c.opens_at.label("starts_at"),
            lot.c.closes_at.label("ends_at"),
            lot.c.created.label("listed_at"),
        ),
        categories=sa.select(category.c.id.label("category_id")),
        bids=sa.select(
            bid.c.bidder_id.label("user_id"),
            bid.c.lot_id.label("item_id"),
            bid.c.amount,
            bid.c.placed.label("placed_at"),
        ),
        watches=sa.select(
            watch.c.user_id, watch.c.lot_id.label("item_id"), watch.c.since.label("watched_at")
        ),
        sign_ins=SignInColumns(
            table=user, last_sign_in_at="last_login", sign_in_count="login_count"
        )
        if in_columns
        else None,
    )

    def stored(at: datetime | None) -> datetime | None:
        return at.astimezone(UTC).replace(tzinfo=None) if at is not None and is_naive else at

    def rows(market: MemoryMarketplace) -> Rows:
        return [
            (
                user,
                [
                    {
                        "id": one.user_id,
                        "username": str(one.user_id),
                        "date_joined": stored(one.created_at),
                        "last_login": stored(one.last_sign_in_at),
                    }
                    for one in market.users.values()
                ],
            ),
            (category, [{"id": one, "name": str(one)} for one in categories_of(market)]),
            (
                lot,
                [
                    {
                        "id": one.item_id,
                        "owner_id": one.seller_id,
                        "category_id": one.category_id,
                        "title": one.title,
                        "price": one.starting_price,
                        "is_active": one.is_published,
                        "state": one.status,
                        "opens_at": stored(one.starts_at),
                        "closes_at": stored(one.ends_at),
                        "created": stored(one.listed_at),
                    }
                    for one in market.items.values()
                ],
            ),
            (
                bid,
                [
                    {
                        "bidder_id": one.user_id,
                        "lot_id": one.item_id,
                        "amount": one.amount,
                        "placed": stored(one.placed_at),
                    }
                    for one in bids_of(market)
                ],
            ),
            (
                watch,
                [
                    {
                        "user_id": one.user_id,
                        "lot_id": one.item_id,
                        "since": stored(one.watched_at),
                    }
                    for one in market.watches.values()
                ],
            ),
        ]

    ids = IdKinds(user=IdKind.INT, item=IdKind.INT, category=IdKind.INT)
    return Foreign(metadata=metadata, host=host, ids=ids, rows=rows, prefix="shop_reco_")


# As the models of an ORM are.


class Stage(enum.Enum):
    """Where an auction stands, in words of the host's."""

    PLANNED = 1
    OPEN = 2
    HALTED = 3
    OVER = 4
    DRAFT = 5
    SOLD = 6
    WITHDRAWN = 7


STAGES = {
    Stage.PLANNED: AuctionStatus.SCHEDULED,
    Stage.OPEN: AuctionStatus.ACTIVE,
    Stage.HALTED: AuctionStatus.PAUSED,
    Stage.OVER: AuctionStatus.ENDED,
    Stage.DRAFT: AuctionStatus.PENDING,
    Stage.SOLD: AuctionStatus.SOLD,
    Stage.WITHDRAWN: AuctionStatus.CANCELLED,
}

_MOMENT = sa.DateTime(timezone=True)


class Model(orm.DeclarativeBase):
    """What the models have in common."""


class Person(Model):
    """Somebody with an account."""

    __tablename__ = "people"
    id: orm.Mapped[UUID] = orm.mapped_column(primary_key=True)
    joined_at: orm.Mapped[datetime | None] = orm.mapped_column(_MOMENT)
    seen_at: orm.Mapped[datetime | None] = orm.mapped_column(_MOMENT)


class Piece(Model):
    """A thing, which may be auctioned; the model's names are not the table's."""

    __tablename__ = "pieces"
    id: orm.Mapped[UUID] = orm.mapped_column(primary_key=True)
    title: orm.Mapped[str] = orm.mapped_column("headline")
    category_id: orm.Mapped[UUID | None] = orm.mapped_column("section")
    seller_id: orm.Mapped[UUID | None] = orm.mapped_column("person")
    published_at: orm.Mapped[datetime | None] = orm.mapped_column(_MOMENT)
    listed_at: orm.Mapped[datetime | None] = orm.mapped_column("made_at", _MOMENT)


class Auction(Model):
    """The sale of a piece, which is what people bid in."""

    __tablename__ = "auctions"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    piece_id: orm.Mapped[UUID] = orm.mapped_column(sa.ForeignKey(Piece.id))
    stage: orm.Mapped[Stage | None] = orm.mapped_column(sa.Enum(Stage))
    start_cents: orm.Mapped[int | None]
    opens_at: orm.Mapped[datetime | None] = orm.mapped_column(_MOMENT)
    closes_at: orm.Mapped[datetime | None] = orm.mapped_column(_MOMENT)


class Offer(Model):
    """A bid in an auction."""

    __tablename__ = "offers"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    auction_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey(Auction.id))
    user_id: orm.Mapped[UUID] = orm.mapped_column("person_id", sa.ForeignKey(Person.id))
    cents: orm.Mapped[int | None]
    placed_at: orm.Mapped[datetime] = orm.mapped_column(_MOMENT)


class Favourite(Model):
    """A piece that somebody has an eye on."""

    __tablename__ = "favourites"
    user_id: orm.Mapped[UUID] = orm.mapped_column(sa.ForeignKey(Person.id), primary_key=True)
    item_id: orm.Mapped[UUID] = orm.mapped_column(sa.ForeignKey(Piece.id), primary_key=True)
    watched_at: orm.Mapped[datetime] = orm.mapped_column("at", _MOMENT)


def models() -> Foreign:
    """Return ORM models with UUIDs, where some columns are labelled by their attributes."""

    def money(cents: orm.InstrumentedAttribute[int | None]) -> sa.ColumnElement[Any]:
        return sa.cast(cents, sa.Numeric) / 100

    told = [(Auction.stage == stage, status.value) for stage, status in STAGES.items()]
    host = HostSchema(
        users=sa.select(
            Person.id.label("user_id"),
            Person.joined_at.label("created_at"),
            Person.seen_at.label("last_sign_in_at"),
        ),
        items=sa.select(
            Piece.id.label("item_id"),
            Piece.category_id,
            Piece.seller_id,
            Piece.title,
            Piece.published_at.is_not(None).label("is_published"),
            Piece.listed_at,
            money(Auction.start_cents).label("starting_price"),
            sa.case(*told).label("status"),
            Auction.opens_at.label("starts_at"),
            Auction.closes_at.label("ends_at"),
        ).join(Auction, Auction.piece_id == Piece.id),
        bids=sa.select(
            Offer.user_id,
            Auction.piece_id.label("item_id"),
            money(Offer.cents).label("amount"),
            Offer.placed_at,
        ).join(Auction, Auction.id == Offer.auction_id),
        watches=sa.select(Favourite.user_id, Favourite.item_id, Favourite.watched_at),
    )
    ids = IdKinds(user=IdKind.UUID, item=IdKind.UUID, category=IdKind.UUID)
    return Foreign(metadata=Model.metadata, host=host, ids=ids, rows=_rows_of_models)


def _rows_of_models(market: MemoryMarketplace) -> Rows:
    stage_of = {status: stage for stage, status in STAGES.items()}
    auctions = {item_id: number for number, item_id in enumerate(market.items, start=1)}

    def cents(amount: Decimal | None) -> int | None:
        return None if amount is None else int(amount * 100)

    def table(model: type[Model]) -> sa.Table:
        assert isinstance(model.__table__, sa.Table)
        return model.__table__

    never_sold = {"id": uuid5(NAMESPACE_URL, "never for sale"), "headline": "an heirloom"}
    return [
        (
            table(Person),
            [
                {"id": one.user_id, "joined_at": one.created_at, "seen_at": one.last_sign_in_at}
                for one in market.users.values()
            ],
        ),
        (table(Piece), [never_sold]),
        (
            table(Piece),
            [
                {
                    "id": one.item_id,
                    "headline": one.title,
                    "section": one.category_id,
                    "person": one.seller_id,
                    "published_at": datetime(2020, 1, 1, tzinfo=UTC) if one.is_published else None,
                    "made_at": one.listed_at,
                }
                for one in market.items.values()
            ],
        ),
        (
            table(Auction),
            [
                {
                    "id": auctions[one.item_id],
                    "piece_id": one.item_id,
                    "stage": None if one.status is None else stage_of[one.status],
                    "start_cents": cents(one.starting_price),
                    "opens_at": one.starts_at,
                    "closes_at": one.ends_at,
                }
                for one in market.items.values()
            ],
        ),
        (
            table(Offer),
            [
                {
                    "auction_id": auctions[one.item_id],
                    "person_id": one.user_id,
                    "cents": cents(one.amount),
                    "placed_at": one.placed_at,
                }
                for one in bids_of(market)
            ],
        ),
        (
            table(Favourite),
            [
                {"user_id": one.user_id, "item_id": one.item_id, "at": one.watched_at}
                for one in market.watches.values()
            ],
        ),
    ]


# With names that need quotes, and everything in a schema of its own.


def quoted() -> Foreign:
    """Return a marketplace of text ids in the schema "Market Place"; ours are in "reco"."""
    metadata = sa.MetaData(schema="Market Place")
    hidden = frozenset({"books", "coins"})
    member = sa.Table(
        "Member",
        metadata,
        sa.Column("Member Id", sa.Text, primary_key=True),
        sa.Column("Joined", _MOMENT),
        sa.Column("Last Visit", _MOMENT),
    )
    section = sa.Table(
        "Section",
        metadata,
        sa.Column("Section %", sa.String(200), primary_key=True),
        sa.Column("is hidden", sa.Boolean, nullable=False),
    )
    lot = sa.Table(
        "user",
        metadata,
        sa.Column("order", sa.String(200), primary_key=True),
        sa.Column("Section %", sa.Text),
        sa.Column("Member Id", sa.Text),
        sa.Column("Title", sa.Text),
        sa.Column("Starting Price", sa.Float),
        sa.Column("published", sa.Boolean),
        sa.Column("Status", sa.Text),
        sa.Column("from", _MOMENT),
        sa.Column("until", _MOMENT),
        sa.Column("since", _MOMENT),
    )
    offer = sa.Table(
        "Offer",
        metadata,
        sa.Column("Member Id", sa.Text),
        sa.Column("order", sa.Text),
        sa.Column("Amount", sa.Integer),
        sa.Column("at", _MOMENT),
    )
    eyed = sa.Table(
        "Eyes on",
        metadata,
        sa.Column("Member Id", sa.Text),
        sa.Column("order", sa.Text),
        sa.Column("at", _MOMENT),
    )
    host = HostSchema(
        users=sa.select(
            member.c["Member Id"].label("user_id"),
            member.c["Joined"].label("created_at"),
            member.c["Last Visit"].label("last_sign_in_at"),
        ),
        items=sa.select(
            lot.c["order"].label("item_id"),
            lot.c["Section %"].label("category_id"),
            lot.c["Member Id"].label("seller_id"),
            lot.c["Title"].label("title"),
            lot.c["Starting Price"].label("starting_price"),
            lot.c["published"].label("is_published"),
            lot.c["Status"].label("status"),
            lot.c["from"].label("starts_at"),
            lot.c["until"].label("ends_at"),
            lot.c["since"].label("listed_at"),
        ),
        categories=sa.select(section.c["Section %"].label("category_id")).where(
            ~section.c["is hidden"]
        ),
        bids=sa.text(
            'SELECT "Member Id" AS user_id, "order" AS item_id, "Amount" AS amount,'
            ' "at" AS placed_at FROM "Market Place"."Offer" WHERE "order" LIKE \'%\''
        ).columns(
            sa.column("user_id", sa.Text),
            sa.column("item_id", sa.Text),
            sa.column("amount", sa.Integer),
            sa.column("placed_at", _MOMENT),
        ),
        watches=sa.union_all(
            *(
                sa.select(
                    eyed.c["Member Id"].label("user_id"),
                    eyed.c["order"].label("item_id"),
                    eyed.c["at"].label("watched_at"),
                ).where(of_lot)
                for of_lot in (eyed.c["order"] < "lot-05", eyed.c["order"] >= "lot-05")
            )
        ),
    )

    def rows(market: MemoryMarketplace) -> Rows:
        shown = [{"Section %": one, "is hidden": False} for one in categories_of(market)]
        return [
            (
                member,
                [
                    {
                        "Member Id": one.user_id,
                        "Joined": one.created_at,
                        "Last Visit": one.last_sign_in_at,
                    }
                    for one in market.users.values()
                ],
            ),
            (section, shown),
            (
                section,
                [
                    {"Section %": named(IdKind.TEXT, one), "is hidden": True}
                    for one in sorted(hidden)
                ],
            ),
            (lot, [_quoted_lot(one) for one in market.items.values()]),
            (
                offer,
                [
                    {
                        "Member Id": one.user_id,
                        "order": one.item_id,
                        "Amount": one.amount,
                        "at": one.placed_at,
                    }
                    for one in bids_of(market)
                ],
            ),
            (
                eyed,
                [
                    {"Member Id": one.user_id, "order": one.item_id, "at": one.watched_at}
                    for one in market.watches.values()
                ],
            ),
        ]

    return Foreign(
        metadata=metadata,
        host=host,
        ids=IdKinds(),
        rows=rows,
        hidden=hidden,
        schema="reco",
        prefix="ar_",
    )


def _quoted_lot(item: Item) -> dict[str, Any]:
    # What memory has in no category is in a hidden one here, or in one that is not listed.
    of_none = "books" if item.is_published else "nowhere"
    category = named(IdKind.TEXT, of_none) if item.category_id is None else item.category_id
    return {
        "order": item.item_id,
        "Section %": category,
        "Member Id": item.seller_id,
        "Title": item.title,
        "Starting Price": item.starting_price,
        "published": item.is_published or None,
        "Status": item.status,
        "from": item.starts_at,
        "until": item.ends_at,
        "since": item.listed_at,
    }


def categories_of(market: MemoryMarketplace) -> list[CategoryId]:
    """Return the categories that items of a marketplace have."""
    found = {item.category_id for item in market.items.values()}
    return sorted((one for one in found if one is not None), key=str)


# What comes back.


def everything_in(engine: sa.Engine, foreign: Foreign) -> dict[str, object]:
    """Return the columns and the rows of every table of the host's, as somebody else reads them."""
    held: dict[str, object] = {}
    with engine.connect() as connection:
        inspector = sa.inspect(connection)
        for table in foreign.tables:
            columns = inspector.get_columns(table.name, table.schema)
            there = sa.table(
                table.name, *(sa.column(one["name"]) for one in columns), schema=table.schema
            )
            names = [(one["name"], str(one["type"]), one["nullable"]) for one in columns]
            rows = connection.execute(sa.select(there)).all()
            indexes = [one["name"] for one in inspector.get_indexes(table.name, table.schema)]
            held[table.name] = names, sorted(map(repr, rows)), indexes
    return held
