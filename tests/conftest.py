"""What all tests share: how hypothesis looks for counterexamples, a PostgreSQL server, and
that nothing personal is logged."""

import gc
import logging
import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from _pytest.doctest import DoctestModule
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.log_lines import breaks_rule, listening
from tests.postgres import NoPostgresError, new_database, shared_server

# Shared machines are slow now and then: a deadline would fail tests that are right.
settings.register_profile(
    "quick",
    max_examples=20,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("ci", settings.get_profile("quick"), max_examples=50)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
# For properties of whole answers, whose parts have properties of their own: an example takes
# more than a tenth of a second.
settings.register_profile("slow", max_examples=max(1, settings().max_examples * 2 // 5))

# Commits of SQLite do not wait for a disk where there is memory to spare.
_MEMORY = Path("/dev/shm")
if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 2 * 10**9:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

_broken_rules: list[str] = []

_USUAL_THRESHOLD = gc.get_threshold()

_SERVER = pytest.StashKey[str | None]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Start one server for all workers of a run, and tell each where it is."""
    config: pytest.Config = node.config
    if _SERVER not in config.stash:
        running = ExitStack()
        config.add_cleanup(running.close)
        try:
            config.stash[_SERVER] = running.enter_context(shared_server())
        except NoPostgresError:
            # The tests that need it say so.
            config.stash[_SERVER] = None
    node.workerinput["postgres"] = config.stash[_SERVER]


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Look for examples in the docstrings of the source alone: no test has one."""
    found = yield
    return [one for one in found if not isinstance(one, DoctestModule)]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what touches PostgreSQL, before -m chooses."""
    for item in items:
        if "postgres_url" in getattr(item, "fixturenames", ()):
            item.add_marker("postgres")


# Collecting makes much that stays and hardly any garbage.
gc.disable()


def pytest_collection_finish() -> None:
    """Keep what was collected from being looked through for garbage: it takes a tenth."""
    # With its first test, Hypothesis looks for what refers to its random generator, and does
    # not see what is frozen.
    given(st.none())(lambda _: None)()
    gc.collect()
    gc.freeze()
    # The default of 700 looks for cycles so often that this takes a sixth of what is left.
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.fixture
def usual_garbage_collection() -> Iterator[None]:
    """Have the garbage collector look for cycles as often as in a host."""
    rarely = gc.get_threshold()
    gc.set_threshold(*_USUAL_THRESHOLD)
    yield
    gc.set_threshold(*rarely)


@pytest.fixture(scope="session")
def postgres_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """Give the SQLAlchemy URL of a PostgreSQL database, which this process has to itself."""
    shared: str | None = getattr(pytestconfig, "workerinput", {}).get("postgres")
    with ExitStack() as running:
        try:
            url = shared or running.enter_context(shared_server())
        except NoPostgresError as missing:
            pytest.fail(str(missing), pytrace=False)
        yield running.enter_context(new_database(url))


@pytest.fixture(scope="session", autouse=True)
def every_log_line() -> Iterator[None]:
    """Look at every line that is logged, at every level, whatever a test listens to."""

    def look(record: logging.LogRecord) -> None:
        if broken := breaks_rule(record):
            _broken_rules.append(broken)

    with listening(look):
        yield
    assert _broken_rules == []


def _settle() -> None:
    """Wait for what is made behind answers, before a fixture takes away what that needs."""
    from angle_reco.ports import threads

    for one in list(threads._pools):
        if not one.name.startswith("test"):
            one.settle(2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test while which something was logged that must not be."""
    result = yield
    _settle()
    broken = sorted(set(_broken_rules))
    _broken_rules.clear()
    if broken:
        pytest.fail("the log said: " + "; ".join(broken), pytrace=False)
    return result
