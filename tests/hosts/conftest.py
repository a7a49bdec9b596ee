"""What the tests with real servers, drivers and poolers share; `make test-hosts` runs them."""

from collections.abc import Iterator

import pytest

from tests.hosts.pgbouncer import Pooler, start_pooler


@pytest.fixture(scope="session")
def pooler(postgres_url: str) -> Iterator[Pooler]:
    """Give a PgBouncer in transaction mode, in front of the server of the tests."""
    with start_pooler(postgres_url) as pooler:
        yield pooler
