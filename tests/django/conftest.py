"""A Django project with its test databases, as Django's test runner sets them up."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.django import project

project.set_up()


@pytest.fixture(scope="session", autouse=True)
def django_environment() -> Iterator[None]:
    """Set up the test environment and the database in memory."""
    from django.db import connections
    from django.test.utils import setup_test_environment, teardown_test_environment

    setup_test_environment(debug=False)
    connections[project.SQLITE].creation.create_test_db(verbosity=0, serialize=False)
    yield
    teardown_test_environment()
    connections.close_all()


@pytest.fixture(scope="session")
def postgres(postgres_url: str, django_environment: None) -> None:
    """Create the tables on PostgreSQL."""
    from django.core.management import call_command
    from django.db import connections

    url = sa.make_url(postgres_url)
    connections.settings[project.POSTGRES].update(
        NAME=url.database, USER=url.username or "", HOST=url.host or "", PORT=str(url.port or "")
    )
    with project.on(project.POSTGRES):
        call_command("migrate", database=project.POSTGRES, run_syncdb=True, verbosity=0)
