"""Rows of a host's that cannot be read: left out, found with an example, and never an error."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from angle_reco import HostSchema, IdKind, IdKinds, Recommender, SchemaError, Settings
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.written_moments import read_moment
from tests.adapters.databases import quieten
from tests.application.shop import NOW
from tests.domain.test_written_moments import FORMS, OTHER_FORMS
from tests.postgres import new_database

PATIENT = Settings(deadline=timedelta(seconds=30), cache_enabled=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[sa.Engine]:
    """Give an engine on an empty database."""
    if request.param == "sqlite":
        engine = sa.create_engine(f"sqlite:///{tmp_path / 'host.db'}")
        yield engine
        quieten(engine)
        return
    url = request.getfixturevalue("postgres_url")
    with new_database(url) as own:
        engine = sa.create_engine(own)
        yield engine
        engine.dispose()


@attrs.frozen
class Shop:
    """Users, lots and bids whose columns have these types, on a database of one lot."""

    engine: sa.Engine
    lots: sa.Table
    host: HostSchema

    @classmethod
    def of(
        cls,
        engine: sa.Engine,
        id_: sa.types.TypeEngine[Any] | None = None,
        ends_at: sa.types.TypeEngine[Any] | None = None,
        **extra: Any,
    ) -> "Shop":
        metadata = sa.MetaData()
        people = sa.Table("people", metadata, sa.Column("id", sa.Text))
        lots = sa.Table(
            "lots",
            metadata,
            sa.Column("id", id_ or sa.Text()),
            sa.Column("price", sa.Numeric),
            sa.Column("ends_at", ends_at or sa.DateTime(timezone=True)),
        )
        offers = sa.Table(
            "offers",
            metadata,
            sa.Column("who", sa.Text),
            sa.Column("what", id_ or sa.Text()),
            sa.Column("at", ends_at or sa.DateTime(timezone=True)),
        )
        metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(sa.insert(people).values(id="ann"))
        host = HostSchema(
            users=sa.select(people.c.id.label("user_id")),
            items=sa.select(lots.c.id.label("item_id"), lots.c.price, lots.c.ends_at),
            bids=sa.select(
                offers.c.who.label("user_id"),
                offers.c.what.label("item_id"),
                offers.c.at.label("placed_at"),
            ),
            **extra,
        )
        return cls(engine, lots, host)

    def insert(self, table: str, **values: object) -> None:
        names = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        with self.engine.begin() as connection:
            connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), values)  # noqa: S608 — of the tests

    def open(self, **changes: Any) -> Recommender:
        settings = attrs.evolve(PATIENT, **changes)
        return Recommender.from_engine(self.engine, settings=settings, host=self.host, migrate=True)


def shown(reco: Recommender) -> list[object]:
    """Return the ids of what is shown, in order."""
    return sorted(reco.anonymous.popular_items(limit=99).ids, key=str)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_sqlite_reads_moments_by_the_rule(engine: sa.Engine) -> None:
    shop = Shop.of(engine, ends_at=sa.DateTime())
    # SQLite has no larger integers.
    others = [one for one in OTHER_FORMS if not (isinstance(one, int) and abs(one) > 2**63)]
    written = [form for form, _ in FORMS] + others
    raw = engine.raw_connection()
    raw.driver_connection.executemany(  # type: ignore[union-attr]  # of sqlite3
        "INSERT INTO lots (id, ends_at) VALUES (?, ?)",
        [(f"{place:03}", one) for place, one in enumerate(written)],
    )
    raw.commit()
    stored = raw.driver_connection.execute("SELECT id, ends_at FROM lots").fetchall()  # type: ignore[union-attr]  # of sqlite3
    raw.close()

    with shop.open() as reco:
        cards = reco.ports.catalog.cards([one for one, _ in stored], at=NOW)
        found = {one.label: one for one in reco.check()}

    unread = 0
    for item_id, value in stored:
        expected = None if value is None else read_moment(value)
        card = cards[item_id]
        if value is not None and expected is None:
            unread += 1
            assert not card.is_published
        elif value is not None:
            assert card.ends_at is not None
            assert read_moment(card.ends_at.isoformat()) == expected
    assert unread > 30
    assert found["ends_at"].what.startswith("a moment without a time zone")
    with shop.open() as reco:
        [lost] = [one for one in reco.check() if one.what.startswith("no moment")]
    assert (lost.select, lost.label, lost.rows) == ("items", "ends_at", unread)
    assert lost.example is not None


def test_what_cannot_be_read_is_not_shown_and_not_counted(engine: sa.Engine) -> None:
    shop = Shop.of(engine, ends_at=sa.Numeric(), time_zone="UTC")
    now = datetime.now(UTC)
    later = (now + timedelta(days=30)).timestamp()
    for item, end in (("now", None), ("later", later), ("odd", 1e30), ("past", 1e9)):
        shop.insert("lots", id=item, ends_at=end)
    shop.insert("lots", id="costly", price=-1)
    for item, at in (("now", now.timestamp()), ("now", 1e30), ("later", now.timestamp() * 1_000)):
        shop.insert("offers", who="ann", what=item, at=at)

    with shop.open() as reco:
        assert shown(reco) == ["later", "now"]
        assert reco.system.stats().bids == 2
        found = [(one.select, one.label, one.what, one.rows) for one in reco.check()]
        examples = [one.example for one in reco.check()]
    assert found == [
        ("items", "price", "no price, which makes the item not open", 1),
        ("items", "ends_at", "no moment that can be read, which makes the item not open", 1),
        ("bids", "placed_at", "no moment that can be read, which leaves the row out", 1),
    ]
    assert "-1" in str(examples[0])


def test_a_watch_at_a_moment_that_cannot_be_read_is_not_counted(engine: sa.Engine) -> None:
    shop = Shop.of(engine, ends_at=sa.Numeric(), time_zone="UTC")
    bids = sa.select(shop.host.bids.subquery())
    columns = bids.selected_columns
    host = attrs.evolve(
        shop.host,
        bids=bids.where(sa.false()),
        watches=sa.select(columns.user_id, columns.item_id, columns.placed_at.label("watched_at")),
    )
    now = datetime.now(UTC).timestamp()
    for item, at in (("vase", now), ("jar", 1e30)):
        shop.insert("lots", id=item)
        shop.insert("offers", who="ann", what=item, at=at)

    with attrs.evolve(shop, host=host).open() as reco:
        assert reco.system.stats().watches == 1
        assert [str(one) for one in reco.as_user("ann").homepage().ids] == ["jar"]
        [found] = reco.check()
    assert (found.select, found.label, found.rows) == ("watches", "watched_at", 1)
    assert found.what == "no moment that can be read, which leaves the row out"
    assert found.example is not None


ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe", "Europe/Dublin")


@pytest.mark.parametrize("zone", ZONES)
def test_local_times_are_read_alike_on_both_sides_of_every_change(
    engine: sa.Engine, zone: str
) -> None:
    shop, of_zone = Shop.of(engine, ends_at=sa.DateTime(), time_zone=zone), ZoneInfo(zone)
    first = datetime(2026, 1, 1)  # noqa: DTZ001 — local, as hosts store it
    day, hours = timedelta(days=1), list[datetime]()
    for midnight in (first + place * day for place in range(366)):
        before, after = (
            one.replace(tzinfo=of_zone).utcoffset() for one in (midnight - day, midnight + 2 * day)
        )
        # Every half hour of the days beside a change.
        parts = 1 if before == after else 48
        hours += [midnight + timedelta(minutes=30 * part) for part in range(parts)]
    with engine.begin() as connection:
        connection.execute(
            sa.insert(shop.lots), [{"id": one.isoformat(), "ends_at": one} for one in hours]
        )

    with shop.open() as reco:
        ids = [one.isoformat() for one in hours]
        cards = reco.ports.catalog.cards(ids, at=NOW)  # type: ignore[arg-type]  # texts are ids
        found = reco.check()

    expected = {one: read_moment(one, of_zone) for one in ids}
    assert {str(one): read_moment(str(card.ends_at)) for one, card in cards.items()} == expected
    assert found == ()


def test_local_times_without_a_zone_are_a_finding(engine: sa.Engine) -> None:
    shop = Shop.of(engine, ends_at=sa.DateTime())
    shop.insert("lots", id="vase", ends_at="2031-01-01 00:00:00")

    with shop.open() as reco:
        [found] = reco.check()

    assert (found.select, found.label, found.rows) == ("items", "ends_at", 1)
    assert "HostSchema(time_zone=...)" in found.what
    assert found.example == "'2031-01-01 00:00:00'"


@pytest.mark.parametrize("name", ["Berlin", "Europe", "", "../etc/passwd", 7, "Europe/Berlin\x00"])
def test_a_time_zone_that_is_none_is_refused(name: Any) -> None:
    users = sa.select(sa.column("user_id", sa.Text))
    items = sa.select(sa.column("item_id", sa.Text))
    bids = sa.select(
        sa.column("user_id", sa.Text),
        sa.column("item_id", sa.Text),
        sa.column("placed_at", sa.Date),
    )

    with pytest.raises(InvalidValueError, match=r"time_zone is .*Europe/Berlin"):
        HostSchema(users=users, items=items, bids=bids, time_zone=name)


def test_sign_ins_are_counted_in_local_time(engine: sa.Engine) -> None:
    from angle_reco.sql import SignInColumns

    metadata = sa.MetaData()
    members = sa.Table(
        "members",
        metadata,
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("seen", sa.DateTime),
        sa.Column("times", sa.Integer),
    )
    metadata.create_all(engine)
    shop = Shop.of(engine)
    host = attrs.evolve(
        shop.host,
        users=sa.select(members.c.id.label("user_id"), members.c.seen.label("last_sign_in_at")),
        sign_ins=SignInColumns(table=members, last_sign_in_at="seen", sign_in_count="times"),
        time_zone="Asia/Tokyo",
    )
    shop.insert("members", id="ann", seen="2026-06-01 20:00:00", times=3)

    with (
        Recommender.from_engine(engine, settings=PATIENT, host=host, migrate=True) as reco,
        engine.begin() as connection,
    ):
        assert reco.signed_in("ann", at=NOW - timedelta(days=1), connection=connection)
        [(kept,)] = connection.execute(sa.select(members.c.seen))
        assert kept == datetime(2026, 6, 1, 20)  # noqa: DTZ001 — local, as hosts store it
        assert reco.signed_in("ann", at=NOW, connection=connection)
        [(seen, times)] = connection.execute(sa.select(members.c.seen, members.c.times))
    assert (seen, times) == (datetime(2026, 6, 1, 21), 5)  # noqa: DTZ001 — local, as hosts store it


# Ids of another form.

DASHED = ["9283e27f-cec0-4856-8c6b-e092599880a9", "9283E27F-CEC0-4856-8C6B-E092599880AA"]
IN_BYTES = "sa.type_coerce(sa.func.lower(sa.func.hex(column)), sa.Uuid)"
REPLACED = 'sa.type_coerce(sa.func.lower(sa.func.replace(column, "-", "")), sa.Uuid)'


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("stored", "cast"),
    [
        (DASHED, REPLACED),
        ([one.upper().replace("-", "") for one in DASHED], REPLACED),
        ([UUID(one).bytes for one in DASHED], IN_BYTES),
    ],
)
def test_uuids_in_another_form_are_refused_with_a_cast_that_works(
    engine: sa.Engine, stored: list[Any], cast: str
) -> None:
    ids = IdKinds(item=IdKind.UUID)
    shop = Shop.of(engine, id_=sa.Uuid())
    with engine.begin() as connection:
        for one in stored:
            connection.exec_driver_sql("INSERT INTO lots (id) VALUES (?)", (one,))

    with pytest.raises(SchemaError) as raised:
        shop.open(ids=ids)

    assert f"; {cast} in the select makes it one" in str(raised.value)
    column = shop.lots.c.id
    makes = eval(cast, {"sa": sa, "column": sa.type_coerce(column, sa.Text)})
    host = attrs.evolve(shop.host, items=sa.select(makes.label("item_id")))
    with attrs.evolve(shop, host=host).open(ids=ids) as reco:
        assert shown(reco) == sorted(map(UUID, DASHED), key=str)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_ids_in_another_form_are_refused_after_columns_that_are_absent(engine: sa.Engine) -> None:
    shop = Shop.of(engine)
    items = sa.select(
        shop.lots.c.id.label("item_id"),
        sa.type_coerce(shop.lots.c.ends_at, sa.Uuid).label("seller_id"),
    )
    shop.insert("lots", id="vase", ends_at=DASHED[0])
    shop.insert("people", id=UUID(DASHED[0]).hex)
    people, offers = sa.table("people", sa.column("id", sa.Uuid)), shop.host.bids.subquery().c
    host = HostSchema(
        users=sa.select(people.c.id.label("user_id")).where(sa.func.length(people.c.id) == 32),
        items=items,
        bids=sa.select(
            sa.type_coerce(offers.user_id, sa.Uuid).label("user_id"),
            offers.item_id,
            offers.placed_at,
        ),
    )
    with pytest.raises(SchemaError, match="the select of items: seller_id holds ids such as"):
        attrs.evolve(shop, host=host).open(ids=IdKinds(user=IdKind.UUID))


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_prices_that_are_rounded_by_more_than_a_thousandth_of_a_unit_are_found(
    engine: sa.Engine,
) -> None:
    shop = Shop.of(engine, time_zone="UTC")
    for place, price in enumerate(("1.00001", "1.00000010", "1.0001001", "1.00010011", "1.9999")):
        shop.insert("lots", id=str(place), price=Decimal(price))

    with shop.open() as reco:
        [found] = reco.check()

    assert (found.label, found.rows) == ("price", 2)
    assert found.what == "more digits than the price scale has, which is rounded"


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.parametrize("is_day", [True, False])
def test_required_moments_beyond_the_calendar_are_found(engine: sa.Engine, is_day: bool) -> None:
    shop = Shop.of(
        engine, ends_at=sa.Date() if is_day else sa.DateTime(timezone=True), time_zone="UTC"
    )
    shop.insert("lots", id="vase")
    inside, beyond = ("0001-01-02", "9999-12-30"), ("0001-01-01", "9999-12-31", "infinity")
    if not is_day:
        inside = (f"{inside[0]} 00:00Z", f"{inside[1]} 23:59:59.999999Z")
        beyond = (f"{beyond[0]} 23:59:59.999999Z", f"{beyond[1]} 00:00Z", "infinity")
    with engine.begin() as connection:
        for at in (*inside, *beyond):
            connection.exec_driver_sql(f"INSERT INTO offers VALUES ('ann', 'vase', '{at}')")  # noqa: S608 — of the tests

    with shop.open() as reco:
        [found] = reco.check()
        assert reco.system.stats().bids == len(inside)

    assert (found.label, found.rows) == ("placed_at", len(beyond))
    assert found.what == "no moment of the calendar, which leaves the row out"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_some_ids_in_another_form_are_left_out(
    engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop.of(engine, id_=sa.Uuid(), time_zone="UTC")
    good = UUID(DASHED[0])
    with engine.begin() as connection:
        for one in (good.hex, DASHED[1], "", "vase", good.bytes):
            connection.exec_driver_sql("INSERT INTO lots (id) VALUES (?)", (one,))

    with shop.open(ids=IdKinds(item=IdKind.UUID)) as reco:
        assert shown(reco) == [good]
        assert caplog.messages == ["selects have odd rows: labels=items.item_id looked_at=1000"]
        [found] = reco.check()
    assert (found.rows, found.what) == (4, "an id of another form, which leaves the row out")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("odd", ["61ff", "ff", "6100ff", "c3", "eda080"])
def test_an_id_that_is_no_utf_8_is_left_out(engine: sa.Engine, odd: str) -> None:
    shop = Shop.of(engine, time_zone="UTC")
    texts = ("'Ärger'", "'a\tb'", f"CAST(x'{odd}' AS TEXT)")
    with engine.begin() as connection:
        for one in texts:
            connection.exec_driver_sql(f"INSERT INTO lots (id) VALUES ({one})")  # noqa: S608 — of the tests
            for bid in (f"({one}, 'a\tb', '{NOW}')", f"('ann', {one}, '{NOW}')"):
                connection.exec_driver_sql(f"INSERT INTO offers VALUES {bid}")  # noqa: S608 — of the tests
        connection.exec_driver_sql(f"INSERT INTO people VALUES (CAST(x'{odd}' AS TEXT))")  # noqa: S608 — of the tests

    with shop.open() as reco:
        assert shown(reco) == ["a\tb", "Ärger"]
        assert list(reco.as_user("bob").homepage().ids)
        for job in BATCH_JOBS:
            assert reco.system.run_job(job).failed == 0
        found = [(one.select, one.label, one.rows, one.what) for one in reco.check()]
        with engine.begin() as connection:
            assert reco.signed_in("ann", connection=connection)
    what = "an id of another form, which leaves the row out"
    assert found == [
        ("users", "user_id", 1, what),
        ("items", "item_id", 1, what),
        ("bids", "user_id", 1, what),
        ("bids", "item_id", 1, what),
    ]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("encoding", "odd"), [("UTF-8", "d8"), ("UTF-16le", "00d8"), ("UTF-16be", "d800")]
)
def test_texts_are_read_in_the_encoding_of_the_database(
    engine: sa.Engine, encoding: str, odd: str
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"PRAGMA encoding = '{encoding}'")
    shop = Shop.of(engine, ends_at=sa.DateTime())
    titled = shop.host.items.add_columns(sa.literal("Ä 100 €").label("title"))  # type: ignore[attr-defined]  # of a select
    shop = attrs.evolve(shop, host=attrs.evolve(shop.host, items=titled, public=("title",)))
    shop.insert("lots", id="Ärger", ends_at="2199-01-01T00:00:00+0100")
    shop.insert("lots", id="over", ends_at="2020-01-01T00:00:00Z")
    shop.insert("lots", id="odd", ends_at="soon, 100 €")
    shop.insert("offers", who="ann", what="over", at=NOW.isoformat())
    with engine.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO lots (id) VALUES (CAST(x'{odd}' AS TEXT))")  # noqa: S608 — of the tests

    with shop.open() as reco:
        [one] = reco.anonymous.popular_items()
        assert [one.item_id, one.title, one.public["title"]] == ["Ärger", *["Ä 100 €"] * 2]
        assert len(reco.as_user("ann").interests()) == 0
        found = {one.label: one for one in reco.check()}
    assert {label: one.rows for label, one in found.items()} == {"item_id": 1, "ends_at": 1}
    assert found["ends_at"].example == "'soon, 100 €'"


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("declared", "value", "type_", "cast"),
    [
        ("mood", "'sad'", "mood", "sa.cast(column, sa.Text)"),
        ("character(9)", "'vase'", "character", "sa.cast(column, sa.Text)"),
        ("bigint", "7", "bigint", "sa.cast(column, sa.Text)"),
        ("uuid", f"'{DASHED[0]}'", "uuid", "sa.cast(column, sa.Text)"),
    ],
)
def test_types_of_postgres_are_named_with_a_cast_that_works(
    engine: sa.Engine, declared: str, value: str, type_: str, cast: str
) -> None:
    shop = Shop.of(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TYPE mood AS ENUM ('sad', 'glad')")
        connection.exec_driver_sql(f"CREATE TABLE odd (id {declared})")
        connection.exec_driver_sql(f"INSERT INTO odd VALUES ({value})")  # noqa: S608 — of the tests
    column = sa.table("odd", sa.column("id", sa.Text)).c.id
    host = attrs.evolve(shop.host, items=sa.select(column.label("item_id")))

    with pytest.raises(SchemaError, match=rf"is of the type {type_}, which does not") as raised:
        attrs.evolve(shop, host=host).open()

    assert str(raised.value).endswith(f", which {cast} makes of it")
    makes = eval(cast, {"sa": sa, "column": column})
    host = attrs.evolve(shop.host, items=sa.select(makes.label("item_id")))
    with attrs.evolve(shop, host=host).open() as reco:
        assert len(shown(reco)) == 1


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.parametrize("declared", [sa.Numeric(), postgresql.MONEY(), sa.Integer()])
def test_a_column_of_money_is_named_with_a_cast_that_works(
    engine: sa.Engine, declared: sa.types.TypeEngine[Any]
) -> None:
    shop = Shop.of(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE odd (id text, price money)")
        connection.exec_driver_sql("INSERT INTO odd VALUES ('vase', 19.90)")
    odd = sa.table("odd", sa.column("id", sa.Text), sa.column("price", declared))
    host = attrs.evolve(shop.host, items=sa.select(odd.c.id.label("item_id"), odd.c.price))

    cast = r"sa\.cast\(column, sa\.Numeric\)"
    with pytest.raises(SchemaError, match=rf"is of the type money, which does not .*{cast}"):
        attrs.evolve(shop, host=host).open()
    price = sa.cast(odd.c.price, sa.Numeric).label("price")
    host = attrs.evolve(shop.host, items=sa.select(odd.c.id.label("item_id"), price))
    with attrs.evolve(shop, host=host).open() as reco:
        [one] = reco.anonymous.popular_items()
    assert one.price == Decimal("19.90")


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_an_enum_in_a_case_is_named(engine: sa.Engine) -> None:
    shop = Shop.of(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TYPE state AS ENUM ('running', 'over')")
        connection.exec_driver_sql("ALTER TABLE lots ADD state state")
    state = sa.column("state", sa.Text)
    status = sa.case({"running": "active"}, value=state, else_="ended").label("status")
    host = attrs.evolve(
        shop.host, items=sa.select(shop.lots.c.id.label("item_id"), status).select_from(shop.lots)
    )

    with pytest.raises(SchemaError, match=r"sa\.cast\(column, sa\.Text\) makes a text of an enum"):
        attrs.evolve(shop, host=host).open()


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.parametrize("type_", ["state", "integer"])
def test_a_case_of_two_types_is_named(engine: sa.Engine, type_: str) -> None:
    shop = Shop.of(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TYPE state AS ENUM ('running', 'over')")
        connection.exec_driver_sql(f"ALTER TABLE lots ADD state {type_}")
    state: sa.ColumnElement[Any] = sa.column("state")
    running = sa.cast(state, sa.Text) == "running"
    status = sa.case((running, sa.cast("active", sa.Text)), else_=state).label("status")
    host = attrs.evolve(
        shop.host, items=sa.select(shop.lots.c.id.label("item_id"), status).select_from(shop.lots)
    )

    with pytest.raises(
        SchemaError, match=r"sa\.cast\(column, sa\.Text\) makes .* else_ of sa\.case"
    ):
        attrs.evolve(shop, host=host).open()


def test_a_check_looks_at_the_first_rows_or_at_all(engine: sa.Engine) -> None:
    shop = Shop.of(engine)
    with engine.begin() as connection:
        connection.execute(
            sa.insert(shop.lots), [{"id": f"{n:06}", "price": 1} for n in range(10_001)]
        )
        connection.execute(sa.insert(shop.lots).values(id="last", price=-1))
        connection.execute(sa.insert(shop.lots).values(id="first", price=-2))

    with shop.open() as reco:
        some, everything = reco.check(), reco.check(everything=True)

    assert [one.rows for one in everything] == [2]
    assert all(one.looked_at == 10_000 for one in some)
    assert "of the first" not in str(everything[0])


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.parametrize("declared", ["text[]", "jsonb", "bytea"])
def test_for_what_holds_several_values_no_cast_is_named(engine: sa.Engine, declared: str) -> None:
    shop = Shop.of(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE odd (id {declared})")
    items = sa.select(sa.table("odd", sa.column("id", sa.Text)).c.id.label("item_id"))

    with pytest.raises(SchemaError, match=r"is of the type .*; it should be one of text, varchar$"):
        attrs.evolve(shop, host=attrs.evolve(shop.host, items=items)).open()


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_an_expression_that_fails_for_a_row_is_an_error_that_names_the_select(
    engine: sa.Engine,
) -> None:
    shop = Shop.of(engine)
    price = sa.cast(sa.cast(shop.lots.c.id, sa.Text), sa.Numeric).label("price")
    items = sa.select(shop.lots.c.id.label("item_id"), price)

    with attrs.evolve(shop, host=attrs.evolve(shop.host, items=items)).open() as reco:
        shop.insert("lots", id="vase")
        with pytest.raises(SchemaError, match="the select of items fails for one of its rows"):
            reco.check(everything=True)


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_time_zone_that_the_server_does_not_know_is_refused(engine: sa.Engine) -> None:
    shop = Shop.of(engine, time_zone="localtime")

    with pytest.raises(SchemaError, match="time_zone is 'localtime', which this PostgreSQL does"):
        shop.open()


def test_numbers_that_mean_a_moment_long_ago_are_found(engine: sa.Engine) -> None:
    shop = Shop.of(engine, ends_at=sa.Numeric(), time_zone="UTC")
    shop.insert("lots", id="vase", ends_at=20991231)

    with shop.open() as reco:
        [found] = reco.check()

    assert (found.label, found.rows) == ("ends_at", 1)
    assert found.what.startswith("a number that means a moment before 1980")


@pytest.mark.parametrize(("seconds", "is_found"), [(315_532_799, True), (315_532_800, False)])
def test_numbers_that_mean_a_moment_from_1980_on_are_usual(
    engine: sa.Engine, seconds: int, is_found: bool
) -> None:
    shop = Shop.of(engine, ends_at=sa.Numeric(), time_zone="UTC")
    shop.insert("lots", id="vase", ends_at=seconds)

    with shop.open() as reco:
        assert len(reco.check()) == is_found


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.parametrize("tiny", ["1e-400", "-1e-400"])
def test_a_number_too_small_for_a_double_is_a_moment(engine: sa.Engine, tiny: str) -> None:
    shop = Shop.of(engine, ends_at=sa.Numeric(), time_zone="UTC")
    shop.insert("lots", id="vase")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO lots (id, ends_at) VALUES ('over', {tiny})")  # noqa: S608 — of the tests
        connection.exec_driver_sql(f"INSERT INTO offers VALUES ('ann', 'vase', {tiny})")  # noqa: S608 — of the tests

    with shop.open() as reco:
        assert shown(reco) == ["vase"]
        assert [(one.select, one.label) for one in reco.check()] == [
            ("items", "ends_at"),
            ("bids", "placed_at"),
        ]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_value_that_an_enum_lacks_is_named(engine: sa.Engine) -> None:
    shop = Shop.of(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TYPE state AS ENUM ('running', 'over')")
        connection.exec_driver_sql("ALTER TABLE lots ADD state state")
    state = sa.column("state", sa.Enum("running", "over", "draft", name="state"))
    status = sa.case((state == "draft", "pending"), else_="active").label("status")
    items = sa.select(shop.lots.c.id.label("item_id"), status).select_from(shop.lots)

    with pytest.raises(SchemaError, match=r"sa\.cast\(column, sa\.Text\) makes a text of an enum"):
        attrs.evolve(shop, host=attrs.evolve(shop.host, items=items)).open()
