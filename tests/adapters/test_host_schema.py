"""What a host maps wrongly is refused when we connect; odd rows follow rules, and are found."""

import logging
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import attrs
import pytest
import sqlalchemy as sa

from angle_reco import (
    HostSchema,
    IdKind,
    IdKinds,
    InvalidValueError,
    ItemNotFoundError,
    Recommender,
    SchemaError,
    Settings,
    StorageUnavailableError,
)
from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.market.checking import require_server
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.domain.ids import ItemId
from angle_reco.domain.prices import PriceScale
from angle_reco.results import SignIns
from angle_reco.sql import SignInColumns
from angle_reco.testing import ManualClock
from tests.adapters.foreign import empty
from tests.application.shop import DAY, HOUR, NOW, again, ids_of
from tests.postgres import PASSWORD, ROLE_WITH_PASSWORD, new_database

# Shared machines are slow now and then.
PATIENT = Settings(deadline=timedelta(seconds=20))

THINGS = sa.Table(
    "things",
    sa.MetaData(),
    sa.Column("number", sa.BigInteger),
    sa.Column("words", sa.Text),
    sa.Column("uid", sa.Uuid),
    sa.Column("aware", sa.DateTime(timezone=True)),
    sa.Column("naive", sa.DateTime),
    sa.Column("day", sa.Date),
    sa.Column("amount", sa.Numeric),
    sa.Column("flag", sa.Boolean),
    sa.Column("packed", sa.LargeBinary),
)
"""A column of each type, for selects whose labels are all that matters."""


ROW = {"number": 1, "words": "one", "aware": NOW, "naive": datetime(2026, 6, 1), "day": NOW.date()}  # noqa: DTZ001 — naive on purpose


def things(**labels: Any) -> sa.Select[Any]:
    """Return a select of these columns, by their names or as they are, under these labels."""
    return sa.select(
        *(
            (THINGS.c[column] if isinstance(column, str) else column).label(label)
            for label, column in labels.items()
        )
    )


GOOD: dict[str, Any] = {
    "users": things(user_id="words", created_at="aware"),
    "items": things(item_id="words", category_id="words", starting_price="amount"),
    "bids": things(user_id="words", item_id="words", placed_at="aware"),
    "watches": things(user_id="words", item_id="words", watched_at="aware"),
}


def mapped(**selects: Any) -> HostSchema:
    """Return a mapping of the table, with these selects in place of good ones."""
    return HostSchema(**{**GOOD, **selects})


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    """Give a database with the table, ours beside it, and one row to read."""
    with new_database(postgres_url) as url:
        with engine_of(url) as engine:
            THINGS.metadata.create_all(engine)
            with engine.begin() as connection:
                connection.execute(sa.insert(THINGS).values(ROW))
        Recommender.connect(url, host=mapped(), migrate=True, settings=PATIENT).close()
        yield url


@contextmanager
def engine_of(url: str | sa.URL, **options: Any) -> Iterator[sa.Engine]:
    engine = sa.create_engine(url, **options)
    try:
        yield engine
    finally:
        engine.dispose()


def refusal(url: str, host: HostSchema, ids: IdKinds | None = None, **options: Any) -> str:
    """Return what connecting says, which must not work, and must leave nothing behind."""
    before = relations(url)
    with pytest.raises(SchemaError) as raised:
        Recommender.connect(
            url, settings=attrs.evolve(PATIENT, ids=ids or IdKinds()), host=host, **options
        )
    assert relations(url) == before
    return str(raised.value)


def relations(url: str) -> list[str]:
    """Return every table and view there is, with its columns."""
    everything = sa.text(
        "SELECT table_schema || '.' || table_name || '.' || column_name || ' ' || data_type"
        " FROM information_schema.columns WHERE table_schema !~ '^(pg_|info)' ORDER BY 1"
    )
    with engine_of(url) as engine, engine.connect() as connection:
        return list(connection.scalars(everything))


# What is seen before anything is asked of a database.


@pytest.mark.parametrize(
    ("select", "query", "said"),
    [
        (
            "users",
            things(created_at="aware"),
            "the select of users has no column labelled user_id, which should be the ids of"
            " users; it has created_at",
        ),
        (
            "users",
            things(userid="words"),
            "the select of users has no column labelled user_id, which should be the ids of"
            " users; it has userid",
        ),
        (
            "bids",
            things(user_id="words", item_id="words"),
            "the select of bids has no column labelled placed_at, which should be the moments"
            " (timestamps); it has user_id, item_id",
        ),
        (
            "items",
            things(item_id="words", categoryid="words"),
            "the select of items has a column 'categoryid', which means nothing there: label each"
            " column as one of item_id, category_id, seller_id, title, price, starting_price,"
            " is_published, status, starts_at, ends_at, listed_at, or name it in public=(...)",
        ),
        (
            "users",
            sa.select(THINGS.c.words.label("user_id"), THINGS.c.number + 1),
            "the select of users has a column without a name, which means nothing there: label"
            " each column as one of user_id, created_at, last_sign_in_at",
        ),
        (
            "users",
            sa.select(THINGS.c.number + 1),
            "the select of users has no column labelled user_id, which should be the ids of"
            " users; it has none with a name",
        ),
        (
            "users",
            sa.select(sa.text("words AS user_id")).select_from(THINGS),
            "the select of users has no column labelled user_id, which should be the ids of"
            " users; it has none with a name",
        ),
        (
            "users",
            sa.select(THINGS.c.words.label("user_id"), THINGS.c.uid.label("user_id")),
            "the select of users has two columns labelled user_id",
        ),
        (
            "users",
            sa.text("SELECT words AS user_id FROM things"),
            "the select of users is text without labels: say which columns it has, with"
            " sa.text(...).columns(user_id, created_at, last_sign_in_at)",
        ),
    ],
)
def test_a_select_whose_labels_are_wrong_is_refused_at_once(
    select: str, query: Any, said: str
) -> None:
    with pytest.raises(SchemaError) as raised:
        mapped(**{select: query})

    assert str(raised.value) == said


@pytest.mark.parametrize("query", ["SELECT words AS user_id FROM things", THINGS, None])
def test_what_is_no_select_is_refused_at_once(query: object) -> None:
    with pytest.raises(InvalidValueError) as raised:
        mapped(users=query)

    assert str(raised.value) == (
        f"select of users is {type(query).__name__!r}, but should be a select labelled user_id,"
        " created_at, last_sign_in_at"
    )


# What is seen when we connect.


def test_a_column_that_is_not_there_is_named(url: str) -> None:
    said = refusal(url, mapped(bids=things(**LABELS_OF_BIDS, amount=sa.column("price_paid"))))

    assert said == (
        "the select of bids cannot be run: the database is not as it should be"
        ' (column "price_paid" does not exist)'
    )


LABELS_OF_BIDS = {"user_id": "words", "item_id": "words", "placed_at": "aware"}


def test_a_table_that_is_not_there_is_named(url: str) -> None:
    nowhere = sa.table("nowhere", sa.column("id", sa.Text))

    said = refusal(url, mapped(users=sa.select(nowhere.c.id.label("user_id"))))

    assert said.startswith("the select of users cannot be run: ")
    assert 'relation "nowhere" does not exist' in said


def test_a_select_that_waits_for_a_value_is_refused(url: str) -> None:
    of_one = things(user_id="words").where(THINGS.c.number == sa.bindparam("shop"))

    said = refusal(url, mapped(users=of_one))

    assert said.startswith("the select of users cannot be run: ")
    assert "'shop'" in said


@pytest.mark.parametrize(
    ("select", "label", "column", "expected"),
    [
        ("users", "user_id", "number", "text, varchar"),
        ("users", "user_id", "uid", "text, varchar"),
        ("users", "created_at", "words", "timestamptz, timestamp, date"),
        ("users", "last_sign_in_at", "flag", "timestamptz, timestamp, date"),
        ("items", "item_id", "packed", "text, varchar"),
        ("items", "category_id", "number", "text, varchar"),
        ("items", "seller_id", "uid", "text, varchar"),
        ("items", "starting_price", "flag", "numeric"),
        ("items", "price", "words", "numeric"),
        ("items", "is_published", "number", "boolean"),
        ("items", "ends_at", "words", "timestamptz, timestamp, date"),
        ("bids", "amount", "aware", "numeric"),
        ("bids", "placed_at", "packed", "timestamptz, timestamp, date"),
        ("watches", "watched_at", "flag", "timestamptz, timestamp, date"),
    ],
)
def test_a_type_that_cannot_be_used_is_named(
    url: str, select: str, label: str, column: str, expected: str
) -> None:
    labels = {
        one.name: "words" if one.name.endswith("_id") else "aware"
        for one in GOOD[select].selected_columns
        if one.name != "starting_price"
    }

    said = refusal(url, mapped(**{select: things(**(labels | {label: column}))}))

    assert said.startswith(f"the select of {select}: {label} is of the type ")
    assert f"; it should be one of {expected}" in said


def test_an_id_of_another_kind_than_the_settings_say_is_told_both(url: str) -> None:
    said = refusal(url, mapped(bids=things(**(LABELS_OF_BIDS | {"item_id": "number"}))))

    assert said == (
        "the select of bids: item_id is of the type bigint, which does not hold ids of items (the"
        " settings say that those are of the kind text); it should be one of text, varchar, which"
        " sa.cast(column, sa.Text) makes of it"
    )


def test_settings_of_other_ids_than_our_tables_have_are_refused(url: str) -> None:
    said = refusal(url, mapped(), IdKinds(user=IdKind.INT))

    assert said == (
        "the ids there are text of users, text of items and text of categories, but the settings"
        " say int of users, text of items and text of categories: name them by"
        " Settings(ids=IdKinds(user=…, item=…, category=…))"
    )


@pytest.mark.parametrize(
    ("column", "declared", "said"),
    [
        ("naive", sa.DateTime(timezone=True), "DateTime(timezone=False)"),
        ("naive", sa.Date(), "DateTime(timezone=False)"),
        ("aware", sa.DateTime(), "DateTime(timezone=True)"),
        ("aware", sa.Date(), "DateTime(timezone=True)"),
        ("day", sa.DateTime(), "Date"),
        ("day", sa.DateTime(timezone=True), "Date"),
    ],
)
def test_a_moment_that_is_declared_as_another_is_refused(
    url: str, column: str, declared: sa.types.TypeEngine[Any], said: str
) -> None:
    otherwise = sa.type_coerce(THINGS.c[column], declared)

    refused = refusal(url, mapped(users=things(user_id="words", created_at=otherwise)))

    assert refused.startswith("the select of users: created_at is a ")
    assert refused.endswith(f": give it the type {said}")


class Utc(sa.types.TypeDecorator[datetime]):
    """What many projects have, for moments without a time zone."""

    impl = sa.DateTime
    cache_ok = True


@pytest.mark.parametrize("column", ["aware", "naive", "day", sa.type_coerce(THINGS.c.naive, Utc)])
def test_any_column_of_moments_can_be_used_as_it_is(url: str, column: Any) -> None:
    labels = LABELS_OF_BIDS | {"placed_at": column}

    host = attrs.evolve(mapped(bids=things(**labels)), time_zone="UTC")
    with Recommender.connect(url, host=host, settings=PATIENT) as reco:
        assert reco.check() == ()


def test_a_column_may_go_by_another_key(url: str) -> None:
    keyed = sa.Table("things", sa.MetaData(), sa.Column("words", sa.Text, key="user_id"))

    with Recommender.connect(url, host=mapped(users=sa.select(keyed)), settings=PATIENT) as reco:
        assert reco.system.stats().users == 1


def test_without_rights_on_a_table_it_is_named(url: str) -> None:
    with engine_of(url) as engine, engine.begin() as connection:
        connection.execute(
            sa.text(
                f"GRANT SELECT ON angle_reco_version, angle_reco_additions TO {ROLE_WITH_PASSWORD}"
            )
        )
    limited = as_role(url)

    said = refusal(limited, mapped())

    assert said == (
        "the select of users cannot be run: the database's user may not do this"
        " (permission denied for table things)"
    )


def test_without_rights_on_a_schema_it_is_named(url: str) -> None:
    with engine_of(url) as engine, engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA IF NOT EXISTS closed"))
        connection.execute(sa.text("CREATE TABLE IF NOT EXISTS closed.people (id text)"))
        connection.execute(
            sa.text(
                f"GRANT SELECT ON angle_reco_version, angle_reco_additions TO {ROLE_WITH_PASSWORD}"
            )
        )
    people = sa.table("people", sa.column("id", sa.Text), schema="closed")

    said = refusal(as_role(url), mapped(users=sa.select(people.c.id.label("user_id"))))

    assert said == (
        "the select of users cannot be run: the database's user may not do this"
        " (permission denied for schema closed)"
    )


def as_role(url: str) -> str:
    role = sa.make_url(url).set(username=ROLE_WITH_PASSWORD, password=PASSWORD)
    return role.render_as_string(hide_password=False)


def test_a_schema_that_is_not_there_is_named(url: str) -> None:
    said = refusal(url, mapped(), schema="no where")

    assert "has no table no where.angle_reco_version: create our tables with" in said


def test_tables_of_a_newer_release_are_left_alone(postgres_url: str) -> None:
    with new_database(postgres_url) as url, engine_of(url) as engine:
        THINGS.metadata.create_all(engine)
        Recommender.connect(url, host=mapped(), migrate=True, settings=PATIENT).close()
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE angle_reco_version SET version_num = '9999'"))

        for migrate in (False, True):
            said = refusal(url, mapped(), migrate=migrate)

            assert said == (
                "the schema is at revision 9999, which this release does not know: install a"
                " newer angle-reco"
            )


def test_a_server_that_is_too_old_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("angle_reco.adapters.sql.market.checking.OLDEST_POSTGRES", 99)

    with engine_of(url) as engine, pytest.raises(SchemaError) as raised:
        Recommender.from_engine(engine, host=mapped(), settings=PATIENT)

    assert re.fullmatch(
        r"PostgreSQL \d+[\d.]* is too old: it should be 99 or newer", str(raised.value)
    )


@pytest.mark.parametrize(("version", "is_refused"), [((14, 22), True), ((15, 0), False)])
def test_the_oldest_server_is_the_one_that_the_pages_name(
    url: str, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int], is_refused: bool
) -> None:
    with engine_of(url) as engine:
        database = Database(engine)
        with database.reading():
            monkeypatch.setattr(engine.dialect, "server_version_info", version)

        with pytest.raises(SchemaError) if is_refused else nullcontext():
            require_server(database)


def test_columns_of_sign_ins_have_to_be_what_they_are_said_to_be(url: str) -> None:
    wrong = {"words": "sign_in_count", "number": "last_sign_in_at", "uid": "user_id"}
    for column, what in wrong.items():
        right = {"user_id": "words", "last_sign_in_at": "aware", "sign_in_count": "number"}
        columns = SignInColumns(table=THINGS, **(right | {what: column}))

        said = refusal(url, mapped(sign_ins=columns))

        assert said.startswith(f"SignInColumns: {what} ({column} of things) is of the type ")


# Connecting itself.


def said_with_causes(error: BaseException) -> str:
    """Return all that a traceback or a log would show of an error."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    return "".join(traceback.format_exception(error)) + "".join(f"{one!r} {one}" for one in chain)


@pytest.mark.parametrize("migrate", [False, True])
def test_a_wrong_password_is_told_nowhere(
    url: str, migrate: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = sa.make_url(as_role(url)).set(password="not-the-Wert")

    with pytest.raises(StorageUnavailableError) as raised:
        Recommender.connect(
            wrong.render_as_string(hide_password=False), host=mapped(), migrate=migrate
        )

    said = said_with_causes(raised.value)
    assert "password authentication failed" in str(raised.value)
    assert "not-the-Wert" not in said + caplog.text + repr(raised.value.__dict__)


def test_a_database_that_is_not_there_is_named(url: str) -> None:
    nowhere = sa.make_url(url).set(database="no_such_shop").render_as_string(hide_password=False)

    with pytest.raises(StorageUnavailableError, match='database "no_such_shop" does not exist'):
        Recommender.connect(nowhere, host=mapped())


@pytest.mark.parametrize(
    "wrong",
    ["", "shop", "postgresql://a:s3cret@:port/x", "mysql://a:s3cret@db/shop", "http://s3cret@x"],
)
def test_a_wrong_url_is_refused_without_its_password(wrong: str) -> None:
    with pytest.raises(InvalidValueError, match=r"postgresql:///shop or sqlite:///shop\.db") as no:
        Recommender.connect(wrong, host=mapped())

    assert "a:s3cret" not in said_with_causes(no.value)


# Rows that are not as they should be.

PEOPLE = sa.Table(
    "people",
    sa.MetaData(),
    sa.Column("id", sa.Text),
    sa.Column("joined", sa.DateTime(timezone=True)),
    sa.Column("seen", sa.DateTime(timezone=True)),
)
GOODS = sa.Table(
    "goods",
    PEOPLE.metadata,
    sa.Column("id", sa.Text),
    sa.Column("kind", sa.Text),
    sa.Column("seller", sa.Text),
    sa.Column("title", sa.Text),
    sa.Column("price", sa.Numeric),
    sa.Column("start", sa.Numeric),
    sa.Column("state", sa.Text),
    sa.Column("opens", sa.DateTime(timezone=True)),
    sa.Column("closes", sa.DateTime(timezone=True)),
    sa.Column("listed", sa.DateTime(timezone=True)),
)
OFFERS = sa.Table(
    "offers",
    PEOPLE.metadata,
    sa.Column("who", sa.Text),
    sa.Column("what", sa.Text),
    sa.Column("amount", sa.Numeric),
    sa.Column("at", sa.DateTime(timezone=True)),
)
EYES = sa.Table(
    "eyes",
    PEOPLE.metadata,
    sa.Column("who", sa.Text),
    sa.Column("what", sa.Text),
    sa.Column("at", sa.DateTime(timezone=True)),
)
KINDS = sa.Table("kinds", PEOPLE.metadata, sa.Column("id", sa.Text))

LAX = HostSchema(
    users=sa.select(
        PEOPLE.c.id.label("user_id"),
        PEOPLE.c.joined.label("created_at"),
        PEOPLE.c.seen.label("last_sign_in_at"),
    ),
    items=sa.select(
        GOODS.c.id.label("item_id"),
        GOODS.c.kind.label("category_id"),
        GOODS.c.seller.label("seller_id"),
        GOODS.c.title,
        GOODS.c.price,
        GOODS.c.start.label("starting_price"),
        GOODS.c.state.label("status"),
        GOODS.c.opens.label("starts_at"),
        GOODS.c.closes.label("ends_at"),
        GOODS.c.listed.label("listed_at"),
    ),
    categories=sa.select(KINDS.c.id.label("category_id")),
    bids=sa.select(
        OFFERS.c.who.label("user_id"),
        OFFERS.c.what.label("item_id"),
        OFFERS.c.amount,
        OFFERS.c.at.label("placed_at"),
    ),
    watches=sa.select(
        EYES.c.who.label("user_id"),
        EYES.c.what.label("item_id"),
        EYES.c.at.label("watched_at"),
    ),
)
"""A mapping of tables that let anything in."""

TODAY = "'2026-06-01 11:00+00'"


@pytest.fixture(scope="module")
def lax_url(postgres_url: str) -> Iterator[str]:
    with new_database(postgres_url) as url:
        with engine_of(url) as engine:
            PEOPLE.metadata.create_all(engine)
        Recommender.connect(url, host=LAX, migrate=True, settings=PATIENT).close()
        yield url


@attrs.frozen
class Lax:
    """A host that lets anything in, and our recommender on it, at NOW."""

    url: str
    connected: Recommender
    reco: Recommender
    engine: sa.Engine

    def insert(self, into: str, *rows: str) -> None:
        """Insert rows, as SQL writes them."""
        with self.engine.begin() as connection:
            for row in rows:
                connection.exec_driver_sql(f"INSERT INTO {into} VALUES ({row})")  # noqa: S608 — of the tests

    def found(self) -> list[str]:
        """Return what a check finds, as it says it."""
        return [str(attrs.evolve(one, example=None)) for one in self.connected.check()]

    def price(self, item: str) -> object:
        """Return what an item costs: on its card, and where similar items are looked for."""
        [card] = self.reco.ports.catalog.cards([item], at=NOW).values()  # type: ignore[list-item]  # a text is an id
        catalogue = self.reco.ports.catalog.may_be_open(NOW)
        units = int(catalogue.prices[catalogue.items.code(card.item_id)])

        assert units == (-1 if card.price is None else card.price * 10_000)
        return card.price

    def popular(self) -> list[object]:
        """Return which items are popular, of those that are open."""
        return ids_of(self.reco.anonymous.popular_items())


@pytest.fixture(scope="module")
def lax_reco(lax_url: str) -> Iterator[Recommender]:
    """Return what is connected once: it keeps its compiled statements."""
    with Recommender.connect(lax_url, host=LAX, settings=PATIENT) as reco:
        yield reco


@pytest.fixture
def lax(lax_url: str, lax_reco: Recommender) -> Iterator[Lax]:
    with engine_of(lax_url) as engine:
        with engine.begin() as connection:
            empty(connection, Tables.of(IdKinds()), PEOPLE.metadata.sorted_tables)
        moved = again(lax_reco.ports, clock=ManualClock(NOW))
        yield Lax(lax_url, lax_reco, moved, engine)


def test_rows_without_ids_or_moments_are_left_out(lax: Lax) -> None:
    lax.insert("people (id)", "'ann'", "NULL", "NULL")
    lax.insert("goods (id)", "'vase'", "NULL")
    lax.insert("offers (who, what, at)", f"NULL, 'vase', {TODAY}", f"'ann', NULL, {TODAY}")
    lax.insert("offers (who, what, at)", "'ann', 'vase', NULL")
    lax.insert("eyes (who, what, at)", f"NULL, 'vase', {TODAY}", "'ann', 'vase', NULL")

    stats = lax.reco.system.stats()
    assert (stats.users, stats.items, stats.bids, stats.watches) == (1, 1, 0, 0)
    assert lax.popular() == ["vase"]
    assert lax.found() == [
        "users.user_id: null, which leaves the row out in 2 rows",
        "items.item_id: null, which leaves the row out in 1 row",
        "bids.user_id: null, which leaves the row out in 1 row",
        "bids.item_id: null, which leaves the row out in 1 row",
        "bids.placed_at: null, which leaves the row out in 1 row",
        "watches.user_id: null, which leaves the row out in 1 row",
        "watches.watched_at: null, which leaves the row out in 1 row",
    ]


BEYOND = ["'infinity'", "'-infinity'", "'20000-01-01 00:00+00'", "'4713-01-01 00:00+00 BC'"]


@pytest.mark.parametrize("moment", BEYOND)
def test_what_happened_at_no_moment_of_the_calendar_is_left_out(lax: Lax, moment: str) -> None:
    lax.insert("people (id)", "'ann'")
    lax.insert("goods (id)", "'vase'")
    lax.insert("offers (who, what, at)", f"'ann', 'vase', {moment}")
    lax.insert("eyes (who, what, at)", f"'ann', 'vase', {moment}", f"'ann', 'vase', {TODAY}")

    stats = lax.reco.system.stats()
    assert (stats.bids, stats.watches) == (0, 1)
    [watch] = lax.reco.ports.activity.user_watchlist("ann")  # type: ignore[arg-type]  # a text is an id
    assert watch.watched_at == NOW - HOUR
    assert lax.found() == [
        "bids.placed_at: no moment of the calendar, which leaves the row out in 1 row",
        "watches.watched_at: no moment of the calendar, which leaves the row out in 1 row",
    ]


@pytest.mark.parametrize("moment", BEYOND)
def test_an_item_may_end_and_a_user_sign_in_at_no_moment_of_the_calendar(
    lax: Lax, moment: str
) -> None:
    lax.insert("people", f"'ann', {moment}, {moment}", f"'bob', {moment}, {TODAY}")
    lax.insert("goods (id, closes, listed)", f"'vase', {moment}, {moment}")
    lax.insert("offers (who, what, at)", f"'bob', 'vase', {TODAY}")
    is_past = moment[1] == "-" or "BC" in moment

    assert lax.popular() == ([] if is_past else ["vase"])
    assert [lax.reco.as_user(who).homepage().ids for who in ("ann", "bob")] == [
        () if is_past else ("vase",),
        (),
    ]
    for job in BATCH_JOBS:
        assert lax.reco.system.run_job(job).scope >= 0
    signed_in = lax.reco.as_user("ann").sign_ins()
    assert signed_in is not None
    assert signed_in.last_at is None


@pytest.mark.parametrize("moment", [None, *BEYOND])
def test_cards_of_all_open_items_and_of_each_say_the_same_of_odd_ones(
    lax: Lax, moment: str | None
) -> None:
    opens = listed = moment or "NULL"
    closes = "NULL" if moment is None or "-inf" in moment or "BC" in moment else moment
    lax.insert(
        "goods (id, title, opens, closes, listed)", f"'vase', NULL, {opens}, {closes}, {listed}"
    )
    lax.insert("goods (id, title, price)", r"'jar', E'\t\\', NULL")
    catalog, items = lax.reco.ports.catalog, [ItemId("vase"), ItemId("jar")]

    cards = catalog.open_cards(NOW).cards(PriceScale())

    assert cards == catalog.cards(items, at=NOW)
    assert [cards[one].title for one in items] == ["", "\t\\"]
    assert (cards[items[0]].ends_at, cards[items[0]].listed_at) == (None, None)


@pytest.mark.parametrize("moment", [one for one in BEYOND if "-inf" in one or "BC" in one])
def test_what_ended_before_the_calendar_is_not_shown_from_a_stored_list(
    lax: Lax, moment: str
) -> None:
    lax.insert("goods (id)", "'vase'")
    lax.reco.system.run_job("generate_popular_items")

    with lax.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE goods SET closes = {moment}")  # noqa: S608 — of the tests

    assert lax.popular() == []


@pytest.mark.parametrize(
    ("amount", "price"),
    [
        ("12.5", Decimal("12.5")),
        ("12.34565", Decimal("12.3457")),
        ("0.00004", Decimal(0)),
        ("-1", None),
        ("'NaN'", None),
        ("'Infinity'", None),
        ("'-Infinity'", None),
        ("1e1000", None),
        ("-1e1000", None),
        ("99999999999999.99999", Decimal(100_000_000_000_000)),
        ("100000000000000", Decimal(100_000_000_000_000)),
        ("100000000000001", None),
    ],
)
def test_an_amount_is_rounded_and_what_is_no_price_is_unknown(
    lax: Lax, amount: str, price: Decimal | None
) -> None:
    lax.insert("people (id)", "'ann'")
    lax.insert("goods (id, start)", f"'vase', {amount}", "'jar', NULL")
    lax.insert("offers (who, what, amount, at)", f"'ann', 'jar', {amount}, {TODAY}")

    assert lax.price("vase") == lax.price("jar") == price
    [bid] = lax.reco.ports.activity.user_bids("ann")  # type: ignore[arg-type]  # a text is an id
    assert bid.amount == price
    rounded = "more digits than the price scale has, which is rounded"
    if price is None:
        said = ["no price, which makes the item not open", "no price, which counts as unknown"]
    else:
        said = [] if Decimal(amount) == price else [rounded, rounded]
    assert lax.found() == [
        f"{label}: {what} in 1 row"
        for label, what in zip(("items.starting_price", "bids.amount"), said, strict=False)
    ]
    assert lax.popular() == (["jar"] if price is None else ["jar", "vase"])


def test_the_price_is_the_hosts_else_the_highest_bid_else_the_first(lax: Lax) -> None:
    lax.insert("goods (id, price, start)", "'vase', 7, 1", "'jar', NULL, 1", "'cup', NULL, 1")
    lax.insert("offers", f"'ann', 'vase', 9, {TODAY}", f"'ann', 'jar', 8, {TODAY}")
    lax.insert("offers", f"'bob', 'jar', 0.5, {TODAY}", f"'ann', 'cup', NULL, {TODAY}")

    assert [lax.price(item) for item in ("vase", "jar", "cup")] == [7, 8, 1]


def test_a_status_that_nobody_knows_is_not_open(lax: Lax) -> None:
    lax.insert(
        "goods (id, state)", "'a', 'active'", "'b', 'ACTIVE'", "'c', ''", "'d', 'live'", "'e', NULL"
    )

    assert lax.popular() == ["a", "e"]
    assert lax.found() == ["items.status: no known status, which is not open in 3 rows"]


def test_a_category_that_is_not_among_the_categories_is_none(lax: Lax) -> None:
    lax.insert("kinds", "'art'", "'art'", "NULL")
    lax.insert("goods (id, kind)", "'vase', 'art'", "'jar', 'nowhere'", "'cup', NULL")
    lax.insert("people (id)", "'ann'")
    lax.insert("offers (who, what, at)", f"'ann', 'vase', {TODAY}", f"'ann', 'jar', {TODAY}")

    cards = lax.reco.ports.catalog.cards(["vase", "jar", "cup"], at=NOW)  # type: ignore[list-item]  # texts are ids
    categories = {str(item_id): str(card.category_id) for item_id, card in cards.items()}
    assert categories == {"vase": "art", "jar": "None", "cup": "None"}
    assert [str(one.category_id) for one in lax.reco.as_user("ann").interests()] == ["art"]
    assert ids_of(lax.reco.anonymous.popular_items(category="nowhere")) == []
    assert lax.found() == [
        "items.category_id: a category that is not among the categories, which is none in 1 row",
        "categories.category_id: null, which leaves the row out in 1 row",
    ]


def test_of_several_watches_of_one_item_the_earliest_counts_and_of_bids_each(lax: Lax) -> None:
    lax.insert("people (id)", "'ann'")
    lax.insert("kinds", "'art'")
    lax.insert("goods (id, kind)", "'vase', 'art'")
    lax.insert("eyes", f"'ann', 'vase', {TODAY}", "'ann', 'vase', '2026-05-01 12:00+00'")
    lax.insert("offers", *[f"'ann', 'vase', 5, {TODAY}"] * 3)

    stats = lax.reco.system.stats()
    assert (stats.bids, stats.watches) == (3, 1)
    [watch] = lax.reco.ports.activity.user_watchlist("ann")  # type: ignore[arg-type]  # a text is an id
    assert watch.watched_at == NOW - 31 * DAY
    [interest] = lax.reco.as_user("ann").interests()
    assert (interest.interaction_count, interest.strength) == (4, 9_800_000)


def test_bids_and_watches_of_unknown_items_change_no_answer(lax: Lax) -> None:
    lax.insert("people (id, seen)", f"'ann', {TODAY}")
    lax.insert("goods (id)", "'vase'", "'jar'")
    lax.insert("offers", f"'ann', 'gone', 5, {TODAY}")
    lax.insert("eyes", f"'ann', 'gone too', {TODAY}")

    assert lax.reco.as_user("ann").interests() == ()
    assert set(ids_of(lax.reco.as_user("ann").homepage())) == {"vase", "jar"}
    assert [lax.reco.system.run_job(job).scope for job in BATCH_JOBS] == [1, 0, 1, 1, 2]


def test_bids_of_unknown_users_count_for_the_item(lax: Lax) -> None:
    lax.insert("goods (id)", "'vase'", "'jar'")
    lax.insert("offers", f"'a stranger', 'jar', 5, {TODAY}")

    assert lax.popular() == ["jar", "vase"]
    assert [lax.reco.system.run_job(job).scope for job in BATCH_JOBS] == [0, 0, 1, 0, 2]


def test_a_seller_who_is_nobody_is_no_matter(lax: Lax) -> None:
    lax.insert("people (id)", "'ann'")
    lax.insert("goods (id, seller)", "'vase', 'a stranger'", "'jar', 'ann'")

    assert lax.popular() == ["jar", "vase"]
    assert ids_of(lax.reco.as_user("ann").homepage()) == ["vase"]


def test_users_that_come_twice_count_as_one(lax: Lax) -> None:
    lax.insert("people", f"'ann', NULL, {TODAY}", f"'ann', NULL, {TODAY}", f"'bob', NULL, {TODAY}")

    assert lax.found() == [
        "users.user_id: an id that comes more than once, which counts as one in 2 rows"
    ]
    active = lax.reco.ports.users.active_since(NOW - timedelta(days=1))
    assert active.to_list() == ["ann", "bob"]
    assert lax.reco.system.run_job("refresh_user_interests").scope == 2


def test_items_without_an_id_do_not_come_twice(lax: Lax) -> None:
    lax.insert("goods (id)", "NULL", "NULL", "'cup'")

    found = lax.found()
    assert found
    assert not any("more than once" in one for one in found)


def test_items_that_come_twice_are_left_out_and_logged(
    lax: Lax, caplog: pytest.LogCaptureFixture
) -> None:
    lax.insert("goods (id)", "'vase'", "'vase'", "'jar'", "'cup'")

    assert lax.found() == [
        "items.item_id: an id that comes more than once, which leaves its rows out in 2 rows"
    ]
    assert lax.popular() == ["cup", "jar"]
    assert "items are listed twice: items=1" in caplog.messages
    for job in BATCH_JOBS:
        assert lax.reco.system.run_job(job).failed == 0
    assert ids_of(lax.reco.anonymous.similar_items("jar")) == ["cup"]
    with pytest.raises(ItemNotFoundError):
        lax.reco.anonymous.similar_items("vase")
    cards = lax.reco.ports.catalog.cards([ItemId("vase"), ItemId("jar")], at=NOW)
    assert [str(one) for one in cards] == ["jar"]


def test_a_check_finds_nothing_where_nothing_is_odd(lax: Lax) -> None:
    lax.insert("people", f"'ann', NULL, {TODAY}")
    lax.insert("goods (id, start)", "'vase', 5")
    lax.insert("offers", f"'ann', 'vase', 5.25, {TODAY}")

    assert lax.found() == []


# What a host's own types, names and sessions may be.


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kathmandu"])
def test_sessions_of_any_time_zone_tell_the_same_moments(lax: Lax, zone: str) -> None:
    last, first = "'9999-12-31 23:59:59+00'", "'0001-01-01 00:00:00+00'"
    lax.insert("people", f"'ann', {first}, {TODAY}")
    lax.insert("goods (id, closes, listed)", f"'vase', {last}, {first}")
    lax.insert("offers", f"'ann', 'vase', 5, {TODAY}", f"'ann', 'vase', 5, {first}")
    options = {"options": f"-c timezone={zone}"}

    with engine_of(lax.url, connect_args=options) as engine:
        connected = Recommender.from_engine(engine, host=LAX, settings=PATIENT)
        reco = again(connected.ports, clock=ManualClock(NOW))
        said = [
            list(reco.anonymous.popular_items()),
            reco.ports.activity.user_bids("ann"),  # type: ignore[arg-type]  # a text is an id
            reco.as_user("ann").sign_ins(),
        ]

    assert said == [
        list(lax.reco.anonymous.popular_items()),
        lax.reco.ports.activity.user_bids("ann"),  # type: ignore[arg-type]  # a text is an id
        lax.reco.as_user("ann").sign_ins(),
    ]


class Mood(Enum):
    """A host's own states, of which the database has the values."""

    WAITING = "waiting"
    ACTIVE = "active"


MOODS = sa.Table(
    "moods",
    sa.MetaData(),
    sa.Column("id", sa.Text),
    sa.Column("mood", sa.Enum(Mood, values_callable=lambda all_of: [one.value for one in all_of])),
)


@pytest.fixture
def moods(lax: Lax) -> Iterator[Lax]:
    MOODS.create(lax.engine)
    with lax.engine.begin() as connection:
        connection.execute(
            sa.insert(MOODS), [{"id": "a", "mood": Mood.ACTIVE}, {"id": "b", "mood": Mood.WAITING}]
        )
    yield lax
    MOODS.drop(lax.engine)


def popular_on(url: str, items: sa.Select[Any], host: HostSchema = LAX) -> list[str]:
    """Return which items are popular where they are these."""
    with Recommender.connect(url, host=attrs.evolve(host, items=items), settings=PATIENT) as reco:
        reco.check()
        return sorted(map(str, reco.anonymous.popular_items().ids))


def test_a_status_may_be_a_type_of_the_hosts(moods: Lax) -> None:
    items = sa.select(MOODS.c.id.label("item_id"), MOODS.c.mood.label("status"))

    assert popular_on(moods.url, items) == ["a"]


def test_a_select_may_compare_with_values_of_any_type(moods: Lax) -> None:
    is_active = MOODS.c.mood == Mood.ACTIVE
    items = sa.select(MOODS.c.id.label("item_id"), is_active.label("is_published"))

    assert popular_on(moods.url, items) == ["a"]


@pytest.mark.parametrize("name", ["until", "viewer", "wanted"])
def test_parameters_of_a_select_may_have_any_name(lax: Lax, name: str) -> None:
    lax.insert("goods (id, kind)", "'vase', 'art'", "'jar', 'hidden'")
    of_kind = GOODS.c.kind == sa.bindparam(name, "art")
    chosen = sa.select(GOODS.c.id.label("item_id")).where(of_kind)

    with Recommender.connect(
        lax.url, host=attrs.evolve(LAX, items=chosen), settings=PATIENT
    ) as reco:
        cards = reco.ports.catalog.cards(["vase", "jar"], at=NOW)  # type: ignore[list-item]  # texts are ids

    assert list(map(str, cards)) == ["vase"]


@pytest.mark.parametrize("collation", ["C", "POSIX", "ucs_basic"])
def test_texts_may_be_collated_in_any_way(lax: Lax, collation: str) -> None:
    lax.insert("people", f"'ann', NULL, {TODAY}")
    lax.insert("kinds", "'art'")
    lax.insert("goods (id, kind)", "'vase', 'art'", "'Jar', 'art'", "'urn', 'art'")
    lax.insert("offers", f"'ann', 'vase', 5, {TODAY}")

    for name, key in (("people", "id"), ("goods", "id"), ("offers", "what"), ("kinds", "id")):
        with lax.engine.begin() as connection:
            collated = f'ALTER TABLE {name} ALTER {key} TYPE text COLLATE "{collation}"'
            connection.exec_driver_sql(collated)
    expected = ids_of(lax.reco.as_user("ann").homepage())
    for job in BATCH_JOBS:
        lax.reco.system.run_job(job)

    assert expected == ["Jar", "urn"]
    assert ids_of(lax.reco.as_user("ann").homepage()) == expected


def whole_reads(lax: Lax, ask: Callable[[Recommender], object]) -> int:
    """Return how often a question had the server look through all of goods or offers."""
    counted = sa.text(
        "SELECT sum(seq_scan)::int FROM pg_stat_user_tables WHERE relname IN ('goods', 'offers')"
    )
    with engine_of(lax.url, isolation_level="AUTOCOMMIT") as other, other.connect() as connection:
        before = connection.scalar(counted)
        with engine_of(lax.url) as engine:
            ask(Recommender.from_engine(engine, host=LAX, check=False, settings=PATIENT))
            with engine.connect() as same:
                same.execute(sa.text("SELECT pg_stat_force_next_flush()"))
        connection.execute(sa.text("SELECT pg_stat_clear_snapshot()"))
        after = connection.scalar(counted)
    assert isinstance(before, int)
    assert isinstance(after, int)
    return after - before


@pytest.fixture
def large(lax: Lax) -> Iterator[Lax]:
    with lax.engine.begin() as connection:
        for statement in (
            "INSERT INTO goods (id) SELECT 'lot-' || n FROM generate_series(1, 5000) n",
            "INSERT INTO offers (who, what, at) SELECT 'user-' || n, 'lot-' || n, now()"
            " FROM generate_series(1, 5000) n",
            "CREATE INDEX goods_id ON goods (id)",
            "CREATE INDEX offers_who ON offers (who)",
            "CREATE INDEX offers_what ON offers (what)",
            "ANALYZE goods, offers",
        ):
            connection.exec_driver_sql(statement)
    yield lax
    with lax.engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX goods_id, offers_who, offers_what")


def test_what_one_user_did_is_found_by_the_hosts_index(large: Lax) -> None:
    def ask(reco: Recommender) -> object:
        return reco.ports.activity.user_bids("user-7")  # type: ignore[arg-type]  # a text is an id

    assert whole_reads(large, ask) == 0


def test_cards_are_found_by_the_hosts_index(large: Lax) -> None:
    def ask(reco: Recommender) -> object:
        return reco.ports.catalog.cards(["lot-7", "lot-8"], at=NOW)  # type: ignore[list-item]  # texts are ids

    assert whole_reads(large, ask) == 0


def test_sqlite_may_hold_moments_as_any_program_writes_them(tmp_path: Path) -> None:
    written = {
        "2026-06-01 12:00:00": 0,
        "2026-06-01 12:00:00.5": 500_000,
        "2026-06-01 12:00:00.000001": 1,
        "2026-06-01T12:00:00Z": 0,
        "2026-06-01T12:00:00.123Z": 123_000,
        "2026-06-01 17:45:00+05:45": 0,
        "2026-06-01 17:45:00.123+05:45": 123_000,
        "2026-06-01T12:00:00.123456+00:00": 123_456,
        "2026-06-01T12:00": 0,
    }
    url = f"sqlite:///{tmp_path / 'host.db'}"
    with engine_of(url) as engine, engine.begin() as connection:
        PEOPLE.metadata.create_all(connection)
        for text in written:
            connection.exec_driver_sql("INSERT INTO people VALUES (?, NULL, ?)", (text, text))

    with Recommender.connect(url, host=LAX, migrate=True, settings=PATIENT) as reco:
        assert {text: reco.system.sign_ins(of=text) for text in written} == {
            text: SignIns(last_at=NOW + timedelta(microseconds=micros), count=0)
            for text, micros in written.items()
        }


@pytest.mark.parametrize("day", ["infinity", "-infinity", "5000000-01-01", "4700-01-01 BC"])
def test_days_beyond_the_calendar_are_left_out(lax: Lax, day: str) -> None:
    of_day = sa.literal_column(f"date '{day}'", sa.Date).label("placed_at")
    bids = sa.select(OFFERS.c.who.label("user_id"), OFFERS.c.what.label("item_id"), of_day)
    lax.insert("offers (who, what)", "'ann', 'vase'")

    host = attrs.evolve(LAX, bids=bids, time_zone="UTC")
    with Recommender.connect(lax.url, host=host, settings=PATIENT) as reco:
        assert reco.system.stats().bids == 0
        assert [one.label for one in reco.check()] == ["placed_at"]


def test_selects_that_cannot_be_used_are_told_before_anything_is_made(postgres_url: str) -> None:
    misspelt = attrs.evolve(
        LAX, users=sa.select(sa.column("idd", sa.Text).label("user_id")).select_from(PEOPLE)
    )
    with new_database(postgres_url) as url, engine_of(url) as engine:
        PEOPLE.metadata.create_all(engine)
        before = set(sa.inspect(engine).get_table_names())

        with pytest.raises(SchemaError, match="select of users cannot be run"):
            Recommender.connect(url, host=misspelt, migrate=True, settings=PATIENT)

        assert set(sa.inspect(engine).get_table_names()) == before
