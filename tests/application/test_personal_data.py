"""Handing out and removing what is kept about a user."""

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest

from angle_reco import IdKinds, Recommender, Settings, UserErasedError, UserId
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import ports_on
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.ids import CategoryId, IdKind, ItemId
from angle_reco.domain.items import Item
from angle_reco.domain.moments import to_micros
from angle_reco.domain.suggestions import Freshness
from angle_reco.domain.users import SignIns, User
from angle_reco.results import Erased, UserExport
from angle_reco.testing import ManualClock, MemoryMarketplace
from tests.adapters.databases import fill, fill_mirrored, mirrored, storage_on
from tests.application.shop import DAY, HOUR, NOW, clock_of, lot

DEEP = UUID("deadbeef-4711-4711-8000-00000000cafe")
WIDE = UUID("facade00-4711-4711-8000-00000000cafe")

SHOPS = ("memory", "reference schema", "beside a host")


@attrs.frozen(kw_only=True)
class Shop:
    """A shop in which something is kept about two users, and the file that it is in."""

    reco: Recommender
    gone: UserId
    stays: UserId
    file: Path | None = None
    beside: bool = False

    @property
    def kept(self) -> dict[str, list[str]]:
        """Return the rows of all our tables, as somebody else reads them."""
        assert self.file is not None
        with closing(sqlite3.connect(self.file)) as connection:
            names = connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'angle_reco_%'"
            )
            return {
                name: [
                    " | ".join(map(text_of, row))
                    for row in connection.execute(f'SELECT * FROM "{name}"')  # noqa: S608 — names from the schema
                ]
                for (name,) in names.fetchall()
            }

    def prune_changes(self) -> None:
        """Forget what was told of erased users, as is done half a minute later."""
        assert self.file is not None
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.execute("UPDATE angle_reco_changes SET told_at = told_at - 31000000")
        self.reco.ports.changes.prune(older_than=DAY)

    def rows_with(self, user_id: UserId) -> dict[str, int]:
        """Return how many rows of which of our tables hold a user's id, in any column."""
        # UUIDs are written with and without their dashes.
        one = plainly(str(user_id))
        counts = {
            name: sum(one in plainly(row) for row in rows) for name, rows in self.kept.items()
        }
        return {name: count for name, count in counts.items() if count}


def plainly(text: str) -> str:
    return text.lower().replace("-", "")


def text_of(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


@pytest.fixture(params=[IdKind.TEXT, IdKind.UUID])
def kind(request: pytest.FixtureRequest) -> IdKind:
    """Return what users' ids are."""
    return IdKind(request.param)


IDS: Mapping[IdKind, tuple[object, object]] = {
    # No part of what else is in a row.
    IdKind.TEXT: ("zz-gone-4711", "yy-stays-4712"),
    IdKind.UUID: (DEEP, WIDE),
}


@pytest.fixture(scope="module")
def shop_files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[IdKind, bool], Path]:
    """Return what gives the file of a shop on a database, to be copied."""
    folder = tmp_path_factory.mktemp("shops")

    @cache
    def file_of(kind: IdKind, beside: bool) -> Path:
        file = folder / f"{kind}-{beside}.db"
        with shop_in(file, kind, beside=beside, is_new=True) as shop:
            prepared(shop)
        return file

    return file_of


@pytest.fixture(params=SHOPS)
def shop(
    request: pytest.FixtureRequest,
    kind: IdKind,
    shop_files: Callable[[IdKind, bool], Path],
    tmp_path: Path,
) -> Iterator[Shop]:
    """Return a shop with stored results of every kind."""
    if request.param == "memory":
        gone, stays = map(UserId, IDS[kind])
        settings = settings_for(kind)
        market = MemoryMarketplace(ids=settings.ids, **rows_of(gone, stays))
        reco = Recommender.in_memory(market, settings=settings)
        ports = attrs.evolve(reco.ports, clock=ManualClock(NOW))
        yield prepared(Shop(reco=Recommender(ports, settings), gone=gone, stays=stays))
        return
    file, beside = tmp_path / "shop.db", request.param == "beside a host"
    shutil.copy(shop_files(kind, beside), file)
    with shop_in(file, kind, beside=beside) as shop:
        yield shop


@contextmanager
def shop_in(file: Path, kind: IdKind, *, beside: bool, is_new: bool = False) -> Iterator[Shop]:
    """Open the shop in a file, which is filled if it is new."""
    gone, stays = map(UserId, IDS[kind])
    settings = settings_for(kind)
    with Recommender.connect(f"sqlite:///{file}", settings=settings, migrate=is_new) as made:
        storage = made.storage
        assert storage is not None
        if is_new:
            (fill_mirrored if beside else fill)(storage, **rows_of(gone, stays))
        if beside:
            storage = storage_on(storage.database.engine, settings.ids, host=mirrored(storage))
        ports = attrs.evolve(ports_on(storage), clock=ManualClock(NOW))
        reco = Recommender(ports, settings)
        yield Shop(reco=reco, gone=gone, stays=stays, file=file, beside=beside)


def settings_for(kind: IdKind) -> Settings:
    return Settings(ids=IdKinds(user=kind), cache_enabled=False)


def rows_of(*users: UserId) -> dict[str, Any]:
    items: list[Item] = [lot(f"lot-{place}", "art" if place % 2 else "toy") for place in range(9)]
    return {
        "users": [User(user_id=one, last_sign_in_at=NOW - HOUR, sign_in_count=3) for one in users],
        "items": items,
        "bids": [
            Bid(user_id=one, item_id=ItemId(f"lot-{place}"), placed_at=NOW - DAY)
            for one in users
            for place in (1, 2)
        ],
        "watches": [
            Watch(user_id=one, item_id=ItemId("lot-3"), watched_at=NOW - 2 * DAY) for one in users
        ],
    }


def prepared(shop: Shop) -> Shop:
    """Return a shop in which the jobs have run, and somebody wrote something by hand."""
    system = shop.reco.system
    for job in BATCH_JOBS:
        system.run_job(job)
    for one in (shop.gone, shop.stays):
        assert shop.reco.signed_in(one)
        system.stored.create_interest(one, "cars", score=0.25, interaction_count=2)
        system.stored.delete_interest(one, "toy")
        system.stored.upsert_recommendation(one, "lot-5", score=0.9, rank=1)
    return shop


# Export.


def test_an_export_is_all_that_is_kept(shop: Shop) -> None:
    reco, user = shop.reco, shop.gone

    export = reco.as_user(user).export_user()

    assert export == UserExport(
        user_id=user,
        exported_at=NOW,
        sign_ins=SignIns(last_at=NOW, count=4),
        interests=reco.ports.interests.of(user),
        homepage=reco.system.stored.get_recommendations(of=user),
    )
    assert export.interests is not None
    assert [str(one.category_id) for one in export.interests.interests] == ["art", "cars"]
    assert export.interests.removed == (CategoryId("toy"),)
    assert export.homepage is not None
    assert export.homepage.lines[0].by_hand
    assert reco.system.export_user(user) == export


@pytest.mark.parametrize("shop", SHOPS[1:], indirect=True)
def test_nothing_of_a_user_is_in_our_tables_that_the_export_has_not(shop: Shop) -> None:
    export = shop.reco.system.export_user(shop.gone)

    assert export.interests is not None
    assert shop.rows_with(shop.gone) == {
        "angle_reco_user_interests": len(export.interests.interests)
        + len(export.interests.removed),
        "angle_reco_personal_lists": 1,
        **({"angle_reco_sign_ins": 1} if shop.beside else {}),
    }


def test_an_export_is_json_of_the_documented_shape(shop: Shop) -> None:
    document = shop.reco.as_user(shop.gone).export_user().to_json()

    read = json.loads(json.dumps(document, allow_nan=False))
    assert read == document
    one = shop.gone
    assert read["format"] == "angle_reco.user/1"
    assert read["user_id"] == (one if isinstance(one, int) else str(one))
    assert_shaped(read, SHAPE)
    [art, cars] = read["interests"]["interests"]
    assert (art["category_id"], art["score"], art["by_hand"]) == ("art", 1.0, False)
    assert (cars["score"], cars["interaction_count"], cars["by_hand"]) == (0.25, 2, True)
    assert read["interests"]["removed_by_hand"] == ["toy"]
    page = read["homepage"]
    assert (page["ranker"], page["edited_by_hand"]) == ("classic", True)
    ranks = [line["rank"] for line in page["suggestions"]]
    assert ranks == list(range(1, len(ranks) + 1))
    assert page["suggestions"][0]["item_id"] == "lot-5"
    assert page["suggestions"][0]["contributions"] == {"by_hand": 0.9}
    for line in page["suggestions"]:
        assert sum(line["contributions"].values()) == pytest.approx(line["score"])


A_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00")

SHAPE: Mapping[str, Any] = {
    "format": str,
    "user_id": int | str,
    "exported_at": A_MOMENT,
    "sign_ins": {"last_at": A_MOMENT, "count": int},
    "interests": {
        "computed_at": A_MOMENT,
        "interests": [
            {
                "category_id": int | str,
                "score": float,
                "strength": float,
                "interaction_count": int,
                "last_interaction_at": A_MOMENT,
                "by_hand": bool,
            }
        ],
        "removed_by_hand": [int | str],
    },
    "homepage": {
        "computed_at": A_MOMENT,
        "ranker": str,
        "edited_by_hand": bool,
        "suggestions": [
            {
                "rank": int,
                "item_id": int | str,
                "score": float,
                "reason": str,
                "source": str,
                "contributions": dict,
                "by_hand": bool,
            }
        ],
    },
}


def assert_shaped(value: Any, shape: Any, where: str = "") -> None:
    """Hold that a document has exactly these fields, and values of these types."""
    if isinstance(shape, Mapping):
        assert list(value) == list(shape), where
        for name in shape:
            assert_shaped(value[name], shape[name], f"{where}.{name}")
    elif isinstance(shape, list):
        assert value, where
        for one in value:
            assert_shaped(one, shape[0], f"{where}[]")
    elif isinstance(shape, re.Pattern):
        assert shape.fullmatch(value), where
        assert datetime.fromisoformat(value).tzinfo is not None
    else:
        assert isinstance(value, shape), where
        assert shape is bool or not isinstance(value, bool), where


def test_of_somebody_unknown_nothing_is_kept(shop: Shop) -> None:
    nobody = {int: UserId(7), str: UserId("nobody"), UUID: UserId(UUID(int=7))}[type(shop.gone)]

    document = shop.reco.as_user(nobody).export_user().to_json()

    nothing = [document[name] for name in ("sign_ins", "interests", "homepage")]
    assert nothing == [None, None, None]


def test_an_export_reads_and_changes_nothing(shop: Shop) -> None:
    before = shop.reco.system.export_user(shop.gone)
    clock_of(shop.reco).advance(90 * DAY)

    after = shop.reco.system.export_user(shop.gone)

    assert attrs.evolve(after, exported_at=NOW) == before


# Erasure.


def test_erasing_says_what_was_removed_and_leaves_the_hosts_own(shop: Shop) -> None:
    reco = shop.reco
    export = reco.system.export_user(shop.gone)
    assert export.homepage is not None

    erased = reco.as_user(shop.gone).erase_user()

    assert erased == Erased(
        sign_ins=1 if shop.beside else 0,
        interests=3,
        lists=1,
        suggestions=len(export.homepage.lines),
    )
    assert erased.to_json() == attrs.asdict(erased)
    after = reco.system.export_user(shop.gone)
    assert (after.interests, after.homepage) == (None, None)
    # Who they are, and what they did, is the host's.
    assert reco.system.stats().users == 2
    assert after.sign_ins == (
        SignIns(last_at=NOW - HOUR, count=0) if shop.beside else SignIns(last_at=NOW, count=4)
    )


@pytest.mark.parametrize("shop", SHOPS[1:], indirect=True)
def test_after_it_no_row_of_ours_holds_their_id(shop: Shop) -> None:
    before = shop.rows_with(shop.stays)
    assert shop.rows_with(shop.gone) == before != {}

    shop.reco.system.erase_user(shop.gone)

    # That is told to other processes, and forgotten when they know.
    assert shop.rows_with(shop.gone) == {"angle_reco_changes": 1}
    shop.prune_changes()
    assert shop.rows_with(shop.gone) == {}
    assert shop.rows_with(shop.stays) == before
    [erasure] = shop.kept["angle_reco_erasures"]
    assert re.fullmatch(rf"[0-9a-f]{{32}} \| {to_micros(NOW)}", erasure)


def test_no_job_event_or_reader_brings_anything_back(shop: Shop) -> None:
    reco = shop.reco
    others = reco.system.export_user(shop.stays)
    reco.system.erase_user(shop.gone)

    for _ in range(2):
        clock_of(reco).advance(HOUR)
        assert reco.signed_in(shop.gone) is False
        for job in BATCH_JOBS:
            reco.system.run_job(job)
        ask_everything(reco, shop.gone)

    after = reco.system.export_user(shop.gone)
    assert (after.interests, after.homepage) == (None, None)
    with pytest.raises(UserErasedError):
        reco.system.stored.create_interest(shop.gone, "cars", score=1)
    with pytest.raises(UserErasedError):
        reco.system.stored.upsert_recommendation(shop.gone, "lot-5", score=1)
    if shop.file is not None:
        shop.prune_changes()
        assert shop.rows_with(shop.gone) == {}
    now = reco.system.export_user(shop.stays)
    assert now.sign_ins == others.sign_ins
    assert now.homepage is not None


def test_answers_are_computed_as_before(shop: Shop) -> None:
    reco = shop.reco
    before = ask_everything(reco, shop.stays)

    reco.system.erase_user(shop.gone)
    for job in BATCH_JOBS:
        reco.system.run_job(job)

    page = reco.as_user(shop.gone).homepage()
    assert page.freshness is Freshness.COMPUTED
    assert len(page) == 6
    assert [str(one.category_id) for one in reco.as_user(shop.gone).interests()] == ["art", "toy"]
    assert ask_everything(reco, shop.gone).keys() == before.keys()
    assert reco.as_user(shop.stays).homepage().freshness is Freshness.FRESH


def test_erasing_again_or_somebody_unknown_removes_nothing(shop: Shop) -> None:
    nothing = Erased(sign_ins=0, interests=0, lists=0, suggestions=0)
    shop.reco.system.erase_user(shop.gone)
    nobody = {int: UserId(7), str: UserId("nobody"), UUID: UserId(UUID(int=7))}[type(shop.gone)]

    assert shop.reco.system.erase_user(shop.gone) == nothing
    assert shop.reco.system.erase_user(nobody) == nothing
    assert shop.reco.system.export_user(shop.stays).homepage is not None


def test_the_log_says_who_was_erased_by_a_fingerprint_alone(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "angle_reco"):
        shop.reco.system.erase_user(shop.gone)

    [line] = caplog.messages
    assert line.startswith(f"user erased: user={shop.reco.settings.fingerprints.of(shop.gone)} ")
    assert str(shop.gone) not in line


def ask_everything(reco: Recommender, user: UserId) -> dict[str, object]:
    """Return what one user is answered."""
    view = reco.as_user(user)
    return {
        "homepage": view.homepage(),
        "after a bid": view.after_bid("lot-1"),
        "interests": view.interests(),
        "stored interests": view.stored.get_interests(),
        "stored page": view.stored.get_recommendations(),
        "sign-ins": view.sign_ins(),
        "similar": view.similar_items("lot-1"),
        "popular": view.popular_items(),
        "export": view.export_user(),
    }
