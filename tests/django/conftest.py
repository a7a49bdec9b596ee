"""A Django project with its test databases, as Django's test runner sets them up."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from django.contrib.auth import get_user_model

from tests.django import project

project.set_up()


@pytest.fixture(scope="session", autouse=True)
def django_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Set up the test environment and the database in memory."""
    from django.db import connections
    from django.test.utils import (
        setup_databases,
        setup_test_environment,
        teardown_test_environment,
    )

    # Django's own checks connect to every database from 6.1 on, and none may find it missing.
    connections.settings[project.FILE]["NAME"] = tmp_path_factory.mktemp("shop") / "shop.db"
    setup_test_environment(debug=False)
    setup_databases(0, False, aliases=[project.SQLITE], serialized_aliases=[])
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


@pytest.fixture(scope="session")
def file(django_environment: None) -> None:
    """Create the tables in a file of SQLite."""
    from django.core.management import call_command

    with project.on(project.FILE):
        call_command("migrate", database=project.FILE, run_syncdb=True, verbosity=0)


@pytest.fixture(params=[project.FILE, project.POSTGRES])
def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give a database, in a process that is no test to the integration."""
    from django.db import connections
    from django.test.utils import _TestState

    from angle_reco.django import connecting
    from tests.django.shop.models import Bid, Category, Lot, Odd, Watch

    request.getfixturevalue("file" if request.param == project.FILE else "postgres")
    monkeypatch.delattr(_TestState, "saved_data")
    with project.on(request.param):
        yield request.param
        connecting.forget()
        for model in (Bid, Watch, Lot, Category, Odd, get_user_model()):
            model.objects.all()._raw_delete(request.param)
    connections[request.param].close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests on PostgreSQL."""
    # The hook gets the tests of every folder.
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        spec = getattr(item, "callspec", None)
        if spec is not None and project.POSTGRES in spec.params.values():
            item.add_marker("postgres")
