"""Every public call with whatever hypothesis finds for all of its arguments at once."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any

import attrs
import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from angle_reco import Recommender, Settings
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.testing import ManualClock, MemoryMarketplace
from tests.adapters.databases import fill, ports_on, storage_on
from tests.application.hostile import (
    HOST_S_OWN,
    VALUES,
    Entry,
    Plain,
    PlainInt,
    built,
    calls_of,
    liar,
    market,
    outcome,
    refusing,
    values_for,
)
from tests.application.shop import NOW, opened
from tests.reliability.trials import sized

EXAMPLES = sized(12, 2_000)

_LARGE = ("10 MB", "million", "nested")


@attrs.frozen
class Value:
    """A value to be: hypothesis itself would look into those that answer nothing."""

    make: Callable[..., Any]
    parts: tuple[Any, ...] = ()

    def __call__(self) -> Any:
        return self.make(*(one() if isinstance(one, Value) else one for one in self.parts))


def _same(value: Any) -> Any:
    return value


def _values(of: st.SearchStrategy[Any], make: Callable[..., Any] = _same) -> Any:
    return of.map(lambda one: Value(make, (one,)))


def _listed(*values: Any) -> list[Any]:
    return list(values)


def _tupled(*values: Any) -> tuple[Any, ...]:
    return values


def _by_name(*values: Any) -> dict[str, Any]:
    return {f"n{place}": value for place, value in enumerate(values)}


_zones = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
_texts = st.text(st.characters())  # lone surrogates, too
_plain = st.one_of(
    *(
        _values(one)
        for one in (
            st.none(),
            st.booleans(),
            st.integers(),
            st.integers(-3, 3),
            st.floats(),
            st.decimals(),
            st.decimals(0, 10, places=2),
            _texts,
            st.sampled_from(["bob", "ann", "vase", "art-01", "art", "for_you", "classic"]),
            st.binary(),
            st.uuids(),
            st.datetimes(),
            st.datetimes(timezones=_zones),
            st.timedeltas(),
            st.timedeltas(timedelta(0), timedelta(days=400)),
            st.complex_numbers(),
            st.fractions(),
        )
    )
)
_derived = st.one_of(
    _values(_texts, Plain),
    _values(st.integers(), PlainInt),
    _values(st.floats(), np.float64),
    _values(_texts, partial(refusing, str)),
    _values(st.integers(), partial(refusing, int)),
    _values(st.floats(), partial(refusing, float)),
    _values(st.decimals(), partial(refusing, Decimal)),
    _values(st.sampled_from([str, int, float, Decimal, datetime, timedelta, dict, tuple]), liar),
)
_anything = st.recursive(
    _plain | _derived,
    lambda inner: st.builds(
        lambda make, parts: Value(make, tuple(parts)),
        st.sampled_from([_listed, _tupled, _by_name]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=4,
)


@attrs.frozen
class Shops:
    """What is asked, and what the database was asked meanwhile."""

    entries: dict[str, Entry]
    statements: list[str]


def _names() -> list[str]:
    return [one.name for one in [*calls_of(opened(market())), *built()]]


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shops]:
    directory, statements = tmp_path_factory.mktemp("hostile"), list[str]()
    engine = open_engine(f"sqlite:///{directory}/shop.db")
    storage = storage_on(engine)
    storage.migrate_up()
    _fill(storage, market())
    ports = attrs.evolve(ports_on(storage), clock=ManualClock(NOW), storage=storage)
    reco = Recommender(ports, Settings(cache_enabled=False))

    def count(*said: Any) -> None:
        statements.append(said[2])

    sa.event.listen(storage.database.engine, "before_cursor_execute", count)
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patched:
        patched.chdir(directory)
        found = [*calls_of(reco, run=runner.run), *built()]
        yield Shops({one.name: one for one in found}, statements)
    engine.dispose()


def _fill(storage: Any, known: MemoryMarketplace) -> None:
    fill(
        storage,
        users=known.users.values(),
        items=known.items.values(),
        bids=[one for bids in known.bids.values() for one in bids],
        watches=known.watches.values(),
    )


def _is_host_s_own(entry: Entry, argument: str, value: str) -> bool:
    own = HOST_S_OWN.get(f"{entry.name}.{argument}", HOST_S_OWN.get(argument, frozenset()))
    return value in own


def _for_argument(entry: Entry, argument: str) -> st.SearchStrategy[Any]:
    makers = values_for(entry, argument)
    names = [
        name
        for name in makers
        if not _is_host_s_own(entry, argument, name) and not any(one in name for one in _LARGE)
    ]
    hostile = _values(st.sampled_from(names), lambda name: makers[name]())
    # What can be called, or looked through, may raise what it likes.
    found = _plain if any(argument in key for key in HOST_S_OWN) else _anything
    return st.one_of(st.just(Value(_same, (entry.known[argument],))), hostile, found)


@pytest.mark.parametrize("name", _names())
def test_whatever_is_handed_over_is_answered_or_an_error_of_ours(name: str, shops: Shops) -> None:
    entry = shops.entries[name]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.fixed_dictionaries(
            {argument: _for_argument(entry, argument) for argument in entry.known}
        )
    )
    def ask(arguments: dict[str, Value]) -> None:
        shops.statements.clear()

        found = outcome(entry.asked(**{name: value() for name, value in arguments.items()}))

        assert not found.startswith("escaped"), found
        if found == "InvalidValueError" and not name.startswith("Recommender"):
            assert shops.statements == []

    ask()


def test_there_is_much_to_find() -> None:
    assert len(VALUES) > 100
    assert len(_names()) == len(set(_names())) > 60
