"""What a host maps wrongly is refused when we connect; odd rows follow rules, and are found."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import attrs
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import SAWarning

from angle_reco import (
    HostSchema,
    IdKind,
    IdKinds,
    InvalidValueError,
    Recommender,
    SchemaError,
    Settings,
    SignInColumns,
    StorageError,
    StorageUnavailableError,
)
from angle_reco.bootstrap import JOB_NAMES
from angle_reco.testing import ManualClock
from tests.application.shop import DAY, HOUR, NOW, again, ids_of
from tests.postgres import PASSWORD, ROLE_WITH_PASSWORD, new_database

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
        Recommender.connect(url, host=mapped(), migrate=True).close()
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
        Recommender.connect(url, settings=Settings(ids=ids or IdKinds()), host=host, **options)
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
            " is_published, status, starts_at, ends_at, listed_at",
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
        ("users", "user_id", "number", "text, varchar, char"),
        ("users", "user_id", "uid", "text, varchar, char"),
        ("users", "created_at", "words", "timestamptz, timestamp, date"),
        ("users", "last_sign_in_at", "number", "timestamptz, timestamp, date"),
        ("items", "item_id", "packed", "text, varchar, char"),
        ("items", "category_id", "number", "text, varchar, char"),
        ("items", "seller_id", "uid", "text, varchar, char"),
        ("items", "starting_price", "flag", "numeric"),
        ("items", "price", "words", "numeric"),
        ("items", "is_published", "number", "boolean"),
        ("items", "ends_at", "words", "timestamptz, timestamp, date"),
        ("bids", "amount", "aware", "numeric"),
        ("bids", "placed_at", "number", "timestamptz, timestamp, date"),
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

    assert said.startswith(f"the select of {select}: the type of {label} does not hold ")
    assert f"; it should be one of {expected}" in said


def test_an_id_of_another_kind_than_the_settings_say_is_told_both(url: str) -> None:
    said = refusal(url, mapped(bids=things(**(LABELS_OF_BIDS | {"item_id": "number"}))))

    assert said == (
        "the select of bids: the type of item_id does not hold ids of items (the settings say"
        " that those are of the kind text); it should be one of text, varchar, char"
    )


def test_settings_of_other_ids_than_our_tables_have_are_refused(url: str) -> None:
    said = refusal(url, mapped(), IdKinds(user=IdKind.INT))

    assert said == (
        "the ids there are text of users, text of items and text of categories, but the settings"
        " say int of users, text of items and text of categories"
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

    with Recommender.connect(url, host=mapped(bids=things(**labels))) as reco:
        assert reco.check() == ()


def test_a_column_may_go_by_another_key(url: str) -> None:
    keyed = sa.Table("things", sa.MetaData(), sa.Column("words", sa.Text, key="user_id"))

    with Recommender.connect(url, host=mapped(users=sa.select(keyed))) as reco:
        assert reco.system.stats().users == 1


def test_without_rights_on_a_table_it_is_named(url: str) -> None:
    with engine_of(url) as engine, engine.begin() as connection:
        connection.execute(sa.text(f"GRANT SELECT ON angle_reco_version TO {ROLE_WITH_PASSWORD}"))
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
        connection.execute(sa.text(f"GRANT SELECT ON angle_reco_version TO {ROLE_WITH_PASSWORD}"))
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
        Recommender.connect(url, host=mapped(), migrate=True).close()
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE angle_reco_version SET version_num = '9999'"))

        for migrate in (False, True):
            said = refusal(url, mapped(), migrate=migrate)

            assert said == (
                "the schema is at revision 9999, which this release does not know: install a"
                " newer angle-reco"
            )


def test_a_server_that_is_too_old_is_refused(url: str) -> None:
    with engine_of(url) as engine:
        engine.connect().close()
        engine.dialect.server_version_info = (14, 22)

        with pytest.raises(SchemaError) as raised:
            Recommender.from_engine(engine, host=mapped())

    assert str(raised.value) == "PostgreSQL 14.22 is too old: it should be 15 or newer"


def test_columns_of_sign_ins_have_to_be_what_they_are_said_to_be(url: str) -> None:
    wrong = {"words": "sign_in_count", "number": "last_sign_in_at", "uid": "user_id"}
    for column, what in wrong.items():
        right = {"user_id": "words", "last_sign_in_at": "aware", "sign_in_count": "number"}
        columns = SignInColumns(table=THINGS, **(right | {what: column}))

        said = refusal(url, mapped(sign_ins=columns))

        assert said.startswith(f"SignInColumns: the type of {what} ({column} of things) does not")


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
