"""Where the jobs start: in processes that serve requests, at the first one."""

import atexit
import logging
import os
from typing import Any

from django.test.client import AsyncClientHandler, ClientHandler

from angle_reco.django.configuration import ConfigurationError, configured
from angle_reco.django.connecting import is_test, opened, recommender

_log = logging.getLogger(__name__)

_started: set[int] = set()
"""The id of this process, once it has started: a forked one starts again."""


def start_in_server(*, sender: Any = None, **_: Any) -> None:
    """Start what a server runs, at its first request.

    Commands, shells, tests, the parent of the reloader and the master of a server that forks
    serve no requests, so nothing starts there.
    """
    if os.getpid() in _started or is_test() or _is_client(sender):
        return
    _started.clear()
    _started.add(os.getpid())
    try:
        in_servers = configured().jobs_in_servers
        recommender().start("own" if in_servers else None)
    except ConfigurationError:
        return  # Said at the start of the process, and by the system checks.
    atexit.register(_close)
    _log.info("started at the first request: has_jobs=%s", in_servers)


def _is_client(sender: Any) -> bool:
    return isinstance(sender, type) and issubclass(sender, ClientHandler | AsyncClientHandler)


def _close() -> None:
    if os.getpid() in _started and (reco := opened()) is not None:
        reco.close()
