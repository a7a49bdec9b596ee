"""Every public call with what it is about, who may ask, and the matrix of who gets what."""

import copy
import csv
import inspect
import pickle
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID

import attrs
import sqlalchemy as sa

from angle_reco import (
    AccessDeniedError,
    InvalidValueError,
    ItemNotFoundError,
    Recommender,
    UserId,
    View,
)
from angle_reco.domain.policies import ANONYMOUS, SYSTEM, SignedIn, WithoutId
from angle_reco.testing import MemoryMarketplace
from tests.application.shop import INSPECT, MANAGE, bid, filled, lot, lots

FILE = Path(__file__).with_name("matrix.csv")

TRUSTED = "trusted"
"""Of a call that takes no actor: it is the host's own code, and asks no policy."""

OUTCOMES: dict[type[Exception], str] = {
    AccessDeniedError: "denied",
    InvalidValueError: "invalid",
    ItemNotFoundError: "missing",
}
"""What a cell says of an error; of anything else it is that the call answers."""


# Each parameter after the first is an argument that somebody else may choose.
CALLS: dict[str, Callable[..., object]] = {
    "View.homepage": lambda view, user: view.homepage(of=user),
    "View.similar_items": lambda view, item: view.similar_items(item),
    "View.after_bid": lambda view, user, item: view.after_bid(item, of=user),
    "View.popular_items": lambda view, category: view.popular_items(category=category),
    "View.interests": lambda view, user: view.interests(of=user),
    "View.sign_ins": lambda view, user: view.sign_ins(of=user),
    "StoredView.get_interests": lambda view, user: view.stored.get_interests(of=user),
    "StoredView.get_top_interests": lambda view, user: view.stored.get_top_interests(of=user),
    "StoredView.get_recommendations": lambda view, user: view.stored.get_recommendations(of=user),
    "StoredView.find_similar_items": lambda view, item: view.stored.find_similar_items(item),
    "StoredView.find_stale_recommendations": lambda view: view.stored.find_stale_recommendations(),
    "StoredView.create_interest": lambda view, user, category: view.stored.create_interest(
        user, category, score=0.5
    ),
    "StoredView.upsert_interest": lambda view, user, category: view.stored.upsert_interest(
        user, category, score=0.5
    ),
    "StoredView.delete_interest": lambda view, user, category: view.stored.delete_interest(
        user, category
    ),
    "StoredView.create_similarity": lambda view, item, similar: view.stored.create_similarity(
        item, similar, score=0.5
    ),
    "StoredView.upsert_similarity": lambda view, item, similar: view.stored.upsert_similarity(
        item, similar, score=0.5
    ),
    "StoredView.delete_similarity": lambda view, item, similar: view.stored.delete_similarity(
        item, similar
    ),
    "StoredView.create_recommendation": lambda view, user, item: view.stored.create_recommendation(
        user, item, score=0.5
    ),
    "StoredView.upsert_recommendation": lambda view, user, item: view.stored.upsert_recommendation(
        user, item, score=0.5
    ),
    "StoredView.delete_recommendation": lambda view, user, item: view.stored.delete_recommendation(
        user, item
    ),
    "View.export_user": lambda view, user: view.export_user(user),
    "View.erase_user": lambda view, user: view.erase_user(user),
    "View.run_job": lambda view, item: view.run_job("compute_item_similarities", item_id=item),
    "View.request_job": lambda view, item: view.request_job(
        "compute_item_similarities", item_id=item
    ),
    "View.forget_cached": lambda view, user, item: view.forget_cached(user_id=user, item_id=item),
    "View.health": lambda view: view.health(),
    "View.stats": lambda view: view.stats(),
}
"""How each call of a view and of its stored results is asked."""

BINDING = {"View.stored"}
"""What takes the actor along to other calls, and answers nothing itself."""

TRUSTED_CALLS: dict[str, Callable[..., object]] = {
    "Recommender.aio": lambda reco: reco.aio,
    "Recommender.anonymous": lambda reco: reco.anonymous,
    "Recommender.as_of_moment": lambda reco: reco.as_of_moment(None),
    "Recommender.as_user": lambda reco, user: reco.as_user(user),
    "Recommender.bid_placed": lambda reco, user, item: reco.bid_placed(user, item),
    "Recommender.bid_withdrawn": lambda reco, user, item: reco.bid_withdrawn(user, item),
    "Recommender.catch_up": lambda reco: reco.catch_up(),
    "Recommender.check": lambda reco: reco.check(),
    "Recommender.close": lambda reco: reco.close(),
    "Recommender.connect": lambda reco: reco.connect("sqlite:///shop.db", check=False),
    "Recommender.from_engine": lambda reco: reco.from_engine(
        sa.create_engine("sqlite://", poolclass=sa.StaticPool), check=False
    ),
    "Recommender.from_connection": lambda reco: reco.from_connection(
        sqlite3.connect(":memory:"), check=False
    ),
    "Recommender.in_memory": lambda reco: reco.in_memory(),
    "Recommender.items_changed": lambda reco, item: reco.items_changed([item]),
    "Recommender.signed_in": lambda reco, user: reco.signed_in(user),
    "Recommender.start": lambda reco: reco.start(scheduler=None),
    "Recommender.stop": lambda reco: reco.stop(),
    "Recommender.storage": lambda reco: reco.storage,
    "Recommender.system": lambda reco: reco.system,
    "Recommender.unwatched": lambda reco, user, item: reco.unwatched(user, item),
    "Recommender.watched": lambda reco, user, item: reco.watched(user, item),
}
"""How each call of a recommender is asked."""


class Everything(str):
    """A text that claims to be every other one."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


KNOWN = {"user": "bob", "item": "relic", "similar": "vase", "category": "toys"}
"""Of each argument, what there is: the relic has ended, so that it is on no list."""

IDS: dict[str, Callable[[str], list[Any]]] = {
    "known": lambda argument: [KNOWN[argument]],
    "unknown": lambda argument: ["nobody", KNOWN[argument].title(), Everything("nobody")],
    "none": lambda argument: [None],
    # What could be an id, but of another kind than this shop's.
    "wrong": lambda argument: [5, 0, -(2**63), UUID(int=5)],
    # What could never be one.
    "malformed": lambda argument: [
        "",
        "x" * 10_000_000,
        f"{KNOWN[argument]}\x00",
        "\ud800",
        f"{KNOWN[argument]}\n",
        KNOWN[argument].encode(),
        True,
        False,
        2**63,
        1.5,
        float("nan"),
        [],
        [KNOWN[argument]],
        {},
        object(),
    ],
}
"""What an argument can be: the rows of a call."""


class Forged(NamedTuple):
    kind: str = "system"
    name: str = "system"
    user_id: str = "bob"


class Root(SignedIn):
    """A user that somebody derived."""


class Impostor:
    """Claims to be a signed-in user, and to equal anybody."""

    user_id = "bob"
    name = "system"

    __class__ = SignedIn  # type: ignore[assignment]  # the lie

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash(SYSTEM)


FORGED: dict[str, Any] = {
    "a text": "system",
    "nothing": None,
    "true": True,
    "a dictionary": {"kind": "system", "name": "system", "user_id": "bob"},
    "a tuple": Forged(),
    "a namespace": SimpleNamespace(user_id="bob", name="system", kind="system"),
    "an impostor": Impostor(),
    "a class": SignedIn,
    "a derived user": Root("bob"),
    "one more system": WithoutId("system"),
    "one more visitor": WithoutId("anonymous"),
    "a copy of the system": copy.copy(SYSTEM),
    "a deep copy of the system": copy.deepcopy(SYSTEM),
    "the system from a message": pickle.loads(pickle.dumps(SYSTEM)),
    "a changed system": attrs.evolve(SYSTEM),
    "a copy of a visitor": copy.copy(ANONYMOUS),
}
"""Actors that are none, as somebody could make them by hand or from what was sent."""

ACTORS: dict[str, Callable[[Recommender], list[View]]] = {
    "owner": lambda reco: [reco.as_user(KNOWN["user"])],
    "other": lambda reco: [reco.as_user("ann"), reco.as_user("BOB"), reco.as_user("a stranger")],
    "anonymous": lambda reco: [reco.anonymous],
    "manager": lambda reco: [reco.as_user("manager")],
    "inspect only": lambda reco: [reco.as_user("inspect only")],
    "inspector": lambda reco: [reco.as_user("inspector")],
    "system": lambda reco: [reco.system],
    "forged": lambda reco: [View(reco._use_cases, one) for one in FORGED.values()],
}
"""Who asks: the columns of the matrix."""

HELD = {"manager": {MANAGE}, "inspect only": {INSPECT}, "inspector": {MANAGE, INSPECT}}


@attrs.frozen
class Row:
    """What each actor gets of a call with one kind of id."""

    call: str
    argument: str
    id: str
    cells: dict[str, str]

    def __str__(self) -> str:
        return f"{self.call} {self.argument} {self.id}"

    def asks(self) -> Iterator[Callable[[Any], object]]:
        """Yield ways to ask this, one for each sample of such an id."""
        call = (CALLS | TRUSTED_CALLS)[self.call]
        known = {argument: KNOWN[argument] for argument in arguments_of(self.call)}
        if self.argument == "-":
            yield call
            return
        for sample in IDS[self.id](self.argument):
            yield lambda asked, sample=sample: call(asked, **{**known, self.argument: sample})  # type: ignore[misc]  # a default binds it


def matrix() -> list[Row]:
    """Return the rows of the file."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return [
            Row(row["call"], row["argument"], row["id"], {actor: row[actor] for actor in ACTORS})
            for row in csv.DictReader(file, strict=True)
        ]


def arguments_of(call: str) -> list[str]:
    """Return the arguments of a call that somebody else may choose."""
    return list(inspect.signature((CALLS | TRUSTED_CALLS)[call]).parameters)[1:]


def public_calls(of: type) -> set[str]:
    """Return the public methods and properties of a class, inherited ones too."""
    fields = {field.name for field in attrs.fields(of)} if attrs.has(of) else set()
    return {f"{of.__name__}.{name}" for name in dir(of) if name[0] != "_"} - {
        f"{of.__name__}.{name}" for name in fields
    }


def outcome(ask: Callable[[Any], object], asked: Any) -> str:
    """Return what comes of a call, as a cell says it."""
    try:
        ask(asked)
    except tuple(OUTCOMES) as error:
        return OUTCOMES[type(error)]
    return "answers"


def market() -> MemoryMarketplace:
    """Return a small shop with what is known, and users who hold permissions."""
    return filled(
        [
            lot("relic", "antiques", price=10_000, ends=-1),
            lot("vase"),
            *lots("art", 3),
            lot("robot", "toys"),
        ],
        bid("bob", "vase"),
        bid("bob", "relic"),
        bid("BOB", "robot"),
        users=["ann", *HELD],
    )


def held(user_id: UserId, name: str) -> bool:
    """Return whether a user of the shop holds a permission."""
    return name in HELD.get(str(user_id), ())
