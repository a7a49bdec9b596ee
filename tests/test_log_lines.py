"""Holds that what is logged, and what errors say, tells nothing personal and no credential."""

import inspect
import logging
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
import sqlalchemy as sa

from angle_reco import AngleRecoError, Recommender, Settings, UserId, View
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.events import Event
from angle_reco.domain.ids import CategoryId, ItemId
from angle_reco.domain.items import Item
from angle_reco.domain.policies import INSPECT_USERS
from angle_reco.domain.users import User
from tests.adapters.databases import fill
from tests.application.shop import NOW
from tests.log_lines import breaks_rule, listening
from tests.postgres import new_database

# The rule.


def record(message: object, *args: object, **more: Any) -> logging.LogRecord:
    return logging.LogRecord("angle_reco.x", logging.INFO, "x.py", 1, message, args, None, **more)


@pytest.mark.parametrize(
    ("message", "args"),
    [
        ("nothing to say", ()),
        ("user erased: user=%s sign_ins=%d", ("0123456789ab", 3)),
        ("user inspected: actor=%s user=%s resource=%s", ("0" * 12, "f" * 12, "sign_ins")),
        ("job done: job=%s seconds=%.3f", ("generate_popular_items", 0.25)),
        ("event not taken: event=%s error=%s", ("watched", "KeyError")),
        ("event not taken: value=%s expected=%s", ("user id", "a UUID")),
    ],
)
def test_lines_that_tell_nothing_personal_keep_the_rule(
    message: str, args: tuple[object, ...]
) -> None:
    assert breaks_rule(record(message, *args)) is None


@pytest.mark.parametrize(
    ("message", "args"),
    [
        ("user erased: user=ann", ()),
        ("User ann erased", ()),
        ("erased %s", ("0123456789ab",)),
        ("user erased: user=%s", ("ann",)),
        ("user erased: user=%s", ("0123456789AB",)),
        ("user erased: user=%s", ("0123456789abc",)),
        ("user erased: user=%s", (4711,)),
        ("user erased: user=%r", ("0123456789ab",)),
        ("user erased: actor=%s", (UserId("ann"),)),
        ("user erased: who=%s", ("0123456789ab",)),
        ("job done: job=%s", ("ann",)),
        ("job done: scope=%d", ("7",)),
        ("job done: scope=%d", (True,)),
        ("job done: scope=%d", ()),
        ("event not taken: error=%s", ("no user 'ann'",)),
        ("event not taken: error=%s", (KeyError("ann"),)),
        ("event not taken: value=%s", ("ann",)),
        ("event not taken: expected=%s", ("one of ann",)),
        ("inspected: permission=%s", ("ann",)),
        ("inspected: resource=%s", ("ann",)),
        ("inspected: user=%(user)s", ({"user": "0123456789ab"},)),
        (KeyError("ann"), ()),
    ],
)
def test_lines_that_could_tell_something_break_it(
    message: object, args: tuple[object, ...]
) -> None:
    assert breaks_rule(record(message, *args)) is not None


def test_a_traceback_breaks_it() -> None:
    said = record("event not taken: event=%s", "watched")
    said.exc_info = (KeyError, KeyError("ann"), None)

    assert breaks_rule(said) is not None


def test_every_line_is_heard_and_others_hear_what_they_would(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[str] = []
    log, other = logging.getLogger("angle_reco.nobodys"), logging.getLogger("angle_records")

    with listening(lambda record: heard.append(record.getMessage())):
        log.debug("quietly")
        other.debug("somebody else quietly")
        log.warning("loudly")
        with caplog.at_level(logging.DEBUG, "angle_reco"):
            log.debug("quietly to all")

    assert heard == ["quietly", "loudly", "quietly to all"]
    assert caplog.messages == ["loudly", "quietly to all"]


# All that can be called.

USER, OTHER, NOBODY = "zz-user-4711", "zz-other-4712", "zz-nobody-4713"
ITEM, SIMILAR, NOTHING = "zz-item-5711", "zz-similar-5712", "zz-nothing-5713"
CATEGORY, TITLE, AMOUNT = "zz-category-6711", "zz-title-6712", "87654321.09"
PASSWORD = "zz-password-7711"
SENTINELS = (
    *(USER, OTHER, NOBODY, ITEM, SIMILAR, NOTHING, CATEGORY, TITLE, AMOUNT, PASSWORD),
    # As units of money, too.
    AMOUNT.replace(".", ""),
)

IDS: dict[str, tuple[object, ...]] = {
    "user_id": (USER, NOBODY, [USER]),
    "item_id": (ITEM, NOTHING, (ITEM,)),
    "similar_id": (SIMILAR, NOTHING),
    "category_id": (CATEGORY, {CATEGORY: TITLE}),
    "of": (USER, OTHER, {USER}),
    "category": (CATEGORY, [CATEGORY]),
    "score": (0.5, AMOUNT),
    "rank": (1, TITLE),
    "reason": ("for_you", "same_category", TITLE),
    "limit": (3, AMOUNT),
    "after": (None, TITLE),
    "name": (*BATCH_JOBS, TITLE),
    "amount": (Decimal(AMOUNT), AMOUNT),
    "item_ids": (["lot-1"], [AMOUNT, None], AMOUNT),
    "at": (NOW, TITLE),
    "older_than": (None, TITLE),
    "interaction_count": (1, AMOUNT),
    "last_interaction_at": (NOW, TITLE),
    "as_of": (NOW, TITLE),
    "ranker": ("classic", TITLE),
    "everything": (True, TITLE),
}
"""What each argument of a call can be, sensible or not."""

NOT_ASKED = {
    "connection",
    "assume_bid",
    "cards",
    "progress",
    "scheduled",
    "full",
    "patient",
    "pending",
}
OF_RECOMMENDER = (
    *("signed_in", "bid_placed", "bid_withdrawn", "watched", "unwatched", "items_changed"),
    *("as_of_moment", "as_user"),
)


def arguments_of(method: Callable[..., object]) -> Iterator[dict[str, object]]:
    """Yield sensible arguments of a method, and then each other one in turn."""
    parameters = inspect.signature(method).parameters.values()
    asked = [one for one in parameters if one.name not in NOT_ASKED]
    required = {one.name: IDS[one.name][0] for one in asked if one.default is one.empty}
    yield required
    for one in asked:
        for value in IDS[one.name]:
            yield {**required, one.name: value}


@attrs.define
class Said:
    """Errors whose texts tell more than the caller did."""

    errors: list[str] = attrs.field(factory=list)
    kinds: set[str] = attrs.field(factory=set)

    def ask(self, actor: str, method: Callable[..., object]) -> None:
        """Call a method with all its arguments, and look at the errors that come of it."""
        for given in arguments_of(method):
            try:
                method(**given)
            except AngleRecoError as error:
                self.kinds.add(type(error).__name__)
                text, told = f"{error} {error!r}", f"{actor} {given}"
                if any(one in text and one not in told for one in SENTINELS):
                    self.errors.append(f"{method.__name__} of {told}: {text}")


def rows() -> dict[str, Any]:
    """Return a market in which everything has a name that nothing else has."""
    items = [
        Item(
            item_id=ItemId(one),
            category_id=CategoryId(CATEGORY),
            title=f"{TITLE} {one}",
            starting_price=Decimal(AMOUNT),
            listed_at=NOW,
        )
        for one in (ITEM, SIMILAR, "lot")
    ]
    users = [UserId(one) for one in (USER, OTHER)]
    return {
        "users": [User(user_id=one, last_sign_in_at=NOW) for one in users],
        "items": items,
        "bids": [
            Bid(user_id=one, item_id=ItemId(ITEM), amount=Decimal(AMOUNT), placed_at=NOW)
            for one in users
        ],
        "watches": [
            Watch(user_id=one, item_id=ItemId(SIMILAR), watched_at=datetime.now(NOW.tzinfo))
            for one in users
        ],
    }


def permitted(user_id: UserId, name: str) -> bool:
    if str(user_id) == OTHER and name == INSPECT_USERS:
        raise LookupError(f"{user_id} {PASSWORD}")
    return True


def refused(event: Event) -> None:
    raise LookupError(f"{event} {TITLE}")


def methods_of(view: View) -> Iterator[Callable[..., object]]:
    """Yield every call of a view and of its stored results."""
    for one in (view, view.stored):
        for name, _ in inspect.getmembers(type(one), inspect.isfunction):
            if not name.startswith("_"):
                yield getattr(one, name)


def ask_everything(reco: Recommender, said: Said) -> None:
    views = {
        "system": reco.system,
        "anonymous": reco.anonymous,
        **{one: reco.as_user(one) for one in (USER, OTHER, NOBODY)},
    }
    calls = [(actor, method) for actor, view in views.items() for method in methods_of(view)]
    # Erasing comes last.
    calls.sort(key=lambda call: (call[1].__name__ == "erase_user", call[1].__name__))
    for actor, method in calls:
        said.ask(actor, method)
    for name in OF_RECOMMENDER:
        said.ask("", getattr(reco, name))
    said.ask("", reco.check)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of a new database, with a password where a URL can have one."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/shop.db"
        return
    with new_database(request.getfixturevalue("postgres_url")) as server:
        whole = sa.make_url(server)
        # A server that trusts everybody takes any.
        whole = whole if whole.password else whole.set(password=PASSWORD)
        yield whole.render_as_string(hide_password=False)


@pytest.mark.postgres
def test_nothing_that_is_called_tells_what_it_was_not_given(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    said = Said()
    with (
        caplog.at_level(logging.DEBUG, "angle_reco"),
        Recommender.connect(url, migrate=True, permissions=permitted, on_event=refused) as reco,
    ):
        storage = reco.storage
        assert storage is not None
        fill(storage, **rows())
        ask_everything(reco, said)
        # The same where users are erased and nothing works any more.
        with storage.database.engine.begin() as connection:
            for table in (*storage.tables.lists.values(), storage.tables.interests):
                connection.exec_driver_sql(f"ALTER TABLE {table.name} RENAME TO lost_{table.name}")
        ask_everything(reco, said)
    lines = caplog.text

    assert said.errors == []
    assert [one for one in SENTINELS if one in lines] == []
    # It has been said at all.
    assert re.search(r"user erased: user=[0-9a-f]{12} ", lines)
    assert re.search(r"user inspected: actor=[0-9a-f]{12} user=[0-9a-f]{12} ", lines)
    assert "event not taken: " in lines
    assert {
        "AccessDeniedError",
        "AlreadyStoredError",
        "InvalidValueError",
        "ItemNotFoundError",
        "UserErasedError",
    } <= said.kinds
    assert said.kinds & {"SchemaError", "StorageError"}


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://postgres:{PASSWORD}@127.0.0.1:1/shop",
        f"postgresql://127.0.0.1:1/shop?password={PASSWORD}",
        f"postgresql://postgres:{PASSWORD}@@127.0.0.1:1/shop",
        f"postgresql://postgres:{PASSWORD}@127.0.0.1:port/shop",
        f"mysql://root:{PASSWORD}@127.0.0.1/shop",
        f"sqlite://root:{PASSWORD}@host/shop.db",
        f"{PASSWORD}",
    ],
)
def test_a_database_that_is_not_there_does_not_tell_the_password(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "angle_reco"), pytest.raises(AngleRecoError) as caught:
        Recommender.connect(url)

    error: BaseException | None = caught.value
    while error is not None:
        assert PASSWORD not in f"{error} {error!r}"
        error = error.__cause__
    assert PASSWORD not in caplog.text


def test_settings_and_engines_do_not_show_their_secrets() -> None:
    settings = Settings(log_key=PASSWORD)
    with Recommender.connect(
        f"postgresql://postgres:{PASSWORD}@127.0.0.1:1/shop", check=False
    ) as reco:
        shown = repr((settings, settings.fingerprints, reco.ports.storage, reco.settings))

    assert PASSWORD not in shown
    invalid: list[Any] = ["", PASSWORD.encode(), [PASSWORD]]
    for bad in invalid:
        with pytest.raises(AngleRecoError) as caught:
            Settings(log_key=bad)
        assert PASSWORD not in str(caught.value)
