"""Values that nobody should hand over, and every public call that somebody could hand them to."""

import asyncio
import inspect
import sqlite3
import traceback
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any
from uuid import UUID

import attrs
import numpy as np

from angle_reco import AngleRecoError, IdKinds, Recommender, Settings, StoredView, View, testing
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.aio import AsyncRecommender, AsyncView
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import memory_ports
from angle_reco.domain.lists import ListKind
from angle_reco.domain.scoring.components import INTEREST, POPULARITY, Component
from angle_reco.domain.scoring.ranking import Ranker
from angle_reco.rules import (
    CLASSIC,
    AfterBidRule,
    DecaySteps,
    FreshnessLimits,
    HalfLife,
    InterestRule,
    JobRule,
    PopularityRule,
    PriceScale,
    Queue,
    RunRules,
    Schedule,
    SimilarityRule,
)
from angle_reco.testing import AuctionStatus, MemoryMarketplace, User
from tests.application.shop import DAY, HOUR, NOW, bid, lot, lots, watch

HUGE = 10_000_000


class Refusal(Exception):  # noqa: N818 — not an error of ours, nor of Python's
    """What hostile objects raise, and nobody shall ever see."""


def _refuse(self: object, *_: object, **__: object) -> Any:
    raise Refusal


_REFUSED = (
    "eq ne lt le gt ge hash str repr bool int float index complex len iter contains getitem"
    " add radd sub rsub mul rmul truediv rtruediv floordiv mod neg abs round format bytes call"
    " fspath reduce_ex sizeof and or invert trunc floor ceil"
)
REFUSING = {f"__{name}__": _refuse for name in _REFUSED.split()}
"""The methods of an object that answers nothing."""


def refusing(kind: type, *arguments: Any) -> Any:
    """Return a value of a class that is derived from *kind* and answers nothing."""
    derived: Any = type(f"Refusing{kind.__name__.title()}", (kind,), {})
    made = derived(*arguments)
    for name, refuse in REFUSING.items():
        setattr(derived, name, refuse)
    return made


class Everything(str):
    """A text that claims to be every other one."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


class Plain(str):
    """A text of a class of somebody's own."""

    __slots__ = ()


class PlainInt(int):
    """An integer of a class of somebody's own."""


class Shy:
    """An object that does not say what it is."""

    @property
    def __class__(self) -> Any:
        raise Refusal

    @__class__.setter
    def __class__(self, _: Any) -> None:
        raise Refusal


def liar(kind: type) -> Any:
    """Return an object that claims to be of *kind*, as a mock does."""
    return type(f"Liar{kind.__name__.title()}", (), {"__class__": kind})()


class OddZone(tzinfo):
    """A time zone that says what it is told to say."""

    def __init__(self, says: Callable[[], Any]) -> None:
        self._says = says

    def utcoffset(self, _: datetime | None) -> Any:
        return self._says()

    def dst(self, _: datetime | None) -> Any:
        return self._says()

    def tzname(self, _: datetime | None) -> Any:
        return self._says()


def _raising() -> Any:
    raise Refusal


def _nested() -> Any:
    nested: list[Any] = []
    for _ in range(10_000):
        nested = [nested]
    return nested


def _circle() -> Any:
    circle: list[Any] = []
    circle.append(circle)
    return circle


def _once(make: Callable[[], Any]) -> Callable[[], Any]:
    """Return what makes a large value once; nobody can change it."""
    return cache(make)


def _moment(*parts: int, zone: tzinfo | None = UTC) -> datetime:
    return datetime(*(parts or (2026, 6, 1)), tzinfo=zone)  # type: ignore[misc,arg-type]  # year, month, day


class Colour(Enum):
    """A choice of somebody else's."""

    RED = "red"


VALUES: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "False": lambda: False,
    # Numbers.
    "0": lambda: 0,
    "-1": lambda: -1,
    "5": lambda: 5,
    "10**9": lambda: 10**9,
    "2**63": lambda: 2**63,
    "10**30": lambda: 10**30,
    "-10**30": lambda: -(10**30),
    "10**5000": lambda: 10**5_000,
    "own int 5": lambda: PlainInt(5),
    "numpy 5": lambda: np.int64(5),
    "0.5": lambda: 0.5,
    "1.5": lambda: 1.5,
    "-0.0": lambda: -0.0,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "-inf": lambda: float("-inf"),
    "1e308": lambda: 1e308,
    "5e-324": lambda: 5e-324,
    "numpy nan": lambda: np.float64("nan"),
    "complex": lambda: 1j,
    "Decimal -1": lambda: Decimal(-1),
    "Decimal -0": lambda: Decimal("-0"),
    "Decimal 0.5": lambda: Decimal("0.5"),
    "Decimal 5": lambda: Decimal(5),
    "Decimal NaN": lambda: Decimal("NaN"),
    "Decimal sNaN": lambda: Decimal("sNaN"),
    "Decimal Infinity": lambda: Decimal("Infinity"),
    "Decimal 1E999999": lambda: Decimal("1E999999"),
    "Decimal 1E-999999": lambda: Decimal("1E-999999"),
    "Decimal of 100,000 digits": _once(lambda: Decimal((0, (7,) * 100_000, -99_999))),
    # Texts.
    "empty": lambda: "",
    "a text": lambda: "nobody",
    "text 5": lambda: "5",
    "own text": lambda: Plain("nobody"),
    "everything": lambda: Everything("nobody"),
    "numpy text": lambda: np.str_("nobody"),
    "10 MB": _once(lambda: "x" * HUGE),
    "10 MB of a class": _once(lambda: Plain("x" * HUGE)),
    "NUL": lambda: "nob\x00ody",
    "lone surrogate": lambda: "\ud800",
    "line end": lambda: "nobody\n",
    "SQL": lambda: "'; DROP TABLE items; --",
    "bytes": lambda: b"nobody",
    "10 MB of bytes": _once(lambda: b"x" * HUGE),
    "bytearray": lambda: bytearray(b"nobody"),
    # Moments and spans.
    "naive": lambda: datetime(2026, 6, 1),  # noqa: DTZ001 — on purpose
    "a moment": lambda: _moment(2026, 6, 1),
    "year 1": lambda: _moment(1, 1, 1),
    "year 1 in the east": lambda: _moment(1, 1, 1, zone=timezone(14 * HOUR)),
    "year 9999": lambda: datetime.max.replace(tzinfo=UTC),
    "year 9999 in the west": lambda: _moment(9999, 12, 31, 23, zone=timezone(-12 * HOUR)),
    "zone that raises": lambda: _moment(zone=OddZone(_raising)),
    "zone of no place": lambda: _moment(zone=OddZone(lambda: None)),
    "zone of a number": lambda: _moment(zone=OddZone(lambda: 5)),
    "zone of 25 hours": lambda: _moment(zone=OddZone(lambda: 25 * HOUR)),
    "date": lambda: date(2026, 6, 1),
    "NaT": lambda: np.datetime64("NaT", "s"),
    "a day": lambda: DAY,
    "no time": lambda: timedelta(0),
    "less than no time": lambda: timedelta(-1),
    "shortest time": lambda: timedelta.min,
    "longest time": lambda: timedelta.max,
    # What holds others.
    "[]": list,
    "list": lambda: ["nobody"],
    "list of 10 MB": _once(lambda: ["x" * HUGE]),
    "list of a million": _once(lambda: [0] * 1_000_000),
    "list of what refuses": lambda: [refusing(object)],
    "nested": _once(_nested),
    "circle": _circle,
    "()": lambda: (),
    "tuple": lambda: ("nobody",),
    "pairs": lambda: (("nobody", 5),),
    "{}": dict,
    "dict": lambda: {"nobody": 5},
    "dict of 10 MB": _once(lambda: {"x": "x" * HUGE}),
    "set": lambda: {"nobody"},
    "generator": lambda: (one for one in ("nobody",)),
    "array": lambda: np.arange(3),
    # Anything else.
    "UUID": lambda: UUID(int=5),
    "UUID of nothing": lambda: UUID.__new__(UUID),
    "object": object,
    "class": lambda: str,
    "function": lambda: len,
    "enum": lambda: Colour.RED,
    "error": lambda: ValueError("nobody"),
    "ellipsis": lambda: ...,
    # What answers nothing, or lies.
    "refusing": lambda: refusing(object),
    "refusing text": lambda: refusing(str, "nobody"),
    "refusing 10 MB": _once(lambda: refusing(str, "x" * HUGE)),
    "refusing int": lambda: refusing(int, 5),
    "refusing float": lambda: refusing(float, 0.5),
    "refusing Decimal": lambda: refusing(Decimal, 5),
    "refusing UUID": lambda: refusing(UUID, "00000000-0000-0000-0000-000000000005"),
    "refusing moment": lambda: refusing(datetime, 2026, 6, 1, 0, 0, 0, 0, UTC),
    "refusing span": lambda: refusing(timedelta, 1),
    "refusing bytes": lambda: refusing(bytes, b"nobody"),
    "refusing list": lambda: refusing(list, ["nobody"]),
    "refusing tuple": lambda: refusing(tuple, ("nobody",)),
    "refusing dict": lambda: refusing(dict, {"nobody": 5}),
    "shy": Shy,
    **{
        f"liar {kind.__name__}": lambda kind=kind: liar(kind)  # type: ignore[misc]  # a default binds it
        for kind in (
            *(str, int, float, bool, bytes, list, tuple, dict, Decimal, UUID, datetime, timedelta),
            *(Settings, FreshnessLimits, IdKinds, Ranker, Schedule, Queue, AuctionStatus),
        )
    },
}
"""What no host should hand over, created for each call."""


# What there is to call.


@attrs.frozen
class Entry:
    """A public call, and arguments that it takes; the *optional* ones need not be there."""

    name: str
    ask: Callable[..., object]
    known: Mapping[str, Any]
    optional: frozenset[str] = frozenset()

    def asked(self, **changed: Any) -> Callable[[], object]:
        """Return a way to ask with some arguments changed."""
        return lambda: self.ask(**{**self.known, **changed})


def _loaded(ids: Any) -> dict[Any, Any]:
    return dict.fromkeys(ids)


def _nothing(*_: Any) -> None:
    pass


KNOWN: dict[str, Any] = {
    "limit": 3,
    "of": "bob",
    "user_id": "bob",
    "item_id": "vase",
    "similar_id": "art-01",
    "category": "art",
    "category_id": "art",
    "after": None,
    "cards": _loaded,
    "assume_bid": True,
    "older_than": DAY,
    "score": 0.5,
    "interaction_count": 1,
    "last_interaction_at": NOW,
    "reason": "same_category",
    "rank": 1,
    "name": "compute_item_similarities",
    "scheduled": False,
    "full": True,
    "progress": _nothing,
    "at": NOW,
    "amount": Decimal(5),
    "item_ids": ["vase"],
    "connection": None,
    "as_of": NOW,
    "ranker": "classic",
    "scheduler": None,
    "grace": timedelta(0),
    "settings": Settings(cache_enabled=False),
    "on_event": _nothing,
    "permissions": lambda user_id, name: False,
    "host": None,
    "schema": None,
    "prefix": "angle_reco_",
    "migrate": False,
    "check": False,
    "pooler": False,
    "patient": False,
    "pending": False,
}
"""Of each argument, one that is taken."""

EVENTS = ("signed_in", "bid_placed", "bid_withdrawn", "watched", "unwatched", "items_changed")
NOT_ASKED = {
    # No arguments, and no answers that could be hostile: what is left of a recommender.
    "View.stored",
    *("Recommender.anonymous", "Recommender.system", "Recommender.aio", "Recommender.storage"),
    *("Recommender.catch_up", "Recommender.close", "Recommender.check"),
    *("AsyncRecommender.anonymous", "AsyncRecommender.system"),
}


def parameters(call: Callable[..., object]) -> list[str]:
    """Return the names of the arguments of a call, without the object it is of."""
    return [one for one in inspect.signature(call).parameters if one not in ("self", "cls")]


def known_of(name: str, call: Callable[..., object], **others: Any) -> dict[str, Any]:
    """Return arguments that a call takes; a KeyError says that it has got a new one."""
    known = {**KNOWN, **others}
    if name.endswith("recommendation"):
        known["reason"] = "for_you"
    if name == "Recommender.from_connection":
        known["connection"] = sqlite3.connect("shop.db")
    return {one: known[one] for one in parameters(call)}


def public(of: type) -> list[str]:
    """Return the public names of a class."""
    fields = {field.name for field in attrs.fields(of)} if attrs.has(of) else set()
    return [name for name in dir(of) if name[0] != "_" and name not in fields]


Run = Callable[[Coroutine[Any, Any, object]], object]


def calls_of(reco: Recommender, view: View | None = None, *, run: Run = asyncio.run) -> list[Entry]:
    """Return every call of a recommender and of a view of it, by default the system's."""
    view, aio = view or reco.system, AsyncRecommender(reco)
    engine = None if reco.storage is None else reco.storage.database.engine
    elsewhere = {
        "market": MemoryMarketplace(),
        "ports": reco.ports,
        "url": "sqlite:///shop.db",
        "engine": engine or open_engine("sqlite:///shop.db"),
    }
    found = []
    asked: list[tuple[type, Any]] = [
        (View, view),
        (StoredView, view.stored),
        (AsyncView, AsyncView(view, aio._elsewhere)),
        (Recommender, reco),
        (AsyncRecommender, aio),
    ]
    for of, one in asked:
        for name in public(of):
            full = f"{of.__name__}.{name}"
            if full not in NOT_ASKED:
                call = getattr(one, name)
                known = known_of(name, call, **elsewhere)
                optional = frozenset(
                    one.name
                    for one in inspect.signature(call).parameters.values()
                    if one.default is None
                )
                found.append(Entry(full, _waiting(call, run), known, optional))
    known = known_of("Recommender", Recommender, **elsewhere)
    found.append(Entry("Recommender", Recommender, known))
    return found


def _waiting(call: Callable[..., Any], run: Run) -> Callable[..., object]:
    if not inspect.iscoroutinefunction(call):
        return call

    async def soon(arguments: Mapping[str, Any]) -> object:
        return await asyncio.wait_for(call(**arguments), 10)

    return lambda **arguments: run(soon(arguments))


def market() -> MemoryMarketplace:
    """Return a small shop, in which every known argument is of something."""
    return MemoryMarketplace(
        users=[User(user_id="bob", last_sign_in_at=NOW), User(user_id="ann", last_sign_in_at=NOW)],
        items=[lot("vase"), *lots("art", 4), *lots("toy", 2, "toys")],
        bids=[bid("bob", "vase"), bid("ann", "art-02"), bid("bob", "toy-01")],
        watches=[watch("bob", "art-03")],
    )


def _added(name: str) -> Callable[..., object]:
    """Return what makes a row of a marketplace, where its ids are looked at, too."""
    kind = getattr(testing, name)

    def add(**arguments: Any) -> object:
        row = kind(**arguments)
        place = "watches" if name == "Watch" else f"{name.lower()}s"
        known: dict[str, Any] = {
            "users": [User(user_id="bob")],
            "items": [lot("vase")],
        }
        known[place] = [*known.get(place, []), row]
        return MemoryMarketplace(**known)

    return add


def _answering(**fields: Any) -> object:
    """Return what a recommender answers by settings, the last of its rankers chosen."""
    presets = fields.get("presets", ())
    ranker = presets[-1].name if "ranker" not in fields and presets else "classic"
    settings = Settings(**{"ranker": ranker, "cache_enabled": False, **fields})
    if settings.cache_enabled or settings.ids != IdKinds() or settings.prices != PriceScale():
        return Recommender(memory_ports(), settings)
    reco = Recommender(memory_ports(market()), settings)
    for job in BATCH_JOBS:
        reco.system.run_job(job)
    reco.system.homepage(of="bob")
    return reco.system.after_bid("vase", of="bob")


def _used(kind: type, field: str) -> Callable[..., object]:
    """Return what makes a value for the settings, and a recommender that answers by it."""
    return lambda **arguments: _answering(**{field: kind(**arguments)})


def _init_fields(one: Any) -> dict[str, Any]:
    return {field.name: getattr(one, field.name) for field in attrs.fields(type(one)) if field.init}


_RULE = JobRule(queue=Queue.RECOMMENDATIONS, schedule=Schedule(every=HOUR), window=HOUR, attempts=3)

BUILT: dict[str, tuple[Callable[..., object], dict[str, Any]]] = {
    "Settings": (
        _answering,
        _init_fields(
            Settings(cache_enabled=False, presets=(Ranker.preset("own", interest=1),)),
        ),
    ),
    "AfterBidRule": (_used(AfterBidRule, "after_bid"), _init_fields(AfterBidRule())),
    "DecaySteps": (
        lambda **steps: _used(InterestRule, "interest")(decay=DecaySteps(**steps)),
        _init_fields(DecaySteps()),
    ),
    "FreshnessLimits": (
        _used(FreshnessLimits, "interests_freshness"),
        _init_fields(FreshnessLimits()),
    ),
    "HalfLife": (
        lambda **half: _used(PopularityRule, "popularity")(half_life=HalfLife(**half)),
        {"span": DAY},
    ),
    "IdKinds": (_used(IdKinds, "ids"), _init_fields(IdKinds())),
    "InterestRule": (_used(InterestRule, "interest"), _init_fields(InterestRule())),
    "JobRule": (
        lambda **rule: Settings(schedule={"refresh_user_interests": JobRule(**rule)}),
        _init_fields(_RULE),
    ),
    "PopularityRule": (_used(PopularityRule, "popularity"), _init_fields(PopularityRule())),
    "PriceScale": (_used(PriceScale, "prices"), _init_fields(PriceScale())),
    "Component": (Component, _init_fields(attrs.evolve(POPULARITY, name="own"))),
    "Ranker.of": (
        Ranker.of,
        {"name": "own", "weights": {INTEREST: 0.6, POPULARITY: Decimal("0.2")}},
    ),
    "Ranker": (
        lambda **ranker: _answering(presets=(Ranker(**ranker),)),
        _init_fields(attrs.evolve(CLASSIC, name="own")),
    ),
    "Ranker.preset": (
        Ranker.preset,
        {"name": "own", "interest": 0.6, "popularity": Decimal("0.2"), "recency": 0},
    ),
    "RunRules": (_used(RunRules, "runs"), _init_fields(RunRules())),
    "Schedule": (Schedule, {"every": HOUR, "at": timedelta(0)}),
    "SimilarityRule": (_used(SimilarityRule, "similarity"), _init_fields(SimilarityRule())),
    # Rows of a marketplace.
    "Bid": (_added("Bid"), _init_fields(bid("bob", "vase", amount=5))),
    "Item": (
        _added("Item"),
        _init_fields(lot("vase", seller="bob", ends=1, starts=-1, status=AuctionStatus.ACTIVE))
        | {"current_price": Decimal(5)},
    ),
    "User": (
        _added("User"),
        {"user_id": "bob", "created_at": NOW, "last_sign_in_at": NOW, "sign_in_count": 1},
    ),
    "Watch": (_added("Watch"), _init_fields(watch("bob", "vase"))),
    "MemoryMarketplace": (
        MemoryMarketplace,
        {
            "users": [User(user_id="bob")],
            "items": [lot("vase")],
            "bids": [bid("bob", "vase")],
            "watches": [watch("bob", "vase")],
            "ids": IdKinds(),
            "prices": PriceScale(),
        },
    ),
    "MemoryMarketplace.add_user": (market().add_user, {"user": User(user_id="bob")}),
    "MemoryMarketplace.add_item": (market().add_item, {"item": lot("vase")}),
    "MemoryMarketplace.add_watch": (market().add_watch, {"watch": watch("bob", "vase")}),
    "MemoryMarketplace.grant": (market().grant, {"user_id": "bob", "name": "inspect_users"}),
    "MemoryMarketplace.revoke": (market().revoke, {"user_id": "bob", "name": "inspect_users"}),
    "memory_ports": (memory_ports, {"market": MemoryMarketplace(), "permissions": _nothing}),
}
"""What a host makes itself, each with arguments that are taken."""

RESULTS = {
    *("AnswerDegraded", "Erased", "Event", "Finding", "Health", "ItemCard", "JobOutcome"),
    *("JobStats", "MemoryStats", "RefreshFailed", "RunFailed", "Shelf", "SignIns", "Stats"),
    *("CacheStats", "Recipe", "Run", "RunKey", "Storage", "StoreTotals", "StoredInterests"),
    *("StoredLine", "StoredList", "Suggestion", "UserExport", "UserInspected", "UserInterest"),
}
"""What we make, and a host reads."""


def built() -> list[Entry]:
    """Return whatever a host makes itself."""
    return [Entry(name, ask, known) for name, (ask, known) in BUILT.items()]


# What else could be handed to single arguments.


def _endless(ids: Any) -> Any:
    return next(iter(()))


LOADERS: dict[str, Callable[[], Any]] = {
    "loader that raises": lambda: lambda ids: _raising(),
    "loader that raises StopIteration": lambda: _endless,
    "loader that raises KeyError": lambda: lambda ids: dict[str, int]()["nobody"],
    "loader of nothing": lambda: lambda ids: None,
    "loader of a list": lambda: list,
    "loader of a set": lambda: set,
    "loader of NaN": lambda: lambda ids: float("nan"),
    "loader without arguments": lambda: dict,
    "loader of what refuses": lambda: lambda ids: refusing(object),
    "loader of a dict that refuses": lambda: lambda ids: refusing(dict, {}),
    "loader of a coroutine": lambda: lambda ids: (one for one in ids),
}

EXTRA: dict[str, dict[str, Callable[[], Any]]] = {
    "cards": LOADERS
    | {
        "loader of other ids": lambda: lambda ids: {1.5: 1, None: 2},
        "loader of odd cards": lambda: lambda ids: dict.fromkeys(ids, float("nan")),
    },
    "url": {
        "file with NUL": lambda: "sqlite:///a\x00b.db",
        "file with a surrogate": lambda: "sqlite:///\ud800.db",
        "file of 10 MB": lambda: "sqlite:///" + "x" * HUGE,
        "port of nothing": lambda: "postgresql://h:nan/x",
        "half an address": lambda: "postgresql://[::1",
        "many options": lambda: "sqlite:///a?" + "x=1&" * 100_000,
    },
    "DecaySteps.upper_days": {
        "enormous days": lambda: (7, 30, 10**30),
        "NaN days": lambda: (7, 30, float("nan")),
        "no days": lambda: (7, 30, None),
    },
    "DecaySteps.weights": {
        "NaN weight": lambda: (1_000_000, 700_000, float("nan")),
        "enormous weight": lambda: (1_000_000, 700_000, 10**5_000),
    },
    "Ranker.weights": {
        "NaN": lambda: ((INTEREST, float("nan")),),
        "triple": lambda: ((INTEREST, 1, 1),),
        "by name": lambda: (("interest", 1),),
        "component alone": lambda: (INTEREST,),
        "refusing weight": lambda: ((INTEREST, refusing(int, 5)),),
    },
    "Settings.freshness": {
        "NaN of a kind": lambda: dict.fromkeys(ListKind, float("nan")),
        "one of three": lambda: {ListKind.POPULAR: FreshnessLimits()},
    },
    "Settings.workers": {"NaN": lambda: dict.fromkeys(Queue, float("nan"))},
    "Settings.schedule": {
        "NaN": lambda: {float("nan"): _RULE},
        "unknown job": lambda: {"nobody": _RULE},
        "no rule": lambda: {"refresh_user_interests": float("nan")},
    },
    "Settings.presets": {"twice": lambda: (CLASSIC, CLASSIC), "NaN": lambda: (float("nan"),)},
}


def values_for(entry: Entry, argument: str) -> dict[str, Callable[[], Any]]:
    """Return what nobody should hand over as an argument of a call."""
    return VALUES | EXTRA.get(argument, {}) | EXTRA.get(f"{entry.name}.{argument}", {})


# What may come of it.

_TEXTS = frozenset(
    ["a text", "text 5", "own text", "everything", "numpy text", "SQL", "refusing text"]
)
_SCORES = frozenset(
    ["-0.0", "0", "0.5", "5e-324", "Decimal -0", "Decimal 0.5", "Decimal 1E-999999"]
) | {"refusing float"}
_MOMENTS = frozenset({"a moment", "refusing moment", "year 1", "year 9999"})
_AMOUNTS = frozenset(["0", "5", "10**9", "own int 5", "Decimal -0", "Decimal 0.5", "Decimal 5"]) | {
    *("refusing int", "refusing Decimal")
}
_REFUSING = frozenset(name for name in VALUES if name.startswith("refusing"))
_CALLABLE = _REFUSING | {"class", "function"}
_NONE = frozenset({"None"})
_YES_OR_NO = frozenset({"True", "False"})
_EMPTY = frozenset({"empty", "[]", "()", "{}"})

HOST_S_OWN = {
    # What these raise themselves is the host's own to see.
    "cards": _CALLABLE | frozenset(LOADERS),
    "progress": _CALLABLE,
    **dict.fromkeys(("users", "items", "bids", "watches"), _REFUSING),
    "Item.public": frozenset({"refusing dict"}),
    "Settings.schedule": frozenset({"refusing dict"}),
    "Settings.workers": frozenset({"refusing dict"}),
    "Settings.freshness": frozenset({"refusing dict"}),
}

TAKEN: dict[str, frozenset[str]] = {
    "of": _TEXTS,
    "user_id": _TEXTS,
    "item_id": _TEXTS,
    "similar_id": _TEXTS,
    "category_id": _TEXTS,
    "category": _TEXTS | _NONE,
    "limit": frozenset({"5", "10**9", "2**63", "10**30", "10**5000"}),
    "StoredView.get_top_interests.limit": frozenset({"5", "10**9", "2**63", "10**30", "10**5000"})
    | _NONE,
    "rank": frozenset({"5", "10**9", "2**63", "10**30", "10**5000"}) | _NONE,
    "cards": _NONE | {"loader of other ids", "loader of odd cards"},
    "assume_bid": _YES_OR_NO,
    "scheduled": _YES_OR_NO,
    "full": _YES_OR_NO,
    "migrate": _YES_OR_NO,
    "check": _YES_OR_NO,
    "pooler": frozenset({"False"}),
    "patient": _YES_OR_NO,
    # Pending events are of no item, and there is one that is asked about.
    "pending": frozenset({"False"}),
    "older_than": _NONE | {"a day", "no time"},
    "score": _SCORES,
    "interaction_count": frozenset({"0", "5", "10**9"}),
    "last_interaction_at": _MOMENTS | _NONE,
    "as_of": _MOMENTS - {"year 1"} | _NONE,
    "ranker": _NONE,
    "settings": _NONE,
    "market": _NONE,
    "host": _NONE,
    "schema": _NONE,
    "prefix": _NONE | {"a text", "own text", "everything", "numpy text"},
    "scheduler": _NONE,
    "on_event": _NONE | _CALLABLE,
    "permissions": _NONE | _CALLABLE,
    "connection": _NONE,
    "item_ids": _EMPTY,
    "grace": frozenset(["a day", "no time", "less than no time", "shortest time", "longest time"]),
    "url": frozenset({"file with NUL", "file with a surrogate"}),
    # What hosts build.
    "amount": _AMOUNTS | _NONE,
    "starting_price": _AMOUNTS | _NONE,
    "current_price": _AMOUNTS | _NONE,
    **dict.fromkeys(("placed_at", "watched_at"), _MOMENTS),
    **dict.fromkeys(
        ("created_at", "last_sign_in_at", "starts_at", "ends_at", "listed_at"), _MOMENTS | _NONE
    ),
    "seller_id": _TEXTS | _NONE,
    "Item.category_id": _TEXTS | _NONE,
    "Item.public": frozenset({"{}", "dict"}),
    "language": _CALLABLE,
    "translations": _CALLABLE | _NONE,
    "title": _TEXTS | {"empty", "line end", "10 MB", "10 MB of a class", "refusing 10 MB"},
    "is_published": _YES_OR_NO,
    "status": _NONE,
    "sign_in_count": frozenset({"0", "5", "10**9"}),
    **dict.fromkeys(("bids", "watches"), _EMPTY),
    "ids": _NONE,
    "MemoryMarketplace.prices": _NONE,
    **dict.fromkeys(("fresh_for", "stale_for", "on_error_for"), frozenset({"a day", "no time"})),
    **dict.fromkeys(
        ("span", "every", "window", "request_window", "active_for", "lease", "poll"),
        frozenset({"a day"}),
    ),
    "JobRule.window": frozenset(),
    "RunRules.retry_most": frozenset({"a day"}),
    "Schedule.at": frozenset({"no time"}),
    "attempts": frozenset({"5"}),
    "in_every_process": _YES_OR_NO,
    "cache_enabled": _YES_OR_NO,
    "strict_events": _YES_OR_NO,
    "cache_bytes": frozenset({"10**9"}),
    "pace": frozenset({"0.5"}),
    "log_key": _TEXTS | {"NUL", "line end", "10 MB", "10 MB of a class", "refusing 10 MB"},
    "presets": frozenset({"()"}),
    "schedule": frozenset({"{}"}),
    "JobRule.schedule": frozenset(),
    "units": frozenset({"10**9"}),
    "beyond": frozenset({"0", "5"}),
    **dict.fromkeys(("bid_weight", "watch_weight"), frozenset({"0", "5", "10**9"})),
    **dict.fromkeys(
        ("interest", "similarity", "price", "shared", "threshold"), frozenset({"0", "5"})
    ),
    **dict.fromkeys(
        ("enough_shared", "history_length", "kept", "saturation", "favourites", "per_category"),
        frozenset({"5"}),
    ),
    "watcher_weight": frozenset({"0", "5"}),
    "SimilarityRule.category": frozenset({"0", "5"}),
    "half_life": _NONE,
    **dict.fromkeys(
        ("Ranker.name", "Ranker.of.name", "Component.name"), _TEXTS - {"text 5", "SQL"}
    ),
    **dict.fromkeys(("Component.label", "Component.data"), frozenset({"a text", "text 5", "SQL"})),
    "Component.sentence": frozenset({"a text", "text 5", "SQL", "empty"}),
    "version": frozenset({"5"}),
    "values": _CALLABLE,
    "estimate": _CALLABLE | _NONE,
    "model_bytes": frozenset({"10**9"}),
    "model_folder": _NONE,
    "Ranker.preset.name": _TEXTS - {"text 5", "SQL"},
    "Ranker.preset.interest": _SCORES - {"5e-324", "Decimal 1E-999999"},
    **dict.fromkeys(
        ("Ranker.preset.popularity", "Ranker.preset.recency"),
        frozenset({"-0.0", "0", "Decimal -0"}),
    ),
    **dict.fromkeys(
        ("MemoryMarketplace.grant.name", "MemoryMarketplace.revoke.name"),
        frozenset(name for name in VALUES if name in _TEXTS or "10 MB" in name[:6])
        | {"empty", "NUL", "lone surrogate", "line end", "refusing 10 MB"},
    ),
    # Other arguments have these names elsewhere.
    **dict.fromkeys(
        ("Settings.interest", "Settings.similarity", "Settings.popularity", "Settings.after_bid"),
        frozenset(),
    ),
    "DecaySteps.upper_days": frozenset({"enormous days"}),
}
"""Of each argument, or that of one call, what is no mistake after all."""


def is_taken(entry: Entry, argument: str, value: str) -> bool:
    """Return whether a value may get an answer; everything else is an error of ours."""
    if entry.name.split(".")[-1] in EVENTS:
        # What cannot be taken is told by False.
        return True
    if value == "None" and argument in entry.optional:
        return True
    own = TAKEN.get(f"{entry.name}.{argument}")
    return value in (TAKEN.get(argument, frozenset()) if own is None else own)


ANSWERED = "answered"
_MOST = 1_000


def outcome(ask: Callable[[], object]) -> str:
    """Return what came of a call: an answer, the name of an error of ours, or what escaped."""
    try:
        try:
            ask()
        except AngleRecoError as error:
            said = [str(error), repr(error), *traceback.format_exception_only(error)]
            if max(map(len, said)) > _MOST or any("x" * 100 in one for one in said):
                return f"escaped: a text of {max(map(len, said))} characters"
            return type(error).__name__
    except BaseException as error:  # noqa: BLE001 — which it may be is what the tests look at
        return f"escaped: {type(error).__name__}"
    return ANSWERED


def what_is_wrong(entry: Entry, argument: str, value: str, found: str) -> str | None:
    """Return what should not have come of a value, None if it is as it should be."""
    if found == ANSWERED and is_taken(entry, argument, value):
        return None
    own = HOST_S_OWN.get(f"{entry.name}.{argument}", HOST_S_OWN.get(argument, frozenset()))
    if found.startswith("escaped") and value in own and "a text" not in found:
        return None
    if found not in (ANSWERED,) and not found.startswith("escaped"):
        return None
    return f"{entry.name}({argument}={value}): {found}"
