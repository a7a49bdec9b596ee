"""Applications under real servers: a shared pool under load, and processes that fork."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.hosts.servers import get, get_all, serving
from tests.hosts.shop import USERS, fill, kind_of, offers
from tests.postgres import new_database

STARTS = 50 if os.environ.get("ANGLE_RECO_TEST_SIZE") == "full" else 3
CLIENTS = 60
REQUESTS = 600

GUNICORN = (
    *("gunicorn", "--preload", "--workers", "4", "--bind", "127.0.0.1:PORT"),
    "tests.hosts.shop:wsgi_application()",
)
UVICORN = (
    *("uvicorn", "--factory", "--port", "PORT", "--log-level", "warning"),
    "tests.hosts.shop:fastapi_application",
)


@pytest.fixture(params=["postgres", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of a shop's database."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'shop.db'}"
        fill(url)
        yield url
        return
    with new_database(request.getfixturevalue("postgres_url")) as url:
        fill(url)
        yield url


@pytest.mark.parametrize("connects", ["from_engine", "connect"])
def test_workers_that_gunicorn_forks_after_loading_the_application(
    database: str, connects: str, tmp_path: Path
) -> None:
    log = tmp_path / "gunicorn.log"
    for _ in range(STARTS):
        with serving(GUNICORN, log, SHOP_DATABASE=database, SHOP_CONNECTS=connects) as port:
            users = [user for user in range(1, USERS + 1) for _ in range(2)]
            answers = get_all(port, [f"/{user}" for user in users], clients=8)

            assert Counter(answer.status for answer in answers) == {200: len(users)}
            pids = {answer.text.split(" ", 1)[0] for answer in answers}
            assert len(pids) > 1
            for user, answer in zip(users, answers, strict=True):
                assert answer.text.split(" ", 1)[1] in (kind_of(user), "degraded"), user
        assert "Error" not in log.read_text()


@pytest.mark.parametrize("worker", ["gthread", "gevent"])
def test_other_workers_of_gunicorn(database: str, worker: str, tmp_path: Path) -> None:
    log, command = tmp_path / "gunicorn.log", [*GUNICORN[:-1], "--worker-class", worker]
    with serving([*command, GUNICORN[-1]], log, SHOP_DATABASE=database) as port:
        answers = get_all(port, [f"/{user}" for user in range(1, USERS + 1)], clients=8)

    assert Counter(answer.status for answer in answers) == {200: USERS}


def test_workers_that_uwsgi_forks_after_loading_the_application(
    database: str, tmp_path: Path
) -> None:
    log = tmp_path / "uwsgi.log"
    command = (
        *("uwsgi", "--http-socket", "127.0.0.1:PORT", "--processes", "4", "--master"),
        *("--enable-threads", "--py-call-uwsgi-fork-hooks", "--need-app", "--die-on-term"),
        *("--wsgi", "tests.hosts.shop:wsgi_application()"),
    )
    with serving(command, log, SHOP_DATABASE=database) as port:
        answers = get_all(port, [f"/{user}" for user in range(1, USERS + 1)], clients=8)

    assert Counter(answer.status for answer in answers) == {200: USERS}


def test_requests_that_hold_a_session_of_the_default_pool(
    postgres_url: str, tmp_path: Path
) -> None:
    with new_database(postgres_url) as url:
        fill(url)
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            before = connection.scalar(sa.select(sa.func.count()).select_from(offers)) or 0
        with serving(UVICORN, tmp_path / "uvicorn.log", SHOP_DATABASE=url) as port:
            paths = [f"/with/{1 + turn % USERS}/{1_000 + turn % 100}" for turn in range(REQUESTS)]
            answers = get_all(port, paths, clients=CLIENTS)
            assert get(port, "/nowhere").status == 404
        with engine.connect() as connection:
            after = connection.scalar(sa.select(sa.func.count()).select_from(offers)) or 0
        engine.dispose()

    assert Counter(answer.status for answer in answers) == {200: REQUESTS}
    assert all(json.loads(answer.text)["shown"] > 0 for answer in answers)
    assert after - before == REQUESTS
