"""Holds what children promise that a warm process forks: every one of them answers."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from angle_reco import Recommender
from tests.postgres import new_database
from tests.reliability.trials import fill_market, sized

ROOT = Path(__file__).parents[2]

# Threads of the library alone are running: those that read lists behind answers.
_WARM = """
import os, select, signal, sys, time
from datetime import timedelta
from angle_reco import Recommender, Settings

url, forks = sys.argv[1], int(sys.argv[2])
settings = Settings(live_for=timedelta(seconds=1), deadline=timedelta(seconds=10))
reco = Recommender.connect(url, settings=settings)
outcomes = []
for number in range(forks):
    reco.system.forget_cached()
    for place in range(3):
        reco.as_user(f"new-{number}-{place}").homepage()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        outcome = "failed"
        try:
            assert len(reco.as_user(f"other-{number}").homepage()) > 0
            assert reco.signed_in("user-07")
            outcome = "answered"
        except BaseException as error:
            outcome = repr(error)
        os.write(writing, outcome.encode())
        os._exit(0)
    os.close(writing)
    has_answered, _, _ = select.select([reading], [], [], 20)
    outcomes.append(os.read(reading, 1000).decode() if has_answered else "hung")
    if not has_answered:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
reco.close()
sys.stderr.write("".join(f"{one}\\n" for one in outcomes if one != "answered"))
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a database with a market."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('forks') / 'shop.db'}"
        fill(url)
        yield url
        return
    with new_database(request.getfixturevalue("postgres_url")) as url:
        fill(url)
        yield url


def fill(url: str) -> None:
    """Put a market into a new database."""
    with Recommender.connect(url, migrate=True) as reco:
        assert reco.storage is not None
        fill_market(reco.storage)
        reco.system.run_job("generate_popular_items")


def test_every_child_of_a_warm_process_answers(url: str) -> None:
    forks = sized(50, 1_000)

    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore:This process:DeprecationWarning",
            "-c",
            _WARM,
            url,
            str(forks),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30 * forks,
        check=False,
    )

    assert (done.stderr, done.returncode) == ("", 0)
