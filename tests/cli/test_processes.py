"""The command in a process of its own: how it ends, and what it does when nobody listens."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LARGER_THAN_A_PIPE = 1_000


def command(*args: str) -> list[str]:
    """Return how to call the command line."""
    return [sys.executable, "-m", "angle_reco", *args]


@pytest.mark.usefixtures("database")
def test_a_module_that_can_be_run_answers_and_fails_as_the_command() -> None:
    good, bad = (
        subprocess.run(command("similar", item, "--json"), capture_output=True, check=False)
        for item in ("vase", "ghost")
    )

    assert (good.returncode, good.stderr) == (0, b"")
    assert json.loads(good.stdout)["suggestions"]
    assert (bad.returncode, bad.stdout) == (2, b"")
    assert bad.stderr == b"angle-reco: no item with id 'ghost'\n"


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("args", [["popular"], ["popular", "--json"], ["--help"]])
def test_whoever_stops_listening_hears_no_complaint(args: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(command(*args), stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.usefixtures("database")
def test_work_goes_on_when_nobody_reads_how_far_it_is() -> None:
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        command("run", "all", "--json"), stdout=subprocess.PIPE, stderr=writing, check=False
    )
    os.close(writing)

    assert done.returncode == 0
    assert len(json.loads(done.stdout)["runs"]) == 5


@pytest.mark.usefixtures("database")
def test_without_an_output_nothing_fails() -> None:
    for args in (["popular"], ["popular", "--json"]):
        line = ["sh", "-c", 'exec "$@" >&-', "sh", *command(*args)]

        done = subprocess.run(line, stderr=subprocess.PIPE, check=False)

        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.usefixtures("database")
def test_an_output_that_is_not_utf_8_gets_what_it_can_show() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}

    table, answer = (
        subprocess.run(command("popular", *more), env=environment, capture_output=True, check=False)
        for more in ([], ["--json"])
    )

    assert (table.returncode, table.stderr) == (0, b"")
    assert table.stdout.isascii()
    assert json.loads(answer.stdout)["suggestions"]


def test_without_its_libraries_it_says_what_to_install(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "rich_click.py").write_text(
        "raise ModuleNotFoundError('No module named rich_click', name='rich_click')\n", "utf-8"
    )
    environment = {**os.environ, "PYTHONPATH": str(blocked)}

    done = subprocess.run(
        command("--help"), env=environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "angle-reco: the command line needs more: pip install 'angle-reco[cli]'\n"
    )


def test_an_error_of_our_own_is_not_taken_for_a_missing_library(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "numpy.py").write_text(
        "raise ModuleNotFoundError('No module named numpy', name='numpy')\n", "utf-8"
    )
    environment = {**os.environ, "PYTHONPATH": str(broken)}

    done = subprocess.run(
        command("--help"), env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "angle-reco[cli]" not in done.stderr
