"""Every public call with values that nobody should hand over: an error of ours, or an answer."""

import asyncio
import inspect
import sqlite3
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
import sqlalchemy as sa

import angle_reco
from angle_reco import (
    Recommender,
    Settings,
    StoredView,
    View,
    components,
    errors,
    events,
    results,
    rules,
    sql,
    testing,
)
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.adapters.sql.storage import Storage
from angle_reco.aio import AsyncRecommender, AsyncView
from angle_reco.testing import ManualClock
from tests.adapters.databases import fill, ports_on, storage_on
from tests.application.hostile import (
    ANSWERED,
    BUILT,
    EVENTS,
    LOADERS,
    NOT_ASKED,
    RESULTS,
    VALUES,
    Entry,
    built,
    calls_of,
    is_taken,
    market,
    outcome,
    parameters,
    public,
    values_for,
    what_is_wrong,
)
from tests.application.shop import NOW, opened
from tests.reliability.trials import IS_FULL

MB = 1_000_000

WIRING = {
    *("Recommender", "Recommender.connect", "Recommender.from_engine", "Recommender.in_memory"),
    "Recommender.from_connection",
    *("Recommender.as_of_moment", "Recommender.start", "Recommender.stop"),
}
"""What makes recommenders, or starts one: asked once, on whatever shop."""

BY_THE_HOST = {"cards", "progress"}
"""What is called in the middle of a call, after statements."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where files may be made."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def on_memory() -> Recommender:
    return opened(market())


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[Recommender]:
    engine = open_engine(f"sqlite:///{tmp_path}/hostile.db")
    storage = storage_on(engine)
    storage.migrate_up()
    put_market_into(storage)
    ports = attrs.evolve(ports_on(storage), clock=ManualClock(NOW), storage=storage)
    yield Recommender(ports, Settings(cache_enabled=False))
    engine.dispose()


def put_market_into(storage: Storage) -> None:
    known = market()
    fill(
        storage,
        users=known.users.values(),
        items=known.items.values(),
        bids=[one for bids in known.bids.values() for one in bids],
        watches=known.watches.values(),
    )


def served(reco: Recommender, *, by_all: bool = True) -> list[Entry]:
    """Return the calls that answer, of the system or by three actors, and the events."""
    views = [reco.system, *([reco.as_user("bob"), reco.anonymous] if by_all else [])]
    return [
        one
        for place, view in enumerate(views)
        for one in calls_of(reco, view, run=_loop.run)
        if one.name not in WIRING and (place == 0 or one.name.startswith(("View.", "StoredView.")))
    ]


_loop = asyncio.Runner()


@pytest.fixture(scope="module", autouse=True)
def one_loop() -> Iterator[None]:
    """Have one event loop for all calls, to be closed in the end."""
    with _loop:
        yield


def test_every_public_call_is_asked() -> None:
    reco = opened(market())
    asked = {entry.name for entry in calls_of(reco)} | NOT_ASKED
    there = {
        f"{of.__name__}.{name}"
        for of in (View, StoredView, AsyncView, Recommender, AsyncRecommender)
        for name in public(of)
    } | {"Recommender"}

    assert asked == there
    for entry in calls_of(reco):
        assert outcome(entry.asked()) != "escaped: TypeError", entry.name


def test_everything_a_host_makes_is_made() -> None:
    modules = (angle_reco, components, errors, events, results, rules, sql, testing)
    named = {name: getattr(module, name) for module in modules for name in module.__all__}
    classes = {name for name, one in named.items() if inspect.isclass(one)}
    raised = {name for name in classes if name.endswith("Error")}
    choices = {
        *("AuctionStatus", "BidCounting", "Candidates", "DependsOn", "Freshness", "IdKind"),
        *("ListKind", "Queue"),
        *("Reason", "Resource", "RunState", "Source", "SimilarBy", "Trigger", "Verify"),
    }
    # Of SQLAlchemy's tables and selects; a record of ports; those that are asked.
    others = {
        *("HostSchema", "PermissionTable", "SignInColumns", "ManualClock", "Recommender", "View"),
        *("AsyncRecommender", "AsyncView", "StoredView"),
        # What components are called with.
        *("Catalogue", "Demand", "IdColumn", "IdIndex", "Interactions", "Interests"),
        *("OpenMarket", "Profiles", "Wording"),
    }

    assert classes <= BUILT.keys() | raised | choices | others | RESULTS
    for entry in built():
        assert outcome(entry.asked()) == ANSWERED, entry.name


@pytest.mark.parametrize("name", BUILT)
def test_what_a_host_makes_is_right_or_an_error_of_ours(name: str) -> None:
    entry = next(one for one in built() if one.name == name)

    assert wrong_of([entry]) == []


@pytest.mark.parametrize("name", sorted(WIRING))
def test_a_recommender_is_made_of_what_is_right(name: str, on_memory: Recommender) -> None:
    [entry] = [one for one in calls_of(on_memory) if one.name == name]
    if name == "Recommender.connect" and not IS_FULL:
        # All else goes on to `from_engine`.
        known = {"url": entry.known["url"], "check": False}
        entry = attrs.evolve(entry, known=known)

    assert wrong_of([entry]) == []


def test_every_call_in_memory_answers_or_says_what_is_wrong(on_memory: Recommender) -> None:
    assert wrong_of(served(on_memory)) == []
    nothing_odd_is_kept(on_memory)


def test_every_call_on_a_database_does_before_any_statement(
    on_sqlite: Recommender, tmp_path: Path
) -> None:
    statements = list[str]()
    storage = on_sqlite.storage
    assert storage is not None

    def count(*said: Any) -> None:
        statements.append(said[2])

    sa.event.listen(storage.database.engine, "before_cursor_execute", count)
    wrong, late = list[str](), list[str]()
    for entry in served(on_sqlite, by_all=IS_FULL):
        for argument in entry.known:
            for value, make in values_for(entry, argument).items():
                statements.clear()
                found = outcome(entry.asked(**{argument: make()}))
                wrong += filter(None, [what_is_wrong(entry, argument, value, found)])
                is_by_host = argument in BY_THE_HOST and (
                    value in LOADERS or value in ("class", "function")
                )
                if found in ("InvalidValueError", "AccessDeniedError") and not is_by_host:
                    late += [f"{entry.name}({argument}={value})"] if statements else []
    sa.event.remove(storage.database.engine, "before_cursor_execute", count)

    assert wrong == []
    assert late == []
    nothing_odd_is_kept(on_sqlite)
    with closing(sqlite3.connect(tmp_path / "hostile.db")) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
            for column in columns:
                query = f'SELECT DISTINCT typeof("{column}") FROM "{table}"'  # noqa: S608 — names from the schema
                types = {kind for (kind,) in connection.execute(query)}
                # Where there are no floats, there is no NaN.
                assert "real" not in types, (table, column)


def test_what_is_wrong_never_enters_memory() -> None:
    reco = opened(market(), Settings())
    calls = served(reco, by_all=IS_FULL)
    entries = [one for one in calls if one.name.split(".")[-1] not in EVENTS]
    for entry in entries:
        if "erase" not in entry.name and "forget" not in entry.name:
            outcome(entry.asked())
    memory = reco._use_cases.shelves.stale_cache
    assert memory is not None
    wrong, entered = list[str](), list[str]()

    def inside() -> tuple[int, int]:
        return memory.cache.stats().entries, len(memory._pauses)

    for entry in entries:
        for argument in entry.known:
            for value, make in values_for(entry, argument).items():
                if is_taken(entry, argument, value) or argument in BY_THE_HOST:
                    continue
                before = inside()
                found = outcome(entry.asked(**{argument: make()}))
                wrong += filter(None, [what_is_wrong(entry, argument, value, found)])
                if found == "InvalidValueError" and inside() != before:
                    entered.append(f"{entry.name}({argument}={value})")

    assert wrong == []
    assert entered == []
    assert inside()[0] > 0


@pytest.mark.usefixtures("usual_garbage_collection")
def test_a_huge_value_is_neither_copied_nor_shown(on_memory: Recommender) -> None:
    calls = calls_of(on_memory, run=_loop.run)
    entries = [*calls, *built()] if IS_FULL else [*served(on_memory, by_all=False), *built()]
    huge = {name: make() for name, make in VALUES.items() if "10 MB" in name or "million" in name}
    wrong = list[str]()

    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for entry in entries:
            for argument in entry.known:
                for name, value in huge.items():
                    found = outcome(entry.asked(**{argument: value}))
                    wrong += filter(None, [what_is_wrong(entry, argument, name, found)])
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert wrong == []
    assert peak - before < 50 * MB
    assert after - before < 20 * MB


class TestLoaders:
    """A loader is the host's own: what it raises is the host's to see."""

    def test_what_a_loader_raises_is_raised(self, on_memory: Recommender) -> None:
        raised = OSError("no such picture")

        def load(_: Any) -> Any:
            raise raised

        with pytest.raises(OSError, match="no such picture") as caught:
            on_memory.anonymous.popular_items(cards=load)

        assert caught.value is raised

    def test_what_is_no_mapping_is_our_error(self, on_memory: Recommender) -> None:
        for wrong in (None, [], set(), "vase", float("nan"), object()):
            found = outcome(
                lambda wrong=wrong: on_memory.anonymous.popular_items(cards=lambda _: wrong)  # type: ignore[misc]  # a default binds it
            )

            assert found == "InvalidValueError"

    def test_one_that_runs_out_does_not_hang_the_event_loop(self, on_memory: Recommender) -> None:
        entry = next(one for one in calls_of(on_memory) if one.name == "AsyncView.popular_items")

        found = outcome(entry.asked(cards=LOADERS["loader that raises StopIteration"]()))

        assert found == "escaped: RuntimeError"


def wrong_of(entries: list[Entry]) -> list[str]:
    """Return what should not have come of every value for every argument."""
    return [
        wrong
        for entry in entries
        for argument in entry.known
        for value, make in values_for(entry, argument).items()
        if (
            wrong := what_is_wrong(
                entry, argument, value, outcome(entry.asked(**{argument: make()}))
            )
        )
    ]


def nothing_odd_is_kept(reco: Recommender) -> None:
    """Look at what is stored, and that everything is answered as before."""
    for entry in calls_of(reco):
        if entry.name.split(".")[0] in ("View", "StoredView", "AsyncView"):
            assert not outcome(entry.asked()).startswith("escaped"), entry.name
    exported = reco.system.export_user("ann")
    reco.system.run_job("refresh_user_interests")
    reco.system.run_job("generate_recommendations")
    for user in ("ann", "bob", "nobody"):
        exported = reco.system.export_user(user)
        for one in () if exported.interests is None else exported.interests.interests:
            assert type(one.score) is int
            assert type(one.category_id).__name__ == "str"
            assert type(one.last_interaction_at) is datetime
        for line in () if exported.homepage is None else exported.homepage.lines:
            assert type(line.score) is int
            assert type(line.item_id).__name__ == "str"
    # Those that were placed before were withdrawn.
    assert reco.bid_placed("bob", "vase", amount=Decimal(5), at=NOW) is True
    bids = reco.ports.activity.user_bids(angle_reco.UserId("bob"))
    for bid in bids:
        assert {type(bid.user_id).__name__, type(bid.item_id).__name__} == {"str"}
        assert type(bid.placed_at) is datetime
        assert bid.placed_at.tzinfo is UTC
        assert bid.amount is None or (type(bid.amount) is Decimal and bid.amount.is_finite())
    assert len(bids) > 1
    assert parameters(reco.bid_placed) == [*("user_id", "item_id", "amount", "at", "connection")]
