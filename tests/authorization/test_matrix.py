"""Who gets what of every public call: `matrix.csv` has a row for each call and kind of id."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any

import attrs
import pytest
import sqlalchemy as sa

import angle_reco
from angle_reco import AccessDeniedError, InvalidValueError, Recommender, StoredView, UserId, View
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import Ports, memory_ports, sql_ports
from angle_reco.domain.policies import ANONYMOUS, SYSTEM, Actor, SignedIn
from angle_reco.settings import Settings
from angle_reco.testing import ManualClock
from tests.adapters.databases import fill, storage_on
from tests.application.shop import HOUR, NOW, opened
from tests.authorization.calls import (
    ACTORS,
    BINDING,
    CALLS,
    IDS,
    KNOWN,
    OUTCOMES,
    TRUSTED,
    TRUSTED_CALLS,
    Row,
    arguments_of,
    held,
    market,
    matrix,
    outcome,
    public_calls,
)

ROWS = matrix()
LIMITED: dict[str, Callable[..., object]] = {
    "View.homepage": lambda view, limit: view.homepage(limit, of="bob"),
    "View.similar_items": lambda view, limit: view.similar_items("relic", limit),
    "View.after_bid": lambda view, limit: view.after_bid("relic", limit, of="bob"),
    "View.popular_items": lambda view, limit: view.popular_items(limit),
    "View.interests": lambda view, limit: view.interests(limit, of="bob"),
    "StoredView.get_top_interests": lambda view, limit: view.stored.get_top_interests(
        limit, of="bob"
    ),
}
"""The calls of a view that take a limit."""

NO_LIMITS: list[Any] = [True, False, 0, -1, 1.0, "1", b"1", float("nan"), [], object()]


class Untouchable:
    """A port that nobody may ask anything."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        def ask(*args: object, **more: object) -> object:
            raise AssertionError(f"asked before the policy was: {name}")

        return ask


@attrs.frozen
class Sealed:
    """Recommenders that count what is asked before somebody is denied."""

    reco: Recommender
    on_sqlite: Recommender
    asked: list[tuple[UserId, str]]
    statements: list[str]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealed]:
    """Return a recommender whose ports may not be used, and one that counts its statements."""
    asked, statements = list[tuple[UserId, str]](), list[str]()

    def ask(user_id: UserId, name: str) -> bool:
        asked.append((user_id, name))
        return held(user_id, name)

    ports: dict[str, Any] = {field.name: Untouchable() for field in attrs.fields(Ports)}
    empty = memory_ports(permissions=ask)
    ports |= {"permissions": empty.permissions, "new_cache": empty.new_cache}
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('sealed') / 'shop.db'}")
    on_sqlite = Recommender.from_engine(engine, permissions=ask, migrate=True)
    assert on_sqlite.storage is not None
    ours = on_sqlite.storage.database.engine
    sa.event.listen(ours, "before_cursor_execute", lambda *args: statements.append(args[2]))
    yield Sealed(Recommender(Ports(**ports)), on_sqlite, asked, statements)
    engine.dispose()


class TestFile:
    def test_every_public_call_is_in_it(self) -> None:
        calls = {row.call for row in ROWS}
        of_views = public_calls(View) | public_calls(StoredView)

        assert calls == (of_views - BINDING) | public_calls(Recommender)
        assert of_views == set(CALLS) | BINDING
        assert public_calls(Recommender) == set(TRUSTED_CALLS)

    def test_one_that_is_new_is_found(self) -> None:
        class More(View):
            def peek(self) -> None: ...

        class Most(Recommender):
            @property
            def everybody(self) -> None: ...

        assert "More.peek" in public_calls(More)
        assert "More.run_job" in public_calls(More)
        assert "Most.everybody" in public_calls(Most)

    def test_a_call_has_a_row_for_each_kind_of_each_of_its_ids(self) -> None:
        expected = [
            (call, argument, kind)
            for call in CALLS | TRUSTED_CALLS
            for argument in arguments_of(call) or ["-"]
            for kind in (IDS if argument != "-" else ["-"])
        ]

        assert [(row.call, row.argument, row.id) for row in ROWS] == expected

    def test_a_cell_is_an_outcome(self) -> None:
        outcomes = {"answers", *OUTCOMES.values()}

        for row in ROWS:
            cells = set(row.cells.values())
            assert cells == {TRUSTED} if row.call in TRUSTED_CALLS else cells <= outcomes, row

    def test_it_is_the_same_of_a_known_id_whatever_the_argument(self) -> None:
        known = {(row.call, tuple(row.cells.values())) for row in ROWS if row.id in ("known", "-")}

        assert len(known) == len({call for call, _ in known})


@pytest.mark.parametrize("row", [row for row in ROWS if row.call in CALLS], ids=str)
def test_a_call_comes_to_what_the_matrix_says(row: Row) -> None:
    told = {actor: set[str]() for actor in ACTORS}
    shop = opened(market(), permissions=held)

    for ask in row.asks():
        for actor, cell in row.cells.items():
            # Who is answered may change the shop.
            reco = opened(market(), permissions=held) if cell == "answers" else shop
            told[actor] |= {outcome(ask, view) for view in ACTORS[actor](reco)}

    assert {actor: "/".join(of) for actor, of in told.items()} == row.cells


@pytest.mark.parametrize("row", [row for row in ROWS if row.call in TRUSTED_CALLS], ids=str)
def test_what_is_trusted_asks_no_policy(row: Row) -> None:
    reco = opened(market(), permissions=lambda user_id, name: pytest.fail("asked"))

    for ask in row.asks():
        assert outcome(ask, reco) in {"answers", "invalid"}


class TestDenials:
    @pytest.mark.parametrize("call", CALLS)
    def test_nothing_is_looked_up_and_the_error_tells_nothing(
        self, sealed: Sealed, call: str
    ) -> None:
        told = dict[str, set[tuple[type, str]]]()
        for row in ROWS:
            for actor, cell in row.cells.items():
                if row.call != call or cell != "denied":
                    continue
                for ask in row.asks():
                    for reco in (sealed.reco, sealed.on_sqlite):
                        for view in ACTORS[actor](reco):
                            with pytest.raises(AccessDeniedError) as caught:
                                ask(view)
                            error = (type(caught.value), str(caught.value))
                            told.setdefault(actor, set()).add(error)
                            # Nor what is behind it.
                            assert caught.value.__cause__ is None

        assert all(len(errors) == 1 for errors in told.values()), told
        assert sealed.statements == []

    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize("actor", ["other", "manager", "inspect only"])
    def test_as_much_is_asked_about_somebody_unknown(
        self, sealed: Sealed, call: str, actor: str
    ) -> None:
        asked = dict[str, list[tuple[UserId, str]]]()
        for row in ROWS:
            if row.call == call and row.argument == "user" and row.cells[actor] == "denied":
                for ask in row.asks():
                    sealed.asked.clear()
                    for view in ACTORS[actor](sealed.reco):
                        outcome(ask, view)
                    asked.setdefault(row.id, list(sealed.asked))
                    assert asked[row.id] == sealed.asked

        ids = {"known", "unknown", "wrong"} & asked.keys()
        assert all(asked[one] == asked["known"] for one in ids)

    @pytest.mark.parametrize(
        "actor", [SYSTEM, ANONYMOUS, SignedIn("bob"), SignedIn("inspector")], ids=str
    )
    def test_what_belongs_to_nobody_is_nobody_s(self, sealed: Sealed, actor: Actor) -> None:
        of = sealed.reco._use_cases
        personal: list[Callable[[], object]] = [
            lambda: of.homepage(actor, None, limit=8),
            lambda: of.after_bid(actor, None, limit=8, item_id=KNOWN["item"]),  # type: ignore[arg-type]  # an id
            lambda: of.interests(actor, None),
            lambda: of.stored.sign_ins(actor, None),
            lambda: of.stored.get_interests(actor, None),
            lambda: of.stored.get_recommendations(actor, None),
            lambda: of.export_user(actor, None),
            lambda: of.erase_user(actor, None),
        ]

        if actor is ANONYMOUS:
            # A visitor's homepage is popular items, which have no owner.
            del personal[0]
        for ask in personal:
            with pytest.raises(AccessDeniedError):
                ask()


@pytest.mark.parametrize("call", LIMITED)
def test_a_limit_that_is_none_is_invalid_for_who_may_ask(call: str) -> None:
    reco, row = opened(market(), permissions=held), known_row(call)

    for actor, cell in row.cells.items():
        expected = InvalidValueError if cell == "answers" else AccessDeniedError
        for view in ACTORS[actor](reco):
            for limit in NO_LIMITS:
                with pytest.raises(expected):
                    LIMITED[call](view, limit)


def test_every_call_with_a_limit_is_asked_with_a_wrong_one() -> None:
    limited = {call for call in CALLS if "limit" in attrgetter(call)(angle_reco).__annotations__}

    assert limited == set(LIMITED)


READING: dict[str, Callable[[View, str], Any]] = {
    "homepage": lambda view, of: view.homepage(of=of),
    "after_bid": lambda view, of: view.after_bid("art-01", of=of),
    "interests": lambda view, of: view.interests(of=of),
    "sign_ins": lambda view, of: view.sign_ins(of=of),
    "get_interests": lambda view, of: view.stored.get_interests(of=of),
    "get_top_interests": lambda view, of: view.stored.get_top_interests(of=of),
    "get_recommendations": lambda view, of: view.stored.get_recommendations(of=of),
    "export_user": lambda view, of: view.export_user(of),
}
"""The calls that read what is somebody's."""


class TestIdsThatDifferInCaseAlone:
    @pytest.fixture(
        params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
    )
    def reco(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Recommender]:
        """Return the shop of bob, who bids on art, and BOB, who bids on toys."""
        if request.param == "memory":
            yield opened(market(), permissions=held)
            return
        url = f"sqlite:///{tmp_path / 'shop.db'}"
        schema = None
        if request.param == "postgres":
            url, schema = request.getfixturevalue("postgres_url"), "Authorization"
        engine, shop = open_engine(url), market()
        storage = storage_on(engine, schema=schema)
        storage.migrate_up()
        fill(
            storage,
            users=shop.users.values(),
            items=shop.items.values(),
            bids=[bid for bids in shop.bids.values() for bid in bids],
        )
        settings = Settings(cache_enabled=False, deadline=timedelta(seconds=20))
        ports = sql_ports(engine, settings, schema=schema, permissions=held)
        yield Recommender(attrs.evolve(ports, clock=ManualClock(NOW)), settings)
        storage.migrate_down()
        engine.dispose()

    @pytest.mark.parametrize("is_stored", [False, True], ids=["computed", "stored"])
    def test_never_share_an_answer(self, reco: Recommender, is_stored: bool) -> None:
        for _ in range(2):
            reco.signed_in("BOB", NOW + HOUR)
        if is_stored:
            for job in BATCH_JOBS:
                reco.system.run_job(job)

        for name, ask in READING.items():
            own = {user: ask(reco.as_user(user), user) for user in ("bob", "BOB")}
            for user, answer in own.items():
                assert ask(reco.system, user) == answer
                if name != "export_user":
                    assert ask(reco.as_user("inspector"), user) == answer
            if own["bob"]:
                assert own["bob"] != own["BOB"], name
        with pytest.raises(AccessDeniedError):
            reco.as_user("BOB").homepage(of="bob")
        assert categories_of(reco.as_user("bob")) == {"antiques", "art"}
        assert categories_of(reco.as_user("BOB")) == {"toys"}

    def test_are_written_and_erased_apart(self, reco: Recommender) -> None:
        for job in BATCH_JOBS:
            reco.system.run_job(job)
        before = reco.system.export_user("BOB")

        reco.system.stored.create_interest("bob", "toys", score=0.9)
        reco.system.stored.create_recommendation("bob", "vase", score=0.9)
        reco.as_user("bob").erase_user()

        assert reco.system.stored.get_interests(of="bob") == ()
        assert reco.system.stored.get_recommendations(of="bob") is None
        assert reco.system.export_user("BOB") == before
        reco.system.stored.create_interest("BOB", "art", score=1)
        assert categories_of(reco.as_user("BOB")) == {"art", "toys"}


def known_row(call: str) -> Row:
    """Return the row of a call for a known id."""
    return next(row for row in ROWS if row.call == call and row.id == "known")


def categories_of(view: View) -> set[object]:
    """Return which categories a user is drawn to."""
    return {one.category_id for one in view.interests()}
