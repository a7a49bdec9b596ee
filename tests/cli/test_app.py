"""Commands on an application of the host's: its recommender, its data, its kinds of ids."""

import importlib
import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import attrs
import pytest

from angle_reco import IdKind
from angle_reco.application.jobs.schedule import BATCH_JOBS
from tests.cli.conftest import NOW, Angle

WriteModule: TypeAlias = Callable[..., None]

REFERENCE = """
from angle_reco import IdKind, IdKinds, Recommender, Settings

KIND = IdKind({kind!r})
SETTINGS = Settings(ids=IdKinds(user=KIND, item=KIND, category=KIND))


def connected(**options):
    return Recommender.connect("sqlite:///app.db", settings=SETTINGS, **options)
"""

HOSTED = """
import sqlalchemy as sa
from angle_reco import HostSchema, IdKind, IdKinds, Recommender, Settings
from angle_reco.sql import SignInColumns

METADATA = sa.MetaData()
MEMBERS = sa.Table("members", METADATA, sa.Column("id", sa.Integer, primary_key=True))
LOTS = sa.Table(
    "lots",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text),
    sa.Column("kind", sa.Text),
)
OFFERS = sa.Table(
    "offers",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("member", sa.Integer),
    sa.Column("lot", sa.Integer),
    sa.Column("at", sa.DateTime),
)
HOST = HostSchema(
    users=sa.select(MEMBERS.c.id.label("user_id")),
    items=sa.select(
        LOTS.c.id.label("item_id"), LOTS.c.name.label("title"), LOTS.c.kind.label("category_id")
    ),
    bids=sa.select(
        OFFERS.c.member.label("user_id"),
        OFFERS.c.lot.label("item_id"),
        OFFERS.c.at.label("placed_at"),
    ),
    sign_ins=SignInColumns(table=MEMBERS),
    time_zone="UTC",
)
SETTINGS = Settings(ids=IdKinds(user=IdKind.INT, item=IdKind.INT, category=IdKind.TEXT))


def make():
    return Recommender.connect("sqlite:///host.db", settings=SETTINGS, host=HOST)
"""


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WriteModule]:
    """Return how to put a module of the host's where commands are called."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])

    def write(name: str, *parts: str) -> None:
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(parts), "utf-8")
        importlib.invalidate_caches()

    yield write
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def host(write_module: WriteModule) -> None:
    """Make a host's application, `host:make`, with a database of its own tables."""
    write_module("host", HOSTED)
    with closing(sqlite3.connect("host.db")) as database:
        database.executescript("""
            CREATE TABLE members (id INTEGER PRIMARY KEY);
            CREATE TABLE lots (id INTEGER PRIMARY KEY, name TEXT, kind TEXT);
            CREATE TABLE offers (number INTEGER PRIMARY KEY, member INTEGER, lot INTEGER, at TEXT);
            INSERT INTO members VALUES (1), (2);
            INSERT INTO lots VALUES (11, 'A vase', 'art'), (12, 'A bowl', 'art'),
                                    (13, 'A book', 'books');
            INSERT INTO offers VALUES (1, 1, 11, '2026-05-30 12:00:00'),
                                      (2, 2, 12, '2026-05-31 12:00:00');
        """)


SEEN = "2026-01-01T00:00:00Z,2026-05-31T00:00:00Z,1"


@attrs.frozen
class App:
    """An application on the reference schema whose ids are of one kind."""

    kind: IdKind
    angle: Angle

    def id(self, number: int) -> str:
        """Return an id as it is written."""
        return str(number if self.kind is IdKind.INT else UUID(int=number))

    def json(self, *args: str) -> Any:
        """Run a command on it and return its answer."""
        said = self.angle(*args, "--app", "shop:connected", "--json")
        assert said.status == 0, said.err
        return json.loads(said.out)

    def items(self, *args: str) -> set[str]:
        """Run a command and return the ids of what it suggests."""
        suggestions = self.json(*args, "--as-of", NOW)["suggestions"]
        return {str(one["item_id"]) for one in suggestions}


@pytest.fixture(params=[IdKind.INT, IdKind.UUID])
def app(request: pytest.FixtureRequest, angle: Angle, write_module: WriteModule) -> App:
    """Return an application, `shop:connected`, whose database is not there yet."""
    write_module("shop", REFERENCE.format(kind=request.param.value))
    return App(request.param, angle)


@pytest.fixture
def market(app: App, tmp_path: Path) -> App:
    """Return an application with a small marketplace, imported through it."""
    ann, bob, vase, bowl, book, art, books = map(app.id, (1, 2, 11, 12, 13, 5, 6))
    files = {
        "users": f"user_id,inserted_at,last_sign_in_at,sign_in_count\n{ann},{SEEN}\n{bob},{SEEN}\n",
        "items": "item_id,category_id,seller_id,title,starting_price,current_price,"
        "publication_status,starts_at,end_time,inserted_at\n"
        f"{vase},{art},,A vase,100,,published,,,2026-05-01T00:00:00Z\n"
        f"{bowl},{art},,A bowl,120,,published,,,2026-05-01T00:00:00Z\n"
        f"{book},{books},,A book,5,,published,,,2026-05-01T00:00:00Z\n",
        "bids": "user_id,item_id,amount,placed_at\n"
        f"{ann},{vase},110,2026-05-30T12:00:00Z\n{bob},{bowl},130,2026-05-31T12:00:00Z\n",
    }
    folder = tmp_path / "files"
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, "utf-8")
    # Though connecting fails as long as there are no tables.
    outcome = app.json("import", str(folder))
    assert outcome["files"]["items"]["new"] == 3
    return app


class TestOnItsData:
    def test_every_answer_is_about_ids_of_its_kind(self, market: App) -> None:
        ann, vase, bowl, book, art = map(market.id, (1, 11, 12, 13, 5))

        assert market.items("homepage", ann) == {bowl, book}
        assert bowl in market.items("similar", vase)
        assert bowl in market.items("after-bid", ann, vase)
        assert market.items("after-bid", ann, book, "--assume-bid") == {bowl}
        assert market.items("popular") == {vase, bowl, book}
        assert market.items("popular", "--category", art) == {vase, bowl}
        [interest] = market.json("interests", ann, "--as-of", NOW)["interests"]
        assert str(interest["category_id"]) == art

    def test_jobs_store_what_is_answered_from_then(self, market: App) -> None:
        runs = market.json("run", "all", "--as-of", NOW)["runs"]

        assert [one["job"] for one in runs] == list(BATCH_JOBS)
        assert market.json("homepage", market.id(1), "--as-of", NOW)["freshness"] == "fresh"
        job = ["run", "compute_item_similarities", "--item", market.id(12), "--as-of", NOW]
        assert market.json(*job)["runs"][0]["scope"] == 1
        stats = market.json("stats")
        assert (stats["users"], stats["items"], stats["lists"]["similar"]["owners"]) == (2, 3, 3)

    @pytest.mark.parametrize(
        "command",
        [
            ["homepage", "ann"],
            ["similar", "ann"],
            ["after-bid", "ann", "ann"],
            ["interests", "ann"],
            ["popular", "--category", "ann"],
            ["run", "compute_item_similarities", "--item", "ann"],
        ],
        ids=lambda command: command[0],
    )
    def test_an_id_of_another_kind_is_refused(
        self, refused: Any, app: App, command: list[str]
    ) -> None:
        app.json("migrate", "up")

        line = refused(*command, "--app", "shop:connected")

        assert "id is 'ann', but should be " in line

    def test_its_tables_are_migrated(self, app: App) -> None:
        assert app.json("migrate", "up")["schema"] == "brought up to date"
        assert app.json("migrate", "status") == {"schema": "up to date", "revision": "0005"}
        assert app.json("migrate", "down", "--yes") == {"schema": "dropped", "revision": None}
        assert app.json("migrate", "up")["schema"] == "brought up to date"
        assert app.json("stats")["users"] == 0


@pytest.mark.usefixtures("host")
class TestOnAHostsTables:
    def test_tables_that_are_missing_are_told_and_made(self, angle: Angle, refused: Any) -> None:
        app = ["--app", "host:make"]

        for command in (["homepage", "1"], ["migrate", "status"]):
            assert refused(*command, *app) == (
                "host.db has no table angle_reco_version: create our tables with `angle-reco"
                " migrate up` (in Python: connect with migrate=True)"
            )
        assert angle("migrate", "up", *app).out == "schema: brought up to date (revision 0005)\n"

        assert angle("migrate", "status", *app).out == "schema: up to date (revision 0005)\n"
        shelf = json.loads(angle("homepage", "1", *app, "--as-of", NOW, "--json").out)
        assert {one["item_id"] for one in shelf["suggestions"]} == {12, 13}
        assert json.loads(angle("stats", *app, "--json").out)["users"] == 2

    def test_an_application_that_migrates_by_itself_does_not_while_it_is_migrated(
        self, angle: Angle, refused: Any, write_module: WriteModule
    ) -> None:
        write_module(
            "eager",
            "from host import HOST, SETTINGS, Recommender",
            "def make():",
            "    return Recommender.connect(",
            '        "sqlite:///host.db", settings=SETTINGS, host=HOST, migrate=True',
            "    )",
        )
        before = names_and_columns()

        script = angle("migrate", "up", "--sql", "--app", "eager:make").out

        assert "CREATE TABLE angle_reco_user_interests" in script
        assert refused("migrate", "status", "--app", "eager:make").startswith(
            "host.db has no table"
        )
        assert names_and_columns() == before

    def test_down_leaves_what_is_the_hosts(self, angle: Angle) -> None:
        before = names_and_columns()
        angle("migrate", "up", "--app", "host:make")
        assert names_and_columns() != before

        said = angle("migrate", "down", "--yes", "--app", "host:make")

        assert said.out == "schema: dropped\n"
        assert names_and_columns() == before

    def test_down_says_which_permissions_stay(
        self, angle: Angle, write_module: WriteModule
    ) -> None:
        write_module(
            "guarded",
            "import attrs",
            "import sqlalchemy as sa",
            "from angle_reco.sql import PermissionTable",
            "from host import HOST, MEMBERS, SETTINGS, Recommender",
            "MAY = sa.Table('may', sa.MetaData(), sa.Column('name', sa.Text))",
            "held = sa.select(MEMBERS.c.id.label('user_id'), sa.literal('bid').label('name'))",
            "permissions = PermissionTable(table=MAY, held=held)",
            "def make():",
            "    host = attrs.evolve(HOST, permissions=permissions)",
            "    return Recommender.connect('sqlite:///host.db', settings=SETTINGS, host=host)",
        )
        with closing(sqlite3.connect("host.db")) as database:
            database.execute("CREATE TABLE may (name TEXT)")
        app = ["--app", "guarded:make"]
        angle("migrate", "up", *app)
        stay = "left in the table may: the permissions manage_recommendations and inspect_users"

        assert f"\n-- {stay}\n" in angle("migrate", "down", "--sql", *app).out
        said = [angle("migrate", "down", "--yes", *app) for _ in range(2)]

        assert [(one.out, one.err) for one in said] == [
            ("schema: dropped\n", f"angle-reco: {stay}\n"),
            ("schema: nothing to drop\n", ""),
        ]

    def test_an_import_is_refused(self, angle: Angle, refused: Any) -> None:
        angle("migrate", "up", "--app", "host:make")

        line = refused("import", ".", "--app", "host:make")

        assert line.startswith("the marketplace is in tables of the host's, which only the host")


def names_and_columns() -> set[tuple[str, ...]]:
    """Return the tables of the host's database, with their columns."""
    with closing(sqlite3.connect("host.db")) as database:
        return set(
            database.execute(
                "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
                " WHERE m.name != 'sqlite_sequence'"
            )
        )


class TestNaming:
    @pytest.fixture(autouse=True)
    def _apps(self, write_module: WriteModule, database: Path) -> None:
        connect = f"Recommender.connect('sqlite:///{database}')"
        write_module(
            "shop",
            "from angle_reco import Recommender",
            f"reco = {connect}",
            "class config:",
            "    class nested:",
            "        recommender = reco",
            f"def make(name='x'): return {connect}",
            "def of(name): return reco",
            "memory = Recommender.in_memory()",
            "number = 7",
            "def nothing(): pass",
            "def broken(): return 1 / 0",
        )
        write_module("pages/site", "from shop import reco")
        write_module("needy", "import a_package_that_is_missing")

    @pytest.mark.parametrize(
        "name", ["shop:reco", "shop:make", "shop:config.nested.recommender", "pages.site:reco"]
    )
    def test_a_recommender_and_a_function_returning_one_are_found(
        self, angle: Angle, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ANGLE_RECO_DATABASE", "sqlite:///missing.db")

        assert json.loads(angle("stats", "--app", name, "--json").out)["items"] == 8
        monkeypatch.setenv("ANGLE_RECO_APP", name)
        assert json.loads(angle("stats", "--json").out)["items"] == 8

    def test_asking_twice_works(self, angle: Angle) -> None:
        answers = [angle("popular", "--app", "shop:reco", "--as-of", NOW) for _ in range(2)]

        assert answers[0] == answers[1]
        assert answers[0].status == 0

    def test_a_database_on_the_command_line_goes_first(
        self, angle: Angle, refused: Any, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ANGLE_RECO_APP", "shop:memory")

        assert json.loads(angle("stats", "--json").out)["items"] == 0
        answer = angle("stats", "--database", f"sqlite:///{database}", "--json").out
        assert json.loads(answer)["items"] == 8
        assert "missing.db" in refused("stats", "--database", "sqlite:///missing.db")

    def test_an_application_in_memory_answers(self, angle: Angle) -> None:
        assert angle("popular", "--app", "shop:memory").out.startswith("nothing to suggest")
        assert angle("run", "all", "--app", "shop:memory").status == 0

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("shop", ""),
            ("", ""),
            (":", ""),
            (":reco", ""),
            ("shop:", ""),
            (".shop:reco", ""),
            ("nowhere:reco", ": no module 'nowhere'"),
            ("shop.py:reco", ": no module 'shop.py'"),
            ("./shop:reco", None),
            ("pages.nowhere:reco", ": no module 'pages.nowhere'"),
            ("shop:rec", ": no 'rec' in it"),
            ("shop:reco.", ": no '' in it"),
            ("shop:config.other", ": no 'other' in it"),
            ("shop:number", ", not a int"),
            ("shop:nothing", ", not a NoneType"),
            ("shop:of", ": 'of' is none"),
            ("shop:Recommender", ": 'Recommender' is none"),
        ],
    )
    def test_what_is_no_application_is_told_in_one_line(
        self, refused: Any, name: str, told: str | None
    ) -> None:
        for command in (["popular"], ["migrate", "status"]):
            line = refused(*command, "--app", name)

            assert line.startswith(f"app is {name!r}, but should be ")
            assert line.isprintable()
            if told is not None:
                assert line.endswith(f"{EXPECTED}{told}")

    def test_an_application_and_a_database_are_not_named_together(self, refused: Any) -> None:
        line = refused("stats", "--app", "shop:reco", "--database", "sqlite:///shop.db")

        assert line == "--app and --database say where the data is: name one of them"

    def test_both_may_come_before_the_command(
        self, angle: Angle, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url = f"sqlite:///{database}"
        monkeypatch.setenv("ANGLE_RECO_DATABASE", "sqlite:///missing.db")
        monkeypatch.setenv("ANGLE_RECO_APP", "shop:memory")

        def items(*args: str) -> int:
            return int(json.loads(angle(*args, "stats", "--json").out)["items"])

        assert items("--database", url) == items(f"--database={url}") == 8
        assert items("--app", "shop:reco") == 8
        assert items() == 0

    @pytest.mark.parametrize(
        ("before", "after", "line"),
        [
            ("app", "database", "--app and --database say where the data is: name one of them"),
            ("database", "app", "--app and --database say where the data is: name one of them"),
            ("app", "app", "--app is named before the command and after it: name it once"),
            (
                "database",
                "database",
                "--database is named before the command and after it: name it once",
            ),
        ],
    )
    def test_neither_is_named_twice(self, refused: Any, before: str, after: str, line: str) -> None:
        named = {"app": "shop:reco", "database": "sqlite:///shop.db"}

        assert refused(f"--{before}", named[before], "stats", f"--{after}", named[after]) == line

    def test_without_a_command_they_are_none(self, refused: Any) -> None:
        assert refused("--database", "sqlite:///shop.db") == "Missing command."
        assert "requires an argument" in refused("--database")

    def test_a_demo_takes_its_database_and_no_application(self, refused: Any) -> None:
        url = "mysql://there/demo"
        assert refused("--database", url, "demo") == refused("demo", "--database", url)
        assert refused("--app", "shop:reco", "demo") == (
            "this command works on no application: leave --app out"
        )
        assert "name it once" in refused("--database", url, "demo", "--database", url)

    @pytest.mark.parametrize("command", [["migrate", "up"], ["migrate", "status"], ["import", "."]])
    def test_what_needs_a_database_is_refused_in_memory(
        self, refused: Any, command: list[str]
    ) -> None:
        assert refused(*command, "--app", "shop:memory") == (
            "app is 'shop:memory', but should be one whose data is in a database"
        )

    @pytest.mark.parametrize(
        ("name", "error"), [("needy:reco", ModuleNotFoundError), ("shop:broken", ZeroDivisionError)]
    )
    def test_mistakes_of_its_own_are_shown_with_their_place(
        self, angle: Angle, name: str, error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            angle("popular", "--app", name)


EXPECTED = "module:name of a Recommender, or of a function without arguments that returns one"


class TestMomentsAndRankers:
    @pytest.fixture(autouse=True)
    def _app(self, write_module: WriteModule, database: Path) -> None:
        write_module(
            "shop",
            "from datetime import datetime, UTC",
            "import attrs",
            "from angle_reco import Recommender, Settings",
            "from angle_reco.rules import CLASSIC",
            "mine = attrs.evolve(CLASSIC, name='mine')",
            f"url = 'sqlite:///{database}'",
            "reco = Recommender.connect(url, settings=Settings(presets=(mine,)))",
            "past = reco.as_of_moment(datetime(2026, 5, 30, 13, tzinfo=UTC))",
        )

    def test_a_moment_on_the_command_line_goes_first(self, angle: Angle) -> None:
        def bids(*args: str) -> int:
            return int(json.loads(angle("stats", "--json", *args).out)["bids"])

        assert bids("--app", "shop:reco") == 3
        assert bids("--app", "shop:past") == 2
        assert bids("--app", "shop:past", "--ranker", "mine") == 2
        assert bids("--app", "shop:past", "--as-of", NOW) == 3
        assert bids("--app", "shop:reco", "--as-of", "2026-05-30") == 0

    def test_a_ranker_of_its_own_is_known_by_name(self, angle: Angle, refused: Any) -> None:
        homepage = ["homepage", "ann", "--app", "shop:reco", "--as-of", NOW]

        answers = [angle(*homepage, "--ranker", name) for name in ("mine", "classic")]

        assert answers[0] == answers[1] == angle(*homepage)
        assert answers[0].status == 0
        assert refused(*homepage, "--ranker", "other").endswith(
            "one of auto, blended, classic, mine"
        )


DJANGO = """
from importlib import import_module
import os

ready = []


def setup():
    ready.append(import_module(os.environ["DJANGO_SETTINGS_MODULE"]).__name__)
"""


class TestDjango:
    @pytest.fixture(autouse=True)
    def _app(self, write_module: WriteModule, monkeypatch: pytest.MonkeyPatch) -> None:
        # Other tests in this process may have imported the real one.
        monkeypatch.delitem(sys.modules, "django", raising=False)
        write_module("django/__init__", DJANGO)
        write_module(
            "shop",
            "import django",
            "from angle_reco import Recommender",
            "assert django.ready == ['settings'], 'models can be imported'",
            "reco = Recommender.in_memory()",
        )

    def test_it_is_set_up_before_an_application_is_imported(
        self, angle: Angle, write_module: WriteModule, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_module("settings")
        monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "settings")

        assert angle("popular", "--app", "shop:reco").status == 0

    @pytest.mark.parametrize("settings", ["setings", "nowhere.settings"])
    def test_settings_that_are_not_there_are_told(
        self, refused: Any, monkeypatch: pytest.MonkeyPatch, settings: str
    ) -> None:
        monkeypatch.setenv("DJANGO_SETTINGS_MODULE", settings)

        assert refused("popular", "--app", "shop:reco") == (
            f"DJANGO_SETTINGS_MODULE is {settings!r}, but should be a module that can be imported"
            f" from here: no module {settings.split('.', maxsplit=1)[0]!r}"
        )

    def test_a_module_that_the_settings_miss_is_shown_with_its_place(
        self, angle: Angle, write_module: WriteModule, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_module("settings", "import a_package_that_is_missing")
        monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "settings")

        with pytest.raises(ModuleNotFoundError, match="a_package_that_is_missing"):
            angle("popular", "--app", "shop:reco")

    @pytest.mark.parametrize("settings", [None, ""])
    def test_without_settings_it_is_left_alone(
        self, angle: Angle, monkeypatch: pytest.MonkeyPatch, settings: str | None
    ) -> None:
        monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
        if settings is not None:
            monkeypatch.setenv("DJANGO_SETTINGS_MODULE", settings)

        with pytest.raises(AssertionError, match="models can be imported"):
            angle("popular", "--app", "shop:reco")


def test_where_django_is_missing_its_settings_mean_nothing(
    angle: Angle, write_module: WriteModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "django", None)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "settings")
    write_module("shop", "from angle_reco import Recommender", "reco = Recommender.in_memory()")

    assert angle("popular", "--app", "shop:reco").status == 0
