"""What all tests share: how hypothesis looks for counterexamples, and a PostgreSQL server."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres import NoPostgresError, new_database, shared_server

# Shared machines are slow now and then: a deadline would fail tests that are right.
settings.register_profile(
    "ci",
    max_examples=50,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", settings.get_profile("ci"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what touches PostgreSQL, before -m chooses."""
    for item in items:
        if "postgres_url" in getattr(item, "fixturenames", ()):
            item.add_marker("postgres")


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
