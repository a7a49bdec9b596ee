"""A run from the inside: what it reports, how it holds back, and when it stops."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from time import monotonic
from typing import TypeAlias

import attrs

from angle_reco.domain.errors import FencedOffError, StorageError
from angle_reco.domain.runs import Fence

_log = logging.getLogger(__name__)

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is in all."""

MOST_FAILURES = 1_000
"""Of single users or items; a run with more has not met odd ones, but a defect."""

_ERRORS_KEPT = 5
_LONGEST_PAUSE = 5.0


class RunStoppedError(Exception):
    """The run is to end here: the process stops, or the run is somebody else's by now."""


def no_progress(what: str, done: int, total: int) -> None:
    """Tell nobody."""


@attrs.define(kw_only=True)
class RunContext:
    """What a job has at hand while it runs.

    *pace* is the share of time that it may keep the database busy, 1 being all of it.
    *stop* is set when the process ends, *lost* when the run is somebody else's.
    """

    fence: Fence | None = None
    progress: Progress = no_progress
    pace: float = 1.0
    stop: Event = attrs.field(factory=Event)
    lost: Event = attrs.field(factory=Event)
    failed: int = 0
    errors: list[str] = attrs.field(factory=list)

    def reached(self, what: str, done: int, total: int) -> None:
        """Report how far the run is.

        Raises:
            RunStoppedError: It is to go no further.
        """
        if self.stop.is_set() or self.lost.is_set():
            raise RunStoppedError
        self.progress(what, done, total)

    @contextmanager
    def asking_the_database(self) -> Iterator[None]:
        """Leave the database alone afterwards, so that the pace is kept."""
        started = monotonic()
        yield
        pause = (monotonic() - started) * (1 / self.pace - 1)
        if pause > 0:
            self.stop.wait(min(pause, _LONGEST_PAUSE))

    def one_by_one_if_need_be(
        self, first: int, last: int, act: Callable[[int, int], None], name: Callable[[int], str]
    ) -> None:
        """Do *act* to [first, last); where that fails, to halves of it, down to single ones.

        Those that fail alone are counted and logged by *name*, and do not stop the rest.

        Raises:
            StorageError: The database failed, which is about none of them.
            FencedOffError: The run is somebody else's.
            RunStoppedError: It is to go no further.
        """
        try:
            act(first, last)
        except (StorageError, FencedOffError, RunStoppedError):
            raise
        except Exception as error:  # whatever the rules raise for one odd user or item
            if last - first > 1:
                middle = (first + last) // 2
                self.one_by_one_if_need_be(first, middle, act, name)
                self.one_by_one_if_need_be(middle, last, act, name)
                return
            self.failed += 1
            line = f"{name(first)} error={type(error).__name__}"
            if len(self.errors) < _ERRORS_KEPT:
                self.errors.append(line)
            kind, _, who = name(first).partition(":")
            if kind == "user":
                _log.warning("left out of a run: user=%s error=%s", who, type(error).__name__)
            else:
                _log.warning("left out of a run: item=%s error=%s", who, type(error).__name__)
            if self.failed > MOST_FAILURES:
                raise
