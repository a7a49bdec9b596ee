"""A pytest plugin: notes how long tests take and which fail, and runs chosen ones in order.

Environment variables say what it does. Three of them name JSON files:

- `CHOSEN_TESTS`: the node ids to run, in this order; all others are deselected;
- `TEST_SECONDS`: written at the end, the seconds of each test that passed;
- `FAILED_TESTS`: written at the end, the node ids of those that failed;
- `CPU_SECONDS`: how much processor time the run may take before it is killed.
"""

import json
import os
import resource
from pathlib import Path

import pytest

if "CPU_SECONDS" in os.environ:
    _most = int(os.environ["CPU_SECONDS"])
    # The hard limit would kill as others do; that it was this one shows by the signal.
    resource.setrlimit(resource.RLIMIT_CPU, (_most, _most + 60))

_seconds: dict[str, float] = {}
_failed: dict[str, None] = {}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the chosen tests, in their order."""
    if "CHOSEN_TESTS" not in os.environ:
        return
    names = json.loads(Path(os.environ["CHOSEN_TESTS"]).read_text("utf-8"))
    places = {name: place for place, name in enumerate(names)}
    config.hook.pytest_deselected(items=[one for one in items if one.nodeid not in places])
    items[:] = sorted(
        (one for one in items if one.nodeid in places), key=lambda one: places[one.nodeid]
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what became of one phase of a test."""
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration
    if report.failed:
        _failed[report.nodeid] = None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the files."""
    if hasattr(session.config, "workerinput"):
        return
    if "TEST_SECONDS" in os.environ:
        passed = {name: took for name, took in _seconds.items() if name not in _failed}
        Path(os.environ["TEST_SECONDS"]).write_text(json.dumps(passed), "utf-8")
    if "FAILED_TESTS" in os.environ:
        Path(os.environ["FAILED_TESTS"]).write_text(json.dumps(list(_failed)), "utf-8")
