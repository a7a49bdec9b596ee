"""For a project's tests: a clock moved by hand, also as fixtures of pytest.

With pytest-django, `pytest_plugins = ["angle_reco.django.testing"]` in `conftest.py` adds the
fixtures `reco` and `reco_clock`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from django.utils import timezone

from angle_reco import Recommender
from angle_reco.django.connecting import recommender, use_clock
from angle_reco.testing import ManualClock


@contextmanager
def manual_clock(start: datetime | None = None) -> Iterator[ManualClock]:
    """Let recommendations depend on a manual clock, which starts at *start* or now."""
    clock = ManualClock(timezone.now() if start is None else start)
    use_clock(clock)
    try:
        yield clock
    finally:
        use_clock(None)


@pytest.fixture
def reco_clock() -> Iterator[ManualClock]:
    """Give the clock of the recommendations: it stands still until the test moves it."""
    with manual_clock() as clock:
        yield clock


@pytest.fixture
def reco(request: Any, reco_clock: ManualClock) -> Recommender:
    """Give the recommender on the connection of the test; it needs pytest-django's `db`.

    Its clock is `reco_clock`.
    """
    request.getfixturevalue("db")
    return recommender()
