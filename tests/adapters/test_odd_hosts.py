"""Hosts that are set up as few are: they are served as the others, or refused at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import pytest
import sqlalchemy as sa

from angle_reco import HostSchema, InvalidValueError, Recommender, SchemaError, Settings
from angle_reco.adapters.sql.core.sqlite_functions import add_functions
from angle_reco.adapters.sql.storage import Storage
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import import_marketplace, memory_ports, sql_ports
from angle_reco.domain.columns import NONE, IdColumn
from angle_reco.domain.ids import CategoryId, IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.lists import ListKind
from angle_reco.domain.moments import to_micros
from angle_reco.domain.prices import PriceScale
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.domain.stored_list import StoredLine
from angle_reco.domain.suggestions import Reason, Source
from angle_reco.domain.users import User
from angle_reco.sql import SignInColumns
from angle_reco.testing import ManualClock
from angle_reco.testing.contracts import Sample
from tests.adapters.databases import fill, storage_on
from tests.application.shop import DAY, NOW, again, bid, ids_of, lot, watch
from tests.postgres import new_database

SAMPLE = Sample(IdKinds())
PATIENT = Settings(deadline=timedelta(seconds=20), cache_enabled=False)
"""A shared machine may be slow."""


@attrs.frozen(kw_only=True)
class Shop:
    """Tables of a host's own, and their mapping."""

    metadata: sa.MetaData
    users: sa.Table
    items: sa.Table
    bids: sa.Table
    watches: sa.Table

    @property
    def host(self) -> HostSchema:
        return HostSchema(
            users=sa.select(self.users.c.id.label("user_id")),
            items=sa.select(
                self.items.c.id.label("item_id"), self.items.c.kind.label("category_id")
            ),
            bids=sa.select(
                self.bids.c.who.label("user_id"),
                self.bids.c.what.label("item_id"),
                self.bids.c.at.label("placed_at"),
            ),
            watches=sa.select(
                self.watches.c.who.label("user_id"),
                self.watches.c.what.label("item_id"),
                self.watches.c.at.label("watched_at"),
            ),
            time_zone="UTC",
        )

    def rows(self, engine: sa.Engine) -> dict[str, list[Any]]:
        """Return what is in the tables."""
        with engine.connect() as connection:
            return {
                name: [tuple(row) for row in connection.execute(sa.select(table))]
                for name, table in self.metadata.tables.items()
            }


def shop(
    *names: str,
    user_id: sa.types.TypeEngine[Any] | None = None,
    item_id: sa.types.TypeEngine[Any] | None = None,
    category_id: sa.types.TypeEngine[Any] | None = None,
    moment: sa.types.TypeEngine[Any] | None = None,
    has_keys: bool = True,
) -> Shop:
    """Return a shop whose tables have these names, and whose columns these types."""
    who, what = user_id or sa.Text(), item_id or sa.Text()
    at, metadata = moment or sa.DateTime(timezone=True), sa.MetaData()
    users, items, bids, watches = names or ("people", "goods", "offers", "eyes")
    return Shop(
        metadata=metadata,
        users=sa.Table(
            users,
            metadata,
            sa.Column("id", who, primary_key=has_keys),
            sa.Column("seen_on", sa.Date),
            sa.Column("seen_how_often", sa.Integer),
        ),
        items=sa.Table(
            items,
            metadata,
            sa.Column("id", what, primary_key=has_keys),
            sa.Column("kind", category_id or sa.Text()),
        ),
        bids=sa.Table(
            bids, metadata, sa.Column("who", who), sa.Column("what", what), sa.Column("at", at)
        ),
        watches=sa.Table(
            watches, metadata, sa.Column("who", who), sa.Column("what", what), sa.Column("at", at)
        ),
    )


LIKE_OURS = ("users", "items", "bids", "watches")
"""What the tables of the reference schema are called, and those of many hosts."""


@contextmanager
def engine_of(url: str, **options: Any) -> Iterator[sa.Engine]:
    engine = sa.create_engine(url, **options)
    try:
        yield engine
    finally:
        engine.dispose()


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[str]:
    """Give the URL of an empty database."""
    with new_database(postgres_url) as url:
        yield url


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request: pytest.FixtureRequest, postgres_url: str, tmp_path: Path) -> Iterator[str]:
    """Give the URL of an empty database of either kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'shop.db'}"
    else:
        with new_database(postgres_url) as url:
            yield url


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    with engine_of(url) as engine:
        yield engine


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[sa.Engine]:
    with engine_of(f"sqlite:///{tmp_path / 'lite.db'}") as engine:
        yield engine


def storage_of(reco: Recommender) -> Storage:
    assert reco.storage is not None
    return reco.storage


def open_items(reco: Recommender) -> list[str]:
    """Return the items that are open, as they are read in bulk."""
    return sorted(map(str, reco.ports.catalog.may_be_open(NOW).items.ids.to_list()))


def items_with_cards(reco: Recommender, *ids: object) -> list[str]:
    """Return which of these items are found by their ids."""
    return sorted(map(str, reco.ports.catalog.cards([ItemId(one) for one in ids], at=NOW)))


def now_in(engine: sa.Engine) -> datetime:
    """Return this moment as columns of moments take it."""
    return NOW.replace(tzinfo=None) if engine.dialect.name == "sqlite" else NOW


# Whose tables they are.


def created(shop: Shop, engine: sa.Engine) -> dict[str, list[Any]]:
    """Create the tables of a shop, and return the rows that they have now."""
    shop.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(shop.users), [{"id": "ann"}])
        connection.execute(sa.insert(shop.items), [{"id": "vase", "kind": "art"}])
        for table in (shop.bids, shop.watches):
            row = {"who": "ann", "what": "vase", "at": now_in(engine)}
            connection.execute(sa.insert(table), [row])
    return shop.rows(engine)


HEADERS = {
    "users": "user_id,inserted_at,last_sign_in_at,sign_in_count",
    "items": "item_id,category_id,seller_id,title,starting_price,current_price,"
    "publication_status,starts_at,end_time,inserted_at",
    "bids": "user_id,item_id,amount,placed_at",
    "watches": "user_id,item_id,inserted_at",
}


def imported(storage: Storage, directory: Path) -> object:
    """Import a marketplace without rows."""
    for name, header in HEADERS.items():
        (directory / f"{name}.csv").write_text(f"{header}\n")
    return import_marketplace(storage, directory)


def test_what_serves_a_hosts_tables_is_not_used_without_the_host(
    engine: sa.Engine, tmp_path: Path
) -> None:
    theirs = shop(*LIKE_OURS)
    rows = created(theirs, engine)
    Recommender.from_engine(engine, host=theirs.host, settings=PATIENT, migrate=True)
    before, storage = sa.inspect(engine).get_table_names(), storage_on(engine)

    uses: list[Callable[[], object]] = [
        storage.check,
        storage.migrate_up,
        storage.migrate_down,
        lambda: imported(storage, tmp_path),
    ]
    for use in uses:
        with pytest.raises(SchemaError) as raised:
            use()

        assert "HostSchema" in str(raised.value)
        assert "--app" in str(raised.value)
        assert theirs.rows(engine) == rows
        assert sa.inspect(engine).get_table_names() == before
    served = Recommender.from_engine(engine, host=theirs.host, settings=PATIENT)
    assert open_items(served) == ["vase"]


def test_connecting_to_what_serves_a_hosts_tables_without_the_host_is_refused(
    url: str, engine: sa.Engine
) -> None:
    theirs = shop(*LIKE_OURS)
    rows = created(theirs, engine)
    Recommender.from_engine(engine, host=theirs.host, settings=PATIENT, migrate=True)

    for migrate in (False, True):
        with pytest.raises(SchemaError, match=r"HostSchema.*--app"):
            Recommender.connect(url, settings=PATIENT, migrate=migrate)

    assert theirs.rows(engine) == rows


def test_going_down_with_the_host_leaves_the_hosts_tables(engine: sa.Engine) -> None:
    theirs = shop(*LIKE_OURS)
    rows = created(theirs, engine)
    storage = storage_on(engine, host=theirs.host)

    assert storage.migrate_up()
    assert storage.migrate_down()

    assert theirs.rows(engine) == rows
    assert sorted(sa.inspect(engine).get_table_names()) == sorted(LIKE_OURS)


def test_the_reference_schema_is_not_used_with_a_host(engine: sa.Engine) -> None:
    theirs, reference = shop(), storage_on(engine)
    reference.migrate_up()
    fill(reference, users=[User(user_id=UserId("ann"))], items=[lot("vase")])
    rows = created(theirs, engine)
    before, storage = sa.inspect(engine).get_table_names(), storage_on(engine, host=theirs.host)

    for use in (storage.check, storage.migrate_up, storage.migrate_down):
        with pytest.raises(SchemaError):
            use()

        assert sa.inspect(engine).get_table_names() == before
        assert theirs.rows(engine) == rows
    assert open_items(Recommender.from_engine(engine, settings=PATIENT)) == ["vase"]


# Encodings.


@contextmanager
def new_latin_database(server_url: str) -> Iterator[str]:
    """Give the URL of a new database that keeps texts in LATIN1, and drop it afterwards."""
    name = f"angle_reco_latin_{uuid4().hex}"
    with (
        engine_of(server_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool) as server,
        server.connect() as connection,
    ):
        connection.exec_driver_sql(
            f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
        )
        try:
            url = sa.make_url(server_url).set(database=name)
            yield url.render_as_string(hide_password=False)
        finally:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def in_latin_of_our_own(server_url: str) -> Iterator[Recommender]:
    with (
        new_latin_database(server_url) as url,
        Recommender.connect(url, settings=PATIENT, migrate=True) as reco,
    ):
        yield reco


@contextmanager
def in_latin_of_the_hosts(server_url: str) -> Iterator[Recommender]:
    with new_latin_database(server_url) as url, engine_of(url) as engine:
        yield Recommender.from_engine(engine, settings=PATIENT, migrate=True)


@contextmanager
def on_an_engine_that_speaks_latin(server_url: str) -> Iterator[Recommender]:
    said = {"client_encoding": "latin1"}
    with new_database(server_url) as url, engine_of(url, connect_args=said) as engine:
        yield Recommender.from_engine(engine, settings=PATIENT, migrate=True)


@pytest.fixture(
    params=[in_latin_of_our_own, in_latin_of_the_hosts, on_an_engine_that_speaks_latin],
    ids=lambda made: made.__name__,
)
def latin(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[Recommender]:
    """Give a recommender where texts are in LATIN1 on the way, or where they are kept."""
    with request.param(postgres_url) as reco:
        yield reco


JÖRG, KÄSE, BRÖTCHEN = UserId("Jörg"), CategoryId("Käse"), ItemId("Brötchen à la ÿ")  # noqa: PLC2401 — what it is about


def test_texts_survive_whatever_the_encoding_is(latin: Recommender) -> None:
    def line(score: int) -> StoredLine:
        return StoredLine(
            item_id=BRÖTCHEN,
            score=score,
            parts=(3, 4),
            reason=Reason.FAVOURITE_CATEGORY,
            source=Source.PERSONAL,
        )

    lists = latin.ports.lists
    for kind, owner in (
        (ListKind.SIMILAR, BRÖTCHEN),
        (ListKind.PERSONAL, JÖRG),
        (ListKind.POPULAR, "Käse"),
    ):
        written = [
            lists.write(kind, SAMPLE.lists(kind, {owner: [line(score)]}))
            for score in (7, 7, 900_000)
        ]
        read = lists.read(kind, [owner])

        assert [(one.changed, one.unchanged) for one in written] == [(1, 0), (0, 1), (1, 0)]
        assert {one: kept.lines for one, kept in read.items()} == {owner: (line(900_000),)}
        assert list(lists.older_than(kind, NOW + DAY)) == [owner]


def test_interests_survive_whatever_the_encoding_is(latin: Recommender) -> None:
    interest = UserInterest(
        user_id=JÖRG,
        category_id=KÄSE,
        score=1_000,
        strength=1_000,
        interaction_count=1,
        last_interaction_at=NOW,
    )
    users = SAMPLE.user_column([JÖRG])

    written = [
        latin.ports.interests.write(SAMPLE.interests([interest]), users=users, computed_at=NOW)
        for _ in range(2)
    ]

    assert [(one.changed, one.unchanged) for one in written] == [(1, 0), (0, 1)]
    stored = latin.ports.interests.of(JÖRG)
    assert stored is not None
    assert stored.interests == (interest,)


def test_a_market_is_read_whatever_the_encoding_is(latin: Recommender) -> None:
    fill(
        storage_of(latin),
        users=[User(user_id=JÖRG, last_sign_in_at=NOW)],
        items=[lot(BRÖTCHEN, KÄSE), lot("Öl", KÄSE)],
        bids=[bid(JÖRG, BRÖTCHEN)],
        watches=[watch(JÖRG, "Öl")],
    )

    catalogue = latin.ports.catalog.may_be_open(NOW)
    happened = list(latin.ports.activity.interactions(users=SAMPLE.user_column([JÖRG])))

    assert set(catalogue.items.ids.to_list()) == {BRÖTCHEN, "Öl"}
    assert catalogue.categories.ids.to_list() == [KÄSE]
    assert items_with_cards(latin, BRÖTCHEN, "Öl") == [BRÖTCHEN, "Öl"]
    assert {one for some in happened for one in some.users.to_list()} == {JÖRG}
    assert {one for some in happened for one in some.items.to_list()} == {BRÖTCHEN, "Öl"}
    assert [one.item_id for one in latin.ports.activity.user_bids(JÖRG)] == [BRÖTCHEN]
    moved = again(latin.ports, PATIENT, clock=ManualClock(NOW))
    assert [moved.system.run_job(job).scope for job in BATCH_JOBS] == [1, 0, 2, 1, 2]
    assert [one.category_id for one in moved.as_user(JÖRG).stored.get_interests()] == [KÄSE]
    assert moved.signed_in(JÖRG)


def test_without_titles_the_cards_of_open_items_have_empty_ones(
    url: str, engine: sa.Engine
) -> None:
    tables = shop()
    created(tables, engine)
    with Recommender.connect(url, host=tables.host, migrate=True) as reco:
        catalog = reco.ports.catalog

        cards = catalog.open_cards(NOW).cards(PriceScale())

        assert cards == catalog.cards([ItemId("vase")], at=NOW)
        assert [card.title for card in cards.values()] == [""]


# Ids.


@pytest.mark.parametrize(
    ("types", "said"),
    [
        ({"user_id": sa.CHAR(6)}, "the select of users: user_id is of the type character"),
        ({"item_id": sa.CHAR(6)}, "the select of items: item_id is of the type character"),
    ],
)
def test_ids_that_are_filled_up_with_blanks_are_refused(
    postgres: str, types: dict[str, Any], said: str
) -> None:
    theirs, other = shop(**types), shop("a", "b", "c", "d")
    with engine_of(postgres) as engine:
        theirs.metadata.create_all(engine)
        other.metadata.create_all(engine)
    Recommender.connect(postgres, host=other.host, settings=PATIENT, migrate=True).close()

    for migrate in (False, True):
        with pytest.raises(SchemaError) as raised:
            Recommender.connect(postgres, host=theirs.host, settings=PATIENT, migrate=migrate)

        assert str(raised.value).startswith(said)


@pytest.fixture
def careless(lite: sa.Engine) -> Recommender:
    """Return a recommender on tables whose ids are equal in any case, and are spelled in any."""
    text = sa.Text(collation="NOCASE")
    theirs = shop(user_id=text, item_id=text, moment=sa.DateTime())
    theirs.metadata.create_all(lite)
    kinds = {"lot1": "A", "lot2": "B", "lot3": "A", "zzz": None}
    at = datetime(2026, 5, 20)  # noqa: DTZ001 — as SQLite keeps it
    with lite.begin() as connection:
        connection.execute(sa.insert(theirs.users), [{"id": "Ann"}, {"id": "bob"}])
        connection.execute(
            sa.insert(theirs.items), [{"id": one, "kind": kind} for one, kind in kinds.items()]
        )
        connection.execute(
            sa.insert(theirs.bids),
            [
                {"who": who, "what": what, "at": at}
                for who, what in (
                    ("ann", "LOT1"),
                    ("ann", "lot2"),
                    ("Ann", "lot3"),
                    ("bob", "lot1"),
                    ("BOB", "LOT3"),
                )
            ],
        )
    reco = Recommender.from_engine(lite, host=theirs.host, settings=PATIENT, migrate=True)
    return again(reco.ports, PATIENT, clock=ManualClock(NOW))


def test_similar_items_are_found_where_case_does_not_count(careless: Recommender) -> None:
    def looked_at() -> None:
        for item in ("lot1", "lot2", "zzz"):
            assert item not in ids_of(careless.anonymous.similar_items(item))
            for who in ("ann", "Ann", "bob", "BOB"):
                careless.as_user(who).homepage()
                careless.as_user(who).after_bid(item)

    looked_at()
    for job in BATCH_JOBS:
        careless.system.run_job(job)
    looked_at()


def test_another_spelling_changes_no_other_items_category(careless: Recommender) -> None:
    expected = {"lot1": "A", "lot2": "B", "lot3": "A", "zzz": None}
    for spelled in ("LOT1", "LOT3", "ZZZ", "Lot2"):
        for asked in ([spelled, *expected], [*expected, spelled]):
            of = categories_of(careless, asked)
            del of[spelled]

            assert of == expected


def test_what_is_asked_for_in_another_case_takes_no_others_place(careless: Recommender) -> None:
    for spelled in ("LOT1", "LOT3", "ZZZ"):
        for others in (["lot2"], ["a", "lot2"], ["lot2", "zz"]):
            of = categories_of(careless, [spelled, *others])

            assert {one: of[one] for one in others} == {
                one: "B" if one == "lot2" else None for one in others
            }


def categories_of(reco: Recommender, items: list[str]) -> dict[str, object]:
    """Return the category of each item."""
    found = reco.ports.catalog.categories(IdColumn.of(IdKind.TEXT, items))
    names = found.categories.ids.to_list()
    places = zip(items, found.codes.tolist(), strict=True)
    return {item: None if place == NONE else names[place] for item, place in places}


def test_who_engaged_is_told_of_what_was_asked_for(careless: Recommender) -> None:
    activity, asked = careless.ports.activity, [ItemId("lot1"), ItemId("lot2"), ItemId("gone")]

    assert set(activity.engaged_users(asked)) == set(asked)


@attrs.frozen(kw_only=True)
class Namesakes:
    """A recommender on ids that the host's columns do not tell apart, and how it has them."""

    reco: Recommender
    theirs: Shop
    other: Callable[[str], str]

    def counting_in_columns(self) -> Recommender:
        """Return a recommender that counts sign-ins in columns of the host's users."""
        in_columns = SignInColumns(
            table=self.theirs.users, last_sign_in_at="last_seen", sign_in_count="seen_how_often"
        )
        host, engine = self.theirs.host, storage_of(self.reco).database.engine
        return Recommender.from_engine(
            engine,
            host=attrs.evolve(host, sign_ins=in_columns),
            settings=PATIENT,
            migrate=True,
            prefix="in_columns_",
        )


@pytest.fixture(params=["NOCASE", "RTRIM"])
def namesakes(request: pytest.FixtureRequest, lite: sa.Engine) -> Namesakes:
    """Return alice and ALICE, or alice with a blank behind, each with things of their own."""

    def other(name: str) -> str:
        return name.upper() if request.param == "NOCASE" else f"{name} "

    text = sa.Text(collation=request.param)
    theirs = shop(
        user_id=text, item_id=text, category_id=text, moment=sa.DateTime(), has_keys=False
    )
    theirs.metadata.create_all(lite)
    with lite.begin() as connection:
        for spelled, day in ((str, 20), (other, 21)):
            who, at = spelled("alice"), datetime(2026, 5, day)  # noqa: DTZ001 — as SQLite keeps it
            connection.execute(sa.insert(theirs.users), [{"id": who}])
            connection.execute(
                sa.insert(theirs.items),
                [
                    {"id": spelled(item), "kind": spelled(kind)}
                    for item, kind in (("vase", "art"), ("jar", "jars"))
                ],
            )
            connection.execute(
                sa.insert(theirs.bids), [{"who": who, "what": spelled("vase"), "at": at}]
            )
            connection.execute(
                sa.insert(theirs.watches), [{"who": who, "what": spelled("jar"), "at": at}]
            )
    reco = Recommender.from_engine(lite, host=theirs.host, settings=PATIENT, migrate=True)
    return Namesakes(
        reco=again(reco.ports, PATIENT, clock=ManualClock(NOW)), theirs=theirs, other=other
    )


def test_namesakes_have_only_what_is_their_own(namesakes: Namesakes) -> None:
    activity, catalog = namesakes.reco.ports.activity, namesakes.reco.ports.catalog
    items = {ItemId(of(item)) for of in (str, namesakes.other) for item in ("vase", "jar")}
    for spelled in (str, namesakes.other):
        who = UserId(spelled("alice"))
        vase, jar = ItemId(spelled("vase")), ItemId(spelled("jar"))
        happened = list(activity.interactions(users=SAMPLE.user_column([who])))
        cards = catalog.cards(items, at=NOW, viewer=who)

        assert [one.item_id for one in activity.user_bids(who)] == [vase]
        assert [one.item_id for one in activity.user_watchlist(who)] == [jar]
        assert activity.touched_by(who) == {vase, jar}
        assert {one for some in happened for one in some.users.to_list()} == {who}
        assert {one for some in happened for one in some.items.to_list()} == {vase, jar}
        assert set(cards) == items
        assert {one for one, card in cards.items() if card.engaged} == {vase, jar}
        assert list(catalog.cards([vase], at=NOW)) == [vase]
        assert activity.engaged_users([vase]) == {vase: {who}}
        assert categories_of(namesakes.reco, [spelled("vase")]) == {spelled("vase"): spelled("art")}


def test_namesakes_have_interests_of_their_own(namesakes: Namesakes) -> None:
    reco = namesakes.reco
    computed = {
        of: {one.category_id for one in reco.as_user(of("alice")).interests()}
        for of in (str, namesakes.other)
    }
    assert all(reco.signed_in(of("alice")) for of in computed)
    for job in BATCH_JOBS:
        reco.system.run_job(job)

    for spelled, categories in computed.items():
        stored = reco.as_user(spelled("alice")).stored.get_interests()
        assert categories == {CategoryId(spelled("art")), CategoryId(spelled("jars"))}
        assert {one.category_id for one in stored} == categories


def test_namesakes_sign_in_each_for_themselves(namesakes: Namesakes) -> None:
    for reco in (namesakes.reco, namesakes.counting_in_columns()):
        other = namesakes.other("alice")
        for who in ("alice", other, other):
            assert reco.signed_in(who)

        counted = [reco.as_user(who).sign_ins() for who in ("alice", other)]

        assert [one and one.count for one in counted] == [1, 2]


def test_items_of_one_name_are_counted_apart(namesakes: Namesakes) -> None:
    catalogue = namesakes.reco.ports.catalog.may_be_open(NOW)
    items = catalogue.items.ids.to_list()

    vases, jars = ({of(item) for of in (str, namesakes.other)} for item in ("vase", "jar"))
    assert set(items) == vases | jars
    assert dict(zip(items, catalogue.bids.tolist(), strict=True)) == {
        one: int(one in vases) for one in items
    }
    assert dict(zip(items, catalogue.watchers.tolist(), strict=True)) == {
        one: int(one in jars) for one in items
    }


def test_categories_that_there_are_have_exactly_that_name(namesakes: Namesakes) -> None:
    theirs, engine = namesakes.theirs, storage_of(namesakes.reco).database.engine
    known = sa.select(theirs.items.c.kind.label("category_id")).where(theirs.items.c.id == "vase")
    only = known.where(sa.type_coerce(theirs.items.c.kind, sa.Text).collate("BINARY") == "art")
    host = attrs.evolve(theirs.host, categories=only)
    vase, other = "vase", namesakes.other("vase")

    reco = Recommender.from_engine(engine, host=host, settings=PATIENT, migrate=True)

    assert categories_of(reco, [vase, other]) == {vase: "art", other: None}
    assert [str(attrs.evolve(one, example=None)) for one in reco.check()] == [
        "items.category_id: a category that is not among the categories, which is none in 3 rows"
    ]


def test_namesakes_are_nothing_odd(namesakes: Namesakes) -> None:
    assert namesakes.reco.check() == ()


def test_the_usual_indexes_of_sqlite_serve_ids_that_are_texts(lite: sa.Engine) -> None:
    theirs = shop(moment=sa.DateTime())
    for table in (theirs.bids, theirs.watches):
        sa.Index(f"{table.name}_of_who", table.c.who)
        sa.Index(f"{table.name}_of_what", table.c.what)
    theirs.metadata.create_all(lite)
    in_columns = SignInColumns(
        table=theirs.users, last_sign_in_at="last_seen", sign_in_count="seen_how_often"
    )
    host = attrs.evolve(theirs.host, sign_ins=in_columns)
    ports = Recommender.from_engine(lite, host=host, settings=PATIENT, migrate=True).ports
    asked: list[tuple[str, Any]] = []
    assert ports.storage is not None
    ours = ports.storage.database.engine
    sa.event.listen(ours, "before_cursor_execute", lambda *said: asked.append((said[2], said[3])))
    who, vase = UserId("ann"), ItemId("vase")

    ports.activity.user_bids(who)
    ports.activity.user_watchlist(who)
    ports.activity.touched_by(who)
    ports.catalog.cards([vase], at=NOW, viewer=who)
    ports.catalog.categories(SAMPLE.item_column([vase]))
    ports.users.sign_ins(who)
    ports.users.record_sign_in(who, NOW)

    with lite.connect() as connection:
        add_functions(connection.connection.dbapi_connection)  # type: ignore[arg-type]  # of sqlite3
        steps = [
            str(row[3])
            for statement, values in list(asked)
            if statement.startswith(("SELECT", "UPDATE"))
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        ]
    on_theirs = [step for step in steps if set(step.split()) & set(theirs.metadata.tables)]
    assert {name for name in theirs.metadata.tables if name in " ".join(on_theirs)} == set(
        theirs.metadata.tables
    )
    assert [step for step in on_theirs if not step.startswith("SEARCH") or "=?" not in step] == []


@pytest.fixture
def lax(postgres: str) -> Iterator[sa.Engine]:
    """Give a database with a collation that ignores case."""
    with engine_of(postgres, isolation_level="AUTOCOMMIT") as engine:
        with engine.connect() as connection:
            try:
                connection.exec_driver_sql(
                    "CREATE COLLATION lax"
                    " (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
                )
            except sa.exc.NotSupportedError:
                # A server built without ICU has none, but can say that it has.
                connection.exec_driver_sql('CREATE COLLATION lax FROM "C"')
                connection.exec_driver_sql(
                    "UPDATE pg_catalog.pg_collation SET collisdeterministic = false"
                    " WHERE collname = 'lax'"
                )
        yield engine


LAX = sa.Text(collation="lax")


@pytest.mark.parametrize(
    ("types", "said"),
    [
        ({"user_id": LAX}, "the select of users: user_id has the collation lax"),
        ({"item_id": LAX}, "the select of items: item_id has the collation lax"),
        ({"category_id": LAX}, "the select of items: category_id has the collation lax"),
    ],
)
def test_ids_that_may_be_equal_though_they_differ_are_refused(
    lax: sa.Engine, types: dict[str, Any], said: str
) -> None:
    theirs = shop(**types)
    theirs.metadata.create_all(lax)

    with pytest.raises(SchemaError) as raised:
        Recommender.from_engine(lax, host=theirs.host, settings=PATIENT, migrate=True)

    assert str(raised.value).startswith(said)
    assert 'deterministic one such as "C"' in str(raised.value)


def test_a_select_may_say_a_better_collation_but_columns_of_sign_ins_have_theirs(
    lax: sa.Engine,
) -> None:
    theirs = shop(user_id=LAX)
    theirs.metadata.create_all(lax)
    better = HostSchema(
        users=sa.select(theirs.users.c.id.collate("C").label("user_id")),
        items=theirs.host.items,
        bids=sa.select(
            theirs.bids.c.who.collate("C").label("user_id"),
            theirs.bids.c.what.label("item_id"),
            theirs.bids.c.at.label("placed_at"),
        ),
    )
    in_columns = SignInColumns(
        table=theirs.users, last_sign_in_at="last_seen", sign_in_count="seen_how_often"
    )

    Recommender.from_engine(lax, host=better, settings=PATIENT, migrate=True)
    with pytest.raises(SchemaError) as raised:
        Recommender.from_engine(
            lax, host=attrs.evolve(better, sign_ins=in_columns), settings=PATIENT, migrate=True
        )

    assert str(raised.value).startswith("SignInColumns: user_id (id of people) has the collation")


def test_other_ids_than_texts_are_not_asked_for_their_collation(lax: sa.Engine) -> None:
    theirs = shop(user_id=sa.Uuid(), item_id=sa.BigInteger(), category_id=sa.Uuid())
    theirs.metadata.create_all(lax)
    kinds = IdKinds(user=IdKind.UUID, item=IdKind.INT, category=IdKind.UUID)
    settings = attrs.evolve(PATIENT, ids=kinds)

    reco = Recommender.from_engine(lax, host=theirs.host, settings=settings, migrate=True)

    assert reco.check() == ()


# Engines.


def test_an_engine_that_renames_schemas_is_refused(engine: sa.Engine) -> None:
    renaming = engine.execution_options(schema_translate_map={None: "tenant"})

    ways: list[dict[str, Any]] = [{"check": False}, {"migrate": True}, {"host": shop().host}]
    for options in ways:
        with pytest.raises(InvalidValueError, match="schema_translate_map"):
            Recommender.from_engine(renaming, **options)

    assert sa.inspect(engine).get_table_names() == []


class State(sa.types.TypeDecorator[str]):
    """What is kept as db:open is open to the host."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else f"db:{value}"


def test_a_condition_on_a_type_of_the_hosts_means_the_same_in_bulk_and_by_card(
    engine: sa.Engine,
) -> None:
    theirs = shop()
    states = sa.Table(
        "states", theirs.metadata, sa.Column("id", sa.Text), sa.Column("state", State)
    )
    theirs.metadata.create_all(engine)
    rows = {"a": "open", "b": "closed", "c": "won", "d": "open"}
    with engine.begin() as connection:
        connection.execute(
            sa.insert(states), [{"id": one, "state": state} for one, state in rows.items()]
        )
    state = states.c.state
    conditions: list[tuple[sa.ColumnElement[bool], list[str]]] = [
        (state == "open", ["a", "d"]),
        (state.in_(["open", "won"]), ["a", "c", "d"]),
        (state.in_([]), []),
        (state.not_in(["open", "won"]), ["b"]),
        (sa.or_(state.in_(["open"]), state.in_(["won"])), ["a", "c", "d"]),
        (sa.and_(state.in_(["open", "won"]), states.c.id.in_(["a", "b", "c"])), ["a", "c"]),
        (sa.cast(state, sa.Text).like("%:o%"), ["a", "d"]),
    ]
    for condition, expected in conditions:
        items = sa.select(states.c.id.label("item_id")).where(condition)
        host = HostSchema(users=theirs.host.users, items=items, bids=theirs.host.bids)

        reco = Recommender.from_engine(engine, host=host, settings=PATIENT, migrate=True)

        assert open_items(reco) == expected
        assert items_with_cards(reco, *rows) == expected


def on_connect(engine: sa.Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def begin(raw: Any, _: object) -> None:
        with raw.cursor() as cursor:
            cursor.execute("SET search_path TO public")


def on_checkout(engine: sa.Engine) -> None:
    @sa.event.listens_for(engine, "checkout")
    def begin(raw: Any, *_: object) -> None:
        with raw.cursor() as cursor:
            cursor.execute("SET search_path TO public")


@pytest.mark.parametrize("listen", [on_connect, on_checkout])
def test_a_listener_may_leave_a_transaction_open(
    postgres: str, listen: Callable[[sa.Engine], None]
) -> None:
    with engine_of(postgres) as engine:
        listen(engine)

        reco = Recommender.from_engine(engine, settings=PATIENT, migrate=True)
        fill(
            storage_of(reco),
            users=[User(user_id=UserId("ann"), last_sign_in_at=NOW)],
            items=[lot("vase"), lot("jar")],
            bids=[bid("ann", "vase")],
        )
        moved = again(reco.ports, PATIENT, clock=ManualClock(NOW))

        assert reco.check() == ()
        assert open_items(reco) == ["jar", "vase"]
        assert ids_of(moved.as_user("ann").homepage()) == ["jar"]
        assert moved.signed_in("ann")
        assert moved.bid_placed("ann", "jar")
        assert [moved.system.run_job(job).scope for job in BATCH_JOBS] == [1, 0, 2, 1, 2]
        signed_in = moved.as_user("ann").sign_ins()
        assert signed_in is not None
        assert signed_in.count == 1
        # In a second session they are kept, too.
        with engine.connect() as one, engine.connect() as other:
            counts = [
                theirs.exec_driver_sql("SELECT sign_in_count FROM users").scalar()
                for theirs in (one, other)
            ]
        assert counts == [1, 1]


# Moments.


STORED = {
    "12:00:00.999900": 999_900,
    "12:00:00.999999": 999_999,
    "12:00:00.999400": 999_400,
    "12:00:00.000001": 1,
    "12:00:00.999": 999_000,
    "12:00:00.001": 1_000,
    "12:00:00": 0,
}
"""Times of day as SQLite may keep them, and the microseconds that they mean."""


def test_a_moment_of_sqlite_is_read_to_the_microsecond(lite: sa.Engine) -> None:
    theirs = shop(moment=sa.DateTime())
    theirs.metadata.create_all(lite)
    with lite.begin() as connection:
        for stored in STORED:
            connection.exec_driver_sql(
                "INSERT INTO offers VALUES (?, 'vase', ?)", (stored, f"2026-05-20 {stored}")
            )
    reco = Recommender.from_engine(lite, host=theirs.host, settings=PATIENT, migrate=True)
    activity, tick = reco.ports.activity, timedelta(microseconds=1)

    for stored, microsecond in STORED.items():
        at, who = datetime(2026, 5, 20, 12, microsecond=microsecond, tzinfo=UTC), UserId(stored)

        def moments(since: datetime, until: datetime, who: UserId = who) -> list[object]:
            users = SAMPLE.user_column([who])
            happened = activity.interactions(since=since, until=until, users=users)
            return [moment for some in happened for moment in some.moments.tolist()]

        [read] = activity.user_bids(who)
        assert read.placed_at == at
        assert moments(at, at) == moments(at - DAY, at + DAY) == [to_micros(at)]
        assert moments(at + tick, at + DAY) == moments(at - DAY, at - tick) == []
        assert len(activity.user_bids(who, since=at, until=at)) == 1
        assert len(activity.user_bids(who, since=at + tick)) == 0
        assert len(activity.user_bids(who, until=at - tick)) == 0


def test_columns_of_sign_ins_are_refused_over_a_day(url: str, engine: sa.Engine) -> None:
    theirs = shop()
    theirs.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            sa.insert(theirs.users),
            [{"id": "ann", "seen_on": date(2026, 5, 1), "seen_how_often": 3}],
        )
    Recommender.from_engine(engine, host=theirs.host, settings=PATIENT, migrate=True)
    days = SignInColumns(
        table=theirs.users, last_sign_in_at="seen_on", sign_in_count="seen_how_often"
    )
    host = HostSchema(
        users=theirs.host.users, items=theirs.host.items, bids=theirs.host.bids, sign_ins=days
    )
    rows = theirs.rows(engine)

    for migrate in (False, True):
        with pytest.raises(SchemaError, match=r"last_sign_in_at \(seen_on of people\)"):
            Recommender.connect(url, host=host, settings=PATIENT, migrate=migrate)

    assert theirs.rows(engine) == rows


# Ports that a host evolves.


def test_evolved_ports_know_their_storage(engine: sa.Engine) -> None:
    theirs = shop()
    theirs.metadata.create_all(engine)
    ports = sql_ports(engine, PATIENT, host=theirs.host, migrate=True)
    with engine.begin() as connection:
        connection.execute(
            sa.insert(theirs.bids), [{"who": None, "what": "vase", "at": now_in(engine)}]
        )

    reco = Recommender(attrs.evolve(ports, clock=ManualClock(NOW)), PATIENT)

    assert storage_of(reco) is ports.storage
    assert [str(one) for one in reco.check()] == [
        "bids.user_id: null, which leaves the row out in 1 row"
    ]
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE goods RENAME TO wares")
    with pytest.raises(SchemaError, match="the select of items cannot be run"):
        reco.check()


def test_ports_of_a_database_know_their_storage_at_another_moment(engine: sa.Engine) -> None:
    ports = sql_ports(engine, PATIENT, migrate=True)

    reco = Recommender(ports, PATIENT).as_of_moment(NOW)

    assert storage_of(reco) is ports.storage
    assert reco.check() == ()


def test_ports_in_memory_have_no_storage() -> None:
    reco = Recommender(attrs.evolve(memory_ports(), clock=ManualClock(NOW)))

    assert reco.storage is None
    assert reco.check() == ()


def test_from_another_moment_there_is_a_way_back_to_the_present() -> None:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    ports = attrs.evolve(memory_ports(), clock=ManualClock(NOW))

    for back in (
        Recommender(ports, as_of=long_ago).as_of_moment(None),
        Recommender(ports).as_of_moment(long_ago).as_of_moment(None),
        Recommender(ports, as_of=long_ago).as_of_moment(long_ago - DAY).as_of_moment(None),
    ):
        assert back.as_of is None
        assert back.ports.clock.now() == NOW


def test_from_another_moment_on_a_database_there_is_a_way_back_to_now(lite: sa.Engine) -> None:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    before = datetime.now(UTC)

    reco = Recommender.from_engine(lite, settings=PATIENT, migrate=True, as_of=long_ago)

    assert reco.ports.clock.now() == long_ago
    assert reco.as_of_moment(None).ports.clock.now() >= before
