"""The example for Django in a browser, under its real server."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.hosts.browser import Browser, Person, chromium
from tests.hosts.servers import ROOT, get, get_all, serving
from tests.postgres import new_database

EXAMPLE = ROOT / "examples" / "django"
RECOMMENDED = (
    "[...document.querySelectorAll('#recommended [data-lot]')].map(one => one.dataset.lot)"
)
PATIENCE = 20


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module", params=["sqlite", "postgresql with preload"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site")
    if request.param == "sqlite":
        url = f"sqlite:///{folder / 'auction.db'}"
        yield from served(url, folder, [])
        return
    with new_database(request.getfixturevalue("postgres_url")) as created:
        url = sa.make_url(created).set(drivername="postgresql").render_as_string(False)
        yield from served(url, folder, ["--preload"])


def served(url: str, folder: Path, options: list[str]) -> Iterator[str]:
    for command in ("migrate", "seed --lots 300", "reco run all"):
        manage(url, *command.split())
    gunicorn = ["gunicorn", "--workers", "4", *options, "--chdir", str(EXAMPLE), "auction.wsgi"]
    with serving([*gunicorn, "--bind", "127.0.0.1:PORT"], folder / "log", DATABASE_URL=url) as port:
        yield f"http://127.0.0.1:{port}"


def manage(url: str, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, str(EXAMPLE / "manage.py"), *arguments],
        env={**os.environ, "DATABASE_URL": url},
        check=True,
        capture_output=True,
    )


def signed_in(browser: Browser, site: str, name: str) -> Person:
    person = browser.person(site)
    person.has_width(1_440)
    person.goes_to("/sign-in/")
    person.types("[name=username]", name)
    person.types("[name=password]", "auction")
    person.clicks("#sign-in")
    assert name in person.sees("document.querySelector('h1').innerText").lower()
    return person


def recommended(person: Person) -> list[str]:
    person.goes_to("/")
    found: list[str] = person.sees(RECOMMENDED)
    return found


def watchlist(person: Person) -> list[str]:
    person.goes_to("/watchlist/")
    found: list[str] = person.sees(
        "[...document.querySelectorAll('[data-lot]')].map(one => one.dataset.lot)"
    )
    return found


def comes_true(holds: Callable[[], bool]) -> bool:
    """Wait for what other workers learn from the change feed."""
    until = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


def test_a_bid_changes_the_next_page(browser: Browser, site: str) -> None:
    ada = signed_in(browser, site, "ada")
    before = recommended(ada)
    assert len(before) == 8

    ada.goes_to(f"/lots/{before[0]}/")
    ada.clicks("#place-bid")

    assert "highest bidder" in ada.sees("document.querySelector('.notice').innerText")
    assert ada.sees("document.querySelectorAll('#after-bid [data-lot]').length") > 0
    assert ada.sees("document.querySelectorAll('#similar').length") == 0  # the same lots
    # Whichever of the four workers answers.
    assert [one for one in [recommended(ada) for _ in range(8)] if before[0] in one] == []


def test_every_suggestion_says_why(browser: Browser, site: str) -> None:
    ben = signed_in(browser, site, "ben")
    recommended(ben)

    sentences = ben.sees(
        "[...document.querySelectorAll('#recommended .why')].map(one => one.innerText)"
    )
    assert len(sentences) == 8
    assert all(sentences)


def test_a_withdrawn_lot_disappears_for_others_in_every_worker(browser: Browser, site: str) -> None:
    cleo = signed_in(browser, site, "cleo")
    shown = recommended(cleo)[0]
    cleo.goes_to(f"/lots/{shown}/")
    name = re.search(
        r"sold by (\w+)", cleo.sees("document.querySelector('.facts .kind').innerText")
    )
    assert name is not None
    seller = signed_in(browser, site, name[1])

    seller.goes_to("/listings/")
    seller.clicks(f"[data-lot='{shown}'] .withdraw")

    assert "is withdrawn" in seller.sees("document.querySelector('.notice').innerText")
    assert comes_true(lambda: all(shown not in recommended(cleo) for _ in range(8)))


def test_a_second_user_sees_nothing_of_the_first(browser: Browser, site: str) -> None:
    dora, emil = (signed_in(browser, site, name) for name in ("dora", "emil"))
    watched = watchlist(emil)
    chosen = next(one for one in recommended(dora) if one not in watched)

    dora.goes_to(f"/lots/{chosen}/")
    dora.clicks("#watch")

    assert chosen in watchlist(dora)
    assert chosen not in recommended(dora)
    assert watchlist(emil) == watched
    assert "emil" in emil.sees("document.querySelector('#sign-out').innerText")
    assert "dora" not in emil.sees("document.body.innerText").lower()
    assert recommended(emil) != recommended(dora)


def test_a_visitor_gets_popular_items(browser: Browser, site: str) -> None:
    visitor = browser.person(site)
    visitor.has_width(1_440)

    assert len(recommended(visitor)) == 8
    assert (
        visitor.sees("document.querySelector('#recommended h2').innerText") == "Popular right now"
    )
    visitor.goes_to("/watchlist/")
    assert visitor.sees("location.pathname") == "/sign-in/"


@pytest.mark.parametrize("width", [375, 1_440])
def test_no_page_is_wider_than_the_screen(
    browser: Browser, site: str, width: int, tmp_path: Path
) -> None:
    fay = signed_in(browser, site, "fay")
    fay.has_width(width)
    lot = recommended(fay)[0]
    fay.goes_to(f"/lots/{lot}/")
    fay.clicks("#place-bid")

    for number, path in enumerate(("/", f"/lots/{lot}/?bid=1", "/watchlist/", "/listings/")):
        fay.goes_to(path)
        assert fay.sees("document.documentElement.scrollWidth") <= width, path
        fay.sees("document.querySelector('caption')?.scrollIntoView()")  # with what is below it
        pictures = Path(os.environ.get("EXAMPLE_PICTURES", tmp_path))
        fay.takes_picture(pictures / f"{number}-{width}.webp")


def test_asgi_servers_and_the_one_for_development_serve_it_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'auction.db'}"
    manage(url, "migrate")
    manage(url, "seed", "--lots", "60")
    app = ["--app-dir", str(EXAMPLE), "auction.asgi:application"]
    uvicorn = ["uvicorn", "--port", "PORT", *app]
    runserver = ["python", str(EXAMPLE / "manage.py"), "runserver", "PORT"]

    for command in (uvicorn, runserver):
        log = tmp_path / f"{command[0]}.log"
        with serving(command, log, DATABASE_URL=url, PYTHONUNBUFFERED="1") as port:
            page = get(port, "/")
        assert page.status == 200
        assert "data-lot" in page.text
        # Once: in the process that serves, and not in the parent of the reloader.
        assert log.read_text("utf-8").count("jobs started") == 1


def test_a_process_for_the_jobs_alone_runs_until_it_is_stopped(tmp_path: Path) -> None:
    url, log = f"sqlite:///{tmp_path / 'auction.db'}", tmp_path / "log"
    manage(url, "migrate")
    manage(url, "seed", "--lots", "60")
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLE / "manage.py"), "reco", "work", "--grace", "30"],
            env={**os.environ, "DATABASE_URL": url},
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    try:
        assert comes_true(lambda: "job=compute_item_similarities" in log.read_text("utf-8"))
    finally:
        process.terminate()

    assert process.wait(PATIENCE) == 0
    text = log.read_text("utf-8")
    assert "working; stop with Ctrl-C" in text
    assert text.count("jobs started") == 1
    assert text.endswith("stopped\n")


def test_the_reloader_starts_jobs_in_each_process_that_serves(tmp_path: Path) -> None:
    site = copied(tmp_path, "")
    url = f"sqlite:///{tmp_path / 'auction.db'}"
    manage(url, "migrate")
    log = tmp_path / "log"
    command = ["python", str(site / "manage.py"), "runserver", "PORT"]

    def started() -> list[str]:
        return re.findall(r"jobs started: process=(\d+)", log.read_text("utf-8"))

    with serving(command, log, DATABASE_URL=url, PYTHONUNBUFFERED="1") as port:
        assert get(port, "/").status == 200
        [first] = started()
        (site / "shop" / "views.py").touch()
        assert comes_true(lambda: get(port, "/").status == 200 and len(started()) == 2)
        [second] = set(started()) - {first}
        assert comes_true(lambda: not Path(f"/proc/{first}").exists())
        parent = re.search(r"PPid:\s+(\d+)", Path(f"/proc/{second}/status").read_text("utf-8"))

    assert parent is not None
    assert parent[1] not in started()


def test_workers_share_no_connection_of_a_master_that_asked_and_ran_jobs(
    postgres_url: str, tmp_path: Path
) -> None:
    site, pid = copied(tmp_path, WARM), tmp_path / "pid"
    with new_database(postgres_url) as created:
        url = sa.make_url(created).set(drivername="postgresql").render_as_string(False)
        manage(url, "migrate")
        manage(url, "seed", "--lots", "60")
        gunicorn = ["gunicorn", "--workers", "4", "--preload", "--pid", str(pid)]
        gunicorn += ["--chdir", str(site), "--bind", "127.0.0.1:PORT", "auction.wsgi"]
        with serving(gunicorn, tmp_path / "log", DATABASE_URL=url) as port:
            pages = get_all(port, ["/"] * 24, clients=8)
            master = pid.read_text("utf-8").strip()
            workers = Path(f"/proc/{master}/task/{master}/children").read_text("utf-8").split()
            shared = Counter(one for each in (master, *workers) for one in sockets_of(each))

    assert {page.status for page in pages} == {200}
    assert all("data-lot" in page.text for page in pages)
    assert [count for count in shared.values() if count > 1] == [5]  # where they listen


WARM = """
from angle_reco.django import recommender

assert recommender().anonymous.popular_items()
recommender().start()
"""


def copied(folder: Path, more: str) -> Path:
    """Return a copy of the site, with more code where servers load it."""
    site = folder / "site"
    shutil.copytree(EXAMPLE, site, ignore=shutil.ignore_patterns("*.db*", "__pycache__"))
    with (site / "auction" / "wsgi.py").open("a", encoding="utf-8") as wsgi:
        wsgi.write(more)
    return site


def sockets_of(process: str) -> set[str]:
    links = set()
    for one in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):  # closed since
            links.add(str(one.readlink()))
    return {link for link in links if link.startswith("socket:")}


def test_the_glue_is_short() -> None:
    lines = [
        line
        for file in EXAMPLE.rglob("*.py")
        for line in file.read_text("utf-8").splitlines()
        if "angle_reco" in line
    ]

    assert len(lines) <= 25, lines
