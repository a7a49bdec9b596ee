"""A process that runs jobs, and what the stats tell of them."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

from angle_reco.application.jobs.schedule import BATCH_JOBS
from tests.cli.conftest import NOW, Angle


@pytest.mark.usefixtures("database")
class TestStats:
    def test_before_the_first_run(self, angle: Angle) -> None:
        said = angle("stats")

        rows = [line.split() for line in said.out.splitlines() if line.split()[:1] != []]
        began = {row[0]: row[1:4] for row in rows if row[0] in BATCH_JOBS}
        assert began == {job: ["–"] * 3 for job in BATCH_JOBS}

    def test_after_one(self, angle: Angle) -> None:
        angle("run", "generate_popular_items", "--as-of", NOW)
        angle("run", "refresh_user_interests")

        jobs = json.loads(angle("stats", "--json").out)["jobs"]

        # Runs as of a moment are others.
        assert jobs["generate_popular_items"]["last"] is None
        last = jobs["refresh_user_interests"]["last"]
        assert (last["state"], last["trigger"], last["attempt"]) == ("succeeded", "hand", 1)
        assert last["outcome"]["job"] == "refresh_user_interests"
        assert last["error"] is None
        assert jobs["refresh_user_interests"]["next_at"].endswith(":00:00+00:00")


class TestWorking:
    @pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
    def test_it_runs_what_is_due_until_it_is_told_to_stop(
        self, angle: Angle, database: Path, name: signal.Signals
    ) -> None:
        command = [
            sys.executable,
            "-m",
            "angle_reco",
            "work",
            "--database",
            f"sqlite:///{database}",
        ]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            began = monotonic()
            while monotonic() - began < 30 and not has_run_all(angle):
                sleep(0.5)
            process.send_signal(name)
            _, lines = process.communicate(timeout=30)

        assert process.returncode == 0, lines
        assert lines.splitlines()[-1] == "angle-reco: stopped"
        assert "angle-reco: working; stop with Ctrl-C" in lines
        assert "Traceback" not in lines
        assert lines.count("job done: ") == len(BATCH_JOBS)

    def test_a_second_one_does_nothing_twice(self, angle: Angle, database: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "angle_reco",
            "work",
            "--database",
            f"sqlite:///{database}",
        ]
        workers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        began = monotonic()
        while monotonic() - began < 30 and not has_run_all(angle):
            sleep(0.5)
        for worker in workers:
            worker.terminate()
        said = [worker.communicate(timeout=30)[1] for worker in workers]

        assert [worker.returncode for worker in workers] == [0, 0], said
        assert sum(lines.count("job done: ") for lines in said) == len(BATCH_JOBS)


def has_run_all(angle: Angle) -> bool:
    """Return whether every job has ended."""
    jobs = json.loads(angle("stats", "--json").out)["jobs"].values()
    return all(job["last"] is not None and job["last"]["state"] == "succeeded" for job in jobs)
