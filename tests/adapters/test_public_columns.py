"""Public columns: answers carry those that the host names, as JSON, and nothing else of its."""

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import attrs
import pytest
import sqlalchemy as sa

from angle_reco import (
    HostSchema,
    InvalidValueError,
    Recommender,
    SchemaError,
    Settings,
    Suggestion,
)
from angle_reco.testing import ManualClock
from tests.adapters.databases import quieten
from tests.application.memories import settle
from tests.application.shop import NOW
from tests.postgres import new_database

PATIENT = Settings(deadline=timedelta(seconds=30), cache_enabled=False)
A_UUID = UUID("12345678-1234-5678-1234-567812345678")

PEOPLE = sa.Table("people", sa.MetaData(), sa.Column("id", sa.Text))
LOTS = sa.Table(
    "lots",
    PEOPLE.metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("title", sa.Text),
    sa.Column("image_url", sa.Text),
    sa.Column("views", sa.Integer),
    sa.Column("weight", sa.Numeric),
    sa.Column("is_rare", sa.Boolean),
    sa.Column("tags", sa.JSON),
    sa.Column("uid", sa.Uuid),
    sa.Column("ends_at", sa.DateTime(timezone=True)),
    sa.Column("picture", sa.LargeBinary),
    sa.Column("secret", sa.Text),
)
OFFERS = sa.Table(
    "offers",
    PEOPLE.metadata,
    sa.Column("who", sa.Text),
    sa.Column("what", sa.Text),
    sa.Column("at", sa.DateTime(timezone=True)),
)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[sa.Engine]:
    """Give an engine on a database with the tables, and one user."""
    if request.param == "sqlite":
        engine = sa.create_engine(f"sqlite:///{tmp_path / 'host.db'}")
        filled(engine)
        yield engine
        quieten(engine)
        return
    with new_database(request.getfixturevalue("postgres_url")) as own:
        engine = sa.create_engine(own)
        filled(engine)
        yield engine
        engine.dispose()


def filled(engine: sa.Engine) -> None:
    PEOPLE.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(PEOPLE).values(id="ann"))


def mapped(*public: str, **more: Any) -> HostSchema:
    """Return a mapping in which these columns are public."""
    columns = [LOTS.c[name] for name in public if name not in ("ends_at", "title")]
    return HostSchema(
        users=sa.select(PEOPLE.c.id.label("user_id")),
        items=sa.select(LOTS.c.id.label("item_id"), LOTS.c.title, LOTS.c.ends_at, *columns),
        bids=sa.select(
            OFFERS.c.who.label("user_id"),
            OFFERS.c.what.label("item_id"),
            OFFERS.c.at.label("placed_at"),
        ),
        public=public,
        **more,
    )


def insert(engine: sa.Engine, **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(sa.insert(LOTS).values(values))


def opened(engine: sa.Engine, *public: str, **changes: Any) -> Recommender:
    settings = attrs.evolve(PATIENT, **changes)
    return Recommender.from_engine(engine, settings=settings, host=mapped(*public), migrate=True)


def first(reco: Recommender) -> Suggestion:
    return reco.anonymous.popular_items()[0]


def publics(reco: Recommender) -> dict[str, dict[str, Any]]:
    return {str(one.item_id): one.public for one in reco.anonymous.popular_items()}


EVERY = ("image_url", "views", "weight", "is_rare", "tags", "uid")
VALUES: dict[str, Any] = {
    "image_url": "/lots/1.jpg?size=big&x='\"<\\ é\n",
    "views": 12,
    "weight": Decimal("1.5"),
    "is_rare": True,
    "tags": {"of": ["gold", None], "n": 1},
    "uid": A_UUID,
}


@pytest.mark.parametrize("cache_enabled", [True, False])
def test_answers_carry_what_is_named_and_nothing_else(
    engine: sa.Engine, cache_enabled: bool
) -> None:
    insert(engine, id="omega", title="Omega", secret="of the seller", **VALUES)

    with opened(engine, *EVERY, cache_enabled=cache_enabled) as reco:
        one = first(reco)

    expected = VALUES | {"weight": 1.5, "uid": str(A_UUID)}
    assert one.public == expected
    assert (one.title, one.price) == ("Omega", None)
    assert json.loads(json.dumps(one.to_json()))["public"] == expected
    assert "secret" not in repr(one) + json.dumps(one.to_json())
    assert one.card.public == expected


def test_null_and_a_column_that_the_library_uses(engine: sa.Engine) -> None:
    insert(engine, id="omega", title="Omega", ends_at=NOW.replace(year=2090))

    with opened(engine, "title", "ends_at", *EVERY) as reco:
        public = first(reco).public

    assert public["title"] == "Omega"
    assert str(public["ends_at"]).startswith("2090-06-01")
    assert {public[name] for name in EVERY} == {None}


def test_without_public_columns_there_are_none(engine: sa.Engine) -> None:
    insert(engine, id="omega", title="Omega", image_url="x")

    with opened(engine) as reco:
        assert first(reco).public == {}
        assert reco.ports.catalog.open_cards(NOW).public_texts.tolist() == []


def test_every_way_to_a_card_has_the_same(engine: sa.Engine) -> None:
    for number in range(5):
        insert(engine, id=f"lot {number}", image_url=f"{number}.jpg", is_rare=number % 2 == 0)

    with opened(engine, "image_url", "is_rare") as reco:
        catalog = reco.ports.catalog
        listed = catalog.open_cards(NOW).cards(reco.settings.prices)
        read = catalog.cards(list(listed), at=NOW, viewer=None)

    assert len(listed) == 5
    assert listed == read
    assert [one.public["image_url"] for one in listed.values()] == [f"{n}.jpg" for n in range(5)]


def test_with_categories_too(engine: sa.Engine) -> None:
    insert(engine, id="omega", image_url="x.jpg")
    known = sa.select(LOTS.c.title.label("category_id")).where(LOTS.c.title.is_not(None))

    with Recommender.from_engine(
        engine, settings=PATIENT, host=mapped("image_url", categories=known), migrate=True
    ) as reco:
        assert first(reco).public == {"image_url": "x.jpg"}


def test_a_change_is_shown_when_a_changed_title_is(engine: sa.Engine) -> None:
    insert(engine, id="omega", title="old", image_url="old")
    clock = ManualClock(NOW)
    with opened(engine, "image_url", cache_enabled=True) as made:
        reco = Recommender(attrs.evolve(made.ports, clock=clock), made.settings)
        shown = []
        assert first(reco).public == {"image_url": "old"}
        with engine.begin() as connection:
            connection.execute(sa.update(LOTS).values(title="new", image_url="new"))
        for _ in range(6):
            one = first(reco)
            shown.append((one.title, one.public["image_url"]))
            settle(reco)
            clock.advance(made.settings.live_for / 2)
        reco.close()

    assert shown[0] == ("old", "old")
    assert shown[-1] == ("new", "new")
    assert all(title == image for title, image in shown)


def test_a_reported_change_is_in_the_next_answer(engine: sa.Engine) -> None:
    insert(engine, id="omega", title="old", image_url="old")
    with opened(engine, "image_url", cache_enabled=True) as reco:
        assert first(reco).public == {"image_url": "old"}
        with engine.begin() as connection:
            connection.execute(sa.update(LOTS).values(image_url="new"))
        reco.items_changed(["omega"])

        assert first(reco).public == {"image_url": "new"}


def test_a_value_that_is_too_long_is_left_out_and_found(
    engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    insert(engine, id="fits", image_url="é" * 999, tags=["x"])
    insert(engine, id="long", image_url="é" * 1_001, tags=["x" * 3_000])

    with opened(engine, "image_url", "tags") as reco:
        public = publics(reco)
        found = {one.label: one.rows for one in reco.check()}

    assert public == {
        "fits": {"image_url": "é" * 999, "tags": ["x"]},
        "long": {"image_url": None, "tags": None},
    }
    assert found == {"image_url": 1, "tags": 1}
    assert "selects have odd rows: labels=items.image_url,items.tags" in caplog.text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_sqlite_lets_a_column_hold(engine: sa.Engine) -> None:
    odd: list[tuple[object, object]] = [
        (b"bytes", None),
        (float("inf"), None),
        (7, 7),
        (1.5, 1.5),
        ("text", "text"),
    ]
    raw = engine.raw_connection()
    for place, (value, _) in enumerate(odd):
        raw.execute(
            "INSERT INTO lots (id, views, is_rare, tags, uid) VALUES (?, ?, ?, ?, ?)",
            (f"{place}", value, 7, "{broken", "short"),
        )
    raw.execute("INSERT INTO lots (id, image_url) VALUES ('5', CAST(x'61ff' AS TEXT))")
    raw.commit()
    raw.close()

    with opened(engine, *EVERY) as reco:
        cards = reco.ports.catalog.cards([str(n) for n in range(6)], at=NOW)  # type: ignore[misc]  # ids
        found = {one.label: (one.rows, one.what) for one in reco.check()}

    public = [cards[str(n)].public for n in range(6)]  # type: ignore[index]  # ids
    assert [one["views"] for one in public[:5]] == [value for _, value in odd]
    assert public[5]["image_url"] == "a�"
    assert {(one["is_rare"], one["tags"], one["uid"]) for one in public[:5]} == {(7, None, "short")}
    what = "no value that JSON has, or more than 2,000 bytes, which is null in public"
    assert found["views"] == (2, what)
    assert found["tags"] == (5, what)


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_numbers_of_postgres_that_json_lacks(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO lots (id, weight, tags) VALUES ('nan', 'NaN', '\"\\ud800\"'),"
                " ('big', 12345678901234567890.5, '{\"a\": 1e400}')"
            )
        )

    with opened(engine, "weight", "tags") as reco:
        public = publics(reco)
        found = [(one.label, one.rows, one.example) for one in reco.check()]

    assert public["nan"] == {"weight": None, "tags": "?"}
    assert public["big"]["weight"] == 12345678901234567890.5
    json.dumps(public, ensure_ascii=False).encode()
    assert found == [("weight", 1, "'NaN'")]


def test_bytes_are_refused_by_name_when_we_connect(engine: sa.Engine) -> None:
    with pytest.raises(SchemaError) as refused:
        opened(engine, "picture")

    assert str(refused.value) == (
        "the select of items: picture, which public names, holds bytes: JSON has none, so it"
        " should be a text, such as the address of a file"
    )


def test_a_name_that_the_select_lacks() -> None:
    query = sa.select(LOTS.c.id.label("item_id"), LOTS.c.secret)
    good = mapped("image_url")
    with pytest.raises(SchemaError, match="has no column labelled image_url, which public names"):
        attrs.evolve(good, items=query)
    with pytest.raises(SchemaError, match=r"'secret'.*, or name it in public=\(\.\.\.\)"):
        attrs.evolve(good, items=query, public=())


@pytest.mark.parametrize(
    "public",
    [
        *("image_url", ["image_url"], None, ("",), ("a b",), (1,), ("x" * 64,)),
        *(("image_url", "image_url"), ('a"b',), tuple(f"c{n}" for n in range(21))),
    ],
)
def test_names_that_are_none(public: Any) -> None:
    with pytest.raises(InvalidValueError, match="public"):
        attrs.evolve(mapped(), public=public)
