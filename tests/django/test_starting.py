"""Where jobs start: in servers at their first request, and nowhere else."""

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_started
from django.test import Client
from django.test.client import ClientHandler
from django.test.utils import _TestState, override_settings

from angle_reco.django import connecting, recommender, starting
from angle_reco.django.configuration import ConfigurationError
from tests.django import project


@pytest.fixture(autouse=True)
def _not_started() -> Any:
    starting._started.clear()
    yield
    starting._started.clear()


def state() -> str:
    return recommender().system.health().jobs


@pytest.mark.parametrize(("in_servers", "jobs"), [(True, "running"), (False, "not started")])
def test_the_first_request_of_a_server_starts_them(
    served: str, in_servers: bool, jobs: str
) -> None:
    configured = {**project.SETTINGS["ANGLE_RECO"], "DATABASE": served}
    with override_settings(ANGLE_RECO={**configured, "JOBS_IN_SERVERS": in_servers}):
        assert state() == "not started"
        request_started.send(sender=WSGIHandler)
        assert state() == jobs

        recommender().stop()
        request_started.send(sender=WSGIHandler)  # once in a process
        assert state() != "running"
        connecting.forget()


def test_a_forked_process_starts_them_again(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    starting._started.add(os.getpid() + 1)
    request_started.send(sender=WSGIHandler)

    assert starting._started == {os.getpid()}
    assert state() == "running"
    starting._close()
    assert state() != "running"


def test_at_exit_what_was_started_ends(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at_exit = list[Callable[[], object]]()
    monkeypatch.setattr(starting, "atexit", SimpleNamespace(register=at_exit.append))
    request_started.send(sender=WSGIHandler)
    assert state() == "running"

    for end in at_exit:
        end()

    assert state() != "running"
    connecting.forget()


def test_tests_and_test_clients_start_none(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    request_started.send(sender=ClientHandler)
    assert starting._started == set()
    Client().get("/")
    assert starting._started == set()
    monkeypatch.setattr(_TestState, "saved_data", object(), raising=False)
    request_started.send(sender=WSGIHandler)
    assert starting._started == set()
    connecting.forget()


def test_nothing_starts_while_applications_are_loaded(
    served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as early:
        early.setattr(apps, "ready", False)
        with pytest.raises(ConfigurationError) as error:
            recommender().start()

    assert error.value.id == "angle_reco.E011"
    assert "recommender() is called while applications are loaded" in str(error.value)
    assert connecting.opened() is None


def test_without_a_configuration_nothing_starts(served: str) -> None:
    with override_settings(ANGLE_RECO={}):
        request_started.send(sender=WSGIHandler)

    assert starting._started == {os.getpid()}
    assert connecting.opened() is None
