"""The pages say what is so: who gets what, and what every public call takes and costs."""

import inspect
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import attrs
import pytest
import sqlalchemy as sa

from angle_reco import AngleRecoError, Recommender, Settings, StoredView, View
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import sql_ports
from angle_reco.domain import errors
from angle_reco.domain.policies import POLICY
from angle_reco.testing import ManualClock
from tests.adapters.databases import fill, storage_on
from tests.application.shop import NOW
from tests.authorization.calls import ACTORS, BINDING, CALLS, TRUSTED_CALLS, held, market, matrix

DOCS = Path(__file__).parents[2] / "docs"
AUTHORIZATION = (DOCS / "authorization.md").read_text("utf-8")
API = (DOCS / "api.md").read_text("utf-8")


class TestAuthorization:
    def test_the_policy_is_the_one_that_decides(self) -> None:
        rows = [
            [f"{action.value} {resource.value}", *(grant.value for grant in rule)]
            for (action, resource), rule in POLICY.items()
        ]

        assert table(AUTHORIZATION, "what") == rows

    def test_the_matrix_is_the_one_that_is_executed(self) -> None:
        cells = {
            row.call.replace("StoredView.", "stored.").removeprefix("View."): list(
                row.cells.values()
            )
            for row in matrix()
            if row.call in CALLS and row.id in ("known", "-")
        }

        assert table(AUTHORIZATION, "call") == [[call, *cells[call]] for call in cells]
        assert f"| call | {' | '.join(ACTORS)} |" in AUTHORIZATION

    def test_what_takes_no_actor_is_named(self) -> None:
        [names] = re.findall(r"Those are\n(.*?)\.\n", AUTHORIZATION, re.DOTALL)

        assert {f"Recommender.{name}" for name in re.findall("`(.*?)`", names)} == set(
            TRUSTED_CALLS
        )


STORED = "## Stored results: `view.stored`"


class TestApi:
    @pytest.mark.parametrize(
        ("of", "heading"),
        [(Recommender, "## Recommender"), (View, "## View"), (StoredView, STORED)],
    )
    def test_every_public_call_is_in_it_with_its_parameters(self, of: type, heading: str) -> None:
        calls = {
            call
            for call in {*CALLS, *TRUSTED_CALLS, *BINDING}
            if call.startswith(f"{of.__name__}.")
        }
        expected = {call.split(".")[1]: parameters(of, call.split(".")[1]) for call in calls}
        if of is Recommender:
            expected["Recommender"] = [*inspect.signature(Recommender).parameters]

        assert dict(calls_in(section(API, heading))) == expected

    def test_every_setting_is_in_it(self) -> None:
        rows = table(section(API, "## Settings"), "setting")

        assert {name for cell, *_ in rows for name in cell.split(", ")} == {
            field.name for field in attrs.fields(Settings)
        }

    def test_every_error_is_in_it(self) -> None:
        of_the_domain = {
            name
            for name, value in vars(errors).items()
            if inspect.isclass(value) and issubclass(value, AngleRecoError)
        }

        assert {cell for cell, *_ in table(section(API, "## Errors"), "error")} == of_the_domain


ASKED: dict[str, Callable[[View], object]] = {
    "homepage": lambda view: view.homepage(of="bob"),
    "similar_items": lambda view: view.similar_items("vase"),
    "after_bid": lambda view: view.after_bid("vase", 2, of="bob"),
    "popular_items": lambda view: view.popular_items(2),
    "interests": lambda view: view.interests(of="bob"),
    "sign_ins": lambda view: view.sign_ins(of="bob"),
    "get_interests": lambda view: view.stored.get_interests(of="bob"),
    "get_top_interests": lambda view: view.stored.get_top_interests(of="bob"),
    "get_recommendations": lambda view: view.stored.get_recommendations(of="bob"),
    "find_similar_items": lambda view: view.stored.find_similar_items("vase"),
    "find_stale_recommendations": lambda view: view.stored.find_stale_recommendations(),
    "create_interest": lambda view: view.stored.create_interest("bob", "toys", score=0.5),
    "upsert_interest": lambda view: view.stored.upsert_interest("bob", "art", score=0.5),
    "delete_interest": lambda view: view.stored.delete_interest("bob", "art"),
    "create_similarity": lambda view: view.stored.create_similarity("vase", "relic", score=0.5),
    "upsert_similarity": lambda view: view.stored.upsert_similarity("vase", "art-01", score=0.5),
    "delete_similarity": lambda view: view.stored.delete_similarity("vase", "art-01"),
    "create_recommendation": lambda view: view.stored.create_recommendation(
        "bob", "relic", score=0.5
    ),
    "upsert_recommendation": lambda view: view.stored.upsert_recommendation(
        "bob", "art-01", score=0.5
    ),
    "delete_recommendation": lambda view: view.stored.delete_recommendation("bob", "art-01"),
    "export_user": lambda view: view.export_user("bob"),
    "erase_user": lambda view: view.erase_user("bob"),
    "request_job": lambda view: view.request_job("generate_popular_items"),
    "forget_cached": lambda view: view.forget_cached(),
    "health": lambda view: view.health(),
    "stats": lambda view: view.stats(),
}
"""Calls whose statements are counted, each in the ordinary case."""


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return files with the shop, before its jobs and after them."""
    folder = tmp_path_factory.mktemp("shops")
    files = {"computed": folder / "computed.db", "stored": folder / "stored.db"}
    engine, shop = open_engine(f"sqlite:///{files['computed']}"), market()
    storage = storage_on(engine)
    storage.migrate_up()
    fill(
        storage,
        users=shop.users.values(),
        items=shop.items.values(),
        bids=[bid for bids in shop.bids.values() for bid in bids],
    )
    engine.dispose()
    shutil.copy(files["computed"], files["stored"])
    engine = open_engine(f"sqlite:///{files['stored']}")
    # Its own connections are closed with it: with the last one, all is in the file.
    with shop_on(engine) as recommender:
        for job in BATCH_JOBS:
            recommender.system.run_job(job)
    engine.dispose()
    assert not files["stored"].with_name("stored.db-wal").exists()
    return files


class TestCosts:
    @pytest.mark.parametrize("call", ASKED)
    def test_a_call_takes_as_many_statements_as_the_page_says(
        self, shops: dict[str, Path], tmp_path: Path, call: str
    ) -> None:
        counted = {}
        for state, file in shops.items():
            shutil.copy(file, tmp_path / file.name)
            engine, statements = open_engine(f"sqlite:///{tmp_path / file.name}"), list[str]()
            shop = shop_on(engine)
            view, storage = shop.system, shop.storage
            assert storage is not None
            sa.event.listen(
                storage.database.engine,
                "before_cursor_execute",
                lambda *given, to=statements: to.append(given[2]),
            )
            ASKED[call](view)
            counted[state] = sum(not one.startswith("BEGIN") for one in statements)
            engine.dispose()

        [cell] = [
            cells[-1]
            for heading in ("## View", STORED)
            for name, cells in rows_in(section(API, heading))
            if name.split("(")[0] == call
        ]
        stored, computed = counted["stored"], counted["computed"]
        expected = f"{stored}" if stored == computed else f"{stored} / {computed}"
        assert cell.split(",")[0] == expected

    def test_every_call_but_jobs_is_counted(self) -> None:
        assert ASKED.keys() == {call.split(".")[1] for call in CALLS} - {"run_job"}


def shop_on(engine: sa.Engine) -> Recommender:
    """Return the shop of a database, whose clock stands still."""
    settings = Settings(cache_enabled=False, deadline=timedelta(seconds=20))
    ports = sql_ports(engine, settings, permissions=held)
    return Recommender(attrs.evolve(ports, clock=ManualClock(NOW)), settings)


def parameters(of: type, name: str) -> list[str] | None:
    """Return the parameters of a public call, None for a property."""
    value = inspect.getattr_static(of, name)
    if isinstance(value, property | cached_property):
        return None
    return [one for one in inspect.signature(getattr(of, name)).parameters if one != "self"]


def section(page: str, heading: str) -> str:
    """Return what stands below a heading, until the next one of its level."""
    [_, text] = page.split(f"\n{heading}\n")
    return text.split("\n## ")[0]


def table(text: str, first: str) -> list[list[str]]:
    """Return the cells below the header that begins with *first*, without their backticks."""
    lines = iter(text.splitlines())
    next(line for line in lines if line.startswith(f"| {first} |"))
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
    return rows


def rows_in(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield every row that begins with code: what it is, and the cells after it."""
    for line in text.splitlines():
        found = re.match(r"\| `([^`]+)` \|(.*)\|$", line)
        if found is not None:
            yield found[1], [cell.strip() for cell in found[2].split("|")]


def calls_in(text: str) -> Iterator[tuple[str, list[str] | None]]:
    """Yield each call of a section with its parameters, None for a property."""
    for code, _ in rows_in(text):
        name, _, given = code.partition("(")
        yield (
            name,
            given.strip(")").split(", ") if given.strip(")") else (None if "(" not in code else []),
        )
